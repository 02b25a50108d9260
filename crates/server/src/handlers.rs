//! One function per operation: decode, call the crate that does the work, make the answer.

mod graph;
mod groups;
pub(crate) mod insights;
mod retrieval;
mod sampling;
mod settings;
pub(crate) mod spans;
mod tags;
mod traces;

use std::sync::Arc;

use ::sampling::SamplingError;
use account::AccountError;
use protocol::shapes::Tag;
use protocol::token::{self, InvalidToken, Kind, TokenKey};
use protocol::{ApiError, Operation};
use query::QueryError;
use storage::StoreError;
use tracing::Span;

use crate::app::App;
use crate::http::answer::Answer;
use crate::http::body::{BodyLimits, Received};
use crate::origin::Origin;

/// Answers a call of an operation.
pub(crate) async fn call(
    app: &Arc<App>,
    operation: Operation,
    body: &Received,
    origin: Origin,
    limits: &BodyLimits,
    request_id: &str,
) -> Result<Answer, ApiError> {
    match operation {
        Operation::PutTraceSegments => {
            traces::put_trace_segments(app, body, origin, request_id).await
        }
        Operation::BatchGetTraces => traces::batch_get_traces(app, body, limits, request_id).await,
        Operation::GetTraceSummaries => traces::get_trace_summaries(app, body, request_id).await,
        Operation::PutTelemetryRecords => {
            traces::put_telemetry_records(app, body, request_id).await
        }
        Operation::StartTraceRetrieval => retrieval::start(app, body, request_id).await,
        Operation::CancelTraceRetrieval => retrieval::cancel(app, body, request_id).await,
        Operation::ListRetrievedTraces => retrieval::list(app, body, request_id).await,
        Operation::CreateGroup => groups::create(app, body, request_id).await,
        Operation::DeleteGroup => groups::delete(app, body, request_id).await,
        Operation::GetGroup => groups::get(app, body, request_id),
        Operation::GetGroups => groups::list(app, body, request_id),
        Operation::UpdateGroup => groups::update(app, body, request_id).await,
        Operation::CreateSamplingRule => sampling::create(app, body, request_id).await,
        Operation::DeleteSamplingRule => sampling::delete(app, body, request_id).await,
        Operation::GetSamplingRules => sampling::rules(app, body, request_id),
        Operation::GetSamplingStatisticSummaries => sampling::summaries(app, body, request_id),
        Operation::GetSamplingTargets => sampling::targets(app, body, request_id).await,
        Operation::UpdateSamplingRule => sampling::update(app, body, request_id).await,
        Operation::DeleteResourcePolicy => settings::delete_policy(app, body, request_id).await,
        Operation::GetEncryptionConfig => settings::get_encryption(app, body, request_id),
        Operation::GetIndexingRules => settings::get_indexing_rules(app, body, request_id),
        Operation::GetTraceSegmentDestination => settings::get_destination(app, body, request_id),
        Operation::ListResourcePolicies => settings::list_policies(app, body, request_id),
        Operation::PutEncryptionConfig => settings::put_encryption(app, body, request_id).await,
        Operation::PutResourcePolicy => settings::put_policy(app, body, request_id).await,
        Operation::UpdateIndexingRule => {
            settings::update_indexing_rule(app, body, request_id).await
        }
        Operation::UpdateTraceSegmentDestination => {
            settings::update_destination(app, body, request_id).await
        }
        Operation::ListTagsForResource => tags::list(app, body, request_id),
        Operation::TagResource => tags::tag(app, body, request_id).await,
        Operation::UntagResource => tags::untag(app, body, request_id).await,
        Operation::GetServiceGraph => graph::service_graph(app, body, request_id).await,
        Operation::GetTimeSeriesServiceStatistics => {
            graph::time_series(app, body, request_id).await
        }
        Operation::GetTraceGraph => graph::trace_graph(app, body, request_id).await,
        Operation::GetRetrievedTracesGraph => retrieval::graph(app, body, request_id).await,
        Operation::GetInsight => insights::get(app, body, request_id),
        Operation::GetInsightEvents => insights::events(app, body, request_id),
        Operation::GetInsightImpactGraph => insights::impact_graph(app, body, request_id).await,
        Operation::GetInsightSummaries => insights::summaries(app, body, request_id),
    }
}

/// Runs a call that blocks for a moment (settings are read from memory and written to disk) on a thread for such.
async fn blocking<T: Send + 'static>(
    app: &Arc<App>,
    call: impl FnOnce(&App) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let (app, span) = (Arc::clone(app), Span::current());
    tokio::task::spawn_blocking(move || span.in_scope(|| call(&app)))
        .await
        .unwrap_or_else(|error| Err(ApiError::internal(error.to_string())))
}

/// Returns the name a page goes on after; nothing for the first page.
fn name_after(
    key: &TokenKey,
    kind: Kind,
    token: Option<&str>,
) -> Result<Option<String>, InvalidToken> {
    let Some(token) = token else { return Ok(None) };
    let name = token::open(key, kind, b"", token)?;
    String::from_utf8(name).map(Some).map_err(|_| InvalidToken)
}

/// Returns the token of the page after the one that ends with a name.
fn token_after(key: &TokenKey, kind: Kind, last: &str) -> String {
    token::seal(key, kind, b"", last.as_bytes())
}

