//! Connections: several doors, both versions of HTTP, and places that whoever says nothing cannot hold against the others.

use std::net::{IpAddr, Shutdown, SocketAddr};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use roentgen_tests::http::Wire;
use roentgen_tests::http2::{self, Event, Http2};
use roentgen_tests::wait::until;
use roentgen_tests::{Connection, Home, Server, process};
use serde_json::json;

use crate::fixture::{segment, trace_id};

const EMPTY: &[u8] = b"{\"TraceSegmentDocuments\":[]}";

/// What a client does that means no good, or cannot do better.
#[derive(Clone, Copy, Debug)]
enum Trick {
    Silence,
    /// These bytes and no more.
    Say(&'static [u8]),
    /// These bytes, and the word that nothing more will come.
    Leave(&'static [u8]),
    /// A whole request first.
    Charm(&'static [u8]),
    /// A head that does not end.
    Babble,
}

const TRICKS: [Trick; 9] = [
    Trick::Silence,
    Trick::Say(b"P"),
    Trick::Say(b"POST /Traces HTTP/1.1\r\nHost: x\r\nContent-"),
    Trick::Leave(b"POST /Traces HTTP/1.1\r\nHost"),
    Trick::Say(b"\x00\xff\x80garbage\r\n\r\n"),
    Trick::Charm(b"GET /"),
    Trick::Say(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    Trick::Say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Trick::Babble,
];

impl Trick {
    /// Does it; that the server has closed the connection by then is fine.
    fn play(self, wire: &mut Wire) {
        use std::io::Write;
        let _ = match self {
            Self::Silence => Ok(()),
            Self::Say(bytes) => wire.write_all(bytes),
            Self::Leave(bytes) => wire
                .write_all(bytes)
                .and_then(|()| wire.stream().shutdown(Shutdown::Write)),
            Self::Charm(bytes) => complete_one(wire).and_then(|()| wire.write_all(bytes)),
            Self::Babble => wire
                .write_all(b"GET / HTTP/1.1\r\nX: ")
                .and_then(|()| wire.write_all(&vec![b'x'; 100_000])),
        };
    }
}

/// Sends a request and waits for the first bytes of its answer.
fn complete_one(wire: &mut Wire) -> std::io::Result<()> {
    use std::io::{Read, Write};
    wire.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")?;
    let mut start = [0; 1024];
    wire.read(&mut start).map(drop)
}

/// Opens so many connections, each with the next of the tricks, and holds them.
fn flood(
    address: SocketAddr,
    from: IpAddr,
    tricks: &'static [Trick],
    n_connections: usize,
) -> JoinHandle<Result<Vec<Wire>>> {
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for trick in tricks.iter().cycle().take(n_connections) {
            let mut wire = Wire::open_from(from, address)?;
            trick.play(&mut wire);
            held.push(wire);
        }
        Ok(held)
    })
}

fn loopback(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

/// Returns a figure of `/metrics`, 0 if it was never counted.
fn figure(server: &Server, name: &str) -> Result<u64> {
    let metrics = server.metrics()?;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(Ok(0), |value| value.parse().context("a figure"))
}

/// Returns how many connections that waited for this made room.
fn evicted(server: &Server, reason: &str) -> Result<u64> {
    let name = format!("roentgen_connections_evicted_total{{reason=\"{reason}\"}}");
    figure(server, &name)
}

/// Fails unless a new connection takes a request.
fn assert_serves(server: &Server) -> Result<()> {
    let answer = server.connect()?.post("/TraceSegments", EMPTY)?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    Ok(())
}

#[test]
fn both_versions_of_http_are_spoken_at_the_same_address() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    assert_serves(&server)?;
    let mut http2 = Http2::open(Wire::open(server.address())?, &[])?;
    let trace_id = trace_id(1);
    for number in 0..3_u32 {
        let document = segment(&trace_id, &format!("{number:016x}"), &json!({}));
        let body = json!({ "TraceSegmentDocuments": [document] }).to_string();
        let answer = http2.post("/TraceSegments", body.as_bytes())?;
        assert_eq!((answer.status, answer.reset), (200, None));
        assert_eq!(answer.body, b"{\"UnprocessedTraceSegments\":[]}");
    }
    assert_eq!(server.documents(&trace_id)?.len(), 3);
    assert_eq!(http2.get("/healthz")?.status, 200);
    assert_eq!(http2.post("/Traces", b"{")?.status, 400);
    Ok(())
}

#[test]
fn requests_of_one_http2_connection_are_served_side_by_side() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let mut http2 = Http2::open(Wire::open(server.address())?, &[])?;
    let stuck = http2.start("POST", "/TraceSegments", false)?;
    for _ in 0..20 {
        assert_eq!(http2.post("/TraceSegments", EMPTY)?.status, 200);
    }
    http2.data(stuck, EMPTY, true)?;
    assert_eq!(http2.finish(stuck)?.status, 200);
    Ok(())
}

#[test]
fn doors_are_announced_and_share_the_server() -> Result<()> {
    let home = Home::new()?;
    let arguments = ["--otlp-http", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0"];
    let server = home.start_with(&arguments)?;
    assert_eq!(server.ready()["tls"], false);
    for door in ["http", "otlp_http", "otlp_grpc"] {
        let address = server.door(door).context("an open door")?;
        let mut http2 = Http2::open(Wire::open(address)?, &[])?;
        assert_eq!(http2.get("/healthz")?.status, 200, "{door}");
        let healthy = Connection::open(address)?.request("GET", "/healthz", &[], b"")?;
        assert_eq!(healthy.status, 200, "{door}");
    }
    assert!(server.terminate()?.success());
    let server = home.start()?;
    assert_eq!(
        (server.door("otlp_http"), server.door("otlp_grpc")),
        (None, None)
    );
    Ok(())
}

#[test]
fn a_door_that_was_asked_for_and_cannot_open_stops_the_start() -> Result<()> {
    let home = Home::new()?;
    let holder = std::net::TcpListener::bind("127.0.0.1:0")?;
    let taken = holder.local_addr()?.to_string();
    for flag in ["--listen", "--otlp-http", "--otlp-grpc"] {
        let output = home.serve_output(&[flag, &taken])?;
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        let expected = format!(
            "address {taken} is already in use: stop the other server or choose another with {flag}"
        );
        assert!(message.contains(&expected), "{message}");
    }
    let config = home.config(&format!("[server]\notlp_http = {taken:?}\n"))?;
    let mut command = home.command();
    let arguments = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--udp",
        "off",
        "--otlp-grpc",
        "off",
    ];
    let output = command.args(arguments).args(config).output()?;
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}",
        process::describe(&output)
    );
    Ok(())
}

