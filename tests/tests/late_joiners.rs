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

/// Two browsers that come from one meeting to the next.
struct People {
    story: Story,
    server: Server,
    browsers: [Browser; 2],
    room: String,
}

impl People {
    /// They are ready to join.
    fn begin(name: &str) -> Self {
        let story = Story::begin(name);
        let server = Server::start(&story);
        let browsers = [RED, GREEN].map(|mark| Browser::launch(mark, &server.origin));
        Self { story, server, browsers, room: String::new() }
    }

    /// One joins a meeting through the page, one by LiveKit's client. Each sees the room system at
    /// once.
    fn join(&mut self, meeting: &str) {
        let name = format!("first-picture-{meeting}");
        let [red, green] = &mut self.browsers;
        let mut figures = Figures::of(&name);
        let mut first = |person: &mut Browser| {
            let room = person.wait_for_room_system();
            let time = person.time_to_picture(&room);
            println!("{name}: {} sees it after {} ms", person.mark.name, time.as_millis());
            figures.note(person.mark.name, (time.as_millis() as u64).into());
            (time, room)
        };
        red.join_through_page(meeting);
        let (red_time, room) = first(red);
        green.connect_by_client(&token::to_join("green", meeting), Mode::V1);
        let (green_time, _) = first(green);
        figures.keep(&self.story);
        for time in [red_time, green_time] {
            assert!(
                time < FIRST_PICTURE_WITHIN,
                "{meeting}: the first picture came after {time:?}"
            );
        }
        self.room = room;
        self.all_see(&format!("{meeting}-joined"));
    }

    /// Both see the room system's picture move on, and forward.
    fn all_see(&mut self, when: &str) {
        for person in &mut self.browsers {
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

    /// Room systems whose pictures are forwarded, and transcoded, of all that ever were.
    fn paths(&self, [forwarded, transcoded]: [f64; 2], why: &str) {
        wait::until(why, SEEN_AGAIN_WITHIN, || {
            let paths = [FORWARDED, TRANSCODED].map(|metric| self.server.metric(metric));
            (paths == [forwarded, transcoded]).then_some(())
        });
    }
}

fn silence(_: u64) -> f32 {
    0.0
}

/// Three room systems are alone at the same time, each in a meeting of its own.
#[test]
fn late_joiners_see_a_room_at_once_and_its_new_beginnings() {
    let mut people = People::begin("late_joiners_see_a_room_at_once");
    let dial = |meeting: &str| people.server.dial(meeting, "udp");
    let high = Device::dial(&dial("high"), h264_clip(BLUE, "high"), silence);
    people.paths([0.0, 1.0], "a high profile with B-frames is transcoded");
    let baseline = Device::dial(&dial("baseline"), h264_clip(BLUE, "baseline"), silence);
    people.paths([1.0, 1.0], "constrained baseline is forwarded");
    let mut baresip = Baresip::start(&people.story, BaresipConfig::new(BLUE));
    baresip.dial(&dial("baresip"));
    people.paths([2.0, 1.0], "baresip's constrained baseline is forwarded");
    let all_there = baseline.began.elapsed();
    baseline.wait_until_sent(all_there + ALONE);

    people.join("high");
    high.hang_up();

    people.join("baseline");
    people.paths([2.0, 1.0], "nobody who came has changed that");
    // Another source under other numbers, as a device that has been set anew.
    baseline.restart(h264_clip(BLUE, "baseline"));
    people.all_see("new-source");
    people.paths([2.0, 1.0], "another source is forwarded as well");
    // Its encoder makes now what browsers do not take.
    baseline.restart(h264_clip(BLUE, "high"));
    people.all_see("new-profile");
    people.paths([2.0, 2.0], "a high profile is transcoded");
    baseline.hang_up();

    people.join("baresip");
    baresip.restart_encoder();
    people.all_see("restarted");
    baresip.hold();
    baresip.resume();
    people.all_see("resumed");
    people.paths([2.0, 2.0], "whatever baresip does is forwarded");
    baresip.hang_up();
    people.server.stop();
}
