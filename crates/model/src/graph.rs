//! Service graphs: what one trace adds to them, and the sums of many (spec: X-Ray API, `GetServiceGraph`).
//!
//! A trace adds *requests* to the services that served them and *edges* to the pairs of services that
//! called one another. An edge carries what the caller saw. Sums are kept in [`Cells`], which can be
//! added and taken away again, so that a trace that changed is counted as it is now.

mod cells;
mod histogram;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

pub use cells::{Cells, EdgeCell, EdgeKey, Sign, Statistics};
pub use histogram::{Histogram, bucket_ms};

use crate::summary::owners::{heads_by_id, open_segments, segments};
use crate::summary::services::ServiceList;
use crate::{
    Call, DocumentKind, Flags, Head, RequestState, SegmentId, Service, Timestamp, TraceId,
};

/// What one trace adds to a service graph. Services are indexes into `Summary::services`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceGraph {
    /// Segments and inferred segments.
    pub requests: Vec<Request>,
    /// Calls between services, the client's included, and links of other traces.
    pub edges: Vec<Edge>,
    /// What requests are linked to in other traces, at most 100.
    pub links: Vec<LinkUse>,
    /// Name and type under which callers know services that go by another name themselves.
    pub aliases: Vec<(String, String)>,
}

/// A request a service served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The segment; of an inferred one the call.
    pub id: SegmentId,
    /// The service.
    pub service: u16,
    /// Its own outcomes.
    pub flags: Flags,
    /// Whether it is the root, inferred, in progress.
    pub state: RequestState,
    /// Its start.
    pub start: Timestamp,
    /// Its end; in progress the latest time it mentions.
    pub end: Timestamp,
    /// `http.response.status`.
    pub status: Option<u16>,
}

/// A call of one service by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The call; the called segment if no call of its own stands for it.
    pub id: SegmentId,
    /// The caller.
    pub from: u16,
    /// The called service.
    pub to: u16,
    /// What kind of call.
    pub kind: EdgeKind,
    /// The call's own outcomes.
    pub flags: Flags,
    /// Whether it is in progress.
    pub state: RequestState,
    /// Its start.
    pub start: Timestamp,
    /// Its end; in progress its start.
    pub end: Timestamp,
    /// `http.response.status`.
    pub status: Option<u16>,
    /// Index of the name the caller uses in `TraceGraph::aliases`, if it is not the service's own.
    pub alias: Option<u16>,
}

/// How one service reaches another.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum EdgeKind {
    /// A request it waits for, or sends.
    Call,
    /// A message another trace sent, received in a trace of its own.
    Link,
}

/// A request and what it is linked to in another trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkUse {
    /// Index of the request in `TraceGraph::requests`.
    pub request: usize,
    /// The other trace.
    pub trace_id: TraceId,
    /// The segment or subsegment in it that sent the message.
    pub id: SegmentId,
}

/// Where a link comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSource {
    /// The service the message was taken from: the queue, if the link names the call that sent it.
    pub service: Service,
    /// When the message was sent.
    pub sent: Timestamp,
}

impl LinkSource {
    /// Returns the sources that links name in a trace with these heads, in their order; none for what is
    /// not there.
    ///
    /// A call stands for the service it calls, whatever else for the service it is part of. Takes time
    /// linear in the heads and the ids.
    pub fn find_all(heads: &[Head], ids: &[SegmentId]) -> Vec<Option<Self>> {
        let open = open_segments(heads);
        let mut sorted: Vec<&Head> = heads
            .iter()
            .map(|head| open.get(&head.segment_id).unwrap_or(head))
            .collect();
        sorted.sort_unstable_by_key(|head| (head.start, head.segment_id));
        let answers = answers(&sorted);
        let mut calls: HashMap<SegmentId, &Call> = HashMap::new();
        for call in sorted.iter().flat_map(|head| &head.calls) {
            calls.entry(call.id).or_insert(call);
        }
        let head_of = heads_by_id(&sorted);
        let segment_of = segments(&sorted);
        let find = |id: &SegmentId| {
            if let Some(call) = calls.get(id) {
                let answer = answers.get(id).and_then(|heads| heads.first());
                return Some(Self {
                    service: answer.map_or_else(|| called(call), |head| sent_by(head)),
                    sent: call.end,
                });
            }
            let head_idx = *head_of.get(id)?;
            let segment_idx = (*segment_of.get(head_idx)?)?;
            let segment = sorted.get(segment_idx).filter(|head| is_segment(head))?;
            Some(Self {
                service: sent_by(segment),
                sent: sorted.get(head_idx)?.end,
            })
        };
        ids.iter().map(find).collect()
    }
}

