//! The operations of the API and their paths (source: the X-Ray service model, version 2016-04-12).
//!
//! Fifteen paths are not the operation's name, so the table below is written out, not derived.

use http::Method;

use crate::ApiError;

/// Builds the enum and every lookup from one table of names and paths.
macro_rules! operations {
    ($($name:ident $path:literal,)+) => {
        /// An operation of the X-Ray API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the API reference describes each operation under its name")]
        pub enum Operation {
            $($name,)+
        }

        impl Operation {
            /// Every operation, in alphabetical order.
            pub const ALL: [Self; 38] = [$(Self::$name,)+];

            /// Returns the operation's name in the API reference.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// Returns the path the operation is posted to.
            pub const fn path(self) -> &'static str {
                match self {
                    $(Self::$name => $path,)+
                }
            }

            /// Returns the operation posted to `path`, if there is one.
            fn at(path: &str) -> Option<Self> {
                match path {
                    $($path => Some(Self::$name),)+
                    _ => None,
                }
            }
        }
    };
}

operations! {
    BatchGetTraces "/Traces",
    CancelTraceRetrieval "/CancelTraceRetrieval",
    CreateGroup "/CreateGroup",
    CreateSamplingRule "/CreateSamplingRule",
    DeleteGroup "/DeleteGroup",
    DeleteResourcePolicy "/DeleteResourcePolicy",
    DeleteSamplingRule "/DeleteSamplingRule",
    GetEncryptionConfig "/EncryptionConfig",
    GetGroup "/GetGroup",
    GetGroups "/Groups",
    GetIndexingRules "/GetIndexingRules",
    GetInsight "/Insight",
    GetInsightEvents "/InsightEvents",
    GetInsightImpactGraph "/InsightImpactGraph",
    GetInsightSummaries "/InsightSummaries",
    GetRetrievedTracesGraph "/GetRetrievedTracesGraph",
    GetSamplingRules "/GetSamplingRules",
    GetSamplingStatisticSummaries "/SamplingStatisticSummaries",
    GetSamplingTargets "/SamplingTargets",
    GetServiceGraph "/ServiceGraph",
    GetTimeSeriesServiceStatistics "/TimeSeriesServiceStatistics",
    GetTraceGraph "/TraceGraph",
    GetTraceSegmentDestination "/GetTraceSegmentDestination",
    GetTraceSummaries "/TraceSummaries",
    ListResourcePolicies "/ListResourcePolicies",
    ListRetrievedTraces "/ListRetrievedTraces",
    ListTagsForResource "/ListTagsForResource",
    PutEncryptionConfig "/PutEncryptionConfig",
    PutResourcePolicy "/PutResourcePolicy",
    PutTelemetryRecords "/TelemetryRecords",
    PutTraceSegments "/TraceSegments",
    StartTraceRetrieval "/StartTraceRetrieval",
    TagResource "/TagResource",
    UntagResource "/UntagResource",
    UpdateGroup "/UpdateGroup",
    UpdateIndexingRule "/UpdateIndexingRule",
    UpdateSamplingRule "/UpdateSamplingRule",
    UpdateTraceSegmentDestination "/UpdateTraceSegmentDestination",
}

impl Operation {
    /// Returns the operation a request asks for.
    ///
    /// Only the method and the path count: clients send other protocols' headers with the same bodies.
    ///
    /// # Errors
    /// An unknown path is refused with 404, a known one asked for by another method with 405.
    pub fn route(method: &Method, path: &str) -> Result<Self, ApiError> {
        let operation = Self::at(path).ok_or_else(|| ApiError::unknown_operation(path))?;
        if method == Method::POST {
            Ok(operation)
        } else {
            Err(ApiError::method_not_allowed(operation, method))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn check(path: &str, expected: Operation) {
        assert_eq!(Operation::route(&Method::POST, path).unwrap(), expected);
    }

    #[test]
    fn paths_that_are_not_the_name_are_known() {
        check("/Traces", Operation::BatchGetTraces);
        check("/TraceSegments", Operation::PutTraceSegments);
        check("/TraceSummaries", Operation::GetTraceSummaries);
        check("/TelemetryRecords", Operation::PutTelemetryRecords);
        check("/GetSamplingRules", Operation::GetSamplingRules);
        check("/SamplingTargets", Operation::GetSamplingTargets);
        check(
            "/SamplingStatisticSummaries",
            Operation::GetSamplingStatisticSummaries,
        );
        check("/EncryptionConfig", Operation::GetEncryptionConfig);
        check("/Groups", Operation::GetGroups);
        check("/Insight", Operation::GetInsight);
        check("/InsightImpactGraph", Operation::GetInsightImpactGraph);
    }

    #[test]
    fn every_operation_is_found_at_its_own_path() {
        let paths: HashSet<_> = Operation::ALL
            .iter()
            .map(|operation| operation.path())
            .collect();
        assert_eq!(paths.len(), 38);
        for operation in Operation::ALL {
            check(operation.path(), operation);
        }
    }

    #[test]
    fn other_paths_and_methods_are_refused() {
        for path in [
            "/",
            "",
            "/traces",
            "/Traces/",
            "/BatchGetTraces",
            "/GetGroups",
        ] {
            let error = Operation::route(&Method::POST, path).unwrap_err();
            assert_eq!(
                (error.status().as_u16(), error.code()),
                (404, "UnknownOperationException")
            );
        }
        for method in [Method::GET, Method::PUT, Method::OPTIONS, Method::HEAD] {
            let error = Operation::route(&method, "/Traces").unwrap_err();
            assert_eq!(
                (error.status().as_u16(), error.code()),
                (405, "UnknownOperationException")
            );
        }
    }
}
