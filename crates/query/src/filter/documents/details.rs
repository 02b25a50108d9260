//! What requests and calls asked for, found in the documents of a trace.
//!
//! A graph does not tell which document a request came from. It is found again by what a request has in
//! common with its document; of several that share all of it each is taken once.

use std::collections::{HashMap, HashSet, VecDeque};

use model::graph::{Edge, Request};
use model::{Call, Derived, Document, DocumentKind, Flags, Head, SegmentId, Service, Timestamp};
use serde_json::Value;

use super::super::judge::Detail;

/// What is known of requests and calls beside what a graph has.
pub(super) struct Details {
    requests: HashMap<Figures, VecDeque<Detail>>,
    edges: HashMap<(u16, Figures), VecDeque<Detail>>,
}

/// What a request or call has in common with its document.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Figures {
    service: u16,
    start: u64,
    end: u64,
    flags: u8,
    status: Option<u16>,
}

/// Name, type and account of a service.
type Identity<'h> = (&'h str, Option<&'h str>, Option<&'h str>);

impl Details {
    /// Returns the details of the trace that documents make up.
    pub(super) fn of(heads: &[Head], documents: &[Document], derived: &Derived) -> Self {
        let mut sorted: Vec<&Head> = heads.iter().collect();
        sorted.sort_unstable_by_key(|head| (head.start, head.segment_id));
        let index_of = services(&derived.summary.services);
        let mut details = Self {
            requests: HashMap::new(),
            edges: HashMap::new(),
        };
        let trace = Family::of(&sorted, &index_of);
        details.add_calls(&trace, &parts(documents));
        details.add_segments(&trace);
        details
    }

    pub(super) fn of_request(&mut self, request: &Request) -> Detail {
        let figures = Figures {
            service: request.service,
            start: request.start.as_nanos(),
            end: request.end.as_nanos(),
            flags: request.flags.own().0,
            status: request.status,
        };
        take(self.requests.get_mut(&figures))
    }

    pub(super) fn of_edge(&mut self, edge: &Edge) -> Detail {
        let figures = Figures {
            service: edge.to,
            start: edge.start.as_nanos(),
            end: edge.end.as_nanos(),
            flags: edge.flags.own().0,
            status: edge.status,
        };
        take(self.edges.get_mut(&(edge.from, figures)))
    }

    fn add_calls(&mut self, trace: &Family<'_>, parts: &HashMap<SegmentId, Detail>) {
        let mut calls: Vec<(&Call, Option<u16>)> = trace
            .members
            .iter()
            .flat_map(|head| head.calls.iter().map(|call| (call, trace.owner(head))))
            .collect();
        calls.sort_by_key(|(call, _)| (call.start, call.id));
        let mut seen = HashSet::new();
        for (call, owner) in calls {
            if !seen.insert(call.id) {
                continue;
            }
            let detail = parts.get(&call.id).cloned().unwrap_or_default();
            let answer = trace.answer(call.id);
            let Some(service) = answer.map_or_else(|| trace.called(call), |head| trace.own(head))
            else {
                continue;
            };
            let figures = figures(service, call.start, call.end, call.flags, call.status);
            if answer.is_none() && !call.traced {
                push(&mut self.requests, figures, detail.clone());
            }
            if let Some(owner) = owner {
                push(&mut self.edges, (owner, figures), detail);
            }
        }
    }

    fn add_segments(&mut self, trace: &Family<'_>) {
        let segments = trace.members.iter();
        for head in segments.filter(|head| head.kind == DocumentKind::Segment) {
            let Some(service) = trace.own(head) else {
                continue;
            };
            let detail = detail_of(head);
            let status = head.http.as_ref().and_then(|http| http.status);
            let figures = figures(service, head.start, head.end, head.flags, status);
            let caller = head.parent_id.and_then(|parent_id| {
                let parent = trace.members.get(*trace.head_of.get(&parent_id)?)?;
                trace.owner(parent)
            });
            let client = trace.index_of.get(&(&head.name, Some("client"), None));
            for from in caller.iter().chain(client) {
                push(&mut self.edges, (*from, figures), detail.clone());
            }
            push(&mut self.requests, figures, detail);
        }
    }
}

/// The heads of a trace and how they hang together.
struct Family<'h> {
    members: &'h [&'h Head],
    /// Documents count before nested subsegments.
    head_of: HashMap<SegmentId, usize>,
    /// The earliest segment by the parent it names.
    answers: HashMap<SegmentId, usize>,
    index_of: &'h HashMap<Identity<'h>, u16>,
}

