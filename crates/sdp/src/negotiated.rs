//! What came out: all that the media plane must know of a leg.

use std::net::SocketAddr;

use types::{AudioCodec, IceCredentials, VideoCodec};

use crate::{
    camera::CameraStream,
    crypto::{SrtpKey, Suite},
    dtls::{Dtls, DtlsFault},
    fmtp::Opus,
    h264::{Picture, ProfileLevelId, VideoLimits},
    model::Feedback,
    sharing::{Floor, Sharing},
};

/// The agreed media of a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// Sound, if any.
    pub audio: Option<AudioStream>,
    /// Main video, if any.
    pub video: Option<VideoStream>,
    /// Control of its camera, if any.
    pub camera: Option<CameraStream>,
    /// Content sharing, if any.
    pub sharing: Option<Sharing>,
    /// Floor control that was agreed on without a second picture: [`crate::reoffer`] offers that.
    pub floor: Option<Floor>,
    /// The m-lines that carry nothing, by index, and why.
    pub rejected: Vec<(usize, Rejection)>,
    /// Every m-line as a later offer within the session must repeat it.
    pub(crate) shape: Vec<Shape>,
}

/// An m-line's unchanging outside (RFC 3264 section 8: order and media type stay).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub name: String,
    pub proto: String,
    pub format: String,
    /// A line for sound or main video: one that is off is where we offer that again.
    pub main: bool,
}

/// What sound and picture have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// Index of the m-line.
    pub line: usize,
    /// The peer's address for RTP. `None` where it gave none that can be sent to (a host name, a
    /// hold by 0.0.0.0): wait for its first packet.
    pub rtp: Option<SocketAddr>,
    /// The peer's address for RTCP, as above.
    pub rtcp: Option<SocketAddr>,
    /// RTP and RTCP share a port, on both sides.
    pub rtcp_mux: bool,
    /// We may send.
    pub send: bool,
    /// We may be sent to; where not, silence is no sign of a dead peer.
    pub receive: bool,
    /// Encryption by keys of the descriptions.
    pub srtp: Option<Srtp>,
    /// Encryption by keys that a DTLS handshake is to make; then there are no others.
    pub dtls: Option<Dtls>,
    /// The peer checks the way; without it media go to [`Self::rtp`].
    pub ice: Option<Ice>,
    /// The peer's limit on what it receives, bit/s.
    pub bandwidth: Option<u64>,
}

/// ICE of one m-line: we are lite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ice {
    /// Ours.
    pub local: IceCredentials,
    /// The peer's.
    pub remote: IceCredentials,
}

/// SRTP of one m-line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srtp {
    /// Suite, the same both ways.
    pub suite: Suite,
    /// With this we encrypt.
    pub local: SrtpKey,
    /// With this we decrypt.
    pub remote: SrtpKey,
}

/// Agreed sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioStream {
    /// Addresses, direction, keys.
    pub transport: Transport,
    /// The codec, both ways.
    pub codec: AudioCodec,
    /// Payload type with which we send.
    pub payload_type: u8,
    /// What the peer may send: payload types and their codecs. More than one codec only where the
    /// peer answered our offer with several and may change without notice.
    pub receive: Vec<(u8, AudioCodec)>,
    /// What the peer wants of Opus; of use with that codec alone.
    pub opus: Opus,
    /// Milliseconds of sound in each packet that we send: 10, 20, 40 or 60, and 30 but for Opus.
    pub ptime: u32,
    /// Touch tones, if agreed.
    pub telephone_event: Option<TelephoneEvent>,
}

/// Touch tones in RTP (RFC 4733).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TelephoneEvent {
    /// Payload type, the same both ways.
    pub payload_type: u8,
    /// Ticks a second of its durations.
    pub clock: u32,
}

