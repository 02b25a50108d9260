//! From a partition that took writes to one that never changes again.
//!
//! 1. make everything in it durable (reopening it first if it was poisoned);
//! 2. write the summaries of its traces in blocks, newest first, each with its zone, and the sums for
//!    service graphs;
//! 3. close and open it once, which writes sled's snapshot: later opens then read no log;
//! 4. write the members file and list the partition as sealed in the manifest.
//!
//! Cut off anywhere, it starts over at the next open, removing what the attempt before derived.

use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};

use model::{Tenant, Timestamp, TraceGraph, ZoneFacts};

use crate::active::Active;
use crate::engine::{EngineError, Tree};
use crate::graph::{Contribution, HourSums};
use crate::index::Index;
use crate::keys;
use crate::manifest::{DERIVED, SealedFacts};
use crate::open::{OpenError, SEALED_CACHE_BYTES, quarantine};
use crate::partitions::{Handle, Opened};
use crate::record::{BlockEntry, Record, Zone, encode};
use crate::sealed::{Members, Sealed};
use crate::store::Shared;
use crate::{Position, Window, WindowBy};

/// What is derived of some traces of a tenant.
pub(crate) struct DerivedPart {
    pub(crate) tenant: Tenant,
    pub(crate) block: Vec<BlockEntry>,
    pub(crate) contributions: Vec<Contribution>,
}

/// What is done with each part of what is derived.
pub(crate) type VisitDerived<'a> =
    &'a mut dyn FnMut(DerivedPart, &mut SealedFacts) -> Result<(), EngineError>;

impl Shared {
    /// Seals a partition. What fails is tried again with the next chore; what is damaged is set aside.
    pub(crate) fn seal(&self, active: &Arc<Active>, now: Timestamp) {
        match self.try_seal(active, now) {
            Ok(()) => tracing::info!(partition = active.number, "sealed a partition"),
            Err(error) if error.is_damage() => {
                tracing::error!(partition = active.number, %error, "set a damaged partition aside");
                self.quarantine_partition(active.number, &active.handle);
            }
            Err(error) => {
                active.poison();
                tracing::warn!(partition = active.number, %error, "cannot seal a partition yet");
            }
        }
    }

    fn try_seal(&self, active: &Arc<Active>, now: Timestamp) -> Result<(), EngineError> {
        if active.is_poisoned() {
            active.recover(&self.dictionaries)?;
            self.restore_older(active)?;
        }
        active.sync()?;
        let mut facts = self.write_derived(active)?;
        active.sync()?;
        let members = {
            let index = active.index.read().unwrap_or_else(PoisonError::into_inner);
            Members::of(index.traces(), index.continued()).map_err(damaged)?
        };
        active.handle.set_cache(SEALED_CACHE_BYTES);
        active.handle.close();
        active.handle.with(Opened::sync)?;
        let members = members.write(active.handle.dir()).map_err(io_error)?;
        facts.at = now;
        facts.disk_bytes = crate::retention::disk_bytes(active.handle.dir());
        let sealed = Arc::new(Sealed {
            number: active.number,
            handle: Arc::clone(&active.handle),
            facts,
            doubtful: active.is_doubtful(),
            members,
        });
        self.list_as_sealed(&sealed).map_err(io_error)?;
        self.open.touch(&sealed);
        self.change_partitions(|partitions| {
            partitions
                .sealing
                .retain(|sealing| sealing.number != sealed.number);
            partitions.sealed.push(Arc::clone(&sealed));
            partitions.sealed.sort_by_key(|sealed| sealed.number);
        });
        Ok(())
    }

    /// Writes what is derived from a partition's documents: the blocks of all tenants, one after another,
    /// so that only one is in memory, and the sums for graphs. Returns what the manifest will say.
    fn write_derived(&self, active: &Active) -> Result<SealedFacts, EngineError> {
        let mut facts = {
            let index = active.index.read().unwrap_or_else(PoisonError::into_inner);
            facts_of(&index)
        };
        active.handle.with(|opened| {
            [Tree::Zones, Tree::Blocks, Tree::Graph]
                .into_iter()
                .try_for_each(|tree| clear(opened, tree))
        })?;
        let mut sums = HourSums::default();
        self.each_derived(active, &mut facts, &mut |part, facts| {
            for contribution in &part.contributions {
                sums.add(part.tenant, contribution);
            }
            active.handle.with(|opened| {
                write_blocks(opened, part.tenant, part.block, facts)?;
                if sums.is_large() {
                    sums.write(opened)?;
                }
                Ok(())
            })
        })?;
        active.handle.with(|opened| sums.write(opened))?;
        Ok(facts)
    }

