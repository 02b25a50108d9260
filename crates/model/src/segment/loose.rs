//! Reads a document in one pass, without judging values yet: every rule is applied afterwards, when
//! the id to report is known.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::Link;
use crate::block::{Aws, Http, Linked, Outcome};
use crate::json::{Block, Scalar};
use crate::member::{Member, MemberKey, MemberSet};

/// A segment or subsegment as sent: identity still to be checked, facts as good as they will get.
#[derive(Debug, Default)]
pub(super) struct Loose<'a> {
    pub(super) id: Scalar<'a>,
    pub(super) name: Scalar<'a>,
    pub(super) trace_id: Scalar<'a>,
    pub(super) parent_id: Scalar<'a>,
    pub(super) kind: Scalar<'a>,
    /// The JSON of `start_time`: a double would not hold nanoseconds.
    pub(super) start_time: Option<&'a str>,
    /// The JSON of `end_time`.
    pub(super) end_time: Option<&'a str>,
    pub(super) in_progress: Scalar<'a>,
    pub(super) annotations: Annotations<'a>,
    pub(super) facts: Facts<'a>,
    /// Null elements are none.
    pub(super) subsegments: Vec<Option<Loose<'a>>>,
}

/// What heads are made of, besides identity and annotations.
#[derive(Debug, Default)]
pub(super) struct Facts<'a> {
    pub(super) namespace: Scalar<'a>,
    pub(super) origin: Scalar<'a>,
    pub(super) resource_arn: Scalar<'a>,
    pub(super) user: Scalar<'a>,
    pub(super) outcome: Outcome,
    pub(super) http: Option<Http<'a>>,
    pub(super) aws: Option<Aws<'a>>,
    pub(super) has_sql: bool,
    pub(super) links: Vec<Link>,
    /// A member of Envoy and OpenTelemetry beside `http.request.traced`.
    pub(super) traced: bool,
}

/// The value of `annotations`.
#[derive(Debug, Default)]
pub(super) enum Annotations<'a> {
    #[default]
    Absent,
    Object(Vec<(Cow<'a, str>, Scalar<'a>)>),
    /// A value that is no object.
    Other,
}

impl<'de> Deserialize<'de> for Loose<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LooseVisitor)
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = Loose<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a segment or subsegment, which is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut loose = Loose::default();
        let mut seen = MemberSet::default();
        while let Some(MemberKey(member)) = members.next_key()? {
            let Some(member) = member else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            if !seen.insert(member) {
                return Err(Error::custom(format_args!(
                    "duplicate member `{}`",
                    member.as_str()
                )));
            }
            loose.read(member, &mut members)?;
        }
        Ok(loose)
    }
}

impl<'de> Loose<'de> {
    fn read<A: MapAccess<'de>>(&mut self, member: Member, members: &mut A) -> Result<(), A::Error> {
        let facts = &mut self.facts;
        match member {
            Member::Id => self.id = members.next_value()?,
            Member::Name => self.name = members.next_value()?,
            Member::TraceId => self.trace_id = members.next_value()?,
            Member::ParentId => self.parent_id = members.next_value()?,
            Member::Type => self.kind = members.next_value()?,
            Member::StartTime => self.start_time = read_json(members)?,
            Member::EndTime => self.end_time = read_json(members)?,
            Member::InProgress => self.in_progress = members.next_value()?,
            Member::Annotations => self.annotations = members.next_value()?,
            Member::Subsegments => {
                self.subsegments = members.next_value::<Option<_>>()?.unwrap_or_default();
            }
            Member::Namespace => facts.namespace = members.next_value()?,
            Member::Origin => facts.origin = members.next_value()?,
            Member::ResourceArn => facts.resource_arn = members.next_value()?,
            Member::User => facts.user = members.next_value()?,
            Member::Error => facts.outcome.error = read_boolean(members)?,
            Member::Fault => facts.outcome.fault = read_boolean(members)?,
            Member::Throttle => facts.outcome.throttle = read_boolean(members)?,
            Member::Traced => facts.traced = read_boolean(members)? == Some(true),
            Member::Http => facts.http = members.next_value::<Block<_>>()?.0,
            Member::Aws => facts.aws = members.next_value::<Block<_>>()?.0,
            Member::Sql => facts.has_sql = members.next_value::<Option<IgnoredAny>>()?.is_some(),
            Member::Links => facts.links = read_links(members)?,
            Member::Inferred
            | Member::Service
            | Member::Cause
            | Member::Metadata
            | Member::PrecursorIds => {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// Reads a value as its JSON, null as none.
fn read_json<'de, A: MapAccess<'de>>(members: &mut A) -> Result<Option<&'de str>, A::Error> {
    let json = members.next_value::<&RawValue>()?.get();
    Ok((json != "null").then_some(json))
}

/// Reads the links that have the form of one; what else is sent under that name is kept in the document only.
fn read_links<'de, A: MapAccess<'de>>(members: &mut A) -> Result<Vec<Link>, A::Error> {
    let json = members.next_value::<&RawValue>()?.get();
    let sent: Vec<Block<Linked<'_>>> = serde_json::from_str(json).unwrap_or_default();
    let links = sent.iter().filter_map(|block| block.0.as_ref()?.link());
    Ok(links.take(LINKS_MAX).collect())
}

fn read_boolean<'de, A: MapAccess<'de>>(members: &mut A) -> Result<Option<bool>, A::Error> {
    Ok(members.next_value::<Scalar<'_>>()?.boolean())
}

impl<'de> Deserialize<'de> for Annotations<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnnotationsVisitor)
    }
}

struct AnnotationsVisitor;

impl<'de> Visitor<'de> for AnnotationsVisitor {
    type Value = Annotations<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("annotations")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut annotations = Vec::new();
        while let Some((key, value)) = members.next_entry::<Scalar<'_>, Scalar<'_>>()? {
            if let Some(key) = key.into_text() {
                annotations.push((key, value));
            }
        }
        Ok(Annotations::Object(annotations))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Annotations::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_seq(elements).map(|_| Annotations::Other)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Annotations::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Annotations::Other)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Annotations::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Annotations::Other)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Annotations::Other)
    }
}

/// A segment has at most 20 links, a trace 100 (spec: X-Ray developer guide, "Tracing event-driven applications").
pub(super) const LINKS_MAX: usize = 100;
