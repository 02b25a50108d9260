//! Configuration: what can be set, where a value is from, and whether it makes sense.
//!
//! A value is taken from the first of flag, environment, file and the compiled-in default file.
//! Everything is merged as plain settings under dotted keys first ([`settings`]) and read into typed
//! values once ([`Config`]), so that every error can name the key and the origin of the value.

mod rules;
pub(crate) mod settings;
pub(crate) mod values;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use serde::Deserialize;

use settings::{Flag, Settings};
use values::{
    Address, AuthMode, ByteCount, Door, Durability, LogFormat, Orphans, Owner, Span, Unsampled,
    Words,
};

/// Every setting, typed and checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub(crate) server: Server,
    pub(crate) tls: Tls,
    pub(crate) auth: Auth,
    pub(crate) data: Data,
    pub(crate) log: Log,
    pub(crate) account: Account,
    pub(crate) storage: Storage,
    pub(crate) limits: Limits,
    pub(crate) udp: Udp,
    pub(crate) otlp: Otlp,
    pub(crate) http: Http,
    pub(crate) query: Query,
    pub(crate) record: Record,
    /// The keys that were set anywhere but in the defaults.
    #[serde(skip)]
    set: BTreeSet<String>,
}

/// Which doors are open, and where.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) listen: Address,
    pub(crate) udp: Door,
    pub(crate) otlp_grpc: Door,
    pub(crate) otlp_http: Door,
    pub(crate) hosts: Words,
    pub(crate) origins: Words,
}

/// The certificate doors show; both files are empty paths for none.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// Who may come in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Auth {
    pub(crate) mode: AuthMode,
    pub(crate) keys: PathBuf,
    pub(crate) clock_skew: Span,
    pub(crate) unsigned_sampling: Owner,
    pub(crate) datagrams: Owner,
}

/// Where data is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Data {
    pub(crate) dir: PathBuf,
}

/// What is logged and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    pub(crate) level: String,
}

/// Whose data this is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) region: String,
}

/// What the store is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Storage {
    pub(crate) durability: Durability,
    pub(crate) interval: Span,
    pub(crate) retention: Span,
    pub(crate) max_disk: ByteCount,
    pub(crate) min_free_disk: ByteCount,
    pub(crate) partition_bytes: ByteCount,
    pub(crate) partition_age: Span,
    pub(crate) cache: ByteCount,
    pub(crate) bytes_in_flight: ByteCount,
    pub(crate) queue_wait: Span,
}

/// What a call may carry.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) documents_per_call: usize,
    pub(crate) document_bytes: ByteCount,
    pub(crate) trace_bytes: ByteCount,
    pub(crate) trace_ids_per_call: usize,
    pub(crate) segments_per_second: u32,
    pub(crate) refused_kept: usize,
}

/// What datagrams may cost.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Udp {
    pub(crate) receive_buffer: ByteCount,
    pub(crate) queue_bytes: ByteCount,
    pub(crate) batch_wait: Span,
}

/// What spans may be, and how they become segments.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Otlp {
    pub(crate) request_bytes: ByteCount,
    pub(crate) spans_per_request: usize,
    pub(crate) span_bytes: ByteCount,
    pub(crate) resource_bytes: ByteCount,
    pub(crate) documents_bytes: ByteCount,
    pub(crate) future: Span,
    pub(crate) age: Span,
    pub(crate) spread: Span,
    pub(crate) indexed_attributes: Words,
    pub(crate) index_all_attributes: bool,
    pub(crate) log_groups: Words,
    pub(crate) consumer_segments: bool,
    pub(crate) unsampled: Unsampled,
}

/// What a connection may do.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) body_bytes: ByteCount,
    pub(crate) bodies_in_flight: ByteCount,
    pub(crate) connections: usize,
    pub(crate) connections_per_peer: usize,
    pub(crate) header_timeout: Span,
    pub(crate) body_timeout: Span,
    pub(crate) idle_timeout: Span,
    pub(crate) drain_timeout: Span,
}

