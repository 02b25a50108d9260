//! The index of the partition that takes writes: the heads of its documents, by trace, in memory.
//!
//! It answers what became of a document before it is written, and it is what summaries of recent
//! traces are made from. It holds nothing that is not also in the partition's documents, from which
//! it is rebuilt at open.

mod copies;
mod entry;
mod followers;
mod interned;

use std::collections::{BTreeSet, HashMap, VecDeque};

use model::{Document, Head, Service, Tenant, TraceId, Version, wins};

use crate::changes::Change;
use crate::graph::{Kept, Refresh};
use crate::older::Traces;
use crate::record::{BlockEntry, Damage, Record, encode};
use crate::{Outcome, Position, Window};
use copies::{Slot, Span};
use entry::{TraceEntry, heads_of};
use followers::Followers;

pub(crate) use entry::Parts;
pub(crate) use interned::Interned;

/// The index of one partition.
#[derive(Default)]
pub(crate) struct Index {
    traces: HashMap<(Tenant, TraceId), TraceEntry>,
    /// Documents in the partition.
    pub(crate) n_documents: u64,
    /// Bytes of their texts.
    pub(crate) document_bytes: u64,
    /// About how many bytes of memory the index takes.
    pub(crate) memory: usize,
    last_stamp: u64,
    /// Stamp of the last telemetry record when the partition was opened.
    pub(crate) telemetry_stamp: u64,
    /// Traces whose records say that older partitions have documents of them too.
    continued_by_record: Traces,
    /// Traces whose contribution to graphs is not known, each once.
    changed: VecDeque<(Tenant, TraceId)>,
    followers: Followers,
    interned: Interned,
}

/// A document on its way in, as the index judges it.
pub(crate) struct Candidate<'a> {
    pub(crate) tenant: Tenant,
    pub(crate) trace_id: TraceId,
    pub(crate) head: &'a Head,
    pub(crate) head_bytes: &'a [u8],
    pub(crate) text_hash: u64,
    pub(crate) text_len: u32,
    pub(crate) stamp: u64,
}

/// A copy of a document in an older partition.
pub(crate) struct OlderCopy {
    pub(crate) document: Document,
    pub(crate) head: Head,
    /// The partition is not known to be durable as it reads.
    pub(crate) doubtful: bool,
    /// The partition's number.
    pub(crate) number: u32,
}

/// What a document's record says beside the document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordFacts {
    pub(crate) version: Version,
    pub(crate) first_stamp: u64,
    pub(crate) revision: u32,
    pub(crate) continued: bool,
}

/// What to do with a document.
pub(crate) enum Verdict {
    /// Write it; it is in the index already.
    Write {
        /// What its record says of it.
        facts: RecordFacts,
        /// Whether the partition held a copy before.
        replaces: bool,
    },
    /// Leave it.
    Leave(Outcome),
}

impl Index {
    /// Tells whether the trace is known here, so that older partitions were asked for it already.
    pub(crate) fn knows(&self, tenant: Tenant, trace_id: TraceId) -> bool {
        self.traces.contains_key(&(tenant, trace_id))
    }

    /// Takes note of the copies older partitions hold of a trace.
    pub(crate) fn note_older(
        &mut self,
        tenant: Tenant,
        trace_id: TraceId,
        documents: &[OlderCopy],
    ) {
        let entry = self.traces.entry((tenant, trace_id)).or_default();
        let mut stamps: Vec<u64> = documents.iter().map(|copy| copy.document.stamp).collect();
        stamps.sort_unstable();
        stamps.dedup();
        entry.revision = entry
            .revision
            .max(u32::try_from(stamps.len()).unwrap_or(u32::MAX));
        for OlderCopy {
            document,
            head,
            doubtful,
            number,
        } in documents
        {
            entry.older_number = entry.older_number.max(*number);
            let slot = Slot {
                segment_id: document.segment_id,
                version: document.version(),
                first_stamp: document.first_stamp,
                text_hash: text_hash(&document.text),
                text_len: u32::try_from(document.text.len()).unwrap_or(u32::MAX),
                span: Span::of(head),
                doubtful: *doubtful,
                head: encode(head).into(),
            };
            entry.first_stamp = earlier(entry.first_stamp, slot.first_stamp);
            entry.bytes += u64::from(slot.text_len);
            self.memory += slot.memory();
            // Several older partitions may have copies; the one that counts stays.
            let older = entry.older.get_or_insert_default();
            let known = older.get(document.segment_id);
            if known.is_none_or(|known| wins(slot.version, known.version)) {
                older.insert(slot);
            }
        }
        entry.span = entry.whole_span();
        self.queue([(tenant, trace_id)]);
    }

