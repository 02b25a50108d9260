//! What the documents of a trace tell that its summary does not: what requests asked for, requests beyond
//! the number a summary holds, root causes.

mod details;

use std::cell::OnceCell;

use model::{Derived, Document, DocumentLimits, Head, Segment, Service, Summary, TraceGraph};

use super::ast::{Atom, CauseKind, Expr, Simple};
use super::causes::{has_element, has_form};
use super::judge::{Detail, RequestView, is_slow, judge_atom, meant};
use super::selector::NodeSelector;
use crate::root_cause::RootCauses;
use details::Details;

/// A trace's documents, and what has been made of them so far.
pub(super) struct Evidence<'d> {
    summary: &'d Summary,
    documents: &'d [Document],
    slow_ns: u64,
    facts: OnceCell<Facts>,
    causes: OnceCell<RootCauses>,
}

/// All requests and calls of a trace.
struct Facts {
    services: Vec<Service>,
    graph: TraceGraph,
    /// As many as requests.
    request_details: Vec<Detail>,
    /// As many as edges.
    edge_details: Vec<Detail>,
}

impl<'d> Evidence<'d> {
    pub(super) fn of(summary: &'d Summary, documents: &'d [Document], slow_ns: u64) -> Self {
        Self {
            summary,
            documents,
            slow_ns,
            facts: OnceCell::new(),
            causes: OnceCell::new(),
        }
    }

    /// Tells whether the trace passes.
    pub(super) fn judge(&self, expression: &Expr<Atom>) -> bool {
        expression.evaluate(&mut |atom| Some(self.judge_atom(atom))) == Some(true)
    }

    fn judge_atom(&self, atom: &Atom) -> bool {
        if let Some(value) = judge_atom(atom, self.summary, self.slow_ns) {
            return value;
        }
        match atom {
            Atom::Service(node, block) => self.has_request(node, block.as_ref()),
            Atom::Edge(from, to, block) => self.has_call(from, to, block.as_ref()),
            Atom::Simple(_) => self.root_is_not_throttled(atom),
            Atom::Group(_, filter) => filter.as_ref().is_none_or(|filter| self.judge(filter)),
            Atom::Cause(kind, list, block) => {
                let causes = self.causes();
                match kind {
                    CauseKind::Fault => has_element(&causes.faults, *list, block),
                    CauseKind::Error => has_element(&causes.errors, *list, block),
                    CauseKind::ResponseTime => has_element(&causes.response_time, *list, block),
                }
            }
            Atom::CausePath(kind, patterns) => {
                let causes = self.causes();
                let is_of = |wanted| kind.is_none_or(|kind| kind == wanted);
                (is_of(CauseKind::Fault) && has_form(&causes.faults, patterns))
                    || (is_of(CauseKind::Error) && has_form(&causes.errors, patterns))
                    || (is_of(CauseKind::ResponseTime) && has_form(&causes.response_time, patterns))
            }
            Atom::Annotation(..) => false,
        }
    }

    fn has_request(&self, node: &NodeSelector, block: Option<&Expr<Simple>>) -> bool {
        let facts = self.facts();
        let requests = facts.graph.requests.iter().zip(&facts.request_details);
        let mut views = requests.filter_map(|(request, detail)| {
            let is_meant = |service: &Service| node.matches_service(service);
            Some(RequestView {
                service: meant(&facts.services, request.service, is_meant)?,
                flags: request.flags,
                state: request.state,
                response_ns: nanos(request.start, request.end),
                status: request.status,
                detail: Some(detail),
            })
        });
        views.any(|view| passes(&view, block))
    }

    fn has_call(
        &self,
        from: &NodeSelector,
        to: &NodeSelector,
        block: Option<&Expr<Simple>>,
    ) -> bool {
        let facts = self.facts();
        let edges = facts.graph.edges.iter().zip(&facts.edge_details);
        let mut views = edges
            .filter(|(edge, _)| edge.kind == model::EdgeKind::Call)
            .filter_map(|(edge, detail)| {
                meant(&facts.services, edge.from, |service| {
                    from.matches_end(service)
                })?;
                let is_meant = |service: &Service| to.matches_end(service);
                Some(RequestView {
                    service: meant(&facts.services, edge.to, is_meant)?,
                    flags: edge.flags,
                    state: edge.state,
                    response_ns: nanos(edge.start, edge.end),
                    status: edge.status,
                    detail: Some(detail),
                })
            });
        views.any(|view| passes(&view, block))
    }

    /// Answers `ok` of a trace whose summary does not reach as far as its root.
    fn root_is_not_throttled(&self, atom: &Atom) -> bool {
        let facts = self.facts();
        let is_root =
            |request: &&model::graph::Request| request.state.contains(model::RequestState::ROOT);
        let root = facts.graph.requests.iter().find(is_root);
        let is_throttled = root.is_some_and(|root| root.flags.contains(model::Flags::THROTTLE));
        match atom {
            Atom::Simple(simple) => simple.test.flag(!is_throttled),
            _ => false,
        }
    }

    fn facts(&self) -> &Facts {
        self.facts
            .get_or_init(|| Facts::of(self.summary, self.documents))
    }

    fn causes(&self) -> &RootCauses {
        let is_slow = is_slow(self.summary, self.slow_ns);
        self.causes
            .get_or_init(|| RootCauses::of(self.summary.trace_id, self.documents, is_slow))
    }
}

impl Facts {
    fn of(summary: &Summary, documents: &[Document]) -> Self {
        // What was accepted once may be longer than what is now.
        let limits = DocumentLimits {
            document_bytes_max: usize::MAX,
        };
        let head = |document: &Document| {
            let segment = Segment::parse(&document.text, &limits).ok()?;
            Some(segment.head())
        };
        let heads: Vec<Head> = documents.iter().filter_map(head).collect();
        let derived = Derived::of(summary.trace_id, &heads, summary.revision);
        let details = Details::of(&heads, documents);
        let request_details = derived.graph.requests.iter();
        let request_details = request_details
            .map(|request| details.of_request(request))
            .collect();
        let edge_details = derived.graph.edges.iter();
        let edge_details = edge_details.map(|edge| details.of_edge(edge)).collect();
        Self {
            services: derived.summary.services,
            graph: derived.graph,
            request_details,
            edge_details,
        }
    }
}

fn passes(view: &RequestView<'_>, block: Option<&Expr<Simple>>) -> bool {
    block.is_none_or(|block| view.judge(block) == Some(true))
}

fn nanos(start: model::Timestamp, end: model::Timestamp) -> u64 {
    end.as_nanos().saturating_sub(start.as_nanos())
}
