//! Service graphs, trace graphs and time series of the fixture's traces.

use protocol::Operation;
use serde_json::{Value, json};

use super::constraints;
use super::exam::Exam;
use super::fixture::{Fixture, ORIGIN, Trace};
use super::want::Want::{Count, Holds, Lacks, Like};
use super::want::{ANY, INVALID, is_like};
use crate::exit::Stop;

const SERVICE: Operation = Operation::GetServiceGraph;
const TRACE: Operation = Operation::GetTraceGraph;
const SERIES: Operation = Operation::GetTimeSeriesServiceStatistics;

/// Checks the graph of one trace.
pub(super) async fn trace_graph(exam: &mut Exam, fixture: &Fixture) -> Result<(), Stop> {
    let request = json!({ "TraceIds": [fixture.trace_id(Trace::A)] });
    let once = |seconds: f64| statistics([1, 0, 0, 0], seconds);
    let answer = exam
        .settles(
            TRACE,
            "a trace has its services, the inferred one and a client",
            &request,
            &[Count("/Services", 4)],
        )
        .await?;
    let failed = statistics([0, 0, 0, 1], 0.75);
    for (name, pattern) in [
        (
            "the entry point is the root",
            json!({
                "Name": fixture.name("front"), "Type": ORIGIN, "Root": true, "State": "active", "SummaryStatistics": once(2.0),
                "ReferenceId": ANY, "Names": [fixture.name("front")], "StartTime": ANY, "EndTime": ANY,
            }),
        ),
        (
            "a called service has what it measured itself",
            json!({
                "Name": fixture.name("back"), "State": "active", "SummaryStatistics": failed, "Edges": [],
                "ResponseTimeHistogram": [{ "Value": 0.75, "Count": 1 }], "DurationHistogram": [{ "Value": 0.75, "Count": 1 }],
            }),
        ),
        (
            "a table is a service of its own name",
            json!({
                "Name": fixture.name("table"), "Type": "AWS::DynamoDB::Table", "SummaryStatistics": once(0.25), "Edges": [],
            }),
        ),
        (
            "the client is before the entry point",
            json!({
                "Type": "client", "State": "unknown", "Edges": [{ "SummaryStatistics": once(2.0) }],
            }),
        ),
    ] {
        note_like(exam, TRACE, name, &answer, "Services", &pattern);
    }
    trace_edges(exam, fixture, &answer);
    let unknown = json!({ "TraceIds": [fixture.unknown_trace_id()] });
    exam.passes(
        TRACE,
        "an unknown trace has no services",
        unknown,
        &[Count("/Services", 0)],
    )
    .await?;
    constraints::check_tolerance(exam, TRACE, &request).await?;
    constraints::check(exam, TRACE, &request).await?;
    let foreign = json!({ "TraceIds": [fixture.trace_id(Trace::A)], "NextToken": "conform" });
    exam.refuses(TRACE, "a token nobody gave is refused", foreign, INVALID)
        .await
}

fn trace_edges(exam: &mut Exam, fixture: &Fixture, answer: &Value) {
    for (name, from, to, pattern) in [
        (
            "an edge has what the caller measured",
            "front",
            "back",
            json!({
                "SummaryStatistics": statistics([0, 0, 0, 1], 1.0), "ResponseTimeHistogram": [{ "Value": 1.0, "Count": 1 }],
            }),
        ),
        (
            "an edge leads to what was inferred",
            "front",
            "table",
            json!({ "SummaryStatistics": statistics([1, 0, 0, 0], 0.25), "Aliases": [] }),
        ),
    ] {
        let edge = edge(answer, &fixture.name(from), &fixture.name(to));
        exam.note(TRACE, name, edge_like(&edge, &pattern));
    }
}

fn edge_like(edge: &Value, pattern: &Value) -> Result<(), String> {
    is_like(edge, pattern)
        .then_some(())
        .ok_or_else(|| format!("no edge like {pattern}: {edge}"))
}

