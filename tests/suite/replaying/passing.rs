//! What passes through `roentgen record`, from whatever client, is kept and can be sent again.

use std::net::TcpListener;

use anyhow::{Context, Result};
use roentgen_tests::Home;
use roentgen_tests::http::Wire;
use roentgen_tests::http2::Http2;
use roentgen_tests::process::describe;
use roentgen_tests::signing::Signer;
use roentgen_tests::wait::{now, until};
use serde_json::json;

use super::place::{Passage, replay, replay_all};
use crate::commands::told::{recipe, shell};
use crate::fixture::{assert_error, segment, trace_id};

#[test]
fn a_copy_is_kept_while_the_server_is_down() -> Result<()> {
    let home = Home::new()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let closed = format!("http://{}", listener.local_addr()?);
    drop(listener);
    let journal = home.folder().join("a.journal");
    let passage = Passage::open(&home, &closed, &journal, &[])?;
    let trace_id = trace_id(1);
    let document = segment(&trace_id, "00000000000000a1", &json!({}));
    let body = json!({ "TraceSegmentDocuments": [document] }).to_string();
    let response = passage.connect()?.post("/TraceSegments", body.as_bytes())?;
    let message = assert_error(&response, 502, "ServiceUnavailableException");
    assert!(message.is_ok_and(|message| message.contains("no answer from")));
    let totals = passage.close()?;
    assert_eq!(
        (&totals["Calls"], &totals["Unanswered"]),
        (&json!(1), &json!(1))
    );
    let server = home.start()?;
    replay_all(&home, &journal, &server.url(), &["--at", "keep"])?;
    assert_eq!(server.documents(&trace_id)?.len(), 1);
    Ok(())
}

/// The lines README shows are run to the letter, at addresses of their own; the hour is cut short.
#[test]
fn the_recipes_for_recordings_work_to_the_letter() -> Result<()> {
    let (home, branch_home) = (Home::new()?, Home::new()?);
    let (staging, branch) = (home.start()?, branch_home.start()?);
    let at_own_addresses = |line: &str| {
        let line = line.replace("127.0.0.1:2001", &staging.address().to_string());
        let line = line.replace("127.0.0.1:2002", &branch.address().to_string());
        line.replace("127.0.0.1:2000", "127.0.0.1:0")
    };
    let recording = recipe("Record staging for an hour.")?;
    let [recording] = &recording[..] else {
        anyhow::bail!("one line: {recording:?}");
    };
    let passage = Passage::of(shell(&home, &at_own_addresses(recording))?)?;
    let trace_id = trace_id(1);
    let documents = ["00000000000000a1", "00000000000000a2"];
    for id in documents {
        let document = segment(&trace_id, id, &json!({}));
        let body = json!({ "TraceSegmentDocuments": [document] }).to_string();
        passage
            .connect()?
            .post("/TraceSegments", body.as_bytes())?
            .success()?;
    }
    passage.close()?;
    assert_eq!(staging.documents(&trace_id)?.len(), documents.len());
    let lines = recipe("Replay it ten times faster against a branch.")?;
    assert!(!lines.is_empty());
    for line in lines {
        let output = shell(&home, &at_own_addresses(&line))?.output()?;
        assert!(output.status.success(), "{line}: {}", describe(&output));
    }
    let metrics = branch.metrics()?;
    assert!(
        metrics.contains("roentgen_documents_accepted_total{door=\"api\"} 2\n"),
        "{metrics}"
    );
    Ok(())
}

#[test]
fn spans_that_passed_through_are_replayed_as_documents() -> Result<()> {
    let (home, other) = (Home::new()?, Home::new()?);
    let server = home.start()?;
    let journal = home.folder().join("recordings/");
    let passage = Passage::open(&home, &server.url(), &journal, &[])?;
    let (start, id) = (
        u64::from(now() - 30) * 1_000_000_000,
        format!("{:08x}{:024x}", now(), 5),
    );
    let spans = json!({ "resourceSpans": [{
        "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "cart" } }] },
        "scopeSpans": [{ "spans": [{ "traceId": id, "spanId": "00000000000000c1", "name": "GET /", "kind": 2,
            "startTimeUnixNano": start.to_string(), "endTimeUnixNano": (start + 250_000_000).to_string() }] }] }] });
    passage
        .connect()?
        .post("/v1/traces", spans.to_string().as_bytes())?
        .success()?;
    passage.close()?;
    let target = other.start()?;
    replay_all(&home, &journal, &target.url(), &["--at", "keep"])?;
    let x_ray_id = format!("1-{}-{}", &id[..8], &id[8..]);
    let (one, two) = (server.documents(&x_ray_id)?, target.documents(&x_ray_id)?);
    assert_eq!(one.len(), 1);
    assert_eq!(one, two);
    Ok(())
}

#[test]
fn boto3_reads_elsewhere_what_it_wrote_through_the_passage() -> Result<()> {
    let (home, other) = (Home::new()?, Home::new()?);
    let server = home.start()?;
    let journal = home.folder().join("a.journal");
    let passage = Passage::open(&home, &server.url(), &journal, &[])?;
    let run = |url: &str, part: &str| -> Result<()> {
        let output = crate::clients::client("python", &home)?
            .arg(crate::clients::folder().join("flow.py"))
            .args([url, part])
            .arg(home.folder().join("state.json"))
            .output()?;
        assert!(output.status.success(), "{part}: {}", describe(&output));
        Ok(())
    };
    run(&format!("http://{}", passage.http), "write")?;
    passage.close()?;
    let small = other.config("[query]\npage_bytes = 4096\nsummaries_per_page = 5\n")?;
    let target = other.start_with(&small)?;
    // One of its documents is meant to be refused, there and here.
    let output = replay(
        &home,
        &journal,
        &target.url(),
        &["--at", "keep", "--speed", "10"],
    )?;
    assert_eq!(output.status.code(), Some(5), "{}", describe(&output));
    run(&target.url(), "read")
}

