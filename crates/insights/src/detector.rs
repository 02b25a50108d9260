//! The detector: which services of a group have more faults than expected, and what belongs together.
//!
//! It is a pure function of the sums of one minute after another. For every service it keeps the faults
//! and requests of up to 120 minutes that had requests and were as expected.
//!
//! 1. A minute of a service is *anomalous* if it has at least 5 faults, more than the band around its
//!    history allows, in at least 1 of 100 requests, and at least twice as often as in its history. A
//!    history of fewer than 10 minutes allows everything.
//! 2. A service is *believed* to be anomalous in an anomalous minute if another one of the two minutes
//!    before was anomalous too.
//! 3. Believed services belong together if calls lead from one to the other, through whatever services.
//!    Each such set is one insight. It begins with the first of the anomalous minutes that opened it.
//!    A service that is believed later joins the insight it belongs to. If it belongs to several, the
//!    oldest goes on for all and the others are closed.
//! 4. The root cause is the service farthest downstream, see [`Topology::farthest`]. It is found anew in
//!    each anomalous minute, and so is how many requests of it and of clients had faults since the beginning.
//! 5. An insight is closed once none of its services had an anomalous minute for 5 minutes, and ends with
//!    its last anomalous minute.
//!
//! Nothing is learnt from anomalous minutes, nor from any minute of a service of an open insight:
//! faults do not become what is expected while they last. Only after 24 hours an insight is closed for that
//! very reason, and its services begin new histories. What grows so slowly that it stays within the band of
//! the last two hours is never an anomaly.

mod incident;
mod topology;
mod track;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::{Cells, Service, Statistics, Tenant, Timestamp};
use serde::{Deserialize, Serialize};

use crate::id::insight_id;
use crate::insight::{Change, ChangeKind, GroupRef, Impact};
use crate::pairs;
use crate::text::Ending;
pub(crate) use incident::Incident;
pub(crate) use topology::{Topology, is_client};
use track::Track;

/// What is known of a group between two minutes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GroupState {
    /// The last minute that was evaluated.
    pub(crate) evaluated: Option<u32>,
    /// Its open insights, in the order they were opened.
    pub(crate) open: Vec<Incident>,
    #[serde(with = "pairs")]
    tracks: BTreeMap<Service, Track>,
    topology: Topology,
    /// The last minutes that had requests, oldest first: as many as an insight may yet want to count.
    recent: VecDeque<Minute>,
}

/// How requests fared in one minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Minute {
    /// Counted from 1970.
    number: u32,
    /// By service.
    #[serde(with = "pairs")]
    services: BTreeMap<Service, Impact>,
    /// Those of clients, by the service they came to.
    #[serde(with = "pairs")]
    entries: BTreeMap<Service, Impact>,
}

/// What is evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'r> {
    /// Whose group.
    pub(crate) tenant: Tenant,
    /// The group.
    pub(crate) group: &'r GroupRef,
}

/// Evaluates a minute after all that were evaluated, and returns what became of insights by that. A minute
/// that is not after them changes nothing. Minutes left out count as minutes without requests.
pub(crate) fn step(
    state: &mut GroupState,
    scope: Scope<'_>,
    minute: u32,
    cells: &Cells,
) -> Vec<Change> {
    if state.evaluated.is_some_and(|evaluated| minute <= evaluated) {
        return Vec::new();
    }
    state.evaluated = Some(minute);
    let mut changes = state.close_quiet(minute.saturating_sub(1));
    state.observe(minute, cells);
    let anomalies = state.judge(minute);
    let known: BTreeSet<&Service> = state.members().collect();
    let is_new = |service: &&Service| !known.contains(service);
    let newcomers: Vec<Service> = anomalies
        .keys()
        .filter(is_new)
        .filter(|service| state.confirmed(service, minute).is_some())
        .cloned()
        .collect();
    for incident in &mut state.open {
        for (service, excess) in &anomalies {
            if incident.members.contains_key(service) {
                incident.admit(service, *excess);
            }
        }
    }
    if !newcomers.is_empty() {
        changes.extend(state.gather(scope, minute, &newcomers));
    }
    changes.extend(state.go_on(scope, minute, &anomalies));
    changes.extend(state.close_quiet(minute));
    changes.extend(state.close_accepted(minute));
    changes
}

impl GroupState {
    /// Closes every open insight: the group is not watched any longer.
    pub(crate) fn close_all(&mut self, now: Timestamp) -> Vec<Change> {
        let open = std::mem::take(&mut self.open);
        let close = |incident: Incident| closed(incident, Ending::Unwatched, now);
        open.into_iter().map(close).collect()
    }

