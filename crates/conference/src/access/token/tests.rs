use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;

const SECRET: &str = "a-secret-that-is-long-enough-for-hs256";
const HOUR: Duration = Duration::from_secs(3600);

fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn keys() -> Keys {
    let mut keys = Keys::new();
    keys.add("all", SECRET, KeyRights::ALL).unwrap();
    keys.add("none", &SECRET.to_uppercase(), KeyRights::default()).unwrap();
    keys
}

/// A token made the way other servers' SDKs do, with claims of any shape.
fn raw(claims: serde_json::Value, secret: &str) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

fn verify(claims: serde_json::Value) -> Result<Grant, TokenError> {
    keys().verify(&raw(claims, SECRET), noon())
}

fn guest() -> Grant {
    Grant {
        issuer: "all".to_owned(),
        identity: Some(Identity::new("anna")),
        name: "Анна".to_owned(),
        metadata: "{}".to_owned(),
        attributes: BTreeMap::from([("hand".to_owned(), "raised".to_owned())]),
        kind: Kind(ParticipantKind::Agent),
        video: VideoGrant {
            room_join: true,
            room: Some("board".to_owned()),
            can_publish_sources: Some(vec![TrackSource::ScreenShare, TrackSource::Camera]),
            can_publish_data: false,
            hidden: true,
            ..VideoGrant::default()
        },
        sip: SipGrant { admin: false, call: true },
        sha256: Some("abc=".to_owned()),
    }
}

#[test]
fn what_is_signed_is_what_is_read() {
    let token = keys().sign(&guest(), HOUR, noon()).unwrap();
    let grant = keys().verify(&token, noon()).unwrap();
    assert_eq!(grant, guest());
    let (identity, meeting) = grant.join().unwrap();
    assert_eq!((identity.as_str(), meeting.as_str()), ("anna", "board"));
    assert!(grant.video.may_publish(TrackSource::Camera));
    assert!(!grant.video.may_publish(TrackSource::Microphone));
}

/// The signature was computed by Python's `hmac` over the literal text.
#[test]
fn a_token_of_another_maker_is_read() {
    let token = "eyJhbGciOiJIUzI1NiJ9.\
        eyJ2aWRlbyI6eyJyb29tSm9pbiI6dHJ1ZSwicm9vbSI6InRlc3QifSwiaXNzIjoiZGV2a2V5IiwiZXhwIjoxODAwMDA\
        wNjAwLCJuYmYiOjAsInN1YiI6ImFubmEifQ.LSM2A2IPSmXuWW-Ouk2vjPSIeOUhhafB1BqtQ2f7NP4";
    let mut keys = Keys::new();
    keys.add_weak("devkey", "secret", KeyRights::ALL).unwrap();
    let grant = keys.verify(token, noon()).unwrap();
    assert_eq!(grant.join().unwrap().1.as_str(), "test");
}

#[test]
fn the_clock_decides_with_a_minute_of_leeway() {
    let token = keys().sign(&guest(), HOUR, noon()).unwrap();
    let at = |seconds: i64| {
        let offset = Duration::from_secs(seconds.unsigned_abs());
        let now = if seconds < 0 { noon() - offset } else { noon() + offset };
        keys().verify(&token, now).map(|_| ())
    };
    assert_eq!(at(-61), Err(TokenError::NotYetValid));
    assert_eq!(at(-59), Ok(()));
    assert_eq!(at(3659), Ok(()));
    assert_eq!(at(3661), Err(TokenError::Expired));
}

#[test]
fn each_forgery_has_its_own_name() {
    let keys = keys();
    let token = keys.sign(&guest(), HOUR, noon()).unwrap();
    let verify = |token: &str| keys.verify(token, noon()).unwrap_err();
    let parts: Vec<_> = token.split('.').collect();
    let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());

    let admin = part(json!({"iss": "all", "sub": "anna", "exp": 1_900_000_000_u64}));
    assert_eq!(verify(&format!("{}.{admin}.{}", parts[0], parts[2])), TokenError::BadSignature);
    assert_eq!(verify(&format!("{}.{}.", parts[0], parts[1])), TokenError::BadSignature);
    assert_eq!(verify(&raw(json!({"iss": "who", "exp": 1e10}), SECRET)), TokenError::UnknownKey);
    assert_eq!(verify(&raw(json!({"exp": 1e10}), SECRET)), TokenError::UnknownKey);
    assert_eq!(verify(&raw(json!({"iss": "none", "exp": 1e10}), SECRET)), TokenError::BadSignature);
    for alg in ["none", "None", "HS512", "RS256", "hs256"] {
        let forged = format!("{}.{}.{}", part(json!({"alg": alg})), parts[1], parts[2]);
        assert_eq!(verify(&forged), TokenError::WrongAlgorithm, "{alg}");
    }
    assert_eq!(verify(&"a".repeat(MAX_TOKEN_BYTES + 1)), TokenError::TooLarge);
    for junk in ["", "a.b", "..", "a.b.c", "a.b.c.d", "ü.ü.ü", &token.replace('.', "..")] {
        assert!(matches!(verify(junk), TokenError::Malformed(_)), "{junk}");
    }
    let no_end = raw(json!({"iss": "all"}), SECRET);
    assert_eq!(verify(&no_end), TokenError::Malformed("it never expires"));
    let deep = "[".repeat(4000);
    let deep = format!("{}.{}.x", parts[0], URL_SAFE_NO_PAD.encode(deep));
    assert!(matches!(verify(&deep), TokenError::Malformed(_)));
}

