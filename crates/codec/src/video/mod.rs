//! Pictures, what is drawn on them, and the codecs that carry them.

mod bits;
mod decode;
mod encode;
mod h264;
mod picture;
mod text;
mod vp9;
mod vpx;
mod yuv;

pub use decode::Decoder;
pub use encode::{EncodedFrame, Encoder, EncoderSettings};
pub use h264::SequenceParameters;
pub use picture::{BLACK, Picture, PicturePool, Rect, Yuv, letterbox};
pub use text::{TextImage, render_text};

use crate::{CodecError, MAX_PIXELS, MAX_SIDE};

fn check_size(width: u32, height: u32) -> Result<(), CodecError> {
    let fits = (1..=MAX_SIDE).contains(&width)
        && (1..=MAX_SIDE).contains(&height)
        && width * height <= MAX_PIXELS;
    if fits { Ok(()) } else { Err(CodecError::Size { width, height }) }
}

#[cfg(test)]
mod tests;
