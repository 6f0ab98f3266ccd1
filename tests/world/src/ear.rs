//! Hears a stream and knows notes.

use std::f64::consts::TAU;
use std::time::{Duration, Instant};

use codec::{AudioDecoder, SAMPLE_RATE};
use rtp::jitter::{Ordered, VideoBuffer};
use rtp::lane::MediaPacket;
use types::AudioCodec;

use crate::mark::CLAP;

/// How long a missing packet is waited for.
const PATIENCE: Duration = Duration::from_millis(80);
/// Packets of a loss that are made up for.
const MAX_CONCEALED: u64 = 50;
/// In which a note is looked for: one second.
const SPAN: usize = SAMPLE_RATE as usize;
const FRAME: usize = 960;
/// Samples that a clap is timed by: 5 ms, fifteen waves of it.
const BLOCK: usize = 240;
const LOUD: f64 = 0.08;
/// Quiet blocks before a clap.
const QUIET: usize = 60;

pub struct Ear {
    order: VideoBuffer,
    decoder: AudioDecoder,
    heard: Vec<f32>,
    lost: u64,
    concealed: u64,
    packets: u64,
    last: Option<Instant>,
    /// Moments of capture at which claps began.
    pub claps: Vec<Instant>,
    quiet: usize,
}

impl Ear {
    pub fn new(codec: AudioCodec) -> Self {
        Self {
            order: VideoBuffer::new(PATIENCE),
            decoder: AudioDecoder::new(codec).expect("a decoder"),
            heard: Vec::new(),
            lost: 0,
            concealed: 0,
            packets: 0,
            last: None,
            claps: Vec::new(),
            quiet: 0,
        }
    }

    pub fn take(&mut self, packet: MediaPacket) {
        self.order.push(packet);
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.order.deadline()
    }

    pub fn listen(&mut self, now: Instant) {
        while let Some(ordered) = self.order.pop(now) {
            match ordered {
                Ordered::Lost(range) => self.lost += range.end - range.start,
                Ordered::Packet(packet) => self.hear(&packet, now),
            }
        }
    }

    fn hear(&mut self, packet: &MediaPacket, now: Instant) {
        let lost = std::mem::take(&mut self.lost).min(MAX_CONCEALED);
        for at in (0..lost).rev() {
            let next = (at == 0).then_some(&*packet.payload);
            self.decoder.conceal(FRAME, next, &mut self.heard).expect("concealed sound");
        }
        self.concealed += lost;
        let from = self.heard.len();
        self.decoder.decode(&packet.payload, &mut self.heard).expect("sound that can be decoded");
        self.packets += 1;
        self.last = Some(now);
        self.note_claps(from, packet.capture);
        if self.heard.len() > 4 * SPAN {
            self.heard.drain(..2 * SPAN);
        }
    }

    fn note_claps(&mut self, from: usize, capture: Option<Instant>) {
        for (index, block) in self.heard[from..].chunks_exact(BLOCK).enumerate() {
            if amplitude(block, CLAP, |_| 1.0) < LOUD {
                self.quiet += 1;
                continue;
            }
            if std::mem::take(&mut self.quiet) >= QUIET
                && let Some(capture) = capture
            {
                self.claps.push(capture + Duration::from_millis(5) * index as u32);
            }
        }
    }

    /// How loud a note was in the last second, in dB below full scale.
    pub fn loudness(&self, pitch: f32) -> f64 {
        let Some(from) = self.heard.len().checked_sub(SPAN) else { return -200.0 };
        // A Hann window: notes next to it must not leak in.
        let hann = |at: usize| 1.0 - (TAU * at as f64 / SPAN as f64).cos();
        20.0 * (amplitude(&self.heard[from..], pitch, hann) + 1e-9).log10()
    }

    /// Whether something came in the last half second before `now`.
    pub fn is_live(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now - last < Duration::from_millis(500))
    }

    /// The share of its sound that was made up.
    pub fn concealed(&self) -> f64 {
        self.concealed as f64 / (self.concealed + self.packets).max(1) as f64
    }
}

fn amplitude(samples: &[f32], pitch: f32, window: impl Fn(usize) -> f64) -> f64 {
    let step = TAU * f64::from(pitch) / f64::from(SAMPLE_RATE);
    let (mut re, mut im) = (0.0, 0.0);
    for (at, sample) in samples.iter().enumerate() {
        let (sin, cos) = (step * at as f64).sin_cos();
        let weighted = f64::from(*sample) * window(at);
        re += weighted * cos;
        im += weighted * sin;
    }
    2.0 * f64::hypot(re, im) / samples.len() as f64
}
