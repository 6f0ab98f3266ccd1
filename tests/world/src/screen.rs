//! Shows a stream and knows colours.

use std::time::{Duration, Instant};

use codec::{Decoder, Picture, PicturePool, Yuv};
use rtp::jitter::{Ordered, VideoBuffer, VideoStats};
use rtp::lane::MediaPacket;
use rtp::payload::{Frame, h264, vp8};
use types::VideoCodec;

use crate::mark::FLASH;

/// How long a missing packet is waited for: some round trips.
const PATIENCE: Duration = Duration::from_millis(400);
/// Between two requests for a key frame.
const ASK_AGAIN: Duration = Duration::from_millis(500);

pub struct Screen {
    order: VideoBuffer,
    depacketizer: Depacketizer,
    decoder: Decoder,
    shown: Option<Picture>,
    asked: Option<Instant>,
    broken: bool,
    /// When pictures were shown.
    pub shows: Vec<Instant>,
    /// Requests for key frames.
    pub asks: usize,
    /// Frames that came whole and could not be decoded.
    pub undecodable: usize,
    /// Moments of capture at which flashes began.
    pub flashes: Vec<Instant>,
    flashing: bool,
}

enum Depacketizer {
    H264(h264::Depacketizer),
    Vp8(vp8::Depacketizer),
}

impl Screen {
    pub fn new(codec: VideoCodec) -> Self {
        let depacketizer = match codec {
            VideoCodec::H264 => Depacketizer::H264(h264::Depacketizer::new()),
            _ => Depacketizer::Vp8(vp8::Depacketizer::new()),
        };
        Self {
            order: VideoBuffer::new(PATIENCE),
            depacketizer,
            decoder: Decoder::new(codec, PicturePool::new(4)).expect("a decoder"),
            shown: None,
            asked: None,
            broken: true,
            shows: Vec::new(),
            asks: 0,
            undecodable: 0,
            flashes: Vec::new(),
            flashing: false,
        }
    }

    pub fn take(&mut self, packet: MediaPacket) {
        self.order.push(packet);
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.order.deadline()
    }

    /// Shows what can be shown; whether a key frame is to be asked for.
    pub fn look(&mut self, now: Instant) -> bool {
        while let Some(ordered) = self.order.pop(now) {
            let packet = match ordered {
                Ordered::Lost(_) => {
                    self.broken = true;
                    continue;
                }
                Ordered::Packet(packet) => packet,
            };
            let mut frame = match &mut self.depacketizer {
                Depacketizer::H264(it) => it.push(&packet),
                Depacketizer::Vp8(it) => it.push(&packet),
            };
            while let Some(whole) = frame {
                self.show(&whole, packet.capture, now);
                frame = match &mut self.depacketizer {
                    Depacketizer::H264(it) => it.pop(),
                    Depacketizer::Vp8(it) => it.pop(),
                };
            }
        }
        let asks = self.broken && self.asked.is_none_or(|at| now - at >= ASK_AGAIN);
        // Nothing is missed of a stream of which nothing came.
        if !asks || self.order.stats().received == 0 {
            return false;
        }
        self.asked = Some(now);
        self.asks += 1;
        true
    }

    fn show(&mut self, frame: &Frame, capture: Option<Instant>, now: Instant) {
        if frame.damaged || (self.broken && !frame.key) {
            self.broken = true;
            return;
        }
        self.broken = false;
        let picture = match self.decoder.decode(&frame.data) {
            Ok(Some(picture)) => picture,
            Ok(None) => return,
            Err(_) => {
                // Whole, and yet of no use: a key frame without its parameter sets.
                self.undecodable += 1;
                self.broken = true;
                return;
            }
        };
        self.shown = Some(picture);
        self.shows.push(now);
        let flashing = self.share(FLASH) > 0.2;
        if !std::mem::replace(&mut self.flashing, flashing) && flashing {
            self.flashes.extend(capture);
        }
    }

    /// The share of the picture that has about this colour.
    pub fn share(&self, colour: Yuv) -> f64 {
        let Some(picture) = &self.shown else { return 0.0 };
        let (mut alike, mut all) = (0, 0);
        for y in (0..picture.height()).step_by(8) {
            for x in (0..picture.width()).step_by(8) {
                let pixel = picture.pixel(x, y);
                all += 1;
                alike += i32::from(
                    pixel.y.abs_diff(colour.y) < 20
                        && pixel.u.abs_diff(colour.u) < 20
                        && pixel.v.abs_diff(colour.v) < 20,
                );
            }
        }
        f64::from(alike) / f64::from(all.max(1))
    }

    /// Whether a picture was shown in the last second before `now`.
    pub fn is_live(&self, now: Instant) -> bool {
        self.shows.last().is_some_and(|last| now - *last < Duration::from_secs(1))
    }

    /// The longest time that one picture stood, from `since` until `now`.
    pub fn longest_freeze(&self, since: Instant, now: Instant) -> Duration {
        let shows = self.shows.iter().copied().filter(|at| *at > since);
        let moments: Vec<Instant> = [since].into_iter().chain(shows).chain([now]).collect();
        moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    pub fn stats(&self) -> VideoStats {
        self.order.stats()
    }
}
