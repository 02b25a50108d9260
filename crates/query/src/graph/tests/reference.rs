//! A slow and plain reading of the documentation: graphs and series straight from JSON documents, each
//! trace and each window anew, sharing no code with what is tested.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// Name, type, account.
pub(crate) type Key = (String, Option<String>, Option<String>);

/// The documents that count, by trace and document id.
#[derive(Default)]
pub(crate) struct Reference {
    traces: BTreeMap<String, BTreeMap<String, Value>>,
}

/// Something a trace adds to a graph.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) what: What,
    /// In milliseconds.
    pub(crate) start: u64,
    end: u64,
    in_progress: bool,
    class: &'static str,
    alias: Option<(String, String)>,
    age: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Request {
        node: Key,
        is_inferred: bool,
    },
    Edge {
        from: Key,
        to: Key,
        is_link: bool,
        /// Which of the two sent segments.
        sent: Vec<Key>,
    },
}

impl Reference {
    /// Takes documents in this order.
    pub(crate) fn put_all(&mut self, texts: &[String]) {
        for text in texts {
            self.put(text);
        }
    }

    /// Takes a document: a finished one is not replaced by one in progress.
    fn put(&mut self, text: &str) {
        let document: Value = serde_json::from_str(text).unwrap();
        let trace = self
            .traces
            .entry(text_of(&document["trace_id"]))
            .or_default();
        let id = text_of(&document["id"]);
        let is_late = trace
            .get(&id)
            .is_some_and(|known| !in_progress(known) && in_progress(&document));
        if !is_late {
            trace.insert(id, document);
        }
    }

    pub(crate) fn trace_ids(&self) -> Vec<String> {
        self.traces.keys().cloned().collect()
    }

    /// Returns what the named traces add to a graph.
    pub(crate) fn events(&self, trace_ids: &[String]) -> Vec<Event> {
        let mut events = Vec::new();
        for (trace_id, documents) in &self.traces {
            if trace_ids.contains(trace_id) {
                let documents = joined(documents);
                let trace = Trace::of(&documents);
                trace.add_requests(&mut events);
                trace.add_calls(&mut events);
                self.add_links(&trace, &mut events);
            }
        }
        events
    }

    fn add_links(&self, trace: &Trace<'_>, events: &mut Vec<Event>) {
        for segment in trace.segments() {
            for part in parts(segment) {
                for link in list(&part["links"]) {
                    let other = self.traces.get(&text_of(&link["trace_id"])).map(joined);
                    let other = other.as_ref().map(Trace::of);
                    let source = other.and_then(|other| other.source(&text_of(&link["id"])));
                    let Some(source) = source else { continue };
                    let to = node_of(segment);
                    let mut sent = vec![to.clone()];
                    sent.extend(source.is_sent.then_some(source.node.clone()));
                    let what = What::Edge {
                        from: source.node,
                        to,
                        is_link: true,
                        sent,
                    };
                    let mut event = event(what, segment);
                    event.age = Some(event.start.saturating_sub(source.sent_at));
                    events.push(event);
                }
            }
        }
    }
}

/// What a link leads to.
struct Source {
    node: Key,
    is_sent: bool,
    sent_at: u64,
}

struct Trace<'d> {
    /// In order of start and id.
    documents: Vec<&'d Value>,
}

impl<'d> Trace<'d> {
    fn of(documents: &'d BTreeMap<String, Value>) -> Self {
        let mut documents: Vec<&Value> = documents.values().collect();
        documents.sort_by_key(|document| (start(document), text_of(&document["id"])));
        Self { documents }
    }

