//! Moving times by a whole number of seconds, and the times inside of trace ids.

use model::{Timestamp, TraceId};

use crate::ids::{UNIQUE, epoch};

/// How far times are moved: a whole number of seconds, so that every notation can carry it.
///
/// The first four bytes of a trace id are moved along if they look like a time: at most ten years from a moment of the
/// recording. That moment is the same for all of a replay, and not each segment's start, since documents of one trace
/// have many starts and must agree about its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    secs: i64,
    /// The first second of those that look like times of the recording.
    window_start: u32,
}

/// A time that is moved before 1970 or beyond the year 2554.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time {time}, moved by {shift_secs} s, is before 1970 or after the year 2554")]
pub struct OutOfRange {
    /// The time as recorded.
    pub time: Timestamp,
    /// How far it was to be moved.
    pub shift_secs: i64,
}

impl Shift {
    /// Returns the shift that moves `recorded`, a moment of the recording (as a rule its first), to `wanted` or less
    /// than a second before it, so that nothing comes to lie ahead.
    pub fn between(recorded: Timestamp, wanted: Timestamp) -> Self {
        let nanos = i128::from(wanted.as_nanos()) - i128::from(recorded.as_nanos());
        let secs = nanos.div_euclid(i128::from(NANOS_PER_SEC));
        // Times have 64 bits of nanoseconds, so their seconds always fit.
        Self::by(recorded, i64::try_from(secs).unwrap_or_default())
    }

    /// Returns the shift by so many seconds, maybe none, of a recording that `recorded` is a moment of. That moment matters
    /// even if nothing is moved: it tells which trace ids keep a time in front when they get new ones.
    pub const fn by(recorded: Timestamp, secs: i64) -> Self {
        let recorded = modular(recorded.as_secs().cast_signed());
        Self {
            secs,
            window_start: recorded.wrapping_sub(WINDOW_SECS / 2),
        }
    }

    /// Returns the shift that undoes this one.
    #[must_use]
    pub const fn inverse(self) -> Self {
        Self {
            secs: self.secs.wrapping_neg(),
            window_start: self.window_start.wrapping_add(modular(self.secs)),
        }
    }

    /// Returns how far it moves.
    pub const fn secs(&self) -> i64 {
        self.secs
    }

    /// Returns a time moved.
    ///
    /// # Errors
    /// [`OutOfRange`].
    pub fn time(&self, time: Timestamp) -> Result<Timestamp, OutOfRange> {
        let moved = i128::from(self.secs) * i128::from(NANOS_PER_SEC) + i128::from(time.as_nanos());
        let moved = u64::try_from(moved).map_err(|_| self.out_of_range(time))?;
        Ok(Timestamp::from_nanos(moved))
    }

    /// Returns the id of a trace, its time moved if it has one.
    pub fn trace_id(&self, id: TraceId) -> TraceId {
        let number = u128::from_be_bytes(*id.as_bytes());
        let moved = u128::from(self.epoch(epoch(number))) << 96;
        TraceId::from_bytes((moved | (number & UNIQUE)).to_be_bytes())
    }

    /// Tells whether the first bytes of a moved trace id are a time that was moved.
    pub(crate) const fn is_moved_epoch(&self, epoch: u32) -> bool {
        let end_of_shift = self.window_start.wrapping_add(modular(self.secs));
        epoch.wrapping_sub(end_of_shift) < WINDOW_SECS
    }

    pub(crate) const fn out_of_range(&self, time: Timestamp) -> OutOfRange {
        OutOfRange {
            time,
            shift_secs: self.secs,
        }
    }

    /// Returns the first bytes of a trace id, moved if they look like a time; one to one.
    ///
    /// What lay in the places that the times move to goes to the places they leave, and all else stays. Seconds are
    /// counted round the 32 bits.
    const fn epoch(&self, epoch: u32) -> u32 {
        let from_start = epoch.wrapping_sub(self.window_start);
        let shift = modular(self.secs);
        let (shift_up, shift_down) = (shift, shift.wrapping_neg());
        if from_start < WINDOW_SECS {
            return epoch.wrapping_add(shift);
        }
        if shift_up < WINDOW_SECS {
            let is_taken = from_start - WINDOW_SECS < shift_up;
            return if is_taken {
                epoch.wrapping_sub(WINDOW_SECS)
            } else {
                epoch
            };
        }
        if shift_down < WINDOW_SECS {
            let is_taken = self.window_start.wrapping_sub(epoch) <= shift_down;
            return if is_taken {
                epoch.wrapping_add(WINDOW_SECS)
            } else {
                epoch
            };
        }
        let is_taken = from_start.wrapping_sub(shift) < WINDOW_SECS;
        if is_taken {
            epoch.wrapping_sub(shift)
        } else {
            epoch
        }
    }
}

/// Returns seconds as the 32 bits of a trace id count them.
#[expect(clippy::cast_possible_truncation, reason = "the remainder has 32 bits")]
const fn modular(secs: i64) -> u32 {
    secs.rem_euclid(1 << 32) as u32
}

