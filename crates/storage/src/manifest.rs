//! `MANIFEST`: what partitions there are and what belongs to the whole store.
//!
//! A small file, rewritten whole and renamed into place, so that it is always one state or the next.
//! Its first bytes are the same in every format, so that an older program can refuse a newer store.

use std::fs;
use std::io;
use std::path::Path;

use model::{Tenant, Timestamp};
use serde::{Deserialize, Serialize};

use crate::dictionary::write_durably;
use crate::record::{decode, encode};

/// What a store knows of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Key of page tokens, so that tokens survive a restart and no other store accepts them.
    pub(crate) token_key: [u8; 32],
    /// Account and region of each tenant; its number is its place in this list.
    pub(crate) tenants: Vec<(String, String)>,
    /// Number of the next partition.
    pub(crate) next_partition: u32,
    /// The partitions, oldest first.
    pub(crate) partitions: Vec<PartitionEntry>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PartitionEntry {
    /// Its number, which is its age.
    pub(crate) number: u32,
    /// Its folder below `p`.
    pub(crate) folder: String,
    /// Engine and version that wrote it.
    pub(crate) engine: String,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// A write or flush failed in it: a repeat of what it holds is stored again rather than taken for done.
    pub(crate) doubtful: bool,
    /// Set once it is sealed.
    pub(crate) sealed: Option<SealedFacts>,
}

/// What is known of a partition that takes no more writes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SealedFacts {
    /// When it was sealed: the age retention goes by.
    pub(crate) at: Timestamp,
    /// Its documents.
    pub(crate) n_documents: u64,
    /// Bytes of their texts.
    pub(crate) document_bytes: u64,
    /// Its traces.
    pub(crate) n_traces: u64,
    /// Bytes it takes on disk.
    pub(crate) disk_bytes: u64,
    /// Stamp of its last document.
    pub(crate) last_stamp: u64,
    /// Earliest and latest start of its traces.
    pub(crate) starts: (Timestamp, Timestamp),
    /// Earliest and latest end of its traces.
    pub(crate) ends: (Timestamp, Timestamp),
    /// Earliest and latest start of a request or call of its traces.
    pub(crate) active: (Timestamp, Timestamp),
    /// What made its blocks, zones and sums: [`DERIVED`], or an older way that is done again at open.
    pub(crate) derived: u32,
}

/// How blocks, zones and sums are made now. Whoever changes what they hold raises this; they are made
/// again from the documents when a store is opened.
pub(crate) const DERIVED: u32 = 3;

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("reading MANIFEST: {0}")]
    Io(#[from] io::Error),
    #[error("MANIFEST is damaged: {0}")]
    Damaged(String),
}

/// The first bytes of a manifest, the same in every format.
pub(crate) struct Stored {
    pub(crate) format: u32,
    pub(crate) payload: Vec<u8>,
}

impl Manifest {
    /// Returns the manifest of a store that has nothing yet.
    pub(crate) fn fresh() -> io::Result<Self> {
        let mut token_key = [0; 32];
        getrandom::fill(&mut token_key).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self {
            token_key,
            tenants: Vec::new(),
            next_partition: 1,
            partitions: Vec::new(),
        })
    }

    /// Reads the payload of a manifest of the current format.
    pub(crate) fn parse(stored: &Stored) -> Result<Self, ManifestError> {
        decode(&stored.payload).map_err(|damage| ManifestError::Damaged(damage.0))
    }

    /// Reads the payload of a manifest of format 1, which did not say how a partition was derived.
    pub(crate) fn parse_first(stored: &Stored) -> Result<Self, ManifestError> {
        let first: FirstManifest =
            decode(&stored.payload).map_err(|damage| ManifestError::Damaged(damage.0))?;
        let partitions = first.partitions.into_iter();
        Ok(Self {
            token_key: first.token_key,
            tenants: first.tenants,
            next_partition: first.next_partition,
            partitions: partitions.map(PartitionEntry::from).collect(),
        })
    }

    /// Returns the number of an account and region, giving out the next one if they are new.
    pub(crate) fn tenant(&mut self, account: &str, region: &str) -> (Tenant, bool) {
        let known = self
            .tenants
            .iter()
            .position(|(a, r)| a == account && r == region);
        let place = known.unwrap_or_else(|| {
            self.tenants.push((account.to_owned(), region.to_owned()));
            self.tenants.len() - 1
        });
        (
            Tenant(u32::try_from(place).unwrap_or(u32::MAX)),
            known.is_none(),
        )
    }
}

/// Writes a manifest of the current format durably.
pub(crate) fn write(data: &Path, format: u32, manifest: &Manifest) -> io::Result<()> {
    write_durably(&data.join(NAME), &to_bytes(format, manifest))
}

/// Returns the file of a manifest of the current format.
pub(crate) fn to_bytes(format: u32, manifest: &Manifest) -> Vec<u8> {
    let payload = encode(manifest);
    let mut bytes = MAGIC.to_vec();
    bytes.extend(format.to_be_bytes());
    bytes.extend(crc32c::crc32c(&payload).to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Reads what stands in a manifest of any format; nothing if there is none.
pub(crate) fn read(data: &Path) -> Result<Option<Stored>, ManifestError> {
    let bytes = match fs::read(data.join(NAME)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let damaged = |what: &str| ManifestError::Damaged(what.to_owned());
    let rest = bytes
        .strip_prefix(MAGIC)
        .ok_or_else(|| damaged("it does not begin as it should"))?;
    let (format, rest) = rest
        .split_first_chunk::<4>()
        .ok_or_else(|| damaged("it is cut short"))?;
    let (crc, payload) = rest
        .split_first_chunk::<4>()
        .ok_or_else(|| damaged("it is cut short"))?;
    let format = u32::from_be_bytes(*format);
    if crc32c::crc32c(payload) != u32::from_be_bytes(*crc) {
        return Err(damaged("its checksum does not fit"));
    }
    Ok(Some(Stored {
        format,
        payload: payload.to_vec(),
    }))
}

/// The manifest of format 1.
#[derive(Deserialize)]
struct FirstManifest {
    token_key: [u8; 32],
    tenants: Vec<(String, String)>,
    next_partition: u32,
    partitions: Vec<FirstPartition>,
}

#[derive(Deserialize)]
struct FirstPartition {
    number: u32,
    folder: String,
    engine: String,
    created: Timestamp,
    doubtful: bool,
    sealed: Option<FirstFacts>,
}

#[derive(Deserialize)]
struct FirstFacts {
    at: Timestamp,
    n_documents: u64,
    document_bytes: u64,
    n_traces: u64,
    disk_bytes: u64,
    last_stamp: u64,
    starts: (Timestamp, Timestamp),
    ends: (Timestamp, Timestamp),
}

impl From<FirstPartition> for PartitionEntry {
    fn from(first: FirstPartition) -> Self {
        Self {
            number: first.number,
            folder: first.folder,
            engine: first.engine,
            created: first.created,
            doubtful: first.doubtful,
            sealed: first.sealed.map(SealedFacts::from),
        }
    }
}

impl From<FirstFacts> for SealedFacts {
    fn from(first: FirstFacts) -> Self {
        Self {
            at: first.at,
            n_documents: first.n_documents,
            document_bytes: first.document_bytes,
            n_traces: first.n_traces,
            disk_bytes: first.disk_bytes,
            last_stamp: first.last_stamp,
            starts: first.starts,
            ends: first.ends,
            active: (Timestamp::ZERO, Timestamp::MAX),
            derived: 1,
        }
    }
}

const NAME: &str = "MANIFEST";
const MAGIC: &[u8] = b"ROENTGEN";
