//! Small documents, and questions many tests ask.

use anyhow::{Context, Result};
use roentgen_tests::Server;
use roentgen_tests::server::list;
use roentgen_tests::wait::now;
use serde_json::{Value, json};

/// Returns a trace id of today with this number.
pub(crate) fn trace_id(number: u32) -> String {
    format!("1-{:08x}-{number:024x}", now())
}

/// Returns a document: a finished segment of one second that started a minute ago, with these members over it.
/// A null member takes the default away.
pub(crate) fn segment(trace_id: &str, id: &str, members: &Value) -> String {
    let start = now() - 60;
    let mut document = json!({
        "name": "shop", "id": id, "trace_id": trace_id, "start_time": f64::from(start) + 0.125, "end_time": f64::from(start) + 1.125,
    });
    let fields = document.as_object_mut().unwrap();
    for (name, value) in members.as_object().unwrap() {
        if value.is_null() {
            fields.remove(name);
        } else {
            fields.insert(name.clone(), value.clone());
        }
    }
    document.to_string()
}

/// Returns an independent subsegment of this parent.
pub(crate) fn subsegment(trace_id: &str, id: &str, parent_id: &str, members: &Value) -> String {
    let mut all = json!({ "name": "work", "type": "subsegment", "parent_id": parent_id });
    for (name, value) in members.as_object().unwrap() {
        all[name] = value.clone();
    }
    segment(trace_id, id, &all)
}

/// Returns the documents as numbers of members would have them: the one with this id.
pub(crate) fn with_id<'a>(documents: &'a [Value], id: &str) -> Result<&'a Value> {
    let found = documents.iter().find(|document| document["id"] == id);
    found.with_context(|| format!("no {id} among {documents:?}"))
}

/// Returns all summaries of the last hour, all pages joined, in the order of the pages.
pub(crate) fn summaries(server: &Server, members: &Value) -> Result<Vec<Value>> {
    let mut request =
        json!({ "StartTime": now() - 3600, "EndTime": now() + 60, "TimeRangeType": "Event" });
    for (name, value) in members.as_object().unwrap() {
        request[name] = value.clone();
    }
    let mut summaries = Vec::new();
    loop {
        let page = server.post("/TraceSummaries", &request)?.success()?;
        summaries.extend(list(&page, "TraceSummaries")?);
        let Some(token) = page.get("NextToken").filter(|token| !token.is_null()) else {
            return Ok(summaries);
        };
        assert_ne!(
            request.get("NextToken"),
            Some(token),
            "a page that makes no progress"
        );
        request["NextToken"] = token.clone();
    }
}

/// Returns the only summary of the last hour.
pub(crate) fn only_summary(server: &Server) -> Result<Value> {
    let mut summaries = summaries(server, &json!({}))?;
    assert_eq!(summaries.len(), 1, "{summaries:?}");
    summaries.pop().context("one summary")
}

/// Fails unless the answer is this error.
pub(crate) fn assert_error(
    response: &roentgen_tests::Response,
    status: u16,
    code: &str,
) -> Result<String> {
    let (actual, kind, message) = response.error()?;
    assert_eq!((actual, kind.as_str()), (status, code), "{message}");
    Ok(message)
}

/// Tells whether the long rounds are asked for.
pub(crate) fn is_long() -> bool {
    std::env::var_os("LONG").is_some()
}
