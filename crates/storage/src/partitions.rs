//! One partition as the store uses it: an engine behind a handle, and values of any size.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use model::{Document, DocumentLimits, Head, Segment, SegmentId, Tenant, TraceId};

use crate::dictionary::Dictionaries;
use crate::engine::{Engine, EngineError, Partition, Tree, VALUE_BYTES_MAX};
use crate::keys;
use crate::record::{Body, ChunkedBody, Damage, Record};

/// A partition that is opened when needed and can be closed while nobody uses it.
pub(crate) struct Handle {
    engine: Arc<dyn Engine>,
    dir: PathBuf,
    cache_bytes: AtomicU64,
    state: RwLock<State>,
}

enum State {
    Closed,
    Open(Opened),
    /// Dropped or set aside: its folder is gone and must not come back.
    Retired,
}

/// An open partition and the next number for a chunked value.
pub(crate) struct Opened {
    partition: Box<dyn Partition>,
    next_blob: AtomicU64,
}

/// A record and its payload, or what is wrong with it.
pub(crate) type ReadRecord = Result<(Record, Vec<u8>), Damage>;

/// What a scan does with each key and record.
pub(crate) type VisitRecord<'a> = &'a mut dyn FnMut(&[u8], ReadRecord) -> ControlFlow<()>;

impl Handle {
    /// Returns a handle of the partition in `dir`, which is opened at its first use.
    pub(crate) fn new(engine: Arc<dyn Engine>, dir: PathBuf, cache_bytes: u64) -> Self {
        Self {
            engine,
            dir,
            cache_bytes: cache_bytes.into(),
            state: RwLock::new(State::Closed),
        }
    }

    /// Returns the partition's folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs `act` on the partition, opening it if it is closed.
    pub(crate) fn with<T>(
        &self,
        act: impl FnOnce(&Opened) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        loop {
            match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
                State::Open(opened) => return act(opened),
                State::Retired => return Err(EngineError::Gone),
                State::Closed => {}
            }
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            if matches!(*state, State::Closed) {
                *state = State::Open(Opened::new(self.open_identified()?)?);
            }
        }
    }

    /// Makes the partition's files and marks them with its identity, durably.
    pub(crate) fn create(&self) -> Result<(), EngineError> {
        let partition = self
            .engine
            .open(&self.dir, self.cache_bytes.load(Ordering::Relaxed))?;
        partition.insert(Tree::Identity, &[], self.identity().as_bytes())?;
        partition.sync()
    }

    /// Opens the partition and makes sure that it is the one it should be: over damaged files sled
    /// may come up empty without a word, and nothing must be taken for everything.
    fn open_identified(&self) -> Result<Box<dyn Partition>, EngineError> {
        if !self.dir.is_dir() {
            let detail = "its folder is missing".to_owned();
            return Err(EngineError::Damaged {
                action: "opening the partition",
                detail,
            });
        }
        let partition = self
            .engine
            .open(&self.dir, self.cache_bytes.load(Ordering::Relaxed))?;
        let identity = partition.get(Tree::Identity, &[])?;
        if identity.as_deref() == Some(self.identity().as_bytes()) {
            return Ok(partition);
        }
        let detail = "its files came up without their content".to_owned();
        Err(EngineError::Damaged {
            action: "opening the partition",
            detail,
        })
    }

    fn identity(&self) -> String {
        self.dir
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// Closes the partition once nobody uses it any more.
    pub(crate) fn close(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Open(_)) {
            *state = State::Closed;
        }
    }

    /// Closes the partition for good, before its folder goes away.
    pub(crate) fn retire(&self) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State::Retired;
    }

    /// Sets the cache the partition gets when it is opened next.
    pub(crate) fn set_cache(&self, cache_bytes: u64) {
        self.cache_bytes.store(cache_bytes, Ordering::Relaxed);
    }
}

impl Opened {
    fn new(partition: Box<dyn Partition>) -> Result<Self, EngineError> {
        let last = partition.last_key(Tree::Chunks)?;
        let last = last
            .and_then(|key| keys::read_chunk(&key))
            .map_or(0, |(blob, _)| blob);
        Ok(Self {
            partition,
            next_blob: AtomicU64::new(last.saturating_add(1)),
        })
    }

