//! A copy of a store that is being served, and a store made of it.
//!
//! A backup is a tar file, compressed by zstd, of these files in this order:
//!
//! | file | what |
//! |---|---|
//! | `BACKUP` | what this is, and the format of the backup |
//! | `MANIFEST` | the store's, with the partitions that follow |
//! | `dict/NNNN.zdict` | the dictionaries |
//! | `control/NNNNNN` | the settings: keys and payloads |
//! | `p/FOLDER/members` | of each partition: its members file |
//! | `p/FOLDER/TREE/NNNNNN` | its records: keys and values of each tree, in the order of keys, some MiB a file |
//! | `SUMS` | of each file before: crc32c, length, name; a backup without it is not whole |
//!
//! Records are copied and not the engine's files: those of a sealed partition change when it is opened, what is in it
//! never does. The partition that takes writes is sealed first, so that everything acknowledged before is in the copy.
//! Retention leaves partitions alone that are being copied, unless the disk is nearly full.

mod restoring;
mod site;
mod sums;
mod writing;

use std::io;
use std::path::{Path, PathBuf};

use crate::engine::{EngineError, Tree};
use crate::{OpenError, StoreError};

pub(crate) use site::{refuse_remains, tidy};
pub(crate) use writing::Pins;

#[cfg(test)]
pub(crate) use restoring::restore_watched;
pub use restoring::{Restored, restore};
pub use writing::Backup;

/// Why there is no backup, or not all of one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store does not do what it takes.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The partition that took writes was not sealed in time.
    #[error("partition {number} was not sealed within {waited_s} seconds; the log says why")]
    NotSealed {
        /// Its number.
        number: u32,
        /// How long was waited.
        waited_s: u64,
    },
    /// Retention dropped a partition before it was copied, or it was set aside as damaged.
    #[error("partition {folder} went away while it was copied")]
    Gone {
        /// Its folder.
        folder: String,
    },
    /// The store cannot be read.
    #[error("reading the store: {0}")]
    Read(String),
    /// Nobody takes the copy any more, or it cannot be written.
    #[error("writing the backup: {0}")]
    Write(#[from] io::Error),
}

/// Why a backup does not become a store. The folder for the store is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is something already.
    #[error("{} is not empty: a backup is restored into a folder of its own", data.display())]
    NotEmpty {
        /// The folder.
        data: PathBuf,
    },
    /// It is something else.
    #[error("this is no backup: {0}")]
    Foreign(String),
    /// A later program made it.
    #[error("the backup has format {found}, and this program knows formats up to {known}")]
    Newer {
        /// The backup's format.
        found: u32,
        /// The last one that is known.
        known: u32,
    },
    /// It ends before its end.
    #[error("the backup is not whole: {0}")]
    CutOff(String),
    /// It is not what was written.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// What is in it is no store, or the folder is in use or holds what a restore left that was cut off.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store cannot be written.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RestoreError + use<> {
    let path = path.to_owned();
    move |source| RestoreError::Io {
        action,
        path,
        source,
    }
}

impl From<EngineError> for BackupError {
    fn from(error: EngineError) -> Self {
        Self::Read(error.to_string())
    }
}

/// The trees of a partition that are copied: all that a sealed one has, but for its name.
const TREES: [Tree; 6] = [
    Tree::Segments,
    Tree::Chunks,
    Tree::Zones,
    Tree::Blocks,
    Tree::Graph,
    Tree::Telemetry,
];
/// The first file; its content ends with the number of the format.
const HEAD: &str = "BACKUP";
const HEAD_WORDS: &str = "roentgen backup";
const FORMAT: u32 = 1;
/// The last file.
const SUMS: &str = "SUMS";
const MANIFEST: &str = "MANIFEST";
const DICTIONARIES: &str = "dict";
const SETTINGS: &str = "control";
const MEMBERS: &str = "members";
