//! Payload formats: what an RTP packet carries, and how a frame is cut into packets.

pub mod audio;
pub mod h224;
pub mod h264;
pub mod red;
pub mod sps;
pub mod vp8;

/// RTP payload bytes that our packetizers put into one packet at most.
///
/// With 12 bytes of RTP header, 20 of SRTP tag and index, and 48 of IPv6 and UDP it stays below the
/// 1280 bytes that every IPv6 path carries.
pub const MTU: usize = 1200;

/// Bytes of a coded picture that a depacketizer collects at most; a larger one is dropped.
pub const MAX_FRAME: usize = 1 << 20;

/// One coded picture, put together from its packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The coded bytes: Annex B (start codes of four bytes) for H.264, the bare frame for VP8.
    pub data: Vec<u8>,
    /// RTP timestamp, 90 kHz.
    pub timestamp: u32,
    /// Whether decoding can start here.
    pub key: bool,
    /// Whether a part is missing, or a picture before it. A decoder shows garbage until the next
    /// key frame that is whole.
    pub damaged: bool,
}

/// Why a frame could not be cut into packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketizeError {
    /// The frame has no content.
    #[error("frame is empty")]
    Empty,
    /// A NAL unit does not fit into a packet and the receiver takes no fragments (mode 0).
    #[error("NAL unit of {0} bytes does not fit into one packet")]
    TooLarge(usize),
    /// A NAL unit's type is none that a packet of its own may carry (RFC 6184 section 5.2).
    #[error("NAL unit type {0} is no coded unit")]
    NalType(u8),
}
