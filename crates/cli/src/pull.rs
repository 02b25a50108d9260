//! `roentgen pull`: fetches the traces of a running account, gently, and in a way that can be gone on with.
//!
//! A slice of time is fetched, made durable, and then noted beside the output with how long that is now. What is
//! behind that when a pull goes on is cut off: so each trace is there once, wherever the pull before it was killed.

mod progress;
mod sink;

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::Session;
use crate::client::Client;
use crate::exit::{Exit, Stop};
use crate::filter::filter;
use crate::moving::fetch;
use crate::moving::output::{Compression, Place};
use crate::moving::pace::Pace;
use crate::moving::slices::Slices;
use crate::stopping::Stopping;
use crate::terminal::{Progress, note, print};
use crate::times::{TimeFlags, Window};
use progress::{Done, End, Noted, State};
use sink::Sink;

/// Which traces to fetch, and where to.
#[derive(Args, Debug)]
pub struct Options {
    /// A filter expression; without one all traces are meant
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,
    #[command(flatten)]
    time: TimeFlags,
    /// The file to write, as `roentgen export` does; compressed if its name ends in .gz or .zst
    #[arg(
        short,
        long,
        value_name = "FILE",
        required_unless_present = "into",
        conflicts_with = "into"
    )]
    output: Option<PathBuf>,
    /// The folder to write a journal to, for `roentgen replay`
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// Go on with what was begun, whatever times are named
    #[arg(long)]
    resume: bool,
    /// Write over what is there
    #[arg(long)]
    force: bool,
    /// Calls a second at most; fewer while the server has no room
    #[arg(long, value_name = "N", default_value_t = 20.0, value_parser = rate)]
    rate: f64,
    /// Print what was fetched as a line of JSON
    #[arg(long)]
    json: bool,
}

/// Where traces are written to.
enum Target {
    File(PathBuf),
    Folder(PathBuf),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Totals {
    traces: u64,
    missing: u64,
    /// Not looked at, and asked for again.
    unprocessed: usize,
    done: bool,
}

/// Fetches the traces of a window.
pub(crate) async fn run(session: &Session, options: &Options) -> Result<Exit, Stop> {
    if let Some(text) = &options.filter {
        filter(text)?;
    }
    let stopping = Stopping::catch()?;
    let target = Target::of(options)?;
    let mut noted = match Noted::read(&target.progress())? {
        Some(noted) => gone_on_with(noted, session, options)?,
        None => begun(session, options, &target)?,
    };
    let mut sink = match &target {
        Target::File(path) => {
            let compression = Compression::of(None, path);
            let Some(sink) = Sink::file(path, compression, &mut noted)? else {
                return told(&noted.state, options, true);
            };
            sink
        }
        Target::Folder(path) => Sink::folder(path, &mut noted, (session.now)())?,
    };
    let pull = Pull {
        client: session.client.paced(Pace::of(options.rate)),
        stopping: &stopping,
    };
    // Asked for once more by another command, it is taken for gone.
    let is_last_try = noted.is_all_asked();
    let mut is_whole = pull.all(&mut noted, &mut sink).await?;
    let n_unprocessed = noted.state.unprocessed.len();
    if !is_whole {
        note("stopped; the same command goes on from here");
    } else if n_unprocessed > 0 && !is_last_try {
        is_whole = false;
        note(&format!(
            "the server did not look at {n_unprocessed} traces, however often it was asked; the same command asks for them once more"
        ));
    } else {
        noted.give_up();
        sink.finish(noted.remover())?;
    }
    let exit = told(&noted.state, options, is_whole)?;
    Ok(stopping.exit_or(exit))
}

struct Pull<'a> {
    client: Client,
    stopping: &'a Stopping,
}

