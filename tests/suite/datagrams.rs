//! The door of datagrams: what X-Ray SDKs send is stored, what is not is counted, and a stop loses nothing.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use roentgen_tests::process::{describe, terminate};
use roentgen_tests::wait::until;
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

use crate::fixture::{segment, subsegment, trace_id, with_id};

/// Starts a server that takes datagrams, with a configuration.
pub(crate) fn start(home: &Home, toml: &str) -> Result<Server> {
    let config = home.config(toml)?;
    home.start_with(&[&config[0], &config[1], "--udp", "127.0.0.1:0"])
}

/// A sender of datagrams to one server.
pub(crate) struct Sender {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Sender {
    pub(crate) fn to(server: &Server) -> Result<Self> {
        let address = server.ready()["udp"]
            .as_str()
            .context("no udp in the line")?;
        Ok(Self {
            socket: UdpSocket::bind("127.0.0.1:0")?,
            address: address.parse()?,
        })
    }

    pub(crate) fn port(&self) -> Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    pub(crate) fn send(&self, datagram: impl AsRef<[u8]>) -> Result<()> {
        self.socket.send_to(datagram.as_ref(), self.address)?;
        Ok(())
    }

    /// Sends a document below the header every SDK writes.
    pub(crate) fn send_document(&self, document: &str) -> Result<()> {
        self.send(format!("{HEADER}\n{document}"))
    }
}

/// Returns the sum of a figure over its labels, of those that have all these.
pub(crate) fn figure(server: &Server, name: &str, labels: &[&str]) -> Result<u64> {
    let metrics = server.metrics()?;
    let lines = metrics.lines().filter_map(|line| {
        let (key, value) = line.rsplit_once(' ')?;
        let (figure, rest) = key.split_once('{').unwrap_or((key, ""));
        let is_meant = figure == name && labels.iter().all(|label| rest.contains(label));
        is_meant.then_some(value)
    });
    let values: Vec<u64> = lines.map(str::parse).collect::<Result<_, _>>()?;
    Ok(values.iter().sum())
}

/// Waits until so many datagrams came in or were dropped by the system, and none of them waits any more.
pub(crate) fn settled(server: &Server, n_sent: u64) -> Result<()> {
    until("all datagrams are accounted for", || {
        let received = figure(server, "roentgen_datagrams_received_total", &[])?;
        let kernel_dropped = figure(server, "roentgen_datagrams_kernel_dropped_total", &[])?;
        let queued = figure(server, "roentgen_datagrams_queue_bytes", &[])?;
        anyhow::ensure!(received + kernel_dropped <= n_sent, "more than was sent");
        Ok((received + kernel_dropped == n_sent && queued == 0).then_some(()))
    })
}

/// Returns how many datagrams were dropped, by reason.
fn dropped(server: &Server) -> Result<BTreeMap<String, u64>> {
    let metrics = server.metrics()?;
    let mut by_reason = BTreeMap::new();
    for line in metrics.lines() {
        let of_reason = line.strip_prefix("roentgen_datagrams_dropped_total{reason=\"");
        let Some((reason, value)) = of_reason.and_then(|rest| rest.split_once("\"} ")) else {
            continue;
        };
        by_reason.insert(reason.to_owned(), value.parse()?);
    }
    Ok(by_reason)
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/udp-datagrams")
}

/// Returns the entity with this id, at any depth: subsegments are shown below their parents.
fn find<'a>(entities: &'a [Value], id: &str) -> Option<&'a Value> {
    entities.iter().find_map(|entity| {
        if entity["id"] == id {
            return Some(entity);
        }
        find(entity["subsegments"].as_array()?, id)
    })
}

