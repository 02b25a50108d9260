//! Every rule and every error of settings, over a store in memory.

mod groups;
mod policies;
mod reopened;
mod settings;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use model::{Account, Tenant, Timestamp};
use storage::control::memory::MemoryControl;
use storage::{ControlKind, ControlRecord, ControlStore, StoreError};

use crate::{AccountError, FilterCheck, Settings};

const ACCOUNT: &str = "123456789012";
const REGION: &str = "us-east-2";
const TENANT: Tenant = Tenant(7);

/// A store in memory that can be told to refuse writes after some more of them.
pub(crate) struct Control {
    memory: MemoryControl,
    n_writes_left: AtomicU32,
}

impl Control {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            memory: MemoryControl::default(),
            n_writes_left: AtomicU32::new(u32::MAX),
        })
    }

    fn refuse_after(&self, n_writes: u32) {
        self.n_writes_left.store(n_writes, Ordering::Relaxed);
    }

    fn count(&self) -> Result<(), StoreError> {
        let left = self.n_writes_left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(StoreError::Closed);
        }
        self.n_writes_left.store(left - 1, Ordering::Relaxed);
        Ok(())
    }

    /// Returns how many writes were made since `refuse_after` was told a number.
    fn n_written_of(&self, n_writes: u32) -> u32 {
        n_writes - self.n_writes_left.load(Ordering::Relaxed)
    }
}

impl ControlStore for Control {
    fn load(&self, tenant: Tenant, kind: ControlKind) -> Result<Vec<ControlRecord>, StoreError> {
        self.memory.load(tenant, kind)
    }

    fn put(
        &self,
        tenant: Tenant,
        kind: ControlKind,
        record: &ControlRecord,
    ) -> Result<(), StoreError> {
        self.count()?;
        self.memory.put(tenant, kind, record)
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
        self.memory.remove(tenant, kind, key)
    }
}

fn account() -> Account {
    Account {
        id: ACCOUNT.to_owned(),
        region: REGION.to_owned(),
    }
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

/// Takes any text as a filter but those with a `!`.
fn no_exclamations() -> FilterCheck {
    Arc::new(|filter| {
        if filter.contains('!') {
            return Err(format!("Error Location: {filter}"));
        }
        Ok(())
    })
}

fn try_open(store: &Arc<Control>, now: Timestamp) -> Result<Settings, AccountError> {
    let store: Arc<dyn ControlStore> = Arc::clone(store) as _;
    Settings::open(store, TENANT, account(), no_exclamations(), now)
}

fn open(store: &Arc<Control>, now: Timestamp) -> Settings {
    try_open(store, now).unwrap()
}

fn fresh() -> Settings {
    open(&Control::new(), at(1_000))
}

/// Asserts that an outcome is an error of a kind with a text in it.
fn refused<T: std::fmt::Debug>(outcome: Result<T, AccountError>, kind: &str, text: &str) {
    let error = outcome.unwrap_err();
    let found = format!("{error:?}");
    assert!(found.starts_with(kind), "{found} is no {kind}");
    assert!(error.to_string().contains(text), "{error} lacks {text}");
}
