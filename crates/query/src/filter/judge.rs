//! What a summary tells of a trace: all that its lists hold, and that the rest is in the documents.

use model::{
    AnnotationValue, Flags, IndexedAnnotation, RequestState, Service, Summary, SummaryFlags,
};

use super::ast::{Atom, CauseKind, Expr, Simple, Test};
use super::keywords::Keyword;
use super::selector::NodeSelector;

/// Returns whether a summary passes, if it tells.
///
/// `slow_ns` is how long a root must take for its trace to have root causes of response time.
pub(super) fn judge(expression: &Expr<Atom>, summary: &Summary, slow_ns: u64) -> Option<bool> {
    expression.evaluate(&mut |atom| judge_atom(atom, summary, slow_ns))
}

/// Returns the value of one atom, if the summary tells.
pub(super) fn judge_atom(atom: &Atom, summary: &Summary, slow_ns: u64) -> Option<bool> {
    match atom {
        Atom::Simple(simple) => trace_test(simple, summary),
        Atom::Annotation(key, test) => Some(annotation_test(key, test, &summary.annotations)),
        Atom::Service(node, None) => {
            let is_meant = |service| node.matches_service(service);
            Some(summary.services.iter().any(is_meant))
        }
        Atom::Service(node, Some(block)) => {
            let is_meant = |service: &Service| node.matches_service(service);
            let requests = judge_requests(summary, node, block);
            some(requests, is_whole(summary, &is_meant))
        }
        Atom::Edge(from, to, block) => {
            let is_whole = is_whole(summary, &|service| from.matches_end(service))
                || is_whole(summary, &|service| to.matches_end(service));
            some(judge_calls(summary, (from, to), block.as_ref()), is_whole)
        }
        Atom::Group(_, None) => Some(true),
        Atom::Group(_, Some(filter)) => judge(filter, summary, slow_ns),
        Atom::Cause(kind, ..) => (!may_have_cause(summary, *kind, slow_ns)).then_some(false),
        Atom::CausePath(kind, _) => {
            let kinds = match kind {
                Some(kind) => std::slice::from_ref(kind),
                None => &[CauseKind::Fault, CauseKind::Error, CauseKind::ResponseTime],
            };
            let may_have = |kind: &CauseKind| may_have_cause(summary, *kind, slow_ns);
            (!kinds.iter().any(may_have)).then_some(false)
        }
    }
}

/// Tells whether root causes are looked for in the trace's documents.
fn may_have_cause(summary: &Summary, kind: CauseKind, slow_ns: u64) -> bool {
    match kind {
        CauseKind::Fault => summary.flags.contains(SummaryFlags::DEEP_FAULT),
        CauseKind::Error => summary.flags.contains(SummaryFlags::DEEP_ERROR),
        CauseKind::ResponseTime => is_slow(summary, slow_ns),
    }
}

/// Tells whether a trace has root causes of response time.
pub(super) fn is_slow(summary: &Summary, slow_ns: u64) -> bool {
    summary.response_ns.is_some_and(|ns| ns >= slow_ns)
}

/// Tells whether a summary has all requests and calls of the services meant. It lists the services of
/// all of them, so that there are none of services it does not list.
fn is_whole(summary: &Summary, is_meant: &dyn Fn(&Service) -> bool) -> bool {
    !summary.flags.contains(SummaryFlags::FACTS_CUT) || !summary.services.iter().any(is_meant)
}

/// Returns whether some item passes. If not all items are at hand, none that passes tells nothing.
fn some(items: impl Iterator<Item = Option<bool>>, is_whole: bool) -> Option<bool> {
    let mut is_known = is_whole;
    for item in items {
        match item {
            Some(true) => return Some(true),
            Some(false) => {}
            None => is_known = false,
        }
    }
    is_known.then_some(false)
}

/// Returns what a block says of requests, as far as they were served by services that are meant. Names
/// are compared last: they are scattered in memory, and most requests fail the block.
fn judge_requests<'a>(
    summary: &'a Summary,
    node: &'a NodeSelector,
    block: &'a Expr<Simple>,
) -> impl Iterator<Item = Option<bool>> {
    summary.requests.iter().filter_map(|request| {
        let service = summary.services.get(usize::from(request.service))?;
        let view = RequestView {
            service,
            flags: request.flags,
            state: request.state,
            response_ns: request.response_ns,
            status: request.status,
            detail: None,
        };
        let value = view.judge(block);
        let counts = value != Some(false) && node.matches_service(service);
        counts.then_some(value)
    })
}

