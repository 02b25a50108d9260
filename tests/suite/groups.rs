//! Groups on the wire, and their tags.

use anyhow::{Context, Result};
use roentgen_tests::server::list;
use roentgen_tests::{Home, Response, Server};
use serde_json::{Value, json};

use crate::fixture::assert_error;

/// Makes a group and returns it.
fn create(server: &Server, request: &Value) -> Result<Value> {
    let mut answer = server.post("/CreateGroup", request)?.success()?;
    Ok(answer["Group"].take())
}

fn arn(group: &Value) -> Result<&str> {
    group["GroupARN"].as_str().context("GroupARN")
}

fn names(groups: &[Value]) -> Vec<&str> {
    groups
        .iter()
        .filter_map(|group| group["GroupName"].as_str())
        .collect()
}

fn groups(server: &Server) -> Result<Vec<Value>> {
    let answer = server.post("/Groups", &json!({}))?.success()?;
    assert_eq!(answer.get("NextToken"), None);
    list(&answer, "Groups")
}

/// Returns the tags of a resource as pairs.
pub(crate) fn tags(server: &Server, arn: &str) -> Result<Value> {
    let request = json!({ "ResourceARN": arn });
    let answer = server.post("/ListTagsForResource", &request)?.success()?;
    assert_eq!(answer.get("NextToken"), None);
    Ok(answer["Tags"].clone())
}

/// Fails unless the answer is this error, whose `ResourceName` is this.
pub(crate) fn assert_resource_error(
    response: &Response,
    status: u16,
    code: &str,
    resource_name: &str,
) -> Result<()> {
    assert_error(response, status, code)?;
    assert_eq!(response.json()?["ResourceName"], resource_name);
    Ok(())
}

#[test]
fn there_is_a_default_group() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let groups = groups(&server)?;
    let [default] = &groups[..] else {
        anyhow::bail!("{groups:?}");
    };
    let arn = arn(default)?.to_owned();
    assert!(
        arn.starts_with("arn:aws:xray:us-east-1:000000000000:group/Default/"),
        "{arn}"
    );
    let insights = json!({ "InsightsEnabled": false, "NotificationsEnabled": false });
    let expected = json!({
        "GroupName": "Default", "GroupARN": arn, "FilterExpression": "", "InsightsConfiguration": insights,
    });
    assert_eq!(*default, expected);
    for selector in [
        json!({ "GroupName": "Default" }),
        json!({ "GroupARN": arn }),
    ] {
        let answer = server.post("/GetGroup", &selector)?.success()?;
        assert_eq!(answer, json!({ "Group": expected }), "{selector}");
    }
    let deleted = server.post("/DeleteGroup", &json!({ "GroupName": "Default" }))?;
    assert_error(&deleted, 400, "InvalidRequestException")?;
    let filtered = json!({ "GroupName": "Default", "FilterExpression": "fault" });
    let updated = server.post("/UpdateGroup", &filtered)?;
    assert_error(&updated, 400, "InvalidRequestException")?;
    let watched = json!({ "InsightsEnabled": true, "NotificationsEnabled": false });
    let request = json!({ "GroupName": "Default", "InsightsConfiguration": watched });
    let updated = server.post("/UpdateGroup", &request)?.success()?;
    assert_eq!(updated["Group"]["InsightsConfiguration"], watched);
    Ok(())
}