/// Checks the graph of a window, and of a group in it.
pub(super) async fn service_graph(
    exam: &mut Exam,
    fixture: &Fixture,
    group: &str,
    arn: &str,
) -> Result<(), Stop> {
    // Front answered in a and e, failed in b and was throttled in c.
    let front = json!({
        "Name": fixture.name("front"), "Type": ORIGIN, "Root": true, "State": "active",
        "SummaryStatistics": statistics([2, 1, 0, 1], 3.75),
    });
    let request = fixture.window();
    let answer = exam
        .settles_if(
            SERVICE,
            "a service has the sums of all its requests",
            &request,
            |answer| like(answer, "Services", &front),
        )
        .await?;
    let wants = [Like(
        "",
        json!({ "StartTime": ANY, "EndTime": ANY, "ContainsOldGroupVersions": ANY }),
    )];
    exam.passes(SERVICE, "the graph says what it is of", &request, &wants)
        .await?;
    let back = json!({ "Name": fixture.name("back"), "SummaryStatistics": statistics([0, 0, 0, 1], 0.75) });
    note_like(
        exam,
        SERVICE,
        "a called service has its sums",
        &answer,
        "Services",
        &back,
    );
    let call = edge(&answer, &fixture.name("front"), &fixture.name("back"));
    let called = json!({ "SummaryStatistics": statistics([0, 0, 0, 1], 1.0), "ResponseTimeHistogram": [{ "Value": 1.0, "Count": 1 }] });
    exam.note(
        SERVICE,
        "an edge has the sums of the calls",
        edge_like(&call, &called),
    );
    for (name, selector) in [
        ("name", json!({ "GroupName": group })),
        ("ARN", json!({ "GroupARN": arn })),
    ] {
        let request = fixture.window_with(&selector);
        exam.settles_if(
            SERVICE,
            &format!("a group's graph, by {name}, has its traces"),
            &request,
            |answer| like(answer, "Services", &front),
        )
        .await?;
    }
    other_windows(exam, fixture, group).await
}

async fn other_windows(exam: &mut Exam, fixture: &Fixture, group: &str) -> Result<(), Stop> {
    let before = json!({ "StartTime": fixture.base - 1200, "EndTime": fixture.base - 600 });
    let wants = [Lacks("/Services", json!({ "Name": fixture.name("front") }))];
    exam.passes(
        SERVICE,
        "a window before the traces has none of their services",
        before,
        &wants,
    )
    .await?;
    constraints::check_tolerance(exam, SERVICE, &fixture.window()).await?;
    constraints::check(
        exam,
        SERVICE,
        &fixture.window_with(&json!({ "GroupName": group })),
    )
    .await?;
    let nobody = fixture.window_with(&json!({ "GroupName": fixture.name("nobody") }));
    exam.refuses(SERVICE, "an unknown group is refused", nobody, INVALID)
        .await?;
    let foreign = fixture.window_with(&json!({ "NextToken": "conform" }));
    exam.refuses(SERVICE, "a token nobody gave is refused", foreign, INVALID)
        .await
}

/// Changes the group's filter and checks that it changes nothing of what was. Nothing else may ask for the group
/// after this.
pub(super) async fn old_versions(
    exam: &mut Exam,
    fixture: &Fixture,
    group: &str,
) -> Result<(), Stop> {
    let body = json!({ "GroupName": group, "FilterExpression": "http.status = 599" });
    exam.call(Operation::UpdateGroup, &body).await?;
    let request = fixture.window_with(&json!({ "GroupName": group }));
    let wants = [
        Like("/ContainsOldGroupVersions", json!(true)),
        Holds("/Services", json!({ "Name": fixture.name("front") })),
    ];
    let name = "a changed filter leaves what was, and is told";
    exam.settles(SERVICE, name, &request, &wants).await?;
    Ok(())
}

/// Checks statistics over time.
pub(super) async fn time_series(
    exam: &mut Exam,
    fixture: &Fixture,
    group: &str,
) -> Result<(), Stop> {
    let (front, back) = (fixture.name("front"), fixture.name("back"));
    let service = format!("service(id(name: \"{front}\", type: \"{ORIGIN}\"))");
    let edge = format!("edge(\"{front}\", \"{back}\")");
    let selected = |expression: &str| {
        fixture.window_with(&json!({ "EntitySelectorExpression": expression, "Period": 60 }))
    };
    let in_group = fixture.window_with(&json!({ "GroupName": group, "Period": 60 }));
    for (name, request, member, due) in [
        (
            "a service's requests are counted",
            selected(&service),
            "ServiceSummaryStatistics",
            (4.0, 3.75),
        ),
        (
            "an edge's calls are counted",
            selected(&edge),
            "EdgeSummaryStatistics",
            (1.0, 1.0),
        ),
        (
            "a group's requests are counted",
            in_group.clone(),
            "EdgeSummaryStatistics",
            (4.0, 3.75),
        ),
    ] {
        exam.settles_if(SERIES, name, &request, |answer| {
            let found = (
                sum(answer, member, "TotalCount"),
                sum(answer, member, "TotalResponseTime"),
            );
            let is_right = (found.0 - due.0).abs() < 0.001 && (found.1 - due.1).abs() < 0.001;
            is_right.then_some(()).ok_or_else(|| {
                format!("requests and their seconds should be {due:?}, not {found:?}")
            })
        })
        .await?;
    }
    shape_of_series(exam, fixture, &service).await?;
    for (name, expression) in [
        ("an empty selector is refused", ""),
        ("a filter is no selector", "service(\"a\") { fault }"),
        ("a keyword is no selector", "responsetime > 1"),
        ("half a selector is refused", "service(\"a\""),
    ] {
        exam.refuses(SERIES, name, selected(expression), INVALID)
            .await?;
    }
    let nobody = fixture.window_with(&json!({ "GroupName": fixture.name("nobody") }));
    exam.refuses(SERIES, "an unknown group is refused", nobody, INVALID)
        .await?;
    constraints::check_tolerance(exam, SERIES, &fixture.window()).await?;
    constraints::check(exam, SERIES, &selected(&service)).await
}

