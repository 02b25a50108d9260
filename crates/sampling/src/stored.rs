//! How sampling's records are stored: a version byte, then JSON of flat structs that are made for it.
//!
//! Drawn in `migrations/README.md`. A member that is added needs a default for records without it.

use std::collections::BTreeMap;

use model::{Tags, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use storage::ControlRecord;

use crate::SamplingError;
use crate::boost::LastBoost;
use crate::rule::{RateBoost, Rule};
use crate::rules::Kept;
use crate::statistics::{Counts, DirtyWindow};

/// `SamplingRule`, under the rule's name.
#[derive(Serialize, Deserialize)]
struct StoredRule {
    resource_arn: String,
    priority: u32,
    #[serde(with = "exact")]
    fixed_rate: f64,
    reservoir_size: u32,
    service_name: String,
    service_type: String,
    host: String,
    http_method: String,
    url_path: String,
    attributes: BTreeMap<String, String>,
    boost: Option<StoredRateBoost>,
    created_at: Timestamp,
    modified_at: Timestamp,
    tags: Tags,
}

#[derive(Serialize, Deserialize)]
struct StoredRateBoost {
    #[serde(with = "exact")]
    max_rate: f64,
    cooldown_minutes: u32,
}

/// `SamplingStatistics`, under the window's place in the ring.
#[derive(Serialize, Deserialize)]
struct StoredWindow {
    number: u64,
    /// Requests, borrowed, sampled, by rule.
    of_rules: BTreeMap<String, (u64, u64, u64)>,
}

/// `SamplingState`, under `boost:` and the rule's name.
#[derive(Serialize, Deserialize)]
struct StoredBoost {
    #[serde(with = "exact")]
    rate: f64,
    began_at: Timestamp,
}

/// `SamplingState`, under `modified`: when a rule was deleted last.
#[derive(Serialize, Deserialize)]
struct StoredModified {
    at: Timestamp,
}

pub(crate) fn of_rule(kept: &Kept) -> ControlRecord {
    let rule = kept.rule.clone();
    let boost = rule.boost.map(|boost| StoredRateBoost {
        max_rate: boost.max_rate,
        cooldown_minutes: boost.cooldown_minutes,
    });
    let stored = StoredRule {
        resource_arn: rule.resource_arn,
        priority: rule.priority,
        fixed_rate: rule.fixed_rate,
        reservoir_size: rule.reservoir_size,
        service_name: rule.service_name,
        service_type: rule.service_type,
        host: rule.host,
        http_method: rule.http_method,
        url_path: rule.url_path,
        attributes: rule.attributes,
        boost,
        created_at: kept.created_at,
        modified_at: kept.modified_at,
        tags: kept.tags.clone(),
    };
    record(rule.name, &stored)
}

pub(crate) fn to_rule(record: &ControlRecord) -> Result<Kept, SamplingError> {
    let stored: StoredRule = read(record)?;
    let boost = stored.boost.map(|boost| RateBoost {
        max_rate: boost.max_rate,
        cooldown_minutes: boost.cooldown_minutes,
    });
    Ok(Kept {
        rule: Rule {
            name: record.key.clone(),
            resource_arn: stored.resource_arn,
            priority: stored.priority,
            fixed_rate: stored.fixed_rate,
            reservoir_size: stored.reservoir_size,
            service_name: stored.service_name,
            service_type: stored.service_type,
            host: stored.host,
            http_method: stored.http_method,
            url_path: stored.url_path,
            attributes: stored.attributes,
            boost,
        },
        created_at: stored.created_at,
        modified_at: stored.modified_at,
        tags: stored.tags,
    })
}

pub(crate) fn of_window(window: &DirtyWindow) -> ControlRecord {
    let counts = |sums: &Counts| (sums.requests, sums.borrowed, sums.sampled);
    let of_rules = window.of_rules.iter();
    let stored = StoredWindow {
        number: window.number,
        of_rules: of_rules
            .map(|(name, sums)| (name.clone(), counts(sums)))
            .collect(),
    };
    record(window.key(), &stored)
}

pub(crate) fn to_window(
    record: &ControlRecord,
) -> Result<(u64, BTreeMap<String, Counts>), SamplingError> {
    let stored: StoredWindow = read(record)?;
    let counts = |(requests, borrowed, sampled)| Counts {
        requests,
        borrowed,
        sampled,
    };
    let of_rules = stored.of_rules.into_iter();
    let of_rules = of_rules.map(|(name, sums)| (name, counts(sums))).collect();
    Ok((stored.number, of_rules))
}

/// What a record of the kind `SamplingState` says.
pub(crate) enum State {
    /// The last boost of a rule.
    Boost(String, LastBoost),
    /// When a rule was deleted last.
    Modified(Timestamp),
}

pub(crate) fn of_boost(rule_name: &str, boost: &LastBoost) -> ControlRecord {
    let stored = StoredBoost {
        rate: boost.rate,
        began_at: boost.began_at,
    };
    record(boost_key(rule_name), &stored)
}

pub(crate) fn boost_key(rule_name: &str) -> String {
    format!("{BOOST}{rule_name}")
}

pub(crate) fn of_modified(at: Timestamp) -> ControlRecord {
    record(MODIFIED.to_owned(), &StoredModified { at })
}

pub(crate) fn to_state(record: &ControlRecord) -> Result<State, SamplingError> {
    if let Some(rule_name) = record.key.strip_prefix(BOOST) {
        let stored: StoredBoost = read(record)?;
        let boost = LastBoost {
            rate: stored.rate,
            began_at: stored.began_at,
        };
        return Ok(State::Boost(rule_name.to_owned(), boost));
    }
    if record.key == MODIFIED {
        let stored: StoredModified = read(record)?;
        return Ok(State::Modified(stored.at));
    }
    Err(unreadable(record, "its key is not known".to_owned()))
}

fn record<T: Serialize>(key: String, stored: &T) -> ControlRecord {
    #[expect(
        clippy::expect_used,
        reason = "flat structs with text as keys have a JSON form"
    )]
    let json = serde_json::to_vec(stored).expect("a stored struct is serialised");
    let value = [&[VERSION], json.as_slice()].concat();
    ControlRecord { key, value }
}

