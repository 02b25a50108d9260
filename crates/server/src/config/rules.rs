//! What no type of a single value says: which values make sense, alone and together.

use std::time::Duration;

use tracing_subscriber::EnvFilter;

use crate::config::Config;
use crate::config::values::AuthMode;

/// A rule a configuration breaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broken {
    /// The key whose value is to change.
    pub(crate) key: &'static str,
    /// What is allowed.
    pub(crate) message: &'static str,
}

/// A key, whether its rule holds, and what is allowed.
type Rule = (&'static str, bool, &'static str);

/// Checks every rule and returns the first that is broken.
pub(crate) fn check(config: &Config) -> Result<(), Broken> {
    let rules = [
        texts(config),
        auth(config),
        limits(config),
        http(config),
        tls(config),
        query(config),
        storage(config),
        udp(config),
        otlp(config),
        record(config),
    ];
    for (key, holds, message) in rules.into_iter().flatten() {
        if !holds {
            return Err(Broken { key, message });
        }
    }
    Ok(())
}

fn texts(config: &Config) -> Vec<Rule> {
    let id = &config.account.id;
    let is_account_id = id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit());
    vec![
        ("account.id", is_account_id, "an account id has 12 digits"),
        (
            "log.level",
            EnvFilter::try_new(&config.log.level).is_ok(),
            LEVELS,
        ),
        (
            "account.region",
            !config.account.region.is_empty(),
            NOT_EMPTY,
        ),
        (
            "data.dir",
            !config.data.dir.as_os_str().is_empty(),
            NOT_EMPTY,
        ),
    ]
}

fn auth(config: &Config) -> Vec<Rule> {
    let auth = &config.auth;
    let is_open = auth.mode == AuthMode::None;
    vec![(
        "auth.keys",
        is_open || !auth.keys.as_os_str().is_empty(),
        "must name a file when auth.mode is \"sigv4\"; config/keys.toml is an example",
    )]
}

fn limits(config: &Config) -> Vec<Rule> {
    let limits = &config.limits;
    vec![
        (
            "limits.documents_per_call",
            (1..=10_000).contains(&limits.documents_per_call),
            A_FEW,
        ),
        (
            "limits.document_bytes",
            limits.document_bytes.0 > 0,
            POSITIVE,
        ),
        (
            "limits.trace_ids_per_call",
            (1..=10_000).contains(&limits.trace_ids_per_call),
            A_FEW,
        ),
        (
            "limits.segments_per_second",
            limits.segments_per_second <= 1_000_000_000,
            "must be at most 1000000000",
        ),
        (
            "limits.refused_kept",
            limits.refused_kept <= 100_000,
            "must be at most 100000",
        ),
    ]
}

fn http(config: &Config) -> Vec<Rule> {
    let http = &config.http;
    let has_room = http.bodies_in_flight.0 >= http.body_bytes.0.saturating_mul(2) + READ_AHEAD;
    let is_some = |n_connections: usize| (1..=1_000_000).contains(&n_connections);
    vec![
        (
            "http.body_bytes",
            (1..1 << 32).contains(&http.body_bytes.0),
            "must be more than zero and less than 4GiB",
        ),
        (
            "http.bodies_in_flight",
            has_room,
            "must be 64KiB more than twice http.body_bytes: a large body is held both compressed and not",
        ),
        ("http.connections", is_some(http.connections), CONNECTIONS),
        (
            "http.connections_per_peer",
            is_some(http.connections_per_peer),
            CONNECTIONS,
        ),
        (
            "http.header_timeout",
            !http.header_timeout.0.is_zero(),
            POSITIVE,
        ),
        (
            "http.body_timeout",
            !http.body_timeout.0.is_zero(),
            POSITIVE,
        ),
        (
            "http.idle_timeout",
            !http.idle_timeout.0.is_zero(),
            POSITIVE,
        ),
    ]
}

fn tls(config: &Config) -> Vec<Rule> {
    let has_cert = !config.tls.cert.as_os_str().is_empty();
    let has_key = !config.tls.key.as_os_str().is_empty();
    vec![
        (
            "tls.key",
            has_key || !has_cert,
            "must name the private key of the certificate tls.cert names",
        ),
        (
            "tls.cert",
            has_cert || !has_key,
            "must name the certificate of the private key tls.key names",
        ),
    ]
}

fn query(config: &Config) -> Vec<Rule> {
    let query = &config.query;
    vec![
        ("query.page_bytes", query.page_bytes.0 > 0, POSITIVE),
        (
            "query.summaries_per_page",
            (1..=10_000).contains(&query.summaries_per_page),
            A_FEW,
        ),
        (
            "query.traces_scanned_per_page",
            query.traces_scanned_per_page > 0,
            POSITIVE,
        ),
    ]
}

fn storage(config: &Config) -> Vec<Rule> {
    let storage = &config.storage;
    let document_bytes = config.limits.document_bytes.0;
    let has_room = (document_bytes..1 << 32).contains(&storage.bytes_in_flight.0);
    let is_large = storage.partition_bytes.0 >= 1 << 20;
    vec![
        ("storage.interval", !storage.interval.0.is_zero(), POSITIVE),
        (
            "storage.retention",
            !storage.retention.0.is_zero(),
            POSITIVE,
        ),
        (
            "storage.partition_age",
            !storage.partition_age.0.is_zero(),
            POSITIVE,
        ),
        (
            "storage.partition_bytes",
            is_large,
            "must be at least 1MiB: a partition is a folder of its own",
        ),
        (
            "storage.bytes_in_flight",
            has_room,
            "must be at least limits.document_bytes and less than 4GiB",
        ),
    ]
}

fn udp(config: &Config) -> Vec<Rule> {
    let udp = &config.udp;
    vec![
        (
            "udp.receive_buffer",
            (1..1 << 30).contains(&udp.receive_buffer.0),
            "must be more than zero and less than 1GiB",
        ),
        (
            "udp.queue_bytes",
            (128 << 10..1 << 32).contains(&udp.queue_bytes.0),
            "must be at least 128KiB, which is two of the largest datagrams, and less than 4GiB",
        ),
        (
            "udp.batch_wait",
            udp.batch_wait.0 <= Duration::from_secs(1),
            "must be at most 1s: only so long may a datagram wait for others",
        ),
    ]
}

fn otlp(config: &Config) -> Vec<Rule> {
    vec![(
        "otlp.documents_bytes",
        config.otlp.documents_bytes.0 >= 1 << 20,
        "must be at least 1MiB, or a large span would never be taken",
    )]
}

fn record(config: &Config) -> Vec<Rule> {
    let record = &config.record;
    vec![
        (
            "record.max_bytes",
            record.max_bytes.0 >= 1 << 20,
            "must be at least 1MiB: a quarter of it is what one file, and so one call, may have",
        ),
        ("record.block_age", !record.block_age.0.is_zero(), POSITIVE),
        (
            "record.queue_bytes",
            (1 << 20..1 << 32).contains(&record.queue_bytes.0),
            "must be at least 1MiB and less than 4GiB",
        ),
    ]
}

/// What is read of a body before there is a place for it, and some.
const READ_AHEAD: u64 = 64 << 10;
const LEVELS: &str = "expected a level such as \"info\" or a filter such as \"info,storage=debug\"";
const POSITIVE: &str = "must be more than zero";
const CONNECTIONS: &str = "must be from 1 to 1000000";
const NOT_EMPTY: &str = "must not be empty";
const A_FEW: &str = "must be from 1 to 10000";
