//! The sums of a sealed partition: made when it is sealed, stored by group and hour.
//!
//! An hour names each service once and has the sums of its minutes by the numbers of services, so that
//! reading six hours builds few texts.

use std::collections::BTreeMap;

use model::graph::Sign;
use model::{Cells, EdgeCell, EdgeKey, EdgeKind, Service, Statistics, Tenant};
use serde::{Deserialize, Serialize};

use super::contribution::{Contribution, Share};
use super::sums::Sums;
use super::{ALL_TRACES, GraphScan, minute_of};
use crate::engine::{EngineError, Tree};
use crate::index::Interned;
use crate::keys::{self, Grain};
use crate::partitions::Opened;
use crate::record::{Record, encode};

/// The sums of one group in one hour, as they are stored.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct StoredHour {
    /// The services, each at its number.
    services: Vec<Service>,
    /// By minute since 1970, ascending.
    minutes: Vec<(u32, StoredCells)>,
    /// By the partition that is corrected, then by minute.
    corrections: Vec<((u32, u32), StoredCells)>,
}

/// The sums of a minute, by the numbers of services.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct StoredCells {
    pub(super) nodes: Vec<(u32, Statistics)>,
    /// By caller, called service and kind.
    pub(super) edges: Vec<((u32, u32, EdgeKind), EdgeCell)>,
}

/// The sums of a partition that is being sealed. An hour may be written in several parts, so that no more
/// than some megabytes are in memory, whatever names and times documents have.
#[derive(Default)]
pub(crate) struct HourSums {
    hours: BTreeMap<(Tenant, u32, u32), HourSum>,
    /// How many requests and calls were added since something was written.
    n_added: usize,
    n_written: u32,
}

/// The sums of one group in one hour while they are made.
#[derive(Default)]
struct HourSum {
    interned: Interned,
    minutes: BTreeMap<u32, CellSum>,
    corrections: BTreeMap<(u32, u32), CellSum>,
}

#[derive(Default)]
struct CellSum {
    nodes: BTreeMap<u32, Statistics>,
    edges: BTreeMap<(u32, u32, EdgeKind), EdgeCell>,
}

impl StoredHour {
    /// Returns all sums by the services themselves: the partition they correct, if they do, their minute, and they.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (Option<u32>, u32, Cells)> + '_ {
        let minutes = self.minutes.iter();
        let minutes = minutes.map(|(minute, cells)| (None, *minute, cells));
        let corrections = self.corrections.iter();
        let corrections = corrections.map(|((of, minute), cells)| (Some(*of), *minute, cells));
        minutes
            .chain(corrections)
            .map(|(of, minute, cells)| (of, minute, cells.named(&self.services)))
    }

    /// Returns the hour with the sums of all its minutes in its first one.
    fn as_one(&self, hour: u32) -> Self {
        let minute = hour.saturating_mul(60);
        let mut whole = CellSum::default();
        for (_, cells) in &self.minutes {
            whole.add(cells);
        }
        let mut corrections: BTreeMap<u32, CellSum> = BTreeMap::new();
        for ((corrected, _), cells) in &self.corrections {
            corrections.entry(*corrected).or_default().add(cells);
        }
        let corrections = corrections.into_iter();
        Self {
            services: self.services.clone(),
            minutes: vec![(minute, whole.into())],
            corrections: corrections
                .map(|(corrected, cells)| ((corrected, minute), cells.into()))
                .collect(),
        }
    }

    /// Adds what counts to the sums of each bucket.
    pub(super) fn add_to(
        &self,
        scan: &GraphScan,
        is_there: &dyn Fn(u32) -> bool,
        sums: &mut BTreeMap<u32, Cells>,
    ) {
        let services = self.services.iter();
        let clients: Vec<bool> = services
            .map(|service| service.service_type.as_deref() == Some("client"))
            .collect();
        let is_client = |number: u32| {
            let place = usize::try_from(number).unwrap_or(usize::MAX);
            clients.get(place) == Some(&true)
        };
        let mut hour = Sums::new(scan);
        for (minute, cells) in &self.minutes {
            hour.add_cells(*minute, cells, &is_client);
        }
        for ((corrected, minute), cells) in &self.corrections {
            if is_there(*corrected) {
                hour.add_cells(*minute, cells, &is_client);
            }
        }
        hour.merge_into(sums, &self.services);
    }
}

impl HourSums {
    /// Adds what a trace adds, to all traces and to the groups it is in.
    pub(crate) fn add(&mut self, tenant: Tenant, contribution: &Contribution) {
        self.add_share(tenant, &contribution.now, None);
        if let Some((corrected, share)) = &contribution.before {
            self.add_share(tenant, share, Some(*corrected));
        }
    }

    /// Tells whether so much was added that it should be written.
    pub(crate) const fn is_large(&self) -> bool {
        self.n_added >= ADDED_MAX
    }

