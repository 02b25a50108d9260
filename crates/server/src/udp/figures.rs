//! Figures of the door of datagrams. Once the queue is empty, what was received is what was dropped, and what was
//! accepted and refused of documents, each of which came in a datagram.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The figures; all copies are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    received: Counter,
    dropped: Family<ReasonLabel, Counter>,
    dropped_in_all: Counter,
    kernel_dropped: Counter,
    queue_bytes: Gauge,
    receive_buffer_bytes: Gauge,
    /// What the system knows the socket by.
    inode: Arc<OnceLock<u64>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl Figures {
    /// Makes the figures known.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let received = self.received.clone();
        registry.register("received", "Datagrams taken off the socket", received);
        let dropped = self.dropped.clone();
        registry.register("dropped", "Datagrams not taken in, by reason", dropped);
        let help = "Datagrams the system dropped because the receive buffer was full";
        registry.register("kernel_dropped", help, self.kernel_dropped.clone());
        let queue_bytes = self.queue_bytes.clone();
        registry.register("queue_bytes", "Bytes of datagrams that wait", queue_bytes);
        let help = "Size of the receive buffer, as the system gave it";
        let receive_buffer_bytes = self.receive_buffer_bytes.clone();
        registry.register("receive_buffer_bytes", help, receive_buffer_bytes);
    }

    /// Notes what the system says of the socket.
    pub(super) fn opened(&self, receive_buffer_bytes: usize, inode: Option<u64>) {
        let n_bytes = i64::try_from(receive_buffer_bytes).unwrap_or(i64::MAX);
        self.receive_buffer_bytes.set(n_bytes);
        if let Some(inode) = inode {
            self.inode.get_or_init(|| inode);
        }
    }

    /// Counts a datagram.
    pub(super) fn received(&self) {
        self.received.inc();
    }

    /// Counts datagrams that are not taken in.
    pub(super) fn dropped(&self, reason: &'static str, n_datagrams: u64) {
        let label = ReasonLabel { reason };
        self.dropped.get_or_create(&label).inc_by(n_datagrams);
        self.dropped_in_all.inc_by(n_datagrams);
    }

    pub(super) fn queued(&self, n_bytes: u32) {
        self.queue_bytes.inc_by(n_bytes.into());
    }

    pub(super) fn unqueued(&self, n_bytes: u32) {
        self.queue_bytes.dec_by(n_bytes.into());
    }

    /// Asks the system how many datagrams it dropped.
    pub(crate) fn refresh(&self) {
        let Some(inode) = self.inode.get() else {
            return;
        };
        let tables = ["/proc/self/net/udp", "/proc/self/net/udp6"];
        let n_dropped = tables.into_iter().find_map(|table| {
            let table = std::fs::read_to_string(table).ok()?;
            n_kernel_dropped(&table, *inode)
        });
        if let Some(n_dropped) = n_dropped {
            let counter = self.kernel_dropped.inner();
            counter.fetch_max(n_dropped, Ordering::Relaxed);
        }
    }

    /// Returns how many datagrams came off the socket.
    pub(super) fn n_received(&self) -> u64 {
        self.received.get()
    }

    /// Returns how many datagrams were not taken in, the system's included.
    pub(super) fn n_dropped(&self) -> u64 {
        self.dropped_in_all.get() + self.kernel_dropped.get()
    }

    #[cfg(test)]
    pub(super) fn n_dropped_for(&self, reason: &'static str) -> u64 {
        self.dropped.get_or_create(&ReasonLabel { reason }).get()
    }

    #[cfg(test)]
    pub(super) fn n_receive_buffer_bytes(&self) -> i64 {
        self.receive_buffer_bytes.get()
    }

    #[cfg(test)]
    pub(super) fn n_queued_bytes(&self) -> i64 {
        self.queue_bytes.get()
    }
}

/// Returns how many datagrams for a socket were dropped, out of the system's table of sockets (proc(5)): the tenth
/// column is the inode, the last one what was dropped.
fn n_kernel_dropped(table: &str, inode: u64) -> Option<u64> {
    let inode = inode.to_string();
    let mut lines = table.lines().skip(1);
    let line = lines.find(|line| line.split_ascii_whitespace().nth(9) == Some(&inode))?;
    line.split_ascii_whitespace().nth(12)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_dropped_is_read_from_its_table() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops             
  395: 0100007F:07D0 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 84214 2 0000000000000000 17        
18127: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 8421 2 0000000000000000 3         
";
        assert_eq!(n_kernel_dropped(table, 84214), Some(17));
        assert_eq!(n_kernel_dropped(table, 8421), Some(3));
        assert_eq!(n_kernel_dropped(table, 842), None);
        assert_eq!(n_kernel_dropped("", 842), None);
    }

    #[test]
    fn a_real_socket_is_found() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let inode = rustix::fs::fstat(&socket).unwrap().st_ino;
        let table = std::fs::read_to_string("/proc/self/net/udp").unwrap();
        assert_eq!(n_kernel_dropped(&table, inode), Some(0));
    }
}
