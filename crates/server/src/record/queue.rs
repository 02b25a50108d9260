//! What waits between the doors and the journal, bounded in bytes.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Instant;

use journal::{Content, Record};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::warn;

use super::figures::{Figures, QUEUE_FULL, STOPPED};
use crate::log::Sparingly;

/// The end records are put into.
#[derive(Debug)]
pub(super) struct Queue {
    queued: Sender<Queued>,
    room: Arc<Semaphore>,
    figures: Figures,
    dropped: Sparingly,
}

/// What comes out at the other end.
#[derive(Debug)]
pub(super) enum Queued {
    /// A record, which takes its room until both are dropped.
    Record(Box<Record>, Room),
    /// Nothing more comes.
    End,
}

#[derive(Debug)]
pub(super) struct Room {
    _permit: OwnedSemaphorePermit,
    n_bytes: u32,
    figures: Figures,
}

/// Returns the two ends of a queue that holds so many bytes.
pub(super) fn queue(n_bytes_max: u64, figures: Figures) -> (Queue, Receiver<Queued>) {
    let n_bytes_max = usize::try_from(n_bytes_max).unwrap_or(usize::MAX);
    let (sender, receiver) = mpsc::channel();
    let queue = Queue {
        queued: sender,
        room: Arc::new(Semaphore::new(n_bytes_max.min(Semaphore::MAX_PERMITS))),
        figures,
        dropped: Sparingly::default(),
    };
    (queue, receiver)
}

impl Queue {
    /// Puts a record into the queue, or counts why it is dropped.
    pub(super) fn push(&self, record: Record) {
        let Some(room) = self.room_for(n_bytes(&record)) else {
            self.figures.dropped(QUEUE_FULL, 1);
            if let Some(n_records) = self.dropped.n_since(Instant::now()) {
                warn!(
                    n_records,
                    "recorded traffic has gaps: more came than the disk takes"
                );
            }
            return;
        };
        let queued = Queued::Record(Box::new(record), room);
        if self.queued.send(queued).is_err() {
            self.figures.dropped(STOPPED, 1);
        }
    }

    /// Says that nothing more comes.
    pub(super) fn end(&self) {
        // Nobody listens if the other end is gone, and then nothing is to be ended.
        let _gone = self.queued.send(Queued::End);
    }

    fn room_for(&self, n_bytes: usize) -> Option<Room> {
        let n_bytes = u32::try_from(n_bytes).ok()?;
        let permit = Arc::clone(&self.room)
            .try_acquire_many_owned(n_bytes)
            .ok()?;
        self.figures.queued(n_bytes);
        Some(Room {
            _permit: permit,
            n_bytes,
            figures: self.figures.clone(),
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.figures.unqueued(self.n_bytes);
    }
}

/// Returns how much memory a record takes.
fn n_bytes(record: &Record) -> usize {
    let content = match &record.content {
        Content::Http(call) => {
            let headers = call.headers();
            let headers = headers.map(|(name, value)| PART_BYTES + name.len() + value.len());
            call.body().len() + call.path().len() + headers.sum::<usize>()
        }
        Content::Datagram(bytes) => bytes.len(),
    };
    let refused = record
        .verdicts
        .iter()
        .flat_map(|verdicts| &verdicts.refused);
    let refused = refused.map(|refusal| {
        PART_BYTES + refusal.code.len() + refusal.id.as_ref().map_or(0, String::len)
    });
    OVERHEAD_BYTES + content + refused.sum::<usize>()
}

/// What a record takes beside what was sent.
const OVERHEAD_BYTES: usize = 512;
/// What a header or a refusal takes beside its text.
const PART_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use journal::Door;
    use model::Timestamp;

    use super::*;

    fn record(n_bytes: usize) -> Record {
        Record {
            at: Timestamp::from_secs(1),
            door: Door::Udp,
            account: None,
            peer: None,
            content: Content::Datagram(Bytes::from(vec![7; n_bytes])),
            verdicts: None,
        }
    }

    #[test]
    fn the_queue_is_bounded_in_bytes() {
        let figures = Figures::default();
        let (queue, queued) = queue(3000, figures.clone());
        // Two records of 1512 bytes have no room.
        for n_bytes in [1000, 1000, 976, 0] {
            queue.push(record(n_bytes));
        }
        assert_eq!(figures.n_dropped_for(QUEUE_FULL), 2);
        assert_eq!(figures.n_queued_bytes(), 3000);
        let Ok(Queued::Record(first, room)) = queued.try_recv() else {
            panic!("nothing is queued");
        };
        assert_eq!(*first, record(1000));
        drop(room);
        queue.push(record(0));
        assert_eq!(figures.n_dropped_for(QUEUE_FULL), 2);
        queue.end();
        drop(queued);
        assert_eq!(figures.n_queued_bytes(), 0);
        queue.push(record(0));
        assert_eq!(figures.n_dropped_for(STOPPED), 1);
    }
}
