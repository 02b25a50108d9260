//! Answers that come on pages: summaries page by page, traces joined over theirs.

use std::collections::{HashSet, VecDeque};

use protocol::Operation;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{CallError, Client};
use crate::times::Window;

/// One trace, put together from the pages it came on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Trace {
    /// Its id.
    pub id: String,
    /// Seconds from its first to its last instant.
    #[serde(default)]
    pub duration: Option<f64>,
    /// Whether it is larger than a trace may be.
    #[serde(default)]
    pub limit_exceeded: bool,
    /// Its segments.
    #[serde(default)]
    pub segments: Vec<Segment>,
}

/// One segment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Segment {
    /// Its id.
    pub id: String,
    /// Its document.
    pub document: String,
}

/// The traces of some ids.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Those that were found, each whole, in the order they came.
    pub traces: Vec<Trace>,
    /// Ids the server did not look at.
    pub unprocessed: Vec<String>,
}

/// What a trace is in short.
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are the members of the API"
)]
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Summary {
    /// The trace's id.
    pub id: String,
    /// Seconds since 1970 at which its first segment began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<f64>,
    /// Seconds from its first to its last instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<f64>,
    /// Seconds its root took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_time: Option<f64>,
    /// Whether its root failed by its own fault.
    #[serde(default)]
    pub has_fault: bool,
    /// Whether its root failed by the client's fault.
    #[serde(default)]
    pub has_error: bool,
    /// Whether something in it was throttled.
    #[serde(default)]
    pub has_throttle: bool,
    /// Whether some of it is in progress.
    #[serde(default)]
    pub is_partial: bool,
    /// Everything else, under the names of the API.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// Summaries, asked for page by page.
#[derive(Debug)]
pub struct Summaries {
    client: Client,
    request: Map<String, Value>,
    waiting: VecDeque<Summary>,
    tokens: Tokens,
    is_last: bool,
}

/// The tokens of the pages so far.
#[derive(Debug, Default)]
struct Tokens(HashSet<String>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SummariesPage {
    #[serde(default)]
    trace_summaries: Vec<Summary>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TracesPage {
    #[serde(default)]
    traces: Vec<Trace>,
    #[serde(default)]
    unprocessed_trace_ids: Vec<String>,
    next_token: Option<String>,
}

impl Client {
    /// Returns the summaries of the traces in a window a filter expression means, of all without one; nothing is sent
    /// yet.
    pub fn summaries(&self, window: Window, filter: Option<&str>) -> Summaries {
        let mut request = window.members();
        if let Some(filter) = filter {
            request.insert("FilterExpression".to_owned(), filter.into());
        }
        Summaries {
            client: self.clone(),
            request,
            waiting: VecDeque::new(),
            tokens: Tokens::default(),
            is_last: false,
        }
    }

    /// Returns the traces with these ids, however many.
    ///
    /// # Errors
    /// [`CallError`] after all tries.
    pub async fn batch_get(&self, trace_ids: &[String]) -> Result<Batch, CallError> {
        let mut batch = Batch::default();
        for trace_ids in trace_ids.chunks(TRACE_IDS_PER_CALL) {
            let mut token: Option<String> = None;
            let mut tokens = Tokens::default();
            loop {
                let request = match &token {
                    Some(token) => json!({ "TraceIds": trace_ids, "NextToken": token }),
                    None => json!({ "TraceIds": trace_ids }),
                };
                let page: TracesPage = self.call(Operation::BatchGetTraces, &request).await?;
                for trace in page.traces {
                    join(&mut batch.traces, trace);
                }
                batch.unprocessed.extend(page.unprocessed_trace_ids);
                token = tokens.following(page.next_token)?;
                if token.is_none() {
                    break;
                }
            }
        }
        Ok(batch)
    }
}

impl Client {
    /// Returns the items all pages of an operation have under this name, in the order they come.
    ///
    /// # Errors
    /// [`CallError`] after all tries.
    pub async fn all<T: DeserializeOwned>(
        &self,
        operation: Operation,
        mut request: Map<String, Value>,
        member: &str,
    ) -> Result<Vec<T>, CallError> {
        let mut items = Vec::new();
        let mut tokens = Tokens::default();
        loop {
            let mut page: Map<String, Value> = self.call(operation, &request).await?;
            let list = page.remove(member).unwrap_or_default();
            let list: Option<Vec<T>> = serde_json::from_value(list).map_err(CallError::nonsense)?;
            items.extend(list.unwrap_or_default());
            let next = page.get("NextToken").and_then(Value::as_str);
            let Some(next) = tokens.following(next.map(str::to_owned))? else {
                return Ok(items);
            };
            request.insert("NextToken".to_owned(), next.into());
        }
    }
}

impl Window {
    /// Returns the members of a request that say which time is meant.
    pub fn members(self) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("StartTime".to_owned(), seconds(self.from));
        members.insert("EndTime".to_owned(), seconds(self.to));
        members
    }
}

impl Summaries {
    /// Tells whether the next summary has to be asked for.
    pub fn is_page_due(&self) -> bool {
        self.waiting.is_empty() && !self.is_last
    }

    /// Returns the next summary, nothing after the last.
    ///
    /// # Errors
    /// [`CallError`] after all tries.
    pub async fn next(&mut self) -> Result<Option<Summary>, CallError> {
        // A page may be empty and not the last.
        while self.waiting.is_empty() && !self.is_last {
            let page = self
                .client
                .call(Operation::GetTraceSummaries, &self.request);
            let page: SummariesPage = page.await?;
            self.waiting.extend(page.trace_summaries);
            match self.tokens.following(page.next_token)? {
                Some(token) => {
                    self.request.insert("NextToken".to_owned(), token.into());
                }
                None => self.is_last = true,
            }
        }
        Ok(self.waiting.pop_front())
    }
}

impl Tokens {
    /// Returns the token of the next page, if there is one.
    fn following(&mut self, next: Option<String>) -> Result<Option<String>, CallError> {
        let next = next.filter(|next| !next.is_empty());
        if let Some(next) = &next
            && !self.0.insert(next.clone())
        {
            return Err(CallError::nonsense("the same NextToken twice"));
        }
        Ok(next)
    }
}

/// Adds a trace; one that began on an earlier page gets the further segments.
fn join(traces: &mut Vec<Trace>, mut more: Trace) {
    let Some(trace) = traces.iter_mut().rev().find(|trace| trace.id == more.id) else {
        traces.push(more);
        return;
    };
    let known: HashSet<&String> = trace.segments.iter().map(|segment| &segment.id).collect();
    more.segments.retain(|segment| !known.contains(&segment.id));
    trace.segments.extend(more.segments);
}

/// Returns a time as the API takes it: seconds, to the nanosecond as far as a number of JSON goes.
fn seconds(time: model::Timestamp) -> Value {
    time.as_secs_f64().into()
}

const TRACE_IDS_PER_CALL: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> TracesPage {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_trace_on_two_pages_becomes_one() {
        let first = page(
            r#"{"Traces": [{"Id": "a", "Duration": 1.5, "LimitExceeded": false, "Segments": [{"Id": "1", "Document": "{}"}]}], "NextToken": "t"}"#,
        );
        let second = page(
            r#"{"Traces": [{"Id": "a", "Duration": 1.5, "Segments": [{"Id": "2", "Document": "{}"}, {"Id": "1", "Document": "{}"}]}, {"Id": "b", "Duration": null, "Segments": []}]}"#,
        );
        let mut traces = Vec::new();
        for trace in first.traces.into_iter().chain(second.traces) {
            join(&mut traces, trace);
        }
        let ids: Vec<_> = traces
            .iter()
            .map(|trace| (trace.id.as_str(), trace.segments.len()))
            .collect();
        assert_eq!(ids, [("a", 2), ("b", 0)]);
        insta::assert_snapshot!(serde_json::to_string(&traces[1]).unwrap(), @r#"{"Id":"b","Duration":null,"LimitExceeded":false,"Segments":[]}"#);
    }

    #[test]
    fn a_summary_keeps_what_is_not_known() {
        let text = r#"{"Id":"a","StartTime":1.5,"HasFault":true,"HasError":false,"HasThrottle":false,"IsPartial":false,"Users":[{"UserName":"u"}]}"#;
        let summary: Summary = serde_json::from_str(text).unwrap();
        assert!(summary.has_fault && summary.others.contains_key("Users"));
        assert_eq!(serde_json::to_string(&summary).unwrap(), text);
    }

    #[test]
    fn pages_end_and_do_not_go_round() {
        let check = |tokens: &[&str], is_round: bool| {
            let mut known = Tokens::default();
            for token in tokens {
                let next = known.following(Some((*token).to_owned())).unwrap();
                assert_eq!(next.as_deref(), Some(*token));
            }
            assert_eq!(known.following(None).unwrap(), None);
            assert_eq!(known.following(Some(String::new())).unwrap(), None);
            let first = known.following(Some("a".to_owned()));
            assert_eq!(first.is_err(), is_round, "{tokens:?}");
        };
        check(&[], false);
        check(&["b"], false);
        check(&["a"], true);
        check(&["a", "b"], true);
        check(&["a", "b", "c", "d"], true);
    }
}
