//! The world itself.

use world::{BLUE, GREEN, RED, Weather, World, ms, seconds};

/// What happened in a meeting over a bad network.
fn figures(seed: u64) -> String {
    let mut world = World::new(seed);
    let bad = Weather::FAIR
        .delayed(40)
        .jittery(20)
        .losing(0.02)
        .doubling(0.01)
        .reordering(0.02)
        .bursting(ms(120), seconds(2));
    let anna = world.browser("anna").shows(RED).over(bad);
    let boris = world.browser("boris").shows(BLUE).in_h264().over(bad);
    let hall = world.room("hall").shows(GREEN).over(bad);
    anna.joins(&mut world);
    boris.joins(&mut world);
    hall.calls(&mut world);
    world.pass(seconds(8));
    let of = |browser: &world::Browser| {
        let (pictures, first) = (browser.pictures(), browser.first());
        let (loss, concealed) = (browser.residual_loss(), browser.concealed());
        let keys = browser.key_frames();
        format!("{pictures} pictures, {first:?}, {keys:?}, {loss:.5}, {concealed:.5}")
    };
    let room = (hall.pictures(), hall.key_frames());
    format!("{}; {}; {room:?}; {:?}", of(&anna), of(&boris), world.mixing())
}

#[test]
fn the_same_seed_is_the_same_story_and_another_is_another() {
    let (first, again, other) = (figures(1), figures(1), figures(2));
    println!("{first}\n{again}\n{other}");
    assert_eq!(first, again);
    assert_ne!(first, other);
}
