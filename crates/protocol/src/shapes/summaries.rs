//! `GetTraceSummaries`.

use std::collections::BTreeMap;

use model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Violations;
use crate::decode::{Object, Shape};
use crate::shapes::wire::{not_empty, window};
use crate::shapes::{ErrorRootCause, FaultRootCause, ResponseTimeRootCause, WireSeconds, WireTime};

/// The request of `GetTraceSummaries`.
#[derive(Clone, Debug, PartialEq)]
pub struct GetTraceSummariesRequest {
    /// Start of the window, part of it.
    pub start_time: Timestamp,
    /// End of the window, not part of it; not before the start.
    pub end_time: Timestamp,
    /// Which of a trace's times must lie in the window.
    pub time_range_type: TimeRangeType,
    /// Whether a subset is enough.
    pub sampling: bool,
    /// How a subset is taken.
    pub sampling_strategy: Option<SamplingStrategy>,
    /// Which traces are wanted; never empty.
    pub filter_expression: Option<String>,
    /// Where the last page ended; never empty.
    pub next_token: Option<String>,
}

/// Which of a trace's times must lie in the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeRangeType {
    /// The trace's start.
    #[default]
    TraceId,
    /// Any segment's time.
    Event,
    /// A segment's end.
    Service,
}

/// How a subset of the traces is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplingStrategy {
    /// The way.
    pub name: Option<SamplingStrategyName>,
    /// Its parameter, not negative.
    pub value: Option<f64>,
}

/// A way to take a subset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamplingStrategyName {
    /// What part of the traces is scanned is left to the server.
    PartialScan,
    /// The share of the traces that is wanted.
    FixedRate,
}

/// The response of `GetTraceSummaries`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetTraceSummariesResponse {
    /// Summaries, newest first.
    pub trace_summaries: Vec<TraceSummary>,
    /// The start of this page's results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approximate_time: Option<WireTime>,
    /// How many traces were looked at, matching or not.
    pub traces_processed_count: u64,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// What a list of traces shows of one trace.
#[expect(
    clippy::struct_excessive_bools,
    reason = "the API says four things yes or no"
)]
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TraceSummary {
    /// The trace's id.
    pub id: String,
    /// Earliest start of a segment.
    pub start_time: WireTime,
    /// Time from the earliest start to the latest end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<WireSeconds>,
    /// Time the root segment took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_time: Option<WireSeconds>,
    /// Whether the root answered 5xx.
    pub has_fault: bool,
    /// Whether the root answered 4xx.
    pub has_error: bool,
    /// Whether anything was throttled.
    pub has_throttle: bool,
    /// Whether any document is in progress.
    pub is_partial: bool,
    /// The root request; an empty object if nothing is known.
    pub http: Http,
    /// Values of each annotation and who set them.
    pub annotations: BTreeMap<String, Vec<ValueWithServiceIds>>,
    /// Distinct users.
    pub users: Vec<TraceUser>,
    /// Distinct services.
    pub service_ids: Vec<ServiceId>,
    /// Distinct resources.
    #[serde(rename = "ResourceARNs")]
    pub resource_arns: Vec<ResourceArnDetail>,
    /// Distinct instances.
    pub instance_ids: Vec<InstanceIdDetail>,
    /// Distinct availability zones.
    pub availability_zones: Vec<AvailabilityZoneDetail>,
    /// The root's service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_point: Option<ServiceId>,
    /// Why the trace has faults.
    pub fault_root_causes: Vec<FaultRootCause>,
    /// Why the trace has errors.
    pub error_root_causes: Vec<ErrorRootCause>,
    /// Why the trace is slow.
    pub response_time_root_causes: Vec<ResponseTimeRootCause>,
    /// How often the trace changed, 1 at first.
    pub revision: u32,
    /// Time of the event that matched an event query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched_event_time: Option<WireTime>,
}

/// The request a trace starts with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Http {
    /// The URL asked for.
    #[serde(rename = "HttpURL", skip_serializing_if = "Option::is_none")]
    pub http_url: Option<String>,
    /// The status answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The method used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_method: Option<String>,
    /// The program that asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The address that asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<String>,
}

/// One value of an annotation and the services that set it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ValueWithServiceIds {
    /// The value.
    pub annotation_value: AnnotationValue,
    /// Who set it.
    pub service_ids: Vec<ServiceId>,
}

/// A value: an object with the one member that fits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum AnnotationValue {
    /// A number.
    NumberValue(f64),
    /// A boolean.
    BooleanValue(bool),
    /// A text.
    StringValue(String),
}

/// One user and the services that saw them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TraceUser {
    /// The user's name.
    pub user_name: String,
    /// Who saw them.
    pub service_ids: Vec<ServiceId>,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceId {
    /// Its name.
    pub name: String,
    /// Its names: the one.
    pub names: Vec<String>,
    /// The account it runs in, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// Its type, if known.
    #[serde(rename = "Type", skip_serializing_if = "Option::is_none")]
    pub service_type: Option<String>,
}

/// One resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResourceArnDetail {
    /// Its name.
    #[serde(rename = "ARN")]
    pub arn: String,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InstanceIdDetail {
    /// Its id.
    pub id: String,
}

/// One availability zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AvailabilityZoneDetail {
    /// Its name.
    pub name: String,
}

/// The members of the request as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetTraceSummariesWire {
    start_time: Option<WireTime>,
    end_time: Option<WireTime>,
    time_range_type: Option<String>,
    sampling: Option<bool>,
    sampling_strategy: Option<Object<SamplingStrategyWire>>,
    filter_expression: Option<String>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SamplingStrategyWire {
    name: Option<String>,
    value: Option<f64>,
}

impl Shape<'_> for GetTraceSummariesRequest {
    type Wire = GetTraceSummariesWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let window = window(wire.start_time, wire.end_time, violations);
        let types = [
            ("TraceId", TimeRangeType::TraceId),
            ("Event", TimeRangeType::Event),
            ("Service", TimeRangeType::Service),
        ];
        let time_range_type =
            violations.choice("timeRangeType", wire.time_range_type.as_deref(), &types);
        let sampling_strategy = wire.sampling_strategy.map(|Object(strategy)| {
            violations.within("samplingStrategy", |violations| {
                sampling_strategy(&strategy, violations)
            })
        });
        let (start_time, end_time) = window?;
        Some(Self {
            start_time,
            end_time,
            time_range_type: time_range_type.unwrap_or_default(),
            sampling: wire.sampling.unwrap_or(false),
            sampling_strategy,
            filter_expression: wire
                .filter_expression
                .filter(|text| !text.trim().is_empty()),
            next_token: not_empty(wire.next_token),
        })
    }
}

fn sampling_strategy(wire: &SamplingStrategyWire, violations: &mut Violations) -> SamplingStrategy {
    let names = [
        ("PartialScan", SamplingStrategyName::PartialScan),
        ("FixedRate", SamplingStrategyName::FixedRate),
    ];
    SamplingStrategy {
        name: violations.choice("name", wire.name.as_deref(), &names),
        value: violations.double("value", wire.value, 0.0, f64::MAX),
    }
}

#[cfg(test)]
#[path = "summaries_tests.rs"]
pub(crate) mod tests;
