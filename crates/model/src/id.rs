//! Identifiers, parsed once at the edge (spec: X-Ray developer guide, "Segment documents", ids).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Whose data something is: one number per account and region, given out by the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tenant(pub u32);

/// The 128 bits of a trace id: four bytes of epoch seconds and twelve random bytes.
///
/// Ids derived from W3C trace context have random bits in place of the epoch, so the epoch is never
/// trusted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TraceId([u8; 16]);

/// The 64 bits of a segment or subsegment id, unique within its trace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SegmentId(pub u64);

/// An identifier that does not have the form the API demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Neither `1-<8 hex>-<24 hex>` nor, on read paths, 32 hex digits.
    #[error("a trace id is 1-<8 hex digits>-<24 hex digits>")]
    Trace,
    /// Not 16 hex digits.
    #[error("a segment id is 16 hex digits")]
    Segment,
}

impl TraceId {
    /// Returns the id of its 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the 16 bytes, epoch first.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns the id written `1-<8 hex>-<24 hex>`; hex digits of either case.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let rest = text.strip_prefix("1-").ok_or(InvalidId::Trace)?;
        let (epoch, unique) = rest.split_once('-').ok_or(InvalidId::Trace)?;
        if epoch.len() != 8 || unique.len() != 24 {
            return Err(InvalidId::Trace);
        }
        let high = hex(epoch).ok_or(InvalidId::Trace)? << 96;
        let low = hex(unique).ok_or(InvalidId::Trace)?;
        Ok(Self((high | low).to_be_bytes()))
    }

    /// Returns the id written in X-Ray's form or as the 32 hex digits of W3C trace context.
    pub fn parse_any(text: &str) -> Result<Self, InvalidId> {
        if text.len() == 32 {
            let bits = hex(text).ok_or(InvalidId::Trace)?;
            return Ok(Self(bits.to_be_bytes()));
        }
        Self::parse(text)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        write!(
            formatter,
            "1-{:08x}-{:024x}",
            bits >> 96,
            bits & ((1 << 96) - 1)
        )
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for SegmentId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.len() != 16 {
            return Err(InvalidId::Segment);
        }
        let bits = hex(text).ok_or(InvalidId::Segment)?;
        u64::try_from(bits)
            .map(Self)
            .map_err(|_| InvalidId::Segment)
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

impl fmt::Debug for SegmentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Returns the value of a text of hex digits only; `u128::from_str_radix` alone would let a sign pass.
fn hex(text: &str) -> Option<u128> {
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_ids_of_both_forms_are_one() {
        let xray = TraceId::parse("1-581cf771-a006649127e371903a2de979").unwrap();
        let w3c = TraceId::parse_any("581CF771a006649127e371903a2de979").unwrap();
        assert_eq!(xray, w3c);
        assert_eq!(w3c.to_string(), "1-581cf771-a006649127e371903a2de979");
    }

    #[test]
    fn malformed_trace_ids_are_refused() {
        for text in [
            "",
            "1-581cf771-a006649127e371903a2de97",
            "2-581cf771-a006649127e371903a2de979",
            "1-581cf77-1a006649127e371903a2de979",
            "1-+81cf771-a006649127e371903a2de979",
            "581cf771a006649127e371903a2de979",
            "1-581cf771-a006649127e371903a2de97g",
        ] {
            assert_eq!(TraceId::parse(text), Err(InvalidId::Trace), "{text}");
        }
    }

    #[test]
    fn segment_ids_are_sixteen_hex_digits() {
        assert_eq!(
            "70de5b6f19ff9a0b".parse(),
            Ok(SegmentId(0x70de_5b6f_19ff_9a0b))
        );
        assert_eq!(SegmentId(0xa).to_string(), "000000000000000a");
        for text in [
            "",
            "70de5b6f19ff9a0",
            "70de5b6f19ff9a0bb",
            "+0de5b6f19ff9a0b",
            "zzzzzzzzzzzzzzzz",
        ] {
            assert_eq!(text.parse::<SegmentId>(), Err(InvalidId::Segment), "{text}");
        }
    }
}
