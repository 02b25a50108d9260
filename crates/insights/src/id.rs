//! Ids of insights: UUIDs made from what an insight is (RFC 9562, version 5 in form), so that the same
//! minutes evaluated again give the same insight.

use std::fmt::Write;

use model::{Service, Tenant};
use sha2::{Digest, Sha256};

/// Returns the id of the insight of a group that began in a minute at a service.
pub(crate) fn insight_id(tenant: Tenant, group: u32, minute: u32, root_cause: &Service) -> String {
    let mut hash = Sha256::new();
    hash.update(b"insight");
    for number in [tenant.0, group, minute] {
        hash.update(number.to_be_bytes());
    }
    update(&mut hash, Some(&root_cause.name));
    update(&mut hash, root_cause.service_type.as_deref());
    update(&mut hash, root_cause.account_id.as_deref());
    hash.update([u8::from(root_cause.inferred)]);
    uuid(&hash.finalize())
}

/// Adds a text so that no two lists of texts give the same bytes.
fn update(hash: &mut Sha256, text: Option<&str>) {
    let Some(text) = text else {
        hash.update([0]);
        return;
    };
    let n_bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
    hash.update([1]);
    hash.update(n_bytes.to_be_bytes());
    hash.update(text);
}

/// Writes the first sixteen bytes as a UUID of version 5 and the variant of RFC 9562.
fn uuid(bytes: &[u8]) -> String {
    let mut id = String::with_capacity(36);
    for (idx, byte) in bytes.iter().take(16).enumerate() {
        if matches!(idx, 4 | 6 | 8 | 10) {
            id.push('-');
        }
        let byte = match idx {
            6 => byte & 0x0f | 0x50,
            8 => byte & 0x3f | 0x80,
            _ => *byte,
        };
        // Writing to a string never fails.
        let _ = write!(id, "{byte:02x}");
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, service_type: Option<&str>, account_id: Option<&str>) -> Service {
        Service {
            name: name.to_owned(),
            service_type: service_type.map(str::to_owned),
            account_id: account_id.map(str::to_owned),
            inferred: false,
        }
    }

    #[test]
    fn ids_have_the_form_of_version_5() {
        assert_eq!(uuid(&[0; 32]), "00000000-0000-5000-8000-000000000000");
        assert_eq!(uuid(&[0xff; 32]), "ffffffff-ffff-5fff-bfff-ffffffffffff");
    }

    #[test]
    fn everything_an_insight_is_counts() {
        let ids = [
            insight_id(Tenant(0), 0, 0, &service("a", None, None)),
            insight_id(Tenant(1), 0, 0, &service("a", None, None)),
            insight_id(Tenant(0), 1, 0, &service("a", None, None)),
            insight_id(Tenant(0), 0, 1, &service("a", None, None)),
            insight_id(Tenant(0), 0, 0, &service("ab", None, None)),
            insight_id(Tenant(0), 0, 0, &service("a", Some("b"), None)),
            insight_id(Tenant(0), 0, 0, &service("a", None, Some("b"))),
            insight_id(Tenant(0), 0, 0, &service("a", Some(""), None)),
        ];
        let distinct: std::collections::BTreeSet<&String> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len(), "{ids:?}");
        assert_eq!(
            ids[0],
            insight_id(Tenant(0), 0, 0, &service("a", None, None))
        );
        // Stored ids are looked up again: how they are made must not change.
        assert_eq!(ids[0], "56b6ec2e-7be1-5c46-a96f-3d12b4a490a6");
    }
}
