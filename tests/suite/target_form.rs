//! The form of the older AWS protocols: everything is posted to `/`, and `X-Amz-Target` names the operation.

use anyhow::{Context, Result};
use roentgen_tests::wait::now;
use roentgen_tests::{Home, Response, Server};
use serde_json::{Value, json};

use crate::fixture::{assert_error, segment, trace_id};

/// Posts to `/` with this target and content type.
fn target(
    server: &Server,
    name: &str,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<Response> {
    let target = format!("XRay_20160712.{name}");
    let mut headers = vec![("X-Amz-Target", target.as_str())];
    headers.extend(content_type.map(|kind| ("Content-Type", kind)));
    server.connect()?.request("POST", "/", &headers, body)
}

/// Every operation of the service model and its path (spec: 1.2).
const OPERATIONS: [(&str, &str); 38] = [
    ("BatchGetTraces", "/Traces"),
    ("CancelTraceRetrieval", "/CancelTraceRetrieval"),
    ("CreateGroup", "/CreateGroup"),
    ("CreateSamplingRule", "/CreateSamplingRule"),
    ("DeleteGroup", "/DeleteGroup"),
    ("DeleteResourcePolicy", "/DeleteResourcePolicy"),
    ("DeleteSamplingRule", "/DeleteSamplingRule"),
    ("GetEncryptionConfig", "/EncryptionConfig"),
    ("GetGroup", "/GetGroup"),
    ("GetGroups", "/Groups"),
    ("GetIndexingRules", "/GetIndexingRules"),
    ("GetInsight", "/Insight"),
    ("GetInsightEvents", "/InsightEvents"),
    ("GetInsightImpactGraph", "/InsightImpactGraph"),
    ("GetInsightSummaries", "/InsightSummaries"),
    ("GetRetrievedTracesGraph", "/GetRetrievedTracesGraph"),
    ("GetSamplingRules", "/GetSamplingRules"),
    (
        "GetSamplingStatisticSummaries",
        "/SamplingStatisticSummaries",
    ),
    ("GetSamplingTargets", "/SamplingTargets"),
    ("GetServiceGraph", "/ServiceGraph"),
    (
        "GetTimeSeriesServiceStatistics",
        "/TimeSeriesServiceStatistics",
    ),
    ("GetTraceGraph", "/TraceGraph"),
    ("GetTraceSegmentDestination", "/GetTraceSegmentDestination"),
    ("GetTraceSummaries", "/TraceSummaries"),
    ("ListResourcePolicies", "/ListResourcePolicies"),
    ("ListRetrievedTraces", "/ListRetrievedTraces"),
    ("ListTagsForResource", "/ListTagsForResource"),
    ("PutEncryptionConfig", "/PutEncryptionConfig"),
    ("PutResourcePolicy", "/PutResourcePolicy"),
    ("PutTelemetryRecords", "/TelemetryRecords"),
    ("PutTraceSegments", "/TraceSegments"),
    ("StartTraceRetrieval", "/StartTraceRetrieval"),
    ("TagResource", "/TagResource"),
    ("UntagResource", "/UntagResource"),
    ("UpdateGroup", "/UpdateGroup"),
    ("UpdateIndexingRule", "/UpdateIndexingRule"),
    ("UpdateSamplingRule", "/UpdateSamplingRule"),
    (
        "UpdateTraceSegmentDestination",
        "/UpdateTraceSegmentDestination",
    ),
];

/// Operations that take an empty request.
const TAKE_NOTHING: [&str; 7] = [
    "GetEncryptionConfig",
    "GetGroups",
    "GetIndexingRules",
    "GetSamplingRules",
    "GetSamplingStatisticSummaries",
    "GetTraceSegmentDestination",
    "ListResourcePolicies",
];

#[test]
fn every_operation_is_reached_by_its_name_and_by_its_path() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    for (name, path) in OPERATIONS {
        let by_path = server.post(path, &json!({}))?;
        for version in ["1.0", "1.1"] {
            let content_type = format!("application/x-amz-json-{version}");
            let by_name = target(&server, name, Some(&content_type), b"{}")?;
            assert_eq!(
                (by_name.status, by_name.json()?),
                (by_path.status, by_path.json()?),
                "{name}"
            );
            assert_eq!(by_name.header("content-type"), Some(&*content_type));
            if TAKE_NOTHING.contains(&name) {
                by_name.success().context(name)?;
            } else {
                let (status, code, _) = by_name.error()?;
                assert_eq!(status, 400, "{name}: {code}");
                assert_eq!(by_name.json()?["__type"], code, "{name}");
                assert_eq!(by_name.json()?["__type"], by_path.error()?.1, "{name}");
            }
        }
    }
    Ok(())
}

