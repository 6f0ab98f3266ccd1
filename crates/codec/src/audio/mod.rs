//! Sound: every codec behind one decoder and one encoder that speak 48 kHz mono, samples in
//! −1.0..=1.0.

mod conceal;
mod resample;

pub use resample::Resampler;

use audio_codec_algorithms::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};
use ezk_g722::libg722::{self, Bitrate};
use types::AudioCodec;

use self::conceal::Concealer;
use crate::CodecError;

/// Samples a second of everything that goes into an encoder and comes out of a decoder.
pub const SAMPLE_RATE: u32 = 48_000;

/// The longest frame that is decoded, in samples: 120 ms, Opus' longest packet.
pub const MAX_FRAME_SAMPLES: usize = 5_760;

/// Decodes one source's packets to 48 kHz mono and hides what is lost.
pub struct AudioDecoder {
    kind: DecoderKind,
    narrow: Vec<f32>,
}

enum DecoderKind {
    Opus(opus::Decoder),
    G722 { decoder: Box<libg722::decoder::Decoder>, up: Resampler, conceal: Concealer },
    G711 { decode: fn(u8) -> i16, up: Resampler, conceal: Concealer },
}

impl AudioDecoder {
    /// A decoder for one stream.
    pub fn new(codec: AudioCodec) -> Result<Self, CodecError> {
        let kind = match codec {
            AudioCodec::Opus => DecoderKind::Opus(
                opus::Decoder::new(SAMPLE_RATE, opus::Channels::Mono).map_err(library)?,
            ),
            AudioCodec::G722 => DecoderKind::G722 {
                decoder: Box::new(libg722::decoder::Decoder::new(
                    Bitrate::Mode1_64000,
                    false,
                    false,
                )),
                up: Resampler::up(3),
                conceal: Concealer::new(),
            },
            AudioCodec::Pcma => g711(decode_alaw),
            AudioCodec::Pcmu => g711(decode_ulaw),
        };
        Ok(Self { kind, narrow: Vec::new() })
    }

    /// Decodes a packet and appends its samples to `out`: at most [`MAX_FRAME_SAMPLES`]. Stereo is
    /// mixed down. Returns the number of samples.
    pub fn decode(&mut self, packet: &[u8], out: &mut Vec<f32>) -> Result<usize, CodecError> {
        let start = out.len();
        match &mut self.kind {
            DecoderKind::Opus(decoder) => {
                if packet.is_empty() {
                    return Err(CodecError::Damaged { codec: "Opus", code: 0 });
                }
                opus_decode(decoder, packet, MAX_FRAME_SAMPLES, false, out)?;
            }
            DecoderKind::G722 { decoder, up, conceal } => {
                let packet = packet.get(..MAX_FRAME_SAMPLES / 6).unwrap_or(packet);
                self.narrow.clear();
                self.narrow.extend(decoder.decode(packet).into_iter().map(to_float));
                up.process(&self.narrow, out);
                conceal.received(out, start);
            }
            DecoderKind::G711 { decode, up, conceal } => {
                let packet = packet.get(..MAX_FRAME_SAMPLES / 6).unwrap_or(packet);
                self.narrow.clear();
                self.narrow.extend(packet.iter().map(|b| to_float(decode(*b))));
                up.process(&self.narrow, out);
                conceal.received(out, start);
            }
        }
        Ok(out.len() - start)
    }

    /// Appends `samples` samples that stand for lost sound. `next` is the packet after the loss if
    /// it has come already: Opus may carry a copy of the lost frame in it (RFC 6716 section 4.2.5).
    pub fn conceal(
        &mut self,
        samples: usize,
        next: Option<&[u8]>,
        out: &mut Vec<f32>,
    ) -> Result<(), CodecError> {
        let samples = samples.min(MAX_FRAME_SAMPLES);
        match &mut self.kind {
            DecoderKind::Opus(decoder) => match next {
                Some(packet) if !packet.is_empty() => {
                    opus_decode(decoder, packet, samples, true, out)
                }
                _ => opus_decode(decoder, &[], samples, false, out),
            },
            DecoderKind::G722 { conceal, .. } | DecoderKind::G711 { conceal, .. } => {
                conceal.lost(samples, out);
                Ok(())
            }
        }
    }
}

fn g711(decode: fn(u8) -> i16) -> DecoderKind {
    DecoderKind::G711 { decode, up: Resampler::up(6), conceal: Concealer::new() }
}

fn opus_decode(
    decoder: &mut opus::Decoder,
    packet: &[u8],
    samples: usize,
    fec: bool,
    out: &mut Vec<f32>,
) -> Result<(), CodecError> {
    let start = out.len();
    out.resize(start + samples, 0.0);
    let target = out.get_mut(start..).unwrap_or_default();
    let decoded = decoder.decode_float(packet, target, fec);
    out.truncate(start + decoded.as_ref().copied().unwrap_or(0).min(samples));
    decoded
        .map(|_| ())
        .map_err(|error| CodecError::Damaged { codec: "Opus", code: error.code() as i32 })
}

