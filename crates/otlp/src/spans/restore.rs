//! Spans that came as spans, from what was kept of them with their documents (see `segments`, "Kept").

use std::collections::BTreeMap;

use model::{SegmentId, TraceId};
use opentelemetry_proto::tonic::common::v1::{EntityRef, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::attributes::n_messages;
use super::entity::Entity;
use super::groups::Maker;
use crate::value::{read_exact_members, read_plain};

/// What a document says of itself, if it was made of a span.
#[derive(Debug)]
pub(super) enum Kept {
    /// It stands for the service a span was made in, and is no span itself.
    Service,
    /// It is a span.
    Span(Box<KeptSpan>),
}

/// A span without what its document says.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct KeptSpan {
    kind: Option<Named>,
    name: Option<String>,
    parent_span_id: Option<String>,
    trace_state: String,
    flags: u32,
    status: Option<KeptStatus>,
    attributes: Map<String, Value>,
    dropped_attributes_count: u32,
    events: Vec<KeptEvent>,
    dropped_events_count: u32,
    links: Vec<KeptLink>,
    dropped_links_count: u32,
    resource: Option<KeptResource>,
    scope: Option<KeptScope>,
}

/// A value of an enumeration, by name if it has one.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Named {
    Name(String),
    Number(i32),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptStatus {
    code: Named,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct KeptEvent {
    time_unix_nano: String,
    name: String,
    attributes: Map<String, Value>,
    dropped_attributes_count: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct KeptLink {
    trace_id: String,
    span_id: String,
    trace_state: String,
    attributes: Map<String, Value>,
    dropped_attributes_count: u32,
    flags: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct KeptResource {
    attributes: Map<String, Value>,
    dropped_attributes_count: u32,
    entity_refs: Vec<KeptEntity>,
    schema_url: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct KeptEntity {
    schema_url: String,
    #[serde(rename = "type")]
    kind: String,
    id_keys: Vec<String>,
    description_keys: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct KeptScope {
    name: String,
    version: String,
    attributes: Map<String, Value>,
    dropped_attributes_count: u32,
    schema_url: String,
}

impl Kept {
    /// Returns what was kept with a document; none if it was not made of a span.
    pub(super) fn of(entity: &Entity<'_>) -> Option<Self> {
        let json = *entity.entries("metadata").get(NAMESPACE)?;
        let service: Result<BTreeMap<String, String>, _> = serde_json::from_str(json.get());
        if service.is_ok_and(|members| members.len() == 1 && members.contains_key("serviceOf")) {
            return Some(Self::Service);
        }
        let span: KeptSpan = serde_json::from_str(json.get()).ok()?;
        span.kind.is_some().then(|| Self::Span(Box::new(span)))
    }
}

impl KeptSpan {
    /// Returns the span of a document, as it was sent; none if what was kept of it is no part of a span.
    pub(super) fn restored(
        self,
        entity: &Entity<'_>,
        trace_id: TraceId,
        parent_id: Option<SegmentId>,
    ) -> Option<(Maker, Span)> {
        let span_id: SegmentId = entity.text("id")?.parse().ok()?;
        let parent_id = match self.parent_span_id.as_deref() {
            None => parent_id,
            Some("") => None,
            Some(id) => Some(id.parse().ok()?),
        };
        if !self.is_readable() {
            return None;
        }
        let name = self.name.or_else(|| entity.text("name"));
        let events: Option<_> = self.events.into_iter().map(KeptEvent::restored).collect();
        let links: Option<_> = self.links.into_iter().map(KeptLink::restored).collect();
        let status = self.status.map(KeptStatus::restored);
        let span = Span {
            trace_id: trace_id.as_bytes().to_vec(),
            span_id: span_id.0.to_be_bytes().to_vec(),
            trace_state: self.trace_state,
            parent_span_id: parent_id
                .map(|parent_id| parent_id.0.to_be_bytes().to_vec())
                .unwrap_or_default(),
            flags: self.flags,
            name: name.unwrap_or_default(),
            kind: self.kind?.number(kind)?,
            start_time_unix_nano: entity.time("start_time")?.as_nanos(),
            end_time_unix_nano: entity.end().map_or(0, model::Timestamp::as_nanos),
            attributes: attributes(&self.attributes, entity),
            dropped_attributes_count: self.dropped_attributes_count,
            events: events?,
            dropped_events_count: self.dropped_events_count,
            links: links?,
            dropped_links_count: self.dropped_links_count,
            status: match status {
                Some(status) => Some(status?),
                None => None,
            },
        };
        Some((maker(self.resource, self.scope), span))
    }
}

impl KeptSpan {
    /// Tells whether no value is nested deeper than one that can have been sent.
    fn is_readable(&self) -> bool {
        let events = self.events.iter().map(|event| &event.attributes);
        let links = self.links.iter().map(|link| &link.attributes);
        let resource = self.resource.iter().map(|resource| &resource.attributes);
        let scope = self.scope.iter().map(|scope| &scope.attributes);
        let all = events.chain(links).chain(resource).chain(scope);
        let mut all = all.chain([&self.attributes]).flat_map(read_exact_members);
        all.all(|attribute| {
            let value = attribute.value.and_then(|value| value.value);
            value.is_none_or(|value| n_messages(&value) <= MESSAGES_MAX)
        })
    }
}

/// Returns the attributes that were kept, and those the document shows as they are.
fn attributes(kept: &Map<String, Value>, entity: &Entity<'_>) -> Vec<KeyValue> {
    let is_default = |key: &str| {
        let namespace = key.strip_prefix("aws.xray.metadata.");
        namespace.is_some_and(|namespace| namespace.eq_ignore_ascii_case("default"))
    };
    let is_mixed = kept.keys().any(|key| is_default(key));
    let mut attributes = read_exact_members(kept);
    if is_mixed {
        return attributes;
    }
    let metadata = entity.entries("metadata");
    let shown = metadata.get("default").map(|json| json.get());
    let shown: Map<String, Value> = shown
        .and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default();
    for (key, value) in shown {
        if !key.starts_with("otel.resource.") && !kept.contains_key(&key) {
            attributes.push(KeyValue {
                key,
                value: Some(read_plain(&value)),
                ..KeyValue::default()
            });
        }
    }
    attributes
}

fn maker(resource: Option<KeptResource>, scope: Option<KeptScope>) -> Maker {
    let mut maker = Maker::default();
    if let Some(kept) = resource {
        maker.resource_schema_url = kept.schema_url;
        maker.resource = Some(Resource {
            attributes: read_exact_members(&kept.attributes),
            dropped_attributes_count: kept.dropped_attributes_count,
            entity_refs: kept
                .entity_refs
                .into_iter()
                .map(KeptEntity::restored)
                .collect(),
        });
    }
    if let Some(kept) = scope {
        maker.scope_schema_url = kept.schema_url;
        maker.scope = Some(InstrumentationScope {
            name: kept.name,
            version: kept.version,
            attributes: read_exact_members(&kept.attributes),
            dropped_attributes_count: kept.dropped_attributes_count,
        });
    }
    maker
}

impl Named {
    fn number(self, of_name: impl Fn(&str) -> Option<i32>) -> Option<i32> {
        match self {
            Self::Name(name) => of_name(&name),
            Self::Number(number) => Some(number),
        }
    }
}

impl KeptStatus {
    fn restored(self) -> Option<Status> {
        let code = |name: &str| {
            let code = StatusCode::from_str_name(&format!("STATUS_CODE_{name}"));
            code.map(i32::from)
        };
        Some(Status {
            code: self.code.number(code)?,
            message: self.message,
        })
    }
}

impl KeptEvent {
    fn restored(self) -> Option<Event> {
        Some(Event {
            time_unix_nano: self.time_unix_nano.parse().ok()?,
            name: self.name,
            attributes: read_exact_members(&self.attributes),
            dropped_attributes_count: self.dropped_attributes_count,
        })
    }
}

impl KeptLink {
    fn restored(self) -> Option<Link> {
        Some(Link {
            trace_id: bytes(&self.trace_id)?,
            span_id: bytes(&self.span_id)?,
            trace_state: self.trace_state,
            attributes: read_exact_members(&self.attributes),
            dropped_attributes_count: self.dropped_attributes_count,
            flags: self.flags,
        })
    }
}

impl KeptEntity {
    fn restored(self) -> EntityRef {
        EntityRef {
            schema_url: self.schema_url,
            r#type: self.kind,
            id_keys: self.id_keys,
            description_keys: self.description_keys,
        }
    }
}

fn kind(name: &str) -> Option<i32> {
    SpanKind::from_str_name(&format!("SPAN_KIND_{name}")).map(i32::from)
}

/// Returns the bytes of hex digits.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let digits = std::str::from_utf8(pair)
            .ok()
            .filter(|digits| digits.len() == 2)?;
        u8::from_str_radix(digits, 16).ok()
    };
    pairs.map(byte).collect()
}

/// Readers of protobuf take 100 messages in each other, and there are some around a value.
const MESSAGES_MAX: usize = 95;

/// The namespace of metadata in which spans are kept.
const NAMESPACE: &str = "otel.span";
