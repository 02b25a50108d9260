//! Who is sent to: a server, or whoever takes datagrams.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ::replay::{Body, Rewrite};
use bytes::Bytes;
use protocol::Operation;
use protocol::shapes::{PutTraceSegmentsRequest, PutTraceSegmentsResponse};
use serde_json::{Map, Value};
use tokio::net::UdpSocket;

use super::calling::{Answered, Server, is_failure};
use super::input::Items;
use super::members::Members;
use crate::client::retry::{TRIES_MAX, is_throttling};
use crate::client::{CallError, Reply};
use crate::exit::{Exit, Stop};
use crate::stopping::Stopping;

/// Who is sent to.
#[derive(Debug)]
pub(super) enum Target {
    /// A server of the API.
    Http(Server),
    /// Whoever takes datagrams of X-Ray SDKs.
    Udp(UdpSocket),
}

/// What became of what was sent together.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The places of items that nothing is known of, and that are to be sent another time.
    pub(super) left: Vec<usize>,
    /// What keeps the replay from going on.
    pub(super) stop: Option<Stop>,
    /// Whether it was a call as a whole, and no documents.
    pub(super) is_call: bool,
    /// The operations that were called, and how long the answers took.
    pub(super) calls: Vec<(Operation, Duration)>,
    /// Documents and calls that were taken; datagrams that were sent.
    pub(super) n_accepted: u64,
    /// Datagrams that an earlier outcome told were sent, and that nobody took; they are among the refused.
    pub(super) n_taken_back: u64,
    /// The others, by code.
    pub(super) refused: BTreeMap<String, u64>,
    /// Bytes of bodies and datagrams.
    pub(super) n_bytes: u64,
    /// How often it was tried again.
    pub(super) n_again: u64,
    /// What is told of the first refusal.
    pub(super) told: Option<String>,
}

/// A document with its place among those that are sent together.
type Placed<'d> = (usize, Cow<'d, str>);

/// Documents that are sent in one call.
struct Group<'d> {
    documents: Vec<Placed<'d>>,
    /// How often in a row the server had no room for any of them.
    n_tries: u32,
    /// How often the server may fail.
    n_failures_max: u32,
}

