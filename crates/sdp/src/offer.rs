//! Our offers, and the peer's answers to them (RFC 3264 sections 5, 7 and 8).

use types::{AudioCodec, VideoCodec};

use crate::{
    answer::shape_of,
    camera::{self, CameraStream},
    crypto::{Crypto, MAX_KEY, SrtpKey, Suite},
    dtls::{self, Dtls, DtlsFault, Setup},
    local::{
        LocalAudio, LocalCamera, LocalFloor, LocalMedia, LocalPorts, LocalSharing, LocalSrtp,
        LocalVideo, SrtpPolicy,
    },
    model::{Codec, Content, Direction, Format, Kind, Media, Session},
    negotiate::{self, audio_stream, direction, pick_audio, pick_video, transport, video_stream},
    negotiated::{
        AudioStream, Negotiated, NegotiationError, Rejection, Shape, Srtp, TelephoneEvent,
        Transport, VideoStream,
    },
    parse::MAX_MEDIA,
    sharing::{self, Floor, Sharing},
    write::{self, Line, VideoFormat},
};

/// Payload types of our own offers; those that room systems themselves use for the same.
mod payload {
    pub const OPUS: u8 = 114;
    pub const TONES: u8 = 101;
    pub const TONES_48K: u8 = 102;
    pub const H264_MODE_1: u8 = 126;
    pub const H264_MODE_0: u8 = 97;
    pub const VP8: u8 = 100;
    pub const CAMERA: u8 = 103;
}

/// An offer, and what must be kept until its answer comes.
#[derive(Clone, Debug)]
pub struct OfferText {
    /// The body, with CRLF line ends.
    pub text: String,
    /// For [`complete`].
    pub pending: Pending,
}

/// An offer that waits for its answer. It stays valid through provisional answers.
#[derive(Clone, Debug)]
pub struct Pending {
    local: LocalMedia,
    lines: Vec<Offered>,
    shape: Vec<Shape>,
}

/// What stands in one m-line of our offer.
#[derive(Clone, Debug)]
enum Offered {
    /// Sound.
    Audio { codecs: Vec<(u8, AudioCodec)>, keys: Keys },
    /// Picture.
    Video { formats: Vec<(u8, VideoCodec)>, keys: Keys },
    /// The second picture.
    Slides { formats: Vec<(u8, VideoCodec)>, keys: Keys },
    /// Camera control.
    Camera { payload_type: u8, keys: Keys },
    /// Floor control, as it was agreed on before or for the first time.
    Floor(Option<Floor>),
    /// Port 0.
    Off,
}

impl Offered {
    fn picture(content: Content, formats: Vec<(u8, VideoCodec)>, keys: Keys) -> Self {
        match content {
            Content::Main => Self::Video { formats, keys },
            Content::Slides => Self::Slides { formats, keys },
        }
    }
}

/// The SRTP side of an offered line.
#[derive(Clone, Debug)]
struct Keys {
    /// The profile demands encryption.
    secure: bool,
    /// Tags and suites.
    offered: Vec<(u32, Suite)>,
    /// They are made by DTLS.
    dtls: bool,
}

/// A first offer: audio and main video with all that we can do.
///
/// `RTP/SAVP` where SRTP is required; `RTP/AVP` with keys beside, as room systems do it, where it
/// is optional; no keys where they would travel in the clear (then a required SRTP cannot come to
/// be, and [`complete`] says so).
pub fn offer(local: &LocalMedia) -> OfferText {
    let mut draft = Draft::new(local);
    if let Some(audio) = offerable_audio(local) {
        draft.first_audio(audio);
    }
    if let Some(video) = offerable_video(local) {
        draft.first_video(video, Content::Main);
    }
    if let Some(LocalSharing { video, floor }) = offerable_sharing(local) {
        draft.first_floor(floor);
        draft.first_video(video, Content::Slides);
    }
    // Who takes no picture has no camera to show.
    if let (Some(_), Some(camera)) = (offerable_video(local), &local.camera) {
        draft.first_camera(camera);
    }
    draft.finish()
}

