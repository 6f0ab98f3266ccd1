//! Who sees whom, in virtual time.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use codec::Rect;
use common::{BLUE, Camera, GREEN, RED, Screen, World, YELLOW, format};
use mcu::{BridgeEvent, Layout, SinkId, SourceId, VideoFormat};
use types::VideoCodec;

const FRAME: Duration = Duration::from_nanos(33_333_333);

fn screen(world: &World, id: u64, format: VideoFormat, own: Option<u64>, layout: Layout) -> Screen {
    let (tx, rx) = world.lane();
    world.bridge.add_video_sink(SinkId(id), format, own.map(SourceId), layout, 5, tx);
    Screen::new(rx, format.codec)
}

/// Key frames are asked for by events, as in a meeting.
fn answer(world: &World, cameras: &mut [(u64, &mut Camera)]) -> Vec<BridgeEvent> {
    let events: Vec<BridgeEvent> = world.events.try_iter().collect();
    for event in &events {
        if let BridgeEvent::NeedKeyframe(SourceId(id)) = event {
            for (camera, c) in &mut *cameras {
                c.want_key |= camera == id;
            }
        }
    }
    events
}

fn run(
    world: &mut World,
    frames: u32,
    cameras: &mut [(u64, &mut Camera)],
    screens: &mut [&mut Screen],
) {
    for _ in 0..frames {
        for (_, camera) in &mut *cameras {
            camera.film(world.now);
        }
        world.step(FRAME);
        answer(world, cameras);
        for screen in &mut *screens {
            screen.watch();
        }
    }
}

#[test]
fn each_colour_fills_its_tile_for_every_codec() {
    for (sink_codec, single_nal) in
        [(VideoCodec::H264, true), (VideoCodec::H264, false), (VideoCodec::Vp8, false)]
    {
        let mut world = World::new();
        let mut a = world.camera(1, VideoCodec::H264, RED);
        let mut b = world.camera(2, VideoCodec::Vp8, GREEN);
        let mut c = world.camera(3, VideoCodec::H264, BLUE);
        let mut d = world.camera(4, VideoCodec::Vp8, YELLOW);
        let format = VideoFormat { single_nal, ..format(sink_codec, 1280, 720) };
        let mut screen = screen(&world, 10, format, None, Layout::Grid);
        let cameras = &mut [(1, &mut a), (2, &mut b), (3, &mut c), (4, &mut d)];
        run(&mut world, 45, cameras, &mut [&mut screen]);
        for (i, colour) in [RED, GREEN, BLUE, YELLOW].into_iter().enumerate() {
            let (x, y) = (i as u32 % 2 * 640, i as u32 / 2 * 360);
            let share = screen.share(Rect::new(x, y, 640, 360), colour);
            assert!(share > 0.8, "{sink_codec:?}: {share} of tile {i}");
        }
        assert!(screen.pictures >= 40, "{} pictures in 1.5 s", screen.pictures);
        assert!(screen.packets.iter().all(|p| p.payload.len() <= 1_200 && p.format == 5));
        if single_nal {
            assert!(screen.packets.iter().all(|p| (1..=23).contains(&(p.payload[0] & 0x1f))));
        }
        for pair in screen.packets.windows(2) {
            assert_eq!(pair[1].seq, pair[0].seq + 1);
            let passed = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
            assert_eq!(passed > 0, pair[0].marker, "one timestamp a frame");
        }
        let last = screen.packets.last().unwrap();
        let age = last.arrival - last.capture.unwrap();
        assert!(age > Duration::from_millis(45) && age < Duration::from_millis(120), "{age:?}");
    }
}

