//! Wrong requests made from a right one and the service model: every constraint of every member, broken one at
//! a time.

use protocol::Operation;
use protocol::model::{Bounds, Member, MemberShape, Structure, StructureKind, model};
use serde_json::{Value, json};

use super::ask::Ask;
use super::exam::Exam;
use super::want::MALFORMED;
use crate::exit::Stop;

/// Checks that an operation refuses what is not of the model, given a request that is.
pub(super) async fn check(
    exam: &mut Exam,
    operation: Operation,
    right: &Value,
) -> Result<(), Stop> {
    if model().operation(operation).input.members.is_empty() {
        return Ok(());
    }
    for (name, body) in [
        ("a body that ends too early is refused", "{\"a\":"),
        ("a body that is a list is refused", "[]"),
    ] {
        exam.refuses(operation, name, Ask::raw(body), MALFORMED)
            .await?;
    }
    exam.refuses_well(operation, Ask::raw("{\"a\":")).await?;
    for wrong in wrong_requests(operation, right) {
        exam.refuses(operation, &wrong.name, wrong.body, MALFORMED)
            .await?;
    }
    Ok(())
}

/// Checks that an operation does not mind unknown members and nulls, given a request it takes.
pub(super) async fn check_tolerance(
    exam: &mut Exam,
    operation: Operation,
    right: &Value,
) -> Result<(), Stop> {
    let mut body = right.clone();
    if let Some(members) = body.as_object_mut() {
        for member in &model().operation(operation).input.members {
            members.entry(member.name).or_insert(Value::Null);
        }
        members.insert("ConformUnknown".to_owned(), json!({ "Members": [1, null] }));
    }
    exam.passes(
        operation,
        "unknown and null members of a request are ignored",
        body,
        &[],
    )
    .await?;
    Ok(())
}

/// A request with one thing wrong.
struct Wrong {
    name: String,
    body: Value,
}

fn wrong_requests(operation: Operation, right: &Value) -> Vec<Wrong> {
    let mut breaker = Breaker {
        right,
        found: Vec::new(),
    };
    breaker.structure("", &model().operation(operation).input, right);
    breaker.found
}

/// A walk over the model and a right request at once.
struct Breaker<'a> {
    right: &'a Value,
    found: Vec<Wrong>,
}

impl Breaker<'_> {
    fn structure(&mut self, pointer: &str, structure: &Structure, value: &Value) {
        for member in &structure.members {
            let place = format!("{pointer}/{}", member.name);
            if member.is_required {
                self.add(&place, "that is absent", Value::Null);
            }
            self.member(&place, member, value.get(member.name));
        }
        if structure.kind == StructureKind::Union {
            self.add(pointer, "with no member", json!({}));
        }
    }

    fn member(&mut self, place: &str, member: &Member, value: Option<&Value>) {
        let wrong_type = match member.shape {
            MemberShape::Structure(_) | MemberShape::Map { .. } => json!("text"),
            MemberShape::Text { .. }
            | MemberShape::Choice(_)
            | MemberShape::Integer(_)
            | MemberShape::Long
            | MemberShape::Double(_)
            | MemberShape::Boolean
            | MemberShape::Timestamp
            | MemberShape::List { .. } => json!({ "a": 1 }),
        };
        self.add(place, "of another type", wrong_type);
        self.shape(place, &member.shape, value);
    }

    fn shape(&mut self, place: &str, shape: &MemberShape, value: Option<&Value>) {
        match shape {
            MemberShape::Text { length, pattern } => {
                self.text(place, *length);
                if pattern.is_some() {
                    self.add(place, "not of its pattern", json!("no such thing?"));
                }
            }
            MemberShape::Choice(_) => self.add(place, "that is no choice", json!("conform")),
            MemberShape::Integer(bounds) | MemberShape::Double(bounds) => {
                self.number(place, *bounds);
            }
            MemberShape::List { item, size } => {
                let items = value.and_then(Value::as_array);
                let Some(first) = items.and_then(|items| items.first()) else {
                    return;
                };
                self.list(place, *size, first);
                self.shape(&format!("{place}/0"), item, Some(first));
            }
            MemberShape::Map { size, .. } => self.map(place, *size),
            MemberShape::Structure(name) => {
                if let (Some(value), Some(structure)) = (value, model().structure(name)) {
                    self.structure(place, structure, value);
                }
            }
            MemberShape::Long | MemberShape::Boolean | MemberShape::Timestamp => {}
        }
    }

    fn text(&mut self, place: &str, length: Bounds) {
        if length.min.is_some_and(|min| min > 0) {
            self.add(place, "that is empty", json!(""));
        }
        if let Some(max) = length.max {
            let n_chars = usize::try_from(max).unwrap_or(usize::MAX).saturating_add(1);
            let text = self.at(place).and_then(Value::as_str).unwrap_or_default();
            let text = format!("{text}{}", "x".repeat(n_chars.saturating_sub(text.len())));
            self.add(place, &format!("of {n_chars} characters"), json!(text));
        }
    }

    fn number(&mut self, place: &str, bounds: Bounds) {
        if let Some(min) = bounds.min {
            let low = i64::from(min) - 1;
            self.add(place, &format!("of {low}"), json!(low));
        }
        if let Some(max) = bounds.max {
            let high = i64::from(max) + 1;
            self.add(place, &format!("of {high}"), json!(high));
        }
    }

    fn list(&mut self, place: &str, size: Bounds, first: &Value) {
        if let Some(max) = size.max {
            let n_items = usize::try_from(max).unwrap_or(usize::MAX).saturating_add(1);
            let items: Vec<Value> = (0..n_items).map(|_| first.clone()).collect();
            self.add(place, &format!("of {n_items} items"), json!(items));
        }
    }

    fn map(&mut self, place: &str, size: Bounds) {
        if let Some(max) = size.max {
            let names = (0..=max).map(|number| (format!("a{number}"), json!("b")));
            self.add(
                place,
                &format!("of {} items", max + 1),
                Value::Object(names.collect()),
            );
        }
    }

    fn at(&self, pointer: &str) -> Option<&Value> {
        self.right.pointer(pointer)
    }

    /// Notes the right request with this value at this place; null takes the member away.
    fn add(&mut self, pointer: &str, problem: &str, value: Value) {
        let mut body = self.right.clone();
        let Some((outer, name)) = pointer.rsplit_once('/') else {
            return;
        };
        match body.pointer_mut(outer) {
            Some(Value::Object(members)) if value.is_null() => {
                members.remove(name);
            }
            Some(Value::Object(members)) => {
                members.insert(name.to_owned(), value);
            }
            Some(Value::Array(items)) => {
                if let Some(first) = items.first_mut() {
                    *first = value;
                }
            }
            Some(_) | None => return,
        }
        let place = pointer.trim_start_matches('/').replace('/', ".");
        self.found.push(Wrong {
            name: format!("{place} {problem} is refused"),
            body,
        });
    }
}

