//! Room systems and phones: RTP or SRTP as their SIP dialog agreed (RFC 3550, 3711, 3551).
//!
//! [`Leg`] is sans-IO: datagrams, packets and time go in, [`LegOut`] comes out of [`Leg::poll`].
//! It has four ports of ours, two of them for RTCP; sound and picture are never bundled.

mod certificate;
mod dtls;
mod egress;
mod fit;
mod ice;
mod ingress;
mod latch;
mod numbering;
mod pacer;
mod pictures;
mod reports;
mod stream;

#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rtp::lane::MediaPacket;
use rtp::payload::audio::Tone;
use rtp::rtcp::NtpClock;
use rtp::srtp::{SrtpError, Suite};
use types::{AudioCodec, Codec, MediaKind, VideoCodec};

use crate::command::LegPath;

pub use certificate::{Certificate, NoCertificate, is_known};
pub use dtls::{DtlsKeys, HandshakeError};
pub(crate) use fit::Fit;
pub use fit::PictureLimits;
pub use ice::IceKeys;
use reports::PeerClock;
use stream::{Ciphers, Stream};

/// A peer that may send and of which nothing was heard for so long is gone: its own reports would
/// have come several times, whatever it mutes.
const SILENCE: Duration = Duration::from_secs(30);
/// What waits to be polled at most; a whole batch of datagrams gives less.
const MAX_QUEUED: usize = 4096;
/// When to look again at a leg that has nothing to do.
const IDLE: Duration = Duration::from_secs(60);

/// One of the four UDP ports that we have for a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LegPort {
    /// RTP of the sound; RTCP too where the peer multiplexes (RFC 5761).
    AudioRtp,
    /// RTCP of the sound.
    AudioRtcp,
    /// RTP of the picture; RTCP too where the peer multiplexes.
    VideoRtp,
    /// RTCP of the picture.
    VideoRtcp,
}

impl LegPort {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::AudioRtp, Self::AudioRtcp, Self::VideoRtp, Self::VideoRtcp];

    /// What it carries.
    pub const fn kind(self) -> MediaKind {
        match self {
            Self::AudioRtp | Self::AudioRtcp => MediaKind::Audio,
            Self::VideoRtp | Self::VideoRtcp => MediaKind::Video,
        }
    }

    /// Whether it is one of the two for RTCP alone.
    pub const fn is_rtcp(self) -> bool {
        matches!(self, Self::AudioRtcp | Self::VideoRtcp)
    }

    const fn rtp(kind: MediaKind) -> Self {
        match kind {
            MediaKind::Audio => Self::AudioRtp,
            MediaKind::Video => Self::VideoRtp,
        }
    }

    const fn rtcp(kind: MediaKind) -> Self {
        match kind {
            MediaKind::Audio => Self::AudioRtcp,
            MediaKind::Video => Self::VideoRtcp,
        }
    }
}

/// What an offer and its answer agreed on. `None`: there is no such stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegMedia {
    /// Sound.
    pub audio: Option<LegStream>,
    /// Picture.
    pub video: Option<LegStream>,
}

/// One agreed stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegStream {
    /// Where the peer's SDP wants RTP; `None` waits for the peer's first packet. An address that
    /// nothing can be sent to (unspecified, multicast, port 0) counts as none.
    pub remote_rtp: Option<SocketAddr>,
    /// The same for RTCP; without meaning under `rtcp_mux`.
    pub remote_rtcp: Option<SocketAddr>,
    /// RTCP travels on the RTP ports (RFC 5761).
    pub rtcp_mux: bool,
    /// We may send.
    pub send: bool,
    /// The peer may send.
    pub receive: bool,
    /// SDES keys; without them and without `dtls` all is plain RTP.
    pub srtp: Option<SrtpKeys>,
    /// The keys are made by a handshake, and nothing passes before; needs `rtcp_mux`.
    pub dtls: Option<DtlsKeys>,
    /// The peer checks the way, and media go where it wants them; needs `rtcp_mux`. The addresses
    /// above are of no use then.
    pub ice: Option<IceKeys>,
    /// What we send.
    pub codec: Codec,
    /// Its payload type, 0..=127.
    pub payload_type: u8,
    /// What the peer may send, by payload type.
    pub receives: Vec<(u8, Codec)>,
    /// Payload type and clock, Hz, of the peer's telephone-events (RFC 4733).
    pub telephone_event: Option<(u8, u32)>,
    /// The peer understands PLI (RFC 4585).
    pub pli: bool,
    /// The peer understands FIR (RFC 5104).
    pub fir: bool,
    /// H.264 parameter sets of the peer's SDP, as NAL units without start codes.
    pub parameter_sets: Vec<Vec<u8>>,
}

