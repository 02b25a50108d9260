//! What groups with insights, signatures and TLS cost those who write: a server of its own for each, and one with none of them,
//! take turns under the same load.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use roentgen_tests::generate::Pool;
use roentgen_tests::process::cpu_time;
use roentgen_tests::signing::Signer;
use roentgen_tests::tls::Authority;
use roentgen_tests::{Home, Server};
use serde_json::json;

use super::load::{Load, Round, Way};
use super::report::{Row, median, row};
use super::{N_CONNECTIONS, N_DOCUMENTS, binary, raw};

/// One of the servers and what its rounds came to.
struct Side {
    what: &'static str,
    server: Server,
    load: Load,
    rounds: Vec<Round>,
    // Holds the folder of its configuration and log.
    _home: Home,
}

/// Measures all of them and the raw append in turn.
pub(super) fn measure(
    pool: &Arc<Pool>,
    folder: &Path,
    n_rounds: u32,
    time: Duration,
    rows: &mut Vec<Row>,
) -> Result<()> {
    let mut sides = [
        plain(pool, folder)?,
        grouped(pool, folder)?,
        signed(pool, folder)?,
        encrypted(pool, folder)?,
    ];
    let mut raw_rates = Vec::new();
    for round in 0..n_rounds {
        let path = folder.join("raw");
        let raw = raw::append(pool, &path, N_CONNECTIONS, N_DOCUMENTS, time)?;
        raw_rates.push(raw.per_second());
        for side in &mut sides {
            let answered = side.load.run_for(side.server.address(), time)?;
            side.rounds.push(answered);
        }
        // Who comes first changes, so that none always follows the raw append.
        sides.rotate_left(1);
        eprintln!("sides, round {round}");
    }
    sides.sort_by_key(|side| side.what != PLAIN);
    let plain = sides.first().map_or(Ok(0.0), Side::cpu_each)?;
    for side in &sides {
        let cpu = side.cpu_each()?;
        let pairs = side.rounds.iter().zip(&raw_rates);
        let ratio = median(pairs.map(|(round, raw)| round.per_second() / raw));
        rows.push(row(
            &format!(
                "server CPU per segment, {}; ratio to the raw append",
                side.what
            ),
            format!("{cpu:.1} us, {:.2} times; {ratio:.2}", cpu / plain),
            "",
            "",
        ));
    }
    Ok(())
}

fn plain(pool: &Arc<Pool>, folder: &Path) -> Result<Side> {
    Side::new(PLAIN, pool, home(folder, "plain")?, "", Way::default())
}

fn grouped(pool: &Arc<Pool>, folder: &Path) -> Result<Side> {
    let home = home(folder, "grouped")?;
    let side = Side::new("with a group and insights", pool, home, "", Way::default())?;
    let group = json!({
        "GroupName": "failing", "FilterExpression": "fault",
        "InsightsConfiguration": { "InsightsEnabled": true },
    });
    side.server.post("/CreateGroup", &group)?.success()?;
    Ok(side)
}

fn signed(pool: &Arc<Pool>, folder: &Path) -> Result<Side> {
    let home = home(folder, "signed")?;
    std::fs::write(home.folder().join("keys.toml"), KEYS)?;
    let signer = Some(Signer::new("AKBENCH", "bench secret"));
    let way = Way { tls: None, signer };
    let config = "[auth]\nmode = \"sigv4\"\nkeys = \"keys.toml\"\n";
    Side::new("every request signed", pool, home, config, way)
}

fn encrypted(pool: &Arc<Pool>, folder: &Path) -> Result<Side> {
    let home = home(folder, "encrypted")?;
    let authority = Authority::new()?;
    let config = authority.certify(home.folder())?.config()?;
    let tls = Some(authority.clients(&["http/1.1"])?);
    let way = Way { tls, signer: None };
    Side::new("over TLS", pool, home, &config, way)
}

fn home(folder: &Path, name: &str) -> Result<Home> {
    Ok(Home::of_binary(binary())?.with_data(folder.join(name)))
}

impl Side {
    fn new(
        what: &'static str,
        pool: &Arc<Pool>,
        home: Home,
        config: &str,
        way: Way,
    ) -> Result<Self> {
        // Traces of the last minutes, as insights are made from.
        let load = Load::new(pool, N_CONNECTIONS, N_DOCUMENTS, RECENT_S).by(way);
        Ok(Self {
            what,
            server: home.start_with(&home.config(config)?)?,
            load,
            rounds: Vec::new(),
            _home: home,
        })
    }

    /// Returns microseconds of processor time a document, with all that is done between rounds.
    fn cpu_each(&self) -> Result<f64> {
        let n_documents: f64 = self.rounds.iter().map(Round::documents).sum();
        Ok(cpu_time(self.server.pid())?.as_secs_f64() * 1e6 / n_documents.max(1.0))
    }
}

const PLAIN: &str = "plain";
const KEYS: &str = "[[key]]\nid = \"AKBENCH\"\nsecret = \"bench secret\"\naccount = \"000000000000\"\nrights = [\"write\"]\n";
const RECENT_S: u32 = 180;
