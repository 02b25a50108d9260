//! Commands whose server goes away, is slow or says nothing, or that are to end: what was done before is not lost.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use roentgen_tests::Home;
use roentgen_tests::process::{describe, terminate};
use roentgen_tests::terminal::Terminal;
use serde_json::{Value, json};

use super::command;
use super::odd::{Answer, Odd};
use crate::fixture::{segment, trace_id};

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_mins(1);

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

/// Runs `get --wait` for a trace and returns what came of it and how long it took.
fn waited(home: &Home, endpoint: &str, wait: &str) -> Result<(Output, Duration)> {
    let begun = Instant::now();
    let id = trace_id(1);
    let output = command(home, endpoint, &["get", &id, "--wait", wait]).output()?;
    Ok((output, begun.elapsed()))
}

#[test]
fn a_wait_is_as_long_as_it_says() -> Result<()> {
    let home = Home::new()?;
    let closed = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let silent = Odd::open(|_, _, _| Answer::Never)?;
    let busy = Odd::open(|_, _, _| Answer::NoRoom(60))?;
    for (endpoint, code) in [
        (silent.url(), 3),
        (busy.url(), 3),
        (format!("http://{closed}"), 4),
    ] {
        let (output, elapsed) = waited(&home, &endpoint, "2s")?;
        assert_eq!(output.status.code(), Some(code), "{}", describe(&output));
        let expected = Duration::from_secs(2)..Duration::from_secs(20);
        assert!(expected.contains(&elapsed), "{code}: {elapsed:?}");
    }
    Ok(())
}

#[test]
fn a_server_that_is_not_there_yet_is_waited_for() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let id = trace_id(1);
    server.put_all(&[segment(&id, "00000000000000a1", &json!({}))])?;
    let address = server.address().to_string();
    server.kill9()?;
    let arguments = ["get", &id, "--wait", "60s"];
    let get = command(&home, &format!("http://{address}"), &arguments);
    let terminal = Terminal::start(&get, 100)?;
    // It has looked and not found a server.
    terminal.wait_for("waiting for traces")?;
    let _server = home.start_with(&["--listen", &address])?;
    let (status, text) = terminal.finish()?;
    assert!(status.success() && text.contains("shop"), "{status} {text}");
    Ok(())
}

fn traces(ids: &[Value]) -> Answer {
    let traces = ids.iter().map(|id| {
        let document = json!({ "id": "a", "name": "shop", "start_time": 1, "in_progress": true });
        json!({ "Id": id, "Segments": [{ "Id": "a", "Document": document.to_string() }] })
    });
    Answer::Is(json!({ "Traces": traces.collect::<Vec<_>>() }))
}

#[test]
fn ctrl_c_prints_what_a_wait_has_seen() -> Result<()> {
    let home = Home::new()?;
    let (server, calls, answers) = held()?;
    let id = trace_id(1);
    let get = command(&home, &server.url(), &["get", &id, "--wait", "1h"]);
    let mut terminal = Terminal::start(&get, 100)?;
    answers.send(traces(&[json!(id)]))?;
    // The second question tells that the first answer was read.
    calls.recv_timeout(LIMIT)?;
    calls.recv_timeout(LIMIT)?;
    terminal.interrupt()?;
    let (status, text) = terminal.finish()?;
    assert_eq!(status.code(), Some(130), "{text}");
    assert!(text.contains("in progress"), "{text}");
    assert!(text.contains("not all traces are there and done"), "{text}");
    Ok(())
}

#[test]
fn traces_that_came_before_a_call_failed_are_printed() -> Result<()> {
    let home = Home::new()?;
    let server = Odd::open(|number, _, body| match number {
        0 => traces(body["TraceIds"].as_array().map_or(&[], Vec::as_slice)),
        _ => Answer::Is(json!("nonsense")),
    })?;
    let ids: Vec<String> = (0..7).map(trace_id).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let arguments = [&["get", "--json"], &ids[..]].concat();
    let output = command(&home, &server.url(), &arguments).output()?;
    assert_eq!(output.status.code(), Some(5), "{}", describe(&output));
    let lines = text(&output.stdout);
    let lines: Vec<Value> = lines
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let found: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["Id"].as_str())
        .collect();
    assert_eq!(found, ids[..5]);
    Ok(())
}

#[test]
fn documents_of_a_trace_are_those_that_were_sent() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let id = super::faulty(&server, 1)?;
    let arguments = ["get", &id, "--format", "documents"];
    let output = command(&home, &server.url(), &arguments).output()?;
    assert!(output.status.success(), "{}", describe(&output));
    let documents = text(&output.stdout);
    assert!(
        documents.lines().count() == 1 && !documents.contains("inferred"),
        "{documents}"
    );
    assert!(
        text(&output.stderr).contains("1 segment left out that a server inferred"),
        "{}",
        describe(&output)
    );
    // The tree has it.
    let output = command(&home, &server.url(), &["get", &id]).output()?;
    assert!(text(&output.stdout).contains("inferred"));
    let output = command(&home, &server.url(), &["get", &id, "--plain"]).output()?;
    let plain = text(&output.stdout);
    let second: Vec<&str> = plain
        .lines()
        .nth(1)
        .context("a line")?
        .split('\t')
        .collect();
    assert_eq!(
        second[..4],
        [&id, "00000000000000b1", "00000000000000a1", "payments"]
    );
    assert_eq!((second[6], second[8]), ("0.4", "fault"), "{plain}");
    Ok(())
}