/// Refuses the token of a further page where the first has everything: no such token was ever given out.
fn only_page(token: Option<&str>) -> Result<(), InvalidToken> {
    token.map_or(Ok(()), |_| Err(InvalidToken))
}

/// Returns tags as keys and values.
fn pairs(tags: Vec<Tag>) -> Vec<(String, String)> {
    tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

/// Returns what a client is told of a setting that is not there or does not change.
fn account_error(error: AccountError) -> ApiError {
    let text = error.to_string();
    match error {
        AccountError::InvalidRequest(_) => ApiError::invalid_request(text),
        AccountError::NotFound { resource } => ApiError::resource_not_found(text, resource),
        AccountError::TooManyTags { resource } => ApiError::too_many_tags(text, resource),
        AccountError::MalformedPolicyDocument(_) => ApiError::malformed_policy_document(text),
        AccountError::LockoutPrevention(_) => ApiError::lockout_prevention(text),
        AccountError::InvalidPolicyRevisionId(_) => ApiError::invalid_policy_revision_id(text),
        AccountError::PolicyCountLimitExceeded(_) => ApiError::policy_count_limit_exceeded(text),
        AccountError::PolicySizeLimitExceeded(_) => ApiError::policy_size_limit_exceeded(text),
        AccountError::Store(error) => store_error(&error),
        AccountError::Record { .. } => ApiError::internal(text),
        AccountError::Randomness(source) => ApiError::internal(format!("{text}: {source}")),
    }
}

/// Returns what a client is told of sampling that has no answer.
fn sampling_error(error: SamplingError) -> ApiError {
    let text = error.to_string();
    match error {
        SamplingError::Invalid(_) => ApiError::invalid_request(text),
        SamplingError::RuleLimitExceeded => ApiError::rule_limit_exceeded(text),
        SamplingError::NotFound { arn } => ApiError::resource_not_found(text, arn),
        SamplingError::TooManyTags { arn, .. } => ApiError::too_many_tags(text, arn),
        SamplingError::Store(error) => store_error(&error),
        SamplingError::Unreadable { .. } | _ => ApiError::internal(text),
    }
}

/// Returns what a client is told of a query without an answer.
pub(crate) fn query_error(error: QueryError) -> ApiError {
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
pub(crate) fn store_error(error: &StoreError) -> ApiError {
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
pub(crate) fn in_memory(bytes: u64) -> usize {
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

    fn check_told(error: &ApiError, code: &str, resource: Option<&str>, is_logged: bool) {
        assert_eq!(error.code(), code);
        assert_eq!(error.resource_name(), resource, "{code}");
        assert_eq!(error.logged().is_some(), is_logged, "{code}");
        assert!(!error.message().contains("secret"), "{}", error.message());
    }

    #[test]
    fn every_error_of_settings_has_its_own_on_the_wire() {
        use AccountError as E;
        let check = |error, code: &str, resource| {
            check_told(&account_error(error), code, resource, false);
        };
        let arn = || "arn".to_owned();
        let text = String::new;
        check(E::InvalidRequest(text()), "InvalidRequestException", None);
        let error = E::NotFound { resource: arn() };
        check(error, "ResourceNotFoundException", Some("arn"));
        let error = E::TooManyTags { resource: arn() };
        check(error, "TooManyTagsException", Some("arn"));
        let error = E::MalformedPolicyDocument(text());
        check(error, "MalformedPolicyDocumentException", None);
        check(
            E::LockoutPrevention(text()),
            "LockoutPreventionException",
            None,
        );
        let error = E::InvalidPolicyRevisionId(text());
        check(error, "InvalidPolicyRevisionIdException", None);
        let error = E::PolicyCountLimitExceeded(text());
        check(error, "PolicyCountLimitExceededException", None);
        let error = E::PolicySizeLimitExceeded(text());
        check(error, "PolicySizeLimitExceededException", None);
        let check = |error, code: &str| check_told(&account_error(error), code, None, true);
        check(E::Store(StoreError::Closed), "ServiceUnavailableException");
        let record = E::Record {
            key: "k".to_owned(),
            reason: "secret".to_owned(),
        };
        check(record, "InternalFailure");
    }

    #[test]
    fn every_error_of_sampling_has_its_own_on_the_wire() {
        use SamplingError as E;
        let check = |error, code: &str, resource| {
            check_told(&sampling_error(error), code, resource, false);
        };
        let arn = || "arn".to_owned();
        check(E::Invalid(String::new()), "InvalidRequestException", None);
        check(E::RuleLimitExceeded, "RuleLimitExceededException", None);
        let error = E::NotFound { arn: arn() };
        check(error, "ResourceNotFoundException", Some("arn"));
        let error = E::TooManyTags {
            arn: arn(),
            source: model::InvalidTags::TooMany { n_tags: 51 },
        };
        check(error, "TooManyTagsException", Some("arn"));
        let check = |error, code: &str| check_told(&sampling_error(error), code, None, true);
        check(E::Store(StoreError::Closed), "ServiceUnavailableException");
        let record = E::Unreadable {
            key: "k".to_owned(),
            detail: "secret".to_owned(),
        };
        check(record, "InternalFailure");
    }

    #[test]
    fn a_query_that_cannot_be_answered_is_invalid() {
        let error = query_error(QueryError::Invalid("no".into()));
        assert_eq!((error.status().as_u16(), error.message()), (400, "no"));
    }
}
