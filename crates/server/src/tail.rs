//! `GET /api/v1/tail`: traces as they arrive, as server-sent events (HTML, "Server-sent events").
//!
//! - A trace that was stored or changed is an event `trace` if a filter takes it: its summary as `GetTraceSummaries`
//!   writes it. Changes that follow each other closely are one event.
//! - The id of an event is the stamp of the trace's last change: whoever comes back with it in `Last-Event-ID`, as
//!   browsers do, or in `after`, goes on behind it. Signs of life carry one, too.
//! - When settings and keys are read again the stream ends, so that a key that was taken away sees no more. Who may still
//!   see it comes back, and misses nothing.
//! - What cannot be told any more is an event `gap`. Nothing waits in memory for a client that does not read: what it is
//!   told next is read once it has taken what was before.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use protocol::{ApiError, json_head};
use query::{Filter, GroupRef, QueryError};
use serde::Serialize;
use storage::{Change, Follower, Gap};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{Span, error};

use crate::app::{App, filter_of};
use crate::handlers::{query_error, store_error};
use crate::house::InForce;
use crate::http::answer::{Answer, BrokenOff};
use crate::metrics::OpenTail;
use crate::parameters;

/// Answers a request for what arrives.
///
/// # Errors
/// Says what is wrong with the request, or that the account has enough of these.
pub(crate) async fn open(
    app: &Arc<App>,
    in_force: &InForce,
    query: &str,
    headers: &HeaderMap,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let asked = Asked::parse(query, headers).map_err(ApiError::invalid_request)?;
    let filter = filter(app, &asked.filter)?;
    let permit = Arc::clone(&app.tails).try_acquire_owned().map_err(|_| {
        ApiError::throttled(format!(
            "{TAILS_MAX} clients follow this account already; end one of them first"
        ))
    })?;
    let follower = app.house.store.follow(app.tenant, asked.after).await;
    let follower = follower.map_err(|error| store_error(&error))?;
    let tail = Tail {
        stopping: app.house.stopping.subscribe(),
        replaced: in_force.replaced(),
        slow_trace: in_force.config.query.slow_trace.0,
        filter,
        follower,
        sent_at: Instant::now(),
        is_behind: false,
        _permit: permit,
        _open: app.house.metrics.tail_opened(),
        app: Arc::clone(app),
    };
    let first = format!("retry: {RETRY_MS}\nid: {}\n\n", tail.follower.position());
    let unmade = Some((tail, Span::current()));
    let chunks = stream::unfold(unmade, async |unmade| {
        let (mut tail, span) = unmade?;
        match tail.next().await {
            Ok(Some(text)) => Some((Ok(Bytes::from(text)), Some((tail, span)))),
            Ok(None) => None,
            Err(error) => {
                span.in_scope(|| error!(%error, "what arrives could not be read"));
                Some((Err(BrokenOff(error.to_string())), None))
            }
        }
    });
    let first = [Ok(Bytes::from(first))];
    Ok(Answer::streamed(head(request_id), first, Box::pin(chunks)))
}

/// What a request asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    filter: String,
    after: Option<u64>,
}

impl Asked {
    fn parse(query: &str, headers: &HeaderMap) -> Result<Self, String> {
        let mut asked = Self::default();
        for (name, value) in parameters::read(&spaced(query), &["filter", "after"])? {
            match name {
                "filter" => asked.filter = value.into_owned(),
                _ => asked.after = Some(stamp(&value).ok_or(format!("{name}: {STAMP_EXPECTED}"))?),
            }
        }
        // Browsers come back to the address they know, with what they were told last.
        if let Some(last) = headers.get(LAST_EVENT_ID).filter(|last| !last.is_empty()) {
            let after = last.to_str().ok().and_then(stamp);
            asked.after = Some(after.ok_or(format!("{LAST_EVENT_ID}: {STAMP_EXPECTED}"))?);
        }
        Ok(asked)
    }
}

/// Returns a query with spaces where forms write `+` for them.
fn spaced(query: &str) -> Cow<'_, str> {
    if query.contains('+') {
        return Cow::Owned(query.replace('+', "%20"));
    }
    Cow::Borrowed(query)
}