    fn segments(&self) -> impl Iterator<Item = &'d Value> {
        self.documents
            .iter()
            .copied()
            .filter(|document| is_segment(document))
    }

    fn root(&self) -> Option<&'d Value> {
        let segments: Vec<&Value> = self.segments().collect();
        let without_parent = segments
            .iter()
            .find(|segment| segment["parent_id"].is_null());
        if let Some(root) = without_parent {
            return Some(root);
        }
        if segments.len() == 1 {
            return segments.first().copied();
        }
        let entered = segments.iter().find(|segment| {
            self.document_with(&text_of(&segment["parent_id"]))
                .is_none()
        });
        entered.or(segments.first()).copied()
    }

    /// Returns the document that is or contains the part with an id.
    fn document_with(&self, id: &str) -> Option<&'d Value> {
        let is_it = |document: &&&Value| document["id"] == *id;
        let contains = |document: &&&Value| parts(document).iter().any(|part| part["id"] == *id);
        let mut documents = self.documents.iter();
        let found = documents.find(is_it);
        found
            .or_else(|| self.documents.iter().find(contains))
            .copied()
    }

    /// Returns the segment a document finally hangs on.
    fn segment_of(&self, document: &'d Value) -> Option<&'d Value> {
        let mut at = document;
        for _ in 0..=self.documents.len() {
            if is_segment(at) {
                return Some(at);
            }
            at = self.document_with(&text_of(&at["parent_id"]))?;
        }
        None
    }

    /// Returns the first segment that names a part as its parent.
    fn answer(&self, id: &str) -> Option<&'d Value> {
        self.segments().find(|segment| segment["parent_id"] == *id)
    }

    fn add_requests(&self, events: &mut Vec<Event>) {
        let root_id = self.root().map(|root| &root["id"]);
        for segment in self.segments() {
            let node = node_of(segment);
            let is_entry = segment["parent_id"].is_null() || root_id == Some(&segment["id"]);
            if is_entry {
                let from = (node.0.clone(), Some("client".to_owned()), None);
                let to = node.clone();
                events.push(event(call(from, to, vec![node.clone()]), segment));
            }
            events.push(event(
                What::Request {
                    node,
                    is_inferred: false,
                },
                segment,
            ));
        }
    }

    fn add_calls(&self, events: &mut Vec<Event>) {
        let mut counted: BTreeSet<String> = BTreeSet::new();
        for document in &self.documents {
            let Some(segment) = self.segment_of(document) else {
                continue;
            };
            for part in parts(document) {
                let is_document = part["id"] == document["id"];
                let Some(called) = callee(part).filter(|_| !(is_document && is_segment(part)))
                else {
                    continue;
                };
                let id = text_of(&part["id"]);
                let from = node_of(segment);
                let answer = self.answer(&id);
                if answer.is_none() && is_traced(part) {
                    continue;
                }
                if answer.is_none() {
                    let node = called.clone();
                    events.push(call_event(
                        What::Request {
                            node,
                            is_inferred: true,
                        },
                        part,
                    ));
                }
                let to = answer.map_or(called.clone(), node_of);
                let goes_by_another_name = to.0 != called.0;
                let sent = [from.clone()]
                    .into_iter()
                    .chain(answer.map(node_of))
                    .collect();
                let mut event = call_event(call(from, to, sent), part);
                if goes_by_another_name {
                    event.alias = Some((called.0, called.1.unwrap()));
                }
                events.push(event);
                // What answered the call has its edge now.
                counted.extend(answer.map(|answer| text_of(&answer["id"])));
            }
        }
        for segment in self.segments() {
            let is_counted = counted.contains(&text_of(&segment["id"]));
            let parent = self.document_with(&text_of(&segment["parent_id"]));
            if let (false, Some(parent)) = (
                is_counted,
                parent.and_then(|parent| self.segment_of(parent)),
            ) {
                let (from, to) = (node_of(parent), node_of(segment));
                let sent = vec![from.clone(), to.clone()];
                events.push(event(call(from, to, sent), segment));
            }
        }
    }

    fn source(&self, id: &str) -> Option<Source> {
        let document = self.document_with(id)?;
        let part = *parts(document).iter().find(|part| part["id"] == *id)?;
        let is_whole_segment = part["id"] == document["id"] && is_segment(document);
        if let Some(called) = callee(part).filter(|_| !is_whole_segment) {
            let answer = self.answer(id);
            return Some(Source {
                node: answer.map_or(called, node_of),
                is_sent: answer.is_some(),
                sent_at: call_end(part),
            });
        }
        let segment = self.segment_of(document)?;
        Some(Source {
            node: node_of(segment),
            is_sent: true,
            sent_at: end(document),
        })
    }
}

/// Figures of one node or edge.
#[derive(Default)]
struct Figures {
    counts: BTreeMap<&'static str, u64>,
    total_ms: u64,
    span: Option<(u64, u64)>,
    histogram: BTreeMap<u64, u64>,
    ages: BTreeMap<u64, u64>,
    aliases: BTreeSet<(String, String)>,
}

