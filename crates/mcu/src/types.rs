//! What a bridge's user says to it and hears from it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

use ::types::VideoCodec;

/// Who sends: one participant, with sound, picture, both or none (a tile with a name).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u64);

/// One outgoing stream of a bridge, sound or picture; unique in the bridge among both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SinkId(pub u64);

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source {}", self.0)
    }
}

impl fmt::Display for SinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sink {}", self.0)
    }
}

/// How an outgoing audio stream is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AudioSinkOptions {
    /// Milliseconds a packet: 20, 40 or 60; anything else is taken as 20.
    pub ptime: u32,
    /// Bits a second, for Opus alone.
    pub opus_bitrate: u32,
    /// Goes into every packet's `format`.
    pub format: u8,
}

impl Default for AudioSinkOptions {
    fn default() -> Self {
        Self { ptime: 20, opus_bitrate: 32_000, format: 0 }
    }
}

/// What a video sink gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VideoFormat {
    /// H.264 or VP8.
    pub codec: VideoCodec,
    /// Pixels in a row, even.
    pub width: u32,
    /// Rows, even.
    pub height: u32,
    /// Pictures a second at most: 1..=60.
    pub fps: u32,
    /// Bits a second.
    pub bitrate: u32,
    /// H.264: the receiver takes single NAL units only (packetization-mode 0), so slices are cut to
    /// the packet's size.
    pub single_nal: bool,
}

/// How a composed picture is arranged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Everybody alike: 1, 2 side by side, 2×2, 3×3, 4×4.
    Grid,
    /// Who speaks is large, the others are in a strip below.
    Speaker,
    /// One source alone and without its name: a transcode for who cannot take its stream as it is.
    /// A viewer's `exclude` means nothing here.
    Single(SourceId),
}

/// What a bridge tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BridgeEvent {
    /// The source's next frame has to be a key frame; said again every second until one has come.
    NeedKeyframe(SourceId),
    /// The largest tile in which the source is shown, in pixels; 0 × 0 where it is shown nowhere and
    /// nothing of it is decoded. The smallest layer that fills it is enough.
    TileSize {
        /// Whose tile.
        source: SourceId,
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// A touch tone in a voice that is listened to.
    Tone {
        /// Whose voice.
        source: SourceId,
        /// `0` to `9`, `*`, `#`, `A` to `D`.
        key: char,
    },
    /// A sink's codec or size cannot be encoded; the sink gets nothing.
    SinkFailed(SinkId),
}

/// Where events go: called from the bridge's threads, so it must not block. An event that cannot be
/// taken may be dropped: those that matter come again.
pub trait Events: Send + Sync {
    /// Takes one event.
    fn event(&self, event: BridgeEvent);
}

impl Events for SyncSender<BridgeEvent> {
    fn event(&self, event: BridgeEvent) {
        // A full channel drops it; see the trait.
        let _ = self.try_send(event);
    }
}

impl<F: Fn(BridgeEvent) + Send + Sync> Events for F {
    fn event(&self, event: BridgeEvent) {
        self(event);
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a bridge has done since it was made.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct BridgeStats { $($(#[$doc])* pub $name: u64,)* }

        impl BridgeStats {
            /// Every counter with its name, for the metrics.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }

            fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub $name: AtomicU64,)* }

        impl Counters {
            pub fn snapshot(&self) -> BridgeStats {
                BridgeStats { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Audio frames of 20 ms that were mixed or skipped as silent.
    audio_ticks,
    /// Audio packets decoded.
    audio_decoded,
    /// Frames of 20 ms that were played in the place of lost or late packets.
    audio_concealed,
    /// Audio packets that came too late or twice.
    audio_late,
    /// Audio packets encoded; each may have gone to many sinks.
    audio_encoded,
    /// Video frames decoded.
    video_decoded,
    /// Video frames that could not be decoded: damaged, or a part of them lost.
    video_damaged,
    /// Pictures composed and encoded; each may have gone to many sinks.
    video_encoded,
    /// Key frames among them.
    video_keys,
    /// Composition ticks that were left out because the machine was too slow.
    video_skipped,
    /// Packets that a sink's lane did not take.
    lane_dropped,
}

/// The counters of all bridges that there ever were.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    ended: BridgeStats,
    bridges: Vec<Arc<Counters>>,
}

impl Totals {
    /// One bridge more.
    pub fn add(&mut self, counters: Arc<Counters>) {
        self.sum();
        self.bridges.push(counters);
    }

    pub fn sum(&mut self) -> BridgeStats {
        let Self { ended, bridges } = self;
        // Whom nobody else holds counts nothing any more.
        bridges.retain(|it| {
            let runs = Arc::strong_count(it) > 1;
            if !runs {
                ended.add(&it.snapshot());
            }
            runs
        });
        let mut sum = *ended;
        bridges.iter().for_each(|it| sum.add(&it.snapshot()));
        sum
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
