//! `roentgen tail` at endpoints that do not tell what arrives, whatever they answer instead.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use anyhow::{Context, Result};
use roentgen_tests::Home;
use roentgen_tests::process::{describe, terminate};
use roentgen_tests::scripted::{Answer, Scripted};
use roentgen_tests::wait::now;
use serde_json::{Value, json};

use super::run;

fn summary(number: usize) -> Value {
    json!({ "Id": format!("1-{:08x}-{number:024x}", now()), "StartTime": now(), "Duration": 1.0 })
}

/// Follows an endpoint until a line is on standard error, and one on standard output if news are expected; returns both.
fn followed(endpoint: &Scripted, words: &str, has_news: bool) -> Result<(String, String)> {
    let home = Home::new()?;
    let mut child = home
        .command()
        .args(["tail", "--json", "--endpoint", &endpoint.url()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stderr = BufReader::new(child.stderr.take().context("stderr")?);
    let (mut told, mut line) = (String::new(), String::new());
    while !line.contains(words) {
        line.clear();
        let is_there = stderr.read_line(&mut line)? > 0;
        told.push_str(&line);
        anyhow::ensure!(is_there, "ended before {words:?}: {told}");
    }
    // All of it is read, so that a full pipe does not hold the program.
    let stdout = BufReader::new(child.stdout.take().context("stdout")?);
    let (tell, lines) = channel();
    let reader = std::thread::spawn(move || stdout.lines().try_for_each(|line| tell.send(line)));
    let shown = if has_news {
        lines.recv()??
    } else {
        String::new()
    };
    terminate(child.id())?;
    stderr.read_to_string(&mut told)?;
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(143), "{told}");
    drop(lines);
    // Whether it read to the end or was not listened to is all the same.
    let _sent = reader.join();
    Ok((told, shown))
}

const POLLING: &str = "asking for new traces";

#[test]
fn what_is_no_stream_of_events_is_no_server_that_tells() -> Result<()> {
    let refusal = r#"{"__type": "ValidationException", "message": "x"}"#;
    for (status, headers, body) in [
        (200, "content-type: text/html\r\n", "<html>hello</html>"),
        (200, "", "{}"),
        (200, "", ""),
        (204, "", ""),
        (400, "", refusal),
        (404, "", refusal),
        (405, "", ""),
    ] {
        // One more trace each time it is asked.
        let n_looks = AtomicUsize::new(0);
        let endpoint = Scripted::start(move |asked| {
            if asked.path.starts_with("/api/v1/tail") {
                return Answer::Said(status, headers, body.to_owned());
            }
            let n_looks = n_looks.fetch_add(1, Ordering::SeqCst);
            let summaries: Vec<Value> = (0..n_looks).map(summary).collect();
            Answer::Said(200, "", json!({ "TraceSummaries": summaries }).to_string())
        })?;
        let (told, shown) = followed(&endpoint, POLLING, true)?;
        assert!(shown.contains("\"Id\""), "{status} {body}: {told}");
        assert_eq!(told.matches("trying again").count(), 0, "{told}");
    }
    Ok(())
}

#[test]
fn an_endpoint_that_answers_everything_with_a_page_is_no_server() -> Result<()> {
    let home = Home::new()?;
    let page = "content-type: text/html\r\n";
    let endpoint = Scripted::start(move |_| Answer::Said(200, page, "<html>".to_owned()))?;
    let output = run(&home, &endpoint.url(), &["tail"])?;
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(describe(&output).contains("makes no sense"));
    let output = run(&home, &endpoint.url(), &["tail", "--since", "soon"])?;
    assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
    Ok(())
}

#[test]
fn more_traces_than_are_kept_are_a_gap() -> Result<()> {
    for (n_traces, n_gaps) in [(10_001, 1), (10_000, 0)] {
        let endpoint = Scripted::start(move |asked| {
            if asked.path.starts_with("/api/v1/tail") {
                return Answer::Said(404, "", "{}".to_owned());
            }
            let summaries: Vec<Value> = (0..n_traces).map(summary).collect();
            Answer::Said(200, "", json!({ "TraceSummaries": summaries }).to_string())
        })?;
        let (words, has_news) = if n_gaps == 0 {
            (POLLING, true)
        } else {
            ("a gap: there are more than 10000 traces", false)
        };
        let (told, _) = followed(&endpoint, words, has_news)?;
        let gaps = told.matches("a gap: ").count();
        assert_eq!(gaps, n_gaps, "{told}");
        let plural = if n_gaps == 1 { "" } else { "s" };
        assert!(told.contains(&format!(" {n_gaps} gap{plural}\n")), "{told}");
    }
    Ok(())
}