impl Figures {
    fn add(&mut self, event: &Event) {
        let (first, last) = self.span.unwrap_or((event.start, event.end));
        self.span = Some((first.min(event.start), last.max(event.end)));
        self.aliases.extend(event.alias.clone());
        if let Some(age) = event.age {
            *self.ages.entry(bucket(age)).or_default() += 1;
        }
        if !event.in_progress {
            let took = event.end - event.start;
            *self.counts.entry(event.class).or_default() += 1;
            self.total_ms += took;
            *self.histogram.entry(bucket(took)).or_default() += 1;
        }
    }

    fn whole_span(&self) -> (u64, u64) {
        self.span.unwrap()
    }

    fn statistics(&self) -> Value {
        let count = |class: &str| self.counts.get(class).copied().unwrap_or(0);
        let (throttle, error) = (count("throttle"), count("error"));
        let (ok, fault) = (count("ok"), count("fault"));
        json!({
            "OkCount": ok,
            "ErrorStatistics": {"ThrottleCount": throttle, "OtherCount": error, "TotalCount": throttle + error},
            "FaultStatistics": {"OtherCount": fault, "TotalCount": fault},
            "TotalCount": ok + throttle + error + fault,
            "TotalResponseTime": seconds(self.total_ms),
        })
    }
}

/// Returns the graph of the events that begin in the minutes from `from` up to `to`, by the names of
/// nodes, see [`by_name`].
pub(crate) fn graph(events: &[Event], (from, to): (u64, u64)) -> Value {
    let mut sums = Sums::default();
    events
        .iter()
        .filter(|event| (from..to).contains(&(event.start / 60_000)))
        .for_each(|event| sums.add(event));
    let ends = sums.edges.keys().flat_map(|(from, to, _)| [from, to]);
    let served = sums.sent.keys().chain(sums.inferred.keys());
    let names: BTreeSet<&Key> = served.chain(ends).collect();
    let nodes: Map<String, Value> = names
        .into_iter()
        .map(|name| (node_name(name), sums.node(name)))
        .collect();
    Value::Object(nodes)
}

/// What events add up to.
#[derive(Default)]
struct Sums {
    sent: BTreeMap<Key, Figures>,
    inferred: BTreeMap<Key, Figures>,
    edges: BTreeMap<(Key, Key, bool), Figures>,
    /// The services that sent segments.
    active: BTreeSet<Key>,
}

impl Sums {
    fn add(&mut self, event: &Event) {
        let figures = match &event.what {
            What::Request { node, is_inferred } if *is_inferred => {
                self.inferred.entry(node.clone()).or_default()
            }
            What::Request { node, .. } => {
                self.active.insert(node.clone());
                self.sent.entry(node.clone()).or_default()
            }
            What::Edge {
                from,
                to,
                is_link,
                sent,
            } => {
                self.active.extend(sent.clone());
                let key = (from.clone(), to.clone(), *is_link);
                self.edges.entry(key).or_default()
            }
        };
        figures.add(event);
    }

    fn node(&self, name: &Key) -> Value {
        let calls: Map<String, Value> = self
            .edges
            .iter()
            .filter(|((from, _, _), _)| from == name)
            .map(|((_, to, is_link), figures)| (edge_name(to, *is_link), edge(figures, *is_link)))
            .collect();
        let own = self.sent.get(name).or(self.inferred.get(name));
        let (start, end) = whole(own.map_or_else(|| self.calls_span(name), Figures::whole_span));
        let nothing = Figures::default();
        let figures = own.unwrap_or(&nothing);
        let histogram = entries(&figures.histogram);
        let is_active = self.active.contains(name);
        let mut node = json!({
            "Name": name.0, "Names": [name.0],
            "State": if is_active { "active" } else { "unknown" },
            "StartTime": start, "EndTime": end,
            "Edges": calls,
            "DurationHistogram": histogram, "ResponseTimeHistogram": histogram,
        });
        for (member, value) in [("Type", &name.1), ("AccountId", &name.2)] {
            if let Some(value) = value {
                node[member] = json!(value);
            }
        }
        let mut edges = self.edges.keys();
        if edges.any(|(from, to, is_link)| is_client(from) && to == name && !is_link) {
            node["Root"] = json!(true);
        }
        if !is_client(name) {
            node["SummaryStatistics"] = figures.statistics();
        }
        node
    }

