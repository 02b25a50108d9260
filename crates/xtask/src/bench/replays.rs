//! How much of what a server takes `roentgen replay --speed max` brings: the same kind of documents, put by plain clients
//! and replayed from a file, in turn and to servers of their own.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use roentgen_tests::Home;
use roentgen_tests::generate::{Feed, Pool};
use roentgen_tests::process::describe;
use roentgen_tests::wait::now;
use serde_json::Value;

use super::load::Load;
use super::report::{Row, median, row};
use super::{N_CONNECTIONS, binary};

/// Measures both in turn and returns the row of the table.
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
        write(pool, &recording, n_documents, u64::from(round))?;
        let mut command = replayed.command();
        command.arg("replay").arg(&recording).args(ARGUMENTS);
        let output = command.args(["--to", &replayed_server.url()]).output()?;
        anyhow::ensure!(output.status.success(), "{}", describe(&output));
        let report: Value = serde_json::from_slice(&output.stdout)?;
        let rate = report.get("SentPerSecond").and_then(Value::as_f64);
        let rate = rate.context("a report without a rate")?;
        eprintln!("replay, round {round}: put {put:.0}/s, replayed {rate:.0}/s");
        rates.push((put, rate));
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

fn write(pool: &Arc<Pool>, path: &Path, n_documents: f64, seed: u64) -> Result<()> {
    let mut feed = Feed::new(Arc::clone(pool), seed, now(), SPREAD_S);
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

const ARGUMENTS: [&str; 4] = ["--speed", "max", "--new-ids", "--json"];
const DOCUMENTS_PER_CALL: usize = 50;
const SPREAD_S: u32 = 600;
