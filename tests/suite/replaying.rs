//! Recording what passes through, and sending it again: the same answers elsewhere, at its pace, whole after every kill.

mod documents;
mod passing;
mod place;
mod trouble;

use std::collections::{BTreeMap, HashSet};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use roentgen_tests::Home;
use roentgen_tests::generate::{Feed, Pool};
use roentgen_tests::ledger::difference;
use roentgen_tests::process::{describe, terminate};
use roentgen_tests::wait::{now, until};
use serde_json::{Value, json};

use crate::fixture::{segment, summaries, trace_id};
use place::{Passage, Taker, file, replay, replay_all, view};

/// Documents of generated traffic that ended a while ago.
fn traffic(n_documents: usize, seed: u64) -> Vec<String> {
    let pool = Arc::new(Pool::new(200, seed));
    let mut feed = Feed::new(Arc::clone(&pool), seed, now() - 600, 600);
    let planned = feed.batch(n_documents);
    planned.iter().map(|planned| pool.text(planned)).collect()
}

/// Documents that are named by their place in the order and finished so many milliseconds apart.
fn numbered(n: u32, apart_ms: u32, n_traces: u32) -> Vec<String> {
    let begun = f64::from(now() - 100);
    let document = |number: u32| {
        let end = begun + f64::from(number * apart_ms) / 1e3;
        json!({
            "name": format!("{number:06}"), "id": format!("{:016x}", number + 1), "trace_id": trace_id(number % n_traces),
            "start_time": begun - 1.0, "end_time": end,
        })
        .to_string()
    };
    (0..n).map(document).collect()
}

#[test]
fn recorded_traffic_has_the_same_answers_elsewhere() -> Result<()> {
    let (home, other) = (Home::new()?, Home::new()?);
    let server = home.start_with(&["--udp", "127.0.0.1:0"])?;
    let journal = home.folder().join("a.journal");
    let udp = server.door("udp").context("no datagrams")?.to_string();
    let more = ["--listen-udp", "127.0.0.1:0", "--upstream-udp", &udp];
    let passage = Passage::open(&home, &server.url(), &journal, &more)?;
    let documents = traffic(600, 1);
    let (posted, sent) = documents.split_at(550);
    let mut connection = passage.connect()?;
    for batch in posted.chunks(17) {
        let body = json!({ "TraceSegmentDocuments": batch }).to_string();
        connection
            .post("/TraceSegments", body.as_bytes())?
            .success()?;
    }
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    for document in sent {
        let datagram = format!("{{\"format\":\"json\",\"version\":1}}\n{document}");
        socket.send_to(datagram.as_bytes(), passage.udp.context("no datagrams")?)?;
    }
    // Reads are passed on, too, and are no part of a replay.
    connection
        .post(
            "/Traces",
            b"{\"TraceIds\":[\"1-581cf771-a006649127e371903a2de979\"]}",
        )?
        .success()?;
    let ids: HashSet<String> = documents
        .iter()
        .map(|text| member(text, "trace_id"))
        .collect();
    let all = "roentgen_documents_accepted_total{door=\"udp\"} 50\n";
    until("all datagrams are there", || {
        Ok(server.metrics()?.contains(all).then_some(()))
    })?;
    drop(connection);
    let totals = passage.close()?;
    assert_eq!(
        (&totals["Calls"], &totals["Datagrams"]),
        (&json!(34), &json!(50)),
        "{totals}"
    );

    let target = other.start()?;
    let more = ["--speed", "max", "--new-ids", "--seed", "7", "--at", "-1h"];
    let report = replay_all(&home, &journal, &target.url(), &more)?;
    assert_eq!(report["Accepted"], json!(600), "{report}");
    assert_eq!(report["PassedOver"], json!({ "reads": 1 }));
    assert!(
        report["Latency"][0]["Recorded"]["N"].as_u64() >= Some(33),
        "{report}"
    );
    let shift_secs = report["ShiftSeconds"].as_i64().context("a shift")?;
    let (here, there) = (view(&server, 0)?, view(&target, shift_secs)?);
    assert_eq!(here["summaries"].as_array().map(Vec::len), Some(ids.len()));
    for part in ["summaries", "sums", "graph"] {
        assert_eq!(difference(&here[part], &there[part]), None, "{part}");
    }
    let old = ids.iter().next().context("an id")?;
    assert_eq!(target.documents(old)?.len(), 0, "ids are other ones");
    Ok(())
}

