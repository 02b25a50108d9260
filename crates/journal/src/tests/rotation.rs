//! Limits: of blocks, files and folders.

use std::fs;
use std::path::Path;
use std::time::Duration;

use model::Timestamp;

use super::support::{NOW, datagram, files, folder, limits, noise, read, write};
use crate::{Figures, Journal, Limits, OpenError, Record, WriteError};

fn disk_bytes(folder: &Path) -> u64 {
    let files = files(folder);
    let len = |path| fs::metadata(path).unwrap().len();
    files.iter().map(len).sum()
}

fn later(duration: Duration) -> Timestamp {
    Timestamp::from_nanos(NOW.as_nanos() + u64::try_from(duration.as_nanos()).unwrap())
}

#[test]
fn a_folder_never_grows_over_its_limit_and_loses_the_oldest_first() {
    let folder = folder();
    let limits = Limits {
        file_bytes_max: 10_000,
        dir_bytes_max: 50_000,
        block_bytes: 2000,
        ..limits()
    };
    let mut journal = Journal::open_folder(folder.path(), &limits, NOW)
        .unwrap()
        .journal;
    let n_records = 200;
    for number in 0..n_records {
        journal.append(&noise(number, 1000), NOW).unwrap();
        let disk_bytes = disk_bytes(folder.path());
        assert!(disk_bytes <= 50_000, "{disk_bytes}");
        assert_eq!(journal.figures().disk_bytes, disk_bytes);
        for path in files(folder.path()) {
            assert!(fs::metadata(path).unwrap().len() <= 10_000);
        }
    }
    let Figures {
        n_records: n_written,
        n_blocks,
        n_files_removed,
        n_files: n_files_told,
        ..
    } = journal.figures();
    let n_files = u64::try_from(files(folder.path()).len()).unwrap();
    assert_eq!(n_files_told, n_files);
    assert_eq!((n_written, n_blocks), (n_records, n_records / 2));
    assert!(
        n_files >= 5 && n_files_removed > 10,
        "{n_files}, {n_files_removed}"
    );

    let came = read(&[folder.path()]);
    assert!(came.errors.is_empty());
    let n_kept = u64::try_from(came.records.len()).unwrap();
    assert!(n_kept >= 32, "{n_kept}");
    let expected: Vec<Record> = (n_records - n_kept..n_records)
        .map(|number| noise(number, 1000))
        .collect();
    assert_eq!(came.records, expected);
}

#[test]
fn a_folder_opened_with_lower_limits_shrinks_and_leaves_what_is_not_its_own() {
    let folder = folder();
    let mut limits = limits();
    limits.block_bytes = 1;
    limits.file_bytes_max = 5000;
    let mut journal = Journal::open_folder(folder.path(), &limits, NOW)
        .unwrap()
        .journal;
    for number in 0..40 {
        journal.append(&noise(number, 1000), NOW).unwrap();
    }
    drop(journal);
    for name in [
        "1.journal",
        "notes.journal",
        "0000000001.journal.bak",
        "0000000002",
    ] {
        fs::write(folder.path().join(name), "mine").unwrap();
    }
    limits.dir_bytes_max = 20_000;
    let journal = Journal::open_folder(folder.path(), &limits, NOW)
        .unwrap()
        .journal;
    assert!(journal.figures().n_files_removed >= 5);
    assert!(journal.figures().disk_bytes <= 20_000);
    for name in [
        "1.journal",
        "notes.journal",
        "0000000001.journal.bak",
        "0000000002",
    ] {
        assert_eq!(fs::read(folder.path().join(name)).unwrap(), b"mine");
    }
}

#[test]
fn a_folder_goes_on_in_its_newest_file() {
    let folder = folder();
    for number in 0..5 {
        let opened = Journal::open_folder(folder.path(), &limits(), NOW).unwrap();
        assert_eq!(opened.cut, None);
        let mut journal = opened.journal;
        journal.append(&datagram(number), NOW).unwrap();
        journal.flush(NOW).unwrap();
    }
    assert_eq!(
        files(folder.path()),
        [folder.path().join("0000000001.journal")]
    );
    let expected: Vec<Record> = (0..5).map(datagram).collect();
    assert_eq!(read(&[folder.path()]).records, expected);
}

/// Returns a sound file that was begun by itself, and so has the number 0.
fn another() -> Vec<u8> {
    let folder = folder();
    let path = folder.path().join("a");
    write(&path, &[&[datagram(0)]]);
    fs::read(path).unwrap()
}

