//! Summing up what the traces of a partition with an index add, without building keys of text.

use std::collections::{BTreeMap, HashMap};

use model::graph::Sign;
use model::{Cells, EdgeCell, EdgeKey, EdgeKind, Service, Statistics};

use super::contribution::{Kept, KeptShare};
use super::hours::StoredCells;
use super::{ALL_TRACES, GraphParts, GraphScan, minute_of};

/// Sums by bucket and by the numbers of services.
pub(super) struct Sums<'a> {
    scan: &'a GraphScan,
    nodes: HashMap<(u32, u32), Statistics>,
    edges: HashMap<(u32, u32, u32, EdgeKind), EdgeCell>,
}

impl<'a> Sums<'a> {
    pub(super) fn new(scan: &'a GraphScan) -> Self {
        Self {
            scan,
            nodes: HashMap::new(),
            edges: HashMap::new(),
        }
    }

    /// Adds what a trace adds; corrections count if the partition they correct is there.
    pub(super) fn add_trace(&mut self, kept: &Kept, is_there: &dyn Fn(u32) -> bool) {
        self.add(&kept.now, Sign::Plus);
        if let Some(before) = &kept.before
            && is_there(before.0)
        {
            self.add(&before.1, Sign::Minus);
        }
    }

    /// Adds the sums of a minute that counts; `is_client` tells of a service whether it is a client.
    pub(super) fn add_cells(
        &mut self,
        minute: u32,
        cells: &StoredCells,
        is_client: &dyn Fn(u32) -> bool,
    ) {
        let Some(bucket) = self.scan.bucket_of(minute) else {
            return;
        };
        let has_nodes = matches!(self.scan.parts, GraphParts::All | GraphParts::Nodes);
        for (service, statistics) in cells.nodes.iter().filter(|_| has_nodes) {
            let node = self.nodes.entry((bucket, *service)).or_default();
            node.merge(statistics);
        }
        let parts = self.scan.parts;
        let is_wanted = |from: u32| match parts {
            GraphParts::All | GraphParts::Calls => true,
            GraphParts::ClientCalls => is_client(from),
            GraphParts::Nodes => false,
        };
        for ((from, to, kind), cell) in &cells.edges {
            if !is_wanted(*from) {
                continue;
            }
            let edge = self.edges.entry((bucket, *from, *to, *kind)).or_default();
            edge.merge(cell);
        }
    }

    /// Adds the sums to others, by the services themselves.
    pub(super) fn merge_into(self, sums: &mut BTreeMap<u32, Cells>, services: &[Service]) {
        let service = |number: u32| services.get(usize::try_from(number).ok()?);
        for ((bucket, number), statistics) in self.nodes {
            if let Some(service) = service(number) {
                let cells = sums.entry(bucket).or_default();
                let node = cells.nodes.entry(service.clone()).or_default();
                node.merge(&statistics);
            }
        }
        for ((bucket, from, to, kind), cell) in self.edges {
            if let (Some(from), Some(to)) = (service(from), service(to)) {
                let key = EdgeKey {
                    from: from.clone(),
                    to: to.clone(),
                    kind,
                };
                let cells = sums.entry(bucket).or_default();
                cells.edges.entry(key).or_default().merge(&cell);
            }
        }
    }

    fn add(&mut self, share: &KeptShare, sign: Sign) {
        let group = self.scan.group;
        if group != ALL_TRACES && !share.groups.contains(&group) {
            return;
        }
        let number = |service: u16| share.services.get(usize::from(service)).copied();
        let graph = &share.graph;
        for request in &graph.requests {
            let bucket = self.scan.bucket_of(minute_of(request.start));
            if let (Some(bucket), Some(service)) = (bucket, number(request.service)) {
                let statistics = self.nodes.entry((bucket, service)).or_default();
                statistics.add_request(request, sign);
            }
        }
        for edge in &graph.edges {
            let bucket = self.scan.bucket_of(minute_of(edge.start));
            let ends = number(edge.from).zip(number(edge.to));
            if let (Some(bucket), Some((from, to))) = (bucket, ends) {
                let alias = edge
                    .alias
                    .and_then(|idx| graph.aliases.get(usize::from(idx)));
                let cell = self.edges.entry((bucket, from, to, edge.kind)).or_default();
                cell.add(edge, alias, sign);
            }
        }
        for (link, source, from) in &share.links {
            let Some(request) = graph.requests.get(link.request) else {
                continue;
            };
            let bucket = self.scan.bucket_of(minute_of(request.start));
            if let (Some(bucket), Some(to)) = (bucket, number(request.service)) {
                let key = (bucket, *from, to, EdgeKind::Link);
                let cell = self.edges.entry(key).or_default();
                cell.add_link(source, request, sign);
            }
        }
    }
}
