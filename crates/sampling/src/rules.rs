//! The rules of a tenant: `Default`, which is always there, and those somebody made.

use std::collections::BTreeMap;
use std::ops::Bound;

use model::{Account, Tags, Timestamp};

use crate::rule::{RequestFacts, Rule, RuleRecord, RuleSelector};
use crate::{DEFAULT_RULE, SamplingError};

/// A set of rules as it is at one moment.
#[derive(Clone, Debug)]
pub struct Rules {
    default: Kept,
    custom: BTreeMap<String, Kept>,
}

/// One page of rules.
#[derive(Clone, Debug, PartialEq)]
pub struct RulePage {
    /// The rules, `Default` first, then by name.
    pub records: Vec<RuleRecord>,
    /// The last of them, if there are more.
    pub next: Option<String>,
}

/// A rule and what is kept with it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) rule: Rule,
    pub(crate) created_at: Timestamp,
    pub(crate) modified_at: Timestamp,
    pub(crate) tags: Tags,
}

impl Rules {
    /// Returns the rules of a tenant that never made or changed one.
    pub(crate) fn initial() -> Self {
        Self {
            default: Kept {
                rule: Rule::default_rule(),
                created_at: Timestamp::ZERO,
                modified_at: Timestamp::ZERO,
                tags: Tags::default(),
            },
            custom: BTreeMap::new(),
        }
    }

    /// Returns the rule a request falls under: of those that match, the one with the lowest priority
    /// number, and of equals the first by name. `Default` is for what no other rule matches.
    pub fn matching(&self, facts: &RequestFacts<'_>) -> &Rule {
        let rules = self.custom.values().map(|kept| &kept.rule);
        let matching = rules.filter(|rule| rule.matches(facts));
        // Equals are in the order of their names, and the first of them is taken.
        let first = matching.min_by_key(|rule| rule.priority);
        first.unwrap_or(&self.default.rule)
    }

