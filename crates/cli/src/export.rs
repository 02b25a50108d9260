//! `roentgen export`: writes all traces of a window that a filter means.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::Session;
use crate::exit::{Exit, Stop};
use crate::filter::filter;
use crate::moving::fetch;
use crate::moving::form::{Form, Left};
use crate::moving::output::{Compression, Output, Place, Readers};
use crate::moving::pace::Pace;
use crate::moving::slices::{Overlap, Slices};
use crate::stopping::Stopping;
use crate::terminal::{Progress, note};
use crate::times::TimeFlags;

/// Which traces to write, and how.
#[derive(Args, Debug)]
pub struct Options {
    /// A filter expression; without one all traces are meant
    #[arg(value_name = "EXPR")]
    filter: Option<String>,
    #[command(flatten)]
    time: TimeFlags,
    /// The form to write them in
    #[arg(long, value_enum, default_value_t)]
    format: Form,
    /// The file to write, "-" for standard output; what it held stays until the export is whole
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// How to compress it [default: as its name ends, .gz or .zst]
    #[arg(long, value_enum)]
    compress: Option<Compression>,
}

/// What was written.
#[derive(Debug, Default)]
struct Totals {
    n_traces: u64,
    n_inferred: usize,
    n_unreadable: usize,
    n_missing: usize,
    n_unprocessed: usize,
    is_cut_short: bool,
}

/// Writes the traces of a window.
pub(crate) async fn run(session: &Session, options: &Options) -> Result<Exit, Stop> {
    if let Some(text) = &options.filter {
        filter(text)?;
    }
    let stopping = Stopping::catch()?;
    let window = options.time.window((session.now)(), WINDOW)?;
    let place = Place::of(&options.output)?;
    let client = session.client.paced(Pace::of(CALLS_PER_SECOND));
    let expression = options.filter.as_deref();
    let mut slices = Slices::of(
        &client,
        expression,
        window,
        Overlap::default(),
        TRACES_PER_SLICE,
    );
    let compression = Compression::of(options.compress, &options.output);
    let mut output = Output::begin(&place, compression, Readers::Usual)?;
    output.write(options.format.head().as_bytes())?;
    let progress = Progress::endless("traces");
    let mut totals = Totals::default();
    let mut text = String::new();
    let mut asked = stopping.clone();
    loop {
        let slice = tokio::select! {
            slice = slices.next() => slice?,
            () = asked.asked() => {
                totals.is_cut_short = true;
                break;
            }
        };
        let Some(slice) = slice else {
            break;
        };
        let fetched = fetch::each(&client, &slice.trace_ids, &stopping, |trace| {
            text.clear();
            let left = options.format.write(trace, totals.n_traces == 0, &mut text);
            totals.add(left, !text.is_empty());
            progress.advance(1);
            output.write(text.as_bytes())
        });
        let fetched = fetched.await?;
        totals.n_missing += fetched.n_missing;
        totals.n_unprocessed += fetched.unprocessed.len();
        totals.is_cut_short |= fetched.is_cut_short;
    }
    progress.finish();
    if !totals.is_cut_short {
        output.write(options.format.foot().as_bytes())?;
        output.finish()?;
    }
    totals.tell(options);
    Ok(stopping.exit_or(totals.exit()))
}

impl Totals {
    fn add(&mut self, left: Left, is_written: bool) {
        self.n_traces += u64::from(is_written);
        self.n_inferred += left.n_inferred;
        self.n_unreadable += left.n_unreadable;
    }

    fn tell(&self, options: &Options) {
        let n_traces = self.n_traces;
        note(&format!("exported {n_traces} traces"));
        let told = [
            (
                self.n_inferred,
                "segments left out that a server inferred; who imports the others infers them again",
            ),
            (
                self.n_unreadable,
                "segments left out that say too little to be spans",
            ),
            (self.n_missing, "traces are no longer there"),
            (
                self.n_unprocessed,
                "traces the server did not look at, however often it was asked",
            ),
        ];
        for (n, what) in told.iter().filter(|(n, _)| *n > 0) {
            note(&format!("{n} {what}"));
        }
        if self.is_cut_short && options.output.as_os_str() != "-" {
            note(&format!("{} is not written", options.output.display()));
        }
    }

    const fn exit(&self) -> Exit {
        let is_whole = self.n_missing == 0 && self.n_unprocessed == 0 && self.n_unreadable == 0;
        match (is_whole, self.n_traces) {
            (true, 0) => Exit::NotFound,
            (true, _) => Exit::Done,
            (false, _) => Exit::Partly,
        }
    }
}

pub(crate) const EXAMPLES: &str = "Examples:
  roentgen export --last 24h -o traces.jsonl.zst
  roentgen export 'service(\"shop\") AND fault' --format otlp -o faults.jsonl
  roentgen export --from 2026-11-22 --format jaeger -o jaeger.json
  roentgen export --endpoint https://xray.eu-west-1.amazonaws.com | roentgen import -";
pub(crate) const ABOUT: &str = "Write all traces of a window to a file

Each trace is written once, the oldest first. In the form xray the documents are as the server answers them, and
`roentgen import` sends them as they are; segments a server inferred are left out. A file is whole or not there: until
the end its name has .new behind it; what is left of one that was killed, the next takes over. What is no file, such as
a pipe, is written to as it is.

Exit codes: 0 done, 3 no traces, 4 no server, 5 some are missing, 2 a wrong filter or time, or the file is there already.";
/// The window if none is named.
const WINDOW: Duration = Duration::from_hours(24);
/// Traces whose ids are in memory at a time, about.
const TRACES_PER_SLICE: usize = 10_000;
/// A bound nobody reaches; a server that has no room lowers it.
const CALLS_PER_SECOND: f64 = 1_000.0;
