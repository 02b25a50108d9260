//! What all accounts share: the store, the settings in force, the figures.

use std::sync::Arc;

use arc_swap::ArcSwap;
use model::Timestamp;
use query::Classifier;
use storage::{Classify, OpenError, SledControl, SledStore, StoreError};
use tokio::sync::{Semaphore, watch};

use crate::auth::keys::Keyring;
use crate::config::Config;
use crate::http::body::BodyRoom;
use crate::intake::rates::Rates;
use crate::log::Sparingly;
use crate::metrics::Metrics;
use crate::record::{RecordError, Recorder};

/// What all accounts share.
pub(crate) struct House {
    in_force: ArcSwap<InForce>,
    pub(crate) store: Arc<SledStore>,
    pub(crate) control: Arc<SledControl>,
    pub(crate) classifier: Arc<Classifier>,
    pub(crate) bodies: BodyRoom,
    pub(crate) metrics: Metrics,
    pub(crate) recorder: Recorder,
    /// Requests that were not let in.
    pub(crate) turned_away: Sparingly,
    /// Requests that may come again later.
    pub(crate) put_off: Sparingly,
    pub(crate) rates: Rates,
    /// One permit for each piece of a request of spans that is made and stored at the same time.
    pub(crate) pieces: Semaphore,
    /// One permit: a backup at a time.
    pub(crate) backups: Arc<Semaphore>,
    /// Whether the server stops: answers that have no end of their own end then.
    pub(crate) stopping: watch::Sender<bool>,
}

/// The settings and the keys that go with them: a request takes both once, so that it never sees half a change.
pub(crate) struct InForce {
    pub(crate) config: Arc<Config>,
    pub(crate) keys: Keyring,
    /// Whether others are in force by now: who was let in with these is to be asked again.
    replaced: watch::Sender<bool>,
}

impl InForce {
    fn new(config: Config, keys: Keyring) -> Self {
        Self {
            config: Arc::new(config),
            keys,
            replaced: watch::Sender::new(false),
        }
    }

    /// Returns what tells when others are in force.
    pub(crate) fn replaced(&self) -> watch::Receiver<bool> {
        self.replaced.subscribe()
    }
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
    /// The folder for recorded traffic does not open.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl House {
    /// Opens the stores. Blocks.
    pub(crate) fn open(config: Config, keys: Keyring, now: Timestamp) -> Result<Self, HouseError> {
        let metrics = Metrics::new();
        let recorder = Recorder::open(&config, metrics.record.clone(), now)?;
        let store = SledStore::open(config.storage(), now)?;
        let control = Arc::new(SledControl::open(&config.data.dir)?);
        let classifier = Arc::new(Classifier::default());
        store.classify_by(Arc::clone(&classifier) as Arc<dyn Classify>);
        Ok(Self {
            bodies: BodyRoom::new(config.http.bodies_in_flight.0),
            in_force: ArcSwap::from_pointee(InForce::new(config, keys)),
            store: Arc::new(store),
            control,
            classifier,
            metrics,
            recorder,
            turned_away: Sparingly::default(),
            put_off: Sparingly::default(),
            rates: Rates::default(),
            pieces: Semaphore::new(PIECES_AT_ONCE),
            backups: Arc::new(Semaphore::new(1)),
            stopping: watch::Sender::new(false),
        })
    }

    /// Returns the settings in force now.
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.in_force.load().config)
    }

    /// Returns the settings and keys in force now; one request asks once.
    pub(crate) fn in_force(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// Lets other settings and keys be in force from the next request on. Answers without an end of their own end.
    pub(crate) fn reconfigure(&self, config: Config, keys: Keyring) {
        let before = self.in_force.swap(Arc::new(InForce::new(config, keys)));
        before.replaced.send_replace(true);
    }

    /// Makes everything durable and closes the stores. Blocks.
    pub(crate) fn close(&self) -> Result<(), HouseError> {
        self.recorder.close();
        let closed = self.store.close();
        self.control.close()?;
        Ok(closed?)
    }
}

/// Enough that stores of pieces share commits, and few enough that what requests become is little beside their bodies.
const PIECES_AT_ONCE: usize = 16;
