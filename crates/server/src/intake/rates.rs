//! How many segments a second an account may send: `limits.segments_per_second`, over all doors.
//!
//! Calls of an account take their turn in the order they came. One that cannot be let in before its wait is over is
//! refused at once and takes nothing from those behind it.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use model::Tenant;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};

use crate::config::Config;

/// What an account may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    per_second: NonZeroU32,
    /// How many may come at once after silence.
    burst: NonZeroU32,
}

/// Why a call is not let in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RateError {
    /// It would be let in later.
    #[error(
        "Rate exceeded: {per_second} segments per second may be sent; retry in {} s",
        seconds(*retry_after)
    )]
    NotYet {
        /// How many segments a second are let in.
        per_second: NonZeroU32,
        /// When it would be let in if nothing else came.
        retry_after: Duration,
    },
    /// It has more segments than are ever let in at once.
    #[error("Exceeding maximum segment count: {n_segments_max}")]
    TooMany {
        /// How many may come at once.
        n_segments_max: NonZeroU32,
    },
}

/// The rates of all accounts.
#[derive(Default)]
pub(crate) struct Rates {
    by_account: Mutex<HashMap<Tenant, Arc<Rate>>>,
}

/// What one account has sent lately.
struct Rate {
    allowed: Allowed,
    clock: RuntimeClock,
    limiter: RateLimiter<NotKeyed, InMemoryState, RuntimeClock, NoOpMiddleware<Duration>>,
    /// Held by the call that waits at the head of the line.
    turn: Semaphore,
}

/// The runtime's clock, as time since some start.
#[derive(Clone, Copy, Debug)]
struct RuntimeClock {
    started: Instant,
}

impl Clock for RuntimeClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Allowed {
    /// Returns what an account may send now; nothing if that is not limited. The largest call that is allowed is let
    /// in at once after silence, however low the rate is.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        let per_second = NonZeroU32::new(config.limits.segments_per_second)?;
        let of_a_call = u32::try_from(config.limits.documents_per_call).unwrap_or(u32::MAX);
        let burst = per_second.get().saturating_mul(2).max(of_a_call);
        Some(Self {
            per_second,
            burst: NonZeroU32::new(burst)?,
        })
    }
}

impl Rates {
    /// Waits until an account may send so many segments more; at most for `wait_max`.
    ///
    /// # Errors
    /// Says when the call would be let in, or that it never is. It took nothing from the account's rate then.
    pub(crate) async fn wait(
        &self,
        tenant: Tenant,
        allowed: Allowed,
        n_segments: usize,
        wait_max: Duration,
    ) -> Result<(), RateError> {
        let n_segments = u32::try_from(n_segments).unwrap_or(u32::MAX);
        let Some(n_segments) = NonZeroU32::new(n_segments) else {
            return Ok(());
        };
        let too_many = RateError::TooMany {
            n_segments_max: allowed.burst,
        };
        if n_segments > allowed.burst {
            return Err(too_many);
        }
        let not_yet = |retry_after| RateError::NotYet {
            per_second: allowed.per_second,
            retry_after,
        };
        let deadline = Instant::now() + wait_max;
        let rate = self.of(tenant, allowed);
        let Ok(Ok(_turn)) = timeout_at(deadline, rate.turn.acquire()).await else {
            let one = Duration::from_secs(1) / allowed.per_second.get();
            return Err(not_yet(one.saturating_mul(n_segments.get())));
        };
        loop {
            let Ok(checked) = rate.limiter.check_n(n_segments) else {
                return Err(too_many);
            };
            let Err(not_until) = checked else {
                return Ok(());
            };
            let pause = not_until.wait_time_from(rate.clock.now());
            if Instant::now() + pause > deadline {
                return Err(not_yet(pause));
            }
            sleep(pause).await;
        }
    }

    /// Returns an account's rate; a new one if what is allowed has changed.
    fn of(&self, tenant: Tenant, allowed: Allowed) -> Arc<Rate> {
        let mut by_account = self
            .by_account
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(rate) = by_account.get(&tenant)
            && rate.allowed == allowed
        {
            return Arc::clone(rate);
        }
        let rate = Arc::new(Rate::new(allowed));
        by_account.insert(tenant, Arc::clone(&rate));
        rate
    }
}

impl Rate {
    fn new(allowed: Allowed) -> Self {
        let clock = RuntimeClock {
            started: Instant::now(),
        };
        let quota = Quota::per_second(allowed.per_second).allow_burst(allowed.burst);
        Self {
            allowed,
            clock,
            limiter: RateLimiter::direct_with_clock(quota, clock),
            turn: Semaphore::new(1),
        }
    }
}

