//! Leaving a server as it was: what a run made is removed, what the account had set is set again.

use protocol::Operation;
use serde_json::{Value, json};

use super::exam::Exam;
use super::fixture::Fixture;
use crate::exit::Stop;

/// What the account had set.
#[derive(Debug)]
pub(super) struct Before {
    encryption: Value,
    destination: Value,
    indexing: Value,
}

/// Returns what the account has set; it is the first that is asked, so that it also tells whether anybody is there.
pub(super) async fn remember(exam: &mut Exam) -> Result<Before, Stop> {
    Ok(Before {
        encryption: exam
            .call(Operation::GetEncryptionConfig, &json!({}))
            .await?,
        destination: exam
            .call(Operation::GetTraceSegmentDestination, &json!({}))
            .await?,
        indexing: exam.call(Operation::GetIndexingRules, &json!({})).await?,
    })
}

/// Removes what a run made and sets what it changed.
pub(super) async fn clean_up(
    exam: &mut Exam,
    fixture: &Fixture,
    before: &Before,
) -> Result<(), Stop> {
    let prefix = fixture.name("");
    for made in MADE {
        let listed = exam.call(made.list, &json!({})).await?;
        for item in listed
            .pointer(made.items)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let name = item
                .pointer(made.name)
                .and_then(Value::as_str)
                .unwrap_or_default();
            if name.starts_with(&prefix) {
                exam.call(made.delete, &json!({ made.key: name })).await?;
            }
        }
    }
    set_again(exam, before).await
}

async fn set_again(exam: &mut Exam, before: &Before) -> Result<(), Stop> {
    let now = remember(exam).await?;
    let encryption = before.encryption.get("EncryptionConfig");
    let kind = encryption.and_then(|encryption| encryption.get("Type"));
    let key = encryption.and_then(|encryption| encryption.get("KeyId"));
    if kind.is_some() && !same_encryption(&now.encryption, &before.encryption) {
        let body = json!({ "Type": kind, "KeyId": key });
        exam.call(Operation::PutEncryptionConfig, &body).await?;
    }
    let destination = before.destination.get("Destination");
    if destination.is_some() && now.destination.get("Destination") != destination {
        let body = json!({ "Destination": destination });
        exam.call(Operation::UpdateTraceSegmentDestination, &body)
            .await?;
    }
    let percentage = before.indexing.pointer(PERCENTAGE);
    if percentage.is_some() && now.indexing.pointer(PERCENTAGE) != percentage {
        let rule = json!({ "Probabilistic": { "DesiredSamplingPercentage": percentage } });
        let body = json!({ "Name": "Default", "Rule": rule });
        exam.call(Operation::UpdateIndexingRule, &body).await?;
    }
    Ok(())
}

fn same_encryption(now: &Value, before: &Value) -> bool {
    let of = |config: &Value, member: &str| {
        config
            .pointer(&format!("/EncryptionConfig/{member}"))
            .cloned()
    };
    ["Type", "KeyId"]
        .iter()
        .all(|member| of(now, member) == of(before, member))
}

/// A kind of thing a run makes: how it is listed and deleted.
struct Made {
    list: Operation,
    items: &'static str,
    name: &'static str,
    delete: Operation,
    key: &'static str,
}

const MADE: &[Made] = &[
    Made {
        list: Operation::GetGroups,
        items: "/Groups",
        name: "/GroupName",
        delete: Operation::DeleteGroup,
        key: "GroupName",
    },
    Made {
        list: Operation::GetSamplingRules,
        items: "/SamplingRuleRecords",
        name: "/SamplingRule/RuleName",
        delete: Operation::DeleteSamplingRule,
        key: "RuleName",
    },
    Made {
        list: Operation::ListResourcePolicies,
        items: "/ResourcePolicies",
        name: "/PolicyName",
        delete: Operation::DeleteResourcePolicy,
        key: "PolicyName",
    },
];
const PERCENTAGE: &str = "/IndexingRules/0/Rule/Probabilistic/DesiredSamplingPercentage";
