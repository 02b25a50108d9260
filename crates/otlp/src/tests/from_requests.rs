//! Spans, their documents, and the spans of those: they are what was sent.
//!
//! They are the same in everything, with these exceptions:
//! - ids of links are cut off after 16 bytes; longer ones are none;
//! - of a span that `spans_of` made of a subsegment, the resource: it is that of the segment above;
//! - the order of attributes, and of a key that occurs twice all but the first value;
//! - a resource, scope or status that says nothing, which is none.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::{Document, DocumentLimits, Orphans, Segment, Timestamp, Trace, TraceId};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use crate::tests_support::request;
use crate::{Encoding, Limits, Request, Rules, decode, spans_of, translate};

/// Returns the documents of a request, and the spans of those.
fn there_and_back(
    request: &ExportTraceServiceRequest,
    rules: &Rules,
    encoding: Encoding,
) -> (Vec<String>, ExportTraceServiceRequest) {
    let request = Request(request.clone());
    let translated = translate(&request, rules, &Limits::NONE, Timestamp::MAX).unwrap();
    assert_eq!(translated.rejected, []);
    let limits = DocumentLimits {
        document_bytes_max: usize::MAX,
    };
    let mut traces: BTreeMap<TraceId, Vec<Document>> = BTreeMap::new();
    let texts: Vec<String> = translated
        .documents
        .into_iter()
        .map(|document| document.text)
        .collect();
    for (stamp, text) in (1..).zip(&texts) {
        let segment =
            Segment::parse(text, &limits).unwrap_or_else(|error| panic!("{error}: {text}"));
        traces
            .entry(segment.trace_id())
            .or_default()
            .push(Document {
                segment_id: segment.id(),
                in_progress: segment.in_progress(),
                stamp,
                first_stamp: stamp,
                text: text.clone(),
            });
    }
    let mut back = ExportTraceServiceRequest::default();
    for (trace_id, documents) in traces {
        let trace = Trace::compile(trace_id, &documents, Orphans::Visible);
        let body = spans_of(&trace).encode(encoding);
        back.resource_spans
            .extend(decode(&body, encoding).unwrap().0.resource_spans);
    }
    (texts, back)
}

/// Returns every span with all that is said of it, as lines; ascending by id.
fn said(request: &ExportTraceServiceRequest) -> Vec<Vec<String>> {
    let mut said = Vec::new();
    for group in &request.resource_spans {
        let resource = group.resource.clone().unwrap_or_default();
        for scope_spans in &group.scope_spans {
            let scope = scope_spans.scope.clone().unwrap_or_default();
            for span in &scope_spans.spans {
                let mut lines = said_of_span(span);
                lines.push(format!(
                    "resource {} {:?}",
                    resource.dropped_attributes_count, resource.entity_refs
                ));
                lines.extend(said_of_attributes("resource", &resource.attributes));
                lines.push(format!(
                    "scope {} {} {}",
                    scope.name, scope.version, scope.dropped_attributes_count
                ));
                lines.extend(said_of_attributes("scope", &scope.attributes));
                lines.push(format!(
                    "schemas {} {}",
                    group.schema_url, scope_spans.schema_url
                ));
                said.push(lines);
            }
        }
    }
    said.sort();
    said
}

fn said_of_span(span: &Span) -> Vec<String> {
    let mut bare = span.clone();
    bare.attributes.clear();
    bare.events.clear();
    bare.links.clear();
    bare.status = Some(bare.status.unwrap_or_default());
    let mut lines = vec![format!("{bare:?}")];
    lines.extend(said_of_attributes("", &span.attributes));
    for event in &span.events {
        lines.push(format!(
            "event {} {} {}",
            event.name, event.time_unix_nano, event.dropped_attributes_count
        ));
        lines.extend(said_of_attributes("event", &event.attributes));
    }
    for link in &span.links {
        let mut bare = link.clone();
        bare.attributes.clear();
        lines.push(format!("{bare:?}"));
        lines.extend(said_of_attributes("link", &link.attributes));
    }
    lines
}

fn said_of_attributes(whose: &str, attributes: &[KeyValue]) -> Vec<String> {
    let line = |attribute: &KeyValue| {
        let value = attribute.value.clone().unwrap_or_default();
        format!("{whose} {} = {:?}", attribute.key, sorted(value))
    };
    let mut lines: Vec<String> = attributes.iter().map(line).collect();
    lines.sort();
    lines
}

fn sorted(mut value: AnyValue) -> AnyValue {
    match &mut value.value {
        Some(Any::KvlistValue(list)) => {
            list.values.sort_by(|one, other| one.key.cmp(&other.key));
            for member in &mut list.values {
                member.value = Some(sorted(member.value.take().unwrap_or_default()));
            }
        }
        Some(Any::ArrayValue(array)) => {
            for element in &mut array.values {
                *element = sorted(std::mem::take(element));
            }
        }
        _ => {}
    }
    value
}

