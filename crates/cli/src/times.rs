//! Times as people type them.

use std::time::Duration;

use clap::Args;
use model::Timestamp;

use crate::exit::Stop;

/// Which time is meant.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct TimeFlags {
    /// What happened up to now, such as 15m or 24h
    #[arg(long, value_name = "TIME", conflicts_with_all = ["from", "to"], value_parser = humantime::parse_duration)]
    last: Option<Duration>,
    /// From when on: RFC 3339, seconds since 1970, or how long ago, such as -15m
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    from: Option<String>,
    /// Until when: like --from, or "now"
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    to: Option<String>,
}

/// A time with a beginning, which is part of it, and an end, which is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
}

impl TimeFlags {
    /// Returns the time that is meant; if nothing was said, or no beginning, it is as long as `usual`.
    ///
    /// # Errors
    /// Stops if a time is not understood, or the end is not after the beginning.
    pub(crate) fn window(&self, now: Timestamp, usual: Duration) -> Result<Window, Stop> {
        let at = |flag: &str, text: &str| {
            instant(text, now).map_err(|message| Stop::usage(format!("{flag}: {message}")))
        };
        let to = match &self.to {
            Some(text) => at("--to", text)?,
            None => now,
        };
        let from = match &self.from {
            Some(text) => at("--from", text)?,
            None => to.before(self.last.unwrap_or(usual)),
        };
        if from >= to {
            return Err(Stop::usage("--from is not before --to"));
        }
        Ok(Window { from, to })
    }

    /// Tells whether a beginning was said.
    pub(crate) fn has_beginning(&self) -> bool {
        self.last.is_some() || self.from.is_some()
    }

    /// Returns what was said, to tell whether another time the same is said.
    pub(crate) fn said(&self) -> String {
        let last = self
            .last
            .map(|last| humantime::format_duration(last).to_string());
        let part = |name: &str, text: Option<&str>| {
            text.map_or_else(String::new, |text| format!("--{name} {text} "))
        };
        let said = [
            part("last", last.as_deref()),
            part("from", self.from.as_deref()),
            part("to", self.to.as_deref()),
        ];
        said.concat().trim_end().to_owned()
    }
}

/// Returns the instant a text says.
pub(crate) fn instant(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("now") {
        return Ok(now);
    }
    let ago = text.strip_prefix('-').or_else(|| text.strip_suffix("ago"));
    if let Some(ago) = ago {
        let ago = humantime::parse_duration(ago.trim());
        return Ok(now.before(ago.map_err(|error| wrong(text, &error.to_string()))?));
    }
    if let Ok(seconds) = Timestamp::parse_seconds(text) {
        return Ok(seconds);
    }
    let (utc, offset) = offset(text);
    let time = humantime::parse_rfc3339_weak(&utc);
    let time = time.map_err(|error| wrong(text, &error.to_string()))?;
    let since_epoch = time.duration_since(std::time::UNIX_EPOCH);
    let nanos = since_epoch.map_or(0, |since| i128::try_from(since.as_nanos()).unwrap_or(0));
    let nanos = nanos.saturating_sub(i128::from(offset) * 1_000_000_000);
    let nanos = nanos.clamp(0, i128::from(u64::MAX));
    Ok(Timestamp::from_nanos(
        u64::try_from(nanos).unwrap_or(u64::MAX),
    ))
}

/// Returns the text of a time without its offset from UTC, and that offset in seconds; a bare date is the beginning
/// of its day.
fn offset(text: &str) -> (String, i32) {
    if text.len() == "2026-11-22".len() {
        return (format!("{text}T00:00:00Z"), 0);
    }
    let cut = text.len().saturating_sub("+00:00".len());
    let parts = text.split_at_checked(cut);
    let seconds = parts.and_then(|(_, offset)| {
        let (sign, offset) = match offset.strip_prefix('+') {
            Some(rest) => (1, rest),
            None => (-1, offset.strip_prefix('-')?),
        };
        let (hours, minutes) = offset.split_once(':')?;
        let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
        let is_offset = hours < 24 && minutes < 60;
        is_offset.then(|| sign * (i32::from(hours) * 3600 + i32::from(minutes) * 60))
    });
    match (parts, seconds) {
        (Some((time, _)), Some(seconds)) => (format!("{time}Z"), seconds),
        (Some(_) | None, _) => (text.to_owned(), 0),
    }
}

fn wrong(text: &str, why: &str) -> String {
    format!(
        "{text:?} is no time ({why}); expected 2026-11-22T08:00:00Z, seconds since 1970, \"now\", -15m or \"15m ago\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn check(text: &str, seconds: u64) {
        assert_eq!(instant(text, NOW), Ok(Timestamp::from_secs(seconds)));
    }

    #[test]
    fn instants_are_read_in_every_form() {
        check("now", 1_800_000_000);
        check("-15m", 1_799_999_100);
        check("15m ago", 1_799_999_100);
        check("1h 30m ago", 1_799_994_600);
        check("-0s", 1_800_000_000);
        check("1700000000", 1_700_000_000);
        check("2023-11-14T22:13:20Z", 1_700_000_000);
        check("2023-11-14 22:13:20", 1_700_000_000);
        check("2023-11-14", 1_699_920_000);
        check("2023-11-15T00:13:20+02:00", 1_700_000_000);
        check("2023-11-14T16:43:20-05:30", 1_700_000_000);
        check("1970-01-01T00:00:00+01:00", 0);
        let half = instant("1700000000.5", NOW).unwrap();
        assert_eq!(half.as_nanos(), 1_700_000_000_500_000_000);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "soon",
            "-",
            "15m",
            "yesterday ago",
            "2023-13-01",
            "1969-12-31",
            "-15",
            "2023-11-14T16:43:20-99:00",
        ] {
            assert!(instant(text, NOW).is_err(), "{text}");
        }
    }

    fn window(last: Option<u64>, from: Option<&str>, to: Option<&str>) -> Option<(u64, u64)> {
        let flags = TimeFlags {
            last: last.map(Duration::from_secs),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        };
        let window = flags.window(NOW, Duration::from_mins(5)).ok()?;
        Some((window.from.as_secs(), window.to.as_secs()))
    }

    #[test]
    fn windows_end_now_if_nothing_else_is_said() {
        let now = NOW.as_secs();
        assert_eq!(window(None, None, None), Some((now - 300, now)));
        assert_eq!(window(Some(60), None, None), Some((now - 60, now)));
        assert_eq!(window(None, Some("-10m"), None), Some((now - 600, now)));
        assert_eq!(window(None, None, Some("1000")), Some((700, 1000)));
        assert_eq!(window(None, Some("1"), Some("1000")), Some((1, 1000)));
        assert_eq!(window(None, Some("1000"), Some("1000")), None);
        assert_eq!(window(None, Some("now"), None), None);
        assert_eq!(window(None, Some("never"), None), None);
    }
}
