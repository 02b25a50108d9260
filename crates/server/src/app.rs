//! What every request needs: the stores, whose data it is, the limits and the figures.

use std::sync::Arc;

use account::{AccountError, FilterCheck, Settings};
use model::{Account, Tenant, Timestamp};
use protocol::token::TokenKey;
use query::{QueryError, Retrievals};
use sampling::{Sampling, SamplingError};
use storage::{ControlStore, OpenError, SledControl, SledStore, StoreError};
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::http::body::BodyLimits;
use crate::metrics::Metrics;

/// The parts requests are served with; shared by all of them.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) store: Arc<SledStore>,
    pub(crate) tenant: Tenant,
    pub(crate) sampling: Sampling,
    pub(crate) settings: Settings,
    pub(crate) retrievals: Retrievals,
    pub(crate) token_key: TokenKey,
    pub(crate) bodies: BodyLimits,
    pub(crate) metrics: Metrics,
    control: Arc<SledControl>,
}

/// Why the parts cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A store does not open.
    #[error("cannot open the store: {0}")]
    Open(#[from] OpenError),
    /// The store does not do what the server needs of it.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// The sampling rules cannot be read.
    #[error("the sampling rules: {0}")]
    Sampling(#[from] SamplingError),
    /// The retrievals cannot be read.
    #[error("the retrievals: {0}")]
    Retrievals(#[from] QueryError),
    /// The settings cannot be read.
    #[error("the settings: {0}")]
    Settings(#[from] AccountError),
}

impl App {
    /// Opens the stores and puts the parts together. Blocks.
    pub(crate) fn open(config: Config, now: Timestamp) -> Result<Self, AppError> {
        let store = SledStore::open(config.storage(), now)?;
        let control = Arc::new(SledControl::open(&config.data.dir)?);
        let account = Account {
            id: config.account.id.clone(),
            region: config.account.region.clone(),
        };
        let tenant = store.tenant(&account.id, &account.region)?;
        let records = || Arc::clone(&control) as Arc<dyn ControlStore>;
        let check: FilterCheck = Arc::new(|_| Ok(()));
        let settings = Settings::open(records(), tenant, account.clone(), check, now)?;
        let sampling = Sampling::open(records(), tenant, account, now)?;
        let retrievals = Retrievals::open(records(), tenant, now)?;
        let token_key = TokenKey(store.token_key());
        let room = usize::try_from(config.http.bodies_in_flight.0).unwrap_or(usize::MAX);
        let bodies = BodyLimits {
            bytes_max: usize::try_from(config.http.body_bytes.0).unwrap_or(usize::MAX),
            timeout: config.http.body_timeout.0,
            wait: config.storage.queue_wait.0,
            room: Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS))),
        };
        Ok(Self {
            config,
            store: Arc::new(store),
            tenant,
            sampling,
            settings,
            retrievals,
            token_key,
            bodies,
            metrics: Metrics::new(),
            control,
        })
    }

    /// Makes everything durable and closes the stores. Blocks.
    pub(crate) fn close(&self, now: Timestamp) -> Result<(), AppError> {
        let flushed = self.sampling.flush(now);
        let closed = self.store.close();
        self.control.close()?;
        closed?;
        Ok(flushed?)
    }
}
