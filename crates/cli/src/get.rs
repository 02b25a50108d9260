//! `roentgen get`: prints traces.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use model::TraceId;
use serde::Deserialize;

use crate::Session;
use crate::client::{Batch, Trace};
use crate::exit::{Exit, Stop};
use crate::terminal::{Glyphs, Out, escaped, note, print};
use crate::tree;

/// Which traces to print, and how.
#[derive(Args, Debug)]
pub struct Options {
    /// Trace ids, as X-Ray or W3C trace context writes them; "-" reads them from standard input
    #[arg(required = true, value_name = "TRACE_ID")]
    trace_ids: Vec<String>,
    /// How the traces are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
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
    /// A list, as `BatchGetTraces` returns it
    Json,
    /// A segment document a line, as `roentgen put` takes them
    Documents,
}

/// Prints the traces with these ids.
pub(crate) async fn run(session: &Session, options: &Options) -> Result<Exit, Stop> {
    let wanted = wanted(&options.trace_ids)?;
    let (batch, is_settled) = match options.wait {
        Some(wait) => settled(session, &wanted, wait).await?,
        None => (session.client.batch_get(&wanted).await?, true),
    };
    let format = if options.json {
        Format::Json
    } else {
        options.format
    };
    let out = Out::people();
    print(&match format {
        Format::Tree => {
            let glyphs = Glyphs::of(&session.environment);
            let draw = |trace| tree::render(trace, out, glyphs);
            batch.traces.iter().map(draw).collect::<Vec<_>>().join("\n")
        }
        // A terminal takes some characters for commands; elsewhere documents are what they are.
        Format::Documents if out.width().is_some() => escaped(&documents(&batch.traces)),
        Format::Documents => documents(&batch.traces),
        Format::Json => escaped(&json(&batch.traces)?),
    })?;
    let found: HashSet<&str> = batch.traces.iter().map(|trace| trace.id.as_str()).collect();
    for trace_id in wanted.iter().filter(|id| !found.contains(id.as_str())) {
        note(&format!("not found: {trace_id}"));
    }
    if !is_settled {
        note("not all traces are there and done yet");
        return Ok(Exit::NotFound);
    }
    Ok(Exit::of(found.len(), wanted.len(), Exit::NotFound))
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
        return Err(Stop::usage("no trace ids on standard input"));
    }
    Ok(wanted)
}

/// Returns the traces once all are there and done, or as they are when the time is over, and which of both it is.
async fn settled(
    session: &Session,
    wanted: &[String],
    wait: Duration,
) -> Result<(Batch, bool), Stop> {
    let begun = Instant::now();
    let mut pause = PAUSE_FIRST;
    loop {
        let batch = session.client.batch_get(wanted).await?;
        let is_settled = batch.traces.len() >= wanted.len() && batch.traces.iter().all(is_done);
        let left = wait.saturating_sub(begun.elapsed());
        if is_settled || left.is_zero() {
            return Ok((batch, is_settled));
        }
        // Only paces the questions; nothing is assumed to have happened meanwhile.
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
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

fn json(traces: &[Trace]) -> Result<String, Stop> {
    let text = serde_json::to_string_pretty(traces).map_err(Stop::failed)?;
    Ok(format!("{text}\n"))
}

/// Returns the documents of traces, each in a line.
fn documents(traces: &[Trace]) -> String {
    let mut text = String::new();
    for segment in traces.iter().flat_map(|trace| &trace.segments) {
        text.push_str(&segment.document.replace(['\r', '\n'], " "));
        text.push('\n');
    }
    text
}

pub(crate) const EXAMPLES: &str = "Examples:
  roentgen get 1-58406520-a006649127e371903a2de979
  roentgen get 4bf92f3577b34da6a3ce929d0e0e4736 --wait 30s
  grep -o '1-[0-9a-f]\\{8\\}-[0-9a-f]\\{24\\}' app.log | roentgen get - --format documents";
pub(crate) const ABOUT: &str = "Print traces of a server

Exit codes: 0 all found, 5 some missing, 3 none found, or with --wait not all found and done, 4 no server,
2 not a trace id.";
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(2);

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
    fn documents_are_printed_one_a_line() {
        let traces = [trace(&["{\n\"id\": 1}"]), trace(&["{}"])];
        let text = documents(&traces);
        assert_eq!(text, "{ \"id\": 1}\n{}\n");
    }
}
