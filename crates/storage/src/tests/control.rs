//! What a `ControlStore` promises, and what only the one on sled has: restarts, damage, failing disks.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::Tenant;
use proptest::prelude::*;

use super::faults::{Faults, Faulty};
use super::support::{TENANT, noise};
use crate::control::memory::MemoryControl;
use crate::{
    CONTROL_VALUE_BYTES_MAX, ControlKind, ControlRecord, ControlStore, OpenError, SledControl,
    StoreError,
};

const KIND: ControlKind = ControlKind::SamplingRule;

fn open(data: &Path) -> SledControl {
    SledControl::open(data).unwrap()
}

fn record(key: &str, value: &str) -> ControlRecord {
    ControlRecord {
        key: key.to_owned(),
        value: value.as_bytes().to_vec(),
    }
}

fn put(store: &dyn ControlStore, key: &str, value: &str) {
    store.put(TENANT, KIND, &record(key, value)).unwrap();
}

fn check(store: &dyn ControlStore, expected: &[(&str, &str)]) {
    let expected: Vec<ControlRecord> = expected
        .iter()
        .map(|(key, value)| record(key, value))
        .collect();
    assert_eq!(store.load(TENANT, KIND).unwrap(), expected);
}

/// Runs a case of the contract on a fresh store of an engine.
macro_rules! on_every_engine {
    ($store:ident, $case:block) => {{
        let data = tempfile::tempdir().unwrap();
        let sled = open(data.path());
        let $store: &dyn ControlStore = &sled;
        $case;
        sled.close().unwrap();
        let $store: &dyn ControlStore = &MemoryControl::default();
        $case;
    }};
}

#[test]
fn records_come_back_by_key_and_are_replaced_and_removed() {
    on_every_engine!(store, {
        check(store, &[]);
        put(store, "b", "1");
        put(store, "a", "2");
        put(store, "a:\u{e9}", "");
        check(store, &[("a", "2"), ("a:\u{e9}", ""), ("b", "1")]);
        store.put_soon(TENANT, KIND, &record("a", "3")).unwrap();
        store.remove(TENANT, KIND, "b").unwrap();
        store.remove(TENANT, KIND, "never there").unwrap();
        check(store, &[("a", "3"), ("a:\u{e9}", "")]);
    });
}

#[test]
fn tenants_and_kinds_do_not_see_each_other() {
    on_every_engine!(store, {
        let neighbours = [
            (Tenant(TENANT.0 + 1), KIND),
            (TENANT, ControlKind::SamplingStatistics),
            (TENANT, ControlKind::Insight),
        ];
        for (tenant, kind) in neighbours {
            store.put(tenant, kind, &record("a", "theirs")).unwrap();
        }
        check(store, &[]);
        put(store, "a", "ours");
        for (tenant, kind) in neighbours {
            assert_eq!(store.load(tenant, kind).unwrap(), [record("a", "theirs")]);
            store.remove(tenant, kind, "a").unwrap();
        }
        check(store, &[("a", "ours")]);
    });
}

#[test]
fn values_of_any_size_come_back() {
    on_every_engine!(store, {
        for (round, n_bytes) in [60_000, 6_936, 6_937, 0, 7_000, 300_000]
            .into_iter()
            .enumerate()
        {
            let value = noise(n_bytes, u64::try_from(round).unwrap());
            put(store, "a", &value);
            put(store, "b", &value);
            check(store, &[("a", &value), ("b", &value)]);
            store.remove(TENANT, KIND, "a").unwrap();
            check(store, &[("b", &value)]);
        }
    });
}

