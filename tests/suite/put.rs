//! What goes in comes back: documents of every kind, in every order.

use anyhow::Result;
use roentgen_tests::Home;
use roentgen_tests::ledger::difference;
use serde_json::{Value, json};

use crate::fixture::{only_summary, segment, subsegment, trace_id, with_id};

#[test]
fn a_segment_comes_back_as_it_was_sent() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = trace_id(1);
    let text = segment(
        &trace_id,
        "00000000000000a1",
        &json!({
            "http": { "request": { "method": "GET", "url": "https://shop.example.com/" }, "response": { "status": 200 } },
            "annotations": { "tier": "gold", "items": 3, "returning": true },
            "metadata": { "default": { "anything": [1, { "deep": null }] } },
            "subsegments": [{ "id": "00000000000000a2", "name": "render", "start_time": 1.5, "end_time": 2.5 }],
        }),
    );
    server.put_all(&[&text])?;
    let traces = server.traces(&[&trace_id])?;
    assert_eq!(traces.len(), 1);
    assert_eq!(traces[0]["Id"], trace_id);
    assert_eq!(traces[0]["LimitExceeded"], false);
    assert_eq!(traces[0]["Duration"], 1.0);
    let documents = server.documents(&trace_id)?;
    assert_eq!(documents.len(), 1);
    let sent: Value = serde_json::from_str(&text)?;
    assert_eq!(difference(&sent, &documents[0]), None);
    Ok(())
}

#[test]
fn a_number_keeps_its_own_text() -> Result<()> {
    let server = Home::new()?;
    let server = server.start()?;
    let trace_id = trace_id(1);
    let text = format!(
        r#"{{"name":"exact","id":"00000000000000b1","trace_id":"{trace_id}","start_time":1.499473411677E9,"end_time":1499473411.9876543210,"metadata":{{"default":{{"big":123456789012345678901234567890}}}}}}"#
    );
    server.put_all(&[text])?;
    let document = server.traces(&[&trace_id])?[0]["Segments"][0]["Document"].to_string();
    for number in [
        "1.499473411677E9",
        "1499473411.9876543210",
        "123456789012345678901234567890",
    ] {
        assert!(document.contains(number), "{number} is not in {document}");
    }
    Ok(())
}

#[test]
fn the_finished_copy_replaces_the_one_in_progress() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = trace_id(1);
    let begun = segment(
        &trace_id,
        "00000000000000a1",
        &json!({ "end_time": null, "in_progress": true, "user": "early" }),
    );
    let finished = segment(&trace_id, "00000000000000a1", &json!({ "user": "late" }));

    server.put_all(&[&begun])?;
    let documents = server.documents(&trace_id)?;
    assert_eq!(
        (&documents[0]["in_progress"], &documents[0]["user"]),
        (&json!(true), &json!("early"))
    );
    assert_eq!(only_summary(&server)?["IsPartial"], true);

    server.put_all(&[&finished])?;
    let documents = server.documents(&trace_id)?;
    assert_eq!(documents.len(), 1);
    assert_eq!(documents[0]["user"], "late");
    assert_ne!(documents[0]["in_progress"], true);
    let summary = only_summary(&server)?;
    assert_eq!(
        (&summary["IsPartial"], &summary["Revision"]),
        (&json!(false), &json!(2))
    );

    // Whatever the order of arrival: a late copy in progress changes nothing.
    server.put_all(&[&begun])?;
    assert_eq!(server.documents(&trace_id)?[0]["user"], "late");
    assert_eq!(only_summary(&server)?["IsPartial"], false);
    Ok(())
}

#[test]
fn both_copies_in_one_call_keep_the_finished_one() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let (first, second) = (trace_id(1), trace_id(2));
    let begun = |trace_id: &str| {
        segment(
            trace_id,
            "00000000000000a1",
            &json!({ "end_time": null, "in_progress": true }),
        )
    };
    let finished =
        |trace_id: &str| segment(trace_id, "00000000000000a1", &json!({ "user": "late" }));
    server.put_all(&[
        begun(&first),
        finished(&first),
        finished(&second),
        begun(&second),
    ])?;
    for trace_id in [first, second] {
        assert_eq!(server.documents(&trace_id)?[0]["user"], "late");
    }
    Ok(())
}

