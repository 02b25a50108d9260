//! The one way in: whatever door documents come in through, they end in [`accept`], [`accept_admitted`] or
//! [`accept_each`].
//!
//! 1. The account's rate comes first, once for all that came together however it is taken in; then `ingest` judges and
//!    the store makes durable.
//! 2. What was accepted and refused is counted by door, and kept with the traffic that is recorded; what was refused is
//!    logged and remembered.

pub(crate) mod rates;

use std::borrow::Cow;

use ingest::{AcceptError, Limits, Refusal, Verdicts};
use model::TraceId;
use otlp::{RejectedSpan, RejectionCode};
use protocol::ApiError;
use storage::StoreError;
use tracing::warn;

use crate::app::App;
use crate::clock;
use crate::handlers::store_error;
use crate::house::House;
use crate::origin::Origin;
use crate::record;
use crate::refused::{self, Refused};
use rates::{Allowed, RateError, seconds};

/// Why documents were not taken, none of them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntakeError {
    /// The account sends more than it may.
    #[error(transparent)]
    Rate(#[from] RateError),
    /// They are too many, or the store did not take them.
    #[error(transparent)]
    Accept(#[from] AcceptError),
}

impl IntakeError {
    /// Tells whether fewer of these documents might be taken.
    pub(crate) const fn is_of_size(&self) -> bool {
        match self {
            Self::Accept(
                AcceptError::TooManyDocuments { .. }
                | AcceptError::Store(StoreError::TooLarge { .. }),
            ) => true,
            Self::Rate(_) | Self::Accept(AcceptError::Store(_)) => false,
        }
    }
}

/// The one place that says what a sender is told.
impl From<IntakeError> for ApiError {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Rate(RateError { retry_after, .. }) => {
                let secs = u32::try_from(seconds(retry_after)).unwrap_or(u32::MAX);
                Self::throttled(error.to_string()).with_retry_after(secs)
            }
            IntakeError::Accept(AcceptError::TooManyDocuments { .. }) => {
                Self::invalid_request(error.to_string())
            }
            IntakeError::Accept(AcceptError::Store(error)) => store_error(&error),
        }
    }
}

/// Takes the documents of one call; returns when the good ones are durable.
///
/// # Errors
/// What the sender of the call is told if none was taken; it is counted and remembered already.
pub(crate) async fn accept(
    app: &App,
    origin: Origin,
    documents: Vec<Cow<'_, str>>,
    limits: &Limits,
) -> Result<Verdicts, ApiError> {
    let n_documents = documents.len();
    // Too many documents cost no part of the rate: they are refused below, whatever it says.
    if n_documents <= limits.n_documents_max {
        let admitted = admit(app, &documents).await;
        admitted.map_err(|error| refuse_all(app, origin, n_documents, error.into()))?;
    }
    accept_admitted(app, origin, documents, limits).await
}

