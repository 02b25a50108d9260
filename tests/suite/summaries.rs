//! Lists of traces: members, windows, sampling and pages.

use std::collections::HashSet;

use anyhow::Result;
use roentgen_tests::server::list;
use roentgen_tests::wait::now;
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

use crate::fixture::{assert_error, only_summary, segment, summaries, trace_id};

/// Returns a document with everything a summary can show.
fn rich(trace_id: &str) -> String {
    segment(
        trace_id,
        "00000000000000a1",
        &json!({
            "origin": "AWS::EC2::Instance", "user": "alice", "resource_arn": "arn:aws:x", "fault": true,
            "aws": { "account_id": "123456789012", "ec2": { "instance_id": "i-1", "availability_zone": "us-east-1a" } },
            "http": {
                "request": { "method": "POST", "url": "https://shop.example.com/orders", "user_agent": "curl/8", "client_ip": "10.0.0.1" },
                "response": { "status": 500 },
            },
            "annotations": { "tier": "gold", "items": 3, "returning": true },
            "cause": { "exceptions": [{ "id": "00000000000000e1", "type": "Timeout", "message": "too slow" }] },
            "subsegments": [{
                "id": "00000000000000a2", "name": "orders", "namespace": "remote", "start_time": 5.0, "end_time": 6.0, "fault": true,
            }],
        }),
    )
}

#[test]
fn a_summary_has_every_member_clients_read() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = trace_id(1);
    server.put_all(&[rich(&trace_id)])?;
    let summary = only_summary(&server)?;
    for member in MEMBERS {
        assert!(
            summary.get(member).is_some_and(|value| !value.is_null()),
            "{member} in {summary}"
        );
    }
    for (member, expected) in [
        ("Id", json!(trace_id)),
        ("Duration", json!(1.0)),
        ("ResponseTime", json!(1.0)),
        ("HasFault", json!(true)),
        ("HasError", json!(false)),
        ("HasThrottle", json!(false)),
        ("IsPartial", json!(false)),
        ("ResourceARNs", json!([{ "ARN": "arn:aws:x" }])),
        ("InstanceIds", json!([{ "Id": "i-1" }])),
        ("AvailabilityZones", json!([{ "Name": "us-east-1a" }])),
        (
            "Http",
            json!({
                "HttpURL": "https://shop.example.com/orders", "HttpStatus": 500, "HttpMethod": "POST", "UserAgent": "curl/8", "ClientIp": "10.0.0.1",
            }),
        ),
    ] {
        assert_eq!(summary[member], expected, "{member}");
    }
    Ok(())
}

#[test]
fn services_users_and_annotations_are_objects() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    server.put_all(&[rich(&trace_id(1))])?;
    let summary = only_summary(&server)?;
    let shop = json!({ "Name": "shop", "Names": ["shop"], "Type": "AWS::EC2::Instance", "AccountId": "123456789012" });
    assert_eq!(summary["EntryPoint"], shop);
    assert_eq!(
        summary["Users"],
        json!([{ "UserName": "alice", "ServiceIds": [shop] }])
    );
    let annotations = &summary["Annotations"];
    assert_eq!(
        annotations["tier"],
        json!([{ "AnnotationValue": { "StringValue": "gold" }, "ServiceIds": [shop] }])
    );
    assert_eq!(
        annotations["returning"][0]["AnnotationValue"],
        json!({ "BooleanValue": true })
    );
    assert_eq!(
        annotations["items"][0]["AnnotationValue"]["NumberValue"].as_f64(),
        Some(3.0)
    );
    let services = list(&summary, "ServiceIds")?;
    let types: HashSet<&str> = services
        .iter()
        .filter_map(|service| service["Type"].as_str())
        .collect();
    assert!(
        types.contains("client") && types.contains("AWS::EC2::Instance"),
        "{services:?}"
    );
    Ok(())
}

#[test]
fn a_fault_has_a_root_cause() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    server.put_all(&[rich(&trace_id(1))])?;
    let causes = list(&only_summary(&server)?, "FaultRootCauses")?;
    let services = list(&causes[0], "Services")?;
    assert_eq!(services[0]["Name"], "shop");
    // Grafana reads these without a check.
    for service in &services {
        assert!(
            service["Type"].is_string() && !list(service, "EntityPath")?.is_empty(),
            "{causes:?}"
        );
    }
    Ok(())
}

