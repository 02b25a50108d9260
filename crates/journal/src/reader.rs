//! Reading: files as one stream of records, a block at a time.

mod source;

use std::fs::File;
use std::io::{self, ErrorKind::NotFound};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::block::{BlockHeader, unpack};
use crate::encoding::{decode, split};
use crate::file::{BLOCK_BYTES_MIN, Found, HEADER_BYTES, find_header, is_block, look};
use crate::folder;
use crate::position::Position;
use crate::record::Record;
use source::Source;

/// The records of one or several files, in the order in which the files were begun.
///
/// - The end is the end for now: once more was written to the last file, the next call gives it. Files that were begun
///   after the reader was opened are read by another one, from this one's [`Reader::position`].
/// - Damage is an item; whoever asks for the next one gets what comes after the damage. After a failure of I/O that is
///   the next file.
/// - In memory are one block as stored and one unpacked, at most twice [`crate::BLOCK_BYTES_MAX`].
#[derive(Debug)]
pub struct Reader {
    sources: Vec<Source>,
    source_idx: usize,
    file: Option<File>,
    /// Where the current block begins; between blocks where the last one ends, and never behind damage: its writer may
    /// cut that off and go on here.
    offset: u64,
    /// Set behind damage that was told.
    ahead: Option<Ahead>,
    block: Option<OpenBlock>,
    n_unknown: u64,
    /// Of the files that were left, or only just begun.
    torn: Vec<Torn>,
    /// Of the last file, as it was last seen.
    torn_last: Option<Torn>,
    is_over: bool,
}

/// A block that was being written when its file ended: of a crash, or of a writer at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The file.
    pub path: PathBuf,
    /// Where the block begins.
    pub offset: u64,
    /// How many bytes of it are there.
    pub n_bytes: u64,
}

/// What is wrong with a file, or a part of it.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
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
    /// It is something else.
    #[error("{path} is no journal")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It was written by a later version.
    #[error("{path} is a journal of format {format}, which this version does not know")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// These bytes are not what was written; what follows them can be read.
    #[error("{path} is damaged from byte {offset} to {until}: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first byte.
        offset: u64,
        /// The byte after the last.
        until: u64,
        /// In words.
        what: &'static str,
    },
    /// A record is not what this version reads, although it is as it was written.
    #[error("record {record_idx} of the block at byte {offset} of {path} cannot be read")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where its block begins.
        offset: u64,
        /// Its place in the block.
        record_idx: u32,
    },
    /// No file is the one a position is in, or it has no such place: the file was removed, or another one is meant.
    #[error("position {position} is in none of these files")]
    Elsewhere {
        /// The position.
        position: Position,
    },
}

/// Where to look behind damage.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    from: u64,
    /// The damage goes from here to the next header, wherever that will be.
    is_open: bool,
}

#[derive(Debug)]
struct OpenBlock {
    rest: Bytes,
    next_idx: u32,
    n_records: u32,
    /// Where the next block begins.
    end: u64,
}

impl Reader {
    /// Opens files, and of folders all that are named `*.journal`.
    ///
    /// # Errors
    /// Fails if a file cannot be opened, is no journal, or is one of a later format. One whose header alone is damaged is
    /// opened and takes the place of its first block.
    pub fn open(paths: &[impl AsRef<Path>]) -> Result<Self, ReadError> {
        let (mut sources, mut torn) = (Vec::new(), Vec::new());
        let mut take = |opened| match opened {
            Ok(source) => sources.push(source),
            Err(begun) => torn.push(begun),
        };
        for path in paths {
            let path = path.as_ref();
            if !path.is_dir() {
                take(Source::open(path.to_owned())?);
                continue;
            }
            let listed = folder::journals(path).map_err(|source| ReadError::Io {
                attempted: "list",
                path: path.to_owned(),
                source,
            })?;
            for path in listed {
                match Source::open(path) {
                    // Its writer removed it meanwhile to stay within its limit.
                    Err(ReadError::Io { source, .. }) if source.kind() == NotFound => {}
                    opened => take(opened?),
                }
            }
        }
        sources.sort_by(|a, b| (a.header, &a.path).cmp(&(b.header, &b.path)));
        let mut reader = Self {
            sources,
            source_idx: 0,
            file: None,
            offset: 0,
            ahead: None,
            block: None,
            n_unknown: 0,
            torn,
            torn_last: None,
            is_over: false,
        };
        reader.enter(0);
        Ok(reader)
    }