fn called(call: &Call) -> Service {
    Service {
        name: call.service_name.clone(),
        service_type: Some(call.service_type.clone()),
        account_id: None,
        inferred: true,
    }
}

fn sent_by(segment: &Head) -> Service {
    Service {
        name: segment.name.clone(),
        service_type: segment.origin.clone(),
        account_id: segment.account_id.clone(),
        inferred: false,
    }
}

/// Returns what a trace adds to graphs. `heads` are in order of start and id, `owners` their services.
///
/// 1. Every segment is a request of its service. A segment without parent, and the root, was called
///    by a client: that edge carries the segment's own figures.
/// 2. Every call of a known service is an edge: to the service of the first segment that names it as its
///    parent; else to the inferred service, which served one request, unless a segment is announced.
/// 3. A segment whose parent is in the trace but is no call, or whose call was answered by another
///    one already, is an edge with the segment's own figures.
///
/// Of several calls with one id the first one counts.
pub(crate) fn trace_graph(
    heads: &[&Head],
    root: Option<&Head>,
    services: &ServiceList<'_>,
    owners: &[Option<u16>],
) -> TraceGraph {
    let mut builder = Builder {
        graph: TraceGraph::default(),
        services,
        answers: answers(heads),
        alias_of: HashMap::new(),
    };
    for head in heads.iter().filter(|head| is_segment(head)) {
        let is_root = root.is_some_and(|root| std::ptr::eq(root, *head));
        builder.add_segment(head, is_root);
    }
    let mut calls: Vec<(&Call, u16)> = heads
        .iter()
        .zip(owners)
        .filter_map(|(head, owner)| Some((head, (*owner)?)))
        .flat_map(|(head, owner)| head.calls.iter().map(move |call| (call, owner)))
        .collect();
    calls.sort_by_key(|(call, _)| (call.start, call.id));
    let mut seen = HashSet::with_capacity(calls.len());
    for (call, owner) in calls {
        if seen.insert(call.id) {
            builder.add_call(call, owner);
        }
    }
    builder.add_direct(heads, owners, &seen);
    builder.graph
}

struct Builder<'a, 'h> {
    graph: TraceGraph,
    services: &'a ServiceList<'h>,
    /// Segments by the parent they name, in order of start.
    answers: HashMap<SegmentId, Vec<&'h Head>>,
    alias_of: HashMap<(&'h str, &'h str), u16>,
}

