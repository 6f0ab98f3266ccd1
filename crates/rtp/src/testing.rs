//! What the tests share: packets and seeded chance.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::lane::MediaPacket;

/// One instant for all tests: virtual time starts here.
pub fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

pub fn packet(seq: u64, timestamp: u32, payload: &[u8]) -> MediaPacket {
    MediaPacket {
        payload: Arc::from(payload),
        seq,
        timestamp,
        marker: false,
        arrival: epoch(),
        format: 0,
        audio_level: None,
        capture: None,
    }
}

/// xorshift64*: the same numbers in every run.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Flips, cuts, doubles or replaces some bytes.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() as u64 + 1) as usize;
            match self.below(5) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.next() as u8),
                2 if bytes.len() < 4000 => bytes.extend_from_within(at..),
                3 => bytes.iter_mut().skip(at).take(2).for_each(|b| *b = 0xff),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << self.below(8)),
            }
        }
    }
}
