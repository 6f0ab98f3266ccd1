//! L1: safe wrappers of foreign codecs: Opus, G.722, G.711; H.264, VP8, VP9; scaling and text on
//! I420 pictures. It knows no RTP: encoded frames go in and out whole.
//!
//! Everything here takes a peer's bytes. Whatever comes in, a call ends in a result: sizes are
//! bounded by [`MAX_PIXELS`] before a foreign library allocates for them, and errors are typed.
#![warn(missing_docs)]

mod audio;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod video;

pub use audio::{
    AudioDecoder, AudioEncoder, MAX_FRAME_SAMPLES, OpusSettings, Resampler, SAMPLE_RATE,
};
pub use error::CodecError;
pub use video::{
    BLACK, Decoder, EncodedFrame, Encoder, EncoderSettings, Picture, PicturePool, Rect,
    SequenceParameters, TextImage, Yuv, letterbox, render_text,
};

/// The largest picture that is decoded or encoded, in pixels: 1920×1088, however it is turned.
pub const MAX_PIXELS: u32 = 1920 * 1088;

/// The longest side of a picture: room for a turned 1080p picture and for panoramas.
pub const MAX_SIDE: u32 = 2048;
