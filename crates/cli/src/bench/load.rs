//! Connections that send as fast as they are answered, for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Request, StatusCode};
use protocol::Operation;
use serde_json::{Map, Value, json};

use super::documents::Source;
use super::figures::{Figures, Times};
use crate::Session;
use crate::client::{CallError, Reply};
use crate::exit::Stop;
use crate::stopping::Stopping;
use crate::terminal::Progress;

/// When it is enough, and how much is under way until then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) time: Duration,
    pub(super) n_documents: u64,
    pub(super) connections: u16,
    pub(super) batch: u16,
}

/// What came of a load.
#[derive(Debug, Default)]
pub(super) struct Load {
    elapsed: Duration,
    n_calls: u64,
    n_acknowledged: u64,
    n_refused: u64,
    n_throttled: u64,
    n_failed: u64,
    /// Of calls that were acknowledged, in microseconds.
    times: Vec<u32>,
    /// What the server said last when it did not acknowledge a call.
    pub(super) complaint: Option<String>,
    /// Why nobody was there, if no call was ever answered.
    pub(super) absence: Option<CallError>,
}

/// What all connections share.
struct Shared {
    session: Session,
    bounds: Bounds,
    begun: Instant,
    stopping: Stopping,
    /// Documents that calls have been made for.
    n_taken: AtomicU64,
    /// Whether any call was answered.
    has_answered: AtomicBool,
    /// Connections whose first call was not answered.
    n_unanswered: AtomicU16,
    progress: Progress,
}

impl Load {
    /// Sends until time or documents are used up, the end is asked for, or nobody is there. Calls under way are then
    /// waited for a little, and count as failed if no answer comes.
    ///
    /// # Errors
    /// Stops if calls cannot be made.
    pub(super) async fn run(
        session: &Session,
        bounds: &Bounds,
        stopping: &Stopping,
    ) -> Result<Self, Stop> {
        let run = getrandom::u32().map_err(Stop::failed)?;
        let shared = Arc::new(Shared {
            session: session.clone(),
            bounds: *bounds,
            begun: Instant::now(),
            stopping: stopping.clone(),
            n_taken: AtomicU64::new(0),
            has_answered: AtomicBool::new(false),
            n_unanswered: AtomicU16::new(0),
            progress: Progress::timed(bounds.time, "documents"),
        });
        let mut connections = Vec::new();
        for number in 0..bounds.connections {
            let source = Source::new(run, number);
            connections.push(tokio::spawn(send(Arc::clone(&shared), source)));
        }
        let mut load = Self::default();
        for connection in connections {
            load.add(connection.await.map_err(Stop::failed)??);
        }
        load.elapsed = shared.begun.elapsed();
        if shared.has_answered.load(Ordering::Relaxed) {
            load.absence = None;
        }
        if let Some(shared) = Arc::into_inner(shared) {
            shared.progress.finish();
        }
        Ok(load)
    }

    fn add(&mut self, part: Self) {
        self.n_calls += part.n_calls;
        self.n_acknowledged += part.n_acknowledged;
        self.n_refused += part.n_refused;
        self.n_throttled += part.n_throttled;
        self.n_failed += part.n_failed;
        self.times.extend(part.times);
        self.complaint = part.complaint.or(self.complaint.take());
        self.absence = part.absence.or(self.absence.take());
    }

    /// Returns what is told of the load.
    pub(super) fn figures(&self, endpoint: String, bounds: &Bounds) -> Figures {
        let seconds = self.elapsed.as_secs_f64();
        let n_documents = crate::figures::real(self.n_acknowledged);
        Figures {
            endpoint,
            connections: bounds.connections,
            batch: bounds.batch,
            seconds,
            calls: self.n_calls,
            documents_acknowledged: self.n_acknowledged,
            documents_per_second: n_documents / seconds.max(f64::MIN_POSITIVE),
            documents_refused: self.n_refused,
            calls_throttled: self.n_throttled,
            calls_failed: self.n_failed,
            times: Times::of(&self.times),
        }
    }

    /// Counts the answer to a call of so many documents, and returns how long the server wants to be left alone.
    fn count(&mut self, reply: &Reply, n_documents: u64, time: Duration) -> Option<Duration> {
        self.n_calls += 1;
        if reply.status.is_success() {
            let Some(n_unprocessed) = unprocessed(&reply.body) else {
                self.n_failed += 1;
                self.complaint = Some("the server's answer makes no sense".to_owned());
                return Some(PAUSE);
            };
            let n_refused = n_unprocessed.min(n_documents);
            self.n_refused += n_refused;
            self.n_acknowledged += n_documents - n_refused;
            self.times
                .push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
            return None;
        }
        let (code, message) = reply.error();
        let is_throttled =
            reply.status == StatusCode::TOO_MANY_REQUESTS || code.contains("Throttl");
        self.complaint = Some(format!("{code}: {message}"));
        if is_throttled {
            self.n_throttled += 1;
        } else {
            self.n_failed += 1;
        }
        let asked = reply.headers.get(RETRY_AFTER);
        let asked = asked.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        Some(asked.map_or(PAUSE, Duration::from_secs))
    }

    /// Counts a call that was not answered.
    fn lose(&mut self, error: CallError) {
        self.n_calls += 1;
        self.n_failed += 1;
        if let CallError::Unreachable { cause, .. } = &error {
            self.complaint = Some(cause.clone());
        }
        self.absence = Some(error);
    }
}

