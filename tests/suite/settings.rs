//! Encryption, resource policies, indexing rules and the destination of segments on the wire.

use anyhow::{Context, Result};
use roentgen_tests::server::list;
use roentgen_tests::wait::now;
use roentgen_tests::{Home, Response, Server};
use serde_json::{Value, json};

use crate::fixture::assert_error;
use crate::groups::assert_resource_error;

const KEY: &str = "c234g4e8-39e9-4gb0-84e2-b0ea215cbba5";
const ALLOW: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":["xray:PutTraceSegments"],"Resource":"*"}]}"#;
const DENY: &str = r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}"#;

fn encryption(server: &Server) -> Result<Value> {
    // Clients send no body at all where a request has no members.
    let mut connection = server.connect()?;
    connection
        .request("POST", "/EncryptionConfig", &[], b"")?
        .success()
}

fn put_policy(server: &Server, name: &str, members: &Value) -> Result<Response> {
    let mut request = json!({ "PolicyName": name, "PolicyDocument": ALLOW });
    for (member, value) in members.as_object().context("members")? {
        request[member] = value.clone();
    }
    server.post("/PutResourcePolicy", &request)
}

/// Returns names and revisions of all policies.
fn policies(server: &Server) -> Result<Value> {
    let answer = server
        .post("/ListResourcePolicies", &json!({}))?
        .success()?;
    assert_eq!(answer.get("NextToken"), None);
    let policies = list(&answer, "ResourcePolicies")?;
    let revisions = policies
        .iter()
        .map(|policy| json!([policy["PolicyName"], policy["PolicyRevisionId"]]));
    Ok(revisions.collect())
}

#[test]
fn encryption_is_configured_and_stays() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let none = |status: &str| json!({ "EncryptionConfig": { "Status": status, "Type": "NONE" } });
    assert_eq!(encryption(&server)?, none("ACTIVE"));
    let with_key = |status: &str| {
        let key_arn = format!("arn:aws:kms:us-east-1:000000000000:key/{KEY}");
        json!({ "EncryptionConfig": { "KeyId": key_arn, "Status": status, "Type": "KMS" } })
    };
    let request = json!({ "Type": "KMS", "KeyId": KEY });
    let answer = server.post("/PutEncryptionConfig", &request)?.success()?;
    assert_eq!(answer, with_key("UPDATING"));
    assert_eq!(encryption(&server)?, with_key("ACTIVE"));
    for request in [
        json!({}),
        json!({ "Type": "AES" }),
        json!({ "Type": "KMS" }),
        json!({ "Type": "KMS", "KeyId": "" }),
        json!({ "Type": "KMS", "KeyId": "what" }),
    ] {
        let response = server.post("/PutEncryptionConfig", &request)?;
        assert_error(&response, 400, "InvalidRequestException")
            .with_context(|| request.to_string())?;
    }
    server.kill9()?;

    let server = home.start()?;
    assert_eq!(encryption(&server)?, with_key("ACTIVE"));
    let answer = server
        .post("/PutEncryptionConfig", &json!({ "Type": "NONE" }))?
        .success()?;
    assert_eq!(answer, none("UPDATING"));
    assert!(server.terminate()?.success());
    assert_eq!(encryption(&home.start()?)?, none("ACTIVE"));
    Ok(())
}

#[test]
fn policies_have_revisions() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let begun = f64::from(now());
    assert_eq!(policies(&server)?, json!([]));
    let only_new = json!({ "PolicyRevisionId": "0" });
    let mut answer = put_policy(&server, "p", &only_new)?.success()?;
    let updated_at = answer["ResourcePolicy"]["LastUpdatedTime"].take();
    assert!(updated_at.as_f64().is_some_and(|at| at >= begun));
    let expected = json!({
        "PolicyName": "p", "PolicyDocument": ALLOW, "PolicyRevisionId": "1", "LastUpdatedTime": null,
    });
    assert_eq!(answer, json!({ "ResourcePolicy": expected }));
    let bypass = json!({ "PolicyDocument": DENY, "BypassPolicyLockoutCheck": true });
    let answer = put_policy(&server, "p", &bypass)?.success()?;
    assert_eq!(answer["ResourcePolicy"]["PolicyRevisionId"], "2");
    assert_eq!(answer["ResourcePolicy"]["PolicyDocument"], DENY);
    let third = json!({ "PolicyRevisionId": "2" });
    put_policy(&server, "p", &third)?.success()?;
    put_policy(&server, "a", &json!({}))?.success()?;
    assert_eq!(policies(&server)?, json!([["a", "1"], ["p", "3"]]));
    assert!(server.terminate()?.success());

    let server = home.start()?;
    assert_eq!(policies(&server)?, json!([["a", "1"], ["p", "3"]]));
    let delete = |name: &str, revision: &str| {
        let request = json!({ "PolicyName": name, "PolicyRevisionId": revision });
        server.post("/DeleteResourcePolicy", &request)
    };
    for (name, revision) in [("p", "2"), ("gone", "1")] {
        let refused = delete(name, revision)?;
        assert_error(&refused, 400, "InvalidPolicyRevisionIdException")?;
    }
    assert_eq!(delete("p", "3")?.success()?, json!({}));
    let gone = json!({ "PolicyName": "gone" });
    let answer = server.post("/DeleteResourcePolicy", &gone)?.success()?;
    assert_eq!(answer, json!({}));
    assert_eq!(policies(&server)?, json!([["a", "1"]]));
    put_policy(&server, "p", &only_new)?.success()?;
    server.kill9()?;
    assert_eq!(policies(&home.start()?)?, json!([["a", "1"], ["p", "1"]]));
    Ok(())
}

