//! TLS: what clients are shown, that they can tell it is right, and that nobody is let hang.

use std::process::Command;

use anyhow::{Context, Result};
use roentgen_tests::http::Wire;
use roentgen_tests::http2::Http2;
use roentgen_tests::tls::{Authority, Files};
use roentgen_tests::wait::until;
use roentgen_tests::{Connection, Home, Server, process};
use serde_json::json;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::clients;
use crate::fixture::{segment, trace_id};

const HTTP1: &[&str] = &["http/1.1"];
const HTTP2: &[&str] = &["h2", "http/1.1"];

/// Starts a server with a certificate of this authority.
fn start(home: &Home, authority: &Authority, more: &str) -> Result<Server> {
    let files = authority.certify(home.folder())?;
    home.start_with(&home.config(&format!("{}{more}", files.config()?))?)
}

fn assert_healthy(connection: &mut Connection) -> Result<()> {
    let answer = connection.request("GET", "/healthz", &[], b"")?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    Ok(())
}

#[test]
fn both_versions_of_tls_and_of_http_are_spoken() -> Result<()> {
    let home = Home::new()?;
    let authority = Authority::new()?;
    let server = start(&home, &authority, "")?;
    assert_eq!(server.ready()["tls"], true);
    for version in [&TLS12, &TLS13] {
        let clients = authority.clients_of(&[version], HTTP2)?;
        let wire = Wire::open_tls(server.address(), &clients)?;
        assert_eq!(wire.protocol(), Some(&b"h2"[..]));
        let mut http2 = Http2::open(wire, &[])?;
        assert_eq!(http2.get("/healthz")?.status, 200);
        for alpn in [HTTP1, &[]] {
            let clients = authority.clients_of(&[version], alpn)?;
            let wire = Wire::open_tls(server.address(), &clients)?;
            assert_eq!(wire.protocol(), alpn.first().map(|name| name.as_bytes()));
            assert_healthy(&mut Connection::over(wire))?;
        }
    }
    Ok(())
}

#[test]
fn documents_come_in_and_out_over_tls() -> Result<()> {
    let home = Home::new()?;
    let authority = Authority::new()?;
    let server = start(&home, &authority, "")?;
    let trace_id = trace_id(1);
    let fill = json!({ "metadata": { "default": { "fill": "x".repeat(60_000) } } });
    let documents: Vec<String> = (0..50)
        .map(|number| segment(&trace_id, &format!("{number:016x}"), &fill))
        .collect();
    let put = json!({ "TraceSegmentDocuments": documents }).to_string();
    let get = json!({ "TraceIds": [trace_id] }).to_string();
    let clients = authority.clients(HTTP1)?;
    let mut http1 = Connection::open_tls(server.address(), &clients)?;
    let answer = http1.post("/TraceSegments", put.as_bytes())?.success()?;
    assert_eq!(answer, json!({ "UnprocessedTraceSegments": [] }));
    let traces = http1.post("/Traces", get.as_bytes())?.success()?;
    let segments = traces["Traces"][0]["Segments"].as_array();
    assert_eq!(segments.context("segments")?.len(), 50);
    Ok(())
}

#[test]
fn all_doors_speak_tls() -> Result<()> {
    let home = Home::new()?;
    let authority = Authority::new()?;
    let files = authority.certify(home.folder())?;
    let config = home.config(&files.config()?)?;
    let mut arguments = config.to_vec();
    for flag in ["--otlp-http", "--otlp-grpc"] {
        arguments.extend([flag.to_owned(), "127.0.0.1:0".to_owned()]);
    }
    let server = home.start_with(&arguments)?;
    let clients = authority.clients(HTTP2)?;
    for door in ["http", "otlp_http", "otlp_grpc"] {
        let address = server.door(door).context("an open door")?;
        let mut http2 = Http2::open(Wire::open_tls(address, &clients)?, &[])?;
        assert_eq!(http2.get("/healthz")?.status, 200, "{door}");
    }
    Ok(())
}

#[test]
fn a_client_that_trusts_others_is_not_fooled() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, &Authority::new()?, "")?;
    let strangers = Authority::new()?.clients(HTTP1)?;
    let error = Connection::open_tls(server.address(), &strangers).unwrap_err();
    assert!(
        format!("{error:#}").contains("invalid peer certificate"),
        "{error:#}"
    );
    Ok(())
}

