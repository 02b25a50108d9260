//! Segments as spans: the other way of `segments`, by the same table (source of what goes beyond it: the X-Ray receiver
//! of the OpenTelemetry collector, `receiver/awsxrayreceiver/internal/translator`).
//!
//! A document that was made of a span has what was kept of it, and becomes the span it was; the segment that stands for
//! the service of a span becomes none. Any other segment or subsegment becomes a span by these rules:
//!
//! | of the span | from |
//! |---|---|
//! | trace, id, parent, start, end | the same, to the nanosecond; no end while `in_progress`. The parent of what is nested is what it is nested in |
//! | name | `name` |
//! | kind | SERVER of segments, CLIENT of subsegments with `namespace` `aws` or `remote`, else INTERNAL |
//! | status | ERROR of a `fault`, and of a call that has an `error`; flags that were not sent are taken from the HTTP status |
//! | events | `exception` for each of `cause.exceptions`, at the end: `exception.type`, `exception.message`, `exception.stacktrace` as the language of the SDK prints it |
//! | links | `links` with valid ids |
//! | `http.request.method`, `url.full`, `user_agent.original` | `http.request` |
//! | `client.address` | `http.request.client_ip`; `network.peer.address`, too, unless it was `x_forwarded_for` |
//! | `http.response.status_code`, `http.response.body.size` | `http.response` |
//! | `rpc.system` = `aws-api`, `rpc.service`, `rpc.method` | `name`, `aws.operation` of subsegments with `namespace` `aws` |
//! | `peer.service`, `aws.operation` | the same of other subsegments |
//! | `aws.account_id`, `aws.region`, `aws.request_id`, `aws.queue_url`, `aws.dynamodb.table_names` | `aws` of subsegments |
//! | `db.system`, `db.user`, `db.query.text`, `db.connection_string`, `db.name` | `sql` |
//! | `enduser.id` | `user` |
//! | the annotation's key; list `aws.xray.annotations` of these keys | `annotations` |
//! | `aws.xray.metadata.<namespace>` | `metadata`, JSON as text |
//! | the resource's `service.name` | `name` of the segment |
//! | the resource's `cloud.*`, `host.*`, `container.*`, `k8s.*`, `aws.ecs.*`, `aws.log.group.*`, `service.*`, `process.runtime.*`, `telemetry.sdk.*` | `origin`, `aws` and `service` of the segment |
//! | other attributes of the resource | `metadata.default`, members `otel.resource.<key>` of the segment |
//! | `aws.xray.document.<member>`, `aws.xray.document.without` | what the rest does not say, see `carried` |

mod attributes;
mod carried;
mod entity;
mod events;
mod groups;
mod json;
mod members;
mod resource;
mod restore;
mod span;

use model::{
    CompiledKind, DocumentKind, DocumentLimits, Segment, SegmentId, Timestamp, Trace, TraceId,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use serde_json::{Value, json};

use crate::{Encoding, Limits, Request, Rules, translate};
pub(crate) use carried::Carried;
use entity::Entity;
use groups::{Groups, Maker};
pub(crate) use members::Members;
use resource::{language_of, resource_of};
use restore::Kept;
use span::{Place, span_of};

/// The spans of a trace, grouped by where they ran and what made them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spans(ExportTraceServiceRequest);

/// A span as one JSON object, with its resource and scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlatSpan {
    /// The id of the segment or subsegment it is.
    pub id: SegmentId,
    /// The object.
    pub json: String,
}

/// Returns the spans of a trace: one for each segment and subsegment that was sent, nested or alone, parents before what
/// is nested in them. Inferred segments are made up from calls, which are spans themselves.
///
/// [`translate`] gives documents of them that make up the same trace.
pub fn spans_of(trace: &Trace<'_>) -> Spans {
    let mut groups = Groups::default();
    for segment in &trace.segments {
        let place = match segment.kind() {
            CompiledKind::Sent => Place::Segment,
            CompiledKind::Orphan => Place::Subsegment,
            CompiledKind::Inferred => continue,
        };
        let mut document = String::new();
        segment.write_document(&mut document);
        if let Some(entity) = Entity::parse(&document) {
            add(trace.id, &entity, place, &mut groups);
        }
    }
    Spans(ExportTraceServiceRequest {
        resource_spans: groups.into_groups(),
    })
}

/// Returns the document of a span that carries it along; none if nothing is carried, or if what is carried is not what
/// [`spans_of`] writes: then it is like any other attribute.
pub(crate) fn carried_document(
    group: &ResourceSpans,
    scope: &ScopeSpans,
    span: &Span,
) -> Option<String> {
    if !Carried::is_in(&span.attributes) {
        return None;
    }
    let maker = Maker {
        resource: group.resource.clone(),
        resource_schema_url: group.schema_url.clone(),
        scope: scope.scope.clone(),
        scope_schema_url: scope.schema_url.clone(),
    };
    let mut bare = span.clone();
    let carried = Carried::take(&mut bare.attributes);
    if Carried::is_in(&bare.attributes) {
        return None;
    }
    let document = carried.apply(made_of(&maker, &bare)?).to_document();
    let again = span_again(&document, &maker)?;
    (in_order(again) == in_order(span.clone())).then_some(document)
}

