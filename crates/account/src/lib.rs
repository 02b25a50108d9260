//! What an account has configured, sampling rules apart: groups, encryption, resource policies,
//! indexing rules and where its segments go.
//!
//! The secret this crate hides is what such a setting may be, what a change of it means for later
//! answers, and what its record in the store looks like. It keeps all settings in memory and writes
//! each change through to the [`ControlStore`] before anyone sees it: a change that could not be
//! written has changed nothing.
//!
//! Invariants: readers never wait for a write; changes of one kind of setting happen one after
//! another; the number of a group is never given to another one; a settings object that was opened
//! again answers as the one before did.
//!
//! It must never know how requests arrive, what the wire looks like, or what a filter expression
//! means. Time is a parameter. Calls that change something block until the change is on disk.
//!
//! ```
//! # use std::sync::Arc;
//! # use model::{Account, Tenant, Timestamp};
//! use account::{FilterCheck, NewGroup, Selector, Settings};
//!
//! # let store = Arc::new(storage::control::memory::MemoryControl::default());
//! let account = Account { id: "000000000000".to_owned(), region: "us-east-1".to_owned() };
//! let check: FilterCheck = Arc::new(|_| Ok(()));
//! let now = Timestamp::from_secs(1_700_000_000);
//! let settings = Settings::open(store, Tenant(0), account, check, now)?;
//! let slow = NewGroup {
//!     name: "slow".to_owned(),
//!     filter: Some("responsetime > 2".to_owned()),
//!     ..NewGroup::default()
//! };
//! settings.groups.create(slow, now)?;
//! assert_eq!(settings.groups.get(Selector::name("slow"))?.filter(), "responsetime > 2");
//! # Ok::<(), account::AccountError>(())
//! ```
#![warn(missing_docs)]

mod destination;
mod encryption;
mod groups;
mod home;
mod indexing;
mod kms;
mod policies;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use model::{Account, Tenant, Timestamp};
use storage::{ControlStore, StoreError};

pub use destination::{
    Destination, DestinationStatus, LogsConfiguration, SegmentDestination, SegmentDestinations,
};
pub use encryption::{
    Encryption, EncryptionConfig, EncryptionConfigs, EncryptionStatus, EncryptionType,
};
pub use groups::{
    DEFAULT_GROUP, FilterCheck, Group, GroupChange, Groups, GroupsPage, GroupsSnapshot, Insights,
    InsightsChange, NewGroup, Selector, Version,
};
pub use indexing::{IndexingRule, IndexingRules};
pub use policies::{NewPolicy, ResourcePolicies, ResourcePolicy};

use home::Home;

/// Everything one account has configured.
pub struct Settings {
    /// Its groups.
    pub groups: Groups,
    /// How its data is to be encrypted.
    pub encryption: EncryptionConfigs,
    /// Who else may use it.
    pub policies: ResourcePolicies,
    /// How many of its spans are indexed.
    pub indexing: IndexingRules,
    /// Where its segments are sent to.
    pub destination: SegmentDestinations,
}

impl Settings {
    /// Reads what a tenant has configured. What exists from the beginning (the `Default` group and the
    /// `Default` indexing rule) is made the first time and stored, so that its ARN and times last.
    ///
    /// # Errors
    /// If the store cannot be read or written, or holds a record this version does not understand.
    pub fn open(
        store: Arc<dyn ControlStore>,
        tenant: Tenant,
        account: Account,
        filter_check: FilterCheck,
        now: Timestamp,
    ) -> Result<Self, AccountError> {
        let home = Home::new(store, tenant);
        Ok(Self {
            groups: Groups::open(home.clone(), account.clone(), filter_check)?,
            encryption: EncryptionConfigs::open(home.clone(), account.clone())?,
            policies: ResourcePolicies::open(home.clone(), account.clone())?,
            indexing: IndexingRules::open(home.clone(), now)?,
            destination: SegmentDestinations::open(home, account)?,
        })
    }
}

/// Why a call changes or tells nothing.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The request asks for what cannot be; the text says what to change.
    #[error("{0}")]
    InvalidRequest(String),
    /// There is no such resource, in the calls that tell this apart from other invalid requests.
    #[error("{resource} does not exist")]
    NotFound {
        /// What was asked for, as it was named.
        resource: String,
    },
    /// The resource would have too many tags.
    #[error("{resource} would have more tags than a resource may have")]
    TooManyTags {
        /// The resource, as it was named.
        resource: String,
    },
    /// The document is no policy; the text says where.
    #[error("{0}")]
    MalformedPolicyDocument(String),
    /// The policy would keep the account from ever changing it.
    #[error("{0}")]
    LockoutPrevention(String),
    /// The policy is not at the revision the request expects.
    #[error("{0}")]
    InvalidPolicyRevisionId(String),
    /// The account has as many policies as it may have.
    #[error("{0}")]
    PolicyCountLimitExceeded(String),
    /// The policy is too long.
    #[error("{0}")]
    PolicySizeLimitExceeded(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored record is damaged or of a version this program does not know.
    #[error("the stored setting {key:?} cannot be used: {reason}")]
    Record {
        /// Its key.
        key: String,
        /// What is wrong with it, for the log.
        reason: String,
    },
    /// The system gave no random bytes.
    #[error("making a random id")]
    Randomness(#[source] getrandom::Error),
}
