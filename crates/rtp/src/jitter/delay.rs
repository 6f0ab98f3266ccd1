//! How late packets come, and how long to wait for them.

/// Milliseconds of a bin of the histogram.
const BIN_MS: i64 = 10;
const BINS: usize = 41;
/// What of the past remains after one packet: half is forgotten after 230 packets, 4.6 s.
const KEEP: f32 = 0.997;
/// The share of packets that should come in time. Losing more than one in thirty is heard.
const IN_TIME: f32 = 0.97;
/// Packets after which the older half of the window for the fastest packet is forgotten: a clock
/// that drifts by 100 ppm moves by 1 ms in 10 s.
const WINDOW: u32 = 500;

/// Estimates the delay that makes most packets come in time.
///
/// A packet's *transit* is its arrival minus its timestamp, both in µs from an origin that does not
/// matter. The fastest packet of the last 10 to 20 s is the base; every other is late by the
/// difference.
#[derive(Debug)]
pub(super) struct DelayEstimator {
    histogram: [f32; BINS],
    base: Option<i64>,
    younger: Option<i64>,
    seen: u32,
}

impl DelayEstimator {
    pub fn new() -> Self {
        // Until it knows better: 40 ms.
        let histogram = std::array::from_fn(|bin| if bin == 3 { 1.0 } else { 0.0 });
        Self { histogram, base: None, younger: None, seen: 0 }
    }

    /// Transit of the fastest packet, µs.
    pub fn base(&self) -> Option<i64> {
        self.base
    }

    /// Begins with another base, since the path or the sender's clock changed.
    pub fn rebase(&mut self, transit: i64) {
        (self.base, self.younger, self.seen) = (Some(transit), None, 0);
    }

    /// Takes a packet into account.
    pub fn add(&mut self, transit: i64) {
        let least = |known: Option<i64>| Some(known.map_or(transit, |k| k.min(transit)));
        self.younger = least(self.younger);
        self.base = least(self.base);
        self.seen += 1;
        if self.seen >= WINDOW {
            (self.base, self.younger, self.seen) = (self.younger, None, 0);
        }
        let late_ms = (transit - self.base.unwrap_or(transit)) / 1000;
        let at = usize::try_from(late_ms / BIN_MS).unwrap_or(0).min(BINS - 1);
        for (bin, weight) in self.histogram.iter_mut().enumerate() {
            *weight = *weight * KEEP + if bin == at { 1.0 - KEEP } else { 0.0 };
        }
    }

    /// The delay after the fastest packet, µs, at which [`IN_TIME`] of the packets have come.
    pub fn quantile(&self) -> i64 {
        let mut sum = 0.0;
        let upper = self.histogram.iter().position(|weight| {
            sum += weight;
            sum >= IN_TIME
        });
        (upper.unwrap_or(BINS) as i64 + 1) * BIN_MS * 1000
    }
}
