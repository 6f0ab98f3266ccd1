//! One decoder for all codecs.

use types::VideoCodec;

use super::h264::H264Decoder;
use super::picture::{Picture, PicturePool};
use super::vpx::VpxDecoder;
use crate::CodecError;

/// Decodes one stream.
///
/// After an error, or when a frame was lost, what follows is damaged until the next key frame: who
/// decodes asks for one and should not pass on frames before it.
pub struct Decoder(Kind);

enum Kind {
    H264(H264Decoder),
    Vpx(VpxDecoder),
}

impl Decoder {
    /// A decoder whose pictures come from `pool`. AV1 is not supported.
    pub fn new(codec: VideoCodec, pool: PicturePool) -> Result<Self, CodecError> {
        Ok(Self(match codec {
            VideoCodec::H264 => Kind::H264(H264Decoder::new(pool)?),
            VideoCodec::Vp8 => Kind::Vpx(VpxDecoder::vp8(pool)?),
            VideoCodec::Vp9 => Kind::Vpx(VpxDecoder::vp9(pool)?),
            VideoCodec::Av1 => return Err(CodecError::Unsupported("decoding AV1")),
        }))
    }

    /// Decodes one frame: H.264 as an access unit in Annex-B form with its parameter sets in band,
    /// VP8 and VP9 as the payload format gives it (VP9: a superframe). `None` where there is nothing
    /// to show yet, as with reordered pictures.
    pub fn decode(&mut self, frame: &[u8]) -> Result<Option<Picture>, CodecError> {
        match &mut self.0 {
            Kind::H264(decoder) => decoder.decode(frame),
            Kind::Vpx(decoder) => decoder.decode(frame),
        }
    }
}
