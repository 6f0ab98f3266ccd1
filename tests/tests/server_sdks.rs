//! LiveKit's server SDKs rule meetings of real participants, and receive their webhooks.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tests::analyse;
use tests::media::{GREEN, RED};
use tests::person::{PATIENCE, Person};
use tests::python::PythonPeer;
use tests::sdk::{Sdk, Webhook};
use tests::server::Server;
use tests::story::Story;
use tests::{token, wait};

/// As the server API calls them; the client puts `SOURCE_` in front.
const MICROPHONE: &str = "MICROPHONE";
const CAMERA: &str = "CAMERA";

/// A room that an application rules, with two people in it.
struct Scene<'a> {
    sdk: &'a mut Sdk,
    room: &'a str,
    anna: PythonPeer,
    boris: PythonPeer,
}

impl Scene<'_> {
    fn call(&mut self, method: &str, mut request: Value) -> Value {
        request["room"] = self.room.into();
        self.sdk.call(method, request)
    }

    fn refused(&mut self, method: &str, mut request: Value) -> String {
        request["room"] = self.room.into();
        self.sdk.refused(method, request)
    }

    fn participant(&mut self, identity: &str) -> Value {
        self.call("GetParticipant", json!({ "identity": identity }))
    }

    /// The sid of a track of somebody's, once there is one.
    fn track(&mut self, identity: &str, source: &str) -> Value {
        wait::until(&format!("{identity}'s {source}"), PATIENCE, || {
            let who = self.participant(identity);
            let tracks = who["tracks"].as_array().cloned().unwrap_or_default();
            tracks.into_iter().find(|it| it["source"] == source).map(|it| it["sid"].clone())
        })
    }

    /// Waits until Boris' client knows this of Anna.
    fn boris_knows(&mut self, what: &str, expected: &Value) {
        let mut last = Value::Null;
        wait::until(&format!("Boris knows {what} {expected}"), PATIENCE, || {
            last = self.boris.ask(json!({ "command": "about", "identity": "anna" }));
            (last[what] == *expected).then_some(())
        });
    }
}

/// A room that is made with all its options, and found.
fn makes_a_room(sdk: &mut Sdk, room: &str) {
    let made = sdk.call(
        "CreateRoom",
        json!({
            "name": room,
            "emptyTimeout": 60,
            "departureTimeout": 30,
            "maxParticipants": 3,
            "metadata": "first",
            "nodeId": "any",
        }),
    );
    assert!(made["sid"].as_str().unwrap_or_default().starts_with("RM_"), "{made}");
    for (key, value) in [
        ("name", json!(room)),
        ("emptyTimeout", json!(60)),
        ("departureTimeout", json!(30)),
        ("maxParticipants", json!(3)),
        ("metadata", json!("first")),
    ] {
        assert_eq!(made[key], value, "{made}");
    }
    let again = sdk.call("CreateRoom", json!({ "name": room, "departureTimeout": 40 }));
    assert_eq!((&again["sid"], &again["emptyTimeout"]), (&made["sid"], &json!(60)));
    assert_eq!(again["departureTimeout"], 40);
    let rooms = |sdk: &mut Sdk, names: Value| {
        sdk.call("ListRooms", json!({ "names": names }))["rooms"].as_array().map_or(0, Vec::len)
    };
    assert_eq!((rooms(sdk, json!([room])), rooms(sdk, json!(["nowhere"]))), (1, 0));
    assert!(rooms(sdk, json!([])) >= 1);
    let refusal = sdk.refused("CreateRoom", json!({ "name": "no such/name" }));
    assert!(refusal.starts_with("400 invalid_argument"), "{refusal}");
}

fn lists_who_is_in(scene: &mut Scene) {
    let listed = scene.call("ListParticipants", json!({}));
    let listed = listed["participants"].as_array().cloned().unwrap_or_default();
    let names: BTreeSet<&str> = listed.iter().filter_map(|it| it["identity"].as_str()).collect();
    assert_eq!(names, BTreeSet::from(["anna", "boris"]));
    let anna = wait::until("Anna is active", PATIENCE, || {
        let anna = scene.participant("anna");
        (anna["state"] == "ACTIVE").then_some(anna)
    });
    assert_eq!((&anna["name"], &anna["permission"]["canPublish"]), (&json!("anna"), &json!(true)));
    let refusal = scene.refused("GetParticipant", json!({ "identity": "nobody" }));
    assert_eq!(refusal, "404 not_found participant does not exist");
}

