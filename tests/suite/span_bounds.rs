//! The doors of OTLP have bounds: what becomes large in memory, in documents or by inflation is refused and said to be, what
//! exporters send is not, and a store that does not take anything says so in OTLP's words.

mod calls;
mod memory;

use std::io::Write;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use roentgen_tests::disk::{self, Ext4};
use roentgen_tests::http::Wire;
use roentgen_tests::http2::{self, Event, Http2};
use roentgen_tests::process::resident_bytes_max;
use roentgen_tests::wait::{now, until};
use roentgen_tests::{Connection, Home, Response, Server};
use serde_json::{Value, json};

use crate::datagrams::{Sender, figure, settled};
use crate::fixture::{assert_error, segment, trace_id};

const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");
const GRPC: (&str, &str) = ("content-type", "application/grpc");
const GZIP: (&str, &str) = ("grpc-encoding", "gzip");
const INVALID_ARGUMENT: &str = "3";
const UNAVAILABLE: &str = "14";

fn start(home: &Home, config: &str) -> Result<Server> {
    let mut arguments = home.config(config)?.to_vec();
    let doors = [
        ["--otlp-http", "127.0.0.1:0"],
        ["--otlp-grpc", "127.0.0.1:0"],
        ["--udp", "127.0.0.1:0"],
    ];
    arguments.extend(doors.concat().into_iter().map(str::to_owned));
    home.start_with(&arguments)
}

/// Returns a field of protobuf that holds bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut n_bytes = content.len();
    while n_bytes >= 0x80 {
        field.push(u8::try_from(n_bytes % 0x80).unwrap() | 0x80);
        n_bytes /= 0x80;
    }
    field.push(u8::try_from(n_bytes).unwrap());
    field.extend_from_slice(content);
    field
}

/// Returns an attribute whose value is a text.
fn attribute(key: &str, value: &str) -> Vec<u8> {
    let value = field(1, value.as_bytes());
    [field(1, key.as_bytes()), field(2, &value)].concat()
}

/// Returns a span of one second of a trace, with these fields beside.
fn span(trace: u32, id: u64, fields: &[u8]) -> Vec<u8> {
    let start = u64::from(now() - 60) * 1_000_000_000;
    let mut trace_id = vec![0; 16];
    trace_id[..4].copy_from_slice(&EPOCH.to_be_bytes());
    trace_id[12..].copy_from_slice(&trace.to_be_bytes());
    let mut span = [
        field(1, &trace_id),
        field(2, &id.to_be_bytes()),
        field(5, b"work"),
    ]
    .concat();
    for (key, time) in [(0x39, start), (0x41, start + 1_000_000_000)] {
        span.push(key);
        span.extend(time.to_le_bytes());
    }
    span.extend_from_slice(fields);
    span
}

/// Returns a request of spans, or what claims to be some, of one service.
fn request(spans: &[u8], resource: &[u8]) -> Vec<u8> {
    let service = field(1, &attribute("service.name", "shop"));
    let resource = field(1, &[&service, resource].concat());
    field(1, &[resource, field(2, spans)].concat())
}

/// Returns a request of good spans.
fn good(trace: u32, n_spans: u64) -> Vec<u8> {
    let spans = (1..=n_spans).map(|id| field(2, &span(trace, id, b"")));
    request(&spans.collect::<Vec<_>>().concat(), b"")
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// Returns a message of gRPC in its frame.
fn framed(flag: u8, message: &[u8]) -> Result<Vec<u8>> {
    let n_bytes = u32::try_from(message.len())?;
    Ok([&[flag][..], &n_bytes.to_be_bytes(), message].concat())
}

/// Sends a body to a door of spans over HTTP.
fn post(address: SocketAddr, encoding: (&str, &str), body: &[u8]) -> Result<Response> {
    Connection::open(address)?.request("POST", "/v1/traces", &[encoding], body)
}

/// Calls a door of spans over gRPC. What it says at once, as of every call that fails, is said in the head of the answer.
fn call(address: SocketAddr, fields: &[(&str, &str)], body: &[u8]) -> Result<Response> {
    let fields = [&[GRPC], fields].concat();
    Connection::open(address)?.request("POST", GRPC_PATH, &fields, body)
}

fn grpc_door(server: &Server) -> Result<SocketAddr> {
    server.door("otlp_grpc").context("a door")
}

/// Asks the same several times at once and returns all answers.
fn at_once(n_times: usize, ask: impl Fn() -> Result<Response> + Sync) -> Result<Vec<Response>> {
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..n_times).map(|_| scope.spawn(&ask)).collect();
        let joined = asking.into_iter().map(|asking| asking.join().unwrap());
        joined.collect()
    })
}

