//! Documents, request bodies and datagrams with other times and ids.

use std::borrow::Cow;

use model::{SegmentId, Timestamp, TraceId};

use crate::members::{DOCUMENTS, Expected, Object, What};
use crate::number::{moved_nanos, moved_seconds};
use crate::scan::{Found, find};
use crate::{NewIds, OutOfRange, Shift};

/// What is exchanged in recorded traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// How far times are moved.
    pub shift: Shift,
    /// The ids that take the place of the recorded ones, if any do.
    pub ids: Option<NewIds>,
}

/// What becomes of a request body or datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Its times and ids are exchanged; what it holds of them may be nothing.
    Rewritten(Vec<u8>),
    /// It is to be sent as it is.
    Unchanged(Unchanged),
}

/// Why a request body or datagram stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unchanged {
    /// Its operation sends neither times nor ids of recorded segments.
    OtherOperation,
    /// It holds spans, which are not rewritten: their times and ids are still the recorded ones.
    Spans,
    /// It is not JSON. A compressed body is not, and neither is a datagram of one line.
    Malformed,
}

impl Rewrite {
    /// Returns a segment document, or an array of documents, with other times and ids. What is not JSON stays as it is.
    ///
    /// # Errors
    /// [`OutOfRange`] if a time has no place to move to: half of a document is never moved.
    pub fn document<'t>(&self, text: &'t str) -> Result<Cow<'t, str>, OutOfRange> {
        let rewritten = self.text(text, DOCUMENTS)?;
        Ok(rewritten.map_or(Cow::Borrowed(text), Cow::Owned))
    }

    /// Returns the body of a request with other times and ids; `path` is that of its operation (`/TraceSegments`), and the
    /// body is not compressed. Documents in it stay escaped as they were, and of several those that are malformed
    /// stay as they are.
    ///
    /// # Errors
    /// [`OutOfRange`] if a time has no place to move to.
    pub fn body(&self, path: &str, bytes: &[u8]) -> Result<Body, OutOfRange> {
        let Some(root) = root_of(path) else {
            let is_of_spans = SPAN_PATHS.contains(&path);
            return Ok(Body::Unchanged(if is_of_spans {
                Unchanged::Spans
            } else {
                Unchanged::OtherOperation
            }));
        };
        let rewritten = match std::str::from_utf8(bytes) {
            Ok(text) => self.text(text, root)?,
            Err(_) => None,
        };
        Ok(match rewritten {
            Some(text) => Body::Rewritten(text.into_bytes()),
            None => Body::Unchanged(Unchanged::Malformed),
        })
    }

    /// Returns a datagram with other times and ids; its header line stays, whatever it says.
    ///
    /// # Errors
    /// [`OutOfRange`] if a time has no place to move to.
    pub fn datagram(&self, bytes: &[u8]) -> Result<Body, OutOfRange> {
        let newline = bytes.iter().position(|byte| *byte == b'\n');
        let Some((header, payload)) = newline.and_then(|newline| bytes.split_at_checked(newline))
        else {
            return Ok(Body::Unchanged(Unchanged::Malformed));
        };
        let start = payload.trim_ascii_start();
        if SPAN_PREFIXES.iter().any(|prefix| start.starts_with(prefix)) {
            return Ok(Body::Unchanged(Unchanged::Spans));
        }
        let rewritten = match std::str::from_utf8(payload) {
            Ok(text) => self.text(text, DOCUMENTS)?,
            Err(_) => None,
        };
        Ok(match rewritten {
            Some(text) => Body::Rewritten([header, text.as_bytes()].concat()),
            None => Body::Unchanged(Unchanged::Malformed),
        })
    }

    /// Returns the id of a trace as it is after the rewriting.
    pub fn trace_id(&self, id: TraceId) -> TraceId {
        let moved = self.shift.trace_id(id);
        match &self.ids {
            Some(ids) => ids.trace_id(moved, &self.shift),
            None => moved,
        }
    }

    /// Returns the id of a segment, subsegment or exception as it is after the rewriting.
    pub fn segment_id(&self, id: SegmentId) -> SegmentId {
        match &self.ids {
            Some(ids) => ids.segment_id(id),
            None => id,
        }
    }

    /// Returns a text with other values, none if it is not JSON.
    fn text(&self, text: &str, root: Expected) -> Result<Option<String>, OutOfRange> {
        let Some(all_found) = find(text, root) else {
            return Ok(None);
        };
        let mut rewritten = String::with_capacity(text.len() + all_found.len());
        let mut copied = 0;
        for found in all_found {
            if let Some(value) = self.value(&found)? {
                rewritten.push_str(text.get(copied..found.range.start).unwrap_or_default());
                rewritten.push_str(&value);
                copied = found.range.end;
            }
        }
        rewritten.push_str(text.get(copied..).unwrap_or_default());
        Ok(Some(rewritten))
    }

    /// Returns what takes the place of a value, none if it stays. It is plain ASCII and needs no escapes.
    fn value(&self, found: &Found<'_>) -> Result<Option<String>, OutOfRange> {
        let text = found.value.as_ref();
        match found.what {
            What::Start | What::Time => moved_seconds(text, self.shift),
            What::Nanos => moved_nanos(text, self.shift),
            What::TraceId => Ok(self.trace_id_text(text)),
            What::SegmentId => Ok(self.segment_id_text(text)),
            // A document is looked into when it is found.
            What::Document => Ok(None),
        }
    }

    /// Returns a trace id in the form and case of `text`, none if it stays.
    fn trace_id_text(&self, text: &str) -> Option<String> {
        let id = TraceId::parse_any(text).ok()?;
        let mapped = self.trace_id(id);
        let mut mapped_text = mapped.to_string();
        if !text.contains('-') {
            mapped_text = format!("{:032x}", u128::from_be_bytes(*mapped.as_bytes()));
        }
        (mapped != id).then(|| in_case_of(text, mapped_text))
    }

    fn segment_id_text(&self, text: &str) -> Option<String> {
        let id: SegmentId = text.parse().ok()?;
        let mapped = self.segment_id(id);
        (mapped != id).then(|| in_case_of(text, mapped.to_string()))
    }
}

