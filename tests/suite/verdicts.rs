//! One verdict per document: the codes and texts that clients know (X-Ray reference, "Response of `PutTraceSegments`").

use anyhow::Result;
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

use crate::fixture::{assert_error, segment, subsegment, trace_id};

/// Puts one document between two good ones and compares the verdict on it.
fn check(
    server: &Server,
    number: u32,
    document: &str,
    expected: (Option<&str>, &str),
) -> Result<()> {
    let trace_id = trace_id(number);
    let first = segment(&trace_id, "00000000000000f1", &json!({}));
    let last = segment(&trace_id, "00000000000000f2", &json!({}));
    let unprocessed = server.put(&[&first, document, &last])?;
    assert_eq!(unprocessed.len(), 1, "{document}: {unprocessed:?}");
    let verdict = &unprocessed[0];
    assert_eq!(
        (
            verdict.get("Id").and_then(Value::as_str),
            verdict["ErrorCode"].as_str()
        ),
        (expected.0, Some(expected.1)),
        "{document}: {verdict}"
    );
    let message = verdict["Message"].as_str().unwrap();
    assert!(
        message.contains(&format!("ErrorCode: {}", expected.1)),
        "{message}"
    );
    assert_eq!(
        server.documents(&trace_id)?.len(),
        2,
        "the good ones beside {document}"
    );
    Ok(())
}

/// Returns the document with one nested subsegment, changed by these members.
fn nested(trace_id: &str, id: &str, members: &Value) -> String {
    let inner = subsegment(trace_id, "00000000000000a2", id, members);
    let mut inner: Value = serde_json::from_str(&inner).unwrap();
    for member in ["trace_id", "type", "parent_id"] {
        inner.as_object_mut().unwrap().remove(member);
    }
    segment(trace_id, id, &json!({ "subsegments": [inner] }))
}

#[test]
fn each_fault_has_its_code_and_the_id_is_echoed() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace = trace_id(900);
    let id = "00000000000000a1";
    let own = |members: Value| segment(&trace, id, &members);
    let huge = json!({ "metadata": { "default": { "fill": "x".repeat(66_000) } } });
    let cases = [
        (own(json!({ "trace_id": null })), "MissingTraceId"),
        (own(json!({ "trace_id": "1-5759e988" })), "InvalidTraceId"),
        (
            own(json!({ "trace_id": "5759e988bd862e3fe1be46a994272793" })),
            "InvalidTraceId",
        ),
        (own(json!({ "trace_id": 17 })), "InvalidTraceId"),
        (own(json!({ "name": null })), "MissingName"),
        (own(json!({ "name": "what?" })), "InvalidName"),
        (own(json!({ "name": "" })), "MissingName"),
        (own(json!({ "name": "n".repeat(201) })), "InvalidName"),
        (own(json!({ "start_time": null })), "MissingStartTime"),
        (own(json!({ "start_time": "soon" })), "InvalidStartTime"),
        (own(json!({ "end_time": null })), "MissingEndTime"),
        (
            own(json!({ "end_time": null, "in_progress": false })),
            "MissingEndTime",
        ),
        (own(json!({ "end_time": "later" })), "InvalidEndTime"),
        (own(json!({ "type": "subsegment" })), "MissingParentId"),
        (own(json!({ "parent_id": "xyz" })), "InvalidParentId"),
        (own(json!({ "annotations": [1] })), "InvalidAnnotations"),
        (own(huge), "InvalidSegment"),
        (
            nested(&trace, id, &json!({ "end_time": null })),
            "MissingEndTime",
        ),
        (
            nested(&trace, id, &json!({ "name": "GET /a?b=c" })),
            "InvalidName",
        ),
        (nested(&trace, id, &json!({ "id": null })), "MissingId"),
    ];
    for (number, (document, code)) in (0..).zip(&cases) {
        check(&server, number, document, (Some(id), code))?;
    }
    check(
        &server,
        800,
        &own(json!({ "id": null })),
        (None, "MissingId"),
    )?;
    check(&server, 801, "[]", (None, "MissingId"))?;
    check(
        &server,
        802,
        &own(json!({ "id": "xyz" })),
        (Some("xyz"), "InvalidId"),
    )
}

