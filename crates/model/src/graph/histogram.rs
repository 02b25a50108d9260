//! How long requests took, in few buckets (spec: `HistogramEntry`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Counts by length of time. Counts may be negative: sums are corrected by taking away.
///
/// A list ascending by length, without zeros: most have a handful of buckets, and there are many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram(Vec<(u32, i64)>);

impl Histogram {
    /// Adds to the count of a length of time.
    pub fn add(&mut self, duration: Duration, count: i64) {
        self.add_ms(bucket_ms(duration), count);
    }

    /// Adds the counts of another one.
    pub fn merge(&mut self, other: &Self) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
            return;
        }
        for (ms, count) in &other.0 {
            self.add_ms(*ms, *count);
        }
    }

    /// Returns the milliseconds of each bucket and its count, ascending, without empty ones.
    pub fn iter(&self) -> impl Iterator<Item = (u32, i64)> + '_ {
        self.0.iter().copied()
    }

    fn add_ms(&mut self, ms: u32, count: i64) {
        match self.0.binary_search_by_key(&ms, |(ms, _)| *ms) {
            Ok(place) => {
                let Some((_, slot)) = self.0.get_mut(place) else {
                    return;
                };
                *slot = slot.saturating_add(count);
                if *slot == 0 {
                    self.0.remove(place);
                }
            }
            Err(place) if count != 0 => self.0.insert(place, (ms, count)),
            Err(_) => {}
        }
    }
}

/// Returns the bucket of a length of time: milliseconds up to a second, as recorded answers of the
/// service have them, and three significant digits above.
pub fn bucket_ms(duration: Duration) -> u32 {
    let ms = (duration.as_nanos() + 500_000) / 1_000_000;
    let mut step = 1_u128;
    while ms / step >= 1_000 {
        step *= 10;
    }
    let rounded = (ms + step / 2) / step * step;
    u32::try_from(rounded).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(nanos: u64, expected: u32) {
        assert_eq!(bucket_ms(Duration::from_nanos(nanos)), expected, "{nanos}");
    }

    #[test]
    fn buckets_are_milliseconds_then_three_digits() {
        check(0, 0);
        check(499_999, 0);
        check(500_000, 1);
        check(8_400_000, 8);
        check(999_400_000, 999);
        check(999_600_000, 1_000);
        check(1_234_000_000, 1_230);
        check(1_235_000_000, 1_240);
        check(12_349_000_000, 12_300);
        check(9_996_000_000, 10_000);
        check(u64::MAX, u32::MAX);
    }

    #[test]
    fn what_is_taken_away_is_gone() {
        let mut histogram = Histogram::default();
        histogram.add(Duration::from_millis(5), 2);
        histogram.add(Duration::from_millis(7), 1);
        let mut other = Histogram::default();
        other.add(Duration::from_millis(5), -2);
        histogram.merge(&other);
        assert_eq!(histogram.iter().collect::<Vec<_>>(), [(7, 1)]);
    }
}
