//! A participant in a browser: a whole WebRTC client.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use conference::{JoinRequest, Member, MemberEvent};
use room::{Command, LeaveReason, Notice, Permissions, PublishRequest, Role, TrackInfo};
use rtp::lane::MediaPacket;
use sfu::transport::webrtc::Connections;
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::format::Codec as WireCodec;
use str0m::media::{Direction, KeyframeRequestKind, MediaKind as WireKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc};
use types::{
    AudioCodec, Codec, Identity, MediaKind, MeetingId, ParticipantKind, TrackId, TrackSid,
    TrackSource, VideoCodec,
};

use crate::camera::{Camera, HEIGHT, WIDTH};
use crate::ear::Ear;
use crate::mark::Mark;
use crate::network::Weather;
use crate::screen::Screen;
use crate::voice::Voice;
use crate::world::{Ether, World};

/// What the audio-level extension says of a voice that hums.
const LEVEL: i8 = -20;

/// Somebody in a browser. Clones are the same person.
#[derive(Clone)]
pub struct Browser(Rc<RefCell<Page>>);

/// A browser's page, and the person before it.
pub(crate) struct Page {
    name: String,
    pub(crate) address: SocketAddr,
    ether: Ether,
    mark: Option<Mark>,
    codec: VideoCodec,
    claps: bool,
    rtc: Rtc,
    timeout: Instant,
    pub(crate) member: Option<Member>,
    pub(crate) sent: Vec<(SocketAddr, Vec<u8>)>,
    /// Offers for the server.
    pub(crate) offers: Vec<(u32, String)>,
    /// The server wants an offer before it says how many sections it needs: one way there and back.
    pub(crate) asks_anew: bool,
    pending: Option<SdpPendingOffer>,
    offered: u32,
    /// Sections that the server asked for and that are not offered yet: sound, pictures.
    wanted: [u32; 2],
    microphone: Option<Outgoing<Voice>>,
    camera: Option<Outgoing<Camera>>,
    streams: BTreeMap<u32, Stream>,
    joined: Option<Instant>,
    connected: Option<Instant>,
    key_frames_asked: usize,
    is_out: bool,
}

struct Outgoing<S> {
    mid: Mid,
    source: S,
    packets: u64,
}

/// One stream that comes.
struct Stream {
    mid: Mid,
    codec: Codec,
    sense: Sense,
}

enum Sense {
    Ear(Box<Ear>),
    Screen(Box<Screen>),
}

impl Browser {
    pub(crate) fn new(name: &str, address: SocketAddr, ether: Ether) -> Self {
        let now = ether.now();
        let mut rtc = Rtc::builder()
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .enable_h264(true)
            .set_rtp_mode(true)
            .build(now);
        rtc.add_local_candidate(Candidate::host(address, "udp").expect("a candidate"));
        Self(Rc::new(RefCell::new(Page {
            name: name.to_owned(),
            address,
            ether,
            mark: None,
            codec: VideoCodec::Vp8,
            claps: false,
            rtc,
            timeout: now,
            member: None,
            sent: Vec::new(),
            offers: Vec::new(),
            asks_anew: false,
            pending: None,
            offered: 0,
            wanted: [0; 2],
            microphone: None,
            camera: None,
            streams: BTreeMap::new(),
            joined: None,
            connected: None,
            key_frames_asked: 0,
            is_out: false,
        })))
    }