#[test]
fn a_group_is_made_changed_and_deleted() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let filter = "service(\"example.com\") {fault OR error}";
    let request = json!({
        "GroupName": "TestGroup", "FilterExpression": filter,
        "InsightsConfiguration": { "InsightsEnabled": true, "NotificationsEnabled": true },
        "Tags": [{ "Key": "stage", "Value": "prod" }],
    });
    let created = create(&server, &request)?;
    let group_arn = arn(&created)?.to_owned();
    let unique_id = group_arn.strip_prefix("arn:aws:xray:us-east-1:000000000000:group/TestGroup/");
    let is_unique_id = |id: &str| {
        !id.is_empty()
            && id
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    assert!(unique_id.is_some_and(is_unique_id), "{group_arn}");
    let expected = json!({
        "GroupName": "TestGroup", "GroupARN": group_arn, "FilterExpression": filter,
        "InsightsConfiguration": { "InsightsEnabled": true, "NotificationsEnabled": true },
    });
    assert_eq!(created, expected);
    let stage = json!([{ "Key": "stage", "Value": "prod" }]);
    assert_eq!(tags(&server, &group_arn)?, stage);

    let change = json!({ "GroupARN": group_arn, "FilterExpression": "responsetime > 2" });
    let updated = server.post("/UpdateGroup", &change)?.success()?;
    let mut expected = json!({ "Group": expected });
    expected["Group"]["FilterExpression"] = json!("responsetime > 2");
    assert_eq!(updated, expected);
    let selector = json!({ "GroupName": "TestGroup" });
    let found = server.post("/GetGroup", &selector)?.success()?;
    assert_eq!(found, expected);
    assert_eq!(names(&groups(&server)?), ["Default", "TestGroup"]);

    let deleted = server.post("/DeleteGroup", &selector)?.success()?;
    assert_eq!(deleted, json!({}));
    assert_eq!(names(&groups(&server)?), ["Default"]);
    let found = server.post("/GetGroup", &selector)?;
    assert_error(&found, 400, "InvalidRequestException")?;
    let again = create(&server, &json!({ "GroupName": "TestGroup" }))?;
    assert_ne!(again["GroupARN"], group_arn);
    assert_eq!(tags(&server, arn(&again)?)?, json!([]));
    Ok(())
}

#[test]
fn what_is_no_group_is_an_invalid_request() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    create(&server, &json!({ "GroupName": "taken" }))?;
    let unwatched = json!({ "InsightsEnabled": false, "NotificationsEnabled": true });
    for (path, request) in [
        ("/CreateGroup", json!({})),
        ("/CreateGroup", json!({ "GroupName": "taken" })),
        ("/CreateGroup", json!({ "GroupName": "Default" })),
        ("/CreateGroup", json!({ "GroupName": "a b" })),
        ("/CreateGroup", json!({ "GroupName": "a".repeat(33) })),
        (
            "/CreateGroup",
            json!({ "GroupName": "a", "InsightsConfiguration": unwatched }),
        ),
        (
            "/CreateGroup",
            json!({ "GroupName": "a", "Tags": [{ "Key": "aws:x", "Value": "" }] }),
        ),
        ("/GetGroup", json!({})),
        ("/GetGroup", json!({ "GroupName": "Taken" })),
        ("/GetGroup", json!({ "GroupARN": "taken" })),
        ("/UpdateGroup", json!({})),
        ("/UpdateGroup", json!({ "GroupName": "gone" })),
        (
            "/UpdateGroup",
            json!({ "GroupName": "taken", "InsightsConfiguration": unwatched }),
        ),
        ("/DeleteGroup", json!({})),
        ("/DeleteGroup", json!({ "GroupName": "gone" })),
        ("/Groups", json!({ "NextToken": "x" })),
        ("/Groups", json!({ "NextToken": "" })),
    ] {
        let response = server.post(path, &request)?;
        assert_error(&response, 400, "InvalidRequestException")
            .with_context(|| format!("{path} {request}"))?;
    }
    assert_eq!(names(&groups(&server)?), ["Default", "taken"]);
    Ok(())
}

#[test]
fn twenty_five_groups_are_on_one_page_and_no_more_are_made() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    for number in 0..25 {
        create(&server, &json!({ "GroupName": format!("g-{number:02}") }))?;
    }
    let response = server.post("/CreateGroup", &json!({ "GroupName": "one-more" }))?;
    assert_error(&response, 400, "InvalidRequestException")?;
    assert_eq!(groups(&server)?.len(), 26);
    Ok(())
}

