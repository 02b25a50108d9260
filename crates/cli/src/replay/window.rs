//! What is read in the order in which it ended, put in the order in which it arrived, as far as a window reaches.

use std::collections::BTreeMap;
use std::time::Duration;

use model::Timestamp;

/// Pieces that were read and wait for others that may have arrived before them.
///
/// A piece leaves the window once one was read that arrived so much later that nothing older is to be expected any
/// more, or when the window is full. Pieces that arrived at one time keep their order.
#[derive(Debug)]
pub(super) struct Window<T> {
    held: BTreeMap<(Timestamp, u64), (usize, T)>,
    n_bytes: usize,
    n_read: u64,
    /// When the piece that was read last arrived.
    latest: Timestamp,
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self {
            held: BTreeMap::new(),
            n_bytes: 0,
            n_read: 0,
            latest: Timestamp::ZERO,
        }
    }
}

impl<T> Window<T> {
    /// Takes a piece that was read, with its size.
    pub(super) fn add(&mut self, at: Timestamp, n_bytes: usize, piece: T) {
        let n_bytes = n_bytes.saturating_add(PIECE_BYTES);
        self.held.insert((at, self.n_read), (n_bytes, piece));
        self.n_read += 1;
        self.n_bytes = self.n_bytes.saturating_add(n_bytes);
        self.latest = at;
    }

    /// Returns the next piece, if no other one is to be read before it.
    pub(super) fn next(&mut self) -> Option<T> {
        let ((at, _), _) = self.held.first_key_value()?;
        let is_old = self.latest.since(*at) >= WINDOW;
        let is_full = self.n_bytes > BYTES_MAX;
        if is_old || is_full {
            return self.rest();
        }
        None
    }

    /// Returns the next piece where nothing more is read.
    pub(super) fn rest(&mut self) -> Option<T> {
        let (_, (n_bytes, piece)) = self.held.pop_first()?;
        self.n_bytes = self.n_bytes.saturating_sub(n_bytes);
        Some(piece)
    }

    /// Forgets all pieces.
    pub(super) fn clear(&mut self) {
        self.held.clear();
        self.n_bytes = 0;
    }
}

/// Longer than any server takes for a call, as a rule.
const WINDOW: Duration = Duration::from_mins(1);
const BYTES_MAX: usize = 32 << 20;
/// What a piece takes besides its bytes, roughly.
const PIECE_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Returns what leaves a window that these are put in, by when they arrived in milliseconds, with their sizes.
    fn order(pieces: &[(u64, usize)]) -> Vec<usize> {
        let mut window = Window::default();
        let mut came = Vec::new();
        for (nth, (at_ms, n_bytes)) in pieces.iter().enumerate() {
            window.add(Timestamp::from_nanos(at_ms * 1_000_000), *n_bytes, nth);
            came.extend(std::iter::from_fn(|| window.next()));
        }
        came.extend(std::iter::from_fn(|| window.rest()));
        came
    }

    #[test]
    fn what_arrived_earlier_comes_first() {
        let check = |at_ms: &[u64], expected: &[usize]| {
            let pieces: Vec<_> = at_ms.iter().map(|at_ms| (*at_ms, 1)).collect();
            assert_eq!(order(&pieces), expected, "{at_ms:?}");
        };
        check(&[], &[]);
        check(&[5, 3, 4], &[1, 2, 0]);
        check(&[5, 5, 3, 5], &[2, 0, 1, 3]);
        check(&[0, 60_000, 59_999], &[0, 2, 1]);
        // What comes later than the window reaches is late.
        check(&[1, 60_001, 0], &[0, 2, 1]);
        // A time far ahead is no reason to give up the order of what follows.
        check(&[1, 900_000_000, 5, 4, 3], &[0, 4, 3, 2, 1]);
        // Another recording begins earlier than the one before it ended.
        check(&[900_000, 900_001, 2, 1], &[3, 2, 0, 1]);
    }

    #[test]
    fn a_full_window_lets_go() {
        assert_eq!(order(&[(5, BYTES_MAX), (3, 1)]), [0, 1]);
        assert_eq!(
            order(&[
                (5, BYTES_MAX / 2),
                (4, BYTES_MAX / 4),
                (3, BYTES_MAX / 2),
                (1, 1)
            ]),
            [2, 3, 1, 0]
        );
    }

    proptest! {
        #[test]
        fn within_the_window_all_is_sorted_and_nothing_lost(
            calls in vec((0_u64..400_000, 0_u64..60_000), 0..60),
        ) {
            // They are written when they end.
            let mut ended: Vec<(u64, u64)> = calls.iter().map(|(at, took)| (at + took, *at)).collect();
            ended.sort_unstable();
            let pieces: Vec<(u64, usize)> = ended.iter().map(|(_, at)| (*at, 1)).collect();
            let came = order(&pieces);
            prop_assert_eq!(came.len(), pieces.len());
            let arrived: Vec<u64> = came.iter().map(|nth| pieces[*nth].0).collect();
            prop_assert!(arrived.is_sorted(), "{:?}", arrived);
        }
    }
}