#[test]
fn recorded_datagrams_are_stored() -> Result<()> {
    if !folder().is_dir() {
        eprintln!("not tried: there are no recordings beside the project");
        return Ok(());
    }
    let home = Home::new()?;
    let server = start(&home, "")?;
    let sender = Sender::to(&server)?;
    let mut documents: Vec<Value> = Vec::new();
    let mut n_sent = 0;
    for entry in std::fs::read_dir(folder())? {
        let datagrams: Vec<String> =
            serde_json::from_str(&std::fs::read_to_string(entry?.path())?)?;
        for datagram in &datagrams {
            sender.send(datagram)?;
            n_sent += 1;
            let (_, payload) = datagram.split_once('\n').context("a header line")?;
            // Spans are looked for in a test of their own.
            documents.extend(serde_json::from_str::<Value>(payload).ok());
        }
    }
    settled(&server, n_sent)?;
    assert_eq!(dropped(&server)?, BTreeMap::new());
    let accepted = figure(&server, "roentgen_documents_accepted_total", &["udp"])?;
    assert!(accepted >= n_sent, "{accepted} of {n_sent} datagrams");
    assert!(documents.len() > 20, "only {} documents", documents.len());
    for document in documents {
        let trace_id = document["trace_id"].as_str().context("a trace id")?;
        let stored = server.documents(trace_id)?;
        let id = document["id"].as_str().context("an id")?;
        let found = find(&stored, id).with_context(|| format!("no {id} in {stored:?}"))?;
        assert_eq!(found["name"], document["name"]);
    }
    Ok(())
}

#[test]
fn what_is_no_datagram_of_an_sdk_is_counted_by_its_reason() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "")?;
    let sender = Sender::to(&server)?;
    let document = |number: u32| segment(&trace_id(number), "00000000000000a1", &json!({}));
    let stored = [
        format!("{HEADER}\n{}", document(1)),
        format!(
            "{{\"format\": \"json\", \"version\": 1}}\n{}\n",
            document(2)
        ),
        format!(
            "{{\"version\":1,\"format\":\"JSON\",\"x\":[]}}\r\n\n {} \n\n",
            document(3)
        ),
    ];
    let not_taken: [(&[u8], &str); 12] = [
        (b"", "no_header"),
        (b"garbage", "no_header"),
        (HEADER.as_bytes(), "no_header"),
        (b"\n", "invalid_header"),
        (b"{}\n{}", "invalid_header"),
        (b"\x00\xff\n\x00", "invalid_header"),
        (b"{\"format\":\"xml\",\"version\":1}\n{}", "unknown_format"),
        (
            b"{\"format\":\"json\",\"version\":2}\n{}",
            "unknown_version",
        ),
        (b"{\"format\":\"json\",\"version\":1}\n", "no_document"),
        (b"{\"format\":\"json\",\"version\":1}\n \n", "no_document"),
        (
            b"{\"format\":\"json\",\"version\":1}\n{\"a\":\"\xff\"}",
            "not_utf8",
        ),
        (
            b"{\"format\":\"json\",\"version\":1}\nT1S???",
            "invalid_base64",
        ),
    ];
    let mut n_sent = 0;
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    for datagram in &stored {
        sender.send(datagram)?;
        n_sent += 1;
    }
    for (datagram, reason) in not_taken {
        sender.send(datagram)?;
        n_sent += 1;
        *expected.entry(reason.to_owned()).or_default() += 1;
    }
    // A document that is none is refused like any other.
    sender.send_document("{\"id\":\"00000000000000a2\"")?;
    sender.send_document("no json")?;
    settled(&server, n_sent + 2)?;
    assert_eq!(dropped(&server)?, expected);
    let refused = "roentgen_documents_refused_total";
    assert_eq!(figure(&server, refused, &["udp", "InvalidSegment"])?, 2);
    let accepted = "roentgen_documents_accepted_total";
    assert_eq!(figure(&server, accepted, &["udp"])?, 3);
    for number in 1..=3 {
        assert_eq!(server.documents(&trace_of(&document(number))?)?.len(), 1);
    }
    Ok(())
}

