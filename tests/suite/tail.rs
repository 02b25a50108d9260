//! What arrives is told as it arrives: in order, filtered, to its account alone, and what is missed is told, too.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use roentgen_tests::http::Wire;
use roentgen_tests::http2::{Event as FrameEvent, Http2};
use roentgen_tests::server::list;
use roentgen_tests::wait::{now, until};
use roentgen_tests::{Home, Server, process};
use serde_json::{Value, json};

use crate::accounts::{ALICE, KEYS, start as start_with_keys, write_keys};
use crate::datagrams::figure;
use crate::fixture::{assert_error, segment, trace_id};
use roentgen_tests::signing::Signer;

/// A client of server-sent events.
struct Tail {
    reader: BufReader<TcpStream>,
    /// What arrived and is no whole event yet.
    text: String,
}

/// An event, or a sign of life, which has no name.
#[derive(Clone, Debug, PartialEq)]
struct Event {
    name: String,
    id: u64,
    data: Value,
}

impl Tail {
    /// Begins to follow; returns once the server has said where it begins.
    fn open(server: &Server, query: &str, headers: &[(String, String)]) -> Result<(Self, u64)> {
        let mut stream = TcpStream::connect(server.address())?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut head = format!("GET /api/v1/tail{query} HTTP/1.1\r\nHost: localhost\r\n");
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n")?;
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        let mut tail = Self {
            reader: BufReader::new(stream),
            text: String::new(),
        };
        let status = tail.line()?;
        anyhow::ensure!(status == "HTTP/1.1 200 OK", "{status}");
        let mut is_stream = false;
        loop {
            let line = tail.line()?.to_ascii_lowercase();
            is_stream |= line == "content-type: text/event-stream";
            if line.is_empty() {
                break;
            }
        }
        anyhow::ensure!(is_stream, "no stream of events");
        let first = tail.next()?.context("a first id")?;
        Ok((tail, first.id))
    }

    fn of(server: &Server, query: &str) -> Result<Self> {
        Ok(Self::open(server, query, &[])?.0)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// Returns the next event; nothing at the end.
    fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = parse(block)?;
                self.text = rest.to_owned();
                return Ok(Some(event));
            }
            let size = self.line()?;
            let n_bytes = usize::from_str_radix(&size, 16).with_context(|| size)?;
            if n_bytes == 0 {
                return Ok(None);
            }
            let mut chunk = vec![0; n_bytes + 2];
            self.reader.read_exact(&mut chunk)?;
            chunk.truncate(n_bytes);
            self.text.push_str(std::str::from_utf8(&chunk)?);
        }
    }

    /// Returns the next event that has a name.
    fn event(&mut self) -> Result<Event> {
        loop {
            let event = self.next()?.context("the stream ended")?;
            if !event.name.is_empty() {
                return Ok(event);
            }
        }
    }

    /// Returns the trace ids of so many events.
    fn traces(&mut self, n_events: usize) -> Result<Vec<String>> {
        let mut traces = Vec::new();
        for _ in 0..n_events {
            let event = self.event()?;
            anyhow::ensure!(event.name == "trace", "{event:?}");
            traces.push(event.data["Id"].as_str().context("an id")?.to_owned());
        }
        Ok(traces)
    }
}

fn parse(block: &str) -> Result<Event> {
    let mut event = Event {
        name: String::new(),
        id: 0,
        data: Value::Null,
    };
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("event", name)) => event.name = name.to_owned(),
            Some(("id", id)) => event.id = id.parse()?,
            Some(("data", data)) => event.data = serde_json::from_str(data)?,
            _ => {}
        }
    }
    Ok(event)
}

/// Puts one finished segment of a trace with these members.
fn put(server: &Server, trace_id: &str, id: u64, members: &Value) -> Result<()> {
    server.put_all(&[segment(trace_id, &format!("{id:016x}"), members)])
}

