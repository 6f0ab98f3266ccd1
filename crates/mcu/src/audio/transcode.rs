//! A leg's voice alone, decoded and encoded once to Opus: for browsers, which mix for themselves.

use std::collections::BTreeMap;
use std::time::Instant;

use ::types::AudioCodec;
use codec::{AudioEncoder, OpusSettings};

use super::sink::{AudioSink, Encoded};
use super::source::AudioSource;
use crate::clock::CaptureClock;
use crate::types::{Counters, SinkId, SourceId, count};

/// All transcodes of a bridge, by source: one encode each, with the first sink's rate.
#[derive(Default)]
pub(super) struct Transcodes {
    by_source: BTreeMap<SourceId, Transcode>,
}

struct Transcode {
    encoder: Option<AudioEncoder>,
    sinks: Vec<AudioSink>,
    capture: CaptureClock,
    sending: bool,
}

impl Transcodes {
    pub(super) fn add(&mut self, source: SourceId, sink: AudioSink) {
        let transcode = self.by_source.entry(source).or_insert_with(|| {
            let settings =
                OpusSettings { bitrate: sink.options.opus_bitrate, ..OpusSettings::default() };
            Transcode {
                encoder: AudioEncoder::new(AudioCodec::Opus, settings).ok(),
                sinks: Vec::new(),
                capture: CaptureClock::default(),
                sending: false,
            }
        });
        transcode.sinks.push(sink);
    }

    pub(super) fn remove(&mut self, sink: SinkId) {
        for transcode in self.by_source.values_mut() {
            transcode.sinks.retain(|s| s.id != sink);
        }
        self.by_source.retain(|_, transcode| !transcode.sinks.is_empty());
    }

    pub(super) fn has(&self, source: SourceId) -> bool {
        self.by_source.contains_key(&source)
    }

    /// Sends what each source has played in this tick; nothing while it plays nothing.
    pub(super) fn tick(
        &mut self,
        tick: u64,
        now: Instant,
        sources: &BTreeMap<SourceId, AudioSource>,
        counters: &Counters,
    ) {
        for (id, transcode) in &mut self.by_source {
            let source = sources.get(id).filter(|source| !source.frame().is_empty());
            let (Some(source), Some(encoder)) = (source, transcode.encoder.as_mut()) else {
                transcode.sending = false;
                continue;
            };
            let mut payload = Vec::with_capacity(256);
            if encoder.encode(source.frame(), &mut payload).is_err() {
                continue;
            }
            count(&counters.audio_encoded);
            let encoded = Encoded {
                payload: payload.into(),
                level: source.level(),
                capture: transcode.capture.at(now, source.capture()),
                resumed: !std::mem::replace(&mut transcode.sending, true),
            };
            for sink in &mut transcode.sinks {
                sink.send(tick, now, &encoded, counters);
            }
        }
    }
}