/// The keys of both directions, by SDES (RFC 4568) or a handshake.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKeys {
    /// The suite, one for both directions.
    pub suite: Suite,
    /// What we protect with: master key, then master salt.
    pub local: Vec<u8>,
    /// What the peer protects with.
    pub remote: Vec<u8>,
}

impl fmt::Debug for SrtpKeys {
    /// Without the keys: this may come into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpKeys").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// Random numbers for what RFC 3550 wants random.
#[derive(Clone, Copy, Debug)]
pub struct LegNumbers {
    /// Our SSRC of the sound.
    pub audio_ssrc: u32,
    /// Our SSRC of the picture.
    pub video_ssrc: u32,
    /// First sequence number of the sound; 15 bits count (RFC 4568 section 6.4: the receiver has
    /// to see where the number wraps).
    pub audio_seq: u16,
    /// First sequence number of the picture; 15 bits count.
    pub video_seq: u16,
    /// What is added to the timestamps of the sound.
    pub audio_timestamp: u32,
    /// What is added to the timestamps of the picture.
    pub video_timestamp: u32,
}

/// What a leg gives when it is polled.
pub trait LegOut {
    /// A datagram to send.
    fn transmit(&mut self, port: LegPort, destination: SocketAddr, contents: &[u8]);
    /// A packet that the peer sent; its `format` is the codec's number. Numbers go on over changes
    /// of the peer's source.
    fn packet(&mut self, kind: MediaKind, packet: MediaPacket, codec: Codec);
    /// The packets that follow are of another source or encoder than those before: their
    /// timestamps count from another moment, and a picture goes on with a key frame only.
    fn begins_anew(&mut self, kind: MediaKind);
    /// The peer lost the picture that we send it; at most once in 500 ms.
    fn key_frame_wanted(&mut self);
    /// A key frame is to be asked of the peer in another way, since RTCP cannot: neither kind of
    /// request was agreed, or we do not know where its RTCP goes.
    fn key_frame_by_signalling(&mut self);
    /// A key was pressed, and is released. Its duration is in 1/8000 s, whatever the event's clock.
    fn tone(&mut self, tone: Tone);
    /// Whether every browser can decode the picture as it comes. Said with the first packet that
    /// tells, and at each change.
    fn forwardable(&mut self, yes: bool);
    /// What the peer says of the way to it; at most five times a second of each kind.
    fn path(&mut self, news: LegPath);
    /// Nothing was heard for 30 s of a peer that may send. Said once for each such silence.
    fn silent(&mut self);
    /// A stream that was agreed on has no keys and will have none.
    fn unkeyed(&mut self, reason: HandshakeError);
}

/// What happened to both streams of a leg since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LegCounters {
    /// Sound.
    pub audio: StreamCounters,
    /// Picture.
    pub video: StreamCounters,
}

/// What happened to one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StreamCounters {
    /// RTP packets of the peer that were taken, telephone-events included.
    pub received: u64,
    /// Those that are missing, as RTCP counts it; negative with duplicates.
    pub lost: i64,
    /// Their bytes, headers included.
    pub received_bytes: u64,
    /// Interarrival jitter of what the peer sends (RFC 3550 section 6.4.1).
    pub jitter: Duration,
    /// RTP packets sent.
    pub sent: u64,
    /// Their bytes, headers included.
    pub sent_bytes: u64,
    /// Packets to send that could not be: on hold, no address known, of another codec than agreed.
    pub unsent: u64,
    /// Share of our packets that the peer lost lately by its reports, 0..1.
    pub remote_loss: f32,
    /// Our packets that the peer lost altogether by its last report.
    pub remote_lost: i32,
    /// The last round trip that was measured.
    pub rtt: Option<Duration>,
    /// Datagrams of the peer's that were dropped.
    pub discarded: Discarded,
}

