//! Outgoing streams of the mix, and the encoders that they share.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use ::types::AudioCodec;
use codec::{AudioEncoder, OpusSettings};
use rtp::lane::{LaneTx, MediaPacket};

use super::mixer::{Mixer, Variant};
use super::source::AudioSource;
use super::{FRAME, level};
use crate::clock::CaptureClock;
use crate::types::{AudioSinkOptions, Counters, SinkId, SourceId, count};

/// A listener keeps the encoder of their own for this many ticks after their last word (2 s): each
/// change between encoders is a seam in the stream.
const OWN_MIX_HANG: u64 = 100;

/// One listener.
pub(super) struct AudioSink {
    pub(super) id: SinkId,
    codec: AudioCodec,
    exclude: Option<SourceId>,
    pub(super) options: AudioSinkOptions,
    lane: LaneTx,
    seq: u64,
    started: bool,
    /// The last tick at which the own voice was in the mix.
    spoke: Option<u64>,
}

impl AudioSink {
    pub(super) fn new(
        id: SinkId,
        codec: AudioCodec,
        exclude: Option<SourceId>,
        options: AudioSinkOptions,
        lane: LaneTx,
    ) -> Self {
        let ptime = if matches!(options.ptime, 40 | 60) { options.ptime } else { 20 };
        let options = AudioSinkOptions { ptime, ..options };
        Self { id, codec, exclude, options, lane, seq: 0, started: false, spoke: None }
    }

    fn variant(&mut self, tick: u64, sources: &BTreeMap<SourceId, AudioSource>) -> Variant {
        let own = self.exclude?;
        if sources.get(&own).is_some_and(AudioSource::talks) {
            self.spoke = Some(tick);
        }
        let apart = self.spoke.is_some_and(|spoke| tick - spoke < OWN_MIX_HANG);
        (apart && sources.contains_key(&own)).then_some(own)
    }

    fn stream(&self) -> Stream {
        let opus = self.codec == AudioCodec::Opus;
        Stream {
            codec: self.codec,
            ticks: u64::from(self.options.ptime / 20),
            bitrate: if opus { self.options.opus_bitrate } else { 0 },
        }
    }

    /// Sends one packet. `tick` is the tick at which its first sample was mixed.
    pub(super) fn send(&mut self, tick: u64, now: Instant, frame: &Encoded, counters: &Counters) {
        let step = u64::from(self.codec.clock_rate() / 50);
        let packet = MediaPacket {
            payload: frame.payload.clone(),
            seq: self.seq,
            // Wraps as RTP's clock does.
            timestamp: (tick * step) as u32,
            marker: !std::mem::replace(&mut self.started, true) || frame.resumed,
            arrival: now,
            format: self.options.format,
            audio_level: Some(frame.level),
            capture: frame.capture,
        };
        self.seq += 1;
        if !self.lane.push(packet) {
            count(&counters.lane_dropped);
        }
        self.lane.flush();
    }
}

/// One encoded packet, for all who get it.
pub(super) struct Encoded {
    pub(super) payload: Arc<[u8]>,
    pub(super) level: i8,
    pub(super) capture: Option<Instant>,
    /// Nothing was sent before it for a while.
    pub(super) resumed: bool,
}

/// What makes two listeners' packets alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Stream {
    codec: AudioCodec,
    /// Ticks a packet.
    ticks: u64,
    bitrate: u32,
}

struct Encoding {
    encoder: AudioEncoder,
    pending: Vec<f32>,
    capture: CaptureClock,
    /// When the first of `pending` was captured.
    first: Option<Instant>,
    used: bool,
}

/// All encoders of a bridge's mix: one for each stream and variant that somebody listens to.
#[derive(Default)]
pub(super) struct Encoders {
    encodings: HashMap<(Stream, Variant), Encoding>,
    mixed: Vec<f32>,
    listeners: BTreeMap<Variant, HashMap<Stream, Vec<SinkId>>>,
}

