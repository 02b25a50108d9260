//! What changed: traces in the order their documents arrived, for those who follow an account.
//!
//! 1. The syncer tells what has become durable, before its callers are answered. Nothing is kept of it for accounts
//!    nobody follows.
//! 2. An account that is followed has a ring of its newest changes. Followers read it at their own pace; one for whom it
//!    moves on too fast is told how much was missed. The ring stays for a while when the last follower has gone: whoever
//!    comes back finds it as it was.
//! 3. Who goes on after a stamp the ring does not reach is given what the indexes in memory say changed since. What lies
//!    before that, in sealed partitions, is told as missed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{Tenant, Timestamp, TraceId};
use tokio::sync::watch;

use crate::StoreError;
use crate::store::{Shared, SledStore};

/// A change of a trace: a document of it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The document's stamp. Stamps increase strictly in order of arrival, over all accounts.
    pub stamp: u64,
    /// The trace.
    pub trace_id: TraceId,
}

/// Changes that cannot be told any more: those after one stamp, up to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The last stamp before them.
    pub after: u64,
    /// The stamp of the last of them; there may be none at all where their number is not known.
    pub until: u64,
    /// How many there are, repeated changes of the same trace included, if that is known.
    pub n_changes: Option<u64>,
}

/// What a follower is given at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// What was missed before these changes.
    pub gap: Option<Gap>,
    /// Each trace once, with the stamp of its last change among these, in the order of stamps.
    pub changes: Vec<Change>,
}

/// Follows the changes of one account's traces; only what is durable is told.
pub struct Follower {
    hub: Arc<Hub>,
    tenant: Tenant,
    /// What was missed before the backlog.
    gap: Option<Gap>,
    /// What changed before the ring begins.
    backlog: VecDeque<Change>,
    /// The number of the ring's next change.
    next: u64,
    position: u64,
    newest: watch::Receiver<u64>,
}

/// What changes are told to and followed from.
#[derive(Default)]
pub(crate) struct Hub(Mutex<State>);

#[derive(Default)]
struct State {
    /// All stamps up to this one are durable, or failed.
    durable: u64,
    rings: HashMap<Tenant, Ring>,
}

/// The newest changes of one account.
struct Ring {
    changes: VecDeque<Change>,
    /// The number of the first of them; they are counted on.
    first: u64,
    /// Every change with a later stamp is here.
    complete_after: u64,
    n_followers: usize,
    /// Since when nobody follows, once that was noticed.
    idle_since: Option<Timestamp>,
    newest: watch::Sender<u64>,
}

