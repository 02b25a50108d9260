//! How far a long command has come, for people who wait.

use std::io::{self, IsTerminal};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::note;

/// A bar on a terminal; where standard error is none, a line every some seconds.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    what: &'static str,
    /// When the last line was written; nothing on a terminal.
    last_line: Option<Mutex<Instant>>,
}

impl Progress {
    /// Returns the progress of work of which `total` are to be done, `what` said in the plural.
    pub(crate) fn of(total: u64, what: &'static str) -> Self {
        let template = "{bar:30} {human_pos}/{human_len} {msg}  {per_sec}  {eta} left";
        Self::new(
            ProgressBar::with_draw_target(Some(total), target()),
            what,
            template,
        )
    }

    /// Returns the progress of work nobody knows the end of.
    pub(crate) fn endless(what: &'static str) -> Self {
        let template = "{spinner} {human_pos} {msg}  {per_sec}  {elapsed}";
        Self::new(
            ProgressBar::with_draw_target(None, target()),
            what,
            template,
        )
    }

    fn new(bar: ProgressBar, what: &'static str, template: &str) -> Self {
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        let last_line = (!io::stderr().is_terminal()).then(|| Mutex::new(Instant::now()));
        Self {
            bar,
            what,
            last_line,
        }
    }

    /// Tells that `n` more were done.
    pub(crate) fn advance(&self, n: u64) {
        self.bar.inc(n);
        let Some(last_line) = &self.last_line else {
            return;
        };
        let mut last_line = last_line
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if last_line.elapsed() >= BETWEEN_LINES {
            *last_line = Instant::now();
            note(&line(
                self.bar.position(),
                self.bar.length(),
                self.what,
                self.bar.elapsed(),
            ));
        }
    }

    /// Writes a line for people above the bar.
    pub(crate) fn note(&self, text: &str) {
        self.bar.suspend(|| note(text));
    }

    /// Takes the bar away; what came out is the command's to tell.
    pub(crate) fn finish(self) {
        self.clear();
    }

    /// Takes the bar away of which others have a share.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Says behind the bar what is done now.
    pub(crate) fn say(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }
}

fn target() -> ProgressDrawTarget {
    if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    }
}

/// Returns how far the work is, in a line.
fn line(n_done: u64, total: Option<u64>, what: &str, elapsed: Duration) -> String {
    let elapsed = humantime::format_duration(Duration::from_secs(elapsed.as_secs()));
    match total {
        Some(total) => format!("{n_done} of {total} {what} after {elapsed}"),
        None => format!("{n_done} {what} after {elapsed}"),
    }
}

const BETWEEN_LINES: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_the_work_is() {
        let elapsed = Duration::from_millis(90_500);
        assert_eq!(
            line(5, Some(10), "documents", elapsed),
            "5 of 10 documents after 1m 30s"
        );
        assert_eq!(line(5, None, "traces", elapsed), "5 traces after 1m 30s");
    }
}