    /// Judges a document and, if it is to be written, takes it in.
    pub(crate) fn admit(
        &mut self,
        candidate: &Candidate<'_>,
        counted: Counted,
        limits: Limits,
    ) -> Verdict {
        let key = (candidate.tenant, candidate.trace_id);
        let entry = self.traces.entry(key).or_default();
        let segment_id = candidate.head.segment_id;
        let version = Version {
            in_progress: candidate.head.in_progress,
            stamp: candidate.stamp,
        };
        let current = entry.current(segment_id);
        if let Some(current) = current.filter(|current| !current.doubtful) {
            if current.text_hash == candidate.text_hash && current.text_len == candidate.text_len {
                return Verdict::Leave(Outcome::Unchanged);
            }
            if !wins(version, current.version) {
                return Verdict::Leave(Outcome::Superseded);
            }
        } else if current.is_none()
            && limits.trace_bytes_max > 0
            && entry.bytes > limits.trace_bytes_max
        {
            return Verdict::Leave(Outcome::TraceFull);
        }
        let first_stamp = current.map_or(candidate.stamp, |slot| slot.first_stamp);
        if counted == Counted::FirstOfBatch || entry.revision == 0 {
            entry.revision = entry.revision.saturating_add(1);
        }
        let revision = entry.revision;
        let continued = entry.older.is_some();
        let facts = RecordFacts {
            version,
            first_stamp,
            revision,
            continued,
        };
        let replaces = self.insert(candidate, facts);
        Verdict::Write { facts, replaces }
    }

    /// Takes a stored document in again, in any order: a partition has one copy of each.
    pub(crate) fn replay(&mut self, candidate: &Candidate<'_>, record: &Record) {
        let version = Version {
            in_progress: record.in_progress,
            stamp: record.stamp,
        };
        let (first_stamp, revision) = (record.first_stamp, record.revision);
        let continued = record.continued;
        self.insert(
            candidate,
            RecordFacts {
                version,
                first_stamp,
                revision,
                continued,
            },
        );
        if continued {
            self.continued_by_record
                .insert((candidate.tenant, candidate.trace_id));
        }
    }

    /// Returns, once, the traces that records say go on from older partitions.
    pub(crate) fn take_continued_by_record(&mut self) -> Traces {
        std::mem::take(&mut self.continued_by_record)
    }

    /// Returns the stamp of the last document.
    pub(crate) fn last_stamp(&self) -> u64 {
        self.last_stamp
    }

    /// Returns the last stamp anything had when the partition was opened, or a later one of a document.
    pub(crate) fn newest_stamp(&self) -> u64 {
        self.last_stamp.max(self.telemetry_stamp)
    }

    /// Returns the places of a tenant's traces in a window that come after `after`, newest first.
    pub(crate) fn positions(
        &self,
        tenant: Tenant,
        window: &Window,
        after: Option<Position>,
        as_of: u64,
    ) -> Vec<Position> {
        let mut positions: Vec<Position> = self
            .traces
            .iter()
            .filter(|((owner, _), entry)| *owner == tenant && !entry.documents.is_empty())
            .filter(|(_, entry)| {
                entry.first_stamp <= as_of && window.holds(entry.span.start, entry.span.end)
            })
            .map(|((_, trace_id), entry)| Position {
                start: entry.span.start,
                trace_id: *trace_id,
            })
            .filter(|position| after.is_none_or(|after| *position < after))
            .collect();
        positions.sort_unstable_by(|a, b| b.cmp(a));
        positions
    }

