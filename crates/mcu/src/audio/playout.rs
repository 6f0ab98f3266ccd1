//! The adaptive jitter buffer of one voice: packets in by arrival, 20 ms frames out by the clock.
//!
//! It waits as long as the network's jitter of the last seconds asks for, no longer: at the start of
//! talk it holds the first packet back for the target delay; a late packet is waited for and played
//! late, which deepens the buffer at once; a buffer that has become too deep (a fast clock at the
//! sender, a spike that has passed) is shortened by 10 ms at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::types::AudioCodec;
use codec::{AudioDecoder, CodecError, MAX_FRAME_SAMPLES};
use rtp::lane::MediaPacket;

use super::FRAME;
use crate::types::{Counters, count};

/// Packets that wait at most: more than a second of any packet time is a flood, not jitter.
const MAX_PACKETS: usize = 64;

/// The delay that jitter may ask for. Below the first the clocks' own granularity (20 ms) bites,
/// above the second a conversation is no longer one.
const DELAY: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(20)..=Duration::from_millis(200);

/// What is waited for before anything is known of the network.
const FIRST_DELAY: Duration = Duration::from_millis(40);

/// How fast a peak of jitter is forgotten: by a 256th a packet, half in 3.5 s.
const FORGET: u32 = 256;

/// After this much without packets in a spell of talk there is silence, not loss: 3 frames.
const MAX_CONCEALED: usize = 3;

/// How much deeper than the target the buffer may be, and for how many ticks, before it is cut.
const EXCESS: Duration = Duration::from_millis(25);
const EXCESS_TICKS: u32 = 25;

/// How much is cut out, and how much of it is a crossfade, in samples.
const CUT: usize = 480;
const FADE: usize = 240;

const SAMPLES_A_MS: usize = 48;

/// What a tick played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Played {
    /// Nothing: nobody sends, or the first packets are still held back.
    Silence,
    /// Sound, received or concealed.
    Sound,
}

struct Waiting {
    packet: MediaPacket,
    /// How much slower it came than the fastest.
    behind: Duration,
}

pub(super) struct Playout {
    decoder: AudioDecoder,
    packets: BTreeMap<u64, Waiting>,
    /// The next packet to decode; `None` before the first.
    next: Option<u64>,
    talking: bool,
    concealed: usize,
    /// Decoded and not yet played.
    pcm: Vec<f32>,
    /// Samples of the last packet.
    duration: usize,
    jitter: Jitter,
    /// How long after the fastest possible arrival packets are decoded: what the buffer adds.
    depth: Duration,
    /// Ticks for which that was too much.
    long: u32,
    /// When the first sample of `pcm` was captured, if that is known.
    capture: Option<Instant>,
}

impl Playout {
    pub(super) fn new(codec: AudioCodec) -> Result<Self, CodecError> {
        Ok(Self {
            decoder: AudioDecoder::new(codec)?,
            packets: BTreeMap::new(),
            next: None,
            talking: false,
            concealed: 0,
            pcm: Vec::with_capacity(MAX_FRAME_SAMPLES + FRAME),
            duration: FRAME,
            jitter: Jitter::new(codec.clock_rate()),
            depth: Duration::ZERO,
            long: 0,
            capture: None,
        })
    }

    /// Takes a packet from the lane.
    pub(super) fn push(&mut self, packet: MediaPacket, counters: &Counters) {
        let behind = self.jitter.observe(packet.timestamp, packet.arrival);
        // A jump backward beyond any reordering is a sender that has started anew.
        if let Some(next) = self.next
            && packet.seq < next
        {
            if next - packet.seq < 1_000 {
                count(&counters.audio_late);
                return;
            }
            self.restart();
        }
        if self.packets.insert(packet.seq, Waiting { packet, behind }).is_some() {
            count(&counters.audio_late);
        }
        while self.packets.len() > MAX_PACKETS {
            if let Some((seq, _)) = self.packets.pop_first() {
                self.next = Some(seq + 1);
            }
        }
    }