    /// Returns the place before the record that comes next; nothing if there are no files.
    pub fn position(&self) -> Option<Position> {
        let source = self.sources.get(self.source_idx)?;
        Some(Position {
            file: source.header,
            offset: self.offset,
            record_idx: self.block.as_ref().map_or(0, |block| block.next_idx),
        })
    }

    /// Goes to a place that [`Reader::position`] of these or fewer files was at.
    ///
    /// # Errors
    /// `Elsewhere` if there is no such place. The reader is at the beginning of a file then.
    pub fn seek(&mut self, position: &Position) -> Result<(), ReadError> {
        let elsewhere = || ReadError::Elsewhere {
            position: *position,
        };
        let mut sources = self.sources.iter();
        let source_idx = sources.position(|source| source.header == position.file);
        self.enter(source_idx.ok_or_else(elsewhere)?);
        self.is_over = false;
        let begin = self.offset;
        let len = match self.open_file()?.metadata() {
            Ok(metadata) => metadata.len(),
            Err(source) => return Err(self.fail("look at", source)),
        };
        if !(begin..=len).contains(&position.offset) {
            return Err(elsewhere());
        }
        self.offset = position.offset;
        if position.record_idx == 0 {
            return Ok(());
        }
        let is_there = matches!(self.load(), Ok(true)) && self.offset == position.offset;
        let skipped = (0..position.record_idx).all(|_| is_there && self.take().is_some());
        if !skipped || self.block.is_none() {
            self.enter(self.source_idx);
            return Err(elsewhere());
        }
        Ok(())
    }

    /// Returns how many records of later versions were passed over.
    pub const fn n_unknown(&self) -> u64 {
        self.n_unknown
    }

    /// Returns the files that end within a block, of those read to their end.
    pub fn torn(&self) -> impl Iterator<Item = &Torn> {
        self.torn.iter().chain(&self.torn_last)
    }

    fn enter(&mut self, source_idx: usize) {
        self.source_idx = source_idx;
        self.file = None;
        self.block = None;
        self.ahead = None;
        self.torn_last = None;
        let source = self.sources.get(source_idx);
        let is_damaged = source.is_some_and(|source| source.first.is_some());
        self.offset = if is_damaged { 0 } else { HEADER_BYTES };
    }

    /// Goes on to the next file; tells whether there is one.
    fn leave(&mut self) -> bool {
        let has_next = self.source_idx + 1 < self.sources.len();
        if has_next {
            self.torn.extend(self.torn_last.take());
            self.enter(self.source_idx + 1);
        }
        has_next
    }

    /// Takes the next record off the block in memory, not looked into yet, with its place.
    fn take(&mut self) -> Option<(Bytes, u64, u32)> {
        let block = self.block.as_mut()?;
        let record = split(&mut block.rest)?;
        let place = (record, self.offset, block.next_idx);
        block.next_idx += 1;
        if block.next_idx == block.n_records {
            self.offset = block.end;
            self.block = None;
        }
        Some(place)
    }

