//! `roentgen replay`: sends recorded traffic again, to another time and another server.

mod batches;
mod calling;
mod chosen;
mod input;
mod members;
pub(crate) mod opened;
mod order;
mod plan;
mod progress;
mod quantiles;
mod ranges;
mod report;
mod sending;
mod spool;
mod target;
mod window;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ::replay::{Pace, Pacing, Shift, Speed};
use clap::Args;
use model::{Timestamp, TraceId};

use crate::Session;
use crate::exit::{Exit, Stop};
use crate::filter::filter_without_groups;
use crate::spans::SpanFlags;
use crate::stopping::Stopping;
use crate::terminal::{Progress, note, print};
use crate::times::instant;
use batches::Bounds;
use calling::Server;
use input::Input;
use plan::Plan;
use progress::{Keeper, Saved, Settings};
use report::{About, Report};
use sending::{Common, Sending, Way};
use target::Target;

/// What to send again, and how.
#[derive(Args, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "flags have nothing to do with each other"
)]
pub struct Options {
    /// Journals and folders of them, or files of documents as put takes them and export writes them; "-" is a pipe
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where to send it: a URL, or udp:HOST:PORT for datagrams [default: the server of --endpoint]
    #[arg(long, value_name = "URL|udp:ADDR")]
    pub(crate) to: Option<String>,
    /// How many times as fast as it was recorded, or "max"
    #[arg(long, value_name = "TIMES|max", default_value = "1", value_parser = speed)]
    speed: Speed,
    /// Documents a second, at most
    #[arg(long, value_name = "N[/s]", value_parser = rate)]
    rate: Option<NonZeroU32>,
    /// How often everything is sent
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    r#loop: u32,
    /// When the first document shall have been sent: "now", "keep" for its own time, or a time
    #[arg(
        long,
        value_name = "now|keep|TIME",
        default_value = "now",
        allow_hyphen_values = true
    )]
    at: String,
    /// Give traces and segments new ids, others in each round
    #[arg(long)]
    new_ids: bool,
    /// What new ids are made of: the same ids for the same seed [default: random, and printed]
    #[arg(long, value_name = "N", requires = "new_ids")]
    seed: Option<u64>,
    /// Send only traces this filter expression takes
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,
    /// Go on where an earlier replay ended
    #[arg(long)]
    resume: bool,
    /// Where to keep the progress [default: beside the first recording]
    #[arg(long, value_name = "FILE")]
    progress: Option<PathBuf>,
    /// Say what would be sent, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// End with the first refusal
    #[arg(long)]
    stop_on_error: bool,
    /// Print what came out as a line of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    spans: SpanFlags,
}

/// The progress of this replay, kept in a file.
struct Kept {
    path: PathBuf,
    keeper: Keeper,
    thread: JoinHandle<std::io::Result<()>>,
}

impl Options {
    /// Returns the address datagrams go to, if they do.
    pub(crate) fn udp(&self) -> Option<&str> {
        self.to.as_deref()?.strip_prefix("udp:")
    }

    /// Returns where the progress is kept; nothing if the recording is a pipe and nothing was said.
    fn progress_path(&self) -> Option<PathBuf> {
        if let Some(path) = &self.progress {
            return Some(path.clone());
        }
        let first = self
            .files
            .first()
            .filter(|first| first.as_os_str() != "-")?;
        let first = std::fs::canonicalize(first).unwrap_or_else(|_| first.clone());
        let mut name = first.into_os_string();
        name.push(".progress");
        Some(name.into())
    }
}

/// Sends a recording and prints what came out.
pub(crate) async fn run(session: &Session, options: &Options) -> Result<Exit, Stop> {
    let filter = options.filter.as_deref().map(filter_without_groups);
    let filter = filter.transpose()?;
    let now = (session.now)();
    let mut input = Input::open(&options.files, options.spans.rules())?;
    let chosen = match filter {
        Some(filter) => {
            let chosen = chosen::chosen(&mut input, filter, now);
            Some(Box::pin(chosen).await?)
        }
        None => None,
    };
    input.rewind()?;
    let plan = Plan::of(&mut input, chosen.as_ref())?;
    let to = options.udp().map_or_else(
        || session.client.endpoint().to_string(),
        |address| format!("udp:{address}"),
    );
    if options.dry_run {
        let told = plan.told(&to, options.r#loop);
        print(&if options.json {
            told.json()?
        } else {
            told.text()
        })?;
        return Ok(plan.exit_if_empty().unwrap_or(Exit::Done));
    }
    if let Some(exit) = plan.exit_if_empty() {
        note("nothing in it is to be sent");
        return Ok(exit);
    }
    let saved = settings(options, &plan, &mut input, &to, now)?;
    let replay = Replay {
        session,
        options,
        plan,
        chosen,
        saved,
        to,
    };
    Box::pin(replay.run(input)).await
}

/// A replay of which everything is known.
struct Replay<'a> {
    session: &'a Session,
    options: &'a Options,
    plan: Plan,
    chosen: Option<HashSet<TraceId>>,
    saved: Saved,
    to: String,
}

