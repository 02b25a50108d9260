//! The attributes of a span or a resource, by key.

use std::collections::BTreeMap;
use std::net::IpAddr;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

use crate::value::by_key;

/// Attributes by key, the first of a key that occurs twice.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes<'a>(BTreeMap<&'a str, &'a AnyValue>);

impl<'a> Attributes<'a> {
    pub(super) fn of(attributes: &'a [KeyValue]) -> Self {
        Self(by_key(attributes))
    }

    /// Returns the same attributes but for some.
    pub(super) fn without(&self, keys: &[&str]) -> Self {
        let mut attributes = self.clone();
        attributes.0.retain(|key, _| !keys.contains(key));
        attributes
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a AnyValue)> {
        self.0.iter().map(|(key, value)| (*key, *value))
    }

    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.0.get(key)?.value.as_ref()
    }

    /// Returns the text under a key, if there is one and it is not empty.
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        text_of(self.value(key)?)
    }

    /// Returns the first text under some keys: names of one thing, in the order in which they count.
    pub(super) fn first_text(&self, keys: &[&str]) -> Option<&'a str> {
        keys.iter().find_map(|key| self.text(key))
    }

    /// Returns the first text under some keys, or digits of the first number.
    pub(super) fn first_digits(&self, keys: &[&str]) -> Option<String> {
        keys.iter().find_map(|key| match self.value(key)? {
            Value::IntValue(number) => Some(number.to_string()),
            value => text_of(value).map(str::to_owned),
        })
    }

    /// Returns the first whole number under some keys; some send it as text.
    pub(super) fn first_whole(&self, keys: &[&str]) -> Option<i64> {
        keys.iter().find_map(|key| match self.value(key)? {
            Value::IntValue(number) => Some(*number),
            value => text_of(value)?.parse().ok(),
        })
    }

    /// Returns the text under a key, if it is an address of the Internet protocol.
    pub(super) fn address(&self, key: &str) -> Option<&'a str> {
        self.text(key).filter(|text| text.parse::<IpAddr>().is_ok())
    }
}

/// Returns the text of a value, if it is one and not empty.
pub(super) fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::StringValue(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// Returns the texts in a list.
pub(super) fn texts_of(values: &[AnyValue]) -> impl Iterator<Item = &str> {
    values
        .iter()
        .filter_map(|value| value.value.as_ref().and_then(text_of))
}
