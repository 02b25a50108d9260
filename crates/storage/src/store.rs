//! The store: opens what is there, owns the threads, answers reads.

use std::collections::HashMap;
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use model::{Document, SegmentId, Tenant, Timestamp, TraceId, wins};
use tokio::sync::Semaphore;

use crate::active::{Active, handle_of};
use crate::commit::{Committer, Telemetry};
use crate::dictionary::Dictionaries;
use crate::engine::{Engine, EngineError, SledEngine};
use crate::index::Limits;
use crate::manifest::{self, Manifest, PartitionEntry};
use crate::partitions::Handle;
use crate::sealed::{Members, OpenPartitions, Sealed};
use crate::{
    NewDocument, Outcome, Scan, ScanPage, StoreError, StoredTrace, TraceStore, migrations, scan,
};

/// How a store is kept.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder everything is in.
    pub data: PathBuf,
    /// What an acknowledgement means.
    pub durability: Durability,
    /// How long traces are kept after they arrived.
    pub retention: Duration,
    /// How many bytes the store may take on disk; the oldest partitions go first.
    pub disk_bytes_max: u64,
    /// Free bytes that must stay on the file system, or 5 % of it if that is less.
    pub free_bytes_min: u64,
    /// Documents' bytes after which a partition is sealed; an eighth of `disk_bytes_max` if that is less.
    pub partition_bytes: u64,
    /// Age after which a partition is sealed.
    pub partition_age: Duration,
    /// Cache of the partition that takes writes.
    pub cache_bytes: u64,
    /// Bytes of documents that may wait to be written.
    pub bytes_in_flight: u32,
    /// How long a put waits for room before it is refused.
    pub queue_wait: Duration,
    /// Further documents of a trace with more bytes than this are refused; 0 for no limit.
    pub trace_bytes_max: u64,
}

/// What an acknowledgement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The documents survive the loss of power.
    Sync,
    /// They survive the end of the process; loss of power may take what was written within the interval.
    Interval(Duration),
}

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the store open.
    #[error(
        "{} is in use by another process; stop that server first, or choose another folder with --data",
        data.display()
    )]
    Locked {
        /// The store's folder.
        data: PathBuf,
    },
    /// The store was written by a newer program.
    #[error(
        "{} has storage format {found} and this program knows formats up to {known}; run a newer roentgen",
        data.display()
    )]
    Newer {
        /// The store's folder.
        data: PathBuf,
        /// The store's format.
        found: u32,
        /// The newest format this program knows.
        known: u32,
    },
    /// What belongs to the whole store is damaged.
    #[error("{} is damaged: {detail}; restore it from a backup or choose another folder with --data", data.display())]
    Damaged {
        /// The store's folder.
        data: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// A migration's file is wrong: a fault of the program.
    #[error("migration {to}: {detail}")]
    Migration {
        /// The format it leads to.
        to: u32,
        /// What is wrong.
        detail: String,
    },
    /// The operating system refused.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// Figures of a store, for metrics.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Whether the store takes writes.
    pub is_writable: bool,
    /// Partitions, the one that takes writes included.
    pub n_partitions: u64,
    /// Documents in them.
    pub n_documents: u64,
    /// Bytes of the documents' texts.
    pub document_bytes: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Traces in the index in memory.
    pub n_indexed_traces: u64,
    /// Bytes of heads in the index in memory.
    pub index_bytes: u64,
    /// Group commits.
    pub n_commits: u64,
    /// Flushes to disk.
    pub n_syncs: u64,
    /// Microseconds spent flushing.
    pub sync_us: u64,
    /// Bytes waiting to be written.
    pub bytes_in_flight: u64,
    /// Partitions that were damaged and set aside, since the start.
    pub n_quarantined: u64,
    /// Partitions that retention dropped, since the start.
    pub n_dropped: u64,
    /// Damaged records met, since the start.
    pub n_damaged_records: u64,
}

/// A store in a folder, on sled. Cheap to clone; the last [`SledStore::close`] ends its threads.
#[derive(Clone)]
pub struct SledStore {
    shared: Arc<Shared>,
    committer: Arc<Committer>,
}

