//! Who is sent to: a server, or whoever takes datagrams.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ::replay::{Body, Rewrite};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request};
use protocol::Operation;
use protocol::shapes::{PutTraceSegmentsRequest, PutTraceSegmentsResponse};
use tokio::net::UdpSocket;

use super::input::Items;
use crate::client::retry::{TRIES_MAX, may_repeat, pause};
use crate::client::{CallError, Client, Reply};
use crate::exit::{Exit, Stop};
use crate::stopping::Stopping;

/// Who is sent to.
#[derive(Debug)]
pub(super) enum Target {
    /// A server of the API.
    Http {
        /// The way to it.
        client: Client,
        /// Whether it ever answered.
        has_answered: AtomicBool,
    },
    /// Whoever takes datagrams of X-Ray SDKs.
    Udp(UdpSocket),
}

/// What became of what was sent together.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Whether it was sent at all and need not be sent again; not if the end was asked for before.
    pub(super) is_done: bool,
    /// The operation that was called, and how long the answer took.
    pub(super) call: Option<(Operation, Duration)>,
    /// Documents and calls that were taken; datagrams that were sent.
    pub(super) n_accepted: u64,
    /// The others, by code.
    pub(super) refused: BTreeMap<String, u64>,
    /// Bytes of bodies and datagrams.
    pub(super) n_bytes: u64,
    /// How often it was tried again.
    pub(super) n_again: u64,
    /// What is told of the first refusal.
    pub(super) told: Option<String>,
}

/// What was answered, or that nothing was.
enum Answered {
    Reply(Reply, Duration),
    /// The end was asked for while the server had no room.
    Never,
}

impl Target {
    /// Returns the way to whoever takes datagrams at an address.
    pub(super) async fn udp(address: SocketAddr) -> io::Result<Self> {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            SocketAddr::V6(_) => ([0; 16], 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(address).await?;
        Ok(Self::Udp(socket))
    }

    /// Sends what belongs together with other times and ids.
    ///
    /// A server without room is waited for, as long as it takes; one that answers no more for a minute. The end may be
    /// asked for meanwhile.
    ///
    /// # Errors
    /// Stops if no server answers, or requests cannot be signed.
    pub(super) async fn send(
        &self,
        items: &Items,
        rewrite: &Rewrite,
        stopping: &mut Stopping,
    ) -> Result<Outcome, Stop> {
        let mut outcome = Outcome::default();
        let (operation, body, documents) = match items {
            Items::Documents(documents) => {
                let moved = moved(documents, rewrite, &mut outcome);
                if let Self::Udp(socket) = self {
                    send_datagrams(socket, &moved, &mut outcome).await?;
                    return Ok(outcome);
                }
                if moved.is_empty() {
                    outcome.is_done = true;
                    return Ok(outcome);
                }
                let n_documents = moved.len();
                let request = PutTraceSegmentsRequest {
                    trace_segment_documents: moved,
                };
                let body = serde_json::to_vec(&request).map_err(Stop::failed)?;
                (Operation::PutTraceSegments, body.into(), n_documents)
            }
            Items::Call(operation, body) => match rewrite.body(operation.path(), body) {
                Ok(Body::Rewritten(body)) => (*operation, body.into(), 1),
                Ok(Body::Unchanged(_)) => (*operation, body.clone(), 1),
                Err(error) => {
                    outcome.refuse(OUT_OF_RANGE, 1, &error.to_string());
                    outcome.is_done = true;
                    return Ok(outcome);
                }
            },
        };
        let Self::Http {
            client,
            has_answered,
        } = self
        else {
            outcome.refuse("NoDatagram", 1, "datagrams carry documents only");
            outcome.is_done = true;
            return Ok(outcome);
        };
        outcome.n_bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let calling = Calling {
            client,
            has_answered,
            operation,
            body,
        };
        match calling.exchange(stopping, &mut outcome.n_again).await? {
            Answered::Reply(reply, took) => {
                outcome.call = Some((operation, took));
                outcome.judge(&reply, operation, documents);
            }
            Answered::Never => {}
        }
        Ok(outcome)
    }
}

/// A call that is tried until it is answered.
struct Calling<'c> {
    client: &'c Client,
    has_answered: &'c AtomicBool,
    operation: Operation,
    body: Bytes,
}

