//! Recorded traffic: what came in is in the folder as it was received, nothing secret is, and nobody waits for it. And what
//! passes through `roentgen record`: all of it is passed on, and nothing without a copy.

mod copies;
mod passage;
mod spans;
mod streams;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use journal::{Call, Content, Door, Reader, Record};
use roentgen_tests::disk::{self, Ext4};
use roentgen_tests::random::Random;
use roentgen_tests::wait::{now, until};
use roentgen_tests::{Connection, Home, Server};
use serde_json::{Value, json};

use crate::accounts::{ALICE, KEYS, OPERATOR, write_keys};
use crate::datagrams::{Sender, figure, settled};
use crate::fixture::{segment, trace_id};
use roentgen_tests::signing::{Signer, send};

/// Starts a server that records, with all doors open.
fn start(home: &Home, record: &str, more: &str) -> Result<Server> {
    let config = format!("[record]\ndir = \"traffic\"\n{record}\n{more}");
    let mut arguments = home.config(&config)?.to_vec();
    for door in ["--udp", "--otlp-http", "--otlp-grpc"] {
        arguments.extend([door.to_owned(), "127.0.0.1:0".to_owned()]);
    }
    home.start_with(&arguments)
}

fn folder(home: &Home) -> PathBuf {
    home.folder().join("traffic")
}

fn read(folder: &Path) -> Result<Vec<Record>> {
    Ok(Reader::open(&[folder])?.collect::<Result<_, _>>()?)
}

fn call(record: &Record) -> Result<&Call> {
    match &record.content {
        Content::Http(call) => Ok(call),
        Content::Datagram(_) => anyhow::bail!("a datagram: {record:?}"),
    }
}

/// Waits until so many records are on disk.
fn written(server: &Server, n_records: u64) -> Result<()> {
    until("the records are written", || {
        let n_written = figure(server, "roentgen_record_records_total", &[])?;
        Ok((n_written >= n_records).then_some(()))
    })
}

fn put_body(documents: &[&str]) -> Vec<u8> {
    let body = json!({ "TraceSegmentDocuments": documents });
    body.to_string().into_bytes()
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// Returns a member of a message of protobuf that is bytes or a message itself.
fn member(number: u8, bytes: &[u8]) -> Vec<u8> {
    let head = [number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
    [&head, bytes].concat()
}

/// Returns an export request with one span of a second, in protobuf.
fn spans(span_id: [u8; 8]) -> Vec<u8> {
    let start = u64::from(now() - 60) * 1_000_000_000;
    let times = [start, start + 1_000_000_000].map(u64::to_le_bytes);
    let span = [
        member(1, &[7; 16]),
        member(2, &span_id),
        member(5, b"work"),
        vec![6 << 3, 2],
        [&[7 << 3 | 1], times[0].as_slice()].concat(),
        [&[8 << 3 | 1], times[1].as_slice()].concat(),
    ];
    member(1, &member(2, &member(2, &span.concat())))
}

#[test]
fn calls_of_the_api_are_kept_as_received_with_their_verdicts() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "", "")?;
    let trace_id = trace_id(1);
    let good = segment(&trace_id, "00000000000000a1", &json!({}));
    let unnamed = segment(&trace_id, "00000000000000a2", &json!({ "name": null }));
    let plain = put_body(&[&good, &unnamed]);
    let packed = gzip(&put_body(&[&good]))?;
    let mut connection = server.connect()?;
    let before = now();
    connection.post("/TraceSegments", &plain)?.success()?;
    let headers = [("Content-Encoding", "gzip"), ("X-Other", "not kept")];
    let answer = connection.request("POST", "/TraceSegments", &headers, &packed)?;
    answer.success()?;
    let targets = br#"{"SamplingStatisticsDocuments":[]}"#;
    connection.post("/SamplingTargets", targets)?.success()?;
    let traces = json!({ "TraceIds": [trace_id] }).to_string();
    connection.post("/Traces", traces.as_bytes())?.success()?;
    let broken = b"{\"TraceSegmentDocuments\":";
    assert_eq!(connection.post("/TraceSegments", broken)?.status, 400);
    // Pages and what is no operation are no calls.
    assert_eq!(server.get("/healthz")?.status, 200);
    assert_eq!(server.post("/Nothing", &json!({}))?.status, 404);
    server.terminate()?;

    let records = read(&folder(&home))?;
    let bodies = [
        &plain,
        &packed,
        &targets[..],
        traces.as_bytes(),
        &broken[..],
    ];
    let paths = [
        "/TraceSegments",
        "/TraceSegments",
        "/SamplingTargets",
        "/Traces",
        "/TraceSegments",
    ];
    let statuses = [200, 200, 200, 200, 400];
    assert_eq!(records.len(), bodies.len(), "{records:?}");
    for (nth, record) in records.iter().enumerate() {
        let call = call(record)?;
        assert_eq!((call.method(), call.path()), ("POST", paths[nth]));
        assert_eq!(call.body(), bodies[nth], "{nth}");
        let answer = call.answer.as_ref().context("an answer")?;
        assert_eq!(answer.status, statuses[nth]);
        assert_eq!(record.door, Door::Api);
        let account = record.account.as_ref().context("an account")?;
        assert_eq!(
            (account.id.as_str(), account.region.as_str()),
            ("000000000000", "us-east-1")
        );
        assert!(record.peer.context("a peer")?.ip().is_loopback());
        let at = record.at.as_secs();
        assert!((u64::from(before)..=u64::from(now())).contains(&at), "{at}");
    }
    let headers: Vec<(&str, &[u8])> = call(&records[1])?.headers().collect();
    assert_eq!(
        headers,
        [("host", &b"localhost"[..]), ("content-encoding", b"gzip")]
    );
    let verdicts = records[0].verdicts.as_ref().context("verdicts")?;
    assert_eq!((verdicts.n_accepted, verdicts.refused.len()), (1, 1));
    assert_eq!(verdicts.refused[0].id.as_deref(), Some("00000000000000a2"));
    assert_eq!(verdicts.refused[0].code, "MissingName");
    let verdicts = records[1].verdicts.as_ref().context("verdicts")?;
    assert_eq!((verdicts.n_accepted, verdicts.refused.len()), (1, 0));
    assert!(records[2..].iter().all(|record| record.verdicts.is_none()));
    Ok(())
}

