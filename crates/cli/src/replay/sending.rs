//! Sending a recording: when it is due, in order within each trace, otherwise as much at a time as the target takes.

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::replay::{NewIds, Pace, Rewrite, Shift, Turn, turn};
use model::{Timestamp, TraceId};
use tokio::task::{JoinError, JoinSet};
use xxhash_rust::xxh3::xxh3_64;

use super::batches::{Batch, Batches, Bounds, Item};
use super::input::{Input, Items, Piece};
use super::members::Members;
use super::order::Order;
use super::progress::Keeper;
use super::ranges::Ranges;
use super::report::Totals;
use super::target::{Outcome, Target};
use crate::exit::Stop;
use crate::stopping::Stopping;
use crate::terminal::Progress;

/// How a recording is sent.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) bounds: Bounds,
    /// Whether what arrived together is sent together; else calls are filled.
    pub(super) keeps_calls: bool,
    /// Whether anything has to wait for its time.
    pub(super) is_paced: bool,
    pub(super) stops_on_error: bool,
    pub(super) n_rounds: u64,
    pub(super) n_items: u64,
    /// When the first piece arrived.
    pub(super) first: Timestamp,
    /// The time between rounds, in the recording.
    pub(super) pause: Duration,
    /// How far times are moved.
    pub(super) shift_secs: i64,
    /// How much farther in each round.
    pub(super) round_secs: i64,
    /// What new ids are made of, if there are any.
    pub(super) seed: Option<u64>,
}

/// What all calls share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) target: Target,
    pub(super) keeper: Option<Keeper>,
    pub(super) stopping: Stopping,
    pub(super) progress: Arc<Progress>,
    pub(super) started: Instant,
}

/// A recording that is being sent.
pub(super) struct Sending<'a> {
    pub(super) way: &'a Way,
    pub(super) common: Arc<Common>,
    /// The traces that are sent; nothing if all are.
    pub(super) chosen: Option<&'a HashSet<TraceId>>,
    /// Items that were done before.
    pub(super) done: Ranges,
    pub(super) pace: Pace,
    pub(super) totals: Totals,
    batches: Batches,
    order: Order<Ready>,
    ready: VecDeque<(u64, Ready)>,
    under_way: JoinSet<Ended>,
    n_bytes_held: usize,
    stop: Option<Stop>,
    is_over: bool,
}

/// The number of a call, its bytes, and what became of it and how late it was.
type Ended = (u64, usize, (Outcome, Duration));

#[derive(Debug)]
struct Ready {
    batch: Batch,
    rewrite: Rewrite,
}

impl<'a> Sending<'a> {
    pub(super) fn new(
        way: &'a Way,
        common: Arc<Common>,
        chosen: Option<&'a HashSet<TraceId>>,
        done: Ranges,
        pace: Pace,
    ) -> Self {
        Self {
            way,
            common,
            chosen,
            done,
            pace,
            totals: Totals::default(),
            batches: Batches::new(way.bounds),
            order: Order::default(),
            ready: VecDeque::new(),
            under_way: JoinSet::new(),
            n_bytes_held: 0,
            stop: None,
            is_over: false,
        }
    }

    /// Sends everything from where the input is, in this round and those behind it. Returns what came out, and what
    /// kept it from its end.
    pub(super) async fn run(mut self, input: &mut Input, round: u64) -> (Totals, Option<Stop>) {
        if let Err(stop) = self.send_all(input, round).await {
            self.stop.get_or_insert(stop);
        }
        let elapsed = self.common.started.elapsed();
        // What waits for its turn is not begun any more after an end before time.
        while let Some(ended) = self.under_way.join_next().await {
            self.settle(ended);
            self.begin_ready();
        }
        if self.totals.n_accepted > 0 {
            let outcome = self.common.target.last_words().await;
            self.totals.add(outcome, None);
        }
        self.totals.is_complete = !self.is_over && self.stop.is_none();
        if self.way.is_paced && !self.totals.is_complete {
            self.count_unsent(input, elapsed);
        }
        (self.totals, self.stop)
    }

    /// Counts how late everything is that was due at a time, and was not sent: a target that is stuck is no punctual one.
    fn count_unsent(&mut self, input: &mut Input, elapsed: Duration) {
        let batches = self.batches.flush();
        let ready = self.ready.drain(..).map(|(_, ready)| ready);
        let held = ready.chain(self.order.drain());
        let dues = batches.into_iter().chain(held.map(|ready| ready.batch));
        for due in dues.map(|batch| batch.due) {
            self.totals.add_unsent(due, elapsed);
        }
        while let Ok(Some(piece)) = input.next() {
            let offset = piece.at.since(self.way.first);
            let is_sent = match &piece.items {
                Items::Call(..) => self.chosen.is_none(),
                Items::Documents(documents) => documents.iter().any(|text| self.is_chosen(text)),
            };
            if !is_sent {
                continue;
            }
            let due = self.pace.due(offset);
            if due > elapsed {
                return;
            }
            self.totals.add_unsent(due, elapsed);
        }
    }

