//! The rules of a document, applied to what was read (spec: `PutTraceSegments`, error codes).

use super::loose::{Annotations, Loose};
use super::name::{BadName, check_name};
use super::{InvalidCode, Part, Segment};
use crate::json::Scalar;
use crate::{DocumentKind, InvalidTime, SegmentId, Timestamp, TraceId};

/// A broken rule.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) code: InvalidCode,
    /// Whether a nested subsegment broke it.
    pub(super) is_nested: bool,
    pub(super) detail: String,
}

/// Returns what kind of document `type` says it is.
pub(super) fn kind_of(loose: &Loose<'_>) -> DocumentKind {
    if loose.kind.text() == Some("subsegment") {
        DocumentKind::Subsegment
    } else {
        DocumentKind::Segment
    }
}

/// Returns the checked document.
pub(super) fn check_document(loose: Loose<'_>) -> Result<Segment<'_>, Fault> {
    let kind = kind_of(&loose);
    let id = check_id(&loose.id)?;
    let trace_id = check_trace_id(&loose.trace_id)?;
    let parent_id = check_parent_id(&loose.parent_id)?;
    if kind == DocumentKind::Subsegment && parent_id.is_none() {
        let detail = "parent_id: a subsegment sent alone needs the id of its parent".to_owned();
        return Err(fault(InvalidCode::MissingParentId, detail));
    }
    let part = check_part(id, loose, Ancestors::AllEnded)?;
    Ok(Segment {
        kind,
        trace_id,
        parent_id,
        part,
    })
}

/// Whether a subsegment may lack its end because the document, or a subsegment around it, does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ancestors {
    AllEnded,
    SomeInProgress,
}

fn check_part(id: SegmentId, loose: Loose<'_>, ancestors: Ancestors) -> Result<Part<'_>, Fault> {
    let name = check_part_name(loose.name)?;
    let start = check_start(loose.start_time)?;
    let end = check_end(loose.end_time)?;
    let says_in_progress = loose.in_progress.boolean() == Some(true);
    let may_lack_end = says_in_progress || ancestors == Ancestors::SomeInProgress;
    if end.is_none() && !may_lack_end {
        let detail = "end_time: neither end_time nor \"in_progress\": true".to_owned();
        return Err(fault(InvalidCode::MissingEndTime, detail));
    }
    let annotations = match loose.annotations {
        Annotations::Absent => Vec::new(),
        Annotations::Object(annotations) => annotations,
        Annotations::Other => {
            let detail =
                "annotations: an object of strings, numbers and booleans is expected".to_owned();
            return Err(fault(InvalidCode::InvalidAnnotations, detail));
        }
    };
    let ancestors = if may_lack_end {
        Ancestors::SomeInProgress
    } else {
        Ancestors::AllEnded
    };
    let subsegments = check_subsegments(loose.subsegments, ancestors)?;
    let in_progress = says_in_progress || end.is_none();
    Ok(Part {
        id,
        name,
        start,
        end,
        in_progress,
        annotations,
        facts: loose.facts,
        subsegments,
    })
}

fn check_subsegments(
    loose: Vec<Option<Loose<'_>>>,
    ancestors: Ancestors,
) -> Result<Vec<Part<'_>>, Fault> {
    let mut parts = Vec::with_capacity(loose.len());
    for (subsegment_idx, subsegment) in loose.into_iter().enumerate() {
        let Some(subsegment) = subsegment else {
            continue;
        };
        let part = check_id(&subsegment.id)
            .and_then(|id| check_part(id, subsegment, ancestors))
            .map_err(|fault| Fault {
                is_nested: true,
                detail: format!("subsegments[{subsegment_idx}].{}", fault.detail),
                ..fault
            })?;
        parts.push(part);
    }
    Ok(parts)
}

fn check_id(id: &Scalar<'_>) -> Result<SegmentId, Fault> {
    match presence(id) {
        Presence::Missing => Err(fault(
            InvalidCode::MissingId,
            "id: 16 hexadecimal digits are expected".to_owned(),
        )),
        Presence::Text(text) => text.parse().map_err(|_| {
            let detail = format!("id: {} is not 16 hexadecimal digits", shown(text));
            fault(InvalidCode::InvalidId, detail)
        }),
        Presence::NotText => {
            let detail = "id: a string of 16 hexadecimal digits is expected".to_owned();
            Err(fault(InvalidCode::InvalidId, detail))
        }
    }
}

