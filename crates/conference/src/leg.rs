//! A room system's seat: its ports and media on a shard, before and after it is let into a meeting.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use mcu::{AudioSinkOptions, Bridge, BridgeEvent, Layout, SinkId, SourceId};
use room::{
    Command, LeaveReason, MemberChange, Notice, PublishRequest, Refusal, TrackChange, TrackInfo,
};
use rtp::lane::lane;
use rtp::rtcp::NtpClock;
use rtp::srtp::SrtpError;
use sfu::core::Wanted;
use sfu::driver::{FloorSockets, LegSockets};
use sfu::transport::plain::{self, HandshakeError, LegMedia, LegNumbers};
use sfu::{CloseReason, PeerEvent, PeerEvents, ShardHandle};
use tokio::sync::mpsc;
use types::{
    Bandwidth, Codec, MediaKind, MeetingId, ParticipantSid, PeerId, TrackId, TrackSid, TrackSource,
};

use crate::bridge::{LegFormat, Sharing, VIDEO_LANE};
use crate::conference::{Conference, JoinError, LegJoin, Participant};
use crate::content::{Content, ContentSeat, ContentSorter, LegContent};
use crate::dialling::{CALL_ID_ATTRIBUTE, CALL_STATUS_ATTRIBUTE, CODECS_ATTRIBUTE};
use crate::meeting::{ActorMessage, ExecuteError, MeetingHandle};
use crate::member::{Member, MemberEvent};
use crate::speech::Speech;

/// The attribute of a room system that has put the meeting on hold, with the value `true`. It is
/// our own: LiveKit has no word for it.
const ON_HOLD: &str = "plenum.hold";
/// The attribute of a room system whose camera hosts may steer, with the value `true`; our own as well.
const CAMERA: &str = "plenum.camera";
/// Events that may wait for the leg's owner; keys of a remote beyond it are lost.
const EVENT_QUEUE: usize = 64;
/// Packets of sound in the lane of a prompt.
const AUDIO_LANE: usize = 64;

/// What the owner of a leg hears.
#[derive(Debug)]
pub enum LegEvent {
    /// A key was pressed (`0` to `9`, `*`, `#`, `A` to `D`).
    Key(char),
    /// A key was heard in the sound of a room system that agreed to tell them in no better way.
    HeardKey(char),
    /// The room system has to be asked for a key frame in its signalling.
    KeyFrameBySignalling,
    /// Its media ceased, or the shard gave it up.
    Lost,
    /// Who shows a screen, for the floor of its second picture.
    Sharing(Sharing),
    /// It was taken out of the meeting.
    Out(LeaveReason),
}

/// Ports for a leg on the shard of a meeting. Dropping it closes them.
pub struct LegSeat {
    conference: Conference,
    peer: PeerId,
    shard: ShardHandle,
    /// The shard's place among all.
    place: usize,
    sockets: LegSockets,
    content: Option<Box<ContentSeat>>,
    bandwidth: Option<Bandwidth>,
}

impl LegSeat {
    /// The conference that gave it.
    pub fn conference(&self) -> &Conference {
        &self.conference
    }

    /// What the meeting lets it send, and sends it; `None`: as everywhere else.
    pub fn bandwidth(&self) -> Option<Bandwidth> {
        self.bandwidth
    }

    /// Ports for sound: RTP, RTCP.
    pub fn audio_ports(&self) -> Option<(u16, u16)> {
        self.sockets.audio_ports()
    }

    /// Ports for the picture: RTP, RTCP.
    pub fn video_ports(&self) -> (u16, u16) {
        self.sockets.video_ports()
    }

    /// Adds ports for a second picture and its floor. Where the meeting bounds what a room system is
    /// sent there is no room for one, and without ports the call goes on without it.
    pub fn add_content(&mut self) {
        if self.bandwidth.is_some() {
            return;
        }
        let ports = self.conference.ports();
        let bound = ports.bind_picture().and_then(|it| Ok((it, ports.bind_floor()?)));
        match bound {
            Ok((sockets, floor)) => {
                let peer = PeerId(self.conference.next_id());
                let floor = Some(floor);
                self.content = Some(Box::new(ContentSeat { peer, sockets, floor }));
            }
            Err(error) => tracing::warn!(%error, "a room system has no second picture"),
        }
    }