/// Returns what is refused of a door, newest first.
fn refused(server: &Server, door: &str) -> Result<Vec<Value>> {
    let page = server
        .get(&format!("/api/v1/refused?door={door}"))?
        .success()?;
    page["refused"].as_array().cloned().context("a list")
}

/// Fails if the server has ever held much more than before.
fn assert_grown(server: &Server, before: u64, most: u64, what: &str) -> Result<()> {
    let grown = resident_bytes_max(server.pid())?.saturating_sub(before);
    eprintln!(
        "{what}: memory grew by {} MiB, {} at most",
        grown >> 20,
        most >> 20
    );
    assert!(
        grown < most,
        "{what}: memory grew by {grown} bytes, {most} at most"
    );
    Ok(())
}

/// Every document repeats the resource of its span.
#[test]
fn a_large_resource_is_repeated_within_bounds() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "[otlp]\ndocuments_bytes = \"8MiB\"\n")?;
    let repeated = |n_resource_bytes: usize, n_spans: u64, trace: u32| {
        let fill = field(1, &attribute("fill", &"x".repeat(n_resource_bytes)));
        let spans = (1..=n_spans).map(|id| field(2, &span(trace, id, b"")));
        request(&spans.collect::<Vec<_>>().concat(), &fill)
    };
    server.put_all(&[segment(&trace_id(9), "00000000000000a1", &json!({}))])?;
    let before = resident_bytes_max(server.pid())?;
    let body = repeated(60_000, 3000, 1);
    assert!(body.len() < 300_000);
    let http = server.door("otlp_http").context("a door")?;
    for answer in at_once(4, || post(http, PROTOBUF, &body))? {
        assert_eq!(answer.status, 200);
        assert!(
            answer.text().contains("documents of the request's spans"),
            "{}",
            answer.text()
        );
    }
    let made = |door: &str| -> Result<(u64, u64)> {
        let accepted = figure(&server, "roentgen_documents_accepted_total", &[door])?;
        let labels = [door, "DocumentsTooLarge"];
        Ok((
            accepted,
            figure(&server, "roentgen_documents_refused_total", &labels)?,
        ))
    };
    let (accepted, refused) = made("otlp-http")?;
    assert_eq!(accepted + refused, 4 * 3000);
    // Each document has the resource once or twice.
    let most = 4 * (8 << 20) / 60_000;
    assert!((most / 3..=most).contains(&accepted), "{accepted}");

    let sender = Sender::to(&server)?;
    let n_datagrams = 20;
    for number in 0..n_datagrams {
        let request = repeated(20_000, 500, 100 + number);
        let payload = format!(
            "{{\"format\":\"json\",\"version\":1}}\nT1S{}",
            STANDARD.encode(request)
        );
        sender.send(payload)?;
        settled(&server, u64::from(number) + 1)?;
    }
    until("all spans are accounted for", || {
        let (accepted, refused) = made("udp")?;
        Ok((accepted + refused == u64::from(n_datagrams) * 500).then_some(()))
    })?;
    let (accepted, refused) = made("udp")?;
    let most = u64::from(n_datagrams) * (4 << 20) / 20_000;
    assert!(accepted <= most && refused > 0, "{accepted} {refused}");
    // What is made at once, some times over, is little beside what all of it would be: 720 MB and 200 MB.
    assert_grown(&server, before, 160 << 20, "documents")
}

