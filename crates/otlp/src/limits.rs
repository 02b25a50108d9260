//! What a request may bring (spec: user guide of Amazon `CloudWatch`, "OTLP endpoints", limits of the traces
//! endpoint).

use std::time::Duration;

use model::Timestamp;
use opentelemetry_proto::tonic::trace::v1::Span;

use crate::{Request, Weight};

/// What a request, and every span in it, may be; none for no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Spans of one request.
    pub spans_max: Option<usize>,
    /// Bytes of one span in protobuf.
    pub span_bytes_max: Option<usize>,
    /// Bytes of a resource together with a scope in protobuf.
    pub resource_bytes_max: Option<usize>,
    /// How far from now a span may lie ahead.
    pub future: Option<Duration>,
    /// How long ago a span may have started.
    pub age: Option<Duration>,
    /// How far apart the earliest and the latest time of a request may be.
    pub spread: Option<Duration>,
}

/// Why a request as a whole is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// It brings too many spans.
    #[error("the request has {n_spans} spans, the limit is {spans_max}")]
    TooManySpans {
        /// How many it brings.
        n_spans: usize,
        /// How many it may bring.
        spans_max: usize,
    },
    /// It takes too much memory once it is decoded.
    #[error(
        "the request takes {n_bytes} bytes in memory, the limit is {bytes_max}; send smaller batches"
    )]
    TooLarge {
        /// How many it takes.
        n_bytes: usize,
        /// How many it may take.
        bytes_max: usize,
    },
    /// Its spans lie too far apart.
    #[error("the spans of the request are {} seconds apart, the limit is {}", spread.as_secs(), spread_max.as_secs())]
    TooFarApart {
        /// How far they are apart.
        spread: Duration,
        /// How far they may be apart.
        spread_max: Duration,
    },
}

impl Limits {
    /// The limits of X-Ray's own endpoint.
    pub const AWS: Self = Self {
        spans_max: Some(10_000),
        span_bytes_max: Some(200 * 1024),
        resource_bytes_max: Some(16 * 1024),
        future: Some(Duration::from_hours(2)),
        age: Some(Duration::from_hours(14 * 24)),
        spread: Some(Duration::from_hours(24)),
    };

    /// No limit at all.
    pub const NONE: Self = Self {
        spans_max: None,
        span_bytes_max: None,
        resource_bytes_max: None,
        future: None,
        age: None,
        spread: None,
    };

    /// Checks what a request takes, before it is decoded: it may have so many bytes of memory.
    ///
    /// # Errors
    /// [`LimitError`] if it is not to be decoded.
    pub fn check_weight(&self, weight: Weight, bytes_max: usize) -> Result<(), LimitError> {
        let Weight { n_spans, n_bytes } = weight;
        self.check_spans(n_spans)?;
        if n_bytes > bytes_max {
            return Err(LimitError::TooLarge { n_bytes, bytes_max });
        }
        Ok(())
    }

    fn check_spans(&self, n_spans: usize) -> Result<(), LimitError> {
        let exceeded = self.spans_max.filter(|max| n_spans > *max);
        exceeded.map_or(Ok(()), |spans_max| {
            Err(LimitError::TooManySpans { n_spans, spans_max })
        })
    }

    /// Checks what a request is as a whole.
    pub(crate) fn check(&self, request: &Request) -> Result<(), LimitError> {
        self.check_spans(request.n_spans())?;
        let spread = spread(request);
        if let Some(spread_max) = self.spread.filter(|spread_max| spread > *spread_max) {
            return Err(LimitError::TooFarApart { spread, spread_max });
        }
        Ok(())
    }
}

/// Returns the time from the earliest to the latest instant the spans of a request mention.
fn spread(request: &Request) -> Duration {
    let scopes = request.resource_spans().iter();
    let scopes = scopes.flat_map(|resource_spans| &resource_spans.scope_spans);
    let mut earliest = Timestamp::MAX;
    let mut latest = Timestamp::ZERO;
    for span in scopes.flat_map(|scope_spans| &scope_spans.spans) {
        earliest = earliest.min(Timestamp::from_nanos(span.start_time_unix_nano));
        latest = latest.max(latest_of(span));
    }
    latest.since(earliest)
}

/// Returns the last instant a span mentions.
pub(crate) fn latest_of(span: &Span) -> Timestamp {
    let start = Timestamp::from_nanos(span.start_time_unix_nano);
    start.max(Timestamp::from_nanos(span.end_time_unix_nano))
}
