//! The documents of a retrieved trace: segments as they are compiled, or spans of OpenTelemetry in the
//! form Transaction Search keeps them (spec: user guide of Amazon
//! `CloudWatch`, "Transaction Search").

use std::time::Duration;

use model::{
    CompiledSegment, Document, DocumentLimits, Node, Orphans, Segment, SegmentId, Timestamp, Trace,
    TraceId,
};
use protocol::shapes::{RetrievedSpan, TraceFormat};
use serde_json::{Map, Value, json};

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
    let mut spans = Vec::new();
    for segment in &trace.segments {
        let mut document = String::new();
        segment.write_document(&mut document);
        match format {
            TraceFormat::XRay => spans.push(RetrievedSpan {
                id: segment.id().to_string(),
                document,
            }),
            // Inferred segments are made up from calls, which are spans themselves.
            TraceFormat::Otel if segment.inferred() => {}
            TraceFormat::Otel => {
                if let Ok(value) = serde_json::from_str(&document) {
                    add_spans(trace_id, segment, &value, &mut spans);
                }
            }
        }
    }
    Some(RetrievedSpans {
        start,
        end,
        duration: trace.duration,
        spans,
    })
}

/// Adds the spans of a segment and of the subsegments below it, parents first.
fn add_spans(
    trace_id: TraceId,
    segment: &CompiledSegment<'_>,
    json: &Value,
    spans: &mut Vec<RetrievedSpan>,
) {
    let resource = resource(json);
    let mut waiting = vec![(segment.node(), json, segment.parent_id())];
    while let Some((node, json, parent_id)) = waiting.pop() {
        let entity = Entity {
            node,
            json,
            parent_id,
        };
        let span = span(trace_id, &entity, &resource);
        spans.push(RetrievedSpan {
            id: node.id().to_string(),
            document: span.to_string(),
        });
        let below = json.get("subsegments").and_then(Value::as_array);
        let below = node.subsegments().iter().zip(below.into_iter().flatten());
        let mut below: Vec<_> = below
            .map(|(child, json)| (child, json, Some(node.id())))
            .collect();
        below.reverse();
        waiting.extend(below);
    }
}

/// A segment or subsegment: its times, which JSON numbers of doubles would not hold, and its members.
struct Entity<'a> {
    node: &'a Node<'a>,
    json: &'a Value,
    parent_id: Option<SegmentId>,
}

fn span(trace_id: TraceId, entity: &Entity<'_>, resource: &Value) -> Value {
    let Entity {
        node,
        json: entity,
        parent_id,
    } = entity;
    let start = node.start().as_nanos();
    let end = (!node.in_progress()).then(|| node.end().as_nanos());
    let hex: String = trace_id.to_string().split('-').skip(1).collect();
    let mut span = Map::new();
    span.insert("resource".to_owned(), json!({ "attributes": resource }));
    span.insert("traceId".to_owned(), json!(hex));
    span.insert("spanId".to_owned(), json!(node.id().to_string()));
    if let Some(parent_id) = parent_id {
        span.insert("parentSpanId".to_owned(), json!(parent_id.to_string()));
    }
    span.insert("name".to_owned(), json!(text(entity, "name")));
    span.insert("kind".to_owned(), json!(kind(entity)));
    span.insert("startTimeUnixNano".to_owned(), json!(start));
    if let Some(end) = end {
        span.insert("endTimeUnixNano".to_owned(), json!(end));
        span.insert("durationNano".to_owned(), json!(end.saturating_sub(start)));
    }
    span.insert("attributes".to_owned(), attributes(entity));
    span.insert(
        "events".to_owned(),
        exceptions(entity, end.unwrap_or(start)),
    );
    span.insert("links".to_owned(), links(entity));
    span.insert("status".to_owned(), status(entity));
    Value::Object(span)
}

/// Returns what OpenTelemetry says of where a span ran.
fn resource(segment: &Value) -> Value {
    let mut attributes = Map::new();
    let name = segment.get("name").cloned().unwrap_or_default();
    attributes.insert("service.name".to_owned(), name);
    let known = [
        ("/aws/account_id", "cloud.account.id"),
        ("/aws/ec2/instance_id", "host.id"),
        ("/aws/ec2/availability_zone", "cloud.availability_zone"),
        ("/aws/ecs/container", "container.name"),
        ("/aws/ecs/container_id", "container.id"),
        ("/aws/eks/cluster_name", "k8s.cluster.name"),
        ("/aws/eks/pod", "k8s.pod.name"),
        ("/service/version", "service.version"),
        ("/service/runtime", "process.runtime.name"),
        ("/origin", "aws.origin"),
        ("/resource_arn", "aws.resource.arn"),
    ];
    copy(segment, &known, &mut attributes);
    Value::Object(attributes)
}

