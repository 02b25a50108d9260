//! The deep check: whatever is derived otherwise than from the documents is found, and nothing else.

use std::path::Path;
use std::sync::Arc;

use model::{Document, Summary, Tenant};
use proptest::prelude::*;
use proptest::sample::Index;

use super::partitions::seal;
use super::support::*;
use crate::dictionary::Dictionaries;
use crate::engine::{Engine, SledEngine, Tree};
use crate::manifest::{self, Manifest};
use crate::partitions::{Handle, Opened};
use crate::record::{BlockEntry, Record, Zone, decode, encode};
use crate::store::SledStore;
use crate::{CheckReport, Classify, TraceStore, check_deep, migrations};

const HOUR: u64 = 3_600;

fn deep(data: &Path) -> CheckReport {
    check_deep(data, &mut |_| {}).unwrap()
}

fn findings(data: &Path) -> Vec<String> {
    let report = deep(data);
    let findings = report.partitions.into_iter();
    findings.flat_map(|partition| partition.findings).collect()
}

/// Traces are in the group of their last digit, whenever it is asked.
struct ByDigit;

impl Classify for ByDigit {
    fn groups(
        &self,
        _tenant: Tenant,
        _first_stamp: u64,
        summary: &Summary,
        _documents: &mut dyn FnMut() -> Vec<Document>,
    ) -> Vec<u32> {
        let last = summary.trace_id.as_bytes()[15];
        vec![u32::from(last % 3) + 1]
    }
}

fn call(trace: u64, id: u64, start: u64, to: &str) -> crate::NewDocument {
    let members = format!(
        r#""end_time":{},"subsegments":[{{"id":"{:016x}","name":"{to}","namespace":"remote","start_time":{},"end_time":{}}}]"#,
        at(start + 2),
        id + 1000,
        at(start),
        at(start + 1)
    );
    segment_with(trace, id, start, &members)
}

/// Returns a store of two sealed partitions and a third, with traces that go on in the next one, calls, and two tenants.
fn filled(data: &Path) {
    let store = open(data);
    store.classify_by(Arc::new(ByDigit));
    store.tenant("1", "r").unwrap();
    store.tenant("2", "r").unwrap();
    let first = (0..300).map(|trace| call(trace, 1, trace * 7, "db"));
    put(&store, first.chain([in_progress(7, 2, 9)]).collect());
    block_on(store.put(Tenant(1), vec![call(1, 1, 5, "queue")], at(100))).unwrap();
    seal(&store, 2 * HOUR);
    let second = (250..320).map(|trace| call(trace, 3, trace * 7, "cache"));
    try_put(&store, second.chain([segment(7, 2, 9)]).collect(), 2 * HOUR).unwrap();
    seal(&store, 4 * HOUR);
    try_put(&store, vec![segment(7, 4, 9)], 4 * HOUR).unwrap();
    store.close().unwrap();
}

/// Changes a partition of a store that nobody has open.
fn change(data: &Path, nth: usize, act: impl FnOnce(&Opened, &Dictionaries)) {
    let manifest: Manifest = migrations::look(data).unwrap();
    let dictionaries = Dictionaries::open(&data.join("dict")).unwrap();
    let engine: Arc<dyn Engine> = Arc::new(SledEngine);
    let dir = data.join("p").join(&manifest.partitions[nth].folder);
    let handle = Handle::new(engine, dir, 1 << 20);
    handle
        .with(|opened| {
            act(opened, &dictionaries);
            opened.sync()
        })
        .unwrap();
    handle.close();
}