#[test]
fn messages_have_the_shape_of_the_service() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace = trace_id(1);
    let own = segment(&trace, "00000000000000a1", &json!({ "name": "what?" }));
    let nested = segment(
        &trace,
        "00000000000000a1",
        &json!({
            "subsegments": [{ "id": "00000000000000a2", "name": "inner", "start_time": 1.0 }],
        }),
    );
    for (document, expected) in [
        (own, "Invalid segment. ErrorCode: InvalidName"),
        (
            nested,
            "Invalid subsegment. ErrorCode: MissingEndTime, Cause: ",
        ),
    ] {
        let unprocessed = server.put(&[document])?;
        let message = unprocessed[0]["Message"].as_str().unwrap();
        assert!(message.starts_with(expected), "{message}");
    }
    assert!(server.documents(&trace)?.is_empty());
    Ok(())
}

#[test]
fn text_that_is_no_document_gets_a_verdict() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    for (number, document) in (0..).zip([
        "",
        "nonsense",
        "{",
        "null",
        "17",
        "\"text\"",
        "{\"id\":\"00000000000000a1\"",
        "[1]",
        "{} trailing",
    ]) {
        let trace_id = trace_id(number);
        let good = segment(&trace_id, "00000000000000f1", &json!({}));
        let unprocessed = server.put(&[document, &good])?;
        assert_eq!(unprocessed.len(), 1, "{document}");
        assert!(
            unprocessed[0]["ErrorCode"].is_string(),
            "{document}: {unprocessed:?}"
        );
        assert_eq!(server.documents(&trace_id)?.len(), 1, "{document}");
    }
    Ok(())
}

#[test]
fn limits_of_a_call_are_those_of_aws() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = trace_id(1);
    let documents = |count: u32| {
        (0..count)
            .map(|number| segment(&trace_id, &format!("{number:016x}"), &json!({})))
            .collect::<Vec<_>>()
    };
    server.put_all(&documents(50))?;
    let refused = server.post(
        "/TraceSegments",
        &json!({ "TraceSegmentDocuments": documents(51) }),
    )?;
    assert_eq!(
        assert_error(&refused, 400, "InvalidRequestException")?,
        "Exceeding maximum segment count: 50"
    );
    let refused = server.post("/Traces", &json!({ "TraceIds": vec![&trace_id; 6] }))?;
    assert_eq!(
        assert_error(&refused, 400, "InvalidRequestException")?,
        "Exceeding maximum query size: 5"
    );
    assert_eq!(server.documents(&trace_id)?.len(), 50);
    Ok(())
}

#[test]
fn limits_can_be_set() -> Result<()> {
    let home = Home::new()?;
    let config = home.config(
        "[limits]\ndocument_bytes = 500\ndocuments_per_call = 2\ntrace_ids_per_call = 1\n",
    )?;
    let server = home.start_with(&config)?;
    let trace_id = trace_id(1);
    let big = segment(
        &trace_id,
        "00000000000000a1",
        &json!({ "metadata": { "default": { "fill": "x".repeat(500) } } }),
    );
    assert_eq!(server.put(&[big])?[0]["ErrorCode"], "InvalidSegment");
    let small = segment(&trace_id, "00000000000000a1", &json!({}));
    let refused = server.post(
        "/TraceSegments",
        &json!({ "TraceSegmentDocuments": [small, small, small] }),
    )?;
    assert_eq!(
        assert_error(&refused, 400, "InvalidRequestException")?,
        "Exceeding maximum segment count: 2"
    );
    let refused = server.post("/Traces", &json!({ "TraceIds": [trace_id, trace_id] }))?;
    assert_eq!(
        assert_error(&refused, 400, "InvalidRequestException")?,
        "Exceeding maximum query size: 1"
    );
    Ok(())
}

#[test]
fn a_trace_may_be_limited_in_size() -> Result<()> {
    let home = Home::new()?;
    let server = home.start_with(&home.config("[limits]\ntrace_bytes = 20000\n")?)?;
    let trace_id = trace_id(1);
    let document = |number: u32| {
        segment(
            &trace_id,
            &format!("{number:016x}"),
            &json!({ "metadata": { "default": { "fill": "x".repeat(9000) } } }),
        )
    };
    // The document that passes the limit is still taken; those after it are not.
    for number in 1..=3 {
        server.put_all(&[document(number)])?;
    }
    let unprocessed = server.put(&[document(4)])?;
    assert_eq!(
        (&unprocessed[0]["Id"], &unprocessed[0]["ErrorCode"]),
        (&json!("0000000000000004"), &json!("InvalidSegment"))
    );
    assert!(
        unprocessed[0]["Message"]
            .as_str()
            .unwrap()
            .contains("Trace Size Exceeded"),
        "{unprocessed:?}"
    );
    let traces = server.traces(&[&trace_id])?;
    assert_eq!(
        (
            traces[0]["Segments"].as_array().unwrap().len(),
            &traces[0]["LimitExceeded"]
        ),
        (3, &json!(true))
    );
    Ok(())
}
