//! Resource policies: kept and given back, never evaluated here.
//!
//! `PutResourcePolicy` models no `InvalidRequestException`. A request of it that breaks a constraint is
//! answered with one all the same: clients take an error they have no type for as the general one.

use serde::{Deserialize, Serialize};

use crate::decode::Shape;
use crate::shapes::WireTime;
use crate::{Pattern, Violations};

/// The request of `PutResourcePolicy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutResourcePolicyRequest {
    /// The policy's name, 1 to 128 characters of `[\w+=,.@-]`.
    pub policy_name: String,
    /// The policy, a JSON text.
    pub policy_document: String,
    /// The revision the policy must be at; `0` means that there must be none yet.
    pub policy_revision_id: Option<String>,
    /// Whether a policy that shuts its author out is taken.
    pub bypass_policy_lockout_check: bool,
}

/// The request of `DeleteResourcePolicy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteResourcePolicyRequest {
    /// The policy's name.
    pub policy_name: String,
    /// The revision the policy must be at.
    pub policy_revision_id: Option<String>,
}

/// The request of `ListResourcePolicies`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListResourcePoliciesRequest {
    /// Where the last page ended, 1 to 100 characters.
    pub next_token: Option<String>,
}

/// The response of `PutResourcePolicy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutResourcePolicyResponse {
    /// The policy as it is now.
    pub resource_policy: ResourcePolicy,
}

/// The response of `ListResourcePolicies`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListResourcePoliciesResponse {
    /// The policies.
    pub resource_policies: Vec<ResourcePolicy>,
    /// Where the next page starts, at most 100 characters; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// A resource policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ResourcePolicy {
    /// Its name.
    pub policy_name: String,
    /// The policy, a JSON text.
    pub policy_document: String,
    /// Its revision, another with every change.
    pub policy_revision_id: String,
    /// When it was put.
    pub last_updated_time: WireTime,
}

/// The members of `PutResourcePolicy` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutResourcePolicyWire {
    policy_name: Option<String>,
    policy_document: Option<String>,
    policy_revision_id: Option<String>,
    bypass_policy_lockout_check: Option<bool>,
}

/// The members of `DeleteResourcePolicy` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteResourcePolicyWire {
    policy_name: Option<String>,
    policy_revision_id: Option<String>,
}

/// The members of `ListResourcePolicies` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListResourcePoliciesWire {
    next_token: Option<String>,
}

impl Shape<'_> for PutResourcePolicyRequest {
    type Wire = PutResourcePolicyWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let policy_name = policy_name(wire.policy_name, violations);
        let policy_document = violations.required("policyDocument", wire.policy_document);
        Some(Self {
            policy_name: policy_name?,
            policy_document: policy_document?,
            policy_revision_id: wire.policy_revision_id,
            bypass_policy_lockout_check: wire.bypass_policy_lockout_check.unwrap_or(false),
        })
    }
}

impl Shape<'_> for DeleteResourcePolicyRequest {
    type Wire = DeleteResourcePolicyWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        Some(Self {
            policy_name: policy_name(wire.policy_name, violations)?,
            policy_revision_id: wire.policy_revision_id,
        })
    }
}

impl Shape<'_> for ListResourcePoliciesRequest {
    type Wire = ListResourcePoliciesWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let next_token = violations.text("nextToken", wire.next_token, 1, 100);
        Some(Self { next_token })
    }
}

fn policy_name(name: Option<String>, violations: &mut Violations) -> Option<String> {
    let name = violations.required_text("policyName", name, 1, 128)?;
    violations.pattern("policyName", &name, Pattern::PolicyName);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    #[test]
    fn a_policy_is_taken_as_the_text_it_is() {
        let body = br#"{"PolicyName": "p", "PolicyDocument": "no JSON", "PolicyRevisionId": "0"}"#;
        let request: PutResourcePolicyRequest = decode(body).unwrap();
        let expected = PutResourcePolicyRequest {
            policy_name: "p".into(),
            policy_document: "no JSON".into(),
            policy_revision_id: Some("0".into()),
            bypass_policy_lockout_check: false,
        };
        assert_eq!(request, expected);
    }

    #[test]
    fn a_name_off_the_pattern_is_refused_with_it() {
        let error = decode::<DeleteResourcePolicyRequest>(br#"{"PolicyName": "a/b"}"#).unwrap_err();
        assert_eq!(
            error.message(),
            r"1 validation error detected: Value 'a/b' at 'policyName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]+"
        );
    }
}