/// A page with one trace of this length, and another page behind it.
fn page(number: usize, seconds: f64) -> Answer {
    let id = trace_id(u32::try_from(number).unwrap());
    let summary = json!({ "Id": id, "StartTime": 1_700_000_000, "Duration": seconds });
    Answer::Is(json!({ "TraceSummaries": [summary], "NextToken": number.to_string() }))
}

#[test]
fn what_was_found_before_a_call_failed_is_printed() -> Result<()> {
    let home = Home::new()?;
    for arguments in [
        &["find"][..],
        &["find", "--ids"],
        &["find", "--sort", "time"],
    ] {
        let server = Odd::open(|number, _, _| match number {
            0..2 => page(number, 1.0),
            _ => Answer::Is(json!("nonsense")),
        })?;
        let output = command(&home, &server.url(), arguments).output()?;
        assert_eq!(output.status.code(), Some(5), "{}", describe(&output));
        let found = text(&output.stdout);
        let n_found = found.lines().filter(|line| line.contains("1-")).count();
        assert_eq!(n_found, 2, "{found}");
        assert!(text(&output.stderr).contains("makes no sense"));
    }
    Ok(())
}

#[test]
fn rows_are_shown_as_pages_come_and_ctrl_c_keeps_them() -> Result<()> {
    let home = Home::new()?;
    let (server, calls, answers) = held()?;
    let mut terminal = Terminal::start(&command(&home, &server.url(), &["find"]), 100)?;
    answers.send(page(1, 1.0))?;
    terminal.wait_for(&trace_id(1)[11..])?;
    calls.recv_timeout(LIMIT)?;
    calls.recv_timeout(LIMIT)?;
    // Meanwhile people see that something goes on.
    terminal.wait_for(" 1 traces")?;
    terminal.interrupt()?;
    let (status, text) = terminal.finish()?;
    assert_eq!(status.code(), Some(130), "{text}");
    assert!(text.contains("1 trace found so far"), "{text}");
    Ok(())
}

#[test]
fn ctrl_c_keeps_what_is_to_be_sorted() -> Result<()> {
    let home = Home::new()?;
    let (server, calls, answers) = held()?;
    let arguments = ["find", "--ids", "--sort", "duration"];
    let mut terminal = Terminal::start(&command(&home, &server.url(), &arguments), 100)?;
    answers.send(page(1, 1.0))?;
    answers.send(page(2, 2.0))?;
    for _ in 0..3 {
        calls.recv_timeout(LIMIT)?;
    }
    terminal.interrupt()?;
    let (status, text) = terminal.finish()?;
    assert_eq!(status.code(), Some(130), "{text}");
    let [first, second] = [1, 2].map(|number| text.find(&trace_id(number)[11..]));
    assert!(second.is_some() && second < first, "{text}");
    Ok(())
}

#[test]
fn a_dumb_terminal_is_told_in_lines_that_a_server_has_no_room() -> Result<()> {
    let home = Home::new()?;
    let server = Odd::open(|number, _, _| match number {
        0 => Answer::NoRoom(2),
        _ => Answer::Is(json!({ "TraceSummaries": [] })),
    })?;
    let told = "0 traces after 0s, waiting for the server (throttled)\n";
    let mut find = command(&home, &server.url(), &["find"]);
    let (status, text) = Terminal::start(find.env("TERM", "dumb"), 100)?.finish()?;
    assert_eq!(status.code(), Some(3), "{text}");
    assert!(text.starts_with(told) && !text.contains('\u{1b}'), "{text}");
    Ok(())
}

#[test]
fn people_see_that_a_slow_answer_is_waited_for() -> Result<()> {
    let home = Home::new()?;
    let id = trace_id(1);
    for (arguments, told) in [
        (&["map"][..], "asking for services"),
        (&["stats"], "asking for figures"),
        (&["open", &id, "-o", "-"], "0/1 traces"),
        (&["get", &id], "0/1 traces"),
    ] {
        let (server, calls, answers) = held()?;
        let terminal = Terminal::start(&command(&home, &server.url(), arguments), 100)?;
        calls.recv_timeout(LIMIT)?;
        terminal.wait_for(told)?;
        answers.send(Answer::Is(json!({})))?;
        let (status, text) = terminal.finish()?;
        assert_eq!(status.code(), Some(3), "{arguments:?}: {text}");
    }
    Ok(())
}