fn check_trace_id(trace_id: &Scalar<'_>) -> Result<TraceId, Fault> {
    match presence(trace_id) {
        Presence::Missing => {
            let detail = "trace_id: 1-<8 hex digits>-<24 hex digits> is expected".to_owned();
            Err(fault(InvalidCode::MissingTraceId, detail))
        }
        Presence::Text(text) => TraceId::parse(text).map_err(|_| {
            let hint = match TraceId::parse_any(text) {
                Ok(trace_id) => format!("; a W3C trace id is written {trace_id} here"),
                Err(_) => String::new(),
            };
            let detail = format!(
                "trace_id: {} is not 1-<8 hex digits>-<24 hex digits>{hint}",
                shown(text)
            );
            fault(InvalidCode::InvalidTraceId, detail)
        }),
        Presence::NotText => {
            let detail =
                "trace_id: a string 1-<8 hex digits>-<24 hex digits> is expected".to_owned();
            Err(fault(InvalidCode::InvalidTraceId, detail))
        }
    }
}

fn check_parent_id(parent_id: &Scalar<'_>) -> Result<Option<SegmentId>, Fault> {
    match presence(parent_id) {
        Presence::Missing => Ok(None),
        Presence::Text(text) => text.parse().map(Some).map_err(|_| {
            let detail = format!("parent_id: {} is not 16 hexadecimal digits", shown(text));
            fault(InvalidCode::InvalidParentId, detail)
        }),
        Presence::NotText => {
            let detail = "parent_id: a string of 16 hexadecimal digits is expected".to_owned();
            Err(fault(InvalidCode::InvalidParentId, detail))
        }
    }
}

fn check_part_name(name: Scalar<'_>) -> Result<std::borrow::Cow<'_, str>, Fault> {
    match presence(&name) {
        Presence::Missing => {
            return Err(fault(InvalidCode::MissingName, "name: 1 to 200 characters are expected".to_owned()));
        }
        Presence::Text(text) => check_name(text).map_err(|bad| {
            let detail = match bad {
                BadName::TooLong { n_chars } => format!("name: {n_chars} characters, the limit is 200"),
                BadName::Character(character) => format!(
                    "name: {} has {character:?}; letters, numbers, spaces and _.:/%&#=+\\-@ are allowed",
                    shown(text)
                ),
            };
            fault(InvalidCode::InvalidName, detail)
        })?,
        Presence::NotText => {}
    }
    name.into_text().ok_or_else(|| {
        fault(
            InvalidCode::InvalidName,
            "name: a string is expected".to_owned(),
        )
    })
}

fn check_start(json: Option<&str>) -> Result<Timestamp, Fault> {
    let Some(json) = json else {
        let detail = "start_time: a number of seconds since 1970 is expected".to_owned();
        return Err(fault(InvalidCode::MissingStartTime, detail));
    };
    Timestamp::parse_seconds(json)
        .map_err(|error| time_fault(InvalidCode::InvalidStartTime, "start_time", json, error))
}

fn check_end(json: Option<&str>) -> Result<Option<Timestamp>, Fault> {
    let Some(json) = json else { return Ok(None) };
    Timestamp::parse_seconds(json)
        .map(Some)
        .map_err(|error| time_fault(InvalidCode::InvalidEndTime, "end_time", json, error))
}

fn time_fault(code: InvalidCode, member: &str, json: &str, error: InvalidTime) -> Fault {
    fault(code, format!("{member}: {}: {error}", shown(json)))
}

fn fault(code: InvalidCode, detail: String) -> Fault {
    Fault {
        code,
        is_nested: false,
        detail,
    }
}

enum Presence<'s> {
    Missing,
    Text(&'s str),
    NotText,
}

/// Tells whether a text is there; null and the empty string count as missing.
fn presence<'s>(scalar: &'s Scalar<'_>) -> Presence<'s> {
    match scalar {
        Scalar::Absent => Presence::Missing,
        Scalar::Text(text) if text.is_empty() => Presence::Missing,
        Scalar::Text(text) => Presence::Text(text),
        Scalar::Boolean(_) | Scalar::Integer(_) | Scalar::Float(_) | Scalar::Other => {
            Presence::NotText
        }
    }
}

/// Returns the beginning of a value, quoted, for a message.
fn shown(value: &str) -> String {
    let mut beginning: String = value.chars().take(SHOWN_CHARS_MAX).collect();
    if beginning.len() < value.len() {
        beginning.push_str("...");
    }
    format!("{beginning:?}")
}

const SHOWN_CHARS_MAX: usize = 40;