    /// Derives everything from a partition's documents, some traces at a time, in the order of blocks. `facts` learn when
    /// requests and calls began.
    pub(crate) fn each_derived(
        &self,
        active: &Active,
        facts: &mut SealedFacts,
        visit: VisitDerived<'_>,
    ) -> Result<(), EngineError> {
        let places = {
            let index = active.index.read().unwrap_or_else(PoisonError::into_inner);
            places_of(&index)
        };
        for (tenant, places) in places {
            for places in places.chunks(TRACES_PER_BLOCK) {
                let mut part = DerivedPart {
                    tenant,
                    block: Vec::with_capacity(places.len()),
                    contributions: Vec::with_capacity(places.len()),
                };
                for place in places {
                    let parts = {
                        let index = active.index.read().unwrap_or_else(PoisonError::into_inner);
                        index.parts(tenant, place.trace_id)
                    };
                    let Some(parts) = parts else { continue };
                    let parts = parts.map_err(damaged)?;
                    part.block.push(BlockEntry {
                        first_stamp: parts.first_stamp,
                        summary: parts.now.summary.clone(),
                    });
                    let before = parts.before.as_ref().map(|(_, before)| &before.graph);
                    for graph in before.into_iter().chain([&parts.now.graph]) {
                        facts.extend_active(graph);
                    }
                    let number = active.number;
                    let contribution = self.contribution(number, tenant, place.trace_id, parts)?;
                    part.contributions.push(contribution);
                }
                visit(part, facts)?;
            }
        }
        Ok(())
    }

    /// Derives again what was derived in an older way, partition by partition, before anything is served.
    pub(crate) fn derive_again_all(&self, now: Timestamp) -> Result<(), OpenError> {
        for sealed in self.partitions().sealed.clone() {
            if sealed.facts.derived == DERIVED {
                continue;
            }
            match self.derive_again(&sealed) {
                Ok(()) => tracing::info!(
                    partition = sealed.number,
                    "derived a partition's sums again"
                ),
                Err(error) if error.is_damage() => {
                    tracing::error!(partition = sealed.number, %error, "set a damaged partition aside");
                    self.quarantine_partition(sealed.number, &sealed.handle);
                }
                Err(error) => {
                    let error = io::Error::other(error.to_string());
                    let data = &self.config.data;
                    return Err(OpenError::io("deriving sums again in", data, &error));
                }
            }
        }
        self.enforce_retention(now);
        Ok(())
    }

    fn derive_again(&self, sealed: &Arc<Sealed>) -> Result<(), EngineError> {
        let handle = Arc::clone(&sealed.handle);
        let created = Timestamp::ZERO;
        let active = Active::open(sealed.number, created, handle, &self.dictionaries)?;
        self.restore_older(&active)?;
        let derived = self.write_derived(&active)?;
        active.sync()?;
        active.handle.close();
        active.handle.with(Opened::sync)?;
        let facts = SealedFacts {
            at: sealed.facts.at,
            disk_bytes: crate::retention::disk_bytes(active.handle.dir()),
            ..derived
        };
        let again = Arc::new(Sealed {
            number: sealed.number,
            handle: Arc::clone(&sealed.handle),
            facts,
            doubtful: sealed.doubtful,
            members: Members::read(sealed.handle.dir(), &self.dictionaries)?,
        });
        self.list_as_sealed(&again).map_err(io_error)?;
        active.handle.close();
        self.change_partitions(|partitions| {
            for listed in &mut partitions.sealed {
                if listed.number == again.number {
                    *listed = Arc::clone(&again);
                }
            }
        });
        Ok(())
    }

    fn list_as_sealed(&self, sealed: &Sealed) -> io::Result<()> {
        let mut manifest = self.lock_manifest();
        let mut next = manifest.clone();
        for entry in &mut next.partitions {
            if entry.number == sealed.number {
                entry.doubtful = sealed.doubtful;
                entry.sealed = Some(sealed.facts.clone());
            }
        }
        self.write_manifest(&next)?;
        *manifest = next;
        Ok(())
    }

