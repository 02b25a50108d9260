//! Spans of OpenTelemetry on the wire: what is taken, what is told of what is not, at every door.

use anyhow::{Context, Result};
use roentgen_tests::wait::now;
use roentgen_tests::{Connection, Home, Response, Server};
use serde_json::{Value, json};

use crate::fixture::{summaries, with_id};

const TRACE_ID: &str = "5b8efff798038103d269b633813fc60c";
const JSON: (&str, &str) = ("content-type", "application/json");

fn start(home: &Home, config: &str) -> Result<Server> {
    let mut arguments = home.config(config)?.to_vec();
    let doors = ["--otlp-http", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0"];
    arguments.extend(doors.map(str::to_owned));
    home.start_with(&arguments)
}

/// Returns a request with these spans of a service, all of one trace.
fn request(spans: &[Value]) -> Value {
    let service = json!([{ "key": "service.name", "value": { "stringValue": "shop" } }]);
    json!({ "resourceSpans": [{
        "resource": { "attributes": service }, "scopeSpans": [{ "spans": spans }],
    }]})
}

/// Returns a span of one second that started a minute ago, with these members over it.
fn span(id: &str, members: &Value) -> Value {
    let start = u64::from(now() - 60) * 1_000_000_000;
    let mut span = json!({
        "traceId": TRACE_ID, "spanId": id, "name": "work", "kind": 2,
        "startTimeUnixNano": start.to_string(), "endTimeUnixNano": (start + 1_000_000_000).to_string(),
    });
    for (name, value) in members.as_object().unwrap() {
        span[name] = value.clone();
    }
    span
}

fn send(connection: &mut Connection, headers: &[(&str, &str)], body: &Value) -> Result<Response> {
    connection.request("POST", "/v1/traces", headers, body.to_string().as_bytes())
}

fn trace_id() -> String {
    let (epoch, rest) = TRACE_ID.split_at(8);
    format!("1-{epoch}-{rest}")
}

#[test]
fn spans_are_segments_at_every_door() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "")?;
    let doors = [
        ("00000000000000a1", server.address()),
        (
            "00000000000000a2",
            server.door("otlp_http").context("a door")?,
        ),
        (
            "00000000000000a3",
            server.door("otlp_grpc").context("a door")?,
        ),
    ];
    for (id, address) in doors {
        let body = request(&[span(id, &json!({}))]);
        let answer = send(&mut Connection::open(address)?, &[JSON], &body)?;
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"), "{id}");
        let health = Connection::open(address)?.request("GET", "/healthz", &[], b"")?;
        assert_eq!(health.status, 200);
    }
    let documents = server.documents(&trace_id())?;
    assert_eq!(documents.len(), 3);
    assert_eq!(with_id(&documents, "00000000000000a2")?["name"], "shop");
    // Ids of both forms name the trace.
    assert_eq!(server.traces(&[TRACE_ID])?.len(), 1);
    for door in ["otlp_http", "otlp_grpc"] {
        let address = server.door(door).context("a door")?;
        for (method, path) in [("POST", "/Traces"), ("GET", "/metrics")] {
            let answer = Connection::open(address)?.request(method, path, &[JSON], b"{}")?;
            assert_eq!(answer.status, 404, "{door} {path}");
        }
    }
    Ok(())
}

#[test]
fn what_is_not_taken_is_told_and_the_rest_is_stored() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "")?;
    let lost = span("0000000000000000", &json!({}));
    let body = request(&[span("00000000000000a1", &json!({})), lost]);
    let answer = send(&mut server.connect()?, &[JSON], &body)?;
    assert_eq!(answer.status, 200);
    let partial = answer.json()?["partialSuccess"].clone();
    assert_eq!(partial["rejectedSpans"], "1");
    let message = partial["errorMessage"].as_str().context("a message")?;
    assert!(message.contains("span id"), "{message}");
    assert_eq!(server.documents(&trace_id())?.len(), 1);
    let refused = server.get("/api/v1/refused?door=api")?.success()?;
    assert_eq!(refused["refused"][0]["code"], "InvalidSpanId");
    Ok(())
}

#[test]
fn refusals_are_statuses_of_otlp() -> Result<()> {
    let home = Home::new()?;
    let server = start(
        &home,
        "[otlp]\nspans_per_request = 1\nrequest_bytes = 2000\n",
    )?;
    let one = request(&[span("00000000000000a1", &json!({}))]);
    let refused = |headers: &[(&str, &str)], body: &Value, status: u16, words: &str| {
        let answer = send(&mut server.connect()?, headers, body)?;
        assert_eq!(answer.status, status, "{}", answer.text());
        let message = answer.json()?["message"].as_str().map(str::to_owned);
        let message = message.with_context(|| answer.text())?;
        assert!(message.contains(words), "{message}");
        anyhow::Ok(())
    };
    refused(&[("content-type", "text/plain")], &one, 415, "Content-Type")?;
    refused(&[JSON, ("content-encoding", "zstd")], &one, 415, "gzip")?;
    refused(&[JSON], &json!([]), 400, "no export request")?;
    let two = ["00000000000000a1", "00000000000000a2"].map(|id| span(id, &json!({})));
    refused(&[JSON], &request(&two), 400, "2 spans")?;
    let large = span("00000000000000a1", &json!({ "name": "x".repeat(3000) }));
    refused(&[JSON], &request(&[large]), 413, "otlp.request_bytes")?;
    let get = server.get("/v1/traces")?;
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    assert!(summaries(&server, &json!({}))?.is_empty());
    let protobuf = [("content-type", "application/x-protobuf")];
    let answer = server
        .connect()?
        .request("POST", "/v1/traces", &protobuf, b"\xff")?;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.header("content-type"),
        Some("application/x-protobuf")
    );
    Ok(())
}

#[test]
fn attributes_become_annotations_as_settings_say() -> Result<()> {
    let home = Home::new()?;
    let attribute = |key: &str| json!({ "key": key, "value": { "stringValue": "v" } });
    let attributes = ["tenant", "secret", "order.id"].map(attribute);
    let send_to = |server: &Server, id: &str| -> Result<Value> {
        let body = request(&[span(id, &json!({ "attributes": attributes }))]);
        send(&mut server.connect()?, &[JSON], &body)?.success()?;
        let documents = server.documents(&trace_id())?;
        Ok(with_id(&documents, id)?["annotations"].clone())
    };
    let server = start(&home, "")?;
    assert_eq!(send_to(&server, "00000000000000a1")?, Value::Null);
    drop(server);
    let server = start(
        &home,
        "[otlp]\nindexed_attributes = [\"tenant\", \"order.id\"]\n",
    )?;
    let chosen = json!({ "tenant": "v", "order.id": "v" });
    assert_eq!(send_to(&server, "00000000000000a2")?, chosen);
    drop(server);
    let server = start(&home, "[otlp]\nindex_all_attributes = true\n")?;
    let all = send_to(&server, "00000000000000a3")?;
    let resource = "otel.resource.service.name";
    assert_eq!(
        all,
        json!({ "tenant": "v", "secret": "v", "order.id": "v", resource: "shop" })
    );
    let found = summaries(
        &server,
        &json!({ "FilterExpression": "annotation.secret = \"v\"" }),
    )?;
    assert_eq!(found.len(), 1);
    Ok(())
}
