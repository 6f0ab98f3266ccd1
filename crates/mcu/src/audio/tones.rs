//! Touch tones in sound (ITU-T Q.23), for room systems that tell their keys in no better way.
//!
//! Strict rather than quick: speech is taken for a key once in hours, and a key has to be held for 80 ms.

use std::f32::consts::TAU;

use codec::SAMPLE_RATE;

/// Hertz of each row and column of the keys.
const ROWS: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
const KEYS: [[char; 4]; 4] =
    [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];

/// Less power than this, as mean square of full scale, is no tone: −40 dBov.
const FAINT: f32 = 1e-4;
/// The two tones have at least this share of the power: voices have their power in many.
const SHARE: f32 = 0.85;
/// Each is so much stronger, as power, than any other of its group.
const APART: f32 = 6.0;
/// How much stronger, as power, the column may be than the row (4 dB), and the row than the column
/// (8 dB; ITU-T Q.24).
const TWIST: [f32; 2] = [2.5, 6.3];
/// A key is pressed once so many frames after each other have it: 60 ms.
const BEGINS: u32 = 3;
/// It is released after so many without it: 40 ms.
const ENDS: u32 = 2;

/// Listens to one voice.
#[derive(Debug, Default)]
pub(super) struct ToneDetector {
    /// What the last frames had, and how many of them.
    heard: Option<char>,
    frames: u32,
    pressed: Option<char>,
    /// Frames without the pressed key.
    released: u32,
}

impl ToneDetector {
    /// Listens to 20 ms. A key that is pressed with them.
    pub(super) fn hear(&mut self, frame: &[f32]) -> Option<char> {
        let key = key_in(frame);
        self.frames = if key == self.heard { self.frames.saturating_add(1) } else { 1 };
        self.heard = key;
        if self.pressed.is_some() {
            self.released = if key == self.pressed { 0 } else { self.released + 1 };
            self.pressed.take_if(|_| self.released >= ENDS);
        }
        if self.pressed.is_none() && key.is_some() && self.frames >= BEGINS {
            (self.pressed, self.released) = (key, 0);
            return key;
        }
        None
    }
}

/// The key whose tones a frame consists of.
fn key_in(frame: &[f32]) -> Option<char> {
    let power = frame.iter().map(|it| it * it).sum::<f32>() / frame.len().max(1) as f32;
    if power < FAINT {
        return None;
    }
    let (row, low) = strongest(frame, ROWS)?;
    let (column, high) = strongest(frame, COLUMNS)?;
    let [column_over, row_over] = TWIST;
    let is_key = low + high >= power * SHARE && high <= low * column_over && low <= high * row_over;
    KEYS.get(row)?.get(column).copied().filter(|_| is_key)
}

/// The strongest of a group's tones and its power, where it stands out.
fn strongest(frame: &[f32], tones: [f32; 4]) -> Option<(usize, f32)> {
    let powers = tones.map(|tone| power_at(frame, tone));
    let (place, most) = powers.into_iter().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let mut others = powers.iter().enumerate().filter(|(it, _)| *it != place);
    others.all(|(_, power)| power * APART <= most).then_some((place, most))
}

/// The power of a sine of this frequency in a frame (Goertzel's algorithm).
fn power_at(frame: &[f32], hertz: f32) -> f32 {
    let factor = 2.0 * (TAU * hertz / SAMPLE_RATE as f32).cos();
    let (mut last, mut before) = (0.0f32, 0.0f32);
    for sample in frame {
        (last, before) = (sample + factor * last - before, last);
    }
    let count = frame.len().max(1) as f32;
    2.0 * (last * last + before * before - factor * last * before) / (count * count)
}

#[cfg(test)]
mod tests {
    use ::types::AudioCodec;
    use codec::{AudioDecoder, AudioEncoder, OpusSettings};

    use super::*;
    use crate::audio::FRAME;

    /// Sines of these frequencies and amplitudes, for so many milliseconds.
    fn tones(parts: &[(f32, f32)], ms: usize) -> Vec<f32> {
        let at = |n: usize| {
            let sine = |(hertz, amplitude): &(f32, f32)| {
                amplitude * (TAU * hertz * n as f32 / SAMPLE_RATE as f32).sin()
            };
            parts.iter().map(sine).sum()
        };
        (0..ms * 48).map(at).collect()
    }

    fn of_key(key: char, amplitude: f32) -> [(f32, f32); 2] {
        let place = KEYS.iter().flatten().position(|it| *it == key).unwrap();
        [(ROWS[place / 4], amplitude), (COLUMNS[place % 4], amplitude)]
    }

    fn heard(samples: &[f32]) -> String {
        let mut detector = ToneDetector::default();
        samples.chunks_exact(FRAME).filter_map(|frame| detector.hear(frame)).collect()
    }

