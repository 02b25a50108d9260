//! What a load measured, and what it is held against.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::exit::Stop;
use crate::figures::percent;
use crate::moving::output::{Unfinished, cannot_write};
use crate::terminal::printable;

/// What a load measured. It is also what -o writes and --compare reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Figures {
    pub(super) endpoint: String,
    pub(super) connections: u16,
    pub(super) batch: u16,
    pub(super) seconds: f64,
    pub(super) calls: u64,
    pub(super) documents_acknowledged: u64,
    pub(super) documents_per_second: f64,
    pub(super) documents_refused: u64,
    pub(super) calls_throttled: u64,
    pub(super) calls_failed: u64,
    #[serde(flatten)]
    pub(super) times: Times,
}

/// How long calls took that were acknowledged, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_field_names, reason = "a unit is the end of a name")]
pub(super) struct Times {
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

impl Times {
    /// Returns the figures of times in microseconds.
    pub(super) fn of(times: &[u32]) -> Self {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        let at = |percent: usize| {
            // The smallest time that so many percent did not exceed.
            let rank = (sorted.len() * percent).div_ceil(100);
            let time = sorted.get(rank.saturating_sub(1));
            time.map_or(0.0, |time| f64::from(*time) / 1000.0)
        };
        Self {
            p50_ms: at(50),
            p99_ms: at(99),
            max_ms: at(100),
        }
    }
}

impl Figures {
    /// Returns the figures for people, in lines that are not wider than the terminal if there is room for them at all.
    pub(super) fn text(&self, width: Option<usize>) -> String {
        let Times {
            p50_ms,
            p99_ms,
            max_ms,
        } = self.times;
        let lines = [
            ("documents/s", format!("{:.0}", self.documents_per_second)),
            ("acknowledged", self.documents_acknowledged.to_string()),
            ("refused", self.documents_refused.to_string()),
            ("calls", self.calls.to_string()),
            ("throttled", self.calls_throttled.to_string()),
            ("failed", self.calls_failed.to_string()),
            ("p50", format!("{p50_ms:.2} ms")),
            ("p99", format!("{p99_ms:.2} ms")),
            ("max", format!("{max_ms:.2} ms")),
            ("time", format!("{:.1} s", self.seconds)),
        ];
        let widest = lines.iter().map(|(_, value)| VALUES_AT + value.len()).max();
        let lines_up = width.is_none_or(|width| widest.unwrap_or(0) <= width);
        let names = if lines_up { VALUES_AT - 1 } else { 0 };
        let lines = lines
            .iter()
            .map(|(name, value)| format!("{name:<names$} {value}\n"));
        lines.collect()
    }

    /// Returns a line for each figure that is worse than before by more than a part.
    pub(super) fn worse_than(&self, before: &Self, tolerance: f64) -> Vec<String> {
        let (now, then) = (self.documents_per_second, before.documents_per_second);
        let mut lines = Vec::new();
        if now < then * (1.0 - tolerance) {
            let less = percent(1.0 - now / then);
            lines.push(format!(
                "regression: documents/s {now:.0}, before {then:.0}: {less} less"
            ));
        }
        let times = [
            ("p50", self.times.p50_ms, before.times.p50_ms),
            ("p99", self.times.p99_ms, before.times.p99_ms),
        ];
        for (name, now, then) in times {
            if now > then * (1.0 + tolerance) {
                let more = percent(now / then - 1.0);
                lines.push(format!(
                    "regression: {name} {now:.2} ms, before {then:.2} ms: {more} more"
                ));
            }
        }
        lines
    }
}

/// Returns the figures of a file.
pub(super) fn read(file: &Path) -> Result<Figures, Stop> {
    let name = printable(&file.display().to_string());
    let text = std::fs::read_to_string(file)
        .map_err(|error| Stop::usage(format!("cannot read {name}: {error}")))?;
    serde_json::from_str(&text)
        .map_err(|error| Stop::usage(format!("{name} has no outcome of a run: {error}")))
}

/// Where the figures are written.
pub(super) enum Outcome {
    /// A file that is there once it is whole.
    File(Unfinished),
    /// What is no file, such as a pipe.
    Other(File),
}

impl Outcome {
    /// Makes sure that it can be written; nothing is written yet.
    pub(super) fn begin(path: &Path) -> Result<Self, Stop> {
        let is_other = path.metadata().is_ok_and(|metadata| !metadata.is_file());
        if !is_other {
            return Unfinished::begin(path).map(Self::File);
        }
        let opened = File::options().write(true).open(path);
        opened
            .map(Self::Other)
            .map_err(|error| cannot_write(path, &error))
    }
}

/// Writes the figures.
pub(super) fn write(figures: &Figures, outcome: Outcome) -> Result<(), Stop> {
    let mut text = serde_json::to_string_pretty(figures).map_err(Stop::failed)?;
    text.push('\n');
    let mut sink = match &outcome {
        Outcome::File(unfinished) => unfinished.file(),
        Outcome::Other(file) => file,
    };
    let written = sink.write_all(text.as_bytes());
    written.map_err(|error| Stop::failed(format!("cannot write the outcome: {error}")))?;
    match outcome {
        Outcome::File(unfinished) => unfinished.finish(),
        Outcome::Other(_) => Ok(()),
    }
}

/// Where values stand in a line, behind the longest of the names.
const VALUES_AT: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(documents_per_second: f64, p50_ms: f64, p99_ms: f64) -> Figures {
        Figures {
            endpoint: "http://h".to_owned(),
            connections: 8,
            batch: 25,
            seconds: 10.0,
            calls: 4,
            documents_acknowledged: 99,
            documents_per_second,
            documents_refused: 1,
            calls_throttled: 2,
            calls_failed: 3,
            times: Times {
                p50_ms,
                p99_ms,
                max_ms: 9.0,
            },
        }
    }