    pub(crate) fn page(&self) -> RefMut<'_, Page> {
        self.0.borrow_mut()
    }

    fn look(&self) -> Ref<'_, Page> {
        self.0.borrow()
    }

    /// Has a camera and a microphone, of this mark.
    #[must_use]
    pub fn shows(self, mark: Mark) -> Self {
        self.page().mark = Some(mark);
        self
    }

    /// Sends pictures in H.264 instead of VP8.
    #[must_use]
    pub fn in_h264(self) -> Self {
        self.page().codec = VideoCodec::H264;
        self
    }

    /// Claps, to be seen and heard, at the beginning of each second.
    #[must_use]
    pub fn claps(self) -> Self {
        self.page().claps = true;
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
        let page = self.look();
        page.ether.network().change(page.address.ip(), weather);
    }

    /// Everything to and from it is lost for so long.
    pub fn is_cut_off(&self, time: Duration) {
        let page = self.look();
        let until = page.ether.now() + time;
        page.ether.network().cut(page.address.ip(), until);
    }

    /// Opens the meeting's page and joins.
    pub fn joins(&self, world: &mut World) {
        let mut page = self.page();
        page.joined = Some(page.ether.now());
        let sdp = page.first_offer();
        let (me, delay) = (self.clone(), page.ether.network().delay(page.address.ip()));
        drop(page);
        world.later(delay, move |world| {
            let page = me.look();
            let (request, tracks) = (page.request(world.meeting()), page.tracks(world));
            drop(page);
            let member = world.wait(async |conference| {
                let member = conference.join(request).await.expect("a place in the meeting");
                for request in tracks {
                    let publish = Command::Publish { peer: member.peer(), request };
                    member.execute(publish).await.expect("a published track");
                }
                member
            });
            member.offer(1, &sdp).expect("an offer that can be read");
            me.page().member = Some(member);
        });
    }

    /// Leaves the meeting. Panics if it is not in.
    pub fn leaves(&self) {
        let member = self.page().member.take();
        member.expect("somebody in the meeting").leave(LeaveReason::ByItself);
    }

    /// Asks for a place in the meeting, and whether it is refused one.
    pub fn is_refused(&self, world: &World) -> bool {
        let request = self.look().request(world.meeting());
        world.wait(async |conference| conference.join(request).await.is_err())
    }

    /// Whether one of the pictures that it gets is about this colour now, and moves.
    pub fn sees(&self, mark: Mark) -> bool {
        let page = self.look();
        let now = page.ether.now();
        page.screens().any(|it| it.is_live(now) && it.share(mark.colour) > 0.5)
    }

    /// Whether it hears this note now.
    pub fn hears(&self, mark: Mark) -> bool {
        self.loudness(mark) > -32.0
    }

    /// How loud it hears this note, in dB below full scale.
    pub fn loudness(&self, mark: Mark) -> f64 {
        let page = self.look();
        let now = page.ether.now();
        let live = page.ears().filter(|it| it.is_live(now));
        live.map(|it| it.loudness(mark.pitch)).fold(-200.0, f64::max)
    }

    /// The share of picture packets that it never got, after all retransmissions.
    pub fn residual_loss(&self) -> f64 {
        let page = self.look();
        let (mut lost, mut all) = (0, 0);
        for stats in page.screens().map(Screen::stats) {
            lost += stats.lost;
            all += stats.lost + stats.received - stats.late - stats.duplicate;
        }
        lost as f64 / all.max(1) as f64
    }

    /// The share of sound that it had to make up, for it did not come.
    pub fn concealed(&self) -> f64 {
        self.look().ears().map(Ear::concealed).fold(0.0, f64::max)
    }

    /// Pictures that it showed, of all streams.
    pub fn pictures(&self) -> usize {
        self.look().screens().map(|it| it.shows.len()).sum()
    }

    /// How long one picture stood at most, over its streams, since a moment of the world.
    pub fn longest_freeze(&self, since: Instant) -> Duration {
        let page = self.look();
        let now = page.ether.now();
        page.screens().map(|it| it.longest_freeze(since, now)).max().unwrap_or(now - since)
    }

    /// Frames that came whole and could not be decoded all the same.
    pub fn undecodable(&self) -> usize {
        self.look().screens().map(|it| it.undecodable).sum()
    }

    /// Key frames that it asked for, and those that it was asked for.
    pub fn key_frames(&self) -> (usize, usize) {
        let page = self.look();
        (page.screens().map(|it| it.asks).sum(), page.key_frames_asked)
    }

    /// From joining to being connected, and to the first picture.
    pub fn first(&self) -> (Option<Duration>, Option<Duration>) {
        let page = self.look();
        let since = |at: Instant| page.joined.map(|joined| at - joined);
        let shown = page.screens().filter_map(|it| it.shows.first().copied()).min();
        (page.connected.and_then(since), shown.and_then(since))
    }

    /// By how much each clap's sound is captured later than its flash, in ms, by what sender
    /// reports say.
    pub fn lips(&self) -> Vec<f64> {
        let page = self.look();
        let flashes: Vec<Instant> = page.screens().flat_map(|it| it.flashes.clone()).collect();
        let claps: Vec<Instant> = page.ears().flat_map(|it| it.claps.clone()).collect();
        lips(&flashes, &claps)
    }

    /// Whether the server put it out.
    pub fn is_out(&self) -> bool {
        self.look().is_out
    }
}

