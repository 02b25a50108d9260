//! `roentgen find`: which traces there are.

use std::cmp::Ordering;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::Session;
use crate::client::{CallError, Client, Summaries, Summary};
use crate::exit::{Exit, Stop};
use crate::filter::filter;
use crate::stopping::Stopping;
use crate::terminal::{Listing, Out, OutFlags, Progress, counted, note, print, printable};
use crate::times::{TimeFlags, Window};

/// Which traces to find, and how they are shown.
#[derive(Args, Debug)]
pub struct Options {
    /// Which traces, as a filter expression; all without one
    #[arg(value_name = "EXPRESSION")]
    expression: Option<String>,
    #[command(flatten)]
    time: TimeFlags,
    /// Show at most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Look at all of them first and show them in this order; without it they come as the server lists them
    #[arg(long, value_enum)]
    sort: Option<Sort>,
    /// Print the ids alone
    #[arg(long, conflicts_with_all = ["json", "plain"])]
    ids: bool,
    #[command(flatten)]
    out: OutFlags,
}

/// What traces are put in order by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// The newest first
    Time,
    /// The longest first
    Duration,
}

/// Prints the traces a filter expression means.
pub(crate) async fn run(session: &Session, options: &Options) -> Result<Exit, Stop> {
    let expression = options.expression.as_deref();
    if let Some(expression) = expression {
        filter(expression)?;
    }
    let window = options.time.window((session.now)(), USUAL)?;
    let limit = options
        .limit
        .map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut finding = Finding {
        search: Search::new(&session.client, window, expression),
        client: session.client.clone(),
        progress: Progress::endless("traces"),
        stopping: Stopping::catch()?,
        failure: None,
    };
    let mut shown = Shown::new(options);
    match options.sort {
        None => {
            while limit.is_none_or(|limit| shown.n_traces < limit) {
                if finding.search.is_page_due() {
                    finding.progress.beside(|| shown.show())?;
                }
                let Some(summary) = finding.next().await else {
                    break;
                };
                finding.progress.beside(|| shown.push(&summary))?;
            }
        }
        Some(sort) => {
            for summary in first(&mut finding, sort, limit).await {
                shown.push(&summary)?;
            }
        }
    }
    finding.progress.finish();
    shown.finish(finding.failure, &finding.stopping)
}

/// A search people watch and may end.
struct Finding {
    search: Search,
    client: Client,
    progress: Progress,
    stopping: Stopping,
    /// What ended it before its end.
    failure: Option<CallError>,
}

impl Finding {
    /// Returns the next trace; nothing after the last, once the end is asked for, or when the search cannot go on.
    async fn next(&mut self) -> Option<Summary> {
        let client = &self.client;
        let next = self.search.next();
        let next = tokio::select! {
            biased;
            () = self.stopping.asked() => return None,
            next = self.progress.during(|| client.n_throttled(), next) => next,
        };
        match next {
            Ok(summary) => {
                self.progress.advance(u64::from(summary.is_some()));
                summary
            }
            Err(error) => {
                self.failure = Some(error);
                None
            }
        }
    }
}

/// Traces as they are found, slice by slice of a window, the newest slice first.
#[derive(Debug)]
pub(crate) struct Search {
    client: Client,
    expression: Option<String>,
    /// Slices that were not asked for yet, the oldest first.
    waiting: Vec<Window>,
    current: Option<Summaries>,
}

impl Search {
    /// Returns a search in which nothing was asked yet.
    pub(crate) fn new(client: &Client, window: Window, expression: Option<&str>) -> Self {
        // AWS takes windows of a day; others take any, and need not be asked many times.
        let waiting = if client.endpoint().is_aws() {
            slices(window, AWS_WINDOW_MAX)
        } else {
            vec![window]
        };
        Self {
            client: client.clone(),
            expression: expression.map(str::to_owned),
            waiting,
            current: None,
        }
    }

    /// Tells whether the server has to be asked for the next trace.
    fn is_page_due(&self) -> bool {
        self.current.as_ref().is_none_or(Summaries::is_page_due)
    }

    /// Returns the next trace, nothing after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Summary>, CallError> {
        loop {
            if let Some(current) = &mut self.current
                && let Some(summary) = current.next().await?
            {
                return Ok(Some(summary));
            }
            let Some(window) = self.waiting.pop() else {
                return Ok(None);
            };
            let expression = self.expression.as_deref();
            self.current = Some(self.client.summaries(window, expression));
        }
    }
}

/// Returns the parts of a window, none longer than `longest`, in order.
fn slices(window: Window, longest: Duration) -> Vec<Window> {
    let mut slices = Vec::new();
    let mut to = window.to;
    while to > window.from {
        let from = to.before(longest).max(window.from);
        slices.push(Window { from, to });
        to = from;
    }
    slices.reverse();
    slices
}

