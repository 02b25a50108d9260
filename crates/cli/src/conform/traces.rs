//! Segments in, traces and summaries out.

use protocol::Operation;
use serde_json::{Value, json};

use super::ask::Ask;
use super::constraints;
use super::exam::Exam;
use super::fixture::{CALL, CALLED, Fixture, ORIGIN, QUERY, ROOT, STREAMED, Trace};
use super::want::Want::{Count, Holds, Lacks, Like};
use super::want::{ANY, INVALID, is_like};
use crate::exit::Stop;

const PUT: Operation = Operation::PutTraceSegments;
const BATCH: Operation = Operation::BatchGetTraces;
const SUMMARIES: Operation = Operation::GetTraceSummaries;
const TELEMETRY: Operation = Operation::PutTelemetryRecords;

/// Sends the traces of the fixture and checks how they and others are taken.
pub(super) async fn put(exam: &mut Exam, fixture: &Fixture) -> Result<(), Stop> {
    let body = json!({ "TraceSegmentDocuments": fixture.documents() });
    let none_refused = [Count("/UnprocessedTraceSegments", 0)];
    exam.passes(PUT, "good documents are taken", body.clone(), &none_refused)
        .await?;
    if !exam.covers(&[PUT]) {
        return Ok(());
    }
    exam.passes(
        PUT,
        "the same documents are taken again",
        body.clone(),
        &none_refused,
    )
    .await?;
    let unsigned = Ask::from(&body).bare();
    exam.passes(
        PUT,
        "an unsigned call without a content type is served",
        unsigned,
        &none_refused,
    )
    .await?;
    constraints::check_tolerance(exam, PUT, &body).await?;
    constraints::check(exam, PUT, &body).await?;
    let many = json!({ "TraceSegmentDocuments": vec!["{}"; 51] });
    exam.refuses(PUT, "51 documents in one call are refused", many, INVALID)
        .await?;
    refused_documents(exam, fixture).await
}

/// Checks that bad documents are told by id and code in an answer that is no error.
async fn refused_documents(exam: &mut Exam, fixture: &Fixture) -> Result<(), Stop> {
    for (what, code, members) in REFUSED_DOCUMENTS {
        let mut document = json!({
            "name": "conform", "id": ROOT, "trace_id": fixture.unknown_trace_id(), "start_time": 1.5e9, "end_time": 1.5e9,
        });
        let changes: Value = serde_json::from_str(members).unwrap_or_default();
        for (name, value) in changes.as_object().into_iter().flatten() {
            match (value, document.as_object_mut()) {
                (Value::Null, Some(members)) => members.remove(name),
                (value, Some(members)) => members.insert(name.clone(), value.clone()),
                (_, None) => None,
            };
        }
        let id = document.get("id").cloned().unwrap_or(Value::Null);
        let refusal = json!({ "Id": id, "ErrorCode": code, "Message": ANY });
        let wants = [
            Count("/UnprocessedTraceSegments", 1),
            Holds("/UnprocessedTraceSegments", refusal),
        ];
        let body = json!({ "TraceSegmentDocuments": [document.to_string()] });
        let name = format!("a document {what} is told as {code}");
        exam.passes(PUT, &name, body, &wants).await?;
    }
    let body = json!({ "TraceSegmentDocuments": ["{", "no json"] });
    let wants = [Count("/UnprocessedTraceSegments", 2)];
    exam.passes(
        PUT,
        "documents that are no JSON are told each",
        body,
        &wants,
    )
    .await?;
    Ok(())
}

