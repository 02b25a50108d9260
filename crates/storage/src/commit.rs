//! The one door for writes: how batches become durable.
//!
//! Three threads do the work, so that each has one thing to wait for:
//!
//! 1. the *writer* takes all batches that are waiting, decides with the index what becomes of each
//!    document, and inserts the group into the partition;
//! 2. the *syncer* flushes once for all groups inserted meanwhile and only then answers their callers;
//! 3. the *keeper* seals partitions, enforces retention and trains a dictionary, beside the traffic.
//!
//! A failure poisons the partition: its callers get an error, nothing further is acknowledged from
//! it, and the writer goes on with a fresh partition as soon as one can be made. A failed flush is
//! never tried again on the same file, since the kernel may have dropped what it could not write.

mod backlog;
mod keeper;
mod syncer;
mod writer;

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use model::{Tenant, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

pub(crate) use backlog::Backlog;

use crate::active::{Encoded, encode_document};
use crate::store::Shared;
use crate::{NewDocument, Outcome, StoreError};

/// The store's threads and the way to them.
pub(crate) struct Committer {
    writer: RwLock<Option<Sender<Job>>>,
    keeper: RwLock<Option<Sender<Chore>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Telemetry records on their way in.
pub(crate) struct Telemetry {
    pub(crate) tenant: Tenant,
    pub(crate) records: Vec<Vec<u8>>,
    pub(crate) now: Timestamp,
}

/// Work for the writer.
enum Job {
    Batch(Batch),
    Telemetry(Telemetry, oneshot::Sender<Answer>),
    Tick(Timestamp),
    /// Begin a fresh partition, if the one that takes writes has anything; answered with the last number of those that
    /// hold what was acknowledged before.
    Roll(Timestamp, oneshot::Sender<Result<u32, StoreError>>),
}

/// One put.
struct Batch {
    tenant: Tenant,
    documents: Vec<Encoded>,
    now: Timestamp,
    answer: oneshot::Sender<Answer>,
    /// The room it takes, given back when it is answered.
    room: OwnedSemaphorePermit,
}

/// What a put returns.
type Answer = Result<Vec<Outcome>, StoreError>;

/// A caller waiting for its documents to be durable.
struct Waiting {
    answer: oneshot::Sender<Answer>,
    outcomes: Vec<Outcome>,
    _room: Option<OwnedSemaphorePermit>,
}

/// Work for the keeper.
enum Chore {
    /// Seal what waits to be sealed, then enforce retention.
    Keep(Timestamp),
    /// Train a dictionary on the samples.
    Train,
}

impl Committer {
    /// Starts the threads.
    pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let (to_writer, jobs) = mpsc::channel();
        let (to_syncer, groups) = mpsc::channel();
        let (to_keeper, chores) = mpsc::channel();
        let writer = writer::Writer::new(Arc::clone(shared), to_syncer, to_keeper.clone());
        let syncer = Arc::clone(shared);
        let keeper = Arc::clone(shared);
        let threads = vec![
            spawn("writer", move || writer.run(&jobs))?,
            spawn("syncer", move || syncer::run(&syncer, &groups))?,
            spawn("keeper", move || keeper::run(&keeper, &chores))?,
        ];
        Ok(Self {
            writer: RwLock::new(Some(to_writer)),
            keeper: RwLock::new(Some(to_keeper)),
            threads: Mutex::new(threads),
        })
    }

    /// Waits for room, encodes the batch, hands it to the writer and waits until it is durable.
    pub(crate) async fn put(
        &self,
        shared: &Arc<Shared>,
        tenant: Tenant,
        batch: Vec<NewDocument>,
        now: Timestamp,
    ) -> Answer {
        let n_bytes: usize = batch.iter().map(|document| document.text.len()).sum();
        let room = room_for(shared, n_bytes).await?;
        let documents = if n_bytes > INLINE_ENCODE_BYTES {
            let encoding = Arc::clone(shared);
            let encoded = tokio::task::spawn_blocking(move || encode_batch(&encoding, batch)).await;
            encoded.map_err(|error| StoreError::Unavailable {
                reason: error.to_string(),
            })?
        } else {
            encode_batch(shared, batch)
        };
        if documents
            .iter()
            .any(|(_, samples_suffice)| *samples_suffice)
        {
            self.chore(Chore::Train);
        }
        let documents = documents.into_iter().map(|(encoded, _)| encoded).collect();
        let (answer, answered) = oneshot::channel();
        self.job(Job::Batch(Batch {
            tenant,
            documents,
            now,
            answer,
            room,
        }))?;
        answered.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Hands telemetry records to the writer and waits until they are durable.
    pub(crate) async fn put_telemetry(
        &self,
        shared: &Arc<Shared>,
        telemetry: Telemetry,
    ) -> Result<(), StoreError> {
        let n_bytes = telemetry.records.iter().map(Vec::len).sum();
        let _room = room_for(shared, n_bytes).await?;
        let (answer, answered) = oneshot::channel();
        self.job(Job::Telemetry(telemetry, answer))?;
        answered.await.unwrap_or(Err(StoreError::Closed)).map(drop)
    }

    /// Has a fresh partition begun, and returns the last number of those that hold what was acknowledged before. Blocks.
    pub(crate) fn roll(&self, now: Timestamp) -> Result<u32, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.job(Job::Roll(now, answer))?;
        answered.blocking_recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Lets the threads do what time asks for.
    pub(crate) fn tick(&self, now: Timestamp) {
        // A closed store needs no upkeep.
        let _ = self.job(Job::Tick(now));
        self.chore(Chore::Keep(now));
    }

    /// Tells whether all threads work.
    pub(crate) fn is_alive(&self) -> bool {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        !threads.is_empty() && !threads.iter().any(JoinHandle::is_finished)
    }

    /// Lets the threads finish what they have and ends them.
    pub(crate) fn close(&self) {
        self.writer
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        self.keeper
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }

    fn job(&self, job: Job) -> Result<(), StoreError> {
        let writer = self.writer.read().unwrap_or_else(PoisonError::into_inner);
        let sent = writer.as_ref().map(|writer| writer.send(job));
        if matches!(sent, Some(Ok(()))) {
            Ok(())
        } else {
            Err(StoreError::Closed)
        }
    }

    fn chore(&self, chore: Chore) {
        let keeper = self.keeper.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(keeper) = keeper.as_ref() {
            // The keeper ends only with the store.
            let _ = keeper.send(chore);
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.close();
    }
}

/// Waits for room among the bytes in flight. A batch larger than all of it takes all of it.
async fn room_for(shared: &Shared, n_bytes: usize) -> Result<OwnedSemaphorePermit, StoreError> {
    let wanted = u32::try_from(n_bytes)
        .unwrap_or(u32::MAX)
        .clamp(1, shared.config.bytes_in_flight);
    let acquiring = Arc::clone(&shared.room).acquire_many_owned(wanted);
    match tokio::time::timeout(shared.config.queue_wait, acquiring).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) => Err(StoreError::Closed),
        Err(_) => {
            let waited_ms = u64::try_from(shared.config.queue_wait.as_millis()).unwrap_or(u64::MAX);
            Err(StoreError::Busy { waited_ms })
        }
    }
}

/// Encodes a batch; says of each document whether there are enough samples to train on with it.
fn encode_batch(shared: &Shared, batch: Vec<NewDocument>) -> Vec<(Encoded, bool)> {
    let encode = |document: NewDocument| {
        let samples_suffice = shared.dictionaries.sample(&document.text);
        (
            encode_document(document, &shared.dictionaries),
            samples_suffice,
        )
    };
    batch.into_iter().map(encode).collect()
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(format!("store-{name}"))
        .spawn(run)
}

/// Tells every caller of a group how it ended.
fn answer_all(waiting: Vec<Waiting>, error: Option<&StoreError>) {
    for caller in waiting {
        let answer = error.map_or(Ok(caller.outcomes), |error| Err(error.clone()));
        // A caller that went away needs no answer.
        let _ = caller.answer.send(answer);
    }
}

/// Counts one more of something.
fn count(counter: &std::sync::atomic::AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// Batches up to this size are encoded on the caller's thread: about half a millisecond of work.
const INLINE_ENCODE_BYTES: usize = 96 << 10;
