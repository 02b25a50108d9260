//! Derives a summary from the heads of a trace's documents (spec: X-Ray API, `TraceSummary`).
//!
//! 1. Heads are ordered by start and id, so that the order of arrival does not matter.
//! 2. The root is found: the segment of the request that started the trace.
//! 3. Services are listed: the root's, those that sent segments, those inferred, the client.
//! 4. Annotations and users are gathered with the services that set them.

use std::collections::HashSet;

use super::facets::{annotations, users};
use super::owners::{open_segments, owners};
use super::services::ServiceList;
use super::{Derived, EDGES_MAX, EdgeFacts, LIST_MAX, RequestFacts, Summary, SummaryFlags};
use crate::graph::{EdgeKind, trace_graph};
use crate::{DocumentKind, Flags, Head, SegmentId, Timestamp, TraceGraph, TraceId};

impl Summary {
    /// Returns the summary alone, see [`Derived::of`].
    pub fn of(trace_id: TraceId, heads: &[Head], revision: u32) -> Self {
        Derived::of(trace_id, heads, revision).summary
    }
}

impl Derived {
    /// Returns summary and graph of a trace whose documents have these heads, one for each id, in any order.
    ///
    /// The root is the earliest segment without parent; if there is none, the earliest whose parent
    /// is not in the trace, else the earliest. A trace of subsegments only has no root and no entry.
    /// An annotation of a subsegment sent alone belongs to the service of the segment it finally hangs
    /// on, to none as long as that has not come.
    ///
    /// Lists are bounded: 1,000 services, users, ARNs, instances and zones each, 50 keys and 10,000
    /// values of annotations, 1,000 requests and 2,000 calls of the summary; what comes later in the
    /// trace is left out. Takes time linear in the size of the heads but for sorting.
    pub fn of(trace_id: TraceId, heads: &[Head], revision: u32) -> Self {
        let open = open_segments(heads);
        let mut sorted: Vec<&Head> = heads
            .iter()
            .map(|head| open.get(&head.segment_id).unwrap_or(head))
            .collect();
        sorted.sort_unstable_by_key(|head| (head.start, head.segment_id));
        let segments: Vec<&Head> = sorted
            .iter()
            .copied()
            .filter(|head| head.kind == DocumentKind::Segment)
            .collect();
        let root = root(&sorted, &segments);
        let services = ServiceList::of(&sorted, &segments, root);
        let owners = owners(&sorted, &services);
        let graph = trace_graph(&sorted, root, &services, &owners);
        let timed = if segments.is_empty() {
            &sorted
        } else {
            &segments
        };
        let (requests, edges, cut) = facts(&graph);
        let summary = Summary {
            trace_id,
            start: timed.first().map_or(Timestamp::ZERO, |head| head.start),
            end: timed
                .iter()
                .map(|head| head.end)
                .max()
                .unwrap_or(Timestamp::ZERO),
            response_ns: root.and_then(response_ns),
            n_segments: u32::try_from(segments.len()).unwrap_or(u32::MAX),
            flags: flags(&sorted, root).union(services.flags()).union(cut),
            revision,
            http: root.and_then(|root| root.http.clone()).unwrap_or_default(),
            annotations: annotations(&sorted, &owners),
            users: users(&sorted, &owners),
            resource_arns: distinct(
                sorted
                    .iter()
                    .filter_map(|head| head.resource_arn.as_deref()),
            ),
            instance_ids: distinct(sorted.iter().filter_map(|head| head.instance_id.as_deref())),
            availability_zones: distinct(
                sorted
                    .iter()
                    .filter_map(|head| head.availability_zone.as_deref()),
            ),
            entry: root.and_then(|root| services.index_of(root)),
            services: services.into_services(),
            requests,
            edges,
        };
        Self { summary, graph }
    }
}

