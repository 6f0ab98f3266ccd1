//! The kit's room systems call each other: what one sends, the other sees and hears.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use tests::analyse::{self, Picture, WHOLE};
use tests::baresip::{Baresip, BaresipConfig};
use tests::media::{BLUE, Mark, RED};
use tests::story::Story;
use tests::wait;

const PATIENCE: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);
/// Distance between what is heard of the other and of oneself.
const APART_DB: f64 = 40.0;
/// Displayed frames a second of a clip of fifteen.
const FRAMES_A_SECOND: f64 = 10.0;

/// A room sees and hears the other, and not itself.
fn receives(room: &mut Baresip, own: Mark, other: Mark) {
    wait::until("pictures are displayed", PATIENCE, || (room.frames() > 0).then_some(()));
    let (began, before) = (Instant::now(), room.frames());
    let (samples, rate) = room.heard(2.0);
    let frames = (room.frames() - before) as f64 / began.elapsed().as_secs_f64();
    assert!(frames >= FRAMES_A_SECOND, "{} sees {frames} frames a second", own.name);

    let heard = analyse::level_at(&samples, rate, other.tone);
    let echo = analyse::level_at(&samples, rate, own.tone);
    assert!(heard > -40.0, "{} hears {} at {heard} dB", own.name, other.name);
    assert!(heard - echo >= APART_DB, "{}: {heard} dB against {echo} dB", own.name);

    let picture = Picture::read(&room.picture("sees.png"));
    let share = picture.share(other, WHOLE);
    assert!(share > 0.7, "{} fills {share} of {}'s picture", other.name, own.name);
    assert!(picture.counter(WHOLE).is_some(), "{} sees no frame counter", own.name);
    assert_eq!(room.lost(), 0, "packets lost on the way to {}", own.name);
}

fn call(story: &Story, config: impl Fn(Mark) -> BaresipConfig) -> (Baresip, Baresip) {
    let [mut red, mut blue] = [RED, BLUE].map(|mark| Baresip::start(story, config(mark)));
    red.dial(&blue.uri());
    blue.wait_for_call();
    receives(&mut red, RED, BLUE);
    receives(&mut blue, BLUE, RED);
    (red, blue)
}

#[test]
fn room_systems_meet_in_the_clear() {
    let story = Story::begin("room_systems_meet_in_the_clear");
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
    let story = Story::begin("room_systems_meet_encrypted");
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
    let story = Story::begin("room_systems_meet_by_other_codecs");
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
    let story = Story::begin("a_room_system_tells_why_a_call_failed");
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
