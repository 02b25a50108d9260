use serde_json::{Value, json};

use super::*;
use crate::{ApiError, ErrorKind};

/// Returns the names of the structures a shape speaks of.
fn named(shape: &MemberShape) -> Vec<&'static str> {
    match shape {
        MemberShape::Structure(name) => vec![name],
        MemberShape::List { item, .. } => named(item),
        MemberShape::Map { key, value, .. } => [named(key), named(value)].concat(),
        MemberShape::Text { .. }
        | MemberShape::Choice(_)
        | MemberShape::Integer(_)
        | MemberShape::Long
        | MemberShape::Double(_)
        | MemberShape::Boolean
        | MemberShape::Timestamp => Vec::new(),
    }
}

#[test]
fn the_table_has_every_operation_under_its_path() {
    assert_eq!(model().operations.len(), Operation::ALL.len());
    for operation in Operation::ALL {
        assert_eq!(model().operation(operation).path, operation.path());
    }
}

#[test]
fn every_structure_is_there_and_used() {
    let mut used: Vec<&str> = Vec::new();
    let operations = model().operations.values();
    let bodies = operations.flat_map(|operation| [&operation.input, &operation.output]);
    for structure in bodies.chain(model().structures.values()) {
        used.extend(
            structure
                .members
                .iter()
                .flat_map(|member| named(&member.shape)),
        );
    }
    used.extend(
        model()
            .operations
            .values()
            .flat_map(|operation| &operation.errors),
    );
    for name in &used {
        assert!(model().structure(name).is_some(), "{name}");
    }
    for (name, _) in model().structures() {
        assert!(used.contains(&name), "{name}");
    }
}

#[test]
fn what_the_table_says_is_what_is_read() {
    let rule = model().structure("SamplingRule").unwrap();
    let member = |name: &str| {
        rule.members
            .iter()
            .find(|member| member.name == name)
            .unwrap()
    };
    let text = |min, max| MemberShape::Text {
        length: Bounds { min, max },
        pattern: None,
    };
    assert_eq!(rule.members.len(), 14);
    assert_eq!(member("RuleName").shape, text(Some(1), Some(32)));
    assert!(!member("RuleName").is_required && member("Priority").is_required);
    let range = Bounds {
        min: Some(0),
        max: None,
    };
    assert_eq!(member("ReservoirSize").shape, MemberShape::Integer(range));
    let expected = MemberShape::Map {
        key: Box::new(text(Some(1), Some(32))),
        value: Box::new(text(Some(1), Some(32))),
        size: Bounds {
            min: None,
            max: Some(5),
        },
    };
    assert_eq!(member("Attributes").shape, expected);
    let union = model().structure("IndexingRuleValue").unwrap();
    assert_eq!(union.kind, StructureKind::Union);
}

#[test]
fn errors_have_the_codes_and_the_status_they_are_sent_with() {
    assert_eq!(
        errors_of(Operation::GetGroup),
        ["InvalidRequestException", "ThrottledException"]
    );
    assert!(!errors_of(Operation::PutResourcePolicy).contains(&"InvalidRequestException"));
    let kinds = [
        ErrorKind::InvalidRequest,
        ErrorKind::Throttled,
        ErrorKind::ResourceNotFound,
        ErrorKind::TooManyTags,
        ErrorKind::RuleLimitExceeded,
        ErrorKind::InvalidPolicyRevisionId,
        ErrorKind::MalformedPolicyDocument,
        ErrorKind::LockoutPrevention,
        ErrorKind::PolicyCountLimitExceeded,
        ErrorKind::PolicySizeLimitExceeded,
    ];
    let mut n_errors = 0;
    for (name, structure) in model().structures() {
        let StructureKind::Error(status) = structure.kind else {
            continue;
        };
        let kind = kinds.into_iter().find(|kind| kind.code() == name).unwrap();
        assert_eq!(kind.status().as_u16(), status.unwrap_or(400), "{name}");
        let names_resource = structure
            .members
            .iter()
            .any(|member| member.name == "ResourceName");
        let has_resource = ApiError::resource_not_found("m", "r").kind() == kind
            || ApiError::too_many_tags("m", "r").kind() == kind;
        assert_eq!(names_resource, has_resource, "{name}");
        n_errors += 1;
    }
    assert_eq!(n_errors, kinds.len());
}

