//! A writer that is killed at any moment: what it said is flushed is there.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::support::{NOW, folder, limits, noise, read};
use crate::{Journal, Record};

const NAME: &str = "tests::killed::a_killed_writer_loses_only_what_was_not_flushed";
const FOLDER: &str = "JOURNAL_TEST_FOLDER";
const FLUSHED: &str = "flushed ";

/// Run once more by itself as the writer that is killed.
#[test]
fn a_killed_writer_loses_only_what_was_not_flushed() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        write_for_ever(Path::new(&folder));
    }
    for n_lines in [0, 1, 2, 7, 20, 50, 100] {
        let folder = folder();
        let n_flushed = kill_after(n_lines, folder.path());
        assert!(n_flushed >= n_lines.saturating_sub(1));
        let came = read(&[folder.path()]);
        assert!(came.errors.is_empty(), "{:?}", came.errors);
        let n_there = u64::try_from(came.records.len()).unwrap();
        assert!(n_there >= n_flushed, "{n_there} of {n_flushed}");
        assert_eq!(came.records, (0..n_there).map(record).collect::<Vec<_>>());

        let opened = Journal::open_folder(folder.path(), &limits(), NOW).unwrap();
        let n_cut = opened.cut.map_or(0, |cut| cut.n_bytes);
        assert_eq!(n_cut, came.torn_bytes);
        let mut journal = opened.journal;
        journal.append(&record(n_there), NOW).unwrap();
        journal.flush(NOW).unwrap();
        let came = read(&[folder.path()]);
        assert_eq!(came.records, (0..=n_there).map(record).collect::<Vec<_>>());
        assert!(came.errors.is_empty() && came.torn_bytes == 0);
    }
}

/// Kills a writer once it has said so many times that something is flushed; returns how many records it said are.
fn kill_after(n_lines: u64, folder: &Path) -> u64 {
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program)
        .args([NAME, "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let mut lines = stdout.lines().map_while(Result::ok);
    // The harness may say something first, on the same line too.
    let flushed = |line: String| {
        let (_, number) = line.split_once(FLUSHED)?;
        number.parse::<u64>().ok()
    };
    let mut told = lines.by_ref().filter_map(flushed);
    let mut n_flushed = None;
    for _ in 0..=n_lines {
        n_flushed = told.next();
        assert!(n_flushed.is_some(), "the writer ended by itself");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it said before it was killed counts, too.
    told.last().or(n_flushed).unwrap()
}

fn write_for_ever(folder: &Path) -> ! {
    let mut limits = limits();
    // About ten blocks a file: a kill may hit its beginning, too.
    limits.file_bytes_max = 2 << 20;
    let mut journal = Journal::open_folder(folder, &limits, NOW).unwrap().journal;
    let mut stdout = std::io::stdout();
    for number in 0.. {
        journal.append(&record(number), NOW).unwrap();
        if number % 5 == 0 {
            journal.flush(NOW).unwrap();
            writeln!(stdout, "\n{FLUSHED}{}", number + 1).unwrap();
        }
    }
    unreachable!("there is always a next number")
}

fn record(number: u64) -> Record {
    noise(number, 40_000)
}
