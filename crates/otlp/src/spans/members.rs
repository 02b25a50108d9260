//! The members of a document side by side, to see where two documents differ.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Members and their JSON by name. Those that have much in them are taken apart: `metadata` is an empty
/// object here and its namespaces are `metadata.<namespace>`, so with `aws`
/// and `http`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Members(pub(crate) BTreeMap<String, String>);

impl Members {
    /// Returns the members of a document, none if it is not readable.
    pub(crate) fn parse(document: &str) -> Option<Self> {
        let object: Object<'_> = serde_json::from_str(document).ok()?;
        let members = object.0.iter().map(|(name, json)| (name.as_str(), *json));
        Some(Self::of(members))
    }

    /// Returns members as they stand in a document.
    pub(super) fn of<'a>(members: impl Iterator<Item = (&'a str, &'a RawValue)>) -> Self {
        let mut out = Self::default();
        for (name, json) in members {
            out.put(name, json.get());
        }
        out
    }

    /// Puts a member as it stands in a document.
    pub(super) fn put(&mut self, name: &str, json: &str) {
        let parts = TAKEN_APART
            .contains(&name)
            .then(|| Object::distinct(json))
            .flatten();
        let Some(parts) = parts else {
            self.0.insert(name.to_owned(), json.to_owned());
            return;
        };
        self.0.insert(name.to_owned(), EMPTY.to_owned());
        for (part, json) in parts.0 {
            self.0.insert(format!("{name}.{part}"), json.to_string());
        }
    }

    /// Returns the document that has these members.
    pub(crate) fn to_document(&self) -> String {
        let mut out = String::from("{");
        for (name, json) in &self.0 {
            if is_part(name) {
                continue;
            }
            separate(&mut out);
            write_name(&mut out, name);
            let prefix = format!("{name}.");
            let parts = || {
                self.0
                    .iter()
                    .filter_map(|(name, json)| Some((name.strip_prefix(&prefix)?, json)))
            };
            if !TAKEN_APART.contains(&name.as_str()) || parts().next().is_none() {
                out.push_str(json);
                continue;
            }
            out.push('{');
            for (part, json) in parts() {
                separate(&mut out);
                write_name(&mut out, part);
                out.push_str(json);
            }
            out.push('}');
        }
        out.push('}');
        out
    }
}

/// Tells whether two JSON texts are the same value: members in any order, numbers digit by digit.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    one == other || canonical(one) == canonical(other)
}

/// Returns a JSON text without what does not matter: spaces, the order of members, escapes. What cannot be read that way
/// stays as it is.
pub(super) fn canonical(json: &str) -> String {
    let json = json.trim_ascii();
    let read = match json.as_bytes().first() {
        Some(b'"') => {
            let text: Option<String> = serde_json::from_str(json).ok();
            text.map(|text| Value::from(text).to_string())
        }
        Some(b'[') => {
            let elements: Option<Vec<&RawValue>> = serde_json::from_str(json).ok();
            elements.map(|elements| {
                let elements = elements.iter().map(|element| canonical(element.get()));
                format!("[{}]", elements.collect::<Vec<_>>().join(","))
            })
        }
        Some(b'{') => Object::distinct(json).map(|object| {
            let members = object.0.iter();
            let members = members.map(|(name, json)| {
                format!("{}:{}", Value::from(name.as_str()), canonical(json.get()))
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }),
        _ => None,
    };
    read.unwrap_or_else(|| json.to_owned())
}

fn is_part(name: &str) -> bool {
    let member = name.split_once('.').map(|(member, _)| member);
    member.is_some_and(|member| TAKEN_APART.contains(&member))
}

fn separate(out: &mut String) {
    if !out.ends_with('{') {
        out.push(',');
    }
}

fn write_name(out: &mut String, name: &str) {
    out.push_str(&Value::from(name).to_string());
    out.push(':');
}

/// The members of an object, ascending by name.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Object<'a> {
    /// Returns the object of a text; none if it is no object or names a member twice.
    fn distinct(json: &'a str) -> Option<Self> {
        let object: Self = serde_json::from_str(json).ok()?;
        let names = object.0.iter().map(|(name, _)| name);
        let mut later = names.clone().skip(1);
        let is_distinct = names.zip(&mut later).all(|(one, next)| one != next);
        is_distinct.then_some(object)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry::<String, &RawValue>()? {
            members.push(member);
        }
        members.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(Object(members))
    }
}

/// The members that are compared part by part.
const TAKEN_APART: [&str; 3] = ["aws", "http", "metadata"];
const EMPTY: &str = "{}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_the_same_whatever_the_order_of_members() {
        let check = |one: &str, other: &str, expected: bool| {
            assert_eq!(is_same(one, other), expected, "{one} {other}");
            assert_eq!(is_same(other, one), expected, "{other} {one}");
        };
        check(r#"{"a":1,"b":[1, {}]}"#, r#" { "b":[1,{ }], "a":1}"#, true);
        check(r#""\u0041""#, r#""A""#, true);
        check("1", "1.0", false);
        check("0.10", "0.1", false);
        check("[1,2]", "[2,1]", false);
        check("[1]", "[1,1]", false);
        check(r#"{"a":1}"#, r#"{"a":1,"b":1}"#, false);
        check(r#"{"a":1,"a":2}"#, r#"{"a":1, "a":2}"#, false);
        check(r#""\ud800""#, r#""\udc00""#, false);
        check("null", "false", false);
        check("[", "[ ", true);
    }

    #[test]
    fn canonical_texts_are_canonical() {
        let check = |json: &str, expected: &str| {
            assert_eq!(canonical(json), expected, "{json}");
            assert_eq!(canonical(expected), expected);
        };
        check(
            r#" { "b" : [ 1.50 , null ], "a\u0041" : "\/" } "#,
            r#"{"aA":"/","b":[1.50,null]}"#,
        );
        check(r#"{"a":1, "a":2}"#, r#"{"a":1, "a":2}"#);
        check(r#"["\ud800" ]"#, r#"["\ud800"]"#);
        check("1e400", "1e400");
    }

    #[test]
    fn members_are_taken_apart_and_put_together() {
        let check = |document: &str, names: &[&str]| {
            let members = Members::parse(document).unwrap();
            let found: Vec<&str> = members.0.keys().map(String::as_str).collect();
            assert_eq!(found, names, "{document}");
            assert!(is_same(&members.to_document(), document), "{document}");
        };
        check("{}", &[]);
        check(
            r#"{"metadata":{"a.b":{"c":1.50},"":2},"id":"x","aws":{},"http":{"request":{}}}"#,
            &[
                "aws",
                "http",
                "http.request",
                "id",
                "metadata",
                "metadata.",
                "metadata.a.b",
            ],
        );
        check(r#"{"metadata":7,"aws":null}"#, &["aws", "metadata"]);
        assert_eq!(Members::parse("7"), None);
        let twice = r#"{"metadata":{"a":1,"a":2}}"#;
        assert_eq!(Members::parse(twice).unwrap().to_document(), twice);
    }
}
