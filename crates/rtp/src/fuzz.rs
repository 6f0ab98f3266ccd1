//! One function for each parser of what a peer sends, for fuzzers. None may panic.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::jitter::{AudioBuffer, VideoBuffer};
use crate::lane::MediaPacket;
use crate::payload::{audio, h224, h264, vp8};
use crate::srtp::{Srtp, Suite};

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

/// [`h224::Frame`]: what was read is written so that it is read as the same.
pub fn h224(data: &[u8]) {
    if let Ok(frame) = h224::Frame::parse(data)
        && frame != h224::Frame::Other
    {
        assert_eq!(h224::Frame::parse(&frame.payload()), Ok(frame));
    }
}

/// [`audio::ToneReader`].
pub fn tones(data: &[u8]) {
    let mut reader = audio::ToneReader::new();
    for (at, chunk) in data.chunks(5).enumerate() {
        let _ = reader.push(at as u32 / 2, chunk);
    }
}

/// [`crate::srtp::Srtp`] in every suite, with what is not authentic.
pub fn srtp(data: &[u8]) {
    for suite in [
        Suite::AesCm128Sha1_80,
        Suite::AesCm128Sha1_32,
        Suite::AesCm256Sha1_80,
        Suite::AesCm256Sha1_32,
        Suite::AeadAes128Gcm,
        Suite::AeadAes256Gcm,
    ] {
        let key = vec![7; suite.key_len() + suite.salt_len()];
        let Ok(mut srtp) = Srtp::new(suite, &key) else { unreachable!("{suite:?} is available") };
        assert!(srtp.unprotect_rtp(data).is_err());
        assert!(srtp.unprotect_rtcp(data).is_err());
    }
}

/// [`AudioBuffer`], in steps of six bytes: some milliseconds pass, then a packet comes or is
/// played.
pub fn audio_jitter(data: &[u8], now: Instant) {
    let mut buffer = AudioBuffer::new(48_000);
    for_steps(data, now, |step| match step {
        Step::Push(packet) => buffer.push(packet),
        Step::Pop(now) => {
            let _ = buffer.pop(now);
        }
    });
    assert!(buffer.len() <= MAX_BUFFERED);
}

/// [`VideoBuffer`], in the same steps.
pub fn video_jitter(data: &[u8], now: Instant) {
    let mut buffer = VideoBuffer::new(Duration::from_millis(60));
    for_steps(data, now, |step| match step {
        Step::Push(packet) => buffer.push(packet),
        Step::Pop(now) => {
            let _ = buffer.deadline();
            while buffer.pop(now).is_some() {}
        }
    });
}

/// More than an [`AudioBuffer`] ever holds.
const MAX_BUFFERED: usize = 1000;

enum Step {
    Push(MediaPacket),
    Pop(Instant),
}

fn for_steps(data: &[u8], start: Instant, mut run: impl FnMut(Step)) {
    let (mut now, mut seq, mut timestamp) = (start, 1_u64 << 16, 0_u32);
    for step in data.as_chunks::<6>().0 {
        let [kind, millis, numbers @ ..] = *step;
        now += Duration::from_millis(millis.into());
        if kind % 4 == 0 {
            run(Step::Pop(now));
            continue;
        }
        let [a, b, c, d] = numbers;
        seq = seq.saturating_add_signed(i16::from_be_bytes([a, b]).into());
        // Most counts go on by 20 ms; the others leap.
        let leap = i32::from(i16::from_be_bytes([c, d])) << (kind % 3 * 8);
        timestamp = timestamp.wrapping_add_signed(leap);
        run(Step::Push(packet(&[kind], seq, timestamp, now)));
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
        run(&packet(payload, seq, (seq / 5) as u32, now));
    }
}

fn packet(payload: &[u8], seq: u64, timestamp: u32, arrival: Instant) -> MediaPacket {
    MediaPacket {
        payload: Arc::from(payload),
        seq,
        timestamp,
        marker: seq.is_multiple_of(4),
        arrival,
        format: 0,
        audio_level: None,
        capture: None,
    }
}

/// [`crate::payload::sps::Sps::parse`].
pub fn sps(data: &[u8]) {
    let _ = crate::payload::sps::Sps::parse(data);
}
