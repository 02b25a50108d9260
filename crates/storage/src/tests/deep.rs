//! The deep check: whatever is derived otherwise than from the documents is found, and nothing else.

use std::path::Path;
use std::sync::Arc;

use model::{Document, Summary, SummaryFlags, Tenant};
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
use crate::{
    ALL_TRACES, CheckReport, Classify, ControlKind, ControlStore, Outcome, Recall, SledControl,
    TraceStore, check_deep, migrations,
};

const HOUR: u64 = 3_600;

fn deep(data: &Path) -> CheckReport {
    deep_by(data, Arc::new(ByDigit))
}

fn deep_by(data: &Path, recall: Arc<dyn Recall>) -> CheckReport {
    let recall_by =
        move |_: &Arc<dyn ControlStore>, _: &[(String, String)]| Ok(Arc::clone(&recall));
    check_deep(data, &recall_by, &mut |_| {}).unwrap()
}

/// Makes settings, without which there are no groups.
fn make_settings(data: &Path) {
    SledControl::open(data).unwrap().close().unwrap();
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
        vec![group_of(summary)]
    }
}

fn group_of(summary: &Summary) -> u32 {
    let last = summary.trace_id.as_bytes()[15];
    u32::from(last % 3) + 1
}

impl Recall for ByDigit {
    fn known(&self, _tenant: Tenant) -> Vec<u32> {
        vec![1, 2, 3]
    }

