//! Backups of a server that serves: restored they answer as it did, and what is no whole backup becomes no store.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};

use anyhow::{Context, Result};
use roentgen_tests::process::describe;
use roentgen_tests::random::Random;
use roentgen_tests::wait::until;
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

use crate::accounts::{ALICE, OPERATOR, start as start_with_keys};
use crate::datagrams::figure;
use crate::fixture::{assert_error, segment, subsegment, summaries, trace_id};

/// Asks for a backup and writes it to a file.
fn backup(server: &Server, home: &Home) -> Result<PathBuf> {
    let answer = server.get("/api/v1/backup")?;
    anyhow::ensure!(answer.status == 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/zstd"));
    let file = home.folder().join("backup.tar.zst");
    fs::write(&file, &answer.body)?;
    Ok(file)
}

/// Runs `roentgen restore` and returns its exit code and what it printed.
fn restore(file: &Path, home: &Home) -> Result<(i32, String)> {
    let (file, data) = (
        file.display().to_string(),
        home.data().display().to_string(),
    );
    let output = home.run(&["restore", &file, "--data", &data])?;
    let text = [output.stdout, output.stderr].concat();
    let code = output.status.code().context("an exit code")?;
    Ok((code, String::from_utf8_lossy(&text).into_owned()))
}

fn check_deep(home: &Home) -> Result<()> {
    let data = home.data().display().to_string();
    let output = home.run(&["check", "--deep", "--data", &data])?;
    let text = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(output.status.success() && text.contains("sound"), "{text}");
    Ok(())
}

/// Returns what a server answers to everything that is asked here.
fn answers(server: &Server, ids: &[String]) -> Result<Vec<Value>> {
    let mut answers = Vec::new();
    for id in ids {
        let mut documents = server.documents(id)?;
        documents.sort_by_key(|document| document["id"].to_string());
        answers.push(json!(documents));
    }
    answers.push(json!(summaries(server, &json!({}))?));
    answers.push(json!(summaries(
        server,
        &json!({ "FilterExpression": "annotation.k = \"v\"" })
    )?));
    let window = json!({ "StartTime": 0, "EndTime": 4_000_000_000_u32 });
    answers.push(server.post("/ServiceGraph", &window)?.success()?["Services"].clone());
    answers.push(server.post("/Groups", &json!({}))?.success()?);
    answers.push(server.post("/GetSamplingRules", &json!({}))?.success()?);
    Ok(answers)
}

/// Runs `roentgen backup` and returns its exit code and what it printed.
fn run_backup(home: &Home, url: &str, more: &[&str]) -> Result<(i32, String)> {
    let file = home.folder().join("copy.tar.zst").display().to_string();
    let arguments = [&["backup", "-o", &file, "--endpoint", url], more].concat();
    let output = home.run(&arguments)?;
    let text = [output.stdout, output.stderr].concat();
    let code = output.status.code().context("an exit code")?;
    Ok((code, String::from_utf8_lossy(&text).into_owned()))
}

/// Answers one request with these bytes, and returns where.
fn answering(body: Vec<u8>) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    std::thread::spawn(move || -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut head = [0; 4096];
        let n_read = stream.read(&mut head)?;
        anyhow::ensure!(n_read > 0, "no request");
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/zstd\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(&[head.as_bytes(), &body].concat())?;
        Ok(())
    });
    Ok(url)
}

