//! Repeatable chance: the same seed gives the same run (the generator `SplitMix64`, Steele and others, 2014).

/// A source of pseudo-random numbers that is small, quick and repeatable; not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Returns the source of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `end`; 0 for an empty range.
    pub fn below(&mut self, end: u32) -> u32 {
        let high = self.bits() >> 32;
        u32::try_from((high * u64::from(end)) >> 32).unwrap_or(0)
    }

    /// Returns a number of `first..=last`.
    pub fn between(&mut self, first: u32, last: u32) -> u32 {
        first + self.below(last.saturating_sub(first) + 1)
    }

    /// Tells whether an event of `percent` in a hundred happens.
    pub fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// Returns one of the items, and the default of an empty slice.
    pub fn pick<T: Copy + Default>(&mut self, items: &[T]) -> T {
        let end = u32::try_from(items.len()).unwrap_or(u32::MAX);
        let idx = usize::try_from(self.below(end)).unwrap_or(0);
        items.get(idx).copied().unwrap_or_default()
    }

    /// Returns a number of the lognormal distribution with this median and sigma.
    pub fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        let normal = (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos();
        median * (sigma * normal).exp()
    }

    /// Returns a number above 0 and at most 1.
    fn unit(&mut self) -> f64 {
        (f64::from(self.below(u32::MAX)) + 1.0) / f64::from(u32::MAX)
    }
}