/// Returns whole seconds, at least one, after which so much time has passed.
pub(crate) fn seconds(duration: Duration) -> u64 {
    let begun = u64::from(duration.subsec_nanos() > 0);
    duration.as_secs().saturating_add(begun).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Tenant = Tenant(1);
    const TWO: Tenant = Tenant(2);

    fn allowed(per_second: u32, documents_per_call: usize) -> Option<Allowed> {
        let (mut config, _) = Config::load(&crate::config::Sources::default()).unwrap();
        config.limits.segments_per_second = per_second;
        config.limits.documents_per_call = documents_per_call;
        Allowed::of(&config)
    }

    #[test]
    fn a_burst_is_twice_the_rate_and_never_less_than_a_call() {
        let check = |per_second, documents_per_call, burst| {
            let allowed = allowed(per_second, documents_per_call);
            assert_eq!(allowed.map(|allowed| allowed.burst.get()), burst);
        };
        check(0, 50, None);
        check(100, 50, Some(200));
        check(10, 50, Some(50));
        check(u32::MAX, 50, Some(u32::MAX));
    }

    /// Sends one after the other for so many seconds and returns how many were let in.
    async fn flood(rates: &Rates, tenant: Tenant, allowed: Allowed, seconds: u64) -> u32 {
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut n_let_in = 0;
        while Instant::now() < end {
            match rates.wait(tenant, allowed, 10, Duration::ZERO).await {
                Ok(()) => n_let_in += 10,
                Err(RateError::NotYet { retry_after, .. }) => {
                    tokio::time::sleep_until(Instant::now() + retry_after).await;
                }
                Err(RateError::TooMany { .. }) => panic!("10 are not too many"),
            }
        }
        n_let_in
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_holds_over_time_and_for_each_account() {
        let rates = Rates::default();
        let allowed = allowed(100, 50).unwrap();
        // The burst of 200, then 100 a second; waits are whole milliseconds.
        let n_let_in = flood(&rates, ONE, allowed, 10).await;
        assert!((1150..=1200).contains(&n_let_in), "{n_let_in}");
        assert_eq!(rates.wait(TWO, allowed, 200, Duration::ZERO).await, Ok(()));
        let error = rates.wait(ONE, allowed, 50, Duration::ZERO).await;
        let Err(RateError::NotYet { retry_after, .. }) = error else {
            panic!("{error:?}")
        };
        assert!(retry_after <= Duration::from_millis(500), "{retry_after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_waits_for_its_turn_and_no_longer_than_it_may() {
        let rates = Rates::default();
        let allowed = allowed(100, 50).unwrap();
        let second = Duration::from_secs(1);
        rates.wait(ONE, allowed, 200, second).await.unwrap();
        let started = Instant::now();
        rates.wait(ONE, allowed, 100, second).await.unwrap();
        assert!(started.elapsed() >= second, "{:?}", started.elapsed());
        let error = rates.wait(ONE, allowed, 150, second).await.unwrap_err();
        let retry_after = match &error {
            RateError::NotYet { retry_after, .. } => *retry_after,
            RateError::TooMany { .. } => panic!("{error}"),
        };
        assert_eq!(seconds(retry_after), 2, "{retry_after:?}");
        assert_eq!(
            error.to_string(),
            "Rate exceeded: 100 segments per second may be sent; retry in 2 s"
        );
        // The refused call took nothing.
        rates.wait(ONE, allowed, 100, second).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_call_is_not_starved_by_small_ones() {
        let rates = Arc::new(Rates::default());
        let allowed = allowed(100, 50).unwrap();
        let second = Duration::from_secs(1);
        rates.wait(ONE, allowed, 200, second).await.unwrap();
        let large = Arc::clone(&rates);
        let large = tokio::spawn(async move { large.wait(ONE, allowed, 90, second).await });
        tokio::task::yield_now().await;
        let small = rates.wait(ONE, allowed, 5, second);
        let small = small.await;
        assert!(large.is_finished(), "a small call went before a large one");
        assert_eq!((large.await.unwrap(), small), (Ok(()), Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_a_burst_is_never_let_in() {
        let rates = Rates::default();
        let allowed = allowed(100, 50).unwrap();
        let error = rates.wait(ONE, allowed, 201, Duration::from_hours(1)).await;
        let n_segments_max = allowed.burst;
        assert_eq!(error, Err(RateError::TooMany { n_segments_max }));
        assert_eq!(rates.wait(ONE, allowed, 0, Duration::ZERO).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn another_rate_is_in_force_at_once() {
        let rates = Rates::default();
        let slow = allowed(1, 50).unwrap();
        let fast = allowed(1000, 50).unwrap();
        rates.wait(ONE, slow, 50, Duration::ZERO).await.unwrap();
        assert!(rates.wait(ONE, slow, 50, Duration::ZERO).await.is_err());
        assert_eq!(rates.wait(ONE, fast, 2000, Duration::ZERO).await, Ok(()));
    }

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(seconds(Duration::ZERO), 1);
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_secs(1)), 1);
        assert_eq!(seconds(Duration::from_millis(1001)), 2);
    }
}
