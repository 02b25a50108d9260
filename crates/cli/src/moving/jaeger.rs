//! Traces in the JSON of Jaeger's API and user interface, as spans of OTLP in JSON and back (source: Jaeger's model of
//! JSON, `internal/uimodel`, and the translator of the OpenTelemetry collector, `pkg/translator/jaeger`).
//!
//! Jaeger knows times to the microsecond, values of attributes that are text, truth values, numbers or bytes, and no
//! attributes of links or scopes. What else a span has is there and back the same.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A trace as Jaeger's API answers it.
#[derive(Debug, Deserialize)]
pub(crate) struct Trace {
    #[serde(default)]
    spans: Option<Vec<Span>>,
    #[serde(default)]
    processes: Option<HashMap<String, Process>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "named as Jaeger names them")]
struct Span {
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
    #[serde(rename = "parentSpanID", default)]
    parent_span_id: Option<String>,
    #[serde(default)]
    operation_name: String,
    #[serde(default)]
    references: Option<Vec<Reference>>,
    /// In microseconds.
    start_time: u64,
    #[serde(default)]
    duration: u64,
    #[serde(default)]
    tags: Option<Vec<Tag>>,
    #[serde(default)]
    logs: Option<Vec<Log>>,
    #[serde(rename = "processID", default)]
    process_id: Option<String>,
    #[serde(default)]
    process: Option<Process>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    #[serde(default)]
    ref_type: String,
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
}

#[derive(Debug, Deserialize)]
struct Tag {
    key: String,
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    value: Value,
}

#[derive(Debug, Deserialize)]
struct Log {
    /// In microseconds.
    timestamp: u64,
    #[serde(default)]
    fields: Option<Vec<Tag>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    #[serde(default)]
    service_name: String,
    #[serde(default)]
    tags: Option<Vec<Tag>>,
}

/// Returns the body of an export request in JSON that brings the spans of a trace.
pub(crate) fn to_otlp(trace: &Trace) -> Value {
    let none = Process::default();
    let mut groups: Vec<(&Process, Vec<Value>)> = Vec::new();
    let mut group_of: HashMap<&str, usize> = HashMap::new();
    for span in trace.spans.iter().flatten() {
        let named = span.process_id.as_deref().unwrap_or_default();
        let processes = trace.processes.as_ref();
        let process = span.process.as_ref();
        let shared = processes.and_then(|processes| processes.get(named));
        let spans = otlp_span(span);
        let known = group_of.get(named).filter(|_| process.is_none());
        if let Some((_, group)) = known.and_then(|group_idx| groups.get_mut(*group_idx)) {
            group.push(spans);
        } else {
            if process.is_none() {
                group_of.insert(named, groups.len());
            }
            groups.push((process.or(shared).unwrap_or(&none), vec![spans]));
        }
    }
    let groups = groups.into_iter().map(|(process, scopes)| {
        json!({ "resource": { "attributes": resource(process) }, "scopeSpans": scopes })
    });
    json!({ "resourceSpans": groups.collect::<Vec<_>>() })
}

fn resource(process: &Process) -> Vec<Value> {
    let mut attributes: Vec<Value> = attributes(process.tags.as_deref());
    if !process.service_name.is_empty() && process.service_name != NO_SERVICE {
        let name = json!({ "key": SERVICE, "value": { "stringValue": process.service_name } });
        attributes.insert(0, name);
    }
    attributes
}

/// Returns a span in a scope of its own.
fn otlp_span(span: &Span) -> Value {
    let references = span.references.as_deref().unwrap_or_default();
    let is_parent = |reference: &&Reference| {
        reference.ref_type == CHILD_OF && same_id(&reference.trace_id, &span.trace_id)
    };
    let parent = references.iter().find(is_parent);
    let links = references
        .iter()
        .filter(|reference| parent.is_none_or(|parent| !std::ptr::eq(parent, *reference)));
    let links = links.map(|link| {
        json!({ "traceId": padded(&link.trace_id, 32), "spanId": padded(&link.span_id, 16) })
    });
    let parent_id = parent
        .map(|parent| &parent.span_id)
        .or(span.parent_span_id.as_ref());
    let parent_id = parent_id.map(|id| padded(id, 16));
    let parent_id = parent_id
        .filter(|id| id.contains(|digit| digit != '0'))
        .unwrap_or_default();
    let told = Told::of(span.tags.as_deref());
    let end = span.start_time.saturating_add(span.duration);
    let events = span.logs.iter().flatten().map(event);
    let is_scope_named = !told.scope_name.is_empty() || !told.scope_version.is_empty();
    let scope =
        is_scope_named.then(|| json!({ "name": told.scope_name, "version": told.scope_version }));
    let written = json!({
        "traceId": padded(&span.trace_id, 32),
        "spanId": padded(&span.span_id, 16),
        "parentSpanId": parent_id,
        "traceState": told.state,
        "name": span.operation_name,
        "kind": told.kind,
        "startTimeUnixNano": nanos(span.start_time),
        "endTimeUnixNano": if told.in_progress { "0".to_owned() } else { nanos(end) },
        "attributes": told.attributes,
        "events": events.collect::<Vec<_>>(),
        "links": links.collect::<Vec<_>>(),
        // One that says nothing stands for none, too: Jaeger has no other word for either.
        "status": told.status,
    });
    json!({ "scope": scope, "spans": [written] })
}

