//! The lobby and live control, as pages and applications use them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, header};
use conference::access::{Directory, Grant, KeyRights, Keys, MeetingSettings, Pin, VideoGrant};
use conference::{Conference, JoinError, JoinRequest, Member};
use mcu::{Mcu, McuConfig};
use metrics_exporter_prometheus::PrometheusBuilder;
use room::{Permissions, Refusal, Role};
use serde_json::{Value, json};
use sfu::driver::{PortRange, ShardConfig};
use sfu::transport::webrtc::Connections;
use tower::ServiceExt;
use types::{Identity, MeetingId, ParticipantKind};

use crate::tickets::Tickets;
use crate::{Api, Ready, router};

const PATIENCE: Duration = Duration::from_secs(10);

/// A server with the meeting `board`, which has a lobby, and `open`, which has none.
struct Server {
    api: Api,
    conference: Conference,
    keys: Arc<Keys>,
}

/// A person whose page was answered.
struct Person {
    identity: String,
    token: String,
}

impl Server {
    fn new() -> Self {
        sfu::transport::webrtc::init_crypto();
        let loopback = Ipv4Addr::LOCALHOST.into();
        let shard = sfu::driver::start(&ShardConfig {
            index: 0,
            listen: SocketAddr::new(loopback, 0),
            announced: Vec::new(),
            tcp: Vec::new(),
        });
        let mcu = Mcu::start(McuConfig { video_workers: Some(1) }).unwrap();
        let mut board = MeetingSettings::open(MeetingId::parse("board").unwrap());
        board.host_pin = Some("98765".parse::<Pin>().unwrap().into());
        let open = MeetingSettings { id: MeetingId::parse("open").unwrap(), ..board.clone() };
        board.lobby = true;
        let directory = Arc::new(Directory::new([board, open], false));
        let ports = PortRange::new(loopback, 0, 0);
        let shards = vec![shard.unwrap()];
        let conference = Conference::new(directory.clone(), shards, Arc::new(mcu), ports);
        let mut keys = Keys::new();
        keys.add_random("page", KeyRights::default()).unwrap();
        let keys = Arc::new(keys);
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let api = Api::new(directory, keys.clone(), "page".into(), Ready::default(), metrics)
            .with_conference(conference.clone());
        Self { api, conference, keys }
    }

    async fn ask(&self, method: Method, path: &str, token: &str, body: Value) -> (u16, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/meetings/{path}"))
            .header(header::CONTENT_TYPE, "application/json");
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let mut request = request.body(Body::from(body.to_string())).unwrap();
        let client = SocketAddr::from(([192, 0, 2, 1], 5000));
        request.extensions_mut().insert(ConnectInfo(client));
        let response = router(self.api.clone()).oneshot(request);
        let response = tokio::time::timeout(PATIENCE, response).await.expect("an answer").unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str, token: &str) -> (u16, Value) {
        self.ask(Method::GET, path, token, Value::Null).await
    }

    async fn post(&self, path: &str, token: &str, body: Value) -> (u16, Value) {
        self.ask(Method::POST, path, token, body).await
    }

    /// Somebody's page asks to join, and is let in.
    async fn admitted(&self, meeting: &str, name: &str, pin: Option<&str>) -> Person {
        let body = json!({ "name": name, "pin": pin });
        person(&self.post(&format!("{meeting}/join"), "", body).await)
    }

    /// Somebody's page asks to join, and is to wait: its ticket.
    async fn waits(&self, meeting: &str, name: &str) -> String {
        let answer = self.post(&format!("{meeting}/join"), "", json!({ "name": name })).await;
        ticket(&answer)
    }

    /// Comes into the meeting as its token says.
    async fn connect(&self, person: &Person) -> Result<Member, JoinError> {
        let grant = self.keys.verify(&person.token, SystemTime::now()).unwrap();
        let (identity, meeting) = grant.join().unwrap();
        let request = JoinRequest {
            meeting,
            identity: identity.clone(),
            name: grant.name.clone(),
            kind: ParticipantKind::Standard,
            permissions: Permissions::default(),
            role: grant.role(),
            metadata: String::new(),
            attributes: grant.attributes.clone(),
            auto_subscribe: true,
            connections: Connections::Single,
        };
        self.conference.join(request).await
    }

    async fn host(&self, meeting: &str) -> (Person, Member) {
        let person = self.admitted(meeting, "Host", Some("98765")).await;
        let member = self.connect(&person).await.unwrap();
        (person, member)
    }

    async fn waiting(&self, meeting: &str, host: &Person) -> Vec<String> {
        let (status, body) = self.get(&format!("{meeting}/lobby"), &host.token).await;
        assert_eq!(status, 200, "{body}");
        let waiting = body["waiting"].as_array().unwrap();
        waiting.iter().map(|it| it["identity"].as_str().unwrap().to_owned()).collect()
    }
}

fn person((status, body): &(u16, Value)) -> Person {
    assert_eq!(*status, 200, "{body}");
    let text = |key: &str| body[key].as_str().unwrap().to_owned();
    Person { identity: text("identity"), token: text("token") }
}

