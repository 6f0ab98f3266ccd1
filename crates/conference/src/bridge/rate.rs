//! How many bits a second the picture of a room system has: what was agreed, and less where less comes
//! through.

use sfu::LegPath;

/// More lost than this is too much: the path is full.
const MUCH: f32 = 0.10;
/// Less than this is nothing.
const LITTLE: f32 = 0.02;
/// What is tried more with each report of nothing lost.
const GROWTH: f64 = 1.08;
/// An encoder is not bothered for less than this part of its rate.
const STEP: u32 = 20;
/// Less makes no picture.
const LEAST: u32 = 64_000;

/// The rate as it follows the path, by losses as congestion control of WebRTC does
/// (draft-ietf-rmcat-gcc section 6), and by the receiver's own word.
#[derive(Debug, Default)]
pub(super) struct Rate {
    by_loss: Option<u32>,
    at_most: Option<u32>,
    now: Option<u32>,
}

impl Rate {
    /// The bits a second that are used, of `agreed` ones.
    pub(super) fn of(&self, agreed: u32) -> u32 {
        self.now.unwrap_or(agreed).min(agreed)
    }

    /// Whether all that was agreed comes through.
    pub(super) fn is_free(&self, agreed: u32) -> bool {
        self.of(agreed) == agreed
    }

    /// Takes news of the path. Whether the rate is another one now.
    pub(super) fn hear(&mut self, news: LegPath, agreed: u32) -> bool {
        match news {
            LegPath::AtMost(bits) => self.at_most = Some(u32::try_from(bits).unwrap_or(u32::MAX)),
            LegPath::Loss(lost) if lost > MUCH => {
                let kept = 1.0 - f64::from(lost) / 2.0;
                self.by_loss = Some(scaled(self.wanted(agreed), kept));
            }
            LegPath::Loss(lost) if lost < LITTLE => {
                let more = self.by_loss.map(|bits| scaled(bits, GROWTH));
                self.by_loss = more.filter(|bits| *bits < agreed);
            }
            LegPath::Loss(_) => {}
        }
        let (before, wanted) = (self.of(agreed), self.wanted(agreed));
        let is_news =
            before.abs_diff(wanted) > before / STEP || (wanted == agreed && before != agreed);
        if is_news {
            self.now = Some(wanted);
        }
        is_news
    }

    fn wanted(&self, agreed: u32) -> u32 {
        let limits = [self.by_loss, self.at_most].into_iter().flatten();
        limits.fold(agreed, u32::min).max(LEAST.min(agreed))
    }
}

fn scaled(bits: u32, by: f64) -> u32 {
    (f64::from(bits) * by) as u32
}

#[cfg(test)]
mod tests {
    use super::LegPath::{AtMost, Loss};
    use super::*;

    const AGREED: u32 = 1_000_000;

    #[test]
    fn what_is_lost_takes_half_of_it_from_the_rate_and_it_comes_back_slowly() {
        let mut rate = Rate::default();
        assert!(!rate.hear(Loss(0.05), AGREED) && rate.is_free(AGREED), "that happens");
        assert!(rate.hear(Loss(0.25), AGREED));
        assert_eq!(rate.of(AGREED), 875_000);
        assert!(!rate.hear(Loss(0.05), AGREED), "neither up nor down");
        assert!(rate.hear(Loss(0.5), AGREED));
        assert_eq!(rate.of(AGREED), 656_250);
        let reports = (0..).take_while(|_| rate.hear(Loss(0.0), AGREED)).count();
        assert!((4..=8).contains(&reports) && rate.is_free(AGREED), "{reports} reports");
        for _ in 0..100 {
            rate.hear(Loss(1.0), AGREED);
        }
        assert_eq!(rate.of(AGREED), LEAST);
    }

    #[test]
    fn the_receivers_word_bounds_it_until_it_says_another() {
        let mut rate = Rate::default();
        assert!(rate.hear(AtMost(300_000), AGREED));
        assert_eq!(rate.of(AGREED), 300_000);
        assert!(!rate.hear(Loss(0.0), AGREED), "no loss does not lift it");
        assert!(!rate.hear(AtMost(305_000), AGREED), "nobody sees that");
        assert!(rate.hear(AtMost(u64::MAX), AGREED) && rate.is_free(AGREED));
        assert!(rate.hear(AtMost(0), AGREED));
        assert_eq!(rate.of(AGREED), LEAST);
        assert_eq!(rate.of(50_000), 50_000, "never more than was agreed");
    }
}
