//! How commands behave before a person, in a pipe, and when they are to end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use roentgen_tests::process::{describe, terminate};
use roentgen_tests::terminal::Terminal;
use roentgen_tests::wait::now;
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

use crate::fixture::{segment, trace_id};

/// A command that asks this server.
fn command(home: &Home, endpoint: &str, arguments: &[&str]) -> Command {
    let mut command = home.command();
    command.args(arguments).args(["--endpoint", endpoint]);
    command.env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

/// Puts a trace whose root failed, with a long address.
fn faulty(server: &Server, number: u32) -> Result<String> {
    let trace_id = trace_id(number);
    let url = format!("http://shop.test/{}", "long/".repeat(20));
    let http = json!({ "request": { "method": "GET", "url": url }, "response": { "status": 500 } });
    let start = f64::from(now() - 60);
    let members = json!({
        "fault": true, "http": http,
        "subsegments": [{ "id": "00000000000000b1", "name": "payments", "namespace": "remote",
            "start_time": start + 0.6, "end_time": start + 1.0, "fault": true }],
    });
    server.put_all(&[segment(&trace_id, "00000000000000a1", &members)])?;
    Ok(trace_id)
}

/// Runs a command in a terminal to its end.
fn shown(command: &Command, n_columns: u16) -> Result<String> {
    let (status, text) = Terminal::start(command, n_columns)?.finish()?;
    assert!(status.success(), "{status}\n{text}");
    Ok(text)
}

/// Runs a command in a pipe to its end.
fn piped(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    assert!(output.status.success(), "{}", describe(&output));
    Ok(String::from_utf8(output.stdout)?)
}

fn widest(text: &str) -> usize {
    let widths = text.lines().map(|line| line.chars().count());
    widths.max().unwrap_or(0)
}

const RED: &str = "\u{1b}[31m";
const BAR: char = '\u{2588}';

#[test]
fn tables_fit_the_terminal_and_are_whole_in_a_pipe() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    faulty(&server, 1)?;
    let mut find = command(&home, &server.url(), &["find"]);
    find.env("NO_COLOR", "1");
    for n_columns in [40, 80, 100] {
        let text = shown(&find, n_columns)?;
        assert!(
            widest(&text) <= usize::from(n_columns),
            "{n_columns}: {text}"
        );
        assert!(text.contains(".."), "{text}");
    }
    let wide = shown(&find, 250)?;
    let whole = piped(&mut find)?;
    assert!(
        wide.contains("long/long/long") && !wide.contains(".."),
        "{wide}"
    );
    assert_eq!(wide, whole);
    Ok(())
}

#[test]
fn colours_are_for_terminals_that_want_them() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = faulty(&server, 1)?;
    for arguments in [&["find"][..], &["map"], &["stats"], &["get", &trace_id]] {
        let has_colour = |name: &str, value: &str, in_terminal: bool| -> Result<bool> {
            let mut command = command(&home, &server.url(), arguments);
            command.env(name, value);
            let text = if in_terminal {
                shown(&command, 200)?
            } else {
                piped(&mut command)?
            };
            assert_eq!(text.contains(RED), text.contains('\u{1b}'), "{text}");
            Ok(text.contains(RED))
        };
        assert!(has_colour("LANG", "C", true)?, "{arguments:?}");
        assert!(!has_colour("NO_COLOR", "1", true)?, "{arguments:?}");
        assert!(!has_colour("TERM", "dumb", true)?, "{arguments:?}");
        assert!(!has_colour("LANG", "C", false)?, "{arguments:?}");
        assert!(has_colour("CLICOLOR_FORCE", "1", false)?, "{arguments:?}");
    }
    Ok(())
}

