//! The capture time of a mixed or composed stream.

use std::time::{Duration, Instant};

/// A jump larger than this is followed at once: another source has become the newest.
const SNAP: Duration = Duration::from_millis(150);

/// Smooths the distance between capture and the tick that sends it. What is newest changes from tick
/// to tick by as much as a frame's time; a sender report must not shake with it, for lip-sync rests
/// on it.
#[derive(Debug, Default)]
pub(crate) struct CaptureClock {
    delay: Option<Duration>,
}

impl CaptureClock {
    /// The capture time to write for a tick at `now` whose newest content is from `capture`.
    pub(crate) fn at(&mut self, now: Instant, capture: Option<Instant>) -> Option<Instant> {
        if let Some(capture) = capture {
            let fresh = now.saturating_duration_since(capture);
            self.delay = Some(match self.delay {
                Some(old) if old.abs_diff(fresh) < SNAP => (old * 31 + fresh) / 32,
                _ => fresh,
            });
        }
        self.delay.and_then(|delay| now.checked_sub(delay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_smoothed_and_a_new_source_is_followed_at_once() {
        let start = Instant::now() + Duration::from_secs(10);
        let ms = Duration::from_millis;
        let mut clock = CaptureClock::default();
        assert_eq!(clock.at(start, None), None, "without a report there is no capture time");
        let mut last = ms(0);
        for tick in 0..100 {
            let now = start + ms(33) * tick;
            let delay = ms(if tick % 2 == 0 { 60 } else { 90 });
            last = now - clock.at(now, Some(now - delay)).unwrap();
            assert!((ms(58)..=ms(92)).contains(&last));
        }
        assert!((ms(70)..ms(82)).contains(&last), "{last:?}");
        let now = start + ms(4_000);
        assert_eq!(clock.at(now, Some(now - ms(400))), Some(now - ms(400)));
    }
}