#[test]
fn documents_go_in_and_traces_come_out() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    for (number, content_type) in [
        (1, Some("application/x-amz-json-1.0")),
        (2, Some("application/x-amz-json-1.1")),
        (3, Some("application/x-amz-json-1.1; charset=utf-8")),
        (4, Some("application/json")),
        (5, None),
    ] {
        let trace_id = trace_id(number);
        let call = |name: &str, body: Value| -> Result<Value> {
            let body = body.to_string();
            let response = target(&server, name, content_type, body.as_bytes())?;
            response.success().context(name.to_owned())
        };
        let document = segment(&trace_id, "00000000000000a1", &json!({ "fault": true }));
        let put = call(
            "PutTraceSegments",
            json!({ "TraceSegmentDocuments": [document, "{"] }),
        )?;
        let refused = put["UnprocessedTraceSegments"].as_array().unwrap();
        assert_eq!(refused.len(), 1, "{put}");
        let got = call("BatchGetTraces", json!({ "TraceIds": [trace_id] }))?;
        assert_eq!(got["Traces"][0]["Id"], trace_id);
        let window = json!({
            "StartTime": now() - 600, "EndTime": now() + 60, "FilterExpression": "fault",
        });
        let found = call("GetTraceSummaries", window.clone())?;
        assert_eq!(
            found["TraceSummaries"].as_array().map(Vec::len),
            Some(usize::try_from(number)?)
        );
        let graph = call("GetServiceGraph", window)?;
        assert!(graph["Services"].to_string().contains("shop"), "{graph}");
    }
    Ok(())
}

#[test]
fn errors_have_their_type_in_the_header_and_in_the_body() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let gone = "arn:aws:xray:us-east-1:000000000000:group/gone/ID";
    for (name, body, status, code) in [
        ("BatchGetTraces", json!({}), 400, "InvalidRequestException"),
        (
            "GetTraceSummaries",
            json!({ "StartTime": 1, "EndTime": 2, "FilterExpression": "falt" }),
            400,
            "InvalidRequestException",
        ),
        (
            "GetGroup",
            json!({ "GroupName": "gone" }),
            400,
            "InvalidRequestException",
        ),
        (
            "ListTagsForResource",
            json!({ "ResourceARN": gone }),
            404,
            "ResourceNotFoundException",
        ),
        (
            "ListRetrievedTraces",
            json!({ "RetrievalToken": "gone" }),
            404,
            "ResourceNotFoundException",
        ),
        (
            "PutResourcePolicy",
            json!({ "PolicyName": "p", "PolicyDocument": "{" }),
            400,
            "MalformedPolicyDocumentException",
        ),
        (
            "DoSomethingElse",
            json!({}),
            404,
            "UnknownOperationException",
        ),
    ] {
        for content_type in ["application/x-amz-json-1.0", "application/x-amz-json-1.1"] {
            let body = body.to_string();
            let response = target(&server, name, Some(content_type), body.as_bytes())?;
            assert_error(&response, status, code).context(name)?;
            assert_eq!(response.json()?["__type"], code, "{name}");
            assert_eq!(
                response.header("content-type"),
                Some(content_type),
                "{name}"
            );
        }
    }
    let broken = target(
        &server,
        "GetGroups",
        Some("application/x-amz-json-1.1"),
        b"{",
    )?;
    assert_error(&broken, 400, "InvalidRequestException")?;
    Ok(())
}

#[test]
fn only_the_root_asks_the_target() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let with_target = [("X-Amz-Target", "XRay_20160712.GetGroups")];
    let mut connection = server.connect()?;
    let got = connection.request(
        "POST",
        "/Groups",
        &[("X-Amz-Target", "XRay_20160712.GetGroup")],
        b"",
    )?;
    assert!(got.success()?["Groups"].is_array());
    let elsewhere = connection.request("POST", "/elsewhere", &with_target, b"{}")?;
    assert_error(&elsewhere, 404, "UnknownOperationException")?;
    let mut connection = server.connect()?;
    let got = connection.request("PUT", "/", &with_target, b"")?;
    assert_error(&got, 405, "UnknownOperationException")?;
    let mut connection = server.connect()?;
    let got = connection.request("POST", "/", &with_target, b"")?;
    assert!(
        got.success()?["Groups"].is_array(),
        "an empty body is an empty object"
    );
    Ok(())
}
