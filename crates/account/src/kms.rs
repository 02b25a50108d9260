//! How a key of the key management service is named (spec: X-Ray API, `PutEncryptionConfig`,
//! `CloudWatchLogsConfiguration`; KMS API, `KeyId`).
//!
//! There is no such service here: whether a key exists and what an alias stands for is not known.

use model::Account;

/// Returns the ARN of the key that an alias (`alias/x`), a key id or the ARN of either names, of this
/// account and region unless it says otherwise; nothing if the text is none of these.
pub(crate) fn key_arn(account: &Account, key_id: &str) -> Option<String> {
    if Arn::parse(key_id).is_some() {
        return Some(key_id.to_owned());
    }
    let resource = if key_id.starts_with(ALIAS) {
        key_id.to_owned()
    } else {
        format!("{KEY}{key_id}")
    };
    let Account { id, region } = account;
    is_resource(&resource).then(|| format!("arn:aws:kms:{region}:{id}:{resource}"))
}

/// Tells whether a text is the ARN of a key, not of an alias, in this account and region.
pub(crate) fn is_own_key_arn(account: &Account, text: &str) -> bool {
    Arn::parse(text).is_some_and(|arn| {
        arn.region == account.region && arn.account == account.id && arn.resource.starts_with(KEY)
    })
}

/// The parts of an ARN of a key or alias that matter.
struct Arn<'t> {
    region: &'t str,
    account: &'t str,
    resource: &'t str,
}

impl<'t> Arn<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, "kms", region, account, resource] = parts[..] else {
            return None;
        };
        let is_region = !region.is_empty()
            && region
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let is_arn =
            partition.starts_with("aws") && is_region && is_account && is_resource(resource);
        is_arn.then_some(Self {
            region,
            account,
            resource,
        })
    }
}

/// Tells whether a text is `key/<key id>` or `alias/<name>`.
fn is_resource(text: &str) -> bool {
    if let Some(id) = text.strip_prefix(KEY) {
        return is_key_id(id);
    }
    let Some(name) = text.strip_prefix(ALIAS) else {
        return false;
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-');
    !name.is_empty() && text.len() <= ALIAS_BYTES_MAX && name.bytes().all(allowed)
}

/// Tells whether a text is the id of a key: `mrk-` and what follows, or five groups of letters and digits
/// like a UUID. Those in the service's own examples are no UUIDs to the letter.
fn is_key_id(text: &str) -> bool {
    let is_word =
        |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if text.len() > KEY_ID_BYTES_MAX {
        return false;
    }
    match text.strip_prefix("mrk-") {
        Some(rest) => is_word(rest),
        None => text.split('-').count() == 5 && text.split('-').all(is_word),
    }
}

const KEY: &str = "key/";
const ALIAS: &str = "alias/";
const ALIAS_BYTES_MAX: usize = 256;
const KEY_ID_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account {
            id: "123456789012".to_owned(),
            region: "us-east-2".to_owned(),
        }
    }

    fn check(key_id: &str, expected: Option<&str>) {
        assert_eq!(key_arn(&account(), key_id).as_deref(), expected, "{key_id}");
    }

    #[test]
    fn every_form_of_a_key_becomes_its_arn() {
        check(
            "c234g4e8-39e9-4gb0-84e2-b0ea215cbba5",
            Some("arn:aws:kms:us-east-2:123456789012:key/c234g4e8-39e9-4gb0-84e2-b0ea215cbba5"),
        );
        check(
            "mrk-1234abcd12ab34cd56ef1234567890ab",
            Some("arn:aws:kms:us-east-2:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab"),
        );
        check(
            "alias/My_Key/a-1",
            Some("arn:aws:kms:us-east-2:123456789012:alias/My_Key/a-1"),
        );
        for arn in [
            "arn:aws:kms:us-west-2:210987654321:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws-cn:kms:cn-north-1:210987654321:alias/x",
        ] {
            check(arn, Some(arn));
        }
    }

    #[test]
    fn what_names_no_key_is_none() {
        for text in [
            "",
            "x",
            "alias/",
            "alias/a b",
            "mrk-",
            "mrk-a-b",
            "a-b-c-d",
            "a-b-c-d-",
            "a-b-c-d-e-f",
            "a-b-c-d-e!",
            "key/a-b-c-d-e",
            "arn:aws:kms:us-east-2:123456789012:key/",
            "arn:aws:kms:us-east-2:123456789012:grant/a-b-c-d-e",
            "arn:aws:kms:us-east-2:12345678901:key/a-b-c-d-e",
            "arn:aws:kms::123456789012:key/a-b-c-d-e",
            "arn:aws:kms:us-east-2:123456789012:key/a-b-c-d-e:f",
            "arn:aws:s3:us-east-2:123456789012:key/a-b-c-d-e",
            "arn:gcp:kms:us-east-2:123456789012:key/a-b-c-d-e",
            "arn:aws:kms:us-east-2:123456789012",
        ] {
            check(text, None);
        }
        check(&format!("alias/{}", "a".repeat(251)), None);
        check(&format!("a-b-c-d-{}", "e".repeat(57)), None);
    }

    #[test]
    fn own_keys_are_told_from_those_of_others() {
        let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
        let of = |place: &str, resource: &str| {
            is_own_key_arn(&account(), &format!("arn:aws:kms:{place}:{resource}"))
        };
        assert!(of("us-east-2:123456789012", &format!("key/{id}")));
        assert!(!of("us-east-1:123456789012", &format!("key/{id}")));
        assert!(!of("us-east-2:210987654321", &format!("key/{id}")));
        assert!(!of("us-east-2:123456789012", "alias/x"));
        assert!(!is_own_key_arn(&account(), id));
    }
}