/// A muted track is muted in others' rosters, and not heard, whatever its client sends.
fn mutes(scene: &mut Scene) {
    let sid = scene.track("anna", MICROPHONE);
    let level = |scene: &mut Scene| {
        let heard = scene.boris.record("anna", 1.0);
        analyse::level(&heard[heard.len() / 4..], RED.tone)
    };
    wait::until("Boris hears Anna", PATIENCE, || (level(scene) > -40.0).then_some(()));
    let mute = |muted: bool| json!({ "identity": "anna", "trackSid": sid, "muted": muted });
    let track = scene.call("MutePublishedTrack", mute(true))["track"].clone();
    assert_eq!((&track["sid"], &track["muted"]), (&sid, &json!(true)));
    scene.boris_knows("muted", &json!({ "SOURCE_MICROPHONE": true, "SOURCE_CAMERA": false }));
    wait::until("Boris hears nothing of Anna", PATIENCE, || {
        let heard = scene.boris.record("anna", 1.0);
        let silent = heard.len() < 1000 || analyse::level(&heard, RED.tone) < -60.0;
        silent.then_some(())
    });
    // She may unmute herself from now on; nobody does it for her.
    let track = scene.call("MutePublishedTrack", mute(false))["track"].clone();
    assert_eq!(track["muted"], true, "{track}");
    let nowhere = json!({ "identity": "anna", "trackSid": "TR_nowhere", "muted": true });
    assert_eq!(scene.refused("MutePublishedTrack", nowhere), "404 not_found track is not found");
}

fn changes_how_somebody_is_shown_and_what_it_may_do(scene: &mut Scene) {
    let changed = scene.call(
        "UpdateParticipant",
        json!({
            "identity": "anna",
            "name": "Anna A.",
            "metadata": "chair",
            "attributes": { "seat": "1" },
        }),
    );
    assert_eq!((&changed["name"], &changed["metadata"]), (&json!("Anna A."), &json!("chair")));
    scene.boris_knows("name", &json!("Anna A."));
    scene.boris_knows("metadata", &json!("chair"));
    scene.boris_knows("attributes", &json!({ "seat": "1" }));
    let permission = json!({ "canSubscribe": true, "canPublishData": true, "canPublish": false });
    let request = json!({ "identity": "anna", "permission": permission });
    let changed = scene.call("UpdateParticipant", request);
    assert_eq!(changed["permission"], json!({ "canSubscribe": true, "canPublishData": true }));
    scene.boris_knows("muted", &json!({}));
}

/// Whether a picture comes is told by its frames, not by what anybody says of it.
fn takes_a_track_away_and_gives_it_back(scene: &mut Scene) {
    let sid = scene.track("anna", CAMERA);
    scene.boris.wait_for_picture("anna");
    let request = |subscribe: bool| json!({ "identity": "boris", "trackSids": [sid], "subscribe": subscribe });
    scene.call("UpdateSubscriptions", request(false));
    wait::until("Anna's picture stands still for Boris", PATIENCE, || {
        (scene.boris.steps("anna", 1.0) == 0).then_some(())
    });
    scene.call("UpdateSubscriptions", request(true));
    wait::until("Anna's picture moves for Boris", PATIENCE, || {
        (scene.boris.steps("anna", 1.0) > 5).then_some(())
    });
    let nobody = json!({ "identity": "nobody", "trackSids": [sid], "subscribe": true });
    let refusal = scene.refused("UpdateSubscriptions", nobody);
    assert_eq!(refusal, "404 not_found participant does not exist");
}

fn sends_messages(scene: &mut Scene) {
    // "to all" and "to Boris" in base64.
    for (data, kind, to) in
        [("dG8gYWxs", "RELIABLE", json!([])), ("dG8gQm9yaXM=", "LOSSY", json!(["boris"]))]
    {
        let request =
            json!({ "data": data, "kind": kind, "destinationIdentities": to, "topic": "story" });
        scene.call("SendData", request);
    }
    let heard =
        |peer: &mut PythonPeer| peer.ask(json!({ "command": "heard_of" }))["messages"].clone();
    let mut last = Value::Null;
    let expected = json!([[null, "lossy", "to Boris"], [null, "reliable", "to all"]]);
    wait::until("the server's messages", PATIENCE, || {
        last = heard(&mut scene.boris);
        let mut came = last.as_array().cloned().unwrap_or_default();
        came.sort_by_key(Value::to_string);
        (Value::Array(came) == expected).then_some(())
    });
    wait::until("the message to all", PATIENCE, || {
        (heard(&mut scene.anna) == json!([[null, "reliable", "to all"]])).then_some(())
    });
}

