//! Spans in the JSON of Zipkin's second version, as spans of OTLP in JSON (source: Zipkin's API and the translator of the
//! OpenTelemetry collector, `pkg/translator/zipkin/zipkinv2`).
//!
//! The two sides of a call may share one id there. The side that was called gets an id of its own, the same each time,
//! and becomes the child of the side that called; what it did in turn becomes its child.

mod ids;

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

pub(crate) use ids::Ids;

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
    /// In microseconds; without one, some other time stands for it.
    #[serde(default)]
    timestamp: Option<u64>,
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
    /// What only spans of the first version have.
    #[serde(default)]
    binary_annotations: Option<IgnoredAny>,
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
    /// What only those of the first version have.
    #[serde(default)]
    endpoint: Option<IgnoredAny>,
}

/// Returns the body of an export request in JSON that brings these spans, which all have a time.
pub(crate) fn to_otlp(spans: &[Span], ids: &mut Ids) -> Value {
    let ids = ids.of(spans);
    let groups = spans.iter().zip(ids).map(|(span, ids)| {
        let attributes = resource(span);
        json!({ "resource": { "attributes": attributes }, "scopeSpans": [{ "spans": [otlp_span(span, ids)] }] })
    });
    json!({ "resourceSpans": groups.collect::<Vec<_>>() })
}

/// Gives spans without a time that of another one they belong to: of the same id, of their parent, or else the earliest
/// of their trace.
pub(crate) fn time(spans: &mut [&mut Span]) {
    if spans.iter().all(|span| span.timestamp.is_some()) {
        return;
    }
    let mut times: HashMap<(String, Option<String>), u64> = HashMap::new();
    for span in spans.iter() {
        let Some(micros) = span.timestamp else {
            continue;
        };
        for id in [None, Some(padded(&span.id, 16))] {
            let earliest = times.entry((span.trace(), id)).or_insert(micros);
            *earliest = micros.min(*earliest);
        }
    }
    for span in spans.iter_mut().filter(|span| span.timestamp.is_none()) {
        let parent_id = span.parent_id.as_deref().map(|id| padded(id, 16));
        let found = [Some(padded(&span.id, 16)), parent_id, None];
        let found = found
            .into_iter()
            .find_map(|id| times.get(&(span.trace(), id)));
        span.timestamp = found.copied();
    }
}

impl Span {
    /// Returns a span.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let span: Self = serde_json::from_str(text)
            .map_err(|error| format!("not JSON of a span of Zipkin: {error}"))?;
        let mut events = span.annotations.iter().flatten();
        if span.binary_annotations.is_some() || events.any(|event| event.endpoint.is_some()) {
            return Err(
                "a span of Zipkin's first version; spans of the second are read, which its API answers at /api/v2"
                    .to_owned(),
            );
        }
        let ids = [
            ("traceId", Some(&span.trace_id), 32),
            ("id", Some(&span.id), 16),
            // Some write none as an empty one.
            (
                "parentId",
                span.parent_id.as_ref().filter(|id| !id.is_empty()),
                16,
            ),
        ];
        for (name, id, n_digits) in ids {
            let is_hex = |id: &String| {
                let is_short = (1..=n_digits).contains(&id.len());
                is_short && id.bytes().all(|byte| byte.is_ascii_hexdigit())
            };
            if id.is_some_and(|id| !is_hex(id)) {
                return Err(format!("{name} is not 1 to {n_digits} hex digits"));
            }
        }
        Ok(span.timed())
    }

    /// Takes the first event for the beginning if there is no time; 0 is none.
    fn timed(mut self) -> Self {
        let events = self.annotations.iter().flatten();
        let first = events.map(|event| event.timestamp).min();
        self.timestamp = self.timestamp.filter(|micros| *micros > 0).or(first);
        self
    }

    /// Tells whether it is known when it was.
    pub(crate) const fn is_timed(&self) -> bool {
        self.timestamp.is_some()
    }

    /// Returns its trace as text that can be compared.
    pub(crate) fn trace(&self) -> String {
        padded(&self.trace_id, 32)
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

fn otlp_span(span: &Span, (id, parent_id): (u64, u64)) -> Value {
    let start = span.timestamp.unwrap_or_default();
    let end = start.saturating_add(span.duration.unwrap_or_default());
    let events = span.annotations.iter().flatten();
    let events =
        events.map(|event| json!({ "timeUnixNano": nanos(event.timestamp), "name": event.value }));
    let error = tag(span, "error");
    let mut status = json!({});
    if let Some(error) = error.filter(|error| *error != "false") {
        status = json!({ "code": 2, "message": if error == "true" { "" } else { error } });
    }
    json!({
        "traceId": span.trace(),
        "spanId": format!("{id:016x}"),
        "parentSpanId": if parent_id == 0 { String::new() } else { format!("{parent_id:016x}") },
        "name": span.name.as_deref().unwrap_or_default(),
        "kind": number_of(span.kind.as_deref().unwrap_or("internal")),
        "startTimeUnixNano": nanos(start),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn span(text: &str) -> Result<Span, String> {
        Span::parse(text)
    }

    #[test]
    fn what_is_no_span_of_the_second_version_is_told() {
        let check = |members: &str, expected: Option<&str>| {
            let read = span(&format!("{{{members}}}"));
            match (read, expected) {
                (Ok(_), None) => {}
                (Err(error), Some(expected)) => assert!(error.contains(expected), "{error}"),
                (read, _) => panic!("{members}: {read:?}"),
            }
        };
        check(r#""traceId": "1", "id": "a""#, None);
        check(r#""traceId": "1", "id": "a", "parentId": """#, None);
        check(
            r#""traceId": "1", "id": "a", "annotations": [{"timestamp": 1, "value": "e"}]"#,
            None,
        );
        let first = Some("first version");
        check(
            r#""traceId": "1", "id": "a", "binaryAnnotations": []"#,
            first,
        );
        check(
            r#""traceId": "1", "id": "a", "annotations": [{"timestamp": 1, "value": "cs", "endpoint": {}}]"#,
            first,
        );
        check(r#""traceId": "1""#, Some("missing field `id`"));
        check(
            r#""traceId": "x", "id": "a""#,
            Some("traceId is not 1 to 32 hex digits"),
        );
        check(
            r#""traceId": "1", "id": "11112222333344445""#,
            Some("id is not 1 to 16 hex digits"),
        );
        check(
            r#""traceId": "1", "id": "a", "parentId": "-""#,
            Some("parentId is not"),
        );
    }

    #[test]
    fn a_span_without_a_time_has_that_of_another_one() {
        let text = |trace: &str, id: &str, others: &str| {
            format!(r#"{{"traceId": "{trace}", "id": "{id}"{others}}}"#)
        };
        let mut spans: Vec<Span> = [
            text("1", "a", r#", "timestamp": 50"#),
            text("1", "b", r#", "timestamp": 70, "parentId": "a""#),
            text("1", "00b", ""),
            text("1", "c", r#", "timestamp": 0, "parentId": "b""#),
            text("01", "d", r#", "parentId": "e""#),
            text(
                "1",
                "f",
                r#", "annotations": [{"timestamp": 66}, {"timestamp": 65}]"#,
            ),
            text("2", "a", ""),
        ]
        .iter()
        .map(|text| span(text).unwrap())
        .collect();
        time(&mut spans.iter_mut().collect::<Vec<_>>());
        let times: Vec<Option<u64>> = spans.iter().map(|span| span.timestamp).collect();
        let expected = [50, 70, 70, 70, 50, 65].map(Some);
        assert_eq!(times, [&expected[..], &[None]].concat());
    }
}
