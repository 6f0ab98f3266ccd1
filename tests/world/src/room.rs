//! A participant in a room: a system that calls in and speaks RTP or SRTP.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use conference::{
    Conference, Leg as ServerLeg, LegAudio, LegEvent, LegFormat, Participant, Waiting,
};
use mcu::VideoFormat;
use room::{Fate, Knock, LeaveReason, Permissions, Role};
use rtp::lane::MediaPacket;
use rtp::payload::audio::Tone;
use rtp::rtcp::NtpClock;
use rtp::srtp::Suite;
use sfu::LegPath;
use sfu::transport::plain::{
    HandshakeError, Leg, LegMedia, LegNumbers, LegOut, LegPort, LegStream, SrtpKeys,
};
use types::{AudioCodec, Codec, Identity, MediaKind, MeetingId, ParticipantKind, VideoCodec};

use crate::browser::lips;
use crate::camera::Camera;
use crate::ear::Ear;
use crate::mark::Mark;
use crate::network::{Parcel, Weather};
use crate::screen::Screen;
use crate::voice::Voice;
use crate::world::{Ether, World};

/// Of the four ports of a room system.
const FIRST_PORT: u16 = 6000;
/// The picture that it is given.
const WIDTH: u32 = 640;
const HEIGHT: u32 = 360;

/// A room system. Clones are the same one.
#[derive(Clone)]
pub struct Room(Rc<RefCell<Device>>);

pub(crate) struct Device {
    name: String,
    host: IpAddr,
    ether: Ether,
    mark: Option<Mark>,
    audio: AudioCodec,
    claps: bool,
    encrypts: bool,
    neglected: bool,
    line: Option<Line>,
    is_out: Arc<AtomicBool>,
    pub(crate) sent: Vec<Parcel>,
}

/// A call that stands.
struct Line {
    leg: Leg,
    timeout: Instant,
    voice: Option<Voice>,
    camera: Option<Camera>,
    numbers: [u64; 2],
    got: Got,
}

/// What came.
struct Got {
    host: IpAddr,
    ear: Ear,
    screen: Screen,
    sent: Vec<Parcel>,
    key_frames_asked: usize,
    key_frame_due: bool,
}

impl Room {
    pub(crate) fn new(name: &str, host: IpAddr, ether: Ether) -> Self {
        Self(Rc::new(RefCell::new(Device {
            name: name.to_owned(),
            host,
            ether,
            mark: None,
            audio: AudioCodec::Pcmu,
            claps: false,
            encrypts: false,
            neglected: false,
            line: None,
            is_out: Arc::default(),
            sent: Vec::new(),
        })))
    }

