use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::delay::DelayEstimator;
use crate::lane::MediaPacket;

/// Packets that wait at most: 4 s of 20 ms. More is a flood, and the oldest go.
const MAX_PACKETS: usize = 200;
/// µs of sound that a [`Playout::Conceal`] or [`Playout::Silence`] stands for.
const TICK: i64 = 20_000;
const MIN_DELAY: i64 = 20_000;
const MAX_DELAY: i64 = 200_000;
/// A transit that is off by more is no jitter: the sender began a new count.
const RESET: i64 = 1_000_000;
/// Ticks without any packet that are concealed. Codecs' concealment fades to silence by then.
const MAX_CONCEALED: u32 = 5;
/// Ticks between two frames that are left out or put in to change the delay: seldom enough to be
/// hardly heard, often enough to follow 10% of jitter's growth.
const ADJUST_EVERY: u32 = 10;
/// The longest packet that has a duration of its own (Opus: 120 ms); a larger step is a pause.
const MAX_DURATION: i64 = 120_000;

/// Ticks of the clock after which the count begins anew, so that µs never overflow; 265 days at
/// 48 kHz.
const MAX_TICKS: i64 = 1 << 40;

/// What to play next.
#[derive(Debug)]
pub enum Playout<'a> {
    /// This packet. Ask again when all that it holds was played.
    Packet(MediaPacket),
    /// 20 ms are missing: conceal them. `next` is what follows if it is here already, for codecs
    /// that carry a copy of the frame before (Opus FEC).
    Conceal {
        /// The packet after the gap.
        next: Option<&'a MediaPacket>,
    },
    /// 20 ms of nothing: the sender pauses, or has not begun.
    Silence,
}

/// What an [`AudioBuffer`] has seen since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AudioStats {
    /// Packets that were pushed.
    pub received: u64,
    /// Packets that came after their time was over.
    pub late: u64,
    /// Packets that were there already.
    pub duplicate: u64,
    /// Packets dropped since the buffer was full.
    pub overflow: u64,
    /// Ticks that were concealed since a packet was missing.
    pub concealed: u64,
    /// Packets left out to shorten the delay.
    pub skipped: u64,
    /// Ticks put in to lengthen the delay.
    pub stretched: u64,
    /// Times that the sender began a new count.
    pub resets: u64,
    /// The delay that is aimed at, after the fastest packets.
    pub target: Duration,
}

#[derive(Debug)]
struct Entry {
    packet: MediaPacket,
    /// Unwrapped timestamp, µs.
    time: i64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Collecting until the first packet has waited long enough.
    Filling,
    /// `at`: the media time that is played next, µs.
    Playing { at: i64 },
}

/// An adaptive jitter buffer for one source of audio.
///
/// It wants packets of one clock only: take telephone-events out before. Timestamps, not arrivals,
/// say what is played when, so that packets may be of any duration and pauses (DTX) keep their
/// length. The delay aims at the 97th percentile of the jitter, 20 to 200 ms; to get there the
/// buffer leaves a packet out or puts 20 ms in, one in ten.
#[derive(Debug)]
pub struct AudioBuffer {
    clock_rate: i64,
    packets: BTreeMap<u64, Entry>,
    state: State,
    estimator: DelayEstimator,
    origin: Option<Instant>,
    /// The newest unwrapped timestamp, in ticks of the clock, with its sequence number.
    newest: Option<(u64, i64)>,
    last_played: Option<u64>,
    duration: i64,
    misses: u32,
    since_adjust: u32,
    stats: AudioStats,
}

