//! The server calls room systems.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use tests::analyse::{self, Picture, WHOLE};
use tests::baresip::{Baresip, BaresipConfig};
use tests::browser::Browser;
use tests::media::{BLUE, GREEN};
use tests::person::Person;
use tests::server::Server;
use tests::story::Story;
use tests::wait;

const PATIENCE: Duration = Duration::from_secs(10);
const GONE_WITHIN: Duration = Duration::from_secs(2);

#[test]
fn a_called_room_system_is_in_the_meeting() {
    let story = Story::begin("a_called_room_system_is_in_the_meeting");
    let server = Server::start(&story);
    let mut person = Browser::launch(GREEN, &server.origin);
    person.join_through_page("demo");
    for config in [
        BaresipConfig::new(BLUE),
        BaresipConfig { audio: "opus", srtp: true, transport: "tls", ..BaresipConfig::new(BLUE) },
    ] {
        let mut room = Baresip::start(&story, config);
        // Its certificate is its own: it is called over TCP, with keys in the clear as --dev allows.
        let address = match config.transport {
            "tls" => room.uri().replace("tls", "tcp"),
            _ => room.uri(),
        };
        let address = match config.transport {
            "tls" => decremented(&address),
            _ => address,
        };
        let (code, outcome, complaint) = server.call("demo", &address);
        assert_eq!((code, &outcome["state"]), (0, &"active".into()), "{outcome} {complaint}");
        room.wait_for_call();
        let identity = person.wait_for_room_system();
        assert_eq!(outcome["identity"], identity.as_str());
        person.wait_for_picture(&identity);
        wait::until("the person sees the room's colour", PATIENCE, || {
            let file = story.file("green-sees-blue.png");
            person.picture(&identity, &file);
            (Picture::read(&file).share(BLUE, WHOLE) > 0.7).then_some(())
        });
        wait::until("the room sees the person's colour", PATIENCE, || {
            let picture = Picture::read(&room.picture("sees.png"));
            (picture.share(GREEN, WHOLE) > 0.3).then_some(())
        });
        let (samples, rate) = room.heard(2.0);
        let heard = analyse::level_at(&samples, rate, GREEN.tone);
        assert!(heard > -40.0, "the room hears green at {heard} dB");
        let heard = person.record(&identity, 2.0);
        let level = analyse::level(&heard[heard.len() / 4..], BLUE.tone);
        assert!(level > -40.0, "green hears the room at {level} dB");
        let status = format!(
            "() => window.plenum.room.remoteParticipants.get({identity:?}).attributes['sip.callStatus']"
        );
        assert_eq!(person.evaluate(&status), "active");
        room.hang_up();
        person.wait_until_gone(&identity, GONE_WITHIN);
    }
    server.stop();
}

/// A `sip:` address one port lower.
fn decremented(address: &str) -> String {
    let (head, rest) = address.rsplit_once(':').expect("a port");
    let (port, parameters) = rest.split_once(';').expect("parameters");
    format!("{head}:{};{parameters}", port.parse::<u16>().expect("a number") - 1)
}

#[test]
fn what_cannot_be_called_is_told_apart() {
    let story = Story::begin("what_cannot_be_called_is_told_apart");
    let server = Server::start(&story);
    let room = Baresip::start(&story, BaresipConfig::new(BLUE));
    let (code, outcome, _) = server.call("demo", &room.uri().replace("room@", "nobody@"));
    assert_eq!((code, &outcome["state"]), (14, &"not_found".into()), "{outcome}");

    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let (code, outcome, _) = server.call("demo", &format!("sip:room@{closed};transport=tcp"));
    assert_eq!((code, &outcome["state"]), (13, &"unreachable".into()), "{outcome}");

    // Out of reach of any rule.
    let (code, _, complaint) = server.call("demo", "sip:room@192.0.2.1");
    assert_eq!(code, 1);
    assert!(complaint.contains("allow_dial"), "{complaint}");
    for (address, why) in
        [("sip:a b@host", "no SIP address"), ("what is this", "no device of this name")]
    {
        let (code, _, complaint) = server.call("demo", address);
        assert_eq!(code, 1);
        assert!(complaint.contains(why), "{complaint}");
    }
    server.stop();
}
