//! A room system in a meeting: what it gets of the bridge, and how others get what it sends.

use mcu::{AudioSinkOptions, Bridge, Layout, SinkId, SourceId, VideoFormat};
use room::{Command, ParticipantView, TrackView};
use rtp::lane::lane;
use sfu::transport::plain::PictureLimits;
use sfu::{LegPath, Origin, ShardHandle};
use tokio::sync::watch;
use types::{AudioCodec, Codec, LegLayout, MediaKind, PeerId, TrackId, VideoCodec};

use super::rate::Rate;
use super::source::{VIDEO_LANE, Wiring, is_screen, of_peer, of_track};
use crate::leg::Keys;

/// Packets of sound in a lane to a shard.
const AUDIO_LANE: usize = 64;
/// Bits a second of the Opus that browsers get of a room system: a mono voice, and music.
const VOICE_BITRATE: u32 = 48_000;

/// What a room system takes: agreed in its negotiation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegFormat {
    /// Sound that it gets; `None` for none.
    pub audio: Option<LegAudio>,
    /// The picture that it gets; `None` for none.
    pub video: Option<VideoFormat>,
    /// Whether it sends sound now.
    pub sends_audio: bool,
    /// Whether it sends a picture now.
    pub sends_video: bool,
    /// Whether keys of its remote control can come in its sound alone.
    pub tones_in_sound: bool,
}

impl LegFormat {
    /// Whether it sends this kind now.
    pub const fn sends(&self, kind: MediaKind) -> bool {
        match kind {
            MediaKind::Audio => self.sends_audio,
            MediaKind::Video => self.sends_video,
        }
    }

    /// Whether it wants nothing and sends nothing: it has put the meeting on hold.
    pub(crate) const fn is_hold(&self) -> bool {
        self.audio.is_none() && self.video.is_none() && !self.sends_audio && !self.sends_video
    }
}

/// Sound for a room system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegAudio {
    /// The codec.
    pub codec: AudioCodec,
    /// Milliseconds a packet.
    pub ptime: u32,
    /// Bits a second at most, for Opus.
    pub opus_bitrate: u32,
}

/// Who shows a screen, as a room system with a second picture hears it: the floor follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody.
    #[default]
    Nobody,
    /// The room system itself, after all others.
    Own,
    /// Somebody else.
    Others,
}

/// The second picture of a room system, which is a leg of its own.
struct Content {
    /// The leg with which the room system joined.
    of: PeerId,
    sharing: watch::Sender<Sharing>,
    /// Nobody else shows a screen: it gets nothing.
    idle: bool,
}

/// Numbers for sinks, never used twice in a bridge.
#[derive(Debug, Default)]
pub(super) struct SinkIds(u64);

impl SinkIds {
    fn next(&mut self) -> SinkId {
        self.0 += 1;
        SinkId(self.0)
    }
}

/// How a public track comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    Forwarded(TrackId, Codec),
    Transcoded(TrackId, Codec),
}

pub(super) struct Leg {
    peer: PeerId,
    /// Who hears of keys in its voice.
    keys: Option<Keys>,
    /// `None` for what it joined with.
    content: Option<Content>,
    /// It gets shared screens as a second picture, or wants none, so that the first is without them.
    no_screens: bool,
    voice: Raw<AudioCodec>,
    picture: Raw<VideoCodec>,
    forwardable: Option<bool>,
    format: LegFormat,
    rate: Rate,
    view: View,
    layout: Layout,
    /// What stands over its picture now.
    message: Option<String>,
    audio_sink: SinkId,
    video_sink: SinkId,
    audio_transcode: SinkId,
    video_transcode: SinkId,
    audio_path: Option<Path>,
    video_path: Option<Path>,
    gates: [bool; 2],
}

/// How the picture that the room system gets comes about.
#[derive(Debug, Default)]
struct View {
    /// What the `mcu` makes.
    made: Option<VideoFormat>,
    /// What it is to get untouched, or gets already, and under which limits.
    untouched: Option<(TrackId, VideoFormat)>,
    /// What turned out not to be for it.
    unfit: Option<(TrackId, VideoFormat)>,
}

/// What comes from the room system, as it comes.
struct Raw<C> {
    track: TrackId,
    codec: Option<C>,
}

impl Leg {
    pub(super) fn new(peer: PeerId, [audio, video]: [TrackId; 2], sinks: &mut SinkIds) -> Self {
        Self {
            peer,
            keys: None,
            content: None,
            no_screens: false,
            voice: Raw { track: audio, codec: None },
            picture: Raw { track: video, codec: None },
            forwardable: None,
            format: LegFormat::default(),
            rate: Rate::default(),
            view: View::default(),
            layout: Layout::Grid,
            message: None,
            audio_sink: sinks.next(),
            video_sink: sinks.next(),
            audio_transcode: sinks.next(),
            video_transcode: sinks.next(),
            audio_path: None,
            video_path: None,
            gates: [true; 2],
        }
    }

