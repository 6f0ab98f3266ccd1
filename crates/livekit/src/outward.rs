//! The meeting's notices in LiveKit's words.

#![allow(
    deprecated,
    reason = "clients of older protocol versions read and write these fields alone"
)]

use std::time::Duration;

use conference::MeetingSnapshot;
use livekit_protocol as lk;
use lk::signal_response::Message;
use room::{
    Ask, JoinSnapshot, LeaveReason, LobbyNews, MeetingView, Notice, ParticipantView, Permissions,
    Presence, Quality, TrackView,
};
use sfu::TrackLabel;
use types::{MediaKind, ParticipantKind, TrackSource};

/// The version of LiveKit's server whose protocol this is; clients switch features by it.
pub const PROTOCOL_VERSION: &str = "1.13.0";
/// The signalling protocol's number.
pub const PROTOCOL: i32 = 17;
/// Seconds between a client's pings.
pub const PING_INTERVAL: i32 = 5;
/// Seconds without an answer after which a client reconnects, and after which we give it up.
pub const PING_TIMEOUT: i32 = 15;

/// The topic of requests to a person: `{"ask": "unmute"}`, or `"camera"`.
const REQUEST_TOPIC: &str = "plenum.request";
/// The topic of news of the lobby, for hosts.
const LOBBY_TOPIC: &str = "plenum.lobby";

/// A notice in the protocol's words.
pub enum Told {
    /// In the signalling.
    Signal(Box<Message>),
    /// What LiveKit's signalling has no word for, as a data message of the server's.
    Data(Box<lk::DataPacket>),
}

fn data(topic: &str, json: &serde_json::Value) -> Told {
    let user = lk::UserPacket {
        payload: json.to_string().into_bytes(),
        topic: Some(topic.to_owned()),
        ..Default::default()
    };
    let value = Some(lk::data_packet::Value::User(user));
    Told::Data(Box::new(lk::DataPacket { value, ..Default::default() }))
}

fn request(ask: Ask) -> serde_json::Value {
    let ask = match ask {
        Ask::Unmute => "unmute",
        Ask::Camera => "camera",
    };
    serde_json::json!({ "ask": ask })
}

fn lobby(LobbyNews { live, waiting }: LobbyNews) -> serde_json::Value {
    serde_json::json!({
        "waiting": waiting,
        "lobby": live.lobby,
        "locked": live.locked,
        "mute_on_entry": live.mute_on_entry,
        "allow_unmute": live.allow_unmute,
        "attendees_listen": live.attendees_listen,
    })
}

/// What a client is told for a notice.
pub fn notice(notice: Notice, subscriber_primary: bool) -> Told {
    let message = match notice {
        Notice::Joined(snapshot) => Message::Join(join_response(&snapshot, subscriber_primary)),
        Notice::Participants(views) => Message::Update(lk::ParticipantUpdate {
            participants: views.iter().map(participant).collect(),
        }),
        Notice::TrackPublished { cid, track } => {
            Message::TrackPublished(lk::TrackPublishedResponse {
                cid,
                track: Some(track_info(&track)),
            })
        }
        Notice::TrackUnpublished(sid) => {
            Message::TrackUnpublished(lk::TrackUnpublishedResponse { track_sid: sid.to_string() })
        }
        Notice::Speakers(speakers) => Message::SpeakersChanged(lk::SpeakersChanged {
            speakers: speakers
                .iter()
                .map(|it| lk::SpeakerInfo {
                    sid: it.sid.to_string(),
                    level: it.level,
                    active: it.active,
                })
                .collect(),
        }),
        Notice::Qualities(qualities) => Message::ConnectionQuality(lk::ConnectionQualityUpdate {
            updates: qualities.iter().map(|(sid, it)| quality(sid.as_str(), *it)).collect(),
        }),
        Notice::Meeting(view) => Message::RoomUpdate(lk::RoomUpdate { room: Some(room(&view)) }),
        Notice::TrackMuted { track, muted } => {
            Message::Mute(lk::MuteTrackRequest { sid: track.to_string(), muted })
        }
        Notice::LayersWanted { track, mime, layers } => {
            Message::SubscribedQualityUpdate(layers_wanted(track.as_str(), &mime, layers))
        }
        Notice::Subscribed(sid) => {
            Message::TrackSubscribed(lk::TrackSubscribed { track_sid: sid.to_string() })
        }
        Notice::Asked(ask) => return data(REQUEST_TOPIC, &request(ask)),
        Notice::Lobby(news) => return data(LOBBY_TOPIC, &lobby(news)),
        Notice::Left(reason) => Message::Leave(leave(reason)),
    };
    Told::Signal(Box::new(message))
}