/// Returns the earliest start that documents name: of a document, an array of documents, or a request body that holds
/// documents; none if there is none. Starts of subsegments count, too.
///
/// With it a [`Shift`] can be chosen where it was not recorded when traffic came.
pub fn first_start(text: &str) -> Option<Timestamp> {
    let documents = find(text, DOCUMENTS)?;
    let embedded = find(text, Expected::object(Object::PutTraceSegments))?;
    let starts = documents.iter().chain(&embedded);
    let starts = starts.filter(|found| found.what == What::Start);
    starts
        .filter_map(|found| Timestamp::parse_seconds(&found.value).ok())
        .min()
}

/// Returns what the body of an operation may be, none if it says nothing that is exchanged.
fn root_of(path: &str) -> Option<Expected> {
    Some(Expected::object(match path {
        "/TraceSegments" => Object::PutTraceSegments,
        "/SamplingTargets" => Object::GetSamplingTargets,
        "/TelemetryRecords" => Object::PutTelemetryRecords,
        _ => return None,
    }))
}

/// Returns lower-case hex in upper case if `text` is written in it. A text of both becomes lower case.
fn in_case_of(text: &str, hex: String) -> String {
    let is_upper = text.contains(|character: char| character.is_ascii_uppercase())
        && !text.contains(|character: char| character.is_ascii_lowercase());
    if is_upper {
        hex.to_ascii_uppercase()
    } else {
        hex
    }
}

const SPAN_PATHS: [&str; 2] = [
    "/v1/traces",
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
];
/// What is in front of spans in datagrams, sampled or not.
const SPAN_PREFIXES: [&[u8]; 2] = [b"T1S", b"T1U"];
