//! The lobby and what hosts do: nobody who waits sees or hears anything, or is seen or heard.

use room::{Act, LiveChange, Medium};
use types::Identity;
use world::{BLUE, GREEN, RED, World, seconds};

fn lobby(on: bool) -> Act {
    Act::SetLive(LiveChange { lobby: Some(on), ..LiveChange::default() })
}

fn to_lobby(who: &str) -> Act {
    Act::ToLobby { identity: Identity::new(who), since_ms: 0 }
}

#[test]
fn a_room_waits_with_a_picture_and_media_flow_while_a_host_wants_it_in() {
    let mut world = World::new(31);
    let anna = world.browser("anna").shows(RED);
    let hall = world.room("hall").shows(GREEN).encrypts();
    anna.joins(&mut world);
    world.pass(seconds(1));
    world.acts(lobby(true));
    hall.calls(&mut world);
    let nothing_passes = |world: &mut World| {
        let before = hall.pictures();
        for _ in 0..4 {
            world.pass(seconds(1));
            assert!(!hall.sees(RED) && !hall.hears(RED), "it gets something");
            assert!(!anna.sees(GREEN) && !anna.hears(GREEN), "something comes of it");
        }
        assert!(hall.pictures() > before, "it is shown that it waits");
        assert!(!hall.is_out());
    };
    let all_pass = |world: &mut World| {
        world.until(seconds(8), || hall.sees(RED) && hall.hears(RED));
        world.until(seconds(8), || anna.sees(GREEN) && anna.hears(GREEN));
    };
    world.until(seconds(5), || hall.pictures() > 0);
    nothing_passes(&mut world);
    world.acts(Act::AdmitAll);
    all_pass(&mut world);
    world.acts(to_lobby("hall"));
    // What was under way.
    world.pass(seconds(1));
    nothing_passes(&mut world);
    world.acts(Act::Admit(Identity::new("hall")));
    all_pass(&mut world);
    world.acts(to_lobby("hall"));
    world.pass(seconds(1));
    world.acts(Act::Refuse(Identity::new("hall")));
    world.until(seconds(2), || hall.is_out());
}

#[test]
fn a_browser_in_the_lobby_gets_nothing_and_nobody_gets_anything_of_it() {
    let mut world = World::new(32);
    let anna = world.browser("anna").shows(RED);
    let boris = world.browser("boris").shows(BLUE);
    let hall = world.room("hall");
    anna.joins(&mut world);
    boris.joins(&mut world);
    hall.calls(&mut world);
    world.until(seconds(5), || anna.sees(BLUE) && boris.sees(RED) && hall.sees(BLUE));
    world.acts(to_lobby("boris"));
    world.until(seconds(3), || boris.is_out());
    world.pass(seconds(2));
    let seen = boris.pictures();
    world.pass(seconds(3));
    assert_eq!(boris.pictures(), seen, "he still gets something");
    assert!(!anna.sees(BLUE) && !anna.hears(BLUE) && !hall.sees(BLUE) && !hall.hears(BLUE));
    // His page asks to come back with the token that it has.
    let again = world.browser("boris").shows(BLUE);
    assert!(again.is_refused(&world));
    world.acts(Act::Admit(Identity::new("boris")));
    again.joins(&mut world);
    world.until(seconds(8), || anna.sees(BLUE) && again.sees(RED) && hall.sees(BLUE));
    world.acts(Act::Remove(Identity::new("boris")));
    world.until(seconds(3), || again.is_out());
    assert!(again.is_refused(&world));
}

#[test]
fn whoever_is_muted_is_not_heard_whatever_its_client_does() {
    let mut world = World::new(33);
    let anna = world.browser("anna").shows(RED);
    let boris = world.browser("boris").shows(BLUE);
    let hall = world.room("hall").shows(GREEN);
    anna.joins(&mut world);
    boris.joins(&mut world);
    hall.calls(&mut world);
    let all_heard =
        || anna.hears(BLUE) && anna.hears(GREEN) && hall.hears(BLUE) && boris.hears(RED);
    world.until(seconds(8), all_heard);
    world.acts(Act::MuteAll { allow_unmute: Some(false) });
    world.pass(seconds(2));
    for _ in 0..3 {
        world.pass(seconds(1));
        assert!(!anna.hears(BLUE) && !anna.hears(GREEN) && !boris.hears(RED));
        assert!(!hall.hears(BLUE) && !hall.hears(RED));
    }
    assert!(anna.sees(BLUE) && anna.sees(GREEN), "pictures go on");
    let mute = |medium, muted| Act::Mute { identity: Identity::new("hall"), medium, muted };
    world.acts(mute(Medium::Microphone, false));
    world.until(seconds(5), || anna.hears(GREEN) && boris.hears(GREEN));
    assert!(!anna.hears(BLUE));
    world.acts(mute(Medium::Camera, true));
    world.until(seconds(3), || !anna.sees(GREEN) && anna.hears(GREEN));
}