    pub(crate) fn device(&self) -> RefMut<'_, Device> {
        self.0.borrow_mut()
    }

    fn look(&self) -> Ref<'_, Device> {
        self.0.borrow()
    }

    /// Has a camera and a microphone, of this mark.
    #[must_use]
    pub fn shows(self, mark: Mark) -> Self {
        self.device().mark = Some(mark);
        self
    }

    /// Speaks Opus instead of G.711.
    #[must_use]
    pub fn in_opus(self) -> Self {
        self.device().audio = AudioCodec::Opus;
        self
    }

    /// Encrypts: SRTP, AES-128-GCM.
    #[must_use]
    pub fn encrypts(self) -> Self {
        self.device().encrypts = true;
        self
    }

    /// Its call on the server never reads what it is told, as while it waits for something else.
    #[must_use]
    pub fn is_neglected(self) -> Self {
        self.device().neglected = true;
        self
    }

    /// Claps, to be seen and heard, at the beginning of each second.
    #[must_use]
    pub fn claps(self) -> Self {
        self.device().claps = true;
        self
    }

    /// Has a link of this weather.
    #[must_use]
    pub fn over(self, weather: Weather) -> Self {
        self.weather(weather);
        self
    }

    /// Its link has this weather from now on.
    pub fn weather(&self, weather: Weather) {
        let device = self.look();
        device.ether.network().change(device.host, weather);
    }

    /// Everything to and from it is lost for so long.
    pub fn is_cut_off(&self, time: Duration) {
        let device = self.look();
        let until = device.ether.now() + time;
        device.ether.network().cut(device.host, until);
    }

    /// Calls in. Its answer takes one way there and one back, as with a call that is taken at once.
    pub fn calls(&self, world: &mut World) {
        let delay = {
            let device = self.look();
            device.ether.network().delay(device.host)
        };
        let me = self.clone();
        world.later(delay, move |world| {
            let ports = me.look().enters(world);
            world.later(delay, move |_| me.device().begin(ports));
        });
    }

    /// The share of its picture that is about this colour, while the picture moves.
    pub fn share(&self, mark: Mark) -> f64 {
        let device = self.look();
        let now = device.ether.now();
        let screen = device.got().map(|it| &it.screen).filter(|it| it.is_live(now));
        screen.map_or(0.0, |it| it.share(mark.colour))
    }

    /// Whether this colour takes a tile of its picture, which moves.
    pub fn sees(&self, mark: Mark) -> bool {
        self.share(mark) > 0.15
    }

    /// Whether it hears this note now.
    pub fn hears(&self, mark: Mark) -> bool {
        self.loudness(mark) > -32.0
    }

    /// How loud it hears this note, in dB below full scale.
    pub fn loudness(&self, mark: Mark) -> f64 {
        let device = self.look();
        let now = device.ether.now();
        let ear = device.got().map(|it| &it.ear).filter(|it| it.is_live(now));
        ear.map_or(-200.0, |it| it.loudness(mark.pitch))
    }

    /// How long its picture stood at most since a moment of the world.
    pub fn longest_freeze(&self, since: Instant) -> Duration {
        let device = self.look();
        let now = device.ether.now();
        device.got().map_or(now - since, |it| it.screen.longest_freeze(since, now))
    }

    /// Frames that came whole and could not be decoded all the same.
    pub fn undecodable(&self) -> usize {
        self.look().got().map_or(0, |it| it.screen.undecodable)
    }

    /// Key frames that it asked for, and those that it was asked for.
    pub fn key_frames(&self) -> (usize, usize) {
        self.look().got().map_or((0, 0), |it| (it.screen.asks, it.key_frames_asked))
    }

    /// Pictures that it showed.
    pub fn pictures(&self) -> usize {
        self.look().got().map_or(0, |it| it.screen.shows.len())
    }

    /// Whether the server put it out, sent it away, or lost it.
    pub fn is_out(&self) -> bool {
        self.look().is_out.load(Ordering::Relaxed)
    }

    /// By how much each clap's sound is captured later than its flash, in ms, by what sender
    /// reports say.
    pub fn lips(&self) -> Vec<f64> {
        let device = self.look();
        device.got().map_or(Vec::new(), |it| lips(&it.screen.flashes, &it.ear.claps))
    }
}

fn at(host: IpAddr, port: LegPort) -> SocketAddr {
    let index = LegPort::ALL.iter().position(|it| *it == port).unwrap_or_default();
    SocketAddr::new(host, FIRST_PORT + index as u16)
}

impl Device {
    pub(crate) fn host(&self) -> IpAddr {
        self.host
    }

    fn got(&self) -> Option<&Got> {
        self.line.as_ref().map(|it| &it.got)
    }

    fn stream(&self, codec: Codec, rtp: SocketAddr, rtcp: SocketAddr, ours: bool) -> LegStream {
        let payload_type = match codec {
            Codec::Audio(AudioCodec::Opus) => 111,
            Codec::Audio(_) => 0,
            Codec::Video(_) => 97,
        };
        let keys = |from: u8| {
            let suite = Suite::AeadAes128Gcm;
            (from..from + (suite.key_len() + suite.salt_len()) as u8).collect::<Vec<u8>>()
        };
        let (local, remote) = if ours { (keys(1), keys(101)) } else { (keys(101), keys(1)) };
        let srtp = SrtpKeys { suite: Suite::AeadAes128Gcm, local, remote };
        LegStream {
            remote_rtp: Some(rtp),
            remote_rtcp: Some(rtcp),
            rtcp_mux: false,
            send: true,
            receive: true,
            srtp: self.encrypts.then_some(srtp),
            dtls: None,
            ice: None,
            codec,
            payload_type,
            receives: vec![(payload_type, codec)],
            telephone_event: None,
            pli: true,
            fir: false,
            parameter_sets: Vec::new(),
        }
    }

    fn media(&self, ours: bool, address: impl Fn(LegPort) -> SocketAddr) -> LegMedia {
        let (audio, video) = (Codec::Audio(self.audio), Codec::Video(VideoCodec::H264));
        let (rtp, rtcp) = (address(LegPort::AudioRtp), address(LegPort::AudioRtcp));
        let audio = self.stream(audio, rtp, rtcp, ours);
        let (rtp, rtcp) = (address(LegPort::VideoRtp), address(LegPort::VideoRtcp));
        LegMedia { audio: Some(audio), video: Some(self.stream(video, rtp, rtcp, ours)) }
    }