impl Spans {
    /// Returns the spans as the body of an export request, which is also the form of files of spans.
    pub fn encode(&self, encoding: Encoding) -> Vec<u8> {
        match encoding {
            Encoding::Protobuf => self.0.encode_to_vec(),
            Encoding::Json => {
                let groups: Vec<Value> = self.groups().iter().map(json::resource_spans).collect();
                json!({ "resourceSpans": groups }).to_string().into_bytes()
            }
        }
    }

    /// Returns each span in the form in which Transaction Search keeps it.
    pub fn flat(&self) -> Vec<FlatSpan> {
        let mut flat = Vec::new();
        for group in self.groups() {
            for scope in &group.scope_spans {
                for span in &scope.spans {
                    let id = <[u8; 8]>::try_from(span.span_id.as_slice()).unwrap_or_default();
                    flat.push(FlatSpan {
                        id: SegmentId(u64::from_be_bytes(id)),
                        json: json::flat(group, scope, span).to_string(),
                    });
                }
            }
        }
        flat
    }

    fn groups(&self) -> &[ResourceSpans] {
        &self.0.resource_spans
    }
}

/// Adds the spans of a segment, or of a subsegment whose segment has not come.
fn add(trace_id: TraceId, root: &Entity<'_>, place: Place, groups: &mut Groups) {
    let maker = match place {
        Place::Segment => maker_of(root),
        Place::Subsegment => Maker::default(),
    };
    let mut waiting = vec![(root, place, None)];
    while let Some((entity, place, above_id)) = waiting.pop() {
        // Where a subsegment had to move up in the tree, it names its parent itself.
        let named: Option<SegmentId> = entity.text("parent_id").and_then(|id| id.parse().ok());
        let parent_id = named.or(above_id);
        let kept = Kept::of(entity);
        let is_span = !matches!(kept, Some(Kept::Service));
        let restored = match kept {
            Some(Kept::Span(kept)) => kept.restored(entity, trace_id, parent_id),
            Some(Kept::Service) | None => None,
        };
        if let Some((maker, span)) = restored {
            groups.add(maker, span);
        } else if is_span && let Some(span) = plain(entity, trace_id, parent_id, place, &maker) {
            groups.add(maker.clone(), span);
        }
        let id = entity.text("id").and_then(|id| id.parse().ok());
        let below = entity.subsegments.iter().rev();
        waiting.extend(below.map(|entity| (entity, Place::Subsegment, id)));
    }
}

/// Returns the span of what came as a segment or subsegment, with what is to be carried along.
fn plain(
    entity: &Entity<'_>,
    trace_id: TraceId,
    parent_id: Option<SegmentId>,
    place: Place,
    maker: &Maker,
) -> Option<Span> {
    let language = maker.resource.as_ref().map_or("", language_of);
    let mut span = span_of(entity, trace_id, parent_id, place, language)?;
    if let Some(made) = made_of(maker, &span) {
        let carried = Carried::between(&sent(entity, parent_id, place), &made);
        span.attributes.extend(carried.to_attributes());
    }
    Some(span)
}

fn maker_of(segment: &Entity<'_>) -> Maker {
    Maker {
        resource: Some(resource_of(segment)),
        ..Maker::default()
    }
}

/// Returns the members of the one document that is made of a span; none if there is another number of them.
fn made_of(maker: &Maker, span: &Span) -> Option<Members> {
    let mut groups = Groups::default();
    groups.add(maker.clone(), span.clone());
    let request = Request(ExportTraceServiceRequest {
        resource_spans: groups.into_groups(),
    });
    let made = translate(&request, &Rules::default(), &Limits::NONE, Timestamp::MAX).ok()?;
    match made.documents.as_slice() {
        [document] => Members::parse(&document.text),
        [] | [_, _, ..] => None,
    }
}

/// Returns the span of a document that is by itself; none if it is no document, or its span has other makers.
fn span_again(document: &str, maker: &Maker) -> Option<Span> {
    let limits = DocumentLimits {
        document_bytes_max: usize::MAX,
    };
    let segment = Segment::parse(document, &limits).ok()?;
    let entity = Entity::parse(document)?;
    let (place, alone) = match segment.kind() {
        DocumentKind::Segment => (Place::Segment, maker_of(&entity)),
        // The resource is that of the segment, which is not here.
        DocumentKind::Subsegment => (
            Place::Subsegment,
            Maker {
                resource: maker.resource.clone(),
                ..Maker::default()
            },
        ),
    };
    let is_plain = alone == *maker && Kept::of(&entity).is_none();
    is_plain.then(|| {
        plain(
            &entity,
            segment.trace_id(),
            segment.parent_id(),
            place,
            maker,
        )
    })?
}

fn in_order(mut span: Span) -> Span {
    span.attributes
        .sort_by(|one, other| one.key.cmp(&other.key));
    span
}

/// Returns the members of a segment or subsegment as if it was sent alone. What is nested may lack an end because
/// something around it is in progress; alone it says so itself.
fn sent(entity: &Entity<'_>, parent_id: Option<SegmentId>, place: Place) -> Members {
    let mut members = Members::of(entity.members());
    let of_place = ["type", "parent_id"];
    members
        .0
        .retain(|name, _| !of_place.contains(&name.as_str()));
    if let Some(parent_id) = parent_id {
        members.put("parent_id", &format!("\"{parent_id}\""));
    }
    if place == Place::Subsegment {
        members.put("type", "\"subsegment\"");
    }
    if entity.time("end_time").is_none() {
        members.put("in_progress", "true");
    }
    members
}
