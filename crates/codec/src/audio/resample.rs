//! Changing the sample rate by a whole factor, with state: no clicks at the frames' borders.

use std::f32::consts::PI;

/// Taps a phase: 24 give 70 dB of stop band at a delay of 12 samples of the lower rate (1.5 ms at
/// 8 kHz).
const TAPS: usize = 24;

/// Phases are computed side by side in vector registers; it bounds the factor.
const PHASES: usize = 8;

/// Where the low pass ends, as a share of the lower rate's Nyquist frequency.
const PASS: f32 = 0.92;

/// A polyphase low-pass filter (Kaiser window) that multiplies or divides the rate by a whole
/// factor: 8 kHz ↔ 48 kHz by 6, 16 kHz ↔ 48 kHz by 3.
pub struct Resampler {
    direction: Direction,
    factor: usize,
    /// Up: for each of [`TAPS`] input samples, oldest first, the taps of all phases, padded to
    /// [`PHASES`]. Down: all taps in a row.
    taps: Vec<f32>,
    /// The last `taps a phase − 1` input samples, then the frame at work.
    history: Vec<f32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

impl Resampler {
    /// `factor` output samples for each input sample.
    pub fn up(factor: usize) -> Self {
        let factor = factor.clamp(1, PHASES);
        let prototype = low_pass(factor);
        let tap = |age: usize, phase: usize| {
            let tap = prototype.get(age * factor + phase).filter(|_| phase < factor);
            tap.map_or(0.0, |tap| tap * factor as f32)
        };
        let taps = (0..TAPS)
            .rev()
            .flat_map(|age| (0..PHASES).map(move |phase| (age, phase)))
            .map(|(age, phase)| tap(age, phase))
            .collect();
        Self { direction: Direction::Up, factor, taps, history: vec![0.0; TAPS - 1] }
    }

    /// One output sample for `factor` input samples.
    pub fn down(factor: usize) -> Self {
        let factor = factor.clamp(1, PHASES);
        let taps = low_pass(factor);
        let history = vec![0.0; taps.len() - 1];
        Self { direction: Direction::Down, factor, taps, history }
    }

    /// Filters `input` and appends the result to `out`. Going down, `input` should be a multiple of
    /// the factor long: a rest is dropped.
    pub fn process(&mut self, input: &[f32], out: &mut Vec<f32>) {
        let kept = self.history.len();
        self.history.extend_from_slice(input);
        match self.direction {
            Direction::Up => {
                for window in self.history.windows(TAPS) {
                    let mut sums = [0.0f32; PHASES];
                    for (sample, taps) in window.iter().zip(self.taps.chunks_exact(PHASES)) {
                        for (sum, tap) in sums.iter_mut().zip(taps) {
                            *sum += sample * tap;
                        }
                    }
                    out.extend(sums.into_iter().take(self.factor));
                }
            }
            Direction::Down => {
                let windows = self.history.windows(self.taps.len());
                out.extend(
                    windows
                        .step_by(self.factor)
                        .take(input.len() / self.factor)
                        .map(|window| dot(&self.taps, window)),
                );
            }
        }
        self.history.drain(..self.history.len() - kept);
    }
}

/// Eight sums side by side, so that the compiler may use vector registers: it may not reorder the
/// additions of a single float sum.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

fn low_pass(factor: usize) -> Vec<f32> {
    let length = TAPS * factor;
    let middle = (length - 1) as f32 / 2.0;
    let cutoff = PASS / factor as f32;
    let taps: Vec<f32> = (0..length)
        .map(|i| {
            let t = i as f32 - middle;
            let sinc = if t == 0.0 { cutoff } else { (PI * cutoff * t).sin() / (PI * t) };
            let edge = t / (middle + 0.5);
            sinc * bessel(7.0 * (1.0 - edge * edge).max(0.0).sqrt()) / bessel(7.0)
        })
        .collect();
    let sum: f32 = taps.iter().sum();
    taps.into_iter().map(|tap| tap / sum).collect()
}

/// The modified Bessel function I₀, by its power series.
fn bessel(x: f32) -> f32 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..24 {
        term *= (x / 2.0 / k as f32).powi(2);
        sum += term;
    }
    sum
}
