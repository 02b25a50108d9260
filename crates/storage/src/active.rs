//! A partition that takes writes, or did until a moment ago and is being sealed.

mod rebuild;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use model::{Head, Tenant, Timestamp, TraceId};

use crate::changes::Change;
use crate::dictionary::Dictionaries;
use crate::engine::{Engine, EngineError, Tree};
use crate::index::{Candidate, Counted, Index, Limits, Verdict, text_hash};
use crate::keys;
use crate::partitions::{Handle, Opened};
use crate::record::Record;
use crate::{NewDocument, Outcome};

/// A partition whose index is in memory.
pub(crate) struct Active {
    /// Its number.
    pub(crate) number: u32,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// Its files.
    pub(crate) handle: Arc<Handle>,
    /// Its index.
    pub(crate) index: RwLock<Index>,
    /// Held while contributions to graphs are derived.
    pub(crate) refreshing: Mutex<()>,
    poisoned: AtomicBool,
    /// It was poisoned once, now or before a restart: what it holds may be in memory only.
    doubtful: AtomicBool,
}

/// A document ready to be written: compressed, not yet stamped, its text let go.
pub(crate) struct Encoded {
    pub(crate) trace_id: TraceId,
    pub(crate) head: Head,
    pub(crate) head_bytes: Vec<u8>,
    pub(crate) text_hash: u64,
    pub(crate) record: Record,
}

/// A document a group has decided to write.
pub(crate) struct Write {
    record: Record,
    key: [u8; 28],
    /// Whether the partition held a copy before.
    replaces: bool,
}

impl Write {
    /// Returns the change it is, and whose.
    pub(crate) fn change(&self) -> Option<(Tenant, Change)> {
        let (tenant, trace_id, _) = keys::read_segment(&self.key)?;
        let stamp = self.record.stamp;
        Some((tenant, Change { stamp, trace_id }))
    }
}

impl Active {
    /// Returns the partition in `dir`, empty in memory.
    pub(crate) fn new(number: u32, created: Timestamp, handle: Arc<Handle>) -> Arc<Self> {
        let index = RwLock::default();
        Arc::new(Self {
            number,
            created,
            handle,
            index,
            refreshing: Mutex::default(),
            poisoned: AtomicBool::new(false),
            doubtful: AtomicBool::new(false),
        })
    }

    /// Opens a partition and rebuilds its index from its documents.
    pub(crate) fn open(
        number: u32,
        created: Timestamp,
        handle: Arc<Handle>,
        dictionaries: &Dictionaries,
    ) -> Result<Arc<Self>, EngineError> {
        let active = Self::new(number, created, handle);
        active.rebuild(dictionaries)?;
        Ok(active)
    }

    /// Reads the partition's documents into a new index, opening its files again if they were closed.
    pub(crate) fn rebuild(&self, dictionaries: &Dictionaries) -> Result<(), EngineError> {
        let index = self
            .handle
            .with(|opened| rebuild::index_of(opened, dictionaries))?;
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
        Ok(())
    }

    /// Decides on one document and takes it into the index.
    pub(crate) fn admit(
        index: &mut Index,
        tenant: Tenant,
        encoded: Encoded,
        stamp: u64,
        counted: Counted,
        limits: Limits,
        writes: &mut Vec<Write>,
    ) -> Outcome {
        let Encoded {
            trace_id,
            head,
            head_bytes,
            text_hash,
            record,
        } = encoded;
        let candidate = Candidate {
            tenant,
            trace_id,
            head: &head,
            head_bytes: &head_bytes,
            text_hash,
            text_len: record.raw_len,
            stamp,
        };
        match index.admit(&candidate, counted, limits) {
            Verdict::Leave(outcome) => outcome,
            Verdict::Write { facts, replaces } => {
                let key = keys::segment(tenant, trace_id, head.segment_id);
                let record = Record {
                    in_progress: facts.version.in_progress,
                    stamp: facts.version.stamp,
                    first_stamp: facts.first_stamp,
                    revision: facts.revision,
                    continued: facts.continued,
                    ..record
                };
                writes.push(Write {
                    record,
                    key,
                    replaces,
                });
                Outcome::Stored
            }
        }
    }

    /// Writes what a group decided on.
    pub(crate) fn write(&self, writes: Vec<Write>) -> Result<(), EngineError> {
        self.handle.with(|opened| {
            for Write {
                record,
                key,
                replaces,
            } in writes
            {
                if replaces {
                    opened.replace(Tree::Segments, &key, record)?;
                } else {
                    opened.put(Tree::Segments, &key, record)?;
                }
            }
            Ok(())
        })
    }

    /// Makes everything written so far durable.
    pub(crate) fn sync(&self) -> Result<(), EngineError> {
        self.handle.with(Opened::sync)
    }

    /// Lets traces be derived again that may have been while their documents were not written yet.
    pub(crate) fn written(&self, traces: impl IntoIterator<Item = (Tenant, TraceId)>) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.queue(traces);
    }

    /// Refuses further writes: what was written since the last sync may not be believed.
    pub(crate) fn poison(&self) {
        self.doubtful.store(true, Ordering::Release);
        self.poisoned.store(true, Ordering::Release);
    }

    /// Takes note that the partition was poisoned before a restart.
    pub(crate) fn doubt(&self) {
        self.doubtful.store(true, Ordering::Release);
    }

    /// Tells whether the partition was ever poisoned.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.doubtful.load(Ordering::Acquire)
    }

    /// Tells whether the partition was poisoned.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// Closes and opens the files of a poisoned partition again and reads what is truly there.
    pub(crate) fn recover(&self, dictionaries: &Dictionaries) -> Result<(), EngineError> {
        self.handle.close();
        self.rebuild(dictionaries)?;
        self.poisoned.store(false, Ordering::Release);
        Ok(())
    }
}

/// Compresses a document and encodes its head, on the caller's thread.
pub(crate) fn encode_document(document: NewDocument, dictionaries: &Dictionaries) -> Encoded {
    let raw = document.text.as_bytes();
    let compressed = crate::codec::compress(raw, dictionaries.current().as_ref());
    Encoded {
        trace_id: document.trace_id,
        head_bytes: crate::record::encode(&document.head),
        text_hash: text_hash(&document.text),
        record: Record::of_encoded(compressed, raw.len()),
        head: document.head,
    }
}

/// Where a partition's files are and how they are opened.
pub(crate) fn handle_of(
    engine: &Arc<dyn Engine>,
    partitions_dir: &std::path::Path,
    folder: &str,
    cache_bytes: u64,
) -> Arc<Handle> {
    let dir: PathBuf = partitions_dir.join(folder);
    Arc::new(Handle::new(Arc::clone(engine), dir, cache_bytes))
}
