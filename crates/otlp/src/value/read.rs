//! Values of attributes, read from the JSON they were written as.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use serde_json::{Map, Number, Value as Json};

use super::{BYTES, DOUBLE, KVLIST};

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
pub(super) fn read_exact(json: &Json) -> AnyValue {
    let value = match json {
        Json::Array(values) => Some(array(values.iter().map(read_exact).collect())),
        Json::Object(members) => {
            Some(read_wrapped(members).unwrap_or_else(|| kvlist(read_exact_members(members))))
        }
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
        KVLIST => value
            .as_object()
            .map(|members| kvlist(read_exact_members(members))),
        _ => None,
    }
}

fn read_number(number: &Number) -> Value {
    match number.as_i64() {
        Some(whole) => Value::IntValue(whole),
        None => Value::DoubleValue(number.as_f64().unwrap_or(f64::NAN)),
    }
}

pub(super) fn key_value(key: &str, value: AnyValue) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(value),
        ..KeyValue::default()
    }
}

pub(super) const fn array(values: Vec<AnyValue>) -> Value {
    Value::ArrayValue(ArrayValue { values })
}

pub(super) const fn kvlist(values: Vec<KeyValue>) -> Value {
    Value::KvlistValue(KeyValueList { values })
}
