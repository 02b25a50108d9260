//! Opening: what an earlier writer left, and where to go on.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use model::Timestamp;

use super::{Current, Figures, Folder, Journal, Limits, MODE, Place, begin};
use crate::block::Payload;
use crate::file::{FileHeader, Found, HEADER_BYTES, NoHeader, look};
use crate::folder::{self, LOCK};

/// A journal, and what its last writer left undone.
#[derive(Debug)]
pub struct Opened {
    /// The journal.
    pub journal: Journal,
    /// What was cut off, if the last writer was stopped while it wrote.
    pub cut: Option<Cut>,
}

/// The end of a file that held no whole block and was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub path: PathBuf,
    /// Where it ends now.
    pub offset: u64,
    /// How many bytes were cut off.
    pub n_bytes: u64,
}

/// Why a journal cannot be written to.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system did not do what it was asked for.
    #[error("{attempted} {path}: {source}")]
    Io {
        /// In words.
        attempted: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else writes to it.
    #[error("{path} is in use by another process")]
    InUse {
        /// The file or folder.
        path: PathBuf,
    },
    /// The file is something else, and is left as it is.
    #[error("{path} is no journal")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file's header is damaged; what is in it can be read all the same.
    #[error("the header of {path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later version.
    #[error("{path} is a journal of format {format}, which this version does not know")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// No file could hold anything of use.
    #[error(
        "a journal's files must be allowed {FILE_BYTES_MIN} bytes each, four times that in a folder"
    )]
    LimitsTooSmall,
}

/// What was found in a file that is there already.
enum Resumed {
    /// It can be written to, behind its last whole block.
    Current { current: Current, has_hole: bool },
    /// It was begun and nothing more.
    Begun(File),
    /// It cannot.
    Unusable(NoHeader),
}

impl Journal {
    /// Opens a folder of files, and makes it if there is none. Goes on with the newest file if that has room and is
    /// sound, else begins another one.
    pub fn open_folder(path: &Path, limits: &Limits, now: Timestamp) -> Result<Opened, OpenError> {
        let mut limits = limits.clone();
        limits.file_bytes_max = limits.file_bytes_max.min(limits.dir_bytes_max / 4);
        check(&limits)?;
        let failed = |attempted, source| OpenError::Io {
            attempted,
            path: path.to_owned(),
            source,
        };
        fs::create_dir_all(path).map_err(|source| failed("make", source))?;
        let lock = path.join(LOCK);
        let lock = open_rw(&lock).map_err(|source| failed("lock", source))?;
        lock_of(path, &lock)?;
        let older = folder::numbered(path).map_err(|source| failed("list", source))?;
        let mut folder = Folder {
            path: path.to_owned(),
            _lock: lock,
            older: older.into(),
        };
        let (current, cut) = folder.resume(&limits, now)?;
        let mut journal = Self::new(Place::Folder(folder), limits, current);
        let made_room = journal.make_room(0);
        made_room.map_err(|(path, source)| OpenError::Io {
            attempted: "remove",
            path,
            source,
        })?;
        Ok(Opened { journal, cut })
    }

    /// Opens one file, and makes it if there is none. It grows up to its limit and is then full; the limit of folders does
    /// not matter.
    pub fn open_file(path: &Path, limits: &Limits, now: Timestamp) -> Result<Opened, OpenError> {
        check(limits)?;
        let failed = |attempted, source| OpenError::Io {
            attempted,
            path: path.to_owned(),
            source,
        };
        let file = open_rw(path).map_err(|source| failed("open", source))?;
        lock_of(path, &file)?;
        let path = path.to_owned();
        let resumed = resume(file, &path);
        let (resumed, cut) = resumed.map_err(|source| failed("read", source))?;
        let current = match resumed {
            Resumed::Current { current, .. } => current,
            Resumed::Begun(file) => {
                let header = FileHeader {
                    created: now,
                    number: 0,
                };
                begin(file, path.clone(), header).map_err(|source| failed("begin", source))?
            }
            Resumed::Unusable(NoHeader::Newer(format)) => {
                return Err(OpenError::Newer { path, format });
            }
            Resumed::Unusable(NoHeader::Damaged) => return Err(OpenError::Damaged { path }),
            Resumed::Unusable(NoHeader::Begun | NoHeader::Foreign) => {
                return Err(OpenError::Foreign { path });
            }
        };
        let journal = Self::new(Place::File, limits.clone(), current);
        Ok(Opened { journal, cut })
    }

