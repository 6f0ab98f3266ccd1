//! What can go wrong in signalling.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use super::Transport;

/// A call's `Call-ID`, as it stands in logs and errors.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CallId(pub(super) String);

impl CallId {
    /// The id as it is on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why the endpoint could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No address to listen on was given.
    #[error("SIP has no address to listen on")]
    NoListener,
    /// Only wildcard addresses are known, which no peer can call back.
    #[error("SIP listens on a wildcard address, and no address to announce is configured")]
    NoAnnouncedAddress,
    /// A TLS address without a certificate.
    #[error("SIP over TLS has no certificate")]
    NoCertificate,
    /// The system refused an address.
    #[error("cannot listen for SIP on {transport} {address}")]
    Bind {
        /// Over what.
        transport: Transport,
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The SIP stack refused to start.
    #[error("the SIP stack does not start")]
    Stack(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why something could not be done to a call.
#[derive(Debug, thiserror::Error)]
#[error("call {call}: {reason}")]
pub struct CallError {
    /// Which call.
    pub call: CallId,
    /// Why.
    #[source]
    pub reason: CallErrorKind,
}

/// The reasons of a [`CallError`].
#[derive(Debug, thiserror::Error)]
pub enum CallErrorKind {
    /// The call is over, or was cancelled meanwhile.
    #[error("the call is over")]
    Ended,
    /// The call is not answered yet.
    #[error("the call is not established")]
    NotEstablished,
    /// Both sides changed the session at once (RFC 3261 section 14.1): try again in 2 to 4 s.
    #[error("both sides are changing the session")]
    Glare,
    /// The peer answered with this status.
    #[error("the peer answered {0}")]
    Refused(u16),
    /// The peer did not answer.
    #[error("the peer does not answer")]
    TimedOut,
    /// The message could not be built or sent.
    #[error("the message could not be sent")]
    Stack(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a call could not be begun; nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// The address is no SIP URI.
    #[error("not a SIP address")]
    BadAddress,
    /// As many calls as allowed are up.
    #[error("too many calls")]
    TooManyCalls,
    /// The transport is not configured.
    #[error("no {0} transport is configured")]
    NoTransport(Transport),
}