#[test]
fn groups_and_their_tags_survive_a_stop_and_a_kill() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let kept = create(
        &server,
        &json!({ "GroupName": "kept", "FilterExpression": "fault", "Tags": [{ "Key": "a", "Value": "1" }] }),
    )?;
    create(&server, &json!({ "GroupName": "gone" }))?;
    let update = json!({ "GroupName": "kept", "FilterExpression": "error" });
    server.post("/UpdateGroup", &update)?.success()?;
    server
        .post("/DeleteGroup", &json!({ "GroupName": "gone" }))?
        .success()?;
    let before = groups(&server)?;
    assert_eq!(names(&before), ["Default", "kept"]);
    assert!(server.terminate()?.success());

    let server = home.start()?;
    assert_eq!(groups(&server)?, before);
    let more = json!({ "ResourceARN": kept["GroupARN"], "Tags": [{ "Key": "b", "Value": "2" }] });
    assert_eq!(server.post("/TagResource", &more)?.success()?, json!({}));
    let disabled = json!({ "GroupName": "kept", "FilterExpression": "" });
    server.post("/UpdateGroup", &disabled)?.success()?;
    let before = groups(&server)?;
    server.kill9()?;

    let server = home.start()?;
    assert_eq!(groups(&server)?, before);
    assert_eq!(before[1]["FilterExpression"], "");
    let both = json!([{ "Key": "a", "Value": "1" }, { "Key": "b", "Value": "2" }]);
    assert_eq!(tags(&server, arn(&kept)?)?, both);
    Ok(())
}

#[test]
fn tags_of_groups_and_rules_are_set_and_removed() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let group = create(&server, &json!({ "GroupName": "g" }))?;
    let rule_arn = "arn:aws:xray:us-east-1:000000000000:sampling-rule/Default";
    for arn in [arn(&group)?, rule_arn] {
        assert_eq!(tags(&server, arn)?, json!([]));
        let set = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            let tags: Vec<Value> = pairs
                .map(|(key, value)| json!({ "Key": key, "Value": value }))
                .collect();
            server.post("/TagResource", &json!({ "ResourceARN": arn, "Tags": tags }))
        };
        let done = set(&[("b", "1"), ("a", ""), ("c", "3")])?.success()?;
        assert_eq!(done, json!({}));
        set(&[("b", "2")])?.success()?;
        let untag = json!({ "ResourceARN": arn, "TagKeys": ["c", "never"] });
        let done = server.post("/UntagResource", &untag)?.success()?;
        assert_eq!(done, json!({}));
        let left = json!([{ "Key": "a", "Value": "" }, { "Key": "b", "Value": "2" }]);
        assert_eq!(tags(&server, arn)?, left);

        let keys: Vec<String> = (0..49).map(|number| format!("k{number}")).collect();
        let many: Vec<_> = keys.iter().map(|key| (key.as_str(), "v")).collect();
        assert_resource_error(&set(&many)?, 400, "TooManyTagsException", arn)?;
        assert_eq!(tags(&server, arn)?, left);
        set(&many[..48])?.success()?;
        assert_eq!(tags(&server, arn)?.as_array().map(Vec::len), Some(50));
        for refused in [set(&[("aws:x", "v")])?, set(&[("x", "1"), ("x", "2")])?] {
            assert_error(&refused, 400, "InvalidRequestException")?;
        }
        let further = json!({ "ResourceARN": arn, "NextToken": "x" });
        let refused = server.post("/ListTagsForResource", &further)?;
        assert_error(&refused, 400, "InvalidRequestException")?;
    }
    Ok(())
}

#[test]
fn what_is_not_there_has_no_tags() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    for arn in [
        "arn:aws:xray:us-east-1:000000000000:group/gone/ID",
        "arn:aws:xray:us-east-1:000000000000:sampling-rule/gone",
        "arn:aws:xray:us-west-2:000000000000:sampling-rule/Default",
        "arn:aws:s3:::bucket",
        "Default",
    ] {
        for (path, request) in [
            ("/ListTagsForResource", json!({ "ResourceARN": arn })),
            (
                "/TagResource",
                json!({ "ResourceARN": arn, "Tags": [{ "Key": "a", "Value": "b" }] }),
            ),
            (
                "/UntagResource",
                json!({ "ResourceARN": arn, "TagKeys": ["a"] }),
            ),
        ] {
            let response = server.post(path, &request)?;
            assert_resource_error(&response, 404, "ResourceNotFoundException", arn)
                .with_context(|| format!("{path} {arn}"))?;
        }
    }
    Ok(())
}