/// Returns of a graph what filters need, as much as a summary holds, and whether that is not all.
fn facts(graph: &TraceGraph) -> (Vec<RequestFacts>, Vec<EdgeFacts>, SummaryFlags) {
    let requests = graph.requests.iter().take(LIST_MAX);
    let requests = requests.map(|request| RequestFacts {
        service: request.service,
        flags: request.flags,
        state: request.state,
        response_ns: nanos(request.start, request.end),
        status: request.status,
    });
    let calls = graph.edges.iter();
    let calls = calls.filter(|edge| edge.kind == EdgeKind::Call);
    let edges = calls.take(EDGES_MAX).map(|edge| EdgeFacts {
        from: edge.from,
        to: edge.to,
        flags: edge.flags,
        state: edge.state,
        response_ns: nanos(edge.start, edge.end),
        status: edge.status,
    });
    let is_cut = graph.requests.len() > LIST_MAX || graph.edges.len() > EDGES_MAX;
    let cut = if is_cut {
        SummaryFlags::FACTS_CUT
    } else {
        SummaryFlags::default()
    };
    (requests.collect(), edges.collect(), cut)
}

fn nanos(start: Timestamp, end: Timestamp) -> u64 {
    end.as_nanos().saturating_sub(start.as_nanos())
}

/// Returns the segment of the request that started the trace; `segments` are in order of start.
fn root<'h>(heads: &[&'h Head], segments: &[&'h Head]) -> Option<&'h Head> {
    let has_no_parent = |head: &&&Head| head.parent_id.is_none();
    if let Some(root) = segments.iter().find(has_no_parent) {
        return Some(root);
    }
    if let [only] = segments {
        return Some(only);
    }
    let known: HashSet<SegmentId> = heads
        .iter()
        .flat_map(|head| std::iter::once(head.segment_id).chain(head.nested_ids.iter().copied()))
        .collect();
    let is_entered = |head: &&&Head| {
        head.parent_id
            .is_some_and(|parent_id| !known.contains(&parent_id))
    };
    segments
        .iter()
        .find(is_entered)
        .or(segments.first())
        .copied()
}

fn response_ns(root: &Head) -> Option<u64> {
    if root.in_progress {
        return None;
    }
    u64::try_from(root.end.since(root.start).as_nanos()).ok()
}

/// Returns the outcomes and states that heads alone tell.
///
/// Fault and error are documented as the root's own; recorded answers of the service count those of
/// all segments of the root's service (Lambda sends two of one name).
fn flags(heads: &[&Head], root: Option<&Head>) -> SummaryFlags {
    let mut flags = SummaryFlags::default();
    let mut add = |is_set: bool, flag: SummaryFlags| {
        if is_set {
            flags = flags.union(flag);
        }
    };
    for head in heads {
        let has = |own: Flags, deep: Flags| head.flags.contains(own) || head.flags.contains(deep);
        let is_segment = head.kind == DocumentKind::Segment;
        let is_entry = is_segment && root.is_some_and(|root| root.name == head.name);
        add(
            is_entry && head.flags.contains(Flags::FAULT),
            SummaryFlags::HAS_FAULT,
        );
        add(
            is_entry && head.flags.contains(Flags::ERROR),
            SummaryFlags::HAS_ERROR,
        );
        add(
            has(Flags::THROTTLE, Flags::DEEP_THROTTLE),
            SummaryFlags::HAS_THROTTLE,
        );
        add(
            has(Flags::FAULT, Flags::DEEP_FAULT),
            SummaryFlags::DEEP_FAULT,
        );
        add(
            has(Flags::ERROR, Flags::DEEP_ERROR),
            SummaryFlags::DEEP_ERROR,
        );
        let is_partial = head.in_progress || head.flags.contains(Flags::DEEP_IN_PROGRESS);
        add(is_partial, SummaryFlags::IS_PARTIAL);
    }
    flags
}

/// Returns the distinct texts in their order, as many as a list may hold.
fn distinct<'h>(texts: impl Iterator<Item = &'h str>) -> Vec<String> {
    let mut seen: HashSet<&str> = HashSet::new();
    let mut list = Vec::new();
    for text in texts {
        if list.len() < LIST_MAX && seen.insert(text) {
            list.push(text.to_owned());
        }
    }
    list
}