impl Replay<'_> {
    async fn run(self, mut input: Input) -> Result<Exit, Stop> {
        let settings = self.saved.settings.clone();
        let seed = settings.new_ids.then_some(settings.seed);
        if let Some(seed) = seed.filter(|_| self.options.seed.is_none()) {
            note(&format!("new ids are made of --seed {seed}"));
        }
        let way = self.way(seed);
        let (round, offset) = self.go_to_start(&mut input)?;
        let total = self.plan.n_chosen.saturating_mul(way.n_rounds);
        let progress = Arc::new(Progress::of(total, "documents and calls"));
        let target = self.target(&progress).await?;
        let kept = self.keep()?;
        let stopping = Stopping::catch()?;
        let common = Arc::new(Common {
            target,
            keeper: kept.as_ref().map(|kept| kept.keeper.clone()),
            stopping: stopping.clone(),
            progress: Arc::clone(&progress),
            started: Instant::now(),
        });
        let pacing = Pacing {
            speed: self.options.speed,
            rate: self.options.rate,
        };
        let sending = Sending::new(
            &way,
            Arc::clone(&common),
            self.chosen.as_ref(),
            self.saved.done.clone(),
            Pace::from(pacing, offset),
        );
        let (totals, stop) = Box::pin(sending.run(&mut input, round)).await;
        let elapsed = common.started.elapsed();
        drop(common);
        // Every call has ended, so nobody else has it.
        if let Some(progress) = Arc::into_inner(progress) {
            progress.finish();
        }
        let is_complete = totals.is_complete;
        let exit = totals.exit();
        let mut passed_over = self.plan.passed_over.clone();
        if input.n_removed() > 0 {
            passed_over.insert("files removed meanwhile", input.n_removed());
        }
        let about = About {
            to: self.to.clone(),
            elapsed,
            passed_over,
            shift_secs: settings.shift_secs,
            seed,
            recorded: self.plan.recorded.clone(),
            has_same_calls: way.keeps_calls && self.chosen.is_none(),
        };
        let has_sent = totals.n_sent > 0 || self.saved.from.is_some();
        self.end(kept, is_complete, has_sent)?;
        let report = Report::new(totals, about);
        print(&if self.options.json {
            serde_json::to_string(&report).map_err(Stop::failed)? + "\n"
        } else {
            report.text()
        })?;
        match stop {
            Some(stop) => Err(stop),
            None => Ok(stopping.exit_or(exit)),
        }
    }

    fn way(&self, seed: Option<u64>) -> Way {
        let settings = &self.saved.settings;
        let is_http = self.options.udp().is_none();
        let pause = self.plan.pause();
        // What is sent in a later round is moved along with it.
        let round_secs = match self.options.speed {
            Speed::Times(times) if self.options.at != "keep" => {
                let round = (self.plan.span() + pause) / times.get();
                i64::try_from(round.as_secs()).unwrap_or(i64::MAX)
            }
            Speed::Times(_) | Speed::Max => 0,
        };
        Way {
            bounds: Bounds {
                n_max: self.session.documents_per_call.clamp(1, DOCUMENTS_PER_CALL),
                bytes_max: BATCH_BYTES_MAX,
            },
            keeps_calls: self.options.speed != Speed::Max && is_http,
            is_paced: self.options.speed != Speed::Max || self.options.rate.is_some(),
            stops_on_error: self.options.stop_on_error,
            n_rounds: settings.n_rounds,
            n_items: settings.n_items,
            first: self.plan.first,
            pause,
            shift_secs: settings.shift_secs,
            round_secs,
            seed,
        }
    }

    /// Goes to the first piece that is not done. Returns its round, and when it was recorded, counted from the beginning.
    fn go_to_start(&self, input: &mut Input) -> Result<(u64, Duration), Stop> {
        input.send_before(self.saved.settings.n_items);
        let Some((number, place)) = &self.saved.from else {
            input.rewind()?;
            return Ok((0, Duration::ZERO));
        };
        let n_items = self.saved.settings.n_items.max(1);
        let (round, item) = (number / n_items, number % n_items);
        input.seek(place, item)?;
        let mut at = self.plan.first;
        while let Some(piece) = input.next()? {
            at = piece.at;
            let first = round * n_items + piece.first_item;
            if !self.saved.done.holds(&(first..first + piece.items.len())) {
                break;
            }
        }
        input.seek(place, item)?;
        Ok((round, at.since(self.plan.first)))
    }

    async fn target(&self, progress: &Arc<Progress>) -> Result<Target, Stop> {
        let Some(address) = self.options.udp() else {
            let client = self.session.client.clone();
            return Ok(Target::Http(Server::new(client, Arc::clone(progress))));
        };
        let told =
            |error: &dyn std::fmt::Display| Stop::usage(format!("--to udp:{address}: {error}"));
        let mut found = tokio::net::lookup_host(address)
            .await
            .map_err(|error| told(&error))?;
        let address: SocketAddr = found.next().ok_or_else(|| told(&"no such host"))?;
        let target = Target::udp(address).await;
        target.map_err(|error| Stop::new(Exit::Unreachable, format!("udp:{address}: {error}")))
    }

    /// Begins to keep the progress. Where it cannot be kept, a replay that nobody asked to keep it goes on without.
    fn keep(&self) -> Result<Option<Kept>, Stop> {
        let Some(path) = self.options.progress_path() else {
            return Ok(None);
        };
        match Keeper::begin(&path, self.saved.clone()) {
            Ok((keeper, thread)) => Ok(Some(Kept {
                path,
                keeper,
                thread,
            })),
            Err(error) => {
                let told = format!("progress file {}: {error}", path.display());
                if self.options.resume || self.options.progress.is_some() {
                    return Err(Stop::failed(told));
                }
                note(&format!("{told}; this replay cannot be resumed"));
                Ok(None)
            }
        }
    }

    /// Lets go of the progress file. If nobody asked for it, it is removed at the end of all, and where nothing was sent:
    /// with --resume it says that there is nothing left to do.
    fn end(&self, kept: Option<Kept>, is_complete: bool, has_sent: bool) -> Result<(), Stop> {
        let Some(kept) = kept else {
            return Ok(());
        };
        drop(kept.keeper);
        let told = |error: &dyn std::fmt::Display| {
            Stop::failed(format!("progress file {}: {error}", kept.path.display()))
        };
        match kept.thread.join() {
            Ok(ended) => ended.map_err(|error| told(&error))?,
            Err(_) => return Err(told(&"its thread failed")),
        }
        let is_asked_for = self.options.resume || self.options.progress.is_some();
        if !is_asked_for && (is_complete || !has_sent) {
            std::fs::remove_file(&kept.path).map_err(|error| told(&error))?;
        } else if !is_complete {
            note("go on with the same command and --resume");
        }
        Ok(())
    }
}