/// Returns the first traces in an order, of those that could be found; all have to be looked at for that, but only so
/// many are kept.
async fn first(finding: &mut Finding, sort: Sort, limit: Option<usize>) -> Vec<Summary> {
    let n_kept = limit.unwrap_or(SORTED_MAX);
    let mut kept: Vec<Summary> = Vec::new();
    let mut n_found = 0;
    while let Some(summary) = finding.next().await {
        n_found += 1;
        kept.push(summary);
        if kept.len() >= n_kept.saturating_mul(2) {
            kept.sort_by(|one, other| order(sort, one, other));
            kept.truncate(n_kept);
        }
    }
    kept.sort_by(|one, other| order(sort, one, other));
    kept.truncate(n_kept);
    if limit.is_none() && n_found > kept.len() {
        finding.progress.note(&format!(
            "the first {n_kept} of {n_found} traces; --limit shows others"
        ));
    }
    kept
}

fn order(sort: Sort, one: &Summary, other: &Summary) -> Ordering {
    let key = |summary: &Summary| match sort {
        Sort::Time => summary.start_time.unwrap_or(0.0),
        Sort::Duration => summary.duration.unwrap_or(0.0),
    };
    key(other)
        .total_cmp(&key(one))
        .then_with(|| one.id.cmp(&other.id))
}

/// What is printed.
struct Shown {
    /// Nothing if only ids are wanted.
    listing: Option<Listing<Summary>>,
    n_traces: usize,
}

impl Shown {
    fn new(options: &Options) -> Self {
        let out: Out = options.out.out();
        Self {
            listing: (!options.ids).then(|| out.listing()),
            n_traces: 0,
        }
    }

    fn push(&mut self, summary: &Summary) -> Result<(), Stop> {
        self.n_traces += 1;
        match &mut self.listing {
            Some(listing) => listing.push(summary),
            None => print(&format!("{}\n", printable(&summary.id))),
        }
    }

    /// Prints what waits to be printed.
    fn show(&mut self) -> Result<(), Stop> {
        match &mut self.listing {
            Some(listing) => listing.show(),
            None => Ok(()),
        }
    }

    /// Prints the rest, and tells what ended the search if it was not its end.
    fn finish(self, failure: Option<CallError>, stopping: &Stopping) -> Result<Exit, Stop> {
        if let Some(listing) = self.listing {
            listing.finish()?;
        }
        if let Some(error) = failure {
            let stop = Stop::from(error);
            let is_part = self.n_traces > 0;
            let exit = if is_part { Exit::Partly } else { stop.exit };
            return Err(Stop::new(stopping.exit_or(exit), stop.message));
        }
        if stopping.is_asked() {
            let traces = counted(self.n_traces, "trace");
            note(&format!("{traces} found so far"));
            return Ok(stopping.exit_or(Exit::Interrupted));
        }
        if self.n_traces == 0 {
            note("nothing found");
            return Ok(Exit::NotFound);
        }
        Ok(Exit::Done)
    }
}

pub(crate) const EXAMPLES: &str = "Examples:
  roentgen find 'fault AND service(\"payments\")' --last 1h
  roentgen find 'responsetime > 2' --sort duration --limit 20
  roentgen find 'annotation.tier = \"gold\"' --from 2026-11-22T08:00:00Z --to now --json
  roentgen find error --ids | roentgen get -";
pub(crate) const ABOUT: &str = "Find traces of a server by a filter expression

Without a time the last hour is meant. FLAGS are F fault, E error, T throttled, P in progress. Lines of --plain
are: time, duration, id, flags, status, name, request.
Exit codes: 0 found, 3 nothing found, 5 what was found before a call failed, 2 not an expression, 4 no server.";
pub(crate) const USUAL: Duration = Duration::from_hours(1);
const AWS_WINDOW_MAX: Duration = Duration::from_hours(24);
/// Traces that are put in order if no limit was said.
const SORTED_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use model::Timestamp;
    use serde_json::json;

    use super::*;

    fn check(from: u64, to: u64, longest: u64, expected: &[(u64, u64)]) {
        let (from, to) = (Timestamp::from_secs(from), Timestamp::from_secs(to));
        let slices = slices(Window { from, to }, Duration::from_secs(longest));
        let slices: Vec<_> = slices
            .iter()
            .map(|slice| (slice.from.as_secs(), slice.to.as_secs()))
            .collect();
        assert_eq!(slices, expected);
    }

    #[test]
    fn slices_put_together_are_the_window() {
        check(0, 10, 10, &[(0, 10)]);
        check(0, 11, 10, &[(0, 1), (1, 11)]);
        check(5, 30, 10, &[(5, 10), (10, 20), (20, 30)]);
    }

    #[test]
    fn traces_are_put_in_order() {
        let summary = |id: &str, start: f64, duration: f64| -> Summary {
            let members = json!({ "Id": id, "StartTime": start, "Duration": duration });
            serde_json::from_value(members).unwrap()
        };
        let traces = [
            summary("a", 1.0, 5.0),
            summary("b", 3.0, 0.5),
            summary("c", 2.0, 5.0),
        ];
        let check = |sort, expected: &str| {
            let mut traces = traces.to_vec();
            traces.sort_by(|one, other| order(sort, one, other));
            let ids: String = traces.iter().map(|trace| trace.id.as_str()).collect();
            assert_eq!(ids, expected);
        };
        check(Sort::Time, "bca");
        check(Sort::Duration, "acb");
    }
}
