//! The traces of a window, slice of time by slice of time, the oldest first.
//!
//! A slice is all of the window if that is little. Else it is as long as holds a certain number of traces, as far as that
//! can be known from the one before; one that holds far more is asked for again in parts. So what is in memory is bounded,
//! and the order is that of the traces' starts whatever order a server lists them in.
//!
//! Servers differ in which traces of a boundary they list: on both sides of it, or, those that list only what lies wholly
//! in a window, on none. So slices overlap, and what the one before had is left out.

use std::collections::HashSet;

use model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::client::{CallError, Client};
use crate::times::Window;

/// The slices of a window that are left.
#[derive(Debug)]
pub(crate) struct Slices {
    client: Client,
    filter: Option<String>,
    /// What is left of the window.
    left: Window,
    /// What was already asked for and is again.
    overlap: Overlap,
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
    /// The ids of those that no slice before had, by start and id.
    pub(crate) trace_ids: Vec<String>,
    /// What the slice behind it overlaps with.
    pub(crate) overlap: Overlap,
}

/// The end of a slice that the next one has, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Overlap {
    n_secs: u64,
    /// All traces that were listed for the slice.
    trace_ids: Vec<String>,
}

impl Slices {
    /// Returns the slices of a window; nothing is sent yet.
    pub(crate) fn of(
        client: &Client,
        filter: Option<&str>,
        window: Window,
        overlap: Overlap,
        n_wanted: usize,
    ) -> Self {
        Self {
            client: client.clone(),
            filter: filter.map(str::to_owned),
            left: window,
            overlap,
            length_secs: secs_of(window).saturating_add(1),
            length_max_secs: if client.endpoint().is_aws() {
                LENGTH_MAX_SECS
            } else {
                u64::MAX
            },
            n_wanted,
        }
    }

