//! One segment or subsegment as a span, by the semantic conventions.

use model::{SegmentId, TraceId};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use serde_json::Value;

use super::attributes::{Attributes, Places, scalar, texts};
use super::entity::Entity;
use super::events::{exceptions_of, links_of};
use super::members::canonical;

/// Where a segment or subsegment stands in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Segment,
    Subsegment,
}

/// Returns the span of a segment or subsegment, without what is nested in it.
pub(super) fn span_of(
    entity: &Entity<'_>,
    trace_id: TraceId,
    parent_id: Option<SegmentId>,
    place: Place,
    language: &str,
) -> Option<Span> {
    let span_id: SegmentId = entity.text("id")?.parse().ok()?;
    let start = entity.time("start_time")?.as_nanos();
    let end = entity.end().map_or(0, model::Timestamp::as_nanos);
    let kind = kind_of(entity, place);
    // Zero is no id of a span.
    let parent_id = parent_id.filter(|parent_id| parent_id.0 != 0);
    let parent_id = parent_id.map(|parent_id| parent_id.0.to_be_bytes().to_vec());
    Some(Span {
        trace_id: trace_id.as_bytes().to_vec(),
        span_id: span_id.0.to_be_bytes().to_vec(),
        parent_span_id: parent_id.unwrap_or_default(),
        name: entity.text("name").unwrap_or_default(),
        kind: kind.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        attributes: attributes_of(entity, place).into_list(),
        events: exceptions_of(entity, end.max(start), language),
        links: links_of(entity),
        status: Some(status_of(entity, kind)),
        ..Span::default()
    })
}

/// Segments serve requests, subsegments with a namespace call others, the rest is work within.
fn kind_of(entity: &Entity<'_>, place: Place) -> SpanKind {
    match (place, entity.text("namespace").as_deref()) {
        (Place::Segment, _) => SpanKind::Server,
        (Place::Subsegment, Some("aws" | "remote")) => SpanKind::Client,
        (Place::Subsegment, _) => SpanKind::Internal,
    }
}

/// A fault is an error; that a request was refused is one to the caller only.
fn status_of(entity: &Entity<'_>, kind: SpanKind) -> Status {
    let http = entity.block("http");
    let status = http.pointer("/response/status").and_then(Value::as_i64);
    let status = status.unwrap_or(0);
    let has_failed = entity.flag("fault").unwrap_or((500..600).contains(&status));
    let is_refused = entity.flag("error").unwrap_or((400..500).contains(&status));
    let is_error = has_failed || (is_refused && kind == SpanKind::Client);
    let code = if is_error {
        StatusCode::Error
    } else {
        StatusCode::Unset
    };
    Status {
        code: code.into(),
        message: String::new(),
    }
}

fn attributes_of(entity: &Entity<'_>, place: Place) -> Attributes {
    let mut attributes = Attributes::default();
    let http = entity.block("http");
    attributes.put_texts(&http, HTTP);
    // Whom a proxy speaks for is not who connects.
    if http.pointer("/request/x_forwarded_for") != Some(&Value::Bool(true)) {
        attributes.put_texts(&http, &[("/request/client_ip", "network.peer.address")]);
    }
    attributes.put_integers(&http, HTTP_INTEGERS);
    put_user(entity, &mut attributes);
    if place == Place::Subsegment {
        put_call(entity, &mut attributes);
    }
    put_sql(&entity.block("sql"), &mut attributes);
    put_annotations(entity, &mut attributes);
    for (namespace, json) in entity.entries("metadata") {
        let key = format!("{METADATA_PREFIX}{namespace}");
        attributes.put_text(&key, &canonical(json.get()));
    }
    attributes
}

fn put_user(entity: &Entity<'_>, attributes: &mut Attributes) {
    if let Some(user) = entity.text("user").filter(|user| !user.is_empty()) {
        attributes.put_text("enduser.id", &user);
    }
}

/// Puts what a subsegment says of the service it calls.
fn put_call(entity: &Entity<'_>, attributes: &mut Attributes) {
    let name = entity.text("name").unwrap_or_default();
    let aws = entity.block("aws");
    match entity.text("namespace").as_deref() {
        Some("aws") => {
            attributes.put_text("rpc.system", "aws-api");
            attributes.put_text("rpc.service", &name);
            attributes.put_texts(&aws, &[("/operation", "rpc.method")]);
        }
        Some("remote") => {
            attributes.put_text("peer.service", &name);
            attributes.put_texts(&aws, &[("/operation", "aws.operation")]);
        }
        Some(_) | None => attributes.put_texts(&aws, &[("/operation", "aws.operation")]),
    }
    attributes.put_texts(&aws, AWS);
    let tables = match aws.get("table_names").and_then(Value::as_array) {
        Some(names) => names.iter().filter_map(Value::as_str).collect(),
        None => Vec::from_iter(aws.get("table_name").and_then(Value::as_str)),
    };
    if !tables.is_empty() {
        let names = tables.into_iter().map(str::to_owned);
        attributes.put("aws.dynamodb.table_names", texts(names));
    }
}

/// Puts a query. What exporters write as connection string ends in the name of the database.
fn put_sql(sql: &Value, attributes: &mut Attributes) {
    attributes.put_texts(sql, SQL);
    let connection = sql.get("connection_string").and_then(Value::as_str);
    if let Some((server, database)) = connection.and_then(|text| text.rsplit_once('/')) {
        attributes.put_text("db.connection_string", server);
        if !database.is_empty() {
            attributes.put_text("db.name", database);
        }
    }
}

/// Puts annotations, and the list that tells they are some. Keys that mean something else in a span
/// are left out.
fn put_annotations(entity: &Entity<'_>, attributes: &mut Attributes) {
    let mut keys = Vec::new();
    for (key, json) in entity.entries("annotations") {
        let Some(value) = scalar(json) else { continue };
        let is_reserved = key.starts_with(OWN_PREFIX) || key == SPAN_KIND;
        if !is_reserved && attributes.put(&key, value) {
            keys.push(key);
        }
    }
    if !keys.is_empty() {
        attributes.put(ANNOTATIONS, texts(keys));
    }
}

const OWN_PREFIX: &str = "aws.xray.";
/// Would make two documents of a span.
const SPAN_KIND: &str = "aws.span.kind";
const ANNOTATIONS: &str = "aws.xray.annotations";
const METADATA_PREFIX: &str = "aws.xray.metadata.";

const HTTP: &Places = &[
    ("/request/method", "http.request.method"),
    ("/request/url", "url.full"),
    ("/request/user_agent", "user_agent.original"),
    ("/request/client_ip", "client.address"),
];

const HTTP_INTEGERS: &Places = &[
    ("/response/status", "http.response.status_code"),
    ("/response/content_length", "http.response.body.size"),
];

const AWS: &Places = &[
    ("/account_id", "aws.account_id"),
    ("/region", "aws.region"),
    ("/request_id", "aws.request_id"),
    ("/queue_url", "aws.queue_url"),
];

const SQL: &Places = &[
    ("/database_type", "db.system"),
    ("/user", "db.user"),
    ("/sanitized_query", "db.query.text"),
];