    /// Stores a record; one too large for a value goes to the `chunks` tree first, so that the record
    /// itself always changes in one step.
    pub(crate) fn put(&self, tree: Tree, key: &[u8], record: Record) -> Result<(), EngineError> {
        let record = match &record.body {
            Body::Inline(bytes) if bytes.len() > INLINE_BYTES_MAX => {
                let chunked = self.put_chunks(bytes)?;
                Record {
                    body: Body::Chunked(chunked),
                    ..record
                }
            }
            Body::Inline(_) | Body::Chunked(_) => record,
        };
        VALUE.with_borrow_mut(|value| {
            record.encode_into(key, value);
            self.partition.insert(tree, key, value)
        })
    }

    /// Replaces a record, taking away the chunks of the one before.
    pub(crate) fn replace(
        &self,
        tree: Tree,
        key: &[u8],
        record: Record,
    ) -> Result<(), EngineError> {
        let before = self.partition.get(tree, key)?;
        self.put(tree, key, record)?;
        let before = before.and_then(|value| Record::decode(key, &value).ok());
        if let Some(Body::Chunked(chunked)) = before.map(|record| record.body) {
            for number in 0..chunked.n_chunks {
                self.partition
                    .remove(Tree::Chunks, &keys::chunk(chunked.blob, number))?;
            }
        }
        Ok(())
    }

    /// Visits the records of a range of keys, each verified, with its payload decoded.
    pub(crate) fn scan_records(
        &self,
        tree: Tree,
        prefix: &[u8],
        from: &[u8],
        dictionaries: &Dictionaries,
        visit: VisitRecord<'_>,
    ) -> Result<(), EngineError> {
        let mut failure = None;
        let upper = keys::after_prefix(prefix);
        let from = if from.is_empty() { prefix } else { from };
        self.partition.scan(
            tree,
            from,
            upper.as_deref(),
            &mut |key, value| match self.open_record(key, value, dictionaries) {
                Ok(record) => visit(key, record),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            },
        )?;
        failure.map_or(Ok(()), Err)
    }

    /// Returns the record of a key, verified, with its payload decoded.
    pub(crate) fn record(
        &self,
        tree: Tree,
        key: &[u8],
        dictionaries: &Dictionaries,
    ) -> Result<Option<ReadRecord>, EngineError> {
        let Some(value) = self.partition.get(tree, key)? else {
            return Ok(None);
        };
        self.open_record(key, &value, dictionaries).map(Some)
    }