    /// Reads the next whole block; tells whether there is one.
    fn load(&mut self) -> Result<bool, ReadError> {
        loop {
            if self.is_over || self.sources.is_empty() {
                return Ok(false);
            }
            if let Some(until) = self.damaged_header() {
                return Err(self.tell(0, Some(until), "its header is damaged"));
            }
            let (offset, found) = match self.look() {
                Ok(found) => found,
                Err(source) => return Err(self.fail("read", source)),
            };
            match found {
                Found::Block {
                    header,
                    stored,
                    end,
                } => {
                    self.offset = offset;
                    self.ahead = None;
                    return self.unpack(&header, &stored, end);
                }
                Found::Damage { until, what } => return Err(self.tell(offset, until, what)),
                Found::End { n_bytes } => {
                    let path = self.path();
                    self.torn_last = (n_bytes > 0).then_some(Torn {
                        path,
                        offset,
                        n_bytes,
                    });
                    if !self.leave() {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Returns what is at the next place, and that place.
    fn look(&mut self) -> io::Result<(u64, Found)> {
        let (offset, ahead) = (self.offset, self.ahead);
        let file = self.file()?;
        // Where damage was there may be a block now: its writer cut the damage off and went on.
        let Some(ahead) = ahead.filter(|_| !is_block(file, offset).unwrap_or(false)) else {
            let found = look(file, offset)?;
            self.ahead = None;
            return Ok((offset, found));
        };
        if !ahead.is_open {
            return Ok((ahead.from, look(file, ahead.from)?));
        }
        let len = file.metadata()?.len();
        if let Some(header) = find_header(file, ahead.from, len)? {
            return Ok((header, look(file, header)?));
        }
        self.ahead = Some(Ahead {
            from: ahead.from.max(searched(len)),
            is_open: true,
        });
        Ok((ahead.from, Found::End { n_bytes: 0 }))
    }

    fn unpack(&mut self, header: &BlockHeader, stored: &[u8], end: u64) -> Result<bool, ReadError> {
        let Some(rest) = unpack(header, stored) else {
            let offset = std::mem::replace(&mut self.offset, end);
            let what = "a block has other records than it says";
            return Err(self.damaged(offset, end, what));
        };
        self.block = Some(OpenBlock {
            rest,
            next_idx: 0,
            n_records: header.n_records,
            end,
        });
        Ok(true)
    }

    /// Returns where the first block of the current file begins, if its header is damaged and was not told of yet.
    fn damaged_header(&self) -> Option<u64> {
        let source = self.sources.get(self.source_idx)?;
        let is_told = self.offset > 0 || self.ahead.is_some();
        source.first.filter(|_| !is_told)
    }

    /// Returns damage, to the end of the file if nothing is behind it, and looks behind it from now on.
    fn tell(&mut self, offset: u64, until: Option<u64>, what: &'static str) -> ReadError {
        let (from, until) = match until {
            Some(until) => (until, until),
            None => match self.file().and_then(File::metadata) {
                Ok(metadata) => (searched(metadata.len()), metadata.len()),
                Err(source) => return self.fail("look at", source),
            },
        };
        self.ahead = Some(Ahead {
            from: from.max(offset + 1),
            is_open: from < until,
        });
        self.damaged(offset, until, what)
    }

    fn file(&mut self) -> io::Result<&File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => File::open(self.path())?,
        };
        Ok(self.file.insert(file))
    }

    fn open_file(&mut self) -> Result<&File, ReadError> {
        let path = self.path();
        self.file().map_err(|source| ReadError::Io {
            attempted: "open",
            path,
            source,
        })
    }

    fn path(&self) -> PathBuf {
        let source = self.sources.get(self.source_idx);
        source.map_or_else(PathBuf::new, |source| source.path.clone())
    }

    fn damaged(&self, offset: u64, until: u64, what: &'static str) -> ReadError {
        ReadError::Damaged {
            path: self.path(),
            offset,
            until,
            what,
        }
    }

    /// Returns a failure of the current file and goes on to the next one.
    fn fail(&mut self, attempted: &'static str, source: io::Error) -> ReadError {
        let path = self.path();
        self.is_over = !self.leave();
        ReadError::Io {
            attempted,
            path,
            source,
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((bytes, offset, record_idx)) = self.take() else {
                match self.load() {
                    Ok(true) => continue,
                    Ok(false) => return None,
                    Err(error) => return Some(Err(error)),
                }
            };
            match decode(bytes) {
                Ok(Some(record)) => return Some(Ok(record)),
                Ok(None) => self.n_unknown += 1,
                Err(_) => {
                    return Some(Err(ReadError::Malformed {
                        path: self.path(),
                        offset,
                        record_idx,
                    }));
                }
            }
        }
    }
}

/// Returns from where on a header may begin that a search to this end of a file did not find.
fn searched(len: u64) -> u64 {
    (len + 1).saturating_sub(BLOCK_BYTES_MIN)
}
