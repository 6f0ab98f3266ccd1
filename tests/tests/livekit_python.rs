//! LiveKit's own headless client meets browsers.

use serde_json::{Value, json};
use tests::browser::{Browser, Mode};
use tests::media::{BLUE, GREEN, RED};
use tests::person::{PATIENCE, Person, is_gone, meet};
use tests::python::PythonPeer;
use tests::server::Server;
use tests::story::Story;
use tests::{token, wait};

/// Waits until `get` gives these, in any order.
fn wait_for_all(what: &str, expected: &[Value], mut get: impl FnMut() -> Value) {
    let mut last = Value::Null;
    let sorted = |list: &[Value]| {
        let mut lines: Vec<String> = list.iter().map(Value::to_string).collect();
        lines.sort();
        lines
    };
    wait::until(what, PATIENCE, || {
        last = get();
        let came = last.as_array().map_or_else(Vec::new, |it| sorted(it));
        (came == sorted(expected)).then_some(())
    });
}

fn data_goes_both_ways(python: &mut PythonPeer, browsers: &mut [&mut Browser]) {
    for kind in ["reliable", "lossy"] {
        let reliable = kind == "reliable";
        python.ask(json!({ "command": "publish_data", "text": "hello", "reliable": reliable }));
        for browser in browsers.iter_mut() {
            browser.evaluate(&format!(
                "() => window.plenum.room.localParticipant.publishData(\
                     new TextEncoder().encode('hello'), {{ reliable: {reliable} }})"
            ));
        }
    }
    let names: Vec<String> = browsers.iter().map(|it| it.identity.clone()).collect();
    let of = |name: &str| ["lossy", "reliable"].map(|kind| json!([name, kind, "hello"]));
    let expected: Vec<Value> = names.iter().flat_map(|it| of(it)).collect();
    wait_for_all("the browsers' data", &expected, || {
        python.ask(json!({ "command": "heard_of" }))["messages"].clone()
    });
    for browser in browsers.iter_mut() {
        let others = names.iter().filter(|it| **it != browser.identity);
        let expected: Vec<Value> =
            others.map(String::as_str).chain([python.identity()]).flat_map(of).collect();
        wait_for_all("data of all others", &expected, || browser.evaluate("() => window.messages"));
    }
}

fn texts_go_both_ways(python: &mut PythonPeer, browsers: &mut [&mut Browser]) {
    // More than fits into one packet.
    let text = "The quick brown fox. ".repeat(3000);
    python.ask(json!({ "command": "send_text", "text": text }));
    for browser in browsers.iter_mut() {
        browser.evaluate(&format!(
            "() => window.plenum.room.localParticipant.sendText({text:?}, {{ topic: 'story' }})"
        ));
    }
    let names: Vec<String> = browsers.iter().map(|it| it.identity.clone()).collect();
    let expected: Vec<Value> = names.iter().map(|it| json!([it, text])).collect();
    wait_for_all("the browsers' texts", &expected, || {
        python.ask(json!({ "command": "heard_of" }))["texts"].clone()
    });
    for browser in browsers.iter_mut() {
        let others = names.iter().filter(|it| **it != browser.identity);
        let expected: Vec<Value> = others
            .map(String::as_str)
            .chain([python.identity()])
            .map(|name| json!([name, text]))
            .collect();
        wait_for_all("texts of all others", &expected, || browser.evaluate("() => window.texts"));
    }
}

fn calls_go_both_ways(python: &mut PythonPeer, browsers: &mut [&mut Browser]) {
    for browser in browsers.iter_mut() {
        let (theirs, ours) = (browser.identity.clone(), python.identity().to_owned());
        let answer = python.ask(json!({ "command": "perform_rpc", "to": theirs, "payload": "1" }));
        assert_eq!(answer, json!(format!("{theirs} greets {ours}: 1")));
        let answer = browser.evaluate(&format!(
            "() => window.plenum.room.localParticipant.performRpc(\
                 {{ destinationIdentity: {ours:?}, method: 'greet', payload: '2' }})"
        ));
        assert_eq!(answer, json!(format!("{ours} greets {theirs}: 2")));
    }
}

#[test]
fn the_python_client_meets_browsers_of_one_and_of_two_connections() {
    let story = Story::begin("the_python_client_meets_browsers_of_one_and_of_two_connections");
    let server = Server::start(&story);
    let [mut red, mut green] = [(RED, Mode::V1), (GREEN, Mode::V0)].map(|(mark, mode)| {
        let mut person = Browser::launch(mark, &server.origin);
        person.join_by_client(&token::to_join(mark.name, "clients"), mode);
        person
    });
    let blue_token = token::to_join(BLUE.name, "clients");
    let mut blue = PythonPeer::join(BLUE, &server.origin, &blue_token, true);
    meet(&story, &mut [&mut red, &mut green, &mut blue]);

    data_goes_both_ways(&mut blue, &mut [&mut red, &mut green]);
    texts_go_both_ways(&mut blue, &mut [&mut red, &mut green]);
    calls_go_both_ways(&mut blue, &mut [&mut red, &mut green]);

    blue.ask(json!({ "command": "leave" }));
    is_gone(&story, BLUE, BLUE.name, &mut [&mut red, &mut green]);
    server.stop();
}
