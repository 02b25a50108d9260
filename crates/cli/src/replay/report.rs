//! What came out of a replay.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::quantiles::Quantiles;
use super::target::Outcome;
use crate::exit::Exit;
use crate::terminal::{Progress, printable};

/// What was sent and what became of it.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) n_sent: u64,
    pub(super) n_calls: u64,
    pub(super) n_accepted: u64,
    /// Of those sent and accepted, calls that were sent as a whole.
    other_calls: OtherCalls,
    pub(super) refused: BTreeMap<String, u64>,
    pub(super) n_bytes: u64,
    pub(super) n_again: u64,
    pub(super) is_complete: bool,
    lag: Quantiles,
    /// How long answers took, by operation.
    latency: BTreeMap<&'static str, Quantiles>,
    n_told: u32,
}

/// Telemetry and sampling statistics, and calls whose documents cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct OtherCalls {
    sent: u64,
    accepted: u64,
}

/// What people and programs are told. What is sent and accepted are documents.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Report {
    to: String,
    is_complete: bool,
    sent: u64,
    calls: u64,
    accepted: u64,
    other_calls: OtherCalls,
    refused: BTreeMap<String, u64>,
    passed_over: BTreeMap<&'static str, u64>,
    bytes: u64,
    seconds: f64,
    sent_per_second: f64,
    tried_again: u64,
    lag: Option<Spread>,
    latency: Vec<Latency>,
    shift_seconds: i64,
    seed: Option<u64>,
}

/// How times are spread.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Spread {
    n: u64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

/// How long the answers to an operation took, when it was recorded and now.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Latency {
    operation: &'static str,
    recorded: Option<Spread>,
    replayed: Spread,
    /// How many times as long the answers take now.
    ratio_p50: Option<f64>,
    ratio_p99: Option<f64>,
}

/// What the totals do not know.
#[derive(Debug)]
pub(super) struct About {
    pub(super) to: String,
    pub(super) elapsed: Duration,
    pub(super) passed_over: BTreeMap<&'static str, u64>,
    pub(super) shift_secs: i64,
    pub(super) seed: Option<u64>,
    pub(super) recorded: BTreeMap<&'static str, Quantiles>,
    /// Whether calls are those that were recorded, with the same documents.
    pub(super) has_same_calls: bool,
}

impl Totals {
    /// Adds what became of a call; with how late it was, if that matters.
    pub(super) fn add(&mut self, outcome: Outcome, lag: Option<Duration>) {
        let n_sent = outcome.n_sent();
        self.n_sent += n_sent;
        self.n_accepted += outcome.n_accepted;
        self.n_accepted = self.n_accepted.saturating_sub(outcome.n_taken_back);
        if outcome.is_call {
            self.other_calls.sent += n_sent;
            self.other_calls.accepted += outcome.n_accepted;
        }
        self.n_bytes += outcome.n_bytes;
        self.n_again += outcome.n_again;
        for (code, n) in outcome.refused {
            *self.refused.entry(code).or_default() += n;
        }
        for (operation, took) in outcome.calls {
            self.n_calls += 1;
            self.latency.entry(operation.name()).or_default().add(took);
        }
        if let Some(lag) = lag {
            self.lag.add(lag);
        }
    }

    /// Counts how late a piece is that was due and was never sent; nothing of one that was not due yet.
    pub(super) fn add_unsent(&mut self, due: Duration, elapsed: Duration) {
        if let Some(lag) = elapsed.checked_sub(due) {
            self.lag.add(lag);
        }
    }

    /// Tells people of a refusal; of many, the first ones.
    pub(super) fn tell(&mut self, told: &str, progress: &Progress) {
        self.n_told = self.n_told.saturating_add(1);
        if self.n_told <= TOLD_MAX {
            progress.note(&printable(told));
        } else if self.n_told == TOLD_MAX + 1 {
            progress.note("further refusals are only counted");
        }
    }

    /// Returns how a replay ends that nothing kept from its end.
    pub(super) fn exit(&self) -> Exit {
        match (self.refused.is_empty(), self.n_accepted) {
            (true, _) => Exit::Done,
            (false, 0) => Exit::Failed,
            (false, _) => Exit::Partly,
        }
    }
}

