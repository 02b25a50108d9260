//! Spans pass through the recorder in every form they come in, and are sent again as documents.

use std::net::UdpSocket;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use journal::{Door, Record};
use roentgen_tests::http::Wire;
use roentgen_tests::http2::{Answer, Http2};
use roentgen_tests::process::describe;
use roentgen_tests::tls::Authority;
use roentgen_tests::wait::until;
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

use super::call;
use super::passage::{Passage, Upstream, replay};
use crate::datagrams::figure;

const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// The trace of [`super::spans`].
const TRACE_ID: &str = "1-07070707-070707070707070707070707";

fn start(home: &Home, config: &str) -> Result<Server> {
    let mut arguments = home.config(config)?.to_vec();
    arguments.extend(["--otlp-grpc", "127.0.0.1:0"].map(str::to_owned));
    home.start_with(&arguments)
}

/// Exports a span by gRPC.
fn export(passage: &Passage, id: u8) -> Result<Answer> {
    let message = super::spans([id; 8]);
    let mut body = vec![0];
    body.extend(u32::try_from(message.len())?.to_be_bytes());
    body.extend(message);
    let mut http2 = Http2::open(Wire::open(passage.http)?, &[])?;
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    let stream = http2.start_with("POST", GRPC_PATH, &fields, false)?;
    http2.data(stream, &body, true)?;
    http2.finish(stream)
}

/// Fails unless a call of gRPC was recorded with as many accepted documents, or without verdicts.
fn check(record: &Record, n_accepted: Option<u32>) -> Result<()> {
    assert_eq!(
        (record.door, call(record)?.path()),
        (Door::OtlpGrpc, GRPC_PATH)
    );
    let verdicts = record.verdicts.as_ref();
    assert_eq!(verdicts.map(|verdicts| verdicts.n_accepted), n_accepted);
    Ok(())
}

/// Sends what was recorded to a server of its own, which must have the same documents of a trace then.
fn assert_replayed(server: &Server, home: &Home, trace_id: &str, n_documents: usize) -> Result<()> {
    let other = Home::new()?;
    let target = other.start()?;
    replay(home, &home.folder().join("a.journal"), &target.url())?;
    let (one, two) = (server.documents(trace_id)?, target.documents(trace_id)?);
    assert_eq!(one.len(), n_documents, "{one:?}");
    assert_eq!(one, two);
    Ok(())
}

#[test]
fn calls_of_grpc_pass_through_and_are_replayed() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "")?;
    let url = format!("http://{}", server.door("otlp_grpc").context("a door")?);
    let passage = Passage::open(&home, &url, &[])?;
    for id in 1..=3 {
        // An empty answer in its frame, and the status behind it.
        let answer = export(&passage, id)?;
        assert_eq!((answer.status, answer.body), (200, vec![0; 5]), "{id}");
    }
    // Rejected: it has no id.
    assert_eq!(export(&passage, 0)?.status, 200);
    let records = passage.written(4)?;
    for record in &records[..3] {
        check(record, Some(1))?;
    }
    check(&records[3], None)?;
    assert_eq!(passage.close()?["Calls"], 4);
    assert_replayed(&server, &home, TRACE_ID, 3)
}

#[test]
fn calls_of_grpc_pass_through_tls() -> Result<()> {
    let home = Home::new()?;
    let authority = Authority::new()?;
    let files = authority.certify(home.folder())?;
    let ca_file = authority.publish(home.folder())?.display().to_string();
    let server = start(&home, &files.config()?)?;
    let url = format!("https://{}", server.door("otlp_grpc").context("a door")?);
    let passage = Passage::open(&home, &url, &["--ca-file", &ca_file])?;
    let answer = export(&passage, 1)?;
    assert_eq!((answer.status, answer.body), (200, vec![0; 5]));
    check(&passage.written(1)?[0], Some(1))?;
    assert_eq!(passage.close()?["Unanswered"], 0);
    Ok(())
}

#[test]
fn a_call_of_grpc_that_nobody_takes_is_kept() -> Result<()> {
    let home = Home::new()?;
    let url = Upstream::open()?.url()?;
    let passage = Passage::open(&home, &url, &[])?;
    // The status of gRPC is in the head.
    let answer = export(&passage, 1)?;
    assert_eq!((answer.status, answer.body), (200, vec![]));
    check(&passage.written(1)?[0], None)?;
    assert_eq!(passage.close()?["Unanswered"], 1);
    Ok(())
}

#[test]
fn opentelemetry_exports_by_grpc_through_the_recorder() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "")?;
    let url = format!("http://{}", server.door("otlp_grpc").context("a door")?);
    let passage = Passage::open(&home, &url, &[])?;
    for (n_calls, compression) in (1..).zip([None, Some("gzip")]) {
        let compression = compression.map(|name| ("OTEL_EXPORTER_OTLP_COMPRESSION", name));
        let output = crate::clients::client("python", &home)?
            .arg(crate::clients::folder().join("otel_shop.py"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
            .envs(compression)
            .env(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                format!("http://{}", passage.http),
            )
            .output()?;
        // It says on standard error what was not taken.
        let is_quiet = output.status.success() && output.stderr.is_empty();
        assert!(is_quiet, "{}", describe(&output));
        let ids: Value = serde_json::from_slice(&output.stdout)?;
        let trace_id = ids["trace_id"].as_str().context("a trace id")?;
        let trace_id = format!("1-{}-{}", &trace_id[..8], &trace_id[8..]);
        let records = passage.written(n_calls)?;
        for record in &records {
            check(record, Some(4))?;
        }
        // That is what the server says, too.
        let accepted = figure(&server, "roentgen_documents_accepted_total", &["otlp-grpc"])?;
        assert_eq!(accepted, 4 * u64::try_from(records.len())?);
        assert_replayed(&server, &home, &trace_id, 3)?;
    }
    Ok(())
}

#[test]
fn spans_in_datagrams_are_posted_where_no_datagrams_are_taken() -> Result<()> {
    let home = Home::new()?;
    let authority = Authority::new()?;
    let files = authority.certify(home.folder())?;
    let ca_file = authority.publish(home.folder())?.display().to_string();
    let server = start(&home, &files.config()?)?;
    let more = ["--listen-udp", "127.0.0.1:0", "--ca-file", &ca_file];
    let passage = Passage::open(&home, &server.url(), &more)?;
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    sender.connect(passage.udp.context("no datagrams")?)?;
    for (prefix, id) in [("T1S", 1), ("T1U", 2), ("T1S", 3)] {
        let spans = STANDARD.encode(super::spans([id; 8]));
        let datagram = format!("{{\"format\":\"json\",\"version\":1}}\n{prefix}{spans}");
        sender.send(datagram.as_bytes())?;
    }
    // One that cannot be read takes no other along.
    sender.send(b"{\"format\":\"json\",\"version\":1}\nT1SAAAA")?;
    let clients = authority.clients(&["http/1.1"])?;
    let body = json!({ "TraceIds": [TRACE_ID] }).to_string();
    until("the spans are stored", || {
        let mut connection = roentgen_tests::Connection::open_tls(server.address(), &clients)?;
        let traces = connection.post("/Traces", body.as_bytes())?.success()?;
        let segments = traces["Traces"][0]["Segments"].as_array().map(Vec::len);
        Ok((segments == Some(3)).then_some(()))
    })?;
    let totals = passage.close()?;
    assert_eq!(
        (&totals["Datagrams"], &totals["DatagramsNotPassedOn"]),
        (&json!(4), &json!(1))
    );
    Ok(())
}
