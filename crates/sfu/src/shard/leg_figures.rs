//! How a leg's network does, by its counters.

use std::time::{Duration, Instant};

use crate::command::NetworkFigures;
use crate::transport::plain::{LegCounters, StreamCounters};

/// How often it is told: a report of the peer's comes in that time at least.
const EVERY: Duration = Duration::from_secs(5);

/// What a leg's counters were when its figures were told last.
#[derive(Debug, Default)]
pub(super) struct LegFigures(Option<(Instant, LegCounters)>);

impl LegFigures {
    /// The figures, when they are due.
    pub(super) fn take(&mut self, now: Instant, counters: LegCounters) -> Option<NetworkFigures> {
        let Some((told, before)) = &mut self.0 else {
            self.0 = Some((now, counters));
            return None;
        };
        let passed = now.saturating_duration_since(*told);
        if passed < EVERY {
            return None;
        }
        let figures = between(before, &counters, passed);
        (*told, *before) = (now, counters);
        Some(figures)
    }
}

fn between(before: &LegCounters, after: &LegCounters, passed: Duration) -> NetworkFigures {
    let both = |count: fn(&StreamCounters) -> u64| {
        let sum = |it: &LegCounters| count(&it.audio) + count(&it.video);
        sum(after).saturating_sub(sum(before))
    };
    // Late packets make a loss smaller again.
    let lost = both(|it| u64::try_from(it.lost).unwrap_or_default());
    let received = both(|it| it.received);
    let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f32 / whole as f32 };
    let rate = |bytes: u64| (bytes as f64 * 8.0 / passed.as_secs_f64()) as u64;
    let audio_sent = after.audio.sent.saturating_sub(before.audio.sent);
    // The peer reports of each stream: the one that flows counts, by its packets.
    let sent = both(|it| it.sent);
    let audio = share(audio_sent, sent);
    NetworkFigures {
        egress_loss: after.audio.remote_loss * audio + after.video.remote_loss * (1.0 - audio),
        ingress_loss: share(lost, lost + received),
        rtt_ms: after.audio.rtt.or(after.video.rtt).map(|it| it.as_millis() as u32),
        jitter_ms: (received > 0).then_some(after.audio.jitter.as_millis() as u32),
        bit_rate_in: Some(rate(both(|it| it.received_bytes))),
        bit_rate_out: Some(rate(both(|it| it.sent_bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_of_the_time_since_the_last_ones() {
        let mut figures = LegFigures::default();
        let begin = Instant::now();
        let mut counters = LegCounters::default();
        assert_eq!(figures.take(begin, counters), None);
        counters.audio = StreamCounters {
            received: 90,
            lost: 10,
            received_bytes: 10_000,
            sent: 100,
            remote_loss: 0.25,
            jitter: Duration::from_millis(7),
            ..StreamCounters::default()
        };
        counters.video = StreamCounters { sent: 300, sent_bytes: 100_000, ..counters.video };
        assert_eq!(figures.take(begin + Duration::from_secs(1), counters), None, "too soon");
        let told = figures.take(begin + Duration::from_secs(10), counters).unwrap();
        assert_eq!((told.ingress_loss, told.egress_loss), (0.1, 0.0625));
        assert_eq!((told.jitter_ms, told.rtt_ms), (Some(7), None));
        assert_eq!((told.bit_rate_in, told.bit_rate_out), (Some(8_000), Some(80_000)));
        let told = figures.take(begin + Duration::from_secs(20), counters).unwrap();
        assert_eq!((told.ingress_loss, told.bit_rate_in, told.jitter_ms), (0.0, Some(0), None));
    }
}
