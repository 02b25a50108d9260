//! A slow and plain reading of the API's documentation: summaries, graphs and series straight from the JSON
//! documents that were sent, each question anew. It shares no code with what is tested.

mod drawn;
mod parts;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

pub(crate) use drawn::{graph, plain_graph, series};
use parts::*;

/// What makes a service one: name, type, account.
pub(crate) type Key = (String, Option<String>, Option<String>);

/// The documents that count, by trace and id.
#[derive(Clone, Default)]
pub(crate) struct Reference {
    pub(crate) traces: BTreeMap<String, BTreeMap<String, Value>>,
}

/// Something a trace adds to graphs.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) what: What,
    /// In milliseconds since 1970.
    start: u64,
    end: u64,
    in_progress: bool,
    class: Class,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// A service served a request, or is thought to have.
    Served { by: Key, is_inferred: bool },
    /// One service called another.
    Called(Call),
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) from: Key,
    pub(crate) to: Key,
    /// Those of both that sent segments.
    sent: Vec<Key>,
    /// What the caller takes the other one for, if that is not its name.
    alias: Option<Key>,
    /// For what came through a link of traces: how old the message was.
    pub(crate) age: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Ok,
    Error,
    Throttle,
    Fault,
}

impl Reference {
    /// Takes a document as the service does: complete ones are not replaced by those in progress, else the
    /// last one counts.
    pub(crate) fn put(&mut self, document: &Value) {
        let trace = self.traces.entry(text(&document["trace_id"])).or_default();
        let known = trace.get(&text(&document["id"]));
        if !known.is_some_and(|known| is_finished(known) && !is_finished(document)) {
            trace.insert(text(&document["id"]), document.clone());
        }
    }

    /// Returns what the summary of each trace says, in a form without order, see [`plain_summary`].
    pub(crate) fn summaries(&self) -> BTreeMap<String, Value> {
        let summary = |(id, documents): (&String, &BTreeMap<String, Value>)| {
            (id.clone(), Trace::of(&joined(documents)).summary(id))
        };
        self.traces.iter().map(summary).collect()
    }

    /// Returns what all traces add to graphs.
    pub(crate) fn facts(&self) -> Vec<Fact> {
        let ids: Vec<&String> = self.traces.keys().collect();
        self.facts_of(&ids)
    }

    /// Returns what some traces add to graphs. What they are linked to may be in others.
    pub(crate) fn facts_of(&self, trace_ids: &[&String]) -> Vec<Fact> {
        let mut facts = Vec::new();
        for trace_id in trace_ids {
            let documents = joined(&self.traces[*trace_id]);
            let trace = Trace::of(&documents);
            trace.add_served(&mut facts);
            trace.add_calls(&mut facts);
            for segment in trace.segments() {
                for link in parts(segment)
                    .into_iter()
                    .flat_map(|part| array(&part["links"]))
                {
                    let other = self.traces.get(&text(&link["trace_id"])).map(joined);
                    let other = other.as_ref().map(Trace::of);
                    let sender = other.and_then(|other| other.sender(&text(&link["id"])));
                    let Some((from, is_sent, at)) = sender else {
                        continue;
                    };
                    let to = key(segment);
                    let mut sent = vec![to.clone()];
                    sent.extend(is_sent.then(|| from.clone()));
                    let mut fact = served_fact(What::Called(call(from, to, sent)), segment);
                    let age = fact.start.saturating_sub(at);
                    if let What::Called(call) = &mut fact.what {
                        call.age = Some(age);
                    }
                    facts.push(fact);
                }
            }
        }
        facts
    }
}

/// Returns the documents of a trace; segments in progress say what their subsegments sent alone mention at the latest.
fn joined(documents: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let trace = Trace::of(documents);
    let mut joined = documents.clone();
    for document in documents.values().filter(|document| !is_segment(document)) {
        if let Some(segment) = trace.segment_of(document) {
            let segment = joined.get_mut(&text(&segment["id"])).unwrap();
            let before = segment[SENT_ALONE].as_u64().unwrap_or(0);
            segment[SENT_ALONE] = json!(before.max(latest(document)));
        }
    }
    joined
}

