//! Reading JSON that others wrote: values of unexpected types are noticed, not fatal.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A JSON value of which only scalars are kept; text borrows from the document unless it has escapes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Scalar<'a> {
    /// `null`, or no member at all.
    #[default]
    Absent,
    Boolean(bool),
    Integer(u64),
    Float(f64),
    Text(Cow<'a, str>),
    /// An array or an object.
    Other,
}

impl<'a> Scalar<'a> {
    /// Returns the text, if it is one and not empty.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            Self::Text(_)
            | Self::Absent
            | Self::Boolean(_)
            | Self::Integer(_)
            | Self::Float(_)
            | Self::Other => None,
        }
    }

    /// Returns the text of a text, the digits of an integer (account ids come as both).
    pub(crate) fn text_or_digits(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Integer(number) => Some(Cow::Owned(number.to_string())),
            Self::Absent | Self::Boolean(_) | Self::Float(_) | Self::Text(_) | Self::Other => {
                self.text().map(Cow::Borrowed)
            }
        }
    }

    /// Returns the boolean, if it is one.
    pub(crate) const fn boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(boolean) => Some(*boolean),
            Self::Absent | Self::Integer(_) | Self::Float(_) | Self::Text(_) | Self::Other => None,
        }
    }

    /// Returns an HTTP status, which clients send as an integer, a float or a text.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Integer(number) => u16::try_from(*number).ok(),
            // The shortest text of a whole number has no fraction: 200.0 is printed as 200.
            Self::Float(number) => number.to_string().parse().ok(),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Absent | Self::Boolean(_) | Self::Other => None,
        }
    }

    /// Returns the text as a name of a member, borrowed if it can be.
    pub(crate) fn into_text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text),
            Self::Absent | Self::Boolean(_) | Self::Integer(_) | Self::Float(_) | Self::Other => {
                None
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Absent)
    }

    fn visit_bool<E: Error>(self, boolean: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Boolean(boolean))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Integer(number))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "JSON numbers are doubles to most clients"
    )]
    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Float(number as f64))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Float(number))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_seq(elements).map(|_| Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_map(members).map(|_| Scalar::Other)
    }
}

/// An object read as `T`; none if the value is of another type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block<T>(pub(crate) Option<T>);

impl<T> Default for Block<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Block<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BlockVisitor(PhantomData))
    }
}

struct BlockVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for BlockVisitor<T> {
    type Value = Block<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        let members = serde::de::value::MapAccessDeserializer::new(members);
        T::deserialize(members).map(|block| Block(Some(block)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_seq(elements).map(|_| Block(None))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Block(None))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Block(None))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Block(None))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Block(None))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Block(None))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Block(None))
    }
}

/// Returns the text of a JSON string, borrowed if it has no escapes; none if `json` is no string.
pub(crate) fn unquote(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(json).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// Returns how deep arrays and objects are nested, 0 for a scalar. What is not JSON gets some number.
pub(crate) fn nesting(json: &str) -> usize {
    let mut depth: usize = 0;
    let mut deepest: usize = 0;
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    deepest
}

/// Tells whether a text has so few brackets that it cannot be nested deeper than `limit`; much
/// cheaper than [`nesting`].
pub(crate) fn is_surely_within(json: &str, limit: usize) -> bool {
    json.bytes()
        .filter(|byte| matches!(byte, b'{' | b'['))
        .count()
        <= limit
}

fn skip_string(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'"' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_any_type_are_read() {
        for (json, expected) in [
            ("200", Some(200)),
            ("200.0", Some(200)),
            ("\"404\"", Some(404)),
            ("200.5", None),
            ("-1", None),
            ("70000", None),
            ("null", None),
            ("[]", None),
            ("{}", None),
            ("true", None),
            ("\"x\"", None),
        ] {
            let scalar: Scalar<'_> = serde_json::from_str(json).unwrap();
            assert_eq!(scalar.status(), expected, "{json}");
        }
    }

    #[test]
    fn text_borrows_unless_it_has_escapes() {
        assert!(matches!(
            serde_json::from_str("\"a\"").unwrap(),
            Scalar::Text(Cow::Borrowed("a"))
        ));
        assert!(matches!(
            serde_json::from_str("\"\\n\"").unwrap(),
            Scalar::Text(Cow::Owned(_))
        ));
        assert!(matches!(
            unquote("\"zo\u{eb}\""),
            Some(Cow::Borrowed("zo\u{eb}"))
        ));
        assert_eq!(unquote("\"zo\\u00eb\"").as_deref(), Some("zo\u{eb}"));
        assert_eq!(unquote("12"), None);
    }

    #[test]
    fn blocks_of_a_wrong_type_are_none() {
        for json in ["null", "1", "-1", "1.5", "true", "\"x\"", "[1,{}]"] {
            let block: Block<Scalar<'_>> = serde_json::from_str(json).unwrap();
            assert_eq!(block, Block(None), "{json}");
        }
        let block: Block<Scalar<'_>> = serde_json::from_str("{\"a\":1}").unwrap();
        assert_eq!(block, Block(Some(Scalar::Other)));
    }

    #[test]
    fn nesting_counts_brackets_outside_strings() {
        for (json, expected) in [
            ("1", 0),
            ("[]", 1),
            ("{\"a\":[[1],{}]}", 3),
            ("[\"[[[\", \"\\\"[\"]", 1),
            ("]]][", 1),
            ("[\"open", 1),
        ] {
            assert_eq!(nesting(json), expected, "{json}");
        }
    }
}
