//! The writer: the only thread that changes partitions that take writes.

use std::collections::HashSet;
use std::mem;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use model::{Tenant, Timestamp, TraceId};

use super::syncer::Group;
use super::{Answer, Batch, Chore, Job, Telemetry, Waiting, answer_all, count};
use crate::active::{Active, Write};
use crate::changes::Change;
use crate::engine::{EngineError, Tree};
use crate::index::{Counted, Index};
use crate::older::Traces;
use crate::open::{Opening, create_partition};
use crate::store::{Durability, Shared};
use crate::{StoreError, keys};

/// The writer's own state.
pub(super) struct Writer {
    shared: Arc<Shared>,
    syncer: Sender<Group>,
    keeper: Sender<Chore>,
    /// When a fresh partition was last tried for, after a failure.
    last_attempt: Timestamp,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, syncer: Sender<Group>, keeper: Sender<Chore>) -> Self {
        Self {
            shared,
            syncer,
            keeper,
            last_attempt: Timestamp::ZERO,
        }
    }

    /// Works until every sender of jobs is gone.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            let mut batches = Vec::new();
            let mut n_bytes = 0;
            let mut next = Some(job);
            while let Some(job) = next {
                match job {
                    Job::Batch(batch) => {
                        n_bytes += batch.n_bytes();
                        batches.push(batch);
                    }
                    Job::Telemetry(telemetry, answer) => self.telemetry(&telemetry, answer),
                    Job::Tick(now) => self.tick(now),
                    Job::Roll(now, answer) => {
                        // Who asked may have gone.
                        let _ = answer.send(self.roll(now));
                    }
                }
                next = if n_bytes < GROUP_BYTES_MAX {
                    jobs.try_recv().ok()
                } else {
                    None
                };
            }
            if !batches.is_empty() {
                self.group(batches);
            }
        }
    }

    /// Inserts one group of batches and hands its callers to the syncer.
    fn group(&mut self, batches: Vec<Batch>) {
        let now = batches
            .iter()
            .map(|batch| batch.now)
            .max()
            .unwrap_or_default();
        let active = match self.writable(now) {
            Ok(active) => active,
            Err(error) => {
                let waiting = batches
                    .into_iter()
                    .map(|batch| batch.waiting(Vec::new()))
                    .collect();
                return answer_all(waiting, Some(&error));
            }
        };
        if let Err(error) = self.note_older(&active, &batches) {
            // Not knowing the older copies only makes summaries of these traces less complete.
            tracing::warn!(%error, "cannot look for traces in older partitions");
        }
        let mut writes = Vec::new();
        let waiting = self.admit(&active, batches, &mut writes);
        let changes: Vec<(Tenant, Change)> = writes.iter().filter_map(Write::change).collect();
        let written = active.write(writes);
        // Groups are told from what is written, and a graph may have been asked for just before.
        let traces = changes.iter().map(|(tenant, of)| (*tenant, of.trace_id));
        active.written(traces);
        count(&self.shared.counters.n_commits, 1);
        self.conclude(active, waiting, changes, written);
    }

    /// Decides on every document of a group, in order of arrival.
    fn admit(
        &mut self,
        active: &Active,
        batches: Vec<Batch>,
        writes: &mut Vec<Write>,
    ) -> Vec<Waiting> {
        let limits = self.shared.limits();
        let mut index = active.index.write().unwrap_or_else(PoisonError::into_inner);
        let mut waiting = Vec::with_capacity(batches.len());
        for mut batch in batches {
            let mut changed = HashSet::new();
            let mut outcomes = Vec::with_capacity(batch.documents.len());
            for encoded in mem::take(&mut batch.documents) {
                let trace_id = encoded.trace_id;
                let stamp = self.next_stamp(batch.now);
                let counted = if changed.contains(&trace_id) {
                    Counted::Already
                } else {
                    Counted::FirstOfBatch
                };
                let outcome = Active::admit(
                    &mut index,
                    batch.tenant,
                    encoded,
                    stamp,
                    counted,
                    limits,
                    writes,
                );
                if outcome == crate::Outcome::Stored {
                    changed.insert(trace_id);
                    self.use_up(stamp);
                }
                outcomes.push(outcome);
            }
            waiting.push(batch.waiting(outcomes));
        }
        waiting
    }

    /// Looks up, for traces new to the active partition, what older partitions have of them.
    fn note_older(&self, active: &Active, batches: &[Batch]) -> Result<(), EngineError> {
        let new_traces: Traces = {
            let index = active.index.read().unwrap_or_else(PoisonError::into_inner);
            let all = batches.iter().flat_map(Batch::traces);
            all.filter(|(tenant, trace_id)| !index.knows(*tenant, *trace_id))
                .collect()
        };
        self.shared.note_older(active, &new_traces)
    }

    /// Inserts telemetry records.
    fn telemetry(&mut self, telemetry: &Telemetry, answer: tokio::sync::oneshot::Sender<Answer>) {
        let waiting = vec![Waiting {
            answer,
            outcomes: Vec::new(),
            _room: None,
        }];
        let active = match self.writable(telemetry.now) {
            Ok(active) => active,
            Err(error) => return answer_all(waiting, Some(&error)),
        };
        let mut stamps = Vec::with_capacity(telemetry.records.len());
        for _ in &telemetry.records {
            let stamp = self.next_stamp(telemetry.now);
            self.use_up(stamp);
            stamps.push(stamp);
        }
        let written = active.handle.with(|opened| {
            for (record, stamp) in telemetry.records.iter().zip(stamps) {
                let key = keys::telemetry(telemetry.tenant, stamp);
                let record = crate::record::Record::of_payload(record);
                opened.put(Tree::Telemetry, &key, record)?;
            }
            Ok(())
        });
        self.conclude(active, waiting, Vec::new(), written);
    }

    /// Passes a written group on; poisons the partition if writing failed.
    fn conclude(
        &self,
        active: Arc<Active>,
        waiting: Vec<Waiting>,
        changes: Vec<(Tenant, Change)>,
        written: Result<(), EngineError>,
    ) {
        if let Err(error) = written {
            tracing::error!(partition = active.number, %error, "writing failed, partition poisoned");
            active.poison();
            let error = StoreError::Unavailable {
                reason: error.to_string(),
            };
            return answer_all(waiting, Some(&error));
        }
        let waiting = match self.shared.config.durability {
            Durability::Sync => waiting,
            Durability::Interval(_) => {
                answer_all(waiting, None);
                Vec::new()
            }
        };
        let group = Group {
            active,
            waiting,
            changes,
            last_stamp: self.shared.newest_stamp.load(Ordering::Relaxed),
        };
        // The syncer ends only after the writer.
        let _ = self.syncer.send(group);
    }

    /// Returns the partition to write to, a fresh one if the last is full, old or poisoned.
    fn writable(&mut self, now: Timestamp) -> Result<Arc<Active>, StoreError> {
        self.shared.check_free_disk()?;
        let active = Arc::clone(&self.shared.partitions().active);
        if active.is_poisoned() {
            if now.since(self.last_attempt) < ATTEMPT_PAUSE {
                let reason = "its partition failed and a fresh one is not made yet".to_owned();
                return Err(StoreError::Unavailable { reason });
            }
            self.last_attempt = now;
            return self.rotate(now);
        }
        let is_due = {
            let index = active.index.read().unwrap_or_else(PoisonError::into_inner);
            is_due(&self.shared, &index, now.since(active.created))
        };
        if !is_due {
            return Ok(active);
        }
        self.await_sealing()?;
        self.rotate(now)
    }

    /// Waits until one more partition may wait to be sealed: writes must not outrun what frees the memory they take.
    ///
    /// What is queued meanwhile keeps its room, so that further calls are throttled; only if sealing does not get on for
    /// long, what is queued is, too.
    fn await_sealing(&self) -> Result<(), StoreError> {
        let wait = self.shared.config.queue_wait * WAITS_FOR_SEALING;
        if self.shared.backlog.wait(&self.shared, wait) {
            return Ok(());
        }
        let waited_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Err(StoreError::Busy { waited_ms })
    }

    /// Seals the active partition if it is due although nobody writes.
    fn tick(&mut self, now: Timestamp) {
        if let Err(error) = self.writable(now) {
            tracing::warn!(%error, "the store takes no writes");
        }
    }

    /// Begins a fresh partition unless the active one is empty; returns the number of the last one before it.
    fn roll(&mut self, now: Timestamp) -> Result<u32, StoreError> {
        let active = self.writable(now)?;
        let n_documents = {
            let index = active.index.read().unwrap_or_else(PoisonError::into_inner);
            index.n_documents
        };
        let telemetry = active
            .handle
            .with(|opened| opened.engine().last_key(Tree::Telemetry));
        let telemetry = telemetry.map_err(|error| StoreError::Read {
            reason: error.to_string(),
        })?;
        if n_documents > 0 || telemetry.is_some() {
            self.await_sealing()?;
            self.rotate(now)?;
            return Ok(active.number);
        }
        Ok(active.number.saturating_sub(1))
    }

    /// Puts a fresh partition in the place of the active one, which goes to the keeper.
    fn rotate(&mut self, now: Timestamp) -> Result<Arc<Active>, StoreError> {
        let unavailable = |detail: String| StoreError::Unavailable {
            reason: format!("a fresh partition cannot be made: {detail}"),
        };
        let fresh = {
            let mut manifest = self.shared.lock_manifest();
            let mut next = manifest.clone();
            let full = &self.shared.partitions().active;
            for entry in &mut next.partitions {
                entry.doubtful |= entry.number == full.number && full.is_doubtful();
            }
            let opening = Opening {
                engine: &self.shared.engine,
                config: &self.shared.config,
                dictionaries: &self.shared.dictionaries,
            };
            let fresh = create_partition(&opening, &mut next, now)
                .map_err(|error| unavailable(error.to_string()))?;
            self.shared
                .write_manifest(&next)
                .map_err(|error| unavailable(error.to_string()))?;
            *manifest = next;
            fresh
        };
        self.shared.change_partitions(|partitions| {
            let full = mem::replace(&mut partitions.active, Arc::clone(&fresh));
            partitions.sealing.push(full);
        });
        tracing::info!(partition = fresh.number, "began a partition");
        // The keeper ends only after the writer.
        let _ = self.keeper.send(Chore::Keep(now));
        Ok(fresh)
    }

    /// Returns a stamp after every one that is used up: the time of arrival, or the last one plus one.
    fn next_stamp(&self, now: Timestamp) -> u64 {
        let now_us = now.as_nanos() / 1_000;
        let newest = self.shared.newest_stamp.load(Ordering::Relaxed);
        now_us.max(newest.saturating_add(1))
    }

    /// Takes note that something is written under a stamp. What is not written uses up none: a store that is opened
    /// again knows those that are on disk, and must give none twice.
    fn use_up(&self, stamp: u64) {
        self.shared.newest_stamp.store(stamp, Ordering::Release);
    }
}

