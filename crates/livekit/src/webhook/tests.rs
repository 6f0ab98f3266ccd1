//! A receiver of webhooks that fails as it is told, and what becomes of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::any;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use conference::Conference;
use conference::events::{EndCause, Event, Happening, Shown, Which, Who};
use room::{
    Command, LeaveReason, ParticipantView, Permissions, Presence, Role, TrackInfo, TrackView,
};
use serde_json::Value;
use tokio::net::TcpListener;
use types::{
    Identity, MediaKind, MeetingId, ParticipantKind, ParticipantSid, PeerId, TrackId, TrackSid,
    TrackSource,
};

use super::*;
use crate::LiveKit;

const PATIENCE: Duration = Duration::from_secs(10);
const QUICK: Patience = Patience {
    first: Duration::from_millis(5),
    longest: Duration::from_millis(20),
    within: PATIENCE,
};

/// What a receiver got: headers and body of each request.
type Got = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// Answers the first requests so, all others with 200.
type Script = Arc<Mutex<VecDeque<u16>>>;

async fn receiver(script: &[u16]) -> (Address, Got) {
    let (got, script) = (Got::default(), Script::new(Mutex::new(script.iter().copied().collect())));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = format!("http://{}/hook", listener.local_addr().unwrap());
    let take = |State((got, script)): State<(Got, Script)>, headers: HeaderMap, body: Bytes| async move {
        got.lock().unwrap().push((headers, body));
        let status = script.lock().unwrap().pop_front().unwrap_or(200);
        let elsewhere = [(header::LOCATION, "/elsewhere")];
        (StatusCode::from_u16(status).unwrap(), elsewhere)
    };
    let routes = Router::new()
        .route("/hook", any(take))
        // Whoever follows a redirect comes here, and is counted.
        .route("/elsewhere", any(take))
        .with_state((got.clone(), script));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (address.parse().unwrap(), got)
}

fn begin(urls: Vec<Address>) -> (Webhooks, Conference, Arc<Keys>) {
    let (LiveKit { conference, keys }, _) = crate::tests::livekit();
    let client = Client { tls: None, within: PATIENCE, max_answer: WebhookConfig::MAX_ANSWER };
    let config = WebhookConfig { urls, key: "key".to_owned(), client };
    let webhooks = Webhooks::start_with(config, keys.clone(), conference.events(), QUICK);
    (webhooks, conference, keys)
}

/// A room begins and is ended.
async fn runs(conference: &Conference, id: &str) {
    let meeting = conference.open(&MeetingId::parse(id).unwrap()).unwrap();
    meeting.execute(Command::End(LeaveReason::MeetingEnded)).await.unwrap();
}

/// Rooms and words of what was received, the requests that failed included.
fn received(got: &Got) -> Vec<(String, String)> {
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    let short = |(_, body): &(HeaderMap, Bytes)| {
        let body: Value = serde_json::from_slice(body).unwrap();
        (text(&body["room"]["name"]), text(&body["event"]))
    };
    got.lock().unwrap().iter().map(short).collect()
}

