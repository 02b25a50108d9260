//! Adds the segments of services that send none (spec: X-Ray developer guide, "Segment documents",
//! inferred segments): one for each call that no segment names as its parent.

use std::borrow::Cow;
use std::collections::HashSet;

use sha2::{Digest, Sha256};

use super::forest::{Entry, Forest};
use super::node::Node;
use super::{CompiledKind, CompiledSegment, ServiceNode};
use crate::block::{Aws, Http};
use crate::callee::Callee;
use crate::json::Block;
use crate::member::Member;
use crate::{DocumentKind, SegmentId, TraceId};

/// Returns the inferred segments of all calls; `is_shown` tells whether an entry is part of the trace
/// that is shown.
///
/// A call that announces a segment (`traced`) gets none. Of several calls with one id the first one
/// counts.
pub(super) fn infer<'a>(
    trace_id: TraceId,
    forest: &Forest<'a>,
    is_shown: impl Fn(usize) -> bool,
) -> Vec<CompiledSegment<'a>> {
    let mut answered: HashSet<SegmentId> = forest
        .trees
        .iter()
        .filter(|tree| tree.kind == DocumentKind::Segment)
        .filter_map(|tree| tree.parent_id)
        .collect();
    let mut inferred = Vec::new();
    for tree in &forest.trees {
        // A segment is no call itself.
        let n_skipped = usize::from(tree.kind == DocumentKind::Segment);
        for (entry_idx, entry) in tree
            .entries
            .clone()
            .zip(forest.entries_of(tree))
            .skip(n_skipped)
        {
            if !entry.may_be_call() || !is_shown(entry_idx) || answered.contains(&entry.id) {
                continue;
            }
            if let Some(segment) = entry.inferred(trace_id) {
                answered.insert(entry.id);
                inferred.push(segment);
            }
        }
    }
    number(trace_id, forest, &mut inferred);
    inferred
}

impl<'a> Entry<'a> {
    /// Tells cheaply whether the entry can be a call at all.
    fn may_be_call(&self) -> bool {
        self.json(Member::Namespace).is_some()
    }

    /// Returns the inferred segment of the service the entry calls, its id still missing; none if the
    /// entry is no call or announces a segment.
    fn inferred(&self, trace_id: TraceId) -> Option<CompiledSegment<'a>> {
        let name = self.text(Member::Name).unwrap_or_default();
        let aws: Option<Aws<'_>> = self.block(Member::Aws);
        let table_name = aws.as_ref().and_then(|aws| aws.table_name.text());
        let has_sql = self.json(Member::Sql).is_some();
        let callee = Callee::of(
            self.text(Member::Namespace).as_deref(),
            &name,
            table_name,
            has_sql,
        )?;
        if self.is_traced() {
            return None;
        }
        let mut members: Vec<(Member, Cow<'a, str>)> = self
            .members
            .iter()
            .filter(|(member, _)| is_copied(*member))
            .cloned()
            .collect();
        if self.in_progress {
            members.push((Member::InProgress, Cow::Borrowed("true")));
        }
        members.push((Member::ParentId, Cow::Owned(format!("\"{}\"", self.id))));
        members.push((Member::Inferred, Cow::Borrowed("true")));
        members.push((Member::TraceId, Cow::Owned(format!("\"{trace_id}\""))));
        if let Some(origin) = callee.origin() {
            members.push((Member::Origin, Cow::Owned(quoted(&origin))));
        }
        let service = ServiceNode {
            name: callee.service_name().to_owned(),
            kind: callee.service_type().into_owned(),
        };
        let end = if self.in_progress {
            self.latest()
        } else {
            self.end.unwrap_or(self.start)
        };
        Some(CompiledSegment {
            kind: CompiledKind::Inferred,
            parent_id: Some(self.id),
            called: Some(service),
            node: Node {
                id: self.id,
                start: self.start,
                end,
                in_progress: self.in_progress,
                members,
                subsegments: Vec::new(),
            },
        })
    }

    fn is_traced(&self) -> bool {
        let http: Option<Http<'_>> = self.block(Member::Http);
        self.json(Member::Traced) == Some("true") || http.is_some_and(|http| http.is_traced())
    }

    fn block<'s, T: serde::Deserialize<'s>>(&'s self, member: Member) -> Option<T> {
        serde_json::from_str::<Block<T>>(self.json(member)?).ok()?.0
    }
}

/// Tells whether an inferred segment has the member of the call.
fn is_copied(member: Member) -> bool {
    match member {
        Member::Name
        | Member::StartTime
        | Member::EndTime
        | Member::Http
        | Member::Aws
        | Member::Sql
        | Member::Error
        | Member::Fault
        | Member::Throttle
        | Member::Cause => true,
        Member::Id
        | Member::InProgress
        | Member::ParentId
        | Member::Inferred
        | Member::Service
        | Member::Annotations
        | Member::Metadata
        | Member::PrecursorIds
        | Member::Links
        | Member::TraceId
        | Member::User
        | Member::Origin
        | Member::ResourceArn
        | Member::Type
        | Member::Namespace
        | Member::Traced
        | Member::Subsegments => false,
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Gives inferred segments ids that are the same whenever the trace is compiled, and taken by nothing
/// else in it.
fn number(trace_id: TraceId, forest: &Forest<'_>, inferred: &mut [CompiledSegment<'_>]) {
    if inferred.is_empty() {
        return;
    }
    inferred.sort_unstable_by_key(|segment| segment.parent_id);
    let mut taken: HashSet<SegmentId> = forest.entries.iter().map(|entry| entry.id).collect();
    for segment in inferred {
        let mut id = inferred_id(trace_id, segment.node.id);
        while !taken.insert(id) {
            id = SegmentId(id.0.wrapping_add(1));
        }
        segment.node.id = id;
        segment
            .node
            .members
            .push((Member::Id, Cow::Owned(format!("\"{id}\""))));
        segment.node.members.sort_by_key(|(member, _)| *member);
    }
}

/// Returns the first eight bytes of a hash over the ids of the trace and of the call.
fn inferred_id(trace_id: TraceId, call_id: SegmentId) -> SegmentId {
    let mut hash = Sha256::new();
    hash.update(trace_id.as_bytes());
    hash.update(call_id.0.to_be_bytes());
    let digest = hash.finalize();
    SegmentId(
        digest
            .iter()
            .take(8)
            .fold(0, |id, byte| (id << 8) | u64::from(*byte)),
    )
}
