use super::*;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::f32::consts::TAU;

const CODECS: [AudioCodec; 4] =
    [AudioCodec::Opus, AudioCodec::G722, AudioCodec::Pcma, AudioCodec::Pcmu];

fn tone(frequency: f32, from: usize, samples: usize) -> Vec<f32> {
    (from..from + samples).map(|i| 0.3 * (TAU * frequency * i as f32 / 48_000.0).sin()).collect()
}

/// Power at one frequency (Goertzel), as amplitude.
fn amplitude(samples: &[f32], frequency: f32) -> f32 {
    let (mut re, mut im) = (0.0f32, 0.0f32);
    for (i, s) in samples.iter().enumerate() {
        let phase = TAU * frequency * i as f32 / 48_000.0;
        re += s * phase.cos();
        im += s * phase.sin();
    }
    2.0 * (re * re + im * im).sqrt() / samples.len() as f32
}

fn round_trip(codec: AudioCodec, frequency: f32, frames: usize) -> Vec<f32> {
    let mut encoder = AudioEncoder::new(codec, OpusSettings::default()).unwrap();
    let mut decoder = AudioDecoder::new(codec).unwrap();
    let mut out = Vec::new();
    for frame in 0..frames {
        let mut packet = Vec::new();
        encoder.encode(&tone(frequency, frame * 960, 960), &mut packet).unwrap();
        assert_eq!(decoder.decode(&packet, &mut out).unwrap(), 960, "{codec:?}");
    }
    out
}

#[test]
fn a_tone_survives_every_codec_at_its_loudness() {
    for codec in CODECS {
        let heard = round_trip(codec, 1_000.0, 50);
        let level = amplitude(&heard[9_600..], 1_000.0);
        assert!((0.24..0.36).contains(&level), "{codec:?}: {level}");
        assert!(amplitude(&heard[9_600..], 1_700.0) < 0.006, "{codec:?} adds a tone");
    }
}

#[test]
fn packets_have_the_size_that_their_rtp_clock_says() {
    for (codec, bytes) in
        [(AudioCodec::G722, 160), (AudioCodec::Pcma, 160), (AudioCodec::Pcmu, 160)]
    {
        let mut packet = Vec::new();
        let mut encoder = AudioEncoder::new(codec, OpusSettings::default()).unwrap();
        encoder.encode(&tone(440.0, 0, 960), &mut packet).unwrap();
        assert_eq!(packet.len(), bytes, "{codec:?}");
    }
}

#[test]
fn resampling_has_no_clicks_at_the_frames_borders() {
    for factor in [3, 6] {
        let (mut down, mut up) = (Resampler::down(factor), Resampler::up(factor));
        let mut out = Vec::new();
        for frame in 0..40 {
            let mut narrow = Vec::new();
            down.process(&tone(700.0, frame * 960, 960), &mut narrow);
            assert_eq!(narrow.len(), 960 / factor);
            up.process(&narrow, &mut out);
        }
        assert_eq!(out.len(), 40 * 960);
        let steady = &out[4_800..];
        // The steepest step of the tone itself is 2πfA/rate; a click is far above it.
        let limit = TAU * 700.0 * 0.3 / 48_000.0 * 1.2;
        let steepest = steady.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        assert!(steepest < limit, "by {factor}: a step of {steepest}");
        let level = amplitude(steady, 700.0);
        assert!((level - 0.3).abs() < 0.005, "by {factor}: {level}");
    }
}

#[test]
fn sound_above_the_lower_rate_does_not_fold_back() {
    let mut down = Resampler::down(6);
    let mut narrow = Vec::new();
    for frame in 0..20 {
        down.process(&tone(5_500.0, frame * 960, 960), &mut narrow);
    }
    let loudest = narrow[160..].iter().fold(0.0f32, |a, s| a.max(s.abs()));
    assert!(loudest < 0.3 * 0.003, "5.5 kHz came through 8 kHz sampling as {loudest}");
}

#[test]
fn one_lost_frame_is_hidden_and_a_long_loss_becomes_silence() {
    for codec in CODECS {
        let mut encoder = AudioEncoder::new(codec, OpusSettings::default()).unwrap();
        let mut decoder = AudioDecoder::new(codec).unwrap();
        let mut out = Vec::new();
        for frame in 0..30 {
            let mut packet = Vec::new();
            encoder.encode(&tone(300.0, frame * 960, 960), &mut packet).unwrap();
            if frame == 20 {
                out.clear();
                decoder.conceal(960, None, &mut out).unwrap();
                assert_eq!(out.len(), 960, "{codec:?}");
                let level = amplitude(&out, 300.0);
                assert!(level > 0.15, "{codec:?}: the gap holds {level} of the tone");
            } else {
                decoder.decode(&packet, &mut out).unwrap();
            }
        }
        out.clear();
        for _ in 0..25 {
            decoder.conceal(960, None, &mut out).unwrap();
        }
        let last = out[24 * 960..].iter().fold(0.0f32, |a, s| a.max(s.abs()));
        assert!(last < 0.02, "{codec:?}: {last} after half a second without packets");
    }
}

#[test]
fn opus_brings_a_lost_frame_back_from_the_packet_after_it() {
    let settings = OpusSettings { bitrate: 40_000, expected_loss: 25, ..OpusSettings::default() };
    let mut encoder = AudioEncoder::new(AudioCodec::Opus, settings).unwrap();
    let mut rng = StdRng::seed_from_u64(3);
    // A voice-like sound that no concealment can guess: its pitch jumps with every frame.
    let packets: Vec<(f32, Vec<u8>)> = (0..40)
        .map(|_| {
            let pitch = rng.random_range(200.0f32..900.0);
            let mut packet = Vec::new();
            encoder.encode(&tone(pitch, 0, 960), &mut packet).unwrap();
            (pitch, packet)
        })
        .collect();
    let (mut with, mut without) = (0.0, 0.0);
    for fec in [true, false] {
        let mut decoder = AudioDecoder::new(AudioCodec::Opus).unwrap();
        for (i, (_, packet)) in packets.iter().enumerate() {
            let mut out = Vec::new();
            if i % 4 == 3 && i + 1 < packets.len() {
                let next = fec.then(|| packets[i + 1].1.as_slice());
                decoder.conceal(960, next, &mut out).unwrap();
                assert_eq!(out.len(), 960);
                let level = amplitude(&out, packets[i].0);
                *(if fec { &mut with } else { &mut without }) += level;
            } else {
                decoder.decode(packet, &mut out).unwrap();
            }
        }
    }
    assert!(with > without * 1.5, "with FEC {with}, without {without}");
}

#[test]
fn garbage_never_panics_and_never_grows_a_frame() {
    let mut rng = StdRng::seed_from_u64(7);
    for codec in CODECS {
        let mut decoder = AudioDecoder::new(codec).unwrap();
        for _ in 0..2_000 {
            let length = rng.random_range(0..1_500);
            let packet: Vec<u8> = (0..length).map(|_| rng.random()).collect();
            let mut out = Vec::new();
            let _ = decoder.decode(&packet, &mut out);
            assert!(out.len() <= MAX_FRAME_SAMPLES);
            assert!(out.iter().all(|s| s.is_finite()));
            out.clear();
            let _ = decoder.conceal(960, Some(&packet), &mut out);
            assert!(out.len() <= MAX_FRAME_SAMPLES);
        }
    }
}
