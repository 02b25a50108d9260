//! Scans over summaries, newest first, across partitions.
//!
//! The plan of one step:
//! 1. every partition that may have a trace in the window is a source; a sealed one is known by the
//!    latest start in it until it is really needed;
//! 2. a heap gives the source whose next trace is newest; sealed sources read one block at a time and
//!    pass over blocks whose zone lies outside the window;
//! 3. a trace that went on in a newer partition is passed over in the older ones, since its summary
//!    in the newest covers all of it;
//! 4. the step ends when the window, the page or the budget of traces to look at is exhausted.
//!
//! Memory is one decoded block a source and the page.

use std::cell::Cell;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::vec::IntoIter;

use model::{Head, Summary, Tenant, TraceId};

use crate::active::Active;
use crate::engine::{EngineError, Tree};
use crate::keys;
use crate::partitions::head_of;
use crate::record::{BlockEntry, Damage, Zone, decode};
use crate::sealed::Sealed;
use crate::store::{Partitions, Shared};
use crate::{Judgement, Position, Scan, ScanEffort, ScanPage, WindowBy};

/// Runs one step of a scan.
pub(crate) fn run(shared: &Shared, tenant: Tenant, scan: &Scan) -> Result<ScanPage, EngineError> {
    let partitions = shared.partitions();
    let as_of = scan
        .as_of
        .unwrap_or_else(|| shared.newest_stamp.load(Ordering::Acquire));
    let context = Context {
        shared,
        tenant,
        scan,
        as_of,
        partitions: &partitions,
        effort: Cell::default(),
        cost: Cell::default(),
        n_passed: Cell::default(),
    };
    let mut heap: BinaryHeap<Source<'_>> = context.sources().collect();
    let mut page = ScanPage {
        summaries: Vec::new(),
        n_scanned: 0,
        next: None,
        as_of,
        effort: ScanEffort::default(),
    };
    while let Some(mut source) = heap.pop() {
        if scan.window.by == WindowBy::Start && source.at.start < scan.window.from {
            break;
        }
        let at = source.at;
        let is_begun = scan.after.is_some_and(|after| at >= after);
        if matches!(source.kind, Kind::Unread(_)) && !is_begun {
            // Partitions that a page before has begun are opened again for nothing: every page moves on.
            if context.cost.get() + PARTITION_COST > scan.n_scanned_max.max(PARTITION_COST) {
                page.next = Some(at);
                break;
            }
            context.charge(PARTITION_COST);
        }
        let source_cost = source.cost();
        let found = source.take(&context)?;
        if source.advance(&context)? {
            heap.push(source);
        }
        page.n_scanned += context.n_passed.take();
        let wanted = found.filter(|entry| context.is_wanted(entry, at));
        if let Some(entry) = wanted {
            page.n_scanned += 1;
            context.charge(source_cost);
            if context.is_kept(&entry.summary)? {
                page.summaries.push(entry.summary);
            }
        }
        let is_full = page.summaries.len() >= scan.n_kept_max;
        if is_full || context.cost.get() >= scan.n_scanned_max {
            page.next = (!heap.is_empty()).then_some(at);
            break;
        }
    }
    page.effort = context.effort.get();
    Ok(page)
}

/// Returns the summary of a trace; nothing if it is not known.
pub(crate) fn one(
    shared: &Shared,
    tenant: Tenant,
    trace_id: TraceId,
) -> Result<Option<Summary>, EngineError> {
    let partitions = shared.partitions();
    // The newest partition that has documents of a trace knows of the older ones', too.
    let unsealed: Vec<&Arc<Active>> = partitions.unsealed().collect();
    for active in unsealed.into_iter().rev() {
        let index = active.index.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = index.summary(tenant, trace_id) {
            return Ok(Some(found.map_err(damaged)?.summary));
        }
    }
    let mut revision = 0;
    for sealed in &partitions.sealed {
        if sealed.may_hold(tenant, trace_id) {
            let read = shared.read_sealed(sealed, |opened| {
                opened.revision(tenant, trace_id, &shared.dictionaries)
            })?;
            revision = revision.max(read.unwrap_or_default());
        }
    }
    let documents = shared.documents(tenant, trace_id)?.documents;
    let heads: Vec<Head> = documents.iter().filter_map(head_of).collect();
    Ok((!heads.is_empty()).then(|| Summary::of(trace_id, &heads, revision)))
}

