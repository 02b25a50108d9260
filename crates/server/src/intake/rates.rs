//! How many segments a second an account may send: `limits.segments_per_second`, over all doors.
//!
//! Calls of an account take their turn in the order they came. One that cannot be let in before its wait is over is
//! refused at once and takes nothing from those behind it. One that has more segments than a burst is let in when the
//! burst is there, and those behind it wait until the rest is made up for: whoever comes again is let in some time.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::Tenant;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::config::Config;

/// What an account may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    per_second: NonZeroU32,
    /// How many may come at once after silence.
    burst: NonZeroU32,
}

/// Why a call is not let in now. It would be let in later.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Rate exceeded: {per_second} segments per second may be sent; retry in {} s",
    seconds(*retry_after)
)]
pub(crate) struct RateError {
    /// How many segments a second are let in.
    pub(crate) per_second: NonZeroU32,
    /// When it would be let in if nothing else came.
    pub(crate) retry_after: Duration,
}

/// The rates of all accounts.
#[derive(Default)]
pub(crate) struct Rates {
    by_account: Mutex<HashMap<Tenant, Arc<Rate>>>,
}

/// What one account has sent lately.
struct Rate {
    allowed: Allowed,
    /// When a whole burst may come again, if nothing else comes.
    full_at: Mutex<Instant>,
    /// Held by the call that waits at the head of the line.
    turn: Semaphore,
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

    /// Returns the time in which so many segments may come.
    fn time_of(self, n_segments: u32) -> Duration {
        let nanos = u64::from(n_segments) * 1_000_000_000;
        Duration::from_nanos(nanos / u64::from(self.per_second.get()))
    }
}

impl Rates {
    /// Waits until an account may send so many segments more; at most for `wait_max`.
    ///
    /// # Errors
    /// Says when the call would be let in. It took nothing from the account's rate then.
    pub(crate) async fn wait(
        &self,
        tenant: Tenant,
        allowed: Allowed,
        n_segments: usize,
        wait_max: Duration,
    ) -> Result<(), RateError> {
        if n_segments == 0 {
            return Ok(());
        }
        let n_segments = u32::try_from(n_segments).unwrap_or(u32::MAX);
        let not_yet = |retry_after| RateError {
            per_second: allowed.per_second,
            retry_after,
        };
        let deadline = Instant::now() + wait_max;
        let rate = self.of(tenant, allowed);
        let Ok(Ok(_turn)) = timeout_at(deadline, rate.turn.acquire()).await else {
            return Err(not_yet(allowed.time_of(n_segments)));
        };
        while let Err(until) = rate.take(n_segments, Instant::now()) {
            if until > deadline {
                return Err(not_yet(until.saturating_duration_since(Instant::now())));
            }
            sleep_until(until).await;
        }
        Ok(())
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
        Self {
            allowed,
            full_at: Mutex::new(Instant::now()),
            turn: Semaphore::new(1),
        }
    }

    /// Takes so many segments of what is allowed, or says when to ask again.
    fn take(&self, n_segments: u32, now: Instant) -> Result<(), Instant> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        // What has to be there; of more than a burst there never is more.
        let n_wanted = n_segments.min(self.allowed.burst.get());
        let n_unwanted = self.allowed.burst.get() - n_wanted;
        let until_enough = full_at
            .saturating_duration_since(now)
            .saturating_sub(self.allowed.time_of(n_unwanted));
        if !until_enough.is_zero() {
            return Err(now + until_enough);
        }
        *full_at = now.max(*full_at) + self.allowed.time_of(n_segments);
        Ok(())
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
                Err(error) => sleep_until(Instant::now() + error.retry_after).await,
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
        let retry_after = error.unwrap_err().retry_after;
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
        assert_eq!(seconds(error.retry_after), 2, "{error:?}");
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
    async fn more_than_a_burst_is_let_in_and_made_up_for() {
        let rates = Rates::default();
        let allowed = allowed(100, 50).unwrap();
        let retry_after = async |n_segments| {
            let waited = rates.wait(ONE, allowed, n_segments, Duration::ZERO).await;
            waited.err().map(|error| error.retry_after.as_millis())
        };
        assert_eq!(retry_after(512).await, None);
        // 312 more than were there, and one.
        assert_eq!(retry_after(1).await, Some(3130));
        assert_eq!(retry_after(512).await, Some(5120));
        assert_eq!(retry_after(usize::MAX).await, Some(5120));
        tokio::time::advance(Duration::from_millis(5119)).await;
        assert_eq!(retry_after(512).await, Some(1));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(retry_after(512).await, None);
        assert_eq!(retry_after(0).await, None);
        assert_eq!(retry_after(1).await, Some(3130));
    }

    #[test]
    fn times_are_exact_to_the_nanosecond() {
        let check = |per_second, n_segments, expected| {
            let allowed = allowed(per_second, 50).unwrap();
            assert_eq!(allowed.time_of(n_segments).as_nanos(), expected);
        };
        check(1, 0, 0);
        check(1, u32::MAX, 4_294_967_295_000_000_000);
        check(3, 1, 333_333_333);
        check(3, 3, 1_000_000_000);
        check(1_000_000_000, 1, 1);
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