    /// The second picture of the room system that joined as `of`, which hears who shows a screen.
    pub(super) fn content(
        peer: PeerId,
        tracks: [TrackId; 2],
        sinks: &mut SinkIds,
        of: PeerId,
        sharing: watch::Sender<Sharing>,
    ) -> Self {
        let content = Some(Content { of, sharing, idle: true });
        Self { content, ..Self::new(peer, tracks, sinks) }
    }

    /// The leg with which its room system joined.
    pub(super) fn owner(&self) -> PeerId {
        self.content.as_ref().map_or(self.peer, |it| it.of)
    }

    /// Whether it is the second picture of whoever joined as `owner`.
    pub(super) fn is_content_of(&self, owner: PeerId) -> bool {
        self.content.as_ref().is_some_and(|it| it.of == owner)
    }

    /// The room system that gets shared screens by this leg.
    pub(super) fn gets_screens(&self) -> Option<PeerId> {
        self.content.as_ref().filter(|_| self.format.video.is_some()).map(|it| it.of)
    }

    /// Whether a track of its room system comes by this leg.
    fn brings(&self, track: &TrackView) -> bool {
        is_screen(track) == self.content.is_some()
    }

    /// Whether what comes by it is muted.
    pub(super) fn is_muted(&self, me: &ParticipantView, kind: MediaKind) -> bool {
        me.tracks.iter().any(|it| it.kind == kind && self.brings(it) && it.muted)
    }

    /// What the `mcu` calls its picture, which the meeting knows as `public`.
    fn shown_as(&self, public: TrackId) -> SourceId {
        if self.content.is_some() { of_track(public) } else { of_peer(self.peer) }
    }

    /// Who has shared a screen last, and which screen there is to see.
    pub(super) fn follow_screen(
        &mut self,
        sharer: Option<PeerId>,
        screen: Option<SourceId>,
        bridge: &Bridge,
        shard: &ShardHandle,
    ) {
        let Some(content) = &mut self.content else { return };
        let sharing = match sharer {
            None => Sharing::Nobody,
            Some(peer) if peer == content.of => Sharing::Own,
            Some(_) => Sharing::Others,
        };
        content.sharing.send_if_modified(|told| std::mem::replace(told, sharing) != sharing);
        let screen = screen.filter(|_| sharing == Sharing::Others);
        let turns = std::mem::replace(&mut content.idle, screen.is_none()) != screen.is_none();
        if let Some(screen) = screen {
            self.arrange(Layout::Single(screen), bridge);
        }
        if turns {
            self.compose(bridge, shard);
        }
    }

    /// The screen that it is to get.
    pub(super) fn screen(&self) -> Option<SourceId> {
        match (&self.content, self.layout) {
            (Some(Content { idle: false, .. }), Layout::Single(screen)) => Some(screen),
            _ => None,
        }
    }

    /// Leaves shared screens out of its picture, or not.
    pub(super) fn hide_screens(&mut self, hide: bool, bridge: &Bridge) {
        if std::mem::replace(&mut self.no_screens, hide) != hide {
            bridge.hide_screens(self.video_sink, hide);
        }
    }

    /// Its voice, once it flows.
    pub(super) fn voice(&self) -> Option<(TrackId, AudioCodec)> {
        self.voice.codec.map(|codec| (self.voice.track, codec))
    }

    /// This one hears of keys in its voice.
    pub(super) fn tell_keys(&mut self, keys: Keys) {
        self.keys = Some(keys);
    }

    /// A key of its remote control was heard in its voice.
    pub(super) fn hears_key(&self, key: char) {
        if let Some(keys) = &self.keys {
            keys.tell(key);
        }
    }

    /// Its picture, once it flows.
    pub(super) fn picture(&self) -> Option<(TrackId, VideoCodec)> {
        self.picture.codec.map(|codec| (self.picture.track, codec))
    }

