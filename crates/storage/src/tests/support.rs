//! Documents, stores and runtimes for tests.

use std::fmt::Write;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::{DocumentLimits, Segment, Summary, Tenant, Timestamp, TraceId};

use crate::store::{Config, Durability, SledStore};
use crate::{NewDocument, Outcome, Scan, StoreError, TraceStore, Window, WindowBy};

pub(crate) const TENANT: Tenant = Tenant(0);

/// Runs a future on a runtime of its own.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

pub(crate) fn config(data: &Path) -> Config {
    Config {
        data: data.to_owned(),
        durability: Durability::Sync,
        retention: Duration::from_hours(7 * 24),
        disk_bytes_max: 1 << 40,
        free_bytes_min: 0,
        partition_bytes: 1 << 30,
        partition_age: Duration::from_hours(1),
        cache_bytes: 8 << 20,
        bytes_in_flight: 16 << 20,
        queue_wait: Duration::from_secs(30),
        trace_bytes_max: 0,
    }
}

pub(crate) fn open(data: &Path) -> SledStore {
    let store = SledStore::open(config(data), at(0)).unwrap();
    store.derive_again(at(0)).unwrap();
    store
}

/// Seconds after some day in 2026.
pub(crate) fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_795_000_000 + secs)
}

pub(crate) fn trace_id(number: u64) -> TraceId {
    TraceId::from_bytes(((0x6afd_79c0_u128 << 96) | u128::from(number)).to_be_bytes())
}

/// Returns a finished segment that starts at `start` seconds and takes one.
pub(crate) fn segment(trace: u64, id: u64, start: u64) -> NewDocument {
    segment_with(
        trace,
        id,
        start,
        &format!(r#""end_time":{}"#, at(start + 1)),
    )
}

/// Returns the same segment while it is in progress.
pub(crate) fn in_progress(trace: u64, id: u64, start: u64) -> NewDocument {
    segment_with(trace, id, start, r#""in_progress":true"#)
}

pub(crate) fn segment_with(trace: u64, id: u64, start: u64, members: &str) -> NewDocument {
    segment_named(trace, id, "shop", start, members)
}

pub(crate) fn segment_named(
    trace: u64,
    id: u64,
    name: &str,
    start: u64,
    members: &str,
) -> NewDocument {
    let text = format!(
        r#"{{"trace_id":"{}","id":"{id:016x}","name":"{name}","start_time":{},{members}}}"#,
        trace_id(trace),
        at(start)
    );
    let limits = DocumentLimits {
        document_bytes_max: usize::MAX,
    };
    let parsed = Segment::parse(&text, &limits).unwrap();
    NewDocument {
        trace_id: parsed.trace_id(),
        head: parsed.head(),
        text: text.clone(),
    }
}

/// Returns text that hardly compresses, made of hex digits.
pub(crate) fn noise(n_bytes: usize, mut seed: u64) -> String {
    let mut text = String::new();
    while text.len() < n_bytes {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        write!(text, "{:08x}", seed >> 32).unwrap();
    }
    text
}

pub(crate) fn everything() -> Scan {
    Scan {
        window: Window {
            by: WindowBy::Start,
            from: Timestamp::ZERO,
            to: Timestamp::MAX,
        },
        after: None,
        as_of: None,
        n_kept_max: usize::MAX,
        n_scanned_max: u64::MAX,
        filter: Arc::new(|_: &Summary| true),
    }
}

pub(crate) fn put<S: TraceStore>(store: &S, batch: Vec<NewDocument>) -> Vec<Outcome> {
    try_put(store, batch, 100).unwrap()
}

pub(crate) fn try_put<S: TraceStore>(
    store: &S,
    batch: Vec<NewDocument>,
    now: u64,
) -> Result<Vec<Outcome>, StoreError> {
    block_on(store.put(TENANT, batch, at(now)))
}

/// Returns the texts of a trace's documents, sorted.
pub(crate) fn texts<S: TraceStore>(store: &S, trace: u64) -> Vec<String> {
    let stored = block_on(store.documents(TENANT, trace_id(trace))).unwrap();
    assert_eq!(stored.n_damaged, 0);
    let mut texts: Vec<String> = stored
        .documents
        .into_iter()
        .map(|document| document.text)
        .collect();
    texts.sort();
    texts
}

pub(crate) fn summaries<S: TraceStore>(store: &S, scan: Scan) -> Vec<Summary> {
    block_on(store.summaries(TENANT, scan)).unwrap().summaries
}

/// Waits until a condition holds that other threads bring about; fails after a minute.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_mins(1), "{what}");
        std::thread::yield_now();
    }
}