fn ticket((status, body): &(u16, Value)) -> String {
    assert_eq!(*status, 202, "{body}");
    assert!(body["waiting"]["poll"].as_u64().unwrap() > 0 && body["token"].is_null());
    body["waiting"]["ticket"].as_str().unwrap().to_owned()
}

fn code((status, body): &(u16, Value)) -> (u16, &str) {
    (*status, body["code"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_guest_waits_with_a_ticket_and_gets_a_token_when_a_host_admits_it() {
    let server = Server::new();
    let ticket = server.waits("board", "Анна").await;
    let (host, _member) = server.host("board").await;
    let [anna] = server.waiting("board", &host).await.try_into().unwrap();
    assert!(anna.starts_with("анна-"), "{anna}");
    let path = format!("board/lobby/{ticket}");
    let decide = async {
        // The poll is under way: it is answered as soon as the host decides.
        tokio::task::yield_now().await;
        let admit = format!("board/lobby/{anna}/admit");
        server.post(&admit, &host.token, Value::Null).await
    };
    let (polled, decided) = tokio::join!(server.get(&path, ""), decide);
    assert_eq!(decided.0, 204, "{decided:?}");
    let guest = person(&polled);
    assert_eq!(guest.identity, anna);
    let _member = server.connect(&guest).await.unwrap();
    assert!(server.waiting("board", &host).await.is_empty());
    let (status, roster) = server.get("board/participants", &host.token).await;
    let roles: Vec<_> =
        roster["participants"].as_array().unwrap().iter().map(|it| &it["role"]).collect();
    assert_eq!((status, roles), (200, vec![&json!("host"), &json!("presenter")]));
    let elsewhere = server.get(&format!("open/lobby/{ticket}"), "").await;
    assert_eq!(code(&elsewhere), (404, "ticket_not_found"), "a ticket is for its meeting");
}

#[tokio::test]
async fn who_is_refused_or_left_behind_is_told_so() {
    let server = Server::new();
    let (anna, boris) = (server.waits("board", "Anna").await, server.waits("board", "Boris").await);
    let (host, member) = server.host("board").await;
    let [first, _] = server.waiting("board", &host).await.try_into().unwrap();
    let refused =
        server.post(&format!("board/lobby/{first}/refuse"), &host.token, Value::Null).await;
    assert_eq!(refused.0, 204, "{refused:?}");
    let polled = server.get(&format!("board/lobby/{anna}"), "").await;
    assert_eq!(code(&polled), (403, "refused"));
    assert_eq!(server.post("board/end", &host.token, Value::Null).await.0, 204);
    let polled = server.get(&format!("board/lobby/{boris}"), "").await;
    assert_eq!(code(&polled), (410, "meeting_over"));
    drop(member);
}

#[tokio::test]
async fn who_cancels_or_closes_the_page_leaves_the_lobby() {
    let mut server = Server::new();
    server.api.tickets = Tickets::new(Duration::from_millis(50));
    let (host, _member) = server.host("board").await;
    let ticket = server.waits("board", "Anna").await;
    let path = format!("board/lobby/{ticket}");
    let left = server.ask(Method::DELETE, &path, "", Value::Null).await;
    assert_eq!(left.0, 204, "{left:?}");
    assert_eq!(code(&server.get(&path, "").await), (404, "ticket_not_found"));
    server.waits("board", "Boris").await;
    // He never polls.
    let gone = async {
        while !server.waiting("board", &host).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("he waits for ever");
}

#[tokio::test]
async fn a_token_from_before_a_lock_is_no_way_in() {
    let server = Server::new();
    let (host, _member) = server.host("open").await;
    let early = server.admitted("open", "Early", None).await;
    let live = server.ask(Method::PATCH, "open/live", &host.token, json!({ "locked": true })).await;
    assert_eq!(
        (live.0, &live.1["locked"], &live.1["allow_unmute"]),
        (200, &json!(true), &json!(true))
    );
    let refused = server.connect(&early).await.map(|_| ());
    assert_eq!(refused, Err(JoinError::Refused(Refusal::HasToWait)));
    // It waits with the token that it has, and stays who it is.
    let body = json!({ "name": "Early" });
    let ticket = ticket(&server.post("open/join", &early.token, body).await);
    assert_eq!(server.waiting("open", &host).await, std::slice::from_ref(&early.identity));
    assert_eq!(server.post("open/lobby/admit-all", &host.token, Value::Null).await.0, 204);
    let admitted = person(&server.get(&format!("open/lobby/{ticket}"), "").await);
    assert_eq!((&admitted.identity, &admitted.token), (&early.identity, &early.token));
    server.connect(&admitted).await.unwrap();
}

#[tokio::test]
async fn whoever_is_moved_out_waits_and_whoever_is_removed_stays_away() {
    let server = Server::new();
    let (host, _member) = server.host("open").await;
    let anna = server.admitted("open", "Anna", None).await;
    let _anna = server.connect(&anna).await.unwrap();
    let path = format!("open/participants/{}", anna.identity);
    let moved = server.post(&format!("{path}/to-lobby"), &host.token, Value::Null).await;
    assert_eq!(moved.0, 204, "{moved:?}");
    let again = || server.post("open/join", &anna.token, json!({ "name": "Anna" }));
    let ticket = ticket(&again().await);
    assert_eq!(server.waiting("open", &host).await, std::slice::from_ref(&anna.identity));
    server.post("open/lobby/admit-all", &host.token, Value::Null).await;
    person(&server.get(&format!("open/lobby/{ticket}"), "").await);
    let _anna = server.connect(&anna).await.unwrap();
    assert_eq!(server.ask(Method::DELETE, &path, &host.token, Value::Null).await.0, 204);
    assert_eq!(code(&again().await), (403, "removed"));
    assert_eq!(server.connect(&anna).await.map(|_| ()), Err(JoinError::Refused(Refusal::Removed)));
}

#[tokio::test]
async fn a_host_steers_and_nobody_else() {
    let server = Server::new();
    let (host, _host) = server.host("open").await;
    let anna = server.admitted("open", "Anna", None).await;
    let _anna = server.connect(&anna).await.unwrap();
    let path = format!("open/participants/{}", anna.identity);
    assert_eq!(code(&server.get("open/lobby", "").await), (401, "token_invalid"));
    assert_eq!(code(&server.get("open/lobby", "x.y.z").await), (401, "token_invalid"));
    assert_eq!(code(&server.get("open/lobby", &anna.token).await), (403, "not_allowed"));
    assert_eq!(code(&server.get("board/lobby", &host.token).await), (403, "not_allowed"));
    let mute =
        server.post(&format!("{path}/mute"), &host.token, json!({ "source": "camera" })).await;
    assert_eq!(mute.0, 204, "{mute:?}");
    let all = server.post("open/mute-all", &host.token, json!({ "allow_unmute": false })).await;
    assert_eq!(all.0, 204, "{all:?}");
    let ask = server.post(&format!("{path}/ask"), &host.token, json!({ "what": "unmute" })).await;
    assert_eq!(ask.0, 204, "{ask:?}");
    let renamed = json!({ "name": " Anna  K. ", "role": "host" });
    let (status, shown) = server.ask(Method::PATCH, &path, &host.token, renamed).await;
    assert_eq!((status, &shown["name"], &shown["role"]), (200, &json!("Anna K."), &json!("host")));
    assert_eq!(server.get("open/lobby", &anna.token).await.0, 200, "she is a host now");
    let own = format!("open/participants/{}", host.identity);
    let given = server.ask(Method::PATCH, &own, &host.token, json!({ "role": "presenter" })).await;
    assert_eq!(given.0, 200, "{given:?}");
    assert_eq!(code(&server.get("open/lobby", &host.token).await), (403, "not_allowed"));
}

#[tokio::test]
async fn a_key_steers_without_being_there_and_bad_requests_are_told_what_is_wrong() {
    let server = Server::new();
    let video =
        VideoGrant { room: Some("open".to_owned()), room_admin: true, ..VideoGrant::default() };
    let grant = Grant { issuer: "page".to_owned(), video, ..Grant::default() };
    let key = server.keys.sign(&grant, Duration::from_secs(60), SystemTime::now()).unwrap();
    let nobody = server.post("open/mute-all", &key, json!({})).await;
    assert_eq!(code(&nobody), (404, "meeting_not_running"));
    let anna = server.admitted("open", "Anna", None).await;
    let _anna = server.connect(&anna).await.unwrap();
    let anna = format!("open/participants/{}", anna.identity);
    for (method, path, body, wanted) in [
        (Method::POST, format!("{anna}/mute"), json!({ "muted": false }), (409, "ask_instead")),
        (Method::POST, format!("{anna}/mute"), json!({ "source": "ear" }), (400, "malformed")),
        (Method::POST, format!("{anna}/ask"), json!({}), (400, "malformed")),
        (Method::PATCH, anna.clone(), json!({ "role": "king" }), (400, "role_invalid")),
        (Method::PATCH, anna.clone(), json!({ "name": " " }), (400, "name_invalid")),
        (
            Method::DELETE,
            "open/participants/x".to_owned(),
            json!({}),
            (404, "participant_not_found"),
        ),
        (Method::POST, "open/lobby/x/admit".to_owned(), json!({}), (404, "not_waiting")),
        (Method::PATCH, "open/live".to_owned(), json!({ "lobyb": true }), (400, "malformed")),
    ] {
        let answer = server.ask(method, &path, &key, body).await;
        assert_eq!(code(&answer), wanted, "{path}: {answer:?}");
    }
    let mut grant = grant;
    (grant.video.room_admin, grant.identity) = (false, Some(Identity::new("stranger")));
    assert_eq!(grant.role(), Role::Presenter);
    let token = server.keys.sign(&grant, Duration::from_secs(60), SystemTime::now()).unwrap();
    assert_eq!(code(&server.get("open/lobby", &token).await), (403, "not_allowed"));
}
