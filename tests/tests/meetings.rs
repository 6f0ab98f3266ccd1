//! Meetings that are booked, and everything else that is kept as it is given: by commands and REST,
//! against the program with its database.

use serde_json::{Value, json};
use tests::admin::{Answer, CommandLine, Done, PASSWORD, Page, ask};
use tests::python::read_ics;
use tests::server::Server;
use tests::story::Story;

/// A house with its administrator at a terminal.
struct House<'a> {
    story: &'a Story,
    server: &'a Server,
    admin: CommandLine,
}

impl<'a> House<'a> {
    fn of(story: &'a Story, server: &'a Server) -> Self {
        let admin = CommandLine::new(story, server, "admin");
        admin.first_sign_in(server);
        Self { story, server, admin }
    }

    /// Somebody of this role at a terminal of their own.
    fn person(&self, name: &str, role: &str) -> CommandLine {
        let email = format!("{name}@example.org");
        let made = self.admin.json(&["account", "create", name, "--role", role, "--email", &email]);
        let first = made["password"].as_str().expect("a first password");
        let line = CommandLine::new(self.story, self.server, name);
        let done = line.run(&["sign-in", name], &format!("{first}\n{PASSWORD}\n"));
        assert_eq!(done.code, 0, "{done:?}");
        line
    }

    /// Somebody without an account asks to come in.
    fn guest(&self, meeting: &str, pin: Option<&str>) -> Answer {
        let body = json!({ "name": "Guest", "pin": pin });
        ask(self.server, "POST", &format!("/api/v1/meetings/{meeting}/join"), "", Some(&body))
    }

    /// Somebody who is signed in asks to come in.
    fn comes(&self, name: &str, meeting: &str) -> Answer {
        let page = Page::sign_in(self.server, name, PASSWORD).expect("signs in");
        let body = json!({ "name": name });
        page.ask("POST", &format!("/api/v1/meetings/{meeting}/join"), Some(&body))
    }
}

fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{answer:?}");
}

fn failed(done: &Done, code: i32, words: &str) {
    assert_eq!((done.code, done.complaint.contains(words)), (code, true), "{done:?}");
}

/// A week that begins each Monday: it takes place all the time.
const ALWAYS_ON: [&str; 8] = [
    "--start",
    "2024-01-01T00:00",
    "--minutes",
    "10080",
    "--time-zone",
    "UTC",
    "--rrule",
    "FREQ=WEEKLY",
];