#[test]
fn a_trace_is_drawn_with_bars_in_a_terminal_alone() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = faulty(&server, 1)?;
    let mut get = command(&home, &server.url(), &["get", &trace_id]);
    get.env("NO_COLOR", "1");
    for n_columns in [60, 100] {
        let text = shown(&get, n_columns)?;
        assert!(widest(&text) <= usize::from(n_columns), "{text}");
        let bar = |name: &str| -> Result<(usize, usize)> {
            let line = text
                .lines()
                .find(|line| line.contains(name))
                .context("a line")?;
            let before = line.chars().take_while(|char| *char != BAR).count();
            Ok((before, line.chars().filter(|char| *char == BAR).count()))
        };
        let (root, call) = (bar("shop")?, bar("payments")?);
        assert!(
            root.0 < call.0 && root.1 > call.1 && call.1 > 0,
            "{root:?} {call:?}\n{text}"
        );
    }
    assert!(!shown(&get, 30)?.contains(BAR), "there is no room");
    assert!(!piped(&mut get)?.contains(BAR));
    for (name, value) in [("LC_ALL", "C"), ("TERM", "dumb")] {
        let mut plain = command(&home, &server.url(), &["get", &trace_id]);
        let text = shown(plain.env("NO_COLOR", "1").env(name, value), 80)?;
        assert!(text.contains("####") && text.is_ascii(), "{text}");
    }
    let stats = command(&home, &server.url(), &["stats"]);
    let text = shown(&stats, 100)?;
    assert!(
        text.starts_with("requests ") && text.contains(BAR),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_reader_that_has_enough_ends_a_command_quietly() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    for batch in 0..12 {
        let documents: Vec<String> = (0..50)
            .map(|number| {
                let metadata = json!({ "metadata": { "fill": { "text": "x".repeat(300) } } });
                segment(
                    &trace_id(batch * 50 + number),
                    "00000000000000a1",
                    &metadata,
                )
            })
            .collect();
        server.put_all(&documents)?;
    }
    let ids = home.folder().join("ids");
    std::fs::write(
        &ids,
        piped(&mut command(&home, &server.url(), &["find", "--ids"]))?,
    )?;
    for arguments in [
        &["find"][..],
        &["find", "--json"],
        &["find", "--ids"],
        &["find", "--plain", "--sort", "time"],
        &["get", "-", "--format", "documents"],
        &["get", "-"],
    ] {
        let mut command = command(&home, &server.url(), arguments);
        let mut child = command
            .stdin(std::fs::File::open(&ids)?)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let mut reader = BufReader::with_capacity(16, child.stdout.take().context("stdout")?);
        reader.read_line(&mut line)?;
        drop(reader);
        let output = child.wait_with_output()?;
        assert!(
            output.status.success() && !line.is_empty(),
            "{}",
            describe(&output)
        );
        assert!(
            output.stderr.is_empty(),
            "{arguments:?}: {}",
            describe(&output)
        );
    }
    Ok(())
}

#[test]
fn ctrl_c_ends_a_load_with_its_totals() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let bench = command(&home, &server.url(), &["bench", "--for", "1h"]);
    let mut terminal = Terminal::start(&bench, 100)?;
    // The bar says so once something was acknowledged.
    terminal.wait_for(" documents ")?;
    terminal.interrupt()?;
    let (status, text) = terminal.finish()?;
    assert_eq!(status.code(), Some(130), "{text}");
    let acknowledged = text.lines().find(|line| line.starts_with("acknowledged"));
    let acknowledged = acknowledged.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    assert!(
        acknowledged.is_some_and(|n_documents: u64| n_documents > 0),
        "{text}"
    );
    assert!(
        text.contains("\nfailed        0\n"),
        "calls under way are waited for: {text}"
    );
    Ok(())
}

#[test]
fn sigterm_ends_a_load_with_its_totals_in_a_pipe() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let mut bench = command(&home, &server.url(), &["bench", "--for", "1h", "--json"]);
    let mut child = bench
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stderr = BufReader::new(child.stderr.take().context("stderr")?);
    let mut line = String::new();
    stderr.read_line(&mut line)?;
    assert!(
        line.contains(&server.url()),
        "which server is loaded: {line}"
    );
    roentgen_tests::wait::until("something is stored", || {
        let metrics = server.metrics()?;
        let stored = metrics.lines().any(|line| {
            line.contains("segments") && !line.starts_with('#') && !line.ends_with(" 0")
        });
        Ok(stored.then_some(()))
    })?;
    terminate(child.id())?;
    let mut told = String::new();
    stderr.read_to_string(&mut told)?;
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(143), "{told}");
    let figures: Value = serde_json::from_slice(&output.stdout).context(told.clone())?;
    assert!(figures["DocumentsAcknowledged"].is_u64(), "{figures}");
    assert!(
        !told.contains('\u{1b}') && !told.contains('\r'),
        "no bar without a terminal: {told:?}"
    );
    Ok(())
}

#[test]
fn a_second_ctrl_c_ends_at_once() -> Result<()> {
    let home = Home::new()?;
    // Takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let endpoint = format!("http://{}", silent.local_addr()?);
    let bench = command(
        &home,
        &endpoint,
        &["bench", "--for", "1h", "--connections", "1"],
    );
    let mut terminal = Terminal::start(&bench, 100)?;
    let (asking, _) = silent.accept()?;
    terminal.interrupt()?;
    terminal.wait_for("a second signal stops at once")?;
    terminal.interrupt()?;
    let (status, text) = terminal.finish()?;
    assert_eq!(status.code(), Some(130), "{text}");
    drop(asking);
    Ok(())
}

