//! What peers send to do harm: over the wire, against the program with its database.
//!
//! What is proved elsewhere is not told again: sessions that are forged, fixed or used by another
//! site, and cursors (`people.rs`), cells of CSV (`api::csv`), invitations (`invitations.rs`), heads
//! of requests (`api::doors`).

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use conference::access::{Grant, KeyRights, Keys, VideoGrant};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tests::admin::{Answer, PASSWORD, Page, ask};
use tests::person::PATIENCE;
use tests::server::{Server, program};
use tests::story::Story;
use tests::{token, wait};

/// Reads the server as its first administrator.
fn administrator(server: &Server) -> Page<'_> {
    let (name, first) = server.first.clone().expect("a first administrator");
    Page::first_sign_in(server, &name, &first)
}

/// Percent-encoded, all of it.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Bytes as they are, and what comes back until the server closes or keeps silent.
fn raw(server: &Server, request: &str) -> String {
    let mut stream = TcpStream::connect(server.http).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    // It may refuse before it has read all.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|it| it.parse().ok()).unwrap_or_default()
}

#[test]
fn what_is_searched_for_is_never_sql() {
    let story = Story::begin_beside_others("what_is_searched_for_is_never_sql");
    let server = Server::start(&story);
    let admin = administrator(&server);
    assert_eq!(admin.ask("POST", "/api/v1/accounts", Some(&json!({ "name": "anna" }))).status, 201);
    for evil in [
        "' OR '1'='1",
        "'; DROP TABLE records; --",
        "\" OR \"\"=\"",
        "%",
        "_",
        "\\",
        "a' UNION SELECT body FROM records --",
        "$1",
        "?1",
    ] {
        let text = encoded(evil);
        let found = admin.ask("GET", &format!("/api/v1/accounts?q={text}"), None);
        assert_eq!((found.status, &found.body["items"]), (200, &json!([])), "{evil}: {found:?}");
        for field in ["actor", "target", "action"] {
            let found = admin.ask("GET", &format!("/api/v1/audit?{field}={text}"), None);
            assert_eq!(
                (found.status, &found.body["items"]),
                (200, &json!([])),
                "{evil}: {found:?}"
            );
        }
        let found =
            admin.ask("GET", &format!("/api/v1/history/participants?identity={text}"), None);
        assert_eq!((found.status, &found.body["items"]), (200, &json!([])), "{evil}: {found:?}");
        for path in ["accounts", "sessions", "tokens"] {
            let method = if path == "accounts" { "GET" } else { "DELETE" };
            let gone = admin.ask(method, &format!("/api/v1/{path}/{text}"), None);
            assert_eq!(gone.status, 404, "{path} {evil}: {gone:?}");
        }
        for query in ["accounts?after=", "history/legs?since="] {
            let refused = admin.ask("GET", &format!("/api/v1/{query}{text}"), None);
            assert_eq!(refused.status, 400, "{query}{evil}: {refused:?}");
        }
        // Some of it may be a meeting's id.
        let legs = admin.ask("GET", &format!("/api/v1/history/legs?meeting={text}"), None);
        assert!(legs.status == 400 || legs.body["items"] == json!([]), "{evil}: {legs:?}");
        let named = admin.ask("POST", "/api/v1/accounts", Some(&json!({ "name": evil })));
        assert_eq!(named.status, 400, "{evil}: {named:?}");
        let shown = json!({ "display_name": evil });
        let id = admin.account["id"].as_str().expect("an id");
        let changed = admin.ask("PATCH", &format!("/api/v1/accounts/{id}"), Some(&shown));
        assert_eq!((changed.status, &changed.body["display_name"]), (200, &json!(evil)));
    }
    let all = admin.ask("GET", "/api/v1/accounts?q=ann", None);
    assert_eq!(all.body["items"].as_array().map(Vec::len), Some(1), "{all:?}");
    let log = admin.ask("GET", "/api/v1/audit/verification", None);
    assert_eq!(log.body["intact"], true, "{log:?}");
}

