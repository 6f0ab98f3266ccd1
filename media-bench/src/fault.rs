//! What keeps a measurement from being made.

use thiserror::Error;

/// Why there is no figure.
#[derive(Debug, Error)]
pub enum Fault {
    #[error("{doing}: {error}")]
    Io { doing: String, error: std::io::Error },
    #[error("a message between the bench and its servers: {0}")]
    Json(#[from] serde_json::Error),
    #[error("codec: {0}")]
    Codec(#[from] codec::CodecError),
    #[error("media threads: {0}")]
    Mcu(#[from] mcu::McuError),
    #[error("cutting a frame into packets: {0}")]
    Packetize(#[from] rtp::payload::PacketizeError),
    #[error("SRTP: {0}")]
    Srtp(#[from] rtp::srtp::SrtpError),
    #[error("WebRTC: {0}")]
    Rtc(#[from] str0m::RtcError),
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// The figure would not mean what it says.
    #[error("refused: {0}")]
    Refused(String),
    #[error("{0}")]
    Other(String),
}

pub type Result<T> = std::result::Result<T, Fault>;

/// Says what failed.
pub trait Doing<T> {
    fn doing(self, what: impl Into<String>) -> Result<T>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|error| Fault::Io { doing: what.into(), error })
    }
}

/// Anything that should be there and is not.
pub fn missing(what: impl Into<String>) -> Fault {
    Fault::Other(format!("{} is missing", what.into()))
}
