//! The accounts that are served, each with its own parts. What one of them stores or sets, no other one sees.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use model::{Account, Timestamp};

use crate::app::{App, AppError};
use crate::house::House;

/// Every account and region that is served.
pub(crate) struct Accounts {
    pub(crate) house: Arc<House>,
    /// The one requests belong to that need no key.
    pub(crate) default: Arc<App>,
    apps: RwLock<BTreeMap<(String, String), Arc<App>>>,
}

impl Accounts {
    /// Opens all accounts that are configured or have data: what one stored before its key was taken away is still
    /// sorted into its groups. Blocks.
    pub(crate) fn open(
        house: Arc<House>,
        configured: &[Account],
        now: Timestamp,
    ) -> Result<Self, AppError> {
        let default = house.config().account.account();
        let default = Arc::new(App::open(Arc::clone(&house), default, now)?);
        let first = (key(&default.account), Arc::clone(&default));
        let accounts = Self {
            apps: RwLock::new(BTreeMap::from([first])),
            default,
            house,
        };
        let stored = accounts.house.store.tenants().into_iter();
        for (id, region) in stored {
            accounts.add(Account { id, region }, now)?;
        }
        for account in configured {
            accounts.add(account.clone(), now)?;
        }
        Ok(accounts)
    }

    /// Serves an account from now on, if it is not served yet. Blocks.
    pub(crate) fn add(&self, account: Account, now: Timestamp) -> Result<(), AppError> {
        if self.get(&account).is_none() {
            let key = key(&account);
            let app = Arc::new(App::open(Arc::clone(&self.house), account, now)?);
            let mut apps = self.apps.write().unwrap_or_else(PoisonError::into_inner);
            apps.entry(key).or_insert(app);
        }
        Ok(())
    }

    /// Returns an account's parts; nothing for one that is not served.
    pub(crate) fn get(&self, account: &Account) -> Option<Arc<App>> {
        let apps = self.apps.read().unwrap_or_else(PoisonError::into_inner);
        apps.get(&key(account)).cloned()
    }

    /// Returns the parts of all accounts.
    pub(crate) fn all(&self) -> Vec<Arc<App>> {
        let apps = self.apps.read().unwrap_or_else(PoisonError::into_inner);
        apps.values().cloned().collect()
    }

    /// Makes everything durable and closes the stores. Blocks.
    pub(crate) fn close(&self, now: Timestamp) -> Result<(), AppError> {
        let mut flushed = Ok(());
        for app in self.all() {
            flushed = flushed.and(app.sampling.flush(now));
        }
        self.house.close()?;
        Ok(flushed?)
    }
}

fn key(account: &Account) -> (String, String) {
    (account.id.clone(), account.region.clone())
}