    /// Ports for the second picture: RTP, RTCP.
    pub fn content_ports(&self) -> Option<(u16, u16)> {
        self.content.as_ref().map(|it| it.sockets.video_ports())
    }

    /// The port for the floor of the second picture, once.
    pub fn take_floor(&mut self) -> Option<FloorSockets> {
        self.content.as_mut()?.floor.take()
    }

    /// Lets media flow as it was agreed. Nobody hears or sees it, and it gets nothing, until it has
    /// a prompt or joins.
    ///
    /// # Errors
    /// Keys that do not fit their suite.
    pub fn start(
        self,
        media: LegMedia,
        format: LegFormat,
        content: LegContent,
    ) -> Result<Leg, SrtpError> {
        let Self { conference, peer, shard, place: sits_at, sockets, .. } = self;
        let now = conference.clock().now();
        // Says nothing of this machine, and is the same for sound and picture, as lip-sync needs.
        let cname = format!("plenum-{:016x}", rand::random::<u64>());
        let leg = Box::new(plain_leg(media, cname.clone(), now)?);
        let second = self.content.map(|seat| {
            let leg = plain_leg(content.media, cname, now)?.allow_silence();
            Ok((seat, Box::new(leg)))
        });
        let second = second.transpose()?;
        let (adapter, events) = mpsc::channel(EVENT_QUEUE);
        let (link, keys) = (Link::default(), Keys(adapter.downgrade()));
        let second = second.map(|(seat, leg)| {
            let ContentSeat { peer, sockets, .. } = *seat;
            let adapter = adapter.downgrade();
            let sorter = ContentSorter { link: link.clone(), adapter };
            shard.give_sockets(peer, sockets);
            shard.send(sfu::Command::AddLeg { peer, leg, events: Box::new(sorter) });
            Content::new(peer, content.format, content.open)
        });
        let unkeyed = Arc::<OnceLock<_>>::default();
        let sorter = LegSorter { link: link.clone(), adapter, unkeyed: unkeyed.clone() };
        shard.give_sockets(peer, sockets);
        shard.send(sfu::Command::AddLeg { peer, leg, events: Box::new(sorter) });
        let place = Place::Outside { prompt: None };
        let published = [None, None];
        Ok(Leg {
            conference,
            peer,
            shard,
            sits_at,
            format,
            content: second,
            published,
            events,
            link,
            keys,
            unkeyed,
            place,
            ended: false,
        })
    }
}

fn plain_leg(media: LegMedia, cname: String, now: Instant) -> Result<plain::Leg, SrtpError> {
    let numbers = LegNumbers {
        audio_ssrc: rand::random(),
        video_ssrc: rand::random(),
        audio_seq: rand::random(),
        video_seq: rand::random(),
        audio_timestamp: rand::random(),
        video_timestamp: rand::random(),
    };
    let clock = NtpClock::new(now, SystemTime::now());
    plain::Leg::new(media, numbers, cname, clock, now)
}

/// A room system with media. Dropping it ends them and takes it out of its meeting.
pub struct Leg {
    conference: Conference,
    peer: PeerId,
    shard: ShardHandle,
    /// The shard's place among all.
    sits_at: usize,
    format: LegFormat,
    content: Option<Content>,
    /// Its tracks in the meeting: sound, picture.
    published: [Option<TrackSid>; 2],
    events: mpsc::Receiver<RawEvent>,
    link: Link,
    keys: Keys,
    unkeyed: Arc<OnceLock<HandshakeError>>,
    place: Place,
    ended: bool,
}

enum Place {
    Outside { prompt: Option<Prompt> },
    Inside { member: Member },
}