/// What the tags of a span say.
#[derive(Default)]
struct Told<'a> {
    kind: u8,
    status: Map<String, Value>,
    scope_name: &'a str,
    scope_version: &'a str,
    state: &'a str,
    in_progress: bool,
    attributes: Vec<Value>,
}

impl<'a> Told<'a> {
    fn of(tags: Option<&'a [Tag]>) -> Self {
        let mut told = Self::default();
        let status = &mut told.status;
        let mut error = None;
        for tag in tags.unwrap_or_default() {
            let text = tag.value.as_str();
            match (tag.key.as_str(), text) {
                ("span.kind", Some(kind)) => told.kind = number_of(kind),
                ("otel.status_code", Some(code)) => {
                    let code = if code == "ERROR" {
                        2
                    } else {
                        u8::from(code == "OK")
                    };
                    status.insert("code".to_owned(), code.into());
                }
                ("otel.status_description", Some(message)) => {
                    status.insert("message".to_owned(), message.into());
                }
                ("otel.scope.name" | "otel.library.name", Some(name)) => told.scope_name = name,
                ("otel.scope.version" | "otel.library.version", Some(version)) => {
                    told.scope_version = version;
                }
                ("w3c.tracestate", Some(state)) => told.state = state,
                (IN_PROGRESS, _) => told.in_progress = tag.value == Value::Bool(true),
                ("error", _) => error = Some(tag),
                _ => told.attributes.extend(attribute(tag)),
            }
        }
        if let Some(tag) = error {
            let value = tag
                .value
                .as_str()
                .map_or_else(|| tag.value.to_string(), str::to_owned);
            let says = |text: &str| value == text;
            if !status.contains_key("code") && !says("false") {
                status.insert("code".to_owned(), 2.into());
            }
            // Some clients say there what went wrong.
            if !says("true") && !says("false") {
                told.attributes.extend(attribute(tag));
            }
        }
        told
    }
}

fn event(log: &Log) -> Value {
    let fields = log.fields.as_deref().unwrap_or_default();
    let name = fields.iter().position(|field| field.key == "event");
    let named = name.and_then(|idx| fields.get(idx));
    let named = named.and_then(|field| field.value.as_str());
    let others = fields.iter().enumerate();
    let others = others.filter(|(idx, _)| named.is_none() || Some(*idx) != name);
    json!({
        "timeUnixNano": nanos(log.timestamp),
        "name": named.unwrap_or_default(),
        "attributes": others.filter_map(|(_, field)| attribute(field)).collect::<Vec<_>>(),
    })
}

fn attributes(tags: Option<&[Tag]>) -> Vec<Value> {
    let tags = tags.unwrap_or_default();
    tags.iter().filter_map(attribute).collect()
}

/// Returns a tag as an attribute, nothing if it has no value.
fn attribute(tag: &Tag) -> Option<Value> {
    let kind = tag.kind.as_deref().unwrap_or_default();
    let value = match (&tag.value, kind) {
        (Value::Null, _) => return None,
        (Value::Bool(flag), _) => json!({ "boolValue": flag }),
        (Value::String(text), "bool") => json!({ "boolValue": text == "true" }),
        (Value::String(text), "int64") => json!({ "intValue": text }),
        (Value::String(text), "float64") => json!({ "doubleValue": text }),
        (Value::String(text), "binary") => json!({ "bytesValue": text }),
        (Value::String(text), _) => match list(&tag.key, text) {
            Some(list) => list,
            None => json!({ "stringValue": text }),
        },
        (Value::Number(number), "float64") => json!({ "doubleValue": number }),
        (Value::Number(number), _) if number.is_f64() => json!({ "doubleValue": number }),
        (Value::Number(number), _) => json!({ "intValue": number.to_string() }),
        (Value::Array(_) | Value::Object(_), _) => {
            json!({ "stringValue": tag.value.to_string() })
        }
    };
    Some(json!({ "key": tag.key, "value": value }))
}

