//! What a page costs over a store that costs nothing: compiling, summarising, writing JSON.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run stops")]

use std::sync::Arc;
use std::time::Duration;

use divan::Bencher;
use model::{DocumentLimits, Orphans, Segment, Tenant, Timestamp};
use protocol::shapes::{BatchGetTracesRequest, GetTraceSummariesRequest, TimeRangeType};
use protocol::token::TokenKey;
use query::{BatchOptions, SummariesOptions, batch_get, summaries};
use storage::memory::MemoryStore;
use storage::{NewDocument, TraceStore};
use tokio::runtime::Runtime;

const TENANT: Tenant = Tenant(0);
const KEY: TokenKey = TokenKey([7; 32]);

fn main() {
    divan::main();
}

fn trace(number: u64) -> String {
    format!("1-6afd79c0-{number:024x}")
}

/// Returns a store with traces of a frontend and services it calls, one in ten with a fault.
fn filled(runtime: &Runtime, n_traces: u64, n_segments: u64) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::default());
    let segment = |number: u64, id: u64| {
        let fault = if number.is_multiple_of(10) {
            r#""fault":true,"#
        } else {
            ""
        };
        let parent = if id == 0 {
            String::new()
        } else {
            format!(r#""parent_id":"{:016x}","#, 1_000 + id - 1)
        };
        let text = format!(
            r#"{{"trace_id":"{}","id":"{id:016x}",{parent}"name":"service-{id}","start_time":{},"end_time":{},{fault}
            "http":{{"request":{{"method":"GET","url":"https://shop.example.com/{id}"}},"response":{{"status":200}}}},
            "annotations":{{"customer":"c{number}"}},
            "subsegments":[{{"id":"{:016x}","name":"service-{}","namespace":"remote","start_time":{},"end_time":{}}}]}}"#,
            trace(number),
            100 + number,
            101 + number,
            1_000 + id,
            id + 1,
            100 + number,
            101 + number,
        );
        let segment = Segment::parse(&text, &DocumentLimits::default()).unwrap();
        NewDocument {
            trace_id: segment.trace_id(),
            head: segment.head(),
            text: text.clone(),
        }
    };
    for number in 0..n_traces {
        let batch = (0..n_segments).map(|id| segment(number, id)).collect();
        runtime
            .block_on(store.put(TENANT, batch, Timestamp::from_secs(9)))
            .unwrap();
    }
    store
}

#[divan::bench(args = [1, 10, 1_000])]
fn batch_get_one_trace(bencher: Bencher<'_, '_>, n_segments: u64) {
    let runtime = Runtime::new().unwrap();
    let store = filled(&runtime, 1, n_segments);
    let request = BatchGetTracesRequest {
        trace_ids: vec![trace(0)],
        next_token: None,
    };
    bencher.bench(|| {
        let options = BatchOptions {
            n_trace_ids_max: 5,
            page_bytes: 6 << 20,
            orphans: Orphans::Visible,
            trace_bytes_max: 0,
            token_key: KEY,
        };
        runtime.block_on(async {
            let mut page = batch_get(Arc::clone(&store), TENANT, &request, options).unwrap();
            let mut n_bytes = 0;
            while let Some(chunk) = page.next().await.unwrap() {
                n_bytes += chunk.len();
            }
            n_bytes
        })
    });
}

#[divan::bench]
fn a_page_of_summaries(bencher: Bencher<'_, '_>) {
    let runtime = Runtime::new().unwrap();
    let store = filled(&runtime, 200, 8);
    let request = GetTraceSummariesRequest {
        start_time: Timestamp::ZERO,
        end_time: Timestamp::from_secs(10_000),
        time_range_type: TimeRangeType::TraceId,
        sampling: false,
        sampling_strategy: None,
        filter_expression: None,
        next_token: None,
    };
    let options = SummariesOptions {
        groups: Arc::new(|_| None),
        n_summaries_max: 200,
        n_scanned_max: 100_000,
        slow_trace: Duration::from_secs(5),
        token_key: KEY,
    };
    bencher.bench(|| {
        runtime
            .block_on(summaries(store.as_ref(), TENANT, &request, &options))
            .unwrap()
    });
}
