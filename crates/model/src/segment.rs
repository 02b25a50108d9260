//! A segment document, read once and checked (spec: X-Ray developer guide, "Segment documents"; API
//! reference, `PutTraceSegments`).
//!
//! 1. The text's size and nesting are checked, so that what follows is bounded.
//! 2. One pass over the JSON reads the members of interest and borrows their text.
//! 3. The rules are applied, the outer document's before those of its subsegments.
//!
//! Clients send much that the schema does not know, and are meant to get away with it: unknown and
//! null members, blocks and flags of wrong types, annotations that cannot be searched for.

mod check;
mod head;
mod invalid;
mod loose;
mod name;
mod recover;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use invalid::{Invalid, InvalidCode};

use crate::json::{Scalar, is_surely_within, nesting};
use crate::{DocumentKind, SegmentId, Timestamp, TraceId};
use check::{check_document, kind_of};
use loose::{Facts, Loose};
use recover::recover_id;

/// What a document may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentLimits {
    /// Bytes of a document's JSON.
    pub document_bytes_max: usize,
}

impl Default for DocumentLimits {
    /// The API's limit of 64 kB.
    fn default() -> Self {
        Self {
            document_bytes_max: 65_536,
        }
    }
}

/// A segment, or a subsegment sent alone, that obeys every rule; so do the subsegments nested in it.
///
/// It borrows from the document's text. Times may be out of order (clocks are), and ids of
/// subsegments may repeat.
#[derive(Debug)]
pub struct Segment<'a> {
    kind: DocumentKind,
    trace_id: TraceId,
    parent_id: Option<SegmentId>,
    part: Part<'a>,
}

/// What a document and a nested subsegment have in common.
#[derive(Debug)]
struct Part<'a> {
    id: SegmentId,
    name: Cow<'a, str>,
    start: Timestamp,
    end: Option<Timestamp>,
    in_progress: bool,
    annotations: Vec<(Cow<'a, str>, Scalar<'a>)>,
    facts: Facts<'a>,
    subsegments: Vec<Part<'a>>,
}

impl<'a> Segment<'a> {
    /// Returns the document of a text, checked.
    ///
    /// A nested subsegment without end time passes if something around it is in progress.
    ///
    /// # Errors
    /// [`Invalid`] for the first broken rule, with the outer document's id whenever it can be read.
    pub fn parse(text: &'a str, limits: &DocumentLimits) -> Result<Self, Invalid> {
        check_size(text, limits)?;
        check_is_object(text)?;
        let loose: Loose<'a> =
            serde_json::from_str(text).map_err(|error| unreadable(text, cause_of(&error)))?;
        let kind = kind_of(&loose);
        // The text of an id outlives what is checked only if a copy is made; only faults need one.
        check_document(loose).map_err(|fault| Invalid {
            id: recover_id(text),
            code: fault.code,
            in_subsegment: fault.is_nested || kind == DocumentKind::Subsegment,
            detail: fault.detail,
        })
    }

    /// Returns whether the document is a segment or a subsegment sent alone.
    pub const fn kind(&self) -> DocumentKind {
        self.kind
    }

    /// Returns the trace it belongs to.
    pub const fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// Returns the document's own id.
    pub const fn id(&self) -> SegmentId {
        self.part.id
    }

    /// Returns the upstream subsegment of a segment, the parent of a subsegment sent alone.
    pub const fn parent_id(&self) -> Option<SegmentId> {
        self.parent_id
    }

    /// Returns the document's name.
    pub fn name(&self) -> &str {
        &self.part.name
    }

    /// Returns the document's start.
    pub const fn start(&self) -> Timestamp {
        self.part.start
    }

    /// Tells whether the document says `in_progress`.
    pub const fn in_progress(&self) -> bool {
        self.part.in_progress
    }
}

fn check_size(text: &str, limits: &DocumentLimits) -> Result<(), Invalid> {
    if text.len() > limits.document_bytes_max {
        let detail = format!(
            "document is {} bytes, the limit is {}",
            text.len(),
            limits.document_bytes_max
        );
        return Err(unreadable(text, detail));
    }
    if is_surely_within(text, NESTING_MAX) {
        return Ok(());
    }
    let n_levels = nesting(text);
    if n_levels > NESTING_MAX {
        let detail =
            format!("document is nested {n_levels} levels deep, the limit is {NESTING_MAX}");
        return Err(unreadable(text, detail));
    }
    Ok(())
}

/// Checks that the text starts like an object. An empty array has no id; any other document that is
/// no object is no segment.
fn check_is_object(text: &str) -> Result<(), Invalid> {
    let json = text.trim_ascii();
    if json.starts_with('{') {
        return Ok(());
    }
    let inside_brackets = json
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let is_empty_array = inside_brackets.is_some_and(|inside| inside.trim_ascii().is_empty());
    let detail = "document is not a JSON object".to_owned();
    let code = if is_empty_array {
        InvalidCode::MissingId
    } else {
        InvalidCode::InvalidSegment
    };
    Err(Invalid {
        id: None,
        code,
        in_subsegment: false,
        detail,
    })
}

/// Returns what is wrong and where. The reader quotes the value that is wrong whole: of a long account the middle, which is
/// nothing but the value, is left out.
fn cause_of(error: &serde_json::Error) -> String {
    let account = error.to_string();
    let head = account.char_indices().nth(CAUSE_HEAD_CHARS);
    let tail = account.char_indices().nth_back(CAUSE_TAIL_CHARS - 1);
    match (head, tail) {
        (Some((head, _)), Some((tail, _))) if head < tail => {
            let (beginning, _) = account.split_at(head);
            let (_, end) = account.split_at(tail);
            format!("{beginning}...{end}")
        }
        (Some(_) | None, Some(_) | None) => account,
    }
}

fn unreadable(text: &str, detail: String) -> Invalid {
    Invalid {
        id: recover_id(text),
        code: InvalidCode::InvalidSegment,
        in_subsegment: false,
        detail,
    }
}

/// Enough for the kind of a value and its beginning.
const CAUSE_HEAD_CHARS: usize = 60;
/// Enough for what is expected and the place.
const CAUSE_TAIL_CHARS: usize = 120;
/// How deep a document's JSON may be nested: two levels less than what JSON readers take by default
/// (127), so that a subsegment sent alone fits below its segment.
pub(crate) const NESTING_MAX: usize = 125;
