use std::ops::Range;

use super::*;
use crate::testing::{Rng, epoch, packet};

fn at(ms: u64) -> Instant {
    epoch() + Duration::from_millis(ms)
}

fn sound(seq: u64, timestamp: u32, arrival_ms: u64) -> MediaPacket {
    MediaPacket { arrival: at(arrival_ms), ..packet(seq, timestamp, &[]) }
}

#[derive(Debug, Default)]
struct Heard {
    played: Vec<u64>,
    concealed: usize,
    with_next: usize,
    silent: usize,
    /// Play minus sending, ms, of each played packet (sent at 20 ms times its number).
    delays: Vec<u64>,
}

/// Sends G.711 of 20 ms by a schedule of (arrival in ms, number) and plays on 20 ms ticks.
fn listen(buffer: &mut AudioBuffer, mut schedule: Vec<(u64, u64)>, ticks: Range<u64>) -> Heard {
    schedule.sort_unstable();
    let mut schedule = schedule.into_iter().peekable();
    let mut heard = Heard::default();
    for tick in ticks {
        let ms = tick * 20;
        while let Some((arrival, seq)) = schedule.next_if(|(arrival, _)| *arrival <= ms) {
            buffer.push(sound(seq, (seq * 160) as u32, arrival));
        }
        match buffer.pop(at(ms)) {
            Playout::Packet(packet) => {
                heard.delays.push(ms.saturating_sub(packet.seq * 20));
                heard.played.push(packet.seq);
            }
            Playout::Conceal { next } => {
                heard.concealed += 1;
                heard.with_next += usize::from(next.is_some());
            }
            Playout::Silence => heard.silent += 1,
        }
    }
    heard
}

#[test]
fn on_a_calm_network_every_packet_is_played_once_and_the_delay_is_short() {
    let mut buffer = AudioBuffer::new(8000);
    let schedule = (0..2000).map(|seq| (seq * 20 + 5, seq)).collect();
    let heard = listen(&mut buffer, schedule, 0..1990);
    assert!(heard.played.is_sorted_by(|a, b| a < b));
    // From the 40 ms that it begins with down to 20 ms: a packet is left out at most.
    assert!(heard.played.len() >= 1985, "{}", heard.played.len());
    assert_eq!(heard.concealed, 0);
    assert!(heard.delays.last().is_some_and(|ms| *ms <= 60), "{:?}", heard.delays.last());
    assert_eq!(buffer.stats().target, Duration::from_millis(20));
}

#[test]
fn one_lost_packet_is_concealed_with_the_one_after_it_at_hand() {
    let mut buffer = AudioBuffer::new(8000);
    let schedule = (0..100).filter(|seq| *seq != 50).map(|seq| (seq * 20 + 5, seq)).collect();
    let heard = listen(&mut buffer, schedule, 0..95);
    assert_eq!((heard.concealed, heard.with_next), (1, 1));
    assert!(!heard.played.contains(&50) && heard.played.contains(&49));
}

#[test]
fn jitter_with_loss_makes_the_delay_grow_until_nearly_all_comes_in_time_and_calm_shrinks_it() {
    let mut rng = Rng::new(42);
    let mut buffer = AudioBuffer::new(8000);
    let mut schedule = Vec::new();
    let mut lost = 0;
    for seq in 0..3000 {
        if rng.below(100) < 3 {
            lost += 1;
            continue;
        }
        schedule.push((seq * 20 + rng.below(100), seq));
        if rng.below(100) == 0 {
            schedule.push((seq * 20 + rng.below(100), seq));
        }
    }
    let heard = listen(&mut buffer, schedule, 0..2990);
    let stats = buffer.stats();
    let target = stats.target.as_millis();
    assert!((80..=120).contains(&target), "{target} ms for 100 ms of jitter");
    assert!(heard.played.is_sorted_by(|a, b| a < b));
    let missed = 3000 - lost - heard.played.len();
    assert!(missed < 150, "{missed} came late or were left out: {stats:?}");
    assert!(stats.duplicate + stats.late > 0, "{stats:?}");

    let calm = (3000..5000).map(|seq| (seq * 20, seq)).collect();
    let heard = listen(&mut buffer, calm, 3000..4995);
    assert!(buffer.stats().target <= Duration::from_millis(40));
    assert!(heard.delays.last().is_some_and(|ms| *ms <= 80), "{:?}", heard.delays.last());
    assert!(heard.concealed < 30, "{}", heard.concealed);
}

