//! What documents say, read member by member.

use serde_json::{Value, json};

use super::*;

pub(super) fn served_fact(what: What, segment: &Value) -> Fact {
    Fact {
        what,
        start: start(segment),
        end: end(segment),
        in_progress: !is_finished(segment),
        class: class(segment),
    }
}

pub(super) fn call_fact(what: What, part: &Value) -> Fact {
    Fact {
        end: call_end(part),
        ..served_fact(what, part)
    }
}

/// A fault beats an error, that beats success; a 429 is an error of its own.
pub(super) fn class(part: &Value) -> Class {
    let classes = [Class::Fault, Class::Throttle, Class::Error];
    classes
        .into_iter()
        .find(|class| failed(part, *class))
        .unwrap_or(Class::Ok)
}

/// Tells whether a part failed in a way: by its flag, or by its status if it has no flag.
pub(super) fn failed(part: &Value, class: Class) -> bool {
    let status = part["http"]["response"]["status"].as_u64().unwrap_or(0);
    let (flag, by_status) = match class {
        Class::Fault => ("fault", (500..600).contains(&status)),
        Class::Throttle => ("throttle", status == 429),
        Class::Error => ("error", (400..500).contains(&status)),
        Class::Ok => return false,
    };
    part[flag].as_bool().unwrap_or(by_status)
}

/// Returns the service a subsegment calls, as far as it tells.
pub(super) fn callee(part: &Value) -> Option<Key> {
    let name = text(&part["name"]);
    let (name, kind) = match (
        part["namespace"].as_str()?,
        part["aws"]["table_name"].as_str(),
    ) {
        ("aws", Some(table)) => (table.to_owned(), "AWS::DynamoDB::Table".to_owned()),
        ("aws", None) => (name.clone(), format!("AWS::{name}")),
        ("remote", _) if !part["sql"].is_null() => (name, "Database::SQL".to_owned()),
        ("remote", _) => (name, "remote".to_owned()),
        _ => return None,
    };
    Some((name, Some(kind), None))
}

pub(super) fn key(segment: &Value) -> Key {
    let optional = |value: &Value| value.as_str().map(str::to_owned);
    let account = optional(&segment["aws"]["account_id"]);
    (
        text(&segment["name"]),
        optional(&segment["origin"]),
        account,
    )
}

pub(super) fn client(segment: &Value) -> Key {
    (text(&segment["name"]), Some("client".to_owned()), None)
}

pub(super) fn service_id((name, kind, account): &Key) -> Value {
    let mut id = json!({ "Name": name, "Names": [name] });
    if let Some(kind) = kind {
        id["Type"] = json!(kind);
    }
    if let Some(account) = account {
        id["AccountId"] = json!(account);
    }
    id
}

pub(super) fn http(root: &Value) -> Value {
    let mut http = json!({});
    for (member, value) in [
        ("HttpURL", &root["http"]["request"]["url"]),
        ("HttpMethod", &root["http"]["request"]["method"]),
        ("UserAgent", &root["http"]["request"]["user_agent"]),
        ("ClientIp", &root["http"]["request"]["client_ip"]),
        ("HttpStatus", &root["http"]["response"]["status"]),
    ] {
        if !value.is_null() {
            http[member] = value.clone();
        }
    }
    http
}

pub(super) fn annotations(part: &Value) -> Vec<(String, Value)> {
    let annotations = part["annotations"].as_object();
    let one = |(name, value): (&String, &Value)| (name.clone(), plain(value));
    annotations.into_iter().flatten().map(one).collect()
}

pub(super) fn is_segment(document: &Value) -> bool {
    document["type"] != "subsegment"
}

pub(super) fn is_traced(part: &Value) -> bool {
    part["http"]["request"]["traced"] == true
}

pub(super) fn is_finished(part: &Value) -> bool {
    part["in_progress"] != true
}

/// Returns a document and every subsegment nested in it.
pub(super) fn parts(document: &Value) -> Vec<&Value> {
    let below = array(&document["subsegments"])
        .iter()
        .flat_map(|part| parts(part));
    std::iter::once(document).chain(below).collect()
}

pub(super) fn start(part: &Value) -> u64 {
    ms(&part["start_time"])
}

/// A document in progress has gone on at least until the latest time that it or what belongs to it mentions.
pub(super) fn end(document: &Value) -> u64 {
    if is_finished(document) {
        return ms(&document["end_time"]);
    }
    latest(document).max(document[SENT_ALONE].as_u64().unwrap_or(0))
}

/// Returns the latest time a document mentions.
pub(super) fn latest(document: &Value) -> u64 {
    parts(document).into_iter().map(call_end).max().unwrap()
}

/// Where a segment says, in milliseconds, what its subsegments sent alone mention.
pub(super) const SENT_ALONE: &str = "of subsegments sent alone";

pub(super) fn call_end(part: &Value) -> u64 {
    if is_finished(part) {
        ms(&part["end_time"])
    } else {
        start(part)
    }
}

pub(super) fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the times of the documents are whole milliseconds of this century"
)]
pub(super) fn ms(value: &Value) -> u64 {
    (value.as_f64().unwrap() * 1_000.0).round() as u64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of this century are exact"
)]
pub(super) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

/// Returns the whole seconds around a span, at least one.
pub(super) fn whole_seconds((first, last): (u64, u64)) -> (Value, Value) {
    let first = first / 1_000;
    let last = last.div_ceil(1_000).max(first + 1);
    (json!(first), json!(last))
}
