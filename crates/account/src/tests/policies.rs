//! Resource policies: names, sizes, revisions, counts. What a document may say is tested beside its parser.

use super::*;
use crate::{NewPolicy, ResourcePolicies, ResourcePolicy};

const ALLOW: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":
    {"Service":"sns.amazonaws.com"},"Action":["xray:PutTraceSegments"],"Resource":"*"}]}"#;
const DENY: &str = r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}"#;

fn put(
    policies: &ResourcePolicies,
    name: &str,
    revision: Option<&str>,
    now: u64,
) -> Result<Arc<ResourcePolicy>, AccountError> {
    let new = NewPolicy {
        name: name.to_owned(),
        document: ALLOW.to_owned(),
        revision: revision.map(str::to_owned),
        bypass_lockout: false,
    };
    policies.put(new, at(now))
}

fn document(text: &str) -> NewPolicy {
    NewPolicy {
        name: "p".to_owned(),
        document: text.to_owned(),
        ..NewPolicy::default()
    }
}

#[test]
fn names_are_checked() {
    let check = |name: &str, is_allowed: bool| {
        let outcome = put(&fresh().policies, name, None, 1);
        if is_allowed {
            assert_eq!(outcome.unwrap().name, name);
        } else {
            refused(outcome, "InvalidRequest", "PolicyName");
        }
    };
    check("a", true);
    check("My_Policy+=,.@-9", true);
    check(&"x".repeat(128), true);
    check(&"x".repeat(129), false);
    for name in ["", "a b", "a/b", "a:b", "\u{e9}"] {
        check(name, false);
    }
}

#[test]
fn revisions_grow_by_one() {
    let policies = fresh().policies;
    assert_eq!(put(&policies, "p", None, 1).unwrap().revision, 1);
    assert_eq!(put(&policies, "p", None, 2).unwrap().revision, 2);
    let third = put(&policies, "p", Some("2"), 3).unwrap();
    assert_eq!((third.revision, third.updated_at), (3, at(3)));
    assert_eq!(third.document, ALLOW);
    assert_eq!(put(&policies, "q", Some("0"), 4).unwrap().revision, 1);
    for revision in ["0", "2", "4", "03", "3 ", "x", ""] {
        let outcome = put(&policies, "p", Some(revision), 5);
        refused(outcome, "InvalidPolicyRevisionId", "is at revision 3");
    }
    for revision in ["1", "x"] {
        let outcome = put(&policies, "r", Some(revision), 5);
        refused(outcome, "InvalidPolicyRevisionId", "is not there");
    }
    let list = policies.list();
    let found: Vec<_> = list.iter().map(|p| (p.name.as_str(), p.revision)).collect();
    assert_eq!(found, [("p", 3), ("q", 1)]);
    policies.delete("p", Some("3")).unwrap();
    assert_eq!(
        put(&policies, "p", None, 6).unwrap().revision,
        1,
        "begins anew"
    );
}

#[test]
fn deletion_heeds_the_revision_that_is_expected() {
    let check = |name: &str, revision: Option<&str>, text: Option<&str>| {
        let policies = fresh().policies;
        put(&policies, "p", None, 1).unwrap();
        put(&policies, "p", None, 2).unwrap();
        let outcome = policies.delete(name, revision);
        match text {
            None => outcome.unwrap(),
            Some(text) => refused(outcome, "InvalidPolicyRevisionId", text),
        }
        let is_gone = text.is_none() && name == "p";
        assert_eq!(policies.list().is_empty(), is_gone, "{name} {revision:?}");
    };
    check("p", None, None);
    check("p", Some("2"), None);
    check("p", Some("1"), Some("is at revision 2"));
    check("p", Some("0"), Some("is at revision 2"));
    check("q", None, None);
    check("q", Some("0"), Some("no resource policy \"q\""));
    check("q", Some("1"), Some("no resource policy \"q\""));
}

#[test]
fn five_policies_are_the_most() {
    let policies = fresh().policies;
    for n in 0..5 {
        put(&policies, &format!("p{n}"), None, 1).unwrap();
    }
    refused(
        put(&policies, "q", None, 2),
        "PolicyCountLimitExceeded",
        "at most 5",
    );
    assert_eq!(put(&policies, "p0", None, 2).unwrap().revision, 2);
    policies.delete("p0", None).unwrap();
    put(&policies, "q", None, 3).unwrap();
}

#[test]
fn documents_have_at_most_5120_bytes() {
    let sized = |n_bytes: usize| document(&format!("{ALLOW:<n_bytes$}"));
    let policies = fresh().policies;
    policies.put(sized(5120), at(1)).unwrap();
    let outcome = policies.put(sized(5121), at(1));
    refused(
        outcome,
        "PolicySizeLimitExceeded",
        "at most 5120 bytes, and this one has 5121",
    );
    let outcome = policies.put(document(&"\u{e9}".repeat(2561)), at(1));
    refused(outcome, "PolicySizeLimitExceeded", "5122");
}

#[test]
fn bad_documents_change_nothing() {
    let policies = fresh().policies;
    refused(
        policies.put(document("{"), at(1)),
        "MalformedPolicyDocument",
        "not valid JSON",
    );
    refused(
        policies.put(document(DENY), at(1)),
        "LockoutPrevention",
        "statement 0",
    );
    assert!(policies.list().is_empty());
    let bypassing = NewPolicy {
        bypass_lockout: true,
        ..document(DENY)
    };
    assert_eq!(policies.put(bypassing, at(1)).unwrap().document, DENY);
}
