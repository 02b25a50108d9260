//! Root causes as an expression gives them: JSON in the shape of an answer, in which what is left out may
//! be anything.

use serde::{Deserialize, Deserializer, Serialize};

use super::error::shortened;

/// The form of a root cause.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct CausePattern {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) services: Option<Vec<ServicePattern>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_impacting: Option<bool>,
}

/// The form of one service of a root cause.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct ServicePattern {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) names: Option<Vec<String>>,
    #[serde(rename = "Type", skip_serializing_if = "Option::is_none")]
    pub(super) service_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) inferred: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) entity_path: Option<Vec<EntityPattern>>,
}

/// The form of one entity on a service's path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct EntityPattern {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "exact_number"
    )]
    pub(super) coverage: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remote: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exceptions: Option<Vec<ExceptionPattern>>,
}

/// The form of one exception of an entity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(super) struct ExceptionPattern {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
}

/// JSON that is not an array of root causes.
pub(super) struct BadJson {
    /// The byte where reading stopped.
    pub(super) offset: usize,
    /// What is wrong.
    pub(super) why: String,
}

/// Returns the root causes a text begins with, and how many bytes they take.
pub(super) fn read(text: &str) -> Result<(Vec<CausePattern>, usize), BadJson> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter();
    let patterns: Vec<CausePattern> = match stream.next() {
        Some(Ok(patterns)) => patterns,
        Some(Err(error)) => return Err(bad_json(text, &error)),
        None => {
            return Err(BadJson {
                offset: text.len(),
                why: EXPECTED.to_owned(),
            });
        }
    };
    if patterns.is_empty() {
        let why = EXPECTED.to_owned();
        return Err(BadJson { offset: 0, why });
    }
    Ok((patterns, stream.byte_offset()))
}

fn bad_json(text: &str, error: &serde_json::Error) -> BadJson {
    let lines_before = error.line().saturating_sub(1);
    let line_start: usize = text
        .split_inclusive('\n')
        .take(lines_before)
        .map(str::len)
        .sum();
    let mut offset = if error.is_eof() {
        text.len()
    } else {
        (line_start + error.column().saturating_sub(1)).min(text.len())
    };
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    // The reader's own account of the place counts from where the JSON begins.
    let shown = error.to_string();
    let what = shown.split(" at line ").next().unwrap_or_default();
    // It quotes what it does not know, however long that is.
    let what = shortened(what, WHAT_CHARS_MAX);
    BadJson {
        offset,
        why: format!("{EXPECTED}: {what}"),
    }
}

/// Reads a number to the last bit.
fn exact_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let number = Option::<&serde_json::value::RawValue>::deserialize(deserializer)?;
    let Some(number) = number.filter(|number| number.get() != "null") else {
        return Ok(None);
    };
    let parsed = number.get().parse().ok().filter(|n: &f64| n.is_finite());
    let invalid = || serde::de::Error::custom("Coverage is not a number");
    parsed.map(Some).ok_or_else(invalid)
}

const WHAT_CHARS_MAX: usize = 200;
const EXPECTED: &str = "expected a JSON array of root causes, [{\"Services\": [...]}]";