/// What is wrong with a document, the code it is refused with, and the members that make it so.
const REFUSED_DOCUMENTS: &[(&str, &str, &str)] = &[
    (
        "without a trace id",
        "MissingTraceId",
        r#"{"trace_id": null}"#,
    ),
    (
        "with a trace id of another form",
        "InvalidTraceId",
        r#"{"trace_id": "0123456789abcdef0123456789abcdef"}"#,
    ),
    ("without an id", "MissingId", r#"{"id": null}"#),
    (
        "with neither an end nor progress",
        "MissingEndTime",
        r#"{"end_time": null}"#,
    ),
    (
        "with a question mark in its name",
        "InvalidName",
        r#"{"name": "what?"}"#,
    ),
    (
        "whose subsegment has no end",
        "MissingEndTime",
        r#"{"subsegments": [{"id": "00000000000000b1", "name": "s", "start_time": 1.5e9}]}"#,
    ),
    (
        "that is a subsegment of nothing",
        "MissingParentId",
        r#"{"type": "subsegment"}"#,
    ),
];

/// Checks what traces look like when they are read.
pub(super) async fn batch(exam: &mut Exam, fixture: &Fixture) -> Result<(), Stop> {
    let ids: Vec<String> = Trace::ALL
        .iter()
        .map(|trace| fixture.trace_id(*trace))
        .collect();
    let all = json!({ "TraceIds": ids });
    let wants = [
        Count("/Traces", ids.len()),
        Count("/UnprocessedTraceIds", 0),
    ];
    exam.settles(BATCH, "all traces are found", &all, &wants)
        .await?;
    whole_trace(exam, fixture).await?;
    other_traces(exam, fixture).await?;
    let unknown = json!({ "TraceIds": [fixture.unknown_trace_id()] });
    let wants = [Count("/Traces", 0), Count("/UnprocessedTraceIds", 0)];
    exam.passes(BATCH, "an unknown trace is left out", unknown, &wants)
        .await?;
    constraints::check_tolerance(exam, BATCH, &all).await?;
    constraints::check(exam, BATCH, &all).await?;
    let many = json!({ "TraceIds": vec![fixture.trace_id(Trace::A); 6] });
    exam.refuses(BATCH, "six trace ids are refused", many, INVALID)
        .await?;
    let foreign = json!({ "TraceIds": ids, "NextToken": "conform" });
    exam.refuses(BATCH, "a token nobody gave is refused", foreign, INVALID)
        .await
}

async fn whole_trace(exam: &mut Exam, fixture: &Fixture) -> Result<(), Stop> {
    let request = json!({ "TraceIds": [fixture.trace_id(Trace::A)] });
    let head = json!({ "Id": fixture.trace_id(Trace::A), "Duration": 2.0, "LimitExceeded": false });
    let wants = [Like("/Traces/0", head), Count("/Traces/0/Segments", 3)];
    let answer = exam
        .settles(
            BATCH,
            "a trace has its duration, its segments and an inferred one",
            &request,
            &wants,
        )
        .await?;
    let documents = documents_of(&answer);
    let mut check = |name: &str, pattern: Value| {
        let is_there = documents.iter().any(|document| is_like(document, &pattern));
        exam.note(
            BATCH,
            name,
            is_there
                .then_some(())
                .ok_or_else(|| format!("no document like {pattern}")),
        );
    };
    let base = f64::from(fixture.base);
    check(
        "a segment has its name, times, origin and trace",
        json!({
            "id": ROOT, "name": fixture.name("front"), "start_time": base, "end_time": base + 2.0, "origin": ORIGIN,
            "trace_id": fixture.trace_id(Trace::A), "in_progress": null,
        }),
    );
    check(
        "a segment has its http, user, aws and service",
        json!({
            "id": ROOT, "user": "conform-user", "aws": { "ec2": { "instance_id": "i-conform" } },
            "http": { "request": { "method": "GET", "client_ip": "192.0.2.1" }, "response": { "status": 200, "content_length": 12 } },
            "service": { "version": "1.0" },
        }),
    );
    check(
        "annotations and metadata are as they were sent",
        json!({
            "id": ROOT, "annotations": { "tier": "gold", "items": 3, "returning": true },
            "metadata": { "default": { "note": ["kept", 1, null] } },
        }),
    );
    check(
        "subsegments are inside their segment",
        json!({
            "id": ROOT, "subsegments": [{ "id": CALL, "namespace": "remote", "fault": true }, { "id": QUERY }, { "name": "render" }],
        }),
    );
    check(
        "a called segment names its caller and its cause",
        json!({
            "id": CALLED, "parent_id": CALL, "fault": true, "cause": { "exceptions": [{ "type": "ConformBack" }] },
        }),
    );
    check(
        "a called service that sent nothing is inferred",
        json!({
            "id": ANY, "parent_id": QUERY, "inferred": true, "name": "DynamoDB", "origin": "AWS::DynamoDB::Table",
            "aws": { "table_name": fixture.name("table") }, "namespace": null,
        }),
    );
    Ok(())
}

async fn other_traces(exam: &mut Exam, fixture: &Fixture) -> Result<(), Stop> {
    let request = json!({ "TraceIds": [fixture.trace_id(Trace::E)] });
    let answer = exam
        .passes(
            BATCH,
            "a subsegment sent apart makes no entry",
            request,
            &[Count("/Traces/0/Segments", 1)],
        )
        .await?;
    let folded = json!({ "id": ROOT, "subsegments": [{ "id": STREAMED, "name": "streamed", "type": null }] });
    let is_folded = documents_of(&answer)
        .iter()
        .any(|document| is_like(document, &folded));
    exam.note(
        BATCH,
        "a subsegment sent apart is inside its segment",
        is_folded
            .then_some(())
            .ok_or_else(|| format!("no document like {folded}")),
    );
    let request = json!({ "TraceIds": [fixture.trace_id(Trace::D)] });
    let answer = exam
        .passes(
            BATCH,
            "a trace that is not done is found",
            request,
            &[Count("/Traces/0/Segments", 1)],
        )
        .await?;
    let pending = json!({ "id": ROOT, "in_progress": true, "end_time": null });
    let is_pending = documents_of(&answer)
        .iter()
        .any(|document| is_like(document, &pending));
    exam.note(
        BATCH,
        "a segment in progress says so",
        is_pending
            .then_some(())
            .ok_or_else(|| format!("no document like {pending}")),
    );
    Ok(())
}

/// Returns the documents of the first trace of an answer.
fn documents_of(answer: &Value) -> Vec<Value> {
    let segments = answer
        .pointer("/Traces/0/Segments")
        .and_then(Value::as_array);
    let texts = segments
        .into_iter()
        .flatten()
        .filter_map(|segment| segment.get("Document")?.as_str());
    texts
        .filter_map(|text| serde_json::from_str(text).ok())
        .collect()
}

/// Checks what summaries say of the traces.
pub(super) async fn summaries(exam: &mut Exam, fixture: &Fixture) -> Result<(), Stop> {
    let ours = fixture
        .window_with(&json!({ "FilterExpression": fixture.filter(), "TimeRangeType": "Event" }));
    let wants = [
        Count("/TraceSummaries", Trace::ALL.len()),
        Like("/TracesProcessedCount", json!(ANY)),
        Like("/ApproximateTime", json!(ANY)),
    ];
    exam.settles(SUMMARIES, "the traces of the run are listed", &ours, &wants)
        .await?;
    for (name, pattern) in expected_summaries(fixture) {
        exam.passes(SUMMARIES, name, &ours, &[Holds("/TraceSummaries", pattern)])
            .await?;
    }
    for kind in ["TraceId", "Event", "Service"] {
        let request = fixture
            .window_with(&json!({ "FilterExpression": fixture.filter(), "TimeRangeType": kind }));
        let found = json!({ "Id": fixture.trace_id(Trace::A) });
        exam.passes(
            SUMMARIES,
            &format!("traces are found by {kind}"),
            request,
            &[Holds("/TraceSummaries", found)],
        )
        .await?;
    }
    windows(exam, fixture).await?;
    let sampled = fixture.window_with(&json!({
        "FilterExpression": fixture.filter(), "Sampling": true, "SamplingStrategy": { "Name": "FixedRate", "Value": 1 },
    }));
    let wants = [Count("/TraceSummaries", Trace::ALL.len())];
    exam.passes(
        SUMMARIES,
        "a sample of everything is everything",
        &sampled,
        &wants,
    )
    .await?;
    constraints::check_tolerance(exam, SUMMARIES, &ours).await?;
    constraints::check(exam, SUMMARIES, &sampled).await?;
    let backwards = json!({ "StartTime": fixture.base, "EndTime": fixture.base - 60 });
    exam.refuses(
        SUMMARIES,
        "a window that ends before it begins is refused",
        backwards,
        INVALID,
    )
    .await?;
    let foreign = fixture.window_with(&json!({ "NextToken": "conform" }));
    exam.refuses(
        SUMMARIES,
        "a token nobody gave is refused",
        foreign,
        INVALID,
    )
    .await
}

async fn windows(exam: &mut Exam, fixture: &Fixture) -> Result<(), Stop> {
    let found = json!({ "Id": fixture.trace_id(Trace::A) });
    let base = fixture.base;
    for (name, from, to, is_found) in [
        ("the window includes its start", base, base + 1, true),
        ("the window excludes its end", base - 60, base, false),
        (
            "a window before the traces has none of them",
            base - 120,
            base - 60,
            false,
        ),
    ] {
        let request =
            json!({ "StartTime": from, "EndTime": to, "FilterExpression": fixture.filter() });
        let want = if is_found {
            Holds("/TraceSummaries", found.clone())
        } else {
            Lacks("/TraceSummaries", found.clone())
        };
        exam.passes(SUMMARIES, name, request, &[want]).await?;
    }
    let request = json!({ "StartTime": base, "EndTime": base + 1, "FilterExpression": "" });
    exam.passes(
        SUMMARIES,
        "an empty filter is none",
        request,
        &[Holds("/TraceSummaries", found)],
    )
    .await?;
    Ok(())
}

fn expected_summaries(fixture: &Fixture) -> [(&'static str, Value); 9] {
    let id = |trace| fixture.trace_id(trace);
    let front =
        json!({ "Name": fixture.name("front"), "Names": [fixture.name("front")], "Type": ORIGIN });
    [
        (
            "times are those of the segments",
            json!({
                "Id": id(Trace::A), "StartTime": f64::from(fixture.base), "Duration": 2.0, "ResponseTime": 2.0, "Revision": ANY,
            }),
        ),
        (
            "the request is that of the root",
            json!({ "Id": id(Trace::A), "Http": {
            "HttpURL": "http://conform.example.com/api/orders?a=1", "HttpStatus": 200, "HttpMethod": "GET",
            "UserAgent": "conform/1", "ClientIp": "192.0.2.1",
        } }),
        ),
        (
            "annotations are lists with their services",
            json!({ "Id": id(Trace::A), "Annotations": {
            "tier": [{ "AnnotationValue": { "StringValue": "gold" }, "ServiceIds": [{ "Name": fixture.name("front") }] }],
            "items": [{ "AnnotationValue": { "NumberValue": 3 } }],
            "returning": [{ "AnnotationValue": { "BooleanValue": true } }],
        } }),
        ),
        (
            "users, instances and zones are told",
            json!({
                "Id": id(Trace::A), "Users": [{ "UserName": "conform-user", "ServiceIds": [{ "Name": fixture.name("front") }] }],
                "InstanceIds": [{ "Id": "i-conform" }], "AvailabilityZones": [{ "Name": "us-east-1a" }],
            }),
        ),
        (
            "services and the entry point are told",
            json!({
                "Id": id(Trace::A), "EntryPoint": front,
                "ServiceIds": [front, { "Name": fixture.name("back") }, { "Name": fixture.name("table"), "Type": "AWS::DynamoDB::Table" }],
            }),
        ),
        (
            "what is not there is empty, not absent",
            json!({
                "Id": id(Trace::E), "Users": [], "InstanceIds": [], "AvailabilityZones": [], "ResourceARNs": [],
                "FaultRootCauses": [], "ErrorRootCauses": [], "HasFault": false, "HasError": false, "HasThrottle": false, "IsPartial": false,
            }),
        ),
        (
            "a fault and its cause are told",
            json!({
                "Id": id(Trace::B), "HasFault": true, "HasError": false, "FaultRootCauses": [{ "ClientImpacting": true, "Services": [{
                    "Name": fixture.name("front"), "Type": ORIGIN,
                    "EntityPath": [{ "Name": fixture.name("front"), "Exceptions": [{ "Name": "ConformError", "Message": "out of luck" }] }],
                }] }],
            }),
        ),
        (
            "a throttled request is told",
            json!({
                "Id": id(Trace::C), "HasFault": false, "HasError": true, "HasThrottle": true, "Http": { "HttpStatus": 429 },
            }),
        ),
        (
            "a trace in progress is partial",
            json!({ "Id": id(Trace::D), "IsPartial": true, "Http": {} }),
        ),
    ]
}

/// Checks that a daemon can tell of itself.
pub(super) async fn telemetry(exam: &mut Exam, fixture: &Fixture) -> Result<(), Stop> {
    let record = json!({
        "Timestamp": fixture.base, "SegmentsReceivedCount": 1, "SegmentsSentCount": 1, "SegmentsSpilloverCount": 0,
        "SegmentsRejectedCount": 0, "BackendConnectionErrors": { "TimeoutCount": 0, "OtherCount": 0 },
    });
    let body = json!({ "TelemetryRecords": [record], "EC2InstanceId": "", "Hostname": "", "ResourceARN": "" });
    exam.passes(
        TELEMETRY,
        "records of a daemon that knows nothing of itself are taken",
        &body,
        &[],
    )
    .await?;
    constraints::check_tolerance(exam, TELEMETRY, &body).await?;
    constraints::check(exam, TELEMETRY, &body).await
}
