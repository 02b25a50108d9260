//! Targets that fail, have no room, lose calls or are something else: a replay says so, loses nothing and ends.

use std::collections::{BTreeSet, HashSet};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use anyhow::{Context, Result};
use roentgen_tests::Home;
use roentgen_tests::process::{describe, terminate};
use roentgen_tests::wait::until;
use serde_json::{Value, json};

use super::place::{Passage, Said, Taker, file, replay, replay_all};
use super::{names, numbered};
use crate::fixture::{segment, trace_id};

#[test]
fn a_web_page_takes_nothing() -> Result<()> {
    let home = Home::new()?;
    let path = file(&home, "a.json", &numbered(32, 1, 8))?;
    for page in ["<html>welcome</html>", "", "[]", "null"] {
        let taker = Taker::answering(move |_, _| Said::Else(200, page.to_owned()))?;
        let output = replay(&home, &path, &taker.url(), &["--speed", "max"])?;
        assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
        let told = describe(&output);
        assert!(
            told.contains("makes no sense") && told.contains("accepted 0 of 0"),
            "{told}"
        );
    }
    Ok(())
}

#[test]
fn a_document_a_server_fails_with_keeps_no_other_back() -> Result<()> {
    let home = Home::new()?;
    let path = file(&home, "a.json", &numbered(40, 1, 1))?;
    let taker = Taker::answering(|_, names| {
        if names.iter().any(|name| name == "000007") {
            return Said::Else(500, json!({ "__type": "InternalFailure" }).to_string());
        }
        Said::Taken
    })?;
    let output = replay(&home, &path, &taker.url(), &["--speed", "max", "--json"])?;
    assert_eq!(output.status.code(), Some(5), "{}", describe(&output));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(
        (&report["Accepted"], &report["Refused"]),
        (&json!(39), &json!({ "InternalFailure": 1 }))
    );
    assert!(report["TriedAgain"].as_u64() >= Some(8), "{report}");
    assert_eq!(taker.n_documents(), 39);
    assert!(
        describe(&output).contains("waiting for"),
        "{}",
        describe(&output)
    );
    Ok(())
}

#[test]
fn people_are_told_once_what_is_waited_for() -> Result<()> {
    let home = Home::new()?;
    let path = file(&home, "a.json", &numbered(40, 1, 40))?;
    let n_calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&n_calls);
    let taker = Taker::answering(move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        Said::Else(503, json!({ "__type": "NoRoomToday" }).to_string())
    })?;
    let mut command = home.command();
    command
        .arg("replay")
        .arg(&path)
        .args(["--to", &taker.url(), "--speed", "max"]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // More than any call is tried that fails.
    until("it was tried often", || {
        Ok((n_calls.load(Ordering::Relaxed) > 16 * 9).then_some(()))
    })?;
    terminate(child.id())?;
    let output = child.wait_with_output()?;
    let told = describe(&output);
    assert_eq!(output.status.code(), Some(143), "{told}");
    assert_eq!(told.matches("NoRoomToday").count(), 1, "{told}");
    assert!(told.contains("calls tried again: "), "{told}");
    Ok(())
}

#[test]
fn documents_without_room_in_a_call_that_was_taken_are_sent_again() -> Result<()> {
    let home = Home::new()?;
    let path = file(&home, "a.json", &numbered(30, 1, 30))?;
    let put_off: Mutex<BTreeSet<String>> = Mutex::default();
    let taker = Taker::answering(move |_, names| {
        let mut put_off = put_off.lock().unwrap();
        let refused = |name: &str, code: &str| {
            let id = format!("{:016x}", name.parse::<u32>().unwrap() + 1);
            json!({ "Id": id, "ErrorCode": code, "Message": "m" })
        };
        let (mut taken, mut unprocessed) = (Vec::new(), Vec::new());
        for name in names {
            if name == "000009" {
                unprocessed.push(refused(name, "InvalidName"));
            } else if name.ends_with('3') && put_off.insert(name.clone()) {
                unprocessed.push(refused(name, "ThrottledException"));
            } else {
                taken.push(name.clone());
            }
        }
        Said::But(taken, json!({ "UnprocessedTraceSegments": unprocessed }))
    })?;
    let output = replay(&home, &path, &taker.url(), &["--speed", "max", "--json"])?;
    assert_eq!(output.status.code(), Some(5), "{}", describe(&output));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(
        (&report["Accepted"], &report["Refused"]),
        (&json!(29), &json!({ "InvalidName": 1 })),
        "{report}"
    );
    let came: HashSet<u32> = names(&taker.seen()).into_iter().collect();
    assert_eq!((came.len(), taker.n_documents()), (29, 29));
    Ok(())
}

#[test]
fn a_lost_answer_to_what_must_not_be_sent_twice_is_counted_and_noted() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let journal = home.folder().join("a.journal");
    let passage = Passage::open(&home, &server.url(), &journal, &[])?;
    let mut connection = passage.connect()?;
    for number in 0..4 {
        let document = segment(&trace_id(number), "00000000000000a1", &json!({}));
        let body = json!({ "TraceSegmentDocuments": [document] }).to_string();
        connection
            .post("/TraceSegments", body.as_bytes())?
            .success()?;
        let body = json!({ "SamplingStatisticsDocuments": [] }).to_string();
        connection.post("/SamplingTargets", body.as_bytes())?;
    }
    drop(connection);
    passage.close()?;
    let n_lost = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&n_lost);
    let taker = Taker::answering(move |path, _| {
        if path != "/SamplingTargets" {
            return Said::Taken;
        }
        counted.fetch_add(1, Ordering::Relaxed);
        Said::Nothing
    })?;
    let progress = home.folder().join("progress");
    let progress = progress.to_str().context("a path")?;
    let more = ["--resume", "--progress", progress, "--json"];
    let output = replay(&home, &journal, &taker.url(), &more)?;
    assert_eq!(output.status.code(), Some(5), "{}", describe(&output));
    let report: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(report["Refused"], json!({ "NoAnswer": 4 }), "{report}");
    assert_eq!(
        (&report["Accepted"], &report["OtherCalls"]),
        (&json!(4), &json!({ "Sent": 4, "Accepted": 0 })),
        "{report}"
    );
    assert_eq!(taker.n_documents(), 4);
    // They are done: another run sends none of them.
    replay_all(&home, &journal, &taker.url(), &more[..3])?;
    assert_eq!(
        (n_lost.load(Ordering::Relaxed), taker.n_documents()),
        (4, 4)
    );
    Ok(())
}

