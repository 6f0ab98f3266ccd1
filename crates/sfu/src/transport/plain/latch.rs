//! Symmetric RTP (RFC 4961): where a peer is, whatever its SDP says.

use std::net::{IpAddr, SocketAddr};

/// The peer's address on one of our ports: what its SDP told, until its first valid packet shows
/// another. That one stays, so that nobody else can take the stream over.
#[derive(Clone, Debug, Default)]
pub struct Latch {
    told: Option<SocketAddr>,
    learnt: Option<SocketAddr>,
}

impl Latch {
    /// What the SDP tells now. Only another address than before lets the peer be found anew.
    pub fn tell(&mut self, told: Option<SocketAddr>) {
        if told != self.told {
            *self = Self { told, learnt: None };
        }
    }

    /// Where to send.
    pub fn destination(&self) -> Option<SocketAddr> {
        self.learnt.or(self.told.filter(is_usable))
    }

    /// Whether the peer may be there.
    pub fn admits(&self, source: SocketAddr) -> bool {
        self.learnt.map_or_else(|| is_usable(&source), |learnt| learnt == source)
    }

    /// A valid packet came from there.
    pub fn learn(&mut self, source: SocketAddr) {
        self.learnt.get_or_insert(source);
    }
}

/// Whether one peer can be there.
fn is_usable(address: &SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}
