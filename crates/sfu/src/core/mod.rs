//! The forwarding core: which packet goes to whom, in which layer, under which numbers.
//!
//! Pure: no lock, no channel, no clock, no socket. A shard feeds it packets that its transports
//! have decrypted, and carries the results to the transports and lanes of the receivers.

mod budget;
mod key_frame;
mod layer;
mod level;
mod rewrite;
mod router;
mod subscription;
mod track;

pub use layer::{LayerSpec, MAX_LAYERS, Wanted};
pub(crate) use rewrite::Rewrite;
pub use router::{Due, Holding, KeyFrameRequest, Router, TrackLevel};
pub use subscription::{Outgoing, SinkId};