/// How Opus is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OpusSettings {
    /// Bits a second, 6,000..=510,000; what is outside is moved to the nearer end.
    pub bitrate: u32,
    /// Carry a copy of the frame before, for a receiver that lost it.
    pub fec: bool,
    /// The loss that is expected, in percent: how much is spent on that copy.
    pub expected_loss: u8,
    /// Stop sending while there is silence.
    pub dtx: bool,
}

impl Default for OpusSettings {
    fn default() -> Self {
        Self { bitrate: 32_000, fec: true, expected_loss: 5, dtx: false }
    }
}

/// Encodes 48 kHz mono frames.
pub struct AudioEncoder {
    kind: EncoderKind,
    narrow: Vec<f32>,
}

enum EncoderKind {
    Opus(opus::Encoder),
    G722 { encoder: Box<libg722::encoder::Encoder>, down: Resampler },
    G711 { encode: fn(i16) -> u8, down: Resampler },
}

/// The largest Opus packet (RFC 6716 section 3.4 R2).
const MAX_OPUS_BYTES: usize = 1_275;

impl AudioEncoder {
    /// An encoder for one stream; `opus` matters for Opus alone.
    pub fn new(codec: AudioCodec, opus: OpusSettings) -> Result<Self, CodecError> {
        let kind = match codec {
            AudioCodec::Opus => EncoderKind::Opus(opus_encoder(opus)?),
            AudioCodec::G722 => EncoderKind::G722 {
                encoder: Box::new(libg722::encoder::Encoder::new(
                    Bitrate::Mode1_64000,
                    false,
                    false,
                )),
                down: Resampler::down(3),
            },
            AudioCodec::Pcma => EncoderKind::G711 { encode: encode_alaw, down: Resampler::down(6) },
            AudioCodec::Pcmu => EncoderKind::G711 { encode: encode_ulaw, down: Resampler::down(6) },
        };
        Ok(Self { kind, narrow: Vec::new() })
    }

    /// Encodes a frame and appends the packet's bytes to `out`. A frame has 480, 960, 1920 or 2880
    /// samples (10, 20, 40, 60 ms). With discontinuous transmission an Opus packet of two bytes or
    /// fewer need not be sent.
    pub fn encode(&mut self, frame: &[f32], out: &mut Vec<u8>) -> Result<(), CodecError> {
        if !matches!(frame.len(), 480 | 960 | 1920 | 2880) {
            return Err(CodecError::Unsupported("an audio frame of this length"));
        }
        match &mut self.kind {
            EncoderKind::Opus(encoder) => {
                let start = out.len();
                out.resize(start + MAX_OPUS_BYTES, 0);
                let target = out.get_mut(start..).unwrap_or_default();
                let length = encoder.encode_float(frame, target);
                out.truncate(start + length.as_ref().copied().unwrap_or(0));
                length.map_err(library)?;
            }
            EncoderKind::G722 { encoder, down } => {
                self.narrow.clear();
                down.process(frame, &mut self.narrow);
                let samples: Vec<i16> = self.narrow.iter().map(|s| to_int(*s)).collect();
                out.extend(encoder.encode(&samples));
            }
            EncoderKind::G711 { encode, down } => {
                self.narrow.clear();
                down.process(frame, &mut self.narrow);
                out.extend(self.narrow.iter().map(|s| encode(to_int(*s))));
            }
        }
        Ok(())
    }

    /// Changes the rate of an Opus encoder at work; nothing for codecs of a fixed rate.
    pub fn set_bitrate(&mut self, bits: u32) -> Result<(), CodecError> {
        match &mut self.kind {
            EncoderKind::Opus(encoder) => encoder.set_bitrate(opus_bitrate(bits)).map_err(library),
            EncoderKind::G722 { .. } | EncoderKind::G711 { .. } => Ok(()),
        }
    }
}

fn opus_bitrate(bits: u32) -> opus::Bitrate {
    opus::Bitrate::Bits(bits.clamp(6_000, 510_000) as i32)
}

fn opus_encoder(settings: OpusSettings) -> Result<opus::Encoder, CodecError> {
    let mut encoder =
        opus::Encoder::new(SAMPLE_RATE, opus::Channels::Mono, opus::Application::Voip)
            .map_err(library)?;
    encoder.set_bitrate(opus_bitrate(settings.bitrate)).map_err(library)?;
    // Half of the CPU of complexity 9 for a difference that is hard to hear in speech.
    encoder.set_complexity(5).map_err(library)?;
    encoder.set_inband_fec(settings.fec).map_err(library)?;
    encoder.set_packet_loss_perc(i32::from(settings.expected_loss.min(100))).map_err(library)?;
    encoder.set_dtx(settings.dtx).map_err(library)?;
    Ok(encoder)
}

fn library(error: opus::Error) -> CodecError {
    CodecError::Library { call: error.function(), code: error.code() as i32 }
}

fn to_float(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

fn to_int(sample: f32) -> i16 {
    // A cast from float saturates, and turns NaN into 0.
    (sample * 32_768.0).round() as i16
}

#[cfg(test)]
mod tests;
