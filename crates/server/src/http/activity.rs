//! What happens on one connection, and how long it may go on like that.
//!
//! hyper times the head of a request only once its first bytes came, and not at all while it finds
//! out the version of HTTP, so the connection is watched here, by what is read and written:
//! a head must arrive within the header timeout, the handshake of TLS included; between requests, and while the
//! client does not read its answer, the idle timeout holds. While the server works on a request nothing is timed here.
//!
//! The same tells what the connection's place is worth when another one needs it: see [`Standing`].

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

use crate::http::places::{Place, Standing, Wait};

/// How long a connection may stay in each state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// For the head of a request to arrive.
    pub(crate) header: Duration,
    /// For the next request to begin, and for the client to read.
    pub(crate) idle: Duration,
}

/// What happens on one connection.
#[derive(Debug)]
pub(crate) struct Activity {
    state: Mutex<State>,
    timeouts: Timeouts,
    place: Place,
    /// The watch is to look sooner than it meant to.
    sooner: Notify,
}

#[derive(Debug)]
struct State {
    standing: Standing,
    n_requests: usize,
    /// How many of them have a body that is still arriving.
    n_arriving: usize,
    /// Whether a request was answered.
    has_answered: bool,
    /// Bytes of an answer that has ended may not be written yet.
    is_flushing: bool,
    /// Since when there was no request under way.
    idle_since: Instant,
    /// Since when the head of a request is arriving.
    head_since: Option<Instant>,
    /// Since when the client does not read.
    blocked_since: Option<Instant>,
    /// When enough bytes had gone either way, or a request began.
    moved_at: Instant,
    /// Bytes that went either way since then.
    n_moved: usize,
    /// Since when the newest piece of an answer waits to be sent, for each answer of which one waits.
    untaken: BTreeMap<u64, Instant>,
    n_answers: u64,
    /// What the requests so far were of.
    version: Option<http::Version>,
    /// A request was answered without reading it to its end.
    is_unread: bool,
    /// When the watch looks again.
    looks_at: Instant,
}

/// A request under way; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Activity>);

/// A body that is arriving; dropped once it is there.
#[derive(Debug)]
pub(crate) struct Arriving<'a>(&'a Activity);

/// The pieces of an answer on their way to the client.
#[derive(Debug)]
pub(crate) struct Handing {
    activity: Arc<Activity>,
    answer: u64,
}