/// By how much each clap comes after the flash next to it, in ms.
pub(crate) fn lips(flashes: &[Instant], claps: &[Instant]) -> Vec<f64> {
    let after = |clap: Instant, flash: Instant| {
        let late = clap.saturating_duration_since(flash).as_secs_f64();
        (late - flash.saturating_duration_since(clap).as_secs_f64()) * 1000.0
    };
    let nearest = |clap: &Instant| {
        let all = flashes.iter().map(|flash| after(*clap, *flash));
        all.min_by(|a, b| a.abs().total_cmp(&b.abs()))
    };
    // Of neighbours a second apart the nearer one is meant; lost ones leave nothing to compare.
    claps.iter().filter_map(nearest).filter(|it| it.abs() < 450.0).collect()
}

impl Page {
    fn screens(&self) -> impl Iterator<Item = &Screen> {
        self.streams.values().filter_map(|it| match &it.sense {
            Sense::Screen(screen) => Some(&**screen),
            Sense::Ear(_) => None,
        })
    }

    fn ears(&self) -> impl Iterator<Item = &Ear> {
        self.streams.values().filter_map(|it| match &it.sense {
            Sense::Ear(ear) => Some(&**ear),
            Sense::Screen(_) => None,
        })
    }

    fn request(&self, meeting: MeetingId) -> JoinRequest {
        JoinRequest {
            meeting,
            identity: Identity::new(&*self.name),
            name: self.name.clone(),
            kind: ParticipantKind::Standard,
            permissions: Permissions::default(),
            role: Role::default(),
            metadata: String::new(),
            attributes: BTreeMap::new(),
            auto_subscribe: true,
            connections: Connections::Single,
        }
    }

    fn tracks(&self, world: &World) -> Vec<PublishRequest> {
        if self.mark.is_none() {
            return Vec::new();
        }
        let audio = Codec::Audio(AudioCodec::Opus);
        let both = [
            (audio, "microphone", TrackSource::Microphone, [0, 0]),
            (Codec::Video(self.codec), "camera", TrackSource::Camera, [WIDTH, HEIGHT]),
        ];
        let request = |(codec, name, source, [width, height]): (Codec, &str, _, [u32; 2])| {
            let (id, sid): (TrackId, TrackSid) = world.new_track();
            let info = TrackInfo {
                name: name.to_owned(),
                source,
                mime: codec.mime().to_owned(),
                width,
                height,
                layers: Vec::new(),
                stream: "camera".to_owned(),
                dtx: false,
                stereo: false,
                red_disabled: true,
                encryption: 0,
            };
            PublishRequest { id, sid, cid: self.cid(codec.kind()), kind: codec.kind(), info }
        };
        both.into_iter().map(request).collect()
    }

    fn cid(&self, kind: MediaKind) -> String {
        let what = if kind == MediaKind::Audio { "microphone" } else { "camera" };
        format!("{}-{what}", self.name)
    }

    fn first_offer(&mut self) -> String {
        let [microphone, camera] =
            [MediaKind::Audio, MediaKind::Video].map(|kind| Some(self.cid(kind)));
        let mut api = self.rtc.sdp_api();
        if let Some(mark) = self.mark {
            let (send, stream) = (Direction::SendOnly, Some(self.name.clone()));
            let mid = api.add_media(WireKind::Audio, send, stream.clone(), microphone, None);
            let voice = Voice::new(mark, AudioCodec::Opus, self.claps);
            self.microphone = Some(Outgoing { mid, source: voice, packets: 0 });
            let mid = api.add_media(WireKind::Video, send, stream, camera, None);
            let source = Camera::new(mark, self.codec, self.claps);
            self.camera = Some(Outgoing { mid, source, packets: 0 });
        } else {
            // An offer has to have something.
            api.add_channel("_reliable".to_owned());
        }
        let (offer, pending) = api.apply().expect("an offer");
        self.pending = Some(pending);
        self.offered = 1;
        offer.to_sdp_string()
    }

    /// Takes what the server says.
    pub(crate) fn hear(&mut self, event: MemberEvent) {
        match event {
            MemberEvent::Answer { sdp, .. } => {
                let answer = SdpAnswer::from_sdp_string(&sdp).expect("an answer");
                let pending = self.pending.take().expect("an offer that was answered");
                self.rtc.sdp_api().accept_answer(pending, answer).expect("an answer that fits");
                // It has something to do now.
                self.timeout = self.ether.now();
                self.offer_sections();
            }
            MemberEvent::SectionsNeeded { audio: 0, video: 0 } => self.asks_anew = true,
            MemberEvent::SectionsNeeded { audio, video } => self.add_sections(audio, video),
            MemberEvent::NegotiationFailed(error) => panic!("{}: {error}", self.name),
            MemberEvent::Notice(Notice::Left(_)) => self.is_out = true,
            MemberEvent::Notice(_)
            | MemberEvent::Offer { .. }
            | MemberEvent::PictureHeld { .. }
            | MemberEvent::Data { .. } => {}
        }
    }

