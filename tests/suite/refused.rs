//! What was refused can be looked up: by door, code, sender, id and time, and without what is its sender's.

use anyhow::{Context, Result};
use roentgen_tests::server::list;
use roentgen_tests::wait::now;
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

use crate::datagrams::{Sender, figure, settled, start};
use crate::fixture::{assert_error, segment, trace_id};

/// Returns the page of a query.
fn page(server: &Server, query: &str) -> Result<Value> {
    server.get(&format!("/api/v1/refused{query}"))?.success()
}

fn refused(server: &Server, query: &str) -> Result<Vec<Value>> {
    list(&page(server, query)?, "refused")
}

/// Returns one member of all entries of a query.
fn members(server: &Server, query: &str, member: &str) -> Result<Vec<String>> {
    let entries = refused(server, query)?;
    let texts = entries.iter().map(|entry| entry[member].as_str());
    let texts: Option<Vec<&str>> = texts.collect();
    let texts = texts.with_context(|| format!("{member} in {entries:?}"))?;
    Ok(texts.into_iter().map(str::to_owned).collect())
}

#[test]
fn refusals_of_all_doors_are_told_newest_first() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "")?;
    let sender = Sender::to(&server)?;
    let trace_id = trace_id(1);
    assert_eq!(page(&server, "")?, json!({ "refused": [] }));
    let before = now();
    let unnamed = segment(
        &trace_id,
        "00000000000000a1",
        &json!({ "name": null, "user": "hunter2" }),
    );
    let good = segment(&trace_id, "00000000000000a2", &json!({}));
    assert_eq!(server.put(&[&good, &unnamed])?.len(), 1);
    sender.send_document(
        "{\"id\":\"00000000000000a3\",\"metadata\":{\"default\":{\"key\":\"hunter2\"}}",
    )?;
    settled(&server, 1)?;
    sender.send("password=hunter2")?;
    settled(&server, 2)?;

    let entries = refused(&server, "")?;
    assert_eq!(entries.len(), 3, "{entries:?}");
    let first = &entries[2];
    assert_eq!(first["door"], "api");
    assert_eq!(first["code"], "MissingName");
    assert_eq!(first["segment_id"], "00000000000000a1");
    assert_eq!(first["trace_id"], trace_id.as_str());
    assert_eq!(
        (&first["account"], &first["region"]),
        (&json!("000000000000"), &json!("us-east-1"))
    );
    assert_eq!(first["n_documents"], 1);
    let message = first["message"].as_str().context("a message")?;
    assert!(message.contains("ErrorCode: MissingName"), "{message}");
    let excerpt = first["excerpt"].as_str().context("an excerpt")?;
    assert!(excerpt.contains(r#""id":"00000000000000a1""#), "{excerpt}");
    assert_eq!(entries[1]["code"], "InvalidSegment");
    assert_eq!(
        entries[1]["excerpt"],
        r#"{"id":"00000000000000a3","metadata":{"*":{"*":"*"}}..."#
    );
    assert_eq!(entries[0]["code"], "no_header");
    assert_eq!(entries[0]["excerpt"], "*=*");
    assert!(
        !json!(entries).to_string().contains("hunter2"),
        "{entries:?}"
    );
    filters_choose(&server, &sender, &trace_id, &entries, before)?;
    for (door, reason) in [("api", "MissingName"), ("udp", "no_header")] {
        let labels = [format!("door=\"{door}\""), format!("reason=\"{reason}\"")];
        let labels = labels.each_ref().map(String::as_str);
        assert_eq!(figure(&server, "roentgen_refused_total", &labels)?, 1);
    }
    Ok(())
}

/// Checks every filter over a missing name at the API, then a cut off document and one without header as datagrams.
fn filters_choose(
    server: &Server,
    sender: &Sender,
    trace_id: &str,
    entries: &[Value],
    before: u32,
) -> Result<()> {
    let udp = sender.port()?;
    let check = |query: &str, codes: &[&str]| -> Result<()> {
        assert_eq!(members(server, query, "code")?, codes, "{query}");
        Ok(())
    };
    check("?door=udp", &["no_header", "InvalidSegment"])?;
    check("?door=api", &["MissingName"])?;
    check("?door=otlp-grpc", &[])?;
    check("?code=InvalidSegment", &["InvalidSegment"])?;
    check("?id=00000000000000a1", &["MissingName"])?;
    check(&format!("?id={trace_id}"), &["MissingName"])?;
    check(
        &format!("?peer=127.0.0.1:{udp}"),
        &["no_header", "InvalidSegment"],
    )?;
    check("?peer=127.0.0.1&door=api", &["MissingName"])?;
    check("?peer=192.0.2.1", &[])?;
    check(
        &format!("?since={before}"),
        &["no_header", "InvalidSegment", "MissingName"],
    )?;
    check(&format!("?until={before}"), &[])?;
    let time = entries[1]["time"].as_str().context("a time")?;
    assert!(members(server, &format!("?since={time}"), "code")?.len() >= 2);
    Ok(())
}

#[test]
fn pages_joined_are_the_whole_and_the_log_is_bounded() -> Result<()> {
    let home = Home::new()?;
    let config = home.config("[limits]\nrefused_kept = 25\n")?;
    let server = home.start_with(&config)?;
    let documents: Vec<String> = (0..40)
        .map(|number| format!("{{\"id\":\"{number}\""))
        .collect();
    server.put(&documents)?;
    let mut ids = Vec::new();
    let mut query = "?limit=10".to_owned();
    loop {
        let page = page(&server, &query)?;
        let entries = list(&page, "refused")?;
        ids.extend(entries.iter().map(|entry| entry["segment_id"].clone()));
        let Some(next) = page.get("next") else { break };
        query = format!("?limit=10&after={}", next.as_str().context("next")?);
    }
    let expected: Vec<Value> = (15..40)
        .rev()
        .map(|number| json!(number.to_string()))
        .collect();
    assert_eq!(ids, expected);
    assert_eq!(figure(&server, "roentgen_refused_kept", &[])?, 25);
    assert_eq!(figure(&server, "roentgen_refused_total", &[])?, 40);
    Ok(())
}

#[test]
fn a_call_that_is_refused_is_told_with_what_it_carried() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let documents = vec!["{}"; 51];
    let response = server.post(
        "/TraceSegments",
        &json!({ "TraceSegmentDocuments": documents }),
    )?;
    assert_error(&response, 400, "InvalidRequestException")?;
    let entries = refused(&server, "")?;
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(entries[0]["n_documents"], 51);
    assert_eq!(entries[0]["code"], "InvalidRequestException");
    assert_eq!(entries[0]["message"], "Exceeding maximum segment count: 50");
    assert_eq!(entries[0].get("excerpt"), None);
    let labels = ["door=\"api\"", "code=\"InvalidRequestException\""];
    assert_eq!(
        figure(&server, "roentgen_documents_refused_total", &labels)?,
        51
    );
    Ok(())
}