#[test]
fn whoever_opens_a_door_to_everybody_is_warned() -> Result<()> {
    let warning = "whoever reaches this address may read and change everything";
    let home = Home::new()?;
    let server = home.start_with(&["--listen", "0.0.0.0:0"])?;
    assert!(server.log().contains(warning), "{}", server.log());
    drop(server);
    let home = Home::new()?;
    let server = home.start()?;
    assert!(!server.log().contains(warning), "{}", server.log());
    Ok(())
}

#[test]
fn thousands_that_say_little_keep_nobody_out() -> Result<()> {
    process::raise_open_files();
    let home = Home::new()?;
    let server = home.start_with(&home.config("[http]\nconnections_per_peer = 512\n")?)?;
    assert_serves(&server)?;
    let before = server.resident_bytes()?;
    // Of the same address as the client that means well.
    let floods: Vec<_> = (0..3)
        .map(|_| flood(server.address(), loopback(1), &TRICKS, 900))
        .collect();
    let mut n_served = 0;
    while n_served < 100 || floods.iter().any(|flood| !flood.is_finished()) {
        assert_serves(&server)?;
        n_served += 1;
    }
    let mut held = Vec::new();
    for flood in floods {
        held.extend(flood.join().unwrap()?);
    }
    assert!(figure(&server, "roentgen_connections_open")? <= 512 + 1);
    let evicted = evicted(&server, "first_request")?;
    assert!(evicted > 100, "{evicted}");
    assert!(server.log().contains("too many connections"));
    drop(held);
    until("the connections are gone", || {
        Ok((figure(&server, "roentgen_connections_open")? == 1).then_some(()))
    })?;
    let grown = server.resident_bytes()?.saturating_sub(before);
    assert!(grown < 100 << 20, "memory grew by {grown} bytes");
    Ok(())
}

