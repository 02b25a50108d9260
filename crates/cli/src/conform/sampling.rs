//! Sampling rules, targets and statistics.

use protocol::Operation;
use serde_json::{Value, json};

use super::ask::Ask;
use super::constraints;
use super::exam::Exam;
use super::fixture::Fixture;
use super::want::Want::{Holds, Lacks, Like};
use super::want::{ANY, INVALID};
use crate::exit::Stop;

const CREATE: Operation = Operation::CreateSamplingRule;
const LIST: Operation = Operation::GetSamplingRules;
const UPDATE: Operation = Operation::UpdateSamplingRule;
const DELETE: Operation = Operation::DeleteSamplingRule;
const TARGETS: Operation = Operation::GetSamplingTargets;
const STATISTICS: Operation = Operation::GetSamplingStatisticSummaries;

/// Checks rules from their making to their end.
pub(super) async fn check(exam: &mut Exam, fixture: &Fixture) -> Result<(), Stop> {
    let name = fixture.name("rule");
    let rule = rule(&name);
    let right = json!({ "SamplingRule": rule });
    let mut plain = rule.clone();
    if let Some(members) = plain.as_object_mut() {
        // Clients that know no boost fail over the member itself.
        members.insert("SamplingRateBoost".to_owned(), Value::Null);
    }
    let record = json!({ "SamplingRule": plain, "CreatedAt": ANY, "ModifiedAt": ANY });
    let wants = [Like("/SamplingRuleRecord", record.clone())];
    let made = exam
        .passes(CREATE, "a new rule is answered whole", &right, &wants)
        .await?;
    let arn = made
        .pointer("/SamplingRuleRecord/SamplingRule/RuleARN")
        .and_then(Value::as_str);
    let arn = arn
        .unwrap_or("arn:aws:xray:us-east-1:000000000000:sampling-rule/conform-none")
        .to_owned();
    let is_arn = arn.starts_with("arn:") && arn.ends_with(&format!(":sampling-rule/{name}"));
    exam.note(
        CREATE,
        "its ARN has its name",
        is_arn.then_some(()).ok_or_else(|| format!("'{arn}'")),
    );
    exam.passes(
        LIST,
        "a rule is read back",
        json!({}),
        &[Holds("/SamplingRuleRecords", record)],
    )
    .await?;
    list(exam).await?;
    creation_refusals(exam, fixture, &rule).await?;
    update(exam, &name, &arn).await?;
    targets(exam, fixture, &name).await?;
    delete(exam, fixture, &name, &arn).await
}

fn rule(name: &str) -> Value {
    json!({
        "RuleName": name, "ResourceARN": "*", "Priority": 9000, "FixedRate": 0.25, "ReservoirSize": 7,
        "ServiceName": "conform", "ServiceType": "*", "Host": "*", "HTTPMethod": "GET", "URLPath": "/conform/*",
        "Version": 1, "Attributes": { "stage": "test" },
    })
}

fn rule_with(name: &str, member: &str, value: Value) -> Value {
    let mut rule = rule(name);
    if let Some(members) = rule.as_object_mut() {
        members.insert(member.to_owned(), value);
    }
    json!({ "SamplingRule": rule })
}

async fn list(exam: &mut Exam) -> Result<(), Stop> {
    let default = json!({ "SamplingRule": {
        "RuleName": "Default", "RuleARN": ANY, "ResourceARN": "*", "Priority": 10000, "FixedRate": ANY, "ReservoirSize": ANY,
        "ServiceName": "*", "ServiceType": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "*", "Version": 1, "Attributes": ANY,
    }, "CreatedAt": ANY, "ModifiedAt": ANY });
    let wants = [Holds("/SamplingRuleRecords", default)];
    exam.passes(
        LIST,
        "the Default rule is there and whole",
        json!({}),
        &wants,
    )
    .await?;
    let rules = [Holds("/SamplingRuleRecords", json!({}))];
    exam.passes(
        LIST,
        "an unsigned call with an empty body is served",
        Ask::empty().bare(),
        &rules,
    )
    .await?;
    let go = Ask::raw("{\"NextToken\": null}").bare();
    exam.passes(LIST, "a token that is null is none", go, &rules)
        .await?;
    constraints::check_tolerance(exam, LIST, &json!({})).await?;
    constraints::check(exam, LIST, &json!({})).await?;
    exam.refuses(
        LIST,
        "a token nobody gave is refused",
        json!({ "NextToken": "conform" }),
        INVALID,
    )
    .await
}