#[test]
fn the_command_keeps_whole_copies_and_no_others() -> Result<()> {
    let (home, other) = (Home::new()?, Home::new()?);
    let server = home.start()?;
    let trace_id = trace_id(1);
    server.put_all(&[segment(&trace_id, "00000000000000a1", &json!({}))])?;
    let file = home.folder().join("copy.tar.zst");
    let (code, text) = run_backup(&home, &server.url(), &[])?;
    assert_eq!(code, 0, "{text}");
    let (code, text) = run_backup(&home, &server.url(), &[])?;
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("--force"), "{text}");
    let whole = fs::read(&file)?;
    // What is not whole takes the place of nothing, and is not left behind.
    let (half, _) = whole.split_at(whole.len() / 2);
    let (code, text) = run_backup(&home, &answering(half.to_vec())?, &["--force"])?;
    assert_eq!(code, 6, "{text}");
    assert!(fs::read(&file)? == whole);
    let names = fs::read_dir(home.folder())?.map(|entry| Ok(entry?.file_name()));
    let names: Vec<_> = names.collect::<Result<_>>()?;
    let copies = names
        .iter()
        .filter(|name| name.to_string_lossy().contains("copy"));
    assert_eq!(copies.count(), 1, "{names:?}");
    let (code, text) = run_backup(&home, &server.url(), &["--force"])?;
    assert_eq!(code, 0, "{text}");
    let (code, text) = restore(&file, &other)?;
    assert_eq!(code, 0, "{text}");
    for words in [
        " in 1 partition to ",
        "  sealed  1 document  ",
        "sound: 1 partition\n",
    ] {
        assert!(text.contains(words), "{text}");
    }
    let restored = other.start()?;
    assert_eq!(restored.documents(&trace_id)?, server.documents(&trace_id)?);
    Ok(())
}

#[test]
fn a_restored_server_answers_as_the_one_that_was_copied() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let ids: Vec<String> = (1..=3).map(trace_id).collect();
    let group = json!({ "GroupName": "vs", "FilterExpression": "annotation.k = \"v\"" });
    server.post("/CreateGroup", &group)?.success()?;
    let rule = json!({ "SamplingRule": {
        "RuleName": "shop", "ResourceARN": "*", "Priority": 1, "FixedRate": 0.5, "ReservoirSize": 1,
        "ServiceName": "*", "ServiceType": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "*", "Version": 1,
    }});
    server.post("/CreateSamplingRule", &rule)?.success()?;
    let annotated = json!({ "annotations": { "k": "v" } });
    server.put_all(&[segment(&ids[0], "00000000000000a1", &annotated)])?;
    server.put_all(&[segment(
        &ids[1],
        "00000000000000a1",
        &json!({ "fault": true }),
    )])?;
    backup(&server, &home)?;
    // A trace that goes on in the partition after.
    let child = subsegment(&ids[0], "00000000000000b1", "00000000000000a1", &json!({}));
    server.put_all(&[child, segment(&ids[2], "00000000000000a1", &json!({}))])?;
    let file = backup(&server, &home)?;
    let before = answers(&server, &ids)?;
    let page = json!({ "TraceIds": ids });
    assert!(server.terminate()?.success());
    check_deep(&home)?;

    let other = Home::new()?;
    let (code, text) = restore(&file, &other)?;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("2 partitions") && text.contains("sound"),
        "{text}"
    );
    check_deep(&other)?;
    let server = other.start()?;
    assert_eq!(answers(&server, &ids)?, before);
    assert_eq!(server.post("/Traces", &page)?.status, 200);
    server.put_all(&[segment(&ids[2], "00000000000000a2", &json!({}))])?;
    assert_eq!(server.documents(&ids[2])?.len(), 2);
    Ok(())
}

#[test]
fn what_is_no_whole_backup_is_not_restored() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    server.put_all(&[segment(&trace_id(1), "00000000000000a1", &json!({}))])?;
    let file = backup(&server, &home)?;
    let other = Home::new()?;
    let bytes = fs::read(&file)?;
    let part = other.folder().join("part");
    fs::write(&part, &bytes[..bytes.len() - 20])?;
    let (code, text) = restore(&part, &other)?;
    assert_eq!(code, 6, "{text}");
    fs::write(&part, b"something else")?;
    assert_eq!(restore(&part, &other)?.0, 6);
    assert_eq!(restore(Path::new("nowhere"), &other)?.0, 3);
    assert!(!other.data().exists());
    assert_eq!(restore(&file, &other)?.0, 0);
    let (code, text) = restore(&file, &other)?;
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("not empty"), "{text}");
    Ok(())
}

