//! Which items are done.

use std::collections::BTreeMap;
use std::ops::Range;

/// Numbers, kept as ranges that neither meet nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    ends: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Adds the numbers of a range.
    pub(super) fn add(&mut self, range: &Range<u64>) {
        if range.is_empty() {
            return;
        }
        let (mut start, mut end) = (range.start, range.end);
        while let Some((other, other_end)) = self.ends.range(..=end).next_back() {
            let (other, other_end) = (*other, *other_end);
            if other_end < start {
                break;
            }
            self.ends.remove(&other);
            start = start.min(other);
            end = end.max(other_end);
        }
        self.ends.insert(start, end);
    }

    /// Tells whether all numbers of a range are there.
    pub(super) fn holds(&self, range: &Range<u64>) -> bool {
        let before = self.ends.range(..=range.start).next_back();
        range.is_empty() || before.is_some_and(|(_, end)| *end >= range.end)
    }

    /// Forgets numbers below this one.
    pub(super) fn forget_below(&mut self, number: u64) {
        while let Some((start, end)) = self.ends.first_key_value() {
            let (start, end) = (*start, *end);
            if start >= number {
                return;
            }
            self.ends.remove(&start);
            if end > number {
                self.ends.insert(number, end);
            }
        }
    }

    /// Returns the ranges in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.ends.iter().map(|(start, end)| *start..*end)
    }
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "ranges are what is meant")]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn check(added: &[Range<u64>], expected: &[Range<u64>]) {
        let mut ranges = Ranges::default();
        for range in added {
            ranges.add(range);
        }
        assert_eq!(ranges.iter().collect::<Vec<_>>(), expected, "{added:?}");
    }

    #[test]
    fn ranges_that_meet_become_one() {
        check(&[0..2, 4..6], &[0..2, 4..6]);
        check(&[0..2, 2..4], &[0..4]);
        check(&[2..4, 0..2], &[0..4]);
        check(&[0..1, 2..3, 4..5, 1..4], &[0..5]);
        check(&[0..9, 3..4], &[0..9]);
        check(&[3..4, 0..9], &[0..9]);
        check(&[5..5], &[]);
    }

    proptest! {
        #[test]
        fn they_hold_what_was_added(
            added in vec((0_u64..60, 0_u64..9), 0..30),
            asked in (0_u64..60, 0_u64..9),
            below in 0_u64..70,
        ) {
            let mut ranges = Ranges::default();
            let mut numbers = BTreeSet::new();
            for (start, n) in added {
                ranges.add(&(start..start + n));
                numbers.extend(start..start + n);
            }
            let asked = asked.0..asked.0 + asked.1;
            prop_assert_eq!(ranges.holds(&asked), asked.clone().all(|number| numbers.contains(&number)));
            prop_assert!(ranges.iter().zip(ranges.iter().skip(1)).all(|(one, two)| one.end < two.start));
            ranges.forget_below(below);
            let kept: Vec<u64> = ranges.iter().flatten().collect();
            let expected: Vec<u64> = numbers.range(below..).copied().collect();
            prop_assert_eq!(kept, expected);
        }
    }
}
