//! VP8 over RTP (RFC 7741).
//!
//! [`Depacketizer`] takes packets in the order of their sequence numbers and yields frames;
//! [`Packetizer`] does the reverse, with picture ids of 15 bits.

use super::{Frame, MAX_FRAME, MTU, PacketizeError};
use crate::lane::MediaPacket;

/// Bytes of the descriptor that [`Packetizer`] writes.
const DESCRIPTOR: usize = 4;

/// The payload descriptor (RFC 7741 section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// Whether the packet begins a frame: the start of its first partition.
    pub begins_frame: bool,
    /// Whether no other frame refers to this one.
    pub droppable: bool,
    /// Picture id, of 7 or 15 bits.
    pub picture_id: Option<u16>,
    /// Temporal layer, 0..=3.
    pub temporal_layer: Option<u8>,
}

impl Descriptor {
    /// Splits a payload into its descriptor and the VP8 bytes; `None` if it is too short.
    #[must_use]
    pub fn split(payload: &[u8]) -> Option<(Self, &[u8])> {
        let (first, mut rest) = payload.split_first()?;
        let mut descriptor = Self {
            begins_frame: first & 0x10 != 0 && first & 0x07 == 0,
            droppable: first & 0x20 != 0,
            picture_id: None,
            temporal_layer: None,
        };
        if first & 0x80 == 0 {
            return Some((descriptor, rest));
        }
        let mut next = || {
            let (byte, tail) = rest.split_first()?;
            rest = tail;
            Some(*byte)
        };
        let extension = next()?;
        if extension & 0x80 != 0 {
            let high = next()?;
            let id = match high & 0x80 {
                0 => u16::from(high),
                _ => u16::from_be_bytes([high & 0x7f, next()?]),
            };
            descriptor.picture_id = Some(id);
        }
        if extension & 0x40 != 0 {
            next()?;
        }
        if extension & 0x30 != 0 {
            let byte = next()?;
            descriptor.temporal_layer = (extension & 0x20 != 0).then_some(byte >> 6);
        }
        Some((descriptor, rest))
    }
}

/// Whether a frame, or the first packet's VP8 bytes of one, is a key frame (RFC 6386 section 9.1).
#[must_use]
pub fn is_key_frame(frame: &[u8]) -> bool {
    frame.first().is_some_and(|tag| tag & 1 == 0)
}

/// Width and height in pixels that the beginning of a key frame tells (RFC 6386 section 9.1).
#[must_use]
pub fn picture_size(frame: &[u8]) -> Option<(u32, u32)> {
    let header = frame.first_chunk::<10>().filter(|_| is_key_frame(frame))?;
    let &[_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1] = header else { return None };
    // The two highest bits of each tell how a player scales.
    let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    Some((side(w0, w1), side(h0, h1)))
}

/// Whether an RTP payload begins a key frame.
#[must_use]
pub fn starts_key_frame(payload: &[u8]) -> bool {
    Descriptor::split(payload).is_some_and(|(d, frame)| d.begins_frame && is_key_frame(frame))
}

/// Puts frames together. One for each source.
#[derive(Debug, Default)]
pub struct Depacketizer {
    data: Vec<u8>,
    timestamp: Option<u32>,
    damaged: bool,
    lost_before: bool,
    next_seq: Option<u64>,
    ready: Option<Frame>,
}

impl Depacketizer {
    /// A depacketizer that waits for its first packet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next packet. A returned frame is complete: by its marker bit, or because the packet
    /// belongs to the one after it. Call [`Self::pop`] until it is empty afterwards. A frame whose
    /// beginning was lost is yielded without data.
    ///
    /// Packets that are older than one seen are dropped.
    pub fn push(&mut self, packet: &MediaPacket) -> Option<Frame> {
        if self.next_seq.is_some_and(|next| packet.seq < next) {
            return None;
        }
        let lost = self.next_seq.is_some_and(|next| packet.seq > next);
        self.next_seq = Some(packet.seq.saturating_add(1));
        self.damaged |= lost && self.timestamp.is_some();
        let before = match self.timestamp {
            Some(timestamp) if timestamp != packet.timestamp => self.finish(),
            _ => None,
        };
        if self.timestamp.is_none() {
            self.timestamp = Some(packet.timestamp);
            self.lost_before = lost;
        }
        self.add(&packet.payload);
        if packet.marker {
            let this = self.finish();
            if before.is_some() {
                self.ready = this;
                return before;
            }
            return this;
        }
        before
    }

    /// The frame that was finished together with the one that [`Self::push`] returned.
    pub fn pop(&mut self) -> Option<Frame> {
        self.ready.take()
    }

    fn add(&mut self, payload: &[u8]) {
        let Some((descriptor, body)) = Descriptor::split(payload) else {
            return self.damaged = true;
        };
        // A frame begins once, and its bytes are of use only from there on without a gap.
        let fits = self.data.len() + body.len() <= MAX_FRAME;
        if descriptor.begins_frame != self.data.is_empty() || self.damaged || !fits {
            return self.damaged = true;
        }
        self.data.extend_from_slice(body);
    }

    fn finish(&mut self) -> Option<Frame> {
        let timestamp = self.timestamp.take()?;
        let data = std::mem::take(&mut self.data);
        let key = is_key_frame(&data);
        // What was lost before a whole key frame harms nothing.
        let lost_before = std::mem::take(&mut self.lost_before) && !key;
        let damaged = std::mem::take(&mut self.damaged) || lost_before || data.is_empty();
        Some(Frame { data, timestamp, key, damaged })
    }
}

