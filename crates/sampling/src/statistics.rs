//! What clients report, summed over all of them, in windows of ten seconds.
//!
//! Windows are kept in a ring of fixed size: the place of a window in it is its number modulo the
//! ring's size, and a later window takes the place of the one a round before. So nothing has to be
//! removed from the store, and it never grows.

use std::collections::BTreeMap;
use std::time::Duration;

use model::Timestamp;

use crate::after;

/// What all clients reported of one rule in one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatisticSummary {
    /// The rule's name.
    pub rule_name: String,
    /// Beginning of the window of ten seconds.
    pub window: Timestamp,
    /// Requests the rule was for.
    pub request_count: u64,
    /// Requests traced before a quota was there.
    pub borrow_count: u64,
    /// Requests traced.
    pub sampled_count: u64,
}

/// One page of summaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryPage {
    /// The summaries, oldest window first, then by rule.
    pub summaries: Vec<StatisticSummary>,
    /// The last of them, if there are more.
    pub next: Option<SummaryPosition>,
}

/// A place in the order of summaries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SummaryPosition {
    /// Beginning of the window.
    pub window: Timestamp,
    /// The rule's name.
    pub rule_name: String,
}

/// Sums of one rule in one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) borrowed: u64,
    pub(crate) sampled: u64,
}

/// Every window that is kept, by number.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    by_number: BTreeMap<u64, Window>,
}

/// One window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) of_rules: BTreeMap<String, Counts>,
    /// It changed since it was written.
    is_dirty: bool,
}

/// A window to be written and its place in the ring.
#[derive(Debug)]
pub(crate) struct DirtyWindow {
    pub(crate) number: u64,
    pub(crate) of_rules: BTreeMap<String, Counts>,
}

impl Windows {
    /// Takes windows as they were stored, but for those that are too old by now.
    pub(crate) fn restore(
        stored: impl IntoIterator<Item = (u64, BTreeMap<String, Counts>)>,
        now: Timestamp,
    ) -> Self {
        let window = |of_rules| Window {
            of_rules,
            is_dirty: false,
        };
        let stored = stored.into_iter();
        let mut windows = Self {
            by_number: stored
                .map(|(number, of_rules)| (number, window(of_rules)))
                .collect(),
        };
        windows.forget(now);
        windows
    }

    /// Adds what a client reported to the window of `at`, which must be near `now`.
    pub(crate) fn add(&mut self, rule_name: &str, at: Timestamp, counts: Counts) {
        let window = self.by_number.entry(number_of(at)).or_default();
        let sums = match window.of_rules.get_mut(rule_name) {
            Some(sums) => sums,
            None => window.of_rules.entry(rule_name.to_owned()).or_default(),
        };
        sums.requests = sums.requests.saturating_add(counts.requests);
        sums.borrowed = sums.borrowed.saturating_add(counts.borrowed);
        sums.sampled = sums.sampled.saturating_add(counts.sampled);
        window.is_dirty = true;
    }

    /// Forgets windows that are too old, and ones that were ahead of a clock that was set back.
    pub(crate) fn forget(&mut self, now: Timestamp) {
        let kept = number_of(now.before(KEPT))..=number_of(after(now, SKEW_MAX));
        self.by_number.retain(|number, _| kept.contains(number));
    }

    /// Forgets everything about rules that are gone.
    pub(crate) fn retain_rules(&mut self, is_there: impl Fn(&str) -> bool) {
        for window in self.by_number.values_mut() {
            let n_before = window.of_rules.len();
            window.of_rules.retain(|name, _| is_there(name));
            window.is_dirty |= window.of_rules.len() < n_before;
        }
    }

    /// Returns what changed since it was taken last.
    pub(crate) fn take_dirty(&mut self) -> Vec<DirtyWindow> {
        let mut dirty = Vec::new();
        for (number, window) in &mut self.by_number {
            if std::mem::replace(&mut window.is_dirty, false) {
                dirty.push(DirtyWindow {
                    number: *number,
                    of_rules: window.of_rules.clone(),
                });
            }
        }
        dirty
    }

