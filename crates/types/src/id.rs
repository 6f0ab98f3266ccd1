//! A newtype for every id, so that one cannot stand in for another.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps a text that is known to be such an id.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// What a user calls themselves by in one meeting; unique there (LiveKit's `identity`, a token's `sub`).
    Identity
}
text_id! {
    /// One connection of a participant, `PA_…`; a new connection of the same identity has a new one.
    ParticipantSid
}
text_id! {
    /// A published track as clients know it, `TR_…`.
    TrackSid
}

text_id! {
    /// One kept record: a UUID of version 7, so that a later one sorts after an earlier one.
    RecordId
}

/// A meeting's id as people dial and type it: 1 to 64 characters of letters (any script), digits,
/// `-`, `_`, `.`; compared without regard to case, and so kept in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MeetingId(String);

/// Why a text is no meeting id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeetingIdError {
    /// Nothing was given.
    Empty,
    /// More than 64 characters.
    TooLong,
    /// This character may not stand in an id.
    Character(char),
}

impl fmt::Display for MeetingIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a meeting id cannot be empty"),
            Self::TooLong => f.write_str("a meeting id has at most 64 characters"),
            Self::Character(c) => write!(
                f,
                "a meeting id cannot contain {c:?}: use letters, digits, '-', '_' and '.'"
            ),
        }
    }
}

impl std::error::Error for MeetingIdError {}

impl MeetingId {
    /// The longest id, in characters.
    pub const MAX_CHARS: usize = 64;

    /// Reads an id as typed or dialled; surrounding white space is dropped.
    pub fn parse(text: &str) -> Result<Self, MeetingIdError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(MeetingIdError::Empty);
        }
        if text.chars().count() > Self::MAX_CHARS {
            return Err(MeetingIdError::TooLong);
        }
        match text.chars().find(|c| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))) {
            Some(c) => Err(MeetingIdError::Character(c)),
            None => Ok(Self(text.to_lowercase())),
        }
    }

    /// The id as text, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MeetingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for MeetingId {
    type Error = MeetingIdError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<MeetingId> for String {
    fn from(id: MeetingId) -> Self {
        id.0
    }
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number_id! {
    /// A participant's media connection to a shard: one per connection, never used again.
    PeerId
}
number_id! {
    /// A track inside the media planes; `TrackSid` is its name outside.
    TrackId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meeting_ids_are_read_as_people_type_them() {
        assert_eq!(MeetingId::parse(" Board-1 ").unwrap().as_str(), "board-1");
        assert_eq!(MeetingId::parse("Совет").unwrap().as_str(), "совет");
        assert_eq!(MeetingId::parse(""), Err(MeetingIdError::Empty));
        assert_eq!(MeetingId::parse("a/b"), Err(MeetingIdError::Character('/')));
        assert_eq!(MeetingId::parse(&"x".repeat(65)), Err(MeetingIdError::TooLong));
    }
}
