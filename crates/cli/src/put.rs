//! `roentgen put`: sends documents and tells what became of them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use protocol::Operation;
use protocol::shapes::{
    PutTraceSegmentsRequest, PutTraceSegmentsResponse, UnprocessedTraceSegment,
};
use serde::{Deserialize, Serialize};

use crate::Session;
use crate::client::{CallError, Client};
use crate::documents::{self, Documents};
use crate::exit::{Exit, Stop};
use crate::stopping::Stopping;
use crate::terminal::{Form, OutFlags, Progress, counted, escaped, note, print, printable};

/// What to send, and how to tell.
#[derive(Args, Debug)]
pub struct Options {
    /// The file to read, "-" for standard input
    file: PathBuf,
    #[command(flatten)]
    out: OutFlags,
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

/// Documents on their way, and what became of those before.
struct Put {
    client: Client,
    form: Form,
    /// How many documents there are, if that is known.
    total: Option<usize>,
    progress: Progress,
    n_accepted: usize,
    n_refused: usize,
    /// Documents of a call that had no answer.
    n_unanswered: usize,
}

/// How sending came to its end.
enum End {
    /// Everything was sent.
    Sent,
    /// The end was asked for.
    Asked,
    /// This kept it from going on.
    Broken(Stop),
}

/// Sends documents in batches and prints what became of them.
pub(crate) async fn run(session: &Session, options: &Options) -> Result<Exit, Stop> {
    let mut stopping = Stopping::catch()?;
    let file = &options.file;
    if file.as_os_str() == "-" && io::stdin().is_terminal() {
        note("reading documents from the terminal; Ctrl-D ends them");
    }
    let reading = Progress::waiting("reading the file");
    let total = tokio::select! {
        total = reading.during(|| 0, documents::count(file)) => total?,
        () = stopping.asked() => return Ok(stopping.exit_or(Exit::Interrupted)),
    };
    reading.finish();
    let mut put = Put {
        client: session.client.clone(),
        form: options.out.out().form(),
        total: total.map(|total| usize::try_from(total).unwrap_or(usize::MAX)),
        progress: match total {
            Some(total) => Progress::of(total, "documents"),
            None => Progress::endless("documents"),
        },
        n_accepted: 0,
        n_refused: 0,
        n_unanswered: 0,
    };
    let mut documents = Documents::read(file)?;
    let n_batch = session.documents_per_call.min(DOCUMENTS_PER_CALL);
    let end = put.send_all(&mut documents, n_batch, &mut stopping).await?;
    let end = match end {
        End::Sent if put.n_documents() == 0 => End::Broken(Stop::usage("holds no documents")),
        end => end,
    };
    put.finish(end, &file.display().to_string(), &stopping)
}

impl Put {
    /// Sends all documents, or until that cannot go on or the end is asked for: then the batch on its way is finished.
    async fn send_all(
        &mut self,
        documents: &mut Documents,
        n_batch: usize,
        stopping: &mut Stopping,
    ) -> Result<End, Stop> {
        loop {
            let batch = tokio::select! {
                biased;
                () = stopping.asked() => return Ok(End::Asked),
                batch = documents.batch(n_batch, BATCH_BYTES_MAX) => batch,
            };
            let batch = match batch {
                Ok(batch) if batch.is_empty() => return Ok(End::Sent),
                Ok(batch) => batch,
                Err(message) => return Ok(End::Broken(Stop::usage(message))),
            };
            let n_throttled = || self.client.n_throttled();
            let answer = send(&self.client, &batch);
            match self.progress.during(n_throttled, answer).await {
                Ok(verdicts) => self.tell(&batch, &verdicts)?,
                Err(error) => {
                    self.n_unanswered = batch.len();
                    return Ok(End::Broken(error.into()));
                }
            }
        }
    }

    /// Counts what became of a batch and prints it if it is asked for.
    fn tell(&mut self, batch: &[String], verdicts: &Verdicts) -> Result<(), Stop> {
        let n_refused = verdicts.refused.len().min(batch.len());
        self.n_refused += n_refused;
        self.n_accepted += batch.len().saturating_sub(n_refused);
        for line in &verdicts.told {
            self.progress.note(line);
        }
        let text = match self.form {
            Form::Json => lines(batch, &verdicts.refused)?,
            Form::Plain => plain(batch, &verdicts.refused),
            Form::Table => String::new(),
        };
        if !text.is_empty() {
            self.progress.beside(|| print(&text))?;
        }
        let n_documents = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        self.progress.advance(n_documents);
        Ok(())
    }

    /// Tells the sum, and what kept the rest from being sent.
    fn finish(self, end: End, name: &str, stopping: &Stopping) -> Result<Exit, Stop> {
        let is_cut_short = !matches!(end, End::Sent);
        let n_documents = self.n_documents();
        let sum = sum(self.n_accepted, self.total.unwrap_or(n_documents));
        let sum = match self.total {
            None if is_cut_short => format!("{sum} read so far"),
            _ => sum,
        };
        self.progress.finish();
        match (self.form, self.n_accepted + self.n_refused) {
            (_, 0) => {}
            (Form::Table, _) => print(&format!("{sum}\n"))?,
            (Form::Json | Form::Plain, _) if is_cut_short => note(&sum),
            (Form::Json | Form::Plain, _) => {}
        }
        let End::Broken(stop) = end else {
            let exit = Exit::of(self.n_accepted, n_documents, Exit::Failed);
            return Ok(stopping.exit_or(exit));
        };
        let exit = if self.n_accepted > 0 {
            Exit::Partly
        } else {
            stop.exit
        };
        let message = match stop.exit {
            Exit::Usage => format!("{name}: {}", stop.message),
            _ => stop.message,
        };
        Err(Stop::new(stopping.exit_or(exit), message))
    }

