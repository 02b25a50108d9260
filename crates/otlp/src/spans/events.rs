//! The exceptions of a cause as events, and links.

use model::{SegmentId, TraceId};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use serde_json::Value;

use super::attributes::{Attributes, Places, key_values};
use super::entity::Entity;

/// Returns the exceptions of a cause as events of an instant; X-Ray does not say when they were thrown.
/// Stacks are written as the language does that `language` names.
pub(super) fn exceptions_of(entity: &Entity<'_>, at: u64, language: &str) -> Vec<Event> {
    let cause = entity.block("cause");
    let thrown = cause.get("exceptions").and_then(Value::as_array);
    let thrown = thrown.into_iter().flatten();
    thrown
        .filter(|exception| exception.is_object())
        .map(|exception| Event {
            time_unix_nano: at,
            name: "exception".to_owned(),
            attributes: {
                let mut attributes = Attributes::default();
                attributes.put_texts(exception, EXCEPTION);
                if let Some(stack) = stack_of(exception, language) {
                    attributes.put_text("exception.stacktrace", &stack);
                }
                attributes.into_list()
            },
            ..Event::default()
        })
        .collect()
}

/// Returns the links whose ids have their form.
pub(super) fn links_of(entity: &Entity<'_>) -> Vec<Link> {
    let links = entity.block("links");
    let links = links.as_array().into_iter().flatten();
    links.filter_map(link).collect()
}

fn link(link: &Value) -> Option<Link> {
    let trace_id = TraceId::parse_any(link.get("trace_id")?.as_str()?).ok()?;
    let span_id: SegmentId = link.get("id")?.as_str()?.parse().ok()?;
    let attributes = link.get("attributes").and_then(Value::as_object);
    Some(Link {
        trace_id: trace_id.as_bytes().to_vec(),
        span_id: span_id.0.to_be_bytes().to_vec(),
        attributes: attributes.map(key_values).unwrap_or_default(),
        ..Link::default()
    })
}

/// Returns the stack as the language prints it, none if the exception has none.
fn stack_of(exception: &Value, language: &str) -> Option<String> {
    let frames = exception.get("stack").and_then(Value::as_array)?;
    let frames: Vec<Frame<'_>> = frames.iter().map(Frame::of).collect();
    if frames.is_empty() {
        return None;
    }
    let text = |member| exception.get(member).and_then(Value::as_str);
    let title = match (text("type"), text("message")) {
        (Some(name), Some(message)) => format!("{name}: {message}"),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) => String::new(),
    };
    let lines: Vec<String> = match language {
        "python" => return Some(python(&title, &frames)),
        "javascript" | "nodejs" | "webjs" => frames.iter().map(Frame::javascript).collect(),
        "dotnet" => frames.iter().map(Frame::dotnet).collect(),
        "go" => frames.iter().map(Frame::go).collect(),
        _ => frames.iter().map(Frame::java).collect(),
    };
    Some(title + &lines.concat())
}

/// Python prints the innermost frame last.
fn python(title: &str, frames: &[Frame<'_>]) -> String {
    let lines: Vec<String> = frames.iter().rev().map(Frame::python).collect();
    format!(
        "Traceback (most recent call last):\n{}{title}",
        lines.concat()
    )
}

/// A frame of a stack. A line that is not known is 0, as in the languages.
struct Frame<'a> {
    label: &'a str,
    path: &'a str,
    line: i64,
}

impl<'a> Frame<'a> {
    fn of(frame: &'a Value) -> Self {
        let text = |member| frame.get(member).and_then(Value::as_str);
        Self {
            label: text("label").unwrap_or_default(),
            path: text("path").unwrap_or_default(),
            line: frame.get("line").and_then(Value::as_i64).unwrap_or(0),
        }
    }

    fn java(&self) -> String {
        let Self { label, path, line } = self;
        format!("\n\tat {label}({path}:{line})")
    }

    fn javascript(&self) -> String {
        let Self { label, path, line } = self;
        format!("\n    at {label} ({path}:{line}:0)")
    }

    fn dotnet(&self) -> String {
        let Self { label, path, line } = self;
        format!("\n   at {label} in {path}:line {line}")
    }

    fn go(&self) -> String {
        let Self { label, path, line } = self;
        format!("\n{label}\n\t{path}:{line}")
    }

    fn python(&self) -> String {
        let Self { label, path, line } = self;
        format!("  File \"{path}\", line {line}, in {label}\n")
    }
}

const EXCEPTION: &Places = &[
    ("/type", "exception.type"),
    ("/message", "exception.message"),
];
