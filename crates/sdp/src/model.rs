//! A session description as we understand it: typed, bounded, without the wire's odd forms.

use std::net::{IpAddr, SocketAddr};

use types::{AudioCodec, IceCredentials, VideoCodec};

use crate::{
    crypto::Crypto,
    dtls::{Fingerprint, Setup},
    fmtp::{H264, Opus, Vp8},
    sharing::Bfcp,
};

/// A peer's whole session description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Session id of the `o=` line, as the peer wrote it; empty where the line was unreadable.
    pub id: String,
    /// Version of the `o=` line, clamped to 64 bits.
    pub version: u64,
    /// Address of the top `c=` line; `None` where there is none or it is no unicast IP address.
    pub connection: Option<IpAddr>,
    /// The `b=` lines above the first m-line: limits for all media together.
    pub bandwidth: Bandwidth,
    /// The m-lines in the peer's order, rejected ones included; an answer has as many.
    pub media: Vec<Media>,
}

/// One m-line with its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// What the line is for.
    pub kind: Kind,
    /// The line's own media word (`audio`, `video`, `application`, `control`), kept for rejecting.
    pub name: String,
    /// Port for RTP; 0 means rejected or disabled.
    pub port: u16,
    /// Address that is in force for this line. `None` where no unicast address is in reach;
    /// the unspecified address (0.0.0.0) is an old-style hold.
    pub address: Option<IpAddr>,
    /// Where the peer wants RTCP: `a=rtcp` (RFC 3605), or else the port after RTP's, or RTP's own
    /// with [`rtcp_mux`](Self::rtcp_mux). `None` where it cannot be known.
    pub rtcp: Option<SocketAddr>,
    /// `a=rtcp-mux` (RFC 5761).
    pub rtcp_mux: bool,
    /// Transport profile.
    pub proto: Proto,
    /// The transport profile as written: an answer mirrors it.
    pub proto_text: String,
    /// The first format as written, for rejecting lines that carry no RTP.
    pub first_format: String,
    /// Direction as the peer sees it, the session's default applied.
    pub direction: Direction,
    /// RTP formats in the peer's order of preference, each payload type once.
    pub formats: Vec<Format>,
    /// The `b=` lines of this m-line.
    pub bandwidth: Bandwidth,
    /// SDES keys (RFC 4568) that we could use, in the peer's order.
    pub crypto: Vec<Crypto>,
    /// `a=encryption:optional`: the peer takes an answer in the plain profile.
    pub encryption_optional: bool,
    /// `a=label` (RFC 4574).
    pub label: Option<String>,
    /// Milliseconds of sound the peer wants in a packet (`a=ptime`).
    pub ptime: Option<u32>,
    /// Milliseconds of sound the peer takes in a packet at most (`a=maxptime`).
    pub max_ptime: Option<u32>,
    /// DTLS fingerprints (RFC 8122), the line's own or else the session's.
    pub fingerprints: Vec<Fingerprint>,
    /// Who begins (RFC 4145): DTLS, or a connection for BFCP.
    pub setup: Option<Setup>,
    /// What a line for BFCP says; `None` for all others.
    pub bfcp: Option<Bfcp>,
    /// `a=ice-ufrag`, `a=ice-pwd` or `a=candidate` was there.
    pub ice: bool,
    /// The peer checks ways to us by ICE, as these; `None` where it does not, or is lite itself.
    pub checks: Option<IceCredentials>,
}

impl Media {
    /// Where RTP goes, unless the peer may not or cannot be sent to.
    pub fn rtp(&self) -> Option<SocketAddr> {
        let address = self.address.filter(|address| !address.is_unspecified())?;
        (self.port != 0).then(|| SocketAddr::new(address, self.port))
    }

    /// The peer has put this line on hold: it does not want to be sent to.
    pub fn is_held(&self) -> bool {
        self.port != 0
            && (self.address.is_some_and(|address| address.is_unspecified())
                || !self.direction.receives())
    }

    /// The line has its SRTP keys by DTLS and in no other way.
    pub fn is_keyed_by_dtls(&self) -> bool {
        crate::dtls::is_meant(self)
    }

    /// The format with this payload type.
    pub fn format(&self, payload_type: u8) -> Option<&Format> {
        self.formats.iter().find(|format| format.payload_type == payload_type)
    }
}

/// What an m-line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sound.
    Audio,
    /// Picture.
    Video(Content),
    /// Floor control for content sharing (RFC 8856).
    Bfcp,
    /// Far-end camera control: H.224 in RTP (RFC 4573).
    Fecc,
    /// Anything else: text, fax, vendors' channels, slides under a word of the vendor's own.
    Other,
}