fn changes_the_room(scene: &mut Scene) {
    let room = scene.call("UpdateRoomMetadata", json!({ "metadata": "second" }));
    assert_eq!(room["metadata"], "second");
    wait::until("the room's metadata", PATIENCE, || {
        let metadata = scene.boris.ask(json!({ "command": "room_metadata" }));
        (metadata == "second").then_some(())
    });
    let long = json!({ "metadata": "x".repeat(70_000) });
    let refusal = scene.refused("UpdateRoomMetadata", long);
    assert!(refusal.starts_with("400 invalid_argument metadata size exceeds limits"), "{refusal}");
}

/// A participant answers what an application asks it.
fn asks_a_participant(scene: &mut Scene) {
    let call = |identity: &str, method: &str| json!({ "destinationIdentity": identity, "method": method, "payload": "hello" });
    let answer = scene.call("PerformRpc", call("boris", "greet"))["payload"].clone();
    let answer = answer.as_str().unwrap_or_default();
    assert!(answer.starts_with("boris greets RPC_") && answer.ends_with(": hello"), "{answer}");
    let refusal = scene.refused("PerformRpc", call("boris", "no such method"));
    assert!(refusal.starts_with("400 invalid_argument RpcError 1400"), "{refusal}");
    let refusal = scene.refused("PerformRpc", call("nobody", "greet"));
    assert_eq!(refusal, "404 not_found participant does not exist");
}

fn is_told_what_one_server_cannot_do(scene: &mut Scene) {
    for method in ["ForwardParticipant", "MoveParticipant"] {
        let to = |room: &str| json!({ "identity": "anna", "destinationRoom": room });
        let refusal = scene.refused(method, to("elsewhere"));
        assert!(refusal.starts_with("501 unimplemented this server"), "{refusal}");
        let same = to(scene.room);
        let refusal = scene.refused(method, same);
        assert!(refusal.starts_with("400 invalid_argument destination room"), "{refusal}");
    }
}

fn is_out(peer: &mut PythonPeer, reason: &str) {
    wait::until(&format!("it is out: {reason}"), PATIENCE, || {
        let why = peer.ask(json!({ "command": "heard_of" }))["reason"].clone();
        (!why.is_null()).then(|| assert_eq!(why, reason))
    });
}

fn removes_one_and_ends_it_for_all(scene: &mut Scene) {
    scene.call("RemoveParticipant", json!({ "identity": "boris" }));
    is_out(&mut scene.boris, "PARTICIPANT_REMOVED");
    wait::until("Boris is gone for Anna", PATIENCE, || {
        (scene.anna.ask(json!({ "command": "participants" })) == json!([])).then_some(())
    });
    let refusal = scene.refused("RemoveParticipant", json!({ "identity": "boris" }));
    assert_eq!(refusal, "404 not_found participant does not exist");
    scene.call("DeleteRoom", json!({}));
    is_out(&mut scene.anna, "ROOM_DELETED");
    let left = scene.sdk.call("ListRooms", json!({ "names": [scene.room] }));
    assert_eq!(left["rooms"].as_array().map_or(0, Vec::len), 0, "{left}");
    let nobody = scene.call("ListParticipants", json!({}));
    assert_eq!(nobody["participants"].as_array().map_or(0, Vec::len), 0, "{nobody}");
}

fn rules_a_meeting(server: &Server, sdk: &mut Sdk, room: &str) {
    println!("{}: every method", sdk.name);
    sdk.connect(&server.origin, "secret");
    makes_a_room(sdk, room);
    let [anna, boris] = [(RED, "anna"), (GREEN, "boris")].map(|(mark, name)| {
        PythonPeer::join(mark, &server.origin, &token::to_join(name, room), true)
    });
    let mut scene = Scene { sdk, room, anna, boris };
    lists_who_is_in(&mut scene);
    takes_a_track_away_and_gives_it_back(&mut scene);
    mutes(&mut scene);
    sends_messages(&mut scene);
    changes_the_room(&mut scene);
    asks_a_participant(&mut scene);
    is_told_what_one_server_cannot_do(&mut scene);
    changes_how_somebody_is_shown_and_what_it_may_do(&mut scene);
    removes_one_and_ends_it_for_all(&mut scene);
    sdk.connect(&server.origin, "another secret");
    let refusal = sdk.refused("ListRooms", json!({ "names": [] }));
    assert!(refusal.starts_with("401 unauthenticated"), "{refusal}");
    sdk.connect(&server.origin, "secret");
}

/// Words of what was told of a room, and of whom.
fn told(webhooks: &[Webhook], room: &str) -> Vec<String> {
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    let taken = webhooks.iter().filter(|it| it.status == 200);
    let of_room = taken.filter(|it| it.event["room"]["name"] == room);
    let word = |it: &Webhook| {
        let who = text(&it.event["participant"]["identity"]);
        format!("{} {who} {}", text(&it.event["event"]), text(&it.event["track"]["source"]))
    };
    of_room.map(|it| word(it).trim().to_owned()).collect()
}

