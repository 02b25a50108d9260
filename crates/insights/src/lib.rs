//! Insights: when services of a group have more faults than expected, and where that comes from.
//!
//! The secret this crate hides is what is expected, what counts as more, which faults belong together, and
//! what a record of that in the store looks like. It reads the sums of service graphs minute by
//! minute, keeps the state of each watched group and every insight of the last 30 days, and
//! answers from memory; only the graph of an insight is read from the store when it is asked for.
//!
//! Invariants: a minute is evaluated once, after it had time to be complete; the same minutes give the
//! same insights with the same ids, evaluated one by one or at once, and after a restart in between;
//! what is kept of a group is bounded. Whatever was written and lost with the power is found anew from the
//! sums, as far as they reach back for six hours.
//!
//! It must never know how requests arrive or what the wire looks like. Time is a parameter.
//!
//! ```
//! # use std::sync::Arc;
//! # use model::{Tenant, Timestamp};
//! # use storage::{control::memory::MemoryControl, memory::MemoryStore};
//! use insights::{GroupRef, Insights, SummariesQuery};
//!
//! # let control = Arc::new(MemoryControl::default());
//! # let store = MemoryStore::default();
//! # let now = Timestamp::from_secs(1_795_000_000);
//! # let run = async {
//! let insights = Insights::open(control, Tenant(0), now)?;
//! let watched = [GroupRef { number: 0, name: "Default".to_owned(), arn: "arn:..".to_owned() }];
//! // Again and again, twice a minute or so.
//! let changes = insights.advance(&store, &watched, now).await?;
//! assert!(changes.is_empty(), "nothing happened");
//!
//! let query = SummariesQuery { group: 0, state: None, from: now, to: now, after: None, n_max: 100 };
//! assert!(insights.summaries(&query, now)?.insights.is_empty());
//! # Ok::<(), insights::InsightError>(())
//! # };
//! # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
//! # runtime.block_on(run).unwrap();
//! ```
#![warn(missing_docs)]

mod detector;
mod forecast;
mod id;
mod impact_graph;
mod insight;
mod keeper;
mod pairs;
mod reads;
mod records;
mod text;

#[cfg(test)]
mod tests;

use storage::StoreError;

pub use impact_graph::{ImpactGraph, ImpactNode};
pub use insight::{Change, ChangeKind, Event, GroupRef, Impact, Insight, InsightState};
pub use keeper::Insights;
pub use reads::{EventsPage, Position, SummariesPage, SummariesQuery};

/// Why a call tells nothing.
#[derive(Debug, thiserror::Error)]
pub enum InsightError {
    /// The request asks for what cannot be; the text says what to change.
    #[error("{0}")]
    Invalid(String),
    /// There is no insight with this id. On the wire an invalid request: the API has no other error for it.
    #[error("invalid InsightId: there is no insight {id:?}")]
    NotFound {
        /// The id, as it was asked for.
        id: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record could not be written as JSON.
    #[error("writing the record {key:?}")]
    Record {
        /// Its key.
        key: String,
        /// Why.
        source: serde_json::Error,
    },
}
