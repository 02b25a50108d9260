//! The graph of given traces: `GetTraceGraph`, and what trace retrieval shows of one.
//!
//! 1. The traces are read, a few at a time; of each only what it adds to the sums is kept.
//! 2. Links are followed to the traces they name, whether those are among the given ones or not.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use model::graph::{LinkSource, Request, Sign, TraceGraph};
use model::{
    Cells, Derived, Document, DocumentLimits, Head, Segment, SegmentId, Service, Tenant, TraceId,
};
use protocol::shapes::{
    GetTraceGraphRequest, GetTraceGraphResponse, GraphLink, RetrievedService,
    Service as WireService,
};
use protocol::token::Kind;
use storage::TraceStore;

use super::cursor::Chain;
use super::nodes::Identity;
use super::{GraphOptions, page_of};
use crate::QueryError;

/// One page of the graph of given traces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TracesGraph {
    /// The nodes by number, ascending, each with its links to other traces.
    pub services: Vec<RetrievedService>,
    /// What the next page goes on after; none on the last one.
    pub next: Option<u32>,
}

/// Returns one page of the graph of the traces a request names.
///
/// Traces that are not known and ids that are none are left out, an id given twice counts once.
///
/// # Errors
/// [`QueryError::Invalid`] for too many traces and for a token that is not of this request.
pub async fn trace_graph<S: TraceStore>(
    store: &S,
    tenant: Tenant,
    request: &GetTraceGraphRequest,
    options: &GraphOptions,
) -> Result<GetTraceGraphResponse, QueryError> {
    let chain = Chain {
        key: &options.token_key,
        kind: Kind::GetTraceGraph,
        fingerprint: fingerprint(tenant, &request.trace_ids),
    };
    let after = chain.open(request.next_token.as_deref())?;
    let parsed = request.trace_ids.iter().map(|id| TraceId::parse_any(id));
    let trace_ids: BTreeSet<TraceId> = parsed.filter_map(Result::ok).collect();
    if trace_ids.len() > options.n_trace_ids_max {
        return Err(QueryError::Invalid(format!(
            "TraceIds names {} traces and the limit is {}: ask for fewer at a time",
            trace_ids.len(),
            options.n_trace_ids_max
        )));
    }
    let found = gather(store, tenant, &trace_ids, options.n_linked_traces_max).await?;
    let page = page_of(found.cells, after, options.n_services_max).await?;
    Ok(GetTraceGraphResponse {
        services: page.services,
        next_token: page.next.map(|next| chain.seal(next)),
    })
}

/// Returns one page of the graph of given traces, with the links of each node; `after` is what the
/// page before said.
///
/// A link is on the node that received the message (its trace is the source, the traces it came from
/// are `parent`) and on the node the message was taken from, if that is known (`child`). A node has at
/// most 100.
pub async fn graph_of_traces<S: TraceStore>(
    store: &S,
    tenant: Tenant,
    trace_ids: &BTreeSet<TraceId>,
    after: Option<u32>,
    options: &GraphOptions,
) -> Result<TracesGraph, QueryError> {
    let found = gather(store, tenant, trace_ids, options.n_linked_traces_max).await?;
    let page = page_of(found.cells, after, options.n_services_max).await?;
    let links_of: BTreeMap<Identity<'_>, &Links> = found
        .links
        .iter()
        .map(|(service, links)| (Identity::of(service), links))
        .collect();
    let with_links = |service: WireService| {
        let identity = Identity {
            name: service.name.as_deref().unwrap_or_default(),
            service_type: service.service_type.as_deref(),
            account_id: service.account_id.as_deref(),
        };
        let links = links_of.get(&identity).map(|links| graph_links(links));
        RetrievedService {
            links: links.unwrap_or_default(),
            service,
        }
    };
    Ok(TracesGraph {
        services: page.services.into_iter().map(with_links).collect(),
        next: page.next,
    })
}

/// What some traces add up to.
#[derive(Default)]
struct Found {
    cells: Cells,
    /// The links of each service, all of them marked as not inferred.
    links: BTreeMap<Service, Links>,
}