#[test]
fn spans_are_kept_from_every_door() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "", "")?;
    let unnumbered = spans([0; 8]);
    let mut message = vec![0];
    let packed = spans([3; 8]);
    message.extend(u32::try_from(packed.len())?.to_be_bytes());
    message.extend(&packed);
    let protobuf = "application/x-protobuf";
    let grpc = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let sent = [
        ("http", Door::Api, protobuf, "/v1/traces", spans([1; 8])),
        (
            "otlp_http",
            Door::OtlpHttp,
            protobuf,
            "/v1/traces",
            unnumbered,
        ),
        (
            "otlp_grpc",
            Door::OtlpGrpc,
            "application/grpc",
            grpc,
            message,
        ),
    ];
    for (door, _, content_type, path, body) in &sent {
        let address = server.door(door).context("a door")?;
        let headers = [("Content-Type", *content_type), ("TE", "trailers")];
        let answer = Connection::open(address)?.request("POST", path, &headers, body)?;
        assert_eq!(answer.status, 200, "{door}: {}", answer.text());
    }
    server.terminate()?;
    let records = read(&folder(&home))?;
    assert_eq!(records.len(), sent.len());
    for (record, (_, door, content_type, path, body)) in records.iter().zip(&sent) {
        let call = call(record)?;
        assert_eq!((record.door, call.path()), (*door, *path));
        assert_eq!(call.body(), body);
        let kept = call
            .headers()
            .any(|header| header == ("content-type", content_type.as_bytes()));
        assert!(kept, "{record:?}");
    }
    let verdicts = |nth: usize| -> Result<(u32, Vec<&str>)> {
        let verdicts = records[nth].verdicts.as_ref().context("verdicts")?;
        let codes = verdicts.refused.iter().map(|refusal| refusal.code.as_str());
        Ok((verdicts.n_accepted, codes.collect()))
    };
    assert_eq!(verdicts(0)?, (1, vec![]));
    assert_eq!(verdicts(1)?, (0, vec!["InvalidSpanId"]));
    assert_eq!(verdicts(2)?, (1, vec![]));
    Ok(())
}

