//! The journal and the thread that writes it.
//!
//! A record says since when somebody else may know of what is in it: from then on it takes a second until it is on disk,
//! however long it was on its way here.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use journal::{Content, Journal, Limits, Record, WriteError};
use model::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::exit::Stop;
use crate::terminal::note;

/// Takes records; cloning is cheap. The thread ends when the last one is dropped.
#[derive(Clone, Debug)]
pub(super) struct Keeping {
    records: mpsc::Sender<Handed>,
    figures: Arc<Figures>,
}

/// A record is not in the journal, which takes no more: [`Keeping::over`] tells, and the program ends.
#[derive(Debug, thiserror::Error)]
#[error("the journal takes no more")]
pub(super) struct NotKept;

/// A record on its way to the thread.
#[derive(Debug)]
struct Handed {
    record: Record,
    since: Timestamp,
    tell: oneshot::Sender<()>,
}

/// The thread that writes.
pub(super) type Thread = JoinHandle<Result<(), WriteError>>;

/// How much was recorded.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) calls: AtomicU64,
    pub(super) datagrams: AtomicU64,
    /// Records that were too large for the journal.
    pub(super) too_large: AtomicU64,
}

struct Writer {
    journal: Journal,
    /// Since when others may know of what is not on disk; nothing while all of it is.
    behind_since: Option<Timestamp>,
    figures: Arc<Figures>,
    now: fn() -> Timestamp,
}

impl Keeping {
    /// Opens a journal, a folder if there is one of this name or the name ends with a slash.
    ///
    /// # Errors
    /// Stops if it cannot be written.
    pub(super) fn open(path: &Path, now: fn() -> Timestamp) -> Result<(Self, Thread), Stop> {
        let is_folder = path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/');
        // Nothing is removed to make room: what is recorded is all that came.
        let limits = Limits {
            file_bytes_max: if is_folder { 256 << 20 } else { u64::MAX / 4 },
            dir_bytes_max: u64::MAX / 2,
            block_age: AGE_MAX,
            ..Limits::default()
        };
        let opened = if is_folder {
            Journal::open_folder(path, &limits, now())
        } else {
            Journal::open_file(path, &limits, now())
        };
        let opened = opened.map_err(Stop::failed)?;
        if let Some(cut) = opened.cut {
            let path = cut.path.display();
            note(&format!(
                "{path}: cut off {} bytes that were not whole",
                cut.n_bytes
            ));
        }
        let (records, taken) = mpsc::channel(QUEUE);
        let figures = Arc::new(Figures::default());
        let writer = Writer {
            journal: opened.journal,
            behind_since: None,
            figures: Arc::clone(&figures),
            now,
        };
        let runtime = Handle::current();
        let thread = std::thread::Builder::new().name("journal".to_owned());
        let thread = thread.spawn(move || writer.write(taken, &runtime));
        let thread = thread.map_err(Stop::failed)?;
        Ok((Self { records, figures }, thread))
    }

    /// Takes a record, and returns once it is in the journal's hands: on disk a second after `since`, or at once if that
    /// has passed.
    ///
    /// # Errors
    /// [`NotKept`] if it never will be.
    pub(super) async fn keep(&self, record: Record, since: Timestamp) -> Result<(), NotKept> {
        let (tell, told) = oneshot::channel();
        let handed = Handed {
            record,
            since,
            tell,
        };
        self.records.send(handed).await.map_err(|_| NotKept)?;
        told.await.map_err(|_| NotKept)
    }

    /// Tells whether the journal takes no more.
    pub(super) fn is_over(&self) -> bool {
        self.records.is_closed()
    }

    /// Returns once the journal takes no more.
    pub(super) async fn over(&self) {
        self.records.closed().await;
    }

    /// Returns what was recorded so far.
    pub(super) fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.figures)
    }
}

impl Writer {
    fn write(
        mut self,
        mut taken: mpsc::Receiver<Handed>,
        runtime: &Handle,
    ) -> Result<(), WriteError> {
        let mut batch = Vec::new();
        loop {
            let wait = self.wait();
            let receiving = taken.recv_many(&mut batch, QUEUE);
            let received = runtime.block_on(async { tokio::time::timeout(wait, receiving).await });
            if received == Ok(0) {
                return self.journal.flush((self.now)());
            }
            for handed in batch.drain(..) {
                self.append(&handed.record)?;
                let since = self.behind_since.unwrap_or(handed.since);
                self.behind_since = Some(since.min(handed.since));
                let _gone = handed.tell.send(());
            }
            if self.wait().is_zero() {
                self.journal.flush((self.now)())?;
                self.behind_since = None;
            }
        }
    }

    /// Returns how long what was taken may wait for more.
    fn wait(&self) -> Duration {
        match self.behind_since {
            Some(since) => AGE_MAX.saturating_sub((self.now)().since(since)),
            None => Duration::from_hours(1),
        }
    }

    fn append(&mut self, record: &Record) -> Result<(), WriteError> {
        let counter = match &record.content {
            Content::Http(_) => &self.figures.calls,
            Content::Datagram(_) => &self.figures.datagrams,
        };
        match self.journal.append(record, (self.now)()) {
            Ok(()) => counter.fetch_add(1, Ordering::Relaxed),
            Err(WriteError::TooLarge { n_bytes }) => {
                note(&format!(
                    "not recorded: {n_bytes} bytes are too many for the journal"
                ));
                self.figures.too_large.fetch_add(1, Ordering::Relaxed)
            }
            Err(error) => return Err(error),
        };
        Ok(())
    }
}

const QUEUE: usize = 256;
/// How long others may know of what is not on disk.
const AGE_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::Bytes;
    use journal::{Door, Reader};

    use super::*;

    /// A clock that stands still.
    fn now() -> Timestamp {
        Timestamp::from_secs(1_700_000_000)
    }

    fn record() -> Record {
        Record {
            at: now(),
            door: Door::Udp,
            account: None,
            peer: None,
            content: Content::Datagram(Bytes::from_static(b"{}")),
            verdicts: None,
        }
    }

    fn n_on_disk(path: &Path) -> usize {
        Reader::open(&[path]).unwrap().count()
    }

    /// A call that waited for its answer has waited enough.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_others_may_know_of_for_a_second_is_written_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        let (keeping, thread) = Keeping::open(&path, now).unwrap();
        keeping.keep(record(), now()).await.unwrap();
        keeping.keep(record(), now()).await.unwrap();
        assert_eq!(n_on_disk(&path), 0);
        let a_second_ago = Timestamp::from_secs(now().as_secs() - 1);
        keeping.keep(record(), a_second_ago).await.unwrap();
        let begun = Instant::now();
        while n_on_disk(&path) < 3 {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "it is not written"
            );
            tokio::task::yield_now().await;
        }
        assert!(!keeping.is_over());
        drop(keeping);
        thread.join().unwrap().unwrap();
        assert_eq!(n_on_disk(&path), 3);
    }
}