#[test]
fn a_room_does_not_see_itself_and_equal_viewers_share_an_encode() {
    let mut world = World::new();
    let mut a = world.camera(1, VideoCodec::Vp8, RED);
    let mut room = world.camera(2, VideoCodec::H264, GREEN);
    let all = format(VideoCodec::H264, 640, 360);
    let mut own = screen(&world, 10, all, Some(2), Layout::Grid);
    let mut others: Vec<Screen> =
        (0..4).map(|i| screen(&world, 20 + i, all, Some(90 + i), Layout::Grid)).collect();
    {
        let mut screens: Vec<&mut Screen> = others.iter_mut().collect();
        screens.push(&mut own);
        run(&mut world, 30, &mut [(1, &mut a), (2, &mut room)], &mut screens);
        let before = world.bridge.stats().video_encoded;
        run(&mut world, 30, &mut [(1, &mut a), (2, &mut room)], &mut screens);
        let encoded = world.bridge.stats().video_encoded - before;
        assert!((58..=62).contains(&encoded), "{encoded} encodes for two pictures of five viewers");
    }
    assert!(own.share(Rect::new(0, 0, 640, 360), RED) > 0.8, "one source fills the picture");
    assert!(own.share(Rect::new(0, 0, 640, 360), GREEN) < 0.01);
    for other in &others {
        assert!(other.share(Rect::new(0, 90, 318, 180), RED) > 0.7);
        assert!(other.share(Rect::new(322, 90, 318, 180), GREEN) > 0.7);
    }
}

#[test]
fn who_leaves_is_gone_and_the_stream_goes_on() {
    let mut world = World::new();
    let mut a = world.camera(1, VideoCodec::Vp8, RED);
    let mut b = world.camera(2, VideoCodec::Vp8, GREEN);
    let mut screen = screen(&world, 10, format(VideoCodec::Vp8, 640, 360), None, Layout::Grid);
    run(&mut world, 30, &mut [(1, &mut a), (2, &mut b)], &mut [&mut screen]);
    assert!(screen.share(Rect::new(322, 90, 318, 180), GREEN) > 0.7);
    world.bridge.remove_video_source(SourceId(2));
    run(&mut world, 15, &mut [(1, &mut a)], &mut [&mut screen]);
    assert!(screen.share(Rect::new(0, 0, 640, 360), GREEN) < 0.01);
    assert!(screen.share(Rect::new(0, 0, 640, 360), RED) > 0.8);
    assert_eq!(screen.keys, 1, "a change of the tiles needs no key frame");
}

#[test]
fn a_lost_packet_keeps_the_last_picture_and_asks_for_a_key_frame_until_one_comes() {
    let mut world = World::new();
    let mut camera = world.camera(1, VideoCodec::H264, RED);
    let mut screen = screen(&world, 10, format(VideoCodec::H264, 640, 360), None, Layout::Grid);
    run(&mut world, 30, &mut [(1, &mut camera)], &mut [&mut screen]);
    // A whole frame is lost, and the wall is painted meanwhile.
    let _ = camera.frame(world.now);
    camera.colour = GREEN;
    let mut asked = 0;
    for _ in 0..75 {
        camera.film(world.now);
        world.step(FRAME);
        asked += world
            .events
            .try_iter()
            .filter(|e| *e == BridgeEvent::NeedKeyframe(SourceId(1)))
            .count();
        screen.watch();
        assert!(screen.share(Rect::new(0, 0, 640, 360), RED) > 0.8, "the last picture stays");
    }
    assert!((2..=4).contains(&asked), "asked {asked} times in 2.5 s");
    camera.want_key = true;
    run(&mut world, 10, &mut [(1, &mut camera)], &mut [&mut screen]);
    assert!(screen.share(Rect::new(0, 0, 640, 360), GREEN) > 0.8);
}

#[test]
fn muted_is_a_name_and_unmuted_a_picture_again() {
    let mut world = World::new();
    let mut camera = world.camera(1, VideoCodec::Vp8, RED);
    world.bridge.add_tile(SourceId(2), "Зал № 2");
    let mut screen = screen(&world, 10, format(VideoCodec::H264, 640, 360), None, Layout::Grid);
    let left = Rect::new(0, 90, 318, 180);
    run(&mut world, 30, &mut [(1, &mut camera)], &mut [&mut screen]);
    assert!(screen.share(left, RED) > 0.7);
    world.bridge.set_video_muted(SourceId(1), true);
    run(&mut world, 15, &mut [], &mut [&mut screen]);
    assert!(screen.share(left, RED) < 0.01);
    let bright = |screen: &Screen, from: u32| {
        let picture = screen.shown.as_ref().unwrap();
        (from..from + 318).filter(|x| (160..200).any(|y| picture.pixel(*x, y).y > 150)).count()
    };
    assert!(bright(&screen, 0) > 20 && bright(&screen, 322) > 20, "both names are to be read");
    world.bridge.set_video_muted(SourceId(1), false);
    run(&mut world, 15, &mut [(1, &mut camera)], &mut [&mut screen]);
    assert!(screen.share(left, RED) > 0.7);
}

