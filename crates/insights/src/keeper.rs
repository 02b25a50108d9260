//! Insights of a tenant: evaluated as time goes by, kept in memory and in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{Cells, Tenant, Timestamp};
use storage::{ControlStore, GraphParts, GraphScan, StoreError, TraceStore};

use crate::InsightError;
use crate::detector::{GroupState, Scope, step};
use crate::insight::{Change, ChangeKind, GroupRef, Insight};
use crate::records::{Records, Watched, Write};

/// The insights of a tenant.
pub struct Insights {
    home: Arc<Home>,
    n_passed_over: u32,
}

/// What is in memory, and where it is written to.
struct Home {
    records: Records,
    /// Locked for as long as it takes to look something up or to evaluate one minute, never while writing.
    kept: Mutex<Kept>,
    /// Locked while writing: nothing is written after what is newer.
    saver: Mutex<()>,
}

/// What is in memory.
#[derive(Default)]
pub(crate) struct Kept {
    /// Watched groups with their open insights, by number.
    pub(crate) watched: BTreeMap<u32, Arc<Watched>>,
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
            let number = watched.group.number;
            kept.watched.insert(number, Arc::new(watched));
        }
        kept.drop_old(now);
        Ok(Self {
            home: Arc::new(Home {
                records,
                kept: Mutex::new(kept),
                saver: Mutex::default(),
            }),
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
    /// calls at the same time are of no use and do no harm. It needs a tokio runtime: records are handed to
    /// the store by a thread that may block, and whoever reads waits for none of that.
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
        self.kept().drop_old(now);
        self.save().await?;
        match failure {
            Some(failure) => Err(failure),
            None => Ok(std::mem::take(&mut self.kept().untold)),
        }
    }

    pub(crate) fn tenant(&self) -> Tenant {
        self.home.records.tenant
    }

    pub(crate) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.home.kept()
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
            for minute in scan.from_minute..scan.to_minute {
                let cells = minutes.get(&minute);
                self.kept().apply(self.tenant(), number, minute, cells);
                // Lets those in between who wait for the lock or for this thread.
                tokio::task::yield_now().await;
            }
            from = scan.to_minute;
        }
        Ok(())
    }

    /// Brings the store up to what is in memory, on a thread that may block. Once begun it is ended, also
    /// if nobody waits for it any longer.
    async fn save(&self) -> Result<(), InsightError> {
        if self.kept().unsaved.is_empty() {
            return Ok(());
        }
        let home = Arc::clone(&self.home);
        let saved = tokio::task::spawn_blocking(move || home.save()).await;
        saved.unwrap_or_else(|error| {
            let reason = format!("saving insights was cut off: {error}");
            Err(StoreError::Unavailable { reason }.into())
        })
    }
}

impl Home {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self) -> Result<(), InsightError> {
        let _saving = self.saver.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let Some(write) = self.kept().next_write() else {
                return Ok(());
            };
            if let Err(error) = self.records.write(&write) {
                self.kept().put_back(&write);
                return Err(error);
            }
        }
    }
}

impl Unsaved {
    fn is_empty(&self) -> bool {
        self.closed.is_empty()
            && self.dropped.is_empty()
            && self.watched.is_empty()
            && self.unwatched.is_empty()
    }
}

impl Kept {
    /// Begins to watch groups and ends to watch all others.
    fn watch(&mut self, groups: &[GroupRef], now: Timestamp) {
        let numbers: BTreeSet<u32> = groups.iter().map(|group| group.number).collect();
        let known: Vec<u32> = self.watched.keys().copied().collect();
        for number in known.iter().filter(|number| !numbers.contains(number)) {
            if let Some(watched) = self.watched.remove(number) {
                let mut state = Arc::unwrap_or_clone(watched).state;
                self.take(state.close_all(now));
                self.unsaved.watched.remove(number);
                self.unsaved.unwatched.insert(*number);
            }
        }
        for group in groups {
            let watched = self.watched.entry(group.number);
            let watched = watched.or_insert_with(|| {
                let (group, state) = (group.clone(), GroupState::default());
                Arc::new(Watched { group, state })
            });
            if watched.group != *group {
                Arc::make_mut(watched).group = group.clone();
            }
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
            let state = &mut Arc::make_mut(watched).state;
            let changes = state.close_all(crate::detector::minute_start(newest + 1));
            *state = GroupState::default();
            self.take(changes);
            return earliest;
        }
        evaluated.saturating_add(1).max(earliest)
    }

