//! Clients that keep calling `PutTraceSegments`, each on a connection of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use roentgen_tests::generate::{Feed, Pool, TraceKey};
use roentgen_tests::signing::Signer;
use roentgen_tests::wait::now;
use roentgen_tests::{Connection, Response};
use tokio_rustls::rustls::ClientConfig;

use super::report::number;

/// The clients of a run; they go on where they stopped.
pub(super) struct Load {
    pool: Arc<Pool>,
    clients: Vec<Client>,
    way: Way,
}

/// How the clients come in.
#[derive(Clone, Default)]
pub(super) struct Way {
    /// Over TLS.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// With every request signed.
    pub(super) signer: Option<Signer>,
}

/// What a round of either side came to.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Acknowledged documents.
    pub(super) n_documents: u64,
    /// Bytes of them.
    pub(super) n_bytes: u64,
    /// Time of the round.
    pub(super) elapsed: Duration,
    /// Time from call to acknowledgement, of each call.
    pub(super) latencies: Vec<Duration>,
}

struct Client {
    feed: Feed,
    batch: usize,
    n_documents: u64,
    n_bytes: u64,
    /// Some of the traces sent, to be read later.
    traces: Vec<TraceKey>,
}

impl Load {
    /// Returns clients whose traces start in the last `spread_s` seconds.
    pub(super) fn new(pool: &Arc<Pool>, n_clients: u32, batch: usize, spread_s: u32) -> Self {
        let client = |number: u32| {
            let feed = Feed::new(Arc::clone(pool), u64::from(number) + 1, now(), spread_s);
            Client {
                feed,
                batch,
                n_documents: 0,
                n_bytes: 0,
                traces: Vec::new(),
            }
        };
        Self {
            pool: Arc::clone(pool),
            clients: (0..n_clients).map(client).collect(),
            way: Way::default(),
        }
    }

    /// Returns the same clients, coming in another way.
    pub(super) fn by(self, way: Way) -> Self {
        Self { way, ..self }
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Returns the bytes of all documents acknowledged so far.
    pub(super) fn n_bytes(&self) -> u64 {
        self.clients.iter().map(|client| client.n_bytes).sum()
    }

    /// Returns how many documents were acknowledged so far.
    pub(super) fn n_documents(&self) -> u64 {
        self.clients.iter().map(|client| client.n_documents).sum()
    }

    /// Returns some of the traces sent.
    pub(super) fn traces(&self) -> Vec<TraceKey> {
        self.clients
            .iter()
            .flat_map(|client| client.traces.iter().copied())
            .collect()
    }

    /// Lets every client call without pause for this long.
    pub(super) fn run_for(&mut self, address: SocketAddr, time: Duration) -> Result<Round> {
        let (started, way) = (Instant::now(), &self.way);
        let rounds = std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .clients
                .iter_mut()
                .map(|client| scope.spawn(move || client.run(address, way, started + time)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().ok().context("a client panicked")?)
                .collect::<Result<Vec<Round>>>()
        })?;
        let mut sum = Round {
            elapsed: started.elapsed(),
            ..Round::default()
        };
        for round in rounds {
            sum.merge(round);
        }
        Ok(sum)
    }
}

impl Client {
    fn run(&mut self, address: SocketAddr, way: &Way, until: Instant) -> Result<Round> {
        let mut connection = way.open(address)?;
        let mut round = Round::default();
        let mut body = Vec::new();
        while Instant::now() < until {
            let batch = self.feed.batch(self.batch);
            let n_bytes = u64::try_from(self.feed.pool().write_request(&batch, &mut body))?;
            let called = Instant::now();
            let response = way.put(&mut connection, &body)?;
            round.latencies.push(called.elapsed());
            let is_whole =
                response.status == 200 && response.body == b"{\"UnprocessedTraceSegments\":[]}";
            anyhow::ensure!(is_whole, "status {}: {}", response.status, response.text());
            round.n_documents += u64::try_from(batch.len())?;
            round.n_bytes += n_bytes;
            if self.traces.len() < N_TRACES_KEPT {
                self.traces
                    .extend(batch.first().map(|planned| planned.trace));
            }
        }
        self.n_documents += round.n_documents;
        self.n_bytes += round.n_bytes;
        Ok(round)
    }
}

impl Way {
    fn open(&self, address: SocketAddr) -> Result<Connection> {
        match &self.tls {
            Some(config) => Connection::open_tls(address, config),
            None => Connection::open(address),
        }
    }

    fn put(&self, connection: &mut Connection, body: &[u8]) -> Result<Response> {
        let Some(signer) = &self.signer else {
            return connection.post(PATH, body);
        };
        let headers = signer.headers("POST", PATH, body)?;
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        connection.request("POST", PATH, &headers, body)
    }
}

impl Round {
    /// Adds what another client did at the same time.
    pub(super) fn merge(&mut self, other: Self) {
        self.n_documents += other.n_documents;
        self.n_bytes += other.n_bytes;
        self.latencies.extend(other.latencies);
    }

    /// Returns acknowledged documents as a number to divide by.
    pub(super) fn documents(&self) -> f64 {
        number(self.n_documents).max(1.0)
    }

    /// Returns acknowledged documents a second.
    pub(super) fn per_second(&self) -> f64 {
        self.documents() / self.elapsed.as_secs_f64()
    }
}

const PATH: &str = "/TraceSegments";
const N_TRACES_KEPT: usize = 5000;