    fn is_chosen(&self, document: &str) -> bool {
        self.chosen.is_none_or(|chosen| {
            trace_id(document).is_some_and(|trace_id| chosen.contains(&trace_id))
        })
    }

    async fn send_all(&mut self, input: &mut Input, first_round: u64) -> Result<(), Stop> {
        for round in first_round..self.way.n_rounds {
            if round > first_round {
                input.rewind()?;
                self.pace.next_round(self.way.pause);
            }
            let rewrite = self.way.rewrite(round);
            while let Some(piece) = input.next()? {
                self.note_read(input, round).await;
                self.take(piece, round, rewrite).await;
                if self.is_ending() {
                    return Ok(());
                }
            }
            self.flush(rewrite).await;
        }
        Ok(())
    }

    /// Has it noted what was read: more than is sent now, and in another order.
    async fn note_read(&self, input: &mut Input, round: u64) {
        for (numbers, place) in input.read_since() {
            if let Some(keeper) = &self.common.keeper {
                let first = self.way.number(round, numbers.start);
                let n_items = numbers.end - numbers.start;
                keeper.piece(first..first + n_items, place).await;
            }
        }
    }

    async fn take(&mut self, piece: Piece, round: u64, rewrite: Rewrite) {
        let first = self.way.number(round, piece.first_item);
        let offset = piece.at.since(self.way.first);
        match piece.items {
            Items::Call(operation, body) => {
                let is_wanted = self.chosen.is_none() && !self.done.holds(&(first..first + 1));
                if !is_wanted {
                    return self.pass(first).await;
                }
                let due = self.pace.due(offset);
                self.wait(due, rewrite).await;
                let batch = Batch {
                    n_bytes: body.len(),
                    items: Items::Call(operation, body),
                    numbers: std::iter::once(first..first + 1).collect(),
                    due,
                    keys: Vec::new(),
                };
                self.submit(batch, rewrite).await;
            }
            Items::Documents(documents) => {
                let mut wanted = Vec::new();
                for (number, text) in (first..).zip(documents) {
                    let trace_id = trace_id(&text);
                    let is_chosen = self.chosen.is_none_or(|chosen| {
                        trace_id.is_some_and(|trace_id| chosen.contains(&trace_id))
                    });
                    if !is_chosen || self.done.holds(&(number..number + 1)) {
                        self.pass(number).await;
                        continue;
                    }
                    let key = trace_id.map(|trace_id| xxh3_64(trace_id.as_bytes()));
                    wanted.push(Item { number, key, text });
                }
                self.take_documents(wanted, offset, rewrite).await;
            }
        }
    }

    /// Sends documents that arrived together, or puts them to others.
    async fn take_documents(&mut self, mut items: Vec<Item>, offset: Duration, rewrite: Rewrite) {
        while !items.is_empty() && !self.is_ending() {
            let rest = items.split_off(items.len().min(self.way.bounds.n_max));
            // A call is not sent before the last of its documents may be.
            let due = items.iter().map(|_| self.pace.due(offset)).last();
            let due = due.unwrap_or_default();
            self.wait(due, rewrite).await;
            if self.way.keeps_calls {
                for batch in self.way.bounds.cut(items, due) {
                    self.submit(batch, rewrite).await;
                }
            } else {
                for item in items {
                    if let Some(full) = self.batches.add(item, due, Instant::now()) {
                        self.submit(full, rewrite).await;
                    }
                }
            }
            items = rest;
        }
    }

    async fn pass(&self, number: u64) {
        if let Some(keeper) = &self.common.keeper {
            keeper.passed(number..number + 1).await;
        }
    }

