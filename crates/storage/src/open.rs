//! Opening a store: its lock, its format, its partitions, and making a fresh one.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Timestamp;

use crate::active::{Active, handle_of};
use crate::dictionary::Dictionaries;
use crate::engine::{Engine, EngineError};
use crate::manifest::{self, Manifest, PartitionEntry};
use crate::migrations;
use crate::partitions::Handle;
use crate::sealed::{Members, Sealed};
use crate::store::{Config, Partitions};

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
    /// A restore into the folder was cut off before the store was there.
    #[error(
        "{} holds no store, but what is left of a restore that was cut off; remove {} first",
        data.display(),
        listed(remains)
    )]
    Unrestored {
        /// The store's folder.
        data: PathBuf,
        /// What is left in it; at least one path.
        remains: Vec<PathBuf>,
    },
    /// What belongs to the whole store is damaged.
    #[error("{} is damaged: {detail}; restore it from a backup or choose another folder with --data", data.display())]
    Damaged {
        /// The store's folder.
        data: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The database of settings is damaged: rules, groups and the like.
    #[error(
        "{} is damaged and the settings in it cannot be trusted: {detail}; restore the folder from a backup, \
         or move it away to start with default settings (traces are not in it)",
        dir.display()
    )]
    ControlDamaged {
        /// The database's folder.
        dir: PathBuf,
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

impl OpenError {
    pub(crate) fn io(action: &'static str, path: &Path, source: &std::io::Error) -> Self {
        let source = std::io::Error::new(source.kind(), source.to_string());
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    fn engine(action: &'static str, data: &Path, error: &EngineError) -> Self {
        Self::io(action, data, &std::io::Error::other(error.to_string()))
    }

    pub(crate) fn damaged(data: &Path, error: &manifest::ManifestError) -> Self {
        Self::Damaged {
            data: data.to_owned(),
            detail: error.to_string(),
        }
    }
}

/// Returns paths as a sentence names them.
fn listed(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    match names.as_slice() {
        [firsts @ .., last] if !firsts.is_empty() => format!("{} and {last}", firsts.join(", ")),
        names => names.concat(),
    }
}

/// Takes the lock that keeps a second process out.
pub(crate) fn lock(data: &Path) -> Result<File, OpenError> {
    let path = data.join(LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path);
    let file = file.map_err(|source| OpenError::io("opening", &path, &source))?;
    hold(file, data)
}

/// Locks the file that was opened for it.
pub(crate) fn hold(file: File, data: &Path) -> Result<File, OpenError> {
    let path = data.join(LOCK);
    match file.try_lock() {
        // A restore that fails removes the file: who opened it before has locked nothing.
        Ok(()) if is_at(&file, &path) => Ok(file),
        Ok(()) | Err(fs::TryLockError::WouldBlock) => Err(OpenError::Locked {
            data: data.to_owned(),
        }),
        Err(fs::TryLockError::Error(source)) => Err(OpenError::io("locking", &path, &source)),
    }
}

/// Tells whether a file is the one at a path.
fn is_at(file: &File, path: &Path) -> bool {
    let place = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let (own, there) = (file.metadata().map(place), fs::metadata(path).map(place));
    matches!((own, there), (Ok(own), Ok(there)) if own == there)
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
    pub(crate) fn partitions(
        &self,
        mut manifest: Manifest,
        now: Timestamp,
    ) -> Result<(Partitions, Manifest, u64), OpenError> {
        let data = &self.config.data;
        remove_unlisted(&data.join(PARTITIONS), &manifest)
            .map_err(|source| OpenError::io("cleaning up", data, &source))?;
        let mut opened = Opened::default();
        for entry in manifest.partitions.clone() {
            if let Err(error) = self.partition(&entry, &mut opened) {
                if !error.is_damage() {
                    // The files may be fine: what the system refuses now it may give later.
                    return Err(OpenError::engine("opening a partition of", data, &error));
                }
                tracing::error!(folder = entry.folder, %error, "set a damaged partition aside");
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

    fn partition(&self, entry: &PartitionEntry, opened: &mut Opened) -> Result<(), EngineError> {
        let Some(facts) = &entry.sealed else {
            let handle = self.handle(&entry.folder, self.config.cache_bytes);
            let active = Active::open(entry.number, entry.created, handle, self.dictionaries);
            let active = active?;
            if entry.doubtful {
                active.doubt();
            }
            opened.unsealed.push(active);
            return Ok(());
        };
        let handle = self.handle(&entry.folder, SEALED_CACHE_BYTES);
        let members = Members::read(handle.dir(), self.dictionaries)?;
        opened.sealed.push(Arc::new(Sealed {
            number: entry.number,
            handle,
            facts: facts.clone(),
            doubtful: entry.doubtful,
            members,
        }));
        Ok(())
    }

    /// Makes a partition and lists it in the manifest, which the caller then writes.
    fn fresh(&self, manifest: &mut Manifest, now: Timestamp) -> Result<Arc<Active>, OpenError> {
        create_partition(self, manifest, now)
            .map_err(|error| OpenError::engine("making a partition in", &self.config.data, &error))
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
        doubtful: false,
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
        // A name may be taken: by the same partition, set aside and cut off before that was noted down.
        let taken = |name: &String| aside.join(name).exists();
        let names = (1..).map(|n| format!("{}.{n}", entry.folder));
        let mut names = std::iter::once(entry.folder.clone()).chain(names);
        let name = names.find(|name| !taken(name)).unwrap_or_default();
        fs::rename(from, aside.join(name))?;
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
pub(crate) const LOCK: &str = "LOCK";
/// Sealed partitions are read here and there, and many may be open: the system's page cache does.
pub(crate) const SEALED_CACHE_BYTES: u64 = 2 << 20;
const ENGINE: &str = "sled-0.34";
