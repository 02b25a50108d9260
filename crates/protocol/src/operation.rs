//! The operations of the API and their paths (source: the X-Ray service model, version 2016-04-12).
//!
//! Fifteen paths are not the operation's name, so the table below is written out, not derived.
//!
//! Beside the paths of restJson1 the form of the older AWS protocols is understood: everything is
//! posted to `/`, and the header `X-Amz-Target` names the operation.

use http::{HeaderName, Method};

use crate::ApiError;

/// The header that names the operation of a request to `/`, as in `XRay_20160712.PutTraceSegments`.
pub const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

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

            /// Returns the operation of a name, if there is one.
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($name) => Some(Self::$name),)+
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
    /// Returns the operation a request asks for; `target` is the value of its header [`TARGET`].
    ///
    /// A path that is an operation's decides, whatever else is said: clients send other protocols'
    /// headers with the same bodies. Only `/` asks the target, of which what stands before the last dot
    /// does not matter.
    ///
    /// # Errors
    /// An unknown path or target is refused with 404, a known one asked for by another method with 405.
    pub fn route(method: &Method, path: &str, target: Option<&str>) -> Result<Self, ApiError> {
        let operation = match (Self::at(path), target) {
            (Some(operation), _) => operation,
            (None, Some(target)) if path == "/" => Self::targeted(target)?,
            (None, Some(_) | None) => return Err(ApiError::unknown_operation(path)),
        };
        if method == Method::POST {
            Ok(operation)
        } else {
            Err(ApiError::method_not_allowed(operation.name(), method))
        }
    }

    fn targeted(target: &str) -> Result<Self, ApiError> {
        let name = target.rsplit_once('.').map_or(target, |(_, name)| name);
        Self::named(name).ok_or_else(|| ApiError::unknown_target(target))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn check(path: &str, expected: Operation) {
        assert_eq!(
            Operation::route(&Method::POST, path, None).unwrap(),
            expected
        );
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
            let error = Operation::route(&Method::POST, path, None).unwrap_err();
            assert_eq!(
                (error.status().as_u16(), error.code()),
                (404, "UnknownOperationException")
            );
        }
        for method in [Method::GET, Method::PUT, Method::OPTIONS, Method::HEAD] {
            let error = Operation::route(&method, "/Traces", None).unwrap_err();
            assert_eq!(
                (error.status().as_u16(), error.code()),
                (405, "UnknownOperationException")
            );
        }
    }

    fn check_target(path: &str, target: &str, expected: Result<Operation, &str>) {
        let routed = Operation::route(&Method::POST, path, Some(target));
        let routed = routed.as_ref().map_err(ApiError::message);
        assert_eq!(routed.copied(), expected, "{path} {target}");
    }

    #[test]
    fn a_target_counts_at_the_root_only() {
        let put = Ok(Operation::PutTraceSegments);
        check_target("/", "XRay_20160712.PutTraceSegments", put);
        check_target("/", "com.amazonaws.xray.PutTraceSegments", put);
        check_target("/", "PutTraceSegments", put);
        check_target("/TraceSegments", "XRay_20160712.PutTraceSegments", put);
        check_target("/TraceSegments", "XRay.GetGroups", put);
        check_target("/TraceSegments", "Nonsense", put);
        check_target("/x", "XRay.GetGroups", Err("no operation is served at /x"));
        let unknown = Err("no operation is called 'XRay.Groups'");
        check_target("/", "XRay.Groups", unknown);
        check_target("/", "", Err("no operation is called ''"));
        check_target(
            "/",
            "GetGroups.",
            Err("no operation is called 'GetGroups.'"),
        );
        let error = Operation::route(&Method::POST, "/", Some("X.Y")).unwrap_err();
        assert_eq!(
            (error.status().as_u16(), error.code()),
            (404, "UnknownOperationException")
        );
        let error = Operation::route(&Method::GET, "/", Some("X.GetGroups")).unwrap_err();
        assert_eq!(error.status().as_u16(), 405);
    }

    #[test]
    fn every_operation_is_found_by_its_name() {
        for operation in Operation::ALL {
            check_target(
                "/",
                &format!("XRay_20160712.{}", operation.name()),
                Ok(operation),
            );
        }
    }
}
