//! What an account has set: encryption, resource policies, indexing, where segments go.
//!
//! Encryption, indexing and destination are the whole account's: unless changes are allowed, they are only
//! set to what they are anyway.

use protocol::Operation;
use serde_json::{Value, json};

use super::ask::Ask;
use super::constraints;
use super::exam::Exam;
use super::fixture::Fixture;
use super::want::Want::{Holds, Lacks, Like};
use super::want::{ANY, INVALID, MALFORMED, NOT_FOUND};
use crate::exit::Stop;

const GET_ENCRYPTION: Operation = Operation::GetEncryptionConfig;
const PUT_ENCRYPTION: Operation = Operation::PutEncryptionConfig;
const PUT_POLICY: Operation = Operation::PutResourcePolicy;
const DELETE_POLICY: Operation = Operation::DeleteResourcePolicy;
const LIST_POLICIES: Operation = Operation::ListResourcePolicies;
const GET_INDEXING: Operation = Operation::GetIndexingRules;
const UPDATE_INDEXING: Operation = Operation::UpdateIndexingRule;
const GET_DESTINATION: Operation = Operation::GetTraceSegmentDestination;
const UPDATE_DESTINATION: Operation = Operation::UpdateTraceSegmentDestination;

/// Checks how data is encrypted.
pub(super) async fn encryption(exam: &mut Exam, may_change: bool) -> Result<(), Stop> {
    let whole = Like("/EncryptionConfig", json!({ "Type": ANY, "Status": ANY }));
    let before = exam
        .passes(
            GET_ENCRYPTION,
            "a call without a body is served",
            Ask::empty(),
            std::slice::from_ref(&whole),
        )
        .await?;
    exam.passes(
        GET_ENCRYPTION,
        "an empty object will do",
        json!({}),
        std::slice::from_ref(&whole),
    )
    .await?;
    constraints::check_tolerance(exam, GET_ENCRYPTION, &json!({})).await?;
    let before = before
        .get("EncryptionConfig")
        .cloned()
        .unwrap_or(Value::Null);
    let mut same = json!({ "Type": before.get("Type") });
    if let (Some(key), Some(members)) = (before.get("KeyId"), same.as_object_mut()) {
        members.insert("KeyId".to_owned(), key.clone());
    }
    if may_change {
        key(exam).await?;
    }
    let after = Like(
        "/EncryptionConfig",
        json!({ "Type": before.get("Type"), "Status": ANY }),
    );
    exam.passes(
        PUT_ENCRYPTION,
        "the type is set",
        &same,
        std::slice::from_ref(&after),
    )
    .await?;
    exam.settles(
        GET_ENCRYPTION,
        "what was set is read back",
        &json!({}),
        std::slice::from_ref(&after),
    )
    .await?;
    exam.refuses(
        PUT_ENCRYPTION,
        "KMS without a key is refused",
        json!({ "Type": "KMS" }),
        INVALID,
    )
    .await?;
    constraints::check_tolerance(exam, PUT_ENCRYPTION, &same).await?;
    constraints::check(exam, PUT_ENCRYPTION, &same).await
}

async fn key(exam: &mut Exam) -> Result<(), Stop> {
    let kms = json!({ "Type": "KMS", "KeyId": "alias/conform" });
    let wants = [Like(
        "/EncryptionConfig",
        json!({ "Type": "KMS", "KeyId": ANY, "Status": ANY }),
    )];
    exam.passes(PUT_ENCRYPTION, "a key is set", &kms, &wants)
        .await?;
    let wants = [Like(
        "/EncryptionConfig",
        json!({ "Type": "KMS", "KeyId": ANY, "Status": "ACTIVE" }),
    )];
    exam.settles(
        GET_ENCRYPTION,
        "a key that was set becomes active",
        &json!({}),
        &wants,
    )
    .await?;
    Ok(())
}

