//! Traces on their way: exported, imported, pulled, and the same afterwards.

mod bulk;
mod forms;
mod pulled;
mod scripted;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result};
use roentgen_tests::generate::{Feed, Pool};
use roentgen_tests::process::describe;
use roentgen_tests::server::list;
use roentgen_tests::wait::now;
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

use crate::fixture::{segment, subsegment, summaries, trace_id};

/// Puts documents as clients send them, generated, so many.
fn put_generated(server: &Server, n_documents: usize) -> Result<()> {
    let pool = Arc::new(Pool::new(40, 7));
    let mut feed = Feed::new(Arc::clone(&pool), 7, now(), 600);
    let mut n_left = n_documents;
    let mut connection = server.connect()?;
    let mut body = Vec::new();
    while n_left > 0 {
        let batch = feed.batch(n_left.min(50));
        n_left -= batch.len();
        pool.write_request(&batch, &mut body);
        let answer = connection.post("/TraceSegments", &body)?.success()?;
        anyhow::ensure!(
            list(&answer, "UnprocessedTraceSegments")?.is_empty(),
            "{answer}"
        );
    }
    Ok(())
}

/// Puts so many traces of one segment and a subsegment sent alone, of several seconds.
fn put_small(server: &Server, n_traces: u32) -> Result<()> {
    let mut documents = Vec::new();
    for number in 0..n_traces {
        let trace_id = trace_id(number);
        let start = f64::from(now() - 600 + number % 500);
        let times = json!({ "start_time": start, "end_time": start + 1.0 });
        documents.push(segment(&trace_id, "00000000000000a1", &times));
        documents.push(subsegment(
            &trace_id,
            "00000000000000a2",
            "00000000000000a1",
            &times,
        ));
    }
    for batch in documents.chunks(50) {
        server.put_all(batch)?;
    }
    Ok(())
}

/// Runs the program against a server, and fails unless it ends with this code.
fn run(home: &Home, server: &Server, code: i32, arguments: &[&str]) -> Result<Output> {
    let endpoint = server.url();
    let mut all = arguments.to_vec();
    all.extend(["--endpoint", &endpoint]);
    let output = home.run(&all)?;
    anyhow::ensure!(
        output.status.code() == Some(code),
        "{arguments:?}: {}",
        describe(&output)
    );
    Ok(output)
}

