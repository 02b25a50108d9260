//! `roentgen put`: sends documents and tells what became of them.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;
use protocol::Operation;
use protocol::shapes::{
    PutTraceSegmentsRequest, PutTraceSegmentsResponse, UnprocessedTraceSegment,
};

use crate::cli::client::{Connection, Endpoint, Reply};
use crate::cli::{Exit, Stop, note, print, printable};

/// Documents one call may carry, whatever the server.
pub(crate) const DOCUMENTS_PER_CALL: usize = 50;

/// Sends documents in batches of at most `n_batch`.
pub(crate) async fn run(
    endpoint: &Endpoint,
    documents: &[String],
    n_batch: usize,
) -> Result<Exit, Stop> {
    let connection = Connection::new(endpoint);
    let mut n_refused = 0;
    for batch in batches(documents, n_batch, BATCH_BYTES_MAX) {
        n_refused += send(&connection, batch).await?;
    }
    let n_documents = documents.len();
    let n_accepted = n_documents.saturating_sub(n_refused);
    print(&format!(
        "accepted {n_accepted} of {n_documents} documents\n"
    ))?;
    Ok(match n_accepted {
        0 => Exit::Failed,
        _ if n_refused > 0 => Exit::Partly,
        _ => Exit::Done,
    })
}

/// Sends one batch and returns how many of it were refused; each is told of.
async fn send(connection: &Connection, batch: &[String]) -> Result<usize, Stop> {
    let trace_segment_documents = batch
        .iter()
        .map(|document| Cow::from(document.as_str()))
        .collect();
    let request = PutTraceSegmentsRequest {
        trace_segment_documents,
    };
    let body = serde_json::to_vec(&request).map_err(|error| Stop::new(Exit::Failed, error))?;
    let reply = call_patiently(connection, body).await?;
    if reply.status != StatusCode::OK {
        let (code, message) = reply.error();
        note(&format!(
            "refused {} documents at once: {code}: {message}",
            batch.len()
        ));
        return Ok(batch.len());
    }
    let response: PutTraceSegmentsResponse =
        serde_json::from_slice(&reply.body).map_err(|error| {
            Stop::new(
                Exit::Failed,
                format!("the server's answer makes no sense: {error}"),
            )
        })?;
    for refused in &response.unprocessed_trace_segments {
        note(&line(refused));
    }
    Ok(response.unprocessed_trace_segments.len())
}

/// Calls until the server has room, a few times.
async fn call_patiently(connection: &Connection, body: Vec<u8>) -> Result<Reply, Stop> {
    let mut pause = Duration::from_millis(250);
    for _ in 0..RETRIES {
        let reply = connection
            .call(Operation::PutTraceSegments, body.clone())
            .await?;
        if reply.status != StatusCode::TOO_MANY_REQUESTS {
            return Ok(reply);
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    connection.call(Operation::PutTraceSegments, body).await
}

fn line(refused: &UnprocessedTraceSegment) -> String {
    let id = refused.id.as_deref().unwrap_or("(no id)");
    let (code, message) = (&refused.error_code, &refused.message);
    printable(&format!("refused {id}: {code}: {message}"))
}

/// Cuts documents into batches bounded in number and, beyond one document, in bytes.
fn batches(documents: &[String], n_max: usize, bytes_max: usize) -> Vec<&[String]> {
    let mut batches = Vec::new();
    let mut rest = documents;
    while !rest.is_empty() {
        let mut n_bytes = 0;
        let fits = |document: &&String| {
            n_bytes += document.len();
            n_bytes <= bytes_max
        };
        let n_batch = rest.iter().take(n_max).take_while(fits).count().max(1);
        let (batch, others) = rest.split_at(n_batch.min(rest.len()));
        batches.push(batch);
        rest = others;
    }
    batches
}

/// Escaped twice over, this still fits the server's default limit of 16 MiB.
const BATCH_BYTES_MAX: usize = 4 << 20;
const RETRIES: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lengths: &[usize], expected: &[usize]) {
        let documents: Vec<String> = lengths.iter().map(|length| "x".repeat(*length)).collect();
        let counts: Vec<usize> = batches(&documents, 3, 10)
            .iter()
            .map(|batch| batch.len())
            .collect();
        assert_eq!(counts, expected, "{lengths:?}");
    }

    #[test]
    fn batches_are_bounded_in_number_and_in_bytes() {
        check(&[], &[]);
        check(&[1, 1, 1, 1], &[3, 1]);
        check(&[5, 5, 1], &[2, 1]);
        check(&[20, 1, 20], &[1, 1, 1]);
    }

    #[test]
    fn a_refusal_is_one_line() {
        let refused = UnprocessedTraceSegment {
            id: None,
            error_code: "MissingId".into(),
            message: "no\nid".into(),
        };
        assert_eq!(line(&refused), "refused (no id): MissingId: no\u{fffd}id");
    }
}