    /// Returns every rule in the order in which they are tried.
    pub fn in_order(&self) -> Vec<&Rule> {
        let mut rules: Vec<&Rule> = self.custom.values().map(|kept| &kept.rule).collect();
        // A stable sort keeps equals in the order of their names.
        rules.sort_by_key(|rule| rule.priority);
        rules.push(&self.default.rule);
        rules
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Kept> {
        if name == DEFAULT_RULE {
            return Some(&self.default);
        }
        self.custom.get(name)
    }

    /// Sets a rule in the place of the one of its name.
    pub(crate) fn set(&mut self, kept: Kept) {
        if kept.rule.name == DEFAULT_RULE {
            self.default = kept;
        } else {
            self.custom.insert(kept.rule.name.clone(), kept);
        }
    }

    /// Takes a rule away; `Default` stays.
    pub(crate) fn remove(&mut self, name: &str) {
        self.custom.remove(name);
    }

    /// Returns how many rules there are beside `Default`.
    pub(crate) fn n_custom(&self) -> usize {
        self.custom.len()
    }

    /// Returns when a rule that is there changed last; 1970 if none ever did.
    pub(crate) fn modified_at(&self) -> Timestamp {
        let custom = self.custom.values().map(|kept| kept.modified_at);
        custom.fold(self.default.modified_at, Timestamp::max)
    }

    /// Returns up to `n_max` rules after the one of a name, which need not be there any more.
    pub(crate) fn page(&self, account: &Account, after: Option<&str>, n_max: usize) -> RulePage {
        let is_begin = after.is_none();
        let from = match after {
            None | Some(DEFAULT_RULE) => Bound::Unbounded,
            Some(name) => Bound::Excluded(name),
        };
        let first = is_begin.then_some(&self.default);
        let rest = self.custom.range::<str, _>((from, Bound::Unbounded));
        let mut all = first.into_iter().chain(rest.map(|(_, kept)| kept));
        let records: Vec<RuleRecord> = all
            .by_ref()
            .take(n_max.max(1))
            .map(|kept| kept.record(account))
            .collect();
        let last = records.last().map(|record| record.rule.name.clone());
        let next = last.filter(|_| all.next().is_some());
        RulePage { records, next }
    }

    /// Returns the rule somebody names.
    pub(crate) fn select(
        &self,
        account: &Account,
        selector: &RuleSelector,
    ) -> Result<&Kept, SamplingError> {
        let name = selector.resolve(account)?;
        self.get(&name)
            .ok_or_else(|| SamplingError::Invalid(format!("there is no sampling rule {name:?}")))
    }

    /// Returns the rule of an ARN.
    pub(crate) fn of_arn(&self, account: &Account, arn: &str) -> Result<&Kept, SamplingError> {
        let kept = name_of(account, arn).and_then(|name| self.get(name));
        kept.ok_or_else(|| SamplingError::NotFound {
            arn: arn.to_owned(),
        })
    }
}

impl Kept {
    pub(crate) fn record(&self, account: &Account) -> RuleRecord {
        RuleRecord {
            rule: self.rule.clone(),
            arn: arn_of(account, &self.rule.name),
            created_at: self.created_at,
            modified_at: self.modified_at,
        }
    }
}

impl RuleSelector {
    /// Returns the name it names, whether or not there is such a rule.
    pub(crate) fn resolve(&self, account: &Account) -> Result<String, SamplingError> {
        match (&self.name, &self.arn) {
            (Some(name), None) => Ok(name.clone()),
            (None, Some(arn)) => match name_of(account, arn) {
                Some(name) => Ok(name.to_owned()),
                None => Err(SamplingError::Invalid(format!(
                    "RuleARN {arn:?} is not one of a sampling rule here; they begin with {}",
                    arn_of(account, "")
                ))),
            },
            (None, None) => Err(SamplingError::Invalid(
                "RuleName or RuleARN must be given".to_owned(),
            )),
            (Some(_), Some(_)) => Err(SamplingError::Invalid(
                "RuleName and RuleARN must not be given both".to_owned(),
            )),
        }
    }
}

pub(crate) fn arn_of(account: &Account, name: &str) -> String {
    account.arn(&format!("sampling-rule/{name}"))
}

fn name_of<'a>(account: &Account, arn: &'a str) -> Option<&'a str> {
    arn.strip_prefix(&arn_of(account, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::NewRule;

    fn account() -> Account {
        Account {
            id: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
        }
    }

    /// Returns rules of these names, priorities and paths.
    fn rules(custom: &[(&str, i64, &str)]) -> Rules {
        let mut rules = Rules::initial();
        for (name, priority, url_path) in custom {
            let new = NewRule {
                priority: *priority,
                url_path: (*url_path).to_owned(),
                ..NewRule::matching_all(RuleSelector::by_name(name))
            };
            rules.set(Kept {
                rule: Rule::new((*name).to_owned(), new).unwrap(),
                ..Rules::initial().default
            });
        }
        rules
    }

    #[test]
    fn the_lowest_priority_number_wins_and_names_break_ties() {
        let rules = rules(&[
            ("d", 5, "/a/*"),
            ("c", 5, "/a/*"),
            ("b", 9, "*"),
            ("a", 4, "/z"),
        ]);
        let check = |url_path, expected| {
            let facts = RequestFacts {
                url_path,
                ..RequestFacts::default()
            };
            assert_eq!(rules.matching(&facts).name, expected, "{url_path}");
        };
        check("/a/1", "c");
        check("/b", "b");
        check("/z", "a");
        assert_eq!(
            Rules::initial().matching(&RequestFacts::default()).name,
            "Default"
        );
        let in_order: Vec<&str> = rules
            .in_order()
            .iter()
            .map(|rule| rule.name.as_str())
            .collect();
        assert_eq!(in_order, ["a", "c", "d", "b", "Default"]);
    }

    #[test]
    fn pages_begin_with_default_and_go_by_name() {
        let rules = rules(&[("b", 1, "*"), ("A", 2, "*"), ("z", 3, "*")]);
        let check = |after, n_max, expected: &[&str], next: Option<&str>| {
            let page = rules.page(&account(), after, n_max);
            let names: Vec<&str> = page
                .records
                .iter()
                .map(|record| record.rule.name.as_str())
                .collect();
            assert_eq!(names, expected, "{after:?} {n_max}");
            assert_eq!(page.next.as_deref(), next, "{after:?} {n_max}");
        };
        check(None, 9, &["Default", "A", "b", "z"], None);
        check(None, 4, &["Default", "A", "b", "z"], None);
        check(None, 1, &["Default"], Some("Default"));
        check(None, 0, &["Default"], Some("Default"));
        check(Some("Default"), 2, &["A", "b"], Some("b"));
        check(Some("b"), 2, &["z"], None);
        check(Some("gone"), 2, &["z"], None);
        check(Some("z"), 2, &[], None);
    }

    #[test]
    fn rules_are_named_by_name_or_arn() {
        let check = |name: Option<&str>, arn: Option<&str>, expected: Result<&str, &str>| {
            let selector = RuleSelector {
                name: name.map(str::to_owned),
                arn: arn.map(str::to_owned),
            };
            let resolved = selector.resolve(&account());
            match expected {
                Ok(expected) => assert_eq!(resolved.unwrap(), expected),
                Err(part) => {
                    let text = resolved.unwrap_err().to_string();
                    assert!(text.contains(part), "{text}");
                }
            }
        };
        let arn = "arn:aws:xray:us-east-1:000000000000:sampling-rule/a";
        check(Some("a"), None, Ok("a"));
        check(None, Some(arn), Ok("a"));
        check(None, None, Err("must be given"));
        check(Some("a"), Some(arn), Err("must not be given both"));
        let elsewhere = "arn:aws:xray:us-west-2:000000000000:sampling-rule/a";
        check(None, Some(elsewhere), Err("is not one of a sampling rule"));
        let group = "arn:aws:xray:us-east-1:000000000000:group/a";
        check(None, Some(group), Err("is not one of a sampling rule"));
    }
}