impl<'h> Family<'h> {
    fn of(members: &'h [&'h Head], index_of: &'h HashMap<Identity<'h>, u16>) -> Self {
        let mut head_of: HashMap<_, _> = members
            .iter()
            .enumerate()
            .map(|(idx, head)| (head.segment_id, idx))
            .collect();
        let mut answers = HashMap::new();
        for (idx, head) in members.iter().enumerate() {
            for nested_id in &head.nested_ids {
                head_of.entry(*nested_id).or_insert(idx);
            }
            if head.kind == DocumentKind::Segment
                && let Some(parent_id) = head.parent_id
            {
                answers.entry(parent_id).or_insert(idx);
            }
        }
        Self {
            members,
            head_of,
            answers,
            index_of,
        }
    }

    fn own(&self, head: &Head) -> Option<u16> {
        let identity = (
            head.name.as_str(),
            head.origin.as_deref(),
            head.account_id.as_deref(),
        );
        self.index_of.get(&identity).copied()
    }

    fn called(&self, call: &Call) -> Option<u16> {
        let identity = (
            call.service_name.as_str(),
            Some(call.service_type.as_str()),
            None,
        );
        self.index_of.get(&identity).copied()
    }

    fn answer(&self, call_id: SegmentId) -> Option<&'h Head> {
        self.members.get(*self.answers.get(&call_id)?).copied()
    }

    /// Returns the service of the segment a document finally hangs on. Ways up that are circles end.
    fn owner(&self, head: &Head) -> Option<u16> {
        let mut head = head;
        for _ in 0..=self.members.len() {
            if head.kind == DocumentKind::Segment {
                return self.own(head);
            }
            head = self.members.get(*self.head_of.get(&head.parent_id?)?)?;
        }
        None
    }
}

fn services(services: &[Service]) -> HashMap<Identity<'_>, u16> {
    let mut index_of = HashMap::new();
    for (idx, service) in (0_u16..).zip(services) {
        let identity = (
            service.name.as_str(),
            service.service_type.as_deref(),
            service.account_id.as_deref(),
        );
        index_of.entry(identity).or_insert(idx);
    }
    index_of
}

fn figures(
    service: u16,
    start: Timestamp,
    end: Timestamp,
    flags: Flags,
    status: Option<u16>,
) -> Figures {
    Figures {
        service,
        start: start.as_nanos(),
        end: end.as_nanos(),
        flags: flags.own().0,
        status,
    }
}

fn push<K: std::hash::Hash + Eq>(map: &mut HashMap<K, VecDeque<Detail>>, key: K, detail: Detail) {
    map.entry(key).or_default().push_back(detail);
}

fn take(details: Option<&mut VecDeque<Detail>>) -> Detail {
    details.and_then(VecDeque::pop_front).unwrap_or_default()
}

fn detail_of(head: &Head) -> Detail {
    let http = head.http.clone().unwrap_or_default();
    Detail {
        url: http.url,
        method: http.method,
        user_agent: http.user_agent,
        client_ip: http.client_ip,
        user: head.user.clone(),
        availability_zone: head.availability_zone.clone(),
        instance_id: head.instance_id.clone(),
        resource_arn: head.resource_arn.clone(),
    }
}

/// Returns what subsegments, sent alone or nested, say of what they asked for.
fn parts(documents: &[Document]) -> HashMap<SegmentId, Detail> {
    let mut parts = HashMap::new();
    for document in documents {
        let Ok(json) = serde_json::from_str::<Value>(&document.text) else {
            continue;
        };
        let mut waiting = vec![&json];
        while let Some(part) = waiting.pop() {
            let id = part.get("id").and_then(Value::as_str);
            if let Some(id) = id.and_then(|id| id.parse().ok()) {
                parts.entry(id).or_insert_with(|| detail_in(part));
            }
            let below = part.get("subsegments").and_then(Value::as_array);
            waiting.extend(below.into_iter().flatten());
        }
    }
    parts
}

fn detail_in(part: &Value) -> Detail {
    let text = |value: Option<&Value>| {
        let text = value
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty());
        text.map(str::to_owned)
    };
    let request = part.get("http").and_then(|http| http.get("request"));
    let asked = |member: &str| text(request.and_then(|request| request.get(member)));
    Detail {
        url: asked("url"),
        method: asked("method"),
        user_agent: asked("user_agent"),
        client_ip: asked("client_ip"),
        user: text(part.get("user")),
        ..Detail::default()
    }
}
