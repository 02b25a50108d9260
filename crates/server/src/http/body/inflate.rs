//! Inflation: every piece has its place before it is made.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};

use super::room::{Patience, Place};
use super::{BodyError, BodyLimits};

/// How a body can be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    /// What HTTP calls deflate (RFC 9110): zlib.
    Deflate,
}

impl Compression {
    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    /// Returns how many bytes compressed ones say they become; it may be wrong (RFC 1952: ISIZE is of the last member).
    fn n_bytes_said(self, bytes: &[u8]) -> usize {
        match (self, bytes.last_chunk()) {
            (Self::Gzip, Some(last)) => usize::try_from(u32::from_le_bytes(*last)).unwrap_or(0),
            (Self::Gzip, None) | (Self::Deflate, _) => 0,
        }
    }

    fn reader(self, bytes: &[u8]) -> Box<dyn Read + Send + '_> {
        match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(bytes)),
            Self::Deflate => Box::new(ZlibDecoder::new(bytes)),
        }
    }
}

/// Returns what compressed bytes hold, and its place. A body whose inflation takes long does not hold up the requests
/// beside it.
pub(super) async fn inflate(
    bytes: &[u8],
    compression: Compression,
    limits: &BodyLimits,
    patience: &mut Patience,
) -> Result<(Bytes, Place), BodyError> {
    let encoding = compression.name();
    let mut place = limits.place(DECODER_BYTES, patience).await?;
    let mut reader = compression.reader(bytes);
    // Memory that is not touched takes none: enough at once saves moving the whole for every piece, which takes it twice.
    let n_bytes_said = compression.n_bytes_said(bytes);
    let n_bytes_max = limits.bytes_max.saturating_add(1);
    let capacity = n_bytes_said
        .saturating_add(PIECE_BYTES_MAX)
        .min(n_bytes_max);
    let mut whole = Vec::with_capacity(if n_bytes_said > PIECE_BYTES_MAX {
        capacity
    } else {
        0
    });
    loop {
        let n_left = n_bytes_max - whole.len();
        let n_bytes = whole
            .len()
            .clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX)
            .min(n_left);
        place.merge(limits.place(n_bytes, patience).await?);
        let inflated = if whole.is_empty() {
            // The first piece takes some tens of microseconds, which is done on the spot.
            read_piece(&mut reader, n_bytes, &mut whole)
        } else {
            let reading = || read_piece(&mut reader, n_bytes, &mut whole);
            limits.share.aside(reading).await
        };
        let n_inflated = inflated.map_err(|source| BodyError::Inflate { encoding, source })?;
        if whole.len() > limits.bytes_max {
            return Err(limits.too_large());
        }
        if n_inflated < n_bytes {
            break;
        }
    }
    drop(reader);
    whole.shrink_to_fit();
    place.keep(whole.len());
    Ok((Bytes::from(whole), place))
}

/// Adds at most so many bytes; fewer at the end only.
fn read_piece(reader: &mut dyn Read, n_bytes: usize, whole: &mut Vec<u8>) -> io::Result<usize> {
    whole.reserve_exact(n_bytes);
    let n_bytes = u64::try_from(n_bytes).unwrap_or(u64::MAX);
    reader.take(n_bytes).read_to_end(whole)
}

/// What inflation needs beside the body: a decoder, and to see that the body ends where it may.
pub(super) const WORK_BYTES: usize = DECODER_BYTES + 1;
/// What a decoder holds itself: its window, and tables.
const DECODER_BYTES: usize = 48 * 1024;
/// Pieces grow with the body: most bodies are small, and large ones are to be copied seldom.
const PIECE_BYTES_MIN: usize = 16 * 1024;
const PIECE_BYTES_MAX: usize = 1024 * 1024;