/// What the store's threads share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) dictionaries: Dictionaries,
    pub(crate) manifest: Mutex<Manifest>,
    pub(crate) partitions: RwLock<Arc<Partitions>>,
    pub(crate) open: OpenPartitions,
    pub(crate) counters: Counters,
    /// Stamp of the newest document taken in.
    pub(crate) newest_stamp: AtomicU64,
    /// Bytes of documents that may still be put.
    pub(crate) room: Arc<Semaphore>,
    /// Bounds the threads that read.
    readers: Semaphore,
    /// Held as long as the store is open.
    _lock: File,
}

/// The partitions there are; replaced whole when one is added, sealed or dropped.
#[derive(Clone)]
pub(crate) struct Partitions {
    /// Oldest first.
    pub(crate) sealed: Vec<Arc<Sealed>>,
    /// On their way from active to sealed, oldest first.
    pub(crate) sealing: Vec<Arc<Active>>,
    /// The one that takes writes.
    pub(crate) active: Arc<Active>,
}

/// Counters behind [`Stats`].
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) n_commits: AtomicU64,
    pub(crate) n_syncs: AtomicU64,
    pub(crate) sync_us: AtomicU64,
    pub(crate) n_quarantined: AtomicU64,
    pub(crate) n_dropped: AtomicU64,
    pub(crate) n_damaged_records: AtomicU64,
    /// Bytes on disk when last looked.
    pub(crate) disk_bytes: AtomicU64,
}

impl SledStore {
    /// Opens the store in `config.data`, making it if the folder is empty, and brings it to the
    /// current format. Blocks; the time it takes grows with the partition that takes writes only.
    pub fn open(config: Config, now: Timestamp) -> Result<Self, OpenError> {
        Self::open_with(Arc::new(SledEngine), config, now)
    }

    /// Opens a store on another engine.
    pub(crate) fn open_with(
        engine: Arc<dyn Engine>,
        config: Config,
        now: Timestamp,
    ) -> Result<Self, OpenError> {
        let data = config.data.clone();
        let io = |action| move |source| OpenError::io(action, &data, &source);
        fs::create_dir_all(&config.data).map_err(io("creating"))?;
        let lock = lock(&config.data)?;
        let manifest = migrations::apply(&config.data)?;
        let data = config.data.clone();
        let io = |action| move |source| OpenError::io(action, &data, &source);
        let dictionaries =
            Dictionaries::open(&config.data.join("dict")).map_err(io("reading dictionaries of"))?;
        let room = usize::try_from(config.bytes_in_flight).unwrap_or(usize::MAX);
        let opening = Opening {
            engine: &engine,
            config: &config,
            dictionaries: &dictionaries,
        };
        let (partitions, manifest, n_quarantined) = opening.partitions(manifest, now)?;
        let newest_stamp = partitions.newest_stamp();
        let shared = Arc::new(Shared {
            engine,
            dictionaries,
            manifest: Mutex::new(manifest),
            partitions: RwLock::new(Arc::new(partitions)),
            open: OpenPartitions::new(N_OPEN_SEALED_MAX),
            newest_stamp: newest_stamp.into(),
            counters: Counters {
                n_quarantined: n_quarantined.into(),
                ..Counters::default()
            },
            room: Arc::new(Semaphore::new(room)),
            readers: Semaphore::new(N_READERS_MAX),
            _lock: lock,
            config,
        });
        shared.restore_all_older();
        let committer = Committer::start(&shared).map_err(|source| {
            OpenError::io("starting threads for", &shared.config.data, &source)
        })?;
        shared.measure_disk();
        Ok(Self {
            shared,
            committer: Arc::new(committer),
        })
    }

    /// Returns the number of an account and region, giving one out durably if they are new.
    pub fn tenant(&self, account: &str, region: &str) -> Result<Tenant, StoreError> {
        let mut manifest = self.shared.lock_manifest();
        let (tenant, is_new) = manifest.tenant(account, region);
        if is_new {
            self.shared
                .write_manifest(&manifest)
                .map_err(|error| StoreError::Unavailable {
                    reason: format!("writing MANIFEST: {error}"),
                })?;
        }
        Ok(tenant)
    }

