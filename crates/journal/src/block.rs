//! A block: records compressed together, with checksums that fit one place in one file only.
//!
//! The header has a checksum of its own, so that the length of a block whose records are damaged can be trusted, and
//! covers the place of the block in its file: bytes of a body that look like a block are none.

use std::io;

use bytes::{Buf, BufMut, Bytes};
use model::Timestamp;
use zstd::bulk::{compress, decompress};
use zstd::zstd_safe::compress_bound;

use crate::encoding::{RECORD_BYTES_MIN, split};

/// The most bytes of records a block has, before they are compressed. A file that says otherwise is damaged.
pub const BLOCK_BYTES_MAX: usize = 64 << 20;

/// What stands before the records of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    /// Bytes of the compressed records.
    pub(crate) stored_bytes: u32,
    /// Bytes of the records.
    pub(crate) payload_bytes: u32,
    /// How many records.
    pub(crate) n_records: u32,
    /// When the earliest and the latest of them arrived.
    pub(crate) arrived: (Timestamp, Timestamp),
    /// CRC-32C of the compressed records.
    pub(crate) stored_crc: u32,
}

impl BlockHeader {
    /// Returns the header as it is written at this place of a file.
    pub(crate) fn encode(&self, offset: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BLOCK_HEADER_BYTES);
        bytes.put_slice(MAGIC);
        bytes.put_u32(self.stored_bytes);
        bytes.put_u32(self.payload_bytes);
        bytes.put_u32(self.n_records);
        bytes.put_u64(self.arrived.0.as_nanos());
        bytes.put_u64(self.arrived.1.as_nanos());
        bytes.put_u32(self.stored_crc);
        bytes.put_u32(header_crc(&bytes, offset));
        bytes
    }

    /// Returns the header these bytes begin with, if one was written at this place and every number in it is possible.
    pub(crate) fn parse(bytes: &[u8], offset: u64) -> Option<Self> {
        let (header, mut rest) = bytes.split_at_checked(BLOCK_HEADER_BYTES - CRC_BYTES)?;
        let is_whole = rest.try_get_u32().ok()? == header_crc(header, offset);
        let mut rest = header.strip_prefix(MAGIC)?;
        let parsed = Self {
            stored_bytes: rest.try_get_u32().ok()?,
            payload_bytes: rest.try_get_u32().ok()?,
            n_records: rest.try_get_u32().ok()?,
            arrived: (
                Timestamp::from_nanos(rest.try_get_u64().ok()?),
                Timestamp::from_nanos(rest.try_get_u64().ok()?),
            ),
            stored_crc: rest.try_get_u32().ok()?,
        };
        (is_whole && parsed.is_possible()).then_some(parsed)
    }

    /// Returns where the block ends if it begins at this place; nothing if no file is that large.
    pub(crate) fn end(&self, offset: u64) -> Option<u64> {
        let n_bytes = u64::from(self.stored_bytes) + HEADER_BYTES;
        offset.checked_add(n_bytes)
    }

    fn is_possible(&self) -> bool {
        let Ok(payload_bytes) = usize::try_from(self.payload_bytes) else {
            return false;
        };
        let n_records_max = self.payload_bytes / RECORD_BYTES_MIN;
        let fits = usize::try_from(self.stored_bytes)
            .is_ok_and(|stored_bytes| stored_bytes <= compress_bound(payload_bytes));
        fits && payload_bytes <= BLOCK_BYTES_MAX && (1..=n_records_max).contains(&self.n_records)
    }
}

/// Records on their way into a block.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) bytes: Vec<u8>,
    pub(crate) n_records: u32,
    pub(crate) arrived: (Timestamp, Timestamp),
}

impl Payload {
    /// Returns the payload without any records.
    pub(crate) const fn empty() -> Self {
        Self {
            bytes: Vec::new(),
            n_records: 0,
            arrived: (Timestamp::MAX, Timestamp::ZERO),
        }
    }

    /// Counts a record whose bytes are at the end.
    pub(crate) fn count(&mut self, at: Timestamp) {
        self.n_records += 1;
        self.arrived = (self.arrived.0.min(at), self.arrived.1.max(at));
    }
}

/// A block as it is written, but for its place.
pub(crate) struct Packed {
    pub(crate) header: BlockHeader,
    pub(crate) stored: Vec<u8>,
}

/// Returns the block of these records.
pub(crate) fn pack(payload: &Payload) -> io::Result<Packed> {
    let stored = compress(&payload.bytes, LEVEL)?;
    let too_large = |_| io::Error::other("a block over its limit");
    let header = BlockHeader {
        stored_bytes: u32::try_from(stored.len()).map_err(too_large)?,
        payload_bytes: u32::try_from(payload.bytes.len()).map_err(too_large)?,
        n_records: payload.n_records,
        arrived: payload.arrived,
        stored_crc: crc32c::crc32c(&stored),
    };
    Ok(Packed { header, stored })
}

/// Returns the records of a block, not looked into yet, if they are as many bytes and records as its header says.
pub(crate) fn unpack(header: &BlockHeader, stored: &[u8]) -> Option<Bytes> {
    let payload_bytes = usize::try_from(header.payload_bytes).ok()?;
    let payload = decompress(stored, payload_bytes).ok()?;
    if payload.len() != payload_bytes {
        return None;
    }
    let payload = Bytes::from(payload);
    let mut rest = payload.clone();
    for _ in 0..header.n_records {
        split(&mut rest)?;
    }
    rest.is_empty().then_some(payload)
}

/// Returns the most bytes a block of so many bytes of records takes in a file.
pub(crate) fn block_bytes_max(payload_bytes: usize) -> u64 {
    let stored_bytes_max = u64::try_from(compress_bound(payload_bytes)).unwrap_or(u64::MAX);
    stored_bytes_max.saturating_add(HEADER_BYTES)
}

fn header_crc(header: &[u8], offset: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&offset.to_be_bytes()), header)
}

/// What a block begins with.
pub(crate) const MAGIC: &[u8; 4] = b"RBLK";
/// Bytes before the compressed records.
pub(crate) const BLOCK_HEADER_BYTES: usize = 40;
const HEADER_BYTES: u64 = 40;
const CRC_BYTES: usize = 4;
/// zstd's own choice; the writer is not on the path of a request.
const LEVEL: i32 = 3;
