//! Why a document is refused (spec: `PutTraceSegments`, `UnprocessedTraceSegments`).

use std::fmt;

/// A refused document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Invalid {
    /// The outer document's id, as sent, whenever it can be read.
    pub id: Option<String>,
    /// The code on the wire.
    pub code: InvalidCode,
    /// Whether a subsegment is at fault: one nested in the document, or the document itself if it
    /// is a subsegment sent alone.
    pub in_subsegment: bool,
    /// For humans: the member, the beginning of its value, what is expected.
    pub detail: String,
}

/// The `ErrorCode` of a refused document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InvalidCode {
    /// `trace_id` is not `1-<8 hex>-<24 hex>`.
    InvalidTraceId,
    /// No `trace_id`.
    MissingTraceId,
    /// No `id`, or the document is `[]`.
    MissingId,
    /// `id` is not 16 hex digits.
    InvalidId,
    /// No `name`.
    MissingName,
    /// `name` is too long or has a character a name must not have.
    InvalidName,
    /// No `start_time`.
    MissingStartTime,
    /// `start_time` is no number of seconds.
    InvalidStartTime,
    /// Neither `end_time` nor `in_progress`.
    MissingEndTime,
    /// `end_time` is no number of seconds.
    InvalidEndTime,
    /// A subsegment sent alone without `parent_id`.
    MissingParentId,
    /// `parent_id` is not 16 hex digits.
    InvalidParentId,
    /// `annotations` is no object.
    InvalidAnnotations,
    /// The document is not JSON, not an object, too large, too deep or ambiguous.
    InvalidSegment,
}

impl InvalidCode {
    /// Returns the code as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidTraceId => "InvalidTraceId",
            Self::MissingTraceId => "MissingTraceId",
            Self::MissingId => "MissingId",
            Self::InvalidId => "InvalidId",
            Self::MissingName => "MissingName",
            Self::InvalidName => "InvalidName",
            Self::MissingStartTime => "MissingStartTime",
            Self::InvalidStartTime => "InvalidStartTime",
            Self::MissingEndTime => "MissingEndTime",
            Self::InvalidEndTime => "InvalidEndTime",
            Self::MissingParentId => "MissingParentId",
            Self::InvalidParentId => "InvalidParentId",
            Self::InvalidAnnotations => "InvalidAnnotations",
            Self::InvalidSegment => "InvalidSegment",
        }
    }
}

impl fmt::Display for InvalidCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
