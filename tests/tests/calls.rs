//! Calls of room systems from their first word to their last, against the program itself.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::analyse::{self, Picture, WHOLE};
use tests::baresip::{Baresip, BaresipConfig};
use tests::browser::{Browser, Mode};
use tests::caller::Caller;
use tests::media::{BLUE, GREEN, Mark, RED};
use tests::person::Person;
use tests::server::Server;
use tests::story::Story;
use tests::token;
use tests::wait;
use types::AudioCodec;

const PATIENCE: Duration = Duration::from_secs(10);
/// What a host does has its effect within this time.
const AT_ONCE: Duration = Duration::from_secs(1);
/// An end reaches the other side within this time.
const GOODBYE: Duration = Duration::from_secs(3);
/// Louder than this a tone is heard, below the second it is not.
const HEARD_DB: f64 = -40.0;
const SILENT_DB: f64 = -70.0;
/// Long ones: no other number in a log is alike.
const PIN: &str = "73918462";
const WRONG_PIN: &str = "64837291";
/// Refusals for different reasons may differ in time by this much.
const ALIKE: Duration = Duration::from_millis(100);

/// Starts a browser that is in a meeting, past any PIN.
fn person(server: &Server, mark: Mark, meeting: &str) -> Browser {
    let mut person = Browser::launch(mark, &server.origin);
    person.join_by_client(&token::to_join(mark.name, meeting), Mode::V1);
    person
}

/// The room system in a meeting's roster.
fn room_system(server: &Server, meeting: &str) -> Option<Value> {
    server.roster(meeting).into_iter().find(|it| it["kind"] == "SIP")
}

/// Waits until everybody is told that the room system has the meeting on hold, or no more.
fn wait_for_hold(server: &Server, meeting: &str, held: bool) {
    wait::until(&format!("on hold: {held}"), PATIENCE, || {
        let room = room_system(server, meeting)?;
        (room["attributes"]["plenum.hold"] == "true").eq(&held).then_some(())
    });
}

fn wait_for_room_system(server: &Server, meeting: &str) -> Value {
    wait::until("a room system is in the roster", PATIENCE, || room_system(server, meeting))
}

fn wait_until_out(server: &Server, meeting: &str) {
    wait::until("no room system is in the roster", GOODBYE, || {
        room_system(server, meeting).is_none().then_some(())
    });
}

fn identity(participant: &Value) -> String {
    participant["identity"].as_str().expect("an identity").to_owned()
}

/// Whether its sound and picture are shown as muted, those that there are.
fn mutes(participant: &Value) -> Vec<bool> {
    let tracks = participant["tracks"].as_array().cloned().unwrap_or_default();
    tracks.iter().map(|it| it["muted"] == true).collect()
}

fn wait_for_mutes(server: &Server, meeting: &str, wanted: &[bool]) {
    wait::until(&format!("muted: {wanted:?}"), PATIENCE, || {
        (mutes(&room_system(server, meeting)?) == wanted).then_some(())
    });
}

/// How loud somebody is for a person, in dB.
fn level_for(person: &mut Browser, identity: &str, mark: Mark, seconds: f64) -> f64 {
    let heard = person.record(identity, seconds);
    // The first moments of a recording hold the filter's start.
    analyse::level(&heard[heard.len() / 4..], mark.tone)
}

fn wait_to_hear(person: &mut Browser, identity: &str, mark: Mark) {
    person.wait_for_sound(identity);
    wait::until(&format!("{} is heard", mark.name), PATIENCE, || {
        (level_for(person, identity, mark, 1.0) > HEARD_DB).then_some(())
    });
}

fn wait_for_silence(person: &mut Browser, identity: &str, mark: Mark, patience: Duration) {
    // Half a second is the shortest in which a tone can be told from none.
    wait::until(&format!("{} is not heard", mark.name), patience, || {
        (level_for(person, identity, mark, 0.5) < SILENT_DB).then_some(())
    });
}

fn sees(room: &mut Baresip, mark: Mark) {
    wait::until(&format!("the room sees {}", mark.name), PATIENCE, || {
        (Picture::read(&room.picture("sees.png")).share(mark, WHOLE) > 0.2).then_some(())
    });
}

fn hears(room: &mut Baresip, mark: Mark) {
    let (samples, rate) = room.heard(1.5);
    let level = analyse::level_at(&samples, rate, mark.tone);
    assert!(level > HEARD_DB, "the room hears {} at {level} dB", mark.name);
}

