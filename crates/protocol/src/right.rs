//! What a key may be good for, and which operations that allows.
//!
//! The three rights follow AWS's managed policies `AWSXRayDaemonWriteAccess`, `AWSXrayReadOnlyAccess` and
//! `AWSXrayFullAccess`: sampling is told to both who write and who read, and the last allows everything.

use crate::Operation;

/// What a key may be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// Sending traces, and asking what to sample: what agents and SDKs need.
    Write,
    /// Seeing traces, graphs and settings.
    Read,
    /// Everything, changes of settings too.
    Admin,
}

impl Right {
    /// Returns whether this right is enough for an operation.
    pub const fn allows(self, operation: Operation) -> bool {
        let need = Need::of(operation);
        match self {
            Self::Write => matches!(need, Need::Write | Need::WriteOrRead),
            Self::Read => matches!(need, Need::Read | Need::WriteOrRead),
            Self::Admin => true,
        }
    }
}

impl Operation {
    /// Returns whether any of some rights is enough for the operation.
    pub fn is_allowed(self, rights: &[Right]) -> bool {
        rights.iter().any(|right| right.allows(self))
    }
}

/// What it takes to be allowed an operation, unless one is allowed everything.
enum Need {
    Write,
    Read,
    WriteOrRead,
    Admin,
}

impl Need {
    const fn of(operation: Operation) -> Self {
        match operation {
            Operation::PutTelemetryRecords | Operation::PutTraceSegments => Self::Write,
            Operation::GetSamplingRules
            | Operation::GetSamplingStatisticSummaries
            | Operation::GetSamplingTargets => Self::WriteOrRead,
            Operation::BatchGetTraces
            | Operation::CancelTraceRetrieval
            | Operation::GetEncryptionConfig
            | Operation::GetGroup
            | Operation::GetGroups
            | Operation::GetIndexingRules
            | Operation::GetInsight
            | Operation::GetInsightEvents
            | Operation::GetInsightImpactGraph
            | Operation::GetInsightSummaries
            | Operation::GetRetrievedTracesGraph
            | Operation::GetServiceGraph
            | Operation::GetTimeSeriesServiceStatistics
            | Operation::GetTraceGraph
            | Operation::GetTraceSegmentDestination
            | Operation::GetTraceSummaries
            | Operation::ListResourcePolicies
            | Operation::ListRetrievedTraces
            | Operation::ListTagsForResource
            | Operation::StartTraceRetrieval => Self::Read,
            Operation::CreateGroup
            | Operation::CreateSamplingRule
            | Operation::DeleteGroup
            | Operation::DeleteResourcePolicy
            | Operation::DeleteSamplingRule
            | Operation::PutEncryptionConfig
            | Operation::PutResourcePolicy
            | Operation::TagResource
            | Operation::UntagResource
            | Operation::UpdateGroup
            | Operation::UpdateIndexingRule
            | Operation::UpdateSamplingRule
            | Operation::UpdateTraceSegmentDestination => Self::Admin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Write, read, admin: as letters, `-` where the right is not enough.
    fn allowed(operation: Operation) -> String {
        let rights = [(Right::Write, 'w'), (Right::Read, 'r'), (Right::Admin, 'a')];
        let letter = |(right, letter): (Right, char)| {
            if operation.is_allowed(&[right]) {
                letter
            } else {
                '-'
            }
        };
        rights.map(letter).iter().collect()
    }

    #[test]
    fn every_operation_asks_for_its_rights() {
        let table: Vec<_> = Operation::ALL
            .iter()
            .map(|operation| format!("{} {}", allowed(*operation), operation.name()))
            .collect();
        assert_eq!(
            table,
            [
                "-ra BatchGetTraces",
                "-ra CancelTraceRetrieval",
                "--a CreateGroup",
                "--a CreateSamplingRule",
                "--a DeleteGroup",
                "--a DeleteResourcePolicy",
                "--a DeleteSamplingRule",
                "-ra GetEncryptionConfig",
                "-ra GetGroup",
                "-ra GetGroups",
                "-ra GetIndexingRules",
                "-ra GetInsight",
                "-ra GetInsightEvents",
                "-ra GetInsightImpactGraph",
                "-ra GetInsightSummaries",
                "-ra GetRetrievedTracesGraph",
                "wra GetSamplingRules",
                "wra GetSamplingStatisticSummaries",
                "wra GetSamplingTargets",
                "-ra GetServiceGraph",
                "-ra GetTimeSeriesServiceStatistics",
                "-ra GetTraceGraph",
                "-ra GetTraceSegmentDestination",
                "-ra GetTraceSummaries",
                "-ra ListResourcePolicies",
                "-ra ListRetrievedTraces",
                "-ra ListTagsForResource",
                "--a PutEncryptionConfig",
                "--a PutResourcePolicy",
                "w-a PutTelemetryRecords",
                "w-a PutTraceSegments",
                "-ra StartTraceRetrieval",
                "--a TagResource",
                "--a UntagResource",
                "--a UpdateGroup",
                "--a UpdateIndexingRule",
                "--a UpdateSamplingRule",
                "--a UpdateTraceSegmentDestination",
            ]
        );
    }

    #[test]
    fn rights_add_up_and_none_allows_nothing() {
        let both = [Right::Write, Right::Read];
        assert!(Operation::PutTraceSegments.is_allowed(&both));
        assert!(Operation::BatchGetTraces.is_allowed(&both));
        assert!(!Operation::CreateGroup.is_allowed(&both));
        for operation in Operation::ALL {
            assert!(!operation.is_allowed(&[]));
            assert!(operation.is_allowed(&[Right::Admin]));
        }
    }
}
