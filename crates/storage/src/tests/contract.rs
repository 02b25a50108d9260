//! What a `TraceStore` promises, whatever engine is behind it.

use proptest::prelude::*;
use proptest::sample::Index;

use super::support::*;
use crate::memory::MemoryStore;
use crate::{Outcome, Scan, TraceStore, Window, WindowBy};
use model::{Tenant, TraceId};

/// Runs a case of the contract on a fresh store of an engine.
macro_rules! on_every_engine {
    ($store:ident, $case:block) => {{
        let data = tempfile::tempdir().unwrap();
        let $store = &open(data.path());
        $case;
        $store.close().unwrap();
        let $store = &MemoryStore::default();
        $case;
    }};
}

#[test]
fn documents_come_back_byte_for_byte() {
    on_every_engine!(store, {
        let odd = segment_with(
            1,
            2,
            5,
            "\"end_time\" : 1.795000006e9 , \"metadata\":{\"n\":{\"k\":1.00}}",
        );
        let batch = vec![segment(1, 1, 5), odd.clone()];
        let mut sent = vec![batch[0].text.clone(), odd.text];
        sent.sort();
        assert_eq!(put(store, batch), [Outcome::Stored, Outcome::Stored]);
        assert_eq!(texts(store, 1), sent);
    });
}

#[test]
fn large_documents_come_back_and_are_replaced() {
    on_every_engine!(store, {
        for (round, n_bytes) in [60_000, 20_000, 40, 50_000].into_iter().enumerate() {
            let noise = noise(n_bytes, u64::try_from(round).unwrap());
            let members = format!(
                r#""end_time":{},"metadata":{{"n":{{"k":"{noise}"}}}}"#,
                at(9)
            );
            let document = segment_with(1, 1, 5, &members);
            assert_eq!(put(store, vec![document.clone()]), [Outcome::Stored]);
            assert_eq!(texts(store, 1), [document.text]);
        }
    });
}

#[test]
fn unknown_traces_are_empty() {
    on_every_engine!(store, {
        put(store, vec![segment(1, 1, 5)]);
        assert!(texts(store, 2).is_empty());
    });
}

#[test]
fn a_finished_document_replaces_one_in_progress_in_either_order() {
    on_every_engine!(store, {
        assert_eq!(put(store, vec![in_progress(1, 1, 5)]), [Outcome::Stored]);
        assert!(
            summaries(store, everything())[0]
                .flags
                .contains(model::SummaryFlags::IS_PARTIAL)
        );
        assert_eq!(put(store, vec![segment(1, 1, 5)]), [Outcome::Stored]);
        assert_eq!(
            put(store, vec![in_progress(1, 1, 5)]),
            [Outcome::Superseded]
        );
        assert_eq!(
            put(store, vec![segment(2, 1, 5), in_progress(2, 1, 5)]),
            [Outcome::Stored, Outcome::Superseded]
        );
        assert_eq!(texts(store, 1), [segment(1, 1, 5).text]);
        assert_eq!(texts(store, 2), [segment(2, 1, 5).text]);
    });
}