/// What a read call gives.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    pub(crate) page_bytes: ByteCount,
    pub(crate) orphans: Orphans,
    pub(crate) summaries_per_page: usize,
    pub(crate) traces_scanned_per_page: u64,
    pub(crate) slow_trace: Span,
}

/// Whether and where traffic is recorded.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) dir: PathBuf,
    pub(crate) max_bytes: ByteCount,
    pub(crate) block_age: Span,
    pub(crate) queue_bytes: ByteCount,
}

/// What was set outside of the compiled-in defaults.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// Flags of the command line.
    pub(crate) flags: Vec<Flag>,
    /// The file named by `--config`.
    pub(crate) file: Option<PathBuf>,
    /// All variables of the environment; those not of this program are skipped.
    pub(crate) environment: Vec<(OsString, OsString)>,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A file could not be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not TOML.
    #[error("{origin} is not valid TOML: {message}")]
    Syntax {
        /// Where the text is from.
        origin: String,
        /// Where and why.
        message: String,
    },
    /// A key nobody knows.
    #[error("{origin}: there is no setting {key}{hint}; `roentgen config show` lists them all")]
    Unknown {
        /// Where the key was set.
        origin: String,
        /// The key as written.
        key: String,
        /// The key that was probably meant.
        hint: String,
    },
    /// A value that does not fit its key.
    #[error("{key} = {value} ({origin}): {message}")]
    Value {
        /// The key.
        key: String,
        /// The value as written.
        value: String,
        /// Where it was set.
        origin: String,
        /// What is allowed.
        message: String,
    },
}

impl Account {
    /// Returns the account requests belong to that need no key.
    pub(crate) fn account(&self) -> model::Account {
        model::Account {
            id: self.id.clone(),
            region: self.region.clone(),
        }
    }
}

impl Config {
    /// Returns the configuration of some sources and the settings it was made of.
    pub(crate) fn load(sources: &Sources) -> Result<(Self, Settings), ConfigError> {
        let mut settings = Settings::defaults()?;
        let file = sources
            .file
            .clone()
            .or_else(|| settings::config_file(&sources.environment));
        if let Some(path) = file {
            let text = std::fs::read_to_string(&path).map_err(|source| ConfigError::File {
                path: path.clone(),
                source,
            })?;
            settings.merge_file(&path, &text)?;
        }
        settings.merge_environment(&sources.environment)?;
        settings.merge_flags(&sources.flags)?;
        let mut config: Self = serde_path_to_error::deserialize(settings.to_table())
            .map_err(|error| settings.error(&error.path().to_string(), error.inner().message()))?;
        config.set = settings.keys_set();
        rules::check(&config).map_err(|broken| settings.error(broken.key, broken.message))?;
        Ok((config, settings))
    }

    /// Tells whether a key was set anywhere but in the defaults: somebody asked for it.
    pub(crate) fn is_set(&self, key: &str) -> bool {
        self.set.contains(key)
    }

    /// Returns what the store is told.
    pub(crate) fn storage(&self) -> storage::Config {
        let durability = match self.storage.durability {
            Durability::Sync => storage::Durability::Sync,
            Durability::Interval => storage::Durability::Interval(self.storage.interval.0),
        };
        let unbounded_if_zero = |bytes| if bytes == 0 { u64::MAX } else { bytes };
        storage::Config {
            data: self.data.dir.clone(),
            durability,
            retention: self.storage.retention.0,
            disk_bytes_max: unbounded_if_zero(self.storage.max_disk.0),
            free_bytes_min: self.storage.min_free_disk.0,
            partition_bytes: self.storage.partition_bytes.0,
            partition_age: self.storage.partition_age.0,
            cache_bytes: self.storage.cache.0,
            bytes_in_flight: u32::try_from(self.storage.bytes_in_flight.0).unwrap_or(u32::MAX),
            queue_wait: self.storage.queue_wait.0,
            trace_bytes_max: self.limits.trace_bytes.0,
        }
    }
}

#[cfg(test)]
#[path = "config/tests.rs"]
mod tests;