    /// Takes a damaged partition out of service and keeps its files.
    pub(crate) fn quarantine_partition(&self, number: u32, handle: &Handle) {
        let mut manifest = self.lock_manifest();
        let Some(entry) = manifest
            .partitions
            .iter()
            .find(|entry| entry.number == number)
            .cloned()
        else {
            return;
        };
        self.change_partitions(|partitions| {
            partitions.sealed.retain(|sealed| sealed.number != number);
            partitions
                .sealing
                .retain(|sealing| sealing.number != number);
        });
        self.open.forget(number);
        handle.retire();
        manifest.partitions.retain(|kept| kept.number != number);
        let listed = self.write_manifest(&manifest);
        let moved = quarantine(&self.config.data, &entry);
        if let Err(error) = listed.and(moved) {
            tracing::error!(partition = number, %error, "cannot set a damaged partition aside");
        }
        self.counters
            .n_quarantined
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Removes what an attempt that was cut off has left.
fn clear(opened: &Opened, tree: Tree) -> Result<(), EngineError> {
    let mut keys = Vec::new();
    opened.engine().scan(tree, &[], None, &mut |key, _| {
        keys.push(key.to_vec());
        ControlFlow::Continue(())
    })?;
    keys.iter()
        .try_for_each(|key| opened.engine().remove(tree, key))
}

/// Returns the places of every tenant's traces, newest first.
fn places_of(index: &Index) -> Vec<(Tenant, Vec<Position>)> {
    let window = Window {
        by: WindowBy::Start,
        from: Timestamp::ZERO,
        to: Timestamp::MAX,
    };
    let tenants = index.tenants().into_iter();
    tenants
        .map(|tenant| (tenant, index.positions(tenant, &window, None, u64::MAX)))
        .collect()
}

pub(crate) fn facts_of(index: &Index) -> SealedFacts {
    SealedFacts {
        n_documents: index.n_documents,
        document_bytes: index.document_bytes,
        starts: (Timestamp::MAX, Timestamp::ZERO),
        ends: (Timestamp::MAX, Timestamp::ZERO),
        active: (Timestamp::MAX, Timestamp::ZERO),
        derived: DERIVED,
        last_stamp: index.last_stamp(),
        ..SealedFacts::default()
    }
}

/// Writes the entries as one block; as several if they are large, so that no scan has to hold them all.
fn write_blocks(
    opened: &Opened,
    tenant: Tenant,
    entries: Vec<BlockEntry>,
    facts: &mut SealedFacts,
) -> Result<(), EngineError> {
    let mut block = Vec::with_capacity(entries.len());
    let mut n_bytes = 0;
    for entry in entries {
        n_bytes += entry.about_bytes();
        block.push(entry);
        if n_bytes >= BLOCK_BYTES_MAX {
            write_block(opened, tenant, &block, facts)?;
            block.clear();
            n_bytes = 0;
        }
    }
    write_block(opened, tenant, &block, facts)
}

fn write_block(
    opened: &Opened,
    tenant: Tenant,
    block: &[BlockEntry],
    facts: &mut SealedFacts,
) -> Result<(), EngineError> {
    let (Some(entry), Some(zone)) = (block.first(), zone_of(block)) else {
        return Ok(());
    };
    let first = Position {
        start: entry.summary.start,
        trace_id: entry.summary.trace_id,
    };
    facts.add_zone(&zone);
    let key = keys::block(tenant, first);
    opened.put(Tree::Blocks, &key, Record::of_payload(&encode(&block)))?;
    opened.put(Tree::Zones, &key, Record::of_payload(&encode(&zone)))
}

/// Returns the zone of a block; nothing for an empty one.
pub(crate) fn zone_of(block: &[BlockEntry]) -> Option<Zone> {
    let entry = block.first()?;
    let mut zone = Zone {
        n_traces: 0,
        start_min: entry.summary.start,
        start_max: entry.summary.start,
        end_min: entry.summary.end,
        end_max: entry.summary.end,
        facts: ZoneFacts::of(block.iter().map(|entry| &entry.summary)),
    };
    for BlockEntry { summary, .. } in block {
        zone.n_traces += 1;
        zone.start_min = zone.start_min.min(summary.start);
        zone.start_max = zone.start_max.max(summary.start);
        zone.end_min = zone.end_min.min(summary.end);
        zone.end_max = zone.end_max.max(summary.end);
    }
    Some(zone)
}

impl SealedFacts {
    /// Takes note of a block's traces.
    pub(crate) fn add_zone(&mut self, zone: &Zone) {
        self.n_traces += u64::from(zone.n_traces);
        self.starts = (
            self.starts.0.min(zone.start_min),
            self.starts.1.max(zone.start_max),
        );
        self.ends = (self.ends.0.min(zone.end_min), self.ends.1.max(zone.end_max));
    }

    /// Takes note of when a trace's requests and calls began.
    fn extend_active(&mut self, graph: &TraceGraph) {
        let requests = graph.requests.iter().map(|request| request.start);
        let calls = graph.edges.iter().map(|edge| edge.start);
        for start in requests.chain(calls) {
            self.active = (self.active.0.min(start), self.active.1.max(start));
        }
    }
}

fn damaged(damage: crate::record::Damage) -> EngineError {
    EngineError::Damaged {
        action: "sealing",
        detail: damage.0,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "an argument of map_err")]
fn io_error(error: io::Error) -> EngineError {
    EngineError::Io {
        action: "sealing",
        detail: error.to_string(),
    }
}

/// Summaries a block: compresses well and is decoded in a fraction of a millisecond.
const TRACES_PER_BLOCK: usize = 256;
/// A block of usual summaries has a tenth of this.
const BLOCK_BYTES_MAX: usize = 4 << 20;