#[test]
fn tail_follows_until_it_is_ended() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let mut tail = command(&home, &server.url(), &["tail", "fault"]);
    tail.env("NO_COLOR", "1");
    let mut terminal = Terminal::start(&tail, 60)?;
    let mut number = 0;
    // What was there before it listens is not news: traces come until one is shown.
    roentgen_tests::wait::until("a trace is shown", || {
        number += 1;
        faulty(&server, number)?;
        Ok(terminal.text().contains("1-").then_some(()))
    })?;
    terminal.resize(200)?;
    roentgen_tests::wait::until("a trace is shown in the wider terminal", || {
        number += 1;
        faulty(&server, number)?;
        Ok(terminal.text().contains("long/long/").then_some(()))
    })?;
    let text = terminal.text();
    let first = text
        .lines()
        .find(|line| line.contains("  1-"))
        .context("a line")?;
    assert!(first.chars().count() <= 60, "{first}");
    terminal.interrupt()?;
    let (status, text) = terminal.finish()?;
    assert_eq!(status.code(), Some(130), "{text}");
    assert!(text.contains(" traces, 0 gaps"), "{text}");
    Ok(())
}

#[test]
fn the_exit_code_tells_what_came_of_it() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let (there, missing) = (faulty(&server, 1)?, trace_id(99));
    let half = home.folder().join("half.json");
    let good = segment(&trace_id(2), "00000000000000a1", &json!({}));
    let bad = segment(
        &trace_id(3),
        "00000000000000a1",
        &json!({ "name": "what?" }),
    );
    std::fs::write(&half, format!("{good}\n{bad}\n"))?;
    let half = half.display().to_string();
    let closed = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let (open, closed) = (server.url(), format!("http://{closed}"));
    for (endpoint, arguments, code) in [
        (&open, &["get", &there][..], 0),
        (&open, &["groups", "delete", "Default"], 1),
        (&open, &["find", "fault AN error"], 2),
        (&open, &["find", "--sideways"], 2),
        (&open, &["get", "nonsense"], 2),
        (&open, &["find", "throttle"], 3),
        (&open, &["get", &missing], 3),
        (&open, &["get", &missing, "--wait", "100ms"], 3),
        (&closed, &["find"], 4),
        (&closed, &["get", &there], 4),
        (&open, &["get", &there, &missing], 5),
        (&open, &["put", &half], 5),
    ] {
        let output = command(&home, endpoint, arguments).output()?;
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {}",
            describe(&output)
        );
        // In a terminal it is the same.
        let (status, text) = Terminal::start(&command(&home, endpoint, arguments), 80)?.finish()?;
        assert_eq!(status.code(), Some(code), "{arguments:?}: {text}");
    }
    Ok(())
}

/// Text that would clear the screen, set a title, print in red (also without ESC), ring and go back in the line.
const HOSTILE: &str = "x\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{7f}\u{8}\r\u{90}q\u{9c}";

/// A server whose every text is hostile.
struct Hostile {
    address: SocketAddr,
    _thread: JoinHandle<()>,
}

impl Hostile {
    fn open(has_tail: bool) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that is gone is no matter here.
                let _ = stream.map(|stream| answer(stream, has_tail));
            }
        });
        Ok(Self {
            address,
            _thread: thread,
        })
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn answer(stream: TcpStream, has_tail: bool) -> Result<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        anyhow::ensure!(reader.read_line(&mut head)? > 0, "closed");
    }
    let head = head.to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(Ok(0), str::parse)?];
    reader.read_exact(&mut body)?;
    let path = head.split(' ').nth(1).context("a path")?;
    let mut stream = reader.into_inner();
    if path.starts_with("/api/v1/tail") && has_tail {
        let summary = hostile("/tracesummaries")["TraceSummaries"][0].clone();
        let raw = HOSTILE.replace('\r', "");
        let events = format!(
            "id: {raw}\nevent: trace\ndata: {summary}\n\nevent: trace\ndata: {raw}\n\nevent: gap\ndata: {raw}\n\n"
        );
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{events}"
        )?;
        return Ok(());
    }
    let (status, body) = match hostile(path) {
        Value::Null => (404, json!({ "__type": HOSTILE, "Message": HOSTILE })),
        body => (200, body),
    };
    // Some of these characters may stand in JSON as they are.
    let body = body.to_string();
    let n_bytes = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} Said\r\ncontent-length: {n_bytes}\r\nconnection: close\r\n\r\n{body}"
    )?;
    Ok(())
}

