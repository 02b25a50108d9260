//! Recorded documents of real clients go in and come back complete. They lie beside the project, where there
//! are any; where there are none this says so.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use roentgen_tests::ledger::difference;
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

use crate::fixture::trace_id;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data")
}

/// Returns what each JSON file below a folder of the recordings holds.
fn files(name: &str) -> Result<Vec<(String, Value)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder().join(name))? {
        let path = entry?.path();
        let value = serde_json::from_str(&std::fs::read_to_string(&path)?)
            .with_context(|| path.display().to_string())?;
        files.push((path.display().to_string(), value));
    }
    files.sort_by(|(first, _), (second, _)| first.cmp(second));
    Ok(files)
}

/// Returns the document as it can be sent: one without a trace is a subsegment cut out of its segment.
fn completed(document: &Value, number: u32) -> Value {
    let mut document = document.clone();
    if document.get("trace_id").is_none() {
        document["trace_id"] = json!(trace_id(number));
        document["type"] = json!("subsegment");
        document["parent_id"] = json!("00000000000000ff");
    }
    document
}

/// Returns the entity with this id, at any depth.
fn find<'a>(entities: &'a [Value], id: &Value) -> Option<&'a Value> {
    entities.iter().find_map(|entity| {
        if entity.get("id") == Some(id) {
            return Some(entity);
        }
        let below = entity.get("subsegments").and_then(Value::as_array)?;
        find(below, id)
    })
}

/// Returns the first member of the published schema that was sent and is not stored as sent.
fn lost(sent: &Value, stored: &Value) -> Option<String> {
    for member in MEMBERS {
        let Some(value) = sent
            .get(member)
            .filter(|value| !matches!(value, Value::Null | Value::Bool(false)))
        else {
            continue;
        };
        let other = stored.get(member).unwrap_or(&Value::Null);
        if let Some(how) = difference(value, other) {
            return Some(format!("{member}{how}"));
        }
    }
    for inner in sent
        .get("subsegments")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let below = stored.get("subsegments").and_then(Value::as_array);
        let Some(other) = find(below.map(Vec::as_slice).unwrap_or_default(), &inner["id"]) else {
            return Some(format!("subsegment {} is missing", inner["id"]));
        };
        if let Some(how) = lost(inner, other) {
            return Some(format!("in subsegment {}: {how}", inner["id"]));
        }
    }
    None
}

/// Puts documents in one call and looks for every member of them in what comes back.
fn check(server: &Server, from: &str, documents: &[Value]) -> Result<()> {
    let texts: Vec<String> = documents.iter().map(Value::to_string).collect();
    let unprocessed = server.put(&texts).with_context(|| from.to_owned())?;
    assert!(unprocessed.is_empty(), "{from}: {unprocessed:?}");
    for document in documents {
        let trace_id = document["trace_id"].as_str().context("a trace id")?;
        let stored = server.documents(trace_id)?;
        let Some(found) = find(&stored, &document["id"]) else {
            panic!("{from}: {} is missing in {stored:?}", document["id"])
        };
        assert_eq!(lost(document, found), None, "{from}: {document}\n{found}");
    }
    Ok(())
}

#[test]
fn recorded_documents_come_back_complete() -> Result<()> {
    if !folder().is_dir() {
        eprintln!("not tried: there are no recordings beside the project");
        return Ok(());
    }
    let home = Home::new()?;
    let server = home.start()?;
    let mut n_documents = 0;
    for (number, (path, document)) in (1..).zip(files("segment")?) {
        check(&server, &path, &[completed(&document, number)])?;
        n_documents += 1;
    }
    for (path, batch) in files("segment-batch")? {
        let documents: Vec<Value> = batch
            .as_array()
            .context("a list")?
            .iter()
            .map(|document| completed(document, 500))
            .collect();
        check(&server, &path, &documents)?;
        n_documents += documents.len();
    }
    for (path, datagrams) in files("udp-datagrams")? {
        for datagram in datagrams.as_array().context("a list")? {
            let (_, payload) = datagram
                .as_str()
                .and_then(|text| text.split_once('\n'))
                .context("a header line")?;
            // Spans in a datagram are another door's.
            let Ok(document) = serde_json::from_str::<Value>(payload) else {
                continue;
            };
            check(&server, &path, &[document])?;
            n_documents += 1;
        }
    }
    eprintln!("{n_documents} documents");
    assert!(n_documents > 15, "only {n_documents} documents found");
    Ok(())
}

#[test]
fn recorded_requests_are_served() -> Result<()> {
    if !folder().is_dir() {
        eprintln!("not tried: there are no recordings beside the project");
        return Ok(());
    }
    let home = Home::new()?;
    let server = home.start()?;
    let mut n_requests = 0;
    for (path, request) in files("http-requests")? {
        let target = request["path"].as_str().context("a path")?;
        if ![
            "/TraceSegments",
            "/Traces",
            "/TraceSummaries",
            "/TelemetryRecords",
        ]
        .contains(&target)
        {
            continue;
        }
        let body = request["body"].as_str().unwrap_or_default();
        let headers: Vec<(&str, &str)> = request["headers"]
            .as_array()
            .context("headers")?
            .iter()
            .filter_map(|header| Some((header[0].as_str()?, header[1].as_str()?)))
            .filter(|(name, _)| {
                !["host", "content-length", "transfer-encoding", "connection"]
                    .contains(&name.to_lowercase().as_str())
            })
            .collect();
        let response = server
            .connect()?
            .request("POST", target, &headers, body.as_bytes())?;
        response.success().with_context(|| path.clone())?;
        if target == "/TraceSegments" {
            let sent: Value = serde_json::from_str(body)?;
            let texts = sent["TraceSegmentDocuments"]
                .as_array()
                .context("documents")?;
            let documents: Vec<Value> = texts
                .iter()
                .filter_map(|text| serde_json::from_str(text.as_str()?).ok())
                .collect();
            check(&server, &path, &documents)?;
        }
        n_requests += 1;
    }
    assert!(n_requests >= 6, "only {n_requests} requests found");
    Ok(())
}

/// The members a document has by the published schema, without those that say where it belongs.
const MEMBERS: &[&str] = &[
    "id",
    "name",
    "start_time",
    "end_time",
    "in_progress",
    "namespace",
    "origin",
    "user",
    "service",
    "http",
    "aws",
    "error",
    "throttle",
    "fault",
    "cause",
    "annotations",
    "metadata",
    "sql",
    "precursor_ids",
    "links",
    "resource_arn",
];
