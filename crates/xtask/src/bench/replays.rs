//! What `roentgen replay` brings: how much of what a server takes with `--speed max` (the same kind of documents, put by
//! plain clients and replayed from a file, in turn and to servers of their own), and how late it is when it keeps a pace.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use roentgen_tests::generate::{Feed, Pool};
use roentgen_tests::process::describe;
use roentgen_tests::wait::now;
use roentgen_tests::{Home, Server};
use serde_json::Value;

use super::load::Load;
use super::report::{Row, median, row};
use super::{N_CONNECTIONS, binary};

/// Measures both sides in turn, then paces, and adds rows to the table.
pub(super) fn measure(
    pool: &Arc<Pool>,
    folder: &Path,
    n_rounds: u32,
    time: Duration,
    rows: &mut Vec<Row>,
) -> Result<()> {
    let plain = Home::of_binary(binary())?.with_data(folder.join("put"));
    let replayed = Home::of_binary(binary())?.with_data(folder.join("replayed"));
    let (plain_server, replayed_server) = (plain.start()?, replayed.start()?);
    let mut load = Load::new(pool, N_CONNECTIONS, DOCUMENTS_PER_CALL, SPREAD_S);
    let recording = folder.join("recording.jsonl");
    let mut rates = Vec::new();
    for round in 0..n_rounds {
        let put = load.run_for(plain_server.address(), time)?.per_second();
        // About as many documents as the clients had time for.
        let n_documents = put * time.as_secs_f64();
        write(pool, &recording, n_documents, SPREAD_S, round)?;
        let report = replay(&replayed, &replayed_server, &recording, "max")?;
        let rate = report.get("SentPerSecond").and_then(Value::as_f64);
        let rate = rate.context("a report without a rate")?;
        eprintln!("replay, round {round}: put {put:.0}/s, replayed {rate:.0}/s");
        rates.push((put, rate));
    }
    for (speed, faster) in [("1", 1), ("10", 10)] {
        let seconds = u32::try_from(time.as_secs())?;
        let n_documents = PACE * f64::from(seconds);
        write(pool, &recording, n_documents, seconds * faster, faster)?;
        let report = replay(&replayed, &replayed_server, &recording, speed)?;
        rows.push(lag_row(speed, &report)?);
    }
    std::fs::remove_file(&recording)?;
    let rate = median(rates.iter().map(|(_, rate)| *rate));
    let ratio = median(rates.iter().map(|(put, rate)| rate / put));
    rows.push(row(
        "replay --speed max: documents/s; ratio to plain puts",
        format!("{rate:.0}; {ratio:.2}"),
        "",
        "",
    ));
    Ok(())
}

/// Replays a recording and returns the report.
fn replay(home: &Home, to: &Server, recording: &Path, speed: &str) -> Result<Value> {
    let mut command = home.command();
    command.arg("replay").arg(recording).args(ARGUMENTS);
    let output = command
        .args(["--speed", speed, "--to", &to.url()])
        .output()?;
    anyhow::ensure!(output.status.success(), "{}", describe(&output));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Returns how late calls were sent, of a replay that keeps a pace.
fn lag_row(speed: &str, report: &Value) -> Result<Row> {
    let figure = |pointer: &str| {
        let value = report.pointer(pointer).and_then(Value::as_f64);
        value.with_context(|| format!("a report without {pointer}"))
    };
    let [n_calls, p50, p99, max] = [
        figure("/Lag/N")?,
        figure("/Lag/P50Ms")?,
        figure("/Lag/P99Ms")?,
        figure("/Lag/MaxMs")?,
    ];
    let text = format!("{p50:.2} / {p99:.2} / {max:.2} ms of {n_calls:.0} calls");
    eprintln!("replay --speed {speed}: late by {text}");
    let figure = format!("replay --speed {speed}, {PACE} documents/s: late by p50 / p99 / at most");
    Ok(row(&figure, text, "", ""))
}

/// Writes documents that end within so many seconds.
fn write(pool: &Arc<Pool>, path: &Path, n_documents: f64, spread_s: u32, seed: u32) -> Result<()> {
    let mut feed = Feed::new(Arc::clone(pool), u64::from(seed), now(), spread_s);
    let mut file = BufWriter::new(File::create(path)?);
    let (mut n_written, mut line) = (0.0, Vec::new());
    while n_written < n_documents {
        line.clear();
        pool.write_plain(&feed.document(), &mut line);
        line.push(b'\n');
        file.write_all(&line)?;
        n_written += 1.0;
    }
    file.flush()?;
    Ok(())
}

const ARGUMENTS: [&str; 2] = ["--new-ids", "--json"];
/// Documents a second of a replay that keeps a pace: much less than any machine takes, so that what is measured is the pace.
const PACE: f64 = 1000.0;
const DOCUMENTS_PER_CALL: usize = 50;
const SPREAD_S: u32 = 600;
