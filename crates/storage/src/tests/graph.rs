//! Sums for graphs are those of the plain store in memory, which adds every trace up anew each time,
//! whatever became of documents, partitions and processes.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use model::{Cells, Document, Summary, SummaryFlags, Tenant};
use proptest::prelude::*;

use super::partitions::seal;
use super::support::*;
use crate::memory::MemoryStore;
use crate::store::SledStore;
use crate::{ALL_TRACES, Classify, GraphParts, GraphScan, NewDocument, TraceStore, minute_of};

/// Group 1 has the traces that are partial, group 2 those of which a document says `"user":"u"`; both
/// only traces that arrived after some time.
struct Groups;

impl Classify for Groups {
    fn groups(
        &self,
        _tenant: Tenant,
        first_stamp: u64,
        summary: &Summary,
        documents: &mut dyn FnMut() -> Vec<Document>,
    ) -> Vec<u32> {
        let mut groups = Vec::new();
        if first_stamp < at(1_000).as_nanos() / 1_000 {
            return groups;
        }
        if summary.flags.contains(SummaryFlags::IS_PARTIAL) {
            groups.push(1);
        }
        if documents()
            .iter()
            .any(|document| document.text.contains("\"user\":\"u\""))
        {
            groups.push(2);
        }
        groups
    }
}

fn scan(group: u32, bucket_minutes: u32) -> GraphScan {
    GraphScan {
        group,
        from_minute: minute_of(at(0)),
        to_minute: minute_of(at(7_200)),
        bucket_minutes,
        parts: GraphParts::All,
    }
}

fn graph<S: TraceStore>(store: &S, scan: GraphScan) -> BTreeMap<u32, Cells> {
    block_on(store.graph(TENANT, scan)).unwrap()
}

/// What a document of the property is made from.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are drawn independently"
)]
struct Plan {
    trace: u64,
    id: u64,
    parent: Option<u64>,
    start: u64,
    name: u64,
    finished: bool,
    fault: bool,
    user: bool,
    alone: bool,
    /// Id of a call it makes, if it makes one.
    call: Option<u64>,
    /// Trace and id it is linked to.
    link: Option<(u64, u64)>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let ids = (
        0..6_u64,
        1..6_u64,
        prop::option::of(1..12_u64),
        0..4_000_u64,
        0..3_u64,
    );
    let states = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let others = (
        prop::option::of(6..12_u64),
        prop::option::weighted(0.2, (0..6_u64, 1..12_u64)),
    );
    (ids, states, others).prop_map(|(ids, states, others)| {
        let (trace, id, parent, start, name) = ids;
        let (finished, fault, user, alone) = states;
        Plan {
            trace,
            id,
            parent,
            start,
            name,
            finished,
            fault,
            user,
            alone,
            call: others.0,
            link: others.1,
        }
    })
}

fn document(plan: &Plan) -> NewDocument {
    let mut members = String::new();
    if plan.finished {
        let _ = write!(members, r#""end_time":{},"#, at(plan.start + 1 + plan.id));
    } else {
        members += r#""in_progress":true,"#;
    }
    if plan.fault {
        members += r#""fault":true,"#;
    }
    if plan.user {
        members += r#""user":"u","#;
    }
    match (plan.alone, plan.parent) {
        (true, parent) => {
            let parent = parent.unwrap_or(7);
            let _ = write!(
                members,
                r#""type":"subsegment","parent_id":"{parent:016x}","#
            );
        }
        (false, Some(parent)) => {
            let _ = write!(members, r#""parent_id":"{parent:016x}","#);
        }
        (false, None) => {}
    }
    if let Some(call) = plan.call {
        let (start, end) = (at(plan.start), at(plan.start + 1));
        let _ = write!(
            members,
            r#""subsegments":[{{"id":"{call:016x}","name":"c{call}","namespace":"remote","start_time":{start},"end_time":{end}}}],"#
        );
    }
    if let Some((trace, id)) = plan.link {
        let trace = trace_id(trace);
        let _ = write!(
            members,
            r#""links":[{{"trace_id":"{trace}","id":"{id:016x}"}}],"#
        );
    }
    let name = format!("s{}", plan.name);
    segment_named(
        plan.trace,
        plan.id,
        &name,
        plan.start,
        members.trim_end_matches(','),
    )
}

/// Returns the sums without what corrections cannot take away: when something that is gone began and ended.
fn without_spans(mut sums: BTreeMap<u32, Cells>) -> BTreeMap<u32, Cells> {
    for cells in sums.values_mut() {
        for statistics in cells.nodes.values_mut() {
            statistics.span = None;
        }
        for cell in cells.edges.values_mut() {
            cell.statistics.span = None;
            cell.aliases.clear();
        }
    }
    sums
}

fn assert_same(store: &SledStore, plain: &MemoryStore, is_exact: bool, (from, to): (u32, u32)) {
    let part = GraphScan {
        from_minute: minute_of(at(0)) + from.min(to),
        to_minute: minute_of(at(0)) + from.max(to),
        ..scan(ALL_TRACES, 7)
    };
    assert_eq!(
        without_spans(graph(store, part)),
        without_spans(graph(plain, part)),
        "minutes {from} to {to}"
    );
    for group in [ALL_TRACES, 1, 2, 3] {
        for bucket_minutes in [1, 5, 120] {
            let scan = scan(group, bucket_minutes);
            let (found, expected) = (graph(store, scan), graph(plain, scan));
            if is_exact {
                assert_eq!(found, expected, "group {group}");
            } else {
                assert_eq!(
                    without_spans(found),
                    without_spans(expected),
                    "group {group}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn sums_are_those_of_adding_every_trace_up_anew(
        plans in prop::collection::vec(plan(), 1..40),
        seals in prop::collection::vec(0..40_usize, 0..3),
        restarts in prop::collection::vec(0..40_usize, 0..3),
        asks in prop::collection::vec(0..40_usize, 0..5),
        part in (0..90_u32, 0..90_u32),
    ) {
        let data = tempfile::tempdir().unwrap();
        let plain = MemoryStore::default();
        plain.classify_by(Arc::new(Groups));
        let open = || {
            let store = open(data.path());
            store.classify_by(Arc::new(Groups));
            store
        };
        let mut store = open();
        let mut now = 0;
        let mut has_sealed = false;
        // A link is resolved once; what becomes of its source later is not followed.
        let has_links = plans.iter().any(|plan| plan.link.is_some());
        for (number, plan) in plans.iter().enumerate() {
            now += 50;
            if seals.contains(&number) && number > 0 {
                now += 7_200;
                seal(&store, now);
                has_sealed = true;
            }
            if restarts.contains(&number) {
                store.close().unwrap();
                drop(store);
                store = open();
            }
            let document = document(plan);
            let outcomes = (
                try_put(&store, vec![document.clone()], now).unwrap(),
                try_put(&plain, vec![document], now).unwrap(),
            );
            prop_assert_eq!(&outcomes.0, &outcomes.1);
            if asks.contains(&number) && !has_links {
                graph(&store, scan(ALL_TRACES, 5));
            }
        }
        if !(has_sealed && has_links) {
            assert_same(&store, &plain, !has_sealed, part);
        }
        store.close().unwrap();
        drop(store);
        let store = open();
        if !(has_sealed && has_links) {
            assert_same(&store, &plain, !has_sealed, part);
        }
    }
}
