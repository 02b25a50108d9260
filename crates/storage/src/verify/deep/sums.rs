//! The sums of a partition's traces, added up again, and what is otherwise in those that are stored.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use model::graph::Sign;
use model::{Cells, Tenant, Timestamp};

use super::damaged;
use crate::dictionary::Dictionaries;
use crate::engine::{EngineError, Tree};
use crate::graph::{ALL_TRACES, Contribution, Share, StoredHour, minute_of};
use crate::keys::{self, Grain};
use crate::partitions::Opened;
use crate::record::decode;

/// The sums of traces, by tenant and group.
#[derive(Default)]
pub(super) struct TraceSums(BTreeMap<(Tenant, u32), MinuteCells>);

/// Sums by corrected partition and minute.
type MinuteCells = BTreeMap<(Option<u32>, u32), Cells>;

impl TraceSums {
    /// Adds what a trace adds, to all traces and to the groups it is in.
    pub(super) fn add(&mut self, tenant: Tenant, contribution: &Contribution) {
        self.add_share(tenant, None, &contribution.now);
        if let Some((corrected, before)) = &contribution.before {
            self.add_share(tenant, Some(*corrected), before);
        }
    }

    /// Returns what of a group's sums, by minute and by hour, is not stored as it is here.
    pub(super) fn differences(
        &self,
        opened: &Opened,
        dictionaries: &Dictionaries,
        (tenant, group): (Tenant, u32),
    ) -> Result<Vec<String>, EngineError> {
        let minutes = self.0.get(&(tenant, group));
        let minutes = minutes.cloned().unwrap_or_default();
        let mut hours = MinuteCells::new();
        for ((corrected, minute), cells) in &minutes {
            let hour = (*corrected, minute / 60 * 60);
            hours.entry(hour).or_default().merge(cells);
        }
        let whose = match group {
            ALL_TRACES => "all traces".to_owned(),
            group => format!("group {group}"),
        };
        let mut differences = Vec::new();
        for (grain, words, expected) in [
            (Grain::Minutes, "minute", minutes),
            (Grain::Hour, "hour", hours),
        ] {
            let prefix = keys::graph_prefix(tenant, group, grain);
            let n_wrong = n_wrong(expected, stored(opened, dictionaries, &prefix)?);
            if n_wrong > 0 {
                differences.push(format!(
                    "sums of {whose} of tenant {} by {words}: not those of the traces ({n_wrong})",
                    tenant.0
                ));
            }
        }
        Ok(differences)
    }

    fn add_share(&mut self, tenant: Tenant, corrected: Option<u32>, share: &Share) {
        for group in share.groups.iter().copied().chain([ALL_TRACES]) {
            let sums = self.0.entry((tenant, group)).or_default();
            add(sums, corrected, share);
        }
    }
}

/// Adds what a trace adds, or what is taken away of what an older partition says of it.
fn add(sums: &mut MinuteCells, corrected: Option<u32>, share: &Share) {
    let sign = if corrected.is_some() {
        Sign::Minus
    } else {
        Sign::Plus
    };
    let service = |idx: u16| share.services.get(usize::from(idx));
    let graph = &share.graph;
    let place = |start: Timestamp| (corrected, minute_of(start));
    for request in &graph.requests {
        if let Some(service) = service(request.service) {
            let cells = sums.entry(place(request.start)).or_default();
            cells.add_request(service, request, sign);
        }
    }
    for edge in &graph.edges {
        let alias = edge
            .alias
            .and_then(|idx| graph.aliases.get(usize::from(idx)));
        if let (Some(from), Some(to)) = (service(edge.from), service(edge.to)) {
            let cells = sums.entry(place(edge.start)).or_default();
            cells.add_edge(from, to, edge, alias, sign);
        }
    }
    for (link, source) in &share.links {
        let request = graph.requests.get(link.request);
        let to = request.and_then(|request| service(request.service));
        if let (Some(request), Some(to)) = (request, to) {
            let cells = sums.entry(place(request.start)).or_default();
            cells.add_link(source, to, request, sign);
        }
    }
}

/// Returns the stored sums under keys with a prefix, the parts of an hour put together.
fn stored(
    opened: &Opened,
    dictionaries: &Dictionaries,
    prefix: &[u8],
) -> Result<MinuteCells, EngineError> {
    let mut sums = MinuteCells::new();
    let mut damage = None;
    opened.scan_records(Tree::Graph, prefix, &[], dictionaries, &mut |_, read| {
        let hour = read.and_then(|(_, payload)| decode::<StoredHour>(&payload));
        match hour {
            Ok(hour) => {
                for (corrected, minute, cells) in hour.cells() {
                    sums.entry((corrected, minute)).or_default().merge(&cells);
                }
            }
            Err(found) => damage = Some(found),
        }
        ControlFlow::Continue(())
    })?;
    damage.map_or(Ok(sums), |found| Err(damaged(found)))
}

/// Returns how many sums are other ones, missing or too many.
fn n_wrong(mut expected: MinuteCells, mut stored: MinuteCells) -> usize {
    for sums in [&mut expected, &mut stored] {
        sums.values_mut().for_each(leave_out_what_depends_on_order);
        sums.retain(|_, cells| !cells.nodes.is_empty() || !cells.edges.is_empty());
    }
    let others = stored
        .iter()
        .filter(|(place, cells)| expected.get(place) != Some(cells));
    let missing = expected.keys().filter(|place| !stored.contains_key(place));
    others.count() + missing.count()
}

/// Of many aliases the first few are kept, and sums are made in several pieces.
fn leave_out_what_depends_on_order(cells: &mut Cells) {
    for cell in cells.edges.values_mut() {
        if cell.aliases.len() > ALIASES_COMPARED {
            cell.aliases.clear();
        }
    }
}

/// So many can not have been left out of.
const ALIASES_COMPARED: usize = 15;