#[test]
fn repeats_change_nothing_and_changes_are_counted() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = trace_id(1);
    let one = segment(&trace_id, "00000000000000a1", &json!({ "user": "one" }));
    let two = segment(&trace_id, "00000000000000a1", &json!({ "user": "two" }));
    for (text, revision, user) in [
        (&one, 1, "one"),
        (&one, 1, "one"),
        (&two, 2, "two"),
        (&two, 2, "two"),
        (&one, 3, "one"),
    ] {
        server.put_all(&[text])?;
        assert_eq!(only_summary(&server)?["Revision"], revision);
        let documents = server.documents(&trace_id)?;
        assert_eq!((documents.len(), &documents[0]["user"]), (1, &json!(user)));
    }
    Ok(())
}

#[test]
fn independent_subsegments_fold_under_their_parent_in_any_order() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = trace_id(1);
    // The grandchild first, then the child, then the segment itself.
    server.put_all(&[subsegment(
        &trace_id,
        "00000000000000a3",
        "00000000000000a2",
        &json!({ "name": "grandchild" }),
    )])?;
    server.put_all(&[subsegment(
        &trace_id,
        "00000000000000a2",
        "00000000000000a1",
        &json!({ "name": "child" }),
    )])?;
    server.put_all(&[segment(&trace_id, "00000000000000a1", &json!({
        "subsegments": [{ "id": "00000000000000a4", "name": "nested", "start_time": 1.0, "end_time": 2.0 }],
    }))])?;
    server.put_all(&[subsegment(
        &trace_id,
        "00000000000000a5",
        "00000000000000a4",
        &json!({ "name": "below nested" }),
    )])?;

    let documents = server.documents(&trace_id)?;
    assert_eq!(documents.len(), 1, "{documents:?}");
    let children = documents[0]["subsegments"].as_array().unwrap();
    let child = with_id(children, "00000000000000a2")?;
    assert_eq!(child["subsegments"][0]["id"], "00000000000000a3");
    assert_eq!(
        with_id(children, "00000000000000a4")?["subsegments"][0]["id"],
        "00000000000000a5"
    );
    for member in ["type", "trace_id", "parent_id"] {
        assert_eq!(child.get(member), None, "{member}");
    }
    Ok(())
}

#[test]
fn an_array_of_documents_is_a_batch() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = trace_id(1);
    let one = segment(&trace_id, "00000000000000a1", &json!({}));
    let two = segment(&trace_id, "00000000000000a2", &json!({}));
    server.put_all(&[format!("[{one},\n {two}]\n")])?;
    assert_eq!(server.documents(&trace_id)?.len(), 2);
    Ok(())
}

#[test]
fn orphans_are_visible_unless_hidden() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = trace_id(1);
    let orphan = subsegment(
        &trace_id,
        "00000000000000a2",
        "00000000000000a1",
        &json!({}),
    );
    server.put_all(&[&orphan])?;
    let traces = server.traces(&[&trace_id])?;
    assert_eq!(traces[0]["Duration"], Value::Null);
    let documents = server.documents(&trace_id)?;
    let orphan: Value = serde_json::from_str(&orphan)?;
    assert_eq!(difference(&orphan, &documents[0]), None);
    assert!(server.terminate()?.success());

    let hidden = home.start_with(&home.config("[query]\norphans = \"hidden\"\n")?)?;
    let traces = hidden.traces(&[&trace_id])?;
    assert_eq!(
        (&traces[0]["Duration"], &traces[0]["Segments"]),
        (&Value::Null, &json!([]))
    );
    Ok(())
}

