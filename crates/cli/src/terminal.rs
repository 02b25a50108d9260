//! How a terminal is written to: what was asked for goes to standard output, everything else to standard error.

mod listing;
mod progress;

use std::io::{self, IsTerminal, Write};

use anstyle::Style;
use clap::Args;
use serde::Serialize;

pub use listing::{Align, Cell, Column, Listing, Row};
pub use progress::Progress;

use crate::exit::{Exit, Stop};

/// How what was asked for is printed.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct OutFlags {
    /// Print a line of JSON for each result
    #[arg(long, conflicts_with = "plain")]
    json: bool,
    /// Print a line for each result, with tabs between its values and nothing else
    #[arg(long)]
    plain: bool,
}

/// The form in which results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Columns that line up, below a header.
    Table,
    /// Values between tabs.
    Plain,
    /// Lines of JSON.
    Json,
}

/// Where results are printed, and how.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    form: Form,
    has_colour: bool,
    /// Characters in a line of the terminal; nothing if it is none.
    width: Option<usize>,
}

impl OutFlags {
    /// Returns standard output in the form that was asked for.
    pub fn out(self) -> Out {
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
    /// Returns the form in which results are printed.
    pub const fn form(&self) -> Form {
        self.form
    }

    /// Returns a text in a style, or bare if there are no colours; for tables, give [`Cell`]s a style instead.
    pub fn paint(&self, style: Style, text: &str) -> String {
        if self.has_colour && self.form == Form::Table {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// Prints a text as it is.
    ///
    /// # Errors
    /// See [`print`].
    pub fn text(&self, text: &str) -> Result<(), Stop> {
        print(text)
    }

    /// Prints a value as a line of JSON.
    ///
    /// # Errors
    /// See [`print`].
    pub fn json(&self, value: &impl Serialize) -> Result<(), Stop> {
        let mut line = serde_json::to_string(value).map_err(Stop::failed)?;
        line.push('\n');
        self.text(&line)
    }

    /// Returns a list whose rows are printed in the form that was asked for; end it with [`Listing::finish`].
    pub const fn listing<R: Row>(self) -> Listing<R> {
        Listing::new(self)
    }
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

/// Returns text of others with control characters made harmless for a terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { '\u{fffd}' } else { char })
        .collect()
}

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
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\n"), "a\u{fffd}[31mb\u{fffd}");
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