    /// What the gateway does with its call: the server's ports.
    fn enters(&self, world: &mut World) -> [(LegPort, u16); 4] {
        let (meeting, sends) = (world.meeting(), self.mark.is_some());
        let format = LegFormat {
            audio: Some(LegAudio { codec: self.audio, ptime: 20, opus_bitrate: 32_000 }),
            video: Some(VideoFormat {
                codec: VideoCodec::H264,
                width: WIDTH,
                height: HEIGHT,
                fps: 15,
                bitrate: 500_000,
                single_nal: false,
            }),
            sends_audio: sends,
            sends_video: sends,
            tones_in_sound: false,
        };
        let media = self.media(false, |port| at(self.host, port));
        let participant = Participant {
            identity: Identity::new(&*self.name),
            name: self.name.clone(),
            permissions: Permissions::default(),
            role: Role::default(),
            invited: false,
            attributes: BTreeMap::new(),
        };
        let (call, waiting, ports) = world.wait(async |conference| {
            let seat = conference.seat_leg(&meeting).expect("a seat");
            let (a, b) = seat.audio_ports().expect("ports for sound");
            let (c, d) = seat.video_ports();
            let content = conference::LegContent::default();
            let leg = seat.start(media, format, content).expect("keys that fit");
            let mut call = Call { conference, meeting, participant, leg };
            let waiting = call.enter().await;
            (call, waiting, [a, b, c, d])
        });
        let ports: [(LegPort, u16); 4] = std::array::from_fn(|i| (LegPort::ALL[i], ports[i]));
        world.take_ports(call.leg.peer(), ports);
        let is_out = self.is_out.clone();
        let neglected = self.neglected;
        world.spawn(async move {
            if neglected {
                std::future::pending::<()>().await;
            }
            call.run(waiting).await;
            is_out.store(true, Ordering::Relaxed);
        });
        ports
    }

    /// The server took the call.
    fn begin(&mut self, ports: [(LegPort, u16); 4]) {
        let (now, time, host) = (self.ether.now(), self.ether.time(), self.host);
        let media = self.media(true, |wanted| {
            let found = ports.iter().find(|(port, _)| *port == wanted);
            World::server_at(found.map_or(0, |it| it.1))
        });
        let numbers = LegNumbers {
            audio_ssrc: 0xa0d10,
            video_ssrc: 0x51de0,
            audio_seq: 0xfff0,
            video_seq: 0x7ff0,
            audio_timestamp: u32::MAX - 100_000,
            video_timestamp: 77,
        };
        // Another day than the server's: clocks need not agree.
        let clock = NtpClock::new(now, UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let leg = Leg::new(media, numbers, self.name.clone(), clock, now).expect("keys that fit");
        let claps = self.claps;
        let mut voice = self.mark.map(|mark| Voice::new(mark, self.audio, claps));
        let mut camera = self.mark.map(|mark| Camera::new(mark, VideoCodec::H264, claps));
        voice.iter_mut().for_each(|it| it.begin(time));
        camera.iter_mut().for_each(|it| it.begin(time));
        let got = Got {
            host,
            ear: Ear::new(self.audio),
            screen: Screen::new(VideoCodec::H264),
            sent: Vec::new(),
            key_frames_asked: 0,
            key_frame_due: false,
        };
        self.line = Some(Line { leg, timeout: now, voice, camera, numbers: [0; 2], got });
    }

    pub(crate) fn due(&self) -> Instant {
        let far = self.ether.now() + Duration::from_secs(1);
        let Some(line) = &self.line else { return far };
        let camera = line.camera.as_ref().map(|it| self.ether.at(it.due()));
        let voice = line.voice.as_ref().map(|it| self.ether.at(it.due()));
        let senses = [line.got.ear.deadline(), line.got.screen.deadline()];
        [camera, voice].into_iter().chain(senses).flatten().fold(line.timeout, Instant::min)
    }

    pub(crate) fn receive(&mut self, port: u16, from: SocketAddr, contents: &[u8]) {
        let now = self.ether.now();
        let port = LegPort::ALL.get(usize::from(port.wrapping_sub(FIRST_PORT)));
        if let (Some(line), Some(port)) = (&mut self.line, port) {
            line.leg.receive(*port, from, contents, now);
            line.poll(now);
        }
    }

    /// Does what is due.
    pub(crate) fn run(&mut self) {
        let now = self.ether.now();
        let Some(line) = &mut self.line else { return };
        if line.timeout <= now {
            line.leg.handle_timeout(now);
        }
        let is_due = |due: Duration| self.ether.at(due) <= now;
        if let Some(voice) = line.voice.as_mut().filter(|it| is_due(it.due())) {
            let (payload, timestamp) = voice.speak();
            line.send(Codec::Audio(self.audio), payload, timestamp, false, now);
        }
        if let Some(camera) = line.camera.as_mut().filter(|it| is_due(it.due())) {
            let shot = camera.film();
            let last = shot.payloads.len() - 1;
            for (index, payload) in shot.payloads.into_iter().enumerate() {
                let codec = Codec::Video(VideoCodec::H264);
                line.send(codec, payload, shot.timestamp, index == last, now);
            }
        }
        line.got.ear.listen(now);
        if line.got.screen.look(now) {
            line.leg.request_key_frame(now);
        }
        line.poll(now);
        self.sent.append(&mut line.got.sent);
    }
}

/// The server's end of a call, as the gateway serves it.
struct Call {
    conference: Conference,
    meeting: MeetingId,
    participant: Participant,
    leg: ServerLeg,
}

impl Call {
    /// Comes in, or has to wait.
    async fn enter(&mut self) -> Option<Waiting> {
        let Participant { identity, name, role, .. } = self.participant.clone();
        let knock = Knock { identity, name, kind: ParticipantKind::Sip, role };
        let waiting = self.conference.knock(&self.meeting, knock).await.expect("a door");
        if waiting.fate() != Some(Fate::Admitted) {
            self.leg.prompt("wait");
            return Some(waiting);
        }
        let joined = self.leg.join(&self.meeting, self.participant.clone()).await;
        joined.expect("a place in the meeting");
        None
    }

