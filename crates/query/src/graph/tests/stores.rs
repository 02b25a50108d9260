//! Graphs of generated traffic are those of a plain reading of its documents, whatever the store.

use std::path::Path;
use std::time::{Duration, Instant};

use model::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use storage::memory::MemoryStore;
use storage::{Config, Durability, SledStore};

use super::reference::{Reference, by_name, graph};
use super::traffic::{FIRST_MINUTE, N_MINUTES, Plan, trace_id, traffic};
use super::{of_traces, put, window};

/// A minute before everything to some after.
const EVERYTHING: (u64, u64) = (FIRST_MINUTE - 1, FIRST_MINUTE + N_MINUTES + 2);

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_window_is_what_its_documents_say(
        plans in traffic(30),
        from in 0..N_MINUTES,
        n_minutes in 0..N_MINUTES,
    ) {
        let (store, reference) = filled(&plans);
        let events = reference.events(&reference.trace_ids());
        let part = (FIRST_MINUTE + from, FIRST_MINUTE + from + n_minutes);
        for (from, to) in [EVERYTHING, part] {
            let found = by_name(&json!(window(&store, from, to))["Services"]);
            assert_equal(&found, &graph(&events, (from, to)));
        }
    }

    #[test]
    fn given_traces_are_what_their_documents_say(plans in traffic(30), asked in prop::collection::vec(0..5_u64, 1..5)) {
        let (store, reference) = filled(&plans);
        let trace_ids: Vec<String> = asked.into_iter().map(trace_id).collect();
        let found = by_name(&of_traces(&store, &trace_ids).unwrap());
        let events = reference.events(&trace_ids);
        assert_equal(&found, &graph(&events, (0, u64::MAX)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    /// What comes after a partition was sealed corrects what it says; only times stay as wide as they
    /// once were, and names by which callers once knew a service stay.
    #[test]
    fn a_store_on_disk_says_the_same(plans in traffic(30), sealed_after in 0..30_usize) {
        let plans: Vec<Plan> = plans.into_iter().map(Plan::unlinked).collect();
        let mut reference = Reference::default();
        let data = tempfile::tempdir().unwrap();
        let store = open(data.path());
        let (before, after) = plans.split_at(sealed_after.min(plans.len()));
        for part in [before, after] {
            let texts: Vec<String> = part.iter().map(Plan::text).collect();
            put(&store, &texts);
            reference.put_all(&texts);
            if !before.is_empty() && store.stats().n_partitions == 1 {
                seal(&store);
            }
        }
        let events = reference.events(&reference.trace_ids());
        let (from, to) = EVERYTHING;
        let expected = without_what_only_grows(graph(&events, (from, to)));
        let found = by_name(&json!(window(&store, from, to))["Services"]);
        assert_equal(&without_what_only_grows(found), &expected);
        let found = by_name(&of_traces(&store, &reference.trace_ids()).unwrap());
        assert_equal(&found, &graph(&events, (from, to)));
        store.close().unwrap();
    }
}

fn filled(plans: &[Plan]) -> (MemoryStore, Reference) {
    let (store, mut reference) = (MemoryStore::default(), Reference::default());
    let texts: Vec<String> = plans.iter().map(Plan::text).collect();
    put(&store, &texts);
    reference.put_all(&texts);
    (store, reference)
}

fn open(data: &Path) -> SledStore {
    let config = Config {
        data: data.to_owned(),
        durability: Durability::Interval(Duration::from_mins(1)),
        retention: Duration::from_hours(7 * 24),
        disk_bytes_max: 1 << 40,
        free_bytes_min: 0,
        partition_bytes: 1 << 30,
        partition_age: Duration::from_hours(1),
        cache_bytes: 8 << 20,
        bytes_in_flight: 16 << 20,
        queue_wait: Duration::from_secs(30),
        trace_bytes_max: 0,
    };
    SledStore::open(config, Timestamp::from_secs(1_795_000_000)).unwrap()
}

/// Lets time pass until what is there is sealed.
fn seal(store: &SledStore) {
    let deadline = Instant::now() + Duration::from_mins(1);
    store.maintain(Timestamp::from_secs(1_795_007_200));
    while store.stats().n_indexed_traces > 0 {
        assert!(Instant::now() < deadline, "the partition is sealed");
        std::thread::yield_now();
    }
}

/// Compares node by node, so that a failure is readable.
fn assert_equal(found: &Value, expected: &Value) {
    let names = |graph: &Value| {
        graph
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(names(found), names(expected));
    for name in names(found) {
        assert_eq!(found[&name], expected[&name], "{name}");
    }
}

/// Takes out what corrections do not take away.
fn without_what_only_grows(mut graph: Value) -> Value {
    for node in graph.as_object_mut().unwrap().values_mut() {
        node["StartTime"].take();
        node["EndTime"].take();
        for edge in node["Edges"].as_object_mut().unwrap().values_mut() {
            edge["StartTime"].take();
            edge["EndTime"].take();
            edge["Aliases"].take();
        }
    }
    graph
}
