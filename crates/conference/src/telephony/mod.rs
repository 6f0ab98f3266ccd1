//! Room systems, other servers and telephone exchanges as data: who may register, where calls may
//! go, and which rule decides it. The gateway acts on it; nothing here speaks a protocol.

mod address;
mod authenticate;
mod challenge;
mod contact;
mod device;
mod dial_plan;
mod dial_rule;
mod digest;
mod ladder;
mod presence;
mod trunk;
mod trunk_state;

pub use address::{CallAddress, CallAddressError};
pub use authenticate::{DigestAlgorithm, DigestResponse, NonceWorth, Nonces};
pub use challenge::DigestChallenge;
pub use contact::Contact;
pub use device::Device;
pub use dial_plan::{Call, Decision, DialPlan, Step, Verdict, decide};
pub use dial_rule::{Action, Cause, DialRule, Direction, Match, Transport};
pub use digest::{DigestVerifier, REALM};
pub use ladder::{Ladder, LadderHead, LadderMessage};
pub use presence::{Presence, Present, Registered};
pub use trunk::{CallerIdentity, Register, SealedSecret, SrtpPolicy, Trunk, TrunkKind};
pub use trunk_state::{Enrolment, Reach, TrunkServer, TrunkState};

/// Kilobits a second that a call may be given: a voice, and what no camera needs.
pub(crate) const KBPS: (u32, u32) = (64, 100_000);

/// Characters of a name.
pub(crate) const MAX_NAME: usize = 100;
/// Characters of notes.
pub(crate) const MAX_NOTES: usize = 2_000;