impl Report {
    pub(super) fn new(totals: Totals, about: About) -> Self {
        let seconds = about.elapsed.as_secs_f64();
        let latency = totals.latency.iter().map(|(operation, replayed)| {
            let recorded = about.recorded.get(operation);
            Latency::of(operation, recorded, replayed, about.has_same_calls)
        });
        let n_sent = totals.n_sent.saturating_sub(totals.other_calls.sent);
        Self {
            to: about.to,
            is_complete: totals.is_complete,
            sent: n_sent,
            calls: totals.n_calls,
            accepted: totals
                .n_accepted
                .saturating_sub(totals.other_calls.accepted),
            other_calls: totals.other_calls,
            passed_over: about.passed_over,
            bytes: totals.n_bytes,
            seconds,
            sent_per_second: if seconds > 0.0 {
                float(n_sent) / seconds
            } else {
                0.0
            },
            tried_again: totals.n_again,
            lag: (totals.lag.len() > 0).then(|| Spread::of(&totals.lag)),
            latency: latency.collect(),
            shift_seconds: about.shift_secs,
            seed: about.seed,
            refused: totals.refused,
        }
    }

    /// Returns the report as people read it.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let n_refused: u64 = self.refused.values().sum();
        let mut line = |line: String| {
            let _infallible = writeln!(text, "{}", printable(&line));
        };
        let other = match self.other_calls {
            OtherCalls { sent: 0, .. } => String::new(),
            OtherCalls { sent, accepted } => format!(" and {accepted} of {sent} other calls"),
        };
        line(format!(
            "accepted {} of {} documents{other} in {} calls to {}: {} bytes in {:.1} s, {:.0} documents/s",
            self.accepted,
            self.sent,
            self.calls,
            self.to,
            self.bytes,
            self.seconds,
            self.sent_per_second
        ));
        if n_refused > 0 {
            line(format!("refused {n_refused}: {}", counts(&self.refused)));
        }
        if !self.passed_over.is_empty() {
            line(format!("not sent: {}", counts(&self.passed_over)));
        }
        if self.tried_again > 0 {
            line(format!("calls tried again: {}", self.tried_again));
        }
        if let Some(lag) = self.lag {
            line(format!(
                "late by {:.1} ms (p50), {:.1} ms (p99), {:.1} ms at most",
                lag.p50_ms, lag.p99_ms, lag.max_ms
            ));
        }
        for latency in &self.latency {
            line(latency.text());
        }
        text
    }
}

impl Latency {
    fn of(
        operation: &'static str,
        recorded: Option<&Quantiles>,
        replayed: &Quantiles,
        has_same_calls: bool,
    ) -> Self {
        let recorded = recorded.filter(|recorded| recorded.len() > 0);
        let ratio = |thousandths| {
            let recorded = recorded
                .filter(|_| has_same_calls)?
                .at(thousandths)
                .as_secs_f64();
            (recorded > 0.0).then(|| replayed.at(thousandths).as_secs_f64() / recorded)
        };
        Self {
            operation,
            recorded: recorded.map(Spread::of),
            replayed: Spread::of(replayed),
            ratio_p50: ratio(500),
            ratio_p99: ratio(990),
        }
    }

    fn text(&self) -> String {
        let (operation, now) = (self.operation, self.replayed);
        let mut text = format!(
            "{operation}: answered in {:.1} ms (p50), {:.1} ms (p99), measured here",
            now.p50_ms, now.p99_ms
        );
        if let Some(then) = self.recorded {
            let _infallible = write!(
                text,
                "; in {:.1} ms and {:.1} ms, measured where it was recorded",
                then.p50_ms, then.p99_ms
            );
        }
        if let (Some(p50), Some(p99)) = (self.ratio_p50, self.ratio_p99) {
            let _infallible = write!(text, ": {p50:.2} and {p99:.2} times as long");
        }
        text
    }
}

impl Spread {
    fn of(quantiles: &Quantiles) -> Self {
        let ms = |length: Duration| length.as_secs_f64() * 1e3;
        Self {
            n: quantiles.len(),
            p50_ms: ms(quantiles.at(500)),
            p99_ms: ms(quantiles.at(990)),
            max_ms: ms(quantiles.max()),
        }
    }
}

/// Returns counts with what was counted, one after the other.
pub(super) fn counts(counts: &BTreeMap<impl std::fmt::Display, u64>) -> String {
    let counts = counts.iter().map(|(what, n)| format!("{n} {what}"));
    counts.collect::<Vec<_>>().join(", ")
}

#[expect(clippy::cast_precision_loss, reason = "a rate is told in a few digits")]
fn float(n: u64) -> f64 {
    n as f64
}

