//! Where times and ids stand (spec: X-Ray developer guide, "Segment documents"; API reference, `PutTraceSegments`,
//! `GetSamplingTargets`, `PutTelemetryRecords`; for what is kept of spans the crate `otlp`, `segments::kept`).

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The time at which a segment or subsegment starts, in seconds.
    Start,
    /// Another time in seconds.
    Time,
    /// A time in nanoseconds.
    Nanos,
    TraceId,
    SegmentId,
    /// A segment document as text.
    Document,
}

/// An object that times and ids are looked for in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    /// A segment or subsegment.
    Entity,
    Link,
    Cause,
    Exception,
    Metadata,
    /// What is kept of a span.
    KeptSpan,
    KeptEvent,
    KeptLink,
    PutTraceSegments,
    GetSamplingTargets,
    PutTelemetryRecords,
    /// One of the statistics of a sampler, or one record of telemetry.
    Statistic,
}

/// An array whose elements are looked at: alike, all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Array(&'static Expected);

/// What a value may be to be looked at; of any other type it is passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) object: Option<Object>,
    pub(crate) array: Option<Array>,
    pub(crate) scalar: Option<What>,
}

impl Expected {
    const NOTHING: Self = Self {
        object: None,
        array: None,
        scalar: None,
    };

    const fn scalar(what: What) -> Self {
        Self {
            scalar: Some(what),
            ..Self::NOTHING
        }
    }

    pub(crate) const fn object(object: Object) -> Self {
        Self {
            object: Some(object),
            ..Self::NOTHING
        }
    }

    const fn array_of(element: &'static Self) -> Self {
        Self {
            array: Some(Array(element)),
            ..Self::NOTHING
        }
    }
}

impl Array {
    /// Returns what each element may be.
    pub(crate) const fn element(self) -> Expected {
        *self.0
    }
}

impl Object {
    /// Returns what a member may be.
    pub(crate) fn member(self, name: &str) -> Expected {
        match self {
            Self::Entity => entity_member(name),
            Self::Metadata => match name {
                "otel.span" => Expected::object(Self::KeptSpan),
                _ => Expected::NOTHING,
            },
            Self::Link => match name {
                "trace_id" => Expected::scalar(What::TraceId),
                "id" => SEGMENT_ID,
                _ => Expected::NOTHING,
            },
            Self::Cause => match name {
                "exceptions" => Expected::array_of(&EXCEPTION),
                _ => Expected::NOTHING,
            },
            Self::Exception => match name {
                "id" | "cause" => SEGMENT_ID,
                _ => Expected::NOTHING,
            },
            Self::KeptSpan | Self::KeptEvent | Self::KeptLink => self.kept_member(name),
            Self::PutTraceSegments => match name {
                "TraceSegmentDocuments" => Expected::array_of(&DOCUMENT),
                _ => Expected::NOTHING,
            },
            Self::GetSamplingTargets => match name {
                "SamplingStatisticsDocuments" | "SamplingBoostStatisticsDocuments" => {
                    Expected::array_of(&STATISTIC)
                }
                _ => Expected::NOTHING,
            },
            Self::PutTelemetryRecords => match name {
                "TelemetryRecords" => Expected::array_of(&STATISTIC),
                _ => Expected::NOTHING,
            },
            Self::Statistic => match name {
                "Timestamp" => Expected::scalar(What::Time),
                _ => Expected::NOTHING,
            },
        }
    }

    /// Returns what a member of something that is kept of a span may be: named as in OTLP's JSON.
    fn kept_member(self, name: &str) -> Expected {
        match (self, name) {
            (Self::KeptSpan, "parentSpanId" | "serviceOf") | (Self::KeptLink, "spanId") => {
                SEGMENT_ID
            }
            (Self::KeptSpan, "events") => Expected::array_of(&KEPT_EVENT),
            (Self::KeptSpan, "links") => Expected::array_of(&KEPT_LINK),
            (Self::KeptEvent, "timeUnixNano") => Expected::scalar(What::Nanos),
            (Self::KeptLink, "traceId") => Expected::scalar(What::TraceId),
            (_, _) => Expected::NOTHING,
        }
    }
}

fn entity_member(name: &str) -> Expected {
    match name {
        "id" | "parent_id" => SEGMENT_ID,
        "trace_id" => Expected::scalar(What::TraceId),
        "start_time" => Expected::scalar(What::Start),
        "end_time" => Expected::scalar(What::Time),
        "precursor_ids" => Expected::array_of(&SEGMENT_ID),
        "links" => Expected::array_of(&LINK),
        "subsegments" => Expected::array_of(&ENTITY),
        "metadata" => Expected::object(Object::Metadata),
        "cause" => Expected {
            object: Some(Object::Cause),
            ..SEGMENT_ID
        },
        _ => Expected::NOTHING,
    }
}

/// A document, or an array of documents.
pub(crate) const DOCUMENTS: Expected = Expected {
    array: Some(Array(&ENTITY)),
    ..ENTITY
};
const ENTITY: Expected = Expected::object(Object::Entity);
const LINK: Expected = Expected::object(Object::Link);
const EXCEPTION: Expected = Expected::object(Object::Exception);
const KEPT_EVENT: Expected = Expected::object(Object::KeptEvent);
const KEPT_LINK: Expected = Expected::object(Object::KeptLink);
const STATISTIC: Expected = Expected::object(Object::Statistic);
const SEGMENT_ID: Expected = Expected::scalar(What::SegmentId);
const DOCUMENT: Expected = Expected::scalar(What::Document);
