//! L2: the bridge between people who take many streams and room systems that take one: jitter
//! buffer → decode → mix or compose → encode → packetize.
//!
//! A meeting that has a room system has a [`Bridge`]. Packets come in and go out on lanes
//! ([`rtp::lane`]); commands are reliable and do not block; nothing here knows shards or SIP.
//!
//! # Threads
//!
//! The cores ([`audio`](crate) and video) are pure: they take time as an argument. Two drivers run
//! them: [`Mcu::start`] on threads — one for all sound, with a deadline every 20 ms, and workers for
//! video, so that sound never queues behind pictures — and [`Mcu::inline`] in virtual time, where
//! [`Mcu::advance`] does all that is due.
//!
//! # Sharing
//!
//! One decode for each source. One encode for each (layout, codec, size, rate, set of tiles) and for
//! each (audio codec, packet time, rate, set of voices), however many receive it.
#![warn(missing_docs)]

mod audio;
mod bridge;
mod clock;
mod lateness;
mod pool;
mod scheduler;
mod types;
mod video;

pub use bridge::Bridge;
pub use pool::{Mcu, McuConfig, McuError};
pub use types::{
    AudioSinkOptions, BridgeEvent, BridgeStats, Events, Layout, SinkId, SourceId, VideoFormat,
};
