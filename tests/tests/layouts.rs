//! How others are arranged in the picture of a room system.

use std::time::Duration;

use serde_json::json;
use tests::analyse::{Picture, WHOLE};
use tests::baresip::{Baresip, BaresipConfig};
use tests::browser::{Browser, Mode};
use tests::media::{BLUE, GREEN, Mark, RED};
use tests::server::Server;
use tests::story::Story;
use tests::{token, wait};

/// From a change to the picture that shows it: who speaks is told by some hundred milliseconds of
/// sound, and a layer of the size wanted has to come.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);
/// Of the whole picture: the large tile above a strip, one in the strip, and half of a grid.
const LARGE: std::ops::Range<f64> = 0.45..0.80;
const IN_STRIP: std::ops::Range<f64> = 0.01..0.08;
const HALF: std::ops::Range<f64> = 0.15..0.30;

/// Waits until the room sees each person's colour in so much of its picture.
fn sees(room: &mut Baresip, when: &str, shares: [(Mark, &std::ops::Range<f64>); 2]) {
    wait::until(when, SHOWN_WITHIN, || {
        let picture = Picture::read(&room.picture(&format!("{}.png", when.replace(' ', "-"))));
        shares
            .iter()
            .all(|(mark, share)| share.contains(&picture.share(*mark, WHOLE)))
            .then_some(())
    });
}

fn mute(person: &mut Browser, muted: bool) {
    let _ = person.evaluate(&format!(
        "() => window.plenum.room.localParticipant.setMicrophoneEnabled({})",
        !muted
    ));
}

/// Red and green are in, red with its microphone off; a room system is ready.
fn only_green_speaks(story: &Story, server: &Server) -> ([Browser; 2], Baresip) {
    let mut people = [RED, GREEN].map(|mark| Browser::launch(mark, &server.origin));
    for person in &mut people {
        person.join_by_client(&token::to_join(person.mark.name, "demo"), Mode::V1);
    }
    mute(&mut people[0], true);
    (people, Baresip::start(story, BaresipConfig::new(BLUE)))
}

/// A host mutes somebody's microphone.
fn mute_sound(server: &Server, identity: &str) {
    let sid = wait::until("its sound stands in the roster", SHOWN_WITHIN, || {
        let roster = server.roster("demo");
        let participant = roster.iter().find(|it| it["identity"] == identity)?;
        let tracks = participant["tracks"].as_array()?;
        Some(tracks.iter().find(|it| it["type"] != "VIDEO")?["sid"].clone())
    });
    let request = json!({"room": "demo", "identity": identity, "trackSid": sid, "muted": true});
    server.administer("demo", "MutePublishedTrack", &request);
}

#[test]
fn who_speaks_is_large_and_a_grid_shows_all_alike() {
    let story = Story::begin("who_speaks_is_large_and_a_grid_shows_all_alike");
    let server = Server::start_with(&story, "[sip]\nlayout = \"speaker\"\n");
    let ([mut red, mut green], mut room) = only_green_speaks(&story, &server);
    room.dial(&server.dial("demo", "udp"));
    let identity = green.wait_for_room_system();
    // Its own tone would be the speaker's, before whom it sees who spoke last.
    mute_sound(&server, &identity);
    sees(&mut room, "green speaks", [(GREEN, &LARGE), (RED, &IN_STRIP)]);

    mute(&mut red, false);
    mute(&mut green, true);
    sees(&mut room, "red speaks", [(RED, &LARGE), (GREEN, &IN_STRIP)]);
    assert!(Picture::read(&room.picture("no-blue.png")).share(BLUE, WHOLE) < 0.02);

    // An operator's wish holds for this room, in the same stream.
    let before = server.metric("plenum_leg_view_total{path=\"composed\"}");
    let layout = |layout: &str| {
        let request =
            json!({"room": "demo", "identity": identity, "attributes": {"sip.layout": layout}});
        server.administer("demo", "UpdateParticipant", &request)
    };
    let told = layout("grid");
    assert_eq!(told["attributes"]["sip.layout"], "grid", "{told}");
    sees(&mut room, "a grid", [(RED, &HALF), (GREEN, &HALF)]);
    layout("speaker");
    sees(&mut room, "red is large again", [(RED, &LARGE), (GREEN, &IN_STRIP)]);
    assert_eq!(server.metric("plenum_leg_view_total{path=\"composed\"}"), before);
    room.hang_up();
    server.stop();
}

#[test]
fn a_call_has_a_layout_of_its_own_and_the_api_changes_it() {
    let story = Story::begin("a_call_has_a_layout_of_its_own_and_the_api_changes_it");
    let server = Server::start(&story);
    let ([_red, mut green], mut room) = only_green_speaks(&story, &server);
    let address = room.uri();
    let (status, wrong) =
        server.legs("demo", "POST", "", &json!({"address": address, "layout": "tiles"}));
    assert_eq!((status, &wrong["code"]), (400, &"layout_invalid".into()), "{wrong}");
    let (status, leg) =
        server.legs("demo", "POST", "", &json!({"address": address, "layout": "speaker"}));
    assert_eq!((status, &leg["layout"]), (201, &"speaker".into()), "{leg}");
    room.wait_for_call();
    let identity = green.wait_for_room_system();
    mute_sound(&server, &identity);
    sees(&mut room, "green speaks", [(GREEN, &LARGE), (RED, &IN_STRIP)]);

    let path = format!("/{}", leg["id"].as_str().expect("an id"));
    let grid = json!({"layout": "grid"});
    let (status, leg) = server.legs("demo", "PATCH", &path, &grid);
    assert_eq!((status, &leg["layout"]), (200, &"grid".into()), "{leg}");
    sees(&mut room, "a grid", [(RED, &HALF), (GREEN, &HALF)]);
    room.hang_up();
    wait::until("the call is over for the API", SHOWN_WITHIN, || {
        (server.legs("demo", "PATCH", &path, &grid).0 == 409).then_some(())
    });
    server.stop();
}