impl Activity {
    /// Returns the activity of a connection that was opened just now: a head is due.
    pub(crate) fn new(timeouts: Timeouts, place: Place) -> Arc<Self> {
        let now = Instant::now();
        let state = State {
            standing: Standing::Waiting(Wait::First),
            n_requests: 0,
            n_arriving: 0,
            has_answered: false,
            is_flushing: false,
            idle_since: now,
            head_since: Some(now),
            blocked_since: None,
            moved_at: now,
            n_moved: 0,
            untaken: BTreeMap::new(),
            n_answers: 0,
            version: None,
            is_unread: false,
            looks_at: now,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            timeouts,
            place,
            sooner: Notify::new(),
        })
    }

    /// Notes that a request begins.
    pub(crate) fn begin(self: &Arc<Self>, version: http::Version) -> UnderWay {
        let now = Instant::now();
        let mut state = self.lock();
        state.n_requests += 1;
        state.head_since = None;
        state.version = Some(version);
        state.moved_at = now;
        state.n_moved = 0;
        self.settle(&mut state, now);
        self.look_by(&state, now + PATIENCE);
        UnderWay(Arc::clone(self))
    }

    /// Notes that the body of a request is read; until the note is dropped, the request may wait for its client.
    pub(crate) fn arriving(&self) -> Arriving<'_> {
        let mut state = self.lock();
        state.n_arriving += 1;
        Arriving(self)
    }

    /// Returns what notes that pieces of an answer are on their way.
    pub(crate) fn handing(self: &Arc<Self>) -> Handing {
        let mut state = self.lock();
        state.n_answers += 1;
        Handing {
            activity: Arc::clone(self),
            answer: state.n_answers,
        }
    }

    /// Notes that a request is answered without reading its body to the end.
    pub(crate) fn leave_unread(&self) {
        self.lock().is_unread = true;
    }

    /// Tells whether a request was answered without reading its body to the end.
    pub(crate) fn is_unread(&self) -> bool {
        self.lock().is_unread
    }

    /// Tells whether a request is under way.
    pub(crate) fn is_under_way(&self) -> bool {
        self.lock().n_requests > 0
    }

    /// Returns once the connection stayed in one state for too long.
    pub(crate) async fn expired(&self) {
        while let Some(at) = self.look() {
            tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                () = self.sooner.notified() => {}
            }
        }
    }

    /// Returns once the connection lost its place to another one.
    pub(crate) async fn displaced(&self) {
        self.place.lost().notified().await;
    }

    /// Returns when to look again, or nothing if it has been too long.
    fn look(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.lock();
        self.settle(&mut state, now);
        let deadline = state.deadline(self.timeouts);
        if deadline.is_some_and(|deadline| deadline <= now) {
            return None;
        }
        let soon = state.is_busy().then_some(now + PATIENCE);
        let next = deadline.into_iter().chain(soon).min();
        state.looks_at = next.unwrap_or(now + PATIENCE);
        Some(state.looks_at)
    }

    /// Has the watch look by then.
    fn look_by(&self, state: &State, at: Instant) {
        if state.looks_at > at {
            self.sooner.notify_one();
        }
    }

    /// Tells the place what the connection does now, if that is something else than before.
    fn settle(&self, state: &mut State, now: Instant) {
        let standing = state.standing(now);
        if state.standing != standing {
            state.standing = standing;
            self.place.stand(standing);
        }
    }

    fn note_read(&self, n_bytes: usize) {
        let now = Instant::now();
        let mut state = self.lock();
        state.note_moved(n_bytes, now);
        if state.n_requests > 0 {
            self.settle(&mut state, now);
        } else if !state.is_http2() && state.head_since.is_none() {
            state.head_since = Some(now);
            self.look_by(&state, now + self.timeouts.header);
        }
    }

    /// Notes how many bytes were written, unless the client keeps the connection from taking any.
    fn note_write(&self, written: &Poll<io::Result<usize>>) {
        let now = Instant::now();
        let mut state = self.lock();
        match written {
            Poll::Ready(written) => {
                state.blocked_since = None;
                state.note_moved(written.as_ref().map_or(0, |n_bytes| *n_bytes), now);
                self.settle(&mut state, now);
            }
            Poll::Pending => {
                state.blocked_since.get_or_insert(now);
            }
        }
    }

    /// Notes that everything that was to be written is written.
    fn note_flushed(&self) {
        let mut state = self.lock();
        if state.is_flushing {
            let now = Instant::now();
            state.is_flushing = false;
            state.idle_since = now;
            self.settle(&mut state, now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_busy(&self) -> bool {
        self.n_requests > 0 || self.is_flushing
    }

    /// Tells whether there are frames between requests, so that bytes are no sign of a head.
    fn is_http2(&self) -> bool {
        self.version == Some(http::Version::HTTP_2)
    }

    /// Notes bytes that went either way. A few are no sign of life, or one now and then would keep a place for ever.
    fn note_moved(&mut self, n_bytes: usize, now: Instant) {
        self.n_moved = self.n_moved.saturating_add(n_bytes);
        if self.n_moved >= MOVED_BYTES {
            self.moved_at = now;
            self.n_moved = 0;
        }
    }

    /// Returns what the server does for the connection.
    fn standing(&self, now: Instant) -> Standing {
        if !self.is_busy() {
            let wait = if self.has_answered {
                Wait::Next
            } else {
                Wait::First
            };
            return Standing::Waiting(wait);
        }
        let waits_for_client = self.n_arriving + self.untaken.len() >= self.n_requests;
        if waits_for_client && now >= self.moved_at + PATIENCE {
            Standing::Waiting(Wait::Client)
        } else {
            Standing::Working
        }
    }

    /// Returns until when the connection may go on like this; nothing while the server works.
    fn deadline(&self, timeouts: Timeouts) -> Option<Instant> {
        let longest_untaken = self.untaken.values().min();
        if let Some(blocked_since) = self.blocked_since {
            Some(blocked_since + timeouts.idle)
        } else if let Some(untaken_since) = longest_untaken.filter(|_| self.is_http2()) {
            // A client of HTTP/2 can take no more of one answer and read on all the same.
            Some(*untaken_since + timeouts.idle)
        } else if self.n_requests > 0 {
            None
        } else if let Some(head_since) = self.head_since {
            Some(head_since + timeouts.header)
        } else {
            Some(self.idle_since + timeouts.idle)
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.0.lock();
        state.n_requests = state.n_requests.saturating_sub(1);
        state.has_answered = true;
        state.is_flushing = true;
        state.idle_since = now;
    }
}

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.0.lock();
        state.n_arriving = state.n_arriving.saturating_sub(1);
        self.0.settle(&mut state, now);
    }
}

impl Handing {
    /// Notes that a piece was given to the connection and waits there to be sent.
    pub(crate) fn hand(&self) {
        let now = Instant::now();
        let mut state = self.activity.lock();
        state.untaken.insert(self.answer, now);
    }

    /// Notes that the connection asks for the next piece.
    pub(crate) fn taken(&self) {
        let mut state = self.activity.lock();
        if state.untaken.remove(&self.answer).is_some() {
            self.activity.settle(&mut state, Instant::now());
        }
    }
}

impl Drop for Handing {
    fn drop(&mut self) {
        self.taken();
    }
}

/// A connection whose reads and writes are noted.
#[derive(Debug)]
pub(crate) struct Watched {
    stream: TcpStream,
    activity: Arc<Activity>,
    linger: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    /// Returns the connection, watched.
    pub(crate) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            activity,
            linger: None,
        }
    }

    /// Returns the first byte the client sent, which is left to be read; nothing at the end.
    pub(crate) async fn first_byte(&self) -> io::Result<Option<u8>> {
        let mut first = [0_u8];
        let n_bytes = self.stream.peek(&mut first).await?;
        Ok(first.first().copied().filter(|_| n_bytes > 0))
    }

    /// Reads and forgets what the client still sends, for a short while. Closing with bytes unread
    /// would reset the connection, and the client would lose the answer that says why.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let linger = self
            .linger
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        let mut scratch = [0_u8; 16 * 1024];
        for _ in 0..LINGER_READS {
            if linger.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(Ok(()) | Err(_)) => return Poll::Ready(()),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n_before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let n_bytes = buffer.filled().len().saturating_sub(n_before);
        if n_bytes > 0 {
            self.activity.note_read(n_bytes);
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.activity.note_write(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.activity.note_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() {
            self.activity.note_flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_unread = self.activity.is_unread();
        if self.linger.is_none() {
            match Pin::new(&mut self.stream).poll_shutdown(context) {
                Poll::Ready(Ok(())) if is_unread => {}
                shut => return shut,
            }
        }
        self.poll_linger(context).map(Ok)
    }
}

/// How long a client may keep a request or an answer waiting before the connection's place is given to another.
const PATIENCE: Duration = Duration::from_secs(1);
/// What a client has to send or take in that time so as not to keep it waiting.
const MOVED_BYTES: usize = 1024;
const LINGER: Duration = Duration::from_secs(2);
const LINGER_READS: usize = 16;

#[cfg(test)]
#[path = "activity/tests.rs"]
mod tests;
