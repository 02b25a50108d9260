//! What the store keeps: each closed insight under its id, and the state of each watched group, its open
//! insights among it, under its number.
//!
//! All of it follows from the sums of graphs. So records are written and removed without waiting for the disk, and one that
//! is damaged or of another version is passed over: what it said is found anew or is lost, and nothing else.

use std::sync::Arc;

use model::Tenant;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use storage::{ControlKind, ControlRecord, ControlStore, StoreError};

use crate::InsightError;
use crate::detector::GroupState;
use crate::insight::{GroupRef, Insight};

/// The records of one tenant. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Records {
    store: Arc<dyn ControlStore>,
    pub(crate) tenant: Tenant,
}

/// A group that is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watched {
    pub(crate) group: GroupRef,
    pub(crate) state: GroupState,
}

/// A change of what the store keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// This insight is closed.
    Closed(Arc<Insight>),
    /// This is the state of a watched group.
    Watched(Arc<Watched>),
    /// The group of this number is no longer watched.
    Unwatched(u32),
    /// The insight of this id is dropped.
    Dropped(String),
}

/// What was found in the store.
#[derive(Default)]
pub(crate) struct Loaded {
    pub(crate) watched: Vec<Watched>,
    pub(crate) closed: Vec<Insight>,
    /// Records that could not be used.
    pub(crate) n_passed_over: u32,
}

impl Records {
    pub(crate) fn new(store: Arc<dyn ControlStore>, tenant: Tenant) -> Self {
        Self { store, tenant }
    }

    pub(crate) fn load(&self) -> Result<Loaded, StoreError> {
        let mut loaded = Loaded::default();
        for record in self.store.load(self.tenant, ControlKind::Insight)? {
            let is_used = if record.key.starts_with(STATE) {
                let watched = decode(&record.value);
                let is_used = watched.is_some();
                loaded.watched.extend(watched);
                is_used
            } else {
                let insight: Option<Insight> = decode(&record.value);
                let insight = insight.filter(|one| one.end.is_some() && one.id == record.key);
                let is_used = insight.is_some();
                loaded.closed.extend(insight);
                is_used
            };
            loaded.n_passed_over += u32::from(!is_used);
        }
        Ok(loaded)
    }

    /// Makes a change. It blocks for a moment, and may be lost with the power.
    pub(crate) fn write(&self, write: &Write) -> Result<(), InsightError> {
        match write {
            Write::Closed(insight) => self.put(insight.id.clone(), &**insight),
            Write::Watched(watched) => self.put(state_key(watched.group.number), &**watched),
            Write::Unwatched(number) => self.remove(&state_key(*number)),
            Write::Dropped(id) => self.remove(id),
        }
    }

    fn put<R: Serialize>(&self, key: String, content: &R) -> Result<(), InsightError> {
        let stored = Stored {
            v: VERSION,
            content,
        };
        let value = match serde_json::to_vec(&stored) {
            Ok(value) => value,
            Err(source) => return Err(InsightError::Record { key, source }),
        };
        let record = ControlRecord { key, value };
        let kind = ControlKind::Insight;
        Ok(self.store.put_soon(self.tenant, kind, &record)?)
    }

    fn remove(&self, key: &str) -> Result<(), InsightError> {
        let kind = ControlKind::Insight;
        Ok(self.store.remove_soon(self.tenant, kind, key)?)
    }
}

/// A record: its content and the version of its form.
#[derive(Serialize, Deserialize)]
struct Stored<R> {
    v: u32,
    content: R,
}

/// What every record says of itself.
#[derive(Deserialize)]
struct Version {
    v: u32,
}

fn decode<R: DeserializeOwned>(value: &[u8]) -> Option<R> {
    let version: Version = serde_json::from_slice(value).ok()?;
    if version.v != VERSION {
        return None;
    }
    let stored: Stored<R> = serde_json::from_slice(value).ok()?;
    Some(stored.content)
}

fn state_key(number: u32) -> String {
    format!("{STATE}{number:010}")
}

const VERSION: u32 = 1;
/// How keys of groups begin; ids of insights are hexadecimal.
const STATE: &str = "state/";
