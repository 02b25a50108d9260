//! What an insight is (spec: X-Ray API, `Insight`, `InsightEvent`, `RequestImpactStatistics`).

use model::{Service, Timestamp};
use serde::{Deserialize, Serialize};

/// A stretch of time in which services of a group had more faults than expected. Stored as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Insight {
    /// Its id: a UUID in lower case, the same however often the same minutes are evaluated.
    pub id: String,
    /// The group it was found in, as it was called then.
    pub group: GroupRef,
    /// The anomalous service farthest downstream.
    pub root_cause: Service,
    /// Start of its first anomalous minute.
    pub start: Timestamp,
    /// End of its last anomalous minute; nothing while it goes on.
    pub end: Option<Timestamp>,
    /// When it last changed.
    pub updated: Timestamp,
    /// Two sentences for people. The first one of a closed insight has no full stop but the one at its end.
    pub summary: String,
    /// How requests of clients fared that may have come to its services.
    pub clients: Impact,
    /// How requests of the root cause fared.
    pub root_cause_impact: Impact,
    /// The services with the most faults beyond what was expected, most first; never empty.
    pub top_anomalous: Vec<Service>,
    /// Every service that was anomalous, ascending; never empty.
    pub services: Vec<Service>,
    /// What happened, oldest first: the opening, changes, and in the end the closing.
    pub events: Vec<Event>,
}

/// A group that is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRef {
    /// Its number in sums of graphs, never given to another group.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
}

/// One change of an insight, and how things were then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What happened, for people.
    pub summary: String,
    /// When: the end of the minute that showed it.
    pub time: Timestamp,
    /// How requests of clients had fared since the insight began.
    pub clients: Impact,
    /// How requests of the root cause had fared since the insight began.
    pub root_cause_impact: Impact,
    /// The services with the most faults beyond what was expected, most first; never empty.
    pub top_anomalous: Vec<Service>,
}

/// How completed requests fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Impact {
    /// With a fault.
    pub faults: u64,
    /// All of them.
    pub total: u64,
}

/// Whether an insight goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsightState {
    /// It does.
    Active,
    /// It is over.
    Closed,
}

/// What became of an insight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What.
    pub kind: ChangeKind,
    /// The insight as it was then.
    pub insight: Insight,
}

/// What can become of an insight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It began.
    Opened,
    /// It has a new event.
    Updated,
    /// It is over.
    Closed,
}

impl Insight {
    /// Tells whether it goes on.
    pub const fn state(&self) -> InsightState {
        match self.end {
            None => InsightState::Active,
            Some(_) => InsightState::Closed,
        }
    }
}

impl Impact {
    /// Returns the requests without a fault; those with a client error are among them.
    pub const fn ok(self) -> u64 {
        self.total.saturating_sub(self.faults)
    }

    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            faults: self.faults.saturating_add(other.faults),
            total: self.total.saturating_add(other.total),
        }
    }
}
