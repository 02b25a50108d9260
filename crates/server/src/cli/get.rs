//! `roentgen get`: prints traces.

use http::StatusCode;
use model::TraceId;
use protocol::Operation;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cli::client::{Connection, Endpoint};
use crate::cli::{Exit, Stop, note, print, tree};

/// One trace, put together from the pages it came on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Trace {
    /// Its id.
    pub(crate) id: String,
    /// Seconds from its first to its last instant.
    #[serde(default)]
    pub(crate) duration: Option<f64>,
    #[serde(default)]
    limit_exceeded: bool,
    /// Its segments.
    #[serde(default)]
    pub(crate) segments: Vec<Segment>,
}

/// One segment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Segment {
    /// Its id.
    pub(crate) id: String,
    /// Its document.
    pub(crate) document: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    traces: Vec<Trace>,
    next_token: Option<String>,
}

/// Prints the traces with these ids, for people or as JSON.
pub(crate) async fn run(
    endpoint: &Endpoint,
    trace_ids: &[String],
    as_json: bool,
) -> Result<Exit, Stop> {
    let mut wanted: Vec<String> = Vec::new();
    for text in trace_ids {
        let trace_id = TraceId::parse_any(text).map_err(|error| {
            Stop::new(
                Exit::Usage,
                format!("{text} is no trace id: {error}, or 32 hex digits"),
            )
        })?;
        let trace_id = trace_id.to_string();
        if !wanted.contains(&trace_id) {
            wanted.push(trace_id);
        }
    }
    let connection = Connection::new(endpoint);
    let mut traces = Vec::new();
    for batch in wanted.chunks(TRACE_IDS_PER_CALL) {
        fetch(&connection, batch, &mut traces).await?;
    }
    show(&traces, as_json)?;
    for trace_id in wanted
        .iter()
        .filter(|id| !traces.iter().any(|trace| trace.id == **id))
    {
        note(&format!("not found: {trace_id}"));
    }
    Ok(match traces.len() {
        0 => Exit::NotFound,
        n_found if n_found < wanted.len() => Exit::Partly,
        _ => Exit::Done,
    })
}

/// Adds the traces of one batch of ids, page after page.
async fn fetch(
    connection: &Connection,
    batch: &[String],
    traces: &mut Vec<Trace>,
) -> Result<(), Stop> {
    let mut next_token: Option<String> = None;
    loop {
        let body = match &next_token {
            Some(token) => json!({ "TraceIds": batch, "NextToken": token }),
            None => json!({ "TraceIds": batch }),
        };
        let reply = connection
            .call(Operation::BatchGetTraces, body.to_string().into_bytes())
            .await?;
        if reply.status != StatusCode::OK {
            let (code, message) = reply.error();
            return Err(Stop::new(
                Exit::Failed,
                format!("the server refused: {code}: {message}"),
            ));
        }
        let page: Page = serde_json::from_slice(&reply.body).map_err(|error| {
            Stop::new(
                Exit::Failed,
                format!("the server's answer makes no sense: {error}"),
            )
        })?;
        for trace in page.traces {
            join(traces, trace);
        }
        match page.next_token {
            Some(token) if next_token.as_ref() != Some(&token) => next_token = Some(token),
            Some(_) | None => return Ok(()),
        }
    }
}

/// Adds a trace; one that began on an earlier page gets the further segments.
fn join(traces: &mut Vec<Trace>, more: Trace) {
    match traces.iter_mut().find(|trace| trace.id == more.id) {
        Some(trace) => trace.segments.extend(more.segments),
        None => traces.push(more),
    }
}

fn show(traces: &[Trace], as_json: bool) -> Result<Exit, Stop> {
    if as_json {
        let text =
            serde_json::to_string_pretty(traces).map_err(|error| Stop::new(Exit::Failed, error))?;
        return print(&format!("{text}\n"));
    }
    let texts: Vec<String> = traces.iter().map(tree::render).collect();
    print(&texts.join("\n"))
}

const TRACE_IDS_PER_CALL: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Page {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_trace_on_two_pages_becomes_one() {
        let first = page(
            r#"{"Traces": [{"Id": "a", "Duration": 1.5, "LimitExceeded": false, "Segments": [{"Id": "1", "Document": "{}"}]}], "NextToken": "t"}"#,
        );
        let second = page(
            r#"{"Traces": [{"Id": "a", "Duration": 1.5, "Segments": [{"Id": "2", "Document": "{}"}]}, {"Id": "b", "Duration": null, "Segments": []}]}"#,
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
}
