//! LiveKit's own client is told why it may not come in.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use conference::access::{Grant, KeyRights, Keys, VideoGrant};
use serde_json::{Value, json};
use tests::browser::Browser;
use tests::media::RED;
use tests::server::Server;
use tests::story::Story;
use types::Identity;

const LIFETIME: Duration = Duration::from_secs(600);
const MEETING: &str = "refused";

fn grant(video: VideoGrant) -> Grant {
    Grant {
        issuer: "devkey".into(),
        identity: Some(Identity::new("red")),
        name: "red".into(),
        video: VideoGrant { room: Some(MEETING.into()), ..video },
        ..Grant::default()
    }
}

fn sign(grant: &Grant, secret: &str, at: SystemTime) -> String {
    let mut keys = Keys::new();
    keys.add_weak(&grant.issuer, secret, KeyRights::ALL).unwrap();
    Arc::new(keys).sign(grant, LIFETIME, at).unwrap()
}

/// Joins by LiveKit's own client; its error's status and message.
fn attempt(browser: &mut Browser, url: &str, token: &str) -> Value {
    browser.evaluate(&format!(
        "async () => {{
            const room = new window.LivekitClient.Room();
            try {{
                await room.connect({url:?}, {token:?});
                window.rooms = [...(window.rooms ?? []), room];
                return null;
            }} catch (error) {{
                return [error.status ?? null, error.message];
            }}
        }}"
    ))
}

#[test]
fn every_refusal_has_an_error_of_its_own() {
    let story = Story::begin("every_refusal_has_an_error_of_its_own");
    let server = Server::start(&story);
    let url = server.origin.replacen("http", "ws", 1);
    let mut browser = Browser::launch(RED, &server.origin);
    browser.open_blank();

    let may_join = || VideoGrant { room_join: true, ..VideoGrant::default() };
    let now = SystemTime::now();
    let good = sign(&grant(may_join()), "secret", now);
    let unknown_key = Grant { issuer: "nobody".into(), ..grant(may_join()) };
    let refused = [
        (sign(&grant(may_join()), "secret", now - 2 * LIFETIME), 401, "the token has expired"),
        (sign(&grant(may_join()), "another", now), 401, "the token's signature is wrong"),
        (sign(&unknown_key, "secret", now), 401, "the token's key is not known"),
        (sign(&grant(VideoGrant::default()), "secret", now), 403, "does not grant joining a room"),
        (good.replace('.', ""), 401, "the token is malformed"),
    ];
    for (token, status, message) in &refused {
        let error = attempt(&mut browser, &url, token);
        assert_eq!(error[0], *status, "{error}");
        assert!(error[1].as_str().unwrap_or_default().contains(message), "{error}");
    }

    let may_create = VideoGrant { room_create: true, ..VideoGrant::default() };
    let admin = sign(&grant(may_create), "secret", now);
    let room = browser.evaluate(&format!(
        "async () => (await fetch({:?}, {{
            method: 'POST',
            headers: {{ authorization: 'Bearer {admin}', 'content-type': 'application/json' }},
            body: JSON.stringify({{ name: {MEETING:?}, max_participants: 1 }}),
        }})).status",
        format!("{}/twirp/livekit.RoomService/CreateRoom", server.origin)
    ));
    assert_eq!(room, json!(200));
    assert_eq!(attempt(&mut browser, &url, &good), Value::Null);
    let second = Grant { identity: Some(Identity::new("second")), ..grant(may_join()) };
    let full = attempt(&mut browser, &url, &sign(&second, "secret", now));
    let message = full[1].as_str().unwrap_or_default();
    assert!(message.contains("Received leave request"), "{full}");
    server.stop();
}
