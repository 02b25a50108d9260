//! Sums over many traces, by service and by pair of services.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Edge, EdgeKind, Histogram, LinkSource, Request, TraceGraph};
use crate::{Flags, RequestState, Service, Timestamp};

/// The sums of a stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cells {
    /// By service.
    pub nodes: BTreeMap<Service, Statistics>,
    /// By pair of services.
    pub edges: BTreeMap<EdgeKey, EdgeCell>,
}

/// Who calls whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EdgeKey {
    /// The caller.
    pub from: Service,
    /// The called service.
    pub to: Service,
    /// How.
    pub kind: EdgeKind,
}

/// The sums of one edge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeCell {
    /// What callers saw.
    pub statistics: Statistics,
    /// Name and type callers use that are not the service's own; the first few met.
    pub aliases: BTreeSet<(String, String)>,
    /// How old messages were when they were received, for links.
    pub ages: Histogram,
}

/// Counts and times of requests. Counts may be negative in a correction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Requests of any kind, those in progress included.
    pub n_seen: i64,
    /// Completed without error.
    pub n_ok: i64,
    /// Completed with status 429.
    pub n_throttled: i64,
    /// Completed with another client error.
    pub n_errors: i64,
    /// Completed with a fault.
    pub n_faults: i64,
    /// Nanoseconds completed requests took together.
    pub total_ns: i128,
    /// The first start and the last end, of requests in progress too; none if only taken away from.
    pub span: Option<(Timestamp, Timestamp)>,
    /// How long completed requests took.
    pub histogram: Histogram,
}

/// Whether figures are added or taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Added.
    Plus,
    /// Taken away: what was added before with the same arguments.
    Minus,
}

impl Cells {
    /// Counts one request of a service.
    pub fn add_request(&mut self, service: &Service, request: &Request, sign: Sign) {
        self.node(service).add_request(request, sign);
    }

    /// Counts one call; `alias` is the name the caller uses if it is not the service's own.
    pub fn add_edge(
        &mut self,
        from: &Service,
        to: &Service,
        edge: &Edge,
        alias: Option<&(String, String)>,
        sign: Sign,
    ) {
        self.edge(from, to, edge.kind).add(edge, alias, sign);
    }

    /// Counts the request that a message of another trace caused.
    pub fn add_link(&mut self, source: &LinkSource, to: &Service, request: &Request, sign: Sign) {
        let cell = self.edge(&source.service, to, EdgeKind::Link);
        cell.add_link(source, request, sign);
    }

    /// Counts all of a trace but its links.
    pub fn add_trace(&mut self, services: &[Service], graph: &TraceGraph) {
        let service = |idx: u16| services.get(usize::from(idx));
        for request in &graph.requests {
            if let Some(service) = service(request.service) {
                self.add_request(service, request, Sign::Plus);
            }
        }
        for edge in &graph.edges {
            let alias = edge
                .alias
                .and_then(|idx| graph.aliases.get(usize::from(idx)));
            if let (Some(from), Some(to)) = (service(edge.from), service(edge.to)) {
                self.add_edge(from, to, edge, alias, Sign::Plus);
            }
        }
    }

    /// Adds the sums of another stretch of time.
    pub fn merge(&mut self, other: &Self) {
        for (service, statistics) in &other.nodes {
            self.node(service).merge(statistics);
        }
        for (key, cell) in &other.edges {
            self.edges.entry(key.clone()).or_default().merge(cell);
        }
    }

    /// Leaves out what nothing was seen of: all that was added was taken away again.
    pub fn prune(&mut self) {
        self.nodes.retain(|_, statistics| statistics.n_seen > 0);
        self.edges.retain(|_, cell| cell.statistics.n_seen > 0);
    }

    fn node(&mut self, service: &Service) -> &mut Statistics {
        self.nodes.entry(service.clone()).or_default()
    }

    fn edge(&mut self, from: &Service, to: &Service, kind: EdgeKind) -> &mut EdgeCell {
        let key = EdgeKey {
            from: from.clone(),
            to: to.clone(),
            kind,
        };
        self.edges.entry(key).or_default()
    }
}

impl EdgeCell {
    /// Counts one call; `alias` is the name the caller uses if it is not the service's own.
    pub fn add(&mut self, edge: &Edge, alias: Option<&(String, String)>, sign: Sign) {
        let in_progress = edge.state.contains(RequestState::IN_PROGRESS);
        self.statistics
            .count(edge.flags, in_progress, (edge.start, edge.end), sign);
        if let (Some(alias), Sign::Plus) = (alias, sign) {
            self.add_alias(alias);
        }
    }

    /// Counts the request that a message caused, and how old the message was.
    pub fn add_link(&mut self, source: &LinkSource, request: &Request, sign: Sign) {
        self.statistics.add_request(request, sign);
        self.ages
            .add(request.start.since(source.sent), sign.factor());
    }

    /// Adds the sums of another stretch of time.
    pub fn merge(&mut self, other: &Self) {
        self.statistics.merge(&other.statistics);
        self.ages.merge(&other.ages);
        other.aliases.iter().for_each(|alias| self.add_alias(alias));
    }

    fn add_alias(&mut self, alias: &(String, String)) {
        if self.aliases.len() < ALIASES_MAX {
            self.aliases.insert(alias.clone());
        }
    }
}

impl Statistics {
    /// Returns how many requests completed.
    pub const fn n_completed(&self) -> i64 {
        self.n_ok + self.n_throttled + self.n_errors + self.n_faults
    }

    /// Adds other counts and times.
    pub fn merge(&mut self, other: &Self) {
        self.n_seen += other.n_seen;
        self.n_ok += other.n_ok;
        self.n_throttled += other.n_throttled;
        self.n_errors += other.n_errors;
        self.n_faults += other.n_faults;
        self.total_ns += other.total_ns;
        self.span = union(self.span, other.span);
        self.histogram.merge(&other.histogram);
    }

    /// Counts one request.
    pub fn add_request(&mut self, request: &Request, sign: Sign) {
        let in_progress = request.state.contains(RequestState::IN_PROGRESS);
        self.count(
            request.flags,
            in_progress,
            (request.start, request.end),
            sign,
        );
    }

    /// Counts a request in one class: a fault before a client error, that before success. One in
    /// progress is seen and not counted.
    fn count(
        &mut self,
        flags: Flags,
        in_progress: bool,
        (start, end): (Timestamp, Timestamp),
        sign: Sign,
    ) {
        let factor = sign.factor();
        self.n_seen += factor;
        if sign == Sign::Plus {
            self.span = union(self.span, Some((start, end.max(start))));
        }
        if in_progress {
            return;
        }
        let class = if flags.contains(Flags::FAULT) {
            &mut self.n_faults
        } else if flags.contains(Flags::THROTTLE) {
            &mut self.n_throttled
        } else if flags.contains(Flags::ERROR) {
            &mut self.n_errors
        } else {
            &mut self.n_ok
        };
        *class += factor;
        let duration = end.since(start);
        self.total_ns += i128::from(factor) * i128::try_from(duration.as_nanos()).unwrap_or(0);
        self.histogram.add(duration, factor);
    }
}

impl Sign {
    const fn factor(self) -> i64 {
        match self {
            Self::Plus => 1,
            Self::Minus => -1,
        }
    }
}

type Span = Option<(Timestamp, Timestamp)>;

fn union(one: Span, other: Span) -> Span {
    match (one, other) {
        (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
        (span, None) | (None, span) => span,
    }
}

/// Callers know a service by a few names; more are most often ids within names.
const ALIASES_MAX: usize = 16;
