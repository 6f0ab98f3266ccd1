//! Requests as clients send them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode, header};
use conference::access::{Directory, Grant, KeyRights, Keys, MeetingSettings, Pin};
use conference::telephony::{Present, TrunkState};
use conference::{CameraOrder, CameraRefusal, DialRefusal, DialledLeg, Dialler, LegId, LegState};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use tower::ServiceExt;
use types::{Identity, LegLayout, MeetingId};

use crate::{Api, Ready, router};

struct Server {
    api: Api,
    keys: Arc<Keys>,
    ready: Ready,
}

impl Server {
    fn new() -> Self {
        let pin = |digits: &str| Some(digits.parse::<Pin>().unwrap().into());
        let open = MeetingSettings::open(MeetingId::parse("open").unwrap());
        let mut closed = MeetingSettings::open(MeetingId::parse("closed").unwrap());
        (closed.guest_pin, closed.host_pin) = (pin("1234"), pin("98765"));
        let directory = Arc::new(Directory::new([open, closed], false));
        let mut keys = Keys::new();
        keys.add_random("page", KeyRights::default()).unwrap();
        let (keys, ready) = (Arc::new(keys), Ready::default());
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let api = Api::new(directory, keys.clone(), "page".into(), ready.clone(), metrics);
        Self { api, keys, ready }
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, header::HeaderMap, Vec<u8>) {
        let mut request = request;
        let client = SocketAddr::from(([192, 0, 2, 1], 5000));
        request.extensions_mut().insert(ConnectInfo(client));
        let response = router(self.api.clone()).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, to_bytes(body, 1 << 20).await.unwrap().to_vec())
    }

    async fn get(&self, path: &str) -> (StatusCode, header::HeaderMap, Vec<u8>) {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, content_type: &str, body: String) -> (StatusCode, Value) {
        let request = Request::post(path).header(header::CONTENT_TYPE, content_type);
        let (status, _, body) = self.send(request.body(Body::from(body)).unwrap()).await;
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn join(&self, meeting: &str, body: Value) -> (StatusCode, Value) {
        let path = format!("/api/v1/meetings/{meeting}/join");
        self.post(&path, "application/json", body.to_string()).await
    }
}

#[tokio::test]
async fn a_guest_gets_a_token_for_the_meeting_and_no_more() {
    let server = Server::new();
    let (status, answer) = server.join("OPEN", json!({ "name": "  Анна  К. " })).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["meeting"]["id"], "open");
    let token = answer["token"].as_str().unwrap();
    let grant = server.keys.verify(token, SystemTime::now()).unwrap();
    assert_eq!(grant.name, "Анна К.");
    assert_eq!(grant.join().unwrap().1.as_str(), "open");
    assert!(!grant.video.room_admin && !grant.video.room_create && !grant.sip.call);
    let (_, again) = server.join("open", json!({ "name": "Анна К." })).await;
    assert_ne!(answer["identity"], again["identity"]);
}

#[tokio::test]
async fn a_pin_is_asked_for_and_the_hosts_one_makes_a_host() {
    let server = Server::new();
    let code = |answer: &Value| answer["code"].as_str().unwrap_or_default().to_owned();
    let (status, answer) = server.join("closed", json!({ "name": "A" })).await;
    assert_eq!((status, code(&answer)), (StatusCode::UNAUTHORIZED, "pin_required".into()));
    let (status, answer) = server.join("closed", json!({ "name": "A", "pin": "1111" })).await;
    assert_eq!((status, code(&answer)), (StatusCode::FORBIDDEN, "pin_wrong".into()));
    for (pin, host) in [("1234", false), ("98765", true)] {
        let (status, answer) = server.join("closed", json!({ "name": "A", "pin": pin })).await;
        assert_eq!(status, StatusCode::OK);
        let token = answer["token"].as_str().unwrap();
        let grant = server.keys.verify(token, SystemTime::now()).unwrap();
        assert_eq!(grant.video.room_admin, host);
    }
}

#[tokio::test]
async fn guessing_pins_is_stopped() {
    let server = Server::new();
    for _ in 0..10 {
        server.join("closed", json!({ "name": "A", "pin": "0000" })).await;
    }
    let (status, answer) = server.join("closed", json!({ "name": "A", "pin": "1234" })).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "the right one comes too late");
    assert_eq!(answer["code"], "too_many_attempts");
    let (status, _) = server.join("open", json!({ "name": "A" })).await;
    assert_eq!(status, StatusCode::OK, "meetings without PIN stay open");
}

