//! What went wrong: the flags and the member `cause` (source: `cause.go` of the collector's X-Ray exporter).

mod stack;

use model::SegmentId;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde::Serialize;

use super::attributes::{Attributes, text_of};
use super::id::exception_id;
use super::name::is_aws_sdk;
use super::{View, http};
use stack::{Caused, Frame, Stack};

/// The flags of a document, which are always written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Flags {
    pub(super) error: bool,
    pub(super) fault: bool,
    pub(super) throttle: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Cause<'a> {
    pub(super) exceptions: Vec<Exception<'a>>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Exception<'a> {
    #[serde(serialize_with = "super::document::as_text")]
    pub(super) id: SegmentId,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) message: String,
    #[serde(rename = "type", skip_serializing_if = "str::is_empty")]
    pub(super) kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remote: Option<bool>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "super::document::as_text_if_any"
    )]
    pub(super) cause: Option<SegmentId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) stack: Vec<Frame<'a>>,
}

/// Returns the flags of a span: its HTTP status says more than its own.
pub(super) fn flags(view: &View<'_>) -> Flags {
    match http::status(&view.attributes) {
        Some(status @ 400..=499) => Flags {
            error: true,
            throttle: status == 429,
            fault: false,
        },
        Some(500..=599) => Flags {
            fault: true,
            ..Flags::default()
        },
        Some(_) | None => Flags {
            fault: is_error(view),
            ..Flags::default()
        },
    }
}

/// Returns the exceptions a span tells of, else the message of its status if that is an error.
pub(super) fn cause<'a>(view: &View<'a>) -> Option<Cause<'a>> {
    let mut exceptions = Exceptions {
        document_id: view.ids.id,
        list: Vec::new(),
    };
    if tells_of_exceptions(view) {
        for event in &view.span.events {
            exceptions.add_event(event, view);
        }
    } else if let Some(message) = error_message(view) {
        exceptions.add("", message.to_owned(), None, Stack::default());
    }
    let exceptions = exceptions.list;
    (!exceptions.is_empty()).then_some(Cause { exceptions })
}

/// Tells whether an attribute of this key is shown in the cause and nowhere else.
pub(super) fn takes(key: &str, view: &View<'_>) -> bool {
    key == STATUS_TEXT && is_error(view) && !tells_of_exceptions(view)
}

fn tells_of_exceptions(view: &View<'_>) -> bool {
    let is_aws_sdk = is_aws_sdk(&view.attributes);
    let mut events = view.span.events.iter();
    events.any(|event| event.name == EXCEPTION || (is_aws_sdk && event.name == HTTP_FAILURE))
}

fn is_error(view: &View<'_>) -> bool {
    let status = view.span.status.as_ref();
    status.is_some_and(|status| status.code == i32::from(StatusCode::Error))
}

fn error_message<'a>(view: &View<'a>) -> Option<&'a str> {
    let status = view.span.status.as_ref().filter(|_| is_error(view))?;
    let message = Some(status.message.as_str()).filter(|message| !message.is_empty());
    message.or_else(|| view.attributes.text(STATUS_TEXT))
}

/// The exceptions of a document, numbered as they are added.
struct Exceptions<'a> {
    document_id: SegmentId,
    list: Vec<Exception<'a>>,
}

impl<'a> Exceptions<'a> {
    fn add_event(&mut self, event: &'a Event, view: &View<'a>) {
        let attributes = Attributes::of(&event.attributes);
        let text = |key| attributes.text(key).unwrap_or_default();
        if event.name == EXCEPTION {
            let is_remote = matches!(view.kind, SpanKind::Client | SpanKind::Producer);
            let stack = stack::parse(text("exception.stacktrace"), view.resource.language);
            let message = text("exception.message").to_owned();
            self.add(text("exception.type"), message, Some(is_remote), stack);
        } else if event.name == HTTP_FAILURE && is_aws_sdk(&view.attributes) {
            let code = attributes.first_digits(&["http.response.status_code"]);
            let message = attributes.value("aws.http.error_message");
            if let (Some(code), Some(message)) = (code, message) {
                let micros = event.time_unix_nano / 1_000;
                let (secs, micros) = (micros / 1_000_000, micros % 1_000_000);
                let message = text_of(message).unwrap_or_default();
                let message = format!("{code}@{secs}.{micros:06}@{message}");
                self.add(HTTP_ERROR, message, Some(true), Stack::default());
            }
        }
    }

    /// Adds an exception and, each after what it caused, those behind it.
    fn add(&mut self, kind: &'a str, message: String, remote: Option<bool>, stack: Stack<'a>) {
        let itself = Caused {
            kind,
            message,
            frames: stack.frames,
        };
        let mut chain = std::iter::once(itself).chain(stack.causes).peekable();
        while let Some(thrown) = chain.next() {
            let idx = self.list.len();
            self.list.push(Exception {
                id: exception_id(self.document_id, idx),
                message: thrown.message,
                kind: thrown.kind,
                remote,
                cause: chain
                    .peek()
                    .map(|_| exception_id(self.document_id, idx + 1)),
                stack: thrown.frames,
            });
        }
    }
}

const EXCEPTION: &str = "exception";
/// An attempt of an AWS SDK that failed and was repeated.
const HTTP_FAILURE: &str = "HTTP request failure";
const HTTP_ERROR: &str = "aws.http.error.event";
const STATUS_TEXT: &str = "http.status_text";
