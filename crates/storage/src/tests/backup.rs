//! Backups: whole or refused, of everything that was acknowledged, and answering like the store they are of.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use model::Tenant;
use proptest::prelude::*;
use tempfile::TempDir;

use super::partitions::seal;
use super::support::*;
use crate::backup::restore_watched;
use crate::open::{hold, lock};
use crate::store::{Config, SledStore};
use crate::{
    ALL_TRACES, BackupError, CheckError, ControlKind, ControlRecord, ControlStore, GraphParts,
    GraphScan, OpenError, RestoreError, Scan, SledControl, TraceStore, check, restore,
};

const HOUR: u64 = 3_600;
const OTHERS: Tenant = Tenant(1);

/// A store with its settings, as a server has it.
struct Served {
    data: TempDir,
    store: SledStore,
    settings: SledControl,
}

fn served() -> Served {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    let settings = SledControl::open(data.path()).unwrap();
    Served {
        data,
        store,
        settings,
    }
}

impl Served {
    fn backup(&self, now: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let backup = self.store.backup(&self.settings, at(now)).unwrap();
        backup.write(&mut bytes).unwrap();
        bytes
    }
}

fn rule(key: &str, n_bytes: usize) -> ControlRecord {
    ControlRecord {
        key: key.to_owned(),
        value: noise(n_bytes, 3).into_bytes(),
    }
}

/// Returns a folder for a restored store, with room for others beside it.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    (folder, data)
}

fn restored(bytes: &[u8]) -> (TempDir, PathBuf) {
    let (folder, data) = place();
    let restored = restore(bytes, &data).unwrap();
    assert!(restored.n_bytes > 0);
    let report = check(&data, &mut |_| {}).unwrap();
    assert!(!report.is_damaged(), "{report:?}");
    assert_eq!(report.partitions.len(), restored.n_partitions);
    (folder, data)
}

/// Asks two stores everything and fails if one answers something else.
fn assert_same(store: &SledStore, other: &SledStore, n_traces: u64) {
    assert_eq!(store.tenants(), other.tenants());
    assert_eq!(store.token_key(), other.token_key());
    assert_eq!(store.newest_stamp(), other.newest_stamp());
    for tenant in [TENANT, OTHERS] {
        let all = |store: &SledStore| {
            let page = block_on(store.summaries(tenant, everything())).unwrap();
            (page.summaries, page.n_scanned)
        };
        assert_eq!(all(store), all(other));
        for trace in 0..n_traces {
            let documents = |store: &SledStore| {
                let stored = block_on(store.documents(tenant, trace_id(trace))).unwrap();
                let mut documents = stored.documents;
                documents.sort_by_key(|document| document.segment_id);
                (documents, stored.n_damaged)
            };
            assert_eq!(documents(store), documents(other), "{trace}");
        }
        let scan = GraphScan {
            group: ALL_TRACES,
            from_minute: 0,
            to_minute: u32::MAX,
            bucket_minutes: 1,
            parts: GraphParts::All,
        };
        let graph = |store: &SledStore| block_on(store.graph(tenant, scan)).unwrap();
        assert_eq!(graph(store), graph(other));
    }
}

#[test]
fn a_restored_store_answers_as_the_original() {
    let served = served();
    let store = &served.store;
    store.tenant("1", "r").unwrap();
    store.tenant("2", "r").unwrap();
    put(
        store,
        vec![in_progress(1, 1, 5), segment(1, 2, 6), segment(2, 1, 4)],
    );
    seal(store, 2 * HOUR);
    let large = format!(
        r#""end_time":{},"metadata":{{"n":{{"k":"{}"}}}}"#,
        at(9),
        noise(50_000, 7)
    );
    let batch = vec![segment(1, 1, 5), segment_with(3, 1, 8, &large)];
    try_put(store, batch, 2 * HOUR).unwrap();
    block_on(store.put(OTHERS, vec![segment(1, 9, 7)], at(2 * HOUR))).unwrap();
    let telemetry = vec![b"{}".to_vec()];
    block_on(store.put_telemetry(TENANT, telemetry, at(2 * HOUR))).unwrap();
    let kept = [rule("a", 10), rule("b", 20_000)];
    for record in &kept {
        served
            .settings
            .put(OTHERS, ControlKind::Group, record)
            .unwrap();
    }
    let bytes = served.backup(2 * HOUR + 1);
    assert_eq!(store.sealed_for_tests(), 2);

    let (_folder, data) = restored(&bytes);
    let other = open(&data);
    assert_same(store, &other, 5);
    let settings = SledControl::open(&data).unwrap();
    assert_eq!(settings.load(OTHERS, ControlKind::Group).unwrap(), kept);
    // Both go on alike.
    for store in [store, &other] {
        try_put(store, vec![segment(2, 2, 5), segment(4, 1, 9)], 3 * HOUR).unwrap();
    }
    assert_same(store, &other, 5);
    settings.close().unwrap();
    other.close().unwrap();
    // Nothing new, nothing more: another backup seals no empty partition.
    let n_sealed = {
        served.backup(3 * HOUR);
        store.sealed_for_tests()
    };
    served.backup(3 * HOUR);
    assert_eq!(store.sealed_for_tests(), n_sealed);
}

