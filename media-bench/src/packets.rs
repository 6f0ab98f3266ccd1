//! The measured packets: 1200 bytes on the wire, a VP8 key frame now and then.

use std::sync::Arc;

/// What is left of 1200 bytes for the payload: 12 of header, 12 of header extensions as str0m
/// writes them, and the tag of 16.
pub const PAYLOAD: usize = 1_160;

/// Packets from one key frame to the next: a receiver begins with one.
const KEY_EVERY: u64 = 100;
/// Packets of one frame.
const FRAME: u64 = 20;

/// The payload of the stream's packet `number` (RFC 7741): a picture id of 15 bits, as browsers
/// write it.
pub fn payload(number: u64) -> Arc<[u8]> {
    let begins = number.is_multiple_of(FRAME);
    let picture = number / FRAME;
    let mut bytes = vec![0x55; PAYLOAD];
    let id = (picture & 0x7fff) as u16 | 0x8000;
    let [high, low] = id.to_be_bytes();
    // The first bit after the descriptor tells an inter frame from a key frame.
    let inter = u8::from(begins && !number.is_multiple_of(KEY_EVERY));
    let head = [0x80 | u8::from(begins) << 4, 0x80, high, low, inter];
    for (byte, value) in bytes.iter_mut().zip(head) {
        *byte = value;
    }
    bytes.into()
}

/// Of 30 frames a second.
pub fn timestamp(number: u64) -> u32 {
    // Wraps, as RTP's clock does.
    (number / FRAME * 3_000) as u32
}

/// The payload and the timestamp of the sound's packet `number`: 48 kbit/s of Opus, which nobody
/// decodes.
pub fn sound(number: u64) -> (Arc<[u8]>, u32) {
    // Wraps, as RTP's clock does.
    (vec![0x78; 120].into(), (number * 960) as u32)
}

/// Whether a received payload is one of these, not padding or a probe.
pub fn is_measured(payload: &[u8]) -> bool {
    payload.len() == PAYLOAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_begins_every_twenty_packets_and_a_key_frame_every_hundred() {
        let descriptor = |number| rtp::payload::vp8::Descriptor::split(&payload(number)).unwrap().0;
        assert!(descriptor(0).begins_frame && descriptor(20).begins_frame);
        assert!(!descriptor(19).begins_frame);
        assert_eq!((descriptor(19).picture_id, descriptor(20).picture_id), (Some(0), Some(1)));
        assert!(rtp::payload::vp8::starts_key_frame(&payload(100)));
        assert!(!rtp::payload::vp8::starts_key_frame(&payload(20)));
    }
}
