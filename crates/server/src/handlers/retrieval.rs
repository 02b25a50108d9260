//! Trace retrieval.

use std::sync::Arc;

use protocol::shapes::{
    CancelTraceRetrievalRequest, EmptyResponse, GetRetrievedTracesGraphRequest,
    ListRetrievedTracesRequest, StartTraceRetrievalRequest, StartTraceRetrievalResponse,
};
use protocol::{ApiError, decode, json_response};
use query::RetrievalOptions;
use uuid::Uuid;

use super::{blocking, graph, in_memory, query_error};
use crate::app::App;
use crate::clock;
use crate::http::answer::Answer;
use crate::http::body::Received;

pub(super) async fn start(
    app: &Arc<App>,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: StartTraceRetrievalRequest = decode(&body.bytes)?;
    let retrieval_token = Uuid::new_v4().to_string();
    let token = retrieval_token.clone();
    blocking(app, move |app| {
        let started = app.retrievals.start(&request, &token, clock::now());
        started.map_err(query_error)
    })
    .await?;
    let response = StartTraceRetrievalResponse { retrieval_token };
    Ok(json_response(&response, request_id).into())
}

pub(super) async fn cancel(
    app: &Arc<App>,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: CancelTraceRetrievalRequest = decode(&body.bytes)?;
    blocking(app, move |app| {
        let cancelled = app
            .retrievals
            .cancel(&request.retrieval_token, clock::now());
        cancelled.map_err(query_error)
    })
    .await?;
    Ok(json_response(&EmptyResponse {}, request_id).into())
}

pub(super) async fn list(app: &App, body: &Received, request_id: &str) -> Result<Answer, ApiError> {
    let request: ListRetrievedTracesRequest = decode(&body.bytes)?;
    let options = RetrievalOptions {
        page_bytes: in_memory(app.config().query.page_bytes.0),
        token_key: app.token_key.clone(),
    };
    let response = query::retrieved_traces(
        &*app.house.store,
        app.tenant,
        &app.retrievals,
        &request,
        &options,
        clock::now(),
    )
    .await
    .map_err(query_error)?;
    Ok(json_response(&response, request_id).into())
}

pub(super) async fn graph(
    app: &App,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: GetRetrievedTracesGraphRequest = decode(&body.bytes)?;
    let response = query::retrieved_graph(
        &*app.house.store,
        app.tenant,
        &app.retrievals,
        &request,
        &graph::options(app),
        clock::now(),
    )
    .await
    .map_err(query_error)?;
    Ok(json_response(&response, request_id).into())
}
