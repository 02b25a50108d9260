//! How far a long command has come, for people who wait.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{HumanFloatCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use tokio::time::{Instant, sleep};

use super::note;

/// A bar on a terminal, once the work has taken a moment; where standard error is none, or a dumb one, a line every some
/// seconds.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    what: &'static str,
    form: Form,
    begun: Instant,
    /// Whether it says how much was done.
    counts: bool,
    /// Whether what is asked for is also printed where the bar is.
    shares_terminal: bool,
    told: Mutex<Told>,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Bar,
    Lines,
}

/// What people were told so far.
#[derive(Debug)]
struct Told {
    is_shown: bool,
    last_line: Instant,
    wait: Wait,
}

/// What an answer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// Nothing unusual.
    None,
    /// The server takes long.
    Server,
    /// The server said that it has no room.
    Room,
}

impl Progress {
    /// Returns the progress of work of which `total` are to be done, `what` said in the plural.
    pub(crate) fn of(total: u64, what: &'static str) -> Self {
        let template = "{bar:30} {human_pos}/{human_len} {msg}  {rate}  {eta} left";
        Self::new(Some(total), what, template)
    }

    /// Returns the progress of work nobody knows the end of.
    pub(crate) fn endless(what: &'static str) -> Self {
        let template = "{spinner} {human_pos} {msg}  {rate}  {elapsed}";
        Self::new(None, what, template)
    }

    /// Returns the progress of work that is done all at once, `what` saying what goes on.
    pub(crate) fn waiting(what: &'static str) -> Self {
        let progress = Self::new(None, what, "{spinner} {msg}  {elapsed}");
        Self {
            counts: false,
            ..progress
        }
    }

