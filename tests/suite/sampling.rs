//! Sampling rules on the wire.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use roentgen_tests::server::list;
use roentgen_tests::wait::{now, until};
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

use crate::fixture::assert_error;
use crate::groups::{assert_resource_error, tags};

pub(crate) const FIRST: &str = "0123456789abcdef01234567";
const MEMBERS: [&str; 13] = [
    "Attributes",
    "FixedRate",
    "HTTPMethod",
    "Host",
    "Priority",
    "ReservoirSize",
    "ResourceARN",
    "RuleARN",
    "RuleName",
    "ServiceName",
    "ServiceType",
    "URLPath",
    "Version",
];

/// Returns a rule for everything with these members over it.
pub(crate) fn rule(name: &str, members: &Value) -> Value {
    let mut rule = json!({
        "RuleName": name, "ResourceARN": "*", "Priority": 9000, "FixedRate": 0.1, "ReservoirSize": 5,
        "ServiceName": "Scorekeep", "ServiceType": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "*", "Version": 1,
    });
    for (member, value) in members.as_object().unwrap() {
        rule[member] = value.clone();
    }
    rule
}

/// Makes a rule and returns its record.
pub(crate) fn create(server: &Server, rule: &Value) -> Result<Value> {
    let request = json!({ "SamplingRule": rule });
    let mut answer = server.post("/CreateSamplingRule", &request)?.success()?;
    Ok(answer["SamplingRuleRecord"].take())
}

fn update(server: &Server, update: &Value) -> Result<Value> {
    let request = json!({ "SamplingRuleUpdate": update });
    let mut answer = server.post("/UpdateSamplingRule", &request)?.success()?;
    Ok(answer["SamplingRuleRecord"].take())
}

fn records(server: &Server) -> Result<Vec<Value>> {
    // As the Go SDK asks, without a type.
    let mut connection = server.connect()?;
    let body = br#"{"NextToken": null}"#;
    let answer = connection
        .request("POST", "/GetSamplingRules", &[], body)?
        .success()?;
    assert_eq!(answer.get("NextToken"), None);
    list(&answer, "SamplingRuleRecords")
}

fn names(records: &[Value]) -> Vec<&str> {
    records
        .iter()
        .filter_map(|record| record["SamplingRule"]["RuleName"].as_str())
        .collect()
}

/// Returns what a client reports of one rule now: ten requests, two of them borrowed and three sampled.
pub(crate) fn report(rule_name: &str, client_id: &str) -> Value {
    json!({
        "RuleName": rule_name, "ClientID": client_id, "Timestamp": now(),
        "RequestCount": 10, "SampledCount": 3, "BorrowCount": 2,
    })
}

pub(crate) fn targets(server: &Server, reports: &[Value]) -> Result<Value> {
    let request = json!({ "SamplingStatisticsDocuments": reports });
    server.post("/SamplingTargets", &request)?.success()
}

fn last_modification(server: &Server) -> Result<f64> {
    let answer = targets(server, &[])?;
    let at = answer["LastRuleModification"].as_f64();
    at.with_context(|| answer.to_string())
}

/// Returns all summaries, pages joined, and how many pages there were.
pub(crate) fn summaries(server: &Server) -> Result<(Vec<Value>, usize)> {
    let mut summaries = Vec::new();
    let mut request = json!({});
    for n_pages in 1.. {
        let page = server
            .post("/SamplingStatisticSummaries", &request)?
            .success()?;
        summaries.extend(list(&page, "SamplingStatisticSummaries")?);
        let Some(token) = page.get("NextToken") else {
            return Ok((summaries, n_pages));
        };
        request["NextToken"] = token.clone();
    }
    anyhow::bail!("pages without end")
}

