//! Sampling as a whole, over a store in memory: rules, targets, restarts, stores that fail.

mod faults;
mod restart;
mod support;

use model::Timestamp;

use self::support::*;
use crate::{
    DEFAULT_RULE, NewRateBoost, NewRule, RULES_MAX, RequestFacts, RuleSelector, RuleUpdate,
    SamplingError, StatisticsReport,
};

#[test]
fn a_rule_is_made_changed_and_deleted() {
    let sampling = open();
    let rule = NewRule {
        priority: 9_000,
        fixed_rate: 0.1,
        reservoir_size: 5,
        service_name: "Scorekeep".to_owned(),
        ..new_rule("base-scorekeep")
    };
    let made = sampling.create(rule, [], at(1)).unwrap();
    assert_eq!(
        made.arn,
        "arn:aws:xray:us-east-1:000000000000:sampling-rule/base-scorekeep"
    );
    assert_eq!((made.created_at, made.modified_at), (at(1), at(1)));
    assert_eq!(records(&sampling)[1], made);
    let update = RuleUpdate {
        selector: RuleSelector::by_arn(&made.arn),
        priority: Some(8_000),
        ..RuleUpdate::default()
    };
    let changed = sampling.update(update.clone(), at(2)).unwrap();
    assert_eq!(changed.rule.priority, 8_000);
    assert_eq!((changed.created_at, changed.modified_at), (at(1), at(2)));
    assert_eq!(changed.rule.service_name, "Scorekeep");
    // The same once more changes nothing, its time neither.
    assert_eq!(sampling.update(update, at(3)).unwrap(), changed);
    assert_eq!(sampling.last_modified(), at(2));
    let name = RuleSelector::by_name("base-scorekeep");
    assert_eq!(sampling.delete(&name, at(4)).unwrap(), changed);
    assert_eq!(records(&sampling).len(), 1);
    check_invalid(sampling.delete(&name, at(5)), "there is no sampling rule");
}

#[test]
fn default_is_there_and_stays() {
    let sampling = open();
    let default = &records(&sampling)[0];
    assert_eq!(default.rule.name, "Default");
    assert_eq!(
        default.arn,
        "arn:aws:xray:us-east-1:000000000000:sampling-rule/Default"
    );
    assert_eq!(
        (default.rule.priority, default.rule.reservoir_size),
        (10_000, 1)
    );
    assert_eq!(default.rule.fixed_rate.to_string(), "0.05");
    assert_eq!(
        (default.created_at, default.modified_at),
        (Timestamp::ZERO, Timestamp::ZERO)
    );
    assert_eq!(sampling.last_modified(), Timestamp::ZERO);
    let name = RuleSelector::by_name(DEFAULT_RULE);
    check_invalid(sampling.delete(&name, at(1)), "cannot be deleted");
    check_invalid(
        sampling.create(new_rule(DEFAULT_RULE), [], at(1)),
        "already",
    );
    let update = RuleUpdate {
        selector: name.clone(),
        priority: Some(10_000),
        ..RuleUpdate::default()
    };
    check_invalid(
        sampling.update(update, at(1)),
        "Invalid update request for default sampling rule",
    );
    assert_eq!(sampling.last_modified(), Timestamp::ZERO);
    let update = RuleUpdate {
        selector: name,
        fixed_rate: Some(0.5),
        ..RuleUpdate::default()
    };
    let changed = sampling.update(update, at(2)).unwrap();
    assert_eq!(
        (changed.created_at, changed.modified_at),
        (Timestamp::ZERO, at(2))
    );
    assert_eq!(records(&sampling), [changed]);
}

#[test]
fn names_are_unique_and_rules_are_limited() {
    let sampling = open();
    for number in 0..RULES_MAX {
        sampling
            .create(new_rule(&number.to_string()), [], at(1))
            .unwrap();
    }
    check_invalid(sampling.create(new_rule("3"), [], at(2)), "already");
    let refused = sampling.create(new_rule("one more"), [], at(2));
    assert!(matches!(refused, Err(SamplingError::RuleLimitExceeded)));
    sampling.delete(&RuleSelector::by_name("3"), at(3)).unwrap();
    sampling.create(new_rule("one more"), [], at(3)).unwrap();
    // What is not valid is said first, whatever else would be wrong.
    let wrong = NewRule {
        version: 7,
        ..new_rule("x")
    };
    check_invalid(sampling.create(wrong, [], at(4)), "Version");
}