fn caller_hears(caller: &mut Caller, mark: Mark) {
    wait::until(&format!("the caller hears {}", mark.name), PATIENCE, || {
        (analyse::level(&caller.heard(1.0), mark.tone) > HEARD_DB).then_some(())
    });
}

#[test]
fn refusals_tell_nothing_of_meetings() {
    let story = Story::begin_beside_others("refusals_tell_nothing_of_meetings");
    let meetings = "[[meeting]]\nid = \"board\"\nguest_pin = \"1234\"\nroom_systems = false\n\
                    [[meeting]]\nid = \"open\"\n";
    let server = Server::start_public(&story, meetings);
    let refusal = |meeting: &str| {
        let mut caller = Caller::new(&server.dial(meeting, "udp"), RED);
        let (offer, began) = (caller.sdp("8 0", "sendrecv"), Instant::now());
        let answer = caller.invite(&offer);
        (began.elapsed(), answer)
    };
    // What names the call differs; everything else may not.
    let words = |answer: &str| -> Vec<String> {
        let own = ["via:", "from:", "to:", "call-id:"];
        let lines = answer.lines().map(str::to_owned);
        lines.filter(|it| !own.iter().any(|own| it.to_lowercase().starts_with(own))).collect()
    };
    let (mut fastest, mut slowest) = (Duration::MAX, Duration::ZERO);
    let mut said = Vec::new();
    for _ in 0..4 {
        for meeting in ["nobody", "board", "board**1234", "nobody**1234"] {
            let (time, answer) = refusal(meeting);
            assert_eq!(answer.status(), 404, "{}", answer.0);
            (fastest, slowest) = (fastest.min(time), slowest.max(time));
            said.push(words(&answer.0));
        }
    }
    said.dedup();
    println!("refused after {fastest:?} to {slowest:?}: {:#?}", said[0]);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(slowest - fastest < ALIKE, "{fastest:?} to {slowest:?}");

    // Nothing in common: G.729 alone.
    let mut caller = Caller::new(&server.dial("open", "udp"), RED);
    let offer = caller.sdp("18", "sendrecv");
    assert_eq!(caller.invite(&offer).status(), 488);
    wait::until("no call is left", GOODBYE, || {
        (server.metric("plenum_sip_calls") == 0.0).then_some(())
    });
    server.stop();
}

/// Shares of ink: all that asks for a PIN, and the shorter word that it was wrong.
const ASKED: std::ops::Range<f64> = 0.022..0.04;
const WRONG: std::ops::Range<f64> = 0.014..0.021;

/// A room that stands before a meeting sees a text, and hears and sees nothing of the meeting.
fn stands_outside(server: &Server, room: &mut Baresip, ink: &std::ops::Range<f64>, file: &str) {
    let picture = wait::until(&format!("{file} with {ink:?} of ink"), PATIENCE, || {
        let picture = Picture::read(&room.picture(file));
        ink.contains(&picture.bright()).then_some(picture)
    });
    assert!(picture.share(RED, WHOLE) < 0.001, "the room sees the meeting");
    let (samples, rate) = room.heard(1.0);
    // What it hears are the prompt's words.
    let above = analyse::above_the_rest(&samples, rate, RED.tone);
    assert!(above < analyse::STANDS_OUT, "the room hears the meeting {above} dB above all else");
    let names: Vec<String> = server.roster("board").iter().map(identity).collect();
    assert_eq!(names, ["red"], "who is in the roster");
}

