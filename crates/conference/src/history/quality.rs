//! How a call's media went on the whole, by what was measured now and then.

use sfu::NetworkFigures;

use crate::store::CallMedia;

/// The most that a voice can have: codec and network without any fault (ITU-T G.107, table 3).
const BEST: f64 = 93.2;
/// How well concealment bears random loss: what G.711 with concealment has (ITU-T G.113, appendix I).
/// What other codecs have is near it.
const ROBUSTNESS: f64 = 25.1;
/// Milliseconds that playing out takes beside the way, at least.
const PLAYOUT_MS: f64 = 40.0;

/// Figures of one call so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quality {
    loss_in: Mean,
    loss_out: Mean,
    round_trip_ms: Mean,
    jitter_ms: Mean,
    bit_rate_in: Mean,
    bit_rate_out: Mean,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: impl Into<f64>) {
        let value = value.into();
        if value.is_finite() {
            self.sum += value;
            self.count += 1;
        }
    }

    fn get(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

impl Quality {
    /// Counts what was measured.
    pub fn add(&mut self, network: &NetworkFigures) {
        self.loss_in.add(network.ingress_loss.clamp(0.0, 1.0));
        self.loss_out.add(network.egress_loss.clamp(0.0, 1.0));
        network.rtt_ms.into_iter().for_each(|it| self.round_trip_ms.add(it));
        network.jitter_ms.into_iter().for_each(|it| self.jitter_ms.add(it));
        network.bit_rate_in.into_iter().for_each(|it| self.bit_rate_in.add(it as f64));
        network.bit_rate_out.into_iter().for_each(|it| self.bit_rate_out.add(it as f64));
    }

    /// All of it together.
    pub fn media(&self) -> CallMedia {
        let whole = |mean: Mean| mean.get().map(|it| it.round() as u32);
        let per_mille = |mean: Mean| mean.get().map(|it| (it * 1000.0).round() as u32);
        CallMedia {
            loss_in: per_mille(self.loss_in),
            loss_out: per_mille(self.loss_out),
            round_trip_ms: whole(self.round_trip_ms),
            jitter_ms: whole(self.jitter_ms),
            bit_rate_in: self.bit_rate_in.get().map(|it| it as u64),
            bit_rate_out: self.bit_rate_out.get().map(|it| it as u64),
            mos: self.mos().map(|it| (it * 100.0).round() as u32),
        }
    }

    /// Of the side that hears worse.
    fn mos(&self) -> Option<f64> {
        let loss = self.loss_in.get()?.max(self.loss_out.get()?);
        let way = self.round_trip_ms.get().unwrap_or_default() / 2.0;
        let jitter = self.jitter_ms.get().unwrap_or_default();
        Some(mos(loss, way + PLAYOUT_MS + 2.0 * jitter))
    }
}

/// The mean opinion score of a voice (ITU-T G.107, annex B) that loses this share of its packets, and
/// is heard after so many milliseconds.
fn mos(loss: f64, delay_ms: f64) -> f64 {
    let percent = loss * 100.0;
    let equipment = 95.0 * percent / (percent + ROBUSTNESS);
    let late = 0.024 * delay_ms + 0.11 * (delay_ms - 177.3).max(0.0);
    let rating = (BEST - equipment - late).clamp(0.0, 100.0);
    let score = 1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6;
    score.clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_or_late_is_worse() {
        let scores = [mos(0.0, 40.0), mos(0.0, 400.0), mos(0.01, 40.0), mos(0.05, 40.0)];
        assert!((4.3..4.5).contains(&scores[0]), "{scores:?}");
        assert!((3.0..4.0).contains(&scores[1]), "{scores:?}");
        assert!((4.0..4.4).contains(&scores[2]), "{scores:?}");
        assert!((3.4..4.1).contains(&scores[3]), "{scores:?}");
        assert!((mos(1.0, 5_000.0) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn means_are_of_what_was_measured() {
        let mut quality = Quality::default();
        assert_eq!(quality.media(), CallMedia::default());
        for (loss, rtt) in [(0.0, Some(20)), (0.02, None), (f32::NAN, Some(40))] {
            quality.add(&NetworkFigures {
                ingress_loss: loss,
                rtt_ms: rtt,
                ..NetworkFigures::default()
            });
        }
        let media = quality.media();
        assert_eq!((media.loss_in, media.loss_out), (Some(10), Some(0)));
        assert_eq!((media.round_trip_ms, media.jitter_ms), (Some(30), None));
        assert!(media.mos.is_some_and(|it| (400..450).contains(&it)), "{media:?}");
    }
}
