//! Ten times the load a server can take, from clients that heed nothing: memory stays bounded, what was acknowledged is
//! stored and what was refused is not counted, and once it is over the server is as quick as before.

mod load;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use roentgen_tests::generate::{Feed, Pool};
use roentgen_tests::process::{describe, resident_bytes_max};
use roentgen_tests::traffic::{Shape, Traffic};
use roentgen_tests::wait::{now, until};
use roentgen_tests::{Connection, Home, Server};

use crate::datagrams::{Sender, figure, settled};
use crate::fixture::is_long;
use load::{Offer, Tally, offer};

#[test]
fn ten_times_the_load_is_outlived() -> Result<()> {
    let seed = u64::from(now());
    let home = Home::new()?;
    let server = start(&home)?;
    let pool = Arc::new(Pool::new(400, seed));
    let mut plain = Plain::new(&server, &pool, !seed)?;
    // What is done first is slow for reasons of its own.
    plain.median()?;
    let before = plain.median()?;

    let sustained = sustained(&server, &pool, seed)?;
    let memory_before = resident_bytes_max(server.pid())?;
    let accepted_before = accepted(&server, "api")?;
    let bytes_before = figure(&server, "roentgen_store_document_bytes", &[])?;
    let offered = Offer {
        n_connections: u32::try_from(N_CONNECTIONS)?,
        documents_per_call: DOCUMENTS_PER_CALL,
        documents_per_s: 10.0 * sustained,
        length: Duration::from_secs(if is_long() { 60 } else { 3 }),
        // So that some thousands of documents are read back, and not all.
        noted_every: if is_long() { 20 } else { 8 },
        seed: seed.wrapping_mul(5),
    };
    plain.n_acknowledged = 0;
    let load = under_load(&server, &mut plain, &pool, offered)?;
    let recovery = plain.recover(before)?;
    let memory = resident_bytes_max(server.pid())?;
    let n_stored_bytes = figure(&server, "roentgen_store_document_bytes", &[])? - bytes_before;
    let Load {
        tally,
        n_datagrams,
        during,
    } = load;
    eprintln!(
        "seed {seed}: {sustained:.0} documents a second sustained, {:.0} and {n_datagrams} datagrams offered; {tally}; \
         {} MiB stored; memory {} MiB before, {} MiB at most; latency {before:?} before, {during:?} during, {recovery}",
        offered.documents_per_s,
        n_stored_bytes >> 20,
        memory_before >> 20,
        memory >> 20,
    );
    check_answers(&tally);
    assert!(
        memory <= memory_before + memory_max(n_stored_bytes),
        "{memory} bytes, {memory_before} before the load"
    );
    let by_api = accepted(&server, "api")? - accepted_before;
    let n_acknowledged = plain.n_acknowledged + tally.n_acknowledged;
    // Of what was not answered nobody knows.
    let may_be = n_acknowledged..=n_acknowledged + tally.n_unanswered;
    assert!(may_be.contains(&by_api), "{by_api} of {may_be:?} accepted");
    check_datagrams(&server, n_datagrams)?;
    let findings = tally.ledger.check(&server)?;
    assert!(
        findings.n_checked > 1000,
        "{} documents read back",
        findings.n_checked
    );
    findings.require_none().with_context(|| server.log())?;
    assert!(server.terminate()?.success());
    let check = home.check()?;
    assert!(check.status.success(), "{}", describe(&check));
    Ok(())
}

/// Checks that calls were acknowledged or refused as they should be, some of each.
fn check_answers(tally: &Tally) {
    assert!(
        tally.n_refused() > 0,
        "nothing was refused: this was no overload"
    );
    assert!(tally.n_acknowledged > 0, "nothing was acknowledged");
    assert_eq!(
        tally.others,
        Vec::<String>::new(),
        "neither 200 nor a refusal"
    );
    assert_eq!(
        tally.n_without_retry_after, 0,
        "refusals without Retry-After"
    );
}