/// Returns the summary of a trace as the list of the API has it.
fn summary(server: &Server, trace_id: &str) -> Result<Value> {
    let request =
        json!({ "StartTime": now() - 3600, "EndTime": now() + 60, "TimeRangeType": "TraceId" });
    let page = server.post("/TraceSummaries", &request)?.success()?;
    let summaries = list(&page, "TraceSummaries")?;
    let found = summaries
        .into_iter()
        .find(|summary| summary["Id"] == trace_id);
    found.with_context(|| format!("no summary of {trace_id}"))
}

#[test]
fn traces_are_told_in_order_of_arrival_as_lists_show_them() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let ids = [3, 1, 2].map(trace_id);
    put(&server, &trace_id(9), 9, &json!({}))?;
    let mut tail = Tail::of(&server, "")?;
    let mut events = Vec::new();
    for id in &ids {
        put(
            &server,
            id,
            1,
            &json!({ "annotations": { "k": "v" }, "fault": true }),
        )?;
        events.push(tail.event()?);
    }
    for (event, id) in events.iter().zip(&ids) {
        assert_eq!(event.name, "trace");
        assert_eq!(event.data, summary(&server, id)?);
    }
    assert!(events.windows(2).all(|pair| pair[0].id < pair[1].id));
    assert_eq!(
        events[0].data["FaultRootCauses"].as_array().map(Vec::len),
        Some(1)
    );
    // Changes of a trace that follow closely are one event, of all of it.
    let unfinished = segment(
        &ids[0],
        "00000000000000b1",
        &json!({ "in_progress": true, "end_time": null }),
    );
    server.put_all(&[
        &unfinished,
        &segment(&ids[0], "00000000000000b2", &json!({})),
    ])?;
    server.put_all(&[segment(&ids[0], "00000000000000b1", &json!({}))])?;
    let whole = summary(&server, &ids[0])?;
    while tail.event()?.data != whole {}
    assert_eq!(figure(&server, "roentgen_tails_open", &[])?, 1);
    Ok(())
}

#[test]
fn a_filter_chooses_and_a_wrong_one_is_refused_with_its_place() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let ids = [1, 2, 3, 4].map(trace_id);
    // The second one asks for documents.
    let filters = [
        "?filter=annotation.k%20%3D%20%22v%22",
        "?filter=rootcause.fault.service+%7B+name+%3D+%22shop%22+%7D",
    ];
    let mut tails = Vec::new();
    for filter in filters {
        tails.push(Tail::of(&server, filter)?);
    }
    put(&server, &ids[0], 1, &json!({ "annotations": { "k": "w" } }))?;
    put(&server, &ids[1], 1, &json!({ "annotations": { "k": "v" } }))?;
    put(
        &server,
        &ids[2],
        1,
        &json!({ "annotations": { "k": "v" }, "fault": true }),
    )?;
    put(&server, &ids[3], 1, &json!({}))?;
    assert_eq!(tails[0].traces(2)?, ids[1..3]);
    assert_eq!(tails[1].traces(1)?, ids[2..3]);
    let check = |query: &str, words: &str| -> Result<()> {
        let answer = server.get(&format!("/api/v1/tail{query}"))?;
        let message = assert_error(&answer, 400, "InvalidRequestException")?;
        assert!(message.contains(words), "{message}");
        Ok(())
    };
    check("?filter=annotation.k%20=", "line 1, position")?;
    check("?filter=group.name%20%3D%20%22none%22", "none")?;
    check("?after=x", "after")?;
    check("?since=1", "no parameter")
}

