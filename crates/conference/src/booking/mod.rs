//! Meetings as they are booked: what is kept of them, when they take place, how they are dialled, and
//! what is sent to those who are invited. All of it is data and pure functions, but for [`Bookings`],
//! which keeps them; the meeting at work is [`crate::MeetingHandle`].

mod bookings;
mod email;
mod ending;
pub mod invitation;
mod meeting;
mod number;
mod pin;
mod schedule;
mod settings;
mod template;

pub use bookings::{Bookings, PinChange, Wanted};
pub use email::is_email;
pub use ending::Ending;
pub use meeting::{Identification, Invitee, Meeting, MeetingKind, MeetingRole};
pub(crate) use number::has_letter;
pub use number::{Called, MeetingNumber, MeetingNumberError};
pub use pin::PinHash;
pub use schedule::{
    Frequency, Joining, Occurrence, Occurrences, Rule, RuleError, Schedule, Timetable,
};
pub use settings::{AutomaticEnd, DialOut, Limits, Presenters, Settings, WhoMayJoin};
pub use template::Template;