fn trace_of(document: &str) -> Result<String> {
    let document: Value = serde_json::from_str(document)?;
    Ok(document["trace_id"]
        .as_str()
        .context("a trace id")?
        .to_owned())
}

#[test]
fn spans_in_datagrams_are_stored() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "")?;
    let sender = Sender::to(&server)?;
    sender.send_document(&format!("T1S{SPANS}"))?;
    sender.send_document("T1SAAAA")?;
    settled(&server, 2)?;
    let stored = server.documents(SPANS_TRACE)?;
    assert_eq!(stored.len(), 1, "{stored:?}");
    assert_eq!(stored[0]["name"], "adot-lambda");
    assert_eq!(
        dropped(&server)?,
        BTreeMap::from([("invalid_spans".to_owned(), 1)])
    );
    Ok(())
}

#[test]
fn spans_no_sampler_chose_are_kept_unless_they_are_not_wanted() -> Result<()> {
    for (config, n_stored) in [("", 1), ("[otlp]\nunsampled = \"drop\"\n", 0)] {
        let home = Home::new()?;
        let server = start(&home, config)?;
        let sender = Sender::to(&server)?;
        sender.send_document(&format!("T1U{SPANS}"))?;
        settled(&server, 1)?;
        assert_eq!(server.documents(SPANS_TRACE)?.len(), n_stored, "{config}");
        let n_dropped = dropped(&server)?.get("unsampled").copied().unwrap_or(0);
        assert_eq!(n_dropped, u64::from(n_stored == 0), "{config}");
    }
    Ok(())
}

#[test]
fn the_largest_datagram_is_stored_and_a_document_too_large_refused() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "[udp]\nreceive_buffer = \"1MiB\"\n")?;
    let sender = Sender::to(&server)?;
    let filled = |n_bytes: usize| {
        let fill = |n: usize| json!({ "metadata": { "default": { "fill": "x".repeat(n) } } });
        let trace_id = trace_id(1);
        let overhead = segment(&trace_id, "00000000000000a1", &fill(0)).len();
        segment(&trace_id, "00000000000000a1", &fill(n_bytes - overhead))
    };
    let largest = filled(DATAGRAM_BYTES_MAX - HEADER.len() - 1);
    sender.send_document(&largest)?;
    settled(&server, 1)?;
    assert_eq!(server.documents(&trace_of(&largest)?)?.len(), 1);
    let too_large = sender.send_document(&filled(DATAGRAM_BYTES_MAX - HEADER.len()));
    assert!(too_large.is_err(), "UDP carried more than it can");
    drop(server);

    let server = start(&home, "[limits]\ndocument_bytes = 1000\n")?;
    let sender = Sender::to(&server)?;
    sender.send_document(&filled(1000))?;
    sender.send_document(&filled(1001))?;
    settled(&server, 2)?;
    let refused = "roentgen_documents_refused_total";
    assert_eq!(figure(&server, refused, &["udp", "InvalidSegment"])?, 1);
    assert_eq!(
        figure(&server, "roentgen_documents_accepted_total", &["udp"])?,
        1
    );
    Ok(())
}

#[test]
fn the_order_of_arrival_does_not_matter() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "")?;
    let sender = Sender::to(&server)?;
    let trace_id = trace_id(1);
    let parent = "00000000000000a1";
    let in_progress = json!({ "in_progress": true, "end_time": null });
    sender.send_document(&subsegment(
        &trace_id,
        "00000000000000b1",
        parent,
        &json!({}),
    ))?;
    sender.send_document(&subsegment(
        &trace_id,
        "00000000000000b2",
        parent,
        &in_progress,
    ))?;
    sender.send_document(&subsegment(
        &trace_id,
        "00000000000000b2",
        parent,
        &json!({}),
    ))?;
    sender.send_document(&segment(&trace_id, parent, &in_progress))?;
    sender.send_document(&segment(&trace_id, parent, &json!({ "user": "last" })))?;
    sender.send_document(&segment(&trace_id, parent, &in_progress))?;
    settled(&server, 6)?;
    let documents = server.documents(&trace_id)?;
    assert_eq!(documents.len(), 1, "{documents:?}");
    assert_eq!(documents[0]["user"], "last");
    let subsegments = documents[0]["subsegments"]
        .as_array()
        .context("subsegments")?;
    assert_eq!(subsegments.len(), 2, "{documents:?}");
    for id in ["00000000000000b1", "00000000000000b2"] {
        assert!(with_id(subsegments, id)?["end_time"].is_number());
    }
    Ok(())
}

