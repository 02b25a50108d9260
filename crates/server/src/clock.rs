//! The clock: the one place that asks the system for the time.

use std::time::{Duration, SystemTime};

use model::Timestamp;

/// Returns the time; a clock set before 1970 counts as 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the clock"
)]
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let nanos = since_epoch.unwrap_or(Duration::ZERO).as_nanos();
    Timestamp::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
