//! The parts of an examination, in an order in which what is made comes before what is asked about it, and what there
//! may be only so much of is filled up at the end.

use protocol::Operation;

use super::exam::Exam;
use super::fixture::Fixture;
use super::{filters, graph, groups, insights, retrieval, sampling, settings, traces, wire};
use crate::exit::Stop;

/// A part of an examination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Documents,
    Wire,
    Batch,
    Summaries,
    Filters,
    Telemetry,
    TraceGraph,
    ServiceGraph,
    TimeSeries,
    OldVersions,
    Retrieval,
    Insights,
    Encryption,
    Indexing,
    Destination,
    Groups,
    ManyGroups,
    Sampling,
    ManyRules,
    Policies,
    ManyPolicies,
}

impl Part {
    /// All of them, in their order.
    pub(super) const ALL: [Self; 21] = [
        Self::Documents,
        Self::Wire,
        Self::Batch,
        Self::Summaries,
        Self::Filters,
        Self::Telemetry,
        Self::TraceGraph,
        Self::ServiceGraph,
        Self::TimeSeries,
        Self::OldVersions,
        Self::Retrieval,
        Self::Insights,
        Self::Encryption,
        Self::Indexing,
        Self::Destination,
        Self::Groups,
        Self::ManyGroups,
        Self::Sampling,
        Self::ManyRules,
        Self::Policies,
        Self::ManyPolicies,
    ];

    /// Tells whether it has to do with one of these operations; with none of them everything is asked for.
    pub(super) fn is_asked_for(self, only: &[Operation]) -> bool {
        let operations = self.operations();
        // What comes later asks about what the first parts send.
        let is_always = operations.is_empty();
        let is_meant = || operations.iter().any(|operation| only.contains(operation));
        is_always || only.is_empty() || is_meant()
    }

    const fn operations(self) -> &'static [Operation] {
        match self {
            Self::Documents | Self::Wire => &[],
            Self::Batch => &[Operation::BatchGetTraces],
            Self::Summaries | Self::Filters => &[Operation::GetTraceSummaries],
            Self::Telemetry => &[Operation::PutTelemetryRecords],
            Self::TraceGraph => &[Operation::GetTraceGraph],
            Self::ServiceGraph | Self::OldVersions => &[Operation::GetServiceGraph],
            Self::TimeSeries => &[Operation::GetTimeSeriesServiceStatistics],
            Self::Retrieval => RETRIEVAL,
            Self::Insights => INSIGHTS,
            Self::Encryption => ENCRYPTION,
            Self::Indexing => INDEXING,
            Self::Destination => DESTINATION,
            Self::Groups => GROUPS,
            Self::ManyGroups => &[Operation::CreateGroup],
            Self::Sampling => SAMPLING,
            Self::ManyRules => &[Operation::CreateSamplingRule],
            Self::Policies => POLICIES,
            Self::ManyPolicies => &[Operation::PutResourcePolicy],
        }
    }

    /// Checks all of it. The group of the run has this ARN; settings of the account are changed only if they may be.
    pub(super) async fn check(
        self,
        exam: &mut Exam,
        fixture: &Fixture,
        arn: &str,
        may_change: bool,
    ) -> Result<(), Stop> {
        let group = &fixture.name("group");
        match self {
            Self::Documents => Box::pin(traces::put(exam, fixture)).await,
            Self::Wire => wire::check(exam).await,
            Self::Batch => Box::pin(traces::batch(exam, fixture)).await,
            Self::Summaries => Box::pin(traces::summaries(exam, fixture)).await,
            Self::Filters => Box::pin(filters::check(exam, fixture, group)).await,
            Self::Telemetry => Box::pin(traces::telemetry(exam, fixture)).await,
            Self::TraceGraph => Box::pin(graph::trace_graph(exam, fixture)).await,
            Self::ServiceGraph => Box::pin(graph::service_graph(exam, fixture, group, arn)).await,
            Self::TimeSeries => Box::pin(graph::time_series(exam, fixture, group)).await,
            Self::OldVersions => Box::pin(graph::old_versions(exam, fixture, group)).await,
            Self::Retrieval => Box::pin(retrieval::check(exam, fixture)).await,
            Self::Insights => Box::pin(insights::check(exam, fixture, group)).await,
            Self::Encryption => Box::pin(settings::encryption(exam, may_change)).await,
            Self::Indexing => Box::pin(settings::indexing(exam, may_change)).await,
            Self::Destination => Box::pin(settings::destination(exam, may_change)).await,
            Self::Groups => Box::pin(groups::check(exam, fixture)).await,
            Self::ManyGroups => Box::pin(groups::fill(exam, fixture)).await,
            Self::Sampling => Box::pin(sampling::check(exam, fixture)).await,
            Self::ManyRules => Box::pin(sampling::fill(exam, fixture)).await,
            Self::Policies => Box::pin(settings::policies(exam, fixture)).await,
            Self::ManyPolicies => Box::pin(settings::fill(exam, fixture)).await,
        }
    }
}

const RETRIEVAL: &[Operation] = &[
    Operation::StartTraceRetrieval,
    Operation::ListRetrievedTraces,
    Operation::GetRetrievedTracesGraph,
    Operation::CancelTraceRetrieval,
];
const INSIGHTS: &[Operation] = &[
    Operation::GetInsight,
    Operation::GetInsightEvents,
    Operation::GetInsightImpactGraph,
    Operation::GetInsightSummaries,
];
const ENCRYPTION: &[Operation] = &[
    Operation::GetEncryptionConfig,
    Operation::PutEncryptionConfig,
];
const INDEXING: &[Operation] = &[Operation::GetIndexingRules, Operation::UpdateIndexingRule];
const DESTINATION: &[Operation] = &[
    Operation::GetTraceSegmentDestination,
    Operation::UpdateTraceSegmentDestination,
];
const GROUPS: &[Operation] = &[
    Operation::CreateGroup,
    Operation::GetGroup,
    Operation::GetGroups,
    Operation::UpdateGroup,
    Operation::DeleteGroup,
    Operation::TagResource,
    Operation::UntagResource,
    Operation::ListTagsForResource,
];
const SAMPLING: &[Operation] = &[
    Operation::CreateSamplingRule,
    Operation::GetSamplingRules,
    Operation::UpdateSamplingRule,
    Operation::DeleteSamplingRule,
    Operation::GetSamplingTargets,
    Operation::GetSamplingStatisticSummaries,
];
const POLICIES: &[Operation] = &[
    Operation::PutResourcePolicy,
    Operation::DeleteResourcePolicy,
    Operation::ListResourcePolicies,
];