/// Datagrams that were dropped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discarded {
    /// From another address than the peer's, or on a port that was not agreed on.
    pub stranger: u64,
    /// Not authentic under the SRTP keys, or a replay.
    pub forged: u64,
    /// RTP of a payload type that was not agreed on.
    pub unknown_payload_type: u64,
    /// Neither RTP nor RTCP.
    pub malformed: u64,
    /// RTP that is right but of no use: on hold, much too late, or of a source given up.
    pub unwanted: u64,
    /// What came of it could not wait to be polled.
    pub overflow: u64,
}

/// One room system's RTP transport.
#[derive(Debug)]
pub struct Leg {
    audio: Stream,
    video: Stream,
    shared: Shared,
    said_silent: bool,
    /// Silence means nothing.
    may_be_silent: bool,
    closed: bool,
}

/// What both streams of a leg use.
#[derive(Debug)]
struct Shared {
    cname: String,
    ntp: NtpClock,
    peer_clock: PeerClock,
    /// When something authentic came last.
    heard: Instant,
    queue: Vec<Event>,
}

impl Shared {
    /// Whether there was room.
    fn push(&mut self, event: Event) -> bool {
        let fits = self.queue.len() < MAX_QUEUED;
        if fits {
            self.queue.push(event);
        }
        fits
    }
}

/// What waits for [`Leg::poll`].
#[derive(Debug)]
enum Event {
    Transmit(LegPort, SocketAddr, Vec<u8>),
    BeginsAnew(MediaKind),
    Packet(MediaKind, MediaPacket, Codec),
    KeyFrameWanted,
    KeyFrameBySignalling,
    Tone(Tone),
    Forwardable(bool),
    Path(LegPath),
    Silent,
    Unkeyed(HandshakeError),
}

impl Event {
    fn tell(self, out: &mut dyn LegOut) {
        match self {
            Self::Transmit(port, destination, contents) => {
                out.transmit(port, destination, &contents);
            }
            Self::BeginsAnew(kind) => out.begins_anew(kind),
            Self::Packet(kind, packet, codec) => out.packet(kind, packet, codec),
            Self::KeyFrameWanted => out.key_frame_wanted(),
            Self::KeyFrameBySignalling => out.key_frame_by_signalling(),
            Self::Tone(tone) => out.tone(tone),
            Self::Forwardable(yes) => out.forwardable(yes),
            Self::Path(news) => out.path(news),
            Self::Silent => out.silent(),
            Self::Unkeyed(reason) => out.unkeyed(reason),
        }
    }
}

impl Leg {
    /// A leg by what was agreed on. `cname` names us to the peer and is to say nothing of us
    /// (RFC 7022); `clock` tells the wall time of our reports.
    ///
    /// # Errors
    /// [`SrtpError`], where keys do not fit their suite.
    pub fn new(
        media: LegMedia,
        numbers: LegNumbers,
        cname: String,
        clock: NtpClock,
        now: Instant,
    ) -> Result<Self, SrtpError> {
        let LegNumbers { audio_ssrc, video_ssrc, audio_seq, video_seq, .. } = numbers;
        let audio = egress::Egress::new(
            audio_ssrc,
            audio_seq,
            numbers.audio_timestamp,
            AudioCodec::Pcmu.clock_rate(),
        );
        let video = egress::Egress::new(
            video_ssrc,
            video_seq,
            numbers.video_timestamp,
            VideoCodec::CLOCK_RATE,
        );
        let mut leg = Self {
            audio: Stream::new(MediaKind::Audio, audio, now),
            video: Stream::new(MediaKind::Video, video, now),
            shared: Shared {
                cname,
                ntp: clock,
                peer_clock: PeerClock::default(),
                heard: now,
                queue: Vec::new(),
            },
            said_silent: false,
            may_be_silent: false,
            closed: false,
        };
        leg.update(media, now)?;
        Ok(leg)
    }

    /// Its peer sends now and then, as with a second picture: however long nothing is heard, it is
    /// not gone.
    pub fn allow_silence(mut self) -> Self {
        self.may_be_silent = true;
        self
    }

