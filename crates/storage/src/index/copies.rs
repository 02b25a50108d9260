//! The copies of one trace's documents, one an id, in little memory.
//!
//! Most traces have a handful of documents, which are searched one by one; only a large trace gets a
//! map of its own.

use std::collections::HashMap;

use model::{DocumentKind, Head, SegmentId, Timestamp, Version};

/// Copies by segment id.
#[derive(Default)]
pub(super) struct Copies {
    slots: Vec<Slot>,
    /// Where each id is, once there are more than [`SEARCHED_MAX`].
    #[expect(
        clippy::box_collection,
        reason = "few traces have a map, and all have room for it"
    )]
    places: Option<Box<HashMap<SegmentId, usize>>>,
}

/// One copy of a document.
pub(super) struct Slot {
    pub(super) segment_id: SegmentId,
    pub(super) version: Version,
    pub(super) first_stamp: u64,
    pub(super) text_hash: u64,
    pub(super) text_len: u32,
    pub(super) span: Span,
    /// It may not be durable: a repeat is stored again, and it keeps nothing out.
    pub(super) doubtful: bool,
    /// The document's head, encoded.
    pub(super) head: Box<[u8]>,
}

/// The time of a document or a trace; segments' times count before those of subsegments alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) has_segment: bool,
    /// Whether a segment is in progress: then it ends with the last subsegment that belongs to it, whichever these are.
    pub(super) is_open: bool,
    pub(super) start: Timestamp,
    /// At the earliest.
    pub(super) end: Timestamp,
    /// The latest time that is mentioned at all.
    pub(super) latest: Timestamp,
}

impl Copies {
    /// Returns the copy of an id.
    pub(super) fn get(&self, segment_id: SegmentId) -> Option<&Slot> {
        self.slots.get(self.place(segment_id)?)
    }

    /// Puts a copy in the place of the one of its id, which it returns.
    pub(super) fn insert(&mut self, slot: Slot) -> Option<Slot> {
        let place = self.place(slot.segment_id);
        if let Some(known) = place.and_then(|place| self.slots.get_mut(place)) {
            return Some(std::mem::replace(known, slot));
        }
        if self.slots.is_empty() {
            // A vector would begin with room for four.
            self.slots.reserve_exact(1);
        }
        if let Some(places) = &mut self.places {
            places.insert(slot.segment_id, self.slots.len());
        }
        self.slots.push(slot);
        if self.places.is_none() && self.slots.len() > SEARCHED_MAX {
            let ids = self.slots.iter().map(|slot| slot.segment_id);
            self.places = Some(Box::new(ids.zip(0..).collect()));
        }
        None
    }

    /// Returns all copies.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> + '_ {
        self.slots.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn place(&self, segment_id: SegmentId) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(&segment_id).copied(),
            None => self
                .slots
                .iter()
                .position(|slot| slot.segment_id == segment_id),
        }
    }
}

impl Slot {
    /// Returns the bytes of memory the copy takes.
    pub(super) fn memory(&self) -> usize {
        self.head.len() + size_of::<Self>()
    }
}

impl Span {
    pub(super) fn of(head: &Head) -> Self {
        let has_segment = head.kind == DocumentKind::Segment;
        Self {
            has_segment,
            is_open: has_segment && head.in_progress,
            start: head.start,
            end: head.end,
            latest: head.latest,
        }
    }

    /// Returns the earliest and the latest time at which a trace may end.
    pub(super) fn ends(self) -> (Timestamp, Timestamp) {
        let latest = if self.is_open { self.latest } else { self.end };
        (self.end, latest.max(self.end))
    }

    /// Returns the span of both.
    pub(super) fn with(self, other: Self) -> Self {
        let (start, end) = match (self.has_segment, other.has_segment) {
            (true, false) => (self.start, self.end),
            (false, true) => (other.start, other.end),
            (true, true) | (false, false) => (self.start.min(other.start), self.end.max(other.end)),
        };
        Self {
            has_segment: self.has_segment || other.has_segment,
            is_open: self.is_open || other.is_open,
            start,
            end,
            latest: self.latest.max(other.latest),
        }
    }

    /// Tells whether the span may shrink when a document's span changes so.
    pub(super) fn rests_on(self, before: Self, after: Self) -> bool {
        let loses_start = before.start == self.start && after.start > before.start;
        let loses_end = before.end == self.end && after.end < before.end;
        let loses_latest = before.latest == self.latest && after.latest < before.latest;
        let is_other = (before.has_segment, before.is_open) != (after.has_segment, after.is_open);
        loses_start || loses_end || loses_latest || is_other
    }
}

const SEARCHED_MAX: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(id: u64, text_len: u32) -> Slot {
        Slot {
            segment_id: SegmentId(id),
            version: Version {
                in_progress: false,
                stamp: 1,
            },
            first_stamp: 1,
            text_hash: 0,
            text_len,
            span: Span::default(),
            doubtful: false,
            head: Box::default(),
        }
    }

    #[test]
    fn few_and_many_copies_are_found_and_replaced_alike() {
        for n_copies in [1, 24, 25, 200] {
            let mut copies = Copies::default();
            for id in 0..n_copies {
                assert!(copies.insert(slot(id, 1)).is_none());
            }
            for id in 0..n_copies {
                assert_eq!(
                    copies.insert(slot(id, 2)).map(|slot| slot.text_len),
                    Some(1)
                );
                assert_eq!(copies.get(SegmentId(id)).map(|slot| slot.text_len), Some(2));
            }
            assert!(copies.get(SegmentId(n_copies)).is_none());
            assert_eq!(u64::try_from(copies.iter().count()), Ok(n_copies));
        }
    }
}
