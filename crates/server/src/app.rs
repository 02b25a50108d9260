//! What every request needs: the store, whose data it is, the limits and the figures.

use std::sync::Arc;

use model::Tenant;
use protocol::token::TokenKey;
use storage::{SledStore, StoreError};
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::http::body::BodyLimits;
use crate::metrics::Metrics;

/// The parts requests are served with; shared by all of them.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) store: Arc<SledStore>,
    pub(crate) tenant: Tenant,
    pub(crate) token_key: TokenKey,
    pub(crate) bodies: BodyLimits,
    pub(crate) metrics: Metrics,
}

impl App {
    /// Returns the parts over an open store.
    pub(crate) fn new(config: Config, store: SledStore) -> Result<Self, StoreError> {
        let tenant = store.tenant(&config.account.id, &config.account.region)?;
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
            token_key,
            bodies,
            metrics: Metrics::new(),
        })
    }
}
