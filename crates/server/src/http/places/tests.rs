use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn peer(number: u8) -> Peer {
    Peer::of(IpAddr::from([10, 0, 0, number]))
}

/// One step: someone connects, or the connection opened as the n-th changes.
#[derive(Clone, Copy, Debug)]
enum Step {
    Connect(u8),
    Work(usize),
    Wait(usize, Wait),
    Leave(usize),
}

use Step::{Connect, Leave, Work};

/// What became of a connection, told by the order of opening.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Placed(Vec<usize>),
    Full(Full),
}

/// Places under test; connections are told by the order of opening, those turned away included.
#[derive(Default)]
struct Driven {
    places: Places,
    tickets: Vec<Option<Ticket>>,
}

impl Driven {
    fn step(&mut self, bounds: Bounds, step: Step) -> Option<Outcome> {
        match step {
            Connect(number) => return Some(self.connect(bounds, peer(number))),
            Work(nth) => self.stand(nth, Standing::Working),
            Step::Wait(nth, wait) => self.stand(nth, Standing::Waiting(wait)),
            Leave(nth) => {
                if let Some(ticket) = self.ticket(nth) {
                    self.places.leave(ticket);
                }
            }
        }
        None
    }

    fn connect(&mut self, bounds: Bounds, peer: Peer) -> Outcome {
        let before: Vec<Ticket> = self.places.by_ticket.keys().copied().collect();
        let mut evicted = Vec::new();
        let taken = self.places.take(peer, bounds, Arc::default(), &mut evicted);
        self.tickets.push(taken.ok());
        let gone = before
            .into_iter()
            .filter(|ticket| !self.places.by_ticket.contains_key(ticket));
        let mut gone: Vec<usize> = gone
            .map(|ticket| {
                self.tickets
                    .iter()
                    .position(|other| *other == Some(ticket))
                    .unwrap()
            })
            .collect();
        gone.sort_unstable();
        assert_eq!(gone.len(), evicted.len());
        match taken {
            Ok(_) => Outcome::Placed(gone),
            Err(full) => Outcome::Full(full),
        }
    }

    fn stand(&mut self, nth: usize, standing: Standing) {
        if let Some(ticket) = self.ticket(nth) {
            self.places.stand(ticket, standing);
        }
    }

    fn ticket(&self, nth: usize) -> Option<Ticket> {
        self.tickets.get(nth).copied().flatten()
    }
}

/// Takes the steps and checks what becomes of the last one, a connection.
fn check(bounds: (usize, usize), steps: &[Step], expected: Outcome) {
    let bounds = Bounds {
        total: bounds.0,
        per_peer: bounds.1,
    };
    let mut driven = Driven::default();
    let outcomes = steps.iter().map(|step| driven.step(bounds, *step));
    assert_eq!(outcomes.last().unwrap(), Some(expected), "{steps:?}");
}

fn idle(nth: usize) -> Step {
    Step::Wait(nth, Wait::Next)
}

fn stalled(nth: usize) -> Step {
    Step::Wait(nth, Wait::Client)
}

fn placed(evicted: &[usize]) -> Outcome {
    Outcome::Placed(evicted.to_vec())
}

#[test]
fn there_is_room_up_to_the_bounds() {
    check((3, 3), &[Connect(1), Connect(1), Connect(1)], placed(&[]));
    check((3, 1), &[Connect(1), Connect(2), Connect(3)], placed(&[]));
    check(
        (2, 2),
        &[Connect(1), Connect(1), Leave(0), Connect(1)],
        placed(&[]),
    );
}

#[test]
fn the_one_that_never_completed_a_request_goes_first() {
    let full = [Connect(1), idle(0), Connect(1), Connect(1), Connect(1)];
    check((3, 3), &full, placed(&[1]));
}

#[test]
fn then_the_one_that_is_idle_for_longest() {
    let full = [Connect(1), Connect(1), idle(1), idle(0), Connect(1)];
    check((2, 2), &full, placed(&[1]));
    let full = [Connect(1), Connect(1), stalled(0), idle(1), Connect(1)];
    check((2, 2), &full, placed(&[1]));
}

