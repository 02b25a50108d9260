//! What is there after a store was closed, or not closed, and opened again.

use std::ops::ControlFlow;

use model::Tenant;

use super::support::*;
use crate::OpenError;
use crate::engine::Tree;
use crate::partitions::Opened;
use crate::store::{Config, Durability, SledStore};
use crate::{Outcome, Scan, TraceStore, check};

#[test]
fn everything_is_there_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    put(
        &store,
        vec![segment(1, 1, 5), in_progress(2, 1, 6), segment(2, 2, 7)],
    );
    put(&store, vec![segment(2, 1, 6)]);
    let before = summaries(&store, everything());
    let key = store.token_key();
    store.close().unwrap();
    drop(store);
    let store = open(data.path());
    assert_eq!(summaries(&store, everything()), before);
    assert_eq!(texts(&store, 2).len(), 2);
    assert_eq!(store.token_key(), key);
    assert_eq!(
        put(&store, vec![segment(1, 1, 5), in_progress(2, 1, 6)]),
        [Outcome::Unchanged, Outcome::Superseded]
    );
}

#[test]
fn stamps_go_on_after_a_restart_although_the_clock_went_back() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    try_put(&store, vec![segment(1, 1, 5)], 1_000).unwrap();
    let stamp = store.newest_stamp();
    store.close().unwrap();
    drop(store);
    let store = open(data.path());
    assert_eq!(store.newest_stamp(), stamp);
    let changed = segment_with(1, 1, 5, &format!(r#""end_time":{},"user":"u""#, at(9)));
    assert_eq!(
        try_put(&store, vec![changed.clone()], 10).unwrap(),
        [Outcome::Stored]
    );
    assert_eq!(texts(&store, 1), [changed.text]);
}

/// What is done to a store.
type Act<'a> = &'a dyn Fn(&SledStore);

/// Whatever the last thing was that a stamp was given to, none is given twice although the clock went back: page tokens
/// and places in what is followed name stamps, and telemetry lies under its own.
#[test]
fn no_stamp_is_given_twice_after_a_restart() {
    let telemetry = |store: &SledStore, tenant: u32, now: u64| {
        let records = vec![b"{}".to_vec(), b"{}".to_vec()];
        block_on(store.put_telemetry(Tenant(tenant), records, at(now))).unwrap();
    };
    let document = |store: &SledStore| drop(try_put(store, vec![segment(1, 1, 5)], 100).unwrap());
    let repeat = |store: &SledStore| drop(try_put(store, vec![segment(1, 1, 5)], 900).unwrap());
    let of_first = |store: &SledStore| telemetry(store, 0, 500);
    let of_last = |store: &SledStore| telemetry(store, 1, 300);
    let sealing = |store: &SledStore| super::partitions::seal(store, 2 * 3_600);
    let acts: [&[Act<'_>]; 8] = [
        &[],
        &[&repeat],
        &[&of_first],
        // Keys are in the order of tenants, stamps in that of time.
        &[&of_last, &of_first],
        &[&of_first, &of_last],
        &[&sealing],
        &[&of_last, &of_first, &sealing],
        &[&sealing, &of_first],
    ];
    for (nth, acts) in acts.into_iter().enumerate() {
        let data = tempfile::tempdir().unwrap();
        let store = open(data.path());
        document(&store);
        for act in acts {
            act(&store);
        }
        let stamp = store.newest_stamp();
        store.close().unwrap();
        drop(store);
        let store = open(data.path());
        assert_eq!(store.newest_stamp(), stamp, "case {nth}");
        let n_records = n_telemetry(&store);
        telemetry(&store, 0, 200);
        assert!(store.newest_stamp() > stamp, "case {nth}");
        assert_eq!(n_telemetry(&store), n_records + 2, "case {nth}");
        store.close().unwrap();
    }
}

/// Returns how many telemetry records the partition that takes writes has.
fn n_telemetry(store: &SledStore) -> usize {
    let mut n_records = 0;
    let active = &store.shared.partitions().active;
    let count = &mut |_: &[u8], _: &[u8]| {
        n_records += 1;
        ControlFlow::Continue(())
    };
    let scan = |opened: &Opened| opened.engine().scan(Tree::Telemetry, &[], None, count);
    active.handle.with(scan).unwrap();
    n_records
}

#[test]
fn a_second_store_in_the_folder_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    let second = SledStore::open(config(data.path()), at(0));
    assert!(matches!(second, Err(OpenError::Locked { .. })));
    drop(store);
    open(data.path());
}

#[test]
fn tenants_keep_their_numbers() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    let first = store.tenant("000000000000", "us-east-1").unwrap();
    let second = store.tenant("111111111111", "us-east-1").unwrap();
    assert_ne!(first, second);
    drop(store);
    let store = open(data.path());
    assert_eq!(store.tenant("111111111111", "us-east-1").unwrap(), second);
    assert_eq!(store.tenant("000000000000", "us-east-1").unwrap(), first);
}

#[test]
fn a_trace_over_its_limit_takes_no_more_documents() {
    let data = tempfile::tempdir().unwrap();
    let config = Config {
        trace_bytes_max: 200,
        ..config(data.path())
    };
    let store = SledStore::open(config, at(0)).unwrap();
    assert_eq!(
        put(&store, vec![in_progress(1, 1, 5), segment(1, 2, 5)]),
        [Outcome::Stored; 2]
    );
    // The limit is passed now: what is known may still be finished, what is new is refused.
    assert_eq!(put(&store, vec![segment(1, 3, 5)]), [Outcome::TraceFull]);
    assert_eq!(
        put(&store, vec![segment(1, 1, 5), segment(2, 1, 5)]),
        [Outcome::Stored; 2]
    );
    assert_eq!(texts(&store, 1).len(), 2);
}

#[test]
fn a_closed_store_takes_nothing_and_says_so() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    assert!(store.stats().is_writable);
    store.close().unwrap();
    assert!(!store.stats().is_writable);
    assert!(matches!(
        try_put(&store, vec![segment(1, 1, 5)], 1),
        Err(crate::StoreError::Closed)
    ));
}

#[test]
fn interval_mode_keeps_what_a_close_flushes() {
    let data = tempfile::tempdir().unwrap();
    let interval = Durability::Interval(std::time::Duration::from_hours(1));
    let config = Config {
        durability: interval,
        ..config(data.path())
    };
    let store = SledStore::open(config, at(0)).unwrap();
    put(&store, vec![segment(1, 1, 5)]);
    store.close().unwrap();
    drop(store);
    assert_eq!(texts(&open(data.path()), 1).len(), 1);
}

#[test]
fn check_finds_every_document_and_nothing_wrong() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    put(
        &store,
        (0..50).map(|trace| segment(trace, 1, trace)).collect(),
    );
    store.close().unwrap();
    drop(store);
    let report = check(data.path(), &mut |_| {}).unwrap();
    assert!(!report.is_damaged(), "{report:?}");
    assert_eq!(report.partitions[0].n_documents, 50);
    let scan = Scan {
        n_kept_max: 10,
        ..everything()
    };
    assert_eq!(summaries(&open(data.path()), scan).len(), 10);
}