/// Returns what was saved of an earlier run if this one is to go on with it, else the settings of a new one.
fn settings(
    options: &Options,
    plan: &Plan,
    input: &mut Input,
    to: &str,
    now: Timestamp,
) -> Result<Saved, Stop> {
    let earlier = match options.progress_path() {
        Some(path) if options.resume => Saved::read(&path)?.map(|saved| (path, saved)),
        Some(path) => {
            tell_of_earlier(&path);
            None
        }
        None if options.resume => {
            return Err(Stop::usage("a pipe cannot be resumed without --progress"));
        }
        None => None,
    };
    let seed = match (options.seed, &earlier) {
        (Some(seed), _) => seed,
        (None, Some((_, earlier))) => earlier.settings.seed,
        (None, None) => getrandom::u64().map_err(Stop::failed)? >> 11,
    };
    let mut settings = Settings {
        inputs: input.fingerprint(),
        to: to.to_owned(),
        filter: options.filter.clone(),
        spans: options.spans.clone(),
        at: options.at.clone(),
        new_ids: options.new_ids,
        seed: if options.new_ids { seed } else { 0 },
        n_rounds: options.r#loop.into(),
        shift_secs: shift(&options.at, plan.first, now)?,
        n_items: plan.n_items,
    };
    let Some((path, earlier)) = earlier else {
        return Ok(Saved {
            settings,
            from: None,
            done: ranges::Ranges::default(),
        });
    };
    // Of a journal that is still written to, the beginning may be gone; what counts is how far the earlier run had come.
    if matches!(&earlier.from, Some((_, place)) if input.holds(place)) {
        settings.inputs.clone_from(&earlier.settings.inputs);
        settings.n_items = settings.n_items.max(earlier.settings.n_items);
    }
    match earlier.settings.difference(&settings) {
        None => Ok(earlier),
        Some(what) => Err(Stop::usage(format!(
            "cannot resume {}: {what} is another one than before{}",
            path.display(),
            if input.is_journal() && earlier.settings.inputs != settings.inputs {
                ", or the file the earlier replay had come to was removed"
            } else {
                ""
            }
        ))),
    }
}

