//! How packets come from and get to one participant.

pub mod plain;
pub mod webrtc;
