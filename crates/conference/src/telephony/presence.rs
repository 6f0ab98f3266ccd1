//! Which room systems of the house can be called now.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use types::{MeetingId, RecordId};

use super::dial_rule::Transport;

/// How a device stands that is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It can be called.
    Online,
    /// It is in a call with us.
    InCall,
}

/// One application or device behind a registered name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Where its messages come from, which is where it is called.
    pub from: SocketAddr,
    /// What carries them.
    pub transport: Transport,
    /// What it calls itself.
    pub agent: Option<String>,
    /// For how long it is registered unless it says so again.
    pub remains: Duration,
}

/// A device that is registered; all others are offline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Its record.
    pub device: RecordId,
    /// Its name when it registered.
    pub name: String,
    /// Its extension when it registered.
    pub extension: MeetingId,
    /// How it stands.
    pub presence: Presence,
    /// Where it is, the latest first.
    pub registered: Vec<Registered>,
}
