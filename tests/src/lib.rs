//! The kit for tests with real peers: browsers, LiveKit's Python client and room systems whose pictures and sounds are told
//! apart by content.
//!
//! A failing step panics with what was awaited: this crate serves tests alone.

pub mod admin;
pub mod analyse;
pub mod baresip;
pub mod browser;
pub mod caller;
pub mod content;
pub mod device;
pub mod driver;
pub mod kamailio;
pub mod libre;
pub mod lips;
pub mod machine;
pub mod media;
pub mod network;
pub mod person;
pub mod phone;
pub mod python;
pub mod sdk;
pub mod server;
pub mod sight;
pub mod story;
pub mod token;
pub mod wait;