#[test]
fn an_empty_summary_still_has_its_lists() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let start = f64::from(now() - 60);
    let quick = json!({ "start_time": start, "end_time": start + 0.25 });
    server.put_all(&[segment(&trace_id(1), "00000000000000a1", &quick)])?;
    let summary = only_summary(&server)?;
    for member in [
        "AvailabilityZones",
        "ErrorRootCauses",
        "FaultRootCauses",
        "InstanceIds",
        "ResourceARNs",
        "ResponseTimeRootCauses",
        "Users",
    ] {
        assert_eq!(summary[member], json!([]), "{member} of {summary}");
    }
    assert_eq!(
        (
            &summary["Annotations"],
            &summary["Http"],
            &summary["Revision"]
        ),
        (&json!({}), &json!({}), &json!(1))
    );
    Ok(())
}

#[test]
fn a_slow_trace_names_the_root_cause_of_its_response_time() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let start = f64::from(now() - 100);
    server.put_all(&[segment(&trace_id(1), "00000000000000a1", &json!({
        "start_time": start, "end_time": start + 10.0, "origin": "AWS::EC2::Instance",
        "subsegments": [{ "id": "00000000000000a2", "name": "slow.internal", "namespace": "remote", "start_time": start + 0.5, "end_time": start + 9.5 }],
    }))])?;
    let summary = only_summary(&server)?;
    let causes = list(&summary, "ResponseTimeRootCauses")?;
    let services = list(&causes[0], "Services")?;
    let path = list(&services[0], "EntityPath")?;
    assert_eq!(
        (&path[0]["Name"], path[0]["Coverage"].as_f64()),
        (&json!("shop"), Some(1.0))
    );
    assert!(
        services.iter().all(|service| service["Type"].is_string()),
        "{causes:?}"
    );
    Ok(())
}

#[test]
fn windows_are_half_open_and_of_three_kinds() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let (start, end) = (now() - 500, now() - 400);
    let trace_id = format!("1-{start:08x}-000000000000000000000001");
    server.put_all(&[segment(
        &trace_id,
        "00000000000000a1",
        &json!({ "start_time": start, "end_time": end }),
    )])?;
    let found = |kind: &str, from: u32, to: u32| -> Result<bool> {
        let request = json!({ "StartTime": from, "EndTime": to, "TimeRangeType": kind });
        let page = server.post("/TraceSummaries", &request)?.success()?;
        Ok(!list(&page, "TraceSummaries")?.is_empty())
    };
    // By the trace's start, which is where a trace without a kind is looked for too.
    assert!(found("TraceId", start, start + 1)?);
    assert!(!found("TraceId", start - 10, start)?);
    assert!(!found("TraceId", start + 1, end + 10)?);
    // By activity: any overlap.
    assert!(found("Event", start + 10, start + 20)?);
    assert!(found("Event", start - 10, start + 1)?);
    assert!(!found("Event", start - 10, start)?);
    assert!(!found("Event", end + 1, end + 10)?);
    // By the end of a segment.
    assert!(found("Service", end - 1, end + 1)?);
    assert!(!found("Service", start, start + 20)?);
    let default = server
        .post(
            "/TraceSummaries",
            &json!({ "StartTime": start, "EndTime": start + 1 }),
        )?
        .success()?;
    assert_eq!(list(&default, "TraceSummaries")?.len(), 1);
    Ok(())
}

#[test]
fn pages_joined_are_the_whole_newest_first() -> Result<()> {
    let home = Home::new()?;
    let server = home.start_with(&home.config("[query]\nsummaries_per_page = 7\n")?)?;
    let newest = now() - 30;
    for number in 0..40 {
        let start = newest - number * 60;
        let id = format!("1-{start:08x}-{number:024x}");
        server.put_all(&[segment(
            &id,
            "00000000000000a1",
            &json!({ "start_time": start, "end_time": start + 1 }),
        )])?;
    }
    for kind in ["Event", "TraceId", "Service"] {
        let all = summaries(&server, &json!({ "TimeRangeType": kind }))?;
        let starts: Vec<f64> = all
            .iter()
            .filter_map(|summary| summary["StartTime"].as_f64())
            .collect();
        assert_eq!(starts.len(), 40, "{kind}");
        assert!(
            starts.is_sorted_by(|newer, older| newer > older),
            "{kind}: {starts:?}"
        );
    }
    let page = server
        .post(
            "/TraceSummaries",
            &json!({ "StartTime": now() - 3600, "EndTime": now() }),
        )?
        .success()?;
    assert_eq!(list(&page, "TraceSummaries")?.len(), 7);
    assert!(
        page["NextToken"].is_string() && page["ApproximateTime"].is_number(),
        "{page}"
    );
    assert!(page["TracesProcessedCount"].as_u64() >= Some(7), "{page}");
    Ok(())
}

