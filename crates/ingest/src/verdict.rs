//! What the sender of a refused document is told (spec: X-Ray API, `UnprocessedTraceSegment`).

use model::{DocumentKind, Invalid, SegmentId, TraceId};
use storage::NewDocument;

use crate::excerpt;

/// A document that was not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which of the call's documents it is or is in, counted from 0.
    pub document_idx: usize,
    /// The document's id as sent, whenever it can be read: clients look their document up by it.
    pub id: Option<String>,
    /// The API's code.
    pub code: &'static str,
    /// The API's text, with the cause in words.
    pub message: String,
    /// The trace it says it belongs to, if that can be read.
    pub trace_id: Option<TraceId>,
    /// The beginning of the document, at most 160 bytes, with everything masked that is nobody's business.
    pub excerpt: String,
}

/// What a later refusal of a document needs to know of it.
pub(crate) struct Identity {
    document_idx: usize,
    trace_id: TraceId,
    segment_id: SegmentId,
    is_subsegment: bool,
}

impl Identity {
    /// Returns what is remembered of the document with this number while it is stored.
    pub(crate) fn of(document_idx: usize, document: &NewDocument) -> Self {
        Self {
            document_idx,
            trace_id: document.trace_id,
            segment_id: document.head.segment_id,
            is_subsegment: document.head.kind == DocumentKind::Subsegment,
        }
    }
}

impl Refusal {
    /// Returns the refusal of a document that breaks a rule.
    pub(crate) fn of(document_idx: usize, document: &str, invalid: Invalid) -> Self {
        let code = invalid.code.as_str();
        let excerpt = excerpt::read(document);
        Self {
            document_idx,
            id: invalid.id,
            code,
            message: message(invalid.in_subsegment, code, &invalid.detail),
            trace_id: excerpt.trace_id,
            excerpt: excerpt.text,
        }
    }

    /// Returns the refusal of a document whose trace takes no more. The document itself is the store's by now: its
    /// excerpt is what is known of every good one.
    pub(crate) fn trace_full(identity: &Identity) -> Self {
        let detail = "Trace Size Exceeded. Reduce the number of segments per trace and the size of \
                      your segment documents.";
        let code = model::InvalidCode::InvalidSegment.as_str();
        let Identity {
            trace_id,
            segment_id,
            ..
        } = identity;
        Self {
            document_idx: identity.document_idx,
            id: Some(segment_id.to_string()),
            code,
            message: message(identity.is_subsegment, code, detail),
            trace_id: Some(*trace_id),
            excerpt: format!(r#"{{"trace_id":"{trace_id}","id":"{segment_id}",..."#),
        }
    }
}

/// The service's text is `Invalid segment. ErrorCode: X`, for subsegments followed by a cause.
fn message(is_subsegment: bool, code: &str, detail: &str) -> String {
    let kind = if is_subsegment {
        "subsegment"
    } else {
        "segment"
    };
    format!("Invalid {kind}. ErrorCode: {code}, Cause: {detail}")
}
