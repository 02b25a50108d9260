//! `GetTraceSummaries`: which traces are in a window, newest first, page by page.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use model::{Document, Summary, SummaryFlags, Tenant, TraceId, ZoneFacts};
use protocol::shapes::{
    GetTraceSummariesRequest, GetTraceSummariesResponse, TimeRangeType, TraceSummary, WireTime,
};
use protocol::token::{self, Kind, TokenKey};
use storage::{Judgement, Scan, ScanEffort, ScanPage, TraceFilter, TraceStore, Window, WindowBy};
use xxhash_rust::xxh3::xxh3_64;

use crate::cursor::SummariesCursor;
use crate::root_cause::RootCauses;
use crate::summary_shape::shape;
use crate::{Explanation, Filter, GroupRef, QueryError};

/// How pages are made.
#[derive(Clone)]
pub struct SummariesOptions {
    /// Summaries on a page.
    pub n_summaries_max: usize,
    /// What looking at traces for a page may cost, see [`Scan::n_scanned_max`]; a page that reaches this may be
    /// short or empty.
    pub n_scanned_max: u64,
    /// Traces whose root took at least this long get response time root causes.
    pub slow_trace: Duration,
    /// The filter expressions of groups, to which filters may refer.
    pub groups: FilterOfGroup,
    /// Key of page tokens.
    pub token_key: TokenKey,
}

/// Returns the filter expression of a group, nothing if there is no such group.
pub type FilterOfGroup = Arc<dyn Fn(GroupRef<'_>) -> Option<String> + Send + Sync>;

/// Returns one page of the traces of a window.
///
/// A chain of pages shows each trace that had arrived when the first page was asked for, newest start
/// first. The sampling strategy may change between pages of a chain; everything else may not.
///
/// # Errors
/// [`QueryError::Invalid`] for a window that ends before it starts, for a filter expression that is not
/// understood, and for a token that is not of this request.
pub async fn summaries<S: TraceStore>(
    store: &S,
    tenant: Tenant,
    request: &GetTraceSummariesRequest,
    options: &SummariesOptions,
) -> Result<GetTraceSummariesResponse, QueryError> {
    check(request)?;
    let filter = filter(request, options)?;
    let fingerprint = fingerprint(tenant, request);
    let cursor = match &request.next_token {
        Some(text) => Some(SummariesCursor::parse(&token::open(
            &options.token_key,
            Kind::GetTraceSummaries,
            &fingerprint,
            text,
        )?)?),
        None => None,
    };
    let page = store
        .summaries(tenant, scan(request, options, filter, cursor))
        .await?;
    let next_token = page.next.map(|after| {
        let cursor = SummariesCursor {
            as_of: page.as_of,
            after,
        };
        token::seal(
            &options.token_key,
            Kind::GetTraceSummaries,
            &fingerprint,
            &cursor.to_bytes(),
        )
    });
    let approximate_time = approximate_time(&page, request);
    let mut trace_summaries = Vec::with_capacity(page.summaries.len());
    for summaries in page.summaries.chunks(N_TRACES_READ_AT_ONCE) {
        let mut reads = Vec::with_capacity(summaries.len());
        for summary in summaries {
            reads.push(trace_summary(store, tenant, request, options, summary));
        }
        trace_summaries.extend(try_join_all(reads).await?);
    }
    Ok(GetTraceSummariesResponse {
        trace_summaries,
        approximate_time: Some(approximate_time),
        traces_processed_count: page.n_scanned,
        next_token,
    })
}

/// What the first page of a list would cost, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedSummaries {
    /// How the filter is answered; nothing without one.
    pub filter: Option<Explanation>,
    /// Traces of the window that were looked at.
    pub n_scanned: u64,
    /// Those of them that are on the page.
    pub n_kept: usize,
    /// Whether the page is the only one.
    pub is_complete: bool,
    /// What was read to find them.
    pub effort: ScanEffort,
}

