//! Room systems of the house register, are called by name, and are seen to be there.

use std::time::Duration;

use serde_json::{Value, json};
use tests::admin::CommandLine;
use tests::analyse::{self, Picture, WHOLE};
use tests::baresip::{Baresip, BaresipConfig};
use tests::browser::Browser;
use tests::media::{BLUE, GREEN};
use tests::person::Person;
use tests::server::Server;
use tests::story::Story;
use tests::wait;

const PATIENCE: Duration = Duration::from_secs(15);
/// A device that was removed is registered no more within this time.
const FORGOTTEN_WITHIN: Duration = Duration::from_secs(25);
const PASSWORD: &str = "long-enough-for-a-hall";

/// What `plenum device presence` tells of the one device: how it stands, and by what it is reached.
fn presence(admin: &CommandLine) -> (Value, Value) {
    let present = admin.json(&["device", "presence"]);
    let first = &present[0];
    (first["presence"].clone(), first["registered"][0]["transport"].clone())
}

fn stands(admin: &CommandLine, presence_of: &Value, transport: &Value) {
    let mut last = (Value::Null, Value::Null);
    let what = format!("the device is {presence_of} by {transport}");
    wait::until(&what, PATIENCE, || {
        last = presence(admin);
        (last.0 == *presence_of && last.1 == *transport).then_some(())
    });
}

/// Calls the room by a name of it, and both see and hear each other.
fn meets(server: &Server, story: &Story, name: &str, room: &mut Baresip, person: &mut Browser) {
    let (code, outcome, complaint) = server.call("demo", name);
    assert_eq!((code, &outcome["state"]), (0, &"active".into()), "{name}: {outcome} {complaint}");
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
    let heard = person.record(&identity, 2.0);
    let level = analyse::level(&heard[heard.len() / 4..], BLUE.tone);
    assert!(level > -40.0, "green hears the room at {level} dB");
    let shown = format!("() => window.plenum.room.remoteParticipants.get({identity:?}).name");
    assert_eq!(person.evaluate(&shown), "Hall", "people know it by its name");
}

#[test]
fn a_registered_room_is_called_by_its_extension_and_by_its_name() {
    let story = Story::begin("a_registered_room_is_called");
    let server = Server::start(&story);
    let admin = CommandLine::new(&story, &server, "admin");
    admin.first_sign_in(&server);
    let create = ["device", "create", "Hall", "--extension", "101", "--sip-user", "hall"];
    let made = admin.run(&[&create[..], &["--ask-password"]].concat(), &format!("{PASSWORD}\n"));
    assert_eq!(made.code, 0, "{made:?}");
    assert_eq!(admin.json(&["device", "presence"]), json!([]), "nobody has registered");
    let (code, _, complaint) = server.call("demo", "101");
    assert_eq!((code, complaint.contains("no device of this name")), (1, true), "{complaint}");

    let wrong = server.dial("hall", "udp");
    let stranger = Baresip::register(&story, BaresipConfig::new(BLUE), &wrong, "a-wrong-password");
    wait::until("a wrong password is noticed", PATIENCE, || {
        (server.metric("plenum_sip_wrong_passwords_total") >= 1.0).then_some(())
    });
    assert_eq!(admin.json(&["device", "presence"]), json!([]), "a wrong password registers nobody");
    drop(stranger);

    let mut person = Browser::launch(GREEN, &server.origin);
    person.join_through_page("demo");
    for (transport, name) in [("udp", "101"), ("tcp", "hall")] {
        let config = BaresipConfig { transport, ..BaresipConfig::new(BLUE) };
        let account = format!("{};transport={transport}", server.dial("hall", transport));
        let mut room = Baresip::register(&story, config, &account, PASSWORD);
        stands(&admin, &json!("online"), &json!(transport));
        meets(&server, &story, name, &mut room, &mut person);
        stands(&admin, &json!("in_call"), &json!(transport));
        room.hang_up();
        stands(&admin, &json!("online"), &json!(transport));
        room.dial(&server.dial("demo", transport));
        stands(&admin, &json!("in_call"), &json!(transport));
        room.hang_up();
        if transport == "tcp" {
            // Whoever registers is no more than a device of the house as long as it is one.
            assert_eq!(admin.run(&["device", "remove", "Hall"], "").code, 0);
            wait::until("a removed device is registered no more", FORGOTTEN_WITHIN, || {
                (admin.json(&["device", "presence"]) == json!([])).then_some(())
            });
        } else {
            room.quit();
            wait::until("it takes itself off", PATIENCE, || {
                (admin.json(&["device", "presence"]) == json!([])).then_some(())
            });
        }
    }
    server.stop();
    let log = std::fs::read_to_string(story.file("server.log")).expect("the log");
    assert!(!log.contains(PASSWORD), "a password stands in the log");
}
