//! Filter expressions: what each selects of the fixture's traces, and which are none.

use protocol::Operation;
use serde_json::{Value, json};

use super::exam::Exam;
use super::fixture::{Fixture, Trace};
use super::want::INVALID;
use crate::exit::Stop;

/// Checks every expression in conjunction with the one that selects the traces of the run.
pub(super) async fn check(exam: &mut Exam, fixture: &Fixture, group: &str) -> Result<(), Stop> {
    let operation = Operation::GetTraceSummaries;
    for (expression, letters) in SELECTIONS {
        let filled = filled(expression, fixture, group);
        let filter = format!("{} AND ({filled})", fixture.filter());
        let request =
            fixture.window_with(&json!({ "FilterExpression": filter, "TimeRangeType": "Event" }));
        let (answer, failure) = exam.ask(operation, &request).await?;
        let found = letters_of(fixture, &answer);
        let outcome = match failure {
            Some(failure) => Err(failure),
            None if answer.get("TraceSummaries").is_none() => {
                Err("no list of summaries".to_owned())
            }
            None if found == *letters => Ok(()),
            None => Err(format!("selected '{found}', not '{letters}'")),
        };
        exam.note(operation, &format!("filter {expression}"), outcome);
    }
    for expression in BROKEN {
        let request = fixture.window_with(&json!({ "FilterExpression": expression }));
        exam.refuses(
            operation,
            &format!("the broken filter {expression} is refused"),
            request,
            INVALID,
        )
        .await?;
    }
    Ok(())
}

fn filled(expression: &str, fixture: &Fixture, group: &str) -> String {
    let mut filled = expression.replace("GROUP", group);
    for what in ["front", "back", "table", "pending"] {
        filled = filled.replace(&what.to_uppercase(), &fixture.name(what));
    }
    filled
}

/// Returns the letters of the fixture's traces in an answer, in order.
fn letters_of(fixture: &Fixture, answer: &Value) -> String {
    let summaries = answer.get("TraceSummaries").and_then(Value::as_array);
    let ids: Vec<&str> = summaries
        .into_iter()
        .flatten()
        .filter_map(|summary| summary.get("Id")?.as_str())
        .collect();
    let found = |trace: &Trace| ids.contains(&fixture.trace_id(*trace).as_str());
    Trace::ALL
        .into_iter()
        .filter(found)
        .map(Trace::letter)
        .collect()
}

/// Expressions of the documentation's kinds, and which traces each selects. FRONT and the like stand for names.
const SELECTIONS: &[(&str, &str)] = &[
    ("ok AND annotation.tier", "a"),
    ("ok AND responsetime", "ae"),
    ("!ok AND http.status", "bc"),
    ("error", "c"),
    ("throttle = true", "c"),
    ("fault AND responsetime", "b"),
    ("Fault = TRUE AND responseTime", "b"),
    ("fault != true AND responsetime > 0.75", "a"),
    ("partial", "d"),
    ("!partial", "abce"),
    ("ok !partial duration <3", "ae"),
    ("inferred", "a"),
    ("responsetime > 1.5", "a"),
    ("responsetime >= 1 AND responsetime <= 2", "ab"),
    ("duration >= 1 AND duration <= 3", "ab"),
    ("http.status = 200", "ae"),
    ("http.status != 200", "bc"),
    ("http.status >= 400 AND http.status < 500", "c"),
    ("http.url CONTAINS \"/api/orders\"", "abce"),
    (
        "http.url BEGINSWITH \"http://conform.example.com/\" AND !service(\"BACK\")",
        "bce",
    ),
    (
        "http.url ENDSWITH \"a=1\" and http.method = \"GET\"",
        "abce",
    ),
    (
        "http.useragent = \"conform/1\" AND http.clientip = \"192.0.2.1\"",
        "abce",
    ),
    ("!http.url", "d"),
    ("http.url AND responseTime > 0.75", "ab"),
    ("user = \"conform-user\"", "a"),
    ("user CONTAINS \"\"", "a"),
    ("annotation.tier = \"gold\"", "a"),
    ("annotation.tier BEGINSWITH \"go\"", "a"),
    ("annotation.tier = \"silver\"", ""),
    ("annotation.items > 2", "a"),
    ("annotation.items > 3", ""),
    ("annotation.items", "a"),
    ("!annotation.items", "bcde"),
    ("annotation.returning = true", "a"),
    ("annotation[conform.dotted] = \"x y\"", "a"),
    ("Annotation[tier]=\"gold\"", "a"),
    (
        "instance.id = \"i-conform\" AND availabilityzone = \"us-east-1a\"",
        "a",
    ),
    ("service(\"FRONT\")", "abce"),
    ("service(\"BACK\") { fault }", "a"),
    ("service(\"FRONT\") {root = true and fault = true}", "b"),
    ("service(\"FRONT\") { ok = true OR error = true }", "ace"),
    ("service() { throttle }", "c"),
    (
        "service(id(name: \"FRONT\"  )) { responsetime > 0.75 }",
        "ab",
    ),
    (
        "service(id(name: \"FRONT\", type: \"AWS::EC2::Instance\"))",
        "abce",
    ),
    ("service(id(type: \"AWS::DynamoDB::Table\"))", "a"),
    ("service(\"TABLE\")", "a"),
    ("edge(\"FRONT\", \"BACK\")", "a"),
    ("edge(\"FRONT\", \"BACK\") { fault }", "a"),
    ("edge(\"FRONT\", \"BACK\") { ok }", ""),
    ("edge(\"BACK\", \"FRONT\")", ""),
    (
        "edge(id(name: \"FRONT\", type: \"AWS::EC2::Instance\"), id(name: \"TABLE\", type: \"AWS::DynamoDB::Table\"))",
        "a",
    ),
    (
        "fault AND rootcause.fault.service { name = \"FRONT\" }",
        "b",
    ),
    (
        "rootcause.fault.exception { last and message = \"out of luck\" }",
        "b",
    ),
    ("rootcause.fault.entity { last and name = \"FRONT\" }", "b"),
    ("rootcause.fault.service { index > 5 }", ""),
    (
        "rootcause.json = #[{ \"Services\": [ { \"Name\": \"FRONT\", \"EntityPath\": [{ \"Name\": \"FRONT\" }] } ] }]",
        "bc",
    ),
    ("group.name = \"GROUP\"", "abcde"),
    ("group.name = \"GROUP\" AND user = \"conform-user\"", "a"),
    ("error OR throttle OR user = \"conform-user\"", "ac"),
    ("user = \"conform-user\" OR error AND responsetime > 1", "a"),
    (
        "(user = \"conform-user\" OR error) AND responsetime > 1",
        "a",
    ),
    ("!(error OR partial)", "abe"),
];

const BROKEN: &[&str] = &[
    "duration < ",
    "(error",
    "error)",
    "error AND",
    "AND error",
    "responsetime > ",
    "service(\"a\"",
    "service(\"a\") { fault",
    "edge(\"a\")",
    "conformnothing = 1",
    "http.url = \"no end",
    "annotation. = 1",
    "!",
];