/// A page token names the stamp it is as of, and the restored store takes the tokens of the original: what comes later
/// must not be on its pages, although the clock is behind.
#[test]
fn a_restored_store_knows_the_stamps_of_telemetry() {
    let served = served();
    let store = &served.store;
    let telemetry = |now: u64| {
        block_on(store.put_telemetry(OTHERS, vec![b"{}".to_vec()], at(now))).unwrap();
    };
    put(store, vec![segment(1, 1, 5)]);
    telemetry(500);
    for now in [600, 700] {
        let as_of = block_on(store.summaries(TENANT, everything()))
            .unwrap()
            .as_of;
        let (_folder, data) = restored(&served.backup(now));
        let other = open(&data);
        assert_same(store, &other, 2);
        try_put(&other, vec![segment(2, 1, 5)], 200).unwrap();
        let page = Scan {
            as_of: Some(as_of),
            ..everything()
        };
        assert_eq!(summaries(&other, page), summaries(store, everything()));
        other.close().unwrap();
        // The next partition has nothing but telemetry.
        telemetry(now + 50);
    }
}

#[test]
fn an_empty_store_is_restored_empty() {
    let served = served();
    let (_folder, data) = restored(&served.backup(1));
    let other = open(&data);
    assert!(summaries(&other, everything()).is_empty());
    put(&other, vec![segment(1, 1, 5)]);
    other.close().unwrap();
}

#[test]
fn everything_acknowledged_before_is_in_it_while_writes_go_on() {
    let served = served();
    let (told, ask) = sync_channel::<()>(0);
    let store = served.store.clone();
    let writer = thread::spawn(move || {
        let mut n_put = 0;
        while ask.try_recv().is_err() {
            let batch = (n_put..n_put + 20).map(|number| segment(number, 1, 5));
            put(&store, batch.collect());
            n_put += 20;
        }
        n_put
    });
    eventually("something is written", || served.store.newest_stamp() > 0);
    let mut backups = Vec::new();
    for round in 0..3 {
        let acknowledged = summaries(&served.store, everything());
        backups.push((acknowledged, served.backup(100 + round)));
    }
    told.send(()).unwrap();
    let n_put = writer.join().unwrap();
    for (acknowledged, bytes) in backups {
        let (_folder, data) = restored(&bytes);
        let other = open(&data);
        let found = summaries(&other, everything());
        assert!(acknowledged.iter().all(|summary| found.contains(summary)));
        assert!(u64::try_from(found.len()).unwrap() <= n_put);
        other.close().unwrap();
    }
    assert_eq!(
        summaries(&served.store, everything()).len(),
        usize::try_from(n_put).unwrap()
    );
    served.store.close().unwrap();
}

/// Takes a backup byte by byte as a slow client does, or goes away.
struct Slow(SyncSender<Vec<u8>>);

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.0.send(bytes.to_vec()).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn slowly(
    served: &Served,
    now: u64,
) -> (
    Receiver<Vec<u8>>,
    thread::JoinHandle<Result<(), BackupError>>,
) {
    let backup = served.store.backup(&served.settings, at(now)).unwrap();
    let (to_client, client) = sync_channel(0);
    (client, thread::spawn(move || backup.write(Slow(to_client))))
}