#[test]
fn every_fault_of_a_policy_has_its_own_error() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    put_policy(&server, "p", &json!({}))?.success()?;
    let check = |name: &str, members: Value, code: &str| -> Result<()> {
        let response = put_policy(&server, name, &members)?;
        assert_error(&response, 400, code)?;
        Ok(())
    };
    let document = |text: &str| json!({ "PolicyDocument": text });
    check("q", document("{"), "MalformedPolicyDocumentException")?;
    check("q", document("{}"), "MalformedPolicyDocumentException")?;
    check("q", document(DENY), "LockoutPreventionException")?;
    let long = document(&format!("{ALLOW:<5121}"));
    check("q", long, "PolicySizeLimitExceededException")?;
    let revision = |revision: &str| json!({ "PolicyRevisionId": revision });
    let code = "InvalidPolicyRevisionIdException";
    check("p", revision("0"), code)?;
    check("p", revision("2"), code)?;
    check("q", revision("1"), code)?;
    check("a b", json!({}), "InvalidRequestException")?;
    check(
        "q",
        json!({ "PolicyDocument": null }),
        "InvalidRequestException",
    )?;
    for name in ["a", "b", "c", "d"] {
        put_policy(&server, name, &json!({}))?.success()?;
    }
    check("q", json!({}), "PolicyCountLimitExceededException")?;
    let longest = document(&format!("{ALLOW:<5120}"));
    put_policy(&server, "p", &longest)?.success()?;
    for (path, request) in [
        ("/ListResourcePolicies", json!({ "NextToken": "x" })),
        ("/DeleteResourcePolicy", json!({})),
    ] {
        let response = server.post(path, &request)?;
        assert_error(&response, 400, "InvalidRequestException")?;
    }
    let all = json!([["a", "1"], ["b", "1"], ["c", "1"], ["d", "1"], ["p", "2"]]);
    assert_eq!(policies(&server)?, all);
    Ok(())
}

#[test]
fn the_indexing_rule_is_changed_and_stays() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let begun = f64::from(now());
    let rules = |server: &Server| server.post("/GetIndexingRules", &json!({}))?.success();
    let rule = |percentage: f64, modified_at: &Value| {
        let probabilistic = json!({
            "DesiredSamplingPercentage": percentage, "ActualSamplingPercentage": percentage,
        });
        json!({ "Name": "Default", "ModifiedAt": modified_at, "Rule": { "Probabilistic": probabilistic } })
    };
    let first = rules(&server)?;
    let made_at = first["IndexingRules"][0]["ModifiedAt"].clone();
    assert!(made_at.as_f64().is_some_and(|at| at >= begun - 60.0));
    assert_eq!(first, json!({ "IndexingRules": [rule(1.0, &made_at)] }));

    let update = |name: &str, percentage: f64| {
        let rule = json!({ "Probabilistic": { "DesiredSamplingPercentage": percentage } });
        let request = json!({ "Name": name, "Rule": rule });
        server.post("/UpdateIndexingRule", &request)
    };
    let updated = update("Default", 12.5)?.success()?;
    let modified_at = &updated["IndexingRule"]["ModifiedAt"];
    assert!(modified_at.as_f64() > made_at.as_f64(), "{updated}");
    assert_eq!(updated["IndexingRule"], rule(12.5, modified_at));
    assert_resource_error(
        &update("other", 1.0)?,
        404,
        "ResourceNotFoundException",
        "other",
    )?;
    for percentage in [-0.5, 100.5] {
        let refused = update("Default", percentage)?;
        assert_error(&refused, 400, "InvalidRequestException")?;
    }
    for (path, request) in [
        ("/UpdateIndexingRule", json!({ "Name": "Default" })),
        (
            "/UpdateIndexingRule",
            json!({ "Name": "Default", "Rule": {} }),
        ),
        ("/GetIndexingRules", json!({ "NextToken": "x" })),
    ] {
        let refused = server.post(path, &request)?;
        assert_error(&refused, 400, "InvalidRequestException")?;
    }
    let expected = json!({ "IndexingRules": [rule(12.5, modified_at)] });
    assert_eq!(rules(&server)?, expected);
    server.kill9()?;
    assert_eq!(rules(&home.start()?)?, expected);
    Ok(())
}

