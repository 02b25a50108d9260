//! Who calls whom in a group, and what lies downstream of what.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::{Cells, EdgeKind, Service};
use serde::{Deserialize, Serialize};

use crate::pairs;

/// The calls between services that were seen lately, those of clients among them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Topology {
    /// Caller and called service, and the last minute that has a call.
    #[serde(with = "pairs")]
    calls: BTreeMap<(Service, Service), u32>,
}

/// Tells whether a service stands for the clients in front of another one.
pub(crate) fn is_client(service: &Service) -> bool {
    service.service_type.as_deref() == Some("client")
}

impl Topology {
    /// Adds the calls of a minute. Links are left out: a consumer's fault is none of its producer.
    pub(crate) fn learn(&mut self, minute: u32, cells: &Cells) {
        for (key, cell) in &cells.edges {
            if key.kind != EdgeKind::Call || cell.statistics.n_seen <= 0 {
                continue;
            }
            let pair = (key.from.clone(), key.to.clone());
            if self.calls.len() < CALLS_MAX || self.calls.contains_key(&pair) {
                self.calls.insert(pair, minute);
            }
        }
    }

    /// Forgets calls that were not seen for an hour.
    pub(crate) fn forget(&mut self, minute: u32) {
        self.calls
            .retain(|_, seen| minute.saturating_sub(*seen) < REMEMBERED);
    }

    /// Returns the services that lead to one of these by calls, and these themselves; clients too.
    pub(crate) fn upstream<'t>(
        &'t self,
        of: impl IntoIterator<Item = &'t Service>,
    ) -> BTreeSet<&'t Service> {
        let mut callers: BTreeMap<&Service, Vec<&Service>> = BTreeMap::new();
        for (from, to) in self.calls.keys() {
            callers.entry(to).or_default().push(from);
        }
        distances(of, &callers).into_keys().collect()
    }

    /// Returns what each of these services leads to by calls among these services.
    pub(crate) fn downstream_among<'t>(
        &'t self,
        among: &BTreeSet<&'t Service>,
    ) -> BTreeMap<&'t Service, BTreeSet<&'t Service>> {
        let called = self.called();
        let reached = |service: &'t Service| {
            let all = distances([service], &called);
            all.into_keys().filter(|to| among.contains(to)).collect()
        };
        among
            .iter()
            .map(|service| (*service, reached(service)))
            .collect()
    }

    /// Returns the one of these services that lies farthest downstream.
    ///
    /// 1. Those that lead to another one that does not lead back are left out.
    /// 2. The one most calls away from a client, or from a service nobody calls, is returned.
    /// 3. Of several the one with the most faults, of those the first by name.
    pub(crate) fn farthest<'t>(
        &'t self,
        among: &BTreeMap<&'t Service, u64>,
    ) -> Option<&'t Service> {
        let services: BTreeSet<&Service> = among.keys().copied().collect();
        let reached = self.downstream_among(&services);
        let leads_to =
            |from: &Service, to: &Service| reached.get(from).is_some_and(|all| all.contains(to));
        let is_last = |service: &&Service| {
            let mut others = services.iter();
            others.all(|other| !leads_to(service, other) || leads_to(other, service))
        };
        let called = self.called();
        let targets: BTreeSet<&Service> = self.calls.keys().map(|(_, to)| to).collect();
        let entries = called.keys().filter(|service| !targets.contains(*service));
        let depths = distances(entries.copied(), &called);
        let rank = |service: &&'t Service| {
            let depth = depths.get(service).copied().unwrap_or(0);
            let faults = among.get(service).copied().unwrap_or(0);
            (depth, faults, std::cmp::Reverse(*service))
        };
        services.iter().copied().filter(is_last).max_by_key(rank)
    }

    fn called(&self) -> BTreeMap<&Service, Vec<&Service>> {
        let mut called: BTreeMap<&Service, Vec<&Service>> = BTreeMap::new();
        for (from, to) in self.calls.keys() {
            called.entry(from).or_default().push(to);
        }
        called
    }
}

