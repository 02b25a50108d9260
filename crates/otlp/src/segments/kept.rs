//! What is kept of a span that a document has no member for: metadata of a namespace of its own.

use model::SegmentId;
use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, InstrumentationScope};
use opentelemetry_proto::tonic::resource::v1::Resource as SentResource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Status};
use serde::ser::{Serialize, Serializer};

use super::View;
use super::id::hex;
use crate::value::{Exact, ExactMembers};

/// What is kept with a document.
#[derive(serde::Serialize)]
#[serde(untagged)]
pub(super) enum Kept<'a> {
    /// The document stands for the service a span was made in, and is no span itself.
    Service {
        #[serde(rename = "serviceOf", serialize_with = "super::document::as_text")]
        service_of: SegmentId,
    },
    /// The document is a span.
    Span(Box<KeptSpan<'a>>),
}

/// A span without what its document says. Members are named as in OTLP's JSON, and absent if they are empty; attributes
/// are objects of exact values.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KeptSpan<'a> {
    kind: Named,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    trace_state: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    flags: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<KeptStatus<'a>>,
    #[serde(skip_serializing_if = "Members::is_empty")]
    attributes: Members<'a>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_attributes_count: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<KeptEvent<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_events_count: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<KeptLink<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_links_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<KeptResource<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<KeptScope<'a>>,
}

impl<'a> KeptSpan<'a> {
    /// Returns what is kept of a span with a document of this name.
    pub(super) fn of(
        view: &View<'a>,
        not_shown: Vec<(&'a str, &'a AnyValue)>,
        document_name: &str,
    ) -> Self {
        let span = view.span;
        Self {
            kind: kind(span.kind),
            name: other_name(&span.name, document_name),
            parent_span_id: None,
            trace_state: &span.trace_state,
            flags: span.flags,
            status: span.status.as_ref().and_then(KeptStatus::of),
            attributes: Members(not_shown),
            dropped_attributes_count: span.dropped_attributes_count,
            events: span.events.iter().map(KeptEvent::of).collect(),
            dropped_events_count: span.dropped_events_count,
            links: span.links.iter().map(KeptLink::of).collect(),
            dropped_links_count: span.dropped_links_count,
            resource: KeptResource::of(view.resource.sent),
            scope: KeptScope::of(view.scope),
        }
    }

    /// Keeps the name of the span if that of the document is another one.
    pub(super) fn keep_name(&mut self, name: &'a str, document_name: &str) {
        self.name = other_name(name, document_name);
    }

    /// Keeps the parent of the span, since the document has another one.
    pub(super) fn keep_parent(&mut self, parent_id: Option<SegmentId>) {
        let parent_id = parent_id.map(|parent_id| parent_id.to_string());
        self.parent_span_id = Some(parent_id.unwrap_or_default());
    }
}

fn other_name<'a>(name: &'a str, document_name: &str) -> Option<&'a str> {
    (name != document_name).then_some(name)
}

/// A value of an enumeration, by name if it has one.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum Named {
    Name(&'static str),
    Number(i32),
}

fn kind(kind: i32) -> Named {
    match SpanKind::try_from(kind) {
        Ok(SpanKind::Unspecified) => Named::Name("UNSPECIFIED"),
        Ok(SpanKind::Internal) => Named::Name("INTERNAL"),
        Ok(SpanKind::Server) => Named::Name("SERVER"),
        Ok(SpanKind::Client) => Named::Name("CLIENT"),
        Ok(SpanKind::Producer) => Named::Name("PRODUCER"),
        Ok(SpanKind::Consumer) => Named::Name("CONSUMER"),
        Err(_) => Named::Number(kind),
    }
}

#[derive(serde::Serialize)]
struct KeptStatus<'a> {
    code: Named,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
}

