//! Insights: `GetInsight`, `GetInsightEvents`, `GetInsightImpactGraph`, `GetInsightSummaries`.

use model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::decode::{List, Shape};
use crate::shapes::selector::{GroupSelector, required_group};
use crate::shapes::wire::window;
use crate::shapes::{ServiceId, WireTime};
use crate::{Pattern, Violations};

/// The request of `GetInsight`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetInsightRequest {
    /// The insight, a UUID.
    pub insight_id: String,
}

/// The request of `GetInsightEvents`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetInsightEventsRequest {
    /// The insight, a UUID.
    pub insight_id: String,
    /// How many events a page may have, 1 to 50.
    pub max_results: Option<u32>,
    /// Where the last page ended, 1 to 2000 characters.
    pub next_token: Option<String>,
}

/// The request of `GetInsightImpactGraph`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetInsightImpactGraphRequest {
    /// The insight, a UUID.
    pub insight_id: String,
    /// Start of the window, part of it.
    pub start_time: Timestamp,
    /// End of the window, not part of it; not before the start.
    pub end_time: Timestamp,
    /// Where the last page ended, 1 to 2000 characters.
    pub next_token: Option<String>,
}

/// The request of `GetInsightSummaries`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetInsightSummariesRequest {
    /// The state the insights must be in; the API takes a list of at most one.
    pub state: Option<InsightState>,
    /// The group they were found in.
    pub group: GroupSelector,
    /// Start of the window, part of it.
    pub start_time: Timestamp,
    /// End of the window; not before the start.
    pub end_time: Timestamp,
    /// How many a page may have, 1 to 100.
    pub max_results: Option<u32>,
    /// Where the last page ended, 1 to 2000 characters.
    pub next_token: Option<String>,
}

/// Whether an insight goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InsightState {
    /// It does.
    Active,
    /// It is over.
    Closed,
}

/// What an insight is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InsightCategory {
    /// More faults than expected.
    Fault,
}

/// The response of `GetInsight`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetInsightResponse {
    /// The insight.
    pub insight: Insight,
}

/// The response of `GetInsightEvents`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetInsightEventsResponse {
    /// What happened, newest first.
    pub insight_events: Vec<InsightEvent>,
    /// Where the next page starts, at most 2000 characters; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// The response of `GetInsightImpactGraph`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetInsightImpactGraphResponse {
    /// The insight.
    pub insight_id: String,
    /// Start of the window that was asked for.
    pub start_time: WireTime,
    /// End of the window that was asked for.
    pub end_time: WireTime,
    /// Start of the window the graph is of.
    pub service_graph_start_time: WireTime,
    /// End of the window the graph is of.
    pub service_graph_end_time: WireTime,
    /// The nodes.
    pub services: Vec<InsightImpactGraphService>,
    /// Where the next page starts, at most 2000 characters; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// The response of `GetInsightSummaries`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetInsightSummariesResponse {
    /// The insights.
    pub insight_summaries: Vec<InsightSummary>,
    /// Where the next page starts, at most 2000 characters; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// Something that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Insight {
    /// Its id, a UUID.
    pub insight_id: String,
    /// The ARN of the group it was found in.
    #[serde(rename = "GroupARN")]
    pub group_arn: String,
    /// The name of the group it was found in.
    pub group_name: String,
    /// The service it comes from; clients read it without asking whether it is there.
    pub root_cause_service_id: ServiceId,
    /// What it is about; never empty.
    pub categories: Vec<InsightCategory>,
    /// Whether it goes on.
    pub state: InsightState,
    /// When it began.
    pub start_time: WireTime,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<WireTime>,
    /// What it is, for people; of a closed one clients show the second sentence.
    pub summary: String,
    /// How the clients fared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_request_impact_statistics: Option<RequestImpactStatistics>,
    /// How the service it comes from fared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_cause_service_request_impact_statistics: Option<RequestImpactStatistics>,
    /// The services that are furthest from what is expected; never empty.
    pub top_anomalous_services: Vec<AnomalousService>,
}

/// What a list of insights shows of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InsightSummary {
    /// All there is in the insight itself.
    #[serde(flatten)]
    pub insight: Insight,
    /// When it last changed.
    pub last_update_time: WireTime,
}

/// One change of an insight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InsightEvent {
    /// What happened, for people.
    pub summary: String,
    /// When.
    pub event_time: WireTime,
    /// How the clients fared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_request_impact_statistics: Option<RequestImpactStatistics>,
    /// How the service it comes from fared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_cause_service_request_impact_statistics: Option<RequestImpactStatistics>,
    /// The services that are furthest from what is expected.
    pub top_anomalous_services: Vec<AnomalousService>,
}

/// How requests fared while an insight went on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RequestImpactStatistics {
    /// Requests with a fault.
    pub fault_count: u64,
    /// Requests without one.
    pub ok_count: u64,
    /// All requests.
    pub total_count: u64,
}

