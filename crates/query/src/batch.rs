//! `BatchGetTraces`: pages of compiled traces, made trace by trace and streamed as they are made.
//!
//! Segments of a trace come in the order of their ids, which does not change when more arrive, and a
//! chain of pages shows the documents that had arrived when the first page was asked for. So pages
//! put together are the whole, also while the trace grows. Memory is one trace and what of the page
//! is not sent yet, whatever the client asks for.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use model::{Orphans, SegmentId, Tenant, Trace, TraceId};
use protocol::shapes::BatchGetTracesRequest;
use protocol::shapes::batch::BatchWriter;
use protocol::token::{self, Kind, TokenKey};
use storage::{StoredTrace, TraceStore};

use crate::QueryError;
use crate::cursor::BatchCursor;

/// How pages are made.
#[derive(Clone)]
pub struct BatchOptions {
    /// Ids a request may name.
    pub n_trace_ids_max: usize,
    /// Bytes after which a page ends. A page has at least one segment, however large.
    pub page_bytes: usize,
    /// What becomes of subsegments whose segment never came.
    pub orphans: Orphans,
    /// Bytes of documents over which a trace counts as having hit its limit; 0 for no limit.
    pub trace_bytes_max: u64,
    /// Key of page tokens.
    pub token_key: TokenKey,
}

/// One page on its way out.
pub struct BatchPage<S> {
    store: Arc<S>,
    tenant: Tenant,
    options: BatchOptions,
    fingerprint: Vec<u8>,
    traces: VecDeque<(u32, TraceId)>,
    cursor: BatchCursor,
    /// What is made and not sent yet.
    made: VecDeque<Bytes>,
    progress: Progress,
}

/// How far a page has come.
struct Progress {
    writer: BatchWriter,
    n_bytes: usize,
    n_segments: usize,
    unprocessed: Vec<String>,
    /// Where the next page begins, once this one is full.
    next: Option<BatchCursor>,
    is_finished: bool,
}

/// Begins a page of the traces a request names.
///
/// Traces that are not known are left out. Ids that are none, and ids of traces some records of
/// which are damaged, are listed as unprocessed.
///
/// # Errors
/// [`QueryError::Invalid`] for too many ids and for a token that is not of this request.
pub fn batch_get<S: TraceStore>(
    store: Arc<S>,
    tenant: Tenant,
    request: &BatchGetTracesRequest,
    options: BatchOptions,
) -> Result<BatchPage<S>, QueryError> {
    if request.trace_ids.len() > options.n_trace_ids_max {
        return Err(QueryError::Invalid(format!(
            "Exceeding maximum query size: {}",
            options.n_trace_ids_max
        )));
    }
    let fingerprint = fingerprint(tenant, &request.trace_ids);
    let cursor = match &request.next_token {
        Some(text) => BatchCursor::parse(&token::open(
            &options.token_key,
            Kind::BatchGetTraces,
            &fingerprint,
            text,
        )?)?,
        None => BatchCursor {
            as_of: store.newest_stamp(),
            trace_idx: 0,
            after: None,
        },
    };
    let mut unprocessed = Vec::new();
    let mut seen = HashSet::new();
    let mut traces = VecDeque::new();
    for (trace_idx, text) in (0..).zip(&request.trace_ids) {
        match TraceId::parse_any(text) {
            Ok(trace_id) if trace_idx >= cursor.trace_idx && seen.insert(trace_id) => {
                traces.push_back((trace_idx, trace_id));
            }
            Ok(trace_id) => drop(seen.insert(trace_id)),
            Err(_) if cursor.trace_idx == 0 && cursor.after.is_none() => {
                unprocessed.push(text.clone());
            }
            Err(_) => {}
        }
    }
    let progress = Progress {
        writer: BatchWriter::open(),
        n_bytes: 0,
        n_segments: 0,
        unprocessed,
        next: None,
        is_finished: false,
    };
    let made = VecDeque::new();
    Ok(BatchPage {
        store,
        tenant,
        options,
        fingerprint,
        traces,
        cursor,
        made,
        progress,
    })
}

impl<S: TraceStore> BatchPage<S> {
    /// Returns how many bytes are made and wait to be asked for.
    pub fn n_bytes_made(&self) -> usize {
        self.made.iter().map(Bytes::len).sum()
    }

    /// Returns how many bytes of documents may be made at most when nothing waits and the next piece is asked for. A single
    /// segment may be larger.
    pub const fn n_bytes_unmade(&self) -> usize {
        self.options
            .page_bytes
            .saturating_sub(self.progress.n_bytes)
    }

    /// Returns the next piece of the response's JSON, nothing after the last.
    ///
    /// # Errors
    /// [`QueryError::Store`] if a trace cannot be read; the response is then cut short and the
    /// connection must not end as if it were whole.
    pub async fn next(&mut self) -> Result<Option<Bytes>, QueryError> {
        loop {
            if let Some(chunk) = self.made.pop_front() {
                return Ok(Some(chunk));
            }
            if self.progress.is_finished {
                return Ok(None);
            }
            match self.traces.pop_front() {
                Some((trace_idx, trace_id)) if self.progress.next.is_none() => {
                    self.trace(trace_idx, trace_id).await?;
                }
                _ => self.finish(),
            }
        }
    }

