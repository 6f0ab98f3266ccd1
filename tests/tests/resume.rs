//! Clients lose their WebSocket and go on, without anybody seeing it.

use std::time::Duration;

use serde_json::{Value, json};
use tests::browser::{Browser, Mode};
use tests::media::{BLUE, GREEN, RED};
use tests::person::{GONE_WITHIN, PATIENCE, Person, meet};
use tests::python::PythonPeer;
use tests::server::Server;
use tests::story::Story;
use tests::{token, wait};

/// The server's patience with a lost WebSocket, and ours with two loaded cores.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(15 + 5);
/// Shown frames a second of a clip of fifteen.
const STEPS_A_SECOND: f64 = 10.0;

fn one_of_each(server: &Server, meeting: &str) -> [Browser; 2] {
    [(RED, Mode::V1), (GREEN, Mode::V0)].map(|(mark, mode)| {
        let mut person = Browser::launch(mark, &server.origin);
        person.join_by_client(&token::to_join(mark.name, meeting), mode);
        person
    })
}

/// Cuts the client's WebSocket; it comes back after a while.
fn cut(person: &mut Browser, away_ms: u32) {
    person.evaluate(&format!(
        "() => {{
            window.events.length = 0;
            void window.plenum.room.simulateScenario('signal-reconnect', {away_ms});
        }}"
    ));
}

fn events(person: &mut Browser) -> Vec<String> {
    let events = person.evaluate("() => window.events");
    let events = events.as_array().expect("a list");
    events.iter().map(|it| it.as_str().unwrap_or_default().to_owned()).collect()
}

fn wait_for_event(person: &mut Browser, event: &str) {
    let what = format!("{} gets {event}", person.mark.name);
    wait::until(&what, PATIENCE, || events(person).iter().any(|it| it == event).then_some(()));
}

fn sid(person: &mut Browser) -> Value {
    person.evaluate("() => window.plenum.room.localParticipant.sid")
}

/// It came back with what it had; nothing of anybody went away.
fn went_on(person: &mut Browser) {
    wait_for_event(person, "Reconnected");
    assert_eq!(events(person), ["SignalReconnecting", "Reconnected"], "{}", person.mark.name);
}

#[test]
fn media_flow_on_while_a_websocket_is_away() {
    let story = Story::begin("media_flow_on_while_a_websocket_is_away");
    let server = Server::start(&story);
    let [mut red, mut green] = one_of_each(&server, "cut");
    meet(&story, &mut [&mut red, &mut green]);

    for _ in 0..2 {
        let (before, name) = (sid(&mut red), red.mark.name);
        green.evaluate("() => { window.events.length = 0; }");
        cut(&mut red, 2000);
        let steps = green.steps(name, 4.0) as f64 / 4.0;
        assert!(steps >= STEPS_A_SECOND, "{} sees {steps} steps a second", green.mark.name);
        went_on(&mut red);
        assert_eq!(sid(&mut red), before);
        assert_eq!(events(&mut green), [""; 0], "{} noticed", green.mark.name);
        // Then the other way round.
        std::mem::swap(&mut red, &mut green);
    }
    // All of it still works, by new ways through the network.
    meet(&story, &mut [&mut red, &mut green]);

    // Whoever does not come back is given up.
    drop(red);
    green.wait_until_gone(RED.name, GIVEN_UP_WITHIN);
    server.stop();
}

#[test]
fn who_was_away_learns_who_came_and_who_left() {
    let story = Story::begin("who_was_away_learns_who_came_and_who_left");
    let server = Server::start(&story);
    let mut people = one_of_each(&server, "missed");

    people.iter_mut().for_each(|it| cut(it, 6000));
    let blue_token = token::to_join(BLUE.name, "missed");
    let mut blue = PythonPeer::join(BLUE, &server.origin, &blue_token, true);
    for person in &mut people {
        wait_for_event(person, "Reconnected");
        person.wait_for_picture(BLUE.name);
        blue.wait_for_picture(&person.identity);
    }

    people.iter_mut().for_each(|it| cut(it, 3000));
    blue.ask(json!({ "command": "leave" }));
    for person in &mut people {
        wait_for_event(person, "Reconnected");
        person.wait_until_gone(BLUE.name, PATIENCE);
    }
    let [mut red, mut green] = people;
    meet(&story, &mut [&mut red, &mut green]);

    cut(&mut red, 3000);
    green.evaluate(&format!(
        "() => fetch('{}/twirp/livekit.RoomService/RemoveParticipant', {{
            method: 'POST',
            headers: {{ authorization: 'Bearer {}', 'content-type': 'application/json' }},
            body: JSON.stringify({{ room: 'missed', identity: 'red' }}),
        }}).then(() => null)",
        server.origin,
        token::to_rule("missed")
    ));
    green.wait_until_gone(RED.name, GONE_WITHIN);
    wait_for_event(&mut red, "Disconnected");
    assert!(green.shows_nothing_of(RED.name), "it came back");
    server.stop();
}

#[test]
fn the_python_client_goes_on_after_its_websocket_was_cut() {
    let story = Story::begin("the_python_client_goes_on_after_its_websocket_was_cut");
    let server = Server::start(&story);
    let mut red = Browser::launch(RED, &server.origin);
    red.join_by_client(&token::to_join(RED.name, "python-cut"), Mode::V1);
    for (mark, single_connection) in [(GREEN, false), (BLUE, true)] {
        let token = token::to_join(mark.name, "python-cut");
        let mut peer = PythonPeer::join(mark, &server.origin, &token, single_connection);
        red.wait_for_picture(mark.name);
        peer.wait_for_picture(RED.name);
        red.evaluate("() => { window.events.length = 0; }");
        peer.ask(json!({ "command": "simulate", "scenario": "SIMULATE_SIGNAL_RECONNECT" }));
        let steps = red.steps(mark.name, 3.0) as f64 / 3.0;
        assert!(steps >= STEPS_A_SECOND, "red sees {steps} steps a second");
        wait::until("the client is back", PATIENCE, || {
            let events = peer.ask(json!({ "command": "heard_of" }))["events"].clone();
            (events == json!(["reconnecting", "reconnected"])).then_some(())
        });
        assert_eq!(events(&mut red), [""; 0]);
        meet(&story, &mut [&mut red, &mut peer]);
        peer.ask(json!({ "command": "leave" }));
        red.wait_until_gone(mark.name, PATIENCE);
    }
    server.stop();
}

#[test]
fn a_client_that_cannot_resume_joins_anew() {
    let story = Story::begin("a_client_that_cannot_resume_joins_anew");
    let server = Server::start(&story);
    let [mut red, mut green] = one_of_each(&server, "anew");
    for scenario in ["resume-reconnect", "full-reconnect"] {
        for _ in 0..2 {
            let before = sid(&mut red);
            red.evaluate(&format!(
                "() => {{
                    window.events.length = 0;
                    void window.plenum.room.simulateScenario({scenario:?});
                }}"
            ));
            wait_for_event(&mut red, "Reconnected");
            assert_ne!(sid(&mut red), before, "{scenario}");
            std::mem::swap(&mut red, &mut green);
        }
    }
    meet(&story, &mut [&mut red, &mut green]);
    server.stop();
}