fn member(document: &str, name: &str) -> String {
    let document: Value = serde_json::from_str(document).unwrap();
    document[name].as_str().unwrap().to_owned()
}

#[test]
fn the_recorded_pace_is_kept_and_nothing_is_ahead() -> Result<()> {
    let home = Home::new()?;
    let path = file(&home, "a.json", &numbered(60, 30, 7))?;
    for (speed, times) in [("1", 1), ("10", 10)] {
        let taker = Taker::open(0)?;
        let begun = Instant::now();
        let report = replay_all(&home, &path, &taker.url(), &["--speed", speed])?;
        let mut last: BTreeMap<u32, u32> = BTreeMap::new();
        for seen in taker.seen() {
            for name in &seen.names {
                let number: u32 = name.parse()?;
                let due = Duration::from_millis(u64::from(number) * 30) / times;
                let since = seen.at.duration_since(begun);
                assert!(since >= due, "{name} came after {since:?}, due {due:?}");
                // Documents of one trace come in their order.
                assert!(last.insert(number % 7, number) < Some(number), "{name}");
            }
        }
        assert_eq!(taker.n_documents(), 60);
        assert_eq!(report["Lag"]["N"], json!(60), "{report}");
    }
    Ok(())
}

#[test]
fn a_rate_is_kept_at_any_speed() -> Result<()> {
    let home = Home::new()?;
    let path = file(&home, "a.json", &numbered(60, 1, 60))?;
    let taker = Taker::open(0)?;
    let begun = Instant::now();
    replay_all(
        &home,
        &path,
        &taker.url(),
        &["--speed", "max", "--rate", "100/s"],
    )?;
    let mut n_seen = 0_u32;
    for seen in taker.seen() {
        n_seen += u32::try_from(seen.names.len())?;
        let due = Duration::from_millis(10) * (n_seen - 1);
        assert!(seen.at.duration_since(begun) >= due, "{n_seen} too early");
    }
    assert_eq!(n_seen, 60);
    Ok(())
}

#[test]
fn a_server_without_room_is_waited_for() -> Result<()> {
    let home = Home::new()?;
    let path = file(&home, "a.json", &numbered(2000, 1, 50))?;
    let taker = Taker::open(40)?;
    let report = replay_all(&home, &path, &taker.url(), &["--speed", "max"])?;
    assert_eq!(
        (&report["Accepted"], &report["TriedAgain"]),
        (&json!(2000), &json!(40))
    );
    let mut last: BTreeMap<u32, u32> = BTreeMap::new();
    let mut n_seen = 0;
    for name in taker.seen().iter().flat_map(|seen| &seen.names) {
        let number: u32 = name.parse()?;
        assert!(
            last.insert(number % 50, number) < Some(number),
            "{name} is out of order: {:?}",
            taker.seen()
        );
        n_seen += 1;
    }
    assert_eq!(n_seen, 2000);
    Ok(())
}

#[test]
fn a_killed_replay_goes_on_and_repeats_nothing_it_knows_of() -> Result<()> {
    const N: u32 = 12_000;
    let home = Home::new()?;
    let path = file(&home, "a.json", &numbered(N, 1, 900))?;
    let taker = Taker::open(0)?;
    let progress = home.folder().join("a.json.progress");
    let mut noted: HashSet<u32> = HashSet::new();
    let mut n_before = 0;
    for round in 1..=20_usize {
        let mut command = home.command();
        command
            .arg("replay")
            .arg(&path)
            .args(["--to", &taker.url(), "--speed", "max", "--resume"]);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        until("some more is sent", || {
            let is_enough = taker.n_documents() >= n_before + 100 + round * 10;
            let has_ended = child.try_wait()?.is_some();
            Ok((is_enough || has_ended).then_some(()))
        })?;
        child.kill()?;
        child.wait()?;
        // Once it is gone, what it sent last is still taken.
        let seen = taker.seen();
        for name in names(&seen[n_calls_of(&seen, n_before)..]) {
            assert!(
                !noted.contains(&name),
                "{name} was noted and is sent again in round {round}"
            );
        }
        n_before = taker.n_documents();
        let done = done(&progress)?;
        let came: HashSet<u32> = names(&taker.seen()).into_iter().collect();
        assert!(done.is_subset(&came), "what is noted was taken");
        noted = done;
    }
    let output = replay(&home, &path, &taker.url(), &["--resume", "--new-ids"])?;
    assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
    assert!(
        describe(&output).contains("--new-ids is another one"),
        "{}",
        describe(&output)
    );

    let output = replay(&home, &path, &taker.url(), &["--resume", "--speed", "max"])?;
    assert!(output.status.success(), "{}", describe(&output));
    let came = names(&taker.seen());
    let all: HashSet<u32> = came.iter().copied().collect();
    assert_eq!(all.len(), usize::try_from(N)?, "nothing is missing");
    // Sixteen calls of fifty documents may be under way at a kill.
    assert!(
        came.len() <= all.len() + 20 * 16 * 50,
        "{} sent",
        came.len()
    );
    let n_came = came.len();
    let output = replay(&home, &path, &taker.url(), &["--resume", "--speed", "max"])?;
    assert!(output.status.success(), "{}", describe(&output));
    assert_eq!(taker.n_documents(), n_came, "nothing is left to do");
    Ok(())
}

