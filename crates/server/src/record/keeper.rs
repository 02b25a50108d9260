//! The thread that writes records to the journal.
//!
//! A journal that failed is opened again after a while, behind its last whole block; what comes meanwhile is dropped and
//! counted, as is everything while the disk has less left than the store wants for itself.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use journal::{Figures as Done, Journal, Limits, OpenError, Opened, Record, WriteError};
use model::Timestamp;
use tracing::{info, warn};

use super::figures::{DISK, Figures, TOO_LARGE};
use super::queue::Queued;
use crate::clock;
use crate::log::Sparingly;

/// Writes records to a folder.
#[derive(Debug)]
pub(super) struct Keeper {
    dir: PathBuf,
    limits: Limits,
    free_bytes_min: u64,
    figures: Figures,
    state: State,
    /// Whether the disk had room when it was last looked at, and when that was.
    has_room: (bool, Instant),
    dropped: Sparingly,
}

#[derive(Debug)]
enum State {
    Open(Box<Book>),
    /// It failed, and is not to be opened again before this.
    Failed {
        until: Instant,
    },
}

/// A journal, and what it was given.
#[derive(Debug)]
struct Book {
    journal: Journal,
    /// Records it took since it was opened.
    n_taken: u64,
    /// What it had done when figures were last brought up to date.
    done: Done,
}

impl Keeper {
    /// Opens the folder, or makes it.
    pub(super) fn open(
        dir: &Path,
        limits: Limits,
        free_bytes_min: u64,
        figures: Figures,
        now: Timestamp,
    ) -> Result<Self, OpenError> {
        let book = Book::open(dir, &limits, now)?;
        info!(dir = %dir.display(), "traffic is recorded");
        let mut keeper = Self {
            dir: dir.to_owned(),
            limits,
            free_bytes_min,
            figures,
            state: State::Open(Box::new(book)),
            has_room: (true, Instant::now()),
            dropped: Sparingly::default(),
        };
        keeper.look_at_disk();
        keeper.bring_up_to_date();
        Ok(keeper)
    }

    /// Writes what is queued until nothing more comes; returns when it is durable.
    pub(super) fn run(mut self, queued: &Receiver<Queued>) {
        loop {
            let next = match self.wait() {
                Some(wait) => queued.recv_timeout(wait),
                None => queued.recv().map_err(RecvTimeoutError::from),
            };
            match next {
                Ok(Queued::Record(record, room)) => {
                    self.keep(&record);
                    drop((record, room));
                }
                Err(RecvTimeoutError::Timeout) => self.flush_if_due(),
                Ok(Queued::End) | Err(RecvTimeoutError::Disconnected) => {
                    return self.flush();
                }
            }
            self.bring_up_to_date();
        }
    }

    /// Returns how long a block may still wait for records; nothing while there is none.
    fn wait(&self) -> Option<Duration> {
        let State::Open(book) = &self.state else {
            return None;
        };
        let due = book.journal.next_flush()?;
        // A clock that is set back does not keep records in memory.
        Some(due.since(clock::now()).min(self.limits.block_age))
    }

    fn keep(&mut self, record: &Record) {
        if !self.disk_has_room() {
            return self.lose(DISK, 1, "the disk is nearly full");
        }
        let now = clock::now();
        let Some(book) = self.open_book(now) else {
            return self.lose(DISK, 1, "the journal failed");
        };
        match book.journal.append(record, now) {
            Ok(()) => book.n_taken += 1,
            Err(error @ WriteError::TooLarge { .. }) => {
                self.lose(TOO_LARGE, 1, &error.to_string());
            }
            Err(error) => self.fail(1, &error),
        }
    }

    fn flush_if_due(&mut self) {
        if let State::Open(book) = &mut self.state
            && let Err(error) = book.journal.flush_if_due(clock::now())
        {
            self.fail(0, &error);
        }
    }

    fn flush(&mut self) {
        if let State::Open(book) = &mut self.state
            && let Err(error) = book.journal.flush(clock::now())
        {
            self.fail(0, &error);
        }
        self.bring_up_to_date();
    }

    /// Gives the journal up, with all that was not durable and so many records more.
    fn fail(&mut self, n_more: u64, error: &WriteError) {
        self.bring_up_to_date();
        let n_lost = match &self.state {
            State::Open(book) => book.n_taken.saturating_sub(book.done.n_records),
            State::Failed { .. } => 0,
        };
        // Dropped here, so that the folder can be locked again.
        self.state = State::Failed {
            until: Instant::now() + PAUSE,
        };
        self.lose(DISK, n_lost + n_more, &error.to_string());
    }

    /// Returns the journal, opened again if it failed some time ago.
    fn open_book(&mut self, now: Timestamp) -> Option<&mut Book> {
        if let State::Failed { until } = self.state
            && until <= Instant::now()
        {
            match Book::open(&self.dir, &self.limits, now) {
                Ok(book) => {
                    info!("traffic is recorded again");
                    self.state = State::Open(Box::new(book));
                }
                Err(error) => {
                    warn!(%error, "traffic cannot be recorded at the moment");
                    self.state = State::Failed {
                        until: Instant::now() + PAUSE,
                    };
                }
            }
        }
        match &mut self.state {
            State::Open(book) => Some(book),
            State::Failed { .. } => None,
        }
    }

    fn lose(&self, reason: &'static str, n_records: u64, cause: &str) {
        self.figures.dropped(reason, n_records);
        if let Some(n_times) = self.dropped.n_since(Instant::now()) {
            warn!(n_records, n_times, cause, "recorded traffic has gaps");
        }
    }

