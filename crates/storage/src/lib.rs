//! Where segments live: layout, encoding, durability, partitions, retention and migrations.
//!
//! The secret this crate hides is everything below [`TraceStore`]: that an ordered key-value engine
//! (sled) holds one partition of time each in a folder of its own, what keys and values look like
//! (drawn in `migrations/README.md`), how a group of writes becomes durable, and which guards make
//! the engine trustworthy. It knows documents as text and [`model::Head`]s, and nothing of HTTP,
//! JSON shapes, filters or page tokens. It reads no clock: time is a parameter.
//!
//! Invariants: a put that returned `Ok` is on disk (in durability mode `sync`); every record carries
//! a checksum that is verified on read; sealed partitions never change; keys are built in `keys`
//! and nowhere else.
#![warn(missing_docs)]
#![deny(clippy::little_endian_bytes, clippy::host_endian_bytes)]

mod active;
mod backup;
mod changes;
mod codec;
mod commit;
pub mod control;
mod dictionary;
mod documents;
mod engine;
mod graph;
pub mod guard;
mod index;
mod keys;
mod manifest;
#[cfg(any(test, feature = "memory"))]
pub mod memory;
mod migrations;
mod older;
mod open;
mod partitions;
mod record;
mod retention;
mod scan;
mod seal;
mod sealed;
mod store;
mod verify;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use model::{Cells, Document, Head, Summary, Tenant, Timestamp, TraceId, ZoneFacts};

pub use backup::{Backup, BackupError, RestoreError, Restored, restore};
pub use changes::{Change, Follower, Gap, Taken};
pub use control::{CONTROL_VALUE_BYTES_MAX, ControlKind, ControlRecord, ControlStore, SledControl};
pub use graph::{ALL_TRACES, GraphParts, GraphScan, minute_of};
pub use open::OpenError;
pub use store::{Config, Durability, SledStore, Stats};
pub use verify::{CheckError, CheckReport, PartitionReport, Recall, RecallBy, check, check_deep};

/// A durable home of traces, as ingest and query see it.
///
/// An engine is held to this contract by the suite in `tests/contract.rs`. Calls are cheap to make
/// concurrently; blocking work happens on threads of the engine's own choosing, never on the
/// caller's async worker.
pub trait TraceStore: Send + Sync + 'static {
    /// Stores a batch of documents and tells for each, in order, what became of it.
    ///
    /// `Ok` means every document reported [`Outcome::Stored`] survives the loss of power (in
    /// durability mode `interval`: unless the process or power fails within the interval). The batch is not atomic:
    /// after an `Err` or a crash any part of it may be there. Repeating it is safe: a document
    /// already stored byte for byte is [`Outcome::Unchanged`].
    fn put(
        &self,
        tenant: Tenant,
        batch: Vec<NewDocument>,
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<Outcome>, StoreError>> + Send;

    /// Returns the winning copy of every document of a trace, in no particular order; none for a
    /// trace that is not known. Documents come back byte for byte as they were put.
    fn documents(
        &self,
        tenant: Tenant,
        trace_id: TraceId,
    ) -> impl Future<Output = Result<StoredTrace, StoreError>> + Send;

    /// Returns the next summaries of a window of time, newest start first.
    fn summaries(
        &self,
        tenant: Tenant,
        scan: Scan,
    ) -> impl Future<Output = Result<ScanPage, StoreError>> + Send;

    /// Returns the summaries of some traces, in the order they are asked for, without those that are not known.
    fn summaries_of(
        &self,
        tenant: Tenant,
        trace_ids: Vec<TraceId>,
    ) -> impl Future<Output = Result<Vec<Summary>, StoreError>> + Send;

    /// Returns sums for service graphs by the first minute of each bucket; buckets without any are
    /// left out. Reads no traces, but for those that changed since it was last called.
    fn graph(
        &self,
        tenant: Tenant,
        scan: GraphScan,
    ) -> impl Future<Output = Result<BTreeMap<u32, Cells>, StoreError>> + Send;

    /// Returns the stamp of the newest document put so far: what is put from now on has a later one.
    fn newest_stamp(&self) -> u64;

    /// Stores opaque telemetry records of clients beside the traces, for as long as those are kept.
    /// Durable like [`TraceStore::put`].
    fn put_telemetry(
        &self,
        tenant: Tenant,
        records: Vec<Vec<u8>>,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Tells which groups traces are in.
///
/// The answer must be a function of the arguments alone, for as long as the trace is kept: sums of
/// sealed partitions are corrected by asking again.
pub trait Classify: Send + Sync + 'static {
    /// Returns the numbers of the groups a trace is in, each once and without [`ALL_TRACES`].
    /// `first_stamp` is when its first document arrived, in microseconds since 1970.
    fn groups(
        &self,
        tenant: Tenant,
        first_stamp: u64,
        summary: &Summary,
        documents: &mut dyn FnMut() -> Vec<Document>,
    ) -> Vec<u32>;
}

/// A validated document on its way in.
#[derive(Clone, Debug)]
pub struct NewDocument {
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// Its indexable facts.
    pub head: Head,
    /// The JSON text, stored byte for byte.
    pub text: String,
}

/// What became of one document of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is now the copy readers see.
    Stored,
    /// The same bytes are there already.
    Unchanged,
    /// A copy that beats it is there already (it is in progress, that one is finished).
    Superseded,
    /// The trace has reached its size limit; the document was not stored.
    TraceFull,
}

/// What a store holds of one trace.
#[derive(Clone, Debug, Default)]
pub struct StoredTrace {
    /// The winning copies.
    pub documents: Vec<Document>,
    /// Records that failed their checksum and are left out.
    pub n_damaged: u32,
    /// Bytes of all document texts.
    pub bytes: u64,
}

