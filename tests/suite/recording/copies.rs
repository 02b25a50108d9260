//! Whatever a server or a client does: a call that somebody may know of is in the journal, or its client is told nothing.

use std::io::{Read, Write};

use anyhow::{Context, Result};
use journal::{Door, Record};
use roentgen_tests::Home;
use roentgen_tests::random::Random;
use serde_json::json;

use super::call;
use super::passage::{Passage, Upstream, post, read_to};

/// Fails unless the record is of this body and has an answer with this status, or none.
fn check(record: &Record, body: &[u8], status: Option<u16>) -> Result<()> {
    let call = call(record)?;
    assert_eq!(record.door, Door::Api);
    assert_eq!((call.method(), call.path()), ("POST", "/TraceSegments"));
    assert!(call.body() == body, "{} bytes", call.body().len());
    assert_eq!(call.answer.as_ref().map(|answer| answer.status), status);
    Ok(())
}

#[test]
fn a_server_that_hangs_costs_no_copy() -> Result<()> {
    let home = Home::new()?;
    let upstream = Upstream::open()?;
    let passage = Passage::open(&home, &upstream.url()?, &[])?;
    let mut client = passage.connect()?;
    client.send(&post("/TraceSegments", b"hangs"))?;
    let _call = upstream.call()?;
    passage.written(1)?;
    check(&passage.kill9()?, b"hangs", None)?;
    assert!(client.receive_or_closed()?.is_none());
    Ok(())
}

#[test]
fn an_answer_that_breaks_off_costs_no_copy() -> Result<()> {
    let home = Home::new()?;
    let upstream = Upstream::open()?;
    let passage = Passage::open(&home, &upstream.url()?, &[])?;
    let mut client = passage.connect()?;
    client.send(&post("/TraceSegments", b"breaks off"))?;
    let mut answered = upstream.call()?;
    answered.body()?;
    answered.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.")?;
    drop(answered);
    assert_eq!(client.receive()?.status, 502);
    passage.written(1)?;
    check(&passage.kill9()?, b"breaks off", None)
}

#[test]
fn a_stream_that_breaks_off_is_not_taken_for_whole() -> Result<()> {
    let home = Home::new()?;
    let upstream = Upstream::open()?;
    let passage = Passage::open(&home, &upstream.url()?, &[])?;
    let mut client = passage.connect_bare()?;
    client.write_all(&post("/TraceSegments", b"stream"))?;
    let mut answered = upstream.call()?;
    answered.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")?;
    read_to(&mut client, "3\r\none\r\n")?;
    drop(answered);
    let mut rest = Vec::new();
    let ended = client.read_to_end(&mut rest);
    assert!(rest.is_empty(), "{rest:?} {ended:?}");
    passage.written(1)?;
    check(&passage.kill9()?, b"stream", Some(200))
}

#[test]
fn an_answer_before_the_body_was_read_costs_no_copy() -> Result<()> {
    let home = Home::new()?;
    let upstream = Upstream::open()?;
    let passage = Passage::open(&home, &upstream.url()?, &[])?;
    let mut client = passage.connect()?;
    let body = vec![b'x'; 8 << 20];
    client.send(&post("/TraceSegments", &body))?;
    let mut answered = upstream.call()?;
    answered.say("HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno")?;
    let answer = client.receive()?;
    assert_eq!((answer.status, answer.text().as_str()), (413, "no"));
    passage.written(1)?;
    check(&passage.kill9()?, &body, Some(413))
}

#[test]
fn a_client_that_hangs_up_takes_no_copy_along() -> Result<()> {
    let home = Home::new()?;
    let upstream = Upstream::open()?;
    let passage = Passage::open(&home, &upstream.url()?, &[])?;
    let mut client = passage.connect_bare()?;
    client.write_all(&post("/TraceSegments", b"hangs up"))?;
    drop(client);
    let mut answered = upstream.call()?;
    assert_eq!(answered.body()?, b"hangs up");
    // Nobody waits for the answer once there is a copy.
    answered.until_hung_up()?;
    passage.written(1)?;
    check(&passage.kill9()?, b"hangs up", None)
}

