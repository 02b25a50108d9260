//! Values of attributes as JSON, in two forms.
//!
//! The *plain* form is what people read in metadata: text, numbers, lists and objects as themselves. It cannot tell
//! bytes from text, nor infinity from its name. The *exact* form can: it is the plain one, but for bytes, for
//! doubles that are no number, and for objects that could be taken for one of these three, which are written as an
//! object of one member: `{"bytesValue": "<base64>"}`, `{"doubleValue": "NaN"}`, `{"kvlistValue": {..}}`.
//!
//! In both an integer has neither fraction nor exponent and a double has one, so that the two stay apart. Of keys
//! that occur twice, which OTLP forbids, the first counts.

#[cfg(test)]
mod read;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use serde::ser::{Serialize, SerializeMap, Serializer};

#[cfg(test)]
pub(crate) use read::{read_exact_members, read_plain};

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
            let mut values = list
                .values
                .iter()
                .filter_map(|member| member.value.as_ref());
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

const BYTES: &str = "bytesValue";
const DOUBLE: &str = "doubleValue";
const KVLIST: &str = "kvlistValue";
static NONE: AnyValue = AnyValue { value: None };

#[cfg(test)]
mod tests {
    use super::read::{array, key_value, kvlist, read_exact};
    use super::*;

    fn any(value: Value) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    fn map(members: &[(&str, AnyValue)]) -> AnyValue {
        let members = members.iter();
        let members = members.map(|(key, value)| key_value(key, value.clone()));
        any(kvlist(members.collect()))
    }

    fn text(text: &str) -> AnyValue {
        any(Value::StringValue(text.to_owned()))
    }

    fn check(value: &AnyValue, plain: &str, exact: &str) {
        let written = serde_json::to_string(&Plain(value)).unwrap();
        assert_eq!(written, plain, "{value:?}");
        if is_plain(value) {
            let json = serde_json::from_str(&written).unwrap();
            assert_eq!(read_plain(&json), *value, "{plain}");
        }
        assert_eq!(
            is_plain(value),
            plain == exact || exact.contains("\"kvlistValue\""),
            "{exact}"
        );
        let written = serde_json::to_string(&Exact(value)).unwrap();
        assert_eq!(written, exact, "{value:?}");
        let json = serde_json::from_str(&written).unwrap();
        assert_eq!(format!("{:?}", read_exact(&json)), format!("{value:?}"));
    }

    #[test]
    fn values_have_two_forms() {
        let plain = |value: AnyValue, json: &str| check(&value, json, json);
        plain(AnyValue { value: None }, "null");
        plain(text("a\"b"), r#""a\"b""#);
        plain(any(Value::BoolValue(true)), "true");
        plain(any(Value::IntValue(i64::MIN)), "-9223372036854775808");
        plain(any(Value::IntValue(0)), "0");
        plain(any(Value::DoubleValue(1.0)), "1.0");
        plain(any(Value::DoubleValue(-0.0)), "-0.0");
        plain(any(Value::DoubleValue(1e300)), "1e+300");
        plain(any(Value::DoubleValue(0.1 + 0.2)), "0.30000000000000004");
        plain(
            any(array(vec![text("a"), AnyValue { value: None }])),
            r#"["a",null]"#,
        );
        plain(map(&[("a", text("b"))]), r#"{"a":"b"}"#);
        plain(map(&[]), "{}");
        let bytes = any(Value::BytesValue(vec![1, 255]));
        check(&bytes, r#""Af8=""#, r#"{"bytesValue":"Af8="}"#);
        check(
            &any(Value::DoubleValue(f64::NAN)),
            r#""NaN""#,
            r#"{"doubleValue":"NaN"}"#,
        );
        check(
            &any(Value::DoubleValue(f64::INFINITY)),
            r#""Infinity""#,
            r#"{"doubleValue":"Infinity"}"#,
        );
        check(
            &any(Value::DoubleValue(f64::NEG_INFINITY)),
            r#""-Infinity""#,
            r#"{"doubleValue":"-Infinity"}"#,
        );
        check(
            &any(array(vec![bytes.clone()])),
            r#"["Af8="]"#,
            r#"[{"bytesValue":"Af8="}]"#,
        );
        check(
            &map(&[("a", bytes)]),
            r#"{"a":"Af8="}"#,
            r#"{"a":{"bytesValue":"Af8="}}"#,
        );
    }

    #[test]
    fn objects_are_not_taken_for_wrapped_values() {
        let looks = map(&[("bytesValue", text("Af8="))]);
        check(
            &looks,
            r#"{"bytesValue":"Af8="}"#,
            r#"{"kvlistValue":{"bytesValue":"Af8="}}"#,
        );
        check(
            &map(&[("kvlistValue", looks)]),
            r#"{"kvlistValue":{"bytesValue":"Af8="}}"#,
            r#"{"kvlistValue":{"kvlistValue":{"kvlistValue":{"bytesValue":"Af8="}}}}"#,
        );
        let two = map(&[("bytesValue", text("")), ("doubleValue", text(""))]);
        let json = r#"{"bytesValue":"","doubleValue":""}"#;
        check(&two, json, json);
    }

    #[test]
    fn the_first_of_two_keys_counts() {
        let twice = map(&[("b", text("1")), ("a", text("2")), ("b", text("3"))]);
        let written = serde_json::to_string(&Exact(&twice)).unwrap();
        assert_eq!(written, r#"{"a":"2","b":"1"}"#);
        let wrapped = map(&[("bytesValue", text("1")), ("bytesValue", text("2"))]);
        let written = serde_json::to_string(&Exact(&wrapped)).unwrap();
        assert_eq!(written, r#"{"kvlistValue":{"bytesValue":"1"}}"#);
    }
}