const TOLD_MAX: u32 = 10;

#[cfg(test)]
mod tests {
    use protocol::Operation;

    use super::*;

    fn outcome(n_accepted: u64, refused: &[(&str, u64)]) -> Outcome {
        Outcome {
            left: Vec::new(),
            stop: None,
            is_call: false,
            calls: vec![(Operation::PutTraceSegments, Duration::from_millis(4))],
            n_accepted,
            n_taken_back: 0,
            refused: refused
                .iter()
                .map(|(code, n)| ((*code).to_owned(), *n))
                .collect(),
            n_bytes: 100,
            n_again: 1,
            told: None,
        }
    }

    #[test]
    fn what_was_refused_decides_the_exit() {
        let check = |outcomes: Vec<Outcome>, exit| {
            let mut totals = Totals::default();
            for outcome in outcomes {
                totals.add(outcome, None);
            }
            assert_eq!(totals.exit(), exit, "{totals:?}");
        };
        check(vec![], Exit::Done);
        check(vec![outcome(2, &[])], Exit::Done);
        check(vec![outcome(0, &[("A", 2)])], Exit::Failed);
        check(vec![outcome(0, &[("A", 2)]), outcome(1, &[])], Exit::Partly);
        let lost = Outcome {
            left: vec![0],
            ..outcome(0, &[])
        };
        check(vec![lost], Exit::Done);
    }

    #[test]
    fn what_did_not_end_is_no_call_and_yet_was_tried() {
        let mut totals = Totals::default();
        let never = Outcome {
            left: vec![0, 1],
            n_again: 40,
            ..Outcome::default()
        };
        totals.add(never, Some(Duration::from_secs(3)));
        totals.add_unsent(Duration::from_secs(1), Duration::from_secs(3));
        totals.add_unsent(Duration::from_secs(4), Duration::from_secs(3));
        assert_eq!((totals.n_again, totals.n_sent, totals.n_calls), (40, 0, 0));
        assert_eq!(
            (totals.lag.len(), totals.lag.max()),
            (2, Duration::from_secs(3))
        );
    }

    fn report(has_same_calls: bool) -> Report {
        let mut totals = Totals::default();
        let lag = Some(Duration::from_millis(2));
        totals.add(outcome(3, &[("MissingId", 2)]), lag);
        totals.add(outcome(5, &[]), lag);
        let mut recorded = Quantiles::default();
        recorded.add(Duration::from_millis(2));
        for (n_accepted, refused) in [(1, &[][..]), (0, &[("NoAnswer", 1)])] {
            let call = Outcome {
                is_call: true,
                calls: Vec::new(),
                n_again: 0,
                ..outcome(n_accepted, refused)
            };
            totals.add(call, None);
        }
        let about = About {
            to: "http://h".to_owned(),
            elapsed: Duration::from_secs(2),
            passed_over: BTreeMap::from([("reads", 7)]),
            shift_secs: 5,
            seed: None,
            recorded: BTreeMap::from([("PutTraceSegments", recorded)]),
            has_same_calls,
        };
        Report::new(totals, about)
    }

    #[test]
    fn people_are_told_what_came_out() {
        insta::assert_snapshot!(report(true).text(), @r"
        accepted 8 of 10 documents and 1 of 2 other calls in 2 calls to http://h: 400 bytes in 2.0 s, 5 documents/s
        refused 3: 2 MissingId, 1 NoAnswer
        not sent: 7 reads
        calls tried again: 2
        late by 2.0 ms (p50), 2.0 ms (p99), 2.0 ms at most
        PutTraceSegments: answered in 4.0 ms (p50), 4.0 ms (p99), measured here; in 2.0 ms and 2.0 ms, measured where it was recorded: 2.00 and 2.00 times as long
        ");
    }

    #[test]
    fn calls_that_are_other_ones_are_not_compared() {
        let report = report(false);
        assert!(report.text().ends_with("measured where it was recorded\n"));
        let latency = &report.latency[0];
        assert_eq!((latency.ratio_p50, latency.ratio_p99), (None, None));
    }

    #[test]
    fn what_is_heard_of_later_was_not_accepted() {
        let mut totals = Totals::default();
        totals.add(outcome(1, &[]), None);
        let later = Outcome {
            n_taken_back: 1,
            ..outcome(1, &[("PortUnreachable", 1)])
        };
        totals.add(later, None);
        assert_eq!((totals.n_sent, totals.n_accepted), (2, 1));
    }
}
