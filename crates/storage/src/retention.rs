//! What is kept and for how long: by age, by bytes and by free disk. Whole partitions go, oldest
//! first, which gives their disk back at once.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use model::Timestamp;

use crate::StoreError;
use crate::engine::EngineError;
use crate::partitions::Opened;
use crate::sealed::Sealed;
use crate::store::{Shared, Stats};

/// Why a partition is dropped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    Age,
    Disk,
    FreeDisk,
}

impl Reason {
    const fn words(self) -> &'static str {
        match self {
            Self::Age => "older than the retention",
            Self::Disk => "over the disk limit",
            Self::FreeDisk => "too little free disk",
        }
    }
}

impl Shared {
    /// Drops the partitions that are kept no longer.
    pub(crate) fn enforce_retention(&self, now: Timestamp) {
        let oldest_kept = now.before(self.config.retention);
        while let Some(oldest) = self.partitions().sealed.first().cloned() {
            let disk_bytes = self.counters.disk_bytes.load(Ordering::Relaxed);
            let reason = if self.check_free_disk().is_err() {
                Reason::FreeDisk
            } else if oldest.facts.at < oldest_kept {
                Reason::Age
            } else if disk_bytes > self.config.disk_bytes_max {
                Reason::Disk
            } else {
                return;
            };
            match self.drop_partition(&oldest, reason) {
                Ok(true) => self.measure_disk(),
                // It goes once it is copied.
                Ok(false) => return,
                Err(error) => {
                    tracing::error!(partition = oldest.number, %error, "cannot drop a partition");
                    return;
                }
            }
        }
    }

    /// Drops a partition; tells whether it did: one that is being copied only goes if the disk is nearly full.
    fn drop_partition(&self, sealed: &Sealed, reason: Reason) -> std::io::Result<bool> {
        let mut manifest = self.lock_manifest();
        if self.pins.holds(sealed.number) && reason != Reason::FreeDisk {
            return Ok(false);
        }
        let mut next = manifest.clone();
        next.partitions
            .retain(|entry| entry.number != sealed.number);
        self.write_manifest(&next)?;
        *manifest = next;
        drop(manifest);
        self.change_partitions(|partitions| {
            partitions
                .sealed
                .retain(|kept| kept.number != sealed.number);
        });
        self.open.forget(sealed.number);
        sealed.handle.retire();
        fs::remove_dir_all(sealed.handle.dir())?;
        self.counters.n_dropped.fetch_add(1, Ordering::Relaxed);
        tracing::info!(
            partition = sealed.number,
            reason = reason.words(),
            n_documents = sealed.facts.n_documents,
            "dropped a partition"
        );
        Ok(true)
    }

    /// Refuses if writing on would take the disk's last space.
    pub(crate) fn check_free_disk(&self) -> Result<(), StoreError> {
        let stats =
            rustix::fs::statvfs(&self.config.data).map_err(|error| StoreError::Unavailable {
                reason: format!("statvfs: {error}"),
            })?;
        let free_bytes = stats.f_bavail.saturating_mul(stats.f_frsize);
        let all_bytes = stats.f_blocks.saturating_mul(stats.f_frsize);
        let needed_bytes = self.config.free_bytes_min.min(all_bytes / 20);
        if free_bytes >= needed_bytes {
            return Ok(());
        }
        Err(StoreError::DiskFull {
            free_bytes,
            needed_bytes,
        })
    }

    /// Measures what the store takes on disk.
    pub(crate) fn measure_disk(&self) {
        let bytes = disk_bytes(&self.config.data);
        self.counters.disk_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Reads from a sealed partition; one that is damaged is set aside and then has nothing.
    pub(crate) fn read_sealed<T>(
        &self,
        sealed: &Arc<Sealed>,
        act: impl FnOnce(&Opened) -> Result<T, EngineError>,
    ) -> Result<Option<T>, EngineError> {
        self.open.touch(sealed);
        match sealed.handle.with(act) {
            Ok(value) => Ok(Some(value)),
            Err(EngineError::Gone) => Ok(None),
            Err(error) if error.is_damage() => {
                tracing::error!(partition = sealed.number, %error, "set a damaged partition aside");
                self.quarantine_partition(sealed.number, &sealed.handle);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the store's figures.
    pub(crate) fn stats(&self) -> Stats {
        let partitions = self.partitions();
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let in_flight_max = usize::try_from(self.config.bytes_in_flight).unwrap_or(usize::MAX);
        let in_flight = in_flight_max.saturating_sub(self.room.available_permits());
        let n_unsealed = partitions.sealing.len() + 1;
        let mut stats = Stats {
            is_writable: !partitions.active.is_poisoned() && self.check_free_disk().is_ok(),
            n_partitions: to_u64(partitions.sealed.len() + n_unsealed),
            disk_bytes: load(&self.counters.disk_bytes),
            n_commits: load(&self.counters.n_commits),
            n_syncs: load(&self.counters.n_syncs),
            sync_us: load(&self.counters.sync_us),
            bytes_in_flight: to_u64(in_flight),
            n_quarantined: load(&self.counters.n_quarantined),
            n_dropped: load(&self.counters.n_dropped),
            n_damaged_records: load(&self.counters.n_damaged_records),
            ..Stats::default()
        };
        for sealed in &partitions.sealed {
            stats.n_documents += sealed.facts.n_documents;
            stats.document_bytes += sealed.facts.document_bytes;
        }
        for active in partitions.unsealed() {
            let index = active.index.read().unwrap_or_else(PoisonError::into_inner);
            stats.n_documents += index.n_documents;
            stats.document_bytes += index.document_bytes;
            stats.n_indexed_traces += to_u64(index.n_traces());
            stats.index_bytes += to_u64(index.memory);
        }
        stats
    }
}

/// Returns the bytes a folder takes on disk, counted in blocks, as `du` does.
pub(crate) fn disk_bytes(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    let mut bytes = 0;
    for entry in entries.flatten() {
        // What vanishes while we look takes nothing.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        bytes += metadata.blocks() * 512;
        if metadata.is_dir() {
            bytes += disk_bytes(&entry.path());
        }
    }
    bytes
}

fn to_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
