//! Reading what is being written.

use std::fs;
use std::sync::mpsc;
use std::thread;

use super::support::{NOW, datagram, folder, go_on, limits, noise, read, write};
use crate::{Journal, Reader, Record};

#[test]
fn what_is_flushed_can_be_read_and_nothing_else() {
    let folder = folder();
    let mut journal = Journal::open_folder(folder.path(), &limits(), NOW)
        .unwrap()
        .journal;
    let mut reader = Reader::open(&[folder.path()]).unwrap();
    for number in 0..20 {
        assert!(reader.next().is_none());
        journal.append(&datagram(number), NOW).unwrap();
        assert!(reader.next().is_none());
        journal.flush(NOW).unwrap();
        assert_eq!(reader.next().unwrap().unwrap(), datagram(number));
    }
}

#[test]
fn a_block_appears_once_its_last_byte_is_there() {
    let folder = folder();
    let path = folder.path().join("a");
    let ends = write(&path, &[&[datagram(0)], &[noise(1, 300)]]);
    let bytes = fs::read(&path).unwrap();
    let first = usize::try_from(ends[1]).unwrap();
    fs::write(&path, &bytes[..first]).unwrap();
    let mut reader = Reader::open(&[&path]).unwrap();
    assert_eq!(go_on(&mut reader).records, [datagram(0)]);
    for end in first..bytes.len() {
        fs::write(&path, &bytes[..end]).unwrap();
        let came = go_on(&mut reader);
        assert!(came.records.is_empty() && came.errors.is_empty(), "{end}");
        assert_eq!(came.torn_bytes, u64::try_from(end - first).unwrap());
    }
    fs::write(&path, &bytes).unwrap();
    let came = go_on(&mut reader);
    assert_eq!((came.records, came.torn_bytes), (vec![noise(1, 300)], 0));
}

#[test]
fn a_reader_keeps_up_with_a_writer() {
    const N_RECORDS: u64 = 500;
    let folder = folder();
    let path = folder.path().join("a");
    let mut journal = Journal::open_file(&path, &limits(), NOW).unwrap().journal;
    let (written, is_written) = mpsc::channel();
    let writer = thread::spawn(move || {
        for number in 0..N_RECORDS {
            journal.append(&noise(number, 2000), NOW).unwrap();
            if number % 3 == 0 {
                journal.flush(NOW).unwrap();
            }
        }
        journal.flush(NOW).unwrap();
        written.send(()).unwrap();
    });
    let mut reader = Reader::open(&[&path]).unwrap();
    let mut came: Vec<Record> = Vec::new();
    loop {
        // What was written before the end was seen is there for the last look.
        let is_last = is_written.try_recv().is_ok();
        came.extend(reader.by_ref().map(Result::unwrap));
        if is_last {
            break;
        }
    }
    writer.join().unwrap();
    let expected: Vec<Record> = (0..N_RECORDS).map(|number| noise(number, 2000)).collect();
    assert_eq!(came, expected);
}

#[test]
fn a_folder_can_be_opened_while_files_come_and_go() {
    let folder = folder();
    let mut limits = limits();
    limits.dir_bytes_max = 40_000;
    limits.block_bytes = 1;
    let mut journal = Journal::open_folder(folder.path(), &limits, NOW)
        .unwrap()
        .journal;
    let (written, is_written) = mpsc::channel();
    let writer = thread::spawn(move || {
        for number in 0..600 {
            journal.append(&noise(number, 2000), NOW).unwrap();
        }
        written.send(journal.figures().n_files_removed).unwrap();
    });
    let n_removed = loop {
        let came = read(&[folder.path()]);
        let times: Vec<_> = came.records.iter().map(|record| record.at).collect();
        assert!(times.is_sorted());
        if let Ok(n_removed) = is_written.try_recv() {
            break n_removed;
        }
    };
    writer.join().unwrap();
    assert!(n_removed > 50, "{n_removed}");
}