/// Sends batches one after the other.
async fn send(shared: Arc<Shared>, mut source: Source) -> Result<Load, CallError> {
    let mut load = Load::default();
    let mut stopping = shared.stopping.clone();
    let deadline = shared.begun + shared.bounds.time;
    while let Some(n_documents) = shared.next() {
        let documents = source.batch(n_documents, (shared.session.now)());
        let request = request(&shared.session, &documents)?;
        let begun = Instant::now();
        let n_before = load.n_acknowledged;
        let answered = tokio::select! {
            answered = shared.session.client.send(request) => answered,
            () = stopping.overdue(GRACE) => Err(shared.unanswered()),
            () = tokio::time::sleep_until((deadline + GRACE).into()) => Err(shared.unanswered()),
        };
        let pause = match answered {
            Ok(reply) => {
                shared.has_answered.store(true, Ordering::Relaxed);
                load.count(&reply, u64::from(n_documents), begun.elapsed())
            }
            Err(error @ CallError::Unreachable { .. }) => {
                if load.n_calls == 0 {
                    shared.n_unanswered.fetch_add(1, Ordering::Relaxed);
                }
                load.lose(error);
                Some(PAUSE)
            }
            Err(error) => return Err(error),
        };
        shared.progress.advance(load.n_acknowledged - n_before);
        if let Some(pause) = pause {
            let left = deadline.saturating_duration_since(Instant::now());
            tokio::select! {
                () = stopping.asked() => {}
                () = tokio::time::sleep(pause.min(left)) => {}
            }
        }
    }
    Ok(load)
}

impl Shared {
    /// Returns how many documents the next call has, nothing if it is enough.
    fn next(&self) -> Option<u16> {
        let is_over = self.stopping.is_asked() || self.begun.elapsed() >= self.bounds.time;
        if is_over || self.is_nobody_there() {
            return None;
        }
        let batch = u64::from(self.bounds.batch);
        let n_taken = self.n_taken.fetch_add(batch, Ordering::Relaxed);
        let left = self.bounds.n_documents.saturating_sub(n_taken).min(batch);
        u16::try_from(left).ok().filter(|left| *left > 0)
    }

    /// Tells whether every connection has asked and none was answered.
    fn is_nobody_there(&self) -> bool {
        let n_unanswered = self.n_unanswered.load(Ordering::Relaxed);
        n_unanswered >= self.bounds.connections && !self.has_answered.load(Ordering::Relaxed)
    }

    fn unanswered(&self) -> CallError {
        CallError::Unreachable {
            endpoint: self.session.client.endpoint().to_string(),
            cause: "the time was up".to_owned(),
            advice: "give it longer with --for, or name another server with --endpoint",
        }
    }
}

fn request(session: &Session, documents: &[String]) -> Result<Request<Bytes>, CallError> {
    let body = json!({ "TraceSegmentDocuments": documents }).to_string();
    let url = session.client.url(Operation::PutTraceSegments.path());
    Request::post(url)
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .body(Bytes::from(body))
        .map_err(|error| CallError::Nonsense(error.to_string()))
}

/// Returns how many documents of a call were not taken; nothing if the answer does not tell.
fn unprocessed(body: &[u8]) -> Option<u64> {
    let answer: Map<String, Value> = serde_json::from_slice(body).ok()?;
    match answer.get("UnprocessedTraceSegments") {
        Some(Value::Array(unprocessed)) => u64::try_from(unprocessed.len()).ok(),
        Some(Value::Null) | None => Some(0),
        Some(_) => None,
    }
}

/// How long calls are waited for that are under way at the end.
const GRACE: Duration = Duration::from_secs(2);
/// How long a server is left alone that gave no acknowledgement and did not say how long.
const PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn check(status: u16, body: &str, retry_after: Option<&str>, expected: [u64; 4]) {
        let mut headers = HeaderMap::new();
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from_str(seconds).unwrap());
        }
        let reply = Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::from(body.to_owned()),
        };
        let mut load = Load::default();
        let pause = load.count(&reply, 25, Duration::from_micros(5));
        let counted = [
            load.n_acknowledged,
            load.n_refused,
            load.n_throttled,
            load.n_failed,
        ];
        assert_eq!(counted, expected, "{body}");
        let is_answered = expected[2..] == [0, 0];
        assert_eq!(pause.is_none(), is_answered, "{body}");
        let asked = retry_after.map(|seconds| Duration::from_secs(seconds.parse().unwrap()));
        assert!(asked.is_none() || pause == asked, "{pause:?}");
        assert_eq!(load.times.len(), usize::from(is_answered));
        assert_eq!(load.complaint.is_none(), is_answered);
    }

    #[test]
    fn answers_are_counted_for_what_they_are() {
        check(
            200,
            r#"{"UnprocessedTraceSegments": []}"#,
            None,
            [25, 0, 0, 0],
        );
        check(
            200,
            r#"{"UnprocessedTraceSegments": [{}, {}]}"#,
            None,
            [23, 2, 0, 0],
        );
        check(200, "{}", None, [25, 0, 0, 0]);
        check(
            200,
            r#"{"UnprocessedTraceSegments": null}"#,
            None,
            [25, 0, 0, 0],
        );
        check(429, "{}", Some("3"), [0, 0, 1, 0]);
        check(
            400,
            r#"{"__type": "ThrottledException"}"#,
            None,
            [0, 0, 1, 0],
        );
        check(503, "", None, [0, 0, 0, 1]);
        check(403, r#"{"__type": "AccessDenied"}"#, None, [0, 0, 0, 1]);
    }

    #[test]
    fn an_answer_that_is_no_result_acknowledges_nothing() {
        for body in [
            "",
            "null",
            "[]",
            "<html>welcome</html>",
            "\u{1f}\u{8b}",
            r#"{"UnprocessedTraceSegments": 1}"#,
        ] {
            check(200, body, None, [0, 0, 0, 1]);
        }
    }
}
