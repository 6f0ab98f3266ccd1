//! Who hears whom, in virtual time.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::{Ear, TICK, Voice, World};
use mcu::{AudioSinkOptions, SinkId, SourceId};
use types::AudioCodec;

fn sink(world: &World, id: u64, codec: AudioCodec, own: Option<u64>, ptime: u32) -> Ear {
    let (tx, rx) = world.lane();
    let options = AudioSinkOptions { ptime, format: 7, ..AudioSinkOptions::default() };
    world.bridge.add_audio_sink(SinkId(id), codec, own.map(SourceId), options, tx);
    Ear::new(rx, codec)
}

/// What the bridge has used of the CPU.
fn run(
    world: &mut World,
    ticks: u32,
    voices: &mut [&mut Voice],
    ears: &mut [&mut Ear],
) -> Duration {
    let mut spent = Duration::ZERO;
    for _ in 0..ticks {
        for voice in &mut *voices {
            voice.speak(world.now);
        }
        spent += world.step(TICK);
        for ear in &mut *ears {
            ear.listen();
        }
    }
    spent
}

#[test]
fn everybody_hears_the_others_and_never_themselves() {
    let mut world = World::new();
    let codecs = [AudioCodec::Opus, AudioCodec::G722, AudioCodec::Pcmu];
    let pitches = [440.0, 1_000.0, 1_700.0];
    let mut voices: Vec<Voice> =
        (0..3).map(|i| world.audio_source(i, codecs[i as usize], pitches[i as usize])).collect();
    let mut ears: Vec<Ear> =
        (0..3).map(|i| sink(&world, 10 + i, codecs[i as usize], Some(i), 20)).collect();
    run(
        &mut world,
        150,
        &mut voices.iter_mut().collect::<Vec<_>>(),
        &mut ears.iter_mut().collect::<Vec<_>>(),
    );
    for (me, ear) in ears.iter().enumerate() {
        let own = ear.loudness(pitches[me]);
        for (other, pitch) in pitches.iter().enumerate().filter(|(other, _)| *other != me) {
            let heard = ear.loudness(*pitch);
            assert!(heard > -22.0, "{me} hears {other} at {heard} dB");
            assert!(own < heard - 40.0, "{me} hears itself at {own} dB, {other} at {heard}");
        }
    }
}

#[test]
fn timestamps_and_numbers_go_on_from_tick_to_tick_at_every_packet_time() {
    let mut world = World::new();
    let mut voice = world.audio_source(1, AudioCodec::Opus, 500.0);
    for (id, codec, ptime) in [
        (20, AudioCodec::Opus, 20),
        (21, AudioCodec::Pcma, 20),
        (22, AudioCodec::Pcmu, 40),
        (23, AudioCodec::Opus, 60),
    ] {
        let mut ear = sink(&world, id, codec, None, ptime);
        run(&mut world, 120, &mut [&mut voice], &mut [&mut ear]);
        let step = codec.clock_rate() / 1_000 * ptime;
        assert_eq!(ear.packets.len() as u32, 2_400 / ptime, "{codec:?} {ptime} ms");
        assert!(ear.packets[0].marker && !ear.packets[1].marker);
        for pair in ear.packets.windows(2) {
            assert_eq!(pair[1].seq, pair[0].seq + 1);
            assert_eq!(pair[1].timestamp.wrapping_sub(pair[0].timestamp), step);
            assert_eq!(pair[1].format, 7);
        }
        assert!(ear.loudness(500.0) > -20.0);
        // Sent at the end of its packet time; captured 30 ms before it arrived, and buffered since.
        let last = ear.packets.last().unwrap();
        let age = last.arrival - last.capture.unwrap();
        assert!(age > Duration::from_millis(40) && age < Duration::from_millis(160), "{age:?}");
        world.bridge.remove_sink(SinkId(id));
    }
}

#[test]
fn one_encode_serves_all_who_listen_alike() {
    let mut world = World::new();
    let mut voice = world.audio_source(1, AudioCodec::Opus, 500.0);
    let mut ears: Vec<Ear> =
        (0..20).map(|i| sink(&world, 100 + i, AudioCodec::Opus, Some(50 + i), 20)).collect();
    run(&mut world, 50, &mut [&mut voice], &mut ears.iter_mut().collect::<Vec<_>>());
    let before = world.bridge.stats().audio_encoded;
    run(&mut world, 50, &mut [&mut voice], &mut ears.iter_mut().collect::<Vec<_>>());
    assert_eq!(world.bridge.stats().audio_encoded - before, 50);
    assert!(ears.iter().all(|ear| ear.packets.len() == 100));
}

#[test]
fn a_listener_who_begins_to_speak_keeps_hearing_and_does_not_hear_themselves() {
    let mut world = World::new();
    let mut other = world.audio_source(1, AudioCodec::Opus, 600.0);
    let mut me = world.audio_source(2, AudioCodec::Opus, 1_500.0);
    let mut ear = sink(&world, 10, AudioCodec::Opus, Some(2), 20);
    run(&mut world, 100, &mut [&mut other], &mut [&mut ear]);
    run(&mut world, 100, &mut [&mut other, &mut me], &mut [&mut ear]);
    assert!(ear.loudness(600.0) > -20.0 && ear.loudness(1_500.0) < -60.0);
    run(&mut world, 300, &mut [&mut other], &mut [&mut ear]);
    assert!(ear.loudness(600.0) > -20.0 && ear.loudness(1_500.0) < -60.0);
    assert_eq!(ear.packets.len(), 500, "no gap and no double at the changes of encoder");
    assert!(ear.packets.windows(2).all(|p| p[1].timestamp - p[0].timestamp == 960));
}

