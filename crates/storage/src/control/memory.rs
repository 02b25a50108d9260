//! A control store in memory, for tests of the crates above.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use model::Tenant;

use super::{ControlKind, ControlRecord, ControlStore, check_size};
use crate::StoreError;

/// Records by tenant, kind and key.
type Records = BTreeMap<(Tenant, ControlKind, String), Vec<u8>>;

/// Keeps records as long as it lives, and can be told to refuse writes.
pub struct MemoryControl {
    records: Mutex<Records>,
    n_writes_left: AtomicU32,
}

impl Default for MemoryControl {
    fn default() -> Self {
        Self {
            records: Mutex::default(),
            n_writes_left: AtomicU32::new(u32::MAX),
        }
    }
}

impl MemoryControl {
    /// Refuses writes once there were so many more of them; `u32::MAX` for never.
    pub fn refuse_after(&self, n_writes: u32) {
        self.n_writes_left.store(n_writes, Ordering::SeqCst);
    }

    /// Returns how many writes were made since `refuse_after` was told a number.
    pub fn n_written_of(&self, n_writes: u32) -> u32 {
        n_writes.saturating_sub(self.n_writes_left.load(Ordering::SeqCst))
    }

    fn count(&self) -> Result<(), StoreError> {
        let count = |left: u32| left.checked_sub(1);
        let (set, read) = (Ordering::SeqCst, Ordering::SeqCst);
        self.n_writes_left
            .fetch_update(set, read, count)
            .map(drop)
            .map_err(|_| StoreError::Closed)
    }
}

impl ControlStore for MemoryControl {
    fn load(&self, tenant: Tenant, kind: ControlKind) -> Result<Vec<ControlRecord>, StoreError> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let of_kind = records
            .iter()
            .filter(|((owner, found, _), _)| *owner == tenant && *found == kind);
        Ok(of_kind
            .map(|((_, _, key), value)| ControlRecord {
                key: key.clone(),
                value: value.clone(),
            })
            .collect())
    }

    fn put(
        &self,
        tenant: Tenant,
        kind: ControlKind,
        record: &ControlRecord,
    ) -> Result<(), StoreError> {
        check_size(record)?;
        self.count()?;
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.insert((tenant, kind, record.key.clone()), record.value.clone());
        Ok(())
    }

    fn put_soon(
        &self,
        tenant: Tenant,
        kind: ControlKind,
        record: &ControlRecord,
    ) -> Result<(), StoreError> {
        self.put(tenant, kind, record)
    }

    fn remove(&self, tenant: Tenant, kind: ControlKind, key: &str) -> Result<(), StoreError> {
        self.count()?;
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.remove(&(tenant, kind, key.to_owned()));
        Ok(())
    }

    fn remove_soon(&self, tenant: Tenant, kind: ControlKind, key: &str) -> Result<(), StoreError> {
        self.remove(tenant, kind, key)
    }
}