#[test]
fn only_the_operator_may_copy_everything() -> Result<()> {
    let home = Home::new()?;
    let server = start_with_keys(&home, "")?;
    let document = segment(&trace_id(1), "00000000000000a1", &json!({}));
    ALICE.put_all(&server, &[document])?;
    let refused = ALICE.get(&server, "/api/v1/backup")?;
    assert_error(&refused, 403, "AccessDeniedException")?;
    let refused = server.get("/api/v1/backup")?;
    assert_error(&refused, 403, "MissingAuthenticationTokenException")?;
    let answer = OPERATOR.get(&server, "/api/v1/backup")?;
    assert_eq!(answer.status, 200);
    let file = home.folder().join("backup.tar.zst");
    fs::write(&file, &answer.body)?;
    server.terminate()?;
    // Accounts keep what is theirs.
    fs::rename(home.data(), home.folder().join("original"))?;
    assert_eq!(restore(&file, &home)?.0, 0);
    let server = start_with_keys(&home, "")?;
    let request = json!({ "TraceIds": [trace_id(1)] });
    assert_eq!(ALICE.post(&server, "/Traces", &request)?.status, 200);
    Ok(())
}

/// A container's volume is there before anything is restored into it, and may be a file system of its own.
#[test]
fn a_backup_is_restored_into_a_folder_that_is_there() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let id = trace_id(1);
    server.put_all(&[segment(&id, "00000000000000a1", &json!({}))])?;
    let file = backup(&server, &home)?.display().to_string();
    let other = Home::new()?;
    fs::create_dir_all(other.data().join("lost+found"))?;
    // Nothing could be renamed over the folder it stands in.
    let mut command = other.command();
    command.args(["restore", &file, "--data", "."]);
    let output = command.current_dir(other.data()).output()?;
    assert!(output.status.success(), "{}", describe(&output));
    assert_eq!(names(other.folder())?, ["data"]);
    let there = ["LOCK", "MANIFEST", "control", "dict", "lost+found", "p"];
    assert_eq!(names(other.data())?, there);
    let checked = other.check()?;
    assert!(checked.status.success(), "{}", describe(&checked));
    let restored = other.start()?;
    assert_eq!(restored.documents(&id)?, server.documents(&id)?);
    Ok(())
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Begins a restore from its standard input and returns it with that.
fn begin_restore(home: &Home) -> Result<(Child, ChildStdin)> {
    let mut command = home.command();
    command.args(["restore", "-", "--data"]).arg(home.data());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let input = child.stdin.take().context("stdin")?;
    Ok((child, input))
}

/// Fails unless the whole store is there or none, and then everybody is told what to remove, after which there is room.
fn check_whole_or_none(home: &Home, file: &Path, id: &str) -> Result<()> {
    if !home.data().join("MANIFEST").exists() {
        let remains = home.data().join("restoring").display().to_string();
        let file = file.display().to_string();
        let data = home.data().display().to_string();
        for (output, code) in [
            (home.serve_output::<&str>(&[])?, 1),
            (home.check()?, 1),
            (home.run(&["restore", &file, "--data", &data])?, 2),
        ] {
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{}", describe(&output));
            assert!(
                told.contains("cut off") && told.contains(&remains),
                "{told}"
            );
            let (_, to_remove) = told.split_once("remove ").context("what to remove")?;
            for name in names(home.data())?.iter().filter(|name| *name != "LOCK") {
                let path = home.data().join(name).display().to_string();
                assert!(to_remove.contains(&path), "{told}");
            }
        }
        for name in names(home.data())?.iter().filter(|name| *name != "LOCK") {
            fs::remove_dir_all(home.data().join(name))?;
        }
        let (code, text) = restore(Path::new(&file), home)?;
        assert_eq!(code, 0, "{text}");
    }
    check_deep(home)?;
    let server = home.start()?;
    assert_eq!(server.documents(id)?.len(), 1);
    assert!(!home.data().join("restoring").exists());
    server.terminate()?;
    Ok(())
}

