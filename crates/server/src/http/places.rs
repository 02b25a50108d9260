//! Places for connections: how many may be open, and which one makes room for one more.
//!
//! A connection too many is not simply turned away, or whoever opens the most and says nothing would keep everybody
//! else out. It takes the place of one the server does nothing for:
//! 1. of the peer that holds the most connections, of all peers with one that waits; of the new one's own peer if that has
//!    all it may have;
//! 2. among these, first of those that never completed a request, then of idle ones, then of those whose client keeps a
//!    request or an answer waiting. Of peers with as many connections, the one whose turn this makes it;
//! 3. of these, from the one that has waited longest.
//!
//! Only if the server works for every one of them is the new connection turned away.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// How many connections may be open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// In all.
    pub(crate) total: usize,
    /// Of one peer.
    pub(crate) per_peer: usize,
}

/// What the server does for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing: it waits.
    Waiting(Wait),
    /// It has a request under way.
    Working,
}

/// What a connection waits for; the earlier of these goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wait {
    /// Its first request.
    First,
    /// Its next request.
    Next,
    /// Its client, which neither sends on nor reads on.
    Client,
}

/// Who holds connections: an address, or a network of IPv6 that one machine may have all of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Peer(IpAddr);

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The server works for as many connections as may be open.
    Total,
    /// It works for as many of this peer as may be open.
    Peer,
}

/// The places of all doors. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool(Arc<Mutex<Places>>);

/// A place that is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    pool: Pool,
    ticket: Ticket,
    lost: Arc<Notify>,
}

/// A place that was found, and what the connections that lost theirs were waiting for.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) place: Place,
    pub(crate) evicted: Vec<Wait>,
}

impl Peer {
    /// Returns who an address belongs to: for IPv6 its network of 64 bits.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.into()),
            IpAddr::V6(address) => {
                let network = address.to_bits() & NETWORK;
                Self(std::net::Ipv6Addr::from_bits(network).into())
            }
        }
    }
}

impl Wait {
    /// Returns the name figures use.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::First => "first_request",
            Self::Next => "idle",
            Self::Client => "stalled",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::First => 0,
            Self::Next => 1,
            Self::Client => 2,
        }
    }
}

impl Full {
    /// Returns the name figures use.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Peer => "peer",
        }
    }
}

impl Pool {
    /// Finds a place for a connection that just opened; those that lose theirs for it are told.
    ///
    /// # Errors
    /// Says which bound leaves no place. Connections may have lost theirs all the same if the bounds became narrower.
    pub(crate) fn find(&self, peer: Peer, bounds: Bounds) -> Result<Found, Full> {
        let mut evicted = Vec::new();
        let lost = Arc::new(Notify::new());
        let found = self
            .lock()
            .take(peer, bounds, Arc::clone(&lost), &mut evicted);
        for (_, loser) in &evicted {
            loser.notify_one();
        }
        let place = Place {
            pool: self.clone(),
            ticket: found?,
            lost,
        };
        let evicted = evicted.into_iter().map(|(wait, _)| wait).collect();
        Ok(Found { place, evicted })
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Notes what the server does for the connection from now on.
    pub(crate) fn stand(&self, standing: Standing) {
        self.pool.lock().stand(self.ticket, standing);
    }

    /// Returns what tells that the place was lost.
    pub(crate) fn lost(&self) -> Arc<Notify> {
        Arc::clone(&self.lost)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.lock().leave(self.ticket);
    }
}

type Ticket = u64;

/// Where a peer stands among those that have connections waiting: the last one has the most connections, and of those with
/// as many the one whose first to make room waits for the least, and has waited longest.
type Rank = (usize, Reverse<Wait>, Reverse<u64>, Peer);

/// Every place that is taken. Each step costs the logarithm of their number.
#[derive(Debug, Default)]
struct Places {
    by_ticket: HashMap<Ticket, Holder>,
    by_peer: HashMap<Peer, Held>,
    ranks: BTreeSet<Rank>,
    n_steps: u64,
}

#[derive(Debug)]
struct Holder {
    peer: Peer,
    standing: Standing,
    /// Which step its standing is from.
    since: u64,
    lost: Arc<Notify>,
}

/// The connections of one peer.
#[derive(Debug, Default)]
struct Held {
    n_connections: usize,
    /// Those that wait, by what for, and by since when.
    waiting: [BTreeMap<u64, Ticket>; 3],
    rank: Option<Rank>,
}

impl Places {
    /// Takes a place, from others if need be; these are added to `evicted`.
    fn take(
        &mut self,
        peer: Peer,
        bounds: Bounds,
        lost: Arc<Notify>,
        evicted: &mut Vec<(Wait, Arc<Notify>)>,
    ) -> Result<Ticket, Full> {
        while self.held_by(peer) >= bounds.per_peer {
            let victim = self.waiting_of(peer).ok_or(Full::Peer)?;
            evicted.extend(self.evict(victim));
        }
        while self.by_ticket.len() >= bounds.total {
            let victim = self.waiting_of_most().ok_or(Full::Total)?;
            evicted.extend(self.evict(victim));
        }
        Ok(self.enter(peer, lost))
    }

