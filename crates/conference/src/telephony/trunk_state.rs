//! How the trunks stand now.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use types::RecordId;

use super::dial_rule::Transport;

/// Whether a server of a trunk is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Nobody has asked yet.
    #[default]
    Unknown,
    /// It answers.
    Up,
    /// It does not: calls go to others first.
    Down,
}

/// Whether we are registered at a trunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Enrolment {
    /// We do not register there, or only before a call.
    #[default]
    None,
    /// We are.
    Registered,
    /// We are not: it is tried again.
    Failed,
}

/// One server of a trunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrunkServer {
    /// Where it is.
    pub address: SocketAddr,
    /// What carries the signalling.
    pub transport: Transport,
    /// Whether it is there.
    pub reach: Reach,
    /// What it said, or did not, where it is down.
    pub problem: Option<String>,
}

/// A trunk as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrunkState {
    /// Its record.
    pub trunk: RecordId,
    /// Its name.
    pub name: String,
    /// Its servers, as far as they are known, in the order in which they are tried.
    pub servers: Vec<TrunkServer>,
    /// Whether we are registered.
    pub enrolment: Enrolment,
    /// For how long, unless we register again.
    pub remains: Option<Duration>,
    /// What is wrong with its name or its registration.
    pub problem: Option<String>,
    /// Calls over it, in both directions.
    pub calls: u32,
}
