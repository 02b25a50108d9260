//! What counts are to be expected next, from those before: a band around their level.
//!
//! 1. The largest and the smallest twentieth of the history (at least one each) are pulled in to their
//!    neighbours, so that a spike or a gap does not move the band.
//! 2. The level is the mean, in which a count weighs half as much as one [`HALF_LIFE`] places later: it
//!    follows a change, and a trend stays within the band because the deviation grows with it.
//! 3. The deviation is the weighted standard deviation, at least that of a Poisson process of this
//!    level: counts of independent events are never steadier than that, whatever a short history says.
//! 4. The band reaches [`N_DEVIATIONS`] deviations to both sides, outwards to whole numbers.

/// The counts that are no surprise, both ends among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// The least.
    pub low: u64,
    /// The most; at least 1, so that a single event is none.
    pub high: u64,
}

/// Returns the band of the count that comes after these, oldest first; none if they are fewer than
/// [`N_COUNTS_MIN`].
///
/// Counts are those of stretches of time of one length, empty ones among them. Takes time for sorting
/// the history once.
pub fn band(history: &[u64]) -> Option<Band> {
    if history.len() < N_COUNTS_MIN {
        return None;
    }
    let (least, most) = ordinary(history);
    let mut weights = 0.0;
    let mut level = 0.0;
    let mut squares = 0.0;
    for count in history {
        let count = to_double((*count).clamp(least, most));
        // The older counts' weight fades, then the new one is taken in (West 1979).
        weights = weights * FADE + 1.0;
        let difference = count - level;
        level += difference / weights;
        squares = squares * FADE + difference * (count - level);
    }
    let deviation = (squares / weights).max(level).sqrt();
    Some(Band {
        low: to_count((level - N_DEVIATIONS * deviation).floor()),
        high: to_count((level + N_DEVIATIONS * deviation).ceil()).max(1),
    })
}

impl Band {
    /// Tells whether a count is no surprise.
    pub const fn holds(&self, count: u64) -> bool {
        self.low <= count && count <= self.high
    }
}

/// Returns the ends to which extremes are pulled in.
fn ordinary(history: &[u64]) -> (u64, u64) {
    let mut sorted = history.to_vec();
    sorted.sort_unstable();
    let n_cut = (sorted.len() / 20).max(1);
    let least = sorted.get(n_cut).copied().unwrap_or(0);
    let most = sorted.iter().rev().nth(n_cut).copied().unwrap_or(u64::MAX);
    (least, most.max(least))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a band is an estimate, and counts that large do not occur"
)]
const fn to_double(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number is whole, and what lies outside becomes the nearest end"
)]
const fn to_count(number: f64) -> u64 {
    number as u64
}

/// Fewer counts tell nothing.
pub const N_COUNTS_MIN: usize = 10;
/// How many counts it takes until one weighs half as much.
pub const HALF_LIFE: u32 = 15;
/// A count of independent events leaves the band once in some hundred times at most.
pub const N_DEVIATIONS: f64 = 3.0;
/// The fifteenth root of one half.
const FADE: f64 = 0.954_841_603_910_416_5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(history: &[u64], expected: (u64, u64)) {
        let band = band(history).unwrap();
        assert_eq!((band.low, band.high), expected, "{history:?}");
    }

    /// Returns counts of a Poisson process, by counting arrivals (Knuth).
    fn poisson(mean: f64, n_counts: usize, mut seed: u64) -> Vec<u64> {
        let mut uniform = move || {
            seed = seed
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(0x1405_7b7e_f767_814f);
            to_double((seed >> 33) + 1) / to_double(1 << 31)
        };
        let mut count = || {
            let (mut n_events, mut product) = (0, uniform());
            while product > (-mean).exp() {
                n_events += 1;
                product *= uniform();
            }
            n_events
        };
        (0..n_counts).map(|_| count()).collect()
    }

    #[test]
    fn the_fade_halves_a_weight_in_its_half_life() {
        assert!((FADE.powi(HALF_LIFE.try_into().unwrap()) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_short_history_tells_nothing() {
        assert_eq!(band(&[]), None);
        assert_eq!(band(&[5; N_COUNTS_MIN - 1]), None);
        assert!(band(&[5; N_COUNTS_MIN]).is_some());
    }

    #[test]
    fn steady_counts_have_the_band_of_chance() {
        check(&[0; 60], (0, 1));
        check(&[1; 60], (0, 4));
        check(&[100; 60], (70, 130));
        check(&[10_000; 10], (9_700, 10_300));
    }

    #[test]
    fn a_spike_or_a_gap_does_not_move_the_band() {
        for (extreme, place) in [(5_000, 0), (5_000, 59), (0, 30), (0, 59)] {
            let mut history = [100; 60];
            history[place] = extreme;
            check(&history, (70, 130));
        }
        let mut history = [0; 60];
        history[57..].fill(50);
        check(&history, (0, 1));
    }

    #[test]
    fn a_lasting_change_moves_the_band() {
        let mut history = [0; 60];
        history[30..].fill(100);
        let band = band(&history).unwrap();
        assert!(band.holds(100) && band.high < 250, "{band:?}");
    }

    #[test]
    fn a_trend_goes_on_within_the_band() {
        let rising: Vec<u64> = (0..60).map(|number| 10 * number).collect();
        let falling: Vec<u64> = rising.iter().rev().copied().collect();
        assert!(band(&rising).unwrap().holds(600));
        assert!(!band(&rising).unwrap().holds(1_500));
        assert!(band(&falling).unwrap().holds(0));
    }

    #[test]
    fn chance_seldom_leaves_the_band_and_an_outbreak_does() {
        for mean in [0.05, 0.5, 3.0, 20.0, 200.0] {
            let counts = poisson(mean, 4_000, 7);
            let n_outside = counts
                .windows(61)
                .filter(|window| !band(&window[..60]).unwrap().holds(window[60]))
                .count();
            assert!(n_outside < 60, "{n_outside} of 3940 at {mean}");
            let band = band(&counts[..60]).unwrap();
            assert!(
                !band.holds(to_count(5.0 * mean + 10.0)),
                "{band:?} at {mean}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_history_has_a_band_in_order(history in prop::collection::vec(any::<u64>(), 10..100)) {
            let band = band(&history).unwrap();
            prop_assert!(band.low <= band.high && band.high >= 1);
        }

        #[test]
        fn more_faults_never_lower_the_band(history in prop::collection::vec(0..1_000_u64, 10..100), more in 0..1_000_u64) {
            let raised: Vec<u64> = history.iter().map(|count| count + more).collect();
            prop_assert!(band(&raised).unwrap().high >= band(&history).unwrap().high);
        }
    }
}
