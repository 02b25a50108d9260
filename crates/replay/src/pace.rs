//! When each piece of recorded traffic is due. Times are counted from the beginning of the replay; who sends reads the clock.

use std::num::NonZeroU32;
use std::time::Duration;

/// How fast a recording is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    /// With the recorded gaps, divided by a number.
    Times(NonZeroU32),
    /// All is due at once.
    Max,
}

/// How a recording is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacing {
    /// How fast.
    pub speed: Speed,
    /// How many pieces a second are sent at most, evenly; none for no such limit.
    pub rate: Option<NonZeroU32>,
}

/// When the pieces of a recording are due, asked for one by one in the order in which they are sent.
///
/// What is sent later is never due earlier, even if it was recorded with an earlier time: a document in progress stays
/// before the complete one. Fractions are kept and only rounded up, so that nothing is ever due too early and a rate
/// stays exact however long it goes on.
#[derive(Clone, Debug)]
pub struct Pace {
    pacing: Pacing,
    /// Where in the recording the round began.
    origin: Duration,
    /// When the round began, in [`Pace::parts`] of a nanosecond.
    round_start: u128,
    /// When the last piece was due, in the same unit.
    last: Option<u128>,
}

/// What is to be done about a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Wait so long.
    Wait(Duration),
    /// Send it now; it is so late.
    Send {
        /// How long ago it was due.
        lag: Duration,
    },
}

/// Returns what is to be done about a piece that is due at `due`; both times are counted from the beginning of the replay.
pub fn turn(due: Duration, now: Duration) -> Turn {
    match now.checked_sub(due) {
        Some(lag) => Turn::Send { lag },
        None => Turn::Wait(due.saturating_sub(now)),
    }
}

impl Pace {
    /// Returns the pace of a replay that begins at an offset in the recording: zero, or where an earlier run ended.
    pub const fn from(pacing: Pacing, offset: Duration) -> Self {
        Self {
            pacing,
            origin: offset,
            round_start: 0,
            last: None,
        }
    }

    /// Returns when the next piece is due, recorded at an offset from the beginning of the recording.
    pub fn due(&mut self, offset: Duration) -> Duration {
        let recorded = offset.saturating_sub(self.origin);
        let mut due = self.round_start.saturating_add(self.scaled(recorded));
        if let Some(last) = self.last {
            let gap = match self.pacing.rate {
                Some(_) => NANOS_PER_SEC.saturating_mul(self.parts_of_speed()),
                None => 0,
            };
            due = due.max(last.saturating_add(gap));
        }
        self.last = Some(due);
        let nanos = due.div_ceil(self.parts());
        u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos)
    }

    /// Begins the recording anew, behind the last piece and a pause as long as one that was recorded.
    pub fn next_round(&mut self, pause: Duration) {
        self.origin = Duration::ZERO;
        let pause = self.scaled(pause);
        self.round_start = self.last.unwrap_or(self.round_start).saturating_add(pause);
    }

    /// Returns how long a recorded time is at this speed.
    fn scaled(&self, recorded: Duration) -> u128 {
        match self.pacing.speed {
            // A nanosecond has `speed * rate` parts, of which `rate` are as long as `1 / speed` nanoseconds.
            Speed::Times(_) => recorded.as_nanos().saturating_mul(self.parts_of_rate()),
            Speed::Max => 0,
        }
    }

    /// Returns into how many parts a nanosecond is cut, so that every time is a whole number of them.
    fn parts(&self) -> u128 {
        self.parts_of_rate().saturating_mul(self.parts_of_speed())
    }

    fn parts_of_rate(&self) -> u128 {
        self.pacing.rate.map_or(1, |rate| u128::from(rate.get()))
    }

    fn parts_of_speed(&self) -> u128 {
        match self.pacing.speed {
            Speed::Times(times) => u128::from(times.get()),
            Speed::Max => 1,
        }
    }
}