#[test]
fn each_datagram_is_kept_with_its_own_verdicts() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "", "[udp]\nbatch_wait = \"500ms\"\n")?;
    let sender = Sender::to(&server)?;
    let trace_id = trace_id(1);
    let header = "{\"format\": \"json\", \"version\": 1}\n";
    let document =
        |id: &str, members: Value| format!("{header}{}", segment(&trace_id, id, &members));
    let sent = [
        document("00000000000000a1", json!({})),
        document("00000000000000a2", json!({ "name": null })),
        "nothing".to_owned(),
        document("00000000000000a3", json!({})),
    ];
    for datagram in &sent {
        sender.send(datagram)?;
    }
    settled(&server, 4)?;
    let port = sender.port()?;
    server.terminate()?;
    let records = read(&folder(&home))?;
    let mut seen = Vec::new();
    for record in &records {
        let Content::Datagram(bytes) = &record.content else {
            anyhow::bail!("no datagram: {record:?}");
        };
        assert_eq!(record.door, Door::Udp);
        assert_eq!(record.peer.context("a peer")?.port(), port);
        assert!(record.account.is_some());
        let verdicts = record.verdicts.as_ref().context("verdicts")?;
        let codes = verdicts.refused.iter().map(|refusal| refusal.code.as_str());
        seen.push((
            bytes.to_vec(),
            verdicts.n_accepted,
            codes.collect::<Vec<_>>(),
        ));
    }
    let [first, second, third, fourth] = sent.map(String::into_bytes);
    let expected = [
        (first, 1, vec![]),
        (second, 0, vec!["MissingName"]),
        (third, 0, vec!["no_header"]),
        (fourth, 1, vec![]),
    ];
    assert_eq!(seen, expected);
    Ok(())
}

#[test]
fn what_was_written_survives_a_kill_and_the_next_start_goes_on() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "block_age = \"10ms\"", "")?;
    for number in 1..=3_u64 {
        let document = segment(&trace_id(1), &format!("{number:016x}"), &json!({}));
        server.put_all(&[document])?;
        written(&server, number)?;
    }
    server.kill9()?;
    assert_eq!(read(&folder(&home))?.len(), 3);
    let server = start(&home, "", "")?;
    server.put_all(&[segment(&trace_id(1), "00000000000000a4", &json!({}))])?;
    server.terminate()?;
    assert_eq!(read(&folder(&home))?.len(), 4);
    Ok(())
}

#[test]
fn accounts_are_told_apart_and_no_credentials_are_kept() -> Result<()> {
    let home = Home::new()?;
    write_keys(&home, KEYS)?;
    let auth = "[auth]\nmode = \"sigv4\"\nkeys = \"keys.toml\"\n[record]\ndir = \"traffic\"\n";
    let server = home.start_with(&home.config(auth)?)?;
    let document = segment(&trace_id(1), "00000000000000a1", &json!({}));
    let body = put_body(&[&document]);
    let signed = ALICE.headers("POST", "/TraceSegments", &body)?;
    let answer = send(&server, "POST", "/TraceSegments", &signed, &body)?;
    answer.success()?;
    let password = STANDARD.encode("AKBOB:bobs secret");
    let basic = format!("Basic {password}");
    let headers = [("Authorization", basic.as_str())];
    let mut connection = server.connect()?;
    let answer = connection.request("POST", "/TraceSegments", &headers, &body)?;
    answer.success()?;
    let lent = Signer {
        session_token: Some("lent token"),
        ..Signer::new("AKLENT", "lent secret")
    };
    lent.put_all(&server, &[document])?;
    // Nobody let these in.
    let stranger = Signer::new("AKALICE", "guessed");
    assert_eq!(
        stranger.post(&server, "/TraceSegments", &json!({}))?.status,
        403
    );
    assert_eq!(server.post("/TraceSegments", &json!({}))?.status, 403);
    assert_eq!(OPERATOR.get(&server, "/metrics")?.status, 200);
    server.terminate()?;

    let records = read(&folder(&home))?;
    let ids = records
        .iter()
        .filter_map(|record| Some(record.account.as_ref()?.id.as_str()));
    assert_eq!(
        ids.collect::<Vec<_>>(),
        ["111111111111", "222222222222", "111111111111"]
    );
    let signature = signed.iter().find(|(name, _)| name == "authorization");
    let (_, signature) = signature.context("a signature")?;
    let signature = signature.split("Signature=").nth(1).context("hex")?;
    let mut everything = Vec::new();
    for record in &records {
        let call = call(record)?;
        everything.extend_from_slice(call.path().as_bytes());
        everything.extend_from_slice(call.body());
        for (name, value) in call.headers() {
            everything.extend([name.as_bytes(), value].concat());
        }
    }
    for entry in fs::read_dir(folder(&home))? {
        everything.extend(fs::read(entry?.path())?);
    }
    let secrets = [
        signature,
        &password,
        "AKALICE",
        "AKBOB",
        "AKLENT",
        "secret",
        "lent token",
    ];
    for secret in secrets {
        let found = everything
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(!found, "{secret} is kept");
    }
    Ok(())
}

