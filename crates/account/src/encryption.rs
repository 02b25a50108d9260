//! How an account wants its data encrypted (spec: X-Ray API, `PutEncryptionConfig`,
//! `GetEncryptionConfig`).
//!
//! The setting is kept and answered, and nothing is encrypted by it: there is no key management
//! service here. What is on disk is protected by whatever protects the disk.

use model::Account;
use serde::{Deserialize, Serialize};
use storage::ControlKind;

use crate::home::{Current, Home};
use crate::{AccountError, kms};

/// The encryption configuration of an account.
pub struct EncryptionConfigs {
    home: Home,
    account: Account,
    encryption: Current<Encryption>,
}

/// What keys data is encrypted with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Those of the service.
    #[default]
    None,
    /// One of the account's own.
    Kms {
        /// Its ARN, or that of its alias.
        key_arn: String,
    },
}

/// Which kind of encryption a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncryptionType {
    /// With the service's keys.
    None,
    /// With a key of the account's own.
    Kms,
}

/// What is told of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptionConfig {
    /// What it is.
    pub encryption: Encryption,
    /// Whether it is in force.
    pub status: EncryptionStatus,
}

/// Whether an encryption configuration is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncryptionStatus {
    /// It was just changed: what the call that changed it answers, and no other.
    Updating,
    /// It is in force.
    Active,
}

impl EncryptionConfigs {
    pub(crate) fn open(home: Home, account: Account) -> Result<Self, AccountError> {
        let record: Option<Record> = home.load_only(ControlKind::EncryptionConfig)?;
        let key_arn = record.and_then(|record| record.key_arn);
        let encryption = key_arn.map_or(Encryption::None, |key_arn| Encryption::Kms { key_arn });
        Ok(Self {
            home,
            account,
            encryption: Current::new(encryption),
        })
    }

    /// Returns the configuration, which is in force.
    pub fn get(&self) -> EncryptionConfig {
        EncryptionConfig {
            encryption: Encryption::clone(&self.encryption.read()),
            status: EncryptionStatus::Active,
        }
    }

    /// Changes the configuration. It is on disk once this returns, and in force although the answer
    /// says, as the service's does, that it is being updated. A key is named by an alias, an id or an ARN.
    ///
    /// # Errors
    /// Refuses a key without KMS, KMS without a key, and what does not name a key.
    pub fn put(
        &self,
        kind: EncryptionType,
        key_id: Option<&str>,
    ) -> Result<EncryptionConfig, AccountError> {
        let encryption = match (kind, key_id) {
            (EncryptionType::None, None) => Encryption::None,
            (EncryptionType::None, Some(_)) => return Err(invalid("a KeyId needs the Type KMS")),
            (EncryptionType::Kms, None) => return Err(invalid("the Type KMS needs a KeyId")),
            (EncryptionType::Kms, Some(key_id)) => {
                let key_arn = kms::key_arn(&self.account, key_id);
                let text =
                    "a KeyId is an alias (alias/name), a key id, or the ARN of a key or alias";
                Encryption::Kms {
                    key_arn: key_arn.ok_or_else(|| invalid(text))?,
                }
            }
        };
        self.encryption.change(|_| {
            let record = Record::of(&encryption);
            self.home.put_only(ControlKind::EncryptionConfig, &record)?;
            let answer = EncryptionConfig {
                encryption: encryption.clone(),
                status: EncryptionStatus::Updating,
            };
            Ok((encryption, answer))
        })
    }
}

/// The configuration as it is stored.
#[derive(Serialize, Deserialize)]
struct Record {
    /// The key's ARN; nothing for no key of the account's own.
    key_arn: Option<String>,
}

impl Record {
    fn of(encryption: &Encryption) -> Self {
        match encryption {
            Encryption::None => Self { key_arn: None },
            Encryption::Kms { key_arn } => Self {
                key_arn: Some(key_arn.clone()),
            },
        }
    }
}

fn invalid(text: &str) -> AccountError {
    AccountError::InvalidRequest(text.to_owned())
}
