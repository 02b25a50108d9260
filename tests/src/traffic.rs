//! Concurrent clients that send until the server is gone, and note what was acknowledged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::generate::{Feed, Planned, Pool};
use crate::http::Connection;
use crate::ledger::Ledger;
use crate::random::Random;
use crate::wait;

/// What the clients of one round do.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Clients that wait for each acknowledgement and note it.
    pub n_acknowledged: u32,
    /// Clients that never read an answer: their documents may be kept or not.
    pub n_unacknowledged: u32,
    /// The most documents in one call; each call has a random number of them.
    pub batch_max: u32,
}

/// Running clients.
#[derive(Debug)]
pub struct Traffic {
    clients: Vec<JoinHandle<Option<Ledger>>>,
    gauge: Arc<Gauge>,
}

#[derive(Debug, Default)]
struct Gauge {
    stop: AtomicBool,
    disregard: AtomicBool,
    n_acknowledged: AtomicUsize,
}

impl Traffic {
    /// Starts the clients; the seed decides all that they send.
    pub fn start(address: SocketAddr, pool: &Arc<Pool>, shape: Shape, seed: u64) -> Self {
        let gauge = Arc::new(Gauge::default());
        let mut random = Random::new(seed);
        let mut clients = Vec::new();
        for _ in 0..shape.n_acknowledged {
            let client = Client::new(address, pool, shape, random.bits(), &gauge);
            clients.push(std::thread::spawn(move || Some(client.send_and_note())));
        }
        for _ in 0..shape.n_unacknowledged {
            let client = Client::new(address, pool, shape, random.bits(), &gauge);
            clients.push(std::thread::spawn(move || {
                // Ends with the server; whatever it wrote is promised to nobody.
                let _ = client.send_and_forget();
                None
            }));
        }
        Self { clients, gauge }
    }

    /// Waits until this many documents were acknowledged, or until all clients have ended.
    pub fn wait_for(&self, n_documents: usize) -> Result<()> {
        wait::until("the documents are acknowledged", || {
            let enough = self.n_acknowledged() >= n_documents;
            let ended = self.clients.iter().all(JoinHandle::is_finished);
            Ok((enough || ended).then_some(()))
        })
        .with_context(|| format!("{} of {n_documents}", self.n_acknowledged()))
    }

    /// From now on acknowledgements are noted no longer: what is still answered may be kept or not.
    ///
    /// For a simulated loss of power: a flush that races with the cut of an ext4 file system can be told success by
    /// the kernel although its transaction was thrown away (the journal, once aborted, counts it as done). When
    /// power is really lost no such answer leaves the machine.
    pub fn disregard_answers(&self) {
        self.gauge.disregard.store(true, Ordering::SeqCst);
    }

    /// Returns how many documents have been acknowledged so far.
    pub fn n_acknowledged(&self) -> usize {
        self.gauge.n_acknowledged.load(Ordering::Relaxed)
    }

    /// Stops the clients and returns what they noted, joined.
    pub fn finish(self, pool: &Arc<Pool>) -> Ledger {
        self.gauge.stop.store(true, Ordering::Relaxed);
        let mut ledger = Ledger::new(Arc::clone(pool));
        for client in self.clients {
            if let Ok(Some(noted)) = client.join() {
                ledger.merge(noted);
            }
        }
        ledger
    }
}

struct Client {
    address: SocketAddr,
    feed: Feed,
    random: Random,
    batch_max: u32,
    gauge: Arc<Gauge>,
}

impl Client {
    fn new(
        address: SocketAddr,
        pool: &Arc<Pool>,
        shape: Shape,
        seed: u64,
        gauge: &Arc<Gauge>,
    ) -> Self {
        let feed = Feed::new(Arc::clone(pool), seed, wait::now(), 600);
        Self {
            address,
            feed,
            random: Random::new(!seed),
            batch_max: shape.batch_max,
            gauge: Arc::clone(gauge),
        }
    }

    fn send_and_note(mut self) -> Ledger {
        let mut ledger = Ledger::new(Arc::clone(self.feed.pool()));
        let Ok(mut connection) = Connection::open(self.address) else {
            return ledger;
        };
        let mut body = Vec::new();
        while !self.gauge.stop.load(Ordering::Relaxed) {
            let batch = self.next_batch(&mut body);
            ledger.sent(&batch);
            let Ok(response) = connection.post("/TraceSegments", &body) else {
                // Those who never read an answer take the place of idle connections; a server that is gone takes none.
                let Ok(again) = Connection::open(self.address) else {
                    break;
                };
                connection = again;
                continue;
            };
            if self.gauge.disregard.load(Ordering::SeqCst) {
                break;
            }
            if is_acknowledged(&response) {
                ledger.acknowledged(&batch);
                self.gauge
                    .n_acknowledged
                    .fetch_add(batch.len(), Ordering::Relaxed);
            } else if response.status < 500 && response.status != THROTTLED {
                // A refusal of good documents would make a test of nothing.
                break;
            }
        }
        ledger
    }

    fn send_and_forget(mut self) -> Result<()> {
        let mut body = Vec::new();
        let mut n_sent = 0;
        while !self.gauge.stop.load(Ordering::Relaxed) {
            if n_sent > FLOOD * (self.gauge.n_acknowledged.load(Ordering::Relaxed) + FLOOD_START) {
                std::thread::park_timeout(wait::PACE);
                continue;
            }
            let mut connection = Connection::open(self.address)?;
            for _ in 0..8 {
                n_sent += self.next_batch(&mut body).len();
                let head = format!(
                    "POST /TraceSegments HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                connection.send(head.as_bytes())?;
                connection.send(&body)?;
            }
        }
        Ok(())
    }

    fn next_batch(&mut self, body: &mut Vec<u8>) -> Vec<Planned> {
        let n_documents = self.random.between(1, self.batch_max);
        let batch = self.feed.batch(usize::try_from(n_documents).unwrap_or(1));
        self.feed.pool().write_request(&batch, body);
        batch
    }
}

fn is_acknowledged(response: &crate::http::Response) -> bool {
    let Ok(answer) = response.success() else {
        return false;
    };
    answer
        .get("UnprocessedTraceSegments")
        .and_then(Value::as_array)
        .is_some_and(Vec::is_empty)
}

/// How many documents are sent without waiting for each acknowledged one: those who wait are not crowded out, however slow the
/// machine is.
const FLOOD: usize = 4;

/// As many acknowledged ones are taken for granted at the start.
const FLOOD_START: usize = 100;

/// More is sent than the server can take at the moment: what is sent next may be taken.
const THROTTLED: u16 = 429;
