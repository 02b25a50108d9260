//! Which groups traces are in (spec: X-Ray developer guide, "Configuring groups").
//!
//! A trace is judged by the filter that was in force when its first document arrived, whatever the
//! filter is now: so its groups are a function of its documents and of a history that does not change.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use model::{Document, Summary, Tenant, Timestamp};
use storage::{Classify, Judgement, Recall, TraceFilter};

use crate::{Filter, GroupRef};

/// A group as far as it decides which traces are in it.
#[derive(Clone, Debug)]
pub struct GroupHistory {
    /// Its number; never [`storage::ALL_TRACES`].
    pub number: u32,
    /// When it was made. Where the first version came into force later, those before it are forgotten.
    pub created_at: Timestamp,
    /// Since when which filter expression was in force, ascending; an empty one takes all traces.
    pub versions: Vec<(Timestamp, String)>,
}

/// What referring to another group means: the filter expression that was in force at an instant.
pub type FilterAt<'a> = &'a dyn Fn(GroupRef<'_>, Timestamp) -> Option<String>;

/// Tells the groups of traces.
#[derive(Default)]
pub struct Classifier {
    tenants: RwLock<HashMap<Tenant, Arc<Vec<Group>>>>,
}

/// A group with its filters understood.
struct Group {
    number: u32,
    /// The first stamp a trace in it may have begun with.
    since: u64,
    /// A version that is not understood (it refers to a group that is gone) takes no trace.
    versions: Vec<(u64, Takes)>,
}

enum Takes {
    All,
    None,
    Some(Box<Filter>),
}

impl Classifier {
    /// Sets the groups of a tenant in the place of those before.
    pub fn set(
        &self,
        tenant: Tenant,
        groups: &[GroupHistory],
        filter_at: FilterAt<'_>,
        slow_trace: Duration,
    ) {
        let understood = groups.iter().map(|group| Group {
            number: group.number,
            since: stamp_of(group.created_at),
            versions: group
                .versions
                .iter()
                .map(|(since, text)| {
                    let takes = Takes::of(text, *since, filter_at, slow_trace);
                    (stamp_of(*since), takes)
                })
                .collect(),
        });
        let understood = Arc::new(understood.collect());
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        tenants.insert(tenant, understood);
    }

    fn of(&self, tenant: Tenant) -> Arc<Vec<Group>> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.get(&tenant).cloned().unwrap_or_default()
    }
}

impl Classify for Classifier {
    fn groups(
        &self,
        tenant: Tenant,
        first_stamp: u64,
        summary: &Summary,
        documents: &mut dyn FnMut() -> Vec<Document>,
    ) -> Vec<u32> {
        let groups = self.of(tenant);
        let mut read = None;
        let mut is_in = |group: &&Group| match group.takes_at(first_stamp) {
            None | Some(Takes::None) => false,
            Some(Takes::All) => true,
            Some(Takes::Some(filter)) => match filter.judge(summary) {
                Judgement::Keep => true,
                Judgement::Skip => false,
                Judgement::ReadDocuments => {
                    let documents = read.get_or_insert_with(&mut *documents);
                    filter.judge_documents(summary, documents)
                }
            },
        };
        let taken = groups.iter().filter(|group| is_in(group));
        taken.map(|group| group.number).collect()
    }
}

impl Recall for Classifier {
    fn known(&self, tenant: Tenant) -> Vec<u32> {
        self.of(tenant).iter().map(|group| group.number).collect()
    }

    fn forgotten(&self, tenant: Tenant, first_stamp: u64) -> Vec<u32> {
        let groups = self.of(tenant);
        let forgotten = groups
            .iter()
            .filter(|group| group.has_forgotten(first_stamp));
        forgotten.map(|group| group.number).collect()
    }
}

impl Group {
    /// Tells whether it may have taken a trace that it does not take now, or the other way round: its filter of then is
    /// forgotten, or what that refers to, or it rests on a setting that may have been another one.
    fn has_forgotten(&self, first_stamp: u64) -> bool {
        match self.takes_at(first_stamp) {
            None => first_stamp >= self.since,
            Some(Takes::All) => false,
            Some(Takes::None) => true,
            Some(Takes::Some(filter)) => filter.rests_on_slow_trace(),
        }
    }

