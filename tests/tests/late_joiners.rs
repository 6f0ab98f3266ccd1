//! Who comes late sees a room system at once, whatever its encoder does.

use std::time::Duration;

use tests::analyse::{Picture, WHOLE};
use tests::baresip::{Baresip, BaresipConfig};
use tests::browser::{Browser, Mode};
use tests::device::Device;
use tests::lips::Figures;
use tests::media::{BLUE, GREEN, RED, h264_clip};
use tests::person::Person;
use tests::server::Server;
use tests::story::Story;
use tests::token;
use tests::wait;

/// From joining to the first picture.
const FIRST_PICTURE_WITHIN: Duration = Duration::from_millis(1500);
/// So long the room system is alone. Its encoder made its only key frame in the first moment.
const ALONE: Duration = Duration::from_secs(30);
/// Shown frames a second of a clip of fifteen.
const STEPS_A_SECOND: f64 = 10.0;
/// An encoder that begins anew, or a call that is taken up again, is seen within this time.
const SEEN_AGAIN_WITHIN: Duration = Duration::from_secs(3);

const FORWARDED: &str = "plenum_leg_video_total{path=\"forwarded\"}";
const TRANSCODED: &str = "plenum_leg_video_total{path=\"transcoded\"}";

struct Meeting {
    story: Story,
    server: Server,
    people: [Browser; 2],
    room: String,
}

impl Meeting {
    /// Browsers are ready to join, nobody is there.
    fn begin(name: &str) -> Self {
        let story = Story::begin(name);
        let server = Server::start(&story);
        let people = [RED, GREEN].map(|mark| Browser::launch(mark, &server.origin));
        Self { story, server, people, room: String::new() }
    }

    /// One joins through the page, one by LiveKit's client. Each sees the room system at once.
    fn join(&mut self, name: &str) {
        let [red, green] = &mut self.people;
        let mut figures = Figures::of(name);
        let mut first = |person: &mut Browser| {
            let room = person.wait_for_room_system();
            let time = person.time_to_picture(&room);
            println!("{name}: {} sees it after {} ms", person.mark.name, time.as_millis());
            figures.note(person.mark.name, (time.as_millis() as u64).into());
            (time, room)
        };
        red.join_through_page("demo");
        let (red_time, room) = first(red);
        green.connect_by_client(&token::to_join("green", "demo"), Mode::V1);
        let (green_time, _) = first(green);
        figures.keep(&self.story);
        for time in [red_time, green_time] {
            assert!(time < FIRST_PICTURE_WITHIN, "the first picture came after {time:?}");
        }
        self.room = room;
        self.all_see("joined");
    }

    /// Both see the room system's picture move on, and forward.
    fn all_see(&mut self, when: &str) {
        for person in &mut self.people {
            let name = person.mark.name;
            let what = format!("{when}: {name} sees the room system");
            wait::until(&what, SEEN_AGAIN_WITHIN, || {
                (person.counters(&self.room, 0.3).len() > 1).then_some(())
            });
            let counters = person.counters(&self.room, 2.0);
            let steps = counters.len() as f64 / 2.0;
            assert!(steps >= STEPS_A_SECOND, "{when}: {name} sees {steps} steps a second");
            // The clip begins anew now and then.
            let forward = counters.windows(2).filter(|it| (it[1] + 120 - it[0]) % 120 < 60);
            let back = counters.len() - 1 - forward.count();
            assert!(back <= 1, "{when}: {name} sees {back} steps back in {counters:?}");
            let file = self.story.file(&format!("{when}-{name}.png"));
            person.picture(&self.room, &file);
            let share = Picture::read(&file).share(BLUE, WHOLE);
            assert!(share > 0.7, "{when}: the room system fills {share} of {name}'s picture");
        }
    }

    fn paths(&self) -> [f64; 2] {
        [FORWARDED, TRANSCODED].map(|metric| self.server.metric(metric))
    }
}

fn silence(_: u64) -> f32 {
    0.0
}

#[test]
fn late_joiners_see_a_forwarded_room_and_its_new_beginnings() {
    let mut meeting = Meeting::begin("late_joiners_see_a_forwarded_room");
    let uri = meeting.server.dial("demo", "udp");
    let device = Device::dial(&uri, h264_clip(BLUE, "baseline"), silence);
    device.wait_until_sent(ALONE);
    meeting.join("first-picture-forwarded");
    assert_eq!(meeting.paths(), [1.0, 0.0], "constrained baseline is forwarded");

    // Another source under other numbers, as a device that has been set anew.
    device.restart(h264_clip(BLUE, "baseline"));
    meeting.all_see("new-source");
    assert_eq!(meeting.paths(), [1.0, 0.0]);
    // Its encoder makes now what browsers do not take.
    device.restart(h264_clip(BLUE, "high"));
    meeting.all_see("new-profile");
    assert_eq!(meeting.paths(), [1.0, 1.0], "a high profile is transcoded");
    device.hang_up();
    meeting.server.stop();
}

#[test]
fn late_joiners_see_a_room_with_b_frames() {
    let mut meeting = Meeting::begin("late_joiners_see_a_room_with_b_frames");
    let uri = meeting.server.dial("demo", "udp");
    let device = Device::dial(&uri, h264_clip(BLUE, "high"), silence);
    device.wait_until_sent(ALONE);
    meeting.join("first-picture-transcoded");
    assert_eq!(meeting.paths(), [0.0, 1.0], "a high profile is transcoded");
    device.hang_up();
    meeting.server.stop();
}

#[test]
fn a_baresip_that_begins_anew_stays_in_sight() {
    let mut meeting = Meeting::begin("a_baresip_that_begins_anew_stays_in_sight");
    let mut room = Baresip::start(&meeting.story, BaresipConfig::new(BLUE));
    room.dial(&meeting.server.dial("demo", "udp"));
    wait::until("the room system has sent for long", ALONE, || {
        (meeting.server.metric("plenum_leg_received_total") > 1000.0).then_some(())
    });
    meeting.join("first-picture-baresip");
    assert_eq!(meeting.paths(), [1.0, 0.0], "constrained baseline is forwarded");

    room.restart_encoder();
    meeting.all_see("restarted");
    room.hold();
    room.resume();
    meeting.all_see("resumed");
    room.hang_up();
    meeting.server.stop();
}
