//! Which service a document's annotations and user belong to.

use std::collections::HashMap;

use super::services::ServiceList;
use crate::{DocumentKind, Head, SegmentId};

/// Returns for each head the index of its service: a segment's own, for a subsegment sent alone that
/// of the segment it finally hangs on; none as long as that has not come.
pub(super) fn owners(heads: &[&Head], services: &ServiceList<'_>) -> Vec<Option<u16>> {
    // A segment may name a subsegment sent alone as its parent.
    let has_parents = heads
        .iter()
        .any(|head| head.kind == DocumentKind::Segment && head.parent_id.is_some());
    let needs_segment = |head: &&&Head| {
        let says_something =
            !head.annotations.is_empty() || head.user.is_some() || !head.calls.is_empty();
        head.kind == DocumentKind::Subsegment && (says_something || has_parents)
    };
    let segment_of = if heads.iter().any(|head| needs_segment(&head)) {
        segments(heads)
    } else {
        (0..heads.len()).map(Some).collect()
    };
    segment_of
        .into_iter()
        .map(|segment_idx| {
            let segment = heads.get(segment_idx?)?;
            (segment.kind == DocumentKind::Segment)
                .then(|| services.index_of(segment))
                .flatten()
        })
        .collect()
}

/// Returns the segments in progress that subsegments sent alone belong to, with the latest time of these for their end if
/// it is later: nested in them they would count, too.
pub(crate) fn open_segments(heads: &[Head]) -> HashMap<SegmentId, Head> {
    let is_open = |head: &Head| head.kind == DocumentKind::Segment && head.in_progress;
    let is_alone = |head: &Head| head.kind == DocumentKind::Subsegment;
    let mut open: HashMap<SegmentId, Head> = HashMap::new();
    if !heads.iter().any(is_open) || !heads.iter().any(is_alone) {
        return open;
    }
    let mut sorted: Vec<&Head> = heads.iter().collect();
    sorted.sort_unstable_by_key(|head| (head.start, head.segment_id));
    for (head, segment_idx) in sorted.iter().zip(segments(&sorted)) {
        let segment = segment_idx.and_then(|segment_idx| sorted.get(segment_idx));
        let Some(segment) = segment.filter(|segment| is_open(segment)) else {
            continue;
        };
        if head.latest > segment.end {
            let joined = open
                .entry(segment.segment_id)
                .or_insert_with(|| Head::clone(segment));
            joined.end = joined.end.max(head.latest);
        }
    }
    open
}

#[derive(Clone, Copy)]
enum Owner {
    Unknown,
    /// On the way that is being followed: meeting it again is a circle.
    OnPath,
    Known(Option<usize>),
}

/// Returns for each head the index of the segment it belongs to. Each way up is followed once.
pub(crate) fn segments(heads: &[&Head]) -> Vec<Option<usize>> {
    let head_of = heads_by_id(heads);
    let mut owners = vec![Owner::Unknown; heads.len()];
    let mut path = Vec::new();
    for first_idx in 0..heads.len() {
        let mut head_idx = first_idx;
        let segment_idx = loop {
            match owners.get(head_idx) {
                Some(Owner::Known(segment_idx)) => break *segment_idx,
                Some(Owner::OnPath) | None => break None,
                Some(Owner::Unknown) => {}
            }
            set(&mut owners, head_idx, Owner::OnPath);
            path.push(head_idx);
            let Some(head) = heads.get(head_idx) else {
                break None;
            };
            if head.kind == DocumentKind::Segment {
                break Some(head_idx);
            }
            match head.parent_id.and_then(|parent_id| head_of.get(&parent_id)) {
                Some(parent_idx) => head_idx = *parent_idx,
                None => break None,
            }
        };
        for on_path_idx in path.drain(..) {
            set(&mut owners, on_path_idx, Owner::Known(segment_idx));
        }
    }
    owners
        .into_iter()
        .map(|owner| match owner {
            Owner::Known(segment_idx) => segment_idx,
            Owner::Unknown | Owner::OnPath => None,
        })
        .collect()
}

fn set(owners: &mut [Owner], head_idx: usize, owner: Owner) {
    if let Some(slot) = owners.get_mut(head_idx) {
        *slot = owner;
    }
}

/// Returns the head of each id; documents count before nested subsegments, as when a trace is compiled.
pub(crate) fn heads_by_id(heads: &[&Head]) -> HashMap<SegmentId, usize> {
    let mut head_of: HashMap<SegmentId, usize> = heads
        .iter()
        .enumerate()
        .map(|(head_idx, head)| (head.segment_id, head_idx))
        .collect();
    for (head_idx, head) in heads.iter().enumerate() {
        for nested_id in &head.nested_ids {
            head_of.entry(*nested_id).or_insert(head_idx);
        }
    }
    head_of
}