#[test]
fn a_token_belongs_to_its_request() -> Result<()> {
    let home = Home::new()?;
    let server = home.start_with(&home.config("[query]\nsummaries_per_page = 1\n")?)?;
    for number in 1..=3 {
        server.put_all(&[segment(&trace_id(number), "00000000000000a1", &json!({}))])?;
    }
    let window = json!({ "StartTime": now() - 600, "EndTime": now() + 10 });
    let page = server.post("/TraceSummaries", &window)?.success()?;
    let token = page["NextToken"].as_str().unwrap();
    let with = |members: Value| {
        let mut request = window.clone();
        request
            .as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        request
    };
    // Grafana changes the strategy's value between the pages of one list.
    let sampled =
        json!({ "NextToken": token, "SamplingStrategy": { "Name": "FixedRate", "Value": 1 } });
    server.post("/TraceSummaries", &with(sampled))?.success()?;
    for members in [
        json!({ "NextToken": token, "StartTime": now() - 601 }),
        json!({ "NextToken": token, "TimeRangeType": "Service" }),
        json!({ "NextToken": format!("{token}A") }),
        json!({ "NextToken": flip(token) }),
    ] {
        assert_error(
            &server.post("/TraceSummaries", &with(members))?,
            400,
            "InvalidRequestException",
        )?;
    }
    Ok(())
}

#[test]
fn sampling_returns_a_part() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let documents: Vec<String> = (1..=400)
        .map(|number| segment(&trace_id(number), "00000000000000a1", &json!({})))
        .collect();
    for some in documents.chunks(50) {
        server.put_all(some)?;
    }
    let sampled = |value: f64| {
        summaries(
            &server,
            &json!({ "Sampling": true, "SamplingStrategy": { "Name": "FixedRate", "Value": value } }),
        )
    };
    assert_eq!(sampled(1.0)?.len(), 400);
    assert_eq!(sampled(0.0)?.len(), 0);
    let n_half = sampled(0.5)?.len();
    assert!((120..280).contains(&n_half), "{n_half} of 400");
    // Without Sampling the strategy says nothing.
    assert_eq!(
        summaries(
            &server,
            &json!({ "Sampling": false, "SamplingStrategy": { "Name": "FixedRate", "Value": 0 } })
        )?
        .len(),
        400
    );
    assert_eq!(summaries(&server, &json!({ "Sampling": true }))?.len(), 400);
    Ok(())
}

#[test]
fn wrong_requests_are_refused() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let refuse = |members: Value| -> Result<String> {
        let mut request = json!({ "StartTime": now() - 60, "EndTime": now() });
        request
            .as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        assert_error(
            &server.post("/TraceSummaries", &request)?,
            400,
            "InvalidRequestException",
        )
    };
    let message = refuse(json!({ "FilterExpression": "servce(\"shop\")" }))?;
    assert!(
        message.starts_with("Error Location: line 1, position 1"),
        "{message}"
    );
    refuse(json!({ "StartTime": null }))?;
    refuse(json!({ "EndTime": null }))?;
    refuse(json!({ "StartTime": "yesterday" }))?;
    refuse(json!({ "StartTime": now(), "EndTime": now() - 60 }))?;
    refuse(json!({ "TimeRangeType": "Moon" }))?;
    refuse(json!({ "Sampling": "yes" }))?;
    refuse(json!({ "SamplingStrategy": { "Name": "Sideways", "Value": 0.5 } }))?;
    refuse(json!({ "NextToken": "never given out" }))?;
    // An empty filter is none.
    let answer = server.post(
        "/TraceSummaries",
        &json!({ "StartTime": now() - 60, "EndTime": now(), "FilterExpression": "" }),
    )?;
    assert_eq!(answer.status, 200);
    Ok(())
}

#[test]
fn orphans_are_listed_with_what_is_known() -> Result<()> {
    let home = Home::new()?;
    let server: Server = home.start()?;
    let trace_id = trace_id(1);
    server.put_all(&[crate::fixture::subsegment(
        &trace_id,
        "00000000000000a2",
        "00000000000000a1",
        &json!({}),
    )])?;
    for summary in summaries(&server, &json!({}))? {
        assert_eq!(summary["Id"], trace_id);
        assert!(summary["Http"].is_object(), "{summary}");
    }
    Ok(())
}

/// Changes one character in the middle of a token.
pub(crate) fn flip(token: &str) -> String {
    let middle = token.len() / 2;
    let other = if token.as_bytes()[middle] == b'A' {
        'B'
    } else {
        'A'
    };
    format!("{}{other}{}", &token[..middle], &token[middle + 1..])
}

const MEMBERS: &[&str] = &[
    "Id",
    "StartTime",
    "Duration",
    "ResponseTime",
    "HasFault",
    "HasError",
    "HasThrottle",
    "IsPartial",
    "Http",
    "Annotations",
    "Users",
    "ServiceIds",
    "ResourceARNs",
    "InstanceIds",
    "AvailabilityZones",
    "EntryPoint",
    "FaultRootCauses",
    "ErrorRootCauses",
    "ResponseTimeRootCauses",
    "Revision",
];
