//! One file: its header, and what is found at a place in it.
//!
//! Everything that reads a file, the writer that looks for its end too, goes through [`look`].

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::{Buf, BufMut};
use model::Timestamp;

use crate::block::{BLOCK_HEADER_BYTES, BlockHeader, MAGIC};

/// What a file says of itself; no two files of a folder say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileHeader {
    /// When it was begun.
    pub(crate) created: Timestamp,
    /// Its number in its folder; 0 for a file of its own.
    pub(crate) number: u64,
}

/// Why a file has no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHeader {
    /// It ends where its header should be: a crash cut it off as it was begun.
    Begun,
    /// It begins as a journal does, and something is wrong behind.
    Damaged,
    /// It does not begin as a journal does.
    Foreign,
    /// It is of a later format.
    Newer(u32),
}

impl FileHeader {
    /// Returns the header as it is written.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FILE_HEADER_BYTES);
        bytes.put_slice(FILE_MAGIC);
        bytes.put_u32(FORMAT);
        bytes.put_u64(self.created.as_nanos());
        bytes.put_u64(self.number);
        bytes.put_u32(crc32c::crc32c(&bytes));
        bytes
    }

    /// Returns the header of a file that begins with these bytes; as many as a header has, or the whole file.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, NoHeader> {
        let Some((header, mut crc)) = bytes.split_at_checked(FILE_HEADER_BYTES - CRC_BYTES) else {
            return Err(unfinished(bytes));
        };
        let Some(mut rest) = header.strip_prefix(FILE_MAGIC) else {
            return Err(unfinished(bytes));
        };
        let mut parse = || {
            let format = rest.try_get_u32()?;
            let created = Timestamp::from_nanos(rest.try_get_u64()?);
            let number = rest.try_get_u64()?;
            Ok::<_, bytes::TryGetError>((format, Self { created, number }))
        };
        let (format, parsed) = parse().map_err(|_| NoHeader::Damaged)?;
        let Ok(crc) = crc.try_get_u32() else {
            return Err(NoHeader::Begun);
        };
        let is_whole = crc == crc32c::crc32c(header);
        match format {
            FORMAT if is_whole => Ok(parsed),
            ..=FORMAT => Err(NoHeader::Damaged),
            newer => Err(NoHeader::Newer(newer)),
        }
    }

    /// Reads the header of a file.
    pub(crate) fn read(file: &File) -> io::Result<Result<Self, NoHeader>> {
        let n_bytes = file.metadata()?.len().min(HEADER_BYTES);
        let n_bytes = usize::try_from(n_bytes).map_err(io::Error::other)?;
        let mut bytes = vec![0; n_bytes];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(Self::parse(&bytes))
    }
}

/// Tells a file that was cut off as it was begun, also one of which only the length reached the disk, from a foreign one.
fn unfinished(bytes: &[u8]) -> NoHeader {
    let is_ours = FILE_MAGIC.starts_with(bytes)
        || bytes.starts_with(FILE_MAGIC)
        || bytes.iter().all(|byte| *byte == 0);
    if is_ours {
        NoHeader::Begun
    } else {
        NoHeader::Foreign
    }
}

/// What is at a place of a file.
#[derive(Debug)]
pub(crate) enum Found {
    /// A whole block.
    Block {
        header: BlockHeader,
        stored: Vec<u8>,
        /// Where the next one begins.
        end: u64,
    },
    /// No whole block, and more behind it.
    Damage {
        /// Where to go on: the next header of a block, if there is one.
        until: Option<u64>,
        what: &'static str,
    },
    /// The end of the file, or so much of a block that is not whole yet.
    End { n_bytes: u64 },
}

/// Returns what is at this place. Allocates no more than the file has bytes.
pub(crate) fn look(file: &File, offset: u64) -> io::Result<Found> {
    let len = file.metadata()?.len();
    let n_bytes = len.saturating_sub(offset);
    if n_bytes < BLOCK_BYTES_MIN {
        return Ok(Found::End { n_bytes });
    }
    match look_within(file, offset, len) {
        // Cut off by the writer meanwhile.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Found::End { n_bytes }),
        found => found,
    }
}

fn look_within(file: &File, offset: u64, len: u64) -> io::Result<Found> {
    let mut header = [0; BLOCK_HEADER_BYTES];
    file.read_exact_at(&mut header, offset)?;
    let header = BlockHeader::parse(&header, offset);
    let Some((header, end)) = header.and_then(|header| Some((header, header.end(offset)?))) else {
        return Ok(Found::Damage {
            until: find_header(file, offset + 1, len)?,
            what: "no block where one should begin",
        });
    };
    if end > len {
        return Ok(Found::End {
            n_bytes: len - offset,
        });
    }
    let mut stored = vec![0; usize::try_from(header.stored_bytes).map_err(io::Error::other)?];
    file.read_exact_at(&mut stored, offset + BLOCK_BYTES_MIN)?;
    if crc32c::crc32c(&stored) != header.stored_crc {
        return Ok(Found::Damage {
            until: Some(end),
            what: "the checksum of a block does not fit",
        });
    }
    Ok(Found::Block {
        header,
        stored,
        end,
    })
}

/// Tells whether a whole block is at this place.
pub(crate) fn is_block(file: &File, offset: u64) -> io::Result<bool> {
    let len = file.metadata()?.len();
    let end = offset.saturating_add(BLOCK_BYTES_MIN).min(len);
    let has_header = find_header(file, offset, end)?.is_some();
    Ok(has_header && matches!(look(file, offset)?, Found::Block { .. }))
}

/// Returns where the next header of a block begins, at this place or behind it.
pub(crate) fn find_header(file: &File, from: u64, len: u64) -> io::Result<Option<u64>> {
    let mut window_bytes = Vec::new();
    let mut at = from;
    while len.saturating_sub(at) >= BLOCK_BYTES_MIN {
        let n_bytes = (len - at).min(SCAN_BYTES);
        window_bytes.resize(usize::try_from(n_bytes).map_err(io::Error::other)?, 0);
        file.read_exact_at(&mut window_bytes, at)?;
        for (offset, window) in (at..).zip(window_bytes.windows(BLOCK_HEADER_BYTES)) {
            if window.starts_with(MAGIC) && BlockHeader::parse(window, offset).is_some() {
                return Ok(Some(offset));
            }
        }
        // What is too short for a header is looked at again with what follows.
        at += n_bytes - BLOCK_BYTES_MIN + 1;
    }
    Ok(None)
}

/// Where the first block of a file begins.
pub(crate) const HEADER_BYTES: u64 = 32;
const FILE_HEADER_BYTES: usize = 32;
const FILE_MAGIC: &[u8; 8] = b"RTGNJRNL";
const FORMAT: u32 = 1;
const CRC_BYTES: usize = 4;
/// The header of a block as a length in a file; what is shorter is no block.
pub(crate) const BLOCK_BYTES_MIN: u64 = 40;
const SCAN_BYTES: u64 = 64 << 10;
