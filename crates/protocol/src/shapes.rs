//! Requests and responses under the names of the API (source: the X-Ray service model).
//!
//! Every list of a response is present even if empty; scalars that are not known are left out; times
//! are plain decimal numbers of seconds.

pub mod batch;
mod encryption;
mod graph;
mod groups;
mod indexing;
mod insights;
mod policies;
mod put;
mod retrieval;
mod root_cause;
mod sampling_rules;
mod sampling_targets;
mod selector;
mod summaries;
mod tags;
mod telemetry;
mod time_series;
mod wire;

pub use batch::BatchGetTracesRequest;
pub use encryption::{
    EncryptionConfig, EncryptionConfigResponse, EncryptionStatus, EncryptionType,
    GetEncryptionConfigRequest, PutEncryptionConfigRequest,
};
pub use graph::{
    Alias, Edge, EdgeStatistics, EdgeType, ErrorStatistics, FaultStatistics,
    GetServiceGraphRequest, GetServiceGraphResponse, GetTraceGraphRequest, GetTraceGraphResponse,
    HistogramEntry, Service, ServiceState, ServiceStatistics, Statistics,
};
pub use groups::{
    CreateGroupRequest, DeleteGroupRequest, GetGroupRequest, GetGroupsRequest, GetGroupsResponse,
    Group, GroupResponse, InsightsConfiguration, UpdateGroupRequest,
};
pub use indexing::{
    Destination, DestinationStatus, GetIndexingRulesRequest, GetIndexingRulesResponse,
    GetTraceSegmentDestinationRequest, IndexingRule, IndexingRuleValue, IndexingRuleValueUpdate,
    TraceSegmentDestinationResponse, UpdateIndexingRuleRequest, UpdateIndexingRuleResponse,
    UpdateTraceSegmentDestinationRequest,
};
pub use insights::{
    AnomalousService, GetInsightEventsRequest, GetInsightEventsResponse,
    GetInsightImpactGraphRequest, GetInsightImpactGraphResponse, GetInsightRequest,
    GetInsightResponse, GetInsightSummariesRequest, GetInsightSummariesResponse, Insight,
    InsightCategory, InsightEvent, InsightImpactGraphEdge, InsightImpactGraphService, InsightState,
    InsightSummary, RequestImpactStatistics,
};
pub use policies::{
    DeleteResourcePolicyRequest, ListResourcePoliciesRequest, ListResourcePoliciesResponse,
    PutResourcePolicyRequest, PutResourcePolicyResponse, ResourcePolicy,
};
pub use put::{PutTraceSegmentsRequest, PutTraceSegmentsResponse, UnprocessedTraceSegment};
pub use retrieval::{
    CancelTraceRetrievalRequest, GetRetrievedTracesGraphRequest, GetRetrievedTracesGraphResponse,
    GraphLink, ListRetrievedTracesRequest, ListRetrievedTracesResponse, RetrievalStatus,
    RetrievedService, RetrievedSpan, RetrievedTrace, StartTraceRetrievalRequest,
    StartTraceRetrievalResponse, TraceFormat,
};
pub use root_cause::{
    ErrorRootCause, ErrorRootCauseEntity, FaultRootCause, FaultRootCauseEntity,
    ResponseTimeRootCause, ResponseTimeRootCauseEntity, RootCause, RootCauseException,
    RootCauseService,
};
pub use sampling_rules::{
    CreateSamplingRuleRequest, DeleteSamplingRuleRequest, GetSamplingRulesRequest,
    GetSamplingRulesResponse, NewSamplingRule, SamplingRateBoost, SamplingRule, SamplingRuleRecord,
    SamplingRuleResponse, SamplingRuleUpdate, UpdateSamplingRuleRequest,
};
pub use sampling_targets::{
    GetSamplingStatisticSummariesRequest, GetSamplingStatisticSummariesResponse,
    GetSamplingTargetsRequest, GetSamplingTargetsResponse, SamplingBoost,
    SamplingBoostStatisticsDocument, SamplingStatisticSummary, SamplingStatisticsDocument,
    SamplingTargetDocument, UnprocessedStatistics,
};
pub use selector::{GroupSelector, RuleSelector, Selector};
pub use summaries::{
    AnnotationValue, AvailabilityZoneDetail, GetTraceSummariesRequest, GetTraceSummariesResponse,
    Http, InstanceIdDetail, ResourceArnDetail, SamplingStrategy, SamplingStrategyName, ServiceId,
    TimeRangeType, TraceSummary, TraceUser, ValueWithServiceIds,
};
pub use tags::{
    ListTagsForResourceRequest, ListTagsForResourceResponse, Tag, TagResourceRequest,
    UntagResourceRequest,
};
pub use telemetry::{
    BackendConnectionErrors, PutTelemetryRecordsRequest, PutTelemetryRecordsResponse,
    TelemetryRecord,
};
pub use time_series::{
    ForecastStatistics, GetTimeSeriesServiceStatisticsRequest,
    GetTimeSeriesServiceStatisticsResponse, TimeSeriesServiceStatistics,
};
pub use wire::{WireSeconds, WireTime};

/// The response of operations that only do something: an empty object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct EmptyResponse {}

#[cfg(test)]
pub(crate) mod tests;
