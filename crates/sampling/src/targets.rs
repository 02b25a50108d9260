//! Reports of clients and what they are told (API `GetSamplingTargets`).

use std::collections::BTreeMap;

use model::Timestamp;

use crate::after;
use crate::boost::{Boost, LastBoost};
use crate::reservoir::{Clients, INTERVAL, QUOTA_LASTS};
use crate::rule::Rule;
use crate::rules::Rules;
use crate::statistics::{Counts, SKEW_MAX, Windows};

/// What one client did under one rule since its last report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatisticsReport {
    /// The rule's name.
    pub rule_name: String,
    /// The client: 24 characters it made up.
    pub client_id: String,
    /// When it reported, by its own clock.
    pub at: Timestamp,
    /// Requests the rule was for.
    pub request_count: u64,
    /// Requests it traced.
    pub sampled_count: u64,
    /// Requests it traced before it had a quota.
    pub borrow_count: u64,
}

/// Which anomalies one service saw under one rule since its last report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoostReport {
    /// The rule's name.
    pub rule_name: String,
    /// The service.
    pub service_name: String,
    /// When it reported, by its own clock.
    pub at: Timestamp,
    /// Requests with an anomaly.
    pub anomaly_count: u64,
    /// All requests.
    pub total_count: u64,
    /// Requests with an anomaly that were traced.
    pub sampled_anomaly_count: u64,
}

/// What clients are told.
#[derive(Clone, Debug, PartialEq)]
pub struct Targets {
    /// One for each rule that was reported, in the order of the reports.
    pub documents: Vec<Target>,
    /// When rules changed last, rounded up to a whole second, since some clients compare whole seconds and
    /// must not miss a change; 1970 if they never did.
    pub last_modified: Timestamp,
    /// Reports that were not taken.
    pub unprocessed: Vec<Unprocessed>,
    /// Reports of anomalies that were not taken.
    pub unprocessed_boosts: Vec<Unprocessed>,
}

/// How a client shall sample under one rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The rule's name.
    pub rule_name: String,
    /// Share of requests to trace beyond the quota.
    pub fixed_rate: f64,
    /// Requests a second to trace whatever the rate.
    pub reservoir_quota: u32,
    /// Until when the quota may be used.
    pub quota_until: Timestamp,
    /// Seconds until the next report.
    pub interval_secs: u64,
    /// A rate to use in the place of the fixed one for a while.
    pub boost: Option<Boost>,
}

/// A report that was not taken. Codes begin with 4, which makes clients get the rules again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unprocessed {
    /// The rule it named.
    pub rule_name: String,
    /// `404` if there is no such rule, else `400`.
    pub error_code: &'static str,
    /// What is wrong.
    pub message: String,
}

/// What targets are computed from.
pub(crate) struct Desk<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) clients: &'a mut BTreeMap<String, Clients>,
    pub(crate) windows: &'a mut Windows,
    pub(crate) boosts: &'a mut BTreeMap<String, LastBoost>,
    pub(crate) now: Timestamp,
}

