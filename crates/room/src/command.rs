//! What a meeting can be asked, and how it refuses.

use std::collections::BTreeMap;
use std::sync::Arc;

use types::{
    Identity, LegLayoutError, MediaKind, ParticipantKind, ParticipantSid, PeerId, TrackId,
    TrackSid, TrackSource,
};

use crate::effect::LeaveReason;
use crate::lobby::Knock;
use crate::member::{LAYOUT_ATTRIBUTE, TrackInfo, VideoWanted};
use crate::role::Role;
use crate::steering::{Act, Actor};

/// A request to the meeting. Who may make it is part of each one's rule.
#[derive(Clone, Debug)]
pub enum Command {
    /// Somebody comes in.
    Join(Join),
    /// Somebody asks to come in, and waits if it has to; its [`crate::Fate`] is an effect, at once
    /// or later.
    Knock {
        /// Who, and as what.
        knock: Knock,
        /// When, in milliseconds since 1970.
        since_ms: i64,
    },
    /// Somebody waits no more.
    StopWaiting(Identity),
    /// A host, or the server, acts.
    Steer {
        /// Who.
        actor: Actor,
        /// What it does.
        act: Act,
    },
    /// A connection ended or says goodbye.
    Leave {
        /// Whose.
        peer: PeerId,
        /// Why.
        reason: LeaveReason,
    },
    /// Media of a participant can flow.
    Connected(PeerId),
    /// A participant will send a track.
    Publish {
        /// Who.
        peer: PeerId,
        /// What.
        request: PublishRequest,
    },
    /// The media plane found the track in the participant's offer.
    TrackBound {
        /// The track.
        track: TrackId,
        /// Its media section in the publisher's connection.
        mid: String,
    },
    /// The participant no longer sends a track.
    TrackEnded(TrackId),
    /// The codec of a track is known.
    TrackFlows {
        /// The track.
        track: TrackId,
        /// Its media type, such as `video/VP8`.
        mime: String,
    },
    /// A participant ends one of its tracks.
    Unpublish {
        /// Who.
        peer: PeerId,
        /// Which.
        track: TrackSid,
    },
    /// A participant changes one of its tracks.
    ChangeTrack {
        /// Who.
        peer: PeerId,
        /// Which.
        track: TrackSid,
        /// How.
        change: TrackChange,
    },
    /// A participant takes or drops tracks of others.
    Subscribe {
        /// Who.
        peer: PeerId,
        /// Which tracks; those that are not there are passed over.
        tracks: Vec<TrackSid>,
        /// Take or drop.
        subscribe: bool,
    },
    /// What a participant wants of tracks that it gets.
    SetWanted {
        /// Who.
        peer: PeerId,
        /// Of which tracks.
        tracks: Vec<TrackSid>,
        /// Whether it wants packets at all now.
        enabled: bool,
        /// Which layer of a picture.
        wanted: VideoWanted,
    },
    /// What the bridge to room systems wants of a picture.
    SetBridgeWanted {
        /// The track.
        track: TrackId,
        /// Which layer; `None`: nothing.
        wanted: Option<VideoWanted>,
    },
    /// A room system mutes its microphone by its remote control, or lifts that.
    MuteOwn {
        /// Which.
        peer: PeerId,
        /// Muted, or no more.
        muted: bool,
    },
    /// A participant changes how it is shown.
    ChangeMember {
        /// Who.
        peer: PeerId,
        /// How.
        change: MemberChange,
    },
    /// A message to others on a data channel.
    SendData {
        /// From whom.
        peer: PeerId,
        /// On which channel.
        kind: DataKind,
        /// To whom; everybody else where empty.
        destinations: Vec<Identity>,
        /// The whole message.
        message: Arc<[u8]>,
    },
    /// How loud a track was over the last 300 ms.
    Level {
        /// The track.
        track: TrackId,
        /// dBov.
        dbov: f32,
    },
    /// How a participant's network does.
    Network {
        /// Whose.
        peer: PeerId,
        /// The worse of the two directions' shares of lost packets, 0 to 1.
        loss: f32,
    },
    /// A host or the server mutes or unmutes a track for everybody.
    MuteTrack {
        /// Whose track.
        identity: Identity,
        /// Which.
        track: TrackSid,
        /// Muted or not.
        muted: bool,
    },
    /// A host or the server removes a participant.
    Remove {
        /// Whom.
        identity: Identity,
        /// What the participant is told.
        reason: LeaveReason,
    },
    /// A host or the server changes how a participant is shown or what it may do.
    UpdateMember {
        /// Whom.
        identity: Identity,
        /// How it is shown.
        change: MemberChange,
        /// What it may do from now on.
        permissions: Option<Permissions>,
    },
    /// A message from the server.
    ServerData {
        /// On which channel.
        kind: DataKind,
        /// To whom; everybody where empty.
        destinations: Vec<Identity>,
        /// The whole message.
        message: Arc<[u8]>,
    },
    /// The meeting's own metadata changes.
    SetMetadata(String),
    /// So many may be in it from now on. Nobody who is in has to leave.
    SetMaxParticipants(u32),
    /// The meeting ends for all.
    End(LeaveReason),
}

