//! How fast a server is asked: as fast as allowed, half as fast each time it says it has no room, and then slowly faster
//! again. While it asks to be left alone, it is, by all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The turns of requests that are made side by side; cloning is cheap and shares them.
#[derive(Clone, Debug)]
pub(crate) struct Pace(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    per_second: f64,
    per_second_max: f64,
    /// When the next request may be made.
    next: Instant,
    /// Before when the server asked to be left alone.
    not_before: Instant,
    /// Whether the server had no room since the last turn.
    is_throttled: bool,
}

impl Pace {
    /// Returns a pace of at most so many requests a second.
    pub(crate) fn of(per_second_max: f64) -> Self {
        let now = Instant::now();
        Self(Arc::new(Mutex::new(State {
            per_second: per_second_max,
            per_second_max,
            next: now,
            not_before: now,
            is_throttled: false,
        })))
    }

    /// Returns when it is the caller's turn.
    pub(crate) async fn turn(&self) {
        loop {
            let at = self.state().turn(Instant::now());
            tokio::time::sleep_until(at).await;
            // Meanwhile another one may have been told to wait.
            if self.state().not_before <= Instant::now() {
                return;
            }
        }
    }

    /// Notes that the server had no room, and for how long it asked to be left alone.
    pub(crate) fn slow_down(&self, asked: Option<Duration>) {
        self.state().slow_down(asked, Instant::now());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns when the next request may be made, and moves on.
    fn turn(&mut self, now: Instant) -> Instant {
        if std::mem::take(&mut self.is_throttled) {
            self.per_second = (self.per_second / 2.0).max(PER_SECOND_MIN);
        } else {
            let faster = self.per_second + self.per_second_max * RECOVERY;
            self.per_second = faster.min(self.per_second_max);
        }
        let at = self.next.max(self.not_before).max(now);
        self.next = at + Duration::from_secs_f64(1.0 / self.per_second);
        at
    }

    fn slow_down(&mut self, asked: Option<Duration>, now: Instant) {
        self.is_throttled = true;
        let until = asked.and_then(|asked| now.checked_add(asked));
        self.not_before = self.not_before.max(until.unwrap_or(now));
    }
}

/// What a server that is never throttled away is asked at least.
const PER_SECOND_MIN: f64 = 0.2;
/// The part of the highest pace that a request without refusal gives back.
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
            not_before: begun,
            is_throttled: false,
        };
        let millis = |at: Instant| (at - begun).as_millis();
        assert_eq!(millis(state.turn(begun)), 0);
        assert_eq!(millis(state.turn(begun)), 100);
        for _ in 0..3 {
            state.slow_down(None, begun);
        }
        assert_eq!(millis(state.turn(begun)), 200);
        assert!((state.per_second - 5.0).abs() < 1e-9);
        assert_eq!(millis(state.turn(begun)), 400);
        for _ in 0..40 {
            state.slow_down(None, begun);
            state.turn(begun);
        }
        assert!((state.per_second - PER_SECOND_MIN).abs() < 1e-9);
        for _ in 0..200 {
            state.turn(begun);
        }
        assert!((state.per_second - 10.0).abs() < 1e-9);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_turn_waits_on_when_another_one_is_told_to() {
        let begun = Instant::now();
        let pace = Pace::of(1.0);
        pace.turn().await;
        let waiting = tokio::spawn({
            let pace = pace.clone();
            async move {
                pace.turn().await;
                Instant::now()
            }
        });
        tokio::task::yield_now().await;
        pace.slow_down(Some(Duration::from_mins(1)));
        pace.slow_down(Some(Duration::from_secs(9)));
        let at = waiting.await.unwrap() - begun;
        assert!(
            at >= Duration::from_mins(1) && at < Duration::from_secs(61),
            "{at:?}"
        );
    }
}
