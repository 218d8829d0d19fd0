//! A small seeded generator whose numbers never change between versions of any crate: simulated markets, the
//! paper broker's draws and the bundled samples must come out the same for ever.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub struct SplitMix(u64);

impl SplitMix {
    /// A generator for a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub const fn next_bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of `0..limit`; 0 where the limit is 0. The bias is below 2⁻³² for limits that occur here.
    pub const fn below(&mut self, limit: u64) -> u64 {
        ((self.next_bits() as u128 * limit as u128) >> 64) as u64
    }

    /// A number of `-limit..=limit`.
    pub fn around(&mut self, limit: i64) -> i64 {
        let span = limit.unsigned_abs() * 2 + 1;
        self.below(span) as i64 - limit.abs()
    }

    /// True in `percent` of a hundred draws.
    pub const fn chance(&mut self, percent: u8) -> bool {
        percent > 0 && self.below(100) < percent as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_one() {
        let mut random = SplitMix::new(1_234_567);
        assert_eq!(random.next_bits(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn numbers_stay_within_their_limits() {
        let mut random = SplitMix::new(7);
        assert!((0..1_000).all(|_| random.below(10) < 10 && random.around(3).abs() <= 3));
        assert!((0..100).all(|_| !random.chance(0) && random.chance(100)));
    }
}
