//! Settings that are opened again and again answer as those that stay open.

use proptest::prelude::*;

use super::*;
use crate::{
    Destination, EncryptionType, GroupChange, InsightsChange, LogsConfiguration, NewGroup,
    NewPolicy, Selector,
};

/// One call, or a moment at which settings are opened again.
#[derive(Clone, Debug)]
enum Step {
    Reopen,
    Create(u8, Option<u8>, InsightsChange, u8),
    Update(u8, bool, Option<u8>, InsightsChange),
    Delete(u8, bool),
    Tag(u8, u8),
    Untag(u8, u8),
    List(Option<u8>, usize),
    Changed(u32, u64, u64),
    Encrypt(EncryptionType, Option<u8>),
    PutPolicy(u8, u8, Option<u8>, bool),
    DeletePolicy(u8, Option<u8>),
    Index(f64),
    Send(Option<Destination>, Option<bool>),
}

const NAMES: [&str; 5] = ["a", "b", "A", "Default", "not allowed"];
const FILTERS: [&str; 4] = ["", "ok", "fault = true", "bad!"];
const KEYS: [&str; 3] = [
    "alias/x",
    "arn:aws:kms:us-east-2:123456789012:key/a-b-c-d-e",
    "?",
];
const DOCUMENTS: [&str; 3] = [
    r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}"#,
    r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}"#,
    "{}",
];

fn of(texts: &[&str], n: u8) -> String {
    texts[usize::from(n) % texts.len()].to_owned()
}