    fn takes_at(&self, stamp: u64) -> Option<&Takes> {
        let n_before = self.versions.partition_point(|(since, _)| *since <= stamp);
        let (_, takes) = self.versions.get(n_before.checked_sub(1)?)?;
        Some(takes)
    }
}

/// Returns the first stamp of documents that arrive at an instant or later.
fn stamp_of(instant: Timestamp) -> u64 {
    instant.as_nanos() / 1_000
}

impl Takes {
    fn of(text: &str, since: Timestamp, filter_at: FilterAt<'_>, slow_trace: Duration) -> Self {
        if text.trim().is_empty() {
            return Self::All;
        }
        match Filter::parse(text, &|group| filter_at(group, since)) {
            Ok(filter) => Self::Some(Box::new(filter.with_slow_trace(slow_trace))),
            Err(_) => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{DocumentLimits, Segment, TraceId};

    use super::*;

    const TENANT: Tenant = Tenant(3);

    fn summary(members: &str) -> Summary {
        let text = format!(
            r#"{{"trace_id":"1-581cf771-a006649127e371903a2de979","id":"000000000000000a","name":"shop","start_time":1,"end_time":9{members}}}"#
        );
        let head = Segment::parse(&text, &DocumentLimits::default())
            .unwrap()
            .head();
        Summary::of(TraceId::from_bytes([1; 16]), &[head], 1)
    }

    fn classifier() -> Classifier {
        let classifier = Classifier::default();
        let group = |number, versions: &[(u64, &str)]| GroupHistory {
            number,
            created_at: Timestamp::from_secs(10),
            versions: versions
                .iter()
                .map(|(secs, text)| (Timestamp::from_secs(*secs), (*text).to_owned()))
                .collect(),
        };
        let groups = [
            group(1, &[(10, "fault"), (20, "user = \"u\"")]),
            group(2, &[(10, "")]),
            group(
                3,
                &[(10, "group.name = \"gone\""), (30, "group.name = \"one\"")],
            ),
            group(4, &[(40, "user = \"nobody\"")]),
            group(
                5,
                &[
                    (10, "user = \"nobody\""),
                    (
                        20,
                        "user = \"nobody\" AND rootcause.responsetime.service { first }",
                    ),
                ],
            ),
        ];
        let filter_at = |group: GroupRef<'_>, at: Timestamp| {
            let is_there = group == GroupRef::Name("one") && at == Timestamp::from_secs(30);
            is_there.then(|| "responsetime > 5".to_owned())
        };
        classifier.set(TENANT, &groups, &filter_at, Duration::ZERO);
        classifier
    }

    fn check(first_secs: u64, members: &str, expected: &[u32]) {
        let classifier = classifier();
        let found = |tenant| {
            classifier.groups(
                tenant,
                first_secs * 1_000_000,
                &summary(members),
                &mut Vec::new,
            )
        };
        assert_eq!(found(TENANT), expected, "{first_secs} {members}");
        assert!(found(Tenant(4)).is_empty(), "groups of another tenant");
    }

    #[test]
    fn the_filter_in_force_at_the_first_arrival_decides() {
        check(9, r#","fault":true"#, &[]);
        check(10, r#","fault":true"#, &[1, 2]);
        check(10, r#","user":"u""#, &[2]);
        check(19, r#","fault":true"#, &[1, 2]);
        check(20, r#","fault":true"#, &[2]);
        check(20, r#","user":"u""#, &[1, 2]);
        check(30, "", &[2, 3]);
    }

    #[test]
    fn what_is_not_known_of_the_past_is_told() {
        let classifier = classifier();
        assert_eq!(classifier.known(TENANT), [1, 2, 3, 4, 5]);
        assert!(classifier.known(Tenant(4)).is_empty());
        let check = |first_secs: u64, expected: &[u32]| {
            let forgotten = classifier.forgotten(TENANT, first_secs * 1_000_000);
            assert_eq!(forgotten, expected, "{first_secs}");
        };
        check(9, &[]);
        // Group 3 refers to one that is gone, and of group 4 the first versions are.
        check(10, &[3, 4]);
        // Which traces are slow is a setting.
        check(20, &[3, 4, 5]);
        check(30, &[4, 5]);
        check(40, &[5]);
    }
}
