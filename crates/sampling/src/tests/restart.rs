//! What is there after a restart, and that random use keeps its promises over restarts.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Timestamp;
use proptest::prelude::*;
use storage::control::memory::MemoryControl;

use super::support::*;
use crate::{
    DEFAULT_RULE, NewRateBoost, NewRule, RuleSelector, RuleUpdate, Sampling, StatisticsReport,
    SummaryPosition,
};

#[test]
fn a_cooldown_goes_on_after_a_restart() {
    let store = Arc::new(MemoryControl::default());
    let sampling = open_on(store.clone(), at(0));
    let boost = NewRateBoost {
        max_rate: 0.5,
        cooldown_minutes: 10,
    };
    let rule = NewRule {
        boost: Some(boost),
        ..new_rule("a")
    };
    sampling.create(rule, [], at(0)).unwrap();
    let boosted = |sampling: &Sampling, secs| {
        let report = report("a", 1, at(secs));
        let anomalies = [anomalies("a", 2, 0, at(secs))];
        let targets = sampling.targets(&[report], &anomalies, at(secs)).unwrap();
        targets.documents[0].boost.is_some()
    };
    assert!(boosted(&sampling, 0));
    let sampling = open_on(store.clone(), at(30));
    assert!(boosted(&sampling, 30));
    assert!(!boosted(&sampling, 90));
    let sampling = open_on(store.clone(), at(100));
    assert!(!boosted(&sampling, 100));
    assert!(boosted(&sampling, 600));
    // A rule of the same name is another rule: it begins anew.
    sampling
        .delete(&RuleSelector::by_name("a"), at(700))
        .unwrap();
    let rule = NewRule {
        boost: Some(boost),
        ..new_rule("a")
    };
    sampling.create(rule, [], at(700)).unwrap();
    let sampling = open_on(store, at(700));
    assert!(boosted(&sampling, 700));
}

#[test]
fn a_ring_of_windows_is_written_over_and_old_ones_do_not_come_back() {
    let store = Arc::new(MemoryControl::default());
    let mut sampling = open_on(store.clone(), at(0));
    for round in 0..3 {
        for window in 0..300 {
            let now = at((round * 300 + window) * 10);
            let reports = [report(DEFAULT_RULE, 1, now)];
            sampling.targets(&reports, &[], now).unwrap();
        }
        let now = at((round * 300 + 299) * 10);
        let before = summaries(&sampling, now);
        assert_eq!(before.len(), 181);
        sampling.flush(now).unwrap();
        sampling = open_on(store.clone(), now);
        assert_eq!(summaries(&sampling, now), before);
    }
    let later = at(24 * 3_600);
    assert!(summaries(&open_on(store.clone(), later), later).is_empty());
    let kind = storage::ControlKind::SamplingStatistics;
    let n_records = storage::ControlStore::load(&*store, model::Tenant(0), kind)
        .unwrap()
        .len();
    assert_eq!(n_records, 300);
}

/// Something that is done, at a time after what was done before.
#[derive(Clone, Debug)]
enum Step {
    Create(u8, u16, bool),
    Update(u8, u16),
    UpdateDefault(u16),
    Delete(u8),
    Tag(u8, u8),
    Untag(u8, u8),
    Report(Vec<(u8, u8, u16)>),
    Anomalies(u8, u8),
    Flush,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let rule = || 0..5_u8;
    prop_oneof![
        4 => (rule(), 0..1_000_u16, any::<bool>()).prop_map(|(rule, n, b)| Step::Create(rule, n, b)),
        2 => (rule(), 0..3_u16).prop_map(|(rule, n)| Step::Update(rule, n)),
        1 => (0..3_u16).prop_map(Step::UpdateDefault),
        2 => rule().prop_map(Step::Delete),
        1 => (rule(), 0..4_u8).prop_map(|(rule, n)| Step::Tag(rule, n)),
        1 => (rule(), 0..4_u8).prop_map(|(rule, n)| Step::Untag(rule, n)),
        6 => prop::collection::vec((0..6_u8, 0..4_u8, any::<u16>()), 1..6).prop_map(Step::Report),
        2 => (rule(), 0..9_u8).prop_map(|(rule, n)| Step::Anomalies(rule, n)),
        1 => Just(Step::Flush),
        2 => Just(Step::Restart),
    ]
}