async fn creation_refusals(exam: &mut Exam, fixture: &Fixture, rule: &Value) -> Result<(), Stop> {
    let bad = fixture.name("bad");
    for (name, body) in [
        (
            "a second rule of a name is refused",
            json!({ "SamplingRule": rule }),
        ),
        (
            "a rule named Default is refused",
            rule_with("Default", "Version", json!(1)),
        ),
        (
            "a rule without a name is refused",
            rule_with(&bad, "RuleName", Value::Null),
        ),
        (
            "a version other than 1 is refused",
            rule_with(&bad, "Version", json!(2)),
        ),
    ] {
        exam.refuses(CREATE, name, body, INVALID).await?;
    }
    let boost = json!({ "MaxRate": 0.5, "CooldownWindowMinutes": 10 });
    let boosted = rule_with(&fixture.name("boosted"), "SamplingRateBoost", boost.clone());
    let wants = [Like(
        "/SamplingRuleRecord/SamplingRule/SamplingRateBoost",
        boost,
    )];
    exam.passes(CREATE, "a rule may have a boost", &boosted, &wants)
        .await?;
    let tolerant = rule_with(&fixture.name("tolerant"), "Version", json!(1));
    constraints::check_tolerance(exam, CREATE, &tolerant).await?;
    let mut wrong = rule_with(
        &fixture.name("wrong"),
        "SamplingRateBoost",
        json!({ "MaxRate": 0.5, "CooldownWindowMinutes": 1 }),
    );
    if let Some(members) = wrong.as_object_mut() {
        members.insert("Tags".to_owned(), json!([{ "Key": "k", "Value": "v" }]));
    }
    constraints::check(exam, CREATE, &wrong).await
}

async fn update(exam: &mut Exam, name: &str, arn: &str) -> Result<(), Stop> {
    let change = |members: Value| json!({ "SamplingRuleUpdate": members });
    let body = change(json!({ "RuleName": name, "FixedRate": 0.5, "URLPath": "/changed" }));
    let mut after = rule(name);
    for (member, value) in [("FixedRate", json!(0.5)), ("URLPath", json!("/changed"))] {
        if let Some(members) = after.as_object_mut() {
            members.insert(member.to_owned(), value);
        }
    }
    let wants = [Like("/SamplingRuleRecord/SamplingRule", after.clone())];
    exam.passes(
        UPDATE,
        "what is named is changed and the rest stays",
        &body,
        &wants,
    )
    .await?;
    let wants = [Holds(
        "/SamplingRuleRecords",
        json!({ "SamplingRule": after }),
    )];
    exam.passes(LIST, "a change is read back", json!({}), &wants)
        .await?;
    let by_arn = change(json!({ "RuleARN": arn, "ReservoirSize": 8 }));
    let wants = [Like(
        "/SamplingRuleRecord/SamplingRule",
        json!({ "ReservoirSize": 8, "FixedRate": 0.5 }),
    )];
    exam.passes(UPDATE, "a rule is changed by its ARN", by_arn, &wants)
        .await?;
    let right = change(
        json!({ "RuleName": name, "SamplingRateBoost": { "MaxRate": 0.75, "CooldownWindowMinutes": 1 } }),
    );
    constraints::check_tolerance(exam, UPDATE, &right).await?;
    constraints::check(exam, UPDATE, &right).await?;
    update_refusals(exam, name, arn).await
}