#[test]
fn retention_waits_for_a_backup() {
    let data = tempfile::tempdir().unwrap();
    let config = Config {
        retention: Duration::from_hours(1),
        partition_age: Duration::from_mins(1),
        ..config(data.path())
    };
    let served = Served {
        store: SledStore::open(config, at(0)).unwrap(),
        settings: SledControl::open(data.path()).unwrap(),
        data,
    };
    put(&served.store, vec![segment(1, 1, 5)]);
    let (client, writing) = slowly(&served, 101);
    let later = 2 * HOUR;
    // Two ticks: the first is done with once the second is.
    for tick in 0..2 {
        put(&served.store, vec![segment(2 + tick, 1, 5)]);
        served.store.maintain(at(later + tick * HOUR / 2));
        eventually("the partition is sealed", || {
            served.store.sealed_for_tests() > tick + 1 || texts(&served.store, 1).is_empty()
        });
    }
    assert_eq!(texts(&served.store, 1).len(), 1);
    let bytes: Vec<u8> = client.iter().flatten().collect();
    writing.join().unwrap().unwrap();
    served.store.maintain(at(later + HOUR));
    eventually("the partition goes once it is copied", || {
        served.store.maintain(at(later + HOUR));
        texts(&served.store, 1).is_empty()
    });
    let (_folder, data) = restored(&bytes);
    let other = open(&data);
    assert_eq!(texts(&other, 1).len(), 1);
    other.close().unwrap();
    served.store.close().unwrap();
}

#[test]
fn a_client_that_goes_away_ends_it_and_lets_partitions_go() {
    let served = served();
    put(&served.store, vec![segment(1, 1, 5)]);
    let (client, writing) = slowly(&served, 101);
    drop(client);
    let ended = writing.join().unwrap();
    assert!(matches!(ended, Err(BackupError::Write(_))), "{ended:?}");
    let number = served.store.shared.partitions().sealed[0].number;
    assert!(!served.store.shared.pins.holds(number));
    served.store.close().unwrap();
    drop(served.data);
}

fn refused(bytes: &[u8]) -> RestoreError {
    let (folder, data) = place();
    let error = restore(bytes, &data).unwrap_err();
    assert!(
        fs::read_dir(folder.path()).unwrap().next().is_none(),
        "{error}"
    );
    error
}

fn small_backup() -> Vec<u8> {
    let served = served();
    put(
        &served.store,
        (0..30).map(|trace| segment(trace, 1, trace)).collect(),
    );
    served
        .settings
        .put(TENANT, ControlKind::Group, &rule("a", 10))
        .unwrap();
    served.backup(101)
}

/// Returns the names and contents of a backup's files.
fn files(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let unpacked = zstd::decode_all(bytes).unwrap();
    let mut archive = tar::Archive::new(unpacked.as_slice());
    let mut files = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        io::Read::read_to_end(&mut entry, &mut content).unwrap();
        files.push((name, content));
    }
    files
}

fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).unwrap());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(content.len()).unwrap());
        header.set_mode(0o600);
        builder
            .append_data(&mut header, name, content.as_slice())
            .unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

#[test]
fn what_is_no_whole_backup_is_refused_and_leaves_nothing() {
    let bytes = small_backup();
    let all = files(&bytes);
    assert_eq!(all[0].0, "BACKUP");
    assert_eq!(all.last().unwrap().0, "SUMS");
    restored(&packed(&all));
    for n_files in 0..all.len() {
        let error = refused(&packed(&all[..n_files]));
        assert!(
            matches!(error, RestoreError::CutOff(_)),
            "{n_files}: {error}"
        );
    }
    for (nth, (name, content)) in all.iter().enumerate() {
        let mut changed = all.clone();
        let middle = content.len() / 2;
        changed[nth].1[middle] ^= 1;
        let error = refused(&packed(&changed));
        assert!(!matches!(error, RestoreError::Io { .. }), "{name}: {error}");
        let mut longer = all.clone();
        longer[nth].1.push(b'0');
        refused(&packed(&longer));
    }
    let without = |nth: usize| {
        let mut files = all.clone();
        files.remove(nth);
        refused(&packed(&files))
    };
    for nth in 0..all.len() - 1 {
        without(nth);
    }
    let named = |name: &str| {
        let mut files = all.clone();
        files[2].0 = name.to_owned();
        refused(&packed(&files))
    };
    for name in [
        "dict/passwd",
        "LOCK",
        "p/other/members",
        "p/1/segments/1",
        "control/x",
    ] {
        assert!(matches!(named(name), RestoreError::Damaged(_)), "{name}");
    }
    let mut later = all.clone();
    later[0].1 = b"roentgen backup 2\n".to_vec();
    assert!(matches!(
        refused(&packed(&later)),
        RestoreError::Newer { found: 2, known: 1 }
    ));
    assert!(matches!(
        refused(b""),
        RestoreError::Foreign(_) | RestoreError::CutOff(_)
    ));
    refused(b"something else");
}

