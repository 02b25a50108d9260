//! Traffic, as sums and as documents.

use std::collections::BTreeMap;
use std::future::Future;

use model::{
    Cells, DocumentLimits, EdgeCell, EdgeKey, EdgeKind, Segment, Service, Statistics, Tenant,
    Timestamp,
};
use storage::memory::MemoryStore;
use storage::{NewDocument, TraceStore};

use crate::detector::{GroupState, Scope, minute_start, step};
use crate::insight::{Change, ChangeKind, GroupRef, Insight};

pub(crate) const TENANT: Tenant = Tenant(3);
/// Some minute in 2026.
pub(crate) const M0: u32 = 29_916_667;

pub(crate) fn service(name: &str) -> Service {
    Service {
        name: name.to_owned(),
        service_type: None,
        account_id: None,
        inferred: false,
    }
}

pub(crate) fn group(number: u32) -> GroupRef {
    GroupRef {
        number,
        name: format!("group-{number}"),
        arn: format!("arn:aws:xray:us-east-1:000000000000:group/group-{number}/ID"),
    }
}

fn statistics(total: i64, faults: i64) -> Statistics {
    Statistics {
        n_seen: total,
        n_ok: total - faults,
        n_faults: faults,
        ..Statistics::default()
    }
}

/// Returns the sums of a minute. Calls are written `from>to:requests/faults`, those of clients without
/// `from`. A service served what it was called for.
pub(crate) fn cells(traffic: &str) -> Cells {
    let mut cells = Cells::default();
    for call in traffic.split_whitespace() {
        let (ends, counts) = call.split_once(':').unwrap();
        let (from, to) = ends.split_once('>').unwrap();
        let (total, faults) = counts.split_once('/').unwrap();
        add_call(
            &mut cells,
            (from, to),
            (total.parse().unwrap(), faults.parse().unwrap()),
        );
    }
    cells
}

pub(crate) fn add_call(cells: &mut Cells, (from, to): (&str, &str), (total, faults): (i64, i64)) {
    let client = Service {
        service_type: Some("client".to_owned()),
        ..service(to)
    };
    let key = EdgeKey {
        from: if from.is_empty() {
            client
        } else {
            service(from)
        },
        to: service(to),
        kind: EdgeKind::Call,
    };
    let cell = EdgeCell {
        statistics: statistics(total, faults),
        ..EdgeCell::default()
    };
    cells.edges.insert(key, cell);
    let node = cells.nodes.entry(service(to)).or_default();
    node.merge(&statistics(total, faults));
}

/// A group that is evaluated minute by minute, from [`M0`] on.
pub(crate) struct Run {
    pub(crate) state: GroupState,
    /// The next minute, counted from [`M0`].
    pub(crate) next: u32,
    /// All changes and the minute that brought them, counted from [`M0`].
    pub(crate) changes: Vec<(u32, Change)>,
}

impl Run {
    pub(crate) fn new() -> Self {
        Self {
            state: GroupState::default(),
            next: 0,
            changes: Vec::new(),
        }
    }

    /// Evaluates so many minutes with the same traffic.
    pub(crate) fn minutes(&mut self, n_minutes: u32, traffic: &str) -> &mut Self {
        let cells = cells(traffic);
        for _ in 0..n_minutes {
            self.minute(&cells);
        }
        self
    }

    pub(crate) fn minute(&mut self, cells: &Cells) {
        let group = group(5);
        let scope = Scope {
            tenant: TENANT,
            group: &group,
        };
        let changes = step(&mut self.state, scope, M0 + self.next, cells);
        let minute = self.next;
        self.changes
            .extend(changes.into_iter().map(|change| (minute, change)));
        self.next += 1;
    }

    /// Returns what happened, in the form `12 Opened db`.
    pub(crate) fn told(&self) -> Vec<String> {
        let told = self.changes.iter().map(|(minute, change)| {
            let root_cause = &change.insight.root_cause.name;
            format!("{minute} {:?} {root_cause}", change.kind)
        });
        told.collect()
    }

    pub(crate) fn last(&self, kind: ChangeKind) -> &Insight {
        let mut changes = self.changes.iter().rev();
        let found = changes.find(|(_, change)| change.kind == kind);
        &found.unwrap().1.insight
    }
}

/// A generator of numbers that are always the same ones (`SplitMix64`).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number from 0 to below 1.
    fn unit(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap()) / 4_294_967_296.0
    }

    /// Returns how many of independent events with this mean happen.
    pub(crate) fn poisson(&mut self, mean: f64) -> i64 {
        let (mut product, mut n_events) = (self.unit(), 0);
        let enough = (-mean).exp();
        while product > enough {
            product *= self.unit();
            n_events += 1;
        }
        n_events
    }
}

/// Returns what a future comes to.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(future)
}

/// When a minute counted from [`M0`] begins, and some seconds more.
pub(crate) fn at(minute: u32, secs: u64) -> Timestamp {
    Timestamp::from_secs(minute_start(M0 + minute).as_secs() + secs)
}

/// Returns the documents of a trace: `web` is called by a client and calls `db`, which has a segment, and
/// a queue, which has none.
pub(crate) fn trace(number: u64, start: Timestamp, fault: bool) -> Vec<NewDocument> {
    let secs = start.as_secs();
    let trace_id = format!("1-{secs:08x}-{number:024x}");
    let fault = if fault { r#","fault":true"# } else { "" };
    let id = |kind: u64| format!("{:016x}", kind << 40 | number);
    let web = format!(
        r#"{{"trace_id":"{trace_id}","id":"{}","name":"web","start_time":{secs}.1,"end_time":{secs}.9{fault},
        "subsegments":[{{"id":"{}","name":"database","namespace":"remote","start_time":{secs}.2,"end_time":{secs}.5{fault}}},
        {{"id":"{}","name":"queue","namespace":"remote","start_time":{secs}.6,"end_time":{secs}.7}}]}}"#,
        id(1),
        id(2),
        id(3)
    );
    let db = format!(
        r#"{{"trace_id":"{trace_id}","id":"{}","parent_id":"{}","name":"db","start_time":{secs}.3,"end_time":{secs}.4{fault}}}"#,
        id(4),
        id(2)
    );
    vec![document(&web), document(&db)]
}

pub(crate) fn document(text: &str) -> NewDocument {
    let parsed = Segment::parse(text, &DocumentLimits::default()).unwrap();
    NewDocument {
        trace_id: parsed.trace_id(),
        head: parsed.head(),
        text: text.to_owned(),
    }
}

/// Puts the traces of minutes counted from [`M0`]: so many in each, the first ones with faults.
pub(crate) fn put(store: &MemoryStore, minutes: &BTreeMap<u32, (u64, u64)>) {
    for (minute, (total, faults)) in minutes {
        for number in 0..*total {
            let start = at(*minute, number % 50);
            let documents = trace(u64::from(*minute) << 16 | number, start, number < *faults);
            block_on(store.put(TENANT, documents, at(*minute, 60))).unwrap();
        }
    }
}

/// Traffic of 26 minutes: from the thirteenth on four of an incident.
pub(crate) fn incident() -> BTreeMap<u32, (u64, u64)> {
    let requests = |minute: u32| match minute {
        12..16 => (20, u64::from(minute)),
        _ => (10, 0),
    };
    (0..26).map(|minute| (minute, requests(minute))).collect()
}
