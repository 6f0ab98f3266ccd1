//! Buffers between the network and the decoders: [`AudioBuffer`] trades delay for smooth sound,
//! [`VideoBuffer`] puts packets in order.

mod audio;
mod delay;
mod video;

pub use audio::{AudioBuffer, AudioStats, Playout};
pub use video::{Ordered, VideoBuffer, VideoStats};
