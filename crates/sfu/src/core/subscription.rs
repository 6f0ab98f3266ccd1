//! One receiver of one track.

use rtp::lane::{LaneTx, MediaPacket};
use types::{Codec, PeerId, TrackId, VideoCodec};

use super::budget::Allowance;
use super::layer::Wanted;
use super::rewrite::{Rewrite, Vp8Numbers};

/// Who receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SinkId {
    /// A participant's transport on this shard.
    Peer(PeerId),
    /// A lane to another plane, by a number that the owner of the lane chose.
    Lane(u64),
}

/// A packet on its way to a peer, with the numbers that it gets there.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// The track that it belongs to.
    pub track: TrackId,
    /// As it came in; numbers below replace its own.
    pub packet: &'a MediaPacket,
    /// What the payload is.
    pub codec: Codec,
    /// Extended sequence number for the receiver.
    pub seq: u64,
    /// RTP timestamp for the receiver.
    pub timestamp: u32,
    /// VP8 ids to write over the payload's own.
    pub vp8: Option<Vp8Numbers>,
}

/// Subscription state: which layer flows, which should, and the outgoing numbers.
#[derive(Debug)]
pub struct Subscription {
    pub sink: SinkId,
    pub lane: Option<LaneTx>,
    pub wanted: Wanted,
    /// Whether its transport can carry the track already. Until then it waits for nothing: a key
    /// frame that came too early would be lost, and the next one is a second away.
    ready: bool,
    enabled: bool,
    /// What its receiver's bandwidth leaves for it.
    allowance: Allowance,
    current: Option<u8>,
    target: u8,
    rewrite: Rewrite,
}

impl Subscription {
    pub fn new(sink: SinkId, lane: Option<LaneTx>, wanted: Wanted) -> Self {
        Self {
            sink,
            // A lane takes what comes.
            ready: lane.is_some(),
            lane,
            wanted,
            enabled: true,
            allowance: Allowance::default(),
            current: None,
            target: 0,
            rewrite: Rewrite::default(),
        }
    }

    /// Its transport can carry the track from now on.
    pub fn start(&mut self) {
        self.ready = true;
    }

    /// Pauses or resumes at the receiver's wish. A picture resumes at a key frame.
    pub fn set_enabled(&mut self, enabled: bool) {
        if self.enabled && !enabled {
            self.pause();
        }
        self.enabled = enabled;
    }

    /// Whether its receiver wants packets at all now.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    pub fn allowance(&self) -> Allowance {
        self.allowance
    }

    /// What its receiver's bandwidth leaves for it from now on.
    pub fn set_allowance(&mut self, allowance: Allowance) {
        if allowance == Allowance::Nothing && self.allowance != allowance {
            self.pause();
        }
        self.allowance = allowance;
    }

    fn flows(&self) -> bool {
        self.ready && self.enabled && self.allowance != Allowance::Nothing
    }

    /// Something was left out on purpose (a closed gate, a pause).
    pub fn pause(&mut self) {
        if self.current.take().is_some() {
            self.rewrite.restart(true);
        }
    }

    /// What follows has other numbers, on another clock.
    pub fn change_origin(&mut self) {
        self.current = None;
        self.rewrite.restart(false);
    }

    pub fn set_target(&mut self, layer: u8) {
        self.target = layer;
    }

    /// The layer whose key frame this receiver waits for.
    pub fn awaits_key_frame(&self) -> Option<u8> {
        (self.flows() && self.current != Some(self.target)).then_some(self.target)
    }

    /// The layer of which a key frame helps this receiver now.
    pub fn layer_to_refresh(&self) -> u8 {
        self.current.unwrap_or(self.target)
    }

    /// Takes a packet of `layer`; `None` if it is not for this receiver.
    pub fn accept<'a>(
        &mut self,
        track: TrackId,
        layer: u8,
        packet: &'a MediaPacket,
        codec: Codec,
        key_frame: bool,
    ) -> Option<Outgoing<'a>> {
        if !self.flows() {
            return None;
        }
        if self.current != Some(layer) {
            // A small picture now is better than a large one later: the target's key frame may take
            // another second, or never come where the layer is starved of bandwidth.
            let begins_small = self.current.is_none() && layer < self.target;
            if !key_frame || !(layer == self.target || begins_small) {
                return None;
            }
            if self.current.is_some() {
                self.rewrite.restart(false);
            }
            self.current = Some(layer);
        }
        if packet.payload.is_empty() {
            self.rewrite.skip(packet.seq);
            return None;
        }
        let ids = match codec {
            Codec::Video(VideoCodec::Vp8) => vp8_ids(&packet.payload),
            _ => None,
        };
        let numbers = self.rewrite.apply(packet, codec.clock_rate(), ids)?;
        Some(Outgoing {
            track,
            packet,
            codec,
            seq: numbers.seq,
            timestamp: numbers.timestamp,
            vp8: numbers.vp8,
        })
    }
}

/// Picture id (15-bit form only) and TL0PICIDX of a VP8 payload descriptor, RFC 7741 section 4.2.
fn vp8_ids(payload: &[u8]) -> Option<(u16, Option<u8>)> {
    let (first, extension) = (*payload.first()?, *payload.get(1)?);
    if first & 0x80 == 0 || extension & 0x80 == 0 {
        return None;
    }
    let (high, low) = (*payload.get(2)?, *payload.get(3)?);
    if high & 0x80 == 0 {
        return None;
    }
    let tl0 = if extension & 0x40 != 0 { Some(*payload.get(4)?) } else { None };
    Some((u16::from_be_bytes([high & 0x7f, low]), tl0))
}
