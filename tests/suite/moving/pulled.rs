//! Pulls that are killed, stopped and throttled, and gone on with.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use roentgen_tests::process::{describe, terminate};
use roentgen_tests::{Home, Server, wait};
use serde_json::{Value, json};

use super::{file, put_small, run};
use crate::fixture::summaries;

fn ids(server: &Server) -> Result<BTreeSet<String>> {
    let found = summaries(server, &json!({}))?;
    Ok(found
        .iter()
        .map(|summary| summary["Id"].to_string())
        .collect())
}

/// Returns the ids of the lines of a file.
fn pulled(bytes: &[u8]) -> Result<Vec<String>> {
    let text = std::str::from_utf8(bytes)?;
    let lines = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line)?;
        Ok(line["Id"].to_string())
    });
    lines.collect()
}

/// Starts a pull, waits until something of it is noted that was not before, and kills it.
fn killed(home: &Home, server: &Server, progress: &Path, arguments: &[&str]) -> Result<bool> {
    let before = std::fs::read(progress).unwrap_or_default();
    let mut child = home
        .command()
        .args(arguments)
        .args(["--endpoint", &server.url()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut has_ended = false;
    wait::until("a slice is noted", || {
        has_ended = child.try_wait()?.is_some();
        let noted = std::fs::read(progress).unwrap_or_default();
        let has_come_on = noted != before && !noted.is_empty();
        Ok((has_ended || has_come_on).then_some(()))
    })?;
    child.kill()?;
    child.wait()?;
    Ok(has_ended)
}

#[test]
fn a_pull_that_is_killed_goes_on_and_has_every_trace_once() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    put_small(&server, 1_500)?;
    let expected = ids(&server)?;
    for name in ["all.jsonl", "all.jsonl.gz"] {
        let (path, text) = file(&home, name);
        let (progress, _) = file(&home, &format!("{name}.progress"));
        let command = ["pull", "--last", "1h", "-o", &text, "--rate", "200"];
        let mut n_killed = 0;
        while n_killed < 3 && !killed(&home, &server, &progress, &command)? {
            assert!(!path.exists());
            n_killed += 1;
        }
        assert!(n_killed > 1, "{n_killed}");
        run(&home, &server, 0, &command)?;
        let bytes = std::fs::read(&path)?;
        let mut found = Vec::new();
        if path.extension().is_some_and(|extension| extension == "gz") {
            flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut found)?;
        } else {
            found = bytes;
        }
        let found = pulled(&found)?;
        assert_eq!(found.len(), expected.len());
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
        assert!(!progress.exists());
        // What is whole is not written over by chance.
        run(&home, &server, 2, &command)?;
    }
    Ok(())
}

#[test]
fn a_pull_says_what_it_goes_on_with() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    put_small(&server, 60)?;
    let (path, text) = file(&home, "all.jsonl");
    let (progress, _) = file(&home, "all.jsonl.progress");
    run(&home, &server, 2, &["pull", "-o", &text])?;
    run(&home, &server, 2, &["pull", "-o", &text, "--resume"])?;
    run(&home, &server, 2, &["pull", "-o", "-", "--last", "1h"])?;
    let slow = ["pull", "--last", "1h", "-o", &text, "--rate", "0.5"];
    let mut child = home
        .command()
        .args(slow)
        .args(["--endpoint", &server.url()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    wait::until("the pull has begun", || Ok(progress.exists().then_some(())))?;
    // The first signal asks; a call that waits for its turn ends first.
    terminate(child.id())?;
    wait::until("the pull ends", || Ok(child.try_wait()?))?;
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(143), "{}", describe(&output));
    let other = run(&home, &server, 2, &["pull", "--last", "2h", "-o", &text])?;
    assert!(
        describe(&other).contains("--last 1h"),
        "{}",
        describe(&other)
    );
    run(
        &home,
        &server,
        2,
        &["pull", "--last", "1h", "-o", &text, "--filter", "fault"],
    )?;
    run(&home, &server, 0, &["pull", "-o", &text, "--resume"])?;
    assert_eq!(pulled(&std::fs::read(path)?)?.len(), 60);
    Ok(())
}

#[test]
fn a_server_without_room_is_left_alone_for_as_long_as_it_asks() -> Result<()> {
    let home = Home::new()?;
    // What is sent is limited; what is read is not, so this is the other way round: an import.
    let server = home.start()?;
    put_small(&server, 100)?;
    let (_, text) = file(&home, "all.jsonl");
    run(&home, &server, 0, &["pull", "--last", "1h", "-o", &text])?;
    let other_home = Home::new()?;
    let config = other_home.config("[limits]\nsegments_per_second = 40\n")?;
    let other = other_home.start_with(&config)?;
    let output = run(&home, &other, 0, &["import", &text, "--json"])?;
    let totals: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(totals["Accepted"], 100, "{totals}");
    assert_eq!(ids(&other)?, ids(&server)?);
    Ok(())
}

#[test]
fn a_pull_into_a_folder_is_a_journal_with_every_trace_once() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    put_small(&server, 1_200)?;
    let expected = ids(&server)?;
    let (folder, text) = file(&home, "recording");
    let progress = folder.join("pull.progress");
    let command = ["pull", "--last", "1h", "--into", &text, "--rate", "200"];
    let mut n_killed = 0;
    while n_killed < 3 && !killed(&home, &server, &progress, &command)? {
        n_killed += 1;
    }
    assert!(n_killed > 1, "{n_killed}");
    run(&home, &server, 0, &command)?;
    assert!(!progress.exists());
    let mut found = Vec::new();
    for record in journal::Reader::open(&[&folder])? {
        let record = record?;
        let journal::Content::Http(call) = &record.content else {
            anyhow::bail!("no call: {record:?}");
        };
        assert_eq!((call.method(), call.path()), ("POST", "/TraceSegments"));
        let body: Value = serde_json::from_slice(call.body())?;
        let documents = body["TraceSegmentDocuments"]
            .as_array()
            .context("documents")?;
        let document: Value = serde_json::from_str(documents[0].as_str().context("a text")?)?;
        let end = document["end_time"].as_f64().context("an end")?;
        assert!((record.at.as_secs_f64() - end).abs() < 1e-6);
        found.push(document["trace_id"].to_string());
    }
    assert_eq!(found.len(), expected.len());
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    Ok(())
}

#[test]
fn a_pull_goes_into_a_folder_named_from_where_one_is() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    put_small(&server, 3)?;
    for folder in ["recording", "./further/recording"] {
        let output = home
            .command()
            .args(["pull", "--last", "1h", "--into", folder])
            .args(["--endpoint", &server.url()])
            .output()?;
        assert!(output.status.success(), "{}", describe(&output));
        let there = home.folder().join(folder);
        assert!(journal::Reader::open(&[&there])?.count() > 0);
        assert!(!there.join("pull.progress").exists());
    }
    Ok(())
}
