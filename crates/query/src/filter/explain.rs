//! What an expression costs, told to whoever wrote it.

use std::fmt;

use super::ast::{Atom, Expr, Simple};
use super::keywords::Keyword;
use super::zone::narrowings;

/// How an expression is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The expression as it was understood, in its normal form.
    pub expression: String,
    /// By which facts blocks of traces are passed over; if there are none, every summary of the window is
    /// looked at, newest first.
    pub narrows_by: Vec<Narrowing>,
    /// Whether documents are read.
    pub documents: DocumentsRead,
}

/// Facts of blocks of traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Narrowing {
    /// Which services traces touch.
    ServiceNames,
    /// Which annotations they have.
    Annotations,
    /// Which users.
    Users,
    /// Which outcomes and states.
    Flags,
    /// Which outcomes requests and calls have, and how long the longest took.
    Outcomes,
    /// How long they last.
    Durations,
    /// How long the slowest root took.
    ResponseTimes,
}

/// Whether documents are read for an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DocumentsRead {
    /// Summaries tell all.
    Never,
    /// Only of traces with more requests or calls than a summary holds.
    OfLargeTraces,
    /// Of traces for which nothing else in the expression decides.
    WhenNeeded,
}

impl Explanation {
    pub(super) fn of(expression: &Expr<Atom>) -> Self {
        let mut narrows_by = narrowings(expression, false);
        narrows_by.sort_unstable();
        narrows_by.dedup();
        let documents = if expression.any(&needs_documents) {
            DocumentsRead::WhenNeeded
        } else if expression.any(&needs_all_requests) {
            DocumentsRead::OfLargeTraces
        } else {
            DocumentsRead::Never
        };
        Self {
            expression: expression.to_string(),
            narrows_by,
            documents,
        }
    }
}

fn needs_documents(atom: &Atom) -> bool {
    match atom {
        Atom::Cause(..) | Atom::CausePath(..) => true,
        Atom::Service(_, Some(block)) | Atom::Edge(_, _, Some(block)) => block.any(&is_detail),
        Atom::Group(_, Some(filter)) => filter.any(&needs_documents),
        Atom::Simple(_)
        | Atom::Annotation(..)
        | Atom::Service(_, None)
        | Atom::Edge(_, _, None)
        | Atom::Group(_, None) => false,
    }
}

fn is_detail(simple: &Simple) -> bool {
    matches!(
        simple.keyword,
        Keyword::HttpUrl
            | Keyword::HttpMethod
            | Keyword::HttpUserAgent
            | Keyword::HttpClientIp
            | Keyword::User
            | Keyword::AvailabilityZone
            | Keyword::InstanceId
            | Keyword::ResourceArn
    )
}

fn needs_all_requests(atom: &Atom) -> bool {
    match atom {
        Atom::Service(_, Some(_)) | Atom::Edge(..) => true,
        Atom::Simple(simple) => simple.keyword == Keyword::Ok,
        Atom::Group(_, Some(filter)) => filter.any(&needs_all_requests),
        Atom::Annotation(..)
        | Atom::Service(_, None)
        | Atom::Group(_, None)
        | Atom::Cause(..)
        | Atom::CausePath(..) => false,
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.expression)?;
        f.write_str("traces are looked at newest first")?;
        let mut separator = "; blocks of them are passed over by ";
        for narrowing in &self.narrows_by {
            write!(f, "{separator}{}", narrowing.text())?;
            separator = ", ";
        }
        f.write_str(match self.documents {
            DocumentsRead::Never => "; no documents are read",
            DocumentsRead::OfLargeTraces => "; documents are read of very large traces only",
            DocumentsRead::WhenNeeded => "; documents are read where summaries do not decide",
        })
    }
}

impl Narrowing {
    const fn text(self) -> &'static str {
        match self {
            Self::ServiceNames => "names of services",
            Self::Annotations => "annotations",
            Self::Users => "users",
            Self::Flags => "outcomes of traces",
            Self::Outcomes => "outcomes of requests",
            Self::Durations => "durations",
            Self::ResponseTimes => "response times",
        }
    }
}