#[test]
fn a_query_that_makes_no_sense_is_told_so() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    for (query, named) in [
        ("?x=1", "\"x\""),
        ("?limit=0", "limit"),
        ("?limit=5&limit=6", "twice"),
        ("?door=ftp", "otlp-grpc"),
        ("?since=soon", "since"),
        ("?peer=somebody", "peer"),
        ("?after=-1", "after"),
    ] {
        let response = server.get(&format!("/api/v1/refused{query}"))?;
        let message = assert_error(&response, 400, "InvalidRequestException")?;
        assert!(message.contains(named), "{query}: {message}");
    }
    let posted = server.post("/api/v1/refused", &json!({}))?;
    assert_eq!(posted.status, 404);
    Ok(())
}

#[test]
fn the_rate_of_an_account_holds() -> Result<()> {
    let home = Home::new()?;
    let config = "[limits]\nsegments_per_second = 100\n[storage]\nqueue_wait = \"0s\"\n";
    let server = home.start_with(&home.config(config)?)?;
    let trace_id = trace_id(1);
    let mut connection = server.connect()?;
    let (mut n_accepted, mut n_throttled, mut number) = (0_u32, 0_u32, 0_u32);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(2) {
        let documents: Vec<String> = (0..10)
            .map(|_| {
                number += 1;
                segment(&trace_id, &format!("{number:016x}"), &json!({}))
            })
            .collect();
        let body = json!({ "TraceSegmentDocuments": documents });
        let response = connection.post("/TraceSegments", body.to_string().as_bytes())?;
        if response.status == 200 {
            n_accepted += 10;
        } else {
            let message = assert_error(&response, 429, "ThrottledException")?;
            assert!(message.contains("100 segments per second"), "{message}");
            n_throttled += 1;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let allowed = 200.0 + 100.0 * seconds;
    assert!(
        f64::from(n_accepted) <= allowed + 10.0,
        "{n_accepted} in {seconds} s"
    );
    assert!(
        n_accepted >= 200 && n_throttled > 0,
        "{n_accepted} in {seconds} s"
    );
    let stored = server.documents(&trace_id)?.len();
    assert_eq!(stored, usize::try_from(n_accepted)?);
    let throttled = refused(&server, "?code=ThrottledException&limit=1")?;
    assert_eq!(throttled[0]["n_documents"], 10);
    let labels = ["door=\"api\"", "reason=\"ThrottledException\""];
    let n_recorded = figure(&server, "roentgen_refused_total", &labels)?;
    assert_eq!(n_recorded, u64::from(n_throttled));
    Ok(())
}

#[test]
fn without_a_rate_nothing_is_held_back() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = trace_id(1);
    for call in 0..20 {
        let documents: Vec<String> = (1..=50)
            .map(|number| {
                segment(
                    &trace_id,
                    &format!("{:016x}", call * 50 + number),
                    &json!({}),
                )
            })
            .collect();
        server.put_all(&documents)?;
    }
    assert_eq!(server.documents(&trace_id)?.len(), 1000);
    Ok(())
}
