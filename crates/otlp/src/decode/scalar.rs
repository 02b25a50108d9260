//! The scalars of OTLP in JSON, in every form their writers use (spec: protobuf, "JSON Format"; OTLP, "JSON
//! Protobuf Encoding", which writes ids in hex).

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::value::RawValue;

/// A text; the empty one for null.
pub(super) struct Text(pub(super) String);

/// A whole number: a number, or a text of one.
pub(super) struct Whole(pub(super) i128);

/// The value a whole number of any size becomes: a double if 64 bits do not hold it (JavaScript writes its large numbers
/// so), and a text if that is not finite.
pub(super) struct Integer(pub(super) Value);

/// A number: a number, or a text of one, `NaN`, `Infinity` or `-Infinity`.
pub(super) struct Double(pub(super) f64);

/// True or false.
pub(super) struct Boolean(pub(super) bool);

/// The bytes of an id; its length is not checked.
pub(super) struct Id(pub(super) Vec<u8>);

/// Bytes, written in base64 of either alphabet.
pub(super) struct Base64(pub(super) Vec<u8>);

/// The kind of a span, by number or name; a name that is not known counts as none.
pub(super) struct Kind(pub(super) i32);

/// The code of a status, by number or name; a name that is not known counts as none.
pub(super) struct Code(pub(super) i32);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::<String>::deserialize(deserializer).map(|text| Self(text.unwrap_or_default()))
    }
}

impl<'de> Deserialize<'de> for Boolean {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bool::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(ScalarVisitor)? {
            Scalar::Null => Ok(Self(0)),
            Scalar::Whole(number) => Ok(Self(number)),
            Scalar::Double(double) => whole_of(double)
                .map(Self)
                .ok_or_else(|| D::Error::custom(format_args!("{double} is no whole number"))),
            Scalar::Text(text) => parse_whole(text.trim())
                .map(Self)
                .ok_or_else(|| D::Error::custom(format_args!("{text:?} is no whole number"))),
        }
    }
}

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As it stands, since the reader refuses numbers that no double holds.
        let json = <&RawValue>::deserialize(deserializer)?.get();
        let text = if json.starts_with('"') {
            let text: String = serde_json::from_str(json).map_err(D::Error::custom)?;
            Cow::Owned(text)
        } else {
            Cow::Borrowed(json)
        };
        integer(text.trim())
            .map(Self)
            .ok_or_else(|| D::Error::custom("a value is no whole number"))
    }
}

fn integer(text: &str) -> Option<Value> {
    if let Ok(number) = text.parse() {
        return Some(Value::IntValue(number));
    }
    let is_in_digits = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    let double: f64 = text
        .parse()
        .ok()
        .filter(|_| text.bytes().all(is_in_digits))?;
    if double.is_infinite() {
        return Some(Value::StringValue(text.to_owned()));
    }
    if double.fract() != 0.0 {
        return None;
    }
    // Digits alone are no number of 64 bits, or they had been read before.
    let is_large = text.parse::<i128>().is_ok();
    let number = whole_of(double).and_then(|number| i64::try_from(number).ok());
    let number = number.filter(|_| !is_large);
    Some(number.map_or(Value::DoubleValue(double), Value::IntValue))
}

fn parse_whole(text: &str) -> Option<i128> {
    text.parse().ok().or_else(|| whole_of(text.parse().ok()?))
}

/// Returns the number without its fraction, if it has none: `1e3` is a whole number.
fn whole_of(double: f64) -> Option<i128> {
    let is_whole = double.is_finite() && double.fract() == 0.0;
    is_whole.then(|| format!("{double:.0}").parse().ok())?
}

impl<'de> Deserialize<'de> for Double {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a double is what is asked for, and JSON does not tell 1 from 1.0"
    )]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(ScalarVisitor)? {
            Scalar::Null => Ok(Self(0.0)),
            Scalar::Whole(number) => Ok(Self(number as f64)),
            Scalar::Double(double) => Ok(Self(double)),
            // The names of what is no number are those that Rust reads, too.
            Scalar::Text(text) => text
                .trim()
                .parse()
                .map(Self)
                .map_err(|_| D::Error::custom(format_args!("{text:?} is no number"))),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        // An id of 8 or 16 bytes is padded in base64, so that it is never taken for hex.
        let bytes = hex(&text).or_else(|| base64(&text));
        bytes
            .map(Self)
            .ok_or_else(|| D::Error::custom(format_args!("{text:?} is no id in hex")))
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok()?;
        let is_hex = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_hex.then(|| u8::from_str_radix(pair, 16).ok())?
    };
    digits.map(byte).collect()
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Text(text) = Text::deserialize(deserializer)?;
        base64(&text)
            .map(Self)
            .ok_or_else(|| D::Error::custom("bytes are expected in base64"))
    }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.replace('-', "+").replace('_', "/");
    BASE64.decode(text).ok()
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        enumerated(deserializer, "SPAN_KIND_", |name| {
            SpanKind::from_str_name(name).map(i32::from)
        })
        .map(Self)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        enumerated(deserializer, "STATUS_CODE_", |name| {
            StatusCode::from_str_name(name).map(i32::from)
        })
        .map(Self)
    }
}

/// Reads the number or the name of an enumeration, with or without the prefix its names have.
fn enumerated<'de, D: Deserializer<'de>>(
    deserializer: D,
    prefix: &str,
    number_of: impl Fn(&str) -> Option<i32>,
) -> Result<i32, D::Error> {
    let number = match deserializer.deserialize_any(ScalarVisitor)? {
        Scalar::Null => 0,
        Scalar::Whole(number) => number,
        Scalar::Double(double) => whole_of(double)
            .ok_or_else(|| D::Error::custom(format_args!("{double} is no whole number")))?,
        Scalar::Text(text) => {
            let by_name = || number_of(&text).or_else(|| number_of(&format!("{prefix}{text}")));
            let by_number = text.trim().parse().ok();
            by_number.unwrap_or_else(|| by_name().unwrap_or_default().into())
        }
    };
    i32::try_from(number).map_err(|_| D::Error::custom(format_args!("{number} is out of range")))
}

enum Scalar {
    Null,
    Whole(i128),
    Double(f64),
    Text(String),
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Null)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Whole(number.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Whole(number.into()))
    }

    fn visit_f64<E: Error>(self, double: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Double(double))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(text.to_owned()))
    }
}
