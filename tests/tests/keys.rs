//! Keys of applications come, are rotated and go while the server runs.

use std::time::{Duration, SystemTime};

use conference::access::{Grant, KeyRights, Keys, VideoGrant};
use serde_json::{Value, json};
use tests::admin::{CommandLine, PASSWORD};
use tests::media::RED;
use tests::python::PythonPeer;
use tests::server::Server;
use tests::story::Story;
use types::Identity;

/// What an application has: an id and a secret.
struct Application {
    id: String,
    secret: String,
}

impl Application {
    fn of(made: &Value) -> Self {
        let text = |it: &Value| it.as_str().expect("a text").to_owned();
        Self { id: text(&made["key"]["id"]), secret: text(&made["secret"]) }
    }

    /// A token as an application signs it by itself.
    fn token(&self, identity: &str) -> String {
        let mut keys = Keys::new();
        keys.add(&self.id, &self.secret, KeyRights::ALL).expect("a good secret");
        let video = VideoGrant {
            room_join: true,
            room: Some("portal".into()),
            room_create: true,
            ..VideoGrant::default()
        };
        let identity = Some(Identity::new(identity));
        let grant = Grant { issuer: self.id.clone(), identity, video, ..Grant::default() };
        keys.sign(&grant, Duration::from_secs(3600), SystemTime::now()).expect("a token")
    }

    /// What the server says of such a token.
    fn is_taken(&self, server: &Server) -> bool {
        let head = format!("Authorization: Bearer {}\r\n", self.token("anna"));
        let answer = server.request("GET", "/rtc/validate", &head, "");
        answer.starts_with("HTTP/1.1 200")
    }
}

#[test]
fn an_application_s_key_is_made_rotated_without_a_break_and_removed() {
    let story = Story::begin("an_application_s_key");
    let server = Server::start(&story);
    let admin = CommandLine::new(&story, &server, "admin");
    admin.first_sign_in(&server);
    let made = admin.json(&["key", "create", "Portal", "--create-rooms"]);
    let first = Application::of(&made);
    assert!(first.is_taken(&server));
    let peer = PythonPeer::join(RED, &server.origin, &first.token("anna"), false);
    drop(peer);

    let second = Application::of(&admin.json(&["key", "rotate", &first.id]));
    assert_eq!((&second.id, second.secret == first.secret), (&first.id, false));
    assert!(first.is_taken(&server) && second.is_taken(&server), "both for a day");
    let rotate = ["key", "rotate", &first.id, "--overlap-hours", "0"];
    let third = Application::of(&admin.json(&rotate));
    assert!(!first.is_taken(&server) && !second.is_taken(&server) && third.is_taken(&server));
    let shown = admin.json(&["key", "show", &first.id]);
    assert_eq!(shown["secrets"].as_array().map(Vec::len), Some(1), "{shown}");
    admin.json(&["key", "change", &first.id, "--create-rooms", "false"]);
    let listed = admin.json(&["key", "list"]);
    assert_eq!((&listed[0]["name"], &listed[0]["create_rooms"]), (&json!("Portal"), &json!(false)));
    let again = admin.run(&["key", "create", "portal"], "");
    assert_eq!(again.code, 6, "{again:?}");
    server.stop();

    let server = Server::start(&story);
    assert!(third.is_taken(&server), "it is there after a restart");
    let admin = CommandLine::new(&story, &server, "admin");
    assert_eq!(admin.run(&["sign-in", "admin"], &format!("{PASSWORD}\n")).code, 0);
    assert_eq!(admin.run(&["key", "remove", &first.id], "").code, 0);
    assert!(!third.is_taken(&server));
    let log = admin.json(&["audit", "list", "--action", "key."]);
    let acts: Vec<_> =
        log.as_array().expect("a list").iter().map(|it| it["action"].clone()).collect();
    assert_eq!(acts, ["key.create", "key.rotate", "key.rotate", "key.change", "key.remove"]);
    server.stop();
    let log = std::fs::read_to_string(story.file("server.log")).expect("the log");
    let database = std::fs::read(story.file("data").join("plenum.db")).expect("the database");
    for secret in [&first.secret, &third.secret] {
        let kept = database.windows(secret.len()).any(|it| it == secret.as_bytes());
        assert!(!kept && !log.contains(secret.as_str()), "a secret stands in clear");
    }
}
