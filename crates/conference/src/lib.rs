//! L3: meetings at work. One actor per meeting runs the rules of `room` and carries out their
//! effects on the media planes; adapters (browsers, room systems) join through
//! [`Conference::join`].
#![warn(missing_docs)]

pub mod access;
pub mod booking;
mod bridge;
mod clock;
mod conference;
mod content;
mod dialling;
pub mod events;
pub mod history;
mod ids;
pub mod kept;
mod leg;
mod media;
mod meeting;
mod member;
pub mod people;
pub mod problem;
mod speech;
pub mod store;
pub mod telephony;
mod upkeep;
mod waiting;

pub use bridge::{LegAudio, LegFormat, Sharing};
pub use clock::{Clock, ClockHand};
pub use conference::{Conference, JoinError, JoinRequest, Participant};
pub use content::LegContent;
pub use dialling::{
    CODECS_ATTRIBUTE, CameraOrder, CameraRefusal, DialRefusal, DialledLeg, Dialler, LegId,
    LegState, Motion, RULE_ATTRIBUTE, Way,
};
pub use events::{Event, Happening, News, Subscription};
pub use ids::random_id;
pub use leg::{Leg, LegEvent, LegSeat};
pub use meeting::{ExecuteError, Linger, MeetingHandle, MeetingSnapshot};
pub use member::{Member, MemberEvent};
pub use upkeep::look_after;
pub use waiting::Waiting;
