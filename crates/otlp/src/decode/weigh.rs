//! What a body becomes in memory, known before it is decoded: a span of two bytes takes some hundreds.
//!
//! A body is passed over with the eyes of the decoder, which reads it the same way and stops at the same places or before,
//! so that no body becomes more than is said here. What comes twice and is kept once counts twice: for a moment both are
//! there.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::Encoding;
use super::shape::{Field, LEVELS_MAX, Message};

/// What a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// How many spans it brings.
    pub n_spans: usize,
    /// Bytes of memory once it is decoded: its texts, of which there are no more than the body has, and its lists with the
    /// room they have to grow.
    pub n_bytes: usize,
}

/// Returns what the request a body holds takes. Of one that is no request, what is read of it before that is found.
/// Nothing is kept meanwhile.
pub fn weigh(body: &[u8], encoding: Encoding) -> Weight {
    let mut weight = Weight {
        n_spans: 0,
        n_bytes: body.len(),
    };
    match encoding {
        Encoding::Protobuf => {
            // How far it can be read does not matter: the decoder gets no farther.
            let _read = weight.add_fields(Message::Request, &mut &body[..], 0, LEVELS_MAX);
        }
        Encoding::Json => {
            let mut json = serde_json::Deserializer::from_slice(body);
            let request = Object {
                message: Message::Request,
                weight: &mut weight,
            };
            let _read = request.deserialize(&mut json);
        }
    }
    weight
}

impl Weight {
    /// Adds a message that is the so many-th of a list.
    fn add_message(&mut self, message: Message, nth: usize) {
        self.n_spans += usize::from(message == Message::Span);
        self.add_place(message.n_bytes(), nth);
    }

    /// Adds a text that is the so many-th of a list.
    fn add_text(&mut self, nth: usize) {
        self.add_place(size_of::<String>(), nth);
    }

    fn add_place(&mut self, n_bytes: usize, nth: usize) {
        let n_bytes = n_bytes.saturating_mul(n_more_places(nth));
        self.n_bytes = self.n_bytes.saturating_add(n_bytes);
    }

    /// Adds what is in the fields of a message in protobuf, up to where so many bytes are left; none if it is broken or
    /// nested too deep.
    fn add_fields(
        &mut self,
        message: Message,
        rest: &mut &[u8],
        n_left: usize,
        n_levels: usize,
    ) -> Option<()> {
        let mut lists = Lists::default();
        while rest.len() > n_left {
            let (number, wire_type) = decode_key(rest).ok()?;
            let has_length = wire_type == WireType::LengthDelimited;
            let inner = match message.field(number).filter(|_| has_length) {
                Some(Field::Message(inner)) => inner,
                Some(Field::Messages(inner)) => {
                    self.add_message(inner, lists.next(number));
                    inner
                }
                field => {
                    if field == Some(Field::Texts) {
                        self.add_text(lists.next(number));
                    }
                    skip_field(wire_type, number, rest, DecodeContext::default()).ok()?;
                    continue;
                }
            };
            let n_levels = n_levels.checked_sub(1)?;
            let n_bytes = usize::try_from(decode_varint(rest).ok()?).ok()?;
            // A message may be longer than the one around it: that is found at its end.
            let n_left = rest.len().checked_sub(n_bytes)?;
            self.add_fields(inner, rest, n_left, n_levels)?;
        }
        (rest.len() == n_left).then_some(())
    }
}

/// Returns for how many more there is room once a list has its so many-th: lists begin with room for four, and double it.
const fn n_more_places(nth: usize) -> usize {
    match nth {
        1 => 4,
        5.. if (nth - 1).is_power_of_two() => nth - 1,
        _ => 0,
    }
}

/// How long the lists of one message are, by the numbers of their fields.
#[derive(Default)]
struct Lists([(u32, usize); LISTS_MAX]);

impl Lists {
    /// Returns which one of its list the next one is.
    fn next(&mut self, number: u32) -> usize {
        let mut lists = self.0.iter_mut();
        let list = lists.find(|(of, n_items)| *of == number || *n_items == 0);
        // There are no more lists than places for them; of one there were, each would count as the first.
        let Some((of, n_items)) = list else {
            return 1;
        };
        *of = number;
        *n_items += 1;
        *n_items
    }
}

/// A message in JSON, null for an empty one.
struct Object<'w> {
    message: Message,
    weight: &'w mut Weight,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { message, weight } = self;
        while let Some(Name(name)) = members.next_key()? {
            match message.member(&name) {
                Some(Field::Message(message)) => {
                    members.next_value_seed(Object { message, weight })?;
                }
                Some(items @ (Field::Messages(_) | Field::Texts)) => {
                    members.next_value_seed(List { items, weight })?;
                }
                Some(Field::Text) | None => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A list in JSON, null for an empty one.
struct List<'w> {
    items: Field,
    weight: &'w mut Weight,
}

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let weight = self.weight;
        for nth in 1.. {
            match self.items {
                Field::Message(message) | Field::Messages(message) => {
                    let object = Object { message, weight };
                    if items.next_element_seed(object)?.is_none() {
                        break;
                    }
                    weight.add_message(message, nth);
                }
                Field::Text | Field::Texts => {
                    if items.next_element::<IgnoredAny>()?.is_none() {
                        break;
                    }
                    weight.add_text(nth);
                }
            }
        }
        Ok(())
    }
}

/// The name of a member. It need not be UTF-8: names that are not known may be mended.
struct Name<'de>(Cow<'de, [u8]>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a member")
    }

    fn visit_borrowed_bytes<E: Error>(self, name: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<Self::Value, E> {
        Ok(Name(Cow::Owned(name.to_vec())))
    }
}

/// A span has three.
const LISTS_MAX: usize = 3;
