//! A trace as an indented tree for people.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

use serde_json::Value;

use crate::client::Trace;
use crate::terminal::printable;

/// One segment or subsegment.
#[derive(Debug)]
struct Node {
    id: String,
    parent_id: Option<String>,
    start: f64,
    line: String,
}

/// Returns the trace: a line with its id, then a line for each segment and subsegment under its parent.
pub(crate) fn render(trace: &Trace) -> String {
    let mut nodes = Vec::new();
    for segment in &trace.segments {
        match serde_json::from_str::<Value>(&segment.document) {
            Ok(document) => collect(&document, None, &mut nodes),
            Err(_) => nodes.push(unreadable(&segment.id)),
        }
    }
    nodes.sort_by(|one, other| one.start.total_cmp(&other.start));
    let n_segments = trace.segments.len();
    let noun = if n_segments == 1 {
        "segment"
    } else {
        "segments"
    };
    let duration = match trace.duration {
        Some(seconds) => length(seconds),
        None => "no segment yet".to_owned(),
    };
    let mut text = format!(
        "{}  {duration}  {n_segments} {noun}\n",
        printable(&trace.id)
    );
    write_nodes(&nodes, &mut text);
    text
}

/// Adds a document and what is nested in it; the parser bounds how deep that can be.
fn collect(document: &Value, parent_id: Option<&str>, nodes: &mut Vec<Node>) {
    let member = |name: &str| {
        document
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let id = member("id").unwrap_or_default();
    let parent_id = parent_id.map(str::to_owned).or_else(|| member("parent_id"));
    let start = document
        .get("start_time")
        .and_then(Value::as_f64)
        .unwrap_or(0.0);
    nodes.push(Node {
        id: id.clone(),
        parent_id,
        start,
        line: line(document, start),
    });
    let subsegments = document.get("subsegments").and_then(Value::as_array);
    for subsegment in subsegments.into_iter().flatten() {
        collect(subsegment, Some(&id), nodes);
    }
}

fn unreadable(id: &str) -> Node {
    let line = format!("{} (unreadable document)", printable(id));
    Node {
        id: id.to_owned(),
        parent_id: None,
        start: 0.0,
        line,
    }
}

/// Returns name, type, time taken and outcome of a document.
fn line(document: &Value, start: f64) -> String {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(printable);
    let mut line = text(document.get("name")).unwrap_or_else(|| "(no name)".to_owned());
    let kind = text(document.get("origin")).or_else(|| text(document.get("namespace")));
    if let Some(kind) = kind {
        // Writing to a string does not fail.
        let _written = write!(line, " [{kind}]");
    }
    let took = match document.get("end_time").and_then(Value::as_f64) {
        Some(end) => length(end - start),
        None => "in progress".to_owned(),
    };
    let _written = write!(line, "  {took}");
    if let Some(status) = document
        .pointer("/http/response/status")
        .and_then(Value::as_i64)
    {
        let _written = write!(line, "  {status}");
    }
    for outcome in ["throttle", "fault", "error", "inferred"] {
        if document.get(outcome).and_then(Value::as_bool) == Some(true) {
            let _written = write!(line, "  {outcome}");
        }
    }
    line
}

/// Writes every node once: first those below a node without a parent here, then what is left, which
/// are nodes that are each other's parents.
fn write_nodes(nodes: &[Node], text: &mut String) {
    let ids: HashSet<&str> = nodes.iter().map(|node| node.id.as_str()).collect();
    let mut children: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut roots = Vec::new();
    for (idx, node) in nodes.iter().enumerate() {
        match node
            .parent_id
            .as_deref()
            .filter(|parent_id| ids.contains(parent_id))
        {
            Some(parent_id) => children.entry(parent_id).or_default().push(idx),
            None => roots.push(idx),
        }
    }
    let mut written = HashSet::new();
    for root in roots.into_iter().chain(0..nodes.len()) {
        let mut waiting = vec![(root, 1)];
        while let Some((idx, depth)) = waiting.pop() {
            let Some(node) = nodes.get(idx) else { continue };
            if !written.insert(idx) {
                continue;
            }
            let _written = writeln!(text, "{}{}", "  ".repeat(depth), node.line);
            let below = children.get(node.id.as_str()).into_iter().flatten().rev();
            waiting.extend(below.map(|child| (*child, depth + 1)));
        }
    }
}

/// Returns a length of time with a unit that suits it.
fn length(seconds: f64) -> String {
    if seconds >= 10.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{:.1} ms", seconds * 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(documents: &[&str], duration: Option<f64>, expected: &str) {
        let segments: Vec<_> = documents
            .iter()
            .map(|document| serde_json::json!({"Id": "x", "Document": document}))
            .collect();
        let trace = serde_json::json!({"Id": "1-2-3", "Duration": duration, "Segments": segments});
        assert_eq!(render(&serde_json::from_value(trace).unwrap()), expected);
    }

    #[test]
    fn segments_hang_below_the_subsegment_that_called_them() {
        check(
            &[
                r#"{"id": "b", "parent_id": "s", "name": "worker", "start_time": 2, "end_time": 2.25, "fault": true, "http": {"response": {"status": 500}}}"#,
                r#"{"id": "a", "name": "front", "origin": "AWS::Lambda", "start_time": 1, "end_time": 21,
                    "subsegments": [{"id": "t", "name": "later", "start_time": 3}, {"id": "s", "name": "call", "namespace": "remote", "start_time": 2, "end_time": 2.5}]}"#,
            ],
            Some(20.0),
            "1-2-3  20.0 s  2 segments\n  front [AWS::Lambda]  20.0 s\n    call [remote]  500.0 ms\n      worker  250.0 ms  500  fault\n    later  in progress\n",
        );
    }

    #[test]
    fn an_empty_trace_and_strange_documents_are_shown() {
        check(&[], None, "1-2-3  no segment yet  0 segments\n");
        check(
            &[
                "nonsense",
                r#"{"id": "a", "parent_id": "b"}"#,
                r#"{"id": "b", "parent_id": "a", "name": "x\u001b"}"#,
            ],
            Some(0.0),
            "1-2-3  0.0 ms  3 segments\n  x (unreadable document)\n  (no name)  in progress\n    x\u{fffd}  in progress\n",
        );
    }
}