    /// Makes for it what it takes, from now on.
    pub(super) fn set_format(&mut self, format: LegFormat, bridge: &Bridge, shard: &ShardHandle) {
        let before = std::mem::replace(&mut self.format, format);
        let (peer, own) = (self.peer, Some(of_peer(self.peer)));
        if before.tones_in_sound != format.tones_in_sound {
            bridge.listen_for_tones(of_peer(peer), format.tones_in_sound);
        }
        if before.audio != format.audio {
            bridge.remove_sink(self.audio_sink);
            if let Some(LegAudio { codec, ptime, opus_bitrate }) = format.audio {
                let (tx, rx) = lane(AUDIO_LANE, shard.bell());
                let number = Codec::Audio(codec).number();
                let options = AudioSinkOptions { ptime, opus_bitrate, format: number };
                bridge.add_audio_sink(self.audio_sink, codec, own, options, tx);
                let kind = MediaKind::Audio;
                shard.send(sfu::Command::FeedLeg { peer, kind, lane: rx });
            }
        }
        if before.video != format.video {
            self.rate = Rate::default();
            // Whether it still fits is another question now.
            self.end_untouched(shard);
            self.compose(bridge, shard);
        }
    }

    /// The room system says how its picture comes through. Whether that is news for what it sees:
    /// what comes from a browser untouched has the browser's rate.
    pub(super) fn hears_of_path(
        &mut self,
        news: LegPath,
        bridge: &Bridge,
        shard: &ShardHandle,
    ) -> bool {
        let Some(VideoFormat { bitrate, .. }) = self.format.video else { return false };
        let was_free = self.rate.is_free(bitrate);
        if !self.rate.hear(news, bitrate) {
            return false;
        }
        tracing::debug!(peer = %self.peer, bits = self.rate.of(bitrate), "the rate follows the path");
        if self.view.made.is_some() {
            self.compose(bridge, shard);
        }
        was_free != self.rate.is_free(bitrate)
    }

    /// The picture that it takes, as much of it as comes through.
    fn picture_now(&self) -> Option<VideoFormat> {
        let idle = self.content.as_ref().is_some_and(|it| it.idle);
        let format = self.format.video.filter(|_| !idle)?;
        Some(VideoFormat { bitrate: self.rate.of(format.bitrate), ..format })
    }

    /// Lets the `mcu` make the picture that it takes.
    fn compose(&mut self, bridge: &Bridge, shard: &ShardHandle) {
        let now = self.picture_now();
        let before = std::mem::replace(&mut self.view.made, now);
        match (before, now) {
            (before, after) if before == after => {}
            (Some(before), Some(after)) if before.codec == after.codec => {
                bridge.change_video_sink(self.video_sink, after, self.layout);
            }
            (_, after) => {
                bridge.remove_sink(self.video_sink);
                if let Some(format) = after {
                    let (tx, rx) = lane(VIDEO_LANE, shard.bell());
                    let number = Codec::Video(format.codec).number();
                    let own = Some(of_peer(self.peer));
                    metrics::counter!("plenum_leg_view_total", "path" => "composed").increment(1);
                    bridge.add_video_sink(self.video_sink, format, own, self.layout, number, tx);
                    bridge.hide_screens(self.video_sink, self.no_screens);
                    bridge.set_message(self.video_sink, self.message.as_deref());
                    let (peer, kind) = (self.peer, MediaKind::Video);
                    shard.send(sfu::Command::FeedLeg { peer, kind, lane: rx });
                }
            }
        }
    }

    /// One source alone that it can decode goes to it untouched: `alone` is the only picture that
    /// there is for it to see.
    pub(super) fn follow_view(
        &mut self,
        alone: Option<(TrackId, VideoCodec)>,
        bridge: &Bridge,
        shard: &ShardHandle,
    ) {
        let fits = |(track, codec): (TrackId, VideoCodec)| {
            let format = self.format.video.filter(|it| it.codec == codec)?;
            Some((track, format)).filter(|it| self.view.unfit != Some(*it))
        };
        let wish = alone.and_then(fits).filter(|it| self.rate.is_free(it.1.bitrate));
        // Nothing can be written over what goes to it untouched.
        let wish = wish.filter(|_| self.message.is_none());
        if wish == self.view.untouched {
            return;
        }
        self.end_untouched(shard);
        self.view.untouched = wish;
        let Some((track, VideoFormat { width, height, fps, bitrate, single_nal, .. })) = wish
        else {
            return self.compose(bridge, shard);
        };
        let limits = PictureLimits { width, height, fps, bitrate, single_nal };
        shard.send(sfu::Command::FeedLegTrack { peer: self.peer, track, limits });
    }

    fn end_untouched(&mut self, shard: &ShardHandle) {
        if self.view.untouched.take().is_some() {
            shard.send(sfu::Command::EndLegTrack(self.peer));
        }
    }

    /// The track that it gets untouched, and the size that it takes.
    pub(super) fn untouched(&self) -> Option<(TrackId, [u32; 2])> {
        self.view.untouched.map(|(track, format)| (track, [format.width, format.height]))
    }

