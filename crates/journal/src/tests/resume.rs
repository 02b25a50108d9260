//! Positions, several files as one stream, and files that come and go.

use std::fs;

use model::Timestamp;

use super::support::{NOW, datagram, files, folder, go_on, limits, read, write};
use crate::{Journal, ReadError, Reader, Record};

#[test]
fn files_are_one_stream_in_the_order_they_were_begun() {
    let folder = folder();
    // Names and arguments say the contrary.
    for (name, secs) in [("c", 1), ("b", 2), ("a", 3)] {
        let path = folder.path().join(name);
        let created = Timestamp::from_secs(secs);
        let mut journal = Journal::open_file(&path, &limits(), created)
            .unwrap()
            .journal;
        journal.append(&datagram(secs), NOW).unwrap();
        journal.flush(NOW).unwrap();
    }
    let paths = ["a", "b", "c"].map(|name| folder.path().join(name));
    let came = read(&paths);
    assert_eq!(came.records, [1, 2, 3].map(datagram));

    // A damaged header costs nothing but the order, for which the first record stands.
    let mut bytes = fs::read(&paths[1]).unwrap();
    bytes[15] ^= 1;
    fs::write(&paths[1], bytes).unwrap();
    let came = read(&paths);
    assert_eq!(came.records, [1, 3, 2].map(datagram));
    assert!(matches!(
        came.errors.as_slice(),
        [ReadError::Damaged {
            offset: 0,
            until: 32,
            ..
        }]
    ));
}

#[test]
fn a_position_outlives_files_that_are_moved_and_added() {
    let folder = folder();
    let mut limits = limits();
    limits.block_bytes = 1;
    limits.file_bytes_max = 4096;
    let mut journal = Journal::open_folder(folder.path(), &limits, NOW)
        .unwrap()
        .journal;
    let mut append = |numbers: std::ops::Range<u64>| {
        for number in numbers {
            journal.append(&datagram(number), NOW).unwrap();
        }
    };
    append(0..60);
    assert_eq!(files(folder.path()).len(), 2);
    let mut reader = Reader::open(&[folder.path()]).unwrap();
    assert_eq!(go_on(&mut reader).records.len(), 60);
    let position = reader.position().unwrap();
    append(60..200);
    assert!(files(folder.path()).len() > 3);
    // The reader goes on in the file it is in; those that were begun later are another one's.
    let n_more = go_on(&mut reader).records.len();
    assert!((1..140).contains(&n_more), "{n_more}");

    let second = &files(folder.path())[1];
    fs::rename(second, folder.path().join("moved.journal")).unwrap();
    let mut resumed = Reader::open(&[folder.path()]).unwrap();
    resumed.seek(&position).unwrap();
    let expected: Vec<Record> = (60..200).map(datagram).collect();
    assert_eq!(go_on(&mut resumed).records, expected);
}

#[test]
fn a_position_of_elsewhere_is_refused() {
    let folder = folder();
    let path = folder.path().join("a");
    write(&path, &[&[datagram(0), datagram(1)], &[datagram(2)]]);
    let created = NOW.as_nanos();
    let check = |position: String| {
        let mut reader = Reader::open(&[&path]).unwrap();
        let sought = reader.seek(&position.parse().unwrap());
        assert!(
            matches!(sought, Err(ReadError::Elsewhere { .. })),
            "{position}: {sought:?}"
        );
        assert_eq!(go_on(&mut reader).records.len(), 3, "{position}");
    };
    check(format!("{}/0/32/0", created + 1));
    check(format!("{created}/1/32/0"));
    check(format!("{created}/0/31/0"));
    check(format!("{created}/0/33/1"));
    check(format!("{created}/0/32/2"));
    check(format!("{created}/0/32/4294967295"));
    check(format!("{created}/0/100000/0"));
    let mut reader = Reader::open(&[&path]).unwrap();
    reader
        .seek(&format!("{created}/0/32/1").parse().unwrap())
        .unwrap();
    assert_eq!(go_on(&mut reader).records, [datagram(1), datagram(2)]);
}

#[test]
fn a_file_that_is_gone_is_told_and_left() {
    let folder = folder();
    let paths = ["a", "b", "c"].map(|name| folder.path().join(name));
    for (number, path) in (0..).zip(&paths) {
        write(path, &[&[datagram(number)]]);
    }
    for gone in 0..3 {
        let mut reader = Reader::open(&paths).unwrap();
        let bytes = fs::read(&paths[gone]).unwrap();
        fs::remove_file(&paths[gone]).unwrap();
        let came = go_on(&mut reader);
        fs::write(&paths[gone], bytes).unwrap();
        assert_eq!(came.records.len(), 2);
        let [ReadError::Io { path, .. }] = came.errors.as_slice() else {
            panic!("{:?}", came.errors);
        };
        assert_eq!(path, &paths[gone]);
    }
}
#[test]
fn nothing_has_no_records_and_no_position() {
    let folder = folder();
    let mut reader = Reader::open(&[folder.path()]).unwrap();
    assert_eq!(reader.position(), None);
    assert!(reader.next().is_none());
}
