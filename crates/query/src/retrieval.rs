//! Trace retrieval: traces named once and then fetched page by page (spec: X-Ray API,
//! `StartTraceRetrieval` and the three operations that go with it).
//!
//! The original copies spans out of a log store, which takes time. Here the traces are at hand: a
//! retrieval is complete as soon as it is started, and its pages show the traces as they are when asked
//! for. It is over after an hour, as there, and its record is removed a day later.

mod spans;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{Tenant, Timestamp, TraceId};
use protocol::shapes::{
    GetRetrievedTracesGraphRequest, GetRetrievedTracesGraphResponse, ListRetrievedTracesRequest,
    ListRetrievedTracesResponse, RetrievalStatus, RetrievedTrace, StartTraceRetrievalRequest,
    TraceFormat, WireSeconds,
};
use protocol::token::{self, Kind, TokenKey};
use serde::{Deserialize, Serialize};
use storage::{ControlKind, ControlRecord, ControlStore, TraceStore};

use crate::cursor::RetrievalCursor;
use crate::graph::Chain;
use crate::{GraphOptions, QueryError, TracesGraph, graph_of_traces};
use spans::{span_of, spans_of};

/// The retrievals of a tenant.
pub struct Retrievals {
    store: Arc<dyn ControlStore>,
    tenant: Tenant,
    started: Mutex<BTreeMap<String, Retrieval>>,
}

/// What was asked for, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retrieval {
    v: u8,
    /// The traces, in the order they were named, each once.
    trace_ids: Vec<String>,
    from: Timestamp,
    to: Timestamp,
    started: Timestamp,
    cancelled: bool,
}

impl Retrievals {
    /// Reads the retrievals of a tenant.
    ///
    /// # Errors
    /// [`QueryError::Store`] if they cannot be read.
    pub fn open(
        store: Arc<dyn ControlStore>,
        tenant: Tenant,
        now: Timestamp,
    ) -> Result<Self, QueryError> {
        let mut started = BTreeMap::new();
        for record in store.load(tenant, ControlKind::Retrieval)? {
            match serde_json::from_slice::<Retrieval>(&record.value) {
                Ok(retrieval) if !retrieval.is_forgotten(now) => {
                    started.insert(record.key, retrieval);
                }
                // What cannot be read is of no use to anyone: the client starts another one.
                Ok(_) | Err(_) => store.remove(tenant, ControlKind::Retrieval, &record.key)?,
            }
        }
        Ok(Self {
            store,
            tenant,
            started: Mutex::new(started),
        })
    }

    /// Starts a retrieval under a token, which must be unique and hard to guess. Blocks until it is
    /// on disk.
    ///
    /// # Errors
    /// [`QueryError::Invalid`] for an id that is none and for a window that ends before it starts,
    /// [`QueryError::Store`].
    pub fn start(
        &self,
        request: &StartTraceRetrievalRequest,
        token: &str,
        now: Timestamp,
    ) -> Result<(), QueryError> {
        let mut trace_ids: Vec<String> = Vec::with_capacity(request.trace_ids.len());
        for text in &request.trace_ids {
            let trace_id = TraceId::parse_any(text)
                .map_err(|invalid| QueryError::Invalid(format!("{text:?}: {invalid}")))?;
            let trace_id = trace_id.to_string();
            if !trace_ids.contains(&trace_id) {
                trace_ids.push(trace_id);
            }
        }
        let retrieval = Retrieval {
            v: 1,
            trace_ids,
            from: request.start_time,
            to: request.end_time,
            started: now,
            cancelled: false,
        };
        self.forget(now)?;
        self.keep(token, retrieval)
    }

    /// Calls a retrieval off; one that is over stays as it is. Blocks until that is on disk.
    ///
    /// # Errors
    /// [`QueryError::NotFound`], [`QueryError::Store`].
    pub fn cancel(&self, token: &str, now: Timestamp) -> Result<(), QueryError> {
        let retrieval = self.find(token, now)?;
        if retrieval.status(now) != RetrievalStatus::Complete {
            return Ok(());
        }
        let cancelled = Retrieval {
            cancelled: true,
            ..retrieval
        };
        self.keep(token, cancelled)
    }

    /// Returns a retrieval.
    ///
    /// # Errors
    /// [`QueryError::NotFound`].
    pub fn find(&self, token: &str, now: Timestamp) -> Result<Retrieval, QueryError> {
        let found = self.lock().get(token).cloned();
        found
            .filter(|retrieval| !retrieval.is_forgotten(now))
            .ok_or_else(|| QueryError::NotFound {
                message:
                    "there is no retrieval with this token; start one with StartTraceRetrieval"
                        .to_owned(),
                resource: token.to_owned(),
            })
    }

