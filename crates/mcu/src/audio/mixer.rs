//! Mix-minus: the sum of all voices, once; for who speaks, that sum less the own voice.

use std::collections::BTreeMap;

use super::FRAME;
use super::source::AudioSource;
use crate::types::SourceId;

/// What a listener hears: everybody who talks, or everybody but one of them.
pub(super) type Variant = Option<SourceId>;

/// The loudest that comes out: −1 dBov, so that codecs do not clip on their own overshoot.
const CEILING: f32 = 0.89;

/// How much of its distance to 1 a limiter's gain regains each tick: about 0.5 s for the whole way.
const RELEASE: f32 = 0.06;

/// How long a gain takes to come down, in samples: 5 ms, with a hard edge rounded by the knee.
const ATTACK: usize = 240;

/// Comfort noise: −72 dBov.
const NOISE: f32 = 0.000_25 * 1.732;

#[derive(Default)]
pub(super) struct Mixer {
    sum: Vec<f32>,
    voices: usize,
    limiters: BTreeMap<Variant, Limiter>,
    noise: Noise,
}

impl Mixer {
    /// Sums this tick's voices.
    pub(super) fn begin(&mut self, sources: &BTreeMap<SourceId, AudioSource>) {
        self.sum.clear();
        self.sum.resize(FRAME, 0.0);
        self.voices = 0;
        for source in sources.values().filter(|s| s.talks()) {
            self.voices += 1;
            for (sum, sample) in self.sum.iter_mut().zip(source.frame()) {
                *sum += sample;
            }
        }
        self.limiters.retain(|variant, _| variant.is_none_or(|id| sources.contains_key(&id)));
    }

    /// Writes what the listeners of `variant` hear.
    pub(super) fn mix(
        &mut self,
        variant: Variant,
        sources: &BTreeMap<SourceId, AudioSource>,
        out: &mut Vec<f32>,
    ) {
        out.clear();
        out.extend_from_slice(&self.sum);
        let own = variant.and_then(|id| sources.get(&id)).filter(|source| source.talks());
        if let Some(own) = own {
            for (mixed, sample) in out.iter_mut().zip(own.frame()) {
                *mixed -= sample;
            }
        }
        if self.voices == usize::from(own.is_some()) {
            self.noise.fill(out);
            return;
        }
        self.limiters.entry(variant).or_default().apply(out);
    }
}

struct Limiter {
    gain: f32,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { gain: 1.0 }
    }
}

impl Limiter {
    fn apply(&mut self, frame: &mut [f32]) {
        let peak = frame.iter().fold(0.0f32, |peak, s| peak.max(s.abs()));
        let allowed = if peak > CEILING { CEILING / peak } else { 1.0 };
        let regained = self.gain + (1.0 - self.gain) * RELEASE;
        let target = allowed.min(regained);
        if self.gain > 0.999 && target > 0.999 {
            self.gain = 1.0;
            return;
        }
        let way = if target < self.gain { ATTACK } else { frame.len() };
        for (i, sample) in frame.iter_mut().enumerate() {
            let share = (i as f32 / way as f32).min(1.0);
            *sample = knee(*sample * (self.gain + (target - self.gain) * share));
        }
        self.gain = target;
    }
}

/// Straight up to [`CEILING`], then bent so that it never reaches 1.
fn knee(sample: f32) -> f32 {
    let size = sample.abs();
    if size <= CEILING {
        return sample;
    }
    let room = 1.0 - CEILING;
    let over = (size - CEILING) / room;
    (CEILING + room * over / (1.0 + over)).copysign(sample)
}

/// A linear congruential generator is random enough for noise that nobody listens to.
#[derive(Default)]
struct Noise(u32);

impl Noise {
    fn fill(&mut self, out: &mut [f32]) {
        for sample in out {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *sample = (self.0 >> 8) as f32 / (1 << 23) as f32 * NOISE - NOISE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limiter_never_clips_and_comes_back() {
        let mut limiter = Limiter::default();
        let loud: Vec<f32> = (0..FRAME).map(|i| 20.0 * (i as f32 * 0.05).sin()).collect();
        let quiet: Vec<f32> = loud.iter().map(|s| s / 100.0).collect();
        for _ in 0..50 {
            let mut frame = loud.clone();
            limiter.apply(&mut frame);
            assert!(frame.iter().all(|s| s.abs() < 1.0));
        }
        let mut frame = loud.clone();
        limiter.apply(&mut frame);
        let bent = frame.iter().filter(|s| s.abs() > CEILING + 0.001).count();
        assert_eq!(bent, 0, "a steady sound is made quieter, not bent");
        for _ in 0..150 {
            frame.clone_from(&quiet);
            limiter.apply(&mut frame);
        }
        assert_eq!(frame, quiet, "after a while what is quiet is left alone");
    }
}