impl Pull<'_> {
    /// Fetches slice after slice, and then what was not looked at; tells whether nothing stopped it.
    async fn all(&self, noted: &mut Noted, sink: &mut Sink) -> Result<bool, Stop> {
        let progress = Progress::endless("traces");
        let window = Window {
            from: noted.state.done_to(),
            to: noted.state.to(),
        };
        let filter = noted.state.filter.clone();
        let mut slices = Slices::of(
            &self.client,
            filter.as_deref(),
            window,
            noted.state.overlap.clone(),
            TRACES_PER_SLICE,
        );
        loop {
            let mut stopping = self.stopping.clone();
            let next = tokio::select! {
                next = slices.next() => next.map_err(|error| goes_on(error.into()))?,
                () = stopping.asked() => {
                    progress.finish();
                    return Ok(false);
                }
            };
            let Some(slice) = next else {
                break;
            };
            let fetched = self.fetch(&slice.trace_ids, sink, &progress).await?;
            let Some((done, end)) = fetched else {
                progress.finish();
                return Ok(false);
            };
            noted.note(&slice, done, end)?;
        }
        let again = noted.state.unprocessed.clone();
        let mut is_stopped = false;
        if !again.is_empty() {
            match self.fetch(&again, sink, &progress).await? {
                Some((done, end)) => noted.note_again(done, end)?,
                None => is_stopped = true,
            }
        }
        progress.finish();
        Ok(!is_stopped)
    }

    /// Fetches traces and makes them durable; nothing if it was stopped before that.
    async fn fetch(
        &self,
        trace_ids: &[String],
        sink: &mut Sink,
        progress: &Progress,
    ) -> Result<Option<(Done, End)>, Stop> {
        sink.begin()?;
        let mut n_written = 0;
        let fetched = fetch::each(&self.client, trace_ids, self.stopping, |trace| {
            n_written += u64::from(sink.write(trace)?);
            progress.advance(1);
            Ok(())
        });
        let fetched = fetched.await.map_err(goes_on)?;
        if fetched.is_cut_short {
            return Ok(None);
        }
        let done = Done {
            n_traces: n_written,
            n_missing: u64::try_from(fetched.n_missing).unwrap_or_default(),
            unprocessed: fetched.unprocessed,
        };
        Ok(Some((done, sink.end()?)))
    }
}

impl Target {
    fn of(options: &Options) -> Result<Self, Stop> {
        match (&options.output, &options.into) {
            (Some(path), _) => match Place::of(path)? {
                Place::File(path) | Place::Free(path) => Ok(Self::File(path)),
                Place::Special(path) => Err(Stop::usage(format!(
                    "a pull goes on where it was stopped, which {} cannot: it is no file; see roentgen export",
                    path.display()
                ))),
                Place::Stdout => Err(Stop::usage(
                    "a pull goes on where it was stopped, which standard output cannot; see roentgen export",
                )),
            },
            (None, Some(path)) => Ok(Self::Folder(path.clone())),
            (None, None) => Err(Stop::usage("name a file with -o or a folder with --into")),
        }
    }

    /// Returns where it is noted how far a pull has come.
    fn progress(&self) -> PathBuf {
        match self {
            Self::File(path) => crate::moving::output::beside(path, "progress"),
            Self::Folder(path) => path.join("pull.progress"),
        }
    }

    /// Returns what would be written over, if something would.
    fn occupied(&self) -> Option<&Path> {
        match self {
            Self::File(path) => path.exists().then_some(path),
            Self::Folder(path) => sink::last_journal(path).is_some().then_some(path),
        }
    }
}

/// Returns what was begun, if that is what is asked for.
fn gone_on_with(noted: Noted, session: &Session, options: &Options) -> Result<Noted, Stop> {
    let state = &noted.state;
    let endpoint = session.client.endpoint().to_string();
    let mut differs = Vec::new();
    if state.endpoint != endpoint {
        differs.push(format!("from {}", state.endpoint));
    }
    if state.filter != options.filter {
        let filter = state.filter.as_deref().unwrap_or("no filter");
        differs.push(format!("with {filter}"));
    }
    if !options.resume && state.said != options.time.said() {
        differs.push(format!("for {:?}", state.said));
    }
    if differs.is_empty() {
        return Ok(noted);
    }
    let begun = differs.join(" ");
    let path = noted.path().display();
    Err(Stop::usage(format!(
        "another pull was begun there, {begun}; go on with that (--resume for its times), or remove {path}"
    )))
}

