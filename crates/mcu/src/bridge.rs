//! The handle of one meeting's bridge.

use std::collections::HashMap;
use std::fmt;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ::types::{AudioCodec, VideoCodec};
use rtp::lane::{LaneRx, LaneTx, Wake};

use crate::audio::{AudioBridge, AudioCommand};
use crate::scheduler::{LaneBell, Scheduler};
use crate::types::{
    AudioSinkOptions, BridgeStats, Counters, Events, Layout, SinkId, SourceId, VideoFormat,
};
use crate::video::VideoControl;

/// One meeting's bridge. Its methods are commands: none is lost, none blocks for longer than it
/// takes to note it. Dropping it ends everything of it.
pub struct Bridge {
    label: String,
    audio: Sender<AudioCommand>,
    video: Mutex<VideoControl>,
    bells: Mutex<HashMap<SourceId, Arc<LaneBell>>>,
    counters: Arc<Counters>,
}

impl Bridge {
    pub(crate) fn new(
        label: &str,
        epoch: Instant,
        scheduler: Arc<Scheduler>,
        events: Arc<dyn Events>,
        counters: Arc<Counters>,
    ) -> (Self, AudioBridge) {
        let (audio, commands) = mpsc::channel();
        let core = AudioBridge::new(commands, events.clone(), counters.clone());
        let video = VideoControl::new(epoch, scheduler, events, counters.clone());
        let bridge = Self {
            label: label.to_owned(),
            audio,
            video: Mutex::new(video),
            bells: Mutex::default(),
            counters,
        };
        (bridge, core)
    }

    fn video(&self) -> MutexGuard<'_, VideoControl> {
        self.video.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, command: AudioCommand) {
        // Fails only after the `Mcu` has been dropped, when nothing matters any more.
        let _ = self.audio.send(command);
    }

    /// What the lane of `source`'s video has to ring: make the lane with it, then give its end to
    /// [`Self::add_video_source`]. Lanes of sound ring nobody: they are looked at every 20 ms, and
    /// [`Self::silent_bell`] is for them.
    pub fn video_bell(&self, source: SourceId) -> Arc<dyn Wake + Send + Sync> {
        let bell = Arc::new(LaneBell::default());
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        bells.insert(source, bell.clone());
        bell
    }

    /// A bell that wakes nobody.
    pub fn silent_bell() -> Arc<dyn Wake + Send + Sync> {
        Arc::new(LaneBell::default())
    }

    /// A voice. It replaces the source's voice before.
    pub fn add_audio_source(&self, source: SourceId, codec: AudioCodec, lane: LaneRx) {
        self.tell(AudioCommand::AddSource(source, codec, lane));
    }

    /// A listener to the mix of all voices but `exclude`.
    pub fn add_audio_sink(
        &self,
        sink: SinkId,
        codec: AudioCodec,
        exclude: Option<SourceId>,
        options: AudioSinkOptions,
        lane: LaneTx,
    ) {
        self.tell(AudioCommand::AddSink(sink, codec, exclude, options, lane));
    }

    /// A listener to one voice alone, as Opus in packets of 20 ms with its level in every packet.
    /// One encode serves all such listeners of a source.
    pub fn add_audio_transcode(
        &self,
        source: SourceId,
        sink: SinkId,
        options: AudioSinkOptions,
        lane: LaneTx,
    ) {
        self.tell(AudioCommand::AddTranscode(source, sink, options, lane));
    }

    /// Listens for touch tones in a voice, whether it is there already or not: [`crate::BridgeEvent::Tone`].
    /// For who tells keys in no better way; it costs the decoding of silence, too.
    pub fn listen_for_tones(&self, source: SourceId, listen: bool) {
        self.tell(AudioCommand::ListenForTones(source, listen));
    }

    /// Ends a voice; who listens to it alone hears nothing from then on.
    pub fn remove_audio_source(&self, source: SourceId) {
        self.tell(AudioCommand::RemoveSource(source));
    }

    /// A participant's picture, whose lane was made with [`Self::video_bell`]. It replaces the
    /// source's picture or tile before: what that showed last stays until the new one's first key
    /// frame. AV1 is not decoded: such a source stays a name.
    pub fn add_video_source(&self, source: SourceId, codec: VideoCodec, name: &str, lane: LaneRx) {
        let bell = self.bells.lock().unwrap_or_else(PoisonError::into_inner).remove(&source);
        self.video().add_source(source, codec, name, lane, bell);
    }

    /// A tile with a name, for a participant without a camera. It replaces the source's picture. A
    /// name may have up to three lines.
    pub fn add_tile(&self, source: SourceId, name: &str) {
        self.video().add_tile(source, name);
    }

    /// Changes the name under a participant's picture or on its tile.
    pub fn rename(&self, source: SourceId, name: &str) {
        self.video().rename(source, name);
    }

    /// Shows the name in the place of the picture, or the picture again from its next key frame on.
    pub fn set_video_muted(&self, source: SourceId, muted: bool) {
        self.video().set_muted(source, muted);
    }

    /// Takes a participant's picture or tile away.
    pub fn remove_video_source(&self, source: SourceId) {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner).remove(&source);
        self.video().remove_source(source);
    }

    /// A viewer of the composed picture of everybody but `exclude`. `number` goes into every
    /// packet's `format`.
    pub fn add_video_sink(
        &self,
        sink: SinkId,
        format: VideoFormat,
        exclude: Option<SourceId>,
        layout: Layout,
        number: u8,
        lane: LaneTx,
    ) {
        self.video().add_sink(sink, format, exclude, layout, number, lane);
    }

    /// Changes a viewer's layout or format at work: sequence numbers and timestamps go on, the new
    /// picture begins with a key frame. Where the rate alone changes and nobody shares the encode, it
    /// goes on without one.
    pub fn change_video_sink(&self, sink: SinkId, format: VideoFormat, layout: Layout) {
        self.video().change_sink(sink, format, layout);
    }

    /// Who speaks: large in the speaker layout, and always on a grid that has no room for all. Who
    /// may not see the speaker, since it is their own picture, sees who spoke before.
    pub fn set_speaker(&self, speaker: Option<SourceId>) {
        self.video().set_speaker(speaker);
    }

    /// The sources that are shared screens, and which of them comes before who speaks.
    pub fn set_screens(&self, screens: Vec<SourceId>, foremost: Option<SourceId>) {
        self.video().set_screens(screens, foremost);
    }

    /// Whether a viewer sees no shared screens, since it gets them in another way.
    pub fn hide_screens(&self, sink: SinkId, hide: bool) {
        self.video().hide_screens(sink, hide);
    }

    /// Writes a message over a viewer's picture, of up to three lines, or takes it away. Others do not
    /// see it. Whoever watches alone needs no key frame for it.
    pub fn set_message(&self, sink: SinkId, message: Option<&str>) {
        self.video().set_message(sink, message);
    }

    /// A viewer needs a key frame. Those who share its encode get it too; one a second at most.
    pub fn request_keyframe(&self, sink: SinkId) {
        self.video().request_key(sink);
    }

    /// Ends a listener or viewer.
    pub fn remove_sink(&self, sink: SinkId) {
        self.tell(AudioCommand::RemoveSink(sink));
        self.video().remove_sink(sink);
    }

    /// What has happened so far.
    pub fn stats(&self) -> BridgeStats {
        self.counters.snapshot()
    }
}

impl fmt::Debug for Bridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").field("label", &self.label).finish_non_exhaustive()
    }
}
