//! What was refused lately, for the people who miss it: senders often drop the answer unread, and datagrams have none.
//!
//! The newest are kept, bounded in number and in bytes, so that a flood costs no more than a trickle. An account is
//! shown its own only; of what an unknown caller sent nothing but a figure is kept.

pub(crate) mod page;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Account, Timestamp, TraceId};

use crate::house::House;
use crate::origin::Origin;

/// A document or call that was not taken.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) time: Timestamp,
    pub(crate) origin: Origin,
    /// Why, in one word.
    pub(crate) code: &'static str,
    /// Why, in a sentence.
    pub(crate) message: String,
    pub(crate) segment_id: Option<String>,
    pub(crate) trace_id: Option<TraceId>,
    /// How many documents were not taken: 1, or all of a call.
    pub(crate) n_documents: usize,
    /// The beginning of the document, redacted; empty for a call.
    pub(crate) excerpt: String,
}

/// The newest of what was refused.
#[derive(Default)]
pub(crate) struct RefusedLog {
    kept: Mutex<Kept>,
}

/// One entry of the log.
#[derive(Debug)]
struct Entry {
    /// How many were recorded before.
    id: u64,
    account: Account,
    refused: Refused,
}

/// Entries with ids that follow each other, the oldest first.
#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<Arc<Entry>>,
    next_id: u64,
    n_bytes: usize,
}

/// Counts what was refused and remembers it for the account it was sent to, if that is known.
pub(crate) fn record(house: &House, account: Option<&Account>, refused: Refused) {
    house.metrics.refused(refused.origin.doorway, refused.code);
    let n_kept_max = house.config().limits.refused_kept;
    if let Some(account) = account {
        house.refused.add(account.clone(), refused, n_kept_max);
    }
}

impl RefusedLog {
    /// Returns how many entries are kept.
    pub(crate) fn n_kept(&self) -> usize {
        self.lock().entries.len()
    }

    fn add(&self, account: Account, mut refused: Refused, n_kept_max: usize) {
        shorten(&mut refused.message, MESSAGE_BYTES_MAX);
        if let Some(segment_id) = &mut refused.segment_id {
            shorten(segment_id, SEGMENT_ID_BYTES_MAX);
        }
        let mut kept = self.lock();
        let id = kept.next_id;
        kept.next_id += 1;
        let entry = Entry {
            id,
            account,
            refused,
        };
        kept.n_bytes += entry.n_bytes();
        kept.entries.push_back(Arc::new(entry));
        while kept.entries.len() > n_kept_max || kept.n_bytes > KEPT_BYTES_MAX {
            let Some(oldest) = kept.entries.pop_front() else {
                break;
            };
            kept.n_bytes -= oldest.n_bytes();
        }
    }

    /// Returns up to so many entries with smaller ids than this, the newest first.
    fn before(&self, id: u64, n_entries_max: usize) -> Vec<Arc<Entry>> {
        let kept = self.lock();
        let first_id = kept.entries.front().map_or(kept.next_id, |entry| entry.id);
        let end = usize::try_from(id.saturating_sub(first_id)).unwrap_or(usize::MAX);
        let end = end.min(kept.entries.len());
        let entries = kept.entries.range(..end).rev();
        entries.take(n_entries_max).map(Arc::clone).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Returns about how much memory it takes.
    fn n_bytes(&self) -> usize {
        let refused = &self.refused;
        size_of::<Self>()
            + self.account.id.len()
            + self.account.region.len()
            + refused.message.len()
            + refused.segment_id.as_ref().map_or(0, String::len)
            + refused.excerpt.len()
    }
}

/// Cuts a text to so many bytes at most and lets the rest of its memory go.
fn shorten(text: &mut String, n_bytes_max: usize) {
    let mut end = n_bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.shrink_to_fit();
}

const MESSAGE_BYTES_MAX: usize = 500;
const SEGMENT_ID_BYTES_MAX: usize = 64;
const KEPT_BYTES_MAX: usize = 32 << 20;

#[cfg(test)]
#[path = "refused/tests.rs"]
mod tests;
