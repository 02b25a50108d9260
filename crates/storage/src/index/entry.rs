//! What a partition holds of one trace.

use model::{Derived, Head, SegmentId, Summary, TraceId, wins};

use super::copies::{Copies, Slot, Span};
use crate::graph::Kept;
use crate::record::{BlockEntry, Damage, decode_head};

/// What the partition holds of one trace.
#[derive(Default)]
pub(super) struct TraceEntry {
    pub(super) documents: Copies,
    /// Copies in older partitions, for a trace that goes on in this one.
    pub(super) older: Option<Box<Copies>>,
    pub(super) revision: u32,
    /// Start and end as the summary has them.
    pub(super) span: Span,
    pub(super) first_stamp: u64,
    /// Bytes of all documents' texts.
    pub(super) bytes: u64,
    /// Newest of the older partitions that have copies.
    pub(super) older_number: u32,
    /// Stamp of the last change here.
    pub(super) changed: u64,
    /// What it adds to graphs; as it was while it waits to be derived again.
    pub(super) kept: Option<Box<Kept>>,
    /// Whether it waits in `Index::changed`.
    pub(super) is_queued: bool,
}

/// What contributions to graphs are made from.
pub(crate) struct Parts {
    pub(crate) now: Derived,
    /// The trace as the copies in older partitions make it, and the newest of those.
    pub(crate) before: Option<(u32, Derived)>,
    pub(crate) first_stamp: u64,
    /// The trace's last change here.
    pub(crate) changed: u64,
}

impl TraceEntry {
    /// Returns the copy readers see.
    pub(super) fn current(&self, segment_id: SegmentId) -> Option<&Slot> {
        let here = self.documents.get(segment_id);
        let older = self.older.as_ref().and_then(|older| older.get(segment_id));
        match (here, older) {
            (Some(here), Some(older)) if wins(older.version, here.version) => Some(older),
            (Some(here), _) => Some(here),
            (None, older) => older,
        }
    }

    /// Returns the copies readers see.
    pub(super) fn all_current(&self) -> impl Iterator<Item = &Slot> + '_ {
        let here = self
            .documents
            .iter()
            .filter_map(|slot| self.current(slot.segment_id));
        let older = self.older.iter().flat_map(|older| older.iter());
        here.chain(older.filter(|slot| self.documents.get(slot.segment_id).is_none()))
    }

    pub(super) fn whole_span(&self) -> Span {
        self.all_current()
            .map(|slot| slot.span)
            .reduce(Span::with)
            .unwrap_or_default()
    }

    pub(super) fn summary(&self, trace_id: TraceId) -> Result<BlockEntry, Damage> {
        let heads = heads_of(self.all_current())?;
        let summary = Summary::of(trace_id, &heads, self.revision);
        Ok(BlockEntry {
            first_stamp: self.first_stamp,
            summary,
        })
    }

    pub(super) fn parts(&self, trace_id: TraceId) -> Result<Parts, Damage> {
        let heads = heads_of(self.all_current())?;
        let before = match &self.older {
            Some(older) => {
                let heads = heads_of(older.iter())?;
                Some((self.older_number, Derived::of(trace_id, &heads, 1)))
            }
            None => None,
        };
        Ok(Parts {
            now: Derived::of(trace_id, &heads, self.revision),
            before,
            first_stamp: self.first_stamp,
            changed: self.changed,
        })
    }
}

pub(super) fn heads_of<'s>(slots: impl Iterator<Item = &'s Slot>) -> Result<Vec<Head>, Damage> {
    slots.map(|slot| decode_head(&slot.head)).collect()
}
