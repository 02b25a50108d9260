//! A store in memory: the contract in its plainest form, for tests of what is built on a store.
//!
//! It passes the same contract suite as the real one and keeps nothing: feature `memory`, a test aid.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::graph::{LinkSource, Sign};
use model::{Cells, Derived, Document, Head, SegmentId, Summary, Tenant, Timestamp, TraceId, wins};

use crate::{
    ALL_TRACES, Classify, GraphScan, Judgement, NewDocument, Outcome, Position, Scan, ScanEffort,
    ScanPage, StoreError, StoredTrace, TraceStore, minute_of,
};

/// A store that forgets everything when it is dropped. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    classify: Option<Arc<dyn Classify>>,
    traces: BTreeMap<(Tenant, TraceId), Trace>,
    newest_stamp: u64,
}

#[derive(Default)]
struct Trace {
    documents: HashMap<SegmentId, (Document, Head)>,
    revision: u32,
}

impl MemoryStore {
    /// Sets what tells the groups of traces.
    pub fn classify_by(&self, classify: Arc<dyn Classify>) {
        self.state().classify = Some(classify);
    }

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

    async fn graph(
        &self,
        tenant: Tenant,
        scan: GraphScan,
    ) -> Result<BTreeMap<u32, Cells>, StoreError> {
        Ok(self.state().graph(tenant, &scan))
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
            effort: ScanEffort::default(),
        };
        let mut places = places.into_iter().peekable();
        while let Some((place, summary)) = places.next() {
            page.n_scanned += 1;
            if state.is_kept(tenant, &scan, &summary) {
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

    async fn summaries_of(
        &self,
        tenant: Tenant,
        trace_ids: Vec<TraceId>,
    ) -> Result<Vec<Summary>, StoreError> {
        let state = self.state();
        let found = trace_ids.into_iter().filter_map(|trace_id| {
            let trace = state.traces.get(&(tenant, trace_id))?;
            Some(trace.summary(trace_id))
        });
        Ok(found.collect())
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
    fn is_kept(&self, tenant: Tenant, scan: &Scan, summary: &Summary) -> bool {
        match scan.filter.judge(summary) {
            Judgement::Keep => true,
            Judgement::Skip => false,
            Judgement::ReadDocuments => {
                let trace = self.traces.get(&(tenant, summary.trace_id));
                let copies = trace.map(Trace::copies).unwrap_or_default();
                scan.filter.judge_documents(summary, &copies)
            }
        }
    }

    /// Adds up every trace, each time anew.
    fn graph(&self, tenant: Tenant, scan: &GraphScan) -> BTreeMap<u32, Cells> {
        let mut sums: BTreeMap<u32, Cells> = BTreeMap::new();
        let owned = self
            .traces
            .iter()
            .filter(|((owner, _), _)| *owner == tenant);
        for ((_, trace_id), trace) in owned {
            let Derived { summary, graph } = Derived::of(*trace_id, &trace.heads(), trace.revision);
            let groups = self.classify.as_ref().map(|classify| {
                let stamp = trace.first_stamp();
                classify.groups(tenant, stamp, &summary, &mut || trace.copies())
            });
            if scan.group != ALL_TRACES && !groups.unwrap_or_default().contains(&scan.group) {
                continue;
            }
            let bucket_of = |start: Timestamp| scan.bucket_of(minute_of(start));
            let service = |idx: u16| summary.services.get(usize::from(idx));
            for request in &graph.requests {
                if let (Some(bucket), Some(service)) =
                    (bucket_of(request.start), service(request.service))
                {
                    let cells = sums.entry(bucket).or_default();
                    cells.add_request(service, request, Sign::Plus);
                }
            }
            for edge in &graph.edges {
                let alias = edge
                    .alias
                    .and_then(|idx| graph.aliases.get(usize::from(idx)));
                let ends = service(edge.from).zip(service(edge.to));
                if let (Some(bucket), Some((from, to))) = (bucket_of(edge.start), ends) {
                    let cells = sums.entry(bucket).or_default();
                    cells.add_edge(from, to, edge, alias, Sign::Plus);
                }
            }
            for link in &graph.links {
                let other = self.traces.get(&(tenant, link.trace_id));
                let source = other.and_then(|other| {
                    let found = LinkSource::find_all(&other.heads(), &[link.id]);
                    found.into_iter().next()?
                });
                let request = graph.requests.get(link.request);
                let to = request.and_then(|request| service(request.service));
                if let (Some(source), Some(request), Some(to)) = (source, request, to)
                    && let Some(bucket) = bucket_of(request.start)
                {
                    let cells = sums.entry(bucket).or_default();
                    cells.add_link(&source, to, request, Sign::Plus);
                }
            }
        }
        sums
    }

    fn take(&mut self, tenant: Tenant, new: NewDocument, now: Timestamp) -> Outcome {
        let stamp = (now.as_nanos() / 1_000).max(self.newest_stamp + 1);
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
        self.newest_stamp = stamp;
        trace
            .documents
            .insert(document.segment_id, (document, new.head));
        Outcome::Stored
    }
}

impl Trace {
    fn summary(&self, trace_id: TraceId) -> Summary {
        Summary::of(trace_id, &self.heads(), self.revision)
    }

    fn heads(&self) -> Vec<Head> {
        let documents = self.documents.values();
        documents.map(|(_, head)| head.clone()).collect()
    }

    fn copies(&self) -> Vec<Document> {
        let documents = self.documents.values();
        documents.map(|(document, _)| document.clone()).collect()
    }

    fn first_stamp(&self) -> u64 {
        self.documents
            .values()
            .map(|(document, _)| document.first_stamp)
            .min()
            .unwrap_or(0)
    }
}
