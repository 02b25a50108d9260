//! Writing: records gather in a block, blocks in a file, files in a folder of bounded size.

mod open;

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Timestamp;

use crate::block::{BLOCK_BYTES_MAX, Payload, block_bytes_max, pack};
use crate::encoding::encode;
use crate::file::{FileHeader, HEADER_BYTES};
use crate::folder::{self, Listed};
use crate::record::Record;

pub use open::{Cut, OpenError, Opened};

/// How much is kept, and how long a record may wait in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a file. In a folder, a quarter of the folder's if that is less.
    pub file_bytes_max: u64,
    /// Bytes of all files of a folder; the oldest go first.
    pub dir_bytes_max: u64,
    /// A block is written when its records are so many bytes, before they are compressed.
    pub block_bytes: usize,
    /// A block is written when its first record is so old, see [`Journal::next_flush`].
    pub block_age: Duration,
}

/// What is written to: a folder of files that follow each other, or one file. One at a time: it is locked.
///
/// Dropped without [`Journal::flush`], it loses the records that wait in memory. After a failure it refuses records
/// ([`WriteError::Failed`]); opened anew it goes on behind the last whole block.
#[derive(Debug)]
pub struct Journal {
    place: Place,
    limits: Limits,
    current: Current,
    payload: Payload,
    /// When the first record of the payload was appended.
    begun: Timestamp,
    figures: Figures,
    has_failed: bool,
}

/// What a journal did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Records that are durable.
    pub n_records: u64,
    /// Blocks they are in.
    pub n_blocks: u64,
    /// Files that were removed to stay within the limit.
    pub n_files_removed: u64,
    /// Bytes of all files, older ones too.
    pub disk_bytes: u64,
    /// How many files these are.
    pub n_files: u64,
}

/// Why a record is not kept.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The system did not do what it was asked for. The journal takes no more.
    #[error("{attempted} {path}, {n_records_lost} records lost: {source}")]
    Io {
        /// In words.
        attempted: &'static str,
        /// The file.
        path: PathBuf,
        /// Records that waited in memory; the one that was appended may be among them.
        n_records_lost: u32,
        /// Why.
        source: io::Error,
    },
    /// The journal failed before and takes no more.
    #[error("the journal failed before")]
    Failed,
    /// The record is larger than a block or a file may be; the others are kept.
    #[error("a record of {n_bytes} bytes is larger than a block or file of the journal may be")]
    TooLarge {
        /// Bytes of the record.
        n_bytes: usize,
    },
    /// The file has no room for the record; what it has is durable.
    #[error("{path} is full")]
    Full {
        /// The file.
        path: PathBuf,
    },
}

#[derive(Debug)]
enum Place {
    Folder(Folder),
    /// The file itself is locked.
    File,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Lets go of the folder when it is dropped.
    _lock: File,
    /// The files before the current one.
    older: VecDeque<Listed>,
}

/// The file that is written to.
#[derive(Debug)]
struct Current {
    file: File,
    path: PathBuf,
    header: FileHeader,
    n_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes_max: 64 << 20,
            dir_bytes_max: 1 << 30,
            block_bytes: 1 << 20,
            block_age: Duration::from_secs(1),
        }
    }
}

impl Journal {
    /// Takes a record. It is durable once its block is written, which this call does if the block is full or old: then it
    /// waits for the disk.
    pub fn append(&mut self, record: &Record, now: Timestamp) -> Result<(), WriteError> {
        self.refuse_if_failed()?;
        let begin = self.payload.bytes.len();
        encode(record, &mut self.payload.bytes);
        if !self.has_room(self.payload.bytes.len()) {
            let encoded = self.payload.bytes.split_off(begin);
            let n_bytes = encoded.len();
            if !fits(n_bytes, self.limits.file_bytes_max - HEADER_BYTES) {
                return Err(WriteError::TooLarge { n_bytes });
            }
            self.seal(now)?;
            if !self.has_room(n_bytes) {
                let path = self.current.path.clone();
                return Err(WriteError::Full { path });
            }
            self.payload.bytes = encoded;
        }
        if self.payload.n_records == 0 {
            self.begun = now;
        }
        self.payload.count(record.at);
        if self.payload.bytes.len() >= self.limits.block_bytes {
            return self.seal(now);
        }
        self.flush_if_due(now)
    }

    /// Makes every record durable that was taken.
    pub fn flush(&mut self, now: Timestamp) -> Result<(), WriteError> {
        self.refuse_if_failed()?;
        self.seal(now)
    }

    /// Makes every record durable that was taken, if the first of them has waited for as long as it may.
    pub fn flush_if_due(&mut self, now: Timestamp) -> Result<(), WriteError> {
        self.refuse_if_failed()?;
        let is_due = self.next_flush().is_some_and(|due| due <= now);
        if is_due { self.seal(now) } else { Ok(()) }
    }

    /// Returns when [`Journal::flush_if_due`] is to be called at the latest; nothing while no record waits.
    pub fn next_flush(&self) -> Option<Timestamp> {
        let age = u64::try_from(self.limits.block_age.as_nanos()).unwrap_or(u64::MAX);
        let due = Timestamp::from_nanos(self.begun.as_nanos().saturating_add(age));
        (self.payload.n_records > 0).then_some(due)
    }

    /// Returns what was done so far.
    pub const fn figures(&self) -> Figures {
        self.figures
    }

    /// Returns the file that is written to.
    pub fn path(&self) -> &Path {
        &self.current.path
    }

