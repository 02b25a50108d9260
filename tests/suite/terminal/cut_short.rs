//! Commands whose server goes away, is slow or says nothing, or that are to end: what was done before is not lost.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result};
use roentgen_tests::Home;
use roentgen_tests::process::{describe, terminate};
use roentgen_tests::terminal::Terminal;
use serde_json::{Value, json};

use super::command;
use super::odd::{Answer, Odd};
use crate::fixture::{segment, trace_id};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(60);

fn accepted() -> Answer {
    Answer::Is(json!({ "UnprocessedTraceSegments": [] }))
}

fn documents(n_documents: u32) -> String {
    (0..n_documents)
        .map(|number| segment(&trace_id(number), "00000000000000a1", &json!({})) + "\n")
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Puts a file of 250 documents.
fn put_file(home: &Home, server: &Odd, arguments: &[&str]) -> Result<Output> {
    let file = home.folder().join("documents.jsonl");
    fs::write(&file, documents(250))?;
    let file = file.display().to_string();
    let arguments = [&["put", &file], arguments].concat();
    Ok(command(home, &server.url(), &arguments).output()?)
}

#[test]
fn what_was_accepted_before_a_call_failed_is_told() -> Result<()> {
    let home = Home::new()?;
    let failing = || {
        Odd::open(|number, _, _| match number {
            0..4 => accepted(),
            _ => Answer::Is(json!("nonsense")),
        })
    };
    let output = put_file(&home, &failing()?, &[])?;
    assert_eq!(output.status.code(), Some(5), "{}", describe(&output));
    assert_eq!(text(&output.stdout), "accepted 200 of 250 documents\n");
    assert!(
        text(&output.stderr).contains("makes no sense"),
        "{}",
        describe(&output)
    );
    // Where each document has a line, people are told the sum.
    for form in ["--json", "--plain"] {
        let output = put_file(&home, &failing()?, &[form])?;
        assert_eq!(output.status.code(), Some(5), "{}", describe(&output));
        assert_eq!(text(&output.stdout).lines().count(), 200);
        assert!(
            text(&output.stderr).contains("accepted 200 of 250 documents"),
            "{}",
            describe(&output)
        );
    }
    let gone = Odd::open(|_, _, _| Answer::Gone)?;
    let output = put_file(&home, &gone, &[])?;
    assert_eq!(output.status.code(), Some(4), "{}", describe(&output));
    assert_eq!(text(&output.stdout), "");
    Ok(())
}

/// A server that tells when a call has come, and answers when the test says so.
fn held() -> Result<(Odd, mpsc::Receiver<Value>, mpsc::Sender<Answer>)> {
    let (come, calls) = mpsc::channel();
    let (answers, given) = mpsc::channel();
    let server = Odd::open(move |_, _, body| {
        let _unheard = come.send(body.clone());
        given.recv().unwrap_or(Answer::Gone)
    })?;
    Ok((server, calls, answers))
}

#[test]
fn ctrl_c_lets_put_finish_its_batch() -> Result<()> {
    let home = Home::new()?;
    let file = home.folder().join("documents.jsonl");
    fs::write(&file, documents(250))?;
    let file = file.display().to_string();
    let (server, calls, answers) = held()?;
    let mut terminal = Terminal::start(&command(&home, &server.url(), &["put", &file]), 80)?;
    answers.send(accepted())?;
    calls.recv_timeout(LIMIT)?;
    calls.recv_timeout(LIMIT)?;
    terminal.interrupt()?;
    terminal.wait_for("a second signal stops at once")?;
    answers.send(accepted())?;
    let (status, text) = terminal.finish()?;
    assert_eq!(status.code(), Some(130), "{text}");
    assert!(text.contains("accepted 100 of 250 documents\n"), "{text}");
    Ok(())
}

#[test]
fn documents_of_a_pipe_are_sent_as_they_come() -> Result<()> {
    let home = Home::new()?;
    let (server, calls, answers) = held()?;
    let mut put = command(&home, &server.url(), &["put", "-", "--plain"]);
    let piped = put.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.stderr(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().context("stdin")?;
    let mut lines = BufReader::new(child.stdout.take().context("stdout")?);
    let id = trace_id(1);
    writeln!(input, "{}", segment(&id, "00000000000000a1", &json!({})))?;
    answers.send(accepted())?;
    let sent = calls.recv_timeout(LIMIT)?;
    assert_eq!(
        sent["TraceSegmentDocuments"].as_array().map(Vec::len),
        Some(1)
    );
    let mut line = String::new();
    lines.read_line(&mut line)?;
    assert_eq!(line, format!("{id}\t00000000000000a1\taccepted\t\n"));
    // The pipe is still open when the end is asked for.
    terminate(child.id())?;
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(143), "{}", describe(&output));
    assert!(
        text(&output.stderr).contains("accepted 1 of 1 document read so far"),
        "{}",
        describe(&output)
    );
    drop(input);
    Ok(())
}

#[test]
fn what_cannot_be_read_of_a_pipe_does_not_hide_what_was_sent() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let input = home.folder().join("documents.jsonl");
    let put = |text: &str, name: &str| -> Result<Output> {
        fs::write(&input, text)?;
        let mut put = command(&home, &server.url(), &["put", name]);
        Ok(put.stdin(fs::File::open(&input)?).output()?)
    };
    let half = format!("{}{{\"id\": ", documents(2));
    let output = put(&half, "-")?;
    assert_eq!(output.status.code(), Some(5), "{}", describe(&output));
    assert_eq!(
        text(&output.stdout),
        "accepted 2 of 2 documents read so far\n"
    );
    assert!(
        text(&output.stderr).contains("line 3 column"),
        "{}",
        describe(&output)
    );
    // Of a file nothing is sent.
    for (name, half) in [
        (&*input.display().to_string(), &*half),
        ("-", "nonsense"),
        ("-", ""),
    ] {
        let output = put(half, name)?;
        assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
        assert_eq!(text(&output.stdout), "");
    }
    Ok(())
}

#[test]
fn put_says_that_it_reads_from_the_terminal() -> Result<()> {
    let home = Home::new()?;
    let server = Odd::open(|_, _, _| Answer::Gone)?;
    let mut terminal = Terminal::start(&command(&home, &server.url(), &["put", "-"]), 80)?;
    terminal.wait_for("reading documents from the terminal; Ctrl-D ends them")?;
    terminal.interrupt()?;
    let (status, text) = terminal.finish()?;
    assert_eq!(status.code(), Some(130), "{text}");
    Ok(())
}