#[test]
fn a_pause_keeps_its_length_and_is_silent() {
    let mut buffer = AudioBuffer::new(48_000);
    let push = |buffer: &mut AudioBuffer, seq: u64, slot: u64| {
        buffer.push(sound(seq, (slot * 960) as u32, slot * 20));
    };
    let mut plays = Vec::new();
    let mut next = 0;
    // One comfort-noise packet each 400 ms is what Opus DTX sends.
    let slots: Vec<u64> = (0..20).chain((40..200).step_by(20)).chain(200..220).collect();
    for tick in 0..230 {
        while slots.get(next).is_some_and(|slot| *slot <= tick) {
            push(&mut buffer, next as u64, slots[next]);
            next += 1;
        }
        if let Playout::Packet(packet) = buffer.pop(at(tick * 20)) {
            plays.push((tick, u64::from(packet.timestamp) / 960));
        }
    }
    assert_eq!(plays.len(), slots.len());
    for (tick, slot) in plays {
        assert!((1..=4).contains(&(tick - slot)), "slot {slot} played in {tick}");
    }
}

#[test]
fn packets_of_40_ms_are_asked_for_half_as_often_and_none_is_missed() {
    let mut buffer = AudioBuffer::new(8000);
    let mut played = 0;
    let mut busy = false;
    for tick in 0..1000 {
        if tick % 2 == 0 {
            buffer.push(sound(tick / 2, (tick * 160) as u32, tick * 20));
        }
        if std::mem::take(&mut busy) {
            continue;
        }
        match buffer.pop(at(tick * 20)) {
            Playout::Packet(_) => (played, busy) = (played + 1, true),
            Playout::Conceal { .. } => panic!("nothing is missing in tick {tick}"),
            Playout::Silence => assert!(played == 0),
        }
    }
    assert!(played >= 496, "{played}");
}

#[test]
fn a_path_that_becomes_300_ms_longer_is_followed() {
    let mut buffer = AudioBuffer::new(8000);
    let late = |seq: u64| if seq < 500 { 0 } else { 300 };
    let schedule = (0..1500).map(|seq| (seq * 20 + late(seq), seq)).collect();
    let heard = listen(&mut buffer, schedule, 0..1500);
    assert!(heard.played.len() > 1440, "{}", heard.played.len());
    assert!(heard.delays.last().is_some_and(|ms| (300..=380).contains(ms)));
}

#[test]
fn a_sender_that_begins_a_new_count_is_heard_at_once() {
    for first in [60_000_u64, 5] {
        let mut buffer = AudioBuffer::new(8000);
        let old = (0..500).map(|seq| (seq * 20, 30_000 + seq, 160 * seq as u32));
        let new = (500..1000)
            .map(|seq| (seq * 20, first + seq, 0x8000_0000_u32.wrapping_add(160 * seq as u32)));
        let mut heard = 0;
        for (ms, seq, timestamp) in old.chain(new) {
            buffer.push(sound(seq, timestamp, ms));
            heard += usize::from(matches!(buffer.pop(at(ms)), Playout::Packet(_)));
        }
        assert_eq!(buffer.stats().resets, 1);
        assert!(heard > 980, "{heard}");
    }
}

#[test]
fn a_hostile_flood_stays_bounded() {
    let mut rng = Rng::new(9);
    let mut buffer = AudioBuffer::new(8000);
    for round in 0..200_000 {
        let seq = if rng.below(2) == 0 { round } else { rng.next() };
        buffer.push(sound(seq, rng.next() as u32, round / 100));
        assert!(buffer.len() <= MAX_PACKETS);
        if rng.below(20) == 0 {
            let _ = buffer.pop(at(round / 100));
        }
    }
}
