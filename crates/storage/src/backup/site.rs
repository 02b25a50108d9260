//! The folder a store is restored into. It may be a mount point: nothing is made beside it, and it keeps its place.
//!
//! 1. Under the lock of stores, the store is put together in a folder below it.
//! 2. What is whole and durable moves up, all but the manifest.
//! 3. The manifest moves up: with it the store is there.
//! 4. The folder below is empty then, and goes.
//!
//! Cut off before the manifest is there, the folder below is: such remains are told of, and never opened or added to.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{DICTIONARIES, MANIFEST, RestoreError, SETTINGS, failed};
use crate::OpenError;
use crate::open::{LOCK, PARTITIONS, lock};

/// The folder for a store, taken for a restore.
pub(super) struct Site {
    data: PathBuf,
    /// What was not there before is not there after a restore that failed.
    is_made: bool,
    has_lock_made: bool,
    _lock: File,
}

/// What is done before each thing that moves up, by its name, and before the folder below goes.
pub(crate) type Watch<'a> = &'a mut dyn FnMut(&str);

impl Site {
    /// Takes a folder that is not there or empty, and makes the folder below.
    pub(super) fn begin(data: &Path) -> Result<Self, RestoreError> {
        let is_made = !data.try_exists().map_err(failed("looking for", data))?;
        fs::create_dir_all(data).map_err(failed("making", data))?;
        // No file is put among those of somebody else, so look before the lock is made, too.
        if remains(data).is_none() {
            check_empty(data)?;
        }
        let has_lock_made = !data.join(LOCK).exists();
        let lock = lock(data)?;
        refuse_remains(data)?;
        check_empty(data)?;
        let site = Self {
            data: data.to_owned(),
            is_made,
            has_lock_made,
            _lock: lock,
        };
        let below = site.below();
        fs::create_dir(&below).map_err(failed("making", &below))?;
        Ok(site)
    }

    /// Returns the folder to put the store together in.
    pub(super) fn below(&self) -> PathBuf {
        self.data.join(BELOW)
    }

    /// Moves the store, which is durable, to its place. Durable once this returns.
    pub(super) fn settle(&self, watch: Watch<'_>) -> Result<(), RestoreError> {
        for name in PARTS {
            watch(name);
            self.move_up(name)?;
        }
        // No manifest may be there after the loss of power without what it names.
        sync(&self.data)?;
        watch(MANIFEST);
        self.move_up(MANIFEST)?;
        sync(&self.data)?;
        if self.is_made
            && let Some(parent) = self.data.parent()
        {
            let is_named = !parent.as_os_str().is_empty();
            sync(if is_named { parent } else { Path::new(".") })?;
        }
        watch(BELOW);
        tidy(&self.data);
        Ok(())
    }

    /// Takes away what a restore that failed has made; what stays is told of by the next one.
    pub(super) fn clear(self) {
        let _ = fs::remove_file(self.data.join(MANIFEST));
        for name in PARTS {
            let _ = fs::remove_dir_all(self.data.join(name));
        }
        // Last, so that whatever stays is known for what it is.
        let _ = fs::remove_dir_all(self.below());
        if self.has_lock_made {
            let _ = fs::remove_file(self.data.join(LOCK));
        }
        if self.is_made {
            let _ = fs::remove_dir(&self.data);
        }
    }

    fn move_up(&self, name: &str) -> Result<(), RestoreError> {
        let to = self.data.join(name);
        fs::rename(self.below().join(name), &to).map_err(failed("moving to", &to))
    }
}

/// Refuses a folder that holds what a restore left that was cut off.
pub(crate) fn refuse_remains(data: &Path) -> Result<(), OpenError> {
    remains(data).map_or(Ok(()), |remains| {
        Err(OpenError::Unrestored {
            data: data.to_owned(),
            remains,
        })
    })
}

/// Takes away what is left of a restore that was cut off when the store was there already.
pub(crate) fn tidy(data: &Path) {
    if data.join(MANIFEST).exists() {
        // Nothing is removed that is not empty.
        let _ = fs::remove_dir(data.join(BELOW));
    }
}

/// Returns what a restore left that was cut off before the store was there.
fn remains(data: &Path) -> Option<Vec<PathBuf>> {
    let below = data.join(BELOW);
    if !below.exists() || data.join(MANIFEST).exists() {
        return None;
    }
    let moved = PARTS.map(|name| data.join(name));
    let moved = moved.into_iter().filter(|path| path.exists());
    Some(std::iter::once(below).chain(moved).collect())
}

/// Refuses a folder that has anything in it but what every file system may have, and a lock nobody holds.
fn check_empty(data: &Path) -> Result<(), RestoreError> {
    for entry in fs::read_dir(data).map_err(failed("reading", data))? {
        let name = entry.map_err(failed("reading", data))?.file_name();
        if name != LOCK && name != LOST_AND_FOUND {
            let data = data.to_owned();
            return Err(RestoreError::NotEmpty { data });
        }
    }
    Ok(())
}

fn sync(dir: &Path) -> Result<(), RestoreError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(failed("syncing", dir))
}

/// What moves up before the manifest.
const PARTS: [&str; 3] = [DICTIONARIES, SETTINGS, PARTITIONS];
/// Where a store is put together.
const BELOW: &str = "restoring";
/// A file system of its own may have this folder at its top.
const LOST_AND_FOUND: &str = "lost+found";
