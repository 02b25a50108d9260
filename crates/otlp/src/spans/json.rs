//! Spans as JSON: the form of OTLP/JSON, and the flat form in which Transaction Search keeps each span
//! (spec: OTLP specification, "JSON Protobuf Encoding"; user guide of Amazon `CloudWatch`,
//! "Transaction Search").

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use serde_json::{Map, Value, json};

/// Returns spans of a resource as OTLP/JSON; members that hold nothing are left out.
pub(super) fn resource_spans(group: &ResourceSpans) -> Value {
    let mut out = Object::default();
    out.put("resource", group.resource.as_ref().map(resource));
    let scopes = group.scope_spans.iter().map(scope_spans).collect();
    out.put("scopeSpans", Some(Value::Array(scopes)));
    out.put("schemaUrl", text(&group.schema_url));
    out.done()
}

/// Returns a span as one object, with its resource and scope: attributes by key, times as numbers, kind and status by
/// name.
pub(super) fn flat(group: &ResourceSpans, scope: &ScopeSpans, span: &Span) -> Value {
    let mut out = Object::default();
    let attributes = group.resource.as_ref().map(|it| it.attributes.as_slice());
    let attributes = plain_attributes(attributes.unwrap_or_default());
    out.put("resource", Some(json!({ "attributes": attributes })));
    out.put("scope", scope.scope.as_ref().and_then(flat_scope));
    out.put("traceId", Some(json!(hex(&span.trace_id))));
    out.put("spanId", Some(json!(hex(&span.span_id))));
    out.put("parentSpanId", text(&hex(&span.parent_span_id)));
    out.put("traceState", text(&span.trace_state));
    out.put("flags", count(span.flags));
    out.put("name", Some(json!(span.name)));
    out.put("kind", Some(json!(flat_kind(span.kind()))));
    let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
    out.put("startTimeUnixNano", Some(json!(start)));
    if end > 0 {
        out.put("endTimeUnixNano", Some(json!(end)));
        out.put("durationNano", Some(json!(end.saturating_sub(start))));
    }
    out.put("attributes", Some(plain_attributes(&span.attributes)));
    let events = span.events.iter().map(flat_event).collect();
    out.put("events", Some(Value::Array(events)));
    let links = span.links.iter().map(flat_link).collect();
    out.put("links", Some(Value::Array(links)));
    out.put("status", Some(flat_status(span.status.as_ref())));
    out.done()
}

/// An object that is written member by member.
#[derive(Default)]
struct Object(Map<String, Value>);

impl Object {
    fn put(&mut self, name: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value);
        }
    }

    fn put_list(&mut self, name: &str, values: Vec<Value>) {
        if !values.is_empty() {
            self.0.insert(name.to_owned(), Value::Array(values));
        }
    }

    fn done(self) -> Value {
        Value::Object(self.0)
    }
}

fn resource(resource: &Resource) -> Value {
    let mut out = Object::default();
    out.put_list("attributes", attributes(&resource.attributes));
    out.put(
        "droppedAttributesCount",
        count(resource.dropped_attributes_count),
    );
    let entities = resource.entity_refs.iter();
    let entities = entities.filter_map(|entity| serde_json::to_value(entity).ok());
    out.put_list("entityRefs", entities.collect());
    out.done()
}

fn scope_spans(group: &ScopeSpans) -> Value {
    let mut out = Object::default();
    out.put("scope", group.scope.as_ref().map(scope));
    let spans = group.spans.iter().map(span).collect();
    out.put("spans", Some(Value::Array(spans)));
    out.put("schemaUrl", text(&group.schema_url));
    out.done()
}

fn scope(scope: &InstrumentationScope) -> Value {
    let mut out = Object::default();
    out.put("name", text(&scope.name));
    out.put("version", text(&scope.version));
    out.put_list("attributes", attributes(&scope.attributes));
    out.put(
        "droppedAttributesCount",
        count(scope.dropped_attributes_count),
    );
    out.done()
}

fn span(span: &Span) -> Value {
    let mut out = Object::default();
    out.put("traceId", Some(json!(hex(&span.trace_id))));
    out.put("spanId", Some(json!(hex(&span.span_id))));
    out.put("traceState", text(&span.trace_state));
    out.put("parentSpanId", text(&hex(&span.parent_span_id)));
    out.put("flags", count(span.flags));
    out.put("name", Some(json!(span.name)));
    out.put("kind", Some(json!(span.kind)));
    out.put("startTimeUnixNano", Some(nanos(span.start_time_unix_nano)));
    out.put("endTimeUnixNano", Some(nanos(span.end_time_unix_nano)));
    out.put_list("attributes", attributes(&span.attributes));
    out.put(
        "droppedAttributesCount",
        count(span.dropped_attributes_count),
    );
    out.put_list("events", span.events.iter().map(event).collect());
    out.put("droppedEventsCount", count(span.dropped_events_count));
    out.put_list("links", span.links.iter().map(link).collect());
    out.put("droppedLinksCount", count(span.dropped_links_count));
    out.put("status", span.status.as_ref().map(status));
    out.done()
}

fn event(event: &Event) -> Value {
    let mut out = Object::default();
    out.put("timeUnixNano", Some(nanos(event.time_unix_nano)));
    out.put("name", Some(json!(event.name)));
    out.put_list("attributes", attributes(&event.attributes));
    out.put(
        "droppedAttributesCount",
        count(event.dropped_attributes_count),
    );
    out.done()
}

