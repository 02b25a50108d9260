//! Waiting for a condition, never for time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks again and again until the answer is there, and returns it; gives up after a minute and says what
/// it waited for.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let given_up = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() > given_up {
            bail!("gave up after {} s waiting until {what}", LIMIT.as_secs());
        }
        // Only paces the questions; nothing is assumed to have happened meanwhile.
        std::thread::park_timeout(PACE);
    }
}

/// Returns the seconds since 1970, now.
#[expect(
    clippy::disallowed_methods,
    reason = "a client of the server has a clock of its own"
)]
pub fn now() -> u32 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |elapsed| {
        u32::try_from(elapsed.as_secs()).unwrap_or(u32::MAX)
    })
}

const LIMIT: Duration = Duration::from_mins(1);
/// How long to wait before the next question.
pub const PACE: Duration = Duration::from_millis(10);
