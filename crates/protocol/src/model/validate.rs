//! JSON held against the model, strictly.

use std::fmt::{self, Write};

use serde_json::{Map, Value};

use super::{Bounds, MemberShape, Structure, StructureKind, model};
use crate::Operation;
use crate::error::excerpt;

/// One place where JSON is not what the model says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Where, as in `Traces[0].Segments[2].Id`; empty for the whole body.
    pub path: String,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() {
            "body"
        } else {
            &self.path
        };
        write!(formatter, "{path}: {}", self.problem)
    }
}

/// Returns where the body of a request is not what the model says; null members are absent.
pub fn validate_request(operation: Operation, body: &Value) -> Vec<Mismatch> {
    validate(&model().operation(operation).input, body)
}

/// Returns where the body of a response is not what the model says; null members are absent.
pub fn validate_response(operation: Operation, body: &Value) -> Vec<Mismatch> {
    validate(&model().operation(operation).output, body)
}

fn validate(structure: &Structure, body: &Value) -> Vec<Mismatch> {
    let mut check = Check::default();
    check.structure(structure, body);
    check.mismatches
}

/// A walk over JSON and model at once.
#[derive(Default)]
struct Check {
    path: String,
    mismatches: Vec<Mismatch>,
}

impl Check {
    fn structure(&mut self, structure: &Structure, value: &Value) {
        let Value::Object(members) = value else {
            return self.wrong_type("an object", value);
        };
        for member in &structure.members {
            match members.get(member.name) {
                None | Some(Value::Null) if member.is_required => {
                    self.within(member.name, |check| {
                        check.add("a required member is absent");
                    });
                }
                None | Some(Value::Null) => {}
                Some(value) => {
                    self.within(member.name, |check| check.shape(&member.shape, value));
                }
            }
        }
        for name in members.keys() {
            if !structure.members.iter().any(|member| member.name == name) {
                self.within(name, |check| check.add("the model knows no such member"));
            }
        }
        if structure.kind == StructureKind::Union {
            self.union(members);
        }
    }

    fn union(&mut self, members: &Map<String, Value>) {
        let n_set = members.values().filter(|value| !value.is_null()).count();
        if n_set != 1 {
            self.add(format!("exactly one member must be set, not {n_set}"));
        }
    }

    fn shape(&mut self, shape: &MemberShape, value: &Value) {
        match shape {
            MemberShape::Text { length, pattern } => {
                let Some(text) = self.text(value) else { return };
                self.size(*length, text.chars().count(), "characters");
                if let Some(pattern) = pattern.filter(|pattern| !pattern.matches(text)) {
                    let regex = pattern.regex();
                    self.add(format!("'{}' is not of {regex}", excerpt(text, 64)));
                }
            }
            MemberShape::Choice(names) => {
                let Some(text) = self.text(value) else { return };
                if !names.contains(&text) {
                    let names = names.join(", ");
                    self.add(format!("'{}' is none of {names}", excerpt(text, 64)));
                }
            }
            MemberShape::Integer(range) => self.integer(*range, value),
            MemberShape::Long if value.as_i64().is_some() => {}
            MemberShape::Long => self.wrong_type("a whole number of 64 bits", value),
            MemberShape::Double(range) => self.double(*range, value),
            MemberShape::Boolean if value.is_boolean() => {}
            MemberShape::Boolean => self.wrong_type("true or false", value),
            MemberShape::Timestamp if value.is_number() => {}
            MemberShape::Timestamp => self.wrong_type("a number of seconds", value),
            MemberShape::List { item, size } => self.list(item, *size, value),
            MemberShape::Map {
                key,
                value: each,
                size,
            } => self.map(key, each, *size, value),
            MemberShape::Structure(name) => match model().structure(name) {
                Some(structure) => self.structure(structure, value),
                None => self.add(format!("the model has no structure {name}")),
            },
        }
    }

    fn text<'a>(&mut self, value: &'a Value) -> Option<&'a str> {
        let text = value.as_str();
        if text.is_none() {
            self.wrong_type("a text", value);
        }
        text
    }

    fn integer(&mut self, range: Bounds, value: &Value) {
        let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
        let Some(number) = number.map(i64::from) else {
            return self.wrong_type("a whole number of 32 bits", value);
        };
        let is_low = range.min.is_some_and(|min| number < i64::from(min));
        let is_high = range.max.is_some_and(|max| number > i64::from(max));
        if is_low || is_high {
            self.add(format!("{number} is out of bounds, which are {range}"));
        }
    }

    fn double(&mut self, range: Bounds, value: &Value) {
        let Some(number) = value.as_f64() else {
            return self.wrong_type("a number", value);
        };
        let is_low = range.min.is_some_and(|min| number < f64::from(min));
        let is_high = range.max.is_some_and(|max| number > f64::from(max));
        if is_low || is_high {
            self.add(format!("{number} is out of bounds, which are {range}"));
        }
    }

    fn list(&mut self, item: &MemberShape, size: Bounds, value: &Value) {
        let Value::Array(items) = value else {
            return self.wrong_type("a list", value);
        };
        self.size(size, items.len(), "items");
        for (idx, value) in items.iter().enumerate() {
            let n_outside = self.path.len();
            let written = write!(self.path, "[{idx}]");
            debug_assert!(written.is_ok(), "a text is always written to memory");
            self.shape(item, value);
            self.path.truncate(n_outside);
        }
    }

    fn map(&mut self, key: &MemberShape, each: &MemberShape, size: Bounds, value: &Value) {
        let Value::Object(values) = value else {
            return self.wrong_type("an object", value);
        };
        self.size(size, values.len(), "items");
        for (name, value) in values {
            self.within(name, |check| {
                check.shape(key, &Value::String(name.clone()));
                check.shape(each, value);
            });
        }
    }

    fn size(&mut self, bounds: Bounds, size: usize, noun: &str) {
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let is_small = bounds.min.is_some_and(|min| size < min);
        let is_large = bounds.max.is_some_and(|max| size > max);
        if is_small || is_large {
            self.add(format!("{size} {noun} where {bounds} may be"));
        }
    }

    fn wrong_type(&mut self, expected: &str, value: &Value) {
        let found = excerpt(&value.to_string(), 64);
        self.add(format!("{found} is not {expected}"));
    }

    fn within(&mut self, name: &str, check: impl FnOnce(&mut Self)) {
        let n_outside = self.path.len();
        if n_outside > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        check(self);
        self.path.truncate(n_outside);
    }

    fn add(&mut self, problem: impl Into<String>) {
        self.mismatches.push(Mismatch {
            path: self.path.clone(),
            problem: problem.into(),
        });
    }
}