/// The farewell of a participant that is out.
pub fn leave(reason: LeaveReason) -> lk::LeaveRequest {
    use lk::leave_request::Action;
    let action = match reason {
        LeaveReason::ConnectionLost | LeaveReason::ServerStops => Action::Reconnect,
        _ => Action::Disconnect,
    };
    lk::LeaveRequest {
        can_reconnect: action != Action::Disconnect,
        reason: disconnect_reason(reason) as i32,
        action: action as i32,
        regions: None,
    }
}

fn disconnect_reason(reason: LeaveReason) -> lk::DisconnectReason {
    match reason {
        LeaveReason::ByItself => lk::DisconnectReason::ClientInitiated,
        LeaveReason::Replaced => lk::DisconnectReason::DuplicateIdentity,
        // The page asks to join anew, and hears which of the two it is.
        LeaveReason::Removed | LeaveReason::MovedToLobby => {
            lk::DisconnectReason::ParticipantRemoved
        }
        LeaveReason::MeetingEnded => lk::DisconnectReason::RoomDeleted,
        LeaveReason::ServerStops => lk::DisconnectReason::ServerShutdown,
        LeaveReason::ConnectionLost => lk::DisconnectReason::ConnectionTimeout,
        LeaveReason::Misbehaved => lk::DisconnectReason::StateMismatch,
    }
}

fn join_response(snapshot: &JoinSnapshot, subscriber_primary: bool) -> lk::JoinResponse {
    let codecs = ["video/VP8", "video/H264", "video/VP9", "video/AV1", "audio/opus"];
    lk::JoinResponse {
        room: Some(room(&snapshot.meeting)),
        participant: Some(participant(&snapshot.me)),
        other_participants: snapshot.others.iter().map(participant).collect(),
        server_version: PROTOCOL_VERSION.into(),
        server_info: Some(server_info()),
        subscriber_primary,
        ping_interval: PING_INTERVAL,
        ping_timeout: PING_TIMEOUT,
        fast_publish: true,
        enabled_publish_codecs: codecs
            .map(|mime| lk::Codec { mime: mime.into(), ..Default::default() })
            .into(),
        ..Default::default()
    }
}

/// The first message to a client that goes on with its session.
pub fn reconnect_response() -> Message {
    Message::Reconnect(lk::ReconnectResponse {
        server_info: Some(server_info()),
        // The reliable channel outlives the WebSocket: nothing has to be sent once more.
        last_message_seq: 0,
        ..Default::default()
    })
}

fn server_info() -> lk::ServerInfo {
    lk::ServerInfo { version: PROTOCOL_VERSION.into(), protocol: PROTOCOL, ..Default::default() }
}

/// A meeting as LiveKit's server API shows it.
pub fn room_of(snapshot: &MeetingSnapshot) -> lk::Room {
    let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    lk::Room {
        empty_timeout: seconds(snapshot.linger.empty),
        departure_timeout: seconds(snapshot.linger.departed),
        ..room(&snapshot.meeting)
    }
}

/// A meeting as LiveKit shows it.
pub fn room(view: &MeetingView) -> lk::Room {
    lk::Room {
        sid: view.sid.clone(),
        name: view.id.clone(),
        max_participants: view.max_participants,
        creation_time: view.created_at_ms / 1000,
        creation_time_ms: view.created_at_ms,
        metadata: view.metadata.clone(),
        num_participants: view.participants,
        num_publishers: view.publishers,
        ..Default::default()
    }
}

/// A participant as LiveKit shows it.
pub fn participant(view: &ParticipantView) -> lk::ParticipantInfo {
    use lk::participant_info::{Kind, State};
    let (state, left) = match view.presence {
        Presence::Joined => (State::Joined, None),
        Presence::Active => (State::Active, None),
        Presence::Disconnected(reason) => (State::Disconnected, Some(reason)),
    };
    let kind = match view.kind {
        ParticipantKind::Standard => Kind::Standard,
        ParticipantKind::Sip => Kind::Sip,
        ParticipantKind::Agent => Kind::Agent,
    };
    lk::ParticipantInfo {
        sid: view.sid.to_string(),
        identity: view.identity.to_string(),
        name: view.name.clone(),
        state: state as i32,
        kind: kind as i32,
        metadata: view.metadata.clone(),
        attributes: view.attributes.clone().into_iter().collect(),
        tracks: view.tracks.iter().map(track_info).collect(),
        permission: Some(permission(&view.permissions)),
        joined_at: view.joined_at_ms / 1000,
        joined_at_ms: view.joined_at_ms,
        version: view.version,
        is_publisher: !view.tracks.is_empty(),
        disconnect_reason: left.map_or(0, |reason| disconnect_reason(reason) as i32),
        ..Default::default()
    }
}