/// What all sources of a step need.
struct Context<'a> {
    shared: &'a Shared,
    tenant: Tenant,
    scan: &'a Scan,
    as_of: u64,
    partitions: &'a Partitions,
    effort: Cell<ScanEffort>,
    /// What the step has cost so far.
    cost: Cell<u64>,
    /// Traces of blocks passed over and not counted yet.
    n_passed: Cell<u64>,
}

/// One partition and where the scan is in it; ordered by that.
struct Source<'a> {
    /// The next trace, or for a partition not looked into yet a position no trace of it is after.
    at: Position,
    number: u32,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Active {
        active: &'a Arc<Active>,
        positions: IntoIter<Position>,
    },
    Unread(&'a Arc<Sealed>),
    Sealed {
        sealed: &'a Arc<Sealed>,
        block: IntoIter<BlockEntry>,
        next: Option<Box<BlockEntry>>,
        /// Traces of the block the source is at, if the filter denies all of it.
        n_passed: u32,
        key: Vec<u8>,
    },
}

impl<'a> Context<'a> {
    /// Returns a source for each partition that may have a trace of the window.
    fn sources(&'a self) -> impl Iterator<Item = Source<'a>> {
        let sealed = self
            .partitions
            .sealed
            .iter()
            .filter_map(|sealed| self.sealed_source(sealed));
        let unsealed = self.partitions.unsealed();
        sealed.chain(unsealed.filter_map(|active| self.active_source(active)))
    }

    fn sealed_source(&self, sealed: &'a Arc<Sealed>) -> Option<Source<'a>> {
        let facts = &sealed.facts;
        let is_behind = |after: Position| facts.starts.0 > after.start;
        let may_hold = facts.n_traces > 0
            && self.scan.window.may_hold(facts.starts, facts.ends)
            && !self.scan.after.is_some_and(is_behind);
        let newest = Position {
            start: facts.starts.1,
            trace_id: TraceId::from_bytes([0xff; 16]),
        };
        let at = self.scan.after.map_or(newest, |after| after.min(newest));
        may_hold.then(|| Source {
            at,
            number: sealed.number,
            kind: Kind::Unread(sealed),
        })
    }

    fn active_source(&self, active: &'a Arc<Active>) -> Option<Source<'a>> {
        let positions = {
            let index = active.index.read().unwrap_or_else(PoisonError::into_inner);
            index.positions(self.tenant, &self.scan.window, self.scan.after, self.as_of)
        };
        let mut positions = positions.into_iter();
        let at = positions.next()?;
        let number = active.number;
        Some(Source {
            at,
            number,
            kind: Kind::Active { active, positions },
        })
    }

    /// Tells whether an entry read at a place belongs into this step.
    fn is_wanted(&self, entry: &BlockEntry, at: Position) -> bool {
        let summary = &entry.summary;
        let place = Position {
            start: summary.start,
            trace_id: summary.trace_id,
        };
        place == at
            && entry.first_stamp <= self.as_of
            && self.scan.window.holds(summary.start, summary.end)
    }

    /// Tells whether the filter keeps a trace, reading its documents if the summary does not tell.
    fn is_kept(&self, summary: &Summary) -> Result<bool, EngineError> {
        match self.scan.filter.judge(summary) {
            Judgement::Keep => Ok(true),
            Judgement::Skip => Ok(false),
            Judgement::ReadDocuments => {
                self.note(|effort| effort.n_traces_read += 1);
                let stored = self.shared.documents(self.tenant, summary.trace_id)?;
                self.charge(DOCUMENTS_COST + stored.bytes / BYTES_PER_COST);
                let filter = &self.scan.filter;
                Ok(filter.judge_documents(summary, &stored.documents))
            }
        }
    }

    /// Counts the traces of a block that the filter denies, at the place of its first.
    fn pass_over(&self, n_traces: u32) {
        if n_traces > 0 {
            self.n_passed.set(self.n_passed.get() + u64::from(n_traces));
            self.note(|effort| effort.n_blocks_passed += 1);
            self.charge(1);
        }
    }

    fn charge(&self, cost: u64) {
        self.cost.set(self.cost.get().saturating_add(cost));
    }

    fn note(&self, change: impl FnOnce(&mut ScanEffort)) {
        let mut effort = self.effort.get();
        change(&mut effort);
        self.effort.set(effort);
    }

    /// Tells whether a trace of a partition went on in a newer one.
    fn went_on(&self, trace_id: TraceId, number: u32) -> bool {
        let newer = self
            .partitions
            .sealed
            .iter()
            .rev()
            .take_while(|sealed| sealed.number > number);
        if newer
            .into_iter()
            .any(|sealed| sealed.continues(self.tenant, trace_id))
        {
            return true;
        }
        let unsealed = self.partitions.unsealed();
        let mut newer = unsealed.filter(|active| active.number > number);
        newer.any(|active| {
            let index = active.index.read().unwrap_or_else(PoisonError::into_inner);
            index.continues(self.tenant, trace_id)
        })
    }
}

impl Source<'_> {
    /// Returns what looking at one of its traces costs.
    const fn cost(&self) -> u64 {
        match self.kind {
            Kind::Active { .. } => HEADS_COST,
            Kind::Unread(_) | Kind::Sealed { .. } => 1,
        }
    }

    /// Returns the trace the source is at, nothing if it is passed over.
    fn take(&mut self, context: &Context<'_>) -> Result<Option<BlockEntry>, EngineError> {
        let entry = match &mut self.kind {
            Kind::Unread(_) => return Ok(None),
            Kind::Sealed { next, n_passed, .. } => {
                context.pass_over(std::mem::take(n_passed));
                next.take().map(|entry| *entry)
            }
            Kind::Active { active, .. } => {
                let index = active.index.read().unwrap_or_else(PoisonError::into_inner);
                let summary = index.summary(context.tenant, self.at.trace_id);
                summary.transpose().map_err(damaged)?
            }
        };
        Ok(entry.filter(|entry| !context.went_on(entry.summary.trace_id, self.number)))
    }

    /// Moves to the next trace; tells whether there is one.
    fn advance(&mut self, context: &Context<'_>) -> Result<bool, EngineError> {
        if let Kind::Active { positions, .. } = &mut self.kind {
            let next = positions.next();
            self.at = next.unwrap_or(self.at);
            return Ok(next.is_some());
        }
        if let Kind::Unread(sealed) = self.kind {
            let key = context.tenant.0.to_be_bytes().to_vec();
            self.kind = Kind::Sealed {
                sealed,
                block: Vec::new().into_iter(),
                next: None,
                n_passed: 0,
                key,
            };
        }
        let Kind::Sealed {
            sealed,
            block,
            next,
            n_passed,
            key,
        } = &mut self.kind
        else {
            return Ok(false);
        };
        loop {
            for entry in block.by_ref() {
                let summary = &entry.summary;
                let place = Position {
                    start: summary.start,
                    trace_id: summary.trace_id,
                };
                let is_ahead = context.scan.after.is_none_or(|after| place < after);
                if is_ahead && context.scan.window.holds(summary.start, summary.end) {
                    self.at = place;
                    *next = Some(Box::new(entry));
                    return Ok(true);
                }
            }
            match next_block(context, sealed, key)? {
                Some(Block::Read(entries)) => *block = entries.into_iter(),
                Some(Block::Denied(first, n_traces)) => {
                    self.at = first;
                    *n_passed = n_traces;
                    return Ok(true);
                }
                None => return Ok(false),
            }
        }
    }
}

/// A block that has traces of the window.
enum Block {
    /// Its entries.
    Read(Vec<BlockEntry>),
    /// The filter denies all of it: where it begins and how many traces it has.
    Denied(Position, u32),
}

/// Returns the next block that may have traces of the window, moving `key` behind it.
fn next_block(
    context: &Context<'_>,
    sealed: &Arc<Sealed>,
    key: &mut Vec<u8>,
) -> Result<Option<Block>, EngineError> {
    let tenant = context.tenant.0.to_be_bytes();
    let dictionaries = &context.shared.dictionaries;
    let read = context.shared.read_sealed(sealed, |opened| {
        let mut found: Option<Result<(Vec<u8>, Place), Damage>> = None;
        opened.scan_records(
            Tree::Zones,
            &tenant,
            key,
            dictionaries,
            &mut |zone_key, read| {
                let zone = read.and_then(|(_, payload)| decode::<Zone>(&payload));
                match zone.map(|zone| context.place(zone_key, &zone)) {
                    Ok(Place::Nowhere) => return ControlFlow::Continue(()),
                    Ok(place) => found = Some(Ok((zone_key.to_vec(), place))),
                    Err(damage) => found = Some(Err(damage)),
                }
                ControlFlow::Break(())
            },
        )?;
        let Some(found) = found else { return Ok(None) };
        let (found, place) = found.map_err(damaged)?;
        if let Place::Denied(first, n_traces) = place {
            return Ok(Some((found, Block::Denied(first, n_traces))));
        }
        let block = opened.record(Tree::Blocks, &found, dictionaries)?;
        let block = block.unwrap_or_else(|| Err(Damage("a zone has no block".to_owned())));
        context.note(|effort| effort.n_blocks_read += 1);
        let entries = block.and_then(|(_, payload)| decode::<Vec<BlockEntry>>(&payload));
        Ok(Some((found, Block::Read(entries.map_err(damaged)?))))
    })?;
    let Some(Some((found, block))) = read else {
        return Ok(None);
    };
    *key = found;
    key.push(0);
    Ok(Some(block))
}

/// What a zone says of its block.
enum Place {
    /// It has no trace this step looks for, or was passed over by a step before.
    Nowhere,
    /// Every trace of it is in the window, and the filter denies all.
    Denied(Position, u32),
    /// It is to be read.
    Here,
}

impl Context<'_> {
    fn place(&self, zone_key: &[u8], zone: &Zone) -> Place {
        let window = &self.scan.window;
        let starts = (zone.start_min, zone.start_max);
        let ends = (zone.end_min, zone.end_max);
        let is_ahead = |after: Position| zone.start_min <= after.start;
        if !self.scan.after.is_none_or(is_ahead) || !window.may_hold(starts, ends) {
            return Place::Nowhere;
        }
        let is_whole = window.holds(zone.start_min, zone.end_max)
            && window.holds(zone.start_max, zone.end_min);
        if !is_whole || self.scan.filter.may_match(&zone.facts) {
            return Place::Here;
        }
        match keys::read_block(zone_key) {
            Some((_, first)) if self.scan.after.is_none_or(|after| first < after) => {
                Place::Denied(first, zone.n_traces)
            }
            // It begins before the place where the step before ended: it was counted then.
            Some(_) => Place::Nowhere,
            None => Place::Here,
        }
    }
}

/// Putting a summary together from heads costs about as much as reading so many from a block.
const HEADS_COST: u64 = 4;
/// Reading and judging a trace's documents costs about as much as reading so many summaries,
const DOCUMENTS_COST: u64 = 25;
/// and one more for so many bytes.
const BYTES_PER_COST: u64 = 2_048;
/// Opening a partition and reading its zones costs about as much as reading so many summaries.
const PARTITION_COST: u64 = 2_000;

fn damaged(damage: Damage) -> EngineError {
    EngineError::Damaged {
        action: "scanning summaries",
        detail: damage.0,
    }
}

impl PartialEq for Source<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Source<'_> {}

impl PartialOrd for Source<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Source<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at).then(self.number.cmp(&other.number))
    }
}
