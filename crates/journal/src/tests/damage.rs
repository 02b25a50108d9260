//! Files that are cut off, changed, or filled with something else.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::support::{Came, NOW, call, datagram, folder, go_on, limits, read, write};
use crate::{Journal, OpenError, ReadError, Reader, Record};

/// Three blocks of one, two and one records.
fn blocks() -> [Vec<Record>; 3] {
    [
        vec![datagram(0)],
        vec![datagram(1), call()],
        vec![datagram(3)],
    ]
}

/// Returns the bytes of a file of these blocks, and where each block ends.
fn file(folder: &Path) -> (Vec<u8>, Vec<u64>) {
    let path = folder.join("whole");
    let blocks = blocks();
    let ends = write(&path, &blocks.each_ref().map(Vec::as_slice));
    (fs::read(path).unwrap(), ends)
}

/// Returns what comes of a file of these bytes.
fn read_bytes(folder: &Path, bytes: &[u8]) -> Came {
    let path = folder.join("changed");
    fs::write(&path, bytes).unwrap();
    read(&[path])
}

#[test]
fn of_a_file_that_is_cut_off_anywhere_every_whole_block_comes_back() {
    let folder = folder();
    let (bytes, ends) = file(folder.path());
    for cut in 0..=bytes.len() {
        let came = read_bytes(folder.path(), &bytes[..cut]);
        let cut = u64::try_from(cut).unwrap();
        let n_whole = ends[1..].iter().filter(|end| **end <= cut).count();
        assert_eq!(came.records, blocks()[..n_whole].concat(), "cut at {cut}");
        assert!(came.errors.is_empty(), "cut at {cut}: {:?}", came.errors);
        let whole = ends.iter().rev().find(|end| **end <= cut).unwrap_or(&0);
        assert_eq!(came.torn_bytes, cut - whole, "cut at {cut}");
    }
}

#[test]
fn a_file_that_is_cut_off_anywhere_can_be_gone_on_with() {
    let folder = folder();
    let (bytes, ends) = file(folder.path());
    let path = folder.path().join("changed");
    for cut in 0..=bytes.len() {
        fs::write(&path, &bytes[..cut]).unwrap();
        let opened = Journal::open_file(&path, &limits(), NOW).unwrap();
        let cut = u64::try_from(cut).unwrap();
        let whole = *ends.iter().rev().find(|end| **end <= cut).unwrap_or(&cut);
        let said = opened.cut.map(|cut| (cut.path, cut.offset, cut.n_bytes));
        let expected = (whole < cut).then(|| (path.clone(), whole, cut - whole));
        assert_eq!(said, expected, "cut at {cut}");
        let mut journal = opened.journal;
        journal.append(&datagram(9), NOW).unwrap();
        journal.flush(NOW).unwrap();
        let n_whole = ends[1..].iter().filter(|end| **end <= cut).count();
        let mut expected = blocks()[..n_whole].concat();
        expected.push(datagram(9));
        let came = read(&[&path]);
        assert_eq!(came.records, expected, "cut at {cut}");
        assert!(came.errors.is_empty() && came.torn_bytes == 0);
    }
}

#[test]
fn every_bit_that_flips_is_noticed_and_costs_its_block_alone() {
    let folder = folder();
    let (bytes, ends) = file(folder.path());
    let path = folder.path().join("whole");
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for place in 0..bytes.len() * 8 {
        let byte = u64::try_from(place / 8).unwrap();
        let before = place.checked_sub(8).map(|place| place / 8);
        if let Some(before) = before {
            file.write_all_at(&bytes[before..=before], byte - 1)
                .unwrap();
        }
        let changed = bytes[place / 8] ^ (1 << (place % 8));
        file.write_all_at(&[changed], byte).unwrap();
        let hit = ends.iter().position(|end| byte < *end).unwrap();
        let mut reader = match Reader::open(&[&path]) {
            Ok(reader) => reader,
            // The number of the format, which alone says how to read the rest.
            Err(ReadError::Newer { .. }) if (8..12).contains(&byte) => continue,
            Err(error) => panic!("bit {place}: {error}"),
        };
        let came = go_on(&mut reader);
        let mut expected = blocks().to_vec();
        if hit > 0 {
            expected.remove(hit - 1);
        }
        assert_eq!(came.records, expected.concat(), "bit {place}");
        let [ReadError::Damaged { offset, until, .. }] = came.errors.as_slice() else {
            panic!("bit {place}: {:?}", came.errors);
        };
        let begin = hit.checked_sub(1).map_or(0, |before| ends[before]);
        assert_eq!((*offset, *until), (begin, ends[hit]), "bit {place}");
    }
}

