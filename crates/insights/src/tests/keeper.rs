//! Insights over a store of traces and a store of records, both in memory.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, ThreadId};
use std::time::Duration;

use model::{Document, Summary, Tenant};
use storage::control::memory::MemoryControl;
use storage::memory::MemoryStore;
use storage::{Classify, ControlKind, ControlRecord, ControlStore, StoreError, TraceStore};

use super::support::*;
use crate::insight::ChangeKind::{self, Closed, Opened, Updated};
use crate::insight::{Change, Impact, InsightState};
use crate::{InsightError, Insights};

fn keys(control: &MemoryControl) -> Vec<String> {
    let records = control.load(TENANT, ControlKind::Insight).unwrap();
    records.into_iter().map(|record| record.key).collect()
}

fn open(control: &Arc<MemoryControl>, minute: u32) -> Insights {
    let control: Arc<dyn ControlStore> = control.clone();
    Insights::open(control, TENANT, at(minute, 0)).unwrap()
}

/// Evaluates what is complete when a minute begins.
fn advance(insights: &Insights, store: &MemoryStore, minute: u32) -> Vec<Change> {
    block_on(insights.advance(store, &[group(0)], at(minute, 0))).unwrap()
}

fn told(changes: &[Change]) -> Vec<String> {
    let told = changes.iter().map(|change| {
        let insight = &change.insight;
        format!("{:?} {}", change.kind, insight.root_cause.name)
    });
    told.collect()
}

#[test]
fn documents_make_an_insight_that_opens_changes_and_closes() {
    let (store, control) = (MemoryStore::default(), Arc::new(MemoryControl::default()));
    let insights = open(&control, 0);
    let mut found = Vec::new();
    for (minute, traffic) in incident() {
        put(&store, &BTreeMap::from([(minute, traffic)]));
        // The minute before is complete half a minute into the next one but one.
        let changes = block_on(insights.advance(&store, &[group(0)], at(minute + 1, 30)));
        let told = told(&changes.unwrap());
        found.extend(told.into_iter().map(|told| format!("{minute} {told}")));
    }
    assert_eq!(
        found,
        ["14 Opened db", "16 Updated db", "21 Closed db"],
        "minutes 12 to 15 are anomalous, each is evaluated during the next"
    );
    let id = insights.kept().closed.keys().next().unwrap().clone();
    let insight = insights.insight(&id).unwrap();
    assert_eq!(insight.state(), InsightState::Closed);
    assert_eq!((insight.start, insight.end), (at(12, 0), Some(at(16, 0))));
    let sent = Impact {
        faults: 12 + 13 + 14 + 15,
        total: 80,
    };
    assert_eq!(insight.clients, sent);
    assert_eq!(insight.root_cause_impact, sent);
    assert_eq!(insight.root_cause_impact.ok(), 26);
    let services: Vec<&str> = insight.services.iter().map(|one| &*one.name).collect();
    assert_eq!(services, ["db", "web"]);
    assert_eq!(insight.group, group(0));
}

#[test]
fn minutes_are_evaluated_90_seconds_after_they_ended() {
    let (store, control) = (MemoryStore::default(), Arc::new(MemoryControl::default()));
    put(&store, &incident());
    let insights = open(&control, 0);
    let check = |minute: u32, secs: u64, expected: &[&str]| {
        let changes = block_on(insights.advance(&store, &[group(0)], at(minute, secs)));
        assert_eq!(told(&changes.unwrap()), expected, "{minute} {secs}");
    };
    check(15, 29, &[]);
    check(15, 30, &["Opened db"]);
    check(15, 30, &[]);
    // A clock that goes back.
    check(3, 0, &[]);
    check(22, 29, &["Updated db"]);
    check(22, 30, &["Closed db"]);
    check(400, 0, &[]);
}

#[test]
fn late_documents_count_until_their_minute_is_evaluated() {
    let check = |puts_at: u32, expected: usize| {
        let (store, control) = (MemoryStore::default(), Arc::new(MemoryControl::default()));
        let (mut early, mut late) = (incident(), incident());
        early.retain(|minute, _| *minute != 13);
        late.retain(|minute, _| *minute == 13);
        put(&store, &early);
        let insights = open(&control, 0);
        let mut faults = 0;
        for minute in 0..30 {
            if minute == puts_at {
                put(&store, &late);
            }
            for change in advance(&insights, &store, minute) {
                faults = usize::try_from(change.insight.clients.faults).unwrap();
            }
        }
        assert_eq!(faults, expected, "{puts_at}");
    };
    check(13, 54);
    check(15, 54);
    // Minute 13 is complete at 15:30 and was evaluated at 16:00.
    check(16, 54);
    check(17, 41);
}

