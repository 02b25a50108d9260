//! Points in time as signatures write them (source: ISO 8601 basic form; RFC 9110, section 5.6.7).

use model::Timestamp;

/// Returns the instant a text such as `20150830T123600Z` names, if it is one.
pub(super) fn parse_basic(text: &str) -> Option<Timestamp> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    if date.len() != 8 || time.len() != 6 {
        return None;
    }
    let year = number(date, 0, 4)?;
    let day = days(year, number(date, 4, 6)?, number(date, 6, 8)?)?;
    let secs = seconds(
        number(time, 0, 2)?,
        number(time, 2, 4)?,
        number(time, 4, 6)?,
    )?;
    Some(Timestamp::from_secs(day * SECS_PER_DAY + secs))
}

/// Returns the instant an HTTP date such as `Sun, 30 Aug 2015 12:36:00 GMT` names, if it is one.
pub(super) fn parse_http(text: &str) -> Option<Timestamp> {
    let (weekday, rest) = text.strip_suffix(" GMT")?.split_once(", ")?;
    if !WEEKDAYS.contains(&weekday) || rest.len() != 20 {
        return None;
    }
    let mut words = rest.split(' ');
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let time = words.next()?;
    let month_idx = MONTHS.iter().position(|name| *name == month)?;
    let month = u64::try_from(month_idx).ok()? + 1;
    let day = days(number(year, 0, 4)?, month, number(day, 0, 2)?)?;
    let has_colons = time.get(2..3) == Some(":") && time.get(5..6) == Some(":");
    if !has_colons || words.next().is_some() {
        return None;
    }
    let secs = seconds(
        number(time, 0, 2)?,
        number(time, 3, 5)?,
        number(time, 6, 8)?,
    )?;
    Some(Timestamp::from_secs(day * SECS_PER_DAY + secs))
}

/// Returns an instant as in `20150830T123600Z`, cut off to the second.
pub(super) fn format_basic(time: Timestamp) -> String {
    let (mut day, secs) = (time.as_secs() / SECS_PER_DAY, time.as_secs() % SECS_PER_DAY);
    let mut year = 1970;
    while day >= 365 + leap_day(year) {
        day -= 365 + leap_day(year);
        year += 1;
    }
    let mut month = 1;
    while day >= days_of(year, month) {
        day -= days_of(year, month);
        month += 1;
    }
    let (hour, minute, second) = (secs / 3600, secs / 60 % 60, secs % 60);
    let day = day + 1;
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Returns the days from 1970-01-01 to a date, if there is such a date since then.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let is_month = (1..=12).contains(&month);
    if year < 1970 || !is_month || day < 1 || day > days_of(year, month) {
        return None;
    }
    let before: u64 = (1..month).map(|month| days_of(year, month)).sum();
    Some((year - 1970) * 365 + leap_days_before(year) - leap_days_before(1970) + before + day - 1)
}

fn seconds(hour: u64, minute: u64, second: u64) -> Option<u64> {
    let is_time = hour < 24 && minute < 60 && second < 60;
    is_time.then_some(hour * 3600 + minute * 60 + second)
}

fn leap_days_before(year: u64) -> u64 {
    let years = year - 1;
    years / 4 - years / 100 + years / 400
}

fn leap_day(year: u64) -> u64 {
    leap_days_before(year + 1) - leap_days_before(year)
}

fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + leap_day(year),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns the number some digits of a text are.
fn number(text: &str, from: usize, to: usize) -> Option<u64> {
    let digits = text.get(from..to)?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok())?
}

const SECS_PER_DAY: u64 = 24 * 60 * 60;
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(
            parse_basic(text).map(Timestamp::as_secs),
            expected,
            "{text}"
        );
    }

    fn check_http(text: &str, expected: Option<u64>) {
        assert_eq!(parse_http(text).map(Timestamp::as_secs), expected, "{text}");
    }

    #[test]
    fn basic_times_are_read() {
        check("19700101T000000Z", Some(0));
        check("20150830T123600Z", Some(1_440_938_160));
        check("20000229T235959Z", Some(951_868_799));
        check("20240229T000000Z", Some(1_709_164_800));
        check("21000228T000000Z", Some(4_107_456_000));
        check("21000301T000000Z", Some(4_107_542_400));
        check("20010229T000000Z", None);
        check("21000229T000000Z", None);
        check("19691231T235959Z", None);
        check("20150832T123600Z", None);
        check("20151330T123600Z", None);
        check("20150030T123600Z", None);
        check("20150800T123600Z", None);
        check("20150830T243600Z", None);
        check("20150830T126000Z", None);
        check("20150830T123660Z", None);
        check("20150830T123600", None);
        check("20150830123600Z", None);
        check("2015-08-30T12:36:00Z", None);
        check("+0150830T123600Z", None);
        check("2015083\u{e9}T123600Z", None);
        check("", None);
    }

    #[test]
    fn http_dates_are_read() {
        check_http("Sun, 30 Aug 2015 12:36:00 GMT", Some(1_440_938_160));
        check_http("Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
        check_http("Sun, 30 Aug 2015 12:36:00 UTC", None);
        check_http("Sunday, 30-Aug-15 12:36:00 GMT", None);
        check_http("Xyz, 30 Aug 2015 12:36:00 GMT", None);
        check_http("Sun, 30 Xyz 2015 12:36:00 GMT", None);
        check_http("Sun, 31 Sep 2015 12:36:00 GMT", None);
        check_http("Sun, 30 Aug 2015 12.36.00 GMT", None);
        check_http("Sun, 30 Aug 201512:36:00  GMT", None);
        check_http("Sun, 30 Aug 2015 12:36:0 0 GMT", None);
        check_http("", None);
    }

    proptest! {
        #[test]
        fn times_are_read_as_they_are_written(secs in 0..18_000_000_000_u64) {
            let time = Timestamp::from_secs(secs);
            prop_assert_eq!(parse_basic(&format_basic(time)), Some(time));
        }

        #[test]
        fn any_text_is_read_or_not(text: String, basic in "[0-9T:Z+-]{15,17}", http in "[A-Z][a-z]{2}, [0-9A-Za-z: ]{20} GMT") {
            for text in [text, basic] {
                if let Some(time) = parse_basic(&text) {
                    prop_assert_eq!(format_basic(time), text);
                }
            }
            parse_http(&http);
        }
    }
}
