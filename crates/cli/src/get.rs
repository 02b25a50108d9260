//! `roentgen get`: prints traces.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use model::TraceId;
use serde::Deserialize;
use tokio::time::timeout;

use crate::Session;
use crate::client::{Batch, CallError, Trace};
use crate::exit::{Exit, Stop};
use crate::moving::Facts;
use crate::stopping::Stopping;
use crate::terminal::{
    Form, Glyphs, Out, OutFlags, Progress, counted, escaped, moment, note, number, print, printable,
};
use crate::timeline::{Entry, Timeline};
use crate::tree;

/// Which traces to print, and how.
#[derive(Args, Debug)]
pub struct Options {
    /// Trace ids, as X-Ray or W3C trace context writes them; "-" reads them from standard input
    #[arg(required = true, value_name = "TRACE_ID")]
    trace_ids: Vec<String>,
    /// How the traces are printed
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["json", "plain"])]
    format: Format,
    #[command(flatten)]
    out: OutFlags,
    /// How long to wait until all traces are there and none of their segments is in progress
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    wait: Option<Duration>,
}

/// How traces are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Segments under what called them, for people
    #[default]
    Tree,
    /// The same as --json
    Json,
    /// A segment document a line, as `roentgen put` takes them; segments a server inferred are left out
    Documents,
}

/// Prints the traces with these ids.
pub(crate) async fn run(session: &Session, options: &Options) -> Result<Exit, Stop> {
    let wanted = wanted(&options.trace_ids)?;
    let mut shown = Shown::new(session, options);
    match options.wait {
        Some(wait) => waited(session, &wanted, wait, &mut shown).await,
        None => at_once(session, &wanted, &mut shown).await,
    }
}

/// Prints the traces as they are.
async fn at_once(session: &Session, wanted: &[String], shown: &mut Shown) -> Result<Exit, Stop> {
    let total = u64::try_from(wanted.len()).unwrap_or(u64::MAX);
    let progress = Progress::of(total, "traces");
    let client = &session.client;
    for trace_ids in wanted.chunks(TRACES_AT_ONCE) {
        let answer = client.batch_get(trace_ids);
        match progress.during(|| client.n_throttled(), answer).await {
            Ok(batch) => progress.beside(|| shown.print(&batch.traces))?,
            Err(error) => {
                progress.finish();
                let stop = Stop::from(error);
                let is_part = !shown.found.is_empty();
                let exit = if is_part { Exit::Partly } else { stop.exit };
                return Err(Stop::new(exit, stop.message));
            }
        }
        progress.advance(u64::try_from(trace_ids.len()).unwrap_or(u64::MAX));
    }
    progress.finish();
    shown.tell(wanted);
    Ok(Exit::of(shown.found.len(), wanted.len(), Exit::NotFound))
}

/// Prints the traces once all are there and done, or as they are when the time is over or the end is asked for.
async fn waited(
    session: &Session,
    wanted: &[String],
    wait: Duration,
    shown: &mut Shown,
) -> Result<Exit, Stop> {
    let mut stopping = Stopping::catch()?;
    let progress = Progress::waiting("waiting for traces");
    let mut waiting = Waiting::default();
    let end = tokio::select! {
        biased;
        () = stopping.asked() => End::Asked,
        end = waiting.until_done(session, wanted, wait, &progress) => end?,
    };
    progress.finish();
    shown.print(&waiting.batch.traces)?;
    shown.tell(wanted);
    match end {
        End::Done => return Ok(Exit::of(shown.found.len(), wanted.len(), Exit::NotFound)),
        End::Asked => {}
        End::TimeOver => match waiting.failure {
            Some(error @ CallError::Unreachable { .. }) => return Err(error.into()),
            Some(error) => note(&error.to_string()),
            None => {}
        },
    }
    note("not all traces are there and done yet");
    Ok(stopping.exit_or(Exit::NotFound))
}

/// What is printed.
struct Shown {
    format: Format,
    /// Nothing but lines for programs.
    is_plain: bool,
    out: Out,
    glyphs: Glyphs,
    found: HashSet<String>,
    n_inferred: usize,
}

impl Shown {
    fn new(session: &Session, options: &Options) -> Self {
        let form = options.out.out().form();
        Self {
            format: if form == Form::Json {
                Format::Json
            } else {
                options.format
            },
            is_plain: form == Form::Plain,
            out: Out::people(),
            glyphs: Glyphs::of(&session.environment),
            found: HashSet::new(),
            n_inferred: 0,
        }
    }

    fn print(&mut self, traces: &[Trace]) -> Result<(), Stop> {
        let mut text = String::new();
        for trace in traces {
            if self.format == Format::Tree && !self.is_plain && !self.found.is_empty() {
                text.push('\n');
            }
            self.found.insert(trace.id.clone());
            text.push_str(&self.text(trace)?);
        }
        print(&text)
    }