    /// Returns the key of this store's page tokens.
    pub fn token_key(&self) -> [u8; 32] {
        self.shared.lock_manifest().token_key
    }

    /// Does what time asks for: seals a partition that is old enough, drops what is kept no longer.
    /// Call it every few seconds; returns at once, the work happens on the store's own threads.
    pub fn maintain(&self, now: Timestamp) {
        self.committer.tick(now);
    }

    /// Returns the store's figures.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Stops taking writes, makes everything durable and ends the threads. Blocks.
    pub fn close(&self) -> Result<(), StoreError> {
        self.committer.close();
        let partitions = self.shared.partitions();
        let synced = partitions.active.sync();
        for active in partitions.unsealed() {
            active.handle.close();
        }
        self.shared.open.close();
        synced.map_err(|error| StoreError::Unavailable {
            reason: error.to_string(),
        })
    }

    /// How many partitions are sealed.
    #[cfg(test)]
    pub(crate) fn sealed_for_tests(&self) -> u64 {
        u64::try_from(self.shared.partitions().sealed.len()).unwrap_or(u64::MAX)
    }

    /// Runs blocking work that reads on a thread of the blocking pool, a bounded number at a time.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let _permit = self
            .shared
            .readers
            .acquire()
            .await
            .map_err(|_| StoreError::Closed)?;
        let outcome = tokio::task::spawn_blocking(move || work(&shared)).await;
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(StoreError::Read {
                reason: error.to_string(),
            }),
            Err(error) => Err(StoreError::Read {
                reason: error.to_string(),
            }),
        }
    }
}

impl TraceStore for SledStore {
    async fn put(
        &self,
        tenant: Tenant,
        batch: Vec<NewDocument>,
        now: Timestamp,
    ) -> Result<Vec<Outcome>, StoreError> {
        self.committer.put(&self.shared, tenant, batch, now).await
    }

    async fn documents(
        &self,
        tenant: Tenant,
        trace_id: TraceId,
    ) -> Result<StoredTrace, StoreError> {
        self.read(move |shared| shared.documents(tenant, trace_id))
            .await
    }

    async fn summaries(&self, tenant: Tenant, scan: Scan) -> Result<ScanPage, StoreError> {
        self.read(move |shared| scan::run(shared, tenant, &scan))
            .await
    }

    fn newest_stamp(&self) -> u64 {
        self.shared.newest_stamp.load(Ordering::Acquire)
    }

    async fn put_telemetry(
        &self,
        tenant: Tenant,
        records: Vec<Vec<u8>>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.committer
            .put_telemetry(
                &self.shared,
                Telemetry {
                    tenant,
                    records,
                    now,
                },
            )
            .await
    }
}

impl Partitions {
    /// Returns the partitions that have their index in memory, oldest first.
    pub(crate) fn unsealed(&self) -> impl Iterator<Item = &Arc<Active>> {
        self.sealing.iter().chain([&self.active])
    }

    /// Returns the stamp of the newest document in any of them.
    fn newest_stamp(&self) -> u64 {
        let indexed = self.unsealed().map(|active| {
            active
                .index
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .last_stamp()
        });
        indexed
            .chain(self.sealed.iter().map(|sealed| sealed.facts.last_stamp))
            .max()
            .unwrap_or(0)
    }
}

