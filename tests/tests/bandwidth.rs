//! Meetings whose participants may send, and are sent, only so much.

use std::time::Duration;

use tests::analyse;
use tests::browser::Browser;
use tests::device::Device;
use tests::media::{BLUE, GREEN, Mark, RED, h264_clip};
use tests::person::Person;
use tests::server::Server;
use tests::story::Story;
use tests::wait;

/// How long encoders may take to settle on two loaded cores.
const PATIENCE: Duration = Duration::from_secs(40);
const MEETINGS: &str = "[[meeting]]\nid = \"wide\"\n\n[[meeting]]\nid = \"narrow\"\nkbps = 400\n\n\
    [[meeting]]\nid = \"voices\"\nkbps = 64\n";
/// What `narrow` has, in kilobits a second.
const NARROW: f64 = 400.0;
/// What a second's measurement may be above it: browsers pace their packets by the second.
const SWING: f64 = 1.15;

/// Kilobits a second that it sends and receives, over some seconds.
fn rates(browser: &mut Browser, seconds: f64) -> [f64; 2] {
    let script = "async () => {
        const bytes = async () => {
            let [sent, received] = [0, 0];
            for (const connection of window.testConnections) {
                if (connection.connectionState !== 'connected') continue;
                for (const it of (await connection.getStats()).values()) {
                    if (it.type === 'outbound-rtp') sent += it.bytesSent;
                    if (it.type === 'inbound-rtp') received += it.bytesReceived;
                }
            }
            return [sent, received];
        };
        const before = await bytes(), begin = performance.now();
        await new Promise((done) => setTimeout(done, MILLISECONDS));
        const after = await bytes(), milliseconds = performance.now() - begin;
        return before.map((it, at) => (after[at] - it) * 8 / milliseconds);
    }";
    let script = script.replace("MILLISECONDS", &(seconds * 1000.0).to_string());
    let rates = browser.evaluate(&script);
    [0, 1].map(|at| rates[at].as_f64().expect("a rate"))
}

fn in_meeting(meeting: &str, server: &Server, marks: &[(Mark, &'static str)]) -> Vec<Browser> {
    let join = |(mark, name): &(Mark, &'static str)| {
        let mut browser = Browser::launch(mark.busy(name), &server.origin);
        browser.join_through_page(meeting);
        browser
    };
    let mut browsers: Vec<Browser> = marks.iter().map(join).collect();
    let identities: Vec<String> = browsers.iter().map(|it| it.identity.clone()).collect();
    for (at, browser) in browsers.iter_mut().enumerate() {
        for (other, identity) in identities.iter().enumerate() {
            if other != at {
                browser.wait_for_sound(identity);
            }
        }
    }
    browsers
}

#[test]
fn a_meeting_of_400_kilobits_keeps_browsers_to_them() {
    let story = Story::begin("a_meeting_of_400_kilobits_keeps_browsers_to_them");
    let server = Server::start_with(&story, MEETINGS);
    let two = [(RED, "busy-red"), (GREEN, "busy-green")];

    // Without a limit these pictures take more: the clips are what they should be.
    let mut wide = in_meeting("wide", &server, &two);
    wait::until("the encoders of a wide meeting are at work", PATIENCE, || {
        let rates = rates(&mut wide[0], 3.0);
        println!("wide: {rates:.0?}");
        (rates[0] > 1.5 * NARROW && rates[1] > NARROW).then_some(())
    });
    drop(wide);

    let three = [(RED, "busy-red"), (GREEN, "busy-green"), (BLUE, "busy-blue")];
    let mut narrow = in_meeting("narrow", &server, &three);
    let identities: Vec<String> = narrow.iter().map(|it| it.identity.clone()).collect();
    // Whoever begins takes a moment to learn how much it may send.
    wait::until("all keep to it", PATIENCE, || {
        let rates: Vec<_> = narrow.iter_mut().map(|it| rates(it, 3.0)).collect();
        println!("narrow: {rates:.0?}");
        rates.iter().flatten().all(|it| *it <= NARROW * SWING).then_some(())
    });
    for (at, browser) in narrow.iter_mut().enumerate() {
        let rates = rates(browser, 6.0);
        println!("{}: {rates:.0?}", browser.mark.name);
        assert!(rates.iter().all(|it| *it <= NARROW * SWING), "{rates:?}");
        // It is used, too: pictures of both others come, and all of a browser's own goes out.
        assert!(rates[0] > 0.4 * NARROW && rates[1] > 0.4 * NARROW, "{rates:?}");
        for identity in identities.iter().enumerate().filter(|it| it.0 != at).map(|it| it.1) {
            browser.wait_for_picture(identity);
        }
    }
    server.stop();
}

#[test]
fn a_meeting_of_64_kilobits_is_for_voices() {
    let story = Story::begin("a_meeting_of_64_kilobits_is_for_voices");
    let server = Server::start_with(&story, MEETINGS);
    let mut both = in_meeting("voices", &server, &[(RED, "busy-red"), (GREEN, "busy-green")]);
    let red = both[0].identity.clone();
    let green = &mut both[1];
    let state = format!(
        "() => window.plenum.room.remoteParticipants.get({red:?})
            ?.getTrackPublication('camera')?.track?.streamState ?? null"
    );
    wait::until("green is told that no picture comes", PATIENCE, || {
        (green.evaluate(&state) == "paused").then_some(())
    });
    green.wait_for(&format!("[data-tile][data-identity={red:?}][data-held]"));
    green.screenshot(&story, "held.png", None);
    let heard = green.record(&red, 2.0);
    let level = analyse::level(&heard[heard.len() / 4..], RED.tone);
    assert!(level > -40.0, "green hears red at {level} dB");
    let received = rates(green, 4.0)[1];
    assert!(received <= 64.0 * SWING, "{received} kbit/s");
    server.stop();
}

#[test]
fn a_room_system_that_asks_for_less_is_sent_less() {
    let story = Story::begin("a_room_system_that_asks_for_less_is_sent_less");
    let server = Server::start(&story);
    let people = in_meeting("demo", &server, &[(RED, "busy-red"), (GREEN, "busy-green")]);
    let device = Device::dial(&server.dial("demo", "udp"), h264_clip(BLUE, "baseline"), |_| 0.0);
    let reaches = |what: &str, bits: std::ops::Range<f64>| {
        wait::until(what, PATIENCE, || {
            let rate = device.picture_rate(2.0);
            println!("{what}: {rate:.0} bit/s");
            bits.contains(&rate).then_some(())
        });
    };
    reaches("two busy pictures take what was agreed", 800_000.0..3_000_000.0);
    device.wants_at_most(300_000);
    reaches("the room is sent what it asked for", 150_000.0..320_000.0);
    device.wants_at_most(20_000_000);
    reaches("it takes more again", 800_000.0..3_000_000.0);
    device.hang_up();
    drop(people);
    server.stop();
}
