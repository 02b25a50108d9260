//! Export requests in protobuf: messages with their length before them, as the file exporter of the OpenTelemetry
//! collector writes them, each compressed by zstd or not, or one whole message, which is read group by group.

use std::io::{self, Read};

use super::scan::Place;
use crate::moving::input;

/// Tells whether a file holds protobuf, by its beginning: text has no control characters.
pub(super) fn is_binary(head: &[u8]) -> bool {
    head.iter().any(|byte| *byte < 0x20 && !TEXT.contains(byte))
}

/// Messages one after the other.
pub(super) struct Frames<R> {
    source: R,
    place: Place,
    /// Nothing before the first message.
    is_prefixed: Option<bool>,
}

impl<R: Read> Frames<R> {
    pub(super) const fn new(source: R) -> Self {
        Self {
            source,
            place: Place {
                line: 1,
                offset: 0,
                number: 0,
            },
            is_prefixed: None,
        }
    }

    /// Returns the next message, or why there is none that can be read; nothing after the last.
    pub(super) fn next(&mut self) -> Option<(Place, Result<Vec<u8>, String>)> {
        self.place.number += 1;
        let place = self.place;
        match self.message() {
            Ok(message) => message.map(|message| (place, Ok(message))),
            Err(error) => Some((place, Err(error))),
        }
    }

    fn message(&mut self) -> Result<Option<Vec<u8>>, String> {
        let Some(first) = self.byte().map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        // A group of spans is the first member of a request; a length that begins like this would be 160 MiB.
        let is_prefixed = *self.is_prefixed.get_or_insert(first != GROUP);
        let mut message = Vec::new();
        let n_bytes = if is_prefixed {
            let mut rest = Vec::new();
            self.take(3, &mut rest)?;
            rest.iter().fold(u64::from(first), |length, byte| {
                (length << 8) | u64::from(*byte)
            })
        } else {
            if first != GROUP {
                return Err("not an export request in protobuf".to_owned());
            }
            message.push(first);
            self.varint(&mut message)?
        };
        if n_bytes > MESSAGE_BYTES_MAX {
            return Err(format!(
                "a message of {n_bytes} bytes, at most {MESSAGE_BYTES_MAX} are read"
            ));
        }
        self.take(n_bytes, &mut message)?;
        if is_prefixed && input::is_zstd(&message) {
            return unpacked(&message).map(Some);
        }
        Ok(Some(message))
    }

    /// Reads a number of variable length and keeps its bytes.
    fn varint(&mut self, message: &mut Vec<u8>) -> Result<u64, String> {
        let mut number = 0_u64;
        for shift in (0..VARINT_BITS_MAX).step_by(7) {
            let mut byte = Vec::new();
            self.take(1, &mut byte)?;
            let byte = byte.first().copied().unwrap_or_default();
            message.push(byte);
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("not an export request in protobuf".to_owned())
    }

    fn take(&mut self, n_bytes: u64, message: &mut Vec<u8>) -> Result<(), String> {
        let read = self.source.by_ref().take(n_bytes).read_to_end(message);
        let n_read = u64::try_from(read.map_err(|error| error.to_string())?).unwrap_or_default();
        self.place.offset += n_read;
        if n_read < n_bytes {
            return Err("the file ends inside of a message".to_owned());
        }
        Ok(())
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        let mut byte = Vec::new();
        let n_bytes = self.source.by_ref().take(1).read_to_end(&mut byte)?;
        self.place.offset += u64::try_from(n_bytes).unwrap_or_default();
        Ok(byte.first().copied())
    }
}

/// Returns what a message holds that is compressed for itself.
fn unpacked(message: &[u8]) -> Result<Vec<u8>, String> {
    let wrong = |error: io::Error| format!("a message that cannot be unpacked: {error}");
    let decoder = zstd::Decoder::with_buffer(message).map_err(wrong)?;
    let mut unpacked = Vec::new();
    let mut decoder = decoder.take(MESSAGE_BYTES_MAX + 1);
    decoder.read_to_end(&mut unpacked).map_err(wrong)?;
    if u64::try_from(unpacked.len()).unwrap_or(u64::MAX) > MESSAGE_BYTES_MAX {
        return Err(format!(
            "a message unpacked is larger than {MESSAGE_BYTES_MAX} bytes"
        ));
    }
    Ok(unpacked)
}

/// The tag of the member `resource_spans`.
const GROUP: u8 = 0x0a;
const TEXT: [u8; 4] = [b'\n', b'\r', b'\t', 0x1e];
const MESSAGE_BYTES_MAX: u64 = 64 << 20;
const VARINT_BITS_MAX: u32 = 35;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: &[Result<&[u8], &str>]) {
        let mut frames = Frames::new(bytes);
        for expected in expected {
            let (_, message) = frames.next().unwrap();
            assert_eq!(message.as_deref().map_err(String::as_str), *expected);
        }
        assert!(frames.next().is_none() || expected.last().is_some_and(Result::is_err));
    }

    #[test]
    fn messages_are_found_with_and_without_their_length() {
        check(b"", &[]);
        check(b"\0\0\0\x02ab\0\0\0\x01c", &[Ok(b"ab"), Ok(b"c")]);
        check(
            b"\x0a\x02ab\x0a\x01c",
            &[Ok(b"\x0a\x02ab"), Ok(b"\x0a\x01c")],
        );
        check(b"\0\0\0\x03ab", &[Err("the file ends inside of a message")]);
        check(
            b"\x0a\x02ab\x12",
            &[Ok(b"\x0a\x02ab"), Err("not an export request in protobuf")],
        );
        check(
            b"\x0a\xff\xff\xff\xff\xff\xff",
            &[Err("not an export request in protobuf")],
        );
        let too_large = Err("a message of 1073741824 bytes, at most 67108864 are read");
        check(b"\x40\0\0\0", &[too_large]);
    }

    #[test]
    fn messages_may_be_compressed_each_for_itself() {
        let mut bytes = Vec::new();
        for text in ["{\"resourceSpans\": []}", "further"] {
            let message = zstd::encode_all(text.as_bytes(), 1).unwrap();
            bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
            bytes.extend(message);
        }
        assert!(is_binary(&bytes));
        check(&bytes, &[Ok(b"{\"resourceSpans\": []}"), Ok(b"further")]);
        let mut frames = Frames::new(&b"\0\0\0\x05\x28\xb5\x2f\xfd\xff"[..]);
        let (_, message) = frames.next().unwrap();
        assert!(message.unwrap_err().contains("cannot be unpacked"));
    }

    #[test]
    fn text_is_no_protobuf() {
        for (head, expected) in [
            (&b"\n\n{\"a\": 1}\r\n"[..], false),
            ("{\"\u{e9}\t".as_bytes(), false),
            (b"\0\0\0\x10", true),
            (b"\x0a\x7b\x0a\x14\x0a", true),
        ] {
            assert_eq!(is_binary(head), expected, "{head:?}");
        }
    }
}