impl Batch {
    /// Returns the bytes of the documents' texts.
    fn n_bytes(&self) -> u64 {
        let lengths = self.documents.iter().map(|encoded| encoded.record.raw_len);
        lengths.map(u64::from).sum()
    }

    fn traces(&self) -> impl Iterator<Item = (Tenant, TraceId)> + '_ {
        self.documents
            .iter()
            .map(|encoded| (self.tenant, encoded.trace_id))
    }

    fn waiting(self, outcomes: Vec<crate::Outcome>) -> Waiting {
        Waiting {
            answer: self.answer,
            outcomes,
            _room: Some(self.room),
        }
    }
}

/// Tells whether a partition has taken enough.
fn is_due(shared: &Shared, index: &Index, age: Duration) -> bool {
    let config = &shared.config;
    let bytes_max = config
        .partition_bytes
        .min(config.disk_bytes_max / PARTITIONS_PER_DISK);
    let is_full = index.document_bytes >= bytes_max || index.memory >= INDEX_BYTES_MAX;
    let age_max = config
        .partition_age
        .min(config.retention / PARTITIONS_PER_RETENTION);
    let is_old = index.n_documents > 0 && age >= age_max;
    is_full || is_old
}

/// Documents' bytes after which a group is written although more is waiting.
const GROUP_BYTES_MAX: u64 = 4 << 20;
/// Memory of the index after which a partition is sealed.
const INDEX_BYTES_MAX: usize = 64 << 20;
/// The disk limit is at least so many partitions, so that dropping one keeps close to it.
const PARTITIONS_PER_DISK: u64 = 8;
/// A short retention cuts partitions to fit, since only whole ones can go.
const PARTITIONS_PER_RETENTION: u32 = 8;
/// How many times as long as a call for room the writer waits for a partition to be sealed.
const WAITS_FOR_SEALING: u32 = 10;
/// How long to leave a failing disk alone.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(500);
