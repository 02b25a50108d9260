//! Room for the bytes of requests and answers, and how peers share it.
//!
//! No peer has more than its share, a quarter of the room, so that bodies of one that never end, or answers it never
//! reads, leave room for the others. What bodies become when they are decoded has room of its own. A place is one in the share first, and in the room then.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::http::places::Peer;

/// The bytes the bodies of all connections may hold in memory, as many again of answers, and as many of requests of spans
/// once they are decoded. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct BodyRoom(Arc<Room>);

/// What one peer may have of the room.
#[derive(Debug)]
pub(crate) struct Share {
    room: Arc<Room>,
    peer: Peer,
    n_bytes: usize,
    bodies: Arc<Semaphore>,
    answers: Arc<Semaphore>,
    decoded: Arc<Semaphore>,
    /// Bodies that wait for others of the same peer.
    n_waiting: AtomicUsize,
}

/// Bytes that may be held until this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    of_share: OwnedSemaphorePermit,
    of_all: OwnedSemaphorePermit,
    /// A share is remembered as long as anything of it is in use.
    _share: Arc<Share>,
}

/// How long one body may still wait for places.
#[derive(Debug, Default)]
pub(crate) struct Patience(Duration);

#[derive(Debug)]
struct Room {
    n_bytes: usize,
    bodies: Arc<Semaphore>,
    answers: Arc<Semaphore>,
    decoded: Arc<Semaphore>,
    /// Turns at work that keeps a thread busy.
    turns: Semaphore,
    shares: Mutex<HashMap<Peer, Weak<Share>>>,
    /// Bodies that wait for those of all peers.
    n_waiting: AtomicUsize,
}

impl BodyRoom {
    /// Returns room for so many bytes of bodies, and for as many of answers.
    pub(crate) fn new(n_bytes: u64) -> Self {
        let n_bytes = usize::try_from(n_bytes).unwrap_or(usize::MAX);
        let n_bytes = n_bytes.min(Semaphore::MAX_PERMITS);
        let n_turns = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Room {
            n_bytes,
            bodies: Arc::new(Semaphore::new(n_bytes)),
            answers: Arc::new(Semaphore::new(n_bytes)),
            decoded: Arc::new(Semaphore::new(n_bytes)),
            turns: Semaphore::new(n_turns),
            shares: Mutex::default(),
            n_waiting: AtomicUsize::new(0),
        }))
    }

    /// Returns the share of a peer: a quarter, but no less than so many bytes as far as there are as many.
    pub(crate) fn share(&self, peer: Peer, n_bytes_min: usize) -> Arc<Share> {
        let room = &self.0;
        let n_bytes = (room.n_bytes / SHARES).max(n_bytes_min).min(room.n_bytes);
        let mut shares = room.shares();
        let known = shares.get(&peer).and_then(Weak::upgrade);
        // One that became too small is replaced; what is held of it counts in the room all the same.
        if let Some(share) = known.filter(|share| share.n_bytes >= n_bytes) {
            return share;
        }
        let share = Arc::new(Share {
            room: Arc::clone(room),
            peer,
            n_bytes,
            bodies: Arc::new(Semaphore::new(n_bytes)),
            answers: Arc::new(Semaphore::new(n_bytes)),
            decoded: Arc::new(Semaphore::new(n_bytes)),
            n_waiting: AtomicUsize::new(0),
        });
        shares.insert(peer, Arc::downgrade(&share));
        share
    }
}

impl Room {
    fn shares(&self) -> MutexGuard<'_, HashMap<Peer, Weak<Share>>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Waits for a place for so many bytes of a body; nothing once the patience is at its end.
    pub(crate) async fn place(
        self: &Arc<Self>,
        n_bytes: usize,
        patience: &mut Patience,
    ) -> Option<Place> {
        let n_bytes = u32::try_from(n_bytes).ok()?;
        let taking = async {
            let of_share = acquire(&self.bodies, n_bytes, &self.n_waiting).await?;
            let of_all = acquire(&self.room.bodies, n_bytes, &self.room.n_waiting).await?;
            Some(self.placed(of_share, of_all))
        };
        patience.spend(taking).await.flatten()
    }

    /// Returns a place for an answer of so many bytes, if there is one now: what waits is in memory already. An answer
    /// larger than the share takes all of it.
    pub(crate) fn answer_place(self: &Arc<Self>, n_bytes: usize) -> Option<Place> {
        let n_bytes = u32::try_from(n_bytes.min(self.n_bytes)).ok()?;
        let of_share = Arc::clone(&self.answers).try_acquire_many_owned(n_bytes);
        let of_all = Arc::clone(&self.room.answers).try_acquire_many_owned(n_bytes);
        Some(self.placed(of_share.ok()?, of_all.ok()?))
    }

