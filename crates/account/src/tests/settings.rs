//! Encryption, indexing and destination; what the store must and must not hold.

use super::*;
use crate::{
    Destination, DestinationStatus, Encryption, EncryptionStatus, EncryptionType, GroupChange,
    LogsConfiguration, NewGroup, NewPolicy, Selector,
};

const KEY: &str = "arn:aws:kms:us-east-2:123456789012:key/c234g4e8-39e9-4gb0-84e2-b0ea215cbba5";

#[test]
fn encryption_is_none_or_a_key() {
    use EncryptionType::{Kms, None as Service};
    let check =
        |kind: EncryptionType, key_id: Option<&str>, expected: Result<Option<&str>, &str>| {
            let encryption = fresh().encryption;
            let outcome = encryption.put(kind, key_id);
            let config = match expected {
                Err(text) => {
                    refused(outcome, "InvalidRequest", text);
                    assert_eq!(encryption.get().encryption, Encryption::None);
                    return;
                }
                Ok(None) => Encryption::None,
                Ok(Some(key_arn)) => Encryption::Kms {
                    key_arn: key_arn.to_owned(),
                },
            };
            let answer = outcome.unwrap();
            assert_eq!(answer.encryption, config);
            assert_eq!(answer.status, EncryptionStatus::Updating);
            let later = encryption.get();
            assert_eq!(later.encryption, config);
            assert_eq!(later.status, EncryptionStatus::Active);
        };
    check(Service, None, Ok(None));
    check(
        Kms,
        Some("c234g4e8-39e9-4gb0-84e2-b0ea215cbba5"),
        Ok(Some(KEY)),
    );
    check(Kms, Some(KEY), Ok(Some(KEY)));
    let alias = "arn:aws:kms:us-east-2:123456789012:alias/x";
    check(Kms, Some("alias/x"), Ok(Some(alias)));
    check(Service, Some(KEY), Err("needs the Type KMS"));
    check(Kms, None, Err("needs a KeyId"));
    check(Kms, Some("nonsense"), Err("a KeyId is"));
}

#[test]
fn encryption_begins_with_none_and_can_be_taken_back() {
    let encryption = fresh().encryption;
    let first = encryption.get();
    assert_eq!(first.encryption, Encryption::None);
    assert_eq!(first.status, EncryptionStatus::Active);
    encryption.put(EncryptionType::Kms, Some(KEY)).unwrap();
    encryption.put(EncryptionType::None, None).unwrap();
    assert_eq!(encryption.get(), first);
}

#[test]
fn the_indexing_rule_is_a_percentage() {
    let check = |percentage: f64, expected: Option<f64>| {
        let indexing = fresh().indexing;
        let outcome = indexing.update("Default", percentage, at(2_000));
        let Some(expected) = expected else {
            refused(outcome, "InvalidRequest", "from 0 to 100");
            let [rule] = &indexing.list()[..] else {
                panic!("one rule")
            };
            assert_eq!(
                (rule.desired_percentage, rule.modified_at),
                (1.0, at(1_000))
            );
            return;
        };
        let rule = outcome.unwrap();
        assert_eq!(rule.name, "Default");
        assert_eq!(rule.desired_percentage.to_bits(), expected.to_bits());
        assert_eq!(rule.actual_percentage.to_bits(), expected.to_bits());
        assert_eq!(rule.modified_at, at(2_000));
        assert_eq!(indexing.list(), [rule]);
    };
    check(0.0, Some(0.0));
    check(-0.0, Some(0.0));
    check(12.345_678_901_234_567, Some(12.345_678_901_234_567));
    check(100.0, Some(100.0));
    check(-0.001, None);
    check(100.001, None);
    check(f64::NAN, None);
    check(f64::INFINITY, None);
    for name in ["default", "", "other"] {
        refused(fresh().indexing.update(name, 5.0, at(1)), "NotFound", name);
    }
}

#[test]
fn the_destination_changes_at_once_and_says_it_is_pending() {
    let destination = fresh().destination;
    let check = |to: Destination| {
        let answer = destination.update(Some(to), None).unwrap();
        assert_eq!(answer.destination, to);
        assert_eq!(answer.status, DestinationStatus::Pending);
        let later = destination.get();
        assert_eq!(later.destination, to);
        assert_eq!(later.status, DestinationStatus::Active);
    };
    let first = destination.get();
    assert_eq!(first.destination, Destination::XRay);
    assert_eq!(first.status, DestinationStatus::Active);
    check(Destination::CloudWatchLogs);
    check(Destination::CloudWatchLogs);
    check(Destination::XRay);
}