#[test]
fn a_pin_is_dialled_or_pressed_and_three_wrong_ones_end_the_call() {
    let story =
        Story::begin_beside_others("a_pin_is_dialled_or_pressed_and_three_wrong_ones_end_the_call");
    let server = Server::start_with(
        &story,
        &format!("[[meeting]]\nid = \"board\"\nguest_pin = \"{PIN}\"\n"),
    );
    let mut red = person(&server, RED, "board");
    let dial = |user: &str| server.dial(user, "udp");
    let mut room = Baresip::start(&story, BaresipConfig::new(BLUE));

    room.dial(&dial(&format!("board**{PIN}")));
    wait_for_room_system(&server, "board");
    sees(&mut room, RED);
    room.hang_up();
    wait_until_out(&server, "board");

    room.dial(&dial("board"));
    stands_outside(&server, &mut room, &ASKED, "prompt.png");
    room.send_dtmf(&format!("{WRONG_PIN}#"));
    stands_outside(&server, &mut room, &WRONG, "wrong.png");
    room.send_dtmf(&format!("{PIN}#"));
    let blue = identity(&wait_for_room_system(&server, "board"));
    sees(&mut room, RED);
    hears(&mut room, RED);
    red.wait_for_picture(&blue);
    wait_to_hear(&mut red, &blue, BLUE);
    room.hang_up();
    wait_until_out(&server, "board");

    room.dial(&dial("board**0000"));
    stands_outside(&server, &mut room, &WRONG, "dialled-wrong.png");
    room.send_dtmf("1111#");
    room.send_dtmf("2222#");
    room.wait_for_end(PATIENCE);

    // Keys may also come in INFO.
    let mut caller = Caller::new(&dial("board"), GREEN);
    caller.dial("8 0");
    format!("{PIN}#").chars().for_each(|key| caller.press(key));
    let green = identity(&wait_for_room_system(&server, "board"));
    wait_to_hear(&mut red, &green, GREEN);
    caller_hears(&mut caller, RED);
    caller.hang_up();
    wait_until_out(&server, "board");
    let mut caller = Caller::new(&dial("board"), GREEN);
    caller.dial("8 0");
    "12#34#1243#".chars().for_each(|key| caller.press(key));
    caller.wait_for_bye(PATIENCE);
    assert_eq!(room_system(&server, "board"), None);
    assert_eq!(server.metric("plenum_sip_wrong_pins_total"), 7.0);
    server.stop();
    let log = std::fs::read_to_string(story.file("server.log")).unwrap();
    assert!(!log.contains(PIN) && !log.contains(WRONG_PIN), "a PIN stands in the log");
}

#[test]
fn a_call_is_held_resumed_muted_and_ended_from_either_side() {
    let story = Story::begin("a_call_is_held_resumed_muted_and_ended_from_either_side");
    let server = Server::start(&story);
    let mut red = person(&server, RED, "demo");
    let mut room = Baresip::start(&story, BaresipConfig::new(BLUE));
    let dial = |room: &mut Baresip| {
        room.dial(&server.dial("demo", "udp"));
        wait_for_room_system(&server, "demo")
    };
    let blue = identity(&dial(&mut room));
    red.wait_for_picture(&blue);
    sees(&mut room, RED);
    wait_to_hear(&mut red, &blue, BLUE);

    room.hold();
    wait_for_mutes(&server, "demo", &[true, true]);
    wait_for_hold(&server, "demo", true);
    wait_for_silence(&mut red, &blue, BLUE, PATIENCE);
    room.resume();
    wait_for_mutes(&server, "demo", &[false, false]);
    wait_for_hold(&server, "demo", false);
    wait_to_hear(&mut red, &blue, BLUE);
    let (packets, frames) = (room.packets()[0], room.frames());
    let steps = red.steps(&blue, 2.0);
    assert!(steps > 15, "{steps} frames of the room in 2 s");
    sees(&mut room, RED);
    let (packets, frames) = (room.packets()[0] - packets, room.frames() - frames);
    assert!(packets > 80 && frames > 20, "{packets} packets, {frames} frames in 2 s and more");

    // It sends on while it is muted, and is heard when that is lifted.
    let track = |participant: &Value| {
        let tracks = participant["tracks"].as_array().expect("tracks");
        let sound = tracks.iter().find(|it| it["type"] != "VIDEO").expect("a sound track");
        sound["sid"].clone()
    };
    let sid = track(&room_system(&server, "demo").unwrap());
    let mute = |muted: bool| {
        let request = json!({ "room": "demo", "identity": blue, "trackSid": sid, "muted": muted });
        server.administer("demo", "MutePublishedTrack", &request);
        Instant::now()
    };
    let received = || server.metric("plenum_leg_received_total");
    let (muted, before) = (mute(true), received());
    wait::until("the mute has its effect", AT_ONCE, || {
        (muted.elapsed() > AT_ONCE / 2).then_some(())
    });
    wait_for_silence(&mut red, &blue, BLUE, AT_ONCE);
    assert_eq!(mutes(&room_system(&server, "demo").unwrap()), [true, false]);
    wait::until("it sends on", PATIENCE, || (received() > before + 50.0).then_some(()));
    mute(false);
    wait_to_hear(&mut red, &blue, BLUE);

    let who = json!({ "room": "demo", "identity": blue });
    server.administer("demo", "RemoveParticipant", &who);
    room.wait_for_end(GOODBYE);
    red.wait_until_gone(&blue, GOODBYE);

    dial(&mut room);
    server.administer("demo", "DeleteRoom", &json!({ "room": "demo" }));
    room.wait_for_end(GOODBYE);

    dial(&mut room);
    server.terminate();
    room.wait_for_end(GOODBYE);
    server.stop();
}

