//! The ids of a document, as a server reads them: of a member that comes twice, the last one.

use std::borrow::Cow;

use model::TraceId;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The ids of a document, where they are texts.
#[derive(Debug, Default)]
pub(super) struct Members<'a> {
    pub(super) id: Option<Cow<'a, str>>,
    trace_id: Option<Cow<'a, str>>,
}

impl<'a> Members<'a> {
    /// Returns the ids of a document; none of what is no object.
    pub(super) fn of(document: &'a str) -> Self {
        serde_json::from_str(document).unwrap_or_default()
    }

    /// Returns the trace, if it can be read.
    pub(super) fn trace_id(&self) -> Option<TraceId> {
        TraceId::parse_any(self.trace_id.as_deref()?).ok()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Members::default();
        while let Some(Name(name)) = map.next_key()? {
            match &*name {
                "id" => members.id = text(map.next_value()?),
                "trace_id" => members.trace_id = text(map.next_value()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(members)
    }
}

/// A name, borrowed where it can be.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let Name(text) = serde_json::from_str(value.get()).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_a_server_reads_them() {
        let check = |document: &str, id: Option<&str>, trace_id: Option<&str>| {
            let members = Members::of(document);
            let found = members.trace_id().map(|trace_id| trace_id.to_string());
            assert_eq!(
                (members.id.as_deref(), found.as_deref()),
                (id, trace_id),
                "{document}"
            );
        };
        let (one, two) = (
            "1-581cf771-a006649127e371903a2de979",
            "1-581cf771-a006649127e371903a2de97a",
        );
        check("{}", None, None);
        check("[]", None, None);
        check("nonsense", None, None);
        check(
            &format!(r#"{{"id":"a","x":[1],"trace_id":"{one}"}}"#),
            Some("a"),
            Some(one),
        );
        check(
            &format!(r#"{{"trace_id":"{one}","trace_id":"{two}"}}"#),
            None,
            Some(two),
        );
        check(
            &format!(r#"{{"trace_id":"{one}","trace_id":5,"id":7}}"#),
            None,
            None,
        );
        check(&format!(r#"{{"trace\u005fid":"{one}"}}"#), None, Some(one));
        check(r#"{"id":"a\n","id":"b\n"}"#, Some("b\n"), None);
    }
}