    fn members(&self) -> impl Iterator<Item = &Service> + '_ {
        self.open
            .iter()
            .flat_map(|incident| incident.members.keys())
    }

    fn confirmed(&self, service: &Service, minute: u32) -> Option<&[(u32, u64)]> {
        self.tracks.get(service)?.confirmed(minute)
    }

    /// Takes in who called whom and how requests fared.
    fn observe(&mut self, minute: u32, cells: &Cells) {
        if self.open.is_empty() {
            self.topology.forget(minute);
        }
        self.topology.learn(minute, cells);
        self.recent
            .retain(|recent| minute - recent.number <= QUIET_MINUTES);
        self.tracks
            .retain(|_, track| minute.saturating_sub(track.last_seen) < UNSEEN_MAX);
        let mut services = BTreeMap::new();
        for (service, statistics) in &cells.nodes {
            // All that are kept track of were seen in this minute: no other one will find room.
            if services.len() >= SERVICES_MAX {
                break;
            }
            let impact = impact(statistics);
            if impact.total > 0 && self.track(service, minute) {
                services.insert(service.clone(), impact);
            }
        }
        let entries = self.entries(cells);
        if !services.is_empty() || !entries.is_empty() {
            self.recent.push_back(Minute {
                number: minute,
                services,
                entries,
            });
        }
    }

    /// Returns how requests of clients fared, by the service they came to: those that are kept track of,
    /// and as many others as there is room for.
    fn entries(&self, cells: &Cells) -> BTreeMap<Service, Impact> {
        let mut entries: BTreeMap<Service, Impact> = BTreeMap::new();
        for (key, cell) in &cells.edges {
            if !is_client(&key.from) {
                continue;
            }
            let impact = impact(&cell.statistics);
            if let Some(sum) = entries.get_mut(&key.to) {
                *sum = sum.plus(impact);
            } else if entries.len() < SERVICES_MAX || self.tracks.contains_key(&key.to) {
                entries.insert(key.to.clone(), impact);
            }
        }
        entries
    }

    /// Tells whether a service is kept track of from now on: if there are too many, the one that was not
    /// seen for the longest time gives way, but none that was seen in this minute.
    fn track(&mut self, service: &Service, minute: u32) -> bool {
        if !self.tracks.contains_key(service) {
            if self.tracks.len() >= SERVICES_MAX {
                let tracks = self.tracks.iter();
                let oldest = tracks.min_by_key(|(service, track)| (track.last_seen, *service));
                let Some(oldest) = oldest
                    .filter(|(_, track)| track.last_seen < minute)
                    .map(|(service, _)| service.clone())
                else {
                    return false;
                };
                self.tracks.remove(&oldest);
            }
            self.tracks.insert(service.clone(), Track::default());
        }
        if let Some(track) = self.tracks.get_mut(service) {
            track.last_seen = minute;
        }
        true
    }

    /// Returns the services for which this minute is anomalous and by how many faults; the others learn
    /// from it unless they are part of an open insight.
    fn judge(&mut self, minute: u32) -> BTreeMap<Service, u64> {
        let mut anomalies = BTreeMap::new();
        let newest = self.recent.back().filter(|newest| newest.number == minute);
        let Some(newest) = newest else {
            return anomalies;
        };
        let open = &self.open;
        for (service, impact) in &newest.services {
            let Some(track) = self.tracks.get_mut(service) else {
                continue;
            };
            if let Some(excess) = track.excess(*impact) {
                track.mark(minute, excess);
                anomalies.insert(service.clone(), excess);
            } else if !open.iter().any(|one| one.members.contains_key(service)) {
                track.learn(*impact);
            }
        }
        anomalies
    }

    /// Puts services that are newly believed to be anomalous where they belong: into the insight they are
    /// connected with, or into new ones.
    fn gather(&mut self, scope: Scope<'_>, minute: u32, newcomers: &[Service]) -> Vec<Change> {
        let mut changes = Vec::new();
        for set in self.connected(newcomers) {
            let idxs = self.open.iter().enumerate();
            let idxs =
                idxs.filter(|(_, one)| one.members.keys().any(|member| set.contains(member)));
            // The oldest comes first: they are in the order they were opened.
            let idxs: Vec<usize> = idxs.map(|(idx, _)| idx).collect();
            let marks = |service: &Service| self.confirmed(service, minute).unwrap_or_default();
            let joining: Vec<(Service, &[(u32, u64)])> = newcomers
                .iter()
                .filter(|service| set.contains(*service))
                .map(|service| (service.clone(), marks(service)))
                .collect();
            let all_marks = joining.iter().flat_map(|(_, marks)| marks.iter());
            let first = all_marks.map(|(marked, _)| *marked).min();
            let joining: BTreeMap<Service, u64> = joining
                .into_iter()
                .map(|(service, marks)| (service, marks.iter().map(|(_, excess)| excess).sum()))
                .collect();
            match idxs.split_first() {
                Some((oldest, younger)) => {
                    changes.extend(self.absorb(*oldest, younger, &joining, minute));
                }
                None if self.open.len() < OPEN_MAX => {
                    let first = first.unwrap_or(minute);
                    self.open.extend(Incident::new(scope.group, first, joining));
                }
                None => {}
            }
        }
        changes
    }

    /// Makes services part of an open insight, and all that is part of younger ones too.
    fn absorb(
        &mut self,
        oldest: usize,
        younger: &[usize],
        joining: &BTreeMap<Service, u64>,
        minute: u32,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut joining = joining.clone();
        for idx in younger.iter().rev() {
            let incident = self.open.remove(*idx);
            joining.extend(incident.members.clone());
            changes.push(closed(incident, Ending::Joined, minute_start(minute + 1)));
        }
        if let Some(incident) = self.open.get_mut(oldest) {
            for (service, excess) in &joining {
                incident.admit(service, *excess);
            }
        }
        changes
    }

    /// Returns the sets of services that belong together, among those of open insights and some others, by
    /// their first services. Those of one insight stay together.
    fn connected(&self, newcomers: &[Service]) -> Vec<BTreeSet<Service>> {
        let live: BTreeSet<&Service> = self.members().chain(newcomers).collect();
        let mut sets: Vec<BTreeSet<Service>> = Vec::new();
        let reached = self.topology.downstream_among(&live);
        let reached = reached.into_iter().map(|(from, mut all)| {
            all.insert(from);
            all
        });
        let open = self.open.iter();
        for ties in open.map(|one| one.members.keys().collect()).chain(reached) {
            let mut joined: BTreeSet<Service> = ties.into_iter().cloned().collect();
            sets.retain(|set| {
                let is_apart = set.is_disjoint(&joined);
                if !is_apart {
                    joined.extend(set.iter().cloned());
                }
                is_apart
            });
            sets.push(joined);
        }
        sets.sort();
        sets
    }

    /// Goes on with the insights that have an anomalous service in this minute.
    fn go_on(
        &mut self,
        scope: Scope<'_>,
        minute: u32,
        anomalies: &BTreeMap<Service, u64>,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for incident in &mut self.open {
            let mut members = incident.members.keys();
            if !members.any(|member| anomalies.contains_key(member)) {
                continue;
            }
            let (recent, topology) = (&self.recent, &self.topology);
            let kind = if incident.insight.id.is_empty() {
                incident.go_on(minute, recent, topology);
                let root_cause = &incident.insight.root_cause;
                incident.insight.id =
                    insight_id(scope.tenant, scope.group.number, incident.first, root_cause);
                incident.note_opening(minute_start(minute + 1));
                ChangeKind::Opened
            } else if incident.go_on_noting(minute, recent, topology) {
                ChangeKind::Updated
            } else {
                continue;
            };
            changes.push(Change {
                kind,
                insight: incident.insight.clone(),
            });
        }
        changes
    }

    /// Closes insights that had no anomalous minute for a while when a minute was over, in the order of
    /// time: the same whether each minute is looked at or several at once.
    fn close_quiet(&mut self, minute: u32) -> Vec<Change> {
        let quiet_from = |one: &Incident| one.last.saturating_add(QUIET_MINUTES);
        let over = self.open.extract_if(.., |one| minute >= quiet_from(one));
        let mut over: Vec<Incident> = over.collect();
        over.sort_by_key(|one| one.last);
        let close = |one: Incident| {
            let at = minute_start(quiet_from(&one).saturating_add(1));
            closed(one, Ending::Recovered, at)
        };
        over.into_iter().map(close).collect()
    }

    /// Closes insights that went on for so long that their faults are what is to be expected.
    fn close_accepted(&mut self, minute: u32) -> Vec<Change> {
        let is_old = |one: &mut Incident| minute + 1 - one.first >= INSIGHT_MINUTES_MAX;
        let accepted: Vec<Incident> = self.open.extract_if(.., is_old).collect();
        for member in accepted.iter().flat_map(|one| one.members.keys()) {
            if let Some(track) = self.tracks.get_mut(member) {
                track.forget();
            }
        }
        let at = minute_start(minute + 1);
        let close = |one: Incident| closed(one, Ending::Accepted, at);
        accepted.into_iter().map(close).collect()
    }
}