#[test]
fn an_organiser_books_a_weekly_meeting_that_guests_join_by_link_and_number() {
    let story = Story::begin_beside_others("an_organiser_books_a_weekly_meeting");
    // It follows the section [http] that the story begins with.
    let public = "public_url = \"https://meet.example.org\"\n";
    let server = Server::start_public(&story, public);
    let house = House::of(&story, &server);
    let [olga, uta] = ["olga", "uta"].map(|name| house.person(name, "organiser"));
    house.admin.json(&[
        "template",
        "create",
        "Standard",
        "--lobby",
        "true",
        "--participants",
        "20",
    ]);

    let book = ["meeting", "create", "Weekly", "--alias", "weekly", "--template", "standard"];
    let pins = ["--guest-pin", "1234", "--host-pin", "98765", "--invite", "guest@example.com"];
    let made = olga.json(&[&book[..], &ALWAYS_ON, &pins].concat());
    assert_eq!((&made["alias"], &made["kind"]), (&json!("weekly"), &json!("scheduled")));
    assert_eq!((&made["has_guest_pin"], &made["settings"]["lobby"]), (&json!(true), &json!(true)));
    assert_eq!(made["settings"]["limits"]["participants"], 20);
    let number = made["number"].as_str().expect("a number").to_owned();
    assert_eq!(number.len(), 9, "{number}");
    assert!(made.get("guest_pin").is_none() && !made.to_string().contains("98765"), "{made}");

    for meeting in ["weekly", "WEEKLY", &number] {
        refused(&house.guest(meeting, None), 401, "pin_required");
        refused(&house.guest(meeting, Some("4321")), 403, "pin_wrong");
        let waits = house.guest(meeting, Some("1234"));
        assert_eq!(
            (waits.status, &waits.body["meeting"]["id"]),
            (202, &json!("weekly")),
            "{waits:?}"
        );
        let host = house.guest(meeting, Some("98765"));
        assert_eq!((host.status, &host.body["meeting"]["id"]), (200, &json!("weekly")), "{host:?}");
        let owner = house.comes("olga", meeting);
        assert_eq!(owner.status, 200, "it is hers: {owner:?}");
    }

    let text = olga.run(&["meeting", "invitation", &number], "").printed;
    for part in [
        "Link: https://meet.example.org/m/weekly",
        "@meet.example.org",
        "olga invites you",
        "**PIN@",
        "every week",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let russian = olga.run(&["meeting", "invitation", "weekly", "--language", "ru"], "").printed;
    assert!(russian.contains("приглашает") && russian.contains("каждую неделю"), "{russian}");
    let ics = olga.run(&["meeting", "invitation", "weekly", "--ics"], "").printed;
    // 2024, in seconds since 1970.
    let read =
        read_ics(&json!({ "ics": ics, "from": 1_704_067_200, "until": 1_735_689_600, "at": [] }));
    assert_eq!(
        (&read["errors"], read["occurrences"].as_array().map(Vec::len)),
        (&json!([]), Some(53))
    );

    for command in ["show", "remove", "invitation"] {
        failed(&uta.run(&["meeting", command, "weekly"], ""), 5, "no meeting");
    }
    failed(&uta.run(&["meeting", "change", &number, "--lobby", "false"], ""), 5, "no meeting");
    assert_eq!(uta.json(&["meeting", "list"]), json!([]));
    assert_eq!(house.admin.json(&["meeting", "list", "week"]).as_array().map(Vec::len), Some(1));
    failed(&uta.run(&["meeting", "create", "x", "--alias", "Weekly"], ""), 6, "already");

    let changed =
        olga.json(&["meeting", "change", "weekly", "--lobby", "false", "--guest-pin", ""]);
    assert_eq!(
        (&changed["has_guest_pin"], &changed["has_host_pin"]),
        (&json!(false), &json!(true))
    );
    assert_eq!((&changed["schedule"], &changed["invited"]), (&made["schedule"], &made["invited"]));
    assert_eq!(
        house.guest(&number, None).status,
        202,
        "it runs, with the lobby that it began with"
    );
    assert_eq!(olga.run(&["meeting", "remove", "weekly"], "").code, 0);
    for meeting in ["weekly", &number] {
        refused(&house.guest(meeting, Some("98765")), 404, "meeting_not_found");
    }
    let log = house.admin.json(&["audit", "list", "--action", "meeting."]);
    let acts: Vec<_> =
        log.as_array().expect("a list").iter().map(|it| it["action"].clone()).collect();
    assert_eq!(acts, ["meeting.create", "meeting.change", "meeting.remove"]);
    assert!(!log.to_string().contains("1234"), "{log}");
    server.stop();
    let log = std::fs::read_to_string(story.file("server.log")).expect("the log");
    assert!(!log.contains("98765"), "a PIN stands in the log");
}

#[test]
fn who_may_join_and_when_is_told_before_anything_else() {
    let story = Story::begin_beside_others("who_may_join_and_when_is_told_before_anything_else");
    let server = Server::start_public(&story, "");
    let house = House::of(&story, &server);
    let olga = house.person("olga", "organiser");
    let ivan = house.person("ivan", "user");
    house.person("uta", "user");
    let book = |name: &str, options: &[&str]| {
        olga.json(&[&["meeting", "create", name, "--alias", name], options].concat())
    };
    book("house", &["--who-may-join", "users"]);
    refused(&house.guest("house", None), 401, "sign_in_first");
    assert_eq!(house.comes("ivan", "house").status, 200);
    let invited = ["--who-may-join", "invited", "--guest-pin", "1234", "--invite", "ivan=host"];
    let closed = book("closed", &invited);
    assert_eq!(closed["invited"][0]["name"], "ivan", "found by its name: {closed}");
    refused(&house.guest("closed", Some("1234")), 401, "sign_in_first");
    refused(&house.comes("uta", "closed"), 403, "not_invited");
    assert_eq!(house.comes("ivan", "closed").status, 200, "a host needs no PIN");
    // A page that does not send its token along is a guest's, whatever cookie it has.
    let page = Page::sign_in(&server, "ivan", PASSWORD).expect("signs in");
    let head = format!("Cookie: {}\r\n", page.cookie);
    let body = json!({ "name": "Ivan" });
    let forged = ask(&server, "POST", "/api/v1/meetings/closed/join", &head, Some(&body));
    refused(&forged, 401, "sign_in_first");

    let once = |start| ["--start", start, "--minutes", "30", "--time-zone", "Europe/Berlin"];
    book("later", &once("2100-01-04T09:00"));
    let later = house.guest("later", None);
    refused(&later, 403, "not_yet");
    let detail = later.body["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("2100-01-04T08:00:00Z") && detail.contains("07:45:00Z"), "{detail}");
    book("past", &once("2001-01-08T09:00"));
    let past = house.comes("olga", "past");
    refused(&past, 410, "over");
    assert!(past.body["detail"].as_str().unwrap_or_default().contains("2001-01-08T08:30:00Z"));

    let room = ivan.json(&["meeting", "personal"]);
    assert_eq!((&room["alias"], &room["kind"]), (&json!("ivan"), &json!("personal")));
    assert_eq!(ivan.json(&["meeting", "personal"])["id"], room["id"]);
    let room = ivan.json(&["meeting", "personal", "--lobby", "true", "--guest-pin", "4711"]);
    assert_eq!((&room["settings"]["lobby"], &room["has_guest_pin"]), (&json!(true), &json!(true)));
    for kept in [["--alias", "sales"], ["--dial-out", "sip:hall@pbx"], ["--owner", "anna"]] {
        let done = ivan.run(&["meeting", "personal", kept[0], kept[1]], "");
        assert_ne!(done.code, 0, "{kept:?}: {done:?}");
    }
    refused(&house.guest("ivan", None), 401, "pin_required");
    ivan.json(&["meeting", "personal", "--lobby", "false", "--guest-pin", ""]);
    assert_eq!(house.guest("ivan", None).status, 200);
    failed(&ivan.run(&["meeting", "create", "x"], ""), 4, "meetings.own.write");
    assert_eq!(house.admin.run(&["account", "remove", "ivan"], "").code, 0);
    refused(&house.guest("ivan", None), 404, "meeting_not_found");
    refused(&house.guest("nowhere", Some("1234")), 404, "meeting_not_found");
    let nobody = ["meeting", "create", "x", "--invite", "nobody"];
    failed(&olga.run(&nobody, ""), 7, "invited[0].account");
    server.stop();
}

#[test]
fn what_is_wrong_with_a_meeting_is_told_field_by_field() {
    let story = Story::begin_beside_others("what_is_wrong_with_a_meeting_is_told_field_by_field");
    let server = Server::start(&story);
    let (name, first) = server.first.clone().expect("a first administrator");
    let admin = Page::first_sign_in(&server, &name, &first);
    let wrong = json!({
        "name": " ", "alias": "123", "guest_pin": "1234", "host_pin": "1234",
        "settings": { "limits": { "participants": 0 } },
    });
    let post = |body: &Value| admin.ask("POST", "/api/v1/meetings", Some(body));
    refused(&post(&wrong), 400, "invalid");
    assert_eq!(post(&wrong).body["problems"][0]["field"], "host_pin");
    let wrong = json!({
        "name": " ", "alias": "123", "invited": [{ "email": "a b" }, { "account": "nobody" }],
        "schedule": { "start": "now", "minutes": 0, "time_zone": "UTC" },
        "settings": { "limits": { "participants": 0 } },
    });
    let told = post(&wrong).body["problems"].clone();
    let fields: Vec<_> = told.as_array().expect("a list").iter().map(|it| &it["field"]).collect();
    let expected = [
        "alias",
        "name",
        "schedule.start",
        "schedule.minutes",
        "invited[0].email",
        "settings.limits.participants",
        "invited[1].account",
    ];
    assert_eq!(fields, expected, "{told}");
    for unknown in [
        json!({ "name": "x", "kind": "personal" }),
        json!({ "name": "x", "settings": { "e2e": true } }),
        json!({ "name": "x", "settings": { "limits": { "kbit": 500 } } }),
        json!({ "name": null }),
        json!([]),
    ] {
        refused(&post(&unknown), 400, "malformed");
    }

    let made = post(&json!({ "name": "Совет" }));
    assert_eq!(made.status, 201, "{made:?}");
    let alias = made.body["alias"].as_str().expect("an alias").to_owned();
    let path = format!("/api/v1/meetings/{alias}");
    let tag = made.header("etag").expect("a version").to_owned();
    let change = |tag: &str, body: &Value| {
        let head = format!(
            "Cookie: {}\r\nX-CSRF-Token: {}\r\nIf-Match: {tag}\r\n",
            admin.cookie, admin.csrf
        );
        ask(&server, "PATCH", &path, &head, Some(body))
    };
    assert_eq!(change(&tag, &json!({ "description": "a" })).status, 200);
    refused(&change(&tag, &json!({ "description": "b" })), 412, "changed_meanwhile");
    let shown = admin.ask("GET", &path, None);
    assert_eq!((&shown.body["description"], shown.header("etag")), (&json!("a"), Some("\"2\"")));
    // A thousand people fit one request.
    let email = |number| json!({ "email": format!("somebody-{number}@example.org") });
    let invited: Vec<_> = (0..1_000).map(email).collect();
    assert_eq!(change("*", &json!({ "invited": invited })).status, 200);
    refused(&change("*", &json!({ "template": "x" })), 400, "invalid");
    server.stop();
}

#[test]
fn groups_room_systems_trunks_rules_and_contacts_are_kept_by_commands() {
    let story =
        Story::begin_beside_others("groups_room_systems_trunks_rules_and_contacts_are_kept");
    let server = Server::start(&story);
    let house = House::of(&story, &server);
    let admin = &house.admin;
    let secretly = |arguments: &[&str], secret: &str| {
        let done = admin.run(&[arguments, &["--json"]].concat(), &format!("{secret}\n"));
        assert_eq!(done.code, 0, "{done:?}");
        assert!(!done.printed.contains(secret), "{done:?}");
        serde_json::from_str::<Value>(&done.printed).expect("JSON")
    };
    let operator = house.person("oleg", "operator");

    let group = admin.json(&["group", "create", "IT", "--member", "oleg", "--member", "admin"]);
    assert_eq!(group["members"].as_array().map(Vec::len), Some(2));
    assert_eq!(admin.run(&["account", "remove", "admin"], "").code, 6);
    let hall = ["device", "create", "Hall", "--extension", "101", "--sip-user", "hall"];
    let device = secretly(&[&hall[..], &["--ask-password"]].concat(), "long enough");
    assert_eq!((&device["has_password"], &device["md5"]), (&json!(true), &json!(true)));
    let device =
        admin.json(&["device", "change", "hall", "--md5", "false", "--location", "3rd floor"]);
    assert_eq!((&device["has_password"], &device["md5"]), (&json!(true), &json!(false)));
    failed(&admin.run(&["device", "change", "Hall", "--md5", "true"], ""), 7, "password");
    failed(&admin.run(&["device", "change", "Hall", "--sip-user", "other"], ""), 7, "anew");
    failed(&admin.run(&["device", "create", "Hall", "--extension", "102"], ""), 6, "already");

    let pbx = ["trunk", "create", "PBX", "--kind", "registered", "--host", "pbx.example.org"];
    failed(&admin.run(&pbx, ""), 7, "user");
    let pbx = [&pbx[..], &["--user", "plenum", "--ask-secret"]].concat();
    let trunk = secretly(&pbx, "sealed away");
    assert_eq!(trunk["has_secret"], true);
    let trunk =
        admin.json(&["trunk", "change", "pbx", "--port", "5070", "--caller-name", "Plenum"]);
    assert_eq!((&trunk["port"], &trunk["caller"]["name"]), (&json!(5070), &json!("Plenum")));

    let rule = |name: &str, order: &str, action: &[&str]| {
        let rule = ["dial-rule", "create", name, "--order", order, "--direction", "out"];
        admin.json(&[&rule[..], action].concat())
    };
    rule("outside", "20", &["--called", r"9(\d+)", "--to-trunk", "pbx=$1"]);
    rule("forbidden", "10", &["--called", r"9900\d*", "--reject", "forbidden"]);
    let rules = operator.json(&["dial-rule", "list"]);
    let names: Vec<_> = rules.as_array().expect("a list").iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["forbidden", "outside"], "in their order");
    let trace = operator.json(&["dial-rule", "trace", "9123", "--direction", "out"]);
    assert_eq!(trace["decision"], json!({ "to": "trunk", "trunk": trunk["id"], "called": "123" }));
    let verdicts: Vec<_> =
        trace["steps"].as_array().expect("steps").iter().map(|it| &it["verdict"]).collect();
    assert_eq!(verdicts, ["called", "matched"]);
    failed(&admin.run(&["trunk", "remove", "PBX"], ""), 6, "dial_rule");
    let changed = admin.json(&["dial-rule", "change", "outside", "--reject", "busy"]);
    assert_eq!(changed["action"], json!({ "to": "reject", "cause": "busy" }));
    assert_eq!(admin.run(&["trunk", "remove", "PBX"], "").code, 0);

    admin.json(&["contact", "create", "Branch", "--address", "sip:hall@branch.example.org"]);
    failed(&admin.run(&["contact", "create", "Bad", "--address", "a b"], ""), 7, "address");
    failed(&operator.run(&["contact", "create", "x", "--address", "a"], ""), 4, "contacts.write");
    let table = operator.run(&["contact", "list"], "").printed;
    assert!(table.starts_with("NAME") && table.contains("sip:hall@branch.example.org"), "{table}");
    assert_eq!(admin.run(&["contact", "remove", "branch"], "").code, 0);
    assert_eq!(admin.run(&["account", "remove", "oleg"], "").code, 0);
    let id = group["id"].as_str().expect("an id");
    let left = admin.json(&["group", "show", id])["members"].clone();
    assert_eq!(left.as_array().map(Vec::len), Some(1), "who is gone is in no group");
    failed(&admin.run(&["contact", "show", "branch"], ""), 5, "no contact");
    let audit = admin.json(&["audit", "list"]).to_string();
    server.stop();
    let log = std::fs::read_to_string(story.file("server.log")).expect("the log");
    let database = std::fs::read(story.file("data").join("plenum.db")).expect("the database");
    for secret in ["long enough", "sealed away"] {
        assert!(!log.contains(secret) && !audit.contains(secret), "{secret}");
        let bytes = secret.as_bytes();
        assert!(!database.windows(bytes.len()).any(|it| it == bytes), "{secret} is kept in clear");
    }
}