#[test]
fn nothing_is_restored_over_something() {
    let bytes = small_backup();
    let (_folder, data) = place();
    fs::create_dir(&data).unwrap();
    restore(bytes.as_slice(), &data).unwrap();
    let again = restore(bytes.as_slice(), &data);
    assert!(
        matches!(again, Err(RestoreError::NotEmpty { .. })),
        "{again:?}"
    );
    let (_folder, data) = place();
    fs::create_dir(&data).unwrap();
    fs::write(data.join("notes"), "mine").unwrap();
    let error = restore(bytes.as_slice(), &data).unwrap_err();
    assert!(matches!(error, RestoreError::NotEmpty { .. }), "{error}");
    assert_eq!(names(&data), ["notes"]);
    let file = data.join("notes");
    let error = restore(bytes.as_slice(), &file).unwrap_err();
    assert!(matches!(error, RestoreError::Io { .. }), "{error}");
}

/// Returns the names of what is in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Lets something be looked at while a backup is read.
struct Watched<R, L>(R, L);

impl<R: io::Read, L: FnMut()> io::Read for Watched<R, L> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (self.1)();
        let n_max = buffer.len().min(100);
        self.0.read(&mut buffer[..n_max])
    }
}

/// A mount point cannot be renamed over, and what it is mounted in may be read-only.
#[test]
fn nothing_is_made_beside_the_folder_and_it_keeps_its_place() {
    let bytes = small_backup();
    for with_lost_and_found in [false, true] {
        let (folder, data) = place();
        fs::create_dir(&data).unwrap();
        if with_lost_and_found {
            fs::create_dir(data.join("lost+found")).unwrap();
        }
        let place_of = |path: &Path| fs::metadata(path).unwrap().ino();
        let before = place_of(&data);
        let mut n_looks = 0;
        let look = || {
            n_looks += 1;
            assert_eq!(names(folder.path()), ["data"]);
        };
        restore(Watched(bytes.as_slice(), look), &data).unwrap();
        assert!(n_looks > 10, "{n_looks}");
        assert_eq!(place_of(&data), before);
        let mut expected = vec!["LOCK", "MANIFEST", "control", "dict", "p"];
        if with_lost_and_found {
            expected.insert(4, "lost+found");
        }
        assert_eq!(names(&data), expected);
        assert!(!check(&data, &mut |_| {}).unwrap().is_damaged());
        let store = open(&data);
        assert_eq!(summaries(&store, everything()).len(), 30);
        store.close().unwrap();
    }
}

#[test]
fn a_store_is_made_beside_lost_and_found() {
    let (_folder, data) = place();
    fs::create_dir_all(data.join("lost+found")).unwrap();
    let store = open(&data);
    put(&store, vec![segment(1, 1, 5)]);
    store.close().unwrap();
    drop(store);
    assert!(!check(&data, &mut |_| {}).unwrap().is_damaged());
    assert!(data.join("lost+found").is_dir());
}

#[test]
fn a_folder_that_a_restore_is_at_work_in_is_in_use() {
    let bytes = small_backup();
    let (_folder, data) = place();
    let look = || {
        let opened = SledStore::open(config(&data), at(0)).map(drop);
        assert!(
            matches!(opened, Err(OpenError::Locked { .. })),
            "{opened:?}"
        );
        let other = restore(&b""[..], &data);
        assert!(
            matches!(other, Err(RestoreError::Open(OpenError::Locked { .. }))),
            "{other:?}"
        );
        let checked = check(&data, &mut |_| {}).map(drop);
        assert!(
            matches!(checked, Err(CheckError::Open(OpenError::Locked { .. }))),
            "{checked:?}"
        );
    };
    restore(Watched(bytes.as_slice(), look), &data).unwrap();
}

#[test]
fn who_opened_the_lock_of_a_restore_that_failed_has_no_lock() {
    let (_folder, data) = place();
    fs::create_dir(&data).unwrap();
    let held = lock(&data).unwrap();
    let path = data.join("LOCK");
    let late = fs::File::options().write(true).open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    drop(held);
    drop(lock(&data).unwrap());
    let error = hold(late, &data).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
}

/// Runs a restore and ends it like a kill: nothing is tidied up.
fn killed(restoring: impl FnOnce() -> Result<crate::Restored, RestoreError>) -> bool {
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(restoring));
    if let Ok(restored) = &ended {
        assert!(restored.is_ok(), "{restored:?}");
    }
    ended.is_err()
}

fn kill() {
    // No message, unlike a panic.
    std::panic::resume_unwind(Box::new("killed"));
}

