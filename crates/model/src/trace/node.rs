//! One segment or subsegment of a compiled trace.

use std::borrow::Cow;

use super::forest::{Entry, json_of};
use crate::block::{Aws, Cause, Http, Outcome, Thrown};
use crate::json::{Block, unquote};
use crate::member::Member;
use crate::{Flags, SegmentId, Timestamp};

/// One segment or subsegment of a compiled trace, with everything below it.
///
/// Values are kept as JSON as received; what an accessor needs is read when it is called, so that
/// compiling stays cheap for callers that only write documents.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    pub(super) id: SegmentId,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) in_progress: bool,
    /// In order of output.
    pub(super) members: Vec<(Member, Cow<'a, str>)>,
    pub(super) subsegments: Vec<Node<'a>>,
}

/// One exception of a `cause`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exception {
    /// Its `type`.
    pub name: Option<String>,
    /// Its `message`.
    pub message: Option<String>,
    /// Whether a downstream service threw it.
    pub remote: bool,
}

impl<'a> Node<'a> {
    /// Returns its id.
    pub const fn id(&self) -> SegmentId {
        self.id
    }

    /// Returns its name.
    pub fn name(&self) -> Cow<'_, str> {
        self.text(Member::Name).unwrap_or_default()
    }

    /// Returns its namespace: `aws` and `remote` mark calls to other services.
    pub fn namespace(&self) -> Option<Cow<'_, str>> {
        self.text(Member::Namespace)
    }

    /// Returns its start.
    pub const fn start(&self) -> Timestamp {
        self.start
    }

    /// Returns its end, which may lie before its start. In progress: of a segment or an orphan the
    /// latest time that it or anything below it mentions, of a subsegment the latest time it mentions itself.
    pub const fn end(&self) -> Timestamp {
        self.end
    }

    /// Tells whether it is in progress: it says so, or has no end because something around it says so.
    pub const fn in_progress(&self) -> bool {
        self.in_progress
    }

    /// Returns its own outcomes, without those below it: flags as sent, else as the HTTP status says.
    pub fn flags(&self) -> Flags {
        let flag = |member| self.json(member).and_then(|json| json.parse().ok());
        let outcome = Outcome {
            error: flag(Member::Error),
            fault: flag(Member::Fault),
            throttle: flag(Member::Throttle),
        };
        outcome.flags(self.http().and_then(|http| http.status()))
    }

    /// Returns the exceptions of its cause, in order; none if the cause is only an exception's id.
    pub fn exceptions(&self) -> Vec<Exception> {
        let cause: Option<Block<Cause<'_>>> = self.block(Member::Cause);
        let thrown = cause
            .and_then(|cause| cause.0)
            .unwrap_or_default()
            .exceptions;
        thrown
            .into_iter()
            .filter_map(|thrown| thrown.0)
            .map(|thrown| Exception::of(&thrown))
            .collect()
    }

    /// Returns what is below it: first the subsegments nested in its document in their order, then
    /// those sent alone by start and id.
    pub fn subsegments(&self) -> &[Node<'a>] {
        &self.subsegments
    }

    /// Returns the JSON of a member.
    pub(super) fn json(&self, member: Member) -> Option<&str> {
        json_of(&self.members, member)
    }

    /// Returns the text of a member that is a text and not empty.
    pub(super) fn text(&self, member: Member) -> Option<Cow<'_, str>> {
        self.json(member)
            .and_then(unquote)
            .filter(|text| !text.is_empty())
    }

    pub(super) fn aws(&self) -> Option<Aws<'_>> {
        self.block::<Block<_>>(Member::Aws)?.0
    }

    fn http(&self) -> Option<Http<'_>> {
        self.block::<Block<_>>(Member::Http)?.0
    }

    fn block<'s, T: serde::Deserialize<'s>>(&'s self, member: Member) -> Option<T> {
        serde_json::from_str(self.json(member)?).ok()
    }

    /// Appends its JSON: members in a fixed order, values as received, subsegments last. Folding has
    /// bounded the depth.
    pub(super) fn write(&self, out: &mut String) {
        let mut separator = '{';
        for (member, json) in &self.members {
            out.push(separator);
            out.push('"');
            out.push_str(member.as_str());
            out.push_str("\":");
            out.push_str(json);
            separator = ',';
        }
        if !self.subsegments.is_empty() {
            out.push(separator);
            out.push_str("\"subsegments\":");
            let mut separator = '[';
            for subsegment in &self.subsegments {
                out.push(separator);
                subsegment.write(out);
                separator = ',';
            }
            out.push(']');
        }
        out.push('}');
    }
}

impl Exception {
    fn of(thrown: &Thrown<'_>) -> Self {
        Self {
            name: thrown.name.text().map(str::to_owned),
            message: thrown.message.text().map(str::to_owned),
            remote: thrown.remote.boolean() == Some(true),
        }
    }
}

/// Where an entry ends up decides which of its members it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Segment,
    Orphan,
    Below,
}

impl Place {
    /// Tells whether an entry in this place shows a member. A subsegment below its parent needs no
    /// identity besides its id, unless it had to hang elsewhere; `type` says nothing on a segment.
    fn shows(self, member: Member, is_moved: bool) -> bool {
        match (self, member) {
            (_, Member::Inferred | Member::Subsegments)
            | (Self::Segment, Member::Type | Member::Traced)
            | (Self::Below, Member::Type | Member::TraceId) => false,
            (Self::Below, Member::ParentId) => is_moved,
            (Self::Segment | Self::Orphan | Self::Below, _) => true,
        }
    }
}

/// Takes the tree below an entry out of the list of entries. Folding has bounded the depth.
pub(super) fn take_tree<'a>(
    entries: &mut [Option<Entry<'a>>],
    entry_idx: usize,
    place: Place,
) -> Option<Node<'a>> {
    let entry = entries.get_mut(entry_idx)?.take()?;
    let latest = entry.latest();
    let mut members = entry.members;
    members.retain(|(member, _)| place.shows(*member, entry.is_moved));
    let mut subsegments = Vec::with_capacity(entry.children.len());
    for child_idx in entry.children {
        subsegments.extend(take_tree(entries, child_idx, Place::Below));
    }
    let end = if entry.in_progress {
        latest
    } else {
        entry.end.unwrap_or(entry.start)
    };
    Some(Node {
        id: entry.id,
        start: entry.start,
        end,
        in_progress: entry.in_progress,
        members,
        subsegments,
    })
}
