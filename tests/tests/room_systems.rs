//! A room system meets people in browsers. What each receives is told by its content.

use std::time::{Duration, Instant};

use tests::analyse::{self, Area, Picture, WHOLE};
use tests::baresip::{Baresip, BaresipConfig};
use tests::browser::{Browser, Mode};
use tests::media::{BLUE, FPS, GREEN, RED};
use tests::person::{Person, all_receive, hears, sees_moving};
use tests::server::Server;
use tests::story::Story;
use tests::token;
use tests::wait;

/// Distance between what is heard of others and of oneself.
const APART_DB: f64 = 40.0;
/// Shown frames a second of a clip of fifteen.
const STEPS_A_SECOND: f64 = 10.0;
/// A leaving sender is gone from everybody's picture and sound within this time.
const GONE_WITHIN: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(10);
/// After this time nothing more may be lost.
const SETTLED: Duration = Duration::from_secs(3);

/// How long a picture may stand still while its sender changes the codec.
const LONGEST_STILL: Duration = Duration::from_millis(1500);

/// The two tiles of a grid, as shares of the picture: left and right of the middle.
const LEFT: Area = [0.0, 0.25, 0.5, 0.75];
const RIGHT: Area = [0.5, 0.25, 1.0, 0.75];

/// Two people in browsers and a room system in one meeting.
struct Meeting {
    story: Story,
    server: Server,
    people: [Browser; 2],
    room: Baresip,
    room_identity: String,
}

impl Meeting {
    fn begin(name: &str, config: BaresipConfig) -> Self {
        let story = Story::begin(name);
        let server = Server::start(&story);
        let mut people = [RED, GREEN].map(|mark| Browser::launch(mark, &server.origin));
        for person in &mut people {
            person.join_through_page("demo");
        }
        let mut room = Baresip::start(&story, config);
        room.dial(&server.dial("demo", config.transport));
        let room_identity = people[0].wait_for_room_system();
        Self { story, server, people, room, room_identity }
    }

    /// Everybody sees and hears everybody else, and not themselves.
    fn all_meet(&mut self) {
        let began = Instant::now();
        let identities = [self.people[0].identity.clone(), self.people[1].identity.clone()];
        self.people[0].wait_for_picture(&identities[1]);
        self.people[1].wait_for_picture(&identities[0]);
        for person in &mut self.people {
            person.wait_for_picture(&self.room_identity);
        }
        self.wait_for_tiles();
        wait::until("everything has settled", SETTLED * 2, || {
            (began.elapsed() > SETTLED).then_some(())
        });
        let before = self.lost();
        let mut senders: Vec<_> =
            self.people.iter().map(|it| (it.identity.clone(), it.mark)).collect();
        senders.push((self.room_identity.clone(), BLUE));
        let Self { story, people: [red, green], room, .. } = self;
        std::thread::scope(|scope| {
            scope.spawn(|| all_receive(story, &mut [red, green], &senders));
            room_receives(room);
        });
        assert_eq!(self.lost(), before, "packets were lost");
        let received = self.server.metric("plenum_leg_received_total");
        assert!(received > 300.0, "only {received} packets of the room are counted");
    }

    fn lost(&mut self) -> Vec<i64> {
        let lost = |it: &mut Browser| it.inbound().iter().map(|it| it.lost).sum();
        let mut lost: Vec<i64> = self.people.iter_mut().map(lost).collect();
        lost.push(self.room.lost());
        let metrics =
            ["plenum_lane_dropped_total", "plenum_leg_lost_total", "plenum_leg_lost_there_total"];
        lost.extend(metrics.map(|metric| self.server.metric(metric) as i64));
        lost
    }

    /// Waits until each person's colour stands in one tile.
    fn wait_for_tiles(&mut self) {
        wait::until("the room sees both", PATIENCE, || {
            let picture = Picture::read(&self.room.picture("waits.png"));
            let seen = |mark| picture.share(mark, LEFT).max(picture.share(mark, RIGHT)) > 0.3;
            (seen(RED) && seen(GREEN)).then_some(())
        });
    }
}

/// The room sees and hears both people, and not itself.
fn room_receives(room: &mut Baresip) {
    hears(BLUE, &[RED, GREEN], || room.heard(3.0));

    let picture = Picture::read(&room.picture("sees.png"));
    let (tile_of_red, tile_of_green) =
        if picture.share(RED, LEFT) > 0.1 { (LEFT, RIGHT) } else { (RIGHT, LEFT) };
    for (mark, tile) in [(RED, tile_of_red), (GREEN, tile_of_green)] {
        let share = picture.share(mark, tile);
        assert!(share > 0.3, "{} fills {share} of its tile", mark.name);
        wait::until(&format!("the room sees {} move", mark.name), PATIENCE, || {
            let steps = steps_in(room, tile);
            println!("the room sees {steps} steps a second of {}", mark.name);
            (steps >= STEPS_A_SECOND).then_some(())
        });
    }
    assert!(picture.share(BLUE, WHOLE) < 0.02, "the room sees itself");
}

