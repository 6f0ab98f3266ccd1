//! One encoder for all codecs.

use types::VideoCodec;

use super::check_size;
use super::h264::H264Encoder;
use super::picture::Picture;
use super::vpx::Vp8Encoder;
use crate::CodecError;

/// What is encoded, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EncoderSettings {
    /// H.264 (constrained baseline) or VP8.
    pub codec: VideoCodec,
    /// Pixels in a row, even.
    pub width: u32,
    /// Rows, even.
    pub height: u32,
    /// Pictures a second, 1..=60.
    pub fps: u32,
    /// Bits a second, at least 30,000.
    pub bitrate: u32,
    /// H.264 only: the longest NAL unit in bytes, for a receiver of single NAL units
    /// (packetization-mode 0); at least 400. `None`: one slice a picture.
    pub max_slice: Option<u32>,
}

/// What an encoded frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodedFrame {
    /// It can be decoded without any frame before it.
    pub key: bool,
}

/// Encodes one stream in real time. Every picture becomes one frame: none is skipped, whatever the
/// rate control would like.
pub struct Encoder {
    settings: EncoderSettings,
    kind: Kind,
}

enum Kind {
    H264(Box<H264Encoder>),
    Vp8(Vp8Encoder),
}

impl Encoder {
    /// An encoder; its first frame is a key frame.
    pub fn new(settings: EncoderSettings) -> Result<Self, CodecError> {
        let EncoderSettings { width, height, .. } = settings;
        check_size(width, height)?;
        if width % 2 == 1 || height % 2 == 1 || width < 32 || height < 32 {
            return Err(CodecError::Size { width, height });
        }
        let settings = EncoderSettings {
            fps: settings.fps.clamp(1, 60),
            bitrate: settings.bitrate.clamp(30_000, 20_000_000),
            max_slice: settings.max_slice.map(|bytes| bytes.max(400)),
            ..settings
        };
        let kind = match settings.codec {
            VideoCodec::H264 => Kind::H264(Box::new(H264Encoder::new(&settings)?)),
            VideoCodec::Vp8 => Kind::Vp8(Vp8Encoder::new(&settings)?),
            VideoCodec::Vp9 | VideoCodec::Av1 => {
                return Err(CodecError::Unsupported("encoding VP9 or AV1"));
            }
        };
        Ok(Self { settings, kind })
    }

    /// What it was made with, within the bounds.
    pub fn settings(&self) -> &EncoderSettings {
        &self.settings
    }

    /// Encodes a picture of the settings' size and appends the frame to `out`: H.264 in Annex-B form,
    /// parameter sets before every IDR. `key` makes a key frame.
    pub fn encode(
        &mut self,
        picture: &Picture,
        key: bool,
        out: &mut Vec<u8>,
    ) -> Result<EncodedFrame, CodecError> {
        let (width, height) = (picture.width(), picture.height());
        if (width, height) != (self.settings.width, self.settings.height) {
            return Err(CodecError::Size { width, height });
        }
        match &mut self.kind {
            Kind::H264(encoder) => encoder.encode(picture, key, out),
            Kind::Vp8(encoder) => encoder.encode(picture, key, out),
        }
    }

    /// Changes the rate at work, without a key frame.
    pub fn set_bitrate(&mut self, bits: u32) -> Result<(), CodecError> {
        let bits = bits.clamp(30_000, 20_000_000);
        self.settings.bitrate = bits;
        match &mut self.kind {
            Kind::H264(encoder) => encoder.set_bitrate(bits),
            Kind::Vp8(encoder) => encoder.set_bitrate(bits),
        }
    }
}
