//! Compression of values, one context a thread and dictionary.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;

use zstd::bulk::{Compressor, Decompressor};

use crate::dictionary::{Dictionaries, Dictionary};

/// How the bytes of a value are encoded; the number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    /// As they are.
    Raw = 0,
    /// zstd.
    Zstd = 1,
    /// zstd with the dictionary the record names.
    ZstdDictionary = 2,
}

/// Bytes as they are stored.
pub(crate) struct Encoded {
    pub(crate) codec: Codec,
    pub(crate) dictionary: u32,
    pub(crate) bytes: Vec<u8>,
}

/// Compresses with a dictionary, or without one if there is none; keeps what does not get smaller.
pub(crate) fn compress(raw: &[u8], dictionary: Option<&Dictionary>) -> Encoded {
    let (codec, number) = match dictionary {
        Some(dictionary) => (Codec::ZstdDictionary, dictionary.number),
        None => (Codec::Zstd, 0),
    };
    match compress_with(dictionary, raw) {
        Ok(bytes) if bytes.len() < raw.len() => Encoded {
            codec,
            dictionary: number,
            bytes,
        },
        _ => Encoded {
            codec: Codec::Raw,
            dictionary: 0,
            bytes: raw.to_vec(),
        },
    }
}

/// Returns the `raw_len` bytes that were compressed.
pub(crate) fn decompress(
    codec: Codec,
    dictionary: u32,
    bytes: &[u8],
    raw_len: usize,
    dictionaries: &Dictionaries,
) -> io::Result<Vec<u8>> {
    let raw = match codec {
        Codec::Raw => bytes.to_vec(),
        Codec::Zstd => with_decompressor(None, |context| context.decompress(bytes, raw_len))?,
        Codec::ZstdDictionary => {
            let dictionary = dictionaries.get(dictionary).ok_or_else(|| {
                io::Error::other(format!("dictionary {dictionary} is not in the store"))
            })?;
            with_decompressor(Some(&dictionary), |context| {
                context.decompress(bytes, raw_len)
            })?
        }
    };
    if raw.len() == raw_len {
        Ok(raw)
    } else {
        Err(io::Error::other("the value has another length"))
    }
}

impl Codec {
    /// Returns the codec of a stored number.
    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Raw),
            1 => Some(Self::Zstd),
            2 => Some(Self::ZstdDictionary),
            _ => None,
        }
    }
}

/// Level 1: level 3 costs twice the time here and gains nothing with a dictionary.
const LEVEL: i32 = 1;
const NO_DICTIONARY: u64 = 0;
const SCRATCH_BYTES_MAX: usize = 128 << 10;

thread_local! {
    static COMPRESSORS: RefCell<Compressors> = RefCell::default();
    static DECOMPRESSORS: RefCell<HashMap<u64, Decompressor<'static>>> = RefCell::default();
}

/// Returns the compressed bytes in a vector no larger than they are: many wait in memory at a time.
fn compress_with(dictionary: Option<&Dictionary>, raw: &[u8]) -> io::Result<Vec<u8>> {
    COMPRESSORS.with_borrow_mut(|Compressors { contexts, scratch }| {
        let key = dictionary.map_or(NO_DICTIONARY, |dictionary| dictionary.hash);
        let context = match contexts.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => {
                let bytes = dictionary.map_or(&[][..], |dictionary| &dictionary.bytes);
                vacant.insert(Compressor::with_dictionary(LEVEL, bytes)?)
            }
        };
        scratch.clear();
        scratch.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        context.compress_to_buffer(raw, scratch)?;
        let compressed = scratch.as_slice().to_vec();
        scratch.shrink_to(SCRATCH_BYTES_MAX);
        Ok(compressed)
    })
}

/// A thread's contexts, and a buffer between them and what they return.
#[derive(Default)]
struct Compressors {
    contexts: HashMap<u64, Compressor<'static>>,
    scratch: Vec<u8>,
}

fn with_decompressor<T>(
    dictionary: Option<&Dictionary>,
    act: impl FnOnce(&mut Decompressor<'static>) -> io::Result<T>,
) -> io::Result<T> {
    DECOMPRESSORS.with_borrow_mut(|contexts| {
        let key = dictionary.map_or(NO_DICTIONARY, |dictionary| dictionary.hash);
        act(match contexts.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => {
                let bytes = dictionary.map_or(&[][..], |dictionary| &dictionary.bytes);
                vacant.insert(Decompressor::with_dictionary(bytes)?)
            }
        })
    })
}