    /// Returns every document of a trace in this partition and how many records were damaged.
    pub(crate) fn documents(
        &self,
        tenant: Tenant,
        trace_id: TraceId,
        dictionaries: &Dictionaries,
    ) -> Result<(Vec<Document>, u32), EngineError> {
        let mut documents = Vec::new();
        let mut n_damaged = 0;
        let prefix = keys::trace_prefix(tenant, trace_id);
        self.scan_records(Tree::Segments, &prefix, &[], dictionaries, &mut |key, read| {
            let segment_id = keys::read_segment(key).map(|(_, _, segment_id)| segment_id);
            match read.and_then(|(record, payload)| to_document(segment_id, &record, payload)) {
                Ok(document) => documents.push(document),
                Err(damage) => {
                    n_damaged += 1;
                    tracing::error!(%trace_id, ?segment_id, %damage, "left out a damaged document");
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok((documents, n_damaged))
    }

    /// Returns the documents of a trace with their heads.
    pub(crate) fn documents_with_heads(
        &self,
        tenant: Tenant,
        trace_id: TraceId,
        dictionaries: &Dictionaries,
    ) -> Result<Vec<(Document, Head)>, EngineError> {
        let (documents, _) = self.documents(tenant, trace_id, dictionaries)?;
        let with_heads = documents.into_iter().filter_map(|document| {
            let head = head_of(&document)?;
            Some((document, head))
        });
        Ok(with_heads.collect())
    }

    /// Returns the latest revision of a trace this partition's records tell of, 0 if it has none of them.
    pub(crate) fn revision(
        &self,
        tenant: Tenant,
        trace_id: TraceId,
        dictionaries: &Dictionaries,
    ) -> Result<u32, EngineError> {
        let mut revision = 0;
        let prefix = keys::trace_prefix(tenant, trace_id);
        self.scan_records(
            Tree::Segments,
            &prefix,
            &[],
            dictionaries,
            &mut |_, read| {
                // What is damaged is told where documents are read.
                if let Ok((record, _)) = read {
                    revision = revision.max(record.revision);
                }
                ControlFlow::Continue(())
            },
        )?;
        Ok(revision)
    }

    /// Returns the stamp of the last telemetry record, 0 if there is none. Reads all of them, which are small.
    pub(crate) fn telemetry_stamp(&self) -> Result<u64, EngineError> {
        let mut stamp = 0;
        self.partition
            .scan(Tree::Telemetry, &[], None, &mut |key, _| {
                stamp = stamp.max(keys::read_telemetry_stamp(key).unwrap_or(0));
                ControlFlow::Continue(())
            })?;
        Ok(stamp)
    }

    /// Returns the engine itself, for small values that need no envelope.
    pub(crate) fn engine(&self) -> &dyn Partition {
        self.partition.as_ref()
    }

    /// Makes everything written before the call durable.
    pub(crate) fn sync(&self) -> Result<(), EngineError> {
        self.partition.sync()
    }

    fn put_chunks(&self, bytes: &[u8]) -> Result<ChunkedBody, EngineError> {
        let blob = self.next_blob.fetch_add(1, Ordering::Relaxed);
        let mut n_chunks = 0;
        for chunk in bytes.chunks(VALUE_BYTES_MAX) {
            self.partition
                .insert(Tree::Chunks, &keys::chunk(blob, n_chunks), chunk)?;
            n_chunks = n_chunks.checked_add(1).ok_or_else(|| EngineError::Io {
                action: "writing",
                detail: format!("a value of {} bytes is too large", bytes.len()),
            })?;
        }
        Ok(ChunkedBody {
            blob,
            n_chunks,
            crc: crc32c::crc32c(bytes),
        })
    }

    /// Verifies a value and decodes its payload. The outer error is the engine's, the inner the record's.
    fn open_record(
        &self,
        key: &[u8],
        value: &[u8],
        dictionaries: &Dictionaries,
    ) -> Result<ReadRecord, EngineError> {
        let record = match Record::decode(key, value) {
            Ok(record) => record,
            Err(damage) => return Ok(Err(damage)),
        };
        let payload = match &record.body {
            Body::Inline(bytes) => record.open(bytes, dictionaries),
            Body::Chunked(chunked) => match self.chunks(*chunked)? {
                Some(bytes) => record.open(&bytes, dictionaries),
                None => Err(Damage("its chunks are not what was written".to_owned())),
            },
        };
        Ok(payload.map(|payload| (record, payload)))
    }

    fn chunks(&self, chunked: ChunkedBody) -> Result<Option<Vec<u8>>, EngineError> {
        let mut bytes = Vec::new();
        for number in 0..chunked.n_chunks {
            match self
                .partition
                .get(Tree::Chunks, &keys::chunk(chunked.blob, number))?
            {
                Some(chunk) => bytes.extend(chunk),
                None => return Ok(None),
            }
        }
        Ok((crc32c::crc32c(&bytes) == chunked.crc).then_some(bytes))
    }
}

thread_local! {
    /// Where a value is put together: the engine copies it.
    static VALUE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Payloads up to this size stand behind their envelope.
const INLINE_BYTES_MAX: usize = VALUE_BYTES_MAX - 64;

/// Returns the head of a stored document; those were valid when they came in.
pub(crate) fn head_of(document: &Document) -> Option<Head> {
    let limits = DocumentLimits {
        document_bytes_max: usize::MAX,
    };
    let segment = Segment::parse(&document.text, &limits).ok()?;
    Some(segment.head())
}

fn to_document(
    segment_id: Option<SegmentId>,
    record: &Record,
    payload: Vec<u8>,
) -> Result<Document, Damage> {
    let segment_id = segment_id.ok_or_else(|| Damage("its key is not one of ours".to_owned()))?;
    let text = String::from_utf8(payload).map_err(|error| Damage(error.to_string()))?;
    Ok(Document {
        segment_id,
        in_progress: record.in_progress,
        stamp: record.stamp,
        first_stamp: record.first_stamp,
        text,
    })
}
