//! Insights of a tenant: evaluated as time goes by, kept in memory and in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{Cells, Tenant, Timestamp};
use storage::{ControlStore, GraphParts, GraphScan, TraceStore};

use crate::InsightError;
use crate::detector::{GroupState, Scope, step};
use crate::insight::{Change, ChangeKind, GroupRef, Insight};
use crate::records::{Records, Watched};

/// The insights of a tenant.
pub struct Insights {
    records: Records,
    kept: Mutex<Kept>,
    n_passed_over: u32,
}

/// What is in memory.
#[derive(Default)]
pub(crate) struct Kept {
    /// Watched groups with their open insights, by number.
    pub(crate) watched: BTreeMap<u32, Watched>,
    /// Insights that are over, by id.
    pub(crate) closed: BTreeMap<String, Arc<Insight>>,
    unsaved: Unsaved,
    /// What was not told yet.
    untold: Vec<Change>,
}

/// What is in memory and not in the store, or the other way round.
#[derive(Default)]
struct Unsaved {
    closed: BTreeSet<String>,
    dropped: BTreeSet<String>,
    watched: BTreeSet<u32>,
    unwatched: BTreeSet<u32>,
}

impl Insights {
    /// Reads what is known of a tenant's insights. Those that ended more than 30 days ago are left out.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn open(
        control: Arc<dyn ControlStore>,
        tenant: Tenant,
        now: Timestamp,
    ) -> Result<Self, InsightError> {
        let records = Records::new(control, tenant);
        let loaded = records.load()?;
        let mut kept = Kept::default();
        for insight in loaded.closed {
            kept.closed.insert(insight.id.clone(), Arc::new(insight));
        }
        for watched in loaded.watched {
            for incident in &watched.state.open {
                kept.closed.remove(&incident.insight.id);
            }
            kept.watched.insert(watched.group.number, watched);
        }
        kept.drop_old(now);
        Ok(Self {
            records,
            kept: Mutex::new(kept),
            n_passed_over: loaded.n_passed_over,
        })
    }

    /// Returns how many records were damaged or of another version when this was opened.
    pub const fn n_passed_over(&self) -> u32 {
        self.n_passed_over
    }

    /// Evaluates every minute of these groups that ended 90 seconds ago or earlier and was not evaluated
    /// yet, and returns what became of insights by that, group by group in the order of time.
    ///
    /// Reads the sums of each of those minutes once; no more than the last six hours of them, also for a
    /// group that is watched for the first time. Documents that arrive after a minute was evaluated
    /// do not count. Open insights of groups that are not among these are closed. Call it about twice a minute;
    /// calls at the same time are of no use and do no harm. It blocks for the moments it takes to
    /// hand records to the store.
    ///
    /// # Errors
    /// If the store failed for some group or some record. What could be evaluated was, the rest is made up
    /// for by a later call; changes are told by the next call that has no error to tell.
    pub async fn advance<S: TraceStore>(
        &self,
        store: &S,
        groups: &[GroupRef],
        now: Timestamp,
    ) -> Result<Vec<Change>, InsightError> {
        self.kept().watch(groups, now);
        let mut failure = None;
        if let Some(newest) = newest_complete(now) {
            for group in groups {
                let evaluated = self.evaluate(store, group.number, newest).await;
                failure = failure.or(evaluated.err());
            }
        }
        let mut kept = self.kept();
        kept.drop_old(now);
        kept.save(&self.records)?;
        match failure {
            Some(failure) => Err(failure),
            None => Ok(std::mem::take(&mut kept.untold)),
        }
    }

    pub(crate) fn tenant(&self) -> Tenant {
        self.records.tenant
    }

    pub(crate) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn evaluate<S: TraceStore>(
        &self,
        store: &S,
        number: u32,
        newest: u32,
    ) -> Result<(), InsightError> {
        let to = newest + 1;
        let mut from = self.kept().first_pending(number, newest);
        while from < to {
            let scan = GraphScan {
                group: number,
                from_minute: from,
                to_minute: to.min(from.saturating_add(MINUTES_AT_ONCE)),
                bucket_minutes: 1,
                parts: GraphParts::All,
            };
            let minutes = store.graph(self.tenant(), scan).await?;
            self.kept().apply(self.tenant(), &scan, &minutes);
            from = scan.to_minute;
        }
        Ok(())
    }
}

impl Kept {
    /// Begins to watch groups and ends to watch all others.
    fn watch(&mut self, groups: &[GroupRef], now: Timestamp) {
        let numbers: BTreeSet<u32> = groups.iter().map(|group| group.number).collect();
        let known: Vec<u32> = self.watched.keys().copied().collect();
        for number in known.iter().filter(|number| !numbers.contains(number)) {
            if let Some(mut watched) = self.watched.remove(number) {
                self.take(watched.state.close_all(now));
                self.unsaved.watched.remove(number);
                self.unsaved.unwatched.insert(*number);
            }
        }
        for group in groups {
            let watched = self.watched.entry(group.number);
            let watched = watched.or_insert_with(|| Watched {
                group: group.clone(),
                state: GroupState::default(),
            });
            watched.group = group.clone();
            self.unsaved.unwatched.remove(&group.number);
        }
    }

