//! Reading while nothing is written: single traces, and the first page of a list.

use std::time::Instant;

use anyhow::Result;
use roentgen_tests::random::Random;
use roentgen_tests::server::list;
use roentgen_tests::wait::now;
use roentgen_tests::{Connection, Server};
use serde_json::{Value, json};

use super::load::Load;
use super::report::Report;

/// Reads warm traces one by one, then the first page of all traces of six hours, and counts them.
pub(super) fn measure(
    server: &Server,
    load: &Load,
    n_reads: usize,
    report: &mut Report,
) -> Result<()> {
    let mut connection = server.connect()?;
    let mut random = Random::new(11);
    let traces = load.traces();
    let bodies: Vec<String> = (0..n_reads / 2)
        .map(|_| {
            let trace_idx =
                usize::try_from(random.below(u32::try_from(traces.len()).unwrap_or(u32::MAX)))
                    .unwrap_or(0);
            let trace_id = traces.get(trace_idx).map(ToString::to_string);
            json!({ "TraceIds": [trace_id] }).to_string()
        })
        .collect();
    // The first pass warms up, the second is measured.
    for pass in 0..2 {
        for body in &bodies {
            let called = Instant::now();
            let response = connection.post("/Traces", body.as_bytes())?;
            let took = called.elapsed();
            anyhow::ensure!(
                response.status == 200 && response.body.len() > 100,
                "{}",
                response.text()
            );
            if pass == 1 {
                report.trace_reads.push(took);
            }
        }
    }
    let window =
        json!({ "StartTime": now() - 6 * 3600, "EndTime": now() + 60, "TimeRangeType": "Event" });
    for _ in 0..30 {
        let called = Instant::now();
        page(&mut connection, &window)?;
        report.list_reads.push(called.elapsed());
    }
    report.n_traces = count(&mut connection, window)?;
    Ok(())
}

/// Returns how many traces a window holds, by the pages' own count.
fn count(connection: &mut Connection, mut window: Value) -> Result<u64> {
    let mut n_traces = 0;
    // Sampling at a rate of 0 returns none, so pages are as long as they may be.
    if let Some(members) = window.as_object_mut() {
        members.insert("Sampling".to_owned(), json!(true));
        members.insert(
            "SamplingStrategy".to_owned(),
            json!({ "Name": "FixedRate", "Value": 0 }),
        );
    }
    loop {
        let page = page(connection, &window)?;
        n_traces += page
            .get("TracesProcessedCount")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        let Some(token) = page.get("NextToken").filter(|token| !token.is_null()) else {
            return Ok(n_traces);
        };
        if let Some(members) = window.as_object_mut() {
            members.insert("NextToken".to_owned(), token.clone());
        }
    }
}

fn page(connection: &mut Connection, window: &Value) -> Result<Value> {
    let page = connection
        .post("/TraceSummaries", window.to_string().as_bytes())?
        .success()?;
    list(&page, "TraceSummaries")?;
    Ok(page)
}
