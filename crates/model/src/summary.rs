//! What a list of traces shows of one trace: derived from the heads of its documents.

mod derive;
mod facets;
pub(crate) mod owners;
pub(crate) mod services;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::{AnnotationValue, Flags, HttpFacts, Timestamp, TraceGraph, TraceId};

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
    /// The requests services served, for filters; all of them unless [`SummaryFlags::FACTS_CUT`].
    pub requests: Vec<RequestFacts>,
    /// The calls between services, for filters; all of them unless [`SummaryFlags::FACTS_CUT`].
    pub edges: Vec<EdgeFacts>,
}

/// One request a service served: a segment, or an inferred one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestFacts {
    /// Index of the service in `Summary::services`.
    pub service: u16,
    /// Its own outcomes.
    pub flags: Flags,
    /// What else is known of it.
    pub state: RequestState,
    /// Nanoseconds from start to end; of one in progress to the latest time it mentions.
    pub response_ns: u64,
    /// `http.response.status`.
    pub status: Option<u16>,
}

/// One call of a service by another, as the caller saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeFacts {
    /// Index of the caller in `Summary::services`.
    pub from: u16,
    /// Index of the called service in `Summary::services`.
    pub to: u16,
    /// The call's own outcomes.
    pub flags: Flags,
    /// What else is known of it.
    pub state: RequestState,
    /// Nanoseconds from start to end; of one in progress 0.
    pub response_ns: u64,
    /// `http.response.status`.
    pub status: Option<u16>,
}

/// What is known of a request beside its outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestState(pub u8);

impl RequestState {
    /// It is the request that started the trace.
    pub const ROOT: Self = Self(1);
    /// It is known from the call only: the called service sent nothing.
    pub const INFERRED: Self = Self(2);
    /// It has not ended.
    pub const IN_PROGRESS: Self = Self(4);

    /// Tells whether every member of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the members of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the set, with `state` in it if `is_set`.
    #[must_use]
    pub(crate) const fn with(self, state: Self, is_set: bool) -> Self {
        if is_set { self.union(state) } else { self }
    }
}

/// All that is derived from the heads of a trace at once.
#[derive(Clone, Debug)]
pub struct Derived {
    /// What lists and filters need.
    pub summary: Summary,
    /// What service graphs are summed up from; its services are the summary's.
    pub graph: TraceGraph,
}

/// One service a trace touched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    /// There are more requests or calls than the summary has: the documents tell all.
    pub const FACTS_CUT: Self = Self(128);

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
/// Calls are more than requests: nearly every request has been called, and calls others that send nothing.
const EDGES_MAX: usize = 2 * LIST_MAX;
