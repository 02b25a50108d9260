//! Generated traffic: documents of every kind, well and badly connected.

use std::fmt::Write;

use proptest::prelude::*;

/// The minute in which all traffic begins.
pub(crate) const FIRST_MINUTE: u64 = 29_916_660;
/// How many minutes it lasts.
pub(crate) const N_MINUTES: u64 = 10;

/// What a document is made from.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    trace: u64,
    id: u64,
    parent: Option<u64>,
    /// Milliseconds after the first minute.
    start: u64,
    took: u64,
    in_progress: bool,
    alone: bool,
    service: u64,
    outcome: u64,
    calls: Vec<CallPlan>,
    link: Option<(u64, u64)>,
}

/// What a subsegment is made from.
#[derive(Clone, Debug)]
struct CallPlan {
    kind: u64,
    start: u64,
    took: u64,
    in_progress: bool,
    is_deep: bool,
    traced: u64,
    outcome: u64,
}

pub(crate) fn traffic(n_documents: usize) -> impl Strategy<Value = Vec<Plan>> {
    prop::collection::vec(plan(), 1..n_documents)
}

fn plan() -> impl Strategy<Value = Plan> {
    let parent = prop_oneof![
        2 => Just(None),
        4 => call_id().prop_map(Some),
        1 => (1..7_u64).prop_map(Some),
        1 => Just(Some(999)),
    ];
    let ids = (0..4_u64, 1..7_u64, parent);
    let times = (
        0..N_MINUTES * 60_000,
        prop_oneof![0..20_u64, 0..30_000_u64],
        prop::bool::weighted(0.2),
    );
    let others = (
        prop::bool::weighted(0.2),
        0..6_u64,
        0..12_u64,
        prop::collection::vec(call(), 0..4),
        prop::option::weighted(0.3, (0..5_u64, prop_oneof![1..7_u64, call_id()])),
    );
    (ids, times, others).prop_map(|(ids, times, others)| {
        let (trace, id, parent) = ids;
        let (start, took, in_progress) = times;
        let (alone, service, outcome, calls, link) = others;
        Plan {
            trace,
            id,
            parent,
            start,
            took,
            in_progress,
            alone,
            service,
            outcome,
            calls,
            link,
        }
    })
}

fn call() -> impl Strategy<Value = CallPlan> {
    let times = (0..70_000_u64, 0..2_000_u64, prop::bool::weighted(0.1));
    let others = (0..9_u64, any::<bool>(), 0..8_u64, 0..12_u64);
    (times, others).prop_map(|(times, others)| {
        let (start, took, in_progress) = times;
        let (kind, is_deep, traced, outcome) = others;
        CallPlan {
            kind,
            start,
            took,
            in_progress,
            is_deep,
            traced,
            outcome,
        }
    })
}

/// Ids of calls say in which document and where they are.
fn call_id() -> impl Strategy<Value = u64> {
    (1..7_u64, 0..2_u64).prop_map(|(document, place)| 10 * document + place)
}

pub(crate) fn trace_id(trace: u64) -> String {
    format!("1-6afd79c0-{trace:024x}")
}

impl Plan {
    /// Returns the plan without its link.
    pub(crate) fn unlinked(mut self) -> Self {
        self.link = None;
        self
    }

