//! What real clients sent, where the project's shared data is at hand; the cases below without it are
//! recordings, too.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::{Encoding, decode};

/// Returns the names, kinds and namespaces of the documents of a request.
fn shown(body: &[u8], encoding: Encoding) -> Vec<String> {
    let request = decode(body, encoding).unwrap();
    let documents = documents(&request, &Rules::default());
    let text = |document: &Value, member: &str| document[member].as_str().unwrap_or("-").to_owned();
    let shown = documents.iter().map(|document| {
        ["name", "type", "namespace", "parent_id"]
            .map(|member| text(document, member))
            .join(" ")
    });
    shown.collect()
}

/// The JSON exporter of Python.
#[test]
fn python_json() {
    let body = r#"{"resourceSpans": [{"resource": {"attributes": [{"key": "telemetry.sdk.language", "value": {"stringValue": "python"}}, {"key": "telemetry.sdk.name", "value": {"stringValue": "opentelemetry"}}, {"key": "telemetry.sdk.version", "value": {"stringValue": "1.45.2"}}, {"key": "service.name", "value": {"stringValue": "otel-json"}}]}, "scopeSpans": [{"scope": {"name": "t"}, "spans": [{"traceId": "cda1bac6073eb2d8cfb80c0faaef2f9a", "spanId": "5a08be20f445a27c", "parentSpanId": "9daa48e3d8ed94ac", "flags": 256, "name": "child", "kind": 1, "startTimeUnixNano": "1795304318619178216", "endTimeUnixNano": "1795304318619196216", "status": {}}, {"traceId": "cda1bac6073eb2d8cfb80c0faaef2f9a", "spanId": "9daa48e3d8ed94ac", "flags": 256, "name": "GET /ok", "kind": 1, "startTimeUnixNano": "1795304318618980133", "endTimeUnixNano": "1795304318619224156", "attributes": [{"key": "a", "value": {"intValue": "1"}}, {"key": "b", "value": {"doubleValue": 1.5}}, {"key": "c", "value": {"boolValue": true}}, {"key": "d", "value": {"arrayValue": {"values": [{"stringValue": "x"}]}}}], "events": [{"timeUnixNano": "1795304318619118470", "name": "exception", "attributes": [{"key": "exception.type", "value": {"stringValue": "ValueError"}}, {"key": "exception.message", "value": {"stringValue": "x"}}, {"key": "exception.stacktrace", "value": {"stringValue": "ValueError: x\n"}}, {"key": "exception.escaped", "value": {"stringValue": "False"}}]}], "status": {}}]}]}]}"#;
    let request = decode(body.as_bytes(), Encoding::Json).unwrap();
    let translated = translated(&request, &Rules::default());
    assert_eq!(translated.rejected, []);
    insta::assert_snapshot!(translated.documents[0].text);
    insta::assert_snapshot!(translated.documents[1].text);
}

/// The JSON exporter of JavaScript.
#[test]
fn javascript_json() {
    let body = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"js-jsongzip"}}],"droppedAttributesCount":0},"scopeSpans":[{"scope":{"name":"t"},"spans":[{"traceId":"6b022b7f951d05dd3c32712f1e9c616f","spanId":"45284c953ed03e18","name":"GET /js","kind":2,"startTimeUnixNano":"1795304319489000000","endTimeUnixNano":"1795304319489127292","attributes":[{"key":"http.request.method","value":{"stringValue":"GET"}},{"key":"a","value":{"intValue":1}},{"key":"f","value":{"doubleValue":1.5}},{"key":"l","value":{"arrayValue":{"values":[{"stringValue":"x"},{"stringValue":"y"}]}}}],"droppedAttributesCount":0,"events":[{"attributes":[{"key":"exception.type","value":{"stringValue":"Error"}},{"key":"exception.message","value":{"stringValue":"oops"}},{"key":"exception.stacktrace","value":{"stringValue":"Error: oops\n    at /srv/app/p_otel.cjs:6:156\n    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)"}}],"name":"exception","timeUnixNano":"1795304319489118343","droppedAttributesCount":0}],"droppedEventsCount":0,"status":{"code":2,"message":"bad"},"links":[],"droppedLinksCount":0,"flags":257}]}]}]}"#;
    let request = decode(body.as_bytes(), Encoding::Json).unwrap();
    let translated = translated(&request, &Rules::default());
    assert_eq!(translated.rejected, []);
    insta::assert_snapshot!(translated.documents[0].text);
}