    #[test]
    fn times_are_ranks_of_what_was_measured() {
        let check = |times: &[u32], p50_ms, p99_ms, max_ms| {
            let expected = Times {
                p50_ms,
                p99_ms,
                max_ms,
            };
            assert_eq!(Times::of(times), expected);
        };
        check(&[], 0.0, 0.0, 0.0);
        check(&[7000], 7.0, 7.0, 7.0);
        check(&[3000, 1000, 2000], 2.0, 3.0, 3.0);
        let hundred: Vec<u32> = (1..=100).rev().map(|time| time * 1000).collect();
        check(&hundred, 50.0, 99.0, 100.0);
    }

    #[test]
    fn what_is_worse_beyond_the_tolerance_is_a_regression() {
        let before = figures(1000.0, 1.0, 2.0);
        let check = |now: &Figures, expected: &[&str]| {
            let lines = now.worse_than(&before, 0.2);
            assert_eq!(lines.len(), expected.len(), "{lines:?}");
            for (line, expected) in lines.iter().zip(expected) {
                assert!(line.contains(expected), "{line}");
            }
        };
        check(&before, &[]);
        check(&figures(801.0, 1.19, 2.39), &[]);
        check(&figures(5000.0, 0.1, 0.1), &[]);
        check(
            &figures(700.0, 1.0, 2.0),
            &["documents/s 700, before 1000: 30.0% less"],
        );
        check(
            &figures(700.0, 1.5, 3.0),
            &[
                "documents/s",
                "p50 1.50 ms",
                "p99 3.00 ms, before 2.00 ms: 50.0% more",
            ],
        );
    }

    #[test]
    fn figures_are_read_as_they_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("figures.json");
        let output = Outcome::begin(&file).unwrap();
        write(&figures(1000.0, 1.0, 2.0), output).unwrap();
        let again = read(&file).unwrap();
        assert_eq!(again.text(None), figures(1000.0, 1.0, 2.0).text(None));
        std::fs::write(&file, "{}").unwrap();
        assert!(read(&file).is_err());
    }

    #[test]
    fn figures_are_told_line_by_line() {
        insta::assert_snapshot!(figures(1234.5, 1.25, 2.0).text(None), @r"
        documents/s   1234
        acknowledged  99
        refused       1
        calls         4
        throttled     2
        failed        3
        p50           1.25 ms
        p99           2.00 ms
        max           9.00 ms
        time          10.0 s
        ");
    }

    #[test]
    fn figures_fit_a_narrow_terminal() {
        let figures = figures(1234.5, 1234.25, 2.0);
        let check = |width, expected: &str| {
            let text = figures.text(Some(width));
            assert!(text.contains(expected), "{width}: {text}");
            let widest = text.lines().map(str::len).max();
            assert!(widest <= Some(width), "{width}: {text}");
        };
        check(24, "\np50           1234.25 ms\n");
        check(23, "\np50 1234.25 ms\n");
        check(17, "\ndocuments/s 1234\n".trim_start());
    }
}
