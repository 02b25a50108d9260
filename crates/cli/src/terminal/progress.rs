//! How far a long command has come, for people who wait.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

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

    /// Returns the progress of work that ends when its time is over; what is done meanwhile is counted.
    pub(crate) fn timed(time: Duration, what: &'static str) -> Self {
        // Nothing is drawn before there is all of it.
        let progress = Self::new(ProgressBar::with_draw_target(None, target()), what, "");
        let template = "{bar_of_time} {human_pos} {msg}  {rate}/s  {time_left} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            let bar = move |state: &ProgressState, text: &mut dyn Write| {
                let _infallible = text.write_str(&bar_of(state.elapsed(), time));
            };
            let rate = |state: &ProgressState, text: &mut dyn Write| {
                let _infallible = write!(text, "{:.0}", state.per_sec());
            };
            let left = move |state: &ProgressState, text: &mut dyn Write| {
                let left = time.saturating_sub(state.elapsed()).as_secs();
                let left = humantime::format_duration(Duration::from_secs(left));
                let _infallible = write!(text, "{left}");
            };
            progress.bar.set_style(
                style
                    .with_key("bar_of_time", bar)
                    .with_key("rate", rate)
                    .with_key("time_left", left),
            );
        }
        if progress.last_line.is_none() {
            // Time goes on when nothing else does.
            progress.bar.enable_steady_tick(TICK);
        }
        progress
    }

    /// Returns the progress of reading so many bytes; say what was made of them.
    pub(crate) fn bytes(total: u64) -> Self {
        let template = "{bar:30} {bytes}/{total_bytes} {msg}  {bytes_per_sec}  {eta} left";
        let bar = ProgressBar::with_draw_target(Some(total), target());
        let progress = Self::new(bar, "bytes", template);
        progress.say("");
        progress
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

/// Returns a bar that is as full as the time is over.
fn bar_of(elapsed: Duration, time: Duration) -> String {
    let n_full = elapsed.as_millis() * BAR_CHARS / time.as_millis().max(1);
    let n_full = usize::try_from(n_full.min(BAR_CHARS)).unwrap_or_default();
    let n_empty = usize::try_from(BAR_CHARS)
        .unwrap_or_default()
        .saturating_sub(n_full);
    format!(
        "{}{}",
        "\u{2588}".repeat(n_full),
        "\u{2591}".repeat(n_empty)
    )
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
const TICK: Duration = Duration::from_millis(100);
const BAR_CHARS: u128 = 30;

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

    #[test]
    fn a_bar_fills_with_time() {
        let check = |millis: u64, n_full: usize| {
            let bar = bar_of(Duration::from_millis(millis), Duration::from_secs(3));
            let found = (bar.matches('\u{2588}').count(), bar.chars().count());
            assert_eq!(found, (n_full, 30), "{millis}");
        };
        check(0, 0);
        check(99, 0);
        check(1500, 15);
        check(3000, 30);
        check(9000, 30);
    }
}
