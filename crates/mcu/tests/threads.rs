//! The driver with real threads and the real clock.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use codec::Rect;
use common::{Ear, RED, Screen, TICK, World, format};
use mcu::{AudioSinkOptions, BridgeEvent, Layout, Mcu, McuConfig, SinkId, SourceId};
use types::{AudioCodec, VideoCodec};

#[test]
fn a_call_runs_on_its_own_and_dropping_the_bridge_ends_it() {
    let mcu = Mcu::start(McuConfig::default()).unwrap();
    let (sender, events) = sync_channel(100);
    let bridge = mcu.bridge("real", Arc::new(sender));
    let start = Instant::now();
    let mut world = World { mcu, bridge, start, now: start, events };

    let mut voice = world.audio_source(1, AudioCodec::Pcmu, 600.0);
    let mut camera = world.camera(1, VideoCodec::Vp8, RED);
    let (tx, rx) = world.lane();
    let mut ear = Ear::new(rx, AudioCodec::Opus);
    let options = AudioSinkOptions::default();
    world.bridge.add_audio_sink(SinkId(1), AudioCodec::Opus, None, options, tx);
    let (tx, rx) = world.lane();
    let mut screen = Screen::new(rx, VideoCodec::H264);
    let wanted = format(VideoCodec::H264, 640, 360);
    world.bridge.add_video_sink(SinkId(2), wanted, None, Layout::Grid, 0, tx);

    let deadline = start + Duration::from_secs(20);
    let mut next = start;
    while ear.heard.len() < 2 * 48_000 || screen.pictures < 30 {
        assert!(
            Instant::now() < deadline,
            "{} samples, {} pictures",
            ear.heard.len(),
            screen.pictures
        );
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        world.now = Instant::now();
        voice.speak(world.now);
        camera.film(world.now);
        camera.want_key |=
            world.events.try_iter().any(|e| e == BridgeEvent::NeedKeyframe(SourceId(1)));
        ear.listen();
        screen.watch();
        next += TICK;
    }
    assert!(ear.loudness(600.0) > -20.0, "{}", ear.loudness(600.0));
    assert!(screen.share(Rect::new(0, 0, 640, 360), RED) > 0.8);

    drop(world.bridge);
    while !(ear.lane.is_closed() && screen.lane.is_closed() && camera.lane.is_closed()) {
        assert!(Instant::now() < deadline, "something of the bridge lives on");
        while ear.lane.pop().is_some() || screen.lane.pop().is_some() {}
        std::thread::yield_now();
    }
}