#[cfg(test)]
mod tests {
    use protocol::model::validate_request;

    use super::*;

    fn names(operation: Operation, right: &Value) -> Vec<String> {
        let wrong = wrong_requests(operation, right);
        for wrong in &wrong {
            assert!(
                !validate_request(operation, &wrong.body).is_empty(),
                "{}: {}",
                wrong.name,
                wrong.body
            );
        }
        wrong.into_iter().map(|wrong| wrong.name).collect()
    }

    #[test]
    fn every_constraint_is_broken_once() {
        let right = json!({ "ResourceARN": "arn", "Tags": [{ "Key": "k", "Value": "v" }] });
        assert!(validate_request(Operation::TagResource, &right).is_empty());
        insta::assert_snapshot!(names(Operation::TagResource, &right).join("\n"), @r"
        ResourceARN that is absent is refused
        ResourceARN of another type is refused
        ResourceARN that is empty is refused
        ResourceARN of 1012 characters is refused
        Tags that is absent is refused
        Tags of another type is refused
        Tags of 201 items is refused
        Tags.0.Key that is absent is refused
        Tags.0.Key of another type is refused
        Tags.0.Key that is empty is refused
        Tags.0.Key of 129 characters is refused
        Tags.0.Value that is absent is refused
        Tags.0.Value of another type is refused
        Tags.0.Value of 257 characters is refused
        ");
    }

    #[test]
    fn members_a_request_does_not_have_are_broken_too() {
        let right =
            json!({ "Name": "n", "Rule": { "Probabilistic": { "DesiredSamplingPercentage": 1 } } });
        insta::assert_snapshot!(names(Operation::UpdateIndexingRule, &right).join("\n"), @r"
        Name that is absent is refused
        Name of another type is refused
        Rule that is absent is refused
        Rule of another type is refused
        Rule.Probabilistic of another type is refused
        Rule.Probabilistic.DesiredSamplingPercentage that is absent is refused
        Rule.Probabilistic.DesiredSamplingPercentage of another type is refused
        Rule with no member is refused
        ");
        insta::assert_snapshot!(names(Operation::GetGroups, &json!({})).join("\n"), @r"
        NextToken of another type is refused
        NextToken that is empty is refused
        NextToken of 101 characters is refused
        ");
    }
}
