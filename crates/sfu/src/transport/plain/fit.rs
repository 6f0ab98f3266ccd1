//! Whether somebody's picture can go to a room system as it comes.

use std::time::{Duration, Instant};

use rtp::lane::MediaPacket;
use rtp::payload::h264::nal_type;
use rtp::payload::vp8::{self, Descriptor};
use types::VideoCodec;

use super::pictures::Pictures;

/// Over so long a stream's rates are taken.
const WINDOW: Duration = Duration::from_secs(2);
/// Rates swing: by so much they may be above what was agreed, as an average over the window.
const SWING: f64 = 1.3;
/// NAL units that hold others, or parts of others: mode 0 is without them (RFC 6184 section 5.4).
const FIRST_PACKET_TYPE: u8 = 24;

/// What a room system takes, by its negotiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureLimits {
    /// Pixels across; wider pictures are taken if they are less high.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Pictures a second.
    pub fps: u32,
    /// Bits a second.
    pub bitrate: u32,
    /// H.264: it takes single NAL units only (packetization-mode 0).
    pub single_nal: bool,
}

/// Watches a stream that goes on untouched.
#[derive(Debug)]
pub struct Fit {
    limits: PictureLimits,
    pictures: Pictures,
    window: Option<Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    bytes: usize,
    frames: u32,
}

impl Fit {
    pub fn new(limits: PictureLimits) -> Self {
        // Its size and rates are looked at themselves.
        Self { limits, pictures: Pictures::new(u8::MAX), window: None }
    }

    /// Whether the next packet of the stream can go on. If not, the stream is not for this receiver.
    pub fn allows(&mut self, packet: &MediaPacket, codec: VideoCodec) -> bool {
        let of_codec = match codec {
            VideoCodec::H264 => self.allows_h264(packet),
            VideoCodec::Vp8 => self.allows_vp8(packet),
            // Room systems have no others.
            VideoCodec::Vp9 | VideoCodec::Av1 => false,
        };
        of_codec && self.allows_rate(packet)
    }

    fn allows_h264(&mut self, packet: &MediaPacket) -> bool {
        let header = packet.payload.first().copied().unwrap_or_default();
        if self.limits.single_nal && nal_type(header) >= FIRST_PACKET_TYPE {
            return false;
        }
        let look = self.pictures.look(packet, VideoCodec::H264);
        if look.verdict == Some(false) {
            return false;
        }
        !look.key || self.pictures.sizes().all(|(width, height)| self.allows_size(width, height))
    }

    fn allows_vp8(&self, packet: &MediaPacket) -> bool {
        let size = Descriptor::split(&packet.payload)
            .filter(|_| vp8::starts_key_frame(&packet.payload))
            .and_then(|(_, frame)| vp8::picture_size(frame));
        size.is_none_or(|(width, height)| self.allows_size(width, height))
    }

    /// Levels bound the area of a picture and leave its shape open.
    fn allows_size(&self, width: u32, height: u32) -> bool {
        let blocks = |width: u32, height: u32| width.div_ceil(16) * height.div_ceil(16);
        blocks(width, height) <= blocks(self.limits.width, self.limits.height)
    }

    fn allows_rate(&mut self, packet: &MediaPacket) -> bool {
        let window =
            self.window.get_or_insert(Window { began: packet.arrival, bytes: 0, frames: 0 });
        window.bytes += packet.payload.len();
        window.frames += u32::from(packet.marker);
        let passed = packet.arrival.saturating_duration_since(window.began);
        if passed < WINDOW {
            return true;
        }
        let Window { bytes, frames, .. } = *window;
        self.window = None;
        let a_second = |count: f64| count / passed.as_secs_f64();
        a_second(bytes as f64 * 8.0) <= f64::from(self.limits.bitrate) * SWING
            && a_second(f64::from(frames)) <= f64::from(self.limits.fps) * SWING
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use types::Codec;

    use super::*;

    const LIMITS: PictureLimits =
        PictureLimits { width: 640, height: 360, fps: 15, bitrate: 500_000, single_nal: false };
    /// Constrained baseline, 640×360 and its like; made by x264 and OpenH264.
    const SPS_640X360: [u8; 13] =
        [0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x61, 0x00, 0x00, 0x03];

    fn packet(at: Instant, payload: &[u8]) -> MediaPacket {
        MediaPacket {
            payload: Arc::from(payload),
            seq: 1,
            timestamp: 0,
            marker: true,
            arrival: at,
            format: Codec::Video(VideoCodec::Vp8).number(),
            audio_level: None,
            capture: None,
        }
    }

    /// A VP8 key frame of a size (RFC 7741 section 4.2, RFC 6386 section 9.1).
    fn vp8_key(width: u16, height: u16) -> Vec<u8> {
        let mut payload = vec![0x10, 0x10, 0, 0, 0x9d, 0x01, 0x2a];
        payload.extend(width.to_le_bytes());
        payload.extend(height.to_le_bytes());
        payload
    }

    #[test]
    fn a_picture_fits_by_its_area() {
        let now = Instant::now();
        let fits = |width, height| {
            Fit::new(LIMITS).allows(&packet(now, &vp8_key(width, height)), VideoCodec::Vp8)
        };
        assert!(fits(640, 360) && fits(360, 640) && fits(320, 180));
        assert!(!fits(1280, 720) && !fits(640, 480));
    }

    #[test]
    fn rates_may_swing_and_no_more() {
        let now = Instant::now();
        let stream = |fps: u32, bytes: usize| {
            let mut fit = Fit::new(LIMITS);
            (0..fps * 5).all(|frame| {
                let at = now + Duration::from_secs(frame.into()) / fps;
                fit.allows(&packet(at, &vec![1; bytes]), VideoCodec::Vp8)
            })
        };
        assert!(stream(15, 500_000 / 8 / 15));
        assert!(!stream(30, 500_000 / 8 / 30), "twice the pictures");
        assert!(!stream(15, 1_000_000 / 8 / 15), "twice the bits");
    }

    #[test]
    fn a_profile_that_was_not_agreed_does_not_fit() {
        let now = Instant::now();
        let mut high = SPS_640X360;
        (high[1], high[2]) = (0x4d, 0x00);
        let fits =
            |sps: &[u8], limits| Fit::new(limits).allows(&packet(now, sps), VideoCodec::H264);
        assert!(fits(&SPS_640X360, LIMITS));
        assert!(!fits(&high, LIMITS), "main profile");
        let mode_0 = PictureLimits { single_nal: true, ..LIMITS };
        assert!(fits(&SPS_640X360, mode_0));
        assert!(!fits(&[0x7c, 0x85, 1, 2], mode_0), "a fragment in mode 0");
    }
}
