//! A partition that takes no more writes, and the few that are open at a time.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use model::{Tenant, TraceId};
use serde::{Deserialize, Serialize};
use xorf::{BinaryFuse32, Descriptor, Filter};
use xxhash_rust::xxh3::xxh3_64;

use crate::dictionary::{Dictionaries, write_durably};
use crate::engine::EngineError;
use crate::keys;
use crate::manifest::SealedFacts;
use crate::partitions::{Handle, Opened};
use crate::record::{Body, Damage, Record, decode, encode};

/// A sealed partition: its files stay closed until somebody asks for a trace that may be in it.
pub(crate) struct Sealed {
    /// Its number.
    pub(crate) number: u32,
    /// Its files, through the same handle as when it was active: there is one a folder.
    pub(crate) handle: Arc<Handle>,
    /// What the manifest says of it.
    pub(crate) facts: SealedFacts,
    /// A write or flush failed in it.
    pub(crate) doubtful: bool,
    /// Which traces it has.
    pub(crate) members: Members,
}

/// Which traces a sealed partition has: the content of its file `members`.
pub(crate) struct Members {
    /// Says of a trace that it is not there, or that it is (wrongly once in four billion).
    filter: Option<BinaryFuse32>,
    /// Traces that older partitions have documents of too. Their summary here covers those.
    continued: HashSet<(Tenant, TraceId)>,
}

/// Members as they are stored.
#[derive(Serialize, Deserialize)]
struct StoredMembers {
    filter: Option<StoredFilter>,
    continued: HashSet<(Tenant, TraceId)>,
}

/// A binary fuse filter, its descriptor spelled out.
#[derive(Serialize, Deserialize)]
struct StoredFilter {
    seed: u64,
    segment_length: u32,
    segment_length_mask: u32,
    segment_count_length: u32,
    fingerprints: Box<[u32]>,
}

impl Sealed {
    /// Tells whether the partition may have documents of a trace.
    pub(crate) fn may_hold(&self, tenant: Tenant, trace_id: TraceId) -> bool {
        let filter = self.members.filter.as_ref();
        filter.is_some_and(|filter| filter.contains(&fingerprint(tenant, trace_id)))
    }

    /// Tells whether the partition has a trace that older ones have too.
    pub(crate) fn continues(&self, tenant: Tenant, trace_id: TraceId) -> bool {
        self.members.continued.contains(&(tenant, trace_id))
    }

    /// Returns the last stamp of anything in it, 0 if it is empty. Opens its files and closes them.
    pub(crate) fn newest_stamp(&self) -> u64 {
        let read = self.handle.with(Opened::telemetry_stamp);
        self.handle.close();
        let of_telemetry = read.unwrap_or_else(|error| {
            // What is wrong with it is told when it is read for more than this.
            tracing::warn!(partition = self.number, %error, "cannot read the stamps of telemetry");
            0
        });
        self.facts.last_stamp.max(of_telemetry)
    }
}

impl Members {
    /// Returns the members of a partition about to be sealed.
    pub(crate) fn of(
        traces: impl Iterator<Item = (Tenant, TraceId)>,
        continued: impl Iterator<Item = (Tenant, TraceId)>,
    ) -> Result<Self, Damage> {
        let mut prints: Vec<u64> = traces
            .map(|(tenant, trace_id)| fingerprint(tenant, trace_id))
            .collect();
        prints.sort_unstable();
        prints.dedup();
        let filter = if prints.is_empty() {
            None
        } else {
            let built = BinaryFuse32::try_from(prints.as_slice());
            Some(built.map_err(|error| Damage(format!("building the filter: {error}")))?)
        };
        Ok(Self {
            filter,
            continued: continued.collect(),
        })
    }

    /// Writes the members into a partition's folder.
    pub(crate) fn write(self, dir: &Path) -> io::Result<Self> {
        let stored = StoredMembers {
            filter: self.filter.map(StoredFilter::from),
            continued: self.continued,
        };
        let record = Record::of_payload(&encode(&stored));
        write_durably(&dir.join(FILE), &record.encode(FILE.as_bytes()))?;
        Ok(stored.into())
    }

    /// Reads the members from a partition's folder.
    pub(crate) fn read(dir: &Path, dictionaries: &Dictionaries) -> Result<Self, EngineError> {
        let action = "reading a partition's members";
        let bytes = match fs::read(dir.join(FILE)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                return Err(EngineError::Io {
                    action,
                    detail: error.to_string(),
                });
            }
        };
        let parsed = Self::parse(&bytes, dictionaries);
        parsed.map_err(|damage| EngineError::Damaged {
            action,
            detail: damage.to_string(),
        })
    }

    fn parse(bytes: &[u8], dictionaries: &Dictionaries) -> Result<Self, Damage> {
        let record = Record::decode(FILE.as_bytes(), bytes)?;
        let Body::Inline(body) = &record.body else {
            return Err(Damage(format!("{FILE} is not one record")));
        };
        let stored: StoredMembers = decode(&record.open(body, dictionaries)?)?;
        Ok(stored.into())
    }
}

impl From<StoredMembers> for Members {
    fn from(stored: StoredMembers) -> Self {
        Self {
            filter: stored.filter.map(BinaryFuse32::from),
            continued: stored.continued,
        }
    }
}

impl From<BinaryFuse32> for StoredFilter {
    fn from(filter: BinaryFuse32) -> Self {
        Self {
            seed: filter.descriptor.seed,
            segment_length: filter.descriptor.segment_length,
            segment_length_mask: filter.descriptor.segment_length_mask,
            segment_count_length: filter.descriptor.segment_count_length,
            fingerprints: filter.fingerprints,
        }
    }
}

impl From<StoredFilter> for BinaryFuse32 {
    fn from(stored: StoredFilter) -> Self {
        let descriptor = Descriptor {
            seed: stored.seed,
            segment_length: stored.segment_length,
            segment_length_mask: stored.segment_length_mask,
            segment_count_length: stored.segment_count_length,
        };
        Self {
            descriptor,
            fingerprints: stored.fingerprints,
        }
    }
}

/// Keeps the partitions used last open and closes the others.
pub(crate) struct OpenPartitions {
    used: Mutex<LruCache<u32, Arc<Sealed>>>,
}

impl OpenPartitions {
    pub(crate) fn new(n_open_max: NonZeroUsize) -> Self {
        Self {
            used: Mutex::new(LruCache::new(n_open_max)),
        }
    }

    /// Takes note that a partition is about to be used; call it before and not during a use of any
    /// handle, since closing another partition waits for its users.
    pub(crate) fn touch(&self, sealed: &Arc<Sealed>) {
        let pushed = {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            used.push(sealed.number, Arc::clone(sealed))
        };
        if let Some((number, out)) = pushed
            && number != sealed.number
        {
            out.handle.close();
        }
    }

    /// Forgets a partition that is gone.
    pub(crate) fn forget(&self, number: u32) {
        self.used
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop(&number);
    }

    /// Closes all.
    pub(crate) fn close(&self) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((_, sealed)) = used.pop_lru() {
            sealed.handle.close();
        }
    }
}

const FILE: &str = "members";

fn fingerprint(tenant: Tenant, trace_id: TraceId) -> u64 {
    xxh3_64(&keys::trace_prefix(tenant, trace_id))
}
