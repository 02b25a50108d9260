//! What a policy document looks like (spec: IAM user guide, "Grammar of the IAM JSON policy language").
//!
//! The structure is checked as IAM does, and the form of each value, but not what the values name: accounts,
//! services, actions and condition keys need not exist. Every text of a refusal begins with
//! where in the document it is, such as `Statement[0].Effect`.

use serde_json::{Map, Value};

/// A policy that has the right form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) statements: Vec<Statement>,
}

/// What one statement of a policy says, resources apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) effect: Effect,
    pub(super) principals: Listed,
    pub(super) actions: Listed,
    /// Whether it counts only under some condition.
    pub(super) is_conditional: bool,
}

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// What a statement is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Listed {
    /// These.
    Only(Vec<String>),
    /// All but these.
    AllBut(Vec<String>),
}

impl Policy {
    /// Returns what a document says, or where it is wrong.
    pub(super) fn parse(document: &str) -> Result<Self, String> {
        let document: Value = serde_json::from_str(document)
            .map_err(|error| format!("the policy document is not valid JSON: {error}"))?;
        let document = object(&document, "the policy document")?;
        only_members(
            document,
            "the policy document",
            &["Version", "Id", "Statement"],
        )?;
        if let Some(version) = document.get("Version") {
            one_of(version, "Version", &["2012-10-17", "2008-10-17"])?;
        }
        if let Some(id) = document.get("Id") {
            string(id, "Id")?;
        }
        let statements: Vec<(String, &Value)> = match document.get("Statement") {
            None => return Err("Statement: a policy has at least one".to_owned()),
            Some(Value::Array(statements)) => {
                let named = |(idx, statement)| (format!("Statement[{idx}]"), statement);
                statements.iter().enumerate().map(named).collect()
            }
            Some(statement) => vec![("Statement".to_owned(), statement)],
        };
        if statements.is_empty() {
            return Err("Statement: a policy has at least one".to_owned());
        }
        let mut policy = Self {
            statements: Vec::new(),
        };
        let mut sids = Vec::new();
        for (at, statement) in statements {
            let statement = object(statement, &at)?;
            if let Some(sid) = statement.get("Sid") {
                let sid = string(sid, &format!("{at}.Sid"))?;
                if sids.contains(&sid) {
                    return Err(format!("{at}.Sid: {sid:?} is the Sid of two statements"));
                }
                sids.push(sid);
            }
            policy.statements.push(Statement::parse(statement, &at)?);
        }
        Ok(policy)
    }
}

impl Statement {
    fn parse(statement: &Map<String, Value>, at: &str) -> Result<Self, String> {
        only_members(statement, at, STATEMENT_MEMBERS)?;
        let effect_at = format!("{at}.Effect");
        let effect = match statement.get("Effect") {
            None => return Err(format!("{effect_at}: a statement has one, Allow or Deny")),
            Some(effect) => one_of(effect, &effect_at, &["Allow", "Deny"])?,
        };
        let principals = listed(statement, at, "Principal", "NotPrincipal", check_principals)?;
        let actions = listed(statement, at, "Action", "NotAction", |value, at| {
            check_each(value, at, check_action)
        })?;
        listed(statement, at, "Resource", "NotResource", |value, at| {
            check_each(value, at, check_resource)
        })?;
        let condition = statement.get("Condition");
        if let Some(condition) = condition {
            check_condition(condition, &format!("{at}.Condition"))?;
        }
        Ok(Self {
            effect: if effect == "Deny" {
                Effect::Deny
            } else {
                Effect::Allow
            },
            principals,
            actions,
            is_conditional: condition
                .is_some_and(|condition| condition != &Value::Object(Map::new())),
        })
    }
}

/// Returns what the member `only`, or in its place the member `all_but`, lists.
fn listed(
    statement: &Map<String, Value>,
    at: &str,
    only: &str,
    all_but: &str,
    check: impl Fn(&Value, &str) -> Result<Vec<String>, String>,
) -> Result<Listed, String> {
    match (statement.get(only), statement.get(all_but)) {
        (Some(value), None) => Ok(Listed::Only(check(value, &format!("{at}.{only}"))?)),
        (None, Some(value)) => Ok(Listed::AllBut(check(value, &format!("{at}.{all_but}"))?)),
        (None, None) => Err(format!("{at}: a statement has a {only} or a {all_but}")),
        (Some(_), Some(_)) => Err(format!(
            "{at}: a statement has only one of {only} and {all_but}"
        )),
    }
}

/// Returns every principal of a statement; who is named by a number, ARN or `*` of AWS, as that.
fn check_principals(value: &Value, at: &str) -> Result<Vec<String>, String> {
    if let Value::String(text) = value {
        if text == "*" {
            return Ok(vec![text.clone()]);
        }
        return Err(format!(
            "{at}: a principal is \"*\" or an object such as {{\"AWS\": ...}}"
        ));
    }
    let by_kind = object(value, at)?;
    only_members(by_kind, at, PRINCIPAL_KINDS)?;
    if by_kind.is_empty() {
        return Err(format!("{at}: there is no principal in it"));
    }
    let mut principals = Vec::new();
    for (kind, value) in by_kind {
        let check = match kind.as_str() {
            "AWS" => check_aws_principal,
            _ => check_named_principal,
        };
        principals.extend(check_each(value, &format!("{at}.{kind}"), check)?);
    }
    Ok(principals)
}

