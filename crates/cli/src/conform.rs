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
mod report;
mod retrieval;
mod sampling;
mod settings;
mod sweep;
mod traces;
mod want;
mod wire;

use clap::Args;
use protocol::Operation;

use crate::Session;
use crate::exit::{Exit, Stop};
use crate::terminal::print;
use exam::Exam;
use fixture::Fixture;

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

/// Checks a server and prints what came out.
pub(crate) async fn run(session: &Session, options: &Options) -> Result<Exit, Stop> {
    let client = session.client.clone();
    let mut exam = Exam::new(client, options.only.clone(), *options.patience);
    let fixture = Fixture::new((session.now)());
    let before = sweep::remember(&mut exam).await?;
    let examined = examine(&mut exam, &fixture, options.change_settings).await;
    let swept = sweep::clean_up(&mut exam, &fixture, &before).await;
    examined.and(swept)?;
    let report = exam.into_report();
    print(&if options.json {
        report.lines()
    } else {
        report.table()
    })?;
    Ok(if report.is_flawless() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

/// Asks everything, in an order in which what is made comes before what is asked about it.
async fn examine(exam: &mut Exam, fixture: &Fixture, may_change: bool) -> Result<(), Stop> {
    let group = fixture.name("group");
    let arn = groups::prepare(exam, fixture).await?;
    Box::pin(traces::put(exam, fixture)).await?;
    wire::check(exam).await?;
    if exam.covers(&[Operation::BatchGetTraces]) {
        Box::pin(traces::batch(exam, fixture)).await?;
    }
    if exam.covers(&[Operation::GetTraceSummaries]) {
        Box::pin(traces::summaries(exam, fixture)).await?;
        Box::pin(filters::check(exam, fixture, &group)).await?;
    }
    if exam.covers(&[Operation::PutTelemetryRecords]) {
        Box::pin(traces::telemetry(exam, fixture)).await?;
    }
    if exam.covers(&[Operation::GetTraceGraph]) {
        Box::pin(graph::trace_graph(exam, fixture)).await?;
    }
    if exam.covers(&[Operation::GetServiceGraph]) {
        Box::pin(graph::service_graph(exam, fixture, &group, &arn)).await?;
    }
    if exam.covers(&[Operation::GetTimeSeriesServiceStatistics]) {
        Box::pin(graph::time_series(exam, fixture, &group)).await?;
    }
    if exam.covers(&[Operation::GetServiceGraph]) {
        Box::pin(graph::old_versions(exam, fixture, &group)).await?;
    }
    if exam.covers(RETRIEVAL) {
        Box::pin(retrieval::check(exam, fixture)).await?;
    }
    if exam.covers(INSIGHTS) {
        Box::pin(insights::check(exam, fixture, &group)).await?;
    }
    if exam.covers(ENCRYPTION) {
        Box::pin(settings::encryption(exam, may_change)).await?;
    }
    if exam.covers(INDEXING) {
        Box::pin(settings::indexing(exam, may_change)).await?;
    }
    if exam.covers(DESTINATION) {
        Box::pin(settings::destination(exam, may_change)).await?;
    }
    limited(exam, fixture).await
}

/// Asks about what there may be only so much of, and fills each up at the end.
async fn limited(exam: &mut Exam, fixture: &Fixture) -> Result<(), Stop> {
    if exam.covers(GROUPS) {
        Box::pin(groups::check(exam, fixture)).await?;
    }
    if exam.covers(&[Operation::CreateGroup]) {
        Box::pin(groups::fill(exam, fixture)).await?;
    }
    if exam.covers(SAMPLING) {
        Box::pin(sampling::check(exam, fixture)).await?;
    }
    if exam.covers(&[Operation::CreateSamplingRule]) {
        Box::pin(sampling::fill(exam, fixture)).await?;
    }
    if exam.covers(POLICIES) {
        Box::pin(settings::policies(exam, fixture)).await?;
    }
    if exam.covers(&[Operation::PutResourcePolicy]) {
        Box::pin(settings::fill(exam, fixture)).await?;
    }
    Ok(())
}

pub(crate) const EXAMPLES: &str = "Examples:
  roentgen conform
  roentgen conform --endpoint http://127.0.0.1:2000 --only GetTraceSummaries,BatchGetTraces
  roentgen conform --json | jq 'select(.failure)'";
pub(crate) const ABOUT: &str = "Check how well a server speaks the X-Ray API

Every operation is called, rightly and wrongly, and every answer is held against the service model and against
what was sent before. What is made carries a name that begins with conform- and is removed again, traces apart:
they go with the server's retention. Exit codes: 0 everything passed, 1 something failed, 4 no server.";
const RETRIEVAL: &[Operation] = &[
    Operation::StartTraceRetrieval,
    Operation::ListRetrievedTraces,
    Operation::GetRetrievedTracesGraph,
    Operation::CancelTraceRetrieval,
];
const INSIGHTS: &[Operation] = &[
    Operation::GetInsight,
    Operation::GetInsightEvents,
    Operation::GetInsightImpactGraph,
    Operation::GetInsightSummaries,
];
const ENCRYPTION: &[Operation] = &[
    Operation::GetEncryptionConfig,
    Operation::PutEncryptionConfig,
];
const INDEXING: &[Operation] = &[Operation::GetIndexingRules, Operation::UpdateIndexingRule];
const DESTINATION: &[Operation] = &[
    Operation::GetTraceSegmentDestination,
    Operation::UpdateTraceSegmentDestination,
];
const GROUPS: &[Operation] = &[
    Operation::CreateGroup,
    Operation::GetGroup,
    Operation::GetGroups,
    Operation::UpdateGroup,
    Operation::DeleteGroup,
    Operation::TagResource,
    Operation::UntagResource,
    Operation::ListTagsForResource,
];
const SAMPLING: &[Operation] = &[
    Operation::CreateSamplingRule,
    Operation::GetSamplingRules,
    Operation::UpdateSamplingRule,
    Operation::DeleteSamplingRule,
    Operation::GetSamplingTargets,
    Operation::GetSamplingStatisticSummaries,
];
const POLICIES: &[Operation] = &[
    Operation::PutResourcePolicy,
    Operation::DeleteResourcePolicy,
    Operation::ListResourcePolicies,
];
