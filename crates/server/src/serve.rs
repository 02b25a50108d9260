//! The server from start to stop.
//!
//! 1. Certificates are read and addresses taken first: what is wrong there is the most common fault and costs nothing to
//!    find.
//! 2. The store is opened; clients that connect meanwhile wait.
//! 3. One line of JSON on standard output says that the server is ready.
//! 4. At a stop the doors are shut, requests under way finish, queued datagrams are taken in, the store makes everything
//!    durable.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use tokio::signal::unix::Signal;

use crate::accounts::Accounts;
use crate::app::AppError;
use crate::auth;
use crate::auth::keys::{Keyring, KeysError};
use crate::config::Config;
use crate::house::{House, HouseError};
use crate::http::doors::{DoorError, Doors};
use crate::http::tls::{Certificates, TlsError};
use crate::origin::Doorway;
use crate::reload::Reload;
use crate::udp::{self, UdpError};
use crate::{clock, handlers, http, limits};

/// Why a server did not start or not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// A door does not open.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// There is no certificate to show.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Datagrams cannot be taken, though that was asked for.
    #[error(transparent)]
    Udp(#[from] UdpError),
    /// The stores do not open, or do not close well.
    #[error(transparent)]
    App(#[from] AppError),
    /// The access keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A thread of the store's failed.
    #[error("opening or closing the store was cut short: {0}")]
    Cut(#[from] tokio::task::JoinError),
}

/// Serves until `shutdown` is done; returns once everything acknowledged is on disk.
///
/// # Errors
/// Says why the server could not start, or why the last flush failed.
pub(crate) async fn serve(
    config: Config,
    reload: Reload,
    hangups: Signal,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let certificates = Certificates::load(&config.tls)?.map(Arc::new);
    let doors = Doors::open(&config).await?;
    let datagrams = udp::bind(&config).await?;
    limits::raise_open_files();
    let keys = auth::keys_of(&config, &reload.sources.environment)?;
    let opening = tokio::task::spawn_blocking(move || open(config, keys));
    let accounts = Arc::new(opening.await??);
    let maintenance = tokio::spawn(maintain(Arc::clone(&accounts)));
    let reloading = tokio::spawn(reload.run(
        hangups,
        Arc::clone(&accounts),
        certificates.clone(),
        datagrams.is_some(),
    ));
    let watching = tokio::spawn(watch(Arc::clone(&accounts)));
    let data = accounts.house.config().data.dir.display().to_string();
    info!(address = ?doors.address(Doorway::Api), is_tls = certificates.is_some(), data, "serving");
    let udp = datagrams.as_ref().map(udp::Bound::local);
    announce(&doors, certificates.is_some(), udp);
    let (stop, stopped) = watch::channel(false);
    let datagrams = datagrams.map(|bound| {
        let served = udp::serve(bound, Arc::clone(&accounts), stopped);
        tokio::spawn(served)
    });
    let shutdown = async {
        shutdown.await;
        stop.send_replace(true);
        accounts.house.stopping.send_replace(true);
    };
    http::serve(doors, certificates, Arc::clone(&accounts), shutdown).await;
    if let Some(datagrams) = datagrams {
        datagrams.await?;
    }
    maintenance.abort();
    watching.abort();
    reloading.abort();
    tokio::task::spawn_blocking(move || accounts.close(clock::now())).await??;
    info!("stopped");
    Ok(())
}

/// Opens the stores and the accounts. Blocks.
fn open(config: Config, keys: Keyring) -> Result<Accounts, AppError> {
    let now = clock::now();
    let configured = auth::accounts_of(&config, &keys);
    let house = Arc::new(House::open(config, keys, now)?);
    let accounts = Accounts::open(house, &configured, now)?;
    let derived = accounts.house.store.derive_again(now);
    derived.map_err(HouseError::Open)?;
    Ok(accounts)
}

/// Does what time asks for: sealing and dropping partitions, writing statistics.
async fn maintain(accounts: Arc<Accounts>) {
    let mut ticks = tokio::time::interval(MAINTENANCE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = clock::now();
        accounts.house.store.maintain(now);
        for app in accounts.all() {
            let flushed = tokio::task::spawn_blocking(move || app.sampling.flush(now)).await;
            if let Ok(Err(error)) = flushed {
                warn!(%error, "cannot write sampling statistics");
            }
        }
    }
}

/// Looks for insights; beside maintenance, which must not wait for it.
async fn watch(accounts: Arc<Accounts>) {
    let mut ticks = tokio::time::interval(WATCH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for app in accounts.all() {
            handlers::insights::advance(&app).await;
        }
    }
}

/// The line that tells whoever started this process where it serves; doors that are shut are left out.
#[derive(Serialize)]
struct Announcement {
    ready: bool,
    http: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    otlp_http: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    otlp_grpc: Option<SocketAddr>,
    /// Whether these doors speak TLS.
    tls: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    udp: Option<SocketAddr>,
    pid: u32,
    version: &'static str,
}

fn announce(doors: &Doors, is_tls: bool, udp: Option<SocketAddr>) {
    let announcement = Announcement {
        ready: true,
        http: doors.address(Doorway::Api),
        otlp_http: doors.address(Doorway::OtlpHttp),
        otlp_grpc: doors.address(Doorway::OtlpGrpc),
        tls: is_tls,
        udp,
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION"),
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
const WATCH: Duration = Duration::from_secs(30);
