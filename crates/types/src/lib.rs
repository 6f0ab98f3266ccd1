//! L0: the words that every layer shares: ids, units, media kinds and codecs.
//!
//! Nothing here knows a protocol. Protocol crates translate to and from these types.
#![warn(missing_docs)]

mod bandwidth;
mod dial_string;
mod ice;
mod id;
mod layout;
mod media;
mod network;
mod srtp;
mod time;

pub use bandwidth::Bandwidth;
pub use dial_string::{DialString, split_pin, without_pin};
pub use ice::IceCredentials;
pub use id::{
    Identity, MeetingId, MeetingIdError, ParticipantSid, PeerId, RecordId, TrackId, TrackSid,
};
pub use layout::{LegLayout, LegLayoutError};
pub use media::{AudioCodec, Codec, MediaKind, ParticipantKind, TrackSource, VideoCodec};
pub use network::{client_network, could_reach};
pub use srtp::{FingerprintHash, Fingerprints, SrtpSuite};
pub use time::Timestamp;
