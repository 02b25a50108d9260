//! Files of every form, compressed or not, whole or not.

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use roentgen_tests::process::describe;
use roentgen_tests::server::list;
use roentgen_tests::{Connection, Home};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

use super::{file, lines, put_small, run, run_with, stdout};
use crate::fixture::{segment, summaries, trace_id};

#[test]
fn an_export_as_spans_is_taken_by_the_door_for_spans() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    put_small(&server, 8)?;
    let (path, text) = file(&home, "spans.jsonl");
    run(
        &home,
        &server,
        0,
        &["export", "--last", "1h", "--format", "otlp", "-o", &text],
    )?;
    let other_home = Home::new()?;
    let other = other_home.start()?;
    let requests = lines(&path)?;
    assert_eq!(requests.len(), 8);
    for request in &requests {
        let body = request.to_string();
        let mut connection = Connection::open(other.address())?;
        let headers = [("content-type", "application/json")];
        let answer = connection.request("POST", "/v1/traces", &headers, body.as_bytes())?;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "{}"),
            "{body}"
        );
    }
    // The import makes the same documents of them as the door did.
    let third_home = Home::new()?;
    let third = third_home.start()?;
    run(&home, &third, 0, &["import", &text])?;
    for number in 0..8 {
        let documents = server.documents(&trace_id_of(&requests, number)?)?;
        assert!(!documents.is_empty());
        for server in [&other, &third] {
            assert_eq!(
                server.documents(&trace_id_of(&requests, number)?)?,
                documents
            );
        }
    }
    Ok(())
}

fn trace_id_of(requests: &[Value], idx: usize) -> Result<String> {
    let span = requests[idx].pointer("/resourceSpans/0/scopeSpans/0/spans/0/traceId");
    let id = span.and_then(Value::as_str).context("a trace id")?;
    let (epoch, unique) = id.split_at(8);
    Ok(format!("1-{epoch}-{unique}"))
}

#[test]
fn an_export_for_jaeger_is_one_document_and_comes_back() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    put_small(&server, 8)?;
    let output = run(
        &home,
        &server,
        0,
        &["export", "--last", "1h", "--format", "jaeger"],
    )?;
    let document: Value = serde_json::from_slice(&output.stdout)?;
    let traces = list(&document, "data")?;
    assert_eq!(traces.len(), 8);
    let other_home = Home::new()?;
    let other = other_home.start()?;
    let taken = run_with(
        &home,
        &other,
        &output.stdout,
        &["import", "-", "--format", "jaeger"],
    )?;
    assert!(taken.status.success(), "{}", describe(&taken));
    for trace in &traces {
        let id = trace["traceID"].as_str().context("an id")?;
        assert_eq!(other.documents(id)?, server.documents(id)?);
    }
    // Nothing at all is a whole document, too.
    let nothing = run(
        &home,
        &server,
        3,
        &["export", "service(\"nobody\")", "--format", "jaeger"],
    )?;
    let nothing: Value = serde_json::from_slice(&nothing.stdout)?;
    assert_eq!(nothing["data"], json!([]));
    Ok(())
}

#[test]
fn standard_input_may_be_compressed() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let document = |number| segment(&trace_id(number), "00000000000000a1", &json!({}));
    let plain = format!("{}\n{}\n", document(1), document(2));
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(plain.as_bytes())?;
    for input in [plain.clone().into_bytes(), packed.finish()?] {
        let output = run_with(&home, &server, &input, &["import", "-"])?;
        assert!(output.status.success(), "{}", describe(&output));
        assert_eq!(stdout(&output), "accepted 2 of 2 documents\n");
    }
    assert_eq!(summaries(&server, &json!({}))?.len(), 2);
    let output = run_with(&home, &server, b"", &["import", "-"])?;
    assert_eq!(output.status.code(), Some(3), "{}", describe(&output));
    Ok(())
}

