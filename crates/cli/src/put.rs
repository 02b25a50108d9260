//! `roentgen put`: sends documents and tells what became of them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;

use clap::Args;
use protocol::Operation;
use protocol::shapes::{
    PutTraceSegmentsRequest, PutTraceSegmentsResponse, UnprocessedTraceSegment,
};
use serde::{Deserialize, Serialize};

use crate::client::{CallError, Client};
use crate::exit::{Exit, Stop};
use crate::terminal::{note, print, printable};
use crate::{Session, documents};

/// What to send, and how to tell.
#[derive(Args, Debug)]
pub struct Options {
    /// The file to read, "-" for standard input
    file: PathBuf,
    /// Print a line of JSON per document, with its ids, instead of the sum
    #[arg(long)]
    json: bool,
}

/// What became of a document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome<'a> {
    trace_id: Option<&'a str>,
    id: Option<&'a str>,
    accepted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

/// The ids of a document, as far as they can be read.
#[derive(Debug, Default, Deserialize)]
struct Ids {
    #[serde(default)]
    trace_id: Option<String>,
    #[serde(default)]
    id: Option<String>,
}

/// Sends documents in batches and prints what became of them.
pub(crate) async fn run(session: &Session, options: &Options) -> Result<Exit, Stop> {
    let documents = documents::read(&options.file)?;
    let n_batch = session.documents_per_call.min(DOCUMENTS_PER_CALL);
    let mut n_refused = 0;
    for batch in batches(&documents, n_batch, BATCH_BYTES_MAX) {
        let refused = send(&session.client, batch).await?;
        n_refused += refused.len();
        if options.json {
            print(&lines(batch, &refused)?)?;
        }
    }
    let n_documents = documents.len();
    let n_accepted = n_documents.saturating_sub(n_refused);
    if !options.json {
        print(&format!(
            "accepted {n_accepted} of {n_documents} documents\n"
        ))?;
    }
    Ok(Exit::of(n_accepted, n_documents, Exit::Failed))
}

/// Sends one batch and returns those of it that were refused, which people are told; if the call is refused, all.
async fn send(client: &Client, batch: &[String]) -> Result<Vec<UnprocessedTraceSegment>, Stop> {
    let trace_segment_documents = batch
        .iter()
        .map(|document| Cow::from(document.as_str()))
        .collect();
    let request = PutTraceSegmentsRequest {
        trace_segment_documents,
    };
    let response: Result<PutTraceSegmentsResponse, CallError> =
        client.call(Operation::PutTraceSegments, &request).await;
    match response {
        Ok(response) => {
            for refused in &response.unprocessed_trace_segments {
                note(&line(refused));
            }
            Ok(response.unprocessed_trace_segments)
        }
        Err(CallError::Refused { code, message, .. }) => {
            let n_batch = batch.len();
            note(&format!(
                "refused {n_batch} documents at once: {code}: {message}"
            ));
            let refused = |document: &String| UnprocessedTraceSegment {
                id: ids(document).id,
                error_code: code.clone(),
                message: message.clone(),
            };
            Ok(batch.iter().map(refused).collect())
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns a line of JSON for each document. Refusals are told by id; of documents with the same one, the first are
/// taken for those that were refused.
fn lines(batch: &[String], refused: &[UnprocessedTraceSegment]) -> Result<String, Stop> {
    let mut by_id: HashMap<Option<String>, Vec<&UnprocessedTraceSegment>> = HashMap::new();
    for refused in refused.iter().rev() {
        by_id.entry(refused.id.clone()).or_default().push(refused);
    }
    let mut text = String::new();
    for document in batch {
        let ids = ids(document);
        let refused = by_id.get_mut(&ids.id).and_then(Vec::pop);
        let outcome = Outcome {
            trace_id: ids.trace_id.as_deref(),
            id: ids.id.as_deref(),
            accepted: refused.is_none(),
            error_code: refused.map(|refused| refused.error_code.as_str()),
            message: refused.map(|refused| refused.message.as_str()),
        };
        text.push_str(&serde_json::to_string(&outcome).map_err(Stop::failed)?);
        text.push('\n');
    }
    Ok(text)
}

fn ids(document: &str) -> Ids {
    serde_json::from_str(document).unwrap_or_default()
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

pub(crate) const EXAMPLES: &str = "Examples:
  roentgen put segments.json
  my-service --print-segments | roentgen put - --json
  roentgen put segments.json --endpoint https://xray.eu-west-1.amazonaws.com --profile dev";
pub(crate) const ABOUT: &str = "Send segment documents to a server

The input is one document, a list of documents, documents one after the other (such as one a line), or
whole PutTraceSegments bodies. Exit codes: 0 all accepted, 5 some refused, 1 none accepted, 4 no server,
2 unreadable input.";
/// Documents one call may carry, whatever the server.
const DOCUMENTS_PER_CALL: usize = 50;
/// Escaped twice over, this still fits the server's default limit of 16 MiB.
const BATCH_BYTES_MAX: usize = 4 << 20;

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

    fn refused(id: Option<&str>) -> UnprocessedTraceSegment {
        UnprocessedTraceSegment {
            id: id.map(str::to_owned),
            error_code: "MissingId".into(),
            message: "no\nid".into(),
        }
    }

    #[test]
    fn a_refusal_is_one_line() {
        assert_eq!(
            line(&refused(None)),
            "refused (no id): MissingId: no\u{fffd}id"
        );
    }

    #[test]
    fn each_document_has_a_line_with_its_ids_and_its_outcome() {
        let batch = [
            r#"{"id": "a", "trace_id": "t"}"#.to_owned(),
            "nonsense".to_owned(),
            r#"{"id": "a", "trace_id": "t"}"#.to_owned(),
        ];
        let text = lines(&batch, &[refused(None), refused(Some("a"))]).unwrap();
        insta::assert_snapshot!(text, @r#"
        {"TraceId":"t","Id":"a","Accepted":false,"ErrorCode":"MissingId","Message":"no\nid"}
        {"TraceId":null,"Id":null,"Accepted":false,"ErrorCode":"MissingId","Message":"no\nid"}
        {"TraceId":"t","Id":"a","Accepted":true}
        "#);
    }
}
