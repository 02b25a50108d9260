//! SIGHUP: settings, access keys and the certificate are read again, all of them or, if something is wrong, none.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::Signal;
use tracing::{error, info, warn};

use crate::accounts::Accounts;
use crate::app::AppError;
use crate::auth::{self, keys::KeysError};
use crate::clock;
use crate::config::settings::Settings;
use crate::config::values::AuthMode;
use crate::config::{Config, ConfigError, Sources};
use crate::http::tls::{Certificates, TlsError};
use crate::log::LogLevel;

/// What it takes to read everything again.
pub(crate) struct Reload {
    /// Where settings are from; flags and environment stay what they were.
    pub(crate) sources: Sources,
    /// The settings read last.
    pub(crate) settings: Mutex<Settings>,
    pub(crate) log: LogLevel,
}

/// Why everything stays as it is.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Account(#[from] AppError),
}

impl Reload {
    /// Reads everything again whenever the process is told to.
    pub(crate) async fn run(
        self,
        mut hangups: Signal,
        accounts: Arc<Accounts>,
        certificates: Option<Arc<Certificates>>,
        takes_datagrams: bool,
    ) {
        let this = Arc::new(self);
        while hangups.recv().await.is_some() {
            let (this, accounts) = (Arc::clone(&this), Arc::clone(&accounts));
            let certificates = certificates.clone();
            let once = move || this.once(&accounts, certificates.as_deref(), takes_datagrams);
            let read = tokio::task::spawn_blocking(once).await;
            match read {
                Ok(Ok(())) => {}
                Ok(Err(error)) => error!(%error, "reading again changed nothing"),
                Err(error) => error!(%error, "reading again was cut short"),
            }
        }
    }

    /// Reads everything again. Blocks.
    fn once(
        &self,
        accounts: &Accounts,
        certificates: Option<&Certificates>,
        takes_datagrams: bool,
    ) -> Result<(), ReloadError> {
        let (config, settings) = Config::load(&self.sources)?;
        let keys = auth::keys_of(&config, &self.sources.environment)?;
        let renewed = certificates.map(|certificates| certificates.renewed(&config.tls));
        let renewed = renewed.transpose()?;
        for account in auth::accounts_of(&config, &keys) {
            accounts.add(account, clock::now())?;
        }
        if let Some(renewed) = renewed {
            renewed.show();
        }
        self.log.set(&config);
        let n_keys = keys.len();
        accounts.house.reconfigure(config, keys);
        for app in accounts.all() {
            app.classify();
        }
        let mut before = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = settings.changed(&before);
        let (late, changed): (Vec<&str>, Vec<&str>) = changed.into_iter().partition(|key| {
            let is_late_tls = certificates.is_none() && key.starts_with("tls.");
            let is_late_udp = !takes_datagrams && **key == *"auth.datagrams";
            is_late_tls || is_late_udp || is_read_at_start(key)
        });
        if !late.is_empty() {
            warn!(
                keys = late.join(", "),
                "these settings change at the next start"
            );
        }
        let is_open = accounts.house.config().auth.mode == AuthMode::None;
        if is_open && changed.contains(&"auth.mode") {
            warn!(
                "nobody has to sign any more: whoever reaches the server may read and change everything"
            );
        }
        info!(
            keys = changed.join(", "),
            n_keys, "settings and access keys were read again"
        );
        *before = settings;
        Ok(())
    }
}

/// Tells whether a setting is looked at only when the server starts.
fn is_read_at_start(key: &str) -> bool {
    let (section, name) = key.split_once('.').unwrap_or((key, ""));
    match section {
        "data" | "account" | "storage" | "record" => true,
        "server" => name != "hosts" && name != "origins",
        "log" => name == "format",
        "udp" => name == "receive_buffer" || name == "queue_bytes",
        "http" => name == "bodies_in_flight",
        _ => false,
    }
}
