//! The little traces everything is asked about, and the names of what a run makes.
//!
//! All of them are of one run: the annotation `conform` and every name have a part nobody else has, so that
//! a server with data of its own can be examined.
//!
//! | trace | what happened |
//! |---|---|
//! | a | front answers in 2 s; it calls back over HTTP, which fails, and a DynamoDB table |
//! | b | front fails after 1 s with an exception |
//! | c | front is throttled after 0.5 s |
//! | d | pending has begun and is not done |
//! | e | front answers in 0.25 s; its subsegment was sent apart, and before it |

use model::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

/// The names, ids and times of one run.
#[derive(Debug)]
pub(super) struct Fixture {
    /// Part of every name, and nobody else's.
    pub(super) run: String,
    /// The second all traces begin in.
    pub(super) base: u32,
}

/// One of the traces, by its letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trace {
    A,
    B,
    C,
    D,
    E,
}

impl Trace {
    /// Every trace.
    pub(super) const ALL: [Self; 5] = [Self::A, Self::B, Self::C, Self::D, Self::E];

    /// Returns the letter.
    pub(super) const fn letter(self) -> char {
        match self {
            Self::A => 'a',
            Self::B => 'b',
            Self::C => 'c',
            Self::D => 'd',
            Self::E => 'e',
        }
    }
}

impl Fixture {
    /// Returns new names, and a beginning a minute and a half ago.
    pub(super) fn new(now: Timestamp) -> Self {
        let run = Uuid::new_v4().simple().to_string();
        let run = run.chars().take(8).collect();
        let now = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        Self {
            run,
            base: now.saturating_sub(90),
        }
    }

    /// Returns the name of something this run makes.
    pub(super) fn name(&self, what: &str) -> String {
        format!("conform-{}-{what}", self.run)
    }

    /// Returns the id of a trace.
    pub(super) fn trace_id(&self, trace: Trace) -> String {
        self.trace_id_of(u32::from(trace.letter()))
    }

    /// Returns the id of a trace that was never sent.
    pub(super) fn unknown_trace_id(&self) -> String {
        self.trace_id_of(0)
    }

    fn trace_id_of(&self, number: u32) -> String {
        format!("1-{:08x}-{}{number:016x}", self.base, self.run)
    }

    /// Returns the members of a request that name the window all traces are in.
    pub(super) fn window(&self) -> Value {
        json!({ "StartTime": self.base - 30, "EndTime": self.base + 120 })
    }

    /// Returns the window with further members.
    pub(super) fn window_with(&self, members: &Value) -> Value {
        let mut request = self.window();
        if let (Some(request), Some(members)) = (request.as_object_mut(), members.as_object()) {
            request.extend(members.clone());
        }
        request
    }

    /// Returns a filter expression that selects the traces of this run.
    pub(super) fn filter(&self) -> String {
        format!("annotation.conform = \"{}\"", self.run)
    }

    fn at(&self, seconds: f64) -> f64 {
        f64::from(self.base) + seconds
    }

    /// Returns every document, in an order that puts a subsegment before its segment and an unfinished document
    /// before the finished one.
    pub(super) fn documents(&self) -> Vec<String> {
        let documents = [
            self.called(),
            self.unfinished_front(),
            self.front(),
            self.failing(),
            self.throttled(),
            self.pending(),
            self.streamed(),
            self.late(),
        ];
        documents.iter().map(Value::to_string).collect()
    }

    /// Returns the front's segment of trace a as it was sent at first.
    fn unfinished_front(&self) -> Value {
        let mut document = self.segment(Trace::A);
        put(&mut document, "in_progress", json!(true));
        document
    }