#[test]
fn the_speaker_is_large_and_a_viewer_may_change_the_layout() {
    let mut world = World::new();
    let mut a = world.camera(1, VideoCodec::Vp8, RED);
    let mut b = world.camera(2, VideoCodec::Vp8, GREEN);
    let mut c = world.camera(3, VideoCodec::Vp8, BLUE);
    let wanted = format(VideoCodec::H264, 1280, 720);
    let mut screen = screen(&world, 10, wanted, None, Layout::Speaker);
    world.bridge.set_speaker(Some(SourceId(2)));
    let cameras = &mut [(1, &mut a), (2, &mut b), (3, &mut c)];
    run(&mut world, 30, cameras, &mut [&mut screen]);
    let large = Rect::new(160, 20, 960, 520);
    assert!(screen.share(large, GREEN) > 0.8);
    world.bridge.set_speaker(Some(SourceId(3)));
    run(&mut world, 5, cameras, &mut [&mut screen]);
    assert!(screen.share(large, BLUE) > 0.8);
    assert_eq!(screen.keys, 1);
    world.bridge.change_video_sink(SinkId(10), wanted, Layout::Grid);
    run(&mut world, 5, cameras, &mut [&mut screen]);
    assert!(screen.share(Rect::new(0, 0, 636, 356), RED) > 0.7);
    let timestamps: Vec<u32> = screen.packets.iter().map(|p| p.timestamp).collect();
    assert!(timestamps.is_sorted(), "timestamps go on over the change");
    assert!(screen.packets.windows(2).all(|p| p[1].seq == p[0].seq + 1));
}

#[test]
fn a_room_that_speaks_sees_large_who_spoke_before_and_a_screen_comes_before_all() {
    let mut world = World::new();
    let mut a = world.camera(1, VideoCodec::Vp8, RED);
    let mut room = world.camera(2, VideoCodec::H264, GREEN);
    let mut c = world.camera(3, VideoCodec::Vp8, BLUE);
    let wanted = format(VideoCodec::H264, 1280, 720);
    let mut own = screen(&world, 10, wanted, Some(2), Layout::Speaker);
    let mut other = screen(&world, 11, wanted, None, Layout::Speaker);
    let large = Rect::new(160, 20, 960, 520);
    {
        let cameras = &mut [(1, &mut a), (2, &mut room), (3, &mut c)];
        world.bridge.set_speaker(Some(SourceId(3)));
        run(&mut world, 30, cameras, &mut [&mut own, &mut other]);
        assert!(own.share(large, BLUE) > 0.8 && other.share(large, BLUE) > 0.8);
        world.bridge.set_speaker(Some(SourceId(2)));
        run(&mut world, 5, cameras, &mut [&mut own, &mut other]);
        assert!(own.share(large, BLUE) > 0.8, "the room is not shown to itself");
        assert!(other.share(large, GREEN) > 0.8);

        world.bridge.set_screens(vec![SourceId(1)], Some(SourceId(1)));
        run(&mut world, 5, cameras, &mut [&mut own, &mut other]);
        assert!(own.share(large, RED) > 0.8 && other.share(large, RED) > 0.8);
        world.bridge.set_speaker(Some(SourceId(3)));
        run(&mut world, 5, cameras, &mut [&mut own, &mut other]);
        assert!(other.share(large, RED) > 0.8, "whoever speaks");
        world.bridge.set_screens(Vec::new(), None);
        world.bridge.set_speaker(Some(SourceId(2)));
        run(&mut world, 5, cameras, &mut [&mut own, &mut other]);
        assert!(own.share(large, BLUE) > 0.8 && other.share(large, GREEN) > 0.8);
    }
    assert_eq!((own.keys, other.keys), (1, 1), "who is large changes without a key frame");
    // Whoever leaves is large no more, also as who spoke before.
    world.bridge.add_tile(SourceId(4), "Зал № 4");
    world.bridge.remove_video_source(SourceId(3));
    run(&mut world, 5, &mut [(1, &mut a), (2, &mut room)], &mut [&mut own, &mut other]);
    assert!(own.share(large, RED) > 0.8 && other.share(large, GREEN) > 0.8);
}