fn names(seen: &[place::Seen]) -> Vec<u32> {
    let names = seen.iter().flat_map(|seen| &seen.names);
    names.filter_map(|name| name.parse().ok()).collect()
}

/// Returns how many calls had the first so many documents.
fn n_calls_of(seen: &[place::Seen], n_documents: usize) -> usize {
    let mut n_seen = 0;
    seen.iter()
        .take_while(|seen| {
            n_seen += seen.names.len();
            n_seen <= n_documents
        })
        .count()
}

/// Returns the items a progress file says are done.
fn done(progress: &Path) -> Result<HashSet<u32>> {
    let text = std::fs::read_to_string(progress)?;
    let mut done = HashSet::new();
    for line in text.split_inclusive('\n').skip(1) {
        let Some(line) = line.strip_suffix('\n') else {
            break;
        };
        if let Some(from) = line.strip_prefix('@') {
            let (number, _) = from.split_once(' ').context("a place")?;
            done.extend(0..number.parse::<u32>()?);
        } else {
            let (start, end) = line.split_once('-').context("a range")?;
            done.extend(start.parse::<u32>()?..end.parse::<u32>()?);
        }
    }
    Ok(done)
}

#[test]
fn rounds_have_ids_of_their_own() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let path = file(&home, "a.json", &numbered(20, 1, 20))?;
    // Ids have the second a trace begins in, so both runs are moved to the same one.
    let at = now().to_string();
    let more = ["--speed", "max", "--new-ids", "--seed", "3", "--loop", "3"];
    let more = [&more[..], &["--at", &at]].concat();
    for _ in 0..2 {
        let report = replay_all(&home, &path, &server.url(), &more)?;
        assert_eq!(report["Accepted"], json!(60));
    }
    // The seed decides about the ids: the second time, the same ones.
    let n_traces = view(&server, 0)?["summaries"].as_array().map(Vec::len);
    assert_eq!(n_traces, Some(60));
    assert!(
        !home.folder().join("a.json.progress").exists(),
        "done is done"
    );
    Ok(())
}

#[test]
fn a_filter_takes_whole_traces() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let (good, bad) = (trace_id(1), trace_id(2));
    let documents = [
        segment(&good, "00000000000000a1", &json!({})),
        segment(&bad, "00000000000000b1", &json!({ "name": "front" })),
        segment(
            &bad,
            "00000000000000b2",
            &json!({ "name": "back", "fault": true, "parent_id": "00000000000000b1" }),
        ),
    ];
    let path = file(&home, "a.json", &documents)?;
    let more = ["--at", "keep", "--filter", "service(\"back\") { fault }"];
    let output = replay(
        &home,
        &path,
        &server.url(),
        &[&more[..], &["--dry-run", "--json"]].concat(),
    )?;
    let told: Value = serde_json::from_slice(&output.stdout).with_context(|| describe(&output))?;
    assert_eq!(told["Documents"], json!(2), "{told}");
    assert_eq!(summaries(&server, &json!({}))?.len(), 0, "nothing is sent");
    let report = replay_all(&home, &path, &server.url(), &more)?;
    assert_eq!(report["Accepted"], json!(2), "{report}");
    assert_eq!(server.documents(&good)?.len(), 0);
    assert_eq!(server.documents(&bad)?.len(), 2);

    let output = replay(&home, &path, &server.url(), &["--filter", "fault AN error"])?;
    assert_eq!(output.status.code(), Some(2));
    assert!(
        describe(&output).contains("\n        ^"),
        "{}",
        describe(&output)
    );
    let output = replay(
        &home,
        &path,
        &server.url(),
        &["--filter", "http.status = 418"],
    )?;
    assert_eq!(output.status.code(), Some(3), "{}", describe(&output));
    Ok(())
}