/// One trace.
struct Trace<'d> {
    /// By start, then id.
    documents: Vec<&'d Value>,
}

impl<'d> Trace<'d> {
    fn of(documents: &'d BTreeMap<String, Value>) -> Self {
        let mut documents: Vec<&Value> = documents.values().collect();
        documents.sort_by_key(|document| (start(document), text(&document["id"])));
        Self { documents }
    }

    fn segments(&self) -> Vec<&'d Value> {
        let documents = self.documents.iter().copied();
        documents.filter(|document| is_segment(document)).collect()
    }

    /// The request that started it all: what has no parent, else what nobody here has called.
    fn root(&self) -> Option<&'d Value> {
        let segments = self.segments();
        let first = segments.first().copied();
        if let Some(root) = segments.iter().find(|one| one["parent_id"].is_null()) {
            return Some(root);
        }
        let called = |one: &&&Value| self.document_of(&one["parent_id"]).is_some();
        segments.iter().find(|one| !called(one)).copied().or(first)
    }

    /// Returns the document that is or holds the part with an id.
    fn document_of(&self, id: &Value) -> Option<&'d Value> {
        let holds = |document: &&&Value| parts(document).iter().any(|part| part["id"] == *id);
        self.documents.iter().find(holds).copied()
    }

    /// Returns the segment a document belongs to.
    fn segment_of(&self, document: &'d Value) -> Option<&'d Value> {
        if is_segment(document) {
            return Some(document);
        }
        self.segment_of(self.document_of(&document["parent_id"])?)
    }

    /// Returns every call: the subsegment, and the segment it belongs to if that came.
    fn calls(&self) -> Vec<(&'d Value, Option<&'d Value>)> {
        let mut calls = Vec::new();
        for document in &self.documents {
            for part in parts(document) {
                let is_whole_segment = part["id"] == document["id"] && is_segment(document);
                if !is_whole_segment && callee(part).is_some() {
                    calls.push((part, self.segment_of(document)));
                }
            }
        }
        calls
    }

    /// Returns the first segment that was called by the part with this id.
    fn answer(&self, id: &Value) -> Option<&'d Value> {
        let segments = self.segments();
        segments.into_iter().find(|one| one["parent_id"] == *id)
    }

    fn add_served(&self, facts: &mut Vec<Fact>) {
        let root = self.root();
        for segment in self.segments() {
            let by = key(segment);
            if segment["parent_id"].is_null()
                || root.is_some_and(|root| root["id"] == segment["id"])
            {
                let what = call(client(segment), by.clone(), vec![by.clone()]);
                facts.push(served_fact(What::Called(what), segment));
            }
            let what = What::Served {
                by,
                is_inferred: false,
            };
            facts.push(served_fact(what, segment));
        }
    }

    fn add_calls(&self, facts: &mut Vec<Fact>) {
        let mut counted: BTreeSet<String> = BTreeSet::new();
        for (part, segment) in self.calls() {
            let Some(from) = segment.map(key) else {
                continue;
            };
            let taken_for = callee(part).unwrap();
            match self.answer(&part["id"]) {
                Some(answer) => {
                    counted.insert(text(&answer["id"]));
                    let to = key(answer);
                    let mut call = call(from.clone(), to.clone(), vec![from, to.clone()]);
                    call.alias = Some(taken_for).filter(|taken_for| taken_for.0 != to.0);
                    facts.push(call_fact(What::Called(call), part));
                }
                None if is_traced(part) => {}
                None => {
                    let by = taken_for.clone();
                    facts.push(call_fact(
                        What::Served {
                            by,
                            is_inferred: true,
                        },
                        part,
                    ));
                    let call = call(from.clone(), taken_for, vec![from]);
                    facts.push(call_fact(What::Called(call), part));
                }
            }
        }
        for segment in self.segments() {
            if counted.contains(&text(&segment["id"])) || segment["parent_id"].is_null() {
                continue;
            }
            let parent = self.document_of(&segment["parent_id"]);
            if let Some(parent) = parent.and_then(|parent| self.segment_of(parent)) {
                let (from, to) = (key(parent), key(segment));
                let call = call(from.clone(), to.clone(), vec![from, to]);
                facts.push(served_fact(What::Called(call), segment));
            }
        }
    }

    /// Returns who sent the message a link names, whether that is a service with segments, and when.
    fn sender(&self, id: &str) -> Option<(Key, bool, u64)> {
        let id = json!(id);
        let document = self.document_of(&id)?;
        let called = self.calls().into_iter().find(|(part, _)| part["id"] == id);
        if let Some((part, _)) = called {
            let answer = self.answer(&id);
            let from = answer.map_or_else(|| callee(part).unwrap(), key);
            return Some((from, answer.is_some(), call_end(part)));
        }
        let segment = self.segment_of(document)?;
        Some((key(segment), true, end(document)))
    }

    fn summary(&self, trace_id: &str) -> Value {
        let segments = self.segments();
        let timed = if segments.is_empty() {
            self.documents.clone()
        } else {
            segments.clone()
        };
        let first = timed.iter().map(|one| start(one)).min().unwrap();
        let last = timed.iter().map(|one| end(one)).max().unwrap();
        let root = self.root();
        let entry: Vec<&Value> = segments
            .iter()
            .copied()
            .filter(|one| root.is_some_and(|root| root["name"] == one["name"]))
            .collect();
        let any_part = |is_so: &dyn Fn(&Value) -> bool| {
            self.documents.iter().flat_map(|one| parts(one)).any(is_so)
        };
        let mut summary = json!({
            "Id": trace_id,
            "StartTime": seconds(first),
            "Duration": seconds(last - first),
            "HasFault": entry.iter().any(|one| failed(one, Class::Fault)),
            "HasError": entry.iter().any(|one| failed(one, Class::Error)),
            "HasThrottle": any_part(&|part| failed(part, Class::Throttle)),
            "IsPartial": any_part(&|part| !is_finished(part)),
            "Http": root.map_or(json!({}), http),
            "ServiceIds": self.services(root),
            "Users": self.owned(|document| {
                let user = &document["user"];
                if user.is_null() { Vec::new() } else { vec![("UserName".to_owned(), user.clone())] }
            }),
            "Annotations": self.owned(|document| parts(document).into_iter().flat_map(annotations).collect()),
        });
        if let Some(root) = root {
            summary["EntryPoint"] = service_id(&key(root));
            if is_finished(root) {
                summary["ResponseTime"] = json!(seconds(end(root) - start(root)));
            }
        }
        plain(&summary)
    }

    /// Services with segments, those known from calls only, and the clients of what has no parent.
    fn services(&self, root: Option<&Value>) -> Value {
        let segments = self.segments();
        let mut keys: BTreeSet<Key> = segments.iter().map(|one| key(one)).collect();
        let entries = segments
            .iter()
            .copied()
            .filter(|one| one["parent_id"].is_null());
        keys.extend(entries.chain(root).map(client));
        for (part, _) in self.calls() {
            if self.answer(&part["id"]).is_none() && !is_traced(part) {
                keys.insert(callee(part).unwrap());
            }
        }
        sorted(&keys.iter().map(service_id).collect())
    }

    /// Returns what documents say under some keys, each value once with the services that say it.
    fn owned(&self, said: impl Fn(&Value) -> Vec<(String, Value)>) -> Value {
        let mut owners: BTreeMap<(String, String), BTreeSet<Key>> = BTreeMap::new();
        for document in &self.documents {
            for (name, value) in said(document) {
                let owners = owners.entry((name, value.to_string())).or_default();
                owners.extend(self.segment_of(document).map(key));
            }
        }
        let mut said = Map::new();
        for ((name, value), owners) in owners {
            let values = said.entry(name).or_insert_with(|| json!({}));
            values[value] = sorted(&owners.iter().map(service_id).collect());
        }
        Value::Object(said)
    }
}

