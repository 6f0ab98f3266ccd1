//! A house from its first start to the records of its first meeting, by commands and REST: people
//! in browsers and a room system come to a weekly meeting with PINs and a lobby.

use std::time::Duration;

use serde_json::{Value, json};
use tests::admin::{CommandLine, PASSWORD, Page};
use tests::analyse::{Picture, WHOLE};
use tests::baresip::{Baresip, BaresipConfig};
use tests::browser::Browser;
use tests::media::{BLUE, GREEN, RED};
use tests::person::{GONE_WITHIN, PATIENCE, Person};
use tests::server::Server;
use tests::story::Story;
use tests::wait;

const GUEST_PIN: &str = "1234";

/// A weekly meeting that is just now: it begins on Mondays and lasts a week.
const WEEKLY: [&str; 16] = [
    "--alias",
    "weekly",
    "--start",
    "2024-01-01T00:00",
    "--minutes",
    "10080",
    "--time-zone",
    "Europe/Moscow",
    "--rrule",
    "FREQ=WEEKLY",
    "--guest-pin",
    GUEST_PIN,
    "--host-pin",
    "987654",
    "--lobby",
    "true",
];

/// Somebody with an account at a terminal of their own.
fn person(
    story: &Story,
    server: &Server,
    admin: &CommandLine,
    name: &str,
    role: &str,
) -> CommandLine {
    let made = admin.json(&["account", "create", name, "--role", role]);
    let first = made["password"].as_str().expect("a first password");
    let line = CommandLine::new(story, server, name);
    let done = line.run(&["sign-in", name], &format!("{first}\n{PASSWORD}\n"));
    assert_eq!(done.code, 0, "{done:?}");
    line
}

/// Whoever steers the meeting, by REST.
struct Operator<'a>(Page<'a>);

impl Operator<'_> {
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let answer = self.0.ask(method, &format!("/api/v1/meetings/weekly/{path}"), body);
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
        answer.body
    }

    /// Waits until so many wait: their identities, in the order of their coming.
    fn waiting(&self, count: usize) -> Vec<String> {
        wait::until(&format!("{count} wait"), PATIENCE, || {
            let lobby = self.ask("GET", "lobby", None);
            let waiting = lobby["waiting"].as_array()?;
            let identity = |it: &Value| it["identity"].as_str().unwrap_or_default().to_owned();
            (waiting.len() == count).then(|| waiting.iter().map(identity).collect())
        })
    }

    fn mutes(&self, identity: &str) {
        self.ask("POST", &format!("participants/{identity}/mute"), Some(&json!({})));
        wait::until(&format!("{identity} is muted"), PATIENCE, || {
            let roster = self.ask("GET", "participants", None);
            let all = roster["participants"].as_array()?.clone();
            let one = all.iter().find(|it| it["identity"] == identity)?["tracks"].clone();
            let microphone =
                one.as_array()?.iter().find(|it| it["source"] == "microphone")?.clone();
            (microphone["muted"] == true).then_some(())
        });
    }
}

