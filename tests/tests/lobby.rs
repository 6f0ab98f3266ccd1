//! People and a room system wait in a lobby, and hosts steer the meeting.

use std::time::Duration;

use serde_json::{Value, json};
use tests::analyse::{Picture, WHOLE};
use tests::baresip::{Baresip, BaresipConfig};
use tests::browser::Browser;
use tests::caller::Caller;
use tests::media::{BLUE, GREEN, Mark, RED};
use tests::person::{GONE_WITHIN, PATIENCE, Person};
use tests::server::Server;
use tests::story::Story;
use tests::wait;

const MEETING: &str = "board";
const CONFIGURATION: &str = "[[meeting]]\nid = \"board\"\nlobby = true\nhost_pin = \"987654\"\n";

/// What H.224 says before the words of H.281: of high priority, to everybody, to the camera.
const TO_CAMERA: [u8; 9] = [0, 0x71, 3, 0, 0, 0, 0, 1, 0xc0];

/// A host turns a room system's camera with the mouse and with the keyboard, for as long as a button
/// and a key are held.
fn a_camera_is_steered(story: &Story, server: &Server, host: &mut Browser) {
    let mut room = Caller::new(&server.dial("board**987654", "udp"), BLUE).with_camera();
    room.dial("0");
    let identity = host.wait_for_room_system();
    let row = format!("[data-roster-identity={identity:?}]");
    host.press(&format!("{row} [data-attr=participant-menu]"));
    host.press("[data-act=steerCamera]");
    host.wait_for("[data-attr=camera-pad]");
    host.screenshot(story, "camera.png", Some((1280, 800)));
    host.screenshot(story, "camera-on-a-phone.png", Some((390, 844)));
    host.screenshot(story, "camera.png", Some((1280, 800)));
    let mut steered = |wanted: &[u8]| {
        let frame = wait::until("something new for the camera", PATIENCE, || {
            let frame = room.steered();
            // Whatever says who is here, and that a motion goes on, comes besides.
            (frame.starts_with(&TO_CAMERA) && frame[TO_CAMERA.len()] != 2).then_some(frame)
        });
        assert_eq!(frame[TO_CAMERA.len()..], *wanted);
    };
    let (left, up) = (0x80, 0x30);
    host.hold_key("ArrowUp");
    steered(&[1, up, 0]);
    host.release_key("ArrowUp");
    steered(&[3, up]);
    host.hold("[data-move=turnLeft]");
    steered(&[1, left, 0]);
    host.release();
    steered(&[3, left]);
    room.hang_up();
    host.wait_until_gone(&identity, PATIENCE);
}

/// Waits until so many stand in the lobby: their identities, in the order of their coming.
fn waiting(server: &Server, count: usize) -> Vec<String> {
    wait::until(&format!("{count} wait"), PATIENCE, || {
        let lobby = server.steer(MEETING, "GET", "lobby", &Value::Null);
        let waiting = lobby["waiting"].as_array()?;
        let identity = |it: &Value| it["identity"].as_str().unwrap_or_default().to_owned();
        (waiting.len() == count).then(|| waiting.iter().map(identity).collect())
    })
}

/// A host does something that has no answer but that it is done.
fn act(server: &Server, method: &str, path: &str, body: &Value) {
    server.steer(MEETING, method, path, body);
}

fn room_sees(room: &mut Baresip, mark: Mark) -> bool {
    Picture::read(&room.picture("room-sees.png")).share(mark, WHOLE) > 0.2
}

fn has_microphone_muted(server: &Server, identity: &str, muted: bool) {
    wait::until(&format!("{identity} is muted: {muted}"), PATIENCE, || {
        let roster = server.steer(MEETING, "GET", "participants", &Value::Null);
        let all = roster["participants"].as_array()?.clone();
        let tracks = all.iter().find(|it| it["identity"] == identity)?["tracks"].clone();
        let tracks = tracks.as_array()?;
        let microphone = tracks.iter().find(|it| it["source"] == "microphone")?;
        (microphone["muted"] == muted).then_some(())
    });
}

