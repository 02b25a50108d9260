//! Insights: when services had more faults than expected.

use std::sync::Arc;

use ::insights::{
    Event, GroupRef, Impact, ImpactGraph, Insight, InsightError, InsightState, Position,
    SummariesQuery,
};
use model::{Service, Timestamp};
use protocol::shapes::{
    self, AnomalousService, GetInsightEventsRequest, GetInsightEventsResponse,
    GetInsightImpactGraphRequest, GetInsightImpactGraphResponse, GetInsightRequest,
    GetInsightResponse, GetInsightSummariesRequest, GetInsightSummariesResponse, InsightCategory,
    InsightEvent, InsightImpactGraphEdge, InsightImpactGraphService, InsightSummary,
    RequestImpactStatistics, ServiceId, WireTime,
};
use protocol::token::{self, InvalidToken, Kind, TokenKey};
use protocol::{ApiError, decode, json_response};

use super::{account_error, groups::selector, only_page, store_error};
use crate::app::App;
use crate::clock;
use crate::http::answer::Answer;
use crate::http::body::Received;

pub(super) fn get(app: &App, body: &Received, request_id: &str) -> Result<Answer, ApiError> {
    let request: GetInsightRequest = decode(&body.bytes)?;
    let found = app.insights.insight(&request.insight_id);
    let insight = shape(&*found.map_err(insight_error)?);
    Ok(json_response(&GetInsightResponse { insight }, request_id).into())
}

pub(super) fn summaries(app: &App, body: &Received, request_id: &str) -> Result<Answer, ApiError> {
    let request: GetInsightSummariesRequest = decode(&body.bytes)?;
    let group = app.settings.groups.get(selector(&request.group));
    let group = group.map_err(account_error)?.uid;
    let binding = group.to_be_bytes();
    let query = SummariesQuery {
        group,
        state: request.state.map(|state| match state {
            shapes::InsightState::Active => InsightState::Active,
            shapes::InsightState::Closed => InsightState::Closed,
        }),
        from: request.start_time,
        to: request.end_time,
        after: position(&app.token_key, &binding, request.next_token.as_deref())?,
        n_max: page_size(request.max_results, SUMMARIES_PER_PAGE),
    };
    let page = app.insights.summaries(&query, clock::now());
    let page = page.map_err(insight_error)?;
    let next_token = page.next.map(|next| {
        let mut payload = next.start.as_nanos().to_be_bytes().to_vec();
        payload.extend(next.id.as_bytes());
        token::seal(
            &app.token_key,
            Kind::GetInsightSummaries,
            &binding,
            &payload,
        )
    });
    let response = GetInsightSummariesResponse {
        insight_summaries: page.insights.iter().map(|one| summary(one)).collect(),
        next_token,
    };
    Ok(json_response(&response, request_id).into())
}

pub(super) fn events(app: &App, body: &Received, request_id: &str) -> Result<Answer, ApiError> {
    let request: GetInsightEventsRequest = decode(&body.bytes)?;
    let id = request.insight_id;
    let after = match &request.next_token {
        Some(text) => {
            let kind = Kind::GetInsightEvents;
            let payload = token::open(&app.token_key, kind, id.as_bytes(), text)?;
            let place = payload.try_into().map_err(|_| InvalidToken)?;
            Some(u32::from_be_bytes(place))
        }
        None => None,
    };
    let n_max = page_size(request.max_results, EVENTS_PER_PAGE);
    let page = app.insights.events(&id, after, n_max);
    let page = page.map_err(insight_error)?;
    let next_token = page.next.map(|next| {
        let kind = Kind::GetInsightEvents;
        token::seal(&app.token_key, kind, id.as_bytes(), &next.to_be_bytes())
    });
    let response = GetInsightEventsResponse {
        insight_events: page.events.iter().map(event).collect(),
        next_token,
    };
    Ok(json_response(&response, request_id).into())
}

pub(super) async fn impact_graph(
    app: &App,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: GetInsightImpactGraphRequest = decode(&body.bytes)?;
    only_page(request.next_token.as_deref())?;
    let window = (request.start_time, request.end_time);
    let graph = app
        .insights
        .impact_graph(&*app.house.store, &request.insight_id, window, clock::now())
        .await
        .map_err(insight_error)?;
    Ok(json_response(&graph_shape(graph, window), request_id).into())
}

