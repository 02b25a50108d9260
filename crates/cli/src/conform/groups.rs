//! Groups and tags.

use protocol::Operation;
use serde_json::{Value, json};

use super::constraints;
use super::exam::Exam;
use super::fixture::Fixture;
use super::want::Want::{Holds, Lacks, Like};
use super::want::{ANY, INVALID, NOT_FOUND};
use crate::exit::Stop;

const CREATE: Operation = Operation::CreateGroup;
const GET: Operation = Operation::GetGroup;
const LIST: Operation = Operation::GetGroups;
const UPDATE: Operation = Operation::UpdateGroup;
const DELETE: Operation = Operation::DeleteGroup;
const TAG: Operation = Operation::TagResource;
const UNTAG: Operation = Operation::UntagResource;
const TAGS: Operation = Operation::ListTagsForResource;

/// Makes the group of the run's traces and returns its ARN. Nothing is checked.
pub(super) async fn prepare(exam: &mut Exam, fixture: &Fixture) -> Result<String, Stop> {
    let body = json!({ "GroupName": fixture.name("group"), "FilterExpression": fixture.filter() });
    let made = exam.call(CREATE, &body).await?;
    Ok(arn_of(&made))
}

/// Checks groups from their making to their end.
pub(super) async fn check(exam: &mut Exam, fixture: &Fixture) -> Result<(), Stop> {
    let name = fixture.name("crud");
    let right = json!({
        "GroupName": name, "FilterExpression": "responsetime > 5",
        "InsightsConfiguration": { "InsightsEnabled": true, "NotificationsEnabled": false },
        "Tags": [{ "Key": "stage", "Value": "test" }],
    });
    let whole = json!({
        "GroupName": name, "GroupARN": ANY, "FilterExpression": "responsetime > 5",
        "InsightsConfiguration": { "InsightsEnabled": true, "NotificationsEnabled": false },
    });
    let made = exam
        .passes(
            CREATE,
            "a new group is answered whole",
            &right,
            &[Like("/Group", whole.clone())],
        )
        .await?;
    let arn = arn_of(&made);
    let is_arn = arn.starts_with("arn:") && arn.contains(&format!(":group/{name}/"));
    exam.note(
        CREATE,
        "its ARN has its name and an id",
        is_arn.then_some(()).ok_or_else(|| format!("'{arn}'")),
    );
    for (what, selector) in [
        ("name", json!({ "GroupName": name })),
        ("ARN", json!({ "GroupARN": arn })),
    ] {
        exam.passes(
            GET,
            &format!("a group is found by its {what}"),
            selector,
            &[Like("/Group", whole.clone())],
        )
        .await?;
    }
    let listed = [
        Holds("/Groups", whole),
        Holds("/Groups", json!({ "GroupName": "Default" })),
    ];
    exam.passes(
        LIST,
        "every group is listed, Default too",
        json!({}),
        &listed,
    )
    .await?;
    refusals(exam, fixture, &right).await?;
    update(exam, &name, &arn).await?;
    tags(exam, fixture, &arn).await?;
    delete(exam, fixture, &name, &arn).await
}

