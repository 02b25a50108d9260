//! Every request of the model, whole and broken in each way there is.

use serde_json::{Map, Value, json};

use super::refusal;
use crate::model::{
    Bounds, Member, MemberShape, Structure, StructureKind, model, validate_request,
};
use crate::{Operation, Pattern};

/// Which of the values a shape allows is taken.
#[derive(Clone, Copy)]
enum Extreme {
    Least,
    Greatest,
}

/// Two members of which a request may have one only.
const EXCLUSIVE: [(&str, &str); 2] = [("GroupName", "GroupARN"), ("RuleName", "RuleARN")];

/// Members the model calls optional without which, here, a request of all members is refused.
const REQUIRED_HERE: [(Operation, &str); 12] = [
    (Operation::GetGroup, "GroupName"),
    (Operation::GetGroup, "GroupARN"),
    (Operation::DeleteGroup, "GroupName"),
    (Operation::DeleteGroup, "GroupARN"),
    (Operation::UpdateGroup, "GroupName"),
    (Operation::UpdateGroup, "GroupARN"),
    (Operation::GetInsightSummaries, "GroupName"),
    (Operation::GetInsightSummaries, "GroupARN"),
    (Operation::DeleteSamplingRule, "RuleName"),
    (Operation::DeleteSamplingRule, "RuleARN"),
    (Operation::UpdateSamplingRule, "RuleName"),
    (Operation::UpdateSamplingRule, "RuleARN"),
];

fn length(bounds: Bounds, extreme: Extreme) -> usize {
    let min = bounds.min.unwrap_or(0);
    let length = match extreme {
        Extreme::Least => min,
        Extreme::Greatest => bounds.max.unwrap_or(min + 2),
    };
    usize::try_from(length).unwrap()
}

/// Returns a text of so many characters; where any are allowed, of more bytes than characters.
fn text(n_chars: usize, pattern: Option<Pattern>) -> Value {
    let text = match pattern {
        Some(Pattern::InsightId) => "6b2fe0a4-1d3c-4a6e-9f00-0123456789ab".to_owned(),
        Some(Pattern::PolicyName) => "p".repeat(n_chars),
        None => "\u{e9}".repeat(n_chars),
    };
    Value::from(text)
}

fn whole_structure(structure: &Structure, extreme: Extreme) -> Value {
    let members = structure.members.iter();
    let whole = |member: &Member| (member.name.to_owned(), whole(&member.shape, extreme));
    Value::Object(members.map(whole).collect())
}

fn whole(shape: &MemberShape, extreme: Extreme) -> Value {
    match shape {
        MemberShape::Text {
            length: bounds,
            pattern,
        } => text(length(*bounds, extreme), *pattern),
        MemberShape::Choice(names) => match extreme {
            Extreme::Least => Value::from(names[0]),
            Extreme::Greatest => Value::from(names[names.len() - 1]),
        },
        MemberShape::Integer(range) => match (extreme, range.max, range.min) {
            (Extreme::Greatest, Some(max), _) => Value::from(max),
            (Extreme::Greatest, None, Some(_)) => Value::from(i32::MAX),
            (Extreme::Least, _, Some(min)) => Value::from(min),
            (Extreme::Least | Extreme::Greatest, _, None) => Value::from(1),
        },
        MemberShape::Long => Value::from(i64::MAX),
        MemberShape::Double(range) => match extreme {
            Extreme::Least => json!(range.min.map_or(0.5, f64::from)),
            Extreme::Greatest => json!(range.max.unwrap_or(1)),
        },
        MemberShape::Boolean => Value::from(true),
        MemberShape::Timestamp => match extreme {
            Extreme::Least => json!(0),
            Extreme::Greatest => json!(1_795_304_142.804_226),
        },
        MemberShape::List { item, size } => {
            Value::from(vec![whole(item, extreme); length(*size, extreme).max(1)])
        }
        MemberShape::Map { value, size, .. } => {
            let keys = (0..length(*size, extreme).max(1)).map(|idx| format!("k{idx}"));
            Value::Object(keys.map(|key| (key, whole(value, extreme))).collect())
        }
        MemberShape::Structure(name) => whole_structure(model().structure(name).unwrap(), extreme),
    }
}

