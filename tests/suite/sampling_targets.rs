//! What clients of sampling report, and what they are told.

use anyhow::Result;
use roentgen_tests::Home;
use roentgen_tests::server::list;
use roentgen_tests::wait::now;
use serde_json::{Value, json};

use crate::sampling::{FIRST, create, report, rule, summaries, targets};

const SECOND: &str = "fedcba9876543210fedcba98";

/// Returns the quota the only target of an answer gives.
fn quota(answer: &Value) -> Option<u64> {
    answer["SamplingTargetDocuments"][0]["ReservoirQuota"].as_u64()
}

#[test]
fn a_reservoir_is_shared_by_two_clients() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    create(&server, &rule("shared", &json!({ "ReservoirSize": 5 })))?;
    let begun = f64::from(now());
    let answer = targets(&server, &[report("shared", FIRST)])?;
    let target = &answer["SamplingTargetDocuments"][0];
    let until = target["ReservoirQuotaTTL"].as_f64().unwrap_or_default();
    assert!((begun + 300.0..begun + 360.0).contains(&until), "{target}");
    let expected = json!({
        "RuleName": "shared", "FixedRate": 0.1, "ReservoirQuota": 5,
        "ReservoirQuotaTTL": target["ReservoirQuotaTTL"], "Interval": 10,
    });
    assert_eq!(*target, expected);
    assert_eq!(answer["UnprocessedStatistics"], json!([]));
    assert_eq!(answer.get("UnprocessedBoostStatistics"), None);
    // The second has nothing until the first has come down to its share.
    assert_eq!(
        quota(&targets(&server, &[report("shared", SECOND)])?),
        Some(0)
    );
    assert_eq!(
        quota(&targets(&server, &[report("shared", FIRST)])?),
        Some(3)
    );
    assert_eq!(
        quota(&targets(&server, &[report("shared", SECOND)])?),
        Some(2)
    );
    Ok(())
}

#[test]
fn reports_that_cannot_be_taken_are_told_one_by_one() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let mut old = report("Default", FIRST);
    old["Timestamp"] = json!(now() - 3600);
    let reports = [report("gone", FIRST), old, report("Default", FIRST)];
    let boost = json!({
        "RuleName": "Default", "ServiceName": "shop", "Timestamp": now(),
        "AnomalyCount": 1, "TotalCount": 1, "SampledAnomalyCount": 0,
    });
    let request = json!({ "SamplingStatisticsDocuments": reports, "SamplingBoostStatisticsDocuments": [boost] });
    let answer = server.post("/SamplingTargets", &request)?.success()?;
    let told = |member: &str| -> Result<Value> {
        let refused = list(&answer, member)?;
        let has_message = |item: &Value| {
            item["Message"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        };
        assert!(refused.iter().all(has_message), "{answer}");
        let pairs = refused.iter();
        Ok(pairs
            .map(|item| json!([item["RuleName"], item["ErrorCode"]]))
            .collect())
    };
    let expected = json!([["gone", "404"], ["Default", "400"]]);
    assert_eq!(told("UnprocessedStatistics")?, expected);
    let expected = json!([["Default", "400"]]);
    assert_eq!(told("UnprocessedBoostStatistics")?, expected);
    assert_eq!(list(&answer, "SamplingTargetDocuments")?.len(), 1);
    Ok(())
}

#[test]
fn unseen_anomalies_raise_the_rate_for_a_minute() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let boost = json!({ "MaxRate": 0.5, "CooldownWindowMinutes": 10 });
    create(
        &server,
        &rule("quick", &json!({ "SamplingRateBoost": boost })),
    )?;
    let begun = f64::from(now());
    let boost = json!({
        "RuleName": "quick", "ServiceName": "shop", "Timestamp": now(),
        "AnomalyCount": 4, "TotalCount": 10, "SampledAnomalyCount": 1,
    });
    let request = json!({
        "SamplingStatisticsDocuments": [report("quick", FIRST)], "SamplingBoostStatisticsDocuments": [boost],
    });
    let answer = server.post("/SamplingTargets", &request)?.success()?;
    assert_eq!(answer.get("UnprocessedBoostStatistics"), None);
    let boost = &answer["SamplingTargetDocuments"][0]["SamplingBoost"];
    assert_eq!(boost["BoostRate"], 0.5);
    let until = boost["BoostRateTTL"].as_f64().unwrap_or_default();
    assert!((begun..begun + 120.0).contains(&until), "{answer}");
    server.kill9()?;

    let server = home.start()?;
    let answer = targets(&server, &[report("quick", FIRST)])?;
    assert_eq!(
        answer["SamplingTargetDocuments"][0]["SamplingBoost"],
        *boost
    );
    Ok(())
}

#[test]
fn what_clients_report_is_summed_up() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    assert_eq!(summaries(&server)?, (Vec::new(), 1));
    let mut first = report("Default", FIRST);
    // Both in one window of ten seconds, whatever the time is.
    let window = now() - now() % 10 - 60;
    first["Timestamp"] = json!(window);
    let mut second = report("Default", SECOND);
    second["Timestamp"] = json!(f64::from(window) + 9.5);
    targets(&server, &[first, second])?;
    let expected = json!({
        "RuleName": "Default", "Timestamp": f64::from(window),
        "RequestCount": 20, "BorrowCount": 4, "SampledCount": 6,
    });
    assert_eq!(summaries(&server)?, (vec![expected], 1));
    Ok(())
}

#[test]
fn pages_of_summaries_put_together_are_all_of_them() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let rules: Vec<String> = (0..20).map(|number| format!("r{number:02}")).collect();
    for name in &rules {
        create(&server, &rule(name, &json!({})))?;
    }
    let newest = now() - now() % 10 - 10;
    let mut expected = Vec::new();
    for idx in (0..60).rev() {
        let at = newest - 10 * idx;
        let reports: Vec<Value> = rules
            .iter()
            .map(|name| {
                let mut report = report(name, FIRST);
                report["Timestamp"] = json!(at);
                report
            })
            .collect();
        targets(&server, &reports)?;
        expected.extend(rules.iter().map(|name| json!([f64::from(at), name])));
    }
    let (found, n_pages) = summaries(&server)?;
    let found: Vec<Value> = found
        .iter()
        .map(|summary| json!([summary["Timestamp"], summary["RuleName"]]))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(n_pages, 2);
    Ok(())
}
