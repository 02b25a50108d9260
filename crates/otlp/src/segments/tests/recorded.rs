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
    insta::assert_snapshot!(translated.documents[0].text, @r#"{"name":"child","id":"5a08be20f445a27c","start_time":1795304318.619178216,"trace_id":"1-cda1bac6-073eb2d8cfb80c0faaef2f9a","end_time":1795304318.619196216,"error":false,"fault":false,"throttle":false,"aws":{"xray":{"sdk":"opentelemetry for python","sdk_version":"1.45.2","auto_instrumentation":false}},"metadata":{"otel.span":{"kind":"INTERNAL","flags":256,"resource":{"attributes":{"service.name":"otel-json","telemetry.sdk.language":"python","telemetry.sdk.name":"opentelemetry","telemetry.sdk.version":"1.45.2"}},"scope":{"name":"t"}}},"parent_id":"9daa48e3d8ed94ac","type":"subsegment"}"#);
    insta::assert_snapshot!(translated.documents[1].text, @r#"{"name":"GET /ok","id":"9daa48e3d8ed94ac","start_time":1795304318.618980133,"trace_id":"1-cda1bac6-073eb2d8cfb80c0faaef2f9a","end_time":1795304318.619224156,"error":false,"fault":false,"throttle":false,"cause":{"exceptions":[{"id":"bdae1f1fc6e7b59b","message":"x","type":"ValueError","remote":false}]},"aws":{"xray":{"sdk":"opentelemetry for python","sdk_version":"1.45.2","auto_instrumentation":false}},"metadata":{"default":{"a":1,"b":1.5,"c":true,"d":["x"],"otel.resource.service.name":"otel-json","otel.resource.telemetry.sdk.language":"python","otel.resource.telemetry.sdk.name":"opentelemetry","otel.resource.telemetry.sdk.version":"1.45.2"},"otel.span":{"kind":"INTERNAL","flags":256,"events":[{"timeUnixNano":"1795304318619118470","name":"exception","attributes":{"exception.escaped":"False","exception.message":"x","exception.stacktrace":"ValueError: x\n","exception.type":"ValueError"}}],"resource":{"attributes":{"service.name":"otel-json","telemetry.sdk.language":"python","telemetry.sdk.name":"opentelemetry","telemetry.sdk.version":"1.45.2"}},"scope":{"name":"t"}}}}"#);
}

/// The JSON exporter of JavaScript.
#[test]
fn javascript_json() {
    let body = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"js-jsongzip"}}],"droppedAttributesCount":0},"scopeSpans":[{"scope":{"name":"t"},"spans":[{"traceId":"6b022b7f951d05dd3c32712f1e9c616f","spanId":"45284c953ed03e18","name":"GET /js","kind":2,"startTimeUnixNano":"1795304319489000000","endTimeUnixNano":"1795304319489127292","attributes":[{"key":"http.request.method","value":{"stringValue":"GET"}},{"key":"a","value":{"intValue":1}},{"key":"f","value":{"doubleValue":1.5}},{"key":"l","value":{"arrayValue":{"values":[{"stringValue":"x"},{"stringValue":"y"}]}}}],"droppedAttributesCount":0,"events":[{"attributes":[{"key":"exception.type","value":{"stringValue":"Error"}},{"key":"exception.message","value":{"stringValue":"oops"}},{"key":"exception.stacktrace","value":{"stringValue":"Error: oops\n    at /srv/app/p_otel.cjs:6:156\n    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)"}}],"name":"exception","timeUnixNano":"1795304319489118343","droppedAttributesCount":0}],"droppedEventsCount":0,"status":{"code":2,"message":"bad"},"links":[],"droppedLinksCount":0,"flags":257}]}]}]}"#;
    let request = decode(body.as_bytes(), Encoding::Json).unwrap();
    let translated = translated(&request, &Rules::default());
    assert_eq!(translated.rejected, []);
    insta::assert_snapshot!(translated.documents[0].text, @r#"{"name":"js-jsongzip","id":"45284c953ed03e18","start_time":1795304319.489,"trace_id":"1-6b022b7f-951d05dd3c32712f1e9c616f","end_time":1795304319.489127292,"http":{"request":{"method":"GET"},"response":{"content_length":0}},"error":false,"fault":true,"throttle":false,"cause":{"exceptions":[{"id":"e4c025e85044d104","message":"oops","type":"Error","remote":false}]},"aws":{"xray":{"auto_instrumentation":false}},"metadata":{"default":{"a":1,"f":1.5,"l":["x","y"],"otel.resource.service.name":"js-jsongzip"},"otel.span":{"kind":"SERVER","name":"GET /js","flags":257,"status":{"code":"ERROR","message":"bad"},"attributes":{"http.request.method":"GET"},"events":[{"timeUnixNano":"1795304319489118343","name":"exception","attributes":{"exception.message":"oops","exception.stacktrace":"Error: oops\n    at /srv/app/p_otel.cjs:6:156\n    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)","exception.type":"Error"}}],"resource":{"attributes":{"service.name":"js-jsongzip"}},"scope":{"name":"t"}}}}"#);
}