#[test]
fn nobody_writes_the_lines_of_an_answers_head() {
    let story = Story::begin_beside_others("nobody_writes_the_lines_of_an_answers_head");
    let server = Server::start_with(&story, "[[meeting]]\nid = \"open\"\n");
    let admin = administrator(&server);
    let evil = "a\r\nX-Evil: yes\r\n\r\n<script>";
    let encoded = encoded(evil);
    let head = format!("Cookie: {}\r\n", admin.cookie);
    let mut answers = Vec::new();
    for path in [
        format!("/{encoded}"),
        format!("/m/{encoded}"),
        format!("/api/v1/{encoded}"),
        format!("/api/v1/accounts/{encoded}"),
        format!("/api/v1/history/meetings.csv?meeting={encoded}"),
        format!("/api/v1/history/participants.csv?identity={encoded}"),
        format!("/api/v1/events?meeting={encoded}"),
        format!("/rtc/validate?access_token={encoded}"),
    ] {
        answers.push(server.request("GET", &path, &head, ""));
    }
    let body = json!({ "name": evil }).to_string();
    let json_head = "Content-Type: application/json\r\n";
    answers.push(server.request("POST", "/api/v1/meetings/open/join", json_head, &body));
    // A line end that is none, a name with a space, a line that goes on.
    for line in ["X: a\rX-Evil: yes", "X Y: a", "X: a\r\n X-Evil: yes", "X: \0"] {
        answers.push(raw(
            &server,
            &format!(
                "GET /api/v1/session HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{line}\r\n\r\n"
            ),
        ));
    }
    for answer in answers {
        let head = answer.split("\r\n\r\n").next().unwrap_or_default().to_lowercase();
        assert!(!head.contains("x-evil"), "{answer}");
        assert!((200..500).contains(&status(&answer)), "{answer}");
    }
    for (number, name) in ["a\r\nb", "a\u{0}b", "a\u{1b}[2J"].iter().enumerate() {
        let new = json!({ "name": format!("name{number}"), "display_name": name });
        let made = admin.ask("POST", "/api/v1/accounts", Some(&new));
        let shown = made.body["account"]["display_name"].as_str().unwrap_or_default();
        assert!(made.status == 400 || shown == "a b", "{name:?}: {made:?}");
    }
}

#[test]
fn a_table_program_runs_no_formula_of_a_guest() {
    let story = Story::begin_beside_others("a_table_program_runs_no_formula_of_a_guest");
    let server = Server::start_with(&story, "[[meeting]]\nid = \"open\"\n");
    let admin = administrator(&server);
    let formula = "=HYPERLINK(\"http://evil.example\",\"x\")";
    // A participant is one from its signalling on.
    let joined = token::to_join(formula, "open");
    let mut stream = TcpStream::connect(server.http).expect("a connection");
    write!(
        stream,
        "GET /rtc?access_token={joined}&protocol=15&auto_subscribe=1 HTTP/1.1\r\nHost: a\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .expect("the request is sent");
    let file = wait::until("the guest stands in the history", PATIENCE, || {
        let head = format!("Cookie: {}\r\n", admin.cookie);
        let file = server.request("GET", "/api/v1/history/participants.csv", &head, "");
        file.contains("HYPERLINK").then_some(file)
    });
    let cell = format!(",\"'{}\",", formula.replace('"', "\"\""));
    assert!(file.contains(&cell), "{file}");
    assert!(!file.contains(",=") && !file.contains(",\"="), "{file}");
}

/// Asks an endpoint of the description with a body that nobody needs.
fn endpoints_with_bodies(server: &Server) -> Vec<(String, String)> {
    let description = ask(server, "GET", "/api/v1/openapi.json", "", None).body;
    let mut found = Vec::new();
    for (path, methods) in description["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            if !operation["requestBody"].is_null() {
                let path = path.split('/').map(|it| if it.starts_with('{') { "open" } else { it });
                found.push((method.to_uppercase(), path.collect::<Vec<_>>().join("/")));
            }
        }
    }
    found
}

