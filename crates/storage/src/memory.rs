//! A store in memory: the contract in its plainest form, for tests of what is built on a store.
//!
//! It passes the same contract suite as the real one and keeps nothing: feature `memory`, a test aid.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Document, Head, SegmentId, Summary, Tenant, Timestamp, TraceId, wins};

use crate::{NewDocument, Outcome, Position, Scan, ScanPage, StoreError, StoredTrace, TraceStore};

/// A store that forgets everything when it is dropped. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    traces: BTreeMap<(Tenant, TraceId), Trace>,
    newest_stamp: u64,
}

#[derive(Default)]
struct Trace {
    documents: HashMap<SegmentId, (Document, Head)>,
    revision: u32,
}

impl MemoryStore {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TraceStore for MemoryStore {
    async fn put(
        &self,
        tenant: Tenant,
        batch: Vec<NewDocument>,
        now: Timestamp,
    ) -> Result<Vec<Outcome>, StoreError> {
        let mut state = self.state();
        let mut changed = Vec::new();
        let mut outcomes = Vec::with_capacity(batch.len());
        for document in batch {
            let trace_id = document.trace_id;
            let outcome = state.take(tenant, document, now);
            if outcome == Outcome::Stored {
                changed.push(trace_id);
            }
            outcomes.push(outcome);
        }
        changed.sort_unstable();
        changed.dedup();
        for trace_id in changed {
            state.traces.entry((tenant, trace_id)).or_default().revision += 1;
        }
        Ok(outcomes)
    }

    async fn documents(
        &self,
        tenant: Tenant,
        trace_id: TraceId,
    ) -> Result<StoredTrace, StoreError> {
        let state = self.state();
        let trace = state.traces.get(&(tenant, trace_id));
        let documents = trace.into_iter().flat_map(|trace| trace.documents.values());
        let documents: Vec<Document> = documents.map(|(document, _)| document.clone()).collect();
        let bytes = documents
            .iter()
            .map(|document| document.text.len())
            .sum::<usize>();
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        Ok(StoredTrace {
            documents,
            n_damaged: 0,
            bytes,
        })
    }

    async fn summaries(&self, tenant: Tenant, scan: Scan) -> Result<ScanPage, StoreError> {
        let state = self.state();
        let as_of = scan.as_of.unwrap_or(state.newest_stamp);
        let mut places: Vec<(Position, Summary)> = Vec::new();
        for ((owner, trace_id), trace) in &state.traces {
            let summary = trace.summary(*trace_id);
            let place = Position {
                start: summary.start,
                trace_id: *trace_id,
            };
            let is_wanted = *owner == tenant
                && trace.first_stamp() <= as_of
                && scan.window.holds(summary.start, summary.end)
                && scan.after.is_none_or(|after| place < after);
            if is_wanted {
                places.push((place, summary));
            }
        }
        places.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
        let mut page = ScanPage {
            summaries: Vec::new(),
            n_scanned: 0,
            next: None,
            as_of,
        };
        let mut places = places.into_iter().peekable();
        while let Some((place, summary)) = places.next() {
            page.n_scanned += 1;
            if (scan.keep)(&summary) {
                page.summaries.push(summary);
            }
            let is_full = page.summaries.len() >= scan.n_kept_max;
            if is_full || page.n_scanned >= scan.n_scanned_max {
                page.next = places.peek().map(|_| place);
                break;
            }
        }
        Ok(page)
    }

    fn newest_stamp(&self) -> u64 {
        self.state().newest_stamp
    }

    async fn put_telemetry(
        &self,
        _tenant: Tenant,
        _records: Vec<Vec<u8>>,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        Ok(())
    }
}

impl State {
    fn take(&mut self, tenant: Tenant, new: NewDocument, now: Timestamp) -> Outcome {
        self.newest_stamp = (now.as_nanos() / 1_000).max(self.newest_stamp + 1);
        let stamp = self.newest_stamp;
        let mut document = Document {
            segment_id: new.head.segment_id,
            in_progress: new.head.in_progress,
            stamp,
            first_stamp: stamp,
            text: new.text,
        };
        let trace = self.traces.entry((tenant, new.trace_id)).or_default();
        if let Some((known, _)) = trace.documents.get(&document.segment_id) {
            if known.text == document.text {
                return Outcome::Unchanged;
            }
            if !wins(document.version(), known.version()) {
                return Outcome::Superseded;
            }
            document.first_stamp = known.first_stamp;
        }
        trace
            .documents
            .insert(document.segment_id, (document, new.head));
        Outcome::Stored
    }
}

impl Trace {
    fn summary(&self, trace_id: TraceId) -> Summary {
        let heads: Vec<Head> = self
            .documents
            .values()
            .map(|(_, head)| head.clone())
            .collect();
        Summary::of(trace_id, &heads, self.revision)
    }

    fn first_stamp(&self) -> u64 {
        self.documents
            .values()
            .map(|(document, _)| document.first_stamp)
            .min()
            .unwrap_or(0)
    }
}
