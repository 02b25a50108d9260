//! Making a backup of a store that is open.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::Timestamp;
use tar::{Builder, Header};
use zstd::Encoder;

use super::sums::{Sum, Sums};
use super::{
    BackupError, DICTIONARIES, FORMAT, HEAD, HEAD_WORDS, MANIFEST, MEMBERS, SETTINGS, SUMS, TREES,
};
use crate::SledControl;
use crate::control::SettingsCopy;
use crate::engine::{EngineError, Tree};
use crate::manifest::{self, Manifest};
use crate::migrations;
use crate::sealed::Sealed;
use crate::store::{Shared, SledStore};

/// A backup that is begun: what is in it stands, and is kept until this is dropped.
pub struct Backup {
    shared: Arc<Shared>,
    manifest: Manifest,
    settings: SettingsCopy,
    /// The partitions, oldest first.
    sealed: Vec<Arc<Sealed>>,
    at: Timestamp,
}

/// Partitions that retention is to leave alone, and how many backups want that.
#[derive(Default)]
pub(crate) struct Pins(Mutex<BTreeMap<u32, usize>>);

impl Pins {
    /// Tells whether a partition is being copied.
    pub(crate) fn holds(&self, number: u32) -> bool {
        let pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pins.contains_key(&number)
    }

    fn add(&self, number: u32) {
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *pins.entry(number).or_default() += 1;
    }

    fn remove(&self, number: u32) {
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n_backups) = pins.get_mut(&number) {
            *n_backups -= 1;
            if *n_backups == 0 {
                pins.remove(&number);
            }
        }
    }
}

impl SledStore {
    /// Begins a backup of the store and of its settings. Everything acknowledged before this call is in it. Blocks until
    /// the partition that takes writes is sealed, about a second; writes go on in another one.
    ///
    /// # Errors
    /// [`BackupError::NotSealed`] after some minutes, [`BackupError::Store`] if the store takes no writes.
    pub fn backup(&self, settings: &SledControl, now: Timestamp) -> Result<Backup, BackupError> {
        let last = self.committer.roll(now)?;
        let shared = Arc::clone(&self.shared);
        let is_sealed = || {
            shared
                .partitions()
                .unsealed()
                .all(|active| active.number > last)
        };
        if !shared.backlog.wait_until(SEALED_WITHIN, is_sealed) {
            return Err(BackupError::NotSealed {
                number: last,
                waited_s: SEALED_WITHIN.as_secs(),
            });
        }
        // Settings come between: no account may be known there and not in the manifest, and no filter of a group may have
        // been in force for what is sealed and not be there.
        let settings = settings.copy()?;
        let manifest = shared.lock_manifest();
        let partitions = shared.partitions();
        let sealed = partitions.sealed.iter();
        // Whoever drops one holds the manifest while it looks whether it may.
        let is_listed = |number: u32| {
            let mut entries = manifest.partitions.iter();
            entries.any(|entry| entry.number == number)
        };
        let sealed: Vec<Arc<Sealed>> = sealed
            .filter(|sealed| sealed.number <= last && is_listed(sealed.number))
            .map(Arc::clone)
            .collect();
        for sealed in &sealed {
            shared.pins.add(sealed.number);
        }
        let mut copied = manifest.clone();
        copied
            .partitions
            .retain(|entry| sealed.iter().any(|sealed| sealed.number == entry.number));
        drop(manifest);
        // Numbers that are left out would read as partitions that were dropped.
        copied.next_partition = last.saturating_add(1);
        Ok(Backup {
            shared,
            manifest: copied,
            settings,
            sealed,
            at: now,
        })
    }
}

impl Backup {
    /// Writes the backup. Blocks, also for as long as `out` does; memory stays at some MiB.
    ///
    /// # Errors
    /// What was written then is recognisably no whole backup.
    pub fn write(&self, out: impl Write) -> Result<(), BackupError> {
        let mut encoder = Encoder::new(out, COMPRESSION)?;
        encoder.include_checksum(true)?;
        let mut archive = Archive {
            builder: Builder::new(encoder),
            sums: Sums::default(),
            mtime: self.at.as_secs(),
        };
        archive.add(HEAD, format!("{HEAD_WORDS} {FORMAT}\n").as_bytes())?;
        let manifest = manifest::to_bytes(migrations::CURRENT, &self.manifest);
        archive.add(MANIFEST, &manifest)?;
        self.write_dictionaries(&mut archive)?;
        self.write_settings(&mut archive)?;
        for sealed in &self.sealed {
            self.write_partition(sealed, &mut archive)?;
        }
        let sums = archive.sums.to_text();
        archive.add(SUMS, sums.as_bytes())?;
        archive.builder.into_inner()?.finish()?.flush()?;
        Ok(())
    }

