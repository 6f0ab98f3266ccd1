//! One composition: drawn at a fixed cadence, encoded once, sent to all who watch it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use codec::{CodecError, Encoder, EncoderSettings, PicturePool};
use rtp::payload::MTU;

use super::compose::{Canvas, Scene};
use super::pace::Pace;
use super::sink::{ComposedFrame, VideoSink};
use super::wire::Cutter;
use crate::clock::CaptureClock;
use crate::scheduler::{Next, Strain, Task};
use crate::types::{BridgeEvent, Counters, Events, Layout, SinkId, SourceId, VideoFormat, count};

/// What makes two viewers' pictures alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CompositionKey {
    pub(super) format: VideoFormat,
    pub(super) layout: Layout,
    /// Who is not to be seen, if they would be seen otherwise.
    pub(super) exclude: Option<SourceId>,
    /// Shared screens are not to be seen.
    pub(super) no_screens: bool,
    /// Over whose picture a message stands: it is for that viewer alone.
    pub(super) message: Option<SinkId>,
}

/// Key frames at most this often, whoever asks.
const KEY_INTERVAL: Duration = Duration::from_secs(1);

/// A picture is sent at least this often, for who has lost the last one.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);

/// After the last change the cadence goes on for this long: a source at half of our rate, or one
/// whose frame comes a tick late, must not make the rate stutter.
const MOVING: Duration = Duration::from_millis(150);

pub(super) type Viewer = (SinkId, Arc<Mutex<VideoSink>>);

/// What the bridge's handle may change while the composition runs.
pub(super) struct Shared {
    scene: Mutex<Arc<Scene>>,
    viewers: Mutex<Vec<Viewer>>,
    key_wanted: AtomicBool,
    bitrate: AtomicU32,
}

impl Shared {
    pub(super) fn new(bitrate: u32) -> Self {
        Self {
            scene: Mutex::default(),
            viewers: Mutex::default(),
            key_wanted: AtomicBool::new(false),
            bitrate: AtomicU32::new(bitrate),
        }
    }

    pub(super) fn set_bitrate(&self, bits: u32) {
        self.bitrate.store(bits, Ordering::Relaxed);
    }

    pub(super) fn set_scene(&self, scene: Arc<Scene>) {
        *lock(&self.scene) = scene;
    }

    pub(super) fn set_viewers(&self, viewers: Vec<Viewer>) {
        *lock(&self.viewers) = viewers;
    }

    pub(super) fn want_key(&self) {
        self.key_wanted.store(true, Ordering::Release);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) struct Composition {
    key: CompositionKey,
    shared: Arc<Shared>,
    pool: PicturePool,
    events: Arc<dyn Events>,
    counters: Arc<Counters>,
    strain: Strain,
    epoch: Instant,
    pace: Pace,
    work: Option<Work>,
    failed: bool,
    clock: CaptureClock,
    tick: Option<u64>,
    /// The last run has made a picture, so its cost counts.
    made: bool,
    changed_at: Option<Instant>,
    sent_at: Option<Instant>,
    key_at: Option<Instant>,
}

/// Canvas and encoder of one size and rate.
struct Work {
    canvas: Canvas,
    encoder: Encoder,
    cutter: Cutter,
    bitrate: u32,
    data: Vec<u8>,
}

impl Composition {
    pub(super) fn new(
        key: CompositionKey,
        shared: Arc<Shared>,
        strain: Strain,
        epoch: Instant,
        pool: PicturePool,
        events: Arc<dyn Events>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            key,
            shared,
            pool,
            events,
            counters,
            strain,
            epoch,
            pace: Pace::new(key.format.fps),
            work: None,
            failed: false,
            clock: CaptureClock::default(),
            tick: None,
            made: false,
            changed_at: None,
            sent_at: None,
            key_at: None,
        }
    }

    fn build(&self) -> Result<Work, CodecError> {
        let VideoFormat { codec, width, height, single_nal, .. } = self.key.format;
        let bitrate = self.shared.bitrate.load(Ordering::Relaxed);
        let step = self.pace.now();
        // Whole macroblocks when it is made smaller, so that every encoder takes it.
        let side = |full: u32| if step.divisor == 1 { full } else { (full / step.divisor) & !15 };
        let (width, height) = (side(width), side(height));
        let canvas = Canvas::new(&self.pool, self.key.layout, width, height)?;
        let encoder = Encoder::new(EncoderSettings {
            codec,
            width,
            height,
            fps: step.fps,
            bitrate,
            max_slice: single_nal.then_some(MTU as u32),
        })?;
        let cutter = Cutter::new(codec, single_nal);
        Ok(Work { canvas, encoder, cutter, bitrate, data: Vec::new() })
    }

