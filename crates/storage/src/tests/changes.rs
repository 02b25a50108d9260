//! Following what changes: in order, nothing twice, nothing of others, and what is missed is told.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::Duration;

use model::{Tenant, TraceId};

use super::faults::Faulty;
use super::partitions::seal;
use super::support::*;
use crate::changes::RING_CHANGES;
use crate::store::SledStore;
use crate::{Change, Follower, Gap, StoreError, Taken, TraceStore};

fn follow(store: &SledStore, after: Option<u64>) -> Follower {
    block_on(store.follow(TENANT, after)).unwrap()
}

fn is_ready(future: impl Future<Output = ()>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    pin!(future).poll(&mut context).is_ready()
}

/// Returns what is there to take now, all of it.
fn drain(follower: &mut Follower) -> Vec<Taken> {
    let mut taken = Vec::new();
    while is_ready(follower.changed()) {
        taken.push(follower.take(1000));
    }
    taken
}

/// Returns the traces that changed, of a follower that missed nothing.
fn traces(follower: &mut Follower) -> Vec<TraceId> {
    let taken = drain(follower);
    assert!(taken.iter().all(|taken| taken.gap.is_none()), "{taken:?}");
    let changes = taken.into_iter().flat_map(|taken| taken.changes);
    changes.map(|change| change.trace_id).collect()
}

fn ids(numbers: impl IntoIterator<Item = u64>) -> Vec<TraceId> {
    numbers.into_iter().map(trace_id).collect()
}

#[test]
fn changes_are_told_in_order_and_each_once() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    put(&store, vec![segment(9, 1, 5)]);
    let mut follower = follow(&store, None);
    assert!(drain(&mut follower).is_empty());
    put(
        &store,
        vec![segment(2, 1, 5), segment(2, 2, 5), segment(1, 1, 5)],
    );
    assert_eq!(traces(&mut follower), ids([2, 1]));
    // What changes nothing is no change, telemetry neither.
    put(&store, vec![segment(2, 1, 5)]);
    block_on(store.put_telemetry(TENANT, vec![b"{}".to_vec()], at(100))).unwrap();
    assert!(drain(&mut follower).is_empty());
    // A trace that changed again meanwhile is told where it changed last.
    put(&store, vec![segment(3, 1, 5)]);
    put(&store, vec![segment(4, 1, 5)]);
    put(&store, vec![segment(3, 2, 5)]);
    let taken = drain(&mut follower);
    let [Taken { gap: None, changes }] = taken.as_slice() else {
        panic!("{taken:?}");
    };
    assert_eq!(
        [changes[0].trace_id, changes[1].trace_id],
        [trace_id(4), trace_id(3)]
    );
    assert!(changes[0].stamp < changes[1].stamp);
    assert_eq!(follower.position(), store.newest_stamp());
    store.close().unwrap();
}

#[test]
fn accounts_are_followed_apart() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    let mut ours = follow(&store, None);
    let mut theirs = block_on(store.follow(Tenant(1), None)).unwrap();
    block_on(store.put(Tenant(1), vec![segment(1, 1, 5)], at(9))).unwrap();
    assert!(drain(&mut ours).is_empty());
    assert_eq!(traces(&mut theirs), ids([1]));
    let mut late = block_on(store.follow(Tenant(1), Some(0))).unwrap();
    assert_eq!(traces(&mut late), ids([1]));
    assert!(drain(&mut follow(&store, Some(0))).is_empty());
    store.close().unwrap();
}

#[test]
fn a_follower_goes_on_after_a_stamp_also_of_an_opened_store() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    let mut stamps = vec![0];
    for number in 1..=4 {
        put(&store, vec![segment(number, 1, 5)]);
        stamps.push(store.newest_stamp());
    }
    // The first change again, so that its trace comes last.
    put(&store, vec![segment(1, 2, 5)]);
    let check = |store: &SledStore| {
        assert_eq!(traces(&mut follow(store, Some(0))), ids([2, 3, 4, 1]));
        assert_eq!(traces(&mut follow(store, Some(stamps[3]))), ids([4, 1]));
        let newest = store.newest_stamp();
        for after in [newest, newest + 1_000_000] {
            assert!(drain(&mut follow(store, Some(after))).is_empty());
        }
    };
    check(&store);
    // The ring a follower made has the rest.
    let first = follow(&store, None);
    put(&store, vec![segment(5, 1, 5)]);
    drop(first);
    assert_eq!(traces(&mut follow(&store, Some(stamps[4]))), ids([1, 5]));
    store.close().unwrap();
    drop(store);
    let store = open(data.path());
    assert_eq!(
        traces(&mut follow(&store, Some(stamps[2]))),
        ids([3, 4, 1, 5])
    );
    store.close().unwrap();
}