#[test]
fn a_restart_changes_nothing() {
    let store = MemoryStore::default();
    put(&store, &incident());
    let all_at_once = {
        let insights = open(&Arc::new(MemoryControl::default()), 0);
        advance(&insights, &store, 40)
    };
    assert_eq!(told(&all_at_once), ["Opened db", "Updated db", "Closed db"]);
    for restarted_at in 10..24 {
        let control = Arc::new(MemoryControl::default());
        let mut changes = advance(&open(&control, 0), &store, restarted_at);
        let insights = open(&control, restarted_at);
        changes.extend(advance(&insights, &store, 40));
        assert_eq!(changes, all_at_once, "{restarted_at}");
        assert_eq!(insights.n_passed_over(), 0);
    }
}

#[test]
fn what_was_lost_with_the_power_is_found_anew() {
    let store = MemoryStore::default();
    put(&store, &incident());
    let control = Arc::new(MemoryControl::default());
    let before = advance(&open(&control, 0), &store, 40);
    for key in keys(&control) {
        control.remove(TENANT, ControlKind::Insight, &key).unwrap();
    }
    assert_eq!(advance(&open(&control, 40), &store, 40), before);
    // After more than six hours the beginning is out of reach, and with it what was expected.
    let control = Arc::new(MemoryControl::default());
    let changes = advance(&open(&control, 0), &store, 6 * 60 + 2 + 8);
    assert_eq!(told(&changes), [""; 0]);
}

#[test]
fn an_open_insight_survives_a_long_rest() {
    let store = MemoryStore::default();
    put(&store, &incident());
    let control = Arc::new(MemoryControl::default());
    let opened = advance(&open(&control, 0), &store, 17);
    let changes = advance(&open(&control, 5_000), &store, 5_000);
    assert_eq!(told(&changes), ["Closed db"]);
    let closed = &changes[0].insight;
    assert_eq!(closed.id, opened[0].insight.id);
    assert_eq!(closed.end, Some(at(15, 0)), "of what was evaluated");
}

#[test]
fn insights_of_groups_that_are_no_longer_watched_are_closed() {
    let store = MemoryStore::default();
    put(&store, &incident());
    let control = Arc::new(MemoryControl::default());
    let insights = open(&control, 0);
    let opened = advance(&insights, &store, 16);
    assert_eq!(told(&opened), ["Opened db"]);
    assert_eq!(keys(&control), ["state/0000000000"]);

    let changes = block_on(insights.advance(&store, &[], at(16, 20))).unwrap();
    assert_eq!(told(&changes), ["Closed db"]);
    let closed = &changes[0].insight;
    assert_eq!((closed.start, closed.end), (at(12, 0), Some(at(14, 0))));
    assert_eq!(closed.updated, at(16, 20));
    assert!(
        closed
            .summary
            .ends_with("is closed: the group is no longer watched.")
    );
    assert_eq!(keys(&control), vec![closed.id.clone()]);
    assert_eq!(*open(&control, 17).insight(&closed.id).unwrap(), *closed);

    // Watched again: the same minutes give the same insight.
    let again = advance(&insights, &store, 40);
    assert_eq!(again.len(), 3);
    assert_eq!(again[2].insight.id, closed.id);
    assert_eq!(
        keys(&control),
        [closed.id.clone(), "state/0000000000".to_owned()]
    );
    let reopened = open(&control, 40);
    assert_eq!(*reopened.insight(&closed.id).unwrap(), again[2].insight);
}

/// Group 5 has the traces of `web`, group 6 none.
struct ByName;

impl Classify for ByName {
    fn groups(
        &self,
        _tenant: Tenant,
        _first_stamp: u64,
        summary: &Summary,
        _documents: &mut dyn FnMut() -> Vec<Document>,
    ) -> Vec<u32> {
        let is_web = summary.services.iter().any(|one| one.name == "web");
        is_web.then_some(5).into_iter().collect()
    }
}