#[test]
fn there_is_a_default_rule() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let expected = json!({
        "SamplingRule": {
            "RuleName": "Default", "RuleARN": "arn:aws:xray:us-east-1:000000000000:sampling-rule/Default",
            "ResourceARN": "*", "Priority": 10000, "FixedRate": 0.05, "ReservoirSize": 1, "ServiceName": "*",
            "ServiceType": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "*", "Version": 1, "Attributes": {},
        },
        "CreatedAt": 0.0, "ModifiedAt": 0.0,
    });
    assert_eq!(records(&server)?, [expected]);
    // Samplers send an empty body, too.
    let mut connection = server.connect()?;
    let answer = connection.request("POST", "/GetSamplingRules", &[], b"")?;
    assert_eq!(list(&answer.success()?, "SamplingRuleRecords")?.len(), 1);

    let refused = server.post("/DeleteSamplingRule", &json!({ "RuleName": "Default" }))?;
    assert_error(&refused, 400, "InvalidRequestException")?;
    let change = json!({ "SamplingRuleUpdate": { "RuleName": "Default", "Host": "a" } });
    let refused = server.post("/UpdateSamplingRule", &change)?;
    let message = assert_error(&refused, 400, "InvalidRequestException")?;
    assert_eq!(message, "Invalid update request for default sampling rule");
    let change = json!({ "RuleName": "Default", "FixedRate": 0.01, "ReservoirSize": 0 });
    let updated = update(&server, &change)?;
    let rule = &updated["SamplingRule"];
    assert_eq!(
        (&rule["FixedRate"], &rule["ReservoirSize"]),
        (&json!(0.01), &json!(0))
    );
    assert_eq!(updated["CreatedAt"], 0.0);
    assert!(updated["ModifiedAt"].as_f64() > Some(0.0), "{updated}");
    assert_eq!(records(&server)?, [updated]);
    Ok(())
}

#[test]
fn a_rule_is_made_changed_and_deleted() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let begun = f64::from(now());
    let record = create(&server, &rule("base-scorekeep", &json!({})))?;
    let arn = "arn:aws:xray:us-east-1:000000000000:sampling-rule/base-scorekeep";
    let made_at = record["CreatedAt"].clone();
    assert!(made_at.as_f64() >= Some(begun), "{record}");
    let members = json!({ "RuleARN": arn, "Attributes": {} });
    let expected = json!({
        "SamplingRule": rule("base-scorekeep", &members), "CreatedAt": made_at, "ModifiedAt": made_at,
    });
    assert_eq!(record, expected);

    let change =
        json!({ "RuleARN": arn, "Priority": 5, "URLPath": "/api/*", "Attributes": { "a": "b*" } });
    let updated = update(&server, &change)?;
    let members =
        json!({ "RuleARN": arn, "Priority": 5, "URLPath": "/api/*", "Attributes": { "a": "b*" } });
    assert_eq!(
        updated["SamplingRule"],
        rule("base-scorekeep", &members),
        "what is absent stays"
    );
    assert_eq!(updated["CreatedAt"], made_at);
    assert!(updated["ModifiedAt"].as_f64() > made_at.as_f64());
    create(&server, &rule("a", &json!({})))?;
    let all = records(&server)?;
    assert_eq!(names(&all), ["Default", "a", "base-scorekeep"]);
    assert_eq!(all[2], updated);

    let selector = json!({ "RuleName": "base-scorekeep" });
    let deleted = server.post("/DeleteSamplingRule", &selector)?.success()?;
    assert_eq!(deleted, json!({ "SamplingRuleRecord": updated }));
    assert_eq!(names(&records(&server)?), ["Default", "a"]);
    let refused = server.post("/DeleteSamplingRule", &selector)?;
    assert_error(&refused, 400, "InvalidRequestException")?;
    Ok(())
}

