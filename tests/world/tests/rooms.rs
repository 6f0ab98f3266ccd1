//! Room systems among browsers.

use room::Command;
use world::{BLUE, GREEN, RED, Weather, World, ms, seconds};

/// Sound against picture, in ms: what nobody notices.
fn is_in_sync(lips: &[f64]) {
    assert!(lips.len() >= 5, "{} claps", lips.len());
    assert!(lips.iter().all(|it| it.abs() <= 80.0), "{lips:?}");
}

#[test]
fn a_room_gets_the_composed_picture_and_the_mix_and_browsers_get_its_own() {
    let mut world = World::new(11);
    let anna = world.browser("anna").shows(RED);
    let boris = world.browser("boris").shows(BLUE).in_h264();
    let hall = world.room("hall").shows(GREEN).in_opus().encrypts();
    anna.joins(&mut world);
    boris.joins(&mut world);
    hall.calls(&mut world);
    world.until(seconds(5), || hall.sees(RED) && hall.sees(BLUE));
    world.until(seconds(5), || anna.sees(GREEN) && boris.sees(GREEN));
    world.pass(seconds(3));
    assert!(hall.hears(RED) && hall.hears(BLUE));
    assert!(!hall.sees(GREEN) && hall.loudness(GREEN) < -50.0, "{} dB", hall.loudness(GREEN));
    // Two tiles, side by side.
    assert!(hall.share(RED) > 0.2 && hall.share(BLUE) > 0.2);
    for browser in [&anna, &boris] {
        assert!(browser.sees(GREEN) && browser.hears(GREEN));
    }
}

#[test]
fn a_rooms_pictures_go_on_over_a_link_that_loses_one_in_a_hundred() {
    let mut world = World::new(12);
    let anna = world.browser("anna").shows(RED);
    let hall = world.room("hall").shows(GREEN).over(Weather::FAIR.delayed(30).losing(0.01));
    anna.joins(&mut world);
    hall.calls(&mut world);
    world.until(seconds(5), || hall.sees(RED) && anna.sees(GREEN));
    let met = world.now();
    for _ in 0..20 {
        world.pass(seconds(1));
        assert!(hall.hears(RED) && anna.hears(GREEN), "sound goes on");
    }
    let freezes = (hall.longest_freeze(met), anna.longest_freeze(met));
    println!("{freezes:?}, {:?}, {:?}", hall.key_frames(), anna.key_frames());
    assert!(freezes.0 < seconds(2) && freezes.1 < seconds(2), "{freezes:?}");
    // There is no retransmission on plain RTP: what was lost is begun anew.
    let (asked, was_asked) = hall.key_frames();
    assert!(asked > 0 && was_asked > 1, "{asked} asked, {was_asked} asked for");
    assert!(hall.sees(RED) && anna.sees(GREEN));
}

#[test]
fn a_room_that_falls_silent_for_three_seconds_comes_back_in_sync() {
    let mut world = World::new(13);
    let anna = world.browser("anna").shows(RED).claps();
    let hall = world.room("hall").shows(GREEN).claps();
    anna.joins(&mut world);
    hall.calls(&mut world);
    world.until(seconds(5), || hall.sees(RED) && anna.sees(GREEN));
    world.pass(seconds(8));
    hall.is_cut_off(seconds(3));
    world.pass(ms(2900));
    assert!(!anna.sees(GREEN) && !anna.hears(GREEN) && !hall.sees(RED) && !hall.hears(RED));
    assert!(!hall.is_out(), "three seconds are no reason to put it out");
    world.until(ms(100 + 1500), || hall.sees(RED) && anna.sees(GREEN));
    // Sound that was there for a second is known by its note.
    world.until(seconds(2), || hall.hears(RED) && anna.hears(GREEN));
    world.pass(seconds(10));
    assert!(hall.sees(RED) && hall.hears(RED) && anna.sees(GREEN) && anna.hears(GREEN));
    println!("{:?}\n{:?}", hall.lips(), anna.lips());
    // Before and after, from the first second on.
    is_in_sync(&hall.lips());
    is_in_sync(&anna.lips());
}

#[test]
fn bursts_and_packets_out_of_order_stop_neither_sound_nor_picture() {
    let mut world = World::new(14);
    let rough = Weather::FAIR.delayed(20).jittery(15).reordering(0.03).doubling(0.01);
    let anna = world.browser("anna").shows(RED).claps().over(rough);
    let hall = world.room("hall").shows(GREEN).claps().over(rough);
    anna.joins(&mut world);
    hall.calls(&mut world);
    world.until(seconds(5), || hall.sees(RED) && anna.sees(GREEN));
    world.pass(seconds(6));
    let since = world.now();
    for _ in 0..5 {
        hall.is_cut_off(ms(300));
        world.pass(seconds(3));
        assert!(hall.hears(RED) && anna.hears(GREEN), "sound goes on");
        assert!(hall.sees(RED) && anna.sees(GREEN), "pictures go on");
    }
    let freezes = (hall.longest_freeze(since), anna.longest_freeze(since));
    println!("{freezes:?}\n{:?}\n{:?}", hall.lips(), anna.lips());
    assert!(freezes.0 < seconds(2) && freezes.1 < seconds(2), "{freezes:?}");
    is_in_sync(&hall.lips());
    is_in_sync(&anna.lips());
}