    /// Writes a retrieval, then lets it be seen.
    fn keep(&self, token: &str, retrieval: Retrieval) -> Result<(), QueryError> {
        let value = serde_json::to_vec(&retrieval)
            .map_err(|error| QueryError::CutOff(error.to_string()))?;
        let record = ControlRecord {
            key: token.to_owned(),
            value,
        };
        self.store
            .put(self.tenant, ControlKind::Retrieval, &record)?;
        self.lock().insert(token.to_owned(), retrieval);
        Ok(())
    }

    /// Removes what nobody asks for any more, and refuses to keep more than there may be.
    fn forget(&self, now: Timestamp) -> Result<(), QueryError> {
        let (forgotten, n_left) = {
            let started = self.lock();
            // With many of them, those that are over go first.
            let is_crowded = started.len() >= RETRIEVALS_MAX;
            let is_over = |found: &Retrieval| found.status(now) != RetrievalStatus::Complete;
            let goes =
                |found: &Retrieval| found.is_forgotten(now) || (is_crowded && is_over(found));
            let forgotten = started.iter().filter(|(_, found)| goes(found));
            let forgotten: Vec<String> = forgotten.map(|(token, _)| token.clone()).collect();
            let n_left = started.len() - forgotten.len();
            (forgotten, n_left)
        };
        for token in forgotten {
            self.store
                .remove(self.tenant, ControlKind::Retrieval, &token)?;
            self.lock().remove(&token);
        }
        if n_left < RETRIEVALS_MAX {
            return Ok(());
        }
        let text = format!("{RETRIEVALS_MAX} retrievals are not over; cancel some of them");
        Err(QueryError::Invalid(text))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Retrieval>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Retrieval {
    /// Returns how far the retrieval is.
    pub fn status(&self, now: Timestamp) -> RetrievalStatus {
        if self.cancelled {
            RetrievalStatus::Cancelled
        } else if now.since(self.started) > LIFETIME {
            RetrievalStatus::Timeout
        } else {
            RetrievalStatus::Complete
        }
    }

    /// Returns the traces, in the order they were named.
    pub fn trace_ids(&self) -> impl Iterator<Item = TraceId> + '_ {
        self.trace_ids
            .iter()
            .filter_map(|text| TraceId::parse(text).ok())
    }

    /// Tells whether a trace was active in the window that was asked for, its last instant included.
    pub fn covers(&self, start: Timestamp, end: Timestamp) -> bool {
        start <= self.to && end >= self.from
    }

    fn is_forgotten(&self, now: Timestamp) -> bool {
        now.since(self.started) > REMEMBERED
    }
}

/// How pages of a retrieval are made.
#[derive(Clone)]
pub struct RetrievalOptions {
    /// Bytes of documents after which a page ends. A page has at least one document, however large.
    pub page_bytes: usize,
    /// Key of page tokens.
    pub token_key: TokenKey,
}

/// Returns a page of the traces of a retrieval; none unless it is complete. Traces that are not known or lie
/// outside its window are left out. A trace with more documents than a page holds goes on on the next.
///
/// # Errors
/// [`QueryError::NotFound`] for a token that is none, [`QueryError::Invalid`] for a page token of another
/// request, [`QueryError::Store`].
pub async fn retrieved_traces<S: TraceStore>(
    store: &S,
    tenant: Tenant,
    retrievals: &Retrievals,
    request: &ListRetrievedTracesRequest,
    options: &RetrievalOptions,
    now: Timestamp,
) -> Result<ListRetrievedTracesResponse, QueryError> {
    let retrieval = retrievals.find(&request.retrieval_token, now)?;
    let format = request.trace_format.unwrap_or(TraceFormat::XRay);
    let fingerprint = fingerprint(tenant, request, format);
    let cursor = match &request.next_token {
        Some(text) => RetrievalCursor::parse(&token::open(
            &options.token_key,
            Kind::ListRetrievedTraces,
            &fingerprint,
            text,
        )?)?,
        None => RetrievalCursor::default(),
    };
    let status = retrieval.status(now);
    let mut page = Page {
        traces: Vec::new(),
        n_bytes: 0,
        next: None,
    };
    if status == RetrievalStatus::Complete {
        page.fill(store, tenant, &retrieval, format, cursor, options)
            .await?;
    }
    let next_token = page.next.map(|next| {
        token::seal(
            &options.token_key,
            Kind::ListRetrievedTraces,
            &fingerprint,
            &next.to_bytes(),
        )
    });
    Ok(ListRetrievedTracesResponse {
        retrieval_status: status,
        trace_format: format,
        traces: page.traces,
        next_token,
    })
}

/// Returns a page of the graph of a retrieval's traces; none unless it is complete. The graph is of the
/// traces that are in its window, whole.
///
/// # Errors
/// As [`retrieved_traces`].
pub async fn retrieved_graph<S: TraceStore>(
    store: &S,
    tenant: Tenant,
    retrievals: &Retrievals,
    request: &GetRetrievedTracesGraphRequest,
    options: &GraphOptions,
    now: Timestamp,
) -> Result<GetRetrievedTracesGraphResponse, QueryError> {
    let retrieval = retrievals.find(&request.retrieval_token, now)?;
    let mut fingerprint = tenant.0.to_be_bytes().to_vec();
    fingerprint.extend(request.retrieval_token.as_bytes());
    let chain = Chain {
        key: &options.token_key,
        kind: Kind::GetRetrievedTracesGraph,
        fingerprint,
    };
    let after = chain.open(request.next_token.as_deref())?;
    let retrieval_status = retrieval.status(now);
    let mut graph = TracesGraph::default();
    if retrieval_status == RetrievalStatus::Complete {
        let mut trace_ids = BTreeSet::new();
        for trace_id in retrieval.trace_ids() {
            let stored = store.documents(tenant, trace_id).await?;
            let span = off_worker(move || span_of(&stored.documents)).await?;
            let is_covered = span.is_some_and(|(start, end)| retrieval.covers(start, end));
            trace_ids.extend(is_covered.then_some(trace_id));
        }
        graph = graph_of_traces(store, tenant, &trace_ids, after, options).await?;
    }
    Ok(GetRetrievedTracesGraphResponse {
        retrieval_status,
        services: graph.services,
        next_token: graph.next.map(|next| chain.seal(next)),
    })
}

struct Page {
    traces: Vec<RetrievedTrace>,
    n_bytes: usize,
    next: Option<RetrievalCursor>,
}

impl Page {
    async fn fill<S: TraceStore>(
        &mut self,
        store: &S,
        tenant: Tenant,
        retrieval: &Retrieval,
        format: TraceFormat,
        cursor: RetrievalCursor,
        options: &RetrievalOptions,
    ) -> Result<(), QueryError> {
        for (trace_idx, trace_id) in (0..).zip(retrieval.trace_ids()) {
            if trace_idx < cursor.trace_idx {
                continue;
            }
            let n_skipped = if trace_idx == cursor.trace_idx {
                cursor.n_spans
            } else {
                0
            };
            if self.traces.len() == TRACES_PER_PAGE || self.n_bytes >= options.page_bytes {
                self.next = Some(RetrievalCursor {
                    trace_idx,
                    n_spans: n_skipped,
                });
                return Ok(());
            }
            let stored = store.documents(tenant, trace_id).await?;
            let spans = move || spans_of(trace_id, &stored.documents, format);
            let Some(retrieved) = off_worker(spans).await? else {
                continue;
            };
            if !retrieval.covers(retrieved.start, retrieved.end) {
                continue;
            }
            let mut spans = Vec::new();
            let skipped = usize::try_from(n_skipped).unwrap_or(usize::MAX);
            let left = retrieved.spans.into_iter().skip(skipped);
            for (n_spans, span) in (n_skipped..).zip(left) {
                let is_full = spans.len() == SPANS_PER_TRACE
                    || (self.n_bytes > 0
                        && self.n_bytes + span.document.len() > options.page_bytes);
                if is_full {
                    self.next = Some(RetrievalCursor { trace_idx, n_spans });
                    break;
                }
                self.n_bytes += span.document.len();
                spans.push(span);
            }
            if !spans.is_empty() {
                self.traces.push(RetrievedTrace {
                    id: trace_id.to_string(),
                    duration: retrieved.duration.map(WireSeconds),
                    spans,
                });
            }
            if self.next.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Runs what takes long for a large trace where it keeps nobody waiting.
async fn off_worker<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, QueryError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| QueryError::CutOff(error.to_string()))
}

fn fingerprint(
    tenant: Tenant,
    request: &ListRetrievedTracesRequest,
    format: TraceFormat,
) -> Vec<u8> {
    let mut fingerprint = tenant.0.to_be_bytes().to_vec();
    fingerprint.push(match format {
        TraceFormat::XRay => 0,
        TraceFormat::Otel => 1,
    });
    fingerprint.extend(request.retrieval_token.as_bytes());
    fingerprint
}

/// A retrieval is over after so long (spec: 60 minutes).
const LIFETIME: Duration = Duration::from_hours(1);
/// Its client is told so for a day.
const REMEMBERED: Duration = Duration::from_hours(24);
const RETRIEVALS_MAX: usize = 10_000;
/// Bounds of the model.
const TRACES_PER_PAGE: usize = 5;
const SPANS_PER_TRACE: usize = 100;
