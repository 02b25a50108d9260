//! The sums of a sealed partition: made when it is sealed, stored by group and hour.

use std::collections::BTreeMap;

use model::graph::Sign;
use model::{Cells, Tenant};
use serde::{Deserialize, Serialize};

use super::contribution::{Contribution, Share};
use super::{ALL_TRACES, GraphScan, minute_of};
use crate::engine::{EngineError, Tree};
use crate::keys;
use crate::partitions::Opened;
use crate::record::{Record, encode};

/// The sums of one group in one hour, as they are stored.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct StoredHour {
    /// By minute since 1970, ascending.
    minutes: BTreeMap<u32, Cells>,
    /// By the partition that is corrected, then by minute.
    corrections: BTreeMap<(u32, u32), Cells>,
}

/// The sums of a partition that is being sealed.
#[derive(Default)]
pub(crate) struct HourSums {
    hours: BTreeMap<(Tenant, u32, u32), StoredHour>,
}

impl StoredHour {
    /// Adds what counts to the sums of each bucket.
    pub(crate) fn add_to(
        &self,
        scan: &GraphScan,
        is_there: &dyn Fn(u32) -> bool,
        sums: &mut BTreeMap<u32, Cells>,
    ) {
        for (minute, cells) in &self.minutes {
            if let Some(bucket) = scan.bucket_of(*minute) {
                sums.entry(bucket).or_default().merge(cells);
            }
        }
        for ((corrected, minute), cells) in &self.corrections {
            if let Some(bucket) = scan.bucket_of(*minute)
                && is_there(*corrected)
            {
                sums.entry(bucket).or_default().merge(cells);
            }
        }
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

    /// Writes the sums.
    pub(crate) fn write(&self, opened: &Opened) -> Result<(), EngineError> {
        for ((tenant, group, hour), stored) in &self.hours {
            let key = keys::graph(*tenant, *group, *hour);
            opened.put(Tree::Graph, &key, Record::of_payload(&encode(stored)))?;
        }
        Ok(())
    }

    fn add_share(&mut self, tenant: Tenant, share: &Share, corrected: Option<u32>) {
        for group in share.groups.iter().copied().chain([ALL_TRACES]) {
            let mut into = Into {
                sums: self,
                tenant,
                group,
                corrected,
            };
            into.add(share);
        }
    }
}

/// Where the share of a trace goes to.
struct Into<'a> {
    sums: &'a mut HourSums,
    tenant: Tenant,
    group: u32,
    /// The partition that is corrected; none if the share is added.
    corrected: Option<u32>,
}

impl Into<'_> {
    fn add(&mut self, share: &Share) {
        let service = |idx: u16| share.services.get(usize::from(idx));
        let graph = &share.graph;
        let sign = match self.corrected {
            Some(_) => Sign::Minus,
            None => Sign::Plus,
        };
        for request in &graph.requests {
            if let Some(service) = service(request.service) {
                let cells = self.cells(minute_of(request.start));
                cells.add_request(service, request, sign);
            }
        }
        for edge in &graph.edges {
            let alias = edge
                .alias
                .and_then(|idx| graph.aliases.get(usize::from(idx)));
            if let (Some(from), Some(to)) = (service(edge.from), service(edge.to)) {
                let cells = self.cells(minute_of(edge.start));
                cells.add_edge(from, to, edge, alias, sign);
            }
        }
        for (link, source) in &share.links {
            let request = graph.requests.get(link.request);
            let to = request.and_then(|request| service(request.service));
            if let (Some(request), Some(to)) = (request, to) {
                let cells = self.cells(minute_of(request.start));
                cells.add_link(source, to, request, sign);
            }
        }
    }

    fn cells(&mut self, minute: u32) -> &mut Cells {
        let key = (self.tenant, self.group, minute / 60);
        let stored = self.sums.hours.entry(key).or_default();
        match self.corrected {
            Some(corrected) => stored.corrections.entry((corrected, minute)).or_default(),
            None => stored.minutes.entry(minute).or_default(),
        }
    }
}