/// Returns the list that a text is if the attribute is one that always is a list.
fn list(key: &str, text: &str) -> Option<Value> {
    if !LISTS.contains(&key) {
        return None;
    }
    let texts: Vec<String> = serde_json::from_str(text).ok()?;
    let values = texts.iter().map(|text| json!({ "stringValue": text }));
    Some(json!({ "arrayValue": { "values": values.collect::<Vec<_>>() } }))
}

/// Returns the trace of an export request in JSON, as [`to_otlp`] takes it.
pub(crate) fn from_otlp(trace_id: &str, request: &Value) -> Value {
    let mut processes = Map::new();
    let mut spans = Vec::new();
    for group in members(request, "resourceSpans") {
        let process = process(group);
        let known = processes.iter().find(|(_, known)| **known == process);
        let process_id = known.map(|(id, _)| id.clone());
        let process_id = process_id.unwrap_or_else(|| {
            let id = format!("p{}", processes.len() + 1);
            processes.insert(id.clone(), process);
            id
        });
        for scope in members(group, "scopeSpans") {
            for span in members(scope, "spans") {
                spans.push(jaeger_span(scope, span, &process_id));
            }
        }
    }
    json!({ "traceID": trace_id, "spans": spans, "processes": processes, "warnings": null })
}

fn process(group: &Value) -> Value {
    let resource = group.get("resource").unwrap_or(&Value::Null);
    let attributes = || members(resource, "attributes");
    let name = attributes().find(|attribute| text(attribute, "key") == SERVICE);
    let name = name.and_then(|name| name.pointer("/value/stringValue")?.as_str());
    let others = attributes().filter(|attribute| text(attribute, "key") != SERVICE);
    json!({ "serviceName": name.unwrap_or(NO_SERVICE), "tags": others.map(tag).collect::<Vec<_>>() })
}

fn jaeger_span(scope: &Value, span: &Value, process_id: &str) -> Value {
    let trace_id = text(span, "traceId");
    let (start, end) = (
        micros(span, "startTimeUnixNano"),
        micros(span, "endTimeUnixNano"),
    );
    let reference = |kind: &str, trace_id: &str, span_id: &str| json!({ "refType": kind, "traceID": trace_id, "spanID": span_id });
    let parent_id = text(span, "parentSpanId");
    let parent = (!parent_id.is_empty()).then(|| reference(CHILD_OF, trace_id, parent_id));
    let links = members(span, "links");
    let links =
        links.map(|link| reference("FOLLOWS_FROM", text(link, "traceId"), text(link, "spanId")));
    let logs = members(span, "events").map(|event| {
        let name = text(event, "name");
        let name = (!name.is_empty()).then(|| text_tag("event", name));
        let fields = name
            .into_iter()
            .chain(members(event, "attributes").map(tag));
        json!({ "timestamp": micros(event, "timeUnixNano"), "fields": fields.collect::<Vec<_>>() })
    });
    json!({
        "traceID": trace_id,
        "spanID": text(span, "spanId"),
        "operationName": text(span, "name"),
        "references": parent.into_iter().chain(links).collect::<Vec<_>>(),
        "startTime": start,
        "duration": end.saturating_sub(start),
        "tags": tags(scope, span),
        "logs": logs.collect::<Vec<_>>(),
        "processID": process_id,
        "warnings": null,
    })
}

fn tags(scope: &Value, span: &Value) -> Vec<Value> {
    let scope = scope.get("scope").unwrap_or(&Value::Null);
    let kind = span.get("kind").and_then(Value::as_u64);
    let kind = kind.and_then(|kind| KINDS.get(usize::try_from(kind).ok()?));
    let status = span.get("status").unwrap_or(&Value::Null);
    let code = status
        .get("code")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    let named = [
        ("otel.scope.name", text(scope, "name")),
        ("otel.scope.version", text(scope, "version")),
        ("w3c.tracestate", text(span, "traceState")),
        ("span.kind", kind.copied().unwrap_or_default()),
        (
            "otel.status_code",
            STATUS
                .get(usize::try_from(code).unwrap_or_default())
                .copied()
                .unwrap_or_default(),
        ),
        ("otel.status_description", text(status, "message")),
    ];
    let said = named.iter().filter(|(_, value)| !value.is_empty());
    let mut tags: Vec<Value> = said.map(|(key, value)| text_tag(key, value)).collect();
    if code == 2 {
        tags.push(json!({ "key": "error", "type": "bool", "value": true }));
    }
    if micros(span, "endTimeUnixNano") == 0 {
        tags.push(json!({ "key": IN_PROGRESS, "type": "bool", "value": true }));
    }
    tags.extend(members(span, "attributes").map(tag));
    tags
}

