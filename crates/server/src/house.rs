//! What all accounts share: the store, the settings in force, the figures.

use std::sync::Arc;

use arc_swap::ArcSwap;
use model::Timestamp;
use query::Classifier;
use storage::{Classify, OpenError, SledControl, SledStore, StoreError};

use crate::config::Config;
use crate::http::body::BodyRoom;
use crate::metrics::Metrics;

/// What all accounts share.
pub(crate) struct House {
    config: ArcSwap<Config>,
    pub(crate) store: Arc<SledStore>,
    pub(crate) control: Arc<SledControl>,
    pub(crate) classifier: Arc<Classifier>,
    pub(crate) bodies: BodyRoom,
    pub(crate) metrics: Metrics,
}

/// Why a house does not open.
#[derive(Debug, thiserror::Error)]
pub enum HouseError {
    /// A store does not open.
    #[error("cannot open the store: {0}")]
    Open(#[from] OpenError),
    /// A store does not close well.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
}

impl House {
    /// Opens the stores. Blocks.
    pub(crate) fn open(config: Config, now: Timestamp) -> Result<Self, HouseError> {
        let store = SledStore::open(config.storage(), now)?;
        let control = Arc::new(SledControl::open(&config.data.dir)?);
        let classifier = Arc::new(Classifier::default());
        store.classify_by(Arc::clone(&classifier) as Arc<dyn Classify>);
        Ok(Self {
            bodies: BodyRoom::new(config.http.bodies_in_flight.0),
            config: ArcSwap::from_pointee(config),
            store: Arc::new(store),
            control,
            classifier,
            metrics: Metrics::new(),
        })
    }

    /// Returns the settings in force now; one request asks once.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Lets other settings be in force from the next request on.
    pub(crate) fn reconfigure(&self, config: Config) {
        self.config.store(Arc::new(config));
    }

    /// Makes everything durable and closes the stores. Blocks.
    pub(crate) fn close(&self) -> Result<(), HouseError> {
        let closed = self.store.close();
        self.control.close()?;
        Ok(closed?)
    }
}