    fn write_dictionaries(&self, archive: &mut Archive<impl Write>) -> Result<(), BackupError> {
        let dir = self.shared.config.data.join(DICTIONARIES);
        let mut names = Vec::new();
        for entry in fs::read_dir(&dir)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if Path::new(&name).extension().is_some_and(|of| of == "zdict") {
                names.push(name);
            }
        }
        names.sort();
        for name in names {
            // One is never changed once it has its name.
            let bytes = fs::read(dir.join(&name))?;
            archive.add(&format!("{DICTIONARIES}/{name}"), &bytes)?;
        }
        Ok(())
    }

    fn write_settings(&self, archive: &mut Archive<impl Write>) -> Result<(), BackupError> {
        let mut chunk = Chunk::new(SETTINGS.to_owned());
        for (key, payload) in self.settings.records() {
            chunk.add(key, payload)?;
            if chunk.is_full() {
                archive.add_chunk(&mut chunk)?;
            }
        }
        archive.add_chunk(&mut chunk)
    }

    fn write_partition(
        &self,
        sealed: &Arc<Sealed>,
        archive: &mut Archive<impl Write>,
    ) -> Result<(), BackupError> {
        let dir = sealed.handle.dir();
        let folder = dir.file_name().unwrap_or_default().to_string_lossy();
        let gone = || BackupError::Gone {
            folder: folder.clone().into_owned(),
        };
        let members = fs::read(dir.join(MEMBERS)).map_err(|_| gone())?;
        archive.add(&format!("p/{folder}/{MEMBERS}"), &members)?;
        for tree in TREES {
            let mut chunk = Chunk::new(format!("p/{folder}/{}", tree.name()));
            let mut from = Vec::new();
            loop {
                let read = self.shared.read_sealed(sealed, |opened| {
                    chunk.fill(tree, &mut from, opened.engine())
                })?;
                let is_done = read.ok_or_else(gone)?;
                archive.add_chunk(&mut chunk)?;
                if is_done {
                    break;
                }
            }
        }
        Ok(())
    }
}

impl Drop for Backup {
    fn drop(&mut self) {
        for sealed in &self.sealed {
            self.shared.pins.remove(sealed.number);
        }
    }
}

/// The file as it is written.
struct Archive<W: Write> {
    builder: Builder<W>,
    sums: Sums,
    mtime: u64,
}

impl<W: Write> Archive<W> {
    fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), BackupError> {
        let n_bytes = u64::try_from(bytes.len()).map_err(io::Error::other)?;
        let mut header = Header::new_gnu();
        header.set_size(n_bytes);
        header.set_mode(0o600);
        header.set_mtime(self.mtime);
        self.builder.append_data(&mut header, name, bytes)?;
        self.sums.add(Sum {
            name: name.to_owned(),
            n_bytes,
            crc: crc32c::crc32c(bytes),
        });
        Ok(())
    }

    /// Adds the next file of records, if there are any, and makes room for others.
    fn add_chunk(&mut self, chunk: &mut Chunk) -> Result<(), BackupError> {
        if !chunk.bytes.is_empty() {
            self.add(
                &format!("{}/{:06}", chunk.folder, chunk.number),
                &chunk.bytes,
            )?;
            chunk.number += 1;
            chunk.bytes.clear();
        }
        Ok(())
    }
}

/// Some records of a tree, one after the other: length of the key, length of the value, key, value.
struct Chunk {
    folder: String,
    number: u32,
    bytes: Vec<u8>,
}

impl Chunk {
    const fn new(folder: String) -> Self {
        Self {
            folder,
            number: 1,
            bytes: Vec::new(),
        }
    }

    fn add(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(io::Error::other);
        self.bytes.extend(length(key)?.to_be_bytes());
        self.bytes.extend(length(value)?.to_be_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        Ok(())
    }

    const fn is_full(&self) -> bool {
        self.bytes.len() >= CHUNK_BYTES
    }

    /// Adds records from a key on until it is full, moving `from` behind them; tells whether these were the last.
    fn fill(
        &mut self,
        tree: Tree,
        from: &mut Vec<u8>,
        engine: &dyn crate::engine::Partition,
    ) -> Result<bool, EngineError> {
        let (mut is_done, mut failure) = (true, None);
        let mut next = std::mem::take(from);
        engine.scan(tree, &next.clone(), None, &mut |key, value| {
            if self.is_full() {
                is_done = false;
                return ControlFlow::Break(());
            }
            if let Err(error) = self.add(key, value) {
                failure = Some(error);
                return ControlFlow::Break(());
            }
            next.clear();
            next.extend_from_slice(key);
            next.push(0);
            ControlFlow::Continue(())
        })?;
        *from = next;
        match failure {
            None => Ok(is_done),
            Some(error) => Err(EngineError::Io {
                action: "copying a record",
                detail: error.to_string(),
            }),
        }
    }
}

/// Most of what is in a store is compressed already.
const COMPRESSION: i32 = 1;
const CHUNK_BYTES: usize = 4 << 20;
/// A full partition is sealed in some seconds, also by a slow disk.
const SEALED_WITHIN: Duration = Duration::from_mins(5);
