//! Full partitions that wait to be sealed: each keeps its index in memory until then, so there may be only so many.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::store::Shared;

/// Tells those who wait that there are other partitions than before.
#[derive(Default)]
pub(crate) struct Backlog {
    lock: Mutex<()>,
    changed: Condvar,
}

impl Backlog {
    /// Wakes who waits; call it after every change of the partitions.
    pub(crate) fn changed(&self) {
        let _lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.changed.notify_all();
    }

    /// Waits until one more partition may wait to be sealed, and tells whether it may now.
    pub(super) fn wait(&self, shared: &Shared, wait: Duration) -> bool {
        let n_max = n_sealing_max(shared.config.partition_bytes);
        self.wait_until(wait, || shared.partitions().sealing.len() < n_max)
    }

    /// Waits until something holds of the partitions, and tells whether it does now.
    pub(crate) fn wait_until(&self, wait: Duration, holds: impl Fn() -> bool) -> bool {
        let lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_timeout_while(lock, wait, |()| !holds())
            .unwrap_or_else(PoisonError::into_inner);
        drop(waited);
        holds()
    }
}

/// Returns how many partitions may wait: sealing takes less time than filling as a rule, so that one waits, if any; more
/// only while writes outrun it. Small ones take little memory each.
fn n_sealing_max(partition_bytes: u64) -> usize {
    let n_small = SEALING_BYTES_MAX / partition_bytes.max(1);
    usize::try_from(n_small).unwrap_or(usize::MAX).clamp(2, 64)
}

const SEALING_BYTES_MAX: u64 = 128 << 20;
