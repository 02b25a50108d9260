//! Holds what is derived against the documents it was derived from.
//!
//! Of each sealed partition the index is made again from its documents, and from it blocks, zones, sums and facts, which
//! must be what is stored. Where older partitions are gone, what rests on their documents cannot be made again and is not
//! compared: traces that went on from them, and the sums of a partition that has such traces or links. Neither are the sums of
//! groups that were deleted, nor those of a group where it is not known any more which traces were put in it
//! ([`Recall::forgotten`]).

mod sums;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use model::{Tenant, Timestamp};

use super::{PartitionReport, Recall};
use crate::active::Active;
use crate::dictionary::Dictionaries;
use crate::engine::{Engine, EngineError, Tree};
use crate::graph::ALL_TRACES;
use crate::manifest::{DERIVED, Manifest, SealedFacts};
use crate::open::{PARTITIONS, SEALED_CACHE_BYTES};
use crate::partitions::Handle;
use crate::record::{BlockEntry, Damage, Zone, decode};
use crate::seal::{DerivedPart, facts_of, zone_of};
use crate::sealed::{Members, Sealed};
use crate::store::{Config, Durability, Partitions, Shared};
use crate::{Classify, Position};
use sums::TraceSums;

/// A store that is only looked at.
pub(super) struct Store {
    shared: Shared,
    /// Whether no partition was ever dropped or set aside.
    is_complete: bool,
    /// What tells the groups; nothing if there are none.
    recall: Option<Arc<dyn Recall>>,
}

impl Store {
    /// Opens the partitions of a store, whose lock is held.
    pub(super) fn open(
        data: &Path,
        lock: File,
        manifest: &Manifest,
        engine: &Arc<dyn Engine>,
        dictionaries: &Dictionaries,
        recall: Option<Arc<dyn Recall>>,
    ) -> Result<Self, EngineError> {
        let handle = |folder: &str| {
            let dir = data.join(PARTITIONS).join(folder);
            Arc::new(Handle::new(Arc::clone(engine), dir, SEALED_CACHE_BYTES))
        };
        let (mut sealed, mut unsealed) = (Vec::new(), Vec::new());
        for entry in &manifest.partitions {
            let handle = handle(&entry.folder);
            let Some(facts) = entry.sealed.clone() else {
                let active = Active::open(entry.number, entry.created, handle, dictionaries);
                unsealed.push(active?);
                continue;
            };
            sealed.push(Arc::new(Sealed {
                number: entry.number,
                members: Members::read(handle.dir(), dictionaries)?,
                handle,
                facts,
                doubtful: entry.doubtful,
            }));
        }
        // One that takes writes is always there in a store that is served; nobody asks this one for anything.
        let active = unsealed.pop();
        let active =
            active.unwrap_or_else(|| Active::new(u32::MAX, Timestamp::ZERO, handle("none")));
        let partitions = Partitions {
            sealed,
            sealing: unsealed,
            active,
        };
        let numbers = manifest.partitions.iter().map(|entry| entry.number);
        let is_complete = numbers.eq((1..).take(manifest.partitions.len()));
        let shared = Shared::new(
            config(data),
            lock,
            manifest.clone(),
            Arc::clone(engine),
            dictionaries.clone(),
            partitions,
        );
        if let Some(recall) = &recall {
            // Nobody else has asked for anything yet.
            let _ = shared.classify.set(Arc::clone(recall) as Arc<dyn Classify>);
        }
        Ok(Self {
            shared,
            is_complete,
            recall,
        })
    }

    /// Adds to the reports of sealed partitions what is not as the documents have it.
    pub(super) fn compare(&self, number: u32, report: &mut PartitionReport) {
        let partitions = self.shared.partitions();
        let mut sealed = partitions.sealed.iter();
        let found = sealed.find(|sealed| sealed.number == number);
        let Some(sealed) = found.filter(|sealed| sealed.facts.derived == DERIVED) else {
            return;
        };
        let mut comparison = Comparison {
            sealed,
            shared: &self.shared,
            is_complete: self.is_complete,
            recall: self.recall.as_deref(),
            rests_on_older: false,
            forgotten: BTreeSet::new(),
            stored: BTreeMap::new(),
            sums: TraceSums::default(),
            report,
        };
        if let Err(error) = comparison.run() {
            comparison.report.finding(error.to_string());
        }
        sealed.handle.close();
    }
}