    /// Returns the summary of a trace as it is now, from all copies known.
    pub(crate) fn summary(
        &self,
        tenant: Tenant,
        trace_id: TraceId,
    ) -> Option<Result<BlockEntry, Damage>> {
        let entry = self.traces.get(&(tenant, trace_id))?;
        if entry.documents.is_empty() {
            return None;
        }
        Some(entry.summary(trace_id))
    }

    /// Returns a tenant's traces whose last change here has a stamp after one, up to another; in no order.
    pub(crate) fn changed_within(
        &self,
        tenant: Tenant,
        after: u64,
        until: u64,
    ) -> impl Iterator<Item = Change> + '_ {
        let owned = self
            .traces
            .iter()
            .filter(move |((owner, _), entry)| *owner == tenant && !entry.documents.is_empty());
        let changes = owned.map(|((_, trace_id), entry)| Change {
            stamp: entry.changed,
            trace_id: *trace_id,
        });
        changes.filter(move |change| after < change.stamp && change.stamp <= until)
    }

    /// Returns the tenants that have traces.
    pub(crate) fn tenants(&self) -> BTreeSet<Tenant> {
        self.traces.keys().map(|(tenant, _)| *tenant).collect()
    }

    /// Returns every trace that has documents in this partition.
    pub(crate) fn traces(&self) -> impl Iterator<Item = (Tenant, TraceId)> + '_ {
        let present = self
            .traces
            .iter()
            .filter(|(_, entry)| !entry.documents.is_empty());
        present.map(|(key, _)| *key)
    }

    /// Returns every trace that has documents in this partition and in an older one.
    pub(crate) fn continued(&self) -> impl Iterator<Item = (Tenant, TraceId)> + '_ {
        let continued = |entry: &TraceEntry| !entry.documents.is_empty() && entry.older.is_some();
        self.traces
            .iter()
            .filter(move |(_, entry)| continued(entry))
            .map(|(key, _)| *key)
    }

    /// Tells whether a trace has documents here.
    pub(crate) fn holds(&self, tenant: Tenant, trace_id: TraceId) -> bool {
        let entry = self.traces.get(&(tenant, trace_id));
        entry.is_some_and(|entry| !entry.documents.is_empty())
    }

    /// Tells whether a trace has documents both here and in an older partition.
    pub(crate) fn continues(&self, tenant: Tenant, trace_id: TraceId) -> bool {
        let entry = self.traces.get(&(tenant, trace_id));
        entry.is_some_and(|entry| !entry.documents.is_empty() && entry.older.is_some())
    }

    /// How many traces' contribution to graphs is not known.
    pub(crate) fn n_changed(&self) -> usize {
        self.changed.len()
    }

    /// Returns some traces whose contribution to graphs is not known, those that changed first first; each is returned once.
    pub(crate) fn take_changed(&mut self, n_max: usize) -> Vec<(Tenant, TraceId)> {
        let n_taken = n_max.min(self.changed.len());
        let taken: Vec<(Tenant, TraceId)> = self.changed.drain(..n_taken).collect();
        for key in &taken {
            if let Some(entry) = self.traces.get_mut(key) {
                entry.is_queued = false;
            }
        }
        taken
    }

    /// Returns what a trace's contribution is made from; none if it has no documents here.
    pub(crate) fn parts(&self, tenant: Tenant, trace_id: TraceId) -> Option<Result<Parts, Damage>> {
        let entry = self.traces.get(&(tenant, trace_id))?;
        (!entry.documents.is_empty()).then(|| entry.parts(trace_id))
    }

    /// Keeps a trace's contribution, unless the trace changed since it was derived.
    pub(crate) fn keep(&mut self, refresh: Refresh) {
        let key = (refresh.tenant, refresh.trace_id);
        if let Some(entry) = self.traces.get_mut(&key)
            && entry.changed == refresh.changed
            && !entry.is_queued
        {
            for linked in refresh.contribution.linked() {
                self.followers.add(key, linked);
            }
            entry.kept = Some(Box::new(refresh.contribution.keep(&mut self.interned)));
        }
    }

    /// Lets traces be derived again.
    pub(crate) fn queue(&mut self, traces: impl IntoIterator<Item = (Tenant, TraceId)>) {
        for key in traces {
            if let Some(entry) = self.traces.get_mut(&key)
                && !entry.is_queued
            {
                entry.is_queued = true;
                self.changed.push_back(key);
            }
        }
    }

    /// Returns the heads of all copies known of a trace that has documents here.
    pub(crate) fn heads(
        &self,
        tenant: Tenant,
        trace_id: TraceId,
    ) -> Option<Result<Vec<Head>, Damage>> {
        let entry = self.traces.get(&(tenant, trace_id))?;
        (!entry.documents.is_empty()).then(|| heads_of(entry.all_current()))
    }

    /// Returns the contributions of a tenant's traces.
    pub(crate) fn kept(&self, tenant: Tenant) -> impl Iterator<Item = &Kept> + '_ {
        let entries = self.traces.iter();
        let owned = entries.filter(move |((owner, _), _)| *owner == tenant);
        owned.filter_map(|(_, entry)| entry.kept.as_deref())
    }

    /// Returns the services contributions name by their number.
    pub(crate) fn interned(&self) -> &[Service] {
        self.interned.services()
    }

    /// How many traces have documents here.
    pub(crate) fn n_traces(&self) -> usize {
        self.traces.len()
    }

    /// Puts a copy in its place; tells whether the partition held one before.
    fn insert(&mut self, candidate: &Candidate<'_>, facts: RecordFacts) -> bool {
        let segment_id = candidate.head.segment_id;
        let key = (candidate.tenant, candidate.trace_id);
        self.traces.entry(key).or_default();
        let followers = self.followers.take(candidate.tenant, candidate.trace_id);
        let followers = followers
            .into_iter()
            .map(|follower| (candidate.tenant, follower));
        self.queue(followers.chain([key]));
        let entry = self.traces.entry(key).or_default();
        let slot = Slot {
            segment_id,
            version: facts.version,
            first_stamp: facts.first_stamp,
            text_hash: candidate.text_hash,
            text_len: candidate.text_len,
            span: Span::of(candidate.head),
            doubtful: false,
            head: candidate.head_bytes.into(),
        };
        entry.revision = entry.revision.max(facts.revision);
        entry.changed = entry.changed.max(facts.version.stamp);
        entry.first_stamp = earlier(entry.first_stamp, facts.first_stamp);
        let before = entry.current(segment_id).map(|slot| slot.span);
        let (span, is_new_trace) = (
            slot.span,
            entry.documents.is_empty() && entry.older.is_none(),
        );
        entry.bytes += u64::from(slot.text_len);
        self.document_bytes += u64::from(slot.text_len);
        self.memory += slot.memory();
        self.last_stamp = self.last_stamp.max(facts.version.stamp);
        if is_new_trace {
            self.memory += TRACE_MEMORY;
        }
        let replaced = entry.documents.insert(slot);
        entry.span = match before {
            _ if is_new_trace => span,
            Some(before) if entry.span.rests_on(before, span) => entry.whole_span(),
            _ => entry.span.with(span),
        };
        let Some(replaced) = replaced else {
            self.n_documents += 1;
            return false;
        };
        self.memory = self.memory.saturating_sub(replaced.memory());
        entry.bytes = entry.bytes.saturating_sub(u64::from(replaced.text_len));
        true
    }
}

/// The earlier of two stamps, where 0 is none.
fn earlier(known: u64, stamp: u64) -> u64 {
    if known == 0 { stamp } else { known.min(stamp) }
}

/// What a trace takes beside its copies: its place in the map, of which a third is empty.
const TRACE_MEMORY: usize = 3 * size_of::<((Tenant, TraceId), TraceEntry)>() / 2;

/// Limits the index holds documents to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    /// Further documents of a trace with more bytes than this are refused; 0 for no limit.
    pub(crate) trace_bytes_max: u64,
}

/// Whether a change counts as a revision of its trace: a batch counts once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// The first change of the trace in this batch.
    FirstOfBatch,
    /// A further one.
    Already,
}

/// Hash by which repeats of a document are recognised.
pub(crate) fn text_hash(text: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}