#[test]
fn a_rule_has_the_members_of_the_model_and_no_others() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    create(&server, &rule("plain", &json!({ "Comment": "unknown" })))?;
    let boost = json!({ "MaxRate": 0.5, "CooldownWindowMinutes": 10 });
    let boosted = create(
        &server,
        &rule("quick", &json!({ "SamplingRateBoost": boost })),
    )?;
    assert_eq!(boosted["SamplingRule"]["SamplingRateBoost"], boost);
    for record in records(&server)? {
        let rule = record["SamplingRule"].as_object().context("a rule")?;
        let found: BTreeSet<&str> = rule.keys().map(String::as_str).collect();
        let mut expected = BTreeSet::from(MEMBERS);
        if rule["RuleName"] == "quick" {
            expected.insert("SamplingRateBoost");
        }
        assert_eq!(found, expected);
        let record = record.as_object().context("a record")?;
        let found: Vec<&str> = record.keys().map(String::as_str).collect();
        assert_eq!(found, ["CreatedAt", "ModifiedAt", "SamplingRule"]);
    }
    Ok(())
}

#[test]
fn what_is_no_rule_is_an_invalid_request() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    create(&server, &rule("taken", &json!({})))?;
    let made = |members: Value| {
        (
            "/CreateSamplingRule",
            json!({ "SamplingRule": rule("new", &members) }),
        )
    };
    let changed = |update: Value| {
        (
            "/UpdateSamplingRule",
            json!({ "SamplingRuleUpdate": update }),
        )
    };
    let too_many: Vec<Value> = (0..51)
        .map(|number| json!({ "Key": format!("k{number}"), "Value": "" }))
        .collect();
    for (path, request) in [
        ("/CreateSamplingRule", json!({})),
        made(json!({ "RuleName": "taken" })),
        made(json!({ "RuleName": "Default" })),
        made(json!({ "RuleName": null })),
        made(json!({ "Priority": 0 })),
        made(json!({ "Priority": 10000 })),
        made(json!({ "FixedRate": 1.1 })),
        made(json!({ "ReservoirSize": -1 })),
        made(json!({ "ServiceType": "" })),
        made(json!({ "HTTPMethod": "x".repeat(11) })),
        made(json!({ "Version": 2 })),
        made(json!({ "SamplingRateBoost": { "MaxRate": 2, "CooldownWindowMinutes": 1 } })),
        (
            "/CreateSamplingRule",
            json!({ "SamplingRule": rule("new", &json!({})), "Tags": too_many }),
        ),
        changed(json!({ "Priority": 1 })),
        changed(json!({ "RuleName": "gone", "Priority": 1 })),
        changed(json!({ "RuleName": "taken", "Priority": 10000 })),
        changed(json!({ "RuleARN": "taken", "Priority": 1 })),
        ("/DeleteSamplingRule", json!({})),
        ("/DeleteSamplingRule", json!({ "RuleName": "gone" })),
        ("/GetSamplingRules", json!({ "NextToken": "x" })),
        ("/SamplingStatisticSummaries", json!({ "NextToken": "x" })),
        ("/SamplingTargets", json!({})),
        (
            "/SamplingTargets",
            json!({ "SamplingStatisticsDocuments": [report("Default", "short")] }),
        ),
        (
            "/SamplingTargets",
            json!({ "SamplingStatisticsDocuments": vec![report("Default", FIRST); 26] }),
        ),
    ] {
        let response = server.post(path, &request)?;
        assert_error(&response, 400, "InvalidRequestException")
            .with_context(|| format!("{path} {request}"))?;
    }
    assert_eq!(names(&records(&server)?), ["Default", "taken"]);
    Ok(())
}

#[test]
fn twenty_five_rules_are_on_one_page_and_no_more_are_made() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    for number in 0..25 {
        create(&server, &rule(&format!("r{number:02}"), &json!({})))?;
    }
    let request = json!({ "SamplingRule": rule("one-more", &json!({})) });
    let refused = server.post("/CreateSamplingRule", &request)?;
    assert_error(&refused, 400, "RuleLimitExceededException")?;
    assert_eq!(records(&server)?.len(), 26);
    Ok(())
}

