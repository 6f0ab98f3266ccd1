//! Browsers among themselves.

use world::{BLUE, RED, Weather, World, ms, seconds};

#[test]
fn two_meet_over_a_lossy_network_and_retransmission_mends_the_pictures() {
    let mut world = World::new(7);
    let weather = Weather::FAIR.delayed(60).losing(0.02);
    let anna = world.browser("anna").shows(RED).over(weather);
    let boris = world.browser("boris").shows(BLUE).over(weather);
    anna.joins(&mut world);
    boris.joins(&mut world);
    world.until(seconds(5), || anna.sees(BLUE) && boris.sees(RED));
    let met = world.now();
    world.pass(seconds(20));
    for (who, other, own) in [(&anna, BLUE, RED), (&boris, RED, BLUE)] {
        assert!(who.sees(other) && who.hears(other));
        assert!(!who.sees(own) && who.loudness(own) < -50.0, "{} dB", who.loudness(own));
        let (loss, freeze) = (who.residual_loss(), who.longest_freeze(met));
        println!(
            "loss {loss:.5}, freeze {freeze:?}, concealed {:.4}, first {:?}, {} pictures",
            who.concealed(),
            who.first(),
            who.pictures()
        );
        assert!(loss <= 0.001, "{loss}");
        assert!(freeze < ms(800), "{freeze:?}");
        // Sound is not sent again: what two links lose is made up for.
        assert!((0.02..0.06).contains(&who.concealed()), "{}", who.concealed());
    }
}

#[test]
fn sound_and_picture_stay_in_step() {
    let mut world = World::new(8);
    let weather = Weather::FAIR.delayed(40).jittery(30).losing(0.01);
    let anna = world.browser("anna").shows(RED).claps().over(weather);
    let boris = world.browser("boris").shows(BLUE).in_h264().claps().over(weather);
    anna.joins(&mut world);
    boris.joins(&mut world);
    world.pass(seconds(12));
    for who in [&anna, &boris] {
        let lips = who.lips();
        println!("{lips:?}");
        assert!(lips.len() >= 5 && lips.iter().all(|it| it.abs() < 60.0), "{lips:?}");
    }
}

#[test]
fn who_joins_can_play_sound_and_picture_in_step_within_three_seconds() {
    let mut world = World::new(9);
    let anna = world.browser("anna").shows(RED).claps();
    anna.joins(&mut world);
    world.pass(seconds(7));
    let boris = world.browser("boris");
    boris.joins(&mut world);
    world.pass(seconds(5));
    let lips = boris.lips();
    assert!(lips.len() >= 2 && lips.iter().all(|it| it.abs() < 60.0), "{lips:?}");
}

#[test]
fn whoever_begins_to_watch_h264_begins_with_its_parameter_sets() {
    // Parameter sets are lost on their way to the server alone: of the first packet that is lost on
    // its way to a receiver nobody can know.
    let weather = Weather::FAIR.delayed(60).jittery(20).losing(0.15);
    for seed in 0..20 {
        let mut world = World::new(seed);
        let anna = world.browser("anna").shows(RED).over(Weather::FAIR.delayed(60));
        let boris = world.browser("boris").shows(BLUE).in_h264().over(weather);
        anna.joins(&mut world);
        boris.joins(&mut world);
        world.pass(seconds(3));
        assert_eq!(anna.undecodable(), 0, "seed {seed}");
    }
}