/// Returns what the first page of a list takes, without making it: which index its filter uses and what was
/// read all the same.
///
/// # Errors
/// As [`summaries`].
pub async fn explain_summaries<S: TraceStore>(
    store: &S,
    tenant: Tenant,
    request: &GetTraceSummariesRequest,
    options: &SummariesOptions,
) -> Result<ExplainedSummaries, QueryError> {
    check(request)?;
    let filter = filter(request, options)?;
    let explanation = filter.as_ref().map(Filter::explain);
    let page = store
        .summaries(tenant, scan(request, options, filter, None))
        .await?;
    Ok(ExplainedSummaries {
        filter: explanation,
        n_scanned: page.n_scanned,
        n_kept: page.summaries.len(),
        is_complete: page.next.is_none(),
        effort: page.effort,
    })
}

/// Returns the summaries of those of some traces that a filter takes, in the order of the ids.
///
/// `slow_trace` is as in [`SummariesOptions`].
///
/// # Errors
/// Only those of the store.
pub async fn summaries_of<S: TraceStore>(
    store: &S,
    tenant: Tenant,
    trace_ids: Vec<TraceId>,
    filter: Option<&Filter>,
    slow_trace: Duration,
) -> Result<Vec<(TraceId, TraceSummary)>, QueryError> {
    let mut kept = Vec::new();
    for summary in store.summaries_of(tenant, trace_ids).await? {
        let judgement = filter.map_or(Judgement::Keep, |filter| filter.judge(&summary));
        let is_kept = match (judgement, filter) {
            (Judgement::Keep, _) => true,
            (Judgement::ReadDocuments, Some(filter)) => {
                let stored = store.documents(tenant, summary.trace_id).await?;
                filter.judge_documents(&summary, &stored.documents)
            }
            (Judgement::Skip, _) | (Judgement::ReadDocuments, None) => false,
        };
        if is_kept {
            let root_causes = root_causes(store, tenant, &summary, slow_trace).await?;
            kept.push((summary.trace_id, shape(&summary, root_causes)));
        }
    }
    Ok(kept)
}

async fn trace_summary<S: TraceStore>(
    store: &S,
    tenant: Tenant,
    request: &GetTraceSummariesRequest,
    options: &SummariesOptions,
    summary: &Summary,
) -> Result<TraceSummary, QueryError> {
    let root_causes = root_causes(store, tenant, summary, options.slow_trace).await?;
    let matched_event_time = matched_event_time(summary, request);
    Ok(TraceSummary {
        matched_event_time,
        ..shape(summary, root_causes)
    })
}

fn check(request: &GetTraceSummariesRequest) -> Result<(), QueryError> {
    if request.start_time > request.end_time {
        let text = "StartTime is after EndTime: the window must not end before it starts";
        return Err(QueryError::Invalid(text.to_owned()));
    }
    Ok(())
}

/// Returns the filter of a request; a blank one is none.
fn filter(
    request: &GetTraceSummariesRequest,
    options: &SummariesOptions,
) -> Result<Option<Filter>, QueryError> {
    let text = request.filter_expression.as_deref().unwrap_or_default();
    if text.trim().is_empty() {
        return Ok(None);
    }
    let filter = Filter::parse(text, &*options.groups)?;
    Ok(Some(filter.with_slow_trace(options.slow_trace)))
}

/// Which traces of the window are returned.
struct Kept {
    /// The share of traces, if not all.
    rate: Option<f64>,
    filter: Option<Filter>,
}

impl TraceFilter for Kept {
    fn may_match(&self, zone: &ZoneFacts) -> bool {
        let filter = self.filter.as_ref();
        filter.is_none_or(|filter| filter.may_match(zone))
    }

    fn judge(&self, summary: &Summary) -> Judgement {
        let is_left_out = |rate| !is_sampled(summary.trace_id, rate);
        if self.rate.is_some_and(is_left_out) {
            return Judgement::Skip;
        }
        let filter = self.filter.as_ref();
        filter.map_or(Judgement::Keep, |filter| filter.judge(summary))
    }

    fn judge_documents(&self, summary: &Summary, documents: &[Document]) -> bool {
        let filter = self.filter.as_ref();
        filter.is_none_or(|filter| filter.judge_documents(summary, documents))
    }
}

