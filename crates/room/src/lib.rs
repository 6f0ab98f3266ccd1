//! L2: the rules of a meeting.
//!
//! [`Room::handle`] takes a command and the time, changes the state and answers with effects, or
//! refuses. It does no I/O and knows no protocol: adapters translate [`Notice`]s for their clients,
//! `conference` carries out [`MediaEffect`]s on the media planes.
#![warn(missing_docs)]

mod command;
mod effect;
mod lobby;
mod member;
mod membership;
mod moderating;
mod publishing;
mod role;
mod room;
mod speaking;
mod steering;
mod subscribing;

pub use command::{
    Command, DataKind, Join, MemberChange, Permissions, PublishRequest, Refusal, TrackChange,
};
pub use effect::{
    Effect, Fate, JoinSnapshot, LeaveReason, Lobby, LobbyNews, MediaEffect, MeetingView, Notice,
    ParticipantView, Presence, Quality, SpeakerView, TrackView, WaitingView, layout_of,
};
pub use lobby::Knock;
pub use member::{
    CONTENT_ATTRIBUTE, HAND_ATTRIBUTE, LAYOUT_ATTRIBUTE, LayerInfo, TrackInfo, VideoWanted,
};
pub use role::{ROLE_ATTRIBUTE, Role, RoleError};
pub use room::{Room, RoomSettings};
pub use steering::{Act, Actor, Ask, LiveChange, LiveSettings, Medium};