/// Returns requests that have every member as far as members can go together.
fn whole_requests(operation: Operation) -> Vec<Value> {
    let input = &model().operation(operation).input;
    let mut requests = Vec::new();
    for extreme in [Extreme::Least, Extreme::Greatest] {
        let mut request = whole_structure(input, extreme);
        if operation == Operation::UpdateTraceSegmentDestination {
            request["Destination"] = json!("CloudWatchLogs");
        }
        for place in ["/RuleName", "/RuleARN", "/SamplingRuleUpdate/RuleARN"] {
            // The model lets them be empty, but no rule is called so.
            if let Some(name) = request.pointer_mut(place) {
                *name = json!("r");
            }
        }
        if operation == Operation::CreateSamplingRule {
            requests.push(request);
            continue;
        }
        requests.extend(without_either(&request));
    }
    requests
}

/// Returns the request without the one and without the other of two members that exclude each other.
fn without_either(request: &Value) -> Vec<Value> {
    for (one, other) in EXCLUSIVE {
        for place in ["", "/SamplingRuleUpdate"] {
            let members = request.pointer(place).and_then(Value::as_object);
            let has = |name| members.is_some_and(|members| members.contains_key(name));
            if has(one) && has(other) {
                let without = |name: &str| {
                    let mut request = request.clone();
                    let members = request.pointer_mut(place).unwrap();
                    members.as_object_mut().unwrap().remove(name);
                    request
                };
                return vec![without(other), without(one)];
            }
        }
    }
    vec![request.clone()]
}

/// A value that breaks a constraint, and the member a refusal must name.
struct Broken {
    value: Value,
    member: &'static str,
}

fn with_member(members: &Map<String, Value>, name: &str, value: Value) -> Value {
    let mut members = members.clone();
    members.insert(name.to_owned(), value);
    Value::Object(members)
}

/// Returns every way to break an object of a structure.
fn broken_structure(structure: &Structure, value: &Value) -> Vec<Broken> {
    let members = value.as_object().unwrap();
    let mut broken = Vec::new();
    for member in &structure.members {
        let Some(value) = members.get(member.name) else {
            continue;
        };
        for inner in broken_shape(member.name, &member.shape, value) {
            let value = with_member(members, member.name, inner.value);
            broken.push(Broken { value, ..inner });
        }
        if member.is_required || structure.kind == StructureKind::Union {
            let mut without = members.clone();
            without.remove(member.name);
            let null = with_member(members, member.name, Value::Null);
            for value in [Value::Object(without), null] {
                broken.push(Broken {
                    value,
                    member: if member.is_required {
                        member.name
                    } else {
                        "Rule"
                    },
                });
            }
        }
    }
    broken
}

/// Returns every way to break what a member holds.
fn broken_shape(member: &'static str, shape: &MemberShape, value: &Value) -> Vec<Broken> {
    let mut broken = Vec::new();
    match shape {
        MemberShape::List { item, .. } => {
            let items = value.as_array().unwrap();
            for inner in broken_shape(member, item, &items[0]) {
                let mut items = items.clone();
                items[0] = inner.value;
                let value = Value::from(items);
                broken.push(Broken { value, ..inner });
            }
        }
        MemberShape::Structure(name) => {
            broken.extend(broken_structure(model().structure(name).unwrap(), value));
        }
        MemberShape::Map {
            key, value: each, ..
        } => {
            let (name, first) = value.as_object().unwrap().iter().next().unwrap();
            for inner in broken_shape(member, each, first) {
                let value = with_member(&Map::new(), name, inner.value);
                broken.push(Broken { value, member });
            }
            for inner in broken_shape(member, key, &Value::from(name.as_str())) {
                if let Some(key) = inner.value.as_str() {
                    let value = json!({key: first});
                    broken.push(Broken { value, member });
                }
            }
        }
        MemberShape::Text { .. }
        | MemberShape::Choice(_)
        | MemberShape::Integer(_)
        | MemberShape::Long
        | MemberShape::Double(_)
        | MemberShape::Boolean
        | MemberShape::Timestamp => {}
    }
    let values = wrong_types(shape)
        .into_iter()
        .chain(wrong_values(shape, value));
    broken.extend(values.map(|value| Broken { value, member }));
    broken
}

