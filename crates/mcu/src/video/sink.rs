//! One viewer: a lane with sequence numbers of its own.

use std::sync::Arc;
use std::time::Instant;

use rtp::lane::{LaneTx, MediaPacket};

use crate::types::{Counters, count};

/// A composed frame, cut into packets once for all who watch.
pub(super) struct ComposedFrame {
    pub(super) packets: Vec<Arc<[u8]>>,
    pub(super) key: bool,
    /// 90 kHz since the mcu's start.
    pub(super) ticks: u64,
    pub(super) capture: Option<Instant>,
}

pub(super) struct VideoSink {
    lane: LaneTx,
    number: u8,
    seq: u64,
    last: Option<u64>,
    /// Since it came to its composition it has seen no key frame.
    waiting: bool,
}

impl VideoSink {
    pub(super) fn new(number: u8, lane: LaneTx) -> Self {
        Self { lane, number, seq: 0, last: None, waiting: true }
    }

    /// It watches another composition from now on.
    pub(super) fn moved(&mut self) {
        self.waiting = true;
    }

    pub(super) fn send(&mut self, frame: &ComposedFrame, now: Instant, counters: &Counters) {
        if self.waiting && !frame.key {
            return;
        }
        self.waiting = false;
        // Where the composition or its cadence has just changed, two frames may be of one tick.
        let ticks = self.last.map_or(frame.ticks, |last| frame.ticks.max(last + 1));
        self.last = Some(ticks);
        for (i, payload) in frame.packets.iter().enumerate() {
            let packet = MediaPacket {
                payload: payload.clone(),
                seq: self.seq,
                // Wraps as RTP's clock does.
                timestamp: ticks as u32,
                marker: i + 1 == frame.packets.len(),
                arrival: now,
                format: self.number,
                audio_level: None,
                capture: frame.capture,
            };
            self.seq += 1;
            if !self.lane.push(packet) {
                count(&counters.lane_dropped);
            }
        }
        self.lane.flush();
    }
}
