//! Meetings as they are booked.

pub mod invitation;
pub mod meetings;
mod settings;
mod templates;