    fn text(&mut self, trace: &Trace) -> Result<String, Stop> {
        if self.is_plain {
            return Ok(plain(&Timeline::of(trace)));
        }
        Ok(match self.format {
            Format::Tree => tree::render(trace, self.out, self.glyphs),
            Format::Documents => {
                let (documents, n_inferred) = documents(trace);
                self.n_inferred += n_inferred;
                // A terminal takes some characters for commands; elsewhere documents are what they are.
                if self.out.width().is_some() {
                    escaped(&documents)
                } else {
                    documents
                }
            }
            Format::Json => {
                let line = serde_json::to_string(trace).map_err(Stop::failed)?;
                format!("{}\n", escaped(&line))
            }
        })
    }

    /// Tells what is not there and what was left out.
    fn tell(&self, wanted: &[String]) {
        for trace_id in wanted.iter().filter(|id| !self.found.contains(*id)) {
            note(&format!("not found: {trace_id}"));
        }
        if self.n_inferred > 0 {
            let segments = counted(self.n_inferred, "segment");
            note(&format!("{segments} left out that a server inferred"));
        }
    }
}

/// How waiting came to its end.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// All traces are there and done.
    Done,
    /// The time is over.
    TimeOver,
    /// The end was asked for.
    Asked,
}

/// What was seen while waiting.
#[derive(Debug, Default)]
struct Waiting {
    /// The traces as they were seen last.
    batch: Batch,
    /// Why the last look saw nothing, if it did not.
    failure: Option<CallError>,
}

