//! The world itself: one seed, one story. With room systems in it that holds but nearly: the order
//! of what falls on one moment in the shard and the `mcu` follows hash maps.

use world::{BLUE, Browser, RED, Weather, World, ms, seconds};

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
    let anna = world.browser("anna").shows(RED);
    let boris = world.browser("boris").shows(BLUE).in_h264();
    anna.joins(&mut world);
    boris.joins(&mut world);
    world.until(seconds(2), || anna.sees(BLUE) && boris.sees(RED));
    // A handshake's repetitions come at random moments.
    anna.weather(bad);
    boris.weather(bad);
    world.pass(seconds(8));
    let of = |browser: &Browser| {
        let (pictures, first) = (browser.pictures(), browser.first());
        let (loss, concealed) = (browser.residual_loss(), browser.concealed());
        let keys = browser.key_frames();
        format!("{pictures} pictures, {first:?}, {keys:?}, {loss:.5}, {concealed:.5}")
    };
    format!("{}; {}", of(&anna), of(&boris))
}

#[test]
fn the_same_seed_is_the_same_story_and_another_is_another() {
    let (first, again, other) = (figures(1), figures(1), figures(2));
    println!("{first}\n{again}\n{other}");
    assert_eq!(first, again);
    assert_ne!(first, other);
}
