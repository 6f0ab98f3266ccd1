//! L2: the forwarding plane. A *shard* is one thread that owns its meetings' media: it receives
//! packets, asks [`core`] who gets them, and sends them on.
//!
//! [`Shard`] is the whole of it without thread and sockets, so that tests run it in virtual time;
//! [`driver`] gives it both.
#![warn(missing_docs)]

mod command;
pub mod core;
pub mod driver;
#[doc(hidden)]
pub mod fuzz;
mod shard;
mod stun;
pub mod transport;

pub use command::{
    AudioHints, CloseReason, Command, DataChannel, LegPath, NetworkFigures, Origin, PeerEvent,
    PeerEvents, Publication, TrackLabel,
};
pub use driver::ShardHandle;
pub use shard::{LegTransmit, Shard, ShardCounters, Transmit};
