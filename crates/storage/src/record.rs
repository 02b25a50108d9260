//! Values of a partition, byte by byte as `migrations/README.md` draws them.
//!
//! One envelope serves documents and blocks: a version byte, how the payload is encoded, the
//! stamps, a checksum over key and value, then the payload or, if that is large, where its chunks
//! are. bincode is used here and in `manifest` and nowhere else.

use std::io;

use bincode::Options;
use model::{AnnotationValue, Head, Summary, Timestamp, ZoneFacts};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::{self, Codec, Encoded};
use crate::dictionary::Dictionaries;

/// A value and its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// The document says `in_progress`.
    pub(crate) in_progress: bool,
    /// How the payload is encoded.
    pub(crate) codec: Codec,
    /// Number of the dictionary it is encoded with; 0 for none.
    pub(crate) dictionary: u32,
    /// Length of the payload once decoded.
    pub(crate) raw_len: u32,
    /// When this copy was committed, in microseconds; strictly increasing within a store.
    pub(crate) stamp: u64,
    /// When the first copy of the document was committed.
    pub(crate) first_stamp: u64,
    /// The trace's revision with this copy.
    pub(crate) revision: u32,
    /// Whether older partitions have documents of the trace.
    pub(crate) continued: bool,
    /// The payload, encoded.
    pub(crate) body: Body,
}

/// Where the payload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// Behind the envelope.
    Inline(Vec<u8>),
    /// In the `chunks` tree.
    Chunked(ChunkedBody),
}

/// A payload in the `chunks` tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkedBody {
    /// First part of the keys of its chunks.
    pub(crate) blob: u64,
    /// How many chunks there are.
    pub(crate) n_chunks: u16,
    /// crc32c over all chunks.
    pub(crate) crc: u32,
}

/// A value that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("damaged record: {0}")]
pub(crate) struct Damage(pub(crate) String);

/// One trace of a block.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BlockEntry {
    /// Stamp of the first document of the trace that came to this partition or one before.
    pub(crate) first_stamp: u64,
    pub(crate) summary: Summary,
}

/// Extremes of a block, so that a scan can pass it over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Zone {
    pub(crate) n_traces: u32,
    pub(crate) start_min: Timestamp,
    pub(crate) start_max: Timestamp,
    pub(crate) end_min: Timestamp,
    pub(crate) end_max: Timestamp,
    /// What filters may go by.
    pub(crate) facts: ZoneFacts,
}

impl Record {
    /// Returns a record of a payload that is not a document.
    pub(crate) fn of_payload(raw: &[u8]) -> Self {
        Self::of_encoded(codec::compress(raw, None), raw.len())
    }

    /// Returns a record without what only documents have.
    pub(crate) fn of_encoded(encoded: Encoded, raw_len: usize) -> Self {
        Self {
            in_progress: false,
            codec: encoded.codec,
            dictionary: encoded.dictionary,
            raw_len: u32::try_from(raw_len).unwrap_or(u32::MAX),
            stamp: 0,
            first_stamp: 0,
            revision: 0,
            continued: false,
            body: Body::Inline(encoded.bytes),
        }
    }

    /// Returns the value to store under `key`.
    pub(crate) fn encode(&self, key: &[u8]) -> Vec<u8> {
        let mut value = Vec::with_capacity(ENVELOPE_BYTES + self.inline_len());
        self.encode_into(key, &mut value);
        value
    }

