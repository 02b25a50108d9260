//! Spans to segment documents (source: the X-Ray exporter of the OpenTelemetry collector,
//! `exporter/awsxrayexporter/internal/translator`).
//!
//! # Documents
//!
//! A span of kind SERVER, or without a parent, is a segment; any other one is a subsegment sent alone. With
//! [`Rules::consumer_segments`], as in exporters since 0.137, one of kind CONSUMER is a segment, too, named as one of kind
//! SERVER is, and one of kind PRODUCER is a call as one of kind CLIENT is. A span whose
//! `aws.span.kind` is `LOCAL_ROOT` begins the work of a service: of kind SERVER or INTERNAL it is a segment, of
//! any other kind it is two documents, a subsegment for the call and a segment above it for the service that made it.
//!
//! # Members
//!
//! Of several names of one attribute the first one counts. Everything but what is said in *kept* is as the exporter
//! has it, unless noted.
//!
//! | member | from |
//! |---|---|
//! | `trace_id`, `id`, `parent_id` | ids of the span; no `parent_id` on roots |
//! | `type` | `subsegment`, absent on segments |
//! | `start_time`, `end_time` | times of the span to the nanosecond; without an end `in_progress` instead (ours) |
//! | `name` | `aws.local.service` (SERVER, INTERNAL that is a local root, CONSUMER that is a segment by the rules), `aws.remote.service` (CLIENT, PRODUCER, other CONSUMER; for SDK calls without `AWS.SDK.` or `AWS::`), `peer.service`/`service.peer.name`, `aws.service`, `db.name`/`db.namespace` (not one of digits alone, the index of a database of Redis; ours) with `@` and the host of `db.connection_string` or `server.address`, the resource's `service.name` (SERVER, CONSUMER that is a segment by the rules), `rpc.service`, `http.host`, `net.peer.name`/`server.address`, the span's name without characters that are not allowed, `span`. In all but the span's name such characters become `_` (ours) |
//! | `namespace` | `aws` if `rpc.system`/`rpc.system.name` is `aws-api` or the name is from `aws.service`; else `remote` for CLIENT, and for PRODUCER and CONSUMER with `aws.remote.service`, by the rules for every PRODUCER; never for CONSUMER that is a segment by the rules |
//! | `error`, `throttle`, `fault` | always written; HTTP status 400-499 is an error (429 throttled, too), 500-599 a fault, else status ERROR is a fault |
//! | `cause.exceptions` | events `exception`: `exception.type`, `exception.message`, `exception.stacktrace` read by the resource's `telemetry.sdk.language`; of SDK calls events `HTTP request failure`; without any the message of status ERROR, or `http.status_text` |
//! | `origin` | the resource's `cloud.platform`, `aws.ecs.launchtype` |
//! | `service.version` | the resource's `service.version`/`container.image.tag` |
//! | `user` | `enduser.id` |
//! | `links` | links with valid ids |
//! | `http.request.method` | `http.method`/`http.request.method` |
//! | `http.request.url` | `http.url`/`url.full`, else put together: `http.scheme`/`url.scheme`; `http.host`, or for servers `http.server_name`/`net.host.name`/`host.name`/`server.address` and `net.host.port`/`server.port`, for others `net.peer.name`/`net.peer.ip`/`server.address`/`network.peer.address` and `net.peer.port`/`server.port`, between the two `network.peer.port` if the host is the address of the peer (ours); `http.target`, or `url.path` and `url.query` |
//! | `http.request.user_agent` | `http.user_agent`/`user_agent.original` |
//! | `http.request.client_ip` | `http.client_ip`/`client.address`/`net.peer.ip`/`network.peer.address`; with `x_forwarded_for` if neither of the last two is there |
//! | `http.response.status` | `http.status_code`/`http.response.status_code` |
//! | `http.response.content_length` | `messaging.message_payload_size_bytes`/`messaging.message.body.size` of a span or event whose `message.type` is `RECEIVED`, `http.response_content_length`/`http.response.body.size` (ours), 0 |
//! | `aws.account_id` | `aws.account_id`, the resource's `cloud.account.id` |
//! | `aws.ec2` | the resource's `host.id`, `cloud.availability_zone`, `host.type`, `host.image.id` |
//! | `aws.ecs` | the resource's `container.name`, `container.id`, `aws.ecs.{task,cluster,container}.arn`, `aws.ecs.task.family`, `aws.ecs.launchtype`, `cloud.availability_zone` |
//! | `aws.eks` | the resource's `k8s.cluster.name`, `k8s.pod.name`, `container.id` |
//! | `aws.elastic_beanstalk` | the resource's `service.namespace`, `service.version`, `service.instance.id` |
//! | `aws.cloudwatch_logs` | the resource's `aws.log.group.arns`/`aws.log.group.names`, [`Rules::log_groups`] |
//! | `aws.xray` | the resource's `telemetry.sdk.name` `for` `telemetry.sdk.language`, `telemetry.sdk.version`, whether there is a `telemetry.auto.version`/`telemetry.distro.version` |
//! | `aws.operation` | `aws.operation`/`rpc.method` |
//! | `aws.region`, `aws.request_id` | `aws.region`, of SDK calls also `cloud.region` (ours); `aws.request_id`/`aws.requestId` |
//! | `aws.queue_url` | `messaging.url`/`aws.sqs.queue.url`/`aws.queue_url`/`aws.queue.url` |
//! | `aws.table_name`, `aws.table_names` | `aws.dynamodb.table_names`/`aws.table_name`/`aws.table.name` |
//! | `sql` | if `db.system`/`db.system.name` is one that speaks SQL: `db.connection_string` or `localhost` with `/` and `db.name`/`db.namespace`, the span's name as `url`, `db.statement`/`db.query.text`, `db.user`/`user.name` |
//! | `annotations` | scalars that [`Rules`] name, or the span's list `aws.xray.annotations`; characters that cannot be searched for become `_` |
//! | `metadata.<namespace>` | `aws.xray.metadata.<namespace>`, a JSON object as text |
//! | `metadata.default` | every other attribute, plain; on segments the resource's as `otel.resource.<key>` |
//!
//! There is no `aws` if the resource's `cloud.provider` is another one.
//!
//! A span that [`spans_of`](crate::spans_of) made of a document carries in attributes `aws.xray.document.*` what the rest
//! of it does not say: of such a span the document is made again as it was, whatever the rules are.
//!
//! # Kept
//!
//! What the members above do not say is in `metadata`, namespace `otel.span`, so that the span can be had back. Members
//! have the names and values they have in OTLP's JSON, enumerations by name without prefix, and are absent if empty; attributes
//! are objects of exact values (see `value`): `{"a": 1, "b": {"bytesValue": "AQ=="}}`.
//!
//! | member | of the span |
//! |---|---|
//! | `kind` | its kind; always there |
//! | `name` | its name, if the document has another one |
//! | `parentSpanId` | its parent if the document's is the segment of its own service; empty for a root |
//! | `traceState`, `flags`, `status`, `dropped..Count` | the same |
//! | `attributes` | those that `metadata.default` does not show in full under their own key. A key that begins with `otel.resource.` is always here. If an `aws.xray.metadata.default`, in any case, is here, all are |
//! | `events`, `links` | all |
//! | `resource`, `scope` | all, with `schemaUrl` |
//! | `serviceOf` | alone, in the segment of a service that is a second document: the id of the span |