impl<'h> Builder<'_, 'h> {
    fn add_segment(&mut self, head: &'h Head, is_root: bool) {
        let Some(service) = self.services.index_of(head) else {
            return;
        };
        let state = in_progress(head.in_progress).with(RequestState::ROOT, is_root);
        let request = self.graph.requests.len();
        self.graph.requests.push(Request {
            id: head.segment_id,
            service,
            flags: head.flags.own(),
            state,
            start: head.start,
            end: head.end,
            status: status(head),
        });
        let n_left = LINKS_MAX.saturating_sub(self.graph.links.len());
        let links = head.links.iter().take(n_left).map(|link| LinkUse {
            request,
            trace_id: link.trace_id,
            id: link.id,
        });
        self.graph.links.extend(links);
        if (is_root || head.parent_id.is_none())
            && let Some(client) = self.services.client_of(head)
        {
            self.graph.edges.push(own_edge(client, service, head));
        }
    }

    fn add_call(&mut self, call: &'h Call, from: u16) {
        let answer = self.answers.get(&call.id).and_then(|heads| heads.first());
        let state = in_progress(call.in_progress);
        let (to, alias) = if let Some(answer) = answer {
            let Some(to) = self.services.index_of(answer) else {
                return;
            };
            let goes_by_it = answer.name == call.service_name;
            (to, (!goes_by_it).then(|| self.alias(call)).flatten())
        } else {
            if call.traced {
                return;
            }
            let Some(to) = self.services.index_of_called(call) else {
                return;
            };
            // A service that sends segments of its own has its figures from those.
            if self.services.is_inferred(to) {
                self.graph.requests.push(Request {
                    id: call.id,
                    service: to,
                    flags: call.flags.own(),
                    state: state.union(RequestState::INFERRED),
                    start: call.start,
                    end: call.end,
                    status: call.status,
                });
            }
            (to, None)
        };
        self.graph.edges.push(Edge {
            id: call.id,
            from,
            to,
            kind: EdgeKind::Call,
            flags: call.flags.own(),
            state,
            start: call.start,
            end: call.end,
            status: call.status,
            alias,
        });
    }

    /// Adds the edges of segments that no call of their own stands for.
    fn add_direct(
        &mut self,
        heads: &[&'h Head],
        owners: &[Option<u16>],
        calls: &HashSet<SegmentId>,
    ) {
        let is_counted = |segment: &Head, parent_id: SegmentId| {
            let first = self.answers.get(&parent_id).and_then(|heads| heads.first());
            calls.contains(&parent_id) && first.is_some_and(|first| std::ptr::eq(*first, segment))
        };
        let direct: Vec<(&Head, SegmentId)> = heads
            .iter()
            .filter(|head| is_segment(head))
            .filter_map(|head| Some((*head, head.parent_id?)))
            .filter(|(head, parent_id)| !is_counted(head, *parent_id))
            .collect();
        if direct.is_empty() {
            return;
        }
        let head_of = heads_by_id(heads);
        for (head, parent_id) in direct {
            let caller = head_of.get(&parent_id).and_then(|idx| *owners.get(*idx)?);
            if let (Some(from), Some(to)) = (caller, self.services.index_of(head)) {
                self.graph.edges.push(own_edge(from, to, head));
            }
        }
    }

    fn alias(&mut self, call: &'h Call) -> Option<u16> {
        let (name, service_type) = (call.service_name.as_str(), call.service_type.as_str());
        if let Some(alias) = self.alias_of.get(&(name, service_type)) {
            return Some(*alias);
        }
        let alias = u16::try_from(self.graph.aliases.len()).ok()?;
        let aliases = &mut self.graph.aliases;
        aliases.push((name.to_owned(), service_type.to_owned()));
        self.alias_of.insert((name, service_type), alias);
        Some(alias)
    }
}

/// Returns the edge to a segment that carries the segment's own figures.
fn own_edge(from: u16, to: u16, head: &Head) -> Edge {
    Edge {
        id: head.segment_id,
        from,
        to,
        kind: EdgeKind::Call,
        flags: head.flags.own(),
        state: in_progress(head.in_progress),
        start: head.start,
        end: head.end,
        status: status(head),
        alias: None,
    }
}

fn answers<'h>(heads: &[&'h Head]) -> HashMap<SegmentId, Vec<&'h Head>> {
    let mut answers: HashMap<SegmentId, Vec<&Head>> = HashMap::new();
    for head in heads.iter().filter(|head| is_segment(head)) {
        if let Some(parent_id) = head.parent_id {
            answers.entry(parent_id).or_default().push(head);
        }
    }
    answers
}

fn is_segment(head: &Head) -> bool {
    head.kind == DocumentKind::Segment
}

fn in_progress(is_set: bool) -> RequestState {
    RequestState::default().with(RequestState::IN_PROGRESS, is_set)
}

fn status(head: &Head) -> Option<u16> {
    head.http.as_ref().and_then(|http| http.status)
}

/// What a trace has of links (spec: X-Ray developer guide, "Tracing event-driven applications").
const LINKS_MAX: usize = 100;
