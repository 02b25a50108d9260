//! Wrong, hostile and slow input: a clear refusal or a closed connection, bounded memory, and the server goes on.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;
use roentgen_tests::{Connection, Home, Response, Server};
use serde_json::json;

use crate::fixture::{assert_error, segment, trace_id};

/// Fails unless the server still takes and returns a document.
fn assert_serves(server: &Server, number: u32) -> Result<()> {
    let trace_id = trace_id(number);
    server.put_all(&[segment(&trace_id, "00000000000000a1", &json!({}))])?;
    assert_eq!(server.documents(&trace_id)?.len(), 1);
    Ok(())
}

fn refuse(server: &Server, path: &str, body: &[u8]) -> Result<String> {
    assert_error(
        &server.connect()?.post(path, body)?,
        400,
        "InvalidRequestException",
    )
}

/// Sends bytes and returns the answer, if there is one before the server closes.
fn answer_to(server: &Server, bytes: &[u8]) -> Result<Option<Response>> {
    let mut connection = server.connect()?;
    // The server may close before all is sent.
    let _ = connection.send(bytes);
    let _ = connection.finish_sending();
    connection.receive_or_closed()
}

#[test]
fn bodies_that_are_no_request_are_refused() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    for path in [
        "/TraceSegments",
        "/Traces",
        "/TraceSummaries",
        "/TelemetryRecords",
    ] {
        for body in [
            &b"{"[..],
            b"nonsense",
            b"[]",
            b"\"text\"",
            b"17",
            b"null",
            b"{}{}",
            b"{\"a\":NaN}",
            b"{\"a\":Infinity}",
            b"{\"a\":01}",
            b"{'a':1}",
            b"{\"a\":\"\xff\xfe\"}",
            b"\xff\xff\xff",
            b"{\"a\":\"\\ud800\"}",
            b"\x00",
            b"{\"a\":1,}",
        ] {
            let message = refuse(&server, path, body)?;
            assert!(!message.is_empty(), "{path} {body:?}");
        }
    }
    assert_serves(&server, 1)
}

#[test]
fn members_of_a_wrong_type_are_named() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    for (path, body, member) in [
        (
            "/TraceSegments",
            r#"{"TraceSegmentDocuments":"{}"}"#,
            "TraceSegmentDocuments",
        ),
        (
            "/TraceSegments",
            r#"{"TraceSegmentDocuments":[{}]}"#,
            "TraceSegmentDocuments",
        ),
        (
            "/TraceSegments",
            r#"{"TraceSegmentDocuments":[1]}"#,
            "TraceSegmentDocuments",
        ),
        (
            "/TraceSegments",
            r#"{"TraceSegmentDocuments":[],"TraceSegmentDocuments":[]}"#,
            "TraceSegmentDocuments",
        ),
        ("/Traces", r#"{"TraceIds":{}}"#, "TraceIds"),
        (
            "/TraceSummaries",
            r#"{"StartTime":"x","EndTime":1}"#,
            "StartTime",
        ),
        (
            "/TraceSummaries",
            r#"{"StartTime":1,"EndTime":2,"EndTime":3}"#,
            "EndTime",
        ),
        (
            "/TelemetryRecords",
            r#"{"TelemetryRecords":[7]}"#,
            "TelemetryRecords",
        ),
    ] {
        let message = refuse(&server, path, body.as_bytes())?;
        assert!(message.contains(member), "{body}: {message}");
    }
    Ok(())
}

#[test]
fn documents_that_are_hostile_get_a_verdict() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace = trace_id(1);
    let deep = |depth: usize| {
        format!(
            r#"{{"name":"deep","id":"00000000000000a1","trace_id":"{trace}","start_time":1,"end_time":2,"metadata":{{"default":{}1{}}}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    let nested = |depth: usize| {
        let open =
            r#"{"name":"n","id":"00000000000000b1","start_time":1,"end_time":2,"subsegments":["#
                .repeat(depth);
        format!(
            r#"{{"name":"deep","id":"00000000000000a1","trace_id":"{trace}","start_time":1,"end_time":2,"subsegments":[{open}{}]}}"#,
            "]}".repeat(depth)
        )
    };
    let number = |text: &str| {
        format!(
            r#"{{"name":"n","id":"00000000000000a1","trace_id":"{trace}","start_time":{text},"end_time":2}}"#
        )
    };
    for document in [
        deep(20_000),
        nested(600),
        number("1e999"),
        number("-1e308"),
        number("NaN"),
        number("1e"),
        number("[1]"),
        number("true"),
        "[".repeat(60_000),
        "{\"a\":".repeat(10_000),
    ] {
        let response = server.post(
            "/TraceSegments",
            &json!({ "TraceSegmentDocuments": [document] }),
        )?;
        let unprocessed = response.success()?["UnprocessedTraceSegments"].clone();
        assert_eq!(
            unprocessed.as_array().map(Vec::len),
            Some(1),
            "{}: {unprocessed}",
            &document[..document.len().min(120)]
        );
    }
    // What is deep and not hostile is kept.
    for (number, document) in [deep(60), nested(20)].iter().enumerate() {
        server.put_all(&[document])?;
        assert_eq!(server.documents(&trace)?.len(), 1, "case {number}");
    }
    assert_serves(&server, 2)
}