/// What is shown and said before a meeting.
struct Prompt {
    bridge: Bridge,
    /// What is said now.
    speech: Option<Speech>,
    /// What it sends, where keys have to be listened for in it.
    voice: Option<TrackId>,
}

impl Leg {
    /// Its number on its shard, for logs.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// Shows it a text on a calm picture. For who is not in yet.
    pub fn prompt(&mut self, text: &str) {
        if matches!(self.place, Place::Outside { prompt: None }) {
            let (bridge, voice) = (self.prompt_bridge(), self.voice_for_keys());
            let prompt = Prompt { bridge, speech: None, voice };
            self.place = Place::Outside { prompt: Some(prompt) };
        }
        if let Place::Outside { prompt: Some(prompt) } = &self.place {
            prompt.bridge.add_tile(TILE, text);
        }
    }

    /// Says these words, in G.722, beside what [`Self::prompt`] shows, in the place of what is said
    /// now; `None`: nothing more is said. Silence follows.
    pub fn say(&mut self, words: Option<&'static [u8]>) {
        if let Place::Outside { prompt: Some(Prompt { bridge, speech, .. }) } = &mut self.place {
            *speech =
                words.map(|it| Speech::say(it, VOICE, bridge, self.conference.clock().clone()));
        }
    }

    fn prompt_bridge(&self) -> Bridge {
        let keys = self.keys.clone();
        let events = move |event| {
            if let BridgeEvent::Tone { key, .. } = event {
                keys.tell(key);
            }
        };
        let bridge = self.conference.mcu().bridge("prompt", Arc::new(events));
        if let Some(format) = self.format.video {
            let (tx, rx) = lane(VIDEO_LANE, self.shard.bell());
            let number = Codec::Video(format.codec).number();
            bridge.add_video_sink(PICTURE, format, None, Layout::Grid, number, tx);
            self.feed(MediaKind::Video, rx);
        }
        if let Some(audio) = self.format.audio {
            let (tx, rx) = lane(AUDIO_LANE, self.shard.bell());
            let options = AudioSinkOptions {
                ptime: audio.ptime,
                opus_bitrate: audio.opus_bitrate,
                format: Codec::Audio(audio.codec).number(),
            };
            bridge.add_audio_sink(SOUND, audio.codec, Some(OWN_VOICE), options, tx);
            self.feed(MediaKind::Audio, rx);
        }
        bridge
    }

    /// Lets what it sends be had, before a meeting, where keys have to be listened for in it.
    fn voice_for_keys(&self) -> Option<TrackId> {
        let track = self.format.tones_in_sound.then(|| self.conference.new_track_ids().0)?;
        let kind = MediaKind::Audio;
        self.shard.send(sfu::Command::PublishLeg { peer: self.peer, kind, track });
        Some(track)
    }

    /// What it sends is of this codec.
    fn hear_voice(&self, flows: TrackId, codec: Codec) {
        if let Place::Outside { prompt: Some(Prompt { bridge, voice: Some(track), .. }) } =
            &self.place
            && *track == flows
            && let Codec::Audio(codec) = codec
        {
            let (tx, rx) = lane(AUDIO_LANE, Bridge::silent_bell());
            bridge.add_audio_source(OWN_VOICE, codec, rx);
            bridge.listen_for_tones(OWN_VOICE, true);
            let (track, wanted) = (*track, Wanted::default());
            self.shard.send(sfu::Command::Tap { track, number: VOICE_TAP, lane: tx, wanted });
        }
    }

    /// The prompt is over.
    fn end_prompt(&mut self) {
        if let Place::Outside { prompt } = &mut self.place
            && let Some(Prompt { voice: Some(track), .. }) = prompt.take()
        {
            self.shard.send(sfu::Command::Unpublish(track));
        }
    }

    fn feed(&self, kind: MediaKind, lane: rtp::lane::LaneRx) {
        self.shard.send(sfu::Command::FeedLeg { peer: self.peer, kind, lane });
    }