impl Calling<'_> {
    async fn exchange(&self, stopping: &mut Stopping, n_again: &mut u64) -> Result<Answered, Stop> {
        let mut n_tries = 0;
        let mut lost_since: Option<Instant> = None;
        loop {
            let begun = Instant::now();
            let outcome = self.client.send(self.request()?).await;
            let took = begun.elapsed();
            n_tries += 1;
            if outcome.is_ok() {
                self.has_answered.store(true, Ordering::Relaxed);
                lost_since = None;
            }
            let was_there = self.has_answered.load(Ordering::Relaxed);
            let may_repeat = was_there && may_repeat(self.operation);
            let is_given_up = match &outcome {
                Ok(_) => false,
                Err(_) => lost_since.get_or_insert(begun).elapsed() > PATIENCE,
            };
            // However often a server without room was asked, it is asked again.
            let pause = pause(&outcome, may_repeat, n_tries.min(TRIES_MAX - 1));
            let Some(pause) = pause.filter(|_| !is_given_up) else {
                let reply = outcome.map_err(|error| lost(error, was_there))?;
                return Ok(Answered::Reply(reply, took));
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => *n_again += 1,
                () = stopping.asked() => return Ok(Answered::Never),
            }
        }
    }

    fn request(&self) -> Result<Request<Bytes>, Stop> {
        let url = self.client.url(self.operation.path());
        let request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.body(self.body.clone()).map_err(Stop::failed)
    }
}

impl Outcome {
    fn judge(&mut self, reply: &Reply, operation: Operation, n_documents: usize) {
        self.is_done = true;
        let n_documents = u64::try_from(n_documents).unwrap_or(u64::MAX);
        if !reply.status.is_success() {
            let (code, message) = reply.error();
            self.refuse(&code, n_documents, &message);
            return;
        }
        let mut n_refused = 0;
        if operation == Operation::PutTraceSegments {
            let response: PutTraceSegmentsResponse =
                serde_json::from_slice(&reply.body).unwrap_or_default();
            for refused in response.unprocessed_trace_segments {
                self.refuse(&refused.error_code, 1, &refused.message);
                n_refused += 1;
            }
        }
        self.n_accepted += n_documents.saturating_sub(n_refused);
    }

    fn refuse(&mut self, code: &str, n: u64, message: &str) {
        *self.refused.entry(code.to_owned()).or_default() += n;
        self.told
            .get_or_insert_with(|| format!("refused: {code}: {message}"));
    }
}

/// Returns documents with other times and ids, without those whose times have no place to move to.
fn moved<'d>(
    documents: &'d [String],
    rewrite: &Rewrite,
    outcome: &mut Outcome,
) -> Vec<Cow<'d, str>> {
    let mut moved = Vec::with_capacity(documents.len());
    for document in documents {
        match rewrite.document(document) {
            Ok(document) => moved.push(document),
            Err(error) => outcome.refuse(OUT_OF_RANGE, 1, &error.to_string()),
        }
    }
    moved
}

async fn send_datagrams(
    socket: &UdpSocket,
    documents: &[Cow<'_, str>],
    outcome: &mut Outcome,
) -> Result<(), Stop> {
    for document in documents {
        let datagram = [HEADER, document.as_bytes()].concat();
        if datagram.len() > DATAGRAM_BYTES_MAX {
            let message = format!("a datagram has at most {DATAGRAM_BYTES_MAX} bytes");
            outcome.refuse("DatagramTooLarge", 1, &message);
            continue;
        }
        let mut sent = socket.send(&datagram).await;
        if is_answer_to_another(&sent) {
            // The system tells of an earlier datagram that nobody took it.
            outcome.refuse("PortUnreachable", 1, "nobody takes datagrams there");
            outcome.n_accepted = outcome.n_accepted.saturating_sub(1);
            sent = socket.send(&datagram).await;
        }
        let n_bytes = sent.map_err(|error| {
            Stop::new(Exit::Unreachable, format!("sending a datagram: {error}"))
        })?;
        outcome.n_accepted += 1;
        outcome.n_bytes += u64::try_from(n_bytes).unwrap_or(u64::MAX);
    }
    outcome.is_done = true;
    Ok(())
}

fn is_answer_to_another(sent: &io::Result<usize>) -> bool {
    let kind = sent.as_ref().map_err(io::Error::kind);
    kind == Err(io::ErrorKind::ConnectionRefused)
}

/// Returns the end of a replay whose target answers no more.
fn lost(error: CallError, was_there: bool) -> Stop {
    match error {
        CallError::Unreachable {
            endpoint, cause, ..
        } if was_there => {
            let message = format!("{endpoint} answers no more: {cause}");
            Stop::new(Exit::Unreachable, message)
        }
        other => other.into(),
    }
}

const HEADER: &[u8] = b"{\"format\":\"json\",\"version\":1}\n";
/// The most a datagram carries over IPv4.
const DATAGRAM_BYTES_MAX: usize = 65_507;
const OUT_OF_RANGE: &str = "TimeOutOfRange";
/// How long a server that answered before is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
