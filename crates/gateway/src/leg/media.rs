//! What a leg's SDP comes to: our side of it, and the media planes' words for what was agreed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use conference::telephony::{self, Trunk};
use conference::{Conference, Leg, LegAudio, LegContent, LegFormat, LegSeat, Sharing};
use mcu::VideoFormat;
use sdp::{
    AudioStream, BfcpProto, FloorTransport, Local, LocalAudio, LocalCamera, LocalFloor, LocalMedia,
    LocalPorts, LocalSharing, LocalSrtp, LocalVideo, Negotiated, NegotiationError, ParseError,
    Rejection, SrtpPolicy, Transport, VideoCap, VideoStream,
};
use sfu::transport::plain::{
    Certificate, DtlsKeys, IceKeys, LegMedia, LegStream, NoCertificate, SrtpKeys,
};
use tokio::net::UdpSocket;
use types::{Bandwidth, Codec, IceCredentials, LegLayout, VideoCodec, could_reach};

use super::camera::Camera;
use super::floor::{Floor, FloorEvent};

/// A shared screen is there to be read: all its pixels, and those few times a second.
const CONTENT: VideoCap = VideoCap { width: 1920, height: 1080, fps: 15 };

/// Bits a second of Opus where the room system sets no limit: full-band speech and music.
const OPUS_BITRATE: u32 = 64_000;

/// What is agreed to with room systems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaRules {
    /// Encryption.
    pub srtp: SrtpPolicy,
    /// Media keys may travel over UDP and TCP, where anybody on the way can read them.
    pub keys_over_cleartext: bool,
    /// The largest picture.
    pub picture: VideoCap,
    /// Bits a second of a picture at most.
    pub video_bitrate: u64,
    /// Whether cameras of room systems that offer it are steered.
    pub cameras: bool,
    /// How others are arranged in it, where neither the meeting nor whoever calls says.
    pub layout: LegLayout,
    /// What is offered and taken, in the order of choice; empty: all that there is. A kind of media of
    /// which nothing is named is left out.
    pub codecs: Vec<Codec>,
}

impl MediaRules {
    /// The same over a trunk, where it has a word of its own on encryption and codecs.
    pub(crate) fn over(&self, trunk: Option<&Trunk>) -> Self {
        let srtp = match trunk.map(|it| it.srtp) {
            Some(telephony::SrtpPolicy::Never) => SrtpPolicy::Never,
            Some(telephony::SrtpPolicy::Required) => SrtpPolicy::Required,
            Some(telephony::SrtpPolicy::Optional) | None => self.srtp,
        };
        let codecs = trunk.map(Trunk::codecs).filter(|it| !it.is_empty());
        let codecs = codecs.unwrap_or_else(|| self.codecs.clone());
        Self { srtp, codecs, ..self.clone() }
    }

    /// What of these is taken, in the order of choice.
    fn chosen<T: Copy + PartialEq>(&self, all: Vec<T>, of: impl Fn(&Codec) -> Option<T>) -> Vec<T> {
        match self.codecs.is_empty() {
            true => all,
            false => self.codecs.iter().filter_map(of).filter(|it| all.contains(it)).collect(),
        }
    }
}

