//! People and room systems around a bridge, in virtual time.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::f32::consts::TAU;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use codec::{
    AudioDecoder, AudioEncoder, Decoder, Encoder, EncoderSettings, OpusSettings, Picture,
    PicturePool, Rect, Yuv,
};
use mcu::{Bridge, BridgeEvent, Mcu, SourceId, VideoFormat};
use rtp::lane::{LaneRx, LaneTx, MediaPacket, lane};
use rtp::payload::{Frame, h264, vp8};
use types::{AudioCodec, VideoCodec};

pub const TICK: Duration = Duration::from_millis(20);

pub struct World {
    pub mcu: Mcu,
    pub bridge: Bridge,
    pub start: Instant,
    pub now: Instant,
    pub events: Receiver<BridgeEvent>,
}

impl World {
    pub fn new() -> Self {
        let start = Instant::now();
        let mcu = Mcu::inline(start);
        let (sender, events) = sync_channel(1_000);
        let bridge = mcu.bridge("test", Arc::new(sender));
        // The tick at the very start belongs to nobody: from now on a step is a tick.
        mcu.advance(start);
        Self { mcu, bridge, start, now: start, events }
    }

    /// Lets time pass; what that took of this thread's CPU time.
    pub fn step(&mut self, time: Duration) -> Duration {
        self.now += time;
        let before = cpu_time();
        self.mcu.advance(self.now);
        cpu_time() - before
    }

    pub fn lane(&self) -> (LaneTx, LaneRx) {
        lane(2_048, Bridge::silent_bell())
    }

    pub fn audio_source(&self, id: u64, codec: AudioCodec, pitch: f32) -> Voice {
        let (tx, rx) = self.lane();
        self.bridge.add_audio_source(SourceId(id), codec, rx);
        Voice {
            lane: tx,
            encoder: AudioEncoder::new(codec, OpusSettings::default()).unwrap(),
            codec,
            pitch,
            loudness: 0.2,
            told_level: None,
            sent: 0,
        }
    }

    pub fn camera(&self, id: u64, codec: VideoCodec, colour: Yuv) -> Camera {
        self.camera_of(id, codec, colour, 640, 360)
    }

    pub fn camera_of(
        &self,
        id: u64,
        codec: VideoCodec,
        colour: Yuv,
        width: u32,
        height: u32,
    ) -> Camera {
        let (tx, rx) = lane(2_048, self.bridge.video_bell(SourceId(id)));
        self.bridge.add_video_source(SourceId(id), codec, &format!("Участник {id}"), rx);
        let settings = EncoderSettings {
            codec,
            width,
            height,
            fps: 30,
            bitrate: 400_000,
            max_slice: Some(1_200),
        };
        Camera {
            lane: tx,
            encoder: Encoder::new(settings).unwrap(),
            vp8: vp8::Packetizer::new(9),
            codec,
            pool: PicturePool::new(2),
            size: (width, height),
            colour,
            seq: 0,
            frames: 0,
            want_key: false,
        }
    }
}

/// Of this thread: a busy machine must not fail a test.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
}

/// Somebody who hums one note.
pub struct Voice {
    pub lane: LaneTx,
    encoder: AudioEncoder,
    codec: AudioCodec,
    pub pitch: f32,
    pub loudness: f32,
    /// What stands in the audio-level extension.
    pub told_level: Option<i8>,
    pub sent: u64,
}

impl Voice {
    pub fn speak(&mut self, now: Instant) {
        let from = self.sent as usize * 960;
        let frame: Vec<f32> = (from..from + 960)
            .map(|i| self.loudness * (TAU * self.pitch * i as f32 / 48_000.0).sin())
            .collect();
        let mut payload = Vec::new();
        self.encoder.encode(&frame, &mut payload).unwrap();
        self.lane.push(MediaPacket {
            payload: payload.into(),
            seq: self.sent,
            timestamp: self.sent as u32 * (self.codec.clock_rate() / 50),
            marker: false,
            arrival: now,
            format: 0,
            audio_level: self.told_level,
            capture: Some(now - Duration::from_millis(30)),
        });
        self.sent += 1;
    }
}

/// Hears a stream and keeps it all.
pub struct Ear {
    pub lane: LaneRx,
    decoder: AudioDecoder,
    pub heard: Vec<f32>,
    pub packets: Vec<MediaPacket>,
}

impl Ear {
    pub fn new(lane: LaneRx, codec: AudioCodec) -> Self {
        let decoder = AudioDecoder::new(codec).unwrap();
        Self { lane, decoder, heard: Vec::new(), packets: Vec::new() }
    }

    pub fn listen(&mut self) {
        while let Some(packet) = self.lane.pop() {
            self.decoder.decode(&packet.payload, &mut self.heard).unwrap();
            self.packets.push(packet);
        }
    }

