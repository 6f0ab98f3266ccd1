//! Batched UDP sockets for Linux: many datagrams for one system call, both ways.
//!
//! Receiving goes through `quinn-udp` (`recvmmsg` with GRO). Sending is our own: one `sendmmsg`
//! carries many messages, and each may hold up to 64 datagrams of one size to one destination,
//! which the kernel cuts apart (GSO, `UDP_SEGMENT`).
//!
//! ```
//! use udp::{SendBatch, Socket};
//!
//! let mut ours = Socket::bind("127.0.0.1:0".parse().unwrap())?;
//! let mut peer = Socket::bind("127.0.0.1:0".parse().unwrap())?;
//! let mut batch = SendBatch::default();
//! batch.push(peer.local_addr(), b"hello").unwrap();
//! assert_eq!(ours.send(&mut batch)?.sent, 1);
//! while peer.recv(|datagram| assert_eq!(datagram.contents, b"hello"))?.datagrams == 0 {}
//! # std::io::Result::Ok(())
//! ```
//!
//! The sockets are non-blocking and know no clock: whoever owns one registers it with a poller
//! (`AsFd`) and decides when to call again. All addresses that are handed out are canonical: an
//! IPv4 peer of a dual-stack socket is a `SocketAddr::V4`.
#![warn(missing_docs)]

mod batch;
#[allow(unsafe_code)]
mod sendmmsg;
mod socket;

pub use batch::{MAX_BATCH_BYTES, MAX_BATCH_DATAGRAMS, MAX_DATAGRAM, PushError, SendBatch};
pub use socket::{Datagram, Purpose, Received, SendReport, Socket};
