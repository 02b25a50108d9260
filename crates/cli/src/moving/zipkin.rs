//! Spans in the JSON of Zipkin's second version, as spans of OTLP in JSON (source: Zipkin's API and the translator of the
//! OpenTelemetry collector, `pkg/translator/zipkin/zipkinv2`).
//!
//! The two sides of a call may share one id there. The side that was called gets an id of its own, the same each time,
//! and becomes the child of the side that called; what it did in turn becomes its child.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::jaeger::{nanos, number_of, padded};

/// A span as Zipkin has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Span {
    trace_id: String,
    id: String,
    #[serde(default)]
    parent_id: Option<String>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    name: Option<String>,
    /// In microseconds.
    timestamp: u64,
    #[serde(default)]
    duration: Option<u64>,
    #[serde(default)]
    local_endpoint: Option<Endpoint>,
    #[serde(default)]
    remote_endpoint: Option<Endpoint>,
    #[serde(default)]
    annotations: Option<Vec<Annotation>>,
    #[serde(default)]
    tags: Option<serde_json::Map<String, Value>>,
    #[serde(default)]
    shared: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    #[serde(default)]
    service_name: Option<String>,
    #[serde(default)]
    ipv4: Option<String>,
    #[serde(default)]
    ipv6: Option<String>,
    #[serde(default)]
    port: Option<u16>,
}

#[derive(Debug, Deserialize)]
struct Annotation {
    timestamp: u64,
    #[serde(default)]
    value: String,
}

/// A span's trace and id as text that can be compared.
type Key = (String, String);

/// Returns the body of an export request in JSON that brings these spans.
pub(crate) fn to_otlp(spans: &[Span]) -> Value {
    let shared = Shared::of(spans);
    let groups = spans.iter().map(|span| {
        let attributes = resource(span);
        json!({ "resource": { "attributes": attributes }, "scopeSpans": [{ "spans": [otlp_span(span, &shared)] }] })
    });
    json!({ "resourceSpans": groups.collect::<Vec<_>>() })
}

/// Ids that two sides of a call have, and which service was called.
#[derive(Default)]
struct Shared<'s> {
    service_of: HashMap<Key, &'s str>,
}

impl<'s> Shared<'s> {
    fn of(spans: &'s [Span]) -> Self {
        let callers = spans.iter().filter(|span| span.shared != Some(true));
        let callers: HashSet<Key> = callers.map(Span::key).collect();
        let called = spans.iter().filter(|span| span.shared == Some(true));
        let called = called.map(|span| (span.key(), span.service()));
        Self {
            service_of: called.filter(|(key, _)| callers.contains(key)).collect(),
        }
    }

    /// Returns the id of a span and of its parent.
    fn ids(&self, span: &Span) -> (String, String) {
        let own = span.key();
        if span.shared == Some(true) && self.service_of.contains_key(&own) {
            return (called_id(&own.1), own.1);
        }
        let Some(parent_id) = span.parent_id.as_deref().map(|id| padded(id, 16)) else {
            return (own.1, String::new());
        };
        let parent = (own.0, parent_id);
        let is_below_called = self
            .service_of
            .get(&parent)
            .is_some_and(|service| *service == span.service());
        let parent_id = if is_below_called {
            called_id(&parent.1)
        } else {
            parent.1
        };
        (own.1, parent_id)
    }
}

impl Span {
    fn key(&self) -> Key {
        (padded(&self.trace_id, 32), padded(&self.id, 16))
    }

    fn service(&self) -> &str {
        let endpoint = self.local_endpoint.as_ref();
        endpoint
            .and_then(|endpoint| endpoint.service_name.as_deref())
            .unwrap_or_default()
    }
}

fn resource(span: &Span) -> Vec<Value> {
    let service = span.service();
    let mut attributes = Vec::new();
    if !service.is_empty() {
        attributes.push(text("service.name", service));
    }
    attributes
}