#[test]
fn the_destination_is_changed_and_stays() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let get = |server: &Server| {
        let mut connection = server.connect()?;
        connection
            .request("POST", "/GetTraceSegmentDestination", &[], b"")?
            .success()
    };
    let update =
        |server: &Server, request: Value| server.post("/UpdateTraceSegmentDestination", &request);
    let told =
        |destination: &str, status: &str| json!({ "Destination": destination, "Status": status });
    assert_eq!(get(&server)?, told("XRay", "ACTIVE"));
    let key_arn = format!("arn:aws:kms:us-east-1:000000000000:key/{KEY}");
    let logs = json!({ "SpansLogGroupKmsKeyId": key_arn });
    for request in [
        json!({ "Destination": "Elsewhere" }),
        json!({ "Destination": "XRay", "CloudWatchLogsConfiguration": logs }),
        json!({ "Destination": "CloudWatchLogs", "CloudWatchLogsConfiguration": { "SpansLogGroupKmsKeyId": KEY } }),
    ] {
        let refused = update(&server, request)?;
        assert_error(&refused, 400, "InvalidRequestException")?;
    }
    let with_key = json!({ "Destination": "CloudWatchLogs", "CloudWatchLogsConfiguration": logs });
    let answer = update(&server, with_key.clone())?.success()?;
    assert_eq!(answer, told("CloudWatchLogs", "PENDING"));
    assert_eq!(get(&server)?, told("CloudWatchLogs", "ACTIVE"));
    server.kill9()?;

    let server = home.start()?;
    assert_eq!(get(&server)?, told("CloudWatchLogs", "ACTIVE"));
    // The log group is there by now.
    let refused = update(&server, with_key)?;
    assert_error(&refused, 400, "InvalidRequestException")?;
    let answer = update(&server, json!({ "Destination": "XRay" }))?.success()?;
    assert_eq!(answer, told("XRay", "PENDING"));
    assert_eq!(get(&server)?, told("XRay", "ACTIVE"));
    Ok(())
}

/// The answers of the AWS CLI's reference (`put-encryption-config`, `create-sampling-rule`), to the letter but for times.
#[test]
fn answers_are_those_of_the_documentation() -> Result<()> {
    let home = Home::new()?;
    let config = home.config("[account]\nid = \"123456789012\"\nregion = \"us-west-2\"\n")?;
    let server = home.start_with(&config)?;
    let request = json!({ "Type": "KMS", "KeyId": KEY });
    let answer = server.post("/PutEncryptionConfig", &request)?.success()?;
    let expected = json!({
        "EncryptionConfig": {
            "KeyId": "arn:aws:kms:us-west-2:123456789012:key/c234g4e8-39e9-4gb0-84e2-b0ea215cbba5",
            "Status": "UPDATING",
            "Type": "KMS",
        }
    });
    assert_eq!(answer, expected);
    let rule = json!({
        "RuleName": "base-scorekeep", "ResourceARN": "*", "Priority": 9000, "FixedRate": 0.1, "ReservoirSize": 5,
        "ServiceName": "Scorekeep", "ServiceType": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "*", "Version": 1,
    });
    let request = json!({ "SamplingRule": rule });
    let mut answer = server.post("/CreateSamplingRule", &request)?.success()?;
    for member in ["CreatedAt", "ModifiedAt"] {
        let time = answer["SamplingRuleRecord"][member].take();
        assert!(time.as_f64() > Some(1_530_574_410.0), "{member} {time}");
    }
    let expected = json!({
        "SamplingRuleRecord": {
            "SamplingRule": {
                "RuleName": "base-scorekeep",
                "RuleARN": "arn:aws:xray:us-west-2:123456789012:sampling-rule/base-scorekeep",
                "ResourceARN": "*",
                "Priority": 9000,
                "FixedRate": 0.1,
                "ReservoirSize": 5,
                "ServiceName": "Scorekeep",
                "ServiceType": "*",
                "Host": "*",
                "HTTPMethod": "*",
                "URLPath": "*",
                "Version": 1,
                "Attributes": {},
            },
            "CreatedAt": null,
            "ModifiedAt": null,
        }
    });
    assert_eq!(answer, expected);
    let request = json!({ "GroupName": "AdminGroup", "FilterExpression": "service(\"mydomain.com\") {fault OR error}" });
    let answer = server.post("/CreateGroup", &request)?.success()?;
    let arn = answer["Group"]["GroupARN"].as_str().context("GroupARN")?;
    let prefix = "arn:aws:xray:us-west-2:123456789012:group/AdminGroup/";
    assert!(arn.starts_with(prefix), "{arn}");
    Ok(())
}