const NANOS_PER_SEC: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn times(times: u32) -> Speed {
        Speed::Times(NonZeroU32::new(times).unwrap())
    }

    fn pace(speed: Speed, rate: Option<u32>) -> Pace {
        let rate = rate.map(|rate| NonZeroU32::new(rate).unwrap());
        Pace::from(Pacing { speed, rate }, Duration::ZERO)
    }

    fn check(speed: Speed, rate: Option<u32>, offsets_ms: &[u64], expected_ms: &[u64]) {
        let mut pace = pace(speed, rate);
        let offsets = offsets_ms.iter().copied().map(Duration::from_millis);
        let due: Vec<Duration> = offsets.map(|offset| pace.due(offset)).collect();
        let expected: Vec<Duration> = expected_ms
            .iter()
            .copied()
            .map(Duration::from_millis)
            .collect();
        assert_eq!(due, expected, "{speed:?} {rate:?} {offsets_ms:?}");
    }

    #[test]
    fn recorded_gaps_are_kept() {
        check(times(1), None, &[0, 10, 10, 250], &[0, 10, 10, 250]);
        check(times(10), None, &[0, 10, 10, 250], &[0, 1, 1, 25]);
        check(Speed::Max, None, &[0, 10, 10, 250], &[0, 0, 0, 0]);
    }

    #[test]
    fn order_is_kept_before_gaps() {
        check(times(1), None, &[20, 10, 0, 30], &[20, 20, 20, 30]);
    }

    #[test]
    fn a_rate_is_never_exceeded() {
        check(Speed::Max, Some(4), &[0, 0, 900, 0], &[0, 250, 500, 750]);
        check(times(1), Some(10), &[0, 10, 20, 900], &[0, 100, 200, 900]);
        check(times(2), Some(10), &[0, 10, 20, 900], &[0, 100, 200, 450]);
    }

    #[test]
    fn a_rate_does_not_drift() {
        let mut pace = pace(Speed::Max, Some(3));
        let due = (0..3_000_001).map(|_| pace.due(Duration::ZERO)).last();
        assert_eq!(due, Some(Duration::from_secs(1_000_000)));
    }

    #[test]
    fn fractions_are_rounded_up() {
        let mut pace = pace(times(3), None);
        assert_eq!(pace.due(Duration::from_nanos(1)), Duration::from_nanos(1));
        assert_eq!(pace.due(Duration::from_nanos(3)), Duration::from_nanos(1));
        assert_eq!(pace.due(Duration::from_nanos(4)), Duration::from_nanos(2));
    }

    #[test]
    fn rounds_follow_each_other() {
        let mut pace = pace(times(2), None);
        let ms = Duration::from_millis;
        assert_eq!([pace.due(ms(0)), pace.due(ms(100))], [ms(0), ms(50)]);
        pace.next_round(ms(20));
        assert_eq!([pace.due(ms(0)), pace.due(ms(100))], [ms(60), ms(110)]);
        pace.next_round(ms(0));
        assert_eq!([pace.due(ms(0)), pace.due(ms(100))], [ms(110), ms(160)]);
    }

    #[test]
    fn a_later_run_begins_where_an_earlier_one_ended() {
        let pacing = Pacing {
            speed: times(1),
            rate: None,
        };
        let ms = Duration::from_millis;
        let mut pace = Pace::from(pacing, ms(500));
        assert_eq!([pace.due(ms(510)), pace.due(ms(600))], [ms(10), ms(100)]);
        pace.next_round(ms(0));
        assert_eq!([pace.due(ms(0)), pace.due(ms(30))], [ms(100), ms(130)]);
    }

    #[test]
    fn the_longest_times_do_not_overflow() {
        let mut pace = pace(times(u32::MAX), Some(u32::MAX));
        assert_eq!(
            pace.due(Duration::MAX),
            Duration::from_nanos(4_294_967_297_000_000_001)
        );
        pace.next_round(Duration::MAX);
        assert!(pace.due(Duration::MAX) >= Duration::from_nanos(4_294_967_297_000_000_001));
    }

    #[test]
    fn nothing_is_sent_before_its_time() {
        let ms = Duration::from_millis;
        assert_eq!(turn(ms(10), ms(4)), Turn::Wait(ms(6)));
        assert_eq!(turn(ms(10), ms(10)), Turn::Send { lag: ms(0) });
        assert_eq!(turn(ms(10), ms(25)), Turn::Send { lag: ms(15) });
    }

    proptest! {
        #[test]
        fn never_ahead_in_order_and_within_the_rate(
            offsets in vec(0_u64..10_000_000_000, 1..40),
            speed in 1_u32..50,
            rate in proptest::option::of(1_u32..2000),
        ) {
            let mut pace = pace(times(speed), rate);
            let mut due: Vec<Duration> = Vec::new();
            for offset in &offsets {
                let offset = Duration::from_nanos(*offset);
                let next = pace.due(offset);
                prop_assert!(next * speed >= offset);
                prop_assert!(due.last().is_none_or(|last| next >= *last));
                due.push(next);
            }
            if let Some(rate) = rate {
                for (first_idx, first) in due.iter().enumerate() {
                    // So many pieces later than another one, a piece is due a second later.
                    if let Some(later) = due.get(first_idx + usize::try_from(rate).unwrap()) {
                        prop_assert!(*later + Duration::from_nanos(1) >= *first + Duration::from_secs(1));
                    }
                }
            }
        }
    }
}