    /// Evaluates a minute of a group, which may have no sums.
    fn apply(&mut self, tenant: Tenant, number: u32, minute: u32, cells: Option<&Cells>) {
        let Some(watched) = self.watched.get_mut(&number) else {
            return;
        };
        let Watched { group, state } = Arc::make_mut(watched);
        let idle = Cells::default();
        let scope = Scope { tenant, group };
        let changes = step(state, scope, minute, cells.unwrap_or(&idle));
        // Minutes without anything are evaluated again after a restart, to the same end.
        if cells.is_some() || !changes.is_empty() {
            self.unsaved.watched.insert(number);
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

    /// Takes out what is to be written next to bring the store up to what is in memory. Closed insights
    /// go first: a state without one that is not in the store yet would lose it.
    fn next_write(&mut self) -> Option<Write> {
        while let Some(id) = self.unsaved.closed.pop_first() {
            if let Some(insight) = self.closed.get(&id) {
                return Some(Write::Closed(Arc::clone(insight)));
            }
        }
        while let Some(number) = self.unsaved.watched.pop_first() {
            if let Some(watched) = self.watched.get(&number) {
                return Some(Write::Watched(Arc::clone(watched)));
            }
        }
        if let Some(number) = self.unsaved.unwatched.pop_first() {
            return Some(Write::Unwatched(number));
        }
        self.unsaved.dropped.pop_first().map(Write::Dropped)
    }

    /// Keeps for later what could not be written, unless it is out of date meanwhile.
    fn put_back(&mut self, write: &Write) {
        match write {
            Write::Closed(insight) => {
                if self.closed.contains_key(&insight.id) {
                    self.unsaved.closed.insert(insight.id.clone());
                }
            }
            Write::Watched(watched) => {
                let number = watched.group.number;
                if self.watched.contains_key(&number) {
                    self.unsaved.watched.insert(number);
                }
            }
            Write::Unwatched(number) => {
                if !self.watched.contains_key(number) {
                    self.unsaved.unwatched.insert(*number);
                }
            }
            Write::Dropped(id) => {
                if !self.closed.contains_key(id) {
                    self.unsaved.dropped.insert(id.clone());
                }
            }
        }
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

#[cfg(test)]
mod tests {
    use storage::control::memory::MemoryControl;
    use storage::memory::MemoryStore;

    use super::*;
    use crate::tests::support::{TENANT, at, block_on, group, incident, put};

    /// Takes out everything that is to be written.
    fn writes(kept: &mut Kept) -> Vec<Write> {
        std::iter::from_fn(|| kept.next_write()).collect()
    }

    /// What fails to be written while it changes is not written later, or as it is then.
    #[test]
    fn nothing_out_of_date_is_put_back() {
        let store = MemoryStore::default();
        put(&store, &incident());
        let control = Arc::new(MemoryControl::default());
        let insights = Insights::open(control.clone(), TENANT, at(0, 0)).unwrap();
        control.refuse_after(0);
        block_on(insights.advance(&store, &[group(0)], at(40, 0))).unwrap_err();
        let mut kept = insights.kept();
        let taken = writes(&mut kept);
        let [Write::Closed(closed), Write::Watched(_)] = &*taken else {
            panic!("{taken:?}");
        };
        let check = |kept: &mut Kept, failed: &[Write], expected: &[Write]| {
            for write in failed {
                kept.put_back(write);
            }
            assert_eq!(writes(kept), expected);
        };
        check(&mut kept, &taken, &taken);
        // The group is no longer watched and the insight is dropped meanwhile.
        kept.watch(&[], at(41, 0));
        kept.drop_old(at(41 + 30 * 24 * 60, 0));
        let gone = [Write::Unwatched(0), Write::Dropped(closed.id.clone())];
        check(&mut kept, &taken, &gone);
        check(&mut kept, &gone, &gone);
        // Both are there again.
        kept.watch(&[group(0)], at(42, 0));
        kept.closed.insert(closed.id.clone(), Arc::clone(closed));
        check(&mut kept, &gone, &[]);
    }
}
