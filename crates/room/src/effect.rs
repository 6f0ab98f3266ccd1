//! What follows from a command.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use types::{
    Identity, LegLayout, MediaKind, ParticipantKind, ParticipantSid, PeerId, TrackId, TrackSid,
    TrackSource,
};

use crate::command::{DataKind, Permissions};
use crate::member::{CONTENT_ATTRIBUTE, LAYOUT_ATTRIBUTE, TrackInfo, VideoWanted};
use crate::role::Role;
use crate::steering::{Ask, LiveSettings};

/// One consequence.
#[derive(Clone, Debug)]
pub enum Effect {
    /// A participant is told something.
    Tell {
        /// Whom.
        to: PeerId,
        /// What.
        notice: Notice,
    },
    /// The media planes do something.
    Media(MediaEffect),
    /// Who is to be seen large from now on where one is, until another is.
    Speaker(PeerId),
    /// Somebody who knocked need not wait any more.
    Fate {
        /// Who.
        identity: Identity,
        /// What becomes of it.
        fate: Fate,
    },
    /// A data message goes to these participants.
    Deliver {
        /// To whom.
        to: Vec<PeerId>,
        /// On which channel.
        kind: DataKind,
        /// The whole message.
        message: Arc<[u8]>,
    },
}

/// What becomes of somebody who asked to come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It may come in.
    Admitted,
    /// A host sent it away.
    Refused,
    /// The meeting ended.
    Over,
}

/// The lobby as hosts see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lobby {
    /// How the door stands.
    pub live: LiveSettings,
    /// Who waits, the longest first.
    pub waiting: Vec<WaitingView>,
}

/// Somebody in the lobby.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingView {
    /// Who.
    pub identity: Identity,
    /// Shown name.
    pub name: String,
    /// What.
    pub kind: ParticipantKind,
    /// Since when, in milliseconds since 1970.
    pub since_ms: i64,
}

/// What hosts are told whenever the lobby changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LobbyNews {
    /// How the door stands.
    pub live: LiveSettings,
    /// How many wait.
    pub waiting: usize,
}

/// What a participant is told. Adapters put it into their protocol's words.
#[derive(Clone, Debug)]
pub enum Notice {
    /// It is in.
    Joined(Box<JoinSnapshot>),
    /// Others, or itself, came, changed or left. One copy, however many are told.
    Participants(Arc<[ParticipantView]>),
    /// Its own track was taken.
    TrackPublished {
        /// Its own id of it.
        cid: String,
        /// The track.
        track: TrackView,
    },
    /// Its own track ended by the server's will.
    TrackUnpublished(TrackSid),
    /// Who speaks: changes only.
    Speakers(Vec<SpeakerView>),
    /// How connections do: changes only.
    Qualities(Vec<(ParticipantSid, Quality)>),
    /// The meeting itself changed.
    Meeting(MeetingView),
    /// Its own track was muted or unmuted by the server.
    TrackMuted {
        /// The track.
        track: TrackSid,
        /// Muted or not.
        muted: bool,
    },
    /// Which layers of its own track somebody wants, the smallest first.
    LayersWanted {
        /// The track.
        track: TrackSid,
        /// The codec that they are of.
        mime: String,
        /// Wanted or not.
        layers: [bool; 3],
    },
    /// Somebody gets its own track.
    Subscribed(TrackSid),
    /// A host asks its person for something.
    Asked(Ask),
    /// The lobby changed; hosts alone are told.
    Lobby(LobbyNews),
    /// It is out.
    Left(LeaveReason),
}

/// The meeting as a newcomer finds it.
#[derive(Clone, Debug)]
pub struct JoinSnapshot {
    /// The meeting.
    pub meeting: MeetingView,
    /// The newcomer itself.
    pub me: ParticipantView,
    /// Everybody else that is shown.
    pub others: Vec<ParticipantView>,
}

/// The meeting as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingView {
    /// `RM_…`.
    pub sid: String,
    /// The id by which it is joined.
    pub id: String,
    /// Free text.
    pub metadata: String,
    /// Milliseconds since 1970.
    pub created_at_ms: i64,
    /// Limit of participants.
    pub max_participants: u32,
    /// Participants that are shown.
    pub participants: u32,
    /// Those of them that send tracks.
    pub publishers: u32,
}

/// How far a participant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Its signalling is there.
    Joined,
    /// Media can flow.
    Active,
    /// It is gone.
    Disconnected(LeaveReason),
}

