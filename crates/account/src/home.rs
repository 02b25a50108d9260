//! Where settings live: the records of one tenant in the store, and what is in force in memory.

use std::sync::{Arc, Mutex, PoisonError};

use model::Tenant;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use storage::{ControlKind, ControlRecord, ControlStore};

use crate::AccountError;

/// The records of one tenant. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Home {
    store: Arc<dyn ControlStore>,
    tenant: Tenant,
}

impl Home {
    pub(crate) fn new(store: Arc<dyn ControlStore>, tenant: Tenant) -> Self {
        Self { store, tenant }
    }

    /// Returns every record of a kind as it was stored, ascending by key.
    pub(crate) fn load(&self, kind: ControlKind) -> Result<Vec<ControlRecord>, AccountError> {
        Ok(self.store.load(self.tenant, kind)?)
    }

    /// Returns the record of a kind that has only one.
    pub(crate) fn load_only<R: DeserializeOwned>(
        &self,
        kind: ControlKind,
    ) -> Result<Option<R>, AccountError> {
        let records = self.load(kind)?;
        let only = records.iter().find(|record| record.key == ONLY);
        only.map(decode).transpose()
    }

    /// Stores a record; on disk once this returns `Ok`.
    pub(crate) fn put<R: Serialize>(
        &self,
        kind: ControlKind,
        key: &str,
        record: &R,
    ) -> Result<(), AccountError> {
        let stored = Stored { v: VERSION, record };
        let value = serde_json::to_vec(&stored).map_err(|error| unusable(key, &error))?;
        let record = ControlRecord {
            key: key.to_owned(),
            value,
        };
        Ok(self.store.put(self.tenant, kind, &record)?)
    }

    /// Stores the record of a kind that has only one.
    pub(crate) fn put_only<R: Serialize>(
        &self,
        kind: ControlKind,
        record: &R,
    ) -> Result<(), AccountError> {
        self.put(kind, ONLY, record)
    }

    /// Removes a record; gone from disk once this returns `Ok`.
    pub(crate) fn remove(&self, kind: ControlKind, key: &str) -> Result<(), AccountError> {
        Ok(self.store.remove(self.tenant, kind, key)?)
    }
}

/// Returns what a record says. Members that are not known are passed over.
pub(crate) fn decode<R: DeserializeOwned>(record: &ControlRecord) -> Result<R, AccountError> {
    let unusable = |error: &dyn std::fmt::Display| unusable(&record.key, error);
    let stored: Version =
        serde_json::from_slice(&record.value).map_err(|error| unusable(&error))?;
    if stored.v != VERSION {
        let text = format!("it is of version {} and not {VERSION}", stored.v);
        return Err(unusable(&text));
    }
    serde_json::from_slice(&record.value).map_err(|error| unusable(&error))
}

/// What is in force: read at any time, changed by one caller after another.
pub(crate) struct Current<T> {
    changing: Mutex<()>,
    value: Mutex<Arc<T>>,
}

impl<T> Current<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            changing: Mutex::new(()),
            value: Mutex::new(Arc::new(value)),
        }
    }

    /// Returns what is in force. Never waits for a change.
    pub(crate) fn read(&self) -> Arc<T> {
        Arc::clone(&self.value.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts in force what `change` makes of what is in force, and returns what it answers besides.
    /// `change` writes to the store; nothing happens if it returns an error.
    pub(crate) fn change<A>(
        &self,
        change: impl FnOnce(&T) -> Result<(T, A), AccountError>,
    ) -> Result<A, AccountError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, answer) = change(&self.read())?;
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(answer)
    }
}

/// A record as it is stored: its members beside the version of its form.
#[derive(Serialize)]
struct Stored<'r, R> {
    v: u32,
    #[serde(flatten)]
    record: &'r R,
}

/// What every record says of itself.
#[derive(Deserialize)]
struct Version {
    v: u32,
}

fn unusable(key: &str, reason: &dyn std::fmt::Display) -> AccountError {
    AccountError::Record {
        key: key.to_owned(),
        reason: reason.to_string(),
    }
}

const VERSION: u32 = 1;
const ONLY: &str = "Default";
