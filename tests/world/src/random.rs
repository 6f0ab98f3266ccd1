//! Chance by a seed (SplitMix64).

pub struct Chance(u64);

impl Chance {
    /// Of several things at once: each combination has chances of its own.
    pub fn of(things: &[u64]) -> Self {
        let mut chance = Self(0x5eed);
        for thing in things {
            chance.0 ^= *thing;
            chance.0 = chance.next();
        }
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below 1.
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub fn hits(&mut self, probability: f64) -> bool {
        self.share() < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_even_and_depend_on_every_thing() {
        let hits = |seed| (0..10_000).filter(|n| Chance::of(&[seed, *n]).hits(0.02)).count();
        assert!((150..250).contains(&hits(1)) && (150..250).contains(&hits(2)));
        let draws = |a, b| Chance::of(&[a, b]).share();
        assert_eq!(draws(1, 2).to_bits(), draws(1, 2).to_bits());
        assert!(draws(1, 2) != draws(2, 1) && draws(1, 2) != draws(1, 3));
    }
}
