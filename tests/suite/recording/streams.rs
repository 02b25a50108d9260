//! Answers go on to the client as they come, whatever their size and however long they go on.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use journal::Record;
use roentgen_tests::Home;
use serde_json::json;

use super::call;
use super::passage::{Passage, Upstream, post, read_to};
use crate::fixture::{segment, trace_id};

/// Returns the status and the number of bytes that were recorded of the only answer.
fn answer(records: &[Record]) -> Result<(u16, usize)> {
    let [record] = records else {
        anyhow::bail!("one record: {records:?}");
    };
    let answer = call(record)?.answer.as_ref().context("an answer")?;
    Ok((answer.status, answer.body.len()))
}

#[test]
fn an_answer_without_an_end_is_passed_on_as_it_comes() -> Result<()> {
    let home = Home::new()?;
    let upstream = Upstream::open()?;
    let passage = Passage::open(&home, &upstream.url()?, &[])?;
    let mut client = passage.connect_bare()?;
    client.write_all(&post("/Traces", b"{}"))?;
    let mut call = upstream.call()?;
    call.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")?;
    // The next piece is only said once the one before has arrived.
    let head = read_to(&mut client, "3\r\none\r\n")?;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert_eq!(answer(&passage.written(1)?)?, (200, 0));
    for piece in ["two", "six", "ten"] {
        call.say(&format!("3\r\n{piece}\r\n"))?;
        assert_eq!(read_to(&mut client, "\r\n")?, "3\r\n");
        assert_eq!(read_to(&mut client, "\r\n")?, format!("{piece}\r\n"));
    }
    drop(client);
    call.until_hung_up()?;
    assert_eq!(answer(&passage.written(1)?)?, (200, 0));
    assert_eq!(passage.close()?["Unanswered"], 0);
    Ok(())
}

#[test]
fn a_large_answer_is_not_waited_for() -> Result<()> {
    let home = Home::new()?;
    let upstream = Upstream::open()?;
    let passage = Passage::open(&home, &upstream.url()?, &[])?;
    let mut client = passage.connect_bare()?;
    client.write_all(&post("/Traces", b"{}"))?;
    let mut call = upstream.call()?;
    let (first, rest) = ("a".repeat(2 << 20), "b".repeat(62 << 20));
    let n_bytes = first.len() + rest.len();
    call.say(&format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {n_bytes}\r\n\r\n"
    ))?;
    let sending = std::thread::spawn(move || {
        call.say(&first)?;
        call.say(&rest)?;
        anyhow::Ok(call)
    });
    let head = read_to(&mut client, "\r\n\r\n")?;
    let length = format!("content-length: {n_bytes}\r\n");
    assert!(head.to_ascii_lowercase().contains(&length), "{head}");
    let mut body = vec![0; n_bytes];
    std::io::Read::read_exact(&mut client, &mut body)?;
    assert!(body[..2 << 20].iter().all(|byte| *byte == b'a'));
    assert!(body[2 << 20..].iter().all(|byte| *byte == b'b'));
    drop(sending.join().unwrap()?);
    assert_eq!(answer(&passage.written(1)?)?, (200, 0));
    Ok(())
}

#[test]
fn an_answer_that_begins_late_comes_whole() -> Result<()> {
    let home = Home::new()?;
    let upstream = Upstream::open()?;
    let passage = Passage::open(&home, &upstream.url()?, &[])?;
    let mut client = passage.connect()?;
    client.send(&post("/Traces", b"{}"))?;
    let mut late = upstream.call()?;
    let records = passage.written(1)?;
    assert_eq!(call(&records[0])?.answer, None);
    late.say("HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nlate")?;
    let answer = client.receive()?;
    assert_eq!((answer.status, answer.text().as_str()), (404, "late"));
    let totals = passage.close()?;
    assert_eq!(
        (&totals["Calls"], &totals["Unanswered"]),
        (&json!(1), &json!(0))
    );
    Ok(())
}

#[test]
fn trailers_are_passed_on_to_who_takes_them() -> Result<()> {
    let home = Home::new()?;
    let upstream = Upstream::open()?;
    let passage = Passage::open(&home, &upstream.url()?, &[])?;
    let mut client = passage.connect_bare()?;
    client.write_all(
        b"POST /Traces HTTP/1.1\r\nHost: here\r\nTE: trailers\r\nContent-Length: 2\r\n\r\n{}",
    )?;
    let mut call = upstream.call()?;
    let takes_trailers = call.head.iter().any(|line| line == "te: trailers");
    assert!(takes_trailers, "{:?}", call.head);
    call.say("HTTP/1.1 200 OK\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    call.say("2\r\n{}\r\n0\r\nx-sum: 42\r\n\r\n")?;
    read_to(&mut client, "2\r\n{}\r\n0\r\n")?;
    assert_eq!(read_to(&mut client, "\r\n\r\n")?, "x-sum: 42\r\n\r\n");
    assert_eq!(answer(&passage.written(1)?)?, (200, 2));
    Ok(())
}

#[test]
fn what_arrives_can_be_followed_through_the_recorder() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let passage = Passage::open(&home, &server.url(), &[])?;
    let begun = Instant::now();
    let mut client = passage.connect_bare()?;
    client.write_all(b"GET /api/v1/tail HTTP/1.1\r\nHost: here\r\n\r\n")?;
    let head = read_to(&mut client, "\n\n")?;
    assert!(head.contains("text/event-stream"), "{head}");
    let trace_id = trace_id(1);
    let document = segment(&trace_id, "00000000000000a1", &json!({}));
    let body = json!({ "TraceSegmentDocuments": [document] }).to_string();
    let mut other = passage.connect()?;
    other.post("/TraceSegments", body.as_bytes())?.success()?;
    read_to(&mut client, &trace_id)?;
    // It never ends, and yet nobody waits for it when the end is asked for.
    passage.ask_to_end()?;
    read_to(&mut client, "0\r\n\r\n")?;
    let (status, totals, _) = passage.end()?;
    assert_eq!((status.code(), &totals["Calls"]), (Some(143), &json!(2)));
    assert!(
        begun.elapsed() < Duration::from_secs(25),
        "it was waited for"
    );
    Ok(())
}
