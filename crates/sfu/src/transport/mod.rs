//! How packets come from and get to one participant.

pub mod webrtc;