/// The ADOT layer of Python in Lambda, which sends protobuf in base64.
#[test]
fn python_protobuf() {
    let body = "CuoCCpgCCiIKFnRlbGVtZXRyeS5zZGsubGFuZ3VhZ2USCAoGcHl0aG9uCiUKEnRlbGVtZXRyeS5zZGsubmFtZRIPCg1vcGVudGVsZW1ldHJ5CiEKFXRlbGVtZXRyeS5zZGsudmVyc2lvbhIICgYxLjQ0LjAKPQoTc2VydmljZS5pbnN0YW5jZS5pZBImCiRhZDc0MGJiNi00MzcxLTRkNjctYTQxMC1hMzc5ODNlZmQyZGEKHQoMc2VydmljZS5uYW1lEg0KC2Fkb3QtbGFtYmRhCiYKFnRlbGVtZXRyeS5hdXRvLnZlcnNpb24SDAoKMC4yMS4wLWF3cwoiChFhd3MubG9jYWwuc2VydmljZRINCgthZG90LWxhbWJkYRJNCgMKAXgSRgoQawIr9Wi3umCGEYLVZqcZpRIICzIUt8nXukEqAm9wMAI58/05tt8z6hhBmS47tt8z6hhKCAoBaxIDCgF2egCFAQABAAA=";
    let body = STANDARD.decode(body).unwrap();
    let request = decode(&body, Encoding::Protobuf).unwrap();
    let translated = translated(&request, &Rules::default());
    assert_eq!(translated.rejected, []);
    insta::assert_snapshot!(translated.documents[0].text);
}

/// The SDK of Rust: pretty-printed, with empty texts and members that are new.
#[test]
fn rust_json() {
    let body = r#"{
        "resourceSpans": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "rust"}}], "droppedAttributesCount": 0, "entityRefs": []},
            "scopeSpans": [{
                "scope": {"name": "t", "version": "", "attributes": [], "droppedAttributesCount": 0},
                "spans": [{
                    "traceId": "6b022b7f951d05dd3c32712f1e9c616f", "spanId": "45284c953ed03e18", "traceState": "",
                    "parentSpanId": "", "flags": 257, "name": "op", "kind": 3, "startTimeUnixNano": "1795304319489000000",
                    "endTimeUnixNano": "1795304319489127292", "attributes": [], "droppedAttributesCount": 0, "events": [],
                    "droppedEventsCount": 0, "links": [], "droppedLinksCount": 0, "status": {"message": "", "code": 0}
                }],
                "schemaUrl": ""
            }],
            "schemaUrl": ""
        }]
    }"#;
    assert_eq!(shown(body.as_bytes(), Encoding::Json), ["op - remote -"]);
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/otlp")
}

/// The recordings of others: ids in base64 or of either case, enumerations by name, every kind of database.
#[test]
fn recordings_are_taken_whole() {
    let Ok(entries) = std::fs::read_dir(folder()) else {
        println!("no recordings at hand");
        return;
    };
    let mut n_spans = 0;
    for entry in entries {
        let path = entry.unwrap().path();
        let mut recording: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        // Some wrap the request, or call it by another name.
        if let Some(result) = recording.get("result") {
            recording = result.clone();
        }
        if let Some(batches) = recording.get("batches") {
            recording = json!({"resourceSpans": batches});
        }
        let request = decode(recording.to_string().as_bytes(), Encoding::Json).unwrap();
        assert_ne!(request.n_spans(), 0, "{}", path.display());
        n_spans += request.n_spans();
        let documents = documents(&request, &Rules::default());
        assert!(documents.len() >= request.n_spans(), "{}", path.display());
    }
    println!("{n_spans} recorded spans");
}
