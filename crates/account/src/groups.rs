//! The groups of an account (spec: X-Ray API, `CreateGroup`, `UpdateGroup`, `DeleteGroup`, `GetGroup`,
//! `GetGroups`, `TagResource`; developer guide, "Configuring groups").
//!
//! An unknown group is an invalid request everywhere but for tags: the API has no other error for it.

mod group;
mod record;
mod snapshot;
mod unique_id;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use model::{Account, InvalidTags, Tags, Tenant, Timestamp};
use storage::{ControlKind, ControlStore};

use crate::AccountError;
use crate::home::{self, Current, Home};
use record::{NUMBERS, Numbers, read, write};

pub use group::{Group, Insights, InsightsChange, Version};
pub use snapshot::{GroupsPage, GroupsSnapshot, Selector};

/// Tells whether a text is a filter expression, and if not, why.
pub type FilterCheck = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// The group that always exists, holds every trace, and can be neither made nor deleted.
pub const DEFAULT_GROUP: &str = "Default";

/// The groups of an account.
pub struct Groups {
    home: Home,
    account: Account,
    filter_check: FilterCheck,
    current: Current<GroupsSnapshot>,
    /// The number of the next group; what is stored is never behind it.
    next_uid: AtomicU32,
}

/// A group to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewGroup {
    /// Its name: 1 to 32 ASCII letters, digits, dashes and underscores.
    pub name: String,
    /// Its filter expression; without one every trace is in the group.
    pub filter: Option<String>,
    /// Whether it is watched; not if nothing is said.
    pub insights: InsightsChange,
    /// Its tags, keys and values.
    pub tags: Vec<(String, String)>,
}

/// What of a group to change; nothing leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupChange {
    /// Its filter expression, for traces that arrive from now on; empty for none.
    pub filter: Option<String>,
    /// Whether it is watched.
    pub insights: InsightsChange,
}

impl Groups {
    pub(crate) fn open(
        home: Home,
        account: Account,
        filter_check: FilterCheck,
    ) -> Result<Self, AccountError> {
        let (mut groups, next_uid) = load(&home, &account)?;
        if groups.by_name(DEFAULT_GROUP).is_none() {
            let default = Group {
                uid: 0,
                name: DEFAULT_GROUP.to_owned(),
                arn: account.arn(&unique_id::resource(DEFAULT_GROUP)?),
                created_at: Timestamp::ZERO,
                versions: first_version(String::new(), Timestamp::ZERO),
                insights: Insights::default(),
                tags: Tags::default(),
            };
            write(&home, &default)?;
            groups = groups.with(Arc::new(default));
        }
        Ok(Self {
            home,
            account,
            filter_check,
            current: Current::new(groups),
            next_uid: AtomicU32::new(next_uid),
        })
    }

    /// Makes a group, which holds traces that first arrive from now on. It is on disk once this returns.
    ///
    /// # Errors
    /// Refuses a name that is taken or not allowed, a filter that is none, notifications without
    /// insights, bad tags, and a 26th group besides `Default`.
    pub fn create(&self, new: NewGroup, now: Timestamp) -> Result<Arc<Group>, AccountError> {
        check_name(&new.name)?;
        let filter = new.filter.unwrap_or_default();
        self.check_filter(&filter)?;
        let insights = Insights::default().changed(new.insights)?;
        let mut tags = Tags::default();
        tags.set(new.tags)
            .map_err(|error| AccountError::InvalidRequest(error.to_string()))?;
        self.current.change(|groups| {
            if groups.by_name(&new.name).is_some() {
                let text = format!("a group named {:?} exists already", new.name);
                return Err(AccountError::InvalidRequest(text));
            }
            if groups.iter().count() > GROUPS_MAX {
                let text = format!(
                    "an account has at most {GROUPS_MAX} groups besides {DEFAULT_GROUP}; delete one first"
                );
                return Err(AccountError::InvalidRequest(text));
            }
            let group = Arc::new(Group {
                uid: self.take_uid()?,
                arn: self.account.arn(&unique_id::resource(&new.name)?),
                name: new.name,
                created_at: now,
                versions: first_version(filter, now),
                insights,
                tags,
            });
            write(&self.home, &group)?;
            Ok((groups.with(Arc::clone(&group)), group))
        })
    }

