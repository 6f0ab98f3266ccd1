//! RTP for plain legs (SIP room systems) and for the media planes. See each module.
//!
//! Nothing here reads a clock or a socket: time is an argument, bytes come and go as slices.
#![warn(missing_docs)]

#[doc(hidden)]
pub mod fuzz;
pub mod jitter;
pub mod lane;
pub mod packet;
pub mod payload;
pub mod rtcp;
pub mod seq;
pub mod srtp;

#[cfg(test)]
mod testing;
