//! The forms in which traces are written to files.

use clap::ValueEnum;
use model::{Document, DocumentLimits, Orphans, Segment, TraceId};
use otlp::Encoding;
use serde::Serialize;
use serde_json::Value;

use super::{Facts, jaeger};
use crate::client::Trace;

/// A form in which traces are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// A trace a line, its documents as they were received
    #[default]
    Xray,
    /// An export request of OpenTelemetry a line, as its file exporter writes them
    Otlp,
    /// One document, as Jaeger's API answers and its user interface loads
    Jaeger,
}

/// What was left out of a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    /// Segments a server made up, which nobody sent.
    pub(crate) n_inferred: usize,
    /// Documents that say too little to become spans.
    pub(crate) n_unreadable: usize,
}

/// A trace in our own form.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Line<'a> {
    id: &'a str,
    segments: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    id: &'a str,
    document: &'a str,
}

impl Form {
    /// Returns what is before the first trace.
    pub(crate) const fn head(self) -> &'static str {
        match self {
            Self::Xray | Self::Otlp => "",
            Self::Jaeger => "{\"data\":[",
        }
    }

    /// Returns what is behind the last trace.
    pub(crate) const fn foot(self) -> &'static str {
        match self {
            Self::Xray | Self::Otlp => "",
            Self::Jaeger => "],\"total\":0,\"limit\":0,\"offset\":0,\"errors\":null}\n",
        }
    }

    /// Appends a trace of which something was sent; whether it is the first one matters to some forms. Returns what was
    /// left out.
    pub(crate) fn write(self, trace: &Trace, is_first: bool, out: &mut String) -> Left {
        let mut left = Left::default();
        let segments = trace.segments.iter();
        let sent = segments.filter(|segment| !Facts::of(&segment.document).is_inferred());
        let sent: Vec<Entry<'_>> = sent
            .map(|segment| Entry {
                id: &segment.id,
                document: &segment.document,
            })
            .collect();
        left.n_inferred = trace.segments.len().saturating_sub(sent.len());
        if sent.is_empty() {
            return left;
        }
        match self {
            Self::Xray => {
                let line = Line {
                    id: &trace.id,
                    segments: sent,
                };
                // Nothing in it can fail to be written.
                out.push_str(&serde_json::to_string(&line).unwrap_or_default());
                out.push('\n');
            }
            Self::Otlp | Self::Jaeger => {
                let texts: Vec<&str> = sent.iter().map(|entry| entry.document).collect();
                let (request, n_unreadable) = spans(&trace.id, &texts);
                left.n_unreadable = n_unreadable;
                if n_unreadable < texts.len() {
                    self.write_spans(trace, &request, is_first, out);
                }
            }
        }
        left
    }

    fn write_spans(self, trace: &Trace, request: &[u8], is_first: bool, out: &mut String) {
        if self == Self::Otlp {
            out.push_str(&String::from_utf8_lossy(request));
            out.push('\n');
            return;
        }
        let request: Value = serde_json::from_slice(request).unwrap_or_default();
        let trace_id = trace.id.strip_prefix("1-").unwrap_or(&trace.id);
        let trace = jaeger::from_otlp(&trace_id.replace('-', ""), &request);
        out.push_str(if is_first { "\n" } else { ",\n" });
        out.push_str(&trace.to_string());
    }
}

/// Returns the spans of a trace as an export request in JSON, and how many of its documents say too little for that.
pub(crate) fn spans(trace_id: &str, texts: &[&str]) -> (Vec<u8>, usize) {
    let limits = DocumentLimits {
        document_bytes_max: usize::MAX,
    };
    let mut documents = Vec::with_capacity(texts.len());
    let Ok(trace_id) = TraceId::parse_any(trace_id) else {
        return (Vec::new(), texts.len());
    };
    for (stamp, text) in (1..).zip(texts) {
        let Ok(segment) = Segment::parse(text, &limits) else {
            continue;
        };
        documents.push(Document {
            segment_id: segment.id(),
            in_progress: segment.in_progress(),
            stamp,
            first_stamp: stamp,
            text: (*text).to_owned(),
        });
    }
    let n_unreadable = texts.len().saturating_sub(documents.len());
    let trace = model::Trace::compile(trace_id, &documents, Orphans::Visible);
    (otlp::spans_of(&trace).encode(Encoding::Json), n_unreadable)
}