    /// It gets a track untouched, and the shard reads its lane no more.
    pub(super) fn is_forwarded(&mut self, track: TrackId, bridge: &Bridge, shard: &ShardHandle) {
        bridge.remove_sink(self.video_sink);
        self.view.made = None;
        metrics::counter!("plenum_leg_view_total", "path" => "forwarded").increment(1);
        tracing::info!(peer = %self.peer, %track, "a room system gets a picture untouched");
        if self.view.untouched.is_none() {
            // That has changed since.
            self.compose(bridge, shard);
        }
    }

    /// A track is not for it as it is.
    pub(super) fn is_unfit(&mut self, track: TrackId, bridge: &Bridge, shard: &ShardHandle) {
        if let Some(unfit) = self.view.untouched.take_if(|it| it.0 == track) {
            tracing::info!(peer = %self.peer, %track, "a picture is composed: it exceeds the call");
            self.view.unfit = Some(unfit);
            self.compose(bridge, shard);
        }
    }

    /// Arranges others so in its picture, which goes on.
    pub(super) fn set_layout(&mut self, layout: LegLayout, bridge: &Bridge) {
        let layout = match layout {
            LegLayout::Grid => Layout::Grid,
            LegLayout::Speaker => Layout::Speaker,
        };
        self.arrange(layout, bridge);
    }

    fn arrange(&mut self, layout: Layout, bridge: &Bridge) {
        if std::mem::replace(&mut self.layout, layout) != layout
            && let Some(format) = self.view.made
        {
            bridge.change_video_sink(self.video_sink, format, layout);
        }
    }

    /// Writes over its picture; `None`: nothing any more. What goes to it untouched has to be composed
    /// for that, by [`Self::follow_view`].
    pub(super) fn set_message(&mut self, message: Option<String>, bridge: &Bridge) {
        self.message = message;
        bridge.set_message(self.video_sink, self.message.as_deref());
    }

    /// Whether that is news.
    pub(super) fn flows(&mut self, track: TrackId, codec: Codec) -> bool {
        match codec {
            Codec::Audio(codec) if track == self.voice.track => {
                self.voice.codec.replace(codec) != Some(codec)
            }
            Codec::Video(codec) if track == self.picture.track => {
                self.picture.codec.replace(codec) != Some(codec)
            }
            _ => false,
        }
    }

    /// Whether that is news.
    pub(super) fn set_forwardable(&mut self, yes: bool) -> bool {
        self.forwardable.replace(yes) != Some(yes)
    }

    /// The room system lost the picture that it gets.
    pub(super) fn needs_key_frame(&self, bridge: &Bridge, shard: &ShardHandle) {
        if self.view.made.is_some() {
            bridge.request_keyframe(self.video_sink);
        } else {
            shard.send(sfu::Command::LegLostTrack(self.peer));
        }
    }

    /// Who gets a public track that is made needs a key frame.
    pub(super) fn public_needs_key_frame(&self, track: TrackId, bridge: &Bridge) {
        if matches!(self.video_path, Some(Path::Transcoded(public, _)) if public == track) {
            bridge.request_keyframe(self.video_transcode);
        }
    }

    /// Lets its public tracks come from where they should, and nothing out of it that is muted.
    pub(super) fn follow(
        &mut self,
        me: &ParticipantView,
        browsers: bool,
        Wiring { bridge, shard }: &Wiring<'_>,
        commands: &mut Vec<Command>,
    ) {
        if let Some(layout) = me.layout().filter(|_| self.content.is_none()) {
            self.set_layout(layout, bridge);
        }
        for track in me.tracks.iter().filter(|it| self.brings(it)).collect::<Vec<_>>() {
            match track.kind {
                MediaKind::Audio if browsers => {
                    self.follow_audio(track.id, bridge, shard, commands);
                }
                MediaKind::Audio => self.end_transcoded_audio(bridge),
                MediaKind::Video => self.follow_video(track.id, bridge, shard, commands),
            }
        }
        self.forget_ended(me, bridge);
        let open = [MediaKind::Audio, MediaKind::Video].map(|kind| !self.is_muted(me, kind));
        let tracks = [self.voice.track, self.picture.track];
        for ((track, open), gate) in tracks.into_iter().zip(open).zip(&mut self.gates) {
            if std::mem::replace(gate, open) != open {
                shard.send(sfu::Command::SetGate { track, open });
            }
        }
    }