/// Evaluates the minutes that are complete for every group that is watched.
pub(crate) async fn advance(app: &Arc<App>) {
    let groups = app.settings.groups.snapshot();
    let watched = groups.iter().filter(|group| group.insights.enabled);
    let watched: Vec<GroupRef> = watched
        .map(|group| GroupRef {
            number: group.uid,
            name: group.name.clone(),
            arn: group.arn.clone(),
        })
        .collect();
    match app
        .insights
        .advance(&*app.house.store, &watched, clock::now())
        .await
    {
        Ok(changes) => {
            for change in changes {
                let insight = &change.insight;
                let (group, root_cause) = (&insight.group.name, &insight.root_cause.name);
                tracing::info!(
                    insight_id = insight.id,
                    group,
                    root_cause,
                    change = ?change.kind,
                    "an insight changed"
                );
            }
        }
        Err(error) => tracing::warn!(%error, "insights could not be brought up to date"),
    }
}

fn position(
    key: &TokenKey,
    binding: &[u8],
    token: Option<&str>,
) -> Result<Option<Position>, ApiError> {
    let Some(text) = token else { return Ok(None) };
    let payload = token::open(key, Kind::GetInsightSummaries, binding, text)?;
    let (start, id) = payload.split_first_chunk::<8>().ok_or(InvalidToken)?;
    let id = String::from_utf8(id.to_vec()).map_err(|_| InvalidToken)?;
    let start = Timestamp::from_nanos(u64::from_be_bytes(*start));
    Ok(Some(Position { start, id }))
}

fn page_size(asked: Option<u32>, most: usize) -> usize {
    let asked = asked.and_then(|n| usize::try_from(n).ok());
    asked.map_or(most, |n| n.min(most))
}

fn insight_error(error: InsightError) -> ApiError {
    match error {
        InsightError::Invalid(_) | InsightError::NotFound { .. } => {
            ApiError::invalid_request(error.to_string())
        }
        InsightError::Store(error) => store_error(&error),
        InsightError::Record { .. } => ApiError::internal(error.to_string()),
    }
}

fn shape(insight: &Insight) -> shapes::Insight {
    shapes::Insight {
        insight_id: insight.id.clone(),
        group_arn: insight.group.arn.clone(),
        group_name: insight.group.name.clone(),
        root_cause_service_id: service_id(&insight.root_cause),
        categories: vec![InsightCategory::Fault],
        state: match insight.state() {
            InsightState::Active => shapes::InsightState::Active,
            InsightState::Closed => shapes::InsightState::Closed,
        },
        start_time: WireTime(insight.start),
        end_time: insight.end.map(WireTime),
        summary: insight.summary.clone(),
        client_request_impact_statistics: Some(impact(insight.clients)),
        root_cause_service_request_impact_statistics: Some(impact(insight.root_cause_impact)),
        top_anomalous_services: anomalous(&insight.top_anomalous),
    }
}

fn summary(insight: &Insight) -> InsightSummary {
    InsightSummary {
        insight: shape(insight),
        last_update_time: WireTime(insight.updated),
    }
}

fn event(event: &Event) -> InsightEvent {
    InsightEvent {
        summary: event.summary.clone(),
        event_time: WireTime(event.time),
        client_request_impact_statistics: Some(impact(event.clients)),
        root_cause_service_request_impact_statistics: Some(impact(event.root_cause_impact)),
        top_anomalous_services: anomalous(&event.top_anomalous),
    }
}

fn graph_shape(
    graph: ImpactGraph,
    (from, to): (Timestamp, Timestamp),
) -> GetInsightImpactGraphResponse {
    let services = graph
        .nodes
        .into_iter()
        .map(|node| InsightImpactGraphService {
            reference_id: node.reference_id,
            service_type: node.service.service_type,
            name: Some(node.service.name),
            names: node.names,
            account_id: node.service.account_id,
            edges: node
                .edges
                .into_iter()
                .map(|reference_id| InsightImpactGraphEdge { reference_id })
                .collect(),
        });
    GetInsightImpactGraphResponse {
        insight_id: graph.insight_id,
        start_time: WireTime(from),
        end_time: WireTime(to),
        service_graph_start_time: WireTime(graph.start),
        service_graph_end_time: WireTime(graph.end),
        services: services.collect(),
        next_token: None,
    }
}

fn impact(impact: Impact) -> RequestImpactStatistics {
    RequestImpactStatistics {
        fault_count: impact.faults,
        ok_count: impact.ok(),
        total_count: impact.total,
    }
}

fn anomalous(services: &[Service]) -> Vec<AnomalousService> {
    let shape = |service| AnomalousService {
        service_id: service_id(service),
    };
    services.iter().map(shape).collect()
}

fn service_id(service: &Service) -> ServiceId {
    ServiceId {
        name: service.name.clone(),
        names: vec![service.name.clone()],
        account_id: service.account_id.clone(),
        service_type: service.service_type.clone(),
    }
}

/// The most the model allows to ask for.
const SUMMARIES_PER_PAGE: usize = 100;
/// The most the model allows to ask for.
const EVENTS_PER_PAGE: usize = 50;
