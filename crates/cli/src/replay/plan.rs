//! What a recording holds, found out before anything is sent.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use model::{Timestamp, TraceId};
use serde::Serialize;

use super::input::{Input, Items};
use super::quantiles::Quantiles;
use super::report::counts;
use super::sending::trace_id;
use crate::exit::{Exit, Stop};

/// What is to be sent.
#[derive(Debug)]
pub(super) struct Plan {
    /// Documents and calls, whether a filter takes them or not.
    pub(super) n_items: u64,
    /// Those of them that are sent.
    pub(super) n_chosen: u64,
    n_documents: u64,
    n_bytes: u64,
    n_pieces: u64,
    /// When the first piece arrived.
    pub(super) first: Timestamp,
    last: Timestamp,
    /// How many there are of each kind of thing that is not sent.
    pub(super) passed_over: BTreeMap<&'static str, u64>,
    /// How long answers took when they were recorded, by operation.
    pub(super) recorded: BTreeMap<&'static str, Quantiles>,
}

/// What a replay would do.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Told<'a> {
    to: &'a str,
    documents: u64,
    calls: u64,
    rounds: u32,
    bytes: u64,
    first: String,
    last: String,
    span_seconds: f64,
    passed_over: &'a BTreeMap<&'static str, u64>,
}

impl Plan {
    /// Reads a recording from its beginning to its end.
    pub(super) fn of(input: &mut Input, chosen: Option<&HashSet<TraceId>>) -> Result<Self, Stop> {
        let mut plan = Self {
            n_items: 0,
            n_chosen: 0,
            n_documents: 0,
            n_bytes: 0,
            n_pieces: 0,
            first: Timestamp::from_nanos(u64::MAX),
            last: Timestamp::ZERO,
            passed_over: BTreeMap::new(),
            recorded: BTreeMap::new(),
        };
        while let Some(piece) = input.next()? {
            plan.n_pieces += 1;
            plan.n_items += piece.items.len();
            plan.first = plan.first.min(piece.at);
            plan.last = plan.last.max(piece.at);
            if let Some((operation, took)) = piece.took {
                plan.recorded.entry(operation.name()).or_default().add(took);
            }
            plan.count(&piece.items, chosen);
        }
        plan.passed_over = input.passed_over();
        let n_left_out = plan.n_items - plan.n_chosen;
        if n_left_out > 0 {
            let what = "documents and calls the filter does not take";
            plan.passed_over.insert(what, n_left_out);
        }
        Ok(plan)
    }

    fn count(&mut self, items: &Items, chosen: Option<&HashSet<TraceId>>) {
        let documents = match items {
            Items::Call(_, body) => {
                let is_chosen = chosen.is_none();
                self.n_chosen += u64::from(is_chosen);
                if is_chosen {
                    self.n_bytes += length(body);
                }
                return;
            }
            Items::Documents(documents) => documents,
        };
        for document in documents {
            let is_chosen = chosen.is_none_or(|chosen| {
                trace_id(document).is_some_and(|trace_id| chosen.contains(&trace_id))
            });
            if is_chosen {
                self.n_chosen += 1;
                self.n_documents += 1;
                self.n_bytes += length(document.as_bytes());
            }
        }
    }

    /// Returns how long the recording is.
    pub(super) fn span(&self) -> Duration {
        self.last.since(self.first)
    }

    /// Returns a pause as long as one in the recording.
    pub(super) fn pause(&self) -> Duration {
        let n_pauses = u32::try_from(self.n_pieces.saturating_sub(1)).unwrap_or(u32::MAX);
        self.span().checked_div(n_pauses).unwrap_or_default()
    }

    /// Returns the exit if there is nothing to send.
    pub(super) fn exit_if_empty(&self) -> Option<Exit> {
        (self.n_chosen == 0).then_some(Exit::NotFound)
    }

    /// Returns what a replay would do.
    pub(super) fn told<'a>(&'a self, to: &'a str, rounds: u32) -> Told<'a> {
        let time = |time: Timestamp| {
            if self.n_pieces == 0 {
                return String::new();
            }
            let time = std::time::UNIX_EPOCH + Duration::from_nanos(time.as_nanos());
            humantime::format_rfc3339_millis(time).to_string()
        };
        Told {
            to,
            documents: self.n_documents,
            calls: self.n_chosen - self.n_documents,
            rounds,
            bytes: self.n_bytes,
            first: time(self.first),
            last: time(self.last),
            span_seconds: self.span().as_secs_f64(),
            passed_over: &self.passed_over,
        }
    }
}

impl Told<'_> {
    /// Returns it as a line of JSON.
    pub(super) fn json(&self) -> Result<String, Stop> {
        Ok(serde_json::to_string(self).map_err(Stop::failed)? + "\n")
    }

    /// Returns it as people read it.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "would send {} documents and {} other calls, {} bytes, {} times to {}\n",
            self.documents, self.calls, self.bytes, self.rounds, self.to
        );
        if !self.first.is_empty() {
            let (first, last, seconds) = (&self.first, &self.last, self.span_seconds);
            let _infallible = writeln!(text, "recorded from {first} to {last}, {seconds:.1} s");
        }
        if !self.passed_over.is_empty() {
            let _infallible = writeln!(text, "not sent: {}", counts(self.passed_over));
        }
        text
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
