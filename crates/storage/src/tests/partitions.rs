//! Sealing, traces that span partitions, retention, and partitions that are damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{Document, Summary, TraceId, ZoneFacts};
use proptest::prelude::*;

use super::support::*;
use crate::store::{Config, SledStore};
use crate::{
    Judgement, Outcome, Scan, ScanEffort, TraceFilter, TraceStore, Window, WindowBy, check,
};

const HOUR: u64 = 3_600;

/// Puts a batch `now`, and lets what is due happen first.
fn put_at(store: &SledStore, now: u64, batch: Vec<crate::NewDocument>) -> Vec<Outcome> {
    try_put(store, batch, now).unwrap()
}

/// Lets time pass until the active partition is sealed.
pub(super) fn seal(store: &SledStore, now: u64) {
    let sealed_before = n_sealed(store);
    store.maintain(at(now));
    eventually("the partition is sealed", || {
        n_sealed(store) > sealed_before
    });
}

fn n_sealed(store: &SledStore) -> u64 {
    store.sealed_for_tests()
}

fn partition_dirs(data: &Path) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = fs::read_dir(data.join("p"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    dirs.sort();
    dirs
}

#[test]
fn sealed_partitions_answer_as_before() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    put_at(
        &store,
        0,
        (0..700).map(|trace| segment(trace, 1, trace)).collect(),
    );
    let before = summaries(&store, everything());
    seal(&store, 2 * HOUR);
    // Sealing opened it once more, which wrote the snapshot that makes later opens quick.
    let files = fs::read_dir(&partition_dirs(data.path())[0]).unwrap();
    let mut names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert!(names.any(|name| name.starts_with("snap.")));
    put_at(&store, 2 * HOUR, vec![segment(5_000, 1, 5_000)]);
    let after = summaries(&store, everything());
    assert_eq!(after[1..], before);
    assert_eq!(texts(&store, 350), [segment(350, 1, 350).text]);
    let window = Window {
        by: WindowBy::Start,
        from: at(100),
        to: at(200),
    };
    assert_eq!(
        summaries(
            &store,
            Scan {
                window,
                ..everything()
            }
        )
        .len(),
        100
    );
    store.close().unwrap();
    drop(store);
    let store = open(data.path());
    assert_eq!(summaries(&store, everything()), after);
    assert_eq!(texts(&store, 350).len(), 1);
    store.close().unwrap();
    drop(store);
    let report = check(data.path(), &mut |_| {}).unwrap();
    assert!(!report.is_damaged(), "{report:?}");
    assert_eq!(report.partitions[0].n_documents, 700);
}

#[test]
fn a_trace_over_two_partitions_is_one() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    put_at(
        &store,
        0,
        vec![in_progress(1, 1, 5), segment(1, 2, 6), segment(2, 1, 4)],
    );
    seal(&store, 2 * HOUR);
    assert_eq!(
        put_at(&store, 2 * HOUR, vec![segment(1, 2, 6)]),
        [Outcome::Unchanged]
    );
    assert_eq!(
        put_at(&store, 2 * HOUR, vec![segment(1, 1, 5), segment(1, 3, 9)]),
        [Outcome::Stored; 2]
    );
    let check_both = |store: &SledStore| {
        assert_eq!(texts(store, 1).len(), 3);
        let found = summaries(store, everything());
        let traces: Vec<_> = found
            .iter()
            .map(|summary| (summary.trace_id, summary.n_segments))
            .collect();
        assert_eq!(traces, [(trace_id(1), 3), (trace_id(2), 1)]);
        assert!(!found[0].flags.contains(model::SummaryFlags::IS_PARTIAL));
        assert_eq!(found[0].end, at(10));
    };
    check_both(&store);
    store.close().unwrap();
    drop(store);
    let store = open(data.path());
    check_both(&store);
    let of_each = |store: &SledStore| {
        let asked = vec![trace_id(1), trace_id(2)];
        block_on(store.summaries_of(TENANT, asked)).unwrap()
    };
    assert_eq!(of_each(&store), summaries(&store, everything()));
    assert_eq!(
        put_at(&store, 2 * HOUR, vec![in_progress(1, 1, 5)]),
        [Outcome::Superseded]
    );
    seal(&store, 4 * HOUR);
    check_both(&store);
    assert_eq!(of_each(&store), summaries(&store, everything()));
    store.close().unwrap();
    drop(store);
    check_both(&open(data.path()));
}