    /// Notes that a window was not written after all.
    pub(crate) fn mark_dirty(&mut self, number: u64) {
        if let Some(window) = self.by_number.get_mut(&number) {
            window.is_dirty = true;
        }
    }

    /// Returns up to `n_max` summaries after a place, which need not be there any more.
    pub(crate) fn page(
        &self,
        after: Option<&SummaryPosition>,
        n_max: usize,
        now: Timestamp,
    ) -> SummaryPage {
        let oldest = number_of(now.before(KEPT));
        let first = after.map_or(oldest, |after| oldest.max(number_of(after.window)));
        let entries = self.by_number.range(first..).flat_map(|(number, window)| {
            let rules = window.of_rules.iter();
            rules.map(|(name, counts)| summary(*number, name, *counts))
        });
        let mut wanted = entries.filter(|summary| {
            after.is_none_or(|after| {
                (summary.window, &summary.rule_name) > (after.window, &after.rule_name)
            })
        });
        let summaries: Vec<StatisticSummary> = wanted.by_ref().take(n_max.max(1)).collect();
        let last = summaries.last().map(|summary| SummaryPosition {
            window: summary.window,
            rule_name: summary.rule_name.clone(),
        });
        let next = last.filter(|_| wanted.next().is_some());
        SummaryPage { summaries, next }
    }
}

impl DirtyWindow {
    /// Returns the key its record has: its place in the ring.
    pub(crate) fn key(&self) -> String {
        format!("{:03}", self.number % RING)
    }
}

fn summary(number: u64, rule_name: &str, counts: Counts) -> StatisticSummary {
    StatisticSummary {
        rule_name: rule_name.to_owned(),
        window: Timestamp::from_secs(number.saturating_mul(WINDOW_SECS)),
        request_count: counts.requests,
        borrow_count: counts.borrowed,
        sampled_count: counts.sampled,
    }
}

const fn number_of(at: Timestamp) -> u64 {
    at.as_secs() / WINDOW_SECS
}

/// How far the clock of a client may be from ours.
pub(crate) const SKEW_MAX: Duration = Duration::from_mins(15);
const WINDOW_SECS: u64 = 10;
/// How long summaries can be read.
const KEPT: Duration = Duration::from_mins(30);
/// More than the windows from the oldest one kept to the farthest ahead, so that no two share a place.
const RING: u64 = 300;
const _: () = assert!(RING * WINDOW_SECS > KEPT.as_secs() + SKEW_MAX.as_secs() + 2 * WINDOW_SECS);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_795_000_000 + secs)
    }

    fn counts() -> Counts {
        Counts {
            requests: 1,
            ..Counts::default()
        }
    }

    #[test]
    fn windows_are_forgotten_once_no_clock_can_ask_for_them() {
        let mut windows = Windows::default();
        for secs in (0..100_000).step_by(5) {
            windows.add("a", at(secs), counts());
            windows.forget(at(secs));
        }
        assert_eq!(windows.by_number.len(), 181);
        // The clock was set back by an hour: those windows would come again and count twice.
        windows.forget(at(100_000 - 3_600));
        assert!(windows.by_number.is_empty());
    }

    #[test]
    fn no_two_windows_that_are_kept_share_a_place() {
        let mut windows = Windows::default();
        let now = at(1_000_000);
        for secs in 0..1_000_000 / 10 {
            windows.add("a", at(secs * 20), counts());
        }
        windows.forget(now);
        let dirty = windows.take_dirty();
        let keys: std::collections::BTreeSet<_> = dirty.iter().map(DirtyWindow::key).collect();
        assert_eq!(keys.len(), dirty.len());
        assert!(dirty.len() > 130, "{}", dirty.len());
        assert!(windows.take_dirty().is_empty());
    }

    #[test]
    fn sums_stop_where_numbers_end() {
        let mut windows = Windows::default();
        let most = Counts {
            requests: u64::MAX,
            borrowed: u64::MAX,
            sampled: u64::MAX,
        };
        windows.add("a", at(0), most);
        windows.add("a", at(9), most);
        let page = windows.page(None, 9, at(9));
        assert_eq!(page.summaries.len(), 1);
        assert_eq!(page.summaries[0].request_count, u64::MAX);
    }
}
