//! The graph of what an insight touches.

use std::sync::Arc;

use storage::TraceStore;
use storage::control::memory::MemoryControl;
use storage::memory::MemoryStore;

use super::support::*;
use crate::{ImpactGraph, InsightError, Insights};

/// Returns an insight's graph as `client:web>web`, one word a call.
fn calls(graph: &ImpactGraph) -> Vec<String> {
    let label = |reference_id: u32| {
        let mut nodes = graph.nodes.iter();
        let node = nodes
            .find(|node| node.reference_id == reference_id)
            .unwrap();
        let is_client = node.service.service_type.as_deref() == Some("client");
        let before = if is_client { "client:" } else { "" };
        format!("{before}{}", node.service.name)
    };
    let nodes = graph.nodes.iter();
    let calls = nodes.flat_map(|node| {
        let edges = node.edges.iter();
        edges.map(move |to| format!("{}>{}", label(node.reference_id), label(*to)))
    });
    calls.collect()
}

/// Returns a store with an incident, an insight of it, and a service besides that has nothing to do with it.
fn setting() -> (MemoryStore, Insights, String) {
    let store = MemoryStore::default();
    put(&store, &incident());
    let secs = at(13, 5).as_secs();
    let other = document(&format!(
        r#"{{"trace_id":"1-{secs:08x}-ffffffffffffffffffffffff","id":"ffffffffffffffff","name":"other",
        "start_time":{secs}.1,"end_time":{secs}.9}}"#
    ));
    block_on(store.put(TENANT, vec![other], at(14, 0))).unwrap();
    let control = Arc::new(MemoryControl::default());
    let insights = Insights::open(control, TENANT, at(0, 0)).unwrap();
    let changes = block_on(insights.advance(&store, &[group(0)], at(40, 0))).unwrap();
    let id = changes[0].insight.id.clone();
    (store, insights, id)
}

#[test]
fn the_graph_leads_from_clients_to_anomalous_services() {
    let (store, insights, id) = setting();
    let graph = |from, to| {
        let window = (from, to);
        block_on(insights.impact_graph(&store, &id, window, at(40, 0))).unwrap()
    };
    let found = graph(at(12, 0), at(16, 0));
    // The queue is called by an anomalous service and is none.
    assert_eq!(calls(&found), ["web>db", "client:web>web"]);
    assert_eq!((found.start, found.end), (at(12, 0), at(16, 0)));
    let ids: Vec<u32> = found.nodes.iter().map(|node| node.reference_id).collect();
    assert_eq!(ids, [0, 1, 2]);
    let db = found.nodes.iter().find(|node| node.service.name == "db");
    assert_eq!(db.unwrap().names, ["db", "database"]);
    // Whole minutes, and nothing of a minute that only begins with the end.
    let found = graph(at(12, 30), at(12, 31));
    assert_eq!((found.start, found.end), (at(12, 0), at(13, 0)));
    assert_eq!(found.nodes.len(), 3);
    let found = graph(at(26, 0), at(27, 0));
    assert_eq!(found.nodes, []);
    let found = graph(at(12, 0), at(12, 0));
    assert_eq!((found.start, found.end), (at(12, 0), at(12, 0)));
    assert_eq!(found.nodes, []);
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let (store, insights, id) = setting();
    let check = |id: &str, from, to, now, expected: &str| {
        let found = block_on(insights.impact_graph(&store, id, (from, to), now));
        let text = match found {
            Ok(_) => String::new(),
            Err(InsightError::Store(error)) => panic!("{error}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(text, expected);
    };
    let now = at(400, 0);
    check(&id, at(0, 0), at(360, 0), now, "");
    let long = "invalid EndTime: it is more than six hours after StartTime";
    check(&id, at(0, 0), at(360, 1), now, long);
    let early = "invalid EndTime: it is before StartTime";
    check(&id, at(1, 0), at(0, 59), now, early);
    let old = "invalid StartTime: it is more than 30 days ago";
    check(&id, at(0, 0), at(1, 0), at(50_000, 0), old);
    let unknown = "12345678-1234-5234-8234-123456789abc";
    let text = format!("invalid InsightId: there is no insight {unknown:?}");
    check(unknown, at(0, 0), at(1, 0), now, &text);
}
