//! When a packet was captured, on our clock, by its sender's own reports (RFC 3550 section 6.4.1).
//!
//! Sound and picture of one sender share the sender's clock; both are mapped by the same offset, so
//! that they stay together whatever way each takes.

use std::time::{Duration, Instant, SystemTime};

/// A sender's clock against ours.
#[derive(Clone, Debug, Default)]
pub struct SenderClock {
    /// A moment of the sender's clock and of ours that belong together: the report with the
    /// shortest way so far.
    anchor: Option<(SystemTime, Instant)>,
}

/// The last sender report of one stream.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    ntp: SystemTime,
    rtp: u32,
}

impl SenderClock {
    /// Notes a report that came in at `received`.
    pub fn report(&mut self, ntp: SystemTime, rtp: u32, received: Instant) -> Report {
        let report = Report { ntp, rtp };
        match self.instant(ntp) {
            // It took longer than the anchor's report, or as long: the anchor is right.
            Some(mapped) if mapped <= received => {}
            _ => self.anchor = Some((ntp, received)),
        }
        report
    }

    /// When the sample of this RTP timestamp was captured.
    pub fn capture(&self, report: Report, timestamp: u32, clock_rate: u32) -> Option<Instant> {
        let ticks = timestamp.wrapping_sub(report.rtp) as i32;
        let shift =
            Duration::from_secs_f64(f64::from(ticks.unsigned_abs()) / f64::from(clock_rate));
        let at = self.instant(report.ntp)?;
        if ticks < 0 { at.checked_sub(shift) } else { at.checked_add(shift) }
    }

    fn instant(&self, ntp: SystemTime) -> Option<Instant> {
        let (anchor_ntp, anchor) = self.anchor?;
        match ntp.duration_since(anchor_ntp) {
            Ok(after) => anchor.checked_add(after),
            Err(before) => anchor.checked_sub(before.duration()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_and_picture_of_one_moment_meet_whatever_way_their_reports_took() {
        let (wall, start) = (SystemTime::UNIX_EPOCH + Duration::from_secs(1000), Instant::now());
        let ms = Duration::from_millis;
        let mut clock = SenderClock::default();
        let audio = clock.report(wall, 48_000, start + ms(80));
        let video = clock.report(wall + ms(500), 900_000, start + ms(520));
        let sound = clock.capture(audio, 48_000 + 48_000, 48_000).unwrap();
        let picture = clock.capture(video, 900_000 + 45_000, 90_000).unwrap();
        assert!(sound.max(picture) - sound.min(picture) < ms(1));
        assert_eq!(picture, start + ms(1020));
    }
}
