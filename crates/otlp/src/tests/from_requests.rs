//! Spans, their documents, and the spans of those: they are what was sent.
//!
//! They are the same in everything, with these exceptions:
//! - the order of attributes, and of a key that occurs twice all but the first value;
//! - a resource, scope or status that says nothing, which is none.

use model::{Document, DocumentLimits, Orphans, Segment, Timestamp, Trace, TraceId};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use proptest::prelude::*;

use super::requests::{TRACE_ID, requests};
use crate::{Encoding, Limits, Request, Rules, decode, spans_of, translate};

/// Returns the spans of the documents of a request.
fn there_and_back(request: &ExportTraceServiceRequest) -> (Vec<String>, ExportTraceServiceRequest) {
    let request = Request(request.clone());
    let translated = translate(&request, &Rules::default(), &Limits::NONE, Timestamp::MAX).unwrap();
    assert_eq!(translated.rejected, []);
    let limits = DocumentLimits {
        document_bytes_max: usize::MAX,
    };
    let texts: Vec<String> = translated.documents.into_iter().map(|document| document.text).collect();
    let documents = (1..).zip(&texts).map(|(stamp, text)| {
        let segment = Segment::parse(text, &limits).unwrap_or_else(|error| panic!("{error}: {text}"));
        Document {
            segment_id: segment.id(),
            in_progress: segment.in_progress(),
            stamp,
            first_stamp: stamp,
            text: text.clone(),
        }
    });
    let documents: Vec<Document> = documents.collect();
    let trace = Trace::compile(TraceId::from_bytes(TRACE_ID), &documents, Orphans::Visible);
    let body = spans_of(&trace).encode(Encoding::Protobuf);
    (texts, decode(&body, Encoding::Protobuf).unwrap().0)
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
                lines.push(format!("resource {} {:?}", resource.dropped_attributes_count, resource.entity_refs));
                lines.extend(said_of_attributes("resource", &resource.attributes));
                lines.push(format!("scope {} {} {}", scope.name, scope.version, scope.dropped_attributes_count));
                lines.extend(said_of_attributes("scope", &scope.attributes));
                lines.push(format!("schemas {} {}", group.schema_url, scope_spans.schema_url));
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
        lines.push(format!("event {} {} {}", event.name, event.time_unix_nano, event.dropped_attributes_count));
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

fn check(request: &ExportTraceServiceRequest) {
    let (documents, back) = there_and_back(request);
    let (sent, back) = (said(request), said(&back));
    assert_eq!(sent.len(), back.len(), "{documents:#?}");
    for (sent, back) in sent.iter().zip(&back) {
        let lost: Vec<_> = sent.iter().filter(|line| !back.contains(line)).collect();
        let made_up: Vec<_> = back.iter().filter(|line| !sent.contains(line)).collect();
        assert!(sent == back, "lost {lost:#?}\nmade up {made_up:#?}\nof {}\nin {documents:#?}", sent[0]);
    }
}

proptest! {
    #[test]
    fn made_up_spans_come_back(request in requests()) {
        check(&request);
        let again = ExportTraceServiceRequest::decode(request.encode_to_vec().as_slice()).unwrap();
        prop_assert_eq!(said(&again), said(&request));
    }
}