#[test]
fn a_message_is_one_viewers_alone_and_costs_no_key_frame_where_it_watches_alone() {
    let mut world = World::new();
    let mut a = world.camera(1, VideoCodec::H264, GREEN);
    let (shared, own) = (format(VideoCodec::H264, 640, 360), format(VideoCodec::Vp8, 640, 360));
    let mut one = screen(&world, 10, shared, None, Layout::Grid);
    let mut two = screen(&world, 11, shared, None, Layout::Grid);
    let mut three = screen(&world, 12, own, None, Layout::Grid);
    // Where messages stand.
    let place = Rect::new(280, 282, 80, 20);
    let sees = |screen: &Screen| screen.share(place, GREEN) > 0.95;
    let mut go = |world: &mut World, screens: [&mut Screen; 3]| {
        let mut screens = screens;
        run(world, 45, &mut [(1, &mut a)], &mut screens);
    };
    go(&mut world, [&mut one, &mut two, &mut three]);
    assert!(sees(&one) && sees(&two) && sees(&three));
    world.bridge.set_message(SinkId(10), Some("Рука поднята\nHand raised"));
    world.bridge.set_message(SinkId(12), Some("Meeting locked"));
    go(&mut world, [&mut one, &mut two, &mut three]);
    assert!(!sees(&one) && sees(&two) && !sees(&three));
    world.bridge.set_message(SinkId(12), Some("Meeting unlocked"));
    for sink in [10, 12] {
        world.bridge.set_message(SinkId(sink), None);
    }
    go(&mut world, [&mut one, &mut two, &mut three]);
    assert!(sees(&one) && sees(&two) && sees(&three));
    assert_eq!([one.keys, three.keys], [3, 1], "there and back again");
}

#[test]
fn who_gets_screens_in_another_way_sees_people_alone() {
    let mut world = World::new();
    let mut person = world.camera(1, VideoCodec::Vp8, RED);
    let mut shared = world.camera(2, VideoCodec::Vp8, GREEN);
    let wanted = format(VideoCodec::H264, 640, 360);
    let mut people = screen(&world, 10, wanted, None, Layout::Speaker);
    let mut all = screen(&world, 11, wanted, None, Layout::Speaker);
    let mut content = screen(&world, 12, wanted, None, Layout::Single(SourceId(2)));
    world.bridge.set_screens(vec![SourceId(2)], Some(SourceId(2)));
    for id in [10, 12] {
        world.bridge.hide_screens(SinkId(id), true);
    }
    let whole = Rect::new(0, 0, 640, 360);
    let cameras = &mut [(1, &mut person), (2, &mut shared)];
    run(&mut world, 40, cameras, &mut [&mut people, &mut all, &mut content]);
    assert!(people.share(whole, RED) > 0.9 && content.share(whole, GREEN) > 0.9);
    assert!(all.share(Rect::new(80, 10, 480, 260), GREEN) > 0.8);
    world.bridge.hide_screens(SinkId(10), false);
    run(&mut world, 40, cameras, &mut [&mut people, &mut all, &mut content]);
    assert!(people.share(whole, GREEN) > 0.3, "it is told to show them again");
}

