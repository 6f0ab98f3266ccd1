//! One source's picture: packets in, decoded pictures into its slot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::types::VideoCodec;
use codec::{Decoder, PicturePool};
use rtp::lane::LaneRx;

use super::reorder::{InOrder, Reorder};
use super::slot::Slot;
use super::wire::{Assembler, Damaged, Frame};
use crate::scheduler::{Next, Task};
use crate::types::{BridgeEvent, Counters, Events, SourceId, count};

/// How often a key frame is asked for until one comes.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Packets a run: then others get their turn.
const MAX_PACKETS_A_RUN: usize = 512;

pub(super) struct VideoSource {
    id: SourceId,
    codec: VideoCodec,
    lane: LaneRx,
    slot: Arc<Slot>,
    pool: PicturePool,
    events: Arc<dyn Events>,
    counters: Arc<Counters>,
    decoder: Option<Decoder>,
    reorder: Reorder,
    assembler: Assembler,
    /// Frames are of no use until the next key frame.
    need_key: bool,
    asked: Option<Instant>,
}

impl VideoSource {
    pub(super) fn new(
        id: SourceId,
        codec: VideoCodec,
        lane: LaneRx,
        slot: Arc<Slot>,
        pool: PicturePool,
        events: Arc<dyn Events>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            id,
            codec,
            lane,
            slot,
            pool,
            events,
            counters,
            decoder: None,
            reorder: Reorder::default(),
            assembler: Assembler::new(codec),
            need_key: true,
            asked: None,
        }
    }

    /// Forgets the stream so far; its last picture stays.
    fn begin_anew(&mut self) {
        self.reorder.clear();
        self.assembler.begin_anew();
        self.decoder = None;
        self.need_key = true;
        self.asked = None;
    }

    /// What follows is of no use until a key frame.
    fn lost(&mut self) {
        if !std::mem::replace(&mut self.need_key, true) {
            count(&self.counters.video_damaged);
        }
    }

    fn decode(&mut self, frame: &Frame) {
        if self.need_key && !frame.key {
            return;
        }
        if self.decoder.is_none() {
            self.decoder = Decoder::new(self.codec, self.pool.clone()).ok();
        }
        let Some(decoder) = &mut self.decoder else { return };
        match decoder.decode(&frame.data) {
            Ok(picture) => {
                count(&self.counters.video_decoded);
                self.need_key = false;
                self.asked = None;
                if let Some(picture) = picture {
                    self.slot.show(Arc::new(picture), frame.capture);
                }
            }
            Err(_) => {
                count(&self.counters.video_damaged);
                // An OpenH264 decoder that has refused a frame may go on refusing good ones.
                self.decoder = None;
                self.need_key = true;
            }
        }
    }

    fn ask_for_key(&mut self, now: Instant) {
        let again =
            self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= ASK_AGAIN);
        if again {
            self.asked = Some(now);
            self.events.event(BridgeEvent::NeedKeyframe(self.id));
        }
    }
}

impl Task for VideoSource {
    fn run(&mut self, now: Instant) -> Next {
        // AV1 cannot be decoded: its source is a name, and no key frame would help.
        if self.codec == VideoCodec::Av1 || !self.slot.wants_pictures() {
            while self.lane.pop().is_some() {}
            self.begin_anew();
            return Next::Wait;
        }
        if self.slot.take_restart() {
            self.begin_anew();
        }
        let mut popped = 0;
        while popped < MAX_PACKETS_A_RUN {
            let Some(packet) = self.lane.pop() else { break };
            popped += 1;
            self.reorder.push(packet);
            while let Some(next) = self.reorder.pop(now) {
                self.take(next);
            }
        }
        while let Some(next) = self.reorder.pop(now) {
            self.take(next);
        }
        if self.need_key {
            self.ask_for_key(now);
        }
        if popped == MAX_PACKETS_A_RUN {
            return Next::At(now);
        }
        let ask = self.asked.filter(|_| self.need_key).map(|asked| asked + ASK_AGAIN);
        let due = [ask, self.reorder.deadline()].into_iter().flatten().min();
        due.map_or(Next::Wait, Next::At)
    }
}

impl VideoSource {
    fn take(&mut self, next: InOrder) {
        match next {
            InOrder::Lost => {
                self.assembler.gap();
                self.lost();
            }
            InOrder::Packet(packet) => {
                for frame in self.assembler.push(&packet) {
                    match frame {
                        Ok(frame) => self.decode(&frame),
                        Err(Damaged) => self.lost(),
                    }
                }
            }
        }
    }
}
