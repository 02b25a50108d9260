//! The service graph: `GetServiceGraph`, `GetTraceGraph`, and the nodes and edges of both.
//!
//! Consumers read lists and counters without asking whether they are there, so every one is written.

use model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Violations;
use crate::decode::{List, Shape};
use crate::shapes::selector::{GroupSelector, group};
use crate::shapes::wire::{integer, not_empty, window};
use crate::shapes::{WireSeconds, WireTime};

/// The request of `GetServiceGraph`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetServiceGraphRequest {
    /// Start of the window, part of it.
    pub start_time: Timestamp,
    /// End of the window; not before the start.
    pub end_time: Timestamp,
    /// The group whose traces count; absent, all do.
    pub group: Option<GroupSelector>,
    /// Where the last page ended; never empty.
    pub next_token: Option<String>,
}

/// The request of `GetTraceGraph`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetTraceGraphRequest {
    /// Ids as the client wrote them, each of 1 to 35 characters.
    pub trace_ids: Vec<String>,
    /// Where the last page ended; never empty.
    pub next_token: Option<String>,
}

/// The response of `GetServiceGraph`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetServiceGraphResponse {
    /// Start of the window.
    pub start_time: WireTime,
    /// End of the window.
    pub end_time: WireTime,
    /// The nodes.
    pub services: Vec<Service>,
    /// Whether the group's filter was another one for a part of the window.
    pub contains_old_group_versions: bool,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// The response of `GetTraceGraph`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetTraceGraphResponse {
    /// The nodes.
    pub services: Vec<Service>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Service {
    /// Its number in this response.
    pub reference_id: u32,
    /// Its name, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its names.
    pub names: Vec<String>,
    /// Whether requests enter here; written only if they do.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub root: bool,
    /// The account it runs in, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// Its type, if known.
    #[serde(rename = "Type", skip_serializing_if = "Option::is_none")]
    pub service_type: Option<String>,
    /// Whether it sent anything itself.
    pub state: ServiceState,
    /// Start of its first segment.
    pub start_time: WireTime,
    /// End of its last segment.
    pub end_time: WireTime,
    /// What it calls.
    pub edges: Vec<Edge>,
    /// How it fared; absent on the node of the clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary_statistics: Option<ServiceStatistics>,
    /// How long its requests took from first to last.
    pub duration_histogram: Vec<HistogramEntry>,
    /// How long its callers waited.
    pub response_time_histogram: Vec<HistogramEntry>,
}

/// Whether a node sent anything itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceState {
    /// It did.
    Active,
    /// It is known only from the calls of others.
    Unknown,
}

/// The calls of one node to another, kept on the one that calls.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Edge {
    /// The number of the node that is called.
    pub reference_id: u32,
    /// Start of the first call.
    pub start_time: WireTime,
    /// End of the last call.
    pub end_time: WireTime,
    /// How the calls fared, as the caller saw them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary_statistics: Option<EdgeStatistics>,
    /// How long the caller waited.
    pub response_time_histogram: Vec<HistogramEntry>,
    /// Other names the callers use.
    pub aliases: Vec<Alias>,
    /// What connects the nodes, if it is not a plain call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge_type: Option<EdgeType>,
    /// How old events were when they were received; of links only.
    pub received_event_age_histogram: Vec<HistogramEntry>,
}

/// What connects two nodes, if it is not a plain call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeType {
    /// A message that was picked up later.
    Link,
}

/// Another name of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Alias {
    /// The name.
    pub name: String,
    /// The names, that one among them.
    pub names: Vec<String>,
    /// The type.
    #[serde(rename = "Type")]
    pub alias_type: String,
}

/// How requests fared; each counts in one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statistics {
    /// Requests without an error or a fault.
    pub ok_count: u64,
    /// Requests with an error.
    pub error_statistics: ErrorStatistics,
    /// Requests with a fault.
    pub fault_statistics: FaultStatistics,
    /// All requests.
    pub total_count: u64,
    /// The time of all requests together.
    pub total_response_time: WireSeconds,
}

/// How the requests of a node fared.
pub type ServiceStatistics = Statistics;
/// How the calls of an edge fared.
pub type EdgeStatistics = Statistics;

/// Requests with an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ErrorStatistics {
    /// Requests that were throttled.
    pub throttle_count: u64,
    /// The others.
    pub other_count: u64,
    /// All of them.
    pub total_count: u64,
}

/// Requests with a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FaultStatistics {
    /// Requests with a fault; the API knows no other kind.
    pub other_count: u64,
    /// All of them.
    pub total_count: u64,
}

/// How many requests took a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HistogramEntry {
    /// The time.
    pub value: WireSeconds,
    /// How many; like every integer of the API it stops at 2147483647.
    #[serde(serialize_with = "integer")]
    pub count: u64,
}

/// The members of `GetServiceGraph` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetServiceGraphWire {
    start_time: Option<WireTime>,
    end_time: Option<WireTime>,
    group_name: Option<String>,
    #[serde(rename = "GroupARN")]
    group_arn: Option<String>,
    next_token: Option<String>,
}

/// The members of `GetTraceGraph` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetTraceGraphWire {
    trace_ids: Option<List<String>>,
    next_token: Option<String>,
}

impl Shape<'_> for GetServiceGraphRequest {
    type Wire = GetServiceGraphWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let window = window(wire.start_time, wire.end_time, violations);
        let group = group(wire.group_name, wire.group_arn, violations);
        let (start_time, end_time) = window?;
        Some(Self {
            start_time,
            end_time,
            group,
            next_token: not_empty(wire.next_token),
        })
    }
}

impl Shape<'_> for GetTraceGraphRequest {
    type Wire = GetTraceGraphWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let List(trace_ids) = violations.required("traceIds", wire.trace_ids)?;
        violations.texts("traceIds", &trace_ids, 1, 35);
        Some(Self {
            trace_ids,
            next_token: not_empty(wire.next_token),
        })
    }
}
