//! An insight that goes on, and what has to be known to go on with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::{Service, Timestamp};
use serde::{Deserialize, Serialize};

use super::topology::Topology;
use super::{Minute, minute_start};
use crate::insight::{Event, GroupRef, Impact, Insight};
use crate::pairs;
use crate::text::{self, Ending};

/// An open insight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Incident {
    /// As it is told.
    pub(crate) insight: Insight,
    /// Its first anomalous minute.
    pub(crate) first: u32,
    /// Its last anomalous minute so far.
    pub(crate) last: u32,
    /// The first minute whose requests are not counted yet.
    counted_to: u32,
    /// Its services, and their faults beyond what was expected.
    #[serde(with = "pairs")]
    pub(crate) members: BTreeMap<Service, u64>,
    /// How requests fared since it began, by service: each may turn out to be the root cause.
    #[serde(with = "pairs")]
    services: BTreeMap<Service, Impact>,
    /// How requests of clients fared since it began, by the service they came to.
    #[serde(with = "pairs")]
    entries: BTreeMap<Service, Impact>,
}

impl Incident {
    /// Begins an insight with its services; `first` is its first anomalous minute. Nothing if there are none.
    ///
    /// It is not to be told before it went on through a minute for the first time.
    pub(crate) fn new(
        group: &GroupRef,
        first: u32,
        members: BTreeMap<Service, u64>,
    ) -> Option<Self> {
        let insight = Insight {
            id: String::new(),
            group: group.clone(),
            root_cause: members.keys().next()?.clone(),
            start: minute_start(first),
            end: None,
            updated: minute_start(first),
            summary: String::new(),
            clients: Impact::default(),
            root_cause_impact: Impact::default(),
            top_anomalous: Vec::new(),
            services: Vec::new(),
            events: Vec::new(),
        };
        Some(Self {
            insight,
            first,
            last: first,
            counted_to: first,
            members,
            services: BTreeMap::new(),
            entries: BTreeMap::new(),
        })
    }

    /// Goes on through an anomalous minute: counts what was not counted yet up to and with it, and finds
    /// the root cause anew. Minutes without an anomaly count once an anomalous one follows.
    pub(crate) fn go_on(&mut self, minute: u32, recent: &VecDeque<Minute>, topology: &Topology) {
        self.last = minute;
        let uncounted = self.counted_to..=minute;
        for counted in recent.iter().filter(|one| uncounted.contains(&one.number)) {
            add(&mut self.services, &counted.services);
            add(&mut self.entries, &counted.entries);
        }
        self.counted_to = minute + 1;
        let faults = |service: &Service| self.services.get(service).map_or(0, |sum| sum.faults);
        let ranked = self.members.keys().map(|member| (member, faults(member)));
        if let Some(root_cause) = topology.farthest(&ranked.collect()) {
            self.insight.root_cause = root_cause.clone();
        }
        let upstream = topology.upstream(self.members.keys());
        let concerned = self.entries.iter();
        let concerned = concerned.filter(|(entry, _)| upstream.contains(entry));
        self.insight.clients = concerned.fold(Impact::default(), |sum, (_, one)| sum.plus(*one));
        self.show(minute_start(minute + 1));
    }

    /// Goes on, appends an event if that changed something worth one, and tells whether it did.
    pub(crate) fn go_on_noting(
        &mut self,
        minute: u32,
        recent: &VecDeque<Minute>,
        topology: &Topology,
    ) -> bool {
        let root_cause = self.insight.root_cause.clone();
        let known: BTreeSet<Service> = self.insight.services.drain(..).collect();
        self.go_on(minute, recent, topology);
        let insight = &self.insight;
        let all = insight.services.iter();
        let new: Vec<Service> = all.filter(|one| !known.contains(one)).cloned().collect();
        let text = if insight.root_cause != root_cause {
            text::moved(&insight.root_cause)
        } else if !new.is_empty() {
            text::spread(&new)
        } else if self.has_doubled() {
            text::grew(
                &insight.root_cause,
                insight.root_cause_impact,
                insight.clients,
            )
        } else {
            return false;
        };
        if insight.events.len() >= EVENTS_MAX {
            return false;
        }
        self.note(text, minute_start(minute + 1));
        true
    }

