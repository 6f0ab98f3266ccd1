//! What the server API refuses, and how; with participants that have no client.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use conference::access::{Directory, MeetingSettings, VideoGrant};
use conference::{JoinRequest, Member};
use room::{LeaveReason, Permissions, Role};
use serde_json::{Value, json};
use sfu::transport::webrtc::Connections;
use tower::ServiceExt;
use types::{Identity, ParticipantKind};

use super::*;
use crate::{LiveKit, router};

fn token(state: &LiveKit, video: VideoGrant) -> String {
    let grant = Grant { issuer: "key".to_owned(), video, ..Grant::default() };
    state.keys.sign(&grant, Duration::from_secs(600), SystemTime::now()).unwrap()
}

/// May do everything with one room.
fn ruler(room: &str) -> VideoGrant {
    VideoGrant {
        room_admin: true,
        room_create: true,
        room_list: true,
        room: Some(room.to_owned()),
        destination_room: Some("other".to_owned()),
        ..VideoGrant::default()
    }
}

async fn ask(state: &LiveKit, video: VideoGrant, method: &str, body: Value) -> (u16, Value) {
    let request = Request::post(format!("/twirp/livekit.RoomService/{method}"))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {}", token(state, video)))
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = router(state.clone()).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn rule(state: &LiveKit, method: &str, body: Value) -> (u16, Value) {
    ask(state, ruler("room"), method, body).await
}

async fn join(state: &LiveKit, identity: &str, kind: ParticipantKind) -> Member {
    let request = JoinRequest {
        meeting: MeetingId::parse("room").unwrap(),
        identity: Identity::new(identity),
        name: identity.to_owned(),
        kind,
        role: Role::Host,
        permissions: Permissions::default(),
        metadata: String::new(),
        attributes: BTreeMap::new(),
        auto_subscribe: true,
        connections: Connections::Single,
    };
    state.conference.join(request).await.unwrap()
}

#[tokio::test]
async fn a_token_without_the_right_is_unauthenticated_as_with_livekit() {
    let (state, _) = crate::tests::livekit();
    let elsewhere = || ruler("elsewhere");
    for (method, video) in [
        ("CreateRoom", VideoGrant { room_create: false, ..ruler("room") }),
        ("ListRooms", VideoGrant { room_list: false, ..ruler("room") }),
        ("DeleteRoom", VideoGrant { room_create: false, ..ruler("room") }),
        ("ListParticipants", elsewhere()),
        ("GetParticipant", elsewhere()),
        ("RemoveParticipant", elsewhere()),
        ("MutePublishedTrack", elsewhere()),
        ("UpdateParticipant", elsewhere()),
        ("UpdateSubscriptions", elsewhere()),
        ("SendData", elsewhere()),
        ("UpdateRoomMetadata", elsewhere()),
        ("ForwardParticipant", elsewhere()),
        ("MoveParticipant", VideoGrant { destination_room: None, ..ruler("room") }),
        ("PerformRpc", elsewhere()),
    ] {
        let body = match method {
            "CreateRoom" => json!({ "name": "room" }),
            "ListRooms" => json!({}),
            "ForwardParticipant" | "MoveParticipant" => {
                json!({ "room": "room", "destinationRoom": "other" })
            }
            _ => json!({ "room": "room" }),
        };
        let (status, answer) = ask(&state, video, method, body).await;
        assert_eq!((status, &answer["code"]), (401, &json!("unauthenticated")), "{method}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_what_cannot_be_says_why() {
    let (state, _) = crate::tests::livekit();
    let nobody = json!({ "room": "room", "identity": "nobody", "destinationIdentity": "nobody" });
    for method in ["GetParticipant", "RemoveParticipant", "UpdateSubscriptions", "PerformRpc"] {
        let (status, answer) = rule(&state, method, nobody.clone()).await;
        let expected = json!({ "code": "not_found", "msg": "requested room does not exist" });
        assert_eq!((status, answer), (404, expected), "{method}");
    }
    let (status, answer) = rule(&state, "ListParticipants", json!({ "room": "room" })).await;
    assert_eq!((status, answer), (200, json!({})), "a room that does not run is empty");
    let _anna = join(&state, "anna", ParticipantKind::Standard).await;
    for (method, body, status, code) in [
        ("GetParticipant", nobody.clone(), 404, "not_found"),
        ("UpdateParticipant", nobody.clone(), 404, "not_found"),
        ("PerformRpc", nobody, 404, "not_found"),
        ("PerformRpc", json!({ "room": "room" }), 400, "invalid_argument"),
        ("CreateRoom", json!({ "name": "" }), 400, "invalid_argument"),
        ("CreateRoom", json!({ "name": "x", "egress": {} }), 501, "unimplemented"),
        ("CreateRoom", json!({ "name": "x", "agents": [{}] }), 501, "unimplemented"),
        (
            "CreateRoom",
            json!({ "name": "x", "metadata": "x".repeat(70_000) }),
            400,
            "invalid_argument",
        ),
        ("SendData", json!({ "room": "room", "nonce": "AAAA" }), 400, "invalid_argument"),
        ("NoSuchMethod", json!({}), 404, "bad_route"),
    ] {
        let (got, answer) = rule(&state, method, body).await;
        assert_eq!((got, &answer["code"]), (status, &json!(code)), "{method}: {answer}");
        assert!(!answer["msg"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_host_whose_permissions_change_stays_a_host() {
    let (state, _) = crate::tests::livekit();
    let anna = join(&state, "anna", ParticipantKind::Standard).await;
    let permission = json!({ "canPublish": true, "canSubscribe": false });
    let body = json!({ "room": "room", "identity": "anna", "permission": permission });
    let (status, answer) = rule(&state, "UpdateParticipant", body).await;
    assert_eq!((status, &answer["permission"]), (200, &json!({ "canPublish": true })));
    let view = find(anna.meeting(), "anna").await.unwrap();
    assert!(view.role == Role::Host && !view.permissions.subscribe);
}

#[tokio::test]
async fn a_room_keeps_the_times_that_it_was_given() {
    let (state, _) = crate::tests::livekit();
    let make = async |body: Value| {
        let (status, room) = rule(&state, "CreateRoom", body).await;
        assert_eq!(status, 200, "{room}");
        (room["emptyTimeout"].clone(), room["departureTimeout"].clone())
    };
    assert_eq!(make(json!({ "name": "room" })).await, (json!(300), json!(20)));
    let longer = json!({ "name": "room", "departureTimeout": 90 });
    assert_eq!(make(longer).await, (json!(300), json!(90)));
    assert_eq!(make(json!({ "name": "ROOM" })).await, (json!(300), json!(90)));
    let (_, listed) = rule(&state, "ListRooms", json!({ "names": ["Room"] })).await;
    assert_eq!(listed["rooms"][0]["departureTimeout"], 90);
    let gone = json!({ "room": "room" });
    assert_eq!(rule(&state, "DeleteRoom", gone.clone()).await.0, 200);
    assert_eq!(rule(&state, "ListRooms", json!({})).await, (200, json!({})));
    assert_eq!(rule(&state, "DeleteRoom", gone).await.0, 404);
}

#[tokio::test]
async fn a_call_that_nobody_answers_ends_with_its_reason() {
    let (state, _) = crate::tests::livekit();
    let anna = join(&state, "anna", ParticipantKind::Standard).await;
    let call = |more: Value| {
        let mut body = json!({ "room": "room", "destinationIdentity": "anna", "method": "m" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let (status, answer) =
        rule(&state, "PerformRpc", call(json!({ "responseTimeoutMs": 30 }))).await;
    let expected = json!({ "code": "canceled", "msg": "RpcError 1502: Response timeout" });
    assert_eq!((status, answer), (408, expected));
    let large = call(json!({ "payload": "x".repeat(15_361) }));
    let (status, answer) = rule(&state, "PerformRpc", large).await;
    let expected =
        json!({ "code": "malformed", "msg": "RpcError 1402: Request payload too large" });
    assert_eq!((status, answer), (400, expected));
    // Far sooner than it would time out.
    let asking = rule(&state, "PerformRpc", call(json!({})));
    let leaving = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        anna.leave(LeaveReason::ByItself);
    };
    let begun = std::time::Instant::now();
    let ((status, answer), ()) = tokio::join!(asking, leaving);
    let expected = json!({ "code": "unavailable", "msg": "RpcError 1503: Recipient disconnected" });
    assert_eq!((status, answer), (503, expected));
    assert!(begun.elapsed() < Duration::from_secs(5));
    let _hall = join(&state, "hall", ParticipantKind::Sip).await;
    let to_hall = json!({ "room": "room", "destinationIdentity": "hall", "method": "m" });
    let (status, answer) = rule(&state, "PerformRpc", to_hall).await;
    assert_eq!((status, &answer["code"]), (412, &json!("failed_precondition")));
}

#[tokio::test]
async fn services_that_there_are_not_are_refused_in_twirps_words() {
    let (state, _) = crate::tests::livekit();
    let request = Request::post("/twirp/livekit.Egress/ListEgress").body(Body::empty()).unwrap();
    let response = router(state).oneshot(request).await.unwrap();
    assert_eq!(response.status().as_u16(), 404);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["code"], "bad_route");
}

#[tokio::test]
async fn who_is_removed_with_its_tokens_comes_back_with_a_newer_one_alone() {
    let (state, _) = crate::tests::livekit();
    let routes = router(state.clone());
    let joins = |signed: SystemTime| {
        let video =
            VideoGrant { room_join: true, room: Some("room".to_owned()), ..VideoGrant::default() };
        let identity = Some(Identity::new("anna"));
        let grant = Grant { issuer: "key".to_owned(), identity, video, ..Grant::default() };
        let token = state.keys.sign(&grant, Duration::from_secs(600), signed).unwrap();
        let request = Request::get(format!("/rtc/validate?access_token={token}"));
        let answer = routes.clone().oneshot(request.body(Body::empty()).unwrap());
        async { answer.await.unwrap().status().as_u16() }
    };
    let now = SystemTime::now();
    let earlier = now - Duration::from_secs(5);
    assert_eq!(joins(earlier).await, 200);
    let _anna = join(&state, "anna", ParticipantKind::Standard).await;
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let body = json!({ "room": "room", "identity": "anna", "revokeTokenTs": seconds.to_string() });
    let remove = Request::post("/twirp/livekit.RoomService/RemoveParticipant")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {}", token(&state, ruler("room"))))
        .body(Body::from(body.to_string()))
        .unwrap();
    assert_eq!(routes.clone().oneshot(remove).await.unwrap().status().as_u16(), 200);
    assert_eq!((joins(earlier).await, joins(now).await), (401, 200));
}

#[tokio::test]
async fn there_is_always_room_for_one_more_room_while_others_do_not_run() {
    let (state, _) = crate::tests::livekit();
    let make = async |name: &str| rule(&state, "CreateRoom", json!({ "name": name })).await.0;
    assert_eq!(make("room").await, 200);
    let directory = state.conference.directory();
    let settings =
        |number: usize| MeetingSettings::open(MeetingId::parse(&format!("m{number}")).unwrap());
    for number in 1..Directory::MAX_CREATED {
        directory.create(settings(number)).unwrap();
    }
    assert!(directory.create(settings(0)).is_err(), "it is full");
    assert_eq!(make("one-more").await, 200);
    directory.create(settings(0)).unwrap();
    // What runs was not forgotten: it is not made anew.
    let again = directory.create(MeetingSettings::open(MeetingId::parse("room").unwrap()));
    assert!(again.is_err());
}