#[test]
fn the_exit_says_what_came_of_it() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let good = segment(&trace_id(1), "00000000000000a1", &json!({}));
    let bad = segment(&trace_id(2), "00000000000000a2", &json!({ "name": null }));
    let check = |documents: &[&String], to: &str, code: i32| -> Result<String> {
        let documents: Vec<String> = documents.iter().map(|text| (*text).clone()).collect();
        let path = file(&home, "a.json", &documents)?;
        let output = replay(&home, &path, to, &["--speed", "max"])?;
        assert_eq!(output.status.code(), Some(code), "{}", describe(&output));
        Ok(describe(&output))
    };
    check(&[&good], &server.url(), 0)?;
    assert!(check(&[&good, &bad], &server.url(), 5)?.contains("refused 1: 1 "));
    check(&[&bad], &server.url(), 1)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let closed = format!("http://{}", listener.local_addr()?);
    drop(listener);
    let told = check(&[&good], &closed, 4)?;
    assert!(!told.contains("--resume"), "{told}");
    assert!(
        !home.folder().join("a.json.progress").exists(),
        "nothing was sent"
    );
    Ok(())
}

#[test]
fn datagrams_are_sent_where_datagrams_are_taken() -> Result<()> {
    let home = Home::new()?;
    let server = home.start_with(&["--udp", "127.0.0.1:0"])?;
    let mut documents = numbered(30, 1, 30);
    documents.push(segment(
        &trace_id(99),
        "00000000000000ff",
        &json!({ "metadata": { "default": { "a": "x".repeat(65_600) } } }),
    ));
    let path = file(&home, "a.json", &documents)?;
    let to = format!("udp:{}", server.door("udp").context("no datagrams")?);
    let output = replay(
        &home,
        &path,
        &to,
        &["--speed", "max", "--rate", "500", "--json"],
    )?;
    assert_eq!(output.status.code(), Some(5), "{}", describe(&output));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(report["Refused"], json!({ "DatagramTooLarge": 1 }));
    until("all datagrams are stored", || {
        let n_traces = view(&server, 0)?["summaries"].as_array().map(Vec::len);
        Ok((n_traces == Some(30)).then_some(()))
    })
}

#[test]
fn datagrams_that_nobody_takes_are_not_accepted() -> Result<()> {
    let home = Home::new()?;
    let path = file(&home, "a.json", &numbered(5, 1, 5))?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let to = format!("udp:{}", socket.local_addr()?);
    drop(socket);
    let more = ["--speed", "max", "--rate", "20", "--json"];
    let output = replay(&home, &path, &to, &more)?;
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(
        (&report["Sent"], &report["Accepted"], &report["Refused"]),
        (&json!(5), &json!(0), &json!({ "PortUnreachable": 5 }))
    );
    Ok(())
}

#[test]
fn a_replay_that_is_asked_to_end_goes_on_without_repeating_anything() -> Result<()> {
    let home = Home::new()?;
    let path = file(&home, "a.json", &numbered(400, 25, 30))?;
    let taker = Taker::open(0)?;
    let mut command = home.command();
    command
        .arg("replay")
        .arg(&path)
        .args(["--to", &taker.url()]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    until("some is sent", || {
        Ok((taker.n_documents() > 20).then_some(()))
    })?;
    terminate(child.id())?;
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(143), "{}", describe(&output));
    let n_sent = taker.n_documents();
    assert!(n_sent < 400, "it ended early");
    let told = describe(&output);
    assert!(
        told.contains(&format!("accepted {n_sent} of {n_sent}")) && told.contains("--resume"),
        "{told}"
    );
    let report = replay_all(&home, &path, &taker.url(), &["--speed", "max", "--resume"])?;
    assert_eq!(report["Accepted"], json!(400 - n_sent));
    let came: HashSet<u32> = names(&taker.seen()).into_iter().collect();
    assert_eq!((came.len(), taker.n_documents()), (400, 400));
    Ok(())
}