/// Checks resource policies from their making to their end.
pub(super) async fn policies(exam: &mut Exam, fixture: &Fixture) -> Result<(), Stop> {
    let name = fixture.name("policy");
    let document = policy("xray:PutTraceSegments");
    let right = json!({ "PolicyName": name, "PolicyDocument": document });
    let whole = json!({ "PolicyName": name, "PolicyDocument": document, "PolicyRevisionId": ANY, "LastUpdatedTime": ANY });
    let first = json!({ "PolicyName": name, "PolicyDocument": document, "PolicyRevisionId": "0" });
    let made = exam
        .passes(
            PUT_POLICY,
            "a policy is made if there is none",
            &first,
            &[Like("/ResourcePolicy", whole.clone())],
        )
        .await?;
    let revision = made
        .pointer("/ResourcePolicy/PolicyRevisionId")
        .cloned()
        .unwrap_or(Value::Null);
    exam.passes(
        LIST_POLICIES,
        "a policy is read back",
        json!({}),
        &[Holds("/ResourcePolicies", whole)],
    )
    .await?;
    let stale = &["InvalidPolicyRevisionIdException"];
    exam.refuses(
        PUT_POLICY,
        "a policy that exists is not made anew",
        &first,
        stale,
    )
    .await?;
    policy_change(exam, &name, &revision).await?;
    exam.passes(
        PUT_POLICY,
        "a policy is changed whatever its revision",
        &right,
        &[],
    )
    .await?;
    policy_refusals(exam, fixture, &name).await?;
    constraints::check_tolerance(exam, PUT_POLICY, &right).await?;
    constraints::check(
        exam,
        PUT_POLICY,
        &json!({ "PolicyName": fixture.name("wrong"), "PolicyDocument": document }),
    )
    .await?;
    constraints::check(exam, LIST_POLICIES, &json!({})).await?;
    constraints::check_tolerance(exam, LIST_POLICIES, &json!({})).await?;
    policy_end(exam, fixture, &right, &revision).await
}

/// Changes a policy that is at a revision.
async fn policy_change(exam: &mut Exam, name: &str, revision: &Value) -> Result<(), Stop> {
    let stale = &["InvalidPolicyRevisionIdException"];
    let changed = json!({ "PolicyName": name, "PolicyDocument": policy("xray:*"), "PolicyRevisionId": revision });
    let after = [Like(
        "/ResourcePolicy",
        json!({ "PolicyName": name, "PolicyDocument": policy("xray:*") }),
    )];
    let answer = exam
        .passes(
            PUT_POLICY,
            "a policy is changed at its revision",
            &changed,
            &after,
        )
        .await?;
    let next = answer.pointer("/ResourcePolicy/PolicyRevisionId");
    let is_new = next.is_some_and(|next| next.is_string() && next != revision);
    exam.note(
        PUT_POLICY,
        "a change makes another revision",
        is_new
            .then_some(())
            .ok_or_else(|| format!("still {revision}")),
    );
    exam.refuses(PUT_POLICY, "another revision is refused", &changed, stale)
        .await?;
    Ok(())
}

/// Deletes the policy a request has made, which is past a revision.
async fn policy_end(
    exam: &mut Exam,
    fixture: &Fixture,
    right: &Value,
    revision: &Value,
) -> Result<(), Stop> {
    let name = right.get("PolicyName");
    let stale = &["InvalidPolicyRevisionIdException"];
    let name_at = json!({ "PolicyName": name, "PolicyRevisionId": revision });
    exam.refuses(
        DELETE_POLICY,
        "another revision is refused",
        &name_at,
        stale,
    )
    .await?;
    constraints::check(
        exam,
        DELETE_POLICY,
        &json!({ "PolicyName": fixture.name("nobody") }),
    )
    .await?;
    exam.passes(
        DELETE_POLICY,
        "a policy is deleted",
        json!({ "PolicyName": name }),
        &[Like("", json!({}))],
    )
    .await?;
    let gone = [Lacks("/ResourcePolicies", json!({ "PolicyName": name }))];
    exam.passes(LIST_POLICIES, "a deleted policy is gone", json!({}), &gone)
        .await?;
    exam.call(PUT_POLICY, right).await?;
    constraints::check_tolerance(exam, DELETE_POLICY, &json!({ "PolicyName": name })).await
}

