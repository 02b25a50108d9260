//! Attributes of spans, resources, events and links, and the JSON values they are made from.

use std::collections::HashSet;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use serde_json::Value;
use serde_json::value::RawValue;

/// Attributes in the order they were put, each key once.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    list: Vec<KeyValue>,
    keys: HashSet<String>,
}

/// Where in a member a value stands, and the attribute it becomes.
pub(super) type Places = [(&'static str, &'static str)];

impl Attributes {
    /// Puts an attribute; tells whether its key was free.
    pub(super) fn put(&mut self, key: &str, value: Any) -> bool {
        let is_new = self.keys.insert(key.to_owned());
        if is_new {
            self.list.push(key_value(key, Some(value)));
        }
        is_new
    }

    /// Puts a text.
    pub(super) fn put_text(&mut self, key: &str, text: &str) -> bool {
        self.put(key, Any::StringValue(text.to_owned()))
    }

    /// Puts the texts that stand at some places, and are not empty.
    pub(super) fn put_texts(&mut self, block: &Value, places: &Places) {
        for (place, key) in places {
            let text = block.pointer(place).and_then(Value::as_str);
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                self.put_text(key, text);
            }
        }
    }

    /// Puts the integers that stand at some places.
    pub(super) fn put_integers(&mut self, block: &Value, places: &Places) {
        for (place, key) in places {
            if let Some(integer) = block.pointer(place).and_then(Value::as_i64) {
                self.put(key, Any::IntValue(integer));
            }
        }
    }

    /// Returns the attributes.
    pub(super) fn into_list(self) -> Vec<KeyValue> {
        self.list
    }
}

/// Returns an attribute.
pub(super) fn key_value(key: &str, value: Option<Any>) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value }),
        key_strindex: 0,
    }
}

/// Returns a list of texts.
pub(super) fn texts(texts: impl IntoIterator<Item = String>) -> Any {
    let values = texts.into_iter().map(|text| AnyValue {
        value: Some(Any::StringValue(text)),
    });
    Any::ArrayValue(ArrayValue {
        values: values.collect(),
    })
}

/// Returns the value of a text, number or boolean; none for anything else. A number without fraction
/// and exponent is an integer.
pub(super) fn scalar(json: &RawValue) -> Option<Any> {
    let json = json.get();
    if json.starts_with('"') {
        return serde_json::from_str(json).ok().map(Any::StringValue);
    }
    if let Ok(boolean) = json.parse() {
        return Some(Any::BoolValue(boolean));
    }
    let is_number = json.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    number(json).filter(|_| is_number)
}

/// Returns the value of a JSON value; none for null, for numbers no double holds, and for what is nested so deep that
/// readers of spans might refuse it.
pub(super) fn any(json: &Value) -> Option<Any> {
    unbounded(json).filter(|value| n_messages(value) <= MESSAGES_MAX)
}

fn unbounded(json: &Value) -> Option<Any> {
    match json {
        Value::Null => None,
        Value::Bool(boolean) => Some(Any::BoolValue(*boolean)),
        Value::Number(digits) => number(&digits.to_string()),
        Value::String(text) => Some(Any::StringValue(text.clone())),
        Value::Array(elements) => {
            let values = elements.iter().map(|element| AnyValue {
                value: unbounded(element),
            });
            Some(Any::ArrayValue(ArrayValue {
                values: values.collect(),
            }))
        }
        Value::Object(members) => {
            let values = members
                .iter()
                .map(|(key, value)| key_value(key, unbounded(value)));
            Some(Any::KvlistValue(KeyValueList {
                values: values.collect(),
            }))
        }
    }
}

/// Returns how many messages of protobuf are nested in each other in a value.
pub(super) fn n_messages(value: &Any) -> usize {
    let inner = |value: &AnyValue| value.value.as_ref().map_or(0, n_messages);
    match value {
        Any::ArrayValue(array) => 2 + array.values.iter().map(inner).max().unwrap_or(0),
        Any::KvlistValue(list) => {
            let values = list.values.iter();
            let values = values.filter_map(|member| member.value.as_ref());
            3 + values.map(inner).max().unwrap_or(0)
        }
        Any::StringValue(_)
        | Any::BoolValue(_)
        | Any::IntValue(_)
        | Any::DoubleValue(_)
        | Any::BytesValue(_)
        | Any::StringValueStrindex(_) => 1,
    }
}

/// Returns the members of an object as attributes.
pub(super) fn key_values(members: &serde_json::Map<String, Value>) -> Vec<KeyValue> {
    members
        .iter()
        .map(|(key, value)| key_value(key, any(value)))
        .collect()
}

fn number(digits: &str) -> Option<Any> {
    if let Ok(integer) = digits.parse() {
        return Some(Any::IntValue(integer));
    }
    let double: f64 = digits.parse().ok()?;
    double.is_finite().then_some(Any::DoubleValue(double))
}

/// So many nested messages are at most 126 levels of OTLP/JSON, with the span around them.
const MESSAGES_MAX: usize = 70;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: impl Into<Option<Any>>) {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        assert_eq!(scalar(raw), expected.into(), "{json}");
    }

    #[test]
    fn scalars_keep_their_type() {
        check("\"a\\u0041\"", Any::StringValue("aA".to_owned()));
        check("true", Any::BoolValue(true));
        check("12", Any::IntValue(12));
        check("-12", Any::IntValue(-12));
        check("12.0", Any::DoubleValue(12.0));
        check("1e2", Any::DoubleValue(100.0));
        check(
            "9223372036854775808",
            Some(Any::DoubleValue(9_223_372_036_854_775_808.0)),
        );
        for json in ["null", "[]", "{}", "1e999", "\"\\ud800\""] {
            check(json, None);
        }
    }

    #[test]
    fn the_first_of_two_attributes_stays() {
        let mut attributes = Attributes::default();
        assert!(attributes.put_text("a", "1"));
        assert!(!attributes.put_text("a", "2"));
        let one = key_value("a", Some(Any::StringValue("1".to_owned())));
        assert_eq!(attributes.into_list(), [one]);
    }
}
