//! A rule's reservoir, divided among the clients that are alive.
//!
//! How the service divides it is not published; only that it does (X-Ray developer guide, "Using sampling
//! rules with the X-Ray API"). Here it is divided evenly over live clients, the remainder going to
//! those that came first. A client is alive while its last report is not older than three intervals.
//! A client gets its even share or what others do not hold, whichever is less, so that a newcomer waits until
//! the others have reported once more and come down to their shares: what live clients hold never
//! adds up to more than the reservoir, and is all of it after each of them has reported twice.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;

/// The clients of one rule that are alive.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    /// Place of each in the order of arrival.
    by_id: HashMap<Arc<str>, u64>,
    in_order: BTreeMap<u64, Client>,
    /// When each was seen last, and its place.
    by_seen: BTreeSet<(Timestamp, u64)>,
    /// What all of them hold.
    held: u64,
    n_joined: u64,
}

#[derive(Debug)]
struct Client {
    id: Arc<str>,
    seen_at: Timestamp,
    quota: u32,
}

impl Clients {
    /// Notes that a client reported and returns how many requests a second it may trace.
    ///
    /// A client too many gets nothing and is not noted. Takes time linear in the reservoir or in the
    /// number of clients, whichever is less.
    pub(crate) fn report(&mut self, client_id: &str, reservoir: u32, now: Timestamp) -> u32 {
        self.forget(now);
        let joined = match self.by_id.get(client_id) {
            Some(joined) => *joined,
            None if self.by_id.len() >= CLIENTS_MAX => return 0,
            None => self.join(client_id, now),
        };
        let share = self.share(joined, reservoir);
        let Some(client) = self.in_order.get_mut(&joined) else {
            return 0;
        };
        let held_by_others = self.held.saturating_sub(u64::from(client.quota));
        let free = u64::from(reservoir).saturating_sub(held_by_others);
        client.quota = share.min(u32::try_from(free).unwrap_or(u32::MAX));
        self.held = held_by_others + u64::from(client.quota);
        self.by_seen.remove(&(client.seen_at, joined));
        self.by_seen.insert((now, joined));
        client.seen_at = now;
        client.quota
    }

    /// Takes back what clients hold that are not alive any more.
    fn forget(&mut self, now: Timestamp) {
        while let Some((seen_at, joined)) = self.by_seen.first().copied() {
            if now.since(seen_at) <= ALIVE {
                break;
            }
            self.by_seen.remove(&(seen_at, joined));
            if let Some(client) = self.in_order.remove(&joined) {
                self.held = self.held.saturating_sub(u64::from(client.quota));
                self.by_id.remove(&client.id);
            }
        }
    }

    /// Notes a new client, which holds nothing yet, and returns its place.
    fn join(&mut self, client_id: &str, now: Timestamp) -> u64 {
        let joined = self.n_joined;
        self.n_joined += 1;
        let id: Arc<str> = client_id.into();
        self.by_id.insert(Arc::clone(&id), joined);
        self.by_seen.insert((now, joined));
        let client = Client {
            id,
            seen_at: now,
            quota: 0,
        };
        self.in_order.insert(joined, client);
        joined
    }

    /// Returns the part of a reservoir that falls to the client at a place.
    fn share(&self, joined: u64, reservoir: u32) -> u32 {
        let n_clients = u32::try_from(self.in_order.len())
            .unwrap_or(u32::MAX)
            .max(1);
        let n_with_one_more = usize::try_from(reservoir % n_clients).unwrap_or(usize::MAX);
        let first_without = self.in_order.keys().nth(n_with_one_more);
        let has_one_more = first_without.is_some_and(|first| joined < *first);
        reservoir / n_clients + u32::from(has_one_more)
    }
}

