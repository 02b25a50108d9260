//! The benchmark of the whole server over loopback HTTP, with durable acknowledgements, side by side in one run
//! with the limit: the same documents appended to a file under the same group commit.
//!
//! 1. Rounds of both, taking turns, so that a neighbour's load hits both alike.
//! 2. The store is filled further, then read: one trace, and the first page of a list.
//! 3. SIGKILL, and the time until the server is ready again.
//! 4. A store of many small traces is read through every operation that looks at more than one of them; then
//!    sampling, and what groups, signatures and TLS cost those who write.

mod api;
mod calls;
mod graphs;
mod lists;
mod load;
mod raw;
mod reads;
mod replays;
mod report;
mod samplers;
mod sides;
mod small_traces;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use roentgen_tests::generate::Pool;
use roentgen_tests::process::{cpu_time, disk_bytes, resident_bytes_max};
use roentgen_tests::{Home, Server};

use crate::run::{cargo, program, root, run};
use load::Load;
use report::Report;

/// How much is measured.
#[derive(Clone, Copy)]
struct Plan {
    n_rounds: u32,
    round: Duration,
    fill_bytes: u64,
    full_bytes: Option<u64>,
    n_reads: usize,
    /// Traces of the store that is read through the whole API.
    n_small_traces: u64,
    /// When its partitions are closed, as configuration says it.
    small_partition_bytes: &'static str,
    /// Whether only that store is measured.
    is_api_only: bool,
}

/// Builds everything optimised and measures; the table is printed on standard output.
pub(crate) fn all(options: &[&str]) -> Result<()> {
    let plan = parse(options)?;
    if cfg!(debug_assertions) {
        run(&mut cargo(&[
            "build",
            "--release",
            "--locked",
            "--package",
            "server",
            "--package",
            "xtask",
        ]))?;
        let measured = target().join("release/xtask");
        return run(program(&measured.display().to_string(), &["bench"]).args(options));
    }
    measure(plan)
}

fn parse(options: &[&str]) -> Result<Plan> {
    let mut plan = Plan {
        n_rounds: 5,
        round: Duration::from_secs(5),
        fill_bytes: GB,
        full_bytes: None,
        n_reads: 4000,
        n_small_traces: 50_000,
        small_partition_bytes: "32MiB",
        is_api_only: false,
    };
    for option in options {
        match *option {
            "--quick" => {
                plan.n_rounds = 2;
                plan.round = Duration::from_secs(2);
                plan.fill_bytes = GB / 10;
                plan.n_reads = 500;
            }
            "--full" => {
                plan.full_bytes = Some(10 * GB);
                plan.n_small_traces = 1_000_000;
                plan.small_partition_bytes = "192MiB";
            }
            "--api" => plan.is_api_only = true,
            _ => bail!(
                "options of bench: --quick or --full, and --api for the reads of many traces alone"
            ),
        }
    }
    Ok(plan)
}

fn measure(plan: Plan) -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(target())?;
    eprintln!("writing the documents");
    let pool = Arc::new(Pool::new(N_TEMPLATES, 1));
    let mut report = Report::default();
    if !plan.is_api_only {
        measure_store(plan, &pool, folder.path(), &mut report)?;
    }
    report.api = api::measure(plan, &pool, folder.path())?;
    report.print(N_CONNECTIONS, N_DOCUMENTS)
}

fn measure_store(plan: Plan, pool: &Arc<Pool>, folder: &Path, report: &mut Report) -> Result<()> {
    let home = Home::of_binary(binary())?.with_data(folder.join("data"));
    let server = home.start()?;
    let mut load = Load::new(pool, N_CONNECTIONS, N_DOCUMENTS, 6 * 3600);
    rounds(plan, &server, &mut load, folder, report)?;
    fill(plan.fill_bytes, &server, &mut load)?;
    report.disk_bytes = disk_bytes(home.data())?;
    report.document_bytes = load.n_bytes();
    report.n_documents = load.n_documents();
    reads::measure(&server, &load, plan.n_reads, report)?;
    report.resident_bytes = resident_bytes_max(server.pid())?;
    let server = reopen(&home, server, load.n_bytes(), report)?;
    if let Some(full_bytes) = plan.full_bytes {
        fill(full_bytes, &server, &mut load)?;
        report.resident_bytes = report.resident_bytes.max(resident_bytes_max(server.pid())?);
        drop(reopen(&home, server, load.n_bytes(), report)?);
    }
    // What it held is not needed any more; the disk is.
    std::fs::remove_dir_all(home.data())?;
    Ok(())
}

/// Returns the folder builds go to.
fn target() -> PathBuf {
    let own = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    own.unwrap_or_else(|| root().join("target"))
}

/// Returns the server that is measured.
fn binary() -> PathBuf {
    target().join("release/roentgen")
}

/// Lets the raw append and the server take turns.
fn rounds(
    plan: Plan,
    server: &Server,
    load: &mut Load,
    folder: &Path,
    report: &mut Report,
) -> Result<()> {
    for round in 0..plan.n_rounds {
        let raw = raw::append(
            load.pool(),
            &folder.join("raw"),
            N_CONNECTIONS,
            N_DOCUMENTS,
            plan.round,
        )?;
        let cpu_before = cpu_time(server.pid())?;
        let answered = load.run_for(server.address(), plan.round)?;
        let cpu = cpu_time(server.pid())?.saturating_sub(cpu_before);
        eprintln!(
            "round {round}: raw {:.0}/s, server {:.0}/s, {:.1} us CPU",
            raw.per_second(),
            answered.per_second(),
            cpu.as_secs_f64() * 1e6 / answered.documents(),
        );
        report.add_round(raw, answered, cpu);
    }
    Ok(())
}

fn fill(n_bytes: u64, server: &Server, load: &mut Load) -> Result<()> {
    while load.n_bytes() < n_bytes {
        load.run_for(server.address(), Duration::from_secs(2))?;
        eprintln!("filled {:.2} GB", report::number(load.n_bytes()) / 1e9);
    }
    Ok(())
}

/// Kills the server and notes how long the next start takes until it is ready.
fn reopen(home: &Home, server: Server, n_bytes: u64, report: &mut Report) -> Result<Server> {
    server.kill9()?;
    let started = Instant::now();
    let server = home.start().context("start after SIGKILL")?;
    report.reopened.push((n_bytes, started.elapsed()));
    Ok(server)
}

const GB: u64 = 1_000_000_000;
const N_TEMPLATES: u32 = 20_000;
const N_CONNECTIONS: u32 = 16;
const N_DOCUMENTS: usize = 25;