/// What is to be done after a call with documents.
enum After<'d> {
    /// Go on: all of them are done.
    Done,
    /// Send these, in this order, before the others.
    Send(Vec<Group<'d>>),
    /// End.
    End(Vec<Placed<'d>>, Option<Stop>),
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

    /// Returns what the system tells of datagrams once all were sent: that nobody took the last one. It waits for that a
    /// moment, if there is anything to be told of.
    pub(super) async fn last_words(&self) -> Outcome {
        let mut outcome = Outcome::default();
        if let Self::Udp(socket) = self {
            let mut nothing = [0; 1];
            let told = tokio::time::timeout(LAST_WORDS, socket.recv(&mut nothing)).await;
            if told.is_ok_and(|told| is_answer_to_another(&told)) {
                outcome.take_back();
            }
        }
        outcome
    }

    /// Sends what belongs together with other times and ids.
    ///
    /// A server without room is waited for, as long as it takes; one that answers no more for some minutes. Documents a
    /// server fails with again and again are sent to it one by one. The end may be asked for meanwhile.
    pub(super) async fn send(
        &self,
        items: &Items,
        rewrite: &Rewrite,
        stopping: &mut Stopping,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        match items {
            Items::Documents(documents) => {
                let moved = moved(documents, rewrite, &mut outcome);
                match self {
                    Self::Udp(socket) => send_datagrams(socket, &moved, &mut outcome).await,
                    Self::Http(server) => {
                        Box::pin(put(server, moved, stopping, &mut outcome)).await;
                    }
                }
            }
            Items::Call(operation, body) => {
                outcome.is_call = true;
                let (operation, path) = (*operation, operation.path());
                match (self, rewrite.body(path, body)) {
                    (Self::Udp(_), _) => {
                        outcome.refuse("NoDatagram", 1, "datagrams carry documents only");
                    }
                    (Self::Http(_), Err(error)) => {
                        outcome.refuse(OUT_OF_RANGE, 1, &error.to_string());
                    }
                    (Self::Http(server), Ok(moved)) => {
                        let body = match moved {
                            Body::Rewritten(body) => body.into(),
                            Body::Unchanged(_) => body.clone(),
                        };
                        Box::pin(call(server, operation, &body, stopping, &mut outcome)).await;
                    }
                }
            }
        }
        outcome.left.sort_unstable();
        outcome
    }
}

/// Makes a call that is sent as a whole.
async fn call(
    server: &Server,
    operation: Operation,
    body: &Bytes,
    stopping: &mut Stopping,
    outcome: &mut Outcome,
) {
    let n_again = &mut outcome.n_again;
    let answered = server.exchange(operation, body, TRIES_MAX, stopping, n_again);
    let answered = answered.await;
    if !matches!(answered, Ok(Answered::Never)) {
        outcome.n_bytes += length(body);
    }
    match answered {
        Ok(Answered::Reply(reply, took)) => {
            outcome.calls.push((operation, took));
            match judge(&reply, operation) {
                Ok(response) => match response.unprocessed_trace_segments.first() {
                    Some(refused) => outcome.refuse(&refused.error_code, 1, &refused.message),
                    None => outcome.n_accepted += 1,
                },
                Err(CallError::Refused { code, message, .. }) => {
                    outcome.refuse(&code, 1, &message);
                }
                Err(nonsense) => outcome.end([0], Some(nonsense.into())),
            }
        }
        Ok(Answered::Lost(cause)) => outcome.refuse(NO_ANSWER, 1, &cause),
        Ok(Answered::Never) => outcome.end([0], None),
        Err(stop) => outcome.end([0], Some(stop)),
    }
}

/// Sends documents in as many calls as it takes.
async fn put(
    server: &Server,
    documents: Vec<Placed<'_>>,
    stopping: &mut Stopping,
    outcome: &mut Outcome,
) {
    let mut groups = VecDeque::from([Group {
        documents,
        n_tries: 0,
        n_failures_max: TRIES_MAX,
    }]);
    while let Some(group) = groups.pop_front() {
        if group.documents.is_empty() {
            continue;
        }
        match put_group(server, group, stopping, outcome).await {
            After::Done => {}
            After::Send(before) => {
                for group in before.into_iter().rev() {
                    groups.push_front(group);
                }
            }
            After::End(documents, stop) => {
                let rest = groups.into_iter().flat_map(|group| group.documents);
                let left = documents.into_iter().chain(rest);
                return outcome.end(left.map(|(place, _)| place), stop);
            }
        }
    }
}

async fn put_group<'d>(
    server: &Server,
    group: Group<'d>,
    stopping: &mut Stopping,
    outcome: &mut Outcome,
) -> After<'d> {
    let documents = group.documents;
    let texts = documents.iter().map(|(_, text)| Cow::Borrowed(&**text));
    let request = PutTraceSegmentsRequest {
        trace_segment_documents: texts.collect(),
    };
    let body: Bytes = match serde_json::to_vec(&request) {
        Ok(body) => body.into(),
        Err(error) => return After::End(documents, Some(Stop::failed(error))),
    };
    let n_again = &mut outcome.n_again;
    let operation = Operation::PutTraceSegments;
    let answered = server.exchange(operation, &body, group.n_failures_max, stopping, n_again);
    let (reply, took) = match answered.await {
        Ok(Answered::Reply(reply, took)) => (reply, took),
        Ok(Answered::Never) => return After::End(documents, None),
        Ok(Answered::Lost(cause)) => return After::End(documents, Some(Stop::failed(cause))),
        Err(stop) => return After::End(documents, Some(stop)),
    };
    outcome.n_bytes += length(&body);
    outcome.calls.push((operation, took));
    let headers = reply.headers.clone();
    let n_documents = u64::try_from(documents.len()).unwrap_or(u64::MAX);
    match judge(&reply, operation) {
        Ok(response) => {
            let (again, code) = outcome.count(documents, response);
            if again.is_empty() {
                return After::Done;
            }
            let n_again = u64::try_from(again.len()).unwrap_or(u64::MAX);
            let n_tries = if n_again < n_documents {
                1
            } else {
                group.n_tries + 1
            };
            if !server.wait(headers, &code, n_tries, stopping).await {
                return After::End(again, None);
            }
            outcome.n_again += 1;
            After::Send(vec![Group {
                documents: again,
                n_tries,
                ..group
            }])
        }
        Err(CallError::Refused { .. }) if n_documents > 1 && is_failure(&Ok(reply)) => {
            // Maybe one of them is the reason.
            let alone = |document| Group {
                documents: vec![document],
                n_tries: 0,
                n_failures_max: TRIES_ALONE_MAX,
            };
            After::Send(documents.into_iter().map(alone).collect())
        }
        Err(CallError::Refused { code, message, .. }) => {
            outcome.refuse(&code, n_documents, &message);
            After::Done
        }
        Err(nonsense) => After::End(documents, Some(nonsense.into())),
    }
}

/// Returns what a server says of what was sent to it.
fn judge(reply: &Reply, operation: Operation) -> Result<PutTraceSegmentsResponse, CallError> {
    if !reply.status.is_success() {
        let (code, message) = reply.error();
        return Err(CallError::Refused {
            status: reply.status.as_u16(),
            code,
            message,
        });
    }
    let is_put = operation == Operation::PutTraceSegments;
    if !is_put && reply.body.is_empty() {
        return Ok(PutTraceSegmentsResponse::default());
    }
    // An array would be read as the members of the response, in their order.
    let object: Result<Map<String, Value>, _> = serde_json::from_slice(&reply.body);
    let read = object.and_then(|object| {
        if is_put {
            serde_json::from_value(Value::Object(object))
        } else {
            Ok(PutTraceSegmentsResponse::default())
        }
    });
    read.map_err(|_| {
        let status = reply.status;
        CallError::Nonsense(format!("{status} without a result of {}", operation.name()))
    })
}

