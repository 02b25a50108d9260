//! Service graphs, trace graphs and time series.

use model::Timestamp;
use protocol::shapes::{
    GetServiceGraphRequest, GetTimeSeriesServiceStatisticsRequest, GetTraceGraphRequest,
    GroupSelector,
};
use protocol::{ApiError, decode, json_response};
use query::{Entity, EntitySelector, GraphOptions, GroupScope, Selector, TimeSeriesOptions};
use storage::ALL_TRACES;

use super::{account_error, groups::selector, query_error};
use crate::app::App;
use crate::http::answer::Answer;
use crate::http::body::Received;

pub(super) async fn service_graph(
    app: &App,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: GetServiceGraphRequest = decode(&body.bytes)?;
    let window = (request.start_time, request.end_time);
    let group = scope(app, request.group.as_ref(), window)?;
    let options = options(app);
    let response = query::service_graph(&*app.house.store, app.tenant, &request, group, &options)
        .await
        .map_err(query_error)?;
    Ok(json_response(&response, request_id).into())
}

pub(super) async fn trace_graph(
    app: &App,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: GetTraceGraphRequest = decode(&body.bytes)?;
    let response = query::trace_graph(&*app.house.store, app.tenant, &request, &options(app))
        .await
        .map_err(query_error)?;
    Ok(json_response(&response, request_id).into())
}

pub(super) async fn time_series(
    app: &App,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: GetTimeSeriesServiceStatisticsRequest = decode(&body.bytes)?;
    let window = (request.start_time, request.end_time);
    let group = scope(app, request.group.as_ref(), window)?;
    let selected = match &request.entity_selector_expression {
        Some(text) => {
            let parsed = Selector::parse(text).map_err(|error| query_error(error.into()))?;
            Some(entity(parsed))
        }
        None => None,
    };
    let options = TimeSeriesOptions {
        n_periods_max: PERIODS_PER_PAGE,
        token_key: app.token_key.clone(),
    };
    let series = query::time_series(
        &*app.house.store,
        app.tenant,
        &request,
        group,
        selected,
        &options,
    );
    let response = series.await.map_err(query_error)?;
    Ok(json_response(&response, request_id).into())
}

/// Returns how graphs are made.
pub(super) fn options(app: &App) -> GraphOptions {
    GraphOptions {
        n_services_max: SERVICES_PER_PAGE,
        n_trace_ids_max: TRACES_PER_GRAPH,
        n_linked_traces_max: LINKED_TRACES,
        token_key: app.token_key.clone(),
    }
}

/// Returns which traces a request is about: those of the group it names, all of them for none.
fn scope(
    app: &App,
    group: Option<&GroupSelector>,
    (from, to): (Timestamp, Timestamp),
) -> Result<GroupScope, ApiError> {
    let Some(named) = group else {
        return Ok(GroupScope {
            number: ALL_TRACES,
            contains_old_versions: false,
        });
    };
    let found = app.settings.groups.get(selector(named));
    let group = found.map_err(account_error)?;
    Ok(GroupScope {
        number: group.uid,
        contains_old_versions: group.changed_within(from, to),
    })
}

fn entity(selector: Selector) -> EntitySelector {
    let has_id = selector.names_id();
    let entity = match selector {
        Selector::Service(nodes) => {
            Entity::Services(Box::new(move |service| nodes.matches_service(service)))
        }
        Selector::Edge(..) => {
            Entity::Edges(Box::new(move |from, to| selector.matches_edge(from, to)))
        }
    };
    EntitySelector { entity, has_id }
}

/// A page is about a megabyte; most graphs are one.
const SERVICES_PER_PAGE: usize = 1_000;
/// The original names no bound; what a console shows at once is far below.
const TRACES_PER_GRAPH: usize = 1_000;
/// Messages of many producers are received together.
const LINKED_TRACES: usize = 1_000;
/// A day of minutes, or most of a year of quarters of an hour.
const PERIODS_PER_PAGE: u32 = 1_440;
