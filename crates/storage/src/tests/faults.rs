//! Failing disks: nothing is acknowledged that is not there, and the store goes on when it can.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::support::*;
use crate::engine::{Engine, EngineError, Partition, SledEngine, Tree, Visit};
use crate::store::{Config, SledStore};
use crate::{OpenError, Outcome, StoreError, TraceStore};

/// sled, failing where it is told to.
#[derive(Default)]
pub(super) struct Faulty {
    pub(super) faults: Arc<Faults>,
}

#[derive(Default)]
pub(super) struct Faults {
    pub(super) write: AtomicBool,
    pub(super) sync: AtomicBool,
    pub(super) open: AtomicBool,
    /// What is derived when a partition is sealed cannot be written.
    pub(super) seal: AtomicBool,
}

struct FaultyPartition {
    inner: Box<dyn Partition>,
    faults: Arc<Faults>,
}

fn fail(when: &AtomicBool) -> Result<(), EngineError> {
    let detail = || "no space left on device".to_owned();
    if when.load(Ordering::SeqCst) {
        return Err(EngineError::Io {
            action: "testing",
            detail: detail(),
        });
    }
    Ok(())
}

impl Engine for Faulty {
    fn open(&self, dir: &Path, cache_bytes: u64) -> Result<Box<dyn Partition>, EngineError> {
        fail(&self.faults.open)?;
        let inner = SledEngine.open(dir, cache_bytes)?;
        Ok(Box::new(FaultyPartition {
            inner,
            faults: Arc::clone(&self.faults),
        }))
    }
}

impl Partition for FaultyPartition {
    fn insert(&self, tree: Tree, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        fail(&self.faults.write)?;
        if matches!(tree, Tree::Zones | Tree::Blocks | Tree::Graph) {
            fail(&self.faults.seal)?;
        }
        self.inner.insert(tree, key, value)
    }

    fn remove(&self, tree: Tree, key: &[u8]) -> Result<(), EngineError> {
        fail(&self.faults.write)?;
        self.inner.remove(tree, key)
    }

    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.inner.get(tree, key)
    }

    fn scan(
        &self,
        tree: Tree,
        from: &[u8],
        upper: Option<&[u8]>,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        self.inner.scan(tree, from, upper, visit)
    }

    fn last_key(&self, tree: Tree) -> Result<Option<Vec<u8>>, EngineError> {
        self.inner.last_key(tree)
    }

    fn sync(&self) -> Result<(), EngineError> {
        fail(&self.faults.sync)?;
        self.inner.sync()
    }
}

fn faulty(data: &Path) -> (SledStore, Arc<Faults>) {
    let engine = Faulty::default();
    let faults = Arc::clone(&engine.faults);
    (
        SledStore::open_with(Arc::new(engine), config(data), at(0)).unwrap(),
        faults,
    )
}

/// Fails at one place, then lets it work again: the store refuses, and goes on in a fresh partition.
fn check_recovery(fault: impl Fn(&Faults) -> &AtomicBool) {
    let data = tempfile::tempdir().unwrap();
    let (store, faults) = faulty(data.path());
    try_put(&store, vec![segment(1, 1, 5)], 1).unwrap();
    fault(&faults).store(true, Ordering::SeqCst);
    let refused = try_put(&store, vec![segment(2, 1, 5)], 2);
    assert!(
        matches!(refused, Err(StoreError::Unavailable { .. })),
        "{refused:?}"
    );
    let refused = try_put(&store, vec![segment(3, 1, 5)], 3);
    assert!(
        matches!(refused, Err(StoreError::Unavailable { .. })),
        "{refused:?}"
    );
    assert!(!store.stats().is_writable);
    fault(&faults).store(false, Ordering::SeqCst);
    // The failed partition may hold it in memory: a repeat must be stored again, not taken for done.
    assert_eq!(
        try_put(&store, vec![segment(2, 1, 5)], 10).unwrap(),
        [Outcome::Stored]
    );
    try_put(&store, vec![segment(4, 1, 5)], 10).unwrap();
    assert!(store.stats().is_writable);
    assert_eq!(texts(&store, 1).len(), 1);
    assert_eq!(texts(&store, 4).len(), 1);
    store.maintain(at(11));
    eventually("the poisoned partition is sealed", || {
        store.sealed_for_tests() == 1
    });
    assert_eq!(texts(&store, 1).len(), 1);
    assert_eq!(
        try_put(&store, vec![segment(1, 1, 5)], 12).unwrap(),
        [Outcome::Stored]
    );
    store.close().unwrap();
    drop(store);
    let store = open(data.path());
    assert_eq!(texts(&store, 1).len(), 1);
    assert_eq!(summaries(&store, everything()).len(), 3);

    assert_eq!(texts(&store, 4).len(), 1);
}

