//! Protobuf changed field by field: what comes out is a message, whatever its fields mean.

use roentgen_tests::random::Random;

use crate::bytes::{self, Vocabulary, index};
use crate::engine::Form;

/// A field of a message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) number: u64,
    pub(crate) value: Wire,
}

/// A value as it is on the wire.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wire {
    Varint(u64),
    Fixed64(u64),
    Bytes(Vec<u8>),
    /// Bytes that are a message themselves.
    Message(Vec<Field>),
    Fixed32(u32),
}

/// Messages whose texts have these words.
pub(crate) struct Protobuf {
    pub(crate) vocabulary: Vocabulary,
    /// The highest number of a field that means something.
    pub(crate) number_max: u32,
}

/// Returns the field of a number, with a message in it.
pub(crate) fn message(number: u64, fields: Vec<Field>) -> Field {
    let value = Wire::Message(fields);
    Field { number, value }
}

/// Returns the field of a number, with bytes in it.
pub(crate) fn bytes(number: u64, bytes: &[u8]) -> Field {
    let value = Wire::Bytes(bytes.to_vec());
    Field { number, value }
}

/// Returns the field of a number, with a whole number in it.
pub(crate) fn varint(number: u64, value: u64) -> Field {
    let value = Wire::Varint(value);
    Field { number, value }
}

/// Returns the field of a number, with eight bytes in it.
pub(crate) fn fixed64(number: u64, value: u64) -> Field {
    let value = Wire::Fixed64(value);
    Field { number, value }
}

/// Returns a message as bytes.
pub(crate) fn write(fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        let kind = match &field.value {
            Wire::Varint(_) => 0,
            Wire::Fixed64(_) => 1,
            Wire::Bytes(_) | Wire::Message(_) => 2,
            Wire::Fixed32(_) => 5,
        };
        put_varint(field.number << 3 | kind, &mut out);
        match &field.value {
            Wire::Varint(value) => put_varint(*value, &mut out),
            Wire::Fixed64(value) => out.extend(value.to_le_bytes()),
            Wire::Fixed32(value) => out.extend(value.to_le_bytes()),
            Wire::Bytes(bytes) => put_bytes(bytes, &mut out),
            Wire::Message(fields) => put_bytes(&write(fields), &mut out),
        }
    }
    out
}

/// Returns the fields of a message. Bytes that are one are taken for a message, unless they are text.
pub(crate) fn read(bytes: &[u8]) -> Option<Vec<Field>> {
    read_below(bytes, 0)
}

fn read_below(mut bytes: &[u8], level: usize) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = take_varint(&mut bytes)?;
        let number = key >> 3;
        if number == 0 || number > NUMBER_MAX {
            return None;
        }
        let value = match key & 7 {
            0 => Wire::Varint(take_varint(&mut bytes)?),
            1 => Wire::Fixed64(u64::from_le_bytes(*bytes.split_off(..8)?.first_chunk()?)),
            2 => {
                let n_bytes = usize::try_from(take_varint(&mut bytes)?).ok()?;
                let inner = bytes.split_off(..n_bytes)?;
                let is_text = inner.iter().all(|byte| (b' '..=b'~').contains(byte));
                let within = (!is_text && level < LEVELS_MAX).then(|| read_below(inner, level + 1));
                match within.flatten() {
                    Some(fields) => Wire::Message(fields),
                    None => Wire::Bytes(inner.to_vec()),
                }
            }
            5 => Wire::Fixed32(u32::from_le_bytes(*bytes.split_off(..4)?.first_chunk()?)),
            _ => return None,
        };
        fields.push(Field { number, value });
    }
    Some(fields)
}

impl Form for Protobuf {
    fn change(&self, input: &[u8], other: &[u8], random: &mut Random) -> Option<Vec<u8>> {
        let mut fields = read(input)?;
        let others = read(other).unwrap_or_default();
        let others = at(&others, index(random, n_messages(&others)));
        let n_messages = n_messages(&fields);
        let message = at_mut(&mut fields, index(random, n_messages));
        self.change_message(message, others, random);
        Some(write(&fields))
    }

    fn grow(&self, input: &[u8], n_bytes: usize, random: &mut Random) -> Option<Vec<u8>> {
        let mut fields = read(input)?;
        let n_messages = n_messages(&fields);
        let message = at_mut(&mut fields, index(random, n_messages));
        let n_missing = n_bytes.checked_sub(input.len())?;
        let field_idx = index(random, message.len());
        let repeats_text = random.percent(20);
        let field = message.get_mut(field_idx)?;
        match &mut field.value {
            Wire::Bytes(bytes) if repeats_text && !bytes.is_empty() => {
                *bytes = bytes.repeat(1 + n_missing / bytes.len());
            }
            Wire::Varint(_)
            | Wire::Fixed64(_)
            | Wire::Fixed32(_)
            | Wire::Bytes(_)
            | Wire::Message(_) => {
                let n_field = write(std::slice::from_ref(field)).len();
                let copies = vec![field.clone(); n_missing / n_field];
                message.extend((0..).zip(copies).map(|(idx, copy)| numbered(copy, idx)));
            }
        }
        Some(write(&fields))
    }
}