#[test]
fn check_tells_of_damaged_settings() {
    let data = tempfile::tempdir().unwrap();
    super::support::open(data.path()).close().unwrap();
    let found = || crate::check(data.path(), &mut |_| {}).unwrap();
    assert_eq!(found().settings, None, "there are none");
    let control = SledControl::open(data.path()).unwrap();
    put(&control, "a", "1");
    control.close().unwrap();
    drop(control);
    assert!(!found().is_damaged());
    for file in ["db", "conf"] {
        fs::write(data.path().join("control").join(file), b"nothing").unwrap();
    }
    let report = found();
    assert!(report.settings.is_some() && report.is_damaged());
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u16),
    PutSoon(u8, u16),
    Remove(u8),
    RemoveSoon(u8),
    Close,
    Drop,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..6_u8, 0..12_000_u16).prop_map(|(key, n)| Step::Put(key, n)),
        3 => (0..6_u8, 0..12_000_u16).prop_map(|(key, n)| Step::PutSoon(key, n)),
        2 => (0..6_u8).prop_map(Step::Remove),
        2 => (0..6_u8).prop_map(Step::RemoveSoon),
        1 => Just(Step::Close),
        1 => Just(Step::Drop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is done, restarts in between: what the one on sled holds is what the plain one holds.
    #[test]
    fn restarts_change_nothing(steps in prop::collection::vec(step(), 1..40)) {
        let data = tempfile::tempdir().unwrap();
        let mut store = open(data.path());
        let plain = MemoryControl::default();
        for step in steps {
            match step {
                Step::Put(key, n) => {
                    let record = record(&key.to_string(), &noise(n.into(), n.into()));
                    store.put(TENANT, KIND, &record).unwrap();
                    plain.put(TENANT, KIND, &record).unwrap();
                }
                Step::PutSoon(key, n) => {
                    let record = record(&key.to_string(), &noise(n.into(), n.into()));
                    store.put_soon(TENANT, KIND, &record).unwrap();
                    plain.put_soon(TENANT, KIND, &record).unwrap();
                }
                Step::Remove(key) => {
                    store.remove(TENANT, KIND, &key.to_string()).unwrap();
                    plain.remove(TENANT, KIND, &key.to_string()).unwrap();
                }
                Step::RemoveSoon(key) => {
                    store.remove_soon(TENANT, KIND, &key.to_string()).unwrap();
                    plain.remove_soon(TENANT, KIND, &key.to_string()).unwrap();
                }
                Step::Close => {
                    store.close().unwrap();
                    store = open(data.path());
                }
                Step::Drop => {
                    drop(store);
                    store = open(data.path());
                }
            }
            prop_assert_eq!(store.load(TENANT, KIND).unwrap(), plain.load(TENANT, KIND).unwrap());
        }
    }
}

#[test]
fn a_closed_store_refuses_and_says_so() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    store.put_soon(TENANT, KIND, &record("a", "1")).unwrap();
    store.close().unwrap();
    store.close().unwrap();
    let put = store.put(TENANT, KIND, &record("a", "2"));
    assert!(matches!(put, Err(StoreError::Closed)));
    assert!(matches!(store.load(TENANT, KIND), Err(StoreError::Closed)));
    // The closed one is still there and keeps nobody out.
    check(&open(data.path()), &[("a", "1")]);
}

/// Statistics are written again and again under the same keys, for months.
#[test]
fn writing_the_same_keys_over_and_over_takes_no_more_room() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    for number in 0..200_000_u64 {
        let key = format!("k{}", number % 50);
        let value = format!("{number:0200}");
        store.put_soon(TENANT, KIND, &record(&key, &value)).unwrap();
    }
    assert_eq!(store.load(TENANT, KIND).unwrap().len(), 50);
    let disk_bytes = bytes_below(data.path());
    assert!(disk_bytes < 64 << 20, "{disk_bytes} bytes on disk");
}

#[test]
fn large_values_written_over_and_over_leave_nothing_behind() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    for number in 0..2_000 {
        let value = noise(20_000, number);
        store
            .put_soon(TENANT, KIND, &record(&format!("k{}", number % 5), &value))
            .unwrap();
    }
    let disk_bytes = bytes_below(data.path());
    assert!(disk_bytes < 64 << 20, "{disk_bytes} bytes on disk");
    assert_eq!(
        fs::read_dir(data.path().join("control/blobs"))
            .unwrap()
            .count(),
        0
    );
}

/// A database far larger than its records is written anew at open; a little room is left alone.
#[test]
fn a_bloated_database_is_rewritten_at_open() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    for number in 0..200 {
        put(&store, &format!("k{number:03}"), &noise(200_000, number));
    }
    for number in 1..200 {
        store
            .remove(TENANT, KIND, &format!("k{number:03}"))
            .unwrap();
    }
    store.close().unwrap();
    let before = bytes_below(data.path());
    assert!(before > 16 << 20, "{before} bytes on disk");
    let kept = noise(200_000, 0);
    let store = open(data.path());
    check(&store, &[("k000", &kept)]);
    store.close().unwrap();
    let after = bytes_below(data.path());
    assert!(after < 8 << 20, "{before}, then {after} bytes on disk");
    check(&open(data.path()), &[("k000", &kept)]);
}

fn bytes_below(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.metadata().unwrap() {
            metadata if metadata.is_dir() => bytes_below(&entry.path()),
            metadata => metadata.len(),
        })
        .sum()
}

