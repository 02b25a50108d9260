//! A segment document, as it is written.

use std::collections::BTreeMap;
use std::fmt::Display;

use model::{SegmentId, Timestamp, TraceId};
use opentelemetry_proto::tonic::trace::v1::span::Link;
use serde::ser::{Error, Serialize, Serializer};
use serde_json::value::RawValue;

use super::attributes::Attributes;
use super::aws::Aws;
use super::cause::{Cause, Flags};
use super::http::Http;
use super::id;
use super::kept::Kept;
use super::metadata::{Annotations, Metadata};
use super::resource::Service;
use super::sql::Sql;
use crate::value::Plain;

/// The members of a document, in the order in which the exporter writes them.
#[derive(serde::Serialize)]
pub(super) struct Document<'a> {
    pub(super) name: String,
    #[serde(serialize_with = "as_text")]
    pub(super) id: SegmentId,
    pub(super) start_time: Seconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service: Option<Service<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) links: Vec<LinkShown<'a>>,
    #[serde(serialize_with = "as_text")]
    pub(super) trace_id: TraceId,
    #[serde(flatten)]
    pub(super) end: End,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) http: Option<Http<'a>>,
    #[serde(flatten)]
    pub(super) flags: Flags,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<Cause<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) aws: Option<Aws<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: Annotations<'a>,
    pub(super) metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<&'static str>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "as_text_if_any"
    )]
    pub(super) parent_id: Option<SegmentId>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sql: Option<Sql<'a>>,
}

impl<'a> Document<'a> {
    /// Gives the document of a span another name.
    pub(super) fn rename(&mut self, name: String, span_name: &'a str) {
        if let Some(Kept::Span(kept)) = &mut self.metadata.kept {
            kept.keep_name(span_name, &name);
        }
        self.name = name;
    }
}

/// When a span ended; a span without an end is still in progress.
#[derive(serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    EndTime(Seconds),
    InProgress(bool),
}

impl End {
    pub(super) const fn of(end_time_unix_nano: u64) -> Self {
        match end_time_unix_nano {
            0 => Self::InProgress(true),
            nanos => Self::EndTime(Seconds(Timestamp::from_nanos(nanos))),
        }
    }
}

/// A time, written exactly: a double would not hold nanoseconds.
pub(super) struct Seconds(pub(super) Timestamp);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = RawValue::from_string(self.0.to_string()).map_err(S::Error::custom)?;
        json.serialize(serializer)
    }
}

/// A link to a span of another trace.
#[derive(serde::Serialize)]
pub(super) struct LinkShown<'a> {
    #[serde(serialize_with = "as_text")]
    trace_id: TraceId,
    #[serde(serialize_with = "as_text")]
    id: SegmentId,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'a str, Plain<'a>>,
}

/// Returns the links to what can be linked to.
pub(super) fn links(links: &[Link]) -> Vec<LinkShown<'_>> {
    links.iter().filter_map(link).collect()
}

fn link(link: &Link) -> Option<LinkShown<'_>> {
    let attributes = Attributes::of(&link.attributes);
    let attributes = attributes.iter().map(|(key, value)| (key, Plain(value)));
    Some(LinkShown {
        trace_id: id::trace_id(&link.trace_id)?,
        id: id::span_id(&link.span_id)?,
        attributes: attributes.collect(),
    })
}

pub(super) fn as_text<T: Display, S: Serializer>(id: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

#[expect(clippy::ref_option, reason = "the form serde calls for")]
pub(super) fn as_text_if_any<T: Display, S: Serializer>(
    id: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => serializer.collect_str(id),
        None => serializer.serialize_none(),
    }
}