    /// Puts the value to store under `key` into a buffer, in the place of what is there.
    pub(crate) fn encode_into(&self, key: &[u8], value: &mut Vec<u8>) {
        let chunked = matches!(self.body, Body::Chunked(_));
        let flags = (u8::from(self.in_progress) * IN_PROGRESS)
            | (u8::from(chunked) * CHUNKED)
            | (u8::from(self.continued) * CONTINUED);
        value.clear();
        value.extend([RECORD_VERSION, self.codec as u8, flags, 0]);
        value.extend(self.dictionary.to_be_bytes());
        value.extend(self.raw_len.to_be_bytes());
        value.extend(self.stamp.to_be_bytes());
        value.extend(self.first_stamp.to_be_bytes());
        value.extend(self.revision.to_be_bytes());
        let crc_at = value.len();
        value.extend([0; CRC_BYTES]);
        match &self.body {
            Body::Inline(bytes) => value.extend_from_slice(bytes),
            Body::Chunked(chunked) => {
                value.extend(chunked.blob.to_be_bytes());
                value.extend(chunked.n_chunks.to_be_bytes());
                value.extend(chunked.crc.to_be_bytes());
            }
        }
        let crc = checksum(key, value);
        for (slot, byte) in value.iter_mut().skip(crc_at).zip(crc.to_be_bytes()) {
            *slot = byte;
        }
    }

    /// Reads a value stored under `key`, verifying its checksum.
    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<Self, Damage> {
        let mut reader = Reader { bytes: value };
        let [version, codec, flags, _] = reader.array()?;
        if version != RECORD_VERSION {
            return Err(Damage(format!("version {version} is not known")));
        }
        let mut record = Self {
            in_progress: flags & IN_PROGRESS != 0,
            continued: flags & CONTINUED != 0,
            codec: Codec::from_number(codec).ok_or_else(|| Damage(format!("codec {codec}")))?,
            dictionary: u32::from_be_bytes(reader.array()?),
            raw_len: u32::from_be_bytes(reader.array()?),
            stamp: u64::from_be_bytes(reader.array()?),
            first_stamp: u64::from_be_bytes(reader.array()?),
            revision: u32::from_be_bytes(reader.array()?),
            body: Body::Inline(Vec::new()),
        };
        let crc = u32::from_be_bytes(reader.array()?);
        if crc != checksum(key, value) {
            return Err(Damage("its checksum does not fit".to_owned()));
        }
        record.body = if flags & CHUNKED == 0 {
            Body::Inline(reader.bytes.to_vec())
        } else {
            Body::Chunked(ChunkedBody {
                blob: u64::from_be_bytes(reader.array()?),
                n_chunks: u16::from_be_bytes(reader.array()?),
                crc: u32::from_be_bytes(reader.array()?),
            })
        };
        Ok(record)
    }

    /// Returns the payload, given its encoded bytes.
    pub(crate) fn open(&self, body: &[u8], dictionaries: &Dictionaries) -> Result<Vec<u8>, Damage> {
        let raw_len = usize::try_from(self.raw_len).map_err(|_| Damage("length".to_owned()))?;
        codec::decompress(self.codec, self.dictionary, body, raw_len, dictionaries)
            .map_err(|error: io::Error| Damage(error.to_string()))
    }

    fn inline_len(&self) -> usize {
        match &self.body {
            Body::Inline(bytes) => bytes.len(),
            Body::Chunked(_) => CHUNKED_BYTES,
        }
    }
}

impl BlockEntry {
    /// Returns about how many bytes the entry takes.
    pub(crate) fn about_bytes(&self) -> usize {
        let summary = &self.summary;
        let texts = |list: &[String]| list.iter().map(String::len).sum::<usize>();
        let values = summary.annotations.iter().map(|annotation| {
            let value = match &annotation.value {
                AnnotationValue::String(text) => text.len(),
                AnnotationValue::Number(_) | AnnotationValue::Boolean(_) => 8,
            };
            annotation.key.len() + value + 2 * annotation.services.len()
        });
        let users = summary.users.iter().map(|user| user.name.len() + 8);
        let services = summary
            .services
            .iter()
            .map(|service| service.name.len() + 64);
        values.chain(users).chain(services).sum::<usize>()
            + texts(&summary.resource_arns)
            + texts(&summary.instance_ids)
            + texts(&summary.availability_zones)
            + 16 * (summary.requests.len() + summary.edges.len())
            + 128
    }
}

