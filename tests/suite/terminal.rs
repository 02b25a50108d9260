//! How commands behave before a person, in a pipe, and when they are to end.

mod cut_short;
mod hostile;
mod odd;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result};
use roentgen_tests::process::{describe, terminate};
use roentgen_tests::terminal::Terminal;
use roentgen_tests::wait::{now, until};
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
    let id = faulty(&server, 1)?;
    let mut find = command(&home, &server.url(), &["find"]);
    find.env("NO_COLOR", "1");
    for n_columns in [40, 60, 80, 100] {
        let text = shown(&find, n_columns)?;
        assert!(
            widest(&text) <= usize::from(n_columns),
            "{n_columns}: {text}"
        );
        // An id that is cut would be of no use.
        assert!(text.contains(&id), "{text}");
        assert!(!text.contains(&"long/".repeat(20)), "{text}");
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
            .stdin(File::open(&ids)?)
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

/// Waits until the server has taken documents.
fn until_stored(server: &Server) -> Result<()> {
    until("something is stored", || {
        let metrics = server.metrics()?;
        let is_stored = |line: &str| {
            line.starts_with("roentgen_documents_accepted_total") && !line.ends_with(" 0")
        };
        Ok(metrics.lines().any(is_stored).then_some(()))
    })
}

#[test]
fn ctrl_c_ends_a_load_with_its_totals() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let bench = command(&home, &server.url(), &["bench", "--for", "1h"]);
    let mut terminal = Terminal::start(&bench, 100)?;
    until_stored(&server)?;
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
    until_stored(&server)?;
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
fn ctrl_c_ends_an_import_from_a_slow_pipe_with_its_totals() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let pipe = home.folder().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).output()?;
    assert!(made.status.success(), "{}", describe(&made));
    // Open on both sides, so that the pipe never ends.
    let mut input = File::options().read(true).write(true).open(&pipe)?;
    for number in 0..120 {
        let id = format!("{:016x}", number + 1);
        writeln!(input, "{}", segment(&trace_id(number), &id, &json!({})))?;
    }
    let arguments = ["import", &pipe.display().to_string()];
    let mut terminal = Terminal::start(&command(&home, &server.url(), &arguments), 100)?;
    until_stored(&server)?;
    terminal.interrupt()?;
    let (status, text) = terminal.finish()?;
    assert_eq!(status.code(), Some(130), "{text}");
    // Whole batches were sent, and each is accounted for.
    let totals = text.lines().find_map(|line| line.split_once("accepted "));
    let (_, totals) = totals.with_context(|| text.clone())?;
    assert!(
        ["50 of 50", "100 of 100", "120 of 120"]
            .iter()
            .any(|sum| totals.starts_with(sum)),
        "{text}"
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
    until("a trace is shown", || {
        number += 1;
        faulty(&server, number)?;
        Ok(terminal.text().contains("1-").then_some(()))
    })?;
    terminal.resize(200)?;
    until("a trace is shown in the wider terminal", || {
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

/// A tail in a pipe, whose lines are read one by one.
struct Followed {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Followed {
    fn start(home: &Home, endpoint: &str, arguments: &[&str]) -> Result<Self> {
        let mut tail = command(home, endpoint, &[&["tail", "--json"], arguments].concat());
        let mut child = tail.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().context("stdout")?);
        Ok(Self { child, lines })
    }

    /// Returns the id of the next trace.
    fn next(&mut self) -> Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        let summary: Value = serde_json::from_str(&line).context(line)?;
        Ok(summary["Id"].as_str().context("an id")?.to_owned())
    }

    /// Ends it and returns what people were told.
    fn end(self) -> Result<String> {
        terminate(self.child.id())?;
        let output = self.child.wait_with_output()?;
        assert_eq!(output.status.code(), Some(143), "{}", describe(&output));
        Ok(String::from_utf8(output.stderr)?)
    }
}

/// Returns the id a tail says to go on with.
fn position(told: &str) -> Result<&str> {
    let last = told
        .split("--since ")
        .nth(1)
        .with_context(|| told.to_owned())?;
    Ok(last.trim())
}

#[test]
fn tail_goes_on_where_it_was_after_a_restart_of_the_server() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let (address, endpoint) = (server.address().to_string(), server.url());
    // Whatever came before the first position is behind it.
    let mut first = Followed::start(&home, &endpoint, &["--since", "0"])?;
    let before = faulty(&server, 1)?;
    assert_eq!(first.next()?, before);
    server.kill9()?;
    let server = home.start_with(&["--listen", &address])?;
    let after = faulty(&server, 2)?;
    assert_eq!(first.next()?, after, "each is told once");
    let told = first.end()?;
    assert!(
        told.contains("trying again") && told.contains("2 traces"),
        "{told}"
    );
    // What comes while nobody follows is told to the next one.
    let missed = faulty(&server, 3)?;
    let since = ["fault", "--since", position(&told)?];
    let mut second = Followed::start(&home, &endpoint, &since)?;
    assert_eq!(second.next()?, missed);
    let told = second.end()?;
    assert!(told.contains("1 trace, 0 gaps"), "{told}");
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
