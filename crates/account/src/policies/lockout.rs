//! Whether a policy would keep everyone in its account from changing it (spec: X-Ray API,
//! `PutResourcePolicy`, `LockoutPreventionException`).
//!
//! It would if one of its statements denies `xray:PutResourcePolicy`, under no condition, to everyone
//! or to the account as a whole. Who makes a call is not asked: without that, who else is locked out
//! cannot be told.

use model::Account;

use super::document::{Effect, Listed, Policy, Statement};

/// Refuses a policy that would lock the account out, with a text that says which statement would.
pub(super) fn check(policy: &Policy, account: &Account) -> Result<(), String> {
    let mut statements = policy.statements.iter();
    let Some(idx) = statements.position(|statement| locks_out(statement, account)) else {
        return Ok(());
    };
    Err(format!(
        "statement {idx} of the policy denies {PUT} to this account, so that the policy could never be \
         changed again; set BypassPolicyLockoutCheck to put it all the same"
    ))
}

fn locks_out(statement: &Statement, account: &Account) -> bool {
    let denies = statement.effect == Effect::Deny && !statement.is_conditional;
    denies
        && holds(&statement.actions, |action| matches_pattern(action, PUT))
        && holds(&statement.principals, |principal| {
            is_whole_account(principal, account)
        })
}

fn holds(listed: &Listed, matches: impl Fn(&str) -> bool) -> bool {
    match listed {
        Listed::Only(texts) => texts.iter().any(|text| matches(text)),
        Listed::AllBut(texts) => !texts.iter().any(|text| matches(text)),
    }
}

fn is_whole_account(principal: &str, account: &Account) -> bool {
    if principal == "*" || principal == account.id {
        return true;
    }
    let parts: Vec<&str> = principal.split(':').collect();
    matches!(parts[..], ["arn", _, "iam", "", id, "root"] if id == account.id)
}

/// Tells whether a pattern with `*` (any characters) and `?` (any one) matches a text; upper and lower case
/// are alike. Takes time proportional to the product of both lengths at most.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    // `reached[n]` says whether the pattern so far matches the first n bytes of the text.
    let mut reached = vec![false; text.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    for symbol in pattern {
        let mut next = Vec::with_capacity(reached.len());
        let mut any_before = false;
        let mut before = false;
        for (n, here) in reached.iter().enumerate() {
            any_before |= here;
            let byte = n.checked_sub(1).and_then(|idx| text.get(idx));
            let matches = match symbol {
                b'*' => any_before,
                b'?' => before,
                symbol => before && byte.is_some_and(|byte| byte.eq_ignore_ascii_case(symbol)),
            };
            next.push(matches);
            before = *here;
        }
        reached = next;
    }
    reached.last().copied().unwrap_or(false)
}

const PUT: &str = "xray:PutResourcePolicy";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(members: &str, is_locked_out: bool) {
        let document = format!(
            r#"{{"Statement":[{{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}},
                {{{members},"Resource":"*"}}]}}"#
        );
        let account = Account {
            id: "123456789012".to_owned(),
            region: "us-east-2".to_owned(),
        };
        let outcome = super::check(&Policy::parse(&document).unwrap(), &account);
        assert_eq!(outcome.is_err(), is_locked_out, "{members}");
        if let Err(text) = outcome {
            assert!(text.contains("statement 1 of the policy denies"), "{text}");
        }
    }

    #[test]
    fn whom_a_denial_locks_out() {
        for (principal, is_locked_out) in [
            (r#""Principal":"*""#, true),
            (r#""Principal":{"AWS":"*"}"#, true),
            (r#""Principal":{"AWS":"123456789012"}"#, true),
            (
                r#""Principal":{"AWS":["210987654321","arn:aws:iam::123456789012:root"]}"#,
                true,
            ),
            (r#""Principal":{"AWS":"210987654321"}"#, false),
            (
                r#""Principal":{"AWS":"arn:aws:iam::210987654321:root"}"#,
                false,
            ),
            (
                r#""Principal":{"AWS":"arn:aws:iam::123456789012:user/x"}"#,
                false,
            ),
            (r#""Principal":{"Service":"sns.amazonaws.com"}"#, false),
            (r#""NotPrincipal":{"AWS":"210987654321"}"#, true),
            (
                r#""NotPrincipal":{"AWS":"arn:aws:iam::123456789012:root"}"#,
                false,
            ),
        ] {
            let members = format!(r#""Effect":"Deny","Action":"xray:*",{principal}"#);
            check(&members, is_locked_out);
            check(&members.replace("Deny", "Allow"), false);
            let condition = r#""Condition":{"Bool":{"aws:SecureTransport":false}}"#;
            check(&format!("{members},{condition}"), false);
            check(&format!(r#"{members},"Condition":{{}}"#), is_locked_out);
        }
    }

    #[test]
    fn which_actions_lock_out() {
        for (action, is_locked_out) in [
            (r#""Action":"*""#, true),
            (r#""Action":"xray:*""#, true),
            (r#""Action":"XRAY:putresourcepolicy""#, true),
            (r#""Action":"xray:Put*""#, true),
            (r#""Action":"x*:*Policy""#, true),
            (r#""Action":"xray:PutResourcePolic?""#, true),
            (
                r#""Action":["xray:GetGroups","xray:PutResourcePolicy"]"#,
                true,
            ),
            (r#""Action":"xray:PutResourcePolicy?""#, false),
            (r#""Action":"xray:PutResource""#, false),
            (r#""Action":"xray:Get*""#, false),
            (r#""Action":"sns:*""#, false),
            (r#""NotAction":"xray:Get*""#, true),
            (r#""NotAction":"xray:Put*""#, false),
        ] {
            check(
                &format!(r#""Effect":"Deny","Principal":"*",{action}"#),
                is_locked_out,
            );
        }
    }
}