#[test]
fn bodies_that_are_too_large_or_too_slow_are_given_up() {
    let story = Story::begin_beside_others("bodies_that_are_too_large_or_too_slow_are_given_up");
    let server = Server::start_with(&story, "[[meeting]]\nid = \"open\"\n");
    let admin = administrator(&server);
    let endpoints = endpoints_with_bodies(&server);
    assert!(endpoints.len() > 10, "{endpoints:?}");
    let large = json!({ "name": "x".repeat(1 << 20) });
    let mut too_large = 0;
    for (method, path) in &endpoints {
        // It closes while we write: the answer may be lost, never a server.
        let Some(answer) = admin.try_ask(method, path, Some(&large)) else { continue };
        let refused = [400, 401, 403, 404, 413].contains(&answer.status);
        assert!(refused, "{method} {path}: {answer:?}");
        too_large += usize::from(answer.status == 413);
    }
    assert!(too_large > 0, "none was told that it was too much");
    let nested = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
    let deep =
        server.request("POST", "/api/v1/session", "Content-Type: application/json\r\n", &nested);
    assert_eq!(status(&deep), 400, "{deep}");

    let began = Instant::now();
    let mut stream = TcpStream::connect(server.http).expect("a connection");
    stream
        .write_all(
            b"POST /api/v1/session HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
              Content-Length: 4000\r\n\r\n",
        )
        .expect("the head is sent");
    let mut reader = stream.try_clone().expect("the same connection");
    let dripping = std::thread::spawn(move || {
        while stream.write_all(b" ").is_ok() && began.elapsed() < 3 * PATIENCE {
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    let mut answer = vec![0; 4096];
    let read = reader.read(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert_eq!(status(&answer), 408, "{answer}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    drop(reader);
    assert_eq!(admin.ask("GET", "/api/v1/session", None).status, 200, "others are served");
    // The server hangs up at some time: the thread ends by itself, or with the test.
    drop(dripping);
}

#[test]
fn a_wrong_host_or_origin_gets_nothing() {
    let story = Story::begin_beside_others("a_wrong_host_or_origin_gets_nothing");
    let server = Server::start_with(&story, "[[meeting]]\nid = \"open\"\n");
    let admin = administrator(&server);
    for path in
        ["/", "/m/open", "/api/v1/openapi.json", "/api/v1/session", "/rtc/validate", "/healthz"]
    {
        for host in ["evil.example", "evil.example:1\r\nHost: other.example", "", "[", "a b", "a@b"]
        {
            let answer = raw(
                &server,
                &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
            );
            assert!((200..500).contains(&status(&answer)), "{path} {host:?}: {answer}");
            assert!(!answer.contains("evil.example"), "{path} {host:?}: {answer}");
        }
    }
    let cookie = format!("Cookie: {}\r\nX-CSRF-Token: {}\r\n", admin.cookie, admin.csrf);
    for origin in ["https://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:1", "x"] {
        let head = format!("{cookie}Origin: {origin}\r\n");
        let changed =
            ask(&server, "POST", "/api/v1/accounts", &head, Some(&json!({ "name": "eve" })));
        assert_eq!(changed.code(), "wrong_origin", "{origin}: {changed:?}");
        // Whatever may be read without a token, no other site's page reads an answer of the API.
        for method in ["GET", "OPTIONS"] {
            let head = format!("{head}Access-Control-Request-Method: POST\r\n");
            let answer = ask(&server, method, "/api/v1/accounts", &head, None);
            assert_eq!(answer.header("access-control-allow-origin"), None, "{answer:?}");
            assert_eq!(answer.header("access-control-allow-credentials"), None, "{answer:?}");
        }
    }
    let lookalike = server.origin.replace("127.0.0.1", "127.0.0.1.evil.example");
    let head = format!("{cookie}Origin: {lookalike}\r\n");
    let changed = ask(&server, "POST", "/api/v1/accounts", &head, Some(&json!({ "name": "eve" })));
    assert_eq!(changed.code(), "wrong_origin", "{changed:?}");
}

/// A LiveKit token of the key of `--dev`.
fn livekit(issuer: &str, secret: &str, at: SystemTime) -> String {
    let mut keys = Keys::new();
    keys.add_weak(issuer, secret, KeyRights::ALL).expect("a key");
    let video = VideoGrant {
        room_admin: true,
        room_list: true,
        room_join: true,
        room: Some("open".into()),
        ..VideoGrant::default()
    };
    let identity = Some(types::Identity::new("mallory"));
    let grant = Grant { issuer: issuer.into(), identity, video, ..Grant::default() };
    keys.sign(&grant, Duration::from_secs(600), at).expect("a token")
}

/// The same claims under another head, signed so or not at all.
fn recast(good: &str, head: &Value, signature: &str) -> String {
    let claims = good.split('.').nth(1).expect("claims");
    format!("{}.{claims}.{signature}", base64url(head.to_string().as_bytes()))
}

fn base64url(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn with_algorithm(good: &str, algorithm: Algorithm) -> String {
    let claims = good.split('.').nth(1).expect("claims");
    use base64::Engine;
    let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(claims).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    let key = EncodingKey::from_secret(b"secret");
    jsonwebtoken::encode(&Header::new(algorithm), &claims, &key).expect("a token")
}

#[test]
fn tokens_that_are_forged_old_or_of_another_algorithm_open_nothing() {
    let story = Story::begin_beside_others("tokens_that_are_forged_old_or_of_another_algorithm");
    let server = Server::start_with(&story, "[[meeting]]\nid = \"open\"\n");
    let now = SystemTime::now();
    let hour = Duration::from_secs(3600);
    let good = livekit("devkey", "secret", now);
    let signature = good.rsplit('.').next().expect("a signature");
    let asked = |token: &str| {
        let head = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
        [
            status(&server.request("GET", "/api/v1/meetings/open/participants", &head, "")),
            status(&server.request("POST", "/twirp/livekit.RoomService/ListRooms", &head, "{}")),
            status(&server.request("GET", &format!("/rtc/validate?access_token={token}"), "", "")),
        ]
    };
    // Nobody is in the meeting: there is nothing to look at.
    assert_eq!(asked(&good), [404, 200, 200]);
    let head = |alg: &str| json!({ "alg": alg, "typ": "JWT" });
    let key = json!({ "alg": "HS256", "typ": "JWT", "jwk": { "kty": "oct", "k": "YQ" }, "kid": "../../dev/null" });
    let mut changed = good.clone().into_bytes();
    let middle = changed.iter().position(|it| *it == b'.').expect("a part") + 10;
    changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
    let forged = [
        ("no algorithm", recast(&good, &head("none"), "")),
        ("none, signed", recast(&good, &head("none"), signature)),
        ("None", recast(&good, &head("None"), "")),
        ("HS256 without a signature", recast(&good, &head("HS256"), "")),
        ("HS512 with the right key", with_algorithm(&good, Algorithm::HS512)),
        ("HS384 with the right key", with_algorithm(&good, Algorithm::HS384)),
        ("RS256 with an HMAC", recast(&good, &head("RS256"), signature)),
        ("ES256 with an HMAC", recast(&good, &head("ES256"), signature)),
        ("a key of its own in the head", recast(&good, &key, signature)),
        ("another secret", livekit("devkey", "another", now)),
        ("another key", livekit("nobody", "secret", now)),
        ("changed claims", String::from_utf8(changed).expect("text")),
        ("expired", livekit("devkey", "secret", now - hour)),
        ("not yet", livekit("devkey", "secret", now + hour)),
        ("two parts", good.rsplit_once('.').expect("parts").0.to_owned()),
        ("four parts", format!("{good}.{signature}")),
        ("nothing", String::new()),
        ("endless", "a".repeat(5000)),
    ];
    for (what, token) in &forged {
        let answers = asked(token);
        assert!(answers.iter().all(|it| [401, 431].contains(it)), "{what}: {answers:?}");
    }
    let elsewhere = format!("Authorization: Bearer {good}\r\n");
    let other = server.request("GET", "/api/v1/meetings/other/participants", &elsewhere, "");
    assert_eq!(status(&other), 403, "good for one meeting alone: {other}");
}

#[test]
fn an_api_token_that_ended_or_was_changed_opens_nothing() {
    let story = Story::begin_beside_others("an_api_token_that_ended_or_was_changed");
    let server = Server::start(&story);
    let admin = administrator(&server);
    let by = |head: &str| ask(&server, "GET", "/api/v1/session", head, None).status;
    let bearer = |token: &str| by(&format!("Authorization: Bearer {token}\r\n"));
    let make = |ends_at: Option<String>| {
        let new = json!({ "name": "t", "scopes": ["own"], "ends_at": ends_at });
        let made = admin.ask("POST", "/api/v1/tokens", Some(&new));
        assert_eq!(made.status, 201, "{made:?}");
        let text = |it: &Value| it.as_str().expect("a text").to_owned();
        (text(&made.body["token"]["id"]), text(&made.body["secret"]))
    };
    let (id, secret) = make(None);
    assert_eq!(bearer(&secret), 200);
    assert_eq!(bearer(&secret.to_uppercase()), 401);
    assert_eq!(bearer(secret.trim_start_matches("plenum_")), 401);
    assert_eq!(bearer(&format!("{secret}A")), 401);
    assert_eq!(by(&format!("Cookie: plenum={secret}\r\n")), 401, "a token is no session");
    let session = admin.cookie.split_once('=').expect("a cookie").1;
    assert_eq!(bearer(session), 401, "a session is no token");
    let refused = ask(
        &server,
        "POST",
        "/api/v1/accounts",
        &format!("Authorization: Bearer {secret}\r\n"),
        Some(&json!({ "name": "eve" })),
    );
    assert_eq!(refused.code(), "not_allowed", "{refused:?}");
    assert_eq!(admin.ask("DELETE", &format!("/api/v1/tokens/{id}"), None).status, 204);
    assert_eq!(bearer(&secret), 401, "what has ended is not shown again");

    let soon = Duration::from_secs(2);
    let ends = SystemTime::now() + soon;
    let seconds = ends.duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_secs();
    let (_, short) = make(Some(written(seconds)));
    wait::until("the token ends", PATIENCE, || (bearer(&short) == 401).then_some(()));
    let past = json!({ "name": "t", "scopes": ["own"], "ends_at": "2001-01-01T00:00:00Z" });
    assert_eq!(admin.ask("POST", "/api/v1/tokens", Some(&past)).code(), "token_invalid");

    // A password that is chosen anew ends what somebody else may have of the old one.
    let (name, _) = server.first.clone().expect("a first administrator");
    let other = Page::sign_in(&server, &name, PASSWORD).expect("it may sign in");
    let chosen = json!({ "old": PASSWORD, "new": "seven yellow giraffes" });
    assert_eq!(admin.ask("PUT", "/api/v1/session/password", Some(&chosen)).status, 204);
    assert_eq!(other.ask("GET", "/api/v1/session", None).status, 401);
    assert_eq!(admin.ask("GET", "/api/v1/session", None).status, 200);
}

/// RFC 3339 of seconds since 1970.
fn written(seconds: u64) -> String {
    let done = Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .expect("date starts");
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

#[test]
fn whether_there_is_such_a_user_shows_neither_by_count_nor_by_time() {
    let story = Story::begin_beside_others("whether_there_is_such_a_user_shows_neither");
    let server = Server::start(&story);
    let admin = administrator(&server);
    let try_as = |name: &str| {
        let shown = json!({ "name": name, "password": "wrong wrong wrong" });
        let began = Instant::now();
        let answer = ask(&server, "POST", "/api/v1/session", "", Some(&shown));
        (answer, began.elapsed())
    };
    for number in 0..6 {
        let new = json!({ "name": format!("known{number}"), "password": PASSWORD });
        assert_eq!(admin.ask("POST", "/api/v1/accounts", Some(&new)).status, 201);
    }
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for number in 0..6 {
        for (word, times) in [("known", &mut known), ("other", &mut unknown)] {
            for _ in 0..2 {
                let (answer, time) = try_as(&format!("{word}{number}"));
                assert_eq!((answer.status, answer.code()), (401, "sign_in_wrong"), "{answer:?}");
                times.push(time);
            }
        }
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64()
    };
    let (known, unknown) = (median(&mut known), median(&mut unknown));
    let ratio = known / unknown;
    assert!((0.6..1.7).contains(&ratio), "{known} s for who is there, {unknown} s for who is not");

    let answers = |name: &str| -> Vec<(u16, String, Value)> {
        let said = |answer: Answer| {
            // How many seconds to wait differs by when it is asked.
            let wait = answer.header("retry-after").map(|_| ());
            (answer.status, answer.code().to_owned(), json!(wait.is_some()))
        };
        (0..8).map(|_| said(try_as(name).0)).collect()
    };
    let there = answers("known0");
    assert_eq!(there, answers("other0"), "who is not there is counted like who is");
    assert_eq!(there.last().map(|it| it.0), Some(429), "{there:?}");
    let right = Page::sign_in(&server, "known0", PASSWORD);
    assert_eq!(right.err().map(|it| it.status), Some(429), "the right one comes too late");
}

#[test]
fn a_pin_shows_neither_by_count_nor_by_time() {
    let story = Story::begin_beside_others("a_pin_shows_neither_by_count_nor_by_time");
    let meeting = "[[meeting]]\nid = \"closed\"\nguest_pin = \"8392017465\"\n";
    let server = Server::start_with(&story, meeting);
    let try_with = |pin: &str| {
        let body = json!({ "name": "A", "pin": pin });
        let began = Instant::now();
        let answer = ask(&server, "POST", "/api/v1/meetings/closed/join", "", Some(&body));
        (answer, began.elapsed())
    };
    let (mut near, mut far) = (Duration::MAX, Duration::MAX);
    for _ in 0..5 {
        for (pin, best) in [("8392017460", &mut near), ("0000000000", &mut far)] {
            let (answer, time) = try_with(pin);
            assert_eq!((answer.status, answer.code()), (403, "pin_wrong"), "{answer:?}");
            *best = time.min(*best);
        }
    }
    let apart = near.abs_diff(far);
    assert!(apart < Duration::from_millis(20), "{near:?} for nine right digits, {far:?} for none");
    let late = try_with("8392017465").0;
    assert_eq!((late.status, late.code()), (429, "too_many_attempts"), "{late:?}");
    assert!(late.header("retry-after").is_some(), "{late:?}");
}

/// What nobody may find anywhere but where it was shown.
struct Secrets(Vec<(&'static str, String)>);

impl Secrets {
    fn are_not_in(&self, place: &str, text: &str) {
        for (what, secret) in &self.0 {
            if let Some(at) = text.find(secret.as_str()) {
                let around = text.get(at.saturating_sub(200)..at).unwrap_or_default();
                panic!("{what} stands in {place}, after: {around}");
            }
        }
    }
}

/// Everything that was answered, but for answers whose purpose is to show a secret once.
#[derive(Default)]
struct Heard(RefCell<String>);

impl Heard {
    fn ask(&self, server: &Server, method: &str, path: &str, head: &str, body: &str) -> Answer {
        let json = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let answer = server.request(method, path, &format!("{head}{json}"), body);
        self.0.borrow_mut().push_str(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
        Answer {
            status: status(&answer),
            head: head.to_owned(),
            body: serde_json::from_str(body).unwrap_or_default(),
        }
    }
}

const MARKED_PASSWORD: &str = "marked-elephant-password";
const MARKED_PIN: &str = "8391720465";
const MARKED_KEY: &str = "marked-key-secret-of-the-portal-0123456789";

/// What goes wrong with secrets in it: whoever mistypes is told so, without the secret.
fn blunders(server: &Server, heard: &Heard, admin: &Page<'_>) {
    let head = format!("Cookie: {}\r\nX-CSRF-Token: {}\r\n", admin.cookie, admin.csrf);
    let number: u64 = MARKED_PIN.parse().expect("a number");
    for (path, body) in [
        ("session", format!("{{\"name\":\"anna\",\"password\":\"{MARKED_PASSWORD}\"")),
        ("session", json!({ "name": "anna", "password": [MARKED_PASSWORD] }).to_string()),
        ("session", json!({ "name": [], "password": MARKED_PASSWORD }).to_string()),
        ("session", json!({ "name": MARKED_PASSWORD, "password": "x" }).to_string()),
        (
            "session",
            json!({ "name": "anna", "password": MARKED_PASSWORD, "code": true }).to_string(),
        ),
        ("session", json!({ "name": "anna", "password": MARKED_PASSWORD, "x": 1 }).to_string()),
        ("session", json!(MARKED_PASSWORD).to_string()),
        ("session", json!([MARKED_PASSWORD]).to_string()),
        ("meetings/closed/join", json!({ "name": "A", "pin": number }).to_string()),
        ("meetings/closed/join", json!({ "name": "A", "pin": [MARKED_PIN] }).to_string()),
        (
            "meetings/closed/join",
            json!({ "name": "A", "pin": format!("{MARKED_PIN}0") }).to_string(),
        ),
        ("meetings/open/join", json!({ "name": "A", "pin": MARKED_PIN }).to_string()),
        ("accounts", json!({ "name": "eve", "password": MARKED_PASSWORD, "role": 1 }).to_string()),
        ("accounts", json!({ "name": "anna", "password": MARKED_PASSWORD }).to_string()),
        ("accounts", json!({ "name": "a b", "password": MARKED_PASSWORD }).to_string()),
    ] {
        let answer = heard.ask(server, "POST", &format!("/api/v1/{path}"), &head, &body);
        assert!((400..500).contains(&answer.status) || path.ends_with("open/join"), "{answer:?}");
    }
    let path = "/api/v1/session/password";
    let short = json!({ "old": MARKED_PASSWORD, "new": "short" }).to_string();
    assert_eq!(heard.ask(server, "PUT", path, &head, &short).status, 403);
    let weak = json!({ "old": PASSWORD, "new": "admin admin" }).to_string();
    assert_eq!(heard.ask(server, "PUT", path, &head, &weak).status, 400);
}

/// A call to a meeting with its PIN in the address, and one that nobody can read.
fn call(server: &Server) {
    let dial = server.dial(&format!("closed**{MARKED_PIN}"), "udp");
    let address = dial.rsplit('@').next().expect("an address").to_owned();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let own = socket.local_addr().expect("its address");
    let invite = |body: &str| {
        format!(
            "INVITE {dial} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{}\r\n\
             From: <sip:a@{own}>;tag=1\r\nTo: <{dial}>\r\nCall-ID: {}@a\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:a@{own}>\r\nMax-Forwards: 70\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len(),
            body.len(),
            body.len()
        )
    };
    socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a time limit");
    for body in [
        "v=0\r\nnonsense",
        "",
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n",
    ] {
        socket.send_to(invite(body).as_bytes(), &address).expect("it is sent");
        let _ = socket.recv(&mut [0; 4096]);
    }
}

#[test]
fn secrets_stand_in_no_log_no_error_no_export_and_no_answer() {
    let story = Story::begin_beside_others("secrets_stand_nowhere");
    let configuration = format!(
        "[[key]]\nid = \"portal\"\nsecret = \"{MARKED_KEY}\"\nrights = [\"create_rooms\", \"sip_call\"]\n\
         [[meeting]]\nid = \"closed\"\nguest_pin = \"{MARKED_PIN}\"\nhost_pin = \"7410852963\"\n\
         [[meeting]]\nid = \"open\"\n[log]\nfilter = \"trace\"\n"
    );
    let server = Server::start_with(&story, &configuration);
    let heard = Heard::default();
    let (name, first) = server.first.clone().expect("a first administrator");
    let admin = administrator(&server);
    let mut secrets = Secrets(vec![
        ("the first password", first),
        ("a password", MARKED_PASSWORD.to_owned()),
        ("the administrator's password", PASSWORD.to_owned()),
        ("a PIN", MARKED_PIN.to_owned()),
        ("a host's PIN", "7410852963".to_owned()),
        ("a key's secret", MARKED_KEY.to_owned()),
        ("a session", admin.cookie.split_once('=').expect("a cookie").1.to_owned()),
    ]);
    let shown =
        |answer: &Answer, field: &str| answer.body[field].as_str().expect("a text").to_owned();
    let anna = json!({ "name": "anna", "password": MARKED_PASSWORD });
    assert_eq!(admin.ask("POST", "/api/v1/accounts", Some(&anna)).status, 201);
    let new = json!({ "name": "program", "scopes": ["own", "audit.read", "history.read"] });
    let token = shown(&admin.ask("POST", "/api/v1/tokens", Some(&new)), "secret");
    let factor = admin.ask("POST", "/api/v1/session/second-factor", None);
    secrets.0.push(("an API token", token.clone()));
    secrets.0.push(("a second factor", shown(&factor, "secret")));
    let code = json!({ "code": "000000" }).to_string();
    let head = format!("Cookie: {}\r\nX-CSRF-Token: {}\r\n", admin.cookie, admin.csrf);
    heard.ask(&server, "POST", "/api/v1/session/second-factor/confirm", &head, &code);

    blunders(&server, &heard, &admin);
    call(&server);
    let bearer = format!("Authorization: Bearer {token}\r\n");
    for path in [
        "session",
        "accounts",
        "tokens",
        "sessions",
        "audit?limit=500",
        "history/meetings",
        "history/meetings.csv",
        "history/participants.csv",
        "history/legs.csv",
        "openapi.json",
    ] {
        heard.ask(&server, "GET", &format!("/api/v1/{path}"), &bearer, "");
    }
    heard.ask(&server, "GET", &format!("/api/v1/{token}"), "", "");
    heard.ask(
        &server,
        "GET",
        "/api/v1/session",
        &format!("Authorization: Bearer {token}x\r\n"),
        "",
    );
    heard.ask(&server, "GET", "/metrics", "", "");
    let mut keys = Keys::new();
    keys.add("portal", MARKED_KEY, KeyRights::ALL).expect("a key");
    let video = VideoGrant { room_list: true, ..VideoGrant::default() };
    let grant = Grant { issuer: "portal".into(), video, ..Grant::default() };
    let jwt = keys.sign(&grant, Duration::from_secs(60), SystemTime::now()).expect("a token");
    for token in [jwt.clone(), format!("{jwt}x")] {
        let head = format!("Authorization: Bearer {token}\r\n");
        heard.ask(&server, "POST", "/twirp/livekit.RoomService/ListRooms", &head, "{}");
        heard.ask(&server, "GET", &format!("/rtc/validate?access_token={token}"), "", "");
    }
    secrets.0.push(("a LiveKit token", jwt));
    assert!(Page::sign_in(&server, &name, MARKED_PASSWORD).is_err());

    let backup = story.file("backup.gz");
    let done = Command::new(program())
        .args(["backup", "--config"])
        .arg(story.file("plenum.toml"))
        .arg(&backup)
        .env("PLENUM_DATA_DIR", story.file("data"))
        .output()
        .expect("the program starts");
    assert!(done.status.success(), "{done:?}");
    let plain = Command::new("gzip").arg("-dc").arg(&backup).output().expect("gzip starts");
    assert!(plain.status.success(), "{plain:?}");
    server.stop();
    let log = std::fs::read(story.file("server.log")).expect("the log");
    assert!(log.len() > 10_000, "the most talkative log has {} bytes", log.len());
    secrets.are_not_in("the log", &String::from_utf8_lossy(&log));
    secrets.are_not_in("an answer", &heard.0.borrow());
    secrets.are_not_in("the backup", &String::from_utf8_lossy(&plain.stdout));
    secrets.are_not_in("the backup's report", &String::from_utf8_lossy(&done.stdout));
    for file in ["plenum.db", "plenum.db-wal"] {
        let bytes = std::fs::read(story.file("data").join(file)).unwrap_or_default();
        secrets.are_not_in(file, &String::from_utf8_lossy(&bytes));
    }
}
