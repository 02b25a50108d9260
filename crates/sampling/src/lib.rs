//! Sampling: which requests clients shall trace, and how many.
//!
//! The secret this crate hides is how a decision made in one place becomes the behaviour of many
//! clients: what a valid rule is, which rule a request falls under, how a rule's reservoir is divided
//! among clients that come and go, what of their reports is kept, and when anomalies raise a rate for a
//! minute. It reads and writes through [`storage::ControlStore`]; calls may block for a moment, so
//! whoever is async makes them on a blocking thread. It knows nothing of HTTP, JSON shapes and
//! clocks: time is a parameter.
//!
//! Invariants: the rule `Default` is always there; a change of rules that returned `Ok` is on disk, and
//! clients learn of it through [`Targets::last_modified`]; what is handed to the live clients of a rule
//! never adds up to more than its reservoir; memory is bounded whatever clients send.
//!
//! What is lost with the process: which clients are alive (they report again within ten seconds) and, with
//! the power, up to a second of statistics.
//!
//! ```
//! use std::sync::Arc;
//!
//! use model::{Account, Tenant, Timestamp};
//! use sampling::{NewRule, RuleSelector, Sampling, StatisticsReport};
//! # use storage::control::memory::MemoryControl;
//! # let store = Arc::new(MemoryControl::default());
//!
//! let account = Account { id: "000000000000".to_owned(), region: "us-east-1".to_owned() };
//! let now = Timestamp::from_secs(1_795_000_000);
//! let sampling = Sampling::open(store, Tenant(0), account, now)?;
//!
//! let rule = NewRule {
//!     priority: 100,
//!     fixed_rate: 0.1,
//!     reservoir_size: 50,
//!     url_path: "/checkout/*".to_owned(),
//!     ..NewRule::matching_all(RuleSelector::by_name("checkout"))
//! };
//! let record = sampling.create(rule, [], now)?;
//! assert_eq!(record.arn, "arn:aws:xray:us-east-1:000000000000:sampling-rule/checkout");
//!
//! let report = StatisticsReport {
//!     rule_name: "checkout".to_owned(),
//!     client_id: "0123456789abcdef01234567".to_owned(),
//!     at: now,
//!     request_count: 120,
//!     sampled_count: 7,
//!     borrow_count: 1,
//! };
//! let targets = sampling.targets(&[report], &[], now)?;
//! assert_eq!(targets.documents[0].reservoir_quota, 50, "the only client gets all of it");
//! # Ok::<(), sampling::SamplingError>(())
//! ```
#![warn(missing_docs)]

mod boost;
mod reservoir;
mod rule;
mod rules;
mod sampling;
mod statistics;
mod stored;
mod targets;
#[cfg(test)]
mod tests;
mod wildcard;

use std::time::Duration;

use model::{InvalidTags, Timestamp};
use storage::StoreError;

pub use boost::Boost;
pub use rule::{
    NewRateBoost, NewRule, RateBoost, RequestFacts, Rule, RuleRecord, RuleSelector, RuleUpdate,
};
pub use rules::{RulePage, Rules};
pub use sampling::Sampling;
pub use statistics::{StatisticSummary, SummaryPage, SummaryPosition};
pub use targets::{BoostReport, StatisticsReport, Target, Targets, Unprocessed};

/// The name of the rule that is always there.
pub const DEFAULT_RULE: &str = "Default";
/// How many rules there may be beside it.
pub const RULES_MAX: usize = 25;
/// How many reports of each kind one call may carry.
pub const REPORTS_MAX: usize = 25;

/// Why a call has no answer. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SamplingError {
    /// The request asks for what cannot be; the text says what to change.
    #[error("{0}")]
    Invalid(String),
    /// There are as many rules as there may be.
    #[error("there are {RULES_MAX} sampling rules beside {DEFAULT_RULE} already; delete one first")]
    RuleLimitExceeded,
    /// Tags of something that is no rule.
    #[error("no sampling rule has the ARN {arn}")]
    NotFound {
        /// The ARN.
        arn: String,
    },
    /// A rule would have too many tags.
    #[error("{source}")]
    TooManyTags {
        /// The rule's ARN.
        arn: String,
        /// How many are too many.
        source: InvalidTags,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored makes no sense: written by a newer program.
    #[error("the stored sampling record {key:?} cannot be read: {detail}")]
    Unreadable {
        /// Its key.
        key: String,
        /// What is wrong.
        detail: String,
    },
}

/// Returns the instant `duration` after another, the last instant if that is out of range.
fn after(instant: Timestamp, duration: Duration) -> Timestamp {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Timestamp::from_nanos(instant.as_nanos().saturating_add(nanos))
}