fn otlp_span(span: &Span, shared: &Shared<'_>) -> Value {
    let (id, parent_id) = shared.ids(span);
    let end = span
        .timestamp
        .saturating_add(span.duration.unwrap_or_default());
    let events = span.annotations.iter().flatten();
    let events =
        events.map(|event| json!({ "timeUnixNano": nanos(event.timestamp), "name": event.value }));
    let error = tag(span, "error");
    let mut status = json!({});
    if let Some(error) = error.filter(|error| *error != "false") {
        status = json!({ "code": 2, "message": if error == "true" { "" } else { error } });
    }
    json!({
        "traceId": padded(&span.trace_id, 32),
        "spanId": id,
        "parentSpanId": parent_id,
        "name": span.name.as_deref().unwrap_or_default(),
        "kind": number_of(span.kind.as_deref().unwrap_or("internal")),
        "startTimeUnixNano": nanos(span.timestamp),
        "endTimeUnixNano": nanos(end),
        "attributes": attributes(span),
        "events": events.collect::<Vec<_>>(),
        "status": status,
    })
}

fn attributes(span: &Span) -> Vec<Value> {
    let mut attributes = Vec::new();
    for (key, value) in span.tags.iter().flatten() {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        let is_status = key == "http.status_code" || key == "http.response.status_code";
        if is_status && value.parse::<u16>().is_ok() {
            attributes.push(json!({ "key": key, "value": { "intValue": value } }));
        } else {
            attributes.push(text(key, &value));
        }
    }
    let has = |key: &str| tag(span, key).is_some();
    if let Some(path) = tag(span, "http.path").filter(|_| !has("http.target") && !has("http.url")) {
        attributes.push(text("http.target", path));
    }
    if let Some(remote) = &span.remote_endpoint {
        let service = remote
            .service_name
            .as_deref()
            .filter(|name| !name.is_empty());
        attributes.extend(service.map(|name| text("peer.service", name)));
        let address = remote.ipv4.as_deref().or(remote.ipv6.as_deref());
        attributes.extend(address.map(|address| text("net.peer.ip", address)));
        let port = remote.port;
        attributes.extend(port.map(
            |port| json!({ "key": "net.peer.port", "value": { "intValue": port.to_string() } }),
        ));
    }
    attributes
}

fn tag<'s>(span: &'s Span, key: &str) -> Option<&'s str> {
    span.tags.as_ref()?.get(key)?.as_str()
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// Returns the id of the side that was called, of a call whose sides share one: each bit of it depends on all of the
/// other (the finalizer of splitmix64), so that it meets no other id.
fn called_id(id: &str) -> String {
    let mut bits = u64::from_str_radix(id, 16).unwrap_or_default() ^ CALLED;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    format!("{:016x}", bits.max(1))
}

/// The golden ratio in 64 bits; any number would do.
const CALLED: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(spans: &Value) -> Vec<(String, String)> {
        let spans: Vec<Span> = serde_json::from_value(spans.clone()).unwrap();
        let shared = Shared::of(&spans);
        spans.iter().map(|span| shared.ids(span)).collect()
    }

    #[test]
    fn the_side_that_was_called_gets_an_id_of_its_own() {
        let span = |id: &str, parent: Option<&str>, service: &str, shared: bool| {
            json!({ "traceId": "1", "id": id, "parentId": parent, "timestamp": 1, "shared": shared,
                "localEndpoint": { "serviceName": service } })
        };
        let all = json!([
            span("a", None, "front", false),
            span("a", None, "back", true),
            span("b", Some("a"), "back", false),
            span("c", Some("a"), "front", false),
            span("d", Some("a"), "alone", true),
        ]);
        let called = called_id("000000000000000a");
        let id = |digit: &str| format!("{digit:0>16}");
        let expected = [
            (id("a"), String::new()),
            (called.clone(), id("a")),
            (id("b"), called),
            (id("c"), id("a")),
            (id("d"), id("a")),
        ];
        assert_eq!(ids(&all), expected);
    }
}