#[test]
fn a_client_that_comes_back_goes_on_where_it_was() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let ids = [1, 2, 3, 4, 5, 6].map(trace_id);
    let (mut tail, began) = Tail::open(&server, "", &[])?;
    put(&server, &ids[0], 1, &json!({}))?;
    put(&server, &ids[1], 1, &json!({}))?;
    let first = tail.event()?;
    assert_eq!(first.data["Id"], ids[0].as_str());
    drop(tail);
    put(&server, &ids[2], 1, &json!({}))?;
    let after = |query: String, header: Option<u64>| {
        let header = header.map(|id| ("Last-Event-ID".to_owned(), id.to_string()));
        Tail::open(&server, &query, &Vec::from_iter(header))
    };
    assert_eq!(
        after(format!("?after={}", first.id), None)?.0.traces(2)?,
        ids[1..3]
    );
    // What a browser was told last comes before the address it knows.
    let mut last = after(format!("?after={began}"), Some(first.id))?.0;
    assert_eq!(last.traces(2)?, ids[1..3]);
    put(&server, &ids[3], 1, &json!({}))?;
    let shown = last.event()?;
    assert_eq!(shown.data["Id"], ids[3].as_str());
    server.kill9()?;

    let server = home.start()?;
    put(&server, &ids[4], 1, &json!({}))?;
    let mut tail = Tail::of(&server, &format!("?after={}", first.id))?;
    assert_eq!(tail.traces(4)?, ids[1..5]);
    // Nothing that was acknowledged before has a later id.
    let (mut tail, began) = Tail::open(&server, &format!("?after={}", u64::MAX / 2), &[])?;
    assert!(began >= shown.id);
    put(&server, &ids[5], 1, &json!({}))?;
    assert_eq!(tail.traces(1)?, ids[5..]);
    Ok(())
}

#[test]
fn what_is_too_long_ago_is_a_gap() -> Result<()> {
    let home = Home::new()?;
    let server = home.start_with(&home.config("[storage]\npartition_age = \"100ms\"\n")?)?;
    let ids = [1, 2].map(trace_id);
    put(&server, &ids[0], 1, &json!({}))?;
    until("the partition is sealed", || {
        let n_indexed = figure(&server, "roentgen_store_indexed_traces", &[])?;
        Ok((n_indexed == 0).then_some(()))
    })?;
    let (mut tail, began) = Tail::open(&server, "?after=7", &[])?;
    assert_eq!(began, 7);
    let gap = tail.event()?;
    assert_eq!(gap.name, "gap");
    assert_eq!(
        gap.data,
        json!({ "after": 7, "until": gap.id, "n_changes": null })
    );
    put(&server, &ids[1], 1, &json!({}))?;
    let next = tail.event()?;
    assert_eq!(next.data["Id"], ids[1].as_str());
    assert!(next.id > gap.id);
    Ok(())
}

#[test]
fn accounts_see_their_own_and_only_with_the_right_to_read() -> Result<()> {
    let home = Home::new()?;
    let server = start_with_keys(&home, "")?;
    let bob = Signer::new("AKBOB", "bobs secret");
    let follow = |signer: &Signer| {
        let headers = signer.headers("GET", "/api/v1/tail", b"")?;
        Ok::<_, anyhow::Error>(Tail::open(&server, "", &headers)?.0)
    };
    let mut alices = follow(&ALICE)?;
    let mut bobs = follow(&bob)?;
    let ids = [1, 2].map(trace_id);
    let document = |id: &str| segment(id, "00000000000000a1", &json!({}));
    ALICE.put_all(&server, &[document(&ids[0])])?;
    bob.put_all(&server, &[document(&ids[1])])?;
    assert_eq!(bobs.traces(1)?, ids[1..]);
    assert_eq!(alices.traces(1)?, ids[..1]);
    ALICE.put_all(&server, &[document(&ids[1])])?;
    assert_eq!(alices.traces(1)?, ids[1..]);
    let agent = Signer::new("AKAGENT", "agents secret");
    let refused = agent.get(&server, "/api/v1/tail")?;
    assert_error(&refused, 403, "AccessDeniedException")?;
    let refused = server.get("/api/v1/tail")?;
    assert_error(&refused, 403, "MissingAuthenticationTokenException")?;
    Ok(())
}

