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
        (None, None) => Err(format!("{at}: a statement has one of {only} and {all_but}")),
        (Some(_), Some(_)) => Err(format!(
            "{at}: a statement has not both of {only} and {all_but}"
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a document whose one statement has these members besides.
    fn check_statement(members: &str, text: Option<&str>) {
        check(&format!(r#"{{"Statement":[{{{members}}}]}}"#), text);
    }

    fn check(document: &str, text: Option<&str>) {
        match (Policy::parse(document), text) {
            (Ok(policy), None) => assert!(!policy.statements.is_empty()),
            (Err(found), Some(text)) => assert!(found.starts_with(text), "{found}"),
            (outcome, _) => panic!("{document}: {outcome:?}"),
        }
    }

    const REST: &str = r#""Principal":"*","Action":"xray:*","Resource":"*""#;

    #[test]
    fn documents_have_statements_and_little_else() {
        let allow = format!(r#"{{"Effect":"Allow",{REST}}}"#);
        check(&format!(r#"{{"Statement":{allow}}}"#), None);
        check(&format!(r#"{{"Statement":[{allow},{allow}]}}"#), None);
        for version in ["2012-10-17", "2008-10-17"] {
            let document = format!(r#"{{"Version":"{version}","Id":"x","Statement":[{allow}]}}"#);
            check(&document, None);
        }
        for (document, text) in [
            ("", "the policy document is not valid JSON: EOF"),
            ("{]", "the policy document is not valid JSON"),
            ("{} {}", "the policy document is not valid JSON"),
            ("[]", "the policy document: is not an object"),
            ("\"*\"", "the policy document: is not an object"),
            ("{}", "Statement: a policy has at least one"),
            (
                r#"{"Statement":[]}"#,
                "Statement: a policy has at least one",
            ),
            (r#"{"Statement":null}"#, "Statement: is not an object"),
            (r#"{"Statement":"x"}"#, "Statement: is not an object"),
            (r#"{"Statement":[7]}"#, "Statement[0]: is not an object"),
            (
                r#"{"statement":[]}"#,
                "the policy document: there is no member \"statement\"",
            ),
            (
                r#"{"Version":"2024-01-01"}"#,
                "Version: \"2024-01-01\" is none of",
            ),
            (r#"{"Version":2012}"#, "Version: is not a string"),
            (r#"{"Id":7}"#, "Id: is not a string"),
        ] {
            check(document, Some(text));
        }
        let deep = format!(r#"{{"Statement":{}{}}}"#, "[".repeat(500), "]".repeat(500));
        check(
            &deep,
            Some("the policy document is not valid JSON: recursion"),
        );
        let second = format!(r#"{{"Statement":[{allow},{{"Effect":"No",{REST}}}]}}"#);
        check(
            &second,
            Some("Statement[1].Effect: \"No\" is none of Allow, Deny"),
        );
    }

    #[test]
    fn statements_have_an_effect_and_a_name_of_their_own() {
        for effect in ["Allow", "Deny"] {
            check_statement(&format!(r#""Effect":"{effect}",{REST}"#), None);
        }
        check_statement(REST, Some("Statement[0].Effect: a statement has one"));
        for effect in [r#""allow""#, r#""""#, "true", r#"["Allow"]"#] {
            let members = format!(r#""Effect":{effect},{REST}"#);
            check_statement(&members, Some("Statement[0].Effect: "));
        }
        check_statement(
            &format!(r#""Effect":"Allow","Why":1,{REST}"#),
            Some("Statement[0]: there is no member \"Why\""),
        );
        check_statement(
            &format!(r#""Sid":1,"Effect":"Allow",{REST}"#),
            Some("Statement[0].Sid: is not a string"),
        );
        let named = |sid: &str| format!(r#"{{"Sid":"{sid}","Effect":"Allow",{REST}}}"#);
        let both = |one: &str, other: &str| {
            format!(r#"{{"Statement":[{},{}]}}"#, named(one), named(other))
        };
        check(&both("a", "b"), None);
        check(
            &both("a", "a"),
            Some("Statement[1].Sid: \"a\" is the Sid of two"),
        );
    }

    #[test]
    fn principals_are_everyone_or_of_a_kind() {
        let check = |principal: &str, text: Option<&str>| {
            let rest = r#""Action":"*","Resource":"*""#;
            let members = format!(r#""Effect":"Allow",{principal}{rest}"#);
            check_statement(&members, text);
        };
        for principal in [
            r#""*""#,
            r#"{"AWS":"*"}"#,
            r#"{"AWS":["123456789012","arn:aws:iam::123456789012:user/x"]}"#,
            r#"{"AWS":"AIDACKCEVSQ6C2EXAMPLE"}"#,
            r#"{"Service":"sns.amazonaws.com","AWS":"123456789012"}"#,
            r#"{"Federated":"accounts.google.com"}"#,
            r#"{"CanonicalUser":"79a59df900b949e55d96a1e698fbaced"}"#,
        ] {
            check(&format!(r#""Principal":{principal},"#), None);
            check(&format!(r#""NotPrincipal":{principal},"#), None);
        }
        for (principal, text) in [
            (r#""x""#, "Statement[0].Principal: a principal is"),
            ("7", "Statement[0].Principal: is not an object"),
            ("{}", "Statement[0].Principal: there is no principal"),
            (
                r#"{"aws":"*"}"#,
                "Statement[0].Principal: there is no member \"aws\"",
            ),
            (
                r#"{"AWS":[]}"#,
                "Statement[0].Principal.AWS: there is nothing",
            ),
            (
                r#"{"AWS":7}"#,
                "Statement[0].Principal.AWS: is not a string",
            ),
            (
                r#"{"AWS":["*",7]}"#,
                "Statement[0].Principal.AWS: is not a string",
            ),
            (
                r#"{"AWS":"12345"}"#,
                "Statement[0].Principal.AWS: \"12345\" is no principal",
            ),
            (
                r#"{"AWS":"arn:aws:iam"}"#,
                "Statement[0].Principal.AWS: \"arn:aws:iam\" is no",
            ),
            (
                r#"{"Service":""}"#,
                "Statement[0].Principal.Service: \"\" does not name",
            ),
            (
                r#"{"Service":"*"}"#,
                "Statement[0].Principal.Service: \"*\" does not name",
            ),
        ] {
            check(&format!(r#""Principal":{principal},"#), Some(text));
        }
        check(
            "",
            Some("Statement[0]: a statement has one of Principal and NotPrincipal"),
        );
        check(
            r#""Principal":"*","NotPrincipal":"*","#,
            Some("Statement[0]: a statement has not both of Principal and NotPrincipal"),
        );
    }

    #[test]
    fn actions_and_resources_have_their_forms() {
        let check = |members: &str, text: Option<&str>| {
            let members = format!(r#""Effect":"Allow","Principal":"*",{members}"#);
            check_statement(&members, text);
        };
        for action in [r#""*""#, r#""xray:Put*""#, r#"["xray:Get?","sns:Publish"]"#] {
            check(&format!(r#""Action":{action},"Resource":"*""#), None);
            check(&format!(r#""NotAction":{action},"NotResource":"*""#), None);
        }
        for (action, text) in [
            (
                r#""PutTraceSegments""#,
                "Statement[0].Action: \"PutTraceSegments\" is no action",
            ),
            (r#"":x""#, "Statement[0].Action: \":x\" is no action"),
            (r#""xray:""#, "Statement[0].Action: \"xray:\" is no action"),
            (r#""x:y:z""#, "Statement[0].Action: \"x:y:z\" is no action"),
            (
                r#""xray: Put""#,
                "Statement[0].Action: \"xray: Put\" is no action",
            ),
            ("[]", "Statement[0].Action: there is nothing in it"),
            ("null", "Statement[0].Action: is not a string"),
        ] {
            check(&format!(r#""Action":{action},"Resource":"*""#), Some(text));
        }
        check(
            r#""Resource":"*""#,
            Some("Statement[0]: a statement has one of Action and"),
        );
        for resource in [
            r#""*""#,
            r#""arn:aws:xray:us-east-1:123456789012:group/*""#,
            r#"["arn:aws:xray:*","arn:aws:s3:::b:c"]"#,
        ] {
            check(&format!(r#""Action":"*","Resource":{resource}"#), None);
        }
        for (resource, text) in [
            (r#""x""#, "Statement[0].Resource: \"x\" is no resource"),
            (
                r#""arn:aws:xray""#,
                "Statement[0].Resource: \"arn:aws:xray\" is no resource",
            ),
            ("{}", "Statement[0].Resource: is not a string"),
        ] {
            check(
                &format!(r#""Action":"*","Resource":{resource}"#),
                Some(text),
            );
        }
        check(
            r#""Action":"*""#,
            Some("Statement[0]: a statement has one of Resource and"),
        );
    }

    #[test]
    fn conditions_compare_keys_with_values() {
        let check = |condition: &str, text: Option<&str>| {
            let members = format!(r#""Effect":"Allow",{REST},"Condition":{condition}"#);
            check_statement(&members, text);
        };
        check("{}", None);
        check(r#"{"StringEquals":{"aws:SourceAccount":["1","2"]}}"#, None);
        check(
            r#"{"ForAnyValue:StringLikeIfExists":{"k":"v*"},"Bool":{"k":true}}"#,
            None,
        );
        check(r#"{"numericlessthan":{"k":7}}"#, None);
        for (condition, text) in [
            ("[]", "Statement[0].Condition: is not an object"),
            (
                r#"{"Equals":{"k":"v"}}"#,
                "Statement[0].Condition.Equals: is no operator",
            ),
            (
                r#"{"Null":"k"}"#,
                "Statement[0].Condition.Null: is not an object",
            ),
            (
                r#"{"Null":{"k":{}}}"#,
                "Statement[0].Condition.Null.k: a condition compares",
            ),
            (
                r#"{"Null":{"k":[]}}"#,
                "Statement[0].Condition.Null.k: a condition compares",
            ),
            (
                r#"{"Null":{"k":[[1]]}}"#,
                "Statement[0].Condition.Null.k: a condition compares",
            ),
            (
                r#"{"Null":{"":"v"}}"#,
                "Statement[0].Condition.Null.: a condition compares",
            ),
        ] {
            check(condition, Some(text));
        }
    }
}