mod attributes;
mod aws;
mod cause;
mod document;
mod http;
mod id;
mod kept;
mod metadata;
mod name;
mod resource;
mod room;
mod sql;
#[cfg(test)]
mod tests;
mod translation;

use std::collections::BTreeSet;

use model::{SegmentId, Timestamp};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span};

use crate::{LimitError, Limits, Request};
use attributes::Attributes;
use document::{Document, End, Seconds};
use id::{Ids, service_id};
use kept::{Kept, KeptSpan};
use name::Named;
use resource::Resource;
use room::{Rejection, Room};
use translation::{Place, Source};

pub use translation::{Bounds, Translation};

/// What of a span is searchable, and what is added to it: the settings of the exporter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Keys of the attributes that become annotations; those of a resource with `otel.resource.` before them.
    pub indexed_attributes: Vec<String>,
    /// Whether all attributes become annotations.
    pub index_all_attributes: bool,
    /// Log groups of spans whose resource names none.
    pub log_groups: Vec<String>,
    /// Whether CONSUMER spans are segments, and PRODUCER spans calls, as the exporter has them since 0.137; else those with
    /// a parent are subsegments, and those without say nothing of the service they were made in.
    pub consumer_segments: bool,
}

/// What became of the spans of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Translated {
    /// Documents, in the order of their spans.
    pub documents: Vec<SpanDocument>,
    /// The spans that have none.
    pub rejected: Vec<RejectedSpan>,
}