#[test]
fn a_key_that_is_taken_away_sees_no_more_and_others_miss_nothing() -> Result<()> {
    let home = Home::new()?;
    let server = start_with_keys(&home, "")?;
    let bob = Signer::new("AKBOB", "bobs secret");
    let open = |signer: &Signer, query: &str| {
        let headers = signer.headers("GET", &format!("/api/v1/tail{query}"), b"")?;
        Tail::open(&server, query, &headers)
    };
    let trace_id = trace_id(1);
    let (mut alices, _) = open(&ALICE, "")?;
    let (mut bobs, begun) = open(&bob, "")?;
    write_keys(&home, &KEYS.replace("alices secret", "another secret"))?;
    process::hangup(server.pid())?;
    for tail in [&mut alices, &mut bobs] {
        while tail.next()?.is_some() {}
    }
    assert!(open(&ALICE, "").is_err());
    bob.put_all(
        &server,
        &[segment(&trace_id, "00000000000000a1", &json!({}))],
    )?;
    let (mut bobs, _) = open(&bob, &format!("?after={begun}"))?;
    assert_eq!(bobs.traces(1)?, [trace_id]);
    Ok(())
}

/// Every change is told, or counted as missed, also to a client that does not read for long.
#[test]
fn a_slow_client_is_told_how_much_it_missed() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let mut tail = Tail::of(&server, "")?;
    let annotations: Value = (0..45)
        .map(|key| (format!("k{key}"), json!("x".repeat(60))))
        .collect();
    let mut n_put = 0;
    let mut put_some = |n_calls: u32| -> Result<()> {
        for _ in 0..n_calls {
            let documents: Vec<String> = (0..50)
                .map(|_| {
                    n_put += 1;
                    segment(
                        &trace_id(n_put),
                        "00000000000000a1",
                        &json!({ "annotations": annotations }),
                    )
                })
                .collect();
            server.put_all(&documents)?;
        }
        Ok(())
    };
    // More than sockets hold, and then more than is kept.
    put_some(240)?;
    let last = trace_id(1_000_000);
    put(&server, &last, 1, &json!({}))?;
    let (mut n_told, mut n_missed) = (0, 0);
    loop {
        let event = tail.event()?;
        if event.name == "gap" {
            n_missed += event.data["n_changes"].as_u64().context("a number")?;
            continue;
        }
        if event.data["Id"] == last.as_str() {
            break;
        }
        n_told += 1;
    }
    assert!(n_missed > 0);
    assert_eq!(n_told + n_missed, 12_000);
    Ok(())
}

#[test]
fn an_account_has_so_many_followers_and_a_stop_ends_them() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let mut tails = Vec::new();
    for _ in 0..16 {
        tails.push(Tail::of(&server, "")?);
    }
    let refused = server.get("/api/v1/tail")?;
    assert_error(&refused, 429, "ThrottledException")?;
    tails.truncate(15);
    until("there is room again", || Ok(Tail::of(&server, "").ok()))?;
    let began = Instant::now();
    assert!(server.terminate()?.success());
    // Not after http.drain_timeout, which is for requests that have an end of their own.
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(tails[0].next()?, None);
    Ok(())
}

#[test]
fn http2_clients_follow_too() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let mut client = Http2::open(Wire::open(server.address())?, &[])?;
    let stream = client.start("GET", "/api/v1/tail", true)?;
    let mut wait_for = |words: &str| -> Result<()> {
        loop {
            let answer = client.so_far(stream);
            let text = String::from_utf8_lossy(&answer.body);
            if text.contains(words) {
                return Ok(());
            }
            anyhow::ensure!(client.event()? != FrameEvent::Closed, "closed: {text}");
        }
    };
    wait_for("id: ")?;
    let id = trace_id(1);
    put(&server, &id, 1, &json!({}))?;
    wait_for(&format!("\"Id\":\"{id}\""))
}
