//! Trunks through a real SIP server: both directions, its end and another in its place, registration.

use std::time::{Duration, Instant};

use serde_json::Value;
use tests::admin::CommandLine;
use tests::analyse::{self, Picture, WHOLE};
use tests::baresip::{Baresip, BaresipConfig};
use tests::browser::Browser;
use tests::kamailio::{Kamailio, Numbers, PASSWORD, USER};
use tests::media::{BLUE, GREEN, Mark, RED};
use tests::person::Person;
use tests::server::Server;
use tests::story::Story;
use tests::wait;

const PATIENCE: Duration = Duration::from_secs(15);
/// A server that is known to be down costs a call no time; this is for the call itself.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Whoever is in the meeting and the room see and hear each other; then the room hangs up.
fn meet(story: &Story, room: &mut Baresip, mark: Mark, person: &mut Browser) {
    let identity = person.wait_for_room_system();
    person.wait_for_picture(&identity);
    wait::until("the person sees the room's colour", PATIENCE, || {
        let file = story.file("green-sees.png");
        person.picture(&identity, &file);
        (Picture::read(&file).share(mark, WHOLE) > 0.7).then_some(())
    });
    wait::until("the room sees the person's colour", PATIENCE, || {
        let picture = Picture::read(&room.picture("sees.png"));
        (picture.share(GREEN, WHOLE) > 0.3).then_some(())
    });
    let heard = person.record(&identity, 1.0);
    let level = analyse::level(&heard[heard.len() / 4..], mark.tone);
    assert!(level > -40.0, "green hears the room at {level} dB");
    room.hang_up();
    person.wait_until_gone(&identity, PATIENCE);
}

/// The server calls a number; the room of this colour answers.
fn reach(server: &Server, number: &str, room: &mut Baresip) -> Duration {
    let began = Instant::now();
    let (code, outcome, complaint) = server.call("demo", number);
    assert_eq!((code, &outcome["state"]), (0, &"active".into()), "{number}: {outcome} {complaint}");
    room.wait_for_call();
    began.elapsed()
}

/// What `plenum trunk status` tells of the one trunk, once it is so.
fn status(admin: &CommandLine, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    wait::until(what, PATIENCE, || {
        last = admin.json(&["trunk", "status"])[0].clone();
        is(&last).then_some(())
    });
    last
}

fn states(trunk: &Value) -> Vec<&str> {
    let servers = trunk["servers"].as_array().map(Vec::as_slice).unwrap_or_default();
    servers.iter().filter_map(|it| it["state"].as_str()).collect()
}

fn trunk(admin: &CommandLine, kind: &str, port: u16, more: &[&str]) {
    let port = port.to_string();
    let create =
        ["trunk", "create", "City", "--kind", kind, "--host", "127.0.0.1", "--port", &port];
    let create = [&create[..], &["--user", USER, "--ask-secret"], more].concat();
    let made = admin.run(&create, &format!("{PASSWORD}\n"));
    assert_eq!(made.code, 0, "{made:?}");
}

fn rule(admin: &CommandLine, name: &str, arguments: &[&str]) {
    let made = admin.run(&[&["dial-rule", "create", name], arguments].concat(), "");
    assert_eq!(made.code, 0, "{made:?}");
}

