//! Requests and responses under the names of the API (source: the X-Ray service model).
//!
//! Every list of a response is present even if empty; scalars that are not known are left out; times
//! are plain decimal numbers of seconds.

pub mod batch;
mod put;
mod root_cause;
mod summaries;
mod telemetry;
mod wire;

pub use batch::BatchGetTracesRequest;
pub use put::{PutTraceSegmentsRequest, PutTraceSegmentsResponse, UnprocessedTraceSegment};
pub use root_cause::{
    ErrorRootCause, ErrorRootCauseEntity, FaultRootCause, FaultRootCauseEntity,
    ResponseTimeRootCause, ResponseTimeRootCauseEntity, RootCause, RootCauseException,
    RootCauseService,
};
pub use summaries::{
    AnnotationValue, AvailabilityZoneDetail, GetTraceSummariesRequest, GetTraceSummariesResponse,
    Http, InstanceIdDetail, ResourceArnDetail, SamplingStrategy, SamplingStrategyName, ServiceId,
    TimeRangeType, TraceSummary, TraceUser, ValueWithServiceIds,
};
pub use telemetry::{
    BackendConnectionErrors, PutTelemetryRecordsRequest, PutTelemetryRecordsResponse,
    TelemetryRecord,
};
pub use wire::{WireSeconds, WireTime};
