//! Somebody who hums one note.

use std::f32::consts::TAU;
use std::time::Duration;

use codec::{AudioEncoder, OpusSettings, SAMPLE_RATE};
use types::AudioCodec;

use crate::mark::{CLAP, Mark};

/// Samples of a packet: 20 ms.
const FRAME: u64 = 960;
/// How long a clap is heard, in packets.
const CLAPPING: u64 = 5;

pub struct Voice {
    mark: Mark,
    codec: AudioCodec,
    encoder: AudioEncoder,
    claps: bool,
    next: u64,
}

impl Voice {
    pub fn new(mark: Mark, codec: AudioCodec, claps: bool) -> Self {
        let encoder = AudioEncoder::new(codec, OpusSettings::default()).expect("an encoder");
        Self { mark, codec, encoder, claps, next: 0 }
    }

    /// Its next packet is the first after `time` of the world.
    pub fn begin(&mut self, time: Duration) {
        self.next = time.as_millis() as u64 / 20 + 1;
    }

    /// When, in the world's time, it speaks.
    pub fn due(&self) -> Duration {
        Duration::from_millis(self.next * 20)
    }

    /// The next packet: payload and timestamp.
    pub fn speak(&mut self) -> (Vec<u8>, u32) {
        let claps = self.claps && self.next % 50 < CLAPPING;
        let from = self.next * FRAME;
        let wave = |pitch: f32, at: u64| {
            // Notes are whole multiples of 50 Hz: each packet begins where the one before began.
            (TAU * pitch * (at % u64::from(SAMPLE_RATE)) as f32 / SAMPLE_RATE as f32).sin()
        };
        let frame: Vec<f32> = (from..from + FRAME)
            .map(|at| {
                0.2 * wave(self.mark.pitch, at) + if claps { 0.4 * wave(CLAP, at) } else { 0.0 }
            })
            .collect();
        let mut payload = Vec::new();
        self.encoder.encode(&frame, &mut payload).expect("sound");
        let timestamp = (self.next * u64::from(self.codec.clock_rate() / 50)) as u32;
        self.next += 1;
        (payload, timestamp)
    }
}