    /// Adds to the faults of one of its services, which becomes one if it is none.
    pub(crate) fn admit(&mut self, service: &Service, excess: u64) {
        if let Some(sum) = self.members.get_mut(service) {
            *sum = sum.saturating_add(excess);
        } else if self.members.len() < MEMBERS_MAX {
            self.members.insert(service.clone(), excess);
        }
    }

    /// Appends the event of its beginning.
    pub(crate) fn note_opening(&mut self, at: Timestamp) {
        let text = text::opened(&self.insight.root_cause, self.insight.root_cause_impact);
        self.note(text, at);
    }

    /// Ends it, and returns it as it is told from now on.
    pub(crate) fn close(mut self, ending: Ending, at: Timestamp) -> Insight {
        let n_minutes = self.last + 1 - self.first;
        self.insight.end = Some(minute_start(self.last + 1));
        self.insight.updated = at;
        self.insight.summary = text::closed(
            &self.insight.root_cause,
            self.insight.root_cause_impact,
            n_minutes,
            ending,
        );
        let text = self.insight.summary.clone();
        self.note(text, at);
        self.insight
    }

    /// Brings what is told up to what is known.
    fn show(&mut self, at: Timestamp) {
        let impact = self.services.get(&self.insight.root_cause);
        let mut ranked: Vec<(&Service, u64)> = self
            .members
            .iter()
            .map(|(service, excess)| (service, *excess))
            .collect();
        ranked.sort_by_key(|(service, excess)| (std::cmp::Reverse(*excess), *service));
        let top = ranked.iter().take(TOP_MAX);
        let insight = &mut self.insight;
        insight.top_anomalous = top.map(|(service, _)| (*service).clone()).collect();
        insight.services = self.members.keys().cloned().collect();
        insight.root_cause_impact = impact.copied().unwrap_or_default();
        insight.updated = at;
        insight.summary = text::active(
            &insight.root_cause,
            insight.root_cause_impact,
            insight.clients,
        );
    }

    /// Tells whether clients or the root cause have twice the faults they had at the last event.
    fn has_doubled(&self) -> bool {
        let Some(last) = self.insight.events.last() else {
            return false;
        };
        let now = &self.insight;
        let doubled = |now: Impact, then: Impact| {
            now.faults
                >= then
                    .faults
                    .saturating_mul(2)
                    .max(then.faults.saturating_add(GROWTH_MIN))
        };
        doubled(now.clients, last.clients) || doubled(now.root_cause_impact, last.root_cause_impact)
    }

    fn note(&mut self, summary: String, time: Timestamp) {
        let insight = &mut self.insight;
        insight.events.push(Event {
            summary,
            time,
            clients: insight.clients,
            root_cause_impact: insight.root_cause_impact,
            top_anomalous: insight.top_anomalous.clone(),
        });
    }
}

fn add(sums: &mut BTreeMap<Service, Impact>, more: &BTreeMap<Service, Impact>) {
    for (service, impact) in more {
        if let Some(sum) = sums.get_mut(service) {
            *sum = sum.plus(*impact);
        } else if sums.len() < COUNTED_MAX {
            sums.insert(service.clone(), *impact);
        }
    }
}

/// Services an insight shows as the most anomalous.
const TOP_MAX: usize = 10;
/// Events of an insight besides its closing: faults that double, services that join.
const EVENTS_MAX: usize = 99;
/// Faults by which an impact grows at least for an event.
const GROWTH_MIN: u64 = 10;
/// Services an insight may have.
const MEMBERS_MAX: usize = 500;
/// Services whose requests an insight counts.
const COUNTED_MAX: usize = 1_000;