/// The first of two calls is answered after the second one, so it is written after it.
#[test]
fn what_arrived_first_is_sent_first_however_it_was_written() -> Result<()> {
    let home = Home::new()?;
    let answered: Arc<(Mutex<Vec<String>>, Condvar)> = Arc::default();
    let state = Arc::clone(&answered);
    let upstream = Taker::answering(move |_, names| {
        let (came, changed) = &*state;
        let mut came = came.lock().unwrap();
        came.extend(names.iter().cloned());
        changed.notify_all();
        if names == ["begun"] {
            let _ended = changed.wait_while(came, |came| came.last().unwrap() != "answered");
        }
        Said::Taken
    })?;
    let journal = home.folder().join("a.journal");
    let passage = Passage::open(&home, &upstream.url(), &journal, &[])?;
    let body = |name: &str, members: &Value| {
        let mut members = members.clone();
        members["name"] = json!(name);
        let document = segment(&trace_id(1), "00000000000000a1", &members);
        json!({ "TraceSegmentDocuments": [document] }).to_string()
    };
    let begun = body("begun", &json!({ "in_progress": true, "end_time": null }));
    let mut connection = passage.connect()?;
    let first = std::thread::spawn(move || connection.post("/TraceSegments", begun.as_bytes()));
    let (came, changed) = &*answered;
    drop(
        changed
            .wait_while(came.lock().unwrap(), |came| came.is_empty())
            .unwrap(),
    );
    let whole = body("whole", &json!({}));
    let response = passage
        .connect()?
        .post("/TraceSegments", whole.as_bytes())?;
    response.success()?;
    came.lock().unwrap().push("answered".to_owned());
    changed.notify_all();
    first.join().unwrap()?.success()?;
    passage.close()?;

    let taker = Taker::open(0)?;
    replay_all(&home, &journal, &taker.url(), &[])?;
    let names: Vec<String> = taker
        .seen()
        .into_iter()
        .flat_map(|seen| seen.names)
        .collect();
    assert_eq!(names, ["begun", "whole"]);
    Ok(())
}

/// A folder that is still written to loses its oldest files.
#[test]
fn a_replay_goes_on_though_the_oldest_file_is_gone() -> Result<()> {
    let home = Home::new()?;
    let folder = home.folder().join("journals");
    std::fs::create_dir(&folder)?;
    let upstream = Taker::open(0)?;
    let documents = numbered(40, 1, 40);
    let journals = [folder.join("a.journal"), folder.join("b.journal")];
    let other = home.folder().join("c.journal");
    let parts = [&documents[..20], &documents[20..], &documents[..1]];
    for (journal, documents) in journals.iter().chain([&other]).zip(parts) {
        let passage = Passage::open(&home, &upstream.url(), journal, &[])?;
        let mut connection = passage.connect()?;
        for document in documents {
            let body = json!({ "TraceSegmentDocuments": [document] }).to_string();
            let response = connection.post("/TraceSegments", body.as_bytes())?;
            response.success()?;
        }
        drop(connection);
        passage.close()?;
    }
    let has_room = Arc::new(AtomicBool::new(false));
    let has_room_now = Arc::clone(&has_room);
    let taker = Taker::answering(move |_, names| {
        let is_early = names.iter().all(|name| name.as_str() < "000030");
        if is_early || has_room_now.load(Ordering::Relaxed) {
            Said::Taken
        } else {
            Said::Else(503, "{}".to_owned())
        }
    })?;
    let mut command = home.command();
    command
        .arg("replay")
        .arg(&folder)
        .args(["--to", &taker.url(), "--speed", "10"]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    until("what there is room for is sent", || {
        Ok((taker.n_documents() == 30).then_some(()))
    })?;
    terminate(child.id())?;
    let output = child.wait_with_output()?;
    assert_eq!(output.status.code(), Some(143), "{}", describe(&output));
    has_room.store(true, Ordering::Relaxed);

    std::fs::remove_file(folder.join("a.journal"))?;
    let report = replay_all(&home, &folder, &taker.url(), &["--resume"])?;
    assert_eq!(report["Accepted"], json!(10), "{report}");
    let came: HashSet<u32> = names(&taker.seen()).into_iter().collect();
    assert_eq!((came.len(), taker.n_documents()), (40, 40));

    // Where it had come to is gone, too.
    std::fs::rename(folder.join("b.journal"), folder.join("b.gone"))?;
    std::fs::copy(home.folder().join("c.journal"), folder.join("c.journal"))?;
    let output = replay(&home, &folder, &taker.url(), &["--resume"])?;
    assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
    assert!(
        describe(&output).contains("was removed"),
        "{}",
        describe(&output)
    );
    Ok(())
}