#[test]
fn other_addresses_do_not_cost_a_client_its_idle_connection() -> Result<()> {
    let home = Home::new()?;
    let config = "[http]\nconnections = 60\nconnections_per_peer = 40\n";
    let server = home.start_with(&home.config(config)?)?;
    let mut kept = server.connect()?;
    kept.post("/TraceSegments", EMPTY)?.success()?;
    // They complete a request each, so that their connections are worth as much as the one that is kept.
    let charm: &[Trick] = &[Trick::Charm(b"")];
    let floods: Vec<_> = (2..5)
        .map(|last| flood(server.address(), loopback(last), charm, 100))
        .collect();
    let mut held = Vec::new();
    for flood in floods {
        held.extend(flood.join().unwrap()?);
    }
    kept.post("/TraceSegments", EMPTY)?.success()?;
    // Of 301, 60 are open.
    let evicted = evicted(&server, "idle")? + evicted(&server, "first_request")?;
    assert!(evicted >= 241, "{evicted}");
    Ok(())
}

const HALF_A_BODY: &[u8] =
    b"POST /TraceSegments HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"Trace";

#[test]
fn bodies_that_stop_give_up_their_places() -> Result<()> {
    let home = Home::new()?;
    let server = home.start_with(&home.config("[http]\nconnections_per_peer = 16\n")?)?;
    let started = Instant::now();
    let mut held = Vec::new();
    until(
        "a body that stopped has given up its place to another one",
        || {
            let mut wire = Wire::open_from(loopback(2), server.address())?;
            // One too many is turned away as long as the others have not stopped for long.
            Trick::Say(HALF_A_BODY).play(&mut wire);
            held.push(wire);
            Ok((evicted(&server, "stalled")? > 0).then_some(()))
        },
    )?;
    // http.body_timeout was not what ended them.
    assert!(started.elapsed() < Duration::from_secs(25));
    drop(held);
    Ok(())
}

#[test]
fn bodies_that_are_to_become_large_take_no_more_than_their_room() -> Result<()> {
    use std::io::Write;
    let home = Home::new()?;
    let config = "[http]\nbodies_in_flight = \"33MiB\"\n[storage]\ncache = \"16MiB\"\n";
    let server = home.start_with(&home.config(config)?)?;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![b' '; 15 << 20])?;
    let bomb = encoder.finish()?;
    let head = format!(
        "POST /TraceSegments HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        bomb.len()
    );
    let request = [head.as_bytes(), &bomb].concat();
    let mut senders = Vec::new();
    for _ in 0..60 {
        let mut wire = Wire::open(server.address())?;
        wire.write_all(&request)?;
        senders.push(wire);
    }
    for wire in senders {
        let answer = Connection::over(wire).receive_or_closed()?;
        let status = answer.context("an answer")?.status;
        assert!(status == 400 || status == 429, "{status}");
    }
    let most = process::resident_bytes_max(server.pid())?;
    assert!(most < 300 << 20, "{most} bytes");
    assert_serves(&server)
}

#[test]
fn one_too_many_is_turned_away_while_all_others_are_served() -> Result<()> {
    use std::io::Write;
    let home = Home::new()?;
    let server = home.start_with(&home.config("[http]\nconnections_per_peer = 2\n")?)?;
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut wire = Wire::open_from(loopback(2), server.address())?;
        wire.write_all(
            b"POST /TraceSegments HTTP/1.1\r\nHost: x\r\nContent-Length: 16000000\r\n\r\n",
        )?;
        busy.push(wire);
    }
    until("both requests are under way", || {
        // The third is the question itself.
        Ok((figure(&server, "roentgen_requests_in_flight")? == 3).then_some(()))
    })?;
    until("one is turned away", || {
        for wire in &mut busy {
            // Less would not keep the place.
            wire.write_all(&[b' '; 2048])?;
        }
        let mut connection = Connection::over(Wire::open_from(loopback(2), server.address())?);
        assert!(connection.receive_or_closed()?.is_none());
        let refused = figure(
            &server,
            "roentgen_connections_refused_total{reason=\"peer\"}",
        )?;
        Ok((refused > 0).then_some(()))
    })?;
    assert_serves(&server)
}

#[test]
fn heads_have_bounds() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let long = format!("X: {}\r\n", "x".repeat(100_000));
    let many = "X: x\r\n".repeat(101);
    for fields in [long, many] {
        let mut connection = server.connect()?;
        let head = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        // The server may close before all is sent.
        let _ = connection.send(head.as_bytes());
        if let Some(answer) = connection.receive_or_closed()? {
            assert_eq!(answer.status, 431, "{}", answer.text());
        }
    }
    assert_serves(&server)
}