#[test]
fn what_is_bad_is_named_and_what_is_good_is_taken() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let document = |number| segment(&trace_id(number), "00000000000000a1", &json!({}));
    let bad_name = segment(
        &trace_id(4),
        "00000000000000a4",
        &json!({ "name": "what?" }),
    );
    let first = document(1);
    let text = format!(
        "{first}\n{{\"trace_id\": \"1-\n{}\n{}\n{bad_name}\n{}\n",
        document(2),
        "nonsense",
        document(3)
    );
    let (path, name) = file(&home, "bad.jsonl");
    std::fs::write(&path, &text)?;
    let stopped = run(&home, &server, 1, &["import", &name])?;
    assert_eq!(
        stdout(&stopped),
        "accepted 1 of 1 document, 1 could not be read\n"
    );
    let place = format!("bad.jsonl: element 2, line 2, byte {}: ", first.len() + 1);
    assert!(
        describe(&stopped).contains(&place),
        "{}",
        describe(&stopped)
    );
    assert_eq!(summaries(&server, &json!({}))?.len(), 1);

    let passed = run(&home, &server, 5, &["import", &name, "--skip-bad"])?;
    assert_eq!(
        stdout(&passed),
        "accepted 3 of 4 documents, 2 could not be read\n"
    );
    let told = describe(&passed);
    assert!(
        told.contains("line 4") && told.contains("InvalidName") && told.contains("line 5"),
        "{told}"
    );
    assert_eq!(summaries(&server, &json!({}))?.len(), 3);

    let missing = home.run(&["import", "/does/not/exist", "--endpoint", &server.url()])?;
    assert_eq!(missing.status.code(), Some(2), "{}", describe(&missing));
    // A compressed file that breaks off.
    let mut packed = GzEncoder::new(Vec::new(), Compression::none());
    let fifth = trace_id(5);
    let before = segment(&fifth, "00000000000000a1", &json!({}));
    packed.write_all(format!("{before}\n{}\n", document(6)).as_bytes())?;
    let mut packed = packed.finish()?;
    packed.truncate(packed.len() - 100);
    let broken = run_with(&home, &server, &packed, &["import", "-"])?;
    assert_eq!(broken.status.code(), Some(1), "{}", describe(&broken));
    assert_eq!(server.documents(&fifth)?.len(), 1);
    server.kill9()?;
    let gone = home.run(&["import", &name, "--endpoint", "http://127.0.0.1:9"])?;
    assert_eq!(gone.status.code(), Some(4), "{}", describe(&gone));
    Ok(())
}

#[test]
fn traces_can_be_moved_to_now() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let old = "1-581cf771-a006649127e371903a2de979";
    let document = |id: &str, start: f64| {
        json!({ "trace_id": old, "id": id, "name": "shop", "start_time": start, "end_time": start + 2.5 }).to_string()
    };
    let text = format!(
        "{}\n{}\n",
        document("00000000000000a1", 1_478_293_361.25),
        document("00000000000000a2", 1_478_293_300.0)
    );
    let before = roentgen_tests::wait::now();
    let output = run_with(
        &home,
        &server,
        text.as_bytes(),
        &["import", "-", "--at", "now"],
    )?;
    assert!(output.status.success(), "{}", describe(&output));
    let found = summaries(&server, &json!({}))?;
    assert_eq!(found.len(), 1, "{found:?}");
    let documents = server.documents(found[0]["Id"].as_str().context("an id")?)?;
    let ends: Vec<f64> = documents
        .iter()
        .filter_map(|document| document["end_time"].as_f64())
        .collect();
    let latest = ends.iter().copied().fold(0.0, f64::max);
    let after = roentgen_tests::wait::now();
    assert!(
        (f64::from(before) - 1.0..=f64::from(after) + 1.0).contains(&latest),
        "{latest}"
    );
    assert!((ends[0] - ends[1]).abs() > 61.0);
    assert!(server.documents(old)?.is_empty());
    Ok(())
}

#[test]
fn recorded_traces_of_other_systems_are_imported() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    if !folder.is_dir() {
        eprintln!("not tried: there are no recordings beside the project");
        return Ok(());
    }
    let home = Home::new()?;
    let server = home.start()?;
    let mut n_files = 0;
    for name in ["other-trace-formats", "otlp"] {
        for entry in std::fs::read_dir(folder.join(name))? {
            let path = entry?.path().display().to_string();
            let first = run(&home, &server, 0, &["import", &path, "--json"])?;
            let totals: Value = serde_json::from_str(stdout(&first).trim())?;
            assert!(totals["Accepted"].as_u64() > Some(0), "{path}: {totals}");
            n_files += 1;
        }
    }
    assert!(n_files > 10, "{n_files}");
    // The sides of a call that share an id are both there.
    let skewed = server.documents("00000000000000001e223ff1f80f1c69")?;
    let text = json!(skewed).to_string();
    assert!(
        text.contains("\"servicea\"") && text.contains("\"serviceb\""),
        "{text}"
    );
    Ok(())
}
