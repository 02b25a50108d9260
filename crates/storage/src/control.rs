//! Small records that configure a tenant or belong to it: sampling rules, groups, policies and the like.
//!
//! They are few, they are not traces, and retention does not touch them, so they have a home of their
//! own beside the partitions. A record is opaque bytes under a kind and a key; whoever owns the
//! kind knows what they mean, and keeps what it reads often in memory.

#[cfg(any(test, feature = "memory"))]
pub mod memory;
mod rewrite;
mod sled_control;

use model::Tenant;

use crate::StoreError;
use crate::engine::VALUE_BYTES_MAX;

pub(crate) use rewrite::NAME as FOLDER;
pub(crate) use sled_control::SettingsCopy;
pub use sled_control::SledControl;

/// A durable home of small records. All calls block for a moment.
pub trait ControlStore: Send + Sync + 'static {
    /// Returns every record of a kind, ascending by key.
    fn load(&self, tenant: Tenant, kind: ControlKind) -> Result<Vec<ControlRecord>, StoreError>;

    /// Stores a record in the place of the one with its key; on disk once this returns `Ok`.
    fn put(
        &self,
        tenant: Tenant,
        kind: ControlKind,
        record: &ControlRecord,
    ) -> Result<(), StoreError>;

    /// Stores a record like [`ControlStore::put`], on disk within half a second: for what is written
    /// often and may be lost with the power.
    fn put_soon(
        &self,
        tenant: Tenant,
        kind: ControlKind,
        record: &ControlRecord,
    ) -> Result<(), StoreError>;

    /// Removes a record if it is there; gone from disk once this returns `Ok`.
    fn remove(&self, tenant: Tenant, kind: ControlKind, key: &str) -> Result<(), StoreError>;

    /// Removes a record like [`ControlStore::remove`], from disk within half a second: for what may come
    /// back if the power fails. A store that knows no faster way removes it for good at once.
    fn remove_soon(&self, tenant: Tenant, kind: ControlKind, key: &str) -> Result<(), StoreError> {
        self.remove(tenant, kind, key)
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRecord {
    /// Its key, unique within tenant and kind; 1 to 1,024 bytes.
    pub key: String,
    /// Its content; at most [`CONTROL_VALUE_BYTES_MAX`] bytes.
    pub value: Vec<u8>,
}

/// What a record is. The numbers are stored: they are never given to another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ControlKind {
    /// A sampling rule, by name.
    SamplingRule = 1,
    /// What clients reported of rules in one window of time, by the window's place in a ring of fixed size.
    SamplingStatistics = 2,
    /// What else sampling keeps: when rules changed last, boosts.
    SamplingState = 3,
    /// A group and the history of its filter, by name.
    Group = 4,
    /// The encryption configuration.
    EncryptionConfig = 5,
    /// A resource policy, by name.
    ResourcePolicy = 6,
    /// An indexing rule, by name.
    IndexingRule = 7,
    /// Where segments are sent to.
    Destination = 8,
    /// A retrieval of traces, by token.
    Retrieval = 9,
    /// An insight and its events, by id.
    Insight = 10,
}

/// Refuses a record that could not be stored.
fn check_size(record: &ControlRecord) -> Result<(), StoreError> {
    if record.value.len() > CONTROL_VALUE_BYTES_MAX {
        return Err(StoreError::TooLarge {
            n_bytes: record.value.len(),
            n_bytes_max: CONTROL_VALUE_BYTES_MAX,
        });
    }
    Ok(())
}

/// Bytes of a record's content at most: what fits into its chunks, whose number is stored in two bytes.
pub const CONTROL_VALUE_BYTES_MAX: usize = VALUE_BYTES_MAX * 65_535;