    fn restart(&mut self) {
        self.packets.clear();
        self.next = None;
        self.talking = false;
    }

    /// Appends a frame's samples to `frame`, which is empty; at silence it stays empty.
    pub(super) fn play(
        &mut self,
        now: Instant,
        frame: &mut Vec<f32>,
        counters: &Counters,
    ) -> Played {
        if !self.talking && !self.begin(now) {
            return Played::Silence;
        }
        while self.pcm.len() < FRAME {
            if !self.decode_next(now, counters) && !self.conceal(counters) {
                break;
            }
        }
        if self.pcm.is_empty() {
            return Played::Silence;
        }
        self.shorten();
        let taken = self.pcm.len().min(FRAME);
        frame.extend(self.pcm.drain(..taken));
        frame.resize(FRAME, 0.0);
        self.capture = self.capture.map(|at| at + samples(taken));
        Played::Sound
    }

    /// When the first sample of the frame that `play` gives next was captured.
    pub(super) fn capture(&self) -> Option<Instant> {
        self.capture
    }

    /// Throws away what waits: the sender itself calls it silence, so nobody needs it decoded.
    pub(super) fn skip_silence(&mut self) {
        if let Some((seq, _)) = self.packets.last_key_value() {
            self.next = Some(seq + 1);
        }
        self.packets.clear();
        self.pcm.clear();
        self.talking = false;
    }

    /// The loudest level that waiting packets carry; `None` if one carries none or none waits.
    pub(super) fn loudest_waiting(&self) -> Option<i8> {
        self.packets
            .values()
            .map(|w| w.packet.audio_level)
            .try_fold(-127, |a, b| Some(b?.max(a)))
            .filter(|_| !self.packets.is_empty())
    }

    /// At the start of talk: is the first packet old enough?
    fn begin(&mut self, now: Instant) -> bool {
        let Some((seq, first)) = self.packets.first_key_value() else { return false };
        if now.saturating_duration_since(first.packet.arrival) + super::TICK < self.jitter.target {
            return false;
        }
        self.next = Some(*seq);
        self.talking = true;
        self.concealed = 0;
        true
    }

    fn decode_next(&mut self, now: Instant, counters: &Counters) -> bool {
        let Some(next) = self.next else { return false };
        let Some(Waiting { packet, behind }) = self.packets.remove(&next) else {
            return self.recover(next, counters);
        };
        self.depth = now.saturating_duration_since(packet.arrival) + behind;
        self.next = Some(next + 1);
        self.concealed = 0;
        if let Some(capture) = packet.capture {
            self.capture = capture.checked_sub(samples(self.pcm.len()));
        }
        count(&counters.audio_decoded);
        match self.decoder.decode(&packet.payload, &mut self.pcm) {
            Ok(decoded) => self.duration = decoded,
            Err(_) => {
                // Damaged is as good as lost.
                let _ = self.decoder.conceal(self.duration, None, &mut self.pcm);
            }
        }
        true
    }

    /// The packet `next` is not there but later ones are. Where the buffer is less deep than the
    /// network's jitter it is waited for, which makes it deeper; otherwise it is lost, and only its
    /// frame is made up, from the packet after it where that is there.
    fn recover(&mut self, next: u64, counters: &Counters) -> bool {
        let Some((seq, later)) = self.packets.first_key_value() else { return false };
        if self.depth < self.jitter.peak && self.concealed < MAX_CONCEALED {
            return self.conceal(counters);
        }
        let payload: Option<Arc<[u8]>> = (*seq == next + 1).then(|| later.packet.payload.clone());
        // A long gap is not filled: two frames fade out, then what has come is played.
        self.next = Some(if *seq - next > 10 { *seq } else { next + 1 });
        count(&counters.audio_concealed);
        let lost = self.duration.clamp(FRAME / 2, MAX_FRAME_SAMPLES);
        self.decoder.conceal(lost, payload.as_deref(), &mut self.pcm).is_ok()
    }