#[test]
fn every_group_has_its_own_insights() {
    let store = MemoryStore::default();
    store.classify_by(Arc::new(ByName));
    put(&store, &incident());
    let insights = open(&Arc::new(MemoryControl::default()), 0);
    let groups = [group(0), group(5), group(6)];
    let changes = block_on(insights.advance(&store, &groups, at(40, 0))).unwrap();
    let found: Vec<(u32, ChangeKind)> = changes
        .iter()
        .map(|change| (change.insight.group.number, change.kind))
        .collect();
    assert_eq!(
        found,
        [
            (0, Opened),
            (0, Updated),
            (0, Closed),
            (5, Opened),
            (5, Updated),
            (5, Closed)
        ]
    );
    assert_ne!(changes[0].insight.id, changes[3].insight.id);
}

#[test]
fn insights_are_dropped_30_days_after_their_end() {
    let store = MemoryStore::default();
    put(&store, &incident());
    let control = Arc::new(MemoryControl::default());
    let insights = open(&control, 0);
    let changes = advance(&insights, &store, 40);
    let id = changes[0].insight.id.clone();
    let month = 30 * 24 * 60;
    advance(&insights, &store, 16 + month);
    assert!(insights.insight(&id).is_ok());
    assert!(open(&control, 16 + month).insight(&id).is_ok());
    assert!(open(&control, 17 + month).insight(&id).is_err());
    assert!(keys(&control).contains(&id));
    advance(&insights, &store, 17 + month);
    assert!(insights.insight(&id).is_err());
    assert!(!keys(&control).contains(&id));
}

#[test]
fn what_could_not_be_written_is_written_and_told_later() {
    let store = MemoryStore::default();
    put(&store, &incident());
    let control = Arc::new(MemoryControl::default());
    let insights = open(&control, 0);
    control.refuse_after(0);
    let failed = block_on(insights.advance(&store, &[group(0)], at(40, 0)));
    assert!(matches!(
        failed,
        Err(InsightError::Store(StoreError::Closed))
    ));
    assert_eq!(keys(&control), [""; 0]);
    control.refuse_after(u32::MAX);
    let changes = advance(&insights, &store, 40);
    assert_eq!(told(&changes), ["Opened db", "Updated db", "Closed db"]);
    let id = changes[0].insight.id.clone();
    assert_eq!(keys(&control), [id.clone(), "state/0000000000".to_owned()]);
    assert!(open(&control, 40).insight(&id).is_ok());
}