/// Returns a pull that nothing was fetched of.
fn begun(session: &Session, options: &Options, target: &Target) -> Result<Noted, Stop> {
    if options.resume {
        let path = target.progress();
        return Err(Stop::usage(format!(
            "nothing was begun: there is no {}",
            path.display()
        )));
    }
    if let Some(path) = target.occupied().filter(|_| !options.force) {
        let path = path.display();
        return Err(Stop::usage(format!(
            "{path} is there already; --force writes over it or adds to it"
        )));
    }
    if !options.time.has_beginning() {
        return Err(Stop::usage(
            "name the time to fetch, with --from and --to or --last",
        ));
    }
    let window = options
        .time
        .window((session.now)(), std::time::Duration::ZERO)?;
    let state = State::new(
        session.client.endpoint().to_string(),
        options.filter.clone(),
        options.time.said(),
        window,
    );
    Ok(Noted::new(target.progress(), state))
}

fn told(state: &State, options: &Options, is_whole: bool) -> Result<Exit, Stop> {
    let (traces, missing) = (state.n_traces, state.n_missing);
    if options.json {
        let totals = Totals {
            traces,
            missing,
            unprocessed: state.unprocessed.len(),
            done: is_whole,
        };
        let line = serde_json::to_string(&totals).map_err(Stop::failed)?;
        print(&format!("{line}\n"))?;
    } else {
        print(&format!("pulled {traces} traces\n"))?;
    }
    if missing > 0 {
        note(&format!(
            "{missing} traces were gone before they were fetched"
        ));
    }
    if !state.unprocessed.is_empty() {
        return Ok(Exit::Partly);
    }
    Ok(match (missing, traces) {
        (0, 0) => Exit::NotFound,
        (0, _) => Exit::Done,
        (_, _) => Exit::Partly,
    })
}

/// Says that what failed now may be gone on with.
fn goes_on(stop: Stop) -> Stop {
    if stop.message.is_empty() {
        return stop;
    }
    let message = format!(
        "{}\nwhat was fetched is kept; the same command goes on from there",
        stop.message
    );
    Stop::new(stop.exit, message)
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    let is_sensible = (RATE_MIN..=RATE_MAX).contains(&rate);
    is_sensible
        .then_some(rate)
        .ok_or_else(|| format!("expected a number from {RATE_MIN} to {RATE_MAX}"))
}

pub(crate) const EXAMPLES: &str = "Examples:
  roentgen pull --endpoint https://xray.eu-west-1.amazonaws.com --last 24h -o traces.jsonl.zst
  roentgen pull --endpoint https://xray.eu-west-1.amazonaws.com --profile prod --from 2026-11-01 --to 2026-11-08 --into recording
  roentgen pull -o traces.jsonl.zst --endpoint https://xray.eu-west-1.amazonaws.com --resume";
pub(crate) const ABOUT: &str = "Fetch the traces of a running account

The server is asked no more often than --rate says, and less while it has no room. How far it has come is noted beside
the output: killed and started again, the same command goes on and fetches nothing twice. The file has its name once all
is there; it is what `roentgen import` takes. What a server does not look at is asked for again, and once more by the
same command. The journal holds the documents as calls that arrived when their trace
ended, for `roentgen replay`.

Exit codes: 0 done, 3 no traces, 4 no server, 5 some traces were gone, 2 something else is there, 130 stopped.";
/// Traces that are fetched again at most if a pull is killed, about.
const TRACES_PER_SLICE: usize = 500;
const RATE_MIN: f64 = 0.1;
const RATE_MAX: f64 = 10_000.0;