#[test]
fn a_restore_that_is_killed_leaves_no_store_or_the_whole_one() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let id = trace_id(1);
    server.put_all(&[segment(&id, "00000000000000a1", &json!({}))])?;
    let file = backup(&server, &home)?;
    server.terminate()?;
    let bytes = fs::read(&file)?;
    // What is not sent yet keeps it where it is.
    for n_sent in [0, bytes.len() / 2, bytes.len() - 1] {
        let other = Home::new()?;
        let (mut child, mut input) = begin_restore(&other)?;
        input.write_all(&bytes[..n_sent])?;
        let below = other.data().join("restoring");
        until("it is at work", || Ok(below.exists().then_some(())))?;
        child.kill()?;
        child.wait()?;
        assert!(below.exists() && !other.data().join("MANIFEST").exists());
        check_whole_or_none(&other, &file, &id)?;
    }
    // At its end it is killed as soon as something is seen of it, and may be further.
    for seen in ["restoring/control", "dict", "control", "p", "MANIFEST"] {
        let other = Home::new()?;
        let (mut child, mut input) = begin_restore(&other)?;
        input.write_all(&bytes)?;
        drop(input);
        let path = other.data().join(seen);
        until("it is seen", || {
            let is_done = other.data().join("MANIFEST").exists();
            Ok((is_done || path.exists()).then_some(()))
        })?;
        child.kill()?;
        child.wait()?;
        check_whole_or_none(&other, &file, &id)?;
    }
    Ok(())
}

/// Puts the documents and has the partition sealed.
fn put_and_seal(server: &Server, home: &Home, documents: &[String]) -> Result<()> {
    server.put_all(documents)?;
    backup(server, home).map(drop)
}

/// Runs `check --deep` and returns its exit code and what it printed.
fn deep(home: &Home) -> Result<(i32, String)> {
    let data = home.data().display().to_string();
    let output = home.run(&["check", "--deep", "--data", &data])?;
    let code = output.status.code().context("an exit code")?;
    Ok((code, describe(&output)))
}

#[test]
fn the_sums_of_groups_are_held_against_their_filters() -> Result<()> {
    let with_group = |filter: &str| -> Result<(Home, Server)> {
        let home = Home::new()?;
        let server = home.start()?;
        let group = json!({ "GroupName": "one", "FilterExpression": filter });
        server.post("/CreateGroup", &group)?.success()?;
        Ok((home, server))
    };
    let (others, server) = with_group("fault")?;
    server.terminate()?;
    let nobodys = Home::new()?;
    nobodys.start()?.terminate()?;
    let (home, server) = with_group("user = \"u\"")?;
    for (name, filter) in [("two", "group.name = \"one\" AND error"), ("all", "")] {
        let group = json!({ "GroupName": name, "FilterExpression": filter });
        server.post("/CreateGroup", &group)?.success()?;
    }
    let ids: Vec<String> = (1..=5).map(trace_id).collect();
    let of = |nth: usize, id: &str, members: &Value| segment(&ids[nth], id, members);
    let (one, two) = ("00000000000000a1", "00000000000000a2");
    let begun = json!({ "in_progress": true, "end_time": null, "user": "u" });
    let documents = [
        of(0, one, &json!({ "user": "u", "error": true })),
        of(1, one, &begun),
        of(2, one, &json!({ "fault": true })),
    ];
    put_and_seal(&server, &home, &documents)?;
    let change = json!({ "GroupName": "one", "FilterExpression": "fault" });
    server.post("/UpdateGroup", &change)?.success()?;
    // Late, overwritten, and new under another filter.
    let documents = [
        of(0, two, &json!({ "fault": true })),
        of(1, one, &json!({ "user": "v" })),
        of(2, one, &json!({ "user": "u" })),
        of(3, one, &json!({ "fault": true, "error": true })),
    ];
    put_and_seal(&server, &home, &documents)?;
    server
        .post("/DeleteGroup", &json!({ "GroupName": "all" }))?
        .success()?;
    put_and_seal(
        &server,
        &home,
        &[of(4, one, &json!({})), of(1, two, &json!({}))],
    )?;
    server.terminate()?;
    let (code, text) = deep(&home)?;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("sound: 4 partitions"), "{text}");

    // Settings of another store, in which the group had another filter all the time.
    let own = home.folder().join("own");
    fs::rename(home.data().join("control"), &own)?;
    fs::rename(others.data().join("control"), home.data().join("control"))?;
    let (code, text) = deep(&home)?;
    assert_eq!(code, 6, "{text}");
    for words in ["sums of group 1 of tenant 0 by minute", "by hour"] {
        assert!(text.contains(words), "{text}");
    }
    assert!(!text.contains("all traces"), "{text}");
    // Of groups that are gone nobody knows what they had.
    fs::remove_dir_all(home.data().join("control"))?;
    fs::rename(nobodys.data().join("control"), home.data().join("control"))?;
    let (code, text) = deep(&home)?;
    assert_eq!(code, 0, "{text}");
    Ok(())
}