/// By what the others are to the one, and the one.
type Links = BTreeMap<(&'static str, TraceId), BTreeSet<TraceId>>;

/// A request whose message came from a place that is not looked up yet.
struct Received {
    trace_id: TraceId,
    service: Service,
    request: Request,
    /// What sent the message, in a trace of its own.
    sent_by: SegmentId,
}

/// Requests by the traces their messages came from.
type Waiting = BTreeMap<TraceId, Vec<Received>>;

async fn gather<S: TraceStore>(
    store: &S,
    tenant: Tenant,
    trace_ids: &BTreeSet<TraceId>,
    n_linked_traces_max: usize,
) -> Result<Found, QueryError> {
    let mut found = Found::default();
    let mut waiting = Waiting::new();
    let trace_ids: Vec<TraceId> = trace_ids.iter().copied().collect();
    for chunk in trace_ids.chunks(N_TRACES_READ_AT_ONCE) {
        let reads = chunk.iter().map(|trace_id| {
            let trace_id = *trace_id;
            read(store, tenant, trace_id, move |heads| share(trace_id, heads))
        });
        for (trace_id, (services, graph)) in chunk.iter().zip(try_join_all(reads).await?) {
            found.cells.add_trace(&services, &graph);
            wait_for_links(*trace_id, &services, &graph, &mut waiting);
        }
    }
    let mut waiting: Vec<(TraceId, Vec<Received>)> = waiting.into_iter().collect();
    waiting.truncate(n_linked_traces_max);
    for chunk in waiting.chunks(N_TRACES_READ_AT_ONCE) {
        let reads = chunk.iter().map(|(linked, received)| {
            let ids: Vec<SegmentId> = received.iter().map(|received| received.sent_by).collect();
            read(store, tenant, *linked, move |heads| sources(heads, &ids))
        });
        for ((linked, received), sources) in chunk.iter().zip(try_join_all(reads).await?) {
            for (received, source) in received.iter().zip(sources) {
                found.add_link(*linked, received, source.as_ref());
            }
        }
    }
    Ok(found)
}

/// Reads a trace and returns what `derive` makes of the heads of its documents; a large trace is
/// parsed elsewhere than on the caller's thread.
async fn read<S: TraceStore, T: Send + 'static>(
    store: &S,
    tenant: Tenant,
    trace_id: TraceId,
    derive: impl FnOnce(&[Head]) -> T + Send + 'static,
) -> Result<T, QueryError> {
    let stored = store.documents(tenant, trace_id).await?;
    let is_small = stored.bytes <= INLINE_BYTES;
    let work = move || {
        let heads: Vec<Head> = stored.documents.iter().filter_map(head).collect();
        derive(&heads)
    };
    if is_small {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| QueryError::CutOff(error.to_string()))
}

/// Returns the head of a stored document, which was valid when it came in.
fn head(document: &Document) -> Option<Head> {
    let limits = DocumentLimits {
        document_bytes_max: usize::MAX,
    };
    let segment = Segment::parse(&document.text, &limits);
    segment.ok().map(|segment| segment.head())
}

fn share(trace_id: TraceId, heads: &[Head]) -> (Vec<Service>, TraceGraph) {
    let derived = Derived::of(trace_id, heads, 1);
    (derived.summary.services, derived.graph)
}

fn sources(heads: &[Head], ids: &[SegmentId]) -> Vec<Option<LinkSource>> {
    ids.iter().map(|id| LinkSource::find(heads, *id)).collect()
}

fn wait_for_links(
    trace_id: TraceId,
    services: &[Service],
    graph: &TraceGraph,
    waiting: &mut Waiting,
) {
    for link in &graph.links {
        let request = graph.requests.get(link.request);
        let service = request.and_then(|request| services.get(usize::from(request.service)));
        if let (Some(request), Some(service)) = (request, service) {
            waiting.entry(link.trace_id).or_default().push(Received {
                trace_id,
                service: service.clone(),
                request: *request,
                sent_by: link.id,
            });
        }
    }
}

impl Found {
    fn add_link(&mut self, linked: TraceId, received: &Received, source: Option<&LinkSource>) {
        self.note_link(&received.service, "parent", received.trace_id, linked);
        if let Some(source) = source {
            let (service, request) = (&received.service, &received.request);
            self.cells.add_link(source, service, request, Sign::Plus);
            self.note_link(&source.service, "child", linked, received.trace_id);
        }
    }

    fn note_link(&mut self, service: &Service, others: &'static str, one: TraceId, other: TraceId) {
        let service = Service {
            inferred: false,
            ..service.clone()
        };
        let links = self.links.entry(service).or_default();
        links.entry((others, one)).or_default().insert(other);
    }
}

fn graph_links(links: &Links) -> Vec<GraphLink> {
    links
        .iter()
        .take(N_LINKS_MAX)
        .map(|((others, one), destinations)| GraphLink {
            reference_type: (*others).to_owned(),
            source_trace_id: one.to_string(),
            destination_trace_ids: destinations.iter().map(ToString::to_string).collect(),
        })
        .collect()
}

/// What a token of this request is bound to.
fn fingerprint(tenant: Tenant, trace_ids: &[String]) -> Vec<u8> {
    let mut fingerprint = tenant.0.to_be_bytes().to_vec();
    for trace_id in trace_ids {
        fingerprint.extend(trace_id.as_bytes());
        fingerprint.push(0);
    }
    fingerprint
}

/// How many traces are read at a time.
const N_TRACES_READ_AT_ONCE: usize = 8;
/// Traces up to this size are parsed on the caller's thread: about half a millisecond of work.
const INLINE_BYTES: u64 = 64 << 10;
/// The API allows a node so many links.
const N_LINKS_MAX: usize = 100;