async fn policy_refusals(exam: &mut Exam, fixture: &Fixture, name: &str) -> Result<(), Stop> {
    let put = |document: &str| json!({ "PolicyName": name, "PolicyDocument": document });
    let large = policy(&format!("xray:{}", "x".repeat(5120)));
    let shut = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Deny", "Principal": "*", "Action": "xray:*", "Resource": "*" },
    ] });
    for (what, body, code) in [
        (
            "a policy that is no JSON is refused",
            put("{"),
            "MalformedPolicyDocumentException",
        ),
        (
            "a policy without statements is refused",
            put("{}"),
            "MalformedPolicyDocumentException",
        ),
        (
            "a policy of more than 5 KB is refused",
            put(&large),
            "PolicySizeLimitExceededException",
        ),
        (
            "a policy that shuts its author out is refused",
            put(&shut.to_string()),
            "LockoutPreventionException",
        ),
    ] {
        let codes: &'static [&'static str] = match code {
            "MalformedPolicyDocumentException" => &["MalformedPolicyDocumentException"],
            "PolicySizeLimitExceededException" => &["PolicySizeLimitExceededException"],
            _ => &["LockoutPreventionException"],
        };
        exam.refuses(PUT_POLICY, what, body, codes).await?;
    }
    let mut bypassed = put(&shut.to_string());
    if let Some(members) = bypassed.as_object_mut() {
        members.insert("PolicyName".to_owned(), fixture.name("shut").into());
        members.insert("BypassPolicyLockoutCheck".to_owned(), true.into());
    }
    exam.passes(
        PUT_POLICY,
        "one may insist on shutting oneself out",
        bypassed,
        &[],
    )
    .await?;
    exam.call(
        DELETE_POLICY,
        &json!({ "PolicyName": fixture.name("shut") }),
    )
    .await?;
    Ok(())
}

/// Fills the account with policies until one more is refused; deletes nothing.
pub(super) async fn fill(exam: &mut Exam, fixture: &Fixture) -> Result<(), Stop> {
    let policies = exam.call(LIST_POLICIES, &json!({})).await?;
    let n_policies = policies
        .get("ResourcePolicies")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    let put = |what: &str| json!({ "PolicyName": fixture.name(what), "PolicyDocument": policy("xray:GetGroups") });
    for number in n_policies..5 {
        exam.call(PUT_POLICY, &put(&format!("full-{number}")))
            .await?;
    }
    exam.refuses(
        PUT_POLICY,
        "a sixth policy is refused",
        put("too-many"),
        &["PolicyCountLimitExceededException"],
    )
    .await
}

fn policy(action: &str) -> String {
    let statement = json!({
        "Sid": "Conform", "Effect": "Allow", "Principal": { "Service": "sns.amazonaws.com" }, "Action": action, "Resource": "*",
    });
    json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
}

