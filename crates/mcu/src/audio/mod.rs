//! Sound: everybody's voice is decoded once and mixed every 20 ms; each listener hears the others.

mod level;
mod mixer;
mod playout;
mod sink;
mod source;
mod tones;
mod transcode;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use ::types::AudioCodec;
use rtp::lane::{LaneRx, LaneTx};

use self::mixer::Mixer;
use self::sink::{AudioSink, Encoders};
use self::source::AudioSource;
use self::tones::ToneDetector;
use self::transcode::Transcodes;
use crate::types::{AudioSinkOptions, BridgeEvent, Counters, Events, SinkId, SourceId, count};

/// How often sound is mixed.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// Samples of a tick at 48 kHz.
pub(crate) const FRAME: usize = 960;

/// What a bridge's handle asks of its sound.
pub(crate) enum AudioCommand {
    AddSource(SourceId, AudioCodec, LaneRx),
    AddSink(SinkId, AudioCodec, Option<SourceId>, AudioSinkOptions, LaneTx),
    AddTranscode(SourceId, SinkId, AudioSinkOptions, LaneTx),
    RemoveSource(SourceId),
    RemoveSink(SinkId),
    ListenForTones(SourceId, bool),
}

/// The sound of one bridge.
pub(crate) struct AudioBridge {
    commands: Receiver<AudioCommand>,
    events: Arc<dyn Events>,
    counters: Arc<Counters>,
    sources: BTreeMap<SourceId, AudioSource>,
    /// Whose keys are listened for.
    tones: BTreeMap<SourceId, ToneDetector>,
    sinks: BTreeMap<SinkId, AudioSink>,
    transcodes: Transcodes,
    mixer: Mixer,
    encoders: Encoders,
}

impl AudioBridge {
    pub(crate) fn new(
        commands: Receiver<AudioCommand>,
        events: Arc<dyn Events>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            commands,
            events,
            counters,
            sources: BTreeMap::new(),
            tones: BTreeMap::new(),
            sinks: BTreeMap::new(),
            transcodes: Transcodes::default(),
            mixer: Mixer::default(),
            encoders: Encoders::default(),
        }
    }

    /// Plays 20 ms. `index` numbers the ticks since the program's start: timestamps follow it.
    /// `false`: the bridge's handle is gone, and so should this be.
    pub(crate) fn tick(&mut self, index: u64, now: Instant) -> bool {
        if !self.obey() {
            return false;
        }
        count(&self.counters.audio_ticks);
        for (id, source) in &mut self.sources {
            let tones = self.tones.get_mut(id);
            source.always = tones.is_some() || self.transcodes.has(*id);
            source.play(now, &self.counters);
            if let Some(key) = tones.and_then(|it| it.hear(source.frame())) {
                self.events.event(BridgeEvent::Tone { source: *id, key });
            }
        }
        self.transcodes.tick(index, now, &self.sources, &self.counters);
        self.mixer.begin(&self.sources);
        self.encoders.tick(
            index,
            now,
            &mut self.mixer,
            &self.sources,
            &mut self.sinks,
            &self.counters,
        );
        true
    }

    fn obey(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(AudioCommand::AddSource(id, codec, lane)) => {
                    // The decoder of a codec that is built in can fail for want of memory alone.
                    if let Ok(source) = AudioSource::new(codec, lane) {
                        self.sources.insert(id, source);
                    }
                }
                Ok(AudioCommand::AddSink(id, codec, exclude, options, lane)) => {
                    self.sinks.insert(id, AudioSink::new(id, codec, exclude, options, lane));
                }
                Ok(AudioCommand::AddTranscode(source, sink, options, lane)) => {
                    self.transcodes
                        .add(source, AudioSink::new(sink, AudioCodec::Opus, None, options, lane));
                }
                Ok(AudioCommand::RemoveSource(id)) => {
                    self.sources.remove(&id);
                }
                Ok(AudioCommand::RemoveSink(id)) => {
                    self.sinks.remove(&id);
                    self.transcodes.remove(id);
                }
                Ok(AudioCommand::ListenForTones(id, true)) => {
                    self.tones.entry(id).or_default();
                }
                Ok(AudioCommand::ListenForTones(id, false)) => {
                    self.tones.remove(&id);
                }
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }
}
