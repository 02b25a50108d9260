//! When to stop: SIGTERM or SIGINT asks for it, a second one insists.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

/// The signals that stop the server, caught from the moment this exists.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Starts to catch the signals.
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Returns at the first signal; from then on the next one ends the process at once.
    pub(crate) async fn stop(mut self) {
        self.next().await;
        info!("stopping; a second signal stops at once");
        // Nobody waits for this task: it ends with the process or ends the process.
        tokio::spawn(async move {
            self.next().await;
            warn!("stopped by a second signal");
            std::process::exit(EXIT_INSISTED);
        });
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What shells report of a process ended by SIGINT.
const EXIT_INSISTED: i32 = 130;
