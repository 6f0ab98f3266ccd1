//! What we bring to a negotiation.

use std::net::IpAddr;

use types::{AudioCodec, IceCredentials, VideoCodec};

use crate::{
    crypto::{MAX_KEY, Suite},
    h264::Picture,
    model::{Direction, Feedback},
};

/// The largest picture that we send and want to be sent.
pub type VideoCap = Picture;

/// Our side of the `o=` line, kept for the length of a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// Session id: random once, then the same. Keep it under 2^63: some devices read it signed.
    pub session_id: u64,
    /// Version: one higher with each description that we send (RFC 3264 section 8).
    pub version: u64,
}

impl Local {
    /// The first description of a session.
    pub fn new(session_id: u64) -> Self {
        Self { session_id: session_id >> 1, version: 1 }
    }

    /// To be called when a description has been sent: the next one is a new version.
    pub fn advance(&mut self) {
        self.version = self.version.wrapping_add(1);
    }
}

/// Everything of ours that goes into an offer or an answer.
#[derive(Clone, Debug)]
pub struct LocalMedia {
    /// Session id and version.
    pub origin: Local,
    /// Announced address of all our ports.
    pub address: IpAddr,
    /// Sound; `None` rejects it.
    pub audio: Option<LocalAudio>,
    /// Picture; `None` rejects it.
    pub video: Option<LocalVideo>,
    /// Control of the peer's camera; `None` rejects it. Offered only beside a picture.
    pub camera: Option<LocalCamera>,
    /// Content sharing; `None` rejects it. Offered only beside a picture.
    pub sharing: Option<LocalSharing>,
    /// Encryption.
    pub srtp: LocalSrtp,
    /// RTP and RTCP may share a port where the peer offers it.
    pub rtcp_mux: bool,
    /// By these we know the checks of a peer that does ICE; `None` does without. We are lite (RFC
    /// 8445 section 2.5), with one candidate for each line, whose RTCP shares its port.
    pub ice: Option<IceCredentials>,
}

/// A pair of ports of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalPorts {
    /// For RTP, and for RTCP where both share it. Not 0.
    pub rtp: u16,
    /// For RTCP alone.
    pub rtcp: u16,
}

/// Our sound.
#[derive(Clone, Debug)]
pub struct LocalAudio {
    /// Ports.
    pub ports: LocalPorts,
    /// Codecs, the best first; ours is the order that counts.
    pub codecs: Vec<AudioCodec>,
    /// What we are willing to do; `SendOnly` puts the peer on hold.
    pub direction: Direction,
    /// Random bytes for the key with which we encrypt.
    pub key: [u8; MAX_KEY],
}

impl LocalAudio {
    /// All codecs, both ways.
    pub fn new(ports: LocalPorts, key: [u8; MAX_KEY]) -> Self {
        let codecs = vec![AudioCodec::Opus, AudioCodec::G722, AudioCodec::Pcma, AudioCodec::Pcmu];
        Self { ports, codecs, direction: Direction::SendRecv, key }
    }
}

/// Our picture.
#[derive(Clone, Debug)]
pub struct LocalVideo {
    /// Ports.
    pub ports: LocalPorts,
    /// Codecs, the best first; of these H.264 and VP8 can be negotiated.
    pub codecs: Vec<VideoCodec>,
    /// The largest picture, both ways.
    pub cap: VideoCap,
    /// Bit/s at most, both ways.
    pub bitrate: u64,
    /// RTCP feedback that we obey.
    pub feedback: Feedback,
    /// What we are willing to do.
    pub direction: Direction,
    /// Random bytes for the key with which we encrypt.
    pub key: [u8; MAX_KEY],
}

impl LocalVideo {
    /// H.264 before VP8, 720p at 30 and 2 Mbit/s, both ways; PLI, FIR and TMMBR.
    pub fn new(ports: LocalPorts, key: [u8; MAX_KEY]) -> Self {
        Self {
            ports,
            codecs: vec![VideoCodec::H264, VideoCodec::Vp8],
            cap: VideoCap { width: 1280, height: 720, fps: 30 },
            bitrate: 2_000_000,
            feedback: Feedback { nack: false, pli: true, fir: true, tmmbr: true },
            direction: Direction::SendRecv,
            key,
        }
    }
}

/// Our side of camera control.
#[derive(Clone, Debug)]
pub struct LocalCamera {
    /// Ports.
    pub ports: LocalPorts,
    /// Random bytes for the key with which we encrypt.
    pub key: [u8; MAX_KEY],
}

impl LocalCamera {
    /// We ask, and hear what the camera can do.
    pub(crate) const fn direction(&self) -> Direction {
        Direction::SendRecv
    }
}

/// Our side of content sharing.
#[derive(Clone, Debug)]
pub struct LocalSharing {
    /// The second picture.
    pub video: LocalVideo,
    /// Floor control.
    pub floor: LocalFloor,
}

/// Our side of floor control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFloor {
    /// The port for datagrams. Not 0.
    pub udp: u16,
    /// The port for connections. Not 0.
    pub tcp: u16,
    /// Our conference, where we are the server: random, since who knows it is taken for the client.
    pub conference: u32,
    /// The client's user in it.
    pub user: u16,
    /// The fingerprint of our certificate for TLS, as `a=fingerprint` has it; `None` does without.
    pub fingerprint: Option<String>,
    /// Nothing was agreed on with these ports yet: a connection is a new one, whatever there was
    /// before (RFC 4145 section 5).
    pub fresh: bool,
}

/// Our rules for SRTP.
#[derive(Clone, Debug)]
pub struct LocalSrtp {
    /// Whether to encrypt.
    pub policy: SrtpPolicy,
    /// The description travels where nobody reads it (TLS), or the configuration lets keys travel
    /// in the clear. Without it no key is sent and no peer's key is used.
    pub keys_allowed: bool,
    /// Suites of SDES, the best first.
    pub suites: Vec<Suite>,
    /// The fingerprint of our certificate for DTLS-SRTP, as `a=fingerprint` has it; `None` does
    /// without. It may travel in the clear: who only listens learns nothing by it.
    pub fingerprint: Option<String>,
}

impl LocalSrtp {
    /// All suites in [`Suite::PREFERRED`]'s order; no certificate.
    pub fn new(policy: SrtpPolicy, keys_allowed: bool) -> Self {
        Self { policy, keys_allowed, suites: Suite::PREFERRED.to_vec(), fingerprint: None }
    }
}

/// Whether media are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrtpPolicy {
    /// Never: an m-line that insists on it is rejected.
    Never,
    /// Where the peer offers it, and keys may be sent or are made by DTLS.
    Optional,
    /// Always: an m-line without it is rejected.
    Required,
}
