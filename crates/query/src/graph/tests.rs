//! Graphs over stores against a plain reading of the documents, and what pages and clients rely on.

mod pages;
mod recorded;
pub(crate) mod reference;
mod stores;
pub(crate) mod traffic;

use model::{DocumentLimits, Segment, Tenant, Timestamp};
use protocol::shapes::{GetServiceGraphRequest, GetServiceGraphResponse, GetTraceGraphRequest};
use protocol::token::TokenKey;
use serde_json::{Value, json};
use storage::memory::MemoryStore;
use storage::{ALL_TRACES, NewDocument, TraceStore};

use super::{GraphOptions, GroupScope, service_graph, trace_graph};
use crate::QueryError;

pub(crate) const TENANT: Tenant = Tenant(0);
pub(crate) const ALL: GroupScope = GroupScope {
    number: ALL_TRACES,
    contains_old_versions: false,
};

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

pub(crate) fn put<S: TraceStore>(store: &S, texts: &[String]) {
    let document = |text: &String| {
        let segment = Segment::parse(text, &DocumentLimits::default()).unwrap();
        NewDocument {
            trace_id: segment.trace_id(),
            head: segment.head(),
            text: text.clone(),
        }
    };
    let batch = texts.iter().map(document).collect();
    block_on(store.put(TENANT, batch, Timestamp::from_secs(1_795_000_000))).unwrap();
}

fn options() -> GraphOptions {
    GraphOptions {
        n_services_max: 1_000,
        n_trace_ids_max: 100,
        n_linked_traces_max: 100,
        token_key: TokenKey([7; 32]),
    }
}

/// Returns the graph of the minutes from `from` up to `to`.
fn window<S: TraceStore>(store: &S, from: u64, to: u64) -> GetServiceGraphResponse {
    let request = request(from * 60, to * 60);
    block_on(service_graph(store, TENANT, &request, ALL, &options())).unwrap()
}

fn request(from_secs: u64, to_secs: u64) -> GetServiceGraphRequest {
    GetServiceGraphRequest {
        start_time: Timestamp::from_secs(from_secs),
        end_time: Timestamp::from_secs(to_secs),
        group: None,
        next_token: None,
    }
}

fn of_traces<S: TraceStore>(store: &S, trace_ids: &[String]) -> Result<Value, QueryError> {
    let request = GetTraceGraphRequest {
        trace_ids: trace_ids.to_vec(),
        next_token: None,
    };
    let graph = block_on(trace_graph(store, TENANT, &request, &options()))?;
    assert_eq!(graph.next_token, None);
    Ok(json!(graph)["Services"].clone())
}
