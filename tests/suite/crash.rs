//! SIGKILL at random moments under concurrent load: what was acknowledged is there after the next start.

use std::sync::Arc;

use anyhow::{Context, Result};
use roentgen_tests::generate::Pool;
use roentgen_tests::process::describe;
use roentgen_tests::random::Random;
use roentgen_tests::traffic::{Shape, Traffic};
use roentgen_tests::wait::now;
use roentgen_tests::{Home, Ledger, Server};

use crate::fixture::is_long;

#[test]
fn acknowledged_segments_survive_sigkill() -> Result<()> {
    let n_rounds = if is_long() { 30 } else { 5 };
    let seed = u64::from(now());
    eprintln!("seed {seed}, {n_rounds} rounds");
    let mut random = Random::new(seed);
    let pool = Arc::new(Pool::new(400, seed));
    let home = Home::new()?;
    // Small partitions, so that seals and the rebuilding of indexes are hit too.
    let config = home.config("[storage]\npartition_bytes = \"8MiB\"\n")?;
    let mut ledger = Ledger::new(Arc::clone(&pool));
    for round in 0..n_rounds {
        let server = home
            .start_with(&config)
            .with_context(|| format!("start of round {round}, seed {seed}"))?;
        let shape = Shape {
            n_acknowledged: random.between(2, 6),
            n_unacknowledged: random.below(3),
            batch_max: random.between(1, 50),
        };
        let traffic = Traffic::start(server.address(), &pool, shape, random.bits());
        traffic.wait_for(usize::try_from(random.between(1, 1500))?)?;
        server.kill9()?;
        let noted = traffic.finish(&pool);
        assert!(
            noted.n_acknowledged() > 0,
            "round {round} acknowledged nothing"
        );

        let server = home
            .start_with(&config)
            .with_context(|| format!("restart after round {round}, seed {seed}"))?;
        let findings = noted.check(&server)?;
        let n_checked = findings.n_checked;
        eprintln!("round {round}: {shape:?}, {n_checked} segments checked");
        let lost = |server: &Server| format!("round {round}, seed {seed}\n{}", server.log());
        findings.require_none().with_context(|| lost(&server))?;
        ledger.merge(noted);
        if round % 10 == 9 {
            let whole = ledger.check(&server)?;
            whole.require_none().with_context(|| lost(&server))?;
        }
        // The next round kills a server that has just been killed: half the rounds end without a stop.
        if random.percent(50) {
            assert!(server.terminate()?.success());
        } else {
            server.kill9()?;
        }
    }
    let server = home.start_with(&config)?;
    ledger
        .check(&server)?
        .require_none()
        .with_context(|| format!("at the end, seed {seed}"))?;
    server.kill9()?;
    let check = home.check()?;
    assert!(check.status.success(), "seed {seed}: {}", describe(&check));
    Ok(())
}

#[test]
fn a_kill_while_starting_harms_nothing() -> Result<()> {
    let n_rounds = if is_long() { 30 } else { 5 };
    let seed = u64::from(now());
    eprintln!("seed {seed}, {n_rounds} rounds");
    let mut random = Random::new(seed);
    let pool = Arc::new(Pool::new(400, seed));
    let home = Home::new()?;
    let config = home.config("[storage]\npartition_bytes = \"8MiB\"\n")?;
    let server = home.start_with(&config)?;
    let shape = Shape {
        n_acknowledged: 4,
        n_unacknowledged: 1,
        batch_max: 50,
    };
    let traffic = Traffic::start(server.address(), &pool, shape, seed);
    traffic.wait_for(2000).with_context(|| server.log())?;
    server.kill9()?;
    let ledger = traffic.finish(&pool);
    for _ in 0..n_rounds {
        let mut child = home.serve_child(&config)?;
        std::thread::park_timeout(std::time::Duration::from_millis(u64::from(
            random.below(150),
        )));
        child.kill()?;
        child.wait()?;
    }
    let server = home
        .start_with(&config)
        .with_context(|| format!("seed {seed}"))?;
    ledger
        .check(&server)?
        .require_none()
        .with_context(|| format!("seed {seed}"))
}
