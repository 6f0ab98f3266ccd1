//! Hiding lost frames of codecs that have no means of their own, after the idea of G.711's
//! appendix I: the last pitch period is repeated and fades.

/// What is remembered: 30 ms, two periods of the lowest voice that is looked for.
const HISTORY: usize = 1_440;

/// Pitch periods that are looked for: 400 Hz down to 70 Hz, in samples at 48 kHz.
const PERIODS: std::ops::RangeInclusive<usize> = 120..=684;

/// After this much loss there is silence: 60 ms, in samples.
const FADE: f32 = 2_880.0;

/// How long the way back into received sound takes: 4 ms, in samples.
const OVERLAP: usize = 192;

pub(super) struct Concealer {
    history: Vec<f32>,
    lost: usize,
    period: usize,
}

impl Concealer {
    pub(super) fn new() -> Self {
        Self { history: vec![0.0; HISTORY], lost: 0, period: *PERIODS.end() }
    }

    /// Remembers the samples that `out` has from `start` on; after a loss their beginning is mixed
    /// with what the repetition would have played.
    pub(super) fn received(&mut self, out: &mut [f32], start: usize) {
        let Some(fresh) = out.get_mut(start..) else { return };
        if self.lost > 0 {
            let count = OVERLAP.min(fresh.len());
            for (i, sample) in fresh.iter_mut().take(count).enumerate() {
                let share = i as f32 / count as f32;
                *sample = *sample * share + self.repeated() * (1.0 - share);
                self.lost += 1;
            }
            self.lost = 0;
        }
        let kept = fresh.get(fresh.len().saturating_sub(HISTORY)..).unwrap_or_default();
        self.history.drain(..kept.len());
        self.history.extend_from_slice(kept);
    }

    /// Appends `samples` samples in the place of lost ones.
    pub(super) fn lost(&mut self, samples: usize, out: &mut Vec<f32>) {
        if self.lost == 0 {
            self.period = self.pitch();
        }
        for _ in 0..samples {
            out.push(self.repeated());
            self.lost += 1;
        }
    }

    fn repeated(&self) -> f32 {
        let gain = 1.0 - self.lost as f32 / FADE;
        if gain <= 0.0 {
            return 0.0;
        }
        let at = HISTORY - self.period + self.lost % self.period;
        self.history.get(at).copied().unwrap_or(0.0) * gain
    }

    /// The period at which the newest 10 ms are most like what was before, on every fourth sample.
    fn pitch(&self) -> usize {
        let likeness = |period: usize| {
            let (mut product, mut energy) = (0.0f32, 1e-9f32);
            for at in (HISTORY - 480..HISTORY).step_by(4) {
                let now = self.history.get(at).copied().unwrap_or(0.0);
                let then = self.history.get(at - period).copied().unwrap_or(0.0);
                product += now * then;
                energy += then * then;
            }
            product / energy.sqrt()
        };
        PERIODS
            .step_by(2)
            .map(|period| (period, likeness(period)))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map_or(*PERIODS.end(), |(period, _)| period)
    }
}
