//! `roentgen import`: sends the traces of files, in any of the usual forms.
//!
//! A thread reads and makes documents, this side sends them: so much is in memory as is on its way. Ids are kept, so the
//! same file sent again changes nothing. Calls are made side by side, but never two with copies of one document.

mod elements;
mod frames;
mod reader;
mod scan;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use model::Timestamp;
use protocol::Operation;
use protocol::shapes::{PutTraceSegmentsRequest, PutTraceSegmentsResponse};
use replay::Shift;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::Session;
use crate::client::{CallError, Client};
use crate::exit::{Exit, Stop};
use crate::moving::Facts;
use crate::spans::SpanFlags;
use crate::stopping::Stopping;
use crate::terminal::{Progress, counted, print, printable};
use elements::Format;
use reader::{Document, Item, Job, Source};
#[cfg(test)]
pub(crate) use tests::documents_of;

/// What to send, and how.
#[derive(Args, Debug)]
pub struct Options {
    /// The files to read, "-" for standard input; compressed by gzip or zstd or not
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The form they are in
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// When the traces were: as they say, or moved so that the last one ends now
    #[arg(long, value_enum, default_value_t)]
    at: At,
    /// Pass over what cannot be read or is refused, instead of stopping there
    #[arg(long)]
    skip_bad: bool,
    /// Print what became of them as a line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    spans: SpanFlags,
}

/// When traces were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum At {
    /// As they say
    #[default]
    Keep,
    /// Such that the last one ends now
    Now,
}

/// What became of everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Totals {
    documents: u64,
    accepted: u64,
    refused: u64,
    bad: u64,
    inferred: u64,
}

/// Sends the documents of files and prints what became of them.
pub(crate) async fn run(session: &Session, options: &Options) -> Result<Exit, Stop> {
    let mut stopping = Stopping::catch()?;
    let now = (session.now)();
    let sources = options.files.iter().map(Source::of);
    let sources: Vec<Source> = sources.collect::<Result<_, _>>()?;
    let n_bytes: Option<u64> = sources.iter().map(Source::n_bytes).sum();
    // What is to end now is read twice.
    let n_bytes = n_bytes.map(|n_bytes| match options.at {
        At::Keep => n_bytes,
        At::Now => n_bytes * 2,
    });
    let progress = Arc::new(match n_bytes {
        Some(n_bytes) => Progress::bytes(n_bytes),
        None => Progress::endless("documents"),
    });
    let job = Job {
        sources,
        format: options.format,
        skip_bad: options.skip_bad,
        rules: options.spans.rules(),
        n_batch: session.documents_per_call.min(DOCUMENTS_PER_CALL),
        now,
        meter: n_bytes.map(|_| Arc::clone(&progress)),
    };
    let (job, shift) = match options.at {
        At::Keep => (job, None),
        At::Now => tokio::select! {
            moved = moved(job, now) => moved?,
            () = stopping.asked() => {
                progress.clear();
                return Ok(stopping.exit_or(Exit::Interrupted));
            }
        },
    };
    let job = Arc::new(job);
    let (sender, items) = mpsc::channel(BATCHES_WAITING);
    let reader = Arc::clone(&job);
    // Nobody waits for this thread: it ends when nothing is left or nobody listens, or with the process.
    std::thread::spawn(move || reader.send(shift, sender));
    let mut import = Import {
        client: session.client.clone(),
        job,
        totals: Totals::default(),
        progress,
        failure: None,
    };
    import.send_all(items, &mut stopping).await;
    import.finish(options, &stopping)
}

/// Returns how far the traces are to be moved in time; for that everything is read once.
async fn moved(mut job: Job, now: Timestamp) -> Result<(Job, Option<Shift>), Stop> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let kept = job.sources.iter_mut().try_for_each(Source::keep);
        let found = kept.map(|()| {
            let latest = job.latest();
            (job, latest)
        });
        // Who does not listen any more does not care.
        let _unheard = sender.send(found);
    });
    let read = receiver
        .await
        .map_err(|_| Stop::failed("reading ended early"))?;
    let (job, latest) =
        read.map_err(|error| Stop::failed(format!("keeping standard input: {error}")))?;
    Ok((job, latest.map(|latest| Shift::between(latest, now))))
}

