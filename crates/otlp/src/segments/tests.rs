//! What becomes of spans, member by member.

mod members;
mod properties;
mod recorded;
mod requests;

use model::{DocumentLimits, Segment, Timestamp};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use serde_json::{Value, json};

use crate::value::read_exact_members;
use crate::{Limits, Request, Rules, Translated, translate};

/// Returns attributes of an object of exact values.
fn attributes(members: &Value) -> Vec<KeyValue> {
    read_exact_members(members.as_object().unwrap())
}

/// Returns a span of a kind with attributes and without a parent.
fn span(kind: i32, members: &Value) -> Span {
    Span {
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        name: "GET /{id}".to_owned(),
        kind,
        start_time_unix_nano: 1_700_000_000_000_000_001,
        end_time_unix_nano: 1_700_000_001_500_000_000,
        attributes: attributes(members),
        ..Span::default()
    }
}

/// Returns the same span below another one.
fn below(span: Span) -> Span {
    Span {
        parent_span_id: vec![9; 8],
        ..span
    }
}

/// Returns a request of one span and its resource.
fn request(span: Span, resource: &Value) -> Request {
    let scope = ScopeSpans {
        spans: vec![span],
        ..ScopeSpans::default()
    };
    let resource = Resource {
        attributes: attributes(resource),
        ..Resource::default()
    };
    let resource_spans = ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![scope],
        ..ResourceSpans::default()
    };
    Request(ExportTraceServiceRequest {
        resource_spans: vec![resource_spans],
    })
}

fn translated(request: &Request, rules: &Rules) -> Translated {
    translate(request, rules, &Limits::NONE, Timestamp::ZERO).unwrap()
}

/// Returns the documents of a request, each of which is one a store takes.
fn documents(request: &Request, rules: &Rules) -> Vec<Value> {
    let translated = translated(request, rules);
    assert_eq!(translated.rejected, []);
    let documents = translated.documents.iter();
    let parsed = documents.map(|document| {
        let limits = DocumentLimits::default();
        Segment::parse(&document.text, &limits).unwrap();
        serde_json::from_str(&document.text).unwrap()
    });
    parsed.collect()
}

/// Returns the only document of a span.
fn document(span: Span, resource: &Value) -> Value {
    let mut documents = documents(&request(span, resource), &Rules::default());
    assert_eq!(documents.len(), 1, "{documents:?}");
    documents.remove(0)
}

const UNSPECIFIED: i32 = 0;
const INTERNAL: i32 = 1;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;

/// What a span without attributes and resource gives.
#[test]
fn a_span_alone() {
    let expected = json!({
        "name": "GET /id",
        "id": "0102030405060708",
        "trace_id": "1-01020304-05060708090a0b0c0d0e0f10",
        "start_time": 1_700_000_000.000_000_001,
        "end_time": 1_700_000_001.5,
        "error": false,
        "fault": false,
        "throttle": false,
        "aws": {"xray": {"auto_instrumentation": false}},
        "metadata": {"otel.span": {"kind": "SERVER", "name": "GET /{id}"}},
    });
    assert_eq!(document(span(SERVER, &json!({})), &json!({})), expected);
}