/// Returns what a block says of calls, as far as they are between services that are meant.
fn judge_calls<'a>(
    summary: &'a Summary,
    (from, to): (&'a NodeSelector, &'a NodeSelector),
    block: Option<&'a Expr<Simple>>,
) -> impl Iterator<Item = Option<bool>> {
    summary.edges.iter().filter_map(move |edge| {
        let service = summary.services.get(usize::from(edge.to))?;
        let view = RequestView {
            service,
            flags: edge.flags,
            state: edge.state,
            response_ns: edge.response_ns,
            status: edge.status,
            detail: None,
        };
        let value = block.map_or(Some(true), |block| view.judge(block));
        let counts = value != Some(false)
            && to.matches_end(service)
            && meant(&summary.services, edge.from, |caller| {
                from.matches_end(caller)
            })
            .is_some();
        counts.then_some(value)
    })
}

/// Returns the service with an index, if it is meant.
pub(super) fn meant(
    services: &[Service],
    idx: u16,
    is_meant: impl Fn(&Service) -> bool,
) -> Option<&Service> {
    services
        .get(usize::from(idx))
        .filter(|service| is_meant(service))
}

fn trace_test(Simple { keyword, test }: &Simple, summary: &Summary) -> Option<bool> {
    let has = |flag| Some(test.flag(summary.flags.contains(flag)));
    let http = &summary.http;
    match keyword {
        Keyword::Ok => root_is_ok(summary).map(|is_ok| test.flag(is_ok)),
        Keyword::Error => has(SummaryFlags::HAS_ERROR),
        Keyword::Fault => has(SummaryFlags::HAS_FAULT),
        Keyword::Throttle => has(SummaryFlags::HAS_THROTTLE),
        Keyword::Partial => has(SummaryFlags::IS_PARTIAL),
        Keyword::Inferred => has(SummaryFlags::HAS_INFERRED),
        Keyword::ResponseTime => Some(test.nanos(summary.response_ns)),
        Keyword::Duration => Some(test.nanos(Some(duration_ns(summary)))),
        Keyword::HttpStatus => Some(test.number(http.status.map(f64::from))),
        Keyword::HttpUrl => Some(test.text(http.url.as_deref())),
        Keyword::HttpMethod => Some(test.text(http.method.as_deref())),
        Keyword::HttpUserAgent => Some(test.text(http.user_agent.as_deref())),
        Keyword::HttpClientIp => Some(test.text(http.client_ip.as_deref())),
        Keyword::User => Some(test.texts(summary.users.iter().map(|user| user.name.as_str()))),
        Keyword::AvailabilityZone => Some(test.texts(texts(&summary.availability_zones))),
        Keyword::InstanceId => Some(test.texts(texts(&summary.instance_ids))),
        Keyword::ResourceArn => Some(test.texts(texts(&summary.resource_arns))),
        Keyword::AccountId => {
            let accounts = summary.services.iter();
            Some(test.texts(accounts.filter_map(|service| service.account_id.as_deref())))
        }
        // The parser lets none of these stand here.
        Keyword::Root
        | Keyword::First
        | Keyword::Last
        | Keyword::Remote
        | Keyword::Index
        | Keyword::Coverage
        | Keyword::Name
        | Keyword::Type
        | Keyword::Message => Some(false),
    }
}

fn texts(list: &[String]) -> impl Iterator<Item = &str> {
    list.iter().map(String::as_str)
}

/// Returns from a trace's start to its end.
fn duration_ns(summary: &Summary) -> u64 {
    summary
        .end
        .as_nanos()
        .saturating_sub(summary.start.as_nanos())
}

/// Returns whether the root answered 2xx, or ended in nothing bad if its status is not known. A trace
/// without segments is not ok.
fn root_is_ok(summary: &Summary) -> Option<bool> {
    let is_bad = summary.flags.contains(SummaryFlags::HAS_FAULT)
        || summary.flags.contains(SummaryFlags::HAS_ERROR);
    if is_bad || summary.n_segments == 0 || !is_2xx(summary.http.status) {
        return Some(false);
    }
    if !summary.flags.contains(SummaryFlags::HAS_THROTTLE) {
        return Some(true);
    }
    let is_root = |request: &&model::RequestFacts| request.state.contains(RequestState::ROOT);
    match summary.requests.iter().find(is_root) {
        Some(root) => Some(!root.flags.contains(Flags::THROTTLE)),
        None => (!summary.flags.contains(SummaryFlags::FACTS_CUT)).then_some(true),
    }
}

