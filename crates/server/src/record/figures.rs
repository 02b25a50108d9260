//! Figures of recorded traffic.

use journal::Figures as Done;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The figures; all copies are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    records: Counter,
    dropped: Family<ReasonLabel, Counter>,
    queue_bytes: Gauge,
    disk_bytes: Gauge,
    files: Gauge,
    files_removed: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl Figures {
    /// Makes the figures known.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let help = "Calls and datagrams that were recorded and are on disk";
        registry.register("records", help, self.records.clone());
        let help = "Calls and datagrams that were not recorded, by reason";
        registry.register("dropped", help, self.dropped.clone());
        let help = "Bytes of records that wait to be written";
        registry.register("queue_bytes", help, self.queue_bytes.clone());
        let disk_bytes = self.disk_bytes.clone();
        registry.register("disk_bytes", "Bytes of recorded traffic", disk_bytes);
        registry.register("files", "Files of recorded traffic", self.files.clone());
        let help = "Files removed to stay within record.max_bytes";
        registry.register("files_removed", help, self.files_removed.clone());
    }

    /// Counts records that are lost.
    pub(super) fn dropped(&self, reason: &'static str, n_records: u64) {
        let label = ReasonLabel { reason };
        self.dropped.get_or_create(&label).inc_by(n_records);
    }

    pub(super) fn queued(&self, n_bytes: u32) {
        self.queue_bytes.inc_by(n_bytes.into());
    }

    pub(super) fn unqueued(&self, n_bytes: u32) {
        self.queue_bytes.dec_by(n_bytes.into());
    }

    /// Notes what a journal did since it was opened, and what it had done when that was noted before.
    pub(super) fn done(&self, before: &Done, now: &Done) {
        self.records.inc_by(now.n_records - before.n_records);
        let n_removed = now.n_files_removed - before.n_files_removed;
        self.files_removed.inc_by(n_removed);
        self.disk_bytes.set(gauge(now.disk_bytes));
        self.files.set(gauge(now.n_files));
    }

    #[cfg(test)]
    pub(super) fn n_records(&self) -> u64 {
        self.records.get()
    }

    #[cfg(test)]
    pub(super) fn n_dropped_for(&self, reason: &'static str) -> u64 {
        self.dropped.get_or_create(&ReasonLabel { reason }).get()
    }

    #[cfg(test)]
    pub(super) fn n_queued_bytes(&self) -> i64 {
        self.queue_bytes.get()
    }
}

fn gauge(figure: u64) -> i64 {
    i64::try_from(figure).unwrap_or(i64::MAX)
}

/// The queue has no room for it.
pub(super) const QUEUE_FULL: &str = "queue_full";
/// The disk does not take it, or has too little left.
pub(super) const DISK: &str = "disk";
/// It is larger than a file of the journal may be.
pub(super) const TOO_LARGE: &str = "too_large";
/// Nobody writes any more.
pub(super) const STOPPED: &str = "stopped";
