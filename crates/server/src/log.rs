//! Where log lines go: standard error, for people or for programs.

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::Config;
use crate::config::values::LogFormat;

/// What is logged; it can be changed while the process runs.
#[derive(Clone, Debug)]
pub(crate) struct LogLevel(reload::Handle<EnvFilter, Registry>);

impl LogLevel {
    /// Logs what the settings say from now on.
    pub(crate) fn set(&self, config: &Config) {
        // It fails only when nothing is logged any more.
        drop(self.0.reload(EnvFilter::new(&config.log.level)));
    }
}

/// Starts logging for the rest of the process.
pub(crate) fn start(config: &Config) -> LogLevel {
    let (filter, handle) = reload::Layer::new(EnvFilter::new(&config.log.level));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match config.log.format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // A second start keeps the first one's choice; only tests do that.
    let _started_before = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
    LogLevel(handle)
}
