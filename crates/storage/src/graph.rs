//! Sums for service graphs, by minute.
//!
//! What a trace adds to a graph is a pure function of its documents (`model::TraceGraph`). For a
//! partition with its index in memory the contributions of its traces are kept there, derived again
//! when a trace changed and summed up when asked for. A sealed partition has the sums themselves, by
//! group, hour and minute, so that a map of six hours reads a few records and no traces.
//!
//! A trace that goes on in a newer partition is counted there as it is then, and what the older ones
//! say of it is taken away there (a *correction*). A correction names the newest of the older
//! partitions and falls away with it, so that what retention drops is not missed twice.

mod contribution;
mod hours;
mod sums;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};

use model::{Cells, Tenant, Timestamp, TraceId};

pub(crate) use contribution::{Contribution, Kept, Refresh, Share};
pub(crate) use hours::{HourSums, StoredHour};

use crate::active::Active;
use crate::engine::{EngineError, Tree};
use crate::keys::{self, Grain};
use crate::partitions::Opened;
use crate::record::{Damage, decode};
use crate::sealed::Sealed;
use crate::store::Shared;
use sums::Sums;

/// Which sums to return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraphScan {
    /// The group whose traces count; [`ALL_TRACES`] for all.
    pub group: u32,
    /// The first minute since 1970 that counts, by the start of requests and calls.
    pub from_minute: u32,
    /// The first minute that counts no more.
    pub to_minute: u32,
    /// How many minutes are summed up together, counted from `from_minute`; at least 1.
    pub bucket_minutes: u32,
    /// What is wanted of the sums; the rest may be left out.
    pub parts: GraphParts,
}

/// Parts of sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphParts {
    /// Everything.
    All,
    /// The figures of services.
    Nodes,
    /// Calls.
    Calls,
    /// Calls of clients.
    ClientCalls,
}

/// The number of the group all traces are in.
pub const ALL_TRACES: u32 = 0;

/// Returns the minute since 1970 an instant lies in.
pub fn minute_of(instant: Timestamp) -> u32 {
    u32::try_from(instant.as_secs() / 60).unwrap_or(u32::MAX)
}

impl GraphScan {
    /// Returns the first minute of the bucket a minute falls into; none if it does not count.
    pub(crate) fn bucket_of(&self, minute: u32) -> Option<u32> {
        if minute < self.from_minute || minute >= self.to_minute {
            return None;
        }
        let into = minute - self.from_minute;
        let bucket = self.bucket_minutes.max(1);
        Some(self.from_minute + into / bucket * bucket)
    }

    /// Tells whether all minutes of an hour count, and in one bucket.
    fn holds_as_one(&self, hour: u32) -> bool {
        let first = hour.saturating_mul(60);
        let last = first.saturating_add(59);
        let bucket = self.bucket_of(first);
        bucket.is_some() && bucket == self.bucket_of(last)
    }

    fn hours(&self) -> (u32, u32) {
        (self.from_minute / 60, self.to_minute.saturating_sub(1) / 60)
    }

    /// Tells whether something that lies between two instants may count.
    fn may_hold(&self, from: Timestamp, to: Timestamp) -> bool {
        minute_of(from) < self.to_minute && minute_of(to) >= self.from_minute
    }
}

impl Shared {
    /// Returns the sums of each bucket that has any, by its first minute.
    pub(crate) fn graph(
        &self,
        tenant: Tenant,
        scan: &GraphScan,
    ) -> Result<BTreeMap<u32, Cells>, EngineError> {
        let partitions = self.partitions();
        let numbers: Vec<u32> = partitions
            .sealed
            .iter()
            .map(|sealed| sealed.number)
            .chain(partitions.unsealed().map(|active| active.number))
            .collect();
        let is_there = |number: u32| numbers.contains(&number);
        let mut sums = BTreeMap::new();
        for sealed in &partitions.sealed {
            self.add_sealed(sealed, tenant, scan, &is_there, &mut sums)?;
        }
        for active in partitions.unsealed() {
            self.refresh(active)?;
            let index = active.index.read().unwrap_or_else(PoisonError::into_inner);
            let mut active_sums = Sums::new(scan);
            for kept in index.kept(tenant) {
                active_sums.add_trace(kept, &is_there);
            }
            active_sums.merge_into(&mut sums, index.interned());
        }
        for cells in sums.values_mut() {
            cells.prune();
        }
        sums.retain(|_, cells| !cells.nodes.is_empty() || !cells.edges.is_empty());
        Ok(sums)
    }

