//! What survives a stop, and what a start refuses.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use roentgen_tests::generate::{Feed, Pool};
use roentgen_tests::process::describe;
use roentgen_tests::random::Random;
use roentgen_tests::wait::now;
use roentgen_tests::{Home, Ledger, Server};
use serde_json::json;

use crate::fixture::{segment, summaries, trace_id};

/// Puts so many generated documents and returns what was acknowledged.
fn fill(server: &Server, n_documents: usize, seed: u64) -> Result<Ledger> {
    let pool = Arc::new(Pool::new(300, 7));
    let mut feed = Feed::new(Arc::clone(&pool), seed, now(), 600);
    let mut ledger = Ledger::new(Arc::clone(&pool));
    for _ in 0..n_documents.div_ceil(40) {
        let batch = feed.batch(40);
        ledger.sent(&batch);
        server.put_all(
            &batch
                .iter()
                .map(|planned| pool.text(planned))
                .collect::<Vec<_>>(),
        )?;
        ledger.acknowledged(&batch);
    }
    Ok(ledger)
}

#[test]
fn everything_survives_a_stop_and_a_kill() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let first = fill(&server, 600, 1)?;
    let before = summaries(&server, &json!({}))?;
    assert!(server.terminate()?.success());

    let server = home.start()?;
    first.check(&server)?.require_none()?;
    assert_eq!(summaries(&server, &json!({}))?, before);
    let second = fill(&server, 600, 2)?;
    let before = summaries(&server, &json!({}))?;
    server.kill9()?;

    let server = home.start()?;
    first.check(&server)?.require_none()?;
    second.check(&server)?.require_none()?;
    assert_eq!(summaries(&server, &json!({}))?, before);
    drop(server);
    let output = home.check()?;
    assert!(output.status.success(), "{}", describe(&output));
    Ok(())
}

#[test]
fn everything_survives_sealed_partitions() -> Result<()> {
    let home = Home::new()?;
    let config = home.config("[storage]\npartition_bytes = \"1MiB\"\n")?;
    let server = home.start_with(&config)?;
    let ledger = fill(&server, 4000, 3)?;
    let before = summaries(&server, &json!({}))?;
    assert!(
        n_partitions(&home)? > 2,
        "{} partitions",
        n_partitions(&home)?
    );
    ledger
        .check(&server)?
        .require_none()
        .with_context(|| server.log())?;
    server.kill9()?;
    let server = home.start_with(&config)?;
    ledger
        .check(&server)?
        .require_none()
        .with_context(|| server.log())?;
    assert_eq!(summaries(&server, &json!({}))?, before);
    drop(server);
    assert!(home.check()?.status.success());
    Ok(())
}

#[test]
fn a_segment_is_replaced_across_partitions() -> Result<()> {
    let home = Home::new()?;
    let config = home.config("[storage]\npartition_bytes = \"1MiB\"\n")?;
    let server = home.start_with(&config)?;
    let trace_id = trace_id(1);
    server.put_all(&[segment(
        &trace_id,
        "00000000000000a1",
        &json!({ "end_time": null, "in_progress": true }),
    )])?;
    fill(&server, 2500, 4)?;
    server.put_all(&[segment(
        &trace_id,
        "00000000000000a1",
        &json!({ "user": "late" }),
    )])?;
    fill(&server, 2500, 5)?;
    let server = restart(&home, server, &config)?;
    let documents = server.documents(&trace_id)?;
    assert_eq!(
        (documents.len(), &documents[0]["user"]),
        (1, &json!("late"))
    );
    let all = summaries(&server, &json!({}))?;
    let found: Vec<_> = all
        .iter()
        .filter(|summary| summary["Id"] == json!(trace_id))
        .collect();
    assert_eq!((found.len(), &found[0]["IsPartial"]), (1, &json!(false)));
    Ok(())
}

#[test]
fn an_interval_store_keeps_everything_over_a_stop() -> Result<()> {
    let home = Home::new()?;
    let config = home.config("[storage]\ndurability = \"interval\"\ninterval = \"50ms\"\n")?;
    let server = home.start_with(&config)?;
    let ledger = fill(&server, 1000, 6)?;
    assert!(server.terminate()?.success());
    let server = home.start_with(&config)?;
    ledger.check(&server)?.require_none()
}

#[test]
fn two_servers_do_not_share_a_folder() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let output = home.serve_output::<&str>(&[])?;
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "a second server started");
    assert!(
        message.contains(&home.data().display().to_string()) && message.contains("another process"),
        "{message}"
    );
    server.put_all(&[segment(&trace_id(1), "00000000000000a1", &json!({}))])?;
    server.kill9()?;
    // A lock does not outlive its process.
    home.start()?;
    Ok(())
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_left_alone() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    fill(&server, 40, 8)?;
    assert!(server.terminate()?.success());
    let manifest = home.data().join("MANIFEST");
    let mut newer = std::fs::read(&manifest).context("the store's manifest")?;
    raise_version(&mut newer)?;
    std::fs::write(&manifest, &newer)?;
    let output = home.serve_output::<&str>(&[])?;
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && message.contains("newer"),
        "{}",
        describe(&output)
    );
    assert_eq!(std::fs::read(&manifest)?, newer);
    Ok(())
}

