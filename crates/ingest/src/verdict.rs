//! What the sender of a refused document is told (spec: X-Ray API, `UnprocessedTraceSegment`).

use model::{DocumentKind, Invalid, SegmentId};
use storage::NewDocument;

/// A document that was not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub document_idx: usize,
    /// The document's id as sent, whenever it can be read: clients look their document up by it.
    pub id: Option<String>,
    /// The API's code.
    pub code: &'static str,
    /// The API's text, with the cause in words.
    pub message: String,
}

impl Refusal {
    /// Returns the refusal of a document that breaks a rule.
    pub(crate) fn of(invalid: Invalid) -> Self {
        let code = invalid.code.as_str();
        Self {
            document_idx: 0,
            id: invalid.id,
            code,
            message: message(invalid.in_subsegment, code, &invalid.detail),
        }
    }

    /// Returns the refusal of a document whose trace takes no more.
    pub(crate) fn trace_full(id: SegmentId, is_subsegment: bool) -> Self {
        let detail = "Trace Size Exceeded. Reduce the number of segments per trace and the size of \
                      your segment documents.";
        let code = model::InvalidCode::InvalidSegment.as_str();
        Self {
            document_idx: 0,
            id: Some(id.to_string()),
            code,
            message: message(is_subsegment, code, detail),
        }
    }

    /// Returns what a later refusal of a document needs to know of it.
    pub(crate) fn identity(document: &NewDocument) -> (SegmentId, bool) {
        let is_subsegment = document.head.kind == DocumentKind::Subsegment;
        (document.head.segment_id, is_subsegment)
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