    /// Until it is out.
    async fn run(mut self, mut waiting: Option<Waiting>) {
        loop {
            let settled = async {
                match &waiting {
                    Some(waiting) => waiting.settled().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                fate = settled => if fate != Fate::Admitted { return },
                event = self.leg.next_event() => match event {
                    LegEvent::Out(LeaveReason::MovedToLobby) => {}
                    LegEvent::Lost | LegEvent::Out(_) => return,
                    LegEvent::Key(_)
                    | LegEvent::HeardKey(_)
                    | LegEvent::KeyFrameBySignalling
                    | LegEvent::Sharing(_) => continue,
                },
            }
            waiting = self.enter().await;
        }
    }
}

impl Line {
    fn send(&mut self, codec: Codec, payload: Vec<u8>, timestamp: u32, marker: bool, now: Instant) {
        let seq = &mut self.numbers[usize::from(codec.kind() == MediaKind::Video)];
        let packet = MediaPacket {
            payload: Arc::from(payload),
            seq: *seq,
            timestamp,
            marker,
            arrival: now,
            format: codec.number(),
            audio_level: None,
            capture: Some(now),
        };
        *seq += 1;
        self.leg.send(codec.kind(), &packet, now);
    }

    fn poll(&mut self, now: Instant) {
        self.timeout = self.leg.poll(now, &mut self.got);
        if std::mem::take(&mut self.got.key_frame_due) {
            self.camera.iter_mut().for_each(|it| it.wants_key = true);
        }
    }
}

impl LegOut for Got {
    fn transmit(&mut self, port: LegPort, to: SocketAddr, contents: &[u8]) {
        let from = at(self.host, port);
        self.sent.push(Parcel { from, to, contents: contents.to_vec() });
    }

    fn packet(&mut self, kind: MediaKind, packet: MediaPacket, _: Codec) {
        match kind {
            MediaKind::Audio => self.ear.take(packet),
            MediaKind::Video => self.screen.take(packet),
        }
    }

    fn begins_anew(&mut self, _: MediaKind) {}

    fn key_frame_wanted(&mut self) {
        self.key_frames_asked += 1;
        self.key_frame_due = true;
    }

    fn key_frame_by_signalling(&mut self) {}

    fn tone(&mut self, _: Tone) {}

    fn forwardable(&mut self, _: bool) {}

    fn path(&mut self, _: LegPath) {}

    fn silent(&mut self) {}

    fn unkeyed(&mut self, _: HandshakeError) {}
}
