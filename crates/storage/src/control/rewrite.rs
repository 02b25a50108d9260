//! Replacing the control database by a fresh one with the same records.
//!
//! A fresh database is made in `control.new/control`, whole and synced; then `control` is moved to
//! `control.old`, the fresh one to `control`, and the old one is removed. Wherever that is cut off,
//! [`Rewriting::settle`] finds one of the two whole. The folder's own name stays `control` all the
//! time because a database carries it as its identity.

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::dictionary::Dictionaries;
use crate::engine::{Engine, EngineError, Tree};
use crate::partitions::{Handle, Opened};
use crate::record::Record;

/// A record as it was before a change that failed.
pub(super) struct Former {
    key: Vec<u8>,
    /// Nothing if there was none.
    payload: Option<Vec<u8>>,
}

/// What it takes to make and replace the database.
pub(super) struct Rewriting {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) data: PathBuf,
    pub(super) dictionaries: Dictionaries,
}

impl Former {
    /// Returns what is under a key. Nothing if that is damaged: what takes its place is all there is then.
    pub(super) fn read(
        opened: &Opened,
        key: &[u8],
        dictionaries: &Dictionaries,
    ) -> Result<Option<Self>, EngineError> {
        let payload = match opened.record(Tree::Control, key, dictionaries)? {
            None => None,
            Some(Ok((_, payload))) => Some(payload),
            Some(Err(_)) => return Ok(None),
        };
        let key = key.to_owned();
        Ok(Some(Self { key, payload }))
    }
}

impl Rewriting {
    /// Returns the database's folder.
    pub(super) fn dir(&self) -> PathBuf {
        self.data.join(NAME)
    }

    /// Returns a handle of the database that is there.
    pub(super) fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.engine), self.dir(), CACHE_BYTES)
    }

    /// Ends or undoes a replacement that was cut off.
    pub(super) fn settle(&self) -> Result<(), EngineError> {
        let settled = || {
            if self.old().exists() && !self.dir().exists() {
                fs::rename(self.old(), self.dir())?;
            }
            remove(&self.old())?;
            remove(&self.new_parent())?;
            File::open(&self.data)?.sync_all()
        };
        settled().map_err(|error| failed(&error))
    }

    /// Makes an empty database where there is none and returns its handle.
    pub(super) fn fresh(&self) -> Result<Handle, EngineError> {
        let fresh = self.begin()?;
        fresh.retire();
        self.put_in_place()?;
        Ok(self.handle())
    }

    /// Copies every record into a fresh database, some of them as they were, and puts that in the place of
    /// the old one, which nobody may have open. Returns the handle of the fresh one.
    pub(super) fn rewrite(&self, formers: &[Former]) -> Result<Handle, EngineError> {
        self.settle()?;
        let old = self.handle();
        let fresh = self.begin()?;
        old.with(|from| {
            fresh.with(|to| {
                each(from, &self.dictionaries, &mut |key, payload| {
                    if formers.iter().any(|former| former.key == key) {
                        return Ok(());
                    }
                    to.put(Tree::Control, key, Record::of_payload(payload))
                })?;
                for Former { key, payload } in formers {
                    if let Some(payload) = payload {
                        to.put(Tree::Control, key, Record::of_payload(payload))?;
                    }
                }
                to.sync()
            })
        })?;
        old.retire();
        fresh.retire();
        self.put_in_place()?;
        Ok(self.handle())
    }

    /// Makes an empty database beside the one that counts.
    fn begin(&self) -> Result<Handle, EngineError> {
        let dir = self.new_parent().join(NAME);
        let fresh = Handle::new(Arc::clone(&self.engine), dir, CACHE_BYTES);
        fresh.create()?;
        Ok(fresh)
    }

    fn put_in_place(&self) -> Result<(), EngineError> {
        let moved = || {
            File::open(self.new_parent())?.sync_all()?;
            if self.dir().exists() {
                fs::rename(self.dir(), self.old())?;
            }
            fs::rename(self.new_parent().join(NAME), self.dir())?;
            File::open(&self.data)?.sync_all()?;
            remove(&self.old())?;
            remove(&self.new_parent())
        };
        moved().map_err(|error| failed(&error))
    }

    fn old(&self) -> PathBuf {
        self.data.join("control.old")
    }

    fn new_parent(&self) -> PathBuf {
        self.data.join("control.new")
    }
}

/// What is done with the key and payload of each record.
pub(super) type VisitPayload<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<(), EngineError>;

/// Visits the key and payload of every record; damage of any of them is an error.
pub(super) fn each(
    opened: &Opened,
    dictionaries: &Dictionaries,
    visit: VisitPayload<'_>,
) -> Result<(), EngineError> {
    let mut outcome = Ok(());
    opened.scan_records(Tree::Control, &[], &[], dictionaries, &mut |key, read| {
        outcome = match read {
            Ok((_, payload)) => visit(key, &payload),
            Err(damage) => Err(EngineError::Damaged {
                action: "reading a setting",
                detail: damage.to_string(),
            }),
        };
        match outcome {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    outcome
}

/// Tells whether a database takes so much more room than its records that rewriting it pays.
pub(super) fn is_worthwhile(dir: &Path, live_bytes: u64) -> bool {
    disk_bytes(dir) > (live_bytes * BLOAT_MAX).max(DISK_BYTES_MIN)
}

/// Returns the bytes of all files in a folder; what cannot be read counts nothing.
pub(super) fn disk_bytes(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    let files = entries.flatten().filter_map(|entry| entry.metadata().ok());
    files
        .filter(fs::Metadata::is_file)
        .map(|metadata| metadata.len())
        .sum()
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn failed(error: &io::Error) -> EngineError {
    EngineError::Io {
        action: "replacing the database of settings",
        detail: error.to_string(),
    }
}

pub(crate) const NAME: &str = "control";
const CACHE_BYTES: u64 = 4 << 20;
/// sled begins with a file of this order whatever it holds.
const DISK_BYTES_MIN: u64 = 16 << 20;
const BLOAT_MAX: u64 = 8;
