//! How many faults a minute may have and still be as expected.
//!
//! This band is wide on purpose: what leaves it wakes people. One of three deviations, as charts draw it, is
//! left by chance in one of some hundred minutes, which opens an insight every few thousand minutes.

/// The counts that are as expected, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Band {
    /// The lowest.
    pub(crate) low: u64,
    /// The highest.
    pub(crate) high: u64,
}

/// Returns what to expect after a history of counts, the order of which does not matter; nothing if it
/// is too short to tell.
///
/// 1. The centre is the median or the mean, whichever is higher: the median is not moved by a few
///    wild minutes, the mean knows of faults that come in bursts.
/// 2. The spread is the highest of 1, what a Poisson process with that centre would have, and the median of
///    the distances from the median, scaled to a standard deviation (times 1.4826).
/// 3. The band is four spreads wide on each side.
///
/// All of it is integer arithmetic in thousandths, so that it is the same on every machine.
pub(crate) fn band(history: &[u64]) -> Option<Band> {
    if history.len() < HISTORY_MIN {
        return None;
    }
    let scaled: Vec<u64> = history
        .iter()
        .map(|count| count.saturating_mul(SCALE))
        .collect();
    let middle = median(scaled.clone());
    let distances = scaled.iter().map(|count| count.abs_diff(middle)).collect();
    let n_minutes = u64::try_from(scaled.len()).unwrap_or(u64::MAX);
    let sum = scaled
        .iter()
        .fold(0, |sum: u64, count| sum.saturating_add(*count));
    let centre = middle.max(sum / n_minutes);
    let scattered = median(distances).saturating_mul(14_826) / 10_000;
    let poisson = centre.saturating_mul(SCALE).isqrt();
    let reach = SPREADS.saturating_mul(scattered.max(poisson).max(SCALE));
    Some(Band {
        low: centre.saturating_sub(reach) / SCALE,
        high: centre.saturating_add(reach).div_ceil(SCALE),
    })
}

fn median(mut values: Vec<u64>) -> u64 {
    let middle = values.len() / 2;
    if middle >= values.len() {
        return 0;
    }
    *values.select_nth_unstable(middle).1
}

/// Thousandths.
const SCALE: u64 = 1_000;
const SPREADS: u64 = 4;
/// Fewer minutes tell nothing.
const HISTORY_MIN: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(history: &[u64], expected: Option<(u64, u64)>) {
        let found = band(history).map(|band| (band.low, band.high));
        assert_eq!(found, expected, "{history:?}");
    }

    #[test]
    fn the_band_lies_around_what_was() {
        check(&[], None);
        check(&[0; 9], None);
        check(&[0; 10], Some((0, 4)));
        check(&[1; 10], Some((0, 5)));
        // Four times the root of 100.
        check(&[100; 60], Some((60, 140)));
        // One wild minute of sixty moves the mean by no more than one.
        let mut wild = [100; 60];
        wild[7] = 160;
        check(&wild, Some((60, 142)));
        // Bursts: the median is 0, the mean 2.4.
        check(&[0, 0, 0, 0, 0, 0, 0, 8, 8, 8], Some((0, 9)));
        // A scatter wider than Poisson's: the median distance is 50.
        check(
            &[50, 150, 50, 150, 50, 150, 50, 150, 100, 100, 100],
            Some((0, 397)),
        );
        // Too many to be counted in thousandths.
        assert!(band(&[u64::MAX; 10]).is_some());
    }

    #[test]
    fn the_order_does_not_matter() {
        let mut history: Vec<u64> = (0..97).map(|idx| idx * 31 % 17).collect();
        let before = band(&history);
        history.sort_unstable();
        assert_eq!(band(&history), before);
    }
}
