//! What SIGHUP has read again: settings and access keys; certificates are in `tls`.

use std::fmt::Write as _;

use anyhow::Result;
use roentgen_tests::signing::Signer;
use roentgen_tests::wait::until;
use roentgen_tests::{Home, process};
use serde_json::json;

use crate::accounts::{ALICE, KEYS, OPERATOR, start, write_keys};
use crate::fixture::{segment, trace_id};

#[test]
fn keys_change_at_a_hangup_and_bad_ones_change_nothing() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "")?;
    let can_read = |signer: &Signer| -> Result<bool> {
        let answer = signer.post(&server, "/Traces", &json!({ "TraceIds": ["x"] }))?;
        Ok(answer.status == 200)
    };
    let carol = Signer::new("AKCAROL", "carols secret");
    assert!(can_read(&ALICE)? && !can_read(&carol)?);
    let changed = KEYS
        .replace("AKALICE", "AKCAROL")
        .replace("alices secret", "carols secret")
        .replace("111111111111", "333333333333");
    write_keys(&home, &changed)?;
    process::hangup(server.pid())?;
    until(
        "the new key is good",
        || Ok(can_read(&carol)?.then_some(())),
    )?;
    assert!(!can_read(&ALICE)?);
    carol.put_all(
        &server,
        &[segment(&trace_id(1), "00000000000000a1", &json!({}))],
    )?;

    write_keys(&home, "[[key]]\nid = \"AKALICE\"\nsecret = 'very secret'\n")?;
    process::hangup(server.pid())?;
    until("the log says what is wrong", || {
        Ok(server.log().contains("keys.toml").then_some(()))
    })?;
    assert!(can_read(&carol)?);
    assert!(!server.log().contains("very secret"), "{}", server.log());
    Ok(())
}

#[test]
fn a_request_under_way_is_held_to_what_was_in_force_when_it_began() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "")?;
    let document = segment(&trace_id(1), "00000000000000a1", &json!({}));
    let body = json!({ "TraceSegmentDocuments": [document] }).to_string();
    let mut head = format!(
        "POST /TraceSegments HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in ALICE.headers("POST", "/TraceSegments", body.as_bytes())? {
        write!(head, "{name}: {value}\r\n")?;
    }
    let (begun, rest) = body.split_at(body.len() / 2);
    let mut connection = server.connect()?;
    connection.send(format!("{head}\r\n{begun}").as_bytes())?;
    until("the request is under way", || {
        let figures = OPERATOR.get(&server, "/metrics")?.text();
        // Asking is a request, too.
        let is_under_way = figures.contains("roentgen_requests_in_flight 2");
        Ok(is_under_way.then_some(()))
    })?;
    home.config("[auth]\nmode = \"none\"\n")?;
    process::hangup(server.pid())?;
    until("nobody has to sign", || {
        Ok((server.post("/Groups", &json!({}))?.status == 200).then_some(()))
    })?;
    connection.send(rest.as_bytes())?;
    let answer = connection.receive()?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(
        server.log().contains("nobody has to sign any more"),
        "{}",
        server.log()
    );
    Ok(())
}

#[test]
fn settings_change_at_a_hangup() -> Result<()> {
    let home = Home::new()?;
    let server = home.start_with(&home.config("[limits]\ntrace_ids_per_call = 5\n")?)?;
    let asked = json!({ "TraceIds": (1..=6).map(trace_id).collect::<Vec<_>>() });
    assert_eq!(server.post("/Traces", &asked)?.status, 400);
    home.config("[limits]\ntrace_ids_per_call = 6\n[storage]\nretention = \"9d\"\n")?;
    process::hangup(server.pid())?;
    until("six ids are taken", || {
        Ok((server.post("/Traces", &asked)?.status == 200).then_some(()))
    })?;
    let log = server.log();
    assert!(log.contains("storage.retention"), "{log}");
    home.config("[limits]\ntrace_ids_per_call = 0\n")?;
    process::hangup(server.pid())?;
    until("the log says what is wrong", || {
        Ok(server
            .log()
            .contains("limits.trace_ids_per_call")
            .then_some(()))
    })?;
    assert_eq!(server.post("/Traces", &asked)?.status, 200);
    Ok(())
}