struct Import {
    client: Client,
    job: Arc<Job>,
    totals: Totals,
    progress: Arc<Progress>,
    /// What ends everything.
    failure: Option<Stop>,
}

/// What became of a batch.
struct Outcome {
    keys: Vec<u64>,
    n_accepted: u64,
    refused: Vec<(Document, String)>,
    failure: Option<CallError>,
}

impl Import {
    async fn send_all(&mut self, mut items: mpsc::Receiver<Item>, stopping: &mut Stopping) {
        let mut calls = FuturesUnordered::new();
        let mut under_way: HashSet<u64> = HashSet::new();
        let mut held: Option<Vec<Document>> = None;
        let mut is_over = false;
        loop {
            if let Some(batch) = held.take() {
                let is_new = |document: &Document| !under_way.contains(&document.key);
                if batch.iter().all(is_new) {
                    under_way.extend(batch.iter().map(|document| document.key));
                    calls.push(Box::pin(send(self.client.clone(), batch)));
                } else {
                    held = Some(batch);
                }
            }
            if is_over && calls.is_empty() && held.is_none() {
                return;
            }
            let may_take = !is_over && held.is_none() && calls.len() < CALLS_MAX;
            tokio::select! {
                biased;
                () = stopping.asked(), if !is_over => {
                    is_over = true;
                    held = None;
                }
                Some(outcome) = calls.next(), if !calls.is_empty() => {
                    under_way.retain(|key| !outcome.keys.contains(key));
                    if self.note(outcome) {
                        is_over = true;
                        held = None;
                    }
                }
                item = items.recv(), if may_take => match item {
                    Some(Item::Batch(batch)) => held = Some(batch),
                    Some(Item::Bad(message)) => {
                        self.totals.bad += 1;
                        self.progress.note(&printable(&message));
                    }
                    Some(Item::End { n_inferred }) => self.totals.inferred = n_inferred,
                    None => is_over = true,
                },
            }
        }
    }

    /// Counts what became of a batch; tells whether that is the end.
    fn note(&mut self, outcome: Outcome) -> bool {
        let n_refused = u64::try_from(outcome.refused.len()).unwrap_or_default();
        self.totals.accepted += outcome.n_accepted;
        self.totals.refused += n_refused;
        self.totals.documents += outcome.n_accepted + n_refused;
        if self.job.meter.is_some() {
            let documents = counted(self.totals.documents, "document");
            self.progress.describe(&documents);
        } else {
            self.progress.advance(outcome.n_accepted + n_refused);
        }
        for (document, message) in &outcome.refused {
            let source = self.job.sources.get(document.source_idx);
            let place = source
                .map(|source| source.place(document.place))
                .unwrap_or_default();
            self.progress
                .note(&printable(&format!("{place}: {message}")));
        }
        if let Some(error) = outcome.failure {
            self.failure.get_or_insert_with(|| error.into());
            return true;
        }
        n_refused > 0 && !self.job.skip_bad
    }

    fn finish(self, options: &Options, stopping: &Stopping) -> Result<Exit, Stop> {
        self.progress.clear();
        let text = if options.json {
            let text = serde_json::to_string(&self.totals).map_err(Stop::failed)?;
            format!("{text}\n")
        } else {
            self.totals.line()
        };
        print(&text)?;
        if let Some(stop) = self.failure {
            return Err(stop);
        }
        let exit = self.totals.exit(options.skip_bad);
        if exit == Exit::NotFound {
            crate::note("there are no traces in it");
        }
        if exit == Exit::Failed && !options.skip_bad {
            crate::note(
                "stopped there; --skip-bad passes over what is bad, and what was sent may be sent again",
            );
        }
        Ok(stopping.exit_or(exit))
    }
}

impl Totals {
    fn line(&self) -> String {
        let Self {
            documents,
            accepted,
            bad,
            inferred,
            ..
        } = self;
        let mut line = format!("accepted {accepted} of {}", counted(*documents, "document"));
        if *bad > 0 {
            let _infallible = write!(line, ", {bad} could not be read");
        }
        if *inferred > 0 {
            let inferred = counted(*inferred, "inferred segment");
            let _infallible = write!(line, ", {inferred} left out");
        }
        line.push('\n');
        line
    }