#[tokio::test]
async fn a_bad_request_is_told_what_is_wrong() {
    let server = Server::new();
    let path = "/api/v1/meetings/open/join";
    let json_type = "application/json";
    for (content_type, body, status, code) in [
        (json_type, "{".to_owned(), 400, "malformed"),
        (json_type, "{\"name\":1}".to_owned(), 400, "malformed"),
        (json_type, "{\"name\":\"A\",\"x\":1}".to_owned(), 400, "malformed"),
        (json_type, "{\"name\":\"  \"}".to_owned(), 400, "name_invalid"),
        (json_type, json!({ "name": "x".repeat(81) }).to_string(), 400, "name_invalid"),
        (json_type, json!({ "name": "x".repeat(5000) }).to_string(), 413, "too_large"),
        ("text/plain", "{\"name\":\"A\"}".to_owned(), 415, "unsupported_media_type"),
    ] {
        let (got, answer) = server.post(path, content_type, body).await;
        assert_eq!((got.as_u16(), answer["code"].as_str()), (status, Some(code)), "{answer}");
    }
    let (status, answer) = server.join("nowhere", json!({ "name": "A" })).await;
    assert_eq!((status.as_u16(), &answer["code"]), (404, &json!("meeting_not_found")));
    let (status, _, _) = server.get("/api/v2/anything").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn bad_requests_are_counted_by_their_code() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let server = Server::new();
    let path = "/api/v1/meetings/open/join";
    for body in ["{".to_owned(), "[".repeat(4000), json!({ "name": "x".repeat(5000) }).to_string()]
    {
        server.post(path, "application/json", body).await;
    }
    let text = handle.render();
    assert!(text.contains("plenum_api_refused_total{code=\"malformed\"} 2"), "{text}");
    assert!(text.contains("plenum_api_refused_total{code=\"too_large\"} 1"), "{text}");
}

#[tokio::test]
async fn a_body_that_drips_in_is_given_up() {
    let mut server = Server::new();
    server.api.within = std::time::Duration::from_millis(50);
    let dripping = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let request = Request::post("/api/v1/meetings/open/join")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from_stream(dripping));
    let (status, headers, body) = server.send(request.unwrap()).await;
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
    assert!(String::from_utf8(body).unwrap().contains("too_slow"));
    let (status, _) = server.join("open", json!({ "name": "A" })).await;
    assert_eq!(status, StatusCode::OK, "others are served");
}

#[tokio::test]
async fn a_flood_of_joins_from_one_address_is_stopped() {
    let server = Server::new();
    let mut let_in = 0;
    loop {
        let (status, answer) = server.join("open", json!({ "name": "A" })).await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(answer["code"], "too_many_attempts");
            break;
        }
        let_in += 1;
        assert!(let_in < 1000, "never stopped");
    }
    assert!(let_in >= 100, "stopped after {let_in}");
}