/// Returns the keys and payloads of a tree.
fn records(opened: &Opened, dictionaries: &Dictionaries, tree: Tree) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut records = Vec::new();
    opened
        .scan_records(tree, &[], &[], dictionaries, &mut |key, read| {
            records.push((key.to_vec(), read.unwrap().1));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    records
}

#[test]
fn a_store_that_is_sound_is_found_so() {
    let data = tempfile::tempdir().unwrap();
    filled(data.path());
    assert_eq!(findings(data.path()), Vec::<String>::new());
    // Nothing was changed by looking.
    let store = open(data.path());
    assert_eq!(texts(&store, 7).len(), 3);
    store.close().unwrap();
}

fn check_found(nth: usize, act: impl FnOnce(&Opened, &Dictionaries), words: &str) {
    let data = tempfile::tempdir().unwrap();
    filled(data.path());
    change(data.path(), nth, act);
    let report = deep(data.path());
    assert!(report.is_damaged(), "{words}");
    let found = &report.partitions[nth].findings;
    assert!(
        found.iter().any(|finding| finding.contains(words)),
        "{words}: {found:?}"
    );
}

#[test]
fn another_summary_is_found() {
    let change = |opened: &Opened, dictionaries: &Dictionaries| {
        let (key, payload) = records(opened, dictionaries, Tree::Blocks).remove(0);
        let mut entries: Vec<BlockEntry> = decode(&payload).unwrap();
        entries[5].summary.revision += 1;
        opened
            .replace(Tree::Blocks, &key, Record::of_payload(&encode(&entries)))
            .unwrap();
    };
    check_found(0, change, "blocks: the summary");
    check_found(1, change, "blocks: the summary");
}

#[test]
fn summaries_that_are_missing_or_too_many_are_found() {
    let with = |change: fn(&mut Vec<BlockEntry>)| {
        move |opened: &Opened, dictionaries: &Dictionaries| {
            let (key, payload) = records(opened, dictionaries, Tree::Blocks).remove(0);
            let mut entries: Vec<BlockEntry> = decode(&payload).unwrap();
            change(&mut entries);
            opened
                .replace(Tree::Blocks, &key, Record::of_payload(&encode(&entries)))
                .unwrap();
        }
    };
    let drop_last = with(|entries| drop(entries.pop()));
    check_found(0, drop_last, "zones");
    let repeat_last = with(|entries| entries.extend(entries.last().cloned()));
    check_found(0, repeat_last, "is not of its documents");
}

#[test]
fn another_zone_is_found() {
    let change = |opened: &Opened, dictionaries: &Dictionaries| {
        let (key, payload) = records(opened, dictionaries, Tree::Zones).remove(0);
        let mut zone: Zone = decode(&payload).unwrap();
        zone.start_min = at(0);
        opened
            .replace(Tree::Zones, &key, Record::of_payload(&encode(&zone)))
            .unwrap();
    };
    check_found(1, change, "zones");
}

#[test]
fn sums_that_are_missing_are_found() {
    // Of the first tenant all traces come first: by minute, then by hour.
    for nth_key in [0, 1] {
        let remove = |opened: &Opened, dictionaries: &Dictionaries| {
            let all = records(opened, dictionaries, Tree::Graph);
            let of_all_traces = all.iter().filter(|(key, _)| key[4..8] == [0; 4]);
            let grain = of_all_traces.filter(|(key, _)| usize::from(key[8]) == nth_key);
            let (key, _) = grain.max().unwrap();
            opened.engine().remove(Tree::Graph, key).unwrap();
        };
        check_found(0, remove, "sums");
        check_found(1, remove, "sums");
    }
}

#[test]
fn another_document_shows_in_everything() {
    let change = |opened: &Opened, _: &Dictionaries| {
        let other = call(3, 1, 21, "elsewhere");
        let key = crate::keys::segment(TENANT, other.trace_id, other.head.segment_id);
        let mut record = Record::of_payload(other.text.as_bytes());
        (record.stamp, record.first_stamp, record.revision) = (1, 1, 1);
        opened.replace(Tree::Segments, &key, record).unwrap();
    };
    check_found(0, change, "blocks: the summary");
    check_found(0, change, "sums");
}

#[test]
fn a_manifest_that_tells_something_else_is_found() {
    let data = tempfile::tempdir().unwrap();
    filled(data.path());
    let mut manifest: Manifest = migrations::look(data.path()).unwrap();
    let facts = manifest.partitions[0].sealed.as_mut().unwrap();
    facts.ends.1 = at(1_000_000);
    manifest::write(data.path(), migrations::CURRENT, &manifest).unwrap();
    let found = findings(data.path());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("latest end"), "{found:?}");
}

/// Where older partitions were dropped, what rests on them is not held against the store.
#[test]
fn what_rests_on_partitions_that_are_gone_is_left_out() {
    let data = tempfile::tempdir().unwrap();
    filled(data.path());
    let mut manifest: Manifest = migrations::look(data.path()).unwrap();
    manifest.partitions.remove(0);
    manifest::write(data.path(), migrations::CURRENT, &manifest).unwrap();
    assert_eq!(findings(data.path()), Vec::<String>::new());
    let spoil = |opened: &Opened, dictionaries: &Dictionaries| {
        let (key, payload) = records(opened, dictionaries, Tree::Blocks).remove(0);
        let mut entries: Vec<BlockEntry> = decode(&payload).unwrap();
        // The newest trace is of this partition alone.
        entries[0].summary.revision += 1;
        opened
            .replace(Tree::Blocks, &key, Record::of_payload(&encode(&entries)))
            .unwrap();
    };
    change(data.path(), 0, spoil);
    assert_eq!(findings(data.path()).len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever arrives in whatever order over whatever partitions, what is derived is found to be right.
    #[test]
    fn what_is_sealed_is_sound(
        documents in prop::collection::vec((0..6_u64, 1..5_u64, 0..400_u64, 0..4_u8), 1..60),
        cuts in prop::collection::vec(any::<Index>(), 0..3),
    ) {
        let data = tempfile::tempdir().unwrap();
        let store: SledStore = open(data.path());
        store.classify_by(Arc::new(ByDigit));
        store.tenant("1", "r").unwrap();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(documents.len())).collect();
        cuts.push(documents.len() - 1);
        cuts.sort_unstable();
        cuts.dedup();
        let mut now = 100;
        for (nth, (trace, id, start, kind)) in documents.into_iter().enumerate() {
            let document = match kind {
                0 => in_progress(trace, id, start),
                1 => segment(trace, id, start),
                2 => call(trace, id, start, "db"),
                _ => segment_named(trace, id, "db", start, &format!(r#""end_time":{},"parent_id":"{:016x}""#, at(start + 3), id + 1000)),
            };
            try_put(&store, vec![document], now).unwrap();
            if cuts.contains(&nth) {
                now += 2 * HOUR;
                seal(&store, now);
            }
        }
        store.close().unwrap();
        drop(store);
        prop_assert_eq!(findings(data.path()), Vec::<String>::new());
    }
}
