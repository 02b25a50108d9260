//! Times, durations and numbers as JSON numbers, and members that many requests share.

use std::fmt;
use std::time::Duration;

use model::Timestamp;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::Violations;

/// A point in time as a plain decimal number of seconds since 1970, with at least one decimal.
///
/// Read from integers, fractions and exponents without a detour over a double; texts, negative
/// numbers and times after the year 2554 are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WireTime(pub Timestamp);

/// A length of time as a plain decimal number of seconds, rounded to the microsecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WireSeconds(pub Duration);

impl Serialize for WireTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        number(self.0.to_string(), serializer)
    }
}

impl<'de> Deserialize<'de> for WireTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        Timestamp::parse_seconds(text.get())
            .map(Self)
            .map_err(D::Error::custom)
    }
}

impl fmt::Display for WireSeconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_nanos().saturating_add(500) / 1000;
        let fraction = format!("{:06}", micros % 1_000_000);
        let fraction = fraction.trim_end_matches('0');
        let fraction = if fraction.is_empty() { "0" } else { fraction };
        write!(formatter, "{}.{fraction}", micros / 1_000_000)
    }
}

impl Serialize for WireSeconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        number(self.to_string(), serializer)
    }
}

/// Returns the window between two required times, the first part of it; the second is not before it.
pub(crate) fn window(
    start: Option<WireTime>,
    end: Option<WireTime>,
    violations: &mut Violations,
) -> Option<(Timestamp, Timestamp)> {
    let start = violations.required("startTime", start);
    let end = violations.required("endTime", end);
    let (WireTime(start), WireTime(end)) = (start?, end?);
    if end < start {
        let constraint = "Member must not be before startTime";
        violations.add("endTime", &end.to_string(), constraint);
    }
    Some((start, end))
}

/// Returns a text unless it is empty: where the API sets no length, clients send `""` for nothing.
pub(crate) fn not_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// Writes a counter the API calls an integer: clients read 32 bits with a sign, so that it stops at
/// the largest of those.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
pub(crate) fn integer<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    let largest = i32::MAX.unsigned_abs();
    let value = u32::try_from(*value).unwrap_or(largest).min(largest);
    serializer.serialize_u32(value)
}

/// Writes a double; JSON has no infinities, the largest finite number stands for them, and 0 for what
/// is no number.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
pub(crate) fn finite<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    let value = if value.is_nan() { 0.0 } else { *value };
    serializer.serialize_f64(value.clamp(f64::MIN, f64::MAX))
}

/// Writes the digits of a JSON number as they are.
fn number<S: Serializer>(digits: String, serializer: S) -> Result<S::Ok, S::Error> {
    RawValue::from_string(digits)
        .map_err(S::Error::custom)?
        .serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_duration(nanos: u64, expected: &str) {
        let text = serde_json::to_string(&WireSeconds(Duration::from_nanos(nanos))).unwrap();
        assert_eq!(text, expected);
    }

    #[test]
    fn durations_have_no_noise() {
        check_duration(0, "0.0");
        check_duration(3_232_000_000, "3.232");
        check_duration(413_000_000, "0.413");
        check_duration(29_020_000, "0.02902");
        check_duration(1_499, "0.000001");
        check_duration(1_500, "0.000002");
        check_duration(999_999_999, "1.0");
        check_duration(86_400_000_000_000, "86400.0");
    }

    #[test]
    fn times_go_out_as_they_came_in() {
        for text in [
            "1528317567.0",
            "1795304142.804226",
            "1795304142.804226019",
            "0.0",
        ] {
            let time: WireTime = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&time).unwrap(), text);
        }
        let time: WireTime = serde_json::from_str("1.478293361271E9").unwrap();
        assert_eq!(serde_json::to_string(&time).unwrap(), "1478293361.271");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["-1", "\"1700000000\"", "true", "{}", "[1]", "1700000000000"] {
            assert!(serde_json::from_str::<WireTime>(text).is_err(), "{text}");
        }
    }
}