#[test]
fn calls_to_services_that_send_nothing_are_inferred() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = trace_id(1);
    let call = |id: &str, members: Value| {
        let mut call = json!({ "id": id, "name": "DynamoDB", "namespace": "aws", "start_time": 10.0, "end_time": 10.5 });
        call.as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        call
    };
    server.put_all(&[segment(&trace_id, "00000000000000a1", &json!({ "subsegments": [
        call("00000000000000a2", json!({ "aws": { "table_name": "orders", "operation": "GetItem" } })),
        call("00000000000000a3", json!({ "name": "stock.internal", "namespace": "remote", "fault": true })),
        call("00000000000000a4", json!({ "name": "answered.internal", "namespace": "remote" })),
    ] }))])?;
    server.put_all(&[segment(
        &trace_id,
        "00000000000000a9",
        &json!({ "name": "answered.internal", "parent_id": "00000000000000a4" }),
    )])?;

    let documents = server.documents(&trace_id)?;
    let inferred: Vec<&Value> = documents
        .iter()
        .filter(|document| document["inferred"] == true)
        .collect();
    assert_eq!((documents.len(), inferred.len()), (4, 2), "{documents:?}");
    let table = inferred
        .iter()
        .find(|document| document["parent_id"] == "00000000000000a2")
        .unwrap();
    assert_eq!(
        (&table["origin"], &table["name"]),
        (&json!("AWS::DynamoDB::Table"), &json!("DynamoDB"))
    );
    let remote = inferred
        .iter()
        .find(|document| document["parent_id"] == "00000000000000a3")
        .unwrap();
    assert_eq!(
        (
            remote.get("origin"),
            &remote["fault"],
            remote.get("namespace")
        ),
        (None, &json!(true), None)
    );

    // The ids of inferred segments are the same for every reader.
    assert_eq!(server.documents(&trace_id)?, documents);
    Ok(())
}

#[test]
fn members_outside_the_schema_are_accepted() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = trace_id(1);
    server.put_all(&[segment(&trace_id, "00000000000000a1", &json!({
        "Dummy": false, "in_progress": false, "traced": true, "service": {},
        "annotations": { "upstream_cluster.name": "a", "guid:x-request-id": "b", "odd": "\u{7a7a}" },
        "http": { "response": { "status": 200, "content_length": "861" } },
        "aws": { "table_name": "null follows", "xray": { "rule_name": "Default" } },
        "cause": "00000000000000ff",
    }))])?;
    let documents = server.documents(&trace_id)?;
    assert_eq!(documents[0]["annotations"]["odd"], "\u{7a7a}");
    assert_eq!(
        (documents[0].get("Dummy"), &documents[0]["service"]),
        (None, &json!({}))
    );
    assert_eq!(
        (
            &documents[0]["cause"],
            &documents[0]["http"]["response"]["content_length"]
        ),
        (&json!("00000000000000ff"), &json!("861"))
    );
    Ok(())
}

#[test]
fn telemetry_is_accepted_and_counted() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let record = json!({
        "Timestamp": 1_700_000_000.5, "SegmentsReceivedCount": 7, "SegmentsSentCount": 6, "SegmentsSpilloverCount": 0, "SegmentsRejectedCount": 1,
        "BackendConnectionErrors": { "TimeoutCount": 2, "ConnectionRefusedCount": 0, "HTTPCode4XXCount": 0, "HTTPCode5XXCount": 0, "UnknownHostCount": 0, "OtherCount": 0 },
    });
    let before = server.metrics()?;
    let answer = server.post("/TelemetryRecords", &json!({ "TelemetryRecords": [record], "EC2InstanceId": "", "Hostname": "", "ResourceARN": "" }))?;
    assert_eq!(answer.success()?, json!({}));
    let after = server.metrics()?;
    let telemetry = |text: &str| {
        text.lines()
            .filter(|line| line.contains("telemetry") && !line.starts_with('#'))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert!(
        !telemetry(&after).is_empty(),
        "no line about telemetry in\n{after}"
    );
    assert_ne!(telemetry(&before), telemetry(&after));
    Ok(())
}
