//! Reading traces by id.

use anyhow::Result;
use roentgen_tests::{Home, server::list};
use serde_json::{Value, json};

use crate::fixture::{assert_error, segment, trace_id};

#[test]
fn an_unknown_trace_is_left_out() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let known = trace_id(1);
    server.put_all(&[segment(&known, "00000000000000a1", &json!({}))])?;
    let answer = server
        .post("/Traces", &json!({ "TraceIds": [trace_id(2), known] }))?
        .success()?;
    let traces = list(&answer, "Traces")?;
    assert_eq!((traces.len(), &traces[0]["Id"]), (1, &json!(known)));
    assert_eq!(answer["UnprocessedTraceIds"], json!([]));
    assert!(
        answer.get("NextToken").is_none_or(Value::is_null),
        "{answer}"
    );
    Ok(())
}

#[test]
fn ids_are_read_in_both_forms() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let known = trace_id(0x00ab_cdef);
    server.put_all(&[segment(&known, "00000000000000a1", &json!({}))])?;
    let w3c = known.replacen("1-", "", 1).replace('-', "");
    for asked in [known.clone(), w3c.clone(), w3c.to_uppercase()] {
        let traces = server.traces(&[&asked])?;
        assert_eq!(
            (traces.len(), &traces[0]["Id"]),
            (1, &json!(known)),
            "{asked}"
        );
    }
    Ok(())
}

#[test]
fn traces_come_in_the_order_asked_and_once() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let ids: Vec<String> = (1..=5).map(trace_id).collect();
    for id in &ids {
        server.put_all(&[segment(id, "00000000000000a1", &json!({}))])?;
    }
    let asked = [&ids[3], &ids[0], &ids[3], &ids[4], &ids[1]];
    let answer = server
        .post("/Traces", &json!({ "TraceIds": asked }))?
        .success()?;
    let found: Vec<Value> = list(&answer, "Traces")?
        .into_iter()
        .map(|trace| trace["Id"].clone())
        .collect();
    assert_eq!(
        found,
        [&ids[3], &ids[0], &ids[4], &ids[1]].map(|id| json!(id))
    );
    Ok(())
}

#[test]
fn malformed_ids_and_requests_are_refused() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    for body in [
        json!({}),
        json!({ "TraceIds": null }),
        json!({ "TraceIds": "1-5759e988-bd862e3fe1be46a994272793" }),
        json!({ "TraceIds": [17] }),
        json!({ "TraceIds": [null] }),
        json!({ "TraceIds": ["1-5759e988-bd862e3fe1be46a994272793"], "NextToken": 5 }),
        json!({ "TraceIds": ["1-5759e988-bd862e3fe1be46a994272793"], "NextToken": "never given out" }),
    ] {
        let message = assert_error(
            &server.post("/Traces", &body)?,
            400,
            "InvalidRequestException",
        )?;
        assert!(!message.is_empty(), "{body}");
    }
    Ok(())
}

#[test]
fn an_id_of_no_known_form_is_refused_or_unprocessed() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    for id in ["", "nonsense", "1-5759e988", "\u{0}"] {
        let response = server.post("/Traces", &json!({ "TraceIds": [id] }))?;
        if response.status == 200 {
            assert_eq!(response.json()?["UnprocessedTraceIds"], json!([id]));
        } else {
            assert_error(&response, 400, "InvalidRequestException")?;
        }
    }
    Ok(())
}

#[test]
fn segments_have_a_stable_order() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = trace_id(1);
    for id in ["00000000000000c3", "00000000000000a1", "00000000000000b2"] {
        server.put_all(&[segment(&trace_id, id, &json!({}))])?;
    }
    let ids: Vec<Value> = server
        .documents(&trace_id)?
        .iter()
        .map(|document| document["id"].clone())
        .collect();
    assert_eq!(
        ids,
        ["00000000000000a1", "00000000000000b2", "00000000000000c3"].map(|id| json!(id))
    );
    Ok(())
}

#[test]
fn duration_spans_all_segments() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = trace_id(1);
    for (id, start, end) in [
        ("00000000000000a1", 1000.25, 1001.0),
        ("00000000000000a2", 1000.5, 1004.75),
    ] {
        server.put_all(&[segment(
            &trace_id,
            id,
            &json!({ "start_time": start, "end_time": end }),
        )])?;
    }
    assert_eq!(server.traces(&[&trace_id])?[0]["Duration"], 4.5);
    Ok(())
}

#[test]
fn documents_of_any_age_are_kept() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let cases = [
        ("1-00000001-000000000000000000000001", 1.0),
        ("1-ffffffff-000000000000000000000002", 4_294_967_290.0),
        ("1-5759e988-000000000000000000000003", 1_461_096_053.0),
    ];
    for (trace_id, start) in cases {
        server.put_all(&[segment(
            trace_id,
            "00000000000000a1",
            &json!({ "start_time": start, "end_time": start + 1.0 }),
        )])?;
        assert_eq!(server.documents(trace_id)?.len(), 1, "{trace_id}");
    }
    Ok(())
}
