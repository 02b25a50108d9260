//! A file of every format there was can be read.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::support::{NOW, call, datagram, folder, limits, read};
use crate::{Content, Journal, Record};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

/// Two blocks; the file is kept as it was first written.
fn records() -> [Vec<Record>; 2] {
    [vec![call(), datagram(1)], vec![datagram(2)]]
}

#[test]
fn a_file_of_format_1_is_read() {
    let path = fixture("format_1.journal");
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes[..12], *b"RTGNJRNL\0\0\0\x01");
    let came = read(&[path]);
    assert_eq!(came.records, records().concat());
    assert!(came.errors.is_empty() && came.torn_bytes == 0);
}

#[test]
fn a_file_of_format_1_with_how_long_answers_took_is_read() {
    let mut record = call();
    if let Content::Http(call) = record.content {
        record.content = Content::Http(call.with_took(Duration::from_nanos(1_234_567)));
    }
    let came = read(&[fixture("format_1_took.journal")]);
    assert_eq!(came.records, [record, datagram(1)]);
    assert!(came.errors.is_empty() && came.torn_bytes == 0);
}

#[test]
fn a_file_of_format_1_is_gone_on_with() {
    let folder = folder();
    let path = folder.path().join("a");
    fs::copy(fixture("format_1.journal"), &path).unwrap();
    let opened = Journal::open_file(&path, &limits(), NOW).unwrap();
    assert_eq!(opened.cut, None);
    let mut journal = opened.journal;
    journal.append(&datagram(3), NOW).unwrap();
    journal.flush(NOW).unwrap();
    let mut expected = records().concat();
    expected.push(datagram(3));
    assert_eq!(read(&[path]).records, expected);
}
