//! The keeper: sealing, retention and training, beside the traffic.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::Chore;
use crate::store::Shared;

/// Works until the writer and the store are gone.
pub(super) fn run(shared: &Arc<Shared>, chores: &Receiver<Chore>) {
    while let Ok(chore) = chores.recv() {
        match chore {
            Chore::Keep(now) => {
                for active in shared.partitions().sealing.clone() {
                    shared.seal(&active, now);
                }
                shared.measure_disk();
                shared.enforce_retention(now);
            }
            Chore::Train => {
                if let Err(error) = shared.dictionaries.train() {
                    tracing::warn!(%error, "cannot train a compression dictionary");
                }
            }
        }
    }
}
