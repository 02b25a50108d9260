//! A server whose every text is a command to a terminal, and commands that show them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Output, Stdio};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use roentgen_tests::Home;
use roentgen_tests::process::{describe, terminate};
use roentgen_tests::terminal::Terminal;
use roentgen_tests::wait::now;
use serde_json::{Value, json};

use super::command;

/// Text that would clear the screen, set a title, print in red (also without ESC), ring, go back in the line and turn it.
const HOSTILE: &str =
    "x\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{7f}\u{8}\r\u{90}q\u{9c}\u{202e}\u{2066}";

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

/// Tells whether a character commands a terminal; those of `HOSTILE` that do, and their like.
fn is_command(char: char) -> bool {
    char.is_control() && char != '\n'
        || ('\u{202a}'..='\u{202e}').contains(&char)
        || char == '\u{2066}'
}

fn assert_harmless(arguments: &[&str], output: &Output) {
    for text in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(text);
        let found = text.chars().find(|char| is_command(*char) && *char != '\t');
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
    assert!(!text.chars().any(is_command), "{text:?}");
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
        // One that is asked again and again has news each time: its traces begin now.
        let mut stdout = BufReader::new(child.stdout.take().context("stdout")?);
        let mut shown = String::new();
        stdout.read_line(&mut shown)?;
        terminate(child.id())?;
        stderr.read_to_string(&mut told)?;
        stdout.read_to_string(&mut shown)?;
        let mut output = child.wait_with_output()?;
        assert_eq!(output.status.code(), Some(143), "{told}");
        output.stdout = shown.into_bytes();
        output.stderr = told.into_bytes();
        assert_harmless(&["tail"], &output);
    }
    Ok(())
}