#[test]
fn then_the_one_whose_client_stalls() {
    let full = [Connect(1), Connect(1), stalled(1), Work(0), Connect(1)];
    check((2, 2), &full, placed(&[1]));
}

#[test]
fn a_request_under_way_is_never_broken_off() {
    let busy = [Connect(1), Work(0), Connect(1), Work(1), Connect(1)];
    check((2, 9), &busy, Outcome::Full(Full::Total));
    check((9, 2), &busy, Outcome::Full(Full::Peer));
    let others_wait = [Connect(2), Connect(1), Work(1), Connect(1)];
    check((9, 1), &others_wait, Outcome::Full(Full::Peer));
}

#[test]
fn the_peer_that_holds_the_most_makes_room() {
    let flood = [Connect(1), Connect(2), Connect(2), Connect(3), Connect(4)];
    check((4, 4), &flood, placed(&[1]));
    let equals = [Connect(2), Connect(1), Connect(3)];
    check((2, 2), &equals, placed(&[0]));
}

#[test]
fn who_holds_more_gives_up_a_place_of_its_own() {
    let flood = [
        Connect(1),
        Connect(2),
        idle(1),
        Connect(2),
        idle(2),
        Connect(2),
        idle(3),
        Connect(2),
    ];
    check((4, 4), &flood, placed(&[1]));
}

#[test]
fn who_holds_the_most_makes_room_whatever_its_connections_wait_for() {
    let hoard = [
        Connect(1),
        idle(0),
        Connect(1),
        idle(1),
        Connect(1),
        idle(2),
    ];
    let newcomers = [Connect(2), Connect(3)];
    check(
        (4, 4),
        &[hoard.as_slice(), &newcomers].concat(),
        placed(&[0]),
    );
    let stalling = [Connect(1), stalled(0), Connect(1), stalled(1)];
    check(
        (3, 3),
        &[stalling.as_slice(), &newcomers].concat(),
        placed(&[0]),
    );
    let working = [Connect(1), Work(0), Connect(1), Work(1)];
    check(
        (3, 3),
        &[working.as_slice(), &newcomers].concat(),
        placed(&[2]),
    );
}

#[test]
fn narrower_bounds_hold_from_the_next_connection_on() {
    let mut driven = Driven::default();
    let wide = Bounds {
        total: 4,
        per_peer: 4,
    };
    for _ in 0..4 {
        driven.step(wide, Connect(1));
    }
    let narrow = Bounds {
        total: 4,
        per_peer: 2,
    };
    assert_eq!(driven.step(narrow, Connect(1)), Some(placed(&[0, 1, 2])));
}

#[test]
fn a_peer_is_an_address_or_a_network_of_ipv6() {
    let of = |address: &str| Peer::of(address.parse().unwrap());
    assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
    assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
}

#[tokio::test]
async fn who_lost_a_place_is_told_and_a_dropped_place_is_free() {
    let pool = Pool::default();
    let bounds = Bounds {
        total: 1,
        per_peer: 1,
    };
    let first = pool.find(peer(1), bounds).unwrap();
    let second = pool.find(peer(1), bounds).unwrap();
    assert_eq!(second.evicted, [Wait::First]);
    first.place.lost().notified().await;
    first.place.stand(Standing::Working);
    drop(first);
    second.place.stand(Standing::Working);
    assert_eq!(pool.find(peer(2), bounds).unwrap_err(), Full::Total);
    drop(second);
    assert!(pool.find(peer(2), bounds).unwrap().evicted.is_empty());
}

/// The rules again, as a list that is looked through.
#[derive(Default)]
struct Model {
    /// In the order in which each got its standing.
    connections: Vec<(usize, u8, Standing)>,
    n_opened: usize,
}