#[test]
fn what_is_between_blocks_is_passed_over() {
    let folder = folder();
    let path = folder.path().join("changed");
    for n_bytes in [1, 39, 40, 41, 4096, 65_535, 65_536, 65_537, 200_000] {
        for filling in [0_u8, b'R', 0xff] {
            // A block fits one place in a file alone: it is written behind what is between.
            write(&path, &[&[datagram(0)]]);
            let end = fs::metadata(&path).unwrap().len();
            let mut journal = Journal::open_file(&path, &limits(), NOW).unwrap().journal;
            journal.leave_hole(&vec![filling; n_bytes]);
            journal.append(&datagram(1), NOW).unwrap();
            journal.flush(NOW).unwrap();
            drop(journal);
            let came = read(&[&path]);
            assert_eq!(came.records, [datagram(0), datagram(1)], "{n_bytes}");
            let hole = end..end + u64::try_from(n_bytes).unwrap();
            let [ReadError::Damaged { offset, until, .. }] = came.errors.as_slice() else {
                panic!("{n_bytes}: {:?}", came.errors);
            };
            assert_eq!(*offset..*until, hole);
            // What is written later goes behind all whole blocks.
            let opened = Journal::open_file(&path, &limits(), NOW).unwrap();
            assert_eq!(opened.cut, None);
            fs::remove_file(&path).unwrap();
        }
    }
}

#[test]
fn a_block_at_another_place_is_none() {
    let folder = folder();
    let (bytes, ends) = file(folder.path());
    let [first, second] = [ends[0], ends[1]].map(|end| usize::try_from(end).unwrap());
    let mut twice = bytes.clone();
    twice.extend_from_slice(&bytes[first..second]);
    let came = read_bytes(folder.path(), &twice);
    assert_eq!(came.records, blocks().concat());
    assert_eq!(came.errors.len(), 1);
}

#[test]
fn zeros_at_the_end_are_damage_until_the_writer_cuts_them_off() {
    let folder = folder();
    let path = folder.path().join("a");
    let end = write(&path, &[&[datagram(0)]])[1];
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(end + 5000).unwrap();
    let mut reader = Reader::open(&[&path]).unwrap();
    let came = go_on(&mut reader);
    assert_eq!((came.records.len(), came.errors.len()), (1, 1));
    let position = reader.position().unwrap();
    // Told once, however often it is asked.
    assert!(go_on(&mut reader).errors.is_empty());

    let opened = Journal::open_file(&path, &limits(), NOW).unwrap();
    assert_eq!(opened.cut.map(|cut| cut.n_bytes), Some(5000));
    let mut journal = opened.journal;
    for number in 1..200 {
        journal.append(&datagram(number), NOW).unwrap();
        journal.flush(NOW).unwrap();
    }
    let expected: Vec<Record> = (1..200).map(datagram).collect();
    assert_eq!(go_on(&mut reader).records, expected);
    let mut resumed = Reader::open(&[&path]).unwrap();
    resumed.seek(&position).unwrap();
    assert_eq!(go_on(&mut resumed).records, expected);
}

#[test]
fn damage_that_grows_is_told_once_and_ends_with_the_next_block() {
    let folder = folder();
    let path = folder.path().join("a");
    let mut journal = Journal::open_file(&path, &limits(), NOW).unwrap().journal;
    let mut reader = Reader::open(&[&path]).unwrap();
    journal.leave_hole(&[b'R'; 100]);
    let came = go_on(&mut reader);
    assert_eq!((came.errors.len(), came.torn_bytes), (1, 0));
    for n_bytes in [1, 39, 40, 41, 70_000] {
        journal.leave_hole(&vec![b'R'; n_bytes]);
        let came = go_on(&mut reader);
        assert_eq!((came.errors.len(), came.torn_bytes), (0, 0), "{n_bytes}");
    }
    journal.append(&datagram(1), NOW).unwrap();
    journal.flush(NOW).unwrap();
    let came = go_on(&mut reader);
    assert_eq!((came.errors.len(), came.records), (0, vec![datagram(1)]));
}

#[test]
fn what_is_no_journal_is_not_touched() {
    let folder = folder();
    let path = folder.path().join("a");
    let (journal, _) = file(folder.path());
    let mut newer = journal.clone();
    newer[11] = 2;
    let mut damaged = journal.clone();
    damaged[20] ^= 1;
    for (bytes, expected) in [
        (b"my notes\n".to_vec(), "foreign"),
        (
            b"my notes, of more bytes than a header has, and then some".to_vec(),
            "foreign",
        ),
        (vec![0; 33], "foreign"),
        (newer, "newer"),
        (damaged, "damaged"),
    ] {
        fs::write(&path, &bytes).unwrap();
        let kind = match Journal::open_file(&path, &limits(), NOW) {
            Err(OpenError::Foreign { .. }) => "foreign",
            Err(OpenError::Newer { format: 2, .. }) => "newer",
            Err(OpenError::Damaged { .. }) => "damaged",
            other => panic!("{other:?}"),
        };
        assert_eq!(kind, expected);
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    fs::write(&path, "my notes").unwrap();
    assert!(matches!(
        Reader::open(&[&path]),
        Err(ReadError::Foreign { .. })
    ));
    let missing = Reader::open(&[folder.path().join("missing")]);
    assert!(matches!(missing, Err(ReadError::Io { .. })));
}