/// How often clients shall report.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);
/// How long a client may use its quota without hearing from us.
pub(crate) const QUOTA_LASTS: Duration = Duration::from_mins(5);
const ALIVE: Duration = INTERVAL.saturating_mul(3);
/// Clients of one rule that are kept in mind.
const CLIENTS_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_795_000_000 + secs)
    }

    /// Lets clients report one after another and compares what each of them gets.
    fn check(clients: &mut Clients, reservoir: u32, now: u64, expected: &[(&str, u32)]) {
        for (client_id, quota) in expected {
            let got = clients.report(client_id, reservoir, at(now));
            assert_eq!(got, *quota, "{client_id} at {now}");
        }
    }

    #[test]
    fn a_reservoir_is_divided_evenly_and_the_first_get_the_rest() {
        let clients = &mut Clients::default();
        check(clients, 10, 0, &[("c", 10)]);
        // The newcomers wait until the first has come down to its share.
        check(clients, 10, 1, &[("b", 0), ("a", 0)]);
        check(clients, 10, 10, &[("c", 4), ("b", 3), ("a", 3)]);
        check(clients, 10, 20, &[("c", 4), ("b", 3), ("a", 3)]);
        // One that leaves gives its share back, as soon as it counts as gone.
        check(clients, 10, 30, &[("b", 3), ("a", 3)]);
        check(clients, 10, 50, &[("b", 3), ("a", 3)]);
        check(clients, 10, 51, &[("b", 5), ("a", 5)]);
        // And begins at the end when it comes back.
        check(clients, 10, 60, &[("c", 0), ("b", 4), ("a", 3), ("c", 3)]);
    }

    #[test]
    fn there_may_be_more_clients_than_requests_to_share() {
        let clients = &mut Clients::default();
        check(clients, 1, 0, &[("a", 1), ("b", 0), ("c", 0)]);
        check(clients, 1, 10, &[("a", 1), ("b", 0), ("c", 0)]);
        check(clients, 0, 20, &[("a", 0), ("b", 0)]);
        check(clients, u32::MAX, 30, &[("a", 1_431_655_765)]);
    }

    #[test]
    fn a_client_too_many_gets_nothing_and_is_not_noted() {
        let clients = &mut Clients::default();
        for number in 0..CLIENTS_MAX {
            clients.report(&number.to_string(), 1_000_000, at(0));
        }
        check(clients, 1_000_000, 20, &[("too many", 0)]);
        assert_eq!(clients.by_id.len(), CLIENTS_MAX);
        // They are gone by now, and it is not.
        check(clients, 1_000_000, 31, &[("too many", 1_000_000)]);
        assert_eq!(clients.by_id.len(), 1);
    }

    proptest! {
        /// Whoever reports when: live clients never hold more than the reservoir, and all of it after two rounds.
        #[test]
        fn live_clients_hold_no_more_than_the_reservoir(
            reservoir in 0..40_u32,
            reports in prop::collection::vec((0..8_u32, 0..25_u64), 1..80),
        ) {
            let mut clients = Clients::default();
            let mut now = 0;
            let held = |clients: &Clients, now| -> u32 {
                let live = clients.in_order.values().filter(|client| at(now).since(client.seen_at) <= ALIVE);
                live.map(|client| client.quota).sum()
            };
            for (client, pause) in reports {
                now += pause;
                let quota = clients.report(&client.to_string(), reservoir, at(now));
                let place = clients.by_id[client.to_string().as_str()];
                prop_assert_eq!(clients.in_order[&place].quota, quota);
                prop_assert_eq!(clients.held, u64::from(held(&clients, now)));
                let lengths = [clients.by_id.len(), clients.in_order.len(), clients.by_seen.len()];
                prop_assert_eq!(lengths, [lengths[0]; 3]);
                prop_assert!(held(&clients, now) <= reservoir);
            }
            for _ in 0..2 {
                let ids: Vec<Arc<str>> = clients.by_id.keys().cloned().collect();
                for id in ids {
                    clients.report(&id, reservoir, at(now));
                }
            }
            prop_assert_eq!(held(&clients, now), reservoir);
            let quotas = clients.in_order.values().map(|client| client.quota);
            let (least, most) = (quotas.clone().min().unwrap(), quotas.max().unwrap());
            prop_assert!(most - least <= 1, "{} and {}", least, most);
        }
    }
}