#[test]
fn a_duplicate_member_of_a_document_is_decided_or_refused() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = trace_id(1);
    let document = format!(
        r#"{{"name":"a","id":"00000000000000a1","id":"00000000000000a2","trace_id":"{trace_id}","start_time":1,"end_time":2}}"#
    );
    let unprocessed = server.put(&[document])?;
    // One of the two is right, half of each is not.
    let documents = server.documents(&trace_id)?;
    assert_eq!(
        unprocessed.len() + documents.len(),
        1,
        "{unprocessed:?} {documents:?}"
    );
    Ok(())
}

#[test]
fn lengths_that_lie_harm_nobody() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let head = |length: &str| {
        format!("POST /TraceSegments HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
    };
    for (bytes, is_answered) in [
        // Too short a body: the rest never comes.
        (format!("{}{{}}", head("500")), false),
        (format!("{}{{}}", head("-5")), true),
        (format!("{}{{}}", head("many")), true),
        (format!("{}{{}}", head("2\r\nContent-Length: 3")), true),
        (format!("{}{{}}", head("18446744073709551616")), true),
        // A chunk that is no chunk.
        (
            "POST /TraceSegments HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
                .to_owned(),
            false,
        ),
        (
            "POST /TraceSegments HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"
                .to_owned(),
            false,
        ),
    ] {
        let response = answer_to(&server, bytes.as_bytes())?;
        let status = response.as_ref().map(|response| response.status);
        assert!(
            status.is_none_or(|status| (400..500).contains(&status)),
            "{bytes:?}: {status:?}"
        );
        assert!(
            !is_answered || status.is_some(),
            "{bytes:?} deserves an answer"
        );
    }
    assert_serves(&server, 1)
}

#[test]
fn bytes_that_are_no_http_are_turned_away() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let long_header = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(2_000_000));
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(20_000));
    let garbage: Vec<u8> = (0..100_000_u32)
        .map(|number| u8::try_from(number * 7919 % 251).unwrap())
        .collect();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"",
        &garbage,
        long_header.as_bytes(),
        many_headers.as_bytes(),
    ] {
        let mut connection = server.connect()?;
        let _ = connection.send(bytes);
        let _ = connection.finish_sending();
        // Whatever the server says to this, it says it and closes.
        let _ = connection.receive_or_closed();
    }
    assert_serves(&server, 1)
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() -> Result<()> {
    let home = Home::new()?;
    let server = home.start_with(&home.config("[http]\nbody_bytes = \"1MiB\"\n")?)?;
    let before = server.resident_bytes()?;
    let mut connection = server.connect()?;
    connection.send(
        b"POST /TraceSegments HTTP/1.1\r\nHost: x\r\nContent-Length: 1099511627776\r\n\r\n",
    )?;
    let (status, code, message) = connection.receive()?.error()?;
    assert_eq!(
        (status, code.as_str()),
        (413, "InvalidRequestException"),
        "{message}"
    );

    // Chunks without end.
    let mut connection = server.connect()?;
    connection
        .send(b"POST /TraceSegments HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let chunk = [b"10000\r\n".as_slice(), &vec![b' '; 65_536], b"\r\n"].concat();
    for _ in 0..2000 {
        if connection.send(&chunk).is_err() {
            break;
        }
    }
    if let Some(response) = connection.receive_or_closed()? {
        assert_eq!(response.status, 413);
    }

    // A little gzip that is a lot of JSON.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..256 {
        encoder.write_all(&vec![b' '; 1 << 20])?;
    }
    let response = server.connect()?.request(
        "POST",
        "/TraceSegments",
        &[("Content-Encoding", "gzip")],
        &encoder.finish()?,
    )?;
    assert!(matches!(response.status, 400 | 413), "{}", response.text());
    let grown = server.resident_bytes()?.saturating_sub(before);
    assert!(grown < 64 << 20, "memory grew by {grown} bytes");
    assert_serves(&server, 1)
}

#[test]
fn broken_gzip_is_refused() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(b"{\"TraceSegmentDocuments\":[\"some text that is long enough to be cut\"]}")?;
    let whole = encoder.finish()?;
    let mut flipped = whole.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 0xff;
    for body in [
        &whole[..whole.len() / 2],
        &flipped,
        b"\x1f\x8b",
        b"\x1f\x8b\x08\x00garbage",
    ] {
        refuse(&server, "/TraceSegments", body)?;
    }
    assert_serves(&server, 1)
}

