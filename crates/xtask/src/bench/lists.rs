//! `GetTraceSummaries` over six hours: the first page for filters of every cost, and a whole chain of pages.

use std::time::Duration;

use anyhow::{Result, ensure};
use roentgen_tests::server::list;
use serde_json::{Value, json};

use super::calls::Caller;
use super::report::{Row, row};
use super::small_traces::{Stored, WINDOW_S};

/// Measures all filters.
pub(super) fn measure(caller: &mut Caller<'_>, stored: &Stored, rows: &mut Vec<Row>) -> Result<()> {
    for (name, expression) in FILTERS {
        let (calls, page) = caller.repeat("/TraceSummaries", &window(stored, expression))?;
        let n_found = list(&page, "TraceSummaries")?.len();
        let n_looked_at = n_looked_at(&page);
        ensure!(
            n_found > 0 || expression == NEEDLE,
            "nothing found by {expression}"
        );
        let text = format!(
            "{}; {n_found} of {n_looked_at}, {:.0} k/s",
            calls.text(),
            calls.rate(n_looked_at) / 1e3
        );
        eprintln!("{name}: {text}");
        rows.push(row(&format!("first page, {name}"), text, MUST, AIM));
    }
    whole_chain(caller, stored, rows)
}

/// Follows the pages of the filter that finds one trace of all.
fn whole_chain(caller: &mut Caller<'_>, stored: &Stored, rows: &mut Vec<Row>) -> Result<()> {
    let mut n_pages = 0;
    let (calls, found) = caller.repeat_each(|caller| {
        let mut request = window(stored, NEEDLE);
        let mut took = Duration::ZERO;
        let mut n_found = 0;
        for n_page in 1.. {
            let (took_page, page) = caller.call("/TraceSummaries", &request.to_string())?;
            took += took_page;
            n_found += list(&page, "TraceSummaries")?.len();
            let Some(token) = page.get("NextToken").filter(|token| !token.is_null()) else {
                n_pages = n_page;
                break;
            };
            if let Some(members) = request.as_object_mut() {
                members.insert("NextToken".to_owned(), token.clone());
            }
        }
        Ok((took, json!(n_found)))
    })?;
    ensure!(
        found == json!(1),
        "one trace has the annotation, not {found}"
    );
    let text = format!(
        "{}; {n_pages} pages, {:.0} k/s",
        calls.text(),
        calls.rate(stored.n_traces) / 1e3
    );
    eprintln!("whole chain: {text}");
    rows.push(row(
        &format!("all pages of `{NEEDLE}` together"),
        text,
        "",
        "",
    ));
    Ok(())
}

fn window(stored: &Stored, expression: &str) -> Value {
    json!({
        "StartTime": stored.now - WINDOW_S, "EndTime": stored.now + 60,
        "TimeRangeType": "Event", "FilterExpression": expression,
    })
}

fn n_looked_at(page: &Value) -> u64 {
    let count = page.get("TracesProcessedCount");
    count.and_then(Value::as_u64).unwrap_or_default()
}

const NEEDLE: &str = "annotation.k = \"needle\"";
const FILTERS: [(&str, &str); 6] = [
    ("no filter", ""),
    ("`fault`", "fault"),
    ("`annotation.k = \"needle\"`, one trace of all", NEEDLE),
    ("`responsetime >= 0`", "responsetime >= 0"),
    (
        "`service(\"payments\") { fault }`",
        "service(\"payments\") { fault }",
    ),
    (
        "`rootcause.fault.service { name = \"payments\" }`",
        "rootcause.fault.service { name = \"payments\" }",
    ),
];
const MUST: &str = "500 ms (1 M)";
const AIM: &str = "100 ms (1 M)";