/// Who comes in.
#[derive(Clone, Debug)]
pub struct Join {
    /// Its connection.
    pub peer: PeerId,
    /// Its name on the wire.
    pub sid: ParticipantSid,
    /// Who it is; an earlier connection of the same identity is replaced.
    pub identity: Identity,
    /// How it is shown.
    pub name: String,
    /// What it is.
    pub kind: ParticipantKind,
    /// What it may do.
    pub permissions: Permissions,
    /// As what it comes, unless a host gave it another role before.
    pub role: Role,
    /// Somebody who may has called it: it need not wait.
    pub invited: bool,
    /// Free text for the clients.
    pub metadata: String,
    /// Free texts for the clients.
    pub attributes: BTreeMap<String, String>,
    /// Whether it gets every track without asking.
    pub auto_subscribe: bool,
    /// Milliseconds since 1970.
    pub joined_at_ms: i64,
}

/// What a participant may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Send tracks.
    pub publish: bool,
    /// Receive tracks.
    pub subscribe: bool,
    /// Send data messages.
    pub publish_data: bool,
    /// Change its own name, metadata and attributes.
    pub update_own: bool,
    /// Sources that it may publish; all where empty.
    pub sources: Vec<TrackSource>,
    /// Nobody sees it.
    pub hidden: bool,
}

impl Default for Permissions {
    /// What a guest may do.
    fn default() -> Self {
        Self {
            publish: true,
            subscribe: true,
            publish_data: true,
            update_own: true,
            sources: Vec::new(),
            hidden: false,
        }
    }
}

/// A track that somebody wants to send.
#[derive(Clone, Debug)]
pub struct PublishRequest {
    /// Its id in the media planes, given by who asks.
    pub id: TrackId,
    /// Its id for clients.
    pub sid: TrackSid,
    /// The client's own id of it.
    pub cid: String,
    /// Sound or picture.
    pub kind: MediaKind,
    /// All that is shown of it.
    pub info: TrackInfo,
}

/// A change of a track by its publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackChange {
    /// Muted or not.
    Muted(bool),
    /// Its picture's size in pixels.
    Size {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
}

/// A change of how a participant is shown; `None` leaves as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberChange {
    /// The shown name.
    pub name: Option<String>,
    /// Free text.
    pub metadata: Option<String>,
    /// Attributes to set; an empty value deletes.
    pub attributes: BTreeMap<String, String>,
}

/// The delivery of a data message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKind {
    /// In order, repeated until it arrives.
    Reliable,
    /// Once.
    Lossy,
    /// A data track's frame, once.
    Track,
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// As many participants as the meeting takes.
    #[error("the meeting is full: it takes {max} participants")]
    MeetingFull {
        /// The limit.
        max: u32,
    },
    /// The token or role does not allow it.
    #[error("not allowed to {0}")]
    NotAllowed(&'static str),
    /// The meeting is encrypted from end to end.
    #[error(
        "this meeting is encrypted from end to end: it takes encrypted media alone, and no room \
         systems"
    )]
    NotEncrypted,
    /// It has to wait in the lobby until a host lets it in.
    #[error("the host has to let it in: it waits in the lobby")]
    HasToWait,
    /// A host removed or refused it.
    #[error("a host removed or refused this participant, as long as the meeting runs")]
    Removed,
    /// As many wait as may.
    #[error("the lobby is full: {max} wait in it")]
    LobbyFull {
        /// The limit.
        max: usize,
    },
    /// Nobody of this identity waits.
    #[error("nobody waits as {0}")]
    NotWaiting(Identity),
    /// Nobody is unmuted by others.
    #[error("a person unmutes itself: ask it to")]
    AskInstead,
    /// It is its people's own wish not to be heard.
    #[error("the room system has muted itself: its people lift that by their remote control")]
    MutedItself,
    /// There is no person on the other side.
    #[error("a room system cannot be asked: lift its mute")]
    NoPerson,
    /// No such connection in this meeting.
    #[error("the connection is not in the meeting")]
    NotInMeeting,
    /// Nobody of this identity.
    #[error("no participant {0} in the meeting")]
    NoSuchParticipant(Identity),
    /// No such track, or not the asking participant's own.
    #[error("no track {0} of this participant")]
    NoSuchTrack(TrackSid),
    /// Too many tracks of one participant.
    #[error("a participant sends at most {max} tracks")]
    TooManyTracks {
        /// The limit.
        max: usize,
    },
    /// A room system's picture cannot be arranged so.
    #[error("`{LAYOUT_ATTRIBUTE}` is no layout: {0}")]
    NoLayout(LegLayoutError),
    /// A text is too long.
    #[error("{what} has at most {max} bytes")]
    TooLong {
        /// Which text.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}