    /// Makes what of one trace fits on the page.
    async fn trace(&mut self, trace_idx: u32, trace_id: TraceId) -> Result<(), QueryError> {
        let mut stored = self.store.documents(self.tenant, trace_id).await?;
        if stored.n_damaged > 0 {
            self.progress.unprocessed.push(trace_id.to_string());
        }
        stored
            .documents
            .retain(|document| document.first_stamp <= self.cursor.as_of);
        if stored.documents.is_empty() {
            return Ok(());
        }
        let resumes = trace_idx == self.cursor.trace_idx;
        let part = Part {
            trace_idx,
            trace_id,
            after: self.cursor.after.filter(|_| resumes),
            as_of: self.cursor.as_of,
            orphans: self.options.orphans,
            page_bytes: self.options.page_bytes,
            limit_exceeded: self.options.trace_bytes_max > 0
                && stored.bytes > self.options.trace_bytes_max,
        };
        let progress = std::mem::take(&mut self.progress);
        let (progress, made) = if stored.bytes > INLINE_COMPILE_BYTES {
            let compiling = tokio::task::spawn_blocking(move || part.write(&stored, progress));
            compiling
                .await
                .map_err(|error| QueryError::CutOff(error.to_string()))?
        } else {
            part.write(&stored, progress)
        };
        self.progress = progress;
        self.made.extend(made);
        Ok(())
    }

    fn finish(&mut self) {
        let progress = &mut self.progress;
        let next = progress.next.map(|cursor| {
            let key = &self.options.token_key;
            token::seal(
                key,
                Kind::BatchGetTraces,
                &self.fingerprint,
                &cursor.to_bytes(),
            )
        });
        progress
            .writer
            .finish(&progress.unprocessed, next.as_deref());
        progress.is_finished = true;
        self.made.push_back(progress.writer.take().into());
    }
}

/// What making a part of a trace needs to know.
struct Part {
    trace_idx: u32,
    trace_id: TraceId,
    after: Option<SegmentId>,
    as_of: u64,
    orphans: Orphans,
    page_bytes: usize,
    limit_exceeded: bool,
}

impl Part {
    /// Compiles the trace and writes its segments until the page is full; returns the pieces made.
    fn write(&self, stored: &StoredTrace, mut progress: Progress) -> (Progress, Vec<Bytes>) {
        let trace = Trace::compile(self.trace_id, &stored.documents, self.orphans);
        let mut made = Vec::new();
        let mut document = String::new();
        let mut last = self.after;
        let mut is_begun = false;
        let rest = trace
            .segments
            .iter()
            .filter(|segment| self.after.is_none_or(|after| segment.id() > after));
        for segment in rest {
            document.clear();
            segment.write_document(&mut document);
            let is_full = progress.n_bytes + document.len() > self.page_bytes;
            // Entries that share an id (clients' doing) stay on one page, since a page ends after an id.
            if is_full && progress.n_segments > 0 && last != Some(segment.id()) {
                let (as_of, trace_idx) = (self.as_of, self.trace_idx);
                progress.next = Some(BatchCursor {
                    as_of,
                    trace_idx,
                    after: last,
                });
                break;
            }
            if !is_begun {
                self.begin(&trace, &mut progress);
                is_begun = true;
            }
            progress
                .writer
                .segment(&segment.id().to_string(), &document);
            progress.n_bytes += document.len();
            progress.n_segments += 1;
            last = Some(segment.id());
            if progress.writer.len() >= CHUNK_BYTES {
                made.push(progress.writer.take().into());
            }
        }
        let is_empty = trace.segments.is_empty() && self.after.is_none();
        if is_empty {
            self.begin(&trace, &mut progress);
        }
        if is_begun || is_empty {
            progress.writer.trace_end();
        }
        (progress, made)
    }

    fn begin(&self, trace: &Trace<'_>, progress: &mut Progress) {
        let id = self.trace_id.to_string();
        progress
            .writer
            .trace_start(&id, trace.duration, self.limit_exceeded);
    }
}

impl Default for Progress {
    /// Stands in while the real one is elsewhere.
    fn default() -> Self {
        Self {
            writer: BatchWriter::default(),
            n_bytes: 0,
            n_segments: 0,
            unprocessed: Vec::new(),
            next: None,
            is_finished: true,
        }
    }
}

/// What a token of this request is bound to.
fn fingerprint(tenant: Tenant, trace_ids: &[String]) -> Vec<u8> {
    let mut fingerprint = tenant.0.to_be_bytes().to_vec();
    for trace_id in trace_ids {
        fingerprint.extend(trace_id.as_bytes());
        fingerprint.push(0);
    }
    fingerprint
}

/// Pieces handed to the connection are about this large.
const CHUNK_BYTES: usize = 64 << 10;
/// Traces up to this size are compiled on the caller's thread: about half a millisecond of work.
const INLINE_COMPILE_BYTES: u64 = 64 << 10;