    /// Returns the first start and the last end of the calls a node makes and answers.
    fn calls_span(&self, name: &Key) -> (u64, u64) {
        let touching = self
            .edges
            .iter()
            .filter(|((from, to, _), _)| from == name || to == name);
        let spans: Vec<(u64, u64)> = touching.map(|(_, figures)| figures.whole_span()).collect();
        (
            spans.iter().map(|span| span.0).min().unwrap(),
            spans.iter().map(|span| span.1).max().unwrap(),
        )
    }
}

/// Returns for each period that begins in the minutes from `from` up to `to` the figures of what is
/// meant: start in seconds, statistics, histogram.
pub(crate) fn series(
    events: &[Event],
    (from, to): (u64, u64),
    period: u64,
    is_meant: impl Fn(&What) -> bool,
) -> Vec<(u64, Value, Value)> {
    let minutes = (from / period * period..to).step_by(usize::try_from(period).unwrap());
    minutes
        .map(|minute| {
            let mut figures = Figures::default();
            events
                .iter()
                .filter(|event| (minute..minute + period).contains(&(event.start / 60_000)))
                .filter(|event| is_meant(&event.what))
                .for_each(|event| figures.add(event));
            (
                minute * 60,
                figures.statistics(),
                entries(&figures.histogram),
            )
        })
        .collect()
}

/// Returns an answer's services by their names, edges by the names of what they lead to, and checks
/// that numbers are unique and lead somewhere.
pub(crate) fn by_name(services: &Value) -> Value {
    let services = list(services);
    let names: BTreeMap<u64, String> = services
        .iter()
        .map(|service| {
            let optional = |member: &str| service[member].as_str().map(str::to_owned);
            let key = (
                text_of(&service["Name"]),
                optional("Type"),
                optional("AccountId"),
            );
            (service["ReferenceId"].as_u64().unwrap(), node_name(&key))
        })
        .collect();
    assert_eq!(names.len(), services.len(), "numbers are unique");
    let mut nodes = Map::new();
    for service in services {
        let mut node = service.clone();
        let number = node.as_object_mut().unwrap().remove("ReferenceId").unwrap();
        let mut edges = Map::new();
        for edge in list(&service["Edges"]) {
            let mut edge = edge.clone();
            let to = edge.as_object_mut().unwrap().remove("ReferenceId").unwrap();
            let is_link = edge.get("EdgeType").is_some();
            let name = format!(
                "{}{}",
                names[&to.as_u64().unwrap()],
                if is_link { " link" } else { "" }
            );
            assert!(
                edges.insert(name, edge).is_none(),
                "one edge of a kind between two nodes"
            );
        }
        node["Edges"] = Value::Object(edges);
        nodes.insert(names[&number.as_u64().unwrap()].clone(), node);
    }
    Value::Object(nodes)
}

/// Returns the documents of a trace; segments in progress say what their subsegments sent alone mention at the latest.
fn joined(documents: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let trace = Trace::of(documents);
    let mut joined = documents.clone();
    for document in documents.values().filter(|document| !is_segment(document)) {
        let Some(segment) = trace.segment_of(document) else {
            continue;
        };
        let segment = joined.get_mut(&text_of(&segment["id"])).unwrap();
        let before = segment[ALONE].as_u64().unwrap_or(0);
        segment[ALONE] = json!(before.max(latest(document)));
    }
    joined
}

fn edge(figures: &Figures, is_link: bool) -> Value {
    let (start, end) = whole(figures.span.unwrap());
    let alias =
        |(name, kind): &(String, String)| json!({"Name": name, "Names": [name], "Type": kind});
    let mut edge = json!({
        "StartTime": start, "EndTime": end,
        "SummaryStatistics": figures.statistics(),
        "ResponseTimeHistogram": entries(&figures.histogram),
        "Aliases": figures.aliases.iter().map(alias).collect::<Vec<_>>(),
        "ReceivedEventAgeHistogram": entries(&figures.ages),
    });
    if is_link {
        edge["EdgeType"] = json!("link");
    }
    edge
}

fn call(from: Key, to: Key, sent: Vec<Key>) -> What {
    What::Edge {
        from,
        to,
        is_link: false,
        sent,
    }
}

fn event(what: What, segment: &Value) -> Event {
    Event {
        what,
        start: start(segment),
        end: end(segment),
        in_progress: in_progress(segment),
        class: class(segment),
        alias: None,
        age: None,
    }
}