/// The values of a field in a list.
fn each(list: &Value, field: &str) -> Vec<String> {
    let list = list.as_array().expect("a list").iter();
    list.map(|it| it[field].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_weekly_meeting_with_pins_and_a_lobby_from_the_first_start_to_its_records() {
    let story = Story::begin("a_weekly_meeting_from_the_first_start_to_its_records");
    let server = Server::start(&story);
    let admin = CommandLine::new(&story, &server, "admin");
    admin.first_sign_in(&server);
    let organiser = person(&story, &server, &admin, "olga", "organiser");
    let auditor = person(&story, &server, &admin, "arno", "auditor");
    person(&story, &server, &admin, "oleg", "operator");
    let booked = organiser.json(&[&["meeting", "create", "Weekly"], &WEEKLY[..]].concat());
    let number = booked["number"].as_str().expect("a number");
    let operator = Operator(Page::sign_in(&server, "oleg", PASSWORD).expect("signs in"));

    let [mut red, mut green] = [RED, GREEN].map(|mark| Browser::launch(mark, &server.origin));
    red.knock_through_page("weekly", Some(GUEST_PIN));
    let [red_id] = operator.waiting(1).try_into().expect("one waits");
    green.knock_through_page(number, Some(GUEST_PIN));
    let mut room = Baresip::start(&story, BaresipConfig::new(BLUE));
    room.dial(&server.dial(&format!("{number}**{GUEST_PIN}"), "udp"));
    let [_, green_id, room_id] = operator.waiting(3).try_into().expect("three wait");

    operator.ask("POST", &format!("lobby/{red_id}/admit"), None);
    red.wait_until_in();
    operator.ask("POST", "lobby/admit-all", None);
    green.wait_until_in();
    assert_eq!(red.wait_for_room_system(), room_id);
    for (person, other) in [(&mut red, &green_id), (&mut green, &red_id)] {
        person.wait_for_picture(other);
        person.wait_for_picture(&room_id);
    }
    wait::until("the room sees both", PATIENCE, || {
        let picture = Picture::read(&room.picture("room-sees.png"));
        [RED, GREEN].iter().all(|mark| picture.share(*mark, WHOLE) > 0.2).then_some(())
    });

    operator.mutes(&green_id);
    operator.mutes(&room_id);
    operator.ask("DELETE", &format!("participants/{green_id}"), None);
    green.wait_for("[data-ending=removed]");
    red.wait_until_gone(&green_id, GONE_WITHIN);
    operator.ask("PATCH", "live", Some(&json!({ "locked": true })));
    green.knock_through_page("weekly", Some(GUEST_PIN));
    let [again] = operator.waiting(1).try_into().expect("one waits");
    operator.ask("POST", &format!("lobby/{again}/refuse"), None);
    green.wait_for("[data-ending=declined]");
    operator.ask("POST", "end", None);
    red.wait_for("[data-ending=ended]");
    room.wait_for_end(Duration::from_secs(5));

    let run = wait::until("the meeting's end stands in the history", PATIENCE, || {
        let runs = admin.json(&["history", "meetings", "--meeting", "weekly"]);
        (runs[0]["cause"] == "ended").then(|| runs[0].clone())
    });
    assert_eq!((&run["name"], &run["most_participants"]), (&json!("Weekly"), &json!(3)), "{run}");
    let run = run["id"].as_str().expect("an id");
    let stays = wait::until("their leaving stands in the history", PATIENCE, || {
        let stays = admin.json(&["history", "participants", "--run", run]);
        let all = stays.as_array()?;
        (all.len() == 3 && all.iter().all(|it| !it["left_at"].is_null())).then(|| stays.clone())
    });
    for (who, cause) in [(&red_id, "meeting_ended"), (&green_id, "removed")] {
        let stay = stays.as_array().expect("stays").iter().find(|it| it["identity"] == **who);
        assert_eq!(stay.expect("a stay")["cause"], cause, "{stays}");
    }
    let legs = admin.json(&["history", "legs"]);
    assert_eq!(each(&legs, "meeting"), ["weekly"], "{legs}");

    // The audit log tells who did each of it, and the auditor alone may read it beside the
    // administrator.
    let log = auditor.json(&["audit", "list"]);
    let acts = log.as_array().expect("a list");
    let by = |who: &str, action: &str| {
        acts.iter().filter(|it| it["actor"]["name"] == who && it["action"] == action).count()
    };
    assert_eq!(by("admin", "account.create"), 3, "{log}");
    assert_eq!(by("olga", "meeting.create"), 1, "{log}");
    for act in ["admit", "admit_all", "mute", "remove", "set_live", "refuse", "end"] {
        let action = format!("live.{act}");
        assert!(by("oleg", &action) > 0, "{action} in {log}");
    }
    assert!(!log.to_string().contains(GUEST_PIN), "{log}");
    assert_eq!(organiser.run(&["audit", "list"], "").code, 4, "an organiser reads no audit log");
    let verified = auditor.run(&["audit", "verify"], "");
    assert!(verified.code == 0 && verified.printed.starts_with("Intact: "), "{verified:?}");
    server.stop();
}

#[test]
fn the_page_says_why_a_booked_meeting_lets_nobody_in() {
    let story = Story::begin("the_page_says_why_a_booked_meeting_lets_nobody_in");
    let server = Server::start(&story);
    let admin = CommandLine::new(&story, &server, "admin");
    admin.first_sign_in(&server);
    let once = |start| ["--start", start, "--minutes", "30", "--time-zone", "Europe/Moscow"];
    for (alias, options) in [
        ("later", &once("2100-01-04T09:00")[..]),
        ("past", &once("2001-01-08T09:00")),
        ("house", &["--who-may-join", "users"]),
    ] {
        admin.json(&[&["meeting", "create", alias, "--alias", alias], options].concat());
    }
    let mut red = Browser::launch(RED, &server.origin);
    for (meeting, word) in [("later", "2100"), ("past", "is over"), ("house", "account")] {
        let said = red.refused_through_page(meeting);
        assert!(said.contains(word), "{meeting}: {said}");
        red.screenshot(&story, &format!("{meeting}.png"), Some((390, 844)));
    }
    assert!(red.complaints().1.is_empty());
    server.stop();
}
