//! L1: floor control for content sharing (BFCP): messages (RFC 8855) and both ends of them.
//!
//! A call has a conference of its own with one floor, the room system's second picture. [`Server`]
//! grants it; [`Client`] asks for it where the peer insists on being the server. Both are sans-IO:
//! bytes and time go in; [`Server::transmit`] and [`Client::transmit`] give what is to be sent,
//! `event` what happened, `timeout` when to call `handle_timeout`.
//!
//! Version 1 is for TCP, version 2 for UDP; over UDP some devices still speak 1, and are answered
//! in it.
#![warn(missing_docs)]

mod client;
mod exchange;
#[doc(hidden)]
pub mod fuzz;
mod message;
mod server;
mod stream;

pub use client::{Client, ClientEvent};
pub use exchange::{Ids, Transport};
pub use message::{Attribute, Message, ParseError, Primitive, Status};
pub use server::{Server, ServerEvent};
pub use stream::{Framing, MAX_MESSAGE};