    fn disk_has_room(&mut self) -> bool {
        if self.has_room.1.elapsed() >= LOOK {
            self.look_at_disk();
        }
        self.has_room.0
    }

    /// Looks how much the disk has left: recorded traffic must not take what the store needs.
    fn look_at_disk(&mut self) {
        // Whoever cannot tell does not forbid.
        let has_room = rustix::fs::statvfs(&self.dir).map_or(true, |stats| {
            let free_bytes = stats.f_bavail.saturating_mul(stats.f_frsize);
            let all_bytes = stats.f_blocks.saturating_mul(stats.f_frsize);
            free_bytes >= self.free_bytes_min.min(all_bytes / 20)
        });
        self.has_room = (has_room, Instant::now());
    }

    fn bring_up_to_date(&mut self) {
        if let State::Open(book) = &mut self.state {
            let now = book.journal.figures();
            if now != book.done {
                self.figures.done(&book.done, &now);
                book.done = now;
            }
        }
    }
}

impl Book {
    fn open(dir: &Path, limits: &Limits, now: Timestamp) -> Result<Self, OpenError> {
        let Opened { journal, cut } = Journal::open_folder(dir, limits, now)?;
        if let Some(cut) = cut {
            let (path, n_bytes) = (cut.path.display(), cut.n_bytes);
            info!(%path, n_bytes, "the end of recorded traffic was not whole and was cut off");
        }
        Ok(Self {
            journal,
            n_taken: 0,
            done: Done::default(),
        })
    }
}

/// How long a journal that failed is left alone.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the free space of the disk is asked for.
const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::fs;

    use bytes::Bytes;
    use journal::{Content, Door, Reader};

    use super::super::queue;
    use super::*;

    fn record(number: u8, n_bytes: usize) -> Record {
        Record {
            at: Timestamp::from_secs(number.into()),
            door: Door::Udp,
            account: None,
            peer: None,
            content: Content::Datagram(noise(number, n_bytes)),
            verdicts: None,
        }
    }

    /// Returns bytes that cannot be compressed.
    fn noise(seed: u8, n_bytes: usize) -> Bytes {
        let mut state = u64::from(seed) + 1;
        let next = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            u8::try_from(state >> 56).unwrap()
        });
        next.take(n_bytes).collect()
    }

    fn limits() -> Limits {
        Limits {
            file_bytes_max: 4096,
            dir_bytes_max: 16_384,
            block_bytes: 1,
            block_age: Duration::from_secs(1),
        }
    }

    fn open(dir: &Path, limits: Limits, free_bytes_min: u64) -> (Keeper, Figures) {
        let figures = Figures::default();
        let keeper = Keeper::open(dir, limits, free_bytes_min, figures.clone(), clock::now());
        (keeper.unwrap(), figures)
    }

    fn read(dir: &Path) -> Vec<Record> {
        let records = Reader::open(&[dir]).unwrap().collect::<Result<_, _>>();
        records.unwrap()
    }

    #[test]
    fn what_is_queued_is_written_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let (keeper, figures) = open(folder.path(), limits(), 0);
        let (queue, queued) = queue::queue(1 << 20, figures.clone());
        for number in 0..3 {
            queue.push(record(number, 10));
        }
        queue.end();
        keeper.run(&queued);
        assert_eq!(
            read(folder.path()),
            [0, 1, 2].map(|number| record(number, 10))
        );
        assert_eq!((figures.n_records(), figures.n_queued_bytes()), (3, 0));
    }

    #[test]
    fn a_record_that_is_too_large_costs_itself_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (mut keeper, figures) = open(folder.path(), limits(), 0);
        for (number, n_bytes) in [(0, 10), (1, 5000), (2, 10)] {
            keeper.keep(&record(number, n_bytes));
        }
        keeper.flush();
        assert_eq!(read(folder.path()), [0, 2].map(|number| record(number, 10)));
        assert_eq!(figures.n_dropped_for(TOO_LARGE), 1);
    }

    #[test]
    fn a_failed_journal_is_opened_again_and_every_lost_record_counted() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("record");
        let limits = Limits {
            block_bytes: 3000,
            ..limits()
        };
        let (mut keeper, figures) = open(&dir, limits, 0);
        // A file cannot be begun in a folder that is not there.
        fs::rename(&dir, folder.path().join("moved")).unwrap();
        let mut n_kept = 0;
        while figures.n_dropped_for(DISK) == 0 {
            keeper.keep(&record(7, 1000));
            n_kept += 1;
            assert!(n_kept < 100, "the journal does not notice");
        }
        keeper.bring_up_to_date();
        assert_eq!(figures.n_records() + figures.n_dropped_for(DISK), n_kept);
        keeper.keep(&record(8, 10));
        assert_eq!(
            figures.n_records() + figures.n_dropped_for(DISK),
            n_kept + 1
        );
        keeper.state = State::Failed {
            until: Instant::now(),
        };
        keeper.keep(&record(9, 10));
        keeper.flush();
        assert_eq!(read(&dir), [record(9, 10)]);
    }

    #[test]
    fn a_disk_that_is_nearly_full_is_left_to_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let (mut keeper, figures) = open(folder.path(), limits(), 0);
        keeper.has_room = (false, Instant::now());
        keeper.keep(&record(0, 10));
        assert_eq!(figures.n_dropped_for(DISK), 1);
        keeper.look_at_disk();
        keeper.keep(&record(1, 10));
        keeper.flush();
        assert_eq!(read(folder.path()), [record(1, 10)]);
    }
}
