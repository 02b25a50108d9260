//! A span that is had back of a rewritten document says the same times and ids as the document.

use model::{Document, DocumentLimits, Orphans, Segment, SegmentId, Timestamp, Trace, TraceId};
use otlp::{Encoding, Limits, Rules};
use serde_json::Value;

use crate::{NewIds, Rewrite, Shift};

/// Returns the documents of a request of spans, stored.
fn documents(request: &Value) -> Vec<Document> {
    let request = otlp::decode(request.to_string().as_bytes(), Encoding::Json).unwrap();
    let translated =
        otlp::translate(&request, &Rules::default(), &Limits::NONE, Timestamp::MAX).unwrap();
    assert_eq!(translated.rejected, []);
    let texts = translated
        .documents
        .into_iter()
        .map(|document| document.text);
    texts
        .zip(1..)
        .map(|(text, stamp)| stored(text, stamp))
        .collect()
}

fn stored(text: String, stamp: u64) -> Document {
    let segment = Segment::parse(&text, &DocumentLimits::default()).unwrap();
    let (segment_id, in_progress) = (segment.id(), segment.in_progress());
    Document {
        segment_id,
        in_progress,
        stamp,
        first_stamp: stamp,
        text,
    }
}

/// Returns the spans of a trace, as they are exported.
fn spans(trace_id: TraceId, documents: &[Document]) -> String {
    let trace = Trace::compile(trace_id, documents, Orphans::Visible);
    let spans = otlp::spans_of(&trace);
    String::from_utf8(spans.encode(Encoding::Json)).unwrap()
}

#[test]
fn spans_had_back_are_moved_and_renamed_along() {
    let old = [
        "581cf771a006649127e371903a2de979",
        "70de5b6f19ff9a0a",
        "53995c3f42cd8ad8",
        "581cf772a006649127e371903a2de97a",
        "00000000000000aa",
        "1478293361000000001",
        "1478293362500000002",
        "1478293361250000003",
        "1478293361100000004",
    ];
    let [
        trace,
        root,
        call,
        linked_trace,
        linked,
        start,
        end,
        event,
        call_start,
    ] = old;
    // The second span is a call out of a service that begins with it: two documents are made of it.
    let request = serde_json::json!({"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeSpans": [{"spans": [
            {"traceId": trace, "spanId": root, "name": "GET", "kind": 2,
             "startTimeUnixNano": start, "endTimeUnixNano": end,
             "events": [{"timeUnixNano": event, "name": "e"}],
             "links": [{"traceId": linked_trace, "spanId": linked}]},
            {"traceId": trace, "spanId": call, "parentSpanId": root, "name": "SQL", "kind": 3,
             "attributes": [{"key": "aws.span.kind", "value": {"stringValue": "LOCAL_ROOT"}}],
             "startTimeUnixNano": call_start, "endTimeUnixNano": end},
        ]}]
    }]});
    let documents = documents(&request);
    assert_eq!(documents.len(), 3);
    let trace_id = TraceId::parse_any(trace).unwrap();
    let before = spans(trace_id, &documents);
    for text in old {
        assert!(before.contains(text), "{text} {before}");
    }
    let rewrite = Rewrite {
        shift: Shift::by(Timestamp::from_secs(1_478_293_361), 1000),
        ids: Some(NewIds::new(5, 1)),
    };
    let moved = documents.iter().map(|document| {
        let text = rewrite.document(&document.text).unwrap();
        stored(text.into_owned(), document.stamp)
    });
    let after = spans(rewrite.trace_id(trace_id), &moved.collect::<Vec<_>>());
    let mut expected = before.clone();
    for text in old {
        let new = match text.len() {
            32 => {
                let id = rewrite.trace_id(TraceId::parse_any(text).unwrap());
                id.to_string().replacen("1-", "", 1).replace('-', "")
            }
            16 => rewrite
                .segment_id(text.parse::<SegmentId>().unwrap())
                .to_string(),
            _ => (text.parse::<u64>().unwrap() + 1_000_000_000_000).to_string(),
        };
        expected = expected.replace(text, &new);
    }
    // Spans come in the order of their segments' ids, which are others now.
    assert_eq!(in_order(&after), in_order(&expected));
}

fn in_order(request: &str) -> Vec<String> {
    let request: Value = serde_json::from_str(request).unwrap();
    let groups = request["resourceSpans"].as_array().unwrap();
    let scopes = groups
        .iter()
        .flat_map(|group| group["scopeSpans"].as_array().unwrap());
    let spans = scopes.flat_map(|scope| scope["spans"].as_array().unwrap());
    let mut spans: Vec<String> = spans.map(Value::to_string).collect();
    spans.sort();
    spans
}
