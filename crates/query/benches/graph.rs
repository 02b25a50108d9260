//! What graphs and series cost: six hours of fifty services in a hundred thousand traces, on disk and
//! sealed. Filling the store takes a minute or two.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run stops")]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use divan::Bencher;
use model::{DocumentLimits, Segment, Service, Tenant, Timestamp};
use protocol::shapes::{
    GetServiceGraphRequest, GetTimeSeriesServiceStatisticsRequest, GetTraceGraphRequest,
};
use protocol::token::TokenKey;
use query::{
    Entity, EntitySelector, GraphOptions, GroupScope, TimeSeriesOptions, service_graph,
    time_series, trace_graph,
};
use storage::{ALL_TRACES, Config, Durability, NewDocument, SledStore, TraceStore, guard};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const TENANT: Tenant = Tenant(0);
const KEY: TokenKey = TokenKey([7; 32]);
const ALL: GroupScope = GroupScope {
    number: ALL_TRACES,
    contains_old_versions: false,
};
const N_TRACES: u64 = 100_000;
const N_SERVICES: u64 = 50;
const WINDOW_SECS: u64 = 6 * 3_600;
/// A whole hour in 2026.
const START: u64 = 1_794_999_600;

static STORE: OnceLock<Filled> = OnceLock::new();

fn main() {
    if let Err(error) = guard::install() {
        eprintln!("measuring without the guard: {error}");
    }
    divan::main();
}

struct Filled {
    runtime: Runtime,
    store: SledStore,
    _data: TempDir,
}

impl Filled {
    fn get() -> &'static Self {
        STORE.get_or_init(Self::new)
    }

    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let config = Config {
            data: data.path().to_owned(),
            durability: Durability::Interval(Duration::from_secs(1)),
            retention: Duration::from_hours(24),
            disk_bytes_max: 20 << 30,
            free_bytes_min: 0,
            partition_bytes: 1 << 30,
            partition_age: Duration::from_hours(1),
            cache_bytes: 96 << 20,
            bytes_in_flight: 64 << 20,
            queue_wait: Duration::from_secs(10),
            trace_bytes_max: 0,
        };
        let runtime = Runtime::new().unwrap();
        let store = SledStore::open(config, Timestamp::from_secs(START)).unwrap();
        for first in (0..N_TRACES).step_by(250) {
            let batch = (first..first + 250).flat_map(trace).collect();
            let put = store.put(TENANT, batch, Timestamp::from_secs(START));
            runtime.block_on(put).unwrap();
        }
        store.maintain(Timestamp::from_secs(START + 2 * 3_600));
        let deadline = Instant::now() + Duration::from_mins(5);
        while store.stats().n_indexed_traces > 0 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        Self {
            runtime,
            store,
            _data: data,
        }
    }
}

fn trace_id(number: u64) -> String {
    format!("1-6afd79c0-{number:024x}")
}

/// Returns a request that goes through three services, each of which calls a table.
fn trace(number: u64) -> Vec<NewDocument> {
    let start = START + number * WINDOW_SECS / N_TRACES;
    let fault = number.is_multiple_of(50);
    let document = |hop: u64| {
        let service = (number * 7 + hop * 13) % N_SERVICES;
        let next = (service + 13) % N_SERVICES;
        let parent = if hop == 0 {
            String::new()
        } else {
            format!(r#""parent_id":"{:016x}","#, 0x100 + hop - 1)
        };
        let took = 900 - 200 * hop + number % 97;
        let text = format!(
            r#"{{"trace_id":"{}","id":"{:016x}",{parent}"name":"service-{service}","origin":"AWS::ECS::Container","start_time":{start},"end_time":{start}.{took:03},"fault":{fault},
            "subsegments":[{{"id":"{:016x}","name":"service-{next}","namespace":"remote","start_time":{start},"end_time":{start}.{:03}}},
            {{"id":"{:016x}","name":"DynamoDB","namespace":"aws","aws":{{"table_name":"table-{service}"}},"start_time":{start},"end_time":{start}.{:03}}}]}}"#,
            trace_id(number),
            hop + 1,
            0x100 + hop,
            took - 100,
            0x200 + hop,
            number % 31,
        );
        let segment = Segment::parse(&text, &DocumentLimits::default()).unwrap();
        NewDocument {
            trace_id: segment.trace_id(),
            head: segment.head(),
            text: text.clone(),
        }
    };
    (0..3).map(document).collect()
}

fn graph_options() -> GraphOptions {
    GraphOptions {
        n_services_max: 1_000,
        n_trace_ids_max: 1_000,
        n_linked_traces_max: 1_000,
        token_key: KEY,
    }
}

#[divan::bench(args = [1, 6])]
fn service_graph_of_hours(bencher: Bencher<'_, '_>, n_hours: u64) {
    let filled = Filled::get();
    let request = GetServiceGraphRequest {
        start_time: Timestamp::from_secs(START),
        end_time: Timestamp::from_secs(START + n_hours * 3_600),
        group: None,
        next_token: None,
    };
    let options = graph_options();
    bencher.bench(|| {
        let graph = service_graph(&filled.store, TENANT, &request, ALL, &options);
        let graph = filled.runtime.block_on(graph).unwrap();
        assert!(graph.services.len() > 50);
        graph
    });
}

#[divan::bench(args = [1, 100])]
fn trace_graph_of(bencher: Bencher<'_, '_>, n_traces: u64) {
    let filled = Filled::get();
    let request = GetTraceGraphRequest {
        trace_ids: (0..n_traces).map(|number| trace_id(number * 997)).collect(),
        next_token: None,
    };
    let options = graph_options();
    bencher.bench(|| {
        let graph = trace_graph(&filled.store, TENANT, &request, &options);
        filled.runtime.block_on(graph).unwrap()
    });
}

#[divan::bench(args = [60, 300])]
fn time_series_of_six_hours(bencher: Bencher<'_, '_>, period: u32) {
    let filled = Filled::get();
    let request = request(period, false);
    bencher.bench(|| run(filled, &request, None));
}

#[divan::bench]
fn time_series_of_a_service_with_forecast(bencher: Bencher<'_, '_>) {
    let filled = Filled::get();
    let request = request(60, true);
    bencher.bench(|| {
        let is_meant = |service: &Service| service.name == "service-7";
        let selector = EntitySelector {
            entity: Entity::Services(Box::new(is_meant)),
            has_id: true,
        };
        run(filled, &request, Some(selector))
    });
}

fn request(period: u32, forecast_statistics: bool) -> GetTimeSeriesServiceStatisticsRequest {
    GetTimeSeriesServiceStatisticsRequest {
        start_time: Timestamp::from_secs(START),
        end_time: Timestamp::from_secs(START + WINDOW_SECS),
        group: None,
        entity_selector_expression: None,
        period: Some(period),
        forecast_statistics,
        next_token: None,
    }
}

fn run(
    filled: &Filled,
    request: &GetTimeSeriesServiceStatisticsRequest,
    selector: Option<EntitySelector>,
) -> usize {
    let options = TimeSeriesOptions {
        n_periods_max: 10_000,
        token_key: KEY,
    };
    let series = time_series(&filled.store, TENANT, request, ALL, selector, &options);
    let series = filled.runtime.block_on(series).unwrap();
    let n_entries = series.time_series_service_statistics.len();
    assert!(n_entries > 0);
    n_entries
}
