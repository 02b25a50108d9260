//! Numbers of seconds, moved as they are written.

use model::Timestamp;
use serde::de::IgnoredAny;

use crate::{OutOfRange, Shift};

/// Returns a number of seconds, moved in its own notation; none if it stays as it is: it is not moved, or no time.
///
/// Digits below the second stay, and so does the exponent. Where there are too few digits to say the result exactly
/// (`1.5E9`) zeros are added to them first; nothing is ever rounded.
///
/// # Errors
/// [`OutOfRange`].
pub(crate) fn moved_seconds(number: &str, shift: Shift) -> Result<Option<String>, OutOfRange> {
    let is_json = || serde_json::from_str::<IgnoredAny>(number).is_ok();
    let Some(time) = Timestamp::parse_seconds(number).ok().filter(|_| is_json()) else {
        return Ok(None);
    };
    let Some(decimal) = Decimal::parse(number).filter(|_| shift.secs() != 0) else {
        return Ok(None);
    };
    shift.time(time)?;
    match decimal.plus(shift.secs()) {
        Some(moved) => Ok(Some(moved)),
        None => Err(shift.out_of_range(time)),
    }
}

/// Returns a number of nanoseconds, moved; none if it stays as it is: it is not moved, or no time. Zero says that a time
/// is not known.
///
/// # Errors
/// [`OutOfRange`].
pub(crate) fn moved_nanos(number: &str, shift: Shift) -> Result<Option<String>, OutOfRange> {
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
    let nanos: Option<u64> = number.parse().ok();
    match nanos.filter(|_| is_plain && shift.secs() != 0) {
        Some(nanos) => {
            let moved = shift.time(Timestamp::from_nanos(nanos))?;
            Ok(Some(moved.as_nanos().to_string()))
        }
        None => Ok(None),
    }
}

/// A number that is not negative, as it is written.
struct Decimal<'a> {
    /// All digits but for the exponent's.
    digits: String,
    /// How many of the digits are behind the point.
    n_decimals: usize,
    /// As written, its letter included.
    exponent: &'a str,
    /// How many of the last digits are below the second.
    n_below: usize,
    /// How many digits are missing to reach down to the second.
    n_missing: usize,
}

impl<'a> Decimal<'a> {
    /// Returns a number of JSON; none if its exponent is no time's.
    fn parse(number: &'a str) -> Option<Self> {
        let end = number.find(['e', 'E']).unwrap_or(number.len());
        let (mantissa, exponent) = number.split_at_checked(end)?;
        let power: i32 = match exponent.get(1..) {
            Some(power) => power.parse().ok()?,
            None => 0,
        };
        if !(-EXPONENT_MAX..=EXPONENT_MAX).contains(&power) {
            return None;
        }
        let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let n_decimals = decimals.len();
        let n_moved = usize::try_from(power.unsigned_abs()).ok()?;
        let (n_up, n_down) = if power < 0 {
            (n_moved, 0)
        } else {
            (0, n_moved)
        };
        Some(Self {
            digits: format!("{whole}{decimals}"),
            n_decimals,
            exponent,
            n_below: (n_decimals + n_up).saturating_sub(n_down),
            n_missing: n_down.saturating_sub(n_decimals + n_up),
        })
    }

    /// Returns the number so many seconds later, not zero, written as it was; none if it would be negative.
    fn plus(self, secs: i64) -> Option<String> {
        let (n_tens, steps) = in_tens(secs, self.n_missing);
        let n_added = self.n_missing - n_tens;
        let n_decimals = self.n_decimals + n_added;
        let width = self.digits.len().max(self.n_below);
        let digits = format!("{:0>width$}{:0<n_added$}", self.digits, "");
        let (counted, below) = digits.split_at_checked(digits.len() - self.n_below)?;
        let counted: i64 = match counted {
            "" => 0,
            counted => counted.parse().ok()?,
        };
        let moved = u64::try_from(counted.checked_add(steps)?).ok()?;
        let digits = format!("{moved}{below}");
        // One digit is before the point, even if it is zero; no other zeros are in front.
        let digits = digits.trim_start_matches('0');
        let width = n_decimals + 1;
        let digits = format!("{digits:0>width$}");
        let (whole, decimals) = digits.split_at_checked(digits.len() - n_decimals)?;
        let point = if decimals.is_empty() { "" } else { "." };
        Some(format!("{whole}{point}{decimals}{}", self.exponent))
    }
}

/// Returns how many tens can be divided out of seconds that are not zero, at most `n_max`, and what is left.
const fn in_tens(secs: i64, n_max: usize) -> (usize, i64) {
    let (mut n_tens, mut left) = (0, secs);
    while n_tens < n_max && left % 10 == 0 {
        n_tens += 1;
        left /= 10;
    }
    (n_tens, left)
}