/// One step of a scan over summaries.
#[derive(Clone)]
pub struct Scan {
    /// Which traces are in the window.
    pub window: Window,
    /// Where the step before ended; nothing to begin at the newest.
    pub after: Option<Position>,
    /// Leaves out traces that first arrived after this stamp; nothing to begin now.
    pub as_of: Option<u64>,
    /// Ends the step once so many summaries are kept.
    pub n_kept_max: usize,
    /// Ends the step once looking at traces has cost so much: 1 for one read from a block of summaries,
    /// 4 for a recent one put together in memory, 25 and more for one whose documents are read, 2,000 for a
    /// partition the scan comes to.
    pub n_scanned_max: u64,
    /// Which of the traces in the window to keep.
    pub filter: Arc<dyn TraceFilter>,
}

/// Which traces a scan keeps: what a zone denies is passed over, what a summary cannot tell the
/// documents do.
pub trait TraceFilter: Send + Sync {
    /// Tells whether a block with these facts may have a trace to keep; cheap, and never wrongly no.
    fn may_match(&self, zone: &ZoneFacts) -> bool;

    /// Judges a trace by its summary.
    fn judge(&self, summary: &Summary) -> Judgement;

    /// Tells whether to keep a trace whose summary did not tell. Called only after
    /// [`Judgement::ReadDocuments`], with the winning copies of all its documents.
    fn judge_documents(&self, summary: &Summary, documents: &[Document]) -> bool;
}

/// A filter that goes by summaries alone.
impl<F: Fn(&Summary) -> bool + Send + Sync> TraceFilter for F {
    fn may_match(&self, _zone: &ZoneFacts) -> bool {
        true
    }

    fn judge(&self, summary: &Summary) -> Judgement {
        if self(summary) {
            Judgement::Keep
        } else {
            Judgement::Skip
        }
    }

    fn judge_documents(&self, summary: &Summary, _documents: &[Document]) -> bool {
        self(summary)
    }
}

/// What a summary tells of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is kept.
    Keep,
    /// It is not.
    Skip,
    /// The summary is not enough.
    ReadDocuments,
}

/// A half-open window of time `[from, to)` and what of a trace must lie in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Which time of a trace counts.
    pub by: WindowBy,
    /// First instant inside.
    pub from: Timestamp,
    /// First instant after.
    pub to: Timestamp,
}

/// Which time of a trace a window is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowBy {
    /// The trace's start.
    Start,
    /// Any instant from the trace's start to its end.
    Activity,
    /// The trace's end.
    End,
}

/// A place in the order of a scan: start, then trace id, both descending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Start of the trace.
    pub start: Timestamp,
    /// The trace.
    pub trace_id: TraceId,
}

/// What one step of a scan found.
#[derive(Clone, Debug)]
pub struct ScanPage {
    /// The summaries kept, newest first.
    pub summaries: Vec<Summary>,
    /// How many traces in the window were looked at.
    pub n_scanned: u64,
    /// Where to go on; nothing when the scan is complete.
    pub next: Option<Position>,
    /// The stamp to pass on to the next step.
    pub as_of: u64,
    /// What the step read.
    pub effort: ScanEffort,
}

/// What a step of a scan read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanEffort {
    /// Blocks of summaries that were read.
    pub n_blocks_read: u64,
    /// Blocks that their zones let the scan pass over.
    pub n_blocks_passed: u64,
    /// Traces whose documents were read.
    pub n_traces_read: u64,
}

/// Why a call of a store failed. Nothing of it is acknowledged.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Too many bytes are waiting to be written and stayed so for the configured wait.
    #[error("writes are queued up: {waited_ms} ms passed without room")]
    Busy {
        /// How long the call waited, in milliseconds.
        waited_ms: u64,
    },
    /// The disk has less free space than must stay free.
    #[error("the disk is full: {free_bytes} bytes are free and {needed_bytes} must stay free")]
    DiskFull {
        /// Bytes free on the file system.
        free_bytes: u64,
        /// Bytes that must stay free.
        needed_bytes: u64,
    },
    /// The engine failed; the store refuses writes until it has a partition it can trust again.
    #[error("the store takes no writes: {reason}")]
    Unavailable {
        /// What happened, for the log.
        reason: String,
    },
    /// A record is larger than any that can be stored.
    #[error("a record of {n_bytes} bytes is too large: at most {n_bytes_max} are taken")]
    TooLarge {
        /// Length of its content.
        n_bytes: usize,
        /// The most that is taken.
        n_bytes_max: usize,
    },
    /// Reading failed.
    #[error("reading the store: {reason}")]
    Read {
        /// What happened, for the log.
        reason: String,
    },
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
}

impl Window {
    /// Tells whether a trace with this start and end is in the window.
    pub fn holds(&self, start: Timestamp, end: Timestamp) -> bool {
        let inside = |instant: Timestamp| self.from <= instant && instant < self.to;
        match self.by {
            WindowBy::Start => inside(start),
            WindowBy::End => inside(end),
            WindowBy::Activity => start < self.to && end >= self.from,
        }
    }

    /// Tells whether some trace may be in the window, given the extremes of many.
    pub(crate) fn may_hold(
        &self,
        starts: (Timestamp, Timestamp),
        ends: (Timestamp, Timestamp),
    ) -> bool {
        let overlaps = |(min, max): (Timestamp, Timestamp)| min < self.to && max >= self.from;
        match self.by {
            WindowBy::Start => overlaps(starts),
            WindowBy::End => overlaps(ends),
            WindowBy::Activity => starts.0 < self.to && ends.1 >= self.from,
        }
    }
}