    /// Returns the document.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            r#"{{"trace_id":"{}","id":"{:016x}""#,
            trace_id(self.trace),
            self.id
        );
        let parent = self.parent.or(self.alone.then_some(999));
        if let Some(parent) = parent {
            write!(text, r#","parent_id":"{parent:016x}""#).unwrap();
        }
        if self.alone {
            text += r#","type":"subsegment","#;
            text += &self.callee(self.service);
        } else {
            text += self.service();
        }
        write!(text, r#","start_time":{}"#, at(self.start)).unwrap();
        if self.in_progress {
            text += r#","in_progress":true"#;
        } else {
            write!(text, r#","end_time":{}"#, at(self.start + self.took)).unwrap();
        }
        text += outcome(self.outcome);
        if let Some((trace, id)) = self.link {
            write!(
                text,
                r#","links":[{{"trace_id":"{}","id":"{id:016x}"}}]"#,
                trace_id(trace)
            )
            .unwrap();
        }
        let calls: Vec<String> = (0..)
            .zip(&self.calls)
            .map(|(place, call)| self.call(place, call))
            .collect();
        write!(text, r#","subsegments":[{}]}}"#, calls.join(",")).unwrap();
        text
    }

    /// Returns what a segment says of its service. One of them goes by the identity of a table that
    /// others call, in a trace of its own.
    fn service(&self) -> &'static str {
        match self.service {
            0 => r#","name":"web","origin":"AWS::ECS::Container""#,
            1 => {
                r#","name":"web","origin":"AWS::ECS::Container","aws":{"account_id":"123456789012"}"#
            }
            2 => r#","name":"fun","origin":"AWS::Lambda""#,
            3 => r#","name":"fun","origin":"AWS::Lambda::Function""#,
            4 if self.trace == 3 => r#","name":"users","origin":"AWS::DynamoDB::Table""#,
            _ => r#","name":"plain""#,
        }
    }

    fn callee(&self, kind: u64) -> String {
        let users = if self.trace == 3 { "others" } else { "users" };
        match kind {
            0 => format!(
                r#""name":"DynamoDB","namespace":"aws","aws":{{"table_name":"{users}","operation":"GetItem"}}"#
            ),
            1 => r#""name":"SNS","namespace":"aws""#.to_owned(),
            2 => r#""name":"SQS","namespace":"aws""#.to_owned(),
            3 => r#""name":"db@host","namespace":"remote","sql":{"url":"pg"}"#.to_owned(),
            4 => r#""name":"api.example.com","namespace":"remote""#.to_owned(),
            5 => r#""name":"web","namespace":"remote""#.to_owned(),
            6 => r#""name":"Lambda","namespace":"aws","aws":{"function_name":"fun"}"#.to_owned(),
            7 => r###""name":"## work""###.to_owned(),
            _ => r#""name":"work","namespace":"local""#.to_owned(),
        }
    }

    fn call(&self, place: u64, call: &CallPlan) -> String {
        let (id, start) = (10 * self.id + place, self.start + call.start);
        let end = if call.in_progress {
            r#","in_progress":true"#.to_owned()
        } else {
            format!(r#","end_time":{}"#, at(start + call.took))
        };
        let traced = match call.traced {
            0 => r#","traced":true"#,
            1 => r#","http":{"request":{"traced":true}}"#,
            _ => "",
        };
        // The status is in `http` too, which must be there once.
        let outcome = if call.traced == 1 {
            ""
        } else {
            outcome(call.outcome)
        };
        let callee = self.callee(call.kind);
        let text = format!(
            r#"{{"id":"{id:016x}",{callee},"start_time":{}{end}{traced}{outcome}}}"#,
            at(start)
        );
        if !call.is_deep {
            return text;
        }
        format!(
            r#"{{"id":"{:016x}","name":"outer","start_time":{},"end_time":{},"subsegments":[{text}]}}"#,
            1_000 + id,
            at(start),
            at(start + 1)
        )
    }
}

fn outcome(outcome: u64) -> &'static str {
    match outcome {
        0 => r#","error":true"#,
        1 => r#","error":true,"throttle":true"#,
        2 => r#","fault":true"#,
        3 => r#","fault":true,"error":true"#,
        4 => r#","http":{"response":{"status":404}}"#,
        5 => r#","http":{"response":{"status":429}}"#,
        6 => r#","http":{"response":{"status":503}}"#,
        7 => r#","fault":false,"http":{"response":{"status":500}}"#,
        _ => "",
    }
}

/// Returns seconds with all milliseconds.
fn at(ms: u64) -> String {
    let ms = FIRST_MINUTE * 60_000 + ms;
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}