#[test]
fn a_late_joiner_sees_a_forwarded_room_within_a_second_and_a_half() {
    for seed in 20..24 {
        let mut world = World::new(seed);
        let anna = world.browser("anna").shows(RED);
        let hall = world.room("hall").shows(GREEN);
        anna.joins(&mut world);
        hall.calls(&mut world);
        world.until(seconds(5), || hall.sees(RED) && anna.sees(GREEN));
        world.pass(ms(2_000 + 130 * (seed - 20)));
        // 100 ms there and back.
        let boris = world.browser("boris").over(Weather::FAIR.delayed(50));
        boris.joins(&mut world);
        let room = world.until(seconds(10), || boris.sees(GREEN));
        let all = room + world.until(seconds(10), || boris.sees(GREEN) && boris.sees(RED));
        println!("{:?}, room {room:?}, all {all:?}, {:?}", boris.first(), boris.key_frames());
        assert!(all <= ms(1500), "the first picture after {room:?}, all after {all:?}");
    }
}

#[test]
fn a_room_whose_call_reads_no_news_stays_in_however_much_happens() {
    let mut world = World::new(17);
    let anna = world.browser("anna").shows(RED);
    let hall = world.room("hall").shows(GREEN).is_neglected();
    anna.joins(&mut world);
    hall.calls(&mut world);
    world.until(seconds(5), || hall.sees(RED) && anna.sees(GREEN));
    // Twice what a queue holds. Browsers read theirs.
    for change in 0..2_000 {
        world.does(Command::SetMetadata(change.to_string()));
        if change % 100 == 0 {
            world.pass(ms(20));
        }
    }
    world.pass(seconds(1));
    assert!(hall.sees(RED) && anna.sees(GREEN), "nobody is put out");
}

#[test]
fn who_joins_later_gets_a_rooms_sound_and_picture_in_step() {
    let mut world = World::new(16);
    let anna = world.browser("anna").shows(RED);
    let hall = world.room("hall").shows(GREEN).claps();
    anna.joins(&mut world);
    hall.calls(&mut world);
    world.pass(seconds(7));
    let boris = world.browser("boris").over(Weather::FAIR.delayed(50));
    boris.joins(&mut world);
    world.pass(seconds(12));
    println!("{:?}", boris.lips());
    is_in_sync(&boris.lips());
}

#[test]
fn a_second_room_with_the_same_view_costs_no_second_encode() {
    let mut world = World::new(15);
    // So many that a grid has no room for more.
    let anna = world.browser("anna").shows(RED);
    anna.joins(&mut world);
    for number in 2..=16 {
        world.browser(&format!("guest {number}")).joins(&mut world);
        world.pass(ms(50));
    }
    let hall = world.room("hall");
    hall.calls(&mut world);
    world.until(seconds(5), || hall.share(RED) > 0.03 && hall.hears(RED));
    let encoded = |world: &mut World| {
        let before = world.mixing();
        world.pass(seconds(4));
        let after = world.mixing();
        (after.video_encoded - before.video_encoded, after.audio_encoded - before.audio_encoded)
    };
    let for_one = encoded(&mut world);
    // Neither is seen: there is no room for a seventeenth and an eighteenth tile.
    let den = world.room("den");
    den.calls(&mut world);
    world.until(seconds(5), || den.share(RED) > 0.03 && den.hears(RED));
    assert_eq!(world.compositions(), 1);
    let shown = (hall.pictures(), den.pictures());
    let for_two = encoded(&mut world);
    println!("{for_one:?} {for_two:?}");
    assert!(hall.pictures() - shown.0 > 50 && den.pictures() - shown.1 > 50);
    assert!(for_two.0.abs_diff(for_one.0) <= 2, "{for_one:?} pictures and sounds, {for_two:?}");
    assert!(for_two.1.abs_diff(for_one.1) <= 2, "{for_one:?} pictures and sounds, {for_two:?}");
}

#[test]
fn rooms_among_themselves_cost_no_encode_for_browsers_until_one_comes() {
    let mut world = World::new(18);
    let hall = world.room("hall").shows(GREEN);
    let den = world.room("den").shows(BLUE);
    hall.calls(&mut world);
    den.calls(&mut world);
    world.until(seconds(5), || hall.hears(BLUE) && den.hears(GREEN));
    let encoded = |world: &mut World| {
        let before = world.mixing().audio_encoded;
        world.pass(seconds(2));
        world.mixing().audio_encoded - before
    };
    // A mix for each, of which a packet lasts 20 ms.
    let alone = encoded(&mut world);
    assert!(alone.abs_diff(200) <= 4, "{alone} packets for two rooms");
    let anna = world.browser("anna");
    anna.joins(&mut world);
    world.until(seconds(2), || anna.hears(GREEN) && anna.hears(BLUE));
    let watched = encoded(&mut world);
    assert!(watched.abs_diff(400) <= 8, "{watched} packets for two rooms and a browser");
    anna.leaves();
    world.pass(ms(100));
    let again = encoded(&mut world);
    assert!(again.abs_diff(200) <= 4, "{again} packets for two rooms again");
}