#[test]
fn only_a_new_log_group_gets_a_key() {
    use Destination::{CloudWatchLogs, XRay};
    type Call<'c> = (
        Option<Destination>,
        Option<Option<&'c str>>,
        Option<&'c str>,
    );
    let check = |calls: &[Call<'_>]| {
        let destination = fresh().destination;
        for (to, logs, text) in calls {
            let logs = logs.map(|spans_log_group_kms_key_id| LogsConfiguration {
                spans_log_group_kms_key_id,
            });
            let before = destination.get();
            let outcome = destination.update(*to, logs);
            match text {
                None => assert_eq!(Some(outcome.unwrap().destination), *to),
                Some(text) => {
                    refused(outcome, "InvalidRequest", text);
                    assert_eq!(destination.get(), before);
                }
            }
        }
    };
    let exists = Some("exists already");
    check(&[
        (Some(CloudWatchLogs), Some(Some(KEY)), None),
        (Some(CloudWatchLogs), Some(Some(KEY)), exists),
        (Some(CloudWatchLogs), Some(None), None),
        (Some(XRay), None, None),
        (Some(CloudWatchLogs), Some(Some(KEY)), exists),
    ]);
    check(&[
        (Some(CloudWatchLogs), None, None),
        (Some(CloudWatchLogs), Some(Some(KEY)), exists),
    ]);
    let needs_logs = Some("needs the Destination CloudWatchLogs");
    check(&[(Some(XRay), Some(Some(KEY)), needs_logs)]);
    check(&[(Some(XRay), Some(None), needs_logs)]);
    check(&[
        (None, None, Some("Destination is required")),
        (None, Some(Some(KEY)), Some("Destination is required")),
    ]);
    let bad_key = Some("is the ARN of a KMS key");
    for key in ["alias/x", "c234g4e8-39e9-4gb0-84e2-b0ea215cbba5", ""] {
        check(&[
            (Some(CloudWatchLogs), Some(Some(key)), bad_key),
            (Some(CloudWatchLogs), Some(Some(KEY)), None),
        ]);
    }
}

/// Makes a call of each kind that writes; each is refused with an error of the store.
fn refuse_each(settings: &Settings) {
    let arn = settings
        .groups
        .get(Selector::name("a"))
        .unwrap()
        .arn
        .clone();
    let new = NewGroup {
        name: "b".to_owned(),
        ..NewGroup::default()
    };
    refused(settings.groups.create(new, at(5)), "Store", "closed");
    let change = GroupChange {
        filter: Some("new".to_owned()),
        ..GroupChange::default()
    };
    let a = Selector::name("a");
    refused(settings.groups.update(a, change, at(5)), "Store", "closed");
    refused(settings.groups.delete(a), "Store", "closed");
    let tags = vec![("k".to_owned(), "new".to_owned())];
    refused(settings.groups.tag(&arn, tags), "Store", "closed");
    refused(
        settings.groups.untag(&arn, &["k".to_owned()]),
        "Store",
        "closed",
    );
    let encryption = settings.encryption.put(EncryptionType::Kms, Some(KEY));
    refused(encryption, "Store", "closed");
    refused(settings.policies.put(policy("p"), at(5)), "Store", "closed");
    refused(settings.policies.put(policy("q"), at(5)), "Store", "closed");
    refused(settings.policies.delete("p", None), "Store", "closed");
    let indexing = settings.indexing.update("Default", 9.0, at(5));
    refused(indexing, "Store", "closed");
    let destination = settings
        .destination
        .update(Some(Destination::CloudWatchLogs), None);
    refused(destination, "Store", "closed");
}

fn policy(name: &str) -> NewPolicy {
    let document =
        r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}"#;
    NewPolicy {
        name: name.to_owned(),
        document: document.to_owned(),
        ..NewPolicy::default()
    }
}

/// Returns everything the settings tell.
fn all(settings: &Settings) -> String {
    format!(
        "{:?} {:?} {:?} {:?} {:?}",
        settings.groups.snapshot(),
        settings.encryption.get(),
        settings.policies.list(),
        settings.indexing.list(),
        settings.destination.get(),
    )
}

#[test]
fn what_is_not_written_does_not_happen() {
    let store = new_store();
    let settings = open(&store, at(1));
    let new = NewGroup {
        name: "a".to_owned(),
        tags: vec![("k".to_owned(), "v".to_owned())],
        ..NewGroup::default()
    };
    settings.groups.create(new, at(2)).unwrap();
    settings.policies.put(policy("p"), at(3)).unwrap();
    let before = all(&settings);
    store.refuse_after(0);
    refuse_each(&settings);
    assert_eq!(all(&settings), before);
    assert_eq!(all(&open(&store, at(6))), before);
}

#[test]
fn what_changes_nothing_is_not_written() {
    let store = new_store();
    let settings = open(&store, at(1));
    let new = NewGroup {
        name: "a".to_owned(),
        filter: Some("f".to_owned()),
        ..NewGroup::default()
    };
    let a = settings.groups.create(new, at(2)).unwrap();
    store.refuse_after(9);
    let same = GroupChange {
        filter: Some("f".to_owned()),
        ..GroupChange::default()
    };
    let unchanged = settings.groups.update(Selector::name("a"), same, at(3));
    assert_eq!(unchanged.unwrap(), a);
    settings.groups.untag(&a.arn, &["none".to_owned()]).unwrap();
    settings.policies.delete("none", None).unwrap();
    let encryption = settings.encryption.get();
    open(&store, at(9));
    assert_eq!(store.n_written_of(9), 0);
    settings.encryption.put(EncryptionType::None, None).unwrap();
    assert_eq!(settings.encryption.get(), encryption);
    assert_eq!(store.n_written_of(9), 1, "writes are counted");
}

