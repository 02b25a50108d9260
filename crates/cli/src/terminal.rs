//! How a terminal is written to: what was asked for goes to standard output, everything else to standard error.

mod glyphs;
mod listing;
mod progress;

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anstyle::Style;
use clap::Args;
use serde::Serialize;

pub(crate) use glyphs::{Glyphs, Span};
pub(crate) use listing::cut;
pub(crate) use listing::{Cell, Column, Listing, Row};
pub(crate) use progress::Progress;

use crate::exit::{Exit, Stop};

/// How what was asked for is printed.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct OutFlags {
    /// Print a line of JSON for each result
    #[arg(long, conflicts_with = "plain")]
    json: bool,
    /// Print a line for each result for programs, with tabs between its values: lengths of time in seconds, rates as
    /// parts of 1, times as RFC 3339
    #[arg(long)]
    plain: bool,
}

/// The form in which results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Columns that line up, below a header.
    Table,
    /// Values between tabs.
    Plain,
    /// Lines of JSON.
    Json,
}

/// Where results are printed, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out {
    form: Form,
    has_colour: bool,
    /// Characters in a line of the terminal; nothing if it is none.
    width: Option<usize>,
}

impl OutFlags {
    /// Returns what asks for lines of JSON.
    pub(crate) const fn as_json() -> Self {
        Self {
            json: true,
            plain: false,
        }
    }

    /// Returns standard output in the form that was asked for.
    pub(crate) fn out(self) -> Out {
        let stdout = io::stdout();
        let choice = anstream::AutoStream::choice(&stdout);
        Out {
            form: match (self.json, self.plain) {
                (true, _) => Form::Json,
                (false, true) => Form::Plain,
                (false, false) => Form::Table,
            },
            has_colour: choice != anstream::ColorChoice::Never,
            width: width(&stdout),
        }
    }
}

impl Out {
    /// Returns standard output for people, whatever is printed to it.
    pub(crate) fn people() -> Self {
        OutFlags::default().out()
    }

    /// Returns a terminal that is not there.
    #[cfg(test)]
    pub(crate) const fn fake(has_colour: bool, width: Option<usize>) -> Self {
        Self {
            form: Form::Table,
            has_colour,
            width,
        }
    }

    /// Returns a row as it is printed in a form.
    #[cfg(test)]
    pub(crate) fn line<R: Row>(self, row: &R, form: Form) -> String {
        Listing::<R>::new(Self { form, ..self }).rendered(&[row])
    }

    /// Returns how many characters a line of the terminal takes; nothing if results do not go to a terminal.
    pub(crate) const fn width(&self) -> Option<usize> {
        self.width
    }

    /// Looks how wide the terminal is now: windows change while a command runs.
    pub(crate) fn look_again(&mut self) {
        self.width = width(&io::stdout());
    }

    /// Returns the form in which results are printed.
    pub(crate) const fn form(&self) -> Form {
        self.form
    }

    /// Returns a text in a style, or bare if there are no colours; for tables, give [`Cell`]s a style instead.
    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        if self.has_colour && self.form == Form::Table {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// Returns a list whose rows are printed in the form that was asked for; end it with [`Listing::finish`].
    pub(crate) const fn listing<R: Row>(self) -> Listing<R> {
        Listing::new(self)
    }
}

/// Prints a value as a line of JSON.
///
/// # Errors
/// See [`print`].
fn print_json(value: &impl Serialize) -> Result<(), Stop> {
    let line = serde_json::to_string(value).map_err(Stop::failed)?;
    print(&format!("{}\n", escaped(&line)))
}

/// Writes a result to standard output.
///
/// # Errors
/// Stops, quietly and as if all were done, if nobody reads on (`roentgen get ... | head`), and as failed if writing
/// does not work.
pub fn print(text: &str) -> Result<(), Stop> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Stop::new(Exit::Done, ""),
        _ => Stop::failed(format!("writing the result: {error}")),
    })
}

/// Writes a line for people to standard error; there is nowhere to tell that this did not work.
pub fn note(line: &str) {
    let _unheard = writeln!(io::stderr().lock(), "{line}");
}

/// Returns a count and its noun, which takes an "s" unless it is one thing.
pub fn counted<N: Copy + Display + From<u8> + PartialEq>(n_things: N, noun: &str) -> String {
    let plural = if n_things == N::from(1) { "" } else { "s" };
    format!("{n_things} {noun}{plural}")
}

