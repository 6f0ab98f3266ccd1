//! A meeting's rules are asked, and what is told of it is looked at.

use std::collections::BTreeMap;
use std::time::Instant;

use room::{
    Command, Join, LiveSettings, MemberChange, Permissions, PublishRequest, Role, RoomSettings,
    TrackChange, TrackInfo,
};
use serde_json::{Value, json};
use types::TrackId;

use super::*;

struct Scene {
    room: Room,
    observer: Observer,
    subscription: Subscription,
}

impl Scene {
    fn begin() -> Self {
        let id = MeetingId::parse("board").unwrap();
        let settings = RoomSettings {
            id: id.clone(),
            sid: "RM_1".to_owned(),
            max_participants: 10,
            e2ee: false,
            created_at_ms: 0,
            live: LiveSettings::default(),
        };
        let room = Room::new(settings, Instant::now());
        let events = Events::default();
        let subscription = events.subscribe();
        let observer = Observer::new(events, id, "RM_1".to_owned(), &room);
        Self { room, observer, subscription }
    }

    fn ask(&mut self, command: Command) {
        let effects = self.room.handle(command, Instant::now()).unwrap();
        self.observer.see(&effects, &self.room);
    }

    fn join(&mut self, peer: u64, identity: &str, hidden: bool) {
        self.ask(Command::Join(Join {
            peer: PeerId(peer),
            sid: ParticipantSid::new(format!("PA_{peer}")),
            identity: Identity::new(identity),
            name: identity.to_uppercase(),
            kind: ParticipantKind::Standard,
            permissions: Permissions { hidden, ..Permissions::default() },
            metadata: String::new(),
            attributes: BTreeMap::new(),
            auto_subscribe: true,
            joined_at_ms: 0,
            role: Role::default(),
            invited: false,
        }));
    }

    fn publish(&mut self, peer: u64, track: u64) {
        let request = PublishRequest {
            id: TrackId(track),
            sid: TrackSid::new(format!("TR_{track}")),
            cid: "microphone".to_owned(),
            kind: MediaKind::Audio,
            info: TrackInfo {
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
            },
        };
        self.ask(Command::Publish { peer: PeerId(peer), request });
        self.ask(Command::TrackBound { track: TrackId(track), mid: "0".to_owned() });
    }

    fn told(&mut self) -> Vec<Value> {
        let mut told = Vec::new();
        while let Some(News::Event(event)) = self.subscription.waiting() {
            told.push(serde_json::to_value(&*event).unwrap());
        }
        told
    }

    /// Each event's word, and whom it is about.
    fn words(&mut self) -> Vec<String> {
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        let word = |it: &Value| {
            let who = text(&it["participant"]["identity"]);
            format!("{} {who}", text(&it["event"])).trim().to_owned()
        };
        self.told().iter().map(word).collect()
    }
}

#[test]
fn each_change_is_told_once_however_many_are_in() {
    let mut scene = Scene::begin();
    scene.join(1, "anna", false);
    scene.join(2, "boris", false);
    scene.ask(Command::Connected(PeerId(1)));
    scene.ask(Command::Connected(PeerId(1)));
    scene.publish(1, 7);
    let change = MemberChange { name: Some("Anna".to_owned()), ..MemberChange::default() };
    scene.ask(Command::ChangeMember { peer: PeerId(1), change });
    for muted in [true, true, false] {
        let change = TrackChange::Muted(muted);
        scene.ask(Command::ChangeTrack { peer: PeerId(1), track: TrackSid::new("TR_7"), change });
    }
    let expected = [
        "meeting_began",
        "participant_joined anna",
        "participant_joined boris",
        "participant_active anna",
        "track_published anna",
        "participant_changed anna",
        "track_muted anna",
        "track_muted anna",
    ];
    assert_eq!(scene.words(), expected);
}

