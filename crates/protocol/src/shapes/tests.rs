//! The shapes against the service model: what it allows is read, what it forbids is refused, and what
//! is written is what it says.

mod requests;
mod responses;

use super::*;
use crate::{ApiError, Operation, Shape, decode};

/// Returns why a body is no request of an operation, if it is none.
pub(crate) fn refusal(operation: Operation, body: &[u8]) -> Option<ApiError> {
    fn of<'a, T: Shape<'a>>(body: &'a [u8]) -> Option<ApiError> {
        decode::<T>(body).err()
    }
    match operation {
        Operation::BatchGetTraces => of::<BatchGetTracesRequest>(body),
        Operation::CancelTraceRetrieval => of::<CancelTraceRetrievalRequest>(body),
        Operation::CreateGroup => of::<CreateGroupRequest>(body),
        Operation::CreateSamplingRule => of::<CreateSamplingRuleRequest>(body),
        Operation::DeleteGroup => of::<DeleteGroupRequest>(body),
        Operation::DeleteResourcePolicy => of::<DeleteResourcePolicyRequest>(body),
        Operation::DeleteSamplingRule => of::<DeleteSamplingRuleRequest>(body),
        Operation::GetEncryptionConfig => of::<GetEncryptionConfigRequest>(body),
        Operation::GetGroup => of::<GetGroupRequest>(body),
        Operation::GetGroups => of::<GetGroupsRequest>(body),
        Operation::GetIndexingRules => of::<GetIndexingRulesRequest>(body),
        Operation::GetInsight => of::<GetInsightRequest>(body),
        Operation::GetInsightEvents => of::<GetInsightEventsRequest>(body),
        Operation::GetInsightImpactGraph => of::<GetInsightImpactGraphRequest>(body),
        Operation::GetInsightSummaries => of::<GetInsightSummariesRequest>(body),
        Operation::GetRetrievedTracesGraph => of::<GetRetrievedTracesGraphRequest>(body),
        Operation::GetSamplingRules => of::<GetSamplingRulesRequest>(body),
        Operation::GetSamplingStatisticSummaries => {
            of::<GetSamplingStatisticSummariesRequest>(body)
        }
        Operation::GetSamplingTargets => of::<GetSamplingTargetsRequest>(body),
        Operation::GetServiceGraph => of::<GetServiceGraphRequest>(body),
        Operation::GetTimeSeriesServiceStatistics => {
            of::<GetTimeSeriesServiceStatisticsRequest>(body)
        }
        Operation::GetTraceGraph => of::<GetTraceGraphRequest>(body),
        Operation::GetTraceSegmentDestination => of::<GetTraceSegmentDestinationRequest>(body),
        Operation::GetTraceSummaries => of::<GetTraceSummariesRequest>(body),
        Operation::ListResourcePolicies => of::<ListResourcePoliciesRequest>(body),
        Operation::ListRetrievedTraces => of::<ListRetrievedTracesRequest>(body),
        Operation::ListTagsForResource => of::<ListTagsForResourceRequest>(body),
        Operation::PutEncryptionConfig => of::<PutEncryptionConfigRequest>(body),
        Operation::PutResourcePolicy => of::<PutResourcePolicyRequest>(body),
        Operation::PutTelemetryRecords => of::<PutTelemetryRecordsRequest>(body),
        Operation::PutTraceSegments => of::<PutTraceSegmentsRequest<'_>>(body),
        Operation::StartTraceRetrieval => of::<StartTraceRetrievalRequest>(body),
        Operation::TagResource => of::<TagResourceRequest>(body),
        Operation::UntagResource => of::<UntagResourceRequest>(body),
        Operation::UpdateGroup => of::<UpdateGroupRequest>(body),
        Operation::UpdateIndexingRule => of::<UpdateIndexingRuleRequest>(body),
        Operation::UpdateSamplingRule => of::<UpdateSamplingRuleRequest>(body),
        Operation::UpdateTraceSegmentDestination => {
            of::<UpdateTraceSegmentDestinationRequest>(body)
        }
    }
}