impl Shared {
    /// Returns the partitions there are at this moment.
    pub(crate) fn partitions(&self) -> Arc<Partitions> {
        Arc::clone(
            &self
                .partitions
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Replaces the partitions by what `change` makes of them.
    pub(crate) fn change_partitions(&self, change: impl FnOnce(&mut Partitions)) {
        let mut slot = self
            .partitions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut partitions = Partitions::clone(&slot);
        change(&mut partitions);
        *slot = Arc::new(partitions);
    }

    pub(crate) fn lock_manifest(&self) -> std::sync::MutexGuard<'_, Manifest> {
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write_manifest(&self, manifest: &Manifest) -> std::io::Result<()> {
        manifest::write(&self.config.data, migrations::CURRENT, manifest)
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            trace_bytes_max: self.config.trace_bytes_max,
        }
    }

    /// Returns the winning copies of a trace's documents from all partitions that may have some.
    fn documents(&self, tenant: Tenant, trace_id: TraceId) -> Result<StoredTrace, EngineError> {
        let partitions = self.partitions();
        let mut found: HashMap<SegmentId, Document> = HashMap::new();
        let mut n_damaged = 0;
        let mut take = |documents: Vec<Document>| {
            for document in documents {
                merge_copy(&mut found, document);
            }
        };
        for sealed in &partitions.sealed {
            if !sealed.may_hold(tenant, trace_id) {
                continue;
            }
            let read = self.read_sealed(sealed, |opened| {
                opened.documents(tenant, trace_id, &self.dictionaries)
            })?;
            let Some((documents, n_left_out)) = read else {
                continue;
            };
            n_damaged += n_left_out;
            take(documents);
        }
        for active in partitions.unsealed() {
            let (documents, n_left_out) = active
                .handle
                .with(|opened| opened.documents(tenant, trace_id, &self.dictionaries))?;
            n_damaged += n_left_out;
            take(documents);
        }
        self.counters
            .n_damaged_records
            .fetch_add(n_damaged.into(), Ordering::Relaxed);
        let documents: Vec<Document> = found.into_values().collect();
        let bytes = documents
            .iter()
            .map(|document| document.text.len())
            .sum::<usize>();
        Ok(StoredTrace {
            documents,
            n_damaged,
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        })
    }
}

/// Keeps the copy that counts of two, and the earlier of their first arrivals.
pub(crate) fn merge_copy(found: &mut HashMap<SegmentId, Document>, document: Document) {
    let Some(known) = found.get_mut(&document.segment_id) else {
        found.insert(document.segment_id, document);
        return;
    };
    let first_stamp = known.first_stamp.min(document.first_stamp);
    if wins(document.version(), known.version()) {
        *known = document;
    }
    known.first_stamp = first_stamp;
}

impl OpenError {
    pub(crate) fn io(action: &'static str, path: &Path, source: &std::io::Error) -> Self {
        let source = std::io::Error::new(source.kind(), source.to_string());
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn damaged(data: &Path, error: &manifest::ManifestError) -> Self {
        Self::Damaged {
            data: data.to_owned(),
            detail: error.to_string(),
        }
    }
}

/// Takes the lock that keeps a second process out.
pub(crate) fn lock(data: &Path) -> Result<File, OpenError> {
    let path = data.join("LOCK");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let file = file.map_err(|source| OpenError::io("opening", &path, &source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::Locked {
            data: data.to_owned(),
        }),
        Err(fs::TryLockError::Error(source)) => Err(OpenError::io("locking", &path, &source)),
    }
}

/// What opening the partitions needs.
pub(crate) struct Opening<'a> {
    pub(crate) engine: &'a Arc<dyn Engine>,
    pub(crate) config: &'a Config,
    pub(crate) dictionaries: &'a Dictionaries,
}

impl Opening<'_> {
    /// Opens every partition of the manifest, setting damaged ones aside, and makes sure there is one
    /// that takes writes. Returns the manifest as it then is on disk.
    fn partitions(
        &self,
        mut manifest: Manifest,
        now: Timestamp,
    ) -> Result<(Partitions, Manifest, u64), OpenError> {
        let data = &self.config.data;
        remove_unlisted(&data.join(PARTITIONS), &manifest)
            .map_err(|source| OpenError::io("cleaning up", data, &source))?;
        let mut opened = Opened::default();
        for entry in manifest.partitions.clone() {
            if let Err(reason) = self.partition(&entry, &mut opened) {
                tracing::error!(
                    folder = entry.folder,
                    reason,
                    "set a damaged partition aside"
                );
                quarantine(data, &entry).map_err(|source| {
                    OpenError::io("setting aside a partition of", data, &source)
                })?;
                manifest
                    .partitions
                    .retain(|kept| kept.number != entry.number);
                opened.n_quarantined += 1;
            }
        }
        let active = match opened.unsealed.pop() {
            Some(active) => active,
            None => self.fresh(&mut manifest, now)?,
        };
        manifest::write(data, migrations::CURRENT, &manifest)
            .map_err(|source| OpenError::io("writing the manifest of", data, &source))?;
        let partitions = Partitions {
            sealed: opened.sealed,
            sealing: opened.unsealed,
            active,
        };
        Ok((partitions, manifest, opened.n_quarantined))
    }