/// Checks how many spans are indexed.
pub(super) async fn indexing(exam: &mut Exam, may_change: bool) -> Result<(), Stop> {
    let rule = json!({ "Name": "Default", "ModifiedAt": ANY, "Rule": { "Probabilistic": { "DesiredSamplingPercentage": ANY } } });
    let wants = [Holds("/IndexingRules", rule)];
    let before = exam
        .passes(GET_INDEXING, "the Default rule is there", json!({}), &wants)
        .await?;
    exam.passes(GET_INDEXING, "an empty body will do", Ask::empty(), &wants)
        .await?;
    constraints::check_tolerance(exam, GET_INDEXING, &json!({})).await?;
    constraints::check(exam, GET_INDEXING, &json!({})).await?;
    let desired = before
        .pointer("/IndexingRules/0/Rule/Probabilistic/DesiredSamplingPercentage")
        .cloned();
    let desired = desired.unwrap_or(json!(1));
    let set = |name: &str, percentage: &Value| json!({ "Name": name, "Rule": { "Probabilistic": { "DesiredSamplingPercentage": percentage } } });
    if may_change {
        changed_indexing(exam, &set("Default", &json!(12.5))).await?;
    }
    let same = set("Default", &desired);
    let probabilistic = json!({ "DesiredSamplingPercentage": desired });
    let wants = [Like("/IndexingRule/Rule/Probabilistic", probabilistic)];
    exam.passes(UPDATE_INDEXING, "a rule is set", &same, &wants)
        .await?;
    exam.refuses(
        UPDATE_INDEXING,
        "an unknown rule is not found",
        set("conform-nobody", &desired),
        NOT_FOUND,
    )
    .await?;
    for percentage in [-1, 101] {
        let name = format!("a percentage of {percentage} is refused");
        exam.refuses(
            UPDATE_INDEXING,
            &name,
            set("Default", &json!(percentage)),
            INVALID,
        )
        .await?;
    }
    constraints::check_tolerance(exam, UPDATE_INDEXING, &same).await?;
    constraints::check(exam, UPDATE_INDEXING, &same).await
}

async fn changed_indexing(exam: &mut Exam, change: &Value) -> Result<(), Stop> {
    let after = json!({ "Name": "Default", "ModifiedAt": ANY, "Rule": change.get("Rule") });
    exam.passes(
        UPDATE_INDEXING,
        "a rule is changed",
        change,
        &[Like("/IndexingRule", after.clone())],
    )
    .await?;
    exam.passes(
        GET_INDEXING,
        "a change is read back",
        json!({}),
        &[Holds("/IndexingRules", after)],
    )
    .await?;
    Ok(())
}

/// Checks where segments go.
pub(super) async fn destination(exam: &mut Exam, may_change: bool) -> Result<(), Stop> {
    let whole = [Like("", json!({ "Destination": ANY, "Status": ANY }))];
    let before = exam
        .passes(
            GET_DESTINATION,
            "a call without a body is served",
            Ask::empty(),
            &whole,
        )
        .await?;
    exam.passes(
        GET_DESTINATION,
        "an empty object will do",
        json!({}),
        &whole,
    )
    .await?;
    constraints::check_tolerance(exam, GET_DESTINATION, &json!({})).await?;
    if may_change {
        let logs = json!({ "Destination": "CloudWatchLogs" });
        let set = [Like(
            "",
            json!({ "Destination": "CloudWatchLogs", "Status": ANY }),
        )];
        exam.passes(
            UPDATE_DESTINATION,
            "segments are sent elsewhere",
            &logs,
            &set,
        )
        .await?;
        let active = [Like(
            "",
            json!({ "Destination": "CloudWatchLogs", "Status": "ACTIVE" }),
        )];
        exam.settles(
            GET_DESTINATION,
            "a change becomes active",
            &json!({}),
            &active,
        )
        .await?;
    }
    let destination = before.get("Destination").cloned().unwrap_or(json!("XRay"));
    let same = json!({ "Destination": destination });
    let after = [Like("", same.clone())];
    exam.passes(UPDATE_DESTINATION, "the destination is set", &same, &after)
        .await?;
    exam.settles(
        GET_DESTINATION,
        "what was set is read back",
        &json!({}),
        &after,
    )
    .await?;
    let key = json!({ "Destination": "XRay", "CloudWatchLogsConfiguration": { "SpansLogGroupKmsKeyId": "alias/conform" } });
    exam.refuses(
        UPDATE_DESTINATION,
        "a key for logs goes with logs only",
        key,
        MALFORMED,
    )
    .await?;
    constraints::check_tolerance(exam, UPDATE_DESTINATION, &same).await?;
    constraints::check(exam, UPDATE_DESTINATION, &same).await
}
