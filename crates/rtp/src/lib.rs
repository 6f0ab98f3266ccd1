//! RTP for plain legs (SIP room systems) and for the media planes. See each module.
#![warn(missing_docs)]

pub mod lane;
