//! The read face: pages of traces and of summaries.
//!
//! The secret this crate hides is what an answer means: how stored documents become a page, where a
//! page ends and the next one begins, which traces are in a window, why a trace failed or was slow.
//! It reads through [`storage::TraceStore`] and knows nothing of engines, sockets and clocks.
#![warn(missing_docs)]

mod batch;
mod cursor;
mod filter;
mod graph;
mod groups;
mod retrieval;
mod root_cause;
mod summaries;
mod summary_shape;
#[cfg(test)]
mod tests;
mod time_series;

use protocol::token::InvalidToken;
use storage::StoreError;

pub use batch::{BatchOptions, BatchPage, batch_get};
pub use filter::{
    DocumentsRead, Explanation, Filter, FilterError, GroupRef, Narrowing, NodeSelector, Selector,
};
pub use graph::{
    GraphOptions, GroupScope, TracesGraph, graph_of_traces, service_graph, trace_graph,
};
pub use groups::{Classifier, FilterAt, GroupHistory};
pub use retrieval::{Retrieval, RetrievalOptions, Retrievals, retrieved_graph, retrieved_traces};
pub use summaries::{
    ExplainedSummaries, FilterOfGroup, SummariesOptions, explain_summaries, summaries, summaries_of,
};
pub use time_series::{
    EdgeTest, Entity, EntitySelector, ServiceTest, TimeSeriesOptions, time_series,
};

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The request asks for what cannot be given; the text says what to change.
    #[error("{0}")]
    Invalid(String),
    /// What the request names is not there.
    #[error("{message}")]
    NotFound {
        /// What to do about it.
        message: String,
        /// What was named.
        resource: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The work was cut off because the process ends.
    #[error("the query was cut off: {0}")]
    CutOff(String),
}

impl From<FilterError> for QueryError {
    fn from(error: FilterError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<InvalidToken> for QueryError {
    fn from(_: InvalidToken) -> Self {
        Self::Invalid(
            "NextToken is not valid: it is not one this server gave for this request".to_owned(),
        )
    }
}