#[test]
fn who_speaks_plain_http_is_told() -> Result<()> {
    use std::io::{Read, Write};
    let home = Home::new()?;
    let authority = Authority::new()?;
    let server = start(&home, &authority, "")?;
    let mut plain = server.connect()?;
    let body = vec![b' '; 1_000_000];
    let (status, code, message) = plain.post("/TraceSegments", &body)?.error()?;
    assert_eq!((status, code.as_str()), (400, "InvalidRequestException"));
    assert!(message.contains("speaks HTTPS"), "{message}");
    assert!(plain.receive_or_closed()?.is_none());
    let mut garbage = Wire::open(server.address())?;
    garbage.write_all(b"\x00\x01\x02\x03\x04")?;
    let mut alert = Vec::new();
    // Closed with bytes unread, the connection may be reset.
    let _ = garbage.read_to_end(&mut alert);
    assert!(alert.len() < 10, "{alert:?}");
    assert_healthy(&mut Connection::open_tls(
        server.address(),
        &authority.clients(HTTP1)?,
    )?)
}

fn check_refused(home: &Home, config: &str, code: i32, expected: &str) -> Result<()> {
    let output = home.serve_output(&home.config(config)?)?;
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert!(
        message.contains(expected),
        "{expected:?} is not in {message:?}"
    );
    assert!(!message.contains("PRIVATE KEY-----"), "{message}");
    Ok(())
}

#[test]
fn files_that_cannot_be_used_stop_the_start() -> Result<()> {
    let home = Home::new()?;
    let authority = Authority::new()?;
    let files = authority.certify(home.folder())?;
    let config = files.config()?;
    check_refused(&home, "[tls]\ncert = \"cert.pem\"\n", 2, "tls.key")?;
    check_refused(&home, "[tls]\nkey = \"key.pem\"\n", 2, "tls.cert")?;
    let key = std::fs::read_to_string(&files.key)?;
    std::fs::write(&files.key, "no key\n")?;
    check_refused(&home, &config, 1, "key.pem of tls.key has no private key")?;
    let other = home.folder().join("other");
    std::fs::create_dir(&other)?;
    let strange = authority.certify(&other)?;
    std::fs::copy(&strange.key, &files.key)?;
    check_refused(
        &home,
        &config,
        1,
        "(tls.key) is not that of the first certificate",
    )?;
    std::fs::write(&files.key, key)?;
    std::fs::remove_file(&files.cert)?;
    check_refused(&home, &config, 1, "cert.pem of tls.cert: No such file")
}

#[test]
fn a_key_everybody_can_read_is_warned_of() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let warning = "every user of this machine can read the private key";
    let home = Home::new()?;
    let authority = Authority::new()?;
    for (mode, is_warned) in [(0o644, true), (0o640, false)] {
        let Files { cert, key } = authority.certify(home.folder())?;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode))?;
        std::fs::write(home.folder().join("server.log"), "")?;
        let config = Files { cert, key }.config()?;
        let server = home.start_with(&home.config(&config)?)?;
        assert_eq!(server.log().contains(warning), is_warned, "{mode:o}");
    }
    Ok(())
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart() -> Result<()> {
    let home = Home::new()?;
    let (old, new) = (Authority::new()?, Authority::new()?);
    let server = start(&home, &old, "")?;
    let mut open = Connection::open_tls(server.address(), &old.clients(HTTP1)?)?;
    assert_healthy(&mut open)?;
    let clients = new.clients(HTTP1)?;
    assert!(Connection::open_tls(server.address(), &clients).is_err());

    let files = new.certify(home.folder())?;
    let key = std::fs::read(&files.key)?;
    std::fs::write(&files.key, "half a file")?;
    process::hangup(server.pid())?;
    until("the fault is logged", || {
        Ok(server.log().contains("has no private key").then_some(()))
    })?;
    assert_healthy(&mut Connection::open_tls(
        server.address(),
        &old.clients(HTTP1)?,
    )?)?;

    std::fs::write(&files.key, key)?;
    process::hangup(server.pid())?;
    until("the new certificate is shown", || {
        Ok(Connection::open_tls(server.address(), &clients).ok())
    })?;
    assert_healthy(&mut open)
}

#[test]
fn handshakes_that_never_end_keep_nobody_out() -> Result<()> {
    use std::io::Write;
    process::raise_open_files();
    let home = Home::new()?;
    let authority = Authority::new()?;
    let config = "[http]\nconnections = 300\nconnections_per_peer = 200\n";
    let server = start(&home, &authority, config)?;
    let clients = authority.clients(HTTP1)?;
    let mut held = Vec::new();
    for round in 0..40 {
        for _ in 0..50 {
            let mut wire = Wire::open(server.address())?;
            let starts: [&[u8]; 4] = [
                b"",
                b"\x16",
                b"\x16\x03\x01\x02\x00\x01\x00\x01",
                b"GET / HT",
            ];
            // The server may have closed it by now.
            let _ = wire.write_all(starts[round % starts.len()]);
            held.push(wire);
        }
        assert_healthy(&mut Connection::open_tls(server.address(), &clients)?)?;
    }
    Ok(())
}