/// Spoils the files of a database with settings: it must not open as if there were none.
fn check_damage(spoil: impl Fn(&Path)) {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    for number in 0..400 {
        put(&store, &format!("{number}"), &noise(3_000, number));
    }
    store.close().unwrap();
    drop(store);
    drop(open(data.path()));
    spoil(&data.path().join("control"));
    for attempt in 0..2 {
        let text = match SledControl::open(data.path()) {
            Err(error @ OpenError::ControlDamaged { .. }) => error.to_string(),
            Err(error) => panic!("attempt {attempt}: {error}"),
            Ok(_) => panic!("attempt {attempt}: opened damaged settings"),
        };
        assert!(text.contains("control is damaged"), "{text}");
        assert!(
            text.contains("move it away to start with default settings"),
            "{text}"
        );
    }
    fs::rename(data.path().join("control"), data.path().join("aside")).unwrap();
    check(&open(data.path()), &[]);
}

#[test]
fn damage_is_never_taken_for_empty() {
    check_damage(|dir| {
        fs::remove_dir_all(dir).unwrap();
        fs::create_dir(dir).unwrap();
    });
    check_damage(|dir| fs::remove_file(dir.join("db")).unwrap());
    check_damage(|dir| {
        let mut bytes = fs::read(dir.join("db")).unwrap();
        for byte in &mut bytes {
            *byte ^= 0xff;
        }
        fs::write(dir.join("db"), bytes).unwrap();
    });
}

/// One changed record is damage too, although its neighbours are whole.
#[test]
fn a_record_that_is_not_what_was_written_keeps_the_store_shut() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    put(&store, "a", "1");
    store.close().unwrap();
    drop(store);
    let engine: Arc<dyn crate::engine::Engine> = Arc::new(crate::engine::SledEngine);
    let partition = engine.open(&data.path().join("control"), 1 << 20).unwrap();
    let key = crate::keys::control(TENANT, KIND, "a");
    let tree = crate::engine::Tree::Control;
    let mut value = partition.get(tree, &key).unwrap().unwrap();
    *value.last_mut().unwrap() ^= 1;
    partition.insert(tree, &key, &value).unwrap();
    partition.sync().unwrap();
    drop(partition);
    assert!(matches!(
        SledControl::open(data.path()),
        Err(OpenError::ControlDamaged { .. })
    ));
}

/// The states a replacement can be cut off in: each opens with the records of one of the two.
#[test]
fn a_replacement_cut_off_anywhere_is_settled_at_open() {
    let with_record = |value| {
        let data = tempfile::tempdir().unwrap();
        let store = open(data.path());
        put(&store, "a", value);
        store.close().unwrap();
        data
    };
    let check_states = |moves: &[(&str, &str)], expected: &str| {
        let (data, other) = (with_record("old"), with_record("new"));
        fs::create_dir(data.path().join("control.new")).unwrap();
        fs::rename(
            other.path().join("control"),
            data.path().join("control.new/control"),
        )
        .unwrap();
        for (from, to) in moves {
            fs::rename(data.path().join(from), data.path().join(to)).unwrap();
        }
        check(&open(data.path()), &[("a", expected)]);
        assert!(!data.path().join("control.new").exists());
        assert!(!data.path().join("control.old").exists());
    };
    let first = ("control", "control.old");
    let second = ("control.new/control", "control");
    check_states(&[], "old");
    check_states(&[first], "old");
    check_states(&[first, second], "new");
}

/// A write that fails.
type Write = fn(&SledControl) -> Result<(), StoreError>;

/// Fails at one place, then lets it work again: refused writes, readable records, a fresh database. What
/// was refused did not happen, whether the store is written to afterwards or only closed.
fn check_recovery(fault: impl Fn(&Faults) -> &AtomicBool, write: Write) {
    for is_written in [true, false] {
        let data = tempfile::tempdir().unwrap();
        let engine = Faulty::default();
        let faults = Arc::clone(&engine.faults);
        let store = SledControl::open_with(Arc::new(engine), data.path()).unwrap();
        let large = noise(20_000, 1);
        put(&store, "a", "1");
        put(&store, "large", &large);
        let marker = data.path().join("control/marker");
        fs::write(&marker, "these files are the ones that failed").unwrap();
        fault(&faults).store(true, Ordering::SeqCst);
        for _ in 0..2 {
            let refused = write(&store);
            assert!(
                matches!(refused, Err(StoreError::Unavailable { .. })),
                "{refused:?}"
            );
        }
        assert!(store.load(TENANT, KIND).is_ok());
        assert!(marker.exists());
        fault(&faults).store(false, Ordering::SeqCst);
        let mut expected = vec![("a", "1"), ("large", &*large)];
        if is_written {
            put(&store, "c", "3");
            assert!(!marker.exists());
            expected.insert(1, ("c", "3"));
            check(&store, &expected);
        } else {
            store.close().unwrap();
        }
        drop(store);
        check(&open(data.path()), &expected);
    }
}