#[test]
fn equal_speaker_views_are_one_encode_also_of_rooms_that_nobody_would_see() {
    let mut world = World::new();
    let mut camera = world.camera(1, VideoCodec::Vp8, RED);
    for id in 2..=8 {
        world.bridge.add_tile(SourceId(id), &format!("Зал № {id}"));
    }
    let wanted = format(VideoCodec::H264, 640, 360);
    world.bridge.set_speaker(Some(SourceId(1)));
    // Two rooms beyond the strip, and somebody who only looks.
    let mut seven = screen(&world, 10, wanted, Some(7), Layout::Speaker);
    let mut eight = screen(&world, 11, wanted, Some(8), Layout::Speaker);
    let mut guest = screen(&world, 12, wanted, Some(90), Layout::Speaker);
    let mut encodes = |world: &mut World, screens: &mut [&mut Screen]| {
        run(world, 15, &mut [(1, &mut camera)], screens);
        let before = world.bridge.stats().video_encoded;
        run(world, 30, &mut [(1, &mut camera)], screens);
        world.bridge.stats().video_encoded - before
    };
    let screens = &mut [&mut seven, &mut eight, &mut guest];
    let encoded = encodes(&mut world, screens);
    assert!((29..=31).contains(&encoded), "{encoded} encodes for one picture of three viewers");
    world.bridge.set_speaker(Some(SourceId(7)));
    let encoded = encodes(&mut world, screens);
    assert!((58..=62).contains(&encoded), "{encoded} encodes: the seventh does not see itself");
    // Who spoke before the last two has no place of its own any more.
    world.bridge.set_speaker(Some(SourceId(2)));
    world.bridge.set_speaker(Some(SourceId(1)));
    let encoded = encodes(&mut world, screens);
    assert!((29..=31).contains(&encoded), "{encoded} encodes: all see the same again");
    let large = Rect::new(80, 10, 480, 260);
    for screen in [&seven, &eight, &guest] {
        assert!(screen.share(large, RED) > 0.7);
        assert!(screen.packets.windows(2).all(|p| p[1].seq == p[0].seq + 1));
        assert!(screen.packets.windows(2).all(|p| p[1].timestamp >= p[0].timestamp));
    }
    assert!(eight.keys <= 2 && guest.keys <= 2, "{} and {} keys", eight.keys, guest.keys);
}

#[test]
fn key_frames_are_made_for_who_asks_and_who_comes_and_one_a_second_at_most() {
    let mut world = World::new();
    let mut camera = world.camera(1, VideoCodec::Vp8, RED);
    let wanted = format(VideoCodec::Vp8, 640, 360);
    let mut first = screen(&world, 10, wanted, None, Layout::Grid);
    run(&mut world, 60, &mut [(1, &mut camera)], &mut [&mut first]);
    assert_eq!(first.keys, 1);
    for _ in 0..60 {
        world.bridge.request_keyframe(SinkId(10));
        run(&mut world, 1, &mut [(1, &mut camera)], &mut [&mut first]);
    }
    assert!((2..=4).contains(&first.keys), "{} key frames after 2 s of asking", first.keys);
    let mut late = screen(&world, 11, wanted, None, Layout::Grid);
    run(&mut world, 40, &mut [(1, &mut camera)], &mut [&mut first, &mut late]);
    assert_eq!(late.keys, 1, "a late viewer begins with a key frame");
    assert!(late.share(Rect::new(0, 0, 640, 360), RED) > 0.8);
}

#[test]
fn only_what_is_shown_is_decoded_and_its_size_is_told() {
    let mut world = World::new();
    let mut camera = world.camera(1, VideoCodec::Vp8, RED);
    for _ in 0..10 {
        camera.film(world.now);
        world.step(FRAME);
    }
    assert_eq!(world.bridge.stats().video_decoded, 0, "nobody watches");
    let mut screen = screen(&world, 10, format(VideoCodec::Vp8, 1280, 720), None, Layout::Grid);
    world.step(FRAME);
    let events = answer(&world, &mut [(1, &mut camera)]);
    assert!(events.contains(&BridgeEvent::TileSize {
        source: SourceId(1),
        width: 1280,
        height: 720
    }));
    run(&mut world, 10, &mut [(1, &mut camera)], &mut [&mut screen]);
    assert!(world.bridge.stats().video_decoded > 5);
    world.bridge.add_tile(SourceId(2), "B");
    let small = answer(&world, &mut []);
    assert!(matches!(small[..], [BridgeEvent::TileSize { width: 600..640, .. }]), "{small:?}");
    world.bridge.remove_sink(SinkId(10));
    assert!(answer(&world, &mut []).contains(&BridgeEvent::TileSize {
        source: SourceId(1),
        width: 0,
        height: 0
    }));
}

