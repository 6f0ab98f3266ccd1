use super::*;
use crate::audio::TICK;
use codec::{AudioEncoder, OpusSettings};
use std::f32::consts::TAU;

/// A sender of a 500 Hz tone, and the clock of both sides.
struct Call {
    start: Instant,
    encoder: AudioEncoder,
    codec: AudioCodec,
    sent: u64,
    playout: Playout,
    counters: Counters,
}

impl Call {
    fn new(codec: AudioCodec) -> Self {
        Self {
            start: Instant::now(),
            encoder: AudioEncoder::new(codec, OpusSettings::default()).unwrap(),
            codec,
            sent: 0,
            playout: Playout::new(codec).unwrap(),
            counters: Counters::default(),
        }
    }

    fn packet(&mut self, delay: Duration) -> MediaPacket {
        let n = self.sent;
        self.sent += 1;
        let samples: Vec<f32> = (0..FRAME)
            .map(|i| 0.3 * (TAU * 500.0 * (n as usize * FRAME + i) as f32 / 48_000.0).sin())
            .collect();
        let mut payload = Vec::new();
        self.encoder.encode(&samples, &mut payload).unwrap();
        let captured = self.start + TICK * n as u32;
        MediaPacket {
            payload: payload.into(),
            seq: 100 + n,
            timestamp: (n as u32 * self.codec.clock_rate() / 50).wrapping_add(u32::MAX - 5_000),
            marker: false,
            arrival: captured + delay,
            format: 0,
            audio_level: None,
            capture: Some(captured),
        }
    }

    /// Sends and plays `frames` ticks; `delay` of each packet in ms, `None`: lost.
    fn run(&mut self, frames: u32, delay: impl Fn(u64) -> Option<u64>) -> Vec<Option<Duration>> {
        let mut coming: Vec<MediaPacket> = Vec::new();
        let first = self.sent as u32;
        let mut behind = Vec::new();
        for tick in first..first + frames {
            let now = self.start + TICK * tick + Duration::from_millis(1);
            let ms = delay(self.sent);
            let packet = self.packet(Duration::from_millis(ms.unwrap_or(0)));
            if ms.is_some() {
                coming.push(packet);
            }
            let (due, later): (Vec<_>, Vec<_>) = coming.into_iter().partition(|p| p.arrival <= now);
            coming = later;
            for packet in due {
                self.playout.push(packet, &self.counters);
            }
            let mut frame = Vec::new();
            let played = self.playout.play(now, &mut frame, &self.counters);
            behind.push(
                (played == Played::Sound).then(|| now + TICK - self.playout.capture().unwrap()),
            );
        }
        behind
    }
}

#[test]
fn a_steady_network_costs_at_most_two_packets_of_delay() {
    let mut call = Call::new(AudioCodec::Opus);
    let behind = call.run(200, |_| Some(5));
    let last = behind[199].unwrap();
    assert!(last <= Duration::from_millis(62), "{last:?} from capture to play");
    assert!(behind[5..].iter().all(Option::is_some), "no gap");
    assert_eq!(call.counters.snapshot().audio_concealed, 0);
}

#[test]
fn jitter_raises_the_delay_once_and_calm_brings_it_down_again() {
    let mut call = Call::new(AudioCodec::Pcmu);
    call.run(400, |n| Some(if n % 7 == 0 { 85 } else { 5 }));
    let raised = call.playout.target();
    assert!(raised > Duration::from_millis(75), "{raised:?}");
    let before = call.counters.snapshot().audio_concealed;
    call.run(300, |n| Some(if n % 7 == 0 { 85 } else { 5 }));
    let after = call.counters.snapshot().audio_concealed;
    assert!(after - before <= 3, "{} gaps after it has adapted", after - before);
    let behind = call.run(1_500, |_| Some(5));
    assert!(call.playout.target() < Duration::from_millis(40));
    let last = behind[1_499].unwrap();
    assert!(last < Duration::from_millis(130), "{last:?} long after the jitter has gone");
}

#[test]
fn a_lost_packet_is_concealed_and_nothing_shifts() {
    for codec in [AudioCodec::Opus, AudioCodec::Pcma, AudioCodec::G722] {
        let mut call = Call::new(codec);
        let behind = call.run(200, |n| (n % 25 != 10).then_some(5));
        let stats = call.counters.snapshot();
        assert_eq!(stats.audio_concealed, 8, "{codec:?}");
        assert_eq!(behind[50], behind[199], "{codec:?}: the delay has moved");
        assert!(behind[5..].iter().all(Option::is_some));
    }
}

#[test]
fn when_the_sender_stops_there_is_silence_and_it_may_begin_again() {
    let mut call = Call::new(AudioCodec::Opus);
    call.run(50, |_| Some(5));
    let gap = call.run(100, |_| None);
    assert!(gap[8..].iter().all(Option::is_none), "silence after the packets end");
    let again = call.run(50, |_| Some(5));
    assert!(again[6..].iter().all(Option::is_some));
}

#[test]
fn a_senders_clock_that_runs_fast_or_slow_moves_the_delay_by_little() {
    // 500 parts in a million, over two minutes: 60 ms.
    for (name, late) in [("slow", 0.01f64), ("fast", -0.01)] {
        let mut call = Call::new(AudioCodec::Pcmu);
        let delay = |n: u64| Some((80.0 + late * n as f64) as u64);
        let behind = call.run(6_000, delay);
        let last = behind[5_999].unwrap() - Duration::from_millis(delay(5_999).unwrap());
        assert!(last < Duration::from_millis(110), "{name}: buffered {last:?} in the end");
        let gaps = call.counters.snapshot().audio_concealed;
        assert!(gaps <= 8, "{name}: {gaps} gaps for three frames of drift");
    }
}

#[test]
fn floods_and_wild_numbers_stay_bounded() {
    let mut call = Call::new(AudioCodec::Opus);
    let template = call.packet(Duration::ZERO);
    let start = call.start;
    for i in 0..10_000u64 {
        let mut packet = template.clone();
        packet.seq = i.wrapping_mul(0x9e37_79b9) % 70_000;
        packet.timestamp = (i as u32).wrapping_mul(0x85eb_ca6b);
        packet.arrival = start + Duration::from_micros(i);
        call.playout.push(packet, &call.counters);
        assert!(call.playout.packets.len() <= MAX_PACKETS);
        if i % 16 == 0 {
            let mut frame = Vec::new();
            call.playout.play(start + Duration::from_micros(i), &mut frame, &call.counters);
            assert!(frame.is_empty() || frame.len() == FRAME);
            assert!(call.playout.pcm.len() <= MAX_FRAME_SAMPLES + FRAME);
        }
    }
}
