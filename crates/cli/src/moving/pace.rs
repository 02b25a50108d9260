//! How fast a server is asked: as fast as allowed, half as fast each time it says it has no room, and then slowly faster
//! again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::client::Client;

/// The turns of calls that are made side by side; cloning is cheap and shares them.
#[derive(Clone, Debug)]
pub(crate) struct Pace(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    per_second: f64,
    per_second_max: f64,
    /// When the next call may be made.
    next: Instant,
    /// How often the server had no room, as far as that was looked at.
    n_throttled: u64,
}

impl Pace {
    /// Returns a pace of at most so many calls a second.
    pub(crate) fn of(per_second_max: f64) -> Self {
        Self(Arc::new(Mutex::new(State {
            per_second: per_second_max,
            per_second_max,
            next: Instant::now(),
            n_throttled: 0,
        })))
    }

    /// Returns when it is the caller's turn.
    pub(crate) async fn turn(&self, client: &Client) {
        let at = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.turn(client.n_throttled(), Instant::now())
        };
        tokio::time::sleep_until(at).await;
    }
}

impl State {
    /// Returns when the next call may be made, and moves on.
    fn turn(&mut self, n_throttled: u64, now: Instant) -> Instant {
        if n_throttled > self.n_throttled {
            self.n_throttled = n_throttled;
            self.per_second = (self.per_second / 2.0).max(PER_SECOND_MIN);
        } else {
            let faster = self.per_second + self.per_second_max * RECOVERY;
            self.per_second = faster.min(self.per_second_max);
        }
        let at = self.next.max(now);
        self.next = at + Duration::from_secs_f64(1.0 / self.per_second);
        at
    }
}

/// What a server that is never throttled away is asked at least.
const PER_SECOND_MIN: f64 = 0.2;
/// The part of the highest pace that a call without refusal gives back.
const RECOVERY: f64 = 0.01;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn turns_come_at_the_pace_which_falls_when_there_is_no_room() {
        let begun = Instant::now();
        let mut state = State {
            per_second: 10.0,
            per_second_max: 10.0,
            next: begun,
            n_throttled: 0,
        };
        let millis = |at: Instant| (at - begun).as_millis();
        assert_eq!(millis(state.turn(0, begun)), 0);
        assert_eq!(millis(state.turn(0, begun)), 100);
        assert_eq!(millis(state.turn(3, begun)), 200);
        assert!((state.per_second - 5.0).abs() < 1e-9);
        assert_eq!(millis(state.turn(3, begun)), 400);
        for n_throttled in 4..40 {
            state.turn(n_throttled, begun);
        }
        assert!((state.per_second - PER_SECOND_MIN).abs() < 1e-9);
        for _ in 0..200 {
            state.turn(39, begun);
        }
        assert!((state.per_second - 10.0).abs() < 1e-9);
    }
}