#[test]
fn a_folder_begins_another_file_behind_one_it_cannot_go_on_with() {
    type Change = fn(&mut Vec<u8>);
    let changes: [(Change, usize); 6] = [
        // Begun and nothing more: the only one that is used again.
        (|bytes| bytes.truncate(20), 1),
        // A header that is damaged, one of a later format, one that was never a journal's.
        (|bytes| bytes[30] ^= 1, 2),
        (|bytes| bytes[8] = 1, 2),
        (|bytes| bytes[0] = b'x', 2),
        // One that was renamed: its header says another number.
        (|bytes| *bytes = another(), 2),
        // A hole before the last block.
        (|bytes| bytes[40] ^= 1, 2),
    ];
    for (change, n_files) in changes {
        let folder = folder();
        let path = folder.path().join("0000000001.journal");
        let mut journal = Journal::open_folder(folder.path(), &limits(), NOW)
            .unwrap()
            .journal;
        for number in 0..2 {
            journal.append(&datagram(number), NOW).unwrap();
            journal.flush(NOW).unwrap();
        }
        drop(journal);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        // The clock was set back: the order is kept all the same.
        let now = Timestamp::from_secs(1);
        let mut journal = Journal::open_folder(folder.path(), &limits(), now)
            .unwrap()
            .journal;
        journal.append(&datagram(2), now).unwrap();
        journal.flush(now).unwrap();
        assert_eq!(files(folder.path()).len(), n_files);
        if n_files == 2 {
            assert_eq!(fs::read(&path).unwrap(), bytes, "left as it was");
            assert!(journal.path().ends_with("0000000002.journal"));
        }
        assert_eq!(read(&[journal.path()]).records, [datagram(2)]);
    }
}

#[test]
fn a_file_that_is_begun_anew_is_still_behind_the_one_before() {
    let folder = folder();
    let mut limits = limits();
    limits.block_bytes = 1;
    limits.file_bytes_max = 4096;
    let mut journal = Journal::open_folder(folder.path(), &limits, NOW)
        .unwrap()
        .journal;
    journal.append(&noise(0, 3000), NOW).unwrap();
    journal.append(&noise(1, 3000), NOW).unwrap();
    drop(journal);
    let second = folder.path().join("0000000002.journal");
    fs::write(second, "RTGN").unwrap();
    let now = Timestamp::from_secs(1);
    let mut journal = Journal::open_folder(folder.path(), &limits, now)
        .unwrap()
        .journal;
    journal.append(&noise(2, 3000), now).unwrap();
    assert_eq!(files(folder.path()).len(), 2);
    let expected = [noise(0, 3000), noise(2, 3000)];
    assert_eq!(read(&[folder.path()]).records, expected);
}

#[test]
fn a_later_file_never_says_it_was_begun_earlier() {
    let folder = folder();
    let mut limits = limits();
    limits.block_bytes = 1;
    limits.file_bytes_max = 4096;
    let clock = |number: u64| Timestamp::from_secs(1_000_000 - number);
    let mut journal = Journal::open_folder(folder.path(), &limits, clock(0))
        .unwrap()
        .journal;
    for number in 0..200 {
        journal.append(&datagram(number), clock(number)).unwrap();
    }
    assert!(files(folder.path()).len() > 3);
    let expected: Vec<Record> = (0..200).map(datagram).collect();
    assert_eq!(read(&[folder.path()]).records, expected);
}

#[test]
fn a_block_is_written_when_it_is_full_or_old() {
    let folder = folder();
    let path = folder.path().join("a");
    let limits = Limits {
        block_bytes: 1000,
        block_age: Duration::from_secs(2),
        ..limits()
    };
    let mut journal = Journal::open_file(&path, &limits, NOW).unwrap().journal;
    let n_written = |expected: usize| assert_eq!(read(&[&path]).records.len(), expected);
    assert_eq!(journal.next_flush(), None);
    journal.append(&datagram(0), NOW).unwrap();
    n_written(0);
    let due = later(Duration::from_secs(2));
    assert_eq!(journal.next_flush(), Some(due));
    journal
        .flush_if_due(later(Duration::from_millis(1999)))
        .unwrap();
    n_written(0);
    journal.flush_if_due(due).unwrap();
    n_written(1);
    assert_eq!(journal.next_flush(), None);
    // The age counts from the first record on, and is looked at with every one.
    journal.append(&datagram(1), due).unwrap();
    journal
        .append(&datagram(2), later(Duration::from_secs(3)))
        .unwrap();
    n_written(1);
    journal
        .append(&datagram(3), later(Duration::from_secs(4)))
        .unwrap();
    n_written(4);
    journal.append(&noise(4, 900), NOW).unwrap();
    n_written(4);
    journal.append(&noise(5, 900), NOW).unwrap();
    n_written(6);
    journal.flush(NOW).unwrap();
    assert_eq!(journal.figures().n_blocks, 3);
}