/// Encodes one of our flat structs.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "ours are plain data of known length")]
    bincode::DefaultOptions::new()
        .serialize(value)
        .expect("a flat struct is serialised")
}

/// Decodes one of our flat structs; rejects what is left over.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Damage> {
    bincode_options()
        .deserialize(bytes)
        .map_err(|error| Damage(error.to_string()))
}

/// Decodes a head.
pub(crate) fn decode_head(bytes: &[u8]) -> Result<Head, Damage> {
    decode(bytes)
}

/// The version of the envelope; a new one needs a decoder beside this one, not a rewrite.
const RECORD_VERSION: u8 = 1;
const CRC_BYTES: usize = 4;
/// Bytes before the payload.
const ENVELOPE_BYTES: usize = 36;
/// Flags of the envelope.
const IN_PROGRESS: u8 = 1;
const CHUNKED: u8 = 2;
const CONTINUED: u8 = 4;
const CHUNKED_BYTES: usize = 14;
/// What is decoded has passed its checksum; this is far beyond what one trace can make of a partition.
const BINCODE_BYTES_MAX: u64 = 1 << 30;

fn bincode_options() -> impl Options {
    bincode::DefaultOptions::new().with_limit(BINCODE_BYTES_MAX)
}

/// crc32c over the key and the value without the checksum's own bytes.
fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let (envelope, rest) = value.split_at(ENVELOPE_BYTES.min(value.len()));
    let before = envelope
        .split_at(envelope.len().saturating_sub(CRC_BYTES))
        .0;
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(key), before), rest)
}

/// Takes fixed-width fields off the front of a slice.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let (head, rest) = self
            .bytes
            .split_first_chunk::<N>()
            .ok_or_else(|| Damage("it is cut short".to_owned()))?;
        self.bytes = rest;
        Ok(*head)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(body: Body) -> Record {
        Record {
            in_progress: true,
            codec: Codec::Raw,
            dictionary: 7,
            raw_len: 3,
            stamp: 11,
            first_stamp: 10,
            revision: 3,
            continued: true,
            body,
        }
    }

    #[test]
    fn the_envelope_is_the_one_drawn() {
        let value = record(Body::Inline(b"abc".to_vec())).encode(b"key");
        let (envelope, payload) = value.split_at(32);
        assert_eq!(
            envelope,
            [
                1, 0, 5, 0, // version, codec, flags, reserved
                0, 0, 0, 7, // dictionary
                0, 0, 0, 3, // raw length
                0, 0, 0, 0, 0, 0, 0, 11, // stamp
                0, 0, 0, 0, 0, 0, 0, 10, // first stamp
                0, 0, 0, 3, // revision
            ]
        );
        assert_eq!(&payload[4..], b"abc");
    }

    proptest! {
        #[test]
        fn records_read_back(bytes: Vec<u8>, key: Vec<u8>, blob: u64, n_chunks: u16, crc: u32) {
            for body in [Body::Inline(bytes.clone()), Body::Chunked(ChunkedBody { blob, n_chunks, crc })] {
                let record = record(body);
                prop_assert_eq!(Record::decode(&key, &record.encode(&key)), Ok(record));
            }
        }

        #[test]
        fn one_changed_byte_is_noticed(bytes: Vec<u8>, at: prop::sample::Index, flip in 1..=255_u8) {
            let mut value = record(Body::Inline(bytes)).encode(b"key");
            let at = at.index(value.len());
            value[at] ^= flip;
            prop_assert!(Record::decode(b"key", &value).is_err());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = Record::decode(b"key", &bytes);
            let _ = decode_head(&bytes);
            let _ = decode::<Zone>(&bytes);
        }
    }

    #[test]
    fn a_value_under_another_key_is_damage() {
        let value = record(Body::Inline(b"abc".to_vec())).encode(b"key");
        assert!(Record::decode(b"kez", &value).is_err());
    }
}
