//! Every rule and every error of settings, over a store in memory.

mod groups;
mod policies;
mod reopened;
mod settings;

use std::sync::Arc;

use model::{Account, Tenant, Timestamp};
use storage::control::memory::MemoryControl;
use storage::{ControlKind, ControlRecord, ControlStore};

use crate::{AccountError, FilterCheck, Settings};

const ACCOUNT: &str = "123456789012";
const REGION: &str = "us-east-2";
const TENANT: Tenant = Tenant(7);

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

fn new_store() -> Arc<MemoryControl> {
    Arc::new(MemoryControl::default())
}

fn try_open(store: &Arc<MemoryControl>, now: Timestamp) -> Result<Settings, AccountError> {
    let store: Arc<dyn ControlStore> = Arc::clone(store) as _;
    Settings::open(store, TENANT, account(), no_exclamations(), now)
}

fn open(store: &Arc<MemoryControl>, now: Timestamp) -> Settings {
    try_open(store, now).unwrap()
}

fn fresh() -> Settings {
    open(&new_store(), at(1_000))
}

/// Asserts that an outcome is an error of a kind with a text in it.
fn refused<T: std::fmt::Debug>(outcome: Result<T, AccountError>, kind: &str, text: &str) {
    let error = outcome.unwrap_err();
    let found = format!("{error:?}");
    assert!(found.starts_with(kind), "{found} is no {kind}");
    assert!(error.to_string().contains(text), "{error} lacks {text}");
}
