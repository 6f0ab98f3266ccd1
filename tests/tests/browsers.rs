//! People in browsers meet. What each receives is told by its content.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use conference::access::{Grant, KeyRights, Keys, VideoGrant};
use tests::analyse::{self, Picture, WHOLE};
use tests::browser::Browser;
use tests::media::{BLUE, GREEN, RED, wav};
use tests::server::Server;
use tests::story::Story;
use types::Identity;

/// Distance between what is heard of others and of oneself.
const APART_DB: f64 = 40.0;
/// Shown frames a second of a clip of fifteen.
const STEPS_A_SECOND: f64 = 10.0;
/// A leaving sender is gone from everybody's page within this time.
const GONE_WITHIN: Duration = Duration::from_secs(2);

/// Everybody sees and hears everybody else, and not themselves.
fn meet(story: &Story, people: &mut [Browser]) {
    let all: Vec<_> = people.iter().map(|it| (it.identity.clone(), it.mark)).collect();
    for person in people.iter_mut() {
        let me = person.mark;
        for (identity, _) in all.iter().filter(|it| it.1 != me) {
            person.wait_for_picture(identity);
        }
    }
    let lost_before: Vec<i64> = people.iter_mut().map(lost).collect();
    for person in people.iter_mut() {
        let me = person.mark;
        for (identity, mark) in all.iter().filter(|it| it.1 != me) {
            let steps = person.steps(identity, 3.0) as f64 / 3.0;
            assert!(steps >= STEPS_A_SECOND, "{} sees {steps} steps a second", me.name);

            let file = story.file(&format!("{}-sees-{}.png", me.name, mark.name));
            person.picture(identity, &file);
            let share = Picture::read(&file).share(*mark, WHOLE);
            assert!(share > 0.7, "{} fills {share} of {}'s picture", mark.name, me.name);

            let heard = person.record(identity, 2.0);
            let recording = story.file(&format!("{}-hears-{}.wav", me.name, mark.name));
            std::fs::write(recording, wav(&heard)).unwrap();
            // The first moments of a recording hold the filter's start.
            let heard = &heard[heard.len() / 4..];
            let (other, own) = (analyse::level(heard, mark.tone), analyse::level(heard, me.tone));
            assert!(other > -40.0, "{} hears {} at {other} dB", me.name, mark.name);
            assert!(other - own >= APART_DB, "{}: {other} dB against {own} dB", me.name);
        }
    }
    for (person, before) in people.iter_mut().zip(lost_before) {
        assert_eq!(lost(person), before, "packets lost on the way to {}", person.mark.name);
    }
}

fn lost(person: &mut Browser) -> i64 {
    person.inbound().iter().map(|it| it.lost).sum()
}

fn token(identity: &str, meeting: &str) -> String {
    let mut keys = Keys::new();
    keys.add_weak("devkey", "secret", KeyRights::ALL).unwrap();
    let grant = Grant {
        issuer: "devkey".into(),
        identity: Some(Identity::new(identity)),
        name: identity.into(),
        video: VideoGrant { room_join: true, room: Some(meeting.into()), ..VideoGrant::default() },
        ..Grant::default()
    };
    Arc::new(keys).sign(&grant, Duration::from_secs(600), SystemTime::now()).unwrap()
}

#[test]
fn two_browsers_meet_through_the_page() {
    let story = Story::begin("two_browsers_meet_through_the_page");
    let server = Server::start(&story);
    let mut people = [RED, GREEN].map(|mark| Browser::launch(mark, &server.origin));
    for person in &mut people {
        person.join_through_page("demo");
    }
    meet(&story, &mut people);

    let [mut red, mut green] = people;
    green.screenshot(&story, "desktop.png", None);
    green.screenshot(&story, "phone.png", Some((390, 844)));
    let who = red.identity.clone();
    let _ = red.evaluate("() => window.plenum.room.disconnect()");
    green.wait_until_gone(&who, GONE_WITHIN);
    for person in [&mut red, &mut green] {
        let (errors, foreign) = person.complaints();
        assert_eq!(foreign, [""; 0], "requests to other origins");
        assert_eq!(errors, [""; 0], "errors of the page");
    }
    server.stop();
}

#[test]
fn clients_of_one_and_of_two_connections_meet() {
    let story = Story::begin("clients_of_one_and_of_two_connections_meet");
    let server = Server::start(&story);
    let mut people =
        [(RED, true), (GREEN, false), (BLUE, true)].map(|(mark, single_connection)| {
            let mut person = Browser::launch(mark, &server.origin);
            person.join_by_client(&token(mark.name, "mixed"), single_connection);
            person
        });
    meet(&story, &mut people);

    for person in &mut people {
        let _ = person.evaluate(
            "() => window.plenum.room.localParticipant.publishData(\
                 new TextEncoder().encode('hello'), { reliable: true })",
        );
    }
    for person in &mut people {
        let wanted = "() => window.messages.length >= 2 ? window.messages.sort() : null";
        let messages = tests::wait::until("messages of both others", GONE_WITHIN, || {
            Some(person.evaluate(wanted)).filter(|it| !it.is_null())
        });
        let mut others = ["blue", "green", "red"].map(str::to_owned).to_vec();
        others.retain(|it| *it != person.identity);
        let expected: Vec<_> = others.iter().map(|it| serde_json::json!([it, "hello"])).collect();
        assert_eq!(messages, serde_json::Value::Array(expected));
    }
    server.stop();
}
