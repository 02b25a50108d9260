//! Bodies in which a text is broken, made readable: one broken text must not lose all spans that came with it.
//!
//! Only bodies that could not be read are mended. What is broken in a text becomes U+FFFD, the replacement character, and
//! nothing else changes.

use std::borrow::Cow;

use prost::encoding::{WireType, decode_key, decode_varint, encode_varint};

use super::shape::{Field, LEVELS_MAX, Message};

/// Returns a request in protobuf with its texts made UTF-8; none if they all are, or if it is no request.
pub(super) fn protobuf(body: &[u8]) -> Option<Vec<u8>> {
    match mended(Message::Request, body, LEVELS_MAX)? {
        Cow::Borrowed(_) => None,
        Cow::Owned(body) => Some(body),
    }
}

/// Returns a JSON text made UTF-8 and without halves of surrogate pairs; none if it is that already.
pub(super) fn json(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let mut is_mended = matches!(text, Cow::Owned(_));
    let mut out = String::with_capacity(text.len());
    let mut rest: &str = &text;
    while let Some(at) = rest.find('\\') {
        let (before, escaped) = rest.split_at(at);
        out.push_str(before);
        let next = escaped.get(UNIT_BYTES..).unwrap_or_default();
        let n_bytes = match (unit(escaped), unit(next)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 2 * UNIT_BYTES,
            (Some(0xd800..=0xdfff), _) => {
                out.push_str("\\ufffd");
                is_mended = true;
                rest = next;
                continue;
            }
            (Some(_), _) => UNIT_BYTES,
            (None, _) => escaped.chars().take(2).map(char::len_utf8).sum(),
        };
        let (escape, after) = escaped.split_at_checked(n_bytes)?;
        out.push_str(escape);
        rest = after;
    }
    out.push_str(rest);
    is_mended.then_some(out)
}

/// Returns the unit of UTF-16 that an escape at the beginning of a text stands for.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let are_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    are_hex.then(|| u32::from_str_radix(digits, 16).ok())?
}

/// Returns the bytes of a message with its texts made UTF-8, as they are if they all are; none if they are no message.
fn mended(message: Message, bytes: &[u8], n_levels: usize) -> Option<Cow<'_, [u8]>> {
    let mut out = Vec::new();
    let mut n_taken = 0;
    let mut rest = bytes;
    while !rest.is_empty() {
        let (number, wire_type) = decode_key(&mut rest).ok()?;
        let n_before = bytes.len() - rest.len();
        let Some(value) = take_value(&mut rest, wire_type)? else {
            continue;
        };
        let value = match message.field(number) {
            Some(Field::Text | Field::Texts) => match String::from_utf8_lossy(value) {
                Cow::Borrowed(_) => continue,
                Cow::Owned(text) => text.into_bytes(),
            },
            // What is nested deeper is not read either.
            Some(Field::Message(inner) | Field::Messages(inner)) if n_levels > 0 => {
                match mended(inner, value, n_levels - 1)? {
                    Cow::Borrowed(_) => continue,
                    Cow::Owned(value) => value,
                }
            }
            Some(Field::Message(_) | Field::Messages(_)) | None => continue,
        };
        out.extend_from_slice(bytes.get(n_taken..n_before)?);
        encode_varint(u64::try_from(value.len()).ok()?, &mut out);
        out.extend_from_slice(&value);
        n_taken = bytes.len() - rest.len();
    }
    if n_taken == 0 {
        return Some(Cow::Borrowed(bytes));
    }
    out.extend_from_slice(bytes.get(n_taken..)?);
    Some(Cow::Owned(out))
}

/// Takes a value off the bytes and returns it if it is one that has a length; none if it is cut off. There are no groups
/// in OTLP.
#[expect(
    clippy::option_option,
    reason = "whether there is a value, and whether it has a length"
)]
fn take_value<'a>(rest: &mut &'a [u8], wire_type: WireType) -> Option<Option<&'a [u8]>> {
    let (n_bytes, has_length) = match wire_type {
        WireType::Varint => {
            decode_varint(rest).ok()?;
            (0, false)
        }
        WireType::ThirtyTwoBit => (4, false),
        WireType::SixtyFourBit => (8, false),
        WireType::LengthDelimited => {
            let n_bytes = decode_varint(rest).ok()?;
            (usize::try_from(n_bytes).ok()?, true)
        }
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    let (value, after) = rest.split_at_checked(n_bytes)?;
    *rest = after;
    Some(has_length.then_some(value))
}

/// Bytes of an escape like `\ufffd`.
const UNIT_BYTES: usize = 6;
