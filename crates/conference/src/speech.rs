//! Speech in a prompt: recorded words, played to one room system at the pace at which they are spoken.

use std::sync::Arc;
use std::time::Duration;

use mcu::{Bridge, SourceId};
use rtp::lane::{LaneTx, MediaPacket, lane};
use tokio_util::task::AbortOnDropHandle;
use types::{AudioCodec, Codec};

use crate::clock::Clock;

/// Bytes of 20 ms: G.722 has 64 kbit/s.
const PACKET: usize = 160;
/// A packet's steps of the clock, which runs at 8 kHz for this codec (RFC 3551 section 4.5.2).
const STEP: u32 = 160;
const INTERVAL: Duration = Duration::from_millis(20);
/// Packets in the lane: the bridge takes one at each of its ticks.
const LANE: usize = 16;

/// Words on their way. Dropped, they break off.
pub(crate) struct Speech {
    _words: AbortOnDropHandle<()>,
}

impl Speech {
    /// Says it, in G.722 as it comes, as the voice `source` of a bridge.
    pub(crate) fn say(
        words: &'static [u8],
        source: SourceId,
        bridge: &Bridge,
        clock: Clock,
    ) -> Self {
        let (tx, rx) = lane(LANE, Bridge::silent_bell());
        bridge.add_audio_source(source, AudioCodec::G722, rx);
        Self { _words: AbortOnDropHandle::new(tokio::spawn(play(words, tx, clock))) }
    }
}

async fn play(words: &'static [u8], mut lane: LaneTx, clock: Clock) {
    let (mut due, mut timestamp) = (clock.now(), 0u32);
    for (seq, payload) in (0u64..).zip(words.chunks(PACKET)) {
        clock.sleep_until(due).await;
        due += INTERVAL;
        if lane.is_closed() {
            return;
        }
        lane.push(MediaPacket {
            payload: Arc::from(payload),
            seq,
            timestamp,
            marker: seq == 0,
            arrival: clock.now(),
            format: Codec::Audio(AudioCodec::G722).number(),
            audio_level: None,
            capture: None,
        });
        timestamp = timestamp.wrapping_add(STEP);
    }
}
