//! How loud an audio track is, from the level in its packets' header extension (RFC 6464).

/// Adds up the levels of one reporting interval. Speech is judged by its loud parts: the report is
/// the mean over the louder half of the interval, as energy.
#[derive(Clone, Debug, Default)]
pub struct LevelMeter {
    /// Energy of each packet, linear.
    packets: Vec<f32>,
}

/// More than any interval holds at 20 ms a packet; bounds what a flood can make us keep.
const MAX_PACKETS: usize = 64;

impl LevelMeter {
    /// Notes one packet's level in dBov, −127 (silence) to 0.
    pub fn add(&mut self, dbov: i8) {
        if self.packets.len() < MAX_PACKETS {
            self.packets.push(10f32.powf(f32::from(dbov.min(0)) / 10.0));
        }
    }

    /// Ends the interval: its level in dBov, or `None` if no packet told one.
    pub fn take(&mut self) -> Option<f32> {
        if self.packets.is_empty() {
            return None;
        }
        self.packets.sort_by(|a, b| b.total_cmp(a));
        let louder = self.packets.len().div_ceil(2);
        let mean = self.packets.iter().take(louder).sum::<f32>() / louder as f32;
        self.packets.clear();
        Some(10.0 * mean.max(1e-13).log10())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_between_words_do_not_hide_speech() {
        let mut meter = LevelMeter::default();
        for _ in 0..10 {
            meter.add(-30);
            meter.add(-127);
        }
        let level = meter.take().unwrap();
        assert!((level + 30.0).abs() < 0.5, "{level}");
        assert_eq!(meter.take(), None);
    }
}
