//! How many of the spans in `CloudWatch` Logs are indexed (spec: X-Ray API, `GetIndexingRules`,
//! `UpdateIndexingRule`).
//!
//! The rule is kept and answered, and no trace is left out by it: everything that arrives is indexed. The
//! percentage applied is told to be the one desired, so that clients that wait for it come to an end.

use model::Timestamp;
use serde::{Deserialize, Serialize};
use storage::ControlKind;

use crate::AccountError;
use crate::home::{Current, Home};

/// The indexing rules of an account: one, named `Default`.
pub struct IndexingRules {
    home: Home,
    rule: Current<IndexingRule>,
}

/// A rule that takes a share of all traces.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexingRule {
    /// Its name.
    pub name: String,
    /// The share asked for, 0 to 100.
    pub desired_percentage: f64,
    /// The share applied; always the one asked for.
    pub actual_percentage: f64,
    /// When it was changed last; when the account was first opened if never.
    pub modified_at: Timestamp,
}

impl IndexingRules {
    pub(crate) fn open(home: Home, now: Timestamp) -> Result<Self, AccountError> {
        let record: Option<Record> = home.load_only(ControlKind::IndexingRule)?;
        let rule = if let Some(record) = record {
            let percentage = record.percentage.parse();
            let percentage = percentage.map_err(|_| AccountError::Record {
                key: RULE.to_owned(),
                reason: format!("{:?} is no percentage", record.percentage),
            })?;
            rule(percentage, record.modified_at)
        } else {
            let rule = rule(PERCENTAGE, now);
            home.put_only(ControlKind::IndexingRule, &Record::of(&rule))?;
            rule
        };
        Ok(Self {
            home,
            rule: Current::new(rule),
        })
    }

    /// Returns every rule.
    pub fn list(&self) -> Vec<IndexingRule> {
        vec![IndexingRule::clone(&self.rule.read())]
    }

    /// Changes a rule and returns it as it is then. It is on disk once this returns.
    ///
    /// # Errors
    /// [`AccountError::NotFound`] for any name but `Default`; refuses what is no percentage.
    pub fn update(
        &self,
        name: &str,
        desired_percentage: f64,
        now: Timestamp,
    ) -> Result<IndexingRule, AccountError> {
        if name != RULE {
            return Err(AccountError::NotFound {
                resource: name.to_owned(),
            });
        }
        if !(0.0..=100.0).contains(&desired_percentage) {
            let text = "DesiredSamplingPercentage is a number from 0 to 100".to_owned();
            return Err(AccountError::InvalidRequest(text));
        }
        self.rule.change(|_| {
            let rule = rule(desired_percentage.abs(), now);
            self.home
                .put_only(ControlKind::IndexingRule, &Record::of(&rule))?;
            Ok((rule.clone(), rule))
        })
    }
}

/// The rule as it is stored.
#[derive(Serialize, Deserialize)]
struct Record {
    /// In decimal digits, which give back the very number.
    percentage: String,
    modified_at: Timestamp,
}

impl Record {
    fn of(rule: &IndexingRule) -> Self {
        Self {
            percentage: rule.desired_percentage.to_string(),
            modified_at: rule.modified_at,
        }
    }
}

fn rule(percentage: f64, modified_at: Timestamp) -> IndexingRule {
    IndexingRule {
        name: RULE.to_owned(),
        desired_percentage: percentage,
        actual_percentage: percentage,
        modified_at,
    }
}

const RULE: &str = "Default";
/// What share the service indexes without charge.
const PERCENTAGE: f64 = 1.0;