#[test]
fn a_failed_write_or_flush_is_never_retried_on_the_same_files() {
    let writes: [Write; 6] = [
        |store| store.put(TENANT, KIND, &record("b", "2")),
        |store| store.put(TENANT, KIND, &record("b", &noise(30_000, 2))),
        |store| store.put(TENANT, KIND, &record("a", "2")),
        |store| store.put(TENANT, KIND, &record("large", "2")),
        |store| store.remove(TENANT, KIND, "a"),
        |store| store.remove(TENANT, KIND, "large"),
    ];
    for write in writes {
        check_recovery(|faults| &faults.write, write);
        check_recovery(|faults| &faults.sync, write);
    }
    let soon: [Write; 2] = [
        |store| store.put_soon(TENANT, KIND, &record("large", "2")),
        |store| store.remove_soon(TENANT, KIND, "large"),
    ];
    for write in soon {
        check_recovery(|faults| &faults.write, write);
    }
}

#[test]
fn a_store_that_cannot_be_made_whole_says_so_when_it_is_closed() {
    let data = tempfile::tempdir().unwrap();
    let engine = Faulty::default();
    let faults = Arc::clone(&engine.faults);
    let store = SledControl::open_with(Arc::new(engine), data.path()).unwrap();
    faults.sync.store(true, Ordering::SeqCst);
    store.put(TENANT, KIND, &record("a", "1")).unwrap_err();
    let closed = store.close();
    assert!(
        matches!(closed, Err(StoreError::Unavailable { .. })),
        "{closed:?}"
    );
    let put = store.put(TENANT, KIND, &record("a", "2"));
    assert!(matches!(put, Err(StoreError::Closed)));
}

/// What is removed without waiting for the disk is gone at once, and after a restart.
#[test]
fn what_is_removed_soon_is_gone() {
    on_every_engine!(store, {
        put(store, "a", "1");
        put(store, "b", &noise(20_000, 1));
        put(store, "c", "3");
        store.remove_soon(TENANT, KIND, "b").unwrap();
        store.remove_soon(TENANT, KIND, "never there").unwrap();
        check(store, &[("a", "1"), ("c", "3")]);
        store.remove_soon(TENANT, KIND, "a").unwrap();
        check(store, &[("c", "3")]);
    });
}

#[test]
fn removing_soon_waits_for_no_disk() {
    let data = tempfile::tempdir().unwrap();
    let engine = Faulty::default();
    let faults = Arc::clone(&engine.faults);
    let store = SledControl::open_with(Arc::new(engine), data.path()).unwrap();
    put(&store, "a", "1");
    faults.sync.store(true, Ordering::SeqCst);
    store.remove_soon(TENANT, KIND, "a").unwrap();
    check(&store, &[]);
    faults.sync.store(false, Ordering::SeqCst);
    store.close().unwrap();
    check(&open(data.path()), &[]);
}

/// Nothing of it is written, and the store goes on.
#[test]
fn a_value_that_is_too_large_is_refused() {
    on_every_engine!(store, {
        put(store, "a", "1");
        // Zeroed pages cost nothing as long as nobody reads them.
        let too_large = ControlRecord {
            key: "a".to_owned(),
            value: vec![0; CONTROL_VALUE_BYTES_MAX + 1],
        };
        for refused in [
            store.put(TENANT, KIND, &too_large),
            store.put_soon(TENANT, KIND, &too_large),
        ] {
            assert_eq!(
                refused.unwrap_err().to_string(),
                "a record of 458745001 bytes is too large: at most 458745000 are taken"
            );
        }
        check(store, &[("a", "1")]);
        put(store, "a", "2");
        check(store, &[("a", "2")]);
    });
}

#[test]
fn a_system_that_refuses_is_no_damage() {
    let data = tempfile::tempdir().unwrap();
    let engine = Faulty::default();
    engine.faults.open.store(true, Ordering::SeqCst);
    assert!(matches!(
        SledControl::open_with(Arc::new(engine), data.path()),
        Err(OpenError::Io { .. })
    ));
    check(&open(data.path()), &[]);
}