impl AudioBuffer {
    /// A buffer for a format whose RTP clock has `clock_rate` Hz (Opus: 48000; G.722: 8000).
    #[must_use]
    pub fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate: i64::from(clock_rate.max(1)),
            packets: BTreeMap::new(),
            state: State::Filling,
            estimator: DelayEstimator::new(),
            origin: None,
            newest: None,
            last_played: None,
            duration: TICK,
            misses: 0,
            since_adjust: 0,
            stats: AudioStats::default(),
        }
    }

    /// Takes a packet from the network; its `arrival` must be set.
    pub fn push(&mut self, packet: MediaPacket) {
        self.stats.received += 1;
        let origin = *self.origin.get_or_insert(packet.arrival);
        let arrival = micros(origin, packet.arrival);
        let mut ticks = self.unwrap_timestamp(packet.timestamp);
        if self.is_new_count(packet.seq, arrival, ticks) {
            ticks = i64::from(packet.timestamp);
            self.reset(arrival - self.time(ticks));
        }
        let time = self.time(ticks);
        let transit = arrival - time;
        let dry = matches!(self.state, State::Filling) && self.packets.is_empty();
        if dry && self.estimator.base().is_some_and(|base| transit - base > MAX_DELAY) {
            // The path became longer: what was fast before is no measure any more.
            self.estimator.rebase(transit);
        }
        self.estimator.add(transit);
        let old = self.last_played.is_some_and(|last| packet.seq <= last);
        let over = matches!(self.state, State::Playing { at } if time + TICK / 2 < at);
        if old || over {
            self.stats.late += 1;
            return;
        }
        if self.packets.contains_key(&packet.seq) {
            self.stats.duplicate += 1;
            return;
        }
        self.learn_duration(packet.seq, ticks);
        self.packets.insert(packet.seq, Entry { packet, time });
        if self.packets.len() > MAX_PACKETS {
            self.packets.pop_first();
            self.stats.overflow += 1;
        }
    }

    /// What to play at `now`. Call it on the 20 ms ticks of the mixer: again after every
    /// [`Playout::Packet`] whose sound is used up, and after 20 ms otherwise.
    pub fn pop(&mut self, now: Instant) -> Playout<'_> {
        let Some(origin) = self.origin else { return Playout::Silence };
        let now = micros(origin, now);
        self.since_adjust = self.since_adjust.saturating_add(1);
        let at = match self.state {
            State::Playing { at } => at,
            State::Filling => match self.packets.first_key_value() {
                Some((_, first)) if self.delay(now, first.time) >= self.target() => first.time,
                _ => return Playout::Silence,
            },
        };
        let Some((&seq, first)) = self.packets.first_key_value() else {
            return self.run_dry(at);
        };
        let time = first.time;
        self.misses = 0;
        if time <= at + TICK / 2 {
            return self.play(now, at);
        }
        let pause = self.last_played.is_some_and(|last| seq == last + 1);
        if pause {
            // In a pause the delay can be brought right without being heard.
            let excess = self.delay(now, at) - self.target();
            let step = if excess >= TICK {
                2 * TICK
            } else if excess < -TICK {
                0
            } else {
                TICK
            };
            self.state = State::Playing { at: at + step };
            return Playout::Silence;
        }
        self.stats.concealed += 1;
        self.state = State::Playing { at: at + TICK };
        self.peek()
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> AudioStats {
        AudioStats { target: Duration::from_micros(self.target() as u64), ..self.stats }
    }

    /// Packets that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether no packet waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    fn peek(&self) -> Playout<'_> {
        Playout::Conceal { next: self.packets.first_key_value().map(|(_, e)| &e.packet) }
    }

    fn play(&mut self, now: i64, at: i64) -> Playout<'_> {
        let mut first = self.packets.iter().map(|(seq, entry)| (*seq, entry.time));
        let (seq, time) = first.next().unwrap_or_default();
        let in_row = first.next().is_some_and(|(next, _)| next == seq + 1);
        drop(first);
        let excess = self.delay(now, time) - self.target();
        let may_adjust = self.since_adjust >= ADJUST_EVERY;
        if may_adjust && excess < 0 {
            self.since_adjust = 0;
            self.stats.stretched += 1;
            self.state = State::Playing { at };
            return self.peek();
        }
        // A tick and a half of play, so that the ticks' own grid changes nothing.
        if may_adjust && in_row && excess > TICK * 3 / 2 {
            self.since_adjust = 0;
            self.stats.skipped += 1;
            self.packets.pop_first();
        }
        let Some((seq, entry)) = self.packets.pop_first() else { return Playout::Silence };
        self.last_played = Some(seq);
        self.state = State::Playing { at: entry.time + self.duration };
        Playout::Packet(entry.packet)
    }

    fn run_dry(&mut self, at: i64) -> Playout<'_> {
        self.misses += 1;
        if self.misses > MAX_CONCEALED {
            self.state = State::Filling;
            self.misses = 0;
            return Playout::Silence;
        }
        self.stats.concealed += 1;
        self.state = State::Playing { at: at + TICK };
        Playout::Conceal { next: None }
    }

    fn reset(&mut self, transit: i64) {
        self.stats.resets += 1;
        self.packets.clear();
        self.state = State::Filling;
        self.last_played = None;
        self.newest = None;
        self.estimator.rebase(transit);
    }

    /// How long after the fastest packet's arrival something of media time `time` is played now.
    fn delay(&self, now: i64, time: i64) -> i64 {
        now - time - self.estimator.base().unwrap_or(0)
    }

    fn target(&self) -> i64 {
        self.estimator.quantile().clamp(MIN_DELAY, MAX_DELAY)
    }

    fn unwrap_timestamp(&self, timestamp: u32) -> i64 {
        let Some((_, newest)) = self.newest else { return i64::from(timestamp) };
        newest + i64::from(timestamp.wrapping_sub(newest as u32) as i32)
    }

    fn time(&self, ticks: i64) -> i64 {
        ticks * 1_000_000 / self.clock_rate
    }

    /// Whether a packet belongs to another count of timestamps than those before it. One that is
    /// merely old does not.
    fn is_new_count(&self, seq: u64, arrival: i64, ticks: i64) -> bool {
        if ticks.abs() > MAX_TICKS {
            return true;
        }
        let off = |base: i64| (arrival - self.time(ticks) - base).abs() > RESET;
        let behind = self.last_played.map_or(0, |last| (last + 1).saturating_sub(seq));
        (behind == 0 || behind > MAX_PACKETS as u64) && self.estimator.base().is_some_and(off)
    }

    fn learn_duration(&mut self, seq: u64, ticks: i64) {
        if let Some((newest, at)) = self.newest {
            if seq <= newest {
                return;
            }
            let step = self.time(ticks - at);
            if seq == newest + 1 && (1..=MAX_DURATION).contains(&step) {
                self.duration = step;
            }
        }
        self.newest = Some((seq, ticks));
    }
}

fn micros(origin: Instant, at: Instant) -> i64 {
    let after = at.saturating_duration_since(origin).as_micros();
    let before = origin.saturating_duration_since(at).as_micros();
    i64::try_from(after).unwrap_or(i64::MAX / 4) - i64::try_from(before).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
#[path = "audio_tests.rs"]
mod tests;
