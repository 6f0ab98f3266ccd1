//! What no mixer can do without: every packet decoded, every different mix encoded.

use std::sync::Arc;
use std::time::Duration;

use codec::{AudioDecoder, AudioEncoder, OpusSettings};
use types::AudioCodec;

use crate::fault::Result;
use crate::machine::cpu_of_thread;
use crate::sound::{EXPECTED_LOSS, FRAME, OPUS_BITRATE};

/// Ticks of 20 ms.
const TICKS: usize = 50;

/// Participants a core by the bare codec calls: who talks hears a mix of their own, all others hear
/// one and the same.
pub fn capacity(codec: AudioCodec, voices: &[Arc<Vec<Vec<u8>>>], talkers: usize) -> Result<f64> {
    let settings = OpusSettings {
        bitrate: OPUS_BITRATE,
        expected_loss: EXPECTED_LOSS,
        ..OpusSettings::default()
    };
    let mixes = talkers + usize::from(talkers < voices.len());
    let mut decoders = Vec::new();
    for _ in voices {
        decoders.push(AudioDecoder::new(codec)?);
    }
    let mut encoders = Vec::new();
    for _ in 0..mixes {
        encoders.push(AudioEncoder::new(codec, settings)?);
    }
    let mut spent = Duration::ZERO;
    let (mut frames, mut packet) = (vec![Vec::new(); voices.len()], Vec::new());
    for tick in 0..TICKS {
        let before = cpu_of_thread()?;
        for ((voice, decoder), frame) in voices.iter().zip(&mut decoders).zip(&mut frames) {
            frame.clear();
            decoder.decode(voice.get(tick).map(Vec::as_slice).unwrap_or_default(), frame)?;
        }
        spent += cpu_of_thread()?.saturating_sub(before);
        // What is encoded has to sound like a mix, but mixing it is no codec's work.
        let mut sum = vec![0.0; FRAME];
        for (mixed, sample) in frames.iter().flat_map(|frame| frame.iter().copied().enumerate()) {
            if let Some(mixed) = sum.get_mut(mixed) {
                *mixed += sample / 4.0;
            }
        }
        let before = cpu_of_thread()?;
        for encoder in &mut encoders {
            packet.clear();
            encoder.encode(&sum, &mut packet)?;
        }
        spent += cpu_of_thread()?.saturating_sub(before);
    }
    let time = TICKS as f64 * 0.02;
    Ok(voices.len() as f64 * time / spent.as_secs_f64())
}