/// Agreed picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoStream {
    /// Addresses, direction, keys.
    pub transport: Transport,
    /// The codec, both ways.
    pub codec: VideoCodec,
    /// Payload type with which we send.
    pub payload_type: u8,
    /// What the peer may send: payload types and their codecs.
    pub receive: Vec<(u8, VideoCodec)>,
    /// H.264's packetization mode for what we send, 0 (single NAL units only) or 1.
    pub packetization_mode: u8,
    /// H.264's profile and level as the peer wrote them; `None` for VP8 or where it wrote none.
    pub profile: Option<ProfileLevelId>,
    /// SPS and PPS that came in the description, without start codes.
    pub parameter_sets: Vec<Vec<u8>>,
    /// What the peer can take, capped by what we are set to send; the bit rate included.
    pub limits: VideoLimits,
    /// Feedback that both sides understand; with neither PLI nor FIR key frames go by INFO.
    pub feedback: Feedback,
}

impl VideoStream {
    /// The picture to send.
    pub fn picture(&self) -> Picture {
        self.limits.picture()
    }
}

/// Why an m-line carries nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The peer has it off (port 0).
    ByPeer,
    /// We do not do this kind of media, or have one of it already.
    NotOurs,
    /// No codec in common.
    NoCodec,
    /// Policy demands SRTP and it cannot be had.
    SrtpRequired,
    /// The peer demands SRTP and policy forbids it.
    SrtpForbidden,
    /// The peer demands SRTP and its keys would travel in the clear.
    KeysNotAllowed,
    /// The peer demands SRTP with suites that we do not have.
    NoSuite,
    /// The peer has DTLS-SRTP in a way that we cannot do.
    Dtls(DtlsFault),
    /// The answer's SRTP key does not belong to our offer.
    ForeignCrypto,
    /// The peer wants TLS and tells no fingerprint by SHA-256, SHA-384 or SHA-512: anybody could be
    /// it.
    NoFingerprint,
}

/// Why there is no call: each of these is a 488 to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NegotiationError {
    /// Neither an audio nor a video codec in common, or no m-line for either.
    #[error("no audio or video format in common")]
    NothingInCommon,
    /// Policy demands SRTP and the peer does not offer it in a way that fits.
    #[error("SRTP is required and cannot be had")]
    SrtpRequired,
    /// The peer demands SRTP and policy forbids it.
    #[error("the peer demands SRTP, which is switched off")]
    SrtpForbidden,
    /// The peer demands SRTP by SDES over signalling that anybody can read.
    #[error("the peer demands SRTP over signalling in the clear")]
    KeysNotAllowed,
    /// The peer demands SRTP with suites that we do not have.
    #[error("no SRTP suite in common")]
    NoSuite,
    /// The peer has DTLS-SRTP in a way that we cannot do.
    #[error(transparent)]
    Dtls(#[from] DtlsFault),
    /// The answer's SRTP does not belong to the offer: its crypto tag or suite is not ours.
    #[error("the answer picked an SRTP key that was not offered")]
    ForeignCrypto,
}

impl From<Rejection> for NegotiationError {
    fn from(reason: Rejection) -> Self {
        match reason {
            Rejection::ByPeer
            | Rejection::NotOurs
            | Rejection::NoCodec
            | Rejection::NoFingerprint => Self::NothingInCommon,
            Rejection::SrtpRequired => Self::SrtpRequired,
            Rejection::SrtpForbidden => Self::SrtpForbidden,
            Rejection::KeysNotAllowed => Self::KeysNotAllowed,
            Rejection::NoSuite => Self::NoSuite,
            Rejection::Dtls(fault) => Self::Dtls(fault),
            Rejection::ForeignCrypto => Self::ForeignCrypto,
        }
    }
}

impl Negotiated {
    /// `self`, or why there is no call in it: the first reason other than a missing codec says more
    /// to whoever reads the log.
    pub(crate) fn or_reason(self) -> Result<Self, NegotiationError> {
        if self.audio.is_some() || self.video.is_some() {
            return Ok(self);
        }
        let reasons = self.rejected.iter().map(|&(_, reason)| NegotiationError::from(reason));
        Err(reasons
            .into_iter()
            .find(|reason| *reason != NegotiationError::NothingInCommon)
            .unwrap_or(NegotiationError::NothingInCommon))
    }
}