#[test]
fn a_handshake_that_does_not_end_is_given_up() -> Result<()> {
    let home = Home::new()?;
    let config = "[http]\nheader_timeout = \"200ms\"\n";
    let server = start(&home, &Authority::new()?, config)?;
    for start in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01"] {
        let mut connection = server.connect()?;
        connection.send(start)?;
        // A server that waited on would run into the reader's patience.
        assert!(connection.receive_or_closed()?.is_none());
    }
    Ok(())
}

#[test]
fn a_body_that_is_too_large_still_gets_its_answer() -> Result<()> {
    let home = Home::new()?;
    let authority = Authority::new()?;
    let server = start(&home, &authority, "[http]\nbody_bytes = \"64KiB\"\n")?;
    let mut connection = Connection::open_tls(server.address(), &authority.clients(HTTP1)?)?;
    let head = "POST /TraceSegments HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n";
    connection.send(head.as_bytes())?;
    // Less than the sockets' buffers hold, so that sending ends whether or not the server reads.
    connection.send(&vec![b' '; 200_000])?;
    assert_eq!(connection.receive()?.status, 413);
    Ok(())
}

#[test]
fn answers_and_bodies_that_stop_are_given_up_over_tls() -> Result<()> {
    let home = Home::new()?;
    let authority = Authority::new()?;
    let config = "[http]\nidle_timeout = \"500ms\"\nbody_timeout = \"500ms\"\n";
    let server = start(&home, &authority, config)?;
    let clients = authority.clients(HTTP1)?;
    let mut slow = Connection::open_tls(server.address(), &clients)?;
    slow.send(b"POST /Traces HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")?;
    assert_eq!(slow.receive()?.status, 408);

    let trace_id = trace_id(1);
    let fill = json!({ "metadata": { "default": { "fill": "x".repeat(60_000) } } });
    let documents: Vec<String> = (0..50)
        .map(|number| segment(&trace_id, &format!("{number:016x}"), &fill))
        .collect();
    let put = json!({ "TraceSegmentDocuments": documents }).to_string();
    let mut lazy = Connection::open_tls(server.address(), &clients)?;
    lazy.post("/TraceSegments", put.as_bytes())?.success()?;
    let get = json!({ "TraceIds": [trace_id] }).to_string();
    let request = format!(
        "POST /Traces HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{get}",
        get.len()
    );
    // More than the buffers of both sides hold.
    lazy.send(request.repeat(8).as_bytes())?;
    until("the request has ended", || {
        let metrics = Connection::open_tls(server.address(), &clients)?
            .request("GET", "/metrics", &[], b"")?
            .text();
        let is_over = metrics.contains("roentgen_requests_in_flight 1\n")
            && metrics.contains("roentgen_connections_open 1\n");
        Ok(is_over.then_some(()))
    })
}

#[test]
fn node_speaks_http2_with_and_without_tls() -> Result<()> {
    let home = Home::new()?;
    let authority = Authority::new()?;
    let ca = authority.publish(home.folder())?;
    let script = clients::folder().join("http2.mjs");
    let plain = home.start()?;
    let mut command = Command::new("node");
    command.arg(&script).args([&plain.url(), "h2c"]);
    process::check(&mut command)?;
    drop(plain);
    let server = start(&home, &authority, "")?;
    let mut command = Command::new("node");
    command.arg(&script).args([&server.url(), "h2"]).arg(&ca);
    process::check(&mut command)
}

#[test]
fn boto3_speaks_https() -> Result<()> {
    let home = Home::new()?;
    let authority = Authority::new()?;
    let ca = authority.publish(home.folder())?;
    // Small pages, so that the paginators have something to join.
    let pages = "[query]\npage_bytes = 4096\nsummaries_per_page = 5\n";
    let server = start(&home, &authority, pages)?;
    for part in ["write", "read", "errors"] {
        let mut command = clients::client("python", &home)?;
        command
            .arg(clients::folder().join("flow.py"))
            .args([&server.url(), part])
            .arg(home.folder().join("state.json"))
            .env("AWS_CA_BUNDLE", &ca);
        process::check(&mut command)?;
    }
    Ok(())
}