#[test]
fn a_still_picture_costs_one_encode_a_second_and_a_moving_one_keeps_its_cadence() {
    let mut world = World::new();
    world.bridge.add_tile(SourceId(1), "A");
    let mut screen = screen(&world, 10, format(VideoCodec::H264, 640, 360), None, Layout::Grid);
    run(&mut world, 30, &mut [], &mut [&mut screen]);
    let before = screen.pictures;
    run(&mut world, 150, &mut [], &mut [&mut screen]);
    assert!((4..=6).contains(&(screen.pictures - before)), "{}", screen.pictures - before);

    let mut camera = world.camera(2, VideoCodec::Vp8, RED);
    run(&mut world, 10, &mut [(2, &mut camera)], &mut [&mut screen]);
    let before = screen.packets.len();
    for i in 0..60 {
        // Every third frame of the source comes a tick late.
        if i % 3 != 0 {
            camera.film(world.now);
        }
        run(&mut world, 1, &mut [], &mut [&mut screen]);
    }
    let mut times: Vec<u32> = screen.packets[before..].iter().map(|p| p.timestamp).collect();
    times.dedup();
    assert!(times.len() >= 59);
    assert!(times.windows(2).all(|t| (2_990..=3_010).contains(&(t[1] - t[0]))), "{times:?}");
}

#[test]
fn overload_lowers_the_rate_and_the_stream_stays_whole() {
    let mut world = World::new();
    let mut camera = world.camera(1, VideoCodec::Vp8, RED);
    let mut screen = screen(&world, 10, format(VideoCodec::H264, 1280, 720), None, Layout::Grid);
    run(&mut world, 30, &mut [(1, &mut camera)], &mut [&mut screen]);
    world.mcu.pretend_cost(Duration::from_millis(50));
    run(&mut world, 90, &mut [(1, &mut camera)], &mut [&mut screen]);
    let before = screen.pictures;
    run(&mut world, 60, &mut [(1, &mut camera)], &mut [&mut screen]);
    let rate = (screen.pictures - before) / 2;
    assert!((14..=16).contains(&rate), "{rate} pictures a second at 50 ms each");
    world.mcu.pretend_cost(Duration::from_millis(200));
    run(&mut world, 300, &mut [(1, &mut camera)], &mut [&mut screen]);
    assert_eq!(screen.shown.as_ref().unwrap().width(), 640, "then the size");
    assert!(world.mcu.is_strained());
    world.mcu.pretend_cost(Duration::from_millis(2));
    run(&mut world, 900, &mut [(1, &mut camera)], &mut [&mut screen]);
    assert_eq!(screen.shown.as_ref().unwrap().width(), 1280);
    assert!(!world.mcu.is_strained());
    let before = screen.pictures;
    run(&mut world, 60, &mut [(1, &mut camera)], &mut [&mut screen]);
    assert!(screen.pictures - before >= 58, "and back to 30");
    assert!(screen.packets.windows(2).all(|p| p[1].timestamp >= p[0].timestamp));
}

#[test]
fn a_codec_that_cannot_be_encoded_is_told_and_disturbs_nobody() {
    let mut world = World::new();
    let mut camera = world.camera(1, VideoCodec::Vp8, RED);
    let mut good = screen(&world, 10, format(VideoCodec::Vp8, 640, 360), None, Layout::Grid);
    let mut bad = screen(&world, 11, format(VideoCodec::Vp9, 640, 360), None, Layout::Grid);
    camera.film(world.now);
    world.step(FRAME * 2);
    assert!(world.events.try_iter().any(|e| e == BridgeEvent::SinkFailed(SinkId(11))));
    camera.want_key = true;
    run(&mut world, 20, &mut [(1, &mut camera)], &mut [&mut good, &mut bad]);
    assert!(good.pictures > 15 && bad.pictures == 0);
}

#[test]
fn one_source_alone_is_transcoded_without_a_name_whoever_else_is_there() {
    let mut world = World::new();
    let mut room = world.camera(1, VideoCodec::H264, GREEN);
    let mut other = world.camera(2, VideoCodec::Vp8, RED);
    let wanted = format(VideoCodec::Vp8, 640, 360);
    let mut browser = screen(&world, 10, wanted, None, Layout::Single(SourceId(1)));
    run(&mut world, 30, &mut [(1, &mut room), (2, &mut other)], &mut [&mut browser]);
    assert!(browser.share(Rect::new(0, 300, 640, 60), GREEN) > 0.99);
}

