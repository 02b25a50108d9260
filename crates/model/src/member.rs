//! The members of segments and subsegments (spec: X-Ray developer guide, "Segment documents").

use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};

/// A member the schema knows, in the order in which compiled documents show them: the order of the
/// developer guide's recorded answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Member {
    Id,
    Name,
    StartTime,
    EndTime,
    InProgress,
    ParentId,
    Inferred,
    Http,
    Aws,
    Service,
    Sql,
    Error,
    Fault,
    Throttle,
    Cause,
    Annotations,
    Metadata,
    PrecursorIds,
    Links,
    TraceId,
    User,
    Origin,
    ResourceArn,
    Type,
    Namespace,
    Traced,
    Subsegments,
}

impl Member {
    /// Returns the member's name on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "name",
            Self::StartTime => "start_time",
            Self::EndTime => "end_time",
            Self::InProgress => "in_progress",
            Self::ParentId => "parent_id",
            Self::Inferred => "inferred",
            Self::Http => "http",
            Self::Aws => "aws",
            Self::Service => "service",
            Self::Sql => "sql",
            Self::Error => "error",
            Self::Fault => "fault",
            Self::Throttle => "throttle",
            Self::Cause => "cause",
            Self::Annotations => "annotations",
            Self::Metadata => "metadata",
            Self::PrecursorIds => "precursor_ids",
            Self::Links => "links",
            Self::TraceId => "trace_id",
            Self::User => "user",
            Self::Origin => "origin",
            Self::ResourceArn => "resource_arn",
            Self::Type => "type",
            Self::Namespace => "namespace",
            Self::Traced => "traced",
            Self::Subsegments => "subsegments",
        }
    }

    /// Returns the member of a name on the wire, none if the schema does not know it.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "id" => Self::Id,
            "name" => Self::Name,
            "start_time" => Self::StartTime,
            "end_time" => Self::EndTime,
            "in_progress" => Self::InProgress,
            "parent_id" => Self::ParentId,
            "inferred" => Self::Inferred,
            "http" => Self::Http,
            "aws" => Self::Aws,
            "service" => Self::Service,
            "sql" => Self::Sql,
            "error" => Self::Error,
            "fault" => Self::Fault,
            "throttle" => Self::Throttle,
            "cause" => Self::Cause,
            "annotations" => Self::Annotations,
            "metadata" => Self::Metadata,
            "precursor_ids" => Self::PrecursorIds,
            "links" => Self::Links,
            "trace_id" => Self::TraceId,
            "user" => Self::User,
            "origin" => Self::Origin,
            "resource_arn" => Self::ResourceArn,
            "type" => Self::Type,
            "namespace" => Self::Namespace,
            "traced" => Self::Traced,
            "subsegments" => Self::Subsegments,
            _ => return None,
        })
    }
}

/// The name of a member as it stands in a document; none if the schema does not know it.
pub(crate) struct MemberKey(pub(crate) Option<Member>);

impl<'de> Deserialize<'de> for MemberKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(MemberKeyVisitor)
    }
}

struct MemberKeyVisitor;

impl Visitor<'_> for MemberKeyVisitor {
    type Value = MemberKey;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a member")
    }

    fn visit_str<E>(self, name: &str) -> Result<MemberKey, E> {
        Ok(MemberKey(Member::parse(name)))
    }
}

/// A set of members, to notice that one occurs twice.
#[derive(Clone, Copy, Default)]
pub(crate) struct MemberSet(u32);

impl MemberSet {
    /// Adds a member; tells whether it is new.
    pub(crate) fn insert(&mut self, member: Member) -> bool {
        let bit = 1_u32 << (member as u32);
        let is_new = self.0 & bit == 0;
        self.0 |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_members_are_one_to_one() {
        let mut set = MemberSet::default();
        let names = [
            "id",
            "name",
            "start_time",
            "end_time",
            "in_progress",
            "parent_id",
            "inferred",
            "http",
            "aws",
            "service",
            "sql",
            "error",
            "fault",
            "throttle",
            "cause",
            "annotations",
            "metadata",
            "precursor_ids",
            "links",
            "trace_id",
            "user",
            "origin",
            "resource_arn",
            "type",
            "namespace",
            "traced",
            "subsegments",
        ];
        for name in names {
            let member = Member::parse(name).unwrap();
            assert_eq!(member.as_str(), name);
            assert!(set.insert(member), "{name}");
            assert!(!set.insert(member), "{name}");
        }
        assert_eq!(Member::parse("Dummy"), None);
        assert_eq!(Member::parse("Name"), None);
    }
}