fn call_event(what: What, call: &Value) -> Event {
    Event {
        end: call_end(call),
        ..event(what, call)
    }
}

/// A fault beats an error beats ok.
fn class(part: &Value) -> &'static str {
    let status = part["http"]["response"]["status"].as_u64().unwrap_or(0);
    let says = |flag: &str, default: bool| part[flag].as_bool().unwrap_or(default);
    if says("fault", (500..600).contains(&status)) {
        "fault"
    } else if says("throttle", status == 429) {
        "throttle"
    } else if says("error", (400..500).contains(&status)) {
        "error"
    } else {
        "ok"
    }
}

fn callee(part: &Value) -> Option<Key> {
    let name = text_of(&part["name"]);
    let (name, kind) = match part["namespace"].as_str() {
        Some("aws") => match part["aws"]["table_name"].as_str() {
            Some(table) => (table.to_owned(), "AWS::DynamoDB::Table".to_owned()),
            None => (name.clone(), format!("AWS::{name}")),
        },
        Some("remote") if part.get("sql").is_some() => (name, "Database::SQL".to_owned()),
        Some("remote") => (name, "remote".to_owned()),
        _ => return None,
    };
    Some((name, Some(kind), None))
}

fn node_of(segment: &Value) -> Key {
    let optional = |value: &Value| value.as_str().map(str::to_owned);
    (
        text_of(&segment["name"]),
        optional(&segment["origin"]),
        optional(&segment["aws"]["account_id"]),
    )
}

fn is_segment(document: &Value) -> bool {
    document["type"] != "subsegment"
}

fn is_traced(call: &Value) -> bool {
    call["traced"] == true || call["http"]["request"]["traced"] == true
}

/// A part without an end is in progress, whether it says so or not.
fn in_progress(part: &Value) -> bool {
    part["in_progress"] == true || part["end_time"].is_null()
}

fn start(part: &Value) -> u64 {
    ms(&part["start_time"])
}

/// One in progress ends, so far, at the latest time that it or what belongs to it mentions.
fn end(document: &Value) -> u64 {
    if in_progress(document) {
        return latest(document).max(document[ALONE].as_u64().unwrap_or(0));
    }
    ms(&document["end_time"])
}

/// Returns the latest time a document mentions.
fn latest(document: &Value) -> u64 {
    let mentioned = |part: &&Value| match &part["end_time"] {
        Value::Null => start(part),
        end => ms(end).max(start(part)),
    };
    parts(document).iter().map(mentioned).max().unwrap()
}

fn call_end(call: &Value) -> u64 {
    if in_progress(call) {
        start(call)
    } else {
        ms(&call["end_time"])
    }
}

/// Returns a document and all subsegments nested in it.
fn parts(document: &Value) -> Vec<&Value> {
    let mut found = vec![document];
    for nested in list(&document["subsegments"]) {
        found.extend(parts(nested));
    }
    found
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tests use small times"
)]
fn ms(value: &Value) -> u64 {
    (value.as_f64().unwrap() * 1_000.0).round() as u64
}

#[expect(clippy::cast_precision_loss, reason = "tests use small times")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

/// Milliseconds up to a second, then three digits.
fn bucket(ms: u64) -> u64 {
    let step = match ms {
        0..1_000 => 1,
        1_000..10_000 => 10,
        10_000..100_000 => 100,
        _ => 1_000,
    };
    (ms + step / 2) / step * step
}

fn entries(histogram: &BTreeMap<u64, u64>) -> Value {
    let entry = |(ms, count): (&u64, &u64)| json!({"Value": seconds(*ms), "Count": count});
    histogram.iter().map(entry).collect()
}

/// Returns the whole seconds around a stretch of time, at least one.
fn whole((first, last): (u64, u64)) -> (f64, f64) {
    let first = first / 1_000;
    let last = last.div_ceil(1_000).max(first + 1);
    (seconds(first * 1_000), seconds(last * 1_000))
}

fn is_client(key: &Key) -> bool {
    key.1.as_deref() == Some("client")
}

fn node_name((name, kind, account): &Key) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or("-".to_owned());
    format!("{name} {} {}", part(kind), part(account))
}

fn edge_name(to: &Key, is_link: bool) -> String {
    format!("{}{}", node_name(to), if is_link { " link" } else { "" })
}

/// Where a segment says, in milliseconds, what its subsegments sent alone mention.
const ALONE: &str = "of subsegments sent alone";
