//! Who else may use an account's X-Ray (spec: X-Ray API, `PutResourcePolicy`, `DeleteResourcePolicy`,
//! `ListResourcePolicies`).
//!
//! Policies are checked, kept and answered; nothing is permitted or denied by them here.

mod document;
mod lockout;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Account, Timestamp};
use serde::{Deserialize, Serialize};
use storage::ControlKind;

use crate::AccountError;
use crate::home::{self, Current, Home};
use document::Policy;

/// The resource policies of an account, at most five.
pub struct ResourcePolicies {
    home: Home,
    account: Account,
    policies: Current<BTreeMap<String, Arc<ResourcePolicy>>>,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourcePolicy {
    /// Its name.
    pub name: String,
    /// Its text, as it was given.
    pub document: String,
    /// How often it was put since it was made, from 1.
    pub revision: u64,
    /// When it was put last.
    pub updated_at: Timestamp,
}

/// A policy to be made or changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewPolicy {
    /// Its name: 1 to 128 ASCII letters, digits and `_+=,.@-`.
    pub name: String,
    /// Its text, at most 5,120 bytes.
    pub document: String,
    /// The revision it must be at, `0` if it must not be there; nothing if that does not matter.
    pub revision: Option<String>,
    /// Whether it may keep the account from changing it again.
    pub bypass_lockout: bool,
}

impl ResourcePolicies {
    pub(crate) fn open(home: Home, account: Account) -> Result<Self, AccountError> {
        let mut policies = BTreeMap::new();
        for stored in home.load(ControlKind::ResourcePolicy)? {
            let record: Record = home::decode(&stored)?;
            let policy = ResourcePolicy {
                name: stored.key.clone(),
                document: record.document,
                revision: record.revision,
                updated_at: record.updated_at,
            };
            policies.insert(stored.key, Arc::new(policy));
        }
        Ok(Self {
            home,
            account,
            policies: Current::new(policies),
        })
    }

    /// Makes a policy or changes it, and returns it as it is then. It is on disk once this returns.
    ///
    /// # Errors
    /// In this order: [`AccountError::InvalidRequest`] for a name that is not allowed,
    /// [`AccountError::PolicySizeLimitExceeded`], [`AccountError::MalformedPolicyDocument`],
    /// [`AccountError::LockoutPrevention`], [`AccountError::InvalidPolicyRevisionId`], and
    /// [`AccountError::PolicyCountLimitExceeded`] for a sixth policy.
    pub fn put(&self, new: NewPolicy, now: Timestamp) -> Result<Arc<ResourcePolicy>, AccountError> {
        check_name(&new.name)?;
        if new.document.len() > DOCUMENT_BYTES_MAX {
            let n_bytes = new.document.len();
            return Err(AccountError::PolicySizeLimitExceeded(format!(
                "a policy document has at most {DOCUMENT_BYTES_MAX} bytes, and this one has {n_bytes}"
            )));
        }
        let policy = Policy::parse(&new.document).map_err(AccountError::MalformedPolicyDocument)?;
        if !new.bypass_lockout {
            lockout::check(&policy, &self.account).map_err(AccountError::LockoutPrevention)?;
        }
        self.policies.change(|policies| {
            let before = policies.get(&new.name).map_or(0, |policy| policy.revision);
            check_revision(&new.name, before, new.revision.as_deref())?;
            if before == 0 && policies.len() >= POLICIES_MAX {
                return Err(AccountError::PolicyCountLimitExceeded(format!(
                    "an account has at most {POLICIES_MAX} resource policies; delete one first"
                )));
            }
            let policy = Arc::new(ResourcePolicy {
                name: new.name,
                document: new.document,
                revision: before.saturating_add(1),
                updated_at: now,
            });
            self.home.put(
                ControlKind::ResourcePolicy,
                &policy.name,
                &Record::of(&policy),
            )?;
            let mut policies = policies.clone();
            policies.insert(policy.name.clone(), Arc::clone(&policy));
            Ok((policies, policy))
        })
    }

    /// Deletes a policy. It is gone from disk once this returns. One that is not there is no error
    /// unless a revision is expected of it.
    ///
    /// # Errors
    /// [`AccountError::InvalidPolicyRevisionId`] if the policy is not at the revision that is given.
    pub fn delete(&self, name: &str, revision: Option<&str>) -> Result<(), AccountError> {
        self.policies.change(|policies| {
            let before = policies.get(name).map_or(0, |policy| policy.revision);
            if before == 0 && revision.is_some() {
                return Err(AccountError::InvalidPolicyRevisionId(format!(
                    "there is no resource policy {name:?}, and so no revision of it"
                )));
            }
            check_revision(name, before, revision)?;
            let mut policies = policies.clone();
            if policies.remove(name).is_some() {
                self.home.remove(ControlKind::ResourcePolicy, name)?;
            }
            Ok((policies, ()))
        })
    }

    /// Returns every policy, ascending by name.
    pub fn list(&self) -> Vec<Arc<ResourcePolicy>> {
        self.policies.read().values().cloned().collect()
    }
}

/// A policy as it is stored, under its name.
#[derive(Serialize, Deserialize)]
struct Record {
    document: String,
    revision: u64,
    updated_at: Timestamp,
}

impl Record {
    fn of(policy: &ResourcePolicy) -> Self {
        Self {
            document: policy.document.clone(),
            revision: policy.revision,
            updated_at: policy.updated_at,
        }
    }
}

fn check_name(name: &str) -> Result<(), AccountError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(allowed) {
        let text = format!(
            "invalid PolicyName: a name has 1 to {NAME_BYTES_MAX} characters, which are letters (a-z, A-Z), \
             digits and _+=,.@-"
        );
        return Err(AccountError::InvalidRequest(text));
    }
    Ok(())
}

/// Refuses an expected revision that is not the one before; revision 0 is that of a policy that is not there.
fn check_revision(name: &str, before: u64, expected: Option<&str>) -> Result<(), AccountError> {
    let Some(expected) = expected else {
        return Ok(());
    };
    if expected == before.to_string() {
        return Ok(());
    }
    let found = match before {
        0 => "is not there".to_owned(),
        before => format!("is at revision {before}"),
    };
    Err(AccountError::InvalidPolicyRevisionId(format!(
        "the resource policy {name:?} {found}, not at revision {expected:?}"
    )))
}

const POLICIES_MAX: usize = 5;
const DOCUMENT_BYTES_MAX: usize = 5120;
const NAME_BYTES_MAX: usize = 128;
