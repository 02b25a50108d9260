//! Recorded traffic: every call and datagram that was let in, as received, with what became of it.
//!
//! 1. A door begins a [`Recording`] or a [`BatchRecording`] once it knows whose something is. While that is served,
//!    `intake` adds up what becomes of its documents ([`tally`]).
//! 2. What has ended goes into a queue that is bounded in bytes ([`queue`]); bodies are shared with it, not copied.
//! 3. One thread writes the queue to the journal ([`keeper`]).
//!
//! Nobody waits for the journal. What finds no room in the queue, and what the disk does not take, is counted and logged,
//! and the server goes on.

pub(crate) mod figures;
mod keeper;
mod queue;
mod tallies;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use http::request::Parts;
use journal::{Answer, Call, Content, Door, Limits, Record};
use model::{Account, Timestamp};
use tracing::error;

use crate::clock;
use crate::config::Config;
use crate::origin::{Doorway, Origin};
use figures::Figures;
use keeper::Keeper;
use queue::Queue;
use tallies::Tallies;

/// What keeps traffic; it keeps nothing unless it was asked to. All copies are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Option<Arc<Running>>);

#[derive(Debug)]
struct Running {
    queue: Queue,
    /// Absent once it was waited for.
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Why traffic cannot be recorded, though that was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// The folder cannot be used.
    #[error("cannot record traffic in {}, the folder record.dir names: {source}", dir.display())]
    Open {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: journal::OpenError,
    },
    /// There is no thread to do it.
    #[error("cannot record traffic: no thread can be started: {0}")]
    Thread(#[from] std::io::Error),
}

impl Recorder {
    /// Opens the folder for recorded traffic, if one is set. Blocks.
    ///
    /// # Errors
    /// Says why the folder cannot be used.
    pub(crate) fn open(
        config: &Config,
        figures: Figures,
        now: Timestamp,
    ) -> Result<Self, RecordError> {
        let settings = &config.record;
        if settings.dir.as_os_str().is_empty() {
            return Ok(Self(None));
        }
        let limits = Limits {
            dir_bytes_max: settings.max_bytes.0,
            block_age: settings.block_age.0,
            ..Limits::default()
        };
        let dir = settings.dir.clone();
        let free_bytes_min = config.storage.min_free_disk.0;
        let keeper = Keeper::open(&dir, limits, free_bytes_min, figures.clone(), now);
        let keeper = keeper.map_err(|source| RecordError::Open { dir, source })?;
        let (queue, queued) = queue::queue(settings.queue_bytes.0, figures);
        let thread = thread::Builder::new().name("record".to_owned());
        let thread = thread.spawn(move || keeper.run(&queued))?;
        Ok(Self(Some(Arc::new(Running {
            queue,
            thread: Mutex::new(Some(thread)),
        }))))
    }

    /// Begins to record a call that was let in. Its body is what was received, signatures in it apart.
    pub(crate) fn call(
        &self,
        origin: Origin,
        account: &Account,
        parts: &Parts,
        body: &Bytes,
    ) -> Recording {
        let Some(running) = &self.0 else {
            return Recording::default();
        };
        let headers = parts.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
        let call = Call::new(
            parts.method.as_str(),
            parts.uri.path(),
            headers,
            own_if_small(body),
        );
        Recording(Some(Begun {
            running: Arc::clone(running),
            tallies: shared(Tallies::of(1)),
            at: clock::now(),
            origin,
            account: account.clone(),
            call: Some(call),
        }))
    }

    /// Begins to record so many datagrams of an account that are taken in together.
    pub(crate) fn batch(&self, account: &Account, n_datagrams: usize) -> BatchRecording {
        BatchRecording(self.0.as_ref().map(|running| BegunBatch {
            running: Arc::clone(running),
            tallies: shared(Tallies::of(n_datagrams)),
            account: account.clone(),
        }))
    }

