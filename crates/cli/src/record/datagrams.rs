//! Datagrams: each is written to the journal and passed on, to where datagrams are taken or by calls to the server: segment
//! documents to the API, spans to where it takes OTLP.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request};
use ingest::datagram::{self, Framed};
use journal::{Content, Door, Record};
use model::Timestamp;
use otlp::Encoding;
use protocol::Operation;
use protocol::shapes::{PutTraceSegmentsRequest, PutTraceSegmentsResponse};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::keeping::Keeping;
use crate::client::{Client, retry};
use crate::stopping::Stopping;

/// Where datagrams are passed on to.
#[derive(Debug)]
pub(super) enum Onward {
    /// As they came.
    Udp(UdpSocket),
    /// What they carry, to a server.
    Api(mpsc::Sender<Bytes>),
}

/// Takes datagrams until the end is asked for, or the journal takes no more. Returns how many could not be passed on.
pub(super) async fn serve(
    socket: UdpSocket,
    onward: Onward,
    keeping: Keeping,
    now: fn() -> Timestamp,
    mut stopping: Stopping,
) -> u64 {
    let mut n_lost = 0;
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = stopping.asked() => return n_lost,
            () = keeping.over() => return n_lost,
        };
        // An error is of an answer that did not arrive; none is sent.
        let Ok((n_bytes, peer)) = received else {
            continue;
        };
        let bytes = Bytes::copy_from_slice(buffer.get(..n_bytes).unwrap_or_default());
        let at = now();
        let kept = keeping.keep(record(bytes.clone(), peer, at), at).await;
        if kept.is_err() {
            return n_lost;
        }
        let is_sent = match &onward {
            Onward::Udp(socket) => socket.send(&bytes).await.is_ok(),
            Onward::Api(documents) => documents.try_send(bytes).is_ok(),
        };
        n_lost += u64::from(!is_sent);
    }
}

/// Posts what datagrams carry, as many together as there are, until nobody brings any more.
pub(super) async fn post(client: Client, mut taken: mpsc::Receiver<Bytes>, n_lost: &AtomicU64) {
    let mut datagrams = Vec::new();
    let mut has_answered = false;
    while taken.recv_many(&mut datagrams, DATAGRAMS_PER_CALL).await > 0 {
        let load = Load::of(&datagrams);
        let mut n_unsent = load.n_empty;
        if !load.request.trace_segment_documents.is_empty() {
            let posted = client
                .call::<PutTraceSegmentsResponse>(Operation::PutTraceSegments, &load.request)
                .await;
            if posted.is_err() {
                n_unsent += load.request.trace_segment_documents.len();
            }
        }
        if load.n_with_spans > 0 && !post_spans(&client, load.spans, &mut has_answered).await {
            n_unsent += load.n_with_spans;
        }
        let n_unsent = u64::try_from(n_unsent).unwrap_or(u64::MAX);
        n_lost.fetch_add(n_unsent, Ordering::Relaxed);
        datagrams.clear();
    }
}

/// What some datagrams carry together.
#[derive(Debug)]
struct Load<'d> {
    request: PutTraceSegmentsRequest<'d>,
    /// An export request: put behind one another, messages of protobuf are one with the members of all.
    spans: Vec<u8>,
    n_with_spans: usize,
    /// Datagrams that carry nothing a server could take.
    n_empty: usize,
}

impl<'d> Load<'d> {
    /// Spans no sampler chose are among them: what becomes of those is for the server to say.
    fn of(datagrams: &'d [Bytes]) -> Self {
        let mut documents = Vec::new();
        let mut spans = Vec::new();
        let (mut n_with_spans, mut n_empty) = (0, 0);
        for bytes in datagrams {
            match datagram::open(bytes) {
                Ok(Framed::Document(document)) => documents.push(Cow::Borrowed(document)),
                // One that cannot be read would spoil all others.
                Ok(Framed::Spans { protobuf, .. })
                    if otlp::decode(&protobuf, Encoding::Protobuf).is_ok() =>
                {
                    spans.extend(protobuf);
                    n_with_spans += 1;
                }
                Ok(Framed::Spans { .. }) | Err(_) => n_empty += 1,
            }
        }
        let request = PutTraceSegmentsRequest {
            trace_segment_documents: documents,
        };
        Self {
            request,
            spans,
            n_with_spans,
            n_empty,
        }
    }
}

/// Posts an export request, again if the server asks for patience; it may come twice. Tells whether the server took it.
async fn post_spans(client: &Client, spans: Vec<u8>, has_answered: &mut bool) -> bool {
    let body = Bytes::from(spans);
    let mut n_tries = 0;
    loop {
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        let request = Request::post(client.url(SPANS_PATH))
            .header(CONTENT_TYPE, protobuf)
            .body(body.clone());
        let Ok(request) = request else {
            return false;
        };
        let outcome = client.send(request).await;
        *has_answered |= outcome.is_ok();
        n_tries += 1;
        let Some(pause) = retry::pause(&outcome, *has_answered, n_tries) else {
            return outcome.is_ok_and(|reply| reply.status.is_success());
        };
        tokio::time::sleep(pause).await;
    }
}

const fn record(bytes: Bytes, peer: SocketAddr, at: Timestamp) -> Record {
    Record {
        at,
        door: Door::Udp,
        account: None,
        peer: Some(peer),
        content: Content::Datagram(bytes),
        verdicts: None,
    }
}

const DATAGRAM_BYTES_MAX: usize = 64 << 10;
/// As many documents are taken in one call.
const DATAGRAMS_PER_CALL: usize = 50;
/// Where spans are posted to; AWS has it, too.
const SPANS_PATH: &str = "/v1/traces";

#[cfg(test)]
mod tests {
    use super::*;

    fn load(payloads: &[&str]) -> (Vec<String>, Vec<u8>, usize, usize) {
        let datagrams: Vec<Bytes> = payloads
            .iter()
            .map(|payload| Bytes::from(format!("{{\"format\":\"json\",\"version\":1}}\n{payload}")))
            .collect();
        let load = Load::of(&datagrams);
        let documents = load.request.trace_segment_documents.iter();
        let documents = documents.map(ToString::to_string).collect();
        (documents, load.spans, load.n_with_spans, load.n_empty)
    }

    #[test]
    fn documents_and_spans_are_told_apart() {
        // A message without members, and one with an empty resource in it.
        let (one, two) = ("T1SCgA=", "T1UCgIKAA==");
        assert_eq!(load(&["{}"]), (vec!["{}".to_owned()], vec![], 0, 0));
        assert_eq!(load(&[one]), (vec![], vec![10, 0], 1, 0));
        assert_eq!(
            load(&[one, "{}", two, "[]"]),
            (
                vec!["{}".to_owned(), "[]".to_owned()],
                vec![10, 0, 10, 2, 10, 0],
                2,
                0
            )
        );
        assert_eq!(
            load(&["T1SAAAA", "T1S?", "", one]),
            (vec![], vec![10, 0], 1, 3)
        );
    }
}