    /// How loud one note is in the last second, in dB below full scale.
    pub fn loudness(&self, pitch: f32) -> f32 {
        let last = &self.heard[self.heard.len() - 48_000..];
        let (mut re, mut im) = (0.0f64, 0.0f64);
        for (i, s) in last.iter().enumerate() {
            let phase = f64::from(TAU * pitch) * i as f64 / 48_000.0;
            // A Hann window: notes next to it must not leak in.
            let window = 1.0 - (std::f64::consts::TAU * i as f64 / 48_000.0).cos();
            re += f64::from(*s) * phase.cos() * window;
            im += f64::from(*s) * phase.sin() * window;
        }
        (20.0 * (2.0 * (re * re + im * im).sqrt() / 48_000.0 + 1e-9).log10()) as f32
    }

    pub fn peak(&self) -> f32 {
        self.heard.iter().rev().take(48_000).fold(0.0, |peak, s| peak.max(s.abs()))
    }
}

/// Somebody's camera in front of a wall of one colour, with a bar that moves.
pub struct Camera {
    pub lane: LaneTx,
    encoder: Encoder,
    vp8: vp8::Packetizer,
    codec: VideoCodec,
    pool: PicturePool,
    size: (u32, u32),
    pub colour: Yuv,
    seq: u64,
    pub frames: u64,
    pub want_key: bool,
}

impl Camera {
    pub fn frame(&mut self, now: Instant) -> Vec<MediaPacket> {
        let (width, height) = self.size;
        let mut picture = self.pool.picture(width, height).unwrap();
        picture.fill(Rect::new(0, 0, width, height), self.colour);
        let x = (self.frames * 8 % u64::from(width)) as u32;
        picture.fill(Rect::new(x, 0, 16, height / 12), Yuv { y: 200, u: 128, v: 128 });
        let mut data = Vec::new();
        let key = std::mem::take(&mut self.want_key);
        self.encoder.encode(&picture, key, &mut data).unwrap();
        let payloads = match self.codec {
            VideoCodec::H264 => h264::Packetizer::new(h264::Mode::Single).packetize(&data).unwrap(),
            _ => self.vp8.packetize(&data).unwrap(),
        };
        let last = payloads.len() - 1;
        let timestamp = self.frames as u32 * 3_000;
        self.frames += 1;
        payloads
            .into_iter()
            .enumerate()
            .map(|(i, payload)| {
                self.seq += 1;
                MediaPacket {
                    payload: payload.into(),
                    seq: self.seq,
                    timestamp,
                    marker: i == last,
                    arrival: now,
                    format: 0,
                    audio_level: None,
                    capture: Some(now - Duration::from_millis(50)),
                }
            })
            .collect()
    }

    pub fn film(&mut self, now: Instant) {
        for packet in self.frame(now) {
            assert!(self.lane.push(packet));
        }
        self.lane.flush();
    }
}

/// A room system's screen.
pub struct Screen {
    pub lane: LaneRx,
    codec: VideoCodec,
    decoder: Decoder,
    h264: h264::Depacketizer,
    vp8: vp8::Depacketizer,
    pub packets: Vec<MediaPacket>,
    pub shown: Option<Picture>,
    pub pictures: usize,
    pub keys: usize,
}

impl Screen {
    pub fn new(lane: LaneRx, codec: VideoCodec) -> Self {
        Self {
            lane,
            codec,
            decoder: Decoder::new(codec, PicturePool::new(4)).unwrap(),
            h264: h264::Depacketizer::new(),
            vp8: vp8::Depacketizer::new(),
            packets: Vec::new(),
            shown: None,
            pictures: 0,
            keys: 0,
        }
    }

    pub fn watch(&mut self) {
        while let Some(packet) = self.lane.pop() {
            let frame = match self.codec {
                VideoCodec::H264 => self.h264.push(&packet),
                _ => self.vp8.push(&packet),
            };
            if let Some(frame) = frame {
                self.show(&frame);
            }
            self.packets.push(packet);
        }
    }

    fn show(&mut self, frame: &Frame) {
        assert!(!frame.damaged, "a gap within the stream");
        self.keys += usize::from(frame.key);
        self.shown = Some(self.decoder.decode(&frame.data).unwrap().unwrap());
        self.pictures += 1;
    }

    /// The share of a part of the picture that has about this colour.
    pub fn share(&self, part: Rect, colour: Yuv) -> f32 {
        let picture = self.shown.as_ref().expect("nothing was shown");
        let (mut alike, mut all) = (0, 0);
        for y in (part.y..part.y + part.height).step_by(4) {
            for x in (part.x..part.x + part.width).step_by(4) {
                let pixel = picture.pixel(x, y);
                all += 1;
                alike += i32::from(
                    pixel.y.abs_diff(colour.y) < 20
                        && pixel.u.abs_diff(colour.u) < 20
                        && pixel.v.abs_diff(colour.v) < 20,
                );
            }
        }
        alike as f32 / all as f32
    }
}

pub const RED: Yuv = Yuv { y: 81, u: 90, v: 240 };
pub const GREEN: Yuv = Yuv { y: 145, u: 54, v: 34 };
pub const BLUE: Yuv = Yuv { y: 41, u: 240, v: 110 };
pub const YELLOW: Yuv = Yuv { y: 210, u: 16, v: 146 };

pub fn format(codec: VideoCodec, width: u32, height: u32) -> VideoFormat {
    VideoFormat { codec, width, height, fps: 30, bitrate: 1_000_000, single_nal: false }
}
