//! A store of many small traces: made of the same documents as everything else, one to a few a trace, put
//! as fast as the server takes them. Their starts are spread over six hours at random, so that every
//! partition has some of every minute.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use roentgen_tests::generate::{Feed, Planned, Pool};
use roentgen_tests::process::cpu_time;
use roentgen_tests::wait::{now, until};
use roentgen_tests::{Connection, Server};
use serde_json::json;

/// What was put.
pub(super) struct Stored {
    /// All traces start in the six hours before this second.
    pub(super) now: u32,
    pub(super) n_traces: u64,
    pub(super) n_documents: u64,
    pub(super) n_bytes: u64,
    pub(super) elapsed: Duration,
    /// Ids of some of the traces.
    pub(super) trace_ids: Vec<String>,
}

/// What the clients of a load share.
struct Progress<'p> {
    pool: &'p Arc<Pool>,
    now: u32,
    n_traces_wanted: u64,
    n_feeds: AtomicU64,
    n_traces: AtomicU64,
    n_documents: AtomicU64,
    n_bytes: AtomicU64,
}

/// Puts so many traces, and half way [`needle`], the only one with its annotation.
pub(super) fn load(
    address: SocketAddr,
    pool: &Arc<Pool>,
    n_traces: u64,
    n_clients: u32,
) -> Result<Stored> {
    let progress = Progress {
        pool,
        now: now(),
        n_traces_wanted: n_traces,
        n_feeds: AtomicU64::new(0),
        n_traces: AtomicU64::new(1),
        n_documents: AtomicU64::new(1),
        n_bytes: AtomicU64::new(0),
    };
    let started = Instant::now();
    let samples = std::thread::scope(|scope| {
        let client = || progress.run(address);
        let threads: Vec<_> = (0..n_clients).map(|_| scope.spawn(client)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().ok().context("a client panicked")?)
            .collect::<Result<Vec<_>>>()
    })?;
    Ok(Stored {
        now: progress.now,
        n_traces: progress.n_traces.into_inner(),
        n_documents: progress.n_documents.into_inner(),
        n_bytes: progress.n_bytes.into_inner(),
        elapsed: started.elapsed(),
        trace_ids: samples.into_iter().flatten().collect(),
    })
}

/// Waits until the server has nothing to do: all it was given is sealed and counted.
pub(super) fn settle(server: &Server) -> Result<()> {
    let mut quiet_since = Instant::now();
    let mut before = cpu_time(server.pid())?;
    let mut asked = Instant::now();
    let mut is_quiet = move || -> Result<Option<()>> {
        if asked.elapsed() < LOOK_EVERY {
            return Ok(None);
        }
        let cpu = cpu_time(server.pid())?;
        let is_idle = cpu.saturating_sub(before) * 20 < asked.elapsed();
        (asked, before) = (Instant::now(), cpu);
        if !is_idle {
            quiet_since = asked;
        }
        Ok((quiet_since.elapsed() >= QUIET).then_some(()))
    };
    // Sealing many partitions takes longer than one wait allows.
    (0..N_WAITS)
        .find_map(|_| until("the server is idle", &mut is_quiet).ok())
        .context("the server does not come to rest")
}

impl Progress<'_> {
    fn run(&self, address: SocketAddr) -> Result<Vec<String>> {
        let mut connection = Connection::open(address)?;
        let mut body = Vec::new();
        let mut trace_ids = Vec::new();
        while self.n_traces.load(Ordering::Relaxed) < self.n_traces_wanted {
            let number = self.n_feeds.fetch_add(1, Ordering::Relaxed);
            let planned = self.traces(number);
            let distinct: HashSet<_> = planned.iter().map(|planned| planned.trace).collect();
            for batch in planned.chunks(N_DOCUMENTS) {
                let n_bytes = self.pool.write_request(batch, &mut body);
                put(&mut connection, &body)?;
                add(&self.n_documents, batch.len())?;
                add(&self.n_bytes, n_bytes)?;
            }
            if trace_ids.len() < N_TRACE_IDS {
                trace_ids.extend(planned.first().map(Planned::trace_id));
            }
            let n_before = add(&self.n_traces, distinct.len())?;
            let half = self.n_traces_wanted / 2;
            if (n_before..n_before + u64::try_from(distinct.len())?).contains(&half) {
                let body = json!({ "TraceSegmentDocuments": [needle(self.now)] }).to_string();
                put(&mut connection, body.as_bytes())?;
            }
        }
        Ok(trace_ids)
    }

    /// Returns the beginning of a new feed: first the roots of its open traces, then a few of those they
    /// call. None is in progress, since the rest of the feed is never asked for.
    fn traces(&self, seed: u64) -> Vec<Planned> {
        let pool = Arc::clone(self.pool);
        let mut feed = Feed::new(pool, FIRST_SEED + seed, self.now, WINDOW_S);
        let mut planned = feed.batch(N_DOCUMENTS_OF_FEED);
        for planned in &mut planned {
            planned.in_progress = false;
        }
        planned
    }
}

/// Returns the document of the one trace with the annotation `k = "needle"`, in the middle of the window.
fn needle(now: u32) -> String {
    let start = now - WINDOW_S / 2;
    let document = json!({
        "trace_id": format!("1-{start:08x}-{:024x}", 1), "id": "00000000000000ff", "name": "storefront",
        "start_time": f64::from(start), "end_time": f64::from(start) + 0.2, "annotations": { "k": "needle" },
    });
    document.to_string()
}

fn add(sum: &AtomicU64, n_more: usize) -> Result<u64> {
    Ok(sum.fetch_add(u64::try_from(n_more)?, Ordering::Relaxed))
}

fn put(connection: &mut Connection, body: &[u8]) -> Result<()> {
    let response = connection.post("/TraceSegments", body)?;
    let is_whole = response.status == 200 && response.body == b"{\"UnprocessedTraceSegments\":[]}";
    ensure!(is_whole, "status {}: {}", response.status, response.text());
    Ok(())
}

/// Seconds the traces' starts are spread over.
pub(super) const WINDOW_S: u32 = 6 * 3600;
const N_DOCUMENTS: usize = 25;
/// About 42 traces.
const N_DOCUMENTS_OF_FEED: usize = 75;
/// Other traces than those of the rounds.
const FIRST_SEED: u64 = 1_000_000;
const N_TRACE_IDS: usize = 100;
const LOOK_EVERY: Duration = Duration::from_millis(500);
const QUIET: Duration = Duration::from_secs(4);
const N_WAITS: u32 = 10;