impl Outcome {
    /// Returns how many documents and calls it is about, but for those that are left.
    pub(super) fn n_sent(&self) -> u64 {
        let n_refused: u64 = self.refused.values().sum();
        (self.n_accepted + n_refused).saturating_sub(self.n_taken_back)
    }

    /// Takes note that nobody took an earlier datagram, as the system told.
    fn take_back(&mut self) {
        self.refuse("PortUnreachable", 1, "nobody takes datagrams there");
        self.n_taken_back += 1;
    }

    /// Counts what became of documents. Returns those the server had no room for, and its code for that.
    fn count<'d>(
        &mut self,
        documents: Vec<Placed<'d>>,
        response: PutTraceSegmentsResponse,
    ) -> (Vec<Placed<'d>>, String) {
        let mut code = String::new();
        let mut ids = BTreeSet::new();
        for refused in &response.unprocessed_trace_segments {
            if is_throttling(&refused.error_code) {
                code.clone_from(&refused.error_code);
                ids.extend(refused.id.clone());
            }
        }
        // Of documents with the same id nobody can tell which was meant, and they keep their order.
        let (again, rest): (Vec<_>, Vec<_>) = documents.into_iter().partition(|(_, text)| {
            !ids.is_empty() && Members::of(text).id.is_some_and(|id| ids.contains(&*id))
        });
        let mut n_refused = 0;
        for refused in response.unprocessed_trace_segments {
            let is_sent_again = refused.id.is_some_and(|id| ids.contains(&id)) && !again.is_empty();
            if !is_sent_again {
                self.refuse(&refused.error_code, 1, &refused.message);
                n_refused += 1;
            }
        }
        let n_rest = u64::try_from(rest.len()).unwrap_or(u64::MAX);
        self.n_accepted += n_rest.saturating_sub(n_refused);
        (again, code)
    }

    fn refuse(&mut self, code: &str, n: u64, message: &str) {
        *self.refused.entry(code.to_owned()).or_default() += n;
        self.told
            .get_or_insert_with(|| format!("refused: {code}: {message}"));
    }

    fn end(&mut self, left: impl IntoIterator<Item = usize>, stop: Option<Stop>) {
        self.left.extend(left);
        self.stop = stop;
    }
}

/// Returns documents with other times and ids, without those whose times have no place to move to.
fn moved<'d>(documents: &'d [String], rewrite: &Rewrite, outcome: &mut Outcome) -> Vec<Placed<'d>> {
    let mut moved = Vec::with_capacity(documents.len());
    for (place, document) in documents.iter().enumerate() {
        match rewrite.document(document) {
            Ok(document) => moved.push((place, document)),
            Err(error) => outcome.refuse(OUT_OF_RANGE, 1, &error.to_string()),
        }
    }
    moved
}

async fn send_datagrams(socket: &UdpSocket, documents: &[Placed<'_>], outcome: &mut Outcome) {
    for (nth, (_, document)) in documents.iter().enumerate() {
        let datagram = [HEADER, document.as_bytes()].concat();
        if datagram.len() > DATAGRAM_BYTES_MAX {
            let message = format!("a datagram has at most {DATAGRAM_BYTES_MAX} bytes");
            outcome.refuse("DatagramTooLarge", 1, &message);
            continue;
        }
        let mut sent = socket.send(&datagram).await;
        if is_answer_to_another(&sent) {
            outcome.take_back();
            sent = socket.send(&datagram).await;
        }
        match sent {
            Ok(_) => {
                outcome.n_accepted += 1;
                outcome.n_bytes += length(&datagram);
            }
            Err(error) => {
                let told = format!("sending a datagram: {error}");
                let left = documents.iter().skip(nth).map(|(place, _)| *place);
                return outcome.end(left, Some(Stop::new(Exit::Unreachable, told)));
            }
        }
    }
}

fn is_answer_to_another<T>(sent: &io::Result<T>) -> bool {
    let kind = sent.as_ref().map_err(io::Error::kind).err();
    kind == Some(io::ErrorKind::ConnectionRefused)
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

const HEADER: &[u8] = b"{\"format\":\"json\",\"version\":1}\n";
/// The most a datagram carries over IPv4.
const DATAGRAM_BYTES_MAX: usize = 65_507;
/// How long the system may take to tell that nobody took a datagram.
const LAST_WORDS: Duration = Duration::from_millis(200);
const OUT_OF_RANGE: &str = "TimeOutOfRange";
/// The code of calls of which nobody knows whether they were taken, and that must not be sent twice.
const NO_ANSWER: &str = "NoAnswer";
/// How often a server may fail with a document by itself.
const TRIES_ALONE_MAX: u32 = 2;
