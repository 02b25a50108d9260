//! What real clients put on the wire, and what they expect back.

use std::io::Write;

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;
use roentgen_tests::{Home, Server};
use serde_json::json;

use crate::fixture::{assert_error, segment, trace_id};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Puts one document with these headers and this form of body, and reads it back.
fn check(
    server: &Server,
    number: u32,
    headers: &[(&str, &str)],
    encode: fn(&[u8]) -> Vec<u8>,
) -> Result<()> {
    let trace_id = trace_id(number);
    let body =
        json!({ "TraceSegmentDocuments": [segment(&trace_id, "00000000000000a1", &json!({}))] })
            .to_string();
    let response =
        server
            .connect()?
            .request("POST", "/TraceSegments", headers, &encode(body.as_bytes()))?;
    assert_eq!(
        response.success()?,
        json!({ "UnprocessedTraceSegments": [] }),
        "{headers:?}"
    );
    assert_eq!(server.documents(&trace_id)?.len(), 1, "{headers:?}");
    Ok(())
}

#[test]
fn bodies_are_recognised_by_their_bytes() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    check(&server, 1, &[], <[u8]>::to_vec)?;
    check(&server, 2, &[("Content-Encoding", "gzip")], gzip)?;
    check(&server, 3, &[], gzip)?;
    // A collector says gzip and sends plain JSON, with a target header of another protocol.
    let rotel = [
        ("Content-Encoding", "gzip"),
        ("X-Amz-Target", "XRay_20160712.PutTraceSegments"),
        ("Content-Type", "application/x-amz-json-1.1"),
    ];
    check(&server, 4, &rotel, <[u8]>::to_vec)?;
    check(
        &server,
        5,
        &[("X-Amz-Target", "XRay_20160712.GetTraceSummaries")],
        <[u8]>::to_vec,
    )?;
    check(
        &server,
        6,
        &[("Content-Type", "application/x-www-form-urlencoded")],
        <[u8]>::to_vec,
    )?;
    check(
        &server,
        7,
        &[
            (
                "Authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/xray/aws4_request, SignedHeaders=host, Signature=0",
            ),
            ("X-Amz-Date", "20260101T000000Z"),
        ],
        <[u8]>::to_vec,
    )?;
    check(&server, 8, &[("Expect", "100-continue")], <[u8]>::to_vec)?;
    Ok(())
}

#[test]
fn chunked_bodies_are_read() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = trace_id(1);
    let body =
        json!({ "TraceSegmentDocuments": [segment(&trace_id, "00000000000000a1", &json!({}))] })
            .to_string();
    let mut connection = server.connect()?;
    connection
        .send(b"POST /TraceSegments HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    for part in body.as_bytes().chunks(37) {
        connection.send(format!("{:x}\r\n", part.len()).as_bytes())?;
        connection.send(part)?;
        connection.send(b"\r\n")?;
    }
    connection.send(b"0\r\n\r\n")?;
    connection.receive()?.success()?;
    assert_eq!(server.documents(&trace_id)?.len(), 1);
    Ok(())
}

#[test]
fn answers_carry_what_sdks_read() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let mut ids = Vec::new();
    for (path, body) in [
        ("/TraceSegments", json!({ "TraceSegmentDocuments": [] })),
        ("/Traces", json!({ "TraceIds": [trace_id(1)] })),
        ("/TraceSummaries", json!({ "StartTime": 1, "EndTime": 2 })),
        ("/TelemetryRecords", json!({ "TelemetryRecords": [] })),
    ] {
        let response = server.post(path, &body)?;
        assert_eq!(
            (response.status, response.header("content-type")),
            (200, Some("application/json")),
            "{path}"
        );
        ids.push(
            response
                .header("x-amzn-requestid")
                .unwrap_or_default()
                .to_owned(),
        );
        response.json()?;
    }
    let is_uuid = |id: &String| {
        id.len() == 36
            && id
                .chars()
                .all(|character| character == '-' || character.is_ascii_hexdigit())
    };
    assert!(ids.iter().all(is_uuid), "{ids:?}");
    let n_ids = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), n_ids);
    Ok(())
}

#[test]
fn an_empty_body_is_an_empty_object() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    // What is missing is named, so the body was read as an object without members.
    for (path, member) in [
        ("/TraceSegments", "TraceSegmentDocuments"),
        ("/Traces", "TraceIds"),
        ("/TelemetryRecords", "TelemetryRecords"),
    ] {
        let response = server.connect()?.request("POST", path, &[], b"")?;
        let message = assert_error(&response, 400, "InvalidRequestException")?;
        let names_it = message.to_lowercase().contains(&member.to_lowercase());
        assert!(names_it, "{path}: {message}");
    }
    Ok(())
}

#[test]
fn unknown_paths_and_methods_are_refused() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    for path in [
        "/",
        "/traces",
        "/Traces/",
        "/BatchGetTraces",
        "/PutTraceSegments",
        "/%2e%2e/etc/passwd",
    ] {
        let response = server.connect()?.request("POST", path, &[], b"{}")?;
        assert_error(&response, 404, "UnknownOperationException")?;
    }
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let response = server.connect()?.request(method, "/Traces", &[], b"")?;
        assert_error(&response, 405, "UnknownOperationException")?;
        assert_eq!(response.header("allow"), Some("POST"), "{method}");
    }
    Ok(())
}

#[test]
fn one_connection_serves_many_calls() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let mut connection = server.connect()?;
    for number in 0..50 {
        let trace_id = trace_id(number);
        let put = json!({ "TraceSegmentDocuments": [segment(&trace_id, "00000000000000a1", &json!({}))] });
        connection
            .post("/TraceSegments", put.to_string().as_bytes())?
            .success()?;
        let refused = connection.post("/Traces", b"{")?;
        assert_error(&refused, 400, "InvalidRequestException")?;
        let answer = connection
            .post(
                "/Traces",
                json!({ "TraceIds": [trace_id] }).to_string().as_bytes(),
            )?
            .success()?;
        assert_eq!(answer["Traces"][0]["Id"], trace_id);
    }
    Ok(())
}

#[test]
fn the_server_tells_how_it_is() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    server.put_all(&[segment(&trace_id(1), "00000000000000a1", &json!({}))])?;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path)?.status, 200, "{path}");
    }
    let response = server.get("/metrics")?;
    assert!(
        response
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain")
                || kind.starts_with("application/openmetrics-text")),
        "{:?}",
        response.headers
    );
    let text = response.text();
    assert!(
        text.contains("# TYPE ") && text.lines().any(|line| line.starts_with("roentgen_")),
        "{text}"
    );
    Ok(())
}