fn scan(
    request: &GetTraceSummariesRequest,
    options: &SummariesOptions,
    filter: Option<Filter>,
    cursor: Option<SummariesCursor>,
) -> Scan {
    let by = match request.time_range_type {
        TimeRangeType::TraceId => WindowBy::Start,
        TimeRangeType::Event => WindowBy::Activity,
        TimeRangeType::Service => WindowBy::End,
    };
    let rate = sampling_rate(request);
    Scan {
        window: Window {
            by,
            from: request.start_time,
            to: request.end_time,
        },
        after: cursor.map(|cursor| cursor.after),
        as_of: cursor.map(|cursor| cursor.as_of),
        n_kept_max: options.n_summaries_max,
        n_scanned_max: options.n_scanned_max,
        filter: Arc::new(Kept { rate, filter }),
    }
}

/// Returns the share of traces to return; nothing for all. Both strategies draw by the trace's id, so
/// that a trace is in or out of every page and every call with the same rate alike.
fn sampling_rate(request: &GetTraceSummariesRequest) -> Option<f64> {
    if !request.sampling {
        return None;
    }
    let value = request
        .sampling_strategy
        .as_ref()
        .and_then(|strategy| strategy.value)?;
    (value < 1.0).then_some(value)
}

fn is_sampled(trace_id: TraceId, rate: f64) -> bool {
    // The upper 32 bits of the hash are exact in a double.
    let draw = u32::try_from(xxh3_64(trace_id.as_bytes()) >> 32).unwrap_or(u32::MAX);
    f64::from(draw) < rate * f64::from(u32::MAX)
}

/// Returns why a trace failed or was slow, from its documents; nothing is read for other traces.
async fn root_causes<S: TraceStore>(
    store: &S,
    tenant: Tenant,
    summary: &Summary,
    slow_trace: Duration,
) -> Result<RootCauses, QueryError> {
    let slow_ns = slow_trace.as_nanos();
    let is_slow = summary
        .response_ns
        .is_some_and(|ns| u128::from(ns) >= slow_ns);
    let has = |flag| summary.flags.contains(flag);
    let has_cause = is_slow || has(SummaryFlags::DEEP_FAULT) || has(SummaryFlags::DEEP_ERROR);
    if !has_cause {
        return Ok(RootCauses::default());
    }
    let stored = store.documents(tenant, summary.trace_id).await?;
    Ok(RootCauses::of(summary.trace_id, &stored.documents, is_slow))
}

/// Returns the start of the page's oldest trace, of the window if there is none.
fn approximate_time(page: &ScanPage, request: &GetTraceSummariesRequest) -> WireTime {
    let oldest = page.summaries.last().map(|summary| summary.start);
    let reached = page.next.map(|next| next.start);
    WireTime(oldest.or(reached).unwrap_or(request.start_time))
}

/// Returns the first instant of the window at which the trace was active.
fn matched_event_time(summary: &Summary, request: &GetTraceSummariesRequest) -> Option<WireTime> {
    let is_event = request.time_range_type == TimeRangeType::Event;
    is_event.then(|| WireTime(summary.start.max(request.start_time)))
}

/// What a token of this request is bound to: everything but the sampling strategy, which Grafana's
/// data source changes between the pages of a chain.
fn fingerprint(tenant: Tenant, request: &GetTraceSummariesRequest) -> Vec<u8> {
    let mut fingerprint = tenant.0.to_be_bytes().to_vec();
    fingerprint.extend(request.start_time.as_nanos().to_be_bytes());
    fingerprint.extend(request.end_time.as_nanos().to_be_bytes());
    fingerprint.push(match request.time_range_type {
        TimeRangeType::TraceId => 0,
        TimeRangeType::Event => 1,
        TimeRangeType::Service => 2,
    });
    fingerprint.extend(
        request
            .filter_expression
            .as_deref()
            .unwrap_or_default()
            .trim()
            .as_bytes(),
    );
    fingerprint
}

/// How many traces of a page are read for root causes at a time.
const N_TRACES_READ_AT_ONCE: usize = 8;
