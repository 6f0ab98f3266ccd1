//! L1: offer and answer (RFC 3264) with room systems.
//!
//! The way in is [`parse`], which reads past what is merely odd in a peer's description and
//! refuses what cannot be meant. [`answer`] makes our answer to a peer's offer; [`offer`] and
//! [`complete`] are the two halves of a call in which the offer is ours. Both ways end in a
//! [`Negotiated`]: what the media plane needs to send and receive, and nothing about SDP.
//!
//! The crate is pure: no clock, no socket, no randomness. Ports, addresses and the random bytes of
//! SRTP keys come in through [`LocalMedia`]. Wire syntax below the level of attributes is
//! `sdp-types`' work, in both directions.
#![warn(missing_docs)]

mod answer;
mod camera;
mod crypto;
mod dtls;
mod fmtp;
#[doc(hidden)]
pub mod fuzz;
mod h264;
mod local;
mod model;
mod negotiate;
mod negotiated;
mod offer;
mod parse;
mod sharing;
mod write;

pub use answer::{Answer, answer};
pub use camera::CameraStream;
pub use crypto::{Crypto, MAX_KEY, SrtpKey, Suite};
pub use dtls::{Dtls, DtlsFault, Fingerprint, Setup};
pub use fmtp::{H264, Opus, Vp8};
pub use h264::{Level, Picture, Profile, ProfileLevelId, VideoLimits};
pub use local::{
    Local, LocalAudio, LocalCamera, LocalFloor, LocalMedia, LocalPorts, LocalSharing, LocalSrtp,
    LocalVideo, SrtpPolicy, VideoCap,
};
pub use model::{
    Bandwidth, Codec, Content, Direction, Feedback, Format, Kind, Media, Params, Proto, Session,
};
pub use negotiated::{
    AudioStream, Ice, Negotiated, NegotiationError, Rejection, Srtp, TelephoneEvent, Transport,
    VideoStream,
};
pub use offer::{OfferText, Pending, complete, offer, reoffer};
pub use parse::{MAX_BODY, MAX_FORMATS, MAX_MEDIA, ParseError, parse};
pub use sharing::{Bfcp, BfcpProto, Floor, FloorRoles, FloorTransport, Sharing};