    /// Nothing has come: bridge the gap for a while, then it is silence.
    fn conceal(&mut self, counters: &Counters) -> bool {
        if self.concealed >= MAX_CONCEALED {
            self.talking = false;
            self.long = 0;
            return false;
        }
        self.concealed += 1;
        self.depth += super::TICK;
        count(&counters.audio_concealed);
        self.decoder.conceal(FRAME, None, &mut self.pcm).is_ok()
    }

    fn shorten(&mut self) {
        if self.depth <= self.jitter.target + EXCESS {
            self.long = 0;
            return;
        }
        self.long += 1;
        if self.long < EXCESS_TICKS || self.pcm.len() < CUT + FADE {
            return;
        }
        // Half of the waiting time for the next cut, should the queue stay long.
        self.long = EXCESS_TICKS / 2;
        let (head, tail) = self.pcm.split_at_mut(CUT);
        for (i, (early, late)) in head.iter().zip(tail.iter_mut()).take(FADE).enumerate() {
            let share = i as f32 / FADE as f32;
            *late = early * (1.0 - share) + *late * share;
        }
        self.pcm.drain(..CUT);
        self.depth = self.depth.saturating_sub(samples(CUT));
        self.capture = self.capture.map(|at| at + samples(CUT));
    }

    #[cfg(test)]
    pub(super) fn target(&self) -> Duration {
        self.jitter.target
    }
}

fn samples(count: usize) -> Duration {
    Duration::from_micros((count * 1_000 / SAMPLES_A_MS) as u64)
}

/// How far behind the fastest packet the slowest of the last seconds came.
struct Jitter {
    clock_rate: u32,
    target: Duration,
    peak: Duration,
    first: Option<(u32, Instant)>,
    /// The least transit time of the present and of the last window, relative to the first packet,
    /// in seconds: drift of the clocks moves it.
    least: [f64; 2],
    window: u32,
}

impl Jitter {
    fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate,
            target: FIRST_DELAY,
            peak: FIRST_DELAY - Duration::from_millis(20),
            first: None,
            least: [f64::INFINITY; 2],
            window: 0,
        }
    }

    /// Notes an arrival; how much slower it was than the fastest.
    fn observe(&mut self, timestamp: u32, arrival: Instant) -> Duration {
        let Some((first_timestamp, first_arrival)) = self.first else {
            self.first = Some((timestamp, arrival));
            return Duration::ZERO;
        };
        let media =
            f64::from(timestamp.wrapping_sub(first_timestamp) as i32) / f64::from(self.clock_rate);
        let transit = arrival.saturating_duration_since(first_arrival).as_secs_f64() - media;
        let [now, before] = &mut self.least;
        *now = now.min(transit);
        let behind = transit - now.min(*before);
        if !(0.0..2.0).contains(&behind) {
            // The timestamps have jumped: begin anew, and keep what is known of the jitter.
            self.first = Some((timestamp, arrival));
            self.least = [f64::INFINITY; 2];
            return Duration::ZERO;
        }
        self.window += 1;
        if self.window >= 250 {
            self.window = 0;
            self.least = [f64::INFINITY, self.least[0]];
        }
        let behind = Duration::from_secs_f64(behind);
        self.peak = behind.max(self.peak - self.peak / FORGET);
        // A packet's time on top: it is played as soon as its tick begins.
        self.target = (self.peak + super::TICK).clamp(*DELAY.start(), *DELAY.end());
        if self.window == 0 {
            // The 31 bits of `media` above last for half a day at 48 kHz.
            self.rebase(timestamp, arrival, media);
        }
        behind
    }

    fn rebase(&mut self, timestamp: u32, arrival: Instant, media: f64) {
        if let Some((_, first_arrival)) = self.first {
            let moved = arrival.saturating_duration_since(first_arrival).as_secs_f64() - media;
            self.first = Some((timestamp, arrival));
            for least in &mut self.least {
                *least -= moved;
            }
        }
    }
}

#[cfg(test)]
mod tests;
