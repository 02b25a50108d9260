//! Values of attributes as JSON, in two forms.
//!
//! The *plain* form is what people read in metadata: text, numbers, lists and objects as themselves. It cannot tell
//! bytes from text, nor infinity from its name. The *exact* form can: it is the plain one, but for bytes, for
//! doubles that are no number, and for objects that could be taken for one of these three, which are written as an
//! object of one member: `{"bytesValue": "<base64>"}`, `{"doubleValue": "NaN"}`, `{"kvlistValue": {..}}`.
//!
//! In both an integer has neither fraction nor exponent and a double has one, so that the two stay apart. Of keys
//! that occur twice, which OTLP forbids, the first counts.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Number, Value as Json};

/// A value, written plain.
pub(crate) struct Plain<'a>(pub(crate) &'a AnyValue);

/// A value, written exact.
pub(crate) struct Exact<'a>(pub(crate) &'a AnyValue);

/// Attributes, written as an object of exact values, in the order of their keys.
pub(crate) struct ExactMembers<'a>(pub(crate) &'a [KeyValue]);

/// Returns attributes by key, the first of a key that occurs twice.
pub(crate) fn by_key(attributes: &[KeyValue]) -> BTreeMap<&str, &AnyValue> {
    let mut members = BTreeMap::new();
    for KeyValue { key, value, .. } in attributes {
        members
            .entry(key.as_str())
            .or_insert_with(|| value.as_ref().unwrap_or(&NONE));
    }
    members
}

/// Tells whether the plain form of a value says all of it.
pub(crate) fn is_plain(value: &AnyValue) -> bool {
    match &value.value {
        None
        | Some(
            Value::StringValue(_)
            | Value::BoolValue(_)
            | Value::IntValue(_)
            | Value::StringValueStrindex(_),
        ) => true,
        Some(Value::DoubleValue(double)) => double.is_finite(),
        Some(Value::BytesValue(_)) => false,
        Some(Value::ArrayValue(array)) => array.values.iter().all(is_plain),
        Some(Value::KvlistValue(list)) => {
            let mut values = list.values.iter().filter_map(|member| member.value.as_ref());
            values.all(is_plain)
        }
    }
}

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.value {
            // The last one refers to a table that only profiles have, and counts as no value elsewhere.
            None | Some(Value::StringValueStrindex(_)) => serializer.serialize_unit(),
            Some(Value::StringValue(text)) => serializer.serialize_str(text),
            Some(Value::BoolValue(boolean)) => serializer.serialize_bool(*boolean),
            Some(Value::IntValue(number)) => serializer.serialize_i64(*number),
            Some(Value::DoubleValue(double)) if double.is_finite() => {
                serializer.serialize_f64(*double)
            }
            Some(Value::DoubleValue(double)) => serializer.serialize_str(not_a_number(*double)),
            Some(Value::ArrayValue(array)) => {
                serializer.collect_seq(array.values.iter().map(Plain))
            }
            Some(Value::KvlistValue(list)) => {
                let members = by_key(&list.values).into_iter();
                serializer.collect_map(members.map(|(key, value)| (key, Plain(value))))
            }
            Some(Value::BytesValue(bytes)) => serializer.serialize_str(&STANDARD.encode(bytes)),
        }
    }
}

impl Serialize for Exact<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.value {
            Some(Value::DoubleValue(double)) if !double.is_finite() => {
                wrapped(serializer, DOUBLE, not_a_number(*double))
            }
            Some(Value::BytesValue(bytes)) => wrapped(serializer, BYTES, &STANDARD.encode(bytes)),
            Some(Value::KvlistValue(list)) if looks_wrapped(&list.values) => {
                wrapped(serializer, KVLIST, &ExactMembers(&list.values))
            }
            Some(Value::KvlistValue(list)) => ExactMembers(&list.values).serialize(serializer),
            Some(Value::ArrayValue(array)) => {
                serializer.collect_seq(array.values.iter().map(Exact))
            }
            None
            | Some(
                Value::StringValue(_)
                | Value::BoolValue(_)
                | Value::IntValue(_)
                | Value::DoubleValue(_)
                | Value::StringValueStrindex(_),
            ) => Plain(self.0).serialize(serializer),
        }
    }
}