async fn refusals(exam: &mut Exam, fixture: &Fixture, right: &Value) -> Result<(), Stop> {
    let named = |what: &str, members: Value| {
        let mut body = json!({ "GroupName": fixture.name(what) });
        if let (Some(body), Some(members)) = (body.as_object_mut(), members.as_object()) {
            body.extend(members.clone());
        }
        body
    };
    for (name, body) in [
        ("a second group of a name is refused", right.clone()),
        (
            "a group named Default is refused",
            json!({ "GroupName": "Default" }),
        ),
        (
            "a filter that is none is refused",
            named("bad", json!({ "FilterExpression": "duration < " })),
        ),
        (
            "notifications without insights are refused",
            named(
                "bad",
                json!({ "InsightsConfiguration": { "InsightsEnabled": false, "NotificationsEnabled": true } }),
            ),
        ),
        (
            "a reserved tag is refused",
            named("bad", json!({ "Tags": [{ "Key": "aws:x", "Value": "" }] })),
        ),
    ] {
        exam.refuses(CREATE, name, body, INVALID).await?;
    }
    let other = json!({ "GroupName": fixture.name("tolerant") });
    constraints::check_tolerance(exam, CREATE, &other).await?;
    let mut right = right.clone();
    if let Some(members) = right.as_object_mut() {
        members.insert("GroupName".to_owned(), fixture.name("wrong").into());
    }
    constraints::check(exam, CREATE, &right).await?;
    constraints::check_tolerance(exam, LIST, &json!({})).await?;
    constraints::check(exam, LIST, &json!({})).await?;
    exam.passes(LIST, "an empty body will do", super::ask::Ask::empty(), &[])
        .await?;
    exam.refuses(
        LIST,
        "a token nobody gave is refused",
        json!({ "NextToken": "conform" }),
        INVALID,
    )
    .await
}

async fn update(exam: &mut Exam, name: &str, arn: &str) -> Result<(), Stop> {
    let body = json!({ "GroupName": name, "FilterExpression": "fault" });
    let after = json!({ "GroupName": name, "GroupARN": arn, "FilterExpression": "fault", "InsightsConfiguration": { "InsightsEnabled": true } });
    exam.passes(
        UPDATE,
        "a filter is changed and the rest stays",
        &body,
        &[Like("/Group", after.clone())],
    )
    .await?;
    exam.passes(
        GET,
        "a change is read back",
        json!({ "GroupARN": arn }),
        &[Like("/Group", after)],
    )
    .await?;
    let insights =
        json!({ "GroupARN": arn, "InsightsConfiguration": { "InsightsEnabled": false } });
    let after = json!({ "FilterExpression": "fault", "InsightsConfiguration": { "InsightsEnabled": false } });
    exam.passes(
        UPDATE,
        "insights are switched off by ARN",
        insights,
        &[Like("/Group", after)],
    )
    .await?;
    for (name, body) in [
        (
            "a filter that is none is refused",
            json!({ "GroupName": name, "FilterExpression": "(" }),
        ),
        (
            "an unknown group is refused",
            json!({ "GroupName": format!("{name}-no") }),
        ),
        (
            "a call that names no group is refused",
            json!({ "FilterExpression": "fault" }),
        ),
    ] {
        exam.refuses(UPDATE, name, body, INVALID).await?;
    }
    let body =
        json!({ "GroupName": name, "FilterExpression": "fault", "InsightsConfiguration": {} });
    constraints::check_tolerance(exam, UPDATE, &body).await?;
    constraints::check(exam, UPDATE, &body).await
}

async fn delete(exam: &mut Exam, fixture: &Fixture, name: &str, arn: &str) -> Result<(), Stop> {
    for operation in [GET, DELETE] {
        for (what, body) in [
            (
                "an unknown group is refused",
                json!({ "GroupName": fixture.name("nobody") }),
            ),
            ("a call that names no group is refused", json!({})),
        ] {
            exam.refuses(operation, what, body, INVALID).await?;
        }
        let right = json!({ "GroupName": fixture.name("nobody") });
        constraints::check(exam, operation, &right).await?;
    }
    constraints::check_tolerance(exam, GET, &json!({ "GroupName": name })).await?;
    exam.refuses(
        DELETE,
        "the Default group stays",
        json!({ "GroupName": "Default" }),
        INVALID,
    )
    .await?;
    exam.passes(
        DELETE,
        "a group is deleted by its ARN",
        json!({ "GroupARN": arn }),
        &[Like("", json!({}))],
    )
    .await?;
    exam.refuses(
        GET,
        "a deleted group is gone",
        json!({ "GroupName": name }),
        INVALID,
    )
    .await?;
    exam.refuses(
        DELETE,
        "a deleted group is not deleted again",
        json!({ "GroupARN": arn }),
        INVALID,
    )
    .await?;
    exam.passes(
        LIST,
        "a deleted group is not listed",
        json!({}),
        &[Lacks("/Groups", json!({ "GroupName": name }))],
    )
    .await?;
    exam.refuses(
        TAGS,
        "a deleted group has no tags",
        json!({ "ResourceARN": arn }),
        NOT_FOUND,
    )
    .await?;
    constraints::check_tolerance(
        exam,
        DELETE,
        &json!({ "GroupName": fixture.name("tolerant") }),
    )
    .await
}

