//! Traces in and out: segments, batches, summaries, telemetry.

mod page;

use std::sync::Arc;

use ingest::{Limits, Refusal};
use protocol::shapes::{
    BatchGetTracesRequest, GetTraceSummariesRequest, PutTelemetryRecordsRequest,
    PutTelemetryRecordsResponse, PutTraceSegmentsRequest, PutTraceSegmentsResponse,
    TelemetryRecord, UnprocessedTraceSegment,
};
use protocol::{ApiError, decode, json_response};
use query::{BatchOptions, GroupRef, SummariesOptions};
use storage::TraceStore;

use super::{in_memory, query_error, store_error};
use crate::app::{App, filter_of};
use crate::config::values::Orphans;
use crate::http::answer::Answer;
use crate::http::body::room::Patience;
use crate::http::body::{BodyLimits, Received};
use crate::origin::Origin;
use crate::{clock, intake};

pub(super) async fn put_trace_segments(
    app: &App,
    body: &Received,
    origin: Origin,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: PutTraceSegmentsRequest<'_> = decode(&body.bytes)
        .map_err(|error| intake::refuse_call(&app.house, Some(app), origin, error, &body.bytes))?;
    let limits = Limits {
        n_documents_max: app.config().limits.documents_per_call,
        document_bytes_max: in_memory(app.config().limits.document_bytes.0),
    };
    let documents = request.trace_segment_documents;
    let verdicts = intake::accept(app, origin, documents, &limits).await?;
    let unprocessed_trace_segments = verdicts.refused.into_iter().map(unprocessed).collect();
    Ok(json_response(
        &PutTraceSegmentsResponse {
            unprocessed_trace_segments,
        },
        request_id,
    )
    .into())
}

fn unprocessed(refusal: Refusal) -> UnprocessedTraceSegment {
    UnprocessedTraceSegment {
        id: refusal.id,
        error_code: refusal.code.to_owned(),
        message: refusal.message,
    }
}

pub(super) async fn batch_get_traces(
    app: &App,
    body: &Received,
    limits: &BodyLimits,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: BatchGetTracesRequest = decode(&body.bytes)?;
    let options = BatchOptions {
        n_trace_ids_max: app.config().limits.trace_ids_per_call,
        page_bytes: in_memory(app.config().query.page_bytes.0),
        orphans: match app.config().query.orphans {
            Orphans::Visible => model::Orphans::Visible,
            Orphans::Hidden => model::Orphans::Hidden,
        },
        trace_bytes_max: app.config().limits.trace_bytes.0,
        token_key: app.token_key.clone(),
    };
    let store = Arc::clone(&app.house.store);
    let page = query::batch_get(store, app.tenant, &request, options).map_err(query_error)?;
    let (share, patience) = (Arc::clone(&limits.share), Patience::new(limits.wait));
    page::answer(page, share, patience, request_id).await
}

pub(super) async fn get_trace_summaries(
    app: &App,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: GetTraceSummariesRequest = decode(&body.bytes)?;
    let groups = app.settings.groups.snapshot();
    let options = SummariesOptions {
        groups: Arc::new(move |group: GroupRef<'_>| filter_of(&groups, group)),
        n_summaries_max: app.config().query.summaries_per_page,
        n_scanned_max: app.config().query.traces_scanned_per_page,
        slow_trace: app.config().query.slow_trace.0,
        token_key: app.token_key.clone(),
    };
    let response = query::summaries(&*app.house.store, app.tenant, &request, &options)
        .await
        .map_err(query_error)?;
    Ok(json_response(&response, request_id).into())
}

pub(super) async fn put_telemetry_records(
    app: &App,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let request: PutTelemetryRecordsRequest = decode(&body.bytes)?;
    let mut records = Vec::with_capacity(request.telemetry_records.len());
    for record in &request.telemetry_records {
        records.push(
            serde_json::to_vec(record).map_err(|error| ApiError::internal(error.to_string()))?,
        );
    }
    app.house
        .store
        .put_telemetry(app.tenant, records, clock::now())
        .await
        .map_err(|error| store_error(&error))?;
    for record in &request.telemetry_records {
        count(app, record);
    }
    Ok(json_response(&PutTelemetryRecordsResponse {}, request_id).into())
}

/// Adds up what a daemon reports. The figures are those of all accounts: none may make them run over.
fn count(app: &App, record: &TelemetryRecord) {
    let reported = [
        ("received", record.segments_received_count),
        ("sent", record.segments_sent_count),
        ("spillover", record.segments_spillover_count),
        ("rejected", record.segments_rejected_count),
    ];
    for (outcome, n_segments) in reported {
        let n_segments = n_segments.map(|n_segments| n_segments.min(SEGMENTS_REPORTED_MAX));
        app.house.metrics.telemetry(outcome, n_segments);
    }
}

/// More than a daemon sees in a minute.
const SEGMENTS_REPORTED_MAX: i64 = 1 << 31;