/// What was told of one of them, in this order.
fn told_of(all: &[String], identity: &str) -> Vec<String> {
    all.iter().filter(|it| it.split(' ').nth(1) == Some(identity)).cloned().collect()
}

fn webhooks_tell_it_all(webhooks: &[Webhook], room: &str) {
    let all = told(webhooks, room);
    println!("{room}: {all:#?}");
    assert_eq!(all.first().map(String::as_str), Some("room_started"));
    assert_eq!(all.last().map(String::as_str), Some("room_finished"));
    for (identity, from_host) in [("anna", true), ("boris", false)] {
        let mut of = told_of(&all, identity);
        assert_eq!(of.remove(0), format!("participant_joined {identity}"));
        assert_eq!(of.pop(), Some(format!("participant_left {identity}")));
        let words = |word: &str| of.iter().filter(|it| it.starts_with(word)).count();
        assert_eq!((words("track_published"), words("track_unpublished")), (2, 2), "{of:?}");
        let event = webhooks.iter().rfind(|it| {
            let event = &it.event;
            let left = event["event"] == "participant_left" && event["room"]["name"] == room;
            left && event["participant"]["identity"] == identity
        });
        let reason = if from_host { "ROOM_DELETED" } else { "PARTICIPANT_REMOVED" };
        let event = &event.expect("it left").event;
        assert_eq!(event["participant"]["disconnectReason"], reason, "{event}");
        assert_eq!(event["participant"]["state"], "DISCONNECTED");
    }
}

/// Both SDKs take each webhook for genuine, and none that was changed.
fn webhooks_are_genuine(webhooks: &[Webhook], sdks: &mut [&mut Sdk]) {
    for webhook in webhooks {
        assert_eq!(webhook.content_type, "application/webhook+json");
        for sdk in sdks.iter_mut() {
            let read = sdk.receive(&webhook.body, &webhook.authorization);
            let read = read.unwrap_or_else(|error| panic!("{}: {error}: {webhook:?}", sdk.name));
            for key in ["event", "id", "createdAt"] {
                assert_eq!(read[key], webhook.event[key], "{}: {read}", sdk.name);
            }
        }
    }
    let first = &webhooks[0];
    let forged = first.body.replacen("room", "rOOm", 1);
    for sdk in sdks.iter_mut() {
        let refusal = sdk.receive(&forged, &first.authorization).expect_err("it was changed");
        assert!(refusal.contains("hash") || refusal.contains("checksum"), "{refusal}");
    }
}

#[test]
fn both_server_sdks_call_every_method_and_take_the_webhooks() {
    let story = Story::begin("both_server_sdks_call_every_method_and_take_the_webhooks");
    let (mut python, mut node) = (Sdk::python(), Sdk::node());
    // The receiver fails twice at first.
    let port = python.listen(2);
    let configuration = format!("[webhook]\nurls = [\"http://127.0.0.1:{port}/hook\"]\n");
    let server = Server::start_with(&story, &configuration);
    rules_a_meeting(&server, &mut python, "by-python");
    rules_a_meeting(&server, &mut node, "by-node");

    let webhooks = wait::until("the last webhook", PATIENCE, || {
        let webhooks = python.webhooks();
        let ends = told(&webhooks, "by-node").iter().any(|it| it == "room_finished");
        ends.then_some(webhooks)
    });
    let ids: Vec<&Value> = webhooks.iter().map(|it| &it.event["id"]).collect();
    let failed: Vec<u64> = webhooks.iter().take(3).map(|it| it.status).collect();
    assert_eq!((failed, ids[0], ids[1]), (vec![503, 503, 200], ids[2], ids[2]));
    let different: BTreeSet<String> = ids.iter().map(ToString::to_string).collect();
    assert_eq!(different.len(), webhooks.len() - 2);
    webhooks_tell_it_all(&webhooks, "by-python");
    webhooks_tell_it_all(&webhooks, "by-node");
    webhooks_are_genuine(&webhooks, &mut [&mut python, &mut node]);
    let delivered = webhooks.len() as f64 - 2.0;
    wait::until("all are counted", PATIENCE, || {
        (server.metric("plenum_webhook_delivered_total") == delivered).then_some(())
    });
    assert_eq!(server.metric("plenum_webhook_failures_total"), 2.0);
    assert_eq!(server.metric("plenum_webhook_dropped_total"), 0.0);
    assert_eq!(server.metric("plenum_webhook_queued"), 0.0);
    server.stop();
}
