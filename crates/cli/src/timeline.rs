//! A trace as lines in an order people can follow: what called comes before what was called.

use std::collections::{BTreeMap, HashSet};

use model::Timestamp;
use serde_json::Value;

use crate::client::Trace;

/// A trace and its segments and subsegments. Texts are as they were sent: who shows them makes them harmless.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// The trace's id.
    pub(crate) id: String,
    /// Seconds from its first to its last instant; none if no segment of it came.
    pub(crate) duration: Option<f64>,
    pub(crate) n_segments: usize,
    pub(crate) entries: Vec<Entry>,
}

/// A segment or subsegment.
#[derive(Debug)]
pub(crate) struct Entry {
    /// How many callers are above it, in this trace.
    pub(crate) depth: usize,
    pub(crate) name: String,
    /// What it is or what it calls: its origin or namespace.
    pub(crate) kind: Option<String>,
    pub(crate) start: Option<Timestamp>,
    /// None as long as it is in progress.
    pub(crate) end: Option<Timestamp>,
    /// Seconds it took, as its document says.
    pub(crate) took: Option<f64>,
    /// The status that was answered.
    pub(crate) status: Option<i64>,
    /// `throttle`, `fault`, `error` and `inferred`, those that are so.
    pub(crate) outcomes: Vec<&'static str>,
    /// Its document without subsegments; nothing if it is unreadable.
    pub(crate) document: Value,
    pub(crate) id: String,
    /// What called it: for a subsegment that is nested, what it is nested in.
    pub(crate) parent_id: Option<String>,
}

impl Timeline {
    /// Returns the lines of a trace.
    pub(crate) fn of(trace: &Trace) -> Self {
        let mut entries = Vec::new();
        for segment in &trace.segments {
            match serde_json::from_str::<Value>(&segment.document) {
                Ok(document) => collect(document, None, &mut entries),
                Err(_) => entries.push(unreadable(&segment.id)),
            }
        }
        entries.sort_by_key(|entry| entry.start);
        Self {
            id: trace.id.clone(),
            duration: trace.duration,
            n_segments: trace.segments.len(),
            entries: in_order(entries),
        }
    }

    /// Returns the first and the last instant of what is here.
    pub(crate) fn bounds(&self) -> (Timestamp, Timestamp) {
        let starts = self.entries.iter().filter_map(|entry| entry.start);
        let first = starts.clone().min().unwrap_or(Timestamp::from_nanos(0));
        let ends = self.entries.iter().filter_map(|entry| entry.end);
        let last = ends.chain(starts).max().unwrap_or(first);
        (first, last)
    }
}

/// Adds a document and what is nested in it; the parser bounds how deep that can be.
fn collect(mut document: Value, parent_id: Option<&str>, entries: &mut Vec<Entry>) {
    let nested = document
        .as_object_mut()
        .and_then(|members| members.remove("subsegments"));
    let entry = Entry::of(document, parent_id);
    let id = entry.id.clone();
    entries.push(entry);
    if let Some(Value::Array(subsegments)) = nested {
        for subsegment in subsegments {
            collect(subsegment, Some(&id), entries);
        }
    }
}

impl Entry {
    fn of(document: Value, parent_id: Option<&str>) -> Self {
        let text = |name: &str| {
            let value = document.get(name).and_then(Value::as_str);
            value.map(str::to_owned)
        };
        let seconds = |name: &str| document.get(name).and_then(Value::as_f64);
        let instant = |name: &str| {
            let number = document.get(name).filter(|value| value.is_number())?;
            Timestamp::parse_seconds(&number.to_string()).ok()
        };
        let (start, end) = (seconds("start_time"), seconds("end_time"));
        let status = document.pointer("/http/response/status");
        let is_so = |name: &&&str| document.get(**name).and_then(Value::as_bool) == Some(true);
        Self {
            depth: 0,
            name: text("name").unwrap_or_else(|| "(no name)".to_owned()),
            kind: text("origin").or_else(|| text("namespace")),
            start: instant("start_time"),
            end: instant("end_time"),
            took: end.map(|end| end - start.unwrap_or(0.0)),
            status: status.and_then(Value::as_i64),
            outcomes: OUTCOMES.iter().filter(is_so).copied().collect(),
            id: text("id").unwrap_or_default(),
            parent_id: parent_id.map(str::to_owned).or_else(|| text("parent_id")),
            document,
        }
    }
}

fn unreadable(id: &str) -> Entry {
    let mut entry = Entry::of(Value::Null, None);
    entry.name = format!("{id} (unreadable document)");
    id.clone_into(&mut entry.id);
    entry
}