/// Returns values of the shape's type that its constraints forbid.
fn wrong_values(shape: &MemberShape, value: &Value) -> Vec<Value> {
    let one_more = |max: u32| usize::try_from(max + 1).unwrap();
    match shape {
        MemberShape::Text { length, pattern } => {
            let long = length.max.map(|max| text(one_more(max), *pattern));
            let short = length.min.filter(|min| *min > 0);
            let short = short.map(|min| text(usize::try_from(min - 1).unwrap(), None));
            let other = pattern.map(|_| json!("not of it"));
            long.into_iter().chain(short).chain(other).collect()
        }
        MemberShape::Choice(names) => {
            vec![json!("Nonsense"), json!(""), json!(names[0].to_lowercase())]
        }
        MemberShape::Integer(range) => {
            let Some(min) = range.min else {
                return Vec::new();
            };
            let max = range.max.unwrap_or(i32::MAX.unsigned_abs());
            vec![json!(i64::from(min) - 1), json!(i64::from(max) + 1)]
        }
        MemberShape::Double(range) => {
            let low = range.min.map(|min| json!(f64::from(min) - 0.01));
            let high = range.max.map(|max| json!(f64::from(max) + 0.01));
            low.into_iter().chain(high).collect()
        }
        MemberShape::List { size, .. } => {
            let first = &value.as_array().unwrap()[0];
            let long = size.max.map(|max| json!(vec![first; one_more(max)]));
            long.into_iter().chain([json!([null])]).collect()
        }
        MemberShape::Map { size, .. } => {
            let first = value.as_object().unwrap().values().next().unwrap();
            let keys = (0..one_more(size.max.unwrap())).map(|idx| format!("k{idx}"));
            vec![Value::Object(
                keys.map(|key| (key, first.clone())).collect(),
            )]
        }
        MemberShape::Long
        | MemberShape::Boolean
        | MemberShape::Timestamp
        | MemberShape::Structure(_) => Vec::new(),
    }
}

/// Returns values of every JSON type the shape is not of.
fn wrong_types(shape: &MemberShape) -> Vec<Value> {
    let (text, number, fraction, boolean) = (json!("x"), json!(5), json!(1.5), json!(true));
    let (list, object) = (json!([5]), json!({"A": 5}));
    match shape {
        MemberShape::Text { .. } | MemberShape::Choice(_) => vec![number, boolean, list, object],
        MemberShape::Integer(_) | MemberShape::Long => vec![text, fraction, boolean, list, object],
        MemberShape::Double(_) | MemberShape::Timestamp => vec![text, boolean, list, object],
        MemberShape::Boolean => vec![text, number, list, object],
        MemberShape::List { .. } => vec![text, number, boolean, object],
        MemberShape::Map { .. } | MemberShape::Structure(_) => vec![text, number, boolean, list],
    }
}

/// Returns the object with each of its members, and of those inside it, replaced in turn by what
/// `replacement` has for it.
fn replaced(
    structure: &Structure,
    value: &Value,
    replacement: fn(&Member) -> Option<Value>,
) -> Vec<Broken> {
    let members = value.as_object().unwrap();
    let mut found = Vec::new();
    for member in &structure.members {
        let Some(value) = members.get(member.name) else {
            continue;
        };
        if let Some(value) = replacement(member) {
            let value = with_member(members, member.name, value);
            found.push(Broken {
                value,
                member: member.name,
            });
        }
        let mut inside = Vec::new();
        match &member.shape {
            MemberShape::Structure(name) => {
                inside.extend(replaced(
                    model().structure(name).unwrap(),
                    value,
                    replacement,
                ));
            }
            MemberShape::List { item, .. } => {
                let MemberShape::Structure(name) = **item else {
                    continue;
                };
                for inner in replaced(model().structure(name).unwrap(), &value[0], replacement) {
                    let value = json!([inner.value]);
                    inside.push(Broken { value, ..inner });
                }
            }
            _ => {}
        }
        for inner in inside {
            let value = with_member(members, member.name, inner.value);
            found.push(Broken { value, ..inner });
        }
    }
    found
}

