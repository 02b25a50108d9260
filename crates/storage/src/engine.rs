//! The narrow face of an embedded engine: one ordered key-value partition in a folder of its own.
//!
//! Everything above it (values, partitions, retention, cursors) is written once. Tests put an engine
//! that fails on demand in its place; a second real engine would go here too.

mod sled_engine;

use std::ops::ControlFlow;
use std::path::Path;

pub(crate) use sled_engine::SledEngine;

/// Opens partitions.
pub(crate) trait Engine: Send + Sync + 'static {
    /// Opens the partition in `dir`, creating it if the folder is empty; caches about `cache_bytes`.
    fn open(&self, dir: &Path, cache_bytes: u64) -> Result<Box<dyn Partition>, EngineError>;
}

/// One open partition.
///
/// Writes are visible to readers at once and durable after the next `sync`. Any error other than
/// from `open` poisons the partition: nothing written since the last successful `sync` may be
/// believed, and the caller must stop acknowledging.
pub(crate) trait Partition: Send + Sync {
    /// Sets the value of a key; at most [`VALUE_BYTES_MAX`] bytes.
    fn insert(&self, tree: Tree, key: &[u8], value: &[u8]) -> Result<(), EngineError>;
    /// Takes a key away.
    fn remove(&self, tree: Tree, key: &[u8]) -> Result<(), EngineError>;
    /// Returns the value of a key.
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;
    /// Visits keys from `from` on, in order, up to but not including `upper`, until told to stop.
    fn scan(
        &self,
        tree: Tree,
        from: &[u8],
        upper: Option<&[u8]>,
        visit: Visit<'_>,
    ) -> Result<(), EngineError>;
    /// Returns the last key of a tree.
    fn last_key(&self, tree: Tree) -> Result<Option<Vec<u8>>, EngineError>;
    /// Makes everything written before the call durable.
    fn sync(&self) -> Result<(), EngineError>;
}

/// What a scan does with each key and value.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// The trees of a partition; `migrations/README.md` draws their keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    /// Documents.
    Segments,
    /// Pieces of values too large for one value.
    Chunks,
    /// Extremes of the block of the same key.
    Zones,
    /// Summaries of a sealed partition, up to 256 a value.
    Blocks,
    /// Sums for service graphs of a sealed partition, by group and hour.
    Graph,
    /// Telemetry records of clients.
    Telemetry,
    /// Small records beside the traces; only in the control database, which is a partition of its own.
    Control,
    /// Which partition this is: its folder's name under an empty key.
    Identity,
}

impl Tree {
    /// Every tree.
    pub(crate) const ALL: [Self; 8] = [
        Self::Segments,
        Self::Chunks,
        Self::Zones,
        Self::Blocks,
        Self::Graph,
        Self::Telemetry,
        Self::Control,
        Self::Identity,
    ];

    /// The tree's name on disk.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Segments => "segments",
            Self::Chunks => "chunks",
            Self::Zones => "zones",
            Self::Blocks => "blocks",
            Self::Graph => "graph",
            Self::Telemetry => "telemetry",
            Self::Control => "control",
            Self::Identity => "identity",
        }
    }
}

/// Why an engine failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// The files do not make sense, or the engine panicked over them.
    #[error("{action}: the partition is damaged: {detail}")]
    Damaged {
        action: &'static str,
        detail: String,
    },
    /// The operating system refused.
    #[error("{action}: {detail}")]
    Io {
        action: &'static str,
        detail: String,
    },
    /// The partition was dropped or set aside meanwhile.
    #[error("the partition is gone")]
    Gone,
}

impl EngineError {
    /// Tells whether the files themselves are at fault.
    pub(crate) const fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}

/// Larger values go to the `chunks` tree in pieces: sixteen of these on a leaf stay under the size
/// (131 052 bytes) from which sled would move the leaf to a blob file, which it never syncs.
pub(crate) const VALUE_BYTES_MAX: usize = 7_000;