    fn partition(&self, entry: &PartitionEntry, opened: &mut Opened) -> Result<(), String> {
        let Some(facts) = &entry.sealed else {
            let handle = self.handle(&entry.folder, self.config.cache_bytes);
            let active = Active::open(entry.number, entry.created, handle, self.dictionaries);
            opened
                .unsealed
                .push(active.map_err(|error| error.to_string())?);
            return Ok(());
        };
        let handle = self.handle(&entry.folder, SEALED_CACHE_BYTES);
        let members = Members::read(handle.dir(), self.dictionaries).map_err(|damage| damage.0)?;
        opened
            .sealed
            .push(Sealed::new(entry.number, handle, facts.clone(), members));
        Ok(())
    }

    /// Makes a partition and lists it in the manifest, which the caller then writes.
    fn fresh(&self, manifest: &mut Manifest, now: Timestamp) -> Result<Arc<Active>, OpenError> {
        create_partition(self, manifest, now).map_err(|error| OpenError::Damaged {
            data: self.config.data.clone(),
            detail: format!("a partition cannot be made: {error}"),
        })
    }

    fn handle(&self, folder: &str, cache_bytes: u64) -> Arc<Handle> {
        handle_of(
            self.engine,
            &self.config.data.join(PARTITIONS),
            folder,
            cache_bytes,
        )
    }
}

/// Makes the files of the next partition, durably, and lists it in the manifest in memory.
pub(crate) fn create_partition(
    opening: &Opening<'_>,
    manifest: &mut Manifest,
    now: Timestamp,
) -> Result<Arc<Active>, EngineError> {
    let number = manifest.next_partition;
    let folder = format!("{}_{number:06}", now.as_secs());
    let handle = opening.handle(&folder, opening.config.cache_bytes);
    let dir = handle.dir().to_owned();
    let created = handle.create().and_then(|()| {
        let active = Active::open(number, now, handle, opening.dictionaries)?;
        let listed =
            File::open(opening.config.data.join(PARTITIONS)).and_then(|dir| dir.sync_all());
        let io = |error: std::io::Error| EngineError::Io {
            action: "creating a partition",
            detail: error.to_string(),
        };
        listed.map_err(io)?;
        Ok(active)
    });
    if created.is_err() {
        // Nothing names the folder yet; what cannot be removed now is removed at the next open.
        let _ = fs::remove_dir_all(dir);
    }
    let active = created?;
    manifest.next_partition += 1;
    manifest.partitions.push(PartitionEntry {
        number,
        folder,
        engine: ENGINE.to_owned(),
        created: now,
        sealed: None,
    });
    Ok(active)
}

/// Moves a partition's folder where nobody opens it.
pub(crate) fn quarantine(data: &Path, entry: &PartitionEntry) -> std::io::Result<()> {
    let aside = data.join("quarantine");
    fs::create_dir_all(&aside)?;
    let from = data.join(PARTITIONS).join(&entry.folder);
    if from.exists() {
        fs::rename(from, aside.join(&entry.folder))?;
    }
    File::open(&aside)?.sync_all()?;
    File::open(data.join(PARTITIONS))?.sync_all()
}

/// What opening has found so far.
#[derive(Default)]
struct Opened {
    sealed: Vec<Arc<Sealed>>,
    unsealed: Vec<Arc<Active>>,
    n_quarantined: u64,
}

/// Removes folders the manifest does not name: half made, or dropped and not yet gone.
fn remove_unlisted(dir: &Path, manifest: &Manifest) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if !manifest
            .partitions
            .iter()
            .any(|listed| name == listed.folder.as_str())
        {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

pub(crate) const PARTITIONS: &str = "p";
const ENGINE: &str = "sled-0.34";
pub(crate) const SEALED_CACHE_BYTES: u64 = 8 << 20;
const N_READERS_MAX: usize = 8;
const N_OPEN_SEALED_MAX: NonZeroUsize = NonZeroUsize::new(6).unwrap();
