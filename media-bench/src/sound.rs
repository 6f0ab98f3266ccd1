//! Voices that never tire: synthetic speech, encoded beforehand.

use std::f32::consts::TAU;

use codec::{AudioEncoder, OpusSettings, SAMPLE_RATE};
use types::AudioCodec;

use crate::fault::Result;

/// Samples of 20 ms.
pub const FRAME: usize = 960;

/// Packets after which a voice begins anew: 4 s.
const LOOP: usize = 200;

/// What everybody's Opus runs at, Janus' encoders as well.
pub const OPUS_BITRATE: u32 = 32_000;
/// Percent of loss that forward error correction is set up for; the same for all.
pub const EXPECTED_LOSS: u8 = 5;

/// Packets of 20 ms of somebody who talks, or whose microphone hears only the room's noise.
pub fn record(codec: AudioCodec, seed: u32, talks: bool) -> Result<Vec<Vec<u8>>> {
    let settings = OpusSettings {
        bitrate: OPUS_BITRATE,
        expected_loss: EXPECTED_LOSS,
        ..OpusSettings::default()
    };
    let mut encoder = AudioEncoder::new(codec, settings)?;
    let mut noise = seed;
    let mut packets = Vec::with_capacity(LOOP);
    for frame in 0..LOOP {
        let samples: Vec<f32> = (0..FRAME)
            .map(|i| {
                let at = (frame * FRAME + i) as f32 / SAMPLE_RATE as f32;
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let hiss = (noise >> 8) as f32 / (1 << 23) as f32 - 1.0;
                if talks { voice(seed, at) + 0.002 * hiss } else { 0.000_2 * hiss }
            })
            .collect();
        let mut packet = Vec::new();
        encoder.encode(&samples, &mut packet)?;
        packets.push(packet);
    }
    Ok(packets)
}

/// A sum of harmonics whose strengths wander as vowels do, in syllables of a quarter of a second.
fn voice(seed: u32, at: f32) -> f32 {
    let pitch = 95.0 + (seed % 40) as f32 * 4.0 + 6.0 * (TAU * 0.7 * at).sin();
    let syllable = (TAU * 2.0 * at + seed as f32).sin().abs();
    let tone: f32 = (1..=12)
        .map(|harmonic| {
            let h = harmonic as f32;
            let colour = 0.6 + 0.4 * (TAU * (0.9 + 0.1 * h) * at + h).sin();
            colour / h * (TAU * pitch * h * at).sin()
        })
        .sum();
    0.12 * syllable * tone
}

/// Root mean square.
pub fn loudness(samples: &[f32]) -> f32 {
    (samples.iter().map(|s| s * s).sum::<f32>() / samples.len().max(1) as f32).sqrt()
}
