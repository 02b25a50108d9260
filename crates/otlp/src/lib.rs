//! Spans of OpenTelemetry and segments of X-Ray: each as the other.
//!
//! The secret this crate hides is what a span is: how OTLP writes it down, and which member of a
//! segment document stands for which of its attributes. [`weigh`] says what a request takes in memory, [`decode`] reads it, in
//! either encoding,
//! [`translate`] makes segment documents of its spans as the X-Ray exporter of the OpenTelemetry
//! collector does, [`Translation`] does so piece by piece, and [`encode_response`] and [`encode_status`] write the answers OTLP asks for. [`spans_of`] makes spans
//! of a trace. Spans that came as spans come back as they were sent, and of the spans of any other trace [`translate`]
//! makes documents of the same trace.
//!
//! Everything here is a pure function of its arguments. No body makes a function panic, recurse without
//! bound, or take more than linear time but for sorting. Every document that is made is one that
//! [`model::Segment::parse`] takes, the same span always gives the same documents, and what a document
//! has no member for is kept in its metadata.
//!
//! It must never know how requests arrive, how documents are stored, or what becomes of them.
//!
//! ```
//! use model::{DocumentLimits, Segment, Timestamp};
//! use otlp::{Encoding, Limits, Rules};
//!
//! let body = br#"{"resourceSpans": [{
//!     "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
//!     "scopeSpans": [{"spans": [{
//!         "traceId": "581cf771a006649127e371903a2de979", "spanId": "70de5b6f19ff9a0a",
//!         "name": "GET /cart", "kind": 2,
//!         "startTimeUnixNano": "1478293361271000001", "endTimeUnixNano": "1478293361449000000"
//!     }]}]}]}"#;
//! let request = otlp::decode(body, Encoding::Json)?;
//! let now = Timestamp::from_secs(1_478_293_362);
//! let translated = otlp::translate(&request, &Rules::default(), &Limits::AWS, now)?;
//! assert_eq!(translated.rejected, []);
//!
//! let segment = Segment::parse(&translated.documents[0].text, &DocumentLimits::default())?;
//! assert_eq!(segment.name(), "shop");
//! assert_eq!(segment.start().as_nanos(), 1_478_293_361_271_000_001);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(missing_docs)]

mod decode;
mod limits;
mod respond;
mod segments;
mod spans;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_support;
mod value;

pub use decode::{DecodeError, Encoding, Request, Weight, decode, weigh};
pub use limits::{LimitError, Limits};
pub use respond::{encode_response, encode_status};
pub use segments::{
    Bounds, RejectedSpan, RejectionCode, Rules, SpanDocument, Translated, Translation, translate,
};
pub use spans::{FlatSpan, Spans, spans_of};
