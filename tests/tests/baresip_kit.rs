//! The kit's room systems call each other: what one sends, the other sees and hears.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use tests::baresip::{Baresip, BaresipConfig};
use tests::media::{BLUE, Mark, RED};
use tests::story::Story;
use tests::wait;

const PATIENCE: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);

fn call(story: &Story, config: impl Fn(Mark) -> BaresipConfig) -> (Baresip, Baresip) {
    let [mut red, mut blue] = [RED, BLUE].map(|mark| Baresip::start(story, config(mark)));
    red.dial(&blue.uri());
    blue.wait_for_call();
    red.receives(BLUE);
    blue.receives(RED);
    assert_eq!([red.lost(), blue.lost()], [0; 2], "packets were lost");
    (red, blue)
}

#[test]
fn room_systems_meet_in_the_clear() {
    let story = Story::begin_beside_others("room_systems_meet_in_the_clear");
    let (mut red, mut blue) = call(&story, BaresipConfig::new);

    red.send_dtmf("12#");
    wait::until("the digits come", PATIENCE, || (blue.dtmf() == "12#").then_some(()));

    // A hold stops all streams, and its end starts them again. The last packets may be on their way.
    red.hold();
    let ([audio, video], began) = (red.packets(), Instant::now());
    wait::until("a second passes", PATIENCE, || (began.elapsed() > SECOND).then_some(()));
    let held = red.packets();
    assert!(held[0] <= audio + 5 && held[1] <= video + 5, "{held:?} after {audio}, {video}");
    red.resume();
    let frames = [red.frames(), blue.frames()];
    wait::until("sound and pictures come again", PATIENCE, || {
        let sound = red.packets()[0] > held[0] + 50;
        let pictures = red.frames() > frames[0] + 15 && blue.frames() > frames[1] + 15;
        (sound && pictures).then_some(())
    });

    blue.hang_up();
    assert_eq!(red.wait_for_end(PATIENCE), "Connection reset by peer");
}

#[test]
fn room_systems_meet_encrypted() {
    let story = Story::begin_beside_others("room_systems_meet_encrypted");
    let config = |mark| BaresipConfig {
        audio: "opus",
        srtp: true,
        transport: "tls",
        ..BaresipConfig::new(mark)
    };
    let (mut red, _blue) = call(&story, config);
    red.hang_up();
}

#[test]
fn room_systems_meet_by_other_codecs() {
    let story = Story::begin_beside_others("room_systems_meet_by_other_codecs");
    for audio in ["g722", "pcmu"] {
        let config = |mark| BaresipConfig {
            audio,
            video: "VP8",
            transport: "tcp",
            ..BaresipConfig::new(mark)
        };
        call(&story, config);
    }
}

#[test]
fn a_room_system_tells_why_a_call_failed() {
    let story = Story::begin_beside_others("a_room_system_tells_why_a_call_failed");
    let [mut red, blue] = [RED, BLUE].map(|mark| Baresip::start(&story, BaresipConfig::new(mark)));
    let nobody = blue.uri().replace("room", "nobody");
    assert_eq!(red.try_dial(&nobody), Err("404 Not Found".into()));

    let closed = {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.local_addr().unwrap()
    };
    let refused = red.try_dial(&format!("sip:room@{closed};transport=tcp"));
    assert_eq!(refused, Err("Connection refused".into()));
}