#[test]
fn partitions_go_when_they_are_too_old() {
    let data = tempfile::tempdir().unwrap();
    let store = SledStore::open(
        Config {
            retention: Duration::from_secs(10 * HOUR),
            ..config(data.path())
        },
        at(0),
    )
    .unwrap();
    put_at(&store, 0, vec![segment(1, 1, 5)]);
    seal(&store, 2 * HOUR);
    put_at(&store, 3 * HOUR, vec![segment(2, 1, 6)]);
    store.maintain(at(11 * HOUR));
    eventually("the second partition is sealed", || n_sealed(&store) == 2);
    store.maintain(at(12 * HOUR + 1));
    eventually("the first partition is gone", || n_sealed(&store) == 1);
    assert!(texts(&store, 1).is_empty());
    assert_eq!(texts(&store, 2).len(), 1);
    eventually("its folder is gone", || {
        partition_dirs(data.path()).len() == 2
    });
}

#[test]
fn a_short_retention_does_not_wait_for_the_hour() {
    let data = tempfile::tempdir().unwrap();
    let retention = Duration::from_secs(16);
    let config = Config {
        retention,
        ..config(data.path())
    };
    let store = SledStore::open(config, at(0)).unwrap();
    put_at(&store, 0, vec![segment(1, 1, 5)]);
    seal(&store, 2);
    store.maintain(at(19));
    eventually("the trace is gone", || texts(&store, 1).is_empty());
}

#[test]
fn partitions_go_when_they_take_too_much_disk() {
    let data = tempfile::tempdir().unwrap();
    let limit = 24 << 20;
    let config = Config {
        disk_bytes_max: limit,
        ..config(data.path())
    };
    let store = SledStore::open(config, at(0)).unwrap();
    for round in 0..1_000_u64 {
        let noise = noise(50_000, round);
        let members = format!(
            r#""end_time":{},"metadata":{{"n":{{"k":"{noise}"}}}}"#,
            at(9)
        );
        let batch = (0..2)
            .map(|id| segment_with(round, id, round, &members))
            .collect();
        put_at(&store, round, batch);
    }
    store.maintain(at(1_000));
    eventually("the disk limit holds", || {
        crate::retention::disk_bytes(data.path()) < limit + limit / 3
    });
    assert_eq!(texts(&store, 999).len(), 2);
    assert!(texts(&store, 0).is_empty());
    assert!(store.stats().n_dropped > 0);
}

#[test]
fn a_damaged_sealed_partition_is_set_aside_and_the_rest_serves() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    put_at(&store, 0, vec![segment(1, 1, 5)]);
    seal(&store, 2 * HOUR);
    put_at(&store, 2 * HOUR, vec![segment(2, 1, 6)]);
    seal(&store, 4 * HOUR);
    store.close().unwrap();
    drop(store);
    fs::write(partition_dirs(data.path())[0].join("members"), b"damaged").unwrap();
    let report = check(data.path(), &mut |_| {}).unwrap();
    assert!(report.is_damaged());
    let store = open(data.path());
    assert_eq!(store.stats().n_quarantined, 1);
    assert_eq!(texts(&store, 2).len(), 1);
    assert!(texts(&store, 1).is_empty());
    assert_eq!(
        fs::read_dir(data.path().join("quarantine"))
            .unwrap()
            .count(),
        1
    );
}

#[test]
fn a_damaged_active_partition_is_set_aside_and_a_fresh_one_begun() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    put(&store, vec![segment(1, 1, 5)]);
    store.close().unwrap();
    drop(store);
    let db = partition_dirs(data.path())[0].join("db");
    let n_bytes = usize::try_from(fs::metadata(&db).unwrap().len()).unwrap();
    fs::write(&db, vec![0x5a; n_bytes]).unwrap();
    let store = open(data.path());
    assert_eq!(store.stats().n_quarantined, 1);
    assert_eq!(put(&store, vec![segment(2, 1, 6)]), [Outcome::Stored]);
    assert_eq!(texts(&store, 2).len(), 1);
}

#[test]
fn a_partition_whose_folder_is_gone_does_not_keep_the_store_shut() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    put(&store, vec![segment(1, 1, 5)]);
    store.close().unwrap();
    drop(store);
    let folder = partition_dirs(data.path())[0].clone();
    // As if it had been set aside before, and the power had failed before the manifest was written.
    fs::rename(
        &folder,
        data.path()
            .join("quarantine")
            .join(folder.file_name().unwrap()),
    )
    .unwrap();
    let store = open(data.path());
    assert_eq!(store.stats().n_quarantined, 1);
    assert_eq!(put(&store, vec![segment(2, 1, 6)]), [Outcome::Stored]);
}

#[test]
fn folders_the_manifest_does_not_name_are_removed_at_open() {
    let data = tempfile::tempdir().unwrap();
    drop(open(data.path()));
    let stray = data.path().join("p").join("123_000099");
    fs::create_dir(&stray).unwrap();
    drop(open(data.path()));
    assert!(!stray.exists());
}