fn stamp(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// Returns the filter of an expression; a blank one is none.
fn filter(app: &App, text: &str) -> Result<Option<Filter>, ApiError> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let groups = app.settings.groups.snapshot();
    let filter = Filter::parse(text, &|group: GroupRef<'_>| filter_of(&groups, group));
    let filter = filter.map_err(|error| query_error(QueryError::from(error)))?;
    let slow_trace = app.config().query.slow_trace.0;
    Ok(Some(filter.with_slow_trace(slow_trace)))
}

fn head(request_id: &str) -> Response<Bytes> {
    let mut head = json_head(request_id);
    let headers = head.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that collect answers must not.
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    head
}

/// One client that follows.
struct Tail {
    app: Arc<App>,
    follower: Follower,
    filter: Option<Filter>,
    slow_trace: Duration,
    stopping: watch::Receiver<bool>,
    /// Tells when the client is to come back and be let in anew.
    replaced: watch::Receiver<bool>,
    /// When the client was sent something last.
    sent_at: Instant,
    /// More had changed than was taken at once.
    is_behind: bool,
    _permit: OwnedSemaphorePermit,
    _open: OpenTail,
}

impl Tail {
    /// Returns what the client is told next; nothing when the server stops or other keys are in force.
    async fn next(&mut self) -> Result<Option<String>, QueryError> {
        loop {
            tokio::select! {
                biased;
                _ = self.stopping.wait_for(|is_stopping| *is_stopping) => return Ok(None),
                _ = self.replaced.wait_for(|is_replaced| *is_replaced) => return Ok(None),
                () = gather(&mut self.follower, self.is_behind) => {}
                () = sleep_until(self.sent_at + HEARTBEAT) => {}
            }
            let mut text = self.tell().await?;
            if text.is_empty() && self.sent_at.elapsed() >= HEARTBEAT {
                text = format!(": alive\nid: {}\n\n", self.follower.position());
            }
            if !text.is_empty() {
                self.sent_at = Instant::now();
                return Ok(Some(text));
            }
        }
    }

    /// Returns events of what changed; nothing if no change is one the filter takes.
    async fn tell(&mut self) -> Result<String, QueryError> {
        let taken = self.follower.take(CHANGES_AT_ONCE);
        self.is_behind = self.follower.has_more();
        let mut text = String::new();
        if let Some(gap) = taken.gap {
            event(&mut text, "gap", gap.until, &Missed::from(gap));
        }
        let trace_ids = taken.changes.iter().map(|change| change.trace_id).collect();
        let (store, tenant) = (&*self.app.house.store, self.app.tenant);
        let filter = self.filter.as_ref();
        let summaries =
            query::summaries_of(store, tenant, trace_ids, filter, self.slow_trace).await?;
        let mut summaries = summaries.into_iter().peekable();
        for Change { stamp, trace_id } in taken.changes {
            if let Some((_, summary)) = summaries.next_if(|(of, _)| *of == trace_id) {
                event(&mut text, "trace", stamp, &summary);
            }
        }
        Ok(text)
    }
}

/// Returns a while after something changed, so that changes that follow closely are told together; at once if there is
/// more of that already.
async fn gather(follower: &mut Follower, is_behind: bool) {
    follower.changed().await;
    if !is_behind {
        sleep(GATHER).await;
    }
}

/// Writes an event.
fn event(text: &mut String, name: &str, id: u64, data: &impl Serialize) {
    // What is serialized here has keys that are strings, and JSON has no line breaks of its own.
    let data = serde_json::to_string(data).unwrap_or_default();
    let _infallible = write!(text, "event: {name}\nid: {id}\ndata: {data}\n\n");
}

/// A gap as it is told.
#[derive(Serialize)]
struct Missed {
    after: u64,
    until: u64,
    n_changes: Option<u64>,
}

impl From<Gap> for Missed {
    fn from(gap: Gap) -> Self {
        Self {
            after: gap.after,
            until: gap.until,
            n_changes: gap.n_changes,
        }
    }
}

/// Clients that may follow one account: each has its traces read again.
pub(crate) const TAILS_MAX: usize = 16;
/// How long changes are gathered.
const GATHER: Duration = Duration::from_millis(250);
/// How many of them are read at a time.
const CHANGES_AT_ONCE: usize = 64;
/// Proxies close what is silent for longer.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client waits before it comes back.
const RETRY_MS: u32 = 1000;
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const STAMP_EXPECTED: &str = "the id of an event is expected";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, last: Option<&'static str>, expected: Result<(&str, Option<u64>), &str>) {
        let mut headers = HeaderMap::new();
        if let Some(last) = last {
            headers.insert(LAST_EVENT_ID, HeaderValue::from_static(last));
        }
        match (Asked::parse(query, &headers), expected) {
            (Ok(asked), Ok((filter, after))) => {
                assert_eq!(
                    (asked.filter.as_str(), asked.after),
                    (filter, after),
                    "{query}"
                );
            }
            (Err(error), Err(words)) => assert!(error.contains(words), "{error}"),
            (asked, _) => panic!("{query}: {asked:?}"),
        }
    }

    #[test]
    fn requests_are_read() {
        check("", None, Ok(("", None)));
        check("after=12", None, Ok(("", Some(12))));
        check("after=12", Some("34"), Ok(("", Some(34))));
        check("after=12", Some(""), Ok(("", Some(12))));
        check("filter=a+%3D+%22%2B%22", None, Ok(("a = \"+\"", None)));
        check("after=-1", None, Err("after: the id"));
        check("after=", None, Err("after: the id"));
        check("", Some("x"), Err("last-event-id: the id"));
        check("filters=x", None, Err("no parameter"));
    }
}
