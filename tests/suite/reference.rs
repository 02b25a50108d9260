//! A slow and plain reading of the API's documentation: summaries, graphs and series straight from the JSON
//! documents that were sent, each question anew. It shares no code with what is tested.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

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
    age: Option<u64>,
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
            (id.clone(), Trace::of(documents).summary(id))
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
            let trace = Trace::of(&self.traces[*trace_id]);
            trace.add_served(&mut facts);
            trace.add_calls(&mut facts);
            for segment in trace.segments() {
                for link in parts(segment)
                    .into_iter()
                    .flat_map(|part| array(&part["links"]))
                {
                    let other = self.traces.get(&text(&link["trace_id"])).map(Trace::of);
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

/// The calls between two services, and whether they came through links.
type Edges<'f> = BTreeMap<(&'f Key, &'f Key, bool), Vec<(&'f Fact, &'f Call)>>;

/// Figures of a node, an edge or a period.
#[derive(Default)]
struct Figures<'f> {
    facts: Vec<&'f Fact>,
}

impl Figures<'_> {
    fn completed(&self) -> impl Iterator<Item = &&Fact> {
        self.facts.iter().filter(|fact| !fact.in_progress)
    }

    fn count(&self, class: Class) -> usize {
        self.completed().filter(|fact| fact.class == class).count()
    }

    fn statistics(&self) -> Value {
        let (throttle, other) = (self.count(Class::Throttle), self.count(Class::Error));
        let (ok, fault) = (self.count(Class::Ok), self.count(Class::Fault));
        let total: u64 = self.completed().map(|fact| fact.end - fact.start).sum();
        json!({
            "OkCount": ok,
            "ErrorStatistics": { "ThrottleCount": throttle, "OtherCount": other, "TotalCount": throttle + other },
            "FaultStatistics": { "OtherCount": fault, "TotalCount": fault },
            "TotalCount": ok + throttle + other + fault,
            "TotalResponseTime": seconds(total),
        })
    }

    fn histogram(&self) -> Value {
        histogram(self.completed().map(|fact| fact.end - fact.start))
    }

    fn span(&self) -> Option<(u64, u64)> {
        let first = self.facts.iter().map(|fact| fact.start).min()?;
        Some((first, self.facts.iter().map(|fact| fact.end).max()?))
    }
}

/// Returns the graph of the facts that begin in a window of milliseconds: nodes by their names, edges by
/// the names of what they lead to, see [`plain_graph`].
pub(crate) fn graph(facts: &[Fact], from: u64, to: u64) -> Value {
    let facts: Vec<&Fact> = facts
        .iter()
        .filter(|fact| (from..to).contains(&fact.start))
        .collect();
    let mut sent: BTreeMap<&Key, Figures<'_>> = BTreeMap::new();
    let mut inferred: BTreeMap<&Key, Figures<'_>> = BTreeMap::new();
    let mut edges: Edges<'_> = BTreeMap::new();
    for fact in facts {
        match &fact.what {
            What::Served { by, is_inferred } => {
                let figures = if *is_inferred {
                    &mut inferred
                } else {
                    &mut sent
                };
                figures.entry(by).or_default().facts.push(fact);
            }
            What::Called(call) => {
                let between = (&call.from, &call.to, call.age.is_some());
                edges.entry(between).or_default().push((fact, call));
            }
        }
    }
    let ends = edges.keys().flat_map(|(from, to, _)| [*from, *to]);
    let keys: BTreeSet<&Key> = sent
        .keys()
        .chain(inferred.keys())
        .copied()
        .chain(ends)
        .collect();
    let none = Figures::default();
    let mut by_name = Map::new();
    for key in keys {
        let own = sent.get(key).or_else(|| inferred.get(key));
        let touching: Vec<&(&Fact, &Call)> = edges
            .iter()
            .filter(|((from, to, _), _)| *from == key || *to == key)
            .flat_map(|(_, calls)| calls)
            .collect();
        let around = Figures {
            facts: touching.iter().map(|(fact, _)| *fact).collect(),
        };
        let sends =
            sent.contains_key(key) || touching.iter().any(|(_, call)| call.sent.contains(key));
        let is_client = key.1.as_deref() == Some("client");
        let is_root = edges.keys().any(|(from, to, is_link)| {
            *to == key && !is_link && from.1.as_deref() == Some("client")
        });
        let mut shown = service_id(key);
        shown["State"] = json!(if sends { "active" } else { "unknown" });
        let own_span = own.and_then(Figures::span).or_else(|| around.span());
        (shown["StartTime"], shown["EndTime"]) = whole_seconds(own_span.unwrap());
        let mut calls = Map::new();
        for ((_, to, is_link), called) in edges.iter().filter(|((from, _, _), _)| *from == key) {
            calls.insert(edge_name(to, *is_link), edge(called));
        }
        shown["Edges"] = Value::Object(calls);
        if is_root {
            shown["Root"] = json!(true);
        }
        if !is_client {
            let own = own.unwrap_or(&none);
            shown["SummaryStatistics"] = own.statistics();
            shown["DurationHistogram"] = own.histogram();
            shown["ResponseTimeHistogram"] = own.histogram();
        }
        by_name.insert(node_name(key), shown);
    }
    plain(&Value::Object(by_name))
}

