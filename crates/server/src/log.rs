//! Where log lines go: standard error, for people or for programs.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

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

/// What strangers can cause as often as they like and is logged once in a while all the same.
#[derive(Debug, Default)]
pub(crate) struct Sparingly(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    logged: Option<Instant>,
    n_kept_back: u64,
}

impl Sparingly {
    /// Returns how many times it happened since it was logged, if it is time to log it again.
    pub(crate) fn n_since(&self, now: Instant) -> Option<u64> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.n_kept_back += 1;
        let is_due = kept
            .logged
            .is_none_or(|logged| now.saturating_duration_since(logged) >= PAUSE);
        is_due.then(|| {
            kept.logged = Some(now);
            std::mem::take(&mut kept.n_kept_back)
        })
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

/// Between two lines of the same kind.
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_cause_is_logged_once_a_second() {
        let (sparingly, start) = (Sparingly::default(), Instant::now());
        let at = |millis| sparingly.n_since(start + Duration::from_millis(millis));
        assert_eq!(at(0), Some(1));
        assert_eq!((at(1), at(999)), (None, None));
        assert_eq!(at(1000), Some(3));
        assert_eq!(at(1500), None);
    }
}
