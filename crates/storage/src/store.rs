//! The store: opens what is there, owns the threads, answers reads.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use model::{Cells, Summary, Tenant, Timestamp, TraceId};
use tokio::sync::Semaphore;

use crate::active::Active;
use crate::backup::{Pins, refuse_remains, tidy};
use crate::changes::Hub;
use crate::commit::{Backlog, Committer, Telemetry};
use crate::dictionary::Dictionaries;
use crate::engine::{Engine, EngineError, SledEngine};
use crate::index::Limits;
use crate::manifest::{self, Manifest};
use crate::open::{OpenError, Opening, lock};
use crate::sealed::{OpenPartitions, Sealed};
use crate::{
    Classify, GraphScan, NewDocument, Outcome, Scan, ScanPage, StoreError, StoredTrace, TraceStore,
    migrations, scan,
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
    /// They survive a clean stop; a kill or the loss of power may take what was put within the interval.
    Interval(Duration),
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
    /// Bytes of the documents' texts, of copies that were replaced meanwhile too.
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
    pub(crate) shared: Arc<Shared>,
    pub(crate) committer: Arc<Committer>,
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
    /// Which groups traces are in.
    pub(crate) classify: OnceLock<Arc<dyn Classify>>,
    /// Bytes of documents that may still be put.
    pub(crate) room: Arc<Semaphore>,
    /// What is being copied.
    pub(crate) pins: Pins,
    /// What becomes durable is told here.
    pub(crate) changes: Arc<Hub>,
    /// Watched by who waits for partitions to be sealed.
    pub(crate) backlog: Backlog,
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
    /// current format but for what [`SledStore::derive_again`] does. Blocks; the time it takes grows with the partition that
    /// takes writes only.
    pub fn open(config: Config, now: Timestamp) -> Result<Self, OpenError> {
        Self::open_with(Arc::new(SledEngine), config, now)
    }

    /// Opens a store on another engine.
    pub(crate) fn open_with(
        engine: Arc<dyn Engine>,
        config: Config,
        now: Timestamp,
    ) -> Result<Self, OpenError> {
        let failed = |action, source: &std::io::Error| OpenError::io(action, &config.data, source);
        fs::create_dir_all(&config.data).map_err(|source| failed("creating", &source))?;
        let lock = lock(&config.data)?;
        refuse_remains(&config.data)?;
        tidy(&config.data);
        let manifest = migrations::apply(&config.data)?;
        let dictionaries = Dictionaries::open(&config.data.join("dict"))
            .map_err(|source| failed("reading dictionaries of", &source))?;
        let opening = Opening {
            engine: &engine,
            config: &config,
            dictionaries: &dictionaries,
        };
        let (partitions, manifest, n_quarantined) = opening.partitions(manifest, now)?;
        let shared = Shared::new(config, lock, manifest, engine, dictionaries, partitions);
        let n_set_aside = &shared.counters.n_quarantined;
        n_set_aside.store(n_quarantined, Ordering::Relaxed);
        let shared = Arc::new(shared);
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

    /// Returns every account and region that was given a number.
    pub fn tenants(&self) -> Vec<(String, String)> {
        self.shared.lock_manifest().tenants.clone()
    }

    /// Returns the key of this store's page tokens.
    pub fn token_key(&self) -> [u8; 32] {
        self.shared.lock_manifest().token_key
    }

    /// Does what time asks for: seals a partition that is old enough, drops what is kept no longer.
    /// Call it every few seconds; returns at once, the work happens on the store's own threads.
    pub fn maintain(&self, now: Timestamp) {
        self.committer.tick(now);
        self.shared.changes.tidy(now);
    }

    /// Derives again what an earlier version derived in another way. Call it before anything is read, and when
    /// [`SledStore::classify_by`] has set who knows the groups of all tenants: sums of groups are derived, too. Blocks, about a
    /// second for 200 MB if there is something to derive.
    ///
    /// # Errors
    /// What is derived cannot be written.
    pub fn derive_again(&self, now: Timestamp) -> Result<(), OpenError> {
        self.shared.derive_again_all(now)
    }

    /// Sets what tells the groups of traces, once, before [`SledStore::derive_again`] and the first
    /// [`SledStore::maintain`]; without it traces are in no group.
    pub fn classify_by(&self, classify: Arc<dyn Classify>) {
        // Asked for twice it is the first one that counts.
        let _ = self.shared.classify.set(classify);
    }

    /// Returns the store's figures.
    pub fn stats(&self) -> Stats {
        let stats = self.shared.stats();
        Stats {
            is_writable: stats.is_writable && self.committer.is_alive(),
            ..stats
        }
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
    pub(crate) async fn read<T: Send + 'static>(
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

    async fn summaries_of(
        &self,
        tenant: Tenant,
        trace_ids: Vec<TraceId>,
    ) -> Result<Vec<Summary>, StoreError> {
        self.read(move |shared| {
            let found = trace_ids.into_iter();
            let found = found.map(|trace_id| scan::one(shared, tenant, trace_id));
            found.filter_map(Result::transpose).collect()
        })
        .await
    }

    async fn graph(
        &self,
        tenant: Tenant,
        scan: GraphScan,
    ) -> Result<BTreeMap<u32, Cells>, StoreError> {
        self.read(move |shared| shared.graph(tenant, &scan)).await
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

    /// Returns the newest stamp of a document or telemetry record in any of them.
    fn newest_stamp(&self) -> u64 {
        let indexed = self.unsealed().map(|active| {
            let index = active.index.read().unwrap_or_else(PoisonError::into_inner);
            index.newest_stamp()
        });
        if let Some(newest) = indexed.max().filter(|newest| *newest > 0) {
            return newest;
        }
        // Nothing came since the last one was sealed that is not empty.
        let sealed = self.sealed.iter().rev();
        let mut stamps = sealed.map(|sealed| sealed.newest_stamp());
        stamps.find(|stamp| *stamp > 0).unwrap_or(0)
    }
}

impl Shared {
    /// Returns what the threads of a store with these partitions share.
    pub(crate) fn new(
        config: Config,
        lock: File,
        manifest: Manifest,
        engine: Arc<dyn Engine>,
        dictionaries: Dictionaries,
        partitions: Partitions,
    ) -> Self {
        let newest_stamp = partitions.newest_stamp();
        let room = usize::try_from(config.bytes_in_flight).unwrap_or(usize::MAX);
        Self {
            engine,
            dictionaries,
            manifest: Mutex::new(manifest),
            partitions: RwLock::new(Arc::new(partitions)),
            open: OpenPartitions::new(N_OPEN_SEALED_MAX),
            newest_stamp: newest_stamp.into(),
            classify: OnceLock::new(),
            counters: Counters::default(),
            room: Arc::new(Semaphore::new(room)),
            pins: Pins::default(),
            changes: Arc::new(Hub::after(newest_stamp)),
            backlog: Backlog::default(),
            readers: Semaphore::new(N_READERS_MAX),
            _lock: lock,
            config,
        }
    }

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
        drop(slot);
        self.backlog.changed();
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
}

const N_READERS_MAX: usize = 8;
/// Opening one takes tens of milliseconds, keeping one open takes some ten megabytes: enough for a window
/// whose traces are spread over three gigabytes of documents.
const N_OPEN_SEALED_MAX: NonZeroUsize = NonZeroUsize::new(16).unwrap();