    /// Returns the progress of work that ends when its time is over; what is done meanwhile is counted.
    pub(crate) fn timed(time: Duration, what: &'static str) -> Self {
        // Nothing is drawn before there is all of it.
        let progress = Self::new(None, what, "");
        let template = "{bar_of_time} {human_pos} {msg}  {rate}  {time_left} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            let bar = move |state: &ProgressState, text: &mut dyn Write| {
                let _infallible = text.write_str(&bar_of(state.elapsed(), time));
            };
            let left = move |state: &ProgressState, text: &mut dyn Write| {
                let left = time.saturating_sub(state.elapsed()).as_secs();
                let left = humantime::format_duration(Duration::from_secs(left));
                let _infallible = write!(text, "{left}");
            };
            progress.bar.set_style(
                style
                    .with_key("bar_of_time", bar)
                    .with_key("rate", write_rate)
                    .with_key("time_left", left),
            );
        }
        progress.at_once()
    }

    /// Returns the progress of reading so many bytes; describe what was made of them.
    pub(crate) fn bytes(total: u64) -> Self {
        let template = "{bar:30} {bytes}/{total_bytes} {msg}  {bytes_per_sec}  {eta} left";
        let progress = Self::new(Some(total), "bytes", template).at_once();
        progress.describe("");
        progress
    }

    /// Returns the progress as it is shown for work that is long for sure.
    pub(crate) fn at_once(self) -> Self {
        if self.form == Form::Bar {
            self.told().is_shown = true;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            // Time goes on when nothing else does.
            self.bar.enable_steady_tick(TICK);
        }
        self
    }

    fn new(total: Option<u64>, what: &'static str, template: &str) -> Self {
        // Short work shows no bar, which would only flicker.
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.with_key("rate", write_rate));
        }
        bar.set_message(what);
        // It knows dumb terminals, too.
        let has_bar = !ProgressDrawTarget::stderr().is_hidden();
        Self {
            bar,
            what,
            form: if has_bar { Form::Bar } else { Form::Lines },
            begun: Instant::now(),
            counts: true,
            shares_terminal: has_bar && io::stdout().is_terminal(),
            told: Mutex::new(Told {
                is_shown: false,
                last_line: Instant::now(),
                wait: Wait::None,
            }),
        }
    }

    /// Tells that `n` more were done.
    pub(crate) fn advance(&self, n: u64) {
        self.bar.inc(n);
        self.show();
        if let Some(line) = self.line_due(Wait::None) {
            note(&line);
        }
    }

    /// Waits for an answer, and shows that it is waited for and whether for room at the server: `n_throttled` tells how
    /// often the server has said that it has none.
    pub(crate) fn during<T>(
        &self,
        n_throttled: impl Fn() -> u64,
        answer: impl Future<Output = T>,
    ) -> impl Future<Output = T> {
        // Calls are large; what waits for them need not be.
        let mut answer = Box::pin(answer);
        async move {
            let (begun, n_before) = (Instant::now(), n_throttled());
            loop {
                tokio::select! {
                    biased;
                    answer = &mut answer => {
                        self.say(Wait::None);
                        return answer;
                    }
                    () = sleep(TICK) => {}
                }
                self.tick(match begun.elapsed() {
                    _ if n_throttled() > n_before => Wait::Room,
                    elapsed if elapsed >= QUIET => Wait::Server,
                    _ => Wait::None,
                });
            }
        }
    }

    /// Writes a line for people above the bar.
    pub(crate) fn note(&self, text: &str) {
        self.bar.suspend(|| note(text));
    }

    /// Does what prints results, with the bar out of their way.
    pub(crate) fn beside<T>(&self, print: impl FnOnce() -> T) -> T {
        if self.shares_terminal && self.told().is_shown {
            self.bar.suspend(print)
        } else {
            print()
        }
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
    pub(crate) fn describe(&self, what: &str) {
        self.bar.set_message(what.to_owned());
        self.show();
    }

    /// Shows that an answer is still waited for.
    fn tick(&self, wait: Wait) {
        if let Some(line) = self.line_due(wait) {
            note(&line);
        }
        self.say(wait);
        self.show();
        self.bar.tick();
    }

    /// Lets the bar appear when the work has taken a moment.
    fn show(&self) {
        let is_due = self.form == Form::Bar && self.begun.elapsed() >= MOMENT;
        let mut told = self.told();
        if is_due && !told.is_shown {
            told.is_shown = true;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// Shows what an answer waits for.
    fn say(&self, wait: Wait) {
        let mut told = self.told();
        if told.wait != wait {
            told.wait = wait;
            let what = self.what;
            self.bar.set_message(format!("{what}{}", wait.words()));
        }
    }

    /// Returns a line if it is time for one: every some seconds, and when the server begins to let wait.
    fn line_due(&self, wait: Wait) -> Option<String> {
        let mut told = self.told();
        let is_news = wait == Wait::Room && told.wait != Wait::Room;
        let is_due = is_news || told.last_line.elapsed() >= BETWEEN_LINES;
        if self.form == Form::Bar || !is_due {
            return None;
        }
        told.last_line = Instant::now();
        let n_done = self.counts.then(|| self.bar.position());
        let elapsed = self.begun.elapsed();
        let line = line(n_done, self.bar.length(), self.what, elapsed);
        Some(format!("{line}{}", wait.words()))
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wait {
    const fn words(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Server => ", waiting for the server",
            Self::Room => ", waiting for the server (throttled)",
        }
    }
}

/// Writes how much is done a second: no fractions where they tell nothing.
fn write_rate(state: &ProgressState, text: &mut dyn Write) {
    // Writing to a string does not fail.
    let _written = text.write_str(&rate(state.per_sec()));
}

fn rate(per_second: f64) -> String {
    let rounded = if per_second >= 100.0 {
        per_second.round()
    } else {
        (per_second * 10.0).round() / 10.0
    };
    format!("{}/s", HumanFloatCount(rounded))
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
fn line(n_done: Option<u64>, total: Option<u64>, what: &str, elapsed: Duration) -> String {
    let elapsed = humantime::format_duration(Duration::from_secs(elapsed.as_secs()));
    match (n_done, total) {
        (Some(n_done), Some(total)) => format!("{n_done} of {total} {what} after {elapsed}"),
        (Some(n_done), None) => format!("{n_done} {what} after {elapsed}"),
        (None, _) => format!("{what}, {elapsed} so far"),
    }
}

const BETWEEN_LINES: Duration = Duration::from_secs(10);
/// Work that takes no longer shows no bar.
const MOMENT: Duration = Duration::from_secs(1);
/// How often a bar moves while an answer is waited for.
const TICK: Duration = Duration::from_millis(100);
/// An answer that takes longer is said to be waited for.
const QUIET: Duration = Duration::from_secs(2);
const BAR_CHARS: u128 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_the_work_is() {
        let elapsed = Duration::from_millis(90_500);
        let check = |n_done, total, what, expected: &str| {
            assert_eq!(line(n_done, total, what, elapsed), expected);
        };
        let told = "5 of 10 documents after 1m 30s";
        check(Some(5), Some(10), "documents", told);
        check(Some(5), None, "traces", "5 traces after 1m 30s");
        check(None, None, "waiting", "waiting, 1m 30s so far");
    }
    #[test]
    fn rates_have_no_fractions_that_tell_nothing() {
        let check = |per_second: f64, expected: &str| assert_eq!(rate(per_second), expected);
        check(68_484.090_5, "68,484/s");
        check(100.4, "100/s");
        check(12.345, "12.3/s");
        check(0.0, "0/s");
    }

    fn progress(form: Form) -> Progress {
        Progress {
            form,
            ..Progress::of(10, "documents")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lines_come_now_and_then_and_when_the_server_has_no_room() {
        let lines = progress(Form::Lines);
        assert_eq!(lines.line_due(Wait::None), None);
        let told = "0 of 10 documents after 0s, waiting for the server (throttled)";
        assert_eq!(lines.line_due(Wait::Room).as_deref(), Some(told));
        lines.say(Wait::Room);
        assert_eq!(lines.line_due(Wait::Room), None, "it is told once");
        tokio::time::advance(BETWEEN_LINES).await;
        let told = "0 of 10 documents after 10s, waiting for the server";
        assert_eq!(lines.line_due(Wait::Server).as_deref(), Some(told));
        assert_eq!(lines.line_due(Wait::Server), None);
        let bar = progress(Form::Bar);
        tokio::time::advance(BETWEEN_LINES).await;
        assert_eq!(bar.line_due(Wait::Room), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bar_says_what_an_answer_waits_for() {
        use std::sync::atomic::{AtomicU64, Ordering};
        let (bar, n_throttled) = (progress(Form::Lines), AtomicU64::new(7));
        let count = || n_throttled.load(Ordering::Relaxed);
        let after = |time| tokio::time::timeout(time, std::future::pending::<()>());
        let answer = async {
            after(QUIET / 2).await.unwrap_err();
            let early = bar.bar.message();
            after(QUIET).await.unwrap_err();
            let late = bar.bar.message();
            n_throttled.store(8, Ordering::Relaxed);
            after(QUIET).await.unwrap_err();
            [early, late, bar.bar.message()]
        };
        assert_eq!(
            bar.during(count, answer).await,
            [
                "documents",
                "documents, waiting for the server",
                "documents, waiting for the server (throttled)"
            ]
        );
        assert_eq!(bar.bar.message(), "documents");
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