/// Starts a server whose limits are near, so that what they hold back shows.
fn start(home: &Home) -> Result<Server> {
    let config = home.config(&format!(
        "[http]\nbody_bytes = {BODY_BYTES_MAX}\nbodies_in_flight = {BODIES_BYTES_MAX}\n\
         [storage]\nbytes_in_flight = {STORE_BYTES_MAX}\nqueue_wait = \"100ms\"\n\
         partition_bytes = {}\ncache = {CACHE_BYTES}\n\
         [udp]\nqueue_bytes = {UDP_BYTES_MAX}\n",
        partition_bytes()
    ))?;
    home.start_with(&[&config[0], &config[1], "--udp", "127.0.0.1:0"])
}

/// Returns how many documents came in through a door and were taken.
fn accepted(server: &Server, door: &str) -> Result<u64> {
    figure(server, "roentgen_documents_accepted_total", &[door])
}

/// Checks that every datagram was taken or is counted as dropped.
fn check_datagrams(server: &Server, n_sent: u64) -> Result<()> {
    settled(server, n_sent)?;
    let dropped = figure(server, "roentgen_datagrams_dropped_total", &[])?;
    let by_kernel = figure(server, "roentgen_datagrams_kernel_dropped_total", &[])?;
    let taken = accepted(server, "udp")?;
    eprintln!(
        "of the datagrams {taken} taken, {dropped} dropped, {by_kernel} dropped by the system"
    );
    assert_eq!(taken + dropped + by_kernel, n_sent);
    Ok(())
}

/// What came of a load.
struct Load {
    tally: Tally,
    n_datagrams: u64,
    /// The median of plain calls meanwhile, refused ones included.
    during: Duration,
}

/// Offers a load, and meanwhile sends datagrams and measures plain calls.
fn under_load(
    server: &Server,
    plain: &mut Plain<'_>,
    pool: &Arc<Pool>,
    offered: Offer,
) -> Result<Load> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let datagrams = scope.spawn(|| send_datagrams(server, pool, offered, &is_over));
        let load = scope.spawn(|| {
            let tally = offer(server.address(), pool, offered);
            is_over.store(true, Ordering::Relaxed);
            tally
        });
        let mut latencies = Vec::new();
        while !is_over.load(Ordering::Relaxed) {
            latencies.push(plain.put()?);
        }
        let joined = |_| anyhow::anyhow!("a client panicked");
        Ok(Load {
            tally: load.join().map_err(joined)??,
            n_datagrams: datagrams.join().map_err(joined)??,
            during: median(latencies),
        })
    })
}

/// Sends a tenth as many datagrams as documents are offered, and returns how many.
fn send_datagrams(
    server: &Server,
    pool: &Arc<Pool>,
    offered: Offer,
    is_over: &AtomicBool,
) -> Result<u64> {
    let sender = Sender::to(server)?;
    let mut feed = Feed::new(Arc::clone(pool), !offered.seed, now(), 600);
    let between = Duration::from_secs_f64(10.0 / offered.documents_per_s.max(1.0));
    let begun = Instant::now();
    let mut n_sent = 0;
    while !is_over.load(Ordering::Relaxed) && begun.elapsed() < offered.length {
        let due = begun + between.mul_f64(f64::from(u32::try_from(n_sent)?));
        if let Some(wait) = due.checked_duration_since(Instant::now()) {
            // Only paces what is sent.
            std::thread::park_timeout(wait);
            continue;
        }
        for planned in feed.batch(1) {
            sender.send_document(&pool.text(&planned))?;
            n_sent += 1;
        }
    }
    Ok(n_sent)
}

/// Returns how many documents a second a server takes from a few clients that wait for its answers.
fn sustained(server: &Server, pool: &Arc<Pool>, seed: u64) -> Result<f64> {
    let shape = Shape {
        n_acknowledged: 4,
        n_unacknowledged: 0,
        batch_max: u32::try_from(2 * DOCUMENTS_PER_CALL - 1)?,
    };
    let begun = Instant::now();
    let traffic = Traffic::start(server.address(), pool, shape, seed);
    // As many sealed partitions as are held open: their memory is taken whatever is stored.
    until("clients have sent for a while", || {
        let n_partitions = figure(server, "roentgen_store_partitions", &[])?;
        Ok((n_partitions >= N_PARTITIONS).then_some(()))
    })?;
    let n_acknowledged = u32::try_from(traffic.n_acknowledged())?;
    let documents_per_s = f64::from(n_acknowledged) / begun.elapsed().as_secs_f64();
    traffic.finish(pool);
    Ok(documents_per_s)
}

