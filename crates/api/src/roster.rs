//! Participants and the lobby, as JSON.

use conference::MeetingSnapshot;
use room::{LiveSettings, Lobby, ParticipantView, Presence, TrackView};
use serde_json::{Value, json};
use types::ParticipantKind;

/// Everybody that is shown, with their tracks.
pub fn participants(snapshot: &MeetingSnapshot) -> Value {
    let participants: Vec<Value> = snapshot.participants.iter().map(participant).collect();
    json!({ "participants": participants })
}

/// One of them.
pub fn participant(view: &ParticipantView) -> Value {
    let state = match view.presence {
        Presence::Joined => "joined",
        Presence::Active => "active",
        Presence::Disconnected(_) => "disconnected",
    };
    json!({
        "identity": view.identity.as_str(),
        "sid": view.sid.as_str(),
        "name": view.name,
        "kind": kind(view.kind),
        "role": view.role.as_str(),
        "state": state,
        "joined_at_ms": view.joined_at_ms,
        "tracks": view.tracks.iter().map(track).collect::<Vec<_>>(),
    })
}

fn track(view: &TrackView) -> Value {
    json!({
        "sid": view.sid.as_str(),
        "source": view.info.source,
        "muted": view.muted,
        "held": view.held,
        "mime": view.info.mime,
        "width": view.info.width,
        "height": view.info.height,
    })
}

fn kind(kind: ParticipantKind) -> &'static str {
    match kind {
        ParticipantKind::Standard => "standard",
        ParticipantKind::Sip => "sip",
        ParticipantKind::Agent => "agent",
    }
}

/// Who waits, and how the door stands.
pub fn lobby(lobby: &Lobby) -> Value {
    let waiting = lobby.waiting.iter().map(|it| {
        json!({
            "identity": it.identity.as_str(),
            "name": it.name,
            "kind": kind(it.kind),
            "since_ms": it.since_ms,
        })
    });
    json!({ "live": live(lobby.live), "waiting": waiting.collect::<Vec<_>>() })
}

/// How the door and the microphones stand.
pub fn live(live: LiveSettings) -> Value {
    json!({
        "lobby": live.lobby,
        "locked": live.locked,
        "mute_on_entry": live.mute_on_entry,
        "allow_unmute": live.allow_unmute,
        "attendees_listen": live.attendees_listen,
    })
}
