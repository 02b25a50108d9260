//! Figures for operators, in the Prometheus text format.
//!
//! Labels have a bounded number of values: operations, doors, error codes and codes of refused documents,
//! never ids or paths a client made up.

use std::fmt;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use storage::Stats;

use crate::origin::Doorway;
use crate::record;
use crate::udp::figures::Figures;

/// Every figure this process keeps.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    latency: Family<OperationLabel, Histogram>,
    requests_in_flight: Gauge,
    documents_accepted: Family<DoorLabel, Counter>,
    documents_refused: Family<DoorCodeLabels, Counter>,
    refused: Family<DoorReasonLabels, Counter>,
    refused_kept: Gauge,
    connections_open: Gauge,
    connections_refused: Family<ReasonLabel, Counter>,
    connections_evicted: Family<ReasonLabel, Counter>,
    tls_handshakes_failed: Counter,
    tails_open: Gauge,
    telemetry: Family<OutcomeLabel, Counter>,
    resident_memory: Gauge,
    store: StoreGauges,
    pub(crate) datagrams: Figures,
    pub(crate) record: record::figures::Figures,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    operation: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabel {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DoorLabel {
    door: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DoorCodeLabels {
    door: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DoorReasonLabels {
    door: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// One figure of the store: its name, what it says, how it is taken from the store's figures.
type StoreFigure = (&'static str, &'static str, TakeFigure);

/// How one figure is taken from the store's.
type TakeFigure = fn(&Stats) -> u64;

/// The store's figures, copied when somebody asks.
struct StoreGauges {
    gauges: Vec<(Gauge<i64, AtomicI64>, TakeFigure)>,
}

impl Metrics {
    /// Returns all figures at zero.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("roentgen");
        let store = StoreGauges::register(registry.sub_registry_with_prefix("store"));
        let datagrams = Figures::default();
        datagrams.register(registry.sub_registry_with_prefix("datagrams"));
        let record = record::figures::Figures::default();
        record.register(registry.sub_registry_with_prefix("record"));
        let latency = || Histogram::new(exponential_buckets(0.000_25, 2.0, 18));
        let mut metrics = Self {
            registry,
            requests: Family::default(),
            latency: Family::<OperationLabel, Histogram>::new_with_constructor(latency),
            requests_in_flight: Gauge::default(),
            documents_accepted: Family::default(),
            documents_refused: Family::default(),
            refused: Family::default(),
            refused_kept: Gauge::default(),
            connections_open: Gauge::default(),
            connections_refused: Family::default(),
            connections_evicted: Family::default(),
            tls_handshakes_failed: Counter::default(),
            tails_open: Gauge::default(),
            telemetry: Family::default(),
            resident_memory: Gauge::default(),
            store,
            datagrams,
            record,
        };
        metrics.register();
        metrics.register_connections();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests", "Requests answered", self.requests.clone());
        let help = "Time from the head of a request to the end of its answer";
        registry.register("request_duration_seconds", help, self.latency.clone());
        let in_flight = self.requests_in_flight.clone();
        registry.register("requests_in_flight", "Requests under way", in_flight);
        let accepted = self.documents_accepted.clone();
        registry.register("documents_accepted", "Segment documents accepted", accepted);
        let refused = self.documents_refused.clone();
        registry.register("documents_refused", "Segment documents refused", refused);
        let help = "Documents, datagrams and whole calls refused, as /api/v1/refused tells of them";
        registry.register("refused", help, self.refused.clone());
        let kept = self.refused_kept.clone();
        registry.register("refused_kept", "Entries /api/v1/refused has", kept);
        let resident = self.resident_memory.clone();
        registry.register("resident_memory_bytes", "Memory the process has", resident);
        let telemetry = self.telemetry.clone();
        registry.register(
            "telemetry_segments",
            "Segments as daemons report them",
            telemetry,
        );
    }

    fn register_connections(&mut self) {
        let registry = &mut self.registry;
        let open = self.connections_open.clone();
        registry.register("connections_open", "Connections open", open);
        let help = "Connections turned away because the server works for as many as may be open";
        let refused = self.connections_refused.clone();
        registry.register("connections_refused", help, refused);
        let help = "Connections closed to make room, by what they were waiting for";
        let evicted = self.connections_evicted.clone();
        registry.register("connections_evicted", help, evicted);
        let help = "Handshakes of TLS that did not come to their end";
        let failed = self.tls_handshakes_failed.clone();
        registry.register("tls_handshakes_failed", help, failed);
        let help = "Clients that follow what arrives, at /api/v1/tail";
        registry.register("tails_open", help, self.tails_open.clone());
    }

    /// Counts a request that begins.
    pub(crate) fn request_started(&self) {
        self.requests_in_flight.inc();
    }

    /// Counts a request that ended with a code.
    pub(crate) fn request_ended(
        &self,
        operation: &'static str,
        code: &'static str,
        took: Duration,
    ) {
        self.requests_in_flight.dec();
        self.requests
            .get_or_create(&RequestLabels { operation, code })
            .inc();
        self.latency
            .get_or_create(&OperationLabel { operation })
            .observe(took.as_secs_f64());
    }

    /// Counts documents that were accepted.
    pub(crate) fn documents_accepted(&self, doorway: Doorway, n_documents: usize) {
        let door = doorway.name();
        self.documents_accepted
            .get_or_create(&DoorLabel { door })
            .inc_by(u64::try_from(n_documents).unwrap_or(u64::MAX));
    }

    /// Counts documents that were refused, one by one or with their call.
    pub(crate) fn documents_refused(
        &self,
        doorway: Doorway,
        code: &'static str,
        n_documents: usize,
    ) {
        let door = doorway.name();
        self.documents_refused
            .get_or_create(&DoorCodeLabels { door, code })
            .inc_by(u64::try_from(n_documents).unwrap_or(u64::MAX));
    }

    /// Counts something that was refused.
    pub(crate) fn refused(&self, doorway: Doorway, reason: &'static str) {
        let door = doorway.name();
        self.refused
            .get_or_create(&DoorReasonLabels { door, reason })
            .inc();
    }

    /// Counts a connection that opened.
    pub(crate) fn connection_opened(&self) {
        self.connections_open.inc();
    }

    /// Counts a connection that closed.
    pub(crate) fn connection_closed(&self) {
        self.connections_open.dec();
    }

    /// Counts a connection that was turned away because too many are open.
    pub(crate) fn connection_refused(&self, reason: &'static str) {
        self.connections_refused
            .get_or_create(&ReasonLabel { reason })
            .inc();
    }

    /// Counts a connection that was closed to make room for another.
    pub(crate) fn connection_evicted(&self, reason: &'static str) {
        self.connections_evicted
            .get_or_create(&ReasonLabel { reason })
            .inc();
    }

    /// Counts a handshake of TLS that failed.
    pub(crate) fn tls_handshake_failed(&self) {
        self.tls_handshakes_failed.inc();
    }

    /// Counts a client that follows what arrives, until what is returned is dropped.
    pub(crate) fn tail_opened(&self) -> OpenTail {
        self.tails_open.inc();
        OpenTail(self.tails_open.clone())
    }

    /// Counts what a daemon reports.
    pub(crate) fn telemetry(&self, outcome: &'static str, n_segments: Option<i64>) {
        let n_segments = n_segments
            .and_then(|n_segments| u64::try_from(n_segments).ok())
            .unwrap_or(0);
        self.telemetry
            .get_or_create(&OutcomeLabel { outcome })
            .inc_by(n_segments);
    }

    /// Notes by how many there are more entries in the logs of what was refused.
    pub(crate) fn refused_kept(&self, n_more: i64) {
        self.refused_kept.inc_by(n_more);
    }

    /// Returns all figures as text.
    pub(crate) fn render(&self, stats: &Stats) -> Result<String, fmt::Error> {
        self.store.set(stats);
        self.datagrams.refresh();
        self.resident_memory.set(resident_bytes().unwrap_or(0));
        let mut rendered = String::new();
        text::encode(&mut rendered, &self.registry)?;
        Ok(rendered)
    }
}

/// A client that follows what arrives.
pub(crate) struct OpenTail(Gauge);

impl Drop for OpenTail {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl StoreGauges {
    fn register(registry: &mut Registry) -> Self {
        let mut gauges = Vec::new();
        for (name, help, figure) in STORE_FIGURES {
            let gauge = Gauge::<i64, AtomicI64>::default();
            registry.register(name, help, gauge.clone());
            gauges.push((gauge, figure));
        }
        Self { gauges }
    }

    fn set(&self, stats: &Stats) {
        for (gauge, figure) in &self.gauges {
            gauge.set(i64::try_from(figure(stats)).unwrap_or(i64::MAX));
        }
    }
}

/// Returns the memory the process has in use, where the system tells.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

const STORE_FIGURES: [StoreFigure; 14] = [
    ("writable", "Whether the store takes writes", |stats| {
        stats.is_writable.into()
    }),
    ("partitions", "Partitions", |stats| stats.n_partitions),
    ("documents", "Documents kept", |stats| stats.n_documents),
    ("document_bytes", "Bytes of the documents kept", |stats| {
        stats.document_bytes
    }),
    ("disk_bytes", "Bytes on disk", |stats| stats.disk_bytes),
    ("indexed_traces", "Traces in the index in memory", |stats| {
        stats.n_indexed_traces
    }),
    ("index_bytes", "Bytes of the index in memory", |stats| {
        stats.index_bytes
    }),
    ("bytes_in_flight", "Bytes waiting to be written", |stats| {
        stats.bytes_in_flight
    }),
    ("commits", "Group commits since the start", |stats| {
        stats.n_commits
    }),
    ("syncs", "Flushes to disk since the start", |stats| {
        stats.n_syncs
    }),
    (
        "sync_microseconds",
        "Time spent flushing since the start",
        |stats| stats.sync_us,
    ),
    (
        "quarantined_partitions",
        "Partitions set aside since the start",
        |stats| stats.n_quarantined,
    ),
    (
        "dropped_partitions",
        "Partitions dropped since the start",
        |stats| stats.n_dropped,
    ),
    (
        "damaged_records",
        "Damaged records met since the start",
        |stats| stats.n_damaged_records,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_rendered() {
        let metrics = Metrics::new();
        metrics.request_started();
        metrics.request_ended("BatchGetTraces", "OK", Duration::from_millis(3));
        metrics.documents_accepted(Doorway::Udp, 2);
        metrics.documents_refused(Doorway::Api, "MissingId", 3);
        metrics.refused(Doorway::Api, "MissingId");
        metrics.connection_refused("peer");
        metrics.connection_evicted("idle");
        metrics.tls_handshake_failed();
        metrics.telemetry("received", Some(7));
        metrics.telemetry("received", Some(-1));
        metrics.refused_kept(7);
        metrics.refused_kept(-2);
        let text = metrics
            .render(&Stats {
                n_documents: 9,
                ..Stats::default()
            })
            .unwrap();
        for line in [
            "roentgen_requests_total{operation=\"BatchGetTraces\",code=\"OK\"} 1",
            "roentgen_request_duration_seconds_count{operation=\"BatchGetTraces\"} 1",
            "roentgen_documents_accepted_total{door=\"udp\"} 2",
            "roentgen_documents_refused_total{door=\"api\",code=\"MissingId\"} 3",
            "roentgen_refused_total{door=\"api\",reason=\"MissingId\"} 1",
            "roentgen_refused_kept 5",
            "roentgen_datagrams_received_total 0",
            "roentgen_datagrams_queue_bytes 0",
            "roentgen_connections_refused_total{reason=\"peer\"} 1",
            "roentgen_connections_evicted_total{reason=\"idle\"} 1",
            "roentgen_tls_handshakes_failed_total 1",
            "roentgen_telemetry_segments_total{outcome=\"received\"} 7",
            "roentgen_store_documents 9",
            "roentgen_store_writable 0",
            "roentgen_requests_in_flight 0",
        ] {
            assert!(text.contains(line), "{line} is missing in {text}");
        }
    }
}