    /// Returns the first minute of a group to evaluate. One that was evaluated long before it will be over
    /// is due to a clock that went wrong: the group begins anew.
    fn first_pending(&mut self, number: u32, newest: u32) -> u32 {
        let earliest = (newest + 1).saturating_sub(CATCH_UP_MINUTES);
        let Some(watched) = self.watched.get_mut(&number) else {
            return newest + 1;
        };
        let Some(evaluated) = watched.state.evaluated else {
            return earliest;
        };
        if evaluated > newest.saturating_add(CATCH_UP_MINUTES) {
            let changes = watched
                .state
                .close_all(crate::detector::minute_start(newest + 1));
            watched.state = GroupState::default();
            self.take(changes);
            return earliest;
        }
        evaluated.saturating_add(1).max(earliest)
    }

    /// Evaluates the minutes of a scan, those without any sums among them.
    fn apply(&mut self, tenant: Tenant, scan: &GraphScan, minutes: &BTreeMap<u32, Cells>) {
        let Some(Watched { group, state }) = self.watched.get_mut(&scan.group) else {
            return;
        };
        let idle = Cells::default();
        let mut changes = Vec::new();
        for minute in scan.from_minute..scan.to_minute {
            let cells = minutes.get(&minute).unwrap_or(&idle);
            changes.extend(step(state, Scope { tenant, group }, minute, cells));
        }
        // Minutes without anything are evaluated again after a restart, to the same end.
        if !minutes.is_empty() || !changes.is_empty() {
            self.unsaved.watched.insert(scan.group);
        }
        self.take(changes);
    }

    fn take(&mut self, changes: Vec<Change>) {
        for change in &changes {
            let id = &change.insight.id;
            match change.kind {
                ChangeKind::Opened => {
                    self.closed.remove(id);
                    self.unsaved.closed.remove(id);
                }
                ChangeKind::Updated => {}
                ChangeKind::Closed => {
                    let insight = Arc::new(change.insight.clone());
                    self.closed.insert(id.clone(), insight);
                    self.unsaved.closed.insert(id.clone());
                    self.unsaved.dropped.remove(id);
                }
            }
        }
        self.untold.extend(changes);
        let n_too_many = self.untold.len().saturating_sub(UNTOLD_MAX);
        self.untold.drain(..n_too_many);
    }

    /// Forgets insights that ended more than 30 days ago, and the oldest ones if a group has too many.
    fn drop_old(&mut self, now: Timestamp) {
        let kept_from = now.before(KEPT);
        let mut newest_first: Vec<&Arc<Insight>> = self.closed.values().collect();
        newest_first.sort_by_key(|one| std::cmp::Reverse(one.end));
        let mut n_of_group: BTreeMap<u32, usize> = BTreeMap::new();
        let mut dropped = Vec::new();
        for insight in newest_first {
            let n_insights = n_of_group.entry(insight.group.number).or_default();
            *n_insights += 1;
            let is_old = insight.end.is_some_and(|end| end < kept_from);
            if is_old || *n_insights > CLOSED_MAX {
                dropped.push(insight.id.clone());
            }
        }
        for id in dropped {
            self.closed.remove(&id);
            self.unsaved.closed.remove(&id);
            self.unsaved.dropped.insert(id);
        }
    }

    /// Brings the store up to what is in memory. Closed insights go first: a state without one that is
    /// not in the store yet would lose it.
    fn save(&mut self, records: &Records) -> Result<(), InsightError> {
        while let Some(id) = self.unsaved.closed.first().cloned() {
            if let Some(insight) = self.closed.get(&id) {
                records.put_closed(insight)?;
            }
            self.unsaved.closed.remove(&id);
        }
        while let Some(number) = self.unsaved.watched.first().copied() {
            if let Some(watched) = self.watched.get(&number) {
                records.put_watched(watched)?;
            }
            self.unsaved.watched.remove(&number);
        }
        while let Some(number) = self.unsaved.unwatched.first().copied() {
            records.remove_watched(number)?;
            self.unsaved.unwatched.remove(&number);
        }
        while let Some(id) = self.unsaved.dropped.first().cloned() {
            records.remove_closed(&id)?;
            self.unsaved.dropped.remove(&id);
        }
        Ok(())
    }
}

/// Returns the last minute that ended early enough for its documents to have come.
fn newest_complete(now: Timestamp) -> Option<u32> {
    let settled = now.before(SETTLING);
    storage::minute_of(settled).checked_sub(1)
}

/// How long documents may be late.
const SETTLING: Duration = Duration::from_secs(90);
/// Minutes that are evaluated at most to catch up.
const CATCH_UP_MINUTES: u32 = 6 * 60;
/// Minutes whose sums are in memory at once.
const MINUTES_AT_ONCE: u32 = 60;
/// How long insights are kept after they ended.
pub(crate) const KEPT: Duration = Duration::from_hours(30 * 24);
/// Closed insights kept of each group.
const CLOSED_MAX: usize = 500;
/// Changes that wait to be told while the store fails; the oldest give way.
const UNTOLD_MAX: usize = 1_000;