fn is_2xx(status: Option<u16>) -> bool {
    status.is_none_or(|status| (200..300).contains(&status))
}

fn annotation_test(key: &str, test: &Test, annotations: &[IndexedAnnotation]) -> bool {
    annotations
        .iter()
        .filter(|annotation| annotation.key == key)
        .any(|annotation| match (&annotation.value, test) {
            (AnnotationValue::Boolean(value), Test::Is | Test::Boolean(_)) => test.flag(*value),
            (AnnotationValue::Number(_) | AnnotationValue::String(_), Test::Is) => true,
            (AnnotationValue::Number(number), _) => test.number(Some(*number)),
            (AnnotationValue::String(string), _) => test.text(Some(string)),
            (AnnotationValue::Boolean(_), Test::Number(..) | Test::Text(..)) => false,
        })
}

/// What of a request or a call only its document tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Detail {
    pub(super) url: Option<String>,
    pub(super) method: Option<String>,
    pub(super) user_agent: Option<String>,
    pub(super) client_ip: Option<String>,
    pub(super) user: Option<String>,
    pub(super) availability_zone: Option<String>,
    pub(super) instance_id: Option<String>,
    pub(super) resource_arn: Option<String>,
}

/// One request of a service or one call of it.
pub(super) struct RequestView<'a> {
    /// The service that served it.
    pub(super) service: &'a Service,
    pub(super) flags: Flags,
    pub(super) state: RequestState,
    pub(super) response_ns: u64,
    pub(super) status: Option<u16>,
    /// Nothing if only a summary is at hand.
    pub(super) detail: Option<&'a Detail>,
}

impl RequestView<'_> {
    /// Returns whether a block holds for the request, if that is known.
    pub(super) fn judge(&self, block: &Expr<Simple>) -> Option<bool> {
        block.evaluate(&mut |simple| self.test(simple))
    }

    fn test(&self, Simple { keyword, test }: &Simple) -> Option<bool> {
        let has = |flag| Some(test.flag(self.flags.contains(flag)));
        let is = |state| Some(test.flag(self.state.contains(state)));
        let detail = |of: fn(&Detail) -> &Option<String>| {
            self.detail.map(|detail| test.text(of(detail).as_deref()))
        };
        match keyword {
            Keyword::Ok => {
                Some(test.flag(self.flags.own() == Flags::default() && is_2xx(self.status)))
            }
            Keyword::Error => has(Flags::ERROR),
            Keyword::Fault => has(Flags::FAULT),
            Keyword::Throttle => has(Flags::THROTTLE),
            Keyword::Partial => is(RequestState::IN_PROGRESS),
            Keyword::Root => is(RequestState::ROOT),
            Keyword::Inferred => {
                let is_inferred = self.state.contains(RequestState::INFERRED);
                Some(test.flag(is_inferred || self.service.inferred))
            }
            Keyword::ResponseTime | Keyword::Duration => {
                let has_ended = !self.state.contains(RequestState::IN_PROGRESS);
                Some(test.nanos(has_ended.then_some(self.response_ns)))
            }
            Keyword::HttpStatus => Some(test.number(self.status.map(f64::from))),
            Keyword::AccountId => Some(test.text(self.service.account_id.as_deref())),
            Keyword::HttpUrl => detail(|detail| &detail.url),
            Keyword::HttpMethod => detail(|detail| &detail.method),
            Keyword::HttpUserAgent => detail(|detail| &detail.user_agent),
            Keyword::HttpClientIp => detail(|detail| &detail.client_ip),
            Keyword::User => detail(|detail| &detail.user),
            Keyword::AvailabilityZone => detail(|detail| &detail.availability_zone),
            Keyword::InstanceId => detail(|detail| &detail.instance_id),
            Keyword::ResourceArn => detail(|detail| &detail.resource_arn),
            // The parser lets none of these stand here.
            Keyword::First
            | Keyword::Last
            | Keyword::Remote
            | Keyword::Index
            | Keyword::Coverage
            | Keyword::Name
            | Keyword::Type
            | Keyword::Message => Some(false),
        }
    }
}
