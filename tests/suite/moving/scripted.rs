//! Imports to and exports from endpoints that refuse, and ask for patience.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use roentgen_tests::http::Connection;
use roentgen_tests::process::describe;
use roentgen_tests::scripted::{Answer, Scripted};
use roentgen_tests::terminal::Terminal;
use roentgen_tests::wait::until;
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

use super::{file, lines, put_small, stdout};
use crate::fixture::{segment, summaries, trace_id};

const TAKEN: &str = r#"{"UnprocessedTraceSegments": []}"#;

/// Returns the documents of a call.
fn documents_of(body: &str) -> Vec<String> {
    let body: Value = serde_json::from_str(body).unwrap();
    let documents = body["TraceSegmentDocuments"].as_array().unwrap();
    let texts = documents
        .iter()
        .map(|text| text.as_str().unwrap().to_owned());
    texts.collect()
}

/// Writes so many documents, one a line, and returns them. The marked ones have a member no other has.
fn documents(n_documents: u32, marked: &[u32]) -> Vec<String> {
    let documents = (0..n_documents).map(|number| {
        let annotations = if marked.contains(&number) {
            json!({ "annotations": { "marked": true } })
        } else {
            json!({})
        };
        let id = format!("{:016x}", number + 1);
        segment(&trace_id(number), &id, &annotations)
    });
    documents.collect()
}

/// How often each document was taken.
type Taken = Arc<Mutex<BTreeMap<String, usize>>>;

/// An endpoint that refuses every call with a marked document with this status, and keeps what it takes.
fn picky(status: u16) -> Result<(Scripted, Taken)> {
    let taken = Taken::default();
    let keeps = Arc::clone(&taken);
    let endpoint = Scripted::start(move |asked| {
        if asked.body.contains("marked") {
            let refusal =
                json!({ "__type": "InvalidRequestException", "Message": "one is marked" });
            return Answer::Said(status, "", refusal.to_string());
        }
        let mut taken = keeps.lock().unwrap();
        for document in documents_of(&asked.body) {
            *taken.entry(document).or_default() += 1;
        }
        Answer::Said(200, "", TAKEN.to_owned())
    })?;
    Ok((endpoint, taken))
}

#[test]
fn of_a_refused_call_all_is_sent_that_may_be_sent() -> Result<()> {
    let marked = [0, 33, 34, 119];
    for status in [400, 413] {
        let home = Home::new()?;
        let (endpoint, taken) = picky(status)?;
        let (path, text) = file(&home, "documents.jsonl");
        let documents = documents(120, &marked);
        std::fs::write(&path, documents.join("\n"))?;
        let output = home.run(&[
            "import",
            &text,
            "--json",
            "--skip-bad",
            "--endpoint",
            &endpoint.url(),
        ])?;
        assert_eq!(output.status.code(), Some(5), "{}", describe(&output));
        let totals: Value = serde_json::from_str(stdout(&output).trim())?;
        assert_eq!(
            totals,
            json!({ "Documents": 120, "Accepted": 116, "Refused": 4, "Bad": 0, "Inferred": 0 })
        );
        let mut expected = BTreeMap::new();
        for (number, document) in (0..).zip(&documents) {
            if !marked.contains(&number) {
                expected.insert(document.clone(), 1);
            }
        }
        assert_eq!(*taken.lock().unwrap(), expected, "each once");
        let told = String::from_utf8(output.stderr)?;
        for number in marked {
            let place = format!("{text}: element {}, line {}, ", number + 1, number + 1);
            let line = told.lines().find(|line| line.starts_with(&place));
            let line = line.with_context(|| format!("{place}: {told}"))?;
            assert!(
                line.ends_with("InvalidRequestException: one is marked"),
                "{line}"
            );
        }
        assert_eq!(told.matches("one is marked").count(), 4, "{told}");
    }
    Ok(())
}