    const fn exit(&self, skip_bad: bool) -> Exit {
        let is_all_good = self.bad == 0 && self.refused == 0;
        match (is_all_good, skip_bad && self.accepted > 0) {
            (true, _) if self.accepted == 0 => Exit::NotFound,
            (true, _) => Exit::Done,
            (false, true) => Exit::Partly,
            (false, false) => Exit::Failed,
        }
    }
}

/// Sends a batch. If the call as a whole is refused, its halves are sent, so that what is good is taken.
async fn send(client: Client, batch: Vec<Document>) -> Outcome {
    let mut outcome = Outcome {
        keys: batch.iter().map(|document| document.key).collect(),
        n_accepted: 0,
        refused: Vec::new(),
        failure: None,
    };
    let mut waiting = vec![batch];
    while let Some(mut batch) = waiting.pop() {
        let texts = batch
            .iter()
            .map(|document| Cow::from(document.text.as_str()));
        let request = PutTraceSegmentsRequest {
            trace_segment_documents: texts.collect(),
        };
        let called = client.call(Operation::PutTraceSegments, &request).await;
        drop(request);
        match called {
            Ok(response) => sort_out(batch, response, &mut outcome),
            Err(CallError::Refused {
                status: 400 | 413, ..
            }) if batch.len() > 1 => {
                let rest = batch.split_off(batch.len() / 2);
                waiting.extend([rest, batch]);
            }
            Err(CallError::Refused {
                status: 400 | 413,
                code,
                message,
            }) => {
                let refused = batch.into_iter();
                let refused =
                    refused.map(|document| (document, format!("refused: {code}: {message}")));
                outcome.refused.extend(refused);
            }
            Err(error) => {
                outcome.failure = Some(error);
                break;
            }
        }
    }
    outcome
}

/// Tells documents that were taken from the others. Refusals are told by id; of documents with the same one, the first
/// are taken for those that were refused.
fn sort_out(batch: Vec<Document>, response: PutTraceSegmentsResponse, outcome: &mut Outcome) {
    let mut unprocessed = response.unprocessed_trace_segments;
    for document in batch {
        let id = Facts::of(&document.text)
            .id
            .map(|id| id.get().trim_matches('"').to_owned());
        let found = unprocessed.iter().position(|refused| refused.id == id);
        match found.map(|idx| unprocessed.remove(idx)) {
            Some(refused) => {
                let id = refused
                    .id
                    .unwrap_or_else(|| "a document without id".to_owned());
                let message = format!("refused {id}: {}: {}", refused.error_code, refused.message);
                outcome.refused.push((document, message));
            }
            None => outcome.n_accepted += 1,
        }
    }
    // Some are told without the id they were sent with.
    let n_untold = u64::try_from(unprocessed.len()).unwrap_or_default();
    outcome.n_accepted = outcome.n_accepted.saturating_sub(n_untold);
    for refused in unprocessed {
        let message = format!("refused: {}: {}", refused.error_code, refused.message);
        let nowhere = Document {
            text: String::new(),
            key: 0,
            source_idx: 0,
            place: scan::Place::default(),
        };
        outcome.refused.push((nowhere, message));
    }
}

pub(crate) const EXAMPLES: &str = "Examples:
  roentgen import traces.jsonl.zst
  roentgen import jaeger.json zipkin.json --at now
  kubectl logs collector | roentgen import - --skip-bad";
pub(crate) const ABOUT: &str = "Send traces of files, in any of the usual formats, to a server

Read are: what `roentgen export` writes; segment documents, alone, in lists, in calls and answers of the X-Ray API;
export requests of OpenTelemetry in JSON (also one a line) and protobuf (also as its file exporter writes them); what
Jaeger's API answers and its user interface saves; spans of Zipkin's second version. Any of them may be compressed by
gzip or zstd. Files may be larger than memory. Ids are kept, so sending a file again changes nothing.

Exit codes: 0 all accepted, 1 stopped at something bad, 3 no traces in it, 4 no server, 5 with --skip-bad: some passed
over, 2 a file cannot be read.";
/// Documents one call may carry, whatever the server.
const DOCUMENTS_PER_CALL: usize = 50;
const CALLS_MAX: usize = 4;
const BATCHES_WAITING: usize = 2;