#[test]
fn records_that_cannot_be_used_are_passed_over() {
    let check = |key: &str, value: &str| {
        let control = Arc::new(MemoryControl::default());
        let record = ControlRecord {
            key: key.to_owned(),
            value: value.as_bytes().to_vec(),
        };
        control.put(TENANT, ControlKind::Insight, &record).unwrap();
        let insights = open(&control, 0);
        assert_eq!(insights.n_passed_over(), 1, "{key} {value}");
        let store = MemoryStore::default();
        put(&store, &incident());
        assert_eq!(advance(&insights, &store, 40).len(), 3);
    };
    check("state/0000000000", "");
    check("state/0000000000", "{}");
    check("state/0000000000", r#"{"v":2,"content":{}}"#);
    check("state/0000000000", r#"{"v":1,"content":{}}"#);
    check("1-2-3", r#"{"v":1,"content":{}}"#);
}

#[test]
fn a_clock_that_was_far_ahead_does_no_lasting_harm() {
    let store = MemoryStore::default();
    put(&store, &incident());
    let insights = open(&Arc::new(MemoryControl::default()), 0);
    advance(&insights, &store, 500_000);
    let changes = advance(&insights, &store, 40);
    assert_eq!(told(&changes), ["Opened db", "Updated db", "Closed db"]);
}

/// A store whose sums cannot be read for one group.
struct Damaged(MemoryStore);

impl TraceStore for Damaged {
    async fn put(
        &self,
        tenant: Tenant,
        batch: Vec<storage::NewDocument>,
        now: model::Timestamp,
    ) -> Result<Vec<storage::Outcome>, StoreError> {
        self.0.put(tenant, batch, now).await
    }

    async fn documents(
        &self,
        tenant: Tenant,
        trace_id: model::TraceId,
    ) -> Result<storage::StoredTrace, StoreError> {
        self.0.documents(tenant, trace_id).await
    }

    async fn summaries(
        &self,
        tenant: Tenant,
        scan: storage::Scan,
    ) -> Result<storage::ScanPage, StoreError> {
        self.0.summaries(tenant, scan).await
    }

    async fn summaries_of(
        &self,
        tenant: Tenant,
        trace_ids: Vec<model::TraceId>,
    ) -> Result<Vec<Summary>, StoreError> {
        self.0.summaries_of(tenant, trace_ids).await
    }

    async fn graph(
        &self,
        tenant: Tenant,
        scan: storage::GraphScan,
    ) -> Result<BTreeMap<u32, model::Cells>, StoreError> {
        if scan.group == 4 {
            return Err(StoreError::Closed);
        }
        self.0.graph(tenant, scan).await
    }

    fn newest_stamp(&self) -> u64 {
        self.0.newest_stamp()
    }

    async fn put_telemetry(
        &self,
        tenant: Tenant,
        records: Vec<Vec<u8>>,
        now: model::Timestamp,
    ) -> Result<(), StoreError> {
        self.0.put_telemetry(tenant, records, now).await
    }
}

#[test]
fn a_group_that_cannot_be_read_does_not_keep_others_back() {
    let store = Damaged(MemoryStore::default());
    put(&store.0, &incident());
    let insights = open(&Arc::new(MemoryControl::default()), 0);
    let groups = [group(4), group(0)];
    let failed = block_on(insights.advance(&store, &groups, at(40, 0)));
    assert!(matches!(
        failed,
        Err(InsightError::Store(StoreError::Closed))
    ));
    assert_eq!(insights.kept().closed.len(), 1);
    // Once the group is gone, what happened meanwhile is told.
    let changes = block_on(insights.advance(&store, &groups[1..], at(40, 0))).unwrap();
    assert_eq!(told(&changes), ["Opened db", "Updated db", "Closed db"]);
}

#[test]
fn closed_insights_are_few() {
    let store = MemoryStore::default();
    put(&store, &incident());
    let control = Arc::new(MemoryControl::default());
    let insights = open(&control, 0);
    let closed = advance(&insights, &store, 40).remove(2).insight;
    for number in 0..510_u32 {
        let insight = crate::Insight {
            id: format!("{number:08x}-0000-5000-8000-000000000000"),
            end: Some(at(100 + number, 0)),
            ..closed.clone()
        };
        let mut kept = insights.kept();
        kept.closed.insert(insight.id.clone(), Arc::new(insight));
    }
    advance(&insights, &store, 700);
    let kept = insights.kept();
    assert_eq!(kept.closed.len(), 500);
    assert_eq!(
        kept.closed.keys().next().unwrap(),
        "0000000a-0000-5000-8000-000000000000"
    );
    assert!(!keys(&control).contains(&closed.id));
}

#[test]
fn an_insight_that_goes_on_again_is_told_once() {
    let store = MemoryStore::default();
    put(&store, &incident());
    let control = Arc::new(MemoryControl::default());
    let insights = open(&control, 0);
    advance(&insights, &store, 16);
    block_on(insights.advance(&store, &[], at(16, 0))).unwrap();
    assert_eq!(told(&advance(&insights, &store, 16)), ["Opened db"]);
    let query = crate::SummariesQuery {
        group: 0,
        state: None,
        from: at(0, 0),
        to: at(20, 0),
        after: None,
        n_max: 10,
    };
    for insights in [insights, open(&control, 16)] {
        let page = insights.summaries(&query, at(20, 0)).unwrap();
        let states: Vec<_> = page.insights.iter().map(|one| one.state()).collect();
        assert_eq!(states, [InsightState::Active]);
    }
}

#[test]
fn a_group_that_is_watched_again_before_that_was_written_stays() {
    let store = MemoryStore::default();
    put(&store, &incident());
    let control = Arc::new(MemoryControl::default());
    let insights = open(&control, 0);
    advance(&insights, &store, 16);
    control.refuse_after(0);
    let failed = block_on(insights.advance(&store, &[], at(16, 0)));
    assert!(failed.is_err());
    control.refuse_after(u32::MAX);
    advance(&insights, &store, 16);
    assert!(keys(&control).contains(&"state/0000000000".to_owned()));
    assert_eq!(open(&control, 16).kept().watched.len(), 1);
}

#[test]
fn whichever_write_fails_all_is_made_up_for_later() {
    let store = MemoryStore::default();
    put(&store, &incident());
    let month = 30 * 24 * 60;
    let groups = [group(0)];
    // An insight is found, its group is no longer watched, it is dropped, the group is watched again.
    let calls = [
        (40, &groups[..]),
        (41, &[]),
        (17 + month, &[]),
        (18 + month, &groups),
    ];
    let run = |n_writes: u32| {
        let control = Arc::new(MemoryControl::default());
        let insights = open(&control, 0);
        let mut changes = Vec::new();
        let mut n_failed = 0;
        control.refuse_after(n_writes);
        for (minute, groups) in calls {
            let mut told = block_on(insights.advance(&store, groups, at(minute, 0)));
            if told.is_err() {
                n_failed += 1;
                control.refuse_after(u32::MAX);
                told = block_on(insights.advance(&store, groups, at(minute, 0)));
            }
            changes.extend(told.unwrap());
        }
        let records = control.load(TENANT, ControlKind::Insight).unwrap();
        (n_failed, changes, records)
    };
    let (n_failed, changes, records) = run(u32::MAX);
    assert_eq!((n_failed, records.len()), (0, 0));
    for n_writes in 0..4 {
        let failed = run(n_writes);
        assert_eq!(failed, (1, changes.clone(), records.clone()), "{n_writes}");
    }
    assert_eq!(run(4).0, 0, "there are four writes");
}

/// A store of records during whose writes insights are read.
#[derive(Default)]
struct Watching {
    inner: MemoryControl,
    insights: OnceLock<Arc<Insights>>,
    /// Which threads wrote, and what.
    writes: Mutex<Vec<(ThreadId, String)>>,
}

impl Watching {
    fn note(&self, what: String) {
        let insights = Arc::clone(self.insights.get().unwrap());
        let (done, is_done) = channel();
        // On a thread of its own: one that has to wait for this write would wait for ever.
        thread::spawn(move || {
            let query = crate::SummariesQuery {
                group: 0,
                state: None,
                from: at(0, 0),
                to: at(20, 0),
                after: None,
                n_max: 10,
            };
            let page = insights.summaries(&query, at(20, 0)).unwrap();
            done.send(page.insights.len()).unwrap();
        });
        let read = is_done.recv_timeout(Duration::from_secs(20));
        assert_eq!(read, Ok(1), "read during {what}");
        let mut writes = self.writes.lock().unwrap();
        writes.push((thread::current().id(), what));
    }
}

impl ControlStore for Watching {
    fn load(&self, tenant: Tenant, kind: ControlKind) -> Result<Vec<ControlRecord>, StoreError> {
        self.inner.load(tenant, kind)
    }

    fn put(&self, _: Tenant, _: ControlKind, record: &ControlRecord) -> Result<(), StoreError> {
        panic!("{} waits for the disk", record.key);
    }

    fn put_soon(
        &self,
        tenant: Tenant,
        kind: ControlKind,
        record: &ControlRecord,
    ) -> Result<(), StoreError> {
        self.note(format!("put {}", record.key));
        self.inner.put_soon(tenant, kind, record)
    }

    fn remove(&self, _: Tenant, _: ControlKind, key: &str) -> Result<(), StoreError> {
        panic!("{key} waits for the disk");
    }

    fn remove_soon(&self, tenant: Tenant, kind: ControlKind, key: &str) -> Result<(), StoreError> {
        self.note(format!("remove {key}"));
        self.inner.remove_soon(tenant, kind, key)
    }
}

#[test]
fn who_reads_does_not_wait_for_the_store() {
    let store = MemoryStore::default();
    put(&store, &incident());
    let control = Arc::new(Watching::default());
    let insights = Arc::new(Insights::open(control.clone(), TENANT, at(0, 0)).unwrap());
    assert!(control.insights.set(Arc::clone(&insights)).is_ok());
    let changes = block_on(insights.advance(&store, &[group(0)], at(40, 0))).unwrap();
    assert_eq!(told(&changes), ["Opened db", "Updated db", "Closed db"]);
    block_on(insights.advance(&store, &[], at(41, 0))).unwrap();
    let writes = control.writes.lock().unwrap();
    let written: Vec<&str> = writes.iter().map(|(_, what)| what.as_str()).collect();
    let closed = format!("put {}", changes[2].insight.id);
    assert_eq!(
        written,
        [&closed, "put state/0000000000", "remove state/0000000000"]
    );
    let own = thread::current().id();
    assert!(writes.iter().all(|(writer, _)| *writer != own));
}