    /// The media were agreed on anew (hold, resume, codec, address, keys). Our SSRCs and numbers go
    /// on; a key that did not change keeps its SRTP context, and an address that did not change
    /// keeps the source that was found behind it.
    ///
    /// # Errors
    /// [`SrtpError`]; then nothing has changed.
    pub fn update(&mut self, media: LegMedia, now: Instant) -> Result<(), SrtpError> {
        let LegMedia { audio, video } = media;
        let audio_ciphers = Ciphers::changed(&self.audio, audio.as_ref())?;
        let video_ciphers = Ciphers::changed(&self.video, video.as_ref())?;
        self.audio.update(audio, audio_ciphers, now);
        self.video.update(video, video_ciphers, now);
        self.shared.heard = now;
        self.said_silent = false;
        Ok(())
    }

    /// A datagram came to one of our ports. What is not the peer's or not in order is counted and
    /// dropped. Whether it was the peer's.
    pub fn receive(
        &mut self,
        port: LegPort,
        source: SocketAddr,
        contents: &[u8],
        now: Instant,
    ) -> bool {
        if self.closed {
            return false;
        }
        let (stream, shared) = self.stream(port.kind());
        let its = stream.receive(port, source, contents, now, shared);
        if its {
            self.shared.heard = now;
            self.said_silent = false;
        }
        its
    }

    /// Sends a packet; its `format` has to be the number of the codec that was agreed on. Its
    /// sequence number and timestamp are of its sender's own run and are mapped to ours.
    pub fn send(&mut self, kind: MediaKind, packet: &MediaPacket, now: Instant) {
        if !self.closed {
            let (stream, shared) = self.stream(kind);
            stream.send(packet, now, shared);
        }
    }

    /// The next packet sent is of another run: our sequence number goes up by one, our timestamp by
    /// the time between the arrivals of the last packet and of that one.
    pub fn restart_egress(&mut self, kind: MediaKind) {
        self.stream(kind).0.restart_egress();
    }

    /// Asks the peer for a key frame, at most once in 500 ms: what is asked sooner is put off, and
    /// dropped if a key frame begins before.
    pub fn request_key_frame(&mut self, now: Instant) {
        self.video.want_key_frame();
        self.run(now);
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.run(now);
    }

    /// Drains everything that is to be done now; when to call [`Leg::handle_timeout`] next. Has to
    /// be called after every input.
    pub fn poll(&mut self, now: Instant, out: &mut dyn LegOut) -> Instant {
        self.run(now);
        for event in self.shared.queue.drain(..) {
            event.tell(out);
        }
        if self.closed {
            return now + IDLE;
        }
        let silence = self.silent_at();
        let streams = [self.audio.timeout(), self.video.timeout()];
        streams.into_iter().chain([silence]).flatten().min().unwrap_or(now + IDLE)
    }

    /// Says goodbye by RTCP at the next poll. Nothing is taken or sent afterwards.
    pub fn close(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.closed, true) {
            self.audio.say_goodbye(now, &mut self.shared);
            self.video.say_goodbye(now, &mut self.shared);
        }
    }

    /// What happened so far.
    pub fn counters(&self) -> LegCounters {
        LegCounters { audio: self.audio.counters(), video: self.video.counters() }
    }

    fn stream(&mut self, kind: MediaKind) -> (&mut Stream, &mut Shared) {
        let stream = match kind {
            MediaKind::Audio => &mut self.audio,
            MediaKind::Video => &mut self.video,
        };
        (stream, &mut self.shared)
    }

    fn run(&mut self, now: Instant) {
        if self.closed {
            return;
        }
        self.audio.handle_timeout(now, &mut self.shared);
        self.video.handle_timeout(now, &mut self.shared);
        if self.silent_at().is_some_and(|at| at <= now) {
            self.said_silent = true;
            self.shared.push(Event::Silent);
        }
    }

    fn silent_at(&self) -> Option<Instant> {
        let may_send = self.audio.receives() || self.video.receives();
        let counts = may_send && !self.said_silent && !self.may_be_silent;
        counts.then_some(self.shared.heard + SILENCE)
    }
}