#[tokio::test]
async fn the_page_is_strict_and_cached_by_tag() {
    let server = Server::new();
    let (status, headers, body) = server.get("/m/open").await;
    assert_eq!(status, StatusCode::OK);
    assert!(String::from_utf8(body).unwrap().contains("<html"));
    assert!(
        headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("default-src 'self'")
    );
    let tag = headers[header::ETAG].clone();
    let request = Request::get("/").header(header::IF_NONE_MATCH, tag).body(Body::empty());
    assert_eq!(server.send(request.unwrap()).await.0, StatusCode::NOT_MODIFIED);
    assert_eq!(server.get("/no/such/file.js").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn readiness_follows_the_program() {
    let server = Server::new();
    assert_eq!(server.get("/healthz").await.0, StatusCode::OK);
    assert_eq!(server.get("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    server.ready.set(true);
    assert_eq!(server.get("/readyz").await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_authoritys_root_is_handed_out_in_clear_too_where_there_is_one() {
    let mut server = Server::new();
    let (status, _, _) = server.get("/authority.pem").await;
    assert_eq!(status, StatusCode::NOT_FOUND, "there is none");
    server.api = server.api.with_authority(|| Some("the root".into()));
    let (status, headers, body) = server.get("/authority.pem").await;
    assert_eq!((status, body.as_slice()), (StatusCode::OK, "the root".as_bytes()));
    assert_eq!(headers[header::CONTENT_TYPE], "application/x-pem-file");

    for (path, wanted) in
        [("/authority.pem", 200), ("/healthz", 200), ("/metrics", 200), ("/", 404)]
    {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = crate::router_in_clear(server.api.clone()).oneshot(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), wanted, "{path}");
    }
}

/// Calls everything but what begins with `forbidden`.
struct Calls;

#[async_trait::async_trait]
impl Dialler for Calls {
    async fn dial(
        &self,
        meeting: &MeetingId,
        address: &str,
        layout: Option<LegLayout>,
    ) -> Result<DialledLeg, DialRefusal> {
        if address.starts_with("forbidden") {
            return Err(DialRefusal::Forbidden);
        }
        let leg = self.leg(meeting, &LegId("LG_1".into())).ok_or(DialRefusal::Unavailable)?;
        Ok(DialledLeg { layout: layout.unwrap_or_default(), ..leg })
    }

    fn present(&self) -> Vec<Present> {
        Vec::new()
    }

    fn trunks(&self) -> Vec<TrunkState> {
        Vec::new()
    }

    fn leg(&self, meeting: &MeetingId, id: &LegId) -> Option<DialledLeg> {
        let state = match id.0.as_str() {
            "LG_1" => LegState::Ringing,
            "LG_OVER" => LegState::Ended,
            _ => return None,
        };
        Some(DialledLeg {
            id: id.clone(),
            meeting: meeting.clone(),
            identity: Identity::new("sip_room_1"),
            address: "room@host".into(),
            state,
            layout: LegLayout::Grid,
        })
    }

    fn set_layout(&self, meeting: &MeetingId, id: &LegId, layout: LegLayout) -> Option<DialledLeg> {
        self.leg(meeting, id).map(|leg| DialledLeg { layout, ..leg })
    }

    fn steer_camera(
        &self,
        _: &MeetingId,
        _: &Identity,
        _: CameraOrder,
    ) -> Result<(), CameraRefusal> {
        Err(CameraRefusal::NoCamera)
    }

    fn hang_up(&self, meeting: &MeetingId, id: &LegId) -> Option<DialledLeg> {
        self.leg(meeting, id)
    }
}

#[tokio::test]
async fn only_keys_that_may_call_have_room_systems_called() {
    let mut server = Server::new();
    let mut keys = Keys::new();
    keys.add_weak("caller", "secret", KeyRights::ALL).unwrap();
    keys.add_weak("other", "secret", KeyRights::default()).unwrap();
    server.keys = Arc::new(keys);
    server.api.keys = server.keys.clone();
    server.api = server.api.with_dialler(Some(Arc::new(Calls)));
    let token = |issuer: &str, call: bool, room: Option<&str>| {
        let mut grant = Grant { issuer: issuer.into(), ..Grant::default() };
        grant.sip.call = call;
        grant.video.room = room.map(ToOwned::to_owned);
        server.keys.sign(&grant, Duration::from_secs(60), SystemTime::now()).unwrap()
    };
    let send = async |method: &str, path: &str, token: &str, body: &str| {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/meetings/{path}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {token}"));
        let (status, _, body) = server.send(request.body(body.to_owned().into()).unwrap()).await;
        (status.as_u16(), serde_json::from_slice::<Value>(&body).unwrap())
    };
    let good = token("caller", true, None);
    let body = r#"{"address":"sip:room@host"}"#;
    for (token, status, code) in [
        ("nonsense".to_owned(), 401, "token_invalid"),
        (token("caller", false, None), 403, "not_allowed"),
        (token("other", true, None), 403, "not_allowed"),
        (token("caller", true, Some("closed")), 403, "not_allowed"),
    ] {
        let (got, problem) = send("POST", "open/legs", &token, body).await;
        assert_eq!((got, &problem["code"]), (status, &code.into()), "{problem}");
    }
    let (status, leg) = send("POST", "open/legs", &good, body).await;
    assert_eq!((status, &leg["state"], &leg["meeting"]), (201, &"ringing".into(), &"open".into()));
    assert_eq!(send("GET", "open/legs/LG_1", &good, "").await, (200, leg.clone()));
    assert_eq!(send("DELETE", "open/legs/LG_1", &good, "").await, (200, leg));
    let (status, problem) = send("GET", "open/legs/LG_2", &good, "").await;
    assert_eq!((status, &problem["code"]), (404, &"leg_not_found".into()));
    let (status, problem) =
        send("POST", "open/legs", &good, r#"{"address":"forbidden@host"}"#).await;
    assert_eq!((status, &problem["code"]), (403, &"address_forbidden".into()));
    let (status, problem) = send("POST", "open/legs", &good, r#"{"adress":"x"}"#).await;
    assert_eq!((status, &problem["code"]), (400, &"malformed".into()));

    let body = r#"{"address":"sip:room@host","layout":"speaker"}"#;
    let (status, leg) = send("POST", "open/legs", &good, body).await;
    assert_eq!((status, &leg["layout"]), (201, &"speaker".into()));
    let speaker = r#"{"layout":"speaker"}"#;
    let (status, leg) = send("PATCH", "open/legs/LG_1", &good, speaker).await;
    assert_eq!((status, &leg["layout"]), (200, &"speaker".into()));
    for (leg, token, body, status, code) in [
        ("LG_1", &token("caller", false, None), speaker, 403, "not_allowed"),
        ("LG_2", &good, speaker, 404, "leg_not_found"),
        ("LG_OVER", &good, speaker, 409, "leg_over"),
        ("LG_1", &good, "{}", 400, "malformed"),
        ("LG_1", &good, r#"{"layout":"tiles"}"#, 400, "layout_invalid"),
    ] {
        let (got, problem) = send("PATCH", &format!("open/legs/{leg}"), token, body).await;
        assert_eq!((got, &problem["code"]), (status, &code.into()), "{problem}");
    }
    let body = r#"{"address":"sip:room@host","layout":"tiles"}"#;
    let (status, problem) = send("POST", "open/legs", &good, body).await;
    assert_eq!((status, &problem["code"]), (400, &"layout_invalid".into()));
    let detail = "`layout` is \"tiles\": give \"grid\" or \"speaker\"";
    assert_eq!(problem["detail"], detail);
}
