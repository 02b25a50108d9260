//! The groups as they were at one moment, and how requests and filters name them.

use std::sync::Arc;

use model::Timestamp;

use super::group::Group;
use crate::AccountError;

/// The groups as they were at one moment, ascending by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupsSnapshot(Vec<Arc<Group>>);

/// Which group is meant: the one with this name, with this whole ARN, or with both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selector<'r> {
    /// Its name, upper and lower case told apart.
    pub name: Option<&'r str>,
    /// Its ARN.
    pub arn: Option<&'r str>,
}

/// Some groups in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupsPage {
    /// The groups.
    pub groups: Vec<Arc<Group>>,
    /// The name to go on after; nothing if these were the last.
    pub next: Option<String>,
}

impl GroupsSnapshot {
    /// Returns a view of these groups, whose names are distinct.
    pub fn new(mut groups: Vec<Group>) -> Self {
        groups.sort_by(|one, other| one.name.cmp(&other.name));
        Self(groups.into_iter().map(Arc::new).collect())
    }

    /// Returns the groups, ascending by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Group>> + '_ {
        self.0.iter()
    }

    /// Returns the group with this name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Group>> {
        let idx = self.position(name).ok()?;
        self.0.get(idx)
    }

    /// Returns the group with exactly this ARN.
    pub fn by_arn(&self, arn: &str) -> Option<&Arc<Group>> {
        self.iter().find(|group| group.arn == arn)
    }

    /// Returns the group with this number.
    pub fn by_uid(&self, uid: u32) -> Option<&Arc<Group>> {
        self.iter().find(|group| group.uid == uid)
    }

    /// Tells whether the filter of the group with this number was changed in `[from, to)`.
    pub fn changed_within(&self, uid: u32, from: Timestamp, to: Timestamp) -> bool {
        self.by_uid(uid)
            .is_some_and(|group| group.changed_within(from, to))
    }

    /// Returns the group a request means.
    ///
    /// # Errors
    /// Refuses a selector that names none, an unknown one, or two.
    pub fn select(&self, selector: Selector<'_>) -> Result<&Arc<Group>, AccountError> {
        let invalid = |text: String| Err(AccountError::InvalidRequest(text));
        match selector {
            Selector {
                name: None,
                arn: None,
            } => invalid("GroupName or GroupARN is required".to_owned()),
            Selector {
                name: Some(name),
                arn: None,
            } => match self.by_name(name) {
                Some(group) => Ok(group),
                None => invalid(format!("invalid GroupName: no group is named {name:?}")),
            },
            Selector {
                name,
                arn: Some(arn),
            } => match self.by_arn(arn) {
                Some(group) if name.is_none_or(|name| name == group.name) => Ok(group),
                Some(_) => invalid("GroupName and GroupARN are not of the same group".to_owned()),
                None => invalid(format!("invalid GroupARN: no group has the ARN {arn:?}")),
            },
        }
    }

    pub(super) fn tagged(&self, arn: &str) -> Result<&Arc<Group>, AccountError> {
        self.by_arn(arn).ok_or_else(|| AccountError::NotFound {
            resource: arn.to_owned(),
        })
    }

    pub(super) fn page(&self, after: Option<&str>, n_max: usize) -> GroupsPage {
        let rest = self
            .iter()
            .filter(|group| after.is_none_or(|after| group.name.as_str() > after));
        let mut groups: Vec<_> = rest.take(n_max.max(1).saturating_add(1)).cloned().collect();
        let mut next = None;
        if groups.len() > n_max.max(1) {
            groups.pop();
            next = groups.last().map(|group| group.name.clone());
        }
        GroupsPage { groups, next }
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.0
            .binary_search_by(|group| group.name.as_str().cmp(name))
    }

    /// Returns these groups and one more, or one in the place of the one with its name.
    pub(super) fn with(&self, group: Arc<Group>) -> Self {
        let mut groups = self.without(&group.name);
        let idx = groups.position(&group.name).unwrap_or_else(|idx| idx);
        groups.0.insert(idx, group);
        groups
    }

    pub(super) fn without(&self, name: &str) -> Self {
        let others = self.iter().filter(|group| group.name != name);
        Self(others.cloned().collect())
    }
}

impl<'r> Selector<'r> {
    /// Means the group with a name.
    pub fn name(name: &'r str) -> Self {
        Self {
            name: Some(name),
            arn: None,
        }
    }

    /// Means the group with an ARN.
    pub fn arn(arn: &'r str) -> Self {
        Self {
            name: None,
            arn: Some(arn),
        }
    }
}