const EXPONENT_MAX: i32 = 99;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Checks how a number is written that many seconds later, and that it comes back.
    fn check(number: &str, secs: i64, expected: &str) {
        let shift = Shift::by(Timestamp::ZERO, secs);
        let moved = moved_seconds(number, shift).unwrap();
        assert_eq!(moved.as_deref(), Some(expected), "{number} by {secs}");
        let back = moved_seconds(expected, shift.inverse()).unwrap();
        assert_eq!(back.as_deref(), Some(number), "{expected} by {}", -secs);
    }

    #[test]
    fn numbers_keep_their_notation() {
        check("1478293361", 1000, "1478294361");
        check("1478293361.0", 1000, "1478294361.0");
        check("1478293361.271", -1000, "1478292361.271");
        check("1478293361.270", 1000, "1478294361.270");
        check("1478293361.27144908905029", 1, "1478293362.27144908905029");
        check("1795304413.760491610", 86_400, "1795390813.760491610");
        check(
            "1478293361.99999999999999999999999999999999999999999",
            1,
            "1478293362.99999999999999999999999999999999999999999",
        );
        check("999999999.5", 1, "1000000000.5");
        check("0", 1_478_293_361, "1478293361");
        check("0.5", 1_478_293_361, "1478293361.5");
        check("0.0", 7, "7.0");
    }

    #[test]
    fn exponents_stay() {
        check("1.478293361271E9", 1000, "1.478294361271E9");
        check("1.478293361271e+9", 1000, "1.478294361271e+9");
        check("1.478293361271e09", -1000, "1.478292361271e09");
        check("1.478293361E9", 1000, "1.478294361E9");
        check("9.999999999E9", 1, "10.000000000E9");
        check("147829336127.1e-2", 1000, "147829436127.1e-2");
        check("1478293361271E-3", 1000, "1478294361271E-3");
        check("1478293361e0", 1000, "1478294361e0");
        check("0.1478293361271e10", 1000, "0.1478294361271e10");
        check(
            "0.001478293361271e12",
            1_500_000_000,
            "0.002978293361271e12",
        );
        check("5e-1", 10, "105e-1");
        check("5e-3", 10, "10005e-3");
        check("0.5e-2", 10, "1000.5e-2");
        check("0.5e1", 10, "1.5e1");
        check("15e8", 100_000_000, "16e8");
        check("1.5E9", 8_600_000_000, "10.1E9");
    }

    #[test]
    fn digits_are_added_where_they_are_missing() {
        let grown = |number, secs| moved_seconds(number, Shift::by(Timestamp::ZERO, secs)).unwrap();
        for (number, secs, expected) in [
            ("1.5E9", 1, "1.500000001E9"),
            ("1.5E9", 1000, "1.500001E9"),
            ("1.4782933E9", 61, "1.478293361E9"),
            ("15e8", -1, "14.99999999e8"),
            ("15e8", 1000, "15.00001e8"),
            ("0e5", 10, "0.0001e5"),
            ("0.0e2", 7, "0.07e2"),
        ] {
            assert_eq!(
                grown(number, secs).as_deref(),
                Some(expected),
                "{number} by {secs}"
            );
        }
    }

    #[test]
    fn what_is_no_time_stays() {
        for text in [
            "",
            "null",
            "true",
            "-1",
            "-0",
            "1700000000000",
            "1e300",
            "1e1000",
            "0e100",
            "0e99999999999",
            " 1478293361",
            "1478293361 ",
            "01478293361",
            "1478293361.",
            "+1478293361",
            "0x10",
            "1,5",
            "2016-11-04T21:02:41Z",
        ] {
            let shift = Shift::by(Timestamp::ZERO, 10);
            assert_eq!(moved_seconds(text, shift), Ok(None), "{text}");
        }
        assert_eq!(
            moved_seconds("1478293361.5", Shift::by(Timestamp::ZERO, 0)),
            Ok(None)
        );
    }

    #[test]
    fn nanoseconds_are_moved_by_seconds() {
        let shift = Shift::by(Timestamp::ZERO, 10);
        for (number, expected) in [
            ("1478293361271000001", Some("1478293371271000001")),
            ("1", Some("10000000001")),
            ("0", None),
            ("007", None),
            ("+1", None),
            ("-1", None),
            ("1.5", None),
            ("1e9", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(
                moved_nanos(number, shift),
                Ok(expected.map(str::to_owned)),
                "{number}"
            );
        }
        assert_eq!(
            moved_nanos("1478293361271000001", Shift::by(Timestamp::ZERO, 0)),
            Ok(None)
        );
    }

    #[test]
    fn times_beyond_the_range_are_told() {
        for (number, secs) in [
            ("9.5", -10),
            ("0", -1),
            ("1E1", -11),
            ("18446744073", 1),
            ("1.5E9", i64::MAX),
            ("1.5E9", i64::MIN),
        ] {
            let shift = Shift::by(Timestamp::ZERO, secs);
            let time = Timestamp::parse_seconds(number).unwrap();
            assert_eq!(
                moved_seconds(number, shift),
                Err(shift.out_of_range(time)),
                "{number}"
            );
            let nanos = (time.as_nanos() + 1).to_string();
            assert!(moved_nanos(&nanos, shift).is_err(), "{nanos}");
        }
    }

    proptest! {
        #[test]
        fn numbers_are_exact_and_come_back(
            whole in 100_000_000_u64..9_000_000_000,
            decimals in "[0-9]{0,20}",
            point in 0_i32..25,
            secs in -100_000_000_i64..9_000_000_000,
        ) {
            // The number with its point at some place, and the exponent that makes up for it.
            let digits = format!("{whole}{decimals}");
            let n_whole = i32::try_from(whole.to_string().len()).unwrap();
            let n_digits = i32::try_from(digits.len()).unwrap();
            let point = point.clamp(1, n_digits);
            let (front, back) = digits.split_at(usize::try_from(point).unwrap());
            let back = if back.is_empty() { String::new() } else { format!(".{back}") };
            let number = format!("{front}{back}E{}", n_whole - point);
            let shift = Shift::by(Timestamp::ZERO, secs);
            let time = Timestamp::parse_seconds(&number).unwrap();
            prop_assume!(secs != 0);
            let moved = moved_seconds(&number, shift).unwrap().unwrap();
            prop_assert_eq!(Timestamp::parse_seconds(&moved).ok(), shift.time(time).ok());
            prop_assert!(moved_seconds(&moved, Shift::by(Timestamp::ZERO, 1)).unwrap().is_some());
            prop_assert_eq!(moved_seconds(&moved, shift.inverse()).unwrap(), Some(number));
        }
    }
}
