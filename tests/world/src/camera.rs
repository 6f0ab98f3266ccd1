//! A camera in front of a wall of one colour.

use std::time::Duration;

use codec::{Encoder, EncoderSettings, PicturePool, Rect, Yuv};
use rtp::payload::{h264, vp8};
use types::VideoCodec;

use crate::mark::{FLASH, Mark};

pub const WIDTH: u32 = 320;
pub const HEIGHT: u32 = 180;
const FPS: u32 = 15;
/// Pictures of a flash.
const FLASHING: u64 = 2;

pub struct Camera {
    mark: Mark,
    encoder: Encoder,
    cutter: Cutter,
    pool: PicturePool,
    claps: bool,
    /// Its next picture is a key frame.
    pub wants_key: bool,
    next: u64,
}

enum Cutter {
    H264(h264::Packetizer),
    Vp8(vp8::Packetizer),
}

/// One picture in packets.
pub struct Shot {
    pub payloads: Vec<Vec<u8>>,
    pub timestamp: u32,
}

impl Camera {
    pub fn new(mark: Mark, codec: VideoCodec, claps: bool) -> Self {
        let settings = EncoderSettings {
            codec,
            width: WIDTH,
            height: HEIGHT,
            fps: FPS,
            bitrate: 300_000,
            max_slice: None,
        };
        let cutter = match codec {
            VideoCodec::H264 => Cutter::H264(h264::Packetizer::new(h264::Mode::NonInterleaved)),
            _ => Cutter::Vp8(vp8::Packetizer::new(1)),
        };
        let encoder = Encoder::new(settings).expect("an encoder");
        let pool = PicturePool::new(2);
        Self { mark, encoder, cutter, pool, claps, wants_key: false, next: 0 }
    }

    /// Its next picture is the first after `time` of the world.
    pub fn begin(&mut self, time: Duration) {
        self.next = time.as_micros() as u64 * u64::from(FPS) / 1_000_000 + 1;
        self.wants_key = true;
    }

    /// When, in the world's time, it films.
    pub fn due(&self) -> Duration {
        Duration::from_micros((self.next * 1_000_000).div_ceil(u64::from(FPS)))
    }

    pub fn film(&mut self) -> Shot {
        let mut picture = self.pool.picture(WIDTH, HEIGHT).expect("a picture");
        let flashes = self.claps && self.next % u64::from(FPS) < FLASHING;
        let colour = if flashes { FLASH } else { self.mark.colour };
        picture.fill(Rect::new(0, 0, WIDTH, HEIGHT), colour);
        // Something that moves: a still picture would cost nothing and show nothing lost.
        let x = (self.next * 8 % u64::from(WIDTH)) as u32 & !1;
        picture.fill(Rect::new(x, 0, 16, HEIGHT / 12), Yuv { y: 200, u: 128, v: 128 });
        let mut data = Vec::new();
        let key = std::mem::take(&mut self.wants_key);
        self.encoder.encode(&picture, key, &mut data).expect("a frame");
        let payloads = match &mut self.cutter {
            Cutter::H264(cutter) => cutter.packetize(&data),
            Cutter::Vp8(cutter) => cutter.packetize(&data),
        };
        let timestamp = (self.next * u64::from(VideoCodec::CLOCK_RATE / FPS)) as u32;
        self.next += 1;
        Shot { payloads: payloads.expect("packets"), timestamp }
    }
}