async fn shape_of_series(exam: &mut Exam, fixture: &Fixture, service: &str) -> Result<(), Stop> {
    let members = json!({ "EntitySelectorExpression": service, "Period": 60 });
    let request = fixture.window_with(&members);
    let pattern = json!({ "Timestamp": ANY, "ServiceSummaryStatistics": { "OkCount": ANY, "ErrorStatistics": {
        "ThrottleCount": ANY, "OtherCount": ANY, "TotalCount": ANY }, "FaultStatistics": { "OtherCount": ANY, "TotalCount": ANY },
        "TotalCount": ANY, "TotalResponseTime": ANY }, "ResponseTimeHistogram": [{ "Value": ANY, "Count": ANY }] });
    let wants = [Holds("/TimeSeriesServiceStatistics", pattern)];
    let name = "a series has times, a histogram and every counter";
    exam.passes(SERIES, name, request, &wants).await?;
    let members =
        json!({ "EntitySelectorExpression": service, "Period": 60, "ForecastStatistics": true });
    let forecast = fixture.window_with(&members);
    let wants = [Holds("/TimeSeriesServiceStatistics", json!({}))];
    let name = "a forecast of a service can be asked for";
    exam.passes(SERIES, name, forecast, &wants).await?;
    Ok(())
}

/// Returns statistics: ok, throttled, other errors and faults, and all seconds.
fn statistics([n_ok, n_throttled, n_errors, n_faults]: [u32; 4], seconds: f64) -> Value {
    json!({
        "OkCount": n_ok,
        "ErrorStatistics": { "ThrottleCount": n_throttled, "OtherCount": n_errors, "TotalCount": n_throttled + n_errors },
        "FaultStatistics": { "OtherCount": n_faults, "TotalCount": n_faults },
        "TotalCount": n_ok + n_throttled + n_errors + n_faults, "TotalResponseTime": seconds,
    })
}

/// Returns the edge between the services of two names, null if there is none.
fn edge(answer: &Value, from: &str, to: &str) -> Value {
    let services = answer.get("Services").and_then(Value::as_array);
    let named = |name: &str| {
        let services = services.into_iter().flatten();
        services
            .filter(move |service| {
                is_like(service, &json!({ "Name": name }))
                    && !is_like(service, &json!({ "Type": "client" }))
            })
            .cloned()
            .collect::<Vec<_>>()
    };
    let targets: Vec<Value> = named(to)
        .iter()
        .filter_map(|service| service.get("ReferenceId").cloned())
        .collect();
    for service in named(from) {
        let edges = service.get("Edges").and_then(Value::as_array);
        let leads_there = |edge: &&Value| {
            edge.get("ReferenceId")
                .is_some_and(|target| targets.contains(target))
        };
        if let Some(edge) = edges.into_iter().flatten().find(leads_there) {
            return edge.clone();
        }
    }
    Value::Null
}

fn like(answer: &Value, list: &str, pattern: &Value) -> Result<(), String> {
    let items = answer.get(list).and_then(Value::as_array);
    let is_there = items
        .into_iter()
        .flatten()
        .any(|item| is_like(item, pattern));
    is_there
        .then_some(())
        .ok_or_else(|| format!("no item of {list} like {pattern}"))
}

fn note_like(
    exam: &mut Exam,
    operation: Operation,
    name: &str,
    answer: &Value,
    list: &str,
    pattern: &Value,
) {
    exam.note(operation, name, like(answer, list, pattern));
}

/// Returns the sum of a number over all buckets of a series.
fn sum(answer: &Value, member: &str, number: &str) -> f64 {
    let buckets = answer
        .get("TimeSeriesServiceStatistics")
        .and_then(Value::as_array);
    let numbers = buckets
        .into_iter()
        .flatten()
        .filter_map(|bucket| bucket.get(member)?.get(number)?.as_f64());
    numbers.sum()
}
