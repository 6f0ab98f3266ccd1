//! Who may: access tokens and the keys that sign them, the meetings and their PINs, the addresses
//! that may be dialled, and how often one address may try.
//!
//! Nothing here reads a clock: whoever asks brings the time along.

mod booked;
pub mod dial;
pub mod directory;
mod keyring;
pub mod limit;
mod network;
pub mod token;

pub use booked::Booked;
pub use dial::{DialPattern, DialPatternError};
pub use directory::{
    Admission, AdmissionError, CreateError, Directory, KeptPin, MeetingSettings, Pin, PinError,
    Role, Visitor,
};
pub use keyring::{ApplicationKey, KeyChange, Keyring, SealedSecret};
pub use limit::{Buckets, Limiter, Rate, TooMany};
pub use network::{IpNetwork, IpNetworkError};
pub use token::{
    Grant, JoinGrantError, KeyRights, Keys, KeysError, Kind, SignError, SipGrant, TokenError,
    VideoGrant,
};