fn hostile(path: &str) -> Value {
    let statistics = json!({ "TotalCount": 1, "ErrorStatistics": {}, "FaultStatistics": {}, "TotalResponseTime": 1.0 });
    let summary = json!({
        "Id": HOSTILE, "StartTime": now(), "Duration": 1.0, "EntryPoint": { "Name": HOSTILE },
        "Http": { "HttpURL": HOSTILE, "HttpMethod": HOSTILE, "HttpStatus": 200 }, HOSTILE: HOSTILE,
    });
    let document = json!({
        "id": HOSTILE, "name": HOSTILE, "origin": HOSTILE, "start_time": now(), "end_time": now(), HOSTILE: HOSTILE,
        "subsegments": [{ "id": "b", "name": HOSTILE, "namespace": HOSTILE, "start_time": now() }],
    });
    match path {
        "/tracesummaries" => json!({ "TraceSummaries": [summary] }),
        "/traces" => json!({ "Traces": [{ "Id": HOSTILE, "Duration": 1.0, "Segments": [
            { "Id": HOSTILE, "Document": document.to_string() }, { "Id": HOSTILE, "Document": HOSTILE }] }] }),
        "/servicegraph" => json!({ "Services": [
            { "ReferenceId": 0, "Name": HOSTILE, "Type": HOSTILE, "SummaryStatistics": statistics, "Edges": [
                { "ReferenceId": 0, "SummaryStatistics": statistics, "EdgeType": HOSTILE }] }] }),
        "/timeseriesservicestatistics" => json!({ "TimeSeriesServiceStatistics": [
            { "Timestamp": now(), "ServiceSummaryStatistics": statistics, HOSTILE: HOSTILE }] }),
        "/getsamplingrules" => json!({ "SamplingRuleRecords": [{ "SamplingRule": {
            "RuleName": HOSTILE, "Priority": 1, "ServiceName": HOSTILE, "Host": HOSTILE, HOSTILE: HOSTILE } }] }),
        "/groups" => json!({ "Groups": [{ "GroupName": HOSTILE, "FilterExpression": HOSTILE }] }),
        _ => Value::Null,
    }
}

fn assert_harmless(arguments: &[&str], output: &Output) {
    for text in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(text);
        let found = text
            .chars()
            .find(|char| char.is_control() && !matches!(char, '\n' | '\t'));
        assert_eq!(found, None, "{arguments:?}: {text:?}");
    }
}

#[test]
fn no_text_of_others_is_a_command_to_the_terminal() -> Result<()> {
    let home = Home::new()?;
    let server = Hostile::open(true)?;
    let id = "1-58406520-a006649127e371903a2de979";
    for arguments in [
        &["find"][..],
        &["find", "--ids"],
        &["find", "--sort", "time"],
        &["get", id],
        &["map"],
        &["map", "--format", "dot"],
        &["stats"],
        &["rules"],
        &["rules", "show", HOSTILE],
        &["rules", "show", "\u{1b}[31m"],
        &["rules", "delete", "\u{9b}31m"],
        &["groups"],
        &["groups", "delete", "\u{9b}31m"],
        &["groups", "put", "x", "fault"],
        &["open", id, "-o", "-"],
    ] {
        for form in [&[][..], &["--json"], &["--plain"]] {
            let has_forms = arguments.len() == 1;
            if !has_forms && !form.is_empty() {
                continue;
            }
            let arguments = [arguments, form].concat();
            let output = command(&home, &server.url(), &arguments).output()?;
            assert_ne!(output.status.code(), Some(2), "{}", describe(&output));
            assert_harmless(&arguments, &output);
        }
    }
    let output = command(&home, &server.url(), &["get", id, "--json"]).output()?;
    assert_harmless(&["get", "--json"], &output);
    // Documents are what they are, except on a terminal.
    let documents = command(&home, &server.url(), &["get", id, "--format", "documents"]);
    let (_, text) = Terminal::start(&documents, 80)?.finish()?;
    assert!(
        !text.chars().any(|char| char.is_control() && char != '\n'),
        "{text:?}"
    );
    Ok(())
}

#[test]
fn no_text_that_arrives_is_a_command_to_the_terminal() -> Result<()> {
    let home = Home::new()?;
    for (has_tail, form) in [
        (true, None),
        (true, Some("--json")),
        (true, Some("--plain")),
        (false, None),
    ] {
        let server = Hostile::open(has_tail)?;
        let mut tail = command(&home, &server.url(), &["tail"]);
        tail.args(form)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = tail.spawn()?;
        let mut stderr = BufReader::new(child.stderr.take().context("stderr")?);
        // The stream has ended, or is not there: all has been told by then.
        let (mut told, mut line) = (String::new(), String::new());
        while !line.contains("trying again") && !line.contains("asking for new traces") {
            line.clear();
            anyhow::ensure!(stderr.read_line(&mut line)? > 0, "{told}");
            told.push_str(&line);
        }
        terminate(child.id())?;
        stderr.read_to_string(&mut told)?;
        let mut output = child.wait_with_output()?;
        assert_eq!(output.status.code(), Some(143), "{told}");
        assert_eq!(output.stdout.is_empty(), !has_tail, "{}", describe(&output));
        output.stderr = told.into_bytes();
        assert_harmless(&["tail"], &output);
    }
    Ok(())
}
