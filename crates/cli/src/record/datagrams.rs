//! Datagrams: each is written to the journal and passed on, to where datagrams are taken or as documents to the server.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use ingest::datagram::{self, Framed};
use journal::{Content, Door, Record};
use model::Timestamp;
use protocol::Operation;
use protocol::shapes::{PutTraceSegmentsRequest, PutTraceSegmentsResponse};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::keeping::Keeping;
use crate::client::Client;
use crate::stopping::Stopping;

/// Where datagrams are passed on to.
#[derive(Debug)]
pub(super) enum Onward {
    /// As they came.
    Udp(UdpSocket),
    /// Their documents, to a server.
    Api(mpsc::Sender<Bytes>),
}

/// Takes datagrams until the end is asked for. Returns how many could not be passed on.
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
        };
        // An error is of an answer that did not arrive; none is sent.
        let Ok((n_bytes, peer)) = received else {
            continue;
        };
        let bytes = Bytes::copy_from_slice(buffer.get(..n_bytes).unwrap_or_default());
        keeping.keep(record(bytes.clone(), peer, now())).await;
        let is_sent = match &onward {
            Onward::Udp(socket) => socket.send(&bytes).await.is_ok(),
            Onward::Api(documents) => documents.try_send(bytes).is_ok(),
        };
        n_lost += u64::from(!is_sent);
    }
}

/// Posts the documents of datagrams, as many together as there are, until nobody brings any more.
pub(super) async fn post(client: Client, mut taken: mpsc::Receiver<Bytes>, n_lost: &AtomicU64) {
    let mut datagrams = Vec::new();
    while taken.recv_many(&mut datagrams, DOCUMENTS_PER_CALL).await > 0 {
        let documents = datagrams
            .iter()
            .filter_map(|bytes| match datagram::open(bytes) {
                Ok(Framed::Document(document)) => Some(Cow::Borrowed(document)),
                Ok(Framed::Spans { .. }) | Err(_) => None,
            });
        let request = PutTraceSegmentsRequest {
            trace_segment_documents: documents.collect(),
        };
        let n_documents = request.trace_segment_documents.len();
        let n_taken = datagrams.len().saturating_sub(n_documents);
        let mut n_unsent = u64::try_from(n_taken).unwrap_or(u64::MAX);
        if n_documents > 0 {
            let posted =
                client.call::<PutTraceSegmentsResponse>(Operation::PutTraceSegments, &request);
            if posted.await.is_err() {
                n_unsent += u64::try_from(n_documents).unwrap_or(u64::MAX);
            }
        }
        n_lost.fetch_add(n_unsent, Ordering::Relaxed);
        datagrams.clear();
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
const DOCUMENTS_PER_CALL: usize = 50;
