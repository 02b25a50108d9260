//! Stack traces, read as the languages of OpenTelemetry's SDKs write them (source: `cause.go` of the collector's
//! X-Ray exporter).
//!
//! What cannot be read is passed over: traces are text, and anybody can write anything into it.

mod dotnet;
mod go;
mod java;
mod javascript;
mod python;
#[cfg(test)]
mod tests;

use serde::Serialize;

/// The frames of an exception, innermost first, and what it was caused by, nearest first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::segments) struct Stack<'a> {
    pub(in crate::segments) frames: Vec<Frame<'a>>,
    pub(in crate::segments) causes: Vec<Caused<'a>>,
}

/// An exception that caused the one before it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::segments) struct Caused<'a> {
    pub(in crate::segments) kind: &'a str,
    pub(in crate::segments) message: String,
    pub(in crate::segments) frames: Vec<Frame<'a>>,
}

/// A line of a stack trace.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(in crate::segments) struct Frame<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(in crate::segments) path: &'a str,
    pub(in crate::segments) line: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(in crate::segments) label: &'a str,
}

/// Returns what a stack trace says, nothing for a language whose traces are not known.
pub(in crate::segments) fn parse<'a>(stack_trace: &'a str, language: &str) -> Stack<'a> {
    match language {
        // PHP's SDK writes them as Java does.
        "java" | "php" => java::parse(stack_trace),
        "python" => python::parse(stack_trace),
        "javascript" | "nodejs" | "webjs" => alone(javascript::parse(stack_trace)),
        "dotnet" => alone(dotnet::parse(stack_trace)),
        "go" => alone(go::parse(stack_trace)),
        _ => Stack::default(),
    }
}

const fn alone(frames: Vec<Frame<'_>>) -> Stack<'_> {
    let causes = Vec::new();
    Stack { frames, causes }
}

/// Returns `path` and `line` of `path:line`; no line if what follows the last colon is no number.
fn split_line(place: &str) -> (&str, Option<u32>) {
    let split = place.rsplit_once(':');
    let split = split.and_then(|(path, line)| Some((path, line.parse().ok()?)));
    match split {
        Some((path, line)) => (path, Some(line)),
        None => (place, None),
    }
}
