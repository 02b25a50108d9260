//! Traces retrieved by token.

use protocol::Operation;
use serde_json::{Value, json};

use super::constraints;
use super::exam::Exam;
use super::fixture::{Fixture, ROOT, Trace};
use super::want::Want::{Count, Holds, Like};
use super::want::{ANY, INVALID, NOT_FOUND, is_like};
use crate::exit::Stop;

const START: Operation = Operation::StartTraceRetrieval;
const LIST: Operation = Operation::ListRetrievedTraces;
const GRAPH: Operation = Operation::GetRetrievedTracesGraph;
const CANCEL: Operation = Operation::CancelTraceRetrieval;

/// Checks a retrieval from its start to its end.
pub(super) async fn check(exam: &mut Exam, fixture: &Fixture) -> Result<(), Stop> {
    let trace_id = fixture.trace_id(Trace::A);
    let right = fixture.window_with(&json!({ "TraceIds": [trace_id] }));
    let started = exam
        .passes(
            START,
            "a token is given",
            &right,
            &[Like("/RetrievalToken", json!(ANY))],
        )
        .await?;
    let token = started
        .get("RetrievalToken")
        .cloned()
        .unwrap_or(json!("conform"));
    let by_token = json!({ "RetrievalToken": token });
    let complete = Like("/RetrievalStatus", json!("COMPLETE"));
    let trace =
        json!({ "Id": trace_id, "Duration": 2.0, "Spans": [{ "Id": ROOT, "Document": ANY }] });
    let wants = [
        complete.clone(),
        Count("/Traces", 1),
        Holds("/Traces", trace),
    ];
    let answer = exam
        .settles(
            LIST,
            "the trace is there once the retrieval is complete",
            &by_token,
            &wants,
        )
        .await?;
    document_is_segment(exam, fixture, &answer);
    formats(exam, &token, &trace_id).await?;
    let wants = [
        complete,
        Holds(
            "/Services",
            json!({ "Service": { "Name": fixture.name("front"), "ReferenceId": ANY } }),
        ),
    ];
    exam.settles(GRAPH, "the graph of the trace is there", &by_token, &wants)
        .await?;
    window(exam, fixture).await?;
    refusals(exam, fixture, &right, &by_token).await?;
    exam.passes(
        CANCEL,
        "a retrieval is cancelled",
        &by_token,
        &[Like("", json!({}))],
    )
    .await?;
    let again = exam.call(START, &right).await?;
    let again = json!({ "RetrievalToken": again.get("RetrievalToken") });
    constraints::check_tolerance(exam, CANCEL, &again).await
}

fn document_is_segment(exam: &mut Exam, fixture: &Fixture, answer: &Value) {
    let document = answer
        .pointer("/Traces/0/Spans")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find_map(|span| {
            let document: Value = serde_json::from_str(span.get("Document")?.as_str()?).ok()?;
            is_like(&document, &json!({ "name": fixture.name("front") })).then_some(document)
        });
    exam.note(
        LIST,
        "a document is the segment",
        document
            .map(|_| ())
            .ok_or_else(|| "no document of front".to_owned()),
    );
}

async fn formats(exam: &mut Exam, token: &Value, trace_id: &str) -> Result<(), Stop> {
    for format in ["XRAY", "OTEL"] {
        let request = json!({ "RetrievalToken": token, "TraceFormat": format });
        let wants = [
            Like("/TraceFormat", json!(format)),
            Count("/Traces", 1),
            Holds(
                "/Traces",
                json!({ "Id": trace_id, "Spans": [{ "Document": ANY }] }),
            ),
        ];
        exam.settles(
            LIST,
            &format!("the trace is told as {format}"),
            &request,
            &wants,
        )
        .await?;
    }
    Ok(())
}

/// Checks that a retrieval of no known trace is complete and empty.
async fn window(exam: &mut Exam, fixture: &Fixture) -> Result<(), Stop> {
    let unknown = fixture.window_with(&json!({ "TraceIds": [fixture.unknown_trace_id()] }));
    let started = exam
        .passes(
            START,
            "an unknown trace may be asked for",
            unknown,
            &[Like("/RetrievalToken", json!(ANY))],
        )
        .await?;
    let by_token = json!({ "RetrievalToken": started.get("RetrievalToken") });
    let wants = [
        Like("/RetrievalStatus", json!("COMPLETE")),
        Count("/Traces", 0),
    ];
    exam.settles(LIST, "an unknown trace is not there", &by_token, &wants)
        .await?;
    Ok(())
}

async fn refusals(
    exam: &mut Exam,
    fixture: &Fixture,
    start: &Value,
    by_token: &Value,
) -> Result<(), Stop> {
    let nobody = json!({ "RetrievalToken": "conform-nobody" });
    for operation in [LIST, GRAPH, CANCEL] {
        exam.refuses(
            operation,
            "an unknown retrieval is not found",
            &nobody,
            NOT_FOUND,
        )
        .await?;
        constraints::check(exam, operation, by_token).await?;
    }
    for operation in [LIST, GRAPH] {
        constraints::check_tolerance(exam, operation, by_token).await?;
        let mut foreign = by_token.clone();
        if let Some(members) = foreign.as_object_mut() {
            members.insert("NextToken".to_owned(), "conform".into());
        }
        exam.refuses(
            operation,
            "a token nobody gave is refused",
            foreign,
            INVALID,
        )
        .await?;
    }
    constraints::check_tolerance(exam, START, start).await?;
    constraints::check(exam, START, start).await?;
    let backwards = json!({ "TraceIds": [fixture.trace_id(Trace::A)], "StartTime": fixture.base, "EndTime": fixture.base - 60 });
    exam.refuses(
        START,
        "a window that ends before it begins is refused",
        backwards,
        INVALID,
    )
    .await
}
