//! L3: one HTTP request to one server that the configuration names.
//!
//! Nothing is followed and nothing is kept: no redirects, no cookies, no proxies, a connection for
//! each request. An answer is read up to a bound, and all of it has one time-out; one that goes on
//! for long, such as a stream of events, is read bit by bit instead.
#![warn(missing_docs)]

mod address;
mod client;

pub use address::{Address, AddressError, Server};
pub use client::{Answer, Client, FetchError, Opened};