#[test]
fn pings_do_not_keep_an_http2_connection_that_asks_nothing() -> Result<()> {
    let home = Home::new()?;
    let server = home.start_with(&home.config("[http]\nidle_timeout = \"500ms\"\n")?)?;
    let mut http2 = Http2::open(Wire::open(server.address())?, &[])?;
    assert_eq!(http2.get("/healthz")?.status, 200);
    let started = Instant::now();
    let mut reason = None;
    loop {
        let _ = http2.ping();
        match http2.event()? {
            Event::Closed => break,
            Event::GoAway(code) => reason = Some(code),
            Event::Answer(_) | Event::Other => {}
        }
        assert!(started.elapsed() < Duration::from_secs(30));
    }
    assert_eq!(reason, Some(http2::NO_ERROR));
    Ok(())
}

#[test]
fn an_http2_body_that_stops_is_given_up() -> Result<()> {
    let home = Home::new()?;
    let server = home.start_with(&home.config("[http]\nbody_timeout = \"200ms\"\n")?)?;
    let mut http2 = Http2::open(Wire::open(server.address())?, &[])?;
    let stream = http2.start("POST", "/TraceSegments", false)?;
    http2.data(stream, b"{", false)?;
    let answer = http2.finish(stream)?;
    let text = String::from_utf8_lossy(&answer.body);
    assert!(text.contains("the body did not arrive"), "{text}");
    assert_eq!(http2.get("/healthz")?.status, 200);
    Ok(())
}

/// Puts a trace whose page has about three megabytes, and returns the request for it.
fn put_large(server: &Server) -> Result<String> {
    let trace_id = trace_id(1);
    let fill = json!({ "metadata": { "default": { "fill": "x".repeat(60_000) } } });
    let documents: Vec<String> = (0..50)
        .map(|number| segment(&trace_id, &format!("{number:016x}"), &fill))
        .collect();
    server.put_all(&documents)?;
    Ok(json!({ "TraceIds": [trace_id] }).to_string())
}

#[test]
fn an_http2_answer_nobody_reads_is_given_up() -> Result<()> {
    let home = Home::new()?;
    let server = home.start_with(&home.config("[http]\nidle_timeout = \"500ms\"\n")?)?;
    let request = put_large(&server)?;
    let window = [(http2::INITIAL_WINDOW_SIZE, 0)];
    let mut http2 = Http2::open(Wire::open(server.address())?, &window)?;
    let stream = http2.start("POST", "/Traces", false)?;
    http2.data(stream, request.as_bytes(), true)?;
    let mut has_begun = false;
    loop {
        match http2.event()? {
            Event::Answer(of) => has_begun |= of == stream,
            Event::Closed => break,
            Event::GoAway(_) | Event::Other => {
                // Anything but silence: the answer is what is not taken.
                let _ = http2.ping();
            }
        }
    }
    assert!(has_begun);
    until("the request has ended", || {
        Ok((figure(&server, "roentgen_requests_in_flight")? == 1).then_some(()))
    })
}

#[test]
fn requests_that_are_taken_back_at_once_cost_little() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let request = put_large(&server)?;
    let before = server.resident_bytes()?;
    for _ in 0..3 {
        let mut http2 = Http2::open(Wire::open(server.address())?, &[])?;
        for _ in 0..1000 {
            // The server may have had enough.
            let Ok(stream) = http2.start("POST", "/Traces", false) else {
                break;
            };
            let _ = http2.data(stream, request.as_bytes(), true);
            let _ = http2.reset(stream);
        }
        assert_serves(&server)?;
    }
    until("no request is under way", || {
        Ok((figure(&server, "roentgen_requests_in_flight")? == 1).then_some(()))
    })?;
    let grown = server.resident_bytes()?.saturating_sub(before);
    assert!(grown < 200 << 20, "memory grew by {grown} bytes");
    Ok(())
}

#[test]
fn a_stop_does_not_wait_for_those_that_say_nothing() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let idle: &[Trick] = &[
        Trick::Silence,
        Trick::Charm(b""),
        Trick::Say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        Trick::Say(b"POST /Traces HTTP/1.1\r\nHost"),
    ];
    let _held = flood(server.address(), loopback(1), idle, 30)
        .join()
        .unwrap()?;
    let started = Instant::now();
    assert!(server.terminate()?.success());
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "{:?}",
        started.elapsed()
    );
    Ok(())
}