impl Encoders {
    pub(super) fn tick(
        &mut self,
        tick: u64,
        now: Instant,
        mixer: &mut Mixer,
        sources: &BTreeMap<SourceId, AudioSource>,
        sinks: &mut BTreeMap<SinkId, AudioSink>,
        counters: &Counters,
    ) {
        self.group(tick, sources, sinks);
        for (variant, streams) in &self.listeners {
            if streams.is_empty() {
                continue;
            }
            mixer.mix(*variant, sources, &mut self.mixed);
            let capture = newest_capture(*variant, sources);
            for (stream, ids) in streams {
                let Some(encoding) = encoding(&mut self.encodings, *stream, *variant) else {
                    continue;
                };
                let Some(encoded) = encoding.feed(*stream, tick, now, &self.mixed, capture) else {
                    continue;
                };
                count(&counters.audio_encoded);
                let first = tick + 1 - stream.ticks.min(tick + 1);
                for id in ids {
                    if let Some(sink) = sinks.get_mut(id) {
                        sink.send(first, now, &encoded, counters);
                    }
                }
            }
        }
        self.encodings.retain(|_, encoding| std::mem::take(&mut encoding.used));
    }

    fn group(
        &mut self,
        tick: u64,
        sources: &BTreeMap<SourceId, AudioSource>,
        sinks: &mut BTreeMap<SinkId, AudioSink>,
    ) {
        self.listeners.clear();
        for sink in sinks.values_mut() {
            let variant = sink.variant(tick, sources);
            let streams = self.listeners.entry(variant).or_default();
            streams.entry(sink.stream()).or_default().push(sink.id);
        }
    }
}

fn encoding(
    encodings: &mut HashMap<(Stream, Variant), Encoding>,
    stream: Stream,
    variant: Variant,
) -> Option<&mut Encoding> {
    use std::collections::hash_map::Entry;
    let encoding = match encodings.entry((stream, variant)) {
        Entry::Occupied(entry) => entry.into_mut(),
        Entry::Vacant(entry) => {
            let settings = OpusSettings { bitrate: stream.bitrate, ..OpusSettings::default() };
            let encoder = AudioEncoder::new(stream.codec, settings).ok()?;
            entry.insert(Encoding {
                encoder,
                pending: Vec::new(),
                capture: CaptureClock::default(),
                first: None,
                used: false,
            })
        }
    };
    encoding.used = true;
    Some(encoding)
}

fn newest_capture(variant: Variant, sources: &BTreeMap<SourceId, AudioSource>) -> Option<Instant> {
    sources
        .iter()
        .filter(|(id, source)| Some(**id) != variant && source.talks())
        .filter_map(|(_, source)| source.capture())
        .max()
}

impl Encoding {
    /// Adds a tick; gives a packet at the end of the packet's time. All packets of one packet time
    /// end at the same ticks, so that a listener may change between encoders.
    fn feed(
        &mut self,
        stream: Stream,
        tick: u64,
        now: Instant,
        mixed: &[f32],
        capture: Option<Instant>,
    ) -> Option<Encoded> {
        let capture = self.capture.at(now, capture);
        if self.pending.is_empty() {
            self.first = capture;
        }
        self.pending.extend_from_slice(mixed);
        if !(tick + 1).is_multiple_of(stream.ticks) {
            return None;
        }
        let whole = stream.ticks as usize * FRAME;
        let missing = whole.saturating_sub(self.pending.len());
        self.pending.splice(..0, std::iter::repeat_n(0.0, missing));
        let mut payload = Vec::with_capacity(256);
        let level = level::dbov(&self.pending);
        let encoded = self.encoder.encode(&self.pending, &mut payload);
        self.pending.clear();
        encoded.ok()?;
        Some(Encoded { payload: payload.into(), level, capture: self.first, resumed: false })
    }
}
