//! People in browsers meet. What each receives is told by its content.

use serde_json::{Value, json};
use tests::browser::{Browser, Mode};
use tests::media::{BLUE, GREEN, RED};
use tests::network::Network;
use tests::person::{GONE_WITHIN, PATIENCE, Person, is_gone, meet};
use tests::server::Server;
use tests::story::Story;
use tests::{token, wait};

#[test]
fn two_browsers_meet_through_the_page() {
    let story = Story::begin("two_browsers_meet_through_the_page");
    let server = Server::start(&story);
    let mut people = [RED, GREEN].map(|mark| Browser::launch(mark, &server.origin));
    for person in &mut people {
        person.join_through_page("demo");
    }
    let [mut red, mut green] = people;
    meet(&story, &mut [&mut red, &mut green]);

    green.screenshot(&story, "desktop.png", None);
    green.screenshot(&story, "phone.png", Some((390, 844)));
    let who = red.identity.clone();
    let _ = red.evaluate("() => window.plenum.room.disconnect()");
    is_gone(&story, RED, &who, &mut [&mut green]);
    for person in [&mut red, &mut green] {
        let (errors, foreign) = person.complaints();
        assert_eq!(foreign, [""; 0], "requests to other origins");
        assert_eq!(errors, [""; 0], "errors of the page");
    }
    server.stop();
}

#[test]
fn clients_of_all_three_modes_meet() {
    let story = Story::begin("clients_of_all_three_modes_meet");
    let server = Server::start(&story);
    let modes = [(RED, Mode::V1), (GREEN, Mode::V0), (BLUE, Mode::V0WithJoinRequest)];
    let [mut red, mut green, mut blue] = modes.map(|(mark, mode)| {
        let mut person = Browser::launch(mark, &server.origin);
        person.join_by_client(&token::to_join(mark.name, "mixed"), mode);
        person
    });
    meet(&story, &mut [&mut red, &mut green, &mut blue]);

    let mut people = [red, green, blue];
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
        let expected: Vec<_> = others.iter().map(|it| json!([it, "reliable", "hello"])).collect();
        assert_eq!(messages, Value::Array(expected));
    }

    let [mut red, mut green, mut blue] = people;
    let who = red.identity.clone();
    let _ = red.evaluate("() => window.plenum.room.disconnect()");
    is_gone(&story, RED, &who, &mut [&mut green, &mut blue]);
    server.stop();
}

#[test]
fn browsers_behind_a_firewall_without_udp_meet_over_tcp() {
    let story = Story::begin("browsers_behind_a_firewall_without_udp_meet_over_tcp");
    let network = Network::without_udp();
    let server = Server::start_in(&story, "", Some(&network));
    let mut people = [(RED, Mode::V1), (GREEN, Mode::V0)].map(|(mark, mode)| {
        let mut person = Browser::launch_in(mark, &server.origin, Some(&network));
        person.join_by_client(&token::to_join(mark.name, "firewall"), mode);
        person
    });
    let [red, green] = &mut people;
    meet(&story, &mut [red, green]);
    for (person, connections) in people.iter_mut().zip([1, 2]) {
        assert_eq!(person.transports(), vec!["tcp"; connections], "{}", person.mark.name);
    }
    server.stop();
}

#[test]
fn who_leaves_and_comes_back_at_once_is_seen() {
    let story = Story::begin("who_leaves_and_comes_back_at_once_is_seen");
    let server = Server::start(&story);
    let [mut red, mut green, mut blue] = [(RED, Mode::V1), (GREEN, Mode::V1), (BLUE, Mode::V0)]
        .map(|(mark, mode)| {
            let mut person = Browser::launch(mark, &server.origin);
            person.join_by_client(&token::to_join(mark.name, "again"), mode);
            person
        });
    for _ in 0..3 {
        for person in [&mut red, &mut green] {
            let _ = person.evaluate("() => window.plenum.room.disconnect()");
            person.join_by_client(&token::to_join(person.mark.name, "again"), Mode::V1);
        }
        for (person, other) in [(&mut red, "green"), (&mut green, "red"), (&mut blue, "green")] {
            person.wait_for_picture(other);
            wait::until("ten steps a second", PATIENCE, || {
                (person.steps(other, 2.0) >= 20).then_some(())
            });
        }
    }
    server.stop();
}
