//! H.264 by OpenH264, and as much of the sequence parameter set as says what will come.
#![allow(unsafe_code)]

use openh264::OpenH264API;
use openh264::decoder::{Decoder, DecoderConfig, Flush};
use openh264::encoder::{
    BitRate, Complexity, Encoder, EncoderConfig, FrameRate, FrameType, Profile, RateControlMode,
    UsageType,
};
use openh264::formats::YUVSource;
use openh264_sys2::{
    ENCODER_OPTION_BITRATE, ENCODER_OPTION_TRACE_LEVEL, SBitrateInfo, SPATIAL_LAYER_ALL,
};

use super::bits::Bits;
use super::picture::{Picture, PicturePool};
use super::yuv::Planes;
use super::{EncodedFrame, EncoderSettings, check_size, yuv};
use crate::CodecError;

/// The longest access unit that is decoded, in bytes: ten times a 1080p key frame of a meeting.
const MAX_ACCESS_UNIT: usize = 2 << 20;

/// What a sequence parameter set (H.264 section 7.3.2.1.1) says about the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceParameters {
    /// 66 baseline, 77 main, 100 high, …
    pub profile: u8,
    /// `constraint_set0_flag` is the most significant bit.
    pub constraints: u8,
    /// Ten times the level's number.
    pub level: u8,
    /// Pixels in a row, before cropping.
    pub width: u32,
    /// Rows, before cropping.
    pub height: u32,
}

impl SequenceParameters {
    /// Reads a NAL unit of type 7, without its start code. `None` if it is damaged.
    pub fn parse(nal: &[u8]) -> Option<Self> {
        let (header, rest) = nal.split_first()?;
        if header & 0x1f != 7 {
            return None;
        }
        let rbsp = without_emulation_prevention(rest.get(..rest.len().min(512))?);
        let mut bits = Bits::new(&rbsp);
        let profile = bits.take(8)? as u8;
        let constraints = bits.take(8)? as u8;
        let level = bits.take(8)? as u8;
        bits.exp_golomb()?;
        if matches!(
            profile,
            100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
        ) {
            skip_high_profile(&mut bits)?;
        }
        bits.exp_golomb()?;
        match bits.exp_golomb()? {
            0 => {
                bits.exp_golomb()?;
            }
            1 => {
                bits.bit()?;
                bits.signed_exp_golomb()?;
                bits.signed_exp_golomb()?;
                for _ in 0..bits.exp_golomb()?.min(256) {
                    bits.signed_exp_golomb()?;
                }
            }
            _ => {}
        }
        bits.exp_golomb()?;
        bits.bit()?;
        let width = bits.exp_golomb()?.checked_add(1)?.checked_mul(16)?;
        let map_units = bits.exp_golomb()?.checked_add(1)?.checked_mul(16)?;
        let frames_only = bits.bit()?;
        let height = map_units.checked_mul(if frames_only { 1 } else { 2 })?;
        Some(Self { profile, constraints, level, width, height })
    }
}