fn call(from: Key, to: Key, sent: Vec<Key>) -> Call {
    Call {
        from,
        to,
        sent,
        alias: None,
        age: None,
    }
}

/// Returns of an answered summary what [`Reference::summaries`] knows, in the same form: lists without an
/// order as sorted ones, lists of values as objects by value.
pub(crate) fn plain_summary(summary: &Value) -> Value {
    let mut plainer = Map::new();
    for member in [
        "Id",
        "StartTime",
        "Duration",
        "ResponseTime",
        "HasFault",
        "HasError",
        "HasThrottle",
        "IsPartial",
        "Http",
        "EntryPoint",
    ] {
        if let Some(value) = summary.get(member).filter(|value| !value.is_null()) {
            plainer.insert(member.to_owned(), value.clone());
        }
    }
    plainer.insert("ServiceIds".to_owned(), sorted(&summary["ServiceIds"]));
    let mut users = Map::new();
    for user in array(&summary["Users"]) {
        let before = users.insert(user["UserName"].to_string(), sorted(&user["ServiceIds"]));
        assert!(before.is_none(), "a user twice: {summary}");
    }
    let users = if users.is_empty() {
        json!({})
    } else {
        json!({ "UserName": users })
    };
    plainer.insert("Users".to_owned(), users);
    let mut annotations = Map::new();
    for (name, values) in summary["Annotations"].as_object().unwrap() {
        let mut by_value = Map::new();
        for value in array(values) {
            let one = value["AnnotationValue"].as_object().unwrap();
            assert_eq!(one.len(), 1, "one kind of value: {value}");
            let (kind, said) = one.iter().next().unwrap();
            let is_of_kind = match kind.as_str() {
                "StringValue" => said.is_string(),
                "NumberValue" => said.is_number(),
                "BooleanValue" => said.is_boolean(),
                _ => false,
            };
            assert!(is_of_kind, "{value}");
            let before = by_value.insert(plain(said).to_string(), sorted(&value["ServiceIds"]));
            assert!(before.is_none(), "a value twice: {summary}");
        }
        annotations.insert(name.clone(), Value::Object(by_value));
    }
    plainer.insert("Annotations".to_owned(), Value::Object(annotations));
    plain(&Value::Object(plainer))
}