    /// Offers so many sections more to receive on.
    pub(crate) fn add_sections(&mut self, audio: u32, video: u32) {
        let [sound, pictures] = &mut self.wanted;
        (*sound, *pictures) = (*sound + audio, *pictures + video);
        self.offer_sections();
    }

    fn offer_sections(&mut self) {
        if self.wanted == [0; 2] || self.pending.is_some() {
            return;
        }
        let [sound, pictures] = std::mem::take(&mut self.wanted);
        let mut api = self.rtc.sdp_api();
        for (kind, count) in [(WireKind::Audio, sound), (WireKind::Video, pictures)] {
            for _ in 0..count {
                api.add_media(kind, Direction::RecvOnly, None, None, None);
            }
        }
        let (offer, pending) = api.apply().expect("an offer");
        self.pending = Some(pending);
        self.offered += 1;
        self.offers.push((self.offered, offer.to_sdp_string()));
    }

    /// When it has something to do.
    pub(crate) fn due(&self) -> Instant {
        let mut due = self.timeout;
        if self.connected.is_some() {
            let camera = self.camera.as_ref().map(|it| it.source.due());
            let voice = self.microphone.as_ref().map(|it| it.source.due());
            due = [camera, voice]
                .into_iter()
                .flatten()
                .map(|it| self.ether.at(it))
                .fold(due, Instant::min);
        }
        let deadlines = self.streams.values().filter_map(|it| match &it.sense {
            Sense::Ear(ear) => ear.deadline(),
            Sense::Screen(screen) => screen.deadline(),
        });
        deadlines.fold(due, Instant::min)
    }

    pub(crate) fn receive(&mut self, source: SocketAddr, contents: &[u8]) {
        let (now, destination) = (self.ether.now(), self.address);
        let Ok(contents) = contents.try_into() else { return };
        let receive = Receive { proto: Protocol::Udp, source, destination, contents };
        let input = Input::Receive(now, receive);
        if self.rtc.accepts(&input) {
            self.rtc.handle_input(input).expect("a datagram that can be taken");
            self.drain();
        }
    }

    /// Does what is due.
    pub(crate) fn run(&mut self) {
        let now = self.ether.now();
        if self.timeout <= now {
            self.rtc.handle_input(Input::Timeout(now)).expect("time that passes");
            self.drain();
        }
        if self.connected.is_some() {
            self.speak(now);
            self.film(now);
        }
        let mut asked = false;
        for stream in self.streams.values_mut() {
            match &mut stream.sense {
                Sense::Ear(ear) => ear.listen(now),
                Sense::Screen(screen) => {
                    if !screen.look(now) {
                        continue;
                    }
                    let mut api = self.rtc.direct_api();
                    if let Some(incoming) = api.stream_rx_by_mid(stream.mid, None) {
                        incoming.request_keyframe(KeyframeRequestKind::Pli);
                        asked = true;
                    }
                }
            }
        }
        if asked {
            self.drain();
        }
    }

    fn speak(&mut self, now: Instant) {
        let Some(Outgoing { mid, source, .. }) = &self.microphone else { return };
        if self.ether.at(source.due()) > now {
            return;
        }
        let Some(pt) = self.payload_type(*mid, Codec::Audio(AudioCodec::Opus)) else { return };
        let Some(Outgoing { mid, source, packets }) = &mut self.microphone else { return };
        let (payload, timestamp) = source.speak();
        let write = RtpWrite::new(pt, (*packets).into(), timestamp, now, payload)
            .ext_vals(ExtensionValues { audio_level: Some(LEVEL), ..Default::default() });
        *packets += 1;
        if let Some(stream) = self.rtc.direct_api().stream_tx_by_mid(*mid, None) {
            stream.write_rtp(write);
        }
        self.tick(now);
    }

    fn film(&mut self, now: Instant) {
        let Some(Outgoing { mid, source, .. }) = &self.camera else { return };
        if self.ether.at(source.due()) > now {
            return;
        }
        let Some(pt) = self.payload_type(*mid, Codec::Video(self.codec)) else { return };
        let Some(Outgoing { mid, source, packets }) = &mut self.camera else { return };
        let shot = source.film();
        let last = shot.payloads.len() - 1;
        for (at, payload) in shot.payloads.into_iter().enumerate() {
            let write = RtpWrite::new(pt, (*packets).into(), shot.timestamp, now, payload)
                .marker(at == last)
                .nackable(true);
            *packets += 1;
            if let Some(stream) = self.rtc.direct_api().stream_tx_by_mid(*mid, None) {
                stream.write_rtp(write);
            }
        }
        self.tick(now);
    }