#[test]
fn rules_survive_a_stop_and_a_kill() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let boost = json!({ "MaxRate": 0.5, "CooldownWindowMinutes": 10 });
    let request = json!({
        "SamplingRule": rule("kept", &json!({ "SamplingRateBoost": boost })), "Tags": [{ "Key": "a", "Value": "1" }],
    });
    server.post("/CreateSamplingRule", &request)?.success()?;
    create(&server, &rule("gone", &json!({})))?;
    update(&server, &json!({ "RuleName": "Default", "FixedRate": 1 }))?;
    let delete = json!({ "RuleName": "gone" });
    server.post("/DeleteSamplingRule", &delete)?.success()?;
    targets(&server, &[report("kept", FIRST), report("Default", FIRST)])?;
    let before = (records(&server)?, last_modification(&server)?);
    let counted = summaries(&server)?;
    assert_eq!(counted.0.len(), 2);
    assert!(server.terminate()?.success());

    let server = home.start()?;
    assert_eq!((records(&server)?, last_modification(&server)?), before);
    assert_eq!(summaries(&server)?, counted, "a stop writes all of them");
    update(&server, &json!({ "RuleName": "kept", "Host": "b" }))?;
    let before = (records(&server)?, last_modification(&server)?);
    server.kill9()?;

    let server = home.start()?;
    assert_eq!((records(&server)?, last_modification(&server)?), before);
    let arn = "arn:aws:xray:us-east-1:000000000000:sampling-rule/kept";
    assert_eq!(tags(&server, arn)?, json!([{ "Key": "a", "Value": "1" }]));
    Ok(())
}

#[test]
fn the_last_modification_moves_on_change_and_only_then() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    assert!(
        last_modification(&server)?.abs() < f64::EPSILON,
        "never yet"
    );
    let record = create(&server, &rule("a", &json!({})))?;
    let mut before = last_modification(&server)?;
    assert!(record["ModifiedAt"].as_f64() <= Some(before), "{record}");

    let arn = record["SamplingRule"]["RuleARN"].clone();
    let same = json!({ "SamplingRuleUpdate": { "RuleName": "a", "Host": "*", "Priority": 9000 } });
    let tagged = json!({ "ResourceARN": arn, "Tags": [{ "Key": "a", "Value": "b" }] });
    let boosts = json!({ "SamplingStatisticsDocuments": [report("a", FIRST)] });
    let changed = json!({ "SamplingRuleUpdate": { "RuleName": "Default", "ReservoirSize": 2 } });
    let deleted = json!({ "RuleName": "a" });
    for (path, request, moves) in [
        ("/UpdateSamplingRule", same, false),
        ("/TagResource", tagged, false),
        ("/SamplingTargets", boosts, false),
        ("/UpdateSamplingRule", changed, true),
        ("/DeleteSamplingRule", deleted, true),
    ] {
        // It is told in whole seconds: what happens from now on is in a later one.
        until("the second is over", || {
            Ok((f64::from(now()) > before).then_some(()))
        })?;
        server.post(path, &request)?.success()?;
        let after = last_modification(&server)?;
        assert_eq!(after > before, moves, "{path}: {before} {after}");
        before = after;
    }
    Ok(())
}

#[test]
fn a_new_rule_of_an_old_name_has_no_tags() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let tag = json!([{ "Key": "a", "Value": "1" }]);
    let request = json!({ "SamplingRule": rule("a", &json!({})), "Tags": tag });
    server.post("/CreateSamplingRule", &request)?.success()?;
    let arn = "arn:aws:xray:us-east-1:000000000000:sampling-rule/a";
    assert_eq!(tags(&server, arn)?, tag);
    let delete = json!({ "RuleARN": arn });
    server.post("/DeleteSamplingRule", &delete)?.success()?;
    let gone = server.post("/ListTagsForResource", &json!({ "ResourceARN": arn }))?;
    assert_resource_error(&gone, 404, "ResourceNotFoundException", arn)?;
    create(&server, &rule("a", &json!({})))?;
    assert_eq!(tags(&server, arn)?, json!([]));
    Ok(())
}
