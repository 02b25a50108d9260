//! One function per operation: decode, call the crate that does the work, make the answer.

mod retrieval;
mod traces;

use std::sync::Arc;

use protocol::{ApiError, Operation};
use query::QueryError;
use storage::StoreError;

use crate::app::App;
use crate::http::answer::Answer;
use crate::http::body::Received;

/// Answers a call of an operation.
pub(crate) async fn call(
    app: &Arc<App>,
    operation: Operation,
    body: &Received,
    request_id: &str,
) -> Result<Answer, ApiError> {
    match operation {
        Operation::PutTraceSegments => traces::put_trace_segments(app, body, request_id).await,
        Operation::BatchGetTraces => traces::batch_get_traces(app, body, request_id).await,
        Operation::GetTraceSummaries => traces::get_trace_summaries(app, body, request_id).await,
        Operation::PutTelemetryRecords => {
            traces::put_telemetry_records(app, body, request_id).await
        }
        Operation::StartTraceRetrieval => retrieval::start(app, body, request_id).await,
        Operation::CancelTraceRetrieval => retrieval::cancel(app, body, request_id).await,
        Operation::ListRetrievedTraces => retrieval::list(app, body, request_id).await,
        Operation::CreateGroup
        | Operation::CreateSamplingRule
        | Operation::DeleteGroup
        | Operation::DeleteResourcePolicy
        | Operation::DeleteSamplingRule
        | Operation::GetEncryptionConfig
        | Operation::GetGroup
        | Operation::GetGroups
        | Operation::GetIndexingRules
        | Operation::GetInsight
        | Operation::GetInsightEvents
        | Operation::GetInsightImpactGraph
        | Operation::GetInsightSummaries
        | Operation::GetRetrievedTracesGraph
        | Operation::GetSamplingRules
        | Operation::GetSamplingStatisticSummaries
        | Operation::GetSamplingTargets
        | Operation::GetServiceGraph
        | Operation::GetTimeSeriesServiceStatistics
        | Operation::GetTraceGraph
        | Operation::GetTraceSegmentDestination
        | Operation::ListResourcePolicies
        | Operation::ListTagsForResource
        | Operation::PutEncryptionConfig
        | Operation::PutResourcePolicy
        | Operation::TagResource
        | Operation::UntagResource
        | Operation::UpdateGroup
        | Operation::UpdateIndexingRule
        | Operation::UpdateSamplingRule
        | Operation::UpdateTraceSegmentDestination => Err(ApiError::not_built(operation)),
    }
}

/// Runs a call that blocks for a moment (settings are read from memory and written to disk) on a thread for such.
async fn blocking<T: Send + 'static>(
    app: &Arc<App>,
    call: impl FnOnce(&App) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let app = Arc::clone(app);
    tokio::task::spawn_blocking(move || call(&app))
        .await
        .unwrap_or_else(|error| Err(ApiError::internal(error.to_string())))
}

/// Returns what a client is told of a query without an answer.
fn query_error(error: QueryError) -> ApiError {
    match error {
        QueryError::Invalid(message) => ApiError::invalid_request(message),
        QueryError::NotFound { message, resource } => {
            ApiError::resource_not_found(message, resource)
        }
        QueryError::Store(error) => store_error(&error),
        QueryError::CutOff(detail) => ApiError::internal(detail),
    }
}

/// Returns what a client is told of a store that did not serve a call.
fn store_error(error: &StoreError) -> ApiError {
    let detail = error.to_string();
    match error {
        StoreError::Busy { .. } => {
            ApiError::throttled("more is written than the disk takes; retry with backoff")
        }
        StoreError::DiskFull { .. } => {
            ApiError::unavailable("the server's disk is full; free space or lower storage.max_disk")
        }
        StoreError::Unavailable { .. } | StoreError::Closed => {
            ApiError::unavailable("the store takes no writes at the moment")
        }
        StoreError::Read { .. } | _ => ApiError::internal(""),
    }
    .with_logged(detail)
}

/// Returns a configured size as a size in memory.
fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: &StoreError, status: u16) {
        let sent = store_error(error);
        assert_eq!(sent.status().as_u16(), status, "{error}");
        assert_eq!(sent.logged(), Some(error.to_string().as_str()));
        assert!(!sent.message().contains("secret"), "{error}");
    }

    #[test]
    fn a_store_that_does_not_serve_is_told_by_what_helps() {
        let reason = || "secret".to_owned();
        check(&StoreError::Busy { waited_ms: 5 }, 429);
        check(
            &StoreError::DiskFull {
                free_bytes: 1,
                needed_bytes: 2,
            },
            503,
        );
        check(&StoreError::Unavailable { reason: reason() }, 503);
        check(&StoreError::Closed, 503);
        check(&StoreError::Read { reason: reason() }, 500);
    }

    #[test]
    fn a_query_that_cannot_be_answered_is_invalid() {
        let error = query_error(QueryError::Invalid("no".into()));
        assert_eq!((error.status().as_u16(), error.message()), (400, "no"));
    }
}