#[test]
fn who_leaves_is_not_heard_two_seconds_later() {
    let mut world = World::new();
    let mut stays = world.audio_source(1, AudioCodec::Opus, 600.0);
    let mut leaves = world.audio_source(2, AudioCodec::Pcmu, 1_100.0);
    let mut ear = sink(&world, 10, AudioCodec::Pcmu, None, 20);
    run(&mut world, 100, &mut [&mut stays, &mut leaves], &mut [&mut ear]);
    assert!(ear.loudness(1_100.0) > -20.0);
    world.bridge.remove_audio_source(SourceId(2));
    run(&mut world, 100, &mut [&mut stays], &mut [&mut ear]);
    assert!(ear.loudness(600.0) > -20.0 && ear.loudness(1_100.0) < -60.0);
}

#[test]
fn a_phone_is_transcoded_once_for_all_browsers_with_its_level() {
    for codec in [AudioCodec::Pcma, AudioCodec::G722] {
        let mut world = World::new();
        let mut phone = world.audio_source(1, codec, 800.0);
        let options = AudioSinkOptions::default();
        let mut ears: Vec<Ear> = (0..3)
            .map(|i| {
                let (tx, rx) = world.lane();
                world.bridge.add_audio_transcode(SourceId(1), SinkId(i), options, tx);
                Ear::new(rx, AudioCodec::Opus)
            })
            .collect();
        run(&mut world, 100, &mut [&mut phone], &mut ears.iter_mut().collect::<Vec<_>>());
        let encoded = world.bridge.stats().audio_encoded;
        for ear in &ears {
            assert!(ear.loudness(800.0) > -18.0, "{codec:?}: {}", ear.loudness(800.0));
            // A tone of amplitude 0.2 has −17 dBov.
            let level = ear.packets.last().unwrap().audio_level.unwrap();
            assert!((-18..=-16).contains(&level), "{codec:?}: {level}");
            assert_eq!(ear.packets.len() as u64, encoded, "one encode for three");
        }
    }
}

#[test]
fn forty_who_shout_do_not_clip() {
    let mut world = World::new();
    let mut voices: Vec<Voice> = (0..40)
        .map(|i| {
            let mut voice = world.audio_source(i, AudioCodec::Pcmu, 300.0 + 60.0 * i as f32);
            voice.loudness = 0.9;
            voice
        })
        .collect();
    let mut ear = sink(&world, 100, AudioCodec::Pcmu, Some(0), 20);
    run(&mut world, 150, &mut voices.iter_mut().collect::<Vec<_>>(), &mut [&mut ear]);
    assert!(ear.peak() <= 0.97, "the mix has a peak of {}", ear.peak());
    assert!(ear.peak() > 0.4, "and is loud: {}", ear.peak());
    // Distortion would fill the notes' gaps.
    let (note, gap) = (ear.loudness(300.0 + 60.0 * 20.0), ear.loudness(330.0 + 60.0 * 20.0));
    assert!(note > gap + 20.0, "note {note} dB, between notes {gap} dB");
}

#[test]
fn when_nobody_speaks_there_is_quiet_noise_and_not_nothing() {
    let mut world = World::new();
    let mut silent = world.audio_source(1, AudioCodec::Opus, 500.0);
    silent.loudness = 0.0;
    let mut ear = sink(&world, 10, AudioCodec::Opus, None, 20);
    run(&mut world, 150, &mut [&mut silent], &mut [&mut ear]);
    assert!(ear.peak() > 0.000_02 && ear.peak() < 0.003, "a peak of {}", ear.peak());
    assert_eq!(ear.packets.len(), 150);
}

#[test]
fn who_is_silent_by_their_own_word_costs_no_decode() {
    let mut world = World::new();
    let mut voices: Vec<Voice> = (0..20)
        .map(|i| {
            let mut voice = world.audio_source(i, AudioCodec::Opus, 400.0 + 50.0 * i as f32);
            voice.told_level = Some(if i == 0 { -20 } else { -90 });
            voice.loudness = if i == 0 { 0.2 } else { 0.0 };
            voice
        })
        .collect();
    let mut ear = sink(&world, 100, AudioCodec::Opus, None, 20);
    run(&mut world, 100, &mut voices.iter_mut().collect::<Vec<_>>(), &mut [&mut ear]);
    let decoded = world.bridge.stats().audio_decoded;
    assert!((90..=110).contains(&decoded), "{decoded} decodes for one who talks 100 frames");
    // One of the silent begins to talk.
    voices[7].told_level = Some(-20);
    voices[7].loudness = 0.2;
    run(&mut world, 100, &mut voices.iter_mut().collect::<Vec<_>>(), &mut [&mut ear]);
    assert!(ear.loudness(750.0) > -20.0, "{}", ear.loudness(750.0));
}

#[test]
fn a_tick_of_twenty_who_all_talk_is_far_below_its_deadline() {
    let mut world = World::new();
    let mut voices: Vec<Voice> =
        (0..20).map(|i| world.audio_source(i, AudioCodec::Pcmu, 300.0 + 70.0 * i as f32)).collect();
    let mut ears: Vec<Ear> =
        (0..20).map(|i| sink(&world, 100 + i, AudioCodec::Pcmu, Some(i), 20)).collect();
    let (voices, ears) =
        (&mut voices.iter_mut().collect::<Vec<_>>(), &mut ears.iter_mut().collect::<Vec<_>>());
    run(&mut world, 50, voices, ears);
    let spent = run(&mut world, 50, voices, ears);
    let cost = spent / 50;
    println!("a tick of 20 PCMU parties who all talk: {cost:?}");
    assert!(cost < Duration::from_millis(10));
}