#[test]
fn what_lies_in_sealed_partitions_is_told_as_missed() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    put(&store, vec![segment(1, 1, 5), segment(2, 1, 5)]);
    let sealed_until = store.newest_stamp();
    seal(&store, 2 * 3600);
    put(&store, vec![segment(3, 1, 5)]);
    let mut follower = follow(&store, Some(7));
    let taken = drain(&mut follower);
    let gap = Gap {
        after: 7,
        until: sealed_until,
        n_changes: None,
    };
    assert_eq!(taken[0].gap, Some(gap));
    assert_eq!(taken[1].changes[0].trace_id, trace_id(3));
    assert_eq!(traces(&mut follow(&store, Some(sealed_until))), ids([3]));
    store.close().unwrap();
}

#[test]
fn a_ring_outlives_sealing_and_its_follower_for_a_while() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    drop(follow(&store, None));
    put(&store, vec![segment(1, 1, 5)]);
    seal(&store, 2 * 3600);
    let mut back = follow(&store, Some(store.newest_stamp() - 1));
    assert_eq!(traces(&mut back), ids([1]));
    drop(back);
    // Noticed to be idle, and let go a minute later.
    store.maintain(at(2 * 3600));
    store.maintain(at(2 * 3600 + 61));
    let taken = drain(&mut follow(&store, Some(store.newest_stamp() - 1)));
    assert!(taken[0].gap.is_some(), "{taken:?}");
    store.close().unwrap();
}

#[test]
fn who_is_too_slow_is_told_how_much_was_missed() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    let mut follower = follow(&store, None);
    let n_more = 100;
    let n_puts = u64::try_from(RING_CHANGES).unwrap() + n_more;
    put(
        &store,
        (0..n_puts).map(|number| segment(number, 1, 5)).collect(),
    );
    let began = follower.position();
    let taken = drain(&mut follower);
    let gap = taken[0].gap.unwrap();
    assert_eq!((gap.after, gap.n_changes), (began, Some(n_more)));
    let told: Vec<Change> = taken.into_iter().flat_map(|taken| taken.changes).collect();
    assert_eq!(told.len(), RING_CHANGES);
    assert_eq!(told[0].trace_id, trace_id(n_more));
    assert_eq!(told[0].stamp, gap.until + 1);
    // Whoever comes back is given from the index what the ring has lost.
    assert_eq!(traces(&mut follow(&store, Some(0))), ids(0..n_puts));
    store.close().unwrap();
}

#[test]
fn what_is_not_durable_is_not_told() {
    let data = tempfile::tempdir().unwrap();
    let engine = Faulty::default();
    let faults = Arc::clone(&engine.faults);
    let store = SledStore::open_with(Arc::new(engine), config(data.path()), at(0)).unwrap();
    let mut follower = follow(&store, None);
    faults.sync.store(true, Ordering::SeqCst);
    let failed = try_put(&store, vec![segment(1, 1, 5)], 100);
    assert!(matches!(failed, Err(StoreError::Unavailable { .. })));
    assert!(drain(&mut follower).is_empty());
    faults.sync.store(false, Ordering::SeqCst);
    eventually("the store takes writes again", || {
        try_put(&store, vec![segment(2, 1, 5)], 200).is_ok()
    });
    assert_eq!(traces(&mut follower), ids([2]));
    store.close().unwrap();
}

#[test]
fn a_follower_wakes_up_for_its_account_alone() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    block_on(async {
        let mut follower = store.follow(TENANT, None).await.unwrap();
        let other = store.put(Tenant(1), vec![segment(1, 1, 5)], at(9));
        other.await.unwrap();
        let woken = tokio::time::timeout(Duration::from_millis(20), follower.changed());
        assert!(woken.await.is_err());
        let own = store.put(TENANT, vec![segment(2, 1, 5)], at(9));
        let (put, ()) = tokio::join!(own, follower.changed());
        put.unwrap();
        assert_eq!(follower.take(10).changes[0].trace_id, trace_id(2));
    });
    store.close().unwrap();
}
