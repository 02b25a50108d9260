//! `GetServiceGraph` and `GetTraceGraph`: which services there were, who called whom, and how it went.
//!
//! A node is a service: name, type and account. Its figures are those of its own segments; only a
//! service that sent none has what was inferred from its callers. A call is counted on the caller's
//! node, as the caller saw it. The client in front of a service has no figures of its own, its calls
//! have. Every other node has figures, zeros if it served nothing in the window and is only an end of
//! a call.
//!
//! Both operations page: a graph that fits on one page numbers its nodes from 0 in order of name, type
//! and account; a larger one by a hash of these, so that the numbers of a chain of pages stay the same
//! while more traces arrive.

mod cursor;
mod nodes;
mod numbers;
mod shape;
#[cfg(test)]
pub(crate) mod tests;
mod traces;

use model::{Cells, Tenant, Timestamp};
use protocol::shapes::{GetServiceGraphRequest, GetServiceGraphResponse, WireTime};
use protocol::token::{Kind, TokenKey};
use storage::{GraphParts, GraphScan, TraceStore, minute_of};

use crate::QueryError;
use shape::{Page, page};

pub(crate) use cursor::Chain;
pub(crate) use nodes::{is_client_call, own_statistics};
pub(crate) use shape::{histogram, statistics};
pub use traces::{TracesGraph, graph_of_traces, trace_graph};

/// How graphs are made.
#[derive(Clone)]
pub struct GraphOptions {
    /// Services on a page.
    pub n_services_max: usize,
    /// Traces `GetTraceGraph` may name.
    pub n_trace_ids_max: usize,
    /// Further traces read for what the traces of a graph are linked to; later links are left out.
    pub n_linked_traces_max: usize,
    /// Key of page tokens.
    pub token_key: TokenKey,
}

/// Which traces count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupScope {
    /// The group's number; [`storage::ALL_TRACES`] for all traces.
    pub number: u32,
    /// Whether the group's filter was another one for a part of the window.
    pub contains_old_versions: bool,
}

/// Returns one page of the services of a window.
///
/// Sums are kept by minute: a request or call counts if its minute begins in the window, or contains
/// the window's start. Services are those that served requests and both ends of every call.
///
/// # Errors
/// [`QueryError::Invalid`] for a window that ends before it starts and for a token that is not of this
/// request.
pub async fn service_graph<S: TraceStore>(
    store: &S,
    tenant: Tenant,
    request: &GetServiceGraphRequest,
    group: GroupScope,
    options: &GraphOptions,
) -> Result<GetServiceGraphResponse, QueryError> {
    check_window(request.start_time, request.end_time)?;
    let chain = Chain {
        key: &options.token_key,
        kind: Kind::GetServiceGraph,
        fingerprint: fingerprint(tenant, request, group),
    };
    let after = chain.open(request.next_token.as_deref())?;
    let (from_minute, to_minute) = minutes(request.start_time, request.end_time);
    let scan = GraphScan {
        group: group.number,
        from_minute,
        to_minute,
        bucket_minutes: (to_minute - from_minute).max(1),
        parts: GraphParts::All,
    };
    let sums = store.graph(tenant, scan).await?;
    let cells = sums.into_values().next().unwrap_or_default();
    let page = page_of(cells, after, options.n_services_max).await?;
    Ok(GetServiceGraphResponse {
        start_time: WireTime(request.start_time),
        end_time: WireTime(request.end_time),
        services: page.services,
        contains_old_group_versions: group.contains_old_versions,
        next_token: page.next.map(|next| chain.seal(next)),
    })
}

/// Makes a page; a large graph elsewhere than on the caller's thread.
async fn page_of(
    cells: Cells,
    after: Option<u32>,
    n_services_max: usize,
) -> Result<Page, QueryError> {
    if cells.nodes.len() + cells.edges.len() <= INLINE_CELLS {
        return Ok(page(&cells, after, n_services_max));
    }
    tokio::task::spawn_blocking(move || page(&cells, after, n_services_max))
        .await
        .map_err(|error| QueryError::CutOff(error.to_string()))
}

pub(crate) fn check_window(start: Timestamp, end: Timestamp) -> Result<(), QueryError> {
    if start > end {
        let text = "StartTime is after EndTime: the window must not end before it starts";
        return Err(QueryError::Invalid(text.to_owned()));
    }
    Ok(())
}

/// Returns the first minute of a window and the first after it: the window's end is no part of it.
pub(crate) fn minutes(start: Timestamp, end: Timestamp) -> (u32, u32) {
    let from = minute_of(start);
    let is_whole = end.as_nanos().is_multiple_of(MINUTE_NANOS);
    let to = minute_of(end).saturating_add(u32::from(!is_whole));
    (from, to.max(from))
}

/// What a token of this request is bound to.
fn fingerprint(tenant: Tenant, request: &GetServiceGraphRequest, group: GroupScope) -> Vec<u8> {
    let mut fingerprint = tenant.0.to_be_bytes().to_vec();
    fingerprint.extend(request.start_time.as_nanos().to_be_bytes());
    fingerprint.extend(request.end_time.as_nanos().to_be_bytes());
    fingerprint.extend(group.number.to_be_bytes());
    fingerprint
}

const MINUTE_NANOS: u64 = 60_000_000_000;
/// Graphs up to this size are made on the caller's thread: about half a millisecond of work.
const INLINE_CELLS: usize = 100;