    fn held_by(&self, peer: Peer) -> usize {
        self.by_peer.get(&peer).map_or(0, |held| held.n_connections)
    }

    /// Returns the connection of a peer that is the first to make room.
    fn waiting_of(&self, peer: Peer) -> Option<Ticket> {
        let (_, _, ticket) = self.by_peer.get(&peer)?.first_waiting()?;
        Some(ticket)
    }

    /// Returns the connection of all that is the first to make room.
    fn waiting_of_most(&self) -> Option<Ticket> {
        let (_, _, _, peer) = self.ranks.last()?;
        self.waiting_of(*peer)
    }

    fn enter(&mut self, peer: Peer, lost: Arc<Notify>) -> Ticket {
        self.n_steps += 1;
        let ticket = self.n_steps;
        let standing = Standing::Waiting(Wait::First);
        let holder = Holder {
            peer,
            standing,
            since: ticket,
            lost,
        };
        self.by_ticket.insert(ticket, holder);
        let held = self.by_peer.entry(peer).or_default();
        held.n_connections += 1;
        held.note(standing, ticket, ticket);
        self.rank(peer);
        ticket
    }

    /// Notes what the server does for a connection; one that lost its place has no standing.
    fn stand(&mut self, ticket: Ticket, standing: Standing) {
        let Some(holder) = self.by_ticket.get_mut(&ticket) else {
            return;
        };
        let Some(held) = self.by_peer.get_mut(&holder.peer) else {
            return;
        };
        if holder.standing == standing {
            return;
        }
        self.n_steps += 1;
        held.forget(holder);
        holder.standing = standing;
        holder.since = self.n_steps;
        held.note(standing, holder.since, ticket);
        let peer = holder.peer;
        self.rank(peer);
    }

    fn evict(&mut self, ticket: Ticket) -> Option<(Wait, Arc<Notify>)> {
        let holder = self.leave(ticket)?;
        match holder.standing {
            Standing::Waiting(wait) => Some((wait, holder.lost)),
            Standing::Working => None,
        }
    }

    fn leave(&mut self, ticket: Ticket) -> Option<Holder> {
        let holder = self.by_ticket.remove(&ticket)?;
        if let Some(held) = self.by_peer.get_mut(&holder.peer) {
            held.n_connections -= 1;
            held.forget(&holder);
        }
        self.rank(holder.peer);
        Some(holder)
    }

    /// Brings the ranks of a peer in line with what it holds.
    fn rank(&mut self, peer: Peer) {
        let Some(held) = self.by_peer.get_mut(&peer) else {
            return;
        };
        let first = held.first_waiting();
        let new =
            first.map(|(wait, since, _)| (held.n_connections, Reverse(wait), Reverse(since), peer));
        if held.rank != new {
            if let Some(old) = held.rank.take() {
                self.ranks.remove(&old);
            }
            self.ranks.extend(new);
            held.rank = new;
        }
        if held.n_connections == 0 {
            self.by_peer.remove(&peer);
        }
    }
}

impl Held {
    /// Returns what the first connection to make room waits for, and since when.
    fn first_waiting(&self) -> Option<(Wait, u64, Ticket)> {
        let classes = WAITS.iter().zip(&self.waiting);
        let mut firsts = classes.filter_map(|(wait, waiting)| {
            let (since, ticket) = waiting.first_key_value()?;
            Some((*wait, *since, *ticket))
        });
        firsts.next()
    }

    fn note(&mut self, standing: Standing, since: u64, ticket: Ticket) {
        if let Some(waiting) = self.waiting_as(standing) {
            waiting.insert(since, ticket);
        }
    }

    fn forget(&mut self, holder: &Holder) {
        if let Some(waiting) = self.waiting_as(holder.standing) {
            waiting.remove(&holder.since);
        }
    }

    fn waiting_as(&mut self, standing: Standing) -> Option<&mut BTreeMap<u64, Ticket>> {
        match standing {
            Standing::Waiting(wait) => self.waiting.get_mut(wait.index()),
            Standing::Working => None,
        }
    }
}

const WAITS: [Wait; 3] = [Wait::First, Wait::Next, Wait::Client];
/// The part of an IPv6 address that names a network.
const NETWORK: u128 = u128::MAX << 64;

#[cfg(test)]
#[path = "places/tests.rs"]
mod tests;
