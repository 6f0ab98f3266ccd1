//! What is done in a meeting by the remote control of a room system, and what its screen says of it.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tests::analyse::{self, Picture, WHOLE};
use tests::baresip::{Baresip, BaresipConfig};
use tests::caller::Caller;
use tests::media::{BLUE, GREEN, RED};
use tests::server::Server;
use tests::story::Story;
use tests::wait;

const PATIENCE: Duration = Duration::from_secs(15);
const MEETING: &str = "board";
const CONFIGURATION: &str = "[[meeting]]\nid = \"board\"\nhost_pin = \"987654\"\n\n\
    [remote_control]\nhand = \"*33\"\n";
const UNTOUCHED: &str = "plenum_leg_view_total{path=\"forwarded\"}";

/// What a host dials and then reads, but for the end; the last is no code.
const CODES: [(&str, &str); 7] = [
    ("*6", "Microphone off"),
    ("*5", "Guests are muted"),
    ("*33", "Hand raised"),
    ("*7", "Meeting locked"),
    ("*8", "Speaker large"),
    ("*4", "Shared screen hidden"),
    ("*9", "Unknown code: *9"),
];

fn room_reads(room: &mut Baresip, words: &str) {
    wait::until(&format!("the room reads {words:?}"), PATIENCE, || {
        analyse::subtitles(&room.picture("reads.png")).contains(words).then_some(())
    });
}

fn caller_reads(caller: &Caller, file: &Path, words: &str) {
    wait::until(&format!("the scripted room reads {words:?}"), PATIENCE, || {
        caller.picture(file);
        let read = [analyse::subtitles(file), analyse::text(file)];
        read.iter().any(|it| it.contains(words)).then_some(())
    });
}

fn stand(server: &Server, inside: usize) {
    wait::until(&format!("{inside} are in"), PATIENCE, || {
        (server.roster(MEETING).len() == inside).then_some(())
    });
}

#[test]
fn each_code_does_what_the_screen_says_however_keys_are_told() {
    let story = Story::begin("each_code_does_what_the_screen_says");
    let server = Server::start_with(&story, CONFIGURATION);
    let mut guest = Baresip::start(&story, BaresipConfig::new(RED));
    let mut host = Baresip::start(&story, BaresipConfig::new(BLUE));
    guest.dial(&server.dial(MEETING, "udp"));
    host.dial(&server.dial("board**987654", "udp"));
    stand(&server, 2);
    let untouched = |count: f64| {
        wait::until(&format!("{count} pictures went untouched"), PATIENCE, || {
            (server.metric(UNTOUCHED) >= count).then_some(())
        });
    };
    untouched(2.0);

    // By RFC 4733. Each has the other alone to see: only for the words its picture is composed.
    for (code, words) in CODES {
        host.send_dtmf(code);
        room_reads(&mut host, words);
    }
    let live = &server.steer(MEETING, "GET", "lobby", &Value::Null)["live"];
    assert_eq!(live["locked"], true, "{live}");
    let roster = server.roster(MEETING);
    let hands = roster.iter().filter(|it| it["attributes"]["plenum.hand"] == "true").count();
    assert_eq!(hands, 1, "{roster:?}");
    guest.send_dtmf("##");
    room_reads(&mut guest, "For hosts only");
    untouched(4.0);
    wait::until("the words are gone and leave nothing behind", PATIENCE, || {
        let picture = host.picture("again.png");
        let gone = !analyse::subtitles(&picture).contains("code");
        (gone && Picture::read(&picture).share(RED, WHOLE) > 0.7).then_some(())
    });

    // It agrees to no telephone events: until it tells a key in INFO its sound is listened to. After a
    // wrong PIN it is asked for one; whoever has the host's comes in though the meeting is locked.
    let mut caller = Caller::new(&server.dial("board**111111", "udp"), GREEN).with_picture();
    caller.dial("8");
    let seen = story.file("caller-sees.pgm");
    caller_reads(&caller, &seen, "Wrong PIN");
    caller.sound("987654#");
    stand(&server, 3);
    caller.sound("*33");
    caller_reads(&caller, &seen, "Hand raised");
    // By INFO, in a picture that is composed anyway.
    for (code, words) in CODES {
        code.chars().for_each(|key| caller.press(key));
        let words = words.replace("locked", "unlocked").replace("raised", "lowered");
        caller_reads(&caller, &seen, &words);
    }
    "##".chars().for_each(|key| caller.press(key));
    caller_reads(&caller, &seen, "The meeting ends");
    caller.wait_for_bye(PATIENCE);
    host.wait_for_end(PATIENCE);
    guest.wait_for_end(PATIENCE);
    server.stop();
}
