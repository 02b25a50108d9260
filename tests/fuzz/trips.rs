//! Segment documents as spans and back: both encodings say the same, and the trace is the one it was.

use std::collections::HashSet;

use model::{Document, Orphans, SegmentId, Timestamp, Trace, TraceId};
use otlp::{Encoding, FlatSpan, Limits, Rules, decode, spans_of, translate};

use crate::documents::{self, Accepted, judge};
use crate::engine::{Target, class, fuzz, size};

#[test]
fn trips() {
    fuzz(&Target {
        name: "trips",
        seeds: documents::inputs(),
        vocabulary: documents::VOCABULARY,
        form: &documents::DOCUMENTS,
        bytes_max: 64_000,
        attempt: &attempt,
    });
}

fn attempt(input: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(input);
    let accepted: Vec<Accepted> = judge(&text).into_iter().filter_map(Result::ok).collect();
    let Some(first) = accepted.first() else {
        return class("no document");
    };
    let of_trace = accepted.iter().filter(|one| one.trace_id == first.trace_id);
    let sent: Vec<&Accepted> = of_trace.collect();
    let documents: Vec<Document> = sent.iter().map(|one| one.document.clone()).collect();
    let spans = spans_of(&Trace::compile(
        first.trace_id,
        &documents,
        Orphans::Visible,
    ));

    let mut requests = Vec::new();
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        match decode(&spans.encode(encoding), encoding) {
            Ok(request) => requests.push(request),
            Err(error) => panic!("{encoding:?}: {error:?}"),
        }
    }
    let [request, in_json] = &requests[..] else {
        panic!("two encodings");
    };
    assert_eq!(in_json, request);
    let back = translate(request, &Rules::default(), &Limits::NONE, Timestamp::MAX).unwrap();
    let texts = back.documents.iter().map(|document| &document.text);
    let texts: Vec<&str> = texts.map(String::as_str).collect();
    let list = format!("[{}]", texts.join(","));
    let again: Result<Vec<Accepted>, _> = judge(&list).into_iter().collect();
    let Ok(again) = again else {
        // A document of a span is longer than the span, and may be too long.
        assert!(
            texts.iter().any(|text| text.len() > DOCUMENT_BYTES_MAX),
            "{list}"
        );
        return class("too long");
    };
    let is_span = |id: &SegmentId| id.to_string() != "0000000000000000";
    let ids: Vec<SegmentId> = sent.iter().flat_map(|one| ids_of(one)).collect();
    let unique: HashSet<&SegmentId> = ids.iter().filter(|id| is_span(id)).collect();
    if unique.len() == ids.len() {
        assert_eq!(back.rejected, []);
        let documents: Vec<Document> = again.into_iter().map(|one| one.document).collect();
        assert_eq!(flat(first.trace_id, &documents), flat_of(&spans));
    }
    class((
        size(request.n_spans()),
        size(list.len()),
        size(back.rejected.len()),
        sent.iter().any(|one| one.head.in_progress),
        size(texts.len()),
    ))
}

fn ids_of(accepted: &Accepted) -> Vec<SegmentId> {
    let mut ids = accepted.head.nested_ids.clone();
    ids.push(accepted.head.segment_id);
    ids
}

fn flat(trace_id: TraceId, documents: &[Document]) -> Vec<FlatSpan> {
    flat_of(&spans_of(&Trace::compile(
        trace_id,
        documents,
        Orphans::Visible,
    )))
}

/// Returns the spans one by one, in the order of their ids.
fn flat_of(spans: &otlp::Spans) -> Vec<FlatSpan> {
    let mut flat = spans.flat();
    flat.sort_by_key(|span| span.id);
    flat
}

const DOCUMENT_BYTES_MAX: usize = 65_536;