/// Waits until the account may send these documents.
///
/// # Errors
/// Says when it may.
pub(crate) async fn admit(app: &App, documents: &[Cow<'_, str>]) -> Result<(), RateError> {
    if app.config().limits.segments_per_second == 0 {
        return Ok(());
    }
    admit_segments(app, ingest::n_entities(documents)).await
}

/// Waits until the account may send so many segments.
///
/// # Errors
/// Says when it may.
pub(crate) async fn admit_segments(app: &App, n_segments: usize) -> Result<(), RateError> {
    let config = app.config();
    let Some(allowed) = Allowed::of(&config) else {
        return Ok(());
    };
    let wait_max = config.storage.queue_wait.0;
    let rates = &app.house.rates;
    rates.wait(app.tenant, allowed, n_segments, wait_max).await
}

/// Takes documents of one call that were admitted; returns when the good ones are durable.
///
/// # Errors
/// What the sender of the call is told if none was taken; it is counted and remembered already.
pub(crate) async fn accept_admitted(
    app: &App,
    origin: Origin,
    documents: Vec<Cow<'_, str>>,
    limits: &Limits,
) -> Result<Verdicts, ApiError> {
    let n_documents = documents.len();
    let taken = take(app, Senders::One(origin), documents, limits).await;
    taken.map_err(|error| refuse_all(app, origin, n_documents, error.into()))
}

/// Takes documents that were collected and admitted, each from the origin with its number; returns when the good ones
/// are durable.
///
/// # Errors
/// Why none was taken. The caller tries again or gives up with [`refuse_all`].
pub(crate) async fn accept_each(
    app: &App,
    origins: &[Origin],
    documents: Vec<Cow<'_, str>>,
    limits: &Limits,
) -> Result<Verdicts, IntakeError> {
    Ok(take(app, Senders::Each(origins), documents, limits).await?)
}

/// Counts and remembers documents that are not taken, and returns what their sender is told.
pub(crate) fn refuse_all(
    app: &App,
    origin: Origin,
    n_documents: usize,
    error: IntakeError,
) -> ApiError {
    let error = ApiError::from(error);
    let code = error.code();
    let metrics = &app.house.metrics;
    metrics.documents_refused(origin.doorway, code, n_documents);
    let refused = Refused {
        time: clock::now(),
        origin,
        code,
        message: error.message().to_owned(),
        segment_id: None,
        trace_id: None,
        n_documents,
        excerpt: String::new(),
    };
    refused::record(&app.house, Some(app), refused);
    error
}

/// Counts and remembers a call that brought documents nobody looked at: it was not let in, or could not be read. Returns why.
pub(crate) fn refuse_call(
    house: &House,
    app: Option<&App>,
    origin: Origin,
    error: ApiError,
    body: &[u8],
) -> ApiError {
    let beginning = body.get(..EXCERPT_BYTES).unwrap_or(body);
    let refused = Refused {
        time: clock::now(),
        origin,
        code: error.code(),
        message: error.message().to_owned(),
        segment_id: None,
        trace_id: None,
        n_documents: 0,
        excerpt: ingest::excerpt(&String::from_utf8_lossy(beginning)),
    };
    refused::record(house, app, refused);
    error
}

/// Counts and remembers spans that have no documents.
pub(crate) fn refuse_spans(app: &App, origin: Origin, rejected: &[RejectedSpan]) {
    let time = clock::now();
    for span in rejected {
        let code = code_of(span.code);
        let metrics = &app.house.metrics;
        metrics.documents_refused(origin.doorway, code, 1);
        record::tally(|tallies| tallies.refused(origin.nth, Some(&span.span_id), code));
        let refused = Refused {
            time,
            origin,
            code,
            message: span.message.clone(),
            segment_id: Some(span.span_id.clone()).filter(|id| !id.is_empty()),
            trace_id: TraceId::parse_any(&span.trace_id).ok(),
            n_documents: 1,
            excerpt: String::new(),
        };
        refused::record(&app.house, Some(app), refused);
    }
}

/// Returns the word for why a span is rejected.
const fn code_of(code: RejectionCode) -> &'static str {
    match code {
        RejectionCode::TraceId => "InvalidTraceId",
        RejectionCode::SpanId => "InvalidSpanId",
        RejectionCode::ParentSpanId => "InvalidParentSpanId",
        RejectionCode::SpanTooLarge => "SpanTooLarge",
        RejectionCode::ResourceTooLarge => "ResourceTooLarge",
        RejectionCode::TooFarAhead => "SpanTooFarAhead",
        RejectionCode::TooOld => "SpanTooOld",
        RejectionCode::DocumentsTooLarge => "DocumentsTooLarge",
        RejectionCode::Unwritable => "UnwritableSpan",
    }
}

/// More than an excerpt shows of any document.
const EXCERPT_BYTES: usize = 512;

/// Who sent the documents.
#[derive(Clone, Copy)]
enum Senders<'o> {
    One(Origin),
    Each(&'o [Origin]),
}

impl Senders<'_> {
    fn of(self, document_idx: usize) -> Option<Origin> {
        match self {
            Self::One(origin) => Some(origin),
            Self::Each(origins) => origins.get(document_idx).copied(),
        }
    }
}

async fn take(
    app: &App,
    senders: Senders<'_>,
    documents: Vec<Cow<'_, str>>,
    limits: &Limits,
) -> Result<Verdicts, AcceptError> {
    let n_documents = documents.len();
    let store = &*app.house.store;
    let verdicts = ingest::accept(store, app.tenant, documents, limits, clock::now()).await?;
    if let Some(first) = senders.of(0) {
        let metrics = &app.house.metrics;
        metrics.documents_accepted(first.doorway, verdicts.n_accepted);
    }
    record::tally(|tallies| match senders {
        Senders::One(origin) => tallies.accepted(origin.nth, verdicts.n_accepted),
        Senders::Each(origins) => tallies.accepted_each(origins, &verdicts.refused, n_documents),
    });
    tell_of_refusals(app, senders, &verdicts.refused);
    Ok(verdicts)
}

/// Counts and remembers refused documents and logs the first: senders often drop the answer unread.
fn tell_of_refusals(app: &App, senders: Senders<'_>, refused: &[Refusal]) {
    let mut is_first = true;
    let time = clock::now();
    for refusal in refused {
        let Some(origin) = senders.of(refusal.document_idx) else {
            continue;
        };
        if is_first {
            log(origin, refused.len(), refusal);
            is_first = false;
        }
        let metrics = &app.house.metrics;
        metrics.documents_refused(origin.doorway, refusal.code, 1);
        record::tally(|tallies| tallies.refused(origin.nth, refusal.id.as_deref(), refusal.code));
        let refused = Refused {
            time,
            origin,
            code: refusal.code,
            message: refusal.message.clone(),
            segment_id: refusal.id.clone(),
            trace_id: refusal.trace_id,
            n_documents: 1,
            excerpt: refusal.excerpt.clone(),
        };
        refused::record(&app.house, Some(app), refused);
    }
}

fn log(origin: Origin, n_refused: usize, first: &Refusal) {
    let segment_id = first.id.as_deref().unwrap_or_default();
    warn!(
        n_refused,
        door = origin.doorway.name(),
        peer = %origin.peer,
        segment_id,
        code = first.code,
        cause = first.message,
        "documents were refused"
    );
}
