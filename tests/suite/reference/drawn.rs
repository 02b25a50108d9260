//! Graphs and series as they should be answered, and answers in the same form.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::parts::*;
use super::*;

/// The calls between two services, and whether they came through links.
pub(super) type Edges<'f> = BTreeMap<(&'f Key, &'f Key, bool), Vec<(&'f Fact, &'f Call)>>;

/// Figures of a node, an edge or a period.
#[derive(Default)]
pub(super) struct Figures<'f> {
    facts: Vec<&'f Fact>,
}

impl Figures<'_> {
    fn completed(&self) -> impl Iterator<Item = &&Fact> {
        self.facts.iter().filter(|fact| !fact.in_progress)
    }

    fn count(&self, class: Class) -> usize {
        self.completed().filter(|fact| fact.class == class).count()
    }

    fn statistics(&self) -> Value {
        let (throttle, other) = (self.count(Class::Throttle), self.count(Class::Error));
        let (ok, fault) = (self.count(Class::Ok), self.count(Class::Fault));
        let total: u64 = self.completed().map(|fact| fact.end - fact.start).sum();
        json!({
            "OkCount": ok,
            "ErrorStatistics": { "ThrottleCount": throttle, "OtherCount": other, "TotalCount": throttle + other },
            "FaultStatistics": { "OtherCount": fault, "TotalCount": fault },
            "TotalCount": ok + throttle + other + fault,
            "TotalResponseTime": seconds(total),
        })
    }

    fn histogram(&self) -> Value {
        histogram(self.completed().map(|fact| fact.end - fact.start))
    }

    fn span(&self) -> Option<(u64, u64)> {
        let first = self.facts.iter().map(|fact| fact.start).min()?;
        Some((first, self.facts.iter().map(|fact| fact.end).max()?))
    }
}

/// Returns the graph of the facts that begin in a window of milliseconds: nodes by their names, edges by
/// the names of what they lead to, see [`plain_graph`].
pub(crate) fn graph(facts: &[Fact], from: u64, to: u64) -> Value {
    let facts: Vec<&Fact> = facts
        .iter()
        .filter(|fact| (from..to).contains(&fact.start))
        .collect();
    let mut sent: BTreeMap<&Key, Figures<'_>> = BTreeMap::new();
    let mut inferred: BTreeMap<&Key, Figures<'_>> = BTreeMap::new();
    let mut edges: Edges<'_> = BTreeMap::new();
    for fact in facts {
        match &fact.what {
            What::Served { by, is_inferred } => {
                let figures = if *is_inferred {
                    &mut inferred
                } else {
                    &mut sent
                };
                figures.entry(by).or_default().facts.push(fact);
            }
            What::Called(call) => {
                let between = (&call.from, &call.to, call.age.is_some());
                edges.entry(between).or_default().push((fact, call));
            }
        }
    }
    let ends = edges.keys().flat_map(|(from, to, _)| [*from, *to]);
    let keys: BTreeSet<&Key> = sent
        .keys()
        .chain(inferred.keys())
        .copied()
        .chain(ends)
        .collect();
    let none = Figures::default();
    let mut by_name = Map::new();
    for key in keys {
        let own = sent.get(key).or_else(|| inferred.get(key));
        let touching: Vec<&(&Fact, &Call)> = edges
            .iter()
            .filter(|((from, to, _), _)| *from == key || *to == key)
            .flat_map(|(_, calls)| calls)
            .collect();
        let around = Figures {
            facts: touching.iter().map(|(fact, _)| *fact).collect(),
        };
        let sends =
            sent.contains_key(key) || touching.iter().any(|(_, call)| call.sent.contains(key));
        let is_client = key.1.as_deref() == Some("client");
        let is_root = edges.keys().any(|(from, to, is_link)| {
            *to == key && !is_link && from.1.as_deref() == Some("client")
        });
        let mut shown = service_id(key);
        shown["State"] = json!(if sends { "active" } else { "unknown" });
        let own_span = own.and_then(Figures::span).or_else(|| around.span());
        (shown["StartTime"], shown["EndTime"]) = whole_seconds(own_span.unwrap());
        let mut calls = Map::new();
        for ((_, to, is_link), called) in edges.iter().filter(|((from, _, _), _)| *from == key) {
            calls.insert(edge_name(to, *is_link), edge(called));
        }
        shown["Edges"] = Value::Object(calls);
        if is_root {
            shown["Root"] = json!(true);
        }
        if !is_client {
            let own = own.unwrap_or(&none);
            shown["SummaryStatistics"] = own.statistics();
            shown["DurationHistogram"] = own.histogram();
            shown["ResponseTimeHistogram"] = own.histogram();
        }
        by_name.insert(node_name(key), shown);
    }
    plain(&Value::Object(by_name))
}

