//! Keyed permutations of numbers (source: Luby and Rackoff, "How to construct pseudorandom permutations from
//! pseudorandom functions", 1988).
//!
//! A number is cut into two halves, and each step adds a keyed function of one half to the other. Every step can be
//! undone whatever the function is, so no two numbers become one. The keys make no secret: they scatter.

/// A permutation of the numbers of an even number of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Feistel {
    /// Bits of half a number, 1 to 64.
    half_bits: u32,
    keys: [u64; N_STEPS],
}

impl Feistel {
    /// Returns the permutation of the numbers of `2 * half_bits` bits that some words name.
    pub(crate) fn new(half_bits: u32, words: &[u64]) -> Self {
        debug_assert!((1..=64).contains(&half_bits));
        let mut state = 0_u64;
        for word in words {
            state = mixed(state.wrapping_add(GOLDEN) ^ *word);
        }
        let keys = std::array::from_fn(|_| {
            state = state.wrapping_add(GOLDEN);
            mixed(state)
        });
        Self { half_bits, keys }
    }

    /// Returns the number that takes the place of `number`.
    pub(crate) fn permute(&self, number: u128) -> u128 {
        let mask = u64::MAX >> (64 - self.half_bits);
        let mut left = low_half(number >> self.half_bits) & mask;
        let mut right = low_half(number) & mask;
        for key in self.keys {
            (left, right) = (right, left ^ (mixed(right ^ key) & mask));
        }
        (u128::from(left) << self.half_bits) | u128::from(right)
    }
}

fn low_half(number: u128) -> u64 {
    // What the mask leaves always fits.
    u64::try_from(number & u128::from(u64::MAX)).unwrap_or_default()
}

/// Returns the bits well mixed: the last steps of `SplitMix64`.
const fn mixed(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

const N_STEPS: usize = 8;
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// Undoes the steps, last first.
    fn undone(feistel: &Feistel, number: u128) -> u128 {
        let mask = u64::MAX >> (64 - feistel.half_bits);
        let mut left = low_half(number >> feistel.half_bits) & mask;
        let mut right = low_half(number) & mask;
        for key in feistel.keys.iter().rev() {
            (left, right) = (right ^ (mixed(left ^ key) & mask), left);
        }
        (u128::from(left) << feistel.half_bits) | u128::from(right)
    }

    #[test]
    fn all_numbers_of_few_bits_are_taken_once() {
        for half_bits in 1..=6 {
            let feistel = Feistel::new(half_bits, &[7, u64::from(half_bits)]);
            let n_numbers = 1_u128 << (2 * half_bits);
            let taken: HashSet<u128> = (0..n_numbers).map(|n| feistel.permute(n)).collect();
            assert_eq!(u128::try_from(taken.len()).unwrap(), n_numbers);
            assert!(taken.iter().all(|number| *number < n_numbers));
        }
    }

    #[test]
    fn neighbours_are_scattered() {
        let feistel = Feistel::new(32, &[1]);
        for number in 0..1000 {
            let differing = (feistel.permute(number) ^ feistel.permute(number + 1)).count_ones();
            assert!((8..=56).contains(&differing), "{number}: {differing}");
        }
    }

    proptest! {
        #[test]
        fn a_permutation_can_be_undone(number: u128, half_bits in 1_u32..=64, seed: u64) {
            let number = number >> (128 - 2 * half_bits);
            let feistel = Feistel::new(half_bits, &[seed]);
            prop_assert_eq!(undone(&feistel, feistel.permute(number)), number);
        }

        #[test]
        fn other_words_are_other_permutations(number: u128, words: [u64; 2], other: u64) {
            prop_assume!(words[1] != other);
            let [one, two] = [[words[0], words[1]], [words[0], other]].map(|words| Feistel::new(64, &words));
            prop_assert_ne!(one.permute(number), two.permute(number));
        }
    }
}