#[test]
fn the_time_of_the_last_change_never_goes_back() {
    let sampling = open();
    let exact = Timestamp::from_nanos(at(10).as_nanos() + 1);
    let made = sampling.create(new_rule("a"), [], exact).unwrap();
    assert_eq!(made.modified_at, exact);
    // Rounded up: clients that compare whole seconds must not miss it.
    assert_eq!(sampling.last_modified(), at(11));
    let made = sampling.create(new_rule("b"), [], at(5)).unwrap();
    assert_eq!(made.modified_at, exact);
    sampling
        .delete(&RuleSelector::by_name("b"), at(20))
        .unwrap();
    assert_eq!(sampling.last_modified(), at(20));
    assert_eq!(
        sampling.targets(&[], &[], at(21)).unwrap().last_modified,
        at(20)
    );
}

#[test]
fn tags_belong_to_rules() {
    let sampling = open();
    let arn = sampling
        .create(new_rule("a"), tags(&["x", "y"]), at(1))
        .unwrap()
        .arn;
    let check = |arn: &str, expected: &[&str]| {
        let tags = sampling.tags(arn).unwrap();
        assert_eq!(
            tags.iter().map(|(key, _)| key).collect::<Vec<_>>(),
            expected
        );
    };
    check(&arn, &["x", "y"]);
    sampling.tag(&arn, tags(&["a", "x"])).unwrap();
    sampling.untag(&arn, ["y", "never there"]).unwrap();
    check(&arn, &["a", "x"]);
    assert_eq!(
        sampling.last_modified(),
        at(1),
        "tags are not part of a rule"
    );
    let default = records(&sampling)[0].arn.clone();
    sampling.tag(&default, tags(&["d"])).unwrap();
    check(&default, &["d"]);

    let many: Vec<String> = (0..51).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let too_many = [
        sampling.tag(&arn, tags(&many)),
        sampling.create(new_rule("b"), tags(&many), at(2)).map(drop),
    ];
    for outcome in too_many {
        assert!(matches!(outcome, Err(SamplingError::TooManyTags { .. })));
    }
    check_invalid(sampling.tag(&arn, tags(&["aws:x"])), "reserved");
    check(&arn, &["a", "x"]);
    for unknown in [
        "arn:aws:xray:us-east-1:000000000000:sampling-rule/b",
        "arn:aws:xray:us-east-1:000000000000:group/a",
        "a",
    ] {
        let outcomes = [
            sampling.tags(unknown).map(drop),
            sampling.tag(unknown, tags(&["x"])),
            sampling.untag(unknown, ["x"]),
        ];
        for outcome in outcomes {
            assert!(
                matches!(&outcome, Err(SamplingError::NotFound { arn }) if arn == unknown),
                "{outcome:?}"
            );
        }
    }
}

#[test]
fn requests_fall_under_the_first_rule_that_matches() {
    let sampling = open();
    let rule = NewRule {
        url_path: "/api/*".to_owned(),
        ..new_rule("api")
    };
    sampling.create(rule, [], at(1)).unwrap();
    let rule_of = |url_path| {
        let facts = RequestFacts {
            url_path,
            ..RequestFacts::default()
        };
        sampling.matching(&facts).name
    };
    assert_eq!(rule_of("/API/orders"), "api");
    assert_eq!(rule_of("/"), "Default");
}