    fn new(place: Place, limits: Limits, current: Current) -> Self {
        let mut journal = Self {
            place,
            limits,
            current,
            payload: Payload::empty(),
            begun: Timestamp::ZERO,
            figures: Figures::default(),
            has_failed: false,
        };
        journal.measure();
        journal
    }
}

impl Folder {
    /// Takes the newest file off the older ones if it can be gone on with, else begins another one.
    fn resume(
        &mut self,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<(Current, Option<Cut>), OpenError> {
        let failed = |attempted, path, source| OpenError::Io {
            attempted,
            path,
            source,
        };
        let Some(newest) = self.older.back().cloned() else {
            let begun = self.begin(1, now);
            return begun
                .map(|current| (current, None))
                .map_err(|(path, source)| failed("begin", path, source));
        };
        let path = newest.path;
        let resumed = open_rw(&path).and_then(|file| resume(file, &path));
        let (resumed, cut) = resumed.map_err(|source| failed("read", path.clone(), source))?;
        let created = self.last_begun().max(now);
        match resumed {
            Resumed::Current { current, has_hole } => {
                let has_room = current.n_bytes < limits.file_bytes_max;
                let is_named_right = current.header.number == newest.number;
                if has_room && is_named_right && !has_hole {
                    self.older.pop_back();
                    return Ok((current, cut));
                }
                if let Some(newest) = self.older.back_mut() {
                    newest.n_bytes = current.n_bytes;
                }
            }
            Resumed::Begun(file) => {
                self.older.pop_back();
                let header = FileHeader {
                    created,
                    number: newest.number,
                };
                let begun = begin(file, path.clone(), header);
                let current = begun.map_err(|source| failed("begin", path, source))?;
                return Ok((current, cut));
            }
            Resumed::Unusable(_) => {}
        }
        let begun = self.begin(newest.number.saturating_add(1), created);
        begun
            .map(|current| (current, cut))
            .map_err(|(path, source)| failed("begin", path, source))
    }

    /// Returns when the newest of the files was begun that says so.
    fn last_begun(&self) -> Timestamp {
        let read = |path: &Path| FileHeader::read(&File::open(path)?);
        let mut newest_first = self.older.iter().rev();
        let header = newest_first.find_map(|listed| read(&listed.path).ok()?.ok());
        header.map_or(Timestamp::ZERO, |header| header.created)
    }
}

/// Finds out where to go on in a file, and cuts off what is behind its last whole block.
fn resume(file: File, path: &Path) -> io::Result<(Resumed, Option<Cut>)> {
    let len = file.metadata()?.len();
    let header = match FileHeader::read(&file)? {
        Ok(header) => header,
        Err(NoHeader::Begun) if len <= HEADER_BYTES => return Ok((Resumed::Begun(file), None)),
        Err(other) => return Ok((Resumed::Unusable(other), None)),
    };
    let (end, has_hole) = end_of_blocks(&file)?;
    let mut cut = None;
    if end < len {
        file.set_len(end)?;
        file.sync_all()?;
        cut = Some(Cut {
            path: path.to_owned(),
            offset: end,
            n_bytes: len - end,
        });
    }
    let current = Current {
        file,
        path: path.to_owned(),
        header,
        n_bytes: end,
    };
    Ok((Resumed::Current { current, has_hole }, cut))
}

/// Returns where the last whole block ends, and whether damage lies before it.
fn end_of_blocks(file: &File) -> io::Result<(u64, bool)> {
    let (mut offset, mut end) = (HEADER_BYTES, HEADER_BYTES);
    let (mut was_damaged, mut has_hole) = (false, false);
    loop {
        match look(file, offset)? {
            Found::Block { end: block_end, .. } => {
                has_hole |= was_damaged;
                (offset, end) = (block_end, block_end);
            }
            Found::Damage {
                until: Some(until), ..
            } => {
                was_damaged = true;
                offset = until;
            }
            Found::Damage { until: None, .. } | Found::End { .. } => return Ok((end, has_hole)),
        }
    }
}

fn check(limits: &Limits) -> Result<(), OpenError> {
    if limits.file_bytes_max < FILE_BYTES_MIN {
        return Err(OpenError::LimitsTooSmall);
    }
    Ok(())
}

fn open_rw(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.mode(MODE).open(path)
}

fn lock_of(path: &Path, lock: &File) -> Result<(), OpenError> {
    let path = path.to_owned();
    match lock.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path }),
        Err(TryLockError::Error(source)) => Err(OpenError::Io {
            attempted: "lock",
            path,
            source,
        }),
    }
}

const FILE_BYTES_MIN: u64 = 4096;