fn attributes(entity: &Value) -> Value {
    let mut attributes = Map::new();
    let known = [
        ("/http/request/method", "http.request.method"),
        ("/http/request/url", "url.full"),
        ("/http/request/user_agent", "user_agent.original"),
        ("/http/request/client_ip", "client.address"),
        ("/http/response/status", "http.response.status_code"),
        ("/http/response/content_length", "http.response.body.size"),
        ("/user", "enduser.id"),
        ("/aws/operation", "rpc.method"),
        ("/aws/region", "cloud.region"),
        ("/aws/request_id", "aws.request_id"),
        ("/aws/queue_url", "aws.sqs.queue_url"),
        ("/aws/table_name", "aws.dynamodb.table_name"),
        ("/sql/database_type", "db.system"),
        ("/sql/user", "db.user"),
        ("/sql/sanitized_query", "db.query.text"),
        ("/sql/url", "db.url"),
        ("/namespace", "aws.xray.namespace"),
    ];
    copy(entity, &known, &mut attributes);
    let annotations = entity.get("annotations").and_then(Value::as_object);
    for (key, value) in annotations.into_iter().flatten() {
        attributes.insert(key.clone(), value.clone());
    }
    if let Some(annotations) = annotations {
        let keys: Vec<&String> = annotations.keys().collect();
        attributes.insert("aws.xray.annotations".to_owned(), json!(keys));
    }
    let metadata = entity.get("metadata").and_then(Value::as_object);
    for (namespace, value) in metadata.into_iter().flatten() {
        let key = format!("aws.xray.metadata.{namespace}");
        attributes.insert(key, json!(value.to_string()));
    }
    Value::Object(attributes)
}

/// Copies what stands at some places, if it is there.
fn copy(entity: &Value, known: &[(&str, &str)], attributes: &mut Map<String, Value>) {
    for (place, name) in known {
        if let Some(value) = entity.pointer(place) {
            attributes.insert((*name).to_owned(), value.clone());
        }
    }
}

/// Returns the exceptions of a cause as events; X-Ray does not say when they were thrown.
fn exceptions(entity: &Value, at: u64) -> Value {
    let thrown = entity
        .pointer("/cause/exceptions")
        .and_then(Value::as_array);
    let event = |exception: &Value| {
        json!({
            "name": "exception",
            "timeUnixNano": at,
            "attributes": {
                "exception.type": exception.get("type"),
                "exception.message": exception.get("message"),
            },
        })
    };
    thrown.into_iter().flatten().map(event).collect()
}

fn links(entity: &Value) -> Value {
    let links = entity.get("links").and_then(Value::as_array);
    let link = |link: &Value| {
        let trace_id = TraceId::parse_any(text(link, "trace_id")?)
            .ok()?
            .to_string();
        let hex: String = trace_id.split('-').skip(1).collect();
        Some(json!({
            "traceId": hex,
            "spanId": text(link, "id")?,
            "attributes": link.get("attributes").cloned().unwrap_or_else(|| json!({})),
        }))
    };
    links.into_iter().flatten().filter_map(link).collect()
}

/// Segments serve requests, subsegments with a namespace call others, the rest is work within.
fn kind(entity: &Value) -> &'static str {
    match (text(entity, "namespace"), entity.get("trace_id")) {
        (Some("aws" | "remote"), _) => "CLIENT",
        (_, Some(_)) if text(entity, "type") != Some("subsegment") => "SERVER",
        (_, _) => "INTERNAL",
    }
}

fn status(entity: &Value) -> Value {
    let is_set = |name| entity.get(name) == Some(&Value::Bool(true));
    let is_refused = is_set("error") && kind(entity) == "CLIENT";
    if is_set("fault") || is_refused {
        json!({ "code": "ERROR" })
    } else {
        json!({ "code": "UNSET" })
    }
}

fn text<'v>(entity: &'v Value, name: &str) -> Option<&'v str> {
    entity.get(name)?.as_str()
}
