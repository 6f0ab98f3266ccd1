//! The people of the house: by commands and REST, against the program with its database.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::Command;

use serde_json::{Value, json};
use tests::admin::{CommandLine, PASSWORD, Page, ask};
use tests::server::{Server, free_udp_port, program};
use tests::story::Story;

/// Endpoints that ask for nothing, or for something else than an account.
const WITHOUT_ACCOUNT: [&str; 12] = [
    "get_openapi",
    "sign_in",
    "join_meeting",
    "get_session",
    "sign_out",
    "choose_password",
    "call",
    "get_leg",
    "change_leg",
    "hang_up",
    "wait_in_lobby",
    "leave_lobby",
];

fn names(list: &Value, field: &str) -> Vec<String> {
    let list = list.as_array().expect("a list");
    list.iter().map(|it| it[field].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_house_is_run_by_commands() {
    let story = Story::begin_beside_others("a_house_is_run_by_commands");
    let server = Server::start(&story);
    let admin = CommandLine::new(&story, &server, "admin");
    assert_eq!(admin.run(&["account", "list"], "").code, 3, "nobody is signed in");
    admin.first_sign_in(&server);
    let who = admin.json(&["who-am-i"]);
    assert_eq!(who["account"]["role"], "administrator");

    let made = admin.json(&["account", "create", "anna", "--role", "auditor"]);
    let first = made["password"].as_str().expect("a first password").to_owned();
    admin.json(&["account", "create", "boris", "--email", "boris@example.org"]);
    let again = admin.run(&["account", "create", "Boris"], "");
    assert_eq!((again.code, again.complaint.contains("already")), (6, true), "{again:?}");
    let wrong = admin.run(&["account", "create", "a b"], "");
    assert_eq!((wrong.code, wrong.complaint.contains("letters")), (7, true), "{wrong:?}");
    let list = admin.json(&["account", "list"]);
    assert_eq!(names(&list, "name"), ["admin", "anna", "boris"]);
    let changed = admin.json(&["account", "change", "boris", "--display-name", "Борис"]);
    assert_eq!(changed["display_name"], "Борис");
    let table = admin.run(&["account", "list", "борис"], "").printed;
    assert!(
        table.starts_with("NAME") && table.contains("Борис") && !table.contains("anna"),
        "{table}"
    );

    let anna = CommandLine::new(&story, &server, "anna");
    let done = anna.run(&["sign-in", "anna"], &format!("{first}\n{PASSWORD} of anna\n"));
    assert_eq!(done.code, 7, "the name is part of the password: {done:?}");
    let done = anna.run(&["sign-in", "anna"], &format!("{first}\n{PASSWORD}\n"));
    assert_eq!(done.code, 0, "{done:?}");
    let denied = anna.run(&["account", "list"], "");
    assert_eq!((denied.code, denied.complaint.contains("accounts.read")), (4, true), "{denied:?}");
    let denied = anna.run(&["account", "remove", "boris"], "");
    assert_eq!(denied.code, 4, "{denied:?}");
    let log = anna.json(&["audit", "list"]);
    let actions = names(&log, "action");
    for action in
        ["server.start", "account.create", "account.change", "session.begin", "token.create"]
    {
        assert!(actions.iter().any(|it| it == action), "{action} in {actions:?}");
    }
    let verified = anna.run(&["audit", "verify"], "");
    assert!(verified.code == 0 && verified.printed.starts_with("Intact: "), "{verified:?}");

    admin.json(&["account", "change", "anna", "--disable"]);
    assert_eq!(anna.run(&["who-am-i"], "").code, 3, "who is disabled is out at once");
    assert_eq!(admin.run(&["account", "remove", "anna"], "").code, 0);
    assert_eq!(admin.run(&["account", "show", "anna"], "").code, 5);
    let last = admin.run(&["account", "remove", "admin"], "");
    assert_eq!((last.code, last.complaint.contains("last administrator")), (6, true), "{last:?}");
    assert_eq!(admin.run(&["sign-out"], "").code, 0);
    assert_eq!(admin.run(&["account", "list"], "").code, 3);

    server.stop();
    let log = std::fs::read_to_string(story.file("server.log")).expect("the log");
    for secret in [PASSWORD, &first] {
        assert!(!log.contains(secret), "a password stands in the log");
    }
}

#[test]
fn a_start_that_fails_leaves_no_account_whose_password_nobody_knows() {
    let story = Story::begin_beside_others("a_start_that_fails_leaves_no_account");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let off = ["UDP", "TCP", "TLS"].map(|it| (format!("PLENUM_SIP_{it}_LISTEN"), "off"));
    let failed = Command::new(program())
        .args(["serve", "--dev", "--config", "/dev/null"])
        .env("PLENUM_DATA_DIR", story.file("data"))
        .env("PLENUM_HTTP_LISTEN", address)
        .env("PLENUM_SFU_SHARDS", "1")
        .env("PLENUM_SFU_UDP_PORT", free_udp_port().to_string())
        .env("PLENUM_SFU_TCP_PORT", "0")
        .envs(off)
        .output()
        .expect("the program starts");
    let complaint = String::from_utf8_lossy(&failed.stderr);
    assert!(!failed.status.success() && complaint.contains("cannot listen"), "{complaint}");
    let server = Server::start(&story);
    let (name, first) = server.first.clone().expect("the first start that came up tells it");
    assert!(Page::sign_in(&server, &name, &first).is_ok());
}

#[test]
fn a_lost_password_is_recovered_by_whoever_rules_the_machine() {
    let story = Story::begin_beside_others("a_lost_password_is_recovered");
    let server = Server::start(&story);
    let (name, first) = server.first.clone().expect("a first administrator");
    let page = Page::first_sign_in(&server, &name, &first);
    let recover = |who: &str, data: &str| {
        let done = Command::new(program())
            .args(["recover", who, "--dev", "--config", "/dev/null"])
            .env("PLENUM_DATA_DIR", story.file(data))
            .output()
            .expect("the program starts");
        let told = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (done.status.success(), told(&done.stdout), told(&done.stderr))
    };
    let (done, printed, complaint) = recover(&name, "data");
    assert!(done, "{complaint}");
    let made = printed.split_once("password ").and_then(|it| it.1.split(' ').next());
    let made = made.expect("a password");
    assert_eq!(page.ask("GET", "/api/v1/session", None).status, 401, "whoever was in is out");
    assert!(Page::sign_in(&server, &name, PASSWORD).is_err(), "the old password is none any more");
    let page = Page::sign_in(&server, &name, made).expect("it may sign in");
    let early = page.ask("GET", "/api/v1/accounts", None);
    assert_eq!((early.status, early.code()), (403, "not_allowed"), "it has to be changed first");
    let chosen = json!({ "old": made, "new": "seven yellow horses" });
    assert_eq!(page.ask("PUT", "/api/v1/session/password", Some(&chosen)).status, 204);
    let log = page.ask("GET", "/api/v1/audit?action=account.recover", None);
    assert_eq!(log.body["items"][0]["actor"]["kind"], "server", "{log:?}");

    let (done, _, complaint) = recover("nobody", "data");
    assert!(!done && complaint.contains("there is no account `nobody`"), "{complaint}");
    let (done, _, complaint) = recover(&name, "elsewhere");
    assert!(!done && complaint.contains("there is no database yet"), "{complaint}");
    assert!(!story.file("elsewhere").exists(), "nothing is made where nothing was");
}

/// A path with ids that nobody has.
fn path(template: &str) -> String {
    // A stream of events has no end: this one has no beginning.
    template
        .replace("/api/v1/events", "/api/v1/events?meeting=%2F")
        .replace("{id}", "00000000-0000-7000-8000-000000000000")
        .replace("{leg}", "none")
        .replace("{who}", "none")
        .replace("{run}", "00000000-0000-7000-8000-000000000000")
        .replace("{stay}", "00000000-0000-7000-8000-000000000000")
}

#[test]
fn every_endpoint_asks_every_role_for_its_right() {
    let story = Story::begin_beside_others("every_endpoint_asks_every_role_for_its_right");
    let server = Server::start(&story);
    let (name, first) = server.first.clone().expect("a first administrator");
    let admin = Page::first_sign_in(&server, &name, &first);
    let people = conference::people::AccountRole::ALL
        .map(|role| (role, admin.person(&format!("the-{role}"), role.word())));
    let description = ask(&server, "GET", "/api/v1/openapi.json", "", None).body;
    let mut seen = BTreeSet::new();
    for (template, methods) in description["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let id = operation["operationId"].as_str().expect("an id").to_owned();
            seen.insert(id.clone());
            let needs = operation["security"][0]["session"][0].as_str();
            let Some(needs) = needs else {
                let known = WITHOUT_ACCOUNT.contains(&id.as_str());
                assert!(known, "{id} names no right and is not known to need none");
                continue;
            };
            let right = needs.parse().unwrap_or_else(|error| panic!("{id}: {error}"));
            let (method, path) = (method.to_uppercase(), path(template));
            let nobody = ask(&server, &method, &path, "", None);
            assert_eq!(nobody.status, 401, "{id}, asked by nobody: {nobody:?}");
            for (role, page) in &people {
                let answer = page.ask(&method, &path, Some(&json!({})));
                let refused = answer.status == 403 && answer.code() == "not_allowed";
                assert_eq!(refused, !role.has(right), "{id}, asked by {role}: {answer:?}");
                assert!(answer.status < 500, "{id}, asked by {role}: {answer:?}");
            }
        }
    }
    for id in WITHOUT_ACCOUNT {
        assert!(seen.contains(id), "there is no endpoint {id} any more");
    }
}

#[test]
fn a_session_cannot_be_forged_fixed_or_used_by_another_site() {
    let story =
        Story::begin_beside_others("a_session_cannot_be_forged_fixed_or_used_by_another_site");
    let server = Server::start(&story);
    let (name, first) = server.first.clone().expect("a first administrator");
    let admin = Page::first_sign_in(&server, &name, &first);
    let new = json!({ "name": "mallory" });
    let with = |head: &str| ask(&server, "POST", "/api/v1/accounts", head, Some(&new));
    let cookie = format!("Cookie: {}\r\n", admin.cookie);
    let csrf = format!("X-CSRF-Token: {}\r\n", admin.csrf);

    assert_eq!(with(&cookie).code(), "csrf_token_missing");
    assert_eq!(with(&format!("{cookie}X-CSRF-Token: 0\r\n")).code(), "csrf_token_missing");
    let elsewhere = format!("{cookie}{csrf}Origin: https://evil.example\r\n");
    assert_eq!(with(&elsewhere).code(), "wrong_origin");
    let null = format!("{cookie}{csrf}Origin: null\r\n");
    assert_eq!(with(&null).code(), "wrong_origin");
    assert_eq!(with(&format!("Cookie: plenum=forged\r\n{csrf}")).status, 401);
    let own = format!("{cookie}{csrf}Origin: {}\r\n", server.origin);
    assert_eq!(with(&own).status, 201);

    // Whoever planted a cookie before the sign-in does not have the session after it.
    let planted = "Cookie: plenum=planted\r\n";
    let shown = json!({ "name": name, "password": PASSWORD });
    let signed_in = ask(&server, "POST", "/api/v1/session", planted, Some(&shown));
    let set = signed_in.header("set-cookie").expect("a cookie").to_owned();
    assert!(!set.contains("planted") && set.contains("HttpOnly; SameSite=Strict"), "{set}");
    assert_eq!(ask(&server, "GET", "/api/v1/session", planted, None).status, 401);
    let cross = "Origin: https://evil.example\r\n";
    let cross = ask(&server, "POST", "/api/v1/session", cross, Some(&shown));
    assert_eq!(cross.code(), "wrong_origin", "nobody is signed in by another site either");

    // Signed out is signed out, whoever kept the cookie.
    assert_eq!(admin.ask("DELETE", "/api/v1/session", None).status, 204);
    assert_eq!(admin.ask("GET", "/api/v1/session", None).status, 401);
}

#[test]
fn what_is_read_is_what_is_changed() {
    let story = Story::begin_beside_others("what_is_read_is_what_is_changed");
    let server = Server::start(&story);
    let (name, first) = server.first.clone().expect("a first administrator");
    let admin = Page::first_sign_in(&server, &name, &first);
    let made = admin.ask("POST", "/api/v1/accounts", Some(&json!({ "name": "anna" })));
    let id = made.body["account"]["id"].as_str().expect("an id").to_owned();
    let path = format!("/api/v1/accounts/{id}");
    let read = admin.ask("GET", &path, None);
    let tag = read.header("etag").expect("a version").to_owned();
    let change = |tag: &str, name: &str| {
        let head = format!(
            "Cookie: {}\r\nX-CSRF-Token: {}\r\nIf-Match: {tag}\r\n",
            admin.cookie, admin.csrf
        );
        ask(&server, "PATCH", &path, &head, Some(&json!({ "display_name": name })))
    };
    let changed = change(&tag, "A");
    assert_eq!((changed.status, &changed.body["display_name"]), (200, &json!("A")));
    assert_eq!(change(&tag, "B").code(), "changed_meanwhile");
    assert_eq!(change("old", "B").code(), "if_match_invalid");
    assert_eq!(change(changed.header("etag").expect("a version"), "C").status, 200);

    for number in 0..7 {
        let new = json!({ "name": format!("p{number}") });
        assert_eq!(admin.ask("POST", "/api/v1/accounts", Some(&new)).status, 201);
    }
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let page = admin.ask("GET", &format!("/api/v1/accounts?limit=4{after}"), None);
        all.extend(names(&page.body["items"], "name"));
        let Some(next) = page.body["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    let expected = ["admin", "anna", "p0", "p1", "p2", "p3", "p4", "p5", "p6"];
    assert_eq!(all, expected);
    for bad in ["limit=0", "limit=x", "after=x", "q=%00", "nonsense=1"] {
        let answer = admin.ask("GET", &format!("/api/v1/accounts?{bad}"), None);
        assert_eq!(answer.code(), "query_invalid", "{bad}: {answer:?}");
    }
}
