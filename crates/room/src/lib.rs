//! L2: the rules of a meeting.
//!
//! [`Room::handle`] takes a command and the time, changes the state and answers with effects, or
//! refuses. It does no I/O and knows no protocol: adapters translate [`Notice`]s for their clients,
//! `conference` carries out [`MediaEffect`]s on the media planes.
#![warn(missing_docs)]

mod command;
mod effect;
mod member;
mod membership;
mod moderating;
mod publishing;
mod room;
mod speaking;
mod subscribing;

pub use command::{
    Command, DataKind, Join, MemberChange, Permissions, PublishRequest, Refusal, TrackChange,
};
pub use effect::{
    Effect, JoinSnapshot, LeaveReason, MediaEffect, MeetingView, Notice, ParticipantView, Presence,
    Quality, SpeakerView, TrackView, layout_of,
};
pub use member::{LAYOUT_ATTRIBUTE, LayerInfo, TrackInfo, VideoWanted};
pub use room::{Room, RoomSettings};