/// Returns an attribute as a tag; lists and objects become their JSON.
fn tag(attribute: &Value) -> Value {
    let key = text(attribute, "key");
    let value = attribute.get("value").unwrap_or(&Value::Null);
    let (kind, value) = match value.as_object().and_then(|value| value.iter().next()) {
        Some((kind, value)) => match kind.as_str() {
            "boolValue" => ("bool", value.clone()),
            "intValue" => ("int64", integer(value)),
            "doubleValue" => ("float64", value.clone()),
            "bytesValue" => ("binary", value.clone()),
            "stringValue" => ("string", value.clone()),
            _ => ("string", plain(attribute.get("value")).to_string().into()),
        },
        None => ("string", "".into()),
    };
    json!({ "key": key, "type": kind, "value": value })
}

fn text_tag(key: &str, value: &str) -> Value {
    json!({ "key": key, "type": "string", "value": value })
}

/// Returns a whole number as one of JSON, if browsers read that exactly.
fn integer(value: &Value) -> Value {
    let number = match value {
        Value::String(text) => text.parse::<i64>().ok(),
        _ => value.as_i64(),
    };
    match number.filter(|number| number.unsigned_abs() <= EXACT_MAX) {
        Some(number) => number.into(),
        None => value.clone(),
    }
}

/// Returns a value of an attribute as plain JSON.
fn plain(value: Option<&Value>) -> Value {
    let Some((kind, value)) = value.and_then(|value| value.as_object()?.iter().next()) else {
        return Value::Null;
    };
    match kind.as_str() {
        "arrayValue" => members(value, "values")
            .map(|value| plain(Some(value)))
            .collect(),
        "kvlistValue" => {
            let members = members(value, "values");
            let members =
                members.map(|member| (text(member, "key").to_owned(), plain(member.get("value"))));
            Value::Object(members.collect())
        }
        "intValue" => integer(value),
        _ => value.clone(),
    }
}

/// Returns the items of a list that is a member, none if it is none.
fn members<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    value
        .get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn micros(value: &Value, name: &str) -> u64 {
    let nanos: u64 = text(value, name).parse().unwrap_or_default();
    nanos / NANOS_PER_MICRO
}

/// Returns microseconds as OTLP writes times.
pub(crate) fn nanos(micros: u64) -> String {
    micros.saturating_mul(NANOS_PER_MICRO).to_string()
}

/// Returns an id with the zeros in front that some writers leave out.
pub(crate) fn padded(id: &str, n_digits: usize) -> String {
    format!("{id:0>n_digits$}")
}

fn same_id(one: &str, other: &str) -> bool {
    one.trim_start_matches('0')
        .eq_ignore_ascii_case(other.trim_start_matches('0'))
}

/// Returns the number of a kind of span, 0 if it is none.
pub(crate) fn number_of(kind: &str) -> u8 {
    let kind = kind.to_ascii_lowercase();
    (0..)
        .zip(KINDS)
        .find(|(_, known)| kind == *known)
        .map_or(0, |(number, _)| number)
}

const CHILD_OF: &str = "CHILD_OF";
const SERVICE: &str = "service.name";
/// What Jaeger calls a resource that has no name.
const NO_SERVICE: &str = "OTLPResourceNoServiceName";
/// Says of a span that it has no end yet, for which Jaeger has no word.
const IN_PROGRESS: &str = "aws.xray.in_progress";
const KINDS: [&str; 6] = ["", "internal", "server", "client", "producer", "consumer"];
const STATUS: [&str; 3] = ["", "OK", "ERROR"];
/// Attributes that are lists, which Jaeger writes as text.
const LISTS: [&str; 7] = [
    "aws.dynamodb.table_names",
    "aws.log.group.arns",
    "aws.log.group.names",
    "aws.log.stream.arns",
    "aws.log.stream.names",
    "aws.xray.annotations",
    "aws.xray.document.without",
];
const NANOS_PER_MICRO: u64 = 1_000;
/// The largest whole number a double holds with all before it.
const EXACT_MAX: u64 = 1 << 53;