/// Returns every entry once: first those below one without a parent here, then what is left, which are entries that
/// are each other's parents.
fn in_order(entries: Vec<Entry>) -> Vec<Entry> {
    let order = places(&entries);
    let mut entries: Vec<Option<Entry>> = entries.into_iter().map(Some).collect();
    let mut ordered = Vec::with_capacity(entries.len());
    for (idx, depth) in order {
        if let Some(mut entry) = entries.get_mut(idx).and_then(Option::take) {
            entry.depth = depth;
            ordered.push(entry);
        }
    }
    ordered
}

/// Returns the place of each entry in the order they are shown, and how deep it is.
fn places(entries: &[Entry]) -> Vec<(usize, usize)> {
    let ids: HashSet<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
    let mut children: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut roots = Vec::new();
    for (idx, entry) in entries.iter().enumerate() {
        let parent_id = entry.parent_id.as_deref();
        match parent_id.filter(|parent_id| ids.contains(parent_id)) {
            Some(parent_id) => children.entry(parent_id).or_default().push(idx),
            None => roots.push(idx),
        }
    }
    let mut placed = HashSet::new();
    let mut order = Vec::with_capacity(entries.len());
    for root in roots.into_iter().chain(0..entries.len()) {
        let mut waiting = vec![(root, 0)];
        while let Some((idx, depth)) = waiting.pop() {
            let Some(entry) = entries.get(idx).filter(|_| placed.insert(idx)) else {
                continue;
            };
            order.push((idx, depth));
            let below = children.get(entry.id.as_str()).into_iter().flatten().rev();
            waiting.extend(below.map(|child| (*child, depth + 1)));
        }
    }
    order
}

const OUTCOMES: &[&str] = &["throttle", "fault", "error", "inferred"];

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns the lines of a trace of these documents.
    pub(crate) fn timeline(documents: &[&str], duration: Option<f64>) -> Timeline {
        let segments: Vec<_> = documents
            .iter()
            .map(|document| serde_json::json!({"Id": "x", "Document": document}))
            .collect();
        let trace = serde_json::json!({"Id": "1-2-3", "Duration": duration, "Segments": segments});
        Timeline::of(&serde_json::from_value(trace).unwrap())
    }

    fn check(documents: &[&str], expected: &[(&str, usize)]) {
        let timeline = timeline(documents, None);
        let entries: Vec<_> = timeline
            .entries
            .iter()
            .map(|entry| (entry.name.as_str(), entry.depth))
            .collect();
        assert_eq!(entries, expected, "{documents:?}");
    }

    #[test]
    fn callers_come_before_what_they_called() {
        check(&[], &[]);
        check(
            &[
                r#"{"id": "b", "parent_id": "s", "name": "b", "start_time": 2}"#,
                r#"{"id": "a", "name": "a", "start_time": 1, "subsegments": [
                    {"id": "t", "name": "t", "start_time": 3}, {"id": "s", "name": "s", "start_time": 2}]}"#,
            ],
            &[("a", 0), ("s", 1), ("b", 2), ("t", 1)],
        );
        // Each other's parents, its own parent, one without anything.
        check(
            &[
                r#"{"id": "a", "parent_id": "b", "name": "a"}"#,
                r#"{"id": "b", "parent_id": "a", "name": "b"}"#,
                r#"{"id": "c", "parent_id": "c", "name": "c"}"#,
                "{}",
            ],
            &[("(no name)", 0), ("a", 0), ("b", 1), ("c", 0)],
        );
    }

    #[test]
    fn a_trace_is_as_long_as_what_is_in_it() {
        let check = |documents: &[&str], first: u64, last: u64| {
            let (from, to) = timeline(documents, None).bounds();
            assert_eq!((from.as_nanos(), to.as_nanos()), (first, last));
        };
        check(&[], 0, 0);
        check(&["{}", "nonsense"], 0, 0);
        check(&[r#"{"start_time": 2.5}"#], 2_500_000_000, 2_500_000_000);
        check(
            &[
                r#"{"start_time": 2, "end_time": 4}"#,
                r#"{"start_time": 3, "end_time": 3.5}"#,
            ],
            2_000_000_000,
            4_000_000_000,
        );
        check(
            &[
                r#"{"start_time": 2, "end_time": 3}"#,
                r#"{"start_time": 5}"#,
            ],
            2_000_000_000,
            5_000_000_000,
        );
    }
}
