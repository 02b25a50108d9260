//! The syncer: one flush for all groups written meanwhile, then their callers' answers.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use model::Tenant;

use super::{Waiting, answer_all, count};
use crate::StoreError;
use crate::active::Active;
use crate::changes::Change;
use crate::store::{Durability, Shared};

/// A group that is written and not yet durable.
pub(super) struct Group {
    pub(super) active: Arc<Active>,
    pub(super) waiting: Vec<Waiting>,
    /// What it changed, in the order of stamps.
    pub(super) changes: Vec<(Tenant, Change)>,
    /// No document of it has a later stamp.
    pub(super) last_stamp: u64,
}

/// Works until the writer is gone.
pub(super) fn run(shared: &Shared, groups: &Receiver<Group>) {
    match shared.config.durability {
        Durability::Sync => {
            while let Ok(group) = groups.recv() {
                sync(shared, gather(group, groups));
            }
        }
        Durability::Interval(interval) => run_at_intervals(shared, groups, interval),
    }
}

/// Flushes at most once an interval, and a last time at the end.
fn run_at_intervals(shared: &Shared, groups: &Receiver<Group>, interval: Duration) {
    while let Ok(first) = groups.recv() {
        let due = Instant::now() + interval;
        let mut dirty = vec![first];
        // Ends when the interval is over or the writer is gone.
        while let Ok(group) = groups.recv_timeout(due.saturating_duration_since(Instant::now())) {
            add(&mut dirty, group);
        }
        sync(shared, dirty);
    }
}

/// Returns the group and all others that wait, those of one partition together.
fn gather(first: Group, groups: &Receiver<Group>) -> Vec<Group> {
    let mut gathered = vec![first];
    while let Ok(group) = groups.try_recv() {
        add(&mut gathered, group);
    }
    gathered
}

fn add(gathered: &mut Vec<Group>, group: Group) {
    let same = gathered
        .iter_mut()
        .find(|known| Arc::ptr_eq(&known.active, &group.active));
    match same {
        Some(known) => {
            known.waiting.extend(group.waiting);
            known.changes.extend(group.changes);
            known.last_stamp = known.last_stamp.max(group.last_stamp);
        }
        None => gathered.push(group),
    }
}

fn sync(shared: &Shared, groups: Vec<Group>) {
    for group in groups {
        let began = Instant::now();
        let synced = if group.active.is_poisoned() {
            Err("its partition failed".to_owned())
        } else {
            group.active.sync().map_err(|error| error.to_string())
        };
        count(&shared.counters.n_syncs, 1);
        count(
            &shared.counters.sync_us,
            u64::try_from(began.elapsed().as_micros()).unwrap_or(0),
        );
        match synced {
            Ok(()) => {
                // Whoever begins to follow once a put was answered is not told of it.
                shared.changes.publish(&group.changes, group.last_stamp);
                answer_all(group.waiting, None);
            }
            Err(reason) => {
                tracing::error!(
                    partition = group.active.number,
                    reason,
                    "flush failed, partition poisoned"
                );
                group.active.poison();
                answer_all(group.waiting, Some(&StoreError::Unavailable { reason }));
            }
        }
    }
}
