//! A file to be read, and its place among the others.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use model::Timestamp;

use super::{ReadError, Torn};
use crate::file::{FileHeader, Found, HEADER_BYTES, NoHeader, find_header, look};

/// A file to be read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// What it says of itself; of a damaged one what stands for that.
    pub(super) header: FileHeader,
    /// Set if its header is damaged: where the first block begins, or where the file ends if it has none.
    pub(super) first: Option<u64>,
}

impl Source {
    /// Opens a file; one that was begun and nothing more has nothing to read.
    pub(super) fn open(path: PathBuf) -> Result<Result<Self, Torn>, ReadError> {
        let read = File::open(&path).and_then(|file| {
            let header = FileHeader::read(&file)?;
            let first = match header {
                Err(NoHeader::Begun | NoHeader::Damaged | NoHeader::Foreign) => first_block(&file)?,
                Ok(_) | Err(NoHeader::Newer(_)) => None,
            };
            Ok((header, first, file.metadata()?.len()))
        });
        let (header, first, len) = match read {
            Ok(read) => read,
            Err(source) => {
                return Err(ReadError::Io {
                    attempted: "open",
                    path,
                    source,
                });
            }
        };
        let stands_for = |created| FileHeader { created, number: 0 };
        let (header, first) = match (header, first) {
            (Ok(header), _) => (header, None),
            (Err(NoHeader::Newer(format)), _) => return Err(ReadError::Newer { path, format }),
            (Err(_), Some((offset, created))) => (stands_for(created), Some(offset)),
            (Err(NoHeader::Foreign), None) => return Err(ReadError::Foreign { path }),
            (Err(NoHeader::Begun), None) if len <= HEADER_BYTES => {
                return Ok(Err(Torn {
                    path,
                    offset: 0,
                    n_bytes: len,
                }));
            }
            (Err(_), None) => (stands_for(Timestamp::MAX), Some(len)),
        };
        Ok(Ok(Self {
            path,
            header,
            first,
        }))
    }
}

/// Returns where the first block of a file without a header is, and when the first of its records arrived.
fn first_block(file: &File) -> io::Result<Option<(u64, Timestamp)>> {
    let len = file.metadata()?.len();
    let Some(offset) = find_header(file, 0, len)? else {
        return Ok(None);
    };
    match look(file, offset)? {
        Found::Block { header, .. } => Ok(Some((offset, header.arrived.0))),
        Found::Damage { .. } | Found::End { .. } => Ok(Some((offset, Timestamp::MAX))),
    }
}