/// One client that sends one document after the other.
struct Plain<'s> {
    server: &'s Server,
    connection: Connection,
    feed: Feed,
    n_acknowledged: u64,
}

impl<'s> Plain<'s> {
    fn new(server: &'s Server, pool: &Arc<Pool>, seed: u64) -> Result<Self> {
        Ok(Self {
            server,
            connection: server.connect()?,
            feed: Feed::new(Arc::clone(pool), seed, now(), 600),
            n_acknowledged: 0,
        })
    }

    /// Sends a document and returns how long the answer took, whatever it is.
    fn put(&mut self) -> Result<Duration> {
        let batch = self.feed.batch(1);
        let mut body = Vec::new();
        self.feed.pool().write_request(&batch, &mut body);
        let begun = Instant::now();
        let response = self.connection.post("/TraceSegments", &body)?;
        let took = begun.elapsed();
        match response.status {
            200 => self.n_acknowledged += 1,
            429 | 503 => {}
            status => anyhow::bail!("{status}: {}", response.text()),
        }
        if response.header("connection") == Some("close") {
            self.connection = self.server.connect()?;
        }
        Ok(took)
    }

    /// Returns the median of some answers.
    fn median(&mut self) -> Result<Duration> {
        let latencies = (0..N_MEASURED).map(|_| self.put());
        Ok(median(latencies.collect::<Result<_>>()?))
    }

    /// Waits until answers come about as quickly as before, and tells when they did.
    fn recover(&mut self, before: Duration) -> Result<String> {
        let begun = Instant::now();
        let enough = before.max(TOLD_FROM) * SLOWER_MAX;
        until("answers come as quickly as before", || {
            let now = self.median()?;
            let after = begun.elapsed();
            Ok((now <= enough).then(|| format!("{now:?} {after:?} after")))
        })
    }
}

/// Returns what a load may take in memory beside what is there anyway, from the limits:
/// - each byte of documents on their way up to four times (body, text, facts, compressed), and as much again that the
///   allocator keeps for more of them;
/// - for each connection what is read ahead of it, twice;
/// - each byte of documents that wait to be sealed twice, for their facts and in caches; all that was stored may wait.
fn memory_max(n_stored_bytes: u64) -> u64 {
    8 * (STORE_BYTES_MAX + BODIES_BYTES_MAX + UDP_BYTES_MAX)
        + 2 * N_CONNECTIONS * (64 << 10)
        + 2 * (n_stored_bytes.min(SEALING_BYTES_MAX) + GROUP_BYTES + CACHE_BYTES)
}

/// A trace is to lie in few partitions, however long the load lasts.
fn partition_bytes() -> u64 {
    if is_long() { 8 << 20 } else { 2 << 20 }
}

fn median(mut latencies: Vec<Duration>) -> Duration {
    latencies.sort_unstable();
    latencies
        .get(latencies.len() / 2)
        .copied()
        .unwrap_or_default()
}

const N_CONNECTIONS: u64 = 200;
const DOCUMENTS_PER_CALL: usize = 20;
const BODY_BYTES_MAX: u64 = 2 << 20;
const BODIES_BYTES_MAX: u64 = 5 << 20;
const STORE_BYTES_MAX: u64 = 4 << 20;
const UDP_BYTES_MAX: u64 = 4 << 20;
const CACHE_BYTES: u64 = 8 << 20;
/// What may wait to be sealed.
const SEALING_BYTES_MAX: u64 = 128 << 20;
/// What the store writes at once.
const GROUP_BYTES: u64 = 4 << 20;
/// More than are held open.
const N_PARTITIONS: u64 = 18;
const N_MEASURED: usize = 31;
/// How much slower answers may be once the load is over.
const SLOWER_MAX: u32 = 3;
/// Shorter times say more about the machine than about the server.
const TOLD_FROM: Duration = Duration::from_millis(5);
