//! What a list of traces shows of one trace: derived from the heads of its documents.

mod derive;
mod facets;
mod owners;
mod services;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::{AnnotationValue, HttpFacts, Timestamp, TraceId};

/// The summary of one trace, as `GetTraceSummaries` needs it except for root causes, which are taken
/// from the documents themselves.
///
/// This is a stored promise: sealed partitions keep summaries, so a change of a field is a change of
/// format and comes with a migration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The trace.
    pub trace_id: TraceId,
    /// Earliest start of a segment; of a subsegment if no segment came.
    pub start: Timestamp,
    /// Latest end of a segment (of a subsegment if no segment came); in progress ones count with the
    /// latest time they mention.
    pub end: Timestamp,
    /// Nanoseconds from start to end of the root segment, if it has ended.
    pub response_ns: Option<u64>,
    /// How many segments came (subsegments sent alone do not count).
    pub n_segments: u32,
    /// Outcomes and states.
    pub flags: SummaryFlags,
    /// How often the trace changed; 1 at first.
    pub revision: u32,
    /// The root request.
    pub http: HttpFacts,
    /// Distinct services, sent and inferred ones and the client in front of the root.
    pub services: Vec<Service>,
    /// Index of the root's service in `services`.
    pub entry: Option<u16>,
    /// Annotations, at most 50 distinct keys.
    pub annotations: Vec<IndexedAnnotation>,
    /// Distinct users.
    pub users: Vec<User>,
    /// Distinct `resource_arn` values.
    pub resource_arns: Vec<String>,
    /// Distinct instance ids.
    pub instance_ids: Vec<String>,
    /// Distinct availability zones.
    pub availability_zones: Vec<String>,
}

/// One service a trace touched.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its type: a segment's `origin`, an inferred type, or `client`.
    pub service_type: Option<String>,
    /// The account it runs in, if known.
    pub account_id: Option<String>,
    /// Whether it is known only from the calls of others.
    pub inferred: bool,
}

/// One value of an annotation and the services that set it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexedAnnotation {
    /// The annotation's key.
    pub key: String,
    /// The value.
    pub value: AnnotationValue,
    /// Indexes into `Summary::services`.
    pub services: Vec<u16>,
}

/// One user and the services that saw them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The user's name.
    pub name: String,
    /// Indexes into `Summary::services`.
    pub services: Vec<u16>,
}

/// A set of outcomes and states of a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryFlags(pub u16);

impl SummaryFlags {
    /// The entry service answered 5xx.
    pub const HAS_FAULT: Self = Self(1);
    /// The entry service answered 4xx.
    pub const HAS_ERROR: Self = Self(2);
    /// Some segment or call was throttled (429).
    pub const HAS_THROTTLE: Self = Self(4);
    /// Some document is still in progress.
    pub const IS_PARTIAL: Self = Self(8);
    /// A fault anywhere in the trace.
    pub const DEEP_FAULT: Self = Self(16);
    /// A client error anywhere in the trace.
    pub const DEEP_ERROR: Self = Self(32);
    /// Some service is inferred.
    pub const HAS_INFERRED: Self = Self(64);

    /// Tells whether every member of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the members of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// How long the lists of a summary may be, so that no trace has a summary of any size.
const LIST_MAX: usize = 1_000;