/// An offer within a session (hold, resume, sound or picture on or off): the m-lines that there
/// are, in their order, with the codec and payload types agreed on. What `local` has and was not
/// agreed on is offered anew, in the place of its line that is off (RFC 3264 section 8.1) or last;
/// set it to `None` to leave it off. `local.origin` must have been advanced.
pub fn reoffer(local: &LocalMedia, agreed: &Negotiated) -> OfferText {
    let mut draft = Draft::new(local);
    let mut audio = offerable_audio(local).filter(|_| agreed.audio.is_none());
    let mut video = offerable_video(local).filter(|_| agreed.video.is_none());
    for (index, shape) in agreed.shape.iter().enumerate() {
        let same_audio = agreed.audio.as_ref().filter(|stream| stream.transport.line == index);
        let same_video = agreed.video.as_ref().filter(|stream| stream.transport.line == index);
        let shared = agreed.sharing.as_ref();
        let same_slides =
            shared.map(|it| &it.video).filter(|stream| stream.transport.line == index);
        let same_floor = shared.map(|it| &it.floor).or(agreed.floor.as_ref());
        let same_floor = same_floor.filter(|floor| floor.line == index);
        let same_camera = agreed.camera.as_ref().filter(|stream| stream.transport.line == index);
        let free = |name: &str| shape.main && shape.name.eq_ignore_ascii_case(name);
        if let (Some(stream), Some(local)) = (same_audio, &local.audio) {
            draft.same_audio(shape, stream, local);
        } else if let (Some(stream), Some(local)) = (same_video, &local.video) {
            draft.same_video(shape, stream, local, Content::Main);
        } else if let (Some(stream), Some(local)) = (same_slides, &local.sharing) {
            draft.same_video(shape, stream, &local.video, Content::Slides);
        } else if let (Some(agreed), Some(local)) = (same_floor, &local.sharing) {
            let text = sharing::line(shape, Some(agreed), true, &local.floor);
            draft.push(text, Offered::Floor(Some(agreed.clone())), shape.clone());
        } else if let (Some(stream), Some(local)) = (same_camera, &local.camera) {
            draft.same_camera(shape, stream, local);
        } else if let Some(audio) = audio.take_if(|_| free("audio")) {
            draft.first_audio(audio);
        } else if let Some(video) = video.take_if(|_| free("video")) {
            draft.first_video(video, Content::Main);
        } else {
            draft.push(write::rejected(shape), Offered::Off, shape.clone());
        }
    }
    // A peer that has filled its description with lines gets no more of them.
    if let Some(audio) = audio.filter(|_| draft.lines.len() < MAX_MEDIA) {
        draft.first_audio(audio);
    }
    if let Some(video) = video.filter(|_| draft.lines.len() < MAX_MEDIA) {
        draft.first_video(video, Content::Main);
    }
    let slides = offerable_sharing(local).filter(|_| agreed.floor.is_some());
    if let Some(LocalSharing { video, .. }) = slides.filter(|_| draft.lines.len() < MAX_MEDIA) {
        draft.first_video(video, Content::Slides);
    }
    draft.finish()
}

/// An m-line must have a format.
fn offerable_audio(local: &LocalMedia) -> Option<&LocalAudio> {
    local.audio.as_ref().filter(|audio| !audio.codecs.is_empty())
}

fn offerable_video(local: &LocalMedia) -> Option<&LocalVideo> {
    let able = |codec: &VideoCodec| matches!(codec, VideoCodec::H264 | VideoCodec::Vp8);
    local.video.as_ref().filter(|video| video.codecs.iter().any(able))
}

/// A second picture goes beside a first one.
fn offerable_sharing(local: &LocalMedia) -> Option<&LocalSharing> {
    offerable_video(local)?;
    local.sharing.as_ref().filter(|it| !it.video.codecs.is_empty())
}

/// An offer in the making.
struct Draft<'a> {
    local: &'a LocalMedia,
    medias: Vec<sdp_types::Media>,
    lines: Vec<Offered>,
    shape: Vec<Shape>,
}

impl<'a> Draft<'a> {
    fn new(local: &'a LocalMedia) -> Self {
        Self { local, medias: Vec::new(), lines: Vec::new(), shape: Vec::new() }
    }