/// How many frames of a tile the room is shown in a second: the clip's own counter says how far
/// it came, and the room's count of frames that it did not come there in jumps.
fn steps_in(room: &mut Baresip, tile: Area) -> f64 {
    let (began, frames) = (Instant::now(), room.frames());
    let first = counter(room, tile);
    let (samples, _) = room.heard(2.0);
    assert!(!samples.is_empty());
    let last = counter(room, tile);
    let seconds = began.elapsed().as_secs_f64();
    // The clip has 120 frames and begins anew.
    let steps = f64::from((last + 120 - first) % 120) / seconds;
    steps.min((room.frames() - frames) as f64 / seconds)
}

fn counter(room: &mut Baresip, tile: Area) -> u32 {
    wait::until("a frame counter is read", PATIENCE, || {
        Picture::read(&room.picture("counter.png")).counter(tile)
    })
}

/// The whole story of one call: all meet, one after the other leaves.
fn meet_and_leave(name: &str, config: BaresipConfig) {
    let mut meeting = Meeting::begin(name, config);
    meeting.all_meet();

    // Who leaves is gone from the room's picture and sound.
    let [red, green] = &mut meeting.people;
    let who = red.identity.clone();
    let _ = red.evaluate("() => window.plenum.room.disconnect()");
    let left = Instant::now();
    let room = &mut meeting.room;
    wait::until("red is gone from the room's picture", GONE_WITHIN, || {
        let picture = Picture::read(&room.picture("leaves.png"));
        (picture.share(RED, WHOLE) < 0.01).then_some(())
    });
    green.wait_until_gone(&who, GONE_WITHIN.saturating_sub(left.elapsed()));
    // A recording that began while the room still played the last of red's sound is made anew.
    let levels = loop {
        let begins_after = left.elapsed();
        let (samples, rate) = room.heard(1.0);
        let [red, green] = [RED, GREEN].map(|it| analyse::level_at(&samples, rate, it.tone));
        if green > -40.0 && green - red >= APART_DB {
            break format!(
                "{begins_after:.1?} after it left: red {red:.1} dB, green {green:.1} dB"
            );
        }
        assert!(
            left.elapsed() < GONE_WITHIN + Duration::from_secs(1),
            "the room hears red at {red}, green at {green}, {begins_after:?} after red left"
        );
    };
    println!("the room hears, {levels}");

    // And the room from the others'.
    let identity = meeting.room_identity.clone();
    meeting.room.hang_up();
    meeting.people[1].wait_until_gone(&identity, GONE_WITHIN);
    wait::until("the call is counted out", GONE_WITHIN, || {
        (meeting.server.metric("plenum_sip_calls") == 0.0).then_some(())
    });
    meeting.server.stop();
}

#[test]
fn a_room_system_meets_two_browsers() {
    meet_and_leave("a_room_system_meets_two_browsers", BaresipConfig::new(BLUE));
}

#[test]
fn an_encrypted_room_system_with_opus_meets_two_browsers() {
    let config =
        BaresipConfig { audio: "opus", srtp: true, transport: "tcp", ..BaresipConfig::new(BLUE) };
    meet_and_leave("an_encrypted_room_system_with_opus_meets_two_browsers", config);
}

#[test]
fn a_room_system_with_vp8_and_g722_meets_two_browsers() {
    let config = BaresipConfig { audio: "g722", video: "VP8", ..BaresipConfig::new(BLUE) };
    meet_and_leave("a_room_system_with_vp8_and_g722_meets_two_browsers", config);
}