#[test]
fn an_import_shows_how_much_of_its_files_is_read() -> Result<()> {
    let home = Home::new()?;
    let n_calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&n_calls);
    let endpoint = Scripted::start(move |_| match counted.fetch_add(1, Ordering::SeqCst) {
        0..3 => Answer::Said(200, "", TAKEN.to_owned()),
        _ => Answer::Silence,
    })?;
    let mut texts = Vec::new();
    for name in ["one.jsonl", "two.jsonl.gz"] {
        let (path, text) = file(&home, name);
        let lines = documents(10_000, &[]).join("\n");
        if name.ends_with("gz") {
            let packed = std::fs::File::create(&path)?;
            let mut packed = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
            packed.write_all(lines.as_bytes())?;
            packed.finish()?;
        } else {
            std::fs::write(&path, lines)?;
        }
        texts.push((text, path.metadata()?.len()));
    }
    let shown = |arguments: &[&str], words: &str| -> Result<()> {
        n_calls.store(0, Ordering::SeqCst);
        let mut import = home.command();
        import
            .args(["import", "--endpoint", &endpoint.url()])
            .args(arguments);
        let terminal = Terminal::start(&import, 120)?;
        until("the endpoint is silent", || {
            Ok((n_calls.load(Ordering::SeqCst) > 3).then_some(()))
        })?;
        terminal.wait_for(words)
    };
    let mib = |n_bytes: u64| {
        let hundredths = (n_bytes * 100 + (1 << 19)) >> 20;
        format!(
            "/{}.{:02} MiB 150 documents",
            hundredths / 100,
            hundredths % 100
        )
    };
    let [(one, n_one), (two, n_two)] = &texts[..] else {
        anyhow::bail!("two files");
    };
    shown(&[one], &mib(*n_one))?;
    shown(&[one, two], &mib(n_one + n_two))?;
    // To know where the end is, everything is read once before.
    shown(&[one, two, "--at", "now"], &mib((n_one + n_two) * 2))
}

/// A server behind an endpoint that refuses every call once, and how often each was made.
struct Throttled {
    endpoint: Scripted,
    calls: Arc<Mutex<BTreeMap<String, Vec<Instant>>>>,
}

impl Throttled {
    fn before(server: &Server) -> Result<Self> {
        let address = server.address();
        let calls: Arc<Mutex<BTreeMap<String, Vec<Instant>>>> = Arc::default();
        let counted = Arc::clone(&calls);
        let endpoint = Scripted::start(move |asked| {
            let number = {
                let mut calls = counted.lock().unwrap();
                let times = calls
                    .entry(format!("{} {}", asked.path, asked.body))
                    .or_default();
                times.push(Instant::now());
                let n_times = times.len();
                (n_times == 1).then_some(calls.len())
            };
            let refusal = r#"{"__type": "ThrottledException", "Message": "later"}"#.to_owned();
            match number {
                Some(number) if number % 2 == 0 => Answer::Said(400, "retry-after: 1\r\n", refusal),
                Some(_) => Answer::Said(429, "retry-after: 1\r\n", refusal),
                None => match Connection::open(address)
                    .and_then(|mut server| server.post(&asked.path, asked.body.as_bytes()))
                {
                    Ok(answer) => Answer::Said(answer.status, "", answer.text()),
                    Err(_) => Answer::Closed,
                },
            }
        })?;
        Ok(Self { endpoint, calls })
    }

    /// Fails unless each call was made again once, and not before it was time.
    fn assert_left_alone(&self) {
        let calls = self.calls.lock().unwrap();
        let n_batches = calls
            .keys()
            .filter(|call| call.starts_with("/Traces "))
            .count();
        assert!(n_batches >= 4, "{:?}", calls.keys());
        for (call, times) in &*calls {
            let [first, second] = times[..] else {
                panic!("{call}: {} times", times.len());
            };
            let pause = second - first;
            assert!(pause >= Duration::from_secs(1), "{call}: {pause:?}");
        }
    }
}

#[test]
fn a_server_that_asks_for_patience_gets_it_and_everything_comes_once() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    put_small(&server, 20)?;
    let found = summaries(&server, &json!({}))?;
    let mut expected: Vec<String> = found
        .iter()
        .map(|summary| summary["Id"].to_string())
        .collect();
    expected.sort();
    assert_eq!(expected.len(), 20);
    for command in ["pull", "export"] {
        let throttled = Throttled::before(&server)?;
        let (path, text) = file(&home, &format!("{command}.jsonl"));
        let endpoint = throttled.endpoint.url();
        let output = home.run(&[
            command,
            "--last",
            "1h",
            "-o",
            &text,
            "--endpoint",
            &endpoint,
        ])?;
        assert!(output.status.success(), "{command}: {}", describe(&output));
        let mut ids: Vec<String> = lines(&path)?
            .iter()
            .map(|trace| trace["Id"].to_string())
            .collect();
        ids.sort();
        assert_eq!(ids, expected, "{command}");
        throttled.assert_left_alone();
    }
    Ok(())
}