/// Whether a picture flows to the client, or is held back for want of bandwidth.
pub fn stream_state(label: TrackLabel, held: bool) -> lk::StreamStateInfo {
    let state = if held { lk::StreamState::Paused } else { lk::StreamState::Active };
    lk::StreamStateInfo {
        participant_sid: label.publisher,
        track_sid: label.track,
        state: state as i32,
    }
}

fn permission(permissions: &Permissions) -> lk::ParticipantPermission {
    lk::ParticipantPermission {
        can_subscribe: permissions.subscribe,
        can_publish: permissions.publish,
        can_publish_data: permissions.publish_data,
        can_publish_sources: permissions.sources.iter().map(|it| source(*it) as i32).collect(),
        hidden: permissions.hidden,
        can_update_metadata: permissions.update_own,
        ..Default::default()
    }
}

/// A track as LiveKit shows it.
pub fn track_info(view: &TrackView) -> lk::TrackInfo {
    let info = &view.info;
    let layers: Vec<lk::VideoLayer> = info
        .layers
        .iter()
        .map(|it| lk::VideoLayer {
            quality: i32::from(it.index),
            width: it.width,
            height: it.height,
            bitrate: it.bitrate,
            spatial_layer: i32::from(it.index),
            ..Default::default()
        })
        .collect();
    let codec = lk::SimulcastCodecInfo {
        mime_type: info.mime.clone(),
        mid: view.mid.clone(),
        cid: view.cid.clone(),
        layers: layers.clone(),
        ..Default::default()
    };
    lk::TrackInfo {
        sid: view.sid.to_string(),
        r#type: match view.kind {
            MediaKind::Audio => lk::TrackType::Audio,
            MediaKind::Video => lk::TrackType::Video,
        } as i32,
        name: info.name.clone(),
        muted: view.muted,
        width: info.width,
        height: info.height,
        simulcast: info.layers.len() > 1,
        disable_dtx: !info.dtx,
        source: source(info.source) as i32,
        layers,
        mime_type: info.mime.clone(),
        mid: view.mid.clone(),
        codecs: vec![codec],
        stereo: info.stereo,
        disable_red: info.red_disabled,
        encryption: info.encryption,
        stream: info.stream.clone(),
        ..Default::default()
    }
}

fn source(source: TrackSource) -> lk::TrackSource {
    match source {
        TrackSource::Unknown => lk::TrackSource::Unknown,
        TrackSource::Camera => lk::TrackSource::Camera,
        TrackSource::Microphone => lk::TrackSource::Microphone,
        TrackSource::ScreenShare => lk::TrackSource::ScreenShare,
        TrackSource::ScreenShareAudio => lk::TrackSource::ScreenShareAudio,
    }
}

fn quality(sid: &str, quality: Quality) -> lk::ConnectionQualityInfo {
    let (quality, score) = match quality {
        Quality::Excellent => (lk::ConnectionQuality::Excellent, 5.0),
        Quality::Good => (lk::ConnectionQuality::Good, 4.0),
        Quality::Poor => (lk::ConnectionQuality::Poor, 2.0),
    };
    lk::ConnectionQualityInfo { participant_sid: sid.into(), quality: quality as i32, score }
}

fn layers_wanted(sid: &str, mime: &str, layers: [bool; 3]) -> lk::SubscribedQualityUpdate {
    let qualities: Vec<lk::SubscribedQuality> = layers
        .iter()
        .zip(0..)
        .map(|(enabled, quality)| lk::SubscribedQuality { quality, enabled: *enabled })
        .collect();
    // Clients compare with the short name in lower case.
    let codec = mime.rsplit('/').next().unwrap_or(mime).to_lowercase();
    lk::SubscribedQualityUpdate {
        track_sid: sid.into(),
        subscribed_codecs: vec![lk::SubscribedCodec { codec, qualities: qualities.clone() }],
        subscribed_qualities: qualities,
    }
}

#[cfg(test)]
mod tests {
    use room::LiveSettings;

    use super::*;

    #[test]
    fn what_the_signalling_has_no_word_for_goes_as_data_of_the_servers() {
        let live = LiveSettings { locked: true, ..LiveSettings::default() };
        for (notice, topic, text) in [
            (Notice::Asked(Ask::Unmute), "plenum.request", r#"{"ask":"unmute"}"#),
            (Notice::Asked(Ask::Camera), "plenum.request", r#"{"ask":"camera"}"#),
            (Notice::Lobby(LobbyNews { live, waiting: 3 }), "plenum.lobby", r#""waiting":3"#),
        ] {
            let Told::Data(packet) = super::notice(notice, false) else { panic!("signalling") };
            assert!(packet.participant_identity.is_empty(), "no participant sends it");
            let Some(lk::data_packet::Value::User(user)) = packet.value else { panic!("no data") };
            assert_eq!(user.topic.as_deref(), Some(topic));
            let json = String::from_utf8(user.payload).unwrap();
            assert!(json.contains(text), "{json}");
        }
    }
}