#[test]
fn a_call_larger_than_the_rate_is_taken_and_made_up_for() -> Result<()> {
    let home = Home::new()?;
    let config = "[limits]\nsegments_per_second = 100\n[storage]\nqueue_wait = \"100ms\"\n";
    let server = start(&home, config)?;
    let http = server.door("otlp_http").context("a door")?;
    let answer = post(http, PROTOBUF, &good(1, 512))?;
    assert_eq!(
        (answer.status, answer.body.len()),
        (200, 0),
        "{}",
        answer.text()
    );
    let answer = post(http, PROTOBUF, &good(2, 1))?;
    assert_eq!(answer.status, 429, "{}", answer.text());
    let retry_after: u32 = answer.header("retry-after").context("when")?.parse()?;
    // Five seconds' worth came, and two are a burst.
    assert!((1..=4).contains(&retry_after), "{retry_after}");
    let answer = call(grpc_door(&server)?, &[], &framed(0, &good(2, 1))?)?;
    assert_eq!(answer.header("grpc-status"), Some(UNAVAILABLE));
    assert!(answer.header("grpc-status-details-bin").is_some());
    for (door, n_accepted, n_refused) in [("otlp-http", 512, 1), ("otlp-grpc", 0, 1)] {
        let accepted = figure(&server, "roentgen_documents_accepted_total", &[door])?;
        let labels = [door, "ThrottledException"];
        let refused = figure(&server, "roentgen_documents_refused_total", &labels)?;
        assert_eq!((accepted, refused), (n_accepted, n_refused), "{door}");
    }
    until("the rate is made up for", || {
        Ok((post(http, PROTOBUF, &good(2, 1))?.status == 200).then_some(()))
    })
}

#[test]
fn figures_tell_calls_and_doors() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "")?;
    let grpc = grpc_door(&server)?;
    let http = server.door("otlp_http").context("a door")?;
    let lost = request(&[field(2, b""), field(2, &span(1, 1, b""))].concat(), b"");
    for _ in 0..2 {
        call(grpc, &[], &framed(0, &lost)?)?;
    }
    post(http, PROTOBUF, &lost)?;
    call(grpc, &[], &framed(0, b"\xff")?)?;
    call(grpc, &[("grpc-encoding", "br")], &framed(1, b"")?)?;
    let check = |name: &str, labels: &[&str], expected: u64| -> Result<()> {
        assert_eq!(
            figure(&server, name, labels)?,
            expected,
            "{name} {labels:?}"
        );
        Ok(())
    };
    let requests = "roentgen_requests_total";
    check(requests, &["ExportTraces", "code=\"OK\""], 3)?;
    check(
        requests,
        &["ExportTraces", "code=\"InvalidRequestException\""],
        1,
    )?;
    check(requests, &["ExportTraces", "code=\"UNIMPLEMENTED\""], 1)?;
    check(
        "roentgen_request_duration_seconds_count",
        &["ExportTraces"],
        5,
    )?;
    for (door, n_calls) in [("door=\"otlp-grpc\"", 2), ("door=\"otlp-http\"", 1)] {
        check("roentgen_documents_accepted_total", &[door], n_calls)?;
        let labels = [door, "code=\"InvalidTraceId\""];
        check("roentgen_documents_refused_total", &labels, n_calls)?;
        let labels = [door, "reason=\"InvalidTraceId\""];
        check("roentgen_refused_total", &labels, n_calls)?;
    }
    let labels = ["door=\"otlp-grpc\"", "reason=\"InvalidRequestException\""];
    check("roentgen_refused_total", &labels, 2)
}

