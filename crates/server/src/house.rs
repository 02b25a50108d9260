//! What all accounts share: the store, the settings in force, the figures.

use std::sync::Arc;

use arc_swap::ArcSwap;
use model::Timestamp;
use query::Classifier;
use storage::{Classify, OpenError, SledControl, SledStore, StoreError};
use tokio::sync::Semaphore;

use crate::auth::keys::Keyring;
use crate::config::Config;
use crate::http::body::BodyRoom;
use crate::intake::rates::Rates;
use crate::metrics::Metrics;

/// What all accounts share.
pub(crate) struct House {
    config: ArcSwap<Config>,
    keys: ArcSwap<Keyring>,
    pub(crate) store: Arc<SledStore>,
    pub(crate) control: Arc<SledControl>,
    pub(crate) classifier: Arc<Classifier>,
    pub(crate) bodies: BodyRoom,
    pub(crate) metrics: Metrics,
    pub(crate) rates: Rates,
    /// One permit for each piece of a request of spans that is made and stored at the same time.
    pub(crate) pieces: Semaphore,
}

/// Why a house does not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HouseError {
    /// A store does not open.
    #[error("cannot open the store: {0}")]
    Open(#[from] OpenError),
    /// A store does not close well.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
}

impl House {
    /// Opens the stores. Blocks.
    pub(crate) fn open(config: Config, keys: Keyring, now: Timestamp) -> Result<Self, HouseError> {
        let store = SledStore::open(config.storage(), now)?;
        let control = Arc::new(SledControl::open(&config.data.dir)?);
        let classifier = Arc::new(Classifier::default());
        store.classify_by(Arc::clone(&classifier) as Arc<dyn Classify>);
        Ok(Self {
            bodies: BodyRoom::new(config.http.bodies_in_flight.0),
            config: ArcSwap::from_pointee(config),
            keys: ArcSwap::from_pointee(keys),
            store: Arc::new(store),
            control,
            classifier,
            metrics: Metrics::new(),
            rates: Rates::default(),
            pieces: Semaphore::new(PIECES_AT_ONCE),
        })
    }

    /// Returns the settings in force now; one request asks once.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Returns the access keys in force now.
    pub(crate) fn keys(&self) -> Arc<Keyring> {
        self.keys.load_full()
    }

    /// Lets other settings and keys be in force from the next request on.
    pub(crate) fn reconfigure(&self, config: Config, keys: Keyring) {
        // Keys first: a request must not meet the demand to sign before there are keys to sign with.
        self.keys.store(Arc::new(keys));
        self.config.store(Arc::new(config));
    }

    /// Makes everything durable and closes the stores. Blocks.
    pub(crate) fn close(&self) -> Result<(), HouseError> {
        let closed = self.store.close();
        self.control.close()?;
        Ok(closed?)
    }
}

/// Enough that stores of pieces share commits, and few enough that what requests become is little beside their bodies.
const PIECES_AT_ONCE: usize = 16;
