//! One function for each parser of what a peer sends, for fuzzers. None may panic.

use std::sync::Arc;
use std::time::Instant;

use crate::lane::MediaPacket;
use crate::payload::{audio, h264, vp8};

/// [`crate::packet::Packet::parse`] and the extensions.
pub fn rtp(data: &[u8]) {
    if let Ok(packet) = crate::packet::Packet::parse(data) {
        let _ = packet.extension(1);
        let _ = packet.audio_level(14);
    }
}

/// [`crate::rtcp::read`].
pub fn rtcp(data: &[u8]) {
    let _ = crate::rtcp::read(data);
}

/// [`h264::Depacketizer`], fed with packets of up to 255 bytes, each after its length.
pub fn h264(data: &[u8], now: Instant) {
    let mut depacketizer = h264::Depacketizer::new();
    for_packets(data, now, |packet| {
        let _ = h264::starts_key_frame(&packet.payload);
        let _ = depacketizer.push(packet);
        let _ = depacketizer.pop();
    });
}

/// [`vp8::Depacketizer`], fed in the same way.
pub fn vp8(data: &[u8], now: Instant) {
    let mut depacketizer = vp8::Depacketizer::new();
    for_packets(data, now, |packet| {
        let _ = depacketizer.push(packet);
        let _ = depacketizer.pop();
    });
}

/// [`audio::unwrap_red`].
pub fn red(data: &[u8]) {
    let _ = audio::unwrap_red(data);
}

/// [`audio::ToneReader`].
pub fn tones(data: &[u8]) {
    let mut reader = audio::ToneReader::new();
    for (at, chunk) in data.chunks(5).enumerate() {
        let _ = reader.push(at as u32 / 2, chunk);
    }
}

/// [`crate::srtp::Srtp`], with what is not authentic.
pub fn srtp(data: &[u8]) {
    if let Ok(mut srtp) = crate::srtp::Srtp::new(crate::srtp::Suite::AesCm128Sha1_80, &[7; 30]) {
        let _ = srtp.unprotect_rtp(data);
        let _ = srtp.unprotect_rtcp(data);
    }
}

fn for_packets(data: &[u8], now: Instant, mut run: impl FnMut(&MediaPacket)) {
    let mut rest = data;
    let mut seq = 0;
    while let Some((len, tail)) = rest.split_first() {
        let (payload, next) = tail.split_at_checked(usize::from(*len)).unwrap_or((tail, &[]));
        rest = next;
        // Every 16th number is lost; every fourth packet ends a frame.
        seq += if seq % 16 == 15 { 2 } else { 1 };
        run(&MediaPacket {
            payload: Arc::from(payload),
            seq,
            timestamp: (seq / 5) as u32,
            marker: seq % 4 == 0,
            arrival: now,
            format: 0,
            audio_level: None,
            capture: None,
        });
    }
}

/// [`crate::payload::sps::Sps::parse`].
pub fn sps(data: &[u8]) {
    let _ = crate::payload::sps::Sps::parse(data);
}
