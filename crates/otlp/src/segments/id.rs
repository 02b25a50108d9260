//! The ids of a span, and those made from them.
//!
//! The exporter draws ids at random where a span has none to give. Here they follow from the span's id, so that a
//! request that is repeated makes the same documents.

use model::{SegmentId, TraceId};
use opentelemetry_proto::tonic::trace::v1::Span;

use super::{Rejection, RejectionCode};

/// The ids of a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids {
    pub(super) trace_id: TraceId,
    pub(super) id: SegmentId,
    pub(super) parent_id: Option<SegmentId>,
}

impl Ids {
    /// Returns the ids of a span; of either form, with the time of the trace in front or random throughout.
    pub(super) fn of(span: &Span) -> Result<Self, Rejection> {
        let trace_id = trace_id(&span.trace_id).ok_or_else(|| {
            let wanted = "16 bytes that are not all zero";
            invalid(RejectionCode::TraceId, "trace id", &span.trace_id, wanted)
        })?;
        let id = span_id(&span.span_id).ok_or_else(|| {
            let wanted = "8 bytes that are not all zero";
            invalid(RejectionCode::SpanId, "span id", &span.span_id, wanted)
        })?;
        let has_parent = span.parent_span_id.iter().any(|byte| *byte != 0);
        let parent_id = span_id(&span.parent_span_id);
        if has_parent && parent_id.is_none() {
            let bytes = &span.parent_span_id;
            return Err(invalid(
                RejectionCode::ParentSpanId,
                "parent span id",
                bytes,
                "8 bytes",
            ));
        }
        Ok(Self {
            trace_id,
            id,
            parent_id,
        })
    }
}

pub(super) fn trace_id(bytes: &[u8]) -> Option<TraceId> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    (bytes != [0; 16]).then(|| TraceId::from_bytes(bytes))
}

pub(super) fn span_id(bytes: &[u8]) -> Option<SegmentId> {
    let bits = u64::from_be_bytes(bytes.try_into().ok()?);
    (bits != 0).then_some(SegmentId(bits))
}

/// Returns the id of the segment that stands for the service a span was made in.
pub(super) const fn service_id(span_id: SegmentId) -> SegmentId {
    SegmentId(mixed(span_id.0))
}

/// Returns the id of an exception of a document.
pub(super) fn exception_id(document_id: SegmentId, exception_idx: usize) -> SegmentId {
    let number = u64::try_from(exception_idx).unwrap_or(u64::MAX);
    let number = number.wrapping_add(1).wrapping_mul(GOLDEN);
    SegmentId(mixed(document_id.0.wrapping_add(number)))
}

/// Returns bytes in hex, as many as an id has.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digits = bytes
        .iter()
        .take(16)
        .flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = digits.filter_map(|digit| char::from_digit(digit.into(), 16));
    digits.collect()
}

fn invalid(code: RejectionCode, what: &str, bytes: &[u8], wanted: &str) -> Rejection {
    let message = match bytes {
        [] => format!("the span has no {what}"),
        [_, ..] => format!("{what} {} is not {wanted}", hex(bytes)),
    };
    Rejection { code, message }
}

/// Returns the bits well mixed, one to one, and zero for none but zero: the last steps of `SplitMix64`.
const fn mixed(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