/// Runs the program with this on its standard input.
fn run_with(home: &Home, server: &Server, input: &[u8], arguments: &[&str]) -> Result<Output> {
    let mut child = home
        .command()
        .args(arguments)
        .args(["--endpoint", &server.url()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let written = child.stdin.take().context("stdin")?.write_all(input);
    let output = child.wait_with_output()?;
    written.with_context(|| describe(&output))?;
    Ok(output)
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn file(home: &Home, name: &str) -> (PathBuf, String) {
    let path = home.folder().join(name);
    let text = path.display().to_string();
    (path, text)
}

/// Everything a server answers of its traces.
#[derive(Debug, PartialEq)]
struct Answers {
    summaries: Vec<Value>,
    traces: Vec<Value>,
    graph: Value,
    trace_graph: Value,
    series: Value,
}

/// Asks everything. The window is given, for the answers repeat it.
fn answers(server: &Server, from: u32, to: u32) -> Result<Answers> {
    let window = json!({ "StartTime": from, "EndTime": to, "TimeRangeType": "TraceId" });
    let mut summaries = summaries(server, &window)?;
    for summary in &mut summaries {
        // How often a trace changed is how it came, not what it is.
        summary
            .as_object_mut()
            .context("a summary")?
            .remove("Revision");
    }
    let ids: Vec<String> = summaries
        .iter()
        .filter_map(|summary| Some(summary["Id"].as_str()?.to_owned()))
        .collect();
    let mut traces = Vec::new();
    for ids in ids.chunks(5) {
        let mut found = server.traces(ids)?;
        found.sort_by_key(|trace| trace["Id"].to_string());
        traces.extend(found);
    }
    for trace in traces
        .iter_mut()
        .filter_map(|trace| trace["Segments"].as_array_mut())
        .flatten()
    {
        let document = trace["Document"].as_str().context("a document")?;
        trace["Document"] = serde_json::from_str(document)?;
    }
    let first: Vec<&String> = ids.iter().take(5).collect();
    let window = json!({ "StartTime": from, "EndTime": to });
    Ok(Answers {
        traces,
        graph: first_page(server, "/ServiceGraph", &window)?,
        trace_graph: if first.is_empty() {
            Value::Null
        } else {
            first_page(server, "/TraceGraph", &json!({ "TraceIds": first }))?
        },
        series: first_page(server, "/TimeSeriesServiceStatistics", &window)?,
        summaries,
    })
}

/// Returns an answer without its token, which is good for the server that gave it alone.
fn first_page(server: &Server, path: &str, request: &Value) -> Result<Value> {
    let mut page = server.post(path, request)?.success()?;
    page.as_object_mut()
        .context("an answer")?
        .remove("NextToken");
    Ok(page)
}

/// Fails with the first difference, for the whole is long.
fn assert_same(answers: &Answers, expected: &Answers) {
    assert_eq!(answers.summaries.len(), expected.summaries.len());
    for (one, other) in answers.summaries.iter().zip(&expected.summaries) {
        assert_eq!(one, other);
    }
    assert_eq!(answers.traces.len(), expected.traces.len());
    for (one, other) in answers.traces.iter().zip(&expected.traces) {
        assert_eq!(one, other);
    }
    assert_eq!(answers.trace_graph, expected.trace_graph);
    assert_eq!(answers.graph, expected.graph);
    assert_eq!(answers.series, expected.series);
}

fn lines(path: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(path)?;
    let lines = text.lines().map(serde_json::from_str);
    Ok(lines.collect::<Result<_, _>>()?)
}

#[test]
fn an_import_of_an_export_answers_the_same() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    put_generated(&server, 600)?;
    put_small(&server, 20)?;
    let (from, to) = (now() - 3_000, now() + 600);
    let window = [from.to_string(), to.to_string()];
    let [from_text, to_text] = &window;
    let expected = answers(&server, from, to)?;
    assert!(
        expected.summaries.len() > 40,
        "{}",
        expected.summaries.len()
    );
    for name in ["all.jsonl", "all.jsonl.gz", "all.jsonl.zst"] {
        let (path, text) = file(&home, name);
        run(
            &home,
            &server,
            0,
            &["export", "--from", from_text, "--to", to_text, "-o", &text],
        )?;
        let head = std::fs::read(&path)?;
        let magic: &[u8] = match name {
            "all.jsonl.gz" => &[0x1f, 0x8b],
            "all.jsonl.zst" => &[0x28, 0xb5, 0x2f, 0xfd],
            _ => b"{\"Id\":\"1-",
        };
        assert!(head.starts_with(magic), "{name}");
        let other_home = Home::new()?;
        let other = other_home.start()?;
        run(&home, &other, 0, &["import", &text])?;
        assert_same(&answers(&other, from, to)?, &expected);
        // The same once more changes nothing.
        run(&home, &other, 0, &["import", &text])?;
        assert_same(&answers(&other, from, to)?, &expected);
    }
    // Each trace is there once, the oldest first.
    let (path, _) = file(&home, "all.jsonl");
    let exported = lines(&path)?;
    let mut ids: Vec<String> = exported.iter().map(|line| line["Id"].to_string()).collect();
    assert_eq!(ids.len(), expected.summaries.len());
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), expected.summaries.len());
    let starts = exported.iter().map(|line| {
        let summary = expected
            .summaries
            .iter()
            .find(|summary| summary["Id"] == line["Id"]);
        summary.and_then(|summary| summary["StartTime"].as_f64())
    });
    assert!(starts.is_sorted_by(|one, other| one <= other));
    Ok(())
}

#[test]
fn recorded_segments_are_the_same_after_an_export_and_an_import() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/segment");
    if !folder.is_dir() {
        eprintln!("not tried: there are no recordings beside the project");
        return Ok(());
    }
    let home = Home::new()?;
    let server = home.start()?;
    let mut n_documents = 0;
    for entry in std::fs::read_dir(folder)? {
        let mut document: Value = serde_json::from_str(&std::fs::read_to_string(entry?.path())?)?;
        if document.get("trace_id").is_none() {
            continue;
        }
        // Some are far in the future; a window has them all.
        document["trace_id"] = json!(format!("1-581cf771-{n_documents:024x}"));
        server.put_all(&[document.to_string()])?;
        n_documents += 1;
    }
    assert!(n_documents > 5, "{n_documents}");
    let (_, text) = file(&home, "recorded.jsonl.zst");
    let (from, to) = (1_000_000_000, u32::MAX);
    run(
        &home,
        &server,
        0,
        &[
            "export",
            "--from",
            "1000000000",
            "--to",
            &to.to_string(),
            "-o",
            &text,
        ],
    )?;
    let other_home = Home::new()?;
    let other = other_home.start()?;
    run(&home, &other, 0, &["import", &text])?;
    let expected = answers(&server, from, to)?;
    assert!(!expected.summaries.is_empty());
    assert_same(&answers(&other, from, to)?, &expected);
    // The first page of all those years is empty.
    let mut n_entries = 0;
    for summary in &expected.summaries {
        let start = summary["StartTime"].as_f64().context("a start")?;
        let (from, to) = (json!(start - 60.0), json!(start + 60.0));
        let window = json!({ "StartTime": from, "EndTime": to });
        let series = |server| first_page(server, "/TimeSeriesServiceStatistics", &window);
        let expected = series(&server)?;
        n_entries += list(&expected, "TimeSeriesServiceStatistics")?.len();
        assert_eq!(series(&other)?, expected);
    }
    assert!(n_entries > 0, "all series are empty");
    Ok(())
}

