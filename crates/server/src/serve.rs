//! The server from start to stop.
//!
//! 1. The address is taken first: a port in use is the most common fault and costs nothing to find.
//! 2. The store is opened; clients that connect meanwhile wait.
//! 3. One line of JSON on standard output says that the server is ready.
//! 4. At a stop the door is shut, requests under way finish, the store makes everything durable.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use storage::{OpenError, SledStore, StoreError};
use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use crate::app::App;
use crate::config::Config;
use crate::{clock, http, limits};

/// Why a server did not start or not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Somebody else listens there.
    #[error(
        "address {address} is already in use: stop the other server or choose another with --listen"
    )]
    InUse {
        /// The address.
        address: String,
    },
    /// The address cannot be listened at.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The store does not open.
    #[error("cannot open the store: {0}")]
    Open(#[from] OpenError),
    /// The store does not do what the server needs of it.
    #[error("the store: {0}")]
    Store(#[from] StoreError),
    /// A thread of the store's failed.
    #[error("opening or closing the store was cut short: {0}")]
    Cut(#[from] tokio::task::JoinError),
}

/// Serves until `shutdown` is done; returns once everything acknowledged is on disk.
///
/// # Errors
/// Says why the server could not start, or why the last flush failed.
pub async fn serve(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
    let address = config.server.listen.0.clone();
    let (listener, local) = listen(&address)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ServeError::InUse { address },
            _ => ServeError::Listen { address, source },
        })?;
    limits::raise_open_files();
    let storage = config.storage();
    let store =
        tokio::task::spawn_blocking(move || SledStore::open(storage, clock::now())).await??;
    let app = Arc::new(App::new(config, store.clone())?);
    let maintenance = tokio::spawn(maintain(store.clone()));
    info!(address = %local, data = %app.config.data.dir.display(), "serving");
    announce(local);
    http::serve(listener, app, shutdown).await;
    maintenance.abort();
    tokio::task::spawn_blocking(move || store.close()).await??;
    info!("stopped");
    Ok(())
}

async fn listen(address: &str) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let local = listener.local_addr()?;
    Ok((listener, local))
}

/// Reminds the store of the time, so that it seals and drops partitions.
async fn maintain(store: SledStore) {
    let mut ticks = tokio::time::interval(MAINTENANCE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        store.maintain(clock::now());
    }
}

/// The line that tells whoever started this process where it serves.
#[derive(Serialize)]
struct Announcement {
    ready: bool,
    http: SocketAddr,
    pid: u32,
    version: &'static str,
}

fn announce(http: SocketAddr) {
    let version = env!("CARGO_PKG_VERSION");
    let announcement = Announcement {
        ready: true,
        http,
        pid: std::process::id(),
        version,
    };
    let mut line = serde_json::to_string(&announcement).unwrap_or_default();
    line.push('\n');
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout
        .write_all(line.as_bytes())
        .and_then(|()| stdout.flush())
    {
        warn!(%error, "nobody reads standard output");
    }
}

const MAINTENANCE: Duration = Duration::from_secs(2);