#[test]
fn guests_and_a_room_wait_are_admitted_muted_removed_and_the_meeting_ends() {
    let story =
        Story::begin("guests_and_a_room_wait_are_admitted_muted_removed_and_the_meeting_ends");
    let server = Server::start_with(&story, CONFIGURATION);
    let [mut red, mut green] = [RED, GREEN].map(|mark| Browser::launch(mark, &server.origin));
    red.knock_through_page(MEETING, None);
    let [red_id] = waiting(&server, 1).try_into().expect("one waits");
    green.knock_through_page(MEETING, None);
    let mut room = Baresip::start(&story, BaresipConfig::new(BLUE));
    room.dial(&server.dial(MEETING, "udp"));
    let [_, green_id, room_id] = waiting(&server, 3).try_into().expect("three wait");
    red.screenshot(&story, "waits.png", Some((1280, 800)));
    red.screenshot(&story, "waits-on-a-phone.png", Some((390, 844)));
    red.screenshot(&story, "waits.png", Some((1280, 800)));
    // The room is shown that it waits: light text on a calm picture, and nobody's colour.
    wait::until("the room sees a text", PATIENCE, || {
        let picture = Picture::read(&room.picture("room-waits.png"));
        let nobody = [RED, GREEN].iter().all(|mark| picture.share(*mark, WHOLE) < 0.02);
        (nobody && picture.bright() > 0.002).then_some(())
    });
    assert!(server.roster(MEETING).is_empty(), "who waits stands in no roster");

    act(&server, "POST", &format!("lobby/{red_id}/admit"), &Value::Null);
    red.wait_until_in();
    assert_eq!(red.identity, red_id);
    act(&server, "POST", "lobby/admit-all", &Value::Null);
    green.wait_until_in();
    assert_eq!(green.identity, green_id);
    assert_eq!(red.wait_for_room_system(), room_id);
    for (person, other) in [(&mut red, &green_id), (&mut green, &red_id)] {
        person.wait_for_picture(other);
        person.wait_for_picture(&room_id);
    }
    wait::until("the room sees both", PATIENCE, || {
        (room_sees(&mut room, RED) && room_sees(&mut room, GREEN)).then_some(())
    });

    for who in [&green_id, &room_id] {
        has_microphone_muted(&server, who, false);
        act(&server, "POST", &format!("participants/{who}/mute"), &json!({}));
        has_microphone_muted(&server, who, true);
    }
    // The room's mute is lifted; a person is asked, and unmutes itself.
    act(&server, "POST", &format!("participants/{room_id}/mute"), &json!({ "muted": false }));
    has_microphone_muted(&server, &room_id, false);
    act(&server, "POST", &format!("participants/{green_id}/ask"), &json!({ "what": "unmute" }));
    green.wait_for("[data-banner=request]");
    has_microphone_muted(&server, &green_id, true);
    green.press("[data-attr=request-accept]");
    has_microphone_muted(&server, &green_id, false);

    act(&server, "POST", &format!("participants/{room_id}/to-lobby"), &Value::Null);
    red.wait_until_gone(&room_id, GONE_WITHIN);
    wait::until("the room sees nobody", PATIENCE, || {
        (!room_sees(&mut room, RED) && !room_sees(&mut room, GREEN)).then_some(())
    });
    assert_eq!(waiting(&server, 1), std::slice::from_ref(&room_id));
    act(&server, "POST", &format!("lobby/{room_id}/admit"), &Value::Null);
    red.wait_for_picture(&room_id);

    act(&server, "DELETE", &format!("participants/{green_id}"), &Value::Null);
    green.wait_for("[data-ending=removed]");
    red.wait_until_gone(&green_id, GONE_WITHIN);
    act(&server, "PATCH", "live", &json!({ "lobby": false, "locked": true }));
    green.knock_through_page(MEETING, None);
    let [again] = waiting(&server, 1).try_into().expect("one waits");
    act(&server, "POST", &format!("lobby/{again}/refuse"), &Value::Null);
    green.wait_for("[data-ending=declined]");

    act(&server, "POST", "end", &Value::Null);
    red.wait_for("[data-ending=ended]");
    room.wait_for_end(Duration::from_secs(5));
    let complaints = red.complaints();
    assert!(complaints.1.is_empty(), "{complaints:?}");
    server.stop();
}

#[test]
fn a_host_steers_from_the_page() {
    let story = Story::begin("a_host_steers_from_the_page");
    let server = Server::start_with(&story, CONFIGURATION);
    let [mut host, mut guest] = [RED, GREEN].map(|mark| Browser::launch(mark, &server.origin));
    host.host_through_page(MEETING, "987654");
    guest.knock_through_page(MEETING, None);
    host.press("[data-attr=show-waiting]");
    host.wait_for("[data-lobby-identity]");
    host.screenshot(&story, "host.png", Some((1280, 800)));
    host.screenshot(&story, "host-on-a-phone.png", Some((390, 844)));
    host.screenshot(&story, "host.png", Some((1280, 800)));
    host.press("[data-attr=lobby-admit]");
    guest.wait_until_in();
    host.wait_for_picture(&guest.identity.clone());
    let row = format!("[data-roster-identity={:?}]", guest.identity);
    let menu = |host: &mut Browser, act: &str| {
        host.press(&format!("{row} [data-attr=participant-menu]"));
        host.press(&format!("[data-act={act}]"));
    };
    has_microphone_muted(&server, &guest.identity, false);
    menu(&mut host, "mute");
    has_microphone_muted(&server, &guest.identity, true);
    host.wait_for(&format!("{row} [data-off=true]"));
    menu(&mut host, "askUnmute");
    guest.wait_for("[data-banner=request]");
    guest.screenshot(&story, "asked.png", Some((1280, 800)));
    guest.press("[data-attr=request-decline]");
    menu(&mut host, "toLobby");
    guest.wait_for("[data-waiting]");
    host.press("[data-attr=lobby-admit-all]");
    guest.wait_until_in();
    host.wait_for_picture(&guest.identity.clone());
    a_camera_is_steered(&story, &server, &mut host);
    menu(&mut host, "makeHost");
    guest.press("[data-attr=controls-participants]");
    guest.press("[data-attr=host-lock]");
    wait::until("the new host has locked the meeting", PATIENCE, || {
        let lobby = server.steer(MEETING, "GET", "lobby", &Value::Null);
        (lobby["live"]["locked"] == true).then_some(())
    });
    menu(&mut host, "remove");
    guest.wait_for("[data-ending=removed]");
    server.stop();
}