fn edge(calls: &[(&Fact, &Call)]) -> Value {
    let figures = Figures {
        facts: calls.iter().map(|(fact, _)| *fact).collect(),
    };
    let (first, last) = whole_seconds(figures.span().unwrap());
    let aliases: BTreeSet<&Key> = calls
        .iter()
        .filter_map(|(_, call)| call.alias.as_ref())
        .collect();
    let ages: Vec<u64> = calls.iter().filter_map(|(_, call)| call.age).collect();
    let mut edge = json!({
        "StartTime": first, "EndTime": last,
        "SummaryStatistics": figures.statistics(),
        "ResponseTimeHistogram": figures.histogram(),
        "Aliases": sorted(&aliases.into_iter().map(service_id).collect()),
    });
    if !ages.is_empty() {
        edge["EdgeType"] = json!("link");
        edge["ReceivedEventAgeHistogram"] = histogram(ages.into_iter());
    }
    edge
}

/// Returns an answer's services in the form of [`graph`]: `ReferenceId`s give way to names, and what is null,
/// false or an empty list counts as left out.
pub(crate) fn plain_graph(services: &[Value]) -> Value {
    let mut names: BTreeMap<u64, String> = BTreeMap::new();
    for service in services {
        let optional = |member: &str| service[member].as_str().map(str::to_owned);
        let key = (
            text(&service["Name"]),
            optional("Type"),
            optional("AccountId"),
        );
        let before = names.insert(service["ReferenceId"].as_u64().unwrap(), node_name(&key));
        assert_eq!(before, None, "a number twice");
    }
    let mut nodes = Map::new();
    for service in services {
        let mut node = service.clone();
        let mut edges = Map::new();
        for edge in array(&service["Edges"]) {
            let mut edge = edge.clone();
            let to = edge.as_object_mut().unwrap().remove("ReferenceId").unwrap();
            let is_link = edge.get("EdgeType").is_some_and(|kind| kind == "link");
            let name = &names[&to.as_u64().unwrap()];
            let name = if is_link {
                format!("{name} by link")
            } else {
                name.clone()
            };
            edge["Aliases"] = sorted(&edge["Aliases"]);
            leave_out(&mut edge, &["ReceivedEventAgeHistogram"]);
            assert!(
                edges.insert(name, edge).is_none(),
                "an edge twice: {service}"
            );
        }
        node["Edges"] = Value::Object(edges);
        let number = node.as_object_mut().unwrap().remove("ReferenceId").unwrap();
        let is_client = node["Type"] == "client";
        leave_out(&mut node, &["Root", "AccountId", "Type"]);
        if is_client {
            leave_out(
                &mut node,
                &[
                    "SummaryStatistics",
                    "DurationHistogram",
                    "ResponseTimeHistogram",
                ],
            );
        }
        let before = nodes.insert(names[&number.as_u64().unwrap()].clone(), node);
        assert!(before.is_none(), "a service twice: {service}");
    }
    plain(&Value::Object(nodes))
}

