//! L4: room systems. The SIP half of the gateway is in [`sip`].

pub mod sip;
