//! Where log lines go: standard error, for people or for programs.

use tracing_subscriber::EnvFilter;

use crate::config::Config;
use crate::config::values::LogFormat;

/// Starts logging for the rest of the process.
pub(crate) fn start(config: &Config) {
    let filter = EnvFilter::new(&config.log.level);
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second start keeps the first one's choice; only tests do that.
    let _started_before = match config.log.format {
        LogFormat::Text => lines.with_ansi(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}