impl Waiting {
    /// Returns once all traces are there and done, or the time is over. A server that is not there yet, has no room or
    /// does not answer is asked again.
    async fn until_done(
        &mut self,
        session: &Session,
        wanted: &[String],
        wait: Duration,
        progress: &Progress,
    ) -> Result<End, Stop> {
        let client = &session.client;
        let begun = Instant::now();
        let mut pause = PAUSE_FIRST;
        loop {
            let left = wait.saturating_sub(begun.elapsed());
            let n_before = client.n_throttled();
            let answer = client.batch_get(wanted);
            let answer = progress.during(|| client.n_throttled(), answer);
            match timeout(left.max(LOOK_MIN), answer).await {
                Ok(Ok(batch)) => {
                    self.failure = None;
                    self.batch = batch;
                    let traces = &self.batch.traces;
                    if traces.len() >= wanted.len() && traces.iter().all(is_done) {
                        return Ok(End::Done);
                    }
                }
                Ok(Err(error)) if may_pass(&error, client.n_throttled() > n_before) => {
                    self.failure = Some(error);
                }
                Ok(Err(error)) => return Err(error.into()),
                Err(_elapsed) => return Ok(End::TimeOver),
            }
            let left = wait.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(End::TimeOver);
            }
            // Only paces the questions; nothing is assumed to have happened meanwhile.
            let pausing = tokio::time::sleep(pause.min(left));
            progress.during(|| 0, pausing).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// Tells whether a call that failed may succeed later.
const fn may_pass(error: &CallError, was_throttled: bool) -> bool {
    match error {
        CallError::Unreachable { .. } => true,
        CallError::Refused { status, .. } => was_throttled || *status >= 500,
        CallError::Nonsense(_) | CallError::Unsigned(_) => false,
    }
}

/// Returns the ids in X-Ray's form, each once.
fn wanted(texts: &[String]) -> Result<Vec<String>, Stop> {
    let mut typed: Vec<String> = Vec::new();
    for text in texts {
        if text == "-" {
            let input = std::io::read_to_string(std::io::stdin().lock());
            let input = input.map_err(|error| Stop::usage(format!("standard input: {error}")))?;
            typed.extend(input.split_whitespace().map(str::to_owned));
        } else {
            typed.push(text.clone());
        }
    }
    let mut seen = HashSet::new();
    let mut wanted = Vec::new();
    for text in &typed {
        let trace_id = TraceId::parse_any(text).map_err(|error| {
            Stop::usage(format!("{text} is no trace id: {error}, or 32 hex digits"))
        })?;
        let trace_id = trace_id.to_string();
        if seen.insert(trace_id.clone()) {
            wanted.push(trace_id);
        }
    }
    if wanted.is_empty() {
        // What brings the ids found nothing.
        return Err(Stop::new(Exit::NotFound, "no trace ids on standard input"));
    }
    Ok(wanted)
}

/// Tells whether a trace has segments and none of them is in progress.
fn is_done(trace: &Trace) -> bool {
    #[derive(Default, Deserialize)]
    struct Progress {
        #[serde(default)]
        in_progress: bool,
    }
    !trace.segments.is_empty()
        && trace.segments.iter().all(|segment| {
            let progress: Progress = serde_json::from_str(&segment.document).unwrap_or_default();
            !progress.in_progress
        })
}

/// Returns the documents of a trace that were sent, each in a line, and how many a server made up instead.
fn documents(trace: &Trace) -> (String, usize) {
    let (mut text, mut n_inferred) = (String::new(), 0);
    for segment in &trace.segments {
        if Facts::of(&segment.document).is_inferred() {
            n_inferred += 1;
            continue;
        }
        text.push_str(&segment.document.replace(['\r', '\n'], " "));
        text.push('\n');
    }
    (text, n_inferred)
}

/// Returns a line for each segment and subsegment, below its caller, with tabs between its values.
fn plain(timeline: &Timeline) -> String {
    let mut text = String::new();
    for entry in &timeline.entries {
        let values = values(&timeline.id, entry);
        text.push_str(&values.map(|value| printable(&value)).join("\t"));
        text.push('\n');
    }
    text
}

fn values(trace_id: &str, entry: &Entry) -> [String; 9] {
    let start = entry.start.map(|start| moment(start.as_secs_f64()));
    let status = entry.status.map(|status| status.to_string());
    [
        trace_id.to_owned(),
        entry.id.clone(),
        entry.parent_id.clone().unwrap_or_default(),
        entry.name.clone(),
        entry.kind.clone().unwrap_or_default(),
        start.unwrap_or_default(),
        entry.took.map(number).unwrap_or_default(),
        status.unwrap_or_default(),
        entry.outcomes.join(","),
    ]
}

pub(crate) const EXAMPLES: &str = "Examples:
  roentgen get 1-58406520-a006649127e371903a2de979
  roentgen get 4bf92f3577b34da6a3ce929d0e0e4736 --wait 30s
  grep -o '1-[0-9a-f]\\{8\\}-[0-9a-f]\\{24\\}' app.log | roentgen get - --format documents";
pub(crate) const ABOUT: &str = "Print traces of a server

With --json each trace is a line, with the members of BatchGetTraces. With --plain each segment and
subsegment is a line: trace id, id, id of its parent, name, origin or namespace, start, seconds it took (none
in progress), status, and what came of it (fault, error, throttle, inferred).

With --wait a server that is not there yet, is busy or does not answer is waited for as well. Exit codes: 0 all
found, 5 some missing, or what came before a call failed, 3 none found, or with --wait not all found and done,
4 no server, 2 not a trace id.";
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// What the last look has at least, so that there is one however short the time is.
const LOOK_MIN: Duration = Duration::from_secs(1);
/// As many as one call may ask for.
pub(crate) const TRACES_AT_ONCE: usize = 5;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_read_in_both_forms_and_each_is_wanted_once() {
        let texts = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let both = texts(&[
            "4bf92f3577b34da6a3ce929d0e0e4736",
            "1-4bf92f35-77b34da6a3ce929d0e0e4736",
        ]);
        assert_eq!(wanted(&both).unwrap(), both[1..]);
        assert_eq!(wanted(&texts(&["nonsense"])).unwrap_err().exit, Exit::Usage);
    }

    fn trace(documents: &[&str]) -> Trace {
        let segments: Vec<_> = documents
            .iter()
            .map(|document| json!({"Id": "x", "Document": document}))
            .collect();
        serde_json::from_value(json!({"Id": "1-2-3", "Segments": segments})).unwrap()
    }

    #[test]
    fn a_trace_is_done_when_nothing_of_it_is_in_progress() {
        let check = |documents: &[&str], expected| {
            assert_eq!(is_done(&trace(documents)), expected, "{documents:?}");
        };
        check(&[], false);
        check(&[r#"{"end_time": 1}"#], true);
        check(&[r#"{"in_progress": false}"#], true);
        check(&[r#"{"end_time": 1}"#, r#"{"in_progress": true}"#], false);
    }

    #[test]
    fn documents_that_were_sent_are_printed_one_a_line() {
        let trace = trace(&["{\n\"id\": 1}", r#"{"id": 2, "inferred": true}"#, "{}"]);
        assert_eq!(documents(&trace), ("{ \"id\": 1}\n{}\n".to_owned(), 1));
    }

    #[test]
    fn a_plain_line_is_a_segment_or_subsegment() {
        let trace = trace(&[
            r#"{"id": "a", "name": "x\u001b", "origin": "o", "start_time": 1, "end_time": 1.25, "fault": true, "error": true,
                "http": {"response": {"status": 500}}, "subsegments": [{"id": "b", "name": "y", "start_time": 1.5}]}"#,
        ]);
        insta::assert_snapshot!(plain(&Timeline::of(&trace)).replace('\t', "|").replace('\u{fffd}', "?"), @r"
        1-2-3|a||x?|o|1970-01-01T00:00:01.000000Z|0.25|500|fault,error
        1-2-3|b|a|y||1970-01-01T00:00:01.500000Z|||
        ");
    }

    #[test]
    fn what_may_pass_is_waited_for() {
        let refused = |status| CallError::Refused {
            status,
            code: String::new(),
            message: String::new(),
        };
        let unreachable = CallError::Unreachable {
            endpoint: String::new(),
            cause: String::new(),
            advice: "",
        };
        let check = |error: &CallError, was_throttled, expected| {
            assert_eq!(may_pass(error, was_throttled), expected, "{error}");
        };
        check(&unreachable, false, true);
        check(&refused(503), false, true);
        check(&refused(400), true, true);
        check(&refused(400), false, false);
        check(&CallError::Unsigned(String::new()), false, false);
    }
}