    /// Waits for a place for an answer of up to so many bytes, which is made then; nothing once the patience is at its end.
    pub(crate) async fn making_place(
        self: &Arc<Self>,
        n_bytes: usize,
        patience: &mut Patience,
    ) -> Option<Place> {
        let n_bytes = u32::try_from(n_bytes.min(self.n_bytes)).ok()?;
        let taking = async {
            let of_share = Arc::clone(&self.answers).acquire_many_owned(n_bytes);
            let of_share = of_share.await.ok()?;
            let of_all = Arc::clone(&self.room.answers).acquire_many_owned(n_bytes);
            Some(self.placed(of_share, of_all.await.ok()?))
        };
        patience.spend(taking).await.flatten()
    }

    /// Waits for a place for what a body becomes when it is decoded; nothing once the patience is at its end. What is
    /// larger than the share takes all of it.
    pub(crate) async fn decoded_place(
        self: &Arc<Self>,
        n_bytes: usize,
        patience: &mut Patience,
    ) -> Option<Place> {
        let n_permits = |n_bytes_max: usize| u32::try_from(n_bytes.min(n_bytes_max)).ok();
        let (n_of_share, n_of_all) = (n_permits(self.n_bytes)?, n_permits(self.room.n_bytes)?);
        let taking = async {
            let of_share = Arc::clone(&self.decoded).acquire_many_owned(n_of_share);
            let of_share = of_share.await.ok()?;
            let of_all = Arc::clone(&self.room.decoded).acquire_many_owned(n_of_all);
            Some(self.placed(of_share, of_all.await.ok()?))
        };
        patience.spend(taking).await.flatten()
    }

    /// Returns how many bytes of bodies it has.
    #[cfg(test)]
    pub(crate) const fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    /// Tells whether a body waits that the end of one of this peer's could make room for.
    pub(crate) fn is_wanted(&self) -> bool {
        let waits = |n_waiting: &AtomicUsize| n_waiting.load(Ordering::Relaxed) > 0;
        waits(&self.n_waiting) || waits(&self.room.n_waiting)
    }

    /// Returns what comes of work that keeps a thread busy, done where it holds up no request beside it. As much is
    /// done at once as there are processors; the rest waits, and is bounded by the places it holds.
    pub(crate) async fn aside<T>(&self, work: impl FnOnce() -> T) -> T {
        let has_other_workers = Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
        let _turn = self.room.turns.acquire().await;
        if has_other_workers {
            tokio::task::block_in_place(work)
        } else {
            work()
        }
    }

    fn placed(
        self: &Arc<Self>,
        of_share: OwnedSemaphorePermit,
        of_all: OwnedSemaphorePermit,
    ) -> Place {
        Place {
            of_share,
            of_all,
            _share: Arc::clone(self),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut shares = self.room.shares();
        let is_last = shares
            .get(&self.peer)
            .is_some_and(|share| share.strong_count() == 0);
        if is_last {
            shares.remove(&self.peer);
        }
    }
}

impl Place {
    /// Makes one place of two of the same share.
    pub(crate) fn merge(&mut self, more: Self) {
        let Self {
            of_share, of_all, ..
        } = more;
        self.of_share.merge(of_share);
        self.of_all.merge(of_all);
    }

    /// Gives back all but so many bytes.
    pub(crate) fn keep(&mut self, n_bytes: usize) {
        let n_surplus = self.of_all.num_permits().saturating_sub(n_bytes);
        drop(self.of_share.split(n_surplus));
        drop(self.of_all.split(n_surplus));
    }
}

impl Patience {
    /// The patience of who has begun and cannot stop.
    pub(crate) const ENDLESS: Self = Self(Duration::MAX);

    /// Returns the patience to wait for so long in all.
    pub(crate) const fn new(wait: Duration) -> Self {
        Self(wait)
    }

    async fn spend<T>(&mut self, waiting: impl Future<Output = T>) -> Option<T> {
        let started = Instant::now();
        let awaited = tokio::time::timeout(self.0, waiting).await;
        self.0 = self.0.saturating_sub(started.elapsed());
        awaited.ok()
    }
}

async fn acquire(
    bytes: &Arc<Semaphore>,
    n_bytes: u32,
    n_waiting: &AtomicUsize,
) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(bytes).try_acquire_many_owned(n_bytes) {
        return Some(permit);
    }
    let _waiting = Waiting::new(n_waiting);
    Arc::clone(bytes).acquire_many_owned(n_bytes).await.ok()
}

