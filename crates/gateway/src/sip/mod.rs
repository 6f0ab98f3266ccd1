//! The SIP half of the gateway: calls in and out, over UDP, TCP and TLS.
//!
//! [`SipEndpoint`] listens and dials; a [`Call`] is one dialog with its events, and a
//! [`CallHandle`] what can be done to it. SDP bodies are opaque here. The messages, transactions
//! and dialogs are `rsipstack`'s, which nothing outside this module names; sockets, bounds, and
//! every request inside a dialog but its beginning and end are our own.
//!
//! `rsipstack` writes whole messages, keys included, to its log at `info` and below, and warns
//! once for each message that a hostile peer bends: whoever sets up logging adds
//! [`LOG_DIRECTIVE`].

mod call;
mod core;
mod dial;
mod dispatch;
mod endpoint;
mod error;
mod framing;
#[doc(hidden)]
pub mod fuzz;
mod incoming;
mod info;
mod ingress;
mod ladder;
mod limit;
mod locate;
mod nat;
mod proof;
mod register;
mod request;
mod session_timer;
mod stats;
mod stream;
mod subscribe;
mod transfer;
mod within;

use std::fmt;
use std::net::SocketAddr;

use conference::telephony;

pub use self::call::{Advice, Call, CallEvent, CallHandle, FailureKind, ReOffer, Tone};
pub use self::dial::{Dial, Hop, Target};
pub use self::endpoint::{Limits, SipConfig, SipEndpoint, TlsConfig};
pub use self::error::{CallError, CallErrorKind, CallId, DialError, StartError};
pub use self::incoming::{AcceptError, Incoming, IncomingCall};
pub use self::limit::RateLimit;
pub(crate) use self::limit::{Share, Shares};
pub use self::locate::{LocateError, Located};
pub use self::proof::{Challenge, Credentials, Proof};
pub use self::register::{Flow, Register, RegisterAnswer, Registration, WantedContact, Wish};
pub use self::request::{AskError, Registering};
pub use self::stats::SipStats;
pub use self::subscribe::{Subscription, Wanted};
pub use self::transfer::{Reports, Transfer};

/// A directive for the log filter that keeps the SIP library from logging messages whole.
pub const LOG_DIRECTIVE: &str = "rsipstack=error";

/// What carries a peer's signalling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream in the clear.
    Tcp,
    /// A stream under TLS.
    Tls,
}

impl Transport {
    fn wire(self) -> rsipstack::sip::Transport {
        match self {
            Self::Udp => rsipstack::sip::Transport::Udp,
            Self::Tcp => rsipstack::sip::Transport::Tcp,
            Self::Tls => rsipstack::sip::Transport::Tls,
        }
    }

    /// `None`: none of ours.
    fn of(wire: rsipstack::sip::Transport) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls].into_iter().find(|it| it.wire() == wire)
    }

    fn sip_addr(self, address: SocketAddr) -> rsipstack::transport::SipAddr {
        rsipstack::transport::SipAddr { r#type: Some(self.wire()), addr: address.into() }
    }
}

impl From<telephony::Transport> for Transport {
    fn from(transport: telephony::Transport) -> Self {
        match transport {
            telephony::Transport::Udp => Self::Udp,
            telephony::Transport::Tcp => Self::Tcp,
            telephony::Transport::Tls => Self::Tls,
        }
    }
}

impl From<Transport> for telephony::Transport {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Udp => Self::Udp,
            Transport::Tcp => Self::Tcp,
            Transport::Tls => Self::Tls,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        })
    }
}

/// A final status that refuses a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(u16);

impl Status {
    /// May not.
    pub const FORBIDDEN: Self = Self(403);
    /// No such meeting.
    pub const NOT_FOUND: Self = Self(404);
    /// The call that it is about is not there.
    pub const NO_SUCH_CALL: Self = Self(481);
    /// Not now.
    pub const TEMPORARILY_UNAVAILABLE: Self = Self(480);
    /// Busy, or full.
    pub const BUSY_HERE: Self = Self(486);
    /// No common codec.
    pub const NOT_ACCEPTABLE_HERE: Self = Self(488);
    /// Something failed here.
    pub const SERVER_ERROR: Self = Self(500);
    /// This version cannot do it.
    pub const NOT_IMPLEMENTED: Self = Self(501);
    /// Overloaded.
    pub const SERVICE_UNAVAILABLE: Self = Self(503);
    /// Does not want to.
    pub const DECLINE: Self = Self(603);

    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.0
    }

    fn wire(self) -> rsipstack::sip::StatusCode {
        self.0.into()
    }
}