/// A service that is far from what is expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AnomalousService {
    /// The service; clients read it without asking whether it is there.
    pub service_id: ServiceId,
}

/// A node of the graph of what an insight touches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InsightImpactGraphService {
    /// Its number in this response.
    pub reference_id: u32,
    /// Its type, if known.
    #[serde(rename = "Type", skip_serializing_if = "Option::is_none")]
    pub service_type: Option<String>,
    /// Its name, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its names.
    pub names: Vec<String>,
    /// The account it runs in, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// What it calls.
    pub edges: Vec<InsightImpactGraphEdge>,
}

/// An edge, kept on the node that calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InsightImpactGraphEdge {
    /// The number of the node that is called.
    pub reference_id: u32,
}

/// The members of `GetInsight` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetInsightWire {
    insight_id: Option<String>,
}

/// The members of `GetInsightEvents` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetInsightEventsWire {
    insight_id: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

/// The members of `GetInsightImpactGraph` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetInsightImpactGraphWire {
    insight_id: Option<String>,
    start_time: Option<WireTime>,
    end_time: Option<WireTime>,
    next_token: Option<String>,
}

/// The members of `GetInsightSummaries` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetInsightSummariesWire {
    states: Option<List<String>>,
    #[serde(rename = "GroupARN")]
    group_arn: Option<String>,
    group_name: Option<String>,
    start_time: Option<WireTime>,
    end_time: Option<WireTime>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

impl Shape<'_> for GetInsightRequest {
    type Wire = GetInsightWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let insight_id = insight_id(wire.insight_id, violations)?;
        Some(Self { insight_id })
    }
}

impl Shape<'_> for GetInsightEventsRequest {
    type Wire = GetInsightEventsWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let insight_id = insight_id(wire.insight_id, violations);
        let max_results = violations.integer("maxResults", wire.max_results, 1, 50);
        let next_token = violations.text("nextToken", wire.next_token, 1, 2000);
        Some(Self {
            insight_id: insight_id?,
            max_results,
            next_token,
        })
    }
}

impl Shape<'_> for GetInsightImpactGraphRequest {
    type Wire = GetInsightImpactGraphWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let insight_id = insight_id(wire.insight_id, violations);
        let window = window(wire.start_time, wire.end_time, violations);
        let next_token = violations.text("nextToken", wire.next_token, 1, 2000);
        let (start_time, end_time) = window?;
        Some(Self {
            insight_id: insight_id?,
            start_time,
            end_time,
            next_token,
        })
    }
}

impl Shape<'_> for GetInsightSummariesRequest {
    type Wire = GetInsightSummariesWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let group = required_group(wire.group_name, wire.group_arn, violations);
        let window = window(wire.start_time, wire.end_time, violations);
        let max_results = violations.integer("maxResults", wire.max_results, 1, 100);
        let next_token = violations.text("nextToken", wire.next_token, 1, 2000);
        let List(states) = wire.states.unwrap_or(List(Vec::new()));
        violations.size("states", states.len(), 0, 1);
        let (start_time, end_time) = window?;
        Some(Self {
            state: state(states.first(), violations),
            group: group?,
            start_time,
            end_time,
            max_results,
            next_token,
        })
    }
}

fn state(name: Option<&String>, violations: &mut Violations) -> Option<InsightState> {
    let states = [
        ("ACTIVE", InsightState::Active),
        ("CLOSED", InsightState::Closed),
    ];
    violations.choice("states.1.member", name.map(String::as_str), &states)
}

fn insight_id(id: Option<String>, violations: &mut Violations) -> Option<String> {
    let id = violations.required("insightId", id)?;
    violations.pattern("insightId", &id, Pattern::InsightId);
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    #[test]
    fn the_one_state_is_taken_out_of_its_list() {
        let state = |states: &str| {
            let body = format!(
                r#"{{"GroupName": "g", "StartTime": 1, "EndTime": 2, "States": {states}}}"#
            );
            decode::<GetInsightSummariesRequest>(body.as_bytes()).map(|request| request.state)
        };
        assert_eq!(state("null"), Ok(None));
        assert_eq!(state("[]"), Ok(None));
        assert_eq!(state(r#"["ACTIVE"]"#), Ok(Some(InsightState::Active)));
        assert_eq!(state(r#"["CLOSED"]"#), Ok(Some(InsightState::Closed)));
        let error = state(r#"["OPEN", "ACTIVE"]"#).unwrap_err();
        assert_eq!(
            error.message(),
            "2 validation errors detected: Value '2 items' at 'states' failed to satisfy constraint: Member must have length less than or equal to 1; Value 'OPEN' at 'states.1.member' failed to satisfy constraint: Member must satisfy enum value set: [ACTIVE, CLOSED]"
        );
    }
}