#[test]
fn garbage_on_one_lane_disturbs_nobody_else() {
    let mut world = World::new();
    let mut good = world.camera(1, VideoCodec::Vp8, RED);
    let mut evil: Vec<Camera> = [VideoCodec::H264, VideoCodec::Vp8]
        .into_iter()
        .enumerate()
        .map(|(i, codec)| world.camera(2 + i as u64, codec, BLUE))
        .collect();
    let mut screen = screen(&world, 10, format(VideoCodec::H264, 1280, 720), None, Layout::Grid);
    let mut state = 7u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    for _ in 0..300 {
        for camera in &mut evil {
            camera.want_key = random() % 8 == 0;
            for mut packet in camera.frame(world.now) {
                let mut payload = packet.payload.to_vec();
                for _ in 0..random() % 3 {
                    let at = random() as usize % payload.len();
                    payload[at] = random() as u8;
                }
                packet.payload = payload.into();
                packet.marker ^= random() % 50 == 0;
                packet.seq += u64::from(random() % 40 == 0) * 5;
                camera.lane.push(packet);
            }
            camera.lane.flush();
        }
        run(&mut world, 1, &mut [(1, &mut good)], &mut [&mut screen]);
    }
    assert!(screen.pictures >= 290);
    assert!(screen.share(Rect::new(0, 0, 636, 356), RED) > 0.8);
    assert!(world.bridge.stats().video_damaged > 10, "the damage was noticed");
}

#[test]
fn a_rate_is_changed_without_a_key_frame_where_nobody_shares_it() {
    let mut world = World::new();
    let mut camera = world.camera(1, VideoCodec::Vp8, RED);
    let wanted = VideoFormat { bitrate: 1_500_000, ..format(VideoCodec::H264, 640, 360) };
    let mut screen = screen(&world, 10, wanted, None, Layout::Grid);
    run(&mut world, 30, &mut [(1, &mut camera)], &mut [&mut screen]);
    let lower = VideoFormat { bitrate: 200_000, ..wanted };
    world.bridge.change_video_sink(SinkId(10), lower, Layout::Grid);
    run(&mut world, 30, &mut [(1, &mut camera)], &mut [&mut screen]);
    assert_eq!(screen.keys, 1);
    assert!(screen.pictures >= 58);
    // Who comes with the old rate gets an encode of their own.
    let mut other = self::screen(&world, 11, wanted, None, Layout::Grid);
    run(&mut world, 10, &mut [(1, &mut camera)], &mut [&mut screen, &mut other]);
    assert_eq!((screen.keys, other.keys), (1, 1));
}

/// Metric 11 in small: the figures that count come from `media-bench`.
#[test]
fn a_composed_leg_costs_little_more_than_its_codec_calls_and_a_second_viewer_nothing() {
    let mut world = World::new();
    let mut a = world.camera(1, VideoCodec::Vp8, RED);
    let mut b = world.camera(2, VideoCodec::H264, GREEN);
    let wanted = format(VideoCodec::H264, 1280, 720);
    let (tx, mut first) = world.lane();
    world.bridge.add_video_sink(SinkId(1), wanted, None, Layout::Grid, 0, tx);
    let mut measure = |world: &mut World, frames: u32| {
        let mut spent = Duration::ZERO;
        for _ in 0..frames {
            a.film(world.now);
            b.film(world.now);
            spent += world.step(FRAME);
            while first.pop().is_some() {}
        }
        spent / frames
    };
    measure(&mut world, 30);
    let one = measure(&mut world, 90);
    let encoded = world.bridge.stats().video_encoded;
    let mut others: Vec<_> = (2..12)
        .map(|id| {
            let (tx, rx) = world.lane();
            world.bridge.add_video_sink(SinkId(id), wanted, None, Layout::Grid, 0, tx);
            rx
        })
        .collect();
    let many = measure(&mut world, 90);
    println!(
        "720p30 H.264 of two 360p sources: {one:?} a frame ({:.0}% of a core); with 11 viewers {many:?}",
        one.as_secs_f64() * 3_000.0
    );
    assert!(world.bridge.stats().video_encoded - encoded <= 91, "no second encode");
    assert!(others.iter_mut().all(|rx| rx.pop().is_some()));
    assert!(one < FRAME, "one frame in the time between two");
}