#[test]
fn a_failing_write_is_refused_and_the_store_recovers() {
    check_recovery(|faults| &faults.write);
}

#[test]
fn a_failing_flush_is_refused_and_the_store_recovers() {
    check_recovery(|faults| &faults.sync);
}

#[test]
fn a_store_without_room_for_a_fresh_partition_stays_shut_until_there_is() {
    let data = tempfile::tempdir().unwrap();
    let (store, faults) = faulty(data.path());
    faults.sync.store(true, Ordering::SeqCst);
    try_put(&store, vec![segment(1, 1, 5)], 1).unwrap_err();
    faults.sync.store(false, Ordering::SeqCst);
    faults.open.store(true, Ordering::SeqCst);
    try_put(&store, vec![segment(2, 1, 5)], 2).unwrap_err();
    faults.open.store(false, Ordering::SeqCst);
    try_put(&store, vec![segment(3, 1, 5)], 3).unwrap();
    assert_eq!(texts(&store, 3).len(), 1);
}

#[test]
fn a_partition_the_system_does_not_let_open_is_not_set_aside() {
    let data = tempfile::tempdir().unwrap();
    let (store, _) = faulty(data.path());
    try_put(&store, vec![segment(1, 1, 5)], 1).unwrap();
    store.close().unwrap();
    drop(store);
    let engine = Faulty::default();
    engine.faults.open.store(true, Ordering::SeqCst);
    let refused = SledStore::open_with(Arc::new(engine), config(data.path()), at(0));
    assert!(matches!(refused, Err(OpenError::Io { .. })));
    assert_eq!(texts(&open(data.path()), 1).len(), 1);
}

#[test]
fn a_disk_that_is_nearly_full_takes_no_writes_and_still_reads() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    put(&store, vec![segment(1, 1, 5)]);
    store.close().unwrap();
    drop(store);
    // More than five percent of any disk's space cannot be asked for, so leave less than that free.
    let all_but = Config {
        free_bytes_min: u64::MAX,
        ..config(data.path())
    };
    let store = SledStore::open(all_but, at(0)).unwrap();
    let outcome = try_put(&store, vec![segment(2, 1, 5)], 1);
    let stats = rustix::fs::statvfs(data.path()).unwrap();
    if stats.f_bavail < stats.f_blocks / 20 {
        assert!(
            matches!(outcome, Err(StoreError::DiskFull { .. })),
            "{outcome:?}"
        );
    } else {
        outcome.unwrap();
    }
    assert_eq!(texts(&store, 1).len(), 1);
}

/// Found by offering ten times what the server can take: partitions filled faster than they were sealed, and each kept
/// its index in memory meanwhile.
#[test]
fn writes_do_not_outrun_sealing() {
    let data = tempfile::tempdir().unwrap();
    let engine = Faulty::default();
    let faults = Arc::clone(&engine.faults);
    let config = Config {
        partition_bytes: 1,
        queue_wait: std::time::Duration::from_millis(10),
        ..config(data.path())
    };
    let store = SledStore::open_with(Arc::new(engine), config, at(0)).unwrap();
    faults.seal.store(true, Ordering::SeqCst);
    let mut n_stored = 0;
    let refused = loop {
        match try_put(&store, vec![segment(n_stored + 1, 1, 5)], n_stored) {
            Ok(_) => n_stored += 1,
            Err(error) => break error,
        }
        assert!(n_stored < 100, "{n_stored} partitions wait");
    };
    assert!(matches!(refused, StoreError::Busy { .. }), "{refused:?}");
    assert!(store.stats().is_writable);
    faults.seal.store(false, Ordering::SeqCst);
    store.maintain(at(200));
    eventually("there is room again", || {
        try_put(&store, vec![segment(200, 1, 5)], 200).is_ok()
    });
    for trace in (1..=n_stored).chain([200]) {
        assert_eq!(texts(&store, trace).len(), 1, "{trace}");
    }
}

#[test]
fn a_put_that_finds_no_room_in_time_is_told_so() {
    let data = tempfile::tempdir().unwrap();
    let config = Config {
        bytes_in_flight: 10,
        queue_wait: std::time::Duration::from_millis(1),
        ..config(data.path())
    };
    let store = SledStore::open(config, at(0)).unwrap();
    let busy = block_on(async {
        let puts: Vec<_> = (0..64)
            .map(|trace| {
                let store = store.clone();
                tokio::spawn(
                    async move { store.put(TENANT, vec![segment(trace, 1, 5)], at(1)).await },
                )
            })
            .collect();
        let mut n_busy = 0;
        for put in puts {
            n_busy += usize::from(matches!(put.await.unwrap(), Err(StoreError::Busy { .. })));
        }
        n_busy
    });
    assert!(busy > 0);
}
