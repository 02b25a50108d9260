//! How lengths of time are spread, in bounded memory.

use std::time::Duration;

/// Lengths of time, counted in classes that are at most a sixteenth wide.
#[derive(Clone, Debug, Default)]
pub(super) struct Quantiles {
    counts: Vec<u64>,
    n: u64,
    max: Duration,
}

impl Quantiles {
    /// Counts a length.
    pub(super) fn add(&mut self, length: Duration) {
        let class = class(length);
        if self.counts.len() <= class {
            self.counts.resize(class + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(class) {
            *count += 1;
        }
        self.n += 1;
        self.max = self.max.max(length);
    }

    /// Returns a length that so many thousandths are not longer than, at most a sixteenth too long; zero of none.
    pub(super) fn at(&self, thousandths: u64) -> Duration {
        let wanted = self.n.saturating_mul(thousandths).div_ceil(1000).max(1);
        let mut n_seen = 0;
        for (class, count) in self.counts.iter().enumerate() {
            n_seen += count;
            if n_seen >= wanted {
                return longest(class).min(self.max);
            }
        }
        self.max
    }

    /// Returns the longest one, exactly.
    pub(super) const fn max(&self) -> Duration {
        self.max
    }

    /// Returns how many there are.
    pub(super) const fn len(&self) -> u64 {
        self.n
    }
}

/// Returns the class of a length: by its highest bit and the four below it.
fn class(length: Duration) -> usize {
    let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    let shift = nanos.max(1).ilog2().saturating_sub(STEP_BITS);
    let class = u64::from(shift) * STEPS + (nanos >> shift);
    usize::try_from(class).unwrap_or(usize::MAX)
}

/// Returns the longest length of a class.
fn longest(class: usize) -> Duration {
    let class = u64::try_from(class).unwrap_or(u64::MAX);
    if class < 2 * STEPS {
        return Duration::from_nanos(class);
    }
    let shift = class / STEPS - 1;
    let step = class % STEPS + STEPS;
    let nanos = (u128::from(step) + 1).checked_shl(u32::try_from(shift).unwrap_or(64));
    let nanos = nanos.map_or(u64::MAX, |nanos| {
        u64::try_from(nanos - 1).unwrap_or(u64::MAX)
    });
    Duration::from_nanos(nanos)
}

const STEP_BITS: u32 = 4;
const STEPS: u64 = 1 << STEP_BITS;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_counted() {
        let mut quantiles = Quantiles::default();
        assert_eq!(quantiles.at(990), Duration::ZERO);
        for millis in 1..=1000 {
            quantiles.add(Duration::from_millis(millis));
        }
        assert_eq!(quantiles.max(), Duration::from_secs(1));
        assert_eq!(quantiles.at(1000), Duration::from_secs(1));
        let near = |length: Duration, millis: u128| {
            assert!(
                (millis..=millis + millis / 16 + 1).contains(&length.as_millis()),
                "{length:?}"
            );
        };
        near(quantiles.at(500), 500);
        near(quantiles.at(990), 990);
    }

    proptest! {
        #[test]
        fn a_length_is_in_its_class(nanos: u64) {
            let length = Duration::from_nanos(nanos);
            let longest_nanos = u64::try_from(longest(class(length)).as_nanos()).unwrap();
            prop_assert!(longest_nanos >= nanos);
            prop_assert!(longest_nanos - nanos <= nanos / 16);
            prop_assert_eq!(class(Duration::from_nanos(longest_nanos)), class(length));
        }
    }
}
