//! Points in time, exact to the nanosecond (spec: timestamps are epoch seconds as JSON numbers).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970-01-01T00:00:00Z; the last one that fits is in the year 2554.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Timestamp(u64);

/// A number that is no point in time this server can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTime {
    /// Not a JSON number, or negative.
    #[error("a time is a number of seconds since 1970")]
    NotANumber,
    /// Later than the year 2554: most often milliseconds sent as seconds.
    #[error(
        "a time is in seconds since 1970 and this one lies after the year 2554; is it in milliseconds?"
    )]
    TooLate,
}

impl Timestamp {
    /// The first instant.
    pub const ZERO: Self = Self(0);
    /// The last instant.
    pub const MAX: Self = Self(u64::MAX);

    /// Returns the instant so many nanoseconds after 1970.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the nanoseconds since 1970.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the instant so many whole seconds after 1970, the last instant if that is out of range.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(NANOS_PER_SEC))
    }

    /// Returns the instant a JSON number of seconds names, exactly: digits beyond the ninth decimal
    /// are cut off, exponents (`1.478293361271E9`) are understood.
    pub fn parse_seconds(number: &str) -> Result<Self, InvalidTime> {
        let (mantissa, exponent) = match number.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (
                mantissa,
                exponent
                    .parse::<i32>()
                    .map_err(|_| InvalidTime::NotANumber)?,
            ),
            None => (number, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = || whole.bytes().chain(fraction.bytes());
        if whole.is_empty() || !digits().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidTime::NotANumber);
        }
        if digits().all(|byte| byte == b'0') {
            return Ok(Self::ZERO);
        }
        // How many digits of the mantissa count whole nanoseconds; zeros fill up what is missing.
        let n_whole = i64::try_from(whole.len()).map_err(|_| InvalidTime::TooLate)?;
        let n_wanted = n_whole + i64::from(exponent) + 9;
        let n_significant = digits().skip_while(|byte| *byte == b'0').count();
        let n_leading_zeros = digits().count() - n_significant;
        if n_wanted - i64::try_from(n_leading_zeros).unwrap_or(i64::MAX) > 20 {
            return Err(InvalidTime::TooLate);
        }
        let mut nanos: u64 = 0;
        let padded = digits().chain(std::iter::repeat(b'0'));
        for byte in padded.take(usize::try_from(n_wanted).unwrap_or(0)) {
            nanos = nanos
                .checked_mul(10)
                .and_then(|tens| tens.checked_add(u64::from(byte - b'0')))
                .ok_or(InvalidTime::TooLate)?;
        }
        Ok(Self(nanos))
    }

    /// Returns the seconds since 1970, rounded to what a double holds.
    #[expect(
        clippy::cast_precision_loss,
        reason = "the wire's doubles hold no more than this"
    )]
    pub fn as_secs_f64(self) -> f64 {
        (self.0 / NANOS_PER_SEC) as f64 + (self.0 % NANOS_PER_SEC) as f64 / 1e9
    }

    /// Returns the whole seconds since 1970.
    pub const fn as_secs(self) -> u64 {
        self.0 / NANOS_PER_SEC
    }

    /// Returns the time from `earlier` to this instant, zero if it is not earlier.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Returns the instant `duration` before this one, the first instant if that is out of range.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }
}

/// Writes plain decimal seconds with at least one decimal (`1528317567.0`), as the service prints them.
impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:09}", self.0 % NANOS_PER_SEC);
        let fraction = fraction.trim_end_matches('0');
        let fraction = if fraction.is_empty() { "0" } else { fraction };
        write!(formatter, "{}.{fraction}", self.0 / NANOS_PER_SEC)
    }
}

const NANOS_PER_SEC: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, nanos: u64) {
        assert_eq!(
            Timestamp::parse_seconds(text),
            Ok(Timestamp(nanos)),
            "{text}"
        );
    }

    #[test]
    fn numbers_are_read_to_the_nanosecond() {
        check("0", 0);
        check("0.0e99", 0);
        check("1478293361.271", 1_478_293_361_271_000_000);
        check("1.478293361271E9", 1_478_293_361_271_000_000);
        check("147829336127.1e-2", 1_478_293_361_271_000_000);
        check("1795304413.760491610", 1_795_304_413_760_491_610);
        check("1795304413.7604916109", 1_795_304_413_760_491_610);
        check("0.000000001", 1);
        check("00000000000000000000000000001", 1_000_000_000);
        check("5e-10", 0);
        check("14789232374.449", 14_789_232_374_449_000_000);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "-1", "x", "1.2.3", "1e", "1e5.5", ".5"] {
            assert_eq!(
                Timestamp::parse_seconds(text),
                Err(InvalidTime::NotANumber),
                "{text}"
            );
        }
        for text in [
            "1700000000000",
            "1e300",
            "99999999999999999999999999",
            "18446744074",
        ] {
            assert_eq!(
                Timestamp::parse_seconds(text),
                Err(InvalidTime::TooLate),
                "{text}"
            );
        }
    }

    #[test]
    fn text_form_has_a_decimal_and_no_noise() {
        assert_eq!(
            Timestamp::from_secs(1_528_317_567).to_string(),
            "1528317567.0"
        );
        assert_eq!(
            Timestamp::from_nanos(1_478_293_361_271_000_000).to_string(),
            "1478293361.271"
        );
    }
}
