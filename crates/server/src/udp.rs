//! The door of datagrams: what X-Ray SDKs send to the daemon they believe is there.
//!
//! 1. One task does nothing but take datagrams off the socket, so that the kernel's buffer stays empty, and puts them
//!    into a queue that is bounded in bytes.
//! 2. Another collects them and takes them in as batches. When the store or the account's rate does not let one in it
//!    tries again, and the queue absorbs what comes meanwhile.
//! 3. At a stop the socket is emptied and shut, and what is queued is taken in, for as long as requests may finish.
//!
//! Whatever is not taken in is counted by its reason. Nobody waits for an answer, so nothing else could tell.

mod batches;
pub(crate) mod figures;
mod queue;
mod socket;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{error, info, warn};

use crate::accounts::Accounts;
use crate::app::App;
use crate::config::Config;
use crate::config::values::{AuthMode, Door};
use crate::house::House;

pub(crate) use socket::Bound;

/// Why the door cannot be opened though it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UdpError {
    /// Somebody else takes datagrams there.
    #[error(
        "address {address} is already in use for datagrams: stop the other server or choose another with --udp"
    )]
    InUse {
        /// The address.
        address: String,
    },
    /// The address cannot be taken.
    #[error(
        "cannot take datagrams at {address}: {source}; choose another address with --udp, or --udp off"
    )]
    Bind {
        /// The address.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody could say whose the datagrams are.
    #[error(
        "server.udp is set, but datagrams cannot be signed: with auth.mode \"sigv4\" say with auth.datagrams whose they \
         are, or shut that door with --udp off"
    )]
    NoOwner,
}

/// Opens the door if it is to be open. One that is only open by default stays shut if it cannot be opened.
///
/// # Errors
/// Says why a door that was asked for cannot be opened.
pub(crate) async fn bind(config: &Config) -> Result<Option<Bound>, UdpError> {
    let Door::At(address) = &config.server.udp else {
        return Ok(None);
    };
    let is_asked = config.is_set("server.udp");
    if config.auth.mode == AuthMode::SigV4 && config.auth.datagrams.0.is_none() {
        if is_asked {
            return Err(UdpError::NoOwner);
        }
        info!("datagrams are not taken: with auth.mode \"sigv4\" set auth.datagrams to take them");
        return Ok(None);
    }
    match Bound::open(&address.0, config.udp.receive_buffer.0).await {
        Ok(bound) => {
            if !bound.local().ip().is_loopback() {
                let address = bound.local();
                warn!(%address, "whoever reaches this address may send traces: datagrams are not signed");
            }
            Ok(Some(bound))
        }
        Err(error) if !is_asked => {
            warn!(%address, %error, "datagrams are not taken: the address cannot be used");
            Ok(None)
        }
        Err(source) if source.kind() == io::ErrorKind::AddrInUse => Err(UdpError::InUse {
            address: address.0.clone(),
        }),
        Err(source) => Err(UdpError::Bind {
            address: address.0.clone(),
            source,
        }),
    }
}

/// Returns the account datagrams belong to now; nothing if they are nobody's since everybody has to sign.
fn owner(accounts: &Accounts) -> Option<Arc<App>> {
    let config = accounts.house.config();
    match config.auth.mode {
        AuthMode::None => Some(Arc::clone(&accounts.default)),
        AuthMode::SigV4 => accounts.get(config.auth.datagrams.0.as_ref()?),
    }
}

/// Takes datagrams until `stop` says so; returns when everything queued is durable or given up.
pub(crate) async fn serve(bound: Bound, accounts: Arc<Accounts>, mut stop: watch::Receiver<bool>) {
    let house = &accounts.house;
    let figures = &house.metrics.datagrams;
    bound.introduce(figures);
    let config = house.config();
    let (queue, queued) = queue::queue(config.udp.queue_bytes.0, figures.clone());
    let (give_up, deadline) = watch::channel(None);
    let batching = tokio::spawn(batches::take_in(Arc::clone(&accounts), queued, deadline));
    let reporting = tokio::spawn(report(Arc::clone(house)));
    let stopped = async {
        // A sender that is gone is a stop, too.
        let _stopped = stop.wait_for(|is_stopped| *is_stopped).await;
    };
    bound.receive(queue, stopped).await;
    give_up.send_replace(Some(Instant::now() + config.http.drain_timeout.0));
    if let Err(error) = batching.await {
        error!(%error, "taking in datagrams ended early");
    }
    reporting.abort();
    info!(
        n_received = figures.n_received(),
        n_dropped = figures.n_dropped(),
        "datagrams are taken no more"
    );
}

/// Logs how many datagrams were dropped, as long as there are any.
async fn report(house: Arc<House>) {
    let figures = &house.metrics.datagrams;
    let mut ticks = tokio::time::interval(REPORT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = 0;
    loop {
        ticks.tick().await;
        figures.refresh();
        let n_dropped_ever = figures.n_dropped();
        let n_dropped = n_dropped_ever - told;
        if n_dropped > 0 {
            warn!(
                n_dropped,
                n_dropped_ever, "datagrams were dropped; /metrics says why"
            );
        }
        told = n_dropped_ever;
    }
}

const REPORT: Duration = Duration::from_secs(5);

#[cfg(test)]
#[path = "udp/tests.rs"]
mod tests;
