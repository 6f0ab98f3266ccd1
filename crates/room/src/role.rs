//! What somebody is in a meeting, and what that leaves of its rights.

use std::fmt;
use std::str::FromStr;

use types::TrackSource;

use crate::command::Permissions;

/// The attribute that shows everybody a participant's role; absent for presenters. Nobody sets it
/// but these rules.
pub const ROLE_ATTRIBUTE: &str = "plenum.role";

/// What somebody is in a meeting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    /// Steers, and may publish everything.
    Host,
    /// May publish everything.
    #[default]
    Presenter,
    /// Shares no screen and, where the meeting says so, but listens.
    Attendee,
}

/// A text is no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("give \"host\", \"presenter\" or \"attendee\"")]
pub struct RoleError;

impl Role {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Presenter => "presenter",
            Self::Attendee => "attendee",
        }
    }

    /// What the role leaves of the rights of a token. `listen`: attendees but listen.
    pub(crate) fn limit(self, granted: &Permissions, listen: bool) -> Permissions {
        let mut permissions = granted.clone();
        if self != Self::Attendee {
            return permissions;
        }
        let own = [TrackSource::Camera, TrackSource::Microphone];
        if permissions.sources.is_empty() {
            permissions.sources = own.to_vec();
        } else {
            permissions.sources.retain(|it| own.contains(it));
        }
        // An empty list would mean every source.
        permissions.publish &= !listen && !permissions.sources.is_empty();
        permissions
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let roles = [Self::Host, Self::Presenter, Self::Attendee];
        roles.into_iter().find(|it| it.as_str() == text).ok_or(RoleError)
    }
}
