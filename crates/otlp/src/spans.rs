//! Segments as spans.

mod attributes;
mod carried;
mod entity;
mod events;
mod groups;
mod json;
mod members;
mod resource;
mod span;

use model::{CompiledKind, SegmentId, Trace};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, TracesData};
use prost::Message;
use serde_json::{Value, json};

use entity::Entity;
use groups::{Groups, Maker};
use resource::{language_of, resource_of};
use span::{Place, span_of};

/// The spans of a trace, grouped by where they ran and what made them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spans {
    groups: Vec<ResourceSpans>,
}

/// A span as one JSON object that says everything, its resource and scope, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlatSpan {
    /// The id of the segment or subsegment it is.
    pub id: SegmentId,
    /// The object.
    pub json: String,
}

/// Returns the spans of a trace: one for each segment and subsegment that was sent, nested or alone,
/// parents before what is nested in them. Inferred segments are made up from calls, which are spans
/// themselves.
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
            add(trace, &entity, place, &mut groups);
        }
    }
    Spans {
        groups: groups.into_groups(),
    }
}

impl Spans {
    /// Returns the spans in the protobuf encoding of OTLP, as `TracesData` and as a request.
    pub fn to_protobuf(&self) -> Vec<u8> {
        let data = TracesData {
            resource_spans: self.groups.clone(),
        };
        data.encode_to_vec()
    }

    /// Returns the spans in the JSON encoding of OTLP.
    pub fn to_json(&self) -> String {
        let groups: Vec<Value> = self.groups.iter().map(json::resource_spans).collect();
        json!({ "resourceSpans": groups }).to_string()
    }

    /// Returns each span in the form in which Transaction Search keeps it.
    pub fn flat(&self) -> Vec<FlatSpan> {
        let scopes = self
            .groups
            .iter()
            .flat_map(|group| group.scope_spans.iter().map(move |scope| (group, scope)));
        let spans = scopes.flat_map(|(group, scope)| {
            let spans = scope.spans.iter();
            spans.filter_map(move |span| {
                let id = <[u8; 8]>::try_from(span.span_id.as_slice()).ok()?;
                Some(FlatSpan {
                    id: SegmentId(u64::from_be_bytes(id)),
                    json: json::flat(group, scope, span).to_string(),
                })
            })
        });
        spans.collect()
    }
}

/// Adds the spans of a segment, or of a subsegment whose segment has not come.
fn add(trace: &Trace<'_>, root: &Entity<'_>, place: Place, groups: &mut Groups) {
    let resource = match place {
        Place::Segment => Some(resource_of(root)),
        Place::Subsegment => None,
    };
    let maker = Maker {
        resource,
        ..Maker::default()
    };
    let mut waiting = vec![(root, place, None)];
    while let Some((entity, place, above_id)) = waiting.pop() {
        // Where a subsegment had to move up in the tree, it names its parent itself.
        let named: Option<SegmentId> = entity.text("parent_id").and_then(|id| id.parse().ok());
        let language = maker.resource.as_ref().map_or("", language_of);
        if let Some(span) = span_of(entity, trace.id, named.or(above_id), place, language) {
            groups.add(maker.clone(), span);
        }
        let id = entity.text("id").and_then(|id| id.parse().ok());
        let below = entity.subsegments.iter().rev();
        waiting.extend(below.map(|entity| (entity, Place::Subsegment, id)));
    }
}