#[test]
fn a_file_of_its_own_gets_full_and_keeps_what_it_has() {
    let folder = folder();
    let path = folder.path().join("a");
    let mut limits = limits();
    limits.file_bytes_max = 5000;
    let mut journal = Journal::open_file(&path, &limits, NOW).unwrap().journal;
    let mut n_taken = 0;
    let full = loop {
        match journal.append(&noise(n_taken, 1000), NOW) {
            Ok(()) => n_taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, WriteError::Full { .. }), "{full}");
    assert_eq!(n_taken, 4);
    assert_eq!(read(&[&path]).records.len(), 4, "durable before it is told");
    // A small one still fits.
    journal.append(&datagram(9), NOW).unwrap();
    journal.flush(NOW).unwrap();
    assert_eq!(read(&[&path]).records.len(), 5);
    assert!(fs::metadata(&path).unwrap().len() <= 5000);
    drop(journal);
    let mut journal = Journal::open_file(&path, &limits, NOW).unwrap().journal;
    let full = journal.append(&noise(1, 1000), NOW);
    assert!(matches!(full, Err(WriteError::Full { .. })));
}

#[test]
fn a_record_that_fits_nowhere_costs_no_other() {
    let folder = folder();
    let mut limits = limits();
    limits.file_bytes_max = 10_000;
    let mut journal = Journal::open_folder(folder.path(), &limits, NOW)
        .unwrap()
        .journal;
    journal.append(&datagram(0), NOW).unwrap();
    let refused = journal.append(&noise(1, 10_000), NOW);
    assert!(matches!(refused, Err(WriteError::TooLarge { n_bytes }) if n_bytes > 10_000));
    journal.append(&noise(2, 9000), NOW).unwrap();
    journal.append(&datagram(3), NOW).unwrap();
    journal.flush(NOW).unwrap();
    let expected = [datagram(0), noise(2, 9000), datagram(3)];
    assert_eq!(read(&[folder.path()]).records, expected);

    let huge = super::support::datagram_of(4, vec![0; crate::BLOCK_BYTES_MAX].into());
    let mut journal = Journal::open_file(&folder.path().join("a"), &Limits::default(), NOW)
        .unwrap()
        .journal;
    let refused = journal.append(&huge, NOW);
    assert!(matches!(refused, Err(WriteError::TooLarge { .. })));
}

#[test]
fn limits_without_room_are_refused() {
    let folder = folder();
    for (file_bytes_max, dir_bytes_max) in [(4095, 1 << 30), (1 << 30, 4 * 4095 + 3), (0, 0)] {
        let limits = Limits {
            file_bytes_max,
            dir_bytes_max,
            ..limits()
        };
        let opened = Journal::open_folder(folder.path(), &limits, NOW);
        assert!(matches!(opened, Err(OpenError::LimitsTooSmall)));
    }
}

#[test]
fn one_writes_at_a_time() {
    let folder = folder();
    let first = Journal::open_folder(folder.path(), &limits(), NOW).unwrap();
    let second = Journal::open_folder(folder.path(), &limits(), NOW);
    assert!(matches!(second, Err(OpenError::InUse { .. })));
    drop(first);
    Journal::open_folder(folder.path(), &limits(), NOW).unwrap();

    let path = folder.path().join("a");
    let first = Journal::open_file(&path, &limits(), NOW).unwrap();
    let second = Journal::open_file(&path, &limits(), NOW);
    assert!(matches!(second, Err(OpenError::InUse { .. })));
    drop(first);
    Journal::open_file(&path, &limits(), NOW).unwrap();
}

#[test]
fn after_a_failure_nothing_is_taken() {
    let folder = folder();
    let inner = folder.path().join("inner");
    let mut limits = limits();
    limits.block_bytes = 1;
    limits.file_bytes_max = 4096;
    let mut journal = Journal::open_folder(&inner, &limits, NOW).unwrap().journal;
    journal.append(&noise(0, 2000), NOW).unwrap();
    // The next file has no folder to be begun in.
    fs::remove_dir_all(&inner).unwrap();
    let failed = journal.append(&noise(1, 2500), NOW);
    let Err(WriteError::Io {
        n_records_lost: 1, ..
    }) = failed
    else {
        panic!("{failed:?}");
    };
    assert!(matches!(
        journal.append(&datagram(2), NOW),
        Err(WriteError::Failed)
    ));
    assert!(matches!(journal.flush(NOW), Err(WriteError::Failed)));
    assert!(matches!(journal.flush_if_due(NOW), Err(WriteError::Failed)));
}
