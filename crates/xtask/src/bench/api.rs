//! What the reads of the whole API cost, over a store of many small traces, and what sampling and groups cost.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use roentgen_tests::generate::Pool;
use roentgen_tests::process::{resident_bytes, resident_bytes_max};
use roentgen_tests::{Home, Server};
use serde_json::json;

use super::calls::Caller;
use super::report::{Row, number, row};
use super::small_traces::{self, Stored};
use super::{N_CONNECTIONS, Plan, binary, graphs, lists, replays, samplers, sides};

/// Measures all of it and returns the rows of the table.
pub(super) fn measure(plan: Plan, pool: &Arc<Pool>, folder: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let home = Home::of_binary(binary())?.with_data(folder.join("small"));
    let partitions = format!(
        "[storage]\npartition_bytes = \"{}\"\n",
        plan.small_partition_bytes
    );
    let server = home.start_with(&home.config(&partitions)?)?;
    let group = json!({ "GroupName": graphs::GROUP, "FilterExpression": graphs::GROUP_FILTER });
    server.post("/CreateGroup", &group)?.success()?;
    eprintln!("putting {} traces", plan.n_small_traces);
    let stored = small_traces::load(server.address(), pool, plan.n_small_traces, N_CONNECTIONS)?;
    rows.push(load_row(&stored));
    small_traces::settle(&server)?;
    rows.push(memory_row("after the load, now / at most", &server)?);
    let mut caller = Caller::new(&server)?;
    lists::measure(&mut caller, &stored, &mut rows)?;
    graphs::measure(&mut caller, &stored, &mut rows)?;
    rows.push(memory_row("after the reads, now / at most", &server)?);
    samplers::measure(&server, plan.round, &mut rows)?;
    drop(caller);
    drop(server);
    sides::measure(pool, folder, plan.n_rounds, plan.round, &mut rows)?;
    replays::measure(pool, folder, plan.n_rounds, plan.round, &mut rows)?;
    Ok(rows)
}

fn load_row(stored: &Stored) -> Row {
    let seconds = stored.elapsed.as_secs_f64();
    let text = format!(
        "{} traces, {} segments, {:.2} GB in {seconds:.0} s, {:.0}/s",
        stored.n_traces,
        stored.n_documents,
        number(stored.n_bytes) / 1e9,
        number(stored.n_documents) / seconds
    );
    eprintln!("{text}");
    row("the store that is read", text, "", "")
}

fn memory_row(when: &str, server: &Server) -> Result<Row> {
    let mib = |n_bytes: u64| number(n_bytes) / f64::from(1 << 20);
    let now = mib(resident_bytes(server.pid())?);
    let most = mib(resident_bytes_max(server.pid())?);
    let text = format!("{now:.0} / {most:.0} MiB");
    eprintln!("memory {when}: {text}");
    Ok(row(&format!("memory {when}"), text, "600 MiB", "300 MiB"))
}
