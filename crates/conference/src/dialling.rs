//! Calling room systems: the port between who asks (REST, commands) and who calls (the gateway).

use std::fmt;

use async_trait::async_trait;
use room::Refusal;
pub use rtp::payload::h224::{Motion, Way};
use serde::Serialize;
use types::{Identity, LegLayout, MeetingId};

use crate::telephony::{Present, TrunkState};

/// The attribute of a room system's participant that tells how its call stands.
pub(crate) const CALL_STATUS_ATTRIBUTE: &str = "sip.callStatus";
/// That with its `Call-ID`.
pub(crate) const CALL_ID_ATTRIBUTE: &str = "sip.callIDFull";
/// That with the dial rule that it came by.
pub const RULE_ATTRIBUTE: &str = "sip.ruleID";
/// That with what is spoken, such as `PCMA, H264`.
pub const CODECS_ATTRIBUTE: &str = "sip.codecs";

/// A call of ours, for as long as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct LegId(pub String);

impl fmt::Display for LegId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a call of ours stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LegState {
    /// Nothing was heard of the room system yet.
    Dialling,
    /// It rings.
    Ringing,
    /// It is in the meeting.
    Active,
    /// It was in the meeting, and is no more.
    Ended,
    /// It is busy.
    Busy,
    /// It does not want to, or may not be called by us.
    Declined,
    /// Nobody answered it.
    TimedOut,
    /// Nothing answers at the address or can serve now, or its name is not known.
    Unreachable,
    /// The address is not known there.
    NotFound,
    /// There is no codec or encryption in common.
    Incompatible,
    /// Another refusal.
    Refused,
    /// It was taken back.
    Cancelled,
    /// It could not come into the meeting: full, or over.
    NotAdmitted,
}

impl LegState {
    /// Whether nothing more comes.
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Dialling | Self::Ringing | Self::Active)
    }
}

/// A call of ours.
#[derive(Clone, Debug, Serialize)]
pub struct DialledLeg {
    /// Its id.
    pub id: LegId,
    /// Into which meeting.
    pub meeting: MeetingId,
    /// Who it is in the meeting.
    pub identity: Identity,
    /// What was dialled, without what may be a PIN.
    pub address: String,
    /// How it stands.
    pub state: LegState,
    /// How others are arranged in its picture, as it was asked for here last.
    pub layout: LegLayout,
}

/// Why nothing was dialled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialRefusal {
    /// No such meeting.
    #[error("there is no such meeting")]
    NoSuchMeeting,
    /// The address cannot be read.
    #[error("this is no SIP address: give sip:name@host, name@host, or a device's extension")]
    BadAddress,
    /// A name was given, and no device of the house is registered under it.
    #[error(
        "no device of this name or extension is registered now; to call another address give \
         sip:name@host"
    )]
    NotRegistered,
    /// The meeting is encrypted from end to end.
    #[error("{}", Refusal::NotEncrypted)]
    NotEncrypted,
    /// No rule lets it be dialled.
    #[error("no dial rule and no rule of `allow_dial` in [sip] lets this address be dialled")]
    Forbidden,
    /// A dial rule says no.
    #[error("the dial rule {rule:?} forbids this call")]
    ByRule {
        /// Its name.
        rule: String,
    },
    /// As many calls go over the trunk as may.
    #[error("as many calls as may be go over the trunk {trunk:?}: try again later")]
    TrunkFull {
        /// Its name.
        trunk: String,
    },
    /// The trunk that a dial rule names is not there, or its password cannot be read.
    #[error("the trunk of the dial rule {rule:?} cannot be used; the log says why")]
    TrunkUnusable {
        /// The rule's name.
        rule: String,
    },
    /// As many calls as there may be are up or remembered.
    #[error("too many calls: try again later")]
    TooMany,
    /// Room systems are not served, or the server stops.
    #[error("room systems are not served now")]
    Unavailable,
}

/// What a camera is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CameraOrder {
    /// Move so, until it is stopped, for some seconds at most.
    Move(Motion),
    /// Stand still.
    Stop,
    /// Keep where it looks as one of 16 places.
    Store(u8),
    /// Look there again.
    Recall(u8),
}

/// Why a camera does not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CameraRefusal {
    /// None that could be steered.
    #[error("this participant has no camera that can be steered from here")]
    NoCamera,
    /// More is asked of it than it can be told.
    #[error("the camera is told too much at once: try again")]
    Busy,
}

/// Who calls room systems.
#[async_trait]
pub trait Dialler: Send + Sync {
    /// Calls an address into a meeting. Without a layout its picture is arranged as the meeting's
    /// room systems' are. The call goes on by itself; what becomes of it,
    /// [`Dialler::leg`] tells.
    ///
    /// # Errors
    /// [`DialRefusal`]; then nothing was dialled.
    async fn dial(
        &self,
        meeting: &MeetingId,
        address: &str,
        layout: Option<LegLayout>,
    ) -> Result<DialledLeg, DialRefusal>;

    /// Devices of the house that can be called by their names now.
    fn present(&self) -> Vec<Present>;

    /// How the trunks stand, by their names.
    fn trunks(&self) -> Vec<TrunkState>;

    /// A call of a meeting, up or ended lately.
    fn leg(&self, meeting: &MeetingId, id: &LegId) -> Option<DialledLeg>;

    /// Arranges others so in its picture from now on; `None` if there is none such. A call that is
    /// over stays as it is.
    fn set_layout(&self, meeting: &MeetingId, id: &LegId, layout: LegLayout) -> Option<DialledLeg>;

    /// Steers the camera of a room system in a meeting. Whether who asks may, the caller knows.
    ///
    /// # Errors
    /// [`CameraRefusal`]: nothing is sent.
    fn steer_camera(
        &self,
        meeting: &MeetingId,
        identity: &Identity,
        order: CameraOrder,
    ) -> Result<(), CameraRefusal>;

    /// Ends a call, or takes it back; `None` if there is none such.
    fn hang_up(&self, meeting: &MeetingId, id: &LegId) -> Option<DialledLeg>;
}