fn flags() -> impl Strategy<Value = InsightsChange> {
    any::<(Option<bool>, Option<bool>)>().prop_map(|(enabled, notifications)| InsightsChange {
        enabled,
        notifications,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let n = 0..5_u8;
    let maybe = || proptest::option::of(0..5_u8);
    let to = prop_oneof![
        Just(None),
        Just(Some(Destination::XRay)),
        Just(Some(Destination::CloudWatchLogs)),
    ];
    let kind = prop_oneof![Just(EncryptionType::None), Just(EncryptionType::Kms)];
    prop_oneof![
        3 => Just(Step::Reopen),
        3 => (n.clone(), maybe(), flags(), n.clone()).prop_map(|(a, b, c, d)| Step::Create(a, b, c, d)),
        3 => (n.clone(), any::<bool>(), maybe(), flags())
            .prop_map(|(a, b, c, d)| Step::Update(a, b, c, d)),
        1 => (n.clone(), any::<bool>()).prop_map(|(a, b)| Step::Delete(a, b)),
        1 => (n.clone(), n.clone()).prop_map(|(a, b)| Step::Tag(a, b)),
        1 => (n.clone(), n.clone()).prop_map(|(a, b)| Step::Untag(a, b)),
        1 => (maybe(), 0..4_usize).prop_map(|(a, b)| Step::List(a, b)),
        1 => (0..4_u32, 0..60_u64, 0..60_u64).prop_map(|(a, b, c)| Step::Changed(a, b, c)),
        1 => (kind, maybe()).prop_map(|(a, b)| Step::Encrypt(a, b)),
        2 => (n.clone(), n.clone(), maybe(), any::<bool>())
            .prop_map(|(a, b, c, d)| Step::PutPolicy(a, b, c, d)),
        1 => (n, maybe()).prop_map(|(a, b)| Step::DeletePolicy(a, b)),
        1 => (-1.0..101.0_f64).prop_map(Step::Index),
        1 => (to, any::<Option<bool>>()).prop_map(|(a, b)| Step::Send(a, b)),
    ]
}

/// Takes a step and returns the answer, and everything the settings then tell.
fn take(settings: &Settings, step: &Step, now: Timestamp) -> String {
    let groups = &settings.groups;
    let arn = |n: u8| {
        let snapshot = groups.snapshot();
        let group = snapshot.by_name(&of(&NAMES, n));
        group.map_or("arn:none".to_owned(), |group| group.arn.clone())
    };
    let answer = match step.clone() {
        Step::Reopen => String::new(),
        Step::Create(name, filter, insights, n_tags) => {
            let tags = (0..n_tags).map(|n| (n.to_string(), "v".to_owned()));
            let new = NewGroup {
                name: of(&NAMES, name),
                filter: filter.map(|filter| of(&FILTERS, filter)),
                insights,
                tags: tags.collect(),
            };
            format!("{:?}", groups.create(new, now))
        }
        Step::Update(name, by_arn, filter, insights) => {
            let filter = filter.map(|filter| of(&FILTERS, filter));
            let change = GroupChange { filter, insights };
            let (name, arn) = (of(&NAMES, name), arn(name));
            let by = if by_arn {
                Selector::arn(&arn)
            } else {
                Selector::name(&name)
            };
            format!("{:?}", groups.update(by, change, now))
        }
        Step::Delete(name, by_arn) => {
            let (name, arn) = (of(&NAMES, name), arn(name));
            let by = if by_arn {
                Selector::arn(&arn)
            } else {
                Selector::name(&name)
            };
            format!("{:?}", groups.delete(by))
        }
        Step::Tag(name, key) => {
            let tags = vec![(key.to_string(), "new".to_owned())];
            format!("{:?}", groups.tag(&arn(name), tags))
        }
        Step::Untag(name, key) => {
            format!("{:?}", groups.untag(&arn(name), &[key.to_string()]))
        }
        Step::List(after, n_max) => {
            let after = after.map(|after| of(&NAMES, after));
            format!("{:?}", groups.list(after.as_deref(), n_max))
        }
        Step::Changed(uid, from, to) => {
            let changed = groups.snapshot().changed_within(uid, at(from), at(to));
            format!("{changed}")
        }
        Step::Encrypt(..)
        | Step::PutPolicy(..)
        | Step::DeletePolicy(..)
        | Step::Index(_)
        | Step::Send(..) => take_other(settings, step, now),
    };
    let told = format!(
        "{answer} {:?} {:?} {:?} {:?} {:?}",
        groups.snapshot(),
        settings.encryption.get(),
        settings.policies.list(),
        settings.indexing.list(),
        settings.destination.get(),
    );
    without_unique_ids(told, settings)
}

/// Takes a step that is not about groups and returns the answer.
fn take_other(settings: &Settings, step: &Step, now: Timestamp) -> String {
    match step.clone() {
        Step::Encrypt(kind, key) => {
            let key = key.map(|key| of(&KEYS, key));
            format!("{:?}", settings.encryption.put(kind, key.as_deref()))
        }
        Step::PutPolicy(name, document, revision, bypass_lockout) => {
            let new = NewPolicy {
                name: of(&NAMES, name),
                document: of(&DOCUMENTS, document),
                revision: revision.map(|revision| revision.to_string()),
                bypass_lockout,
            };
            format!("{:?}", settings.policies.put(new, now))
        }
        Step::DeletePolicy(name, revision) => {
            let revision = revision.map(|revision| revision.to_string());
            let outcome = settings
                .policies
                .delete(&of(&NAMES, name), revision.as_deref());
            format!("{outcome:?}")
        }
        Step::Index(percentage) => {
            format!("{:?}", settings.indexing.update("Default", percentage, now))
        }
        Step::Send(to, with_key) => {
            let logs = with_key.map(|with_key| LogsConfiguration {
                spans_log_group_kms_key_id: with_key.then_some(KEYS[1]),
            });
            format!("{:?}", settings.destination.update(to, logs))
        }
        other => panic!("{other:?} is about groups"),
    }
}

/// Puts names in the place of what is random in ARNs.
fn without_unique_ids(mut told: String, settings: &Settings) -> String {
    for group in settings.groups.snapshot().iter() {
        told = told.replace(&group.arn, &format!("arn of {}", group.name));
    }
    told
}

proptest! {
    #[test]
    fn opening_again_changes_no_answer(steps in proptest::collection::vec(step(), 1..60)) {
        let (kept_store, reopened_store) = (new_store(), new_store());
        let kept = open(&kept_store, at(1));
        let mut reopened = open(&reopened_store, at(1));
        for (now, step) in (10..).zip(&steps) {
            if matches!(step, Step::Reopen) {
                let arns = |settings: &Settings| -> Vec<String> {
                    let groups = settings.groups.snapshot();
                    groups.iter().map(|group| group.arn.clone()).collect()
                };
                let before = arns(&reopened);
                reopened = open(&reopened_store, at(now));
                prop_assert_eq!(arns(&reopened), before);
            }
            let expected = take(&kept, step, at(now));
            prop_assert_eq!(take(&reopened, step, at(now)), expected);
        }
    }
}