impl Follower {
    /// Returns the stamp everything up to which was taken.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Returns once there is something to take.
    pub async fn changed(&mut self) {
        loop {
            self.newest.borrow_and_update();
            if self.has_more() {
                return;
            }
            if self.newest.changed().await.is_err() {
                // A ring that is followed stays; without it nothing ever changes.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Tells whether there is something to take.
    pub fn has_more(&self) -> bool {
        let has_backlog = self.gap.is_some() || !self.backlog.is_empty();
        has_backlog || self.hub.has_more(self.tenant, self.next)
    }

    /// Returns what comes next, out of at most so many changes.
    pub fn take(&mut self, n_changes_max: usize) -> Taken {
        if let Some(gap) = self.gap.take() {
            return self.missed(gap);
        }
        if !self.backlog.is_empty() {
            let n_taken = n_changes_max.min(self.backlog.len());
            let changes: Vec<Change> = self.backlog.drain(..n_taken).collect();
            return self.told(&changes);
        }
        match self.hub.read(self.tenant, self.next, n_changes_max) {
            Read::Changes(changes) => {
                self.next += count(changes.len());
                self.told(&changes)
            }
            Read::Missed { first, until } => {
                let gap = Gap {
                    after: self.position,
                    until,
                    n_changes: Some(first - self.next),
                };
                self.next = first;
                self.missed(gap)
            }
        }
    }

    fn missed(&mut self, gap: Gap) -> Taken {
        self.position = gap.until;
        Taken {
            gap: Some(gap),
            changes: Vec::new(),
        }
    }

    /// Returns each trace once, where it changed last.
    fn told(&mut self, changes: &[Change]) -> Taken {
        if let Some(last) = changes.last() {
            self.position = last.stamp;
        }
        let mut seen = HashSet::with_capacity(changes.len());
        let last_first = changes.iter().rev();
        let mut changes: Vec<Change> = last_first
            .filter(|change| seen.insert(change.trace_id))
            .copied()
            .collect();
        changes.reverse();
        Taken { gap: None, changes }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(ring) = self.hub.lock().rings.get_mut(&self.tenant) {
            ring.n_followers = ring.n_followers.saturating_sub(1);
        }
    }
}

/// What a ring has from a number on.
enum Read {
    Changes(Vec<Change>),
    /// It begins later: with this number, after this stamp.
    Missed {
        first: u64,
        until: u64,
    },
}

impl Hub {
    /// Returns what knows of no change up to a stamp.
    pub(crate) fn after(durable: u64) -> Self {
        Self(Mutex::new(State {
            durable,
            rings: HashMap::new(),
        }))
    }

    /// Tells changes, in the order of their stamps, once everything up to a stamp is durable.
    pub(crate) fn publish(&self, changes: &[(Tenant, Change)], durable: u64) {
        let mut state = self.lock();
        state.durable = state.durable.max(durable);
        if state.rings.is_empty() {
            return;
        }
        let mut newest: HashMap<Tenant, u64> = HashMap::new();
        for (tenant, change) in changes {
            if let Some(ring) = state.rings.get_mut(tenant) {
                let before = newest.insert(*tenant, change.stamp);
                ring.push(*change, before);
            }
        }
        for (tenant, stamp) in newest {
            if let Some(ring) = state.rings.get(&tenant) {
                ring.newest.send_replace(stamp);
            }
        }
    }

    /// Lets rings go that nobody has followed for a while.
    pub(crate) fn tidy(&self, now: Timestamp) {
        self.lock().rings.retain(|_, ring| {
            if ring.n_followers > 0 {
                return true;
            }
            let since = *ring.idle_since.get_or_insert(now);
            now.since(since) < LINGER
        });
    }

    fn has_more(&self, tenant: Tenant, number: u64) -> bool {
        let state = self.lock();
        let ring = state.rings.get(&tenant);
        ring.is_some_and(|ring| ring.end() > number)
    }

    fn read(&self, tenant: Tenant, number: u64, n_max: usize) -> Read {
        let state = self.lock();
        match state.rings.get(&tenant) {
            None => Read::Changes(Vec::new()),
            Some(ring) if ring.first > number => Read::Missed {
                first: ring.first,
                until: ring.complete_after,
            },
            Some(ring) => Read::Changes(ring.from(number, n_max)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn after(stamp: u64) -> Self {
        Self {
            changes: VecDeque::new(),
            first: 0,
            complete_after: stamp,
            n_followers: 0,
            idle_since: None,
            newest: watch::Sender::new(stamp),
        }
    }

    /// Returns the number after that of the last change.
    fn end(&self) -> u64 {
        self.first + count(self.changes.len())
    }

    /// Adds a change. Of those told together, the one before has the stamp `before`, if there was one: nobody has seen
    /// it yet, so a repeat of the same trace takes its place.
    fn push(&mut self, change: Change, before: Option<u64>) {
        if let Some(last) = self.changes.back_mut()
            && last.trace_id == change.trace_id
            && before == Some(last.stamp)
        {
            last.stamp = change.stamp;
            return;
        }
        if self.changes.len() >= RING_CHANGES
            && let Some(oldest) = self.changes.pop_front()
        {
            self.first += 1;
            self.complete_after = oldest.stamp;
        }
        self.changes.push_back(change);
    }

    /// Returns so many changes from the one with this number on.
    fn from(&self, number: u64, n_max: usize) -> Vec<Change> {
        let skipped = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let changes = self.changes.iter().skip(skipped);
        changes.take(n_max).copied().collect()
    }
}

impl SledStore {
    /// Begins to follow the changes of an account's traces: from now on, or after a stamp.
    ///
    /// Every put that was answered before is told of only if `after` asks for it, every one that begins later is told.
    /// What a follower does not take in time it misses, and is told so: nobody waits for it.
    pub async fn follow(&self, tenant: Tenant, after: Option<u64>) -> Result<Follower, StoreError> {
        self.read(move |shared| Ok(shared.follow(tenant, after)))
            .await
    }
}

impl Shared {
    /// Begins to follow an account: from now on, or after a stamp.
    pub(crate) fn follow(&self, tenant: Tenant, after: Option<u64>) -> Follower {
        let mut state = self.changes.lock();
        let durable = state.durable;
        let ring = state.rings.entry(tenant);
        let ring = ring.or_insert_with(|| Ring::after(durable));
        ring.n_followers += 1;
        ring.idle_since = None;
        let mut follower = Follower {
            hub: Arc::clone(&self.changes),
            tenant,
            gap: None,
            backlog: VecDeque::new(),
            next: ring.end(),
            position: durable,
            newest: ring.newest.subscribe(),
        };
        // A stamp nothing has yet was given out before a crash, or by another store.
        let Some(after) = after.filter(|after| *after < durable) else {
            return follower;
        };
        follower.position = after;
        let n_before = ring.changes.partition_point(|change| change.stamp <= after);
        follower.next = ring.first + count(n_before);
        let complete_after = ring.complete_after;
        drop(state);
        if after < complete_after {
            self.look_back(&mut follower, after, complete_after);
        }
        follower
    }

    /// Fills in what changed after a stamp and up to another, as far as the indexes in memory know.
    fn look_back(&self, follower: &mut Follower, after: u64, until: u64) {
        let partitions = self.partitions();
        let sealed = partitions.sealed.iter();
        let sealed_until = sealed.map(|sealed| sealed.facts.last_stamp).max();
        let known_after = sealed_until.unwrap_or(0).min(until).max(after);
        let mut changes: Vec<Change> = Vec::new();
        for active in partitions.unsealed() {
            let index = active.index.read().unwrap_or_else(PoisonError::into_inner);
            changes.extend(index.changed_within(follower.tenant, known_after, until));
        }
        changes.sort_unstable_by_key(|change| change.stamp);
        let n_over = changes.len().saturating_sub(RING_CHANGES);
        let last_over = changes.drain(..n_over).next_back();
        let missed_until = last_over.map_or(known_after, |change| change.stamp);
        if missed_until > after {
            let is_counted = known_after == after;
            follower.gap = Some(Gap {
                after,
                until: missed_until,
                n_changes: is_counted.then(|| count(n_over)),
            });
        }
        follower.backlog = changes.into();
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// Changes that are kept of one account: some seconds of heavy traffic, in some 200 kB.
pub(crate) const RING_CHANGES: usize = 8192;
/// How long a ring stays without a follower.
const LINGER: Duration = Duration::from_mins(1);
