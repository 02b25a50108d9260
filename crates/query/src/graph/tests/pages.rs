//! Pages put together are the whole, and numbers stay what they are while more arrives.

use std::collections::{BTreeMap, BTreeSet};

use protocol::shapes::Service;
use serde_json::json;

use super::reference::by_name;
use super::*;

/// Returns a call of each of some services by the one before.
fn chain(trace: u64, services: std::ops::Range<u64>) -> Vec<String> {
    let document = |number: u64| {
        let (trace_id, call) = (traffic::trace_id(trace), number + 1);
        let parent = if number == services.start {
            String::new()
        } else {
            format!(r#""parent_id":"f{number:015x}","#)
        };
        format!(
            r#"{{"trace_id":"{trace_id}","id":"{number:016x}",{parent}"name":"service {number}","start_time":60,"end_time":61,
            "subsegments":[{{"id":"f{call:015x}","name":"service {call}","namespace":"remote","start_time":60,"end_time":61}}]}}"#
        )
    };
    services.clone().map(document).collect()
}

/// Returns the pages of a graph; `between` is called before each page but the first.
fn pages(
    store: &MemoryStore,
    n_services_max: usize,
    mut between: impl FnMut(),
) -> Vec<Vec<Service>> {
    let options = GraphOptions {
        n_services_max,
        ..options()
    };
    let mut request = request(60, 120);
    let mut pages = Vec::new();
    loop {
        let page = block_on(service_graph(store, TENANT, &request, ALL, &options)).unwrap();
        pages.push(page.services);
        request.next_token = page.next_token;
        if request.next_token.is_none() {
            return pages;
        }
        between();
    }
}

fn check_pages(store: &MemoryStore, n_services_max: usize, expected: &[usize]) {
    let pages = pages(store, n_services_max, || {});
    let lengths: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(lengths, expected);
    let whole = self::pages(store, 100_000, || {}).concat();
    assert_eq!(by_name(&json!(pages.concat())), by_name(&json!(whole)));
}

#[test]
fn pages_put_together_are_the_whole() {
    let store = MemoryStore::default();
    put(&store, &chain(1, 0..10));
    // A client and the last called service are nodes too.
    check_pages(&store, 12, &[12]);
    check_pages(&store, 11, &[11, 1]);
    check_pages(&store, 6, &[6, 6]);
    check_pages(&store, 5, &[5, 5, 2]);
    check_pages(&store, 1, &[1; 12]);
    check_pages(&MemoryStore::default(), 1, &[0]);
}

#[test]
fn a_graph_on_one_page_is_numbered_from_zero() {
    let store = MemoryStore::default();
    put(&store, &chain(1, 0..10));
    let graph = window(&store, 1, 2);
    let numbers: Vec<u32> = graph
        .services
        .iter()
        .map(|node| node.reference_id)
        .collect();
    assert_eq!(numbers, (0..12).collect::<Vec<_>>());
}

#[test]
fn numbers_stay_while_more_arrives() {
    let store = MemoryStore::default();
    put(&store, &chain(1, 100..120));
    let quiet: BTreeMap<Option<String>, Service> = pages(&store, 4, || {})
        .concat()
        .into_iter()
        .filter(|node| node.service_type.is_none())
        .map(|node| (node.name.clone(), node))
        .collect();
    let mut number = 0;
    let busy = pages(&store, 4, || {
        // Names before, between and after those that are there.
        put(&store, &chain(10 + number, number * 40..number * 40 + 1));
        number += 1;
    });
    let seen = busy.concat();
    for (name, node) in quiet {
        let same: Vec<&Service> = seen
            .iter()
            .filter(|seen| seen.name == name && seen.service_type.is_none())
            .collect();
        assert_eq!(same.len(), 1, "{name:?}");
        assert_eq!(same[0].reference_id, node.reference_id, "{name:?}");
        assert_eq!(same[0].edges, node.edges, "{name:?}");
    }
}

#[test]
fn a_graph_may_have_ten_thousand_nodes() {
    let store = MemoryStore::default();
    for trace in 0..25 {
        put(&store, &[wide(trace, 398)]);
    }
    let pages = pages(&store, 4_000, || {});
    let lengths: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(lengths, [4_000, 4_000, 2_000]);
    let nodes = pages.concat();
    let numbers: BTreeSet<u32> = nodes.iter().map(|node| node.reference_id).collect();
    assert_eq!(numbers.len(), 10_000);
    let mut edges = nodes.iter().flat_map(|node| &node.edges);
    assert!(edges.all(|edge| numbers.contains(&edge.reference_id)));
}

/// Returns a service that calls so many others, none of which another trace calls.
fn wide(trace: u64, n_called: u64) -> String {
    let call = |number: u64| {
        format!(
            r#"{{"id":"f{number:015x}","name":"{trace} calls {number}","namespace":"remote","start_time":60,"end_time":61}}"#
        )
    };
    let calls: Vec<String> = (0..n_called).map(call).collect();
    format!(
        r#"{{"trace_id":"{}","id":"0000000000000001","name":"wide {trace}","start_time":60,"end_time":61,"subsegments":[{}]}}"#,
        traffic::trace_id(trace),
        calls.join(",")
    )
}

#[test]
fn a_token_is_good_for_its_request_only() {
    let store = MemoryStore::default();
    put(&store, &chain(1, 0..3));
    let options = GraphOptions {
        n_services_max: 1,
        ..options()
    };
    let first = request(60, 120);
    let page = block_on(service_graph(&store, TENANT, &first, ALL, &options)).unwrap();
    let other_group = GroupScope { number: 1, ..ALL };
    for (from, to, group, is_ok) in [
        (60, 120, ALL, true),
        (61, 120, ALL, false),
        (60, 121, ALL, false),
        (60, 120, other_group, false),
    ] {
        let mut request = request(from, to);
        request.next_token.clone_from(&page.next_token);
        let answer = block_on(service_graph(&store, TENANT, &request, group, &options));
        assert_eq!(answer.is_ok(), is_ok, "{from} {to} {group:?}");
    }
    let of_trace = GetTraceGraphRequest {
        trace_ids: vec![traffic::trace_id(1)],
        next_token: page.next_token,
    };
    let refused = block_on(trace_graph(&store, TENANT, &of_trace, &options));
    assert!(matches!(refused, Err(QueryError::Invalid(_))));
    let of_trace = GetTraceGraphRequest {
        next_token: None,
        ..of_trace
    };
    let page = block_on(trace_graph(&store, TENANT, &of_trace, &options)).unwrap();
    let next = GetTraceGraphRequest {
        next_token: page.next_token,
        ..of_trace
    };
    let page = block_on(trace_graph(&store, TENANT, &next, &options)).unwrap();
    assert_eq!(page.services.len(), 1);
}
