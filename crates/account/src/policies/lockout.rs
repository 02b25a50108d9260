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