#[test]
fn clients_are_told_rate_and_quota_of_each_rule() {
    let sampling = open();
    let rule = NewRule {
        fixed_rate: 0.25,
        ..rule_of_size("a", 10)
    };
    sampling.create(rule, [], at(1)).unwrap();
    let first = [report("a", 1, at(2)), report(DEFAULT_RULE, 1, at(2))];
    let targets = sampling.targets(&first, &[], at(2)).unwrap();
    assert!(targets.unprocessed.is_empty());
    assert_eq!(targets.last_modified, at(1));
    let told: Vec<_> = targets
        .documents
        .iter()
        .map(|target| {
            assert_eq!((target.interval_secs, target.quota_until), (10, at(302)));
            assert_eq!(target.boost, None);
            (
                target.rule_name.as_str(),
                target.fixed_rate.to_string(),
                target.reservoir_quota,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("a", "0.25".to_owned(), 10),
            ("Default", "0.05".to_owned(), 1)
        ]
    );
    let quota = |client, secs| {
        let targets = sampling.targets(&[report("a", client, at(secs))], &[], at(secs));
        targets.unwrap().documents[0].reservoir_quota
    };
    assert_eq!(quota(2, 3), 0);
    assert_eq!(quota(1, 12), 5);
    assert_eq!(quota(2, 13), 5);
    // Two clients in one call share one answer, which is right for both.
    sampling.create(rule_of_size("b", 11), [], at(14)).unwrap();
    for secs in [14, 24, 34] {
        let first = sampling.targets(&[report("b", 1, at(secs))], &[], at(secs));
        let quota = first.unwrap().documents[0].reservoir_quota;
        assert_eq!(quota, if secs == 14 { 11 } else { 6 });
        for order in [[2, 1], [1, 2]] {
            let both = order.map(|client| report("b", client, at(secs)));
            let targets = sampling.targets(&both, &[], at(secs)).unwrap();
            assert_eq!(targets.documents.len(), 1);
            let quota = targets.documents[0].reservoir_quota;
            assert_eq!(quota, if secs == 14 && order[0] == 2 { 0 } else { 5 });
        }
    }
}

#[test]
fn reports_that_cannot_be_taken_are_named() {
    let check = |report: StatisticsReport, code: &str, message: &str| {
        let sampling = open();
        let reports = [report.clone(), support::report(DEFAULT_RULE, 1, at(0))];
        let targets = sampling.targets(&reports, &[], at(0)).unwrap();
        let refused: Vec<_> = targets
            .unprocessed
            .iter()
            .map(|refused| (refused.rule_name.as_str(), refused.error_code))
            .collect();
        if code.is_empty() {
            assert!(refused.is_empty(), "{refused:?}");
        } else {
            assert_eq!(refused, [(report.rule_name.as_str(), code)]);
            let text = &targets.unprocessed[0].message;
            assert!(text.contains(message), "{text}");
        }
        // The others are taken whatever is wrong with one.
        assert_eq!(targets.documents.len(), 1);
        let n_taken = if code.is_empty() { 2 } else { 1 };
        let counted: u64 = summaries(&sampling, at(0))
            .iter()
            .map(|summary| summary.request_count)
            .sum();
        assert_eq!(counted, 10 * n_taken);
    };
    check(report("gone", 1, at(0)), "404", "no such sampling rule");
    let minutes = |minutes: u64| std::time::Duration::from_mins(minutes);
    check(report(DEFAULT_RULE, 1, at(0).before(minutes(15))), "", "");
    check(
        report(DEFAULT_RULE, 1, at(0).before(minutes(16))),
        "400",
        "more than 15 minutes old",
    );
    check(report(DEFAULT_RULE, 1, at(15 * 60)), "", "");
    check(report(DEFAULT_RULE, 1, at(16 * 60)), "400", "ahead");
    let nameless = StatisticsReport {
        client_id: "short".to_owned(),
        ..report(DEFAULT_RULE, 1, at(0))
    };
    check(nameless, "400", "24 characters");
}

#[test]
fn a_call_carries_a_limited_number_of_reports() {
    let sampling = open();
    let reports = |n_reports| vec![report(DEFAULT_RULE, 1, at(0)); n_reports];
    assert!(sampling.targets(&reports(25), &[], at(0)).is_ok());
    check_invalid(sampling.targets(&reports(26), &[], at(0)), "there are 26");
    let boosts = vec![anomalies("a", 1, 0, at(0)); 26];
    check_invalid(sampling.targets(&[], &boosts, at(0)), "there are 26");
}

#[test]
fn summaries_are_of_windows_of_ten_seconds() {
    let sampling = open();
    for (client, secs) in [(1, 0), (2, 9), (1, 10), (1, 15)] {
        let reports = [report(DEFAULT_RULE, client, at(secs))];
        sampling.targets(&reports, &[], at(secs)).unwrap();
    }
    let check = |now, expected: &[(u64, u64)]| {
        let found: Vec<(u64, u64)> = summaries(&sampling, now)
            .iter()
            .map(|summary| {
                assert_eq!(summary.rule_name, DEFAULT_RULE);
                let window = summary.window.as_secs() - at(0).as_secs();
                (window, summary.request_count)
            })
            .collect();
        assert_eq!(found, expected);
    };
    check(at(15), &[(0, 20), (10, 20)]);
    check(at(30 * 60 + 9), &[(0, 20), (10, 20)]);
    check(at(30 * 60 + 10), &[(10, 20)]);
    check(at(30 * 60 + 20), &[]);
}

#[test]
fn what_a_deleted_rule_left_goes_with_it() {
    let sampling = open();
    sampling.create(new_rule("a"), [], at(0)).unwrap();
    sampling
        .targets(&[report("a", 1, at(0))], &[], at(0))
        .unwrap();
    assert_eq!(summaries(&sampling, at(0)).len(), 1);
    sampling.delete(&RuleSelector::by_name("a"), at(1)).unwrap();
    assert!(summaries(&sampling, at(1)).is_empty());
    sampling.create(new_rule("a"), [], at(2)).unwrap();
    assert!(summaries(&sampling, at(2)).is_empty());
}

#[test]
fn unseen_anomalies_boost_a_rule_for_a_minute() {
    let sampling = open();
    let boost = NewRateBoost {
        max_rate: 0.5,
        cooldown_minutes: 10,
    };
    let rule = NewRule {
        fixed_rate: 0.01,
        boost: Some(boost),
        ..new_rule("a")
    };
    sampling.create(rule, [], at(0)).unwrap();
    let boosted = |anomalies: &[_], secs| {
        let reports = [report("a", 1, at(secs)), report(DEFAULT_RULE, 1, at(secs))];
        let targets = sampling.targets(&reports, anomalies, at(secs)).unwrap();
        assert!(targets.unprocessed_boosts.is_empty());
        assert_eq!(targets.documents[1].boost, None, "another rule");
        let boost = targets.documents[0].boost?;
        Some((boost.rate.to_string(), boost.until))
    };
    assert_eq!(boosted(&[], 0), None);
    assert_eq!(
        boosted(&[anomalies("a", 5, 5, at(0))], 0),
        None,
        "all were seen"
    );
    let two = [anomalies("a", 3, 1, at(1)), anomalies("a", 1, 0, at(1))];
    assert_eq!(boosted(&two, 1), Some(("0.5".to_owned(), at(61))));
    assert_eq!(boosted(&two, 30), Some(("0.5".to_owned(), at(61))));
    assert_eq!(boosted(&[], 60), Some(("0.5".to_owned(), at(61))));
    assert_eq!(boosted(&two, 61), None);
    assert_eq!(boosted(&two, 600), None);
    assert_eq!(boosted(&two, 601), Some(("0.5".to_owned(), at(661))));
}

#[test]
fn reports_of_anomalies_that_cannot_be_taken_are_named() {
    let sampling = open();
    let check = |report: crate::BoostReport, code: &str, message: &str| {
        let targets = sampling.targets(&[], &[report], at(0)).unwrap();
        let refused = &targets.unprocessed_boosts[0];
        assert_eq!(refused.error_code, code);
        assert!(refused.message.contains(message), "{}", refused.message);
    };
    check(
        anomalies("gone", 1, 0, at(0)),
        "404",
        "no such sampling rule",
    );
    check(
        anomalies(DEFAULT_RULE, 1, 0, at(0)),
        "400",
        "no SamplingRateBoost",
    );
    let boost = NewRateBoost {
        max_rate: 0.5,
        cooldown_minutes: 10,
    };
    let rule = NewRule {
        boost: Some(boost),
        ..new_rule("a")
    };
    sampling.create(rule, [], at(0)).unwrap();
    check(anomalies("a", 1, 0, at(16 * 60)), "400", "ahead");
    check(
        anomalies("a", 1, 2, at(0)),
        "400",
        "greater than AnomalyCount",
    );
}