#[test]
fn whoever_leaves_takes_its_tracks_along_first() {
    let mut scene = Scene::begin();
    scene.join(1, "anna", false);
    scene.ask(Command::Connected(PeerId(1)));
    scene.publish(1, 7);
    scene.words();
    // It comes again under the same identity, and the meeting ends at once.
    scene.join(2, "anna", false);
    scene.ask(Command::End(LeaveReason::MeetingEnded));
    scene.observer.ended(EndCause::Ended, &scene.room);
    let told = scene.told();
    let short: Vec<_> = told
        .iter()
        .map(|it| (it["event"].clone(), it["participant"]["sid"].clone(), it["reason"].clone()))
        .collect();
    let entry = |event: &str, sid: Value, reason: Value| (json!(event), sid, reason);
    let expected = [
        entry("track_unpublished", json!("PA_1"), Value::Null),
        entry("participant_left", json!("PA_1"), json!("replaced")),
        entry("participant_joined", json!("PA_2"), Value::Null),
        entry("participant_left", json!("PA_2"), json!("meeting_ended")),
        entry("meeting_ended", Value::Null, Value::Null),
    ];
    assert_eq!(short, expected);
    let active: Vec<_> = told.iter().map(|it| it["was_active"].clone()).collect();
    assert_eq!((&active[1], &active[3]), (&json!(true), &json!(false)));
    assert_eq!((&told[4]["cause"], &told[4]["most_participants"]), (&json!("ended"), &json!(1)));
}

#[test]
fn an_event_is_one_flat_object() {
    let mut scene = Scene::begin();
    scene.join(1, "anna", false);
    scene.publish(1, 7);
    let mut told = scene.told().pop().unwrap();
    assert!(told["at"].as_i64().unwrap() > 1_700_000_000_000, "milliseconds since 1970");
    told["at"] = json!(0);
    let expected = json!({
        "number": 3,
        "at": 0,
        "meeting": "board",
        "sid": "RM_1",
        "event": "track_published",
        "participant": {
            "identity": "anna",
            "sid": "PA_1",
            "name": "ANNA",
            "kind": "standard",
            "hidden": false,
        },
        "track": {
            "sid": "TR_7",
            "name": "microphone",
            "kind": "audio",
            "source": "microphone",
            "mime": "audio/opus",
            "muted": false,
        },
    });
    assert_eq!(told, expected);
}

#[test]
fn hidden_ones_are_told_of_and_not_counted() {
    let mut scene = Scene::begin();
    scene.join(1, "anna", false);
    scene.join(2, "watcher", true);
    scene.ask(Command::Connected(PeerId(2)));
    scene.ask(Command::Leave { peer: PeerId(2), reason: LeaveReason::ByItself });
    scene.observer.ended(EndCause::Empty, &scene.room);
    let told = scene.told();
    let last = told.last().unwrap();
    assert_eq!(last["most_participants"], 1);
    let hidden = |it: &&Value| it["participant"]["hidden"] == true;
    assert_eq!(told.iter().filter(hidden).count(), 3, "{told:?}");
}

#[test]
fn a_slow_reader_holds_nothing_up_and_is_told_what_it_lost() {
    let mut scene = Scene::begin();
    let lost = 10;
    for _ in 0..BACKLOG + lost {
        scene.observer.ended(EndCause::Empty, &scene.room);
    }
    // The meeting's beginning as well.
    let Some(News::Missed(missed)) = scene.subscription.waiting() else { panic!("nothing lost") };
    assert_eq!(missed, lost as u64 + 1);
    let Some(News::Event(next)) = scene.subscription.waiting() else { panic!("nothing left") };
    assert_eq!(next.number, missed + 1);
}

#[test]
fn a_call_of_ours_is_told_from_its_beginning_to_its_end() {
    let events = Events::default();
    let mut subscription = events.subscribe();
    let mut leg = DialledLeg {
        id: LegId("LG_1".to_owned()),
        meeting: MeetingId::parse("board").unwrap(),
        identity: Identity::new("sip_hall"),
        address: "sip:hall@192.0.2.1".to_owned(),
        state: LegState::Dialling,
        layout: types::LegLayout::Grid,
    };
    events.leg(&leg, None);
    for state in [LegState::Ringing, LegState::Active, LegState::Busy] {
        leg.state = state;
        events.leg(&leg, Some("RM_1".to_owned()));
    }
    let mut told = Vec::new();
    while let Some(News::Event(event)) = subscription.waiting() {
        told.push(serde_json::to_value(&*event).unwrap());
    }
    let words: Vec<_> = told.iter().map(|it| it["event"].as_str().unwrap()).collect();
    assert_eq!(words, ["leg_dialling", "leg_ringing", "leg_answered", "leg_ended"]);
    assert_eq!((told[0].get("sid"), &told[3]["cause"]), (None, &json!("busy")));
    assert_eq!(told[3]["leg"]["identity"], "sip_hall");
}