fn check(request: &ExportTraceServiceRequest, rules: &Rules, encoding: Encoding) {
    let (documents, back) = there_and_back(request, rules, encoding);
    let (sent, back) = (said(request), said(&back));
    assert_eq!(sent.len(), back.len(), "{documents:#?}");
    for (sent, back) in sent.iter().zip(&back) {
        let lost: Vec<_> = sent.iter().filter(|line| !back.contains(line)).collect();
        let made_up: Vec<_> = back.iter().filter(|line| !sent.contains(line)).collect();
        assert!(
            sent == back,
            "lost {lost:#?}\nmade up {made_up:#?}\nof {}\nin {documents:#?}",
            sent[0]
        );
    }
}

/// Returns requests of one trace, whose spans all have other ids and may be each other's parents. Links have ids no longer
/// than those of OTLP.
fn requests() -> impl Strategy<Value = ExportTraceServiceRequest> {
    request().prop_map(|mut request| {
        let groups = request.resource_spans.iter_mut();
        let spans = groups.flat_map(|group| &mut group.scope_spans);
        for (id, span) in (1_u64..).zip(spans.flat_map(|scope_spans| &mut scope_spans.spans)) {
            span.trace_id = vec![7; 16];
            span.span_id = id.to_be_bytes().to_vec();
            if let Some(byte) = span.parent_span_id.first() {
                span.parent_span_id = (u64::from(*byte) % 12 + 1).to_be_bytes().to_vec();
            }
            for link in &mut span.links {
                link.trace_id.truncate(16);
                link.span_id.truncate(16);
            }
        }
        request
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    let keys = vec(
        select(vec![
            "http.method",
            "enduser.id",
            "a",
            "otel.resource.service.name",
        ]),
        0..3,
    );
    let keys = keys.prop_map(|keys| keys.into_iter().map(str::to_owned).collect());
    let log_groups = vec("[a-z/]{1,5}", 0..2);
    (keys, any::<bool>(), log_groups, any::<bool>()).prop_map(
        |(indexed_attributes, index_all_attributes, log_groups, consumer_segments)| Rules {
            indexed_attributes,
            index_all_attributes,
            log_groups,
            consumer_segments,
        },
    )
}

proptest! {
    #[test]
    fn made_up_spans_come_back(request in requests(), rules in rules(), as_json in any::<bool>()) {
        let encoding = if as_json { Encoding::Json } else { Encoding::Protobuf };
        check(&request, &rules, encoding);
    }
}

/// Checks that a span comes back with the ids of its trace and its own.
fn check_span(span: &Span) {
    let span = Span {
        trace_id: vec![7; 16],
        span_id: vec![1; 8],
        ..span.clone()
    };
    let scope_spans = ScopeSpans {
        spans: vec![span],
        ..ScopeSpans::default()
    };
    let resource_spans = ResourceSpans {
        scope_spans: vec![scope_spans],
        ..ResourceSpans::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![resource_spans],
    };
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        for consumer_segments in [false, true] {
            let rules = Rules {
                consumer_segments,
                ..Rules::default()
            };
            check(&request, &rules, encoding);
        }
    }
}

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

#[test]
fn spans_that_begin_the_work_of_a_service_come_back() {
    for kind in -1..=6 {
        for parent_span_id in [Vec::new(), vec![2; 8]] {
            let text = |text: &str| Any::StringValue(text.to_owned());
            check_span(&Span {
                kind,
                parent_span_id,
                attributes: vec![
                    attribute("aws.span.kind", text("LOCAL_ROOT")),
                    attribute("aws.local.service", text("shop")),
                    attribute("aws.remote.service", text("bank")),
                ],
                ..Span::default()
            });
        }
    }
}

#[test]
fn odd_values_come_back() {
    let check_value = |value: Any| {
        check_span(&Span {
            attributes: vec![attribute("a", value)],
            ..Span::default()
        });
    };
    for double in [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        5e-324,
        f64::MAX,
        0.1 + 0.2,
    ] {
        check_value(Any::DoubleValue(double));
    }
    for integer in [i64::MIN, i64::MAX, 0] {
        check_value(Any::IntValue(integer));
    }
    check_value(Any::BytesValue(vec![0, 255]));
    check_value(Any::StringValue("NaN".to_owned()));
}

/// Returns the bodies of recorded requests in JSON; none if they are not at hand.
fn recorded(folder: &str) -> Vec<(String, String)> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data")
        .join(folder);
    let Ok(entries) = std::fs::read_dir(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return Vec::new();
    };
    let bodies = entries.filter_map(|entry| {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        let is_request = json.get("path").is_some_and(|path| path == "/v1/traces");
        let body = match (is_request, folder) {
            (true, _) => json.get("body")?.as_str()?.to_owned(),
            (false, "otlp") => json.get("result").unwrap_or(&json).to_string(),
            (false, _) => return None,
        };
        Some((path.display().to_string(), body))
    });
    bodies.collect()
}

#[test]
fn recorded_spans_come_back() {
    for folder in ["otlp", "http-requests"] {
        for (name, body) in recorded(folder) {
            let Ok(request) = decode(body.as_bytes(), Encoding::Json) else {
                // Some are compressed, and kept as hex.
                eprintln!("{name}: no request in JSON");
                continue;
            };
            eprintln!("{name}: {} spans", request.n_spans());
            check(&request.0, &Rules::default(), Encoding::Json);
        }
    }
}