    /// Whether it can join a meeting where it sits: on the meeting's shard, if the meeting takes room
    /// systems' media as they were agreed on without it.
    pub fn can_join(&self, meeting: &MeetingId) -> bool {
        let settings = self.conference.directory().find(meeting);
        let other = settings.is_none_or(|it| it.e2ee || it.bandwidth.is_some());
        !other && self.conference.place_of(meeting) == self.sits_at
    }

    /// Lets it into a meeting, whose roster it then stands in with its tracks.
    ///
    /// # Errors
    /// As [`Conference::join`].
    pub async fn join(
        &mut self,
        meeting: &MeetingId,
        participant: Participant,
    ) -> Result<ParticipantSid, JoinError> {
        let raw = [self.conference.new_track_ids().0, self.conference.new_track_ids().0];
        let content = self.content.as_mut().map(|it| it.join(&self.conference));
        let (peer, format) = (self.peer, self.format);
        let (link, keys) = (self.link.clone(), self.keys.clone());
        let join = LegJoin { peer, raw, format, link, keys, content };
        let member = self.conference.join_leg(meeting, participant, join).await?;
        let sid = member.sid().clone();
        self.end_prompt();
        self.published = [None, None];
        self.place = Place::Inside { member };
        self.show_tracks().await;
        Ok(sid)
    }

    /// Publishes what it sends, and shows as muted what it sends no more.
    async fn show_tracks(&mut self) {
        let Place::Inside { member } = &self.place else { return };
        let peer = self.peer;
        let mut done = member.execute(Command::Connected(peer)).await;
        let mut published = self.published.clone();
        for (kind, track) in [MediaKind::Audio, MediaKind::Video].into_iter().zip(&mut published) {
            let sends = self.format.sends(kind);
            done = done.and(match track {
                Some(track) => {
                    let change = TrackChange::Muted(!sends);
                    member
                        .execute(Command::ChangeTrack { peer, track: track.clone(), change })
                        .await
                }
                None if sends => {
                    let source = match kind {
                        MediaKind::Audio => TrackSource::Microphone,
                        MediaKind::Video => TrackSource::Camera,
                    };
                    self.publish(member, source).await.map(|sid| *track = Some(sid))
                }
                None => Ok(()),
            });
        }
        self.published = published;
        if let Err(error) = done {
            // It was put out, held by a host, or may not publish; it stays as it is then.
            tracing::debug!(%peer, %error, "a room system's tracks");
        }
    }

    async fn publish(
        &self,
        member: &Member,
        source: TrackSource,
    ) -> Result<TrackSid, ExecuteError> {
        let (id, sid) = self.conference.new_track_ids();
        let content = self.content.as_ref().map(Content::format).unwrap_or_default();
        let (name, kind, mime, size) = match source {
            TrackSource::Microphone => ("microphone", MediaKind::Audio, "audio/opus", None),
            TrackSource::ScreenShare => ("screen", MediaKind::Video, "", content.video),
            _ => ("camera", MediaKind::Video, "", self.format.video),
        };
        let info = TrackInfo {
            name: name.to_owned(),
            source,
            mime: mime.to_owned(),
            width: size.map_or(0, |it| it.width),
            height: size.map_or(0, |it| it.height),
            layers: Vec::new(),
            stream: name.to_owned(),
            dtx: false,
            stereo: false,
            red_disabled: true,
            encryption: 0,
        };
        let cid = name.to_owned();
        let request = PublishRequest { id, sid: sid.clone(), cid, kind, info };
        member.execute(Command::Publish { peer: self.peer, request }).await?;
        // There is no media section to wait for: the track can be had at once.
        member.execute(Command::TrackBound { track: id, mid: name.to_owned() }).await?;
        Ok(sid)
    }

    /// Shows others its second picture as its screen. `false`: it is in no meeting, or may not.
    pub async fn share(&mut self) -> bool {
        let (Place::Inside { member }, Some(content)) = (&self.place, &self.content) else {
            return false;
        };
        if content.published.is_some() {
            return true;
        }
        let published = match self.publish(member, TrackSource::ScreenShare).await {
            Ok(sid) => Some(sid),
            Err(error) => {
                tracing::info!(peer = %self.peer, %error, "a room system may not share");
                None
            }
        };
        if let Some(content) = &mut self.content {
            content.published = published;
            // A host may have muted it from the beginning.
            if content.sharing() == Sharing::Own {
                return true;
            }
        }
        self.unshare().await;
        false
    }