    /// Writes what is queued and makes it durable; what comes later is dropped and counted. Blocks.
    pub(crate) fn close(&self) {
        let Some(running) = &self.0 else {
            return;
        };
        running.queue.end();
        let mut thread = running
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take()
            && thread.join().is_err()
        {
            error!("recording traffic ended early");
        }
    }
}

/// A call that is recorded once it has ended; also one nobody waits for any more.
#[derive(Debug, Default)]
pub(crate) struct Recording(Option<Begun>);

#[derive(Debug)]
struct Begun {
    running: Arc<Running>,
    tallies: SharedTallies,
    at: Timestamp,
    origin: Origin,
    account: Account,
    /// Absent once it was queued.
    call: Option<Call>,
}

impl Recording {
    /// Serves the call; what becomes of its documents meanwhile is recorded with it.
    pub(crate) async fn watch<F: Future>(&self, serving: F) -> F::Output {
        let tallies = self.0.as_ref().map(|begun| Arc::clone(&begun.tallies));
        TALLIES.scope(tallies, serving).await
    }

    /// Records the call with the status of its answer.
    pub(crate) fn end(self, status: u16) {
        let Some(mut begun) = self.0 else {
            return;
        };
        begun.keep(Some(status));
    }
}

impl Begun {
    fn keep(&mut self, status: Option<u16>) {
        let Some(mut call) = self.call.take() else {
            return;
        };
        let body = Bytes::new();
        if status.is_some() {
            call = call.with_took(clock::now().since(self.at));
        }
        call.answer = status.map(|status| Answer { status, body });
        // What was said of the documents of a call that was broken off may not be all.
        let verdicts = status.and_then(|_| locked(&self.tallies, |tallies| tallies.take(0)));
        self.running.queue.push(Record {
            at: self.at,
            door: door(self.origin.doorway),
            account: Some(self.account.clone()),
            peer: Some(self.origin.peer),
            content: Content::Http(call),
            verdicts,
        });
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.keep(None);
    }
}

/// Datagrams that are recorded once they were taken in.
#[derive(Debug)]
pub(crate) struct BatchRecording(Option<BegunBatch>);

#[derive(Debug)]
struct BegunBatch {
    running: Arc<Running>,
    tallies: SharedTallies,
    account: Account,
}

impl BatchRecording {
    /// Takes the datagrams in; what becomes of their documents meanwhile is recorded with them.
    pub(crate) async fn watch<F: Future>(&self, taking_in: F) -> F::Output {
        let tallies = self.0.as_ref().map(|begun| Arc::clone(&begun.tallies));
        TALLIES.scope(tallies, taking_in).await
    }

    /// Records the datagrams: when each came, from whom, and its bytes.
    pub(crate) fn keep(self, datagrams: impl Iterator<Item = (Timestamp, SocketAddr, Box<[u8]>)>) {
        let Some(begun) = self.0 else {
            return;
        };
        for (nth, (at, peer, bytes)) in datagrams.enumerate() {
            begun.running.queue.push(Record {
                at,
                door: Door::Udp,
                account: Some(begun.account.clone()),
                peer: Some(peer),
                content: Content::Datagram(Bytes::from(bytes)),
                verdicts: locked(&begun.tallies, |tallies| tallies.take(nth)),
            });
        }
    }
}

/// Adds to the record of what is being served; does nothing where nothing is recorded.
pub(crate) fn tally(add: impl FnOnce(&mut Tallies)) {
    let _unrecorded = TALLIES.try_with(|tallies| {
        if let Some(tallies) = tallies {
            locked(tallies, add);
        }
    });
}

type SharedTallies = Arc<Mutex<Tallies>>;

tokio::task_local! {
    /// What becomes of the documents of the call or the datagrams this task serves, if they are recorded. As with the
    /// span logs are written in, nobody between the door and `intake` has to know of it.
    static TALLIES: Option<SharedTallies>;
}

fn shared(tallies: Tallies) -> SharedTallies {
    Arc::new(Mutex::new(tallies))
}

fn locked<T>(tallies: &SharedTallies, with: impl FnOnce(&mut Tallies) -> T) -> T {
    with(&mut tallies.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Returns the body to queue: the same memory, but for a small one. That may be a piece of a buffer of its connection, all
/// of which it would keep, uncounted.
fn own_if_small(body: &Bytes) -> Bytes {
    if body.len() <= SMALL_BYTES {
        return Bytes::copy_from_slice(body);
    }
    body.clone()
}

const fn door(doorway: Doorway) -> Door {
    match doorway {
        Doorway::Api => Door::Api,
        Doorway::Udp => Door::Udp,
        Doorway::OtlpHttp => Door::OtlpHttp,
        Doorway::OtlpGrpc => Door::OtlpGrpc,
    }
}

/// Copying so much costs less than what keeps it would.
const SMALL_BYTES: usize = 4096;