    fn front(&self) -> Value {
        let mut document = self.answered(Trace::A, 2.0, 200);
        put(&mut document, "user", json!("conform-user"));
        let annotations = json!({
            "conform": self.run, "tier": "gold", "items": 3, "returning": true, "conform.dotted": "x y",
        });
        put(&mut document, "annotations", annotations);
        put(
            &mut document,
            "metadata",
            json!({ "default": { "note": ["kept", 1, null] } }),
        );
        put(
            &mut document,
            "aws",
            json!({ "ec2": { "instance_id": "i-conform", "availability_zone": "us-east-1a" } }),
        );
        put(&mut document, "service", json!({ "version": "1.0" }));
        put(
            &mut document,
            "subsegments",
            json!([
                {
                    "id": CALL, "name": self.name("back"), "namespace": "remote", "fault": true,
                    "start_time": self.at(0.5), "end_time": self.at(1.5),
                    "http": { "request": { "method": "GET", "url": "http://back/" }, "response": { "status": 500 } },
                },
                {
                    "id": QUERY, "name": "DynamoDB", "namespace": "aws",
                    "start_time": self.at(0.125), "end_time": self.at(0.375),
                    "aws": { "operation": "GetItem", "region": "us-east-1", "table_name": self.name("table") },
                },
                { "id": "00000000000000a4", "name": "render", "start_time": self.at(1.5), "end_time": self.at(1.75) },
            ]),
        );
        document
    }

    fn called(&self) -> Value {
        json!({
            "name": self.name("back"), "id": CALLED, "trace_id": self.trace_id(Trace::A), "parent_id": CALL,
            "start_time": self.at(0.625), "end_time": self.at(1.375), "fault": true,
            "http": { "request": { "method": "GET", "url": "http://back/" }, "response": { "status": 500 } },
            "cause": { "exceptions": [{ "id": "00000000000000ae", "type": "ConformBack", "message": "out of order" }] },
        })
    }

    fn failing(&self) -> Value {
        let mut document = self.answered(Trace::B, 1.0, 500);
        put(&mut document, "fault", json!(true));
        let exception =
            json!({ "id": "00000000000000be", "type": "ConformError", "message": "out of luck" });
        put(&mut document, "cause", json!({ "exceptions": [exception] }));
        document
    }

    fn throttled(&self) -> Value {
        let mut document = self.answered(Trace::C, 0.5, 429);
        put(&mut document, "error", json!(true));
        put(&mut document, "throttle", json!(true));
        document
    }

    fn pending(&self) -> Value {
        let mut document = self.segment(Trace::D);
        put(&mut document, "name", json!(self.name("pending")));
        put(&mut document, "in_progress", json!(true));
        document
    }

    /// Returns a subsegment sent apart from its segment.
    fn streamed(&self) -> Value {
        json!({
            "type": "subsegment", "name": "streamed", "id": STREAMED, "trace_id": self.trace_id(Trace::E),
            "parent_id": ROOT, "start_time": self.at(0.0), "end_time": self.at(0.125),
        })
    }

    fn late(&self) -> Value {
        self.answered(Trace::E, 0.25, 200)
    }

    fn answered(&self, trace: Trace, seconds: f64, status: u32) -> Value {
        let mut document = self.segment(trace);
        put(&mut document, "end_time", json!(self.at(seconds)));
        let http = json!({
            "request": {
                "method": "GET", "url": "http://conform.example.com/api/orders?a=1", "user_agent": "conform/1",
                "client_ip": "192.0.2.1",
            },
            "response": { "status": status, "content_length": 12 },
        });
        put(&mut document, "http", http);
        document
    }

    fn segment(&self, trace: Trace) -> Value {
        json!({
            "name": self.name("front"), "id": ROOT, "trace_id": self.trace_id(trace), "start_time": self.at(0.0),
            "origin": ORIGIN, "annotations": { "conform": self.run },
        })
    }
}

fn put(document: &mut Value, name: &str, value: Value) {
    if let Some(members) = document.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

/// The id of the first segment of every trace.
pub(super) const ROOT: &str = "00000000000000a1";
/// The subsegment of trace a that calls back.
pub(super) const CALL: &str = "00000000000000a2";
/// The subsegment of trace a that asks the table.
pub(super) const QUERY: &str = "00000000000000a3";
/// Back's segment.
pub(super) const CALLED: &str = "00000000000000a5";
/// The subsegment of trace e that was sent apart.
pub(super) const STREAMED: &str = "00000000000000a6";
/// What front runs on.
pub(super) const ORIGIN: &str = "AWS::EC2::Instance";
