//! A control store in memory, for tests of the crates above.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use model::Tenant;

use super::{ControlKind, ControlRecord, ControlStore};
use crate::StoreError;

/// Records by tenant, kind and key.
type Records = BTreeMap<(Tenant, ControlKind, String), Vec<u8>>;

/// Keeps records as long as it lives.
#[derive(Default)]
pub struct MemoryControl {
    records: Mutex<Records>,
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
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.remove(&(tenant, kind, key.to_owned()));
        Ok(())
    }
}