/// A segment document of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanDocument {
    /// The JSON. It is some times as long as the span, and may be longer than documents sent to X-Ray are.
    pub text: String,
    /// Which span of the request it is of; a span may have two.
    pub span_idx: usize,
}

/// A span that has no document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedSpan {
    /// Which span of the request it is.
    pub span_idx: usize,
    /// Its id in hex, as sent; empty if it has none.
    pub span_id: String,
    /// Its trace in hex, as sent; empty if it has none.
    pub trace_id: String,
    /// Why.
    pub code: RejectionCode,
    /// For humans.
    pub message: String,
}

/// Why a span is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectionCode {
    /// Its trace id is not 16 bytes, or zero.
    TraceId,
    /// Its id is not 8 bytes, or zero.
    SpanId,
    /// Its parent's id is not 8 bytes.
    ParentSpanId,
    /// It is too large.
    SpanTooLarge,
    /// Its resource and scope are too large.
    ResourceTooLarge,
    /// It lies too far ahead.
    TooFarAhead,
    /// It is too old.
    TooOld,
    /// The documents of the spans before it are as many bytes as a request may become.
    DocumentsTooLarge,
    /// Its document cannot be written.
    Unwritable,
}

/// Returns the documents of the spans of a request, all at once. The same span gives the same documents every time,
/// whatever comes with it.
///
/// # Errors
/// [`LimitError`] if the request as a whole is not to be taken.
pub fn translate(
    request: &Request,
    rules: &Rules,
    limits: &Limits,
    now: Timestamp,
) -> Result<Translated, LimitError> {
    limits.check(request)?;
    let settings = Settings::of(rules);
    let source = Source {
        request,
        settings: &settings,
        limits,
        bounds: &Bounds::NONE,
        now,
    };
    Ok(source.piece(&mut Place::default()))
}

struct Settings<'a> {
    rules: &'a Rules,
    indexed: BTreeSet<&'a str>,
}

impl<'a> Settings<'a> {
    fn of(rules: &'a Rules) -> Self {
        let indexed = rules.indexed_attributes.iter().map(String::as_str);
        Self {
            rules,
            indexed: indexed.collect(),
        }
    }
}

/// A span as one document sees it.
struct View<'a> {
    span: &'a Span,
    ids: Ids,
    kind: SpanKind,
    attributes: Attributes<'a>,
    resource: &'a Resource<'a>,
    scope: &'a ScopeSpans,
    settings: &'a Settings<'a>,
    /// Whether it is a CONSUMER span that stands for a service, by [`Rules::consumer_segments`].
    is_consumer_segment: bool,
}

impl<'a> View<'a> {
    fn of(
        span: &'a Span,
        ids: Ids,
        scope: &'a ScopeSpans,
        resource: &'a Resource<'a>,
        settings: &'a Settings<'a>,
    ) -> Self {
        let kind = SpanKind::try_from(span.kind).unwrap_or_default();
        Self {
            span,
            ids,
            kind,
            attributes: Attributes::of(&span.attributes),
            resource,
            scope,
            settings,
            is_consumer_segment: settings.rules.consumer_segments && kind == SpanKind::Consumer,
        }
    }

    /// Tells whether the span begins the work of a service.
    fn is_local_root(&self) -> bool {
        self.attributes.text("aws.span.kind") == Some("LOCAL_ROOT")
    }

    /// Tells whether the span alone makes a segment.
    fn is_segment(&self) -> bool {
        self.is_service() || self.ids.parent_id.is_none()
    }

    /// Tells whether the span is what a service does for others, and bears its name.
    fn is_service(&self) -> bool {
        self.kind == SpanKind::Server || self.is_consumer_segment
    }

    /// Tells whether the span is a call whatever its attributes say.
    fn is_call(&self) -> bool {
        let is_queued = self.settings.rules.consumer_segments && self.kind == SpanKind::Producer;
        self.kind == SpanKind::Client || is_queued
    }

    fn calls_remote_service(&self) -> bool {
        let may_call = matches!(
            self.kind,
            SpanKind::Client | SpanKind::Producer | SpanKind::Consumer
        );
        may_call && self.attributes.value(REMOTE_SERVICE).is_some()
    }
}