#[tokio::test]
async fn webhooks_are_signed_repeated_and_in_order_for_each_room() {
    let (url, got) = receiver(&[503, 500]).await;
    let (webhooks, conference, keys) = begin(vec![url.clone()]);
    for room in ["one", "two", "three"] {
        runs(&conference, room).await;
    }
    let figures = webhooks.figures();
    webhooks.stop(PATIENCE).await;
    let all = received(&got);
    assert_eq!(all.len(), 8, "{all:?}");
    for room in ["one", "two", "three"] {
        let mut words: Vec<&str> =
            all.iter().filter(|it| it.0 == room).map(|it| it.1.as_str()).collect();
        words.dedup();
        assert_eq!(words, ["room_started", "room_finished"], "{room}: {all:?}");
    }
    let mut ids = BTreeMap::new();
    for (headers, body) in got.lock().unwrap().iter() {
        let token = headers[header::AUTHORIZATION].to_str().unwrap();
        let grant = keys.verify(token, SystemTime::now()).unwrap();
        assert_eq!(grant.sha256, Some(STANDARD.encode(digest(&SHA256, body))));
        assert_eq!(headers[header::CONTENT_TYPE], "application/webhook+json");
        let body: Value = serde_json::from_slice(body).unwrap();
        *ids.entry(body["id"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    assert_eq!(ids.len(), 6, "a repeated one keeps its id: {ids:?}");
    let status = figures.status().remove(0);
    let last_error = status.last_error.clone().unwrap().error;
    assert_eq!((status.delivered, status.dropped, status.queued), (6, 0, 0));
    assert!(last_error.starts_with("it answered 50"), "{last_error}");
    assert_eq!(status.url, url.shown());
}

#[tokio::test]
async fn a_refusal_and_a_redirect_are_final_and_visible() {
    for status in [400, 302, 501] {
        let (url, got) = receiver(&[status]).await;
        let (webhooks, conference, _) = begin(vec![url]);
        runs(&conference, "one").await;
        let figures = webhooks.figures();
        webhooks.stop(PATIENCE).await;
        let words: Vec<String> = received(&got).into_iter().map(|it| it.1).collect();
        assert_eq!(words, ["room_started", "room_finished"], "{status}");
        let told = figures.status().remove(0);
        assert_eq!((told.delivered, told.dropped), (1, 1));
        assert!(told.last_error.unwrap().error.contains(&status.to_string()));
    }
}

#[tokio::test]
async fn a_url_that_does_not_answer_holds_no_other_up() {
    let nobody = "http://127.0.0.1:1/".parse().unwrap();
    let (url, got) = receiver(&[]).await;
    let (webhooks, conference, _) = begin(vec![nobody, url]);
    runs(&conference, "one").await;
    let both = async {
        while received(&got).len() < 2 || webhooks.figures().status()[0].last_error.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, both).await.expect("the other got nothing");
    let status = webhooks.figures().status();
    assert_eq!((status[0].delivered, status[0].queued, status[1].delivered), (0, 2, 2));
    let stopping = std::time::Instant::now();
    webhooks.stop(Duration::from_millis(50)).await;
    assert!(stopping.elapsed() < Duration::from_secs(5), "the server's end waits for nobody");
}

#[tokio::test]
async fn a_queue_takes_no_more_than_it_may_hold() {
    let (webhooks, ..) = begin(vec!["http://127.0.0.1:1/".parse().unwrap()]);
    let target = &webhooks.figures.0[0];
    let bounds = delivery::Bounds { messages: 2, bytes: 100 };
    let admitted = [60, 60, 40, 0].map(|size| target.admit(size, bounds));
    assert_eq!(admitted, [true, false, true, false]);
    let status = target.status();
    assert_eq!((status.queued, status.dropped), (2, 2));
    assert_eq!(status.last_error.unwrap().error, "the queue is full");
}

fn view(presence: Presence, hidden: bool) -> ParticipantView {
    ParticipantView {
        peer: PeerId(1),
        sid: ParticipantSid::new("PA_1"),
        identity: Identity::new("anna"),
        name: "Anna".to_owned(),
        kind: ParticipantKind::Standard,
        presence,
        metadata: String::new(),
        attributes: BTreeMap::new(),
        permissions: Permissions { hidden, ..Permissions::default() },
        tracks: Vec::new(),
        joined_at_ms: 0,
        version: 1,
        role: Role::default(),
    }
}

fn track() -> (TrackView, Which) {
    let info = TrackInfo {
        name: "microphone".to_owned(),
        source: TrackSource::Microphone,
        mime: "audio/opus".to_owned(),
        width: 0,
        height: 0,
        layers: Vec::new(),
        stream: String::new(),
        dtx: false,
        stereo: false,
        red_disabled: true,
        encryption: 0,
    };
    let which = Which {
        sid: TrackSid::new("TR_1"),
        name: info.name.clone(),
        kind: MediaKind::Audio,
        source: info.source,
        mime: info.mime.clone(),
        muted: false,
    };
    let view = TrackView {
        id: TrackId(7),
        sid: which.sid.clone(),
        cid: "microphone".to_owned(),
        kind: MediaKind::Audio,
        info,
        muted: false,
        held: false,
        mid: "0".to_owned(),
    };
    (view, which)
}

/// The words that the translator has for a participant's doings.
fn words(hidden: bool, doings: &[(&str, Presence)]) -> Vec<String> {
    let mut translator = Translator::default();
    let mut said = Vec::new();
    for (doing, presence) in doings {
        let (shown_track, track) = track();
        let shown_participant = view(*presence, hidden);
        let participant = Who {
            identity: shown_participant.identity.clone(),
            sid: shown_participant.sid.clone(),
            name: shown_participant.name.clone(),
            kind: shown_participant.kind,
            hidden,
        };
        let reason = LeaveReason::ByItself;
        let what = match *doing {
            "active" => Happening::ParticipantActive { participant },
            "publishes" => Happening::TrackPublished { participant, track },
            "unpublishes" => Happening::TrackUnpublished { participant, track },
            "leaves" => Happening::ParticipantLeft { participant, reason, was_active: true },
            _ => Happening::ParticipantLeft { participant, reason, was_active: false },
        };
        let event = Event {
            number: 1,
            at: Timestamp(1_700_000_000_500),
            meeting: MeetingId::parse("board").unwrap(),
            sid: Some("RM_1".to_owned()),
            what,
            shown: Shown {
                meeting: None,
                participant: Some(shown_participant),
                track: Some(shown_track),
            },
        };
        for webhook in translator.translate(&event) {
            assert_eq!(webhook.created_at, 1_700_000_000);
            said.push(webhook.event);
        }
    }
    said
}

#[test]
fn a_track_is_told_after_its_participant_and_never_without_it() {
    use Presence::{Active, Joined};
    let left = Presence::Disconnected(LeaveReason::ByItself);
    let good = [
        ("publishes", Joined),
        ("active", Active),
        ("unpublishes", Active),
        ("publishes", Active),
        ("leaves", left),
    ];
    let expected = [
        "participant_joined",
        "track_published",
        "track_unpublished",
        "track_published",
        "participant_left",
    ];
    assert_eq!(words(false, &good), expected);
    let never_connected = [("publishes", Joined), ("unpublishes", Joined), ("gives up", left)];
    assert_eq!(words(false, &never_connected), ["participant_connection_aborted"]);
    let taken_back = [("publishes", Joined), ("unpublishes", Joined), ("active", Active)];
    assert_eq!(words(false, &taken_back), ["participant_joined"]);
    assert_eq!(words(true, &good), Vec::<String>::new(), "nobody hears of who is hidden");
}

#[test]
fn the_reason_of_an_end_has_its_word() {
    let mut translator = Translator::default();
    for (cause, word) in [
        (EndCause::Empty, "ROOM_END_IDLE_TIMEOUT"),
        (EndCause::Ended, "ROOM_END_API_DELETE"),
        (EndCause::ServerStops, "ROOM_END_SERVER_SHUTDOWN"),
    ] {
        let event = Event {
            number: 1,
            at: Timestamp(0),
            meeting: MeetingId::parse("board").unwrap(),
            sid: Some("RM_1".to_owned()),
            what: Happening::MeetingEnded { cause, most_participants: 1 },
            shown: Shown::default(),
        };
        let webhook = serde_json::to_value(&translator.translate(&event)[0]).unwrap();
        assert_eq!(
            (&webhook["event"], &webhook["roomEndReason"]),
            (&"room_finished".into(), &word.into())
        );
    }
}
