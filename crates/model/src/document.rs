//! One stored copy of a document, and which of two copies counts.

use crate::SegmentId;

/// One stored copy of a document, as [`Trace::compile`](crate::Trace::compile) needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The document's own id.
    pub segment_id: SegmentId,
    /// Whether it says `in_progress`.
    pub in_progress: bool,
    /// When this copy was accepted: the store's strictly increasing clock, in microseconds.
    pub stamp: u64,
    /// When the first copy of this id was accepted.
    pub first_stamp: u64,
    /// The JSON as received.
    pub text: String,
}

impl Document {
    /// Returns what decides between this copy and another one of the same id.
    pub const fn version(&self) -> Version {
        Version {
            in_progress: self.in_progress,
            stamp: self.stamp,
        }
    }
}

/// What decides between two copies of one document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Whether the copy says `in_progress`.
    pub in_progress: bool,
    /// When the copy was accepted; no two copies of one trace share a stamp.
    pub stamp: u64,
}

/// Tells whether the copy `new` replaces the copy `old`, in whatever order the two arrived: a finished
/// document beats one in progress, among equals the later one counts.
///
/// Stamps are unique, so this is a total order and the copy that survives does not depend on the
/// order of comparison. A version does not win against itself.
pub const fn wins(new: Version, old: Version) -> bool {
    match (new.in_progress, old.in_progress) {
        (false, true) => true,
        (true, false) => false,
        (true, true) | (false, false) => new.stamp > old.stamp,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(new: (bool, u64), old: (bool, u64), expected: bool) {
        let version = |(in_progress, stamp)| Version { in_progress, stamp };
        assert_eq!(
            wins(version(new), version(old)),
            expected,
            "{new:?} over {old:?}"
        );
    }

    #[test]
    fn finished_beats_in_progress_and_later_beats_earlier() {
        check((false, 1), (true, 2), true);
        check((false, 2), (true, 1), true);
        check((true, 2), (false, 1), false);
        check((true, 2), (true, 1), true);
        check((false, 2), (false, 1), true);
        check((false, 1), (false, 2), false);
        check((false, 1), (false, 1), false);
    }

    fn version() -> impl Strategy<Value = Version> {
        (any::<bool>(), 0..4_u64).prop_map(|(in_progress, stamp)| Version { in_progress, stamp })
    }

    fn merge(left: Version, right: Version) -> Version {
        if wins(left, right) { left } else { right }
    }

    proptest! {
        #[test]
        fn merging_copies_is_commutative_and_associative(a in version(), b in version(), c in version()) {
            prop_assert_eq!(merge(a, b), merge(b, a));
            prop_assert_eq!(merge(merge(a, b), c), merge(a, merge(b, c)));
            prop_assert!(!(wins(a, b) && wins(b, a)));
            prop_assert!(wins(a, b) || wins(b, a) || a == b);
        }
    }
}