async fn update_refusals(exam: &mut Exam, name: &str, arn: &str) -> Result<(), Stop> {
    for (name, members) in [
        (
            "an unknown rule is refused",
            json!({ "RuleName": format!("{name}-no"), "FixedRate": 0.5 }),
        ),
        (
            "a call that names no rule is refused",
            json!({ "FixedRate": 0.5 }),
        ),
        (
            "name and ARN at once are refused",
            json!({ "RuleName": name, "RuleARN": arn, "FixedRate": 0.5 }),
        ),
        (
            "a priority of 0 is refused",
            json!({ "RuleName": name, "Priority": 0 }),
        ),
        (
            "a priority of 10000 is refused",
            json!({ "RuleName": name, "Priority": 10000 }),
        ),
        (
            "a rate above 1 is refused",
            json!({ "RuleName": name, "FixedRate": 1.5 }),
        ),
        (
            "a negative reservoir is refused",
            json!({ "RuleName": name, "ReservoirSize": -1 }),
        ),
        (
            "the Default rule keeps its priority",
            json!({ "RuleName": "Default", "Priority": 5 }),
        ),
        (
            "the Default rule keeps its matchers",
            json!({ "RuleName": "Default", "Host": "conform" }),
        ),
    ] {
        let body = json!({ "SamplingRuleUpdate": members });
        exam.refuses(UPDATE, name, body, INVALID).await?;
    }
    Ok(())
}

async fn targets(exam: &mut Exam, fixture: &Fixture, name: &str) -> Result<(), Stop> {
    let report = |rule: &str| {
        json!({
            "RuleName": rule, "ClientID": format!("{}0123456789abcdef", fixture.run), "Timestamp": fixture.base + 85,
            "RequestCount": 10, "SampledCount": 3, "BorrowCount": 1,
        })
    };
    let right = json!({ "SamplingStatisticsDocuments": [report(name)] });
    let target = json!({ "RuleName": name, "FixedRate": 0.5, "ReservoirQuota": ANY, "ReservoirQuotaTTL": ANY, "Interval": ANY });
    let wants = [
        Holds("/SamplingTargetDocuments", target.clone()),
        Like("/LastRuleModification", json!(ANY)),
    ];
    let answer = exam
        .passes(TARGETS, "a client gets a share of a rule", &right, &wants)
        .await?;
    shares(exam, &answer).await?;
    exam.passes(
        TARGETS,
        "an unsigned call is served",
        Ask::from(&right).bare(),
        &[Holds("/SamplingTargetDocuments", target)],
    )
    .await?;
    let unknown = fixture.name("nobody");
    let both = json!({ "SamplingStatisticsDocuments": [report(name), report(&unknown)] });
    let wants = [
        Holds("/SamplingTargetDocuments", json!({ "RuleName": name })),
        Holds(
            "/UnprocessedStatistics",
            json!({ "RuleName": unknown, "ErrorCode": ANY, "Message": ANY }),
        ),
    ];
    exam.passes(
        TARGETS,
        "an unknown rule is told and stops nothing",
        both,
        &wants,
    )
    .await?;
    statistics(exam, fixture, name, &report(name)).await
}

/// Checks what a client that is alone is given of the reservoir of 8, and that it is told of the last change.
async fn shares(exam: &mut Exam, answer: &Value) -> Result<(), Stop> {
    let quota = answer
        .pointer("/SamplingTargetDocuments/0/ReservoirQuota")
        .and_then(Value::as_i64);
    let is_share = quota.is_some_and(|quota| (0..=8).contains(&quota));
    exam.note(
        TARGETS,
        "the share is of the reservoir",
        is_share
            .then_some(())
            .ok_or_else(|| format!("{quota:?} of 8")),
    );
    let rules = exam.call(LIST, &json!({})).await?;
    let records = rules.get("SamplingRuleRecords").and_then(Value::as_array);
    let changes = records
        .into_iter()
        .flatten()
        .filter_map(|record| record.get("ModifiedAt")?.as_f64());
    let newest = changes.fold(0.0, f64::max);
    let told = answer.get("LastRuleModification").and_then(Value::as_f64);
    // Rules may be told of by whole seconds.
    let is_told = newest > 0.0 && told.is_some_and(|told| told >= newest.floor());
    exam.note(
        TARGETS,
        "the last change of a rule is told",
        is_told
            .then_some(())
            .ok_or_else(|| format!("{told:?}, not {newest}")),
    );
    Ok(())
}