    fn add_sealed(
        &self,
        sealed: &Arc<Sealed>,
        tenant: Tenant,
        scan: &GraphScan,
        is_there: &dyn Fn(u32) -> bool,
        sums: &mut BTreeMap<u32, Cells>,
    ) -> Result<(), EngineError> {
        let facts = &sealed.facts;
        if facts.n_traces == 0 || !scan.may_hold(facts.active.0, facts.active.1) {
            return Ok(());
        }
        self.read_sealed(sealed, |opened| {
            // What counts whole is read whole, and by minute what does not.
            let mut keys = hours_of(opened, tenant, scan, Grain::Hour)?;
            keys.extend(hours_of(opened, tenant, scan, Grain::Minutes)?);
            for key in keys {
                let read = opened.record(Tree::Graph, &key, &self.dictionaries)?;
                let hour = read.map(|read| read.and_then(|(_, payload)| decode(&payload)));
                let hour: Option<StoredHour> = hour.transpose().map_err(damaged)?;
                if let Some(hour) = hour {
                    hour.add_to(scan, is_there, sums);
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Derives what changed traces of a partition with an index now add to graphs. What changes meanwhile
    /// is left to the next call: writers may be faster. One call at a time does this, so that all that had
    /// changed when a call began is derived when it ends.
    fn refresh(&self, active: &Active) -> Result<(), EngineError> {
        let _refreshing = active
            .refreshing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut n_left = {
            let index = active.index.read().unwrap_or_else(PoisonError::into_inner);
            index.n_changed()
        };
        while n_left > 0 {
            let changed = {
                let mut index = active.index.write().unwrap_or_else(PoisonError::into_inner);
                index.take_changed(n_left.min(TRACES_AT_ONCE))
            };
            if changed.is_empty() {
                return Ok(());
            }
            n_left -= changed.len();
            let mut refreshed = Vec::with_capacity(changed.len());
            let derived = self.derive(active, &changed, &mut refreshed);
            let mut index = active.index.write().unwrap_or_else(PoisonError::into_inner);
            for refresh in refreshed {
                index.keep(refresh);
            }
            if derived.is_err() {
                index.queue(changed);
                return derived;
            }
        }
        Ok(())
    }

    fn derive(
        &self,
        active: &Active,
        changed: &[(Tenant, TraceId)],
        refreshed: &mut Vec<Refresh>,
    ) -> Result<(), EngineError> {
        for (tenant, trace_id) in changed.iter().copied() {
            let parts = {
                let index = active.index.read().unwrap_or_else(PoisonError::into_inner);
                index.parts(tenant, trace_id)
            };
            let Some(parts) = parts else { continue };
            let parts = parts.map_err(damaged)?;
            let changed = parts.changed;
            let contribution = self.contribution(active.number, tenant, trace_id, parts)?;
            refreshed.push(Refresh {
                tenant,
                trace_id,
                changed,
                contribution,
            });
        }
        Ok(())
    }
}

/// Returns the keys of the hours that a scan needs told by a grain.
fn hours_of(
    opened: &Opened,
    tenant: Tenant,
    scan: &GraphScan,
    grain: Grain,
) -> Result<Vec<Vec<u8>>, EngineError> {
    let (first, last) = scan.hours();
    let from = keys::graph(tenant, scan.group, grain, first, 0);
    let upper = keys::after_prefix(&keys::graph_prefix(tenant, scan.group, grain));
    let mut found = Vec::new();
    let visit = &mut |key: &[u8], _: &[u8]| match keys::read_graph_hour(key) {
        Some(hour) if hour <= last => {
            if scan.holds_as_one(hour) == (grain == Grain::Hour) {
                found.push(key.to_vec());
            }
            ControlFlow::Continue(())
        }
        Some(_) | None => ControlFlow::Break(()),
    };
    let engine = opened.engine();
    engine.scan(Tree::Graph, &from, upper.as_deref(), visit)?;
    Ok(found)
}

fn damaged(damage: Damage) -> EngineError {
    EngineError::Damaged {
        action: "reading sums of a graph",
        detail: damage.0,
    }
}

/// Traces derived before writers get their turn.
const TRACES_AT_ONCE: usize = 256;
