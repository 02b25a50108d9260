//! `roentgen conform`: how well a server speaks the X-Ray API, found out by calling it.
//!
//! 1. A group and a few little traces are made, with names nobody else has.
//! 2. Every operation is called rightly and wrongly; each answer is held against the service model and against
//!    what was sent before. A check is one call, or one thing an answer must say.
//! 3. The quotas are filled up, and everything made is removed again.
//!
//! What a server does later than at once is asked for again and again, for as long as the patience of the whole
//! run lasts.

mod ask;
mod constraints;
mod exam;
mod filters;
mod fixture;
mod graph;
mod groups;
mod insights;
mod parts;
mod report;
mod retrieval;
mod sampling;
mod settings;
mod sweep;
mod traces;
mod want;
mod wire;

use std::time::Duration;

use clap::Args;
use protocol::Operation;

use crate::Session;
use crate::exit::{Exit, Stop};
use crate::stopping::Stopping;
use crate::terminal::{Out, note, print};
use exam::Exam;
use fixture::Fixture;
use parts::Part;
use sweep::Before;

/// What to check, and how to tell.
#[derive(Debug, Args)]
pub struct Options {
    /// Print a line of JSON per check instead of the table
    #[arg(long)]
    json: bool,
    /// Check these operations alone
    #[arg(long, value_name = "OPERATION", value_delimiter = ',', value_parser = operation)]
    only: Vec<Operation>,
    /// How long to wait, in all, for what the server does later than at once
    #[arg(long, value_name = "TIME", default_value = "20s")]
    patience: humantime::Duration,
    /// Also change encryption, indexing and destination of the whole account, and change them back
    #[arg(long)]
    change_settings: bool,
}

fn operation(name: &str) -> Result<Operation, String> {
    Operation::named(name).ok_or_else(|| "the X-Ray API has no such operation".to_owned())
}

/// Checks a server and prints what came out. If the end is asked for, what was made is removed all the same.
pub(crate) async fn run(session: &Session, options: &Options) -> Result<Exit, Stop> {
    let stopping = Stopping::catch()?;
    let parts = Part::ALL.into_iter();
    let n_parts = parts
        .filter(|part| part.is_asked_for(&options.only))
        .count();
    let mut exam = Exam::new(
        session.client.clone(),
        options.only.clone(),
        *options.patience,
        stopping.clone(),
        n_parts,
    );
    let fixture = Fixture::new((session.now)());
    let before = sweep::remember(&mut exam).await?;
    let examined = examine(&mut exam, &fixture, options).await;
    let swept = sweep(&mut exam, &fixture, &before, stopping.clone()).await;
    let report = exam.into_report();
    if !stopping.is_asked() {
        examined.and(swept)?;
    } else if let Err(stop) = swept {
        note(&stop.message);
    }
    if options.json {
        print(&report.lines())?;
    } else {
        report.show(Out::people())?;
    }
    if stopping.is_asked() {
        note("stopped before everything was checked");
    }
    Ok(stopping.exit_or(if report.is_flawless() {
        Exit::Done
    } else {
        Exit::Failed
    }))
}

/// Asks everything, in an order in which what is made comes before what is asked about it.
async fn examine(exam: &mut Exam, fixture: &Fixture, options: &Options) -> Result<(), Stop> {
    let arn = groups::prepare(exam, fixture).await?;
    for part in Part::ALL {
        if part.is_asked_for(&options.only) {
            part.check(exam, fixture, &arn, options.change_settings)
                .await?;
            exam.end_part();
        }
    }
    Ok(())
}

/// Leaves the server as it was, in bounded time if the end was asked for.
async fn sweep(
    exam: &mut Exam,
    fixture: &Fixture,
    before: &Before,
    mut stopping: Stopping,
) -> Result<(), Stop> {
    exam.begin_sweep();
    tokio::select! {
        swept = sweep::clean_up(exam, fixture, before) => swept,
        () = stopping.overdue(SWEEP_TIME) => Err(Stop::failed(
            "what was made could not be removed in time; its name begins with conform-",
        )),
    }
}

pub(crate) const EXAMPLES: &str = "Examples:
  roentgen conform
  roentgen conform --endpoint http://127.0.0.1:2000 --only GetTraceSummaries,BatchGetTraces
  roentgen conform --json | jq 'select(.failure)'";
pub(crate) const ABOUT: &str = "Check how well a server speaks the X-Ray API

Every operation is called, rightly and wrongly, and every answer is held against the service model and against
what was sent before. What is made carries a name that begins with conform- and is removed again, traces apart:
they go with the server's retention. Ctrl-C ends it early: what was made is removed, and what was checked is told.
Exit codes: 0 everything passed, 1 something failed, 4 no server, 130 and 143 ended by a signal.";
/// How long removing may take once the end was asked for.
const SWEEP_TIME: Duration = Duration::from_secs(10);