    fn push(&mut self, text: sdp_types::Media, offered: Offered, shape: Shape) {
        self.medias.push(text);
        self.lines.push(offered);
        self.shape.push(shape);
    }

    fn finish(self) -> OfferText {
        let text = write::session(self.local, self.medias);
        let local = self.local.clone();
        OfferText { text, pending: Pending { local, lines: self.lines, shape: self.shape } }
    }

    fn first_audio(&mut self, audio: &LocalAudio) {
        let codecs: Vec<_> = audio.codecs.iter().map(|&codec| (audio_type(codec), codec)).collect();
        let mut tones = vec![TelephoneEvent { payload_type: payload::TONES, clock: 8_000 }];
        if audio.codecs.contains(&AudioCodec::Opus) {
            tones.push(TelephoneEvent { payload_type: payload::TONES_48K, clock: 48_000 });
        }
        let (keys, crypto) = fresh_keys(&self.local.srtp, &audio.key);
        let line = Line {
            name: "audio",
            proto: profile(&keys),
            ..self.line(audio.ports, audio.direction, crypto)
        };
        let text = write::audio(&line, &codecs, &tones, 20);
        let shape = shape_of_text(&text);
        self.push(text, Offered::Audio { codecs, keys }, shape);
    }

    fn first_floor(&mut self, floor: &LocalFloor) {
        let shape = sharing::shape();
        let text = sharing::line(&shape, None, false, floor);
        self.push(text, Offered::Floor(None), shape);
    }

    fn first_video(&mut self, video: &LocalVideo, content: Content) {
        let mut offered = Vec::new();
        for &codec in &video.codecs {
            match codec {
                VideoCodec::H264 => offered.extend([
                    h264(payload::H264_MODE_1, 1, video),
                    h264(payload::H264_MODE_0, 0, video),
                ]),
                VideoCodec::Vp8 => offered.push(VideoFormat {
                    payload_type: payload::VP8,
                    codec,
                    profile: None,
                    mode: None,
                    asymmetry: false,
                }),
                VideoCodec::Vp9 | VideoCodec::Av1 => {}
            }
        }
        let (keys, crypto) = fresh_keys(&self.local.srtp, &video.key);
        let line = Line {
            name: "video",
            proto: profile(&keys),
            ..self.line(video.ports, video.direction, crypto)
        };
        let text = write::video(&line, &offered, video, video.feedback, content);
        let formats = offered.iter().map(|format| (format.payload_type, format.codec)).collect();
        let shape = Shape { main: content == Content::Main, ..shape_of_text(&text) };
        self.push(text, Offered::picture(content, formats, keys), shape);
    }

    fn same_audio(&mut self, shape: &Shape, stream: &AudioStream, audio: &LocalAudio) {
        let codecs = vec![(stream.payload_type, stream.codec)];
        let (keys, crypto) = kept_keys(shape, &stream.transport);
        let line = Line {
            name: &shape.name,
            proto: &shape.proto,
            mux: stream.transport.rtcp_mux,
            dtls: self.dtls(&keys),
            ice: stream.transport.ice.as_ref().and(self.local.ice.clone()),
            ..self.line(audio.ports, audio.direction, crypto)
        };
        let text = write::audio(&line, &codecs, stream.telephone_event.as_slice(), stream.ptime);
        self.push(text, Offered::Audio { codecs, keys }, shape.clone());
    }

    fn same_video(
        &mut self,
        shape: &Shape,
        stream: &VideoStream,
        video: &LocalVideo,
        content: Content,
    ) {
        let (keys, crypto) = kept_keys(shape, &stream.transport);
        let line = Line {
            name: &shape.name,
            proto: &shape.proto,
            mux: stream.transport.rtcp_mux,
            dtls: self.dtls(&keys),
            ice: stream.transport.ice.as_ref().and(self.local.ice.clone()),
            ..self.line(video.ports, video.direction, crypto)
        };
        let format = VideoFormat {
            payload_type: stream.payload_type,
            codec: stream.codec,
            profile: stream.profile.map(|profile| profile.at(write::our_level(video))),
            mode: Some(stream.packetization_mode),
            asymmetry: true,
        };
        let text = write::video(&line, &[format], video, video.feedback, content);
        let formats = vec![(stream.payload_type, stream.codec)];
        self.push(text, Offered::picture(content, formats, keys), shape.clone());
    }