fn skip_high_profile(bits: &mut Bits<'_>) -> Option<()> {
    let chroma = bits.exp_golomb()?;
    if chroma == 3 {
        bits.bit()?;
    }
    bits.exp_golomb()?;
    bits.exp_golomb()?;
    bits.bit()?;
    if bits.bit()? {
        for list in 0..if chroma == 3 { 12 } else { 8 } {
            if bits.bit()? {
                skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(())
}

fn skip_scaling_list(bits: &mut Bits<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8i32, 8i32);
    for _ in 0..size {
        if next != 0 {
            next = last.wrapping_add(bits.signed_exp_golomb()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

fn without_emulation_prevention(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut zeros = 0;
    for byte in data {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        out.push(*byte);
    }
    out
}

/// The NAL units of an Annex-B stream, without start codes and the zeros before them.
pub(super) fn nal_units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut starts = data
        .windows(3)
        .enumerate()
        .filter(|(_, window)| *window == [0, 0, 1])
        .map(|(at, _)| at)
        .peekable();
    std::iter::from_fn(move || {
        let start = starts.next()? + 3;
        let end = starts.peek().copied().unwrap_or(data.len());
        let nal = data.get(start..end)?;
        // A NAL unit ends with a one bit: zeros after it belong to the next start code.
        let length = nal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        nal.get(..length)
    })
}

pub(super) struct H264Decoder {
    decoder: Decoder,
    pool: PicturePool,
}

impl H264Decoder {
    pub(super) fn new(pool: PicturePool) -> Result<Self, CodecError> {
        // Without flushing, pictures leave in display order also where there are B-frames.
        let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        let decoder = Decoder::with_api_config(OpenH264API::from_source(), config)
            .map_err(|_| CodecError::Library { call: "WelsCreateDecoder", code: 0 })?;
        Ok(Self { decoder, pool })
    }

    pub(super) fn decode(&mut self, unit: &[u8]) -> Result<Option<Picture>, CodecError> {
        let damaged = CodecError::Damaged { codec: "H.264", code: 0 };
        if unit.len() > MAX_ACCESS_UNIT {
            return Err(damaged);
        }
        // Before the library allocates for it.
        for nal in nal_units(unit).filter(|nal| nal.first().is_some_and(|h| h & 0x1f == 7)) {
            let sps = SequenceParameters::parse(nal).ok_or(damaged)?;
            check_size(sps.width, sps.height)?;
        }
        let Some(frame) = self.decoder.decode(unit).map_err(|_| damaged)? else { return Ok(None) };
        let (width, height) = frame.dimensions();
        let (y_stride, uv_stride, _) = frame.strides();
        let (width, height) = (width as u32, height as u32);
        let mut picture = self.pool.picture(width, height)?;
        let planes = Planes { y: frame.y(), u: frame.u(), v: frame.v(), y_stride, uv_stride };
        let bounds = picture.bounds();
        yuv::copy(&planes, &mut picture.planes_mut(), bounds);
        Ok(Some(picture))
    }
}

pub(super) struct H264Encoder {
    encoder: Encoder,
}

struct Source<'a>(&'a Picture);

impl YUVSource for Source<'_> {
    fn dimensions(&self) -> (usize, usize) {
        (self.0.width() as usize, self.0.height() as usize)
    }

    fn strides(&self) -> (usize, usize, usize) {
        let planes = self.0.planes();
        (planes.y_stride, planes.uv_stride, planes.uv_stride)
    }

    fn y(&self) -> &[u8] {
        self.0.planes().y
    }

    fn u(&self) -> &[u8] {
        self.0.planes().u
    }

    fn v(&self) -> &[u8] {
        self.0.planes().v
    }
}

impl H264Encoder {
    pub(super) fn new(settings: &EncoderSettings) -> Result<Self, CodecError> {
        let mut config = EncoderConfig::new()
            .usage_type(UsageType::CameraVideoRealTime)
            .complexity(Complexity::Low)
            .profile(Profile::Baseline)
            .rate_control_mode(RateControlMode::Bitrate)
            .bitrate(BitRate::from_bps(settings.bitrate))
            .max_frame_rate(FrameRate::from_hz(settings.fps as f32))
            .skip_frames(false)
            // Key frames are made when they are asked for, and only then.
            .scene_change_detect(false)
            .adaptive_quantization(false)
            // The pool of workers is the parallelism; threads of the library's own would disturb it.
            .num_threads(1);
        if let Some(bytes) = settings.max_slice {
            config = config.max_slice_len(bytes);
        }
        let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config)
            .map_err(|_| CodecError::Library { call: "WelsCreateSVCEncoder", code: 0 })?;
        let mut quiet: i32 = 0;
        // SAFETY: this option takes an `int` and may be set before the encoder is initialised. The
        // library would otherwise write its warnings to stderr.
        unsafe {
            encoder.raw_api().set_option(ENCODER_OPTION_TRACE_LEVEL, (&raw mut quiet).cast());
        }
        Ok(Self { encoder })
    }

    pub(super) fn encode(
        &mut self,
        picture: &Picture,
        key: bool,
        out: &mut Vec<u8>,
    ) -> Result<EncodedFrame, CodecError> {
        if key {
            self.encoder.force_intra_frame();
        }
        let stream = self
            .encoder
            .encode(&Source(picture))
            .map_err(|_| CodecError::Library { call: "EncodeFrame", code: 0 })?;
        stream.write_vec(out);
        Ok(EncodedFrame { key: stream.frame_type() == FrameType::IDR })
    }

    pub(super) fn set_bitrate(&mut self, bits: u32) -> Result<(), CodecError> {
        let mut info = SBitrateInfo { iLayer: SPATIAL_LAYER_ALL, iBitrate: bits as i32 };
        // SAFETY: this option takes a `SBitrateInfo`, which it copies.
        let code = unsafe {
            self.encoder.raw_api().set_option(ENCODER_OPTION_BITRATE, (&raw mut info).cast())
        };
        if code == 0 { Ok(()) } else { Err(CodecError::Library { call: "SetOption", code }) }
    }
}