    /// Returns the next slice, nothing after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Slice>, CallError> {
        while self.left.from < self.left.to {
            let before_secs = self.overlap.n_secs.min(self.length_max_secs / 2);
            let length_secs = self.length_secs.min(self.length_max_secs - before_secs);
            let window = Window {
                from: self.left.from,
                to: end_of(self.left, length_secs),
            };
            let asked = Window {
                from: earlier(window.from, before_secs),
                ..window
            };
            let n_max = if length_secs > 1 {
                self.n_wanted.saturating_mul(TOO_MANY)
            } else {
                usize::MAX
            };
            let listed = match self.list(asked, n_max).await {
                Ok(listed) => listed,
                Err(error) if is_maybe_too_long(asked, &error) => {
                    self.length_max_secs = if secs_of(asked) > LENGTH_MAX_SECS {
                        LENGTH_MAX_SECS
                    } else {
                        secs_of(asked) / 2
                    };
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some((trace_ids, repeated)) = listed else {
                self.length_secs = (length_secs / SHORTER).max(1);
                continue;
            };
            self.length_secs = following(length_secs, trace_ids.len(), self.n_wanted);
            self.left.from = window.to;
            // No longer than the slice: then all that is listed again was listed for it.
            self.overlap = Overlap {
                n_secs: OVERLAP_SECS.min(length_secs),
                trace_ids: repeated.into_iter().chain(trace_ids.clone()).collect(),
            };
            return Ok(Some(Slice {
                window,
                trace_ids,
                overlap: self.overlap.clone(),
            }));
        }
        Ok(None)
    }

    /// Returns the ids of a window's traces that the slice before did not have, and those that it had; nothing if there
    /// are more than so many of the former.
    async fn list(
        &self,
        window: Window,
        n_max: usize,
    ) -> Result<Option<(Vec<String>, Vec<String>)>, CallError> {
        let known: HashSet<&String> = self.overlap.trace_ids.iter().collect();
        let mut summaries = self.client.summaries(window, self.filter.as_deref());
        let mut found: Vec<(f64, String)> = Vec::new();
        let mut repeated = Vec::new();
        loop {
            let Some(summary) = summaries.next().await? else {
                break;
            };
            if known.contains(&summary.id) {
                repeated.push(summary.id);
                continue;
            }
            if found.len() >= n_max {
                return Ok(None);
            }
            found.push((summary.start_time.unwrap_or_default(), summary.id));
        }
        // While traces change, one may be on two pages.
        found.sort_by(|one, other| one.1.cmp(&other.1));
        found.dedup_by(|one, other| one.1 == other.1);
        found.sort_by(|one, other| one.0.total_cmp(&other.0));
        Ok(Some((
            found.into_iter().map(|(_, id)| id).collect(),
            repeated,
        )))
    }
}

/// Tells whether a server may have refused because it was asked for so long a time.
fn is_maybe_too_long(window: Window, error: &CallError) -> bool {
    let is_refused = matches!(error, CallError::Refused { status: 400, .. });
    is_refused && secs_of(window) > LENGTH_SURE_SECS
}

fn secs_of(window: Window) -> u64 {
    let nanos = window.to.as_nanos().saturating_sub(window.from.as_nanos());
    nanos.div_ceil(1_000_000_000)
}

/// Returns the time so many seconds before.
fn earlier(time: Timestamp, secs: u64) -> Timestamp {
    let nanos = secs.saturating_mul(1_000_000_000);
    Timestamp::from_nanos(time.as_nanos().saturating_sub(nanos))
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

/// The longest window the original service takes, and others that stand in front of it.
const LENGTH_MAX_SECS: u64 = 24 * 3_600;
/// A window that no server refuses for being too long.
const LENGTH_SURE_SECS: u64 = 3_600;
/// Nearly all traces are shorter.
const OVERLAP_SECS: u64 = 60;
/// A slice of so many times the traces that are wanted is asked for again in parts.
const TOO_MANY: usize = 2;
const SHORTER: u64 = 8;
/// How much longer than the one before a slice may be.
const LONGER: u64 = 4;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::moving::fake;

    /// A server's rule of which traces, of a start and an end, it lists for a window.
    type Rule = fn(window: (f64, f64), trace: (f64, f64)) -> bool;

    const STARTED: Rule = |window, trace| window.0 <= trace.0 && trace.0 < window.1;
    const STARTED_INCLUDING_THE_END: Rule =
        |window, trace| window.0 <= trace.0 && trace.0 <= window.1;
    const WHOLLY_INSIDE: Rule = |window, trace| window.0 <= trace.0 && trace.1 <= window.1;
    const ACTIVE: Rule = |window, trace| window.0 <= trace.1 && trace.0 <= window.1;

    /// Lists the traces of a window from a server of this rule that takes windows of so many hours; resumed before every
    /// slice if it is to be.
    async fn listed(
        rule: Rule,
        hours_max: f64,
        traces: &[(f64, f64)],
        (to, n_wanted): (u64, usize),
        is_resumed: bool,
    ) -> Result<(Vec<usize>, usize), CallError> {
        let traces = traces.to_vec();
        let server = fake::server(move |_, request: &Value| {
            let time = |member: &str| request[member].as_f64().unwrap();
            let window = (time("StartTime"), time("EndTime"));
            if window.1 - window.0 > hours_max * 3_600.0 {
                return (400, json!({ "__type": "InvalidRequestException" }));
            }
            let found = traces
                .iter()
                .enumerate()
                .filter(|(_, trace)| rule(window, **trace));
            let found =
                found.map(|(id, trace)| json!({ "Id": id.to_string(), "StartTime": trace.0 }));
            (200, json!({ "TraceSummaries": found.collect::<Vec<_>>() }))
        })
        .await;
        let client = fake::client(&server.url);
        let begin = |from, overlap| {
            let window = Window {
                from,
                to: Timestamp::from_secs(to),
            };
            Slices::of(&client, None, window, overlap, n_wanted)
        };
        let mut slices = begin(Timestamp::ZERO, Overlap::default());
        let mut ids = Vec::new();
        let mut n_slices = 0;
        while let Some(slice) = slices.next().await? {
            ids.extend(
                slice
                    .trace_ids
                    .iter()
                    .map(|id| id.parse::<usize>().unwrap()),
            );
            n_slices += 1;
            if is_resumed {
                let noted = serde_json::to_string(&slice.overlap).unwrap();
                slices = begin(slice.window.to, serde_json::from_str(&noted).unwrap());
            }
        }
        Ok((ids, n_slices))
    }

    /// Traces of up to 5 seconds each, those of whole seconds among them, so many.
    fn traces(n_traces: u32) -> Vec<(f64, f64)> {
        let traces = (0..n_traces).map(|number| {
            let start = f64::from(number) * 0.75;
            (start, start + f64::from(number % 6))
        });
        traces.collect()
    }

    #[tokio::test]
    async fn every_trace_is_listed_once_whatever_a_server_lists_of_a_boundary() {
        let traces = traces(4_000);
        for rule in [STARTED, STARTED_INCLUDING_THE_END, WHOLLY_INSIDE, ACTIVE] {
            for is_resumed in [false, true] {
                let of = listed(rule, 24.0, &traces, (3_600, 150), is_resumed);
                let (mut ids, n_slices) = of.await.unwrap();
                assert!(n_slices > 5, "{n_slices}");
                ids.sort_unstable();
                assert_eq!(ids, (0..traces.len()).collect::<Vec<_>>());
            }
        }
    }

    #[tokio::test]
    async fn what_is_little_is_one_slice() {
        let traces = traces(40);
        let of = listed(WHOLLY_INSIDE, 24.0, &traces, (80_000, 150), false);
        assert_eq!(of.await.unwrap(), ((0..40).collect(), 1));
    }

    #[tokio::test]
    async fn a_server_that_takes_only_short_windows_is_asked_for_them() {
        let day = 86_400.0;
        let traces: Vec<_> = (0..10)
            .map(|n| (f64::from(n) * day, f64::from(n) * day))
            .collect();
        for (hours_max, n_min) in [(24.0, 10), (6.0, 40), (2.0, 120)] {
            let of = listed(STARTED, hours_max, &traces, (10 * 86_400, 150), false);
            let (ids, n_slices) = of.await.unwrap();
            assert_eq!(ids, (0..10).collect::<Vec<_>>(), "{hours_max}");
            assert!(n_slices >= n_min, "{hours_max} {n_slices}");
        }
        // Something else is wrong.
        let of = listed(STARTED, 0.1, &traces, (10 * 86_400, 150), false);
        assert!(of.await.is_err());
    }

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