    /// Changes a group and returns it as it is then. A new filter counts for traces that first
    /// arrive from now on. It is on disk once this returns.
    ///
    /// # Errors
    /// Refuses a group that is unknown, a filter that is none, a filter for `Default`, and
    /// notifications without insights.
    pub fn update(
        &self,
        selector: Selector<'_>,
        change: GroupChange,
        now: Timestamp,
    ) -> Result<Arc<Group>, AccountError> {
        self.check_filter(change.filter.as_deref().unwrap_or_default())?;
        self.current.change(|groups| {
            let before = groups.select(selector)?;
            let mut group = Group::clone(before);
            if let Some(filter) = change.filter {
                if group.name == DEFAULT_GROUP && !filter.is_empty() {
                    let text = format!(
                        "the group {DEFAULT_GROUP} holds every trace and takes no FilterExpression; \
                         only its InsightsConfiguration can be changed"
                    );
                    return Err(AccountError::InvalidRequest(text));
                }
                group.set_filter(filter, now);
            }
            group.insights = group.insights.changed(change.insights)?;
            self.replace(groups, before, group)
        })
    }

    /// Deletes a group, whether or not filters refer to it. It is gone from disk once this returns.
    ///
    /// # Errors
    /// Refuses a group that is unknown, and `Default`.
    pub fn delete(&self, selector: Selector<'_>) -> Result<(), AccountError> {
        self.current.change(|groups| {
            let group = groups.select(selector)?;
            if group.name == DEFAULT_GROUP {
                let text = format!("the group {DEFAULT_GROUP} cannot be deleted");
                return Err(AccountError::InvalidRequest(text));
            }
            self.home.remove(ControlKind::Group, &group.name)?;
            Ok((groups.without(&group.name), ()))
        })
    }

    /// Returns a group.
    ///
    /// # Errors
    /// Refuses a group that is unknown.
    pub fn get(&self, selector: Selector<'_>) -> Result<Arc<Group>, AccountError> {
        self.current.read().select(selector).cloned()
    }

    /// Returns at most `n_max` groups (at least one) with names after `after`, `Default` among them.
    pub fn list(&self, after: Option<&str>, n_max: usize) -> GroupsPage {
        self.current.read().page(after, n_max)
    }

    /// Returns the groups as they are now, for a while of work. Costs nothing.
    pub fn snapshot(&self) -> Arc<GroupsSnapshot> {
        self.current.read()
    }

    /// Returns the tags of the group with this ARN.
    ///
    /// # Errors
    /// [`AccountError::NotFound`] if there is none.
    pub fn tags(&self, arn: &str) -> Result<Tags, AccountError> {
        Ok(self.current.read().tagged(arn)?.tags.clone())
    }

    /// Sets tags of the group with this ARN, all or none. They are on disk once this returns.
    ///
    /// # Errors
    /// [`AccountError::NotFound`] if there is none, [`AccountError::TooManyTags`] if it would have more
    /// than 50, and an invalid request for keys that are reserved or repeated.
    pub fn tag(&self, arn: &str, tags: Vec<(String, String)>) -> Result<(), AccountError> {
        self.current.change(|groups| {
            let before = groups.tagged(arn)?;
            let mut group = Group::clone(before);
            group.tags.set(tags).map_err(|error| match error {
                InvalidTags::TooMany { .. } => AccountError::TooManyTags {
                    resource: arn.to_owned(),
                },
                InvalidTags::Reserved { .. } | InvalidTags::Repeated { .. } => {
                    AccountError::InvalidRequest(error.to_string())
                }
            })?;
            let (groups, _) = self.replace(groups, before, group)?;
            Ok((groups, ()))
        })
    }

