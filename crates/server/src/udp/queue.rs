//! What waits between the socket and the store, bounded in bytes.

use std::net::SocketAddr;
use std::sync::Arc;

use model::Timestamp;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::figures::Figures;
use super::socket::DATAGRAM_BYTES_MAX;
use crate::clock;

/// The end datagrams are put into.
pub(super) struct Queue {
    datagrams: UnboundedSender<Datagram>,
    room: Arc<Semaphore>,
    figures: Figures,
}

/// A datagram that waits. It takes its room until it is dropped.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) bytes: Box<[u8]>,
    pub(super) peer: SocketAddr,
    /// When it came.
    pub(super) at: Timestamp,
    /// Which one it is of those that are taken in together.
    pub(super) nth: usize,
    _room: Room,
}

#[derive(Debug)]
struct Room {
    _permit: OwnedSemaphorePermit,
    n_bytes: u32,
    figures: Figures,
}

/// Returns the two ends of a queue that holds so many bytes.
pub(super) fn queue(n_bytes_max: u64, figures: Figures) -> (Queue, UnboundedReceiver<Datagram>) {
    let n_bytes_max = usize::try_from(n_bytes_max).unwrap_or(usize::MAX);
    let (datagrams, queued) = mpsc::unbounded_channel();
    let queue = Queue {
        datagrams,
        room: Arc::new(Semaphore::new(n_bytes_max.min(Semaphore::MAX_PERMITS))),
        figures,
    };
    (queue, queued)
}

impl Queue {
    /// Puts a datagram into the queue, or counts why it is dropped.
    pub(super) fn push(&self, bytes: &[u8], peer: SocketAddr) {
        self.figures.received();
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return self.figures.dropped(OVERSIZED, 1);
        }
        let Some(room) = self.room_for(bytes.len()) else {
            return self.figures.dropped(QUEUE_FULL, 1);
        };
        let datagram = Datagram {
            bytes: bytes.into(),
            peer,
            at: clock::now(),
            nth: 0,
            _room: room,
        };
        if self.datagrams.send(datagram).is_err() {
            self.figures.dropped(STOPPED, 1);
        }
    }

    /// Asks the system how many it dropped.
    pub(super) fn refresh_figures(&self) {
        self.figures.refresh();
    }

    fn room_for(&self, n_bytes: usize) -> Option<Room> {
        let n_bytes = u32::try_from(n_bytes + OVERHEAD_BYTES).ok()?;
        let room = Arc::clone(&self.room);
        let permit = room.try_acquire_many_owned(n_bytes).ok()?;
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

/// It has more bytes than a datagram can have.
const OVERSIZED: &str = "oversized";
/// The queue has no room for it.
const QUEUE_FULL: &str = "queue_full";
/// Nobody takes in any more.
const STOPPED: &str = "stopped";
/// What a datagram takes beside its bytes.
const OVERHEAD_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 4000))
    }

    #[test]
    fn the_queue_is_bounded_in_bytes() {
        let figures = Figures::default();
        let (queue, mut queued) = queue(1000, figures.clone());
        for n_bytes in [400, 200, 100, 0] {
            queue.push(&vec![7; n_bytes], peer());
        }
        // 400 and 200 bytes take 856 with their overhead; 128 more are just room for an empty one.
        assert_eq!((figures.n_received(), figures.n_dropped()), (4, 1));
        assert_eq!(figures.n_dropped_for(QUEUE_FULL), 1);
        assert_eq!(figures.n_queued_bytes(), 984);
        assert_eq!(queued.try_recv().unwrap().bytes.len(), 400);
        queue.push(&[7; 300], peer());
        assert_eq!(figures.n_dropped(), 1);
        drop(queue);
        while let Ok(datagram) = queued.try_recv() {
            assert_eq!(datagram.peer, peer());
        }
        assert_eq!(figures.n_queued_bytes(), 0);
    }

    #[test]
    fn what_was_cut_off_is_dropped() {
        let figures = Figures::default();
        let (queue, mut queued) = queue(1 << 20, figures.clone());
        queue.push(&vec![7; DATAGRAM_BYTES_MAX], peer());
        queue.push(&vec![7; DATAGRAM_BYTES_MAX + 1], peer());
        assert_eq!(figures.n_dropped_for(OVERSIZED), 1);
        assert_eq!(queued.try_recv().unwrap().bytes.len(), DATAGRAM_BYTES_MAX);
    }

    #[test]
    fn nothing_is_lost_silently_once_nobody_takes() {
        let figures = Figures::default();
        let (queue, queued) = queue(1 << 20, figures.clone());
        drop(queued);
        queue.push(b"{}", peer());
        assert_eq!(figures.n_dropped_for(STOPPED), 1);
        assert_eq!(figures.n_queued_bytes(), 0);
    }
}
