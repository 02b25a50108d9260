//! The filter expression language (spec: X-Ray developer guide, "Using filter expressions"; API
//! reference, `FilterExpression` and `EntitySelectorExpression`).
//!
//! An expression is read once into a tree and judged trace by trace: a block of summaries by its
//! facts, a trace by its summary, and only what a summary cannot tell by the documents, in
//! three-valued logic, so that documents are read only if the answer depends on them.
//!
//! What the guide leaves open is chosen so:
//!
//! | what | choice |
//! |---|---|
//! | case | keywords, operators and `true`/`false` in any case; strings and keys of annotations exactly |
//! | precedence | parentheses, `!`, AND (said or not), OR |
//! | bare words | stand for strings after `=` and `!=`; `CONTAINS` and its like take quotes |
//! | escapes | `\"` `\\` `\n` `\t` `\uXXXX`; any other is an error |
//! | absent values | pass no comparison, not even `!=`; `!` before the comparison is then true |
//! | several values | a comparison holds if it does for one of them (annotations, users, zones, ARNs, accounts) |
//! | types of annotations | numbers compare with numbers, strings with strings, booleans with booleans; else no comparison holds |
//! | `annotation.k` alone | some value is set that is not `false` |
//! | `error`, `fault` | of the root's service, as `HasError` and `HasFault` of a summary |
//! | `throttle` | anywhere in the trace, as `HasThrottle` |
//! | `ok` | there is a root, it has neither error, fault nor throttle, and its status, if it has one, is 2xx |
//! | `partial` | some document or subsegment is in progress; in a block: this request or call is |
//! | `inferred` | some service is; in a block: the service that served the request sent nothing |
//! | times | seconds, compared to the nanosecond; `responsetime` of a root in progress is absent, `duration` never is |
//! | in blocks | `responsetime` and `duration` are both from start to end, absent in progress |
//! | `service(..) { }` | holds for one request: a segment, or one inferred from a call |
//! | `edge(..) { }` | holds for one call, as the caller saw it |
//! | clients | are no service by name; `edge("client", ..)` and `id(type: "client")` mean them |
//! | http and user in blocks | of the segment or the calling subsegment itself |
//! | `rootcause.X.entity`, `.exception` | one list for a cause: those of all its services in their order |
//! | `index` | from 0 |
//! | `rootcause.json` | a cause of any kind has one of the forms; `rootcause.fault.json` asks for one kind |
//! | `groupname` | is `group.name` |
//! | a group without filter | takes all traces |

mod ast;
mod causes;
mod documents;
mod error;
mod explain;
mod json;
mod judge;
mod keywords;
mod lexer;
mod parser;
mod plan;
mod print;
mod selector;
#[cfg(test)]
mod tests;
mod zone;

use std::fmt;
use std::time::Duration;

use model::{Document, Summary, ZoneFacts};
use storage::{Judgement, TraceFilter};

pub use error::FilterError;
pub use explain::{DocumentsRead, Explanation, Narrowing};
pub use selector::{NodeSelector, Selector};

use ast::{Atom, Expr};
use documents::Evidence;
use parser::Groups;

/// How an expression refers to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupRef<'a> {
    /// By its name.
    Name(&'a str),
    /// By its ARN.
    Arn(&'a str),
}

/// Which traces are meant.
#[derive(Clone, Debug)]
pub struct Filter {
    /// As it was written.
    expression: Expr<Atom>,
    /// The same, in the order it is cheapest to judge.
    plan: Expr<Atom>,
    slow_ns: u64,
}

impl Filter {
    /// Returns the filter an expression of at most 10,000 characters says. `groups` returns the filter
    /// expression of a group, an empty one if it takes all traces, nothing if there is no such group.
    ///
    /// Every trace whose root has ended counts as slow, see [`Filter::with_slow_trace`].
    ///
    /// # Errors
    /// [`FilterError`] for the first thing that is not understood, an empty expression included.
    pub fn parse(
        text: &str,
        groups: &dyn Fn(GroupRef<'_>) -> Option<String>,
    ) -> Result<Self, FilterError> {
        let expression = parser::parse(text, &mut Groups::of(groups))?;
        Ok(Self {
            plan: plan::plan(&expression),
            expression,
            slow_ns: 0,
        })
    }

    /// Returns the filter with the time a root must take for its trace to have root causes of response
    /// time: the one by which summaries show them.
    #[must_use]
    pub fn with_slow_trace(self, slow_trace: Duration) -> Self {
        Self {
            slow_ns: u64::try_from(slow_trace.as_nanos()).unwrap_or(u64::MAX),
            ..self
        }
    }

    /// Tells whether it counts which traces are slow, see [`Filter::with_slow_trace`].
    pub fn rests_on_slow_trace(&self) -> bool {
        self.expression.any(&Atom::rests_on_slow_trace)
    }

    /// Returns how the filter is answered.
    pub fn explain(&self) -> Explanation {
        Explanation::of(&self.expression)
    }
}

impl fmt::Display for Filter {
    /// Writes the expression in its normal form, which is read as the same filter again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expression.fmt(f)
    }
}

impl TraceFilter for Filter {
    fn may_match(&self, zone: &ZoneFacts) -> bool {
        zone::may_match(&self.plan, zone, self.slow_ns)
    }

    fn judge(&self, summary: &Summary) -> Judgement {
        match judge::judge(&self.plan, summary, self.slow_ns) {
            Some(true) => Judgement::Keep,
            Some(false) => Judgement::Skip,
            None => Judgement::ReadDocuments,
        }
    }

    fn judge_documents(&self, summary: &Summary, documents: &[Document]) -> bool {
        Evidence::of(summary, documents, self.slow_ns).judge(&self.plan)
    }
}