/// Nothing is written, so only the place counts.
fn config(data: &Path) -> Config {
    Config {
        data: data.to_owned(),
        durability: Durability::Sync,
        retention: Duration::MAX,
        disk_bytes_max: u64::MAX,
        free_bytes_min: 0,
        partition_bytes: u64::MAX,
        partition_age: Duration::MAX,
        cache_bytes: SEALED_CACHE_BYTES,
        bytes_in_flight: 1,
        queue_wait: Duration::ZERO,
        trace_bytes_max: 0,
    }
}

/// One partition and what was made of its documents again so far.
struct Comparison<'a> {
    sealed: &'a Arc<Sealed>,
    shared: &'a Shared,
    is_complete: bool,
    recall: Option<&'a dyn Recall>,
    /// Something in it rests on documents of partitions that are gone.
    rests_on_older: bool,
    /// Groups that some trace may have been put in, or not.
    forgotten: BTreeSet<(Tenant, u32)>,
    stored: BTreeMap<Tenant, StoredEntries>,
    sums: TraceSums,
    report: &'a mut PartitionReport,
}

/// The stored entries of a tenant, read block by block.
#[derive(Default)]
struct StoredEntries {
    read: VecDeque<BlockEntry>,
    /// Where the next block begins.
    from: Vec<u8>,
}