async fn statistics(
    exam: &mut Exam,
    fixture: &Fixture,
    name: &str,
    report: &Value,
) -> Result<(), Stop> {
    let right = json!({ "SamplingStatisticsDocuments": [report] });
    let boost = json!({
        "RuleName": name, "ServiceName": "conform", "Timestamp": fixture.base + 85, "AnomalyCount": 0, "TotalCount": 10,
        "SampledAnomalyCount": 0,
    });
    let boosted = json!({ "SamplingStatisticsDocuments": [report], "SamplingBoostStatisticsDocuments": [boost] });
    exam.passes(
        TARGETS,
        "statistics of anomalies are taken",
        &boosted,
        &[Holds(
            "/SamplingTargetDocuments",
            json!({ "RuleName": name }),
        )],
    )
    .await?;
    constraints::check_tolerance(exam, TARGETS, &right).await?;
    constraints::check(exam, TARGETS, &boosted).await?;
    let summary = json!({ "RuleName": name, "Timestamp": ANY, "RequestCount": ANY, "BorrowCount": ANY, "SampledCount": ANY });
    let wants = [Holds("/SamplingStatisticSummaries", summary)];
    exam.settles(
        STATISTICS,
        "what clients report is summed up",
        &json!({}),
        &wants,
    )
    .await?;
    exam.passes(STATISTICS, "an empty body will do", Ask::empty(), &[])
        .await?;
    constraints::check_tolerance(exam, STATISTICS, &json!({})).await?;
    constraints::check(exam, STATISTICS, &json!({})).await?;
    exam.refuses(
        STATISTICS,
        "a token nobody gave is refused",
        json!({ "NextToken": "conform" }),
        INVALID,
    )
    .await
}

async fn delete(exam: &mut Exam, fixture: &Fixture, name: &str, arn: &str) -> Result<(), Stop> {
    for (what, body) in [
        (
            "an unknown rule is refused",
            json!({ "RuleName": fixture.name("nobody") }),
        ),
        ("a call that names no rule is refused", json!({})),
        (
            "name and ARN at once are refused",
            json!({ "RuleName": name, "RuleARN": arn }),
        ),
        ("the Default rule stays", json!({ "RuleName": "Default" })),
    ] {
        exam.refuses(DELETE, what, body, INVALID).await?;
    }
    constraints::check(exam, DELETE, &json!({ "RuleName": fixture.name("nobody") })).await?;
    let deleted = [Like(
        "/SamplingRuleRecord/SamplingRule",
        json!({ "RuleName": name, "RuleARN": arn }),
    )];
    exam.passes(
        DELETE,
        "a deleted rule is answered as it was",
        json!({ "RuleARN": arn }),
        &deleted,
    )
    .await?;
    let gone = [Lacks(
        "/SamplingRuleRecords",
        json!({ "SamplingRule": { "RuleName": name } }),
    )];
    exam.passes(LIST, "a deleted rule is gone", json!({}), &gone)
        .await?;
    exam.refuses(
        UPDATE,
        "a deleted rule is not changed",
        json!({ "SamplingRuleUpdate": { "RuleName": name, "FixedRate": 1 } }),
        INVALID,
    )
    .await?;
    constraints::check_tolerance(
        exam,
        DELETE,
        &json!({ "RuleName": fixture.name("tolerant") }),
    )
    .await
}

/// Fills the account with rules until one more is refused; deletes nothing.
pub(super) async fn fill(exam: &mut Exam, fixture: &Fixture) -> Result<(), Stop> {
    let rules = exam.call(LIST, &json!({})).await?;
    let n_rules = rules
        .get("SamplingRuleRecords")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    // Default is not one of the 25.
    for number in n_rules..26 {
        let body = rule_with(
            &fixture.name(&format!("full-{number}")),
            "Priority",
            json!(9999),
        );
        exam.call(CREATE, &body).await?;
    }
    let body = rule_with(&fixture.name("too-many"), "Priority", json!(9999));
    exam.refuses(
        CREATE,
        "a 26th rule is refused",
        body,
        &["RuleLimitExceededException"],
    )
    .await
}
