//! Root causes of faults, errors and slow answers, as a trace's summary shows them.
//!
//! The three kinds differ only in what an entity of the path says, so one shape carries them all.

use serde::Serialize;

/// A chain of services from the entry point down to the culprit.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RootCause<E> {
    /// The chain; the last one is the root cause. Never empty.
    pub services: Vec<RootCauseService<E>>,
    /// Whether the client felt it.
    pub client_impacting: bool,
}

/// One service of the chain.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RootCauseService<E> {
    /// Its name.
    pub name: String,
    /// Its names: the one.
    pub names: Vec<String>,
    /// Its type; clients read it without asking whether it is there.
    #[serde(rename = "Type")]
    pub service_type: String,
    /// The account it runs in, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The service itself, then the subsegments on the way. Never empty.
    pub entity_path: Vec<E>,
    /// Whether the service is known only from the calls of others.
    pub inferred: bool,
}

/// What went wrong in one entity of a fault's or an error's path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FaultRootCauseEntity {
    /// The entity's name.
    pub name: String,
    /// The exceptions it recorded.
    pub exceptions: Vec<RootCauseException>,
    /// Whether it is a call to another service.
    pub remote: bool,
}

/// One recorded exception.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RootCauseException {
    /// The exception's type; clients read it without asking whether it is there.
    pub name: String,
    /// What it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How much one entity contributed to a slow answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ResponseTimeRootCauseEntity {
    /// The entity's name.
    pub name: String,
    /// Its time as a share of the root's, three decimals.
    pub coverage: f64,
    /// Whether it is a call to another service.
    pub remote: bool,
}

/// An entity of an error's path has the shape of a fault's.
pub type ErrorRootCauseEntity = FaultRootCauseEntity;
/// Why the trace has a fault.
pub type FaultRootCause = RootCause<FaultRootCauseEntity>;
/// Why the trace has an error.
pub type ErrorRootCause = RootCause<ErrorRootCauseEntity>;
/// Why the trace is slow.
pub type ResponseTimeRootCause = RootCause<ResponseTimeRootCauseEntity>;