#[test]
fn a_call_that_does_not_come_whole_is_not_passed_on() -> Result<()> {
    let home = Home::new()?;
    let upstream = Upstream::open()?;
    let passage = Passage::open(&home, &upstream.url()?, &[])?;
    let mut client = passage.connect_bare()?;
    client
        .write_all(b"POST /TraceSegments HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf")?;
    drop(client);
    // Calls of other clients are.
    let mut client = passage.connect()?;
    client.send(&post("/TraceSegments", b"whole"))?;
    let mut answered = upstream.call()?;
    assert_eq!(answered.body()?, b"whole");
    answered.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")?;
    client.receive()?.success()?;
    assert!(upstream.is_left_alone());
    drop(client);
    let totals = passage.close()?;
    assert_eq!(
        (&totals["Calls"], &totals["Unread"]),
        (&json!(1), &json!(1))
    );
    Ok(())
}

#[test]
fn calls_under_way_are_answered_and_kept_at_the_end() -> Result<()> {
    let home = Home::new()?;
    let upstream = Upstream::open()?;
    let mut passage = Passage::open(&home, &upstream.url()?, &[])?;
    let journal = passage.journal().to_owned();
    let mut client = passage.connect()?;
    client.send(&post("/TraceSegments", b"under way"))?;
    let mut answered = upstream.call()?;
    passage.ask_to_end()?;
    passage.until_ending()?;
    answered.body()?;
    answered.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")?;
    client.receive()?.success()?;
    let (status, totals, _) = passage.end()?;
    assert_eq!((status.code(), &totals["Calls"]), (Some(143), &json!(1)));
    let records = super::read(&journal)?;
    call(records.first().context("a record")?)?;
    Ok(())
}

#[test]
fn a_journal_that_cannot_be_written_ends_it_and_nobody_is_told_anything() -> Result<()> {
    let home = Home::new()?;
    let upstream = Upstream::open()?;
    let passage = Passage::with_room(&home, &upstream.url()?, 64 << 10)?;
    // It is let in before the journal is full.
    let mut idle = passage.connect()?;
    idle.send(b"POST /TraceSegments HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n")?;
    let mut random = Random::new(21);
    let noise: Vec<u8> = std::iter::repeat_with(|| random.bits().to_be_bytes())
        .take(256 << 10)
        .flatten()
        .collect();
    let mut client = passage.connect()?;
    client.send(&post("/TraceSegments", &noise))?;
    let mut answered = upstream.call()?;
    answered.body()?;
    answered.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")?;
    assert!(client.receive_or_closed()?.is_none());
    // What comes now goes nowhere.
    let told = idle.send(b"late").map(|()| idle.receive_or_closed());
    assert!(!matches!(told, Ok(Ok(Some(_)))), "{told:?}");
    let (status, totals, said) = passage.end()?;
    assert_eq!((status.code(), &totals["Calls"]), (Some(1), &json!(0)));
    assert!(said.contains("the journal: write to"), "{said}");
    assert!(said.contains("a.journal, 1 records lost"), "{said}");
    assert!(upstream.is_left_alone());
    Ok(())
}

#[test]
fn the_largest_body_is_kept_and_a_larger_one_refused() -> Result<()> {
    let home = Home::new()?;
    let upstream = Upstream::open()?;
    let passage = Passage::open(&home, &upstream.url()?, &[])?;
    let body = vec![b' '; (48 << 20) + 1];
    let (largest, larger) = (&body[1..], &body[..]);
    let mut client = passage.connect()?;
    client.send(&post("/TraceSegments", largest))?;
    let mut answered = upstream.call()?;
    assert!(answered.body()? == largest);
    answered.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")?;
    client.receive()?.success()?;
    // It is refused before it has come whole.
    let mut client = passage.connect()?;
    let sent = client.send(&post("/TraceSegments", larger));
    if let Some(answer) = client.receive_or_closed()? {
        assert_eq!(answer.status, 413, "{sent:?}");
    }
    check(&passage.written(1)?[0], largest, Some(200))?;
    let totals = passage.close()?;
    assert_eq!(
        (&totals["Calls"], &totals["Unread"], &totals["TooLarge"]),
        (&json!(1), &json!(1), &json!(0))
    );
    Ok(())
}