#[test]
fn silence_means_the_defaults_that_clients_rely_on() {
    let grant = verify(json!({"iss": "all", "exp": 1_900_000_000.5})).unwrap();
    assert_eq!(grant.video, VideoGrant::default());
    assert!(grant.video.may_publish(TrackSource::Unknown));
    assert_eq!(grant.join(), Err(JoinGrantError::NotGranted));

    let listener = json!({"canPublish": false, "roomJoin": true, "room": "a"});
    let grant = verify(json!({"iss": "all", "exp": 2e9, "video": listener})).unwrap();
    assert!(!grant.video.can_publish_data, "data follows publishing");
    assert_eq!(grant.join(), Err(JoinGrantError::NoIdentity));
}

#[test]
fn nulls_of_real_applications_are_passed_over() {
    let grant = verify(json!({
        "iss": "all", "exp": 2e9, "sub": "guest", "name": null, "metadata": null, "kind": null,
        "attributes": {"color": "hsl(1,2%,3%)", "sub": null},
        "video": {"room": "r", "roomJoin": true, "canPublishSources": null, "roomAdmin": null},
        "roomConfig": {"agents": []}, "aud": "x",
    }))
    .unwrap();
    assert_eq!(grant.attributes, BTreeMap::from([("color".to_owned(), "hsl(1,2%,3%)".to_owned())]));
    assert_eq!(grant.video.can_publish_sources, None);
}

#[test]
fn a_list_of_sources_never_widens() {
    let sources = |list: serde_json::Value| {
        verify(json!({"iss": "all", "exp": 2e9, "video": {"canPublishSources": list}}))
            .unwrap()
            .video
    };
    assert_eq!(sources(json!([])).can_publish_sources, None);
    assert!(!sources(json!(["hologram"])).may_publish(TrackSource::Camera));
    assert!(sources(json!(["CAMERA", "hologram"])).may_publish(TrackSource::Camera));

    let nothing = VideoGrant { can_publish_sources: Some(Vec::new()), ..VideoGrant::default() };
    let grant = Grant { video: nothing, ..guest() };
    let token = keys().sign(&grant, HOUR, noon()).unwrap();
    let read = keys().verify(&token, noon()).unwrap();
    assert!(!read.video.may_publish(TrackSource::Camera));
}

#[test]
fn a_token_grants_no_more_than_its_key_may() {
    let wants = VideoGrant { room_create: true, room_admin: true, ..VideoGrant::default() };
    let sip = SipGrant { admin: true, call: true };
    for (issuer, may) in [("all", true), ("none", false)] {
        let grant = Grant { issuer: issuer.to_owned(), video: wants.clone(), sip, ..guest() };
        let token = keys().sign(&grant, HOUR, noon()).unwrap();
        let read = keys().verify(&token, noon()).unwrap();
        assert_eq!((read.video.room_create, read.sip.call), (may, may));
        assert!(read.video.room_admin);
        assert_eq!(keys().rights(&read.issuer).unwrap().create_rooms, may);
    }
}

#[test]
fn fields_have_limits_on_both_sides() {
    let long = Grant { identity: Some(Identity::new("x".repeat(257))), ..guest() };
    let error = TokenError::FieldTooLong { field: "identity", limit: 256 };
    assert_eq!(keys().sign(&long, HOUR, noon()), Err(error.into()));
    let claims = json!({"iss": "all", "exp": 2e9, "name": "x".repeat(257)});
    assert_eq!(verify(claims).unwrap_err(), TokenError::FieldTooLong { field: "name", limit: 256 });
    let fat = Grant { metadata: "x".repeat(MAX_TOKEN_BYTES), ..guest() };
    assert_eq!(keys().sign(&fat, HOUR, noon()), Err(TokenError::TooLarge.into()));
}

#[test]
fn keys_are_bounded_distinct_and_strong() {
    let mut keys = Keys::new();
    let weak = keys.add("a", "secret", KeyRights::ALL).unwrap_err();
    assert!(matches!(&weak, KeysError::WeakSecret { id } if id == "a"));
    assert!(!weak.to_string().contains("\"secret\""));
    keys.add_weak("a", "secret", KeyRights::ALL).unwrap();
    assert!(matches!(keys.add("a", SECRET, KeyRights::ALL), Err(KeysError::Duplicate { .. })));
    assert_eq!(keys.add("", SECRET, KeyRights::ALL), Err(KeysError::Id));
    for number in 1..Keys::MAX {
        keys.add_random(&format!("k{number}"), KeyRights::ALL).unwrap();
    }
    assert_eq!(keys.add_random("more", KeyRights::ALL), Err(KeysError::TooMany));
    assert!(!format!("{keys:?}").contains("secret"));

    let mut two = [Keys::new(), Keys::new()];
    for keys in &mut two {
        keys.add_random("self", KeyRights::ALL).unwrap();
    }
    let grant = Grant { issuer: "self".to_owned(), ..guest() };
    let token = two[0].sign(&grant, HOUR, noon()).unwrap();
    assert_eq!(two[1].verify(&token, noon()), Err(TokenError::BadSignature));
}