#[test]
fn an_x_ray_sdk_is_recorded_and_replayed() -> Result<()> {
    let (home, other) = (Home::new()?, Home::new()?);
    let server = home.start_with(&["--udp", "127.0.0.1:0"])?;
    let journal = home.folder().join("a.journal");
    let udp = server.door("udp").context("no datagrams")?.to_string();
    let more = ["--listen-udp", "127.0.0.1:0", "--upstream-udp", &udp];
    let passage = Passage::open(&home, &server.url(), &journal, &more)?;
    let script = "
import sys
from aws_xray_sdk.core import xray_recorder
xray_recorder.configure(service='shop', daemon_address=sys.argv[1], sampling=False)
segment = xray_recorder.begin_segment('shop')
with xray_recorder.in_subsegment('work') as subsegment:
    subsegment.put_annotation('tier', 'gold')
xray_recorder.end_segment()
print(segment.trace_id)
";
    let output = crate::clients::client("python", &home)?
        .args(["-c", script])
        .arg(passage.udp.context("no datagrams")?.to_string())
        .output()?;
    assert!(output.status.success(), "{}", describe(&output));
    let trace_id = String::from_utf8(output.stdout)?.trim().to_owned();
    until("the segment is stored", || {
        Ok((!server.documents(&trace_id)?.is_empty()).then_some(()))
    })?;
    passage.close()?;
    let target = other.start()?;
    replay_all(&home, &journal, &target.url(), &["--at", "keep"])?;
    let (one, two) = (server.documents(&trace_id)?, target.documents(&trace_id)?);
    assert_eq!(one, two);
    assert_eq!(one[0]["subsegments"][0]["annotations"]["tier"], "gold");
    Ok(())
}

/// Configures a server that lets in one key.
fn lock(home: &Home) -> Result<[String; 2]> {
    let key = "[[key]]\nid = \"AKTEST\"\nsecret = \"test secret\"\naccount = \"000000000000\"\nrights = [\"write\", \"read\"]\n";
    std::fs::write(home.folder().join("keys.toml"), key)?;
    home.config("[auth]\nmode = \"sigv4\"\nkeys = \"keys.toml\"\n")
}

#[test]
fn signatures_pass_unchanged_or_are_made_anew() -> Result<()> {
    let home = Home::new()?;
    let server = home.start_with(&lock(&home)?)?;
    let signer = Signer::new("AKTEST", "test secret");
    let body = |number: u32| {
        let document = segment(&trace_id(number), "00000000000000a1", &json!({}));
        json!({ "TraceSegmentDocuments": [document] }).to_string()
    };
    let post = |passage: &Passage, number: u32, signer: Option<&Signer>| -> Result<u16> {
        let body = body(number);
        let own = signer.map(|signer| signer.headers("POST", "/TraceSegments", body.as_bytes()));
        let own = own.transpose()?.unwrap_or_default();
        let headers: Vec<(&str, &str)> = own
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let response =
            passage
                .connect()?
                .request("POST", "/TraceSegments", &headers, body.as_bytes())?;
        Ok(response.status)
    };
    let passage = Passage::open(&home, &server.url(), &home.folder().join("a.journal"), &[])?;
    assert_eq!(post(&passage, 1, Some(&signer))?, 200);
    assert_eq!(post(&passage, 2, None)?, 403);
    passage.close()?;

    let aws = home.folder().join(".aws");
    std::fs::create_dir(&aws)?;
    let credentials =
        "[default]\naws_access_key_id = AKTEST\naws_secret_access_key = test secret\n";
    std::fs::write(aws.join("credentials"), credentials)?;
    let journal = home.folder().join("b.journal");
    let more = ["--sign", "--region", "us-east-1"];
    let passage = Passage::open(&home, &server.url(), &journal, &more)?;
    assert_eq!(post(&passage, 3, None)?, 200);
    let stranger = Signer::new("AKOTHER", "other secret");
    assert_eq!(post(&passage, 4, Some(&stranger))?, 200);
    passage.close()?;
    let recorded = std::fs::read(&journal)?;
    let has = |text: &str| {
        recorded
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    assert!(
        !has("AKOTHER") && !has("AKTEST"),
        "no credentials are written"
    );
    Ok(())
}

#[test]
fn calls_over_http_2_pass_through() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let passage = Passage::open(&home, &server.url(), &home.folder().join("a.journal"), &[])?;
    let trace_id = trace_id(1);
    let document = segment(&trace_id, "00000000000000a1", &json!({}));
    let body = json!({ "TraceSegmentDocuments": [document] }).to_string();
    let mut connection = Http2::open(Wire::open(passage.http)?, &[])?;
    let answer = connection.post("/TraceSegments", body.as_bytes())?;
    assert_eq!(answer.status, 200);
    assert_eq!(server.documents(&trace_id)?.len(), 1);
    drop(connection);
    assert_eq!(passage.close()?["Calls"], json!(1));
    Ok(())
}
