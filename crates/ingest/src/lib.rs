//! The write door: every document that comes in, by whatever way, comes in through [`accept`].
//!
//! The secret this crate hides is the verdict: which documents are taken, what those that are not
//! are told, and that a bad document among good ones is data and not an error of the call. It knows
//! nothing of HTTP and of how documents are stored.
#![warn(missing_docs)]

pub mod datagram;
mod excerpt;
#[cfg(test)]
mod tests;
mod verdict;

use std::borrow::Cow;

use model::{DocumentLimits, Segment, Tenant, Timestamp};
use serde_json::value::RawValue;
use storage::{NewDocument, Outcome, StoreError, TraceStore};

pub use excerpt::excerpt;
use verdict::Identity;
pub use verdict::Refusal;

/// What a call may bring (spec: X-Ray API, `PutTraceSegments`; AWS General Reference, X-Ray quotas).
#[derive(Clone, Debug)]
pub struct Limits {
    /// Documents of one call.
    pub n_documents_max: usize,
    /// Bytes of one document.
    pub document_bytes_max: usize,
}

/// What became of the documents of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// How many are durable now, repeats and late copies that changed nothing included.
    pub n_accepted: usize,
    /// The others.
    pub refused: Vec<Refusal>,
}

/// Why a call as a whole was not taken; nothing of it is acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// It brought too many documents.
    #[error("Exceeding maximum segment count: {n_documents_max}")]
    TooManyDocuments {
        /// How many it may bring.
        n_documents_max: usize,
    },
    /// The store failed or has no room.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Judges the documents of a call and stores the good ones; returns when those are durable.
///
/// A document that is a JSON array stands for its elements. Repeating a call is safe: copies that
/// are already there change nothing.
///
/// # Errors
/// [`AcceptError::TooManyDocuments`] before anything is stored; [`AcceptError::Store`] if the store
/// did not acknowledge, in which case any part may be there and the call should be repeated.
pub async fn accept<S: TraceStore>(
    store: &S,
    tenant: Tenant,
    documents: Vec<Cow<'_, str>>,
    limits: &Limits,
    now: Timestamp,
) -> Result<Verdicts, AcceptError> {
    let n_documents_max = limits.n_documents_max;
    if documents.len() > n_documents_max {
        return Err(AcceptError::TooManyDocuments { n_documents_max });
    }
    let mut judged = Judged::new(limits);
    let mut n_bytes = 0;
    for (document_idx, document) in documents.into_iter().enumerate() {
        n_bytes += document.len();
        judged.take(document_idx, document);
        if n_bytes > BYTES_BETWEEN_YIELDS {
            n_bytes = 0;
            tokio::task::yield_now().await;
        }
    }
    let Judged {
        batch,
        identities,
        mut refused,
        ..
    } = judged;
    if batch.is_empty() {
        return Ok(Verdicts {
            n_accepted: 0,
            refused,
        });
    }
    let outcomes = store.put(tenant, batch, now).await?;
    let mut n_accepted = 0;
    for (outcome, identity) in outcomes.into_iter().zip(&identities) {
        match outcome {
            Outcome::Stored | Outcome::Unchanged | Outcome::Superseded => n_accepted += 1,
            Outcome::TraceFull => refused.push(Refusal::trace_full(identity)),
        }
    }
    Ok(Verdicts {
        n_accepted,
        refused,
    })
}

/// Returns how many segments and subsegments these documents stand for: an array stands for its elements.
pub fn n_entities(documents: &[Cow<'_, str>]) -> usize {
    let entities = documents.iter().map(|document| elements(document));
    entities
        .map(|elements| elements.map_or(1, |elements| elements.len()))
        .sum()
}

/// Documents sorted into good and bad.
struct Judged {
    limits: DocumentLimits,
    batch: Vec<NewDocument>,
    /// One for each of the batch.
    identities: Vec<Identity>,
    refused: Vec<Refusal>,
}

impl Judged {
    fn new(limits: &Limits) -> Self {
        let limits = DocumentLimits {
            document_bytes_max: limits.document_bytes_max,
        };
        Self {
            limits,
            batch: Vec::new(),
            identities: Vec::new(),
            refused: Vec::new(),
        }
    }

    fn take(&mut self, document_idx: usize, document: Cow<'_, str>) {
        let Some(elements) = elements(&document) else {
            return self.take_one(document_idx, document);
        };
        for element in elements {
            self.take_one(document_idx, Cow::Borrowed(element.get()));
        }
    }

    fn take_one(&mut self, document_idx: usize, document: Cow<'_, str>) {
        let parsed = Segment::parse(&document, &self.limits);
        let parsed = parsed.map(|segment| (segment.trace_id(), segment.head()));
        match parsed {
            Ok((trace_id, head)) => {
                let document = NewDocument {
                    trace_id,
                    head,
                    text: document.into_owned(),
                };
                self.identities.push(Identity::of(document_idx, &document));
                self.batch.push(document);
            }
            Err(invalid) => self
                .refused
                .push(Refusal::of(document_idx, &document, invalid)),
        }
    }
}

/// Returns the elements of a document that is a JSON array of some; an empty one is a bad document.
fn elements(document: &str) -> Option<Vec<&RawValue>> {
    if !document.trim_start().starts_with('[') {
        return None;
    }
    let elements: Vec<&RawValue> = serde_json::from_str(document).ok()?;
    (!elements.is_empty()).then_some(elements)
}

/// About how much is judged in half a millisecond, after which other tasks get their turn.
const BYTES_BETWEEN_YIELDS: usize = 64 << 10;