    fn forgotten(&self, _tenant: Tenant, _first_stamp: u64) -> Vec<u32> {
        Vec::new()
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
    make_settings(data);
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

#[test]
fn what_an_earlier_version_derived_is_derived_again_with_its_groups() {
    let data = tempfile::tempdir().unwrap();
    filled(data.path());
    for nth in [0, 1] {
        change(data.path(), nth, |opened, dictionaries| {
            for (key, _) in records(opened, dictionaries, Tree::Graph) {
                opened.engine().remove(Tree::Graph, &key).unwrap();
            }
        });
    }
    let store = SledStore::open(config(data.path()), at(0)).unwrap();
    let mut manifest = store.shared.lock_manifest().clone();
    for entry in &mut manifest.partitions {
        entry.sealed.iter_mut().for_each(|facts| facts.derived = 1);
    }
    store.shared.write_manifest(&manifest).unwrap();
    store.close().unwrap();
    drop(store);
    let store = SledStore::open(config(data.path()), at(0)).unwrap();
    store.classify_by(Arc::new(ByDigit));
    store.derive_again(at(0)).unwrap();
    store.close().unwrap();
    drop(store);
    assert_eq!(findings(data.path()), Vec::<String>::new());
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
    for (grain, words) in [(0, "by minute"), (1, "by hour")] {
        let words = format!("sums of all traces of tenant 0 {words}");
        let remove = |opened: &Opened, dictionaries: &Dictionaries| {
            let all = records(opened, dictionaries, Tree::Graph);
            let key = last_key_of_sums(&all, ALL_TRACES, grain);
            opened.engine().remove(Tree::Graph, &key).unwrap();
        };
        check_found(0, remove, &words);
        check_found(1, remove, &words);
    }
}

/// Returns the last of the keys of the first tenant's sums, of a group and by minute or by hour.
fn last_key_of_sums(all: &[(Vec<u8>, Vec<u8>)], group: u32, grain: u8) -> Vec<u8> {
    let prefix = [&[0; 4], &group.to_be_bytes()[..], &[grain]].concat();
    let keys = all.iter().map(|(key, _)| key);
    let of_group = keys.filter(|key| key.starts_with(&prefix));
    of_group.max().unwrap().clone()
}

/// Puts the sums of a group in the place of another one's.
fn exchange(from: u32, to: u32, grain: u8) -> impl Fn(&Opened, &Dictionaries) {
    move |opened, dictionaries| {
        let all = records(opened, dictionaries, Tree::Graph);
        let from = last_key_of_sums(&all, from, grain);
        let (_, payload) = all.iter().find(|(key, _)| *key == from).unwrap();
        let to = last_key_of_sums(&all, to, grain);
        let record = Record::of_payload(payload);
        opened.replace(Tree::Graph, &to, record).unwrap();
    }
}

#[test]
fn other_sums_of_a_group_are_found() {
    for (grain, words) in [(0, "by minute"), (1, "by hour")] {
        for nth in [0, 1] {
            for (from, to) in [(1, 2), (2, 3), (0, 1)] {
                let words = format!("sums of group {to} of tenant 0 {words}");
                check_found(nth, exchange(from, to, grain), &words);
            }
        }
        let remove = |opened: &Opened, dictionaries: &Dictionaries| {
            let all = records(opened, dictionaries, Tree::Graph);
            let key = last_key_of_sums(&all, 3, grain);
            opened.engine().remove(Tree::Graph, &key).unwrap();
        };
        check_found(1, remove, "sums of group 3");
    }
}

/// Knows some groups, and forgot one for traces that arrived late.
struct Forgetful {
    known: Vec<u32>,
    forgotten: u32,
    since: u64,
}

impl Classify for Forgetful {
    fn groups(
        &self,
        _tenant: Tenant,
        _first_stamp: u64,
        summary: &Summary,
        _documents: &mut dyn FnMut() -> Vec<Document>,
    ) -> Vec<u32> {
        let group = group_of(summary);
        let is_known = group != self.forgotten && self.known.contains(&group);
        is_known.then_some(group).into_iter().collect()
    }
}

impl Recall for Forgetful {
    fn known(&self, _tenant: Tenant) -> Vec<u32> {
        self.known.clone()
    }

    fn forgotten(&self, _tenant: Tenant, first_stamp: u64) -> Vec<u32> {
        let is_late = first_stamp >= self.since;
        is_late.then_some(self.forgotten).into_iter().collect()
    }
}

/// What nobody knows any more is not held against the store, and what is known still is.
#[test]
fn groups_that_are_forgotten_are_left_out() {
    let data = tempfile::tempdir().unwrap();
    filled(data.path());
    let findings = |known: &[u32], since: u64| {
        let recall = Forgetful {
            known: known.to_vec(),
            forgotten: 3,
            since,
        };
        let report = deep_by(data.path(), Arc::new(recall));
        let findings = report
            .partitions
            .into_iter()
            .map(|partition| partition.n_findings);
        findings.collect::<Vec<_>>()
    };
    let stamp = |secs: u64| at(secs).as_nanos() / 1_000;
    assert_eq!(findings(&[1, 2, 3], 0), [0, 0, 0]);
    assert_eq!(findings(&[2], 0), [0, 0, 0]);
    assert_eq!(findings(&[], 0), [0, 0, 0]);
    // Traces of the first partition are known not to be in the group, and stored sums say otherwise, by minute and by hour.
    assert_eq!(findings(&[1, 2, 3], stamp(3_600)), [2, 0, 0]);
    assert_eq!(findings(&[1, 2, 3], stamp(10 * 3_600)), [2, 2, 0]);
    change(data.path(), 1, exchange(1, 2, 0));
    assert_eq!(findings(&[1, 2, 3], 0), [0, 1, 0]);
    assert_eq!(findings(&[1, 3], 0), [0, 0, 0]);
}

#[test]
fn settings_that_do_not_tell_the_groups_are_a_finding() {
    let data = tempfile::tempdir().unwrap();
    filled(data.path());
    let recall_by = |settings: &Arc<dyn ControlStore>, tenants: &[(String, String)]| {
        assert!(
            settings
                .load(TENANT, ControlKind::Group)
                .unwrap()
                .is_empty()
        );
        let pair = |id: &str| (id.to_owned(), "r".to_owned());
        assert_eq!(tenants, [pair("1"), pair("2")]);
        Err("a group is odd".to_owned())
    };
    let report = check_deep(data.path(), &recall_by, &mut |_| {}).unwrap();
    assert_eq!(report.settings.as_deref(), Some("a group is odd"));
    assert!(report.is_damaged());
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

/// Groups whose filters changed at a stamp: the first has partial traces and then those with faults, the second then
/// those of which some document says so.
struct Changed(u64);

impl Classify for Changed {
    fn groups(
        &self,
        _tenant: Tenant,
        first_stamp: u64,
        summary: &Summary,
        documents: &mut dyn FnMut() -> Vec<Document>,
    ) -> Vec<u32> {
        let has = |flag| summary.flags.contains(flag);
        if first_stamp < self.0 {
            return has(SummaryFlags::IS_PARTIAL)
                .then_some(1)
                .into_iter()
                .collect();
        }
        let says_so = |document: &Document| document.text.contains("\"user\":\"u\"");
        let is_in = [
            has(SummaryFlags::HAS_FAULT),
            documents().iter().any(says_so),
        ];
        let groups = (1..).zip(is_in);
        groups
            .filter_map(|(group, is_in)| is_in.then_some(group))
            .collect()
    }
}

impl Recall for Changed {
    fn known(&self, _tenant: Tenant) -> Vec<u32> {
        vec![1, 2, 3]
    }

    fn forgotten(&self, _tenant: Tenant, _first_stamp: u64) -> Vec<u32> {
        Vec::new()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever arrives in whatever order over whatever partitions, what is derived is found to be right.
    #[test]
    fn what_is_sealed_is_sound(
        documents in prop::collection::vec((0..6_u64, 1..5_u64, 0..400_u64, 0..6_u8), 1..60),
        cuts in prop::collection::vec(any::<Index>(), 0..3),
        changed in any::<Index>(),
    ) {
        let data = tempfile::tempdir().unwrap();
        make_settings(data.path());
        let store: SledStore = open(data.path());
        // Documents come a second after one another, but for the time until a partition is sealed.
        let changed = at(100 + changed.index(documents.len() + 1) as u64).as_nanos() / 1_000;
        let groups = Arc::new(Changed(changed));
        store.classify_by(Arc::clone(&groups) as Arc<dyn Classify>);
        store.tenant("1", "r").unwrap();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(documents.len())).collect();
        cuts.push(documents.len() - 1);
        cuts.sort_unstable();
        cuts.dedup();
        let (mut now, mut is_empty) = (100, true);
        for (nth, (trace, id, start, kind)) in documents.into_iter().enumerate() {
            let document = match kind {
                0 => in_progress(trace, id, start),
                1 => segment(trace, id, start),
                2 => call(trace, id, start, "db"),
                3 => segment_with(trace, id, start, &format!(r#""end_time":{},"fault":true"#, at(start + 2))),
                4 => segment_with(trace, id, start, &format!(r#""end_time":{},"user":"u""#, at(start + 2))),
                _ => segment_named(trace, id, "db", start, &format!(r#""end_time":{},"parent_id":"{:016x}""#, at(start + 3), id + 1000)),
            };
            let outcomes = try_put(&store, vec![document], now).unwrap();
            // An empty partition is never sealed.
            is_empty &= outcomes != [Outcome::Stored];
            now += 1;
            if cuts.contains(&nth) && !is_empty {
                now += 2 * HOUR;
                seal(&store, now);
                is_empty = true;
            }
        }
        store.close().unwrap();
        drop(store);
        let report = deep_by(data.path(), groups);
        let findings: Vec<String> = report.partitions.into_iter().flat_map(|of| of.findings).collect();
        prop_assert_eq!(findings, Vec::<String>::new());
    }
}