impl Serialize for ExactMembers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let members = by_key(self.0).into_iter();
        serializer.collect_map(members.map(|(key, value)| (key, Exact(value))))
    }
}

fn wrapped<S: Serializer, T: Serialize + ?Sized>(
    serializer: S,
    name: &str,
    value: &T,
) -> Result<S::Ok, S::Error> {
    let mut members = serializer.serialize_map(Some(1))?;
    members.serialize_entry(name, value)?;
    members.end()
}

/// Tells whether an object of these members could be taken for a value that is written as one.
fn looks_wrapped(members: &[KeyValue]) -> bool {
    let mut keys = members.iter().map(|member| member.key.as_str());
    let Some(first) = keys.next() else {
        return false;
    };
    [BYTES, DOUBLE, KVLIST].contains(&first) && keys.all(|key| key == first)
}

const fn not_a_number(double: f64) -> &'static str {
    if double.is_nan() {
        "NaN"
    } else if double.is_sign_positive() {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// Returns the value a plain form stands for.
pub(crate) fn read_plain(json: &Json) -> AnyValue {
    let value = match json {
        Json::Null => None,
        Json::Bool(boolean) => Some(Value::BoolValue(*boolean)),
        Json::Number(number) => Some(read_number(number)),
        Json::String(text) => Some(Value::StringValue(text.clone())),
        Json::Array(values) => Some(array(values.iter().map(read_plain).collect())),
        Json::Object(members) => {
            let members = members.iter();
            let members = members.map(|(key, value)| key_value(key, read_plain(value)));
            Some(kvlist(members.collect()))
        }
    };
    AnyValue { value }
}

/// Returns the value an exact form stands for.
pub(crate) fn read_exact(json: &Json) -> AnyValue {
    let value = match json {
        Json::Array(values) => Some(array(values.iter().map(read_exact).collect())),
        Json::Object(members) => Some(read_wrapped(members).unwrap_or_else(|| {
            kvlist(read_exact_members(members))
        })),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => read_plain(json).value,
    };
    AnyValue { value }
}

/// Returns the attributes an object of exact values stands for.
pub(crate) fn read_exact_members(members: &Map<String, Json>) -> Vec<KeyValue> {
    let members = members.iter();
    let members = members.map(|(key, value)| key_value(key, read_exact(value)));
    members.collect()
}

/// Returns the value of an object that has one member, of one of the three names.
fn read_wrapped(members: &Map<String, Json>) -> Option<Value> {
    let (name, value) = members.iter().next()?;
    if members.len() != 1 {
        return None;
    }
    match name.as_str() {
        BYTES => STANDARD.decode(value.as_str()?).ok().map(Value::BytesValue),
        DOUBLE => value.as_str()?.parse().ok().map(Value::DoubleValue),
        KVLIST => value.as_object().map(|members| kvlist(read_exact_members(members))),
        _ => None,
    }
}

fn read_number(number: &Number) -> Value {
    match number.as_i64() {
        Some(whole) => Value::IntValue(whole),
        None => Value::DoubleValue(number.as_f64().unwrap_or(f64::NAN)),
    }
}

fn key_value(key: &str, value: AnyValue) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(value),
        ..KeyValue::default()
    }
}

const fn array(values: Vec<AnyValue>) -> Value {
    Value::ArrayValue(ArrayValue { values })
}

const fn kvlist(values: Vec<KeyValue>) -> Value {
    Value::KvlistValue(KeyValueList { values })
}

const BYTES: &str = "bytesValue";
const DOUBLE: &str = "doubleValue";
const KVLIST: &str = "kvlistValue";
static NONE: AnyValue = AnyValue { value: None };