fn read<T: DeserializeOwned>(record: &ControlRecord) -> Result<T, SamplingError> {
    match record.value.split_first() {
        Some((&VERSION, json)) => {
            serde_json::from_slice(json).map_err(|error| unreadable(record, error.to_string()))
        }
        Some((version, _)) => Err(unreadable(
            record,
            format!("version {version} is not known"),
        )),
        None => Err(unreadable(record, "it is empty".to_owned())),
    }
}

fn unreadable(record: &ControlRecord, detail: String) -> SamplingError {
    SamplingError::Unreadable {
        key: record.key.clone(),
        detail,
    }
}

const VERSION: u8 = 1;
const BOOST: &str = "boost:";
const MODIFIED: &str = "modified";

/// A double as text: reading JSON numbers may round the last digit.
mod exact {
    use serde::{Deserialize, Deserializer, Serializer, de};

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands over a reference"
    )]
    pub(super) fn serialize<S: Serializer>(rate: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(rate)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(name: &str, fixed_rate: f64) -> Kept {
        let mut tags = Tags::default();
        tags.set([("k".to_owned(), "v".to_owned())]).unwrap();
        let rule = Rule {
            name: name.to_owned(),
            fixed_rate,
            attributes: [("a".to_owned(), "b".to_owned())].into(),
            boost: Some(RateBoost {
                max_rate: 0.5,
                cooldown_minutes: 10,
            }),
            ..Rule::default_rule()
        };
        Kept {
            rule,
            created_at: Timestamp::from_nanos(1),
            modified_at: Timestamp::from_nanos(u64::MAX),
            tags,
        }
    }

    fn check(record: &ControlRecord, key: &str, json: &str) {
        assert_eq!(record.key, key);
        let (version, found) = record.value.split_first().unwrap();
        assert_eq!((*version, std::str::from_utf8(found).unwrap()), (1, json));
    }

    /// A change of these is a change of format: it comes with a migration.
    #[test]
    fn records_are_written_as_ever() {
        check(
            &of_rule(&kept("r", 0.1)),
            "r",
            r#"{"resource_arn":"*","priority":10000,"fixed_rate":"0.1","reservoir_size":1,"service_name":"*","service_type":"*","host":"*","http_method":"*","url_path":"*","attributes":{"a":"b"},"boost":{"max_rate":"0.5","cooldown_minutes":10},"created_at":1,"modified_at":18446744073709551615,"tags":{"k":"v"}}"#,
        );
        let counts = Counts {
            requests: 3,
            borrowed: 1,
            sampled: 2,
        };
        let window = DirtyWindow {
            number: 179_500_007,
            of_rules: [("r".to_owned(), counts)].into(),
        };
        check(
            &of_window(&window),
            "107",
            r#"{"number":179500007,"of_rules":{"r":[3,1,2]}}"#,
        );
        let boost = LastBoost {
            rate: 0.25,
            began_at: Timestamp::from_nanos(7),
        };
        check(
            &of_boost("r", &boost),
            "boost:r",
            r#"{"rate":"0.25","began_at":7}"#,
        );
        check(
            &of_modified(Timestamp::from_nanos(7)),
            "modified",
            r#"{"at":7}"#,
        );
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        let check = |key: &str, value: &[u8], expected: &str| {
            let record = ControlRecord {
                key: key.to_owned(),
                value: value.to_vec(),
            };
            let text = to_state(&record).err().unwrap().to_string();
            assert!(text.contains(expected), "{text}");
        };
        check("modified", b"", "it is empty");
        check("modified", b"\x02{}", "version 2 is not known");
        check("modified", b"\x01{}", "missing field");
        check(
            "boost:r",
            b"\x01{\"rate\":\"x\",\"began_at\":1}",
            "invalid float",
        );
        check("other", b"\x01{}", "its key is not known");
    }

    proptest! {
        #[test]
        fn rules_read_back(name in ".{1,32}", fixed_rate in 0.0..=1.0_f64) {
            let kept = kept(&name, fixed_rate);
            prop_assert_eq!(to_rule(&of_rule(&kept)).unwrap(), kept);
        }
    }
}
