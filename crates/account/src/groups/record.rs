//! What the store keeps of groups: a record of each under its name, and one of the numbers given.

use model::{Account, Tags, Timestamp};
use serde::{Deserialize, Serialize};
use storage::{ControlKind, ControlRecord};

use super::group::{Group, Insights, Version};
use super::unique_id;
use crate::AccountError;
use crate::home::{self, Home};

/// Which numbers were given to groups, those deleted since among them.
#[derive(Serialize, Deserialize)]
pub(super) struct Numbers {
    pub(super) next_uid: u32,
}

/// A group as it is stored, under its name.
#[derive(Serialize, Deserialize)]
struct GroupRecord {
    uid: u32,
    /// The end of its ARN; the rest follows from account and name.
    unique_id: String,
    created_at: Timestamp,
    versions: Vec<VersionRecord>,
    insights_enabled: bool,
    notifications_enabled: bool,
    tags: Tags,
}

#[derive(Serialize, Deserialize)]
struct VersionRecord {
    since: Timestamp,
    filter: String,
}

/// Stores a group under its name.
pub(super) fn write(home: &Home, group: &Group) -> Result<(), AccountError> {
    let versions = group.versions.iter().map(|version| VersionRecord {
        since: version.since,
        filter: version.filter.clone(),
    });
    let record = GroupRecord {
        uid: group.uid,
        unique_id: unique_id::of_arn(&group.arn).to_owned(),
        created_at: group.created_at,
        versions: versions.collect(),
        insights_enabled: group.insights.enabled,
        notifications_enabled: group.insights.notifications,
        tags: group.tags.clone(),
    };
    home.put(ControlKind::Group, &group.name, &record)
}

/// Returns the group a record is of.
pub(super) fn read(account: &Account, record: &ControlRecord) -> Result<Group, AccountError> {
    let name = record.key.clone();
    let record: GroupRecord = home::decode(record)?;
    let versions = record.versions.into_iter().map(|version| Version {
        since: version.since,
        filter: version.filter,
    });
    Ok(Group {
        uid: record.uid,
        arn: account.arn(&unique_id::resource_with(&name, &record.unique_id)),
        name,
        created_at: record.created_at,
        versions: versions.collect(),
        insights: Insights {
            enabled: record.insights_enabled,
            notifications: record.notifications_enabled,
        },
        tags: record.tags,
    })
}

/// The key of [`Numbers`] among the groups; no group can have this name.
pub(super) const NUMBERS: &str = "#numbers";
