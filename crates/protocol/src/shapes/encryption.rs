//! `GetEncryptionConfig` and `PutEncryptionConfig`.

use serde::{Deserialize, Serialize};

use crate::Violations;
use crate::decode::Shape;

/// The request of `GetEncryptionConfig`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetEncryptionConfigRequest;

/// The request of `PutEncryptionConfig`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutEncryptionConfigRequest {
    /// The service's own encryption; a key that is sent with it means nothing.
    None,
    /// Encryption with a key of the customer.
    Kms {
        /// The key's id, ARN or alias, 1 to 3000 characters.
        key_id: String,
    },
}

/// The response of both operations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EncryptionConfigResponse {
    /// The configuration as it is now.
    pub encryption_config: EncryptionConfig,
}

/// How traces are encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct EncryptionConfig {
    /// The customer's key, with `KMS` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Whether the change has come into force.
    pub status: EncryptionStatus,
    /// The kind of encryption.
    #[serde(rename = "Type")]
    pub encryption_type: EncryptionType,
}

/// Whether a change of the encryption has come into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EncryptionStatus {
    /// Not yet.
    Updating,
    /// Yes.
    Active,
}

/// A kind of encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EncryptionType {
    /// The service's own.
    None,
    /// With a key of the customer.
    Kms,
}

/// A body none of whose members mean anything.
#[derive(Deserialize)]
pub struct NoMembers {}

/// The members of `PutEncryptionConfig` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutEncryptionConfigWire {
    key_id: Option<String>,
    #[serde(rename = "Type")]
    encryption_type: Option<String>,
}

impl Shape<'_> for GetEncryptionConfigRequest {
    type Wire = NoMembers;

    fn from_wire(NoMembers {}: Self::Wire, _violations: &mut Violations) -> Option<Self> {
        Some(Self)
    }
}

impl Shape<'_> for PutEncryptionConfigRequest {
    type Wire = PutEncryptionConfigWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let key_id = violations.text("keyId", wire.key_id, 1, 3000);
        let types = [("NONE", EncryptionType::None), ("KMS", EncryptionType::Kms)];
        let name = violations.required("type", wire.encryption_type);
        match violations.choice("type", name.as_deref(), &types)? {
            EncryptionType::None => Some(Self::None),
            EncryptionType::Kms => {
                if key_id.is_none() {
                    violations.add_absent("keyId", "Member must not be null with type KMS");
                }
                Some(Self::Kms { key_id: key_id? })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    fn check(body: &str, expected: Result<PutEncryptionConfigRequest, &str>) {
        let found = decode::<PutEncryptionConfigRequest>(body.as_bytes());
        let found = found.map_err(|error| error.message().to_owned());
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn a_key_goes_with_kms_only() {
        let kms = PutEncryptionConfigRequest::Kms {
            key_id: "alias/k".into(),
        };
        check(r#"{"Type": "KMS", "KeyId": "alias/k"}"#, Ok(kms));
        check(r#"{"Type": "NONE"}"#, Ok(PutEncryptionConfigRequest::None));
        check(
            r#"{"Type": "NONE", "KeyId": "alias/k"}"#,
            Ok(PutEncryptionConfigRequest::None),
        );
        check(
            r#"{"Type": "KMS"}"#,
            Err(
                "1 validation error detected: Value null at 'keyId' failed to satisfy constraint: Member must not be null with type KMS",
            ),
        );
        check(
            r#"{"Type": "AES"}"#,
            Err(
                "1 validation error detected: Value 'AES' at 'type' failed to satisfy constraint: Member must satisfy enum value set: [NONE, KMS]",
            ),
        );
    }
}