#[test]
fn a_caller_changes_its_session_in_every_way() {
    let story = Story::begin_beside_others("a_caller_changes_its_session_in_every_way");
    let server = Server::start(&story);
    let mut red = person(&server, RED, "demo");
    let mut caller = Caller::new(&server.dial("demo", "udp"), GREEN);
    // It leaves the offer to the server.
    let offer = caller.invite("");
    assert_eq!(offer.status(), 200, "{}", offer.0);
    let answer = caller.sdp("8", "sendrecv");
    caller.acknowledge(&answer);
    // The answer takes one of what was offered.
    let port = offer.body().lines().find_map(|it| it.strip_prefix("m=audio ")).unwrap();
    let port = port.split(' ').next().unwrap();
    caller.flow(&format!("m=audio {port} RTP/AVP 8\r\n"));
    let green = identity(&wait_for_room_system(&server, "demo"));
    let mut both_hear = |caller: &mut Caller, codec: AudioCodec| {
        wait_for_mutes(&server, "demo", &[false]);
        caller_hears(caller, RED);
        assert_eq!(caller.codec(), Some(codec));
        wait_to_hear(&mut red, &green, GREEN);
    };
    both_hear(&mut caller, AudioCodec::Pcma);

    for (method, format, codec) in [
        ("INVITE", "0", AudioCodec::Pcmu),
        ("UPDATE", "9", AudioCodec::G722),
        ("INVITE", "8", AudioCodec::Pcma),
    ] {
        let answer = caller.offer_again(method, format, "sendrecv");
        caller.flow(&answer);
        both_hear(&mut caller, codec);
    }

    // On hold by each of its ways; music of the one who holds is not for the meeting.
    for (method, direction) in
        [("INVITE", "inactive"), ("UPDATE", "inactive"), ("INVITE", "sendonly")]
    {
        let answer = caller.offer_again(method, "8", direction);
        if direction == "inactive" {
            caller.flow(&answer);
        }
        wait_for_mutes(&server, "demo", &[true]);
        wait_for_silence_of(&server, &mut caller);
        let answer = caller.offer_again(method, "8", "sendrecv");
        caller.flow(&answer);
        both_hear(&mut caller, AudioCodec::Pcma);
    }

    // What does not fit leaves everything as it was.
    let offer = caller.sdp("18", "sendrecv");
    let refused = caller.ask("UPDATE", "application/sdp", &offer);
    assert_eq!(refused.status(), 488, "{}", refused.0);
    both_hear(&mut caller, AudioCodec::Pcma);
    caller.hang_up();
    red.wait_until_gone(&green, GOODBYE);
    server.stop();
}

/// Nothing is sent to who is on hold.
fn wait_for_silence_of(server: &Server, caller: &mut Caller) {
    let (mut last, mut since) = (caller.packets(), Instant::now());
    wait::until("nothing is sent on hold", PATIENCE, || {
        let now = caller.packets();
        if std::mem::replace(&mut last, now) != now {
            since = Instant::now();
        }
        (since.elapsed() > Duration::from_millis(500)).then_some(())
    });
    assert_eq!(server.metric("plenum_sip_calls"), 1.0);
}

#[test]
fn two_room_systems_see_each_other() {
    let story = Story::begin_beside_others("two_room_systems_see_each_other");
    let server = Server::start(&story);
    let mut rooms = [BLUE, GREEN].map(|mark| Baresip::start(&story, BaresipConfig::new(mark)));
    let compositions = |wanted: f64| {
        wait::until(&format!("{wanted} pictures are composed"), PATIENCE, || {
            (server.metric("plenum_mcu_compositions") == wanted).then_some(())
        });
    };
    for room in &mut rooms {
        room.dial(&server.dial("demo", "udp"));
    }
    let [blue, green] = &mut rooms;
    sees(blue, GREEN);
    sees(green, BLUE);
    hears(blue, GREEN);
    hears(green, BLUE);
    // Each has one other to see, and gets what that one sends.
    let untouched = "plenum_leg_view_total{path=\"forwarded\"}";
    assert_eq!(server.metric(untouched), 2.0);
    compositions(0.0);
    green.hang_up();
    compositions(1.0);
    blue.hang_up();
    compositions(0.0);
    server.stop();
}