fn check(operation: Operation, body: &Value, expected: &[&str]) {
    let found = validate_request(operation, body);
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found, expected, "{body}");
}

fn check_response(operation: Operation, body: &Value, expected: &[&str]) {
    let found = validate_response(operation, body);
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found, expected, "{body}");
}

#[test]
fn members_are_checked_by_name_and_presence() {
    let tags = Operation::TagResource;
    check(tags, &json!([]), &["body: [] is not an object"]);
    check(
        tags,
        &json!({"ResourceARN": null, "Tags": [{"Key": "k", "value": "v"}]}),
        &[
            "ResourceARN: a required member is absent",
            "Tags[0].Value: a required member is absent",
            "Tags[0].value: the model knows no such member",
        ],
    );
    check(tags, &json!({"ResourceARN": "a", "Tags": []}), &[]);
    check(Operation::GetGroups, &json!({"NextToken": null}), &[]);
}

#[test]
fn texts_lists_and_choices_are_checked() {
    check(
        Operation::GetInsightSummaries,
        &json!({"States": ["OPEN", "CLOSED"], "GroupName": "", "GroupARN": 5, "StartTime": "x", "EndTime": 1.5e9}),
        &[
            "States: 2 items where 0 to 1 may be",
            "States[0]: 'OPEN' is none of ACTIVE, CLOSED",
            "GroupARN: 5 is not a text",
            "GroupName: 0 characters where 1 to 32 may be",
            "StartTime: \"x\" is not a number of seconds",
        ],
    );
    check(
        Operation::DeleteResourcePolicy,
        &json!({"PolicyName": "a b"}),
        &[r"PolicyName: 'a b' is not of [\w+=,.@-]+"],
    );
}

#[test]
fn numbers_are_checked() {
    let events = Operation::GetInsightEvents;
    let body = |max_results: Value| json!({"InsightId": "6b2fe0a4-1d3c-4a6e-9f00-0123456789ab", "MaxResults": max_results});
    check(events, &body(json!(50)), &[]);
    check(
        events,
        &body(json!(51)),
        &["MaxResults: 51 is out of bounds, which are 1 to 50"],
    );
    check(
        events,
        &body(json!(0)),
        &["MaxResults: 0 is out of bounds, which are 1 to 50"],
    );
    check(
        events,
        &body(json!(1.0)),
        &["MaxResults: 1.0 is not a whole number of 32 bits"],
    );
    check(
        events,
        &body(json!("1")),
        &["MaxResults: \"1\" is not a whole number of 32 bits"],
    );
    let boost = |max_rate: Value| json!({"SamplingRuleUpdate": {"SamplingRateBoost": {"MaxRate": max_rate, "CooldownWindowMinutes": 0}}});
    let update = Operation::UpdateSamplingRule;
    check(update, &boost(json!(1)), &[]);
    let place = "SamplingRuleUpdate.SamplingRateBoost.MaxRate";
    check(
        update,
        &boost(json!(1.1)),
        &[&format!("{place}: 1.1 is out of bounds, which are 0 to 1")],
    );
    check(
        update,
        &boost(json!("1")),
        &[&format!("{place}: \"1\" is not a number")],
    );
}

#[test]
fn unions_have_one_member() {
    let update = Operation::UpdateIndexingRule;
    let body = |rule: Value| json!({"Name": "n", "Rule": rule});
    check(
        update,
        &body(json!({"Probabilistic": {"DesiredSamplingPercentage": 1}})),
        &[],
    );
    check(
        update,
        &body(json!({})),
        &["Rule: exactly one member must be set, not 0"],
    );
}

#[test]
fn responses_are_checked_against_the_output() {
    check_response(Operation::TagResource, &json!({}), &[]);
    check_response(
        Operation::TagResource,
        &json!({"Tags": []}),
        &["Tags: the model knows no such member"],
    );
    let graph = |count: Value| json!({"Services": [{"SummaryStatistics": {"TotalCount": count}}]});
    let traces = Operation::GetTraceGraph;
    check_response(traces, &graph(json!(9_007_199_254_740_993_i64)), &[]);
    check_response(
        traces,
        &graph(json!(1.5)),
        &["Services[0].SummaryStatistics.TotalCount: 1.5 is not a whole number of 64 bits"],
    );
    check_response(
        Operation::ListRetrievedTraces,
        &json!({"Traces": [{"Segments": []}]}),
        &["Traces[0].Segments: the model knows no such member"],
    );
}