    /// Returns how many documents were sent, with an answer or without.
    const fn n_documents(&self) -> usize {
        self.n_accepted + self.n_refused + self.n_unanswered
    }
}

fn sum(n_accepted: usize, n_documents: usize) -> String {
    let documents = counted(n_documents, "document");
    format!("accepted {n_accepted} of {documents}")
}

/// What a server said of a batch.
struct Verdicts {
    refused: Vec<UnprocessedTraceSegment>,
    /// Lines people are told.
    told: Vec<String>,
}

/// Sends one batch and returns those of it that were refused; if the call is refused, all.
async fn send(client: &Client, batch: &[String]) -> Result<Verdicts, CallError> {
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
            let refused = response.unprocessed_trace_segments;
            let told = refused.iter().map(line).collect();
            Ok(Verdicts { refused, told })
        }
        Err(CallError::Refused { code, message, .. }) => {
            let documents = counted(batch.len(), "document");
            let told = format!("refused {documents} at once: {code}: {message}");
            let refused = |document: &String| UnprocessedTraceSegment {
                id: ids(document).id,
                error_code: code.clone(),
                message: message.clone(),
            };
            Ok(Verdicts {
                refused: batch.iter().map(refused).collect(),
                told: vec![told],
            })
        }
        Err(error) => Err(error),
    }
}

/// Returns a line of JSON for each document.
fn lines(batch: &[String], refused: &[UnprocessedTraceSegment]) -> Result<String, Stop> {
    let mut text = String::new();
    for (ids, refused) in outcomes(batch, refused) {
        let outcome = Outcome {
            trace_id: ids.trace_id.as_deref(),
            id: ids.id.as_deref(),
            accepted: refused.is_none(),
            error_code: refused.map(|refused| refused.error_code.as_str()),
            message: refused.map(|refused| refused.message.as_str()),
        };
        let line = serde_json::to_string(&outcome).map_err(Stop::failed)?;
        text.push_str(&escaped(&line));
        text.push('\n');
    }
    Ok(text)
}

/// Returns a line for each document: its trace, its id, the verdict and why, with tabs between them.
fn plain(batch: &[String], refused: &[UnprocessedTraceSegment]) -> String {
    let mut text = String::new();
    for (ids, refused) in outcomes(batch, refused) {
        let values = [
            ids.trace_id.as_deref().unwrap_or_default(),
            ids.id.as_deref().unwrap_or_default(),
            refused.map_or("accepted", |refused| refused.error_code.as_str()),
            refused.map_or("", |refused| refused.message.as_str()),
        ];
        text.push_str(&values.map(printable).join("\t"));
        text.push('\n');
    }
    text
}

/// Returns the ids of each document and why it was refused. Refusals are told by id; of documents with the same one, the
/// first are taken for those that were refused.
fn outcomes<'a>(
    batch: &[String],
    refused: &'a [UnprocessedTraceSegment],
) -> Vec<(Ids, Option<&'a UnprocessedTraceSegment>)> {
    let mut by_id: HashMap<Option<String>, Vec<&UnprocessedTraceSegment>> = HashMap::new();
    for refused in refused.iter().rev() {
        let refusals = by_id.entry(refused.id.clone()).or_default();
        refusals.push(refused);
    }
    let outcome = |document: &String| {
        let ids = ids(document);
        let refused = by_id.get_mut(&ids.id).and_then(Vec::pop);
        (ids, refused)
    };
    batch.iter().map(outcome).collect()
}

fn ids(document: &str) -> Ids {
    serde_json::from_str(document).unwrap_or_default()
}

fn line(refused: &UnprocessedTraceSegment) -> String {
    let id = refused.id.as_deref().unwrap_or("(no id)");
    let (code, message) = (&refused.error_code, &refused.message);
    printable(&format!("refused {id}: {code}: {message}"))
}

pub(crate) const EXAMPLES: &str = "Examples:
  roentgen put segments.json
  my-service --print-segments | roentgen put - --json
  roentgen put segments.json --endpoint https://xray.eu-west-1.amazonaws.com --profile dev";
pub(crate) const ABOUT: &str = "Send segment documents to a server

The input is one document, a list of documents, documents one after the other (such as one a line), or
whole PutTraceSegments bodies. A file is read to its end before anything of it is sent; documents of a pipe
are sent as they come. Lines of --plain are: trace id, segment id, accepted or the code of the refusal, and
why. Exit codes: 0 all accepted, 5 some refused, or what came before the rest could not be read or sent,
1 none accepted, 4 no server, 2 unreadable input.";
/// Documents one call may carry, whatever the server.
const DOCUMENTS_PER_CALL: usize = 50;
/// Escaped twice over, this still fits the server's default limit of 16 MiB.
const BATCH_BYTES_MAX: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_agrees_with_its_noun() {
        assert_eq!(sum(1, 1), "accepted 1 of 1 document");
        assert_eq!(sum(0, 2), "accepted 0 of 2 documents");
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

    #[test]
    fn a_plain_line_has_ids_verdict_and_reason() {
        let batch = [
            r#"{"id": "a", "trace_id": "t"}"#.to_owned(),
            "nonsense".to_owned(),
        ];
        let text = plain(&batch, &[refused(None)]);
        assert_eq!(text, "t\ta\taccepted\t\n\t\tMissingId\tno\u{fffd}id\n");
    }
}