/// Puts more than sockets hold, and begins a backup nobody reads on.
fn stalled(server: &Server) -> Result<TcpStream> {
    let mut random = Random::new(5);
    let mut document = |number: u32| {
        let noise: Vec<String> = (0..1000)
            .map(|_| format!("{:016x}", random.bits()))
            .collect();
        let members = json!({ "metadata": { "noise": noise.concat() } });
        segment(&trace_id(number), "00000000000000a1", &members)
    };
    for call in 0..60 {
        let documents: Vec<String> = (0..45)
            .map(|nth| document(1000 + call * 45 + nth))
            .collect();
        server.put_all(&documents)?;
    }
    let mut stream = TcpStream::connect(server.address())?;
    stream.write_all(b"GET /api/v1/backup HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut first = [0; 64];
    stream.read_exact(&mut first)?;
    anyhow::ensure!(first.starts_with(b"HTTP/1.1 200"), "no backup");
    Ok(stream)
}

#[test]
fn one_backup_is_made_at_a_time_and_a_kill_harms_nothing() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let id = trace_id(77);
    server.put_all(&[segment(&id, "00000000000000a1", &json!({}))])?;
    let stream = stalled(&server)?;
    let refused = server.get("/api/v1/backup")?;
    assert_error(&refused, 429, "ThrottledException")?;
    // Writes and reads go on meanwhile.
    server.put_all(&[segment(&id, "00000000000000a2", &json!({}))])?;
    assert_eq!(server.documents(&id)?.len(), 2);
    drop(stream);
    let again = until("the next one may begin", || {
        let answer = server.get("/api/v1/backup")?;
        Ok((answer.status == 200).then_some(answer))
    })?;
    assert!(again.body.len() > 15 << 20);
    let n_partitions = figure(&server, "roentgen_store_partitions", &[])?;
    assert!(n_partitions >= 3, "{n_partitions}");
    let mut stream = TcpStream::connect(server.address())?;
    stream.write_all(b"GET /api/v1/backup HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut begun = vec![0; 1 << 20];
    stream.read_exact(&mut begun)?;
    server.kill9()?;
    let mut rest = Vec::new();
    // It ends with a reset or without its end.
    let _ended = stream.read_to_end(&mut rest);
    check_deep(&home)?;
    let server = home.start()?;
    assert_eq!(server.documents(&id)?.len(), 2);
    Ok(())
}
