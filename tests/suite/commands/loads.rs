//! `roentgen bench` against endpoints that answer nonsense, late, or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use roentgen_tests::Home;
use roentgen_tests::process::describe;
use roentgen_tests::scripted::{Answer, Scripted};
use roentgen_tests::terminal::Terminal;
use roentgen_tests::wait::until;
use serde_json::{Value, json};

use super::run;

const TAKEN: &str = r#"{"UnprocessedTraceSegments": []}"#;

/// Answers as a server that takes everything.
fn taken() -> Answer {
    Answer::Said(200, "", TAKEN.to_owned())
}

/// Loads an endpoint with these calls of 25 documents and two connections, and returns the figures.
fn figures(endpoint: &Scripted, n_calls: u32, code: i32) -> Result<Value> {
    let home = Home::new()?;
    let n_documents = (n_calls * 25).to_string();
    let arguments = [
        "bench",
        "--json",
        "--connections",
        "2",
        "--documents",
        &n_documents,
    ];
    let output = run(&home, &endpoint.url(), &arguments)?;
    assert_eq!(output.status.code(), Some(code), "{}", describe(&output));
    serde_json::from_slice(&output.stdout).with_context(|| describe(&output))
}

#[test]
fn an_answer_that_says_nothing_of_documents_acknowledges_none() -> Result<()> {
    for (headers, body) in [
        ("content-type: text/html\r\n", "<html>welcome</html>"),
        ("", ""),
        ("", "null"),
        ("content-encoding: gzip\r\n", "\u{1f}\u{8b}\u{8}"),
    ] {
        let endpoint = Scripted::start(move |_| Answer::Said(200, headers, body.to_owned()))?;
        let figures = figures(&endpoint, 4, 1)?;
        assert_eq!(
            (&figures["DocumentsAcknowledged"], &figures["CallsFailed"]),
            (&json!(0), &json!(4)),
            "{body}: {figures}"
        );
    }
    Ok(())
}

#[test]
fn a_connection_that_breaks_at_its_first_call_is_counted() -> Result<()> {
    let n_calls = AtomicU32::new(0);
    let endpoint = Scripted::start(move |_| match n_calls.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::Closed,
        _ => taken(),
    })?;
    let figures = figures(&endpoint, 8, 0)?;
    assert_eq!(
        (
            &figures["DocumentsAcknowledged"],
            &figures["CallsFailed"],
            &figures["Calls"]
        ),
        (&json!(7 * 25), &json!(1), &json!(8)),
        "{figures}"
    );
    Ok(())
}

/// Less than a server that is silent is given without an end of time.
const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_silent_server_is_waited_for_a_little_at_the_end_of_the_time() -> Result<()> {
    let home = Home::new()?;
    let begun = Instant::now();
    let silent = Scripted::start(|_| Answer::Silence)?;
    let output = run(&home, &silent.url(), &["bench", "--for", "100ms"])?;
    assert_eq!(output.status.code(), Some(4), "{}", describe(&output));
    assert!(output.stdout.is_empty(), "{}", describe(&output));
    let n_calls = AtomicU32::new(0);
    let falls_silent = Scripted::start(move |_| match n_calls.fetch_add(1, Ordering::SeqCst) {
        0..5 => taken(),
        _ => Answer::Silence,
    })?;
    let arguments = ["bench", "--json", "--for", "3s", "--connections", "2"];
    let output = run(&home, &falls_silent.url(), &arguments)?;
    assert!(output.status.success(), "{}", describe(&output));
    let figures: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(
        (&figures["DocumentsAcknowledged"], &figures["CallsFailed"]),
        (&json!(5 * 25), &json!(2)),
        "{figures}"
    );
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    Ok(())
}

#[test]
fn one_ctrl_c_ends_a_load_of_a_silent_server_with_its_totals() -> Result<()> {
    let home = Home::new()?;
    let n_calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&n_calls);
    let silent = Scripted::start(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Answer::Silence
    })?;
    let mut bench = home.command();
    bench.args(["bench", "--for", "1h", "--endpoint", &silent.url()]);
    let mut terminal = Terminal::start(&bench, 100)?;
    until("all connections have asked", || {
        Ok((n_calls.load(Ordering::SeqCst) == 8).then_some(()))
    })?;
    let begun = Instant::now();
    terminal.interrupt()?;
    let (status, text) = terminal.finish()?;
    assert_eq!(status.code(), Some(130), "{text}");
    assert!(text.contains("\nacknowledged  0\n"), "{text}");
    assert!(text.contains("\nfailed        8\n"), "{text}");
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    Ok(())
}

#[test]
fn a_load_shows_how_much_of_its_time_is_over() -> Result<()> {
    let home = Home::new()?;
    let endpoint = Scripted::start(|_| taken())?;
    let mut bench = home.command();
    bench.args(["bench", "--for", "1s", "--endpoint", &endpoint.url()]);
    let (status, text) = Terminal::start(&bench, 100)?.finish()?;
    assert!(status.success(), "{text}");
    let bars = text
        .split('\r')
        .filter(|part| part.contains(" documents  "));
    let mut filled: Vec<usize> = bars.map(|bar| bar.matches('\u{2588}').count()).collect();
    assert!(filled.is_sorted(), "{text}");
    filled.dedup();
    assert!(filled.len() > 3, "{text}");
    assert!(text.contains("/s  0s left"), "{text}");
    // In few columns nothing is wider than they are.
    let (_, text) = Terminal::start(&bench, 20)?.finish()?;
    let (_, figures) = text.rsplit_once("documents/s").context(text.clone())?;
    assert!(figures.lines().all(|line| line.len() <= 20), "{figures}");
    Ok(())
}

#[test]
fn an_outcome_that_cannot_be_written_is_told_before_the_load() -> Result<()> {
    let home = Home::new()?;
    let n_calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&n_calls);
    let endpoint = Scripted::start(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        taken()
    })?;
    let arguments = ["bench", "--documents", "25", "--connections", "1", "-o"];
    let nowhere = home.folder().join("missing/figures.json");
    let nowhere = nowhere.display().to_string();
    let output = run(
        &home,
        &endpoint.url(),
        &[&arguments[..], &[&nowhere]].concat(),
    )?;
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(output.stdout.is_empty(), "{}", describe(&output));
    assert_eq!(n_calls.load(Ordering::SeqCst), 0);
    let file = home.folder().join("figures.json");
    let name = file.display().to_string();
    let output = run(&home, &endpoint.url(), &[&arguments[..], &[&name]].concat())?;
    assert!(output.status.success(), "{}", describe(&output));
    assert!(describe(&output).contains(": 1 connection, 25 documents a call"));
    let figures: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    assert_eq!(figures["DocumentsAcknowledged"], 25);
    Ok(())
}

#[test]
fn servers_of_aws_are_not_loaded_by_accident() -> Result<()> {
    let home = Home::new()?;
    let output = run(&home, "https://xray.eu-west-1.amazonaws.com", &["bench"])?;
    assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
    assert!(describe(&output).contains("--yes"));
    Ok(())
}
