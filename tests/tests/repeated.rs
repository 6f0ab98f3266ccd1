//! Requests that are made again, and requests that are too many: against the program with its
//! database.

use serde_json::{Value, json};
use tests::admin::{Answer, Page, ask};
use tests::server::Server;
use tests::story::Story;

/// More requests than anybody may make at once.
const MANY: usize = 20_000;

/// Signed in as an account, whatever server runs.
struct Somebody {
    head: String,
}

impl Somebody {
    fn of(page: &Page<'_>) -> Self {
        let head = format!("Cookie: {}\r\nX-CSRF-Token: {}\r\n", page.cookie, page.csrf);
        Self { head }
    }

    fn creates(&self, server: &Server, key: &str, body: &Value) -> Answer {
        let head = format!("{}Idempotency-Key: {key}\r\n", self.head);
        ask(server, "POST", "/api/v1/accounts", &head, Some(body))
    }

    fn accounts(&self, server: &Server) -> usize {
        let list = ask(server, "GET", "/api/v1/accounts?limit=100", &self.head, None);
        list.body["items"].as_array().map_or(0, Vec::len)
    }
}

fn administrator(server: &Server) -> Page<'_> {
    let (name, first) = server.first.clone().expect("a first administrator");
    Page::first_sign_in(server, &name, &first)
}

#[test]
fn a_request_with_a_key_is_done_once_also_after_a_crash() {
    let story = Story::begin_beside_others("a_request_with_a_key_is_done_once");
    let server = Server::start(&story);
    let page = administrator(&server);
    let operator = Somebody::of(&page.person("olga", "operator"));
    let admin = Somebody::of(&page);
    let anna = json!({ "name": "anna" });
    let made = admin.creates(&server, "key-1", &anna);
    assert_eq!((made.status, made.header("idempotency-replayed")), (201, None), "{made:?}");
    let password = made.body["password"].as_str().expect("a password").to_owned();
    let again = admin.creates(&server, "key-1", &anna);
    assert_eq!((again.status, &again.body), (201, &made.body), "the same, its password too");
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.header("etag"), made.header("etag"));
    assert_eq!(again.header("content-type"), made.header("content-type"));
    assert_eq!(admin.accounts(&server), 3, "admin, olga, anna");

    let other = admin.creates(&server, "key-1", &json!({ "name": "boris" }));
    assert_eq!((other.status, other.code()), (422, "idempotency_key_reused"), "{other:?}");
    let denied = operator.creates(&server, "key-1", &anna);
    assert_eq!(denied.code(), "not_allowed", "a key is its account's own: {denied:?}");
    // What was refused has done nothing: the key is free.
    assert_eq!(admin.creates(&server, "key-2", &json!({ "name": "a b" })).status, 400);
    assert_eq!(admin.creates(&server, "key-2", &json!({ "name": "boris" })).status, 201);
    for wrong in ["", "ключ", &"x".repeat(201)] {
        let refused = admin.creates(&server, wrong, &json!({ "name": "eve" }));
        assert_eq!(refused.code(), "idempotency_key_invalid", "{wrong}: {refused:?}");
    }

    server.kill();
    let server = Server::start(&story);
    let later = admin.creates(&server, "key-1", &anna);
    assert_eq!((later.status, &later.body), (201, &made.body), "{later:?}");
    assert_eq!(admin.accounts(&server), 4);
    server.stop();
    for file in ["plenum.db", "plenum.db-wal"] {
        let bytes = std::fs::read(story.file("data").join(file)).unwrap_or_default();
        let clear = String::from_utf8_lossy(&bytes).contains(&password);
        assert!(!clear, "an answer's password stands in {file}");
    }
}

#[test]
fn the_same_request_at_the_same_moment_is_done_once() {
    let story = Story::begin_beside_others("the_same_request_at_the_same_moment_is_done_once");
    let server = Server::start(&story);
    let admin = Somebody::of(&administrator(&server));
    let before = admin.accounts(&server);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let ask = || admin.creates(&server, "at-once", &json!({ "name": "anna" }));
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|it| it.join().expect("an answer")).collect()
    });
    let made: Vec<&Answer> = answers.iter().filter(|it| it.status == 201).collect();
    assert!(!made.is_empty(), "{answers:?}");
    assert!(made.iter().all(|it| it.body == made[0].body), "{answers:?}");
    let others = answers.iter().filter(|it| it.status != 201);
    for it in others {
        assert_eq!((it.status, it.code()), (409, "request_under_way"), "{it:?}");
        assert!(it.header("retry-after").is_some(), "{it:?}");
    }
    assert_eq!(admin.accounts(&server), before + 1);
}

#[test]
fn who_asks_too_often_waits_and_others_do_not() {
    let story = Story::begin_beside_others("who_asks_too_often_waits");
    let server = Server::start(&story);
    let admin = Somebody::of(&administrator(&server));
    let nobody = || ask(&server, "GET", "/api/v1/session", "", None);
    let refused = (0..MANY).find_map(|number| {
        let answer = nobody();
        (answer.status == 429).then_some((number, answer))
    });
    let (number, refused) = refused.expect("nobody is never refused");
    assert!(number >= 900, "refused after {number}");
    assert_eq!(refused.code(), "too_many_requests", "{refused:?}");
    let wait = refused.header("retry-after").and_then(|it| it.parse::<u64>().ok());
    assert!(wait.is_some_and(|it| (1..60).contains(&it)), "{refused:?}");
    let known = ask(&server, "GET", "/api/v1/session", &admin.head, None);
    assert_eq!(known.status, 200, "who is known is not put down to the address: {known:?}");
    assert_eq!(ask(&server, "GET", "/healthz", "", None).status, 200);
    // Whoever is refused with a wrong token is nobody.
    let forged = "Authorization: Bearer plenum_forged\r\n";
    let more = (0..MANY).map(|_| ask(&server, "GET", "/api/v1/openapi.json", forged, None).status);
    assert!(more.take(MANY).any(|status| status == 429), "a forged token goes on for ever");
}
