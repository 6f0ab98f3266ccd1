//! One voice: its lane, its jitter buffer, and whether it is worth hearing.

use std::time::Instant;

use ::types::AudioCodec;
use codec::CodecError;
use rtp::lane::LaneRx;

use super::FRAME;
use super::level::{SILENCE, dbov};
use super::playout::{Played, Playout};
use crate::types::Counters;

/// A voice stays in the mix for this many ticks after its last loud frame, so that the ends of words
/// and the pauses between them are not cut: 0.5 s.
const HANG: u32 = 25;

/// A packet takes part in a frame at most this often a tick: what a lane brings beyond it waits, so
/// that a flood on one lane does not cost the others their deadline.
const MAX_PACKETS_A_TICK: usize = 32;

pub(crate) struct AudioSource {
    lane: LaneRx,
    playout: Playout,
    frame: Vec<f32>,
    capture: Option<Instant>,
    level: i8,
    /// Ticks for which it still counts as talking.
    hang: u32,
    /// Somebody gets this voice alone, so even its silence is decoded.
    pub(super) always: bool,
}

impl AudioSource {
    pub(super) fn new(codec: AudioCodec, lane: LaneRx) -> Result<Self, CodecError> {
        Ok(Self {
            lane,
            playout: Playout::new(codec)?,
            frame: Vec::with_capacity(FRAME),
            capture: None,
            level: -127,
            hang: 0,
            always: false,
        })
    }

    /// Takes what has come and plays one frame.
    pub(super) fn play(&mut self, now: Instant, counters: &Counters) {
        for _ in 0..MAX_PACKETS_A_TICK {
            let Some(packet) = self.lane.pop() else { break };
            self.playout.push(packet, counters);
        }
        self.frame.clear();
        self.hang = self.hang.saturating_sub(1);
        self.level = -127;
        let silent = self.playout.loudest_waiting().is_some_and(|level| level < SILENCE);
        if silent && self.hang == 0 && !self.always {
            self.playout.skip_silence();
            return;
        }
        if self.playout.play(now, &mut self.frame, counters) == Played::Silence {
            self.frame.clear();
            return;
        }
        self.capture = self.playout.capture().and_then(|after| after.checked_sub(super::TICK));
        self.level = dbov(&self.frame);
        if self.level >= SILENCE {
            self.hang = HANG;
        }
    }

    /// This tick's samples; empty where nothing came.
    pub(super) fn frame(&self) -> &[f32] {
        &self.frame
    }

    /// Whether it is part of the mix now.
    pub(super) fn talks(&self) -> bool {
        self.hang > 0 && !self.frame.is_empty()
    }

    /// The frame's loudness in dBov.
    pub(super) fn level(&self) -> i8 {
        self.level
    }

    /// When the frame's first sample was captured.
    pub(super) fn capture(&self) -> Option<Instant> {
        self.capture
    }
}