#[test]
fn slow_senders_are_cut_off_and_do_not_hold_others_up() -> Result<()> {
    let home = Home::new()?;
    let config =
        "[http]\nheader_timeout = \"200ms\"\nbody_timeout = \"200ms\"\nidle_timeout = \"200ms\"\n";
    let server = home.start_with(&home.config(config)?)?;
    let mut slow: Vec<Connection> = Vec::new();
    for start in [
        "P",
        "POST /Traces HTTP/1.1\r\nHost",
        "POST /TraceSegments HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
        "",
    ] {
        let mut connection = server.connect()?;
        connection.send(start.as_bytes())?;
        slow.push(connection);
    }
    assert_serves(&server, 1)?;
    // Each is answered with 408 or closed; a server that waited on would run into the reader's patience.
    for mut connection in slow {
        if let Some(response) = connection.receive_or_closed()? {
            assert_eq!(response.status, 408, "{}", response.text());
        }
    }
    assert_serves(&server, 2)
}

#[test]
fn a_sender_that_stops_halfway_still_gets_its_answer() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = trace_id(1);
    let body =
        json!({ "TraceSegmentDocuments": [segment(&trace_id, "00000000000000a1", &json!({}))] })
            .to_string();
    let mut connection = server.connect()?;
    connection.send(
        format!(
            "POST /TraceSegments HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .as_bytes(),
    )?;
    connection.finish_sending()?;
    if let Some(response) = connection.receive_or_closed()? {
        response.success()?;
        assert_eq!(server.documents(&trace_id)?.len(), 1);
    }
    assert_serves(&server, 2)
}

#[test]
fn connections_over_the_limit_do_not_stop_the_others() -> Result<()> {
    let home = Home::new()?;
    let server = home.start_with(&home.config("[http]\nconnections = 8\n")?)?;
    let mut first = server.connect()?;
    first
        .post("/TraceSegments", b"{\"TraceSegmentDocuments\":[]}")?
        .success()?;
    let others: Vec<Connection> = (0..100).map(|_| server.connect()).collect::<Result<_>>()?;
    first
        .post("/TraceSegments", b"{\"TraceSegmentDocuments\":[]}")?
        .success()?;
    drop((first, others));
    roentgen_tests::wait::until("the server takes connections again", || {
        Ok(assert_serves(&server, 1).ok())
    })
}

#[test]
fn memory_stays_bounded_under_large_calls() -> Result<()> {
    let home = Home::new()?;
    let config = "[http]\nbodies_in_flight = \"33MiB\"\n[storage]\ncache = \"16MiB\"\n";
    let server = home.start_with(&home.config(config)?)?;
    let documents: Vec<String> = (0..50).map(|number| segment(&trace_id(7), &format!("{number:016x}"), &json!({ "metadata": { "default": { "fill": format!("{number}").repeat(30_000) } } }))).collect();
    let body = json!({ "TraceSegmentDocuments": documents }).to_string();
    let before = server.resident_bytes()?;
    let clients: Vec<_> = (0..24)
        .map(|_| {
            let (address, body) = (server.address(), body.clone());
            std::thread::spawn(move || -> Result<()> {
                for _ in 0..4 {
                    let response =
                        Connection::open(address)?.post("/TraceSegments", body.as_bytes())?;
                    assert!(
                        matches!(response.status, 200 | 429 | 503),
                        "{}",
                        response.text()
                    );
                }
                Ok(())
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap()?;
    }
    let grown = server.resident_bytes()?.saturating_sub(before);
    assert!(grown < 400 << 20, "memory grew by {grown} bytes");
    assert_serves(&server, 1)
}

#[test]
fn a_client_that_does_not_read_its_answer_holds_nobody_up() -> Result<()> {
    let home = Home::new()?;
    let server = home.start_with(&home.config("[http]\nidle_timeout = \"300ms\"\n")?)?;
    let trace_id = trace_id(1);
    let documents: Vec<String> = (0..50)
        .map(|number| {
            segment(
                &trace_id,
                &format!("{number:016x}"),
                &json!({ "metadata": { "default": { "fill": "x".repeat(60_000) } } }),
            )
        })
        .collect();
    server.put_all(&documents)?;
    let request = json!({ "TraceIds": [trace_id] }).to_string();
    let mut lazy: Vec<Connection> = Vec::new();
    for _ in 0..8 {
        let mut connection = server.connect()?;
        for _ in 0..4 {
            connection.send(
                format!(
                    "POST /Traces HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{request}",
                    request.len()
                )
                .as_bytes(),
            )?;
        }
        lazy.push(connection);
    }
    let started = std::time::Instant::now();
    assert_serves(&server, 2)?;
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    Ok(())
}