/// The ADOT layer of Python in Lambda, which sends protobuf in base64.
#[test]
fn python_protobuf() {
    let body = "CuoCCpgCCiIKFnRlbGVtZXRyeS5zZGsubGFuZ3VhZ2USCAoGcHl0aG9uCiUKEnRlbGVtZXRyeS5zZGsubmFtZRIPCg1vcGVudGVsZW1ldHJ5CiEKFXRlbGVtZXRyeS5zZGsudmVyc2lvbhIICgYxLjQ0LjAKPQoTc2VydmljZS5pbnN0YW5jZS5pZBImCiRhZDc0MGJiNi00MzcxLTRkNjctYTQxMC1hMzc5ODNlZmQyZGEKHQoMc2VydmljZS5uYW1lEg0KC2Fkb3QtbGFtYmRhCiYKFnRlbGVtZXRyeS5hdXRvLnZlcnNpb24SDAoKMC4yMS4wLWF3cwoiChFhd3MubG9jYWwuc2VydmljZRINCgthZG90LWxhbWJkYRJNCgMKAXgSRgoQawIr9Wi3umCGEYLVZqcZpRIICzIUt8nXukEqAm9wMAI58/05tt8z6hhBmS47tt8z6hhKCAoBaxIDCgF2egCFAQABAAA=";
    let body = STANDARD.decode(body).unwrap();
    let request = decode(&body, Encoding::Protobuf).unwrap();
    let translated = translated(&request, &Rules::default());
    assert_eq!(translated.rejected, []);
    insta::assert_snapshot!(translated.documents[0].text, @r#"{"name":"adot-lambda","id":"0b3214b7c9d7ba41","start_time":1795304437.388541427,"trace_id":"1-6b022bf5-68b7ba60861182d566a719a5","end_time":1795304437.388619417,"error":false,"fault":false,"throttle":false,"aws":{"xray":{"sdk":"opentelemetry for python","sdk_version":"1.44.0","auto_instrumentation":true}},"metadata":{"default":{"k":"v","otel.resource.aws.local.service":"adot-lambda","otel.resource.service.instance.id":"ad740bb6-4371-4d67-a410-a37983efd2da","otel.resource.service.name":"adot-lambda","otel.resource.telemetry.auto.version":"0.21.0-aws","otel.resource.telemetry.sdk.language":"python","otel.resource.telemetry.sdk.name":"opentelemetry","otel.resource.telemetry.sdk.version":"1.44.0"},"otel.span":{"kind":"SERVER","name":"op","flags":256,"resource":{"attributes":{"aws.local.service":"adot-lambda","service.instance.id":"ad740bb6-4371-4d67-a410-a37983efd2da","service.name":"adot-lambda","telemetry.auto.version":"0.21.0-aws","telemetry.sdk.language":"python","telemetry.sdk.name":"opentelemetry","telemetry.sdk.version":"1.44.0"}},"scope":{"name":"x"}}}}"#);
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