/// Returns for each period that has an instant of a window: its start, the figures of what is meant, and
/// their histogram. Times and periods are in milliseconds.
pub(crate) fn series(
    facts: &[Fact],
    (from, to): (u64, u64),
    period: u64,
    is_meant: impl Fn(&What) -> bool,
) -> Vec<(f64, Value, Value)> {
    let begin = from / period * period;
    let meant = facts
        .iter()
        .filter(|fact| fact.start >= begin && is_meant(&fact.what));
    let meant: Vec<&Fact> = meant.collect();
    let mut series = Vec::new();
    let mut start = begin;
    while start < to {
        let facts = meant.iter().copied();
        let facts = facts
            .filter(|fact| (start..start + period).contains(&fact.start))
            .collect();
        let figures = Figures { facts };
        series.push((
            seconds(start),
            plain(&figures.statistics()),
            plain(&figures.histogram()),
        ));
        start += period;
    }
    series
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

fn call(from: Key, to: Key, sent: Vec<Key>) -> Call {
    Call {
        from,
        to,
        sent,
        alias: None,
        age: None,
    }
}

fn served_fact(what: What, segment: &Value) -> Fact {
    Fact {
        what,
        start: start(segment),
        end: end(segment),
        in_progress: !is_finished(segment),
        class: class(segment),
    }
}

fn call_fact(what: What, part: &Value) -> Fact {
    Fact {
        end: call_end(part),
        ..served_fact(what, part)
    }
}

/// A fault beats an error, that beats success; a 429 is an error of its own.
fn class(part: &Value) -> Class {
    let classes = [Class::Fault, Class::Throttle, Class::Error];
    classes
        .into_iter()
        .find(|class| failed(part, *class))
        .unwrap_or(Class::Ok)
}

/// Tells whether a part failed in a way: by its flag, or by its status if it has no flag.
fn failed(part: &Value, class: Class) -> bool {
    let status = part["http"]["response"]["status"].as_u64().unwrap_or(0);
    let (flag, by_status) = match class {
        Class::Fault => ("fault", (500..600).contains(&status)),
        Class::Throttle => ("throttle", status == 429),
        Class::Error => ("error", (400..500).contains(&status)),
        Class::Ok => return false,
    };
    part[flag].as_bool().unwrap_or(by_status)
}

/// Returns the service a subsegment calls, as far as it tells.
fn callee(part: &Value) -> Option<Key> {
    let name = text(&part["name"]);
    let (name, kind) = match (
        part["namespace"].as_str()?,
        part["aws"]["table_name"].as_str(),
    ) {
        ("aws", Some(table)) => (table.to_owned(), "AWS::DynamoDB::Table".to_owned()),
        ("aws", None) => (name.clone(), format!("AWS::{name}")),
        ("remote", _) if !part["sql"].is_null() => (name, "Database::SQL".to_owned()),
        ("remote", _) => (name, "remote".to_owned()),
        _ => return None,
    };
    Some((name, Some(kind), None))
}

fn key(segment: &Value) -> Key {
    let optional = |value: &Value| value.as_str().map(str::to_owned);
    let account = optional(&segment["aws"]["account_id"]);
    (
        text(&segment["name"]),
        optional(&segment["origin"]),
        account,
    )
}

fn client(segment: &Value) -> Key {
    (text(&segment["name"]), Some("client".to_owned()), None)
}

fn service_id((name, kind, account): &Key) -> Value {
    let mut id = json!({ "Name": name, "Names": [name] });
    if let Some(kind) = kind {
        id["Type"] = json!(kind);
    }
    if let Some(account) = account {
        id["AccountId"] = json!(account);
    }
    id
}

fn http(root: &Value) -> Value {
    let mut http = json!({});
    for (member, value) in [
        ("HttpURL", &root["http"]["request"]["url"]),
        ("HttpMethod", &root["http"]["request"]["method"]),
        ("UserAgent", &root["http"]["request"]["user_agent"]),
        ("ClientIp", &root["http"]["request"]["client_ip"]),
        ("HttpStatus", &root["http"]["response"]["status"]),
    ] {
        if !value.is_null() {
            http[member] = value.clone();
        }
    }
    http
}

fn annotations(part: &Value) -> Vec<(String, Value)> {
    let annotations = part["annotations"].as_object();
    let one = |(name, value): (&String, &Value)| (name.clone(), plain(value));
    annotations.into_iter().flatten().map(one).collect()
}

fn is_segment(document: &Value) -> bool {
    document["type"] != "subsegment"
}

fn is_traced(part: &Value) -> bool {
    part["http"]["request"]["traced"] == true
}

fn is_finished(part: &Value) -> bool {
    part["in_progress"] != true
}

/// Returns a document and every subsegment nested in it.
fn parts(document: &Value) -> Vec<&Value> {
    let below = array(&document["subsegments"])
        .iter()
        .flat_map(|part| parts(part));
    std::iter::once(document).chain(below).collect()
}

fn start(part: &Value) -> u64 {
    ms(&part["start_time"])
}

/// A document in progress has gone on at least until the latest time it mentions.
fn end(document: &Value) -> u64 {
    let own = |part: &Value| {
        if is_finished(part) {
            ms(&part["end_time"])
        } else {
            start(part)
        }
    };
    if is_finished(document) {
        return own(document);
    }
    parts(document).into_iter().map(own).max().unwrap()
}

fn call_end(part: &Value) -> u64 {
    if is_finished(part) {
        ms(&part["end_time"])
    } else {
        start(part)
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the times of the documents are whole milliseconds of this century"
)]
fn ms(value: &Value) -> u64 {
    (value.as_f64().unwrap() * 1_000.0).round() as u64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of this century are exact"
)]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

/// Returns the whole seconds around a span, at least one.
fn whole_seconds((first, last): (u64, u64)) -> (Value, Value) {
    let first = first / 1_000;
    let last = last.div_ceil(1_000).max(first + 1);
    (json!(first), json!(last))
}

/// One entry for each length of time: milliseconds below a second, three digits above.
fn histogram(lengths: impl Iterator<Item = u64>) -> Value {
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for ms in lengths {
        let step = 10_u64.pow(
            ms.checked_ilog10()
                .map_or(0, |digits| digits.saturating_sub(2)),
        );
        *counts.entry((ms + step / 2) / step * step).or_default() += 1;
    }
    let entry = |(ms, count): (&u64, &u64)| json!({ "Value": seconds(*ms), "Count": count });
    counts.iter().map(entry).collect()
}

fn node_name((name, kind, account): &Key) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "-".to_owned());
    format!("{name} {} {}", part(kind), part(account))
}

fn edge_name(to: &Key, is_link: bool) -> String {
    format!("{}{}", node_name(to), if is_link { " by link" } else { "" })
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
