//! What the store costs without HTTP around it: a durable put, a trace, the first page of a list.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run stops")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use divan::Bencher;
use divan::counter::ItemsCount;
use model::{DocumentLimits, Segment, Summary, Tenant, Timestamp, TraceId};
use storage::{
    Config, Durability, NewDocument, Scan, SledStore, TraceStore, Window, WindowBy, guard,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const TENANT: Tenant = Tenant(0);
const BATCH: u64 = 25;
const N_TRACES: u64 = 20_000;

fn main() {
    if let Err(error) = guard::install() {
        eprintln!("measuring without the guard: {error}");
    }
    divan::main();
}

struct Bench {
    runtime: Runtime,
    store: SledStore,
    next: AtomicU64,
    _data: TempDir,
}

impl Bench {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let config = Config {
            data: data.path().to_owned(),
            durability: Durability::Sync,
            retention: Duration::from_hours(24),
            disk_bytes_max: 20 << 30,
            free_bytes_min: 0,
            partition_bytes: 192 << 20,
            partition_age: Duration::from_hours(1),
            cache_bytes: 96 << 20,
            bytes_in_flight: 64 << 20,
            queue_wait: Duration::from_secs(10),
            trace_bytes_max: 0,
        };
        let runtime = Runtime::new().unwrap();
        let store = SledStore::open(config, Timestamp::from_secs(1)).unwrap();
        Self {
            runtime,
            store,
            next: AtomicU64::new(0),
            _data: data,
        }
    }

    fn put_one(&self) {
        let first = self.next.fetch_add(BATCH, Ordering::Relaxed);
        let batch = (first..first + BATCH).map(document).collect();
        let put = self.store.put(TENANT, batch, Timestamp::from_secs(2));
        self.runtime.block_on(put).unwrap();
    }

    fn filled() -> Self {
        let bench = Self::new();
        while bench.next.load(Ordering::Relaxed) < N_TRACES {
            bench.put_one();
        }
        bench
    }
}

fn trace_id(number: u64) -> TraceId {
    TraceId::from_bytes(((0x6afd_79c0_u128 << 96) | u128::from(number)).to_be_bytes())
}

fn document(number: u64) -> NewDocument {
    let text = format!(
        r#"{{"trace_id":"{}","id":"{number:016x}","name":"shop","start_time":{},"end_time":{},
        "http":{{"request":{{"method":"GET","url":"https://shop.example.com/orders/{number}"}},"response":{{"status":200}}}},
        "annotations":{{"customer":"c{}","tier":"gold"}},
        "subsegments":[{{"id":"{:016x}","name":"orders","namespace":"aws","start_time":1,"end_time":2,
        "aws":{{"operation":"GetItem","table_name":"orders","region":"us-east-1"}}}}]}}"#,
        trace_id(number),
        1_795_000_000 + number,
        1_795_000_001 + number,
        number % 97,
        number | 1 << 60,
    );
    let segment = Segment::parse(&text, &DocumentLimits::default()).unwrap();
    NewDocument {
        trace_id: segment.trace_id(),
        head: segment.head(),
        text: text.clone(),
    }
}

/// One caller, one batch at a time: each waits for its own flush.
#[divan::bench(sample_count = 50)]
fn put_durably(bencher: Bencher<'_, '_>) {
    let bench = Bench::new();
    bencher
        .counter(ItemsCount::new(BATCH))
        .bench(|| bench.put_one());
}

/// Sixteen callers share flushes.
#[divan::bench(sample_count = 50, threads = [16])]
fn put_durably_together(bencher: Bencher<'_, '_>) {
    let bench = Bench::new();
    bencher
        .counter(ItemsCount::new(BATCH))
        .bench(|| bench.put_one());
}

#[divan::bench]
fn one_trace(bencher: Bencher<'_, '_>) {
    let bench = Bench::filled();
    let number = AtomicU64::new(0);
    bencher.bench(|| {
        let number = number.fetch_add(7, Ordering::Relaxed) % N_TRACES;
        bench
            .runtime
            .block_on(bench.store.documents(TENANT, trace_id(number)))
            .unwrap()
    });
}

#[divan::bench]
fn first_page_of_a_list(bencher: Bencher<'_, '_>) {
    let bench = Bench::filled();
    bencher.bench(|| {
        let scan = Scan {
            window: Window {
                by: WindowBy::Start,
                from: Timestamp::ZERO,
                to: Timestamp::MAX,
            },
            after: None,
            as_of: None,
            n_kept_max: 200,
            n_scanned_max: u64::MAX,
            filter: Arc::new(|_: &Summary| true),
        };
        bench
            .runtime
            .block_on(bench.store.summaries(TENANT, scan))
            .unwrap()
    });
}