/// Why a session was not agreed on.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    /// The body cannot be read.
    #[error("the session description cannot be read: {0}")]
    Unreadable(#[from] ParseError),
    /// We cannot be told from others.
    #[error(transparent)]
    NoCertificate(#[from] NoCertificate),
    /// There is nothing in common.
    #[error(transparent)]
    Refused(#[from] NegotiationError),
}

/// One leg's side of its negotiations.
pub(super) struct Session {
    local: LocalMedia,
    pending: Option<sdp::Pending>,
    agreed: Option<Negotiated>,
    /// The peer has taken sound before.
    listened: bool,
    floor: Option<Floor>,
    conference: Conference,
    /// Who called us from where; `None`: it was called from here.
    caller: Option<IpAddr>,
    /// Whether its camera may be steered, and the port for that, where it offered it.
    cameras: bool,
    camera: Option<Arc<UdpSocket>>,
    /// Ours for DTLS, once it is needed.
    certificate: Option<Arc<Certificate>>,
}

/// What was agreed.
pub(super) struct Agreed {
    pub(super) media: LegMedia,
    pub(super) format: LegFormat,
    pub(super) content: LegContent,
}

impl Agreed {
    /// Lets the leg's media flow so from now on.
    pub(super) async fn reach(self, leg: &mut Leg) {
        leg.update(self.media, self.format, self.content).await;
    }
}

/// Whether a call may come to have a second picture: its offer has a floor for one, or is ours to make.
pub(super) fn asks_for_content(offer: Option<&[u8]>) -> bool {
    let parsed = offer.map(sdp::parse);
    let floor = |it: sdp::Session| it.media.iter().any(|line| line.kind == sdp::Kind::Bfcp);
    parsed.is_none_or(|it| it.is_ok_and(floor))
}

impl Session {
    /// `secure`: nobody can read the signalling. `bandwidth`: what the meeting leaves room systems, and
    /// what the trunk does; the less counts.
    pub(super) fn new(
        seat: &mut LegSeat,
        address: IpAddr,
        rules: &MediaRules,
        secure: bool,
        bandwidth: [Option<Bandwidth>; 2],
    ) -> Self {
        let keys_allowed = secure || rules.keys_over_cleartext;
        let local = LocalMedia {
            origin: Local::new(rand::random()),
            address,
            audio: None,
            video: None,
            camera: None,
            sharing: None,
            srtp: LocalSrtp::new(rules.srtp, keys_allowed),
            rtcp_mux: true,
            ice: None,
        };
        let mut session = Self {
            local,
            pending: None,
            agreed: None,
            listened: false,
            floor: None,
            conference: seat.conference().clone(),
            caller: None,
            cameras: rules.cameras,
            camera: None,
            certificate: None,
        };
        session.sit(seat, rules, bandwidth);
        session
    }

    /// It is a call of somebody at this address.
    pub(super) fn is_called_from(&mut self, source: IpAddr) {
        self.caller = Some(source);
    }

    /// Where a caller names an address that it could not reach itself, no connection is opened there:
    /// we are nobody's way into a network.
    fn within_reach(&self, floor: sdp::Floor) -> sdp::Floor {
        let ours_to_open = matches!(floor.transport, FloorTransport::Tcp { active: true, .. });
        let barred = |at: &SocketAddr| {
            ours_to_open && self.caller.is_some_and(|from| !could_reach(from, at.ip()))
        };
        let remote = floor.remote.filter(|at| !barred(at));
        if remote != floor.remote {
            tracing::info!(
                "a second picture has no floor: its address is out of its caller's reach"
            );
        }
        sdp::Floor { remote, ..floor }
    }

    /// Takes another seat; the next offer tells the peer.
    pub(super) fn sit(
        &mut self,
        seat: &mut LegSeat,
        rules: &MediaRules,
        bandwidth: [Option<Bandwidth>; 2],
    ) {
        self.begin_anew();
        let ports = |(rtp, rtcp)| LocalPorts { rtp, rtcp };
        let audio = seat.audio_ports().map(|it| {
            let audio = LocalAudio::new(ports(it), random_key());
            let codecs = rules.chosen(audio.codecs.clone(), |it| match it {
                Codec::Audio(codec) => Some(*codec),
                Codec::Video(_) => None,
            });
            LocalAudio { codecs, ..audio }
        });
        // A meeting may leave room systems less than the configuration does, or sound alone.
        let bandwidth = bandwidth.into_iter().flatten().min_by_key(|it| it.bits());
        let bitrate = match bandwidth {
            Some(bandwidth) => bandwidth.for_pictures().map(|it| it.min(rules.video_bitrate)),
            None => Some(rules.video_bitrate),
        };
        let video = bitrate.map(|bitrate| {
            let video = LocalVideo::new(ports(seat.video_ports()), random_key());
            let codecs = rules.chosen(video.codecs.clone(), |it| match it {
                Codec::Video(codec) => Some(*codec),
                Codec::Audio(_) => None,
            });
            LocalVideo { cap: rules.picture, bitrate, codecs, ..video }
        });
        self.local.audio = audio.filter(|it| !it.codecs.is_empty());
        self.local.video = video.filter(|it| !it.codecs.is_empty());
        let floor = seat.take_floor().map(Floor::new).transpose().unwrap_or_else(|error| {
            tracing::warn!(%error, "a room system has no second picture");
            None
        });
        // A bound is for all pictures together, and leaves nothing for a second one.
        self.floor = floor.filter(|_| bandwidth.is_none());
        let content = self.floor.as_ref().zip(seat.content_ports());
        self.local.sharing = content.map(|(floor, it)| LocalSharing {
            video: LocalVideo {
                cap: CONTENT,
                bitrate: rules.video_bitrate,
                ..LocalVideo::new(ports(it), random_key())
            },
            floor: LocalFloor {
                udp: floor.port(),
                tcp: floor.port(),
                // Some devices read it signed.
                conference: rand::random_range(1..=i32::MAX as u32),
                user: rand::random_range(1..=i16::MAX as u16),
                fingerprint: self.certificate.as_ref().map(|it| it.fingerprint()),
                fresh: true,
            },
        });
    }

    /// At other ports nothing is known of a handshake or of checks: another certificate and other
    /// credentials have the peer begin both anew (RFC 8842 section 4, RFC 8445 section 9).
    fn begin_anew(&mut self) {
        if self.certificate.is_some() {
            match Certificate::generate() {
                Ok(other) => {
                    self.local.srtp.fingerprint = Some(other.fingerprint());
                    self.certificate = Some(other);
                }
                Err(error) => tracing::warn!(%error, "the one before is used again"),
            }
        }
        self.local.ice = self.local.ice.take().map(|_| IceCredentials::new(rand::random()));
    }

    /// Whether a second picture was agreed on.
    pub(super) fn shares(&self) -> bool {
        self.agreed.as_ref().is_some_and(|it| it.sharing.is_some() || it.floor.is_some())
    }

    /// Whether there is a floor and no second picture for it yet: [`Self::offer`] offers one.
    pub(super) fn lacks_content(&self) -> bool {
        self.agreed.as_ref().is_some_and(|it| it.floor.is_some())
    }

    /// What happens to the floor of the second picture next. Whoever drops it loses nothing.
    pub(super) async fn floor_event(&mut self) -> FloorEvent {
        match &mut self.floor {
            Some(floor) => floor.next().await,
            None => std::future::pending().await,
        }
    }

    /// The room system may show the screen that it wants to show, or not.
    pub(super) fn decide(&mut self, may: bool) {
        match &mut self.floor {
            Some(floor) if may => floor.grant(),
            Some(floor) => floor.deny(),
            None => {}
        }
    }

    /// The floor follows whoever shows a screen.
    pub(super) fn follow_sharing(&mut self, sharing: Sharing) {
        if let Some(floor) = &mut self.floor {
            floor.follow(sharing);
        }
    }

    /// Turns to another peer, before anything was agreed with the one before.
    pub(super) fn aim(&mut self, address: IpAddr, rules: &MediaRules, secure: bool) {
        self.local.address = address;
        let keys_allowed = secure || rules.keys_over_cleartext;
        self.local.srtp = LocalSrtp::new(rules.srtp, keys_allowed);
        self.pending = None;
    }

    /// Answers an offer.
    pub(super) fn answer(&mut self, offer: &[u8]) -> Result<(Vec<u8>, Agreed), SessionError> {
        let offer = sdp::parse(offer)?;
        let has_camera = |it: &sdp::Media| it.kind == sdp::Kind::Fecc && it.port != 0;
        if offer.media.iter().any(has_camera) {
            self.open_camera();
        }
        self.certify(&offer)?;
        self.be_checked(&offer);
        let answer = sdp::answer(&offer, &self.local)?;
        if answer.negotiated.rejected.iter().any(|(_, why)| *why == Rejection::NoFingerprint) {
            tracing::warn!(
                "a room system has no second picture: it wants floor control over TLS, and tells no \
                 fingerprint by SHA-256, SHA-384 or SHA-512"
            );
        }
        self.local.origin.advance();
        let agreed = self.agree(answer.negotiated);
        Ok((answer.text.into_bytes(), agreed))
    }

    /// A port for what is said to the peer's camera.
    fn open_camera(&mut self) {
        if !self.cameras || self.camera.is_some() {
            return;
        }
        let socket =
            self.conference.bind_control().ok().and_then(|it| UdpSocket::from_std(it).ok());
        let port = socket.as_ref().and_then(|it| it.local_addr().ok()).map(|it| it.port());
        let Some((socket, port)) = socket.zip(port) else { return };
        let ports = LocalPorts { rtp: port, rtcp: port.saturating_add(1) };
        self.local.camera = Some(LocalCamera { ports, key: random_key() });
        self.camera = Some(Arc::new(socket));
    }

    /// The peer's camera, where it may be steered.
    pub(super) fn camera(&self) -> Option<Camera> {
        let stream = self.agreed.as_ref()?.camera.as_ref()?;
        Camera::new(self.camera.clone()?, stream, Instant::now())
    }

    /// Makes a certificate for this call, where the offer needs one and there is none yet.
    fn certify(&mut self, offer: &sdp::Session) -> Result<(), NoCertificate> {
        let wanted = |it: &sdp::Media| {
            let keyed = self.local.srtp.policy != SrtpPolicy::Never && it.is_keyed_by_dtls();
            let floor = it.bfcp.as_ref().filter(|_| self.local.sharing.is_some());
            keyed || floor.is_some_and(|it| it.proto == BfcpProto::Tls)
        };
        if !offer.media.iter().any(wanted) {
            return Ok(());
        }
        let certificate = match self.certificate.take() {
            Some(certificate) => certificate,
            None => Certificate::generate()?,
        };
        self.local.srtp.fingerprint = Some(certificate.fingerprint());
        if let Some(sharing) = &mut self.local.sharing {
            sharing.floor.fingerprint = Some(certificate.fingerprint());
        }
        self.certificate = Some(certificate);
        Ok(())
    }

    /// Has credentials for the checks of a peer that does ICE, and others where it begins them anew
    /// (RFC 8445 section 9).
    fn be_checked(&mut self, offer: &sdp::Session) {
        let its = offer.media.iter().find_map(|it| it.checks.as_ref());
        let agreed = self.agreed.as_ref();
        let transports = agreed.map(|it| {
            let audio = it.audio.as_ref().map(|it| &it.transport);
            audio.or(it.video.as_ref().map(|it| &it.transport))
        });
        let before = transports.flatten().and_then(|it| it.ice.as_ref()).map(|it| &it.remote);
        if its.is_some() && (before != its || self.local.ice.is_none()) {
            self.local.ice = Some(IceCredentials::new(rand::random()));
        }
    }

    /// An offer of ours: the first one, or what there is, again.
    pub(super) fn offer(&mut self) -> Vec<u8> {
        if self.agreed.is_none() && self.local.video.is_some() {
            self.open_camera();
        }
        let offer = match &self.agreed {
            Some(agreed) => sdp::reoffer(&self.local, agreed),
            None => sdp::offer(&self.local),
        };
        self.local.origin.advance();
        self.pending = Some(offer.pending);
        offer.text.into_bytes()
    }

    /// Offers nothing but SRTP from now on; `false` where that changes nothing.
    pub(super) fn demand_srtp(&mut self) -> bool {
        let LocalSrtp { policy, keys_allowed, .. } = &mut self.local.srtp;
        let changes = *policy == SrtpPolicy::Optional && *keys_allowed;
        if changes {
            *policy = SrtpPolicy::Required;
        }
        changes
    }

    /// Offers sound and the main picture alone from now on; `false` where nothing else was offered.
    pub(super) fn forgo_extras(&mut self) -> bool {
        self.cameras = false;
        let camera = self.camera.take().and_then(|_| self.local.camera.take());
        let sharing = self.local.sharing.take();
        (sharing.is_some() || camera.is_some()) && self.local.video.is_some()
    }

    /// Takes the answer to our offer; `None` if there was none.
    pub(super) fn complete(&mut self, answer: &[u8]) -> Result<Option<Agreed>, SessionError> {
        let Some(pending) = self.pending.take() else { return Ok(None) };
        let negotiated = sdp::complete(&pending, &sdp::parse(answer)?)?;
        Ok(Some(self.agree(negotiated)))
    }

    /// What was agreed on, such as `PCMA, H264`.
    pub(super) fn spoken(&self) -> String {
        let Some(agreed) = &self.agreed else { return String::new() };
        let audio = agreed.audio.as_ref().map(|it| Codec::Audio(it.codec));
        let video = agreed.video.as_ref().map(|it| Codec::Video(it.codec));
        let name = |it: Codec| it.mime().rsplit('/').next().unwrap_or_default();
        audio.into_iter().chain(video).map(name).collect::<Vec<_>>().join(", ")
    }

    fn agree(&mut self, negotiated: Negotiated) -> Agreed {
        let certificate = self.certificate.as_ref();
        let media = LegMedia {
            audio: negotiated.audio.as_ref().map(|it| audio_stream(it, certificate)),
            video: negotiated.video.as_ref().map(|it| video_stream(it, certificate)),
        };
        let mut format = format_of(&negotiated, self.local.video.as_ref().map(|it| it.bitrate));
        // Who listened and now only sends has put us on hold, often with music (RFC 3264 section
        // 8.4): that is not for the meeting. Who only sends from the start is a source.
        self.listened |= format.audio.is_some();
        if self.listened && format.audio.is_none() {
            (format.sends_audio, format.sends_video) = (false, false);
        }
        let sharing = negotiated.sharing.as_ref();
        let agreed = sharing.map(|it| &it.floor).or(negotiated.floor.as_ref());
        let agreed = agreed.map(|it| self.within_reach(it.clone()));
        let open = self
            .floor
            .as_mut()
            .is_some_and(|floor| floor.agree(agreed, certificate.map(Arc::as_ref)));
        let bitrate = self.local.sharing.as_mut().map(|it| {
            it.floor.fresh = false;
            it.video.bitrate
        });
        let content = sharing.map(|it| &it.video).map(|stream| LegContent {
            media: LegMedia { audio: None, video: Some(video_stream(stream, certificate)) },
            format: LegFormat {
                video: Some(stream)
                    .filter(|it| it.transport.send)
                    .map(|it| video_format(it, it.limits.screen(), bitrate)),
                sends_video: stream.transport.receive,
                ..LegFormat::default()
            },
            open,
        });
        let content = content.unwrap_or_default();
        if negotiated.camera.is_none() {
            (self.camera, self.local.camera) = (None, None);
        }
        self.agreed = Some(negotiated);
        Agreed { media, format, content }
    }
}

fn random_key() -> [u8; sdp::MAX_KEY] {
    let mut key = [0; sdp::MAX_KEY];
    rand::fill(&mut key);
    key
}

fn format_of(negotiated: &Negotiated, our_bitrate: Option<u64>) -> LegFormat {
    let audio = negotiated.audio.as_ref();
    let video = negotiated.video.as_ref();
    LegFormat {
        audio: audio.filter(|it| it.transport.send).map(|it| LegAudio {
            codec: it.codec,
            ptime: it.ptime,
            opus_bitrate: it
                .opus
                .max_average_bitrate
                .map_or(OPUS_BITRATE, |it| it.min(OPUS_BITRATE)),
        }),
        video: video
            .filter(|it| it.transport.send)
            .map(|it| video_format(it, it.picture(), our_bitrate)),
        sends_audio: audio.is_some_and(|it| it.transport.receive),
        sends_video: video.is_some_and(|it| it.transport.receive),
        tones_in_sound: audio
            .is_some_and(|it| it.transport.receive && it.telephone_event.is_none()),
    }
}

fn video_format(stream: &VideoStream, picture: VideoCap, our_bitrate: Option<u64>) -> VideoFormat {
    // The peer's bandwidth is of the line, headers included.
    let line = stream.transport.bandwidth.map(|it| it * 9 / 10);
    let limits = [Some(stream.limits.max_bitrate), line, our_bitrate];
    let bitrate = limits.into_iter().flatten().min().unwrap_or(u64::from(u32::MAX));
    VideoFormat {
        codec: stream.codec,
        width: u32::from(picture.width),
        height: u32::from(picture.height),
        fps: u32::from(picture.fps),
        bitrate: u32::try_from(bitrate).unwrap_or(u32::MAX),
        single_nal: stream.codec == VideoCodec::H264 && stream.packetization_mode == 0,
    }
}

fn audio_stream(stream: &AudioStream, certificate: Option<&Arc<Certificate>>) -> LegStream {
    let receives = stream.receive.iter().map(|(number, codec)| (*number, Codec::Audio(*codec)));
    LegStream {
        receives: receives.collect(),
        telephone_event: stream.telephone_event.map(|it| (it.payload_type, it.clock)),
        dtls: dtls_keys(&stream.transport, certificate),
        ..plain_stream(&stream.transport, Codec::Audio(stream.codec), stream.payload_type)
    }
}

fn video_stream(stream: &VideoStream, certificate: Option<&Arc<Certificate>>) -> LegStream {
    let receives = stream.receive.iter().map(|(number, codec)| (*number, Codec::Video(*codec)));
    LegStream {
        receives: receives.collect(),
        pli: stream.feedback.pli,
        fir: stream.feedback.fir,
        parameter_sets: stream.parameter_sets.clone(),
        dtls: dtls_keys(&stream.transport, certificate),
        ..plain_stream(&stream.transport, Codec::Video(stream.codec), stream.payload_type)
    }
}

fn dtls_keys(transport: &Transport, certificate: Option<&Arc<Certificate>>) -> Option<DtlsKeys> {
    let (agreed, certificate) = transport.dtls.as_ref().zip(certificate)?;
    Some(DtlsKeys {
        certificate: certificate.clone(),
        active: agreed.active,
        fingerprints: agreed.fingerprints.clone(),
    })
}

fn plain_stream(transport: &Transport, codec: Codec, payload_type: u8) -> LegStream {
    LegStream {
        remote_rtp: transport.rtp,
        remote_rtcp: transport.rtcp,
        rtcp_mux: transport.rtcp_mux,
        send: transport.send,
        receive: transport.receive,
        srtp: transport.srtp.as_ref().map(|it| SrtpKeys {
            suite: it.suite,
            local: it.local.key_and_salt().to_vec(),
            remote: it.remote.key_and_salt().to_vec(),
        }),
        dtls: None,
        ice: transport
            .ice
            .as_ref()
            .map(|it| IceKeys { local: it.local.clone(), remote: it.remote.clone() }),
        codec,
        payload_type,
        receives: Vec::new(),
        telephone_event: None,
        pli: false,
        fir: false,
        parameter_sets: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trunk_has_a_word_on_encryption_where_it_says_more_than_as_everywhere() {
        let rules = |srtp| MediaRules {
            srtp,
            keys_over_cleartext: false,
            picture: VideoCap { width: 1280, height: 720, fps: 30 },
            video_bitrate: 1_000_000,
            cameras: false,
            layout: LegLayout::Grid,
            codecs: Vec::new(),
        };
        let over = |ours, trunk: &str| {
            let body = format!(r#"{{"name":"PBX","kind":"none","host":"pbx","srtp":"{trunk}"}}"#);
            let trunk: Trunk = serde_json::from_str(&body).unwrap();
            rules(ours).over(Some(&trunk)).srtp
        };
        for ours in [SrtpPolicy::Optional, SrtpPolicy::Required] {
            assert_eq!(over(ours, "never"), SrtpPolicy::Never);
            assert_eq!(over(ours, "required"), SrtpPolicy::Required);
            assert_eq!(over(ours, "optional"), ours);
            assert_eq!(rules(ours).over(None).srtp, ours);
        }
    }
}