impl Model {
    fn step(&mut self, bounds: Bounds, step: Step) -> Option<Outcome> {
        match step {
            Connect(number) => return Some(self.connect(bounds, number)),
            Work(nth) => self.stand(nth, Standing::Working),
            Step::Wait(nth, wait) => self.stand(nth, Standing::Waiting(wait)),
            Leave(nth) => self.connections.retain(|connection| connection.0 != nth),
        }
        None
    }

    fn stand(&mut self, nth: usize, standing: Standing) {
        let found = self.connections.iter().position(|held| held.0 == nth);
        if let Some(index) = found.filter(|index| self.connections[*index].2 != standing) {
            let (nth, number, _) = self.connections.remove(index);
            self.connections.push((nth, number, standing));
        }
    }

    fn held(&self, number: u8) -> usize {
        self.connections
            .iter()
            .filter(|held| held.1 == number)
            .count()
    }

    fn connect(&mut self, bounds: Bounds, number: u8) -> Outcome {
        let nth = self.n_opened;
        self.n_opened += 1;
        let full = if self.held(number) >= bounds.per_peer {
            Full::Peer
        } else if self.connections.len() >= bounds.total {
            Full::Total
        } else {
            self.connections
                .push((nth, number, Standing::Waiting(Wait::First)));
            return placed(&[]);
        };
        let victim = match full {
            Full::Peer => self.of_peer(number),
            Full::Total => self.of_all(),
        };
        let Some(victim) = victim else {
            return Outcome::Full(full);
        };
        self.connections.retain(|held| held.0 != victim);
        self.connections
            .push((nth, number, Standing::Waiting(Wait::First)));
        placed(&[victim])
    }

    fn of_peer(&self, number: u8) -> Option<usize> {
        let first = |wait| {
            let standing = Standing::Waiting(wait);
            let mut held = self.connections.iter();
            held.find(|held| held.1 == number && held.2 == standing)
        };
        let found = WAITS.into_iter().find_map(first);
        found.map(|held| held.0)
    }

    fn of_all(&self) -> Option<usize> {
        let is_waiting = |held: &&(usize, u8, Standing)| held.2 != Standing::Working;
        let waiting = || self.connections.iter().filter(is_waiting);
        let most = waiting().map(|held| self.held(held.1)).max()?;
        let first = |wait| {
            let standing = Standing::Waiting(wait);
            waiting().find(|held| self.held(held.1) == most && held.2 == standing)
        };
        let found = WAITS.into_iter().find_map(first);
        found.map(|held| held.0)
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let nth = 0..60_usize;
    let step = prop_oneof![
        4 => (0..5_u8).prop_map(Connect),
        3 => nth.clone().prop_map(Work),
        2 => nth.clone().prop_map(idle),
        1 => nth.clone().prop_map(stalled),
        1 => nth.prop_map(Leave),
    ];
    vec(step, 0..150)
}

proptest! {
    #[test]
    fn every_choice_is_that_of_the_rules(steps in steps(), total in 1..12_usize, per_peer in 1..8_usize) {
        let bounds = Bounds { total, per_peer };
        let (mut driven, mut model) = (Driven::default(), Model::default());
        for step in steps {
            let working: Vec<Ticket> = driven.places.by_ticket.iter()
                .filter(|(_, holder)| holder.standing == Standing::Working)
                .map(|(ticket, _)| *ticket)
                .collect();
            prop_assert_eq!(driven.step(bounds, step), model.step(bounds, step), "{:?}", step);
            let places = &driven.places;
            prop_assert!(places.by_ticket.len() <= total);
            prop_assert!(places.by_peer.values().all(|held| held.n_connections <= per_peer && held.n_connections > 0));
            let waiting = places.by_peer.values().filter(|held| held.first_waiting().is_some()).count();
            prop_assert_eq!(places.ranks.len(), waiting);
            if let Connect(_) = step {
                prop_assert!(working.iter().all(|ticket| places.by_ticket.contains_key(ticket)));
            }
        }
    }
}