pub(super) fn edge(calls: &[(&Fact, &Call)]) -> Value {
    let figures = Figures {
        facts: calls.iter().map(|(fact, _)| *fact).collect(),
    };
    let (first, last) = whole_seconds(figures.span().unwrap());
    let aliases: BTreeSet<&Key> = calls
        .iter()
        .filter_map(|(_, call)| call.alias.as_ref())
        .collect();
    let ages: Vec<u64> = calls.iter().filter_map(|(_, call)| call.age).collect();
    let mut edge = json!({
        "StartTime": first, "EndTime": last,
        "SummaryStatistics": figures.statistics(),
        "ResponseTimeHistogram": figures.histogram(),
        "Aliases": sorted(&aliases.into_iter().map(service_id).collect()),
    });
    if !ages.is_empty() {
        edge["EdgeType"] = json!("link");
        edge["ReceivedEventAgeHistogram"] = histogram(ages.into_iter());
    }
    edge
}

/// Returns an answer's services in the form of [`graph`]: `ReferenceId`s give way to names, and what is null,
/// false or an empty list counts as left out.
pub(crate) fn plain_graph(services: &[Value]) -> Value {
    let mut names: BTreeMap<u64, String> = BTreeMap::new();
    for service in services {
        let optional = |member: &str| service[member].as_str().map(str::to_owned);
        let key = (
            text(&service["Name"]),
            optional("Type"),
            optional("AccountId"),
        );
        let before = names.insert(service["ReferenceId"].as_u64().unwrap(), node_name(&key));
        assert_eq!(before, None, "a number twice");
    }
    let mut nodes = Map::new();
    for service in services {
        let mut node = service.clone();
        let mut edges = Map::new();
        for edge in array(&service["Edges"]) {
            let mut edge = edge.clone();
            let to = edge.as_object_mut().unwrap().remove("ReferenceId").unwrap();
            let is_link = edge.get("EdgeType").is_some_and(|kind| kind == "link");
            let name = &names[&to.as_u64().unwrap()];
            let name = if is_link {
                format!("{name} by link")
            } else {
                name.clone()
            };
            edge["Aliases"] = sorted(&edge["Aliases"]);
            leave_out(&mut edge, &["ReceivedEventAgeHistogram"]);
            assert!(
                edges.insert(name, edge).is_none(),
                "an edge twice: {service}"
            );
        }
        node["Edges"] = Value::Object(edges);
        let number = node.as_object_mut().unwrap().remove("ReferenceId").unwrap();
        let is_client = node["Type"] == "client";
        leave_out(&mut node, &["Root", "AccountId", "Type"]);
        if is_client {
            leave_out(
                &mut node,
                &[
                    "SummaryStatistics",
                    "DurationHistogram",
                    "ResponseTimeHistogram",
                ],
            );
        }
        let before = nodes.insert(names[&number.as_u64().unwrap()].clone(), node);
        assert!(before.is_none(), "a service twice: {service}");
    }
    plain(&Value::Object(nodes))
}

/// Returns for each period that has an instant of a window: its start, the figures of what is meant, and
/// their histogram. Times and periods are in milliseconds.
pub(crate) fn series(
    facts: &[Fact],
    (from, to): (u64, u64),
    period: u64,
    is_meant: impl Fn(&What) -> bool,
) -> Vec<(f64, Value, Value)> {
    let begin = from / period * period;
    let meant = facts
        .iter()
        .filter(|fact| fact.start >= begin && is_meant(&fact.what));
    let meant: Vec<&Fact> = meant.collect();
    let mut series = Vec::new();
    let mut start = begin;
    while start < to {
        let facts = meant.iter().copied();
        let facts = facts
            .filter(|fact| (start..start + period).contains(&fact.start))
            .collect();
        let figures = Figures { facts };
        series.push((
            seconds(start),
            plain(&figures.statistics()),
            plain(&figures.histogram()),
        ));
        start += period;
    }
    series
}

/// One entry for each length of time: milliseconds below a second, three digits above.
pub(super) fn histogram(lengths: impl Iterator<Item = u64>) -> Value {
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for ms in lengths {
        let step = 10_u64.pow(
            ms.checked_ilog10()
                .map_or(0, |digits| digits.saturating_sub(2)),
        );
        *counts.entry((ms + step / 2) / step * step).or_default() += 1;
    }
    let entry = |(ms, count): (&u64, &u64)| json!({ "Value": seconds(*ms), "Count": count });
    counts.iter().map(entry).collect()
}

pub(super) fn node_name((name, kind, account): &Key) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "-".to_owned());
    format!("{name} {} {}", part(kind), part(account))
}

pub(super) fn edge_name(to: &Key, is_link: bool) -> String {
    format!("{}{}", node_name(to), if is_link { " by link" } else { "" })
}