#[test]
fn no_blob_file_is_ever_made() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    for trace in 0..60 {
        let members = format!(
            r#""end_time":{},"metadata":{{"n":{{"k":"{}"}}}}"#,
            at(9),
            noise(60_000, trace)
        );
        put(&store, vec![segment_with(trace, 1, trace, &members)]);
    }
    seal(&store, 2 * HOUR);
    for dir in partition_dirs(data.path()) {
        assert_eq!(fs::read_dir(dir.join("blobs")).unwrap().count(), 0);
    }
}

#[test]
fn a_dictionary_is_trained_on_the_stores_own_documents() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    for round in 0..35 {
        put(
            &store,
            (0..100).map(|id| segment(round, id + 1, round)).collect(),
        );
    }
    eventually("a second dictionary is there", || {
        data.path().join("dict/0002.zdict").exists()
    });
    put(&store, vec![segment(900, 1, 5)]);
    store.close().unwrap();
    drop(store);
    let store = open(data.path());
    assert_eq!(texts(&store, 900), [segment(900, 1, 5).text]);
    assert_eq!(texts(&store, 3).len(), 100);
}

/// Keeps the traces of one service, and counts what it was asked.
struct OfService {
    name: &'static str,
    /// Summaries do not tell.
    reads: bool,
}

impl TraceFilter for OfService {
    fn may_match(&self, zone: &ZoneFacts) -> bool {
        zone.may_have_service(self.name)
    }

    fn judge(&self, summary: &Summary) -> Judgement {
        if self.reads {
            return Judgement::ReadDocuments;
        }
        let is_of = summary.services.iter().any(|one| one.name == self.name);
        if is_of {
            Judgement::Keep
        } else {
            Judgement::Skip
        }
    }

    fn judge_documents(&self, _summary: &Summary, documents: &[Document]) -> bool {
        let name = format!(r#""name":"{}""#, self.name);
        documents
            .iter()
            .any(|document| document.text.contains(&name))
    }
}

#[test]
fn zones_let_a_scan_pass_blocks_over() {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    let end = |start: u64| format!(r#""end_time":{}"#, at(start + 1));
    let mut batch: Vec<_> = (0..600).map(|trace| segment(trace, 1, trace)).collect();
    batch.push(segment_named(900, 1, "needle", 300, &end(300)));
    put_at(&store, 0, batch);
    seal(&store, 2 * HOUR);
    put_at(
        &store,
        2 * HOUR,
        vec![
            segment_named(901, 1, "needle", 700, &end(700)),
            segment(902, 1, 701),
        ],
    );
    let find = |name, reads| {
        let filter = std::sync::Arc::new(OfService { name, reads });
        let scan = Scan {
            filter,
            ..everything()
        };
        let page = block_on(store.summaries(TENANT, scan)).unwrap();
        let found: Vec<TraceId> = page.summaries.iter().map(|one| one.trace_id).collect();
        (found, page.effort)
    };
    let needles = vec![trace_id(901), trace_id(900)];
    let effort = |n_blocks_read, n_blocks_passed, n_traces_read| ScanEffort {
        n_blocks_read,
        n_blocks_passed,
        n_traces_read,
    };
    assert_eq!(find("needle", false), (needles.clone(), effort(1, 2, 0)));
    assert_eq!(find("nobody", false), (Vec::new(), effort(0, 3, 0)));
    assert_eq!(find("shop", false).1, effort(3, 0, 0));
    let (found, reading) = find("needle", true);
    assert_eq!(found, needles);
    assert_eq!((reading.n_blocks_read, reading.n_blocks_passed), (1, 2));
    assert_eq!(
        reading.n_traces_read,
        256 + 2,
        "of one block and the recent ones"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// However documents are spread over partitions, they read as if there were one.
    #[test]
    fn partitions_do_not_show(
        documents in prop::collection::vec((0..12_u64, 1..4_u64, any::<bool>(), 0..30_u64), 1..40),
        seals in prop::collection::vec(0..40_usize, 0..3),
    ) {
        let (apart, together) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let never = Config { partition_age: Duration::from_hours(1_000), ..config(together.path()) };
        let (many, one) = (open(apart.path()), SledStore::open(never, at(0)).unwrap());
        let mut now = 0;
        for (number, (trace, id, finished, start)) in documents.iter().enumerate() {
            if seals.contains(&number) && number > 0 {
                now += 2 * HOUR;
                seal(&many, now);
            }
            let document = if *finished { segment(*trace, *id, *start) } else { in_progress(*trace, *id, *start) };
            let outcomes = (put_at(&many, now, vec![document.clone()]), put_at(&one, now, vec![document]));
            prop_assert_eq!(&outcomes.0, &outcomes.1);
        }
        let without_revision = |store: &SledStore| {
            let mut found = summaries(store, everything());
            for summary in &mut found {
                summary.revision = 0;
            }
            found
        };
        prop_assert_eq!(without_revision(&many), without_revision(&one));
        for trace in 0..12 {
            prop_assert_eq!(texts(&many, trace), texts(&one, trace));
        }
    }
}
