//! The nodes of a graph and their calls, from sums.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use model::{Cells, EdgeCell, EdgeKey, EdgeKind, Service, Statistics, Timestamp};

/// What makes a service one node, whether it is inferred or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Identity<'c> {
    pub(crate) name: &'c str,
    pub(crate) service_type: Option<&'c str>,
    pub(crate) account_id: Option<&'c str>,
}

/// A node.
#[derive(Debug, Default)]
pub(crate) struct Node<'c> {
    /// Its figures; none if it served nothing.
    pub(crate) statistics: Option<&'c Statistics>,
    /// Whether it sent segments; always on the node of clients that call it.
    pub(crate) is_sent: bool,
    /// Whether a client calls it.
    pub(crate) is_root: bool,
    /// What it calls.
    pub(crate) calls: BTreeMap<(Identity<'c>, EdgeKind), EdgeCell>,
    /// First start and last end of the calls it makes and answers.
    pub(crate) calls_span: Option<(Timestamp, Timestamp)>,
}

impl<'c> Identity<'c> {
    /// Returns what makes the service a node.
    pub(crate) fn of(service: &'c Service) -> Self {
        Self {
            name: &service.name,
            service_type: service.service_type.as_deref(),
            account_id: service.account_id.as_deref(),
        }
    }

    /// Tells whether clients go by this identity.
    pub(crate) fn is_client(&self) -> bool {
        self.service_type == Some(CLIENT)
    }
}

impl Node<'_> {
    /// Tells whether the node only stands for whoever calls, given its identity: a service may call
    /// its own type `client`.
    pub(crate) const fn is_only_client(&self, is_client: bool) -> bool {
        is_client && self.statistics.is_none()
    }

    fn met_call(&mut self, service: &Service, span: Option<(Timestamp, Timestamp)>) {
        self.is_sent |= !service.inferred;
        self.calls_span = match (self.calls_span, span) {
            (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
            (span, None) | (None, span) => span,
        };
    }
}

/// Returns all services with requests and both ends of every call.
pub(crate) fn nodes(cells: &Cells) -> BTreeMap<Identity<'_>, Node<'_>> {
    let mut nodes: BTreeMap<Identity<'_>, Node<'_>> = BTreeMap::new();
    for (service, statistics) in own_statistics(cells) {
        let node = nodes.entry(Identity::of(service)).or_default();
        node.statistics = Some(statistics);
        node.is_sent = !service.inferred;
    }
    for (key, cell) in &cells.edges {
        let (from, to) = (Identity::of(&key.from), Identity::of(&key.to));
        let span = cell.statistics.span;
        let caller = nodes.entry(from).or_default();
        caller.met_call(&key.from, span);
        caller.calls.entry((to, key.kind)).or_default().merge(cell);
        let target = nodes.entry(to).or_default();
        target.met_call(&key.to, span);
        target.is_root |= is_client_call(key);
    }
    nodes
}

/// Tells whether an edge stands for requests that came from outside.
pub(crate) fn is_client_call(key: &EdgeKey) -> bool {
    Identity::of(&key.from).is_client()
}

/// Returns the figures of each service once: those of its segments, if it sent any, else what was
/// inferred.
pub(crate) fn own_statistics(cells: &Cells) -> impl Iterator<Item = (&Service, &Statistics)> {
    let mut own: BTreeMap<Identity<'_>, (&Service, &Statistics)> = BTreeMap::new();
    for (service, statistics) in &cells.nodes {
        match own.entry(Identity::of(service)) {
            Entry::Vacant(place) => {
                place.insert((service, statistics));
            }
            Entry::Occupied(mut place) if place.get().0.inferred => {
                place.insert((service, statistics));
            }
            Entry::Occupied(_) => {}
        }
    }
    own.into_values()
}

/// Type of the services that stand for clients.
const CLIENT: &str = "client";