    /// Waits until something is due, or the end is asked for.
    async fn wait(&mut self, due: Duration, rewrite: Rewrite) {
        let mut stopping = self.common.stopping.clone();
        while !self.is_ending() {
            let Turn::Wait(rest) = turn(due, self.common.started.elapsed()) else {
                return;
            };
            let now = Instant::now();
            let linger = self.batches.oldest().map(|oldest| oldest + LINGER);
            if linger.is_some_and(|linger| linger <= now) {
                self.flush(rewrite).await;
                continue;
            }
            let until = linger.map_or(now + rest, |linger| linger.min(now + rest));
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => {}
                () = stopping.asked() => {}
                Some(ended) = self.under_way.join_next() => {
                    self.settle(ended);
                    self.begin_ready();
                }
            }
        }
    }

    async fn flush(&mut self, rewrite: Rewrite) {
        for batch in self.batches.flush() {
            self.submit(batch, rewrite).await;
        }
    }

    /// Sends a batch as soon as its turn comes; waits while too much is held.
    async fn submit(&mut self, batch: Batch, rewrite: Rewrite) {
        self.n_bytes_held = self.n_bytes_held.saturating_add(batch.n_bytes);
        let keys = batch.keys.clone();
        self.ready
            .extend(self.order.add(Ready { batch, rewrite }, keys));
        while let Some(ended) = self.under_way.try_join_next() {
            self.settle(ended);
        }
        self.begin_ready();
        while self.order.len() >= CALLS_HELD_MAX || self.n_bytes_held > BYTES_HELD_MAX {
            let Some(ended) = self.under_way.join_next().await else {
                return;
            };
            self.settle(ended);
            self.begin_ready();
        }
    }

    fn begin_ready(&mut self) {
        while self.under_way.len() < UNDER_WAY_MAX && !self.is_ending() {
            let Some((id, ready)) = self.ready.pop_front() else {
                return;
            };
            let common = Arc::clone(&self.common);
            let n_bytes = ready.batch.n_bytes;
            self.under_way
                .spawn(async move { (id, n_bytes, perform(ready, &common).await) });
        }
    }

    fn settle(&mut self, ended: Result<Ended, JoinError>) {
        let (id, n_bytes, outcome) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                self.stop.get_or_insert_with(|| Stop::failed(error));
                return;
            }
        };
        self.n_bytes_held = self.n_bytes_held.saturating_sub(n_bytes);
        let (mut outcome, lag) = outcome;
        let is_done = outcome.left.is_empty();
        let has_refused = !outcome.refused.is_empty();
        self.is_over |= !is_done || (has_refused && self.way.stops_on_error);
        if let Some(told) = &outcome.told {
            self.totals.tell(told, &self.common.progress);
        }
        if let Some(stop) = outcome.stop.take() {
            self.stop.get_or_insert(stop);
        }
        self.common.progress.advance(outcome.n_sent());
        self.totals.add(outcome, self.way.is_paced.then_some(lag));
        // Calls behind a lost one are not sent before it.
        if is_done {
            self.ready.extend(self.order.done(id));
        }
    }

    fn is_ending(&mut self) -> bool {
        self.is_over |= self.common.stopping.is_asked();
        self.is_over || self.stop.is_some()
    }
}

impl Way {
    /// Returns the number of an item in a round.
    fn number(&self, round: u64, item: u64) -> u64 {
        round.saturating_mul(self.n_items).saturating_add(item)
    }

    /// Returns what is exchanged in a round.
    fn rewrite(&self, round: u64) -> Rewrite {
        let rounds = i64::try_from(round).unwrap_or(i64::MAX);
        let secs = self
            .shift_secs
            .saturating_add(self.round_secs.saturating_mul(rounds));
        Rewrite {
            shift: Shift::by(self.first, secs),
            ids: self.seed.map(|seed| NewIds::new(seed, round)),
        }
    }
}

/// Sends a batch and has it noted what of it is done. Returns what came out, and how late it was sent.
async fn perform(ready: Ready, common: &Common) -> (Outcome, Duration) {
    let late = || common.started.elapsed().saturating_sub(ready.batch.due);
    let mut lag = late();
    let mut stopping = common.stopping.clone();
    let items = &ready.batch.items;
    let sent = common.target.send(items, &ready.rewrite, &mut stopping);
    let mut outcome = Box::pin(sent).await;
    if !outcome.left.is_empty() {
        lag = late();
    }
    let done = done(&ready.batch.numbers, &outcome.left);
    if let Some(keeper) = common.keeper.as_ref().filter(|_| !done.is_empty()) {
        // The next call takes this one's place only then: no more than these can be sent twice.
        if !keeper.done(done).await {
            let stop = Stop::failed("the progress of the replay cannot be kept");
            outcome.stop.get_or_insert(stop);
        }
    }
    (outcome, lag)
}

/// Returns the numbers of items without those at the places that are left, which are in order.
fn done(numbers: &[Range<u64>], left: &[usize]) -> Vec<Range<u64>> {
    if left.is_empty() {
        return numbers.to_vec();
    }
    let mut done = Ranges::default();
    for (place, number) in numbers.iter().cloned().flatten().enumerate() {
        if left.binary_search(&place).is_err() {
            done.add(&(number..number + 1));
        }
    }
    done.iter().collect()
}

/// Returns the trace of a document, if that can be read.
pub(super) fn trace_id(document: &str) -> Option<TraceId> {
    Members::of(document).trace_id()
}

/// How long a batch with room waits for further documents.
const LINGER: Duration = Duration::from_millis(20);
const UNDER_WAY_MAX: usize = 16;
const CALLS_HELD_MAX: usize = 64;
const BYTES_HELD_MAX: usize = 32 << 20;