/// Rule number 5 is `Default`.
fn name(rule: u8) -> String {
    if rule == 5 {
        return DEFAULT_RULE.to_owned();
    }
    format!("rule-{rule}")
}

/// Everything somebody may see.
fn seen(sampling: &Sampling, now: Timestamp) -> impl PartialEq + std::fmt::Debug + use<> {
    let records = records(sampling);
    let tags: Vec<_> = records
        .iter()
        .map(|record| sampling.tags(&record.arn).unwrap())
        .collect();
    let boosts: Vec<_> = records
        .iter()
        .map(|record| {
            let report = StatisticsReport {
                request_count: 0,
                sampled_count: 0,
                borrow_count: 0,
                ..report(&record.rule.name, 99, now)
            };
            sampling.targets(&[report], &[], now).unwrap().documents[0].boost
        })
        .collect();
    (
        records,
        tags,
        boosts,
        sampling.last_modified(),
        summaries(sampling, now),
    )
}

/// Does a step that may be refused; what is refused changes nothing.
fn run(sampling: &Sampling, step: &Step, now: Timestamp) {
    let arn = |rule| {
        format!(
            "arn:aws:xray:us-east-1:000000000000:sampling-rule/{}",
            name(rule)
        )
    };
    let rate = |n: u16| f64::from(n) / 1_000.0;
    // Refusals of rules that are or are not there are part of the game.
    match step {
        Step::Create(rule, n, has_boost) => {
            let boost = NewRateBoost {
                max_rate: 0.9,
                cooldown_minutes: i64::from(n % 4),
            };
            let new = NewRule {
                priority: i64::from(*n),
                fixed_rate: rate(*n),
                reservoir_size: i64::from(n % 50),
                boost: has_boost.then_some(boost),
                ..new_rule(&name(*rule))
            };
            let _ = sampling.create(new, tags(&["made"]), now);
        }
        Step::Update(rule, n) => {
            let update = RuleUpdate {
                selector: RuleSelector::by_arn(&arn(*rule)),
                fixed_rate: Some(rate(*n)),
                ..RuleUpdate::default()
            };
            let _ = sampling.update(update, now);
        }
        Step::UpdateDefault(n) => {
            let update = RuleUpdate {
                selector: RuleSelector::by_name(DEFAULT_RULE),
                reservoir_size: Some(i64::from(*n)),
                ..RuleUpdate::default()
            };
            sampling.update(update, now).unwrap();
        }
        Step::Delete(rule) => {
            let _ = sampling.delete(&RuleSelector::by_name(&name(*rule)), now);
        }
        Step::Tag(rule, n) => {
            let _ = sampling.tag(&arn(*rule), tags(&[&n.to_string()]));
        }
        Step::Untag(rule, n) => {
            let _ = sampling.untag(&arn(*rule), [n.to_string().as_str()]);
        }
        Step::Report(reports) => {
            let reports: Vec<_> = reports
                .iter()
                .map(|(rule, client, requests)| StatisticsReport {
                    request_count: u64::from(*requests),
                    ..report(&name(*rule), u32::from(*client), now)
                })
                .collect();
            sampling.targets(&reports, &[], now).unwrap();
        }
        Step::Anomalies(rule, n) => {
            let anomalies = [anomalies(&name(*rule), u64::from(*n), 0, now)];
            sampling.targets(&[], &anomalies, now).unwrap();
        }
        Step::Flush | Step::Restart => sampling.flush(now).unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    /// Whatever was done: a restart shows what was there before.
    #[test]
    fn restarts_change_nothing(steps in prop::collection::vec((step(), 0..40_u64), 1..60)) {
        let store = Arc::new(MemoryControl::default());
        let mut sampling = open_on(store.clone(), at(0));
        let mut secs = 0;
        for (step, pause) in steps {
            secs += pause;
            let modified = sampling.last_modified();
            let before = records(&sampling);
            run(&sampling, &step, at(secs));
            let is_changed = records(&sampling) != before;
            prop_assert_eq!(sampling.last_modified() != modified, is_changed && modified != at(secs));
            prop_assert!(!is_changed || sampling.last_modified() == at(secs));
            if matches!(step, Step::Restart) {
                let reopened = open_on(store.clone(), at(secs));
                prop_assert_eq!(format!("{:?}", seen(&reopened, at(secs))), format!("{:?}", seen(&sampling, at(secs))));
                sampling = reopened;
            }
        }
    }

    /// Summaries are the sums of exactly what was reported, over pages of any size and a restart.
    #[test]
    fn summaries_are_what_was_reported(
        reports in prop::collection::vec((0..3_u8, 0..4_u8, 0..120_u64, any::<[u32; 3]>()), 1..60),
        n_max in 1..7_usize,
        restart_at in any::<prop::sample::Index>(),
    ) {
        let store = Arc::new(MemoryControl::default());
        let mut sampling = open_on(store.clone(), at(0));
        for rule in 0..3 {
            sampling.create(new_rule(&name(rule)), [], at(0)).unwrap();
        }
        let now = at(60);
        let mut expected: BTreeMap<(Timestamp, String), (u64, u64, u64)> = BTreeMap::new();
        let restart_at = restart_at.index(reports.len());
        for (idx, (rule, client, secs, [requests, sampled, borrowed])) in reports.into_iter().enumerate() {
            let counts = (requests.into(), sampled.into(), borrowed.into());
            let report = StatisticsReport {
                request_count: counts.0,
                sampled_count: counts.1,
                borrow_count: counts.2,
                ..report(&name(rule), client.into(), at(secs))
            };
            sampling.targets(&[report], &[], now).unwrap();
            let sums = expected.entry((at(secs / 10 * 10), name(rule))).or_default();
            *sums = (sums.0 + counts.0, sums.1 + counts.1, sums.2 + counts.2);
            if idx == restart_at {
                sampling.flush(now).unwrap();
                sampling = open_on(store.clone(), now);
            }
        }
        let mut paged = BTreeMap::new();
        let mut after: Option<SummaryPosition> = None;
        loop {
            let page = sampling.summaries(after.as_ref(), n_max, now);
            prop_assert!(page.summaries.len() <= n_max);
            for summary in page.summaries {
                let counts = (summary.request_count, summary.sampled_count, summary.borrow_count);
                let repeated = paged.insert((summary.window, summary.rule_name), counts);
                prop_assert_eq!(repeated, None);
            }
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        prop_assert_eq!(paged, expected);
    }

    /// What clients are told never adds up to more than the reservoir, whoever reports when.
    #[test]
    fn quotas_told_add_up_to_no_more_than_the_reservoir(
        size in 0..30_u32,
        calls in prop::collection::vec((0..6_u32, 0..20_u64), 1..60),
    ) {
        let sampling = open();
        sampling.create(rule_of_size("a", size.into()), [], at(0)).unwrap();
        let mut secs = 0;
        let mut told: BTreeMap<u32, (u64, u32)> = BTreeMap::new();
        for (client, pause) in calls {
            secs += pause;
            let targets = sampling.targets(&[report("a", client, at(secs))], &[], at(secs)).unwrap();
            told.insert(client, (secs, targets.documents[0].reservoir_quota));
            let live = told.values().filter(|(told_at, _)| secs - told_at <= 30);
            prop_assert!(live.map(|(_, quota)| quota).sum::<u32>() <= size);
        }
    }
}