/// What there is after a kill is the whole store, or none, and then whoever comes is told what to remove.
fn assert_whole_or_none(bytes: &[u8], data: &Path) -> bool {
    let is_whole = data.join("MANIFEST").exists();
    if !is_whole {
        let told = [
            SledStore::open(config(data), at(0)).err(),
            match check(data, &mut |_| {}) {
                Err(CheckError::Open(error)) => Some(error),
                Ok(_) | Err(_) => None,
            },
            match restore(bytes, data) {
                Err(RestoreError::Open(error)) => Some(error),
                Ok(_) | Err(_) => None,
            },
        ];
        for error in told {
            let error = error.unwrap();
            let OpenError::Unrestored { remains, .. } = &error else {
                panic!("{error}");
            };
            let text = error.to_string();
            for path in remains {
                assert!(text.contains(&path.display().to_string()), "{text}");
            }
        }
        let Err(OpenError::Unrestored { remains, .. }) = SledStore::open(config(data), at(0))
        else {
            panic!("a store was begun beside remains");
        };
        for path in remains {
            fs::remove_dir_all(path).unwrap();
        }
        restore(bytes, data).unwrap();
    }
    let report = check(data, &mut |_| {}).unwrap();
    assert!(!report.is_damaged(), "{report:?}");
    let store = open(data);
    assert_eq!(summaries(&store, everything()).len(), 30);
    store.close().unwrap();
    drop(store);
    let settings = SledControl::open(data).unwrap();
    assert_eq!(settings.load(TENANT, ControlKind::Group).unwrap().len(), 1);
    settings.close().unwrap();
    assert_eq!(names(data), ["LOCK", "MANIFEST", "control", "dict", "p"]);
    is_whole
}

#[test]
fn a_restore_that_is_killed_leaves_no_store_or_the_whole_one() {
    let bytes = small_backup();
    let n_reads = bytes.len().div_ceil(100);
    for nth in (0..n_reads).step_by(n_reads / 6) {
        let (_folder, data) = place();
        let mut n_left = nth;
        let look = || match n_left.checked_sub(1) {
            Some(left) => n_left = left,
            None => kill(),
        };
        let input = Watched(bytes.as_slice(), look);
        assert!(killed(|| restore(input, &data)), "read {nth}");
        assert!(!assert_whole_or_none(&bytes, &data), "read {nth}");
    }
    let mut steps = Vec::new();
    let (_folder, data) = place();
    let watch = &mut |step: &str| steps.push(step.to_owned());
    restore_watched(bytes.as_slice(), &data, watch).unwrap();
    assert_eq!(steps, ["dict", "control", "p", "MANIFEST", "restoring"]);
    for step in steps {
        let (_folder, data) = place();
        let watch = &mut |now: &str| {
            if now == step {
                kill();
            }
        };
        let restoring = || restore_watched(bytes.as_slice(), &data, watch);
        assert!(killed(restoring), "{step}");
        assert_eq!(
            assert_whole_or_none(&bytes, &data),
            step == "restoring",
            "{step}"
        );
    }
}

/// What is in the way of a part that moves up, fails the restore as late as can be.
#[test]
fn a_restore_that_fails_at_its_end_leaves_the_folder_as_it_was() {
    let bytes = small_backup();
    for step in ["dict", "control", "p", "MANIFEST"] {
        for is_there in [false, true] {
            let (folder, data) = place();
            if is_there {
                fs::create_dir(&data).unwrap();
            }
            let watch = &mut |now: &str| {
                if now == step {
                    let path = data.join("restoring").join(step);
                    fs::rename(path, data.join("restoring/elsewhere")).unwrap();
                }
            };
            let error = restore_watched(bytes.as_slice(), &data, watch).unwrap_err();
            assert!(matches!(error, RestoreError::Io { .. }), "{error}");
            if is_there {
                assert_eq!(names(&data), Vec::<String>::new(), "{step}");
            } else {
                assert_eq!(names(folder.path()), Vec::<String>::new(), "{step}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Wherever a backup breaks off, and whatever byte of it is another one, no other store comes of it. A few bits of compressed
    /// bytes say nothing.
    #[test]
    fn no_other_bytes_become_a_store(at in 0.0..1.0_f64, flip in 1..=255_u8) {
        static BYTES: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(small_backup);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a small file")]
        let place = (at * BYTES.len() as f64) as usize;
        refused(&BYTES[..place]);
        let mut changed = BYTES.clone();
        changed[place] ^= flip;
        if zstd::decode_all(&changed[..]).ok() == zstd::decode_all(&BYTES[..]).ok() {
            restored(&changed);
        } else {
            refused(&changed);
        }
    }
}