    /// Shows its second picture no more.
    pub async fn unshare(&mut self) {
        let Some(track) = self.content.as_mut().and_then(|it| it.published.take()) else { return };
        let Place::Inside { member } = &self.place else { return };
        let done = member.execute(Command::Unpublish { peer: self.peer, track }).await;
        if let Err(error) = done {
            tracing::debug!(peer = %self.peer, %error, "a room system's screen has ended already");
        }
    }

    /// Whether others' screens may be sent to it now, as floor control of its side has it.
    pub fn let_content_out(&mut self, open: bool) {
        if let Some(content) = &mut self.content
            && content.open(open)
            && let Place::Inside { member } = &self.place
        {
            member.change_content(content.peer, content.format());
        }
    }

    fn update_content(&mut self, agreed: LegContent) {
        let Some(content) = &mut self.content else { return };
        let (peer, media) = (content.peer, Box::new(agreed.media));
        self.shard.send(sfu::Command::UpdateLeg { peer, media });
        content.agree(agreed.format, agreed.open);
        if let Place::Inside { member } = &self.place {
            member.change_content(peer, content.format());
        }
    }

    /// The media were negotiated anew.
    pub async fn update(&mut self, media: LegMedia, format: LegFormat, content: LegContent) {
        let media = Box::new(media);
        self.shard.send(sfu::Command::UpdateLeg { peer: self.peer, media });
        self.update_content(content);
        let held = std::mem::replace(&mut self.format, format).is_hold();
        self.end_prompt();
        if let Place::Inside { member } = &self.place {
            member.change_leg(format);
        }
        self.show_tracks().await;
        if format.is_hold() != held {
            // An empty value takes the attribute away.
            self.set_attributes([(ON_HOLD, if held { "" } else { "true" })]).await;
        }
    }

    /// Tells the meeting how its call stands, in LiveKit's word for it, such as `ringing`.
    pub async fn set_status(&self, status: &str) {
        self.set_attributes([(CALL_STATUS_ATTRIBUTE, status)]).await;
    }

    /// Tells the meeting that its call was answered: its `Call-ID`, and what is spoken in it.
    pub async fn answered(&self, call: &str, codecs: &str) {
        let attributes = [
            (CALL_STATUS_ATTRIBUTE, "active"),
            ("sip.callID", call),
            (CALL_ID_ATTRIBUTE, call),
            (CODECS_ATTRIBUTE, codecs),
        ];
        self.set_attributes(attributes).await;
    }

    /// Tells the meeting whether its camera can be steered.
    pub async fn set_camera(&self, steered: bool) {
        self.set_attributes([(CAMERA, if steered { "true" } else { "" })]).await;
    }

    async fn set_attributes<const N: usize>(&self, attributes: [(&str, &str); N]) {
        let Place::Inside { member } = &self.place else { return };
        let attributes =
            attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect();
        let change = MemberChange { attributes, ..MemberChange::default() };
        let identity = member.identity().clone();
        let command = Command::UpdateMember { identity, change, permissions: None };
        if let Err(error) = member.execute(command).await {
            tracing::debug!(%error, "the state of a call is not shown");
        }
    }

    /// Writes over the picture that it gets in its meeting, a line for each language; `None`: nothing
    /// any more.
    pub fn write_over(&self, message: Option<String>) {
        if let Place::Inside { member } = &self.place {
            member.meeting().write_over(self.peer, message);
        }
    }

    /// The meeting that it is in.
    pub fn meeting(&self) -> Option<&MeetingHandle> {
        match &self.place {
            Place::Inside { member } => Some(member.meeting()),
            Place::Outside { .. } => None,
        }
    }