fn link(link: &Link) -> Value {
    let mut out = Object::default();
    out.put("traceId", Some(json!(hex(&link.trace_id))));
    out.put("spanId", Some(json!(hex(&link.span_id))));
    out.put("traceState", text(&link.trace_state));
    out.put_list("attributes", attributes(&link.attributes));
    out.put(
        "droppedAttributesCount",
        count(link.dropped_attributes_count),
    );
    out.put("flags", count(link.flags));
    out.done()
}

fn status(status: &Status) -> Value {
    let mut out = Object::default();
    out.put("message", text(&status.message));
    out.put("code", Some(json!(status.code)));
    out.done()
}

fn attributes(attributes: &[KeyValue]) -> Vec<Value> {
    attributes
        .iter()
        .map(|attribute| {
            let value = any(attribute.value.as_ref());
            json!({ "key": attribute.key, "value": value })
        })
        .collect()
}

/// Returns a value with its type; 64-bit integers and doubles JSON has no digits for are texts.
fn any(value: Option<&AnyValue>) -> Value {
    match value.and_then(|value| value.value.as_ref()) {
        None => json!({}),
        Some(Any::StringValue(text)) => json!({ "stringValue": text }),
        Some(Any::BoolValue(boolean)) => json!({ "boolValue": boolean }),
        Some(Any::IntValue(integer)) => json!({ "intValue": integer.to_string() }),
        Some(Any::DoubleValue(double)) => json!({ "doubleValue": double_value(*double) }),
        Some(Any::ArrayValue(array)) => {
            let values: Vec<Value> = array.values.iter().map(|value| any(Some(value))).collect();
            json!({ "arrayValue": { "values": values } })
        }
        Some(Any::KvlistValue(list)) => {
            json!({ "kvlistValue": { "values": attributes(&list.values) } })
        }
        Some(Any::BytesValue(bytes)) => json!({ "bytesValue": base64(bytes) }),
        Some(Any::StringValueStrindex(idx)) => json!({ "stringValueStrindex": idx }),
    }
}

fn flat_scope(scope: &InstrumentationScope) -> Option<Value> {
    let mut out = Object::default();
    out.put("name", text(&scope.name));
    out.put("version", text(&scope.version));
    if !scope.attributes.is_empty() {
        out.put("attributes", Some(plain_attributes(&scope.attributes)));
    }
    let is_empty = out.0.is_empty();
    (!is_empty).then(|| out.done())
}

fn flat_event(event: &Event) -> Value {
    json!({
        "name": event.name,
        "timeUnixNano": event.time_unix_nano,
        "attributes": plain_attributes(&event.attributes),
    })
}

fn flat_link(link: &Link) -> Value {
    let mut out = Object::default();
    out.put("traceId", Some(json!(hex(&link.trace_id))));
    out.put("spanId", Some(json!(hex(&link.span_id))));
    out.put("traceState", text(&link.trace_state));
    out.put("flags", count(link.flags));
    out.put("attributes", Some(plain_attributes(&link.attributes)));
    out.done()
}

fn flat_status(status: Option<&Status>) -> Value {
    let code = match status.map_or(StatusCode::Unset, Status::code) {
        StatusCode::Unset => "UNSET",
        StatusCode::Ok => "OK",
        StatusCode::Error => "ERROR",
    };
    let mut out = Object::default();
    out.put("code", Some(json!(code)));
    out.put("message", status.and_then(|status| text(&status.message)));
    out.done()
}

const fn flat_kind(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Unspecified => "UNSPECIFIED",
        SpanKind::Internal => "INTERNAL",
        SpanKind::Server => "SERVER",
        SpanKind::Client => "CLIENT",
        SpanKind::Producer => "PRODUCER",
        SpanKind::Consumer => "CONSUMER",
    }
}

fn plain_attributes(attributes: &[KeyValue]) -> Value {
    let members = attributes
        .iter()
        .map(|attribute| (attribute.key.clone(), plain(attribute.value.as_ref())));
    Value::Object(members.collect())
}

/// Returns a value without its type.
fn plain(value: Option<&AnyValue>) -> Value {
    match value.and_then(|value| value.value.as_ref()) {
        None => Value::Null,
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::BoolValue(boolean)) => json!(boolean),
        Some(Any::IntValue(integer)) => json!(integer),
        Some(Any::DoubleValue(double)) => double_value(*double),
        Some(Any::ArrayValue(array)) => array
            .values
            .iter()
            .map(|value| plain(Some(value)))
            .collect(),
        Some(Any::KvlistValue(list)) => plain_attributes(&list.values),
        Some(Any::BytesValue(bytes)) => base64(bytes),
        Some(Any::StringValueStrindex(idx)) => json!(idx),
    }
}

fn double_value(double: f64) -> Value {
    if double.is_nan() {
        json!("NaN")
    } else if double == f64::INFINITY {
        json!("Infinity")
    } else if double == f64::NEG_INFINITY {
        json!("-Infinity")
    } else {
        json!(double)
    }
}

fn base64(bytes: &[u8]) -> Value {
    json!(STANDARD.encode(bytes))
}

fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            digits.extend(char::from_digit(nibble.into(), 16));
        }
    }
    digits
}

fn nanos(nanos: u64) -> Value {
    json!(nanos.to_string())
}

fn text(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!(text))
}

fn count(count: u32) -> Option<Value> {
    (count > 0).then(|| json!(count))
}