    /// What is left of it after this codec.
    fn over(codec: AudioCodec, samples: &[f32]) -> Vec<f32> {
        let mut encoder = AudioEncoder::new(codec, OpusSettings::default()).unwrap();
        let mut decoder = AudioDecoder::new(codec).unwrap();
        let mut out = Vec::new();
        for frame in samples.chunks_exact(FRAME) {
            let mut packet = Vec::new();
            encoder.encode(frame, &mut packet).unwrap();
            decoder.decode(&packet, &mut out).unwrap();
        }
        out
    }

    #[test]
    fn each_key_is_heard_once_over_every_codec_at_any_place_in_a_frame() {
        let all: String = KEYS.iter().flatten().collect();
        for codec in [AudioCodec::Pcma, AudioCodec::Pcmu, AudioCodec::G722, AudioCodec::Opus] {
            for (pause, amplitude) in [(77, 0.3), (90, 0.05)] {
                let mut samples = Vec::new();
                for key in all.chars() {
                    samples.extend(tones(&of_key(key, amplitude), 100));
                    samples.extend(tones(&[(50.0, 0.001)], pause));
                }
                samples.extend(tones(&[], 100));
                assert_eq!(heard(&over(codec, &samples)), all, "{codec:?} {pause} ms {amplitude}");
            }
        }
    }

    #[test]
    fn a_key_that_is_held_is_one_and_twice_the_same_are_two() {
        let key = of_key('5', 0.2);
        assert_eq!(heard(&tones(&key, 3000)), "5");
        let twice = [tones(&key, 100), tones(&[], 80), tones(&key, 100)].concat();
        assert_eq!(heard(&twice), "55");
        // A lost packet in it does not make two of it.
        let gap = [tones(&key, 100), tones(&[], 20), tones(&key, 100)].concat();
        assert_eq!(heard(&gap), "5");
    }

    #[test]
    fn other_tones_are_no_keys() {
        let [row, column] = of_key('5', 0.2);
        for parts in [
            &[row][..],
            &[column],
            &[row, (ROWS[0], 0.2)],
            &[row, column, (440.0, 0.2)],
            &[row, column, (COLUMNS[0], 0.2)],
            &[(row.0, 0.02), column],
            &[row, (column.0, 0.02)],
            // Ringing, busy and dial tones, a fax, a chord.
            &[(425.0, 0.3)],
            &[(440.0, 0.2), (480.0, 0.2)],
            &[(1100.0, 0.3)],
            &[(523.3, 0.1), (659.3, 0.1), (784.0, 0.1)],
            &[(row.0, 0.001), (column.0, 0.001)],
        ] {
            assert_eq!(heard(&tones(parts, 1000)), "", "{parts:?}");
        }
        for step in 0..150 {
            let hertz = 300.0 + 10.0 * step as f32;
            assert_eq!(heard(&tones(&[(hertz, 0.2), (hertz * 1.5, 0.2)], 100)), "", "{hertz}");
        }
    }

    /// Speech, in Russian and English, slower and faster, which makes it lower and higher.
    fn voices() -> impl Iterator<Item = Vec<f32>> {
        let words: [&[u8]; 6] = [
            include_bytes!("../../../gateway/prompts/lobby.g722"),
            include_bytes!("../../../gateway/prompts/number.g722"),
            include_bytes!("../../../gateway/prompts/pin.g722"),
            include_bytes!("../../../gateway/prompts/refused.g722"),
            include_bytes!("../../../gateway/prompts/unknown.g722"),
            include_bytes!("../../../gateway/prompts/wrong.g722"),
        ];
        let mut spoken = Vec::new();
        for words in words {
            let mut decoder = AudioDecoder::new(AudioCodec::G722).unwrap();
            for packet in words.chunks(160) {
                decoder.decode(packet, &mut spoken).unwrap();
            }
        }
        (7..=15).map(move |tenths| {
            let place = |n: usize| n * tenths / 10;
            (0..).map_while(|n| spoken.get(place(n)).copied()).collect()
        })
    }

    #[test]
    fn speech_is_no_key_and_hides_none_that_is_pressed_in_a_pause() {
        let mut seconds = 0;
        for voice in voices() {
            seconds += voice.len() / SAMPLE_RATE as usize;
            assert_eq!(heard(&voice), "");
            assert_eq!(heard(&over(AudioCodec::Pcma, &voice)), "");
            let with_tone: Vec<f32> = voice
                .iter()
                .zip(tones(&[(941.0, 0.1)], voice.len() / 48 + 1))
                .map(|(a, b)| a + b)
                .collect();
            assert_eq!(heard(&with_tone), "");
            let pressed = [&voice[..], &tones(&of_key('#', 0.1), 120), &voice[..]].concat();
            assert_eq!(heard(&pressed), "#");
        }
        assert!(seconds > 200, "{seconds} s of speech");
    }
}
