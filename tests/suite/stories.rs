//! Traffic with everything a reader of traces has to cope with: services that call each other and others that
//! send nothing, work begun and never finished, documents that come late, twice, corrected or not at all.
//!
//! The seed decides all of it. Times are whole milliseconds, so that every sum can be compared exactly.

use roentgen_tests::random::Random;
use serde_json::{Value, json};

/// Tells stories: one trace after another.
pub(crate) struct Teller {
    random: Random,
    /// In milliseconds since 1970.
    from: u64,
    spread_ms: u32,
    n_ids: u64,
    percent_linked: u32,
    /// Calls and segments that messages can have come from.
    senders: Vec<(String, String)>,
    documents: Vec<Value>,
}

/// What a part of a trace happens within.
#[derive(Clone, Copy)]
struct Span {
    start: u64,
    end: u64,
}

/// Name, origin, account.
type Service = (&'static str, Option<&'static str>, Option<&'static str>);

impl Teller {
    /// Returns a teller of traces that begin in the seconds after an instant.
    pub(crate) fn new(seed: u64, from: u32, spread_s: u32) -> Self {
        Self {
            random: Random::new(seed),
            from: u64::from(from) * 1_000,
            spread_ms: spread_s * 1_000,
            n_ids: seed << 32,
            percent_linked: 0,
            senders: Vec::new(),
            documents: Vec::new(),
        }
    }

    /// Lets some segments be links to messages other traces sent.
    pub(crate) fn linked(mut self) -> Self {
        self.percent_linked = 6;
        self
    }

    /// Returns the documents of so many traces in a random order.
    pub(crate) fn documents(&mut self, n_traces: u32) -> Vec<Value> {
        for _ in 0..n_traces {
            self.trace();
        }
        let mut documents = std::mem::take(&mut self.documents);
        self.shuffle(&mut documents);
        documents
    }

    /// Returns the documents as batches of random sizes.
    pub(crate) fn batches(&mut self, documents: Vec<Value>) -> Vec<Vec<Value>> {
        let mut batches = Vec::new();
        let mut rest = documents.into_iter().peekable();
        while rest.peek().is_some() {
            let size = usize::try_from(self.random.between(1, 50)).unwrap();
            batches.push(rest.by_ref().take(size).collect());
        }
        batches
    }

    fn shuffle(&mut self, documents: &mut [Value]) {
        for last in (1..documents.len()).rev() {
            let other = self.random.below(u32::try_from(last).unwrap() + 1);
            documents.swap(last, usize::try_from(other).unwrap());
        }
    }

    fn id(&mut self) -> String {
        self.n_ids += 1;
        // Spread over all 64 bits and still unique: the factor is odd.
        format!("{:016x}", self.n_ids.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn trace(&mut self) {
        let start = self.from + u64::from(self.random.below(self.spread_ms));
        self.n_ids += 1;
        let trace_id = format!("1-{:08x}-{:024x}", start / 1_000, self.n_ids);
        let end = start + u64::from(self.random.between(1, 9_000));
        self.segment(&trace_id, None, Span { start, end }, 0);
        if self.random.percent(5) {
            // A trace with two segments without parent.
            self.segment(&trace_id, None, Span { start, end }, 2);
        }
    }

    fn segment(&mut self, trace_id: &str, parent_id: Option<&str>, span: Span, depth: u32) {
        let (name, origin, account): Service = self.random.pick(SERVICES);
        let id = self.id();
        let mut segment = json!({
            "trace_id": trace_id, "id": id, "name": name,
            "start_time": seconds(span.start), "end_time": seconds(span.end),
        });
        for (member, value) in [("origin", origin), ("parent_id", parent_id)] {
            if let Some(value) = value {
                segment[member] = json!(value);
            }
        }
        if let Some(account) = account {
            segment["aws"] = json!({ "account_id": account });
        }
        self.outcome(&mut segment);
        self.annotate(&mut segment);
        if self.random.percent(60) {
            self.request(&mut segment);
        }
        if self.random.percent(30) {
            segment["user"] = json!(self.random.pick(USERS));
        }
        if !self.senders.is_empty() && self.random.percent(self.percent_linked) {
            let n_senders = u32::try_from(self.senders.len()).unwrap();
            let sender = usize::try_from(self.random.below(n_senders)).unwrap();
            let (trace_id, id) = &self.senders[sender];
            segment["links"] = json!([{ "trace_id": trace_id, "id": id }]);
        }
        for _ in 0..self.random.below(if depth == 0 { 5 } else { 3 }) {
            self.work(trace_id, &mut segment, span, depth);
        }
        if depth < 3 && self.random.percent(8) {
            // As Lambda does: a service's own segment is the parent, with no call in between.
            let inner = self.within(span);
            self.segment(trace_id, Some(&id), inner, depth + 1);
        }
        if self.random.percent(3) {
            self.senders.push((trace_id.to_owned(), id));
        }
        if !self.random.percent(4) {
            self.send(segment);
        }
    }

    /// Adds a subsegment to a part, nested in it or as a document of its own.
    fn work(&mut self, trace_id: &str, parent: &mut Value, span: Span, depth: u32) {
        let span = self.within(span);
        let id = self.id();
        let mut part = json!({
            "id": id, "start_time": seconds(span.start), "end_time": seconds(span.end),
        });
        let mut is_call = true;
        match self.random.below(9) {
            0 | 1 => {
                is_call = false;
                part["name"] = json!(self.random.pick(&["render", "validate", "price"]));
                if depth < 3 && self.random.percent(60) {
                    self.work(trace_id, &mut part, span, depth + 1);
                }
            }
            2 => {
                part["name"] = json!("DynamoDB");
                part["namespace"] = json!("aws");
                part["aws"] = json!({ "operation": "GetItem", "table_name": self.random.pick(&["orders", "carts"]) });
            }
            3 => {
                part["name"] = json!(self.random.pick(&["SNS", "S3", "SQS"]));
                part["namespace"] = json!("aws");
            }
            4 => {
                part["name"] = json!("orders@db.internal");
                part["namespace"] = json!("remote");
                part["sql"] = json!({ "sanitized_query": "SELECT 1" });
            }
            5 => {
                part["name"] = json!(self.random.pick(&["mail.example.org", "legacy"]));
                part["namespace"] = json!("remote");
                if self.random.percent(30) {
                    // A segment is announced and never comes.
                    part["http"] = json!({ "request": { "traced": true, "method": "GET" } });
                }
            }
            _ => {
                part["name"] = json!(self.random.pick(&["api", "auth", "api.internal"]));
                part["namespace"] = json!("remote");
                for _ in 0..if self.random.percent(10) { 2 } else { 1 } {
                    let served = self.within(span);
                    self.segment(trace_id, Some(&id), served, depth + 1);
                }
            }
        }
        self.outcome(&mut part);
        if self.random.percent(20) {
            self.annotate(&mut part);
        }
        if is_call && self.random.percent(5) {
            self.senders.push((trace_id.to_owned(), id));
        }
        if self.random.percent(30) {
            part["type"] = json!("subsegment");
            part["trace_id"] = json!(trace_id);
            part["parent_id"] = parent["id"].clone();
            self.send(part);
            return;
        }
        if self.random.percent(3) {
            unfinish(&mut part);
        }
        if parent["subsegments"].is_null() {
            parent["subsegments"] = json!([]);
        }
        parent["subsegments"].as_array_mut().unwrap().push(part);
    }

    /// Sends a document in one of the ways documents come.
    fn send(&mut self, document: Value) {
        let mut begun = document.clone();
        unfinish(&mut begun);
        match self.random.below(100) {
            0..12 => self.documents.extend([begun, document]),
            12..16 => self.documents.push(begun),
            16..22 => self.documents.extend([document.clone(), document]),
            22..26 => {
                let mut corrected = document.clone();
                corrected["fault"] = json!(true);
                corrected["annotations"] = json!({ "corrected": true });
                self.documents.extend([document, corrected]);
            }
            _ => self.documents.push(document),
        }
    }

    fn within(&mut self, span: Span) -> Span {
        let length = u32::try_from(span.end - span.start).unwrap();
        let after = self.random.below(length + 1);
        let took = self.random.below(length - after + 1);
        let start = span.start + u64::from(after);
        Span {
            start,
            end: start + u64::from(took),
        }
    }

    /// Says how a part ended, in the ways of different clients.
    fn outcome(&mut self, part: &mut Value) {
        let (flags, status): (&[(&str, bool)], u16) = match self.random.below(40) {
            0 => (&[("fault", true)], 500),
            1 => (&[("fault", true)], 0),
            2 => (&[], 503),
            3 => (&[("error", true)], 404),
            4 => (&[("error", true)], 0),
            5 => (&[], 403),
            6 => (&[("error", true), ("throttle", true)], 429),
            7 => (&[], 429),
            8 => (&[("error", true), ("throttle", true), ("fault", true)], 500),
            9..15 => (
                &[("error", false), ("throttle", false), ("fault", false)],
                200,
            ),
            15..30 => (&[], 200),
            _ => (&[], 0),
        };
        for (flag, is_set) in flags {
            part[*flag] = json!(is_set);
        }
        if status > 0 {
            let mut http = part["http"].take();
            if http.is_null() {
                http = json!({});
            }
            http["response"] = json!({ "status": status });
            part["http"] = http;
        }
    }

    fn annotate(&mut self, part: &mut Value) {
        let mut annotations = json!({});
        if self.random.percent(50) {
            annotations["tier"] = json!(self.random.pick(&["gold", "silver"]));
        }
        if self.random.percent(30) {
            annotations["items"] = json!(self.random.below(4));
        }
        if self.random.percent(20) {
            annotations["returning"] = json!(self.random.percent(50));
        }
        part["annotations"] = annotations;
    }

    fn request(&mut self, segment: &mut Value) {
        let mut request =
            json!({ "url": format!("https://shop.example.com/{}", self.random.below(30)) });
        for (member, value) in [
            ("method", "GET"),
            ("user_agent", "curl/8.5.0"),
            ("client_ip", "203.0.113.9"),
        ] {
            if self.random.percent(70) {
                request[member] = json!(value);
            }
        }
        let mut http = segment["http"].take();
        if http.is_null() {
            http = json!({});
        }
        http["request"] = request;
        segment["http"] = http;
    }
}

/// Makes a part one in progress.
fn unfinish(part: &mut Value) {
    part.as_object_mut().unwrap().remove("end_time");
    part["in_progress"] = json!(true);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of this century are exact"
)]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

const SERVICES: &[Service] = &[
    ("web", Some("AWS::EC2::Instance"), Some("111122223333")),
    ("api", Some("AWS::ECS::Container"), Some("444455556666")),
    ("api", Some("AWS::ECS::Container"), None),
    ("auth", None, None),
    ("auth", None, Some("111122223333")),
    ("resize", Some("AWS::Lambda"), None),
    ("resize", Some("AWS::Lambda::Function"), None),
    ("legacy", Some("AWS::ECS::Fargate"), None),
];
const USERS: &[&str] = &["alice", "bob", "carol"];