const NANOS_PER_SEC: u64 = 1_000_000_000;
/// Ten years on either side.
const WINDOW_SECS: u32 = 2 * 10 * 31_557_600;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn check_between(recorded: u64, wanted: u64, secs: i64) {
        let shift = Shift::between(
            Timestamp::from_nanos(recorded),
            Timestamp::from_nanos(wanted),
        );
        assert_eq!(shift.secs(), secs, "{recorded} {wanted}");
    }

    #[test]
    fn nothing_comes_to_lie_ahead() {
        check_between(0, 0, 0);
        check_between(1, 1_000_000_000, 0);
        check_between(1, 1_000_000_001, 1);
        check_between(1, 0, -1);
        check_between(1_500_000_000, 0, -2);
        check_between(0, u64::MAX, 18_446_744_073);
        check_between(u64::MAX, 0, -18_446_744_074);
    }

    #[test]
    fn times_that_do_not_fit_are_told() {
        let recorded = Timestamp::from_secs(10);
        assert_eq!(Shift::by(recorded, -10).time(recorded), Ok(Timestamp::ZERO));
        for secs in [-11, 18_446_744_064, i64::MIN, i64::MAX] {
            let shift = Shift::by(recorded, secs);
            assert_eq!(
                shift.time(recorded),
                Err(shift.out_of_range(recorded)),
                "{secs}"
            );
        }
    }

    /// Checks where the epoch of an id goes, with times around 1 478 293 361.
    fn check_epoch(secs: i64, epoch: u32, expected: u32) {
        let shift = Shift::by(Timestamp::from_secs(u64::from(RECORDED)), secs);
        assert_eq!(shift.epoch(epoch), expected, "{epoch} by {secs}");
        assert_eq!(
            shift.inverse().epoch(expected),
            epoch,
            "{expected} back by {secs}"
        );
        let is_time = epoch.abs_diff(RECORDED) < WINDOW_SECS / 2;
        assert_eq!(shift.is_moved_epoch(expected), is_time, "{epoch} by {secs}");
    }

    const RECORDED: u32 = 1_478_293_361;

    #[test]
    fn the_epoch_is_moved_if_it_looks_like_one() {
        let ten_years = WINDOW_SECS / 2;
        for secs in [0_u32, 1, 1000, 300_000_000, 700_000_000] {
            let shift = i64::from(secs);
            check_epoch(shift, RECORDED, RECORDED + secs);
            check_epoch(-shift, RECORDED, RECORDED - secs);
            check_epoch(
                shift,
                RECORDED + ten_years - 1,
                RECORDED + ten_years - 1 + secs,
            );
            check_epoch(
                shift,
                RECORDED - ten_years + 1,
                RECORDED - ten_years + 1 + secs,
            );
            check_epoch(shift, 0xffff_ffff, 0xffff_ffff);
            check_epoch(-shift, 0xffff_ffff, 0xffff_ffff);
        }
        // What the times move to goes where they were.
        check_epoch(1000, RECORDED + ten_years, RECORDED - ten_years);
        check_epoch(1000, RECORDED + ten_years + 999, RECORDED - ten_years + 999);
        check_epoch(
            1000,
            RECORDED + ten_years + 1000,
            RECORDED + ten_years + 1000,
        );
        check_epoch(-1000, RECORDED - ten_years - 1, RECORDED + ten_years - 1);
        check_epoch(
            -1000,
            RECORDED - ten_years - 1000,
            RECORDED + ten_years - 1000,
        );
        check_epoch(
            -1000,
            RECORDED - ten_years - 1001,
            RECORDED - ten_years - 1001,
        );
        check_epoch(700_000_000, RECORDED + 700_000_000, RECORDED);
    }

    proptest! {
        #[test]
        fn no_two_epochs_become_one(recorded: u32, secs in -20_000_000_000_i64..20_000_000_000, near in -3_i64..3) {
            let shift = Shift::by(Timestamp::from_secs(u64::from(recorded)), secs);
            let start = i64::from(shift.window_start);
            let window = i64::from(WINDOW_SECS);
            let edges = [0, window, secs, secs + window, -secs, window - secs, -window, secs - window];
            let epochs: HashSet<u32> = edges.iter().map(|edge| modular(start + edge + near)).collect();
            let moved: HashSet<u32> = epochs.iter().map(|epoch| shift.epoch(*epoch)).collect();
            prop_assert_eq!(moved.len(), epochs.len());
            for epoch in epochs {
                prop_assert_eq!(shift.inverse().epoch(shift.epoch(epoch)), epoch);
                let was_time = epoch.wrapping_sub(shift.window_start) < WINDOW_SECS;
                prop_assert_eq!(shift.is_moved_epoch(shift.epoch(epoch)), was_time);
            }
        }

        #[test]
        fn lengths_of_time_stay(times: [u64; 2], secs: i32) {
            let shift = Shift::by(Timestamp::ZERO, i64::from(secs));
            let [one, two] = times.map(Timestamp::from_nanos);
            if let (Ok(one_moved), Ok(two_moved)) = (shift.time(one), shift.time(two)) {
                prop_assert_eq!(one_moved.since(two_moved), one.since(two));
                prop_assert_eq!(shift.inverse().time(one_moved), Ok(one));
            }
        }
    }
}
