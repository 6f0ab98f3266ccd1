//! What is sent to those who are invited: an entry for calendars, and a text.

pub mod ics;
mod lines;
pub mod text;
mod zone;

use types::RecordId;

/// Somebody with an e-mail address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// As people know them.
    pub name: String,
    /// Their e-mail address.
    pub email: String,
}

/// What a calendar knows a meeting by: the same for every version of its invitation, and another one
/// on every other server.
pub fn uid(id: &RecordId, host: &str) -> String {
    let plain = |text: &str| -> String {
        text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')).collect()
    };
    format!("{}@{}", plain(id.as_str()), plain(host))
}