/// Returns how many steps each service is away from the nearest of some, themselves included.
fn distances<'t>(
    from: impl IntoIterator<Item = &'t Service>,
    steps: &BTreeMap<&'t Service, Vec<&'t Service>>,
) -> BTreeMap<&'t Service, u32> {
    let mut distances: BTreeMap<&Service, u32> =
        from.into_iter().map(|service| (service, 0)).collect();
    let mut waiting: VecDeque<(&Service, u32)> = distances
        .iter()
        .map(|(service, distance)| (*service, *distance))
        .collect();
    while let Some((service, distance)) = waiting.pop_front() {
        for next in steps.get(service).into_iter().flatten() {
            if !distances.contains_key(next) {
                distances.insert(next, distance + 1);
                waiting.push_back((next, distance + 1));
            }
        }
    }
    distances
}

/// Calls kept; a group with more loses sight of the rest.
const CALLS_MAX: usize = 5_000;
/// Minutes a call is remembered.
const REMEMBERED: u32 = 60;

#[cfg(test)]
mod tests {
    use model::{EdgeCell, EdgeKey};

    use super::*;

    fn service(name: &str) -> Service {
        Service {
            name: name.to_owned(),
            service_type: None,
            account_id: None,
            inferred: false,
        }
    }

    /// Makes a topology of calls written `a>b`.
    fn topology(written: &str) -> Topology {
        let mut cells = Cells::default();
        for call in written.split_whitespace() {
            let (from, to) = call.split_once('>').unwrap();
            let key = EdgeKey {
                from: service(from),
                to: service(to),
                kind: EdgeKind::Call,
            };
            let mut cell = EdgeCell::default();
            cell.statistics.n_seen = 1;
            cells.edges.insert(key, cell);
        }
        let mut topology = Topology::default();
        topology.learn(7, &cells);
        topology
    }

    fn check_farthest(calls: &str, among: &[(&str, u64)], expected: &str) {
        let topology = topology(calls);
        let among: Vec<(Service, u64)> = among
            .iter()
            .map(|(name, faults)| (service(name), *faults))
            .collect();
        let among = among.iter().map(|(service, faults)| (service, *faults));
        let among: BTreeMap<&Service, u64> = among.collect();
        let found = topology.farthest(&among);
        let found = found.map_or("", |service| service.name.as_str());
        assert_eq!(found, expected, "{calls} {among:?}");
    }

    #[test]
    fn the_root_cause_is_the_farthest_service() {
        check_farthest("", &[], "");
        check_farthest("", &[("a", 1)], "a");
        check_farthest("c>a a>b b>d", &[("a", 9), ("b", 5)], "b");
        // Through a service that is as expected.
        check_farthest("c>a a>b b>d", &[("a", 9), ("d", 5)], "d");
        // Depth goes before faults, faults before the name.
        check_farthest("c>a a>b a>x x>y", &[("b", 99), ("y", 5)], "y");
        check_farthest("c>a a>b a>x", &[("b", 5), ("x", 6)], "x");
        check_farthest("c>a a>b a>x", &[("b", 6), ("x", 6)], "b");
        // In a circle everything leads to everything; a is nearer to the client.
        check_farthest("c>a a>b b>a", &[("a", 9), ("b", 5)], "b");
        check_farthest("a>b b>a", &[("a", 9), ("b", 5)], "a");
        // A circle leads on to a leaf.
        check_farthest("c>a a>b b>a a>d", &[("a", 9), ("b", 9), ("d", 5)], "d");
        // A long way and a short way: the short one counts.
        check_farthest("c>a a>b b>x a>x a>y y>z", &[("x", 9), ("z", 5)], "z");
    }

    #[test]
    fn calls_are_forgotten_after_an_hour() {
        let check = |minute: u32, expected: &[&str]| {
            let mut topology = topology("c>a a>b x>y");
            topology.forget(minute);
            let leaf = service("b");
            let upstream = topology.upstream([&leaf]);
            let names: Vec<&str> = upstream.iter().map(|found| found.name.as_str()).collect();
            assert_eq!(names, expected, "{minute}");
        };
        check(7, &["a", "b", "c"]);
        check(66, &["a", "b", "c"]);
        check(67, &["b"]);
    }
}
