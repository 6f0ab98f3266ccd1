//! L4: room systems and phones over SIP. [`sip`] is the signalling, [`leg`] one call at work
//! between it and a meeting, [`Gateway`] all of them.

mod gateway;
mod ladders;
mod leg;
mod plan;
mod registrar;
pub mod sip;
mod trunks;

pub use gateway::{Gateway, GatewayConfig};
pub use leg::{Code, Codes, CodesError, Control, MediaRules};