    /// Removes tags of the group with this ARN; keys it does not have are passed over.
    ///
    /// # Errors
    /// [`AccountError::NotFound`] if there is none.
    pub fn untag(&self, arn: &str, keys: &[String]) -> Result<(), AccountError> {
        self.current.change(|groups| {
            let before = groups.tagged(arn)?;
            let mut group = Group::clone(before);
            group.tags.remove(keys.iter().map(String::as_str));
            let (groups, _) = self.replace(groups, before, group)?;
            Ok((groups, ()))
        })
    }

    fn check_filter(&self, filter: &str) -> Result<(), AccountError> {
        if filter.is_empty() {
            return Ok(());
        }
        (self.filter_check)(filter).map_err(AccountError::InvalidRequest)
    }

    /// Returns a number no group ever had. It is used up on disk first, so that it is not given
    /// again even if storing its group fails and nobody knows what of it is there.
    fn take_uid(&self) -> Result<u32, AccountError> {
        let uid = self.next_uid.load(Ordering::Relaxed);
        let Some(next_uid) = uid.checked_add(1) else {
            let text = "there are no numbers left for groups".to_owned();
            return Err(AccountError::InvalidRequest(text));
        };
        self.home
            .put(ControlKind::Group, NUMBERS, &Numbers { next_uid })?;
        self.next_uid.store(next_uid, Ordering::Relaxed);
        Ok(uid)
    }

    /// Stores a group in the place of `before`, unless nothing about it is new.
    fn replace(
        &self,
        groups: &GroupsSnapshot,
        before: &Group,
        group: Group,
    ) -> Result<(GroupsSnapshot, Arc<Group>), AccountError> {
        if group != *before {
            write(&self.home, &group)?;
        }
        let group = Arc::new(group);
        Ok((groups.with(Arc::clone(&group)), group))
    }
}

impl GroupsSnapshot {
    /// Returns the groups a store has of a tenant, changing nothing; without `Default` if nobody ever opened them.
    ///
    /// # Errors
    /// If the store cannot be read, or holds a record this version does not understand.
    pub fn stored(
        store: Arc<dyn ControlStore>,
        tenant: Tenant,
        account: &Account,
    ) -> Result<Self, AccountError> {
        let (groups, _) = load(&Home::new(store, tenant), account)?;
        Ok(groups)
    }
}

/// Returns the groups that are stored, and the number of the next one.
fn load(home: &Home, account: &Account) -> Result<(GroupsSnapshot, u32), AccountError> {
    let mut groups = Vec::new();
    let mut next_uid = 1;
    for record in home.load(ControlKind::Group)? {
        if record.key == NUMBERS {
            let numbers: Numbers = home::decode(&record)?;
            next_uid = next_uid.max(numbers.next_uid);
        } else {
            let group = read(account, &record)?;
            next_uid = next_uid.max(group.uid.saturating_add(1));
            groups.push(group);
        }
    }
    Ok((GroupsSnapshot::new(groups), next_uid))
}

fn check_name(name: &str) -> Result<(), AccountError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(allowed) {
        let text = format!(
            "invalid GroupName: a name has 1 to {NAME_BYTES_MAX} characters, which are letters (a-z, A-Z), \
             digits, dashes and underscores"
        );
        return Err(AccountError::InvalidRequest(text));
    }
    if name == DEFAULT_GROUP {
        let text = format!("invalid GroupName: {DEFAULT_GROUP} is reserved");
        return Err(AccountError::InvalidRequest(text));
    }
    Ok(())
}

fn first_version(filter: String, since: Timestamp) -> Vec<Version> {
    vec![Version { since, filter }]
}

const GROUPS_MAX: usize = 25;
const NAME_BYTES_MAX: usize = 32;