/// A participant as it is shown.
#[derive(Clone, Debug)]
pub struct ParticipantView {
    /// Its connection.
    pub peer: PeerId,
    /// `PA_…`.
    pub sid: ParticipantSid,
    /// Who.
    pub identity: Identity,
    /// Shown name.
    pub name: String,
    /// What.
    pub kind: ParticipantKind,
    /// How far.
    pub presence: Presence,
    /// Free text.
    pub metadata: String,
    /// Free texts.
    pub attributes: BTreeMap<String, String>,
    /// What it may do.
    pub permissions: Permissions,
    /// What it is here.
    pub role: Role,
    /// The tracks that can be subscribed to.
    pub tracks: Vec<TrackView>,
    /// Milliseconds since 1970.
    pub joined_at_ms: i64,
    /// Grows with every change.
    pub version: u32,
}

impl ParticipantView {
    /// How others are arranged in its picture; `None` for who is no room system.
    pub fn layout(&self) -> Option<LegLayout> {
        layout_of(self.kind, &self.attributes)
    }

    /// Whether its picture shows shared screens, where it is a room system's.
    pub fn shows_content(&self) -> bool {
        self.attributes.get(CONTENT_ATTRIBUTE).is_none_or(|it| it != "false")
    }
}

/// How others are arranged in a participant's picture, by its attributes; `None` for who is no room
/// system.
pub fn layout_of(
    kind: ParticipantKind,
    attributes: &BTreeMap<String, String>,
) -> Option<LegLayout> {
    let asked = || attributes.get(LAYOUT_ATTRIBUTE).and_then(|it| it.parse().ok());
    (kind == ParticipantKind::Sip).then(|| asked().unwrap_or_default())
}

/// A track as it is shown.
#[derive(Clone, Debug)]
pub struct TrackView {
    /// Its id in the media planes.
    pub id: TrackId,
    /// `TR_…`.
    pub sid: TrackSid,
    /// The publisher's own id.
    pub cid: String,
    /// Sound or picture.
    pub kind: MediaKind,
    /// All else.
    pub info: TrackInfo,
    /// Muted or not.
    pub muted: bool,
    /// Whether a host holds it muted, so that a host alone lifts it.
    pub held: bool,
    /// Its media section in the publisher's connection.
    pub mid: String,
}

/// How loud somebody is.
#[derive(Clone, Debug, PartialEq)]
pub struct SpeakerView {
    /// Who.
    pub sid: ParticipantSid,
    /// 0 to 1.
    pub level: f32,
    /// Whether it counts as speaking.
    pub active: bool,
}

/// How a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// Less than 2% lost.
    Excellent,
    /// Less than 10% lost.
    Good,
    /// More.
    Poor,
}

/// Why somebody is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// It left by itself.
    ByItself,
    /// It connected anew under the same identity.
    Replaced,
    /// A host or the server removed it.
    Removed,
    /// A host put it back into the lobby.
    MovedToLobby,
    /// The meeting was ended.
    MeetingEnded,
    /// The server stops.
    ServerStops,
    /// Its connection was lost.
    ConnectionLost,
    /// It read too slowly or broke the protocol.
    Misbehaved,
}

/// What the media planes do.
#[derive(Clone, Debug)]
pub enum MediaEffect {
    /// A track is about to be sent.
    Publish {
        /// By whom.
        peer: PeerId,
        /// Its id.
        track: TrackId,
        /// The client's own ids of it.
        cids: Vec<String>,
        /// Sound or picture.
        kind: MediaKind,
        /// Its layers and hints.
        info: TrackInfo,
    },
    /// A track ends.
    Unpublish(TrackId),
    /// A participant gets a track.
    Subscribe {
        /// Who.
        peer: PeerId,
        /// What.
        track: TrackId,
        /// Sound or picture.
        kind: MediaKind,
        /// Camera, microphone, screen: which tracks belong together.
        source: TrackSource,
        /// The publisher, for the track's label.
        publisher: ParticipantSid,
        /// The track's name, for its label.
        sid: TrackSid,
    },
    /// A participant no longer gets a track.
    Unsubscribe {
        /// Who.
        peer: PeerId,
        /// What.
        track: TrackId,
    },
    /// What a participant wants of a track.
    SetWanted {
        /// Who.
        peer: PeerId,
        /// Of what.
        track: TrackId,
        /// Whether packets at all.
        enabled: bool,
        /// Which layer.
        wanted: VideoWanted,
    },
    /// The track's gate opens or closes for everybody.
    SetGate {
        /// The track.
        track: TrackId,
        /// Whether packets pass.
        open: bool,
    },
    /// A participant's connection ends.
    ClosePeer(PeerId),
    /// A participant waits outside from now on: nothing flows to it or from it. A connection that
    /// cannot wait ends.
    MoveOut(PeerId),
}