    /// Writes what is no block, as nothing but a test does.
    #[cfg(test)]
    pub(crate) fn leave_hole(&mut self, bytes: &[u8]) {
        let current = &mut self.current;
        current.file.write_all_at(bytes, current.n_bytes).unwrap();
        current.n_bytes += u64::try_from(bytes.len()).unwrap();
    }

    fn refuse_if_failed(&self) -> Result<(), WriteError> {
        if self.has_failed {
            return Err(WriteError::Failed);
        }
        Ok(())
    }

    /// Tells whether a block of so many bytes of records can be written: in a folder, to a new file if need be.
    fn has_room(&self, payload_bytes: usize) -> bool {
        let used = match &self.place {
            Place::Folder(_) => HEADER_BYTES,
            Place::File => self.current.n_bytes,
        };
        fits(
            payload_bytes,
            self.limits.file_bytes_max.saturating_sub(used),
        )
    }

    /// Writes the block and waits until it is on disk.
    fn seal(&mut self, now: Timestamp) -> Result<(), WriteError> {
        if self.payload.n_records == 0 {
            return Ok(());
        }
        let sealed = self.write_block(now);
        self.measure();
        let n_records = self.payload.n_records;
        let mut bytes = std::mem::take(&mut self.payload.bytes);
        bytes.clear();
        bytes.shrink_to(self.limits.block_bytes.saturating_mul(2));
        self.payload = Payload {
            bytes,
            ..Payload::empty()
        };
        if let Err((attempted, path, source)) = sealed {
            self.has_failed = true;
            return Err(WriteError::Io {
                attempted,
                path,
                n_records_lost: n_records,
                source,
            });
        }
        self.figures.n_records += u64::from(n_records);
        self.figures.n_blocks += 1;
        Ok(())
    }

    fn write_block(&mut self, now: Timestamp) -> Result<(), (&'static str, PathBuf, io::Error)> {
        let failed = |attempted, path: &Path, source| (attempted, path.to_owned(), source);
        let packed = pack(&self.payload);
        let packed = packed.map_err(|source| failed("compress for", &self.current.path, source))?;
        let n_bytes = packed.header.end(0).unwrap_or(u64::MAX);
        let has_blocks = self.current.n_bytes > HEADER_BYTES;
        if has_blocks && self.current.n_bytes + n_bytes > self.limits.file_bytes_max {
            self.rotate(now)
                .map_err(|(path, source)| ("begin", path, source))?;
        }
        self.make_room(n_bytes)
            .map_err(|(path, source)| ("remove", path, source))?;
        let current = &mut self.current;
        let mut bytes = packed.header.encode(current.n_bytes);
        bytes.extend(packed.stored);
        let written = current.file.write_all_at(&bytes, current.n_bytes);
        let written = written.and_then(|()| current.file.sync_data());
        written.map_err(|source| failed("write to", &current.path, source))?;
        current.n_bytes += n_bytes;
        Ok(())
    }

    /// Begins the next file of a folder. A file of its own never comes here: it is full before.
    fn rotate(&mut self, now: Timestamp) -> Result<(), (PathBuf, io::Error)> {
        let Place::Folder(folder) = &mut self.place else {
            return Ok(());
        };
        let FileHeader { created, number } = self.current.header;
        let next = folder.begin(number.saturating_add(1), created.max(now))?;
        let full = std::mem::replace(&mut self.current, next);
        folder.older.push_back(Listed {
            number,
            path: full.path,
            n_bytes: full.n_bytes,
        });
        Ok(())
    }

    /// Removes the oldest files until so many bytes can be written within the folder's limit.
    fn make_room(&mut self, n_bytes: u64) -> Result<(), (PathBuf, io::Error)> {
        while self.disk_bytes().saturating_add(n_bytes) > self.limits.dir_bytes_max {
            let Place::Folder(folder) = &mut self.place else {
                return Ok(());
            };
            let Some(oldest) = folder.older.pop_front() else {
                return Ok(());
            };
            match fs::remove_file(&oldest.path) {
                Ok(()) => self.figures.n_files_removed += 1,
                // Somebody was quicker.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err((oldest.path, error)),
            }
        }
        self.measure();
        Ok(())
    }

    fn measure(&mut self) {
        let n_older = match &self.place {
            Place::Folder(folder) => folder.older.len(),
            Place::File => 0,
        };
        self.figures.n_files = u64::try_from(n_older).unwrap_or(u64::MAX).saturating_add(1);
        self.figures.disk_bytes = self.disk_bytes();
    }

    fn disk_bytes(&self) -> u64 {
        let older = match &self.place {
            Place::Folder(folder) => folder.older.iter().map(|older| older.n_bytes).sum(),
            Place::File => 0,
        };
        self.current.n_bytes + older
    }
}

impl Folder {
    fn begin(&self, number: u64, created: Timestamp) -> Result<Current, (PathBuf, io::Error)> {
        let path = folder::path_of(&self.path, number);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(MODE);
        let header = FileHeader { created, number };
        let begun = options.open(&path);
        let begun = begun.and_then(|file| begin(file, path.clone(), header));
        begun.map_err(|source| (path, source))
    }
}

/// Writes the header of a file that has nothing yet, durably.
fn begin(file: File, path: PathBuf, header: FileHeader) -> io::Result<Current> {
    file.write_all_at(&header.encode(), 0)?;
    file.sync_all()?;
    folder::sync_names(&path)?;
    Ok(Current {
        file,
        path,
        header,
        n_bytes: HEADER_BYTES,
    })
}

fn fits(payload_bytes: usize, room: u64) -> bool {
    payload_bytes <= BLOCK_BYTES_MAX && block_bytes_max(payload_bytes) <= room
}

/// Recorded traffic is for its owner alone.
const MODE: u32 = 0o600;
