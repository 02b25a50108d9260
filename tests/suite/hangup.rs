//! What SIGHUP has read again: settings and access keys; certificates are in `tls`.

use anyhow::Result;
use roentgen_tests::wait::until;
use roentgen_tests::{Home, process};
use serde_json::json;

use crate::accounts::{ALICE, KEYS, start, write_keys};
use crate::fixture::{segment, trace_id};
use crate::signing::Signer;

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