fn tell_of_earlier(path: &Path) {
    if path.exists() {
        note(&format!(
            "beginning anew: what {} says of an earlier replay is forgotten",
            path.display()
        ));
    }
}

/// Returns how far times are moved.
fn shift(at: &str, first: Timestamp, now: Timestamp) -> Result<i64, Stop> {
    if at == "keep" {
        return Ok(0);
    }
    let wanted = instant(at, now).map_err(|message| Stop::usage(format!("--at: {message}")))?;
    Ok(Shift::between(first, wanted).secs())
}

fn speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    let times = text.strip_suffix('x').unwrap_or(text).parse();
    let told = |_| "expected a whole number such as 1 or 10, or \"max\"".to_owned();
    times.map(Speed::Times).map_err(told)
}

fn rate(text: &str) -> Result<NonZeroU32, String> {
    let rate = text.strip_suffix("/s").unwrap_or(text).parse();
    rate.map_err(|_| "expected a number of documents a second such as 500".to_owned())
}

pub(crate) const EXAMPLES: &str = "Examples:
  roentgen replay recording.journal --to http://127.0.0.1:2000
  roentgen replay /var/lib/roentgen/journal --speed max --new-ids --loop 10
  roentgen replay traces.jsonl.zst --to udp:127.0.0.1:2000 --rate 500
  roentgen replay recording.journal --filter 'service(\"shop\") AND fault' --dry-run
  roentgen replay recording.journal --resume";
pub(crate) const ABOUT: &str = "Send recorded traffic again

Sent are the documents, spans (as documents), telemetry and sampling statistics of a recording; reads are not. Times
and the times in trace ids are moved by whole seconds, all alike, so that durations stay; documents of one trace keep
the order in which they arrived. A file of documents is sent as if each had been sent when it was finished. A server
without room (429, 503) is waited for; documents it fails with again and again are sent one by one, and then refused;
one that answers nobody for five minutes is given up. Progress is kept in a file beside the recording: with --resume a
replay that was killed goes on. What a server acknowledged is not sent again; calls that were under way (16 at most)
may be, which changes nothing at a server that keeps one copy of a document. Telemetry and sampling statistics are
never sent twice: without an answer they are refused as NoAnswer. Datagrams are acknowledged by nobody: those under
way are lost or sent twice, and with --speed max they may be more than their receiver takes, so give a --rate. How
long answers take is measured here, and was measured where the recording was made, which in a server's own recording
is without the way to it; with --speed max and --filter calls are other ones than before and are not compared. Exit
codes: 0 all accepted, 5 some refused, 1 none accepted, or the answers are no results, 3 nothing to send, 4 no server,
2 unreadable input or other options than those resumed, 130 after Ctrl-C.";
/// Documents one call may carry, whatever the server.
const DOCUMENTS_PER_CALL: usize = 50;
/// Escaped twice over, this still fits the server's default limit of 16 MiB.
const BATCH_BYTES_MAX: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_and_rates_are_read() {
        let times = |times| Ok(Speed::Times(NonZeroU32::new(times).unwrap()));
        assert_eq!(speed("1"), times(1));
        assert_eq!(speed("10x"), times(10));
        assert_eq!(speed("max"), Ok(Speed::Max));
        for text in ["0", "", "-1", "1.5", "fast"] {
            assert!(speed(text).is_err(), "{text}");
        }
        assert_eq!(rate("500/s").map(NonZeroU32::get), Ok(500));
        assert_eq!(rate("7").map(NonZeroU32::get), Ok(7));
        assert!(rate("0").is_err());
    }

    #[test]
    fn the_first_document_comes_to_lie_where_it_is_wanted() {
        let (first, now) = (Timestamp::from_secs(100), Timestamp::from_secs(1000));
        assert_eq!(shift("now", first, now).unwrap(), 900);
        assert_eq!(shift("keep", first, now).unwrap(), 0);
        assert_eq!(shift("-100s", first, now).unwrap(), 800);
        assert_eq!(shift("50", first, now).unwrap(), -50);
        assert!(shift("soon", first, now).is_err());
    }
}