#[test]
fn a_store_that_takes_nothing_says_so() -> Result<()> {
    if let Some(reason) = disk::missing() {
        eprintln!("not tried: {reason}");
        return Ok(());
    }
    let disk = Ext4::new(256)?;
    let home = Home::new()?.with_data(disk.path().join("data"));
    let config = "[storage]\nmax_disk = 0\nmin_free_disk = \"12MiB\"\npartition_bytes = \"1GiB\"\n";
    let server = start(&home, config)?;
    let http = server.door("otlp_http").context("a door")?;
    assert_eq!(post(http, PROTOBUF, &good(1, 1))?.status, 200);
    assert_eq!(server.get("/readyz")?.status, 200);
    let ballast = disk.path().join("ballast");
    let mut file = std::fs::File::create(&ballast)?;
    let block = vec![0x5a; 64 * 1024];
    while disk.free_bytes()? > 8 << 20 && file.write_all(&block).is_ok() {}
    file.sync_all()?;
    drop(file);
    let refusal = until("spans are refused", || {
        let answer = post(http, PROTOBUF, &good(2, 1))?;
        Ok((answer.status != 200).then_some(answer))
    })?;
    assert_eq!(refusal.status, 503, "{}", refusal.text());
    assert!(
        refusal
            .header("retry-after")
            .context("when")?
            .parse::<u32>()?
            > 0
    );
    assert_eq!(refusal.header("content-type"), Some(PROTOBUF.1));
    let refusal = call(grpc_door(&server)?, &[], &framed(0, &good(2, 1))?)?;
    assert_eq!(refusal.header("grpc-status"), Some(UNAVAILABLE));
    assert!(refusal.header("grpc-status-details-bin").is_some());
    assert_eq!(server.get("/readyz")?.status, 503);
    assert_eq!(server.get("/healthz")?.status, 200);
    std::fs::remove_file(&ballast)?;
    until("spans are taken again", || {
        Ok((post(http, PROTOBUF, &good(2, 1))?.status == 200).then_some(()))
    })?;
    until("the server is ready", || {
        Ok((server.get("/readyz")?.status == 200).then_some(()))
    })
}

/// Pages of which not a byte is asked for once they have begun: those for which there is no place are not begun.
#[test]
fn answers_nobody_takes_hold_no_more_than_their_room() -> Result<()> {
    let home = Home::new()?;
    let config = "[http]\nbody_bytes = \"1MiB\"\nbodies_in_flight = \"16MiB\"\n[query]\npage_bytes = \"1MiB\"\n\
                  [storage]\nqueue_wait = \"50ms\"\n";
    let server = start(&home, config)?;
    let trace_ids: Vec<String> = (1..=5).map(trace_id).collect();
    let fill = json!({ "metadata": { "default": { "fill": "x".repeat(60_000) } } });
    for trace_id in &trace_ids {
        let document = |number: u32| segment(trace_id, &format!("{number:016x}"), &fill);
        server.put_all(&(1..=4).map(document).collect::<Vec<_>>())?;
    }
    let request = json!({ "TraceIds": trace_ids });
    let page = server.post("/Traces", &request)?;
    assert_eq!(page.status, 200);
    assert!(page.body.len() > 4 * TRACE_BYTES);
    let request = request.to_string();
    let before = resident_bytes_max(server.pid())?;
    let mut held = Vec::new();
    let mut n_pages = 0;
    for _ in 0..N_CONNECTIONS {
        let window = [(http2::INITIAL_WINDOW_SIZE, 0)];
        let mut http2 = Http2::open(Wire::open(server.address())?, &window)?;
        for _ in 0..N_STREAMS {
            let stream = http2.start("POST", "/Traces", false)?;
            http2.data(stream, request.as_bytes(), true)?;
        }
        let mut n_begun = 0;
        while n_begun < N_STREAMS {
            match http2.event()? {
                Event::Answer(stream) => {
                    n_begun += 1;
                    n_pages += usize::from(http2.status(stream) == Some(200));
                }
                Event::Closed => anyhow::bail!("closed after {n_begun} answers"),
                Event::GoAway(_) | Event::Other => {}
            }
        }
        held.push(http2);
    }
    // A quarter of the room is for one address.
    let n_pages_max = (16 << 20) / 4 / TRACE_BYTES;
    assert!((1..=n_pages_max).contains(&n_pages), "{n_pages} pages");
    // Half of what a trace for each stream would be.
    let most = u64::try_from(N_CONNECTIONS * N_STREAMS * TRACE_BYTES)? / 2;
    assert_grown(&server, before, most, "answers")?;
    let busy = server.post("/Traces", &json!({ "TraceIds": trace_ids }))?;
    assert_error(&busy, 429, "ThrottledException")?;
    drop(held);
    until("pages are made again", || {
        let page = server.post("/Traces", &json!({ "TraceIds": trace_ids }))?;
        Ok((page.status == 200).then_some(()))
    })
}

/// What the ids of traces begin with.
const EPOCH: u32 = 0x5b8e_fff7;
const N_CONNECTIONS: usize = 8;
const N_STREAMS: usize = 80;
const TRACE_BYTES: usize = 4 * 60_000;