/// Room systems read H.264: what a page sends them can be forwarded then, not transcoded.
#[test]
fn the_page_sends_h264_once_a_room_system_came_in() {
    let story = Story::begin("the_page_sends_h264_once_a_room_system_came_in");
    let server = Server::start(&story);
    let [mut red, mut green] = [RED, GREEN].map(|mark| Browser::launch(mark, &server.origin));
    for person in [&mut red, &mut green] {
        person.join_through_page("demo");
    }
    let (of_red, of_green) = (red.identity.clone(), green.identity.clone());
    green.wait_for_picture(&of_red);
    red.wait_for_picture(&of_green);
    assert_eq!(green.codec_of(&of_red).as_deref(), Some("video/VP8"));
    let (_, layers_before) = red.camera_sent();

    // Nobody's picture goes or stands still meanwhile: red's for itself, green's and red's for each
    // other.
    let mut room = Baresip::start(&story, BaresipConfig::new(BLUE));
    room.dial(&server.dial("demo", "udp"));
    let (own, others) = std::thread::scope(|scope| {
        let own = scope.spawn(|| red.counters(&of_red, 8.0));
        let others = green.counters(&of_red, 8.0);
        (own.join().unwrap(), others)
    });
    for (who, counters) in [("red itself", own), ("green", others)] {
        let steps = counters.len() as f64 / 8.0;
        assert!(steps >= STEPS_A_SECOND, "{who} sees {steps} steps a second of red");
        let still = longest_still(&counters);
        println!("{who} sees red stand still for {still:?} at most");
        assert!(still <= LONGEST_STILL, "{who} sees red stand still for {still:?}: {counters:?}");
    }
    for (person, other) in [(&mut green, &of_red), (&mut red, &of_green)] {
        wait::until("the picture comes as H.264", PATIENCE, || {
            (person.codec_of(other)? == "video/H264").then_some(())
        });
        sees_moving(person, other);
    }
    let (codec, layers) = red.camera_sent();
    println!("red sends {codec} in {layers:?}");
    assert!(codec.contains("profile-level-id=42e0"), "{codec} is no constrained baseline");
    assert_eq!(layers, layers_before, "layers");

    // What a camera turned off and on again sends does not fall back, nor when the room left.
    let room_identity = green.wait_for_room_system();
    room.hang_up();
    green.wait_until_gone(&room_identity, GONE_WITHIN);
    for on in [false, true] {
        let _ = red.evaluate("() => document.querySelector('[data-attr=controls-camera]').click()");
        wait::until("the camera is turned", PATIENCE, || {
            let state = "() => window.plenum.room.localParticipant.isCameraEnabled";
            (red.evaluate(state) == on).then_some(())
        });
    }
    green.wait_for_picture(&of_red);
    assert_eq!(green.codec_of(&of_red).as_deref(), Some("video/H264"));

    // Somebody who cannot read H.264, as Firefox in a closed network, is not left without a picture.
    let _ = green.evaluate(
        "() => window.plenum.room.localParticipant.setAttributes({ 'plenum.lacks': 'h264' })",
    );
    wait::until("the picture comes as VP8", PATIENCE, || {
        (green.codec_of(&of_red)? == "video/VP8").then_some(())
    });
    sees_moving(&mut green, &of_red);
    for person in [&mut red, &mut green] {
        assert_eq!(person.complaints(), (Vec::new(), Vec::new()));
    }
    server.stop();
}

/// The longest time between two frames, told by their counters: a clip has 120, then begins anew.
fn longest_still(counters: &[u64]) -> Duration {
    let steps = counters.windows(2).map(|pair| (pair[1] + 120 - pair[0]) % 120);
    Duration::from_secs(steps.max().expect("frames")) / FPS as u32
}

/// What one person alone sends goes to the room untouched; a second one makes it a composition.
#[test]
fn a_room_system_gets_one_person_untouched_and_two_composed() {
    let story = Story::begin("a_room_system_gets_one_person_untouched");
    let server = Server::start(&story);
    let [mut red, mut green] = [RED, GREEN].map(|mark| Browser::launch(mark, &server.origin));
    // By LiveKit's own client: the page would send H.264 in mode 1, which baresip cannot take.
    red.join_by_client(&token::to_join(RED.name, "demo"), Mode::V1);
    let mut room =
        Baresip::start(&story, BaresipConfig { video: "VP8", ..BaresipConfig::new(BLUE) });
    room.dial(&server.dial("demo", "udp"));
    let room_identity = red.wait_for_room_system();
    let untouched = "plenum_leg_view_total{path=\"forwarded\"}";
    let forwarded = |times: f64| {
        wait::until("the room gets a picture untouched", PATIENCE, || {
            (server.metric(untouched) == times).then_some(())
        });
    };
    let sees_red_alone = |room: &mut Baresip, when: &str| {
        wait::until(&format!("{when}: the room sees red alone"), PATIENCE, || {
            let picture = Picture::read(&room.picture(&format!("{when}.png")));
            (picture.share(RED, WHOLE) > 0.7).then_some(())
        });
        let (frames, began) = (room.frames(), Instant::now());
        hears(BLUE, &[RED], || room.heard(3.0));
        let steps = (room.frames() - frames) as f64 / began.elapsed().as_secs_f64();
        assert!(steps >= STEPS_A_SECOND, "{when}: the room sees {steps} steps a second");
    };
    forwarded(1.0);
    sees_red_alone(&mut room, "alone");
    red.wait_for_picture(&room_identity);

    green.join_by_client(&token::to_join(GREEN.name, "demo"), Mode::V1);
    wait::until("the room sees both", PATIENCE, || {
        let picture = Picture::read(&room.picture("both.png"));
        let seen = |mark| picture.share(mark, LEFT).max(picture.share(mark, RIGHT)) > 0.3;
        (seen(RED) && seen(GREEN)).then_some(())
    });
    let _ = green.evaluate("() => window.plenum.room.disconnect()");
    forwarded(2.0);
    sees_red_alone(&mut room, "alone-again");
    room.hang_up();
    server.stop();
}