    fn first_camera(&mut self, camera: &LocalCamera) {
        let (keys, crypto) = fresh_keys(&self.local.srtp, &camera.key);
        let line = Line {
            name: "application",
            proto: profile(&keys),
            ..self.line(camera.ports, camera.direction(), crypto)
        };
        let text = camera::text(&line, payload::CAMERA);
        let shape = shape_of_text(&text);
        self.push(text, Offered::Camera { payload_type: payload::CAMERA, keys }, shape);
    }

    fn same_camera(&mut self, shape: &Shape, stream: &CameraStream, local: &LocalCamera) {
        let (keys, crypto) = kept_keys(shape, &stream.transport);
        let payload_type = stream.payload_type;
        let line = Line {
            name: &shape.name,
            proto: &shape.proto,
            mux: stream.transport.rtcp_mux,
            ..self.line(local.ports, local.direction(), crypto)
        };
        let text = camera::text(&line, payload_type);
        self.push(text, Offered::Camera { payload_type, keys }, shape.clone());
    }

    fn line(&self, ports: LocalPorts, direction: Direction, crypto: Vec<String>) -> Line<'static> {
        Line {
            name: "",
            proto: "",
            address: self.local.address,
            ports,
            mux: self.local.rtcp_mux,
            direction,
            crypto,
            dtls: None,
            ice: None,
        }
    }

    /// Who is asked anew may begin again (RFC 8842 section 5.2).
    fn dtls(&self, keys: &Keys) -> Option<(String, Setup)> {
        let own = self.local.srtp.fingerprint.as_ref().filter(|_| keys.dtls)?;
        Some((own.clone(), Setup::ActPass))
    }
}

fn audio_type(codec: AudioCodec) -> u8 {
    match codec {
        AudioCodec::Opus => payload::OPUS,
        AudioCodec::G722 => 9,
        AudioCodec::Pcma => 8,
        AudioCodec::Pcmu => 0,
    }
}

fn h264(payload_type: u8, mode: u8, video: &LocalVideo) -> VideoFormat {
    VideoFormat {
        payload_type,
        codec: VideoCodec::H264,
        profile: Some(write::our_profile(video)),
        mode: Some(mode),
        asymmetry: true,
    }
}

fn shape_of_text(text: &sdp_types::Media) -> Shape {
    Shape {
        name: text.media.clone(),
        proto: text.proto.clone(),
        format: text.fmt.split(' ').next().unwrap_or("0").to_owned(),
        main: true,
    }
}

fn profile(keys: &Keys) -> &'static str {
    if keys.secure { "RTP/SAVP" } else { "RTP/AVP" }
}

/// Keys of a line's first offer.
fn fresh_keys(srtp: &LocalSrtp, random: &[u8; MAX_KEY]) -> (Keys, Vec<String>) {
    let secure = srtp.policy == SrtpPolicy::Required;
    if srtp.policy == SrtpPolicy::Never || !srtp.keys_allowed {
        return (Keys { secure, offered: Vec::new(), dtls: false }, Vec::new());
    }
    let offered: Vec<_> = (1..).zip(srtp.suites.iter().copied()).collect();
    let lines = offered
        .iter()
        .map(|&(tag, suite)| Crypto::line(tag, suite.name(), &SrtpKey::cut(suite, random)))
        .collect();
    (Keys { secure, offered, dtls: false }, lines)
}

/// Within a session the key stays: another would cut the sound until the peer has read it.
fn kept_keys(shape: &Shape, agreed: &Transport) -> (Keys, Vec<String>) {
    let secure = crate::model::Proto::read(&shape.proto).is_secure();
    let keys = Keys { secure, offered: Vec::new(), dtls: agreed.dtls.is_some() };
    let Some(srtp) = &agreed.srtp else { return (keys, Vec::new()) };
    let line = Crypto::line(1, srtp.suite.name(), &srtp.local);
    (Keys { offered: vec![(1, srtp.suite)], ..keys }, vec![line])
}