    /// Writes what was added since the last time.
    pub(crate) fn write(&mut self, opened: &Opened) -> Result<(), EngineError> {
        for ((tenant, group, hour), sum) in std::mem::take(&mut self.hours) {
            let stored = StoredHour::from(sum);
            let whole = stored.as_one(hour);
            for (grain, stored) in [(Grain::Minutes, stored), (Grain::Hour, whole)] {
                let key = keys::graph(tenant, group, grain, hour, self.n_written);
                opened.put(Tree::Graph, &key, Record::of_payload(&encode(&stored)))?;
            }
        }
        self.n_added = 0;
        self.n_written += 1;
        Ok(())
    }

    fn add_share(&mut self, tenant: Tenant, share: &Share, corrected: Option<u32>) {
        for group in share.groups.iter().copied().chain([ALL_TRACES]) {
            self.n_added += share.graph.requests.len() + share.graph.edges.len();
            let mut target = Target {
                sums: self,
                tenant,
                group,
                corrected,
            };
            target.add(share);
        }
    }
}

impl StoredCells {
    /// Returns the sums by the services themselves.
    fn named(&self, services: &[Service]) -> Cells {
        let service = |number: u32| services.get(usize::try_from(number).ok()?);
        let mut named = Cells::default();
        for (number, statistics) in &self.nodes {
            if let Some(service) = service(*number) {
                named.nodes.insert(service.clone(), statistics.clone());
            }
        }
        for ((from, to, kind), cell) in &self.edges {
            if let (Some(from), Some(to)) = (service(*from), service(*to)) {
                let key = EdgeKey {
                    from: from.clone(),
                    to: to.clone(),
                    kind: *kind,
                };
                named.edges.insert(key, cell.clone());
            }
        }
        named
    }
}

impl CellSum {
    fn add(&mut self, cells: &StoredCells) {
        for (service, statistics) in &cells.nodes {
            self.nodes.entry(*service).or_default().merge(statistics);
        }
        for (key, cell) in &cells.edges {
            self.edges.entry(*key).or_default().merge(cell);
        }
    }
}

impl From<HourSum> for StoredHour {
    fn from(sum: HourSum) -> Self {
        let minutes = sum.minutes.into_iter();
        let corrections = sum.corrections.into_iter();
        Self {
            services: sum.interned.into_services(),
            minutes: minutes.map(|(at, cells)| (at, cells.into())).collect(),
            corrections: corrections.map(|(at, cells)| (at, cells.into())).collect(),
        }
    }
}

impl From<CellSum> for StoredCells {
    fn from(sum: CellSum) -> Self {
        Self {
            nodes: sum.nodes.into_iter().collect(),
            edges: sum.edges.into_iter().collect(),
        }
    }
}

/// Where the share of a trace goes to.
struct Target<'a> {
    sums: &'a mut HourSums,
    tenant: Tenant,
    group: u32,
    /// The partition that is corrected; none if the share is added.
    corrected: Option<u32>,
}

impl Target<'_> {
    fn add(&mut self, share: &Share) {
        let service = |idx: u16| share.services.get(usize::from(idx));
        let graph = &share.graph;
        let sign = match self.corrected {
            Some(_) => Sign::Minus,
            None => Sign::Plus,
        };
        for request in &graph.requests {
            if let Some(service) = service(request.service) {
                let (interned, cells) = self.cells(minute_of(request.start));
                let number = interned.number(service);
                let statistics = cells.nodes.entry(number).or_default();
                statistics.add_request(request, sign);
            }
        }
        for edge in &graph.edges {
            let alias = edge
                .alias
                .and_then(|idx| graph.aliases.get(usize::from(idx)));
            if let (Some(from), Some(to)) = (service(edge.from), service(edge.to)) {
                let (interned, cells) = self.cells(minute_of(edge.start));
                let key = (interned.number(from), interned.number(to), edge.kind);
                cells.edges.entry(key).or_default().add(edge, alias, sign);
            }
        }
        for (link, source) in &share.links {
            let request = graph.requests.get(link.request);
            let to = request.and_then(|request| service(request.service));
            if let (Some(request), Some(to)) = (request, to) {
                let (interned, cells) = self.cells(minute_of(request.start));
                let from = interned.number(&source.service);
                let key = (from, interned.number(to), EdgeKind::Link);
                let cell = cells.edges.entry(key).or_default();
                cell.add_link(source, request, sign);
            }
        }
    }

    fn cells(&mut self, minute: u32) -> (&mut Interned, &mut CellSum) {
        let key = (self.tenant, self.group, minute / 60);
        let hour = self.sums.hours.entry(key).or_default();
        let cells = match self.corrected {
            Some(corrected) => hour.corrections.entry((corrected, minute)).or_default(),
            None => hour.minutes.entry(minute).or_default(),
        };
        (&mut hour.interned, cells)
    }
}

/// A cell of its own takes some hundred bytes: about a hundred megabytes if nothing can be summed up.
const ADDED_MAX: usize = 200_000;
