//! Sound against picture, and mouth to ear, between a browser and a room system.

use std::time::{Duration, Instant};

use tests::browser::Browser;
use tests::browser::Mode;
use tests::device::Device;
use tests::lips::{self, AtDevice, Figures, MOUTH_TO_EAR, Moments, SKEW};
use tests::media::{BLUE, RED, flashes, h264_clip};
use tests::person::Person;
use tests::server::Server;
use tests::story::Story;
use tests::token;

/// Until a call, its jitter buffers and its clocks have settled.
const SETTLED: Duration = Duration::from_secs(5);
/// So many flashes and beeps are looked at.
const SECONDS: u32 = 25;

/// All but one in twenty at each end are within the bounds.
fn is_in_sync([_, p5, _, p95, _]: [f64; 5]) {
    assert!(SKEW.contains(&p5) && SKEW.contains(&p95), "sound is {p5} to {p95} ms after picture");
}

fn is_prompt(p95: f64) {
    assert!(p95 <= MOUTH_TO_EAR, "nearly every sound comes within {p95} ms");
}

fn silence(_: u64) -> f32 {
    0.0
}

/// `codec` of the browser's picture, and what becomes of it.
fn a_room_system_gets_a_browser(codec: &str, path: &str) {
    let story = Story::begin(&format!("a_room_system_gets_a_browser_{path}_in_sync"));
    let server = Server::start(&story);
    let mut person = Browser::launch(RED, &server.origin);
    person.connect_by_client(&token::to_join("red", "demo"), Mode::V1);
    lips::publish(&mut person, codec);
    let uri = server.dial("demo", "udp");
    let device = Device::dial(&uri, h264_clip(BLUE, "baseline"), silence);
    device.wait_until_sent(SETTLED + Duration::from_secs(SECONDS.into()));
    let forwarded = server.metric("plenum_leg_view_total{path=\"forwarded\"}");
    assert_eq!(forwarded, f64::from(u8::from(path == "forwarded")));

    let since = device.began + SETTLED;
    let came = AtDevice::of(&device.heard(), (device.began, device.began_at), since);
    let made = lips::published(&mut person);
    let mut figures = Figures::of(&format!("browser-to-room-{path}"));
    // What the page itself did not manage is not ours.
    let own = figures.add("sound after picture at the sender", &made.skews())[2];
    let shift = |skews: Vec<f64>| skews.into_iter().map(|it| it - own).collect::<Vec<_>>();
    figures.add("sound after picture by arrival", &shift(came.arrived.skews()));
    let skew = figures.add("sound after picture by reports", &shift(came.reported.skews()));
    let late = figures.add_mouth_to_ear(&made.beeps, &came.arrived.beeps);
    figures.add_lens_to_eye(&made.flashes, &came.arrived.flashes);
    figures.note("stats", person.evaluate("() => window.lips.stats()"));
    figures.keep(&story);
    is_in_sync(skew);
    is_prompt(late);
    device.hang_up();
    server.stop();
}

#[test]
#[ignore = "soak"]
fn a_room_system_gets_a_composed_browser_in_sync() {
    a_room_system_gets_a_browser("vp8", "composed");
}

#[test]
#[ignore = "soak"]
fn a_room_system_gets_a_forwarded_browser_in_sync() {
    a_room_system_gets_a_browser("h264", "forwarded");
}

/// `profile` of the room system's encoder, and what becomes of its picture.
fn a_browser_gets_a_room_system(profile: &'static str, path: &str) {
    let story = Story::begin(&format!("a_browser_gets_a_{path}_room_system_in_sync"));
    let server = Server::start(&story);
    let mut person = Browser::launch(RED, &server.origin);
    person.connect_by_client(&token::to_join("red", "demo"), Mode::V1);
    let device = Device::dial(&server.dial("demo", "udp"), flashes(profile), lips::beep);
    let room = person.wait_for_room_system();
    person.wait_for_picture(&room);
    lips::watch(&mut person, &room);
    let since = Instant::now() + SETTLED;
    device.wait_until_sent(since - device.began + Duration::from_secs(SECONDS.into()));
    assert_eq!(server.metric(&format!("plenum_leg_video_total{{path=\"{path}\"}}")), 1.0);

    let clocks = (device.began, device.began_at);
    let seen = lips::watched(&mut person).since(lips::wall(since, clocks));
    let began = lips::wall(device.began, clocks);
    let seconds = device.began.elapsed().as_secs();
    let made: Vec<f64> = (0..=seconds).map(|it| began + 1000.0 * it as f64).collect();
    let mut figures = Figures::of(&format!("room-to-browser-{path}"));
    let skew = figures.add("sound after picture", &Moments::skews(&seen));
    let late = figures.add_mouth_to_ear(&made, &seen.beeps);
    figures.add_lens_to_eye(&made, &seen.flashes);
    figures.note("stats", person.evaluate("() => window.lips.stats()"));
    figures.keep(&story);
    is_in_sync(skew);
    is_prompt(late);
    device.hang_up();
    server.stop();
}

#[test]
#[ignore = "soak"]
fn a_browser_gets_a_forwarded_room_system_in_sync() {
    a_browser_gets_a_room_system("baseline", "forwarded");
}

#[test]
#[ignore = "soak"]
fn a_browser_gets_a_transcoded_room_system_in_sync() {
    a_browser_gets_a_room_system("main", "transcoded");
}
