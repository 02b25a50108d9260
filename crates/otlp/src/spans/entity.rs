//! A segment or subsegment of a compiled document: its members as the JSON they were sent as.

use std::collections::BTreeMap;
use std::fmt;

use model::Timestamp;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// A segment or subsegment with everything nested in it. Values are read when they are asked for, so
/// that one of an odd type spoils no other.
#[derive(Debug, Default)]
pub(super) struct Entity<'a> {
    members: BTreeMap<String, &'a RawValue>,
    pub(super) subsegments: Vec<Entity<'a>>,
}

impl<'a> Entity<'a> {
    /// Returns the segment or subsegment of a text; none if it is not a readable one.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Returns the members but for subsegments, by name.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.members
            .iter()
            .map(|(name, json)| (name.as_str(), *json))
    }

    /// Returns the JSON of a member.
    pub(super) fn json(&self, member: &str) -> Option<&'a RawValue> {
        self.members.get(member).copied()
    }

    /// Returns the text of a member that is a text.
    pub(super) fn text(&self, member: &str) -> Option<String> {
        serde_json::from_str(self.json(member)?.get()).ok()
    }

    /// Returns the value of a member that is a boolean.
    pub(super) fn flag(&self, member: &str) -> Option<bool> {
        self.json(member)?.get().parse().ok()
    }

    /// Returns a member, null if it is not there or holds what no double and no text can.
    pub(super) fn block(&self, member: &str) -> Value {
        self.json(member)
            .and_then(|json| serde_json::from_str(json.get()).ok())
            .unwrap_or_default()
    }

    /// Returns the entries of a member that is an object, by key.
    pub(super) fn entries(&self, member: &str) -> BTreeMap<String, &'a RawValue> {
        self.json(member)
            .and_then(|json| serde_json::from_str(json.get()).ok())
            .unwrap_or_default()
    }

    /// Returns the instant a member names.
    pub(super) fn time(&self, member: &str) -> Option<Timestamp> {
        Timestamp::parse_seconds(self.json(member)?.get()).ok()
    }

    /// Returns its end, none while it is in progress.
    pub(super) fn end(&self) -> Option<Timestamp> {
        let in_progress = self.flag("in_progress") == Some(true);
        self.time("end_time").filter(|_| !in_progress)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Entity<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntityVisitor)
    }
}

struct EntityVisitor;

impl<'de> Visitor<'de> for EntityVisitor {
    type Value = Entity<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a segment or subsegment")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entity = Entity::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == "subsegments" {
                entity.subsegments = map.next_value()?;
            } else {
                entity.members.insert(name, map.next_value()?);
            }
        }
        Ok(entity)
    }
}
