//! What a group with insights costs those who write: two servers of one build, one with it and one without,
//! take turns under the same load.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use roentgen_tests::generate::Pool;
use roentgen_tests::process::cpu_time;
use roentgen_tests::{Home, Server};
use serde_json::json;

use super::load::{Load, Round};
use super::report::{Row, median, row};
use super::{N_CONNECTIONS, N_DOCUMENTS, binary, raw};

/// One of the two servers and what its rounds came to.
struct Side {
    server: Server,
    load: Load,
    rounds: Vec<Round>,
    cpu: Vec<Duration>,
    // Holds the folder of its configuration and log.
    _home: Home,
}

/// Measures both and the raw append in turn.
pub(super) fn measure(
    pool: &Arc<Pool>,
    folder: &Path,
    n_rounds: u32,
    time: Duration,
    rows: &mut Vec<Row>,
) -> Result<()> {
    let mut without = Side::new(pool, &folder.join("without"))?;
    let mut with = Side::new(pool, &folder.join("with"))?;
    let group = json!({
        "GroupName": "failing", "FilterExpression": "fault",
        "InsightsConfiguration": { "InsightsEnabled": true },
    });
    with.server.post("/CreateGroup", &group)?.success()?;
    let mut raw_rates = Vec::new();
    for round in 0..n_rounds {
        let path = folder.join("raw");
        let raw = raw::append(pool, &path, N_CONNECTIONS, N_DOCUMENTS, time)?;
        raw_rates.push(raw.per_second());
        // Who comes first alternates, so that neither always follows the raw append.
        let sides = if round % 2 == 0 {
            [&mut without, &mut with]
        } else {
            [&mut with, &mut without]
        };
        for side in sides {
            side.run(time)?;
        }
        eprintln!(
            "groups, round {round}: {} / {}",
            without.text(),
            with.text()
        );
    }
    let ratio = |side: &Side| {
        let pairs = side.rounds.iter().zip(&raw_rates);
        median(pairs.map(|(round, raw)| round.per_second() / raw))
    };
    let cpu = (without.cpu_each()?, with.cpu_each()?);
    rows.push(row(
        "server CPU per segment without / with a group and insights",
        format!("{:.1} / {:.1} us, {:.2} times", cpu.0, cpu.1, cpu.1 / cpu.0),
        "",
        "",
    ));
    rows.push(row(
        "ratio to the raw append without / with",
        format!("{:.2} / {:.2}", ratio(&without), ratio(&with)),
        "0.12",
        "0.30",
    ));
    Ok(())
}

impl Side {
    fn new(pool: &Arc<Pool>, data: &Path) -> Result<Self> {
        let home = Home::of_binary(binary())?.with_data(data.to_owned());
        // Traces of the last minutes, as insights are made from.
        let load = Load::new(pool, N_CONNECTIONS, N_DOCUMENTS, RECENT_S);
        Ok(Self {
            server: home.start()?,
            load,
            rounds: Vec::new(),
            cpu: Vec::new(),
            _home: home,
        })
    }

    fn run(&mut self, time: Duration) -> Result<()> {
        let before = cpu_time(self.server.pid())?;
        let round = self.load.run_for(self.server.address(), time)?;
        self.cpu
            .push(cpu_time(self.server.pid())?.saturating_sub(before));
        self.rounds.push(round);
        Ok(())
    }

    /// Returns microseconds of processor time a document, with all that is done between rounds.
    fn cpu_each(&self) -> Result<f64> {
        let n_documents: f64 = self.rounds.iter().map(Round::documents).sum();
        Ok(cpu_time(self.server.pid())?.as_secs_f64() * 1e6 / n_documents.max(1.0))
    }

    fn text(&self) -> String {
        let rounds = self.rounds.iter().zip(&self.cpu);
        let cpu = rounds.map(|(round, cpu)| cpu.as_secs_f64() * 1e6 / round.documents());
        let rate = median(self.rounds.iter().map(Round::per_second));
        format!("{rate:.0}/s, {:.1} us CPU", median(cpu))
    }
}

const RECENT_S: u32 = 180;