/// What a video line shows (RFC 4796).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The people, or not said.
    Main,
    /// Slides or a screen.
    Slides,
}

/// Transport profile of an m-line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proto {
    /// `RTP/AVP` (RFC 3551).
    Avp,
    /// `RTP/AVPF` (RFC 4585).
    Avpf,
    /// `RTP/SAVP` (RFC 3711).
    Savp,
    /// `RTP/SAVPF` (RFC 5124).
    Savpf,
    /// `UDP/TLS/RTP/SAVP` and `…/SAVPF` (RFC 5764): keys by DTLS.
    Dtls,
    /// No RTP, or none that is known.
    Other,
}

impl Proto {
    pub(crate) fn read(text: &str) -> Self {
        let is = |name: &str| text.eq_ignore_ascii_case(name);
        if is("RTP/AVP") {
            Self::Avp
        } else if is("RTP/AVPF") {
            Self::Avpf
        } else if is("RTP/SAVP") {
            Self::Savp
        } else if is("RTP/SAVPF") {
            Self::Savpf
        } else if is("UDP/TLS/RTP/SAVP") || is("UDP/TLS/RTP/SAVPF") {
            Self::Dtls
        } else {
            Self::Other
        }
    }

    /// Media in this profile are encrypted.
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Savp | Self::Savpf | Self::Dtls)
    }
}

/// Direction of an m-line, seen by whoever wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// The writer only sends.
    SendOnly,
    /// The writer only receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// The writer sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// The writer receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// From the two halves.
    pub fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    pub(crate) fn read(name: &str) -> Option<Self> {
        match name {
            "sendrecv" => Some(Self::SendRecv),
            "sendonly" => Some(Self::SendOnly),
            "recvonly" => Some(Self::RecvOnly),
            "inactive" => Some(Self::Inactive),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// One RTP format: a payload type and what it means in this m-line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// RTP payload type, 0 to 127.
    pub payload_type: u8,
    /// Encoding name as the peer wrote it; empty for a dynamic type that no rtpmap explains.
    pub name: String,
    /// Ticks a second of the RTP timestamp.
    pub clock: u32,
    /// Channels; 1 where not said.
    pub channels: u8,
    /// The codec, where it is one of ours.
    pub codec: Codec,
    /// What the `fmtp` line says, in so far as it is ours to understand.
    pub params: Params,
    /// RTCP feedback for this format, `rtcp-fb:*` included.
    pub feedback: Feedback,
}

/// What a format carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Sound that we can do.
    Audio(AudioCodec),
    /// Picture that we can do.
    Video(VideoCodec),
    /// Touch tones (RFC 4733).
    TelephoneEvent,
    /// Far-end camera control.
    H224,
    /// Anything else.
    Other,
}

/// Format parameters by codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Params {
    /// RFC 6184 section 8.1.
    H264(H264),
    /// RFC 7587 section 6.1.
    Opus(Opus),
    /// RFC 7741 section 6.1.
    Vp8(Vp8),
    /// None, or none that concern us.
    None,
}

/// Limits from `b=` lines; what is absent or zero is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// `TIAS`, bit/s, without lower layers' headers (RFC 3890).
    pub tias: Option<u64>,
    /// `AS`, kbit/s, with IP and UDP headers.
    pub application: Option<u64>,
    /// `CT`, kbit/s, of the whole conference.
    pub conference: Option<u64>,
}

impl Bandwidth {
    /// The limit that binds, in bit/s: `TIAS` before `AS` before `CT`.
    pub fn limit(&self) -> Option<u64> {
        let kilobits = || self.application.or(self.conference);
        self.tias.or_else(|| kilobits().map(|kilobits| kilobits.saturating_mul(1000)))
    }
}

/// RTCP feedback messages (RFC 4585, RFC 5104).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feedback {
    /// Generic NACK.
    pub nack: bool,
    /// Picture loss indication.
    pub pli: bool,
    /// Full intra request.
    pub fir: bool,
    /// Temporary maximum bit rate requests.
    pub tmmbr: bool,
}

impl Feedback {
    /// What both sides have.
    pub fn and(self, other: Self) -> Self {
        Self {
            nack: self.nack && other.nack,
            pli: self.pli && other.pli,
            fir: self.fir && other.fir,
            tmmbr: self.tmmbr && other.tmmbr,
        }
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            nack: self.nack || other.nack,
            pli: self.pli || other.pli,
            fir: self.fir || other.fir,
            tmmbr: self.tmmbr || other.tmmbr,
        }
    }
}
