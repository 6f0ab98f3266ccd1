//! The kit for tests with real peers: browsers and room systems whose pictures and sounds are told
//! apart by content.
//!
//! A failing step panics with what was awaited: this crate serves tests alone.

pub mod analyse;
pub mod baresip;
pub mod browser;
pub mod media;
pub mod server;
pub mod story;
pub mod wait;