fn check_aws_principal(text: &str) -> Result<(), &'static str> {
    let is_account = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_unique_id = text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_arn = text.starts_with("arn:") && text.split(':').count() >= ARN_PARTS;
    if text == "*" || is_account || is_unique_id || is_arn {
        return Ok(());
    }
    Err("is no principal: it is \"*\", an account's number, an ARN or the id of a user or role")
}

fn check_named_principal(text: &str) -> Result<(), &'static str> {
    if text.is_empty() || text == "*" {
        return Err("does not name a principal");
    }
    Ok(())
}

fn check_action(text: &str) -> Result<(), &'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"*?-_".contains(&byte);
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(allowed);
    let is_action = text
        .split_once(':')
        .is_some_and(|(service, action)| is_word(service) && is_word(action));
    if text == "*" || is_action {
        return Ok(());
    }
    Err("is no action: it is \"*\" or a service and an action, such as xray:PutTraceSegments")
}

fn check_resource(text: &str) -> Result<(), &'static str> {
    let is_cut_short = text.split(':').count() < ARN_PARTS;
    let is_arn = text.starts_with("arn:") && (!is_cut_short || text.ends_with('*'));
    if text == "*" || is_arn {
        return Ok(());
    }
    Err("is no resource: it is \"*\" or an ARN")
}

fn check_condition(condition: &Value, at: &str) -> Result<(), String> {
    for (operator, keys) in object(condition, at)? {
        let at = format!("{at}.{operator}");
        if !is_operator(operator) {
            return Err(format!("{at}: is no operator of conditions"));
        }
        for (key, values) in object(keys, &at)? {
            let is_value = |value: &Value| {
                matches!(value, Value::String(_) | Value::Bool(_) | Value::Number(_))
            };
            let are_values = match values {
                Value::Array(values) => !values.is_empty() && values.iter().all(is_value),
                value => is_value(value),
            };
            if key.is_empty() || !are_values {
                return Err(format!(
                    "{at}.{key}: a condition compares a key with a string, a number, a boolean or several"
                ));
            }
        }
    }
    Ok(())
}

/// Tells whether a text is the name of an operator, such as `ForAnyValue:StringLikeIfExists`.
fn is_operator(text: &str) -> bool {
    let text = text
        .strip_prefix("ForAllValues:")
        .or_else(|| text.strip_prefix("ForAnyValue:"))
        .unwrap_or(text);
    let text = text.strip_suffix("IfExists").unwrap_or(text);
    OPERATORS
        .iter()
        .any(|operator| text.eq_ignore_ascii_case(operator))
}

/// Returns the texts of a string or of a list of strings, each of which passes.
fn check_each(
    value: &Value,
    at: &str,
    check: impl Fn(&str) -> Result<(), &'static str>,
) -> Result<Vec<String>, String> {
    let values = match value {
        Value::Array(values) => values.as_slice(),
        value => std::slice::from_ref(value),
    };
    if values.is_empty() {
        return Err(format!("{at}: there is nothing in it"));
    }
    let mut texts = Vec::new();
    for value in values {
        let text = string(value, at)?;
        check(text).map_err(|reason| format!("{at}: {text:?} {reason}"))?;
        texts.push(text.to_owned());
    }
    Ok(texts)
}

fn only_members(object: &Map<String, Value>, at: &str, members: &[&str]) -> Result<(), String> {
    match object.keys().find(|key| !members.contains(&key.as_str())) {
        Some(key) => Err(format!("{at}: there is no member {key:?} in a policy here")),
        None => Ok(()),
    }
}

fn one_of<'v>(value: &'v Value, at: &str, texts: &[&str]) -> Result<&'v str, String> {
    let text = string(value, at)?;
    if texts.contains(&text) {
        return Ok(text);
    }
    Err(format!("{at}: {text:?} is none of {}", texts.join(", ")))
}

fn object<'v>(value: &'v Value, at: &str) -> Result<&'v Map<String, Value>, String> {
    value
        .as_object()
        .ok_or_else(|| format!("{at}: is not an object"))
}

fn string<'v>(value: &'v Value, at: &str) -> Result<&'v str, String> {
    value
        .as_str()
        .ok_or_else(|| format!("{at}: is not a string"))
}

const STATEMENT_MEMBERS: &[&str] = &[
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];
const PRINCIPAL_KINDS: &[&str] = &["AWS", "Service", "Federated", "CanonicalUser"];
const OPERATORS: &[&str] = &[
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
    "DateEquals",
    "DateNotEquals",
    "DateLessThan",
    "DateLessThanEquals",
    "DateGreaterThan",
    "DateGreaterThanEquals",
    "Bool",
    "BinaryEquals",
    "IpAddress",
    "NotIpAddress",
    "ArnEquals",
    "ArnNotEquals",
    "ArnLike",
    "ArnNotLike",
    "Null",
];
/// `arn:partition:service:region:account:resource`.
const ARN_PARTS: usize = 6;
