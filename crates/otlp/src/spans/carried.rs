//! What a span carries along because no convention says it.
//!
//! A document is more than its span: spellings of numbers, members no convention knows, and members the
//! exporter would add. The span says what the conventions can, and attributes carry the rest:
//! `aws.xray.document.<member>` has the JSON of a member as it was sent, and `aws.xray.document.without`
//! lists members that the document does not have though the exporter writes them. Whoever makes a
//! document of the span again puts them in their places, so that it is the same.

use std::collections::{BTreeMap, BTreeSet};

use model::Timestamp;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;

use super::attributes::{key_value, texts};
use super::members::{Members, is_same};

/// How a document differs from the one that is made of its span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    /// The JSON of members.
    members: BTreeMap<String, String>,
    /// Members that are not there.
    without: BTreeSet<String>,
}

impl Carried {
    /// Returns how a document differs from one that was made of its span. Members that make it the
    /// document it is are the same in both and are not looked at.
    pub(crate) fn between(sent: &Members, made: &Members) -> Self {
        let is_carried = |name: &&String| !FIXED.contains(&name.as_str());
        let differs = |(name, json): &(&String, &String)| {
            let other = made.0.get(*name);
            !other.is_some_and(|other| is_same_member(name, json, other))
        };
        let members = sent.0.iter().filter(|(name, _)| is_carried(name));
        let members = members.filter(differs);
        let missing = made.0.keys().filter(|name| !sent.0.contains_key(*name));
        Self {
            members: members
                .map(|(name, json)| (name.clone(), json.clone()))
                .collect(),
            without: missing.filter(is_carried).cloned().collect(),
        }
    }

    /// Returns the attributes that carry it.
    pub(crate) fn to_attributes(&self) -> Vec<KeyValue> {
        let carry = |(name, json): (&String, &String)| {
            key_value(
                &format!("{PREFIX}{name}"),
                Some(Any::StringValue(json.clone())),
            )
        };
        let mut attributes: Vec<KeyValue> = self.members.iter().map(carry).collect();
        if !self.without.is_empty() {
            attributes.push(key_value(
                WITHOUT,
                Some(texts(self.without.iter().cloned())),
            ));
        }
        attributes
    }

    /// Tells whether attributes carry something.
    pub(crate) fn is_in(attributes: &[KeyValue]) -> bool {
        let mut keys = attributes.iter().map(|attribute| &attribute.key);
        keys.any(|key| key.starts_with(PREFIX))
    }

    /// Takes what is carried out of the attributes of a span.
    pub(crate) fn take(attributes: &mut Vec<KeyValue>) -> Self {
        let mut carried = Self::default();
        attributes.retain(|attribute| !carried.read(attribute));
        carried
    }

    /// Returns a document with its members in their places.
    pub(crate) fn apply(&self, mut made: Members) -> Members {
        made.0.retain(|name, _| !self.without.contains(name));
        for (name, json) in &self.members {
            made.0.insert(name.clone(), json.clone());
        }
        made
    }

    /// Reads an attribute; tells whether it carries something.
    fn read(&mut self, attribute: &KeyValue) -> bool {
        let value = attribute
            .value
            .as_ref()
            .and_then(|value| value.value.as_ref());
        match (attribute.key.strip_prefix(PREFIX), value) {
            (Some("without"), Some(Any::ArrayValue(names))) => {
                let texts = names.values.iter().filter_map(|name| match &name.value {
                    Some(Any::StringValue(name)) => Some(name.clone()),
                    Some(_) | None => None,
                });
                self.without.extend(texts);
                true
            }
            (Some(name), Some(Any::StringValue(json))) if !FIXED.contains(&name) => {
                self.members.insert(name.to_owned(), json.clone());
                true
            }
            (_, _) => false,
        }
    }
}

/// Tells whether a member is the same in two documents: a time if it is the same instant, anything else
/// if it is the same JSON.
fn is_same_member(name: &str, one: &str, other: &str) -> bool {
    if !TIMES.contains(&name) {
        return is_same(one, other);
    }
    let instant = |json| Timestamp::parse_seconds(json).ok();
    instant(one).is_some_and(|one| Some(one) == instant(other))
}

const PREFIX: &str = "aws.xray.document.";
const WITHOUT: &str = "aws.xray.document.without";
const TIMES: [&str; 2] = ["start_time", "end_time"];

/// Members that a span says itself, always.
const FIXED: [&str; 4] = ["id", "trace_id", "inferred", "subsegments"];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sent: &str, made: &str, attributes: &[(&str, &str)]) {
        let members = |document| Members::parse(document).unwrap();
        let carried = Carried::between(&members(sent), &members(made));
        let mut list = carried.to_attributes();
        let found: Vec<(&str, String)> = list
            .iter()
            .map(
                |attribute| match attribute.value.as_ref().unwrap().value.as_ref() {
                    Some(Any::StringValue(json)) => (attribute.key.as_str(), json.clone()),
                    other => (
                        attribute.key.as_str(),
                        format!("{other:?}")
                            .matches("StringValue")
                            .count()
                            .to_string(),
                    ),
                },
            )
            .collect();
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(key, json)| (*key, json.as_str()))
            .collect();
        assert_eq!(found, attributes, "{sent} {made}");
        list.insert(0, key_value("other", None));
        assert_eq!(Carried::take(&mut list), carried);
        assert_eq!(list.len(), 1);
        let applied = carried.apply(members(made)).to_document();
        let again = Carried::between(&members(sent), &members(&applied));
        assert_eq!(again, Carried::default(), "{applied}");
    }

    #[test]
    fn only_what_differs_is_carried() {
        check(r#"{"id":"1","user":"u"}"#, r#"{"id":"2","user":"u"}"#, &[]);
        check(
            r#"{"start_time":1.5E1,"end_time":2}"#,
            r#"{"start_time":15.0,"end_time":2.0}"#,
            &[],
        );
        check(
            r#"{"error":true,"user":"u","http":{"a":1.0}}"#,
            r#"{"error":false,"fault":true,"throttle":false,"user":"u","http":{"a":1}}"#,
            &[
                ("aws.xray.document.error", "true"),
                ("aws.xray.document.http.a", "1.0"),
                ("aws.xray.document.without", "2"),
            ],
        );
        check(
            r#"{"metadata":{"a":{"b":1}}}"#,
            r#"{"metadata":{"a":{"b":1},"otel":{}},"aws":{"xray":{}}}"#,
            &[("aws.xray.document.without", "3")],
        );
        check(
            r#"{"metadata":[1]}"#,
            r#"{"metadata":{"otel":{}}}"#,
            &[
                ("aws.xray.document.metadata", "[1]"),
                ("aws.xray.document.without", "1"),
            ],
        );
    }
}