impl Desk<'_> {
    /// Takes reports and returns what to tell of each rule in them, and those that were not taken.
    pub(crate) fn take(&mut self, reports: &[StatisticsReport]) -> (Vec<Target>, Vec<Unprocessed>) {
        let mut targets: Vec<Target> = Vec::new();
        let mut unprocessed = Vec::new();
        self.windows.forget(self.now);
        for report in reports {
            let rule = match self.judge(&report.rule_name, report.at) {
                Ok(rule) => rule,
                Err(refusal) => {
                    unprocessed.push(refusal);
                    continue;
                }
            };
            if report.client_id.chars().count() != CLIENT_ID_CHARS {
                let text = format!("ClientID must have {CLIENT_ID_CHARS} characters");
                unprocessed.push(refuse(&report.rule_name, "400", text));
                continue;
            }
            let counts = Counts {
                requests: report.request_count,
                borrowed: report.borrow_count,
                sampled: report.sampled_count,
            };
            self.windows.add(&rule.name, report.at, counts);
            let clients = self.clients.entry(rule.name.clone()).or_default();
            let quota = clients.report(&report.client_id, rule.reservoir_size, self.now);
            match targets
                .iter_mut()
                .find(|target| target.rule_name == rule.name)
            {
                // Two clients in one call cannot be told apart in its answer: both take the lesser quota.
                Some(target) => target.reservoir_quota = target.reservoir_quota.min(quota),
                None => targets.push(self.target(rule, quota)),
            }
        }
        (targets, unprocessed)
    }

    /// Takes reports of anomalies. Returns the rules whose boost begins now, and the reports that were not taken.
    pub(crate) fn boost(&mut self, reports: &[BoostReport]) -> (Vec<String>, Vec<Unprocessed>) {
        let mut n_missed_of: BTreeMap<&str, u64> = BTreeMap::new();
        let mut unprocessed = Vec::new();
        for report in reports {
            match self
                .judge(&report.rule_name, report.at)
                .and_then(|rule| missed(rule, report))
            {
                Ok(n_missed) => {
                    let sum = n_missed_of.entry(&report.rule_name).or_default();
                    *sum = sum.saturating_add(n_missed);
                }
                Err(refusal) => unprocessed.push(refusal),
            }
        }
        let mut begun = Vec::new();
        for (rule_name, n_missed) in n_missed_of {
            let Some(kept) = self.rules.get(rule_name) else {
                continue;
            };
            let last = self.boosts.get(rule_name);
            if let Some(boost) = LastBoost::begin(&kept.rule, last, n_missed, self.now) {
                self.boosts.insert(rule_name.to_owned(), boost);
                begun.push(rule_name.to_owned());
            }
        }
        (begun, unprocessed)
    }

    fn target(&self, rule: &Rule, reservoir_quota: u32) -> Target {
        let boost = self.boosts.get(&rule.name);
        Target {
            rule_name: rule.name.clone(),
            fixed_rate: rule.fixed_rate,
            reservoir_quota,
            quota_until: after(self.now, QUOTA_LASTS),
            interval_secs: INTERVAL.as_secs(),
            boost: boost.and_then(|boost| boost.shown(rule, self.now)),
        }
    }

    /// Returns the rule a report is about, if it can be taken at all.
    fn judge<'r>(&self, rule_name: &str, at: Timestamp) -> Result<&'r Rule, Unprocessed>
    where
        Self: 'r,
    {
        let Some(kept) = self.rules.get(rule_name) else {
            let text = "there is no such sampling rule; get the rules again".to_owned();
            return Err(refuse(rule_name, "404", text));
        };
        let minutes = SKEW_MAX.as_secs() / 60;
        if self.now.since(at) > SKEW_MAX {
            let text = format!("the report is more than {minutes} minutes old");
            return Err(refuse(rule_name, "400", text));
        }
        if at.since(self.now) > SKEW_MAX {
            let text = format!("the report is from more than {minutes} minutes ahead");
            return Err(refuse(rule_name, "400", text));
        }
        Ok(&kept.rule)
    }
}

/// Returns how many anomalies of a report were not sampled.
fn missed(rule: &Rule, report: &BoostReport) -> Result<u64, Unprocessed> {
    let refusal = if rule.boost.is_none() {
        "the sampling rule has no SamplingRateBoost"
    } else if report.sampled_anomaly_count > report.anomaly_count {
        "SampledAnomalyCount is greater than AnomalyCount"
    } else {
        return Ok(report.anomaly_count - report.sampled_anomaly_count);
    };
    Err(refuse(&rule.name, "400", refusal.to_owned()))
}

fn refuse(rule_name: &str, error_code: &'static str, message: String) -> Unprocessed {
    Unprocessed {
        rule_name: rule_name.to_owned(),
        error_code,
        message,
    }
}

const CLIENT_ID_CHARS: usize = 24;
