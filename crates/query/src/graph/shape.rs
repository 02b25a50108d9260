//! From sums to the API's shape (spec: `Service`, `Edge`, `ServiceStatistics`, `HistogramEntry`).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use model::graph::Histogram;
use model::{Cells, EdgeCell, EdgeKind, Timestamp};
use protocol::shapes::{
    Alias, Edge, EdgeType, ErrorStatistics, FaultStatistics, HistogramEntry, Service, ServiceState,
    Statistics, WireSeconds, WireTime,
};

use super::nodes::{Identity, Node, nodes};
use super::numbers;

/// A page of a graph.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// By number, ascending.
    pub(crate) services: Vec<Service>,
    /// The last number on the page, if more follow.
    pub(crate) next: Option<u32>,
}

/// Returns the services numbered higher than `after`, as many as a page may have. Edges may lead to
/// services of other pages.
pub(crate) fn page(cells: &Cells, after: Option<u32>, n_services_max: usize) -> Page {
    let nodes = nodes(cells);
    let fits = after.is_none() && nodes.len() <= n_services_max;
    let numbers = if fits {
        numbers::in_order(nodes.len())
    } else {
        numbers::by_hash(nodes.keys().copied())
    };
    let number_of: HashMap<Identity<'_>, u32> = nodes.keys().copied().zip(numbers).collect();
    let number = |identity: &Identity<'_>| number_of.get(identity).copied().unwrap_or(0);
    let mut rest: BTreeMap<u32, (&Identity<'_>, &Node<'_>)> = nodes
        .iter()
        .map(|(identity, node)| (number(identity), (identity, node)))
        .filter(|(number, _)| after.is_none_or(|after| *number > after))
        .collect();
    let end = rest.keys().nth(n_services_max).copied();
    let following = end.map(|end| rest.split_off(&end)).unwrap_or_default();
    let next = rest.keys().last().copied();
    Page {
        services: rest
            .into_values()
            .map(|(identity, node)| service(*identity, node, &number))
            .collect(),
        next: next.filter(|_| !following.is_empty()),
    }
}

/// Returns figures in which each request counts once. What corrections took away too often counts
/// nothing.
pub(crate) fn statistics(sums: &model::Statistics) -> Statistics {
    let count = |sum: i64| u64::try_from(sum).unwrap_or(0);
    let (throttle_count, other_count) = (count(sums.n_throttled), count(sums.n_errors));
    let error_count = throttle_count + other_count;
    let (ok_count, fault_count) = (count(sums.n_ok), count(sums.n_faults));
    let total_count = ok_count + error_count + fault_count;
    let took = if total_count == 0 {
        Duration::ZERO
    } else {
        duration(sums.total_ns)
    };
    Statistics {
        ok_count,
        error_statistics: ErrorStatistics {
            throttle_count,
            other_count,
            total_count: error_count,
        },
        fault_statistics: FaultStatistics {
            other_count: fault_count,
            total_count: fault_count,
        },
        total_count,
        total_response_time: WireSeconds(took),
    }
}

/// Returns the entries that have a count, shortest time first.
pub(crate) fn histogram(histogram: &Histogram) -> Vec<HistogramEntry> {
    histogram
        .iter()
        .filter_map(|(ms, count)| {
            let count = u64::try_from(count).ok().filter(|count| *count > 0)?;
            let value = WireSeconds(Duration::from_millis(ms.into()));
            Some(HistogramEntry { value, count })
        })
        .collect()
}