/// Returns the value with every number a double and every list that has no order sorted by the caller.
pub(crate) fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64().unwrap()),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(members) => {
            let plain = members
                .iter()
                .map(|(name, value)| (name.clone(), plain(value)));
            Value::Object(plain.collect())
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

fn leave_out(value: &mut Value, members: &[&str]) {
    let object = value.as_object_mut().unwrap();
    for member in members {
        let is_nothing =
            |value: &Value| value.is_null() || *value == json!(false) || *value == json!([]);
        if object.get(*member).is_some_and(is_nothing) {
            object.remove(*member);
        }
    }
}

fn sorted(list: &Value) -> Value {
    let mut items: Vec<String> = array(list)
        .iter()
        .map(|item| plain(item).to_string())
        .collect();
    items.sort();
    let parse = |item: &String| serde_json::from_str::<Value>(item).unwrap();
    items.iter().map(parse).collect()
}

/// Returns where two values differ, in words; none if they are the same.
pub(crate) fn difference(actual: &Value, expected: &Value) -> Option<String> {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            let names: BTreeSet<&String> = actual.keys().chain(expected.keys()).collect();
            names.into_iter().find_map(|name| {
                let (actual, expected) = (actual.get(name), expected.get(name));
                let inner = match (actual, expected) {
                    (Some(actual), Some(expected)) => difference(actual, expected)?,
                    (Some(actual), None) => format!(": should not be there: {actual}"),
                    (None, expected) => format!(": is missing: {expected:?}"),
                };
                Some(format!("/{name}{inner}"))
            })
        }
        _ if actual == expected => None,
        _ => Some(format!(": is {actual}, should be {expected}")),
    }
}