/// Cuts frames into RTP payloads of [`MTU`] bytes at most.
#[derive(Debug, Clone)]
pub struct Packetizer {
    picture_id: u16,
}

impl Packetizer {
    /// A packetizer whose first frame bears `picture_id` (of which 15 bits count).
    #[must_use]
    pub const fn new(picture_id: u16) -> Self {
        Self { picture_id: picture_id & 0x7fff }
    }

    /// The payloads of one frame. The last one's packet bears the marker.
    ///
    /// # Errors
    /// [`PacketizeError::Empty`].
    pub fn packetize(&mut self, frame: &[u8]) -> Result<Vec<Vec<u8>>, PacketizeError> {
        if frame.is_empty() {
            return Err(PacketizeError::Empty);
        }
        let [high, low] = self.picture_id.to_be_bytes();
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        // Parts of even size, so that none is tiny.
        let parts = frame.len().div_ceil(MTU - DESCRIPTOR);
        let chunks = frame.chunks(frame.len().div_ceil(parts));
        let payload = |(at, chunk): (usize, &[u8])| {
            let start = if at == 0 { 0x10 } else { 0 };
            let descriptor = [0x80 | start, 0x80, 0x80 | high, low];
            [descriptor.as_slice(), chunk].concat()
        };
        Ok(chunks.enumerate().map(payload).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Rng, packet};

    fn frame(key: bool, len: usize) -> Vec<u8> {
        (0..len).map(|at| if at == 0 { u8::from(!key) } else { at as u8 }).collect()
    }

    fn send(payloads: Vec<Vec<u8>>, seq: u64, timestamp: u32) -> Vec<MediaPacket> {
        let last = payloads.len() - 1;
        let number = |(at, payload): (usize, Vec<u8>)| MediaPacket {
            marker: at == last,
            ..packet(seq + at as u64, timestamp, &payload)
        };
        payloads.into_iter().enumerate().map(number).collect()
    }

    #[test]
    fn frames_travel_whole_and_their_picture_ids_count_on_over_the_wrap() {
        let mut packetizer = Packetizer::new(0x7fff);
        let mut depacketizer = Depacketizer::new();
        let mut seq = 7;
        for (at, id) in [(0, 0x7fff), (1, 0), (2, 1)] {
            let sent = frame(at == 0, 4000);
            let payloads = packetizer.packetize(&sent).unwrap();
            assert!(payloads.iter().all(|p| p.len() <= MTU));
            let (descriptor, _) = Descriptor::split(&payloads[1]).unwrap();
            assert_eq!((descriptor.picture_id, descriptor.begins_frame), (Some(id), false));
            assert_eq!(starts_key_frame(&payloads[0]), at == 0);
            assert!(!starts_key_frame(&payloads[1]));
            let packets = send(payloads, seq, at * 3000);
            seq += packets.len() as u64;
            let got: Vec<Frame> = packets.iter().filter_map(|p| depacketizer.push(p)).collect();
            let whole = Frame { data: sent, timestamp: at * 3000, key: at == 0, damaged: false };
            assert_eq!(got, [whole]);
        }
    }

    #[test]
    fn a_loss_damages_until_a_key_frame_that_is_whole() {
        let mut packetizer = Packetizer::new(0);
        let mut depacketizer = Depacketizer::new();
        let mut packets = send(packetizer.packetize(&frame(false, 4000)).unwrap(), 0, 0);
        packets.remove(1);
        let cut: Vec<Frame> = packets.iter().filter_map(|p| depacketizer.push(p)).collect();
        assert!(cut[0].damaged && cut[0].data.len() == 1000, "what came before the gap");

        let headless = send(packetizer.packetize(&frame(false, 3000)).unwrap(), 4, 3000);
        let got: Vec<Frame> = headless[1..].iter().filter_map(|p| depacketizer.push(p)).collect();
        assert!(got[0].damaged && got[0].data.is_empty());

        let key = send(packetizer.packetize(&frame(true, 3000)).unwrap(), 30, 6000);
        let got: Vec<Frame> = key.iter().filter_map(|p| depacketizer.push(p)).collect();
        assert!(got[0].key && !got[0].damaged);
    }

    #[test]
    fn every_field_of_a_browsers_descriptor_is_read() {
        // X, S; I L T K; 15-bit id; TL0PICIDX; TID 2, Y, KEYIDX.
        let payload = [0x90, 0xf0, 0x92, 0x34, 0x05, 0xa3, 0x00, 0x9d];
        let (descriptor, body) = Descriptor::split(&payload).unwrap();
        assert_eq!(descriptor.picture_id, Some(0x1234));
        assert_eq!(descriptor.temporal_layer, Some(2));
        assert!(descriptor.begins_frame && !descriptor.droppable);
        assert_eq!(body, [0x00, 0x9d]);
        for cut in 0..6 {
            assert_eq!(Descriptor::split(&payload[..cut]), None, "{cut} bytes");
        }
    }

    #[test]
    fn mutated_packets_neither_panic_nor_grow_the_frame() {
        let mut rng = Rng::new(0x08);
        let mut depacketizer = Depacketizer::new();
        let payloads = Packetizer::new(5).packetize(&frame(true, 4000)).unwrap();
        let mut seq = 0;
        for round in 0..100_000_u64 {
            let mut payload = payloads[round as usize % payloads.len()].clone();
            rng.mutate(&mut payload);
            seq += rng.below(3);
            let marker = rng.below(9) == 0;
            let one = MediaPacket { marker, ..packet(seq, round as u32 / 5, &payload) };
            for frame in depacketizer.push(&one).into_iter().chain(depacketizer.pop()) {
                assert!(frame.data.len() <= MAX_FRAME);
            }
        }
    }
}