impl<'a> KeptStatus<'a> {
    fn of(status: &'a Status) -> Option<Self> {
        if status.code == 0 && status.message.is_empty() {
            return None;
        }
        let code = match StatusCode::try_from(status.code) {
            Ok(StatusCode::Unset) => Named::Name("UNSET"),
            Ok(StatusCode::Ok) => Named::Name("OK"),
            Ok(StatusCode::Error) => Named::Name("ERROR"),
            Err(_) => Named::Number(status.code),
        };
        Some(Self {
            code,
            message: &status.message,
        })
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct KeptEvent<'a> {
    time_unix_nano: String,
    name: &'a str,
    #[serde(skip_serializing_if = "are_none")]
    attributes: ExactMembers<'a>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_attributes_count: u32,
}

impl<'a> KeptEvent<'a> {
    fn of(event: &'a Event) -> Self {
        Self {
            time_unix_nano: event.time_unix_nano.to_string(),
            name: &event.name,
            attributes: ExactMembers(&event.attributes),
            dropped_attributes_count: event.dropped_attributes_count,
        }
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct KeptLink<'a> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    trace_state: &'a str,
    #[serde(skip_serializing_if = "are_none")]
    attributes: ExactMembers<'a>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_attributes_count: u32,
    #[serde(skip_serializing_if = "is_zero")]
    flags: u32,
}

impl<'a> KeptLink<'a> {
    fn of(link: &'a Link) -> Self {
        Self {
            trace_id: hex(&link.trace_id),
            span_id: hex(&link.span_id),
            trace_state: &link.trace_state,
            attributes: ExactMembers(&link.attributes),
            dropped_attributes_count: link.dropped_attributes_count,
            flags: link.flags,
        }
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct KeptResource<'a> {
    #[serde(skip_serializing_if = "are_none")]
    attributes: ExactMembers<'a>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_attributes_count: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entity_refs: Vec<KeptEntity<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    schema_url: &'a str,
}

impl<'a> KeptResource<'a> {
    fn of(sent: &'a ResourceSpans) -> Option<Self> {
        let resource = sent.resource.as_ref();
        let says_nothing = resource.is_none_or(|resource| *resource == SentResource::default());
        if says_nothing && sent.schema_url.is_empty() {
            return None;
        }
        let (attributes, entity_refs) = resource.map_or((&[][..], &[][..]), |resource| {
            (&resource.attributes, &resource.entity_refs)
        });
        Some(Self {
            attributes: ExactMembers(attributes),
            dropped_attributes_count: resource
                .map_or(0, |resource| resource.dropped_attributes_count),
            entity_refs: entity_refs.iter().map(KeptEntity::of).collect(),
            schema_url: &sent.schema_url,
        })
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct KeptEntity<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    schema_url: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    id_keys: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    description_keys: &'a [String],
}

impl<'a> KeptEntity<'a> {
    fn of(entity: &'a EntityRef) -> Self {
        Self {
            schema_url: &entity.schema_url,
            kind: &entity.r#type,
            id_keys: &entity.id_keys,
            description_keys: &entity.description_keys,
        }
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct KeptScope<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    #[serde(skip_serializing_if = "are_none")]
    attributes: ExactMembers<'a>,
    #[serde(skip_serializing_if = "is_zero")]
    dropped_attributes_count: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    schema_url: &'a str,
}

impl<'a> KeptScope<'a> {
    fn of(sent: &'a ScopeSpans) -> Option<Self> {
        let scope = sent.scope.as_ref();
        let says_nothing = scope.is_none_or(|scope| *scope == InstrumentationScope::default());
        if says_nothing && sent.schema_url.is_empty() {
            return None;
        }
        let (name, version, attributes) = scope.map_or(("", "", &[][..]), |scope| {
            (&scope.name, &scope.version, &scope.attributes)
        });
        Some(Self {
            name,
            version,
            attributes: ExactMembers(attributes),
            dropped_attributes_count: scope.map_or(0, |scope| scope.dropped_attributes_count),
            schema_url: &sent.schema_url,
        })
    }
}

/// Attributes, written as an object of exact values.
struct Members<'a>(Vec<(&'a str, &'a AnyValue)>);

impl Members<'_> {
    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = self.0.iter();
        serializer.collect_map(members.map(|(key, value)| (key, Exact(value))))
    }
}

const fn are_none(ExactMembers(attributes): &ExactMembers<'_>) -> bool {
    attributes.is_empty()
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form serde calls for"
)]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}