#[test]
fn calls_go_over_a_trunk_both_ways_and_to_another_server_when_the_first_ends() {
    let story = Story::begin("calls_go_over_a_trunk_both_ways");
    let server = Server::start(&story);
    let admin = CommandLine::new(&story, &server, "admin");
    admin.first_sign_in(&server);
    let [first, second] = [(); 2].map(|()| Kamailio::start(&story, &server, Numbers::ByAddress));
    // The same user in another colour: what is seen tells which server the call went over.
    let mut blue =
        Baresip::register(&story, BaresipConfig::new(BLUE), &first.uri("hall"), PASSWORD);
    let mut red = Baresip::register(&story, BaresipConfig::new(RED), &second.uri("hall"), PASSWORD);
    let backup = format!("127.0.0.1:{}", second.port);
    let networks = ["--network", "127.0.0.1", "--backup", &backup, "--check-seconds", "10"];
    trunk(&admin, "by_address", first.port, &networks);
    let out = ["--order", "1", "--direction", "out", "--called", "9(.+)", "--to-trunk", "City=$1"];
    rule(&admin, "Out", &out);
    let within = ["--order", "2", "--direction", "in", "--from-trunk", "City"];
    rule(&admin, "In", &[&within[..], &["--to-meeting", "$0"]].concat());
    let mut person = Browser::launch(GREEN, &server.origin);
    person.join_through_page("demo");
    status(&admin, "both servers are up", |it| states(it) == ["up", "up"]);

    reach(&server, "9hall", &mut blue);
    meet(&story, &mut blue, BLUE, &mut person);
    blue.dial(&first.uri("demo"));
    meet(&story, &mut blue, BLUE, &mut person);

    // Nobody knows yet: the call finds out, and goes on by itself.
    first.stop();
    let found_out = reach(&server, "9hall", &mut red);
    meet(&story, &mut red, RED, &mut person);
    let shown = status(&admin, "the first is down", |it| states(it) == ["down", "up"]);
    assert_eq!(shown["servers"][0]["problem"], "it does not answer", "{shown}");
    assert!((server.metric("plenum_sip_trunk_servers_up") - 1.0).abs() < 0.1);
    let known = reach(&server, "9hall", &mut red);
    println!("the first server's end cost the first call {found_out:?}, the next {known:?}");
    assert!(known < AT_ONCE, "a server that is down is passed over: {known:?}");
    red.hang_up();
    server.stop();
}

#[test]
fn a_trueconf_style_server_and_we_call_each_other_by_registration_and_by_address() {
    let story = Story::begin("a_trueconf_style_server");
    let server = Server::start(&story);
    let admin = CommandLine::new(&story, &server, "admin");
    admin.first_sign_in(&server);
    let peer = Kamailio::start(&story, &server, Numbers::Registered);
    let by_address = Kamailio::start(&story, &server, Numbers::ByAddress);
    let mut anna = Baresip::register(&story, BaresipConfig::new(BLUE), &peer.uri("anna"), PASSWORD);
    let mut boris =
        Baresip::register(&story, BaresipConfig::new(BLUE), &by_address.uri("boris"), PASSWORD);
    let mut group =
        Baresip::register(&story, BaresipConfig::new(RED), &peer.uri("c7700"), PASSWORD);
    let mut person = Browser::launch(GREEN, &server.origin);
    person.join_through_page("demo");

    // Registered.
    let numbers = ["--number", r"5502=\c\7700", "--register", "always"];
    let known = ["--network", "127.0.0.1"];
    trunk(&admin, "true_conf", peer.port, &[&known[..], &numbers].concat());
    status(&admin, "we are registered", |it| it["registration"] == "registered");
    for number in ["anna@127.0.0.1", r"\c\7700@127.0.0.1", "5502", "007700@127.0.0.1"] {
        let (room, mark) = match number {
            "anna@127.0.0.1" => (&mut anna, BLUE),
            _ => (&mut group, RED),
        };
        reach(&server, number, room);
        match number {
            "anna@127.0.0.1" | "5502" => meet(&story, room, mark, &mut person),
            _ => room.hang_up(),
        }
    }
    anna.dial(&peer.uri("demo"));
    meet(&story, &mut anna, BLUE, &mut person);

    // By its address alone.
    assert_eq!(admin.run(&["trunk", "remove", "City"], "").code, 0);
    trunk(&admin, "true_conf", by_address.port, &known);
    status(&admin, "we are not registered", |it| it["registration"] == "none");
    boris.dial(&by_address.uri("demo"));
    meet(&story, &mut boris, BLUE, &mut person);
    reach(&server, "boris@127.0.0.1", &mut boris);
    boris.hang_up();
    server.stop();
}
