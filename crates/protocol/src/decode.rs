//! Request bodies as shapes: one way from bytes to a request whose constraints hold.
//!
//! 1. An empty body is `{}`; anything but a JSON object is refused.
//! 2. The body is read once, borrowing; null members are absent, unknown ones skipped, repeated ones
//!    refused. Only when that goes wrong it is read again, slowly, to name the member.
//! 3. The shape's constraints are checked all together and told in the style of the service.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::error::excerpt;
use crate::{ApiError, Violations};

/// A request that can be made from a body.
pub trait Shape<'a>: Sized {
    /// The members as they come, each optional.
    type Wire: Deserialize<'a>;

    /// Returns the request, or `None` after telling `violations` why not.
    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self>;
}

/// Returns the request a body holds.
///
/// # Errors
/// `InvalidRequestException` with a message that names the member or the position.
pub fn decode<'a, T: Shape<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    let body = if body.iter().all(u8::is_ascii_whitespace) {
        b"{}"
    } else {
        body
    };
    let wire = match serde_json::from_slice::<Object<T::Wire>>(body) {
        Ok(Object(wire)) => wire,
        Err(error) => return Err(malformed::<T::Wire>(body, &error)),
    };
    let mut violations = Violations::default();
    match T::from_wire(wire, &mut violations) {
        Some(request) if violations.is_empty() => Ok(request),
        Some(_) | None => Err(violations.into_error()),
    }
}

/// A JSON object read as `T`; derived readers alone would take an array of the members, too.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// A JSON array of at most [`LIST_ITEMS_MAX`] items: tiny items must not make a body grow in memory.
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
            type Value = List<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    if list.len() == LIST_ITEMS_MAX {
                        let message = format!("a list has at most {LIST_ITEMS_MAX} items");
                        return Err(serde::de::Error::custom(message));
                    }
                    list.push(item);
                }
                Ok(List(list))
            }
        }

        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

/// Reads a body that is known to be wrong once more, now watching where.
fn malformed<'a, T: Deserialize<'a>>(body: &'a [u8], first: &serde_json::Error) -> ApiError {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let place = match serde_path_to_error::deserialize::<_, Object<T>>(&mut deserializer) {
        Err(error) if error.path().iter().next().is_some() => format!("{}: ", error.path()),
        Ok(_) | Err(_) => String::new(),
    };
    let place = excerpt(&place, 100);
    let cause = excerpt(&first.to_string(), 200);
    ApiError::invalid_request(format!("the request body cannot be read: {place}{cause}"))
}

/// How many items a list in a request may have, whatever the operation says on top of it.
pub(crate) const LIST_ITEMS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::Operation;
    use crate::shapes::tests::refusal;

    /// Decodes a body as every request; each refusal must be a short message for the client.
    fn decode_as_everything(body: &[u8]) {
        let refuse = |operation| refusal(operation, body);
        for error in Operation::ALL.into_iter().filter_map(refuse) {
            assert_eq!(error.status(), 400);
            assert!(error.message().chars().count() < 2500, "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(body: Vec<u8>) {
            decode_as_everything(&body);
        }

        #[test]
        fn any_values_of_known_members_are_answered(
            member in "TraceIds|TraceSegmentDocuments|StartTime|EndTime|SamplingStrategy|TelemetryRecords|NextToken|Tags|TagKeys|Rule|SamplingRule|SamplingRuleUpdate|States|MaxResults|Period|InsightId|SamplingStatisticsDocuments",
            value in r#"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,12})?|"[a-z]{0,50}"|null|\[("x",){0,3}1\]|\{\}|\{"Value":1e400\}"#,
        ) {
            decode_as_everything(format!(r#"{{"{member}": {value}}}"#).as_bytes());
        }
    }
}
