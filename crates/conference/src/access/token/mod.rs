//! LiveKit's access tokens: a JWT (RFC 7519) signed with HMAC-SHA256, whose claims say who comes
//! and what they may do.

mod claims;
mod keys;

use std::collections::BTreeMap;
use std::time::Duration;

use room::{ROLE_ATTRIBUTE, Role};
use thiserror::Error;
use types::{Identity, MeetingId, MeetingIdError, ParticipantKind, TrackSource};

pub use keys::{KeyRights, Keys, KeysError, SignError};

/// The longest token, in bytes. Browsers send it in a query, where little more would pass.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// The longest identity, in bytes.
pub const MAX_IDENTITY_BYTES: usize = 256;
/// The longest display name, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// The longest metadata of a participant, in bytes, however it was set.
pub const MAX_METADATA_BYTES: usize = 64 * 1024;
/// The most that all attributes of a participant may have together, keys and values, in bytes,
/// however they were set.
pub const MAX_ATTRIBUTES_BYTES: usize = 64 * 1024;
/// How far the clock of whoever made a token may be off.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// What a token says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The id of the key that signed the token or is to sign it (`iss`).
    pub issuer: String,
    /// Who comes (`sub`); server APIs do not need it.
    pub identity: Option<Identity>,
    /// What others read; may be empty.
    pub name: String,
    /// The application's own text; unread here.
    pub metadata: String,
    /// The application's own keys and values; JSON `null` is dropped.
    pub attributes: BTreeMap<String, String>,
    /// What stands behind the participant.
    pub kind: Kind,
    /// Rights in rooms.
    pub video: VideoGrant,
    /// Rights over calls.
    pub sip: SipGrant,
    /// The hash of the body that a webhook's token vouches for.
    pub sha256: Option<String>,
}

/// A participant's kind as a token claims it; [`ParticipantKind::Standard`] if it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub ParticipantKind);

impl Default for Kind {
    fn default() -> Self {
        Self(ParticipantKind::Standard)
    }
}

/// Rights in rooms. The defaults are those of an empty grant: no room, but who joins one may
/// publish and subscribe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoGrant {
    /// May join `room`.
    pub room_join: bool,
    /// The room that the grant is about.
    pub room: Option<String>,
    /// May create and delete rooms; never more than the key's own right.
    pub room_create: bool,
    /// May list rooms.
    pub room_list: bool,
    /// May mute, remove and change the participants of `room`.
    pub room_admin: bool,
    /// May record.
    pub room_record: bool,
    /// May publish tracks.
    pub can_publish: bool,
    /// May subscribe to tracks.
    pub can_subscribe: bool,
    /// May send data packets; follows `can_publish` where the token is silent.
    pub can_publish_data: bool,
    /// The sources that may be published; `None`: every one.
    pub can_publish_sources: Option<Vec<TrackSource>>,
    /// May change their own name, metadata and attributes.
    pub can_update_own_metadata: bool,
    /// Stands in no roster.
    pub hidden: bool,
    /// Is a recorder.
    pub recorder: bool,
    /// The room that participants may be forwarded or moved to.
    pub destination_room: Option<String>,
}

impl Default for VideoGrant {
    fn default() -> Self {
        Self {
            room_join: false,
            room: None,
            room_create: false,
            room_list: false,
            room_admin: false,
            room_record: false,
            can_publish: true,
            can_subscribe: true,
            can_publish_data: true,
            can_publish_sources: None,
            can_update_own_metadata: false,
            hidden: false,
            recorder: false,
            destination_room: None,
        }
    }
}

impl VideoGrant {
    /// Whether a track of `source` may be published.
    pub fn may_publish(&self, source: TrackSource) -> bool {
        let listed = self.can_publish_sources.as_ref().is_none_or(|list| list.contains(&source));
        self.can_publish && listed
    }

    /// Whether the participants of `room` may be administered.
    pub fn administers(&self, room: &str) -> bool {
        self.room_admin && self.room.as_deref() == Some(room)
    }
}

/// Rights over calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SipGrant {
    /// May administer trunks and dispatch rules.
    pub admin: bool,
    /// May dial out; never more than the key's own right.
    pub call: bool,
}

/// A token is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Larger than [`MAX_TOKEN_BYTES`].
    #[error("the token is larger than {MAX_TOKEN_BYTES} bytes")]
    TooLarge,
    /// Not three parts of base64url with JSON of the right shape in them.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// Signed by something else than HS256, or by nothing.
    #[error("the token is not signed with HS256")]
    WrongAlgorithm,
    /// No key has the id that the token names.
    #[error("the token's key is not known")]
    UnknownKey,
    /// The key did not sign this.
    #[error("the token's signature is wrong")]
    BadSignature,
    /// `exp` is past.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is still to come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// A field is over its limit.
    #[error("the token's {field} has more than {limit} bytes")]
    FieldTooLong {
        /// The field.
        field: &'static str,
        /// Its limit in bytes.
        limit: usize,
    },
}

/// A valid token does not let its bearer join.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JoinGrantError {
    /// No `roomJoin`.
    #[error("the token does not grant joining a room")]
    NotGranted,
    /// No identity.
    #[error("the token names no identity")]
    NoIdentity,
    /// No room.
    #[error("the token names no room")]
    NoRoom,
    /// The room cannot be a meeting's id.
    #[error("the token's room is no meeting: {0}")]
    Room(MeetingIdError),
}

impl Grant {
    /// What its holder is in the room, unless a host made it something else there.
    pub fn role(&self) -> Role {
        if self.video.room_admin {
            return Role::Host;
        }
        match self.attributes.get(ROLE_ATTRIBUTE).map(|it| it.parse()) {
            Some(Ok(Role::Attendee)) => Role::Attendee,
            _ => Role::Presenter,
        }
    }

    /// What a token says of a role that is no host's.
    pub fn set_role(&mut self, role: Role) {
        self.video.room_admin = role == Role::Host;
        self.attributes.remove(ROLE_ATTRIBUTE);
        if role == Role::Attendee {
            self.attributes.insert(ROLE_ATTRIBUTE.to_owned(), role.to_string());
        }
    }

    /// Who joins which meeting, where the grant is one to join.
    pub fn join(&self) -> Result<(&Identity, MeetingId), JoinGrantError> {
        if !self.video.room_join {
            return Err(JoinGrantError::NotGranted);
        }
        let identity = self.identity.as_ref().ok_or(JoinGrantError::NoIdentity)?;
        let room = self.video.room.as_deref().ok_or(JoinGrantError::NoRoom)?;
        let meeting = MeetingId::parse(room).map_err(JoinGrantError::Room)?;
        Ok((identity, meeting))
    }

    /// Holds every field against its limit.
    fn check_sizes(&self) -> Result<(), TokenError> {
        let identity = self.identity.as_ref().map_or(0, |identity| identity.as_str().len());
        let attributes = self.attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
        for (field, bytes, limit) in [
            ("identity", identity, MAX_IDENTITY_BYTES),
            ("name", self.name.len(), MAX_NAME_BYTES),
            ("metadata", self.metadata.len(), MAX_METADATA_BYTES),
            ("attributes", attributes, MAX_ATTRIBUTES_BYTES),
        ] {
            if bytes > limit {
                return Err(TokenError::FieldTooLong { field, limit });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