    fn tick(&mut self, now: Instant) {
        self.rtc.handle_input(Input::Timeout(now)).expect("time that passes");
        self.drain();
    }

    /// Under which the server takes this codec: of H.264 what everybody can read.
    fn payload_type(&self, mid: Mid, codec: Codec) -> Option<Pt> {
        let remote = self.rtc.media(mid)?.remote_pts();
        let formats = self.rtc.codec_config().iter();
        let mut fitting = formats.filter(|it| {
            let format = it.spec().format;
            remote.contains(&it.pt())
                && from_wire(it.spec().codec) == Some(codec)
                && format.packetization_mode.is_none_or(|mode| mode == 1)
                && format.profile_level_id.is_none_or(|id| id >> 8 == 0x42e0)
        });
        fitting.next().map(|it| it.pt())
    }

    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output().expect("a connection that goes on") {
                Output::Timeout(at) => {
                    self.timeout = at;
                    return;
                }
                Output::Transmit(it) => self.sent.push((it.destination, it.contents.to_vec())),
                Output::Event(event) => self.note(event),
            }
        }
    }

    fn note(&mut self, event: Event) {
        let (now, time) = (self.ether.now(), self.ether.time());
        match event {
            Event::Connected => {
                self.connected = Some(now);
                self.microphone.iter_mut().for_each(|it| it.source.begin(time));
                self.camera.iter_mut().for_each(|it| it.source.begin(time));
            }
            Event::KeyframeRequest(_) => {
                self.key_frames_asked += 1;
                self.camera.iter_mut().for_each(|it| it.source.wants_key = true);
            }
            Event::RtpPacket(packet) => self.take(&packet, now),
            _ => {}
        }
    }

    fn take(&mut self, packet: &RtpPacket, now: Instant) {
        let ssrc = *packet.header.ssrc;
        if !self.streams.contains_key(&ssrc) {
            let Some(stream) = self.stream(packet) else { return };
            self.streams.insert(ssrc, stream);
        }
        let Some(stream) = self.streams.get_mut(&ssrc) else { return };
        let timestamp = packet.header.timestamp;
        let rate = stream.codec.clock_rate();
        // str0m reports on streams of which nothing was sent yet: RTP time 0, which means nothing.
        let report = packet.last_sender_info.as_ref().filter(|it| it.sender_packet_count > 0);
        let capture = report.and_then(|info| {
            let ticks = timestamp.wrapping_sub(info.rtp_time.numer() as u32) as i32;
            // Of the sender's clock, which is one for all its streams.
            let ntp = info.ntp_time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
            self.ether.wall(ntp.as_secs_f64() + f64::from(ticks) / f64::from(rate))
        });
        let media = MediaPacket {
            payload: packet.payload.clone(),
            seq: *packet.seq_no,
            timestamp,
            marker: packet.header.marker,
            arrival: now,
            format: stream.codec.number(),
            audio_level: packet.header.ext_vals.audio_level,
            capture,
        };
        match &mut stream.sense {
            Sense::Ear(ear) => ear.take(media),
            Sense::Screen(screen) => screen.take(media),
        }
    }

    fn stream(&mut self, packet: &RtpPacket) -> Option<Stream> {
        let mid = self.rtc.direct_api().stream_rx(&packet.header.ssrc)?.mid();
        let pt = packet.header.payload_type;
        let format = self.rtc.codec_config().iter().find(|it| it.pt() == pt)?;
        let codec = from_wire(format.spec().codec)?;
        let sense = match codec {
            Codec::Audio(codec) => Sense::Ear(Box::new(Ear::new(codec))),
            Codec::Video(codec) => Sense::Screen(Box::new(Screen::new(codec))),
        };
        Some(Stream { mid, codec, sense })
    }
}

fn from_wire(codec: WireCodec) -> Option<Codec> {
    Some(match codec {
        WireCodec::Opus => Codec::Audio(AudioCodec::Opus),
        WireCodec::Vp8 => Codec::Video(VideoCodec::Vp8),
        WireCodec::H264 => Codec::Video(VideoCodec::H264),
        _ => return None,
    })
}
