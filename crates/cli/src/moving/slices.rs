//! The traces of a window, slice of time by slice of time, the oldest first.
//!
//! A slice is as long as holds a certain number of traces, as far as that can be known from the one before; one that holds
//! far more is asked for again in parts. So what is in memory is bounded, and the order is that of the traces' starts
//! whatever order a server lists them in. A trace is in the one slice its start lies in.

use model::Timestamp;

use super::pace::Pace;
use crate::client::{CallError, Client};
use crate::times::Window;

/// The slices of a window that are left.
#[derive(Debug)]
pub(crate) struct Slices {
    client: Client,
    pace: Pace,
    filter: Option<String>,
    /// What is left of the window.
    left: Window,
    /// How long the next slice is.
    length_secs: u64,
    /// How long one may be.
    length_max_secs: u64,
    /// How many traces a slice shall have, about.
    n_wanted: usize,
}

/// The traces of a slice.
#[derive(Debug)]
pub(crate) struct Slice {
    /// Its time.
    pub(crate) window: Window,
    /// Their ids, by start and id.
    pub(crate) trace_ids: Vec<String>,
}

impl Slices {
    /// Returns the slices of a window; nothing is sent yet.
    pub(crate) fn of(
        client: &Client,
        pace: &Pace,
        filter: Option<&str>,
        window: Window,
        n_wanted: usize,
    ) -> Self {
        Self {
            client: client.clone(),
            pace: pace.clone(),
            filter: filter.map(str::to_owned),
            left: window,
            length_secs: LENGTH_FIRST_SECS,
            length_max_secs: if client.endpoint().is_aws() {
                AWS_LENGTH_MAX_SECS
            } else {
                u64::MAX
            },
            n_wanted,
        }
    }

    /// Returns the next slice, nothing after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Slice>, CallError> {
        while self.left.from < self.left.to {
            let window = Window {
                from: self.left.from,
                to: end_of(self.left, self.length_secs),
            };
            let n_max = if self.length_secs > 1 {
                self.n_wanted.saturating_mul(TOO_MANY)
            } else {
                usize::MAX
            };
            let Some(trace_ids) = self.list(window, n_max).await? else {
                self.length_secs = (self.length_secs / SHORTER).max(1);
                continue;
            };
            let length_secs = following(self.length_secs, trace_ids.len(), self.n_wanted);
            self.length_secs = length_secs.min(self.length_max_secs);
            self.left.from = window.to;
            return Ok(Some(Slice { window, trace_ids }));
        }
        Ok(None)
    }

    /// Returns the ids of a window's traces, nothing if there are more than so many.
    async fn list(&self, window: Window, n_max: usize) -> Result<Option<Vec<String>>, CallError> {
        let mut summaries = self.client.summaries(window, self.filter.as_deref());
        let mut found: Vec<(f64, String)> = Vec::new();
        loop {
            if summaries.is_page_due() {
                self.pace.turn(&self.client).await;
            }
            let Some(summary) = summaries.next().await? else {
                break;
            };
            if found.len() >= n_max {
                return Ok(None);
            }
            found.push((summary.start_time.unwrap_or_default(), summary.id));
        }
        // While traces change, one may be on two pages.
        found.sort_by(|one, other| one.1.cmp(&other.1));
        found.dedup_by(|one, other| one.1 == other.1);
        found.sort_by(|one, other| one.0.total_cmp(&other.0));
        Ok(Some(found.into_iter().map(|(_, id)| id).collect()))
    }
}

/// Returns where a slice ends that is about so long: at a whole second, or where the window ends.
fn end_of(left: Window, length_secs: u64) -> Timestamp {
    let end = left.from.as_secs().saturating_add(length_secs);
    Timestamp::from_secs(end).min(left.to)
}

/// Returns how long the slice after one of so many traces is to be.
fn following(length_secs: u64, n_traces: usize, n_wanted: usize) -> u64 {
    let n_traces = u64::try_from(n_traces.max(1)).unwrap_or(u64::MAX);
    let n_wanted = u64::try_from(n_wanted).unwrap_or(u64::MAX);
    let fitting = length_secs.saturating_mul(n_wanted) / n_traces;
    fitting.clamp(1, length_secs.saturating_mul(LONGER))
}

const LENGTH_FIRST_SECS: u64 = 3_600;
/// The longest window the original service takes.
const AWS_LENGTH_MAX_SECS: u64 = 24 * 3_600;
/// A slice of so many times the traces that are wanted is asked for again in parts.
const TOO_MANY: usize = 2;
const SHORTER: u64 = 8;
/// How much longer than the one before a slice may be.
const LONGER: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_get_longer_where_there_is_little_and_shorter_where_there_is_much() {
        let check = |length, n_traces, expected| {
            let next = following(length, n_traces, 100);
            assert_eq!(next, expected, "{length} {n_traces}");
        };
        check(3_600, 0, 14_400);
        check(3_600, 100, 3_600);
        check(3_600, 200, 1_800);
        check(u64::MAX, 0, u64::MAX);
        check(2, 400, 1);
        check(1, 100_000, 1);
    }

    #[test]
    fn slices_end_at_whole_seconds_or_with_the_window() {
        let check = |from: u64, to: u64, length, expected: u64| {
            let left = Window {
                from: Timestamp::from_nanos(from),
                to: Timestamp::from_nanos(to),
            };
            assert_eq!(end_of(left, length), Timestamp::from_nanos(expected));
        };
        check(1_500_000_000, 9_999_999_999, 1, 2_000_000_000);
        check(1_000_000_000, 9_999_999_999, 8, 9_000_000_000);
        check(1_000_000_000, 9_999_999_999, 9, 9_999_999_999);
        check(0, 1, u64::MAX, 1);
    }
}
