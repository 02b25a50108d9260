//! One group and the history of its filter (spec: X-Ray API, `Group`; developer guide, "Configuring
//! groups": a change of a filter does not reclassify traces that are there).

use std::time::Duration;

use model::{Tags, Timestamp};
use serde::{Deserialize, Serialize};

use crate::AccountError;

/// A group: a named filter, and since when it has been this filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its number, never given to another group of the account; 0 is `Default`.
    pub uid: u32,
    /// Its name.
    pub name: String,
    /// Its ARN, which ends in an id of its own: a group made again under the same name has another.
    pub arn: String,
    /// When it was made; the first instant for `Default`.
    pub created_at: Timestamp,
    /// Its filters, ascending by time and never empty; the last one is in force. Filters that were
    /// replaced more than 31 days before a change, and all but the last 100, are forgotten.
    pub versions: Vec<Version>,
    /// Whether it is watched.
    pub insights: Insights,
    /// Its tags.
    pub tags: Tags,
}

/// A filter of a group and since when it was in force, until the next one was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The first instant it was in force: it decides over traces that first arrived then or later.
    pub since: Timestamp,
    /// The filter expression; empty if there is none, and every trace is in the group.
    pub filter: String,
}

/// Whether a group is watched for insights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Insights {
    /// Whether insights are made.
    pub enabled: bool,
    /// Whether someone is told of them; never without insights.
    pub notifications: bool,
}

/// What of [`Insights`] to change; nothing leaves it as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InsightsChange {
    /// Whether insights are made.
    pub enabled: Option<bool>,
    /// Whether someone is told of them.
    pub notifications: Option<bool>,
}

impl Group {
    /// Returns the filter in force; empty if the group has none.
    pub fn filter(&self) -> &str {
        self.versions
            .last()
            .map_or("", |version| version.filter.as_str())
    }

    /// Returns the filter that decides over a trace that first arrived at `instant`; nothing if no
    /// filter was in force then that is still known, so that the trace is not in the group.
    pub fn filter_at(&self, instant: Timestamp) -> Option<&str> {
        let n_before = self
            .versions
            .partition_point(|version| version.since <= instant);
        let in_force = self.versions.get(n_before.checked_sub(1)?)?;
        Some(&in_force.filter)
    }

    /// Tells whether the filter was changed in `[from, to)`. Making the group is no change.
    pub fn changed_within(&self, from: Timestamp, to: Timestamp) -> bool {
        let changes = self
            .versions
            .iter()
            .filter(|version| version.since > self.created_at);
        let mut times = changes.map(|version| version.since);
        times.any(|since| from <= since && since < to)
    }

    /// Puts a filter in force from now on, strictly after the one before. Changes nothing if it is
    /// the one in force.
    pub(super) fn set_filter(&mut self, filter: String, now: Timestamp) {
        if filter == self.filter() {
            return;
        }
        let newest = self.versions.last().map_or(Timestamp::ZERO, |v| v.since);
        let after_newest = Timestamp::from_nanos(newest.as_nanos().saturating_add(1));
        self.versions.push(Version {
            since: now.max(after_newest),
            filter,
        });
        let kept_from = now.before(KEPT);
        let n_ended = self
            .versions
            .iter()
            .skip(1)
            .take_while(|next| next.since < kept_from)
            .count();
        let n_too_many = self.versions.len().saturating_sub(VERSIONS_MAX);
        self.versions.drain(..n_ended.max(n_too_many));
    }
}

impl Insights {
    /// Returns these with a change. Who is no longer watched is no longer notified either, unless the
    /// change asks for it.
    ///
    /// # Errors
    /// Refuses notifications without insights.
    pub(super) fn changed(self, change: InsightsChange) -> Result<Self, AccountError> {
        let enabled = change.enabled.unwrap_or(self.enabled);
        let notifications = change
            .notifications
            .unwrap_or(self.notifications && enabled);
        if notifications && !enabled {
            let text = "NotificationsEnabled can only be true if InsightsEnabled is true";
            return Err(AccountError::InvalidRequest(text.to_owned()));
        }
        Ok(Self {
            enabled,
            notifications,
        })
    }
}

/// Traces are kept for 30 days; a day more leaves room for those whose window began before.
const KEPT: Duration = Duration::from_hours(31 * 24);
const VERSIONS_MAX: usize = 100;