impl Protobuf {
    fn change_message(&self, message: &mut Vec<Field>, others: &[Field], random: &mut Random) {
        let at = index(random, message.len());
        let behind = index(random, message.len() + 1);
        match random.below(10) {
            0 if !others.is_empty() => {
                let field = others[index(random, others.len())].clone();
                message.insert(behind, field);
            }
            1 => {
                let value = self.value(random);
                let number = u64::from(random.between(1, self.number_max));
                message.insert(behind, Field { number, value });
            }
            _ if message.is_empty() => {}
            2 | 3 => {
                message.remove(at);
            }
            4 => {
                let field = message[at].clone();
                let n_field = write(std::slice::from_ref(&field)).len();
                let n_copies = (1 << random.below(11)).min(70_000 / n_field);
                message.splice(behind..behind, vec![field; n_copies]);
            }
            5 => message.rotate_left(at),
            6 => message[at].number = u64::from(random.between(1, self.number_max)),
            7 => message[at].value = self.value(random),
            8 => nest(message, at, random),
            _ => self.change_value(&mut message[at].value, random),
        }
    }

    fn value(&self, random: &mut Random) -> Wire {
        match random.below(5) {
            0 => Wire::Varint(random.pick(EDGES)),
            1 => Wire::Fixed64(random.pick(EDGES)),
            2 => Wire::Bytes(random.pick(self.vocabulary.words).to_vec()),
            3 => Wire::Message(Vec::new()),
            _ => Wire::Fixed32(random.below(u32::MAX)),
        }
    }

    fn change_value(&self, value: &mut Wire, random: &mut Random) {
        match value {
            Wire::Varint(number) | Wire::Fixed64(number) => *number = random.pick(EDGES),
            Wire::Bytes(text) => {
                *text = bytes::change(text, b"", &self.vocabulary, random);
            }
            Wire::Message(_) | Wire::Fixed32(_) => *value = self.value(random),
        }
    }
}

/// Puts a field into copies of the message it is in, level by level.
fn nest(message: &mut Vec<Field>, at: usize, random: &mut Random) {
    for _ in 0..1 << random.below(7) {
        if write(message).len() > 20_000 {
            return;
        }
        let number = message[at].number;
        let inner = message.clone();
        // Siblings are left out, or the message would double with each level.
        *message = vec![self::message(number, inner)];
        if at > 0 {
            return;
        }
    }
}

/// Gives the copy of a field bytes of its own: those of ids have its number at their end.
fn numbered(mut field: Field, copy_idx: u32) -> Field {
    match &mut field.value {
        Wire::Bytes(bytes) if bytes.len() >= 8 => {
            let at = bytes.len() - 4;
            bytes[at..].copy_from_slice(&copy_idx.to_be_bytes());
        }
        Wire::Message(fields) => {
            let inner = std::mem::take(fields).into_iter();
            *fields = inner.map(|field| numbered(field, copy_idx)).collect();
        }
        Wire::Varint(_) | Wire::Fixed64(_) | Wire::Fixed32(_) | Wire::Bytes(_) => {}
    }
    field
}

/// Returns how many messages there are in one, itself included.
fn n_messages(fields: &[Field]) -> usize {
    let below = fields.iter().map(|field| match &field.value {
        Wire::Message(fields) => n_messages(fields),
        Wire::Varint(_) | Wire::Fixed64(_) | Wire::Fixed32(_) | Wire::Bytes(_) => 0,
    });
    1 + below.sum::<usize>()
}

/// Returns the message of a number, counted from outside in.
fn at(fields: &[Field], message_idx: usize) -> &[Field] {
    let Some(mut rest) = message_idx.checked_sub(1) else {
        return fields;
    };
    for field in fields {
        if let Wire::Message(inner) = &field.value {
            let n_inner = n_messages(inner);
            if rest < n_inner {
                return at(inner, rest);
            }
            rest -= n_inner;
        }
    }
    fields
}

fn at_mut(fields: &mut Vec<Field>, message_idx: usize) -> &mut Vec<Field> {
    let Some(mut rest) = message_idx.checked_sub(1) else {
        return fields;
    };
    for field in fields {
        if let Wire::Message(inner) = &mut field.value {
            let n_inner = n_messages(inner);
            if rest < n_inner {
                return at_mut(inner, rest);
            }
            rest -= n_inner;
        }
    }
    unreachable!("there are fewer messages than that");
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    loop {
        let byte = u8::try_from(value & 0x7f).unwrap();
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(u64::try_from(bytes.len()).unwrap(), out);
    out.extend_from_slice(bytes);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

const EDGES: &[u64] = &[
    0,
    1,
    2,
    5,
    0x7f,
    0x80,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1_000_000_000,
    0x7fef_ffff_ffff_ffff,
    0x7ff0_0000_0000_0000,
    0x7ff8_0000_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffff,
];
const NUMBER_MAX: u64 = 2000;
const LEVELS_MAX: usize = 60;

#[test]
fn what_is_read_is_written() {
    let fields = vec![
        varint(1, 0),
        varint(2, u64::MAX),
        fixed64(16, 7),
        bytes(3, b"text"),
        bytes(4, b"\xff\xff"),
        message(5, vec![varint(1, 300), message(1, vec![fixed64(2, 9)])]),
        Field {
            number: 6,
            value: Wire::Fixed32(9),
        },
    ];
    let written = write(&fields);
    assert_eq!(read(&written), Some(fields));
    // The example of the guide "Encoding" of Protocol Buffers.
    assert_eq!(write(&[varint(1, 150)]), [0x08, 0x96, 0x01]);
    for end in [1, 2] {
        assert_eq!(read(&[0x08, 0x96, 0x01][..end]), None);
    }
}