/// Returns documents that hardly can be compressed.
fn noisy(random: &mut Random, n_documents: u64) -> Vec<String> {
    let mut document = |number: u64| {
        let noise: Vec<String> = (0..1000)
            .map(|_| format!("{:016x}", random.bits()))
            .collect();
        let members = json!({ "metadata": { "noise": noise.concat() } });
        segment(&trace_id(1), &format!("{number:016x}"), &members)
    };
    (1..=n_documents).map(&mut document).collect()
}

#[test]
fn the_folder_stays_within_its_size() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "max_bytes = \"1MiB\"", "")?;
    let mut random = Random::new(11);
    for _ in 0..40 {
        server.put_all(&noisy(&mut random, 5))?;
    }
    until("files are removed", || {
        let n_removed = figure(&server, "roentgen_record_files_removed_total", &[])?;
        Ok((n_removed > 0).then_some(()))
    })?;
    let (disk, files) = ("roentgen_record_disk_bytes", "roentgen_record_files");
    assert!(figure(&server, disk, &[])? <= 1 << 20);
    let n_files = figure(&server, files, &[])?;
    assert!((2..=10).contains(&n_files), "{n_files}");
    assert_eq!(figure(&server, "roentgen_record_dropped_total", &[])?, 0);
    server.terminate()?;
    let mut n_bytes = 0;
    for entry in fs::read_dir(folder(&home))? {
        n_bytes += entry?.metadata()?.len();
    }
    assert!(n_bytes <= 1 << 20, "{n_bytes}");
    // What is left is the end.
    let records = read(&folder(&home))?;
    assert!((4..40).contains(&records.len()), "{}", records.len());
    Ok(())
}

#[test]
fn a_disk_that_is_full_costs_records_and_no_calls() -> Result<()> {
    if let Some(reason) = disk::missing() {
        eprintln!("not tried: {reason}");
        return Ok(());
    }
    let disk = Ext4::new(32)?;
    let home = Home::new()?;
    let dir = disk.path().join("traffic");
    let record = format!(
        "[record]\ndir = {:?}\nblock_age = \"10ms\"\n",
        dir.display().to_string()
    );
    let config = format!("{record}[storage]\nmin_free_disk = \"0\"\n");
    let server = home.start_with(&home.config(&config)?)?;
    let mut random = Random::new(12);
    let put = |random: &mut Random| server.put_all(&noisy(random, 5));
    put(&mut random)?;
    written(&server, 1)?;
    let ballast = disk.path().join("ballast");
    let mut file = fs::File::create(&ballast)?;
    while file.write_all(&[0x5a; 4096]).is_ok() {}
    drop(file);
    let dropped = || figure(&server, "roentgen_record_dropped_total", &["disk"]);
    until("records are dropped", || {
        put(&mut random)?;
        Ok((dropped()? > 0).then_some(()))
    })?;
    fs::remove_file(&ballast)?;
    let n_written = figure(&server, "roentgen_record_records_total", &[])?;
    until("records are written again", || {
        put(&mut random)?;
        let n_now = figure(&server, "roentgen_record_records_total", &[])?;
        Ok((n_now > n_written).then_some(()))
    })?;
    assert_eq!(server.get("/readyz")?.status, 200);
    server.terminate()?;
    assert!(!read(&dir)?.is_empty());
    Ok(())
}

#[test]
fn a_folder_that_cannot_be_used_stops_the_start() -> Result<()> {
    let home = Home::new()?;
    fs::write(folder(&home), b"a file")?;
    let config = home.config("[record]\ndir = \"traffic\"\n")?;
    let output = home.serve_output(&config)?;
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("record.dir") && text.contains("traffic"),
        "{text}"
    );
    fs::remove_file(folder(&home))?;
    let first = home.start_with(&config)?;
    let other = Home::new()?.with_data(home.folder().join("other"));
    let dir = folder(&home).display().to_string();
    let config = other.config(&format!("[record]\ndir = {dir:?}\n"))?;
    let output = other.serve_output(&config)?;
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("in use"), "{text}");
    first.terminate()?;
    Ok(())
}