/// Returns the documents of a span.
fn documents(view: &View<'_>) -> Result<Vec<String>, Rejection> {
    if !view.is_local_root() {
        let mut document = document(view);
        if document.kind.is_some() && view.calls_remote_service() {
            document.namespace = document.namespace.or(Some(REMOTE));
        }
        return Ok(vec![written(&document)?]);
    }
    if matches!(view.kind, SpanKind::Server | SpanKind::Internal) {
        let mut document = document(view);
        document.kind = None;
        document.namespace = None;
        return Ok(vec![written(&document)?]);
    }
    let service_id = service_id(view.ids.id);
    let call = written(&call_below(view, service_id))?;
    let service = written(&service_above(view, service_id))?;
    Ok(vec![call, service])
}

/// Returns the subsegment for the call of a local root, below the segment of its service.
fn call_below<'a>(view: &View<'a>, service_id: SegmentId) -> Document<'a> {
    let below = View {
        ids: Ids {
            parent_id: Some(service_id),
            ..view.ids
        },
        attributes: view.attributes.clone(),
        is_consumer_segment: false,
        ..*view
    };
    let mut document = document(&below);
    document.kind = Some(SUBSEGMENT);
    document.namespace = document.namespace.or(Some(REMOTE));
    if view.kind == SpanKind::Consumer {
        // What is consumed was sent to the service.
        document.links.clear();
    }
    if let Some(name) = name::remote_service(&view.attributes) {
        document.rename(name::replaced(&name), &view.span.name);
    }
    if let Some(Kept::Span(kept)) = &mut document.metadata.kept {
        kept.keep_parent(view.ids.parent_id);
    }
    document
}

/// Returns the segment of the service a local root was made in.
fn service_above<'a>(view: &View<'a>, service_id: SegmentId) -> Document<'a> {
    let above = View {
        ids: Ids {
            id: service_id,
            ..view.ids
        },
        attributes: view.attributes.without(&OF_CALL),
        ..*view
    };
    let mut document = document(&above);
    document.kind = None;
    document.namespace = None;
    document.http = None;
    if let Some(aws) = &mut document.aws {
        aws.account_id = None;
        aws.call = aws::Call::default();
    }
    if view.kind != SpanKind::Consumer {
        document.links.clear();
    }
    if let Some(name) = view.attributes.text("aws.local.service") {
        document.rename(name::replaced(name), &view.span.name);
    }
    document.metadata.keep_resource_only();
    document.metadata.kept = Some(Kept::Service {
        service_of: view.ids.id,
    });
    document
}

/// Returns the document of a span, as it is unless it begins the work of a service.
fn document<'a>(view: &View<'a>) -> Document<'a> {
    let Named { name, is_aws } = name::name(view);
    let placed = metadata::place(view);
    let not_shown = placed.not_shown(&view.attributes);
    let mut metadata = placed.metadata;
    let kept = KeptSpan::of(view, not_shown, &name);
    metadata.kept = Some(Kept::Span(Box::new(kept)));
    let namespace = if view.is_consumer_segment {
        // Whatever it was called by, it is a service itself.
        None
    } else if is_aws || name::is_aws_sdk(&view.attributes) {
        Some("aws")
    } else {
        view.is_call().then_some(REMOTE)
    };
    let aws = view.resource.aws.as_ref();
    Document {
        name,
        id: view.ids.id,
        start_time: Seconds(Timestamp::from_nanos(view.span.start_time_unix_nano)),
        service: view.resource.service,
        origin: view.resource.origin,
        user: metadata::user(&view.attributes),
        links: document::links(&view.span.links),
        trace_id: view.ids.trace_id,
        end: End::of(view.span.end_time_unix_nano),
        http: http::http(&view.attributes, &view.span.events, view.kind),
        flags: cause::flags(view),
        cause: cause::cause(view),
        aws: aws.map(|aws| aws.with_call(&view.attributes)),
        annotations: placed.annotations,
        metadata,
        namespace,
        parent_id: view.ids.parent_id,
        kind: (!view.is_segment()).then_some(SUBSEGMENT),
        sql: sql::sql(&view.attributes, &view.span.name),
    }
}

fn written(document: &Document<'_>) -> Result<String, Rejection> {
    serde_json::to_string(document).map_err(|error| Rejection {
        code: RejectionCode::Unwritable,
        message: error.to_string(),
    })
}

const REMOTE: &str = "remote";
const SUBSEGMENT: &str = "subsegment";
const REMOTE_SERVICE: &str = "aws.remote.service";
/// What a local root says of its call, and not of its service.
const OF_CALL: [&str; 4] = [
    REMOTE_SERVICE,
    "aws.remote.operation",
    "remoteTarget",
    "K8s.RemoteNamespace",
];