#[test]
fn repeats_change_nothing_and_changes_count() {
    on_every_engine!(store, {
        let revision = |store| summaries(store, everything())[0].revision;
        put(store, vec![segment(1, 1, 5), segment(1, 2, 5)]);
        assert_eq!(revision(store), 1);
        assert_eq!(put(store, vec![segment(1, 1, 5)]), [Outcome::Unchanged]);
        assert_eq!(revision(store), 1);
        put(store, vec![segment(1, 3, 6)]);
        assert_eq!(revision(store), 2);
        let corrected = segment_with(1, 3, 6, &format!(r#""end_time":{}"#, at(8)));
        assert_eq!(put(store, vec![corrected.clone()]), [Outcome::Stored]);
        assert_eq!(revision(store), 3);
        assert!(texts(store, 1).contains(&corrected.text));
    });
}

#[test]
fn what_is_not_stored_takes_no_stamp() {
    on_every_engine!(store, {
        put(store, vec![segment(1, 1, 5)]);
        let stamp = store.newest_stamp();
        let batch = vec![segment(1, 1, 5), in_progress(1, 1, 5)];
        let outcomes = try_put(store, batch, 200).unwrap();
        assert_eq!(outcomes, [Outcome::Unchanged, Outcome::Superseded]);
        assert_eq!(store.newest_stamp(), stamp);
        try_put(store, vec![segment(1, 2, 5)], 200).unwrap();
        assert!(store.newest_stamp() > stamp);
    });
}

#[test]
fn summaries_of_traces_are_those_of_lists() {
    on_every_engine!(store, {
        put(store, vec![segment(1, 1, 5), segment(2, 1, 6)]);
        put(store, vec![segment(1, 2, 9), in_progress(3, 1, 7)]);
        let listed = summaries(store, everything());
        let asked = [1, 4, 3, 2].map(trace_id).to_vec();
        let found = block_on(store.summaries_of(TENANT, asked)).unwrap();
        let ids: Vec<TraceId> = found.iter().map(|summary| summary.trace_id).collect();
        assert_eq!(ids, [1, 3, 2].map(trace_id));
        assert_eq!(found[0].revision, 2);
        for summary in &found {
            assert!(listed.contains(summary), "{summary:?}");
        }
        let others = block_on(store.summaries_of(Tenant(1), vec![trace_id(1)]));
        assert!(others.unwrap().is_empty());
    });
}

#[test]
fn tenants_do_not_see_each_other() {
    on_every_engine!(store, {
        let (ours, theirs) = (Tenant(0), Tenant(1));
        block_on(store.put(ours, vec![segment(1, 1, 5)], at(9))).unwrap();
        let other = segment_with(1, 1, 5, &format!(r#""end_time":{}"#, at(9)));
        block_on(store.put(theirs, vec![other.clone()], at(9))).unwrap();
        let read = |tenant| {
            block_on(store.documents(tenant, trace_id(1)))
                .unwrap()
                .documents
        };
        assert_eq!(read(ours)[0].text, segment(1, 1, 5).text);
        assert_eq!(read(theirs)[0].text, other.text);
        assert_eq!(
            block_on(store.summaries(theirs, everything()))
                .unwrap()
                .summaries
                .len(),
            1
        );
        assert!(
            block_on(store.summaries(Tenant(2), everything()))
                .unwrap()
                .summaries
                .is_empty()
        );
    });
}

#[test]
fn windows_are_half_open_and_know_three_times() {
    on_every_engine!(store, {
        // Starts at 10, 20, 30 and takes one second.
        put(
            store,
            vec![segment(1, 1, 10), segment(2, 1, 20), segment(3, 1, 30)],
        );
        let found = |by, from, to| {
            let window = Window {
                by,
                from: at(from),
                to: at(to),
            };
            let traces = summaries(
                store,
                Scan {
                    window,
                    ..everything()
                },
            );
            traces
                .into_iter()
                .map(|summary| summary.start.as_secs() - at(0).as_secs())
                .collect::<Vec<_>>()
        };
        assert_eq!(found(WindowBy::Start, 10, 30), [20, 10]);
        assert_eq!(found(WindowBy::Start, 11, 31), [30, 20]);
        assert_eq!(found(WindowBy::End, 11, 31), [20, 10]);
        assert_eq!(found(WindowBy::Activity, 21, 30), [20]);
        assert!(found(WindowBy::Activity, 22, 30).is_empty());
        assert!(found(WindowBy::Start, 10, 10).is_empty());
    });
}

#[test]
fn a_trace_that_arrives_between_pages_is_on_none_of_them() {
    on_every_engine!(store, {
        put(store, vec![segment(1, 1, 10), segment(2, 1, 20)]);
        let first = block_on(store.summaries(
            TENANT,
            Scan {
                n_kept_max: 1,
                ..everything()
            },
        ))
        .unwrap();
        assert_eq!(first.summaries[0].trace_id, trace_id(2));
        put(store, vec![segment(3, 1, 15), segment(4, 1, 5)]);
        let scan = Scan {
            after: first.next,
            as_of: Some(first.as_of),
            ..everything()
        };
        let rest = summaries(store, scan);
        assert_eq!(
            rest.iter()
                .map(|summary| summary.trace_id)
                .collect::<Vec<_>>(),
            [trace_id(1)]
        );
    });
}

#[test]
fn telemetry_is_taken() {
    on_every_engine!(store, {
        block_on(store.put_telemetry(TENANT, vec![b"one".to_vec(), vec![7; 50_000]], at(1)))
            .unwrap();
    });
}

#[test]
fn puts_from_many_tasks_are_all_there() {
    on_every_engine!(store, {
        block_on(async {
            let tasks: Vec<_> = (0..16_u64)
                .map(|task| {
                    let store = store.clone();
                    tokio::spawn(async move {
                        for round in 0..20 {
                            let trace = task * 100 + round;
                            let batch = vec![segment(trace, 1, 5), segment(trace, 2, 5)];
                            store.put(TENANT, batch, at(9)).await.unwrap();
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert_eq!(summaries(store, everything()).len(), 320);
        assert_eq!(texts(store, 1_519).len(), 2);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Pages of any size put together are the whole scan, newest first, each trace once.
    #[test]
    fn pages_put_together_are_the_whole(
        starts in prop::collection::vec(0..40_u64, 1..60),
        n_kept_max in 1..9_usize,
        n_scanned_max in 1..9_u64,
        dropped in any::<Index>(),
    ) {
        on_every_engine!(store, {
            let batch = (0..).zip(&starts).map(|(trace, start)| segment(trace, 1, *start)).collect();
            put(store, batch);
            let left_out = trace_id(u64::try_from(dropped.index(starts.len())).unwrap());
            let keep = move |summary: &model::Summary| summary.trace_id != left_out;
            let scan = Scan { filter: std::sync::Arc::new(keep), ..everything() };
            let whole: Vec<TraceId> = summaries(store, scan.clone()).iter().map(|s| s.trace_id).collect();
            assert_eq!(whole.len(), starts.len() - 1);
            let mut paged = Vec::new();
            let mut n_scanned = 0;
            let mut step = Scan { n_kept_max, n_scanned_max, ..scan };
            loop {
                let page = block_on(store.summaries(TENANT, step.clone())).unwrap();
                n_scanned += page.n_scanned;
                paged.extend(page.summaries.iter().map(|s| s.trace_id));
                let Some(next) = page.next else { break };
                step = Scan { after: Some(next), as_of: Some(page.as_of), ..step };
            }
            assert_eq!(paged, whole);
            assert_eq!(n_scanned, u64::try_from(starts.len()).unwrap());
        });
    }

    /// Whatever the order and the batches, the copy readers see is the one the rule names.
    #[test]
    fn the_winning_copy_does_not_depend_on_batches(
        copies in prop::collection::vec((1..4_u64, any::<bool>(), 0..4_u64), 1..20),
        cuts in prop::collection::vec(any::<bool>(), 20),
    ) {
        on_every_engine!(store, {
            let document = |(id, finished, variant): (u64, bool, u64)| {
                let state = if finished { format!(r#""end_time":{}"#, at(9)) } else { r#""in_progress":true"#.to_owned() };
                segment_with(1, id, 5, &format!(r#"{state},"user":"u{variant}""#))
            };
            let mut batch = Vec::new();
            for (copy, cut) in copies.iter().zip(&cuts) {
                batch.push(document(*copy));
                if *cut {
                    put(store, std::mem::take(&mut batch));
                }
            }
            put(store, batch);
            let mut expected = Vec::new();
            for id in 1..4 {
                let of_id = || copies.iter().filter(|(other, ..)| *other == id);
                let winner = of_id().rfind(|(_, finished, _)| *finished).or(of_id().next_back());
                expected.extend(winner.map(|copy| document(*copy).text));
            }
            expected.sort();
            assert_eq!(texts(store, 1), expected);
        });
    }
}
