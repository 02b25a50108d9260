//! Whatever the traffic: the same minutes give the same insights.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::Cells;
use proptest::prelude::*;
use storage::control::memory::MemoryControl;
use storage::memory::MemoryStore;
use storage::{ControlStore, TraceStore};

use super::support::*;
use crate::Insights;
use crate::insight::{Change, ChangeKind};

/// Calls of the property's services.
const CALLS: [(&str, &str); 7] = [
    ("", "a"),
    ("", "b"),
    ("a", "b"),
    ("a", "c"),
    ("b", "d"),
    ("c", "a"),
    ("x", "y"),
];

/// Minutes of traffic: twelve quiet ones, then some in which calls are made or not, with faults or without.
fn minutes() -> impl Strategy<Value = Vec<Cells>> {
    let call = prop_oneof![
        2 => Just((0_i64, 0_i64)),
        3 => Just((20, 0)),
        3 => Just((20, 12)),
        1 => Just((40, 40)),
    ];
    let calls = prop::collection::vec(call, CALLS.len());
    let minute = prop_oneof![1 => Just(Vec::new()), 4 => calls];
    prop::collection::vec((minute, 1..8_usize), 1..20).prop_map(|stretches| {
        let quiet = vec![(20, 0); CALLS.len()];
        let mut minutes = vec![of_calls(&quiet); 12];
        for (calls, n_minutes) in stretches {
            minutes.extend(vec![of_calls(&calls); n_minutes]);
        }
        minutes
    })
}

fn of_calls(counts: &[(i64, i64)]) -> Cells {
    let mut cells = Cells::default();
    for (ends, (total, faults)) in CALLS.iter().zip(counts) {
        if *total > 0 {
            add_call(&mut cells, *ends, (*total, *faults));
        }
    }
    cells
}

fn whole(minutes: &[Cells]) -> Run {
    let mut run = Run::new();
    for cells in minutes {
        run.minute(cells);
    }
    run
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_state_that_was_written_and_read_goes_on(minutes in minutes()) {
        let expected = whole(&minutes);
        let mut run = Run::new();
        for cells in &minutes {
            let text = serde_json::to_string(&run.state).unwrap();
            run.state = serde_json::from_str(&text).unwrap();
            run.minute(cells);
        }
        prop_assert_eq!(run.changes, expected.changes);
        prop_assert_eq!(run.state, expected.state);
    }

    #[test]
    fn idle_minutes_need_not_be_evaluated(minutes in minutes()) {
        let told = |run: Run| {
            let insights = run.changes.into_iter().map(|(_, change)| change);
            insights.collect::<Vec<Change>>()
        };
        let mut run = Run::new();
        for cells in &minutes {
            if cells.nodes.is_empty() {
                run.next += 1;
            } else {
                run.minute(cells);
            }
        }
        // What was closed by idle minutes in the end is closed by the next one.
        run.next += 10;
        run.minute(&Cells::default());
        let mut expected = whole(&minutes);
        expected.next += 10;
        expected.minute(&Cells::default());
        prop_assert_eq!(told(run), told(expected));
    }

    #[test]
    fn insights_are_sound(minutes in minutes()) {
        let run = whole(&minutes);
        let mut open = BTreeSet::new();
        let mut known = BTreeSet::new();
        for (_, Change { kind, insight }) in &run.changes {
            match kind {
                ChangeKind::Opened => {
                    prop_assert!(known.insert(insight.id.clone()), "an id twice");
                    open.insert(insight.id.clone());
                    prop_assert_eq!(insight.events.len(), 1);
                }
                ChangeKind::Updated => prop_assert!(open.contains(&insight.id)),
                ChangeKind::Closed => {
                    prop_assert!(open.remove(&insight.id));
                    let end = insight.end.unwrap();
                    prop_assert!(insight.start < end && end <= insight.updated);
                }
            }
            prop_assert!(insight.services.contains(&insight.root_cause));
            prop_assert!(insight.services.contains(&insight.top_anomalous[0]));
            prop_assert!(insight.root_cause_impact.faults >= 5);
            let times: Vec<_> = insight.events.iter().map(|event| event.time).collect();
            prop_assert!(times.is_sorted());
            let impacts = insight.events.iter().map(|event| event.clients.total);
            prop_assert!(impacts.is_sorted());
        }
        // No service is in two open insights.
        let members: Vec<_> = run.state.open.iter().flat_map(|one| one.members.keys()).collect();
        let distinct: BTreeSet<_> = members.iter().collect();
        prop_assert_eq!(distinct.len(), members.len());
    }
}

/// What a store is put, minute by minute: requests and faults.
fn traffic() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let minute = prop_oneof![
        1 => Just((0, 0)),
        3 => Just((8, 0)),
        1 => Just((8, 3)),
        4 => Just((8, 7)),
    ];
    prop::collection::vec(minute, 1..25)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn steps_and_restarts_make_no_difference(
        traffic in traffic(),
        steps in prop::collection::vec((1..12_u32, any::<bool>()), 1..12),
    ) {
        let store = MemoryStore::default();
        let quiet = std::iter::repeat_n((8, 0), 11);
        put(&store, &(0..).zip(quiet.chain(traffic)).collect());
        let watched = [group(0)];
        let advance = |insights: &Insights, minute| {
            block_on(insights.advance(&store, &watched, at(minute, 0))).unwrap()
        };
        let open = |control: &Arc<dyn ControlStore>, minute| {
            Insights::open(Arc::clone(control), TENANT, at(minute, 0)).unwrap()
        };
        let new_control = || -> Arc<dyn ControlStore> { Arc::new(MemoryControl::default()) };
        let expected = advance(&open(&new_control(), 0), 60);

        let control = new_control();
        let mut insights = open(&control, 0);
        let (mut minute, mut changes) = (0, Vec::new());
        for (n_minutes, restarts) in steps {
            minute = (minute + n_minutes).min(60);
            changes.extend(advance(&insights, minute));
            if restarts {
                insights = open(&control, minute);
            }
        }
        changes.extend(advance(&insights, 60));
        prop_assert_eq!(changes, expected);
        prop_assert!(store.newest_stamp() > 0);
    }
}
