//! Clients of sampling: many processes that report on all rules and ask for their quotas.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use roentgen_tests::Server;
use roentgen_tests::process::cpu_time;
use roentgen_tests::server::list;
use roentgen_tests::wait::now;
use serde_json::{Value, json};

use super::calls::Calls;
use super::report::{Row, row};

/// Makes the rules and lets the clients call for so long.
pub(super) fn measure(server: &Server, time: Duration, rows: &mut Vec<Row>) -> Result<()> {
    for rule_idx in 0..N_RULES {
        let rule = json!({
            "RuleName": rule_name(rule_idx), "ResourceARN": "*", "Priority": 100 + rule_idx, "FixedRate": 0.1,
            "ReservoirSize": 50, "ServiceName": format!("service-{rule_idx}"), "ServiceType": "*", "Host": "*",
            "HTTPMethod": "*", "URLPath": "*", "Version": 1,
        });
        let request = json!({ "SamplingRule": rule });
        server.post("/CreateSamplingRule", &request)?.success()?;
    }
    let targets = |client_idx: u32| {
        let reports: Vec<Value> = (0..N_RULES)
            .map(|rule_idx| report(rule_idx, client_idx))
            .collect();
        json!({ "SamplingStatisticsDocuments": reports })
    };
    let answer = server.post("/SamplingTargets", &targets(0))?.success()?;
    let n_targets = u32::try_from(list(&answer, "SamplingTargetDocuments")?.len())?;
    ensure!(n_targets == N_RULES, "{n_targets} targets: {answer}");
    let calls = all_at_once(server, "/SamplingTargets", &targets, time)?;
    rows.push(figures(
        &format!("GetSamplingTargets, {N_RULES} rules, {N_CLIENTS} clients"),
        &calls,
    ));
    let calls = all_at_once(server, "/GetSamplingRules", &|_| json!({}), time)?;
    let name = format!("GetSamplingRules, {} rules", N_RULES + 1);
    rows.push(figures(&name, &calls));
    Ok(())
}

/// Lets threads, each for some of the clients, call for so long.
fn all_at_once(
    server: &Server,
    path: &str,
    body: &(dyn Fn(u32) -> Value + Sync),
    time: Duration,
) -> Result<Calls> {
    let cpu_before = cpu_time(server.pid())?;
    let began = Instant::now();
    let run = |first_idx: u32| -> Result<Vec<Duration>> {
        let mut connection = server.connect()?;
        let clients = (first_idx..N_CLIENTS).step_by(usize::try_from(N_THREADS)?);
        let bodies: Vec<String> = clients.map(|idx| body(idx).to_string()).collect();
        let mut latencies = Vec::new();
        for body in bodies.iter().cycle() {
            if began.elapsed() >= time {
                break;
            }
            let called = Instant::now();
            let response = connection.post(path, body.as_bytes())?;
            latencies.push(called.elapsed());
            ensure!(response.status == 200, "{}", response.text());
        }
        Ok(latencies)
    };
    let latencies = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..N_THREADS)
            .map(|first_idx| scope.spawn(move || run(first_idx)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().ok().context("a client panicked")?)
            .collect::<Result<Vec<_>>>()
    })?;
    let elapsed = began.elapsed();
    let cpu = cpu_time(server.pid())?.saturating_sub(cpu_before);
    Ok(Calls::of(latencies.concat(), cpu, elapsed))
}

fn figures(name: &str, calls: &Calls) -> Row {
    let text = format!(
        "{}; {:.0} calls/s, {:.0} us CPU",
        calls.latency(),
        calls.per_second(),
        calls.cpu_seconds() * 1e6
    );
    eprintln!("{name}: {text}");
    row(name, text, "", "")
}

fn report(rule_idx: u32, client_idx: u32) -> Value {
    json!({
        "RuleName": rule_name(rule_idx), "ClientID": format!("{client_idx:024x}"), "Timestamp": now(),
        "RequestCount": 10, "SampledCount": 3, "BorrowCount": 2,
    })
}

fn rule_name(rule_idx: u32) -> String {
    format!("rule-{rule_idx}")
}

const N_RULES: u32 = 25;
const N_CLIENTS: u32 = 200;
const N_THREADS: u32 = 16;