    /// The tick that `now` belongs to, and whether it is a new one.
    fn advance(&mut self, now: Instant) -> (u64, bool) {
        let tick = tick_at(self.epoch, self.pace.period(), now);
        match self.tick.replace(tick) {
            Some(last) if tick <= last => (tick, false),
            Some(last) => {
                let missed = tick - last - 1;
                self.counters.video_skipped.fetch_add(missed, Ordering::Relaxed);
                if self.pace.ticked(missed) {
                    self.work = None;
                    self.strain.set(self.pace.is_last());
                }
                (tick_at(self.epoch, self.pace.period(), now), true)
            }
            None => (tick, true),
        }
    }

    fn compose(&mut self, tick: u64, now: Instant) -> Result<(), CodecError> {
        if self.work.is_none() {
            self.work = Some(self.build()?);
            self.key_at = None;
            self.tick = Some(tick);
        }
        let Some(work) = self.work.as_mut() else { return Ok(()) };
        let scene = lock(&self.shared.scene).clone();
        if work.canvas.update(&scene) {
            self.changed_at = Some(now);
        }
        let within = |at: Option<Instant>, time: Duration| {
            at.is_some_and(|at| now.saturating_duration_since(at) < time)
        };
        // The first frame of an encoder is a key frame in any case.
        let key_due = self.key_at.is_none()
            || (self.shared.key_wanted.load(Ordering::Acquire)
                && !within(self.key_at, KEY_INTERVAL));
        if !key_due && !within(self.changed_at, MOVING) && within(self.sent_at, IDLE_INTERVAL) {
            return Ok(());
        }
        if key_due {
            self.shared.key_wanted.store(false, Ordering::Release);
        }
        let bitrate = self.shared.bitrate.load(Ordering::Relaxed);
        if std::mem::replace(&mut work.bitrate, bitrate) != bitrate {
            work.encoder.set_bitrate(bitrate)?;
        }
        work.data.clear();
        let encoded = work.encoder.encode(work.canvas.picture(), key_due, &mut work.data)?;
        count(&self.counters.video_encoded);
        if encoded.key {
            count(&self.counters.video_keys);
            self.key_at = Some(now);
        }
        self.sent_at = Some(now);
        self.made = true;
        let time = self.pace.period() * u32::try_from(tick).unwrap_or(u32::MAX);
        let capture = work.canvas.capture();
        let capture = if work.canvas.has_pictures() { capture } else { Some(now) };
        let Ok(packets) = work.cutter.cut(&work.data) else {
            // A unit longer than a packet, which the encoder's limit on slices should not let happen:
            // the viewers miss a frame, so the next is one that needs none before it.
            self.shared.want_key();
            return Ok(());
        };
        let frame = ComposedFrame {
            packets,
            key: encoded.key,
            ticks: (time.as_micros() * 9 / 100) as u64,
            capture: self.clock.at(now, capture),
        };
        for (_, viewer) in lock(&self.shared.viewers).iter() {
            lock(viewer).send(&frame, now, &self.counters);
        }
        Ok(())
    }
}

fn tick_at(epoch: Instant, period: Duration, now: Instant) -> u64 {
    (now.saturating_duration_since(epoch).as_nanos() / period.as_nanos().max(1)) as u64
}

impl Task for Composition {
    fn run(&mut self, now: Instant) -> Next {
        self.made = false;
        if self.failed {
            return Next::Wait;
        }
        let (tick, fresh) = self.advance(now);
        if fresh && self.compose(tick, now).is_err() {
            self.failed = true;
            for (id, _) in lock(&self.shared.viewers).iter() {
                self.events.event(BridgeEvent::SinkFailed(*id));
            }
            return Next::Wait;
        }
        let period = self.pace.period();
        let next = u32::try_from(tick + 1).unwrap_or(u32::MAX);
        Next::At(self.epoch + period * next)
    }

    fn spent(&mut self, cost: Duration) {
        if self.made && self.pace.made(cost) {
            self.work = None;
            self.tick = None;
            self.strain.set(self.pace.is_last());
        }
    }
}