#[test]
fn a_filter_says_which_traces_are_exported() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    put_small(&server, 3)?;
    let faulty = trace_id(100);
    server.put_all(&[segment(
        &faulty,
        "00000000000000b1",
        &json!({ "fault": true }),
    )])?;
    let output = run(
        &home,
        &server,
        0,
        &["export", "fault = true", "--last", "1h"],
    )?;
    let line: Value = serde_json::from_str(stdout(&output).trim())?;
    assert_eq!(line["Id"], faulty.as_str());
    run(
        &home,
        &server,
        3,
        &["export", "service(\"nobody\")", "--last", "1h"],
    )?;
    let wrong = run(&home, &server, 2, &["export", "fault AN error"])?;
    assert!(describe(&wrong).contains('^'), "{}", describe(&wrong));
    // Nothing is left of a file that is not whole.
    let (path, text) = file(&home, "never.jsonl");
    server.kill9()?;
    let output = home.run(&[
        "export",
        "--last",
        "1h",
        "-o",
        &text,
        "--endpoint",
        "http://127.0.0.1:9",
    ])?;
    assert_eq!(output.status.code(), Some(4), "{}", describe(&output));
    assert!(!path.exists());
    let left = std::fs::read_dir(home.folder())?;
    let names: Vec<String> = left
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert!(
        !names.iter().any(|name| name.contains("never")),
        "{names:?}"
    );
    Ok(())
}

#[test]
fn inferred_segments_are_not_imported_as_if_they_were_sent() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = trace_id(1);
    let call = json!({ "id": "00000000000000a2", "name": "table", "namespace": "aws",
        "start_time": f64::from(now() - 60), "end_time": f64::from(now() - 59), "aws": { "operation": "GetItem" } });
    server.put_all(&[segment(
        &trace_id,
        "00000000000000a1",
        &json!({ "subsegments": [call] }),
    )])?;
    let documents = server.documents(&trace_id)?;
    assert!(
        documents
            .iter()
            .any(|document| document["inferred"] == true),
        "{documents:?}"
    );
    let (path, text) = file(&home, "one.jsonl");
    let output = run(&home, &server, 0, &["export", "--last", "1h", "-o", &text])?;
    assert!(
        describe(&output).contains("inferred"),
        "{}",
        describe(&output)
    );
    let lines = lines(&path)?;
    assert_eq!(
        lines[0]["Segments"].as_array().map(Vec::len),
        Some(1),
        "{lines:?}"
    );
    // Answers of the API have them, and they are passed over there.
    let traces = json!({ "Traces": server.traces(&[&trace_id])? }).to_string();
    let other_home = Home::new()?;
    let other = other_home.start()?;
    let output = run_with(&home, &other, traces.as_bytes(), &["import", "-", "--json"])?;
    let totals: Value = serde_json::from_str(stdout(&output).trim())?;
    assert_eq!(
        totals,
        json!({ "Documents": 1, "Accepted": 1, "Refused": 0, "Bad": 0, "Inferred": 1 })
    );
    assert_eq!(other.documents(&trace_id)?, documents);
    Ok(())
}

#[test]
fn a_segment_that_grew_too_large_by_its_subsegments_is_imported_all_the_same() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = trace_id(1);
    let large = json!({ "metadata": { "a": "x".repeat(30_000) } });
    let mut documents = vec![segment(&trace_id, "00000000000000a0", &large)];
    for number in 1..6 {
        let parent_id = format!("{:016x}", 0xa0 + number / 2);
        let start = f64::from(now() - 50 + number);
        let mut members = large.clone();
        members["start_time"] = json!(start);
        members["end_time"] = json!(start + 0.5);
        documents.push(subsegment(
            &trace_id,
            &format!("{:016x}", 0xa0 + number),
            &parent_id,
            &members,
        ));
    }
    server.put_all(&documents)?;
    let expected = server.documents(&trace_id)?;
    assert_eq!(expected.len(), 1);
    let (_, text) = file(&home, "large.jsonl");
    run(&home, &server, 0, &["export", "--last", "1h", "-o", &text])?;
    let other_home = Home::new()?;
    let other = other_home.start()?;
    run(&home, &other, 0, &["import", &text])?;
    assert_eq!(other.documents(&trace_id)?, expected);
    Ok(())
}