/// Reads the answer to our offer. Devices answer with payload types that were never offered, and
/// with several codecs at once: formats are read by name, and the first that we can do is what we
/// send. Lines that the answer lacks are rejected ones.
///
/// # Errors
/// [`NegotiationError`] where neither sound nor picture came to be: the call has to be ended.
pub fn complete(pending: &Pending, answer: &Session) -> Result<Negotiated, NegotiationError> {
    let mut negotiated = Negotiated {
        audio: None,
        video: None,
        camera: None,
        sharing: None,
        floor: None,
        rejected: Vec::new(),
        shape: pending.shape.clone(),
    };
    let (mut floor, mut slides) = (None, None);
    let local = &pending.local;
    for (index, offered) in pending.lines.iter().enumerate() {
        let peer = answer.media.get(index).filter(|peer| peer.port != 0);
        let outcome = match (offered, peer, &local.audio, &local.video) {
            (Offered::Off, ..) => Err(Rejection::NotOurs),
            (_, None, ..) => Err(Rejection::ByPeer),
            (Offered::Audio { codecs, keys }, Some(peer), Some(audio), _) => {
                complete_audio(index, peer, codecs, keys, audio, local)
                    .map(|stream| negotiated.audio = Some(stream))
            }
            (Offered::Video { formats, keys }, Some(peer), _, Some(video)) => {
                complete_video(index, answer, peer, formats, keys, video, local)
                    .map(|stream| negotiated.video = Some(stream))
            }
            (Offered::Slides { formats, keys }, Some(peer), ..) => match &local.sharing {
                Some(LocalSharing { video, .. }) => {
                    complete_video(index, answer, peer, formats, keys, video, local)
                        .map(|stream| slides = Some(stream))
                }
                None => Err(Rejection::NotOurs),
            },
            (Offered::Camera { payload_type, keys }, Some(peer), ..) => match &local.camera {
                Some(ours) => {
                    let peer = named(peer, [(*payload_type, Codec::H224)].into_iter());
                    agree(&peer, keys, &ours.key, &local.srtp)
                        .and_then(|keys| camera::complete(index, &peer, keys, ours, local))
                        .map(|stream| negotiated.camera = Some(stream))
                }
                None => Err(Rejection::NotOurs),
            },
            (Offered::Floor(before), Some(peer), ..) => match &local.sharing {
                Some(LocalSharing { floor: ours, .. }) => {
                    sharing::complete(index, peer, before.clone(), ours)
                        .map(|agreed| floor = Some(agreed))
                }
                None => Err(Rejection::NotOurs),
            },
            _ => Err(Rejection::NotOurs),
        };
        if let (Some(peer), Some(shape), true) =
            (peer, negotiated.shape.get_mut(index), outcome.is_ok())
        {
            shape.proto = shape_of(peer).proto;
        }
        if let Err(reason) = outcome {
            negotiated.rejected.push((index, reason));
        }
    }
    negotiated.sharing = Sharing::of(slides, floor);
    negotiated.or_reason()
}

fn complete_audio(
    index: usize,
    peer: &Media,
    offered: &[(u8, AudioCodec)],
    keys: &Keys,
    audio: &LocalAudio,
    local: &LocalMedia,
) -> Result<AudioStream, Rejection> {
    if peer.kind != Kind::Audio {
        return Err(Rejection::NoCodec);
    }
    let peer = named(peer, offered.iter().map(|&(kind, codec)| (kind, Codec::Audio(codec))));
    let answered: Vec<(u8, AudioCodec)> = peer
        .formats
        .iter()
        .filter_map(|format| match format.codec {
            Codec::Audio(codec) => Some((format.payload_type, codec)),
            _ => None,
        })
        .filter(|(_, codec)| offered.iter().any(|(_, ours)| ours == codec))
        .collect();
    let &(_, codec) = answered.first().ok_or(Rejection::NoCodec)?;
    let format = pick_audio(&peer.formats, &[codec]).ok_or(Rejection::NoCodec)?;
    let protection = agree(&peer, keys, &audio.key, &local.srtp)?;
    let mux = peer.rtcp_mux && local.rtcp_mux;
    let way = (mux, negotiate::ice(&peer, mux, local.ice.as_ref()));
    let transport = transport(index, &peer, direction(&peer, audio.direction), way, protection);
    let mut stream = audio_stream(transport, &peer, format.payload_type, codec, &format.params);
    stream.receive = receivable(&answered, offered);
    Ok(stream)
}

