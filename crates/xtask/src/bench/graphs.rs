//! Service graphs and time series over six hours, and the graph of a few traces.

use anyhow::{Context, Result, ensure};
use roentgen_tests::server::list;
use serde_json::{Value, json};

use super::calls::Caller;
use super::report::{Row, row};
use super::small_traces::{Stored, WINDOW_S};

/// The group graphs are asked of, beside all traces.
pub(super) const GROUP: &str = "failing-payments";
/// What it says.
pub(super) const GROUP_FILTER: &str = "service(\"payments\") { fault }";

/// Measures all of them.
pub(super) fn measure(caller: &mut Caller<'_>, stored: &Stored, rows: &mut Vec<Row>) -> Result<()> {
    let in_window = |members: Value| -> Value {
        let mut request = json!({ "StartTime": stored.now - WINDOW_S, "EndTime": stored.now + 60 });
        if let (Some(request), Value::Object(members)) = (request.as_object_mut(), members) {
            request.extend(members);
        }
        request
    };
    for (name, members) in [
        ("all traces", json!({})),
        ("one group", json!({ "GroupName": GROUP })),
    ] {
        let name = format!("GetServiceGraph of 6 h, {name}");
        let request = in_window(members);
        one(caller, "/ServiceGraph", "Services", &name, &request, rows)?;
    }
    for (name, members) in series() {
        let name = format!("GetTimeSeriesServiceStatistics of 6 h, {name}");
        let request = in_window(members);
        let member = "TimeSeriesServiceStatistics";
        one(
            caller,
            "/TimeSeriesServiceStatistics",
            member,
            &name,
            &request,
            rows,
        )?;
    }
    let some = stored.trace_ids.get(..5).context("too few traces")?;
    let request = json!({ "TraceIds": some });
    let name = "GetTraceGraph of 5 traces";
    one(caller, "/TraceGraph", "Services", name, &request, rows)
}

fn series() -> [(&'static str, Value); 5] {
    let selector = "service(\"payments\")";
    let edge = "edge(\"storefront\", \"payments\")";
    [
        ("period 60", json!({ "Period": 60 })),
        ("period 300", json!({ "Period": 300 })),
        (
            "period 60, `service(..)`",
            json!({ "Period": 60, "EntitySelectorExpression": selector }),
        ),
        (
            "period 300, `service(..)`",
            json!({ "Period": 300, "EntitySelectorExpression": selector }),
        ),
        (
            "period 300, `edge(..)`",
            json!({ "Period": 300, "EntitySelectorExpression": edge }),
        ),
    ]
}

fn one(
    caller: &mut Caller<'_>,
    path: &str,
    member: &str,
    name: &str,
    request: &Value,
    rows: &mut Vec<Row>,
) -> Result<()> {
    let (calls, answer) = caller.repeat(path, request)?;
    let n_items = list(&answer, member)?.len();
    ensure!(n_items > 0, "{name} is empty");
    let text = format!("{}; {n_items} items", calls.text());
    eprintln!("{name}: {text}");
    rows.push(row(name, text, "", ""));
    Ok(())
}
