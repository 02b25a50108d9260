//! Loss of power: an ext4 file system that forgets, at a random moment under load, everything it was not made to
//! keep. Acknowledged traffic runs beside traffic that waits for nothing: without it a broken store looks perfect.
//!
//! What it cannot show: reordering inside a device's own cache.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, Result};
use roentgen_tests::disk::{self, Ext4};
use roentgen_tests::generate::Pool;
use roentgen_tests::random::Random;
use roentgen_tests::traffic::{Shape, Traffic};
use roentgen_tests::wait::now;
use roentgen_tests::{Home, Ledger, Server};

use crate::fixture::is_long;

/// How one round ended.
#[derive(Debug)]
enum Outcome {
    /// So many acknowledged segments, all there.
    Whole(usize),
    /// The store did not open, or something acknowledged is gone.
    Broken(String),
}

/// The means itself: what was made durable is there, what was not is gone.
#[test]
fn a_cut_forgets_what_was_not_made_durable() -> Result<()> {
    if let Some(reason) = disk::missing() {
        eprintln!("not tried: {reason}");
        return Ok(());
    }
    let mut disk = Ext4::new(64)?;
    let (kept, lost) = (disk.path().join("kept"), disk.path().join("lost"));
    let mut file = File::create(&kept)?;
    file.write_all(b"durable")?;
    file.sync_all()?;
    File::open(disk.path())?.sync_all()?;
    std::fs::write(&lost, b"not durable")?;
    disk.power_switch()?.cut()?;
    drop(file);
    disk.detach()?;
    disk.mount()?;
    assert_eq!(std::fs::read(&kept)?, b"durable");
    assert_ne!(std::fs::read(&lost).unwrap_or_default(), b"not durable");
    Ok(())
}

#[test]
fn acknowledged_segments_survive_loss_of_power() -> Result<()> {
    if let Some(reason) = disk::missing() {
        eprintln!("not tried: {reason}");
        return Ok(());
    }
    let n_rounds = if is_long() { 20 } else { 2 };
    let seed = u64::from(now());
    eprintln!("seed {seed}, {n_rounds} rounds");
    for round in 0..n_rounds {
        match cut(seed + round, &[])? {
            Outcome::Whole(n_segments) => {
                eprintln!("round {round}: {n_segments} acknowledged segments there");
            }
            Outcome::Broken(how) => anyhow::bail!("round {round}, seed {seed}: {how}"),
        }
    }
    Ok(())
}

/// The control: without the guard the same rounds must lose something, or they prove nothing.
#[test]
fn without_the_guard_something_is_lost() -> Result<()> {
    if let Some(reason) = disk::missing() {
        eprintln!("not tried: {reason}");
        return Ok(());
    }
    if !is_long() {
        eprintln!("not tried: the control belongs to the long rounds");
        return Ok(());
    }
    let seed = u64::from(now());
    for round in 0..N_CONTROL_ROUNDS {
        if let Outcome::Broken(how) = cut(seed + round, WITHOUT_GUARD)? {
            eprintln!("round {round}, seed {seed}: {how}");
            return Ok(());
        }
    }
    anyhow::bail!(
        "{N_CONTROL_ROUNDS} rounds without the guard lost nothing: these rounds prove nothing (seed {seed})"
    )
}

/// Cuts the power of a server under load, starts it again and looks for everything it had acknowledged.
fn cut(seed: u64, arguments: &[&str]) -> Result<Outcome> {
    let mut random = Random::new(seed);
    let pool = Arc::new(Pool::new(400, seed));
    let mut disk = Ext4::new(768)?;
    let home = Home::new()?.with_data(disk.path().join("data"));
    let config = home.config(
        "[storage]\npartition_bytes = \"16MiB\"\nmin_free_disk = \"16MiB\"\nmax_disk = 0\n",
    )?;
    let all: Vec<&str> = config
        .iter()
        .map(String::as_str)
        .chain(arguments.iter().copied())
        .collect();

    let server = home.start_with(&all)?;
    let shape = Shape {
        n_acknowledged: 4,
        n_unacknowledged: 2,
        batch_max: 25,
    };
    let traffic = Traffic::start(server.address(), &pool, shape, random.bits());
    let switch = disk.power_switch()?;
    traffic.wait_for(usize::try_from(random.between(500, 12_000))?)?;
    traffic.disregard_answers();
    switch.cut()?;
    server.kill9()?;
    // The ledger is in the memory of this process: no file system of the test is asked to keep it.
    let ledger = traffic.finish(&pool);
    disk.detach()?;
    disk.mount()?;

    let server = match home.start_with(&all) {
        Ok(server) => server,
        Err(error) => {
            return Ok(Outcome::Broken(format!(
                "the store does not open: {error:#}"
            )));
        }
    };
    let n_segments = ledger.n_acknowledged();
    let whole = look(&ledger, &home, &server);
    server.kill9()?;
    let broken = whole
        .err()
        .map(|error| Outcome::Broken(format!("{error:#}")));
    Ok(broken.unwrap_or(Outcome::Whole(n_segments)))
}

fn look(ledger: &Ledger, home: &Home, server: &Server) -> Result<()> {
    let n_aside = std::fs::read_dir(home.data().join("quarantine")).map_or(0, Iterator::count);
    anyhow::ensure!(
        n_aside == 0,
        "{n_aside} partitions were set aside\n{}",
        server.log()
    );
    let findings = ledger.check(server).context("read everything back")?;
    findings.require_none().with_context(|| server.log())
}

const N_CONTROL_ROUNDS: u64 = 20;
const WITHOUT_GUARD: &[&str] = &["--unsafe-no-guard"];
