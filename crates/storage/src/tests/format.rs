//! The stored format does not change by accident: bytes of records, and a store kept from each format.

use std::fs::{self, File};
use std::path::PathBuf;

use model::{DocumentLimits, Segment, Summary};

use super::support::*;
use crate::record::{BlockEntry, encode};
use crate::{check, migrations};

/// Every member of a summary is set by this one.
const DOCUMENT: &str = r#"{"trace_id":"1-6afd79c0-000000000000000000000001","id":"0000000000000002",
"parent_id":"0000000000000001","name":"shop","start_time":1,"end_time":2.5,"origin":"AWS::ECS::Container",
"resource_arn":"arn","user":"u","fault":true,"aws":{"account_id":"1","ec2":{"instance_id":"i","availability_zone":"z"}},
"http":{"request":{"url":"U","method":"GET","user_agent":"A","client_ip":"C"},"response":{"status":500}},
"annotations":{"s":"x","n":1.5,"b":true},
"subsegments":[{"id":"0000000000000003","name":"D","namespace":"remote","start_time":1,"end_time":2}]}"#;

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn derived_records_are_encoded_as_ever() {
    let segment = Segment::parse(DOCUMENT, &DocumentLimits::default()).unwrap();
    let head = segment.head();
    let summary = Summary::of(segment.trace_id(), std::slice::from_ref(&head), 7);
    let entry = BlockEntry {
        first_stamp: 9,
        summary,
    };
    assert_eq!(hex(&encode(&entry)), ENTRY);
}

/// A change of these comes with a new number in `manifest::DERIVED`.
const ENTRY: &str = "096afd79c0000000000000000000000001fc00ca9a3bfc00f9029501fc002f6859015107010155010347455401fbf401010141010143030473686f7001134157533a3a4543533a3a436f6e7461696e6572010131000144010672656d6f746500010473686f700106636c69656e74000001000301730201780100016e00000000000000f83f01000162010101000101750100010361726e01016901017a02000201fc002f685901fbf401010002fc00ca9a3b000202000200fc002f685901fbf40100010000fc00ca9a3b00";

/// Stores of every format up to the current one open, are migrated, and have what was put into them.
/// A new format's fixture is written by running this test once with `WRITE_FIXTURE` set.
#[test]
fn a_store_of_every_format_opens() {
    for format in 1..=migrations::CURRENT {
        let fixture = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../../migrations/fixtures/{format:04}.tar.zst"));
        if format == migrations::CURRENT && std::env::var_os("WRITE_FIXTURE").is_some() {
            write_fixture(&fixture);
        }
        let data = tempfile::tempdir().unwrap();
        let unpacked = zstd::Decoder::new(File::open(&fixture).unwrap()).unwrap();
        tar::Archive::new(unpacked).unpack(data.path()).unwrap();
        let manifest = || fs::read(data.path().join("MANIFEST")).unwrap();
        let before = manifest();
        assert!(!check(data.path(), &mut |_| {}).unwrap().is_damaged());
        assert_eq!(manifest(), before, "looking changes nothing");
        let store = open(data.path());
        assert_eq!(
            texts(&store, 1),
            [segment(1, 1, 5).text, segment(1, 2, 6).text]
        );
        assert_eq!(texts(&store, 2), [in_progress(2, 1, 7).text]);
        assert_eq!(summaries(&store, everything()).len(), 2);
        assert_eq!(store.stats().n_quarantined, 0);
        store.close().unwrap();
        drop(store);
        assert!(!check(data.path(), &mut |_| {}).unwrap().is_damaged());
    }
}

/// Packs a store with a sealed partition and one that takes writes.
fn write_fixture(path: &std::path::Path) {
    let data = tempfile::tempdir().unwrap();
    let store = open(data.path());
    try_put(&store, vec![segment(1, 1, 5)], 0).unwrap();
    store.maintain(at(7_200));
    eventually("the partition is sealed", || store.sealed_for_tests() == 1);
    try_put(&store, vec![segment(1, 2, 6), in_progress(2, 1, 7)], 7_200).unwrap();
    store.close().unwrap();
    drop(store);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let packed = zstd::Encoder::new(File::create(path).unwrap(), 19).unwrap();
    let mut archive = tar::Builder::new(packed);
    archive.append_dir_all(".", data.path()).unwrap();
    archive.into_inner().unwrap().finish().unwrap();
}