    /// The room system asked for a key frame in its signalling.
    pub fn needs_key_frame(&self) {
        match &self.place {
            Place::Outside { prompt } => {
                prompt.iter().for_each(|it| it.bridge.request_keyframe(PICTURE));
            }
            Place::Inside { member } => member.leg_needs_key_frame(),
        }
    }

    /// It stands outside again, with its media.
    fn move_out(&mut self) {
        self.link.set(None);
        if let Some(content) = &mut self.content {
            content.move_out();
        }
        let place = std::mem::replace(&mut self.place, Place::Outside { prompt: None });
        if let Place::Inside { mut member } = place {
            // It was taken out already.
            member.left = true;
        }
    }

    /// What happens next; after [`LegEvent::Lost`] or [`LegEvent::Out`] nothing does, unless it was
    /// moved to the lobby: then it stands outside, as in the beginning.
    pub async fn next_event(&mut self) -> LegEvent {
        loop {
            let raw = match &mut self.place {
                Place::Outside { .. } => self.events.recv().await,
                Place::Inside { member } => tokio::select! {
                    raw = self.events.recv() => raw,
                    sharing = changed(&mut self.content) => return LegEvent::Sharing(sharing),
                    event = member.next_event() => match event {
                        Some(MemberEvent::Notice(Notice::Left(reason))) => {
                            if reason == LeaveReason::MovedToLobby {
                                self.move_out();
                            }
                            return LegEvent::Out(reason);
                        }
                        Some(_) => continue,
                        None => return LegEvent::Out(LeaveReason::ServerStops),
                    },
                },
            };
            match raw {
                Some(RawEvent::Key(key)) => return LegEvent::Key(key),
                Some(RawEvent::HeardKey(key)) => return LegEvent::HeardKey(key),
                Some(RawEvent::Flows(track, codec)) => self.hear_voice(track, codec),
                Some(RawEvent::BySignalling) => return LegEvent::KeyFrameBySignalling,
                Some(RawEvent::NeedsKeyFrame) => self.needs_key_frame(),
                None => return LegEvent::Lost,
            }
        }
    }

    /// Why its media have no keys, where they were lost to that.
    pub fn unkeyed(&self) -> Option<HandshakeError> {
        self.unkeyed.get().copied()
    }

    /// Takes it out.
    pub fn leave(mut self, reason: LeaveReason) {
        let place = std::mem::replace(&mut self.place, Place::Outside { prompt: None });
        if let Place::Inside { member } = place {
            self.ended = true;
            member.leave(reason);
        }
    }
}

async fn changed(content: &mut Option<Content>) -> Sharing {
    match content {
        Some(content) => content.changed().await,
        None => std::future::pending().await,
    }
}

impl Drop for Leg {
    fn drop(&mut self) {
        if let Some(content) = &self.content {
            self.shard.send(sfu::Command::RemovePeer(content.peer));
        }
        // A member that is in takes its media along when it is dropped.
        if !self.ended && matches!(self.place, Place::Outside { .. }) {
            self.shard.send(sfu::Command::RemovePeer(self.peer));
        }
    }
}

const TILE: SourceId = SourceId(0);
const VOICE: SourceId = SourceId(3);
/// Of the room system itself.
const OWN_VOICE: SourceId = SourceId(4);
/// The prompt's tap of that voice: there is one prompt, so one number does.
const VOICE_TAP: u64 = 1;
const PICTURE: SinkId = SinkId(1);
const SOUND: SinkId = SinkId(2);

/// The meeting's actor, while the leg is in.
#[derive(Clone, Default)]
pub(crate) struct Link(Arc<RwLock<Option<mpsc::UnboundedSender<ActorMessage>>>>);

impl Link {
    pub(crate) fn set(&self, actor: Option<mpsc::UnboundedSender<ActorMessage>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = actor;
    }

    /// Whether there was a meeting to tell.
    pub(crate) fn tell(&self, peer: PeerId, event: PeerEvent) -> Result<(), PeerEvent> {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Some(actor) => {
                let _ = actor.send(ActorMessage::Peer { peer, event });
                Ok(())
            }
            None => Err(event),
        }
    }
}

