//! What a check expects of an answer.

use protocol::model::{Mismatch, StructureKind, errors_of, model, validate_response};
use protocol::{Operation, REQUEST_ID};
use serde_json::{Map, Value};

use crate::client::Reply;
use crate::terminal::printable;

/// What is expected at a place of a result. Places are JSON pointers; what a pattern does not say is not looked at.
#[derive(Clone, Debug)]
pub(super) enum Want {
    /// The value there is like this pattern.
    Like(&'static str, Value),
    /// The list there has an item like this pattern.
    Holds(&'static str, Value),
    /// The list there has no item like this pattern.
    Lacks(&'static str, Value),
    /// The list there has so many items.
    Count(&'static str, usize),
}

/// The codes one of which an error has.
pub(super) type Codes = &'static [&'static str];

/// The general error of the API.
pub(super) const INVALID: Codes = &["InvalidRequestException"];
/// What names a resource that is not there, in the operations that model this.
pub(super) const NOT_FOUND: Codes = &["ResourceNotFoundException"];
/// How a body is refused that cannot be read or breaks a constraint: front ends have codes of their own for it.
pub(super) const MALFORMED: Codes = &[
    "InvalidRequestException",
    "SerializationException",
    "ValidationException",
];

/// Stands in a pattern for anything but null and an empty text.
pub(super) const ANY: &str = "*";

impl Want {
    /// Tells what is wrong with a result, if it is not what is wanted.
    pub(super) fn unmet(&self, result: &Value) -> Option<String> {
        let at = |pointer: &str| result.pointer(pointer).unwrap_or(&Value::Null);
        let items = |pointer: &str| at(pointer).as_array().cloned().unwrap_or_default();
        match self {
            Self::Like(pointer, pattern) => {
                let found = at(pointer);
                (!is_like(found, pattern))
                    .then(|| format!("{pointer} should be {pattern}, not {found}"))
            }
            Self::Holds(pointer, pattern) => {
                (!items(pointer).iter().any(|item| is_like(item, pattern)))
                    .then(|| format!("{pointer} should hold {pattern}: {}", at(pointer)))
            }
            Self::Lacks(pointer, pattern) => {
                let is_list = at(pointer).is_array();
                let holds = items(pointer).iter().any(|item| is_like(item, pattern));
                (!is_list || holds)
                    .then(|| format!("{pointer} should be a list and not hold {pattern}"))
            }
            Self::Count(pointer, n_items) => {
                let n_found = items(pointer).len();
                (n_found != *n_items || !at(pointer).is_array())
                    .then(|| format!("{pointer} should have {n_items} items, not {n_found}"))
            }
        }
    }
}

/// Tells whether a value has everything a pattern has: members of objects, items of lists (an empty list is
/// like empty lists only), numbers to a thousandth.
pub(super) fn is_like(value: &Value, pattern: &Value) -> bool {
    match (value, pattern) {
        (Value::Null, Value::String(any)) if any == ANY => false,
        (Value::String(text), Value::String(any)) if any == ANY => !text.is_empty(),
        (_, Value::String(any)) if any == ANY => true,
        (Value::Object(members), Value::Object(wanted)) => wanted.iter().all(|(name, pattern)| {
            let value = members.get(name).unwrap_or(&Value::Null);
            is_like(value, pattern)
        }),
        (Value::Array(items), Value::Array(wanted)) => {
            let holds = |pattern: &Value| items.iter().any(|item| is_like(item, pattern));
            wanted.iter().all(holds) && (items.is_empty() || !wanted.is_empty())
        }
        (Value::Number(number), Value::Number(wanted)) => {
            let (number, wanted) = (number.as_f64(), wanted.as_f64());
            number
                .zip(wanted)
                .is_some_and(|(number, wanted)| (number - wanted).abs() < 0.001)
        }
        _ => value == pattern,
    }
}

/// Returns the result of an answer, null if there is none, and what is wrong with the answer.
pub(super) fn read(operation: Operation, reply: &Reply) -> (Value, Option<String>) {
    if reply.status.as_u16() != 200 {
        let failure = format!("a result was due, not {}", shown(reply));
        return (Value::Null, Some(failure));
    }
    // No body at all is what some servers send when there is nothing to say; no client minds.
    let body = if reply.body.is_empty() {
        Ok(Value::Object(Map::new()))
    } else {
        serde_json::from_slice(&reply.body)
    };
    match body {
        Ok(body) => {
            let failure = mismatch(operation, &body);
            (body, failure)
        }
        Err(error) => (Value::Null, Some(format!("the body is no JSON: {error}"))),
    }
}

/// Returns what of a result is not of the model. A result that says nothing at all where there is something to
/// say is not either, whatever the model thinks of it: its members are optional, and yet always sent.
fn mismatch(operation: Operation, body: &Value) -> Option<String> {
    let has_members = !model().operation(operation).output.members.is_empty();
    if has_members && body.as_object().is_some_and(Map::is_empty) {
        return Some("the result is empty".to_owned());
    }
    let mut mismatches = validate_response(operation, body).into_iter();
    let first = mismatches.find(|mismatch| !is_default_priority(mismatch))?;
    Some(format!(
        "not of the model: {}",
        printable(&first.to_string())
    ))
}

/// Tells whether all there is to a mismatch is the priority of the Default rule: the service shows it with one
/// more than its model allows.
fn is_default_priority(mismatch: &Mismatch) -> bool {
    mismatch.path.ends_with("SamplingRule.Priority") && mismatch.problem.starts_with("10000 ")
}

/// Tells what is wrong with an answer that should be one of these errors.
pub(super) fn check_error(operation: Operation, reply: &Reply, codes: Codes) -> Result<(), String> {
    let due = codes.join(" or ");
    let code = code_of(reply).ok_or_else(|| format!("{due} was due, not {}", shown(reply)))?;
    if !codes.contains(&code.as_str()) {
        return Err(format!("{due} was due, not {}", shown(reply)));
    }
    let status = status_of(&code);
    if reply.status.as_u16() != status {
        return Err(format!("{code} has status {status}, not {}", reply.status));
    }
    if !has_text(reply) {
        return Err(format!("{code} without a Message: {}", shown(reply)));
    }
    let is_modeled = errors_of(operation).contains(&code.as_str());
    let has_other = codes.iter().any(|code| errors_of(operation).contains(code));
    if has_other && !is_modeled && !MALFORMED.contains(&code.as_str()) {
        return Err(format!("{} models no {code}", operation.name()));
    }
    Ok(())
}

/// Tells what is wrong with the details of an error: where clients look for its type and its text.
pub(super) fn check_error_details(reply: &Reply) -> Result<(), String> {
    let header = reply.headers.get(ERROR_TYPE);
    if header.is_none() {
        return Err(format!("no header {ERROR_TYPE}: {}", shown(reply)));
    }
    let body: Value = serde_json::from_slice(&reply.body)
        .map_err(|error| format!("the body of an error is no JSON: {error}"))?;
    let message = body.get("Message").and_then(Value::as_str);
    match message {
        Some(text) if !text.is_empty() => Ok(()),
        Some(_) | None => Err(format!("no text in Message: {}", shown(reply))),
    }
}

/// Tells what is wrong with the headers every answer has. No SDK fails over them, so that they are no part of
/// whether an answer is right.
pub(super) fn check_head(reply: &Reply) -> Result<(), String> {
    let text = |name: &str| {
        let value = reply.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let content_type = text("content-type");
    if !content_type.starts_with("application/json") && !reply.body.is_empty() {
        return Err(format!("the content type is '{}'", printable(content_type)));
    }
    if text(REQUEST_ID.as_str()).is_empty() {
        return Err(format!("no header {REQUEST_ID}"));
    }
    Ok(())
}

/// Returns the type of an error as SDKs find it: the header first, then the body, without what is added around it.
fn code_of(reply: &Reply) -> Option<String> {
    if reply.status.is_success() {
        return None;
    }
    let header = reply.headers.get(ERROR_TYPE);
    let header = header
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let code = header.or_else(|| {
        let body: Value = serde_json::from_slice(&reply.body).ok()?;
        let code = body.get("__type").or_else(|| body.get("code"))?;
        code.as_str().map(str::to_owned)
    })?;
    let code = code.split(':').next().unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or_default();
    Some(code.trim().to_owned())
}

/// Tells whether an error says something, in either spelling of the member SDKs read.
fn has_text(reply: &Reply) -> bool {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::len);
    ["Message", "message"]
        .into_iter()
        .filter_map(text)
        .any(|n_bytes| n_bytes > 0)
}

/// Returns the status an error is sent with: the model's, and 400 if it says none.
fn status_of(code: &str) -> u16 {
    if code == "UnknownOperationException" {
        return 404;
    }
    match model().structure(code).map(|structure| structure.kind) {
        Some(StructureKind::Error(Some(status))) => status,
        Some(StructureKind::Error(None) | StructureKind::Plain | StructureKind::Union) | None => {
            400
        }
    }
}

/// Returns an answer for a person to read.
fn shown(reply: &Reply) -> String {
    let body = String::from_utf8_lossy(&reply.body);
    let body: String = printable(&body).chars().take(BODY_CHARS_SHOWN).collect();
    format!("{} {body}", reply.status.as_u16())
}

const ERROR_TYPE: &str = "x-amzn-errortype";
const BODY_CHARS_SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};
    use serde_json::json;

    use super::*;

    fn check_like(value: &Value, pattern: &Value, expected: bool) {
        assert_eq!(is_like(value, pattern), expected, "{value} {pattern}");
    }

    #[test]
    fn a_pattern_says_what_must_be_there_and_nothing_else() {
        check_like(&json!({"a": 1, "b": 2}), &json!({"a": 1.0}), true);
        check_like(&json!({"a": 1}), &json!({"a": 1.01}), false);
        check_like(&json!({"a": 1}), &json!({"b": 1}), false);
        check_like(&json!({"a": null}), &json!({"a": null, "b": null}), true);
        check_like(&json!([1, 2]), &json!([2]), true);
        check_like(&json!([1, 2]), &json!([]), false);
        check_like(&json!([]), &json!([]), true);
        check_like(&json!([]), &json!([1]), false);
        check_like(&json!("x"), &json!("*"), true);
        check_like(&json!(0), &json!("*"), true);
        check_like(&json!(""), &json!("*"), false);
        check_like(&json!(null), &json!("*"), false);
        check_like(&json!({}), &json!({"a": "*"}), false);
        check_like(&json!("1"), &json!(1), false);
    }

    fn check_want(want: &Want, result: &Value, is_met: bool) {
        assert_eq!(want.unmet(result).is_none(), is_met, "{want:?} {result}");
    }

    #[test]
    fn places_are_looked_at() {
        let result = &json!({"A": {"B": [{"C": 1}, {"C": 2}]}});
        check_want(&Want::Like("/A/B/1", json!({"C": 2})), result, true);
        check_want(&Want::Like("/A/B/2", json!({"C": 2})), result, false);
        check_want(&Want::Holds("/A/B", json!({"C": 2})), result, true);
        check_want(&Want::Holds("/A/B", json!({"C": 3})), result, false);
        check_want(&Want::Holds("/A/X", json!({"C": 3})), result, false);
        check_want(&Want::Lacks("/A/B", json!({"C": 3})), result, true);
        check_want(&Want::Lacks("/A/B", json!({"C": 1})), result, false);
        check_want(&Want::Lacks("/A/X", json!({"C": 3})), result, false);
        check_want(&Want::Count("/A/B", 2), result, true);
        check_want(&Want::Count("/A/B", 1), result, false);
        check_want(&Want::Count("/A/X", 0), result, false);
    }

    fn reply(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Reply {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers: map,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    const JSON: (&str, &str) = ("content-type", "application/json");
    const ID: (&str, &str) = ("x-amzn-requestid", "1");

    fn check_result(reply: &Reply, problem: &str) {
        let (_, found) = read(Operation::GetGroups, reply);
        let found = found.unwrap_or_default();
        assert!(
            found.contains(problem) && found.is_empty() == problem.is_empty(),
            "{found}"
        );
    }

    #[test]
    fn results_are_held_against_the_model() {
        check_result(&reply(200, &[JSON, ID], r#"{"Groups": []}"#), "");
        check_result(&reply(200, &[JSON, ID], "{}"), "the result is empty");
        check_result(&reply(200, &[ID], ""), "the result is empty");
        let nothing = read(Operation::TagResource, &reply(200, &[ID], ""));
        assert_eq!(nothing, (json!({}), None));
        check_result(&reply(204, &[JSON, ID], "{}"), "a result was due");
        check_result(&reply(400, &[JSON, ID], "{}"), "a result was due");
        check_result(&reply(200, &[JSON, ID], "{"), "no JSON");
        check_result(
            &reply(200, &[JSON, ID], r#"{"groups": []}"#),
            "no such member",
        );
    }

    #[test]
    fn the_default_rule_may_have_the_priority_it_has() {
        let body = |priority: u32| {
            json!({ "SamplingRuleRecords": [{ "SamplingRule": { "RuleName": "Default",
            "ResourceARN": "*", "Priority": priority, "FixedRate": 0.05, "ReservoirSize": 1, "ServiceName": "*",
            "ServiceType": "*", "Host": "*", "HTTPMethod": "*", "URLPath": "*", "Version": 1 } }] })
        };
        assert_eq!(mismatch(Operation::GetSamplingRules, &body(10_000)), None);
        assert!(mismatch(Operation::GetSamplingRules, &body(10_001)).is_some());
    }

    fn check_refusal(reply: &Reply, problem: &str) {
        let codes = &["InvalidRequestException", "ResourceNotFoundException"];
        let found = check_error(Operation::TagResource, reply, codes);
        let found = found.err().unwrap_or_default();
        assert!(
            found.contains(problem) && found.is_empty() == problem.is_empty(),
            "{found}"
        );
    }

    #[test]
    fn errors_are_known_by_code_status_and_text() {
        let body = r#"{"__type": "a.b#ResourceNotFoundException", "Message": "m"}"#;
        check_refusal(&reply(404, &[JSON, ID], body), "");
        check_refusal(&reply(400, &[JSON, ID], body), "has status 404");
        check_refusal(&reply(200, &[JSON, ID], body), "was due");
        check_refusal(&reply(404, &[JSON, ID], "{}"), "was due");
        let kind = ("x-amzn-errortype", "InvalidRequestException:http://x/");
        check_refusal(&reply(400, &[JSON, ID, kind], r#"{"message": "m"}"#), "");
        check_refusal(&reply(400, &[JSON, ID, kind], "{}"), "without a Message");
        check_refusal(&reply(500, &[JSON, ID, kind], body), "has status 400");
    }

    #[test]
    fn headers_are_looked_at() {
        let html = ("content-type", "text/html");
        assert_eq!(check_head(&reply(200, &[JSON, ID], "{}")), Ok(()));
        assert_eq!(check_head(&reply(200, &[ID], "")), Ok(()));
        let problem = |headers: &[_]| check_head(&reply(200, headers, "{}")).unwrap_err();
        assert!(problem(&[html, ID]).contains("content type"));
        assert!(problem(&[ID]).contains("content type"));
        assert!(problem(&[JSON]).contains("x-amzn-requestid"));
    }
}
