//! Stores that fail, and stores that take their time.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use model::{Tenant, Timestamp};
use storage::control::memory::MemoryControl;
use storage::{ControlKind, ControlRecord, ControlStore, StoreError};

use super::support::*;
use crate::{DEFAULT_RULE, NewRateBoost, NewRule, RuleSelector, SamplingError};

fn check_store_error<T: std::fmt::Debug>(outcome: Result<T, SamplingError>) {
    let error = outcome.unwrap_err();
    assert!(matches!(error, SamplingError::Store(_)), "{error}");
}

#[test]
fn a_change_the_store_refuses_is_none() {
    let store = Arc::new(MemoryControl::default());
    let sampling = open_on(store.clone(), at(0));
    let made = sampling.create(new_rule("a"), [], at(1)).unwrap();
    store.refuse_after(0);
    check_store_error(sampling.create(new_rule("b"), [], at(2)));
    let update = crate::RuleUpdate {
        selector: RuleSelector::by_name("a"),
        priority: Some(7),
        ..crate::RuleUpdate::default()
    };
    check_store_error(sampling.update(update, at(2)));
    check_store_error(sampling.delete(&RuleSelector::by_name("a"), at(2)));
    check_store_error(sampling.tag(&made.arn, tags(&["x"])));
    assert_eq!(records(&sampling)[1..], *std::slice::from_ref(&made));
    assert_eq!(sampling.tags(&made.arn).unwrap().iter().count(), 0);
    assert_eq!(sampling.last_modified(), at(1));
    store.refuse_after(u32::MAX);
    sampling.create(new_rule("b"), [], at(2)).unwrap();
}

#[test]
fn clients_are_answered_although_the_store_refuses_and_nothing_is_forgotten() {
    let store = Arc::new(MemoryControl::default());
    let sampling = open_on(store.clone(), at(0));
    let boost = NewRateBoost {
        max_rate: 0.5,
        cooldown_minutes: 0,
    };
    let rule = NewRule {
        boost: Some(boost),
        ..new_rule("a")
    };
    sampling.create(rule, [], at(0)).unwrap();
    store.refuse_after(0);
    let anomalies = [anomalies("a", 5, 0, at(0))];
    let reports = [report("a", 1, at(0)), report(DEFAULT_RULE, 1, at(0))];
    let targets = sampling.targets(&reports, &anomalies, at(0)).unwrap();
    assert!(targets.documents[0].boost.is_some());
    check_store_error(sampling.flush(at(1)));
    store.refuse_after(u32::MAX);
    sampling.flush(at(2)).unwrap();
    assert_eq!(
        summaries(&open_on(store, at(2)), at(2)),
        summaries(&sampling, at(2))
    );
}

/// Statistics are written about once a second, whatever the number of calls, and not at all without any.
#[test]
fn statistics_are_written_once_a_second() {
    let store = Arc::new(MemoryControl::default());
    let sampling = open_on(store.clone(), at(0));
    let stored = |now| {
        let sums = summaries(&open_on(store.clone(), now), now);
        sums.iter().map(|sum| sum.request_count).sum::<u64>()
    };
    let millis = |millis: u64| Timestamp::from_nanos(at(0).as_nanos() + millis * 1_000_000);
    for (now, expected) in [(0, 10), (10, 10), (999, 10), (1_000, 40), (1_500, 40)] {
        let reports = [report(DEFAULT_RULE, 1, millis(now))];
        sampling.targets(&reports, &[], millis(now)).unwrap();
        assert_eq!(stored(millis(now)), expected, "after {now} ms");
    }
    sampling.flush(millis(1_600)).unwrap();
    assert_eq!(stored(millis(1_600)), 50);
}

/// A store whose durable writes wait until they are let go.
struct Slow {
    inner: MemoryControl,
    begun: Mutex<Sender<()>>,
    go: Mutex<Receiver<()>>,
}

impl ControlStore for Slow {
    fn load(&self, tenant: Tenant, kind: ControlKind) -> Result<Vec<ControlRecord>, StoreError> {
        self.inner.load(tenant, kind)
    }

    fn put(
        &self,
        tenant: Tenant,
        kind: ControlKind,
        record: &ControlRecord,
    ) -> Result<(), StoreError> {
        self.begun.lock().unwrap().send(()).unwrap();
        self.go.lock().unwrap().recv().unwrap();
        self.inner.put(tenant, kind, record)
    }

    fn put_soon(
        &self,
        tenant: Tenant,
        kind: ControlKind,
        record: &ControlRecord,
    ) -> Result<(), StoreError> {
        self.inner.put_soon(tenant, kind, record)
    }

    fn remove(&self, tenant: Tenant, kind: ControlKind, key: &str) -> Result<(), StoreError> {
        self.inner.remove(tenant, kind, key)
    }
}

#[test]
fn clients_do_not_wait_for_a_change_of_rules() {
    let (begun, has_begun) = channel();
    let (let_go, go) = channel();
    let store = Slow {
        inner: MemoryControl::default(),
        begun: Mutex::new(begun),
        go: Mutex::new(go),
    };
    let sampling = &open_on(Arc::new(store), at(0));
    std::thread::scope(|scope| {
        let change = scope.spawn(move || sampling.create(new_rule("a"), [], at(1)));
        has_begun.recv().unwrap();
        // The rule is being written: it is not there yet, and nobody waits for it.
        let reports = [report(DEFAULT_RULE, 1, at(1)), report("a", 1, at(1))];
        let targets = sampling.targets(&reports, &[], at(1)).unwrap();
        assert_eq!((targets.documents.len(), targets.unprocessed.len()), (1, 1));
        assert_eq!(records(sampling).len(), 1);
        let_go.send(()).unwrap();
        change.join().unwrap().unwrap();
        assert_eq!(records(sampling).len(), 2);
    });
}
