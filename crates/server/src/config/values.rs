//! Values as people write them: sizes, lengths of time, addresses.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// A number of bytes: `"64KiB"` or `65536`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteCount(pub(crate) u64);

/// A length of time: `"200ms"`, `"7d"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// Where something listens: `"127.0.0.1:2000"`, `"[::1]:0"`, `"localhost:2000"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) String);

/// A door that is open at an address or shut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// `"off"`.
    Off,
    /// Open there.
    At(Address),
}

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Durability {
    /// Once it is on disk.
    Sync,
    /// At once; it is on disk an interval later.
    Interval,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What becomes of subsegments whose segment never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Orphans {
    /// They are returned.
    Visible,
    /// They are left out.
    Hidden,
}

/// Who may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuthMode {
    /// Everybody.
    None,
    /// Who signs.
    SigV4,
}

/// What becomes of spans no sampler chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unsampled {
    /// They are stored like others.
    Keep,
    /// They are left out and counted.
    Drop,
}

/// An account and region, `"111122223333/us-east-1"`; empty for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner(pub(crate) Option<model::Account>);

/// A list of words; in the environment separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words(pub(crate) Vec<String>);

impl Address {
    fn parse(text: &str) -> Option<Self> {
        if text.parse::<SocketAddr>().is_ok() {
            return Some(Self(text.to_owned()));
        }
        let (host, port) = text.rsplit_once(':')?;
        let is_host = !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
        (is_host && port.parse::<u16>().is_ok()).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ByteCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ByteCountVisitor)
    }
}

struct ByteCountVisitor;

impl Visitor<'_> for ByteCountVisitor {
    type Value = ByteCount;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(SIZES)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<ByteCount, E> {
        let unexpected = Unexpected::Signed(number);
        u64::try_from(number)
            .map(ByteCount)
            .map_err(|_| E::invalid_value(unexpected, &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ByteCount, E> {
        bytes(text)
            .map(ByteCount)
            .ok_or_else(|| E::custom(format!("expected {SIZES}")))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = text(deserializer, SPANS)?;
        humantime::parse_duration(&text)
            .map(Self)
            .map_err(|_| expected(SPANS))
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = text(deserializer, ADDRESSES)?;
        Self::parse(&text).ok_or_else(|| expected(ADDRESSES))
    }
}

impl<'de> Deserialize<'de> for Owner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = text(deserializer, OWNERS)?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        let owner = text.split_once('/').filter(|(id, region)| {
            id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit()) && !region.is_empty()
        });
        let (id, region) = owner.ok_or_else(|| expected(OWNERS))?;
        Ok(Self(Some(model::Account {
            id: id.to_owned(),
            region: region.to_owned(),
        })))
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            List(Vec<String>),
            Text(String),
        }

        let written = Written::deserialize(deserializer).map_err(|_| expected(LISTS))?;
        let words = match written {
            Written::List(words) => words,
            Written::Text(text) => text.split(',').map(str::to_owned).collect(),
        };
        let words = words.iter().map(|word| word.trim().to_owned());
        Ok(Self(words.filter(|word| !word.is_empty()).collect()))
    }
}

impl<'de> Deserialize<'de> for Door {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = text(deserializer, DOORS)?;
        if text == "off" {
            return Ok(Self::Off);
        }
        Address::parse(&text)
            .map(Self::At)
            .ok_or_else(|| expected(DOORS))
    }
}

/// Returns a size; the crate alone would read "" and "5.5 5" in its own ways.
fn bytes(text: &str) -> Option<u64> {
    let starts_with_digit = text.starts_with(|first: char| first.is_ascii_digit());
    let size = text.parse::<bytesize::ByteSize>().ok()?;
    starts_with_digit.then_some(size.as_u64())
}

/// Reads a text, saying what it should look like if it is something else.
fn text<'de, D: Deserializer<'de>>(
    deserializer: D,
    allowed: &'static str,
) -> Result<String, D::Error> {
    struct TextVisitor(&'static str);

    impl Visitor<'_> for TextVisitor {
        type Value = String;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str(self.0)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<String, E> {
            Ok(number.to_string())
        }
    }

    deserializer.deserialize_any(TextVisitor(allowed))
}

fn expected<E: Error>(allowed: &str) -> E {
    E::custom(format!("expected {allowed}"))
}

const SIZES: &str = "a size such as \"64KiB\" or \"20GiB\", or a number of bytes";
const SPANS: &str = "a length of time such as \"200ms\", \"10s\" or \"7d\"";
const ADDRESSES: &str =
    "an address with a port such as \"127.0.0.1:2000\", \"[::1]:2000\" or \"localhost:0\"";
const OWNERS: &str = "an account and a region such as \"111122223333/us-east-1\", or nothing";
const LISTS: &str = "a list of words, in the environment separated by commas";
const DOORS: &str = "an address with a port such as \"127.0.0.1:2000\", or \"off\"";