/// Returns text of others with characters that command a terminal made harmless.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|char| if is_command(char) { '\u{fffd}' } else { char })
        .collect()
}

/// Tells whether a character is a command: control characters, breaks of lines and paragraphs, and what turns the
/// direction of the text behind it (Unicode Standard Annex 9), so that a name cannot rewrite what stands beside it.
fn is_command(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// Returns a text of JSON with the same meaning and no characters that command a terminal but line breaks: a writer of
/// JSON escapes most, but not those some terminals take for the beginning of a command (DEL, C1).
pub(crate) fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for char in json.chars() {
        if is_command(char) && char != '\n' {
            // Writing to a string does not fail.
            let _written =
                std::fmt::Write::write_fmt(&mut text, format_args!("\\u{:04x}", u32::from(char)));
        } else {
            text.push(char);
        }
    }
    text
}

/// Returns a length of time with a unit that suits it.
pub(crate) fn length(seconds: f64) -> String {
    if seconds >= 10.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{:.1} ms", seconds * 1000.0)
    }
}

/// Returns a time of so many seconds since 1970 as people and `--from` read it, to the second.
pub(crate) fn instant(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds.clamp(0.0, YEAR_9999)).unwrap_or_default();
    humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + seconds).to_string()
}

/// Returns a time of so many seconds since 1970 for programs, to the microsecond.
pub(crate) fn moment(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds.clamp(0.0, YEAR_9999)).unwrap_or_default();
    humantime::format_rfc3339_micros(std::time::UNIX_EPOCH + seconds).to_string()
}

/// Returns a number for programs, to the sixth place behind the point.
pub(crate) fn number(value: f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

/// The last second that is written with four digits for its year.
const YEAR_9999: f64 = 253_402_300_799.0;

/// Returns how many characters a line of the terminal takes.
fn width(stdout: &io::Stdout) -> Option<usize> {
    if !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(stdout).ok()?;
    Some(usize::from(size.ws_col)).filter(|n_columns| *n_columns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_agree_with_their_nouns() {
        assert_eq!(counted(0_u64, "trace"), "0 traces");
        assert_eq!(counted(1_u64, "trace"), "1 trace");
        assert_eq!(counted(2_usize, "trace"), "2 traces");
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\n"), "a\u{fffd}[31mb\u{fffd}");
        assert_eq!(printable("a\u{202e}b\u{2067}c"), "a\u{fffd}b\u{fffd}c");
        assert_eq!(
            printable("\u{5e9}\u{5dc}\u{200d}"),
            "\u{5e9}\u{5dc}\u{200d}"
        );
    }

    #[test]
    fn json_keeps_its_meaning_without_control_characters() {
        let text = "{\"a\": \"x\u{9b}31m\u{7f}\u{202e}\"}\n";
        assert_eq!(escaped(text), "{\"a\": \"x\\u009b31m\\u007f\\u202e\"}\n");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&escaped(text)), value(text));
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        let check = |seconds: f64, expected: &str| assert_eq!(instant(seconds), expected);
        check(1_700_000_000.9, "2023-11-14T22:13:20Z");
        check(-5.0, "1970-01-01T00:00:00Z");
        check(f64::NAN, "1970-01-01T00:00:00Z");
        check(1e300, "9999-12-31T23:59:59Z");
        assert_eq!(
            (length(0.0125), length(75.0)),
            ("12.5 ms".into(), "75.0 s".into())
        );
    }

    #[test]
    fn programs_read_plain_numbers() {
        let check = |value: f64, expected: &str| assert_eq!(number(value), expected);
        check(0.211, "0.211");
        check(10.0, "10");
        check(100.0, "100");
        check(0.0, "0");
        check(1.0 / 7.0, "0.142857");
        check(0.1 + 0.2, "0.3");
        assert_eq!(moment(1_700_000_000.25), "2023-11-14T22:13:20.250000Z");
        assert_eq!(moment(f64::NAN), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn only_a_table_with_colours_is_painted() {
        let red = Style::new().fg_color(Some(anstyle::AnsiColor::Red.into()));
        let check = |form, has_colour, expected: &str| {
            let out = Out {
                form,
                has_colour,
                width: None,
            };
            assert_eq!(out.paint(red, "a"), expected);
        };
        check(Form::Table, true, "\u{1b}[31ma\u{1b}[0m");
        check(Form::Table, false, "a");
        check(Form::Plain, true, "a");
        check(Form::Json, true, "a");
    }
}
