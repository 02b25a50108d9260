//! What happens on one connection, and how long it may go on like that.
//!
//! hyper times the head of a request only once its first bytes came, and not at all while it finds
//! out the version of HTTP, so the connection is watched here, by what is read and written:
//! a head must arrive within the header timeout; between requests, and while the client does not
//! read its answer, the idle timeout holds. While a request is under way nothing is timed here.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

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
pub(crate) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    n_requests: usize,
    /// Since when there was no request under way.
    idle_since: Instant,
    /// Since when the head of a request is arriving.
    head_since: Option<Instant>,
    /// Since when the client does not read.
    blocked_since: Option<Instant>,
    /// HTTP/2 has frames between requests, so bytes are no sign of a head.
    is_http2: bool,
    /// A request was answered without reading it to its end.
    is_unread: bool,
}

/// A request under way; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Activity>);

impl Activity {
    /// Returns the activity of a connection that was opened just now: a head is due.
    pub(crate) fn new() -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self(Mutex::new(State {
            n_requests: 0,
            idle_since: now,
            head_since: Some(now),
            blocked_since: None,
            is_http2: false,
            is_unread: false,
        })))
    }

    /// Notes that a request begins.
    pub(crate) fn begin(self: &Arc<Self>, version: http::Version) -> UnderWay {
        let mut state = self.lock();
        state.n_requests += 1;
        state.head_since = None;
        state.is_http2 = version == http::Version::HTTP_2;
        UnderWay(Arc::clone(self))
    }

    /// Notes that a request is answered without reading its body to the end.
    pub(crate) fn leave_unread(&self) {
        self.lock().is_unread = true;
    }

    /// Tells whether a request was answered without reading its body to the end.
    pub(crate) fn is_unread(&self) -> bool {
        self.lock().is_unread
    }

    /// Returns once the connection stayed in one state for too long.
    pub(crate) async fn expired(&self, timeouts: Timeouts) {
        while let Some(at) = self.next_look(timeouts) {
            tokio::time::sleep_until(at).await;
        }
    }

    /// Returns when to look again, or nothing if it has been too long.
    fn next_look(&self, timeouts: Timeouts) -> Option<Instant> {
        let now = Instant::now();
        let state = self.lock();
        let deadline = if let Some(blocked_since) = state.blocked_since {
            blocked_since + timeouts.idle
        } else if state.n_requests > 0 {
            return Some(now + timeouts.idle.min(timeouts.header));
        } else if let Some(head_since) = state.head_since {
            head_since + timeouts.header
        } else {
            state.idle_since + timeouts.idle
        };
        (now < deadline).then_some(deadline)
    }

    fn note_read(&self) {
        let mut state = self.lock();
        if state.n_requests > 0 {
            return;
        }
        let now = Instant::now();
        if state.is_http2 {
            state.idle_since = now;
        } else if state.head_since.is_none() {
            state.head_since = Some(now);
        }
    }

    fn note_write(&self, is_blocked: bool) {
        let mut state = self.lock();
        if !is_blocked {
            state.blocked_since = None;
        } else if state.blocked_since.is_none() {
            state.blocked_since = Some(Instant::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.n_requests = state.n_requests.saturating_sub(1);
        state.idle_since = Instant::now();
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
        if buffer.filled().len() > n_before {
            self.activity.note_read();
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
        self.activity.note_write(written.is_pending());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.activity.note_write(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
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

const LINGER: Duration = Duration::from_secs(2);
const LINGER_READS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        header: Duration::from_secs(10),
        idle: Duration::from_secs(90),
    };

    /// Returns after how many seconds of paused time the connection expires.
    async fn expires_after(activity: &Activity) -> u64 {
        let start = Instant::now();
        activity.expired(TIMEOUTS).await;
        start.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_head_is_due_within_the_header_timeout() {
        assert_eq!(expires_after(&Activity::new()).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_the_idle_timeout_holds() {
        let activity = Activity::new();
        drop(activity.begin(http::Version::HTTP_11));
        assert_eq!(expires_after(&activity).await, 90);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_head_that_begins_is_due_within_the_header_timeout() {
        let activity = Activity::new();
        drop(activity.begin(http::Version::HTTP_11));
        activity.note_read();
        activity.note_read();
        assert_eq!(expires_after(&activity).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn frames_between_http2_requests_are_no_head() {
        let activity = Activity::new();
        drop(activity.begin(http::Version::HTTP_2));
        activity.note_read();
        assert_eq!(expires_after(&activity).await, 90);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_given_up_during_a_request() {
        let activity = Activity::new();
        let _under_way = activity.begin(http::Version::HTTP_11);
        activity.note_write(true);
        assert_eq!(expires_after(&activity).await, 90);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_under_way_is_not_timed() {
        let activity = Activity::new();
        let _under_way = activity.begin(http::Version::HTTP_11);
        let day = Duration::from_hours(24);
        assert!(
            tokio::time::timeout(day, activity.expired(TIMEOUTS))
                .await
                .is_err()
        );
    }
}
