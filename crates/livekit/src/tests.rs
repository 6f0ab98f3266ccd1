//! What no client should send, over HTTP and the WebSocket.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use conference::Conference;
use conference::access::{Directory, Grant, KeyRights, Keys, VideoGrant};
use mcu::{Mcu, McuConfig};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::Value;
use sfu::driver::{PortRange, ShardConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;
use types::Identity;

use crate::{LiveKit, router};

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn livekit() -> (LiveKit, String) {
    sfu::transport::webrtc::init_crypto();
    let loopback = Ipv4Addr::LOCALHOST.into();
    let listen = SocketAddr::new(loopback, 0);
    let shard = sfu::driver::start(&ShardConfig {
        index: 0,
        listen,
        announced: Vec::new(),
        tcp: Vec::new(),
    });
    let mcu = Mcu::start(McuConfig { video_workers: Some(1) }).unwrap();
    let directory = Arc::new(Directory::new([], true));
    let ports = PortRange::new(loopback, 0, 0);
    let conference = Conference::new(directory, vec![shard.unwrap()], Arc::new(mcu), ports);
    let mut keys = Keys::new();
    keys.add_random("key", KeyRights { create_rooms: true, ..KeyRights::default() }).unwrap();
    let grant = Grant {
        issuer: "key".to_owned(),
        identity: Some(Identity::new("somebody".to_owned())),
        video: VideoGrant {
            room_join: true,
            room: Some("room".to_owned()),
            room_create: true,
            room_list: true,
            ..VideoGrant::default()
        },
        ..Grant::default()
    };
    let token = keys.sign(&grant, Duration::from_secs(600), SystemTime::now()).unwrap();
    (LiveKit { conference, keys: Arc::new(keys) }, token)
}

/// Metrics of this thread, on which everything here runs but the shard.
fn metrics_here() -> (PrometheusHandle, metrics::LocalRecorderGuard<'static>) {
    let recorder = Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
    (recorder.handle(), metrics::set_default_local_recorder(recorder))
}

fn counted(handle: &PrometheusHandle, name: &str) -> u64 {
    let text = handle.render();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.map_or(0, |value| value.parse().unwrap())
}

async fn call(
    state: &LiveKit,
    token: Option<&str>,
    content_type: &str,
    body: Vec<u8>,
) -> (StatusCode, Value) {
    let mut request = Request::post("/twirp/livekit.RoomService/ListRooms")
        .header(header::CONTENT_TYPE, content_type);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Body::from(body)).unwrap();
    let response = router(state.clone()).oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn bad_calls_are_refused_in_twirps_words_and_counted() {
    let (metrics, _guard) = metrics_here();
    let (state, token) = livekit();
    let (json, protobuf) = ("application/json", "application/protobuf");
    for (content_type, body, status, code) in [
        (json, b"{".to_vec(), 400, "malformed"),
        (json, b"[1]".to_vec(), 400, "malformed"),
        (json, b"{\"names\":{\"a\":1}}".to_vec(), 400, "malformed"),
        (json, "[".repeat(100_000).into_bytes(), 400, "malformed"),
        (protobuf, vec![0xff; 40], 400, "malformed"),
        (protobuf, vec![0x0a, 0xff, 0xff, 0xff, 0x7f], 400, "malformed"),
        (json, vec![b' '; 2 << 20], 413, "resource_exhausted"),
        (protobuf, vec![0; 2 << 20], 413, "resource_exhausted"),
    ] {
        let (got, answer) = call(&state, Some(&token), content_type, body).await;
        assert_eq!((got.as_u16(), answer["code"].as_str()), (status, Some(code)), "{answer}");
    }
    assert_eq!(counted(&metrics, "plenum_livekit_malformed_total"), 8);
    let (got, answer) = call(&state, None, json, vec![b' '; 2 << 20]).await;
    assert_eq!((got.as_u16(), &answer["code"]), (401, &"unauthenticated".into()));
    let (got, _) = call(&state, Some(&token), "text/html", Vec::new()).await;
    assert_eq!(got.as_u16(), 415);
    let (got, answer) = call(&state, Some(&token), json, b"{}".to_vec()).await;
    assert_eq!(got, StatusCode::OK, "{answer}");
}

/// A WebSocket on which we write every byte ourselves.
async fn join(address: SocketAddr, token: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /rtc?access_token={token} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = vec![0; 16];
    let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut buffer)).await;
    read.expect("no answer").unwrap();
    assert!(buffer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&buffer));
    stream
}

/// Reads until a counter stands so, then says whether the stream is still open.
async fn until(stream: &mut TcpStream, metrics: &PrometheusHandle, name: &str, count: u64) -> bool {
    let mut buffer = vec![0; 65_536];
    let mut open = true;
    let waiting = async {
        while counted(metrics, name) < count {
            let pause = Duration::from_millis(5);
            let read = tokio::time::timeout(pause, stream.read(&mut buffer)).await;
            if let Ok(Ok(0) | Err(_)) = read {
                open = false;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{name} stays"));
    open
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_skipped_and_a_frame_too_large_ends_its_sender() {
    let (metrics, _guard) = metrics_here();
    let (state, token) = livekit();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router(state.clone()).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });

    let mut stream = join(address, &token).await;
    // Binary frames under a mask of zeros.
    stream.write_all(&[0x82, 0x84, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]).await.unwrap();
    assert!(until(&mut stream, &metrics, "plenum_livekit_malformed_total", 1).await, "closed");
    let mut head = vec![0x82, 0xff];
    head.extend((2_u64 << 20).to_be_bytes());
    head.extend([0; 4]);
    stream.write_all(&head).await.unwrap();

    until(&mut stream, &metrics, "plenum_livekit_broken_total", 1).await;
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "the sender is still served");

    // A second one breaks the framing itself, and a third is served.
    let mut stream = join(address, &token).await;
    stream.write_all(&[0xff; 64]).await.unwrap();
    until(&mut stream, &metrics, "plenum_livekit_broken_total", 2).await;
    join(address, &token).await;
}

#[tokio::test]
async fn guessed_tokens_are_stopped_by_address() {
    let (metrics, _guard) = metrics_here();
    let (state, _) = livekit();
    let routes = router(state);
    let ask = |host: u8| {
        let mut request =
            Request::get("/rtc/validate?access_token=guess").body(Body::empty()).unwrap();
        let client = SocketAddr::from(([192, 0, 2, host], 9));
        request.extensions_mut().insert(axum::extract::ConnectInfo(client));
        routes.clone().oneshot(request)
    };
    let mut guesses = 0;
    while ask(1).await.unwrap().status() == StatusCode::UNAUTHORIZED {
        guesses += 1;
        assert!(guesses < 1000, "never stopped");
    }
    assert_eq!(ask(1).await.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(ask(2).await.unwrap().status(), StatusCode::UNAUTHORIZED, "a neighbour");
    assert_eq!(counted(&metrics, "plenum_livekit_rate_limited_total"), 2);
    assert_eq!(counted(&metrics, "plenum_livekit_refused_total"), guesses + 1);
}