/// Returns the instant a minute since 1970 begins.
pub(crate) fn minute_start(minute: u32) -> Timestamp {
    Timestamp::from_secs(u64::from(minute) * 60)
}

fn closed(incident: Incident, ending: Ending, at: Timestamp) -> Change {
    Change {
        kind: ChangeKind::Closed,
        insight: incident.close(ending, at),
    }
}

/// Returns how completed requests fared; corrections may leave less than nothing of a count.
fn impact(statistics: &Statistics) -> Impact {
    let count = |count: i64| u64::try_from(count).unwrap_or(0);
    let faults = count(statistics.n_faults);
    Impact {
        faults,
        total: count(statistics.n_completed()).max(faults),
    }
}

/// Minutes without an anomaly after which an insight is over.
const QUIET_MINUTES: u32 = 5;
/// Minutes after which an insight is closed whatever happens.
const INSIGHT_MINUTES_MAX: u32 = 24 * 60;
/// Open insights of a group; more are not opened before others are closed.
const OPEN_MAX: usize = 10;
/// Services of a group that are kept track of; of a minute's entries, others may be as many.
const SERVICES_MAX: usize = 500;
/// Minutes after which a service that had no requests is forgotten: a week.
const UNSEEN_MAX: u32 = 7 * 24 * 60;