/// A body that waits until this is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(n_waiting: &'a AtomicUsize) -> Self {
        n_waiting.fetch_add(1, Ordering::Relaxed);
        Self(n_waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many peers it takes to fill the room.
const SHARES: usize = 4;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn peer(number: u8) -> Peer {
        Peer::of(IpAddr::from([10, 0, 0, number]))
    }

    async fn place(share: &Arc<Share>, n_bytes: usize) -> Option<Place> {
        share.place(n_bytes, &mut Patience::default()).await
    }

    #[tokio::test]
    async fn one_peer_has_a_quarter_and_leaves_the_rest_to_others() {
        let room = BodyRoom::new(100);
        let (one, other) = (room.share(peer(1), 10), room.share(peer(2), 10));
        let held = place(&one, 25).await.unwrap();
        assert!(place(&one, 1).await.is_none());
        assert!(place(&room.share(peer(1), 10), 1).await.is_none());
        assert!(place(&other, 25).await.is_some());
        drop(held);
        assert!(place(&one, 25).await.is_some());
    }

    #[tokio::test]
    async fn a_share_is_as_large_as_it_has_to_be() {
        let check = |n_bytes: u64, n_bytes_min: usize, expected: usize| {
            let share = BodyRoom::new(n_bytes).share(peer(1), n_bytes_min);
            assert_eq!(share.n_bytes, expected, "{n_bytes} {n_bytes_min}");
        };
        check(100, 10, 25);
        check(100, 40, 40);
        check(100, 150, 100);
        let room = BodyRoom::new(100);
        let narrow = room.share(peer(1), 10);
        let _held = place(&narrow, 25).await.unwrap();
        assert!(place(&room.share(peer(1), 40), 40).await.is_some());
    }

    #[tokio::test]
    async fn a_share_is_remembered_as_long_as_any_of_it_is_held() {
        let room = BodyRoom::new(100);
        let held = place(&room.share(peer(1), 10), 20).await.unwrap();
        assert!(place(&room.share(peer(1), 10), 10).await.is_none());
        drop(held);
        assert!(room.0.shares().is_empty());
    }

    #[tokio::test]
    async fn what_is_kept_of_a_place_is_what_is_taken() {
        let room = BodyRoom::new(100);
        let share = room.share(peer(1), 10);
        let mut held = place(&share, 10).await.unwrap();
        held.merge(place(&share, 15).await.unwrap());
        held.keep(12);
        assert_eq!(room.0.bodies.available_permits(), 88);
        assert_eq!(share.bodies.available_permits(), 13);
        held.keep(50);
        drop(held);
        assert_eq!(room.0.bodies.available_permits(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_is_for_all_waits_together() {
        let share = BodyRoom::new(4).share(peer(1), 2);
        let mut patience = Patience::new(Duration::from_secs(3));
        let held = place(&share, 2).await.unwrap();
        let started = Instant::now();
        let release = async {
            tokio::time::sleep_until(started + Duration::from_secs(2)).await;
            assert!(share.is_wanted());
            drop(held);
        };
        let (second, ()) = tokio::join!(share.place(2, &mut patience), release);
        assert!(second.is_some() && !share.is_wanted());
        assert!(share.place(2, &mut patience).await.is_none());
        assert_eq!(started.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_decoded_has_room_of_its_own_and_waits() {
        let room = BodyRoom::new(100);
        let (one, other) = (room.share(peer(1), 10), room.share(peer(2), 10));
        let decoded = async |share: &Arc<Share>, n_bytes| {
            let mut patience = Patience::new(Duration::from_secs(3));
            share.decoded_place(n_bytes, &mut patience).await
        };
        let _body = place(&one, 25).await.unwrap();
        let held = decoded(&one, 20).await.unwrap();
        assert!(decoded(&one, 6).await.is_none());
        assert!(!one.is_wanted());
        let (next, ()) = tokio::join!(decoded(&one, 25), async { drop(held) });
        drop(next.unwrap());
        // Larger than a share: it has all of that, and of the room what it takes.
        let large = decoded(&one, 80).await.unwrap();
        assert!(decoded(&one, 1).await.is_none());
        assert!(decoded(&other, 21).await.is_none());
        assert!(decoded(&other, 20).await.is_some());
        drop(large);
        assert!(decoded(&one, 1000).await.is_some());
        assert_eq!(room.0.decoded.available_permits(), 100);
    }

    #[tokio::test]
    async fn answers_have_room_of_their_own_and_do_not_wait() {
        let room = BodyRoom::new(100);
        let (one, other) = (room.share(peer(1), 10), room.share(peer(2), 10));
        let _body = place(&one, 25).await.unwrap();
        let held = one.answer_place(20).unwrap();
        assert!(one.answer_place(6).is_none());
        assert!(other.answer_place(25).is_some());
        drop(held);
        assert!(one.answer_place(1000).is_some());
        assert_eq!(room.0.answers.available_permits(), 100);
    }
}