#[test]
fn of_a_burst_every_datagram_is_stored_or_counted() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "[udp]\nqueue_bytes = \"2MiB\"\n")?;
    let sender = Sender::to(&server)?;
    let trace_id = trace_id(1);
    let before = figure(&server, "roentgen_store_documents", &[])?;
    for number in 1..=BURST_DATAGRAMS {
        sender.send_document(&segment(&trace_id, &format!("{number:016x}"), &json!({})))?;
    }
    settled(&server, BURST_DATAGRAMS)?;
    let accepted = figure(&server, "roentgen_documents_accepted_total", &["udp"])?;
    let kernel_dropped = figure(&server, "roentgen_datagrams_kernel_dropped_total", &[])?;
    let dropped = dropped(&server)?;
    let queue_full = dropped.get("queue_full").copied().unwrap_or(0);
    eprintln!("{accepted} accepted, {kernel_dropped} dropped by the system, {dropped:?}");
    assert_eq!(dropped.values().sum::<u64>(), queue_full, "{dropped:?}");
    assert_eq!(accepted + queue_full + kernel_dropped, BURST_DATAGRAMS);
    let stored = figure(&server, "roentgen_store_documents", &[])? - before;
    assert_eq!(stored, accepted);
    assert!(accepted > BURST_DATAGRAMS / 10, "{accepted} of a burst");
    Ok(())
}

/// Sends documents of one trace and waits until the server has all of them off the socket.
fn fill(server: &Server, trace_id: &str, n_documents: u64) -> Result<()> {
    let sender = Sender::to(server)?;
    for number in 1..=n_documents {
        sender.send_document(&segment(trace_id, &format!("{number:016x}"), &json!({})))?;
    }
    until("all datagrams are off the socket", || {
        let received = figure(server, "roentgen_datagrams_received_total", &[])?;
        Ok((received == n_documents).then_some(()))
    })
}

#[test]
fn a_stop_loses_nothing_that_is_queued() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "[udp]\nbatch_wait = \"1s\"\n")?;
    let trace_id = trace_id(1);
    fill(&server, &trace_id, 200)?;
    assert!(server.terminate()?.success());
    let server = home.start()?;
    assert_eq!(server.documents(&trace_id)?.len(), 200);
    Ok(())
}

#[test]
fn what_the_rate_holds_back_waits_and_survives_a_stop() -> Result<()> {
    let home = Home::new()?;
    let slow = "[limits]\nsegments_per_second = 100\n[storage]\nqueue_wait = \"10ms\"\n";
    let server = start(&home, slow)?;
    let trace_id = trace_id(1);
    fill(&server, &trace_id, 400)?;
    let queued = figure(&server, "roentgen_datagrams_queue_bytes", &[])?;
    assert!(queued > 0, "nothing waits");
    assert!(server.terminate()?.success());
    let server = home.start()?;
    assert_eq!(server.documents(&trace_id)?.len(), 400);
    Ok(())
}