fn refusal_of(operation: Operation, request: &Value) -> Option<String> {
    let error = refusal(operation, request.to_string().as_bytes())?;
    assert_eq!(
        (error.status().as_u16(), error.code()),
        (400, "InvalidRequestException")
    );
    Some(error.message().to_owned())
}

#[test]
fn every_member_of_the_model_is_taken() {
    for operation in Operation::ALL {
        for request in whole_requests(operation) {
            assert_eq!(
                validate_request(operation, &request),
                [],
                "{operation:?} {request}"
            );
            assert_eq!(
                refusal_of(operation, &request),
                None,
                "{operation:?} {request}"
            );
        }
    }
}

#[test]
fn every_constraint_of_the_model_is_checked() {
    let mut n_broken = 0;
    for operation in Operation::ALL {
        let input = &model().operation(operation).input;
        for request in whole_requests(operation) {
            for Broken { value, member } in broken_structure(input, &request) {
                let shown = value.to_string();
                let shown: String = shown.chars().take(2000).collect();
                assert_ne!(
                    validate_request(operation, &value),
                    [],
                    "{operation:?} {shown}"
                );
                let refusal = refusal_of(operation, &value);
                let refusal =
                    refusal.unwrap_or_else(|| panic!("{operation:?} takes {member}: {shown}"));
                let is_named = refusal.to_lowercase().contains(&member.to_lowercase());
                assert!(is_named, "{member} in {refusal}");
                n_broken += 1;
            }
        }
    }
    assert!(n_broken > 1000, "{n_broken}");
}

#[test]
fn null_is_absent() {
    for operation in Operation::ALL {
        let input = &model().operation(operation).input;
        for request in whole_requests(operation) {
            let null = |member: &Member| (!member.is_required).then_some(Value::Null);
            for Broken { value, member } in replaced(input, &request, null) {
                let is_required = match operation {
                    Operation::CreateSamplingRule => member == "RuleName",
                    Operation::PutEncryptionConfig => value["Type"] == "KMS",
                    Operation::UpdateTraceSegmentDestination => member == "Destination",
                    Operation::UpdateIndexingRule => member == "Probabilistic",
                    _ => REQUIRED_HERE.contains(&(operation, member)),
                };
                let refusal = refusal_of(operation, &value);
                assert_eq!(
                    refusal.is_some(),
                    is_required,
                    "{operation:?} {member}: {refusal:?}"
                );
            }
        }
    }
}

#[test]
fn empty_lists_and_maps_are_taken() {
    let mut n_emptied = 0;
    for operation in Operation::ALL {
        let input = &model().operation(operation).input;
        for request in whole_requests(operation) {
            let empty = |member: &Member| match member.shape {
                MemberShape::List { .. } => Some(json!([])),
                MemberShape::Map { .. } => Some(json!({})),
                _ => None,
            };
            for Broken { value, member } in replaced(input, &request, empty) {
                assert_eq!(
                    validate_request(operation, &value),
                    [],
                    "{operation:?} {member}"
                );
                assert_eq!(
                    refusal_of(operation, &value),
                    None,
                    "{operation:?} {member}"
                );
                n_emptied += 1;
            }
        }
    }
    assert!(n_emptied > 20, "{n_emptied}");
}

#[test]
fn unknown_members_are_passed_over() {
    for operation in Operation::ALL {
        for mut request in whole_requests(operation) {
            request["Unknown"] = json!([{"a": null}]);
            assert_eq!(refusal_of(operation, &request), None);
            let found = validate_request(operation, &request);
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].path, "Unknown");
        }
    }
}

#[test]
fn an_empty_body_is_an_empty_object() {
    for operation in Operation::ALL {
        let empty = refusal(operation, b"");
        assert_eq!(empty, refusal(operation, b"{}"));
        let input = &model().operation(operation).input;
        let needs_any = input.members.iter().any(|member| member.is_required)
            || REQUIRED_HERE.iter().any(|(other, _)| *other == operation);
        assert_eq!(empty.is_some(), needs_any, "{operation:?}");
    }
}