fn service(
    identity: Identity<'_>,
    node: &Node<'_>,
    number: &impl Fn(&Identity<'_>) -> u32,
) -> Service {
    let is_only_client = node.is_only_client(identity.is_client());
    let own = node.statistics.cloned().unwrap_or_default();
    let (start_time, end_time) = whole_seconds(own.span.or(node.calls_span));
    let state = if node.is_sent && !is_only_client {
        ServiceState::Active
    } else {
        ServiceState::Unknown
    };
    let mut edges: Vec<Edge> = node
        .calls
        .iter()
        .map(|((to, kind), cell)| edge(number(to), *kind, cell))
        .collect();
    edges.sort_by_key(|edge| (edge.reference_id, edge.edge_type.is_some()));
    Service {
        reference_id: number(&identity),
        name: Some(identity.name.to_owned()),
        names: vec![identity.name.to_owned()],
        root: node.is_root,
        account_id: identity.account_id.map(str::to_owned),
        service_type: identity.service_type.map(str::to_owned),
        state,
        start_time,
        end_time,
        edges,
        summary_statistics: (!is_only_client).then(|| statistics(&own)),
        duration_histogram: histogram(&own.histogram),
        response_time_histogram: histogram(&own.histogram),
    }
}

fn edge(reference_id: u32, kind: EdgeKind, cell: &EdgeCell) -> Edge {
    let (start_time, end_time) = whole_seconds(cell.statistics.span);
    let alias = |(name, alias_type): &(String, String)| Alias {
        name: name.clone(),
        names: vec![name.clone()],
        alias_type: alias_type.clone(),
    };
    Edge {
        reference_id,
        start_time,
        end_time,
        summary_statistics: Some(statistics(&cell.statistics)),
        response_time_histogram: histogram(&cell.statistics.histogram),
        aliases: cell.aliases.iter().map(alias).collect(),
        edge_type: match kind {
            EdgeKind::Call => None,
            EdgeKind::Link => Some(EdgeType::Link),
        },
        received_event_age_histogram: histogram(&cell.ages),
    }
}

/// Returns the whole seconds around a stretch of time, at least one: clients divide by its length.
fn whole_seconds(span: Option<(Timestamp, Timestamp)>) -> (WireTime, WireTime) {
    let (start, end) = span.unwrap_or_default();
    let first = start.as_secs();
    let is_whole = Timestamp::from_secs(end.as_secs()) == end;
    let last = (end.as_secs() + u64::from(!is_whole)).max(first + 1);
    (
        WireTime(Timestamp::from_secs(first)),
        WireTime(Timestamp::from_secs(last)),
    )
}

fn duration(nanos: i128) -> Duration {
    let nanos = u128::try_from(nanos).unwrap_or(0);
    let secs = u64::try_from(nanos / NANOS_PER_SEC).unwrap_or(u64::MAX);
    let subsec = u32::try_from(nanos % NANOS_PER_SEC).unwrap_or(0);
    Duration::new(secs, subsec)
}

const NANOS_PER_SEC: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_taken_away_too_often_counts_nothing() {
        let mut sums = model::Statistics {
            n_seen: 4,
            n_ok: -2,
            n_throttled: 1,
            n_errors: -1,
            n_faults: 3,
            total_ns: 1_500_000_000,
            ..model::Statistics::default()
        };
        assert_eq!(
            json!(statistics(&sums)),
            json!({
                "OkCount": 0,
                "ErrorStatistics": {"ThrottleCount": 1, "OtherCount": 0, "TotalCount": 1},
                "FaultStatistics": {"OtherCount": 3, "TotalCount": 3},
                "TotalCount": 4,
                "TotalResponseTime": 1.5,
            })
        );
        sums.total_ns = -1;
        assert_eq!(statistics(&sums).total_response_time.to_string(), "0.0");
        (sums.n_throttled, sums.n_faults, sums.total_ns) = (0, 0, 7);
        assert_eq!(statistics(&sums).total_response_time.to_string(), "0.0");
        let mut counts = Histogram::default();
        counts.add(Duration::from_millis(7), 2);
        counts.add(Duration::from_millis(5), -1);
        counts.add(Duration::from_millis(1_234), 1);
        assert_eq!(
            json!(histogram(&counts)),
            json!([{"Value": 0.007, "Count": 2}, {"Value": 1.23, "Count": 1}])
        );
    }

    fn check_seconds(start_ms: u64, end_ms: u64, expected: (u64, u64)) {
        let instant = |ms: u64| Timestamp::from_nanos(ms * 1_000_000);
        let (start, end) = whole_seconds(Some((instant(start_ms), instant(end_ms))));
        assert_eq!((start.0.as_secs(), end.0.as_secs()), expected);
    }

    #[test]
    fn times_are_the_whole_seconds_around() {
        check_seconds(1_000, 3_000, (1, 3));
        check_seconds(1_999, 3_001, (1, 4));
        check_seconds(1_200, 1_300, (1, 2));
        check_seconds(1_000, 1_000, (1, 2));
    }
}