#[test]
fn check_reports_damage() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    fill(&server, 400, 9)?;
    assert!(server.terminate()?.success());
    let clean = home.check()?;
    assert_eq!(clean.status.code(), Some(0), "{}", describe(&clean));
    damage(&largest_file(&home.data().join("p"))?)?;
    let damaged = home.check()?;
    assert_eq!(damaged.status.code(), Some(6), "{}", describe(&damaged));
    Ok(())
}

#[test]
fn check_says_what_stands_in_its_way() -> Result<()> {
    let home = Home::new()?;
    let nothing = home.check()?;
    assert!(
        !matches!(nothing.status.code(), Some(0 | 6)),
        "{}",
        describe(&nothing)
    );
    let server = home.start()?;
    let in_use = home.check()?;
    assert!(
        !matches!(in_use.status.code(), Some(0 | 6)),
        "{}",
        describe(&in_use)
    );
    drop(server);
    Ok(())
}

#[test]
fn a_damaged_partition_is_set_aside_and_the_rest_serves() -> Result<()> {
    let home = Home::new()?;
    let config = home.config("[storage]\npartition_bytes = \"1MiB\"\n")?;
    let server = home.start_with(&config)?;
    fill(&server, 3000, 10)?;
    let kept = trace_id(1);
    server.put_all(&[segment(&kept, "00000000000000a1", &json!({}))])?;
    assert!(server.terminate()?.success());
    let partitions = partitions(&home)?;
    let oldest = partitions.first().context("a partition")?;
    for entry in std::fs::read_dir(oldest)? {
        let path = entry?.path();
        if path.is_file() {
            std::fs::write(path, b"this is no database")?;
        }
    }
    let server = home.start_with(&config)?;
    assert_eq!(server.documents(&kept)?.len(), 1);
    let left = summaries(&server, &json!({}))?;
    assert!(!left.is_empty());
    fill(&server, 100, 11)?;
    let ready = server.get("/readyz")?;
    assert_eq!(ready.status, 200, "{}", ready.text());
    assert!(
        server.metrics()?.contains("quarantine"),
        "metrics say nothing of the quarantine"
    );
    let n_aside = std::fs::read_dir(home.data().join("quarantine")).map_or(0, Iterator::count);
    assert_eq!(n_aside, 1);
    Ok(())
}

#[test]
fn a_torn_snapshot_does_not_stop_the_start() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let ledger = fill(&server, 200, 12)?;
    server.kill9()?;
    for partition in partitions(&home)? {
        std::fs::write(partition.join("snap.0000000000000001.generating"), b"torn")?;
    }
    let server = home.start()?;
    ledger.check(&server)?.require_none()
}

#[test]
fn values_are_never_kept_in_files_of_their_own() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = trace_id(1);
    // Text that does not compress.
    let mut random = Random::new(13);
    let noise: Vec<String> = (0..3500)
        .map(|_| format!("{:016x}", random.bits()))
        .collect();
    let noise = noise.concat();
    let large: Vec<String> = (0..20)
        .map(|number| {
            segment(
                &trace_id,
                &format!("{number:016x}"),
                &json!({ "metadata": { "default": { "fill": noise } } }),
            )
        })
        .collect();
    server.put_all(&large)?;
    assert_eq!(server.documents(&trace_id)?.len(), 20);
    assert!(server.terminate()?.success());
    for partition in partitions(&home)? {
        let blobs = partition.join("blobs");
        let n_blobs = std::fs::read_dir(&blobs).map_or(0, Iterator::count);
        assert_eq!(
            n_blobs,
            0,
            "{} has files the engine never makes durable",
            blobs.display()
        );
    }
    Ok(())
}

fn restart(home: &Home, server: Server, config: &[String]) -> Result<Server> {
    server.kill9()?;
    home.start_with(config)
}

/// Returns the folders of the partitions, oldest first.
fn partitions(home: &Home) -> Result<Vec<PathBuf>> {
    let mut partitions = Vec::new();
    for entry in std::fs::read_dir(home.data().join("p"))? {
        let path = entry?.path();
        if path.is_dir() {
            partitions.push(path);
        }
    }
    partitions.sort();
    Ok(partitions)
}

fn n_partitions(home: &Home) -> Result<usize> {
    partitions(home).map(|partitions| partitions.len())
}

fn largest_file(folder: &Path) -> Result<PathBuf> {
    let mut largest: Option<(u64, PathBuf)> = None;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.metadata()?.is_dir() {
                folders.push(entry.path());
            } else {
                largest = largest.max(Some((entry.metadata()?.len(), entry.path())));
            }
        }
    }
    largest.map(|(_, path)| path).context("a file in the store")
}

/// Flips bytes all over a file, so that some record is hit.
fn damage(file: &Path) -> Result<()> {
    let mut bytes = std::fs::read(file)?;
    let n_bytes = bytes.len();
    for at in (n_bytes / 20..n_bytes / 2).step_by(1009) {
        bytes[at] ^= 0x55;
    }
    std::fs::write(file, bytes)?;
    Ok(())
}

/// Makes the store one of the next format: after eight letters the manifest has the format's number in every
/// format, so that an older program can refuse a newer store.
fn raise_version(manifest: &mut [u8]) -> Result<()> {
    let format = manifest
        .get_mut(8..12)
        .context("a manifest of twelve bytes and more")?;
    let raised = u32::from_be_bytes((&*format).try_into()?) + 1;
    format.copy_from_slice(&raised.to_be_bytes());
    Ok(())
}