async fn tags(exam: &mut Exam, fixture: &Fixture, arn: &str) -> Result<(), Stop> {
    let list = json!({ "ResourceARN": arn });
    let tag = |key: &str, value: &str| json!({ "Key": key, "Value": value });
    exam.passes(
        TAGS,
        "tags given at the making are there",
        &list,
        &[Holds("/Tags", tag("stage", "test"))],
    )
    .await?;
    let body = json!({ "ResourceARN": arn, "Tags": [tag("stage", "live"), tag("empty", "")] });
    exam.passes(
        TAG,
        "tags are added and changed",
        &body,
        &[Like("", json!({}))],
    )
    .await?;
    let wants = [
        Holds("/Tags", tag("stage", "live")),
        Holds("/Tags", tag("empty", "")),
        Lacks("/Tags", tag("stage", "test")),
    ];
    exam.passes(TAGS, "tags are read back", &list, &wants)
        .await?;
    let untag = json!({ "ResourceARN": arn, "TagKeys": ["empty", "never-there"] });
    exam.passes(UNTAG, "tags are taken away", &untag, &[Like("", json!({}))])
        .await?;
    let wants = [
        Holds("/Tags", tag("stage", "live")),
        Lacks("/Tags", json!({ "Key": "empty" })),
    ];
    exam.passes(TAGS, "tags taken away are gone", &list, &wants)
        .await?;
    let many: Vec<Value> = (0..51)
        .map(|number| tag(&format!("key{number}"), ""))
        .collect();
    let many = json!({ "ResourceARN": arn, "Tags": many });
    exam.refuses(TAG, "51 tags are too many", many, &["TooManyTagsException"])
        .await?;
    let reserved = json!({ "ResourceARN": arn, "Tags": [tag("aws:conform", "")] });
    exam.refuses(TAG, "a reserved tag is refused", reserved, INVALID)
        .await?;
    let unknown = format!("{}x", arn.replace(&fixture.run, "00000000"));
    for (operation, right) in [(TAGS, list), (TAG, body), (UNTAG, untag)] {
        let mut nobody = right.clone();
        if let Some(members) = nobody.as_object_mut() {
            members.insert("ResourceARN".to_owned(), unknown.as_str().into());
        }
        exam.refuses(
            operation,
            "an unknown resource is not found",
            nobody,
            NOT_FOUND,
        )
        .await?;
        constraints::check_tolerance(exam, operation, &right).await?;
        constraints::check(exam, operation, &right).await?;
    }
    Ok(())
}

/// Fills the account with groups until one more is refused; deletes nothing.
pub(super) async fn fill(exam: &mut Exam, fixture: &Fixture) -> Result<(), Stop> {
    let groups = exam.call(LIST, &json!({})).await?;
    let n_groups = groups
        .get("Groups")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    // Default is not one of the 25.
    for number in n_groups..26 {
        let body = json!({ "GroupName": fixture.name(&format!("full-{number}")) });
        exam.call(CREATE, &body).await?;
    }
    let body = json!({ "GroupName": fixture.name("too-many") });
    exam.refuses(CREATE, "a 26th group is refused", body, INVALID)
        .await
}

fn arn_of(answer: &Value) -> String {
    let arn = answer.pointer("/Group/GroupARN").and_then(Value::as_str);
    arn.unwrap_or("arn:aws:xray:us-east-1:000000000000:group/conform-none/NONE")
        .to_owned()
}