#[test]
fn a_stop_does_not_wait_for_ever() -> Result<()> {
    let home = Home::new()?;
    let slow = "[limits]\nsegments_per_second = 1\n[storage]\nqueue_wait = \"10ms\"\n[http]\ndrain_timeout = \"1s\"\n";
    let server = start(&home, slow)?;
    let trace_id = trace_id(1);
    fill(&server, &trace_id, 3000)?;
    let log = home.folder().join("server.log");
    assert!(server.terminate()?.success());
    let log = std::fs::read_to_string(log)?;
    assert!(log.contains("datagrams are lost"), "{log}");
    let server = home.start()?;
    let n_stored = server.documents(&trace_id)?.len();
    assert!((1..3000).contains(&n_stored), "{n_stored} are stored");
    Ok(())
}

#[test]
fn a_door_that_was_asked_for_and_cannot_open_stops_the_start() -> Result<()> {
    let taken = UdpSocket::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let home = Home::new()?;
    for address in [address.as_str(), "192.0.2.1:2000"] {
        let output = home.serve_output(&["--udp", address])?;
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        let is_told = message.contains(address) && message.contains("--udp");
        assert!(!output.status.success() && is_told, "{}", describe(&output));
    }
    let file = home.config(&format!("[server]\nudp = \"{address}\"\n"))?;
    let mut command = home.command();
    let output = command
        .args(["--listen", "127.0.0.1:0"])
        .args(file)
        .output()?;
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && message.contains(&address),
        "{}",
        describe(&output)
    );
    Ok(())
}

#[test]
fn a_door_that_is_only_open_by_default_stays_shut() -> Result<()> {
    // If this cannot be had somebody else has it, which does as well.
    let _taken = UdpSocket::bind("127.0.0.1:2000");
    let home = Home::new()?;
    let mut command = home.command();
    command.args(["--listen", "127.0.0.1:0", "--otlp-grpc", "off"]);
    command.args(["--otlp-http", "off", "--log", "json"]);
    let log = home.folder().join("default.log");
    command.stderr(std::fs::File::create(&log)?);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    let stdout = child.stdout.take().context("stdout")?;
    BufReader::new(stdout).read_line(&mut line)?;
    terminate(child.id())?;
    assert!(child.wait()?.success());
    let ready: Value = serde_json::from_str(&line)?;
    assert!(
        ready["http"].is_string() && ready.get("udp").is_none(),
        "{ready}"
    );
    let log = std::fs::read_to_string(log)?;
    assert!(log.contains("datagrams are not taken"), "{log}");
    Ok(())
}

#[test]
fn a_door_that_is_off_is_not_in_the_line() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    assert_eq!(server.ready().get("udp"), None);
    Ok(())
}

const HEADER: &str = r#"{"format":"json","version":1}"#;
const DATAGRAM_BYTES_MAX: usize = 65_507;
const BURST_DATAGRAMS: u64 = 20_000;
/// One span as the exporter of AWS's distribution for Python sends it in Lambda.
const SPANS: &str = "CuoCCpgCCiIKFnRlbGVtZXRyeS5zZGsubGFuZ3VhZ2USCAoGcHl0aG9uCiUKEnRlbGVtZXRyeS5zZGsubmFtZRIPCg1vcGVudGVsZW1ldHJ5CiEKFXRlbGVtZXRyeS5zZGsudmVyc2lvbhIICgYxLjQ0LjAKPQoTc2VydmljZS5pbnN0YW5jZS5pZBImCiRhZDc0MGJiNi00MzcxLTRkNjctYTQxMC1hMzc5ODNlZmQyZGEKHQoMc2VydmljZS5uYW1lEg0KC2Fkb3QtbGFtYmRhCiYKFnRlbGVtZXRyeS5hdXRvLnZlcnNpb24SDAoKMC4yMS4wLWF3cwoiChFhd3MubG9jYWwuc2VydmljZRINCgthZG90LWxhbWJkYRJNCgMKAXgSRgoQawIr9Wi3umCGEYLVZqcZpRIICzIUt8nXukEqAm9wMAI58/05tt8z6hhBmS47tt8z6hhKCAoBaxIDCgF2egCFAQABAAA=";
const SPANS_TRACE: &str = "1-6b022bf5-68b7ba60861182d566a719a5";