fn complete_video(
    index: usize,
    session: &Session,
    peer: &Media,
    offered: &[(u8, VideoCodec)],
    keys: &Keys,
    video: &LocalVideo,
    local: &LocalMedia,
) -> Result<VideoStream, Rejection> {
    if !matches!(peer.kind, Kind::Video(_)) {
        return Err(Rejection::NoCodec);
    }
    let peer = named(peer, offered.iter().map(|&(kind, codec)| (kind, Codec::Video(codec))));
    let answered: Vec<(u8, VideoCodec)> = peer
        .formats
        .iter()
        .filter_map(|format| match format.codec {
            Codec::Video(codec) => Some((format.payload_type, codec)),
            _ => None,
        })
        .filter(|(_, codec)| offered.iter().any(|(_, ours)| ours == codec))
        .collect();
    let format = answered
        .iter()
        .find_map(|&(_, codec)| pick_video(&peer.formats, &[codec]))
        .ok_or(Rejection::NoCodec)?;
    let protection = agree(&peer, keys, &video.key, &local.srtp)?;
    let mux = peer.rtcp_mux && local.rtcp_mux;
    let way = (mux, negotiate::ice(&peer, mux, local.ice.as_ref()));
    let transport = transport(index, &peer, direction(&peer, video.direction), way, protection);
    let mut stream = video_stream(transport, session, &peer, format, video);
    stream.receive = receivable(&answered, offered);
    Ok(stream)
}

/// The answered line, with dynamic types that no rtpmap explains named as we offered them.
fn named(peer: &Media, offered: impl Iterator<Item = (u8, Codec)>) -> Media {
    let mut peer = peer.clone();
    for (payload_type, codec) in offered {
        let nameless =
            |format: &&mut Format| format.payload_type == payload_type && format.name.is_empty();
        if let Some(format) = peer.formats.iter_mut().find(nameless) {
            format.name_as(codec);
        }
    }
    peer
}

/// Payload types by which the peer may send: its own first, then ours for the same codecs, which
/// is what a peer that keeps to RFC 3264 section 7 uses.
fn receivable<C: Copy + PartialEq>(answered: &[(u8, C)], offered: &[(u8, C)]) -> Vec<(u8, C)> {
    let mut all = answered.to_vec();
    for &(payload_type, codec) in offered {
        let known = all.iter().any(|&(other, _)| other == payload_type);
        if !known && answered.iter().any(|&(_, other)| other == codec) {
            all.push((payload_type, codec));
        }
    }
    all
}

/// The SRTP of an answered line: the key with a tag and suite of ours (RFC 4568 section 7.1.3), or
/// what makes keys.
fn agree(
    peer: &Media,
    keys: &Keys,
    random: &[u8; MAX_KEY],
    local: &LocalSrtp,
) -> Result<(Option<Srtp>, Option<Dtls>), Rejection> {
    if keys.dtls {
        // Its answer has to say who begins.
        let decided = peer.setup != Some(Setup::ActPass);
        let agreed = dtls::agree(peer, local).and_then(|it| match decided {
            true => Ok(it),
            false => Err(Rejection::Dtls(DtlsFault::NoSetup)),
        });
        return agreed.map(|it| (None, Some(it)));
    }
    let ours = peer
        .crypto
        .iter()
        .find(|crypto| crypto.is_usable() && keys.offered.contains(&(crypto.tag, crypto.suite)));
    match ours {
        Some(crypto) => Ok((Some(negotiate::srtp(crypto, random)), None)),
        None if keys.secure || local.policy == SrtpPolicy::Required => {
            let foreign = !peer.crypto.is_empty();
            Err(if foreign { Rejection::ForeignCrypto } else { Rejection::SrtpRequired })
        }
        None if peer.proto.is_secure() || (!peer.crypto.is_empty() && !keys.offered.is_empty()) => {
            Err(Rejection::ForeignCrypto)
        }
        None => Ok((None, None)),
    }
}