/// Who hears of keys that were heard in a leg's sound.
#[derive(Clone)]
pub(crate) struct Keys(mpsc::WeakSender<RawEvent>);

impl Keys {
    /// A key is lost where the owner is behind, or gone.
    pub(crate) fn tell(&self, key: char) {
        if let Some(owner) = self.0.upgrade() {
            let _ = owner.try_send(RawEvent::HeardKey(key));
        }
    }
}

/// Events of a leg for its owner; when it ends, their sender is dropped.
#[derive(Debug)]
pub(crate) enum RawEvent {
    Key(char),
    HeardKey(char),
    /// What it sends, before a meeting, is of this codec.
    Flows(TrackId, Codec),
    BySignalling,
    NeedsKeyFrame,
}

/// Sorts a leg's events: the rules' to the meeting, if it is in one, the rest to its owner.
struct LegSorter {
    link: Link,
    adapter: mpsc::Sender<RawEvent>,
    unkeyed: Arc<OnceLock<HandshakeError>>,
}

impl PeerEvents for LegSorter {
    fn event(&mut self, peer: PeerId, event: PeerEvent) {
        if let PeerEvent::Closed(CloseReason::Unkeyed(reason)) = event {
            let _ = self.unkeyed.set(reason);
        }
        let raw = match event {
            PeerEvent::Tone(tone) => Some(RawEvent::Key(tone.digit)),
            PeerEvent::KeyFrameBySignalling => Some(RawEvent::BySignalling),
            event => match self.link.tell(peer, event) {
                Err(PeerEvent::LegNeedsKeyFrame) => Some(RawEvent::NeedsKeyFrame),
                Err(PeerEvent::TrackFlows { track, codec }) => Some(RawEvent::Flows(track, codec)),
                Ok(()) | Err(_) => None,
            },
        };
        if let Some(raw) = raw
            && self.adapter.try_send(raw).is_err()
        {
            tracing::debug!(%peer, "an event of a leg is dropped: its owner is behind");
        }
    }
}

impl Conference {
    /// Ports for a room system on the shard of a meeting.
    ///
    /// # Errors
    /// [`JoinError::Stopping`], and [`JoinError::NoPorts`] where all are taken.
    pub fn seat_leg(&self, meeting: &MeetingId) -> Result<LegSeat, JoinError> {
        let settings = self.directory().find(meeting).ok_or(JoinError::NoSuchMeeting)?;
        if settings.e2ee {
            return Err(JoinError::Refused(Refusal::NotEncrypted));
        }
        let bandwidth = settings.bandwidth;
        self.seat(self.place_of(meeting), bandwidth)
    }

    /// A port among those of legs, for what is no media of theirs; it does not block.
    ///
    /// # Errors
    /// [`JoinError::NoPorts`]: all are taken.
    pub fn bind_control(&self) -> Result<std::net::UdpSocket, JoinError> {
        self.ports().bind_one().map_err(|error| {
            tracing::warn!(%error, "a camera is not steered");
            JoinError::NoPorts
        })
    }

    /// Ports for a leg of which nobody knows yet into which meeting it goes: it may have to sit down
    /// elsewhere then ([`Leg::can_join`]).
    ///
    /// # Errors
    /// As [`Self::seat_leg`].
    pub fn seat_visitor(&self) -> Result<LegSeat, JoinError> {
        let count = self.shards().len().max(1) as u64;
        self.seat((self.next_id() % count) as usize, None)
    }

    fn seat(&self, place: usize, bandwidth: Option<Bandwidth>) -> Result<LegSeat, JoinError> {
        let (peer, shard) = self.new_peer(place)?;
        let sockets = self.ports().bind_leg().map_err(|error| {
            tracing::error!(%error, "a room system cannot be taken");
            JoinError::NoPorts
        })?;
        let (conference, content) = (self.clone(), None);
        Ok(LegSeat { conference, peer, shard, place, sockets, content, bandwidth })
    }
}