impl Comparison<'_> {
    fn run(&mut self) -> Result<(), EngineError> {
        let handle = Arc::clone(&self.sealed.handle);
        let created = Timestamp::ZERO;
        let active = Active::open(
            self.sealed.number,
            created,
            handle,
            &self.shared.dictionaries,
        )?;
        self.shared.restore_older(&active)?;
        self.members(&active);
        let mut facts = {
            let index = active.index.read().unwrap_or_else(PoisonError::into_inner);
            facts_of(&index)
        };
        let shared = self.shared;
        shared.each_derived(&active, &mut facts, &mut |part, facts| {
            self.part(&part, facts)
        })?;
        let tenants: Vec<Tenant> = self.stored.keys().copied().collect();
        for tenant in tenants {
            while let Some(entry) = self.next_stored(tenant)? {
                self.left_over(tenant, &entry);
            }
        }
        self.facts(&facts);
        if !self.rests_on_older {
            self.compare_sums()?;
        }
        Ok(())
    }

    fn members(&mut self, active: &Active) {
        let index = active.index.read().unwrap_or_else(PoisonError::into_inner);
        for (tenant, trace_id) in index.traces() {
            if !self.sealed.may_hold(tenant, trace_id) {
                self.report
                    .finding(format!("members: trace {trace_id} is missing"));
            }
            // What goes on from partitions that are gone is known by that alone.
            let is_continued = index.continues(tenant, trace_id);
            if is_continued && !self.sealed.continues(tenant, trace_id) {
                self.report.finding(format!(
                    "members: trace {trace_id} goes on from older partitions"
                ));
            }
        }
    }

    /// Compares some traces with what is stored of them, and adds up what they add to sums.
    fn part(&mut self, part: &DerivedPart, facts: &mut SealedFacts) -> Result<(), EngineError> {
        if let Some(zone) = zone_of(&part.block) {
            facts.add_zone(&zone);
        }
        for expected in &part.block {
            self.summary(part.tenant, expected)?;
            if let Some(recall) = self.recall {
                let forgotten = recall.forgotten(part.tenant, expected.first_stamp);
                let forgotten = forgotten.into_iter().map(|group| (part.tenant, group));
                self.forgotten.extend(forgotten);
            }
        }
        for contribution in &part.contributions {
            self.rests_on_older |= !self.is_complete && !contribution.now.graph.links.is_empty();
            self.sums.add(part.tenant, contribution);
        }
        Ok(())
    }

    /// Compares a trace with what is stored of it. Both come in the same order.
    fn summary(&mut self, tenant: Tenant, expected: &BlockEntry) -> Result<(), EngineError> {
        let mut found = None;
        while let Some(entry) = self.next_stored(tenant)? {
            if place_of(&entry) <= place_of(expected) {
                found = Some(entry);
                break;
            }
            self.left_over(tenant, &entry);
        }
        if let Some(other) = found.take_if(|entry| place_of(entry) < place_of(expected)) {
            self.stored
                .entry(tenant)
                .or_default()
                .read
                .push_front(other);
        }
        let trace_id = expected.summary.trace_id;
        if !self.is_known(tenant, expected) {
            self.rests_on_older = true;
        } else if found.as_ref() != Some(expected) {
            let text = format!("blocks: the summary of trace {trace_id} is another, or missing");
            self.report.finding(text);
        }
        Ok(())
    }

    /// Takes note of a stored entry no trace has.
    fn left_over(&mut self, tenant: Tenant, entry: &BlockEntry) {
        if self.is_known(tenant, entry) {
            let trace_id = entry.summary.trace_id;
            let text = format!("blocks: a summary of trace {trace_id} is not of its documents");
            self.report.finding(text);
        }
    }

    /// Tells whether all documents of a trace up to this partition are there.
    fn is_known(&self, tenant: Tenant, entry: &BlockEntry) -> bool {
        self.is_complete || !self.sealed.continues(tenant, entry.summary.trace_id)
    }

    /// Returns the next stored entry of a tenant; of a block that is read its zone is compared, too.
    fn next_stored(&mut self, tenant: Tenant) -> Result<Option<BlockEntry>, EngineError> {
        let stored = self.stored.entry(tenant).or_default();
        if stored.read.is_empty() {
            let from = stored.from.clone();
            let Some((key, entries)) = self.block(tenant, &from)? else {
                return Ok(None);
            };
            let zone = self.shared.read_sealed(self.sealed, |opened| {
                let zone = opened.record(Tree::Zones, &key, &self.shared.dictionaries)?;
                let zone = zone.and_then(Result::ok);
                Ok(zone.and_then(|(_, payload)| decode::<Zone>(&payload).ok()))
            })?;
            if zone.flatten() != zone_of(&entries) {
                self.report.finding(format!(
                    "zones {}: not the zone of its block",
                    super::hex(&key)
                ));
            }
            let stored = self.stored.entry(tenant).or_default();
            stored.read = entries.into();
            stored.from = key;
            stored.from.push(0);
        }
        let stored = self.stored.entry(tenant).or_default();
        Ok(stored.read.pop_front())
    }

    fn block(&self, tenant: Tenant, from: &[u8]) -> Result<Option<Block>, EngineError> {
        let prefix = tenant.0.to_be_bytes();
        let mut found = None;
        self.shared.read_sealed(self.sealed, |opened| {
            opened.scan_records(
                Tree::Blocks,
                &prefix,
                from,
                &self.shared.dictionaries,
                &mut |key, read| {
                    let entries = read.and_then(|(_, payload)| decode(&payload));
                    found = Some(entries.map(|entries| (key.to_vec(), entries)));
                    ControlFlow::Break(())
                },
            )
        })?;
        found.transpose().map_err(damaged)
    }

    fn facts(&mut self, facts: &SealedFacts) {
        let listed = &self.sealed.facts;
        let mut check = |what: &str, is_same: bool| {
            if !is_same {
                let text = format!("the manifest's {what} is not what the documents have");
                self.report.finding(text);
            }
        };
        check("number of traces", listed.n_traces == facts.n_traces);
        check("last stamp", listed.last_stamp == facts.last_stamp);
        if !self.rests_on_older {
            check("earliest and latest start", listed.starts == facts.starts);
            check("earliest and latest end", listed.ends == facts.ends);
            check("time of requests and calls", listed.active == facts.active);
        }
    }

    /// Compares the sums of all traces and of groups that are known.
    fn compare_sums(&mut self) -> Result<(), EngineError> {
        for tenant in self.tenants() {
            let groups = self.recall.map(|recall| recall.known(tenant));
            let mut groups = groups.unwrap_or_default();
            groups.retain(|group| !self.forgotten.contains(&(tenant, *group)));
            for group in std::iter::once(ALL_TRACES).chain(groups) {
                let read = self.shared.read_sealed(self.sealed, |opened| {
                    self.sums
                        .differences(opened, &self.shared.dictionaries, (tenant, group))
                })?;
                for difference in read.unwrap_or_default() {
                    self.report.finding(difference);
                }
            }
        }
        Ok(())
    }

    fn tenants(&self) -> Vec<Tenant> {
        let n_tenants = self.shared.lock_manifest().tenants.len();
        (0..u32::try_from(n_tenants.max(1)).unwrap_or(u32::MAX))
            .map(Tenant)
            .collect()
    }
}

/// A stored block and its key.
type Block = (Vec<u8>, Vec<BlockEntry>);

/// Returns where an entry stands; the greatest comes first.
fn place_of(entry: &BlockEntry) -> Position {
    Position {
        start: entry.summary.start,
        trace_id: entry.summary.trace_id,
    }
}

fn damaged(damage: Damage) -> EngineError {
    EngineError::Damaged {
        action: "comparing what is derived",
        detail: damage.0,
    }
}
