//! The documents of a retrieved trace: segments as they are compiled, or spans of OpenTelemetry in the
//! form Transaction Search keeps them (spec: user guide of Amazon
//! `CloudWatch`, "Transaction Search").

use std::time::Duration;

use model::{
    CompiledSegment, Document, DocumentLimits, Orphans, Segment, Timestamp, Trace, TraceId,
};
use protocol::shapes::{RetrievedSpan, TraceFormat};

/// A trace as it is handed out.
pub(super) struct RetrievedSpans {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) duration: Option<Duration>,
    pub(super) spans: Vec<RetrievedSpan>,
}

/// Returns the first start and the last end documents mention; nothing for no documents.
pub(super) fn span_of(documents: &[Document]) -> Option<(Timestamp, Timestamp)> {
    let limits = DocumentLimits {
        document_bytes_max: usize::MAX,
    };
    let heads = documents.iter().filter_map(|document| {
        let segment = Segment::parse(&document.text, &limits).ok()?;
        let head = segment.head();
        Some((head.start, head.end))
    });
    heads.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))
}

/// Returns the spans of the trace that documents make up, in a fixed order; nothing for no documents.
pub(super) fn spans_of(
    trace_id: TraceId,
    documents: &[Document],
    format: TraceFormat,
) -> Option<RetrievedSpans> {
    let trace = Trace::compile(trace_id, documents, Orphans::Visible);
    let start = trace.segments.iter().map(CompiledSegment::start).min()?;
    let end = trace.segments.iter().map(CompiledSegment::end).max()?;
    let spans = match format {
        TraceFormat::XRay => trace.segments.iter().map(segment).collect(),
        TraceFormat::Otel => otlp::spans_of(&trace)
            .flat()
            .into_iter()
            .map(|span| RetrievedSpan {
                id: span.id.to_string(),
                document: span.json,
            })
            .collect(),
    };
    Some(RetrievedSpans {
        start,
        end,
        duration: trace.duration,
        spans,
    })
}

fn segment(segment: &CompiledSegment<'_>) -> RetrievedSpan {
    let mut document = String::new();
    segment.write_document(&mut document);
    RetrievedSpan {
        id: segment.id().to_string(),
        document,
    }
}