    /// A screen that is shared no more is not made any more.
    fn forget_ended(&mut self, me: &ParticipantView, bridge: &Bridge) {
        let is_there = |public: TrackId| me.tracks.iter().any(|it| it.id == public);
        let ended = self.video_path.take_if(|path| {
            let (Path::Forwarded(public, _) | Path::Transcoded(public, _)) = *path;
            !is_there(public)
        });
        if let Some(Path::Transcoded(..)) = ended {
            bridge.remove_sink(self.video_transcode);
        }
    }

    fn follow_audio(
        &mut self,
        public: TrackId,
        bridge: &Bridge,
        shard: &ShardHandle,
        commands: &mut Vec<Command>,
    ) {
        let Some(_) = self.voice.codec else { return };
        let opus = Codec::Audio(AudioCodec::Opus);
        let path = Path::Transcoded(public, opus);
        if self.audio_path.replace(path) == Some(path) {
            return;
        }
        let (tx, rx) = lane(AUDIO_LANE, shard.bell());
        let options = AudioSinkOptions {
            opus_bitrate: VOICE_BITRATE,
            format: opus.number(),
            ..AudioSinkOptions::default()
        };
        bridge.add_audio_transcode(of_peer(self.peer), self.audio_transcode, options, tx);
        shard.send(sfu::Command::SetOrigin { track: public, origin: Origin::Lane(rx) });
        commands.push(Command::TrackFlows { track: public, mime: opus.mime().to_owned() });
    }

    /// Nobody is there for whom its voice would be encoded anew: rooms hear it in their mix. (A
    /// picture is made all the same: one that begins late might wait for a key frame for ever.)
    fn end_transcoded_audio(&mut self, bridge: &Bridge) {
        if self.audio_path.take().is_some() {
            bridge.remove_sink(self.audio_transcode);
        }
    }

    fn follow_video(
        &mut self,
        public: TrackId,
        bridge: &Bridge,
        shard: &ShardHandle,
        commands: &mut Vec<Command>,
    ) {
        let Some(codec) = self.picture.codec else { return };
        let path = match (codec, self.forwardable) {
            (VideoCodec::H264, None) => return,
            (_, Some(false)) => Path::Transcoded(public, Codec::Video(VideoCodec::Vp8)),
            (codec, _) => Path::Forwarded(public, Codec::Video(codec)),
        };
        let before = self.video_path.replace(path);
        if before == Some(path) {
            return;
        }
        let (origin, made) = match path {
            Path::Forwarded(_, codec) => {
                if matches!(before, Some(Path::Transcoded(..))) {
                    bridge.remove_sink(self.video_transcode);
                }
                metrics::counter!("plenum_leg_video_total", "path" => "forwarded").increment(1);
                (Origin::Track(self.picture.track), codec)
            }
            Path::Transcoded(_, made) => {
                let (tx, rx) = lane(VIDEO_LANE, shard.bell());
                let layout = Layout::Single(self.shown_as(public));
                let format = self.transcode_format();
                bridge.add_video_sink(
                    self.video_transcode,
                    format,
                    None,
                    layout,
                    made.number(),
                    tx,
                );
                metrics::counter!("plenum_leg_video_total", "path" => "transcoded").increment(1);
                (Origin::Lane(rx), made)
            }
        };
        tracing::info!(peer = %self.peer, ?path, "a room system's picture goes to browsers");
        shard.send(sfu::Command::SetOrigin { track: public, origin });
        commands.push(Command::TrackFlows { track: public, mime: made.mime().to_owned() });
    }

    /// For browsers that cannot take what it sends: VP8, which all of them take, in the size that
    /// the room system itself was given.
    fn transcode_format(&self) -> VideoFormat {
        const PLAIN: VideoFormat = VideoFormat {
            codec: VideoCodec::Vp8,
            width: 1280,
            height: 720,
            fps: 30,
            bitrate: 1_500_000,
            single_nal: false,
        };
        self.format.video.map_or(PLAIN, |it| VideoFormat {
            codec: VideoCodec::Vp8,
            single_nal: false,
            ..it
        })
    }

    /// Takes it off the bridge, while its media go on elsewhere.
    pub(super) fn move_out(&mut self, bridge: &Bridge, shard: &ShardHandle) {
        self.end_untouched(shard);
        self.end(bridge);
        for track in [self.voice.track, self.picture.track] {
            shard.send(sfu::Command::Unpublish(track));
        }
    }

    pub(super) fn end(&self, bridge: &Bridge) {
        let all = [self.audio_sink, self.video_sink, self.audio_transcode, self.video_transcode];
        for sink in all {
            bridge.remove_sink(sink);
        }
        bridge.listen_for_tones(of_peer(self.peer), false);
    }
}