#[test]
fn what_is_made_at_first_lasts() {
    let store = new_store();
    let first = all(&open(&store, at(1)));
    assert_eq!(all(&open(&store, at(9))), first);
    // Another tenant of the same store has settings of its own.
    let other: Arc<dyn ControlStore> = Arc::clone(&store) as _;
    let other = Settings::open(other, Tenant(8), account(), no_exclamations(), at(1)).unwrap();
    assert_ne!(all(&other), first);
}

#[test]
fn a_store_that_cannot_be_read_or_written_is_not_opened() {
    let store = new_store();
    for n_writes in 0..2 {
        store.refuse_after(n_writes);
        refused(try_open(&store, at(1)).map(|_| ()), "Store", "closed");
    }
    let check = |kind: ControlKind, key: &str, value: &str, text: &str| {
        let store = new_store();
        let record = ControlRecord {
            key: key.to_owned(),
            value: value.as_bytes().to_vec(),
        };
        store.put(TENANT, kind, &record).unwrap();
        refused(try_open(&store, at(1)).map(|_| ()), "Record", text);
    };
    check(ControlKind::Group, "a", "", "EOF");
    check(ControlKind::Group, "#numbers", "{}", "missing field `v`");
    check(ControlKind::Group, "a", r#"{"v":2}"#, "version 2 and not 1");
    check(
        ControlKind::EncryptionConfig,
        "Default",
        r#"{"v":0}"#,
        "version 0",
    );
    check(
        ControlKind::ResourcePolicy,
        "p",
        r#"{"v":1}"#,
        "missing field `document`",
    );
    check(
        ControlKind::Destination,
        "Default",
        r#"{"v":1,"destination":"s3"}"#,
        "s3",
    );
    let percentage = r#"{"v":1,"percentage":"x","modified_at":0}"#;
    check(
        ControlKind::IndexingRule,
        "Default",
        percentage,
        "no percentage",
    );
}

/// Records of the first form, as they must be understood for ever.
#[test]
fn stored_records_are_understood() {
    let store = new_store();
    for (kind, key, value) in [
        (ControlKind::Group, "#numbers", r#"{"v":1,"next_uid":9}"#),
        (
            ControlKind::Group,
            "a",
            r#"{"v":1,"uid":3,"unique_id":"ID","created_at":5,"versions":[{"since":5,"filter":"f"}],
                "insights_enabled":true,"notifications_enabled":false,"tags":{"k":"v"},"later":1}"#,
        ),
        (
            ControlKind::EncryptionConfig,
            "Default",
            r#"{"v":1,"key_arn":"arn:k"}"#,
        ),
        (
            ControlKind::ResourcePolicy,
            "p",
            r#"{"v":1,"document":"{}","revision":4,"updated_at":6}"#,
        ),
        (
            ControlKind::IndexingRule,
            "Default",
            r#"{"v":1,"percentage":"0.1","modified_at":7}"#,
        ),
        (
            ControlKind::Destination,
            "Default",
            r#"{"v":1,"destination":"cloud_watch_logs","log_group":{"kms_key_arn":null}}"#,
        ),
    ] {
        let record = ControlRecord {
            key: key.to_owned(),
            value: value.as_bytes().to_vec(),
        };
        store.put(TENANT, kind, &record).unwrap();
    }
    let settings = open(&store, at(1));
    let a = settings.groups.get(Selector::name("a")).unwrap();
    assert_eq!(a.arn, "arn:aws:xray:us-east-2:123456789012:group/a/ID");
    assert_eq!((a.uid, a.filter(), a.created_at.as_nanos()), (3, "f", 5));
    assert!(a.insights.enabled && !a.insights.notifications);
    assert_eq!(a.tags.iter().collect::<Vec<_>>(), [("k", "v")]);
    let key_arn = "arn:k".to_owned();
    assert_eq!(
        settings.encryption.get().encryption,
        Encryption::Kms { key_arn }
    );
    let policy = &settings.policies.list()[0];
    assert_eq!((policy.document.as_str(), policy.revision), ("{}", 4));
    assert_eq!(
        settings.indexing.list()[0].desired_percentage.to_string(),
        "0.1"
    );
    assert_eq!(
        settings.destination.get().destination,
        Destination::CloudWatchLogs
    );
    let next = NewGroup {
        name: "b".to_owned(),
        ..NewGroup::default()
    };
    assert_eq!(settings.groups.create(next, at(1)).unwrap().uid, 9);
}
