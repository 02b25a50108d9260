//! Rules, reports and stores for tests.

use std::sync::Arc;

use model::{Account, Tenant, Timestamp};
use storage::ControlStore;
use storage::control::memory::MemoryControl;

use crate::{
    BoostReport, NewRule, RuleRecord, RuleSelector, Sampling, SamplingError, StatisticSummary,
    StatisticsReport,
};

/// Seconds after the beginning of a window in 2026.
pub(super) const fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_795_000_000 + secs)
}

pub(super) fn open() -> Sampling {
    open_on(Arc::new(MemoryControl::default()), at(0))
}

pub(super) fn open_on(store: Arc<dyn ControlStore>, now: Timestamp) -> Sampling {
    let account = Account {
        id: "000000000000".to_owned(),
        region: "us-east-1".to_owned(),
    };
    Sampling::open(store, Tenant(0), account, now).unwrap()
}

pub(super) fn new_rule(name: &str) -> NewRule {
    NewRule::matching_all(RuleSelector::by_name(name))
}

pub(super) fn rule_of_size(name: &str, reservoir_size: i64) -> NewRule {
    NewRule {
        reservoir_size,
        ..new_rule(name)
    }
}

pub(super) fn report(rule_name: &str, client: u32, at: Timestamp) -> StatisticsReport {
    StatisticsReport {
        rule_name: rule_name.to_owned(),
        client_id: format!("{client:024x}"),
        at,
        request_count: 10,
        sampled_count: 3,
        borrow_count: 1,
    }
}

/// Reports anomalies among a hundred requests.
pub(super) fn anomalies(
    rule_name: &str,
    anomaly_count: u64,
    sampled_anomaly_count: u64,
    at: Timestamp,
) -> BoostReport {
    BoostReport {
        rule_name: rule_name.to_owned(),
        service_name: "shop".to_owned(),
        at,
        anomaly_count,
        total_count: 100,
        sampled_anomaly_count,
    }
}

pub(super) fn tags(keys: &[&str]) -> Vec<(String, String)> {
    let pairs = keys.iter().map(|key| ((*key).to_owned(), "v".to_owned()));
    pairs.collect()
}

pub(super) fn records(sampling: &Sampling) -> Vec<RuleRecord> {
    sampling.rules(None, usize::MAX).records
}

pub(super) fn summaries(sampling: &Sampling, now: Timestamp) -> Vec<StatisticSummary> {
    sampling.summaries(None, usize::MAX, now).summaries
}

/// Checks that a call was refused as invalid, with a text that says why.
pub(super) fn check_invalid<T: std::fmt::Debug>(outcome: Result<T, SamplingError>, part: &str) {
    match outcome {
        Err(SamplingError::Invalid(text)) => assert!(text.contains(part), "{text}"),
        other => panic!("{other:?} instead of a refusal with {part:?}"),
    }
}
